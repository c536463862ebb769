//! The shape of a row of the command table.

use bitflags::bitflags;
use ringlane_base::Database;

use crate::{Args, CommandError, Context, FormedKeys, HandlerLimits, parse};

/// How many arguments, the name included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    Exactly(usize),
    AtLeast(usize),
}

impl Arity {
    pub const fn least(self) -> usize {
        match self {
            Self::Exactly(count) | Self::AtLeast(count) => count,
        }
    }
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
    /// Every argument from this one on (`BITOP op key key …`).
    From(usize),
    /// Every argument but the last, which is a timeout (`BLPOP key … timeout`).
    AllButLast,
    /// This argument counts the keys that follow it (`LMPOP numkeys key …`, `EVAL script numkeys key …`).
    Counted(usize),
    /// The same, each key followed by its value (`MSETEX numkeys key value …`).
    CountedPairs(usize),
    /// Argument 1, and as many from argument 3 on as argument 2 says (`ZUNIONSTORE to numkeys key …`).
    ToCounted,
    /// The first half of what follows the word STREAMS (`XREAD … STREAMS key … id …`).
    Streams,
    /// Argument 1, and what follows the last STORE from argument 2 on (`SORT key … STORE to`).
    AndStore,
    /// The same for STORE and STOREDIST, from argument 5 on (`GEORADIUS key … STORE to`).
    AndStoreDist,
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
    Acl,
    Asking,
    Auth,
    Client,
    Cluster,
    Config,
    Debug,
    Discard,
    Echo,
    Exec,
    Function,
    Hello,
    Info,
    Latency,
    /// MEMORY's subcommands but USAGE, which is a row of its own for routing.
    Memory,
    Module,
    Monitor,
    Multi,
    Ping,
    Psubscribe,
    Publish,
    Pubsub,
    Punsubscribe,
    Quit,
    ReadOnly,
    ReadWrite,
    Reset,
    Role,
    Script,
    Select,
    Shutdown,
    Slowlog,
    Spublish,
    Ssubscribe,
    Subscribe,
    Sunsubscribe,
    Time,
    Unsubscribe,
    Unwatch,
    Wait,
    WaitAof,
    Watch,
}

bitflags! {
    /// Marks beyond read and write, with the names `COMMAND` prints.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Flags: u16 {
        /// May need memory: refused with OOM when nothing can be evicted.
        const DENYOOM = 1;
        const FAST = 1 << 1;
        const ADMIN = 1 << 2;
        const NO_AUTH = 1 << 3;
        const LOADING = 1 << 4;
        const STALE = 1 << 5;
        const NOSCRIPT = 1 << 6;
        const BLOCKING = 1 << 7;
        const SKIP_SLOWLOG = 1 << 8;
        const SKIP_MONITOR = 1 << 9;
        /// Answered even while something long runs.
        const ALLOW_BUSY = 1 << 10;
        /// Refused inside MULTI.
        const NO_MULTI = 1 << 11;
        /// About channels.
        const PUBSUB = 1 << 12;
        /// What it does is its script's matter: it may name no key, and is neither a read nor a write.
        const NO_MANDATORY_KEYS = 1 << 13;
        /// No write, but what others are told of: `CLIENT PAUSE … WRITE` holds it too. `COMMAND` prints no
        /// name for it.
        const MAY_REPLICATE = 1 << 14;
    }
}

impl Flags {
    /// Every mark that has one, with the name that `COMMAND` prints, in Redis's order.
    pub const NAMES: [(Self, &'static str); 14] = [
        (Self::DENYOOM, "denyoom"),
        (Self::ADMIN, "admin"),
        (Self::PUBSUB, "pubsub"),
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
        (Self::NO_MANDATORY_KEYS, "no_mandatory_keys"),
    ];
}

/// The family, as `COMMAND DOCS` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    String,
    Bitmap,
    List,
    Set,
    Hash,
    SortedSet,
    Stream,
    HyperLogLog,
    Geo,
    Generic,
    Transactions,
    Scripting,
    PubSub,
    Connection,
    Server,
    Cluster,
}

impl Group {
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Bitmap => "bitmap",
            Self::List => "list",
            Self::Set => "set",
            Self::Hash => "hash",
            Self::SortedSet => "sorted-set",
            Self::Stream => "stream",
            Self::HyperLogLog => "hyperloglog",
            Self::Geo => "geo",
            Self::Generic => "generic",
            Self::Transactions => "transactions",
            Self::Scripting => "scripting",
            Self::PubSub => "pubsub",
            Self::Connection => "connection",
            Self::Server => "server",
            Self::Cluster => "cluster",
        }
    }
}

bitflags! {
    /// The ACL categories that do not follow from access and flags.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Categories: u16 {
        const KEYSPACE = 1;
        const STRING = 1 << 1;
        const CONNECTION = 1 << 2;
        const DANGEROUS = 1 << 3;
        const BITMAP = 1 << 4;
        const LIST = 1 << 5;
        const SET = 1 << 6;
        const HASH = 1 << 7;
        const SORTEDSET = 1 << 8;
        const STREAM = 1 << 9;
        const HYPERLOGLOG = 1 << 10;
        const GEO = 1 << 11;
        const TRANSACTION = 1 << 12;
        const SCRIPTING = 1 << 13;
        const PUBSUB = 1 << 14;
        /// Of commands without the flag.
        const ADMIN = 1 << 15;
    }
}

/// That a command is old, and another does what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deprecated {
    /// The version of Redis that first said so.
    pub since: &'static str,
    /// What to say instead.
    pub instead: &'static str,
}

/// Arguments of a command about connections or the server, its name included: it looks at all of
/// them on its connection's lane, while others wait.
pub const SERVER_ARGUMENTS_MAX: usize = 1024;

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
    pub deprecated: Option<Deprecated>,
    /// What follows the name, as documentation writes it; empty if nothing may.
    pub arguments: &'static str,
    pub categories: Categories,
    /// `member_position`, 0 for none.
    pub(crate) member: u8,
    /// What happens to the keys, in the words of Redis's key specifications (`RW access update`):
    /// one text for all keys alike, or one for each key. Empty without keys.
    pub key_flags: &'static [&'static str],
    /// Hints for clients that spread requests, as in `COMMAND`.
    pub tips: &'static [&'static str],
    pub subcommands: &'static [CommandSpec],
    /// Reads from the arguments, and the number of databases there are, in which of them the second
    /// key is meant, if an option says so (`COPY … DB n`); for a command of one key, to which
    /// database it goes (`MOVE key n`).
    pub second_database: Option<fn(Args<'_>, u8) -> Option<Database>>,
    /// What happens to the key with these arguments, in the words of `key_flags`, of a command whose
    /// `key_flags` are `variable_flags`.
    pub key_flags_by: Option<fn(Args<'_>) -> &'static str>,
    /// Which keys its patterns may form, of one that takes patterns.
    pub formed_keys: Option<FormedKeysOf>,
    pub run: Run,
}

/// Reads from the arguments, so many with the name, which keys their patterns may form.
pub type FormedKeysOf = for<'a> fn(usize, &dyn Fn(usize) -> &'a [u8]) -> FormedKeys;

impl CommandSpec {
    /// Whether it changes what others are told of.
    pub fn may_replicate(&self) -> bool {
        self.access == Access::Write || self.flags.contains(Flags::MAY_REPLICATE)
    }

    /// Whether what it is given is so much that it goes aside before its handler has looked: whatever
    /// it does with very many arguments, or with long ones, it takes its time. Strings are kept as
    /// they came; their handlers ask for time themselves where they do more.
    #[inline]
    pub fn is_given_much(&self, args: Args<'_>, limits: HandlerLimits) -> bool {
        let many = args.len() > limits.elements_at_once_max;
        let long =
            || self.group != Group::String && args.are_longer_than(limits.kept_bytes_at_once_max());
        (many || long()) && self.may_be_given_much()
    }

    /// Whether its arguments may send it aside before its handler has looked: to a store that holds its
    /// keys and nothing else, without an interpreter, where nobody waits. Commands on keys of whatever type take few (and SORT may read others).
    fn may_be_given_much(&self) -> bool {
        matches!(self.run, Run::Store(_))
            && self.keys != Keys::None
            && !self.flags.contains(Flags::BLOCKING)
            && !matches!(self.group, Group::Scripting | Group::Generic)
    }

    /// Whether it runs a script or a function, over the keys that it names.
    #[inline]
    pub fn runs_script(&self) -> bool {
        matches!(self.group, Group::Scripting) && self.keys != Keys::None
    }

    /// Whether what its keys hold may be another thing afterwards: also of a command that only reads, but
    /// keeps with the key what it has reckoned.
    pub fn may_change_keys(&self) -> bool {
        self.access == Access::Write || self.key_flags.iter().any(|flags| !flags.starts_with("RO"))
    }

    /// The name without its container: `get` of `config|get`.
    pub fn short_name(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, short)| short)
    }

    /// Which argument names the first field or member, if no option stands before it.
    #[inline]
    pub fn member_position(&self) -> Option<u32> {
        (self.member > 0).then_some(u32::from(self.member))
    }

    /// Whether a command of `count` arguments, the name included, may run. A key without its value
    /// (MSET) is refused here too, so that nothing behind it meets half a pair.
    #[inline]
    pub fn check_arity(&self, count: usize) -> Result<(), CommandError> {
        let enough = match self.arity {
            Arity::Exactly(exactly) => count == exactly,
            Arity::AtLeast(least) => count >= least,
        };
        if !enough || (self.keys == Keys::Pairs && count.is_multiple_of(2)) {
            return Err(CommandError::WrongArity(self.name));
        }
        if count > SERVER_ARGUMENTS_MAX && self.is_about_the_server() {
            return Err(CommandError::TooManyArguments(self.name));
        }
        Ok(())
    }

    /// Whether it is about connections or the server, and not about keys, channels or scripts.
    fn is_about_the_server(&self) -> bool {
        matches!(self.run, Run::Serve(_))
            && matches!(self.group, Group::Connection | Group::Server | Group::Cluster)
    }

    /// The indices of the arguments that are keys, for a command of `count` arguments whose arity was
    /// checked; `argument` gives each. A number of keys that is malformed or too great gives none: the
    /// handler refuses it.
    #[inline]
    pub fn key_positions<'a>(
        &self,
        count: usize,
        argument: impl Fn(usize) -> &'a [u8],
    ) -> KeyPositions {
        let (next, end, step) = match self.keys {
            Keys::None => (0, 0, 1),
            Keys::First => (1, 2, 1),
            Keys::FirstTwo => (1, 3, 1),
            Keys::Second => (2, 3, 1),
            Keys::All => (1, count, 1),
            Keys::Pairs => (1, count, 2),
            Keys::From(first) => (first, count, 1),
            Keys::AllButLast => (1, count.saturating_sub(1), 1),
            Keys::Counted(at) => counted(at, count, 1, &argument),
            Keys::CountedPairs(at) => counted(at, count, 2, &argument),
            Keys::ToCounted => {
                let (next, end, step) = counted(2, count, 1, &argument);
                return KeyPositions { first: Some(1), next, end, step };
            }
            Keys::Streams => streams(count, &argument),
            Keys::AndStore => return and_store(2, &["store"], count, &argument),
            Keys::AndStoreDist => return and_store(5, &["store", "storedist"], count, &argument),
        };
        KeyPositions { first: None, next, end: end.min(count), step }
    }

    /// Which keys it may read besides those that its arguments name.
    #[inline]
    pub fn formed_keys<'a>(
        &self,
        count: usize,
        argument: impl Fn(usize) -> &'a [u8],
    ) -> FormedKeys {
        self.formed_keys.map_or(FormedKeys::None, |read| read(count, &argument))
    }

    /// `key_positions` of arguments that stand ready.
    #[inline]
    pub fn keys_of(&self, args: Args<'_>) -> KeyPositions {
        self.key_positions(args.len(), |index| args.from(index)[0])
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

    /// Whether all it does is to set each of its keys to the value behind it, whatever was there
    /// (MSET): then the pairs may be written one after another. The key specification says so.
    pub fn overwrites_pairs(&self) -> bool {
        self.keys == Keys::Pairs && self.key_flags == ["OW update"]
    }

    /// Every key of the command with the database in which it is meant; a key that goes to another
    /// database is there twice. Nothing for commands that are not on data.
    pub fn visit_keys(
        &self,
        args: Args<'_>,
        selected: Database,
        databases: u8,
        visit: &mut dyn FnMut(Database, &[u8]),
    ) {
        if matches!(self.run, Run::Serve(_)) {
            return;
        }
        for index in self.keys_of(args) {
            visit(self.key_database(args, index, selected, databases), &args[index]);
        }
        if let (Keys::First, Some(read)) = (self.keys, self.second_database)
            && let Some(database) = read(args, databases)
        {
            visit(database, &args[1]);
        }
    }

    /// What happens to the key that comes at `index` among those of the command with these arguments.
    pub fn flags_of_key(&self, args: Args<'_>, index: usize) -> &'static str {
        match self.key_flags_by {
            Some(tell) => tell(args),
            None => self.key_flags[index.min(self.key_flags.len() - 1)],
        }
    }

    /// Whether it is on data, but on whole databases instead of keys.
    pub fn is_on_databases(&self) -> bool {
        match self.merge {
            Merge::SpreadSum
            | Merge::SpreadOk
            | Merge::SpreadJoin
            | Merge::Cursor
            | Merge::Pick => true,
            Merge::Single | Merge::Ordered | Merge::Sum | Merge::Together => false,
        }
    }

    /// The subcommand of this name, case ignored.
    pub fn subcommand(&self, name: &[u8]) -> Option<&'static CommandSpec> {
        self.subcommands.iter().find(|row| row.short_name().as_bytes().eq_ignore_ascii_case(name))
    }
}

/// Where a field or member is named, by how the arguments are written (`key [NX | XX] score member`):
/// the number of the word, those that may be left out not counted; 0 if there is none.
pub(crate) const fn member_in(arguments: &str) -> u8 {
    let text = arguments.as_bytes();
    let (mut at, mut depth, mut word) = (0, 0, 0);
    while at < text.len() {
        let start = at;
        while at < text.len() && text[at] != b' ' {
            match text[at] {
                b'[' | b'<' => depth += 1,
                b']' | b'>' => depth -= 1,
                _ => {}
            }
            at += 1;
        }
        let (_, from) = text.split_at(start);
        let (this, _) = from.split_at(at - start);
        // A choice of which one must be made counts where it ends.
        if depth == 0 && !matches!(this, [.., b']']) {
            word += 1;
            if matches!(this, b"member" | b"field") {
                return word;
            }
        }
        at += 1;
    }
    0
}

/// The keys that argument `at` counts, one every `step` arguments.
#[cold]
fn counted<'a>(
    at: usize,
    count: usize,
    step: usize,
    argument: &impl Fn(usize) -> &'a [u8],
) -> (usize, usize, usize) {
    let keys = if at < count { ringlane_base::number::parse_integer(argument(at)) } else { None };
    match keys.and_then(|keys| usize::try_from(keys).ok()) {
        Some(keys) if keys <= (count - at - 1) / step => (at + 1, at + 1 + keys * step, step),
        Some(_) | None => (0, 0, 1),
    }
}

#[cold]
fn streams<'a>(count: usize, argument: &impl Fn(usize) -> &'a [u8]) -> (usize, usize, usize) {
    match (1..count).find(|&at| parse::is(argument(at), "streams")) {
        Some(word) => (word + 1, word + 1 + (count - word - 1) / 2, 1),
        None => (0, 0, 1),
    }
}

#[cold]
fn and_store<'a>(
    from: usize,
    words: &[&str],
    count: usize,
    argument: &impl Fn(usize) -> &'a [u8],
) -> KeyPositions {
    let is_word = |at: &usize| words.iter().any(|word| parse::is(argument(*at), word));
    match (from..count.saturating_sub(1)).rev().find(is_word) {
        Some(word) => KeyPositions { first: Some(1), next: word + 1, end: word + 2, step: 1 },
        None => KeyPositions { first: None, next: 1, end: 2.min(count), step: 1 },
    }
}

/// Where the keys stand among the arguments.
#[derive(Clone, Debug)]
pub struct KeyPositions {
    /// Before the regular ones.
    first: Option<usize>,
    next: usize,
    end: usize,
    step: usize,
}

impl Iterator for KeyPositions {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
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
        let left = left + usize::from(self.first.is_some());
        (left, Some(left))
    }
}

impl ExactSizeIterator for KeyPositions {}
