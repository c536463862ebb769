//! The shape of a row of the command table.

use ringlane_base::Database;

use crate::{Args, CommandError, Context};

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
    /// Answered even while something long runs.
    pub const ALLOW_BUSY: Self = Self(1 << 10);
    /// Refused inside MULTI.
    pub const NO_MULTI: Self = Self(1 << 11);

    /// Every mark with the name that `COMMAND` prints, in Redis's order.
    pub const NAMES: [(Self, &'static str); 12] = [
        (Self::DENYOOM, "denyoom"),
        (Self::ADMIN, "admin"),
        (Self::NOSCRIPT, "noscript"),
        (Self::BLOCKING, "blocking"),
        (Self::LOADING, "loading"),
        (Self::STALE, "stale"),
        (Self::SKIP_MONITOR, "skip_monitor"),
        (Self::SKIP_SLOWLOG, "skip_slowlog"),
        (Self::FAST, "fast"),
        (Self::NO_AUTH, "no_auth"),
        (Self::ALLOW_BUSY, "allow_busy"),
        (Self::NO_MULTI, "no_multi"),
    ];

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

impl Group {
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Generic => "generic",
            Self::Connection => "connection",
            Self::Server => "server",
            Self::Cluster => "cluster",
        }
    }
}

/// The ACL categories that do not follow from access and flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Categories(pub u8);

impl Categories {
    pub const NONE: Self = Self(0);
    pub const KEYSPACE: Self = Self(1);
    pub const STRING: Self = Self(1 << 1);
    pub const CONNECTION: Self = Self(1 << 2);
    pub const DANGEROUS: Self = Self(1 << 3);

    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One row of the table, or one subcommand of a row.
pub struct CommandSpec {
    /// In lower case, as Redis prints it; a subcommand's is `container|name`.
    pub name: &'static str,
    /// Position in the table, subcommands after all commands: an index below `table::ID_COUNT` for
    /// per-command statistics.
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
    /// What follows the name, as documentation writes it; empty if nothing may.
    pub arguments: &'static str,
    pub categories: Categories,
    /// What happens to the keys, in the words of Redis's key specifications (`RW access update`):
    /// one text for all keys alike, or one for each key. Empty without keys.
    pub key_flags: &'static [&'static str],
    /// Hints for clients that spread requests, as in `COMMAND`.
    pub tips: &'static [&'static str],
    pub subcommands: &'static [CommandSpec],
    /// Reads from the arguments, and the number of databases there are, in which of them the second
    /// key is meant, if an option says so (`COPY … DB n`).
    pub second_database: Option<fn(Args<'_>, u8) -> Option<Database>>,
    pub run: Run,
}

impl CommandSpec {
    /// The name without its container: `get` of `config|get`.
    pub fn short_name(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, short)| short)
    }

    /// Whether a command of `count` arguments, the name included, may run. A key without its value
    /// (MSET) is refused here too, so that nothing behind it meets half a pair.
    #[inline]
    pub fn check_arity(&self, count: usize) -> Result<(), CommandError> {
        let enough = match self.arity {
            Arity::Exactly(exactly) => count == exactly,
            Arity::AtLeast(least) => count >= least,
        };
        if enough && (self.keys != Keys::Pairs || count % 2 == 1) {
            return Ok(());
        }
        Err(CommandError::WrongArity(self.name))
    }

    /// The indices of the arguments that are keys, in order, for a command of `count` arguments
    /// whose arity was checked.
    #[inline]
    pub fn key_positions(&self, count: usize) -> KeyPositions {
        let (next, end, step) = match self.keys {
            Keys::None => (0, 0, 1),
            Keys::First => (1, 2, 1),
            Keys::FirstTwo => (1, 3, 1),
            Keys::Second => (2, 3, 1),
            Keys::All => (1, count, 1),
            Keys::Pairs => (1, count, 2),
        };
        KeyPositions { next, end: end.min(count), step }
    }

    /// In which of the `databases` the key at `position` is meant, where `selected` is the
    /// connection's. An option that is malformed or out of range is left to the handler to refuse.
    pub fn key_database(
        &self,
        args: Args<'_>,
        position: usize,
        selected: Database,
        databases: u8,
    ) -> Database {
        match self.second_database {
            Some(read) if position == 2 => read(args, databases).unwrap_or(selected),
            Some(_) | None => selected,
        }
    }

    /// The subcommand of this name, case ignored.
    pub fn subcommand(&self, name: &[u8]) -> Option<&'static CommandSpec> {
        self.subcommands.iter().find(|row| row.short_name().as_bytes().eq_ignore_ascii_case(name))
    }
}

/// Where the keys stand among the arguments.
#[derive(Clone, Debug)]
pub struct KeyPositions {
    next: usize,
    end: usize,
    step: usize,
}

impl Iterator for KeyPositions {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.next >= self.end {
            return None;
        }
        let position = self.next;
        self.next += self.step;
        Some(position)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end.saturating_sub(self.next).div_ceil(self.step);
        (left, Some(left))
    }
}

impl ExactSizeIterator for KeyPositions {}
