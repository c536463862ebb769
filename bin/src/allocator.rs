//! The allocator of the process: jemalloc, counted by thread, told to give memory back within a
//! second.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_char;

use ringlane_serve::{Allocator, AllocatorUsage};
use ringlane_store::{CountingAllocator, UsableSize};
use tikv_jemalloc_ctl::{epoch, stats};
use tikv_jemallocator::Jemalloc;

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
    ringlane_serve::set_allocator(Allocator { name: "jemalloc-5.3.1", usage, purge });
}

/// What every allocation of jemalloc is aligned to on the architectures that we know, in bytes.
const ALIGN_OF_ALL: usize = 16;

/// jemalloc, which knows what an allocation takes from its layout alone.
struct Sized(Jemalloc);

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Sized {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's word.
        unsafe { self.0.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's word.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's word.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller's word.
        unsafe { self.0.realloc(pointer, layout, bytes) }
    }
}

// SAFETY: `nallocx` is a function of the size alone, and what `mallocx` of that size takes.
unsafe impl UsableSize for Sized {
    #[inline]
    unsafe fn usable_size(&self, _pointer: *mut u8, layout: Layout) -> usize {
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

/// What jemalloc takes for so many bytes.
#[inline]
fn size_class(bytes: usize) -> usize {
    // SAFETY: a pure function of a size that is not 0.
    unsafe { tikv_jemalloc_sys::nallocx(bytes.max(1), 0) }
}

fn usage() -> AllocatorUsage {
    // The numbers are those of the last epoch; a failure leaves them a little old.
    let _ = epoch::advance();
    AllocatorUsage {
        allocated: stats::allocated::read().unwrap_or(0),
        active: stats::active::read().unwrap_or(0),
        resident: stats::resident::read().unwrap_or(0),
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
        for size in [1, 16, 17, 100, 1000, 4097, 16 << 10, 100_000, 3_000_000, 70 << 20] {
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
    fn purging_and_decay_are_as_asked_for() {
        purge();
        // SAFETY: the documented type of this option.
        let decay: isize = unsafe { tikv_jemalloc_ctl::raw::read(b"opt.dirty_decay_ms\0") }
            .expect("the option exists");
        assert_eq!(decay, 500);
        assert_eq!(tikv_jemalloc_ctl::background_thread::read(), Ok(true));
    }
}
