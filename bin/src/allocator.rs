//! The allocator of the process: jemalloc, counted by thread, told to give memory back within a
//! second; mappings of their own (`mapped`) for the largest allocations.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_char;
use std::ptr::NonNull;
use std::sync::OnceLock;

use ringlane_serve::{Allocator, AllocatorUsage};
use ringlane_store::{CountingAllocator, UsableSize};
use tikv_jemalloc_ctl::{epoch, stats};
use tikv_jemallocator::Jemalloc;

use crate::mapped::{self, is_mapped};

#[global_allocator]
static ALLOCATOR: CountingAllocator<Sized> = CountingAllocator(Sized(Jemalloc));

/// jemalloc reads this before `main`. Freed pages go back to the system over half a second, by a
/// thread of its own, so that a lane never pays for it.
const OPTIONS: &[u8] = b"background_thread:true,dirty_decay_ms:500,muzzy_decay_ms:0\0";

// SAFETY: `malloc_conf` with the crate's prefix is the name and the type (`const char *`) that
// jemalloc documents under TUNING; the text ends in a zero byte and lives for ever.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: Option<&'static c_char> = Some(unsafe { &*OPTIONS.as_ptr().cast() });

/// The pseudo-index of jemalloc's `arena.<i>.purge` that means every arena (`MALLCTL_ARENAS_ALL`).
const PURGE_ALL: &[u8] = b"arena.4096.purge\0";

/// Tells the store and the statistics how this process allocates. Called once, first of all.
pub fn introduce() {
    ringlane_store::set_size_class(size_class);
    // SAFETY: `settle` returns what it was given, or an allocation of the same size and alignment.
    unsafe { ringlane_store::set_settle(settle) };
    ringlane_serve::set_allocator(Allocator { name: "jemalloc-5.3.1", usage, purge });
}

/// What every allocation of jemalloc is aligned to on the architectures that we know, in bytes.
const ALIGN_OF_ALL: usize = 16;

/// jemalloc, which knows what an allocation takes from its layout alone; and mappings.
struct Sized(Jemalloc);

// SAFETY: every call is passed on as it is, to the one of the two that the layout names; between
// them an allocation is copied.
unsafe impl GlobalAlloc for Sized {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_mapped(layout) {
            return mapped::allocate(layout);
        }
        // SAFETY: the caller's word.
        unsafe { self.0.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_mapped(layout) {
            return mapped::allocate(layout);
        }
        // SAFETY: the caller's word.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's word.
        unsafe {
            if is_mapped(layout) {
                return mapped::free(pointer);
            }
            self.0.dealloc(pointer, layout);
        }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller's word: the new size is a layout of the same alignment.
        unsafe {
            let wanted = Layout::from_size_align_unchecked(bytes, layout.align());
            match (is_mapped(layout), is_mapped(wanted)) {
                (false, false) => self.0.realloc(pointer, layout, bytes),
                (true, true) => mapped::resize(pointer, bytes),
                (true, false) | (false, true) => {
                    let moved = self.alloc(wanted);
                    if !moved.is_null() {
                        moved.copy_from_nonoverlapping(pointer, bytes.min(layout.size()));
                        self.dealloc(pointer, layout);
                    }
                    moved
                }
            }
        }
    }
}

// SAFETY: `nallocx` is a function of the size alone, and what `mallocx` of that size takes; so is
// the size of a mapping.
unsafe impl UsableSize for Sized {
    #[inline]
    unsafe fn usable_size(&self, _pointer: *mut u8, layout: Layout) -> usize {
        if is_mapped(layout) {
            return mapped::mapping_bytes(layout.size());
        }
        // The flags that `Jemalloc` passes for this layout: none up to jemalloc's own alignment,
        // MALLOCX_ALIGN (the binary logarithm) otherwise.
        let flags = if layout.align() <= ALIGN_OF_ALL && layout.align() <= layout.size() {
            0
        } else {
            tikv_jemalloc_sys::MALLOCX_ALIGN(layout.align())
        };
        // SAFETY: a pure function; no allocation has the size 0.
        unsafe { tikv_jemalloc_sys::nallocx(layout.size(), flags) }
    }
}

/// What an allocation of so many bytes takes.
#[inline]
fn size_class(bytes: usize) -> usize {
    if bytes >= mapped::MAPPED_BYTES_MIN {
        return mapped::mapping_bytes(bytes);
    }
    // SAFETY: a pure function of a size that is not 0.
    unsafe { tikv_jemalloc_sys::nallocx(bytes.max(1), 0) }
}

/// One more than this part of its cells is free: a page that is worth leaving.
const SPARSE_PART: usize = 4;

/// Whether much of the page that an allocation stands in is free.
fn is_sparse(pointer: NonNull<u8>) -> bool {
    /// The name as numbers: found once.
    static NAME: OnceLock<Option<[usize; 3]>> = OnceLock::new();
    let name = NAME.get_or_init(|| {
        let text = b"experimental.utilization.batch_query\0";
        let (mut name, mut length) = ([0; 3], 3);
        // SAFETY: a text that ends in a zero byte, and room for as many numbers as `length` says.
        let failed = unsafe {
            tikv_jemalloc_sys::mallctlnametomib(
                text.as_ptr().cast(),
                name.as_mut_ptr(),
                &raw mut length,
            )
        };
        (failed == 0 && length == name.len()).then_some(name)
    });
    let Some(name) = name else { return false };
    // Of the page: free cells, all cells, bytes. One cell for what has pages of its own.
    let mut page = [0usize; 3];
    let mut length = size_of_val(&page);
    let mut asked: *const u8 = pointer.as_ptr();
    // SAFETY: as documented at `experimental_utilization_batch_query_ctl`: one pointer in, three
    // numbers out.
    let failed = unsafe {
        tikv_jemalloc_sys::mallctlbymib(
            name.as_ptr(),
            name.len(),
            page.as_mut_ptr().cast(),
            &raw mut length,
            (&raw mut asked).cast(),
            size_of_val(&asked),
        )
    };
    failed == 0 && page[1] > 1 && page[0] * SPARSE_PART > page[1]
}

/// Moves an allocation out of a sparse page, past the thread's cache: jemalloc fills its oldest pages
/// first, so that the younger sparse ones become empty.
///
/// # Safety
/// The allocation is of this layout, and nothing else refers to it.
unsafe fn settle(pointer: NonNull<u8>, layout: Layout) -> NonNull<u8> {
    if is_mapped(layout) || layout.align() > ALIGN_OF_ALL || !is_sparse(pointer) {
        return pointer;
    }
    let flags = tikv_jemalloc_sys::MALLOCX_TCACHE_NONE;
    // SAFETY: the size is not 0; the old allocation is of jemalloc, as it is not mapped, and is freed
    // with its size after its bytes were copied. `alloc` passes no alignment for such a layout, or one
    // that its size class has anyway.
    unsafe {
        let fresh = tikv_jemalloc_sys::mallocx(layout.size(), flags).cast::<u8>();
        let Some(fresh) = NonNull::new(fresh) else { return pointer };
        fresh.copy_from_nonoverlapping(pointer, layout.size());
        tikv_jemalloc_sys::sdallocx(pointer.as_ptr().cast(), layout.size(), flags);
        fresh
    }
}

fn usage() -> AllocatorUsage {
    // The numbers are those of the last epoch; a failure leaves them a little old.
    let _ = epoch::advance();
    let (active, resident) =
        (stats::active::read().unwrap_or(0), stats::resident::read().unwrap_or(0));
    let books = stats::metadata::read().unwrap_or(0);
    let mapped = mapped::handed_out();
    AllocatorUsage {
        allocated: stats::allocated::read().unwrap_or(0) + mapped,
        active: active + mapped,
        resident: resident + mapped,
        free: resident.saturating_sub(active + books),
    }
}

fn purge() {
    let (none, no_length) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the name ends in a zero byte; this control neither reads nor writes a value. A
    // failure leaves the pages to the background thread.
    unsafe {
        tikv_jemalloc_sys::mallctl(
            PURGE_ALL.as_ptr().cast(),
            none,
            no_length,
            std::ptr::null_mut(),
            0,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_held_counts_and_memory_that_is_given_back_does_not() {
        let before = ringlane_store::thread_bytes();
        let held = std::hint::black_box(vec![1u8; 3_000_000]);
        let during = ringlane_store::thread_bytes() - before;
        assert!((3_000_000..4_000_000).contains(&during), "{during}");
        assert!(usage().allocated >= 3_000_000);
        drop(held);
        assert_eq!(ringlane_store::thread_bytes(), before);
    }

    #[test]
    fn a_size_from_the_layout_is_what_jemalloc_says_of_the_pointer() {
        for size in [1, 16, 17, 100, 1000, 4097, 16 << 10, 100_000, mapped::MAPPED_BYTES_MIN - 1] {
            for align in [1, 8, 16, 64, 4096] {
                let layout = Layout::from_size_align(size, align).expect("a power of two");
                // SAFETY: allocated, asked about and freed with the same layout.
                unsafe {
                    let pointer = Sized(Jemalloc).alloc(layout);
                    assert!(!pointer.is_null());
                    let real = tikv_jemalloc_sys::malloc_usable_size(pointer.cast());
                    assert_eq!(Sized(Jemalloc).usable_size(pointer, layout), real, "{layout:?}");
                    Sized(Jemalloc).dealloc(pointer, layout);
                }
            }
        }
    }

    #[test]
    fn an_allocation_that_passes_the_bound_either_way_keeps_its_bytes_and_its_account() {
        let before = ringlane_store::thread_bytes();
        let mut bytes: Vec<u8> = (0..100_000u32).map(|number| number as u8).collect();
        let expected = bytes.clone();
        for capacity in [1 << 20, 3 << 20, 40 << 20, 500 << 20, 100_000] {
            bytes.shrink_to(capacity);
            bytes.reserve_exact(capacity - bytes.len());
            assert_eq!(bytes.capacity(), capacity);
            assert_eq!(bytes, expected);
            let held = (ringlane_store::thread_bytes() - before) as usize;
            let both = size_class(capacity) + size_class(expected.capacity());
            assert_eq!(held, both, "{capacity}");
        }
        drop((bytes, expected));
        assert_eq!(ringlane_store::thread_bytes(), before);
    }

    #[test]
    fn what_stands_in_sparse_pages_moves_together() {
        const BYTES: usize = 200;
        const COUNT: usize = 100_000;
        introduce();
        let mut all: Vec<Vec<u8>> = (0..COUNT).map(|number| vec![number as u8; BYTES]).collect();
        let mut number = 0;
        // One of sixteen stays, everywhere.
        all.retain(|_| {
            number += 1;
            number % 16 == 0
        });
        let sparse = |all: &[Vec<u8>]| {
            let at = |bytes: &Vec<u8>| NonNull::new(bytes.as_ptr().cast_mut()).expect("not null");
            all.iter().filter(|bytes| is_sparse(at(bytes))).count()
        };
        assert!(sparse(&all) > all.len() / 2, "{}", sparse(&all));
        let moved = all.iter_mut().map(ringlane_store::settle_bytes).filter(|moved| *moved).count();
        assert!(moved > all.len() / 2, "{moved}");
        assert!(sparse(&all) < all.len() / 8, "{} of {}", sparse(&all), all.len());
        for (position, bytes) in all.iter().enumerate() {
            assert_eq!(*bytes, vec![(position * 16 + 15) as u8; BYTES]);
        }
    }

    #[test]
    fn purging_and_decay_are_as_asked_for() {
        purge();
        // SAFETY: the documented type of this option.
        let decay: isize = unsafe { tikv_jemalloc_ctl::raw::read(b"opt.dirty_decay_ms\0") }
            .expect("the option exists");
        assert_eq!(decay, 500);
        assert_eq!(tikv_jemalloc_ctl::background_thread::read(), Ok(true));
    }
}
