//! Allocations of some megabytes and more: each a mapping of its own, so that one grows by moving
//! page tables, not bytes, and nobody waits for its pages to go back to the system. Owns which
//! allocations are so large; knows nothing of what they hold.
//!
//! ```text
//! mapping: | header 64 | the allocation's bytes | up to a page |
//! ```

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::thread::Thread;

/// Allocations of at least this many bytes are mapped. Copying what is smaller takes a lane some
/// hundred microseconds at most.
pub const MAPPED_BYTES_MIN: usize = 2 << 20;

/// What may wait for the thread that gives mappings back; beyond it whoever frees one waits for the
/// kernel, which takes some 100 µs for 8 MiB. Those that would hold a lane for long have more room.
const WAITING_BYTES_MAX: usize = 64 << 20;
const WAITING_BYTES_MAX_OF_LONG: usize = 2 << 30;
const LONG_BYTES_MIN: usize = 8 << 20;

const HEADER_BYTES: usize = 64;

/// Stands before the bytes, so that they are aligned to `HEADER_BYTES`.
#[repr(C)]
struct Header {
    /// Of the whole mapping.
    bytes: usize,
    /// While it waits to be given back: the one that was freed before it.
    next: *mut Header,
}
const _: () = assert!(size_of::<Header>() <= HEADER_BYTES);

/// Bytes of all mappings that are handed out.
static HANDED_OUT: AtomicUsize = AtomicUsize::new(0);
/// The mappings that wait to be given back, newest first, and their bytes.
static WAITING: AtomicPtr<Header> = AtomicPtr::new(std::ptr::null_mut());
static WAITING_BYTES: AtomicUsize = AtomicUsize::new(0);
/// The thread that gives them back.
static GIVER: OnceLock<Thread> = OnceLock::new();

/// Whether an allocation of this layout is a mapping.
#[inline]
pub fn is_mapped(layout: Layout) -> bool {
    layout.size() >= MAPPED_BYTES_MIN && layout.align() <= HEADER_BYTES
}

/// Bytes of the mapping for an allocation of so many.
#[inline]
pub fn mapping_bytes(bytes: usize) -> usize {
    (bytes + HEADER_BYTES).next_multiple_of(rustix::param::page_size())
}

/// Bytes of all mappings that are handed out; their pages are resident once they are written to.
pub fn handed_out() -> usize {
    HANDED_OUT.load(Ordering::Relaxed)
}

/// Starts the thread that gives mappings back.
///
/// # Errors
/// The system gives no further thread.
pub fn start_giving_back() -> std::io::Result<()> {
    let thread = std::thread::Builder::new().name("unmap".to_owned()).spawn(|| {
        loop {
            give_back_all();
            std::thread::park();
        }
    })?;
    // Started once; were it twice, both would do the same.
    let _ = GIVER.set(thread.thread().clone());
    Ok(())
}

fn give_back_all() {
    let mut header = WAITING.swap(std::ptr::null_mut(), Ordering::Acquire);
    while let Some(first) = NonNull::new(header) {
        // SAFETY: what was swapped out is this thread's alone, each a mapping with its header.
        unsafe {
            let Header { bytes, next } = first.read();
            unmap(first, bytes);
            WAITING_BYTES.fetch_sub(bytes, Ordering::Relaxed);
            header = next;
        }
    }
}

/// # Safety
/// The mapping is nobody's any more.
unsafe fn unmap(header: NonNull<Header>, bytes: usize) {
    // SAFETY: the caller's word.
    let unmapped = unsafe { libc::munmap(header.as_ptr().cast(), bytes) };
    if unmapped != 0 {
        // The process has as many mappings as it may: the pages go, the addresses stay taken.
        // SAFETY: as above.
        unsafe { libc::madvise(header.as_ptr().cast(), bytes, libc::MADV_DONTNEED) };
    }
}

/// The header of an allocation.
///
/// # Safety
/// `pointer` came from `allocate` or `resize`.
#[allow(clippy::cast_ptr_alignment)] // Bytes begin 64 after the beginning of a page.
unsafe fn header_of(pointer: *mut u8) -> NonNull<Header> {
    // SAFETY: the header stands before the bytes.
    unsafe { NonNull::new_unchecked(pointer.sub(HEADER_BYTES).cast()) }
}

/// Zeroed memory for a layout that `is_mapped`; null if the system has none.
pub fn allocate(layout: Layout) -> *mut u8 {
    debug_assert!(is_mapped(layout));
    let bytes = mapping_bytes(layout.size());
    // SAFETY: a private anonymous mapping at an address of the kernel's choice.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return std::ptr::null_mut();
    }
    HANDED_OUT.fetch_add(bytes, Ordering::Relaxed);
    // SAFETY: the mapping is longer than its header, page aligned and ours.
    unsafe {
        start.cast::<Header>().write(Header { bytes, next: std::ptr::null_mut() });
        start.cast::<u8>().add(HEADER_BYTES)
    }
}

/// Gives an allocation back.
///
/// # Safety
/// `pointer` came from `allocate` or `resize` and is not used again.
pub unsafe fn free(pointer: *mut u8) {
    // SAFETY: the caller's word.
    let header = unsafe { header_of(pointer) };
    // SAFETY: it was written when the mapping was made.
    let bytes = unsafe { header.read().bytes };
    HANDED_OUT.fetch_sub(bytes, Ordering::Relaxed);
    let most = if bytes < LONG_BYTES_MIN { WAITING_BYTES_MAX } else { WAITING_BYTES_MAX_OF_LONG };
    let waiting = WAITING_BYTES.load(Ordering::Relaxed);
    let giver = GIVER.get().filter(|_| waiting + bytes <= most);
    let Some(giver) = giver else {
        // SAFETY: the caller's word.
        return unsafe { unmap(header, bytes) };
    };
    WAITING_BYTES.fetch_add(bytes, Ordering::Relaxed);
    let mut newest = WAITING.load(Ordering::Relaxed);
    loop {
        // SAFETY: the mapping is ours until the exchange succeeds. Others take only the whole
        // chain, so that no header is read after it was given away.
        unsafe { (*header.as_ptr()).next = newest };
        let exchanged = WAITING.compare_exchange_weak(
            newest,
            header.as_ptr(),
            Ordering::Release,
            Ordering::Relaxed,
        );
        match exchanged {
            Ok(_) => break,
            Err(other) => newest = other,
        }
    }
    giver.unpark();
}

/// Makes an allocation longer or shorter, without copying; null, and the old one stays, if the
/// system has no memory.
///
/// # Safety
/// `pointer` came from `allocate` or `resize`; `bytes` is at least `MAPPED_BYTES_MIN`.
pub unsafe fn resize(pointer: *mut u8, bytes: usize) -> *mut u8 {
    let wanted = mapping_bytes(bytes);
    // SAFETY: the caller's word; the header was written when the mapping was made.
    unsafe {
        let header = header_of(pointer);
        let held = header.read().bytes;
        if wanted == held {
            return pointer;
        }
        let moved = libc::mremap(header.as_ptr().cast(), held, wanted, libc::MREMAP_MAYMOVE);
        if moved == libc::MAP_FAILED {
            return std::ptr::null_mut();
        }
        HANDED_OUT.fetch_add(wanted, Ordering::Relaxed);
        HANDED_OUT.fetch_sub(held, Ordering::Relaxed);
        (*moved.cast::<Header>()).bytes = wanted;
        moved.cast::<u8>().add(HEADER_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, 1).expect("a layout")
    }

    #[test]
    fn what_grows_and_shrinks_keeps_its_bytes_and_new_ones_are_zero() {
        const LONG: usize = 600 << 20;
        let pointer = allocate(layout(MAPPED_BYTES_MIN));
        assert!(!pointer.is_null() && (pointer as usize).is_multiple_of(HEADER_BYTES));
        // SAFETY: within what was allocated, resized and freed once.
        unsafe {
            pointer.write_bytes(7, MAPPED_BYTES_MIN);
            let grown = resize(pointer, LONG);
            assert_eq!((grown.read(), grown.add(MAPPED_BYTES_MIN - 1).read()), (7, 7));
            assert_eq!((grown.add(LONG / 2).read(), grown.add(LONG - 1).read()), (0, 0));
            let shrunk = resize(grown, MAPPED_BYTES_MIN + 1);
            assert_eq!((shrunk.add(1000).read(), shrunk.add(MAPPED_BYTES_MIN).read()), (7, 0));
            free(shrunk);
        }
    }

    #[test]
    fn what_is_freed_goes_back_to_the_system() {
        const LONG: usize = 256 << 20;
        start_giving_back().expect("a thread");
        let resident = || {
            let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
            let pages: usize = text.split(' ').nth(1).expect("a field").parse().expect("a number");
            pages * rustix::param::page_size()
        };
        let pointer = allocate(layout(LONG));
        // SAFETY: within what was allocated, and freed once.
        unsafe { pointer.write_bytes(1, LONG) };
        let during = resident();
        // SAFETY: as above.
        unsafe { free(pointer) };
        while WAITING_BYTES.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
        assert!(resident() + LONG / 2 < during, "{} after {during}", resident());
    }

    #[test]
    fn small_and_oddly_aligned_ones_are_not_mapped() {
        assert!(!is_mapped(layout(MAPPED_BYTES_MIN - 1)));
        assert!(is_mapped(layout(MAPPED_BYTES_MIN)));
        assert!(!is_mapped(Layout::from_size_align(MAPPED_BYTES_MIN, 128).expect("a layout")));
        assert_eq!(mapping_bytes(MAPPED_BYTES_MIN), MAPPED_BYTES_MIN + rustix::param::page_size());
    }
}
