//! The shape of a row of the command table.

use crate::{CommandError, Context};

/// How many arguments, the name included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    Exactly(usize),
    AtLeast(usize),
}

/// What a command does to data: read, write, or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    /// Touches no key: connection, server, statistics.
    Neither,
}

/// Which arguments are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    None,
    /// Argument 1.
    First,
    /// Arguments 1 and 2.
    FirstTwo,
    /// Argument 2 (`OBJECT FREQ key`, `MEMORY USAGE key`); absent for other subcommands.
    Second,
    /// Every argument after the name.
    All,
    /// Arguments 1, 3, 5, …, each followed by its value.
    Pairs,
}

/// How the answers of several lanes become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// One key, one lane.
    Single,
    /// One handler call a key, with the arguments `name key`; the answers as an array in key order.
    Ordered,
    /// One handler call a key, with the arguments `name key`; the integers added up.
    Sum,
    /// The keys must meet: inline when one lane owns them all, otherwise under the slots' locks the
    /// entries travel to one lane, the handler runs there on a scratch store, and its effects
    /// travel back.
    Together,
    /// Every lane runs it; the integers are added up (DBSIZE).
    SpreadSum,
    /// Every lane runs it; all answer OK (FLUSHALL, SWAPDB).
    SpreadOk,
    /// Every lane runs it; the arrays are joined (KEYS).
    SpreadJoin,
    /// The lanes are visited one after another (SCAN: the cursor's slot says which is next).
    Cursor,
    /// Any one lane that has a key, asked in random order weighted by size (RANDOMKEY).
    Pick,
}

/// A function that runs on the lane that owns the keys.
pub type Handler = fn(&mut Context<'_>) -> Result<(), CommandError>;

/// Who runs a command.
#[derive(Clone, Copy)]
pub enum Run {
    /// The lane that owns the key, on its store.
    Store(Handler),
    /// The lane that holds the connection: sessions, settings, statistics. `net/serve` matches on it.
    Serve(ServeCommand),
}

/// The commands that concern connections, settings and the server as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServeCommand {
    Asking,
    Auth,
    Client,
    Cluster,
    Command,
    Config,
    Debug,
    Echo,
    Hello,
    Info,
    Latency,
    Lolwut,
    /// MEMORY's subcommands but USAGE, which is a row of its own for routing.
    Memory,
    Ping,
    Quit,
    ReadOnly,
    ReadWrite,
    Reset,
    Select,
    Shutdown,
    Slowlog,
    Time,
    Wait,
}

/// Marks beyond read and write, with the names `COMMAND` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Flags(pub u16);

impl Flags {
    pub const NONE: Self = Self(0);
    /// May need memory: refused with OOM when nothing can be evicted.
    pub const DENYOOM: Self = Self(1);
    pub const FAST: Self = Self(1 << 1);
    pub const ADMIN: Self = Self(1 << 2);
    pub const NO_AUTH: Self = Self(1 << 3);
    pub const LOADING: Self = Self(1 << 4);
    pub const STALE: Self = Self(1 << 5);
    pub const NOSCRIPT: Self = Self(1 << 6);
    pub const BLOCKING: Self = Self(1 << 7);
    pub const SKIP_SLOWLOG: Self = Self(1 << 8);
    pub const SKIP_MONITOR: Self = Self(1 << 9);

    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The family, as `COMMAND DOCS` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    String,
    Generic,
    Connection,
    Server,
    Cluster,
}

/// One row of the table.
pub struct CommandSpec {
    /// In lower case, as Redis prints it.
    pub name: &'static str,
    /// Position in the table: an index for per-command statistics.
    pub id: u16,
    pub arity: Arity,
    pub access: Access,
    pub keys: Keys,
    pub merge: Merge,
    pub flags: Flags,
    pub group: Group,
    /// The version of Redis (or Valkey) that first had it.
    pub since: &'static str,
    pub complexity: &'static str,
    pub summary: &'static str,
    pub run: Run,
}
