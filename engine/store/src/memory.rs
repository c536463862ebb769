//! The memory account: counted from what the allocators really take, never estimated.

/// Bytes of one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Memory {
    /// Pages of the slab that are backed by memory: entries and small tables, free space included.
    pub slab_resident: usize,
    /// Of those, bytes in entries and tables that live.
    pub slab_live: usize,
    /// Values and entries with allocations of their own, by usable size.
    pub blobs: usize,
    /// Hash tables inside and outside the slab.
    pub tables: usize,
    /// Fingerprints of evicted keys.
    pub ghosts: usize,
    /// The timer wheel.
    pub wheel: usize,
    /// The slot array, the slab's own books and everything else of fixed kind.
    pub fixed: usize,
}

impl Memory {
    /// What `Limits::bytes_max` is compared with: everything, nothing twice.
    pub fn total(&self) -> usize {
        self.slab_resident + self.blobs + self.ghosts + self.wheel + self.fixed
    }
}
