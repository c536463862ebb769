//! Hashes against a plain map, in every encoding, with expiries and with replay.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use ringlane_base::{Clock, Millis};

use super::*;
use crate::memory::size_class;
use crate::types::{Body, CollectionType, PackLimits, SetChange};

/// A hash, what it was told, and a copy that only hears of changes.
struct Pair {
    hash: Hash,
    copy: Hash,
    limits: PackLimits,
    now: Now,
}

impl Pair {
    fn new(limits: PackLimits) -> Self {
        Self { hash: Hash::empty(), copy: Hash::empty(), limits, now: Now::both(Millis(1000)) }
    }

    fn edit<R>(&mut self, edit: impl FnOnce(&mut Edit<'_, Hash>) -> R) -> R {
        let mut changes = Vec::new();
        let (limits, now) = (&self.limits, self.now);
        let mut editing = Edit { value: &mut self.hash, limits, now, changes: Some(&mut changes) };
        let result = edit(&mut editing);
        // A copy that lags behind in time must come to the same.
        let mut repeated = Vec::new();
        let (value, now) = (&mut self.copy, Now::default());
        let mut copy = Edit { value, limits, now, changes: Some(&mut repeated) };
        for change in &changes {
            assert!(copy.apply(change));
        }
        assert!(!copy.apply(&SetChange::Add { member: Box::default() }.into()));
        assert_eq!(repeated, changes);
        result
    }

    fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        self.edit(|hash| hash.set(field, value))
    }

    fn view(&self) -> HashView<'_> {
        self.hash.as_view(self.now)
    }

    fn encoding(&self) -> &'static str {
        self.view().encoding()
    }
}

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<Due>)>;

fn contents(view: HashView<'_>) -> Model {
    let all: Model =
        view.fields().map(|of| (of.field.to_vec(), (of.value.to_vec(), of.expiry))).collect();
    assert_eq!(view.iter().count(), all.len(), "no field twice");
    all
}

fn check_bytes(hash: &Hash) {
    match hash {
        Hash::Packed(block) => assert!(block.len() <= PACKED_BYTES_MAX),
        Hash::Large(large) => large.check_bytes(),
    }
}

#[test]
fn ten_small_fields_take_one_small_block() {
    let mut pair = Pair::new(PackLimits::default());
    for number in 0..10 {
        pair.set(format!("field{number}").as_bytes(), format!("value{number:04}").as_bytes());
    }
    let Hash::Packed(block) = &pair.hash else { panic!("it is small") };
    // Ten times 6 and 9 characters with a byte before each, and the head.
    assert_eq!(block.len(), 172);
}

#[test]
fn a_large_hash_costs_little_beyond_its_records() {
    let mut pair = Pair::new(PackLimits::default());
    for number in 0..100_000u32 {
        pair.set(format!("field:{number:06}").as_bytes(), format!("value:{number:06}").as_bytes());
    }
    let Hash::Large(large) = &pair.hash else { panic!("it is large") };
    // A head of one byte before field and value.
    let record = size_class(1 + 1 + 24);
    assert!(large.bytes() <= 100_000 * (record + 24), "{}", large.bytes());
    assert!(large.next_expiry().is_none());
}

#[test]
fn it_becomes_large_beyond_exactly_the_limits() {
    let limits = PackLimits::default();
    let mut pair = Pair::new(limits);
    for number in 0..128 {
        assert!(pair.set(format!("f{number}").as_bytes(), b"v"));
        assert_eq!(pair.encoding(), "listpack");
    }
    assert!(!pair.set(b"f0", b"other"));
    assert_eq!(pair.encoding(), "listpack");
    assert!(pair.set(b"f128", b"v"));
    assert_eq!((pair.encoding(), pair.view().len()), ("hashtable", 129));

    for (field, value, encoding) in
        [(64, 64, "listpack"), (65, 1, "hashtable"), (1, 65, "hashtable"), (0, 0, "listpack")]
    {
        let mut pair = Pair::new(limits);
        pair.set(b"first", b"1");
        pair.set(&vec![b'f'; field], &vec![b'v'; value]);
        assert_eq!(pair.encoding(), encoding, "{field} {value}");
        assert_eq!(pair.view().get(b"first"), Some(Item::Integer(1)));
        assert_eq!(pair.view().get(&vec![b'f'; field]), Some(Item::of(&vec![b'v'; value])));
    }
    // A value that grows in its place.
    let mut pair = Pair::new(limits);
    pair.set(b"f", &[b'v'; 64]);
    assert!(!pair.set(b"f", &[b'v'; 65]));
    assert_eq!(pair.encoding(), "hashtable");
}

#[test]
fn no_block_passes_16_kib() {
    let limits = PackLimits {
        hash_max_listpack_entries: usize::MAX,
        hash_max_listpack_value: usize::MAX,
        ..PackLimits::default()
    };
    // The head, the field, a text with its length in two bytes.
    for (len, encoding) in [
        (PACKED_BYTES_MAX - 2 - 2 - 3, "listpack"),
        (PACKED_BYTES_MAX - 2 - 2 - 2, "hashtable"),
        (16 * 1024, "hashtable"),
        (3_000_000, "hashtable"),
    ] {
        let mut pair = Pair::new(limits);
        pair.set(b"f", &vec![b'v'; len]);
        assert_eq!((pair.encoding(), pair.view().len()), (encoding, 1), "{len}");
        let value = pair.view().get(b"f").expect("it is there").to_vec();
        assert_eq!(value, vec![b'v'; len]);
        // An expiry needs bytes too.
        pair.edit(|hash| hash.expire(b"f", Some(Due::at(Millis(5000)))));
        assert_eq!(pair.encoding(), "hashtable");
        assert_eq!(contents(pair.view()), contents(pair.copy.as_view(pair.now)));
    }
    let mut pair = Pair::new(limits);
    for number in 0..10_000u32 {
        pair.set(&number.to_le_bytes(), b"");
        check_bytes(&pair.hash);
    }
    assert_eq!((pair.encoding(), pair.view().len()), ("hashtable", 10_000));
}

#[test]
fn integers_are_told_from_texts_that_look_like_them() {
    let mut pair = Pair::new(PackLimits::default());
    for text in ["7", "007", "-0", "0", "-9223372036854775808", "9223372036854775808", "+7", ""] {
        assert!(pair.set(text.as_bytes(), text.as_bytes()));
    }
    for large in [false, true] {
        if large {
            pair.set(&[0xff; 100], b"binary");
            assert_eq!(pair.encoding(), "hashtable");
        }
        assert_eq!(pair.view().get(b"7"), Some(Item::Integer(7)));
        assert_eq!(pair.view().get(b"007"), Some(Item::Text(b"007")));
        assert_eq!(pair.view().get(b"-9223372036854775808"), Some(Item::Integer(i64::MIN)));
        assert_eq!(pair.view().get(b""), Some(Item::Text(b"")));
        assert_eq!(pair.view().get(b"07"), None);
    }
}

#[test]
fn fields_that_are_due_are_absent_until_they_go() {
    for limit in [128, 0] {
        let limits = PackLimits { hash_max_listpack_entries: limit, ..PackLimits::default() };
        let mut pair = Pair::new(limits);
        for field in [b"a", b"b", b"c"] {
            pair.set(field, b"1");
        }
        assert_eq!(pair.view().next_expiry(), Soonest::default());
        assert!(!pair.edit(|hash| hash.expire(b"none", Some(Due::at(Millis(2000))))));
        assert!(pair.edit(|hash| hash.expire(b"a", Some(Due::at(Millis(2000))))));
        assert!(pair.edit(|hash| hash.expire(b"b", Some(Due::at(Millis(3000))))));
        assert_eq!(pair.encoding(), if limit == 0 { "hashtable" } else { "listpackex" });
        assert_eq!(pair.view().expiry(b"a"), Some(Some(Due::at(Millis(2000)))));
        assert_eq!(pair.view().expiry(b"c"), Some(None));
        assert_eq!(pair.view().expiry(b"none"), None);
        assert_eq!(pair.view().next_expiry(), Soonest::of([Due::at(Millis(2000))]));
        pair.now = Now::both(Millis(1999));
        assert!(pair.view().contains(b"a"));
        pair.now = Now::both(Millis(2000));
        assert!(!pair.view().contains(b"a"));
        assert_eq!((pair.view().expiry(b"a"), pair.view().len()), (None, 3));
        assert_eq!(pair.view().iter().count(), 2);
        assert!(!pair.edit(|hash| hash.expire(b"a", None)), "it does not come back");
        assert!(pair.edit(|hash| hash.set_keeping_expiry(b"a", b"2")), "it is new");
        assert_eq!(pair.view().expiry(b"a"), Some(None));
        assert!(!pair.edit(|hash| hash.set_keeping_expiry(b"b", b"2")));
        assert_eq!(pair.view().expiry(b"b"), Some(Some(Due::at(Millis(3000)))));
        assert!(!pair.set(b"b", b"3"), "which clears the expiry");
        assert_eq!(
            (pair.view().expiry(b"b"), pair.view().next_expiry()),
            (Some(None), Soonest::default())
        );
        pair.edit(|hash| hash.expire(b"c", Some(Due::at(Millis(0)))));
        assert_eq!(pair.view().get(b"c"), None);
        assert!(!pair.edit(|hash| hash.remove(b"c")), "it was due");
        assert_eq!(pair.view().len(), 2);
        pair.edit(|hash| hash.expire(b"a", Some(Due::at(Millis(u64::MAX)))));
        // A block is a millisecond short of the end of time.
        let latest = i64::MAX as u64 - u64::from(limit > 0);
        assert_eq!(pair.view().expiry(b"a"), Some(Some(Due::at(Millis(latest)))));
        assert_eq!(contents(pair.view()), contents(pair.copy.as_view(pair.now)));
    }
}

#[test]
fn a_hundred_thousand_fields_expire_in_slices() {
    let mut hash = Hash::empty();
    let limits = PackLimits::default();
    let mut edit = Edit { value: &mut hash, limits: &limits, now: Now::default(), changes: None };
    for number in 0..100_000u64 {
        let field = number.to_be_bytes();
        edit.set(&field, b"value");
        // Many at one time, in no order.
        edit.expire(&field, Some(Due::at(Millis(number.wrapping_mul(7919) % 50_000 + 1))));
    }
    for number in 0..1000u64 {
        edit.expire(&(number * 3).to_be_bytes(), None);
    }
    edit.now = Now::both(Millis(40_000));
    let mut dice = fastrand::Rng::with_seed(9);
    let (field, _) = edit.view().random(&mut dice).expect("some are live");
    assert!(edit.view().contains(&field.to_vec()));
    let mut gone = BTreeSet::new();
    loop {
        let removed = edit.expire_due(500, &mut |field| assert!(gone.insert(field.to_vec())));
        assert!(removed <= 500);
        if removed == 0 {
            break;
        }
    }
    assert!(!edit.view().next_expiry().is_due(edit.now));
    assert_eq!(edit.view().len() + gone.len(), 100_000);
    assert_eq!(edit.view().iter().count(), edit.view().len());
    edit.now = Now::both(Millis(50_000));
    while edit.expire_due(7777, &mut |_| ()) > 0 {}
    assert_eq!((edit.view().len(), edit.view().next_expiry()), (1000, Soonest::default()));
    check_bytes(&hash);
    let Hash::Large(mut large) = hash else { panic!("large stays large") };
    assert!(!large.is_shared());
    let large = large.make_mut();
    assert!(large.bytes() < 1000 * 150, "{}", large.bytes());
    let mut calls = 0;
    loop {
        let mut units = 100;
        calls += 1;
        if large.free_some(&mut units) {
            break;
        }
        assert_eq!(units, 0);
    }
    assert!((10..30).contains(&calls), "{calls}");
    assert_eq!(large.len(), 0);
}

#[test]
fn what_is_shared_is_copied_by_a_change_only() {
    let mut pair = Pair::new(PackLimits { hash_max_listpack_entries: 0, ..PackLimits::default() });
    pair.set(b"a", b"1");
    let Hash::Large(shared) = pair.hash.clone() else { panic!("it is large") };
    let is_shared = |hash: &Hash| matches!(hash, Hash::Large(large) if large.is(&shared));
    assert!(!pair.edit(|hash| hash.remove(b"none")));
    assert_eq!(pair.edit(|hash| hash.expire_due(10, &mut |_| ())), 0);
    assert!(is_shared(&pair.hash));
    pair.set(b"b", b"2");
    assert!(!is_shared(&pair.hash));
    assert_eq!(shared.len(), 1);
}

#[test]
fn chance_falls_on_live_fields_alone() {
    for limit in [128, 0] {
        let limits = PackLimits { hash_max_listpack_entries: limit, ..PackLimits::default() };
        let mut pair = Pair::new(limits);
        let mut dice = fastrand::Rng::with_seed(4);
        assert_eq!(pair.view().random(&mut dice), None);
        for number in 0..100u8 {
            pair.set(&[number], &[number]);
            if number >= 10 {
                pair.edit(|hash| hash.expire(&[number], Some(Due::at(Millis(2000)))));
            }
        }
        pair.now = Now::both(Millis(2000));
        let mut drawn = BTreeMap::new();
        for _ in 0..2000 {
            let (field, value) = pair.view().random(&mut dice).expect("ten are live");
            assert_eq!(field, value);
            *drawn.entry(field.to_vec()).or_insert(0) += 1;
        }
        assert_eq!(drawn.len(), 10);
        // 200 expected each, standard deviation 14.
        assert!(drawn.values().all(|times| (130..270).contains(times)), "{drawn:?}");
        for number in 0..10u8 {
            pair.edit(|hash| hash.remove(&[number]));
        }
        assert_eq!(pair.view().random(&mut dice), None, "all that is left is due");
    }
}

fn field_of(number: usize) -> Vec<u8> {
    match number {
        0 => Vec::new(),
        1 => b"7".to_vec(),
        2 => b"007".to_vec(),
        3 => vec![0, 255, b'\r', b'\n'],
        4 => b"-1".to_vec(),
        5 => vec![b'l'; 40],
        _ => format!("field{number}").into_bytes(),
    }
}

fn value_of(number: usize) -> Vec<u8> {
    match number {
        0 => Vec::new(),
        1 => b"12345678901".to_vec(),
        2 => vec![0xff; 9],
        3 => vec![b'x'; 70],
        4 => vec![b'y'; 17_000],
        _ => number.to_string().into_bytes(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..Default::default() })]

    #[test]
    fn it_is_a_map(
        entries in prop::sample::select(vec![0usize, 5, 30, 128]),
        long in prop::sample::select(vec![10usize, 64, 20_000]),
        steps in prop::collection::vec((0u8..12, 0usize..60, 0usize..40, 0u64..60), 0..400),
    ) {
        let limits = PackLimits {
            hash_max_listpack_entries: entries,
            hash_max_listpack_value: long,
            ..PackLimits::default()
        };
        let mut pair = Pair::new(limits);
        let mut model = Model::new();
        for (action, field, value, time) in steps {
            let (field, value) = (field_of(field), value_of(value));
            let now = pair.now;
            let is_live = |of: &(Vec<u8>, Option<Due>)| of.1.is_none_or(|at| !at.is_due(now));
            let live = model.get(&field).is_some_and(is_live);
            match action {
                0..=3 => {
                    prop_assert_eq!(pair.set(&field, &value), !live);
                    model.insert(field, (value, None));
                }
                4 => {
                    prop_assert_eq!(pair.edit(|of| of.set_keeping_expiry(&field, &value)), !live);
                    let kept = model.get(&field).filter(|_| live).and_then(|of| of.1);
                    model.insert(field, (value, kept));
                }
                5 | 6 => {
                    prop_assert_eq!(pair.edit(|of| of.remove(&field)), live);
                    model.remove(&field);
                }
                7..=9 => {
                    let clock = Clock::ALL[value.len() % 2];
                    let at = (action < 9).then(|| Due::on(clock, now.on(clock).plus(time)));
                    prop_assert_eq!(pair.edit(|of| of.expire(&field, at)), live);
                    if live {
                        model.get_mut(&field).expect("live").1 = at;
                    }
                }
                10 => {
                    // The wall clock is set, too, there and back.
                    let set = if time % 7 == 0 { (time as i64 - 30) * 9 } else { 0 };
                    pair.now.steady = now.steady.plus(time / 4);
                    pair.now.wall = Millis((now.wall.0 + time / 4).saturating_add_signed(set).max(900));
                }
                _ => {
                    let max = time as usize / 6;
                    let due = model.values().filter(|of| !is_live(of)).count();
                    let mut gone = Vec::new();
                    let removed = pair.edit(|of| of.expire_due(max, &mut |of| gone.push(of.to_vec())));
                    prop_assert_eq!(removed, due.min(max));
                    prop_assert_eq!(removed, gone.len());
                    for field in gone {
                        prop_assert!(!is_live(&model.remove(&field).expect("it was there")));
                    }
                }
            }
            prop_assert_eq!(pair.view().len(), model.len());
        }
        check_bytes(&pair.hash);
        prop_assert_eq!(pair.hash.is_empty(), model.is_empty());
        // At the beginning of time nothing is due, so this compares what stands there.
        prop_assert_eq!(&contents(pair.hash.as_view(Now::default())), &contents(pair.copy.as_view(Now::default())));
        prop_assert_eq!(pair.view().next_expiry(), Soonest::of(model.values().filter_map(|of| of.1)));
        let now = pair.now;
        model.retain(|_, of| of.1.is_none_or(|at| !at.is_due(now)));
        for number in 0..60 {
            let field = field_of(number);
            let expected = model.get(&field);
            prop_assert_eq!(pair.view().get(&field).map(|of| of.to_vec()), expected.map(|of| of.0.clone()));
            prop_assert_eq!(pair.view().expiry(&field), expected.map(|of| of.1));
        }
        let mut scanned = Model::new();
        let mut cursor = 0;
        loop {
            cursor = pair.view().scan(cursor, 7, &mut |field, value| {
                let expiry = pair.view().expiry(&field.to_vec()).expect("it is shown");
                scanned.insert(field.to_vec(), (value.to_vec(), expiry));
            });
            if cursor == 0 {
                break;
            }
        }
        prop_assert_eq!(&scanned, &model);
        // Through the form in which it is stored.
        let again = match pair.hash.clone().into_body() {
            Body::Packed(bytes) => Hash::from_packed(bytes),
            Body::Large(large) => Hash::from_large(large),
        };
        prop_assert_eq!(contents(again.as_view(now)), model);
    }
}
