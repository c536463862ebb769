//! The timer wheels of a lane, one for each clock: what goes by the one turns with the one alone. Owns
//! which wheel an item stands in; what a wheel does with it is `wheel`'s.

use ringlane_base::{Clock, Due, Now, Soonest};

use crate::wheel::{Item, Wheel};

/// One lane's timers.
pub struct Wheels {
    wall: Wheel,
    steady: Wheel,
}

impl Wheels {
    pub fn new() -> Self {
        Self { wall: Wheel::new(), steady: Wheel::new() }
    }

    fn of(&self, clock: Clock) -> &Wheel {
        match clock {
            Clock::Wall => &self.wall,
            Clock::Steady => &self.steady,
        }
    }

    /// The wheel that turns with this clock.
    pub fn of_mut(&mut self, clock: Clock) -> &mut Wheel {
        match clock {
            Clock::Wall => &mut self.wall,
            Clock::Steady => &mut self.steady,
        }
    }

    /// `Wheel::schedule`, in the wheel of its clock.
    #[inline]
    pub fn schedule(&mut self, due: Due, item: Item) {
        self.of_mut(due.clock()).schedule(due.time(), item);
    }

    /// The same in the wheel of each clock that something of the item goes by.
    pub fn schedule_each(&mut self, soonest: Soonest, item: Item) {
        for due in soonest.each() {
            self.schedule(due, item);
        }
    }

    /// `Wheel::advance`, each by its clock.
    #[inline]
    pub fn advance(&mut self, now: Now) {
        self.wall.advance(now.wall);
        self.steady.advance(now.steady);
    }

    /// How many items there are, those of no use included.
    pub fn len(&self) -> usize {
        self.wall.len() + self.steady.len()
    }

    /// Heap bytes of the items.
    pub fn bytes(&self) -> usize {
        self.wall.bytes() + self.steady.bytes()
    }

    /// Whether items wait to be popped.
    pub fn has_pending(&self) -> bool {
        self.wall.has_pending() || self.steady.has_pending()
    }

    /// In how many milliseconds something will be due on this clock, if nobody sets it.
    fn left_ms(&self, clock: Clock, now: Now) -> Option<u64> {
        self.of(clock).next_due().map(|at| at.since(now.on(clock)))
    }

    /// In how many milliseconds something will be due, if nobody sets the clock.
    pub fn next_due_ms(&self, now: Now) -> Option<u64> {
        Clock::ALL.into_iter().filter_map(|clock| self.left_ms(clock, now)).min()
    }

    /// The wheel to `draw` from: the one that has what is due next, or either by its share of the items.
    pub fn choose(&self, soonest: bool, now: Now, dice: &mut fastrand::Rng) -> Clock {
        let wall = if self.wall.len() == 0 || self.steady.len() == 0 {
            self.steady.len() == 0
        } else if soonest {
            self.left_ms(Clock::Wall, now) <= self.left_ms(Clock::Steady, now)
        } else {
            dice.usize(..self.len()) < self.wall.len()
        };
        if wall { Clock::Wall } else { Clock::Steady }
    }

    /// Whether lists wait to be freed.
    pub fn has_trash(&self) -> bool {
        self.wall.has_trash() || self.steady.has_trash()
    }

    /// Forgets every item; the memory is freed in slices by `free_trash`.
    pub fn clear(&mut self) {
        self.wall.clear();
        self.steady.clear();
    }

    /// Frees up to `chunks` chunks of forgotten items; returns how many.
    pub fn free_trash(&mut self, chunks: usize) -> usize {
        let freed = self.wall.free_trash(chunks);
        freed + self.steady.free_trash(chunks - freed)
    }
}
