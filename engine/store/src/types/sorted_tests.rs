//! Sorted sets against a plain ordered map.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use proptest::prelude::*;

use super::super::{Body, CollectionType, PackLimits};
use super::*;

/// A score that can be a key. Never NaN, never minus zero.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Score(f64);

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// A set, a second one that only ever repeats the recorded changes, and what both should be.
struct Trial {
    set: SortedSet,
    replayed: SortedSet,
    scores: BTreeMap<Vec<u8>, f64>,
    order: BTreeSet<(Score, Vec<u8>)>,
    limits: PackLimits,
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, f64),
    Remove(Vec<u8>),
    RemoveAt(usize),
    Pop(bool),
}

type Entries = Vec<(Vec<u8>, f64)>;

fn entries<'a>(items: impl Iterator<Item = (Item<'a>, f64)>) -> Entries {
    items.map(|(item, score)| (item.to_vec(), score)).collect()
}

fn limits(entries: usize) -> PackLimits {
    PackLimits { zset_max_listpack_entries: entries, ..PackLimits::default() }
}

fn editing<'s>(set: &'s mut SortedSet, limits: &'s PackLimits) -> Edit<'s, SortedSet> {
    Edit { value: set, limits, now: Now::default(), changes: None }
}

impl Trial {
    fn new(entries: usize) -> Self {
        Self {
            set: SortedSet::empty(),
            replayed: SortedSet::empty(),
            scores: BTreeMap::new(),
            order: BTreeSet::new(),
            limits: limits(entries),
        }
    }

    fn edit<R>(&mut self, change: impl FnOnce(&mut Edit<'_, SortedSet>) -> R) -> R {
        let mut changes = Vec::new();
        let mut edit = editing(&mut self.set, &self.limits);
        edit.changes = Some(&mut changes);
        let result = change(&mut edit);
        let mut edit = editing(&mut self.replayed, &self.limits);
        for change in &changes {
            assert!(edit.apply(change));
        }
        result
    }

    fn expect_gone(&mut self, gone: Option<&(Vec<u8>, f64)>, expected: Option<(Score, Vec<u8>)>) {
        let wanted = expected.clone().map(|(score, member)| (member, score.0));
        assert_eq!(gone, wanted.as_ref());
        if let Some(entry) = expected {
            self.order.remove(&entry);
            self.scores.remove(&entry.1);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Put(member, score) => {
                let put = self.edit(|edit| edit.put(&member, score));
                let score = score + 0.0;
                let old = self.scores.insert(member.clone(), score);
                if let Some(old) = old {
                    self.order.remove(&(Score(old), member.clone()));
                }
                self.order.insert((Score(score), member));
                let same = old.is_some_and(|old| Score(old) == Score(score));
                let expected = if same { Put::Same } else { old.map_or(Put::Added, Put::Changed) };
                assert_eq!(put, expected);
            }
            Step::Remove(member) => {
                let expected = self.scores.get(&member).map(|&old| (Score(old), member.clone()));
                let gone = self.edit(|edit| edit.remove(&member));
                self.expect_gone(gone.map(|score| (member, score)).as_ref(), expected);
            }
            Step::RemoveAt(rank) => {
                let rank = rank % (self.order.len() + 1);
                let gone = self.edit(|edit| edit.remove_at(rank));
                let expected = self.order.iter().nth(rank).cloned();
                self.expect_gone(gone.as_ref(), expected);
            }
            Step::Pop(lowest) => {
                let end = if lowest { End::Front } else { End::Back };
                let gone = self.edit(|edit| edit.pop(end));
                let mut order = self.order.iter();
                let expected = if lowest { order.next() } else { order.next_back() }.cloned();
                self.expect_gone(gone.as_ref(), expected);
            }
        }
    }

    fn check_all(&self) {
        let expected: Entries =
            self.order.iter().map(|(score, member)| (member.clone(), score.0)).collect();
        for set in [&self.set, &self.replayed] {
            let view = set.as_view();
            assert_eq!(view.len(), expected.len());
            assert_eq!(entries(view.iter()), expected);
            let down = entries(view.range_rev(expected.len().saturating_sub(1), usize::MAX));
            assert!(down.iter().eq(expected.iter().rev()));
            for (rank, (member, score)) in expected.iter().enumerate() {
                assert_eq!(view.rank(member, false), Some((rank, *score)));
                assert_eq!(view.rank(member, true), Some((expected.len() - 1 - rank, *score)));
            }
            if let SortedView::Large(large) = view {
                large.check();
            }
            let mut seen = HashSet::new();
            let mut cursor = 0;
            loop {
                cursor = view.scan(cursor, 10, |member, score| {
                    assert_eq!(self.scores.get(&member.to_vec()), Some(&score));
                    seen.insert(member.to_vec());
                });
                if cursor == 0 {
                    break;
                }
            }
            assert_eq!(seen.len(), expected.len());
        }
    }

    /// Looks at what one draw of everything hits.
    fn check_around(&self, dice: &mut fastrand::Rng, score: f64, member: &[u8]) {
        let (view, score) = (self.set.as_view(), score + 0.0);
        assert_eq!(view.score(member), self.scores.get(member).copied());
        let below = self.order.range(..(Score(score), Vec::new())).count();
        let up_to = self.order.iter().take_while(|entry| entry.0 <= Score(score)).count();
        let [front, back] = [false, true].map(|behind| Edge::Score { score, behind });
        assert_eq!((view.rank_of(front), view.rank_of(back)), (below, up_to));
        assert_eq!(view.count_between(front, back), up_to - below);
        let before = self.order.range(..(Score(score), member.to_vec())).count();
        let edge = |behind| Edge::Member { score, member, behind };
        assert_eq!(view.rank_of(edge(false)), before);
        let there = self.order.contains(&(Score(score), member.to_vec()));
        assert_eq!(view.rank_of(edge(true)), before + usize::from(there));
        let expected = |entry: &(Score, Vec<u8>)| (entry.1.clone(), entry.0.0);
        let up = entries(view.range(below, 5));
        assert!(up.into_iter().eq(self.order.iter().skip(below).take(5).map(expected)));
        let rank = dice.usize(..=self.order.len());
        let there = if rank < self.order.len() { rank + 1 } else { 0 };
        let down = entries(view.range_rev(rank, 100));
        assert!(down.into_iter().eq(self.order.iter().take(there).rev().take(100).map(expected)));
        let random = view.random(dice);
        assert_eq!(random.is_none(), self.order.is_empty());
        if let Some((member, score)) = random {
            assert_eq!(self.scores.get(&member.to_vec()), Some(&score));
        }
    }
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => (0u32..200).prop_map(|number| number.to_string().into_bytes()),
        6 => (0u32..200).prop_map(|number| format!("member{number:03}").into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..5),
        1 => (60u8..70).prop_map(|length| vec![b'm'; usize::from(length)]),
        1 => (0usize..8).prop_map(|number| vec![b'l'; 700 + 200 * number]),
    ]
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (-3i32..6).prop_map(f64::from),
        2 => Just(0.5),
        1 => Just(-0.0),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
        2 => any::<f64>().prop_filter("NaN is refused before", |score| !score.is_nan()),
        2 => any::<i64>().prop_map(|score| score as f64),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (member(), score()).prop_map(|(member, score)| Step::Put(member, score)),
        2 => member().prop_map(Step::Remove),
        1 => any::<usize>().prop_map(Step::RemoveAt),
        1 => any::<bool>().prop_map(Step::Pop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn a_sorted_set_is_what_an_ordered_map_is(
        packed in prop::sample::select(vec![0usize, 4, 128, 100_000]),
        steps in prop::collection::vec(step(), 1..400),
        looks in prop::collection::vec((member(), score()), 40),
    ) {
        let mut trial = Trial::new(packed);
        let mut dice = fastrand::Rng::with_seed(1);
        for (number, step) in steps.into_iter().enumerate() {
            trial.step(step);
            let (member, score) = &looks[number % looks.len()];
            trial.check_around(&mut dice, *score, member);
        }
        trial.check_all();
    }
}

#[test]
fn a_hundred_thousand_random_operations() {
    let mut dice = fastrand::Rng::with_seed(7);
    let mut trial = Trial::new(128);
    for number in 0..100_000 {
        // Mostly growing, then mostly shrinking, then growing again.
        let shrinking = (number / 20_000) % 2 == 1;
        let member = match dice.u32(..10) {
            0..4 => dice.u32(..6000).to_string().into_bytes(),
            4..9 => format!("member:{:05}", dice.u32(..6000)).into_bytes(),
            _ => vec![b'x'; dice.usize(..1500)],
        };
        let score = match dice.u32(..4) {
            0 => f64::from(dice.u32(..5)),
            1 => f64::from(dice.i32(..)),
            _ => dice.f64(),
        };
        if number % 50 == 0 {
            trial.check_around(&mut dice, score, &member);
        }
        trial.step(match dice.u32(..10) {
            0..4 if shrinking => Step::Pop(dice.bool()),
            0..7 => Step::Put(member, score),
            7..9 => Step::Remove(member),
            _ if number % 10 == 0 => Step::RemoveAt(dice.usize(..)),
            _ => Step::Put(member, score),
        });
        if number % 10_000 == 9999 {
            trial.check_all();
        }
    }
}

#[test]
fn scores_that_change_a_little_change_places_a_little() {
    let mut dice = fastrand::Rng::with_seed(11);
    for packed in [0, 100_000] {
        let mut trial = Trial::new(packed);
        let members = if packed == 0 { 3000 } else { 300 };
        let name = |number: u32| format!("user:{number}").into_bytes();
        for number in 0..members {
            trial.step(Step::Put(name(number), f64::from(number)));
        }
        for step in 0..20_000 {
            let member = name(dice.u32(..members));
            let old = trial.scores[&member];
            // Scores of all lengths, 1 to 9 bytes.
            let score = match dice.u32(..12) {
                0 => old + 0.5,
                1 => old * 1.001,
                2 => (old / 100.0).trunc(),
                3 => f64::from(dice.u32(..members)),
                4 => old.trunc() + 1e9,
                _ => old + f64::from(dice.i32(-3..4)),
            };
            trial.check_around(&mut dice, score, &member);
            trial.step(Step::Put(member, score));
            if step % 4000 == 3999 {
                trial.check_all();
            }
        }
    }
}

#[test]
fn an_entry_is_replaced_wherever_the_other_one_belongs() {
    let members: Vec<String> = (0..7).map(|number| format!("m{number}")).collect();
    let run_of = |entries: &[(f64, &str)]| {
        entries.iter().fold(b"head".to_vec(), |mut run, (score, member)| {
            let end = run.len() - 4;
            run::insert(&mut run, 4, end, (*score, Item::of(member.as_bytes())));
            run
        })
    };
    for (old, new) in (0..7).flat_map(|old| (0..=7).map(move |new| (old, new))) {
        for score in [1.0, 1000.0, 0.1, f64::INFINITY] {
            let mut entries: Vec<(f64, &str)> =
                members.iter().map(|member| (1000.0, member.as_str())).collect();
            let mut run = run_of(&entries);
            let [from, to] = [old, new].map(|index| run::offset_of(&run[4..], index));
            run::replace(&mut run, 4, (from, to), (score, Item::of(b"other")));
            entries.insert(new, (score, "other"));
            entries.remove(if new <= old { old + 1 } else { old });
            assert_eq!(run, run_of(&entries), "{old} to {new}, {score}");
        }
    }
}

#[test]
fn members_of_one_score_are_found_by_their_bytes() {
    for packed in [0, 10_000] {
        let mut trial = Trial::new(packed);
        for number in 0..800u32 {
            trial.step(Step::Put((number * 7 % 800).to_string().into_bytes(), 1.5));
        }
        let view = trial.set.as_view();
        let members: Vec<Vec<u8>> = trial.scores.keys().cloned().collect();
        for edge in [&b""[..], b"0", b"1", b"10", b"5x", b"799", b"a"] {
            let before = members.iter().filter(|member| &member[..] < edge).count();
            let up_to = members.iter().filter(|member| &member[..] <= edge).count();
            assert_eq!(view.rank_of(Edge::Lex { member: edge, behind: false }), before);
            assert_eq!(view.rank_of(Edge::Lex { member: edge, behind: true }), up_to);
        }
        trial.check_all();
    }
}

#[test]
fn infinities_are_the_ends_and_minus_zero_is_zero() {
    for packed in [0, 128] {
        let mut trial = Trial::new(packed);
        for (member, score) in [
            (&b"high"[..], f64::INFINITY),
            (b"low", f64::NEG_INFINITY),
            (b"b", 0.0),
            (b"a", -0.0),
            (b"largest", f64::MAX),
        ] {
            trial.step(Step::Put(member.to_vec(), score));
        }
        trial.step(Step::Put(b"b".to_vec(), -0.0));
        let view = trial.set.as_view();
        let order: Vec<Vec<u8>> = view.iter().map(|(member, _)| member.to_vec()).collect();
        assert_eq!(order, [&b"low"[..], b"a", b"b", b"largest", b"high"]);
        assert!(view.score(b"a").is_some_and(f64::is_sign_positive));
        let finite = view.count_between(
            Edge::Score { score: f64::NEG_INFINITY, behind: true },
            Edge::Score { score: f64::INFINITY, behind: false },
        );
        assert_eq!(finite, 3);
        trial.check_all();
    }
}

#[test]
fn a_set_becomes_large_exactly_beyond_the_limits() {
    let limits = limits(5);
    let mut set = SortedSet::empty();
    let mut edit = editing(&mut set, &limits);
    for number in 0..5u8 {
        edit.put(&[number], 1.0);
    }
    edit.put(&[3], 2.0);
    assert_eq!(edit.view().encoding(), "listpack");
    edit.put(&[9], 1.0);
    assert_eq!(edit.view().encoding(), "skiplist");
    for (bytes, encoding) in [(64, "listpack"), (65, "skiplist")] {
        let mut set = SortedSet::empty();
        let mut edit = editing(&mut set, &limits);
        edit.put(&vec![b'x'; bytes], 1.0);
        assert_eq!(edit.view().encoding(), encoding);
    }
    let limits = PackLimits {
        zset_max_listpack_entries: usize::MAX,
        zset_max_listpack_value: usize::MAX,
        ..limits
    };
    let mut set = SortedSet::empty();
    let mut edit = editing(&mut set, &limits);
    for number in 0..10_000u32 {
        edit.put(&number.to_le_bytes(), 0.1);
        if let SortedSet::Packed(block) = &*edit.value {
            assert!(block.len() <= PACKED_BYTES_MAX);
        }
    }
    assert_eq!(set.as_view().encoding(), "skiplist");
    assert_eq!(set.as_view().len(), 10_000);
}

#[test]
fn small_sets_take_few_bytes() {
    let limits = PackLimits::default();
    let mut set = SortedSet::empty();
    let mut edit = editing(&mut set, &limits);
    for number in 0..10u32 {
        edit.put(format!("member{number:05}").as_bytes(), f64::from(1020 + number));
    }
    let SortedSet::Packed(block) = set else { panic!("ten members are packed") };
    assert_eq!(block.len(), 142);
}

/// Bytes for each member beyond its 12 own ones.
fn overhead(count: u32, score: impl Fn(u32) -> f64, order: impl Fn(u32) -> u32) -> f64 {
    let limits = PackLimits::default();
    let mut set = SortedSet::empty();
    let mut edit = editing(&mut set, &limits);
    for number in 0..count {
        let number = order(number);
        edit.put(format!("member{number:06}").as_bytes(), score(number));
    }
    let Body::Large(large) = set.into_body() else { panic!("it is large") };
    large.bytes() as f64 / f64::from(count) - 12.0
}

#[test]
fn large_sets_take_less_than_half_of_a_skip_list() {
    // A skip list with a hash table beside it takes some 55 bytes a member.
    // Each number once: the factor has no divisor in common with 100,000.
    let scattered = |number: u32| (u64::from(number) * 7_368_787 % 100_000) as u32;
    for (name, bytes, most) in [
        ("by time", overhead(100_000, f64::from, |number| number), 24.0),
        ("small integers", overhead(100_000, |number| f64::from(number % 1000), scattered), 24.0),
        ("doubles", overhead(100_000, |number| f64::from(number).sqrt(), scattered), 32.0),
        ("only just large", overhead(129, f64::from, |number| number), 45.0),
    ] {
        println!("{name}: {bytes:.1} bytes a member");
        assert!(bytes < most, "{name}: {bytes}");
    }
}

#[test]
fn a_large_set_is_freed_in_slices() {
    let limits = PackLimits::default();
    let mut set = SortedSet::empty();
    let mut edit = editing(&mut set, &limits);
    for number in 0..20_000u32 {
        edit.put(format!("member{number:06}").as_bytes(), f64::from(number % 77));
    }
    let Body::Large(mut large) = set.into_body() else { panic!("it is large") };
    let large = std::sync::Arc::make_mut(&mut large);
    let mut slices = 0;
    while !large.free_some(&mut 100) {
        slices += 1;
        assert!(slices < 1000);
    }
    assert!(slices > 100);
    assert_eq!(large.len(), 0);
    assert!(large.bytes() < 4096, "{}", large.bytes());
}

#[test]
fn a_copy_lives_on_its_own() {
    let mut trial = Trial::new(0);
    for number in 0..500u32 {
        trial.step(Step::Put(number.to_string().into_bytes(), f64::from(number % 9)));
    }
    let copy = trial.set.clone();
    for number in 0..250u32 {
        trial.step(Step::Put(number.to_string().into_bytes(), 100.0));
        trial.step(Step::Remove((number + 250).to_string().into_bytes()));
    }
    trial.check_all();
    let view = copy.as_view();
    assert_eq!(view.len(), 500);
    assert!((0..500u32).all(|number| {
        view.score(number.to_string().as_bytes()) == Some(f64::from(number % 9))
    }));
}
