//! One lane's turn: enter the ring, take what came, execute it, post what goes to other lanes, send
//! what was answered. The only place where a lane waits.

mod sources;

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::Ordering;
use std::time::Duration;

use ringlane_base::LaneId;
use ringlane_store::Budget;

use crate::client_memory::SMALL_BYTES;
use crate::clock::{self, WorkClock};
use crate::connection::{Leg, Phase, SEND_BYTES_MAX, SEND_PIECES_MAX};
use crate::core::Core;
use crate::doors::{Doors, Listener};
use crate::outbox::Peer;
use crate::parcel::{Letter, Mail, Migrant};
use crate::plan::Batch;
use crate::ring::{Completion, ConnectionId, Ring, Token};
use crate::session::{Door, Session};
use crate::shared::Running;
use crate::stats::TURN_US_MAX;
use sources::{Arrival, SetAside};

/// See `Lane::budget_us`.
const TURN_BUDGET_US: u64 = 100;
/// Replies that wait for those to the rest of a pipeline; more are sent as they are.
const CORK_BYTES_MAX: usize = 16 << 10;
/// Connections that listen to channels to which a turn sends: each send takes some 5 µs.
const LISTENERS_A_TURN_MAX: usize = 64;
/// Entries that upkeep may touch in one slice, some 100 ns each.
const UPKEEP_UNITS: u32 = 400;
/// Letters taken from one mailbox in a turn.
const LETTERS_MAX: usize = 64;
/// Turns between two looks at the settings.
const TURNS_A_REFRESH: u64 = 64;

/// Flights that the kernel tries at the next entry.
#[derive(Default)]
struct Tried {
    connections: Vec<ConnectionId>,
    /// The kernel has not yet shown the ends of all that it has tried.
    unsettled: bool,
    /// One is not the last of its reply, or commands may wait for its end: of its success nobody
    /// would tell a lane that sleeps.
    more_to_send: bool,
}

/// A lane: its state and its ring.
pub struct Lane {
    pub core: Core,
    ring: Ring,
    doors: Doors,
    peers: Vec<Option<Peer>>,
    doorbell: OwnedFd,
    clock: WorkClock,
    /// Microseconds of a turn after which no further batch is begun.
    budget_us: u64,
    completions: Vec<Completion>,
    arrivals: std::collections::VecDeque<Arrival>,
    /// What waits for the gate: bytes of large input, and connections for which no buffer was left.
    set_aside: SetAside,
    batch: Batch,
    tried: Tried,
    /// Connections whose output waits for other lanes' replies, until the next tick at most.
    withheld: Vec<ConnectionId>,
    upkeep_due: bool,
    ticked: bool,
    /// Doors whose accepting stopped for want of descriptors; tried again with each tick.
    resting_doors: Vec<u32>,
    draining: bool,
    next_idle_check: usize,
}

impl Lane {
    /// Brings the lane's ring to life; its mailboxes and doors are ready before.
    ///
    /// # Errors
    /// What the kernel answers to the ring's creation.
    pub fn new(
        core: Core,
        ring: Ring,
        doors: Doors,
        peers: Vec<Option<Peer>>,
    ) -> std::io::Result<Self> {
        let doorbell = rustix::event::eventfd(
            0,
            rustix::event::EventfdFlags::NONBLOCK | rustix::event::EventfdFlags::CLOEXEC,
        )?;
        let mut lane = Self {
            core,
            ring,
            doors,
            peers,
            doorbell,
            clock: WorkClock::new(),
            budget_us: TURN_BUDGET_US,
            completions: Vec::with_capacity(1024),
            arrivals: std::collections::VecDeque::new(),
            set_aside: SetAside::default(),
            batch: Batch::default(),
            tried: Tried::default(),
            withheld: Vec::new(),
            upkeep_due: false,
            ticked: false,
            resting_doors: Vec::new(),
            draining: false,
            next_idle_check: 0,
        };
        let board = &lane.core.shared.lines[lane.core.lane.index()];
        board.ring.store(lane.ring.descriptor(), Ordering::Release);
        board.doorbell.store(lane.doorbell.as_raw_fd(), Ordering::Release);
        lane.ring.listen_doorbell(lane.doorbell.as_raw_fd());
        lane.ring.start_ticking();
        for door in 0..lane.doors.listeners.len() {
            lane.ring.accept(door as u32, lane.doors.listeners[door].socket.as_raw_fd());
        }
        lane.core.refresh_settings();
        Ok(lane)
    }

    /// Whether background work waits for its share of the core.
    pub fn upkeep_due(&self) -> bool {
        self.upkeep_due
            || !self.core.jobs.is_empty()
            || !self.core.own_questions.is_empty()
            || self.core.longs.is_due()
            || self.core.asides.is_due()
            || self.core.togethers.is_due()
            || self.core.tracking.table.has_slices()
            || self.core.scripts.has_garbage()
    }

    /// One slice of background work: expiry, eviction ahead of need, draining, walks.
    pub fn upkeep(&mut self) {
        self.clock.begin();
        self.core.store.begin_turn(clock::now());
        let (expired, evicted) = self.core.gone();
        self.upkeep_due = self.core.store.work(Budget { units: UPKEEP_UNITS }).more;
        let took = Duration::from_micros(self.clock.wall_us());
        self.core.note_upkeep((expired, evicted), took);
        self.core.hand_out_touches();
        self.core.tend_tracking();
        self.core.work_on_jobs();
        self.core.work_on_own_questions();
        self.core.work_on_longs();
        self.core.work_on_asides();
        self.core.work_on_togethers();
        if self.core.scripts.has_garbage() {
            self.core.scripts.collect_some();
        }
        self.note_turn();
    }

    /// One turn. Returns false once the server has stopped.
    ///
    /// # Errors
    /// A failure of the ring itself, after which the lane cannot go on.
    pub fn turn(&mut self) -> std::io::Result<bool> {
        let wait = self.prepare_to_wait();
        self.ring.enter(wait)?;
        if wait {
            self.core.shared.lines[self.core.lane.index()].doze.awake();
        }
        self.clock.begin();
        self.core.store.begin_turn(clock::now());
        self.core.stats.turns += 1;
        self.reap();
        self.open_gate();
        if self.ticked || self.core.stats.turns.is_multiple_of(TURNS_A_REFRESH) {
            self.core.refresh_settings();
        }
        if std::mem::take(&mut self.ticked) {
            self.core.expire_blocked();
            self.tick();
        }
        loop {
            let batch_was_empty = !self.run_batch();
            self.read_mail();
            if batch_was_empty || self.clock.wall_us() > self.budget_us {
                break;
            }
        }
        self.core.publish_notices();
        self.core.show_called();
        self.core.send_invalidations();
        self.core.deliver_more();
        // Before others hear of what this turn did: they look at whether this lane is full.
        self.upkeep_due |= self.core.heed_budget();
        self.core.ask_for_pages();
        self.send_parcels();
        self.send_replies();
        self.core.let_input_go_on();
        self.close_connections();
        self.note_turn();
        Ok(self.core.shared.running() != Running::Stopped)
    }

    /// Decides whether this turn may sleep: nothing is at hand, and nobody has posted anything since
    /// the others were told that they must wake this lane.
    fn prepare_to_wait(&mut self) -> bool {
        let at_hand = !self.arrivals.is_empty()
            || !self.core.ready.is_empty()
            || !self.core.dirty.is_empty()
            || !self.core.closing.is_empty()
            || !self.core.resume.is_empty()
            || !self.core.leaving.is_empty()
            || self.upkeep_due()
            || !self.core.cut_parcels.is_empty()
            || !self.core.outbox.is_empty()
            || self.tried.unsettled
            || std::mem::take(&mut self.tried.more_to_send)
            || self.core.store.has_notices()
            || self.core.pubsub.has_work()
            || self.core.tracking.has_work()
            || mail_waits(&mut self.peers);
        if at_hand {
            return false;
        }
        let line = &self.core.shared.lines[self.core.lane.index()];
        line.doze.prepare_sleep();
        if mail_waits(&mut self.peers) {
            line.doze.awake();
            return false;
        }
        true
    }

    /// Sorts what the kernel has completed.
    fn reap(&mut self) {
        let mut completions = std::mem::take(&mut self.completions);
        self.ring.reap(&mut completions);
        self.tried.unsettled = !self.ring.is_settled();
        let mut tried = if self.tried.unsettled {
            Vec::new()
        } else {
            std::mem::take(&mut self.tried.connections)
        };
        for completion in completions.drain(..) {
            match completion.token {
                Token::Accept(door) => self.accepted(door, completion),
                Token::Receive(id) => self.received(id, completion),
                Token::Send(id) => self.sent(id, completion.result),
                Token::Wake | Token::Ignore => {}
                Token::Doorbell => {
                    let mut count = [0; 8];
                    let _ = rustix::io::read(&self.doorbell, &mut count);
                    self.ring.listen_doorbell(self.doorbell.as_raw_fd());
                    self.ticked = true;
                }
                Token::Tick => {
                    self.ticked = true;
                    if !completion.more {
                        self.ring.start_ticking();
                    }
                }
            }
        }
        self.completions = completions;
        for id in tried.drain(..) {
            self.landed_whole(id);
        }
        if self.tried.connections.is_empty() {
            self.tried.connections = tried;
        }
    }

    /// A connection has come in, or accepting has failed.
    fn accepted(&mut self, door: u32, completion: Completion) {
        if completion.result >= 0 {
            // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
            let socket = unsafe { OwnedFd::from_raw_fd(completion.result) };
            self.admit(door, socket);
        } else if completion.result != -libc::ECANCELED {
            self.core.stats.accept_errors += 1;
        }
        if !completion.more && !self.draining {
            if matches!(
                -completion.result,
                libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM
            ) {
                self.resting_doors.push(door);
            } else {
                self.accept_on(door);
            }
        }
    }

    fn accept_on(&mut self, door: u32) {
        let listener: &Listener = &self.doors.listeners[door as usize];
        self.ring.accept(door, listener.socket.as_raw_fd());
    }

    /// Takes a new connection, or hands it to the lane that has fewest.
    fn admit(&mut self, door: u32, socket: OwnedFd) {
        let door = self.doors.listeners[door as usize].door;
        self.core.stats.connections_received += 1;
        let Some(session) = self.core.open_session(door, &socket) else { return };
        if door == Door::Front {
            let to = self.core.lane_with_fewest();
            let line = &self.core.shared.lines[to.index()];
            line.front_connections.fetch_add(1, Ordering::Relaxed);
            if to != self.core.lane {
                let migrant = Box::new(Migrant { socket, session });
                self.core.outbox.post(to, Mail::Adopt(migrant));
                return;
            }
        }
        self.adopt(socket, session);
    }

    /// Serves a connection from now on.
    fn adopt(&mut self, socket: OwnedFd, session: Session) {
        let descriptor: RawFd = socket.as_raw_fd();
        let id = self.core.connections.insert(socket, session);
        let line = &self.core.shared.lines[self.core.lane.index()];
        line.connections.fetch_add(1, Ordering::Relaxed);
        let connection = self.core.connections.get(id).expect("just inserted");
        connection.receiving = true;
        self.ring.register_socket(id, descriptor);
        self.core.receive(id, &mut self.ring);
    }

    /// Bytes have come, or the peer has said its last.
    fn received(&mut self, id: ConnectionId, completion: Completion) {
        let Some(connection) = self.core.connections.get(id) else {
            if let Some(buffer) = completion.buffer {
                self.ring.recycle(buffer);
            }
            return;
        };
        if !completion.more {
            connection.receiving = false;
        }
        match (completion.result, completion.buffer) {
            (length, Some(buffer)) if length > 0 => {
                let length = length as usize;
                connection.session.bytes_in += length as u64;
                self.core.stats.bytes_in += length as u64;
                self.core.stats.reads += 1;
                let turn = self.core.stats.turns;
                connection.received_turn = turn;
                self.arrivals.push_back(Arrival { connection: id, buffer, length, turn });
                self.core.note_received(id, length, completion.more, &mut self.ring);
            }
            (result, buffer) => {
                if let Some(buffer) = buffer {
                    self.ring.recycle(buffer);
                }
                match -result {
                    0 => connection.input_ended = true,
                    libc::ENOBUFS => {
                        self.core.stats.receive_buffers_exhausted += 1;
                        if self.core.gate.is_closed() {
                            return self.set_aside.connections.push(id);
                        }
                    }
                    libc::ECANCELED | libc::EINTR | libc::EAGAIN => {}
                    _ => return self.core.close(id),
                }
            }
        }
        if !completion.more {
            self.core.resume.push(id);
        }
    }

    /// Takes what other lanes have posted, at least one letter of each, until the turn's time is up.
    fn read_mail(&mut self) {
        for peer in 0..self.peers.len() {
            let from = LaneId(peer as u16);
            for _ in 0..LETTERS_MAX {
                if !self.core.cut_parcels.is_empty() && !self.core.finish_cut_parcel(from) {
                    break;
                }
                let Some(letter) = self.peers[peer].as_mut().and_then(|peer| peer.receiver.pop())
                else {
                    break;
                };
                self.take_letter(letter);
                if self.core.has_cut_parcel(from) || self.clock.wall_us() > self.budget_us {
                    break;
                }
            }
        }
    }

    fn take_letter(&mut self, letter: Letter) {
        self.core.stats.parcels_received += 1;
        match letter.mail {
            Mail::Requests(parcel) => {
                self.core.stats.requests_received += parcel.requests.len() as u64;
                self.core.run_parcel(letter.from, parcel);
            }
            Mail::Answers(parcel) => self.core.take_answers(parcel),
            Mail::Adopt(migrant) => self.adopt(migrant.socket, migrant.session),
            Mail::Late(return_to) => self.core.expect_late(return_to),
            Mail::Slow { connection, command } => self.core.log_slow(Some(connection), *command),
            Mail::Ready(number) => self.core.leader_ready(number),
            Mail::Forget(number) => self.core.forget_waiter(number),
            Mail::Unblock { connection, sequence, how } => {
                self.core.take_unblock(letter.from, connection, sequence, how);
            }
            Mail::Lock(request) => self.core.take_lock_request(letter.from, request, 0),
            Mail::Grant(grant) => self.core.take_grant(*grant),
            Mail::Release(release) => self.core.take_release(*release),
            Mail::LookUp(asked) => self.core.take_look_up(letter.from, asked),
            Mail::LookedUp(asked) => self.core.take_looked_up(letter.from, asked),
            Mail::Errand(errand) => self.core.take_errand(letter.from, errand),
            Mail::ErrandDone(errand) => self.core.errand_done(*errand),
            Mail::Watch(request) => self.core.take_watch_request(letter.from, request),
            Mail::Watched { gather } => self.core.take_watched(gather),
            Mail::Unwatch(watch) => {
                self.core.unwatch(watch);
            }
            Mail::Ask { gather, part, question } => {
                let answer = Box::new(crate::admin::answer(&mut self.core, &question));
                self.core.outbox.post(letter.from, Mail::Answer { gather, part, answer });
            }
            Mail::Answer { gather, part, answer } => self.core.take_answer(gather, part, *answer),
            Mail::Notes(notes) => self.core.take_notes(letter.from, notes),
        }
    }

    /// Posts this turn's parcels and wakes the lanes that sleep.
    fn send_parcels(&mut self) {
        if self.core.outbox.is_empty() {
            return;
        }
        for (index, peer) in self.peers.iter_mut().enumerate() {
            let Some(peer) = peer else { continue };
            if self.core.outbox.deliver(LaneId(index as u16), &mut peer.sender) {
                let line = &self.core.shared.lines[index];
                if line.doze.sender_should_wake() {
                    self.ring.wake_lane(line.ring.load(Ordering::Acquire));
                }
            }
        }
    }

    /// Submits what was answered, one send a connection. Of those that listen to channels only some
    /// have their turn: a message may be for thousands, and who waits gets the next one with it.
    fn send_replies(&mut self) {
        let mut listeners = LISTENERS_A_TURN_MAX;
        let mut dirty = std::mem::take(&mut self.core.dirty);
        dirty.retain(|id| {
            let Some(connection) = self.core.connections.get(*id) else { return false };
            // The rest of its pipeline is about to be executed: all of it in one send.
            if connection.ready
                && connection.may_execute()
                && connection.output_len() < CORK_BYTES_MAX
            {
                return true;
            }
            if connection.listening.is_some() {
                if listeners == 0 {
                    return true;
                }
                listeners -= 1;
            }
            connection.dirty = false;
            self.send_reply(*id);
            false
        });
        // What was added meanwhile (there is none today) is kept.
        dirty.append(&mut self.core.dirty);
        self.core.dirty = dirty;
    }

    fn send_reply(&mut self, id: ConnectionId) {
        if self.core.output_limit_reached(id) {
            return self.core.close(id);
        }
        let Some(connection) = self.core.connections.get(id) else { return };
        if connection.phase == Phase::Closing {
            return;
        }
        if connection.output_len() > SMALL_BYTES {
            self.core.client_memory.count(connection);
        }
        if connection.is_worth_withholding() {
            if !std::mem::replace(&mut connection.withheld, true) {
                self.withheld.push(id);
            }
            return;
        }
        if connection.load_flight() {
            self.launch(id, Leg::Tried);
        } else if connection.phase == Phase::Draining
            && connection.flight.leg == Leg::Landed
            && connection.places_waiting() == 0
        {
            self.core.close(id);
        }
    }

    /// Sends what has been withheld since before the last tick, as far as it has come.
    fn send_withheld(&mut self) {
        for id in std::mem::take(&mut self.withheld) {
            let Some(connection) = self.core.connections.get(id) else { continue };
            connection.withheld = false;
            if connection.phase != Phase::Closing && connection.load_flight() {
                self.launch(id, Leg::Tried);
            }
        }
    }

    /// Submits the flight of a connection from where it stands: to be tried, or to wait for room.
    fn launch(&mut self, id: ConnectionId, leg: Leg) {
        let Some(connection) = self.core.connections.get(id) else { return };
        let socket = connection.socket();
        let waits = connection.input_len() > 0;
        let flight = &mut connection.flight;
        flight.leg = leg;
        if flight.buffer.has_blobs() {
            flight.leg = Leg::Waiting;
            let mut pieces = std::mem::take(&mut flight.pieces);
            flight.buffer.pieces(flight.sent, SEND_PIECES_MAX, SEND_BYTES_MAX, &mut pieces);
            flight.pieces = pieces;
            // SAFETY: all zeroes is a valid message header without name and control data.
            let mut header: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
            header.msg_iov = flight.pieces.as_mut_ptr();
            header.msg_iovlen = flight.pieces.len();
            let address = &raw const *header;
            flight.header = Some(header);
            // SAFETY: the header, the list and the buffers belong to the flight, which nothing
            // changes while it is active; a connection is dropped only after its flight has landed.
            unsafe { self.ring.send_pieces(id, socket, address) };
        } else {
            let bytes = &flight.buffer.bytes[flight.sent..];
            let length = bytes.len().min(SEND_BYTES_MAX);
            if leg == Leg::Tried {
                self.tried.connections.push(id);
                self.tried.more_to_send |= waits || length < bytes.len();
                // SAFETY: as above.
                unsafe { self.ring.try_send(id, socket, bytes.as_ptr(), length) };
            } else {
                // SAFETY: as above.
                unsafe { self.ring.send(id, socket, bytes.as_ptr(), length) };
            }
        }
    }

    /// The kernel has tried a flight and had nothing to tell: all that it was given has left.
    fn landed_whole(&mut self, id: ConnectionId) {
        let Some(connection) = self.core.connections.get(id) else { return };
        if connection.flight.leg == Leg::Tried {
            let flight = &connection.flight;
            let taken = (flight.buffer.bytes.len() - flight.sent).min(SEND_BYTES_MAX);
            self.landed(id, taken, Leg::Tried);
        }
    }

    /// A send has ended that waited, or one was tried and did not go through.
    fn sent(&mut self, id: ConnectionId, result: i32) {
        let Some(connection) = self.core.connections.get(id) else { return };
        if connection.flight.leg == Leg::Tried && self.tried.unsettled {
            self.tried.connections.retain(|other| *other != id);
        }
        let next = match connection.flight.leg {
            Leg::Tried => Leg::Waiting,
            Leg::Waiting | Leg::Landed => Leg::Tried,
        };
        match result {
            taken @ 0.. => self.landed(id, taken as usize, next),
            error if matches!(-error, libc::EINTR | libc::EAGAIN) => {
                self.landed(id, 0, Leg::Waiting);
            }
            _ => {
                connection.flight.leg = Leg::Landed;
                match connection.phase {
                    Phase::Closing => self.core.closing.push(id),
                    Phase::Open | Phase::Draining => self.core.close(id),
                }
            }
        }
    }

    /// The kernel has let go of a flight and taken so many bytes of it; a rest goes the way of `next`.
    fn landed(&mut self, id: ConnectionId, taken: usize, next: Leg) {
        let Some(connection) = self.core.connections.get(id) else { return };
        let flight = &mut connection.flight;
        flight.leg = Leg::Landed;
        flight.sent += taken;
        connection.session.bytes_out += taken as u64;
        self.core.stats.bytes_out += taken as u64;
        self.core.stats.writes += 1;
        if connection.phase == Phase::Closing {
            return self.core.closing.push(id);
        }
        if flight.sent < flight.buffer.len() {
            return self.launch(id, next);
        }
        self.core.output_has_left(id);
        let Some(connection) = self.core.connections.get(id) else { return };
        if !connection.output.is_empty() || connection.phase == Phase::Draining {
            Core::mark_dirty(&mut self.core.dirty, connection);
        }
        let may_go_on = connection.output_len() < connection.output_pause_bytes() / 2;
        if may_go_on && (connection.input_len() > 0 || !connection.receiving) {
            self.core.mark_ready(id);
            self.core.resume.push(id);
        }
    }

    /// Arms the receiving of connections again whose reason to rest may have gone, and lets go of
    /// those whose end or move has been decided.
    fn close_connections(&mut self) {
        let mut resume = std::mem::take(&mut self.core.resume);
        if resume.len() > 1 {
            // Where buffers are short, who is armed first takes them: who got none for longest.
            let connections = &mut self.core.connections;
            resume.sort_by_key(|id| connections.get(*id).map_or(0, |it| it.received_turn));
        }
        for id in resume {
            self.resume(id);
        }
        for id in std::mem::take(&mut self.core.leaving) {
            self.leave(id);
        }
        for id in std::mem::take(&mut self.core.closing) {
            self.finish_closing(id);
        }
    }

    fn resume(&mut self, id: ConnectionId) {
        let Some(connection) = self.core.connections.get(id) else { return };
        if connection.phase == Phase::Closing {
            return self.core.closing.push(id);
        }
        if connection.receiving {
            return;
        }
        if connection.leaving_for.is_some() {
            return self.core.leaving.push(id);
        }
        if connection.input_ended && connection.blocked.is_some() {
            // Who waits and says no more has gone, as far as anyone can tell.
            return self.core.close(id);
        }
        if connection.input_ended {
            // Half closed: what it has sent is still answered, then the connection ends.
            let unread = self.has_arrivals_of(id);
            let Some(connection) = self.core.connections.get(id) else { return };
            if !unread && !connection.ready && !connection.barrier && connection.may_execute() {
                self.core.drain(id);
            }
            return;
        }
        if connection.input_is_full() || connection.held_back {
            return;
        }
        connection.paused = false;
        connection.receiving = true;
        self.core.receive(id, &mut self.ring);
    }

    /// Hands a quiet connection to another lane, once the kernel has let go of it.
    fn leave(&mut self, id: ConnectionId) {
        let Some(connection) = self.core.connections.get(id) else { return };
        let Some(to) = connection.leaving_for else { return };
        if connection.receiving {
            return; // The cancellation is under way; its completion brings us back.
        }
        let has_bytes = self.has_arrivals_of(id);
        let Some(connection) = self.core.connections.get(id) else { return };
        connection.leaving_for = None;
        if has_bytes || !connection.is_quiet() {
            // It stays. What came while it was to leave has not been executed, so that is due now.
            self.core.mark_ready(id);
            return self.core.resume.push(id);
        }
        let connection = self.core.connections.remove(id).expect("just looked up");
        self.ring.forget_socket(id);
        self.core.forget_input(&connection);
        let (socket, session) = connection.into_parts();
        let lines = &self.core.shared.lines;
        lines[self.core.lane.index()].front_connections.fetch_sub(1, Ordering::Relaxed);
        lines[self.core.lane.index()].connections.fetch_sub(1, Ordering::Relaxed);
        lines[to.index()].front_connections.fetch_add(1, Ordering::Relaxed);
        self.core.stats.handed_over += 1;
        self.core.outbox.post(to, Mail::Adopt(Box::new(Migrant { socket, session })));
    }

    /// Ends receiving and sending, then drops the connection when the kernel has let go of both.
    fn finish_closing(&mut self, id: ConnectionId) {
        let Some(connection) = self.core.connections.get(id) else { return };
        let leg = connection.flight.leg;
        if leg != Leg::Landed || connection.receiving {
            if !connection.cancelled {
                connection.cancelled = true;
                let (sending, receiving) = (leg == Leg::Waiting, connection.receiving);
                if sending {
                    self.ring.cancel_send(id);
                }
                if receiving {
                    self.ring.cancel_receive(id);
                }
            }
            return;
        }
        self.core.let_go(id);
        self.core.leave_transaction(id);
        let Some(connection) = self.core.connections.remove(id) else { return };
        self.ring.forget_socket(id);
        self.core.forget_input(&connection);
        let line = &self.core.shared.lines[self.core.lane.index()];
        line.connections.fetch_sub(1, Ordering::Relaxed);
        if connection.session.door == Door::Front {
            line.front_connections.fetch_sub(1, Ordering::Relaxed);
        }
        self.core.shared.clients.fetch_sub(1, Ordering::Relaxed);
    }

    /// What is looked at a few times a second.
    fn tick(&mut self) {
        self.upkeep_due = true;
        self.send_withheld();
        self.core.refresh_pause();
        self.core.finish_errands();
        self.core.finish_asides();
        self.core.publish();
        self.core.keep_clients_within_bound();
        self.core.sample_rates();
        for door in std::mem::take(&mut self.resting_doors) {
            self.accept_on(door);
        }
        self.core.even_out(&mut self.ring);
        self.next_idle_check = self.core.check_idle(self.next_idle_check);
        match self.core.shared.running() {
            Running::Serving | Running::Stopped => {}
            Running::Draining => self.drain_all(),
        }
    }

    /// Shutdown: no more commands; every connection closes when its replies have left.
    fn drain_all(&mut self) {
        if !std::mem::replace(&mut self.draining, true) {
            self.doors.listeners.iter().for_each(Listener::stop);
            let ids: Vec<ConnectionId> =
                self.core.connections.iter().map(|connection| connection.id).collect();
            for id in ids {
                self.core.drain(id);
            }
        }
        if self.core.connections.is_empty() && self.core.outbox.is_empty() {
            let line = &self.core.shared.lines[self.core.lane.index()];
            line.drained.store(true, Ordering::Release);
        }
    }

    /// Keeps the longest turn, by CPU time and by the wall clock.
    fn note_turn(&mut self) {
        let stats = &mut self.core.stats;
        let wall = self.clock.wall_us();
        stats.longest_turn_wall_us = stats.longest_turn_wall_us.max(wall);
        if wall > stats.longest_turn_us.min(TURN_US_MAX) {
            let cpu = self.clock.cpu_us();
            stats.longest_turn_us = stats.longest_turn_us.max(cpu);
            stats.long_turns += u64::from(cpu > TURN_US_MAX);
        }
    }
}

/// Whether another lane has posted something that was not read yet.
fn mail_waits(peers: &mut [Option<Peer>]) -> bool {
    peers.iter_mut().flatten().any(|peer| !peer.receiver.is_empty())
}

#[cfg(test)]
mod tests;
