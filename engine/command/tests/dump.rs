//! DUMP and RESTORE: values go to a real redis-server and come back; what is broken is refused.

mod support;

use ringlane_store::TypeName;
use support::redis::Server;
use support::{Lane, run_on, show, words};

/// The bytes of a bulk reply.
fn bulk(reply: &[u8]) -> Vec<u8> {
    let end = reply.windows(2).position(|pair| pair == b"\r\n").expect("a reply has a line");
    reply[end + 2..reply.len() - 2].to_vec()
}

/// Commands that make values of every type and form, small and large, plain and odd.
fn makers() -> Vec<(String, Vec<Vec<u8>>)> {
    let mut makers = Vec::new();
    let mut add = |name: &str, lines: Vec<String>| {
        makers
            .push((name.to_owned(), lines.iter().map(|line| line.clone().into_bytes()).collect()));
    };
    let many = |command: &str, count: usize, step: &dyn Fn(usize) -> String| -> Vec<String> {
        (0..count).map(|at| format!("{command} k {}", step(at))).collect()
    };
    add("text", vec!["SET k hello".to_owned()]);
    for integer in ["0", "-1", "127", "-128", "128", "32767", "-32769", "2147483647", "-2147483649"]
    {
        add("integer", vec![format!("SET k {integer}")]);
    }
    add("repetitive text", vec![format!("SET k {}", "ab".repeat(5000))]);
    for count in [1, 3, 200, 3000] {
        add("list", many("RPUSH", count, &|at| format!("element{at}")));
        add("list of integers", many("RPUSH", count, &|at| format!("{}", at * at * 7919)));
        add("set", many("SADD", count, &|at| format!("member{at}")));
        add("set of integers", many("SADD", count, &|at| format!("{}", at as i64 * 1_000_003 - 5)));
        add("hash", many("HSET", count, &|at| format!("field{at} value{at}")));
        add("hash of integers", many("HSET", count, &|at| format!("{at} {}", -(at as i64))));
        add("sorted", many("ZADD", count, &|at| format!("{} member{at}", at as f64 / 4.0)));
    }
    add("long elements", many("RPUSH", 20, &|at| "x".repeat(at * 900)));
    add("negative integers", many("RPUSH", 64, &|at| format!("{}", -(1i64 << at.min(62)))));
    add("infinite scores", vec!["ZADD k inf a -inf b 0 c".to_owned()]);
    makers
}

/// What both servers answer alike about a value.
const QUESTIONS: [&str; 6] =
    ["TYPE k", "GET k", "LRANGE k 0 -1", "SORT k ALPHA", "ZRANGE k 0 -1 WITHSCORES", "PTTL k"];

fn ask(answer: &mut dyn FnMut(&[&[u8]]) -> Vec<u8>) -> Vec<String> {
    let mut answers: Vec<String> = QUESTIONS
        .iter()
        .map(|question| {
            let words = words(question);
            let slices: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            show(&answer(&slices))
        })
        .collect();
    // In whatever order the table has them.
    let fields = show(&answer(&[b"HGETALL", b"k"]));
    let mut fields: Vec<&str> = fields.trim_matches(['[', ']']).split(' ').collect();
    fields.sort_unstable();
    answers.push(fields.join(" "));
    answers
}

#[test]
fn values_travel_to_redis_and_back() {
    let Some(mut redis) = Server::start() else { return };
    for (name, lines) in makers() {
        redis.run(&[b"FLUSHALL"]);
        for line in &lines {
            let line = std::str::from_utf8(line).expect("text");
            let words = words(line);
            let slices: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            redis.run(&slices);
        }
        let theirs = ask(&mut |args| redis.run(args));
        let payload = bulk(&redis.run(&[b"DUMP", b"k"]));
        let mut lane = Lane::default();
        assert_eq!(lane.run(&[b"RESTORE", b"k", b"0", &payload]), b"+OK\r\n", "{name}");
        assert_eq!(ask(&mut |args| lane.run(args)), theirs, "{name} of {} lines", lines.len());
        let ours = bulk(&lane.run(&[b"DUMP", b"k"]));
        let back = redis.run(&[b"RESTORE", b"k", b"0", &ours, b"REPLACE"]);
        assert_eq!(back, b"+OK\r\n", "{name}: {}", show(&back));
        assert_eq!(ask(&mut |args| redis.run(args)), theirs, "{name} of {} lines", lines.len());
    }
}

#[test]
fn fields_keep_their_expiry() {
    let mut lane = Lane::default();
    run_on(
        &mut lane,
        "HSET k a 1 b 2 c 3 => :3
         HPEXPIREAT k 1800000001000 FIELDS 1 a => [:1]
         HPEXPIREAT k 1800000000500 FIELDS 1 b => [:1]",
    );
    let before = lane.say("HPEXPIRETIME k FIELDS 3 a b c");
    let payload = bulk(&lane.run(&[b"DUMP", b"k"]));
    assert_eq!(lane.run(&[b"RESTORE", b"l", b"0", &payload]), b"+OK\r\n");
    assert_eq!(lane.say("HPEXPIRETIME l FIELDS 3 a b c"), before);
}

#[test]
fn options_and_refusals() {
    let mut lane = Lane::default();
    lane.say("SET k value");
    let payload = bulk(&lane.run(&[b"DUMP", b"k"]));
    let mut restore = |rest: &[&[u8]]| {
        let mut args: Vec<&[u8]> = vec![b"RESTORE", b"k"];
        args.extend_from_slice(rest);
        show(&lane.run(&args))
    };
    let busy = restore(&[b"0", &payload]);
    assert!(busy.contains("BUSYKEY Target key name already exists."), "{busy}");
    assert!(restore(&[b"0", &payload, b"REPLACE"]).contains("OK"));
    assert!(restore(&[b"-1", &payload, b"REPLACE"]).contains("Invalid TTL value, must be >= 0"));
    assert!(restore(&[b"x", &payload, b"REPLACE"]).contains("not an integer"));
    assert!(restore(&[b"0", &payload, b"IDLETIME", b"-1", b"REPLACE"]).contains("IDLETIME"));
    assert!(restore(&[b"0", &payload, b"FREQ", b"256", b"REPLACE"]).contains("FREQ"));
    assert!(restore(&[b"0", &payload, b"BOGUS"]).contains("syntax error"));
    assert!(restore(&[b"0", b"short", b"REPLACE"]).contains("version or checksum are wrong"));
    // One byte after the other is broken; the checksum tells.
    for at in 0..payload.len() {
        let mut broken = payload.clone();
        broken[at] ^= 0x55;
        let answer = restore(&[b"0", &broken, b"REPLACE"]);
        assert!(answer.contains("version or checksum are wrong"), "byte {at}: {answer}");
    }
    assert!(restore(&[b"1", &payload, b"ABSTTL", b"REPLACE"]).contains("OK"));
    assert_eq!(show(&lane.run(&[b"EXISTS", b"k"])), ":0", "its time was past");
    assert_eq!(TypeName::String.name(), "string");
}
