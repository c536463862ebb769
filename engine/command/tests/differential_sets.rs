//! Hashes and sets beside a real redis-server: random commands, the same answers and the same
//! contents left, packed and large. Runs where `redis-server` (7.0 or later) is installed. A failure
//! prints the seed; `RINGLANE_SEED=…` runs that one again.

mod support;

use ringlane_command::{Group, table};
use support::redis::{Server, seeds};
use support::{Lane, show, sorted};

/// Hashes, then sets, then what is neither.
const HASHES: [&str; 3] = ["h", "i", "{h}j"];
const SETS: [&str; 4] = ["s", "t", "{s}u", "v"];
const OTHERS: [&str; 2] = ["none", "text"];

/// Commands whose answers come in no order.
const UNORDERED: [&str; 7] = ["HGETALL", "HKEYS", "HVALS", "SMEMBERS", "SINTER", "SUNION", "SDIFF"];

fn pick<'a>(random: &mut fastrand::Rng, words: &[&'a str]) -> &'a str {
    words[random.usize(..words.len())]
}

/// A key of this family, or once in a while one of another.
fn key(random: &mut fastrand::Rng, family: &[&str]) -> String {
    match random.u8(..40) {
        0 => pick(random, &OTHERS).into(),
        1 => pick(random, &HASHES).into(),
        2 => pick(random, &SETS).into(),
        _ => pick(random, family).into(),
    }
}

fn element(random: &mut fastrand::Rng) -> String {
    match random.u8(..20) {
        0 => pick(random, &["", "a b", "-5", "007", "m\r\n\0", "9223372036854775808"]).into(),
        1..10 => random.i16(-60..700).to_string(),
        _ => format!("m{}", random.u8(..200)),
    }
}

fn number(random: &mut fastrand::Rng) -> String {
    match random.u8(..10) {
        0 => pick(
            random,
            &[
                "x",
                "",
                "1.5",
                "-1",
                "9223372036854775807",
                "-9223372036854775808",
                " 1",
                "1e3",
                "inf",
            ],
        )
        .into(),
        _ => random.i8(-20..40).to_string(),
    }
}

fn several(
    random: &mut fastrand::Rng,
    mut one: impl FnMut(&mut fastrand::Rng) -> String,
) -> Vec<String> {
    let most = [1, 3, 3, 40][random.usize(..4)];
    (0..random.usize(1..=most)).map(|_| one(random)).collect()
}

fn hash_command(random: &mut fastrand::Rng) -> Vec<String> {
    let name = pick(
        random,
        &[
            "HSET",
            "HSET",
            "HSET",
            "HMSET",
            "HSETNX",
            "HGET",
            "HMGET",
            "HGETALL",
            "HKEYS",
            "HVALS",
            "HLEN",
            "HSTRLEN",
            "HEXISTS",
            "HDEL",
            "HDEL",
            "HINCRBY",
            "HINCRBYFLOAT",
            "HRANDFIELD",
            "HSCAN",
        ],
    );
    let mut words = vec![name.to_owned(), key(random, &HASHES)];
    match name {
        "HSET" | "HMSET" => {
            for field in several(random, element) {
                words.push(field);
                words.push(if random.bool() { number(random) } else { element(random) });
            }
        }
        "HSETNX" => words.extend([element(random), element(random)]),
        "HGET" | "HSTRLEN" | "HEXISTS" => words.push(element(random)),
        "HMGET" | "HDEL" => words.extend(several(random, element)),
        "HINCRBY" | "HINCRBYFLOAT" => words.extend([element(random), number(random)]),
        // What is chosen by chance is compared only where there is no choice.
        "HRANDFIELD" => words.push(pick(random, &["0", "x", "1.5", "-9223372036854775808"]).into()),
        "HSCAN" => {
            words.push(pick(random, &["x", "-1 ", "1.5"]).into());
            words.push("COUNT".into());
        }
        _ => {}
    }
    words
}

fn set_command(random: &mut fastrand::Rng) -> Vec<String> {
    let name = pick(
        random,
        &[
            "SADD",
            "SADD",
            "SADD",
            "SADD",
            "SREM",
            "SCARD",
            "SISMEMBER",
            "SMISMEMBER",
            "SMEMBERS",
            "SMOVE",
            "SINTER",
            "SUNION",
            "SDIFF",
            "SINTERCARD",
            "SINTERSTORE",
            "SUNIONSTORE",
            "SDIFFSTORE",
            "SPOP",
            "SRANDMEMBER",
            "SSCAN",
        ],
    );
    let mut words = vec![name.to_owned()];
    let keys = |random: &mut fastrand::Rng| -> Vec<String> {
        (0..random.usize(1..4)).map(|_| key(random, &SETS)).collect()
    };
    match name {
        "SADD" | "SREM" | "SMISMEMBER" => {
            words.push(key(random, &SETS));
            words.extend(several(random, element));
        }
        "SISMEMBER" => words.extend([key(random, &SETS), element(random)]),
        "SMOVE" => words.extend([key(random, &SETS), key(random, &SETS), element(random)]),
        "SINTER" | "SUNION" | "SDIFF" => words.extend(keys(random)),
        "SINTERSTORE" | "SUNIONSTORE" | "SDIFFSTORE" => {
            words.push(key(random, &SETS));
            words.extend(keys(random));
        }
        "SINTERCARD" => {
            let keys = keys(random);
            words.push(match random.u8(..8) {
                0 => number(random),
                _ => keys.len().to_string(),
            });
            words.extend(keys);
            if random.bool() {
                words.push("limit".into());
                words.push(number(random));
            }
        }
        "SPOP" | "SRANDMEMBER" => {
            words.push(key(random, &SETS));
            words.push(pick(random, &["0", "x", "1.5", "-9223372036854775808"]).into());
        }
        "SSCAN" => words.extend([key(random, &SETS), "x".into(), "COUNT".into()]),
        _ => words.push(key(random, &SETS)),
    }
    words
}

/// Any words after a name of the two families.
fn nonsense(random: &mut fastrand::Rng) -> Vec<String> {
    // By chance, by another order, or not known to the server.
    let left_out = ["spop", "srandmember", "hrandfield", "hscan", "sscan"];
    let names: Vec<&str> = table::all()
        .iter()
        .filter(|spec| matches!(spec.group, Group::Hash | Group::Set) && spec.since < "7.2")
        .map(|spec| spec.name)
        .filter(|name| !left_out.contains(name))
        .collect();
    let mut words = vec![pick(random, &names).to_ascii_uppercase()];
    for _ in 0..random.usize(..5) {
        words.push(match random.u8(..4) {
            0 => key(random, &SETS),
            1 => key(random, &HASHES),
            2 => number(random),
            _ => element(random),
        });
    }
    words
}

fn comparable(name: &str, answer: &[u8]) -> String {
    let text = show(answer);
    if UNORDERED.contains(&name) { sorted(&text) } else { text }
}

#[test]
fn answers_are_those_of_redis() {
    let Some(mut server) = Server::start() else { return };
    let (mut large, mut packed) = (0, 0);
    for seed in seeds() {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut lane = Lane::default();
        server.run(&[b"FLUSHALL"]);
        let mut both = |lane: &mut Lane, words: &[String], case: &str| {
            let args: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
            let (ours, theirs) = (lane.run(&args), server.run(&args));
            let (ours, theirs) = (comparable(&words[0], &ours), comparable(&words[0], &theirs));
            assert_eq!(ours, theirs, "seed {seed}, {case}: {words:?}");
        };
        both(&mut lane, &["SET", "text", "x"].map(String::from), "at first");
        for step in 0..3_000 {
            let words = match random.u8(..12) {
                0..5 => hash_command(&mut random),
                5..10 => set_command(&mut random),
                10 => nonsense(&mut random),
                _ if random.u8(..40) > 0 => continue,
                // So that small ones come again.
                _ => vec![
                    "DEL".into(),
                    pick(&mut random, &HASHES).into(),
                    pick(&mut random, &SETS).into(),
                ],
            };
            both(&mut lane, &words, &format!("step {step}"));
            if step % 100 > 0 {
                continue;
            }
            for (name, keys) in [("HGETALL", &HASHES[..]), ("SMEMBERS", &SETS[..])] {
                for key in keys {
                    both(
                        &mut lane,
                        &[name.to_owned(), (*key).to_owned()],
                        &format!("after step {step}"),
                    );
                    let encoding = lane.say(&format!("OBJECT ENCODING {key}"));
                    large += usize::from(encoding == "\"hashtable\"");
                    packed += usize::from(encoding == "\"listpack\"" || encoding == "\"intset\"");
                }
            }
        }
    }
    assert!(large > 0 && packed > 0, "both forms: {large} large, {packed} packed");
}

/// All that a walk shows, from 0 to 0, with each of these options.
fn walk(
    run: &mut dyn FnMut(&[&[u8]]) -> Vec<u8>,
    name: &str,
    key: &str,
    pattern: &str,
) -> Vec<String> {
    let mut cursor = String::from("0");
    let mut seen = Vec::new();
    for _ in 0..10_000 {
        let args = [name, key, &cursor, "MATCH", pattern, "COUNT", "7"].map(str::as_bytes);
        let answer = show(&run(&args));
        let (next, found) = answer.split_once(" [").expect("two parts");
        let (next, found) = (next.trim_start_matches('['), found.trim_end_matches(']'));
        next.trim_matches('"').clone_into(&mut cursor);
        seen.extend(found.split(' ').filter(|word| !word.is_empty()).map(str::to_owned));
        if cursor == "0" {
            seen.sort_unstable();
            seen.dedup();
            return seen;
        }
    }
    panic!("the walk through {key} does not end");
}

#[test]
fn walks_show_what_redis_shows() {
    let Some(mut server) = Server::start() else { return };
    for seed in seeds() {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut lane = Lane::default();
        server.run(&[b"FLUSHALL"]);
        for count in [5, 90, 1500] {
            let (hash, set) = (format!("h{count}"), format!("s{count}"));
            for _ in 0..count {
                let (member, value) =
                    (format!("m{}", random.u16(..)), format!("v{}", random.u8(..)));
                for args in [&["HSET", &hash, &member, &value][..], &["SADD", &set, &member][..]] {
                    let args: Vec<&[u8]> = args.iter().map(|word| word.as_bytes()).collect();
                    assert_eq!(lane.run(&args), server.run(&args));
                }
            }
            for pattern in ["*", "m1*", "*[0-4]", "none"] {
                for (name, key) in [("HSCAN", &hash), ("SSCAN", &set)] {
                    let ours = walk(&mut |args| lane.run(args), name, key, pattern);
                    let theirs = walk(&mut |args| server.run(args), name, key, pattern);
                    assert_eq!(ours, theirs, "seed {seed}: {name} {key} MATCH {pattern}");
                }
            }
        }
    }
}
