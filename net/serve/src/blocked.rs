//! Commands that wait for something to take (BLPOP, XREAD BLOCK, …): kept at the lane that owns their
//! keys, in the order in which they came, and run again when one of their keys has changed. A command
//! whose keys live on several lanes is kept at its connection's lane, which each of those lanes tells
//! of changes. Runs handlers; knows nothing of what they take.

use std::collections::{BTreeSet, HashMap, HashSet};

use ringlane_base::{Database, LaneId, Millis};
use ringlane_command::{Args, CommandError, Context, Run, Wait, Waiting};
use ringlane_store::{OwnedKey, Store};

use crate::aside::Aside;
use crate::clock;
use crate::core::Core;
use crate::interest::Party;
use crate::parcel::{Mail, Parcel, Request, ReturnTo, Waits};
use crate::reply::RespReply;
use crate::reply_buffer::{ReplyBuffer, Stretch};
use crate::ring::ConnectionId;
use crate::run::{Manner, Slices};
use crate::together::Together;
use crate::walks::{Queue, Walk};

/// A waiting command: when it came, in microseconds, and, below, the lane that gave the number, so
/// that commands that wait at several lanes have one order: that of their coming.
pub type Number = u64;

/// Bits of a `Number` that name the lane that gave it.
const LANE_BITS: u32 = 10;
/// Clients that went while their command was parked: more are not remembered.
const GONE_MAX: usize = 4096;

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

/// Which of its attempts a waiting command makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    First,
    /// It waits already; whether it is to be refused when a key is of another type.
    Again {
        needs_keys: bool,
    },
    /// Its time is over: it answers what it answers then.
    Last,
}

/// Who waits for keys of this lane.
pub struct Waiter {
    who: Who,
    pub keys: Vec<OwnedKey>,
    times: Times,
    /// See `Wait::needs_keys`.
    needs_keys: bool,
}

impl Waiter {
    /// The lane that runs its command, if its keys are of several lanes.
    pub fn leader(&self) -> Option<LaneId> {
        match self.who {
            Who::Here(..) => None,
            Who::Leader(lane) => Some(lane),
        }
    }
}

/// When a waiting command runs though nothing has changed, by the steady clock.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    /// It is answered with nothing then.
    until: Option<Millis>,
    /// It tries again then.
    again: Option<Millis>,
}

impl Times {
    fn of(wait: &Wait) -> Self {
        Self { until: wait.until, again: wait.again }
    }

    fn next(self) -> Option<Millis> {
        self.until.into_iter().chain(self.again).min()
    }

    fn is_over(self, now: Millis) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

enum Who {
    /// A command all of whose keys are here: alone in its parcel, of a connection of that lane.
    Here(LaneId, Box<Parcel>),
    /// The lane that runs a command of several lanes, to be told.
    Leader(LaneId),
}

/// A command of several lanes that this lane runs when one of them says that a key has changed.
struct Leader {
    connection: ConnectionId,
    sequence: u32,
    /// None: it is running.
    commands: Option<Box<Parcel>>,
    lanes: Vec<LaneId>,
    times: Times,
    needs_keys: bool,
    /// Its time has ended while it was running.
    expired: bool,
}

/// The waiting commands of a lane.
#[derive(Default)]
pub struct Blocked {
    pub waiters: HashMap<Number, Waiter>,
    leaders: HashMap<Number, Leader>,
    /// Of keys that have changed: who tries next.
    pub walks: HashMap<OwnedKey, Walk>,
    /// Clients that went before their parked command came to wait.
    gone: HashSet<(LaneId, ReturnTo)>,
    /// Of each key that is waited for.
    pub queues: HashMap<OwnedKey, Queue>,
    /// When who runs though nothing has changed.
    timeouts: BTreeSet<(Millis, Number)>,
    /// Clients of this lane whose command may be waiting, here or elsewhere, by their ids.
    clients: HashMap<u64, ConnectionId>,
    /// Keys whose walk stands at a command of this lane, because its slots are held.
    pub deferred: Vec<OwnedKey>,
    last: Number,
}

impl Blocked {
    /// How many commands wait whose keys are here, or that this lane leads: each counts once in all.
    pub fn commands(&self) -> usize {
        let here = |waiter: &&Waiter| matches!(waiter.who, Who::Here(..));
        self.waiters.values().filter(here).count() + self.leaders.len()
    }

    /// How many keys are waited for.
    pub fn keys(&self) -> usize {
        self.queues.len()
    }

    /// A number that is greater than all before. Asks the clock itself: the turn of a lane that had
    /// to wait for its core has an old time, and who came to another lane before must stay before.
    fn number(&mut self, lane: LaneId) -> Number {
        self.last = (self.last + 1).max(clock::boot_us());
        self.last << LANE_BITS | u64::from(lane.0)
    }

    /// A command is to run at the next of these times.
    fn set_timer(&mut self, times: Times, number: Number) {
        if let Some(next) = times.next() {
            self.timeouts.insert((next, number));
        }
    }

    fn end_timer(&mut self, times: Times, number: Number) {
        if let Some(next) = times.next() {
            self.timeouts.remove(&(next, number));
        }
    }

    /// The command of this place of a connection.
    fn find(&self, from: LaneId, place: ReturnTo) -> Option<Number> {
        let is_it = |waiter: &Waiter| match &waiter.who {
            Who::Here(lane, parcel) => *lane == from && parcel.requests[0].return_to == place,
            Who::Leader(_) => false,
        };
        let leads = |leader: &Leader| {
            let Leader { connection, sequence, .. } = *leader;
            place == ReturnTo::Place { connection, sequence }
        };
        let here = self.waiters.iter().find(|(_, waiter)| is_it(waiter)).map(|(number, _)| *number);
        // Those that this lane leads are of its own connections.
        here.or_else(|| {
            self.leaders.iter().find(|(_, leader)| leads(leader)).map(|(number, _)| *number)
        })
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
        let alone = Parcel::of_one(*request, args);
        if let Some((parcel, wait)) = self.attempt(from, alone, Attempt::First) {
            self.block(from, parcel, &wait);
        }
    }

    /// Runs a command that stands alone in its parcel and sends its answer; gives it back if it
    /// wants to wait.
    fn attempt(
        &mut self,
        from: LaneId,
        mut parcel: Box<Parcel>,
        attempt: Attempt,
    ) -> Option<(Box<Parcel>, Box<Wait>)> {
        let request = parcel.requests[0];
        let mut replies = std::mem::take(&mut parcel.replies);
        let start = replies.mark();
        let mut slices = Slices::new();
        parcel.slices(&request, &mut slices);
        let args = Args::new(&slices, &parcel.blobs);
        let manner = (request.manner(self.handler_limits), attempt);
        // What it touches is not the doing of whoever has woken it.
        self.tracking.writer = None;
        let waited = run_waiting(&mut self.store, &request, args, manner, &mut replies);
        if let Waited::Answered = waited {
            let answer = &replies.bytes[start.bytes_before()..];
            if answer.first() == Some(&b'-') {
                self.stats.failed(request.spec.id, answer);
            } else if let Some(mark) = request.mark {
                self.remember_reads(from, mark, request.database, request.spec, args);
            }
        }
        drop(slices);
        parcel.replies = replies;
        match waited {
            Waited::Answered => {
                let to = parcel.replies.mark();
                parcel.answers.push((request.return_to, Stretch { from: start, to }));
                parcel.clear_requests();
                self.deliver(from, parcel);
                self.hand_out_touches_of(request.mark.map(|mark| (from, mark.connection)));
                None
            }
            Waited::Waits(wait) => Some((parcel, wait)),
            Waited::Aside => {
                self.begin_aside(Aside::of_request(from, parcel, None));
                None
            }
        }
    }

    /// Puts a command into the queues of its keys.
    fn block(&mut self, from: LaneId, parcel: Box<Parcel>, wait: &Wait) {
        let now = self.store.now().steady;
        if wait.until.is_some_and(|until| until <= now) {
            self.attempt(from, parcel, Attempt::Last);
            return;
        }
        let parcel = match &wait.arguments {
            None => parcel,
            Some(arguments) => {
                let slices: Slices<'_> = arguments.iter().map(|argument| &argument[..]).collect();
                Parcel::of_one(parcel.requests[0], Args::new(&slices, &[]))
            }
        };
        let request = parcel.requests[0];
        let mut slices = Slices::new();
        parcel.slices(&request, &mut slices);
        let keys = request.spec.key_positions(slices.len(), |index| slices[index]);
        let keys = keys.map(|index| self.store.key(request.database, slices[index]).into());
        let keys: Vec<OwnedKey> = keys.collect();
        drop(slices);
        if self.blocked.gone.remove(&(from, request.return_to)) {
            return;
        }
        let number = self.blocked.number(self.lane);
        let who = Who::Here(from, parcel);
        let (times, needs_keys) = (Times::of(wait), wait.needs_keys);
        self.enqueue(number, Waiter { who, keys, times, needs_keys });
    }

    fn enqueue(&mut self, number: Number, waiter: Waiter) {
        for key in &waiter.keys {
            let queue = self.blocked.queues.entry(key.clone()).or_default();
            queue.all.insert(number);
            if waiter.needs_keys {
                queue.needing.insert(number);
            }
            self.interest.want(&mut self.store, Party::Blocked, &key.as_key());
        }
        self.blocked.set_timer(waiter.times, number);
        self.blocked.waiters.insert(number, waiter);
    }

    pub fn dequeue(&mut self, number: Number) -> Option<Waiter> {
        let waiter = self.blocked.waiters.remove(&number)?;
        for key in &waiter.keys {
            // A key may be named twice.
            let Some(queue) = self.blocked.queues.get_mut(key) else { continue };
            queue.all.remove(&number);
            queue.needing.remove(&number);
            if queue.all.is_empty() {
                self.blocked.queues.remove(key);
                self.interest.forget(&mut self.store, Party::Blocked, &key.as_key());
            }
        }
        self.blocked.end_timer(waiter.times, number);
        Some(waiter)
    }

    /// Runs a command of this lane that waits; it goes on waiting if there is nothing for it.
    pub fn try_again(&mut self, number: Number) {
        let Some(waiter) = self.dequeue(number) else { return };
        let Waiter { who, keys, times, needs_keys } = waiter;
        let Who::Here(from, parcel) = who else {
            unreachable!("a leader's lane runs its command");
        };
        if let Some((parcel, wait)) = self.attempt(from, parcel, Attempt::Again { needs_keys }) {
            // Its time began when it came.
            let times = Times { again: wait.again, ..times };
            let who = Who::Here(from, parcel);
            self.enqueue(number, Waiter { who, keys, times, needs_keys });
        }
    }

    /// Whether a command over several lanes holds the slot of a key that this one would take from.
    pub fn is_held(&self, number: Number) -> bool {
        self.locks.any()
            && self.blocked.waiters.get(&number).is_some_and(|waiter| {
                matches!(waiter.who, Who::Here(..))
                    && waiter.keys.iter().any(|key| self.locks.holds(key.slot))
            })
    }

    pub fn tell_leader(&mut self, lane: LaneId, number: Number) {
        if lane == self.lane {
            self.leader_ready(number);
        } else {
            self.outbox.post(lane, Mail::Ready(number));
        }
    }

    /// A command of several lanes has found nothing and waits for these keys of this lane.
    pub fn watch_for(&mut self, waits: &Waits) -> Number {
        let own =
            |(database, bytes): &(Database, Box<[u8]>)| self.store.key(*database, bytes).into();
        let keys: Vec<OwnedKey> = waits.keys.iter().map(own).collect();
        // It may be there from the time before.
        self.dequeue(waits.number);
        let who = Who::Leader(waits.leader);
        let (times, needs_keys) = (Times::default(), waits.needs_keys);
        self.enqueue(waits.number, Waiter { who, keys, times, needs_keys });
        waits.number
    }

    /// A command of several lanes has ended.
    pub fn forget_waiter(&mut self, number: Number) {
        if self.dequeue(number).is_some() {
            let walks = self.blocked.take_walks(number);
            self.walk_on(walks);
        }
    }

    /// A command of several lanes has found nothing to take: its slots become free, and it waits.
    pub fn lead(&mut self, mut together: Together) {
        let wait = together.wait.take().expect("it waits");
        let (now, lane) = (self.store.now().steady, self.lane);
        let number = together.number.unwrap_or_else(|| self.blocked.number(lane));
        let (connection, sequence) = (together.connection, together.sequence);
        let here = self.connections.get(connection).is_some_and(|connection| {
            connection.blocked.is_some_and(|(place, _)| place == sequence)
        });
        let keys = together.keys(0..1, self.live.databases);
        let lanes = self.shared.lanes_of(keys.iter().map(|(slot, _)| slot));
        let mut commands = std::mem::take(&mut together.commands);
        let (mut times, needs_keys) = (Times::of(&wait), wait.needs_keys);
        if let Some(arguments) = wait.arguments {
            let slices: Slices<'_> = arguments.iter().map(|argument| &argument[..]).collect();
            commands = Parcel::of_one(commands.requests[0], Args::new(&slices, &[]));
        }
        let before = self.blocked.leaders.remove(&number);
        let expired = before.is_some_and(|leader| {
            // Its time began when it came.
            times.until = leader.times.until;
            self.blocked.end_timer(leader.times, number);
            leader.expired
        });
        self.blocked.set_timer(times, number);
        let commands = Some(commands);
        let leader = Leader { connection, sequence, commands, lanes, times, needs_keys, expired };
        // First: with the slots free, a lane may say at once that a key has changed.
        self.blocked.leaders.insert(number, leader);
        self.release_to_wait(&mut together, (number, needs_keys), &keys);
        if !here {
            self.unblock(number, Unblock::Gone);
        } else if expired || times.is_over(now) {
            self.unblock(number, Unblock::Timeout);
        }
    }

    /// A command of several lanes is to let an older one try first: what it waits for is as before.
    pub fn wait_as_before(&self, number: Number, needs_keys: bool) -> Box<Wait> {
        let times =
            self.blocked.leaders.get(&number).map(|leader| leader.times).unwrap_or_default();
        let Times { until, again } = times;
        Box::new(Wait { until, again, needs_keys, arguments: None })
    }

    /// A lane says that a key has changed.
    pub fn leader_ready(&mut self, number: Number) {
        let leader = self.blocked.leaders.get_mut(&number);
        // Not there: it has ended, and says so to the lanes.
        let Some(leader) = leader else { return };
        let (connection, sequence) = (leader.connection, leader.sequence);
        // Running: it sees the change, since it holds the slots before it looks.
        let Some(commands) = leader.commands.take() else { return };
        let needs_keys = leader.needs_keys;
        let mut together = Together::new(connection, sequence, commands);
        together.number = Some(number);
        together.needs_keys = needs_keys;
        self.lock_and_run(together, &[], false);
    }

    /// A command of several lanes has got what it waited for, or has been refused.
    pub fn leader_served(&mut self, number: Number) {
        let Some(leader) = self.blocked.leaders.remove(&number) else { return };
        self.blocked.end_timer(leader.times, number);
        for lane in leader.lanes {
            if lane == self.lane {
                self.forget_waiter(number);
            } else {
                self.outbox.post(lane, Mail::Forget(number));
            }
        }
    }

    /// Answers those whose time is over.
    pub fn expire_blocked(&mut self) {
        let now = self.store.now().steady;
        let due: Vec<Number> = self
            .blocked
            .timeouts
            .range(..=(now, Number::MAX))
            .map(|(_, number)| *number)
            // Those whose keys are held are looked at again with the next tick.
            .filter(|number| !self.is_held(*number))
            .collect();
        for number in due {
            self.time_has_come(number, now);
        }
    }

    /// A waiting command's time is over, or time alone may have brought what it waits for.
    fn time_has_come(&mut self, number: Number, now: Millis) {
        let times = match (self.blocked.leaders.get(&number), self.blocked.waiters.get(&number)) {
            (Some(leader), _) => leader.times,
            (None, Some(waiter)) => waiter.times,
            (None, None) => return,
        };
        if times.is_over(now) {
            return self.unblock(number, Unblock::Timeout);
        }
        let Some(leader) = self.blocked.leaders.get_mut(&number) else {
            return self.try_again(number);
        };
        if let Some(again) = leader.times.again.take() {
            self.blocked.timeouts.remove(&(again, number));
            if let Some(until) = leader.times.until {
                self.blocked.timeouts.insert((until, number));
            }
        }
        self.leader_ready(number);
    }

    /// Ends a wait.
    fn unblock(&mut self, number: Number, how: Unblock) {
        if self.blocked.leaders.contains_key(&number) {
            return self.unblock_leader(number, how);
        }
        let Some(Waiter { who: Who::Here(from, parcel), .. }) = self.dequeue(number) else {
            return;
        };
        match how {
            Unblock::Timeout => {
                self.attempt(from, parcel, Attempt::Last);
            }
            Unblock::Error => self.answer_unblocked(from, parcel),
            Unblock::Gone => self.outbox.recycle(parcel),
        }
    }

    fn unblock_leader(&mut self, number: Number, how: Unblock) {
        let leader = self.blocked.leaders.get_mut(&number).expect("looked up by the caller");
        if let Some(next) = std::mem::take(&mut leader.times).next() {
            self.blocked.timeouts.remove(&(next, number));
        }
        let (connection, sequence) = (leader.connection, leader.sequence);
        match (how, leader.commands.take()) {
            (Unblock::Timeout | Unblock::Error, None) => leader.expired = true,
            (Unblock::Timeout, Some(commands)) => {
                let mut together = Together::new(connection, sequence, commands);
                together.number = Some(number);
                together.expired = true;
                self.lock_and_run(together, &[], false);
            }
            (Unblock::Error, Some(commands)) => {
                self.leader_served(number);
                let mut parcel = commands;
                parcel.requests[0].return_to = ReturnTo::Place { connection, sequence };
                self.answer_unblocked(self.lane, parcel);
            }
            (Unblock::Gone, _) => self.leader_served(number),
        }
    }

    fn answer_unblocked(&mut self, from: LaneId, mut parcel: Box<Parcel>) {
        const UNBLOCKED: CommandError =
            CommandError::Fixed("UNBLOCKED client unblocked via CLIENT UNBLOCK");
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
        let place = ReturnTo::Place { connection, sequence };
        match self.blocked.find(from, place) {
            Some(number) => self.unblock(number, how),
            // It has been answered meanwhile, or is still parked behind a held slot.
            None if how == Unblock::Gone && self.locks.any() => {
                if self.blocked.gone.len() < GONE_MAX {
                    self.blocked.gone.insert((from, place));
                }
            }
            None => self.blocked.gone.clear(),
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

/// What came of a command that may wait.
pub enum Waited {
    /// Its answer is written.
    Answered,
    /// There is nothing to take.
    Waits(Box<Wait>),
    /// There is so much to take that it must run aside; nothing has happened.
    Aside,
}

/// Runs a command that may wait, if `manner` says so too.
pub fn run_waiting(
    store: &mut Store,
    request: &Request,
    args: Args<'_>,
    (manner, attempt): (Manner, Attempt),
    out: &mut ReplyBuffer,
) -> Waited {
    let Run::Store(handler) = request.spec.run else { unreachable!("only commands on data wait") };
    let start = out.mark();
    let mut reply = RespReply::new(out, manner.version);
    let mut context = Context {
        store,
        args,
        routed: request.routed,
        database: manner.database,
        limits: manner.limits,
        waiting: if attempt == Attempt::Last { Waiting::Over } else { Waiting::Allowed },
        scripts: None,
        lookups: None,
        reply: &mut reply,
    };
    if let Err(error) = handler(&mut context) {
        out.truncate(start);
        match error {
            CommandError::Blocked(wait) => return Waited::Waits(wait),
            CommandError::Aside => return Waited::Aside,
            // A key of another type is as good as none for a command that waits already.
            CommandError::WrongType if attempt == (Attempt::Again { needs_keys: false }) => {
                return Waited::Waits(Box::default());
            }
            error => RespReply::new(out, manner.version).error_line(&error),
        }
    }
    Waited::Answered
}
