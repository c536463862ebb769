//! SCAN cursors. The slot stands in the low 14 bits, so that the front door finds the lane; a
//! cursor stays below 2^53, so that clients which read it as a double lose nothing.

use ringlane_base::{SLOT_COUNT, Slot};

/// The slot in which a scan with this cursor goes on.
pub fn cursor_slot(cursor: u64) -> Slot {
    Slot::new((cursor & (SLOT_COUNT as u64 - 1)) as u16).expect("masked to 14 bits")
}

/// The cursor that begins at this slot.
pub fn cursor_at(slot: Slot) -> u64 {
    u64::from(slot.number())
}
