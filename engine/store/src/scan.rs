//! SCAN: a cursor that stays right while tables grow, split, shrink and merge.
//!
//! ```text
//! cursor: | slot 14 | field 18 | bucket 9 | hardened 1 | generation 10 |     low bits first
//! ```
//! The slot stands in the low 14 bits, so that the front door finds the lane. A cursor stays below
//! 2^53, so that clients which read it as a double lose nothing. A segment whose generation is not
//! the cursor's has moved its entries: it is visited again from its beginning, alone.

use ringlane_base::{Database, SLOT_COUNT, Slot};

use crate::TypeName;
use crate::entry::Entry;
use crate::segment::{FIELD_BITS, SEGMENT_BUCKETS_MAX, Segment};
use crate::slot_table::Position;
use crate::store::Store;

const SLOT_BITS: u32 = SLOT_COUNT.ilog2();
const BUCKET_BITS: u32 = SEGMENT_BUCKETS_MAX.ilog2();
const GENERATION_BITS: u32 = 10;
const _: () = assert!(SLOT_BITS + FIELD_BITS + BUCKET_BITS + 1 + GENERATION_BITS <= 53);

/// Empty slots that count as one step.
const EMPTY_SLOTS_STEP: usize = 16;

/// Buckets visited for each key asked for, before a call returns with fewer.
const BUCKETS_PER_KEY: usize = 16;

/// Buckets that a call may visit in any case.
const BUCKETS_MIN: usize = 1024;

/// The slot in which a scan with this cursor goes on.
pub fn cursor_slot(cursor: u64) -> Slot {
    Slot::new((cursor & (SLOT_COUNT as u64 - 1)) as u16).expect("masked to 14 bits")
}

/// The cursor that begins at this slot.
pub fn cursor_at(slot: Slot) -> u64 {
    u64::from(slot.number())
}

/// A cursor, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    slot: Slot,
    field: u32,
    /// In 512ths of the segment's buckets.
    bucket: u32,
    hardened: bool,
    generation: u16,
}

impl Cursor {
    fn unpack(cursor: u64) -> Self {
        let mut rest = cursor >> SLOT_BITS;
        let mut take = |bits: u32| {
            let part = rest & ((1 << bits) - 1);
            rest >>= bits;
            part
        };
        Self {
            slot: cursor_slot(cursor),
            field: take(FIELD_BITS) as u32,
            bucket: take(BUCKET_BITS) as u32,
            hardened: take(1) != 0,
            generation: take(GENERATION_BITS) as u16,
        }
    }

    fn pack(self) -> u64 {
        let mut cursor = u64::from(self.generation) & ((1 << GENERATION_BITS) - 1);
        cursor = cursor << 1 | u64::from(self.hardened);
        cursor = cursor << BUCKET_BITS | u64::from(self.bucket);
        cursor = cursor << FIELD_BITS | u64::from(self.field);
        cursor << SLOT_BITS | cursor_at(self.slot)
    }
}

/// The generation as far as a cursor holds it.
fn short(generation: u16) -> u16 {
    generation & ((1 << GENERATION_BITS) - 1)
}

/// How many buckets stand for one step of the cursor.
fn step_of(segment: &Segment) -> usize {
    segment.table.num_buckets().div_ceil(SEGMENT_BUCKETS_MAX)
}

impl Store {
    /// Shows about `count` keys of the database from the cursor on, and gives the cursor to go on
    /// from: 0 when this store has been seen through. Begin with 0, or `cursor_at` a slot of this
    /// store. A key that is there from the first call to the last is shown at least once.
    pub fn scan(
        &mut self,
        database: Database,
        cursor: u64,
        count: usize,
        visit: &mut dyn FnMut(&[u8], TypeName),
    ) -> u64 {
        let physical = self.databases.physical(database);
        let at = Cursor::unpack(cursor);
        let mut slot = usize::from(at.slot.number().max(self.first_slot) - self.first_slot);
        let mut position = Position::default();
        let mut generation = None;
        if self.slot_at_checked(slot) == Some(at.slot) {
            position = Position { hardened: at.hardened, field: at.field, bucket: at.bucket };
            generation = Some(at.generation);
        }
        let mut left = count.saturating_mul(BUCKETS_PER_KEY).max(BUCKETS_MIN);
        let (mut shown, mut empty) = (0, 0);
        while slot < self.slots.len() {
            let table = &self.slots[slot];
            let Some(piece) = table.at(position) else {
                (slot, position, generation) = (slot + 1, Position::default(), None);
                continue;
            };
            let segment = table.segment(piece);
            if generation.take().is_some_and(|of| of != short(segment.generation)) {
                position.bucket = 0;
            }
            let step = step_of(segment);
            let mut bucket = position.bucket as usize * step;
            let buckets = if segment.table.is_empty() { 0 } else { segment.table.num_buckets() };
            while bucket < buckets {
                // A cursor can only stop between steps.
                if bucket.is_multiple_of(step) && (shown >= count || left == 0) {
                    let (slot, field) = (self.slot_at(slot), segment.start);
                    let hardened = position.hardened;
                    let (bucket, generation) = ((bucket / step) as u32, segment.generation);
                    return Cursor { slot, field, bucket, hardened, generation }.pack();
                }
                if let Some(handle) = segment.table.get_bucket(bucket) {
                    let entry = Entry::of(&self.slab, handle);
                    if entry.header().physical() == physical && !entry.is_due(self.now) {
                        visit(entry.key(), entry.header().type_name());
                        shown += 1;
                    }
                }
                bucket += 1;
                left = left.saturating_sub(1);
            }
            if let Some(next) = table.after(piece) {
                position = next;
            } else {
                (slot, position) = (slot + 1, Position::default());
            }
            empty += 1;
            if empty % EMPTY_SLOTS_STEP == 0 {
                left = left.saturating_sub(1);
            }
            if (shown >= count || left == 0) && slot < self.slots.len() {
                return self.cursor_before(slot, position);
            }
        }
        0
    }

    /// A cursor that begins a segment: whatever its generation, it is seen from its first bucket.
    fn cursor_before(&self, slot: usize, position: Position) -> u64 {
        let Position { hardened, field, .. } = position;
        Cursor { slot: self.slot_at(slot), field, bucket: 0, hardened, generation: 0 }.pack()
    }

    fn slot_at_checked(&self, index: usize) -> Option<Slot> {
        (index < self.slots.len()).then(|| self.slot_at(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_being_packed() {
        let slot = Slot::new(16383).expect("a slot");
        let field = (1 << FIELD_BITS) - 1;
        for cursor in [
            Cursor { slot, field, bucket: 511, hardened: true, generation: 1023 },
            Cursor { slot, field: 0, bucket: 3, hardened: false, generation: 7 },
        ] {
            assert_eq!(Cursor::unpack(cursor.pack()), cursor);
            assert!(cursor.pack() < 1 << 53);
            assert_eq!(cursor_slot(cursor.pack()), slot);
        }
    }
}
