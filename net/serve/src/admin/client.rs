//! CLIENT: what a connection says about itself, lists of connections, ending and pausing them.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use ringlane_base::{LaneId, Millis, number};
use ringlane_command::{Args, CommandError, CommandSpec, Reply, parse, table};
use ringlane_resp::Version;

use super::{Outcome, Subcommand, auth, done, finish_ok, ok, session, sum};
use crate::ask::{Answer, Answers, Question, Step};
use crate::blocked::Unblock;
use crate::connection::{Connection, Phase};
use crate::core::Core;
use crate::pubsub::Kind as Space;
use crate::reply::RespReply;
use crate::ring::ConnectionId;
use crate::session::{ReplyMode, Session};
use crate::tracking::{Mode, commands as tracking};

pub const SUBCOMMANDS: &[Subcommand] = &[
    ("caching", tracking::caching),
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
/// Ids that one `CLIENT LIST ID` may name.
const IDS_MAX: usize = 65_536;
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
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The classes of connections that filters know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Normal,
    /// It listens to something.
    Pubsub,
    /// A primary or a replica: this server has none of them.
    Other,
}

impl Kind {
    fn parse(name: &[u8]) -> Result<Self, CommandError> {
        if parse::is(name, "normal") {
            return Ok(Self::Normal);
        }
        if parse::is(name, "pubsub") {
            return Ok(Self::Pubsub);
        }
        if ["master", "replica", "slave"].iter().any(|other| parse::is(name, other)) {
            return Ok(Self::Other);
        }
        let name = super::quoted(name);
        Err(CommandError::Text(format!("ERR Unknown client type '{name}'")))
    }

    fn of(connection: &Connection) -> Self {
        if connection.listening.is_some() { Self::Pubsub } else { Self::Normal }
    }
}

/// An address that a condition names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Address(SocketAddr),
    /// A text that is no address: no connection has it.
    Nobody,
}

impl Wanted {
    fn parse(text: &[u8]) -> Self {
        let parsed = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        parsed.map_or(Self::Nobody, |address| Self::Address(canonical(address)))
    }

    fn is(self, found: SocketAddr) -> bool {
        self == Self::Address(canonical(found))
    }
}

/// Which connections are meant; those that every given condition holds for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Ascending. None: any.
    ids: Option<Vec<u64>>,
    peer: Option<Wanted>,
    local: Option<Wanted>,
    kind: Option<Kind>,
    /// At least so many seconds old.
    age_min: Option<u64>,
    /// The client that asks, if it is to be left out.
    skip: Option<u64>,
    /// The client that asks: `kill_matching` leaves its end to the command itself.
    asking: u64,
}

impl Filter {
    /// Reads the options of `CLIENT LIST`.
    fn of_list(args: Args<'_>) -> Result<Self, CommandError> {
        let mut filter = Self::default();
        match args.from(2) {
            [] => {}
            [option, kind] if parse::is(option, "type") => filter.kind = Some(Kind::parse(kind)?),
            [option, ids @ ..] if parse::is(option, "id") && !ids.is_empty() => {
                if ids.len() > IDS_MAX {
                    return Err(CommandError::Fixed("ERR too many client IDs"));
                }
                let mut read = Vec::with_capacity(ids.len());
                for id in ids {
                    let refused = CommandError::Fixed("ERR Invalid client ID");
                    let id = number::parse_integer(id).and_then(|id| u64::try_from(id).ok());
                    read.push(id.filter(|id| *id > 0).ok_or(refused)?);
                }
                read.sort_unstable();
                filter.ids = Some(read);
            }
            _ => return Err(CommandError::Syntax),
        }
        Ok(filter)
    }

    /// Reads the conditions of `CLIENT KILL`, or its old form, a single address.
    fn of_kill(args: Args<'_>, asking: u64) -> Result<Self, CommandError> {
        let mut filter = Self { asking, ..Self::default() };
        let mut rest = match args.from(2) {
            [peer] => {
                filter.peer = Some(Wanted::parse(peer));
                return Ok(filter);
            }
            conditions => conditions,
        };
        filter.skip = Some(asking);
        while let [condition, after @ ..] = rest {
            let [value, after @ ..] = after else { return Err(CommandError::Syntax) };
            filter.add_condition(condition, value)?;
            rest = after;
        }
        Ok(filter)
    }

    fn add_condition(&mut self, condition: &[u8], value: &[u8]) -> Result<(), CommandError> {
        let positive = |refusal| match number::parse_integer(value) {
            Some(number @ 1..) => Ok(number as u64),
            Some(_) | None => Err(CommandError::Fixed(refusal)),
        };
        if parse::is(condition, "id") {
            self.ids = Some(vec![positive("ERR client-id should be greater than 0")?]);
        } else if parse::is(condition, "maxage") {
            self.age_min = Some(positive("ERR maxage should be greater than 0")?);
        } else if parse::is(condition, "type") {
            self.kind = Some(Kind::parse(value)?);
        } else if parse::is(condition, "addr") {
            self.peer = Some(Wanted::parse(value));
        } else if parse::is(condition, "laddr") {
            self.local = Some(Wanted::parse(value));
        } else if parse::is(condition, "user") {
            if value != auth::USER {
                let user = super::quoted(value);
                return Err(CommandError::Text(format!("ERR No such user '{user}'")));
            }
        } else if parse::is(condition, "skipme") && parse::is(value, "no") {
            self.skip = None;
        } else if parse::is(condition, "skipme") && parse::is(value, "yes") {
            self.skip = Some(self.asking);
        } else {
            return Err(CommandError::Syntax);
        }
        Ok(())
    }

    fn matches(&self, session: &Session, kind: Kind, now: Millis) -> bool {
        self.ids.as_ref().is_none_or(|ids| ids.binary_search(&session.id).is_ok())
            && self.kind.is_none_or(|wanted| wanted == kind)
            && self.skip != Some(session.id)
            && self
                .age_min
                .is_none_or(|least| now.since(Millis(session.connected_ms)) / 1000 >= least)
            && self.peer.is_none_or(|wanted| wanted.is(session.peer))
            && self.local.is_none_or(|wanted| wanted.is(session.local))
    }
}

/// The lines of a slice of this lane's connections, those that the filter means, from place `from`
/// on. A connection that moves to another lane meanwhile may be told twice or not at all.
pub fn lines(core: &Core, filter: &Filter, from: usize) -> Answer {
    let (now, places) = (core.store.now(), core.connections.places());
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
    let (now, places) = (core.store.now(), core.connections.places());
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
    core.connections
        .at(index)
        .filter(|it| it.phase != Phase::Closing && filter.matches(&it.session, Kind::of(it), now))
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
    let (lane, now) = (core.lane, core.store.now());
    let connection = core.connections.get(id).expect("its command is running");
    let text = line(connection, lane, now);
    done(core, id, |reply| reply.verbatim(&text))
}

/// `CLIENT LIST [TYPE type | ID id …]`.
fn list(_: &mut Core, _: ConnectionId, args: Args<'_>) -> Outcome {
    Ok(Step::Ask(Question::Clients(Filter::of_list(args)?, 0), finish_list))
}

/// Lane by lane; within a lane in the order of its table.
fn finish_list(_: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    let lines: Vec<Bytes> = answers
        .answers
        .into_iter()
        .map(|answer| match answer {
            Answer::Lines { lines, .. } => lines,
            Answer::Report(_)
            | Answer::Killed { .. }
            | Answer::Count(_)
            | Answer::Client(_)
            | Answer::Slowlog(_)
            | Answer::LatencyEvents(_)
            | Answer::Keys(_)
            | Answer::Names { .. }
            | Answer::Counts(_)
            | Answer::Done => unreachable!("the question asks for lines"),
        })
        .collect();
    reply.verbatim_pieces(&lines);
}

/// `CLIENT KILL ip:port`, or `CLIENT KILL condition value …`.
fn kill(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    let filter = Filter::of_kill(args, session(core, id).id)?;
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
    let now = core.store.now();
    let Some(connection) = core.connections.get(answers.connection) else { return };
    let slices: Vec<&[u8]> = answers.args.iter().map(Vec::as_slice).collect();
    let filter = Filter::of_kill(Args::new(&slices, &[]), connection.session.id);
    if filter.expect("read before").matches(&connection.session, Kind::of(connection), now) {
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
    let now = core.store.now();
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
    use crate::session::Door;

    fn a_session(id: u64, peer: &str, connected_ms: u64) -> Session {
        let local = "127.0.0.1:6379".parse().expect("an address");
        Session::new(id, Door::Front, peer.parse().expect("an address"), local, connected_ms)
    }

    /// Which of three clients, 10, 20 and 30 seconds old, `CLIENT KILL` by client 2 means.
    fn killed(words: &[&str]) -> Result<Vec<u64>, String> {
        let mut args: Vec<&[u8]> = vec![b"client", b"kill"];
        args.extend(words.iter().map(|word| word.as_bytes()));
        let filter = Filter::of_kill(Args::new(&args, &[]), 2).map_err(|it| it.to_string())?;
        let sessions = [
            a_session(1, "10.0.0.1:1", 30_000),
            a_session(2, "[::ffff:10.0.0.2]:2", 20_000),
            a_session(3, "[::1]:3", 10_000),
        ];
        let now = Millis(40_000);
        Ok(sessions
            .iter()
            .filter(|it| filter.matches(it, Kind::Normal, now))
            .map(|it| it.id)
            .collect())
    }

    #[test]
    fn kill_means_the_clients_that_all_conditions_hold_for() {
        for (words, clients) in [
            (&["10.0.0.1:1"][..], &[1][..]),
            (&["10.0.0.2:2"], &[2]),
            (&["10.0.0.9:1"], &[]),
            (&["ID", "3"], &[3]),
            (&["id", "2"], &[]),
            (&["id", "2", "skipme", "no"], &[2]),
            (&["type", "normal"], &[1, 3]),
            (&["type", "normal", "skipme", "NO"], &[1, 2, 3]),
            (&["type", "pubsub", "skipme", "no"], &[]),
            (&["maxage", "20", "skipme", "no"], &[2, 3]),
            (&["addr", "[::1]:3", "user", "default"], &[3]),
            (&["addr", "[::1]:3", "id", "1"], &[]),
            (&["laddr", "127.0.0.1:6379"], &[1, 3]),
            (&["laddr", "127.0.0.1:1"], &[]),
        ] {
            assert_eq!(killed(words), Ok(clients.to_vec()), "{words:?}");
        }
        for (words, error) in [
            (&["id", "abc"][..], "ERR client-id should be greater than 0"),
            (&["id", "0"], "ERR client-id should be greater than 0"),
            (&["maxage", "-1"], "ERR maxage should be greater than 0"),
            (&["foo", "bar"], "ERR syntax error"),
            (&["skipme", "maybe"], "ERR syntax error"),
            (&["addr", "1:1", "laddr"], "ERR syntax error"),
            (&["type", "foo"], "ERR Unknown client type 'foo'"),
            (&["user", "foo"], "ERR No such user 'foo'"),
        ] {
            assert_eq!(killed(words), Err(error.to_owned()), "{words:?}");
        }
    }

    #[test]
    fn lists_are_filtered_by_kind_or_ids() {
        let read = |words: &[&str]| {
            let mut args: Vec<&[u8]> = vec![b"client", b"list"];
            args.extend(words.iter().map(|word| word.as_bytes()));
            Filter::of_list(Args::new(&args, &[])).map_err(|error| error.to_string())
        };
        assert_eq!(read(&[]), Ok(Filter::default()));
        let ids = read(&["id", "9", "4"]).expect("valid");
        assert!(ids.matches(&a_session(4, "10.0.0.1:1", 0), Kind::Normal, Millis(0)));
        assert!(!ids.matches(&a_session(5, "10.0.0.1:1", 0), Kind::Normal, Millis(0)));
        for (words, error) in [
            (&["type"][..], "ERR syntax error"),
            (&["id"], "ERR syntax error"),
            (&["foo", "bar"], "ERR syntax error"),
            (&["id", "a"], "ERR Invalid client ID"),
            (&["type", "foo"], "ERR Unknown client type 'foo'"),
        ] {
            assert_eq!(read(words), Err(error.to_owned()), "{words:?}");
        }
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
