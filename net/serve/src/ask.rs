//! Questions that one lane puts to all, for commands about the server as a whole, and the answers.

use bytes::Bytes;
use ringlane_base::Slot;

use crate::admin::client_filter::Filter;
use crate::admin::latency_events::{Event, LatencyEvents};
use crate::admin::report::LaneReport;
use crate::admin::slowlog::Entry;
use crate::blocked::Unblock;
use crate::core::Core;
use crate::pubsub::Kind;
use crate::reply::RespReply;
use crate::ring::ConnectionId;
use crate::script_aside::{Kills, RunningFunction};

/// What a lane is asked.
#[derive(Clone, Debug)]
pub enum Question {
    /// Everything it counts: INFO, MEMORY STATS. With the latencies of commands only where they are
    /// shown, since they are the larger part: LATENCY HISTOGRAM, `INFO latencystats`.
    Report {
        histograms: bool,
    },
    /// `CONFIG RESETSTAT`.
    ResetStats,
    /// One line a client: `CLIENT LIST`, with its filters, from this place in the table on.
    Clients(Filter, usize),
    /// `CLIENT UNBLOCK`: whether the client of this id waits, and now does not.
    Unblock(u64, Unblock),
    /// `CLIENT KILL`: how many were killed, from this place in the table on.
    KillClients(Filter, usize),
    /// The newest entries of the slow log, at most this many.
    Slowlog(usize),
    SlowlogLength,
    SlowlogReset,
    /// The events of LATENCY.
    LatencyEvents,
    /// `LATENCY RESET`: these events are forgotten; without names all, and the longest turn. Answered
    /// with the events as they were.
    LatencyReset(Option<Box<[Event]>>),
    /// Settings or the pause have changed; answered once the lane obeys them.
    Refresh,
    /// Whether it holds the connection of the client with this id (0: none has it).
    FindClient(u64),
    /// Channels of a kind that live on this lane and match, downward from a place in its table.
    Channels {
        kind: Kind,
        pattern: Option<Vec<u8>>,
        until: usize,
    },
    /// How many listen to these names, as far as they live on this lane.
    Listeners {
        kind: Kind,
        names: Vec<Vec<u8>>,
    },
    /// Keys of a slot, 0 if it is another lane's.
    SlotLength(Slot),
    /// SCRIPT KILL, FUNCTION KILL: which of its scripts end.
    KillScripts {
        functions: bool,
    },
    /// FUNCTION STATS: the function of it that has run longest.
    RunningFunction,
    /// Some keys of a slot, at most so many, none if it is another lane's.
    SlotKeys(Slot, usize),
}

/// What it answers. What may take long comes in slices: each brings the question for the next.
pub enum Answer {
    Report(Box<LaneReport>),
    Lines { lines: Bytes, rest: Option<Box<Question>> },
    Killed { count: u64, rest: Option<Box<Question>> },
    Names { names: Vec<Vec<u8>>, rest: Option<Box<Question>> },
    Count(u64),
    Counts(Vec<u64>),
    Client(Option<ConnectionId>),
    Slowlog(Vec<Entry>),
    LatencyEvents(Box<LatencyEvents>),
    Keys(Vec<Vec<u8>>),
    Kills(Kills),
    Function(Option<RunningFunction>),
    Done,
}

impl Answer {
    /// What the same lane must be asked for the rest.
    pub fn take_rest(&mut self) -> Option<Box<Question>> {
        match self {
            Self::Lines { rest, .. } | Self::Killed { rest, .. } | Self::Names { rest, .. } => {
                rest.take()
            }
            Self::Report(_)
            | Self::Count(_)
            | Self::Counts(_)
            | Self::Client(_)
            | Self::Slowlog(_)
            | Self::LatencyEvents(_)
            | Self::Keys(_)
            | Self::Kills(_)
            | Self::Function(_)
            | Self::Done => None,
        }
    }
}

/// What is in an answer, by the variant that the question has; any other is a bug of ours.
macro_rules! contents {
    ($($name:ident -> $content:ty: $variant:pat => $it:expr;)*) => {
        impl Answer {
            $(pub fn $name(self) -> $content {
                let $variant = self else {
                    unreachable!(concat!("the question asks for ", stringify!($name)));
                };
                $it
            })*
        }
    };
}

contents! {
    report -> LaneReport: Self::Report(report) => *report;
    lines -> Bytes: Self::Lines { lines, .. } => lines;
    count -> u64: (Self::Count(count) | Self::Killed { count, .. }) => count;
    counts -> Vec<u64>: Self::Counts(counts) => counts;
    names -> Vec<Vec<u8>>: Self::Names { names, .. } => names;
    keys -> Vec<Vec<u8>>: Self::Keys(keys) => keys;
    kills -> Kills: Self::Kills(kills) => kills;
    function -> Option<RunningFunction>: Self::Function(function) => function;
    client -> Option<ConnectionId>: Self::Client(client) => client;
    slow_commands -> Vec<Entry>: Self::Slowlog(entries) => entries;
    latency_events -> LatencyEvents: Self::LatencyEvents(events) => *events;
}

/// What a finishing function is given: all lanes' answers, in the order of the lanes, and the
/// command's own arguments.
pub struct Answers<'a> {
    pub connection: ConnectionId,
    pub args: &'a [Vec<u8>],
    pub answers: Vec<Answer>,
}

/// Writes the reply out of all answers.
pub type Finish = fn(&mut Core, Answers<'_>, &mut RespReply<'_>);

/// What became of a command about connections or the server.
pub enum Step {
    /// The reply is written.
    Done,
    /// The lanes are asked; `finish` writes the reply.
    Ask(Question, Finish),
}
