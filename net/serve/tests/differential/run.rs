//! One seed's commands at both servers: what is sent on which connection, and what is compared.

use std::net::SocketAddr;

use ringlane_command::spec::{CommandSpec, Flags, Group, Merge};
use ringlane_command::{Run, ServeCommand, table};

use crate::answer::{Value, same};
use crate::grammar::{self, Node, has_word};
use crate::listener::{Allowed, Listeners};
use crate::support::Client;
use crate::words::{KEYS, ONE_SCORE, Words, pick};

/// One connection to each server; some speak RESP3.
struct Connection {
    ours: Client,
    theirs: Client,
    resp3: bool,
    /// The commands of a transaction that is being queued.
    queued: Option<Vec<Vec<Vec<u8>>>>,
}

impl Connection {
    fn call(&mut self, words: &[Vec<u8>]) -> (Value, Value) {
        self.ours.send_command(words);
        self.theirs.send_command(words);
        (Value::parse(&self.ours.reply_bytes()), Value::parse(&self.theirs.reply_bytes()))
    }
}

/// What a run met.
#[derive(Debug, Default)]
pub struct Counts {
    pub answers: usize,
    pub refused: usize,
    pub transactions: usize,
    pub scripts: usize,
    pub waits: usize,
    pub dumps: usize,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.answers += other.answers;
        self.refused += other.refused;
        self.transactions += other.transactions;
        self.scripts += other.scripts;
        self.waits += other.waits;
        self.dumps += other.dumps;
    }
}

/// Commands that are not tried, with the reason.
const LEFT_OUT: [(&str, &str); 12] = [
    ("dump", "its bytes differ; tried by a step of its own"),
    ("restore", "as dump"),
    ("randomkey", "by chance; tried by a step of its own"),
    ("spop", "as randomkey"),
    ("srandmember", "as randomkey"),
    ("hrandfield", "as randomkey"),
    ("zrandmember", "as randomkey"),
    ("object|freq", "follows another eviction"),
    ("object|idletime", "as object|freq"),
    ("object|refcount", "nothing is shared"),
    ("memory|usage", "entries take other sizes"),
    ("lolwut", "draws something else"),
];

/// Options that came after 7.0.
const NEWER_OPTIONS: [&str; 15] = [
    "IFEQ",
    "IFNE",
    "IFDEQ",
    "IFDNE",
    "DIFF",
    "DIFF1",
    "ANDOR",
    "ONE",
    "KEEPREF",
    "DELREF",
    "ACKED",
    "NOVALUES",
    "CLAIM",
    "NOSCORES",
    "BYPOLYGON",
];

/// Random ones among these, of two servers side by side.
pub struct Pair {
    connections: Vec<Connection>,
    words: Words,
    commands: Vec<(&'static CommandSpec, Vec<Node>)>,
    history: Vec<String>,
    lanes: usize,
    /// With every other seed.
    listeners: Option<Listeners>,
    pub counts: Counts,
}

/// After so many commands everything is compared.
const LOOK_EVERY: usize = 250;
/// How much of what came before a difference is shown.
const HISTORY_SHOWN: usize = 20;

type Step = Result<(), String>;

fn owned(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// Whether the command came after 7.0, the oldest server to compare with.
fn is_newer(spec: &CommandSpec) -> bool {
    let mut numbers = spec.since.split('.').map(|number| number.parse::<u32>().expect("a version"));
    (numbers.next(), numbers.next()) > (Some(7), Some(0))
}

fn is_tried(spec: &CommandSpec) -> bool {
    let of_serve = matches!(
        spec.run,
        Run::Serve(ServeCommand::Select | ServeCommand::Echo | ServeCommand::Ping)
    );
    let of_store = matches!(spec.run, Run::Store(_))
        && !matches!(spec.group, Group::Scripting | Group::Cluster | Group::Connection);
    (of_serve || of_store)
        && spec.subcommands.is_empty()
        && !is_newer(spec)
        && !spec.name.starts_with("command")
        && !spec.name.ends_with("help")
        && LEFT_OUT.iter().all(|(name, _)| *name != spec.name)
}

fn show(words: &[Vec<u8>]) -> String {
    words.iter().map(|word| format!("\"{}\"", word.escape_ascii())).collect::<Vec<_>>().join(" ")
}

fn integer(word: &[u8]) -> Option<i64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// A duration that passes while the test runs: what follows depends on the clock.
fn depends_on_the_clock(words: &[Vec<u8>]) -> bool {
    let name = String::from_utf8_lossy(&words[0]).to_ascii_lowercase();
    let soon = |at: usize| {
        words.get(at).and_then(|word| integer(word)).is_some_and(|it| (1..1_000_000).contains(&it))
    };
    match &name[..] {
        "expire" | "pexpire" | "setex" | "psetex" => soon(2),
        "set" | "getex" => {
            (1..words.len()).any(|at| has_word(&words[at - 1..at], &["ex", "px"]) && soon(at))
        }
        "xclaim" | "xautoclaim" | "xpending" => soon(4),
        _ => false,
    }
}

/// Ranges by members have a meaning only where all scores are the same: in a key of their own.
fn keep_to_one_score(words: &mut [Vec<u8>]) {
    let name = String::from_utf8_lossy(&words[0]).to_ascii_lowercase();
    let at = if name == "zrangestore" { 2 } else { 1 };
    if (name.contains("lex") || has_word(words, &["bylex"])) && words.len() > at {
        words[at] = ONE_SCORE.as_bytes().to_vec();
    }
}

/// Half a pair is refused when it is queued, before Redis does; a test of its own compares what is
/// answered elsewhere.
fn lacks_a_value(words: &[Vec<u8>]) -> bool {
    has_word(&words[..1], &["mset", "msetnx"]) && words.len().is_multiple_of(2)
}

/// What has another meaning, or another answer, before 7.4.
fn is_of_newer_meaning(words: &[Vec<u8>]) -> bool {
    let name = String::from_utf8_lossy(&words[0]).to_ascii_lowercase();
    name.starts_with("xread") && words.iter().any(|word| word == b"+")
        // Refused from 7.2 on below the greatest id that was deleted; the engine's comparison tries it.
        || name == "xsetid"
        || has_word(words, &NEWER_OPTIONS)
        // A start without an end is refused before Valkey 8.
        || name == "bitcount" && words.len() == 3
        || has_word(words, &["aggregate"]) && has_word(words, &["count"])
        // A blank before a score is refused from 8.0 on.
        || name.starts_with('z') && words.iter().any(|word| word == b" 1")
        || name.ends_with("rank") && words.len() > 3
}

/// A timeout that ends before long, wherever the command has one.
fn shorten(spec: &CommandSpec, words: &mut [Vec<u8>]) {
    if !spec.flags.contains(Flags::BLOCKING) {
        return;
    }
    let long = |word: &[u8], most: f64| {
        let number =
            std::str::from_utf8(word).ok().and_then(|text| text.trim().parse::<f64>().ok());
        number.is_some_and(|number| number.is_finite() && (number == 0.0 || number > most))
    };
    if spec.group == Group::Stream {
        for at in 1..words.len() {
            if has_word(&words[at - 1..at], &["block"]) && long(&words[at], 5.0) {
                words[at] = b"5".to_vec();
            }
        }
        return;
    }
    let at = if spec.name.ends_with("mpop") { 1 } else { words.len() - 1 };
    if at > 0 && at < words.len() && long(&words[at], 0.01) {
        words[at] = b"0.01".to_vec();
    }
}

impl Pair {
    /// Both servers emptied, with settings by the seed.
    pub fn new((ours, lanes): (SocketAddr, usize), theirs: SocketAddr, seed: u64) -> Self {
        let mut words = Words::with_seed(seed);
        let connections = (0..3)
            .map(|index| {
                let (ours, theirs) = (Client::to(ours), Client::to(theirs));
                Connection { ours, theirs, resp3: index % 2 == 1, queued: None }
            })
            .collect();
        let commands = table::all_with_subcommands()
            .filter(|spec| is_tried(spec))
            .map(|spec| (spec, grammar::parse(spec.arguments)))
            .collect();
        let settings = [
            ("hash-max-listpack-entries", ["128", "3"]),
            ("zset-max-listpack-entries", ["128", "3"]),
            ("set-max-intset-entries", ["512", "3"]),
            ("list-max-listpack-size", ["-2", "3"]),
            ("stream-node-max-entries", ["100", "5"]),
        ];
        let chosen = settings.map(|(name, values)| (name, pick(&mut words.random, &values)));
        let mut pair = Self {
            connections,
            words,
            commands,
            history: Vec::new(),
            lanes,
            listeners: None,
            counts: Counts::default(),
        };
        pair.connections[0].call(&owned(&["FLUSHALL"]));
        pair.connections[0].call(&owned(&["CONFIG", "SET", "notify-keyspace-events", ""]));
        for (name, value) in chosen {
            let (ours, theirs) = pair.connections[0].call(&owned(&["CONFIG", "SET", name, value]));
            assert_eq!(ours, theirs, "{name} {value}");
        }
        for connection in &mut pair.connections {
            if connection.resp3 {
                connection.call(&owned(&["HELLO", "3"]));
            }
        }
        if seed.is_multiple_of(2) {
            pair.listeners = Some(Listeners::new((ours, lanes), theirs));
        }
        pair
    }

    /// Runs so many commands; gives the differences found, so many at most. After each both servers are
    /// emptied, so that one does not follow from another.
    pub fn run(&mut self, steps: usize, differences_max: usize) -> Vec<String> {
        let mut differences = Vec::new();
        for step in 0..steps {
            let mut said = self.step().and_then(|()| self.hear());
            if said.is_ok() && step % LOOK_EVERY == LOOK_EVERY - 1 {
                said = self.compare_everything();
            }
            if let Err(difference) = said {
                let before = self.recent();
                differences.push(format!("step {step}: {difference}\n  after\n    {before}"));
                if differences.len() >= differences_max {
                    break;
                }
                self.begin_anew();
            }
        }
        differences
    }

    /// What was sent last that names a key of the last command; else simply the last.
    fn recent(&self) -> String {
        let last = self.history.last().map_or("", |last| last);
        let keys: Vec<String> = KEYS.iter().map(|key| format!("\"{key}\"")).collect();
        let named: Vec<&String> = keys.iter().filter(|key| last.contains(&key[..])).collect();
        let told: Vec<&str> = self
            .history
            .iter()
            .filter(|line| named.is_empty() || named.iter().any(|key| line.contains(&key[..])))
            .map(|line| &line[..])
            .collect();
        told[told.len().saturating_sub(HISTORY_SHOWN)..].join("\n    ")
    }

    fn begin_anew(&mut self) {
        for connection in &mut self.connections {
            connection.call(&owned(&["DISCARD"]));
            connection.queued = None;
            connection.call(&owned(&["UNWATCH"]));
            connection.call(&owned(&["SELECT", "0"]));
            connection.call(&owned(&["FLUSHALL"]));
        }
        self.history.clear();
        if let Some(listeners) = &mut self.listeners {
            // What is left to hear of all that.
            listeners.forget();
        }
    }

    /// Whether what was pushed after the last step is the same.
    fn hear(&mut self) -> Step {
        // Changes of a stream's groups, and exchanged databases, make copies invalid here alone.
        const MORE: [&str; 8] =
            ["xgroup", "xreadgroup", "xack", "xclaim", "xautoclaim", "swapdb", "exec", "eval"];
        let last = self.history.last().map_or(String::new(), |last| last.to_ascii_lowercase());
        let says = |name: &str| last.contains(name);
        let allowed = Allowed {
            more: MORE.into_iter().any(says),
            // LTRIM that takes nothing, and a key that had passed unseen, change nothing here.
            fewer: says("ltrim") || says("exec"),
            // A string that only grew, since nothing else fitted, has changed.
            notices: says("bitfield") && says("fail"),
        };
        match self.listeners.as_mut().and_then(|listeners| listeners.differ(allowed)) {
            None => Ok(()),
            Some(difference) => Err(format!("{last} {difference}")),
        }
    }

    fn step(&mut self) -> Step {
        let at = self.words.random.usize(..self.connections.len());
        let queuing = self.connections[at].queued.is_some();
        match self.words.random.u8(..200) {
            0..6 if queuing => self.end_transaction(at),
            _ if queuing => self.random_command(at),
            0..6 => self.begin_transaction(at),
            6..8 => {
                let said = self.chance(at);
                // The one took out what the other was told to.
                if let Some(listeners) = &mut self.listeners {
                    listeners.forget();
                }
                said
            }
            8..10 => self.dump(at),
            10..12 => self.wait(at),
            12..21 => self.script(at),
            21 => {
                // What groups of a stream have been given is a change for a watcher here.
                let group = [Group::String, Group::Hash, Group::List, Group::Set, Group::Geo];
                let chosen = self.words.random.usize(..group.len());
                let key = self.words.key(group[chosen]);
                self.compare(at, &[b"WATCH".to_vec(), key])
            }
            22 => self.compare(at, &owned(&["UNWATCH"])),
            25 | 26 => {
                let (first, second) = (self.words.member(), self.words.member());
                let mut add = owned(&["ZADD", ONE_SCORE, "0"]);
                add.extend([first, b"0".to_vec(), second]);
                self.compare(at, &add)
            }
            23..25 => self.compare(at, &owned(&["SELECT", "0"])),
            _ => self.random_command(at),
        }
    }

    /// Sends it to both and compares what comes.
    fn compare(&mut self, at: usize, words: &[Vec<u8>]) -> Step {
        let connection = &mut self.connections[at];
        self.history.push(format!("{at}: {}", show(words)));
        let (ours, theirs) = connection.call(words);
        self.counts.answers += 1;
        self.counts.refused += usize::from(matches!(theirs, Value::Error(_)));
        let queued = theirs == Value::Line("+QUEUED".into());
        if let Some(commands) = &mut connection.queued
            && queued
        {
            commands.push(words.to_vec());
        }
        if same(words, &ours, &theirs) {
            return Ok(());
        }
        Err(format!("{} answered\n  {ours:?}\n  not {theirs:?}", show(words)))
    }

    fn random_words(&mut self) -> (&'static CommandSpec, Vec<Vec<u8>>) {
        loop {
            let at = self.words.random.usize(..self.commands.len());
            let (spec, nodes) = &self.commands[at];
            // What empties everything is rare.
            let rare = spec.name.starts_with("flush") || spec.name == "swapdb";
            let shrinks =
                ["del", "unlink", "rename", "move", "getdel", "select"].contains(&spec.name);
            if rare && self.words.random.u8(..20) > 0 || shrinks && self.words.random.u8(..3) > 0 {
                continue;
            }
            let mut words = grammar::command(spec, nodes, &mut self.words);
            if words[0].eq_ignore_ascii_case(b"XADD") {
                for word in &mut words {
                    if word == b"*" {
                        *word = self.words.next_id();
                    }
                }
            }
            // From 7.2 on no last id may lie below an entry that was deleted.
            if words[0].eq_ignore_ascii_case(b"XSETID")
                && let Some(last) = words.get_mut(2)
                && last.first().is_some_and(u8::is_ascii_digit)
            {
                *last = self.words.next_id();
            }
            shorten(spec, &mut words);
            keep_to_one_score(&mut words);
            let left_out = depends_on_the_clock(&words)
                || is_of_newer_meaning(&words)
                || lacks_a_value(&words);
            if !left_out {
                return (spec, words);
            }
        }
    }

    fn random_command(&mut self, at: usize) -> Step {
        let (_, words) = self.random_words();
        self.make_consumers(at, &words)?;
        self.compare(at, &words)
    }

    /// From 7.2 on a command in the name of a consumer makes it, whether it got something or not: so it is
    /// made before, at both.
    fn make_consumers(&mut self, at: usize, words: &[Vec<u8>]) -> Step {
        let name = String::from_utf8_lossy(&words[0]).to_ascii_lowercase();
        let place =
            |word: &str| words.iter().position(|it| it.eq_ignore_ascii_case(word.as_bytes()));
        let (group, keys) = match &name[..] {
            "xclaim" | "xautoclaim" if words.len() > 3 => (2, &words[1..2]),
            "xreadgroup" => match (place("group"), place("streams")) {
                (Some(group), Some(streams)) if group + 2 < words.len() => {
                    (group + 1, &words[streams + 1..])
                }
                _ => return Ok(()),
            },
            _ => return Ok(()),
        };
        for key in keys {
            let make = [
                b"XGROUP".to_vec(),
                b"CREATECONSUMER".to_vec(),
                key.clone(),
                words[group].clone(),
                words[group + 1].clone(),
            ];
            self.compare(at, &make)?;
        }
        Ok(())
    }

    fn begin_transaction(&mut self, at: usize) -> Step {
        self.compare(at, &owned(&["MULTI"]))?;
        self.connections[at].queued = Some(Vec::new());
        Ok(())
    }

    fn end_transaction(&mut self, at: usize) -> Step {
        let queued = self.connections[at].queued.take().expect("it is queuing");
        if self.words.random.u8(..8) == 0 {
            return self.compare(at, &owned(&["DISCARD"]));
        }
        self.history.push(format!("{at}: EXEC"));
        self.counts.transactions += 1;
        let (ours, theirs) = self.connections[at].call(&owned(&["EXEC"]));
        let (all_of_ours, all_of_theirs) = (ours.elements(), theirs.elements());
        if all_of_theirs.len() != queued.len() || all_of_ours.len() != queued.len() {
            let agreed = ours == theirs;
            return if agreed {
                Ok(())
            } else {
                Err(format!("EXEC answered {ours:?} not {theirs:?}"))
            };
        }
        for (words, (ours, theirs)) in queued.iter().zip(all_of_ours.iter().zip(all_of_theirs)) {
            if !same(words, ours, theirs) {
                return Err(format!(
                    "EXEC's {} answered\n  {ours:?}\n  not {theirs:?}",
                    show(words)
                ));
            }
        }
        Ok(())
    }

    /// Commands whose answers are by chance: what ours chose is there at the other too, and is taken out
    /// there if ours took it out; of a copy, so that what follows depends on the seed alone.
    fn chance(&mut self, at: usize) -> Step {
        let (group, choose, has) = match self.words.random.u8(..5) {
            0 => (Group::Generic, "RANDOMKEY", "EXISTS"),
            1 => (Group::Set, "SPOP", "SREM"),
            2 => (Group::Set, "SRANDMEMBER", "SISMEMBER"),
            3 => (Group::Hash, "HRANDFIELD", "HEXISTS"),
            _ => (Group::SortedSet, "ZRANDMEMBER", "ZSCORE"),
        };
        let mut key = self.words.key(group);
        if choose == "SPOP" {
            let copy = [b"{", &key[..], b"}copy"].concat();
            self.compare(at, &[b"COPY".to_vec(), key, copy.clone(), b"REPLACE".to_vec()])?;
            key = copy;
        }
        let mut words = vec![choose.as_bytes().to_vec()];
        if choose != "RANDOMKEY" {
            words.push(key.clone());
        }
        if self.words.random.bool() && choose != "RANDOMKEY" {
            words.push(self.words.random.i8(-4..7).to_string().into_bytes());
        }
        self.history.push(format!("{at}: {}", show(&words)));
        self.counts.answers += 1;
        let connection = &mut self.connections[at];
        connection.ours.send_command(&words);
        let ours = Value::parse(&connection.ours.reply_bytes());
        let chosen = ours.strings();
        if choose == "SPOP" && !chosen.is_empty() {
            let mut remove = vec![b"SREM".to_vec(), key.clone()];
            remove.extend(chosen.iter().cloned());
            connection.theirs.send_command(&remove);
            let theirs = Value::parse(&connection.theirs.reply_bytes());
            let removed = i64::try_from(chosen.len()).expect("a few");
            if theirs != Value::Integer(removed) {
                return Err(format!("SPOP took {ours:?}, {theirs:?} were there"));
            }
            self.compare_key(at, &key)?;
            return self.compare(at, &[b"DEL".to_vec(), key]);
        }
        connection.theirs.send_command(&words);
        let theirs = Value::parse(&connection.theirs.reply_bytes());
        if chosen.len() != theirs.strings().len() || chosen.is_empty() && ours != theirs {
            return Err(format!("{} answered\n  {ours:?}\n  not {theirs:?}", show(&words)));
        }
        for member in chosen {
            let mut ask = vec![has.as_bytes().to_vec()];
            ask.extend((choose != "RANDOMKEY").then(|| key.clone()));
            ask.push(member);
            self.compare(at, &ask)?;
        }
        Ok(())
    }

    /// What one server serialised, the other makes a key of.
    fn dump(&mut self, at: usize) -> Step {
        let (from, to) = (self.words.key(Group::Generic), self.words.key(Group::Generic));
        self.history.push(format!(
            "{at}: DUMP {} to {}",
            show(std::slice::from_ref(&from)),
            show(std::slice::from_ref(&to))
        ));
        self.counts.dumps += 1;
        let (ours, theirs) = self.connections[at].call(&[b"DUMP".to_vec(), from]);
        let (Value::Bulk(ours), Value::Bulk(theirs)) = (&ours, &theirs) else {
            let agreed = ours == theirs;
            return if agreed {
                Ok(())
            } else {
                Err(format!("DUMP answered {ours:?} not {theirs:?}"))
            };
        };
        let connection = &mut self.connections[at];
        let restore =
            |dump: &[u8]| [&b"RESTORE"[..], &to, b"0", dump, b"REPLACE"].map(<[u8]>::to_vec);
        connection.ours.send_command(&restore(theirs));
        connection.theirs.send_command(&restore(ours));
        let (said, other) = (connection.ours.reply(), connection.theirs.reply());
        if said == "+OK\r\n" && other == said {
            return Ok(());
        }
        Err(format!("RESTORE of the other's answered {said} and {other}\n  {ours:?}\n  {theirs:?}"))
    }

    /// One connection waits for what another brings.
    fn wait(&mut self, at: usize) -> Step {
        let other = (at + 1) % self.connections.len();
        if self.connections[other].queued.is_some() {
            return Ok(());
        }
        let scenes: [(&[&str], &[&str]); 8] = [
            (&["BLPOP", "w1", "w2", "w3", "0"], &["RPUSH", "w2", "a", "b"]),
            (&["BRPOP", "w1", "w2", "w3", "0"], &["LPUSH", "w3", "a", "b"]),
            (
                &["BLMPOP", "0", "2", "w1", "w3", "LEFT", "COUNT", "2"],
                &["RPUSH", "w3", "a", "b", "c"],
            ),
            (&["BLMOVE", "w1", "w2", "RIGHT", "LEFT", "0"], &["RPUSH", "w1", "a", "b"]),
            (&["BRPOPLPUSH", "w3", "w1", "0"], &["RPUSH", "w3", "a"]),
            (&["BZPOPMIN", "w1", "w2", "0"], &["ZADD", "w2", "1.5", "a", "2", "b"]),
            (&["BZMPOP", "0", "2", "w1", "w2", "MAX"], &["ZADD", "w1", "1", "a", "2", "b"]),
            (
                &["XREAD", "BLOCK", "0", "STREAMS", "w1", "w2", "0", "0"],
                &["XADD", "w2", "5-5", "f", "v"],
            ),
        ];
        let chosen = self.words.random.usize(..scenes.len());
        let (wait, bring) = scenes[chosen];
        for connection in [at, other] {
            self.compare(connection, &owned(&["SELECT", "0"]))?;
        }
        self.compare(other, &owned(&["DEL", "w1", "w2", "w3"]))?;
        self.history.push(format!("{at}: {wait:?}"));
        self.counts.waits += 1;
        self.connections[at].ours.send_command(wait);
        self.connections[at].theirs.send_command(wait);
        self.compare(other, &owned(bring))?;
        let ours = Value::parse(&self.connections[at].ours.reply_bytes());
        let theirs = Value::parse(&self.connections[at].theirs.reply_bytes());
        if !same(&owned(wait), &ours, &theirs) {
            return Err(format!("{wait:?} answered\n  {ours:?}\n  not {theirs:?}"));
        }
        Ok(())
    }

    /// A script that does a random command, with every key declared.
    fn script(&mut self, at: usize) -> Step {
        const SCRIPTS: [&str; 8] = [
            "return redis.call(unpack(ARGV))",
            "return redis.pcall(unpack(ARGV))",
            "local said = redis.pcall(unpack(ARGV)) if type(said) == 'table' and said.err then return said.err end return said",
            "redis.setresp(3) return redis.pcall(unpack(ARGV))",
            "local said = redis.pcall(unpack(ARGV)) return {type(said), #ARGV, redis.pcall('EXISTS', KEYS[1])}",
            "redis.call('SET', KEYS[1], ARGV[1]) redis.call('INCR', KEYS[2]) return redis.call('MGET', KEYS[1], KEYS[2])",
            "return {1, 2.9, 'x', true, false, 'never'}",
            "return {{'a', {1}}, redis.status_reply('GOOD'), redis.error_reply('BAD thing'), tostring(nil)}",
        ];
        let (spec, inner) = loop {
            let (spec, inner) = self.random_words();
            let of_all_lanes = matches!(
                spec.merge,
                Merge::SpreadSum
                    | Merge::SpreadOk
                    | Merge::SpreadJoin
                    | Merge::Cursor
                    | Merge::Pick
            );
            // What 7.2 words anew is compared outside of scripts, which may hide it in a string.
            let unfit = spec.flags.contains(Flags::BLOCKING)
                || spec.group == Group::Connection
                || of_all_lanes && self.lanes > 1
                // Redis takes it for a command that may write, in read-only scripts too.
                || ["bitcount", "bitpos", "pfcount"].contains(&spec.name);
            if !unfit {
                break (spec, inner);
            }
        };
        // Their answers have no order, or depend on the clock; the state tells.
        let quiet = [
            "keys",
            "scan",
            "sscan",
            "hscan",
            "zscan",
            "xinfo|stream",
            "xinfo|groups",
            "xinfo|consumers",
        ];
        if quiet.contains(&spec.name) {
            return Ok(());
        }
        self.make_consumers(at, &inner)?;
        let script = pick(&mut self.words.random, &SCRIPTS);
        let read_only = self.words.random.u8(..6) == 0;
        let name = if read_only { "EVAL_RO" } else { "EVAL" };
        let mut keys: Vec<Vec<u8>> = KEYS.iter().map(|key| key.as_bytes().to_vec()).collect();
        let positions = spec.key_positions(inner.len(), |at| &inner[at][..]);
        keys.extend(positions.filter_map(|at| inner.get(at).cloned()));
        let mut words = owned(&[name, script, &keys.len().to_string()]);
        words.extend(keys);
        words.extend(inner.iter().cloned());
        self.history.push(format!("{at}: {name} {script} … {}", show(&inner)));
        self.counts.scripts += 1;
        let (ours, theirs) = self.connections[at].call(&words);
        if same(&inner, &ours, &theirs) {
            return Ok(());
        }
        Err(format!("{name} {script} of {} answered\n  {ours:?}\n  not {theirs:?}", show(&inner)))
    }

    /// Everything that there is, read at both.
    fn compare_everything(&mut self) -> Step {
        let Some(at) = self.connections.iter().position(|it| it.queued.is_none()) else {
            return Ok(());
        };
        for database in ["0", "1", "2"] {
            self.compare(at, &owned(&["SELECT", database]))?;
            self.compare(at, &owned(&["KEYS", "*"]))?;
            self.compare(at, &owned(&["DBSIZE"]))?;
            let mut keys: Vec<Vec<u8>> = KEYS.iter().map(|key| key.as_bytes().to_vec()).collect();
            keys.extend(owned(&["", "none", "k\r\n\0", ONE_SCORE, "w1", "w2", "w3"]));
            for key in keys {
                self.compare_key(at, &key)?;
            }
        }
        self.compare(at, &owned(&["SELECT", "0"]))
    }

    fn compare_key(&mut self, at: usize, key: &[u8]) -> Step {
        let with = |before: &[&str], after: &[&str]| {
            let mut words = owned(before);
            words.push(key.to_vec());
            words.extend(owned(after));
            words
        };
        self.compare(at, &with(&["TYPE"], &[]))?;
        self.compare(at, &with(&["PTTL"], &[]))?;
        self.compare(at, &with(&["OBJECT", "ENCODING"], &[]))?;
        let (_, kind) = self.connections[at].call(&with(&["TYPE"], &[]));
        let Value::Line(kind) = kind else { return Err(format!("TYPE answered {kind:?}")) };
        let read = match &kind[1..] {
            "string" => with(&["GET"], &[]),
            "list" => with(&["LRANGE"], &["0", "-1"]),
            "hash" => with(&["HGETALL"], &[]),
            "set" => with(&["SMEMBERS"], &[]),
            "zset" => with(&["ZRANGE"], &["0", "-1", "WITHSCORES"]),
            "stream" => {
                self.compare(at, &with(&["XINFO", "STREAM"], &["FULL"]))?;
                with(&["XRANGE"], &["-", "+"])
            }
            _ => return Ok(()),
        };
        self.compare(at, &read)
    }
}
