//! The table against plain sets, with fair hashes and with hashes that somebody made collide.

// The table asks for the hash of an element by reference.
#![allow(clippy::trivially_copy_pass_by_ref)]

use std::collections::{BTreeSet, HashSet};

use proptest::prelude::*;

use super::*;

fn fair(element: &u64) -> u64 {
    hash_bytes(&element.to_le_bytes())
}

/// Every fourth element has the same hash; others share their top 30 bits.
fn unfair(element: &u64) -> u64 {
    if element.is_multiple_of(4) { 0xDEAD_BEEF_DEAD_BEEF } else { fair(element) >> 30 | 7 << 60 }
}

/// All the same but for the lowest bits, which no cursor holds.
fn hopeless(element: &u64) -> u64 {
    u64::MAX - element % 3
}

type HashOf = fn(&u64) -> u64;

const HASHES: [HashOf; 3] = [fair, unfair, hopeless];

fn insert(table: &mut Segmented<u64>, element: u64, hash_of: HashOf) -> bool {
    table.find_or_insert(hash_of(&element), |of| *of == element, || element, hash_of).1
}

fn remove(table: &mut Segmented<u64>, element: u64, hash_of: HashOf) -> bool {
    table.remove(hash_of(&element), |of| *of == element, hash_of).is_some()
}

/// Whether index, segments, counts and bytes agree.
fn check(table: &Segmented<u64>, hash_of: HashOf) {
    assert_eq!(table.index.len(), 1 << table.depth);
    let segments: Vec<_> = table.segments.0.iter().flatten().collect();
    assert_eq!(segments.len(), table.segments.len());
    let mut covered = 0;
    for (number, segment) in segments.iter().enumerate() {
        assert!(segment.depth <= table.depth);
        covered += u64::from(segment.end() - segment.start);
        let shift = DEPTH_MAX - table.depth;
        for place in segment.start >> shift..segment.end() >> shift {
            assert_eq!(table.index[place as usize] as usize, number);
        }
        for element in &segment.table {
            assert_eq!(table.number(hash_of(element)), number);
        }
    }
    assert_eq!(covered, 1 << DEPTH_MAX);
    assert_eq!(segments.iter().map(|of| of.table.len()).sum::<usize>(), table.len());
    assert_eq!(segments.iter().map(|of| of.heap_bytes()).sum::<usize>(), table.tables_bytes);
    assert_eq!(table.deepest, segments.iter().filter(|of| of.depth == table.depth).count());
    assert!(segments.iter().all(|of| of.table.num_buckets() <= table.buckets_max));
    assert!(table.segments.0.iter().rev().skip(1).all(|chunk| chunk.len() == CHUNK_SEGMENTS));
}

#[test]
fn a_hundred_thousand_come_and_go_in_small_segments() {
    let mut table = Segmented::default();
    for element in 0..100_000 {
        assert!(insert(&mut table, element, fair));
        assert!(!insert(&mut table, element, fair));
    }
    check(&table, fair);
    assert!(table.buckets_max <= SEGMENT_BUCKETS_MAX);
    assert!(table.index.len() <= table.segments.len() * 4);
    // Eight bytes and a control byte each, at 7/16 of the buckets in the worst case.
    assert!(table.bytes() <= 100_000 * 24, "{}", table.bytes());
    for element in 0..100_000 {
        assert_eq!(table.find(fair(&element), |of| *of == element), Some(&element));
    }
    assert_eq!(table.iter().collect::<HashSet<_>>().len(), 100_000);
    for element in 0..100_000 {
        assert!(remove(&mut table, element, fair));
        if element % 10_000 == 0 {
            check(&table, fair);
        }
    }
    check(&table, fair);
    assert_eq!((table.len(), table.segments.len(), table.depth), (0, 1, 0));
    assert!(table.bytes() < 4096, "{}", table.bytes());
}

#[test]
fn churn_at_one_size_does_not_grow_the_table() {
    let mut table = Segmented::default();
    for element in 0..400 {
        insert(&mut table, element, fair);
    }
    let bytes = table.bytes();
    for element in 400..50_000 {
        insert(&mut table, element, fair);
        remove(&mut table, element - 400, fair);
    }
    check(&table, fair);
    // Two halves of the same size at most, and the index.
    assert!(table.bytes() <= bytes * 2 + 512);
}

#[test]
fn colliding_hashes_make_long_segments_not_a_long_index() {
    for hash_of in [unfair, hopeless] {
        let mut table = Segmented::default();
        for element in 0..4000 {
            insert(&mut table, element, hash_of);
        }
        check(&table, hash_of);
        let index_max = INDEX_MIN.max(table.segments.len() * INDEX_PER_SEGMENT_MAX);
        assert!(table.index.len() <= index_max);
        let copy = table.clone();
        for element in 0..4000 {
            assert!(remove(&mut table, element, hash_of));
        }
        check(&table, hash_of);
        assert_eq!(copy.iter().collect::<HashSet<_>>().len(), 4000);
    }
}

#[test]
fn every_element_is_as_likely_as_another() {
    for (count, removed) in [(5, 0), (300, 0), (3000, 0), (3000, 2900)] {
        let mut table = Segmented::default();
        for element in 0..count {
            insert(&mut table, element, fair);
        }
        for element in 0..removed {
            remove(&mut table, element, fair);
        }
        let left = count - removed;
        let mut dice = fastrand::Rng::with_seed(3);
        let mut drawn = vec![0u32; count as usize];
        for _ in 0..left * 200 {
            drawn[*table.random(&mut dice).expect("not empty") as usize] += 1;
        }
        // 200 expected each, standard deviation 14.
        assert!(drawn[removed as usize..].iter().all(|times| (125..290).contains(times)));
    }
    assert_eq!(Segmented::<u64>::default().random(&mut fastrand::Rng::with_seed(1)), None);
}

#[test]
fn a_scan_gives_about_what_was_asked_for() {
    let mut table = Segmented::default();
    for element in 0..20_000 {
        insert(&mut table, element, fair);
    }
    for count in [1, 10, 700, 5000, 1_000_000] {
        let (mut cursor, mut seen) = (0, 0);
        loop {
            let mut shown = 0;
            cursor = table.scan(cursor, count, fair, |_| shown += 1);
            seen += shown;
            assert!(cursor >> CURSOR_BITS == 0);
            assert!(shown <= count);
            if cursor == 0 {
                break;
            }
            assert_eq!(shown, count);
        }
        assert_eq!(seen, 20_000, "nothing twice when nothing changes");
    }
    for wild in [1 << CURSOR_BITS, u64::MAX, (1 << CURSOR_BITS) - 1] {
        assert_eq!(table.scan(wild, 10, fair, |_| {}), 0);
    }
}

#[test]
fn freeing_takes_one_unit_an_element() {
    let mut table = Segmented::default();
    for element in 0..10_000u64 {
        insert(&mut table, element, fair);
    }
    let mut freed = HashSet::new();
    let mut calls = 0;
    loop {
        let before = freed.len();
        let mut units = 100;
        let done = table.free_some(&mut units, |element| assert!(freed.insert(*element)));
        assert!(freed.len() - before <= 100);
        assert_eq!(freed.len() + table.len(), 10_000);
        assert!(done || units == 0);
        calls += 1;
        if done {
            break;
        }
    }
    assert!((100..=210).contains(&calls), "{calls}");
    assert!(table.bytes() < 4096, "{}", table.bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn it_is_a_set(
        which in 0usize..3,
        steps in prop::collection::vec((0u8..5, 0u64..2000), 0..4000),
    ) {
        let hash_of = HASHES[which];
        let mut table = Segmented::with_capacity(which * 100);
        let mut model = BTreeSet::new();
        for (action, element) in steps {
            match action {
                0..=2 => prop_assert_eq!(insert(&mut table, element, hash_of), model.insert(element)),
                3 => prop_assert_eq!(remove(&mut table, element, hash_of), model.remove(&element)),
                _ => {
                    let found = table.find_mut(hash_of(&element), |of| *of == element);
                    prop_assert_eq!(found.is_some(), model.contains(&element));
                }
            }
        }
        check(&table, hash_of);
        prop_assert_eq!(table.iter().copied().collect::<BTreeSet<_>>(), model);
    }

    /// What stays is seen, whatever else comes and goes between the calls.
    #[test]
    fn a_scan_misses_nothing(
        which in 0usize..3,
        stay in 1u64..1500,
        others in prop::collection::vec((any::<bool>(), 2000u64..2600), 0..60),
        count in 1usize..300,
        swing in 1u64..1500,
    ) {
        let hash_of = HASHES[which];
        let mut table = Segmented::default();
        for element in 0..stay {
            insert(&mut table, element, hash_of);
        }
        let (mut seen, mut cursor, mut turn) = (HashSet::new(), 0, 0);
        loop {
            cursor = table.scan(cursor, count, hash_of, |element| {
                seen.insert(*element);
            });
            if cursor == 0 {
                break;
            }
            // Splits and merges between the calls.
            turn += 1;
            for element in 10_000..10_000 + swing {
                if turn % 2 == 1 {
                    insert(&mut table, element, hash_of);
                } else {
                    remove(&mut table, element, hash_of);
                }
            }
            for &(come, element) in &others {
                if come {
                    insert(&mut table, element, hash_of);
                } else {
                    remove(&mut table, element, hash_of);
                }
            }
        }
        prop_assert!((0..stay).all(|element| seen.contains(&element)));
    }
}
