//! Collections of a million elements: gone through while their lane serves others, and lent while others
//! flush, replace and evict.

use super::support::{Client, Running, encode};
use super::{aside, info, many, member};

/// Elements of the collections that nobody may wait for.
const MILLION: usize = 1_000_000;
/// Elements that one command of `fill_a_million` names.
const AT_ONCE: usize = 500;

/// Collections of a million elements in the slot of `{k}`.
fn fill_a_million(client: &mut Client) {
    let half = MILLION / 2;
    let mut grow = |name: &str, key: &str, arguments: &dyn Fn(usize) -> Vec<String>| {
        for first in (0..MILLION).step_by(20 * AT_ONCE) {
            let mut bytes = Vec::new();
            for from in (first..first + 20 * AT_ONCE).step_by(AT_ONCE) {
                bytes.extend(encode(&many(&[name, key], AT_ONCE, |n| arguments(from + n))));
            }
            client.send(&bytes);
            (0..20).for_each(|_| assert!(client.reply().starts_with(':'), "{name}"));
        }
    };
    grow("SADD", "{k}set", &|n| vec![member(n)]);
    grow("SADD", "{k}set2", &|n| vec![member(n + half)]);
    grow("RPUSH", "{k}list", &|n| vec![member(n)]);
    grow("HSET", "{k}hash", &|n| vec![member(n), n.to_string()]);
    grow("ZADD", "{k}sorted", &|n| vec![n.to_string(), member(n)]);
    grow("ZADD", "{k}sorted2", &|n| vec![n.to_string(), member(n + half)]);
    assert_eq!(client.say("SETRANGE {k}text 67108863 x"), ":67108864\r\n");
}

/// The reply to a command, of which only the first line is kept; what was sent meanwhile by `other` was
/// answered meanwhile, and how often.
fn first_line_while(client: &mut Client, command: &str, other: &mut Client) -> (String, usize) {
    const END: &[u8] = b"+PONG\r\n";
    let words: Vec<&str> = command.split(' ').collect();
    client.send(&[encode(&words), encode(&["PING"])].concat());
    client.stream.set_nonblocking(true).expect("a TCP socket");
    let (mut got, mut piece, mut answers) = (Vec::new(), vec![0; 1 << 20], 0);
    while !got.ends_with(END) {
        match std::io::Read::read(&mut client.stream, &mut piece) {
            Ok(length) => got.extend_from_slice(&piece[..length]),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        assert!(other.say("INCR elsewhere").starts_with(':'), "{command}");
        answers += 1;
    }
    client.stream.set_nonblocking(false).expect("a TCP socket");
    let end = got.iter().position(|byte| *byte == b'\r').expect("a line");
    (String::from_utf8_lossy(&got[..end]).into_owned(), answers)
}

/// Microseconds of the longest turn of the first lane.
fn longest_turn(client: &mut Client) -> String {
    let text = client.say("INFO everything");
    let lane = text.lines().find(|line| line.starts_with("lane0:")).expect("a line a lane");
    let turn = lane.split(',').find_map(|field| field.strip_prefix("longest_turn_us="));
    turn.expect("the field is there").to_owned()
}

/// Whoever asks for something else is served while a million elements are gone through. What the lane's
/// longest turn was is printed; `perf/stall` measures it.
#[test]
fn a_million_elements_are_gone_through_aside() {
    let server = Running::with(1, &[]);
    let (mut client, mut other) = (server.client(), server.client());
    fill_a_million(&mut client);
    let (all, both, half) = (MILLION, MILLION * 3 / 2, MILLION / 2);
    for (command, reply) in [
        ("SMEMBERS {k}set", format!("*{all}")),
        ("HGETALL {k}hash", format!("*{}", 2 * all)),
        ("LRANGE {k}list 0 -1", format!("*{all}")),
        ("ZRANGE {k}sorted 0 -1", format!("*{all}")),
        ("SINTER {k}set {k}set2", format!("*{half}")),
        ("SUNIONSTORE {k}to {k}set {k}set2", format!(":{both}")),
        ("ZUNIONSTORE {k}to 2 {k}sorted {k}sorted2", format!(":{both}")),
        ("ZRANGESTORE {k}to {k}sorted 0 -1", format!(":{all}")),
        ("SORT {k}list ALPHA STORE {k}to", format!(":{all}")),
        ("LPOS {k}list none", "$-1".to_owned()),
        ("LINSERT {k}list BEFORE m500000 new", format!(":{}", all + 1)),
        ("LREM {k}list 0 new", ":1".to_owned()),
        ("BITOP NOT {k}to {k}text", ":67108864".to_owned()),
        ("SPOP {k}set 500000", format!("*{half}")),
        ("ZREMRANGEBYRANK {k}sorted 0 499999", format!(":{half}")),
    ] {
        other.say("CONFIG RESETSTAT");
        let (first, answers) = first_line_while(&mut client, command, &mut other);
        assert_eq!(first, reply, "{command}");
        assert_eq!(aside(&mut other), 1, "{command}");
        let turn = longest_turn(&mut other);
        println!("{command}: {answers} answers meanwhile, longest turn {turn} us");
    }
    // All of it in one transaction.
    let before = aside(&mut other);
    for command in ["MULTI", "SUNIONSTORE {k}to {k}set {k}set2", "SMEMBERS {k}to"] {
        assert!(client.say(command).starts_with('+'), "{command}");
    }
    assert_eq!(first_line_while(&mut client, "EXEC", &mut other).0, "*2");
    assert_eq!(aside(&mut other), before + 2);
    println!("in a transaction: longest turn {} us", longest_turn(&mut other));
}

/// Looks at a state that another connection's commands bring about.
const LOOKS_MAX: usize = 100_000;

/// Sends a command whose values are lent while it runs, and waits until they are.
fn lend(client: &mut Client, command: &str, other: &mut Client) {
    let before = aside(other);
    client.send(&encode(&command.split(' ').collect::<Vec<_>>()));
    let mut looks = 0;
    while aside(other) == before {
        looks += 1;
        assert!(looks < LOOKS_MAX, "{command} does not run aside");
    }
}

/// What others do to values that are lent takes effect behind the command that has them: nothing of
/// them is lost, seen in part, or left behind.
#[test]
fn values_of_a_million_elements_are_flushed_replaced_and_passed_over_while_lent() {
    let server = Running::with(1, &[("maxmemory", "4gb"), ("maxmemory-policy", "allkeys-lru")]);
    let (mut client, mut other, mut third) = (server.client(), server.client(), server.client());
    let (all, half) = (MILLION, MILLION / 2);
    for first in (0..all).step_by(AT_ONCE * 20) {
        let numbers = (first..first + AT_ONCE * 20).step_by(AT_ONCE);
        let command =
            |from| encode(&many(&["SADD", "{k}set"], AT_ONCE, |n| vec![member(from + n)]));
        client.send(&numbers.flat_map(command).collect::<Vec<u8>>());
        (0..20).for_each(|_| assert_eq!(client.reply(), format!(":{AT_ONCE}\r\n")));
    }
    client.send_command(&["DUMP", "{k}set"]);
    let reply = client.reply_bytes();
    let head = reply.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    let dump = reply[head..reply.len() - 2].to_vec();
    let restored = |key: &str| -> Vec<Vec<u8>> {
        ["RESTORE", key, "0"]
            .iter()
            .map(|word| word.as_bytes().to_vec())
            .chain([dump.clone()])
            .collect()
    };
    let popped = |client: &mut Client| {
        assert!(client.reply().starts_with(&format!("*{half}\r\n")));
    };

    // Replaced: the new value comes behind, whole.
    lend(&mut client, "SPOP {k}set 500000", &mut other);
    let replace: Vec<Vec<u8>> =
        restored("{k}set").into_iter().chain([b"REPLACE".to_vec()]).collect();
    assert_eq!(third.call(&replace), "+OK\r\n");
    popped(&mut client);
    assert_eq!(other.say("SCARD {k}set"), format!(":{all}\r\n"));

    // Lent while others are evicted: its slot is passed over until it is back.
    let fill: Vec<u8> = (0..20_000)
        .flat_map(|number| encode(&["SET", &format!("key:{number}"), &"x".repeat(1000)]))
        .collect();
    other.send(&fill);
    (0..20_000).for_each(|_| assert_eq!(other.reply(), "+OK\r\n"));
    lend(&mut client, "SPOP {k}set 500000", &mut other);
    let keys = other.say("DBSIZE");
    assert_eq!(other.say("CONFIG SET maxmemory 30mb"), "+OK\r\n");
    popped(&mut client);
    let mut looks = 0;
    while info(&mut other, "evicted_keys") == 0 {
        looks += 1;
        assert!(looks < LOOKS_MAX, "nothing is evicted of {keys}");
    }
    // Behind the command it may go like any other, but whole.
    let left = other.say("SCARD {k}set");
    assert!(left == ":0\r\n" || left == format!(":{half}\r\n"), "{left}");
    assert_eq!(other.say("CONFIG SET maxmemory 4gb"), "+OK\r\n");

    // Flushed: what it has is gone with it.
    for flush in ["FLUSHALL", "FLUSHDB ASYNC"] {
        let mut looks = 0;
        while third.call(&restored("{k}set")) != "+OK\r\n" {
            other.say("DEL {k}set");
            looks += 1;
            assert!(looks < LOOKS_MAX, "there is no room");
        }
        lend(&mut client, "SPOP {k}set 500000", &mut other);
        assert_eq!(third.say(flush), "+OK\r\n", "{flush}");
        popped(&mut client);
        assert_eq!(other.say("DBSIZE"), ":0\r\n", "{flush}");
    }
    // A value that is being restored is deleted behind its coming.
    client.send_command(&restored("{k}set"));
    while other.say("DEL {k}set") == ":0\r\n" {}
    assert_eq!(client.reply(), "+OK\r\n");
    assert_eq!(other.say("DBSIZE"), ":0\r\n");
}
