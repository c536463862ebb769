//! One run of a script: what the commands it calls may do, on which store. Knows no Lua.

use std::ops::Range;

use bytes::Bytes;
use ringlane_base::{Database, Slot};
use ringlane_command::lookups::look_up;
use ringlane_command::spec::Handler;
use ringlane_command::{
    Access, Args, CommandError, CommandSpec, Context, Flags, HandlerLimits, Lookups, Merge, Reply,
    RoutedKey, Run as Runs, ServeCommand, Waiting, parse, table,
};
use ringlane_store::{Key, Store};
use smallvec::SmallVec;

use crate::tape::Tape;
use crate::watch::Clocks;

/// Arguments of a command that a script calls.
pub type Slices<'a> = SmallVec<[&'a [u8]; 16]>;

/// Whose entries the store of a run holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A lane's.
    Lane,
    /// Those of the declared keys and no others: a command over several lanes.
    Scratch,
}

/// Which keys a script may touch.
#[derive(Debug)]
pub struct Reach {
    pub place: Place,
    /// The keys that the script was given, if it may touch no others, or else their slots; ascending.
    pub keys: Vec<Box<[u8]>>,
    pub slots: SmallVec<[Slot; 8]>,
    /// The slots of this lane.
    pub lane: Range<u16>,
    /// Whether the lane owns all slots there are.
    pub alone: bool,
    /// `script-allow-undeclared-keys`.
    pub undeclared: bool,
}

/// A message that a script has published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub channel: Bytes,
    pub payload: Bytes,
    /// By SPUBLISH.
    pub sharded: bool,
}

/// Who listens to channels.
pub trait Listeners {
    /// How many would receive a message, as far as this lane knows.
    fn count(&self, channel: &[u8], sharded: bool) -> u32;
}

/// Who watches what scripts call.
pub trait Watcher {
    /// A command has run in this database.
    fn called(&self, database: Database, args: &[&[u8]]);
}

/// How many messages of scripts may wait to be sent, of one turn of a lane.
const PUBLISHED_MAX: usize = 10_000;

/// A command that a script has called and that would hold its lane for too long.
pub struct HeavyCall {
    pub spec: &'static CommandSpec,
    pub database: Database,
    /// Its name first.
    pub args: Vec<Bytes>,
}

/// What a run keeps while it is paused.
#[allow(clippy::struct_excessive_bools, reason = "independent facts about the run")]
pub struct RunState {
    pub database: Database,
    pub read_only: bool,
    /// It was declared to run without regard to memory.
    pub allow_oom: bool,
    /// `redis.setresp(3)` was called.
    pub resp3: bool,
    pub reach: Reach,
    /// Whether a command that writes has run, or runs.
    pub wrote: bool,
    /// The script waits for this command, which runs elsewhere.
    pub heavy: Option<HeavyCall>,
}

/// One run of a script, from one pause to the next.
pub struct Run<'a> {
    pub store: &'a mut Store,
    pub limits: HandlerLimits,
    pub published: &'a mut Vec<Published>,
    pub listeners: Option<&'a dyn Listeners>,
    pub watcher: Option<&'a dyn Watcher>,
    pub state: RunState,
}

const NOT_FROM_SCRIPT: CommandError =
    CommandError::Fixed("ERR This Redis command is not allowed from script");

impl Run<'_> {
    /// Runs a command that a script calls; its reply goes to the tape.
    ///
    /// # Errors
    /// Its refusal, in Redis's words; `CommandError::Aside`: it is `RunState::heavy` now.
    pub fn call(
        &mut self,
        slices: &[&[u8]],
        reply: &mut Tape,
        clocks: Clocks,
    ) -> Result<(), CommandError> {
        let spec = find(slices)?;
        if spec.flags.contains(Flags::NOSCRIPT) {
            return Err(NOT_FROM_SCRIPT);
        }
        if self.state.read_only && spec.access == Access::Write {
            let text = "ERR Write commands are not allowed from read-only scripts.";
            return Err(CommandError::Fixed(text));
        }
        let args = Args::new(slices, &[]);
        match spec.run {
            Runs::Store(handler) => {
                let routed = self.check_keys(spec, args)?;
                // A script that has written goes on to its end, as in Redis.
                let goes_on = self.state.wrote || self.state.allow_oom;
                let asks = spec.flags.contains(Flags::DENYOOM) && !goes_on;
                if asks && self.store.refuses_writes() {
                    return Err(CommandError::OutOfMemory);
                }
                self.state.wrote |= spec.access == Access::Write;
                let before = self.store.passes_limit();
                self.store.set_passes_limit(before || goes_on);
                let outcome = self.handle(spec, handler, args, routed, reply);
                self.store.set_passes_limit(before);
                self.show(slices);
                if outcome == Err(CommandError::Aside) {
                    let args = slices.iter().map(|arg| Bytes::copy_from_slice(arg)).collect();
                    let database = self.state.database;
                    self.state.heavy = Some(HeavyCall { spec, database, args });
                }
                outcome
            }
            Runs::Serve(command) => {
                self.serve(command, spec, args, reply, clocks)?;
                self.show(slices);
                Ok(())
            }
        }
    }

    /// The command has run, as MONITOR shows it.
    #[inline]
    fn show(&self, slices: &[&[u8]]) {
        if let Some(watcher) = self.watcher {
            watcher.called(self.state.database, slices);
        }
    }

    /// Refuses keys that are out of reach; the first key, hashed.
    fn check_keys(
        &mut self,
        spec: &CommandSpec,
        args: Args<'_>,
    ) -> Result<Option<RoutedKey>, CommandError> {
        let mut routed = None;
        for index in spec.keys_of(args) {
            let key = self.store.key(self.state.database, &args[index]);
            self.state.reach.check(&key)?;
            routed.get_or_insert(RoutedKey { index, slot: key.slot, hash: key.hash });
        }
        match spec.merge {
            Merge::Single | Merge::Together | Merge::Ordered | Merge::Sum => Ok(routed),
            Merge::SpreadSum
            | Merge::SpreadOk
            | Merge::SpreadJoin
            | Merge::Cursor
            | Merge::Pick => {
                if self.state.reach.alone && self.state.reach.place == Place::Lane {
                    return Ok(None);
                }
                Err(CommandError::Text(format!(
                    "ERR '{}' concerns all lanes and cannot be called from a script",
                    spec.name
                )))
            }
        }
    }

    /// Runs it here, unless it would take too long.
    fn handle(
        &mut self,
        spec: &CommandSpec,
        handler: Handler,
        args: Args<'_>,
        routed: Option<RoutedKey>,
        reply: &mut Tape,
    ) -> Result<(), CommandError> {
        let key_by_key = matches!(spec.merge, Merge::Ordered | Merge::Sum);
        let (database, mut limits) = (self.state.database, self.limits);
        let many_keys = key_by_key && args.len() > limits.elements_at_once_max;
        if many_keys || (!key_by_key && spec.is_given_much(args, limits)) {
            return Err(CommandError::Aside);
        }
        if key_by_key {
            limits = limits.unbounded(); // What one key is about is little, and is done once.
        }
        if spec.formed_keys.is_some() {
            return self.handle_with_patterns(handler, args, reply);
        }
        let mut handling = Handling { store: self.store, database, limits, lookups: None };
        handling.run(spec, handler, args, routed, reply)
    }

    /// Runs a command here that names keys by patterns, if the script may touch them.
    fn handle_with_patterns(
        &mut self,
        handler: Handler,
        args: Args<'_>,
        reply: &mut Tape,
    ) -> Result<(), CommandError> {
        let (database, limits) = (self.state.database, self.limits);
        let (mut lookups, mut name) = (Lookups::default(), Vec::new());
        loop {
            let lookups = &mut lookups;
            let mut handling =
                Handling { store: self.store, database, limits, lookups: Some(&mut *lookups) };
            let outcome = handling.handle_one(handler, args, None, reply);
            if outcome != Err(CommandError::LooksUp) {
                return outcome;
            }
            // What it may look up within one turn is little, or it had asked for more time.
            while let Some(index) = lookups.next() {
                let field = lookups.name(index, &mut name);
                let key = self.store.key(database, &name);
                self.state.reach.check(&key)?;
                let found = look_up(self.store, &key, field.map(|field| &field[..]));
                lookups.push(found);
            }
        }
    }

    /// Keeps a message that is sent when the script has ended.
    fn publish(
        &mut self,
        channel: &[u8],
        payload: &[u8],
        sharded: bool,
    ) -> Result<(), CommandError> {
        if self.published.len() >= PUBLISHED_MAX {
            return Err(CommandError::Fixed("ERR too many messages published by scripts"));
        }
        let channel = Bytes::copy_from_slice(channel);
        self.published.push(Published {
            channel,
            payload: Bytes::copy_from_slice(payload),
            sharded,
        });
        Ok(())
    }

    /// The few commands about the server that make sense within a script.
    fn serve(
        &mut self,
        command: ServeCommand,
        spec: &CommandSpec,
        args: Args<'_>,
        reply: &mut Tape,
        clocks: Clocks,
    ) -> Result<(), CommandError> {
        const US: u64 = 1_000_000;
        match (command, args.from(1)) {
            (ServeCommand::Ping, []) => reply.simple("PONG"),
            (ServeCommand::Ping | ServeCommand::Echo, [message]) => reply.bulk(message),
            (ServeCommand::Ping, _) => return Err(WRONG_ARITY),
            (ServeCommand::Time, _) => {
                let now = (clocks.wall_us)();
                reply.array(2);
                reply.bulk(itoa::Buffer::new().format(now / US).as_bytes());
                reply.bulk(itoa::Buffer::new().format(now % US).as_bytes());
            }
            (ServeCommand::Publish | ServeCommand::Spublish, [channel, payload]) => {
                let sharded = command == ServeCommand::Spublish;
                self.publish(channel, payload, sharded)?;
                let count = self.listeners.map_or(0, |them| them.count(channel, sharded));
                reply.integer(i64::from(count));
            }
            (ServeCommand::Select, [number]) => {
                self.state.database = parse::database(number, self.limits.databases)?;
                reply.simple("OK");
            }
            _ => {
                return Err(CommandError::Text(format!(
                    "ERR '{}' is not supported within scripts",
                    spec.name
                )));
            }
        }
        Ok(())
    }
}

/// Runs a command that a script has called on the store of a helper, which holds its keys.
///
/// # Errors
/// Its refusal, or `CommandError::LooksUp`.
pub fn call_aside(
    store: &mut Store,
    spec: &CommandSpec,
    args: Args<'_>,
    (database, limits): (Database, HandlerLimits),
    lookups: Option<&mut Lookups>,
) -> Result<Tape, CommandError> {
    let Runs::Store(handler) = spec.run else {
        unreachable!("only commands on data take their time");
    };
    let mut tape = Tape::default();
    Handling { store, database, limits: limits.unbounded(), lookups }
        .run(spec, handler, args, None, &mut tape)?;
    Ok(tape)
}

/// What handlers of called commands are given.
struct Handling<'a> {
    store: &'a mut Store,
    database: Database,
    limits: HandlerLimits,
    lookups: Option<&'a mut Lookups>,
}

impl Handling<'_> {
    /// As the row's `merge` says.
    fn run(
        &mut self,
        spec: &CommandSpec,
        handler: Handler,
        args: Args<'_>,
        routed: Option<RoutedKey>,
        reply: &mut Tape,
    ) -> Result<(), CommandError> {
        match spec.merge {
            Merge::Ordered => {
                reply.array(args.len() - 1);
                args.from(1).iter().try_for_each(|key| {
                    let one = [&args[0], *key];
                    self.handle_one(handler, Args::new(&one, &[]), None, reply)
                })
            }
            Merge::Sum => {
                let mut sum = 0;
                for key in args.from(1) {
                    let one = [&args[0], *key];
                    let from = reply.items.len();
                    self.handle_one(handler, Args::new(&one, &[]), None, reply)?;
                    for item in reply.items.drain(from..) {
                        if let crate::tape::Item::Integer(value) = item {
                            sum += value;
                        }
                    }
                }
                reply.integer(sum);
                Ok(())
            }
            Merge::Single
            | Merge::Together
            | Merge::SpreadSum
            | Merge::SpreadOk
            | Merge::SpreadJoin
            | Merge::Cursor
            | Merge::Pick => self.handle_one(handler, args, routed, reply),
        }
    }

    #[inline]
    fn handle_one(
        &mut self,
        handler: Handler,
        args: Args<'_>,
        routed: Option<RoutedKey>,
        reply: &mut Tape,
    ) -> Result<(), CommandError> {
        handler(&mut Context {
            store: self.store,
            args,
            routed,
            database: self.database,
            limits: self.limits,
            waiting: Waiting::Never,
            scripts: None,
            lookups: self.lookups.as_deref_mut(),
            reply,
        })
    }
}

const WRONG_ARITY: CommandError =
    CommandError::Fixed("ERR Wrong number of args calling Redis command from script");

/// The row of a command, with the words that scripts get.
#[inline]
fn find(slices: &[&[u8]]) -> Result<&'static CommandSpec, CommandError> {
    const UNKNOWN: CommandError =
        CommandError::Fixed("ERR Unknown Redis command called from script");
    let mut spec = table::lookup(slices[0]).ok_or(UNKNOWN)?;
    if let (false, Some(name)) = (spec.subcommands.is_empty(), slices.get(1)) {
        spec = spec.subcommand(name).ok_or(UNKNOWN)?;
    }
    spec.check_arity(slices.len()).map_err(|_| WRONG_ARITY)?;
    Ok(spec)
}

impl Reach {
    #[inline]
    fn allows(&self, key: &[u8], slot: Slot) -> bool {
        match self.place {
            Place::Lane => {
                self.slots.first() == Some(&slot)
                    || self.slots.binary_search(&slot).is_ok()
                    || (self.undeclared && self.lane.contains(&slot.number()))
            }
            Place::Scratch => self.keys.binary_search_by(|it| (**it).cmp(key)).is_ok(),
        }
    }

    /// Refuses a key that is out of reach.
    #[inline]
    pub fn check(&self, key: &Key<'_>) -> Result<(), CommandError> {
        if self.allows(key.bytes, key.slot) { Ok(()) } else { Err(self.refusal(key.bytes)) }
    }

    #[cold]
    fn refusal(&self, key: &[u8]) -> CommandError {
        const SHOWN_BYTES_MAX: usize = 128;
        let key = parse::printable(key, SHOWN_BYTES_MAX);
        let advice = match self.place {
            Place::Lane => {
                "name it in KEYS, or give it the hash tag of a key that is named there, or set \
                 script-allow-undeclared-keys"
            }
            Place::Scratch => "keys of several lanes must all be named in KEYS",
        };
        CommandError::Text(format!(
            "ERR Script attempted to access undeclared key '{key}': {advice}"
        ))
    }
}
