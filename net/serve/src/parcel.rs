//! What lanes send each other: requests in batches, their answers, and the rarer messages.
//! Everything in it is owned; nothing refers to another lane's memory.

use std::ops::Range;
use std::os::fd::OwnedFd;

use bytes::Bytes;
use ringlane_base::{Database, LaneId, Slot};
use ringlane_command::{Args, CommandSpec, FormedKeys, HandlerLimits, Keys, RoutedKey};
use ringlane_resp::Version;
use ringlane_store::{Exported, OwnedEffect};

use crate::admin::slowlog;
use crate::admin::slowlog::SlowCommand;
use crate::ask::{Answer, Question};
use crate::blocked::{Number, Unblock};
use crate::pubsub::Note;
use crate::reply_buffer::{ReplyBuffer, Stretch};
use crate::ring::ConnectionId;
use crate::run::{Manner, Slices};
use crate::session::Session;
use crate::taking::{self, Ask};
use crate::together::LookUp;
use crate::tracking::Mark;
use crate::watch::WatchId;

/// Buffers that came back larger than this are not kept for reuse.
const KEEP_BYTES_MAX: usize = 64 << 10;
/// The same for the list of requests.
const KEEP_REQUESTS_MAX: usize = 1024;

/// Whom an answer is for, at the lane that asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReturnTo {
    /// A reserved place of a connection.
    Place { connection: ConnectionId, sequence: u32 },
    /// One part of an answer that is put together from several.
    Part { gather: u32, part: u32 },
    /// One part of a slice of a long command, which may hold the slots that it writes to.
    Slice { long: u32, part: u32, holds: bool },
}

/// One command for another lane, or for later.
#[derive(Clone, Copy)]
pub struct Request {
    pub return_to: ReturnTo,
    pub spec: &'static CommandSpec,
    /// Of `Parcel::args`: the arguments after the name. None before it stands in a parcel.
    args: (u32, u32),
    pub routed: Option<RoutedKey>,
    pub database: Database,
    pub version: Version,
    /// Reads leave the eviction bits alone.
    pub no_touch: bool,
    /// Of a client that tracks.
    pub mark: Option<Mark>,
}

impl Request {
    /// One that gets its arguments in its parcel.
    #[inline]
    pub fn new(
        return_to: ReturnTo,
        spec: &'static CommandSpec,
        routed: Option<RoutedKey>,
        manner: Manner,
    ) -> Self {
        let Manner { database, version, no_touch, mark, limits: _ } = manner;
        Self { return_to, spec, args: (0, 0), routed, database, version, no_touch, mark }
    }

    /// How its handler is to run, within the limits of where it runs.
    #[inline]
    pub fn manner(&self, limits: HandlerLimits) -> Manner {
        let Self { database, version, no_touch, mark, .. } = *self;
        Manner { database, version, no_touch, mark, limits }
    }

    /// How many arguments it has after its name.
    pub fn arguments(&self) -> usize {
        (self.args.1 - self.args.0) as usize
    }

    /// The same command for one of its keys.
    pub fn of_one_key(self, return_to: ReturnTo) -> Self {
        Self { return_to, routed: None, ..self }
    }

    /// The slot of its key, if it is a command of one.
    pub fn only_slot(&self) -> Option<Slot> {
        self.routed.filter(|_| self.spec.keys == Keys::First).map(|routed| routed.slot)
    }
}

/// Where an argument of a request lies.
#[derive(Clone, Copy)]
enum Place {
    Bytes(u32, u32),
    Blob(u32),
}

/// A batch of requests on its way out, of answers on its way back. The same box travels both ways.
#[derive(Default)]
pub struct Parcel {
    pub requests: Vec<Request>,
    bytes: Vec<u8>,
    args: Vec<Place>,
    pub blobs: Vec<Bytes>,
    pub replies: ReplyBuffer,
    pub answers: Vec<(ReturnTo, Stretch)>,
}

impl Parcel {
    /// One with this request alone.
    pub fn of_one(request: Request, args: Args<'_>) -> Box<Self> {
        let mut parcel = Box::<Self>::default();
        parcel.push(request, args.from(1), args.blobs());
        parcel
    }

    /// Adds a request; `args` without the name. An argument that is one of `blobs` is shared.
    pub fn push(&mut self, request: Request, args: &[&[u8]], blobs: &[Bytes]) {
        let first = self.args.len() as u32;
        for arg in args {
            let place = match blobs.iter().find(|blob| blob.as_ptr() == arg.as_ptr()) {
                Some(blob) if blob.len() == arg.len() && !arg.is_empty() => {
                    self.blobs.push(blob.clone());
                    Place::Blob(self.blobs.len() as u32 - 1)
                }
                Some(_) | None => {
                    let start = self.bytes.len() as u32;
                    self.bytes.extend_from_slice(arg);
                    Place::Bytes(start, self.bytes.len() as u32)
                }
            };
            self.args.push(place);
        }
        self.requests.push(Request { args: (first, self.args.len() as u32), ..request });
    }

    /// Whose commands these are, if that connection tracks; `lane` is its lane.
    pub fn writer(&self, lane: LaneId) -> Option<(LaneId, ConnectionId)> {
        let mark = self.requests.first()?.mark?;
        Some((lane, mark.connection))
    }

    /// The arguments of a request, its name first.
    pub fn slices<'a>(&'a self, request: &Request, slices: &mut impl Extend<&'a [u8]>) {
        slices.extend(self.words(request));
    }

    /// As many of them as the slow log shows.
    pub fn first_slices(&self, request: &Request) -> Vec<&[u8]> {
        self.words(request).take(slowlog::ARGS_MAX).collect()
    }

    fn words<'a>(&'a self, request: &Request) -> impl Iterator<Item = &'a [u8]> {
        // A subcommand's row is named `container|name`; its name is an argument of its own.
        let name = request.spec.name;
        let name = name.split_once('|').map_or(name, |(container, _)| container);
        let Range { start, end } = request.args.0 as usize..request.args.1 as usize;
        let args = self.args[start..end].iter().map(|place| match *place {
            Place::Bytes(start, end) => &self.bytes[start as usize..end as usize],
            Place::Blob(index) => &self.blobs[index as usize][..],
        });
        std::iter::once(name.as_bytes()).chain(args)
    }

    /// One of a request's arguments after its name.
    pub fn argument(&self, request: &Request, index: usize) -> &[u8] {
        match self.args[request.args.0 as usize + index] {
            Place::Bytes(start, end) => &self.bytes[start as usize..end as usize],
            Place::Blob(index) => &self.blobs[index as usize][..],
        }
    }

    /// Adds a request with those of its arguments to another parcel, large values shared.
    pub fn copy_to(&self, other: &mut Self, request: Request, arguments: Range<usize>) {
        let first = other.args.len() as u32;
        let from = request.args.0 as usize;
        for place in &self.args[from + arguments.start..from + arguments.end] {
            let place = match *place {
                Place::Bytes(start, end) => {
                    let at = other.bytes.len() as u32;
                    other.bytes.extend_from_slice(&self.bytes[start as usize..end as usize]);
                    Place::Bytes(at, other.bytes.len() as u32)
                }
                Place::Blob(index) => {
                    other.blobs.push(self.blobs[index as usize].clone());
                    Place::Blob(other.blobs.len() as u32 - 1)
                }
            };
            other.args.push(place);
        }
        other.requests.push(Request { args: (first, other.args.len() as u32), ..request });
    }

    /// Every key that a request names, with the database in which it is meant; a key may come twice.
    pub fn visit_keys(
        &self,
        request: &Request,
        databases: u8,
        visit: &mut dyn FnMut(Database, &[u8]),
    ) {
        let mut slices = Slices::new();
        self.slices(request, &mut slices);
        let args = Args::new(&slices, &self.blobs);
        request.spec.visit_keys(args, request.database, databases, visit);
    }

    /// Which keys a request's patterns may form.
    pub fn formed_keys(&self, request: &Request) -> FormedKeys {
        if request.spec.formed_keys.is_none() {
            return FormedKeys::None;
        }
        let mut slices = Slices::new();
        self.slices(request, &mut slices);
        request.spec.formed_keys(slices.len(), |index| slices[index])
    }

    /// Bytes of requests it carries, shared values not counted.
    pub fn request_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.answers.is_empty()
    }

    /// Ready for the next batch.
    pub fn clear(&mut self) {
        self.clear_requests();
        self.replies.clear();
        self.answers.clear();
        if self.replies.bytes.capacity() > KEEP_BYTES_MAX {
            self.replies = ReplyBuffer::default();
        }
    }

    /// The requests are answered; only the answers travel on.
    pub fn clear_requests(&mut self) {
        self.requests.clear();
        self.args.clear();
        self.blobs.clear();
        self.bytes.clear();
        if self.bytes.capacity() > KEEP_BYTES_MAX {
            self.bytes = Vec::new();
        }
        if self.requests.capacity() > KEEP_REQUESTS_MAX {
            self.requests = Vec::new();
        }
        if self.args.capacity() > KEEP_BYTES_MAX / size_of::<Place>() {
            self.args = Vec::new();
        }
    }
}

/// A connection that moves to another lane.
pub struct Migrant {
    pub socket: OwnedFd,
    pub session: Session,
}

/// The command that holds slots, by its number at the lane that runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    Together(u32),
    Long(u32),
}

/// A key that travels: with the database in which it is meant.
pub type Named = (Database, Box<[u8]>);

/// A key whose entry must travel.
pub struct Wanted {
    pub named: Named,
    /// It may be changed: it is lent, and given back whole. Otherwise it is shared.
    pub lend: bool,
}

/// What a key holds now; None: it is gone.
pub type Returned = (Named, Option<Exported>);

/// Slots of one lane that a command over several lanes needs to itself.
pub struct LockRequest {
    pub holder: Holder,
    pub ask: Ask,
    /// Ascending, no duplicates. None if the lane has granted them before and only entries are wanted.
    pub slots: Vec<Slot>,
    pub keys: Vec<Wanted>,
    /// Once the slots are held, the grant says whether one of this client's marks was touched. They end
    /// then, but for `Ask::Try`.
    pub watch: Option<WatchId>,
    /// A command that has waited: the grant says whether it may try.
    pub waiter: Option<Number>,
}

impl LockRequest {
    /// For entries alone, whose slots the command holds.
    pub fn of_entries(holder: Holder, keys: Vec<Wanted>) -> Self {
        let (ask, slots) = (Ask::Wait, Vec::new());
        Self { holder, ask, slots, keys, watch: None, waiter: None }
    }
}

/// What came of a `LockRequest`. If the slots are held, these are the entries, of the keys that there
/// are.
pub struct Grant {
    pub holder: Holder,
    pub answer: taking::Answer,
    pub entries: Vec<(Named, Exported)>,
    /// A key that the client watches was touched.
    pub touched: bool,
    /// An older command that waits is to try before this one.
    pub behind: bool,
    /// Somebody at that lane wants to hear of every change.
    pub listens: bool,
}

impl Grant {
    /// No slot is held for it.
    pub fn of_nothing(holder: Holder, answer: taking::Answer) -> Self {
        let entries = Vec::new();
        Self { holder, answer, entries, touched: false, behind: false, listens: false }
    }
}

/// The commands have run: what they changed on this lane, and the slots to free, if they were the last.
#[derive(Default)]
pub struct Release {
    pub slots: Vec<Slot>,
    pub values: Vec<Returned>,
    /// What has made them so, to be told where somebody listens.
    pub effects: Vec<OwnedEffect>,
    /// The client whose command it was, if it tracks.
    pub writer: Option<(LaneId, ConnectionId)>,
    /// It is a command that has waited, or does from now on.
    pub attempted: Option<Attempted>,
}

/// What has become of a command of several lanes that waits.
pub enum Attempted {
    /// It has its answer.
    Ended(Number),
    /// It found nothing to take: it wants to hear when one of these keys changes.
    FoundNothing(Waits),
    /// It has not looked, so that an older one tries first; it waits as before.
    SteppedBack(Waits),
}

/// Keys of a lane for which a command of several lanes waits.
pub struct Waits {
    /// The lane that runs the command.
    pub leader: LaneId,
    pub number: Number,
    /// Whether the leader is to be told when one of the keys goes, too.
    pub needs_keys: bool,
    pub keys: Vec<Named>,
}

/// A transaction whose keys are all of one lane, or what that lane runs of one, on its way there and,
/// answered, back.
pub struct Errand {
    /// The number of what is under way, at the lane that sent it.
    pub together: u32,
    /// Its commands; those on data are answered in order.
    pub commands: Box<Parcel>,
    /// The client's marks on this lane end; it runs only if none was touched.
    pub watch: Option<WatchId>,
    pub touched: bool,
    /// It is what this lane runs of a transaction that holds all its slots: which part of it.
    pub share: Option<usize>,
}

/// Keys of one lane that a client watches from now on.
pub struct WatchRequest {
    pub gather: u32,
    pub id: WatchId,
    pub database: Database,
    pub keys: Vec<Box<[u8]>>,
}

/// One message between two lanes. Small: what is large is boxed.
pub enum Mail {
    Requests(Box<Parcel>),
    Answers(Box<Parcel>),
    Adopt(Box<Migrant>),
    Lock(Box<LockRequest>),
    Grant(Box<Grant>),
    Release(Box<Release>),
    /// A command that has locked the slots of keys wants to know what they hold.
    LookUp(Box<LookUp>),
    LookedUp(Box<LookUp>),
    Errand(Box<Errand>),
    ErrandDone(Box<Errand>),
    Watch(Box<WatchRequest>),
    /// The marks of the request of this gather are set.
    Watched {
        gather: u32,
    },
    /// A client's marks end.
    Unwatch(WatchId),
    Ask {
        gather: u32,
        part: u32,
        question: Box<Question>,
    },
    Answer {
        gather: u32,
        part: u32,
        answer: Box<Answer>,
    },
    /// The answer to this request of the receiver will take its time.
    Late(ReturnTo),
    /// A command of a connection of the receiver was slow here.
    Slow {
        connection: ConnectionId,
        command: Box<SlowCommand>,
    },
    /// A key has changed for which the sender's command of this number waits here.
    Ready(Number),
    /// The sender's command of this number does not wait any more.
    Forget(Number),
    /// A connection of the sender does not wait any more for what it has asked.
    Unblock {
        connection: ConnectionId,
        sequence: u32,
        how: Unblock,
    },
    /// About channels.
    Notes(Vec<Note>),
}

/// A message and who sent it.
pub struct Letter {
    pub from: LaneId,
    pub mail: Mail,
}
