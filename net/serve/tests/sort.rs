//! SORT and `SORT_RO` whose patterns name keys of other lanes: what they answer, that they are atomic, and
//! that lanes go on meanwhile.

mod support;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use support::{Client, Running, encode};

const LANES: [usize; 3] = [1, 2, 4];
/// Elements that are more than a turn has time for, and of more slots than are locked one by one.
const MANY: usize = 3000;

/// A reply of strings, as RESP text.
fn array<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let (mut text, mut count) = (String::new(), 0);
    for item in items {
        if item == "nil" {
            text.push_str("$-1\r\n");
        } else {
            write!(text, "${}\r\n{item}\r\n", item.len()).expect("a string takes it");
        }
        count += 1;
    }
    format!("*{count}\r\n{text}")
}

fn words(line: &str) -> String {
    array(line.split(' ').filter(|word| !word.is_empty()))
}

fn check(client: &mut Client, rows: &[(&str, String)]) {
    for (line, answer) in rows {
        assert_eq!(&client.say(line), answer, "{line}");
    }
}

/// A list `l` of the numbers below `count`, whose weights `w_*` order them from the greatest on, and
/// objects `o_*` with a name each.
fn fill(client: &mut Client, count: usize) {
    let mut bytes = Vec::new();
    for number in 0..count {
        let (weight, object) = (format!("w_{number}"), format!("o_{number}"));
        bytes.extend(encode(&["RPUSH", "l", &number.to_string()]));
        bytes.extend(encode(&["SET", &weight, &(count - number).to_string()]));
        bytes.extend(encode(&["HSET", &object, "name", &format!("n{number}")]));
    }
    client.send(&bytes);
    for _ in 0..3 * count {
        client.reply();
    }
}

#[test]
fn patterns_name_keys_of_any_lane() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        fill(&mut client, 6);
        check(
            &mut client,
            &[
                ("SORT l BY w_*", words("5 4 3 2 1 0")),
                ("SORT_RO l BY w_* DESC LIMIT 1 2", words("1 2")),
                ("SORT l BY w_* LIMIT 0 2 GET o_*->name GET # GET w_*", words("n5 5 1 n4 4 2")),
                ("SORT l BY o_*->name ALPHA DESC", words("5 4 3 2 1 0")),
                ("SORT l BY nosort GET w_*", words("6 5 4 3 2 1")),
                (
                    "SORT l DESC GET o_*->name GET none_* GET nostar",
                    words("n5 nil nil n4 nil nil n3 nil nil n2 nil nil n1 nil nil n0 nil nil"),
                ),
                // Values of another type are none.
                ("SORT l BY o_* GET o_* LIMIT 0 1", words("nil")),
                ("SORT l BY w_*->name GET w_*->name LIMIT 0 1", words("nil")),
                (
                    "SORT l BY o_*->name",
                    "-ERR One or more scores can't be converted into double\r\n".into(),
                ),
                ("SORT l BY w_* FOO", "-ERR syntax error\r\n".into()),
                (
                    "SORT o_1 BY w_*",
                    "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n".into(),
                ),
                ("SORT none BY w_* GET w_*", "*0\r\n".into()),
                // What is not there, or no more, weighs nothing.
                ("DEL w_0", ":1\r\n".into()),
                ("SET w_1 7 PXAT 1", "+OK\r\n".into()),
                ("SORT l BY w_*", words("0 1 5 4 3 2")),
                // Of the selected database.
                ("SELECT 3", "+OK\r\n".into()),
                ("RPUSH l a b", ":2\r\n".into()),
                ("MSET w_a 2 w_b 1", "+OK\r\n".into()),
                ("SORT l BY w_*", words("b a")),
                ("SORT_RO l BY w_* GET o_*->name", words("nil nil")),
                ("SELECT 0", "+OK\r\n".into()),
                ("SORT l BY w_* LIMIT 0 1", words("0")),
            ],
        );
    }
}

#[test]
fn what_is_stored_takes_the_place_of_what_was_read() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        fill(&mut client, 4);
        check(
            &mut client,
            &[
                ("SORT l BY w_* GET o_*->name STORE to", ":4\r\n".into()),
                ("LRANGE to 0 -1", words("n3 n2 n1 n0")),
                ("SORT l BY w_* STORE l", ":4\r\n".into()),
                ("LRANGE l 0 -1", words("3 2 1 0")),
                // The destination is itself a key that patterns name.
                ("SORT l BY w_* GET w_* STORE w_2", ":4\r\n".into()),
                ("LRANGE w_2 0 -1", words("1 2 3 4")),
                ("SORT l BY w_* LIMIT 0 2", words("2 3")),
                ("HSET o_1 x 1", ":1\r\n".into()),
                ("SORT l BY nosort GET o_*->name GET o_*->x STORE o_1", ":8\r\n".into()),
                ("LINDEX o_1 4", "$2\r\nn1\r\n".into()),
                ("SORT none BY w_* STORE to", ":0\r\n".into()),
                ("EXISTS to", ":0\r\n".into()),
            ],
        );
        // Who waits for the list, listens, tracks or watches hears of it.
        let (mut waits, mut watches, mut listens) =
            (server.client(), server.client(), server.client());
        client.say("CONFIG SET notify-keyspace-events Kl");
        assert!(listens.say("SUBSCRIBE __keyspace@0__:heard").starts_with("*3"));
        assert!(watches.say("HELLO 3").starts_with('%'));
        assert_eq!(watches.say("CLIENT TRACKING ON"), "+OK\r\n");
        assert_eq!(watches.say("WATCH to"), "+OK\r\n");
        assert_eq!(watches.say("GET to"), "_\r\n");
        waits.send_command(&["BLPOP", "to", "0"]);
        while !client.say("INFO clients").contains("blocked_clients:1\r\n") {}
        assert_eq!(client.say("SORT l BY w_* GET o_*->name STORE to"), ":4\r\n");
        assert_eq!(waits.reply(), words("to n2"));
        assert_eq!(watches.reply(), ">2\r\n$10\r\ninvalidate\r\n*1\r\n$2\r\nto\r\n");
        assert_eq!(client.say("SORT l BY w_* STORE heard"), ":4\r\n");
        assert_eq!(listens.reply(), words("message __keyspace@0__:heard sortstore"));
        watches.say("MULTI");
        watches.say("PING");
        assert_eq!(watches.say("EXEC"), "_\r\n");
    }
}

#[test]
fn a_transaction_sees_what_it_has_written() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        fill(&mut client, 3);
        // Few keys, and so many that its commands are shared out; with and without one on databases.
        for (extra, database) in [(0, false), (0, true), (600, false), (600, true)] {
            check(&mut client, &[("SET w_1 2", "+OK\r\n".into()), ("DEL w_9 to", ":0\r\n".into())]);
            let mut lines: Vec<String> = (0..extra).map(|n| format!("SET x{n} 1")).collect();
            let mut answers = vec!["+OK\r\n".to_owned(); extra];
            let mut add = |line: &str, answer: String| {
                lines.push(line.to_owned());
                answers.push(answer);
            };
            add("SET w_1 100", "+OK\r\n".into());
            add("RPUSH l 9", ":4\r\n".into());
            add("SORT l BY w_*", words("9 2 0 1"));
            if database {
                add("EXISTS {w}_none", ":0\r\n".into());
                add("SWAPDB 4 5", "+OK\r\n".into());
            }
            add("SET w_9 50", "+OK\r\n".into());
            add("SORT l BY w_* GET w_* GET o_*->name STORE to", ":8\r\n".into());
            add("LRANGE to 0 -1", words_of_to());
            add("RPOP l", "$1\r\n9\r\n".into());
            add("DEL w_9 to", ":2\r\n".into());
            assert_eq!(client.say("MULTI"), "+OK\r\n");
            for line in &lines {
                assert_eq!(client.say(line), "+QUEUED\r\n");
            }
            let answer = client.say("EXEC");
            assert_eq!(answer, format!("*{}\r\n{}", answers.len(), answers.concat()), "{extra}");
        }
    }
}

fn words_of_to() -> String {
    array(["1", "n2", "3", "n0", "50", "", "100", "n1"])
}

#[test]
fn a_lane_door_takes_patterns_of_the_keys_slot_alone() {
    let by = "-ERR BY option of SORT denied in cluster mode when keys formed by the pattern may be in \
              different slots.\r\n";
    let get = by.replace("BY", "GET");
    let server = Running::with(2, &[]);
    let mut client = server.client();
    client.say("RPUSH {t}l b a");
    client.say("MSET {t}w_a 1 {t}w_b 2");
    let owner =
        (0..2).find(|lane| !server.lane_client(*lane).say("LLEN {t}l").starts_with("-MOVED"));
    let mut door = server.lane_client(owner.expect("one owns it"));
    check(
        &mut door,
        &[
            ("SORT {t}l BY w_*", by.to_owned()),
            ("SORT_RO {t}l ALPHA GET w_*", get.clone()),
            ("SORT {t}l BY {t}w_* GET {t}w_* GET #", words("1 a 2 b")),
            ("SORT {t}l BY {t}w_* STORE {t}to", ":2\r\n".into()),
            (
                "SORT {t}l BY {t}w_* STORE to",
                "-CROSSSLOT Keys in request don't hash to the same slot\r\n".into(),
            ),
            ("MULTI", "+OK\r\n".into()),
            ("SORT {t}l BY w_*", "+QUEUED\r\n".into()),
            ("SORT {t}l BY {t}w_*", "+QUEUED\r\n".into()),
            ("EXEC", format!("*2\r\n{by}{}", words("a b"))),
            ("MULTI", "+OK\r\n".into()),
            ("SORT {t}l BY w_*", "+QUEUED\r\n".into()),
            ("KEYS *none*", "+QUEUED\r\n".into()),
            ("SORT {t}l BY {t}w_*", "+QUEUED\r\n".into()),
            ("EXEC", format!("*3\r\n{by}*0\r\n{}", words("a b"))),
        ],
    );
    // A transaction of very many keys, and elements that a turn has no time for.
    let mut bytes = encode(&["MULTI"]);
    for number in 0..MANY {
        bytes.extend(encode(&["RPUSH", "{t}many", &number.to_string()]));
    }
    bytes.extend(encode(&["SORT", "{t}many", "BY", "w_*"]));
    bytes.extend(encode(&["SORT", "{t}many", "BY", "{t}w_*", "DESC", "LIMIT", "0", "1"]));
    bytes.extend(encode(&["EXEC"]));
    door.send(&bytes);
    (0..MANY + 3).for_each(|_| assert!(door.reply().starts_with('+')));
    let answer = door.reply();
    assert!(answer.ends_with(&format!(":{MANY}\r\n{by}{}", words("999"))[..]));
    assert_eq!(door.say("SORT {t}many BY {t}w_* DESC LIMIT 0 1"), words("999"));
    assert_eq!(door.say("SORT {t}many BY w_*"), by);
}

#[test]
fn a_script_may_sort_by_what_it_may_touch() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        fill(&mut client, 3);
        let script = "return redis.call('SORT', KEYS[1], 'BY', ARGV[1], 'GET', ARGV[1])";
        let mut eval = |keys: &[&str], pattern: &str| {
            let count = keys.len().to_string();
            let words = [&["EVAL", script, &count][..], keys, &[pattern]].concat();
            client.call(&words)
        };
        assert_eq!(eval(&["l", "w_0", "w_1", "w_2"], "w_*"), words("1 2 3"), "{lanes}");
        let refusal = eval(&["l", "w_0", "w_2"], "w_*");
        let expected = "-ERR Script attempted to access undeclared key 'w_1'";
        assert!(refusal.starts_with(expected), "{lanes} {refusal}");
        assert!(eval(&["l"], "none_*").starts_with("-ERR Script attempted to access undeclared"));
        // Of one slot: by its hash tag, however many there are.
        let mut bytes = Vec::new();
        for number in 0..MANY {
            bytes.extend(encode(&["RPUSH", "{t}l", &number.to_string()]));
            bytes.extend(encode(&["SET", &format!("{{t}}w_{number}"), &number.to_string()]));
        }
        let mut client = server.client();
        client.send(&bytes);
        (0..2 * MANY).for_each(|_| drop(client.reply()));
        let mut eval = |keys: &[&str], pattern: &str| {
            let count = keys.len().to_string();
            let words = [&["EVAL", script, &count][..], keys, &[pattern]].concat();
            client.call(&words)
        };
        let all: Vec<String> = (0..MANY).map(|number| number.to_string()).collect();
        let all = array(all.iter().map(|number| &number[..]));
        assert_eq!(eval(&["{t}l"], "{t}w_*"), all);
        assert_eq!(eval(&["{t}l", "a", "b", "c", "d"], "{t}w_*").starts_with("-ERR"), lanes > 1);
        let refusal = eval(&["{t}l"], "w_*");
        assert!(refusal.starts_with("-ERR Script attempted to access undeclared"), "{refusal}");
    }
    let server = Running::with(1, &[("script-allow-undeclared-keys", "yes")]);
    let mut client = server.client();
    fill(&mut client, MANY);
    let words = ["EVAL", "return #redis.call('SORT', 'l', 'BY', 'w_*')", "0"];
    assert_eq!(client.call(&words), format!(":{MANY}\r\n"));
}

/// Weights are moved from one key to another by transactions, and the list changes at the same time as
/// the keys that it names: a SORT that reads them sees all of a change or nothing, whether it locks
/// some slots or all of them.
#[test]
fn changes_are_never_seen_by_halves() {
    const ROUNDS: usize = 300;
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        fill(&mut client, MANY);
        client.say("RPUSH few 1 2");
        client.say("RPUSH moving a0");
        client.say("SET v_a0 here");
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut writer = server.client();
                let mut round = 0;
                while !over.load(Ordering::Relaxed) {
                    let (old, new) = (round % 7, (round + 1) % 7);
                    let mut bytes = Vec::new();
                    for line in [
                        "MULTI".to_owned(),
                        "DECRBY w_1 5".to_owned(),
                        "INCRBY w_2 5".to_owned(),
                        "EXEC".to_owned(),
                        "MULTI".to_owned(),
                        format!("LSET moving 0 a{new}"),
                        format!("DEL v_a{old}"),
                        format!("SET v_a{new} here"),
                        "EXEC".to_owned(),
                    ] {
                        bytes.extend(encode(&line.split(' ').collect::<Vec<_>>()));
                    }
                    writer.send(&bytes);
                    (0..9).for_each(|_| drop(writer.reply()));
                    round += 1;
                }
            });
            let sum = |reply: &str| -> i64 {
                let numbers = reply.lines().skip(1).filter(|line| !line.starts_with('$'));
                numbers.map(|number| number.parse::<i64>().expect("a weight")).sum()
            };
            let few = sum(&client.say("SORT few BY nosort GET w_*"));
            let many = sum(&client.say("SORT l BY w_* GET w_*"));
            for round in 0..ROUNDS {
                assert_eq!(sum(&client.say("SORT few BY w_* GET w_*")), few, "{lanes}");
                assert_eq!(
                    client.say("SORT moving BY v_* ALPHA GET v_*"),
                    words("here"),
                    "{lanes}"
                );
                if round % 20 == 0 {
                    assert_eq!(sum(&client.say("SORT l BY w_* GET w_*")), many, "{lanes}");
                }
            }
            over.store(true, Ordering::Relaxed);
        });
    }
}

/// A pipeline keeps its order, and other clients are served while keys are looked up, those of other slots
/// if the patterns have a hash tag.
#[test]
fn others_are_served_meanwhile() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let (mut client, mut other) = (server.client(), server.client());
        let mut bytes = Vec::new();
        for number in 0..20 * MANY {
            bytes.extend(encode(&["RPUSH", "{k}l", &number.to_string()]));
        }
        client.send(&bytes);
        (0..20 * MANY).for_each(|_| drop(client.reply()));
        other.say("SET elsewhere 0");
        let aside = |client: &mut Client| {
            let info = client.say("INFO everything");
            let line = info.lines().find_map(|line| line.strip_prefix("commands_run_aside:"));
            line.expect("it is there").parse::<usize>().expect("a number")
        };
        for pattern in ["{k}w_*", "w_*"] {
            let before = aside(&mut other);
            let sort = encode(&["SORT", "{k}l", "BY", pattern, "STORE", "{k}to"]);
            client.send(&[sort, encode(&["LLEN", "{k}to"]), encode(&["DEL", "{k}to"])].concat());
            while aside(&mut other) == before {
                assert_eq!(other.say("PING"), "+PONG\r\n");
            }
            if pattern.starts_with('{') {
                assert!(other.say("INCR elsewhere").starts_with(':'));
            }
            for number in [20 * MANY, 20 * MANY, 1] {
                assert_eq!(client.reply(), format!(":{number}\r\n"));
            }
        }
    }
}
