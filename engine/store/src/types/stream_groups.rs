//! The groups of a stream: how far each has read, who reads in it, and what was given out and is not
//! yet acknowledged. Entries are the stream's own (`stream`).

use std::collections::{BTreeMap, BTreeSet};

use ringlane_base::Millis;

use super::stream::{Stream, StreamId, StreamLog, StreamView, group_key_bytes, id_node_bytes};
use super::{Edit, StreamChange, heap_bytes};

/// A place in the map of consumers, about.
const CONSUMER_NODE_BYTES: usize = 2 * size_of::<Consumer>() + 2 * size_of::<Box<[u8]>>();
/// What an entry that is pending takes, at its group, by its age and at its consumer.
const PENDING_BYTES: usize =
    id_node_bytes(size_of::<Pending>()) + id_node_bytes(size_of::<Millis>()) + id_node_bytes(0);

/// A group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The greatest id that was given out.
    pub last: StreamId,
    /// How many entries there were up to `last`, ever; None: not known.
    pub read: Option<u64>,
    pending: BTreeMap<StreamId, Pending>,
    /// The same by when they were given out.
    by_age: BTreeSet<(Millis, StreamId)>,
    consumers: BTreeMap<Box<[u8]>, Consumer>,
    /// Names by the consumers' numbers; a consumer that has gone leaves its number free.
    names: Vec<Option<Box<[u8]>>>,
    bytes: usize,
}

/// An entry that was given out and is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    consumer: u32,
    pub delivered_at: Millis,
    pub deliveries: u64,
}

/// That an entry is given out.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// To whom; it comes to be if the group does not know it.
    pub consumer: &'a [u8],
    pub at: Millis,
    /// How often the entry has been given out, this time included.
    pub count: u64,
}

/// A consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    number: u32,
    /// When it last tried.
    pub seen: Millis,
    /// When it last got something.
    pub active: Option<Millis>,
    pending: BTreeSet<StreamId>,
}

impl Consumer {
    /// How many entries it has yet to acknowledge.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }
}

impl Group {
    /// Heap bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn name_of(&self, pending: &Pending) -> &[u8] {
        self.names[pending.consumer as usize].as_deref().expect("its consumer is there")
    }

    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// What is pending under this id, and the name of the consumer that has it.
    pub fn pending_of(&self, id: StreamId) -> Option<(&[u8], Pending)> {
        let pending = self.pending.get(&id)?;
        Some((self.name_of(pending), *pending))
    }

    /// What is pending from `from` to `to`, both included, in order.
    pub fn pending_range(
        &self,
        from: StreamId,
        to: StreamId,
    ) -> impl DoubleEndedIterator<Item = (StreamId, &[u8], Pending)> {
        // Nothing is to be found the wrong way round.
        let range = self.pending.range(from.min(to)..=to).filter(move |(id, _)| **id >= from);
        range.map(|(id, pending)| (*id, self.name_of(pending), *pending))
    }

    /// What is pending, the longest first.
    pub fn pending_by_age(&self) -> impl Iterator<Item = (StreamId, Pending)> {
        self.by_age.iter().map(|(_, id)| (*id, self.pending[id]))
    }

    /// What is pending of one consumer.
    pub fn pending_of_consumer(
        &self,
        consumer: &[u8],
        from: StreamId,
        to: StreamId,
    ) -> impl Iterator<Item = (StreamId, Pending)> {
        let ids = self.consumers.get(consumer).map(|consumer| &consumer.pending);
        let range = ids.into_iter().flat_map(move |ids| ids.range(from.min(to)..=to));
        range.filter(move |id| **id >= from).map(|id| (*id, self.pending[id]))
    }

    /// The consumers by their names.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = (&[u8], &Consumer)> {
        self.consumers.iter().map(|(name, consumer)| (&**name, consumer))
    }

    pub fn consumer(&self, name: &[u8]) -> Option<&Consumer> {
        self.consumers.get(name)
    }

    /// Frees entries that are pending, one unit each, until no units are left. True: none is left.
    pub(super) fn free_some(&mut self, units: &mut u32) -> bool {
        while *units > 0 {
            let Some((&id, _)) = self.pending.last_key_value() else { break };
            self.settle(id);
            *units -= 1;
        }
        self.pending.is_empty()
    }

    fn settle(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.pending.remove(&id) else { return false };
        self.by_age.remove(&(pending.delivered_at, id));
        let name = self.names[pending.consumer as usize].as_ref().expect("its consumer is there");
        let consumer = self.consumers.get_mut(name).expect("it has a name");
        consumer.pending.remove(&id);
        self.bytes -= PENDING_BYTES;
        true
    }

    fn set_consumer(&mut self, name: &[u8], seen: Millis, active: Option<Millis>) -> u32 {
        if let Some(consumer) = self.consumers.get_mut(name) {
            (consumer.seen, consumer.active) = (seen, active);
            return consumer.number;
        }
        // Looked for only if there is one: many consumers may come at once.
        let free = if self.names.len() > self.consumers.len() {
            self.names.iter().position(Option::is_none)
        } else {
            None
        };
        let number = free.unwrap_or_else(|| {
            self.bytes -= heap_bytes(self.names.capacity() * size_of::<Option<Box<[u8]>>>());
            self.names.push(None);
            self.bytes += heap_bytes(self.names.capacity() * size_of::<Option<Box<[u8]>>>());
            self.names.len() - 1
        });
        self.names[number] = Some(name.into());
        let consumer = Consumer { number: number as u32, seen, active, pending: BTreeSet::new() };
        self.consumers.insert(name.into(), consumer);
        self.bytes += 2 * heap_bytes(name.len()) + CONSUMER_NODE_BYTES;
        number as u32
    }

    /// None: there is no such consumer; else how many entries it had pending, which are gone.
    fn remove_consumer(&mut self, name: &[u8]) -> Option<u64> {
        let consumer = self.consumers.remove(name)?;
        for id in &consumer.pending {
            let pending = self.pending.remove(id).expect("its consumer has it pending");
            self.by_age.remove(&(pending.delivered_at, *id));
        }
        self.names[consumer.number as usize] = None;
        self.bytes -= 2 * heap_bytes(name.len()) + CONSUMER_NODE_BYTES;
        self.bytes -= consumer.pending.len() * PENDING_BYTES;
        Some(consumer.pending.len() as u64)
    }

    fn deliver(&mut self, id: StreamId, delivery: Delivery<'_>) {
        let Delivery { consumer, at, count } = delivery;
        let number = match self.consumers.get(consumer) {
            Some(consumer) => consumer.number,
            None => self.set_consumer(consumer, at, Some(at)),
        };
        self.settle(id);
        self.pending.insert(id, Pending { consumer: number, delivered_at: at, deliveries: count });
        self.by_age.insert((at, id));
        let consumer = self.consumers.get_mut(consumer).expect("just found or made");
        consumer.pending.insert(id);
        self.bytes += PENDING_BYTES;
    }
}

impl StreamLog {
    /// Whether entries from `from` on may have been deleted one by one, after the first that is there.
    fn has_gaps_from(&self, from: StreamId) -> bool {
        let first = self.first();
        first.is_some_and(|first| self.deleted >= first && self.deleted >= from)
    }

    /// How many entries were ever added up to this id, it included; None: cannot be told.
    /// As Redis estimates it: <https://redis.io/docs/latest/commands/xinfo-groups/>.
    fn distance(&self, id: StreamId) -> Option<u64> {
        if self.added == 0 {
            return Some(0);
        }
        let Some(first) = self.first() else {
            return (id <= self.last).then_some(self.added);
        };
        if id >= self.last {
            return (id == self.last).then_some(self.added);
        }
        if self.deleted > StreamId::MIN && self.deleted >= first {
            return None;
        }
        let before_first = self.added.saturating_sub(self.len() as u64);
        match id.cmp(&first) {
            std::cmp::Ordering::Less => Some(before_first),
            std::cmp::Ordering::Equal => Some(before_first + 1),
            std::cmp::Ordering::Greater => None,
        }
    }
}

impl StreamView<'_> {
    /// How many entries were ever added up to this id; None: cannot be told.
    pub fn distance(self, id: StreamId) -> Option<u64> {
        self.structure().distance(id)
    }

    /// How many entries the group has yet to read, negative if it was set to have read more than
    /// there were; None: cannot be told.
    pub fn lag(self, group: &Group) -> Option<i64> {
        let log = self.structure();
        let Some(first) = log.first() else { return Some(0) };
        // All that is there is ahead, whatever was counted before.
        if group.last < first && log.deleted < first {
            return Some(log.len() as i64);
        }
        let read = match group.read {
            Some(read) if !log.has_gaps_from(group.last) => Some(read),
            Some(_) | None => log.distance(group.last),
        };
        Some((log.added as i64).wrapping_sub(read? as i64))
    }

    /// What a group's `read` becomes when it is given the entry with this id, above its `last`.
    pub fn read_after(self, read: Option<u64>, id: StreamId) -> Option<u64> {
        let log = self.structure();
        match read {
            Some(read) if !log.has_gaps_from(id) => Some(read + 1),
            Some(_) | None => log.distance(id),
        }
    }
}

impl Edit<'_, Stream> {
    /// Changes a group that is there, keeping the account of memory.
    fn with_group<R>(&mut self, name: &[u8], change: impl FnOnce(&mut Group) -> R) -> Option<R> {
        let log = self.value.log_mut();
        let group = log.groups.get_mut(name)?;
        log.bytes -= group.bytes();
        let result = change(group);
        log.bytes += group.bytes();
        Some(result)
    }

    /// Makes a group, or sets how far one has read.
    pub fn set_group(&mut self, name: &[u8], last: StreamId, read: Option<u64>) {
        let log = self.value.log_mut();
        log.made = true;
        if let Some(group) = log.groups.get_mut(name) {
            (group.last, group.read) = (last, read);
        } else {
            log.groups.insert(name.into(), Group { last, read, ..Group::default() });
            log.bytes += group_key_bytes(name);
        }
        self.record(|| StreamChange::Group { group: name.into(), last, read });
    }

    /// Whether there was such a group.
    pub fn remove_group(&mut self, name: &[u8]) -> bool {
        let log = self.value.log_mut();
        let Some(group) = log.groups.remove(name) else { return false };
        log.bytes -= group.bytes() + group_key_bytes(name);
        self.record(|| StreamChange::GroupRemove { group: name.into() });
        true
    }

    /// Makes a consumer of a group that is there, or sets its times.
    pub fn set_consumer(
        &mut self,
        group: &[u8],
        consumer: &[u8],
        seen: Millis,
        active: Option<Millis>,
    ) {
        self.with_group(group, |group| group.set_consumer(consumer, seen, active));
        self.record(|| StreamChange::Consumer {
            group: group.into(),
            consumer: consumer.into(),
            seen,
            active,
        });
    }

    /// None: there is no such consumer; else how many entries it had pending, which are gone.
    pub fn remove_consumer(&mut self, group: &[u8], consumer: &[u8]) -> Option<u64> {
        let pending = self.with_group(group, |group| group.remove_consumer(consumer))??;
        self.record(|| StreamChange::ConsumerRemove {
            group: group.into(),
            consumer: consumer.into(),
        });
        Some(pending)
    }

    /// Gives an entry to a consumer of a group that is there, whoever had it before.
    pub fn deliver(&mut self, group: &[u8], id: StreamId, delivery: Delivery<'_>) {
        self.with_group(group, |group| group.deliver(id, delivery));
        self.record(|| StreamChange::Pending {
            group: group.into(),
            id,
            consumer: delivery.consumer.into(),
            delivered_at: delivery.at,
            deliveries: delivery.count,
        });
    }

    /// Acknowledges an entry; whether it was pending.
    pub fn settle(&mut self, group: &[u8], id: StreamId) -> bool {
        let settled = self.with_group(group, |group| group.settle(id)) == Some(true);
        if settled {
            self.record(|| StreamChange::Settled { group: group.into(), id });
        }
        settled
    }
}
