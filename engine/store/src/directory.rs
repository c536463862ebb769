//! Extendible hashing: an index by the leading bits of the field, to segments that split in two.

use crate::segment::{
    FIELD_BITS, FIELD_COUNT, Growth, SEGMENT_ENTRIES_MAX, Segment, TableMemory, field_of,
};
use crate::slab::Handle;

/// Two neighbours with together at most this many entries become one segment again.
const MERGE_ENTRIES_MAX: usize = SEGMENT_ENTRIES_MAX / 4;

/// Several segments that together hold one slot's entries, or its hardened ones.
pub struct Directory {
    /// The index has `1 << depth` places.
    depth: u32,
    index: Vec<u32>,
    segments: Vec<Segment>,
}

impl Directory {
    /// A directory of one segment, which must cover everything.
    pub fn of(segment: Segment) -> Self {
        debug_assert!(segment.depth == 0 && segment.start == 0);
        Self { depth: 0, index: vec![0], segments: vec![segment] }
    }

    pub fn empty(memory: &TableMemory) -> Self {
        Self::of(Segment::new(memory, 0, 0, 0))
    }

    /// The number of the segment for this hash.
    #[inline]
    pub fn find(&self, hash: u64) -> u32 {
        self.at_field(field_of(hash))
    }

    #[inline]
    pub fn at_field(&self, field: u32) -> u32 {
        self.index[(field >> (FIELD_BITS - self.depth)) as usize]
    }

    #[inline]
    pub fn segment(&self, number: u32) -> &Segment {
        &self.segments[number as usize]
    }

    #[inline]
    pub fn segment_mut(&mut self, number: u32) -> &mut Segment {
        &mut self.segments[number as usize]
    }

    pub fn len(&self) -> usize {
        self.segments.iter().map(|segment| segment.table.len()).sum()
    }

    /// Bytes of the index and the segments' heads.
    pub fn bytes(&self) -> usize {
        self.index.capacity() * size_of::<u32>() + self.segments.capacity() * size_of::<Segment>()
    }

    /// Makes room in a full segment. Returns the number of a half that kept more than three
    /// quarters of a split segment's entries, which no fair hash does.
    pub fn grow(&mut self, number: u32, hash_of: impl Fn(&Handle) -> u64) -> Option<u32> {
        match self.segments[number as usize].growth() {
            Growth::Rebuild { capacity } => {
                self.segments[number as usize].rebuild(capacity, hash_of);
                None
            }
            Growth::Split => self.split(number, hash_of),
        }
    }

    fn split(&mut self, number: u32, hash_of: impl Fn(&Handle) -> u64) -> Option<u32> {
        let old = &mut self.segments[number as usize];
        if u32::from(old.depth) == self.depth {
            let doubled = self.index.iter().flat_map(|&number| [number, number]).collect();
            self.index = doubled;
            self.depth += 1;
        }
        let memory = old.table.allocator().clone();
        old.prefetch_all(memory.slab());
        let (depth, generation) = (old.depth + 1, old.generation.wrapping_add(1));
        let middle = old.start + (FIELD_COUNT >> depth);
        let hashes: Vec<u64> = old.table.iter().map(&hash_of).collect();
        let upper_len = hashes.iter().filter(|&&hash| field_of(hash) >= middle).count();
        let mut lower = Segment::new(&memory, old.start, depth, generation);
        let mut upper = Segment::new(&memory, middle, depth, generation);
        // One more than they have, since one is about to come.
        lower.reserve(hashes.len() - upper_len + 1);
        upper.reserve(upper_len + 1);
        for (handle, hash) in old.table.drain().zip(hashes.iter().copied()) {
            let half = if field_of(hash) >= middle { &mut upper } else { &mut lower };
            half.insert(hash, handle);
        }
        let upper_number = self.segments.len() as u32;
        let bound = hashes.len() / 4 * 3;
        let skewed = if upper_len > bound {
            Some(upper_number)
        } else if hashes.len() - upper_len > bound {
            Some(number)
        } else {
            None
        };
        Self::point(&mut self.index, self.depth, &upper, upper_number);
        self.segments[number as usize] = lower;
        self.segments.push(upper);
        skewed
    }

    /// Points a segment's part of the index at its number.
    fn point(index: &mut [u32], depth: u32, segment: &Segment, number: u32) {
        let shift = FIELD_BITS - depth;
        index[(segment.start >> shift) as usize..(segment.end() >> shift) as usize].fill(number);
    }

    /// Makes a sparse segment smaller, or one with its neighbour.
    pub fn shrink(&mut self, number: u32, hash_of: impl Fn(&Handle) -> u64) {
        if let Some(lower) = self.mergeable(number) {
            self.merge(lower, hash_of);
        } else {
            self.segments[number as usize].shrink(hash_of);
        }
    }

    /// The number of the lower of two neighbours that may become one.
    fn mergeable(&self, number: u32) -> Option<u32> {
        let segment = self.segment(number);
        if segment.depth == 0 {
            return None;
        }
        let other_number = self.at_field(segment.start ^ (FIELD_COUNT >> segment.depth));
        let other = self.segment(other_number);
        let fits = segment.table.len() + other.table.len() <= MERGE_ENTRIES_MAX;
        if other.depth != segment.depth || other.closed || segment.closed || !fits {
            return None;
        }
        Some(if segment.start < other.start { number } else { other_number })
    }

    fn merge(&mut self, lower: u32, hash_of: impl Fn(&Handle) -> u64) {
        let start = self.segment(lower).start ^ (FIELD_COUNT >> self.segment(lower).depth);
        let upper = self.at_field(start);
        let [low, high] = self
            .segments
            .get_disjoint_mut([lower as usize, upper as usize])
            .expect("neighbours are two");
        let generation = low.generation.max(high.generation);
        let len = low.table.len() + high.table.len();
        // One more: a merge may be followed by an insertion.
        low.rebuild(len * 2 + 1, &hash_of);
        for handle in high.table.drain() {
            low.insert(hash_of(&handle), handle);
        }
        low.depth -= 1;
        low.generation = generation.wrapping_add(1);
        Self::point(&mut self.index, self.depth, low, lower);
        self.segments.swap_remove(upper as usize);
        if let Some(moved) = self.segments.get(upper as usize) {
            Self::point(&mut self.index, self.depth, moved, upper);
        }
    }

    /// The only segment.
    pub fn into_single(mut self) -> Segment {
        debug_assert!(self.is_single());
        self.segments.swap_remove(0)
    }

    pub fn into_segments(self) -> Vec<Segment> {
        self.segments
    }

    /// Whether there is but one segment, and it is open.
    pub fn is_single(&self) -> bool {
        self.segments.len() == 1 && !self.segments[0].closed
    }
}
