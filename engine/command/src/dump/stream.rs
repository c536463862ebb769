//! Streams in Redis's form, both ways. Written is the form of Redis 7.0, read are the forms since 5.0
//! up to 8.8.
//! What a payload says of itself (counts, ids in order, who has which entry) is checked, not trusted.
//!
//! ```text
//! value:    | nodes: id 16, listpack | length | last | first | deleted | added | groups
//! group:    | name | last | read | pending: id 16, time 8, deliveries | consumers
//! consumer: | name | seen 8 | active 8 | ids 16      ids in 16 bytes: big-endian; else two lengths
//! node:     | entries | deleted | names n | name .. | 0 | entry ..    (elements of a listpack)
//! entry:    | flags | ms | seq | n, if not with the node's names | name, if so, value .. | elements |
//! ```
//! First, deleted, added and read are not in the form of 5.0, active only from that of 7.2 on. The ids of
//! entries count from the node's. From 8.6 on there follows what producers have said of their entries,
//! so that none is added twice:
//!
//! ```text
//! behind the groups: | milliseconds kept | most kept | producers | added | found twice |
//! producer:          | name | kept: name, id ..        ids as two numbers, 8 and a length
//! ```
//! It is passed over, since XADD knows no IDMP. From 8.8 on a group ends with the ids of entries that
//! were given back (XNACK): there must be none, since an entry is pending at a consumer here.

use std::collections::BTreeMap;

use ringlane_base::Millis;
use ringlane_store::types::{
    Delivery, Edit, Group, Pending, Stream, StreamEntry, StreamId, StreamView,
};

use super::form;
use super::packed::{self, Listpack};
use super::read::{Bytes, TEXT_BYTES_MAX};
use super::write::{length, string};
use crate::CommandError;

const DELETED: i64 = 1;
const SAME_NAMES: i64 = 2;

/// A node is full with so many entries or bytes: Redis's own defaults.
const NODE_ENTRIES_MAX: usize = 100;
const NODE_BYTES_MAX: usize = 4096;
/// The longest node that Redis makes.
const LISTPACK_BYTES_MAX: usize = 1 << 30;
/// A group whose number of read entries is not known.
const READ_UNKNOWN: u64 = u64::MAX;
/// Counters above this are refused: they could not count on.
const COUNT_MAX: u64 = i64::MAX as u64;

/// A stream that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct RestoredStream {
    nodes: Vec<Node>,
    last: StreamId,
    deleted: StreamId,
    added: u64,
    groups: Vec<RestoredGroup>,
    /// Bytes of all entries, each with its names.
    pub bytes: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct Node {
    names: Vec<Vec<u8>>,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    id: StreamId,
    /// Whether `items` are the values of the node's names; else they are name, value, name, ….
    same_names: bool,
    items: Vec<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq)]
struct RestoredGroup {
    name: Vec<u8>,
    last: StreamId,
    read: Read,
    consumers: Vec<RestoredConsumer>,
}

/// What the payload says of how many entries a group has read.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Read {
    /// Nothing, in the first form: it is estimated.
    Unsaid,
    Unknown,
    Known(u64),
}

#[derive(Clone, Debug, PartialEq)]
struct RestoredConsumer {
    name: Vec<u8>,
    seen: Millis,
    active: Option<Millis>,
    /// Id, when it was given out, how often.
    pending: Vec<(StreamId, Millis, u64)>,
}

/// Writes the value without its type.
///
/// # Errors
/// An entry that is too long for a node.
pub fn write(stream: StreamView<'_>, out: &mut Vec<u8>) -> Result<(), CommandError> {
    let mut nodes = Vec::new();
    let mut count = 0;
    let mut entries = stream.range(StreamId::MIN, StreamId::MAX).peekable();
    while let Some(first) = entries.next() {
        let mut node = NodeWriter::new(first);
        while let Some(entry) = entries.next_if(|_| node.has_room()) {
            node.add(entry);
        }
        raw_id(first.id, &mut nodes, true);
        string(&node.finish()?, &mut nodes);
        count += 1;
    }
    length(count, out);
    out.extend_from_slice(&nodes);
    length(stream.len() as u64, out);
    id(stream.last_id(), out);
    id(stream.first().map_or(StreamId::MIN, |first| first.id), out);
    id(stream.max_deleted_id(), out);
    length(stream.entries_added(), out);
    length(stream.groups().len() as u64, out);
    for (name, group) in stream.groups() {
        string(name, out);
        write_group(group, out);
    }
    Ok(())
}

fn write_group(group: &Group, out: &mut Vec<u8>) {
    id(group.last, out);
    length(group.read.unwrap_or(READ_UNKNOWN), out);
    length(group.pending_len() as u64, out);
    for (id, _, pending) in group.pending_range(StreamId::MIN, StreamId::MAX) {
        raw_id(id, out, false);
        let Pending { delivered_at, deliveries, .. } = pending;
        out.extend_from_slice(&delivered_at.0.to_le_bytes());
        length(deliveries, out);
    }
    length(group.consumers().len() as u64, out);
    for (name, consumer) in group.consumers() {
        string(name, out);
        out.extend_from_slice(&consumer.seen.0.to_le_bytes());
        length(consumer.pending_len() as u64, out);
        for (id, _) in group.pending_of_consumer(name, StreamId::MIN, StreamId::MAX) {
            raw_id(id, out, false);
        }
    }
}

fn id(id: StreamId, out: &mut Vec<u8>) {
    length(id.ms, out);
    length(id.seq, out);
}

fn raw_id(id: StreamId, out: &mut Vec<u8>, as_string: bool) {
    if as_string {
        length(16, out);
    }
    out.extend_from_slice(&id.ms.to_be_bytes());
    out.extend_from_slice(&id.seq.to_be_bytes());
}

/// A node that takes entries.
struct NodeWriter<'a> {
    first: StreamEntry<'a>,
    entries: Listpack,
    count: usize,
}

impl<'a> NodeWriter<'a> {
    fn new(first: StreamEntry<'a>) -> Self {
        let mut writer = Self { first, entries: Listpack::default(), count: 0 };
        writer.add(first);
        writer
    }

    fn has_room(&self) -> bool {
        self.count < NODE_ENTRIES_MAX && self.entries.len() < NODE_BYTES_MAX
    }

    fn add(&mut self, entry: StreamEntry<'a>) {
        let names = |entry: StreamEntry<'a>| entry.fields().map(|(name, _)| name);
        let same = entry.len() == self.first.len()
            && names(entry).zip(names(self.first)).all(|(name, first)| name == first);
        let count = entry.len() as i64;
        let base = self.first.id;
        self.entries.integer(if same { SAME_NAMES } else { 0 });
        self.entries.integer(entry.id.ms.wrapping_sub(base.ms) as i64);
        self.entries.integer(entry.id.seq.wrapping_sub(base.seq) as i64);
        if !same {
            self.entries.integer(count);
        }
        for (name, value) in entry.fields() {
            if !same {
                self.entries.item(name);
            }
            self.entries.item(value);
        }
        self.entries.integer(if same { count + 3 } else { 2 * count + 4 });
        self.count += 1;
    }

    fn finish(self) -> Result<Vec<u8>, CommandError> {
        let mut node = Listpack::default();
        node.integer(self.count as i64);
        node.integer(0);
        node.integer(self.first.len() as i64);
        self.first.fields().for_each(|(name, _)| node.item(name));
        node.integer(0);
        node.append(&self.entries);
        if node.len() > LISTPACK_BYTES_MAX {
            return Err(CommandError::Fixed("ERR an entry of the stream is too long for DUMP"));
        }
        Ok(node.finish())
    }
}

/// Reads the value behind its type, which is one of the forms above.
pub fn read(form: u8, bytes: &mut Bytes<'_>) -> Option<RestoredStream> {
    let payload = bytes.0.len();
    let mut stream = RestoredStream {
        nodes: Vec::new(),
        last: StreamId::MIN,
        deleted: StreamId::MIN,
        added: 0,
        groups: Vec::new(),
        bytes: 0,
    };
    let nodes = bytes.count(17)?;
    let mut above = StreamId::MIN;
    for _ in 0..nodes {
        let base = Bytes(&bytes.string()?).id()?;
        let node = read_node(base, packed::listpack(&bytes.string()?)?, &mut above)?;
        stream.bytes = stream.bytes.checked_add(node.bytes())?;
        stream.nodes.push(node);
    }
    // Names are written once a node and are there once an entry: no more may come of them than of a
    // string that is folded.
    if stream.bytes > TEXT_BYTES_MAX.max(payload.saturating_mul(264)) {
        return None;
    }
    let entries: usize = stream.nodes.iter().map(|node| node.entries.len()).sum();
    let count = bytes.length()?;
    stream.last = bytes.lengths_id()?;
    if count != entries as u64 || stream.last < above {
        return None;
    }
    stream.added = count;
    if form != form::STREAM_5 {
        bytes.lengths_id()?; // The first is where the first entry is.
        stream.deleted = bytes.lengths_id()?;
        stream.added = bytes.length().filter(|added| *added <= COUNT_MAX)?;
    }
    let groups = bytes.count(5)?;
    for _ in 0..groups {
        stream.groups.push(read_group(form, bytes)?);
    }
    if form >= form::STREAM_8_6 {
        pass_producers(bytes)?;
    }
    is_distinct(&stream.groups, |group| &group.name).then_some(stream)
}

/// Passes over what producers have said of their entries.
fn pass_producers(bytes: &mut Bytes<'_>) -> Option<()> {
    bytes.length()?;
    bytes.length()?;
    for _ in 0..bytes.count(2)? {
        bytes.string()?;
        for _ in 0..bytes.count(3)? {
            bytes.string()?;
            bytes.lengths_id()?;
        }
    }
    bytes.length()?;
    bytes.length().map(|_| ())
}

impl Node {
    fn bytes(&self) -> usize {
        let sum = |items: &[Vec<u8>]| items.iter().map(Vec::len).sum::<usize>();
        let names = sum(&self.names);
        let entry = |entry: &Entry| sum(&entry.items) + if entry.same_names { names } else { 0 };
        self.entries.iter().map(entry).sum()
    }
}

/// A node from the elements of its listpack. Its ids must go up from `above`, which goes with them.
fn read_node(base: StreamId, elements: Vec<Vec<u8>>, above: &mut StreamId) -> Option<Node> {
    let mut elements = Elements(elements.into_iter());
    let (count, gone) = (elements.count()?, elements.count()?);
    let fields = elements.count()?;
    let names = elements.take(fields)?;
    if elements.integer()? != 0 {
        return None;
    }
    let mut entries = Vec::new();
    let mut found_gone = 0;
    while elements.0.len() > 0 {
        let before = elements.0.len();
        let flags = elements.integer()?;
        let (ms, seq) = (elements.integer()? as u64, elements.integer()? as u64);
        let id = StreamId { ms: base.ms.wrapping_add(ms), seq: base.seq.wrapping_add(seq) };
        let same_names = flags & SAME_NAMES != 0;
        let items = if same_names { fields } else { elements.count()?.checked_mul(2)? };
        let items = elements.take(items)?;
        let passed = before - elements.0.len();
        if elements.count()? != passed || items.is_empty() {
            return None;
        }
        if flags & DELETED != 0 {
            found_gone += 1;
            continue;
        }
        if id <= *above {
            return None;
        }
        *above = id;
        entries.push(Entry { id, same_names, items });
    }
    (entries.len() == count && found_gone == gone).then_some(Node { names, entries })
}

/// The elements of a node that are still to come.
struct Elements(std::vec::IntoIter<Vec<u8>>);

impl Elements {
    fn integer(&mut self) -> Option<i64> {
        std::str::from_utf8(&self.0.next()?).ok()?.parse().ok()
    }

    fn count(&mut self) -> Option<usize> {
        self.integer()?.try_into().ok()
    }

    fn take(&mut self, count: usize) -> Option<Vec<Vec<u8>>> {
        (count <= self.0.len()).then(|| self.0.by_ref().take(count).collect())
    }
}

fn read_group(form: u8, bytes: &mut Bytes<'_>) -> Option<RestoredGroup> {
    let name = bytes.string()?.into_owned();
    let last = bytes.lengths_id()?;
    let read = match form {
        form::STREAM_5 => Read::Unsaid,
        _ => match bytes.length()? {
            READ_UNKNOWN => Read::Unknown,
            read if read <= COUNT_MAX => Read::Known(read),
            _ => return None,
        },
    };
    let mut pending = BTreeMap::new();
    for _ in 0..bytes.count(25)? {
        let id = bytes.id()?;
        let (at, deliveries) = (millis(bytes.time()?).unwrap_or_default(), bytes.length()?);
        let twice = pending.insert(id, (at, deliveries)).is_some();
        if twice || deliveries > COUNT_MAX {
            return None;
        }
    }
    let mut consumers = Vec::new();
    for _ in 0..bytes.count(10)? {
        let name = bytes.string()?.into_owned();
        let seen = millis(bytes.time()?).unwrap_or_default();
        let active = if form >= form::STREAM_7_2 { millis(bytes.time()?) } else { Some(seen) };
        let mut its = Vec::new();
        for _ in 0..bytes.count(16)? {
            let id = bytes.id()?;
            // Taken out: nobody else may have it too.
            let (at, deliveries) = pending.remove(&id)?;
            its.push((id, at, deliveries));
        }
        consumers.push(RestoredConsumer { name, seen, active, pending: its });
    }
    if form >= form::STREAM_8_8 && bytes.count(16)? > 0 {
        return None;
    }
    let fine = pending.is_empty() && is_distinct(&consumers, |consumer| &consumer.name);
    fine.then_some(RestoredGroup { name, last, read, consumers })
}

fn is_distinct<T>(items: &[T], name: fn(&T) -> &Vec<u8>) -> bool {
    items.iter().map(name).collect::<std::collections::HashSet<_>>().len() == items.len()
}

impl Bytes<'_> {
    /// An id in 16 bytes.
    fn id(&mut self) -> Option<StreamId> {
        let (ms, seq) = (self.array()?, self.array()?);
        Some(StreamId { ms: u64::from_be_bytes(ms), seq: u64::from_be_bytes(seq) })
    }

    /// An id as two lengths.
    fn lengths_id(&mut self) -> Option<StreamId> {
        Some(StreamId { ms: self.length()?, seq: self.length()? })
    }

    /// A time in milliseconds since 1970, negative for never.
    fn time(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }
}

/// None: never.
fn millis(time: i64) -> Option<Millis> {
    u64::try_from(time).ok().map(Millis)
}

impl RestoredStream {
    /// Makes it of a stream that is empty.
    pub fn put(&self, stream: &mut Edit<'_, Stream>) {
        for node in &self.nodes {
            for entry in &node.entries {
                let items = entry.items.iter().map(Vec::as_slice);
                let fields: Vec<&[u8]> = if entry.same_names {
                    let names = node.names.iter().map(Vec::as_slice);
                    names.zip(items).flat_map(|(name, value)| [name, value]).collect()
                } else {
                    items.collect()
                };
                stream.append(entry.id, &fields);
            }
        }
        stream.set_state(self.last, self.added, self.deleted);
        for group in &self.groups {
            let read = match group.read {
                Read::Unsaid => stream.view().distance(group.last),
                Read::Unknown => None,
                Read::Known(read) => Some(read),
            };
            stream.set_group(&group.name, group.last, read);
            for consumer in &group.consumers {
                stream.set_consumer(&group.name, &consumer.name, consumer.seen, consumer.active);
                for &(id, at, count) in &consumer.pending {
                    let delivery = Delivery { consumer: &consumer.name, at, count };
                    stream.deliver(&group.name, id, delivery);
                }
            }
        }
    }
}
