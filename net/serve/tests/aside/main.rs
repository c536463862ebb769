//! Commands that go through much: run aside, while the lane serves other slots, and answered as if
//! they had not been.

#[path = "../support/mod.rs"]
mod support;

mod long;
mod million;

use support::{Client, Running, encode};

const LANES: [usize; 2] = [1, 2];
/// More elements than `aside-elements` lets a command go through on its lane.
const ELEMENTS: usize = 3000;

fn info(client: &mut Client, field: &str) -> usize {
    let text = client.say("INFO everything");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.expect("the field is there").parse().expect("a number")
}

fn aside(client: &mut Client) -> usize {
    info(client, "commands_run_aside")
}

/// `name key` and so many arguments.
fn many(head: &[&str], count: usize, arguments: impl Fn(usize) -> Vec<String>) -> Vec<String> {
    head.iter().map(|word| (*word).to_owned()).chain((0..count).flat_map(arguments)).collect()
}

fn member(number: usize) -> String {
    format!("m{number}")
}

/// Large values of each type in the slot of `{k}`, made by commands that themselves run aside.
fn fill(client: &mut Client) {
    let (count, number) = (ELEMENTS, format!(":{ELEMENTS}\r\n"));
    let one = |number: usize| vec![member(number)];
    assert_eq!(client.call(&many(&["SADD", "{k}set"], count, one)), number);
    assert_eq!(client.call(&many(&["SADD", "{k}set2"], count, |n| one(n + count / 2))), number);
    assert_eq!(client.call(&many(&["RPUSH", "{k}list"], count, one)), number);
    let pair = |n: usize| vec![member(n), n.to_string()];
    assert_eq!(client.call(&many(&["HSET", "{k}hash"], count, pair)), number);
    let scored = |n: usize| vec![n.to_string(), member(n)];
    assert_eq!(client.call(&many(&["ZADD", "{k}sorted"], count, scored)), number);
    assert_eq!(
        client.call(&many(&["ZADD", "{k}sorted2"], count, |n| scored(n + count / 2))),
        number
    );
    let place = |n: usize| vec![format!("{:.4}", n as f64 / 1e4), "0.5".to_owned(), member(n)];
    assert_eq!(client.call(&many(&["GEOADD", "{k}geo"], count, place)), number);
    let mut entries = Vec::new();
    for id in 1..=count {
        entries.extend(encode(&["XADD", "{k}stream", &format!("{id}-1"), "f", "v"]));
    }
    client.send(&entries);
    for id in 1..=count {
        assert_eq!(client.reply(), format!("${}\r\n{id}-1\r\n", id.to_string().len() + 2));
    }
    assert_eq!(client.say("XGROUP CREATE {k}stream group 0"), "+OK\r\n");
    let long = "x".repeat(4 << 20);
    for (name, text) in [("{k}text", &long[..]), ("{k}text2", &long), ("{k}line", &long[..8192])] {
        assert_eq!(client.call(&["SET", name, text]), "+OK\r\n");
    }
}

/// Commands with the number of elements that each answers, on values as they were made or as those
/// before it have left them. What commands leave behind is the matter of the comparison with Redis.
fn answered_by_arrays() -> Vec<(&'static str, usize)> {
    let (all, half) = (ELEMENTS, ELEMENTS / 2);
    let both = all + half;
    vec![
        ("SMEMBERS {k}set", all),
        ("HKEYS {k}hash", all),
        ("HVALS {k}hash", all),
        ("HGETALL {k}hash", 2 * all),
        ("LRANGE {k}list 0 -1", all),
        ("LRANGE {k}list 100 2899", 2800),
        ("SUNION {k}set {k}set2", both),
        ("SINTER {k}set {k}set2", half),
        ("SDIFF {k}set {k}set2", half),
        ("SRANDMEMBER {k}set 3000", all),
        ("SRANDMEMBER {k}set -3000", all),
        ("HRANDFIELD {k}hash 3000", all),
        ("HRANDFIELD {k}hash -3000 WITHVALUES", 2 * all),
        ("ZRANDMEMBER {k}sorted 3000", all),
        ("ZRANGE {k}sorted 0 -1", all),
        ("ZRANGE {k}sorted 0 -1 WITHSCORES", 2 * all),
        ("ZREVRANGE {k}sorted 0 -1", all),
        ("ZRANGEBYSCORE {k}sorted -inf +inf", all),
        ("ZREVRANGEBYSCORE {k}sorted +inf -inf", all),
        ("ZRANGEBYLEX {k}sorted - +", all),
        ("ZUNION 2 {k}sorted {k}sorted2", both),
        ("ZINTER 2 {k}sorted {k}sorted2", half),
        ("ZDIFF 2 {k}sorted {k}sorted2", half),
        ("SORT {k}set ALPHA", all),
        ("SORT_RO {k}list ALPHA DESC", all),
        ("SORT {k}list BY {k}w_* GET # GET {k}o_*->f", 2 * all),
        ("SORT_RO {k}set BY w_* ALPHA", all),
        ("GEOSEARCH {k}geo FROMLONLAT 0.15 0.5 BYRADIUS 500 km", all),
        ("XRANGE {k}stream - +", all),
        ("XREVRANGE {k}stream + -", all),
        ("XREAD STREAMS {k}stream 0", 1),
        ("XREADGROUP GROUP group me STREAMS {k}stream >", 1),
        ("XPENDING {k}stream group - + 3000", all),
        ("XAUTOCLAIM {k}stream group you 0 - COUNT 3000", 3),
        ("XREADGROUP GROUP group you STREAMS {k}stream 0", 1),
        ("XINFO STREAM {k}stream FULL COUNT 0", 18),
        ("SSCAN {k}set 0 COUNT 100000", 2),
        ("HSCAN {k}hash 0 COUNT 100000", 2),
        ("ZSCAN {k}sorted 0 COUNT 100000", 2),
        ("SPOP {k}set 2000", 2000),
        ("LPOP {k}list 2000", 2000),
        ("LMPOP 1 {k}list RIGHT COUNT 2000", 2),
        ("ZPOPMIN {k}sorted 1000", 2000),
        ("ZMPOP 1 {k}sorted MAX COUNT 1000", 2),
        ("BLMPOP 0 1 {k}list LEFT COUNT 2000", 2),
        ("BZMPOP 0 1 {k}sorted MIN COUNT 1000", 2),
    ]
}

/// The same with the number that each answers.
fn answered_by_numbers() -> Vec<(&'static str, usize)> {
    let (all, half) = (ELEMENTS, ELEMENTS / 2);
    let both = all + half;
    vec![
        ("SUNIONSTORE {k}to {k}set {k}set2", both),
        ("SINTERSTORE {k}to {k}set {k}set2", half),
        ("SDIFFSTORE {k}to {k}set {k}set2", half),
        ("SINTERCARD 2 {k}set {k}set2", half),
        ("ZUNIONSTORE {k}to 2 {k}sorted {k}sorted2", both),
        // Of the sources one is a plain set.
        ("ZUNIONSTORE {k}to 2 {k}sorted {k}set2", both),
        ("ZINTERSTORE {k}to 2 {k}sorted {k}sorted2", half),
        ("ZDIFFSTORE {k}to 2 {k}sorted {k}sorted2", half),
        ("ZINTERCARD 2 {k}sorted {k}sorted2", half),
        ("ZRANGESTORE {k}to {k}sorted 0 -1", all),
        ("COPY {k}set {k}to REPLACE", 1),
        ("COPY {k}hash {k}to REPLACE", 1),
        ("COPY {k}sorted {k}to REPLACE", 1),
        ("COPY {k}list {k}to REPLACE", 1),
        ("COPY {k}stream {k}to REPLACE", 1),
        ("COPY {k}text {k}to REPLACE", 1),
        ("ZREMRANGEBYRANK {k}sorted 0 1999", 2000),
        ("ZREMRANGEBYSCORE {k}sorted 0 1999", 2000),
        ("GEOSEARCHSTORE {k}to {k}geo FROMLONLAT 0.15 0.5 BYRADIUS 500 km", all),
        ("GEORADIUS {k}geo 0.15 0.5 500 km STORE {k}to", all),
        ("SORT {k}set ALPHA STORE {k}to", all),
        ("SORT {k}set BY w_* GET o_*->f STORE {k}to", all),
        ("SORT {k}list BY nosort GET w_* STORE {k}to", all),
        ("LREM {k}list 0 m7", 1),
        ("BITCOUNT {k}text", 4 * (4 << 20)),
        ("BITPOS {k}text 1 2 -1", 17),
        ("BITOP AND {k}to {k}text {k}text2", 4 << 20),
        ("LCS {k}line {k}line LEN", 8192),
        ("XTRIM {k}stream MAXLEN 0 DELREF", all),
    ]
}

/// Commands before which all values are made anew, since those before them have taken much away.
const FROM_THE_START: [&str; 7] =
    ["SPOP", "LMPOP", "ZPOPMIN", "BLMPOP", "BZMPOP", "SUNIONSTORE", "ZREMRANGEBYSCORE"];

/// The first line of the reply of each.
fn commands() -> Vec<(String, String)> {
    let arrays = answered_by_arrays().into_iter().map(|(command, count)| (command, '*', count));
    let numbers = answered_by_numbers().into_iter().map(|(command, count)| (command, ':', count));
    let all = arrays.chain(numbers);
    all.map(|(command, kind, count)| (command.to_owned(), format!("{kind}{count}"))).collect()
}

#[test]
fn what_goes_through_much_runs_aside_and_is_answered_right() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        for resp in ["2", "3"] {
            let mut client = server.client();
            client.say("FLUSHALL");
            client.say(&format!("HELLO {resp}"));
            let mut before = aside(&mut client);
            fill(&mut client);
            let now = aside(&mut client);
            assert!(now >= before + 7, "{lanes} lanes: arguments are many too");
            before = now;
            for (command, expected) in commands() {
                if FROM_THE_START.iter().any(|name| command.starts_with(name)) {
                    client.say("FLUSHALL");
                    fill(&mut client);
                    before = aside(&mut client);
                }
                let reply = client.say(&command);
                let first = reply.lines().next().expect("a reply");
                if resp == "2" || first.starts_with(':') {
                    assert_eq!(first, expected, "{lanes} lanes: {command}");
                } else {
                    assert!(!first.starts_with('-'), "{lanes} lanes: {command}: {first}");
                }
                let now = aside(&mut client);
                assert_eq!(now, before + 1, "{lanes} lanes: {command} ran aside");
                before = now;
            }
        }
    }
}

/// Little of much is answered at once.
#[test]
fn what_goes_through_little_of_much_stays_on_its_lane() {
    let server = Running::with(1, &[]);
    let mut client = server.client();
    fill(&mut client);
    let before = aside(&mut client);
    for command in [
        "LRANGE {k}list 0 9",
        "LRANGE {k}list -10 -1",
        "ZRANGE {k}sorted 0 9 WITHSCORES",
        "ZRANGEBYSCORE {k}sorted 5 9",
        "ZREMRANGEBYRANK {k}sorted 0 9",
        "ZPOPMIN {k}sorted 10",
        "SPOP {k}set 10",
        "SRANDMEMBER {k}set 10",
        "HRANDFIELD {k}hash 10",
        "XRANGE {k}stream - + COUNT 10",
        "XRANGE {k}stream 5 9",
        "XREAD COUNT 10 STREAMS {k}stream 0",
        "XADD {k}stream MAXLEN 2995 * f v",
        "SSCAN {k}set 0",
        "SORT {k}list BY nosort GET w_* LIMIT 0 9",
        "LPOP {k}list 10",
        "HGET {k}hash m1",
        "SINTER {k}set {k}none",
        "BITCOUNT {k}text 0 100",
        "GEOSEARCH {k}geo FROMMEMBER m0 BYRADIUS 100 m",
    ] {
        let reply = client.say(command);
        assert!(!reply.starts_with('-'), "{command}: {reply}");
        assert_eq!(aside(&mut client), before, "{command}");
    }
}

#[test]
fn a_value_comes_back_as_it_was_dumped() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        fill(&mut client);
        for name in ["set", "list", "hash", "sorted", "geo", "stream", "text"] {
            let before = aside(&mut client);
            client.send_command(&["DUMP", &format!("{{k}}{name}")]);
            let reply = client.reply_bytes();
            let start = reply.iter().position(|byte| *byte == b'\n').expect("a length") + 1;
            let payload = &reply[start..reply.len() - 2];
            let restore = [&b"RESTORE"[..], b"{k}back", b"0", payload, b"REPLACE"];
            assert_eq!(client.call(&restore), "+OK\r\n", "{name}");
            assert_eq!(aside(&mut client), before + 2, "{lanes} lanes: {name}");
            client.send_command(&["DUMP", "{k}back"]);
            let again = client.reply_bytes();
            // Tables have no order of their own.
            assert_eq!(again.len(), reply.len(), "{name}");
        }
    }
}

/// A pipeline is answered in its order, and has its effects in it, whatever runs aside.
#[test]
fn a_pipeline_keeps_its_order() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        fill(&mut client);
        for door in 0..=lanes {
            let mut client = if door == lanes { server.client() } else { server.lane_client(door) };
            if client.say("STRLEN {k}text").starts_with("-MOVED") {
                continue;
            }
            let mut bytes = Vec::new();
            for command in [
                &["SET", "{k}a", "1"][..],
                &["SUNIONSTORE", "{k}to", "{k}set", "{k}set2"],
                &["SCARD", "{k}to"],
                &["INCR", "{k}a"],
                &["ZUNIONSTORE", "{k}to", "1", "{k}sorted"],
                &["CLIENT", "REPLY", "SKIP"],
                &["SMEMBERS", "{k}set"],
                &["ZCARD", "{k}to"],
                &["MULTI"],
                &["INCR", "{k}a"],
                &["SINTERSTORE", "{k}to", "{k}set", "{k}set2"],
                &["INCR", "{k}a"],
                &["EXEC"],
                &["SCARD", "{k}to"],
                &["PING"],
            ] {
                bytes.extend(encode(command));
            }
            client.send(&bytes);
            let (both, all, half) = (ELEMENTS * 3 / 2, ELEMENTS, ELEMENTS / 2);
            let mut expected = vec![
                "+OK\r\n".to_owned(),
                format!(":{both}\r\n"),
                format!(":{both}\r\n"),
                ":2\r\n".to_owned(),
                format!(":{all}\r\n"),
                format!(":{all}\r\n"),
                "+OK\r\n".to_owned(),
            ];
            expected.extend((0..3).map(|_| "+QUEUED\r\n".to_owned()));
            expected.push(format!("*3\r\n:3\r\n:{half}\r\n:4\r\n"));
            expected.push(format!(":{half}\r\n"));
            expected.push("+PONG\r\n".to_owned());
            for line in expected {
                assert_eq!(client.reply(), line, "{lanes} lanes, door {door}");
            }
        }
    }
}

/// A client that asks for other slots is answered while a command runs aside; who asks for the same slot
/// sees all of what it does or nothing.
#[test]
fn other_slots_are_served_and_the_same_slot_waits() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        let mut other = server.client();
        let mut third = server.client();
        fill(&mut client);
        let before = aside(&mut client);
        assert_eq!(other.say("SET elsewhere 1"), "+OK\r\n");
        client.send_command(&["SUNIONSTORE", "{k}to", "{k}set", "{k}set2"]);
        third.send_command(&["SCARD", "{k}to"]);
        while aside(&mut other) == before {
            assert_eq!(other.say("SET elsewhere 1"), "+OK\r\n");
        }
        assert_eq!(other.say("INCR elsewhere"), ":2\r\n");
        assert_eq!(client.reply(), format!(":{}\r\n", ELEMENTS * 3 / 2));
        let seen = third.reply();
        assert!(
            [":0\r\n".to_owned(), format!(":{}\r\n", ELEMENTS * 3 / 2)].contains(&seen),
            "all or nothing: {seen}"
        );
    }
}

/// A transaction whose first key is free and whose second is away waits for the second.
#[test]
fn a_transaction_waits_for_every_key_of_its_commands() {
    let server = Running::with(1, &[]);
    let mut client = server.client();
    let mut other = server.client();
    for _ in 0..20 {
        client.say("FLUSHALL");
        fill(&mut client);
        client.send_command(&["SPOP", "{k}set", "1500"]);
        let mut bytes = Vec::new();
        for command in [&["MULTI"][..], &["SUNION", "none", "{k}set"], &["EXEC"]] {
            bytes.extend(encode(command));
        }
        other.send(&bytes);
        for expected in ["+OK\r\n", "+QUEUED\r\n"] {
            assert_eq!(other.reply(), expected);
        }
        let seen = other.reply();
        let lines: Vec<&str> = seen.lines().take(2).collect();
        assert!([["*1", "*1500"], ["*1", "*3000"]].contains(&[lines[0], lines[1]]), "{lines:?}");
        assert!(client.reply().starts_with("*1500\r\n"));
    }
}

#[test]
fn a_transaction_with_much_in_it_is_one() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        let mut other = server.client();
        fill(&mut client);
        for round in 0..20 {
            let mut bytes = Vec::new();
            for command in [
                &["MULTI"][..],
                &["INCR", "{k}a"],
                &["SUNIONSTORE", "{k}to", "{k}set", "{k}set2"],
                &["SMEMBERS", "{k}to"],
                &["INCR", "b"],
                &["PUBLISH", "channel", "word"],
                &["LRANGE", "{k}list", "0", "-1"],
                &["INCR", "{k}a"],
                &["EXEC"],
            ] {
                bytes.extend(encode(command));
            }
            client.send(&bytes);
            // Never between the two.
            for _ in 0..10 {
                let seen = other.say("GET {k}a");
                let number = seen.lines().nth(1).map_or(0, |text| text.parse().expect("a number"));
                assert_eq!(number % 2, 0, "{lanes} lanes, round {round}: {seen}");
            }
            for _ in 0..8 {
                client.reply();
            }
            let reply = client.reply();
            let lines: Vec<&str> = reply.lines().collect();
            assert_eq!(lines[..2], ["*7", &format!(":{}", 2 * round + 1)], "{lanes} lanes");
            assert_eq!(*lines.last().expect("a line"), format!(":{}", 2 * round + 2));
            assert_eq!(lines.iter().filter(|line| **line == "m7").count(), 2);
        }
    }
}

/// As many cheap commands as hold a lane for long: in slices, one transaction all the same.
#[test]
fn a_transaction_of_very_many_commands_runs_in_slices() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        for keys in [&["a"][..], &["b"], &["a", "b", "c", "d"]] {
            let mut client = server.client();
            let mut other = server.client();
            client.say("FLUSHALL");
            let before = info(&mut other, "transaction_slices");
            let mut bytes = encode(&["MULTI"]);
            for number in 0..20_000 {
                bytes.extend(encode(&["INCR", keys[number % keys.len()]]));
            }
            bytes.extend(encode(&["EXEC"]));
            let writer = {
                let mut stream = client.stream.try_clone().expect("a descriptor");
                std::thread::spawn(move || std::io::Write::write_all(&mut stream, &bytes))
            };
            let each = 20_000 / keys.len();
            loop {
                let seen = other.say(&format!("GET {}", keys[0]));
                if seen == format!("${}\r\n{each}\r\n", each.to_string().len()) {
                    break;
                }
                assert_eq!(seen, "$-1\r\n", "{lanes} lanes, {keys:?}: all or nothing");
            }
            for _ in 0..=20_000 {
                client.reply();
            }
            let reply = client.reply();
            assert!(reply.starts_with("*20000\r\n:1\r\n"), "{lanes} lanes, {keys:?}");
            assert!(reply.ends_with(&format!(":{each}\r\n")), "{lanes} lanes, {keys:?}");
            writer.join().expect("no panic").expect("the server reads");
            assert!(info(&mut other, "transaction_slices") > before, "{lanes} lanes, {keys:?}");
        }
    }
}

#[test]
fn those_who_wait_watch_track_or_listen_hear_of_what_ran_aside() {
    for lanes in LANES {
        let server = Running::with(lanes, &[("notify-keyspace-events", "KEA")]);
        let mut client = server.client();
        fill(&mut client);
        let mut listener = server.client();
        listener.say("SUBSCRIBE __keyspace@0__:{k}to");
        let mut waiting = server.client();
        waiting.send_command(&["BLPOP", "{k}sorted-out", "0"]);
        while info(&mut client, "blocked_clients") != 1 {}
        let mut watching = server.client();
        watching.say("WATCH {k}to");
        let mut untouched = server.client();
        untouched.say("WATCH {k}set");
        let mut tracking = server.client();
        tracking.say("HELLO 3");
        tracking.say("CLIENT TRACKING ON");
        tracking.say("SMEMBERS {k}to");
        tracking.say("SMEMBERS {k}set");

        let number = format!(":{}\r\n", ELEMENTS * 3 / 2);
        assert_eq!(client.say("SUNIONSTORE {k}to {k}set {k}set2"), number);
        assert_eq!(listener.reply(), support_message("__keyspace@0__:{k}to", "sunionstore"));
        assert_eq!(tracking.reply(), ">2\r\n$10\r\ninvalidate\r\n*1\r\n$5\r\n{k}to\r\n");
        for (watcher, reply) in [(&mut watching, "*-1\r\n"), (&mut untouched, "*1\r\n+PONG\r\n")] {
            watcher.say("MULTI");
            watcher.say("PING");
            assert_eq!(watcher.say("EXEC"), reply, "{lanes} lanes");
        }
        assert_eq!(client.say("SORT {k}set ALPHA STORE {k}sorted-out"), format!(":{ELEMENTS}\r\n"));
        assert_eq!(waiting.reply(), "*2\r\n$13\r\n{k}sorted-out\r\n$2\r\nm0\r\n");
        assert_eq!(client.say("LLEN {k}sorted-out"), format!(":{}\r\n", ELEMENTS - 1));
    }
}

fn support_message(channel: &str, text: &str) -> String {
    format!(
        "*3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n${}\r\n{text}\r\n",
        channel.len(),
        text.len()
    )
}

/// Whoever goes while his command runs aside leaves nothing behind: its effects stand, its slots are
/// free, and the server stops as ever.
#[test]
fn who_goes_meanwhile_leaves_nothing_behind() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        fill(&mut client);
        for kill in [false, true] {
            for round in 0..5 {
                let mut going = server.client();
                let id = going.say("CLIENT ID").trim_start_matches(':').trim_end().to_owned();
                going.send_command(&[
                    "SUNIONSTORE",
                    &format!("{{k}}to{round}"),
                    "{k}set",
                    "{k}set2",
                ]);
                going.send_command(&["SMEMBERS", "{k}set"]);
                if kill {
                    client.say(&format!("CLIENT KILL ID {id}"));
                }
                drop(going);
            }
        }
        // What it has asked for is done or was never read; either way the slots are free.
        assert_eq!(client.say("SCARD {k}set"), format!(":{ELEMENTS}\r\n"));
        assert_eq!(client.say("SUNIONSTORE {k}to {k}set"), format!(":{ELEMENTS}\r\n"));
        client.send_command(&["ZUNIONSTORE", "{k}to", "2", "{k}sorted", "{k}sorted2"]);
        drop(server);
    }
}

#[test]
fn the_time_of_a_key_that_is_away_comes_when_it_is_back() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        fill(&mut client);
        client.say("SUNIONSTORE {k}to {k}set");
        let mut bytes = encode(&["PEXPIRE", "{k}to", "1"]);
        bytes.extend(encode(&["SPOP", "{k}to", "2999"]));
        client.send(&bytes);
        assert_eq!(client.reply(), ":1\r\n");
        let first = client.reply().lines().next().expect("a line").to_owned();
        assert!(["*2999", "*0"].contains(&&*first), "{first}");
        while client.say("EXISTS {k}to") != ":0\r\n" {}
        while info(&mut client, "expired_keys") == 0 {}
    }
}

/// More than the helpers' queue holds at once: every one is answered.
#[test]
fn very_many_at_once_wait_their_turn() {
    for lanes in LANES {
        let server = Running::with(lanes, &[("aside-elements", "2")]);
        let mut clients: Vec<Client> = (0..20).map(|_| server.client()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            for key in 0..20 {
                client.say(&format!("RPUSH list:{number}:{key} a b c d"));
            }
        }
        for (number, client) in clients.iter_mut().enumerate() {
            let mut bytes = Vec::new();
            for round in 0..40 {
                let key = format!("list:{number}:{}", round % 20);
                bytes.extend(encode(&["LRANGE", &key, "0", "-1"]));
            }
            client.send(&bytes);
        }
        for client in &mut clients {
            for _ in 0..40 {
                assert_eq!(client.reply(), "*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n");
            }
        }
        assert!(aside(&mut clients[0]) >= 800);
    }
}

#[test]
fn a_full_store_refuses_what_would_need_memory() {
    let server = Running::with(1, &[("maxmemory-policy", "noeviction")]);
    let mut client = server.client();
    fill(&mut client);
    assert_eq!(client.say("CONFIG SET maxmemory 4mb"), "+OK\r\n");
    // Lanes learn of a limit with the next tick; what is there already is far beyond it.
    while client.say("SUNIONSTORE {k}to {k}set {k}set2").starts_with(':') {}
    let refused = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    let before = aside(&mut client);
    assert_eq!(client.say("SUNIONSTORE {k}to {k}set {k}set2"), refused);
    assert_eq!(client.say("ZUNIONSTORE {k}to 2 {k}sorted {k}sorted2"), refused);
    assert_eq!(aside(&mut client), before);
    assert!(client.say("SMEMBERS {k}set").starts_with(&format!("*{ELEMENTS}\r\n")));
}

/// Commands that want very many slots while others of the last lane are held again and again.
#[test]
fn who_wants_very_many_slots_gives_back_what_it_has_and_gets_them_all_the_same() {
    const ROUNDS_MAX: usize = 300;
    let server = Running::with(4, &[]);
    let mut client = server.client();
    // `d` is of the last lane.
    let one = |number: usize| vec![member(number)];
    assert_eq!(client.call(&many(&["SADD", "d"], ELEMENTS, one)), format!(":{ELEMENTS}\r\n"));
    let mut others = [(); 4].map(|()| server.client());
    for other in &mut others {
        assert_eq!(other.say("SELECT 5"), "+OK\r\n");
    }
    let pair = |number: usize| vec![member(number), "v".to_owned()];
    let wide = many(&["MSET"], ELEMENTS, pair);
    for round in 0.. {
        client.send_command(&["SORT", "d", "ALPHA"]);
        others[0].send_command(&["FLUSHDB"]);
        others[1].send_command(&["SWAPDB", "6", "7"]);
        others[2].send_command(&wide);
        let transaction = [encode(&["MULTI"]), encode(&wide), encode(&["EXEC"])].concat();
        others[3].send(&transaction);
        for other in &mut others[..3] {
            assert_eq!(other.reply(), "+OK\r\n");
        }
        for expected in ["+OK\r\n", "+QUEUED\r\n", "*1\r\n+OK\r\n"] {
            assert_eq!(others[3].reply(), expected);
        }
        assert!(client.reply().starts_with(&format!("*{ELEMENTS}\r\n")));
        if info(&mut client, "slots_given_back") >= 10 {
            break;
        }
        assert!(round < ROUNDS_MAX, "nobody ever gave anything back");
    }
    assert_eq!(info(&mut client, "requests_waiting_for_slots"), 0);
}
