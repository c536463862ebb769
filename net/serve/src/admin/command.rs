//! COMMAND: what the command table says of itself.

use ringlane_command::{Args, introspect};

use super::{Outcome, Subcommand};
use crate::ask::Step;
use crate::core::Core;
use crate::ring::ConnectionId;

pub const SUBCOMMANDS: &[Subcommand] = &[
    ("count", command),
    ("docs", command),
    ("getkeys", command),
    ("getkeysandflags", command),
    ("info", command),
    ("list", command),
];

/// `COMMAND` and its subcommands.
pub fn command(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    let mut refused = None;
    core.reply(id, |reply| {
        // A refusal comes before anything is written.
        if let Err(error) = introspect::command(args, reply) {
            reply.error_line(&error);
            refused = Some(error);
        }
    });
    if let Some(error) = refused {
        core.stats.note_error(error.to_string().as_bytes());
    }
    Ok(Step::Done)
}
