//! A large list: a deque of packed chunks, gathered into groups that know their counts, so that an
//! index is found by a short walk and no step moves more than a chunk or a group. Owns chunks and
//! their slack; knows nothing of settings' names or of changes.
//!
//! groups: | group | group | .. |, each: | count | chunk | chunk | .. |
//! chunk:  | slack | element, back length | element, back length | .. | slack |

use std::collections::VecDeque;

use super::heap_bytes;
use super::pack::{self, Item};
use super::{End, SettleCursor};
use crate::memory::settle_bytes;
use crate::settle::Settling;

/// Chunks of a group: what inserting a chunk moves, and what an index walks over at the most.
const GROUP_CHUNKS_MAX: usize = 128;
/// A chunk's buffer begins with so many bytes and doubles.
const CHUNK_BYTES_FIRST: usize = 256;

/// What a chunk may hold; a single element may be longer.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkLimit {
    pub bytes: usize,
    pub count: usize,
}

/// Bytes of an element in a chunk, its back length included.
pub(super) fn element_len(item: Item<'_>) -> usize {
    let length = item.packed_len();
    length + pack::back_len(length)
}

/// Writes an element with its back length into exactly its `element_len` bytes.
pub(super) fn put_element(item: Item<'_>, place: &mut [u8]) {
    let (element, back) = place.split_at_mut(item.packed_len());
    pack::put(item, element);
    pack::put_back(element.len(), back);
}

/// The first element of a run of elements, and how many bytes it takes with its back length.
#[inline]
pub(super) fn first(run: &[u8]) -> (Item<'_>, usize) {
    let (item, length) = pack::read(run);
    (item, length + pack::back_len(length))
}

/// The last element of a run, and how many bytes it takes with its back length.
#[inline]
pub(super) fn last(run: &[u8]) -> (Item<'_>, usize) {
    let (length, back) = pack::read_back(run);
    let (item, _) = pack::read(&run[run.len() - back - length..]);
    (item, back + length)
}

/// Where in a run of `count` elements the one at `index` begins; `index == count`: its end.
pub(super) fn offset_of(run: &[u8], count: usize, index: usize) -> usize {
    debug_assert!(index <= count);
    if index <= count / 2 {
        let mut offset = 0;
        for _ in 0..index {
            let length = pack::skip(&run[offset..]);
            offset += length + pack::back_len(length);
        }
        return offset;
    }
    let mut offset = run.len();
    for _ in index..count {
        let (length, back) = pack::read_back(&run[..offset]);
        offset -= length + back;
    }
    offset
}

/// A run of elements with slack around it.
#[derive(Clone, Debug)]
struct Chunk {
    buffer: Box<[u8]>,
    start: u32,
    end: u32,
    count: u32,
}

impl Chunk {
    fn of_run(run: &[u8], count: usize) -> Self {
        Self { buffer: run.into(), start: 0, end: run.len() as u32, count: count as u32 }
    }

    fn run(&self) -> &[u8] {
        &self.buffer[self.start as usize..self.end as usize]
    }

    fn used(&self) -> usize {
        (self.end - self.start) as usize
    }

    fn count(&self) -> usize {
        self.count as usize
    }

    fn heap(&self) -> usize {
        heap_bytes(self.buffer.len())
    }

    fn fits(&self, bytes: usize, limit: ChunkLimit) -> bool {
        self.used() + bytes <= limit.bytes && self.count() < limit.count
    }

    /// Puts the run at `start` of a buffer of `capacity` bytes.
    fn place(&mut self, capacity: usize, start: usize) {
        let used = self.used();
        if capacity == self.buffer.len() {
            self.buffer.copy_within(self.start as usize..self.end as usize, start);
        } else {
            let mut buffer = vec![0; capacity].into_boxed_slice();
            buffer[start..start + used].copy_from_slice(self.run());
            self.buffer = buffer;
        }
        self.start = start as u32;
        self.end = (start + used) as u32;
    }

    /// Makes room for `bytes` at an end, at an amortised cost of a few bytes moved for each byte
    /// that comes. False: the chunk is to be left as it is, another one begun.
    fn make_room(&mut self, end: End, bytes: usize, limit: ChunkLimit) -> bool {
        let (capacity, used) = (self.buffer.len(), self.used());
        let there = match end {
            End::Front => self.start as usize,
            End::Back => capacity - self.end as usize,
        };
        if there >= bytes {
            return true;
        }
        let needed = used + bytes;
        if capacity < limit.bytes.max(needed) && needed > capacity / 2 {
            // All the new slack goes where it grows: doubling pays for the copy.
            let wanted = (2 * needed).max(CHUNK_BYTES_FIRST).min(limit.bytes.max(needed));
            let slack = wanted - used;
            self.place(wanted, if end == End::Front { slack } else { 0 });
            return true;
        }
        if needed > capacity / 2 {
            return false;
        }
        // At least half of the buffer is slack; three quarters of that go to this end, so that
        // pushes that alternate between the ends do not move the run each time.
        let slack = capacity - used;
        let at_this_end = (slack / 4 * 3).max(bytes);
        self.place(capacity, if end == End::Front { at_this_end } else { slack - at_this_end });
        true
    }

    /// Pushes an element if the limit lets it and room can be made cheaply.
    fn push(&mut self, end: End, item: Item<'_>, limit: ChunkLimit) -> bool {
        let bytes = element_len(item);
        if self.count > 0 && !self.fits(bytes, limit) || !self.make_room(end, bytes, limit) {
            return false;
        }
        let from = match end {
            End::Front => {
                self.start -= bytes as u32;
                self.start as usize
            }
            End::Back => {
                self.end += bytes as u32;
                self.end as usize - bytes
            }
        };
        put_element(item, &mut self.buffer[from..from + bytes]);
        self.count += 1;
        true
    }

    /// Puts `item`, or nothing, in the place of `count` elements at `index`.
    fn splice(&mut self, index: usize, count: usize, item: Option<Item<'_>>) {
        let run = self.run();
        let from = offset_of(run, self.count(), index);
        let tail = offset_of(run, self.count(), index + count);
        let comes = item.map_or(0, element_len);
        let used = self.used() + comes - (tail - from);
        let (start, end) = (self.start as usize, self.end as usize);
        if start + used <= self.buffer.len() {
            self.buffer.copy_within(start + tail..end, start + from + comes);
        } else {
            let mut buffer = vec![0; used].into_boxed_slice();
            buffer[..from].copy_from_slice(&run[..from]);
            buffer[from + comes..].copy_from_slice(&run[tail..]);
            self.buffer = buffer;
            self.start = 0;
        }
        self.end = self.start + used as u32;
        let from = self.start as usize + from;
        if let Some(item) = item {
            put_element(item, &mut self.buffer[from..from + comes]);
        }
        self.count = self.count - count as u32 + u32::from(item.is_some());
    }

    /// Cuts what begins at `index` off.
    fn split_off(&mut self, index: usize) -> Self {
        let offset = offset_of(self.run(), self.count(), index);
        let rest = Self::of_run(&self.run()[offset..], self.count() - index);
        self.end = self.start + offset as u32;
        self.count = index as u32;
        self.give_back();
        rest
    }

    /// Gives slack back that is no longer of use.
    fn give_back(&mut self) {
        if self.buffer.len() - self.used() > self.buffer.len() / 8 {
            self.place(self.used(), 0);
        }
    }
}

/// Neighbouring chunks.
#[derive(Clone, Debug, Default)]
struct Group {
    chunks: VecDeque<Chunk>,
    count: usize,
    /// Heap bytes of the chunks.
    chunk_bytes: usize,
}

impl Group {
    fn of(chunks: VecDeque<Chunk>) -> Self {
        let count = chunks.iter().map(Chunk::count).sum();
        let chunk_bytes = chunks.iter().map(Chunk::heap).sum();
        Self { chunks, count, chunk_bytes }
    }

    /// Counts a chunk that comes.
    fn count_in(&mut self, chunk: &Chunk) {
        self.count += chunk.count();
        self.chunk_bytes += chunk.heap();
    }

    /// Bytes of the chunks' places, not of the chunks.
    fn heap(&self) -> usize {
        heap_bytes(self.chunks.capacity() * size_of::<Chunk>())
    }
}

/// Where an element is.
#[derive(Clone, Copy)]
struct Place {
    group: usize,
    chunk: usize,
    index: usize,
}

/// The elements of a large list.
#[derive(Debug, Default)]
pub struct ListDeque {
    groups: VecDeque<Group>,
    count: usize,
    /// Bytes of chunks and groups by size class; without `groups`' own buffer.
    heap: usize,
}

impl Clone for ListDeque {
    fn clone(&self) -> Self {
        let mut copy = Self { groups: self.groups.clone(), count: self.count, heap: 0 };
        // Copies of buffers may be of other capacities.
        copy.heap = copy.counted_heap();
        copy
    }
}

impl ListDeque {
    /// What `heap` is, counted anew.
    fn counted_heap(&self) -> usize {
        let chunks = self.groups.iter().flat_map(|group| &group.chunks);
        self.groups.iter().map(Group::heap).sum::<usize>() + chunks.map(Chunk::heap).sum::<usize>()
    }

    /// A list of the elements of one run.
    pub(super) fn of_run(run: &[u8], count: usize) -> Self {
        let mut list = Self::default();
        if count > 0 {
            list.add_chunk(End::Back, Chunk::of_run(run, count));
            list.count = count;
        }
        list
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Heap bytes by size class, this struct not included.
    pub fn bytes(&self) -> usize {
        self.heap + heap_bytes(self.groups.capacity() * size_of::<Group>())
    }

    /// The one run that holds everything, if one does.
    pub(super) fn single_run(&self) -> Option<&[u8]> {
        let single = self.groups.len() == 1 && self.groups[0].chunks.len() == 1;
        single.then(|| self.groups[0].chunks[0].run())
    }

    fn chunk_mut<R>(&mut self, group: usize, chunk: usize, f: impl FnOnce(&mut Chunk) -> R) -> R {
        let group = &mut self.groups[group];
        let chunk = &mut group.chunks[chunk];
        let (capacity, count) = (chunk.buffer.len(), chunk.count());
        let result = f(chunk);
        self.count = self.count + chunk.count() - count;
        group.count = group.count + chunk.count() - count;
        if chunk.buffer.len() != capacity {
            let (before, now) = (heap_bytes(capacity), chunk.heap());
            self.heap = self.heap + now - before;
            group.chunk_bytes = group.chunk_bytes + now - before;
        }
        result
    }

    /// Changes the places of a group's chunks; the chunks' own bytes and counts are the caller's
    /// to add.
    fn group_mut<R>(&mut self, group: usize, f: impl FnOnce(&mut Group) -> R) -> R {
        let group = &mut self.groups[group];
        let heap = group.heap();
        let result = f(group);
        self.heap = self.heap + group.heap() - heap;
        result
    }

    /// Adds a chunk at an end. The list's count is the caller's.
    fn add_chunk(&mut self, end: End, chunk: Chunk) {
        self.heap += chunk.heap();
        let group = match end {
            End::Front => 0,
            End::Back => self.groups.len().saturating_sub(1),
        };
        if self.groups.get(group).is_none_or(|group| group.chunks.len() >= GROUP_CHUNKS_MAX) {
            let new = Group::of(VecDeque::from([chunk]));
            self.heap += new.heap();
            match end {
                End::Front => self.groups.push_front(new),
                End::Back => self.groups.push_back(new),
            }
            return;
        }
        self.group_mut(group, |group| {
            group.count_in(&chunk);
            match end {
                End::Front => group.chunks.push_front(chunk),
                End::Back => group.chunks.push_back(chunk),
            }
        });
    }

    /// The group and the chunk at an end of a list that is not empty.
    fn at_end(&self, end: End) -> (usize, usize) {
        match end {
            End::Front => (0, 0),
            End::Back => {
                let group = self.groups.len() - 1;
                (group, self.groups[group].chunks.len() - 1)
            }
        }
    }

    pub(super) fn push(&mut self, end: End, item: Item<'_>, limit: ChunkLimit) {
        if self.count > 0 {
            let (group, chunk) = self.at_end(end);
            if self.chunk_mut(group, chunk, |chunk| chunk.push(end, item, limit)) {
                return;
            }
            // The chunk becomes an inner one, unless it is the other end too.
            let other = if end == End::Front { End::Back } else { End::Front };
            if self.at_end(other) != (group, chunk) {
                self.chunk_mut(group, chunk, Chunk::give_back);
            }
        }
        let mut chunk = Chunk::of_run(&[], 0);
        let pushed = chunk.push(end, item, limit);
        debug_assert!(pushed, "an empty chunk takes any element");
        self.add_chunk(end, chunk);
        self.count += 1;
    }

    /// The element at an end.
    pub(super) fn peek(&self, end: End) -> Option<Item<'_>> {
        if self.count == 0 {
            return None;
        }
        let (group, chunk) = self.at_end(end);
        let run = self.groups[group].chunks[chunk].run();
        Some(if end == End::Front { first(run).0 } else { last(run).0 })
    }

    /// Takes the element at an end of a list that is not empty away, after `read` has seen it.
    pub(super) fn pop<R>(&mut self, end: End, read: impl FnOnce(Item<'_>) -> R) -> R {
        let (group, chunk) = self.at_end(end);
        let (left, result) = self.chunk_mut(group, chunk, |chunk| {
            let (item, length) = match end {
                End::Front => first(chunk.run()),
                End::Back => last(chunk.run()),
            };
            let result = read(item);
            match end {
                End::Front => chunk.start += length as u32,
                End::Back => chunk.end -= length as u32,
            }
            chunk.count -= 1;
            (chunk.count, result)
        });
        if left == 0 {
            self.drop_chunk(group, chunk);
        }
        result
    }

    /// Drops a chunk, and its group if that was all of it.
    fn drop_chunk(&mut self, group: usize, chunk: usize) {
        let gone = self.group_mut(group, |group| group.chunks.remove(chunk)).expect("it is there");
        self.heap -= gone.heap();
        self.count -= gone.count();
        self.groups[group].count -= gone.count();
        self.groups[group].chunk_bytes -= gone.heap();
        if self.groups[group].chunks.is_empty() {
            self.heap -= self.groups[group].heap();
            self.groups.remove(group);
            if self.groups.capacity() > 4 * self.groups.len() + 4 {
                self.groups.shrink_to(2 * self.groups.len());
            }
        }
    }

    /// Where the element at `index < len` is.
    fn place_of(&self, index: usize) -> Place {
        debug_assert!(index < self.count);
        let (group, index) = walk(self.groups.iter().map(|group| group.count), self.count, index);
        let holder = &self.groups[group];
        let (chunk, index) = walk(holder.chunks.iter().map(Chunk::count), holder.count, index);
        Place { group, chunk, index }
    }

    pub(super) fn get(&self, index: usize) -> Option<Item<'_>> {
        if index >= self.count {
            return None;
        }
        let place = self.place_of(index);
        let chunk = &self.groups[place.group].chunks[place.chunk];
        let offset = offset_of(chunk.run(), chunk.count(), place.index);
        Some(first(&chunk.run()[offset..]).0)
    }

    /// Puts an element in the place of the one at `index < len`.
    pub(super) fn set(&mut self, index: usize, item: Item<'_>, limit: ChunkLimit) {
        let Place { group, chunk, index: at } = self.place_of(index);
        let old = &self.groups[group].chunks[chunk];
        let grown = old.used() + element_len(item);
        let offset = offset_of(old.run(), old.count(), at);
        let grown = grown - first(&old.run()[offset..]).1;
        if grown <= limit.bytes || grown <= old.used() || old.count == 1 {
            self.chunk_mut(group, chunk, |chunk| {
                chunk.splice(at, 1, Some(item));
                if chunk.buffer.len() > limit.bytes {
                    chunk.give_back();
                }
            });
        } else {
            // Inserted first: the list never is empty, and the index stays good.
            self.insert(index, item, limit);
            self.remove(index + 1, 1, limit, &mut None);
        }
    }

    /// Puts an element before the one at `index <= len`.
    pub(super) fn insert(&mut self, index: usize, item: Item<'_>, limit: ChunkLimit) {
        if index == 0 || index == self.count {
            return self.push(if index == 0 { End::Front } else { End::Back }, item, limit);
        }
        let bytes = element_len(item);
        let Place { group, chunk, index: at } = self.place_of(index);
        if self.groups[group].chunks[chunk].fits(bytes, limit) {
            return self.chunk_mut(group, chunk, |chunk| chunk.splice(at, 0, Some(item)));
        }
        if at > 0 {
            let rest = self.chunk_mut(group, chunk, |chunk| chunk.split_off(at));
            self.insert_chunk(group, chunk + 1, rest);
            // The group may have split, so the place is looked up anew; it is a chunk's first now.
            return self.insert(index, item, limit);
        }
        if chunk > 0 && self.groups[group].chunks[chunk - 1].fits(bytes, limit) {
            let at = self.groups[group].chunks[chunk - 1].count();
            return self.chunk_mut(group, chunk - 1, |chunk| chunk.splice(at, 0, Some(item)));
        }
        let mut run = vec![0; bytes];
        put_element(item, &mut run);
        self.insert_chunk(group, chunk, Chunk::of_run(&run, 1));
    }

    /// Puts a chunk before the one at `chunk`, or at the group's end; counts it.
    fn insert_chunk(&mut self, group: usize, at: usize, chunk: Chunk) {
        self.heap += chunk.heap();
        self.count += chunk.count();
        self.group_mut(group, |group| {
            group.count_in(&chunk);
            group.chunks.insert(at, chunk);
        });
        if self.groups[group].chunks.len() <= GROUP_CHUNKS_MAX {
            return;
        }
        let new = self.group_mut(group, |group| {
            let new = Group::of(group.chunks.split_off(GROUP_CHUNKS_MAX / 2));
            group.count -= new.count;
            group.chunk_bytes -= new.chunk_bytes;
            new
        });
        self.heap += new.heap();
        self.groups.insert(group + 1, new);
    }

    /// Takes `count` elements away from `index` on; they are there. Whole groups are not dropped
    /// here but put into `garbage`, since there may be very many chunks in them.
    pub(super) fn remove(
        &mut self,
        index: usize,
        count: usize,
        limit: ChunkLimit,
        garbage: &mut Option<ListDeque>,
    ) {
        debug_assert!(index + count <= self.count);
        let mut left = count;
        while left > 0 {
            let place = self.place_of(index);
            let Place { group, chunk, index: at } = place;
            let (in_group, in_chunk) = {
                let holder = &self.groups[group];
                (holder.count, holder.chunks[chunk].count())
            };
            if at == 0 && chunk == 0 && in_group <= left && self.groups[group].chunks.len() > 1 {
                left -= self.discard_groups(group, left, garbage);
            } else if at == 0 && in_chunk <= left {
                self.drop_chunk(group, chunk);
                left -= in_chunk;
            } else {
                let here = left.min(in_chunk - at);
                self.chunk_mut(group, chunk, |chunk| chunk.splice(at, here, None));
                self.join(group, chunk, limit);
                left -= here;
            }
        }
    }

    /// Moves the whole groups from `group` on that have no more than `left` elements together
    /// into `garbage`; says how many elements those were.
    fn discard_groups(
        &mut self,
        group: usize,
        left: usize,
        garbage: &mut Option<ListDeque>,
    ) -> usize {
        let mut gone = 0;
        let groups = self.groups.iter().skip(group).take_while(|group| {
            let fits = gone + group.count <= left;
            gone += if fits { group.count } else { 0 };
            fits
        });
        let end = group + groups.count();
        let garbage = garbage.get_or_insert_default();
        for group in self.groups.drain(group..end) {
            let heap = group.heap() + group.chunk_bytes;
            self.heap -= heap;
            garbage.heap += heap;
            garbage.count += group.count;
            garbage.groups.push_back(group);
        }
        self.count -= gone;
        gone
    }

    /// Joins a chunk that has become small with a neighbour, if both together leave slack.
    fn join(&mut self, group: usize, chunk: usize, limit: ChunkLimit) {
        let chunks = &self.groups[group].chunks;
        if chunks[chunk].used() > limit.bytes / 4 {
            return self.chunk_mut(group, chunk, Chunk::give_back);
        }
        let together = |left: usize| {
            chunks.get(left).zip(chunks.get(left + 1)).is_some_and(|(one, other)| {
                one.used() + other.used() <= limit.bytes / 4 * 3
                    && one.count() + other.count() <= limit.count / 4 * 3
            })
        };
        let left = if together(chunk) {
            chunk
        } else if chunk > 0 && together(chunk - 1) {
            chunk - 1
        } else {
            return self.chunk_mut(group, chunk, Chunk::give_back);
        };
        let mut run = chunks[left].run().to_vec();
        run.extend_from_slice(chunks[left + 1].run());
        let joined = Chunk::of_run(&run, chunks[left].count() + chunks[left + 1].count());
        self.drop_chunk(group, left + 1);
        self.chunk_mut(group, left, |chunk| *chunk = joined);
    }

    /// Frees chunks from the end, one unit each, since a chunk is freed as one however many elements
    /// are in it, until no units are left. True: nothing is left.
    pub(crate) fn settle_some(&mut self, cursor: &mut SettleCursor, slice: &mut Settling) -> bool {
        while let Some(group) = self.groups.get_mut(cursor.0 as usize) {
            for chunk in &mut group.chunks {
                let mut bytes = std::mem::take(&mut chunk.buffer).into_vec();
                slice.count(settle_bytes(&mut bytes));
                chunk.buffer = bytes.into_boxed_slice();
            }
            cursor.0 += 1;
            if slice.units == 0 {
                break;
            }
        }
        cursor.0 as usize >= self.groups.len()
    }

    pub fn free_some(&mut self, units: &mut u32) -> bool {
        while self.count > 0 && *units > 0 {
            let (group, chunk) = self.at_end(End::Back);
            self.drop_chunk(group, chunk);
            *units -= 1;
        }
        self.count == 0
    }

    /// The runs from the one that holds `index` on, in either direction; none beyond the list.
    pub(super) fn runs(&self, index: usize, direction: End) -> Runs<'_> {
        if index >= self.count {
            return Runs { list: self, group: usize::MAX, chunk: 0, direction };
        }
        let place = self.place_of(index);
        Runs { list: self, group: place.group, chunk: place.chunk, direction }
    }

    /// How many elements of the chunk that holds `index < len` stand before it, and the chunk's
    /// count.
    pub(super) fn within(&self, index: usize) -> (usize, usize) {
        let place = self.place_of(index);
        (place.index, self.groups[place.group].chunks[place.chunk].count())
    }
}

/// Which of the counts the element at `index` falls into, and its index there; from the nearer end.
fn walk(
    mut counts: impl DoubleEndedIterator<Item = usize> + ExactSizeIterator,
    total: usize,
    index: usize,
) -> (usize, usize) {
    let parts = counts.len();
    if index <= total / 2 {
        let mut left = index;
        for part in 0..parts {
            let count = counts.next().expect("as many as there are");
            if left < count {
                return (part, left);
            }
            left -= count;
        }
    } else {
        let mut begin = total;
        for part in (0..parts).rev() {
            begin -= counts.next_back().expect("as many as there are");
            if index >= begin {
                return (part, index - begin);
            }
        }
    }
    unreachable!("the index is below the total of the counts")
}

/// The runs of chunks one after another.
#[derive(Clone, Debug)]
pub(super) struct Runs<'a> {
    list: &'a ListDeque,
    group: usize,
    chunk: usize,
    /// The end that the walk starts from.
    direction: End,
}

impl<'a> Iterator for Runs<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let group = self.list.groups.get(self.group)?;
        let run = group.chunks[self.chunk].run();
        match self.direction {
            End::Front => {
                self.chunk += 1;
                if self.chunk == group.chunks.len() {
                    self.group += 1;
                    self.chunk = 0;
                }
            }
            End::Back => {
                if self.chunk > 0 {
                    self.chunk -= 1;
                } else {
                    // Past the first group there is none: the index is out of any range.
                    self.group = self.group.wrapping_sub(1);
                    self.chunk =
                        self.list.groups.get(self.group).map_or(0, |group| group.chunks.len() - 1);
                }
            }
        }
        Some(run)
    }
}

#[cfg(test)]
impl ListDeque {
    /// Counts everything anew.
    pub(super) fn check(&self) {
        let chunks = || self.groups.iter().flat_map(|group| &group.chunks);
        assert_eq!(self.count, chunks().map(Chunk::count).sum::<usize>());
        assert_eq!(self.heap, self.counted_heap());
        for group in &self.groups {
            assert!((1..=GROUP_CHUNKS_MAX).contains(&group.chunks.len()));
            let counted = Group::of(group.chunks.clone());
            assert_eq!(group.count, counted.count);
            assert_eq!(group.chunk_bytes, counted.chunk_bytes);
            for chunk in &group.chunks {
                assert!(chunk.count > 0);
                assert_eq!(offset_of(chunk.run(), chunk.count() * 2, chunk.count()), chunk.used());
                assert_eq!(offset_of(chunk.run(), chunk.count(), 0), 0);
            }
        }
    }
}
