//! Tests of several modules together that need a look inside.

use std::collections::HashSet;

use ringlane_base::{Clock, Database, Due, HashSeed, KeyHash, Millis, Now};

use crate::segment::SEGMENT_ENTRIES_MAX;
use crate::{
    Budget, Expiry, Key, Limits, NewValue, Options, OutOfMemory, Policy, Removal, Store, TypeName,
    Value,
};

const NOW: Millis = Millis(1_700_000_000_000);

/// A store of one database, a second after its beginning: for tests that ask for nothing else.
pub fn small_store() -> Store {
    let options = Options { hash_seed: HashSeed(1), random_seed: 1, databases: 1, slots: 0..16384 };
    let mut store = Store::new(options);
    store.begin_turn(Now::both(Millis(1000)));
    store
}

fn store() -> Store {
    let options =
        Options { hash_seed: HashSeed(5), random_seed: 5, databases: 16, slots: 0..16384 };
    let mut store = Store::new(options);
    store.begin_turn(Now::both(NOW));
    store
}

fn set(store: &mut Store, bytes: &[u8], value: &[u8], expiry: Expiry) {
    let key = store.key(Database(0), bytes);
    store.set(&key, NewValue::Text(value), expiry).expect("it fits");
}

/// A set of 100,000 members.
fn add_large_set(store: &mut Store) -> Key<'static> {
    let key = store.key(Database(0), b"set");
    let members: Vec<Vec<u8>> =
        (0..100_000u32).map(|number| format!("member:{number}").into_bytes()).collect();
    store
        .edit::<crate::types::Set, _>(&key, 0, |set| {
            assert!(members.iter().all(|member| set.insert(member)));
        })
        .expect("there is no limit");
    key
}

fn has(store: &mut Store, bytes: &[u8]) -> bool {
    let key = store.key(Database(0), bytes);
    store.peek(&key).is_some()
}

fn work_all(store: &mut Store) {
    while store.work(Budget { units: 2000 }).more {}
}

/// Keys that begin with `{evil}` all have one hash, as those of somebody who found collisions.
fn colliding(key: &[u8]) -> KeyHash {
    if key.starts_with(b"{evil}") {
        return KeyHash(0x1234_5678_9ABC_DEF0);
    }
    KeyHash::of(HashSeed(5), key)
}

#[test]
fn a_hundred_thousand_colliding_keys_are_kept_by_another_hash() {
    let mut store = store();
    store.hashing.forced = Some(colliding);
    let evil = |number: u32| format!("{{evil}}{number}").into_bytes();
    for number in 0..100_000 {
        let at = NOW.plus(1000 + u64::from(number % 2) * 1_000_000);
        set(&mut store, &evil(number), b"value", Expiry::At(Due::at(at)));
        set(&mut store, format!("good{number}").as_bytes(), b"value", Expiry::Never);
    }
    let slot = store.slot_index(store.key(Database(0), b"{evil}").slot);
    let plain = store.slots[slot].plain_len();
    assert!(plain <= SEGMENT_ENTRIES_MAX * 3, "{plain} entries share one chain");
    for number in 0..100_000 {
        assert!(has(&mut store, &evil(number)));
        assert!(has(&mut store, format!("good{number}").as_bytes()));
    }
    let mut seen = HashSet::new();
    let mut cursor = 0;
    loop {
        cursor = store.scan(Database(0), cursor, 500, &mut |key, _: TypeName| {
            seen.insert(key.to_vec());
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen.len(), 200_000);
    // Their timers find them under the other hash as well.
    store.begin_turn(Now::both(NOW.plus(1100)));
    work_all(&mut store);
    assert_eq!(store.len(Database(0)), 150_000);
    for number in 0..100_000 {
        assert_eq!(has(&mut store, &evil(number)), number % 2 == 1);
    }
    for number in 0..100_000 {
        let bytes = evil(number);
        let key = store.key(Database(0), &bytes);
        assert_eq!(store.remove(&key, Removal::Deleted), number % 2 == 1);
    }
    assert_eq!(store.len(Database(0)), 100_000);
}

#[test]
fn due_keys_go_without_being_asked_for_however_the_clock_jumps() {
    let mut store = store();
    let mut number = 0u32;
    // The clock of the wall jumps so, the steady one goes on by a step.
    let mut now = Now::both(NOW);
    for jump in [16, 3_600_000i64, -3_600_000, 86_400_000, -7_200_000, 50] {
        for ttl in [1, 20, 900, 5000, 70_000, 5_000_000, 400_000_000, 40_000_000_000u64] {
            number += 1;
            let key = format!("key{number}");
            let clock = Clock::ALL[number as usize % 2];
            let after = |ttl| Due::on(clock, now.on(clock).plus(ttl));
            set(&mut store, key.as_bytes(), b"v", Expiry::At(after(ttl)));
            if number.is_multiple_of(3) {
                // An expiry that moves there and back, to the other clock too, leaves stale items.
                let key = store.key(Database(0), key.as_bytes());
                let other = Clock::ALL[(number as usize + 1) % 2];
                let ways =
                    [after(ttl * 2 + 50), Due::on(other, now.on(other).plus(ttl * 3)), after(ttl)];
                assert!(ways.into_iter().all(|way| store.set_expiry(&key, Some(way))));
            }
        }
        work_all(&mut store);
        let count_due = |store: &Store, now: Now| {
            let mut due = 0;
            for table in &store.slots {
                for segment in table.segments() {
                    for handle in &segment.table {
                        due +=
                            usize::from(crate::entry::Entry::of(&store.slab, handle).is_due(now));
                    }
                }
            }
            due
        };
        let before = store.len(Database(0));
        let plus = |now: Now, ms| Now { wall: now.wall.plus(ms), steady: now.steady.plus(ms) };
        now = Now {
            wall: Millis(now.wall.0.wrapping_add_signed(jump)),
            steady: now.steady.plus(1000),
        };
        store.begin_turn(now);
        let due = count_due(&store, now);
        // The wheels are exact to a tick.
        let due_later = count_due(&store, plus(now, 16));
        work_all(&mut store);
        let before_tick = now;
        now = plus(now, 16);
        store.begin_turn(now);
        work_all(&mut store);
        let gone = before - store.len(Database(0));
        assert!((due..=due_later).contains(&gone), "{gone} of {due} after {jump}");
        assert_eq!(count_due(&store, before_tick), 0, "after {jump}");
        assert!(store.next_due_ms().is_none_or(|left| left > 0));
    }
    // The far ones too, in their time.
    for _ in 0..20 {
        let left = store.next_due_ms().unwrap_or(0);
        now = Now { wall: now.wall.plus(left), steady: now.steady.plus(left) };
        store.begin_turn(now);
        work_all(&mut store);
    }
    let last = now.wall.plus(200_000_000_000);
    store.begin_turn(Now::both(last));
    work_all(&mut store);
    assert_eq!(store.len(Database(0)), 0);
    assert_eq!(store.next_due_ms(), None);
}

#[test]
fn an_expiry_set_again_and_again_leaves_a_bounded_wheel() {
    let mut store = store();
    for number in 0..100u32 {
        set(&mut store, &number.to_le_bytes(), b"v", Expiry::At(Due::at(NOW.plus(1_000_000))));
    }
    for round in 0..2000u64 {
        for number in 0..100u32 {
            let bytes = number.to_le_bytes();
            let key = store.key(Database(0), &bytes);
            store.set_expiry(&key, None);
            store.set_expiry(&key, Some(Due::at(NOW.plus(10_000_000 + round))));
        }
        store.work(Budget { units: 500 });
    }
    work_all(&mut store);
    assert!(store.wheels.len() < 10_000, "{} items for 100 keys", store.wheels.len());
    store.begin_turn(Now::both(NOW.plus(20_000_000)));
    work_all(&mut store);
    assert_eq!(store.len(Database(0)), 0);
}

#[test]
fn memory_follows_values_that_change_size_and_returns_when_they_go() {
    let mut store = store();
    let value = vec![b'x'; 2000];
    let mut lens = vec![0; 40_000];
    for round in [40usize, 400, 90, 1500, 20] {
        for number in 0..40_000u32 {
            // Every fourth stays, so that pages are left with a few entries.
            if (number + round as u32).is_multiple_of(4) && lens[number as usize] > 0 {
                continue;
            }
            lens[number as usize] = round;
            set(&mut store, &number.to_be_bytes(), &value[..round], Expiry::Never);
            if number.is_multiple_of(64) {
                store.work(Budget { units: 100 });
            }
        }
        work_all(&mut store);
        let memory = store.memory();
        let waste = memory.slab_resident - memory.slab_live;
        assert!(waste < memory.slab_live / 5 + (4 << 20), "{waste} after {round}: {memory:?}");
        for number in 0..40_000u32 {
            let bytes = number.to_be_bytes();
            let key = store.key(Database(0), &bytes);
            let value = &value[..lens[number as usize]];
            assert_eq!(store.peek(&key), Some(Value::Text(value)));
        }
    }
    assert!(store.stats().relocated > 0);
    for number in 0..40_000u32 {
        let bytes = number.to_be_bytes();
        let key = store.key(Database(0), &bytes);
        store.remove(&key, Removal::Deleted);
    }
    work_all(&mut store);
    let memory = store.memory();
    assert!(memory.slab_resident <= 3 << 20, "{memory:?}");
}

#[test]
fn mixed_sizes_that_drift_stay_under_the_limit() {
    let mut store = store();
    let max = 48 << 20;
    store.set_limits(Limits { bytes_max: Some(max), entries_max: None, policy: Policy::Adaptive });
    let mut dice = fastrand::Rng::with_seed(3);
    let value = vec![b'x'; 1 << 20];
    for phase in 0..6 {
        for _ in 0..30_000 {
            let number = dice.u32(..200_000);
            let len = match phase {
                0 => 16,
                1 => dice.usize(..4000),
                2 => 300,
                3 if dice.u32(..300) == 0 => dice.usize(..1 << 20),
                3 => 100,
                4 => dice.usize(10_000..40_000),
                _ => dice.usize(..64),
            };
            set(&mut store, &number.to_be_bytes(), &value[..len], Expiry::Never);
            if dice.u32(..16) == 0 {
                store.work(Budget { units: 200 });
            }
            let total = store.memory().total();
            assert!(total <= max + max / 20, "{total} of {max} in phase {phase}");
        }
        work_all(&mut store);
        let memory = store.memory();
        assert!(memory.total() <= max);
        // What is allowed is used: free space is not lost between the sizes.
        let used = memory.slab_live + memory.blobs;
        assert!(phase == 0 || used > max / 10 * 8, "{memory:?} in phase {phase}");
    }
    assert_eq!(store.stats().refused, 0);
}

#[test]
fn a_value_that_can_never_fit_is_refused_and_evicts_nothing() {
    let mut store = store();
    let limits = Limits { bytes_max: Some(8 << 20), entries_max: None, policy: Policy::AllkeysLru };
    store.set_limits(limits);
    for number in 0..1000u32 {
        set(&mut store, &number.to_be_bytes(), b"value", Expiry::Never);
    }
    let value = vec![b'x'; 16 << 20];
    let key = store.key(Database(0), b"key");
    assert!(store.set(&key, NewValue::Text(&value), Expiry::Never).is_err());
    assert_eq!((store.len(Database(0)), store.stats().evicted), (1000, 0));
}

#[test]
fn a_value_beyond_the_share_that_fits_the_whole_is_never_refused() {
    let mut store = store();
    let share = 1 << 20;
    let limits = Limits { bytes_max: Some(share), entries_max: None, policy: Policy::AllkeysLru };
    store.set_limits(limits);
    store.set_whole_limit(Some(16 << 20));
    let value = vec![b'x'; 8 << 20];
    let mut dice = fastrand::Rng::with_seed(8);
    for number in 0..3000u32 {
        let len = if number % 100 == 0 { value.len() } else { dice.usize(..100_000) };
        set(&mut store, &number.to_be_bytes(), &value[..len], Expiry::Never);
        let key = number.to_be_bytes();
        let key = store.key(Database(0), &key);
        assert!(store.contains(&key), "{number} of {len} bytes");
    }
    assert_eq!(store.stats().refused, 0);
    let key = store.key(Database(0), b"key");
    let huge = vec![b'x'; 17 << 20];
    assert!(store.set(&key, NewValue::Text(&huge), Expiry::Never).is_err());
    // Without eviction the share decides.
    store.set_limits(Limits { policy: Policy::NoEviction, ..limits });
    store.set_whole_limit(Some(16 << 20));
    assert!(store.set(&key, NewValue::Text(&value), Expiry::Never).is_err());
}

#[test]
fn appending_to_a_long_value_costs_what_is_appended() {
    let mut store = store();
    let key = store.key(Database(0), b"log");
    let (mut allocations, mut last) = (0, std::ptr::null());
    for _ in 0..100_000 {
        store.append(&key, b"0123456789").expect("there is no limit");
        let Some(Value::Blob(blob)) = store.peek(&key) else { continue };
        if blob.as_ptr() != last {
            last = blob.as_ptr();
            allocations += 1;
        }
    }
    assert!(allocations < 20, "{allocations} allocations for a million bytes");
    assert_eq!(store.peek(&key).and_then(|value| value.text_len()), Some(1_000_000));
    let shared = store.export(&key).expect("it is there");
    store.append(&key, b"x").expect("there is no limit");
    let crate::OwnedValue::Blob(shared) = shared.value else { panic!("it is long") };
    assert_eq!(shared.len(), 1_000_000);
}

#[test]
fn a_hundred_and_fifty_flushes_in_a_row_are_all_at_once() {
    let mut store = store();
    let other = Key { database: Database(3), ..store.key(Database(0), b"stays") };
    store.set(&other, NewValue::Text(b"v"), Expiry::Never).expect("it fits");
    for _ in 0..300 {
        set(&mut store, b"goes", b"v", Expiry::Never);
        store.flush(Some(Database(0)));
        assert!(!has(&mut store, b"goes"));
        assert_eq!(store.len(Database(0)), 0);
    }
    assert_eq!(store.peek(&other), Some(Value::Text(b"v")));
    work_all(&mut store);
    assert_eq!(store.databases.dead(), 0);
    assert_eq!(store.slot_len(other.slot), 1);
}

#[test]
fn upkeep_rests_when_nothing_may_be_evicted() {
    for policy in [Policy::NoEviction, Policy::VolatileTtl, Policy::VolatileLru] {
        let mut store = store();
        for number in 0..50_000u32 {
            set(&mut store, &number.to_be_bytes(), b"some value", Expiry::Never);
        }
        let limits = Limits { bytes_max: Some(3 << 20), entries_max: None, policy };
        store.set_limits(limits);
        let mut calls = 0;
        while store.work(Budget { units: 1000 }).more {
            calls += 1;
            assert!(calls < 1000, "{policy:?} never rests");
        }
        assert_eq!(store.next_due_ms(), None, "{policy:?}");
        assert_eq!(store.len(Database(0)), 50_000);
        let key = store.key(Database(0), b"another");
        assert!(store.set(&key, NewValue::Text(&[b'v'; 300]), Expiry::Never).is_err());
        assert_eq!(store.stats().refused, 1);
    }
}

#[test]
fn writes_are_refused_while_more_is_used_than_allowed_and_nothing_may_go() {
    let mut store = store();
    for number in 0..50_000u32 {
        set(&mut store, &number.to_be_bytes(), b"some value", Expiry::Never);
    }
    let used = store.memory().total();
    for policy in [Policy::NoEviction, Policy::VolatileTtl, Policy::Adaptive] {
        for (bytes_max, over) in [(Some(used), false), (Some(used - 1), true), (None, false)] {
            store.set_limits(Limits { bytes_max, entries_max: None, policy });
            let refused = over && policy != Policy::Adaptive;
            assert_eq!(store.refuses_writes(), refused, "{policy:?}");
            assert_eq!(store.len(Database(0)), 50_000, "nobody asked for room");
        }
    }
}

#[test]
fn what_belongs_to_something_that_has_begun_passes_the_limit() {
    let mut store = store();
    set(&mut store, b"there", b"some value", Expiry::Never);
    let bytes_max = Some(store.memory().total());
    store.set_limits(Limits { bytes_max, entries_max: None, policy: Policy::NoEviction });
    let long = vec![b'v'; 1_000_000];
    let key = store.key(Database(0), b"long");
    let write = |store: &mut Store| store.set(&key, NewValue::Text(&long), Expiry::Never);
    assert_eq!(write(&mut store), Err(OutOfMemory));
    store.set_passes_limit(true);
    assert_eq!(write(&mut store), Ok(()));
    assert!(!store.refuses_writes());
    store.set_passes_limit(false);
    assert!(store.refuses_writes());
    assert_eq!((store.stats().refused, store.stats().forced), (1, 1));
    assert_eq!(store.len(Database(0)), 2, "nothing was evicted");
}

#[test]
fn a_collection_counts_until_it_has_been_freed() {
    let mut store = store();
    let key = add_large_set(&mut store);
    let full = store.memory().blobs;
    assert!(full > 2_000_000, "{full}");
    assert!(store.remove(&key, Removal::Deleted));
    assert_eq!(store.memory().blobs, full);
    let mut before = full;
    while store.work(Budget { units: 1000 }).more {
        let now = store.memory().blobs;
        assert!(now <= before, "{now} after {before}");
        before = now;
    }
    assert_eq!(store.memory().blobs, 0);
}

#[test]
fn what_is_about_to_be_freed_is_not_made_good_by_eviction() {
    let mut store = store();
    let key = add_large_set(&mut store);
    for number in 0..10_000u32 {
        set(&mut store, &number.to_be_bytes(), b"some value", Expiry::Never);
    }
    let bytes_max = Some(store.memory().total());
    assert!(store.remove(&key, Removal::Deleted));
    store.set_limits(Limits { bytes_max, entries_max: None, policy: Policy::AllkeysLru });
    for number in 10_000..12_000u32 {
        set(&mut store, &number.to_be_bytes(), &[b'v'; 1000], Expiry::Never);
        store.work(Budget { units: 100 });
    }
    assert_eq!(store.stats().evicted, 0);
}

/// Fills a store of 1000 entries with keys that each policy values differently; returns which of
/// two groups is left.
fn left_of(policy: Policy, touch: impl Fn(&mut Store, u32)) -> [usize; 2] {
    let mut store = store();
    store.set_limits(Limits { bytes_max: None, entries_max: Some(1000), policy });
    let name = |number: u32| format!("key{number}").into_bytes();
    for number in 0..1000 {
        let ttl = if number < 500 { 1_000_000 } else { 10_000_000 };
        // Which of the clocks they go by makes no difference.
        let clock = Clock::ALL[number as usize / 2 % 2];
        set(&mut store, &name(number), b"v", Expiry::At(Due::on(clock, NOW.plus(ttl))));
    }
    for _ in 0..20 {
        for number in 0..500 {
            touch(&mut store, number);
        }
    }
    for number in 1000..1400 {
        set(&mut store, &name(number), b"v", Expiry::At(Due::at(NOW.plus(100_000_000))));
    }
    assert_eq!(store.len(Database(0)), 1000);
    let mut count = |from: u32| (from..from + 500).filter(|&n| has(&mut store, &name(n))).count();
    [count(0), count(500)]
}

#[test]
fn each_policy_prefers_what_its_name_says() {
    let used = |store: &mut Store, number: u32| {
        let bytes = format!("key{number}").into_bytes();
        let key = store.key(Database(0), &bytes);
        store.get(&key);
    };
    for policy in [
        Policy::Adaptive,
        Policy::AllkeysLru,
        Policy::AllkeysLfu,
        Policy::VolatileLru,
        Policy::VolatileLfu,
    ] {
        let [first, second] = left_of(policy, used);
        assert!(first >= 480 && second < 400, "{policy:?}: {first} used, {second} not");
    }
    let [sooner, later] = left_of(Policy::VolatileTtl, |_, _| {});
    assert!(sooner <= 110 && later == 500, "{sooner} sooner, {later} later");
    for policy in [Policy::AllkeysRandom, Policy::VolatileRandom] {
        let [first, second] = left_of(policy, used);
        assert!(first.abs_diff(second) < 100, "{policy:?}: {first} and {second}");
    }
}

#[test]
fn rest_and_frequency_are_told_as_far_as_the_bits_know() {
    let mut store = store();
    let limits = Limits { bytes_max: None, entries_max: Some(1000), policy: Policy::Adaptive };
    store.set_limits(limits);
    let name = |number: u32| format!("key{number}").into_bytes();
    for number in 0..20_000 {
        store.begin_turn(Now::both(NOW.plus(u64::from(number) * 100)));
        set(&mut store, &name(number), b"v", Expiry::Never);
        has(&mut store, b"key0");
    }
    let used = name(19_999);
    let key = store.key(Database(0), &used);
    for _ in 0..5 {
        store.get(&key);
    }
    let info = store.object(&key).expect("it was used");
    assert_eq!((info.idle_seconds, info.frequency, info.encoding), (0, 255, "embstr"));
    let mut rested = 0;
    for number in 0..20_000 {
        let bytes = name(number);
        let key = store.key(Database(0), &bytes);
        let info = store.object(&key);
        rested += usize::from(info.is_some_and(|info| info.idle_seconds > 0));
    }
    assert!(rested > 100, "{rested} of 1000 keys rest");
}

#[test]
fn a_full_store_that_was_flushed_takes_new_keys_without_evicting_them() {
    for database in [None, Some(Database(0))] {
        let mut store = store();
        let limits =
            Limits { bytes_max: Some(24 << 20), entries_max: None, policy: Policy::Adaptive };
        store.set_limits(limits);
        let stays = Key { database: Database(1), ..store.key(Database(0), b"stays") };
        store.set(&stays, NewValue::Text(b"v"), Expiry::Never).expect("it fits");
        for number in 0..300_000u32 {
            set(&mut store, &number.to_be_bytes(), &[b'x'; 100], Expiry::Never);
        }
        let evicted = store.stats().evicted;
        assert!(evicted > 0);
        store.flush(database);
        for number in 0..100_000u32 {
            set(&mut store, &number.to_le_bytes(), &[b'y'; 80], Expiry::Never);
        }
        assert_eq!(store.stats().evicted, evicted, "{database:?}");
        assert_eq!(store.len(Database(0)), 100_000);
        assert!(store.memory().total() <= (24 << 20) / 32 * 33);
    }
}

#[test]
fn a_random_victim_is_not_compared_with_others() {
    let mut store = store();
    let max = 8 << 20;
    let policy = Policy::VolatileRandom;
    store.set_limits(Limits { bytes_max: Some(max), entries_max: None, policy });
    let value = [b'x'; 200];
    for number in 0..100_000u32 {
        let name = number.to_string();
        let key = store.key(Database(0), name.as_bytes());
        let expiry = Expiry::At(Due::after(1_000_000 + u64::from(number), store.now()));
        store.set(&key, NewValue::Text(&value), expiry).expect("others may go");
    }
    let stats = *store.stats();
    assert!(stats.evicted > 50_000, "{stats:?}");
    // Some items of the wheel are of no use; each costs one look, once.
    assert!(stats.sampled <= stats.evicted * 5 / 4, "{stats:?}");
}
