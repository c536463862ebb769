//! Who a connection is and how it is spoken to: AUTH, HELLO, RESET, SELECT, QUIT.

use ringlane_base::{Database, number};
use ringlane_command::{Args, CommandError, Reply, parse};
use ringlane_resp::Version;
use ringlane_settings::Advertise;

use super::client::{NAME_REFUSED, is_printable_name};
use super::{Outcome, done, info, ok, session};
use crate::ask::Step;
use crate::core::Core;
use crate::reply::RespReply;
use crate::ring::ConnectionId;
use crate::session::ReplyMode;

/// What a client without password gets for anything but AUTH, HELLO, QUIT and RESET.
pub const NOAUTH: &str = "NOAUTH Authentication required.";
const HELLO_NOAUTH: &str = "NOAUTH HELLO must be called with the client already authenticated, \
    otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client \
    and select the RESP protocol version at the same time";
const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const NO_PASSWORD_SET: &str = "ERR AUTH <password> called without any password configured for the \
    default user. Are you sure your configuration is correct?";
/// The one user there is.
pub const USER: &[u8] = b"default";

/// `AUTH [username] password`.
pub fn auth(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    let (user, password) = match args.from(1) {
        [password] if core.live.requirepass.is_some() => (USER, *password),
        [_] => return Err(CommandError::Fixed(NO_PASSWORD_SET)),
        [user, password] => (*user, *password),
        _ => return Err(CommandError::Syntax),
    };
    check_password(core, user, password)?;
    session(core, id).authenticated = true;
    ok(core, id)
}

/// Without a password in the settings any will do, as for Redis's `nopass`.
fn check_password(core: &Core, user: &[u8], password: &[u8]) -> Result<(), CommandError> {
    let right = match &core.live.requirepass {
        Some(secret) => secret.matches(password),
        None => true,
    };
    if right && user == USER { Ok(()) } else { Err(CommandError::Fixed(WRONG_PASSWORD)) }
}

/// What HELLO was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Greeting<'a> {
    version: Option<Version>,
    /// User and password.
    credentials: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

impl<'a> Greeting<'a> {
    /// Reads `HELLO [protover [AUTH username password] [SETNAME clientname]]`.
    fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        let mut greeting = Self::default();
        let Some(version) = args.get(1) else { return Ok(greeting) };
        greeting.version = Some(match number::parse_integer(version) {
            Some(2) => Version::Resp2,
            Some(3) => Version::Resp3,
            Some(_) => return Err(CommandError::Fixed("NOPROTO unsupported protocol version")),
            None => {
                return Err(CommandError::Fixed(
                    "ERR Protocol version is not an integer or out of range",
                ));
            }
        });
        let mut rest = args.from(2);
        loop {
            rest = match rest {
                [] => return Ok(greeting),
                [option, user, password, rest @ ..] if parse::is(option, "auth") => {
                    greeting.credentials = Some((*user, *password));
                    rest
                }
                [option, name, rest @ ..] if parse::is(option, "setname") => {
                    greeting.name = Some(*name);
                    rest
                }
                [option, ..] => {
                    let option = super::quoted(option);
                    let text = format!("ERR Syntax error in HELLO option '{option}'");
                    return Err(CommandError::Text(text));
                }
            }
        }
    }
}

/// `HELLO`: all of it is checked before any of it takes effect.
pub fn hello(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    let greeting = Greeting::parse(args)?;
    if let Some((user, password)) = greeting.credentials {
        check_password(core, user, password)?;
    } else if !session(core, id).authenticated {
        return Err(CommandError::Fixed(HELLO_NOAUTH));
    }
    if greeting.name.is_some_and(|name| !is_printable_name(name)) {
        return Err(CommandError::Fixed(NAME_REFUSED));
    }
    let session = session(core, id);
    session.authenticated = true;
    if let Some(name) = greeting.name {
        session.name = name.to_vec();
    }
    if let Some(version) = greeting.version {
        session.version = version;
    }
    let (client, version) = (session.id, session.version);
    let mode = mode(core.live.advertise);
    done(core, id, |reply| write_greeting(reply, client, version, mode))
}

/// How `HELLO` and INFO name the kind of server.
pub fn mode(advertise: Advertise) -> &'static str {
    match advertise {
        Advertise::Node | Advertise::Lanes => "cluster",
        Advertise::Off => "standalone",
    }
}

/// The server is called redis, as the version is Redis's: clients turn features on by the name
/// (redis-py its client-side cache). INFO's `server_name` tells who it is.
fn write_greeting(reply: &mut RespReply<'_>, client: u64, version: Version, mode: &str) {
    reply.map(7);
    for (name, value) in [("server", "redis"), ("version", info::REDIS_VERSION)] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.integer(match version {
        Version::Resp2 => 2,
        Version::Resp3 => 3,
    });
    reply.bulk(b"id");
    reply.integer(client as i64);
    for (name, value) in [("mode", mode), ("role", "master")] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
}

/// `RESET`: as a new connection would be, but for what it said about its library.
pub fn reset(core: &mut Core, id: ConnectionId) -> Outcome {
    core.let_go(id);
    let open = core.live.requirepass.is_none();
    core.leave_transaction(id);
    let session = session(core, id);
    session.authenticated = open;
    session.database = Database(0);
    session.version = Version::Resp2;
    session.reply_mode = ReplyMode::On;
    session.no_touch = false;
    session.no_evict = false;
    session.read_only = false;
    session.name.clear();
    done(core, id, |reply| reply.simple("RESET"))
}

/// `SELECT index`.
pub fn select(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    let database = parse::database(&args[1], core.live.databases)?;
    session(core, id).database = database;
    ok(core, id)
}

/// `QUIT`: OK, and nothing of what follows.
pub fn quit(core: &mut Core, id: ConnectionId) -> Outcome {
    core.reply(id, |reply| reply.simple("OK"));
    core.drain(id);
    Ok(Step::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_are_read_whole_or_refused() {
        let parse = |words: &[&str]| {
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            Greeting::parse(Args::new(&words, &[]))
                .map(|it| (it.version, it.credentials.is_some(), it.name.map(<[u8]>::to_vec)))
                .map_err(|error| error.to_string())
        };
        assert_eq!(parse(&["hello"]), Ok((None, false, None)));
        let all = parse(&["hello", "3", "AUTH", "default", "secret", "setname", "me"]);
        assert_eq!(all, Ok((Some(Version::Resp3), true, Some(b"me".to_vec()))));
        for (words, error) in [
            (&["hello", "4"][..], "NOPROTO unsupported protocol version"),
            (&["hello", "x"], "ERR Protocol version is not an integer or out of range"),
            (&["hello", "2", "auth", "a"], "ERR Syntax error in HELLO option 'auth'"),
            (&["hello", "2", "setname"], "ERR Syntax error in HELLO option 'setname'"),
            (&["hello", "2", "foo"], "ERR Syntax error in HELLO option 'foo'"),
        ] {
            assert_eq!(parse(words), Err(error.to_owned()), "{words:?}");
        }
    }
}
