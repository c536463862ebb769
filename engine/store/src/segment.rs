//! A hash table of at most 512 buckets: the piece in which slot tables grow, so that no growth
//! touches more than a few hundred entries.

use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::NonNull;
use std::rc::Rc;

use allocator_api2::alloc::{AllocError, Allocator, Global};
use hashbrown::HashTable;

use crate::slab::{Handle, Slab};

/// A segment splits rather than grow beyond this many buckets: so a growth moves at most 448
/// entries, and the table fills a cell of the slab exactly.
pub const SEGMENT_BUCKETS_MAX: usize = 512;
const _: () = assert!(SEGMENT_BUCKETS_MAX.is_power_of_two());

/// The smallest table there is.
const BUCKETS_MIN: usize = 4;

/// Entries that such a table holds: hashbrown keeps an eighth free.
pub const SEGMENT_ENTRIES_MAX: usize = SEGMENT_BUCKETS_MAX / 8 * 7;

/// Hash bits that choose the bucket within a segment.
const BUCKET_BITS: u32 = SEGMENT_BUCKETS_MAX.ilog2();

/// Hash bits above those, which choose the segment: the field.
pub const FIELD_BITS: u32 = 18;

/// How many values the field has.
pub const FIELD_COUNT: u32 = 1 << FIELD_BITS;

/// The bits of a hash that choose a segment.
#[inline]
pub fn field_of(hash: u64) -> u32 {
    (hash >> BUCKET_BITS) as u32 & (FIELD_COUNT - 1)
}

/// Hash bits that find an entry again: those of bucket and field, and the seven of the tag on top.
pub const REFIND_LOW_BITS: u32 = BUCKET_BITS + FIELD_BITS;
const _: () = assert!(REFIND_LOW_BITS == 27);

/// Puts tables into the slab; larger ones into the global allocator.
#[derive(Clone)]
pub struct TableMemory {
    slab: Rc<Slab>,
    /// Where the control bytes of the table stand that was allocated last: of the one table that
    /// owns this.
    controls: Cell<*const u8>,
}

impl TableMemory {
    pub fn new(slab: &Rc<Slab>) -> Self {
        Self { slab: slab.clone(), controls: Cell::new(std::ptr::null()) }
    }

    pub fn slab(&self) -> &Slab {
        &self.slab
    }
}

/// hashbrown's layout: the buckets, backwards, then from a multiple of 16 on the control bytes, of
/// which there are 16 more than buckets.
fn controls_offset(table_bytes: usize) -> usize {
    const BUCKET_BYTES: usize = size_of::<Handle>();
    let buckets = (table_bytes - GROUP_BYTES) / (BUCKET_BYTES + 1);
    let buckets = 1 << buckets.ilog2();
    (buckets * BUCKET_BYTES).next_multiple_of(GROUP_BYTES)
}

/// Control bytes that hashbrown looks at together.
const GROUP_BYTES: usize = 16;

// SAFETY: memory comes from the slab or the global allocator and stays in place until it is given
// back; clones share one slab, and `in_arena` tells which of the two gave it.
unsafe impl Allocator for TableMemory {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(layout.align() <= 16);
        let memory = if let Some(pointer) = self.slab.allocate_table(layout.size()) {
            NonNull::slice_from_raw_parts(pointer, layout.size())
        } else {
            let memory = Global.allocate(layout)?;
            self.slab.count_outside_table(layout.size(), true);
            memory
        };
        let start: *const u8 = memory.cast().as_ptr();
        self.controls.set(start.wrapping_add(controls_offset(layout.size())));
        Ok(memory)
    }

    unsafe fn deallocate(&self, pointer: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's word that this came from `allocate` with this layout.
        unsafe {
            if self.slab.in_arena(pointer) {
                self.slab.free_table(pointer);
            } else {
                self.slab.count_outside_table(layout.size(), false);
                Global.deallocate(pointer, layout);
            }
        }
    }
}

pub type Table = HashTable<Handle, TableMemory>;

/// One piece of a slot table: the entries whose field begins with the same `depth` bits.
pub struct Segment {
    pub table: Table,
    /// The first field value it covers.
    pub start: u32,
    /// How many leading bits of the field its entries share.
    pub depth: u8,
    /// Its entries live in the hardened directory: too many of them shared a hash.
    pub closed: bool,
    /// Changes whenever entries may have changed buckets.
    pub generation: u16,
}

impl Segment {
    pub fn new(memory: &TableMemory, start: u32, depth: u8, generation: u16) -> Self {
        let table = Table::new_in(memory.clone());
        Self { table, start, depth, closed: false, generation }
    }

    /// The first field value behind it.
    pub fn end(&self) -> u32 {
        self.start + (FIELD_COUNT >> self.depth)
    }

    /// Whether the next insertion would make the table move its entries.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.table.len() == self.table.capacity()
    }

    /// Puts the entry in; there must be room.
    #[inline]
    pub fn insert(&mut self, hash: u64, handle: Handle) {
        debug_assert!(!self.is_full());
        self.table.insert_unique(hash, handle, |_| unreachable!("room was made before"));
    }

    /// Gives an empty segment a table for so many entries.
    pub fn reserve(&mut self, capacity: usize) {
        debug_assert!(self.table.is_empty());
        self.table = Table::with_capacity_in(capacity, self.table.allocator().clone());
    }

    /// Gives the table room for what is left of it, some growth included, or none if it is empty.
    pub fn shrink(&mut self, hash_of: impl Fn(&Handle) -> u64) {
        let len = self.table.len();
        if len == 0 {
            self.table = Table::new_in(self.table.allocator().clone());
            self.generation = self.generation.wrapping_add(1);
        } else {
            self.rebuild(len + len / 2 + 1, hash_of);
        }
    }

    /// Makes the table one for `capacity` entries, and all buckets new.
    pub fn rebuild(&mut self, capacity: usize, hash_of: impl Fn(&Handle) -> u64) {
        let memory = self.table.allocator().clone();
        self.prefetch_all(memory.slab());
        let mut table = Table::with_capacity_in(capacity, memory);
        for handle in self.table.drain() {
            table.insert_unique(hash_of(&handle), handle, |_| unreachable!("the capacity holds"));
        }
        self.table = table;
        self.generation = self.generation.wrapping_add(1);
    }

    /// Begins to load the buckets where a search for this hash begins, and their control bytes.
    #[inline]
    pub fn prefetch_buckets(&self, hash: u64) {
        let controls = self.table.allocator().controls.get();
        let bucket = hash as usize & (self.table.num_buckets() - 1);
        // The addresses are only hints: where there is no table they point nowhere.
        prefetch(controls.wrapping_add(bucket));
        prefetch(controls.wrapping_sub((bucket + 1) * size_of::<Handle>()));
    }

    /// Begins to load every entry, since all will be hashed: their misses overlap.
    pub fn prefetch_all(&self, slab: &Slab) {
        for handle in &self.table {
            prefetch(slab.pointer(handle).as_ptr());
        }
    }

    /// What a full segment needs.
    pub fn growth(&self) -> Growth {
        let full = capacity_of(self.table.num_buckets());
        if self.table.num_buckets() < BUCKETS_MIN {
            Growth::Rebuild { capacity: 3 }
        } else if self.table.len() < full - full / 8 {
            // Mostly tombstones: the same size again.
            Growth::Rebuild { capacity: full }
        } else if self.table.num_buckets() < SEGMENT_BUCKETS_MAX
            || u32::from(self.depth) == FIELD_BITS
        {
            Growth::Rebuild { capacity: full + 1 }
        } else {
            Growth::Split
        }
    }

    /// Whether so few entries are left that a smaller table is due.
    #[inline]
    pub fn is_sparse(&self) -> bool {
        self.table.num_buckets() > BUCKETS_MIN && self.table.len() * 8 < self.table.num_buckets()
    }
}

/// How a full segment makes room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    Rebuild { capacity: usize },
    Split,
}

/// Entries that hashbrown puts into so many buckets.
fn capacity_of(buckets: usize) -> usize {
    if buckets < 8 { buckets.saturating_sub(1) } else { buckets / 8 * 7 }
}

/// Asks the processor to load a line.
#[inline]
pub fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; any address is allowed.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_bytes_are_where_they_are_expected() {
        let slab = Rc::new(Slab::new(16384));
        for capacity in [3, 7, 14, 28, 56, 112, 224, 448, 896, 5000] {
            let mut segment = Segment::new(&TableMemory::new(&slab), 0, 0, 0);
            segment.reserve(capacity);
            let hash = 0x0123_4567_89AB_CDEF;
            segment.insert(hash, slab.allocate(16).expect("the system has memory"));
            let bucket = segment.table.find_bucket_index(hash, |_| true).expect("just inserted");
            let handle = segment.table.get_bucket(bucket).expect("just found");
            let expected = segment.table.allocator().controls.get();
            let expected = expected.wrapping_sub((bucket + 1) * size_of::<Handle>());
            assert_eq!(std::ptr::from_ref(handle).cast(), expected, "{capacity}");
            for handle in segment.table.drain() {
                slab.free(handle);
            }
        }
    }
}
