//! Runs planned commands: here, on the lane that owns the key, or on several. The parent branches;
//! what a command does is its handler's matter, how answers merge its row's.

use std::ops::Range;

use bytes::Bytes;
use ringlane_base::{LaneId, Slot};
use ringlane_command::{
    Args, CommandError, CommandSpec, Flags, FormedKeys, Merge, RoutedKey, Run, ServeCommand,
};

use crate::admin;
use crate::aside::Aside;
use crate::ask::Step;
use crate::clock;
use crate::connection::{Connection, Phase};
use crate::core::Core;
use crate::gather::{Gather, Kind, Recipient};
use crate::parcel::{Mail, Parcel, Request, ReturnTo};
use crate::plan::{Action, Batch, Target};
use crate::refusals::forbidden;
use crate::reply::RespReply;
use crate::reply_buffer::{ReplyBuffer, Stretch};
use crate::ring::{ConnectionId, Ring};
use crate::run::{Manner, Ran, Slices, run_handler, run_here};
use crate::session::{Door, ReplyMode};
use crate::transaction::is_queued;

/// A command of a connection: what it is, where it runs, and the words that it was said in.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub connection: ConnectionId,
    pub spec: &'static CommandSpec,
    pub target: Target,
    /// Its first key, hashed, if all its keys are of one lane.
    pub routed: Option<RoutedKey>,
    pub args: Args<'a>,
}

impl Core {
    /// Runs the commands of a batch in order.
    pub fn execute_batch(&mut self, batch: &Batch, ring: &Ring) {
        let mut ticks = clock::ticks();
        let begun = ticks;
        for (index, command) in batch.commands.iter().enumerate() {
            if !self.cuts.is_empty() && self.is_cut(command) {
                continue;
            }
            if self.pubsub.audience.has_run() && !joins_run(&command.action) {
                self.end_run();
            }
            let Some(connection) = self.connections.get(command.connection) else { continue };
            if connection.phase != Phase::Open {
                continue;
            }
            let mut slices = Slices::new();
            // Nobody watches, holds back or queues it: its many arguments are asked for as it runs.
            let later = command.is_in_slices()
                && connection.session.transaction.is_none()
                && self.pause.is_none()
                && !self.monitors.any();
            let blobs = if later {
                batch.first_arguments(command, ring, &mut slices);
                &[]
            } else {
                batch.arguments(command, ring, &mut slices)
            };
            let args = Args::new(&slices, blobs);
            match command.action {
                Action::Command { spec, target, routed } => {
                    let queued = connection.session.transaction.is_some() && is_queued(spec);
                    let id = command.connection;
                    let held = self.execute(&Call { connection: id, spec, target, routed, args });
                    let now = clock::ticks();
                    let later = self.asides.take_begun();
                    if (later || matches!(spec.run, Run::Serve(ServeCommand::Exec)))
                        && self.connections.get(command.connection).is_some_and(|it| it.barrier)
                    {
                        self.cut_behind(command);
                    }
                    self.longs.note_begun(index);
                    // What runs elsewhere or later is timed where it runs, what is queued when it runs.
                    let elsewhere = matches!(target, Target::Lane(_) | Target::Slices);
                    if !elsewhere && !queued && !later && !held {
                        let taken = now.wrapping_sub(ticks);
                        self.observe(command.connection, spec, taken, &slices);
                    }
                    ticks = now;
                    if now.wrapping_sub(begun) > self.batch_ticks
                        || self.must_pause(command.connection)
                    {
                        self.cut_for_time(command);
                    }
                }
                Action::Unresolved => self.refuse_unresolved(command.connection, args),
                Action::Malformed(error) => {
                    self.stats.protocol_errors += 1;
                    let text = format!("ERR Protocol error: {error}");
                    self.refuse(command.connection, &CommandError::Text(text));
                    self.drain(command.connection);
                }
            }
        }
        self.end_run();
    }

    /// Runs one command of a connection; whether a pause holds it back instead.
    #[inline]
    fn execute(&mut self, call: &Call<'_>) -> bool {
        let connection = self.connections.get(call.connection).expect("looked up by the caller");
        let waits = connection.barrier;
        let session = &mut connection.session;
        session.commands += 1;
        session.last_command = Some(call.spec.id);
        // Behind a command that is held back, of the same batch, the others of its connection wait.
        let held = self.pause.is_some() && (waits || self.is_paused(call.connection, call.spec));
        if held {
            self.hold_for_pause(call);
        } else {
            self.execute_now(call);
        }
        held
    }

    /// Runs one command that no pause holds back.
    #[inline]
    pub fn execute_now(&mut self, call: &Call<'_>) {
        let connection = self.connections.get(call.connection).expect("looked up by the caller");
        let mode = connection.session.reply_mode;
        let runs = self.dispatch(call);
        if self.monitors.any() && runs {
            self.show_command(call.connection, call.spec, call.args);
            self.show_called();
        }
        if mode != ReplyMode::On && !confirms_by_push(call.spec) {
            self.muffle(call.connection);
        }
    }

    /// Chooses how and where a command runs. False if it was refused, or waits for EXEC.
    #[inline]
    fn dispatch(&mut self, call: &Call<'_>) -> bool {
        let Call { connection: id, spec, target, args, .. } = *call;
        let connection = self.connections.get(id).expect("looked up by the caller");
        if connection.is_restricted()
            && let Some(error) = forbidden(connection, spec)
        {
            self.stats.rejected(spec.id);
            self.refuse(id, &error);
            return false;
        }
        let in_transaction = connection.session.transaction.is_some();
        let tracking = connection.tracking.as_mut();
        let mark = tracking.map(|tracking| tracking.mark(id, spec, in_transaction));
        let session = &mut connection.session;
        if !session.authenticated && !spec.flags.contains(Flags::NO_AUTH) {
            self.stats.rejected(spec.id);
            self.refuse(id, &CommandError::Fixed(admin::auth::NOAUTH));
            return false;
        }
        let manner = Manner {
            database: session.database,
            version: session.version,
            no_touch: session.no_touch,
            mark,
            limits: self.handler_limits,
        };
        if session.door == Door::Lane
            && (target != Target::Slices || in_transaction)
            && let Some(error) = self.wrong_door(id, spec, args)
        {
            self.stats.rejected(spec.id);
            self.spoil_transaction(id);
            self.refuse(id, &error);
            return false;
        }
        if spec.flags.contains(Flags::DENYOOM) && self.lacks_memory(target, in_transaction) {
            self.stats.rejected(spec.id);
            self.store.note_refused();
            self.spoil_transaction(id);
            self.refuse(id, &CommandError::OutOfMemory);
            return false;
        }
        if in_transaction && is_queued(spec) {
            self.queue_command(call, manner);
            return false;
        }
        let may_wait = spec.flags.contains(Flags::BLOCKING);
        if may_wait {
            let lane = match target {
                Target::Here | Target::Several | Target::Slices => self.lane,
                Target::Lane(lane) => lane,
            };
            self.expect_to_wait(id, lane);
        }
        match (spec.run, target) {
            (Run::Serve(command), _) => self.serve(id, spec, command, args),
            (Run::Store(_), Target::Here) => {
                if may_wait || (self.locks.any() && self.touches_held_slot(spec, args)) {
                    self.execute_here_later(call, manner);
                } else if self.execute_here(call, manner) == Ran::Aside {
                    self.execute_aside(call, manner);
                }
            }
            (Run::Store(_), Target::Lane(lane)) => self.forward(call, lane, manner),
            (Run::Store(_), Target::Several) => self.execute_on_several(call, manner),
            (Run::Store(_), Target::Slices) => self.begin_long(id, spec, manner),
        }
        true
    }

    /// On this lane's store, the reply straight into the connection's output.
    #[inline]
    pub fn execute_here(&mut self, call: &Call<'_>, manner: Manner) -> Ran {
        let Call { connection: id, spec, routed, args, .. } = *call;
        self.claim_room(self.lane, spec, args);
        self.tracking.writer = manner.mark.map(|mark| (self.lane, mark.connection));
        let connection = self.connections.get(id).expect("looked up by the caller");
        let out = connection.reply_target();
        let from = out.mark();
        if manner.no_touch {
            self.store.set_traceless(true);
        }
        let scripts = Some(&mut self.scripts as _);
        let ran = run_here(&mut self.store, spec, args, routed, manner, scripts, out);
        if manner.no_touch {
            self.store.set_traceless(false);
        }
        match ran {
            Ran::Fine => {}
            Ran::Failed => self.stats.failed(spec.id, &out.bytes[from.bytes_before()..]),
            Ran::Aside => {
                self.left_for_aside();
                return ran;
            }
        }
        connection.reply_written(from);
        Self::mark_dirty(&mut self.dirty, connection);
        self.hand_out_touches();
        if let Some(mark) = manner.mark {
            self.tracking.writer = None;
            self.remember_reads(self.lane, mark, manner.database, spec, args);
        }
        ran
    }

    /// The command would hold the lane for too long: its connection waits while it runs aside.
    #[cold]
    fn execute_aside(&mut self, call: &Call<'_>, manner: Manner) {
        if formed_keys(call) != FormedKeys::None {
            return self.execute_under_locks(call, manner);
        }
        let connection = self.connections.get(call.connection).expect("looked up by the caller");
        (connection.barrier, connection.aside) = (true, true);
        let alone = alone(connection, call, manner);
        self.asides.note_begun();
        self.begin_aside(Aside::of_request(self.lane, alone, Some(call.connection)));
    }

    /// A key's slot is held by a command over several lanes, or the command may wait by itself: it
    /// goes the way of other lanes' requests.
    #[cold]
    fn execute_here_later(&mut self, call: &Call<'_>, manner: Manner) {
        if formed_keys(call) == FormedKeys::Any {
            return self.execute_under_locks(call, manner);
        }
        let connection = self.connections.get(call.connection).expect("looked up by the caller");
        let alone = alone(connection, call, manner);
        self.park_or_run(self.lane, alone);
    }

    /// The command names keys by patterns, whose slots it must take first; its connection waits.
    #[cold]
    fn execute_under_locks(&mut self, call: &Call<'_>, manner: Manner) {
        self.begin_together(call, manner, true);
        self.observe(call.connection, call.spec, 0, call.args.from(0));
        self.asides.note_begun();
    }

    /// To the lane that owns the key; the reply gets a reserved place.
    #[inline]
    fn forward(&mut self, call: &Call<'_>, lane: LaneId, manner: Manner) {
        let Call { connection: id, spec, routed, args, .. } = *call;
        let connection = self.connections.get(id).expect("looked up by the caller");
        let return_to = ReturnTo::Place { connection: id, sequence: connection.reserve_place() };
        let bytes = args.blobs().iter().map(Bytes::len).sum();
        connection.forwarded += bytes;
        self.intake.forward(bytes);
        let request = Request::new(return_to, spec, routed, manner);
        self.outbox.request(lane, request, args.from(1), args.blobs());
    }

    /// As the row's `merge` says.
    fn execute_on_several(&mut self, call: &Call<'_>, manner: Manner) {
        let Call { connection: id, spec, args, .. } = *call;
        let connection = self.connections.get(id).expect("looked up by the caller");
        let lane_door = connection.session.door == Door::Lane;
        let lane_alone = lane_door || self.shared.lanes() == 1;
        match spec.merge {
            Merge::Ordered | Merge::Sum => self.scatter_keys(call, manner),
            Merge::SpreadSum | Merge::Pick | Merge::Cursor if lane_alone => {
                self.execute_here(call, manner);
            }
            // What changes whole databases must not fall between the parts of what holds slots.
            Merge::SpreadOk if lane_alone && !self.locks.any() => {
                self.execute_here(call, manner);
            }
            // Its keys are of one slot: its patterns are not, and it is refused.
            Merge::Together if lane_door => {
                self.execute_here(call, manner);
            }
            Merge::Together | Merge::SpreadOk => {
                self.begin_together(call, manner, lane_alone);
            }
            Merge::SpreadJoin => {
                let to = self.reserve(id, true);
                self.spread(to, spec, manner, args, self.lanes_concerned(lane_alone));
            }
            Merge::Cursor => {
                let to = self.reserve(id, true);
                self.begin_cursor(to, spec, manner, args);
            }
            Merge::SpreadSum | Merge::Pick => {
                let to = self.reserve(id, spec.merge == Merge::Pick);
                self.spread(to, spec, manner, args, self.lanes_concerned(false));
            }
            Merge::Single => unreachable!("a command of one key has one lane"),
        }
    }

    /// One request a key, to the lane of each.
    fn scatter_keys(&mut self, call: &Call<'_>, manner: Manner) {
        let Call { connection: id, spec, args, .. } = *call;
        let keys = args.len() - 1;
        let to = self.reserve(id, false);
        let gather = self.begin_gather(to, spec.merge, manner.version, keys);
        let mut local = Box::<Parcel>::default();
        for (part, key) in args.from(1).iter().enumerate() {
            let key_of = self.store.key(manner.database, key);
            let routed = RoutedKey { index: 1, slot: key_of.slot, hash: key_of.hash };
            let return_to = ReturnTo::Part { gather, part: part as u32 };
            let request = Request::new(return_to, spec, Some(routed), manner);
            let lane = self.shared.lane_of(key_of.slot);
            if lane == self.lane {
                local.push(request, &[key], &[]);
            } else {
                self.outbox.request(lane, request, &[key], &[]);
            }
        }
        self.run_parcel(self.lane, local);
    }

    /// The lanes that a command on whole databases is about: this one alone, or all.
    pub fn lanes_concerned(&self, lane_alone: bool) -> Range<u16> {
        if lane_alone { self.lane.0..self.lane.0 + 1 } else { 0..self.shared.lanes() as u16 }
    }

    /// The same request to each of these lanes.
    pub fn spread(
        &mut self,
        to: Recipient,
        spec: &'static CommandSpec,
        manner: Manner,
        args: Args<'_>,
        lanes: Range<u16>,
    ) {
        let gather = self.begin_gather(to, spec.merge, manner.version, lanes.len());
        for (part, lane) in lanes.map(LaneId).enumerate() {
            let return_to = ReturnTo::Part { gather, part: part as u32 };
            let request = Request::new(return_to, spec, None, manner);
            if lane == self.lane {
                self.run_parcel(self.lane, Parcel::of_one(request, args));
            } else {
                self.outbox.request(lane, request, args.from(1), args.blobs());
            }
        }
    }

    /// Runs a command about connections or the server.
    pub fn serve(
        &mut self,
        id: ConnectionId,
        spec: &'static CommandSpec,
        command: ServeCommand,
        args: Args<'_>,
    ) {
        if !publishes(spec) {
            self.end_run();
        }
        match admin::run(self, id, spec, command, args) {
            Ok(Step::Done) => {}
            Err(error) => {
                self.stats.commands[usize::from(spec.id)].failed += 1;
                self.refuse(id, &error);
            }
            Ok(Step::Ask(question, finish)) => {
                let Some(connection) = self.connections.get(id) else { return };
                let version = connection.session.version;
                let lanes = self.shared.lanes();
                let gather = Gather {
                    to: self.reserve(id, true),
                    version,
                    remaining: lanes,
                    kind: Kind::Answers {
                        answers: (0..lanes).map(|_| Vec::new()).collect(),
                        finish,
                        args: args.from(0).iter().map(|arg| arg.to_vec()).collect(),
                    },
                };
                let gather = self.gathers.insert(gather);
                for part in 0..lanes as u32 {
                    let to = LaneId(part as u16);
                    if to != self.lane {
                        let question = Box::new(question.clone());
                        self.outbox.post(to, Mail::Ask { gather, part, question });
                    }
                }
                let answer = admin::answer(self, &question);
                self.take_answer(gather, u32::from(self.lane.0), answer);
            }
        }
    }

    /// Runs the requests of a parcel on this lane's store and sends or delivers the answers.
    pub fn run_parcel(&mut self, from: LaneId, parcel: Box<Parcel>) {
        for routed in parcel.requests.iter().filter_map(|request| request.routed) {
            self.store.prefetch_slot(routed.slot);
        }
        for routed in parcel.requests.iter().filter_map(|request| request.routed) {
            self.store.prefetch_table(routed.slot, routed.hash);
        }
        for routed in parcel.requests.iter().filter_map(|request| request.routed) {
            self.store.prefetch_entry(routed.slot, routed.hash);
        }
        self.run_requests(from, parcel, 0);
    }

    /// Runs the requests of a parcel from `next` on. One of another lane that has taken as long as a
    /// batch may is kept until the next turn; that lane's further mail waits for it.
    fn run_requests(&mut self, from: LaneId, mut parcel: Box<Parcel>, next: usize) {
        let requests = std::mem::take(&mut parcel.requests);
        let mut replies = std::mem::take(&mut parcel.replies);
        let mut answers = std::mem::take(&mut parcel.answers);
        let mut ticks = clock::ticks();
        let begun = ticks;
        let mut left = None;
        for (position, request) in requests.iter().enumerate().skip(next) {
            if position > next && from != self.lane && ticks.wrapping_sub(begun) > self.batch_ticks
            {
                left = Some(position);
                break;
            }
            let mut slices = Slices::new();
            parcel.slices(request, &mut slices);
            let args = Args::new(&slices, &parcel.blobs);
            let holds = matches!(request.return_to, ReturnTo::Slice { holds: true, .. });
            if self.locks.any() && !holds && self.touches_held_slot(request.spec, args) {
                self.park_copy(from, request, args);
                self.tell_late(from, request.return_to);
                continue;
            }
            if request.spec.merge == Merge::SpreadJoin {
                self.start_job(from, request, args);
                continue;
            }
            if request.spec.flags.contains(Flags::BLOCKING) {
                self.run_blocking(from, request, args);
                ticks = clock::ticks();
                continue;
            }
            let start = replies.mark();
            if self.run_request(from, request, args, &mut replies, &mut ticks) == Ran::Aside {
                let alone = Parcel::of_one(*request, args);
                self.begin_aside(Aside::of_request(from, alone, None));
                self.tell_late(from, request.return_to);
                continue;
            }
            answers.push((request.return_to, Stretch { from: start, to: replies.mark() }));
        }
        parcel.requests = requests;
        parcel.replies = replies;
        parcel.answers = answers;
        if let Some(next) = left {
            self.stats.parcels_cut += 1;
            self.cut_parcels.push((from, parcel, next));
            return;
        }
        parcel.clear_requests();
        if from == self.lane {
            self.take_answers(parcel);
        } else if parcel.answers.is_empty() {
            self.outbox.recycle(parcel);
        } else {
            self.outbox.post_answers(from, parcel);
        }
    }

    /// A request of that lane has not been answered with its parcel, and may not be for long.
    #[cold]
    fn tell_late(&mut self, from: LaneId, return_to: ReturnTo) {
        if from == self.lane {
            self.expect_late(return_to);
        } else {
            self.outbox.post(from, Mail::Late(return_to));
        }
    }

    /// An answer will take its time: what its connection could be told before it is not kept back.
    pub fn expect_late(&mut self, return_to: ReturnTo) {
        let connection = match return_to {
            ReturnTo::Place { connection, .. } => connection,
            ReturnTo::Part { gather, .. } => match self.gathers.find(gather).map(|it| it.to) {
                Some(Recipient::Place { connection, .. }) => connection,
                Some(Recipient::Step { .. }) | None => return,
            },
            // Nothing is kept back in front of it.
            ReturnTo::Slice { .. } => return,
        };
        if let Some(connection) = self.connections.get(connection)
            && connection.places_waiting() > 0
        {
            connection.late = true;
            Self::mark_dirty(&mut self.dirty, connection);
        }
    }

    /// Goes on with the parcel of a lane that was cut, if one was. False: it has been cut again, and
    /// nothing else of that lane is to be taken before the next turn.
    pub fn finish_cut_parcel(&mut self, from: LaneId) -> bool {
        if let Some(at) = self.cut_parcels.iter().position(|(of, ..)| *of == from) {
            let (from, parcel, next) = self.cut_parcels.swap_remove(at);
            self.run_requests(from, parcel, next);
        }
        !self.has_cut_parcel(from)
    }

    /// Whether a parcel of that lane has been begun and not finished.
    #[inline]
    pub fn has_cut_parcel(&self, from: LaneId) -> bool {
        self.cut_parcels.iter().any(|(of, ..)| *of == from)
    }

    /// One request of a parcel, which begins at `ticks`; it is set to when it has ended.
    pub fn run_request(
        &mut self,
        from: LaneId,
        request: &Request,
        args: Args<'_>,
        replies: &mut ReplyBuffer,
        ticks: &mut u64,
    ) -> Ran {
        let Run::Store(handler) = request.spec.run else {
            unreachable!("only commands on data travel");
        };
        let manner = request.manner(self.handler_limits);
        let spec = request.spec;
        let begun = *ticks;
        let part = matches!(request.return_to, ReturnTo::Part { .. } | ReturnTo::Slice { .. });
        self.claim_room(from, spec, args);
        self.tracking.writer = request.mark.map(|mark| (from, mark.connection));
        self.store.set_traceless(manner.no_touch);
        let before = replies.mark();
        let ran = if part {
            let (store, routed) = (&mut self.store, request.routed);
            let ran = run_handler(store, handler, args, routed, manner, None, replies);
            if spec.merge == Merge::Cursor {
                self.carry_cursor_on(replies, before);
            }
            ran
        } else if spec.flags.contains(Flags::DENYOOM) && self.store.refuses_writes() {
            RespReply::new(replies, manner.version).error_line(&CommandError::OutOfMemory);
            Ran::Failed
        } else {
            let (store, scripts) = (&mut self.store, Some(&mut self.scripts as _));
            run_here(store, spec, args, request.routed, manner, scripts, replies)
        };
        self.store.set_traceless(false);
        *ticks = clock::ticks();
        if ran == Ran::Aside {
            self.left_for_aside();
            return ran;
        }
        if !part {
            self.observe_request(from, request, ticks.wrapping_sub(begun), args.from(0));
        }
        if ran == Ran::Failed {
            self.stats.failed(spec.id, &replies.bytes[before.bytes_before()..]);
        }
        self.hand_out_touches();
        if let Some(mark) = request.mark {
            self.tracking.writer = None;
            self.remember_reads(from, mark, request.database, spec, args);
        }
        ran
    }

    /// What has just been run goes aside. A script may have changed something, of which nobody is told before
    /// its slots are held.
    #[cold]
    fn left_for_aside(&mut self) {
        if !self.scripts.has_paused() {
            self.hand_out_touches(); // Of keys that were found to be due.
        }
        self.tracking.writer = None;
    }

    /// Parks a request whose slot is held.
    #[cold]
    fn park_copy(&mut self, from: LaneId, request: &Request, args: Args<'_>) {
        self.park_or_run(from, Parcel::of_one(*request, args));
    }

    /// Sends an answered parcel to the lane whose requests it had.
    pub fn deliver(&mut self, from: LaneId, parcel: Box<Parcel>) {
        if from == self.lane {
            self.take_answers(parcel);
        } else {
            self.outbox.post_answers(from, parcel);
        }
    }

    /// Answers to requests of this lane have come.
    pub fn take_answers(&mut self, mut parcel: Box<Parcel>) {
        let replies = std::mem::take(&mut parcel.replies);
        for (return_to, stretch) in parcel.answers.drain(..) {
            self.take_reply(return_to, &replies, stretch);
        }
        parcel.replies = replies;
        self.outbox.recycle(parcel);
    }

    /// A reply has come for whoever waits for it.
    #[inline]
    pub fn take_reply(&mut self, return_to: ReturnTo, replies: &ReplyBuffer, stretch: Stretch) {
        match return_to {
            ReturnTo::Place { connection, sequence } => {
                self.fill_place(connection, sequence, replies, stretch);
            }
            ReturnTo::Part { gather, part } => {
                self.gathers.get(gather).add_reply(part, replies, stretch);
                self.finish_gather(gather);
            }
            ReturnTo::Slice { long, part, .. } => {
                self.take_slice_answer(long, part, replies, stretch);
            }
        }
    }

    /// `CLIENT REPLY OFF` and `SKIP`: what was just written is taken back.
    #[cold]
    pub fn muffle(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else { return };
        match connection.session.reply_mode {
            ReplyMode::On => {} // It was `CLIENT REPLY ON` or RESET, which are answered.
            ReplyMode::Off => connection.muffle_last(),
            ReplyMode::Skip => {
                connection.muffle_last();
                connection.session.reply_mode = ReplyMode::On;
            }
        }
    }

    /// Whether any key of the command lies in a held slot.
    #[cold]
    pub fn touches_held_slot(&self, spec: &CommandSpec, args: Args<'_>) -> bool {
        self.held_slot_of(spec, args.from(0)).is_some()
    }

    /// The first held slot of those that the command may touch.
    pub fn held_slot_of(&self, spec: &CommandSpec, words: &[&[u8]]) -> Option<Slot> {
        if self.reaches_all_slots(spec, words) {
            return self.locks.first_held();
        }
        spec.key_positions(words.len(), |index| words[index])
            .map(|index| Slot::of(words[index]))
            .find(|slot| self.locks.holds(*slot))
    }

    /// Whether it may touch keys that it does not name, of whatever slots: a script, or patterns.
    pub fn reaches_all_slots(&self, spec: &CommandSpec, words: &[&[u8]]) -> bool {
        self.live.script_allow_undeclared_keys && spec.runs_script()
            || spec.formed_keys(words.len(), |index| words[index]) == FormedKeys::Any
    }

    /// The same for a request.
    pub fn request_reaches_all_slots(&self, commands: &Parcel, request: &Request) -> bool {
        if request.spec.formed_keys.is_none() {
            return self.reaches_all_slots(request.spec, &[]);
        }
        let mut slices = Slices::new();
        commands.slices(request, &mut slices);
        self.reaches_all_slots(request.spec, &slices)
    }
}

/// Whether what the command sends may join a run of messages.
fn joins_run(action: &Action) -> bool {
    match action {
        Action::Command { spec, .. } => publishes(spec),
        Action::Unresolved | Action::Malformed(_) => false,
    }
}

#[inline]
fn publishes(spec: &CommandSpec) -> bool {
    matches!(spec.run, Run::Serve(ServeCommand::Publish | ServeCommand::Spublish))
}

/// Whether the answer is no reply but messages, which `CLIENT REPLY` does not hold back.
#[inline]
pub fn confirms_by_push(spec: &CommandSpec) -> bool {
    matches!(
        spec.run,
        Run::Serve(
            ServeCommand::Subscribe
                | ServeCommand::Unsubscribe
                | ServeCommand::Psubscribe
                | ServeCommand::Punsubscribe
                | ServeCommand::Ssubscribe
                | ServeCommand::Sunsubscribe
        )
    )
}

/// Which keys the command's patterns may form.
fn formed_keys(call: &Call<'_>) -> FormedKeys {
    let words = call.args.from(0);
    call.spec.formed_keys(words.len(), |index| words[index])
}

/// The command in a parcel of its own, with a reserved place for its reply.
fn alone(connection: &mut Connection, call: &Call<'_>, manner: Manner) -> Box<Parcel> {
    let sequence = connection.reserve_place();
    let return_to = ReturnTo::Place { connection: call.connection, sequence };
    Parcel::of_one(Request::new(return_to, call.spec, call.routed, manner), call.args)
}
