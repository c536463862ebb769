//! CONFIG: the settings of the running server. What a setting is called and may hold stands in the
//! settings' own table.

use ringlane_command::{Args, CommandError, Reply, table};

use super::{Outcome, Subcommand, done, finish_ok};
use crate::ask::{Question, Step};
use crate::core::Core;
use crate::errands::Errand;
use crate::ring::ConnectionId;

pub const SUBCOMMANDS: &[Subcommand] = &[
    ("get", get),
    ("resetstat", |_, _, _| Ok(Step::Ask(Question::ResetStats, finish_ok))),
    ("rewrite", rewrite),
    ("set", set),
];

/// `CONFIG GET pattern …`.
fn get(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    let pairs = core.settings.get(args.from(2));
    done(core, id, |reply| {
        reply.map(pairs.len());
        for (name, value) in &pairs {
            reply.bulk(name.as_bytes());
            reply.bulk(value.as_bytes());
        }
    })
}

/// `CONFIG SET name value …`: all or none. Answered once every lane obeys.
fn set(core: &mut Core, _: ConnectionId, args: Args<'_>) -> Outcome {
    let (pairs, []) = args.from(2).as_chunks::<2>() else {
        return Err(CommandError::WrongArity("config|set"));
    };
    let mut texts = Vec::with_capacity(pairs.len());
    for [name, value] in pairs {
        let name = String::from_utf8_lossy(name);
        let value = std::str::from_utf8(value).map_err(|_| {
            CommandError::Text(format!(
                "ERR CONFIG SET failed (possibly related to argument '{name}') - argument must be \
                 UTF-8"
            ))
        })?;
        texts.push((name, value));
    }
    let pairs: Vec<(&str, &str)> = texts.iter().map(|(name, value)| (&**name, *value)).collect();
    core.settings.set(&pairs).map_err(|error| one_line(&error.to_string()))?;
    Ok(Step::Ask(Question::Refresh, finish_ok))
}

/// `CONFIG REWRITE`: its reply says that the file is safe.
fn rewrite(core: &mut Core, id: ConnectionId, _: Args<'_>) -> Outcome {
    let spec = table::find(b"config|rewrite").expect("its row has led here");
    core.send_errand(id, spec, Errand::RewriteSettings)?;
    Ok(Step::Done)
}

/// An error may quote what the client sent.
fn one_line(text: &str) -> CommandError {
    CommandError::Text(text.replace(['\r', '\n'], " "))
}
