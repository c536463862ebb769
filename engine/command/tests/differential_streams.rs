//! Streams beside a real redis-server: random commands with ids of their own, the same answers, and
//! the same streams left. Runs where `redis-server` (7.0 or later) is installed.
//! A failure prints the seed; `RINGLANE_SEED=…` runs that one again.

mod support;

use support::redis::{Server, seeds, wall_clock};
use support::{Lane, show};

fn pick<'a>(random: &mut fastrand::Rng, words: &[&'a str]) -> &'a str {
    words[random.usize(..words.len())]
}

fn key(random: &mut fastrand::Rng) -> String {
    pick(random, &["s", "s", "s", "t", "t", "none", "text"]).to_owned()
}

fn group(random: &mut fastrand::Rng) -> String {
    pick(random, &["g", "g", "g", "h", "h", "nosuch"]).to_owned()
}

fn consumer(random: &mut fastrand::Rng) -> String {
    pick(random, &["alice", "bob", "carol"]).to_owned()
}

fn id(random: &mut fastrand::Rng) -> String {
    match random.u8(..40) {
        0 => pick(random, &["x", "", "-", "+", "1-x", "x-1", "1-1-1", "$", ">", "*"]).into(),
        1 => "18446744073709551615-18446744073709551615".into(),
        2 => "18446744073709551616".into(),
        3 => pick(random, &["0", "0-0", "007", "0-1"]).into(),
        4..12 => random.u8(1..60).to_string(),
        _ => format!("{}-{}", random.u8(1..60), random.u8(..4)),
    }
}

fn end(random: &mut fastrand::Rng) -> String {
    match random.u8(..8) {
        0..2 => "-".into(),
        2..4 => "+".into(),
        4 => format!("({}", id(random)),
        _ => id(random),
    }
}

fn count(random: &mut fastrand::Rng) -> String {
    match random.u8(..20) {
        0 => pick(random, &["x", "-1", "", "9223372036854775808"]).into(),
        _ => random.u8(..12).to_string(),
    }
}

fn trim_options(random: &mut fastrand::Rng, words: &mut Vec<String>) {
    for _ in 0..[0, 1, 1, 1, 2][random.usize(..5)] {
        let by_length = random.bool();
        words.push(if by_length { "MAXLEN" } else { "minid" }.into());
        let mark = random.u8(..4);
        if mark < 2 {
            words.push(["~", "="][usize::from(mark)].into());
        }
        words.push(match random.u8(..20) {
            0 => "-1".into(),
            _ if by_length => random.u8(..30).to_string(),
            _ => id(random),
        });
        if random.u8(..4) == 0 {
            words.push("LIMIT".into());
            words.push(pick(random, &["0", "5", "10", "-1", "x"]).into());
        }
    }
}

fn add(random: &mut fastrand::Rng, top: &mut u64) -> Vec<String> {
    let mut words = vec!["XADD".into(), key(random)];
    if random.u8(..10) == 0 {
        words.push("NOMKSTREAM".into());
    }
    if random.u8(..6) == 0 {
        trim_options(random, &mut words);
    }
    words.push(match random.u8(..12) {
        0 => id(random),
        1 => format!("{}-*", random.u8(..60)),
        2 => "x-*".into(),
        _ => {
            *top += random.u64(..2);
            format!("{}-*", *top / 8)
        }
    });
    let fields = [0, 1, 1, 1, 2, 2, 2, 3][random.usize(..8)];
    for _ in 0..fields {
        words.push(pick(random, &["name", "7", "", "field"]).into());
        words.push(match random.u8(..3) {
            0 => random.i32(..).to_string(),
            1 => "value".into(),
            _ => "v".repeat(random.usize(..30)),
        });
    }
    if random.u8(..60) == 0 {
        words.push("odd".into());
    }
    words
}

fn read(random: &mut fastrand::Rng) -> Vec<String> {
    let of_group = random.u8(..3) > 0;
    let mut words: Vec<String> =
        if of_group { vec!["XREADGROUP".into()] } else { vec!["XREAD".into()] };
    if of_group && random.u8(..30) > 0 || random.u8(..30) == 0 {
        words.extend(["GROUP".into(), group(random), consumer(random)]);
    }
    if random.bool() {
        words.extend(["COUNT".into(), count(random)]);
    }
    if random.u8(..6) == 0 && of_group || random.u8(..40) == 0 {
        words.push("NOACK".into());
    }
    if random.u8(..30) == 0 {
        words.extend(["BLOCK".into(), pick(random, &["x", "-1", "1.5"]).into()]);
    }
    if random.u8(..40) > 0 {
        words.push("STREAMS".into());
    }
    let mut keys = vec![key(random)];
    if random.u8(..4) == 0 {
        keys.extend(["s".into(), "t".into()]);
        keys.remove(0);
    }
    let ids = keys.len() - usize::from(random.u8(..40) == 0);
    words.extend(keys);
    for _ in 0..ids {
        words.push(match random.u8(..10) {
            0..5 if of_group => ">".into(),
            5..7 => "0".into(),
            7 => pick(random, &["$", ">", "0-0"]).into(),
            _ => id(random),
        });
    }
    words
}

fn claim(random: &mut fastrand::Rng) -> Vec<String> {
    let mut words = vec!["XCLAIM".into(), key(random), group(random), consumer(random)];
    words.push(pick(random, &["0", "0", "50000", "1000000", "x", "-1"]).into());
    words.extend((0..random.u8(1..5)).map(|_| id(random)));
    for _ in 0..random.u8(..3) {
        let option = pick(
            random,
            &["IDLE", "TIME", "RETRYCOUNT", "FORCE", "FORCE", "JUSTID", "LASTID", "NO"],
        );
        words.push(option.into());
        match option {
            "IDLE" => words.push(pick(random, &["100000", "0", "x"]).into()),
            "TIME" => words.push(pick(random, &["1000", "x"]).into()),
            "RETRYCOUNT" => words.push(pick(random, &["0", "7", "-1", "x"]).into()),
            "LASTID" => words.push(id(random)),
            _ => {}
        }
    }
    words
}

fn pending(random: &mut fastrand::Rng) -> Vec<String> {
    let mut words = vec!["XPENDING".into(), key(random), group(random)];
    if random.bool() {
        if random.u8(..3) == 0 {
            words.extend(["IDLE".into(), pick(random, &["50000", "0", "x"]).into()]);
        }
        words.extend([end(random), end(random), count(random)]);
        if random.bool() {
            words.push(consumer(random));
        }
    }
    words
}

fn manage(random: &mut fastrand::Rng) -> Vec<String> {
    let action = pick(
        random,
        &["CREATE", "CREATE", "CREATE", "SETID", "DESTROY", "CREATECONSUMER", "DELCONSUMER"],
    );
    let mut words = vec!["XGROUP".into(), action.into(), key(random), group(random)];
    match action {
        "CREATE" | "SETID" => {
            words.push(pick(random, &["$", "0", "5-1", "x"]).into());
            for _ in 0..random.u8(..2) {
                words.push(pick(random, &["MKSTREAM", "ENTRIESREAD", "NO"]).into());
                if words.last().is_some_and(|word| word == "ENTRIESREAD") {
                    words.push(pick(random, &["3", "-1", "-2", "x"]).into());
                }
            }
        }
        "DESTROY" => {}
        _ => words.push(consumer(random)),
    }
    words
}

fn command(random: &mut fastrand::Rng, top: &mut u64) -> Vec<String> {
    match random.u8(..40) {
        0 => vec!["DEL".into(), pick(random, &["s", "t", "none"]).into()],
        1 => vec!["XLEN".into(), key(random)],
        2..5 => {
            let mut words = vec!["XDEL".into(), key(random)];
            words.extend((0..random.u8(1..4)).map(|_| id(random)));
            words
        }
        5 => {
            let mut words = vec!["XTRIM".into(), key(random)];
            trim_options(random, &mut words);
            words
        }
        6..9 => {
            let name = pick(random, &["XRANGE", "XREVRANGE"]);
            let mut words = vec![name.into(), key(random), end(random), end(random)];
            if random.bool() {
                words.extend(["COUNT".into(), count(random)]);
            }
            words
        }
        9..15 => read(random),
        15..18 => manage(random),
        18 => {
            let mut words = vec!["XACK".into(), key(random), group(random)];
            words.extend((0..random.u8(1..6)).map(|_| id(random)));
            words
        }
        19..21 => pending(random),
        21..23 => claim(random),
        23 => {
            let idle = pick(random, &["0", "0", "50000", "x"]).to_owned();
            let mut words = vec!["XAUTOCLAIM".into(), key(random), group(random), consumer(random)];
            words.extend([idle, end(random)]);
            if random.bool() {
                words.extend(["COUNT".into(), count(random)]);
            }
            if random.bool() {
                words.push("JUSTID".into());
            }
            words
        }
        24 => {
            let mut words = vec!["XSETID".into(), key(random), id(random)];
            if random.bool() {
                words.extend(["ENTRIESADDED".into(), count(random)]);
            }
            if random.bool() {
                words.extend(["MAXDELETEDID".into(), id(random)]);
            }
            words
        }
        25 => vec!["XINFO".into(), "GROUPS".into(), key(random)],
        26 => vec!["XINFO".into(), "CONSUMERS".into(), key(random), group(random)],
        27 => vec!["XINFO".into(), "STREAM".into(), key(random)],
        _ => add(random, top),
    }
}

/// Numbers after these words are of another kind, or of a time.
const NOT_COMPARED: [&str; 4] = ["\"radix-tree-nodes\"", "\"idle\"", "\"seen-time\"", "\"ms\""];
/// These words and what follows them are of newer versions.
const NEWER: [&str; 2] = ["\"inactive\"", "\"active-time\""];

/// The answer without what depends on the clock or the version.
fn comparable(answer: &[u8]) -> String {
    let text = show(answer);
    let tokens: Vec<&str> = text.split(' ').collect();
    let mut kept: Vec<String> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let token = tokens[at];
        let name = token.trim_start_matches('[');
        if NEWER.contains(&name) {
            // What closes with it closes what stands before.
            let close = tokens[at + 1].trim_start_matches(|letter| letter != ']');
            kept.last_mut().expect("never first").push_str(close);
            at += 2;
            continue;
        }
        // From 7.4 on nothing that was trimmed is ahead of a group.
        if at > 0 && tokens[at - 1] == "\"lag\"" {
            let lag = token.trim_end_matches(']');
            kept.push(token.replace(lag, "lag"));
            at += 1;
            continue;
        }
        let number = token.strip_prefix(':').map(|rest| rest.trim_end_matches(']'));
        let timed = at > 0 && NOT_COMPARED.contains(&tokens[at - 1]);
        // Id, consumer, time, deliveries.
        let before_a_number = tokens.get(at + 1).is_some_and(|next| next.starts_with(':'));
        match number {
            Some(number) if timed || before_a_number => kept.push(token.replace(number, "time")),
            Some(_) | None => kept.push(token.to_owned()),
        }
        at += 1;
    }
    kept.join(" ")
}

/// A refusal whose text is that of a newer version.
fn reworded(ours: &str, theirs: &str) -> bool {
    [("-ERR Unbalanced 'xread", "-ERR Unbalanced XREAD")]
        .iter()
        .any(|(new, old)| ours.starts_with(new) && theirs.starts_with(old))
}

/// From 7.2 on a command in the name of a consumer makes it, whether it got something or not.
fn make_consumers(server: &mut Server, words: &[String]) {
    let (group, consumer, keys) = match &words[0][..] {
        "XCLAIM" | "XAUTOCLAIM" => (&words[2], &words[3], &words[1..2]),
        "XREADGROUP" => {
            let at = |word: &str| words.iter().position(|it| it == word).expect("no error");
            let (group, first) = (at("GROUP"), at("STREAMS") + 1);
            let keys = &words[first..first + (words.len() - first) / 2];
            (&words[group + 1], &words[group + 2], keys)
        }
        _ => return,
    };
    for key in keys {
        server.run(&[
            b"XGROUP",
            b"CREATECONSUMER",
            key.as_bytes(),
            group.as_bytes(),
            consumer.as_bytes(),
        ]);
    }
}

#[test]
fn streams_are_those_of_redis() {
    let Some(mut server) = Server::start() else { return };
    for seed in seeds() {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut lane = Lane::default();
        let mut top = 40;
        server.run(&[b"FLUSHALL"]);
        for command in [
            &[&b"SET"[..], b"text", b"text"][..],
            &[b"CONFIG", b"SET", b"stream-node-max-entries", b"10"],
        ] {
            server.run(command);
        }
        lane.say("SET text text");
        let limits =
            ringlane_store::PackLimits { stream_node_max_entries: 10, ..Default::default() };
        lane.store.set_pack_limits(limits);
        for step in 0..1_500 {
            let words = command(&mut random, &mut top);
            // From 7.4 on it is the last entry.
            if words[0].starts_with("XREAD") && words.iter().any(|word| word == "+") {
                continue;
            }
            // Refused from 7.2 on where the last id would lie below one that was deleted.
            if words[0] == "XSETID" && lane.say(&words.join(" ")).contains("current max_deleted") {
                continue;
            }
            let args: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
            lane.store.begin_turn(wall_clock());
            let (ours, theirs) = (lane.run(&args), server.run(&args));
            let case = format!("seed {seed}, step {step}: {words:?}");
            let (ours, theirs) = (comparable(&ours), comparable(&theirs));
            assert!(ours == theirs || reworded(&ours, &theirs), "{case}: {ours} but {theirs}");
            if !ours.starts_with('-') {
                make_consumers(&mut server, &words);
            }
            let key = [&b"s"[..], b"t"][step % 2];
            let look: [&[u8]; 6] = [b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"];
            let (ours, theirs) = (lane.run(&look), server.run(&look));
            assert_eq!(comparable(&ours), comparable(&theirs), "{case}");
        }
    }
}
