//! One run of a script: what the commands it calls may do, on which store. Knows no Lua.

use std::ops::Range;

use bytes::Bytes;
use ringlane_base::{Database, Slot};
use ringlane_command::spec::Handler;
use ringlane_command::{
    Access, Args, CommandError, CommandSpec, Context, Flags, HandlerLimits, Merge, Reply,
    RoutedKey, Run as Runs, ServeCommand, Waiting, introspect, parse, table,
};
use ringlane_store::Store;
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
pub struct Reach<'a> {
    pub place: Place,
    /// The keys that the script was given, and their slots, both ascending.
    pub keys: SmallVec<[&'a [u8]; 8]>,
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

/// One run of a script.
#[allow(clippy::struct_excessive_bools, reason = "independent facts about the run")]
pub struct Run<'a> {
    pub store: &'a mut Store,
    pub database: Database,
    pub limits: HandlerLimits,
    pub read_only: bool,
    /// It was declared to run without regard to memory.
    pub allow_oom: bool,
    /// `redis.setresp(3)` was called.
    pub resp3: bool,
    pub reach: Reach<'a>,
    pub published: &'a mut Vec<Published>,
    pub listeners: Option<&'a dyn Listeners>,
    pub watcher: Option<&'a dyn Watcher>,
    /// Whether a command that writes has run.
    pub wrote: bool,
}

const NOT_FROM_SCRIPT: CommandError =
    CommandError::Fixed("ERR This Redis command is not allowed from script");

impl Run<'_> {
    /// Runs a command that a script calls; its reply goes to the tape.
    ///
    /// # Errors
    /// Its refusal, in Redis's words.
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
        if self.read_only && spec.access == Access::Write {
            let text = "ERR Write commands are not allowed from read-only scripts.";
            return Err(CommandError::Fixed(text));
        }
        let args = Args::new(slices, &[]);
        match spec.run {
            Runs::Store(handler) => {
                let routed = self.check_keys(spec, args)?;
                // A script that has written goes on to its end, as in Redis.
                let goes_on = self.wrote || self.allow_oom;
                let asks = spec.flags.contains(Flags::DENYOOM) && !goes_on;
                if asks && self.store.refuses_writes() {
                    return Err(CommandError::OutOfMemory);
                }
                self.wrote |= spec.access == Access::Write;
                let before = self.store.passes_limit();
                self.store.set_passes_limit(before || goes_on);
                let outcome = self.handle(spec, handler, args, routed, reply);
                self.store.set_passes_limit(before);
                self.show(slices);
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
            watcher.called(self.database, slices);
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
            let key = self.store.key(self.database, &args[index]);
            if !self.reach.allows(key.bytes, key.slot) {
                return Err(self.reach.refusal(key.bytes));
            }
            routed.get_or_insert(RoutedKey { index, slot: key.slot, hash: key.hash });
        }
        match spec.merge {
            Merge::Single | Merge::Together | Merge::Ordered | Merge::Sum => Ok(routed),
            Merge::SpreadSum
            | Merge::SpreadOk
            | Merge::SpreadJoin
            | Merge::Cursor
            | Merge::Pick => {
                if self.reach.alone && self.reach.place == Place::Lane {
                    return Ok(None);
                }
                Err(CommandError::Text(format!(
                    "ERR '{}' concerns all lanes and cannot be called from a script",
                    spec.name
                )))
            }
        }
    }

    /// As the row's `merge` says.
    fn handle(
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
            reply,
        })
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
                self.database = parse::database(number, self.limits.databases)?;
                reply.simple("OK");
            }
            (ServeCommand::Command, _) => introspect::command(args, reply)?,
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

impl Reach<'_> {
    #[inline]
    fn allows(&self, key: &[u8], slot: Slot) -> bool {
        match self.place {
            Place::Lane => {
                self.slots.first() == Some(&slot)
                    || self.slots.binary_search(&slot).is_ok()
                    || (self.undeclared && self.lane.contains(&slot.number()))
            }
            Place::Scratch => self.keys.binary_search(&key).is_ok(),
        }
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
