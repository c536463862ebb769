//! The handlers beside a real redis-server: the same commands, the same bytes in answer.
//! Runs where `redis-server` (7.0 or later) is installed; says so where it is not.
//! A failure prints the seed; `RINGLANE_SEED=…` runs that one again.

mod support;

use ringlane_command::{CommandSpec, Group, table};
use support::redis::{Server, seeds, wall_clock};
use support::{Lane, show};

/// Commands whose answers differ on purpose, with the reason. Each is left out of the random runs,
/// or its answer is compared in another way.
const DIFFERENT: [(&str, &str); 11] = [
    ("dump", "another encoding of the same value, and its version"),
    ("restore", "as dump"),
    ("delifeq", "Valkey's; Redis 7 does not know it"),
    ("keys", "the order is the table's: compared as a set"),
    ("scan", "order and cursors are the table's: compared by a test of its own"),
    ("randomkey", "by chance"),
    ("ttl", "the server's clock runs between sending and answering: only without expiry"),
    ("pttl", "as ttl"),
    ("memory", "entries take other sizes"),
    (
        "object",
        "FREQ and IDLETIME follow another eviction; a string that grew, or a whole \
         number that INCRBYFLOAT made, is raw there; it shares small integers",
    ),
    ("set", "IFEQ is Valkey's"),
];

/// Families that files of their own compare, with arguments that make sense to them.
const OF_THEIR_OWN: [Group; 9] = [
    Group::Scripting,
    Group::Bitmap,
    Group::HyperLogLog,
    Group::Stream,
    Group::List,
    Group::SortedSet,
    Group::Geo,
    Group::Hash,
    Group::Set,
];

/// Commands and subcommands whose `COMMAND INFO` differs on purpose, with the reason.
const DIFFERENT_ROWS: [(&str, &str); 22] = [
    ("blmove", "scripts may say it from 7.2, and it does not wait there"),
    ("blpop", "as blmove"),
    ("brpop", "as blmove"),
    ("brpoplpush", "as blmove"),
    ("bzpopmax", "as blmove"),
    ("bzpopmin", "as blmove"),
    ("client|setname", "all nodes are asked from 7.2"),
    ("cluster|shards", "answered while loading from 7.2"),
    ("cluster|slots", "as cluster|shards"),
    ("config|resetstat", "as client|setname"),
    ("config|rewrite", "as client|setname"),
    ("latency|reset", "its answers are added up from 7.2"),
    ("msetnx", "it is not to be divided, as 8.0 says"),
    ("randomkey", "how answers are joined is told from 7.2"),
    ("scan", "as randomkey"),
    ("sinterstore", "the destination is overwritten, as 8.0 says"),
    ("sort", "no specification says that patterns may name any key"),
    ("sort_ro", "as sort, and its only key is fixed"),
    ("command|getkeys", "a command and one argument are enough from 7.2"),
    ("command|getkeysandflags", "as command|getkeys"),
    ("zrank", "WITHSCORE is from 7.2"),
    ("zrevrank", "as zrank"),
];

/// Whether the command came after 7.0, the oldest server to compare with.
fn is_newer(spec: &CommandSpec) -> bool {
    let mut numbers = spec.since.split('.').map(|number| number.parse::<u32>().expect("a version"));
    (numbers.next(), numbers.next()) > (Some(7), Some(0))
}

/// Words that commands are made of: keys, values that sit on the edges of types and ranges,
/// options in any case, nonsense.
struct Dictionary;

impl Dictionary {
    const KEYS: [&str; 5] = ["a", "b", "c", "{t}d", ""];
    const VALUES: [&str; 32] = [
        "",
        "0",
        "-0",
        "1",
        "-1",
        "12",
        "007",
        "+1",
        " 1",
        "1 ",
        "1.5",
        "-2.25",
        "1e3",
        "1e-5",
        ".5",
        "5.",
        "inf",
        "-inf",
        "nan",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "18446744073709551616",
        "99999999999999999999999999",
        "0.1",
        "123456789.123456789",
        "3.14159265358979323846",
        "1e300",
        "hello world",
        "the quick brown fox jumps",
        "a\r\nb\0c",
        "ohmytext mynewtext ohmytext mynewtext ohmytext",
    ];
    const OPTIONS: [&str; 27] = [
        "NX",
        "xx",
        "GET",
        "KEEPTTL",
        "EX",
        "px",
        "EXAT",
        "PXAT",
        "PERSIST",
        "GT",
        "lt",
        "DB",
        "REPLACE",
        "LEN",
        "idx",
        "MINMATCHLEN",
        "WITHMATCHLEN",
        "ASYNC",
        "sync",
        "COUNT",
        "MATCH",
        "TYPE",
        "string",
        "bogus",
        "HELP",
        "ENCODING",
        "REFCOUNT",
    ];
    /// Far enough from now that the answer does not depend on when it is asked.
    const TIMES: [&str; 12] = [
        "0",
        "-1",
        "100000",
        "x",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775",
        "9223372036854776",
        "4102444800",
        "4102444800000",
        "1",
        "1.5",
    ];

    fn pick<'a>(random: &mut fastrand::Rng, words: &[&'a str]) -> &'a str {
        words[random.usize(..words.len())]
    }

    fn argument(random: &mut fastrand::Rng) -> &'static str {
        match random.u8(..10) {
            0..3 => Self::pick(random, &Self::KEYS),
            3..6 => Self::pick(random, &Self::VALUES),
            6..8 => Self::pick(random, &Self::OPTIONS),
            _ => Self::pick(random, &Self::TIMES),
        }
    }
}

const SETTERS_OF_EXPIRY: [&str; 4] = ["expire", "pexpire", "expireat", "pexpireat"];

/// A command that is likely to do something, or any words after a name.
fn random_command(random: &mut fastrand::Rng, names: &[&'static str]) -> Vec<&'static str> {
    let name = names[random.usize(..names.len())];
    let mut words = vec![name];
    let key = |random: &mut fastrand::Rng| Dictionary::pick(random, &Dictionary::KEYS);
    if name == "object" {
        words.push(Dictionary::pick(random, &["ENCODING", "refcount", "NOSUCH", "ENCODING"]));
        words.push(key(random));
        return words;
    }
    if name == "swapdb" || name == "select" {
        return words;
    }
    if random.u8(..10) == 0 {
        let count = random.usize(..5);
        words.extend((0..count).map(|_| Dictionary::argument(random)));
        return words;
    }
    words.push(key(random));
    match name {
        "mget" | "del" | "unlink" | "exists" | "touch" => {
            words.extend((0..random.usize(..4)).map(|_| key(random)));
        }
        "rename" | "renamenx" | "copy" | "lcs" => {
            words.push(key(random));
            words.extend((0..random.usize(..3)).map(|_| Dictionary::argument(random)));
        }
        "mset" | "msetnx" => {
            words.push(Dictionary::pick(random, &Dictionary::VALUES));
            for _ in 0..random.usize(..3) {
                words.push(key(random));
                words.push(Dictionary::pick(random, &Dictionary::VALUES));
            }
        }
        "set" | "getex" => {
            if name == "set" {
                words.push(Dictionary::pick(random, &Dictionary::VALUES));
            }
            for _ in 0..random.usize(..3) {
                words.push(Dictionary::pick(random, &Dictionary::OPTIONS));
                if random.bool() {
                    words.push(Dictionary::pick(random, &Dictionary::TIMES));
                }
            }
        }
        "getrange" | "substr" => {
            let places = ["0", "-1", "3", "-4", "100", "-100", "x", "9223372036854775807"];
            words.push(Dictionary::pick(random, &places));
            words.push(Dictionary::pick(random, &places));
        }
        "setrange" => {
            words.push(Dictionary::pick(random, &["0", "1", "40", "-1", "x", "999999999999"]));
            words.push(Dictionary::pick(random, &Dictionary::VALUES));
        }
        "setex" | "psetex" => {
            words.push(Dictionary::pick(random, &Dictionary::TIMES));
            words.push(Dictionary::pick(random, &Dictionary::VALUES));
        }
        name if SETTERS_OF_EXPIRY.contains(&name) => {
            words.push(Dictionary::pick(random, &Dictionary::TIMES));
            words.extend(
                (0..random.usize(..3))
                    .map(|_| Dictionary::pick(random, &["NX", "xx", "GT", "LT", "bogus"])),
            );
        }
        "append" | "getset" | "setnx" | "incrby" | "decrby" | "incrbyfloat" => {
            words.push(Dictionary::pick(random, &Dictionary::VALUES));
        }
        _ => {}
    }
    words
}

/// What the two may differ in: the order of KEYS; a remaining time, which runs on at the server.
fn comparable(name: &str, answer: &[u8]) -> String {
    let text = show(answer);
    match name {
        "keys" => {
            let mut keys: Vec<_> =
                text.split(' ').map(|key| key.trim_matches(['[', ']'])).collect();
            keys.sort_unstable();
            keys.join(" ")
        }
        "ttl" | "pttl" | "expiretime" | "pexpiretime" if !text.starts_with(":-") => {
            "some time".to_owned()
        }
        "object" if text.starts_with('"') => "some encoding".to_owned(),
        "object" => text.replace(":2147483647", ":1"),
        _ => text,
    }
}

/// The answer, now or later, depends on the millisecond in which the command is run: a duration
/// that passes while the test runs, or a comparison of two expiries that were both relative.
fn depends_on_the_clock(words: &[&str]) -> bool {
    let any_of = |some: &[&str]| words.iter().any(|word| some.contains(word));
    let timed = any_of(&["EX", "px", "expire", "pexpire", "expireat", "pexpireat"])
        || any_of(&["EXAT", "PXAT", "setex", "psetex"]);
    let soon = any_of(&["1", "12", "007", "100000"]);
    (timed && soon) || (any_of(&["expire", "pexpire"]) && any_of(&["GT", "lt", "LT"]))
}

#[test]
fn answers_are_those_of_redis() {
    let Some(mut server) = Server::start() else { return };
    let left_out = ["delifeq", "dump", "restore", "scan", "randomkey", "memory"];
    assert!(left_out.iter().all(|name| DIFFERENT.iter().any(|(known, _)| known == name)));
    let names: Vec<&'static str> = table::all()
        .iter()
        .filter(|spec| matches!(spec.run, ringlane_command::Run::Store(_)))
        // What it says of the rows is compared row by row.
        .filter(|spec| spec.group != Group::Server)
        .filter(|spec| !OF_THEIR_OWN.contains(&spec.group) && !is_newer(spec))
        .map(|spec| spec.name)
        .filter(|name| !left_out.contains(name))
        .collect();
    for seed in seeds() {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut lane = Lane::default();
        server.run(&[b"FLUSHALL"]);
        let mut history = Vec::new();
        for step in 0..4_000 {
            let words = random_command(&mut random, &names);
            if depends_on_the_clock(&words) {
                continue;
            }
            let args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            lane.store.begin_turn(wall_clock());
            let (ours, theirs) = (lane.run(&args), server.run(&args));
            history.push(words.clone());
            let name = words[0];
            let recent = &history[history.len().saturating_sub(12)..];
            assert_eq!(
                comparable(name, &ours),
                comparable(name, &theirs),
                "seed {seed}, step {step}: {words:?}; before it {recent:?}"
            );
        }
    }
}

/// A number as people and machines spell it, or nearly.
fn random_number(random: &mut fastrand::Rng) -> String {
    let digits = |random: &mut fastrand::Rng, most: usize| -> String {
        (0..random.usize(..=most)).map(|_| char::from(random.u8(b'0'..=b'9'))).collect()
    };
    let sign = ["", "", "-", "+"][random.usize(..4)];
    let whole = digits(random, 22);
    let fraction = match random.u8(..3) {
        0 => String::new(),
        1 => ".".to_owned() + &digits(random, 5),
        _ => ".".to_owned() + &digits(random, 25),
    };
    let exponent = match random.u8(..8) {
        0 => format!("e{}", random.i32(-30..30)),
        1 => format!("E{}", random.i32(-5100..5100)),
        2 => format!("e+{}", random.u8(..20)),
        _ => String::new(),
    };
    format!("{sign}{whole}{fraction}{exponent}")
}

#[test]
fn sums_of_fractions_are_those_of_redis() {
    let Some(mut server) = Server::start() else { return };
    for seed in seeds() {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut lane = Lane::default();
        server.run(&[b"FLUSHALL"]);
        let mut finite = 0;
        for step in 0..2_000 {
            let (before, increment) = (random_number(&mut random), random_number(&mut random));
            // Else the sum of the last step counts on.
            if random.bool() {
                let set: [&[u8]; 3] = [b"SET", b"k", before.as_bytes()];
                assert_eq!(lane.run(&set), server.run(&set));
            }
            let add: [&[u8]; 3] = [b"INCRBYFLOAT", b"k", increment.as_bytes()];
            let (ours, theirs) = (lane.run(&add), server.run(&add));
            let case = format!("seed {seed}, step {step}: {before} + {increment}");
            assert_eq!(show(&ours), show(&theirs), "{case}");
            finite += usize::from(ours[0] == b'$');
        }
        assert!(finite > 500, "most are numbers: {finite}");
    }
}

#[test]
fn subsequences_and_ranges_are_those_of_redis() {
    let Some(mut server) = Server::start() else { return };
    for seed in seeds() {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut lane = Lane::default();
        for step in 0..400 {
            let letters = random.u8(1..6);
            for key in [b"a", b"b"] {
                let most = [4, 70, 300][random.usize(..3)];
                let length = random.usize(..most);
                let text: Vec<u8> = (0..length).map(|_| b'a' + random.u8(..letters)).collect();
                let set: [&[u8]; 3] = [b"SET", key, &text];
                assert_eq!(lane.run(&set), server.run(&set));
            }
            let least = random.u8(..6).to_string();
            let (start, end) =
                (random.i16(-350..350).to_string(), random.i16(-350..350).to_string());
            let commands: [&[&[u8]]; 5] = [
                &[b"LCS", b"a", b"b"],
                &[b"LCS", b"a", b"b", b"LEN"],
                &[b"LCS", b"a", b"b", b"IDX", b"WITHMATCHLEN"],
                &[b"LCS", b"b", b"a", b"IDX", b"MINMATCHLEN", least.as_bytes()],
                &[b"GETRANGE", b"a", start.as_bytes(), end.as_bytes()],
            ];
            for command in commands {
                let (ours, theirs) = (show(&lane.run(command)), show(&server.run(command)));
                assert_eq!(ours, theirs, "seed {seed}, step {step}: {command:?}");
            }
        }
    }
}

#[test]
fn patterns_match_as_in_redis() {
    let Some(mut server) = Server::start() else { return };
    let mut lane = Lane::default();
    let mut random = fastrand::Rng::with_seed(seeds()[0]);
    let mut word = |letters: &[u8], most: usize| -> Vec<u8> {
        (0..random.usize(..=most)).map(|_| letters[random.usize(..letters.len())]).collect()
    };
    for _ in 0..200 {
        let mut key = word(b"aabbc-]^[*\\", 6);
        // The empty key: Redis's `**` does not match it, though `*` does.
        key.push(b'a');
        let set: [&[u8]; 3] = [b"SET", &key, b"v"];
        assert_eq!(lane.run(&set), server.run(&set));
    }
    for _ in 0..3_000 {
        let pattern = word(b"aabbcc**??[[]]^-\\", 8);
        let keys: [&[u8]; 2] = [b"KEYS", &pattern];
        let (ours, theirs) = (lane.run(&keys), server.run(&keys));
        let pattern = pattern.escape_ascii();
        assert_eq!(comparable("keys", &ours), comparable("keys", &theirs), "pattern {pattern}");
    }
}

/// An answer of `COMMAND INFO` as name, then fields; sets and maps without their order.
fn normal_info(resp: &mut &[u8]) -> Info {
    let end = resp.windows(2).position(|pair| pair == b"\r\n").expect("a whole line");
    let line = String::from_utf8_lossy(&resp[..end]).into_owned();
    *resp = &resp[end + 2..];
    match &line[..1] {
        "*" => {
            let count: usize = line[1..].parse().expect("a length");
            Info::Array((0..count).map(|_| normal_info(resp)).collect())
        }
        "$" if &line[1..] != "-1" => {
            let (text, after) = resp.split_at(line[1..].parse().expect("a length"));
            *resp = &after[2..];
            Info::Text(String::from_utf8_lossy(text).into_owned())
        }
        _ => Info::Text(line),
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Info {
    Text(String),
    Array(Vec<Info>),
}

impl Info {
    fn array(&self) -> &[Info] {
        match self {
            Info::Array(elements) => elements,
            Info::Text(text) => panic!("{text} where an array is due"),
        }
    }

    fn sorted(&self) -> Info {
        match self {
            Info::Text(_) => self.clone(),
            Info::Array(elements) => {
                let mut elements: Vec<_> = elements.iter().map(Info::sorted).collect();
                elements.sort();
                Info::Array(elements)
            }
        }
    }
}

/// The first thing in which two rows of `COMMAND INFO` differ: ours, theirs.
fn row_difference(name: &str, ours: &[Info], theirs: &[Info]) -> Option<String> {
    let told = |what: String, ours: &Info, theirs: &Info| {
        (ours != theirs).then(|| format!("{name}: {what}: {ours:?}, in Redis {theirs:?}"))
    };
    // Name, arity, first key, last key and step in order; flags, categories, tips as sets.
    let in_order = [0, 1, 3, 4, 5].map(|field| (ours[field].clone(), theirs[field].clone(), field));
    let sets = [2, 6, 7].map(|field| (ours[field].sorted(), theirs[field].sorted(), field));
    for (ours, theirs, field) in in_order.into_iter().chain(sets) {
        let difference = told(format!("field {field}"), &ours, &theirs);
        if difference.is_some() {
            return difference;
        }
    }
    let (ours, theirs) = (ours[8].array(), theirs[8].array());
    if ours.len() != theirs.len() {
        return Some(format!(
            "{name}: {} key specifications, in Redis {}",
            ours.len(),
            theirs.len()
        ));
    }
    ours.iter().zip(theirs).find_map(|(ours, theirs)| {
        // Redis adds notes to some.
        let theirs: Vec<_> = match &theirs.array()[0] {
            Info::Text(field) if field == "notes" => theirs.array()[2..].to_vec(),
            Info::Text(_) | Info::Array(_) => theirs.array().to_vec(),
        };
        told("keys".to_owned(), &ours.sorted(), &Info::Array(theirs).sorted())
    })
}

#[test]
fn rows_are_those_of_redis() {
    let Some(mut server) = Server::start() else { return };
    let mut lane = Lane::default();
    let (mut compared, mut left_out) = (0, 0);
    let mut differing = Vec::new();
    for spec in table::all_with_subcommands() {
        if is_newer(spec) || DIFFERENT_ROWS.iter().any(|(name, _)| *name == spec.name) {
            left_out += 1;
            continue;
        }
        let request: [&[u8]; 3] = [b"COMMAND", b"INFO", spec.name.as_bytes()];
        let (ours, theirs) = (lane.run(&request), server.run(&request));
        let (ours, theirs) = (normal_info(&mut &ours[..]), normal_info(&mut &theirs[..]));
        let (ours, theirs) = (&ours.array()[0], &theirs.array()[0]);
        differing.extend(row_difference(spec.name, ours.array(), theirs.array()));
        compared += 1;
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert_eq!(compared + left_out, table::ID_COUNT);
    assert!(compared > left_out, "most rows are compared: {compared} of {}", table::ID_COUNT);
}

/// Deprecated since 7.2, or since then said to be.
const DEPRECATED_LATER: [&str; 4] = ["setex", "psetex", "setnx", "quit"];

#[test]
fn deprecated_is_what_redis_says() {
    let Some(mut server) = Server::start() else { return };
    let mut lane = Lane::default();
    let since = |docs: Vec<u8>| -> Option<String> {
        let docs = String::from_utf8(docs).expect("text");
        // Of the command itself: its arguments may be deprecated too.
        let docs = docs.split("$9\r\narguments\r\n").next().expect("there is a first part");
        let (_, behind) = docs.split_once("$16\r\ndeprecated_since\r\n")?;
        assert!(docs.contains("$9\r\ndoc_flags\r\n*1\r\n+deprecated\r\n"), "{docs}");
        assert!(docs.contains("$11\r\nreplaced_by\r\n"), "{docs}");
        behind.lines().nth(1).map(str::to_owned)
    };
    let mut deprecated = 0;
    for spec in table::all_with_subcommands() {
        if !spec.subcommands.is_empty() || is_newer(spec) || DEPRECATED_LATER.contains(&spec.name) {
            continue;
        }
        let request: [&[u8]; 3] = [b"COMMAND", b"DOCS", spec.name.as_bytes()];
        let ours = since(lane.run(&request));
        assert_eq!(ours, since(server.run(&request)), "{}", spec.name);
        assert_eq!(ours.as_deref(), spec.deprecated.map(|it| it.since));
        deprecated += usize::from(ours.is_some());
    }
    assert!(deprecated > 10, "{deprecated}");
}

#[test]
fn texts_are_those_of_redis() {
    let Some(mut server) = Server::start() else { return };
    let mut lane = Lane::default();
    for line in [
        "foo",
        "foo a b c",
        "foo \"a\\x0d\\x0ab\" \"x\\x00y\"",
        "OBJECT",
        "OBJECT FOO",
        "OBJECT FREQ",
        "OBJECT ENCODING a b",
        "CLIENT FOO x",
        "CLIENT KILL",
        "CONFIG FOO",
        "CONFIG SET a",
        "MEMORY FOO",
        "MEMORY USAGE",
        "SLOWLOG LEN x",
        "LATENCY FOO",
        "COMMAND FOO",
        "COMMAND COUNT x",
        "COMMAND GETKEYS",
        "COMMAND GETKEYS nosuch a",
        "COMMAND GETKEYS ping a",
        "COMMAND GETKEYS set a",
        "COMMAND GETKEYS mset a 1 b",
        "COMMAND GETKEYS object freq k",
        "COMMAND GETKEYSANDFLAGS rename a b",
        "COMMAND INFO nosuch",
        "COMMAND DOCS nosuch",
        "COMMAND LIST FOO",
        "COMMAND LIST FILTERBY FOO x",
        "COMMAND LIST FILTERBY MODULE x",
        "COMMAND LIST FILTERBY ACLCAT nosuch",
        "COMMAND LIST FILTERBY PATTERN getr*",
        "SWAPDB x y",
        "SWAPDB 0 y",
        "SWAPDB 99 0",
        "SWAPDB 0 99",
        "SCAN x",
        "SCAN 0 COUNT 0",
        "SCAN 0 FOO",
        "SCAN 0 MATCH",
        "FLUSHALL x",
        "FLUSHDB ASYNC x",
        "SET",
        "MSET a 1 b",
        "MSETNX a 1 b",
    ] {
        let words = support::words(line);
        let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let (ours, theirs) = (lane.run(&args), server.run(&args));
        // GETKEYS of MSET with half a pair: Redis names the keys all the same.
        let known = line == "COMMAND GETKEYS mset a 1 b";
        assert!(known || ours == theirs, "{line}: {} but {}", show(&ours), show(&theirs));
    }
}
