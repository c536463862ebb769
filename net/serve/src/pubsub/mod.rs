//! Channels: who listens to what, and how a message reaches them.
//!
//! A channel lives on the lane of its name's slot, its home, which knows how many listeners each lane
//! has; a lane knows its own connections. A message goes to its channel's home, from there once to
//! each lane that listens, and there, encoded once, to every connection.
//!
//! ```text
//! PUBLISH ─▶ home (`registry`) ─▶ a letter a listening lane ─▶ connections (`audience`)
//!                 ▲ Register / Registered: a subscription is confirmed once its home has it
//! ```
//! Patterns, and the channels of keyspace notices, are known on every lane, so that any lane can tell
//! who listens. Nothing here waits: what comes back later finds a reserved place of its connection.

pub mod audience;
pub mod commands;
pub mod registry;

mod flow;
mod notices;

use std::rc::Rc;

use bytes::Bytes;
use ringlane_base::{Database, LaneId, Slot};

use ringlane_script::Listeners;

use crate::core::Core;
use crate::parcel::ReturnTo;
use crate::reply::RespReply;
use crate::reply_buffer::ReplyBuffer;
use crate::ring::ConnectionId;
use crate::tracking::{Invalid, Mark};
use audience::Audience;
use flow::Flow;
use registry::SharedRegistry;

/// Notes that travel in one letter.
pub const NOTES_A_LETTER_MAX: usize = 64;

/// The three spaces of names that one can listen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Channel,
    /// A pattern over the names of channels.
    Pattern,
    /// SSUBSCRIBE's: a space of its own, without patterns.
    Shard,
}

impl Kind {
    pub const COUNT: usize = 3;
}

/// Something published.
#[derive(Clone, Debug)]
pub struct Message {
    /// Not `Pattern`.
    pub kind: Kind,
    pub channel: Bytes,
    pub payload: Bytes,
}

impl Message {
    /// What it counts for while it is under way, in bytes.
    fn cost(&self) -> usize {
        size_of::<Self>() + self.channel.len() + self.payload.len()
    }
}

/// A connection of the sending lane has begun or ceased to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub kind: Kind,
    pub name: Bytes,
    pub comes: bool,
}

/// What lanes tell each other about channels.
pub enum Note {
    /// `ticket`: whether, and to what, an answer is wanted.
    Register {
        changes: Vec<Change>,
        ticket: Option<u32>,
    },
    Registered {
        ticket: u32,
    },
    /// To the channel's home.
    Publish {
        message: Message,
        return_to: ReturnTo,
    },
    /// To the channel's home, from a script: nobody waits for the number of receivers.
    Announce(Message),
    Published {
        return_to: ReturnTo,
        receivers: u32,
    },
    /// To a lane that listens.
    Deliver(Message),
    /// Messages of so many bytes have reached all their connections.
    Delivered {
        cost: usize,
    },
    /// A line for the lane's monitors.
    Show(Bytes),
    /// Prefixes of keys that the sending lane's clients have begun or ceased to track.
    Prefixes(Vec<(Bytes, bool)>),
    /// These keys of another lane have been read for a client of the sender that tracks.
    Remember {
        mark: Mark,
        keys: Vec<(Database, Vec<u8>)>,
    },
    /// This connection of the sender, which tracked, has closed.
    TrackerGone(ConnectionId),
    /// A key that clients of the lane have read has changed.
    Invalidate(Box<Invalid>),
    /// They are to forget all.
    InvalidateAll,
    /// The same for one connection, which another (`of`) has chosen in its stead.
    Redirect {
        to: ConnectionId,
        of: ConnectionId,
        key: Option<Bytes>,
    },
    /// The connection that this one has chosen is gone.
    RedirectBroken {
        of: ConnectionId,
    },
}

/// Subscriptions that homes have yet to confirm.
struct Pending {
    connection: ConnectionId,
    sequence: u32,
    /// Lanes that have not answered.
    remaining: usize,
    confirmation: ReplyBuffer,
}

/// A lane's part in it.
pub struct PubSub {
    /// Scripts ask it, too, while one runs.
    pub registry: Rc<SharedRegistry>,
    pub audience: Audience,
    flow: Flow,
    pending: Vec<Option<Pending>>,
    free: Vec<u32>,
}

impl PubSub {
    pub fn new(lanes: usize) -> Self {
        Self {
            registry: Rc::default(),
            audience: Audience::default(),
            flow: Flow::new(lanes),
            pending: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Whether messages wait for their turn to be written to connections.
    #[inline]
    pub fn has_work(&self) -> bool {
        self.audience.has_queue()
    }
}

/// Who listens, as far as this lane knows, for the scripts that run here.
impl Listeners for SharedRegistry {
    fn count(&self, channel: &[u8], sharded: bool) -> u32 {
        let kind = if sharded { Kind::Shard } else { Kind::Channel };
        self.borrow().route(kind, channel).receivers
    }
}

/// Whether every lane is to know who listens to this name: what matters at the lane of any key.
fn is_known_everywhere(kind: Kind, name: &[u8]) -> bool {
    match kind {
        Kind::Pattern => true,
        Kind::Channel => name.starts_with(notices::PREFIX),
        Kind::Shard => false,
    }
}

impl Core {
    /// The lane where a channel lives.
    #[inline]
    pub fn home_of(&self, channel: &[u8]) -> LaneId {
        self.shared.lane_of(Slot::of(channel))
    }

    /// Posts a note, in the same letter as the one before it if nothing stands between.
    pub fn post_note(&mut self, to: LaneId, note: Note) {
        self.outbox.post_note(to, note);
    }

    /// Takes what another lane tells.
    pub fn take_notes(&mut self, from: LaneId, notes: Vec<Note>) {
        for note in notes {
            if !matches!(note, Note::Deliver(_)) {
                self.end_run();
            }
            match note {
                Note::Register { changes, ticket } => {
                    self.take_changes(from, &changes);
                    if let Some(ticket) = ticket {
                        self.post_note(from, Note::Registered { ticket });
                    }
                }
                Note::Registered { ticket } => self.take_registered(ticket),
                Note::Publish { message, return_to } => {
                    self.publish_from(from, message, return_to);
                }
                Note::Announce(message) => self.announce(&message),
                Note::Published { return_to, receivers } => {
                    self.answer_publisher(return_to, receivers);
                }
                Note::Deliver(message) => self.take_message(from, message),
                Note::Delivered { cost } => self.take_delivered(from, cost),
                Note::Show(line) => {
                    self.show_line(&line);
                    self.pubsub.flow.owe(from, line.len());
                }
                Note::Prefixes(changes) => self.take_prefixes(from, &changes),
                Note::Remember { mark, keys } => {
                    for (database, key) in keys {
                        self.remember_read(from, mark, database, &key);
                    }
                }
                Note::TrackerGone(id) => self.tracking.table.leave(from, id),
                Note::Invalidate(invalid) => self.take_invalid(from, *invalid),
                Note::InvalidateAll => self.take_invalid_all(from),
                Note::Redirect { to, of, key } => {
                    let cost = size_of::<Note>() + key.as_ref().map_or(0, Bytes::len);
                    if !self.take_redirected(to, key.as_ref()) {
                        self.post_note(from, Note::RedirectBroken { of });
                    }
                    self.pubsub.flow.owe(from, cost);
                }
                Note::RedirectBroken { of } => self.break_redirect(of),
            }
        }
        self.end_run();
    }

    fn take_changes(&mut self, from: LaneId, changes: &[Change]) {
        for change in changes {
            let home = change.kind != Kind::Pattern && self.home_of(&change.name) == self.lane;
            self.pubsub.registry.borrow_mut().change(from, change, home);
        }
    }

    /// Tells the homes of what has changed at this lane's connections. Of a connection that waits for
    /// it `confirmation` is written once all of them know.
    pub(super) fn register(
        &mut self,
        changes: Vec<Change>,
        waiting: Option<(ConnectionId, ReplyBuffer)>,
    ) {
        let lanes = self.shared.lanes();
        let mut by_lane: Vec<Vec<Change>> = vec![Vec::new(); lanes];
        for change in changes {
            if is_known_everywhere(change.kind, &change.name) {
                for lane in &mut by_lane {
                    lane.push(change.clone());
                }
            } else {
                let home = self.home_of(&change.name);
                by_lane[home.index()].push(change);
            }
        }
        let here = std::mem::take(&mut by_lane[self.lane.index()]);
        self.take_changes(self.lane, &here);
        let remaining = by_lane.iter().filter(|changes| !changes.is_empty()).count();
        let ticket = waiting.and_then(|(id, confirmation)| {
            if remaining > 0 {
                return self.await_registration(id, remaining, confirmation);
            }
            self.write_push_reply(id, &confirmation);
            None
        });
        for (lane, changes) in by_lane.into_iter().enumerate() {
            if !changes.is_empty() {
                self.post_note(LaneId(lane as u16), Note::Register { changes, ticket });
            }
        }
    }

    fn await_registration(
        &mut self,
        id: ConnectionId,
        remaining: usize,
        confirmation: ReplyBuffer,
    ) -> Option<u32> {
        let connection = self.connections.get(id)?;
        connection.barrier = true;
        let sequence = connection.reserve_place();
        let pending = Pending { connection: id, sequence, remaining, confirmation };
        let ticket = self.pubsub.free.pop().unwrap_or_else(|| {
            self.pubsub.pending.push(None);
            self.pubsub.pending.len() as u32 - 1
        });
        self.pubsub.pending[ticket as usize] = Some(pending);
        Some(ticket)
    }

    fn take_registered(&mut self, ticket: u32) {
        let place = &mut self.pubsub.pending[ticket as usize];
        let pending = place.as_mut().expect("answers come only while they are awaited");
        pending.remaining -= 1;
        if pending.remaining > 0 {
            return;
        }
        let pending = place.take().expect("just seen");
        self.pubsub.free.push(ticket);
        let stretch = pending.confirmation.whole();
        self.fill_place(pending.connection, pending.sequence, &pending.confirmation, stretch);
        self.lift_barrier(pending.connection);
    }

    /// Writes what a command answers that was written elsewhere.
    pub fn write_push_reply(&mut self, id: ConnectionId, reply: &ReplyBuffer) {
        let Some(connection) = self.connections.get(id) else { return };
        let target = connection.reply_target();
        let from = target.mark();
        target.append(reply, reply.whole());
        connection.reply_written(from);
        Self::mark_dirty(&mut self.dirty, connection);
    }

    /// Gives an integer to whoever waits for it.
    fn answer_publisher(&mut self, return_to: ReturnTo, receivers: u32) {
        let mut out = ReplyBuffer::default();
        RespReply::new(&mut out, ringlane_resp::Version::Resp2).integer_line(i64::from(receivers));
        let stretch = out.whole();
        self.take_reply(return_to, &out, stretch);
    }
}
