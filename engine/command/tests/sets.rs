//! Set commands through the table: answers, edge cases, error texts, notices; sets in each of their
//! encodings. Every table is also said to a real redis-server, where one is installed.

#![allow(clippy::unwrap_used)] // Here a panic is a failed test.

mod support;

use std::collections::BTreeSet;

use ringlane_command::table;
use ringlane_store::Budget;
use support::{Lane, check_full, check_said, compared, elements, run_on, walk, words};

const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

#[test]
fn add_ask_and_remove() {
    compared(
        r#"
        SADD s a b c a => :3
        SADD s a d => :1
        SADD s => -ERR wrong number of arguments for 'sadd' command
        SCARD s => :4
        SCARD none => :0
        SCARD => -ERR wrong number of arguments for 'scard' command
        SISMEMBER s a => :1
        SISMEMBER s z => :0
        SISMEMBER none z => :0
        SISMEMBER s a b => -ERR wrong number of arguments for 'sismember' command
        SMISMEMBER s a z d => [:1 :0 :1]
        SMISMEMBER none a z => [:0 :0]
        SMISMEMBER s => -ERR wrong number of arguments for 'smismember' command
        SMEMBERS s => ["a" "b" "c" "d"]
        SMEMBERS none => []
        SMEMBERS s t => -ERR wrong number of arguments for 'smembers' command
        SREM s a a z => :1
        SREM none a => :0
        SREM s b c d => :3
        SREM s => -ERR wrong number of arguments for 'srem' command
        EXISTS s => :0
        TYPE s => +none
        SADD i 3 1 2 007 -5 9223372036854775807 9223372036854775808 "" "\x00\x0d" => :9
        SISMEMBER i 7 => :0
        SISMEMBER i 007 => :1
        SISMEMBER i "" => :1
        SREM i 3 "" 9223372036854775807 => :3
        SMEMBERS i => ["-5" "007" "1" "2" "9223372036854775808" "\x00\r"]
        TYPE i => +set
        SET x v => +OK
        "#,
    );
}

#[test]
fn another_type_is_refused_by_every_command() {
    let lines = |command: &str| format!("{command} => {WRONG}\n");
    let table: String = [
        "SADD x a",
        "SREM x a",
        "SCARD x",
        "SISMEMBER x a",
        "SMISMEMBER x a b",
        "SMEMBERS x",
        "SPOP x",
        "SPOP x 0",
        "SPOP x 3",
        "SRANDMEMBER x",
        "SRANDMEMBER x 0",
        "SRANDMEMBER x -3",
        "SMOVE x s a",
        "SMOVE s x a",
        "SMOVE s x nosuch",
        "SSCAN x 0",
        "SSCAN x 0 BOGUS",
        "SINTER s x",
        "SINTER none x",
        "SINTER x none",
        "SUNION s x",
        "SDIFF s x",
        "SDIFF none x",
        "SINTERCARD 2 s x",
        "SINTERCARD 2 none x LIMIT 1",
        "SINTERSTORE d s x",
        "SINTERSTORE d none x",
        "SUNIONSTORE d x",
        "SDIFFSTORE d none x",
        "GET s",
        "HGET s f",
        "LPUSH s a",
    ]
    .map(lines)
    .concat();
    compared(&format!(
        "SET x v => +OK\nSADD s a => :1\nSMOVE none x a => :0\n{table}EXISTS d => :0\nGET x => \"v\"\nSMEMBERS s => [\"a\"]"
    ));
}

#[test]
fn move_and_pop() {
    compared(
        r#"
        SADD a 1 2 => :2
        SADD b 2 x => :2
        SMOVE a b 1 => :1
        SMEMBERS b => ["1" "2" "x"]
        SMOVE a b 1 => :0
        SMOVE a b 2 => :1
        EXISTS a => :0
        SCARD b => :3
        SMOVE a b 2 => :0
        SMOVE b b 2 => :1
        SMOVE b b nosuch => :0
        SMOVE none b 2 => :0
        SMOVE b new x => :1
        SMEMBERS new => ["x"]
        SMOVE b new => -ERR wrong number of arguments for 'smove' command
        SMEMBERS b => ["1" "2"]
        SPOP b 2 => ["1" "2"]
        EXISTS b => :0
        SPOP b => nil
        SPOP b 1 => []
        SPOP b 0 => []
        SPOP new -1 => -ERR value is out of range, must be positive
        SPOP new x => -ERR value is out of range, must be positive
        SPOP new 9223372036854775808 => -ERR value is out of range, must be positive
        SPOP none x => -ERR value is out of range, must be positive
        SPOP new 1 2 => -ERR syntax error
        SPOP => -ERR wrong number of arguments for 'spop' command
        SPOP new 0 => []
        SPOP new 9223372036854775807 => ["x"]
        EXISTS new => :0
        SADD one x => :1
        SPOP one => "x"
        EXISTS one => :0
        "#,
    );
}

#[test]
fn choose_by_chance() {
    compared(
        r#"
        SADD s x => :1
        SRANDMEMBER s => "x"
        SRANDMEMBER s 0 => []
        SRANDMEMBER s 5 => ["x"]
        SRANDMEMBER s 9223372036854775807 => ["x"]
        SRANDMEMBER s -3 => ["x" "x" "x"]
        SRANDMEMBER none => nil
        SRANDMEMBER none 3 => []
        SRANDMEMBER none -3 => []
        SRANDMEMBER s x => -ERR value is not an integer or out of range
        SRANDMEMBER s -9223372036854775808 => -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
        SRANDMEMBER s 1 2 => -ERR syntax error
        SRANDMEMBER s x y => -ERR syntax error
        SRANDMEMBER => -ERR wrong number of arguments for 'srandmember' command
        "#,
    );
    // Where Redis would answer until its memory is full.
    let mut lane = Lane::default();
    run_on(
        &mut lane,
        "SADD s x => :1
        SRANDMEMBER s -9223372036854775807 => -ERR value is out of range
        SRANDMEMBER s -1048577 => -ERR value is out of range",
    );
}

#[test]
fn intersections_unions_and_differences() {
    compared(
        r#"
        SADD a 1 2 3 x => :4
        SADD b 2 3 4 y => :4
        SADD c 3 x y 9 => :4
        SINTER a => ["1" "2" "3" "x"]
        SINTER a b => ["2" "3"]
        SINTER a b c => ["3"]
        SINTER a a => ["1" "2" "3" "x"]
        SINTER a none b => []
        SINTER none => []
        SUNION a b c => ["1" "2" "3" "4" "9" "x" "y"]
        SUNION none a none a => ["1" "2" "3" "x"]
        SUNION none => []
        SDIFF a => ["1" "2" "3" "x"]
        SDIFF a b => ["1" "x"]
        SDIFF a b c => ["1"]
        SDIFF a none => ["1" "2" "3" "x"]
        SDIFF none a => []
        SDIFF a a => []
        SINTERCARD 2 a b => :2
        SINTERCARD 2 a b LIMIT 1 => :1
        SINTERCARD 2 a b limit 0 => :2
        SINTERCARD 2 a b LIMIT 9 LIMIT 1 => :1
        SINTERCARD 1 a => :4
        SINTERCARD 1 a LIMIT 3 => :3
        SINTERCARD 2 a none => :0
        SINTERCARD 2 a a => :4
        SINTERCARD 0 a => -ERR numkeys should be greater than 0
        SINTERCARD -1 a => -ERR numkeys should be greater than 0
        SINTERCARD x a => -ERR numkeys should be greater than 0
        SINTERCARD 3 a b => -ERR Number of keys can't be greater than number of args
        SINTERCARD 9223372036854775807 a b => -ERR Number of keys can't be greater than number of args
        SINTERCARD 2 a b LIMIT => -ERR syntax error
        SINTERCARD 2 a b c => -ERR syntax error
        SINTERCARD 2 a b LIMIT -1 => -ERR LIMIT can't be negative
        SINTERCARD 2 a b LIMIT x => -ERR LIMIT can't be negative
        SINTERCARD 2 a b LIMIT 1 c => -ERR syntax error
        SINTERCARD 2 => -ERR wrong number of arguments for 'sintercard' command
        SINTER => -ERR wrong number of arguments for 'sinter' command
        SUNIONSTORE d => -ERR wrong number of arguments for 'sunionstore' command
        SUNIONSTORE d a b => :6
        SMEMBERS d => ["1" "2" "3" "4" "x" "y"]
        SINTERSTORE d d c => :3
        SMEMBERS d => ["3" "x" "y"]
        SDIFFSTORE a a d => :2
        SMEMBERS a => ["1" "2"]
        OBJECT ENCODING a => "intset"
        SINTERSTORE a a c => :0
        EXISTS a => :0
        SDIFFSTORE a none b => :0
        SET a text EX 100 => +OK
        SUNIONSTORE a b => :4
        TTL a => :-1
        TYPE a => +set
        SET a text => +OK
        SINTERSTORE a b none => :0
        EXISTS a => :0
        "#,
    );
}

#[test]
fn walking() {
    compared(
        r#"
        SADD s 1 2 3 => :3
        SSCAN s 0 => ["0" ["1" "2" "3"]]
        SSCAN s 0 COUNT 1 MATCH [23] => ["0" ["2" "3"]]
        SSCAN s 0 match 9 => ["0" []]
        SSCAN none 0 => ["0" []]
        SSCAN none 0 BOGUS => ["0" []]
        SSCAN none x => -ERR invalid cursor
        SSCAN s x => -ERR invalid cursor
        SSCAN s 0 BOGUS => -ERR syntax error
        SSCAN s 0 COUNT => -ERR syntax error
        SSCAN s 0 COUNT 0 => -ERR syntax error
        SSCAN s 0 COUNT x => -ERR value is not an integer or out of range
        SSCAN s 0 TYPE set => -ERR syntax error
        SSCAN s => -ERR wrong number of arguments for 'sscan' command
        "#,
    );
    let mut lane = Lane::default();
    lane.check("SADD s a", ":1");
    lane.check("SSCAN s 0 NOVALUES", "-ERR NOVALUES option can only be used in HSCAN");
}

#[test]
fn a_set_is_packed_until_a_limit_and_stored_results_begin_anew() {
    let mut lane = Lane::default();
    let members = |range: std::ops::Range<u32>| -> String {
        range.map(|number| number.to_string()).collect::<Vec<_>>().join(" ")
    };
    lane.check(&format!("SADD i {}", members(0..512)), ":512");
    lane.check("OBJECT ENCODING i", "\"intset\"");
    lane.check("SADD i 512", ":1");
    lane.check("OBJECT ENCODING i", "\"hashtable\"");
    lane.check(&format!("SADD l a {}", members(0..127)), ":128");
    lane.check("OBJECT ENCODING l", "\"listpack\"");
    lane.check("SADD l b", ":1");
    lane.check("OBJECT ENCODING l", "\"hashtable\"");
    lane.check(&format!("SADD long {}", "x".repeat(65)), ":1");
    lane.check("OBJECT ENCODING long", "\"hashtable\"");
    lane.check("SINTERSTORE d i l", ":127");
    lane.check("OBJECT ENCODING d", "\"intset\"");
    lane.check("SUNIONSTORE d i l", ":515");
    lane.check("OBJECT ENCODING d", "\"hashtable\"");
    lane.check("SDIFFSTORE d l i", ":2");
    lane.check("OBJECT ENCODING d", "\"listpack\"");
}

type Members = BTreeSet<Vec<u8>>;

fn set(lane: &mut Lane, command: &str) -> Members {
    let all = elements(lane, command);
    let set: BTreeSet<_> = all.iter().cloned().collect();
    assert_eq!(set.len(), all.len(), "{command}: each member once");
    set
}

/// Sets of each encoding: integers, few words, many words.
fn fill(lane: &mut Lane) -> [(&'static str, usize); 3] {
    let add = |lane: &mut Lane, key: &str, members: &mut dyn Iterator<Item = String>| {
        let members: Vec<_> = members.collect();
        lane.check(&format!("SADD {key} {}", members.join(" ")), &format!(":{}", members.len()));
    };
    add(lane, "integers", &mut (0..300).map(|number| number.to_string()));
    add(lane, "few", &mut (0..100).map(|number| format!("member:{number}")));
    add(lane, "many", &mut (0..5000).map(|number| format!("member:{number}")));
    [("integers", 300), ("few", 100), ("many", 5000)]
}

#[test]
fn what_is_popped_was_there_and_goes() {
    let mut lane = Lane::default();
    for (key, count) in fill(&mut lane) {
        let mut left = set(&mut lane, &format!("SMEMBERS {key}"));
        assert_eq!(left.len(), count);
        for take in [1, count / 10, count / 2] {
            let popped = set(&mut lane, &format!("SPOP {key} {take}"));
            assert_eq!(popped.len(), take);
            for member in popped {
                assert!(left.remove(&member), "{key}: it was there");
            }
            assert_eq!(set(&mut lane, &format!("SMEMBERS {key}")), left);
        }
        let one = words(&lane.say(&format!("SPOP {key}"))).remove(0);
        assert!(left.remove(&one));
        assert_eq!(set(&mut lane, &format!("SPOP {key} {count}")), left);
        lane.check(&format!("EXISTS {key}"), ":0");
    }
}

#[test]
fn what_is_chosen_is_there_and_every_member_has_its_chance() {
    let mut lane = Lane::default();
    for (key, count) in fill(&mut lane) {
        let all = set(&mut lane, &format!("SMEMBERS {key}"));
        for ask in [1, count / 20, count / 2, count - 1] {
            let chosen = set(&mut lane, &format!("SRANDMEMBER {key} {ask}"));
            assert_eq!(chosen.len(), ask);
            assert!(chosen.is_subset(&all));
        }
        assert_eq!(set(&mut lane, &format!("SRANDMEMBER {key} {}", count + 1)), all);
        let picks = elements(&mut lane, &format!("SRANDMEMBER {key} -{}", count * 10));
        assert_eq!(picks.len(), count * 10);
        let different: BTreeSet<_> = picks.into_iter().collect();
        assert!(different.is_subset(&all));
        // A member is missed by 10 n picks of n with a chance of 1 in 22,000.
        assert!(different.len() > count * 99 / 100, "{key}: {} of {count}", different.len());
    }
}

#[test]
fn a_walk_shows_what_stays_whatever_comes_and_goes() {
    let mut lane = Lane::default();
    fill(&mut lane);
    let mut calls = 0;
    let seen = walk(&mut lane, "SSCAN many", "COUNT 20", |lane, call| {
        calls = call;
        lane.say(&format!("SADD many new:{call} other:{call}"));
        lane.say(&format!("SREM many member:{}", call * 2));
    });
    let seen: BTreeSet<_> = seen.into_iter().collect();
    assert!((100..1000).contains(&calls), "20 of 5000 a call: {calls}");
    for number in (1..5000).step_by(2) {
        assert!(seen.contains(format!("member:{number}").as_bytes()), "member:{number}");
    }
}

#[test]
fn operations_are_those_of_mathematics() {
    for seed in 1..=12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut lane = Lane::default();
        let mut model: Vec<Members> = Vec::new();
        for key in ["a", "b", "c", "d"] {
            // From nothing to a table, integers or words, so that they overlap in part.
            let most = [1, 20, 200, 1500][random.usize(..4)];
            let word = ["", "m:"][random.usize(..2)];
            let set: Members = (0..random.usize(..most))
                .map(|_| format!("{word}{}", random.usize(..most * 2)).into_bytes())
                .collect();
            for member in &set {
                assert_eq!(lane.run(&[b"SADD", key.as_bytes(), member]), b":1\r\n");
            }
            model.push(set);
        }
        for _ in 0..12 {
            let count = random.usize(1..5);
            let chosen: Vec<usize> = (0..count).map(|_| random.usize(..4)).collect();
            let keys: Vec<_> = chosen.iter().map(|at| ["a", "b", "c", "d"][*at]).collect();
            let keys = keys.join(" ");
            let fold = |of: fn(&Members, &Members) -> Members| {
                let first = model[chosen[0]].clone();
                chosen[1..].iter().fold(first, |set, at| of(&set, &model[*at]))
            };
            let inter = fold(|a, b| a & b);
            for (name, expected) in [
                ("SINTER", inter.clone()),
                ("SUNION", fold(|a, b| a | b)),
                ("SDIFF", fold(|a, b| a - b)),
            ] {
                let case = format!("seed {seed}: {name} {keys}");
                assert_eq!(set(&mut lane, &format!("{name} {keys}")), expected, "{case}");
                let stored = lane.say(&format!("{name}STORE to {keys}"));
                assert_eq!(stored, format!(":{}", expected.len()), "{case}");
                assert_eq!(set(&mut lane, "SMEMBERS to"), expected, "{case}");
            }
            let limit = random.usize(..50);
            let least = if limit == 0 { inter.len() } else { inter.len().min(limit) };
            lane.check(&format!("SINTERCARD {count} {keys} LIMIT {limit}"), &format!(":{least}"));
        }
    }
}

#[test]
fn keys_are_found_in_every_form() {
    let positions = |words: &str| -> Vec<usize> {
        let args: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        table::resolve(&args).unwrap().key_positions(args.len(), |index| args[index]).collect()
    };
    assert_eq!(positions("SUNION a b c"), [1, 2, 3]);
    assert_eq!(positions("SUNIONSTORE d a b"), [1, 2, 3]);
    assert_eq!(positions("SINTERCARD 2 a b LIMIT 1"), [2, 3]);
    assert_eq!(positions("SINTERCARD 9 a b"), [0; 0]);
    assert_eq!(positions("SMOVE a b member"), [1, 2]);
    assert_eq!(positions("SADD a member"), [1]);
}

#[test]
fn notices() {
    let mut lane = Lane::default();
    check_said(
        &mut lane,
        &[
            ("SADD a 1 2 3 4 5", "sadd a"),
            ("SADD a 1", ""),
            ("SREM a 1", "srem a"),
            ("SREM a 1", ""),
            ("SMOVE a b 2", "srem a,sadd b"),
            ("SMOVE a b 2", ""),
            ("SADD b 3", "sadd b"),
            ("SMOVE a b 3", "srem a"),
            ("SPOP a", "spop a"),
            ("SPOP a 0", ""),
            ("SMOVE b b 2", ""),
            ("SUNIONSTORE c a b", "sunionstore c"),
            ("SINTERSTORE c b b", "sinterstore c"),
            ("SDIFFSTORE c b", "sdiffstore c"),
            ("SDIFFSTORE c b b", "del c"),
            ("SDIFFSTORE c b b", ""),
            ("SPOP a", "spop a,del a"),
            ("SPOP a", ""),
            ("SPOP b 1", "spop b"),
            ("SPOP b 9", "spop b,del b"),
            ("SPOP b 9", ""),
            ("SADD a x", "sadd a"),
            ("SMOVE a b x", "srem a,del a,sadd b"),
            ("SREM b x", "srem b,del b"),
            ("SINTER a b", ""),
        ],
    );
}

#[test]
fn a_large_set_that_was_taken_or_replaced_is_freed_in_slices() {
    let mut lane = Lane::default();
    let add: Vec<Vec<u8>> = (0..60_000).map(|number| format!("member:{number}").into()).collect();
    for key in [b"a", b"b"] {
        for chunk in add.chunks(1000) {
            let mut args: Vec<&[u8]> = vec![b"SADD", key];
            args.extend(chunk.iter().map(Vec::as_slice));
            lane.run(&args);
        }
    }
    let full = lane.store.memory().blobs;
    assert!(full > 2 << 20);
    assert_eq!(elements(&mut lane, "SPOP a 60000").len(), 60_000);
    lane.check("SINTERSTORE b none a", ":0");
    lane.check("DBSIZE", ":0");
    let mut slices = 0;
    loop {
        let work = lane.store.work(Budget { units: 1000 });
        assert!(work.used < 3000, "a slice: {work:?}");
        slices += 1;
        if !work.more {
            break;
        }
    }
    assert!(slices > 50, "{slices} slices");
    assert_eq!(lane.store.memory().blobs, 0);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let mut lane = Lane::default();
    lane.check("SADD a 1 2", ":2");
    lane.check("SADD b x", ":1");
    check_full(&mut lane, &["SADD a 3", "SMOVE a b 1", "SUNIONSTORE c a b"]);
    run_on(
        &mut lane,
        r#"
        EXISTS c => :0
        SMEMBERS a => ["1" "2"]
        SMEMBERS b => ["x"]
        SREM a 1 => :1
        SPOP a => "2"
        "#,
    );
}
