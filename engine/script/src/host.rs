//! A lane's scripts: what it has compiled, and the commands that run it. The texts are the
//! registry's, shared by all lanes; the interpreter is the lane's own, made when it is first needed.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use ringlane_base::{KeyHash, SLOT_COUNT, Slot};
use ringlane_command::{CommandError, Context, ScriptCommand, ScriptHost, ScriptSource, parse};

use crate::flags::{self, ScriptFlags};
use crate::registry::{Registry, Script, sha1_hex};
use crate::run::{Listeners, Place, Published, Reach, Run, Watcher};
use crate::vm::{Failure, Function, Style, Vm};
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

/// The scripts of one lane.
pub struct LaneScripts {
    pub(crate) registry: Arc<Registry>,
    clocks: Clocks,
    limits: ScriptLimits,
    lane: Range<u16>,
    place: Place,
    pub(crate) vm: Option<Vm>,
    by_sha1: HashMap<[u8; 40], Rc<Compiled>>,
    /// By the hash of the text, so that EVAL needs no SHA-1.
    by_text: HashMap<u64, Rc<Compiled>>,
    /// `Registry::departures` when this lane last looked.
    departures: u64,
    published: Vec<Published>,
    listeners: Option<Rc<dyn Listeners>>,
    watcher: Option<Rc<dyn Watcher>>,
    pub(crate) functions: crate::functions::LaneFunctions,
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
            vm: None,
            by_sha1: HashMap::new(),
            by_text: HashMap::new(),
            departures: 0,
            published: Vec::new(),
            listeners: None,
            watcher: None,
            functions: crate::functions::LaneFunctions::default(),
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
        let watch = Watch::new(self.clocks, limits.time);
        if let Some(vm) = &mut self.vm {
            vm.set_limits(watch, limits.memory_bytes_max);
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
        self.vm.as_ref().map_or(0, Vm::memory_bytes)
    }

    /// The interpreter, made if there is none.
    pub(crate) fn vm(&mut self) -> &mut Vm {
        let limits = self.limits;
        let clocks = self.clocks;
        self.vm.get_or_insert_with(|| {
            Vm::new(Watch::new(clocks, limits.time), limits.memory_bytes_max)
        })
    }

    /// Drops what was compiled of scripts that are no longer known.
    fn forget_departed(&mut self) {
        let departures = self.registry.departures();
        if departures == self.departures {
            return;
        }
        self.departures = departures;
        let Some(vm) = &mut self.vm else { return };
        self.by_text.retain(|_, compiled| !compiled.script.is_gone());
        self.by_sha1.retain(|_, compiled| {
            let gone = compiled.script.is_gone();
            if gone {
                vm.release(compiled.function);
            }
            !gone
        });
    }

    /// The script in a text, compiled.
    fn by_text(&mut self, text: &[u8], hash: u64) -> Result<Rc<Compiled>, CommandError> {
        if let Some(compiled) = self.by_text.get(&hash)
            && *compiled.script.text == *text
        {
            self.registry.mark_used(&compiled.script);
            return Ok(Rc::clone(compiled));
        }
        let compiled = self.learn(sha1_hex(text), text, false)?;
        self.by_text.insert(hash, Rc::clone(&compiled));
        Ok(compiled)
    }

    /// Compiles a text and makes it known.
    fn learn(
        &mut self,
        sha1: [u8; 40],
        text: &[u8],
        loaded: bool,
    ) -> Result<Rc<Compiled>, CommandError> {
        if let Some(compiled) = self.by_sha1.get(&sha1) {
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
        self.by_sha1.insert(sha1, Rc::clone(&compiled));
        Ok(compiled)
    }

    /// The script of this SHA-1, compiled.
    fn by_sha1(&mut self, sha1: &[u8]) -> Result<Rc<Compiled>, CommandError> {
        let mut small: [u8; 40] = sha1.try_into().map_err(|_| NO_SCRIPT)?;
        small.make_ascii_lowercase();
        if let Some(compiled) = self.by_sha1.get(&small) {
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
        self.run(context, (function, Style::Script), flags, read_only).map_err(|failure| {
            let sha1 = std::str::from_utf8(&sha1).expect("digits are ASCII");
            told(failure, sha1)
        })?;
        self.vm().answer(context.reply);
        Ok(())
    }

    /// Runs a function of Lua with the command's keys and arguments.
    pub(crate) fn run(
        &mut self,
        context: &mut Context<'_>,
        (function, style): (Function, Style),
        flags: ScriptFlags,
        read_only: bool,
    ) -> Result<(), Failure> {
        let refuse = |text: &str| Err(Failure { text: text.into(), place: None });
        if read_only && !flags.no_writes && !flags.plain {
            return refuse("ERR Can not execute a script with write flag using *_ro command.");
        }
        let no_writes = read_only || flags.no_writes;
        if !flags.plain && !flags.allow_oom && !no_writes && context.store.is_full() {
            return refuse(
                "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
            );
        }
        let count = parse::integer(&context.args[2]).map_or(0, |count| count as usize);
        let (keys, arguments) = context.args.from(3).split_at(count);
        let reach = self.reach(keys);
        let mut run = Run {
            database: context.database,
            // What a script calls is part of it: its own limits of time bound it.
            limits: context.limits.unbounded(),
            read_only: no_writes,
            allow_oom: flags.allow_oom,
            resp3: false,
            reach,
            published: &mut self.published,
            listeners: self.listeners.as_deref(),
            watcher: self.watcher.as_deref(),
            wrote: false,
            store: context.store,
        };
        self.runs += 1;
        let vm = self.vm.as_mut().expect("something was compiled");
        let outcome = vm.run(function, style, (keys, arguments), &mut run);
        if outcome.is_err() && vm.was_interrupted() {
            self.interrupted += 1;
        }
        outcome
    }

    fn reach<'a>(&self, keys: &[&'a [u8]]) -> Reach<'a> {
        let mut reach = Reach {
            place: self.place,
            keys: smallvec::SmallVec::new(),
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
                reach.keys.extend_from_slice(keys);
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
            ScriptCommand::FunctionStats => {
                self.function_stats(context);
                Ok(())
            }
        }
    }
}
