//! The memory account: counted from what the allocators really take, never estimated.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::OnceLock;

/// Bytes of one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Memory {
    /// Pages of the slab that are backed by memory: entries and small tables, free space included.
    pub slab_resident: usize,
    /// Of those, bytes that were backed before they are needed.
    pub slab_ahead: usize,
    /// Of the resident ones, bytes in entries and tables that live.
    pub slab_live: usize,
    /// Of the live ones, those in hash tables.
    pub tables: usize,
    /// Values and entries with allocations of their own, by usable size.
    pub blobs: usize,
    /// Fingerprints of evicted keys.
    pub ghosts: usize,
    /// Items of the timer wheels.
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

/// The process's own answers, if `set_size_class` gave them.
static SIZE_CLASSES: OnceLock<SizeClasses> = OnceLock::new();

/// Sizes up to here are looked up, and differ by so much if their classes do.
const LOOKED_UP_BYTES_MAX: usize = 4096;
const LOOKED_UP_STEP: usize = 8;

struct SizeClasses {
    /// Of the sizes up to 0, 8, 16, ..
    small: [u16; LOOKED_UP_BYTES_MAX / LOOKED_UP_STEP + 1],
    of: SizeClass,
}

/// Tells how much memory the process's allocator really takes for a request of so many bytes
/// (`nallocx` of jemalloc), the same for all sizes up to a multiple of 8. Called once, at start, before
/// anything is counted; until then sizes count in steps of 16 bytes.
pub fn set_size_class(of: SizeClass) {
    SIZE_CLASSES.get_or_init(|| SizeClasses::new(of));
}

impl SizeClasses {
    fn new(of: SizeClass) -> Self {
        let small = std::array::from_fn(|step| {
            u16::try_from(of(step * LOOKED_UP_STEP)).expect("a class is less than twice its size")
        });
        Self { small, of }
    }

    #[inline]
    fn class(&self, bytes: usize) -> usize {
        match self.small.get(bytes.div_ceil(LOOKED_UP_STEP)) {
            Some(&class) => usize::from(class),
            None => (self.of)(bytes),
        }
    }
}

/// What the global allocator takes for so many bytes.
#[inline]
pub fn size_class(bytes: usize) -> usize {
    match SIZE_CLASSES.get() {
        Some(classes) => classes.class(bytes),
        None => bytes.next_multiple_of(16),
    }
}

type Settle = unsafe fn(NonNull<u8>, Layout) -> NonNull<u8>;

/// The process's own way, if `set_settle` gave it.
static SETTLE: OnceLock<Settle> = OnceLock::new();

/// Tells how an allocation of the global allocator is moved to where it leaves fewer holes: the new
/// place, with the bytes copied and the old one freed, or the same if it is as good. Called once, at
/// start; until then nothing moves.
///
/// # Safety
/// What it returns must be an allocation of this layout, as `alloc` would have given it.
pub unsafe fn set_settle(settle: Settle) {
    let _ = SETTLE.set(settle);
}

/// Moves an allocation if that leaves fewer holes; where it is then.
///
/// # Safety
/// The global allocator gave it for this layout, and nothing else refers to it.
#[inline]
pub unsafe fn settled(pointer: NonNull<u8>, layout: Layout) -> NonNull<u8> {
    match SETTLE.get() {
        // SAFETY: the caller's word.
        Some(settle) => unsafe { settle(pointer, layout) },
        None => pointer,
    }
}

/// Moves the buffer of a vector if that leaves fewer holes; whether it did.
pub fn settle_bytes(bytes: &mut Vec<u8>) -> bool {
    if bytes.capacity() == 0 {
        return false;
    }
    let mut taken = ManuallyDrop::new(std::mem::take(bytes));
    let (length, capacity) = (taken.len(), taken.capacity());
    let before = NonNull::new(taken.as_mut_ptr()).expect("a vector's pointer");
    let layout = Layout::array::<u8>(capacity).expect("it was allocated");
    // SAFETY: the vector's own allocation, which nobody else refers to, is taken apart here and put
    // together again with the same length and capacity.
    unsafe {
        let after = settled(before, layout);
        *bytes = Vec::from_raw_parts(after.as_ptr(), length, capacity);
        after != before
    }
}

/// An allocator that can tell what an allocation really takes.
///
/// # Safety
/// The answer must be the same for an allocation as long as it lives.
pub unsafe trait UsableSize: GlobalAlloc {
    /// Bytes that the allocation takes.
    ///
    /// # Safety
    /// `pointer` was allocated by this allocator with this layout, and lives.
    unsafe fn usable_size(&self, pointer: *mut u8, layout: Layout) -> usize;
}

thread_local! {
    /// Bytes that this thread allocated less those that it freed. Without a destructor, so that it
    /// can be used as long as the thread runs.
    static THREAD_BYTES: Cell<isize> = const { Cell::new(0) };
    /// Bytes that this thread has allocated, whatever became of them.
    static THREAD_TAKEN: Cell<usize> = const { Cell::new(0) };
}

/// Bytes that this thread has allocated less those that it has freed, by usable size, as far as a
/// `CountingAllocator` is the global one. What one thread allocates and another frees counts for
/// the first and against the second, so only the sum over all threads is what the process holds.
pub fn thread_bytes() -> isize {
    THREAD_BYTES.with(Cell::get)
}

/// Bytes that this thread has ever allocated, by usable size, as far as a `CountingAllocator` is the
/// global one; wraps. Between two looks at a process this is the most by which it may have grown.
pub fn thread_taken() -> usize {
    THREAD_TAKEN.with(Cell::get)
}

/// Counts what passes through an allocator, by thread: additions to a thread's own cells.
pub struct CountingAllocator<A>(pub A);

impl<A: UsableSize> CountingAllocator<A> {
    /// # Safety
    /// As for `UsableSize::usable_size`, or null.
    unsafe fn count(&self, pointer: *mut u8, layout: Layout, came: bool) {
        if pointer.is_null() {
            return;
        }
        // SAFETY: the caller's word.
        let bytes = unsafe { self.0.usable_size(pointer, layout) } as isize;
        THREAD_BYTES.with(|counter| {
            counter.set(counter.get() + if came { bytes } else { -bytes });
        });
        if came {
            THREAD_TAKEN.with(|counter| counter.set(counter.get().wrapping_add(bytes as usize)));
        }
    }
}

// SAFETY: every call is passed on as it is.
unsafe impl<A: UsableSize> GlobalAlloc for CountingAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's word; what was allocated lives.
        unsafe {
            let pointer = self.0.alloc(layout);
            self.count(pointer, layout, true);
            pointer
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        unsafe {
            let pointer = self.0.alloc_zeroed(layout);
            self.count(pointer, layout, true);
            pointer
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's word; it still lives.
        unsafe {
            self.count(pointer, layout, false);
            self.0.dealloc(pointer, layout);
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller's word. A failed reallocation leaves the old one, which was counted
        // out and comes back in.
        unsafe {
            self.count(pointer, layout, false);
            let moved = self.0.realloc(pointer, layout, bytes);
            if moved.is_null() {
                self.count(pointer, layout, true);
            } else {
                let layout = Layout::from_size_align_unchecked(bytes, layout.align());
                self.count(moved, layout, true);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;

    use super::*;

    /// Four classes to a doubling, at least 8 bytes, as jemalloc has them.
    fn quarters(bytes: usize) -> usize {
        let step = (bytes.next_power_of_two() / 8).max(8);
        bytes.max(1).next_multiple_of(step)
    }

    #[test]
    fn classes_are_those_of_the_allocator() {
        let classes = SizeClasses::new(quarters);
        for bytes in 0..3 * LOOKED_UP_BYTES_MAX {
            assert_eq!(classes.class(bytes), quarters(bytes), "{bytes}");
        }
    }

    struct Rounding;

    // SAFETY: passes everything on.
    unsafe impl GlobalAlloc for Rounding {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's word.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            // SAFETY: the caller's word.
            unsafe { System.dealloc(pointer, layout) }
        }
    }

    // SAFETY: depends on the layout alone.
    unsafe impl UsableSize for Rounding {
        unsafe fn usable_size(&self, _pointer: *mut u8, layout: Layout) -> usize {
            layout.size().next_multiple_of(64)
        }
    }

    #[test]
    fn what_comes_and_goes_is_counted_by_usable_size() {
        let allocator = CountingAllocator(Rounding);
        let (before, taken) = (thread_bytes(), thread_taken());
        let layout = Layout::from_size_align(100, 8).expect("a layout");
        // SAFETY: allocated, reallocated and freed once each, with matching layouts.
        unsafe {
            let pointer = allocator.alloc(layout);
            assert_eq!(thread_bytes() - before, 128);
            let pointer = allocator.realloc(pointer, layout, 1000);
            assert_eq!(thread_bytes() - before, 1024);
            allocator.dealloc(pointer, Layout::from_size_align(1000, 8).expect("a layout"));
        }
        assert_eq!(thread_bytes(), before);
        assert_eq!(thread_taken() - taken, 128 + 1024, "what is freed was taken all the same");
    }
}
