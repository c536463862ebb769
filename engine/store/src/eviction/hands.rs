//! Hands: walkers over all entries in hash-table order, and what they do to an entry they meet.

use ringlane_base::Millis;

use crate::segment::prefetch;
use crate::slab::Slab;
use crate::slot_table::{Position, SlotTable};
use crate::store::Found;

/// How many buckets ahead of itself a hand begins to load entries.
const LOOKAHEAD: usize = 8;

/// Slots of one word of the bitmap of occupied ones.
const WORD_SLOTS: usize = 64;

/// Where a hand stands.
#[derive(Clone, Copy, Debug)]
pub struct Hand {
    slot: usize,
    position: Position,
    /// Stretches of 64 slots from one to the next: near the golden section, so that a hand that
    /// went some way has been everywhere evenly, and leaves no sparse stretch behind it.
    stride: usize,
    /// Words of the bitmap passed since this lap began, and when that was.
    words: usize,
    lap_began: Millis,
    /// How long the last lap took, in milliseconds; 0 before its end.
    lap_ms: u64,
}

/// What a hand walks over.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    pub slots: &'a [SlotTable],
    /// A bit for each slot that may have entries.
    pub occupied: &'a [u64],
    pub slab: &'a Slab,
    /// By the steady clock.
    pub now: Millis,
}

impl Hand {
    /// A hand over so many slots.
    pub fn new(slots: usize) -> Self {
        let words = slots.div_ceil(WORD_SLOTS);
        let mut stride = (words * 618 / 1000).max(1);
        while gcd(stride, words) > 1 {
            stride += 1;
        }
        Self {
            slot: 0,
            position: Position::default(),
            stride,
            words: 0,
            lap_began: Millis(0),
            lap_ms: 0,
        }
    }

    /// The next entry; None if it has been everywhere and met none.
    pub fn next(&mut self, ground: Ground<'_>) -> Option<Found> {
        let mut words = 0;
        while words <= ground.occupied.len() {
            let slot_table = &ground.slots[self.slot];
            let Some(piece) = slot_table.at(self.position) else {
                words += self.leave(ground);
                continue;
            };
            let segment = slot_table.segment(piece);
            let table = &segment.table;
            let mut bucket = self.position.bucket as usize;
            while bucket < table.num_buckets() {
                if let Some(ahead) = table.get_bucket(bucket + LOOKAHEAD) {
                    prefetch(ground.slab.pointer(ahead).as_ptr());
                }
                if table.get_bucket(bucket).is_some() {
                    self.position.bucket = bucket as u32 + 1;
                    return Some(Found { slot: self.slot, piece, bucket });
                }
                bucket += 1;
            }
            match slot_table.after(piece) {
                Some(position) => self.position = position,
                None => words += self.leave(ground),
            }
        }
        None
    }

    /// Goes to the next slot that may have entries; returns how many words of the bitmap it passed.
    fn leave(&mut self, ground: Ground<'_>) -> usize {
        let occupied = ground.occupied;
        if self.lap_began == Millis(0) {
            self.lap_began = ground.now;
        }
        self.position = Position::default();
        let (mut word, bit) = (self.slot / WORD_SLOTS, self.slot % WORD_SLOTS);
        let mut bits = occupied[word] & (u64::MAX << bit << 1);
        let mut passed = 0;
        while bits == 0 {
            word = (word + self.stride) % occupied.len();
            bits = occupied[word];
            passed += 1;
            self.words += 1;
            if self.words == occupied.len() {
                self.words = 0;
                self.lap_ms = ground.now.since(self.lap_began);
                self.lap_began = ground.now;
            }
            if passed > occupied.len() {
                return passed;
            }
        }
        self.slot = word * WORD_SLOTS + bits.trailing_zeros() as usize;
        passed
    }

    /// How long an entry has rested that this hand saw unused: half a lap, as a guess, in
    /// milliseconds.
    pub fn rest_ms(&self) -> u64 {
        self.lap_ms / 2
    }

    /// Moves to another slot.
    pub fn jump(&mut self, slot: usize) {
        self.slot = slot;
        self.position = Position::default();
    }

    /// Moves to another bucket of the slot it stands in.
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
