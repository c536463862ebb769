//! Streams: a log of entries, each a list of fields and values under an id that only grows, in packed
//! blocks by their first id, and the groups that read it (`stream_groups`). A stream is always a
//! structure, and an empty one stays: only deleting its key ends it.
//!
//! ```text
//! block: | fields 1 | name .. | entry | entry | ..      (all as elements of `pack`)
//! entry: | own 1 | milliseconds | sequence | value ..      own = 0: with the names of the block
//!                                          | name value .. own > 0: so many fields of its own
//! ```
//! Milliseconds count from the block's first id, and the sequence too within the same millisecond.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::sync::Arc;

use ringlane_base::Now;

use super::SettleCursor;
use super::pack::{self, Item};
use super::stream_groups::Group;
use super::{
    Body, BodyView, Collection, CollectionType, Edit, PackLimits, Shared, StreamChange, heap_bytes,
    packable,
};
use crate::memory::settle_bytes;
use crate::settle::Settling;

/// Blocks have no more entries and bytes than this, but for a single long entry, where the settings
/// say nothing: what a walk within a block may cost.
const BLOCK_ENTRIES_MAX: usize = 4096;
const BLOCK_BYTES_MAX: usize = 64 * 1024;

/// What an element of a `BTreeMap` that is filled in ascending order takes beside itself: its nodes
/// have 11 places, 6 of them used, and a few words of their own.
const fn tree_bytes(element: usize) -> usize {
    (11 * element + 16) / 6
}

/// What a block takes in the map of blocks.
const BLOCK_NODE_BYTES: usize = tree_bytes(size_of::<StreamId>() + size_of::<Block>());

/// What an element of a map or a set from ids takes, with a value of so many bytes.
pub(super) const fn id_node_bytes(value: usize) -> usize {
    tree_bytes(size_of::<StreamId>() + value)
}

/// The id of an entry: milliseconds, then a sequence within them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamId {
    pub ms: u64,
    pub seq: u64,
}

impl StreamId {
    pub const MIN: Self = Self { ms: 0, seq: 0 };
    pub const MAX: Self = Self { ms: u64::MAX, seq: u64::MAX };

    /// The least id above; None: there is none.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => Some(Self { ms: self.ms.checked_add(1)?, seq: 0 }),
        }
    }

    /// The greatest id below; None: there is none.
    #[must_use]
    pub fn previous(self) -> Option<Self> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => Some(Self { ms: self.ms.checked_sub(1)?, seq: u64::MAX }),
        }
    }
}

impl std::fmt::Display for StreamId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}-{}", self.ms, self.seq)
    }
}

/// Neighbouring entries.
#[derive(Clone, Debug)]
struct Block {
    bytes: Vec<u8>,
    count: u32,
    /// Entries that were here and are gone: the block fills up by them too, as in Redis.
    gone: u32,
    /// The greatest id that was ever in it.
    last: StreamId,
}

impl Block {
    fn heap(&self) -> usize {
        BLOCK_NODE_BYTES + heap_bytes(self.bytes.capacity())
    }

    fn walk(&self, base: StreamId) -> Walk<'_> {
        let (Item::Integer(fields), mut at) = pack::read(&self.bytes) else {
            unreachable!("a block begins with the number of its names");
        };
        let names = at;
        for _ in 0..fields {
            at += pack::skip(&self.bytes[at..]);
        }
        Walk { base, bytes: &self.bytes, names, fields: fields as usize, at }
    }
}

/// A walk through the entries of a block.
#[derive(Clone, Debug)]
struct Walk<'a> {
    base: StreamId,
    bytes: &'a [u8],
    /// Where the block's own names begin, and how many there are.
    names: usize,
    fields: usize,
    at: usize,
}

impl Walk<'_> {
    fn integer(&mut self) -> u64 {
        let (Item::Integer(integer), length) = pack::read(&self.bytes[self.at..]) else {
            unreachable!("an entry begins with three integers");
        };
        self.at += length;
        integer as u64
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = StreamEntry<'a>;

    fn next(&mut self) -> Option<StreamEntry<'a>> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let start = self.at;
        let (own, ms, seq) = (self.integer() as usize, self.integer(), self.integer());
        let seq = if ms == 0 { self.base.seq.wrapping_add(seq) } else { seq };
        let id = StreamId { ms: self.base.ms.wrapping_add(ms), seq };
        let body = &self.bytes[self.at..];
        let (names, fields, elements) = match own {
            0 => (Some(&self.bytes[self.names..]), self.fields, self.fields),
            own => (None, own, 2 * own),
        };
        for _ in 0..elements {
            self.at += pack::skip(&self.bytes[self.at..]);
        }
        Some(StreamEntry { id, fields, names, body, span: (start, self.at) })
    }
}

/// An entry, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct StreamEntry<'a> {
    pub id: StreamId,
    fields: usize,
    /// The block's names, if the entry has them; otherwise they stand before the values.
    names: Option<&'a [u8]>,
    body: &'a [u8],
    /// Where it stands in its block.
    span: (usize, usize),
}

impl<'a> StreamEntry<'a> {
    /// How many fields it has.
    #[allow(clippy::len_without_is_empty)] // An entry has a field at least.
    pub fn len(&self) -> usize {
        self.fields
    }

    /// Its fields with their values, in order.
    pub fn fields(self) -> impl Iterator<Item = (Item<'a>, Item<'a>)> {
        let (mut names, mut body) = (self.names, self.body);
        let take = |from: &mut &'a [u8]| {
            let (item, length) = pack::read(from);
            *from = &from[length..];
            item
        };
        (0..self.fields).map(move |_| {
            let name = match &mut names {
                Some(names) => take(names),
                None => take(&mut body),
            };
            (name, take(&mut body))
        })
    }
}

/// What is trimmed: all but the latest entries, or all below an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimTo {
    Length(u64),
    Id(StreamId),
}

/// How far a trim goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    pub to: TrimTo,
    /// Only whole blocks go.
    pub whole_blocks: bool,
    /// No block goes once more entries than this would be gone; 0: no bound.
    pub entries_max: u64,
}

/// The structure of a stream.
#[derive(Clone, Debug)]
pub struct StreamLog {
    blocks: BTreeMap<StreamId, Block>,
    length: u64,
    /// The greatest id ever.
    pub(super) last: StreamId,
    /// The greatest id that XDEL has taken out.
    pub(super) deleted: StreamId,
    /// Entries ever added.
    pub(super) added: u64,
    pub(super) groups: BTreeMap<Box<[u8]>, Group>,
    /// Whether it was ever changed: an untouched one is no value yet.
    pub(super) made: bool,
    /// Heap bytes of everything below this struct.
    pub(super) bytes: usize,
}

static NOTHING: StreamLog = StreamLog::new();

impl StreamLog {
    pub(crate) const fn new() -> Self {
        Self {
            blocks: BTreeMap::new(),
            length: 0,
            last: StreamId::MIN,
            deleted: StreamId::MIN,
            added: 0,
            groups: BTreeMap::new(),
            made: false,
            bytes: 0,
        }
    }

    /// Heap bytes, its own place included.
    pub fn bytes(&self) -> usize {
        heap_bytes(size_of::<Self>()) + self.bytes
    }

    pub fn len(&self) -> usize {
        self.length as usize
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Frees blocks and then what the groups have, one unit each, until no units are left.
    pub(crate) fn settle_some(&mut self, cursor: &mut SettleCursor, slice: &mut Settling) -> bool {
        let from = StreamId { ms: cursor.0, seq: cursor.1 };
        for (id, block) in self.blocks.range_mut(from..) {
            if slice.units == 0 {
                *cursor = SettleCursor(id.ms, id.seq);
                return false;
            }
            slice.count(settle_bytes(&mut block.bytes));
        }
        true
    }

    pub fn free_some(&mut self, units: &mut u32) -> bool {
        while *units > 0 {
            let Some((_, block)) = self.blocks.pop_last() else { break };
            self.length -= u64::from(block.count);
            self.bytes -= block.heap();
            *units -= 1;
        }
        while *units > 0 {
            let Some(mut group) = self.groups.last_entry() else { break };
            let before = group.get().bytes();
            let done = group.get_mut().free_some(units);
            self.bytes -= before - group.get().bytes();
            if done {
                self.bytes -= group.get().bytes() + group_key_bytes(group.key());
                group.remove();
                *units = units.saturating_sub(1);
            }
        }
        self.blocks.is_empty() && self.groups.is_empty()
    }

    fn append(&mut self, id: StreamId, fields: &[&[u8]], limits: &PackLimits) {
        let size: usize = fields.iter().map(|field| field.len()).sum();
        if let Some(mut latest) = self.blocks.last_entry() {
            let base = *latest.key();
            let block = latest.get_mut();
            if has_room(block, size, limits) {
                self.bytes -= block.heap();
                push_entry(block, base, id, fields);
                self.bytes += block.heap();
                self.count_in(id);
                return;
            }
            self.bytes -= block.heap();
            block.bytes.shrink_to_fit();
            self.bytes += block.heap();
        }
        let mut block = Block { bytes: Vec::new(), count: 0, gone: 0, last: id };
        pack::write(Item::Integer(fields.len() as i64 / 2), &mut block.bytes);
        for name in fields.iter().step_by(2) {
            pack::write(Item::of(name), &mut block.bytes);
        }
        push_entry(&mut block, id, id, fields);
        self.bytes += block.heap();
        self.blocks.insert(id, block);
        self.count_in(id);
    }

    fn count_in(&mut self, id: StreamId) {
        self.length += 1;
        self.added += 1;
        self.last = id;
        self.made = true;
    }

    /// The block that would hold the id.
    fn block_of(&self, id: StreamId) -> Option<(StreamId, &Block)> {
        self.blocks.range(..=id).next_back().map(|(base, block)| (*base, block))
    }

    fn delete(&mut self, id: StreamId) -> bool {
        let Some((base, block)) = self.block_of(id) else { return false };
        let Some(entry) = block.walk(base).find(|entry| entry.id == id) else { return false };
        self.cut(base, entry.span, 1);
        self.deleted = self.deleted.max(id);
        true
    }

    /// Takes `count` neighbouring entries out of a block.
    fn cut(&mut self, base: StreamId, (start, end): (usize, usize), count: u32) {
        let block = self.blocks.get_mut(&base).expect("the entries were found in it");
        self.bytes -= block.heap();
        self.length -= u64::from(count);
        block.count -= count;
        block.gone += count;
        if block.count == 0 {
            self.blocks.remove(&base);
            return;
        }
        block.bytes.drain(start..end);
        self.bytes += block.heap();
    }

    /// Takes out all entries below this id.
    fn trim_before(&mut self, before: StreamId) {
        while let Some(first) = self.blocks.first_entry() {
            let base = *first.key();
            if first.get().last < before {
                let block = first.remove();
                self.length -= u64::from(block.count);
                self.bytes -= block.heap();
                continue;
            }
            let mut span = None;
            let mut count = 0;
            for entry in first.get().walk(base).take_while(|entry| entry.id < before) {
                let start = span.map_or(entry.span.0, |(start, _)| start);
                span = Some((start, entry.span.1));
                count += 1;
            }
            if let Some(span) = span {
                self.cut(base, span, count);
            }
            return;
        }
    }

    /// The id below which a trim takes everything out; None: it takes out nothing.
    fn trim_end(&self, trim: Trim) -> Option<StreamId> {
        let (mut length, mut gone, mut end) = (self.length, 0, None);
        for (&base, block) in &self.blocks {
            let count = u64::from(block.count);
            let over = trim.entries_max > 0 && gone + count > trim.entries_max;
            if over || matches!(trim.to, TrimTo::Length(most) if length <= most) {
                break;
            }
            let whole = match trim.to {
                TrimTo::Length(most) => length - count >= most,
                TrimTo::Id(least) => block.last < least,
            };
            if whole {
                (length, gone) = (length - count, gone + count);
                end = Some(block.last.next().unwrap_or(StreamId::MAX));
                continue;
            }
            if !trim.whole_blocks {
                end = partial_end(block.walk(base), trim.to, length).or(end);
            }
            break;
        }
        end
    }

    /// The least id that is there.
    pub(super) fn first(&self) -> Option<StreamId> {
        StreamView(self).first().map(|entry| entry.id)
    }
}

/// Within a block of which something stays: the id of the first entry that does, if others stand
/// before it. `length`: that of the stream from this block on.
fn partial_end(walk: Walk<'_>, to: TrimTo, length: u64) -> Option<StreamId> {
    let mut walk = walk;
    match to {
        TrimTo::Length(most) => {
            let surplus = length.checked_sub(most).filter(|surplus| *surplus > 0)?;
            walk.nth(surplus as usize).map(|entry| entry.id)
        }
        TrimTo::Id(least) => {
            let goes = walk.next().is_some_and(|first| first.id < least);
            goes.then_some(least)
        }
    }
}

/// What a group's name takes.
pub(super) fn group_key_bytes(name: &[u8]) -> usize {
    heap_bytes(name.len()) + tree_bytes(size_of::<Box<[u8]>>() + size_of::<Group>())
}

fn has_room(block: &Block, size: usize, limits: &PackLimits) -> bool {
    let most = |limit: usize, most: usize| if limit == 0 { most } else { limit.min(most) };
    let bytes_max = most(limits.stream_node_max_bytes, BLOCK_BYTES_MAX);
    let entries_max = most(limits.stream_node_max_entries, BLOCK_ENTRIES_MAX);
    block.bytes.len() + size < bytes_max && ((block.count + block.gone) as usize) < entries_max
}

/// Appends an entry to its block, which names fields already. `fields`: name, value, name, ….
fn push_entry(block: &mut Block, base: StreamId, id: StreamId, fields: &[&[u8]]) {
    let mut walk = block.walk(base);
    walk.at = walk.names;
    let same = walk.fields * 2 == fields.len()
        && fields.iter().step_by(2).all(|name| {
            let (item, length) = pack::read(&walk.bytes[walk.at..]);
            walk.at += length;
            item.eq_bytes(name)
        });
    let ms = id.ms.wrapping_sub(base.ms);
    let seq = if ms == 0 { id.seq.wrapping_sub(base.seq) } else { id.seq };
    let own = if same { 0 } else { fields.len() as u64 / 2 };
    for integer in [own, ms, seq] {
        pack::write(Item::Integer(integer as i64), &mut block.bytes);
    }
    let skipped = usize::from(same);
    for field in fields.iter().skip(skipped).step_by(1 + skipped) {
        pack::write(Item::of(field), &mut block.bytes);
    }
    block.count += 1;
    block.last = id;
}

/// A stream.
#[derive(Clone, Debug)]
pub struct Stream(Shared<StreamLog>);

impl CollectionType for Stream {
    type Structure = StreamLog;
    type View<'a> = StreamView<'a>;

    fn empty() -> Self {
        Self(Shared::new(StreamLog::new()))
    }

    /// Only what was never changed is packed: into nothing.
    fn from_packed(bytes: Vec<u8>) -> Self {
        debug_assert!(bytes.is_empty());
        Self::empty()
    }

    fn from_large(large: Arc<Collection>) -> Self {
        Self(Shared::of(large))
    }

    fn into_body(self) -> Body {
        Body::Large(self.0.into_collection())
    }

    fn view(body: BodyView<'_>, _now: Now) -> StreamView<'_> {
        match body {
            BodyView::Packed(_) => StreamView(&NOTHING),
            BodyView::Large(large) => StreamView(packable::structure(large)),
        }
    }

    fn is_empty(&self) -> bool {
        !self.0.made
    }

    fn repeat(edit: &mut Edit<'_, Self>, change: &StreamChange) {
        edit.repeat(change);
    }
}

impl Stream {
    /// The view of what is owned here.
    pub fn as_view(&self) -> StreamView<'_> {
        StreamView(&self.0)
    }

    pub(super) fn log_mut(&mut self) -> &mut StreamLog {
        self.0.make_mut()
    }
}

/// A stream, to read.
#[derive(Clone, Copy, Debug)]
pub struct StreamView<'a>(&'a StreamLog);

impl<'a> StreamView<'a> {
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Bytes that it takes; constant time.
    pub fn bytes(self) -> usize {
        self.0.bytes()
    }

    pub fn is_empty(self) -> bool {
        self.0.length == 0
    }

    /// As OBJECT ENCODING names it.
    pub fn encoding(self) -> &'static str {
        "stream"
    }

    /// The greatest id ever, 0-0 if there was none.
    pub fn last_id(self) -> StreamId {
        self.0.last
    }

    /// The greatest id that was deleted one by one, 0-0 if there was none.
    pub fn max_deleted_id(self) -> StreamId {
        self.0.deleted
    }

    /// How many entries were ever added.
    pub fn entries_added(self) -> u64 {
        self.0.added
    }

    /// How many blocks the entries fill.
    pub fn blocks(self) -> usize {
        self.0.blocks.len()
    }

    pub fn first(self) -> Option<StreamEntry<'a>> {
        self.range(StreamId::MIN, StreamId::MAX).next()
    }

    pub fn last(self) -> Option<StreamEntry<'a>> {
        self.range_back(StreamId::MIN, StreamId::MAX).next()
    }

    pub fn get(self, id: StreamId) -> Option<StreamEntry<'a>> {
        self.range(id, id).next()
    }

    /// The entries from `from` to `to`, both included.
    pub fn range(self, from: StreamId, to: StreamId) -> Entries<'a> {
        Entries { blocks: self.blocks_of(from, to), walk: None, from, to }
    }

    /// The same, from `to` down to `from`.
    pub fn range_back(self, from: StreamId, to: StreamId) -> EntriesBack<'a> {
        EntriesBack { blocks: self.blocks_of(from, to), block: Vec::new(), from, to }
    }

    fn blocks_of(self, from: StreamId, to: StreamId) -> btree_map::Range<'a, StreamId, Block> {
        let start = self.0.block_of(from).map_or(from, |(base, _)| base);
        // Nothing is to be found the wrong way round.
        self.0.blocks.range(start.min(to)..=to)
    }

    /// The id below which a trim takes everything out; None: it takes out nothing.
    pub fn trim_end(self, trim: Trim) -> Option<StreamId> {
        self.0.trim_end(trim)
    }

    /// The groups by their names.
    pub fn groups(self) -> impl ExactSizeIterator<Item = (&'a [u8], &'a Group)> {
        self.0.groups.iter().map(|(name, group)| (&**name, group))
    }

    pub fn group(self, name: &[u8]) -> Option<&'a Group> {
        self.0.groups.get(name)
    }

    pub(super) fn structure(self) -> &'a StreamLog {
        self.0
    }
}

/// Entries in order.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    blocks: btree_map::Range<'a, StreamId, Block>,
    walk: Option<Walk<'a>>,
    from: StreamId,
    to: StreamId,
}

impl<'a> Iterator for Entries<'a> {
    type Item = StreamEntry<'a>;

    fn next(&mut self) -> Option<StreamEntry<'a>> {
        loop {
            let Some(entry) = self.walk.as_mut().and_then(Iterator::next) else {
                let (base, block) = self.blocks.next()?;
                self.walk = Some(block.walk(*base));
                continue;
            };
            if entry.id > self.to {
                return None;
            }
            if entry.id >= self.from {
                return Some(entry);
            }
        }
    }
}

/// Entries from the last to the first.
#[derive(Clone, Debug)]
pub struct EntriesBack<'a> {
    blocks: btree_map::Range<'a, StreamId, Block>,
    /// What is left of a block; blocks are walked forward.
    block: Vec<StreamEntry<'a>>,
    from: StreamId,
    to: StreamId,
}

impl<'a> Iterator for EntriesBack<'a> {
    type Item = StreamEntry<'a>;

    fn next(&mut self) -> Option<StreamEntry<'a>> {
        loop {
            if let Some(entry) = self.block.pop() {
                return Some(entry);
            }
            let (base, block) = self.blocks.next_back()?;
            let wanted = self.from..=self.to;
            self.block.extend(block.walk(*base).filter(|entry| wanted.contains(&entry.id)));
        }
    }
}

impl Edit<'_, Stream> {
    pub fn view(&self) -> StreamView<'_> {
        self.value.as_view()
    }

    /// Adds an entry, whose id must be above `last_id`. `fields`: name, value, name, value, ….
    pub fn append(&mut self, id: StreamId, fields: &[&[u8]]) {
        debug_assert!(id > self.view().last_id() && fields.len().is_multiple_of(2));
        self.value.log_mut().append(id, fields, self.limits);
        self.record(|| StreamChange::Add {
            id,
            fields: fields.iter().map(|field| Box::from(*field)).collect(),
        });
    }

    /// Takes out one entry; whether it was there.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let deleted = self.value.log_mut().delete(id);
        if deleted {
            self.record(|| StreamChange::Delete { id });
        }
        deleted
    }

    /// Takes out old entries; how many.
    pub fn trim(&mut self, trim: Trim) -> u64 {
        let Some(before) = self.view().0.trim_end(trim) else { return 0 };
        let length = self.view().0.length;
        self.trim_before(before);
        length - self.view().0.length
    }

    /// Takes out all entries below this id.
    pub(super) fn trim_before(&mut self, before: StreamId) {
        self.value.log_mut().trim_before(before);
        self.record(|| StreamChange::Trim { before });
    }

    /// Sets what is known of entries that are gone (XSETID).
    pub fn set_state(&mut self, last: StreamId, added: u64, deleted: StreamId) {
        let log = self.value.log_mut();
        (log.last, log.added, log.deleted, log.made) = (last, added, deleted, true);
        self.record(|| StreamChange::State { last, added, deleted });
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
