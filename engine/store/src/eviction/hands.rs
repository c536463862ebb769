//! Hands: walkers over all entries in hash-table order, and what they do to an entry they meet.

use crate::segment::prefetch;
use crate::slab::Slab;
use crate::slot_table::{Position, SlotTable};
use crate::store::Found;

/// How many buckets ahead of itself a hand begins to load entries.
const LOOKAHEAD: usize = 8;

/// Where a hand stands.
#[derive(Clone, Copy, Debug)]
pub struct Hand {
    slot: usize,
    position: Position,
    /// Slots from one to the next: near the golden section, so that a hand that went some way has
    /// been everywhere evenly, and leaves no sparse stretch behind it.
    stride: usize,
}

impl Hand {
    /// A hand over so many slots.
    pub fn new(slots: usize) -> Self {
        let mut stride = (slots * 618 / 1000).max(1);
        while gcd(stride, slots) > 1 {
            stride += 1;
        }
        Self { slot: 0, position: Position::default(), stride }
    }

    /// The next entry; None after `steps_max` buckets and slots without one.
    pub fn next(&mut self, slots: &[SlotTable], slab: &Slab, steps_max: usize) -> Option<Found> {
        let mut steps = 0;
        while steps < steps_max {
            let slot_table = &slots[self.slot];
            let Some(piece) = slot_table.at(self.position) else {
                self.leave(slots.len());
                steps += 1;
                continue;
            };
            let segment = slot_table.segment(piece);
            let table = &segment.table;
            let mut bucket = self.position.bucket as usize;
            while bucket < table.num_buckets() {
                if let Some(ahead) = table.get_bucket(bucket + LOOKAHEAD) {
                    prefetch(slab.pointer(ahead).as_ptr());
                }
                steps += 1;
                if table.get_bucket(bucket).is_some() {
                    self.position.bucket = bucket as u32 + 1;
                    return Some(Found { slot: self.slot, piece, bucket });
                }
                bucket += 1;
            }
            match slot_table.after(piece) {
                Some(position) => self.position = position,
                None => self.leave(slots.len()),
            }
        }
        None
    }

    fn leave(&mut self, slots: usize) {
        self.slot = (self.slot + self.stride) % slots;
        self.position = Position::default();
    }

    /// Moves to another slot.
    pub fn jump(&mut self, slot: usize) {
        self.slot = slot;
        self.position = Position::default();
    }

    /// Moves to another bucket of the segment it stands before.
    pub fn jump_bucket(&mut self, slots: &[SlotTable], dice: &mut fastrand::Rng) {
        self.position.field = dice.u32(..crate::segment::FIELD_COUNT);
        if let Some(piece) = slots[self.slot].at(self.position) {
            let buckets = slots[self.slot].segment(piece).table.num_buckets() as u32;
            self.position.bucket = dice.u32(..buckets);
        }
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
