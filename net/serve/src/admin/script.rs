//! SCRIPT KILL, FUNCTION KILL and FUNCTION STATS: scripts run on every lane, in slices, so every lane is
//! asked.

use ringlane_command::{Args, CommandError, Reply as _};

use super::{Outcome, Subcommand};
use crate::ask::{Answer, Answers, Question, Step};
use crate::core::Core;
use crate::reply::RespReply;
use crate::ring::ConnectionId;
use crate::script_aside::Kills;

pub const SCRIPT_SUBCOMMANDS: &[Subcommand] = &[("kill", kill_scripts)];
pub const FUNCTION_SUBCOMMANDS: &[Subcommand] = &[
    ("kill", kill_functions),
    ("stats", |_, _, _| Ok(Step::Ask(Question::RunningFunction, finish_stats))),
];

const NOT_BUSY: &str = "NOTBUSY No scripts in execution right now.";
const UNKILLABLE: &str = "UNKILLABLE Sorry the script already executed write commands against the \
    dataset. You can either wait the script termination or kill the server in a hard way using the \
    SHUTDOWN NOSAVE command.";
const A_SCRIPT_RUNS: &str =
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
const A_FUNCTION_RUNS: &str =
    "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";

/// `SCRIPT KILL`
#[allow(clippy::unnecessary_wraps, reason = "the shape of all commands")]
fn kill_scripts(_: &mut Core, _: ConnectionId, _: Args<'_>) -> Outcome {
    Ok(Step::Ask(Question::KillScripts { functions: false }, |core, answers, reply| {
        finish(core, answers, reply, A_FUNCTION_RUNS);
    }))
}

/// `FUNCTION KILL`
#[allow(clippy::unnecessary_wraps, reason = "the shape of all commands")]
fn kill_functions(_: &mut Core, _: ConnectionId, _: Args<'_>) -> Outcome {
    Ok(Step::Ask(Question::KillScripts { functions: true }, |core, answers, reply| {
        finish(core, answers, reply, A_SCRIPT_RUNS);
    }))
}

/// `FUNCTION STATS`: of all functions that run, the one that has run longest, and what there is.
fn finish_stats(core: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    let running = answers.answers.into_iter().filter_map(Answer::function);
    let (libraries, functions) = core.shared.scripts.library_counts();
    reply.map(2);
    reply.bulk(b"running_script");
    match running.max_by_key(|function| function.milliseconds) {
        None => reply.null(),
        Some(function) => {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(function.name.as_bytes());
            reply.bulk(b"command");
            reply.array(function.command.len());
            for word in &function.command {
                reply.bulk(word);
            }
            reply.bulk(b"duration_ms");
            reply.integer(function.milliseconds as i64);
        }
    }
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(b"LUA");
    reply.map(2);
    reply.bulk(b"libraries_count");
    reply.integer(libraries as i64);
    reply.bulk(b"functions_count");
    reply.integer(functions as i64);
}

/// `others`: what is said when only the other kind runs.
fn finish(core: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>, others: &'static str) {
    let mut all = Kills::default();
    for kills in answers.answers.into_iter().map(Answer::kills) {
        all.killed += kills.killed;
        all.wrote += kills.wrote;
        all.others += kills.others;
    }
    let text = match all {
        Kills { killed: 1.., .. } => return reply.simple("OK"),
        Kills { wrote: 1.., .. } => UNKILLABLE,
        Kills { others: 1.., .. } => others,
        Kills { .. } => NOT_BUSY,
    };
    core.stats.note_error(text.as_bytes());
    reply.error(&CommandError::Fixed(text));
}
