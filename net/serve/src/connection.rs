//! One client's socket: bytes in, replies out, in the order of the requests.
//! Never executes anything; the lane does.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use ringlane_resp::Parser;

use crate::client_memory::Footprint;
use crate::pubsub::audience::Listening;
use crate::reply_buffer::{Mark, ReplyBuffer, Stretch};
use crate::ring::{ConnectionId, GENERATION_MASK};
use crate::session::Session;
use crate::tracking::Tracking;

/// Replies a connection may wait for from other lanes; then its input waits.
pub const PLACES_MAX: usize = 4096;
/// Output that may wait before the connection's requests wait too.
const OUTPUT_PAUSE_BYTES: usize = 1 << 20;
/// The same where buffers of all connections take much of `maxmemory`: beside the newest reply, which
/// may be as long as it likes.
pub const OUTPUT_PAUSE_BYTES_THRIFTY: usize = 4 << 10;
/// As `PLACES_MAX`, then: how long a reply will be that another lane owes is not known.
const PLACES_MAX_THRIFTY: usize = 1;
/// Unparsed input that may wait before the connection is not read any more.
pub const INPUT_PAUSE_BYTES: usize = 64 << 10;
/// Pending output of a connection that still owes its password (CVE-2025-21605).
pub const UNAUTHENTICATED_OUTPUT_BYTES_MAX: usize = 1024;
/// Output that is kept back while other lanes owe the replies behind it.
const WITHHELD_BYTES_MAX: usize = 16 << 10;
/// Bytes of one send: the kernel copies them while the lane waits, so a long reply goes in several.
pub const SEND_BYTES_MAX: usize = 256 << 10;
/// Pieces of one vectored send.
pub const SEND_PIECES_MAX: usize = 64;
/// A buffer that has grown beyond this is not kept for reuse.
const KEEP_BYTES_MAX: usize = 64 << 10;

/// Where a reply stands that could not be written at once.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Another lane owes it.
    Waiting,
    /// It is in `held`.
    Held(Stretch),
    /// Another lane owes it, and the client does not want it.
    Muted,
    /// It is in `held`, and goes out with as many places after it, all at once: an array whose
    /// elements are written one by one, and nothing may come between.
    Leading(Stretch, usize),
}

/// Places that stand behind a reserved one; see `Connection::begin_group`.
pub struct PlacesBehind(VecDeque<Place>);

/// Where a flight is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leg {
    /// Not with the kernel.
    #[default]
    Landed,
    /// The kernel sends what the socket takes at once, and tells of nothing but a rest.
    Tried,
    /// It waits for room in the socket; a completion will tell.
    Waiting,
}

/// What is being sent. Untouched from submission to completion.
#[derive(Default)]
pub struct Flight {
    pub buffer: ReplyBuffer,
    /// Bytes that the kernel has taken.
    pub sent: usize,
    pub leg: Leg,
    /// For vectored sends; boxed, since the kernel reads them where they are.
    pub pieces: Vec<libc::iovec>,
    pub header: Option<Box<libc::msghdr>>,
}

/// How far a connection's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Open,
    /// Nothing more is read or executed; closes when the output has left.
    Draining,
    /// Its receiving and sending are being ended; then the socket closes.
    Closing,
}

/// One client's connection.
#[allow(
    clippy::struct_excessive_bools,
    reason = "memberships in the lane's lists, all independent"
)]
pub struct Connection {
    pub id: ConnectionId,
    socket: OwnedFd,
    pub session: Session,
    pub parser: Parser,
    /// Bytes received and not yet executed, from `input_start` on.
    pub input: Vec<u8>,
    pub input_start: usize,
    /// Bytes of `input` that the parser has seen; it waits for more than those.
    pub input_seen: usize,
    /// Replies written, in order, not yet handed to the kernel.
    pub output: ReplyBuffer,
    pub flight: Flight,
    places: VecDeque<Place>,
    /// The sequence number of `places[0]`.
    first_place: u32,
    held: ReplyBuffer,
    /// Where the newest reply in `output` begins.
    newest: Mark,
    pub phase: Phase,
    /// The lane's turn in which bytes of it last came.
    pub received_turn: u64,
    /// A multishot receive is with the kernel.
    pub receiving: bool,
    /// Its receive was cancelled because input or output has piled up.
    pub paused: bool,
    /// Its command is arriving, and others go on before it: see `intake`.
    pub held_back: bool,
    /// Bytes of it wait in the ring's buffers until the lane's `gate` opens.
    pub set_aside: bool,
    /// Receives in a row that did not fill a buffer.
    pub calm_receives: u8,
    /// Bytes that its input was last counted to take.
    pub arriving: usize,
    /// What its buffers were last counted to take.
    pub counted: Footprint,
    /// Buffers were short when it was last looked at: little output may wait.
    pub thrifty: bool,
    /// Bytes of large arguments that went to other lanes since none was owed a reply.
    pub forwarded: usize,
    /// A command is under way that later commands of this connection must wait for.
    pub barrier: bool,
    /// That command runs aside: what a pause has held back behind it waits as well.
    pub aside: bool,
    /// The command under way may wait: the number of its place, and the lane where it does.
    pub blocked: Option<(u32, ringlane_base::LaneId)>,
    /// In the lane's list of those that have input to parse.
    pub ready: bool,
    /// Its bytes are part of the batch that is being planned or executed.
    pub in_batch: bool,
    /// Its requests to the kernel have been cancelled; what is left is to hear of it.
    pub cancelled: bool,
    /// In the lane's list of those that have output to send.
    pub dirty: bool,
    /// In the lane's list of those whose output waits for other lanes' replies.
    pub withheld: bool,
    /// An answer that it waits for will take its time.
    pub late: bool,
    /// To be handed to another lane as soon as its receive has ended.
    pub leaving_for: Option<ringlane_base::LaneId>,
    /// Since when the output has been above the soft limit, by the steady clock.
    pub above_soft_since_ms: Option<u64>,
    /// The peer has shut down its sending side, or its reading failed.
    pub input_ended: bool,
    /// What it listens to, if anything.
    pub listening: Option<Box<Listening>>,
    /// It said MONITOR.
    pub monitor: bool,
    /// It keeps copies of what it reads.
    pub tracking: Option<Box<Tracking>>,
    /// Another connection has its invalidations sent here.
    pub pinned: bool,
}

impl Connection {
    pub fn new(id: ConnectionId, socket: OwnedFd, session: Session) -> Self {
        Self {
            id,
            socket,
            session,
            parser: Parser::new(),
            input: Vec::new(),
            input_start: 0,
            input_seen: 0,
            output: ReplyBuffer::default(),
            flight: Flight::default(),
            places: VecDeque::new(),
            first_place: 0,
            held: ReplyBuffer::default(),
            newest: ReplyBuffer::default().mark(),
            phase: Phase::Open,
            received_turn: 0,
            receiving: false,
            paused: false,
            held_back: false,
            calm_receives: 0,
            set_aside: false,
            arriving: 0,
            counted: Footprint::default(),
            thrifty: false,
            forwarded: 0,
            barrier: false,
            aside: false,
            blocked: None,
            ready: false,
            in_batch: false,
            cancelled: false,
            dirty: false,
            withheld: false,
            late: false,
            leaving_for: None,
            above_soft_since_ms: None,
            input_ended: false,
            listening: None,
            monitor: false,
            tracking: None,
            pinned: false,
        }
    }

    /// Whether other lanes know it by its place on this one, so that it must stay.
    pub fn is_bound(&self) -> bool {
        self.listening.is_some() || self.monitor || self.tracking.is_some() || self.pinned
    }

    /// Whether it may run only some commands: it listens in RESP2, or watches.
    #[inline]
    pub fn is_restricted(&self) -> bool {
        self.listening.is_some() || self.monitor
    }

    pub fn socket(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Gives up the socket and the session, to go on elsewhere.
    pub fn into_parts(self) -> (OwnedFd, Session) {
        (self.socket, self.session)
    }

    /// Bytes of input that wait.
    pub fn input_len(&self) -> usize {
        self.input.len() - self.input_start
    }

    /// Whether so much input waits that no more is to be read: commands that are there wait for
    /// their turn. What the parser has seen does not count: it needs more to go on.
    pub fn input_is_full(&self) -> bool {
        if self.thrifty && self.waits_for_its_reader() {
            return self.input_len() > 0;
        }
        let waits = if self.may_execute() {
            self.input.len() - self.input_seen.min(self.input.len())
        } else {
            self.input_len()
        };
        waits >= INPUT_PAUSE_BYTES
    }

    /// Takes back the input that a batch has parsed as far as `from`; `starved`: it needs more.
    pub fn return_input(&mut self, mut input: Vec<u8>, from: usize, starved: bool) {
        let mut from = from;
        // What has been executed goes once it is half of it, so that each byte is moved once on
        // average: under a pipeline that never ends the buffer is never empty.
        if from * 2 >= input.len() {
            input.drain(..from);
            from = 0;
            if input.capacity() > 2 * KEEP_BYTES_MAX && input.len() < KEEP_BYTES_MAX {
                input.shrink_to(KEEP_BYTES_MAX);
            }
        }
        self.input_seen = if starved { input.len() } else { from };
        self.input_start = from;
        self.input = input;
    }

    /// Bytes of output that the kernel has not taken yet.
    pub fn output_len(&self) -> usize {
        self.output.len() + self.held.len() + self.flight.buffer.len() - self.flight.sent
    }

    /// As `output_len`, but for one large value, the longest: whatever the bound on pending output,
    /// a client that reads can be sent any value.
    pub fn output_beside_one_value(&self) -> usize {
        let buffers = [&self.output, &self.held, &self.flight.buffer];
        let longest = buffers.into_iter().map(ReplyBuffer::longest_blob).max().unwrap_or(0);
        self.output_len().saturating_sub(longest)
    }

    /// Bytes of memory that it takes, shared values not included.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.footprint().owned
    }

    /// What its buffers take.
    #[inline]
    pub fn footprint(&self) -> Footprint {
        let buffers = [&self.output, &self.held, &self.flight.buffer];
        let owned = self.input.capacity()
            + self.parser.pending_bytes()
            + buffers.iter().map(|buffer| buffer.bytes.capacity()).sum::<usize>()
            + self.places.capacity() * size_of::<Place>()
            + self.session.transaction.as_ref().map_or(0, |it| it.bytes());
        Footprint { owned, lent: buffers.iter().map(|buffer| buffer.blob_bytes()).sum() }
    }

    /// Bytes that unexecuted input takes; 0 if there is none.
    #[inline]
    pub fn unexecuted_bytes(&self) -> usize {
        let pending = self.parser.pending_bytes();
        match self.input_len() {
            0 => pending,
            _ => pending + self.input.capacity(),
        }
    }

    /// Gives back what its input's buffer has and does not need: all of it if nothing is in it, and
    /// most if that has to wait for the client to read.
    pub fn release_spare_input(&mut self) {
        let (waits, has) = (self.input_len(), self.input.capacity());
        let much = has > 2 * waits && self.waits_for_its_reader();
        if has > 0 && (waits == 0 || much) && !self.in_batch {
            self.input = self.input[self.input_start..].to_vec();
            self.input_seen = self.input_seen.saturating_sub(self.input_start);
            self.input_start = 0;
        }
    }

    /// From how many bytes of pending output on its requests wait.
    #[inline]
    pub fn output_pause_bytes(&self) -> usize {
        if self.thrifty { OUTPUT_PAUSE_BYTES_THRIFTY } else { OUTPUT_PAUSE_BYTES }
    }

    /// Whether its requests wait until the client has read: much output waits, or, where buffers are
    /// short, some that the socket did not take.
    #[inline]
    pub fn waits_for_its_reader(&self) -> bool {
        self.output_len() >= self.output_pause_bytes()
            || (self.thrifty && self.flight.leg == Leg::Waiting)
    }

    /// Whether so much has been asked for, or is there to be sent, that its requests wait.
    #[inline]
    pub fn is_owed_enough(&self) -> bool {
        let places_max = if self.thrifty { PLACES_MAX_THRIFTY } else { PLACES_MAX };
        self.places.len() >= places_max || self.waits_for_its_reader()
    }

    /// Replies that other lanes owe, and those that wait behind them.
    pub fn places_waiting(&self) -> usize {
        self.places.len()
    }

    /// Where the reply of the next command goes: straight out, or behind those that are waited for.
    #[inline]
    pub fn reply_target(&mut self) -> &mut ReplyBuffer {
        if self.places.is_empty() { &mut self.output } else { &mut self.held }
    }

    /// The reply written to `reply_target` since `from` is complete.
    #[inline]
    pub fn reply_written(&mut self, from: Mark) {
        if self.places.is_empty() {
            self.newest = from;
        } else {
            let to = self.held.mark();
            self.places.push_back(Place::Held(Stretch { from, to }));
        }
    }

    /// Adds what the client did not ask for, behind the replies that it is still owed: what it has
    /// read before may be what it is told of now. But for a command that waits for something to take:
    /// that may be for ever, and it has read nothing.
    pub fn push(&mut self, message: &ReplyBuffer) {
        if self.places.is_empty()
            || self.blocked.is_some_and(|(place, _)| place == self.first_place)
        {
            self.output.append(message, message.whole());
            // It is no reply: `muffle_last` must not take it back.
            self.newest = self.output.mark();
            return;
        }
        let from = self.held.mark();
        self.held.append(message, message.whole());
        self.places.push_back(Place::Held(Stretch { from, to: self.held.mark() }));
    }

    /// The newest reply, written or awaited, is not to be sent.
    pub fn muffle_last(&mut self) {
        match self.places.back_mut() {
            None => self.output.truncate(self.newest),
            Some(place @ Place::Waiting) => *place = Place::Muted,
            Some(Place::Held(stretch) | Place::Leading(stretch, _)) => stretch.to = stretch.from,
            Some(Place::Muted) => {}
        }
    }

    /// The number that the next reserved place will have.
    pub fn next_place(&self) -> u32 {
        self.first_place.wrapping_add(self.places.len() as u32)
    }

    /// Reserves the place of a reply that comes later; returns its sequence number.
    pub fn reserve_place(&mut self) -> u32 {
        let sequence = self.next_place();
        self.places.push_back(Place::Waiting);
        sequence
    }

    /// Puts a reply into its reserved place, and lets out what may now go.
    pub fn fill_place(&mut self, sequence: u32, reply: &ReplyBuffer, stretch: Stretch) {
        let index = sequence.wrapping_sub(self.first_place) as usize;
        let wanted = match self.places.get(index) {
            Some(Place::Waiting) => true,
            Some(Place::Muted) => false,
            Some(Place::Held(_) | Place::Leading(..)) | None => {
                panic!("a reply came for a place that waits for none")
            }
        };
        if index > 0 {
            let from = self.held.mark();
            if wanted {
                self.held.append(reply, stretch);
            }
            self.places[index] = Place::Held(Stretch { from, to: self.held.mark() });
            if matches!(self.places.front(), Some(Place::Leading(..))) {
                self.newest = self.output.mark();
                self.let_out();
            }
            return;
        }
        self.newest = self.output.mark();
        if wanted {
            self.output.append(reply, stretch);
        }
        self.places.pop_front();
        self.first_place = self.first_place.wrapping_add(1);
        self.let_out();
    }

    /// Lets out what waits for nothing any more.
    fn let_out(&mut self) {
        while let Some(place) = self.places.front() {
            let stretch = match *place {
                Place::Held(stretch) => stretch,
                Place::Leading(stretch, followers) if self.are_held(followers) => stretch,
                Place::Leading(..) | Place::Waiting | Place::Muted => break,
            };
            self.output.append(&self.held, stretch);
            self.places.pop_front();
            self.first_place = self.first_place.wrapping_add(1);
        }
        if self.places.is_empty() {
            self.held.clear();
            self.late = false;
        }
    }

    /// As `fill_place` with the whole of a buffer, which is taken without copying where nothing
    /// stands before it.
    pub fn give_place(&mut self, sequence: u32, reply: &mut ReplyBuffer) {
        let next = sequence == self.first_place && self.output.is_empty();
        if next && matches!(self.places.front(), Some(Place::Waiting)) {
            std::mem::swap(&mut self.output, reply);
            reply.clear();
        }
        let stretch = Stretch { from: ReplyBuffer::default().mark(), to: reply.mark() };
        self.fill_place(sequence, reply, stretch);
    }

    /// Whether the places after the first are there, so many of them.
    fn are_held(&self, followers: usize) -> bool {
        self.places.range(1..=followers).all(|place| match place {
            Place::Held(_) | Place::Leading(..) => true,
            Place::Waiting | Place::Muted => false,
        })
    }

    /// Takes out the places behind a reserved one, so that replies which belong to that one can be
    /// written directly behind it; `end_group` puts them back.
    pub fn begin_group(&mut self, sequence: u32) -> PlacesBehind {
        let index = sequence.wrapping_sub(self.first_place) as usize;
        PlacesBehind(self.places.split_off(index + 1))
    }

    /// Fills the reserved place with the head of the replies that were written since `begin_group`.
    pub fn end_group(&mut self, sequence: u32, behind: PlacesBehind, head: &[u8]) {
        let index = sequence.wrapping_sub(self.first_place) as usize;
        let followers = self.places.len() - index - 1;
        let from = self.held.mark();
        if matches!(self.places[index], Place::Waiting) {
            self.held.bytes.extend_from_slice(head);
        }
        let stretch = Stretch { from, to: self.held.mark() };
        self.places[index] = Place::Leading(stretch, followers);
        self.places.extend(behind.0);
        if index == 0 {
            self.newest = self.output.mark();
            self.let_out();
        }
    }

    /// Whether it could move to another lane now: nothing in hand in either direction.
    pub fn is_quiet(&self) -> bool {
        self.phase == Phase::Open
            && self.parser.is_idle()
            && self.input_len() == 0
            && !self.barrier
            && !self.ready
            && self.places.is_empty()
            && self.output.is_empty()
            && self.flight.leg == Leg::Landed
            && !self.input_ended
    }

    /// Whether commands of it may be parsed and executed now.
    pub fn may_execute(&self) -> bool {
        self.phase == Phase::Open
            && !self.barrier
            && self.leaving_for.is_none()
            && !self.is_owed_enough()
    }

    /// Whether the output should wait for replies that other lanes owe behind it, so that one send
    /// carries them all. Not in front of what may take its time.
    pub fn is_worth_withholding(&self) -> bool {
        !self.places.is_empty()
            && self.phase == Phase::Open
            && !self.barrier
            && !self.late
            && self.blocked.is_none()
            && self.output.len() < WITHHELD_BYTES_MAX
    }

    /// Moves the written output into an idle flight; false if there is none or one is under way.
    pub fn load_flight(&mut self) -> bool {
        if self.flight.leg != Leg::Landed || self.output.is_empty() {
            return false;
        }
        std::mem::swap(&mut self.flight.buffer, &mut self.output);
        self.flight.sent = 0;
        true
    }

    /// The flight has landed: its memory is kept for the next, unless it grew large or memory is
    /// short (`frugal`).
    pub fn clear_flight(&mut self, frugal: bool) {
        let keep_bytes_max = if frugal { 0 } else { KEEP_BYTES_MAX };
        self.flight.buffer.clear();
        self.flight.sent = 0;
        self.flight.header = None;
        if self.flight.buffer.bytes.capacity() > keep_bytes_max {
            self.flight.buffer = ReplyBuffer::default();
        }
        if self.held.is_empty() && self.held.bytes.capacity() > keep_bytes_max {
            self.held = ReplyBuffer::default();
        }
        if self.places.is_empty() && self.places.capacity() * size_of::<Place>() > keep_bytes_max {
            self.places = VecDeque::new();
        }
    }

    /// Gives back the buffers of a connection that has nothing in hand. Returns whether any were held.
    pub fn release_buffers(&mut self) -> bool {
        if !self.is_quiet() {
            return false;
        }
        let held = self.input.capacity() + self.output.bytes.capacity() > 0;
        self.input = Vec::new();
        self.input_start = 0;
        self.input_seen = 0;
        self.output = ReplyBuffer::default();
        self.held = ReplyBuffer::default();
        self.flight = Flight::default();
        self.places = VecDeque::new();
        held
    }
}

/// The connections of a lane, by place; a place's generation grows with each occupant.
#[derive(Default)]
pub struct Connections {
    places: Vec<(u32, Option<Box<Connection>>)>,
    free: Vec<u32>,
    count: usize,
}

impl Connections {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a connection.
    pub fn insert(&mut self, socket: OwnedFd, session: Session) -> ConnectionId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push((0, None));
            self.places.len() as u32 - 1
        });
        let place = &mut self.places[index as usize];
        place.0 = (place.0 + 1) & GENERATION_MASK;
        let id = ConnectionId { index, generation: place.0 };
        place.1 = Some(Box::new(Connection::new(id, socket, session)));
        self.count += 1;
        id
    }

    /// The connection, unless it has gone.
    #[inline]
    pub fn get(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let (generation, connection) = self.places.get_mut(id.index as usize)?;
        if *generation != id.generation {
            return None;
        }
        connection.as_deref_mut()
    }

    pub fn remove(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        let (generation, connection) = self.places.get_mut(id.index as usize)?;
        if *generation != id.generation {
            return None;
        }
        let connection = connection.take()?;
        self.free.push(id.index);
        self.count -= 1;
        Some(connection)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.places.iter().filter_map(|(_, connection)| connection.as_deref())
    }

    /// The connection at a place of the table, whoever it is; None beyond or where nobody is.
    pub fn at(&self, index: usize) -> Option<&Connection> {
        self.places.get(index)?.1.as_deref()
    }

    /// How many places there are, empty ones included.
    pub fn places(&self) -> usize {
        self.places.len()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use ringlane_base::LaneId;

    use super::*;
    use crate::session::Door;

    type Set = fn(&mut Connection, bool);

    fn connection() -> Connection {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let socket = std::fs::File::open("/dev/null").unwrap().into();
        let session = Session::new(1, Door::Front, nowhere, nowhere, 0);
        Connection::new(ConnectionId { index: 0, generation: 0 }, socket, session)
    }

    fn write(connection: &mut Connection, reply: &[u8]) {
        let target = connection.reply_target();
        let from = target.mark();
        target.bytes.extend_from_slice(reply);
        connection.reply_written(from);
    }

    #[test]
    fn places_that_replies_left_count_and_go_where_memory_is_short() {
        const PLACES: usize = 1000;
        let mut connection = connection();
        let places: Vec<u32> = (0..PLACES).map(|_| connection.reserve_place()).collect();
        let reply = ReplyBuffer::default();
        for place in places {
            connection.fill_place(place, &reply, reply.whole());
        }
        assert!(connection.footprint().owned >= PLACES * size_of::<Place>());
        connection.clear_flight(false);
        assert!(connection.footprint().owned > 0, "the next replies would need them again");
        connection.clear_flight(true);
        assert_eq!(connection.footprint().owned, 0);
    }

    #[test]
    fn output_is_withheld_for_what_comes_soon() {
        let mut connection = connection();
        write(&mut connection, b"+OK\r\n");
        assert!(!connection.is_worth_withholding(), "nothing is owed");
        let first = connection.reserve_place();
        let second = connection.reserve_place();
        assert!(connection.is_worth_withholding());

        let cases: [(&str, Set); 3] = [
            ("a barrier", |connection, on| connection.barrier = on),
            ("waiting", |connection, on| connection.blocked = on.then_some((0, LaneId(1)))),
            ("draining", |connection, on| {
                connection.phase = if on { Phase::Draining } else { Phase::Open };
            }),
        ];
        for (what, set) in cases {
            set(&mut connection, true);
            assert!(!connection.is_worth_withholding(), "{what}");
            set(&mut connection, false);
            assert!(connection.is_worth_withholding(), "{what}");
        }

        let mut reply = ReplyBuffer::default();
        reply.bytes.extend_from_slice(b":1\r\n");
        connection.fill_place(first, &reply, reply.whole());
        assert!(connection.is_worth_withholding(), "the other is still owed");
        connection.fill_place(second, &reply, reply.whole());
        assert!(!connection.is_worth_withholding());
        assert!(connection.load_flight());
        assert_eq!(connection.flight.buffer.bytes, b"+OK\r\n:1\r\n:1\r\n");

        write(&mut connection, &vec![b'x'; WITHHELD_BYTES_MAX]);
        connection.reserve_place();
        assert!(!connection.is_worth_withholding(), "it is much");
    }
}
