//! Lists against a plain deque of byte strings.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::types::Body;

/// A list, a second one that only ever repeats the recorded changes, and what both should be.
struct Trial {
    list: List,
    replayed: List,
    model: VecDeque<Vec<u8>>,
    limits: PackLimits,
}

#[derive(Clone, Debug)]
enum Step {
    Push(bool, Vec<u8>),
    Pop(bool),
    Set(usize, Vec<u8>),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Trim(usize, usize),
}

fn end(front: bool) -> End {
    if front { End::Front } else { End::Back }
}

fn vectors<'a>(items: impl Iterator<Item = Item<'a>>) -> Vec<Vec<u8>> {
    items.map(|item| item.to_vec()).collect()
}

impl Trial {
    fn new(list_max_listpack_size: i32) -> Self {
        Self {
            list: List::empty(),
            replayed: List::empty(),
            model: VecDeque::new(),
            limits: PackLimits { list_max_listpack_size, ..PackLimits::default() },
        }
    }

    fn edit(&mut self, change: impl FnOnce(&mut Edit<'_, List>)) {
        let mut changes = Vec::new();
        let (limits, now) = (&self.limits, Now::default());
        change(&mut Edit { value: &mut self.list, limits, now, changes: Some(&mut changes) });
        let mut edit = Edit { value: &mut self.replayed, limits, now, changes: None };
        for change in &changes {
            assert!(edit.apply(change));
        }
    }

    fn step(&mut self, step: Step) {
        let length = self.model.len();
        match step {
            Step::Push(front, element) => {
                self.edit(|edit| edit.push(end(front), &element));
                if front {
                    self.model.push_front(element);
                } else {
                    self.model.push_back(element);
                }
            }
            Step::Pop(front) => {
                let expected = if front { self.model.pop_front() } else { self.model.pop_back() };
                self.edit(|edit| assert_eq!(edit.pop(end(front)), expected));
            }
            Step::Set(index, element) => {
                let index = index % (length + 1);
                self.edit(|edit| assert_eq!(edit.set(index, &element), index < length));
                if index < length {
                    self.model[index] = element;
                }
            }
            Step::Insert(index, element) => {
                let index = index % (length + 2);
                self.edit(|edit| assert_eq!(edit.insert(index, &element), index <= length));
                if index <= length {
                    self.model.insert(index, element);
                }
            }
            Step::Remove(index, count) => {
                let index = index % (length + 1);
                self.edit(|edit| {
                    free(edit.remove(index, count));
                });
                self.model.drain(index..index.saturating_add(count).min(length));
            }
            Step::Trim(start, keep) => {
                let start = start % (length + 1);
                self.edit(|edit| {
                    free(edit.trim(start, keep));
                });
                let end = start.saturating_add(keep).min(length);
                self.model.truncate(end);
                self.model.drain(..if keep == 0 { end } else { start });
            }
        }
    }

    fn check_all(&self) {
        let expected: Vec<Vec<u8>> = self.model.iter().cloned().collect();
        for list in [&self.list, &self.replayed] {
            let view = list.as_view();
            assert_eq!(view.len(), expected.len());
            assert_eq!(vectors(view.iter()), expected);
            let backward = vectors(view.iter_rev());
            assert!(backward.iter().eq(expected.iter().rev()));
            if let ListView::Large(deque) = view {
                deque.check();
            }
        }
    }

    fn check_around(&self, index: usize) {
        let view = self.list.as_view();
        let length = self.model.len();
        let index = index % (length + 1);
        let expected = |index: usize| self.model.get(index).cloned();
        assert_eq!(view.get(index).map(|item| item.to_vec()), expected(index));
        assert_eq!(view.peek(End::Front).map(|item| item.to_vec()), expected(0));
        let forward = vectors(view.range(index, 5));
        assert!(forward.iter().eq(self.model.iter().skip(index).take(5)));
        let backward = vectors(view.range_rev(index, 5));
        let there = if index < length { index + 1 } else { 0 };
        assert!(backward.iter().eq(self.model.iter().take(there).rev().take(5)));
    }
}

fn free(garbage: Option<Collection>) {
    let Some(mut garbage) = garbage else { return };
    let mut slices = 0;
    while !garbage.free_some(&mut 7) {
        slices += 1;
        assert!(slices < 100_000);
    }
    assert_eq!(garbage.len(), 0);
}

fn element() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => any::<i16>().prop_map(|integer| integer.to_string().into_bytes()),
        4 => prop::collection::vec(any::<u8>(), 0..20),
        2 => (100usize..400).prop_map(|length| vec![b'm'; length]),
        1 => (3000usize..10_000).prop_map(|length| vec![b'l'; length]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<bool>(), element()).prop_map(|(front, element)| Step::Push(front, element)),
        3 => any::<bool>().prop_map(Step::Pop),
        2 => (any::<usize>(), element()).prop_map(|(index, element)| Step::Set(index, element)),
        4 => (any::<usize>(), element()).prop_map(|(index, element)| Step::Insert(index, element)),
        2 => (any::<usize>(), 1usize..4).prop_map(|(index, count)| Step::Remove(index, count)),
        1 => (0usize..3, any::<usize>()).prop_map(|(start, keep)| Step::Trim(start, keep)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn a_list_is_what_a_deque_is(
        size in prop::sample::select(vec![-1, -2, -5, 1, 2, 5, 128]),
        steps in prop::collection::vec(step(), 1..250),
    ) {
        let mut trial = Trial::new(size);
        for (number, step) in steps.into_iter().enumerate() {
            trial.step(step);
            trial.check_around(number * 7919);
        }
        trial.check_all();
    }
}

/// One of the steps, at random, such that lists reach some thousand elements.
fn random_step(dice: &mut fastrand::Rng, growing: bool) -> Step {
    let element = match dice.u32(..10) {
        0..5 => format!("{}", dice.i64(..) >> dice.u32(..64)).into_bytes(),
        5..9 => vec![b'a' + dice.u8(..26); dice.usize(..40)],
        _ => vec![b'x'; dice.usize(..3000)],
    };
    match dice.u32(..100) {
        0..45 if growing => Step::Push(dice.bool(), element),
        0..45 => Step::Pop(dice.bool()),
        45..60 => Step::Insert(dice.usize(..), element),
        60..75 => Step::Set(dice.usize(..), element),
        75..99 => Step::Remove(dice.usize(..), 1),
        _ => Step::Remove(dice.usize(..), dice.usize(..400)),
    }
}

#[test]
fn a_hundred_thousand_random_operations() {
    for (size, seed) in [(-2, 1), (3, 2)] {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut trial = Trial::new(size);
        for number in 0..50_000 {
            let growing = (number / 5000) % 3 < 2;
            trial.step(random_step(&mut dice, growing));
            trial.check_around(dice.usize(..));
            if number % 2500 == 0 {
                trial.check_all();
            }
        }
        trial.check_all();
    }
}

#[test]
fn pushes_and_pops_at_both_ends_of_many_groups() {
    let mut trial = Trial::new(2);
    for number in 0..2000u32 {
        trial.step(Step::Push(number % 3 == 0, number.to_string().into_bytes()));
    }
    trial.check_all();
    for number in 0..1990u32 {
        trial.step(Step::Pop(number % 5 < 2));
    }
    trial.check_all();
    trial.step(Step::Insert(5, vec![b'x'; 20_000]));
    trial.check_all();
    trial.step(Step::Trim(3, 4));
    trial.check_all();
    trial.step(Step::Trim(1, 0));
    assert!(trial.list.is_empty() && trial.replayed.is_empty());
}

fn list_of(limits: &PackLimits, count: usize, element: impl Fn(usize) -> Vec<u8>) -> List {
    let mut list = List::empty();
    let mut edit = Edit { value: &mut list, limits, now: Now::default(), changes: None };
    for index in 0..count {
        edit.push(End::Back, &element(index));
    }
    list
}

#[test]
fn small_lists_take_few_bytes() {
    let limits = PackLimits::default();
    let list = list_of(&limits, 10, |index| format!("element{index:04}").into_bytes());
    let List::Packed(block) = list else { panic!("ten elements are packed") };
    assert_eq!(block.len(), 132);
}

#[test]
fn large_lists_take_little_more_than_their_text() {
    let limits = PackLimits::default();
    for front in [false, true] {
        let mut list = List::empty();
        let mut edit =
            Edit { value: &mut list, limits: &limits, now: Now::default(), changes: None };
        for index in 0..100_000 {
            edit.push(end(front), format!("element{index:06}").as_bytes());
        }
        let Body::Large(large) = list.into_body() else { panic!("it is large") };
        let overhead = large.bytes() as f64 / 100_000.0 - 13.0;
        assert!(overhead < 2.2, "{overhead}");
    }
}

#[test]
fn a_list_becomes_large_exactly_at_the_limit_and_packed_again_at_half_of_it() {
    // 8 KiB: two bytes of count and two of overhead an element.
    let limits = PackLimits::default();
    let elements = (8192 - 2) / 12;
    let last_bytes = (8192 - 2) % 12;
    let list = list_of(&limits, elements, |_| vec![b'x'; 10]);
    assert_eq!(list.as_view().encoding(), "listpack");
    for (bytes, encoding) in [(last_bytes - 2, "listpack"), (last_bytes - 1, "quicklist")] {
        let mut list = list.clone();
        let mut edit =
            Edit { value: &mut list, limits: &limits, now: Now::default(), changes: None };
        edit.push(End::Back, &vec![b'x'; bytes]);
        assert_eq!(edit.view().encoding(), encoding);
    }
    for (size, most) in [(0, 1), (1, 1), (5, 5), (128, 128)] {
        let limits = PackLimits { list_max_listpack_size: size, ..PackLimits::default() };
        let mut list = list_of(&limits, most, |_| b"1".to_vec());
        assert_eq!(list.as_view().encoding(), "listpack");
        let mut edit =
            Edit { value: &mut list, limits: &limits, now: Now::default(), changes: None };
        edit.insert(1, b"2");
        assert_eq!(edit.view().encoding(), "quicklist");
        while edit.view().len() > most / 2 {
            if edit.view().len() > 1 {
                assert_eq!(edit.view().encoding(), "quicklist");
            }
            edit.pop(End::Front);
        }
        assert!(most == 1 || edit.view().encoding() == "listpack");
    }
}

#[test]
fn an_element_larger_than_a_chunk_has_its_own() {
    let mut trial = Trial::new(-2);
    for bytes in [100_000, 8191, 10, 70_000, 9000] {
        trial.step(Step::Push(true, vec![b'y'; bytes]));
        trial.step(Step::Push(false, vec![b'z'; bytes]));
        trial.check_all();
    }
    trial.step(Step::Set(2, b"small".to_vec()));
    trial.step(Step::Set(7, vec![b'w'; 300_000]));
    trial.step(Step::Insert(5, vec![b'v'; 300_000]));
    trial.check_all();
}

#[test]
fn a_trim_of_a_great_list_hands_the_rest_out() {
    let limits = PackLimits { list_max_listpack_size: 10, ..PackLimits::default() };
    let mut list = list_of(&limits, 10_000, |index| index.to_string().into_bytes());
    let mut edit = Edit { value: &mut list, limits: &limits, now: Now::default(), changes: None };
    let garbage = edit.trim(4000, 7).expect("whole groups went");
    assert!(garbage.len() > 6000);
    free(Some(garbage));
    let left = vectors(edit.view().iter());
    assert_eq!(left, (4000..4007).map(|index| index.to_string().into_bytes()).collect::<Vec<_>>());
}

#[test]
fn a_copy_lives_on_its_own() {
    let mut trial = Trial::new(2);
    for number in 0..1000u32 {
        trial.step(Step::Push(number % 2 == 0, number.to_string().into_bytes()));
    }
    let copy = trial.list.clone();
    let expected = vectors(copy.as_view().iter());
    for number in 0..400usize {
        trial.step(Step::Insert(number * 2, b"between".to_vec()));
        trial.step(Step::Pop(number % 2 == 0));
        trial.step(Step::Remove(number, 2));
    }
    trial.check_all();
    assert_eq!(vectors(copy.as_view().iter()), expected);
}

#[test]
fn a_list_that_empties_takes_next_to_nothing() {
    let limits = PackLimits { list_max_listpack_size: 4, ..PackLimits::default() };
    let mut list = list_of(&limits, 10_000, |index| index.to_string().into_bytes());
    let mut edit = Edit { value: &mut list, limits: &limits, now: Now::default(), changes: None };
    while edit.view().len() > 3 {
        edit.pop(End::Front);
    }
    let ListView::Large(deque) = edit.view() else { panic!("three of four are still large") };
    deque.check();
    assert!(deque.bytes() < 8 * 1024, "{}", deque.bytes());
    edit.pop(End::Back);
    assert_eq!(edit.view().encoding(), "listpack");
}
