//! The connections of this lane that listen, and the last step of a message: encoded once for each
//! protocol version, copied to every listener. Messages to one channel that come one behind the other
//! are copied together (a run). A message with many listeners is written in slices; those behind it
//! wait, so that order holds.

use std::collections::VecDeque;

use bytes::Bytes;
use indexmap::{IndexMap, IndexSet};
use ringlane_base::{LaneId, glob};
use ringlane_resp::Version;
use smallvec::SmallVec;

use super::{Kind, Message};
use crate::connection::{Connection, Phase};
use crate::core::Core;
use crate::reply::RespReply;
use crate::reply_buffer::ReplyBuffer;
use crate::ring::ConnectionId;

/// Connections that are written to before the lane looks at its sockets again, some 50 ns each.
pub const DELIVERIES_A_SLICE: usize = 1024;

/// Messages of one run.
const RUN_MESSAGES_MAX: usize = 64;
/// Bytes of names and texts after which a run ends: each listener gets a copy at once.
const RUN_BYTES_MAX: usize = 8 << 10;

/// What one connection listens to; no connection that listens to nothing has one.
#[derive(Debug, Default)]
pub struct Listening {
    names: [IndexSet<Bytes>; Kind::COUNT],
}

impl Listening {
    pub fn of(&self, kind: Kind) -> &IndexSet<Bytes> {
        &self.names[kind as usize]
    }

    pub fn of_mut(&mut self, kind: Kind) -> &mut IndexSet<Bytes> {
        &mut self.names[kind as usize]
    }

    pub fn total(&self) -> usize {
        self.names.iter().map(IndexSet::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.total() == 0
    }

    /// What a confirmation for this kind tells: shard channels, or channels and patterns together.
    pub fn told(&self, kind: Kind) -> usize {
        match kind {
            Kind::Shard => self.of(Kind::Shard).len(),
            Kind::Channel | Kind::Pattern => {
                self.of(Kind::Channel).len() + self.of(Kind::Pattern).len()
            }
        }
    }
}

/// A message that is written in slices, or waits behind one.
struct Delivery {
    from: LaneId,
    message: Message,
    /// By the pattern that matches, or the name itself; None until it is its turn.
    targets: Option<Vec<(Option<Bytes>, Vec<ConnectionId>)>>,
}

/// Messages of one kind and channel, in order, that their listeners are still to get.
#[derive(Default)]
struct Run {
    messages: Vec<Message>,
    bytes: usize,
}

impl Run {
    fn takes(&self, message: &Message) -> bool {
        self.messages.first().is_none_or(|first| {
            (first.kind, &first.channel) == (message.kind, &message.channel)
                && self.messages.len() < RUN_MESSAGES_MAX
                && self.bytes < RUN_BYTES_MAX
        })
    }

    fn push(&mut self, message: &Message) {
        self.bytes += message.channel.len() + message.payload.len();
        self.messages.push(message.clone());
    }
}

/// Who listens on this lane.
#[derive(Default)]
pub struct Audience {
    names: [IndexMap<Bytes, IndexSet<ConnectionId>>; Kind::COUNT],
    run: Run,
    queue: VecDeque<Delivery>,
    /// Connections that listen to anything.
    pub connections: usize,
}

impl Audience {
    pub fn add(&mut self, kind: Kind, name: &Bytes, id: ConnectionId) {
        self.names[kind as usize].entry(name.clone()).or_default().insert(id);
    }

    pub fn remove(&mut self, kind: Kind, name: &Bytes, id: ConnectionId) {
        let names = &mut self.names[kind as usize];
        let listeners = names.get_mut(name).expect("it listens to this name");
        listeners.swap_remove(&id);
        if listeners.is_empty() {
            names.swap_remove(name);
        }
    }

    #[inline]
    pub fn has_queue(&self) -> bool {
        !self.queue.is_empty()
    }

    #[inline]
    pub fn has_run(&self) -> bool {
        !self.run.messages.is_empty()
    }

    /// The connections that get a message, by the pattern that matches, or the name itself.
    fn listeners<'a>(
        &'a self,
        message: &'a Message,
    ) -> impl Iterator<Item = (Option<&'a Bytes>, &'a IndexSet<ConnectionId>)> {
        let named = self.names[message.kind as usize].get(&message.channel);
        let patterns = (message.kind == Kind::Channel)
            .then(|| self.names[Kind::Pattern as usize].iter())
            .into_iter()
            .flatten()
            .filter(|(pattern, _)| glob::matches(pattern, &message.channel))
            .map(|(pattern, listeners)| (Some(pattern), listeners));
        named.map(|listeners| (None, listeners)).into_iter().chain(patterns)
    }

    /// How often a message is written here.
    fn receivers(&self, message: &Message) -> usize {
        self.listeners(message).map(|(_, listeners)| listeners.len()).sum()
    }

    /// How many of this lane listen to a name.
    pub fn count(&self, kind: Kind, name: &[u8]) -> usize {
        self.names[kind as usize].get(name).map_or(0, IndexSet::len)
    }

    /// Names that some connection of this lane listens to.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &Bytes> {
        self.names[kind as usize].keys()
    }
}

/// Messages of one channel as they are sent, for each version of the protocol that a listener speaks.
struct Encoded<'a> {
    messages: &'a [Message],
    pattern: Option<&'a Bytes>,
    resp2: Option<ReplyBuffer>,
    resp3: Option<ReplyBuffer>,
}

impl<'a> Encoded<'a> {
    fn new(messages: &'a [Message], pattern: Option<&'a Bytes>) -> Self {
        Self { messages, pattern, resp2: None, resp3: None }
    }

    fn of(&mut self, version: Version) -> &ReplyBuffer {
        let place = match version {
            Version::Resp2 => &mut self.resp2,
            Version::Resp3 => &mut self.resp3,
        };
        let (messages, pattern) = (self.messages, self.pattern);
        place.get_or_insert_with(|| {
            let mut out = ReplyBuffer::default();
            for message in messages {
                write_message(&mut RespReply::new(&mut out, version), message, pattern);
            }
            out
        })
    }
}

fn write_message(reply: &mut RespReply<'_>, message: &Message, pattern: Option<&Bytes>) {
    use ringlane_command::Reply;
    match (pattern, message.kind) {
        (Some(pattern), _) => {
            reply.push_header(4);
            reply.bulk(b"pmessage");
            reply.bulk(pattern);
        }
        (None, Kind::Shard) => {
            reply.push_header(3);
            reply.bulk(b"smessage");
        }
        (None, Kind::Channel | Kind::Pattern) => {
            reply.push_header(3);
            reply.bulk(b"message");
        }
    }
    reply.bulk(&message.channel);
    reply.blob(&message.payload);
}

/// Connections whose output has passed the hard limit meanwhile.
type Overfull = SmallVec<[ConnectionId; 4]>;

impl Core {
    /// Writes a message to all its listeners here, if they are few and none waits in front of it.
    pub(super) fn deliver_at_once(&mut self, message: &Message) -> bool {
        self.end_run();
        let audience = &self.pubsub.audience;
        if audience.has_queue() || audience.receivers(message) > DELIVERIES_A_SLICE {
            return false;
        }
        self.write_to_listeners(std::slice::from_ref(message));
        true
    }

    /// The same, but the message may stay in a run, which the caller ends (`end_run`) before anything
    /// else is written to those who may listen.
    pub(super) fn deliver_soon(&mut self, message: &Message) -> bool {
        let audience = &mut self.pubsub.audience;
        // Who listens to a channel and to a pattern gets each message twice, and then the next.
        let has_patterns = !audience.names[Kind::Pattern as usize].is_empty();
        if has_patterns || audience.has_queue() {
            return self.deliver_at_once(message);
        }
        if !audience.run.takes(message) {
            self.end_run();
        }
        let audience = &mut self.pubsub.audience;
        if !audience.has_run() && audience.receivers(message) > DELIVERIES_A_SLICE {
            return false;
        }
        audience.run.push(message);
        true
    }

    /// The listeners of a run get its messages.
    #[inline]
    pub fn end_run(&mut self) {
        if self.pubsub.audience.has_run() {
            self.write_run();
        }
    }

    fn write_run(&mut self) {
        let mut run = std::mem::take(&mut self.pubsub.audience.run);
        self.write_to_listeners(&run.messages);
        run.messages.clear();
        run.bytes = 0;
        self.pubsub.audience.run = run;
    }

    /// Writes messages of one channel to all its listeners here.
    fn write_to_listeners(&mut self, messages: &[Message]) {
        let hard = self.live.output_limits.pubsub.hard_bytes;
        let mut overfull = Overfull::new();
        for (pattern, listeners) in self.pubsub.audience.listeners(&messages[0]) {
            let mut encoded = Encoded::new(messages, pattern);
            for id in listeners {
                let Some(connection) = self.connections.get(*id) else { continue };
                if push(connection, &mut encoded, hard) {
                    overfull.push(*id);
                }
                Self::mark_dirty(&mut self.dirty, connection);
            }
        }
        self.close_overfull(&overfull);
    }

    pub(super) fn queue_delivery(&mut self, from: LaneId, message: Message) {
        let delivery = Delivery { from, message, targets: None };
        self.pubsub.audience.queue.push_back(delivery);
    }

    /// Goes on with messages of many listeners, for a slice.
    pub fn deliver_more(&mut self) {
        let mut left = DELIVERIES_A_SLICE;
        while left > 0
            && let Some(mut delivery) = self.pubsub.audience.queue.pop_front()
        {
            left -= self.deliver_slice(&mut delivery, left).min(left);
            if delivery.targets.as_ref().is_some_and(Vec::is_empty) {
                self.pubsub.flow.owe(delivery.from, delivery.message.cost());
            } else {
                self.pubsub.audience.queue.push_front(delivery);
            }
        }
        self.settle_deliveries();
    }

    /// Writes a message to at most `max` more of its listeners; how many.
    fn deliver_slice(&mut self, delivery: &mut Delivery, max: usize) -> usize {
        let audience = &self.pubsub.audience;
        let message = &delivery.message;
        let targets = delivery.targets.get_or_insert_with(|| {
            audience
                .listeners(message)
                .map(|(pattern, ids)| (pattern.cloned(), ids.iter().copied().collect()))
                .collect()
        });
        let hard = self.live.output_limits.pubsub.hard_bytes;
        let mut overfull = Overfull::new();
        let mut done = 0;
        while let Some((pattern, ids)) = targets.last_mut() {
            let mut encoded = Encoded::new(std::slice::from_ref(message), pattern.as_ref());
            let (kind, name) = match &*pattern {
                Some(pattern) => (Kind::Pattern, pattern),
                None => (message.kind, &message.channel),
            };
            while done < max
                && let Some(id) = ids.pop()
            {
                done += 1;
                // It may have ceased to listen since the message came.
                let Some(connection) = self.connections.get(id) else { continue };
                let listens = |it: &Listening| it.of(kind).contains(name);
                if !connection.listening.as_deref().is_some_and(listens) {
                    continue;
                }
                if push(connection, &mut encoded, hard) {
                    overfull.push(id);
                }
                Self::mark_dirty(&mut self.dirty, connection);
            }
            if !ids.is_empty() {
                break;
            }
            targets.pop();
        }
        self.close_overfull(&overfull);
        done
    }

    fn close_overfull(&mut self, overfull: &Overfull) {
        for id in overfull {
            if self.output_limit_reached(*id) {
                self.close(*id);
            }
        }
    }
}

/// Writes a message to one listener. True if its output has passed `hard` bytes (0: no bound).
#[inline]
fn push(connection: &mut Connection, encoded: &mut Encoded<'_>, hard: u64) -> bool {
    if connection.phase != Phase::Open {
        return false;
    }
    let message = encoded.of(connection.session.version);
    connection.push(message);
    hard > 0 && connection.output_len() as u64 > hard
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(kind: Kind, pattern: Option<&'static str>, version: Version) -> String {
        let message = Message {
            kind,
            channel: Bytes::from_static(b"news"),
            payload: Bytes::from_static(b"hi"),
        };
        let pattern = pattern.map(|text| Bytes::from_static(text.as_bytes()));
        let mut encoded = Encoded::new(std::slice::from_ref(&message), pattern.as_ref());
        String::from_utf8(encoded.of(version).bytes.clone()).expect("text")
    }

    #[test]
    fn messages_have_the_shapes_of_redis() {
        use Version::{Resp2, Resp3};
        let rows = [
            (Kind::Channel, None, Resp2, "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n"),
            (Kind::Channel, None, Resp3, ">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n"),
            (Kind::Shard, None, Resp3, ">3\r\n$8\r\nsmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n"),
            (
                Kind::Channel,
                Some("n*"),
                Resp2,
                "*4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$2\r\nhi\r\n",
            ),
        ];
        for (kind, pattern, version, expected) in rows {
            assert_eq!(encoded(kind, pattern, version), expected);
        }
    }
}
