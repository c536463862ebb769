//! In which order a command asks several lanes for their slots, and what it does when some are not
//! free. Knows no lane and no slot: it is told what was answered, and says what comes next.
//!
//! A command of few slots takes them lane after lane, and keeps those that it has while it waits for
//! the next. One of very many would keep them from everybody meanwhile: it takes a lane's slots only
//! if they are free; where they are not, it gives back what it has, waits until that lane could give
//! all of its own, and begins anew. After `ROUNDS_MAX` of that it takes them as the others do, which
//! comes to its end whatever the others do.

use std::ops::Range;

/// Times that a command of very many slots gives back what it has.
pub const ROUNDS_MAX: u32 = 16;

/// How a lane is to answer who wants slots of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Once all are taken; until then those stay taken that were free.
    Wait,
    /// At once: all are taken, or none.
    Try,
    /// Once all are free at one moment, or have not been for long; none is taken.
    Look,
}

/// What a lane answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Taken,
    /// To `Ask::Try`: none is taken.
    NotFree,
    /// To `Ask::Look`.
    Free,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask this lane.
    Ask(usize, Ask),
    /// All slots are taken.
    Taken,
}

/// How far a command has come. Its lanes are counted from 0, in the order of their slots.
#[derive(Clone, Copy, Debug)]
pub struct Taking {
    lanes: usize,
    /// Those before it are taken.
    next: usize,
    ask: Ask,
    rounds: u32,
}

impl Taking {
    /// Of so many lanes; `very_many`: nobody should wait for its slots while it waits for others.
    pub fn new(lanes: usize, very_many: bool) -> Self {
        let ask = if very_many && lanes > 1 { Ask::Try } else { Ask::Wait };
        Self { lanes, next: 0, ask, rounds: 0 }
    }

    pub fn next(&self) -> Next {
        if self.next < self.lanes { Next::Ask(self.next, self.ask) } else { Next::Taken }
    }

    /// The lanes whose slots it has.
    pub fn taken(&self) -> Range<usize> {
        let taken = if self.ask == Ask::Look { 0 } else { self.next };
        0..taken
    }

    /// Whether it may have asked a lane more than once.
    pub fn tries(&self) -> bool {
        self.rounds > 0 || self.ask != Ask::Wait
    }

    /// The lane that was asked has answered. Those whose slots are to be given back before `next` is
    /// done.
    pub fn answered(&mut self, answer: Answer) -> Range<usize> {
        match (self.ask, answer) {
            (Ask::Try | Ask::Wait, Answer::Taken) => self.next += 1,
            (Ask::Try, Answer::NotFree) => {
                self.rounds += 1;
                self.ask = Ask::Look;
                return 0..self.next;
            }
            (Ask::Look, Answer::Free) => {
                self.next = 0;
                self.ask = if self.rounds < ROUNDS_MAX { Ask::Try } else { Ask::Wait };
            }
            (Ask::Try, Answer::Free)
            | (Ask::Look, Answer::Taken | Answer::NotFree)
            | (Ask::Wait, Answer::NotFree | Answer::Free) => {
                unreachable!("a lane answers what it was asked")
            }
        }
        0..0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, VecDeque};

    use ringlane_base::{LaneId, Slot};

    use super::*;
    use crate::locks::{Locks, WIDE_SLOTS_MIN, Waiter};
    use crate::parcel::{Holder, LockRequest};

    /// Slots of each lane: all of them are very many.
    const SLOTS: u16 = WIDE_SLOTS_MIN as u16;
    const SEEDS: u64 = 400;

    enum Letter {
        Lock(Box<LockRequest>),
        Answer(usize, Answer),
        Release(Vec<Slot>),
    }

    struct Command {
        leader: usize,
        groups: Vec<(usize, Vec<Slot>)>,
        taking: Taking,
        /// All its slots are taken, and not given back yet.
        runs: bool,
        ended: bool,
    }

    /// Lanes that send each other letters, which arrive in order from each to each, and commands that
    /// take slots and give them back.
    struct World {
        locks: Vec<Locks>,
        mail: Vec<Vec<VecDeque<Letter>>>,
        commands: Vec<Command>,
        owners: HashMap<Slot, usize>,
        random: fastrand::Rng,
    }

    impl World {
        fn new(lanes: usize, seed: u64) -> Self {
            let mail = || (0..lanes).map(|_| VecDeque::new()).collect();
            Self {
                locks: (0..lanes).map(|_| Locks::default()).collect(),
                mail: (0..lanes).map(|_| mail()).collect(),
                commands: Vec::new(),
                owners: HashMap::new(),
                random: fastrand::Rng::with_seed(seed),
            }
        }

        /// A command of so many slots of each of these lanes.
        fn begin(&mut self, leader: usize, lanes: &[usize], slots: std::ops::Range<u16>) {
            let slot = |lane: usize, number| Slot::new(lane as u16 * SLOTS + number);
            let of = |lane: &usize| slots.clone().map(|it| slot(*lane, it).expect("few")).collect();
            let groups: Vec<(usize, Vec<Slot>)> = lanes.iter().map(|it| (*it, of(it))).collect();
            let very_many = slots.len() * lanes.len() >= WIDE_SLOTS_MIN;
            let taking = Taking::new(groups.len(), very_many);
            self.commands.push(Command { leader, groups, taking, runs: false, ended: false });
            self.go_on(self.commands.len() - 1);
        }

        fn go_on(&mut self, number: usize) {
            let command = &mut self.commands[number];
            let Next::Ask(group, ask) = command.taking.next() else {
                command.runs = true;
                return;
            };
            let (lane, slots) = command.groups[group].clone();
            let holder = Holder::Together(number as u32);
            let request = LockRequest { ask, slots, ..LockRequest::of_entries(holder, Vec::new()) };
            self.mail[command.leader][lane].push_back(Letter::Lock(Box::new(request)));
        }

        fn release(&mut self, number: usize, groups: std::ops::Range<usize>) {
            let command = &self.commands[number];
            for (lane, slots) in command.groups[groups].iter().cloned() {
                self.mail[command.leader][lane].push_back(Letter::Release(slots));
            }
        }

        /// A lane has read a request, or somebody has made way for it.
        fn grant(&mut self, lane: usize, request: &LockRequest, answer: Answer) {
            let Holder::Together(number) = request.holder else { unreachable!("no other is made") };
            let number = number as usize;
            if answer == Answer::Taken {
                for slot in &request.slots {
                    assert_eq!(self.owners.insert(*slot, number), None, "two hold {slot:?}");
                }
            }
            let leader = self.commands[number].leader;
            self.mail[lane][leader].push_back(Letter::Answer(number, answer));
        }

        fn acquire(&mut self, lane: usize, request: Box<LockRequest>, next: usize) {
            let request = match request.ask {
                Ask::Try if self.locks[lane].try_acquire(&request.slots) => Some(request),
                Ask::Try => return self.grant(lane, &request, Answer::NotFree),
                Ask::Wait | Ask::Look => self.locks[lane].acquire(LaneId(0), request, next),
            };
            self.grant_if(lane, request);
        }

        fn grant_if(&mut self, lane: usize, request: Option<Box<LockRequest>>) {
            let Some(request) = request else { return };
            let looks = request.ask == Ask::Look;
            self.grant(lane, &request, if looks { Answer::Free } else { Answer::Taken });
        }

        fn read(&mut self, from: usize, to: usize) {
            match self.mail[from][to].pop_front().expect("looked by the caller") {
                Letter::Lock(request) => self.acquire(to, request, 0),
                Letter::Answer(number, answer) => {
                    let back = self.commands[number].taking.answered(answer);
                    self.release(number, back);
                    let taking = self.commands[number].taking;
                    if let Next::Ask(_, Ask::Look) = taking.next() {
                        assert!(taking.taken().is_empty(), "it holds slots while it waits");
                    }
                    self.go_on(number);
                }
                Letter::Release(slots) => {
                    for slot in slots {
                        self.owners.remove(&slot).expect("it was taken");
                        self.locks[to].release(slot);
                    }
                    self.locks[to].note_given_back();
                    self.let_go_on(to);
                }
            }
        }

        fn let_go_on(&mut self, lane: usize) {
            loop {
                if let Some(waiter) = self.locks[lane].next_freed() {
                    let Waiter::Lock { request, next, .. } = waiter else {
                        unreachable!("only commands wait")
                    };
                    self.acquire(lane, request, next + 1);
                } else if let Some((_, request)) = self.locks[lane].next_wide() {
                    self.grant_if(lane, Some(request));
                } else {
                    return;
                }
            }
        }

        /// Something that can happen happens; false: nothing can.
        fn step(&mut self) -> bool {
            let lanes = self.locks.len();
            let mut all: Vec<(usize, usize)> =
                (0..lanes).flat_map(|from| (0..lanes).map(move |to| (from, to))).collect();
            all.retain(|(from, to)| !self.mail[*from][*to].is_empty());
            let runs = |(number, it): (usize, &Command)| it.runs.then_some(number);
            let running: Vec<usize> = self.commands.iter().enumerate().filter_map(runs).collect();
            if all.is_empty() && running.is_empty() {
                return false;
            }
            let choice = self.random.usize(..all.len() + running.len());
            match all.get(choice) {
                Some(&(from, to)) => self.read(from, to),
                None => self.end(running[choice - all.len()]),
            }
            true
        }

        fn end(&mut self, number: usize) {
            let command = &mut self.commands[number];
            (command.runs, command.ended) = (false, true);
            let groups = 0..command.groups.len();
            self.release(number, groups);
        }

        /// Everything that is on its way arrives, but no command ends.
        fn deliver_all(&mut self) {
            let lanes = self.locks.len();
            while let Some((from, to)) = (0..lanes * lanes)
                .map(|pair| (pair / lanes, pair % lanes))
                .find(|(from, to)| !self.mail[*from][*to].is_empty())
            {
                self.read(from, to);
            }
        }

        fn assert_all_ended(&self, seed: u64) {
            assert!(self.commands.iter().all(|command| command.ended), "seed {seed}");
            for locks in &self.locks {
                assert!(!locks.any() && locks.waiting() == 0, "seed {seed}");
            }
        }
    }

    #[test]
    fn every_command_gets_its_slots_and_all_are_free_in_the_end() {
        let mut rounds = 0;
        for seed in 0..SEEDS {
            let lanes = 1 + (seed % 4) as usize;
            let mut world = World::new(lanes, seed);
            for _ in 0..30 {
                let leader = world.random.usize(..lanes);
                let first = world.random.usize(..lanes);
                let last = world.random.usize(first..lanes);
                let of: Vec<usize> = (first..=last).collect();
                let slots = if world.random.u8(..) < 80 {
                    0..SLOTS
                } else {
                    let slot = world.random.u16(..SLOTS - 2);
                    slot..slot + world.random.u16(1..3)
                };
                world.begin(leader, &of, slots);
                for _ in 0..world.random.usize(..20) {
                    world.step();
                }
            }
            while world.step() {}
            world.assert_all_ended(seed);
            rounds += world.commands.iter().map(|command| command.taking.rounds).sum::<u32>();
        }
        assert!(rounds > 0, "nobody ever gave anything back");
    }

    #[test]
    fn lanes_are_free_while_a_command_of_very_many_slots_waits_for_another() {
        let mut world = World::new(3, 0);
        world.begin(1, &[2], 7..8);
        world.deliver_all();
        world.begin(0, &[0, 1, 2], 0..SLOTS);
        world.deliver_all();
        assert!(!world.locks[0].any() && !world.locks[1].any());
        assert_eq!(world.locks[2].waiting(), 1);
        // Others go on there, and here too but for the slot that is held.
        for lane in 0..3 {
            world.begin(0, &[lane], 3..5);
            world.deliver_all();
            assert!(world.commands.last().expect("just begun").runs, "lane {lane}");
            world.end(world.commands.len() - 1);
        }
        world.deliver_all();
        assert!(!world.commands[1].runs);
        world.end(0);
        world.deliver_all();
        assert!(world.commands[1].runs, "all is free");
        world.end(1);
        world.deliver_all();
        world.assert_all_ended(0);
    }

    #[test]
    fn patience_comes_to_an_end() {
        let mut taking = Taking::new(2, true);
        for round in 0..ROUNDS_MAX {
            assert_eq!(taking.next(), Next::Ask(0, Ask::Try), "{round}");
            assert_eq!(taking.answered(Answer::Taken), 0..0);
            assert_eq!(taking.next(), Next::Ask(1, Ask::Try));
            assert_eq!(taking.answered(Answer::NotFree), 0..1, "the first is given back");
            assert_eq!(taking.next(), Next::Ask(1, Ask::Look));
            assert_eq!(taking.taken(), 0..0);
            assert_eq!(taking.answered(Answer::Free), 0..0);
        }
        for lane in 0..2 {
            assert_eq!(taking.next(), Next::Ask(lane, Ask::Wait));
            assert_eq!(taking.answered(Answer::Taken), 0..0);
        }
        assert_eq!((taking.next(), taking.taken()), (Next::Taken, 0..2));
    }

    #[test]
    fn few_slots_and_one_lane_are_taken_in_order() {
        for taking in [Taking::new(3, false), Taking::new(1, true)] {
            assert_eq!(taking.next(), Next::Ask(0, Ask::Wait));
            assert!(!taking.tries());
        }
        assert_eq!(Taking::new(0, true).next(), Next::Taken);
    }
}
