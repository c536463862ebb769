//! CLIENT: what a connection says about itself, lists of connections, ending and pausing them.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use ringlane_base::{LaneId, Millis, number};
use ringlane_command::{Args, CommandError, CommandSpec, Reply, parse, table};
use ringlane_resp::Version;

use super::client_filter::{Asking, Filter, Kind};
use super::{Outcome, Subcommand, done, finish_ok, ok, session, sum};
use crate::ask::{Answer, Answers, Question, Step};
use crate::blocked::Unblock;
use crate::connection::{Connection, Phase};
use crate::core::Core;
use crate::pubsub::Kind as Space;
use crate::reply::RespReply;
use crate::ring::ConnectionId;
use crate::session::ReplyMode;
use crate::tracking::{Mode, commands as tracking};

pub const SUBCOMMANDS: &[Subcommand] = &[
    ("caching", tracking::caching),
    ("capa", |core, id, _| ok(core, id)),
    ("getname", get_name),
    ("getredir", tracking::get_redirect),
    ("id", client_id),
    ("info", info),
    ("kill", kill),
    ("list", list),
    ("no-evict", no_evict),
    ("no-touch", no_touch),
    ("pause", pause),
    ("reply", reply_mode),
    ("setinfo", set_info),
    ("setname", set_name),
    ("unblock", unblock),
    ("tracking", tracking::tracking),
    ("trackinginfo", tracking::info),
    ("unpause", |core, _, _| {
        core.shared.pause_until_ms.store(0, Ordering::Release);
        Ok(Step::Ask(Question::Refresh, finish_ok))
    }),
];

/// Of a name, a library's name or its version: every connection keeps three of them.
const NAME_BYTES_MAX: usize = 1024;
/// Connections that are looked at before others get their turn: some 0.1 ms.
const CONNECTIONS_A_SLICE: usize = 256;
pub const NAME_REFUSED: &str =
    "ERR Client names cannot contain spaces, newlines or special characters.";

/// Whether a text may stand as a value in a line of `CLIENT LIST`.
pub fn is_printable_name(name: &[u8]) -> bool {
    name.len() <= NAME_BYTES_MAX && name.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

/// `ip:port` as clients see it: `127.0.0.1:6379`, `[::1]:6379`.
pub fn address(address: SocketAddr) -> String {
    canonical(address).to_string()
}

/// An IPv4 address that came through an IPv6 socket as the IPv4 address it is.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The lines of a slice of this lane's connections, those that the filter means, from place `from`
/// on. A connection that moves to another lane meanwhile may be told twice or not at all.
pub fn lines(core: &Core, filter: &Filter, from: usize) -> Answer {
    let (now, places) = (core.store.now().steady, core.connections.places());
    let until = places.min(from + CONNECTIONS_A_SLICE);
    let mut fields = Fields(String::new());
    for index in from..until {
        if let Some(connection) = meant(core, filter, index, now) {
            write_line(&mut fields, connection, core.lane, now);
        }
    }
    let rest = || Box::new(Question::Clients(filter.clone(), until));
    Answer::Lines { lines: Bytes::from(fields.0), rest: (until < places).then(rest) }
}

/// Ends a slice of this lane's connections, those that the filter means, from place `from` on. The
/// one that asks is counted; its end comes after its reply.
pub fn kill_matching(core: &mut Core, filter: &Filter, from: usize) -> Answer {
    let (now, places) = (core.store.now().steady, core.connections.places());
    let until = places.min(from + CONNECTIONS_A_SLICE);
    let mut count = 0;
    for index in from..until {
        let Some(connection) = meant(core, filter, index, now) else { continue };
        count += 1;
        if connection.session.id != filter.asking {
            core.close(connection.id);
        }
    }
    let rest = || Box::new(Question::KillClients(filter.clone(), until));
    Answer::Killed { count, rest: (until < places).then(rest) }
}

/// The connection at a place of this lane's table, if it is meant.
fn meant<'a>(core: &'a Core, filter: &Filter, index: usize, now: Millis) -> Option<&'a Connection> {
    core.connections.at(index).filter(|it| it.phase != Phase::Closing && is_meant(filter, it, now))
}

fn is_meant(filter: &Filter, connection: &Connection, now: Millis) -> bool {
    let kind = if connection.listening.is_some() { Kind::Pubsub } else { Kind::Normal };
    filter.matches(&connection.session, kind, || flags(connection), now)
}

/// `CLIENT UNBLOCK id [TIMEOUT | ERROR]`
fn unblock(_: &mut Core, _: ConnectionId, args: Args<'_>) -> Outcome {
    let how = match args.from(3) {
        [] => Unblock::Timeout,
        [how] if parse::is(how, "timeout") => Unblock::Timeout,
        [how] if parse::is(how, "error") => Unblock::Error,
        _ => {
            let text = "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR";
            return Err(CommandError::Fixed(text));
        }
    };
    // A number that no client can have is of none.
    let client = u64::try_from(parse::integer(&args[2])?).unwrap_or(0);
    Ok(Step::Ask(Question::Unblock(client, how), |_, answers, reply| {
        reply.integer(super::sum(answers.answers) as i64);
    }))
}

/// Writes `name=value` pairs apart by spaces.
struct Fields(String);

impl Fields {
    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.0.push_str(value);
    }

    /// What stands before a value.
    fn name(&mut self, name: &str) {
        if !self.0.is_empty() && !self.0.ends_with('\n') {
            self.0.push(' ');
        }
        self.0.push_str(name);
        self.0.push('=');
    }

    /// As `address` writes it.
    fn address(&mut self, name: &str, address: SocketAddr) {
        self.name(name);
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => {
                for (index, octet) in ip.octets().iter().enumerate() {
                    self.0.push_str(if index > 0 { "." } else { "" });
                    self.0.push_str(itoa::Buffer::new().format(*octet));
                }
                self.0.push(':');
                self.0.push_str(itoa::Buffer::new().format(address.port()));
            }
            IpAddr::V6(_) => self.0.push_str(&canonical(address).to_string()),
        }
    }

    fn number(&mut self, name: &str, value: u64) {
        self.text(name, itoa::Buffer::new().format(value));
    }

    fn bytes(&mut self, name: &str, value: &[u8]) {
        self.text(name, &String::from_utf8_lossy(value));
    }
}

/// Everything about one connection in a line, with the fields of Redis and, last, the lane that
/// holds it. Some 0.3 us.
fn write_line(fields: &mut Fields, connection: &Connection, lane: LaneId, now: Millis) {
    let session = &connection.session;
    let input = connection.input_len();
    let output = connection.output_len();
    fields.number("id", session.id);
    fields.address("addr", session.peer);
    fields.address("laddr", session.local);
    fields.number("fd", u64::try_from(connection.socket()).unwrap_or_default());
    fields.bytes("name", &session.name);
    fields.number("age", now.since(Millis(session.connected_ms)) / 1000);
    fields.number("idle", now.since(Millis(session.active_ms)) / 1000);
    fields.text("flags", &flags(connection));
    fields.number("db", u64::from(session.database.0));
    for (name, kind) in [("sub", Space::Channel), ("psub", Space::Pattern), ("ssub", Space::Shard)]
    {
        let count = connection.listening.as_ref().map_or(0, |it| it.of(kind).len());
        fields.number(name, count as u64);
    }
    match &session.transaction {
        Some(transaction) => fields.number("multi", transaction.len() as u64),
        None => fields.text("multi", "-1"),
    }
    fields.number("watch", session.watched.len() as u64);
    fields.number("qbuf", input as u64);
    fields.number("qbuf-free", (connection.input.capacity() - input) as u64);
    fields.number("argv-mem", connection.parser.pending_bytes() as u64);
    let queued = session.transaction.as_ref().map_or(0, |transaction| transaction.bytes());
    fields.number("multi-mem", queued as u64);
    fields.number("tot-net-in", session.bytes_in);
    fields.number("tot-net-out", session.bytes_out);
    fields.number("rbs", connection.output.bytes.capacity() as u64);
    fields.number("rbp", connection.flight.buffer.bytes.capacity() as u64);
    fields.number("obl", connection.output.len() as u64);
    fields.number("oll", connection.places_waiting() as u64);
    fields.number("omem", output as u64);
    fields.number("tot-mem", connection.memory() as u64);
    fields.text("events", if output > 0 { "rw" } else { "r" });
    fields.text("cmd", session.last_command.map_or("NULL", command_name));
    fields.text("user", "default");
    let redirect = tracking::told_redirect(connection.tracking.as_deref());
    fields.text("redir", itoa::Buffer::new().format(redirect));
    fields.text(
        "resp",
        match session.version {
            Version::Resp2 => "2",
            Version::Resp3 => "3",
        },
    );
    fields.bytes("lib-name", &session.library_name);
    fields.bytes("lib-ver", &session.library_version);
    fields.number("tot-cmds", session.commands);
    fields.number("lane", u64::from(lane.0));
    fields.0.push('\n');
}

fn line(connection: &Connection, lane: LaneId, now: Millis) -> String {
    let mut fields = Fields(String::new());
    write_line(&mut fields, connection, lane, now);
    fields.0
}

/// The letters of Redis that apply here, N if none does.
fn flags(connection: &Connection) -> String {
    let session = &connection.session;
    let letters: String = [
        (connection.monitor, 'O'),
        (connection.listening.is_some(), 'P'),
        (session.transaction.is_some(), 'x'),
        (connection.tracking.is_some(), 't'),
        (connection.tracking.as_ref().is_some_and(|it| it.broken), 'R'),
        (connection.tracking.as_ref().is_some_and(|it| it.mode == Mode::Broadcast), 'B'),
        (session.read_only, 'r'),
        (connection.phase == Phase::Draining, 'c'),
        (session.no_evict, 'e'),
        (session.no_touch, 'T'),
    ]
    .iter()
    .filter_map(|(holds, letter)| holds.then_some(*letter))
    .collect();
    if letters.is_empty() { "N".to_owned() } else { letters }
}

/// The name of the row with this id.
pub fn command_name(id: u16) -> &'static str {
    static NAMES: OnceLock<Vec<&'static str>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        let mut rows: Vec<&CommandSpec> = table::all_with_subcommands().collect();
        rows.sort_unstable_by_key(|row| row.id);
        rows.iter().map(|row| row.name).collect()
    });
    names[usize::from(id)]
}

/// `CLIENT ID`.
fn client_id(core: &mut Core, id: ConnectionId, _: Args<'_>) -> Outcome {
    let client = session(core, id).id;
    done(core, id, |reply| reply.integer(client as i64))
}

/// `CLIENT GETNAME`.
fn get_name(core: &mut Core, id: ConnectionId, _: Args<'_>) -> Outcome {
    let name = session(core, id).name.clone();
    done(core, id, |reply| if name.is_empty() { reply.null() } else { reply.bulk(&name) })
}

/// `CLIENT SETNAME connection-name`; an empty one removes it.
fn set_name(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    if !is_printable_name(&args[2]) {
        return Err(CommandError::Fixed(NAME_REFUSED));
    }
    session(core, id).name = args[2].to_vec();
    ok(core, id)
}

/// `CLIENT SETINFO LIB-NAME name` or `LIB-VER version`.
fn set_info(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    let (option, value) = (&args[2], &args[3]);
    let session = session(core, id);
    let place = if parse::is(option, "lib-name") {
        &mut session.library_name
    } else if parse::is(option, "lib-ver") {
        &mut session.library_version
    } else {
        let option = super::quoted(option);
        return Err(CommandError::Text(format!("ERR Unrecognized option '{option}'")));
    };
    if !is_printable_name(value) {
        let option = super::quoted(option);
        return Err(CommandError::Text(format!(
            "ERR {option} cannot contain spaces, newlines or special characters."
        )));
    }
    *place = value.to_vec();
    ok(core, id)
}

/// `CLIENT INFO`.
fn info(core: &mut Core, id: ConnectionId, _: Args<'_>) -> Outcome {
    let (lane, now) = (core.lane, core.store.now().steady);
    let connection = core.connections.get(id).expect("its command is running");
    let text = line(connection, lane, now);
    done(core, id, |reply| reply.verbatim(&text))
}

fn asking(core: &Core, client: u64) -> Asking {
    Asking { client, databases: core.live.databases }
}

/// `CLIENT LIST [condition …]`, as `client_filter` reads them.
fn list(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    let client = session(core, id).id;
    let asking = asking(core, client);
    Ok(Step::Ask(Question::Clients(Filter::of_list(args, asking)?, 0), finish_list))
}

/// Lane by lane; within a lane in the order of its table.
fn finish_list(_: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    let lines: Vec<Bytes> = answers.answers.into_iter().map(Answer::lines).collect();
    reply.verbatim_pieces(&lines);
}

/// `CLIENT KILL ip:port`, or `CLIENT KILL condition value …`.
fn kill(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    let client = session(core, id).id;
    let filter = Filter::of_kill(args, asking(core, client))?;
    let finish = if args.len() == 3 { finish_kill_one } else { finish_kill };
    Ok(Step::Ask(Question::KillClients(filter, 0), finish))
}

fn finish_kill_one(core: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    end_myself_if_meant(core, &answers);
    if sum(answers.answers) == 0 {
        reply.error(&CommandError::Fixed("ERR No such client"));
    } else {
        reply.simple("OK");
    }
}

fn finish_kill(core: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    end_myself_if_meant(core, &answers);
    reply.integer(sum(answers.answers) as i64);
}

/// A client that has killed itself still gets its reply.
fn end_myself_if_meant(core: &mut Core, answers: &Answers<'_>) {
    let now = core.store.now().steady;
    let databases = core.live.databases;
    let Some(connection) = core.connections.get(answers.connection) else { return };
    let slices: Vec<&[u8]> = answers.args.iter().map(Vec::as_slice).collect();
    let asking = Asking { client: connection.session.id, databases };
    let filter = Filter::of_kill(Args::new(&slices, &[]), asking);
    if is_meant(&filter.expect("read before"), connection, now) {
        core.drain(answers.connection);
    }
}

/// `CLIENT PAUSE timeout [WRITE|ALL]`. While another pause lasts the longer time and the wider
/// kind win. Answered once every lane holds its clients back.
fn pause(core: &mut Core, _: ConnectionId, args: Args<'_>) -> Outcome {
    let milliseconds = match number::parse_integer(&args[2]) {
        Some(milliseconds @ 0..) => milliseconds as u64,
        Some(_) => return Err(CommandError::Fixed("ERR timeout is negative")),
        None => {
            return Err(CommandError::Fixed("ERR timeout is not an integer or out of range"));
        }
    };
    let writes_only = match args.from(3) {
        [] => false,
        [mode] if parse::is(mode, "all") => false,
        [mode] if parse::is(mode, "write") => true,
        [_] => {
            return Err(CommandError::Fixed("ERR CLIENT PAUSE mode must be WRITE or ALL"));
        }
        _ => return Err(CommandError::Syntax),
    };
    let now = core.store.now().steady;
    let shared = &core.shared;
    let until = shared.pause_until_ms.load(Ordering::Acquire);
    let lasts = until > now.0;
    let narrower = !lasts || shared.pause_writes_only.load(Ordering::Acquire);
    shared.pause_writes_only.store(writes_only && narrower, Ordering::Release);
    let wanted = now.plus(milliseconds).0;
    shared.pause_until_ms.store(if lasts { until.max(wanted) } else { wanted }, Ordering::Release);
    Ok(Step::Ask(Question::Refresh, finish_ok))
}

/// `CLIENT REPLY ON|OFF|SKIP`. What is written while replies are off is taken back by the caller.
fn reply_mode(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    let session = session(core, id);
    let before = session.reply_mode;
    session.reply_mode = if parse::is(&args[2], "on") {
        ReplyMode::On
    } else if parse::is(&args[2], "off") {
        ReplyMode::Off
    } else if !parse::is(&args[2], "skip") {
        return Err(CommandError::Syntax);
    } else if before == ReplyMode::Off {
        ReplyMode::Off
    } else {
        ReplyMode::Skip
    };
    if before == ReplyMode::On && session.reply_mode != ReplyMode::On {
        return Ok(Step::Done);
    }
    ok(core, id)
}

/// `CLIENT NO-EVICT ON|OFF`.
fn no_evict(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    session(core, id).no_evict = on_or_off(&args[2])?;
    ok(core, id)
}

/// `CLIENT NO-TOUCH ON|OFF`.
fn no_touch(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    session(core, id).no_touch = on_or_off(&args[2])?;
    ok(core, id)
}

fn on_or_off(word: &[u8]) -> Result<bool, CommandError> {
    if parse::is(word, "on") {
        Ok(true)
    } else if parse::is(word, "off") {
        Ok(false)
    } else {
        Err(CommandError::Syntax)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::connection::Connections;
    use crate::session::{Door, Session};

    fn a_session(id: u64, peer: &str, connected_ms: u64) -> Session {
        let local = "127.0.0.1:6379".parse().expect("an address");
        Session::new(id, Door::Front, peer.parse().expect("an address"), local, connected_ms)
    }

    #[test]
    fn a_line_holds_the_fields_of_redis() {
        let mut connections = Connections::default();
        let (socket, _peer) = std::os::unix::net::UnixStream::pair().expect("two sockets");
        let mut session = a_session(7, "10.0.0.1:99", 1_000);
        session.name = b"worker".to_vec();
        session.no_touch = true;
        session.last_command = table::lookup(b"get").map(|row| row.id);
        let id = connections.insert(OwnedFd::from(socket), session);
        let connection = connections.get(id).expect("just inserted");
        let text = line(connection, LaneId(1), Millis(5_500));
        for field in [
            "id=7 ",
            " addr=10.0.0.1:99 ",
            " laddr=127.0.0.1:6379 ",
            " name=worker ",
            " age=4 idle=4 flags=T db=0 ",
            " multi=-1 ",
            " events=r cmd=get user=default redir=-1 resp=2 lib-name= lib-ver= ",
            " lane=1\n",
        ] {
            assert!(text.contains(field), "{field:?} in {text:?}");
        }
    }

    #[test]
    fn names_that_would_break_a_line_are_refused() {
        let long = [b'x'; NAME_BYTES_MAX + 1];
        for (name, fine) in [
            (&b""[..], true),
            (b"a-b:c", true),
            (b"a b", false),
            (b"a\n", false),
            ("ü".as_bytes(), false),
            (&long[1..], true),
            (&long[..], false),
        ] {
            assert_eq!(is_printable_name(name), fine, "{}", String::from_utf8_lossy(name));
        }
    }
}
