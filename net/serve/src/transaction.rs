//! Transactions of this lane's connections: commands are queued from MULTI on and run together at
//! EXEC. If all keys are of this lane they run in place, without locks; if they are of one other lane
//! the whole transaction travels there; if they are of several, or if there are commands on whole
//! databases, it runs under locks (`together`). Commands about the connection or the server run here,
//! in their order within the answer, after those on data.

use ringlane_base::{Database, LaneId, Slot, number};
use ringlane_command::{
    Args, CommandError, CommandSpec, Flags, Merge, Reply, Run, ServeCommand, parse, table,
};
use ringlane_resp::Version;

use crate::aside::Aside;
use crate::clock;
use crate::core::Core;
use crate::execute::Call;
use crate::gather::{Gather, Kind, Recipient};
use crate::locks::Waiter;
use crate::parcel::{Errand, Mail, Parcel, Request, ReturnTo, WatchRequest};
use crate::plan::Target;
use crate::reply::RespReply;
use crate::reply_buffer::{ReplyBuffer, Stretch};
use crate::ring::ConnectionId;
use crate::run::{Manner, Ran, Slices};
use crate::session::{Door, ReplyMode};
use crate::together::{Heavy, Together};
use crate::watch::WatchId;

const NOT_ALLOWED: &str = "ERR Command not allowed inside a transaction";
const NO_MONITOR: &str = "ERR MONITOR isn't allowed for DENY BLOCKING client";
const TOO_LONG: &str = "ERR Transaction is too long: it passes transaction-commands-max or \
    transaction-bytes-max";

/// A transaction of more keys runs under locks and in slices, whichever lanes have them: some 100 µs
/// of short commands on one lane.
const LIGHT_KEYS_MAX: usize = 512;

/// The lanes whose keys a transaction is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lanes {
    None,
    One(LaneId),
    Several,
}

impl Lanes {
    fn add(&mut self, lane: LaneId) {
        *self = match *self {
            Self::None => Self::One(lane),
            Self::One(one) if one == lane => return,
            Self::One(_) | Self::Several => Self::Several,
        };
    }
}

/// The commands that a client has queued since MULTI.
#[allow(clippy::struct_excessive_bools, reason = "independent facts about the queue")]
pub struct Transaction {
    commands: Box<Parcel>,
    /// A command was refused: EXEC will refuse the whole.
    spoiled: bool,
    /// The database and the protocol that the next command will find, after those before it.
    database: Database,
    version: Version,
    lanes: Lanes,
    /// On a lane door: the slot of the first key, and whether others have other slots.
    slot: Option<Slot>,
    several_slots: bool,
    /// There are commands on whole databases.
    on_databases: bool,
    /// One of them goes through all keys, which takes slices.
    walks: bool,
    writes: bool,
    /// One of them may need memory.
    needs_memory: bool,
    /// There are commands about the connection or the server.
    serves: bool,
    /// How many keys they name.
    keys: usize,
    /// One of them is of very many keys.
    wide: bool,
}

impl Transaction {
    /// `commands`: an empty parcel.
    pub fn new(database: Database, version: Version, commands: Box<Parcel>) -> Self {
        Self {
            commands,
            spoiled: false,
            database,
            version,
            lanes: Lanes::None,
            slot: None,
            several_slots: false,
            on_databases: false,
            walks: false,
            writes: false,
            needs_memory: false,
            serves: false,
            keys: 0,
            wide: false,
        }
    }

    pub fn is_spoiled(&self) -> bool {
        self.spoiled
    }

    /// Whether its keys are of more than one slot, as far as it came through a lane door.
    pub fn is_of_several_slots(&self) -> bool {
        self.several_slots
    }

    /// Whether it is refused while there is no memory.
    pub fn needs_memory(&self) -> bool {
        self.needs_memory
    }

    /// How many commands are queued.
    pub fn len(&self) -> usize {
        self.commands.requests.len()
    }

    /// Bytes that the queue takes, large values not included.
    pub fn bytes(&self) -> usize {
        self.commands.request_bytes()
    }

    /// Whether it would hold its lanes for longer than a turn may take.
    fn is_heavy(&self) -> bool {
        self.wide || self.keys > LIGHT_KEYS_MAX
    }

    /// Nothing of it will run, so nothing of it is kept.
    fn spoil(&mut self) {
        self.spoiled = true;
        *self.commands = Parcel::default();
    }

    /// What the command, queued at lane `here`, asks of where and how the whole will run.
    fn add(&mut self, call: &Call<'_>, here: LaneId) {
        let Call { spec, target, routed, args, .. } = *call;
        self.keys += spec.keys_of(args).len();
        self.writes |= spec.may_replicate();
        self.needs_memory |= spec.flags.contains(Flags::DENYOOM);
        match spec.run {
            Run::Serve(_) => self.serves = true,
            Run::Store(_) if spec.is_on_databases() => {
                self.on_databases = true;
                self.walks |= spec.merge == Merge::SpreadJoin;
            }
            Run::Store(_) => match target {
                Target::Here if routed.is_none() && spec.merge == Merge::Single => {}
                Target::Here => self.lanes.add(here),
                Target::Lane(lane) => self.lanes.add(lane),
                Target::Several => self.lanes = Lanes::Several,
                // Whose they are is found when their slots are.
                Target::Slices => self.wide = true,
            },
        }
    }

    /// What the command changes for those that are queued after it.
    fn foresee(&mut self, spec: &CommandSpec, args: Args<'_>, databases: u8) {
        match spec.run {
            Run::Serve(ServeCommand::Select) => {
                self.database = parse::database(&args[1], databases).unwrap_or(self.database);
            }
            Run::Serve(ServeCommand::Hello) => match args.get(1).and_then(number::parse_integer) {
                Some(2) => self.version = Version::Resp2,
                Some(3) => self.version = Version::Resp3,
                Some(_) | None => {}
            },
            Run::Serve(_) | Run::Store(_) => {}
        }
    }
}

/// Whether the command waits for EXEC when it is said after MULTI.
pub fn is_queued(spec: &CommandSpec) -> bool {
    !matches!(
        spec.run,
        Run::Serve(
            ServeCommand::Multi
                | ServeCommand::Exec
                | ServeCommand::Discard
                | ServeCommand::Watch
                | ServeCommand::Quit
                | ServeCommand::Reset
        )
    )
}

impl Core {
    /// Keeps a command until EXEC.
    #[cold]
    pub fn queue_command(&mut self, call: &Call<'_>, manner: Manner) {
        let Call { connection: id, spec, routed, args, .. } = *call;
        if spec.flags.contains(Flags::NO_MULTI) {
            self.spoil_transaction(id);
            return self.refuse(id, &CommandError::Fixed(NOT_ALLOWED));
        }
        let databases = self.live.databases;
        let connection = self.connections.get(id).expect("looked up by the caller");
        let door = connection.session.door;
        let transaction = connection.session.transaction.as_mut().expect("asked by the caller");
        if !transaction.spoiled {
            let bytes: usize = args.from(1).iter().map(|arg| arg.len()).sum();
            if transaction.len() >= self.live.transaction_commands_max
                || transaction.bytes() + bytes > self.live.transaction_bytes_max
            {
                transaction.spoil();
                self.stats.transactions_too_long += 1;
                return self.refuse(id, &CommandError::Fixed(TOO_LONG));
            }
            // As it will be then, after those before it.
            let Transaction { database, version, .. } = **transaction;
            let manner = Manner { database, version, ..manner };
            let return_to = ReturnTo::Place { connection: id, sequence: 0 };
            let request = Request::new(return_to, spec, routed, manner);
            transaction.commands.push(request, args.from(1), args.blobs());
            transaction.foresee(spec, args, databases);
            transaction.add(call, self.lane);
            if door == Door::Lane
                && let Some(index) = spec.keys_of(args).next()
            {
                // A command's own keys are of one slot, or it would have been refused.
                let slot = Slot::of(&args[index]);
                transaction.several_slots |= *transaction.slot.get_or_insert(slot) != slot;
            }
        }
        self.reply(id, |reply| reply.simple("QUEUED"));
    }

    /// A command was refused: if it was meant for a transaction, that will not run.
    pub fn spoil_transaction(&mut self, id: ConnectionId) {
        let connection = self.connections.get(id).expect("looked up by the caller");
        if let Some(transaction) = &mut connection.session.transaction {
            transaction.spoil();
        }
    }

    /// The same for one that is no command; what it is answered.
    #[cold]
    pub fn spoil_by(
        &mut self,
        id: ConnectionId,
        args: Args<'_>,
        error: CommandError,
    ) -> CommandError {
        self.spoil_transaction(id);
        let row = args.get(0).and_then(table::lookup);
        if !row.is_some_and(|row| matches!(row.run, Run::Serve(ServeCommand::Exec))) {
            return error;
        }
        self.leave_transaction(id);
        let text = error.to_string();
        let reason = text.strip_prefix("ERR ").unwrap_or(&text);
        CommandError::Text(format!("EXECABORT Transaction discarded because of: {reason}"))
    }

    /// Whether the connection's transaction would change data.
    pub fn transaction_writes(&mut self, id: ConnectionId) -> bool {
        let session = self.connections.get(id).map(|connection| &connection.session);
        session.and_then(|session| session.transaction.as_ref()).is_some_and(|it| it.writes)
    }

    /// DISCARD, RESET, the end of the connection: nothing is queued or watched any more.
    pub fn leave_transaction(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get(id) {
            connection.session.transaction = None;
            self.end_watching(id);
        }
    }

    /// Runs what the connection has queued.
    pub fn run_transaction(&mut self, id: ConnectionId, transaction: Transaction) {
        let watched = self.take_watched_slots(id);
        let mut lanes = transaction.lanes;
        let slots = watched.as_ref().map_or(&[][..], |(_, slots)| slots);
        for slot in slots {
            lanes.add(self.shared.lane_of(*slot));
        }
        let watch = watched.as_ref().map(|(watch, _)| *watch);
        let connection = self.connections.get(id).expect("its command is running");
        let muted = connection.session.reply_mode != ReplyMode::On;
        let lane_alone = connection.session.door == Door::Lane || self.shared.lanes() == 1;
        let lane = match lanes {
            Lanes::One(lane) => lane,
            Lanes::None | Lanes::Several => self.lane,
        };
        let of_one_lane = lane_alone || lanes != Lanes::Several;
        let in_place = if transaction.on_databases {
            lane_alone && !transaction.walks
        } else {
            of_one_lane && lane == self.lane
        };
        if in_place && !self.locks.any() && !transaction.serves && !transaction.is_heavy() {
            if watch.is_some_and(|watch| self.unwatch(watch)) {
                self.stats.transactions_touched += 1;
                return self.reply(id, |reply| reply.null_array());
            }
            self.stats.transactions_executed += 1;
            return self.run_in_place(id, transaction, muted);
        }
        self.show_transaction(id, &transaction.commands, 0);
        let connection = self.connections.get(id).expect("its command is running");
        connection.barrier = true;
        let sequence = connection.reserve_place();
        let has = (transaction.wide, transaction.on_databases);
        let heavy = transaction.is_heavy().then(|| Box::new(Heavy::new(has, slots)));
        let mut together = Together::new(id, sequence, transaction.commands);
        together.is_transaction = true;
        together.muted = muted;
        together.serves = transaction.serves;
        together.watch = watch;
        together.heavy = heavy;
        if transaction.on_databases || !of_one_lane || together.heavy.is_some() {
            return self.lock_and_run(together, slots, lane_alone);
        }
        let commands = std::mem::take(&mut together.commands);
        let together = self.togethers.under_way.insert(together);
        let errand = Box::new(Errand { together, commands, watch, touched: false, share: None });
        if lane == self.lane {
            self.take_errand(lane, errand);
        } else {
            self.outbox.post(lane, Mail::Errand(errand));
        }
    }

    /// Shows to those who watch what is about to run, from command `next` on.
    fn show_transaction(&mut self, id: ConnectionId, commands: &Parcel, next: usize) {
        if !self.monitors.any() {
            return;
        }
        for request in &commands.requests[next..] {
            let mut slices = Slices::new();
            commands.slices(request, &mut slices);
            self.show_command(id, request.spec, Args::new(&slices, &commands.blobs));
        }
    }

    /// All keys are of this lane, no slot is held, and all commands are on data: they run one after
    /// another, their replies straight into the connection's output.
    fn run_in_place(&mut self, id: ConnectionId, transaction: Transaction, muted: bool) {
        let commands = transaction.commands;
        let connection = self.connections.get(id).expect("its command is running");
        if !muted {
            let version = connection.session.version;
            let out = connection.reply_target();
            let from = out.mark();
            RespReply::new(out, version).array_header(commands.requests.len());
            connection.reply_written(from);
            Self::mark_dirty(&mut self.dirty, connection);
        }
        let (slice_begun, slice_ticks) = (clock::ticks(), self.slice_ticks());
        let mut left = None;
        self.interest.hold();
        // Checked at EXEC as a whole: from there on nothing is refused for want of memory.
        self.store.set_passes_limit(true);
        for (position, request) in commands.requests.iter().enumerate() {
            let begun = clock::ticks();
            if begun.wrapping_sub(slice_begun) > slice_ticks {
                left = Some(position);
                break;
            }
            let mut slices = Slices::new();
            commands.slices(request, &mut slices);
            let args = Args::new(&slices, &commands.blobs);
            let Request { spec, routed, .. } = *request;
            let call = Call { connection: id, spec, target: Target::Here, routed, args };
            if self.execute_here(&call, request.manner(self.handler_limits)) == Ran::Aside {
                left = Some(position);
                break;
            }
            if self.monitors.any() {
                self.show_command(id, spec, args);
                self.show_called();
            }
            if muted && let Some(connection) = self.connections.get(id) {
                connection.muffle_last();
            }
            self.observe(id, spec, clock::ticks().wrapping_sub(begun), &slices);
        }
        self.store.set_passes_limit(false);
        self.interest.release();
        let writer = commands.writer(self.lane);
        match left {
            Some(next) => {
                self.show_transaction(id, &commands, next);
                self.leave_the_rest(id, commands, next, muted);
            }
            None => self.outbox.recycle(commands),
        }
        self.hand_out_touches_of(writer);
    }

    /// A transaction has run for as long as a turn may take, or a command of it wants more: the
    /// rest runs aside, and the connection waits for it.
    #[cold]
    fn leave_the_rest(
        &mut self,
        id: ConnectionId,
        commands: Box<Parcel>,
        next: usize,
        muted: bool,
    ) {
        let connection = self.connections.get(id).expect("its command is running");
        (connection.barrier, connection.aside) = (true, true);
        let sequence = connection.reserve_place();
        if muted {
            connection.muffle_last();
        }
        self.begin_aside(Aside::of_rest(self.lane, (id, sequence), commands, next));
    }

    /// Runs a queued command about the connection or the server.
    fn serve_queued(
        &mut self,
        id: ConnectionId,
        spec: &'static CommandSpec,
        command: ServeCommand,
        args: Args<'_>,
    ) {
        if command == ServeCommand::Monitor {
            // Its lines would fall between the answers of the transaction.
            return self.refuse(id, &CommandError::Fixed(NO_MONITOR));
        }
        let mode = |core: &mut Self| core.connections.get(id).map(|it| it.session.reply_mode);
        let before = mode(self);
        self.serve(id, spec, command, args);
        let after = mode(self);
        if before != after && after != Some(ReplyMode::On) {
            // CLIENT REPLY OFF and SKIP say nothing; the array must have its element all the same.
            self.reply(id, |reply| reply.simple("OK"));
        }
    }

    /// A transaction whose keys are all of this lane. It waits if one of their slots is held.
    pub fn take_errand(&mut self, from: LaneId, mut errand: Box<Errand>) {
        if errand.share.is_some() {
            return self.begin_share(from, errand);
        }
        if self.locks.any() {
            let watched = errand.watch.map_or(&[][..], |watch| self.watched_keys(watch));
            let held = watched.iter().map(|key| key.slot).find(|slot| self.locks.holds(*slot));
            if let Some(slot) = held.or_else(|| self.held_slot(&errand.commands)) {
                return self.locks.park(slot, Waiter::Errand(from, errand));
            }
        }
        errand.touched = errand.watch.is_some_and(|watch| self.unwatch(watch));
        if errand.touched {
            return self.return_errand(from, errand);
        }
        self.run_errand(from, errand);
    }

    /// Runs the commands on data of a transaction whose keys are all of this lane, and free.
    fn run_errand(&mut self, from: LaneId, mut errand: Box<Errand>) {
        let mut replies = std::mem::take(&mut errand.commands.replies);
        let mut answers = std::mem::take(&mut errand.commands.answers);
        self.interest.hold();
        let mut ticks = clock::ticks();
        let begun = ticks;
        let mut left = None;
        self.store.set_passes_limit(true);
        for (position, request) in errand.commands.requests.iter().enumerate() {
            if matches!(request.spec.run, Run::Serve(_)) {
                continue;
            }
            let mut slices = Slices::new();
            errand.commands.slices(request, &mut slices);
            let args = Args::new(&slices, &errand.commands.blobs);
            let start = replies.mark();
            if ticks.wrapping_sub(begun) > self.slice_ticks()
                || self.run_request(from, request, args, &mut replies, &mut ticks) == Ran::Aside
            {
                left = Some(position);
                break;
            }
            answers.push((request.return_to, Stretch { from: start, to: replies.mark() }));
        }
        self.store.set_passes_limit(false);
        self.interest.release();
        let writer = errand.commands.writer(from);
        errand.commands.replies = replies;
        errand.commands.answers = answers;
        let Some(next) = left else {
            self.hand_out_touches_of(writer);
            return self.return_errand(from, errand);
        };
        // Its slots are held before anybody hears of what it has changed so far.
        self.begin_aside(Aside::of_errand(from, errand, next));
        self.hand_out_touches_of(writer);
    }

    /// Sends a transaction that has run, or not, back to its client's lane.
    pub fn return_errand(&mut self, from: LaneId, errand: Box<Errand>) {
        if from == self.lane {
            self.errand_done(*errand);
        } else {
            self.outbox.post(from, Mail::ErrandDone(errand));
        }
    }

    /// A transaction has run, or not, where its keys are.
    pub fn errand_done(&mut self, errand: Errand) {
        if let Some(share) = errand.share {
            return self.take_share(share, errand);
        }
        let mut together = self.togethers.under_way.remove(errand.together);
        together.commands = errand.commands;
        together.touched = errand.touched;
        together.replies = std::mem::take(&mut together.commands.replies);
        let answers = std::mem::take(&mut together.commands.answers);
        together.stretches = answers.into_iter().map(|(_, stretch)| stretch).collect();
        self.answer_together(together);
    }

    /// Answers what has run elsewhere or under locks.
    pub fn answer_together(&mut self, mut together: Together) {
        let (id, sequence) = (together.connection, together.sequence);
        if together.is_transaction {
            let stats = &mut self.stats;
            stats.transactions_touched += u64::from(together.touched);
            stats.transactions_executed += u64::from(!together.touched);
        }
        // Without a client, commands about it mean nothing any more.
        let Some(connection) = self.connections.get(id) else { return };
        let commands = &together.commands.requests;
        let mut out = ReplyBuffer::default();
        let mut reply = RespReply::new(&mut out, connection.session.version);
        if together.touched {
            reply.null_array();
        } else if together.is_transaction {
            reply.array_header(commands.len());
            if together.serves {
                connection.barrier = false;
                let header = if together.muted { &[][..] } else { &out.bytes };
                self.deliver_in_pieces(&together, header);
                return self.lift_barrier(id);
            }
        }
        out.append_all(&mut together.replies);
        let stretch = Stretch { from: ReplyBuffer::default().mark(), to: out.mark() };
        self.fill_place(id, sequence, &out, stretch);
        self.lift_barrier(id);
    }

    /// The commands about the connection or the server run now, between the answers of the others.
    fn deliver_in_pieces(&mut self, together: &Together, header: &[u8]) {
        let (id, sequence) = (together.connection, together.sequence);
        let Some(connection) = self.connections.get(id) else { return };
        let behind = connection.begin_group(sequence);
        let mut stretches = together.stretches.iter();
        for request in &together.commands.requests {
            match request.spec.run {
                Run::Store(_) => {
                    let stretch = stretches.next().expect("one for each command on data");
                    let Some(connection) = self.connections.get(id) else { return };
                    let out = connection.reply_target();
                    let from = out.mark();
                    out.append(&together.replies, *stretch);
                    connection.reply_written(from);
                }
                Run::Serve(command) => {
                    let begun = clock::ticks();
                    let mut slices = Slices::new();
                    together.commands.slices(request, &mut slices);
                    let args = Args::new(&slices, &together.commands.blobs);
                    self.serve_queued(id, request.spec, command, args);
                    let ticks = clock::ticks().wrapping_sub(begun);
                    self.observe(id, request.spec, ticks, &slices);
                }
            }
            if together.muted
                && let Some(connection) = self.connections.get(id)
            {
                connection.muffle_last();
            }
        }
        if let Some(connection) = self.connections.get(id) {
            connection.end_group(sequence, behind, header);
            Self::mark_dirty(&mut self.dirty, connection);
        }
    }
}

/// The client's side of watching keys.
impl Core {
    /// Has the keys' lanes watch them for the connection, which waits until they all do.
    pub fn begin_watching(&mut self, id: ConnectionId, keys: &[&[u8]]) {
        let connection = self.connections.get(id).expect("its command is running");
        let session = &mut connection.session;
        let (database, version) = (session.database, session.version);
        let watch = WatchId { client: session.id, round: session.watch_round };
        if session.watched.is_empty() {
            self.watches.connections += 1;
        }
        let mut requests: Vec<(LaneId, Vec<Box<[u8]>>)> = Vec::new();
        for bytes in keys {
            let key = self.store.key(database, bytes);
            session.watched.insert((database, key.slot, key.hash.0));
            let lane = self.shared.lane_of(key.slot);
            match requests.iter_mut().find(|(of, _)| *of == lane) {
                Some((_, keys)) => keys.push((*bytes).into()),
                None => requests.push((lane, vec![(*bytes).into()])),
            }
        }
        if let [(lane, _)] = requests[..]
            && lane == self.lane
            && !self.locks.any()
        {
            self.watch(watch, database, keys.iter().copied());
            return self.reply(id, |reply| reply.simple("OK"));
        }
        let to = self.reserve(id, true);
        let kind = Kind::Watched(watch);
        let gather = self.gathers.insert(Gather { to, version, remaining: requests.len(), kind });
        for (lane, keys) in requests {
            let request = Box::new(WatchRequest { gather, id: watch, database, keys });
            if lane == self.lane {
                self.take_watch_request(lane, request);
            } else {
                self.outbox.post(lane, Mail::Watch(request));
            }
        }
    }

    /// Keys of this lane are to be watched; those that a command holds, once it has changed them.
    pub fn take_watch_request(&mut self, from: LaneId, request: Box<WatchRequest>) {
        if self.locks.any() {
            let mut slots = request.keys.iter().map(|key| Slot::of(key));
            if let Some(slot) = slots.find(|slot| self.locks.holds(*slot)) {
                return self.locks.park(slot, Waiter::Watch(from, request));
            }
        }
        self.watch(request.id, request.database, request.keys.iter().map(|key| &**key));
        if from == self.lane {
            self.take_watched(request.gather);
        } else {
            self.outbox.post(from, Mail::Watched { gather: request.gather });
        }
    }

    /// A lane watches what it was asked to.
    pub fn take_watched(&mut self, gather: u32) {
        self.gathers.get(gather).add_watched();
        self.finish_gather(gather);
    }

    /// All lanes watch. If the client has gone meanwhile they heard of that before: once more.
    pub fn watching_began(&mut self, to: Recipient, watch: WatchId) {
        let Recipient::Place { connection, .. } = to else { return };
        if self.connections.get(connection).is_none() {
            for lane in 0..self.shared.lanes() as u16 {
                self.post_unwatch(LaneId(lane), watch);
            }
        }
    }

    /// Ends the connection's watching.
    pub fn end_watching(&mut self, id: ConnectionId) {
        let Some((watch, slots)) = self.take_watched_slots(id) else { return };
        for lane in self.shared.lanes_of(&slots) {
            self.post_unwatch(lane, watch);
        }
    }

    /// What the connection watches, the slots ascending. The next WATCH begins anew.
    fn take_watched_slots(&mut self, id: ConnectionId) -> Option<(WatchId, Vec<Slot>)> {
        let session = &mut self.connections.get(id)?.session;
        if session.watched.is_empty() {
            return None;
        }
        let watch = WatchId { client: session.id, round: session.watch_round };
        session.watch_round += 1;
        self.watches.connections -= 1;
        let watched = std::mem::take(&mut session.watched);
        let mut slots: Vec<Slot> = watched.into_iter().map(|(_, slot, _)| slot).collect();
        slots.sort_unstable();
        slots.dedup();
        Some((watch, slots))
    }

    /// Tells a lane that a client's marks end.
    pub fn post_unwatch(&mut self, lane: LaneId, watch: WatchId) {
        if lane == self.lane {
            self.unwatch(watch);
        } else {
            self.outbox.post(lane, Mail::Unwatch(watch));
        }
    }
}
