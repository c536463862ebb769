//! The memory account: counted from what the allocators really take, never estimated.

use std::sync::atomic::{AtomicPtr, Ordering};

/// Bytes of one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Memory {
    /// Pages of the slab that are backed by memory: entries and small tables, free space included.
    pub slab_resident: usize,
    /// Of those, bytes in entries and tables that live.
    pub slab_live: usize,
    /// Of the live ones, those in hash tables.
    pub tables: usize,
    /// Values and entries with allocations of their own, by usable size.
    pub blobs: usize,
    /// Fingerprints of evicted keys.
    pub ghosts: usize,
    /// The timer wheel.
    pub wheel: usize,
    /// The slot array, directories, the slab's books.
    pub fixed: usize,
}

impl Memory {
    /// What `Limits::bytes_max` is compared with: everything, nothing twice.
    pub fn total(&self) -> usize {
        self.slab_resident + self.blobs + self.ghosts + self.wheel + self.fixed
    }
}

type SizeClass = fn(usize) -> usize;

/// The process's own answer, if `set_size_class` gave one: a `SizeClass`, kept as a pointer.
static SIZE_CLASS: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// Tells how much memory the process's allocator really takes for a request of so many bytes
/// (`nallocx` of jemalloc). Called once, at start; until then sizes count in steps of 16 bytes.
pub fn set_size_class(of: SizeClass) {
    SIZE_CLASS.store(of as *mut (), Ordering::Relaxed);
}

/// What the global allocator takes for so many bytes.
pub fn size_class(bytes: usize) -> usize {
    let pointer = SIZE_CLASS.load(Ordering::Relaxed);
    if pointer.is_null() {
        return bytes.next_multiple_of(16);
    }
    // SAFETY: only `set_size_class` stores here, and it stores a function of this type.
    let of = unsafe { std::mem::transmute::<*mut (), SizeClass>(pointer) };
    of(bytes)
}
