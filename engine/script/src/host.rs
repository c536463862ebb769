//! A lane's scripts: what it has compiled, and the commands that run it. The texts are the
//! registry's, shared by all lanes; the interpreter is the lane's own, made when it is first needed.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use ringlane_base::{KeyHash, SLOT_COUNT, Slot};
use ringlane_command::{
    CommandError, Context, HandlerLimits, Reply, ScriptCommand, ScriptHost, ScriptSource, parse,
};
use ringlane_store::{Key, Store};

use crate::flags::{self, ScriptFlags};
use crate::registry::{Registry, Script, sha1_hex};
use crate::run::{HeavyCall, Listeners, Place, Published, Reach, Run, RunState, Watcher};
use crate::tape::Tape;
use crate::vm::{Failure, Function, Outcome, Style, Vm};
use crate::watch::{Clocks, TimeLimits, Watch};

/// The settings that scripts obey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptLimits {
    pub time: TimeLimits,
    /// Bytes that a lane's interpreter may hold. 0: no limit.
    pub memory_bytes_max: usize,
    /// `script-allow-undeclared-keys`.
    pub undeclared: bool,
}

/// A script that this lane has compiled.
struct Compiled {
    script: Arc<Script>,
    function: Function,
    flags: ScriptFlags,
}

/// An interpreter and what it has compiled.
#[derive(Default)]
pub(crate) struct Interpreter {
    pub(crate) vm: Option<Vm>,
    by_sha1: HashMap<[u8; 40], Rc<Compiled>>,
    /// By the hash of the text, so that EVAL needs no SHA-1.
    by_text: HashMap<u64, Rc<Compiled>>,
    /// `Registry::departures` when it was last looked at.
    departures: u64,
    pub(crate) functions: crate::functions::LaneFunctions,
}

/// A script that was left before its end, with its interpreter: its lane has another one meanwhile.
pub struct PausedScript {
    interpreter: Box<Interpreter>,
    state: RunState,
    /// What errors call it: its SHA-1, or the function's name.
    name: String,
    style: Style,
}

impl PausedScript {
    /// The command that it waits for.
    pub fn heavy(&self) -> Option<&HeavyCall> {
        self.state.heavy.as_ref()
    }

    /// Whether the command that it waits for may read this key, which it names by a pattern.
    ///
    /// # Errors
    /// The refusal.
    pub fn check_reach(&self, key: &Key<'_>) -> Result<(), CommandError> {
        self.state.reach.check(key)
    }

    /// Whether it has changed anything: then it goes on to its end.
    pub fn wrote(&self) -> bool {
        self.state.wrote
    }

    /// What errors call it: its SHA-1, or the function's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a function.
    pub fn is_function(&self) -> bool {
        self.style == Style::Function
    }

    /// Ends it with an error, when it is resumed.
    pub fn kill(&mut self) {
        self.interpreter.vm.as_mut().expect("it runs on it").kill();
    }
}

/// Interpreters that are kept though no script runs on them, beside the lane's own.
const SPARES_MAX: usize = 1;
/// Scripts of a lane that may be paused; each holds an interpreter of its own.
const PAUSED_MAX: usize = 32;
const TOO_MANY_PAUSED: &str =
    "BUSY Too many scripts of this lane run at once, which holds 32 of them";

/// The scripts of one lane.
pub struct LaneScripts {
    pub(crate) registry: Arc<Registry>,
    clocks: Clocks,
    limits: ScriptLimits,
    lane: Range<u16>,
    place: Place,
    pub(crate) interpreter: Box<Interpreter>,
    #[allow(clippy::vec_box, reason = "it goes in its box to the scripts that are paused")]
    spares: Vec<Box<Interpreter>>,
    /// The script that was just left, until it is taken.
    paused: Option<Box<PausedScript>>,
    /// How many are paused, wherever they are.
    paused_count: usize,
    /// An interpreter holds what its scripts have left.
    has_garbage: bool,
    published: Vec<Published>,
    listeners: Option<Rc<dyn Listeners>>,
    watcher: Option<Rc<dyn Watcher>>,
    /// Scripts and functions that were run.
    pub runs: u64,
    /// Of these, those that were stopped by a limit.
    pub interrupted: u64,
}

const NO_SCRIPT: CommandError =
    CommandError::Fixed("NOSCRIPT No matching script. Please use EVAL.");

impl LaneScripts {
    /// The scripts of the lane that owns these slots.
    pub fn new(registry: Arc<Registry>, clocks: Clocks, lane: Range<u16>) -> Self {
        Self {
            registry,
            clocks,
            limits: ScriptLimits {
                time: TimeLimits::default(),
                memory_bytes_max: 0,
                undeclared: false,
            },
            lane,
            place: Place::Lane,
            interpreter: Box::default(),
            spares: Vec::new(),
            paused: None,
            paused_count: 0,
            has_garbage: false,
            published: Vec::new(),
            listeners: None,
            watcher: None,
            runs: 0,
            interrupted: 0,
        }
    }

    /// New settings, from the next script on.
    pub fn set_limits(&mut self, limits: ScriptLimits) {
        if limits == self.limits {
            return;
        }
        self.limits = limits;
        for interpreter in self.spares.iter_mut().chain([&mut self.interpreter]) {
            interpreter.set_limits(limits);
        }
    }

    /// Who is asked how many receive what scripts publish; until then, nobody does.
    pub fn set_listeners(&mut self, listeners: Rc<dyn Listeners>) {
        self.listeners = Some(listeners);
    }

    /// Who is told what scripts call, if anybody is.
    pub fn set_watcher(&mut self, watcher: Option<Rc<dyn Watcher>>) {
        self.watcher = watcher;
    }

    /// Whose entries the store of the commands to come holds.
    pub fn set_place(&mut self, place: Place) {
        self.place = place;
    }

    /// Whether scripts have published messages since they were taken last.
    #[inline]
    pub fn has_published(&self) -> bool {
        !self.published.is_empty()
    }

    /// The messages that scripts have published, to be sent now.
    pub fn take_published(&mut self) -> Vec<Published> {
        std::mem::take(&mut self.published)
    }

    /// Bytes that the interpreter holds.
    pub fn memory_bytes(&self) -> usize {
        let all = self.spares.iter().chain([&self.interpreter]);
        all.filter_map(|it| it.vm.as_ref()).map(Vm::memory_bytes).sum()
    }

    /// Whether interpreters hold much that their scripts have left.
    #[inline]
    pub fn has_garbage(&self) -> bool {
        self.has_garbage
    }

    /// Lets go of a part of that, some 100 µs long; not in the middle of a script.
    pub fn collect_some(&mut self) {
        let all = self.spares.iter_mut().chain([&mut self.interpreter]);
        let mut littered = all.filter_map(|it| it.vm.as_mut()).filter(|vm| vm.has_garbage());
        match littered.next() {
            Some(vm) => vm.collect_some(),
            None => self.has_garbage = false,
        }
    }

    /// The script that was just left, after a command that has answered `CommandError::Aside`. It is none if
    /// that was another command.
    pub fn take_paused(&mut self) -> Option<Box<PausedScript>> {
        self.paused.take()
    }

    /// Whether there is one to take.
    #[inline]
    pub fn has_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// How many scripts of this lane are paused.
    pub fn paused_count(&self) -> usize {
        self.paused_count
    }

    /// Goes on with a script, whose slots nobody else has touched meanwhile. `answer` is that of the command
    /// that it waits for, if it does.
    ///
    /// # Errors
    /// What it ends with, or `CommandError::Aside`: it is paused again, to be taken.
    #[allow(clippy::boxed_local, reason = "it comes as it was taken")]
    pub fn resume(
        &mut self,
        mut paused: Box<PausedScript>,
        answer: Option<Result<Tape, CommandError>>,
        (store, limits): (&mut Store, HandlerLimits),
        reply: &mut dyn Reply,
    ) -> Result<(), CommandError> {
        std::mem::swap(&mut self.interpreter, &mut paused.interpreter);
        let PausedScript { interpreter, mut state, name, style } = *paused;
        self.keep(interpreter);
        self.interpreter.set_limits(self.limits);
        self.paused_count -= 1;
        state.heavy = None;
        let mut run = Run {
            store,
            limits,
            published: &mut self.published,
            listeners: self.listeners.as_deref(),
            watcher: self.watcher.as_deref(),
            state,
        };
        let vm = self.interpreter.vm.as_mut().expect("the script has run on it");
        let outcome = vm.resume(answer, &mut run);
        let state = run.state;
        self.stopped((name, style), outcome, state, reply)
    }

    /// Keeps an interpreter that is not needed now, or lets it go.
    fn keep(&mut self, interpreter: Box<Interpreter>) {
        if interpreter.vm.is_some() && self.spares.len() < SPARES_MAX {
            self.spares.push(interpreter);
        }
    }

    /// A script has come to its end, or is left for a while.
    fn stopped(
        &mut self,
        (name, style): (String, Style),
        outcome: Outcome,
        state: RunState,
        reply: &mut dyn Reply,
    ) -> Result<(), CommandError> {
        let vm = self.interpreter.vm.as_mut().expect("the script has run on it");
        match outcome {
            Outcome::Ended(ended) => {
                self.has_garbage |= vm.has_garbage();
                if ended.is_ok() {
                    vm.answer(reply);
                } else {
                    self.interrupted += u64::from(vm.was_interrupted());
                }
                ended.map_err(|failure| told(failure, &name))
            }
            Outcome::Paused(_) => {
                let mut spare = self.spares.pop().unwrap_or_default();
                spare.set_limits(self.limits);
                let interpreter = std::mem::replace(&mut self.interpreter, spare);
                self.paused = Some(Box::new(PausedScript { interpreter, state, name, style }));
                self.paused_count += 1;
                Err(CommandError::Aside)
            }
        }
    }

    /// The interpreter, made if there is none.
    pub(crate) fn vm(&mut self) -> &mut Vm {
        let limits = self.limits;
        let clocks = self.clocks;
        self.interpreter.vm.get_or_insert_with(|| {
            Vm::new(Watch::new(clocks, limits.time), limits.memory_bytes_max)
        })
    }

    /// Drops what was compiled of scripts that are no longer known.
    fn forget_departed(&mut self) {
        let departures = self.registry.departures();
        let interpreter = &mut *self.interpreter;
        if departures == interpreter.departures {
            return;
        }
        interpreter.departures = departures;
        let Some(vm) = &mut interpreter.vm else { return };
        interpreter.by_text.retain(|_, compiled| !compiled.script.is_gone());
        interpreter.by_sha1.retain(|_, compiled| {
            let gone = compiled.script.is_gone();
            if gone {
                vm.release(compiled.function);
            }
            !gone
        });
    }

    /// The script in a text, compiled.
    fn by_text(&mut self, text: &[u8], hash: u64) -> Result<Rc<Compiled>, CommandError> {
        if let Some(compiled) = self.interpreter.by_text.get(&hash)
            && *compiled.script.text == *text
        {
            self.registry.mark_used(&compiled.script);
            return Ok(Rc::clone(compiled));
        }
        let compiled = self.learn(sha1_hex(text), text, false)?;
        self.interpreter.by_text.insert(hash, Rc::clone(&compiled));
        Ok(compiled)
    }

    /// Compiles a text and makes it known.
    fn learn(
        &mut self,
        sha1: [u8; 40],
        text: &[u8],
        loaded: bool,
    ) -> Result<Rc<Compiled>, CommandError> {
        if let Some(compiled) = self.interpreter.by_sha1.get(&sha1) {
            let compiled = Rc::clone(compiled);
            let script = self.registry.keep(sha1, text, loaded);
            if Arc::ptr_eq(&script, &compiled.script) {
                self.registry.mark_used(&script);
                return Ok(compiled);
            }
            // It went and came back between two looks.
            self.forget_departed();
            return self.remember(script, compiled.flags, None);
        }
        let (flags, start) = flags::of_script(text)?;
        let function = self.compile(&text[start..])?;
        let script = self.registry.keep(sha1, text, loaded);
        self.remember(script, flags, Some(function))
    }

    fn compile(&mut self, program: &[u8]) -> Result<Function, CommandError> {
        self.vm().compile(program, c"@user_script", Style::Script).map_err(|failure| {
            let text = failure.text;
            CommandError::Text(match text.strip_prefix("ERR ") {
                Some(_) => text,
                None => format!("ERR Error compiling script (new function): {text}"),
            })
        })
    }

    fn remember(
        &mut self,
        script: Arc<Script>,
        flags: ScriptFlags,
        function: Option<Function>,
    ) -> Result<Rc<Compiled>, CommandError> {
        let function = if let Some(function) = function {
            function
        } else {
            let (_, start) = flags::of_script(&script.text)?;
            self.compile(&script.text[start..])?
        };
        let sha1 = script.sha1;
        let compiled = Rc::new(Compiled { script, function, flags });
        self.interpreter.by_sha1.insert(sha1, Rc::clone(&compiled));
        Ok(compiled)
    }

    /// The script of this SHA-1, compiled.
    fn by_sha1(&mut self, sha1: &[u8]) -> Result<Rc<Compiled>, CommandError> {
        let mut small: [u8; 40] = sha1.try_into().map_err(|_| NO_SCRIPT)?;
        small.make_ascii_lowercase();
        if let Some(compiled) = self.interpreter.by_sha1.get(&small) {
            self.registry.mark_used(&compiled.script);
            return Ok(Rc::clone(compiled));
        }
        let script = self.registry.find(&small).ok_or(NO_SCRIPT)?;
        self.registry.mark_used(&script);
        let (flags, _) = flags::of_script(&script.text)?;
        self.remember(script, flags, None)
    }

    /// `EVAL` and `EVALSHA`.
    fn evaluate(
        &mut self,
        context: &mut Context<'_>,
        source: ScriptSource,
        read_only: bool,
    ) -> Result<(), CommandError> {
        let name = context.args.get(1).expect("arity was checked");
        let compiled = match source {
            ScriptSource::Text => {
                let hash = KeyHash::of(context.store.hash_seed(), name);
                self.by_text(name, hash.0)?
            }
            ScriptSource::Sha1 => self.by_sha1(name)?,
            ScriptSource::Function => return self.call_function(context, read_only),
        };
        let flags = compiled.flags;
        let (function, sha1) = (compiled.function, compiled.script.sha1);
        let name = std::str::from_utf8(&sha1).expect("digits are ASCII");
        self.run(context, (function, Style::Script), name, flags, read_only)
    }

    /// Runs a function of Lua with the command's keys and arguments.
    pub(crate) fn run(
        &mut self,
        context: &mut Context<'_>,
        (function, style): (Function, Style),
        name: &str,
        flags: ScriptFlags,
        read_only: bool,
    ) -> Result<(), CommandError> {
        let refuse = |text: &'static str| Err(CommandError::Fixed(text));
        if read_only && !flags.no_writes && !flags.plain {
            return refuse("ERR Can not execute a script with write flag using *_ro command.");
        }
        let no_writes = read_only || flags.no_writes;
        if !flags.plain && !flags.allow_oom && !no_writes && context.store.is_full() {
            return refuse(
                "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
            );
        }
        if self.paused_count >= PAUSED_MAX {
            return refuse(TOO_MANY_PAUSED);
        }
        let count = parse::integer(&context.args[2]).map_or(0, |count| count as usize);
        let (keys, arguments) = context.args.from(3).split_at(count);
        let reach = self.reach(keys);
        let state = RunState {
            database: context.database,
            read_only: no_writes,
            allow_oom: flags.allow_oom,
            resp3: false,
            reach,
            wrote: false,
            heavy: None,
        };
        let mut run = Run {
            store: context.store,
            limits: context.limits,
            published: &mut self.published,
            listeners: self.listeners.as_deref(),
            watcher: self.watcher.as_deref(),
            state,
        };
        self.runs += 1;
        let vm = self.interpreter.vm.as_mut().expect("something was compiled");
        let outcome = vm.run(function, style, (keys, arguments), &mut run);
        if outcome == Outcome::Ended(Ok(())) {
            self.has_garbage |= vm.has_garbage();
            vm.answer(context.reply);
            return Ok(());
        }
        let state = run.state;
        self.stopped((name.to_owned(), style), outcome, state, context.reply)
    }

    fn reach(&self, keys: &[&[u8]]) -> Reach {
        let mut reach = Reach {
            place: self.place,
            keys: Vec::new(),
            slots: smallvec::SmallVec::new(),
            lane: self.lane.clone(),
            alone: self.lane.len() == SLOT_COUNT,
            undeclared: self.limits.undeclared,
        };
        match self.place {
            Place::Lane => {
                reach.slots.extend(keys.iter().map(|key| Slot::of(key)));
                reach.slots.sort_unstable();
                reach.slots.dedup();
            }
            Place::Scratch => {
                reach.keys.extend(keys.iter().map(|key| Box::from(*key)));
                reach.keys.sort_unstable();
            }
        }
        reach
    }

    fn load(&mut self, context: &mut Context<'_>) -> Result<(), CommandError> {
        let text = context.args.get(2).expect("arity was checked");
        let compiled = self.learn(sha1_hex(text), text, true)?;
        context.reply.bulk(&compiled.script.sha1);
        Ok(())
    }

    fn exists(&self, context: &mut Context<'_>) {
        let names = context.args.from(2);
        context.reply.array(names.len());
        for name in names {
            context.reply.integer(i64::from(self.find(name).is_some()));
        }
    }

    fn show(&self, context: &mut Context<'_>) -> Result<(), CommandError> {
        let none = CommandError::Fixed("NOSCRIPT No matching script.");
        let script = self.find(&context.args[2]).ok_or(none)?;
        context.reply.bulk(&script.text);
        Ok(())
    }

    fn find(&self, sha1: &[u8]) -> Option<Arc<Script>> {
        let mut small: [u8; 40] = sha1.try_into().ok()?;
        small.make_ascii_lowercase();
        self.registry.find(&small)
    }

    fn flush(&self, context: &mut Context<'_>) -> Result<(), CommandError> {
        match context.args.from(2) {
            [] => {}
            [how] if parse::is(how, "async") || parse::is(how, "sync") => {}
            _ => {
                let text = "ERR SCRIPT FLUSH only support SYNC|ASYNC option";
                return Err(CommandError::Fixed(text));
            }
        }
        self.registry.flush_scripts();
        context.reply.simple("OK");
        Ok(())
    }
}

impl Interpreter {
    fn set_limits(&mut self, limits: ScriptLimits) {
        if let Some(vm) = &mut self.vm {
            vm.set_limits(limits.time, limits.memory_bytes_max);
        }
    }
}

/// What a client is told of a failure of a script of this name.
pub(crate) fn told(failure: Failure, name: &str) -> CommandError {
    CommandError::Text(match failure.place {
        Some((source, line)) => format!("{} script: {name}, on {source}:{line}.", failure.text),
        None => failure.text,
    })
}

impl ScriptHost for LaneScripts {
    fn run(
        &mut self,
        context: &mut Context<'_>,
        command: ScriptCommand,
    ) -> Result<(), CommandError> {
        self.forget_departed();
        match command {
            ScriptCommand::Run { source, read_only } => self.evaluate(context, source, read_only),
            ScriptCommand::ScriptExists => {
                self.exists(context);
                Ok(())
            }
            ScriptCommand::ScriptFlush => self.flush(context),
            ScriptCommand::ScriptLoad => self.load(context),
            ScriptCommand::ScriptShow => self.show(context),
            ScriptCommand::FunctionDelete => self.delete_library(context),
            ScriptCommand::FunctionDump => {
                self.dump_libraries(context);
                Ok(())
            }
            ScriptCommand::FunctionFlush => self.flush_libraries(context),
            ScriptCommand::FunctionList => self.list_libraries(context),
            ScriptCommand::FunctionLoad => self.load_library(context),
            ScriptCommand::FunctionRestore => self.restore_libraries(context),
        }
    }
}
