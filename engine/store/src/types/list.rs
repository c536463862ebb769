//! Lists: one packed block while small, a `ListDeque` when large. Owns the block's form and what an
//! edit of a list does; the deque's chunks are its own.
//!
//! block: | count 2 | element, back length | element, back length | .. |  (empty: no bytes at all)

use ringlane_base::Now;

use super::counted::{ELEMENTS, packed_count, packed_run, set_packed_count};
use super::deque::{ChunkLimit, ListDeque, Runs, element_len, first, last, offset_of, put_element};
use super::pack::Item;
use super::{
    Collection, CollectionType, Edit, End, ListChange, PACKED_BYTES_MAX, PackLimits, Packable,
    PackableView, Packs, Shared, Structure,
};

/// A chunk of a list that is limited by elements has no more bytes, as in Redis.
const COUNTED_CHUNK_BYTES_MAX: usize = 8 * 1024;

/// `list-max-listpack-size`, decoded.
fn chunk_limit(limits: &PackLimits) -> ChunkLimit {
    match limits.list_max_listpack_size {
        // 0 is taken for 1, as in Redis.
        count @ 0.. => ChunkLimit { bytes: COUNTED_CHUNK_BYTES_MAX, count: count.max(1) as usize },
        step @ ..0 => {
            // -1: 4 KiB .. -5: 64 KiB; anything below is taken for -5.
            let doublings = step.max(-5).unsigned_abs() - 1;
            ChunkLimit { bytes: 4096 << doublings, count: usize::MAX }
        }
    }
}

/// A list.
pub type List = Packable<ListDeque>;

impl Packs for ListDeque {
    type View<'a> = ListView<'a>;

    fn view(form: ListView<'_>, _now: Now) -> ListView<'_> {
        form
    }

    fn packed_len(block: &[u8]) -> usize {
        packed_count(block)
    }

    fn repeat(edit: &mut Edit<'_, List>, change: &ListChange) {
        match change {
            ListChange::Push { end, element } => edit.push(*end, element),
            ListChange::Pop { end, count } => {
                for _ in 0..*count {
                    edit.pop_with(*end, |_| ());
                }
            }
            ListChange::Set { index, element } => {
                edit.set(*index as usize, element);
            }
            ListChange::Insert { index, element } => {
                edit.insert(*index as usize, element);
            }
            ListChange::Remove { index, count } => {
                edit.remove(*index as usize, *count as usize);
            }
        }
    }
}

impl List {
    /// The view of what is owned here.
    pub fn as_view(&self) -> ListView<'_> {
        self.form()
    }
}

/// A list, to read.
pub type ListView<'a> = PackableView<'a, ListDeque>;

impl<'a> ListView<'a> {
    pub fn len(self) -> usize {
        match self {
            Self::Packed(block) => packed_count(block),
            Self::Large(deque) => deque.len(),
        }
    }

    /// Bytes that it takes; constant time.
    pub fn bytes(self) -> usize {
        match self {
            Self::Packed(block) => block.len(),
            Self::Large(deque) => deque.bytes(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// As OBJECT ENCODING names it.
    pub fn encoding(self) -> &'static str {
        match self {
            Self::Packed(_) => "listpack",
            Self::Large(_) => "quicklist",
        }
    }

    /// The element at an index from the front. A large list is walked by groups and chunks, from
    /// the nearer end.
    pub fn get(self, index: usize) -> Option<Item<'a>> {
        match self {
            Self::Packed(block) => {
                let (run, count) = (packed_run(block), packed_count(block));
                (index < count).then(|| first(&run[offset_of(run, count, index)..]).0)
            }
            Self::Large(deque) => deque.get(index),
        }
    }

    /// The element at an end.
    pub fn peek(self, end: End) -> Option<Item<'a>> {
        match (self, end) {
            (Self::Packed(block), _) if packed_count(block) == 0 => None,
            (Self::Packed(block), End::Front) => Some(first(packed_run(block)).0),
            (Self::Packed(block), End::Back) => Some(last(packed_run(block)).0),
            (Self::Large(deque), _) => deque.peek(end),
        }
    }

    /// All elements, from the front.
    pub fn iter(self) -> ListIter<'a> {
        self.range(0, usize::MAX)
    }

    /// All elements, from the back.
    pub fn iter_rev(self) -> ListIter<'a> {
        self.range_rev(self.len().saturating_sub(1), usize::MAX)
    }

    /// Up to `length` elements from index `start` on.
    pub fn range(self, start: usize, length: usize) -> ListIter<'a> {
        self.walk(start, length.min(self.len().saturating_sub(start)), End::Front)
    }

    /// Up to `length` elements from index `start` backward.
    pub fn range_rev(self, start: usize, length: usize) -> ListIter<'a> {
        let there = if start < self.len() { start + 1 } else { 0 };
        self.walk(start, length.min(there), End::Back)
    }

    fn walk(self, start: usize, left: usize, from: End) -> ListIter<'a> {
        if left == 0 {
            return ListIter { run: &[], runs: None, left, from };
        }
        let (run, count, index, runs) = match self {
            Self::Packed(block) => (packed_run(block), packed_count(block), start, None),
            Self::Large(deque) => {
                let mut runs = deque.runs(start, from);
                let run = runs.next().expect("the index is in the list");
                let (index, count) = deque.within(start);
                (run, count, index, Some(runs))
            }
        };
        let run = match from {
            End::Front => &run[offset_of(run, count, index)..],
            End::Back => &run[..offset_of(run, count, index + 1)],
        };
        ListIter { run, runs, left, from }
    }
}

/// Elements one after another, from an index on, in one direction.
#[derive(Clone, Debug)]
pub struct ListIter<'a> {
    /// What is left of the run that the walk is in.
    run: &'a [u8],
    runs: Option<Runs<'a>>,
    left: usize,
    /// The end that the walk comes from.
    from: End,
}

impl<'a> Iterator for ListIter<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        if self.left == 0 {
            return None;
        }
        if self.run.is_empty() {
            self.run = self.runs.as_mut()?.next()?;
        }
        self.left -= 1;
        Some(match self.from {
            End::Front => {
                let (item, length) = first(self.run);
                self.run = &self.run[length..];
                item
            }
            End::Back => {
                let (item, length) = last(self.run);
                self.run = &self.run[..self.run.len() - length];
                item
            }
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for ListIter<'_> {}

impl Edit<'_, List> {
    /// Makes the list large if the packed block cannot take `bytes` and `elements` more.
    fn unpack_for(&mut self, bytes: usize, elements: usize) {
        let List::Packed(block) = &mut *self.value else { return };
        let limit = chunk_limit(self.limits);
        let bytes = block.len().max(ELEMENTS) + bytes;
        let count = packed_count(block) + elements;
        if bytes <= limit.bytes.min(PACKED_BYTES_MAX) && count <= limit.count {
            return;
        }
        let deque = ListDeque::of_run(packed_run(block), packed_count(block));
        *self.value = List::Large(Shared::new(deque));
    }

    /// Makes the list packed again when it has become half as small as need be, as Redis does.
    fn pack_again(&mut self) {
        let List::Large(large) = &*self.value else { return };
        let deque: &ListDeque = large;
        let limit = chunk_limit(self.limits);
        let Some(run) = deque.single_run() else {
            if deque.is_empty() {
                *self.value = List::empty();
            }
            return;
        };
        let bytes_max = limit.bytes.min(PACKED_BYTES_MAX) / 2;
        if ELEMENTS + run.len() > bytes_max || deque.len() > limit.count / 2 {
            return;
        }
        let mut block = Vec::with_capacity(ELEMENTS + run.len());
        block.extend_from_slice(&(deque.len() as u16).to_le_bytes());
        block.extend_from_slice(run);
        *self.value = List::Packed(block);
    }

    /// Puts an element at an end.
    pub fn push(&mut self, end: End, element: &[u8]) {
        let item = Item::of(element);
        self.unpack_for(element_len(item), 1);
        match &mut *self.value {
            List::Packed(block) => {
                let index = if end == End::Front { 0 } else { packed_count(block) };
                splice_packed(block, index, 0, Some(item));
            }
            List::Large(large) => large.make_mut().push(end, item, chunk_limit(self.limits)),
        }
        self.record(|| ListChange::Push { end, element: element.into() });
    }

    /// Takes the element at an end away.
    pub fn pop(&mut self, end: End) -> Option<Vec<u8>> {
        self.pop_with(end, |item| item.to_vec())
    }

    /// Takes the element at an end away, after `read` has seen it; None: the list is empty.
    pub fn pop_with<R>(&mut self, end: End, read: impl FnOnce(Item<'_>) -> R) -> Option<R> {
        let result = match &mut *self.value {
            List::Packed(block) => {
                let result = read(ListView::Packed(block).peek(end)?);
                let index = if end == End::Front { 0 } else { packed_count(block) - 1 };
                splice_packed(block, index, 1, None);
                result
            }
            List::Large(large) if large.is_empty() => return None,
            List::Large(large) => {
                let result = large.make_mut().pop(end, read);
                self.pack_again();
                result
            }
        };
        self.record(|| ListChange::Pop { end, count: 1 });
        Some(result)
    }

    /// Replaces the element at an index. False: there is none.
    pub fn set(&mut self, index: usize, element: &[u8]) -> bool {
        let Some(old) = self.view().get(index) else { return false };
        let item = Item::of(element);
        let grows = element_len(item).saturating_sub(element_len(old));
        self.unpack_for(grows, 0);
        match &mut *self.value {
            List::Packed(block) => splice_packed(block, index, 1, Some(item)),
            List::Large(large) => large.make_mut().set(index, item, chunk_limit(self.limits)),
        }
        self.record(|| ListChange::Set { index: index as u64, element: element.into() });
        true
    }

    /// Puts an element before the one at `index`, or at the end. False: the list is shorter.
    pub fn insert(&mut self, index: usize, element: &[u8]) -> bool {
        if index > self.view().len() {
            return false;
        }
        let item = Item::of(element);
        self.unpack_for(element_len(item), 1);
        match &mut *self.value {
            List::Packed(block) => splice_packed(block, index, 0, Some(item)),
            List::Large(large) => large.make_mut().insert(index, item, chunk_limit(self.limits)),
        }
        self.record(|| ListChange::Insert { index: index as u64, element: element.into() });
        true
    }

    /// Takes up to `count` elements away from `index` on. What takes long to free is not freed but
    /// handed out, to be freed in slices (`Collection::free_some`).
    pub fn remove(&mut self, index: usize, count: usize) -> Option<Collection> {
        let mut garbage = None;
        self.remove_into(index, count, &mut garbage);
        garbage.map(ListDeque::into_collection)
    }

    /// Keeps up to `length` elements from `start` on. What takes long to free is handed out as by
    /// `remove`.
    pub fn trim(&mut self, start: usize, length: usize) -> Option<Collection> {
        let mut garbage = None;
        let end = start.saturating_add(length);
        self.remove_into(end, usize::MAX, &mut garbage);
        self.remove_into(0, if length == 0 { usize::MAX } else { start }, &mut garbage);
        garbage.map(ListDeque::into_collection)
    }

    fn remove_into(&mut self, index: usize, count: usize, garbage: &mut Option<ListDeque>) {
        let count = count.min(self.view().len().saturating_sub(index));
        if count == 0 {
            return;
        }
        match &mut *self.value {
            List::Packed(block) => splice_packed(block, index, count, None),
            List::Large(large) => {
                large.make_mut().remove(index, count, chunk_limit(self.limits), garbage);
                self.pack_again();
            }
        }
        self.record(|| ListChange::Remove { index: index as u64, count: count as u64 });
    }
}

/// Puts `item`, or nothing, in the place of `count` elements at `index` of a block.
fn splice_packed(block: &mut Vec<u8>, index: usize, count: usize, item: Option<Item<'_>>) {
    if block.is_empty() {
        block.resize(ELEMENTS, 0);
    }
    let (run, total) = (packed_run(block), packed_count(block));
    let from = ELEMENTS + offset_of(run, total, index);
    let tail = ELEMENTS + offset_of(run, total, index + count);
    let comes = item.map_or(0, element_len);
    let old = block.len();
    let new = old + comes - (tail - from);
    if new > old {
        block.resize(new, 0);
    }
    block.copy_within(tail..old, from + comes);
    block.truncate(new);
    if let Some(item) = item {
        put_element(item, &mut block[from..from + comes]);
    }
    set_packed_count(block, total - count + usize::from(item.is_some()));
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
