//! Questions that one lane puts to all, for commands about the server as a whole, and the answers.

use ringlane_resp::Version;

use crate::admin::report::LaneReport;
use crate::core::Core;
use crate::reply::RespReply;
use crate::ring::ConnectionId;

/// What a lane is asked.
#[derive(Clone, Debug)]
pub enum Question {
    /// Everything it counts: INFO, MEMORY STATS, LATENCY HISTOGRAM.
    Report,
    /// `CONFIG RESETSTAT`.
    ResetStats,
    /// One line a client: `CLIENT LIST`, with its filters.
    Clients(crate::admin::client::Filter),
    /// `CLIENT KILL`: how many were killed.
    KillClients(crate::admin::client::Filter),
    /// The newest entries of the slow log, at most this many.
    Slowlog(usize),
    SlowlogReset,
    LatencyReset,
    /// `MEMORY PURGE`, `DEBUG` and other upkeep without an answer.
    Purge,
}

/// What it answers.
pub enum Answer {
    Report(Box<LaneReport>),
    Lines(Vec<crate::admin::client::Line>),
    Count(u64),
    Slowlog(Vec<crate::admin::slowlog::Entry>),
    Done,
}

/// What a finishing function is given: all lanes' answers and the command's own arguments.
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

/// The protocol version to answer a connection in.
pub fn version_of(core: &mut Core, connection: ConnectionId) -> Version {
    core.connections.get(connection).map_or(Version::Resp2, |it| it.session.version)
}
