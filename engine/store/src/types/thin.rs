//! Owned bytes behind eight bytes: up to seven stand inside, more in one allocation with their
//! length before them. What the tables of large collections are made of. All the unsafe code of
//! the collections is here.
//!
//! ```text
//! inside: | length << 1 | 1 | bytes 7 |     outside: the address of | length 1, 3 or 5 | bytes |
//! ```
//! The length outside is one byte below 253, else 253 and two bytes, or 254 and four. Addresses are
//! even, so the lowest bit of the first byte tells.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use crate::memory::{settled, size_class};

/// The longest bytes that need no allocation.
pub const INLINE_BYTES_MAX: usize = 7;

/// The longest bytes there can be; the protocol's bounds are far below.
pub const THIN_BYTES_MAX: usize = u32::MAX as usize;

/// Lengths below this are written in one byte.
const SHORT_LEN_END: usize = 253;
const LEN_2: u8 = 253;
const LEN_4: u8 = 254;

/// The address' lowest byte must come first.
const _: () = assert!(cfg!(target_endian = "little"));
const _: () = assert!(size_of::<Thin>() == 8 && size_of::<usize>() == 8);

#[derive(Clone, Copy)]
union Place {
    inside: [u8; 8],
    outside: NonNull<u8>,
}

/// Owned bytes in eight.
pub struct Thin {
    place: Place,
}

// SAFETY: it owns its allocation alone, and the global allocator serves every thread.
unsafe impl Send for Thin {}
// SAFETY: a shared reference only reads.
unsafe impl Sync for Thin {}

/// Bytes that the length takes in the allocation.
#[inline]
fn head_len(len: usize) -> usize {
    match len {
        0..SHORT_LEN_END => 1,
        SHORT_LEN_END..0x1_0000 => 3,
        _ => 5,
    }
}

/// The layout of an allocation for so many bytes: even, so that the address is.
#[inline]
fn layout(len: usize) -> Layout {
    Layout::from_size_align(head_len(len) + len, 2).expect("at most 4 GiB and 4 bytes")
}

impl Thin {
    /// Begins to load the bytes, if they are outside.
    #[inline]
    pub fn prefetch(&self) {
        if !self.is_inside() {
            // SAFETY: as `is_inside` said.
            let address = unsafe { self.place.outside };
            crate::segment::prefetch(address.as_ptr());
        }
    }

    /// A copy of the bytes.
    ///
    /// # Panics
    /// Beyond `THIN_BYTES_MAX`.
    #[inline]
    pub fn new(bytes: &[u8]) -> Self {
        Self::concat(&[bytes])
    }

    /// A copy of the parts, one after the other.
    ///
    /// # Panics
    /// Beyond `THIN_BYTES_MAX` in all.
    pub fn concat(parts: &[&[u8]]) -> Self {
        let len = parts.iter().map(|part| part.len()).sum();
        if len <= INLINE_BYTES_MAX {
            let mut inside = [0; 8];
            inside[0] = (len as u8) << 1 | 1;
            let mut at = 1;
            for part in parts {
                inside[at..at + part.len()].copy_from_slice(part);
                at += part.len();
            }
            return Self { place: Place { inside } };
        }
        assert!(len <= THIN_BYTES_MAX, "requests are bounded far below");
        let layout = layout(len);
        // SAFETY: the layout has at least nine bytes.
        let Some(start) = NonNull::new(unsafe { alloc(layout) }) else {
            handle_alloc_error(layout)
        };
        // SAFETY: the head and then the parts fill exactly the layout's bytes, which are new, so
        // nothing overlaps.
        unsafe {
            let mut at = write_head(start, len);
            for part in parts {
                at.as_ptr().copy_from_nonoverlapping(part.as_ptr(), part.len());
                at = at.add(part.len());
            }
        }
        Self { place: Place { outside: start } }
    }

    /// Becomes a copy of the parts; keeps its allocation if the length stays the same.
    pub fn assign(&mut self, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if len != self.len() {
            *self = Self::concat(parts);
            return;
        }
        let mut rest = self.as_mut_slice();
        for part in parts {
            let (place, behind) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = behind;
        }
    }

    /// Moves what is outside if that leaves fewer holes; whether it did.
    pub fn settle(&mut self) -> bool {
        if self.is_inside() {
            return false;
        }
        let layout = layout(self.len());
        // SAFETY: as `is_inside` said; `concat` allocated it with this layout, and it is owned alone.
        unsafe {
            let before = self.place.outside;
            self.place.outside = settled(before, layout);
            self.place.outside != before
        }
    }

    #[inline]
    fn is_inside(&self) -> bool {
        // SAFETY: all eight bytes are always written, by an address or by bytes.
        unsafe { self.place.inside[0] & 1 != 0 }
    }

    /// Where the bytes are, and how many.
    #[inline]
    fn span(&self) -> (NonNull<u8>, usize) {
        if self.is_inside() {
            // SAFETY: as `is_inside` said.
            let inside = unsafe { &self.place.inside };
            return (NonNull::from(&inside[1]), usize::from(inside[0] >> 1));
        }
        // SAFETY: it is the address of an allocation that begins with a head, as `concat` wrote it.
        unsafe {
            let start = self.place.outside;
            match start.read() {
                LEN_2 => (start.add(3), usize::from(start.add(1).cast::<u16>().read_unaligned())),
                LEN_4 => (start.add(5), start.add(1).cast::<u32>().read_unaligned() as usize),
                short => (start.add(1), usize::from(short)),
            }
        }
    }

    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        if self.is_inside() {
            // SAFETY: as `is_inside` said.
            let inside = unsafe { &self.place.inside };
            return &inside[1..=usize::from(inside[0] >> 1)];
        }
        let (start, len) = self.span();
        // SAFETY: the allocation holds `len` bytes from there on and lives as long as this.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), len) }
    }

    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        if self.is_inside() {
            // SAFETY: as `is_inside` said.
            let inside = unsafe { &mut self.place.inside };
            let len = usize::from(inside[0] >> 1);
            return &mut inside[1..=len];
        }
        let (start, len) = self.span();
        // SAFETY: as for `as_slice`, and this is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), len) }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.span().1
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the bytes take in the allocator, beyond the eight.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        if self.is_inside() { 0 } else { size_class(layout(self.len()).size()) }
    }
}

/// Writes the length; returns where the bytes begin.
///
/// # Safety
/// `head_len(len)` bytes may be written at `start`.
#[inline]
unsafe fn write_head(start: NonNull<u8>, len: usize) -> NonNull<u8> {
    // SAFETY: the caller's word; words are written unaligned.
    unsafe {
        match head_len(len) {
            1 => start.write(len as u8),
            3 => {
                start.write(LEN_2);
                start.add(1).cast::<u16>().write_unaligned(len as u16);
            }
            _ => {
                start.write(LEN_4);
                start.add(1).cast::<u32>().write_unaligned(len as u32);
            }
        }
        start.add(head_len(len))
    }
}

impl Drop for Thin {
    #[inline]
    fn drop(&mut self) {
        if !self.is_inside() {
            let layout = layout(self.len());
            // SAFETY: `concat` allocated it with the layout of this length, and nobody else frees.
            unsafe { dealloc(self.place.outside.as_ptr(), layout) };
        }
    }
}

impl Clone for Thin {
    fn clone(&self) -> Self {
        Self::new(self.as_slice())
    }
}

impl PartialEq for Thin {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Thin {}

impl std::fmt::Debug for Thin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Thin({:?})", self.as_slice().escape_ascii().to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_of_every_length_class_come_back() {
        for len in [0, 1, 6, 7, 8, 9, 252, 253, 254, 255, 256, 16_384, 65_535, 65_536, 3_000_000] {
            let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let thin = Thin::new(&bytes);
            assert_eq!(thin.as_slice(), bytes);
            assert_eq!((thin.len(), thin.is_empty()), (len, len == 0));
            let heap = if len <= 7 { 0 } else { size_class(head_len(len) + len) };
            assert_eq!(thin.heap_bytes(), heap, "{len}");
            let copy = thin.clone();
            drop(thin);
            assert_eq!(copy.as_slice(), bytes);
        }
    }

    #[test]
    fn a_clone_is_of_its_own() {
        for text in [&b"short"[..], b"a long text that stands outside"] {
            let mut first = Thin::new(text);
            let second = first.clone();
            assert_eq!(first, second);
            first.as_mut_slice()[0] ^= 1;
            assert_ne!(first, second);
            assert_eq!(second.as_slice(), text);
        }
    }

    #[test]
    fn it_crosses_threads() {
        let thin = Thin::new(b"made here, freed there");
        let there = std::thread::spawn(move || thin.len());
        assert_eq!(there.join().expect("no panic"), 22);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn assigning_is_making_anew(
            first in prop::collection::vec(any::<u8>(), 0..20),
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..4),
        ) {
            let whole = parts.concat();
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let joined = Thin::concat(&parts);
            prop_assert_eq!(joined.as_slice(), &whole);
            let mut thin = Thin::new(&first);
            thin.assign(&parts);
            prop_assert_eq!(thin.as_slice(), &whole);
            let mut same = Thin::new(&vec![0; whole.len()]);
            same.assign(&parts);
            prop_assert_eq!(same.as_slice(), &whole);
        }
    }
}
