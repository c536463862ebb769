//! The head of the packed blocks of lists and sorted sets: how many elements follow. An empty block
//! has no bytes at all.
//!
//! block: | count 2, little-endian | elements |

/// Where the elements begin.
pub const ELEMENTS: usize = 2;

pub fn packed_count(block: &[u8]) -> usize {
    block.first_chunk().map_or(0, |count| usize::from(u16::from_le_bytes(*count)))
}

/// The elements.
pub fn packed_run(block: &[u8]) -> &[u8] {
    block.get(ELEMENTS..).unwrap_or_default()
}

/// Writes the count of a block that has its head.
pub fn set_packed_count(block: &mut [u8], count: usize) {
    block[..ELEMENTS].copy_from_slice(&(count as u16).to_le_bytes());
}
