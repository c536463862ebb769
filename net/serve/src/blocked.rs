//! Commands that wait for something to take (BLPOP, XREAD BLOCK, …): kept at the lane that owns their
//! keys, in the order in which they came, and run again when one of their keys has changed. A command
//! whose keys live on several lanes is kept at its connection's lane, which each of those lanes tells
//! of changes. Runs handlers; knows nothing of what they take.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use ringlane_base::{LaneId, Millis};
use ringlane_command::{Args, Context, Flags, Run, Wait};
use ringlane_store::{Key, OwnedKey};

use crate::core::Core;
use crate::execute::Slices;
use crate::interest::{Party, Touch};
use crate::parcel::{Mail, Parcel, Request, RequestHead, ReturnTo};
use crate::reply::RespReply;
use crate::reply_buffer::Stretch;
use crate::ring::ConnectionId;

/// A waiting command: the time it came in milliseconds and, below, a running number, so that
/// commands that wait at several lanes have one order.
pub type Number = u64;

/// Bits of a `Number` that count within a millisecond.
const COUNT_BITS: u32 = 20;

/// How a waiting command ends before there is something to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unblock {
    /// Answered as at its timeout.
    Timeout,
    /// `CLIENT UNBLOCK … ERROR`.
    Error,
    /// Its client has gone: nobody wants an answer.
    Gone,
}

/// A command that waits at this lane.
struct Waiter {
    /// The lane of its connection.
    from: LaneId,
    /// It, alone.
    parcel: Box<Parcel>,
    keys: Vec<OwnedKey>,
    until: Option<Millis>,
}

/// The waiting commands of a lane.
#[derive(Default)]
pub struct Blocked {
    waiters: HashMap<Number, Waiter>,
    /// Of each key that is waited for, who waits, the oldest first.
    queues: HashMap<OwnedKey, BTreeSet<Number>>,
    timeouts: BTreeMap<(Millis, Number), ()>,
    /// Clients of this lane whose command may be waiting, here or elsewhere, by their ids.
    clients: HashMap<u64, ConnectionId>,
    /// Keys that changed while their slot was held.
    deferred: Vec<OwnedKey>,
    last: Number,
}

impl Blocked {
    /// How many commands wait at this lane.
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Clients of this lane whose command waits, here or elsewhere.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// How many keys are waited for.
    pub fn keys(&self) -> usize {
        self.queues.len()
    }

    /// A number that is greater than all before.
    fn number(&mut self, now: Millis) -> Number {
        self.last = (self.last + 1).max(now.0 << COUNT_BITS);
        self.last
    }

    /// The command of this place of a connection.
    fn find(&self, from: LaneId, connection: ConnectionId, sequence: u32) -> Option<Number> {
        let place = ReturnTo::Place { connection, sequence };
        let is_it =
            |waiter: &Waiter| waiter.from == from && waiter.parcel.requests[0].return_to == place;
        self.waiters.iter().find(|(_, waiter)| is_it(waiter)).map(|(number, _)| *number)
    }
}

impl Core {
    /// Notes where a command that may wait is going to be, and holds up those behind it.
    pub fn expect_to_wait(&mut self, id: ConnectionId, lane: LaneId) {
        let connection = self.connections.get(id).expect("looked up by the caller");
        connection.barrier = true;
        connection.blocked = Some((connection.next_place(), lane));
        self.blocked.clients.insert(connection.session.id, id);
    }

    /// A reply has come; if it is the one that was waited for, the connection goes on.
    pub fn waited_for(&mut self, id: ConnectionId, sequence: u32) {
        let Some(connection) = self.connections.get(id) else { return };
        if connection.blocked.is_some_and(|(place, _)| place == sequence) {
            connection.blocked = None;
            connection.barrier = false;
            let client = connection.session.id;
            self.blocked.clients.remove(&client);
        }
    }

    /// Ends what the client waits for; whether it is of this lane and waits.
    pub fn unblock_client(&mut self, client: u64, how: Unblock) -> bool {
        let id = self.blocked.clients.get(&client).copied();
        id.is_some_and(|id| self.unblock_connection(id, how))
    }

    /// Runs a command that may wait, of a parcel from another lane or of this lane's own client.
    pub fn run_blocking(&mut self, from: LaneId, request: &Request, args: Args<'_>) {
        let parcel = alone(request, args);
        if let Some((parcel, wait)) = self.attempt(from, parcel, true) {
            self.block(from, parcel, wait);
        }
    }

    /// Runs a command that stands alone in its parcel and sends its answer; gives it back if it
    /// wants to wait.
    fn attempt(
        &mut self,
        from: LaneId,
        mut parcel: Box<Parcel>,
        may_block: bool,
    ) -> Option<(Box<Parcel>, Box<Wait>)> {
        let request = parcel.requests[0];
        let Run::Store(handler) = request.spec.run else {
            unreachable!("only commands on data travel")
        };
        let mut replies = std::mem::take(&mut parcel.replies);
        let start = replies.mark();
        let mut slices = Slices::new();
        parcel.slices(&request, &mut slices);
        let mut reply = RespReply::new(&mut replies, request.version);
        let mut context = Context {
            store: &mut self.store,
            args: Args::new(&slices, &parcel.blobs),
            routed: request.routed,
            database: request.database,
            limits: self.handler_limits,
            may_block,
            scripts: None,
            reply: &mut reply,
        };
        self.tracking.writer = request.mark.map(|mark| (from, mark.connection));
        let outcome = handler(&mut context);
        if let (Ok(()), Some(mark)) = (&outcome, request.mark) {
            let args = Args::new(&slices, &parcel.blobs);
            self.remember_reads(from, mark, request.database, request.spec, args);
        }
        drop(slices);
        if let Err(error) = outcome {
            replies.truncate(start);
            if let ringlane_command::CommandError::Blocked(wait) = error {
                parcel.replies = replies;
                self.tracking.writer = None;
                return Some((parcel, wait));
            }
            RespReply::new(&mut replies, request.version).error_line(&error);
            self.stats.failed(request.spec.id, &replies.bytes[start.bytes_before()..]);
        }
        parcel.answers.push((request.return_to, Stretch { from: start, to: replies.mark() }));
        parcel.replies = replies;
        parcel.clear_requests();
        self.deliver(from, parcel);
        self.hand_out_touches();
        self.tracking.writer = None;
        None
    }

    /// Sends an answered parcel home.
    fn deliver(&mut self, from: LaneId, parcel: Box<Parcel>) {
        if from == self.lane {
            self.take_answers(parcel);
        } else {
            self.outbox.post_answers(from, parcel);
        }
    }

    /// Puts a command into the queues of its keys.
    fn block(&mut self, from: LaneId, parcel: Box<Parcel>, wait: Box<Wait>) {
        let now = self.store.now();
        if wait.until.is_some_and(|until| until <= now) {
            self.attempt(from, parcel, false);
            return;
        }
        let parcel = match wait.arguments {
            None => parcel,
            Some(arguments) => {
                let request = parcel.requests[0];
                let slices: Slices<'_> = arguments.iter().map(|argument| &argument[..]).collect();
                alone(&request, Args::new(&slices, &[]))
            }
        };
        let request = parcel.requests[0];
        let mut slices = Slices::new();
        parcel.slices(&request, &mut slices);
        let keys = request.spec.key_positions(slices.len(), |index| slices[index]);
        let keys = keys.map(|index| self.store.key(request.database, slices[index]).into());
        let keys: Vec<OwnedKey> = keys.collect();
        drop(slices);
        let number = self.blocked.number(now);
        self.enqueue(number, Waiter { from, parcel, keys, until: wait.until });
    }

    fn enqueue(&mut self, number: Number, waiter: Waiter) {
        for key in &waiter.keys {
            self.blocked.queues.entry(key.clone()).or_default().insert(number);
            self.interest.want(&mut self.store, Party::Blocked, &key.as_key());
        }
        if let Some(until) = waiter.until {
            self.blocked.timeouts.insert((until, number), ());
        }
        self.blocked.waiters.insert(number, waiter);
    }

    fn dequeue(&mut self, number: Number) -> Option<Waiter> {
        let waiter = self.blocked.waiters.remove(&number)?;
        for key in &waiter.keys {
            // A key may be named twice.
            let Some(queue) = self.blocked.queues.get_mut(key) else { continue };
            queue.remove(&number);
            if queue.is_empty() {
                self.blocked.queues.remove(key);
                self.interest.forget(&mut self.store, Party::Blocked, &key.as_key());
            }
        }
        if let Some(until) = waiter.until {
            self.blocked.timeouts.remove(&(until, number));
        }
        Some(waiter)
    }

    /// A key that somebody waits for has changed.
    pub fn tell_blocked(&mut self, touch: &Touch) {
        match touch {
            Touch::Key { key, .. } => self.serve_blocked(&key.clone()),
            // The keys that these touch are named before them.
            Touch::Sweep(_) | Touch::Many => {}
        }
    }

    /// Lets those who wait for the key try again, the oldest first, until nothing is left to take.
    fn serve_blocked(&mut self, key: &OwnedKey) {
        if self.locks.holds(key.slot) {
            self.blocked.deferred.push(key.clone());
            return;
        }
        let mut after = 0;
        while self.has_value(&key.as_key()) {
            let queue = self.blocked.queues.get(key);
            let next = queue.and_then(|queue| queue.range(after + 1..).next().copied());
            let Some(number) = next else { return };
            after = number;
            let Some(waiter) = self.dequeue(number) else { continue };
            let Waiter { from, parcel, keys, until } = waiter;
            if let Some((parcel, _)) = self.attempt(from, parcel, true) {
                self.enqueue(number, Waiter { from, parcel, keys, until });
            }
        }
    }

    fn has_value(&mut self, key: &Key<'_>) -> bool {
        self.store.peek(key).is_some()
    }

    /// Slots have been released: keys that changed while they were held are served.
    pub fn serve_deferred(&mut self) {
        if self.blocked.deferred.is_empty() {
            return;
        }
        for key in std::mem::take(&mut self.blocked.deferred) {
            self.serve_blocked(&key);
        }
    }

    /// Answers those whose time is over.
    pub fn expire_blocked(&mut self) {
        let now = self.store.now();
        while let Some((&(until, number), ())) = self.blocked.timeouts.first_key_value()
            && until <= now
        {
            self.unblock(number, Unblock::Timeout);
        }
    }

    /// Ends a wait.
    fn unblock(&mut self, number: Number, how: Unblock) {
        let Some(Waiter { from, parcel, .. }) = self.dequeue(number) else { return };
        match how {
            Unblock::Timeout => {
                self.attempt(from, parcel, false);
            }
            Unblock::Error => self.answer_unblocked(from, parcel),
            Unblock::Gone => self.outbox.recycle(parcel),
        }
    }

    fn answer_unblocked(&mut self, from: LaneId, mut parcel: Box<Parcel>) {
        const UNBLOCKED: ringlane_command::CommandError =
            ringlane_command::CommandError::Fixed("UNBLOCKED client unblocked via CLIENT UNBLOCK");
        let request = parcel.requests[0];
        let start = parcel.replies.mark();
        RespReply::new(&mut parcel.replies, request.version).error_line(&UNBLOCKED);
        let to = parcel.replies.mark();
        parcel.answers.push((request.return_to, Stretch { from: start, to }));
        parcel.clear_requests();
        self.deliver(from, parcel);
    }

    /// A connection of lane `from` wants its waiting command to end.
    pub fn take_unblock(
        &mut self,
        from: LaneId,
        connection: ConnectionId,
        sequence: u32,
        how: Unblock,
    ) {
        // Not found: it has been answered meanwhile.
        if let Some(number) = self.blocked.find(from, connection, sequence) {
            self.unblock(number, how);
        }
    }

    /// Ends what a connection of this lane waits for; whether it waits.
    pub fn unblock_connection(&mut self, id: ConnectionId, how: Unblock) -> bool {
        let Some(connection) = self.connections.get(id) else { return false };
        let Some((sequence, lane)) = connection.blocked else { return false };
        if how == Unblock::Gone {
            let client = connection.session.id;
            self.blocked.clients.remove(&client);
        }
        if lane == self.lane {
            self.take_unblock(lane, id, sequence, how);
        } else {
            self.outbox.post(lane, Mail::Unblock { connection: id, sequence, how });
        }
        true
    }
}

/// The request, alone in a parcel of its own.
fn alone(request: &Request, args: Args<'_>) -> Box<Parcel> {
    debug_assert!(request.spec.flags.has(Flags::BLOCKING));
    let mut alone = Box::<Parcel>::default();
    let head = RequestHead {
        return_to: request.return_to,
        spec: request.spec,
        routed: request.routed,
        database: request.database,
        version: request.version,
        no_touch: request.no_touch,
        mark: request.mark,
    };
    let blobs: &[Bytes] = args.blobs();
    alone.push(head, args.from(1), blobs);
    alone
}
