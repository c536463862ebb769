//! Commands about connections, settings and the server as a whole. `run` branches, a function per
//! command or subcommand does the work; what concerns all lanes is asked of all (`Step::Ask`), and
//! `answer` is the side that answers.

pub mod acl;
pub mod auth;
pub mod client;
pub mod client_filter;
pub mod cluster;
pub mod config;
pub mod info;
pub mod latency;
pub mod latency_events;
pub mod memory;
pub mod process;
pub mod report;
pub mod script;
pub mod server;
pub mod slowlog;
pub mod transaction;

use ringlane_command::{Args, CommandError, CommandSpec, Reply, ServeCommand, parse};

use crate::ask::{Answer, Answers, Question, Step};
use crate::core::Core;
use crate::pubsub::{Kind, commands as pubsub};
use crate::reply::RespReply;
use crate::ring::ConnectionId;
use crate::session::Session;

/// What a command or subcommand comes to; an error is its whole reply.
pub type Outcome = Result<Step, CommandError>;
/// One subcommand of a container, by the name in its row.
pub type Subcommand = (&'static str, fn(&mut Core, ConnectionId, Args<'_>) -> Outcome);

/// Runs one command of a connection. `Step::Done` means that the reply is written; it is left out
/// after `CLIENT REPLY OFF|SKIP` and `SHUTDOWN` alone.
pub fn run(
    core: &mut Core,
    id: ConnectionId,
    spec: &'static CommandSpec,
    command: ServeCommand,
    args: Args<'_>,
) -> Outcome {
    match command {
        ServeCommand::Acl => subcommand(core, id, spec, args, acl::SUBCOMMANDS),
        ServeCommand::Asking => cluster::asking(core, id),
        ServeCommand::Auth => auth::auth(core, id, args),
        ServeCommand::Client => subcommand(core, id, spec, args, client::SUBCOMMANDS),
        ServeCommand::Cluster => {
            cluster::check_enabled(core)?;
            subcommand(core, id, spec, args, cluster::SUBCOMMANDS)
        }
        ServeCommand::Config => subcommand(core, id, spec, args, config::SUBCOMMANDS),
        ServeCommand::Debug => server::debug(args),
        ServeCommand::Discard => transaction::discard(core, id),
        ServeCommand::Echo => server::echo(core, id, args),
        ServeCommand::Exec => transaction::exec(core, id),
        ServeCommand::Function => subcommand(core, id, spec, args, script::FUNCTION_SUBCOMMANDS),
        ServeCommand::Hello => auth::hello(core, id, args),
        ServeCommand::Info => info::info(args),
        ServeCommand::Latency => subcommand(core, id, spec, args, latency::SUBCOMMANDS),
        ServeCommand::Memory => subcommand(core, id, spec, args, memory::SUBCOMMANDS),
        ServeCommand::Module => subcommand(core, id, spec, args, server::MODULE_SUBCOMMANDS),
        ServeCommand::Monitor => crate::monitor::monitor(core, id),
        ServeCommand::Multi => transaction::multi(core, id),
        ServeCommand::Ping => server::ping(core, id, args),
        ServeCommand::Psubscribe => pubsub::subscribe(core, id, Kind::Pattern, args),
        ServeCommand::Publish => pubsub::publish(core, id, Kind::Channel, args),
        ServeCommand::Pubsub => subcommand(core, id, spec, args, pubsub::SUBCOMMANDS),
        ServeCommand::Punsubscribe => pubsub::unsubscribe(core, id, Kind::Pattern, args),
        ServeCommand::Quit => auth::quit(core, id),
        ServeCommand::ReadOnly => cluster::read_only(core, id),
        ServeCommand::ReadWrite => cluster::read_write(core, id),
        ServeCommand::Reset => auth::reset(core, id),
        ServeCommand::Role => server::role(core, id),
        ServeCommand::Script => subcommand(core, id, spec, args, script::SCRIPT_SUBCOMMANDS),
        ServeCommand::Select => auth::select(core, id, args),
        ServeCommand::Shutdown => server::shutdown(core, id, args),
        ServeCommand::Slowlog => subcommand(core, id, spec, args, slowlog::SUBCOMMANDS),
        ServeCommand::Spublish => pubsub::publish(core, id, Kind::Shard, args),
        ServeCommand::Ssubscribe => pubsub::subscribe(core, id, Kind::Shard, args),
        ServeCommand::Subscribe => pubsub::subscribe(core, id, Kind::Channel, args),
        ServeCommand::Sunsubscribe => pubsub::unsubscribe(core, id, Kind::Shard, args),
        ServeCommand::Time => server::time(core, id),
        ServeCommand::Unsubscribe => pubsub::unsubscribe(core, id, Kind::Channel, args),
        ServeCommand::Unwatch => transaction::unwatch(core, id),
        ServeCommand::Wait => server::wait(core, id, args),
        ServeCommand::WaitAof => server::wait_aof(core, id, args),
        ServeCommand::Watch => transaction::watch(core, id, args),
    }
}

/// Answers a question that a lane put to all, this one included.
pub fn answer(core: &mut Core, question: &Question) -> Answer {
    match question {
        Question::Report { histograms } => {
            Answer::Report(Box::new(report::LaneReport::of(core, *histograms)))
        }
        Question::ResetStats => {
            report::reset(core);
            Answer::Done
        }
        Question::Clients(filter, from) => client::lines(core, filter, *from),
        Question::KillClients(filter, from) => client::kill_matching(core, filter, *from),
        Question::Unblock(client, how) => {
            Answer::Count(u64::from(core.unblock_client(*client, *how)))
        }
        Question::Slowlog(count) => Answer::Slowlog(core.stats.slowlog.newest(*count)),
        Question::SlowlogLength => Answer::Count(core.stats.slowlog.len() as u64),
        Question::SlowlogReset => {
            core.stats.slowlog.clear();
            Answer::Done
        }
        Question::LatencyEvents => Answer::LatencyEvents(Box::new(core.stats.events.clone())),
        Question::LatencyReset(events) => latency::reset(core, events.as_deref()),
        Question::Refresh => {
            core.refresh_settings();
            core.refresh_pause();
            Answer::Done
        }
        Question::FindClient(client) => crate::tracking::commands::find_client(core, *client),
        Question::Channels { kind, pattern, until } => {
            pubsub::list(core, *kind, pattern.as_ref(), *until)
        }
        Question::Listeners { kind, names } => pubsub::listeners(core, *kind, names),
        Question::SlotLength(slot) => Answer::Count(cluster::slot_length(core, *slot)),
        Question::KillScripts { functions } => Answer::Kills(core.kill_scripts(*functions)),
        Question::RunningFunction => Answer::Function(core.running_function()),
        Question::SlotKeys(slot, max) => Answer::Keys(cluster::slot_keys(core, *slot, *max)),
    }
}

/// Runs a container's subcommand; its row was found and its arity checked.
fn subcommand(
    core: &mut Core,
    id: ConnectionId,
    spec: &'static CommandSpec,
    args: Args<'_>,
    functions: &[Subcommand],
) -> Outcome {
    let function = functions.iter().find(|(name, _)| *name == spec.short_name());
    let (_, function) = function.expect("a test holds the rows to the functions");
    function(core, id, args)
}

/// The beginning of an argument for an error's text.
pub fn quoted(argument: &[u8]) -> String {
    const BYTES_MAX: usize = 128;
    parse::printable(argument, BYTES_MAX)
}

/// The session of the connection whose command is running.
fn session(core: &mut Core, id: ConnectionId) -> &mut Session {
    &mut core.connections.get(id).expect("its command is running").session
}

/// Writes the reply of a command that needed nobody else.
#[allow(clippy::unnecessary_wraps, reason = "the last word of functions that may refuse")]
pub fn done(core: &mut Core, id: ConnectionId, write: impl FnOnce(&mut RespReply<'_>)) -> Outcome {
    core.reply(id, write);
    Ok(Step::Done)
}

fn ok(core: &mut Core, id: ConnectionId) -> Outcome {
    done(core, id, |reply| reply.simple("OK"))
}

/// Finishes a question whose answers say nothing.
pub fn finish_ok(_: &mut Core, _: Answers<'_>, reply: &mut RespReply<'_>) {
    reply.simple("OK");
}

/// The counts of all lanes added up.
fn sum(answers: Vec<Answer>) -> u64 {
    answers.into_iter().map(Answer::count).sum()
}

#[cfg(test)]
mod tests {
    use ringlane_command::{Run, table};

    use super::*;

    /// A row without a function, or a function without a row, would be noticed by a user only.
    #[test]
    fn every_subcommand_has_a_row_and_a_function() {
        for (name, functions) in [
            ("acl", acl::SUBCOMMANDS),
            ("client", client::SUBCOMMANDS),
            ("cluster", cluster::SUBCOMMANDS),
            ("config", config::SUBCOMMANDS),
            ("latency", latency::SUBCOMMANDS),
            ("memory", memory::SUBCOMMANDS),
            ("module", server::MODULE_SUBCOMMANDS),
            ("pubsub", pubsub::SUBCOMMANDS),
            ("function", script::FUNCTION_SUBCOMMANDS),
            ("script", script::SCRIPT_SUBCOMMANDS),
            ("slowlog", slowlog::SUBCOMMANDS),
        ] {
            let container = table::lookup(name.as_bytes()).expect(name);
            let mut rows: Vec<&str> = container
                .subcommands
                .iter()
                .filter(|row| matches!(row.run, Run::Serve(_)))
                .map(CommandSpec::short_name)
                .collect();
            let mut known: Vec<&str> = functions.iter().map(|(name, _)| *name).collect();
            rows.sort_unstable();
            known.sort_unstable();
            assert_eq!(rows, known, "{name}");
        }
    }
}
