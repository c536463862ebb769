//! Sorted sets beside a real redis-server: random commands, the same answers and the same members
//! left, in sets that are packed and in large ones. Runs where `redis-server` (7.0 or later) is
//! installed. A failure prints the seed; `RINGLANE_SEED=…` runs that one again.

mod support;

use ringlane_command::{Access, table};
use support::redis::{Server, seeds};
use support::{Lane, show};

/// `l` holds members of one score only: ranges by members have a meaning there.
const KEYS: [&str; 6] = ["a", "b", "c", "l", "none", "text"];

fn pick<'a>(random: &mut fastrand::Rng, words: &[&'a str]) -> &'a str {
    words[random.usize(..words.len())]
}

fn key(random: &mut fastrand::Rng) -> String {
    match random.u8(..60) {
        0 => "text".into(),
        1..4 => "none".into(),
        _ => pick(random, &KEYS[..3]).into(),
    }
}

fn number(random: &mut fastrand::Rng) -> String {
    match random.u8(..40) {
        0 => {
            pick(random, &["x", "", "nan", "1 ", "0x", "1e", "1e400", "1e-400", "+-1", "."]).into()
        }
        1..4 => {
            pick(random, &["inf", "-inf", "+inf", "Infinity", "-0", "1e300", "-1e300", "5e-324"])
                .into()
        }
        4..10 => format!("{}", random.f64() * 100.0 - 50.0),
        10..14 => format!("{}e{}", random.i32(-99..99), random.i32(-20..20)),
        14..16 => pick(random, &["+1", "007", ".5", "5.", "1E2", "0e5", "9007199254740993"]).into(),
        _ => random.i8(-6..6).to_string(),
    }
}

fn bound(random: &mut fastrand::Rng) -> String {
    match random.u8(..30) {
        0 => pick(random, &["(", "(x", "((1", "1e999", "(nan"]).into(),
        1..6 => pick(random, &["-inf", "+inf", "(-inf", "(inf"]).into(),
        6..15 => format!("({}", number(random)),
        _ => number(random),
    }
}

fn lex_bound(random: &mut fastrand::Rng) -> String {
    match random.u8(..20) {
        0 => pick(random, &["", "x", "--", "+x", "1"]).into(),
        1..5 => pick(random, &["-", "+"]).into(),
        _ => format!("{}{}", pick(random, &["[", "("]), member(random)),
    }
}

fn member(random: &mut fastrand::Rng) -> String {
    match random.u8(..20) {
        0 => pick(random, &["", "a b", "-5", "007", "m\r\n\0"]).into(),
        1..8 => random.i16(-40..200).to_string(),
        _ => format!("m{}", random.u8(..120)),
    }
}

fn rank(random: &mut fastrand::Rng) -> String {
    match random.u8(..20) {
        0 => pick(random, &["x", "9223372036854775807", "-9223372036854775808"]).into(),
        _ => random.i16(-60..60).to_string(),
    }
}

fn maybe(random: &mut fastrand::Rng, words: &mut Vec<String>, option: &[&str], chance: u8) {
    if random.u8(..chance) == 0 {
        words.extend(option.iter().map(|word| (*word).to_owned()));
    }
}

fn limit(random: &mut fastrand::Rng, words: &mut Vec<String>) {
    if random.u8(..3) == 0 {
        words.push("limit".into());
        words.push(random.i8(-2..20).to_string());
        words.push(random.i8(-2..20).to_string());
    }
}

fn add(random: &mut fastrand::Rng) -> Vec<String> {
    let mut words = vec!["ZADD".into(), key(random)];
    for (option, chance) in [("NX", 8), ("xx", 8), ("GT", 8), ("lt", 8), ("CH", 4)] {
        maybe(random, &mut words, &[option], chance);
    }
    maybe(random, &mut words, &["INCR"], 8);
    let most = [1, 1, 3, 10][random.usize(..4)];
    for _ in 0..random.u8(1..=most) {
        words.push(number(random));
        words.push(member(random));
    }
    words
}

fn range(random: &mut fastrand::Rng) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let stores = random.u8(..4) == 0;
    words.push(if stores { "ZRANGESTORE".into() } else { "ZRANGE".into() });
    if stores {
        words.push(key(random));
    }
    match random.u8(..3) {
        0 => {
            words.extend([key(random), rank(random), rank(random)]);
            maybe(random, &mut words, &["limit", "0", "3"], 12);
        }
        1 => {
            words.extend([key(random), bound(random), bound(random), "BYSCORE".into()]);
            limit(random, &mut words);
        }
        _ => {
            words.extend(["l".into(), lex_bound(random), lex_bound(random), "bylex".into()]);
            limit(random, &mut words);
        }
    }
    maybe(random, &mut words, &["REV"], 2);
    maybe(random, &mut words, &["withscores"], 3);
    words
}

fn old_range(random: &mut fastrand::Rng) -> Vec<String> {
    let name = pick(
        random,
        &["ZREVRANGE", "ZRANGEBYSCORE", "ZREVRANGEBYSCORE", "ZRANGEBYLEX", "ZREVRANGEBYLEX"],
    );
    let mut words = vec![name.to_owned()];
    match name {
        "ZREVRANGE" => words.extend([key(random), rank(random), rank(random)]),
        "ZRANGEBYLEX" | "ZREVRANGEBYLEX" => {
            words.extend(["l".into(), lex_bound(random), lex_bound(random)]);
            limit(random, &mut words);
        }
        _ => {
            words.extend([key(random), bound(random), bound(random)]);
            limit(random, &mut words);
        }
    }
    maybe(random, &mut words, &["WITHSCORES"], 3);
    maybe(random, &mut words, &["REV"], 20);
    words
}

fn algebra(random: &mut fastrand::Rng) -> Vec<String> {
    let name = pick(
        random,
        &["ZUNION", "ZINTER", "ZDIFF", "ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE", "ZINTERCARD"],
    );
    let mut words = vec![name.to_owned()];
    if name.ends_with("STORE") {
        words.push(key(random));
    }
    let count = random.u8(1..=3);
    words.push(match random.u8(..30) {
        0 => pick(random, &["0", "-1", "x", "99"]).into(),
        _ => count.to_string(),
    });
    for _ in 0..count {
        let source = if random.u8(..5) == 0 { "s".into() } else { key(random) };
        words.push(source);
    }
    if random.u8(..3) == 0 {
        words.push("weights".into());
        words.extend((0..count).map(|_| number(random)));
    }
    if random.u8(..3) == 0 {
        words.push("AGGREGATE".into());
        words.push(pick(random, &["sum", "MIN", "max", "min", "none"]).into());
    }
    maybe(random, &mut words, &["WITHSCORES"], 3);
    let limit = random.i8(-1..4).to_string();
    maybe(random, &mut words, &["LIMIT", &limit], 4);
    words
}

fn take(random: &mut fastrand::Rng) -> Vec<String> {
    let counts = ["0", "1", "2", "7", "-1", "x"];
    match random.u8(..4) {
        0 => {
            let mut words = vec![pick(random, &["ZPOPMIN", "ZPOPMAX"]).to_owned(), key(random)];
            let count = pick(random, &counts);
            maybe(random, &mut words, &[count], 2);
            words
        }
        1 => {
            let name = pick(random, &["BZPOPMIN", "BZPOPMAX"]);
            vec![name.into(), key(random), key(random), pick(random, &["1", "x", "-1"]).into()]
        }
        which => {
            let mut words: Vec<String> =
                if which == 2 { vec!["ZMPOP".into()] } else { vec!["BZMPOP".into(), "1".into()] };
            words.push(pick(random, &["2", "2", "2", "1", "0", "x"]).into());
            words.extend([key(random), key(random)]);
            words.push(pick(random, &["min", "MAX", "none"]).into());
            let count = pick(random, &counts);
            maybe(random, &mut words, &["COUNT", count], 2);
            words
        }
    }
}

fn command(random: &mut fastrand::Rng) -> Vec<String> {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    match random.u8(..100) {
        0..40 => add(random),
        40..44 => {
            let mut words = owned(&["ZADD", "l"]);
            for _ in 0..random.u8(1..4) {
                words.extend(["0".into(), member(random)]);
            }
            words
        }
        44..48 => vec!["ZINCRBY".into(), key(random), number(random), member(random)],
        48..52 => vec!["ZREM".into(), key(random), member(random), member(random)],
        52..55 => vec!["ZSCORE".into(), key(random), member(random)],
        55..57 => vec!["ZMSCORE".into(), key(random), member(random), member(random)],
        57..60 => vec![pick(random, &["ZRANK", "ZREVRANK"]).into(), key(random), member(random)],
        60..63 => vec!["ZCOUNT".into(), key(random), bound(random), bound(random)],
        63..65 => vec!["ZLEXCOUNT".into(), "l".into(), lex_bound(random), lex_bound(random)],
        65..73 => range(random),
        73..81 => old_range(random),
        81..88 => algebra(random),
        88..93 => take(random),
        93 => vec!["ZREMRANGEBYRANK".into(), key(random), rank(random), rank(random)],
        94 => vec!["ZREMRANGEBYSCORE".into(), key(random), bound(random), bound(random)],
        95 => vec!["ZREMRANGEBYLEX".into(), "l".into(), lex_bound(random), lex_bound(random)],
        96 => vec!["ZCARD".into(), key(random)],
        97 => vec!["DEL".into(), pick(random, &KEYS[..3]).into()],
        98 => owned(&["SET", "text", "value"]),
        _ => vec![pick(random, &["ZADD", "ZRANGE", "ZUNION", "ZPOPMIN"]).into(), key(random)],
    }
}

/// Numbers by their value: Redis before 7.2 spells them with 17 digits; minus zero is zero here.
fn by_value(answer: &[u8]) -> String {
    let tell = |word: &str| {
        let text = word.trim_matches(['[', ']', '"']);
        let number: f64 = text.parse().ok()?;
        let quoted = format!("\"{text}\"");
        word.contains(&quoted).then(|| word.replace(&quoted, &format!("\"{}\"", number + 0.0)))
    };
    let text = show(answer);
    let words: Vec<_> =
        text.split(' ').map(|word| tell(word).unwrap_or_else(|| word.into())).collect();
    words.join(" ")
}

/// Runs the command at both, unless it would wait, and compares the answers and what is left.
fn compare(lane: &mut Lane, server: &mut Server, words: &[String], case: &str) {
    let args: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
    lane.may_block = true;
    let ours = by_value(&lane.run(&args));
    lane.may_block = false;
    if ours == "-ERR the command would wait" {
        return;
    }
    assert_eq!(ours, by_value(&server.run(&args)), "{case}: {words:?}");
    if table::lookup(args[0]).is_none_or(|spec| spec.access == Access::Read) {
        return;
    }
    for key in &KEYS[..4] {
        let all: [&[u8]; 5] = [b"ZRANGE", key.as_bytes(), b"0", b"-1", b"WITHSCORES"];
        let (ours, theirs) = (by_value(&lane.run(&all)), by_value(&server.run(&all)));
        assert_eq!(ours, theirs, "{case}: {key} after {words:?}");
    }
}

#[test]
fn sorted_sets_are_those_of_redis() {
    let Some(mut server) = Server::start() else { return };
    for seed in seeds() {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut lane = Lane::default();
        // Half of the runs have large sets nearly always.
        let packed = if seed % 2 == 0 { "128" } else { "8" };
        let set: [&[u8]; 4] = [b"CONFIG", b"SET", b"zset-max-listpack-entries", packed.as_bytes()];
        server.run(&set);
        let mut limits = *lane.store.pack_limits();
        limits.zset_max_listpack_entries = packed.parse().expect("a number");
        lane.store.set_pack_limits(limits);
        server.run(&[b"FLUSHALL"]);
        if table::lookup(b"SADD").is_some() {
            let add: [&[u8]; 6] = [b"SADD", b"s", b"m1", b"m2", b"5", b"6"];
            assert_eq!(lane.run(&add), server.run(&add));
        }
        for step in 0..3_000 {
            let words = command(&mut random);
            compare(&mut lane, &mut server, &words, &format!("seed {seed}, step {step}"));
        }
    }
}
