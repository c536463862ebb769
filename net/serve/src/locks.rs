//! Slots of this lane that a command over several lanes holds. A held slot queues what comes for
//! it; other slots go on. Who waits for a slot while it holds others takes them in ascending order,
//! lane after lane, so no two commands can wait for each other; in which order the lanes are asked,
//! and what is given back meanwhile, is in `taking`.

use std::collections::{HashMap, VecDeque};

use ringlane_base::{LaneId, SLOT_COUNT, Slot};

use crate::parcel::{Errand, LockRequest, Parcel, WatchRequest};
use crate::taking::Ask;

/// Something that waits for a slot, in the order it came.
pub enum Waiter {
    /// A single request, alone in its parcel, and the lane that sent it.
    Request(LaneId, Box<Parcel>),
    /// A transaction of this lane's keys alone.
    Errand(LaneId, Box<Errand>),
    /// Keys to watch: what holds the slot has not changed them yet.
    Watch(LaneId, Box<WatchRequest>),
    /// A command that has got the slots before `next` and wants this one.
    Lock { from: LaneId, request: Box<LockRequest>, next: usize },
}

/// A command of at least so many slots takes those of a lane at one moment, when all of them are free:
/// waiting for one of them it would keep the others from everybody.
pub const WIDE_SLOTS_MIN: usize = 256;
/// Times that slots are given back before such a command takes its slots one after another all the same.
const PATIENCE: u32 = 256;

const WORDS: usize = SLOT_COUNT / 64;
const _: () = assert!(SLOT_COUNT.is_multiple_of(64));

/// A set of slots.
pub struct SlotSet([u64; WORDS]);

impl Default for SlotSet {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

impl SlotSet {
    pub fn add(&mut self, slot: Slot) {
        self.0[slot.index() / 64] |= 1 << (slot.index() % 64);
    }

    pub fn contains(&self, slot: Slot) -> bool {
        self.0[slot.index() / 64] >> (slot.index() % 64) & 1 == 1
    }

    /// Ascending.
    pub fn iter(&self) -> impl Iterator<Item = Slot> {
        self.0.iter().enumerate().flat_map(|(word, bits)| {
            (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| {
                Slot::new((word * 64 + bit) as u16).expect("below the count by the set's size")
            })
        })
    }
}

/// A command of very many slots that waits until none of them is held.
struct Wide {
    from: LaneId,
    request: Box<LockRequest>,
    /// How often slots have been given back since it came.
    given_back: u32,
}

/// The held slots and their queues.
pub struct Locks {
    /// A bit a slot: a command of very many keys holds nearly all of them.
    held: Box<[u64; WORDS]>,
    held_count: usize,
    /// Of those held slots alone that somebody waits for.
    queues: HashMap<Slot, VecDeque<Waiter>>,
    waiting: usize,
    /// In the order they came.
    wide: VecDeque<Wide>,
    /// Who may go on, since slots have become free.
    freed: VecDeque<Waiter>,
    /// They are going on.
    pub letting_go_on: bool,
}

impl Default for Locks {
    fn default() -> Self {
        Self {
            held: Box::new([0; WORDS]),
            held_count: 0,
            queues: HashMap::new(),
            waiting: 0,
            wide: VecDeque::new(),
            freed: VecDeque::new(),
            letting_go_on: false,
        }
    }
}

impl Locks {
    /// Whether any slot is held: the one branch that requests pay.
    #[inline]
    pub fn any(&self) -> bool {
        self.held_count > 0
    }

    #[inline]
    pub fn holds(&self, slot: Slot) -> bool {
        self.held[slot.index() / 64] >> (slot.index() % 64) & 1 == 1
    }

    /// The first slot that is held.
    pub fn first_held(&self) -> Option<Slot> {
        let (word, bits) = self.held.iter().enumerate().find(|(_, bits)| **bits != 0)?;
        Slot::new((word * 64) as u16 + bits.trailing_zeros() as u16)
    }

    /// Takes a slot that is free, at once.
    pub fn take(&mut self, slot: Slot) {
        assert!(!self.holds(slot), "who takes a slot has seen that it is free");
        self.hold(slot);
    }

    fn hold(&mut self, slot: Slot) {
        self.held[slot.index() / 64] |= 1 << (slot.index() % 64);
        self.held_count += 1;
    }

    /// Requests and commands that wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Takes the slots from `next` on; gives the request back when all are held. Otherwise the command
    /// waits in the queue of the first that is not free, or, if it wants very many, for `next_wide`.
    /// One that only looks takes none, and gets its request back when all are free.
    pub fn acquire(
        &mut self,
        from: LaneId,
        request: Box<LockRequest>,
        next: usize,
    ) -> Option<Box<LockRequest>> {
        let looks = request.ask == Ask::Look;
        let wide = looks || (next == 0 && request.slots.len() >= WIDE_SLOTS_MIN);
        if wide && !self.are_free(&request.slots) {
            self.wide.push_back(Wide { from, request, given_back: 0 });
            self.waiting += 1;
            return None;
        }
        if looks { Some(request) } else { self.acquire_in_order(from, request, next) }
    }

    fn acquire_in_order(
        &mut self,
        from: LaneId,
        request: Box<LockRequest>,
        next: usize,
    ) -> Option<Box<LockRequest>> {
        for index in next..request.slots.len() {
            let slot = request.slots[index];
            if self.holds(slot) {
                self.park(slot, Waiter::Lock { from, request, next: index });
                return None;
            }
            self.hold(slot);
        }
        Some(request)
    }

    fn are_free(&self, slots: &[Slot]) -> bool {
        !self.any() || !slots.iter().any(|slot| self.holds(*slot))
    }

    /// Takes all of these slots, if all are free.
    pub fn try_acquire(&mut self, slots: &[Slot]) -> bool {
        let free = self.are_free(slots);
        if free {
            for slot in slots {
                self.hold(*slot);
            }
        }
        free
    }

    /// Slots have been given back, and who waited for them has gone on.
    pub fn note_given_back(&mut self) {
        if let Some(first) = self.wide.front_mut() {
            first.given_back += 1;
        }
    }

    /// The next command that wants very many slots, if it has got them, or has seen them free; asked
    /// for until there is none.
    pub fn next_wide(&mut self) -> Option<(LaneId, Box<LockRequest>)> {
        let first = self.wide.front()?;
        if first.given_back < PATIENCE && !self.are_free(&first.request.slots) {
            return None;
        }
        let Wide { from, request, .. } = self.wide.pop_front()?;
        self.waiting -= 1;
        if request.ask == Ask::Look {
            return Some((from, request));
        }
        Some((from, self.acquire_in_order(from, request, 0)?))
    }

    /// Queues what found the slot held.
    pub fn park(&mut self, slot: Slot, waiter: Waiter) {
        assert!(self.holds(slot), "only what finds a slot held is parked");
        self.queues.entry(slot).or_default().push_back(waiter);
        self.waiting += 1;
    }

    /// Frees a slot. Who may go on stands in `next_freed`: what waits, up to the next command that
    /// wants the slot, and that command, which then holds it.
    pub fn release(&mut self, slot: Slot) {
        assert!(self.holds(slot), "a slot is released once, by its holder");
        self.held[slot.index() / 64] &= !(1 << (slot.index() % 64));
        self.held_count -= 1;
        if self.queues.is_empty() {
            return;
        }
        let Some(mut queue) = self.queues.remove(&slot) else { return };
        while let Some(waiter) = queue.pop_front() {
            self.waiting -= 1;
            let locks = matches!(waiter, Waiter::Lock { .. });
            self.freed.push_back(waiter);
            if locks {
                self.hold(slot);
                if !queue.is_empty() {
                    self.queues.insert(slot, queue);
                }
                break;
            }
        }
    }

    /// The next that may go on.
    pub fn next_freed(&mut self) -> Option<Waiter> {
        self.freed.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::unnecessary_box_returns, reason = "what a letter carries")]
    fn request(together: u32, slots: &[u16]) -> Box<LockRequest> {
        let slots = slots.iter().map(|&number| slot(number)).collect();
        Box::new(LockRequest {
            holder: crate::parcel::Holder::Together(together),
            ask: Ask::Wait,
            slots,
            keys: Vec::new(),
            watch: None,
            waiter: None,
        })
    }

    fn slot(number: u16) -> Slot {
        Slot::new(number).expect("a slot")
    }

    #[test]
    fn a_set_of_slots_gives_them_ascending_and_once() {
        let mut set = SlotSet::default();
        for number in [16383, 5, 64, 5, 0] {
            set.add(slot(number));
        }
        let found: Vec<u16> = set.iter().map(Slot::number).collect();
        assert_eq!(found, [0, 5, 64, 16383]);
    }

    /// Frees a slot: who may go on.
    fn release(locks: &mut Locks, number: u16) -> Vec<Waiter> {
        locks.release(slot(number));
        std::iter::from_fn(|| locks.next_freed()).collect()
    }

    #[test]
    fn a_held_slot_queues_and_hands_over_in_order() {
        let mut locks = Locks::default();
        let lane = LaneId(0);
        let five = slot(5);
        assert!(locks.acquire(lane, request(1, &[3, 5]), 0).is_some());
        locks.park(five, Waiter::Request(lane, Box::default()));
        assert!(locks.acquire(lane, request(2, &[1, 5, 9]), 0).is_none());
        locks.park(five, Waiter::Request(lane, Box::default()));
        assert_eq!(locks.waiting(), 3);

        let free = release(&mut locks, 5);
        assert!(matches!(free[0], Waiter::Request(..)));
        let Some(Waiter::Lock { request, next, .. }) = free.into_iter().nth(1) else {
            panic!("the second command was next");
        };
        assert!(locks.holds(five), "the slot goes over to the waiting command");
        assert!(locks.acquire(lane, request, next + 1).is_some());
        assert!(matches!(release(&mut locks, 5)[..], [Waiter::Request(..)]));
        assert!(!locks.holds(five));
        for other in [1, 3, 9] {
            assert!(locks.any());
            assert!(release(&mut locks, other).is_empty());
        }
        assert!(!locks.any());
        assert_eq!(locks.waiting(), 0);
    }

    #[test]
    fn who_wants_very_many_slots_holds_none_while_it_waits() {
        let (mut locks, lane) = (Locks::default(), LaneId(0));
        let all: Vec<u16> = (0..SLOT_COUNT as u16).collect();
        assert!(locks.acquire(lane, request(1, &[5]), 0).is_some());
        assert!(locks.acquire(lane, request(2, &all), 0).is_none());
        assert!(locks.acquire(lane, request(3, &all), 0).is_none());
        assert!(locks.acquire(lane, request(4, &all[6..]), 0).is_some(), "its own are free");
        assert_eq!(locks.waiting(), 2);
        assert!(!locks.holds(slot(4)) && locks.holds(slot(6)));
        for &number in &all[6..] {
            release(&mut locks, number);
        }
        assert!(locks.next_wide().is_none(), "5 is held");

        release(&mut locks, 5);
        let (_, second) = locks.next_wide().expect("nobody holds a slot");
        assert!(matches!(second.holder, crate::parcel::Holder::Together(2)));
        assert!(all.iter().all(|&number| locks.holds(slot(number))));
        assert!(locks.next_wide().is_none(), "the second holds them all");
        for &number in &all {
            release(&mut locks, number);
        }
        assert!(locks.next_wide().is_some());
        assert_eq!(locks.waiting(), 0);
    }

    #[test]
    fn who_only_tries_or_looks_takes_nothing_of_what_is_not_free() {
        let (mut locks, lane) = (Locks::default(), LaneId(0));
        let look =
            |number| Box::new(LockRequest { ask: Ask::Look, ..*request(number, &[4, 5, 6]) });
        assert!(locks.acquire(lane, look(1), 0).is_some() && !locks.any());
        assert!(locks.try_acquire(&[slot(5)]));
        assert!(!locks.try_acquire(&[slot(4), slot(5)]) && !locks.holds(slot(4)));
        assert!(locks.acquire(lane, look(2), 0).is_none());
        assert!(locks.acquire(lane, look(3), 0).is_none());
        assert!(locks.next_wide().is_none());
        release(&mut locks, 5);
        assert!(locks.next_wide().is_some() && locks.next_wide().is_some(), "both may try now");
        assert!(!locks.any() && locks.waiting() == 0);
    }

    #[test]
    fn who_wants_very_many_slots_gets_them_though_some_are_always_held() {
        let (mut locks, lane) = (Locks::default(), LaneId(0));
        let all: Vec<u16> = (0..SLOT_COUNT as u16).collect();
        assert!(locks.acquire(lane, request(1, &[5]), 0).is_some());
        assert!(locks.acquire(lane, request(2, &all), 0).is_none());
        for _ in 0..PATIENCE {
            assert!(locks.next_wide().is_none(), "5 is held");
            assert!(locks.acquire(lane, request(3, &[7]), 0).is_some(), "others go on");
            release(&mut locks, 7);
            locks.note_given_back();
        }
        assert!(locks.next_wide().is_none(), "5 is held");
        assert!(locks.holds(slot(4)), "it has begun to take them");
        let Some(Waiter::Lock { request, next, .. }) = release(&mut locks, 5).pop() else {
            panic!("it was next")
        };
        assert!(locks.acquire(lane, request, next + 1).is_some());
    }
}
