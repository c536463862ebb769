//! What goes when the store is full: the four bits an entry carries, the two queues they stand for,
//! the hands, the ghosts, and the policies over them.
//!
//! ```text
//! bits: | main 1 | fresh 1 | counter 2 |        adaptive, lru, random
//!       | main 1 | counter 3 |                  lfu, fifo
//! ```
//! Adaptive is S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023)
//! in hash-table order: a queue's hand walks the tables and looks only at entries of its queue.

pub mod ghosts;
mod hands;
pub mod victims;

use crate::classes::Class;
use crate::entry::Entry;
use crate::{Policy, Stats};

pub use hands::{Ground, Hand};

use ghosts::{Ghosts, Origin};

/// The entry is in the main queue, otherwise in probation.
pub const MAIN: u8 = 8;
/// The entry came after the hand's last pass.
pub const FRESH: u8 = 4;
/// Uses since the hand's last pass, saturating.
pub const USES: u8 = 3;
/// The wider counter of lfu and fifo.
pub const LEVEL: u8 = 7;

/// Where an lfu counter begins; between these it grows with falling probability.
const LFU_NEWBORN: u8 = 2;
/// How many passes a fifo entry survives.
const FIFO_NEWBORN: u8 = 4;

/// The probation queue's share of the whole, in 1/65536: at first, and its bounds.
const SHARE_FIRST: u32 = 65536 / 5;
const SHARE_MIN: u32 = 65536 / 10;
const SHARE_MAX: u32 = 65536 / 2;

/// A ghost hit moves the share by four entries, in 1/65536; by a tenth of the whole at most.
const SHARE_STEP: usize = 4 * 65536;
const SHARE_STEP_MAX: usize = 6554;

/// What one queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    pub entries: usize,
    pub bytes: usize,
}

/// The state of eviction.
pub struct Eviction {
    pub policy: Policy,
    pub probation: Queue,
    pub main: Queue,
    pub probation_hand: Hand,
    pub main_hand: Hand,
    pub ghosts: Ghosts,
    /// The share that probation should have.
    share: u32,
    /// Whether entries, not bytes, are what is limited.
    pub by_entries: bool,
}

/// What an entry counts for: its cell and what its value takes outside.
#[inline]
pub fn weight_of(entry: Entry<'_>) -> usize {
    let bytes = entry.bytes();
    Class::of_entry(bytes).map_or(bytes, Class::bytes) + entry.charged()
}

impl Eviction {
    pub fn new(slots: usize) -> Self {
        Self {
            policy: Policy::default(),
            probation: Queue::default(),
            main: Queue::default(),
            probation_hand: Hand::new(slots),
            main_hand: Hand::new(slots),
            ghosts: Ghosts::new(),
            share: SHARE_FIRST,
            by_entries: false,
        }
    }

    /// The bits after a use.
    #[inline]
    pub fn used(&self, clock: u8, dice: &mut fastrand::Rng) -> u8 {
        match self.policy {
            Policy::Adaptive | Policy::NoEviction => {
                if clock & USES == USES {
                    clock
                } else {
                    clock + 1
                }
            }
            Policy::AllkeysLru | Policy::VolatileLru => clock | USES,
            Policy::AllkeysLfu | Policy::VolatileLfu => lfu_used(clock, dice),
            Policy::AllkeysRandom
            | Policy::AllkeysFifo
            | Policy::VolatileRandom
            | Policy::VolatileFifo
            | Policy::VolatileTtl => clock,
        }
    }

    /// The bits of a new entry with this hash.
    #[inline]
    pub fn newborn(&mut self, hash: u64, stats: &mut Stats) -> u8 {
        match self.policy {
            Policy::Adaptive => self.newborn_adaptive(hash, stats),
            Policy::AllkeysLru | Policy::VolatileLru => FRESH | 1,
            Policy::AllkeysLfu | Policy::VolatileLfu => LFU_NEWBORN,
            Policy::AllkeysFifo | Policy::VolatileFifo => FIFO_NEWBORN,
            Policy::AllkeysRandom
            | Policy::VolatileRandom
            | Policy::VolatileTtl
            | Policy::NoEviction => FRESH,
        }
    }

    fn newborn_adaptive(&mut self, hash: u64, stats: &mut Stats) -> u8 {
        let Some(origin) = self.ghosts.take(hash) else { return FRESH };
        stats.ghost_hits += 1;
        let step = (SHARE_STEP / self.entries().max(1)).clamp(1, SHARE_STEP_MAX) as u32;
        self.share = match origin {
            Origin::Probation => (self.share + step).min(SHARE_MAX),
            Origin::Main => self.share.saturating_sub(step).max(SHARE_MIN),
        };
        // It has shown twice that it is used; more so if it had been in the main queue.
        match origin {
            Origin::Probation => MAIN | 1,
            Origin::Main => MAIN | 2,
        }
    }

    fn entries(&self) -> usize {
        self.probation.entries + self.main.entries
    }

    fn queue(&mut self, clock: u8) -> &mut Queue {
        if clock & MAIN == 0 { &mut self.probation } else { &mut self.main }
    }

    #[inline]
    pub fn came(&mut self, clock: u8, weight: usize) {
        let queue = self.queue(clock);
        queue.entries += 1;
        queue.bytes += weight;
    }

    #[inline]
    pub fn went(&mut self, clock: u8, weight: usize) {
        let queue = self.queue(clock);
        queue.entries -= 1;
        queue.bytes -= weight;
    }

    /// Every entry has been taken away at once.
    pub fn forget_all(&mut self) {
        self.probation = Queue::default();
        self.main = Queue::default();
    }

    /// Whether probation holds more than its share.
    pub fn probation_is_over(&self) -> bool {
        let (probation, main) = if self.by_entries {
            (self.probation.entries, self.main.entries)
        } else {
            (self.probation.bytes, self.main.bytes)
        };
        if main == 0 {
            return true;
        }
        probation as u128 * 65536 > (probation + main) as u128 * u128::from(self.share)
    }
}

#[inline]
fn lfu_used(clock: u8, dice: &mut fastrand::Rng) -> u8 {
    let level = clock & LEVEL;
    if level == LEVEL || u32::from(dice.u8(..)) >> (8 - level) != 0 {
        return clock;
    }
    clock + 1
}
