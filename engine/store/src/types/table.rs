//! The hash table of large collections: extendible hashing (Fagin et al., "Extendible Hashing",
//! 1979). An index by the top bits of the hash leads to segments, small hash tables that split in
//! two when they are full, so no growth, no shrinking and no step of freeing ever moves more than
//! one segment's elements. Knows neither keys nor values: hashes and comparisons are arguments.

use std::hash::Hasher;
use std::sync::OnceLock;

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;
use hashbrown::HashTable;
use hashbrown::hash_table::{Entry, Iter as SegmentIter};

use super::heap_bytes;

/// A segment of more buckets splits instead of growing.
const SEGMENT_BUCKETS_MAX: usize = 512;

/// The smallest table that hashbrown makes.
const BUCKETS_MIN: usize = 4;

/// Two halves with together at most this many elements become one segment again.
const MERGE_ELEMENTS_MAX: usize = SEGMENT_BUCKETS_MAX / 8 * 7 / 4;

/// No segment is chosen by more top bits: enough for five thousand million elements, after which
/// segments grow.
const DEPTH_MAX: u32 = 24;

/// The index has at most this many places for each segment, and always may have `INDEX_MIN`. A fair
/// hash stays below three; one that somebody made collide gets longer segments, not a huge index.
const INDEX_PER_SEGMENT_MAX: usize = 16;
const INDEX_MIN: usize = 64;

/// Segments stand in chunks, so that not even their heads are moved all at once.
const CHUNK_SEGMENTS: usize = 64;

/// Bits of a scan's cursor: what a double holds, since some clients keep cursors in one.
const CURSOR_BITS: u32 = 53;

/// Segments that one call of `scan` sees beyond those that its count asks for.
const SCAN_SEGMENTS_MAX: usize = 64;

/// Draws of `random` before it takes the nearest element instead.
const RANDOM_DRAWS_MAX: u32 = 128;

const _: () = assert!(DEPTH_MAX + SEGMENT_BUCKETS_MAX.ilog2() + 7 <= 64);

/// The hash of an element by its bytes: `foldhash` keyed with 128 random bits of this process.
///
/// Who chooses the bytes cannot make chains: which bytes collide depends on the key, which is
/// drawn from the system at start and shown nowhere; cursors of scans, which show parts of hashes,
/// only reach those who may read the collection. And should somebody know collisions, the table
/// gets long segments, not a long index (see `INDEX_PER_SEGMENT_MAX`).
#[inline]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    static SEED: OnceLock<(u64, SharedSeed)> = OnceLock::new();
    let (own, shared) = SEED.get_or_init(|| {
        use std::hash::{BuildHasher, RandomState};
        // The standard library asks the system for randomness; each state is another key.
        let draw = || RandomState::new().build_hasher().finish();
        (draw(), SharedSeed::from_u64(draw()))
    });
    let mut hasher = FoldHasher::with_seed(*own, shared);
    hasher.write(bytes);
    hasher.finish()
}

/// One part of the table.
#[derive(Clone)]
struct Segment<T> {
    table: HashTable<T>,
    /// The top bits that its elements share, from the top of `DEPTH_MAX` bits.
    start: u32,
    /// How many bits those are.
    depth: u32,
}

impl<T> Segment<T> {
    /// The first place behind it.
    fn end(&self) -> u32 {
        self.start + (1 << (DEPTH_MAX - self.depth))
    }

    /// Whether the next insertion would make the table move its elements.
    #[inline]
    fn is_full(&self) -> bool {
        self.table.len() == self.table.capacity()
    }

    fn heap_bytes(&self) -> usize {
        heap_bytes(self.table.allocation_size())
    }

    /// Makes the table one for `capacity` elements.
    fn rebuild(&mut self, capacity: usize, hash_of: impl Fn(&T) -> u64) {
        let mut table = HashTable::with_capacity(capacity);
        for element in self.table.drain() {
            table.insert_unique(inner(hash_of(&element)), element, |_| unreachable!("it has room"));
        }
        self.table = table;
    }

    /// Whether so few elements are left that a smaller table is due.
    #[inline]
    fn is_sparse(&self) -> bool {
        let (len, buckets) = (self.table.len(), self.table.num_buckets());
        len == 0 || buckets > BUCKETS_MIN && len * 8 < buckets
    }
}

/// The hash within a segment. hashbrown takes the bucket from the lowest bits and a tag from the
/// highest seven: both must differ within a segment, whose elements share their top bits.
#[inline]
fn inner(hash: u64) -> u64 {
    hash.rotate_left(64 - DEPTH_MAX - 9)
}

/// Elements that hashbrown puts into so many buckets.
fn capacity_of(buckets: usize) -> usize {
    if buckets < 8 { buckets.saturating_sub(1) } else { buckets / 8 * 7 }
}

/// A hash table that grows and shrinks in small steps. Every function that takes a hash or
/// `hash_of` must be given the same hash for an element each time.
#[derive(Clone)]
pub struct Segmented<T> {
    /// The number of the segment by the top `depth` bits of the hash: `1 << depth` places.
    index: Vec<u32>,
    depth: u32,
    /// Segments that are chosen by as many bits as the index has.
    deepest: usize,
    len: usize,
    /// Bytes of the segments' tables.
    tables_bytes: usize,
    /// The most buckets that any segment has had.
    buckets_max: usize,
    segments: Chunks<T>,
}

/// Segments by number.
#[derive(Clone)]
struct Chunks<T>(Vec<Vec<Segment<T>>>);

impl<T> Chunks<T> {
    #[inline]
    fn at(&self, number: usize) -> &Segment<T> {
        &self.0[number / CHUNK_SEGMENTS][number % CHUNK_SEGMENTS]
    }

    #[inline]
    fn at_mut(&mut self, number: usize) -> &mut Segment<T> {
        &mut self.0[number / CHUNK_SEGMENTS][number % CHUNK_SEGMENTS]
    }

    fn len(&self) -> usize {
        match self.0.last() {
            Some(last) => (self.0.len() - 1) * CHUNK_SEGMENTS + last.len(),
            None => 0,
        }
    }

    fn push(&mut self, segment: Segment<T>) {
        if self.len() == self.0.len() * CHUNK_SEGMENTS {
            // The first chunk grows as it needs to: most tables have few segments.
            let room = if self.0.is_empty() { 1 } else { CHUNK_SEGMENTS };
            self.0.push(Vec::with_capacity(room));
        }
        self.0.last_mut().expect("just pushed").push(segment);
    }

    fn pop(&mut self) -> Option<Segment<T>> {
        let segment = self.0.last_mut()?.pop();
        if self.0.last().is_some_and(Vec::is_empty) {
            self.0.pop();
        }
        segment
    }

    fn bytes(&self) -> usize {
        let first = self.0.first().map_or(0, |chunk| chunk_bytes::<T>(chunk.capacity()));
        let rest = self.0.len().saturating_sub(1) * chunk_bytes::<T>(CHUNK_SEGMENTS);
        heap_bytes(self.0.capacity() * size_of::<Vec<Segment<T>>>()) + first + rest
    }
}

fn chunk_bytes<T>(segments: usize) -> usize {
    heap_bytes(segments * size_of::<Segment<T>>())
}

impl<T> Default for Segmented<T> {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl<T> Segmented<T> {
    /// An empty table whose first segment has room for about so many elements.
    pub fn with_capacity(capacity: usize) -> Self {
        let room = capacity.min(capacity_of(SEGMENT_BUCKETS_MAX));
        let first = Segment { table: HashTable::with_capacity(room), start: 0, depth: 0 };
        let tables_bytes = first.heap_bytes();
        let buckets_max = first.table.num_buckets();
        let mut segments = Chunks(Vec::with_capacity(1));
        segments.push(first);
        Self { index: vec![0], depth: 0, deepest: 1, len: 0, tables_bytes, buckets_max, segments }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Heap bytes of the table itself by usable size; what its elements own is not counted.
    pub fn bytes(&self) -> usize {
        heap_bytes(self.index.capacity() * size_of::<u32>())
            + self.segments.bytes()
            + self.tables_bytes
    }

    /// The number of the segment for this hash.
    #[inline]
    fn number(&self, hash: u64) -> usize {
        // Two steps, since a depth of 0 would shift by 64.
        self.index[((hash >> 1) >> (63 - self.depth)) as usize] as usize
    }

    #[inline]
    pub fn find(&self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<&T> {
        self.segments.at(self.number(hash)).table.find(inner(hash), eq)
    }

    /// The first element whose tag matches, not compared: where the element is, as a rule, if it is
    /// there at all.
    #[inline]
    pub fn hint(&self, hash: u64) -> Option<&T> {
        self.segments.at(self.number(hash)).table.find(inner(hash), |_| true)
    }

    #[inline]
    pub fn find_mut(&mut self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let number = self.number(hash);
        self.segments.at_mut(number).table.find_mut(inner(hash), eq)
    }

    /// The element that `eq` accepts, or a new one; and whether it is new.
    #[inline]
    pub fn find_or_insert(
        &mut self,
        hash: u64,
        eq: impl FnMut(&T) -> bool,
        make: impl FnOnce() -> T,
        hash_of: impl Fn(&T) -> u64,
    ) -> (&mut T, bool) {
        let mut number = self.number(hash);
        if self.segments.at(number).is_full() {
            self.make_room(number, &hash_of);
            number = self.number(hash);
        }
        match self
            .segments
            .at_mut(number)
            .table
            .entry(inner(hash), eq, |_| unreachable!("there is room"))
        {
            Entry::Occupied(entry) => (entry.into_mut(), false),
            Entry::Vacant(entry) => {
                self.len += 1;
                (entry.insert(make()).into_mut(), true)
            }
        }
    }

    /// Puts an element in that is not there yet.
    pub fn insert(&mut self, hash: u64, element: T, hash_of: impl Fn(&T) -> u64) {
        self.find_or_insert(hash, |_| false, || element, hash_of);
    }

    /// Takes the element out that `eq` accepts.
    #[inline]
    pub fn remove(
        &mut self,
        hash: u64,
        eq: impl FnMut(&T) -> bool,
        hash_of: impl Fn(&T) -> u64,
    ) -> Option<T> {
        let number = self.number(hash);
        let segment = self.segments.at_mut(number);
        let element = segment.table.find_entry(inner(hash), eq).ok()?.remove().0;
        self.len -= 1;
        if segment.is_sparse() {
            self.shrink(number, &hash_of);
        }
        Some(element)
    }

    /// Makes room for one element more in a full segment, or in those that it splits into.
    #[cold]
    fn make_room(&mut self, number: usize, hash_of: &impl Fn(&T) -> u64) {
        let segment = self.segments.at(number);
        let (buckets, len) = (segment.table.num_buckets(), segment.table.len());
        let full = capacity_of(buckets);
        if buckets < BUCKETS_MIN {
            self.rebuild(number, capacity_of(BUCKETS_MIN), hash_of);
        } else if len < full - full / 8 {
            // Mostly tombstones: the same size again.
            self.rebuild(number, full, hash_of);
        } else if buckets < SEGMENT_BUCKETS_MAX || !self.may_split(number) {
            self.rebuild(number, full + 1, hash_of);
        } else {
            self.split(number, hash_of);
        }
    }

    fn rebuild(&mut self, number: usize, capacity: usize, hash_of: &impl Fn(&T) -> u64) {
        let segment = self.segments.at_mut(number);
        self.tables_bytes -= segment.heap_bytes();
        segment.rebuild(capacity, hash_of);
        self.tables_bytes += segment.heap_bytes();
        self.buckets_max = self.buckets_max.max(segment.table.num_buckets());
    }

    fn may_split(&self, number: usize) -> bool {
        let depth = self.segments.at(number).depth;
        let index_max = INDEX_MIN.max(self.segments.len() * INDEX_PER_SEGMENT_MAX);
        depth < DEPTH_MAX && (depth < self.depth || self.index.len() * 2 <= index_max)
    }

    fn split(&mut self, number: usize, hash_of: &impl Fn(&T) -> u64) {
        let old = self.segments.at_mut(number);
        self.tables_bytes -= old.heap_bytes();
        let depth = old.depth + 1;
        let middle = old.start + (1 << (DEPTH_MAX - depth));
        let is_upper = |hash: u64| (hash >> (64 - DEPTH_MAX)) as u32 >= middle;
        let hashes: Vec<u64> = old.table.iter().map(hash_of).collect();
        let upper_len = hashes.iter().filter(|&&hash| is_upper(hash)).count();
        // One more than they have, since one is about to come.
        let mut lower = HashTable::with_capacity(hashes.len() - upper_len + 1);
        let mut upper = HashTable::with_capacity(upper_len + 1);
        for (element, hash) in old.table.drain().zip(hashes) {
            let half = if is_upper(hash) { &mut upper } else { &mut lower };
            half.insert_unique(inner(hash), element, |_| unreachable!("it has room"));
        }
        let upper = Segment { table: upper, start: middle, depth };
        old.table = lower;
        old.depth = depth;
        self.tables_bytes += old.heap_bytes() + upper.heap_bytes();
        for table in [&old.table, &upper.table] {
            self.buckets_max = self.buckets_max.max(table.num_buckets());
        }
        if depth > self.depth {
            let mut doubled = Vec::with_capacity(self.index.len() * 2);
            doubled.extend(self.index.iter().flat_map(|&number| [number, number]));
            self.index = doubled;
            self.depth = depth;
            self.deepest = 2;
        } else if depth == self.depth {
            self.deepest += 2;
        }
        let upper_number = self.segments.len();
        self.segments.push(upper);
        self.point_at(upper_number);
    }

    /// Points a segment's part of the index at its number.
    fn point_at(&mut self, number: usize) {
        let segment = self.segments.at(number);
        let shift = DEPTH_MAX - self.depth;
        let places = (segment.start >> shift) as usize..(segment.end() >> shift) as usize;
        self.index[places].fill(number as u32);
    }

    /// Makes a sparse segment smaller, or one with its other half.
    #[cold]
    fn shrink(&mut self, number: usize, hash_of: &impl Fn(&T) -> u64) {
        let mut merged = number;
        while let Some((low, high)) = self.mergeable(merged) {
            let start = self.segments.at(low).start;
            self.merge(low, high, hash_of);
            merged = self.index[(start >> (DEPTH_MAX - self.depth)) as usize] as usize;
        }
        let segment = self.segments.at(merged);
        if segment.is_sparse() {
            let len = segment.table.len();
            // Some room to grow, so that one that comes and goes does not rebuild each time.
            let capacity = if len == 0 { 0 } else { len + len / 2 + 1 };
            self.rebuild(merged, capacity, hash_of);
        }
    }

    /// The numbers of this segment and its other half, the lower first, if they may become one.
    fn mergeable(&self, number: usize) -> Option<(usize, usize)> {
        let segment = self.segments.at(number);
        if segment.depth == 0 {
            return None;
        }
        let start = segment.start ^ (1 << (DEPTH_MAX - segment.depth));
        let other_number = self.index[(start >> (DEPTH_MAX - self.depth)) as usize] as usize;
        let other = self.segments.at(other_number);
        let fits = segment.table.len() + other.table.len() <= MERGE_ELEMENTS_MAX;
        if other.depth != segment.depth || !fits {
            return None;
        }
        let is_low = segment.start < other.start;
        Some(if is_low { (number, other_number) } else { (other_number, number) })
    }

    fn merge(&mut self, low: usize, high: usize, hash_of: &impl Fn(&T) -> u64) {
        let mut taken = std::mem::take(&mut self.segments.at_mut(high).table);
        self.tables_bytes -= heap_bytes(taken.allocation_size());
        let len = self.segments.at(low).table.len() + taken.len();
        self.rebuild(low, len + len / 2 + 1, hash_of);
        let segment = self.segments.at_mut(low);
        for element in taken.drain() {
            let hash = inner(hash_of(&element));
            segment.table.insert_unique(hash, element, |_| unreachable!("it has room"));
        }
        let was_deepest = segment.depth == self.depth;
        segment.depth -= 1;
        self.point_at(low);
        // The last segment takes the free number.
        let last = self.segments.pop().expect("there are two at least");
        if high < self.segments.len() {
            *self.segments.at_mut(high) = last;
            self.point_at(high);
        }
        if was_deepest {
            self.deepest -= 2;
            if self.deepest == 0 {
                self.halve_index();
            }
        }
    }

    /// Drops the index's last bit, by which no segment is chosen any more.
    fn halve_index(&mut self) {
        self.index = self.index.iter().copied().step_by(2).collect();
        self.depth -= 1;
        let depth = self.depth;
        self.deepest = self.segments.0.iter().flatten().filter(|of| of.depth == depth).count();
    }

    /// All elements, in no particular order.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { table: self, next: 1, segment: self.segments.at(0).table.iter() }
    }

    /// An element, all of them equally likely: a segment, then a bucket, until one is taken.
    pub fn random(&self, dice: &mut fastrand::Rng) -> Option<&T> {
        if self.len == 0 {
            return None;
        }
        let segments = self.segments.len();
        let buckets =
            if segments == 1 { self.segments.at(0).table.num_buckets() } else { self.buckets_max };
        for _ in 0..RANDOM_DRAWS_MAX {
            let segment = self.segments.at(dice.usize(..segments));
            if let Some(element) = segment.table.get_bucket(dice.usize(..buckets)) {
                return Some(element);
            }
        }
        // Next to never: a table fills a sixteenth of its buckets at least on the whole.
        let from = dice.usize(..segments);
        (from..segments).chain(0..from).find_map(|number| {
            let table = &self.segments.at(number).table;
            table.iter().nth(dice.usize(..table.len().max(1)))
        })
    }

    /// Shows about `count` elements from the cursor on and gives the cursor to go on from: 0 when
    /// all have been seen. Begin with 0.
    ///
    /// A cursor is a place in the order of the hashes, so an element that is there from the first
    /// call to the last is shown at least once, whatever grows or shrinks in between; and one that
    /// is neither removed nor put back is shown once only.
    pub fn scan<'a>(
        &'a self,
        cursor: u64,
        count: usize,
        hash_of: impl Fn(&T) -> u64,
        mut visit: impl FnMut(&'a T),
    ) -> u64 {
        let place_of = |element: &T| hash_of(element) >> (64 - CURSOR_BITS);
        let mut cursor = cursor;
        let mut left = count.max(1);
        let mut found: Vec<(u64, &T)> = Vec::new();
        for _ in 0..SCAN_SEGMENTS_MAX.saturating_add(left) {
            if cursor >> CURSOR_BITS != 0 {
                return 0;
            }
            let segment = self.segments.at(self.number(cursor << (64 - CURSOR_BITS)));
            let all = segment.table.iter().map(|element| (place_of(element), element));
            found.clear();
            found.extend(all.filter(|&(place, _)| place >= cursor));
            if found.len() > left {
                // Those with one place go together, since a cursor cannot stand between them.
                let last = found.select_nth_unstable_by_key(left - 1, |&(place, _)| place).1.0;
                for &(_, element) in found.iter().filter(|&&(place, _)| place <= last) {
                    visit(element);
                }
                cursor = last + 1;
                break;
            }
            for &(_, element) in &found {
                visit(element);
            }
            left -= found.len();
            cursor = u64::from(segment.end()) << (CURSOR_BITS - DEPTH_MAX);
            if left == 0 {
                break;
            }
        }
        if cursor >> CURSOR_BITS == 0 { cursor } else { 0 }
    }

    /// Shows the elements of segment `cursor` and those after it to `visit`, which may change nothing
    /// that their hashes depend on, a whole segment at a time, until that says that it has enough.
    /// True: that was the last.
    pub fn visit_some(&mut self, cursor: &mut u64, mut visit: impl FnMut(&mut T) -> bool) -> bool {
        while (*cursor as usize) < self.segments.len() {
            let mut enough = false;
            for element in &mut self.segments.at_mut(*cursor as usize).table {
                enough |= visit(element);
            }
            *cursor += 1;
            if enough {
                break;
            }
        }
        *cursor as usize >= self.segments.len()
    }

    /// Frees elements, one unit each, until no units are left. True: nothing is left. After the
    /// first call the table may only be freed on, measured and dropped. `freed` sees each element.
    pub fn free_some(&mut self, units: &mut u32, mut freed: impl FnMut(&T)) -> bool {
        self.index = Vec::new();
        while let Some(mut segment) = self.segments.pop() {
            let before = segment.table.len();
            for element in segment.table.extract_if(|_| true).take(*units as usize) {
                freed(&element);
            }
            let left = segment.table.len();
            self.len -= before - left;
            // A segment without elements costs a unit too.
            *units -= (before - left).max(1).min(*units as usize) as u32;
            if left > 0 {
                self.segments.push(segment);
                return false;
            }
            self.tables_bytes -= segment.heap_bytes();
            if *units == 0 {
                break;
            }
        }
        self.len == 0
    }
}

impl<'a, T> IntoIterator for &'a Segmented<T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

/// The elements of a table, segment after segment.
pub struct Iter<'a, T> {
    table: &'a Segmented<T>,
    /// The number of the segment after this one.
    next: usize,
    segment: SegmentIter<'a, T>,
}

impl<T> Clone for Iter<'_, T> {
    fn clone(&self) -> Self {
        Self { table: self.table, next: self.next, segment: self.segment.clone() }
    }
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        loop {
            if let Some(element) = self.segment.next() {
                return Some(element);
            }
            if self.next == self.table.segments.len() {
                return None;
            }
            self.segment = self.table.segments.at(self.next).table.iter();
            self.next += 1;
        }
    }
}

impl<T> std::fmt::Debug for Segmented<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Segmented({} elements, {} segments)", self.len, self.segments.len())
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
