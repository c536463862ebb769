//! A script between two of its slices: how it goes on, what it waits for, and how it is killed. Whoever runs
//! it (`aside`, `together`) holds its slots meanwhile; locks no slot itself.

use ringlane_command::{Args, CommandError, HandlerLimits};
use ringlane_resp::Version;
use ringlane_script::{LaneScripts, PausedScript, Tape};
use ringlane_store::Store;

use crate::admin::slowlog;
use crate::aside::Ordered;
use crate::aside_helper::Whose;
use crate::clock;
use crate::core::Core;
use crate::parcel::{Named, Parcel, Request};
use crate::reply::RespReply;
use crate::reply_buffer::ReplyBuffer;
use crate::run::{Manner, Ran, Slices};

/// A script that is paused.
pub struct ScriptAside {
    pub paused: Box<PausedScript>,
    /// What the command has answered that it has waited for.
    answer: Option<Result<Tape, CommandError>>,
    /// Ticks of the clock when it was paused first.
    begun: u64,
}

impl ScriptAside {
    pub fn new(paused: Box<PausedScript>) -> Self {
        Self { paused, answer: None, begun: clock::ticks() }
    }

    /// The command that it waits for has been run.
    pub fn take_answer(&mut self, answer: Result<Tape, CommandError>) {
        self.answer = Some(answer);
    }

    /// Ticks since it was paused first.
    pub fn ticks(&self) -> u64 {
        clock::ticks().wrapping_sub(self.begun)
    }

    /// Runs it for another slice.
    ///
    /// # Errors
    /// Itself: it is paused again.
    pub fn go_on(
        self,
        scripts: &mut LaneScripts,
        (store, limits): (&mut Store, HandlerLimits),
        version: Version,
        out: &mut ReplyBuffer,
    ) -> Result<Ran, Self> {
        let Self { paused, answer, begun } = self;
        let before = out.mark();
        let mut reply = RespReply::new(out, version);
        match scripts.resume(paused, answer, (store, limits), &mut reply) {
            Ok(()) => Ok(Ran::Fine),
            Err(error) => {
                out.truncate(before);
                if let Some(paused) = scripts.take_paused() {
                    return Err(Self { paused, answer: None, begun });
                }
                RespReply::new(out, version).error_line(&error);
                Ok(Ran::Failed)
            }
        }
    }

    /// The command that it waits for, if it does, for the helpers, alone in a parcel. `script`: its own.
    pub fn order(
        &self,
        whose: Whose,
        script: &Request,
        databases: u8,
    ) -> Option<(Ordered, Box<Parcel>)> {
        let heavy = self.paused.heavy()?;
        let words: Slices<'_> = heavy.args.iter().map(|arg| &arg[..]).collect();
        let args = Args::new(&words, &heavy.args);
        let own = script.manner(HandlerLimits::default());
        let manner = Manner { database: heavy.database, mark: None, ..own };
        let request = Request::new(script.return_to, heavy.spec, None, manner);
        let parcel = Parcel::of_one(request, args);
        let request = parcel.requests[0];
        let mut keys: Vec<Named> = Vec::new();
        parcel.visit_keys(&request, databases, &mut |database, key| {
            keys.push((database, key.into()));
        });
        keys.sort_unstable();
        keys.dedup();
        let order = Ordered {
            whose,
            request,
            position: 0,
            may_wait: false,
            called: true,
            keys,
            lookups: None,
        };
        Some((order, parcel))
    }
}

/// What SCRIPT KILL and FUNCTION KILL found at a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kills {
    /// They end with an error.
    pub killed: u64,
    /// They have written: nothing ends them.
    pub wrote: u64,
    /// They are functions, where scripts were meant, or the other way.
    pub others: u64,
}

/// A function that is paused between two of its slices, for FUNCTION STATS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningFunction {
    pub name: String,
    /// The command that has called it, shortened as in the slow log.
    pub command: Vec<Vec<u8>>,
    /// Since its first pause.
    pub milliseconds: u64,
}

impl ScriptAside {
    /// What is told of it if it is a function, which the request has called.
    pub fn function(
        &self,
        commands: &Parcel,
        request: &Request,
        ticks_per_us: u64,
    ) -> Option<RunningFunction> {
        self.paused.is_function().then(|| RunningFunction {
            name: self.paused.name().to_owned(),
            command: slowlog::told(
                request.spec,
                &commands.first_slices(request),
                1 + request.arguments(),
            ),
            milliseconds: self.ticks() / ticks_per_us / 1000,
        })
    }
}

impl Core {
    /// The function of this lane that has run longest.
    pub fn running_function(&self) -> Option<RunningFunction> {
        let per_us = self.ticks_per_us;
        let all = self.asides.functions(per_us).chain(self.togethers.functions(per_us));
        all.max_by_key(|function| function.milliseconds)
    }

    /// Ends the scripts of this lane that have not written, or the functions.
    pub fn kill_scripts(&mut self, functions: bool) -> Kills {
        let mut kills = Kills::default();
        let scripts = self.asides.scripts().chain(self.togethers.scripts());
        for script in scripts {
            if script.is_function() != functions {
                kills.others += 1;
            } else if script.wrote() {
                kills.wrote += 1;
            } else {
                script.kill();
                kills.killed += 1;
            }
        }
        kills
    }
}
