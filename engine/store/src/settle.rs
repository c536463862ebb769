//! Moves what large collections own to where it leaves fewer holes. Their elements live in the global
//! allocator, which may move nothing by itself: where sizes change over time, pages with a few old
//! elements each stay behind. Owns where the walk through the collections stands; whether it pays is
//! for whoever sees the allocator's books to say.

use std::sync::Arc;

use ringlane_base::Millis;

use crate::entry;
use crate::slot_table::Position;
use crate::store::{Found, Store, handle_at};
use crate::types::SettleCursor;

/// Elements that one slice may look at, and what moving one counts for beside that.
const MOVED_UNITS: u32 = 2;
/// A walk that has moved less than this part of what it saw rests before the next: at least so many
/// milliseconds, and so many times as long as it took.
const WORTH_SHARE: u64 = 32;
const REST_MS_MIN: u64 = 200;
const REST_TIMES: u64 = 3;

/// What a slice may cost still, and what it has done.
pub struct Settling {
    pub units: u32,
    pub seen: u64,
    pub moved: u64,
}

impl Settling {
    /// An allocation was looked at; whether it moved.
    #[inline]
    pub fn count(&mut self, moved: bool) {
        self.seen += 1;
        self.moved += u64::from(moved);
        let cost = 1 + if moved { MOVED_UNITS } else { 0 };
        self.units = self.units.saturating_sub(cost);
    }
}

/// Where the walk stands.
#[derive(Debug, Default)]
pub struct Settle {
    wanted: bool,
    slot: usize,
    position: Position,
    /// Within the collection there.
    cursor: SettleCursor,
    /// When the walk began by the steady clock, and what it has done since.
    began: Option<Millis>,
    seen: u64,
    moved: u64,
    rests_until: Option<Millis>,
}

impl Store {
    /// Whether holes between the elements of large collections take so much memory that moving
    /// elements together pays. Upkeep does it for as long as this holds.
    pub fn set_settling(&mut self, wanted: bool) {
        self.settle.wanted = wanted;
    }

    /// Whether there is something to move now.
    pub(crate) fn settle_is_due(&self) -> bool {
        self.settle.wanted
            && self.outside_bytes > 0
            && self.settle.rests_until.is_none_or(|until| self.now.steady >= until)
    }

    /// One slice; returns the units that it took.
    pub(crate) fn settle_slice(&mut self, budget: usize) -> usize {
        if !self.settle_is_due() {
            return 0;
        }
        self.settle.began.get_or_insert(self.now.steady);
        let units = budget.min(u32::MAX as usize) as u32;
        let mut slice = Settling { units, seen: 0, moved: 0 };
        while slice.units > 0 {
            slice.units -= 1;
            if !self.settle_next(&mut slice) {
                self.end_walk(&slice);
                return (units - slice.units) as usize;
            }
        }
        self.settle.seen += slice.seen;
        self.settle.moved += slice.moved;
        self.stats.settled += slice.moved;
        units as usize
    }

    /// The walk has been everywhere.
    fn end_walk(&mut self, slice: &Settling) {
        self.stats.settled += slice.moved;
        let (seen, moved) = (self.settle.seen + slice.seen, self.settle.moved + slice.moved);
        let pays = moved > seen / WORTH_SHARE;
        let now = self.now.steady;
        let took = now.since(self.settle.began.unwrap_or(now));
        let rest = (took * REST_TIMES).max(REST_MS_MIN);
        let rests_until = (!pays).then_some(now.plus(rest));
        self.settle = Settle { wanted: true, rests_until, ..Settle::default() };
    }

    /// Goes on with the collection where the walk stands, or to the next bucket, segment or slot.
    /// False: there is none.
    fn settle_next(&mut self, slice: &mut Settling) -> bool {
        let (slot, position) = (self.settle.slot, self.settle.position);
        let Some(piece) = self.slots[slot].at(position) else { return self.settle_next_slot() };
        let table = &self.slots[slot].segment(piece).table;
        let bucket = position.bucket as usize;
        if bucket >= table.num_buckets() {
            return match self.slots[slot].after(piece) {
                Some(position) => {
                    self.settle.position = position;
                    true
                }
                None => self.settle_next_slot(),
            };
        }
        let done = table.get_bucket(bucket).is_none()
            || self.is_pinned(slot)
            || self.settle_one(Found { slot, piece, bucket }, slice);
        if done {
            self.settle.cursor = SettleCursor::default();
            self.settle.position.bucket += 1;
        }
        true
    }

    fn settle_next_slot(&mut self) -> bool {
        self.settle.position = Position::default();
        self.settle.slot += 1;
        if self.settle.slot < self.slots.len() {
            return true;
        }
        self.settle.slot = 0;
        false
    }

    /// True: nothing is left to do at this entry.
    fn settle_one(&mut self, found: Found, slice: &mut Settling) -> bool {
        let handle = handle_at(&mut self.slots, found);
        let Some((mut large, charged)) = entry::take_large(&self.slab, handle) else { return true };
        let done = match Arc::get_mut(&mut large) {
            Some(large) => large.settle_some(&mut self.settle.cursor, slice),
            // It travels: whoever has it may be reading it.
            None => true,
        };
        entry::put_large(&self.slab, handle, large, charged);
        done
    }
}
