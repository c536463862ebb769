//! Lists beside a real redis-server: random commands on lists, short and long, the same answers and the
//! same elements left. Runs where `redis-server` (7.0 or later) is installed.
//! A failure prints the seed; `RINGLANE_SEED=…` runs that one again.

mod support;

use support::redis::{Server, seeds};
use support::{Lane, show};

const KEYS: [&str; 5] = ["a", "b", "{t}c", "s", "none"];

fn pick<'a>(random: &mut fastrand::Rng, words: &[&'a str]) -> &'a str {
    words[random.usize(..words.len())]
}

fn key(random: &mut fastrand::Rng) -> String {
    // The last ones hold a string and nothing.
    let any = random.u8(..10) == 0;
    pick(random, if any { &KEYS } else { &KEYS[..3] }).into()
}

fn element(random: &mut fastrand::Rng) -> String {
    match random.u8(..20) {
        0 => pick(random, &["", "-0", "007", "9223372036854775807", "-9223372036854775808"]).into(),
        1 => "x".repeat(random.usize(..3_000)),
        2 => random.i64(..).to_string(),
        3..12 => random.u8(..6).to_string(),
        _ => format!("element {}", random.u8(..4)),
    }
}

fn index(random: &mut fastrand::Rng) -> String {
    match random.u8(..24) {
        0 => pick(random, &["x", "", "1.5", "9223372036854775807", "-9223372036854775808"]).into(),
        1..6 => random.i16(-300..300).to_string(),
        _ => random.i8(-8..8).to_string(),
    }
}

fn side(random: &mut fastrand::Rng) -> String {
    pick(random, &["LEFT", "right", "Left", "RIGHT", "left", "right", "left", "up"]).into()
}

/// Names with options, each followed by a value more often than not.
fn options(random: &mut fastrand::Rng, names: &[&str], words: &mut Vec<String>) {
    for _ in 0..random.u8(..3) {
        words.push(pick(random, names).into());
        if random.u8(..12) > 0 {
            words.push(index(random));
        }
    }
}

/// A time that a server may wait: none of the keys need have anything.
fn time(random: &mut fastrand::Rng) -> String {
    pick(random, &["0.001", "0.001", "0.001", "x", "-1", "nan", ""]).to_owned()
}

const OF_ONE_LIST: [&str; 23] = [
    "LPUSH", "RPUSH", "LPUSH", "RPUSH", "RPUSH", "LPUSHX", "RPUSHX", "LPOP", "RPOP", "LLEN",
    "LRANGE", "LRANGE", "LINDEX", "LSET", "LSET", "LINSERT", "LINSERT", "LREM", "LTRIM", "LPOS",
    "LPOS", "DEL", "TYPE",
];
const OF_SEVERAL_LISTS: [&str; 11] = [
    "LMOVE",
    "RPOPLPUSH",
    "LMPOP",
    "BLPOP",
    "BRPOP",
    "BLMPOP",
    "BLMOVE",
    "BRPOPLPUSH",
    "RENAME",
    "COPY",
    "EXISTS",
];

fn command_of_one_list(random: &mut fastrand::Rng) -> Vec<String> {
    let name = pick(random, &OF_ONE_LIST);
    let mut words = vec![name.to_owned(), key(random)];
    match name {
        "LPUSH" | "RPUSH" | "LPUSHX" | "RPUSHX" => {
            let many = if random.u8(..12) == 0 { 150 } else { 4 };
            words.extend((0..random.u8(1..=many)).map(|_| element(random)));
        }
        "LPOP" | "RPOP" => words.extend((0..random.u8(..2)).map(|_| index(random))),
        "LRANGE" => words.extend([index(random), index(random)]),
        "LTRIM" => {
            // Mostly some of it is kept.
            let (from, to) =
                (random.u8(..3).to_string(), (-i16::from(random.u8(1..4))).to_string());
            let odd = random.u8(..6) == 0;
            words.extend(if odd { [index(random), index(random)] } else { [from, to] });
        }
        "LINDEX" => words.push(index(random)),
        "LSET" | "LREM" => words.extend([index(random), element(random)]),
        "LINSERT" => {
            let place = pick(random, &["BEFORE", "after", "Before", "AFTER", "beside"]).to_owned();
            words.extend([place, element(random), element(random)]);
        }
        "LPOS" => {
            words.push(element(random));
            options(random, &["RANK", "count", "MAXLEN", "Count", "rank", "foo"], &mut words);
        }
        _ => {}
    }
    words
}

fn command_of_several_lists(random: &mut fastrand::Rng) -> Vec<String> {
    let name = pick(random, &OF_SEVERAL_LISTS);
    let mut words = vec![name.to_owned()];
    match name {
        "LMOVE" => words.extend([key(random), key(random), side(random), side(random)]),
        "BLMOVE" => {
            let (from, to) = (key(random), key(random));
            words.extend([from, to, side(random), side(random), time(random)]);
        }
        "RPOPLPUSH" | "RENAME" => words.extend([key(random), key(random)]),
        "COPY" => words.extend([key(random), key(random), "REPLACE".into()]),
        "BRPOPLPUSH" => words.extend([key(random), key(random), time(random)]),
        "LMPOP" | "BLMPOP" => {
            if name == "BLMPOP" {
                words.push(time(random));
            }
            let keys = random.u8(1..4);
            let said = if random.u8(..10) == 0 { index(random) } else { keys.to_string() };
            words.push(said);
            words.extend((0..keys).map(|_| key(random)));
            words.push(side(random));
            options(random, &["COUNT", "count", "foo"], &mut words);
        }
        "BLPOP" | "BRPOP" => {
            words.extend((0..random.u8(1..4)).map(|_| key(random)));
            words.push(time(random));
        }
        _ => words.push(key(random)),
    }
    words
}

fn command(random: &mut fastrand::Rng) -> Vec<String> {
    match random.u8(..3) {
        0 => command_of_several_lists(random),
        _ => command_of_one_list(random),
    }
}

/// Redis 7.0 takes this rank for one that it cannot negate; later ones refuse it, as we do.
fn differs(words: &[String]) -> bool {
    words[0] == "LPOS" && words.iter().any(|word| word == "-9223372036854775808")
}

#[test]
fn answers_and_elements_are_those_of_redis() {
    let Some(mut server) = Server::start() else { return };
    for seed in seeds() {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut lane = Lane::default();
        server.run(&[b"FLUSHALL"]);
        // Chunks of a few elements make long lists of short ones.
        let size = ["-2", "-1", "8", "3", "128"][seed as usize % 5];
        server.run(&[b"CONFIG", b"SET", b"list-max-listpack-size", size.as_bytes()]);
        let mut limits = *lane.store.pack_limits();
        limits.list_max_listpack_size = size.parse().expect("a number");
        lane.store.set_pack_limits(limits);
        let set: [&[u8]; 3] = [b"SET", b"s", b"text"];
        assert_eq!(lane.run(&set), server.run(&set));
        for step in 0..2_500 {
            let words = command(&mut random);
            if differs(&words) {
                continue;
            }
            let args: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
            let (ours, theirs) = (show(&lane.run(&args)), show(&server.run(&args)));
            assert_eq!(ours, theirs, "seed {seed}, step {step}: {words:?}");
            for name in KEYS.into_iter().filter(|_| step % 5 == 0) {
                let all: [&[u8]; 4] = [b"LRANGE", name.as_bytes(), b"0", b"-1"];
                let (ours, theirs) = (lane.run(&all), server.run(&all));
                assert_eq!(ours, theirs, "seed {seed}, step {step}: {name} after {words:?}");
            }
        }
    }
}
