//! Long values that go into collections, out of them and from one to another: aside, since they are
//! copied, and answered as if they had not been.

use super::support::{Client, Running};
use super::{LANES, aside};

/// More than a command copies on its lane.
const LONG: usize = 3 << 20;
/// More than the sockets between a client and its server hold.
const VERY_LONG: usize = 48 << 20;

/// Each command, where `V` is the long value; how its reply begins, `V` if by the head of the long
/// value; and whether it runs aside.
const COMMANDS: &[(&str, &str, bool)] = &[
    ("RPUSH {k}l a b V c", ":4", true),
    ("LSET {k}l 1 V", "+OK", true),
    ("LINSERT {k}l BEFORE c V", ":5", true),
    ("LINDEX {k}l 0", "$1", false),
    ("LINDEX {k}l 2", "V", true),
    ("LRANGE {k}l 0 0", "*1", false),
    ("LRANGE {k}l 0 1", "*2", true),
    ("LPOS {k}l V", ":1", true),
    ("LPOP {k}l", "$1", false),
    ("RPUSH {k}l d", ":5", false),
    ("RPOP {k}l 2", "*2", false),
    ("LMOVE {k}l {k}l2 LEFT RIGHT", "V", true),
    ("LMOVE {k}l {k}l LEFT RIGHT", "V", true),
    ("RPOPLPUSH {k}l {k}l2", "V", true),
    ("LPOP {k}l", "V", true),
    ("LPOP {k}l2 1", "*1", true),
    ("LPUSHX {k}l2 V", ":2", true),
    ("BLPOP {k}l2 0", "*2", true),
    ("SORT {k}l2 ALPHA", "*1", true),
    ("LMPOP 1 {k}l2 LEFT", "*2", true),
    ("RPUSH {k}l2 V", ":1", true),
    ("LREM {k}l2 0 V", ":1", true),
    ("HSET {k}h f V g 1", ":2", true),
    ("HGET {k}h f", "V", true),
    ("HGET {k}h g", "$1", false),
    ("HMGET {k}h g x", "*2", false),
    ("HMGET {k}h g f", "*2", true),
    ("HSTRLEN {k}h f", ":3145728", false),
    ("HVALS {k}h", "*2", true),
    ("HSCAN {k}h 0", "*2", true),
    ("HSCAN {k}h 0 NOVALUES", "*2", true),
    ("HRANDFIELD {k}h 2", "*2", false),
    ("HRANDFIELD {k}h 2 WITHVALUES", "*4", true),
    ("HGETEX {k}h PERSIST FIELDS 1 g", "*1", false),
    ("HGETEX {k}h PERSIST FIELDS 1 f", "*1", true),
    ("HGETEX {k}h FIELDS 1 f", "*1", true),
    ("HGETDEL {k}h FIELDS 1 f", "*1", true),
    ("HSETNX {k}h V 1", ":1", true),
    ("HEXISTS {k}h V", ":1", true),
    ("SADD {k}s V", ":1", true),
    ("SISMEMBER {k}s V", ":1", true),
    ("SRANDMEMBER {k}s", "V", true),
    ("SRANDMEMBER {k}s -1", "*1", true),
    ("SMEMBERS {k}s", "*1", true),
    ("SSCAN {k}s 0", "*2", true),
    ("SUNIONSTORE {k}s2 {k}s", ":1", true),
    ("SMOVE {k}s {k}s3 V", ":1", true),
    ("SPOP {k}s3", "V", true),
    ("SREM {k}s2 V", ":1", true),
    ("ZADD {k}z 1 a 2 V", ":2", true),
    ("ZSCORE {k}z V", "$1", true),
    ("ZRANGE {k}z 0 0", "*1", false),
    ("ZRANGE {k}z 0 1", "*2", true),
    ("ZRANGEBYSCORE {k}z 2 2", "*1", true),
    ("ZSCAN {k}z 0", "*2", true),
    ("ZRANGESTORE {k}z2 {k}z 1 1", ":1", true),
    ("ZRANDMEMBER {k}z2", "V", true),
    ("ZUNIONSTORE {k}z3 2 {k}z {k}z2", ":2", true),
    ("ZPOPMIN {k}z", "*2", false),
    ("ZPOPMAX {k}z", "*2", true),
    ("ZREMRANGEBYRANK {k}z3 0 0", ":1", false),
    ("ZREMRANGEBYRANK {k}z3 0 0", ":1", true),
    ("XADD {k}x 1-1 f V", "$3", true),
    ("XADD {k}x 2-1 f v", "$3", false),
    ("XRANGE {k}x 2 +", "*1", false),
    ("XRANGE {k}x - +", "*2", true),
    ("XREVRANGE {k}x + - COUNT 1", "*1", false),
    ("XREVRANGE {k}x + -", "*2", true),
    ("XREAD STREAMS {k}x 1-1", "*1", false),
    ("XREAD STREAMS {k}x 0", "*1", true),
    ("XINFO STREAM {k}x", "*20", true),
    ("XGROUP CREATE {k}x g 0", "+OK", false),
    ("XREADGROUP GROUP g me STREAMS {k}x >", "*1", true),
    ("XREADGROUP GROUP g me STREAMS {k}x 1-1", "*1", false),
    ("XREADGROUP GROUP g me STREAMS {k}x 0", "*1", true),
    ("XCLAIM {k}x g you 0 1-1", "*1", true),
    ("XAUTOCLAIM {k}x g me 0 -", "*3", true),
    ("XAUTOCLAIM {k}x g me 0 2", "*3", false),
    ("PFADD {k}p V", ":1", true),
    ("APPEND {k}t V", ":3145728", false),
    ("APPEND {k}t z", ":3145729", false),
    ("APPEND {k}t V", ":6291457", true),
    ("SETRANGE {k}t 3 z", ":6291457", false),
    ("SETRANGE {k}t 3 V", ":6291457", true),
    // What is between the end and what is written becomes zeros.
    ("SETRANGE {k}t 10000000 z", ":10000001", true),
    ("SETBIT {k}t 96000000 1", ":0", true),
    ("BITFIELD {k}t SET u8 120000000 1", "*1", true),
    ("SET {k}t V", "+OK", false),
    ("GETSET {k}t V", "V", false),
    ("DIGEST {k}t", "$16", true),
    ("SET {k}t V IFEQ V", "+OK", true),
    ("DELIFEQ {k}t z", ":0", false),
    ("DELIFEQ {k}t V", ":1", true),
];

fn words<'a>(command: &'a str, long: &'a str) -> Vec<&'a str> {
    command.split(' ').map(|word| if word == "V" { long } else { word }).collect()
}

#[test]
fn long_values_come_and_go_aside() {
    let long = "x".repeat(LONG);
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        let mut before = aside(&mut client);
        for (command, begins, goes) in COMMANDS {
            let reply = client.call(&words(command, &long));
            let head = if *begins == "V" { format!("${LONG}") } else { (*begins).to_owned() };
            assert_eq!(reply.lines().next(), Some(&head[..]), "{lanes} lanes: {command}");
            if *begins == "V" {
                assert!(reply[head.len() + 2..] == format!("{long}\r\n"), "{command}");
            }
            let now = aside(&mut client);
            assert_eq!(now - before, usize::from(*goes), "{lanes} lanes: {command} ran aside");
            before = now;
        }
        // Nothing of it is left but what the last commands left.
        assert_eq!(client.say("EXISTS {k}l {k}l2 {k}s {k}s2 {k}s3 {k}z {k}z3 {k}t"), ":0\r\n");
    }
}

#[test]
fn long_values_go_from_lane_to_lane() {
    let long = "x".repeat(LONG);
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        assert_eq!(client.call(&["RPUSH", "a", &long]), ":1\r\n");
        assert_eq!(client.call(&["SADD", "c", &long]), ":1\r\n");
        let before = aside(&mut client);
        let value = format!("${LONG}\r\n{long}\r\n");
        assert!(client.say("LMOVE a b LEFT LEFT") == value, "{lanes} lanes");
        assert_eq!(client.call(&["SMOVE", "c", "d", &long]), ":1\r\n");
        assert_eq!(aside(&mut client), before + 2, "{lanes} lanes");
        assert_eq!(client.say("EXISTS a c"), ":0\r\n");
        assert_eq!(client.say("MULTI"), "+OK\r\n");
        for command in ["RPOPLPUSH b a", "LLEN a", "SPOP d", "SCARD d"] {
            assert_eq!(client.say(command), "+QUEUED\r\n");
        }
        let answers = format!("*4\r\n{value}:1\r\n{value}:0\r\n");
        assert!(client.say("EXEC") == answers, "{lanes} lanes");
        assert_eq!(aside(&mut client), before + 4, "{lanes} lanes");
        // The script is left twice, and its own value copied to Lua and back.
        let script = "redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'LEFT') \
                      return #redis.call('LINDEX', KEYS[2], 0)";
        let length = format!(":{LONG}\r\n");
        assert_eq!(client.call(&["EVAL", script, "2", "a", "b"]), length, "{lanes} lanes");
        assert_eq!(aside(&mut client), before + 6, "{lanes} lanes");
    }
}

/// Somebody who has asked for a value and reads no more than that it comes.
fn hold(server: &Running, key: &str) -> Client {
    let mut reader = server.client();
    reader.send_command(&["GET", key]);
    assert_eq!(reader.stream.peek(&mut [0]).expect("the reply begins"), 1);
    reader
}

#[test]
fn a_long_value_that_a_reply_holds_is_copied_aside_before_it_changes() {
    let long = "x".repeat(VERY_LONG);
    let server = Running::with(1, &[]);
    let mut client = server.client();
    assert_eq!(client.call(&["SET", "k", &long]), "+OK\r\n");
    let mut before = aside(&mut client);
    let changes: [(&str, &str); 4] = [
        ("APPEND k y", ":50331649"),
        ("SETRANGE k 1 y", ":50331649"),
        ("SETBIT k 4 0", ":1"),
        ("BITFIELD k SET u8 #3 65", "*1"),
    ];
    let mut expected = long.into_bytes();
    for (change, begins) in changes {
        let mut reader = hold(&server, "k");
        assert_eq!(client.say(change).lines().next(), Some(begins), "{change}");
        let now = aside(&mut client);
        assert_eq!(now, before + 1, "{change} ran aside");
        before = now;
        let held = reader.reply().into_bytes();
        let begins = format!("${}\r\n", expected.len()).len();
        assert!(held[begins..held.len() - 2] == expected, "{change} is seen by who had asked");
        match change {
            "APPEND k y" => expected.push(b'y'),
            "SETRANGE k 1 y" => expected[1] = b'y',
            "SETBIT k 4 0" => expected[0] &= !8,
            _ => expected[3] = b'A',
        }
        // Nobody holds what it has become.
        assert_eq!(client.say("SETRANGE k 9 x"), format!(":{}\r\n", expected.len()));
        assert_eq!(aside(&mut client), before, "after {change}");
        let now = client.say("GET k").into_bytes();
        assert!(now[begins..now.len() - 2] == expected, "{change} is done");
    }
}
