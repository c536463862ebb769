//! Commands on keys whatever they hold: each with a value of every type, packed and large.

#![allow(clippy::unwrap_used)] // Here a panic is a failed test.

mod support;

use support::Lane;

/// A type's name, how a value of it is made, its encoding, and how all of it is read.
struct Case {
    type_name: &'static str,
    make: &'static [&'static str],
    encoding: &'static str,
    read: &'static str,
}

const CASES: [Case; 10] = [
    Case { type_name: "string", make: &["SET a 7"], encoding: "int", read: "GET" },
    Case { type_name: "string", make: &["SET a text"], encoding: "embstr", read: "GET" },
    Case {
        type_name: "list",
        make: &["RPUSH a 1 x 3"],
        encoding: "listpack",
        read: "LRANGE KEY 0 -1",
    },
    Case {
        type_name: "list",
        make: &["RPUSH a LONG x"],
        encoding: "quicklist",
        read: "LRANGE KEY 0 -1",
    },
    Case { type_name: "hash", make: &["HSET a f 1 g x"], encoding: "listpack", read: "HGETALL" },
    Case { type_name: "hash", make: &["HSET a f LONG"], encoding: "hashtable", read: "HGETALL" },
    Case { type_name: "set", make: &["SADD a 1 2 3"], encoding: "intset", read: "SORT" },
    Case { type_name: "set", make: &["SADD a LONG"], encoding: "hashtable", read: "SMEMBERS" },
    Case {
        type_name: "zset",
        make: &["ZADD a 1 x 2 y"],
        encoding: "listpack",
        read: "ZRANGE KEY 0 -1 WITHSCORES",
    },
    Case {
        type_name: "zset",
        make: &["ZADD a 1 LONG"],
        encoding: "skiplist",
        read: "ZRANGE KEY 0 -1 WITHSCORES",
    },
];

/// More than any type keeps in one block.
fn long() -> String {
    "x".repeat(20_000)
}

fn made(case: &Case) -> Lane {
    let mut lane = Lane::default();
    for command in case.make {
        let answer = lane.say(&command.replace("LONG", &long()));
        assert!(!answer.starts_with('-'), "{command}: {answer}");
    }
    lane
}

fn read(lane: &mut Lane, case: &Case, key: &str) -> String {
    match case.read.split_once("KEY") {
        Some((before, after)) => lane.say(&format!("{before}{key}{after}")),
        None => lane.say(&format!("{} {key}", case.read)),
    }
}

#[test]
fn values_keep_their_contents_wherever_they_go() {
    for case in &CASES {
        let mut lane = made(case);
        let expected = read(&mut lane, case, "a");
        let name = format!("{} as {}", case.type_name, case.encoding);
        let same = |lane: &mut Lane, key: &str, what: &str| {
            assert_eq!(read(lane, case, key), expected, "{name}: {what}");
            assert_eq!(
                lane.say(&format!("OBJECT ENCODING {key}")),
                format!("\"{}\"", case.encoding)
            );
        };
        lane.check("EXPIRE a 100", ":1");
        lane.check("RENAME a b", "+OK");
        same(&mut lane, "b", "renamed");
        lane.check("TTL b", ":100");
        lane.check("EXISTS a", ":0");
        lane.check("SET c other", "+OK");
        lane.check("RENAMENX b c", ":0");
        lane.check("RENAMENX b d", ":1");
        lane.check("COPY d c", ":0");
        lane.check("COPY d c REPLACE", ":1");
        same(&mut lane, "c", "copied");
        lane.check("TTL c", ":100");
        lane.check("COPY d d DB 2", ":1");
        lane.check("MOVE d 1", ":1");
        lane.check("EXISTS d", ":0");
        lane.check("SELECT 1", "+OK");
        same(&mut lane, "d", "moved");
        lane.check("SELECT 2", "+OK");
        same(&mut lane, "d", "copied to another database");
        lane.check("PERSIST d", ":1");
        lane.check("UNLINK d", ":1");
        lane.check("DBSIZE", ":0");
    }
}

#[test]
fn values_are_described() {
    for case in &CASES {
        let mut lane = made(case);
        lane.check("TYPE a", &format!("+{}", case.type_name));
        lane.check("TOUCH a none", ":1");
        lane.check("EXISTS a a", ":2");
        lane.check("RANDOMKEY", "\"a\"");
        lane.check("OBJECT REFCOUNT a", ":1");
        lane.check("OBJECT IDLETIME a", ":0");
        assert!(lane.say("OBJECT FREQ a").starts_with(':'), "{}", case.type_name);
        let usage: usize = lane.say("MEMORY USAGE a")[1..].parse().unwrap();
        let holds_long = case.make[0].contains("LONG");
        assert!(usage > if holds_long { 20_000 } else { 16 }, "{}: {usage}", case.type_name);
        assert!(usage < if holds_long { 60_000 } else { 400 }, "{}: {usage}", case.type_name);
        lane.say("SET other text");
        let scan = |lane: &mut Lane, of: &str| lane.say(&format!("SCAN 0 COUNT 1000 TYPE {of}"));
        let found = scan(&mut lane, case.type_name);
        assert!(found.contains("\"a\""), "{}: {found}", case.type_name);
        let other = if case.type_name == "stream" { "list" } else { "stream" };
        assert!(!scan(&mut lane, other).contains("\"a\""), "{}", case.type_name);
        lane.check("PEXPIRE a 5", ":1");
        lane.wait(5);
        lane.check("TYPE a", "+none");
    }
}
