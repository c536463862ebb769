//! Values for the arguments of random commands: those that make sense, those at the edges of types and
//! ranges, and nonsense.

use ringlane_command::spec::{CommandSpec, Group};

/// Every key of the test, but the odd ones.
pub const KEYS: [&str; 22] = [
    "s1", "s2", "{t}s", "b1", "b2", "p1", "p2", "l1", "l2", "{t}l", "h1", "h2", "e1", "e2", "{t}e",
    "z1", "z2", "{t}z", "g1", "g2", "x1", "x2",
];

const ODD: [&str; 30] = [
    "",
    "0",
    "-0",
    "1",
    "-1",
    "007",
    "+1",
    " 1",
    "1 ",
    "1.5",
    "1e3",
    ".5",
    "inf",
    "-inf",
    "nan",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551616",
    "99999999999999999999999999",
    "4294967296",
    "3.14159265358979323846",
    "1e300",
    "1e400",
    "hello world",
    "a\r\nb\0c",
    "*",
    "$",
    "bogus",
    "COUNT",
];

const DATA: [&str; 24] = [
    "",
    "0",
    "1",
    "2",
    "3",
    "12",
    "-7",
    "007",
    "1.5",
    "1e3",
    "9223372036854775807",
    "-9223372036854775808",
    "a",
    "b",
    "c",
    "d",
    "field",
    "member",
    "hello world",
    "a\r\nb\0c",
    "the quick brown fox",
    "1 ",
    "3.0",
    "z",
];

/// A sorted set whose members all have the same score.
pub const ONE_SCORE: &str = "lex";

pub fn pick<'a>(random: &mut fastrand::Rng, words: &[&'a str]) -> &'a str {
    words[random.usize(..words.len())]
}

/// Where values come from: chance, and what must never come twice.
pub struct Words {
    pub random: fastrand::Rng,
    /// The last stream id that was given out.
    top: u64,
    /// How many durations were given out: no two are the same.
    durations: u64,
}

/// Durations begin here, in seconds: none passes while a test runs.
const DURATION_LEAST: u64 = 1_000_000;
/// Seconds between one duration and the next: far more than a test takes.
pub const DURATION_STEP: u64 = 10_000;
/// 2100, in seconds since 1970.
const FAR: u64 = 4_102_444_800;

impl Words {
    pub fn with_seed(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), top: 0, durations: 0 }
    }

    pub fn any_case(&mut self, word: &str) -> Vec<u8> {
        match self.random.u8(..4) {
            0 => word.to_ascii_lowercase().into_bytes(),
            1 => word
                .bytes()
                .map(|byte| if self.random.bool() { byte.to_ascii_lowercase() } else { byte })
                .collect(),
            _ => word.to_ascii_uppercase().into_bytes(),
        }
    }

    pub fn odd(&mut self) -> Vec<u8> {
        pick(&mut self.random, &ODD).as_bytes().to_vec()
    }

    /// Takes, adds, exchanges or replaces words behind the name, which is of this many.
    pub fn spoil(&mut self, words: &mut Vec<Vec<u8>>, name: usize) {
        let at = self.random.usize(name..=words.len());
        match self.random.u8(..5) {
            0 if words.len() > name => {
                words.pop();
            }
            1 if at < words.len() => {
                words.remove(at);
            }
            2 => words.insert(at, self.odd()),
            3 if at + 1 < words.len() => words.swap(at, at + 1),
            _ if at < words.len() => words[at] = self.odd(),
            _ => words.push(self.odd()),
        }
    }

    pub fn key(&mut self, group: Group) -> Vec<u8> {
        match self.random.u8(..40) {
            0 => return pick(&mut self.random, &["", "none", "k\r\n\0"]).as_bytes().to_vec(),
            1..4 => return pick(&mut self.random, &KEYS).as_bytes().to_vec(),
            _ => {}
        }
        let keys = match group {
            Group::String => &["s1", "s2", "{t}s"][..],
            Group::Bitmap => &["b1", "b2", "s1"],
            Group::HyperLogLog => &["p1", "p2"],
            Group::List => &["l1", "l2", "{t}l"],
            Group::Hash => &["h1", "h2"],
            Group::Set => &["e1", "e2", "{t}e"],
            Group::SortedSet => &["z1", "z2", "{t}z", "z1", "z2", "{t}z", "e1"],
            Group::Geo => &["g1", "g2"],
            Group::Stream => &["x1", "x2"],
            Group::Generic
            | Group::Transactions
            | Group::Scripting
            | Group::PubSub
            | Group::Connection
            | Group::Server
            | Group::Cluster => &KEYS,
        };
        pick(&mut self.random, keys).as_bytes().to_vec()
    }

    /// A value for the argument that the table calls so.
    pub fn value(&mut self, name: &str, spec: &CommandSpec) -> Vec<u8> {
        if self.random.u8(..60) == 0 && !name.contains("key") {
            return self.odd();
        }
        match name {
            "key" | "source" | "destination" | "newkey" | "destkey" | "sourcekey" | "key1"
            | "key2" => return self.key(spec.group),
            "value" | "element" | "pivot" | "field" | "member" | "member1" | "member2"
            | "message" => return self.data(name, spec),
            _ => {}
        }
        self.text(name, spec).into_bytes()
    }

    pub fn member(&mut self) -> Vec<u8> {
        pick(&mut self.random, &DATA).as_bytes().to_vec()
    }

    fn data(&mut self, name: &str, spec: &CommandSpec) -> Vec<u8> {
        match (self.random.u8(..24), name) {
            (0, _) => vec![b'x'; self.random.usize(..200)],
            (1, _) => (0..self.random.u8(..12)).map(|_| self.random.u8(..)).collect(),
            (2..6, _) => self.random.i16(-500..500).to_string().into_bytes(),
            (_, "member" | "member1" | "member2") if spec.group == Group::Geo => {
                format!("m{}", self.random.u8(..30)).into_bytes()
            }
            _ => pick(&mut self.random, &DATA).as_bytes().to_vec(),
        }
    }

    fn text(&mut self, name: &str, spec: &CommandSpec) -> String {
        let text = match name {
            "seconds"
            | "milliseconds"
            | "ttl"
            | "unix-seconds"
            | "unix-milliseconds"
            | "unix-time-milliseconds" => return self.time(name),
            "timeout" => "0.01",
            "id" | "lastid" | "last-id" | "max-deleted-id" | "threshold" => return self.id(spec),
            "start" | "stop" | "end" | "min" | "max" => return self.bound(name, spec),
            "score" | "weight" | "increment" | "decrement" => return self.number(spec),
            "longitude" => return self.place(180.0),
            "latitude" => return self.place(85.0),
            "radius" | "width" | "height" => {
                return (10f64.powf(self.random.f64() * 7.0) * self.random.f64()).to_string();
            }
            "group" => pick(&mut self.random, &["g", "g", "g", "h"]),
            "consumer" => pick(&mut self.random, &["alice", "bob", "carol"]),
            "ms" => pick(&mut self.random, &["100000", "500000"]),
            "min-idle-time" => pick(&mut self.random, &["0", "0", "0", "50000000"]),
            "pattern" => pick(
                &mut self.random,
                &["*", "s?", "*1", "[a-e]*", "h1->*", "h*->a", "nosort", "#", "s*", "\\*"],
            ),
            "cursor" => pick(&mut self.random, &["0", "0", "0", "0", "x", "-1", "99999"]),
            "type" => pick(
                &mut self.random,
                &["string", "LIST", "hash", "zset", "set", "stream", "nosuch"],
            ),
            "bit" => pick(&mut self.random, &["0", "1", "1", "2"]),
            "encoding" => return self.encoding(),
            "db" | "number" | "index" if spec.group != Group::List => {
                pick(&mut self.random, &["0", "0", "1", "2", "15", "16", "x"])
            }
            "index1" | "index2" => pick(&mut self.random, &["0", "1", "0", "1", "2", "16", "x"]),
            "offset" if spec.group == Group::Bitmap => {
                let hash = if self.random.u8(..4) == 0 { "#" } else { "" };
                let hash = if spec.name.contains("field") { hash } else { "" };
                return format!("{hash}{}", self.random.u16(..200));
            }
            "count" | "length" | "matches" | "limit" | "entries-read" | "entries-added" => {
                return self.random.i8(-2..12).to_string();
            }
            _ => return self.random.i8(-6..14).to_string(),
        };
        text.to_owned()
    }

    /// A time of this unit that is far from now, and from every other.
    fn time(&mut self, name: &str) -> String {
        self.durations += 1;
        let unit = if name.contains("milli") || name == "ttl" { 1_000 } else { 1 };
        let odd =
            ["0", "-1", "x", "9223372036854775807", "-9223372036854775808", "9223372036854775"];
        match self.random.u8(..12) {
            0 => pick(&mut self.random, &odd).to_owned(),
            // Also the pauses of a blocked reader.
            _ if name == "ttl" && self.random.bool() => "0".to_owned(),
            _ => {
                let from = if name.starts_with("unix") { FAR } else { DURATION_LEAST };
                ((from + self.durations * DURATION_STEP) * unit).to_string()
            }
        }
    }

    /// A stream id: for XADD one that is mostly greater than all before.
    fn id(&mut self, spec: &CommandSpec) -> String {
        match self.random.u8(..24) {
            0 => {
                pick(&mut self.random, &["x", "", "-", "+", "1-x", "1-1-1", "0-0", "*"]).to_owned()
            }
            1 => "18446744073709551615-18446744073709551615".to_owned(),
            2..20 if spec.name == "xadd" => {
                self.top += self.random.u64(..2);
                format!("{}-*", self.top)
            }
            3..12 if spec.name == "xreadgroup" => ">".to_owned(),
            12..14 if spec.name.starts_with("xread") => {
                pick(&mut self.random, &["$", "0"]).to_owned()
            }
            _ => {
                let most = self.top + 2;
                format!("{}-{}", self.random.u64(..most), self.random.u8(..4))
            }
        }
    }

    /// A greater id than any before.
    pub fn next_id(&mut self) -> Vec<u8> {
        self.top += 1;
        format!("{}-0", self.top).into_bytes()
    }

    fn bound(&mut self, name: &str, spec: &CommandSpec) -> String {
        if spec.group == Group::Stream {
            return match self.random.u8(..6) {
                0 | 1 => pick(&mut self.random, &["-", "+"]).to_owned(),
                2 => format!("({}", self.id(spec)),
                _ => self.id(spec),
            };
        }
        let kind = match spec.name {
            _ if spec.name.contains("lex") => 0,
            _ if spec.name.contains("score") || spec.name == "zcount" => 1,
            "zrange" | "zrangestore" => self.random.u8(..4),
            _ => 2,
        };
        match kind {
            0 => match self.random.u8(..6) {
                0 => pick(&mut self.random, &["-", "+"]).to_owned(),
                1 => pick(&mut self.random, &["x", "", "[", "("]).to_owned(),
                _ => {
                    let mark = pick(&mut self.random, &["[", "("]);
                    format!("{mark}{}", pick(&mut self.random, &DATA))
                }
            },
            1 => match self.random.u8(..6) {
                0 => pick(&mut self.random, &["-inf", "+inf", "(inf"]).to_owned(),
                1 => format!("({}", self.random.i8(-9..9)),
                _ => self.random.i8(-9..9).to_string(),
            },
            _ if name == "start" => self.random.i8(-3..6).to_string(),
            _ => self.random.i8(-8..20).to_string(),
        }
    }

    fn number(&mut self, spec: &CommandSpec) -> String {
        match self.random.u8(..16) {
            0 => pick(&mut self.random, &["inf", "-inf", "nan", "1e300", "5e-324", "x"]).to_owned(),
            1..5 if spec.name.contains("float") || spec.group == Group::SortedSet => {
                format!("{}", self.random.f64() * 100.0 - 50.0)
            }
            5..7 => self.random.i64(..).to_string(),
            _ => self.random.i8(-6..7).to_string(),
        }
    }

    fn place(&mut self, most: f64) -> String {
        match self.random.u8(..12) {
            0 => {
                pick(&mut self.random, &["180", "-180", "85.05112878", "86", "0", "181"]).to_owned()
            }
            1..5 => (self.random.f64() * 2.0 * most - most).to_string(),
            _ => (13.0 + self.random.f64()).to_string(),
        }
    }

    fn encoding(&mut self) -> String {
        let sign = pick(&mut self.random, &["i", "u", "i", "u", "x"]);
        format!("{sign}{}", self.random.u8(..70))
    }
}
