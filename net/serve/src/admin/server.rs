//! Small commands to the server itself: PING, ECHO, TIME, SHUTDOWN, WAIT, WAITAOF, ROLE, MODULE,
//! DEBUG.

use std::time::{SystemTime, UNIX_EPOCH};

use ringlane_base::number;
use ringlane_command::{Args, CommandError, Reply, parse};
use ringlane_resp::Version;

use super::{Outcome, Subcommand, done};
use crate::ask::Step;
use crate::core::Core;
use crate::ring::ConnectionId;
use crate::shared::Running;

/// `PING [message]`.
pub fn ping(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    let connection = core.connections.get(id).expect("its command is running");
    if connection.listening.is_some() && connection.session.version == Version::Resp2 {
        return pong_to_listener(core, id, args);
    }
    match args.from(1) {
        [] => done(core, id, |reply| reply.simple("PONG")),
        [_] => echo(core, id, args),
        _ => Err(CommandError::WrongArity("ping")),
    }
}

/// What a client in RESP2 that listens gets: it tells replies from messages by their first word.
fn pong_to_listener(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    if args.len() > 2 {
        return Err(CommandError::WrongArity("ping"));
    }
    done(core, id, |reply| {
        reply.array(2);
        reply.bulk(b"pong");
        reply.bulk(args.get(1).unwrap_or_default());
    })
}

/// `ECHO message`.
pub fn echo(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    done(core, id, |reply| match args.blob(1) {
        Some(blob) => reply.blob(blob),
        None => reply.bulk(&args[1]),
    })
}

/// `TIME`: Unix seconds and the microseconds within the second.
pub fn time(core: &mut Core, id: ConnectionId) -> Outcome {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    done(core, id, |reply| {
        reply.array(2);
        reply.bulk(itoa::Buffer::new().format(now.as_secs()).as_bytes());
        reply.bulk(itoa::Buffer::new().format(now.subsec_micros()).as_bytes());
    })
}

/// What SHUTDOWN was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Begin,
    Abort,
}

/// Reads `SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] [ABORT]`. NOW and FORCE change nothing: no replica
/// is waited for, nothing can fail to be saved.
fn parse_shutdown(args: Args<'_>) -> Result<Ending, CommandError> {
    let has = |word| args.from(1).iter().any(|arg| parse::is(arg, word));
    let known = |arg: &&[u8]| {
        ["save", "nosave", "now", "force", "abort"].iter().any(|word| parse::is(arg, word))
    };
    let begins = ["save", "nosave", "now", "force"].iter().any(|word| has(word));
    if !args.from(1).iter().all(known) || (has("save") && has("nosave")) || (has("abort") && begins)
    {
        return Err(CommandError::Syntax);
    }
    if has("save") {
        return Err(CommandError::Fixed(
            "ERR SHUTDOWN SAVE is not supported: nothing can be saved to disk, use NOSAVE",
        ));
    }
    Ok(if has("abort") { Ending::Abort } else { Ending::Begin })
}

/// `SHUTDOWN`: every connection gets what it is owed, then the process ends. No reply, as in Redis.
pub fn shutdown(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    match parse_shutdown(args)? {
        // One that is under way takes less than a second and lets no command in.
        Ending::Abort => Err(CommandError::Fixed("ERR No shutdown in progress.")),
        Ending::Begin => {
            tracing::info!("shutdown asked for by a client");
            core.shared.set_running(Running::Draining);
            core.shared.ring_doorbells();
            core.drain(id);
            Ok(Step::Done)
        }
    }
}

/// `WAIT numreplicas timeout`. Answered at once with 0, whatever the timeout: there is no replica,
/// and none can join while a client waits, so that waiting would change nothing but the time.
pub fn wait(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    parse::integer(&args[1])?;
    check_timeout(&args[2])?;
    done(core, id, |reply| reply.integer(0))
}

fn check_timeout(text: &[u8]) -> Result<(), CommandError> {
    match number::parse_integer(text) {
        Some(0..) => Ok(()),
        Some(_) => Err(CommandError::Fixed("ERR timeout is negative")),
        None => Err(CommandError::Fixed("ERR timeout is not an integer or out of range")),
    }
}

/// `WAITAOF numlocal numreplicas timeout`. Answered as WAIT is; there is no append-only file either, so
/// that nobody can want one written here.
pub fn wait_aof(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    const LOCAL: CommandError =
        CommandError::Fixed("ERR value is out of range, value must between 0 and 1");
    const REPLICAS: CommandError =
        CommandError::Fixed("ERR value is out of range, must be positive");
    let local = parse::integer(&args[1])?;
    if !(0..=1).contains(&local) {
        return Err(LOCAL);
    }
    number::parse_integer(&args[2]).filter(|it| *it >= 0).ok_or(REPLICAS)?;
    check_timeout(&args[3])?;
    if local > 0 {
        return Err(CommandError::Fixed(
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ));
    }
    done(core, id, |reply| {
        reply.array(2);
        reply.integer(0);
        reply.integer(0);
    })
}

/// `ROLE`: a primary without replicas.
pub fn role(core: &mut Core, id: ConnectionId) -> Outcome {
    done(core, id, |reply| {
        reply.array(3);
        reply.bulk(b"master");
        reply.integer(0);
        reply.array(0);
    })
}

pub const MODULE_SUBCOMMANDS: &[Subcommand] =
    &[("list", |core, id, _| done(core, id, |reply| reply.array(0)))];

/// `DEBUG`: its subcommands would hold a lane or crash the process.
pub fn debug(args: Args<'_>) -> Outcome {
    let name = super::quoted(&args[1]).to_ascii_uppercase();
    Err(CommandError::Text(format!("ERR DEBUG {name} is not supported")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shutdown_takes_the_words_of_redis() {
        let read = |words: &[&str]| {
            let mut args: Vec<&[u8]> = vec![b"shutdown"];
            args.extend(words.iter().map(|word| word.as_bytes()));
            parse_shutdown(Args::new(&args, &[])).map_err(|error| error.to_string())
        };
        for words in [&[][..], &["NOSAVE"], &["now", "force"], &["nosave", "NOW"]] {
            assert_eq!(read(words), Ok(Ending::Begin), "{words:?}");
        }
        assert_eq!(read(&["abort"]), Ok(Ending::Abort));
        for words in [&["foo"][..], &["save", "nosave"], &["abort", "now"]] {
            assert_eq!(read(words), Err("ERR syntax error".to_owned()), "{words:?}");
        }
        assert!(read(&["save"]).is_err_and(|error| error.contains("NOSAVE")));
    }
}
