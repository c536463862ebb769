//! From bytes to commands: parses what a turn brought in, finds rows, slots and hashes, and gets
//! the memory system going before anything is executed.

use bytes::Bytes;
use ringlane_base::{KeyHash, LaneId, Slot};
use ringlane_command::{
    CommandSpec, Flags, FormedKeys, Keys, Merge, RoutedKey, Run, ServeCommand, table,
};
use ringlane_resp::{Arg, Limits, Parser, ProtocolError, Step};
use ringlane_store::types::member_hash;
use ringlane_store::{Glance, TRACE_STEPS, Trace};
use smallvec::SmallVec;

use crate::connection::Phase;
use crate::core::Core;
use crate::long::{KEYS_AT_ONCE_MAX, OwnedCommand, is_long};
use crate::ring::{ConnectionId, Ring};
use crate::session::Door;

/// Commands that are planned, and their memory fetched, before the first of them runs.
pub const BATCH_COMMANDS_MAX: usize = 128;
/// What `Batch::first_arguments` gives.
const FIRST_ARGS: u32 = 8;
/// Arguments after which a batch takes no further command: commands of many fields or members are
/// as long as many commands.
const BATCH_ARGS_MAX: usize = 384;

/// Keys of one batch whose memory is fetched ahead; more would push each other out again.
const KEYS_FETCHED_MAX: usize = 4 * BATCH_COMMANDS_MAX;
/// To hash a field or a member that is longer takes longer than to wait for its memory.
const MEMBER_FETCHED_BYTES_MAX: usize = 1024;

/// Where a command's bytes are until it has run.
pub enum Place {
    /// In a receive buffer of the ring.
    Received { buffer: u16, length: usize },
    /// Taken from the connection, which had kept them.
    Kept(Vec<u8>),
}

/// One connection's input in a batch.
pub struct Source {
    pub connection: ConnectionId,
    pub bytes: Place,
    /// Where unparsed bytes begin.
    pub from: usize,
    /// What is left is the beginning of a command: only more bytes help.
    pub starved: bool,
}

/// Where a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// On this lane: it owns all keys of it.
    Here,
    /// On the lane that owns all its keys.
    Lane(LaneId),
    /// On several lanes, or as the row says.
    Several,
    /// In slices, for its many keys; on whichever lanes.
    Slices,
}

/// What a client sent.
#[derive(Clone, Copy)]
pub enum Action {
    Command {
        spec: &'static CommandSpec,
        target: Target,
        routed: Option<RoutedKey>,
    },
    /// No such command or subcommand, or not with so many arguments: `table::resolve` says which.
    Unresolved,
    Malformed(ProtocolError),
}

/// One command of a batch.
#[derive(Clone, Copy)]
pub struct Planned {
    pub connection: ConnectionId,
    pub source: u32,
    /// The command's first byte in its source.
    start: u32,
    args: (u32, u32),
    blobs: (u32, u32),
    pub action: Action,
}

/// The commands of a batch and what they point to.
#[derive(Default)]
pub struct Batch {
    pub commands: Vec<Planned>,
    pub sources: Vec<Source>,
    args: Vec<Arg>,
    blobs: Vec<Bytes>,
    /// The keys of this lane that its commands name, in order: what is fetched ahead.
    keys: Vec<Named>,
}

/// A key of this lane that a command of the batch names.
struct Named {
    /// Which command.
    command: usize,
    slot: Slot,
    hash: KeyHash,
}

/// Collects the keys of this lane that one command names.
struct Naming<'a> {
    keys: &'a mut Vec<Named>,
    command: usize,
}

impl Naming<'_> {
    #[inline]
    fn add(&mut self, routed: RoutedKey) {
        if self.keys.len() < KEYS_FETCHED_MAX {
            let RoutedKey { slot, hash, .. } = routed;
            self.keys.push(Named { command: self.command, slot, hash });
        }
    }
}

/// A command behind which nothing of its source is executed: what was planned there is planned again.
pub struct Cut {
    source: u32,
    /// The first byte of the command behind it, once that has come up.
    from: Option<u32>,
}

impl Planned {
    /// Whether it is a command of very many keys.
    pub fn is_in_slices(&self) -> bool {
        matches!(self.action, Action::Command { target: Target::Slices, .. })
    }
}

impl Batch {
    pub fn is_full(&self) -> bool {
        self.commands.len() >= BATCH_COMMANDS_MAX || self.args.len() >= BATCH_ARGS_MAX
    }

    /// The bytes of a source.
    pub fn input<'a>(&'a self, source: u32, ring: &'a Ring) -> &'a [u8] {
        match &self.sources[source as usize].bytes {
            Place::Received { buffer, length } => ring.received(*buffer, *length),
            Place::Kept(bytes) => bytes,
        }
    }

    /// A command's arguments, and those of them that have an allocation of their own.
    #[inline]
    pub fn arguments<'a>(
        &'a self,
        command: &Planned,
        ring: &'a Ring,
        slices: &mut impl Extend<&'a [u8]>,
    ) -> &'a [Bytes] {
        let input = &self.input(command.source, ring)[command.start as usize..];
        let blobs = &self.blobs[command.blobs.0 as usize..command.blobs.1 as usize];
        let args = &self.args[command.args.0 as usize..command.args.1 as usize];
        slices.extend(args.iter().map(|arg| arg.resolve(input, blobs)));
        blobs
    }

    /// The first few arguments of a command whose others nobody asks for before it runs.
    pub fn first_arguments<'a>(
        &'a self,
        command: &Planned,
        ring: &'a Ring,
        slices: &mut impl Extend<&'a [u8]>,
    ) {
        slices.extend((0..FIRST_ARGS).map_while(|index| self.argument(command, ring, index)));
    }

    /// Takes the bytes of the command at `index`, the last of its source, out of the batch.
    fn take_command(&mut self, index: usize, ring: &Ring) -> OwnedCommand {
        let command = self.commands[index];
        let source = &mut self.sources[command.source as usize];
        let (start, end) = (command.start as usize, source.from);
        let (input, start) = match &mut source.bytes {
            Place::Received { buffer, length } => {
                (ring.received(*buffer, *length)[start..end].to_vec(), 0)
            }
            Place::Kept(bytes) => {
                source.from = 0;
                let rest = bytes.split_off(end);
                (std::mem::replace(bytes, rest), start)
            }
        };
        let (from, to) = (command.args.0 as usize, command.args.1 as usize);
        let args = if from == 0 && to == self.args.len() {
            std::mem::take(&mut self.args)
        } else {
            self.args[from..to].to_vec()
        };
        let blobs = &mut self.blobs[command.blobs.0 as usize..command.blobs.1 as usize];
        let blobs = blobs.iter_mut().map(std::mem::take).collect();
        OwnedCommand { input, start, args, blobs }
    }

    /// One argument of a command, if it has so many.
    #[inline]
    fn argument<'a>(&'a self, command: &Planned, ring: &'a Ring, index: u32) -> Option<&'a [u8]> {
        let at = command.args.0 + index;
        if at >= command.args.1 {
            return None;
        }
        let input = &self.input(command.source, ring)[command.start as usize..];
        let blobs = &self.blobs[command.blobs.0 as usize..command.blobs.1 as usize];
        Some(self.args[at as usize].resolve(input, blobs))
    }

    pub fn clear(&mut self) {
        self.commands.clear();
        self.sources.clear();
        self.args.clear();
        self.blobs.clear();
        self.keys.clear();
    }
}

impl Core {
    /// Parses a source from where it stands until its input ends, the batch is full, or a command
    /// must be waited for.
    pub fn plan(&mut self, batch: &mut Batch, source: u32, ring: &Ring) {
        let id = batch.sources[source as usize].connection;
        let mut from = batch.sources[source as usize].from;
        while !batch.is_full() {
            let Some(connection) = self.connections.get(id) else { break };
            if !connection.may_execute() {
                break;
            }
            let authenticated = connection.session.authenticated;
            let thrifty = connection.thrifty;
            let limits = if authenticated { self.limits } else { Limits::unauthenticated() };
            let (first_arg, first_blob) = (batch.args.len(), batch.blobs.len());
            // Not through `Batch::input`: the argument lists are filled while the input is read.
            let input = match &batch.sources[source as usize].bytes {
                Place::Received { buffer, length } => ring.received(*buffer, *length),
                Place::Kept(bytes) => bytes,
            };
            if from == input.len() {
                break;
            }
            let rest = &input[from..];
            let step = connection.parser.parse(rest, &limits, &mut batch.args, &mut batch.blobs);
            let action = match step {
                Ok(Step::Incomplete { consumed }) => {
                    from += consumed;
                    batch.sources[source as usize].starved = true;
                    break;
                }
                Ok(Step::Empty { consumed }) => {
                    from += consumed;
                    continue;
                }
                Ok(Step::Command { .. }) => {
                    let (args, blobs) = (&batch.args[first_arg..], &batch.blobs[first_blob..]);
                    let naming = Naming { keys: &mut batch.keys, command: batch.commands.len() };
                    self.classify(args, rest, blobs, naming)
                }
                Err(error) => Action::Malformed(error),
            };
            batch.commands.push(Planned {
                connection: id,
                source,
                start: from as u32,
                args: (first_arg as u32, batch.args.len() as u32),
                blobs: (first_blob as u32, batch.blobs.len() as u32),
                action,
            });
            let Ok(Step::Command { consumed }) = step else { break };
            from += consumed;
            // Where buffers are short one command has its turn, as many as are likely to run.
            if thrifty {
                break;
            }
            // During a pause the first command that it holds is found only when it is executed.
            if !authenticated || self.pause.is_some() || self.holds_up(id, action) {
                break;
            }
        }
        batch.sources[source as usize].from = from;
    }

    /// Finds the command's row, and where it runs. If that is here, its keys are added to `naming`.
    #[inline]
    fn classify(
        &self,
        args: &[Arg],
        input: &[u8],
        blobs: &[Bytes],
        mut naming: Naming<'_>,
    ) -> Action {
        let Some(mut spec) = table::lookup(args[0].resolve(input, blobs)) else {
            return Action::Unresolved;
        };
        if let (false, Some(name)) = (spec.subcommands.is_empty(), args.get(1)) {
            match spec.subcommand(name.resolve(input, blobs)) {
                Some(row) => spec = row,
                None => return Action::Unresolved,
            }
        }
        if spec.check_arity(args.len()).is_err() {
            return Action::Unresolved;
        }
        if args.len() > KEYS_AT_ONCE_MAX && is_long(spec, args.len()) {
            return Action::Command { spec, target: Target::Slices, routed: None };
        }
        let (target, routed) = match (spec.keys, spec.merge) {
            (Keys::First, Merge::Single) if is_store(spec) => {
                self.locate(1, args[1].resolve(input, blobs), &mut naming)
            }
            (_, Merge::Single) => {
                let argument = |index: usize| args[index].resolve(input, blobs);
                match spec.key_positions(args.len(), argument).next().filter(|_| is_store(spec)) {
                    Some(index) => {
                        self.locate(index, args[index].resolve(input, blobs), &mut naming)
                    }
                    None => (Target::Here, None),
                }
            }
            (_, Merge::Ordered | Merge::Sum | Merge::Together) => {
                let argument = |index: usize| args[index].resolve(input, blobs);
                let positions = spec.key_positions(args.len(), argument);
                let named = positions.map(|index| (index, argument(index)));
                let (target, routed) = self.locate_all(named, &mut naming);
                self.reach(spec.formed_keys(args.len(), argument), target, routed)
            }
            _ => (Target::Several, None),
        };
        Action::Command { spec, target, routed }
    }

    /// A key, hashed, and the lane that owns it. If that is this one, it is added to `naming`.
    #[inline]
    fn route(&self, index: usize, key: &[u8], naming: &mut Naming<'_>) -> (LaneId, RoutedKey) {
        let hash = KeyHash::of(self.shared.hash_seed, key);
        let routed = RoutedKey { index, slot: Slot::of(key), hash };
        let lane = self.shared.lane_of(routed.slot);
        if lane == self.lane {
            naming.add(routed);
        }
        (lane, routed)
    }

    #[inline]
    fn locate(
        &self,
        index: usize,
        key: &[u8],
        naming: &mut Naming<'_>,
    ) -> (Target, Option<RoutedKey>) {
        let (lane, routed) = self.route(index, key, naming);
        let target = if lane == self.lane { Target::Here } else { Target::Lane(lane) };
        (target, Some(routed))
    }

    /// The lane that owns all these keys, if one does, and the first of them.
    fn locate_all<'a>(
        &self,
        mut named: impl Iterator<Item = (usize, &'a [u8])>,
        naming: &mut Naming<'_>,
    ) -> (Target, Option<RoutedKey>) {
        let before = naming.keys.len();
        let Some((index, key)) = named.next() else { return (Target::Here, None) };
        let (first_lane, first) = self.route(index, key, naming);
        if !named.all(|(index, key)| self.route(index, key, naming).0 == first_lane) {
            // Those of this lane are fetched where the command's parts run.
            naming.keys.truncate(before);
            return (Target::Several, None);
        }
        let target = if first_lane == self.lane { Target::Here } else { Target::Lane(first_lane) };
        (target, Some(first))
    }

    /// Where a command runs that names keys by patterns besides those that it has been located by.
    #[inline]
    fn reach(
        &self,
        formed: FormedKeys,
        target: Target,
        routed: Option<RoutedKey>,
    ) -> (Target, Option<RoutedKey>) {
        match (formed, target) {
            (FormedKeys::None, _) | (FormedKeys::OfItsSlot, Target::Here) => (target, routed),
            (FormedKeys::Any, Target::Here) if self.shared.lanes() == 1 => (target, None),
            (FormedKeys::OfItsSlot | FormedKeys::Any, _) => (Target::Several, None),
        }
    }

    /// Gets the memory of a planned batch on its way: first the slots, then their tables, then the
    /// entries, then what commands name within large hashes, sets and sorted sets.
    pub fn prefetch(&self, batch: &Batch, ring: &Ring) {
        if batch.keys.len() < 2 {
            return; // There is nothing to overlap with.
        }
        for named in &batch.keys {
            self.store.prefetch_slot(named.slot);
        }
        for named in &batch.keys {
            self.store.prefetch_table(named.slot, named.hash);
        }
        let mut members: SmallVec<[(Glance<'_>, u64); BATCH_COMMANDS_MAX]> = SmallVec::new();
        for named in &batch.keys {
            let command = &batch.commands[named.command];
            if let Some(entry) = self.store.prefetch_entry(named.slot, named.hash)
                && let Action::Command { spec, .. } = command.action
                && let Some(index) = spec.member_position()
                && let Some(member) = batch.argument(command, ring, index)
                && member.len() <= MEMBER_FETCHED_BYTES_MAX
            {
                members.push((entry, member_hash(member)));
            }
        }
        let mut traces: SmallVec<[Trace<'_>; BATCH_COMMANDS_MAX]> =
            members.iter().filter_map(|(entry, member)| entry.trace(*member)).collect();
        for _ in 0..TRACE_STEPS {
            traces.iter_mut().for_each(Trace::advance);
        }
    }

    /// A command of the batch has been executed that its connection must wait for, though others
    /// were planned behind it.
    #[cold]
    pub fn cut_behind(&mut self, command: &Planned) {
        self.cuts.push(Cut { source: command.source, from: None });
    }

    /// The batch has taken long enough: what else it has of this command's connection waits.
    #[cold]
    pub fn cut_for_time(&mut self, command: &Planned) {
        if self.cuts.iter().all(|cut| cut.source != command.source) {
            self.stats.batches_cut += u64::from(self.cuts.is_empty());
            self.cut_behind(command);
        }
    }

    /// Whether a command is behind a cut, so that it is not executed now.
    #[cold]
    pub fn is_cut(&mut self, command: &Planned) -> bool {
        let Some(cut) = self.cuts.iter_mut().find(|cut| cut.source == command.source) else {
            return false;
        };
        cut.from.get_or_insert(command.start);
        true
    }

    /// What was planned behind a cut has not been parsed, as far as its connection knows.
    fn take_back_cuts(&mut self, batch: &mut Batch) {
        for cut in self.cuts.drain(..) {
            let source = &mut batch.sources[cut.source as usize];
            let Some(from) = cut.from else { continue };
            source.from = from as usize;
            source.starved = false;
            if let Some(connection) = self.connections.get(source.connection) {
                // The beginning of a command that it may hold is among the bytes taken back.
                connection.parser = Parser::new();
            }
        }
    }

    /// Whether later commands of the connection must wait until this one has been answered.
    #[inline]
    fn holds_up(&mut self, id: ConnectionId, action: Action) -> bool {
        if let Action::Command { spec, .. } = action
            && matches!(spec.run, Run::Serve(ServeCommand::Exec))
        {
            // Where one lane has all keys, a transaction runs in place, but for rare ones: `Cut`.
            let door = self.connections.get(id).map(|connection| connection.session.door);
            return self.shared.lanes() > 1 && door != Some(Door::Lane);
        }
        holds_up(action)
    }

    /// Puts back what a batch did not parse, and readies the connections for more.
    pub fn settle(&mut self, batch: &mut Batch, ring: &mut Ring) {
        for (index, begun) in std::mem::take(&mut self.longs.of_batch) {
            self.start_long(begun, batch.take_command(index, ring));
        }
        self.take_back_cuts(batch);
        for source in batch.sources.drain(..) {
            let connection = self.connections.get(source.connection);
            match source.bytes {
                Place::Received { buffer, length } => {
                    if let Some(connection) = connection
                        && connection.phase == Phase::Open
                        && source.from < length
                    {
                        let rest = &ring.received(buffer, length)[source.from..];
                        connection.input.extend_from_slice(rest);
                        let len = connection.input.len();
                        connection.input_seen = if source.starved { len } else { 0 };
                    }
                    ring.recycle(buffer);
                }
                Place::Kept(bytes) => {
                    let Some(connection) = connection else { continue };
                    connection.return_input(bytes, source.from, source.starved);
                }
            }
            if !source.starved {
                self.mark_ready(source.connection);
            }
            if let Some(connection) = self.connections.get(source.connection) {
                connection.in_batch = false;
                if connection.paused || connection.input_ended {
                    self.resume.push(source.connection);
                }
            }
            self.count_input(source.connection);
            self.hold_back_if_full(source.connection, ring);
        }
        batch.clear();
    }
}

fn is_store(spec: &CommandSpec) -> bool {
    matches!(spec.run, Run::Store(_))
}

/// Whether later commands of the connection must wait until this one has been answered.
fn holds_up(action: Action) -> bool {
    match action {
        Action::Malformed(_) | Action::Command { target: Target::Slices, .. } => true,
        Action::Command { spec, target, .. } => match spec.run {
            Run::Store(_) if spec.flags.contains(Flags::BLOCKING) => true,
            Run::Store(_) => match spec.merge {
                Merge::Together => target == Target::Several,
                Merge::SpreadJoin | Merge::Cursor | Merge::Pick | Merge::SpreadOk => true,
                Merge::Single | Merge::Ordered | Merge::Sum | Merge::SpreadSum => false,
            },
            Run::Serve(command) => !matches!(
                command,
                ServeCommand::Ping
                    | ServeCommand::Echo
                    | ServeCommand::Time
                    | ServeCommand::Publish
                    | ServeCommand::Spublish
                    | ServeCommand::Multi
                    | ServeCommand::Discard
                    | ServeCommand::Unwatch
                    | ServeCommand::Asking
                    | ServeCommand::ReadOnly
                    | ServeCommand::ReadWrite
            ),
        },
        Action::Unresolved => false,
    }
}
