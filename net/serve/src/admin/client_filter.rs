//! Which connections CLIENT LIST and CLIENT KILL mean: the conditions of Redis, and Valkey's with their
//! opposites (`NOT-ADDR`). Closes nothing and writes nothing.

use std::net::SocketAddr;

use ringlane_base::{Millis, number};
use ringlane_command::{Args, CommandError, parse};

use super::{auth, client::canonical};
use crate::session::Session;

/// Every letter that Valkey knows of `flags`; those that no connection has here among them.
const FLAG_LETTERS: &[u8] = b"AbBcdeEiIMNOPrRStTuUx";
/// Every letter that Valkey knows of `CLIENT CAPA`.
const CAPABILITY_LETTERS: &[u8] = b"r";

/// The classes of connections that filters know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
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
        if ["master", "primary", "replica", "slave"].iter().any(|other| parse::is(name, other)) {
            return Ok(Self::Other);
        }
        let name = super::quoted(name);
        Err(CommandError::Text(format!("ERR Unknown client type '{name}'")))
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

/// What may be said of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    /// Ascending.
    Ids(Vec<u64>),
    Type(Kind),
    Peer(Wanted),
    Local(Wanted),
    Ip(Vec<u8>),
    /// There is one user, and it was named.
    User,
    Name(Vec<u8>),
    LibraryName(Vec<u8>),
    LibraryVersion(Vec<u8>),
    Database(i64),
    /// All of these letters.
    Flags(Vec<u8>),
    /// `CLIENT CAPA`: nothing is kept of what clients are capable of.
    Capable,
    /// At least so many seconds old.
    Age(u64),
    /// At least so many seconds silent.
    Idle(u64),
}

/// Which connections are meant; those that every given condition holds for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Each with whether it is to hold.
    conditions: Vec<(Condition, bool)>,
    /// The client that asks, if it is to be left out.
    skip: Option<u64>,
    /// The client that asks: `kill_matching` leaves its end to the command itself.
    pub asking: u64,
}

/// Which command reads the conditions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    List,
    Kill,
}

/// Who asks, of a server with how many databases.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    pub client: u64,
    pub databases: u8,
}

impl Filter {
    /// Reads the options of `CLIENT LIST`.
    pub fn of_list(args: Args<'_>, asking: Asking) -> Result<Self, CommandError> {
        let mut filter = Self { asking: asking.client, ..Self::default() };
        filter.read(args.from(2), Reader::List, asking.databases)?;
        Ok(filter)
    }

    /// Reads the conditions of `CLIENT KILL`, or its old form, a single address.
    pub fn of_kill(args: Args<'_>, asking: Asking) -> Result<Self, CommandError> {
        let mut filter = Self { asking: asking.client, ..Self::default() };
        match args.from(2) {
            [peer] => filter.conditions.push((Condition::Peer(Wanted::parse(peer)), true)),
            conditions => {
                filter.skip = Some(asking.client);
                filter.read(conditions, Reader::Kill, asking.databases)?;
            }
        }
        Ok(filter)
    }

    fn read(
        &mut self,
        mut rest: &[&[u8]],
        reader: Reader,
        databases: u8,
    ) -> Result<(), CommandError> {
        while let [name, value, after @ ..] = rest {
            rest = after;
            if parse::is(name, "skipme") {
                let (yes, no) = (parse::is(value, "yes"), parse::is(value, "no"));
                if !yes && !no {
                    return Err(CommandError::Syntax);
                }
                self.skip = yes.then_some(self.asking);
                continue;
            }
            let (name, holds) = match name.split_at_checked(4) {
                Some((not, name)) if parse::is(not, "not-") => (name, false),
                Some(_) | None => (*name, true),
            };
            let condition = if parse::is(name, "id") {
                let more = after.iter().take_while(|word| is_number(word)).count();
                rest = &after[more..];
                Condition::of_ids(value, &after[..more], reader)?
            } else if parse::is(name, "db") {
                Condition::of_database(value, databases)?
            } else {
                Condition::parse(name, value, holds)?
            };
            self.add(condition, holds);
        }
        if rest.is_empty() { Ok(()) } else { Err(CommandError::Syntax) }
    }

    /// What is said again counts instead of what was said before.
    fn add(&mut self, condition: Condition, holds: bool) {
        let kind = std::mem::discriminant(&condition);
        self.conditions.retain(|(it, held)| *held != holds || std::mem::discriminant(it) != kind);
        self.conditions.push((condition, holds));
    }

    /// Whether the connection is meant; `flags` gives its letters.
    pub fn matches(
        &self,
        session: &Session,
        kind: Kind,
        flags: impl Fn() -> String,
        now: Millis,
    ) -> bool {
        let met = |(condition, holds): &(Condition, bool)| {
            condition.is_met(session, kind, &flags, now) == *holds
        };
        self.skip != Some(session.id) && self.conditions.iter().all(met)
    }
}

fn is_number(word: &[u8]) -> bool {
    number::parse_integer(word).is_some()
}

impl Condition {
    fn of_ids(first: &[u8], more: &[&[u8]], reader: Reader) -> Result<Self, CommandError> {
        let refusal = match reader {
            Reader::List => "ERR Invalid client ID",
            Reader::Kill => "ERR client-id should be greater than 0",
        };
        let mut ids = vec![positive(first, refusal, refusal)?];
        for word in more {
            ids.push(positive(word, refusal, refusal)?);
        }
        ids.sort_unstable();
        Ok(Self::Ids(ids))
    }

    fn of_database(value: &[u8], databases: u8) -> Result<Self, CommandError> {
        let refusal = CommandError::Fixed("ERR DB is not an integer or out of range");
        let number = number::parse_integer(value).ok_or(refusal)?;
        if !(0..i64::from(databases)).contains(&number) {
            let last = databases - 1;
            let text = format!("ERR DB number should be between 0 and {last}");
            return Err(CommandError::Text(text));
        }
        Ok(Self::Database(number))
    }

    /// The condition of this name, which was announced by `NOT-` unless it is to hold.
    fn parse(name: &[u8], value: &[u8], holds: bool) -> Result<Self, CommandError> {
        let named = |wanted| parse::is(name, wanted);
        Ok(if named("type") {
            Self::Type(Kind::parse(value)?)
        } else if named("addr") {
            Self::Peer(Wanted::parse(value))
        } else if named("laddr") {
            Self::Local(Wanted::parse(value))
        } else if named("ip") {
            Self::Ip(value.to_vec())
        } else if named("user") {
            if value != auth::USER {
                let user = super::quoted(value);
                return Err(CommandError::Text(format!("ERR No such user '{user}'")));
            }
            Self::User
        } else if named("name") {
            Self::Name(value.to_vec())
        } else if named("lib-name") {
            Self::LibraryName(value.to_vec())
        } else if named("lib-ver") {
            Self::LibraryVersion(value.to_vec())
        } else if named("flags") {
            check_letters(value, FLAG_LETTERS, "flags")?;
            Self::Flags(value.to_vec())
        } else if named("capa") {
            check_letters(value, CAPABILITY_LETTERS, "capa")?;
            Self::Capable
        } else if named("maxage") && holds {
            let (small, none) = (
                "ERR maxage should be greater than 0",
                "ERR maxage is not an integer or out of range",
            );
            Self::Age(positive(value, small, none)?)
        } else if named("idle") && holds {
            let (small, none) =
                ("ERR idle should be greater than 0", "ERR idle is not an integer or out of range");
            Self::Idle(positive(value, small, none)?)
        } else {
            return Err(CommandError::Syntax);
        })
    }

    fn is_met(
        &self,
        session: &Session,
        kind: Kind,
        flags: &impl Fn() -> String,
        now: Millis,
    ) -> bool {
        let seconds_since = |ms| now.since(Millis(ms)) / 1000;
        match self {
            Self::Ids(ids) => ids.binary_search(&session.id).is_ok(),
            Self::Type(wanted) => *wanted == kind,
            Self::Peer(wanted) => wanted.is(session.peer),
            Self::Local(wanted) => wanted.is(session.local),
            Self::Ip(wanted) => session.peer.ip().to_canonical().to_string().as_bytes() == wanted,
            Self::User => true,
            Self::Name(wanted) => session.name == *wanted,
            Self::LibraryName(wanted) => session.library_name == *wanted,
            Self::LibraryVersion(wanted) => session.library_version == *wanted,
            Self::Database(wanted) => i64::from(session.database.0) == *wanted,
            Self::Flags(wanted) => {
                let flags = flags();
                wanted.iter().all(|letter| flags.as_bytes().contains(letter))
            }
            Self::Capable => false,
            Self::Age(least) => seconds_since(session.connected_ms) >= *least,
            Self::Idle(least) => seconds_since(session.active_ms) >= *least,
        }
    }
}

fn check_letters(value: &[u8], known: &[u8], what: &str) -> Result<(), CommandError> {
    if value.iter().all(|letter| known.contains(letter)) {
        return Ok(());
    }
    let value = super::quoted(value);
    Err(CommandError::Text(format!("ERR Unknown {what} found in the provided filter: {value}")))
}

/// A number above zero; the refusals of one that is not, and of no number.
fn positive(text: &[u8], small: &'static str, none: &'static str) -> Result<u64, CommandError> {
    match number::parse_integer(text) {
        Some(number @ 1..) => Ok(number as u64),
        Some(_) => Err(CommandError::Fixed(small)),
        None => Err(CommandError::Fixed(none)),
    }
}

#[cfg(test)]
mod tests {
    use ringlane_base::Database;

    use super::*;
    use crate::session::Door;

    fn a_session(id: u64, peer: &str, connected_ms: u64) -> Session {
        let local = "127.0.0.1:6379".parse().expect("an address");
        Session::new(id, Door::Front, peer.parse().expect("an address"), local, connected_ms)
    }

    /// Three clients, 10, 20 and 30 seconds old, that have spoken when they came.
    fn sessions() -> [Session; 3] {
        let mut sessions = [
            a_session(1, "10.0.0.1:1", 30_000),
            a_session(2, "[::ffff:10.0.0.2]:2", 20_000),
            a_session(3, "[::1]:3", 10_000),
        ];
        sessions[0].name = b"worker".to_vec();
        sessions[1].library_name = b"redis-py".to_vec();
        sessions[1].library_version = b"7.0".to_vec();
        sessions[2].database = Database(4);
        sessions[2].no_touch = true;
        sessions
    }

    /// Which of the clients the words mean that client 2 says behind `CLIENT LIST` or `CLIENT KILL`.
    fn meant(list: bool, words: &[&str]) -> Result<Vec<u64>, String> {
        let mut args: Vec<&[u8]> = vec![b"client", b"verb"];
        args.extend(words.iter().map(|word| word.as_bytes()));
        let args = Args::new(&args, &[]);
        let asking = Asking { client: 2, databases: 16 };
        let filter =
            if list { Filter::of_list(args, asking) } else { Filter::of_kill(args, asking) };
        let filter = filter.map_err(|error| error.to_string())?;
        let flags = |session: &Session| if session.no_touch { "T" } else { "N" }.to_owned();
        let matches =
            |it: &&Session| filter.matches(it, Kind::Normal, || flags(it), Millis(40_000));
        Ok(sessions().iter().filter(matches).map(|it| it.id).collect())
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
            (&["id", "1", "2", "3", "addr", "10.0.0.1:1"], &[1]),
            (&["id", "1", "id", "3"], &[3]),
            (&["type", "normal"], &[1, 3]),
            (&["type", "normal", "skipme", "NO"], &[1, 2, 3]),
            (&["type", "pubsub", "skipme", "no"], &[]),
            (&["maxage", "20", "skipme", "no"], &[2, 3]),
            (&["addr", "[::1]:3", "user", "default"], &[3]),
            (&["addr", "[::1]:3", "id", "1"], &[]),
            (&["laddr", "127.0.0.1:6379"], &[1, 3]),
            (&["laddr", "127.0.0.1:1"], &[]),
            (&["not-addr", "[::1]:3"], &[1]),
        ] {
            assert_eq!(meant(false, words), Ok(clients.to_vec()), "{words:?}");
        }
        for (words, error) in [
            (&["id", "abc"][..], "ERR client-id should be greater than 0"),
            (&["id", "0"], "ERR client-id should be greater than 0"),
            (&["maxage", "-1"], "ERR maxage should be greater than 0"),
            (&["maxage", "x"], "ERR maxage is not an integer or out of range"),
            (&["foo", "bar"], "ERR syntax error"),
            (&["skipme", "maybe"], "ERR syntax error"),
            (&["addr", "1:1", "laddr"], "ERR syntax error"),
            (&["type", "foo"], "ERR Unknown client type 'foo'"),
            (&["user", "foo"], "ERR No such user 'foo'"),
        ] {
            assert_eq!(meant(false, words), Err(error.to_owned()), "{words:?}");
        }
    }

    #[test]
    fn lists_are_filtered_by_every_condition() {
        for (words, clients) in [
            (&[][..], &[1, 2, 3][..]),
            (&["id", "9", "2", "1"], &[1, 2]),
            (&["not-id", "2"], &[1, 3]),
            (&["skipme", "yes"], &[1, 3]),
            (&["name", "worker"], &[1]),
            (&["not-name", "worker", "maxage", "25"], &[3]),
            (&["lib-name", "redis-py", "lib-ver", "7.0"], &[2]),
            (&["not-lib-name", "redis-py"], &[1, 3]),
            (&["db", "4"], &[3]),
            (&["not-db", "4"], &[1, 2]),
            (&["flags", "T"], &[3]),
            (&["not-flags", "T"], &[1, 2]),
            (&["ip", "10.0.0.2"], &[2]),
            (&["not-ip", "::1"], &[1, 2]),
            (&["idle", "20"], &[2, 3]),
            (&["capa", "r"], &[]),
            (&["not-capa", "r", "not-type", "pubsub", "user", "default"], &[1, 2, 3]),
            (&["not-user", "default"], &[]),
        ] {
            assert_eq!(meant(true, words), Ok(clients.to_vec()), "{words:?}");
        }
        for (words, error) in [
            (&["type"][..], "ERR syntax error"),
            (&["id"], "ERR syntax error"),
            (&["foo", "bar"], "ERR syntax error"),
            (&["not-maxage", "5"], "ERR syntax error"),
            (&["id", "a"], "ERR Invalid client ID"),
            (&["id", "1", "0"], "ERR Invalid client ID"),
            (&["type", "foo"], "ERR Unknown client type 'foo'"),
            (&["flags", "ZZ"], "ERR Unknown flags found in the provided filter: ZZ"),
            (&["db", "a"], "ERR DB is not an integer or out of range"),
            (&["db", "16"], "ERR DB number should be between 0 and 15"),
            (&["not-db", "-1"], "ERR DB number should be between 0 and 15"),
            (&["capa", "rz"], "ERR Unknown capa found in the provided filter: rz"),
            (&["idle", "a"], "ERR idle is not an integer or out of range"),
            (&["idle", "0"], "ERR idle should be greater than 0"),
        ] {
            assert_eq!(meant(true, words), Err(error.to_owned()), "{words:?}");
        }
    }
}
