//! The addresses of one lane's slab: reserved at once, made accessible and backed by memory page by
//! page, in order. Owns the mapping and how far it is backed; knows nothing of cells.
//!
//! Where memory is given to a machine only when it is first touched, as to many virtual machines,
//! backing a page can take a hundred times as long as filling it. So another thread may back the
//! next few pages before the lane opens them (`back_next`); a lane that is faster than that thread
//! backs its pages itself.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::classes::PAGE_BYTES;

/// The stretch of addresses that a lane reserves: at least this much, at most what its slab can
/// number, else four times its share of the host's memory.
const ARENA_BYTES_MIN: usize = 64 << 30;

/// Below this many bytes a reservation that the system refuses is not tried again.
const ARENA_BYTES_LEAST: usize = 64 << 20;

/// The arena is made accessible in steps of this size, which is also that of a huge page.
const REGION_BYTES: usize = 2 << 20;
const REGION_PAGES: u32 = (REGION_BYTES / PAGE_BYTES) as u32;

/// Pages that are backed before they are needed: half a megabyte, which a lane that stores 20 MB a
/// second needs 25 ms to use up.
const AHEAD_PAGES: u32 = 8;

/// Another thread is asked for more when fewer than this many are left.
const AHEAD_PAGES_MIN: u32 = 4;

/// A reserved stretch of addresses, whose pages the owning lane takes one after another.
pub struct Arena {
    /// The whole mapping, for giving it back.
    start: *mut u8,
    mapped: usize,
    base: *mut u8,
    bytes: usize,
    /// Pages that the lane has taken: the first so many.
    taken: AtomicU32,
    /// Pages before this one were backed for the lane or taken by it.
    backed: AtomicU32,
}

// SAFETY: the pointers are addresses of a mapping that lives as long as the arena; what is written
// behind them is the slab's, and `back_next` changes nothing there.
unsafe impl Send for Arena {}
// SAFETY: as above; the counts are atomic.
unsafe impl Sync for Arena {}

impl Arena {
    /// Reserves the addresses for a lane with this many of `SLOT_COUNT` slots, at most `bytes_max`:
    /// no memory. None if the system refuses.
    pub(crate) fn reserve(slots: usize, bytes_max: usize) -> Option<Self> {
        // SAFETY: asks two numbers of the system.
        let host = unsafe {
            libc::sysconf(libc::_SC_PHYS_PAGES).max(0) as usize
                * libc::sysconf(libc::_SC_PAGESIZE).max(0) as usize
        };
        let share = host / ringlane_base::SLOT_COUNT * slots * 4;
        let mut bytes = share.clamp(ARENA_BYTES_MIN, bytes_max).next_multiple_of(REGION_BYTES);
        while bytes >= ARENA_BYTES_LEAST {
            let mapped = bytes + REGION_BYTES;
            // SAFETY: a private anonymous mapping at an address of the kernel's choice.
            let start = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    mapped,
                    libc::PROT_NONE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                    -1,
                    0,
                )
            };
            if start != libc::MAP_FAILED {
                let start = start.cast::<u8>();
                let base = start.wrapping_add(start.align_offset(REGION_BYTES));
                let (taken, backed) = (AtomicU32::new(0), AtomicU32::new(0));
                return Some(Self { start, mapped, base, bytes, taken, backed });
            }
            bytes /= 2;
        }
        None
    }

    /// Where page 0 begins.
    pub(crate) fn base(&self) -> *mut u8 {
        self.base
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Pages that are backed and not taken yet.
    pub(crate) fn ahead(&self) -> usize {
        let taken = self.taken.load(Ordering::Relaxed);
        self.backed.load(Ordering::Relaxed).saturating_sub(taken) as usize
    }

    /// Whether another thread should back more.
    pub(crate) fn is_short(&self) -> bool {
        self.ahead() < AHEAD_PAGES_MIN as usize
    }

    /// Takes the next page, accessible and backed; None if the arena is at its end or the system
    /// has no memory left. For the lane's thread alone.
    pub(crate) fn take(&self) -> Option<u32> {
        let page = self.taken.load(Ordering::Relaxed);
        if (page as usize + 1) * PAGE_BYTES > self.bytes {
            return None;
        }
        // Acquire: the page is accessible once the other thread has said so.
        if page >= self.backed.load(Ordering::Acquire) {
            if page.is_multiple_of(REGION_PAGES) && !self.open_region(page) {
                return None;
            }
            self.back(page);
        }
        self.taken.store(page + 1, Ordering::Release);
        Some(page)
    }

    /// Backs the next page that the lane will take, unless enough are; whether it did. For one
    /// thread beside the lane's.
    pub fn back_next(&self) -> bool {
        let taken = self.taken.load(Ordering::Acquire);
        let page = self.backed.load(Ordering::Relaxed).max(taken);
        let enough = page >= taken + AHEAD_PAGES;
        if enough || (page as usize + 1) * PAGE_BYTES > self.bytes {
            return false;
        }
        // The lane may be opening the same page: both then do what does no harm twice.
        if page.is_multiple_of(REGION_PAGES) && !self.open_region(page) {
            return false;
        }
        self.back(page);
        self.backed.store(page + 1, Ordering::Release);
        true
    }

    /// Backs a page with memory, if it is not yet. Backing the whole page at once costs a quarter
    /// of sixteen faults. Where the kernel is too old for it, the faults come one by one.
    pub(crate) fn back(&self, page: u32) {
        // SAFETY: the page is in the accessible part of the arena; its contents stay.
        unsafe { libc::madvise(self.page(page).cast(), PAGE_BYTES, libc::MADV_POPULATE_WRITE) };
    }

    /// Gives the memory of a page back to the system. What was in it is lost.
    pub(crate) fn give_back(&self, page: u32) {
        // SAFETY: the page is in the arena, and the slab's word that nothing refers into it.
        let advised =
            unsafe { libc::madvise(self.page(page).cast(), PAGE_BYTES, libc::MADV_DONTNEED) };
        assert!(advised == 0, "the arena is ours to advise on");
    }

    fn page(&self, page: u32) -> *mut u8 {
        self.base.wrapping_add(page as usize * PAGE_BYTES)
    }

    /// Makes the region that begins with this page accessible; false if the system refuses.
    fn open_region(&self, page: u32) -> bool {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a part of our own mapping; one that is accessible already stays so.
        unsafe { libc::mprotect(self.page(page).cast(), REGION_BYTES, access) == 0 }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: our own mapping, to which nothing refers any more.
        unsafe { libc::munmap(self.start.cast(), self.mapped) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arena() -> Arena {
        Arena::reserve(16384, 1 << 40).expect("addresses are plenty")
    }

    fn write(arena: &Arena, page: u32, byte: u8) {
        // SAFETY: the page was taken, so it is accessible and ours.
        unsafe { arena.page(page).write_bytes(byte, PAGE_BYTES) };
    }

    #[test]
    fn a_thread_beside_the_lane_backs_a_few_pages_ahead_and_no_more() {
        let arena = arena();
        assert_eq!(arena.take(), Some(0));
        assert!(arena.is_short());
        let backed = std::iter::from_fn(|| arena.back_next().then_some(())).count();
        assert_eq!((backed, arena.ahead()), (AHEAD_PAGES as usize, AHEAD_PAGES as usize));
        assert!(!arena.is_short());
        for page in 1..=AHEAD_PAGES {
            assert_eq!(arena.take(), Some(page));
            write(&arena, page, page as u8);
        }
        assert_eq!(arena.ahead(), 0);
        // The lane has overtaken the other thread, which goes on from where the lane is.
        assert_eq!(arena.take(), Some(AHEAD_PAGES + 1));
        assert!(arena.back_next());
        assert_eq!(arena.take(), Some(AHEAD_PAGES + 2));
        assert_eq!(arena.ahead(), 0);
    }

    #[test]
    fn pages_keep_what_is_written_while_two_threads_back_them() {
        const PAGES: u32 = REGION_PAGES * 8;
        let arena = std::sync::Arc::new(arena());
        let beside = std::sync::Arc::clone(&arena);
        let thread = std::thread::spawn(move || {
            while beside.taken.load(Ordering::Relaxed) < PAGES {
                if !beside.back_next() {
                    std::thread::yield_now();
                }
            }
        });
        for page in 0..PAGES {
            assert_eq!(arena.take(), Some(page));
            write(&arena, page, page as u8);
        }
        thread.join().expect("it only backs pages");
        for page in 0..PAGES {
            // SAFETY: taken and written above.
            let bytes = unsafe { std::slice::from_raw_parts(arena.page(page), PAGE_BYTES) };
            assert!(bytes.iter().all(|&byte| byte == page as u8), "page {page}");
        }
    }
}
