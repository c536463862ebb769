//! The primitive changes of a stream, and how they are repeated.

use ringlane_base::Millis;

use super::{Delivery, Edit, Stream, StreamId};

/// One primitive change, as all of `Change`: absolute and deterministic.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamChange {
    /// Name, value, name, value, …; the id is the stream's last one now.
    Add {
        id: StreamId,
        fields: Box<[Box<[u8]>]>,
    },
    Delete {
        id: StreamId,
    },
    /// All entries below this id are gone.
    Trim {
        before: StreamId,
    },
    /// The stream's last id, the entries ever added, the greatest id ever deleted.
    State {
        last: StreamId,
        added: u64,
        deleted: StreamId,
    },
    /// The group is there and has read so far.
    Group {
        group: Box<[u8]>,
        last: StreamId,
        read: Option<u64>,
    },
    GroupRemove {
        group: Box<[u8]>,
    },
    /// The consumer is there and was seen and active then.
    Consumer {
        group: Box<[u8]>,
        consumer: Box<[u8]>,
        seen: Millis,
        active: Option<Millis>,
    },
    /// With all that it had pending.
    ConsumerRemove {
        group: Box<[u8]>,
        consumer: Box<[u8]>,
    },
    /// The entry is pending at this consumer.
    Pending {
        group: Box<[u8]>,
        id: StreamId,
        consumer: Box<[u8]>,
        delivered_at: Millis,
        deliveries: u64,
    },
    /// The entry is no longer pending.
    Settled {
        group: Box<[u8]>,
        id: StreamId,
    },
}

impl Edit<'_, Stream> {
    pub(super) fn repeat(&mut self, change: &StreamChange) {
        match change {
            StreamChange::Add { id, fields } => {
                let fields: Vec<&[u8]> = fields.iter().map(|field| &**field).collect();
                self.append(*id, &fields);
            }
            StreamChange::Delete { id } => {
                self.delete(*id);
            }
            StreamChange::Trim { before } => self.trim_before(*before),
            StreamChange::State { last, added, deleted } => {
                self.set_state(*last, *added, *deleted);
            }
            StreamChange::Group { group, last, read } => self.set_group(group, *last, *read),
            StreamChange::GroupRemove { group } => {
                self.remove_group(group);
            }
            StreamChange::Consumer { group, consumer, seen, active } => {
                self.set_consumer(group, consumer, *seen, *active);
            }
            StreamChange::ConsumerRemove { group, consumer } => {
                self.remove_consumer(group, consumer);
            }
            StreamChange::Pending { group, id, consumer, delivered_at, deliveries } => {
                let delivery = Delivery { consumer, at: *delivered_at, count: *deliveries };
                self.deliver(group, *id, delivery);
            }
            StreamChange::Settled { group, id } => {
                self.settle(group, *id);
            }
        }
    }
}
