//! Sets against a plain set, in every encoding, with replay.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::memory::size_class;
use crate::types::{Body, CollectionType, HashChange, PackLimits};

/// A set and a copy that only hears of changes.
struct Pair {
    set: Set,
    copy: Set,
    limits: PackLimits,
}

impl Pair {
    fn new(limits: PackLimits) -> Self {
        Self { set: Set::empty(), copy: Set::empty(), limits }
    }

    fn edit<R>(&mut self, edit: impl FnOnce(&mut Edit<'_, Set>) -> R) -> R {
        let mut changes = Vec::new();
        let (limits, now) = (&self.limits, Now::default());
        let mut editing = Edit { value: &mut self.set, limits, now, changes: Some(&mut changes) };
        let result = edit(&mut editing);
        let mut copy = Edit { value: &mut self.copy, limits, now, changes: None };
        for change in &changes {
            assert!(copy.apply(change));
        }
        assert!(!copy.apply(&HashChange::Remove { field: Box::default() }.into()));
        result
    }

    fn insert(&mut self, member: &[u8]) -> bool {
        self.edit(|set| set.insert(member))
    }

    fn remove(&mut self, member: &[u8]) -> bool {
        self.edit(|set| set.remove(member))
    }

    fn view(&self) -> SetView<'_> {
        self.set.as_view()
    }

    fn encoding(&self) -> &'static str {
        self.view().encoding()
    }
}

fn contents(view: SetView<'_>) -> BTreeSet<Vec<u8>> {
    let all: BTreeSet<_> = view.iter().map(|member| member.to_vec()).collect();
    assert_eq!(view.iter().count(), all.len(), "no member twice");
    assert_eq!(view.len(), all.len());
    all
}

fn check_bytes(set: &Set) {
    match set {
        Set::Packed(block) => assert!(block.len() <= PACKED_BYTES_MAX),
        Set::Large(large) => {
            let members: usize = large.table.iter().map(Thin::heap_bytes).sum();
            assert_eq!(members, large.members_bytes);
        }
    }
}

#[test]
fn small_sets_take_one_small_block() {
    let mut pair = Pair::new(PackLimits::default());
    for number in 0..10 {
        pair.insert(format!("member{number}").as_bytes());
    }
    let Set::Packed(block) = &pair.set else { panic!("it is small") };
    assert_eq!(block.len(), 2 + 10 * 8);
    let mut pair = Pair::new(PackLimits::default());
    for number in 0..512 {
        pair.insert((1_000_000 + number).to_string().as_bytes());
    }
    let Set::Packed(block) = &pair.set else { panic!("it is small") };
    assert_eq!(block.len(), 2 + 512 * 4);
}

#[test]
fn a_large_set_costs_little_beyond_its_members() {
    let mut pair = Pair::new(PackLimits::default());
    for number in 0..100_000 {
        pair.insert(format!("member:{number:06}").as_bytes());
    }
    let Set::Large(large) = &pair.set else { panic!("it is large") };
    assert!(large.bytes() <= 100_000 * (size_class(14) + 24), "{}", large.bytes());
    let mut pair = Pair::new(PackLimits::default());
    for number in 0..100_000 {
        pair.insert(format!("m{number:06}").as_bytes());
    }
    let Set::Large(large) = &pair.set else { panic!("it is large") };
    assert!(large.bytes() <= 100_000 * 24, "seven bytes need no allocation: {}", large.bytes());
}

#[test]
fn encodings_change_beyond_exactly_the_limits() {
    let mut pair = Pair::new(PackLimits::default());
    assert_eq!(pair.encoding(), "intset");
    for number in 0..512 {
        assert!(pair.insert(number.to_string().as_bytes()));
        assert_eq!(pair.encoding(), "intset");
    }
    assert!(!pair.insert(b"511"));
    assert_eq!(pair.encoding(), "intset");
    assert!(pair.insert(b"512"));
    assert_eq!((pair.encoding(), pair.view().len()), ("hashtable", 513));

    // Integers and then a text: as many as a block of members holds, and one more.
    for (integers, encoding) in [(127, "listpack"), (128, "hashtable")] {
        let mut pair = Pair::new(PackLimits::default());
        for number in 0..integers {
            pair.insert(number.to_string().as_bytes());
        }
        assert!(pair.insert(b"text"));
        assert_eq!(pair.encoding(), encoding);
        assert_eq!(pair.view().len(), integers + 1);
        assert!(!pair.insert(b"0") && !pair.insert(b"text") && pair.insert(b"00"));
        assert_eq!(pair.encoding(), "hashtable");
    }
    for (len, encoding) in [(0, "listpack"), (64, "listpack"), (65, "hashtable")] {
        let mut pair = Pair::new(PackLimits::default());
        pair.insert(b"1");
        assert!(pair.insert(&vec![b'm'; len]));
        assert_eq!(pair.encoding(), encoding, "{len}");
        assert!(pair.view().contains(&vec![b'm'; len]) && pair.view().contains(b"1"));
    }
    // Integers that are too long as texts.
    let limits = PackLimits { set_max_listpack_value: 5, ..PackLimits::default() };
    for (integer, encoding) in [("12345", "listpack"), ("-12345", "hashtable")] {
        let mut pair = Pair::new(limits);
        pair.insert(integer.as_bytes());
        pair.insert(b"text");
        assert_eq!(pair.encoding(), encoding);
    }
    // A block of members stays one when only integers are left.
    let mut pair = Pair::new(PackLimits::default());
    pair.insert(b"text");
    pair.insert(b"1");
    pair.remove(b"text");
    assert_eq!(pair.encoding(), "listpack");
    pair.remove(b"1");
    assert!(pair.set.is_empty());
}

#[test]
fn no_block_passes_16_kib() {
    let limits = PackLimits {
        set_max_intset_entries: usize::MAX,
        set_max_listpack_entries: usize::MAX,
        set_max_listpack_value: usize::MAX,
        ..PackLimits::default()
    };
    for text in [false, true] {
        let mut pair = Pair::new(limits);
        for number in 0..10_000i64 {
            let integer = i64::MAX - number;
            let member = if text { format!("text {number}") } else { integer.to_string() };
            assert!(pair.insert(member.as_bytes()));
            check_bytes(&pair.set);
        }
        assert_eq!((pair.encoding(), pair.view().len()), ("hashtable", 10_000));
    }
    for (len, encoding) in
        [(PACKED_BYTES_MAX - 2 - 3, "listpack"), (PACKED_BYTES_MAX - 2 - 2, "hashtable")]
    {
        let mut pair = Pair::new(limits);
        assert!(pair.insert(&vec![b'm'; len]));
        assert_eq!((pair.encoding(), pair.view().len()), (encoding, 1), "{len}");
        assert!(!pair.insert(&vec![b'm'; len]));
        assert_eq!(contents(pair.view()), contents(pair.copy.as_view()));
    }
}

#[test]
fn integers_are_told_from_texts_that_look_like_them() {
    for limit in [128, 0] {
        let limits = PackLimits { set_max_listpack_entries: limit, ..PackLimits::default() };
        let mut pair = Pair::new(limits);
        let members = ["7", "007", "-0", "0", "+7", "", "-9223372036854775808"];
        for member in members {
            assert!(pair.insert(member.as_bytes()), "{member}");
            assert!(!pair.insert(member.as_bytes()), "{member}");
        }
        assert_eq!(pair.encoding(), if limit == 0 { "hashtable" } else { "listpack" });
        assert!(pair.view().contains_item(Item::Integer(7)));
        assert!(pair.view().contains_item(Item::Text(b"007")));
        assert!(!pair.view().contains(b"07"));
        assert!(pair.view().iter().any(|member| member == Item::Integer(i64::MIN)));
        assert!(pair.view().iter().any(|member| member == Item::Text(b"-0")));
    }
}

#[test]
fn every_member_is_as_likely_as_another_and_all_are_popped() {
    for (limit, text) in [(512, ""), (0, ""), (512, "m")] {
        let limits = PackLimits { set_max_intset_entries: limit, ..PackLimits::default() };
        let mut pair = Pair::new(limits);
        let mut dice = fastrand::Rng::with_seed(5);
        assert_eq!(pair.edit(|set| set.pop(&mut dice)), None);
        for number in 0..50 {
            pair.insert(format!("{text}{number}").as_bytes());
        }
        let mut drawn = std::collections::BTreeMap::new();
        for _ in 0..10_000 {
            let member = pair.view().random(&mut dice).expect("not empty").to_vec();
            *drawn.entry(member).or_insert(0) += 1;
        }
        assert_eq!(drawn.len(), 50);
        // 200 expected each, standard deviation 14.
        assert!(drawn.values().all(|times| (130..270).contains(times)), "{drawn:?}");
        let mut popped = BTreeSet::new();
        while let Some(member) = pair.edit(|set| set.pop(&mut dice)) {
            assert!(popped.insert(member));
        }
        assert_eq!(popped.len(), 50);
        assert!(pair.set.is_empty() && pair.copy.is_empty());
    }
}

#[test]
fn what_is_shared_is_copied_by_a_change_only() {
    let mut pair = Pair::new(PackLimits { set_max_listpack_entries: 0, ..PackLimits::default() });
    pair.insert(b"a");
    let Set::Large(shared) = pair.set.clone() else { panic!("it is large") };
    let is_shared = |set: &Set| matches!(set, Set::Large(large) if large.is(&shared));
    assert!(!pair.insert(b"a") && !pair.remove(b"b"));
    assert!(is_shared(&pair.set));
    assert!(pair.remove(b"a"));
    assert!(!is_shared(&pair.set));
    assert!(shared.contains(b"a"));
}

#[test]
fn a_large_set_is_freed_in_slices() {
    let mut pair = Pair::new(PackLimits::default());
    for number in 0..5000 {
        pair.insert(format!("member number {number}").as_bytes());
    }
    let Set::Large(mut large) = pair.set else { panic!("it is large") };
    assert!(!large.is_shared());
    let large = large.make_mut();
    let mut calls = 0;
    loop {
        let (before, mut units) = (large.len(), 64);
        calls += 1;
        if large.free_some(&mut units) {
            break;
        }
        assert!(units == 0 && before - large.len() <= 64);
    }
    assert!((5000 / 64..5000 / 64 + 40).contains(&calls), "{calls}");
    assert_eq!(large.len(), 0);
    assert!(large.bytes() < 2048, "{}", large.bytes());
}

fn member_of(number: usize) -> Vec<u8> {
    match number {
        0 => Vec::new(),
        1 => b"007".to_vec(),
        2 => vec![0, 255, b'\r', b'\n'],
        3 => vec![b'l'; 70],
        4 => i64::MIN.to_string().into_bytes(),
        5 => vec![b'y'; 17_000],
        6 => b"-0".to_vec(),
        7..=20 => format!("member{number}").into_bytes(),
        _ => (number as i64 * 37 - 3000).to_string().into_bytes(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..Default::default() })]

    #[test]
    fn it_is_a_set(
        integers in prop::sample::select(vec![0usize, 20, 512]),
        entries in prop::sample::select(vec![0usize, 15, 128]),
        long in prop::sample::select(vec![4usize, 64, 20_000]),
        texts_from in 0usize..22,
        steps in prop::collection::vec((0u8..8, 0usize..150), 0..500),
        seed in any::<u64>(),
    ) {
        let limits = PackLimits {
            set_max_intset_entries: integers,
            set_max_listpack_entries: entries,
            set_max_listpack_value: long,
            ..PackLimits::default()
        };
        let mut pair = Pair::new(limits);
        let mut model = BTreeSet::new();
        let mut dice = fastrand::Rng::with_seed(seed);
        for (action, number) in steps {
            let member = member_of(number.max(texts_from));
            match action {
                0..=4 => prop_assert_eq!(pair.insert(&member), model.insert(member)),
                5 | 6 => prop_assert_eq!(pair.remove(&member), model.remove(&member)),
                _ => {
                    let popped = pair.edit(|set| set.pop(&mut dice));
                    prop_assert_eq!(popped.is_none(), model.is_empty());
                    prop_assert!(popped.is_none_or(|member| model.remove(&member)));
                }
            }
            prop_assert_eq!(pair.view().len(), model.len());
        }
        check_bytes(&pair.set);
        prop_assert_eq!(pair.set.is_empty(), model.is_empty());
        prop_assert_eq!(&contents(pair.view()), &model);
        prop_assert_eq!(&contents(pair.copy.as_view()), &model);
        prop_assert_eq!(pair.encoding(), pair.copy.as_view().encoding());
        for number in 0..150 {
            let member = member_of(number);
            let there = model.contains(&member);
            prop_assert_eq!(pair.view().contains(&member), there);
            prop_assert_eq!(pair.view().contains_item(Item::of(&member)), there);
        }
        let (mut scanned, mut cursor) = (BTreeSet::new(), 0);
        loop {
            cursor = pair.view().scan(cursor, 7, &mut |member| {
                scanned.insert(member.to_vec());
            });
            if cursor == 0 {
                break;
            }
        }
        prop_assert_eq!(&scanned, &model);
        let again = match pair.set.clone().into_body() {
            Body::Packed(bytes) => Set::from_packed(bytes),
            Body::Large(large) => Set::from_large(large),
        };
        prop_assert_eq!(contents(again.as_view()), model);
    }
}
