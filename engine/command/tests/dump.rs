//! DUMP and RESTORE: values go to a real redis-server and come back; what is broken is refused.

mod support;

use ringlane_command::dump::with_footer;
use ringlane_store::TypeName;
use support::redis::Server;
use support::{Lane, bulk, run_on, show, words};

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
    add("long elements", many("RPUSH", 20, &|at| "x".repeat(1 + at * 900)));
    add("negative integers", many("RPUSH", 64, &|at| format!("{}", -(1i64 << at.min(62)))));
    add("infinite scores", vec!["ZADD k inf a -inf b 0 c".to_owned()]);
    streams(&mut add);
    makers
}

/// Streams: with names alike and not, long and odd values, gaps, nothing, and groups.
fn streams(add: &mut dyn FnMut(&str, Vec<String>)) {
    for count in [1, 3, 99, 100, 101, 2500] {
        let alike = |at| format!("XADD k 5-{} name value{at}", at + 1);
        add("stream", (0..count).map(alike).collect());
        let other =
            |at: i64| format!("XADD k {}-{} name{} {} b {at}", at + 7, 9 * at % 4, at % 3, -at);
        add("stream of different names", (0..count).map(other).collect());
    }
    for value in [0, 127, 128, 4095, 4096, -4096, -4097, 32767, -32768, 32768, 8_388_607] {
        add("stream of an integer", vec![format!("XADD k 1-1 f {value}")]);
    }
    for value in [-8_388_608, 8_388_608, i64::from(i32::MAX), 1 << 31, i64::MAX, i64::MIN] {
        add("stream of an integer", vec![format!("XADD k 1-1 f {value}")]);
    }
    // Lengths at which the encoding of a string, and that of the way back, change.
    for length in [63, 64, 126, 127, 4095, 4096, 16_379, 16_380, 2_097_145, 2_097_146] {
        let value = "v".repeat(length);
        add("stream of a string", vec![format!("XADD k 1-1 f {value}"), "XADD k 1-2 f 1".into()]);
    }
    let far = ["XADD k 5-18446744073709551615 a 1", "XADD k 18446744073709551614-3 a 2"];
    add("stream of far ids", far.map(str::to_owned).to_vec());
    let mut lines: Vec<String> = (1..=300).map(|at| format!("XADD k 1-{at} f {at}")).collect();
    lines.extend((50..=260).step_by(3).map(|at| format!("XDEL k 1-{at}")));
    lines.push("XTRIM k MAXLEN = 190".to_owned());
    add("stream with gaps", lines.clone());
    for line in [
        "XGROUP CREATE k early 0",
        "XGROUP CREATE k late $ ENTRIESREAD 300",
        "XGROUP CREATE k unknown 1-120",
        "XGROUP CREATECONSUMER k late idler",
        "XREADGROUP GROUP early alice COUNT 20 STREAMS k >",
        "XREADGROUP GROUP early bob COUNT 120 STREAMS k >",
        "XREADGROUP GROUP early carol COUNT 1 STREAMS k >",
        "XREADGROUP GROUP unknown alice COUNT 3 STREAMS k >",
        "XDEL k 1-121",
        "XACK k early 1-112 1-113",
        "XCLAIM k early carol 0 1-114 1-115",
    ] {
        lines.push(line.to_owned());
    }
    add("stream with groups", lines);
    add("stream without entries", vec!["XGROUP CREATE k g $ MKSTREAM".to_owned()]);
    add("stream that is emptied", vec!["XADD k 3-3 a b".to_owned(), "XDEL k 3-3".to_owned()]);
}

/// What both servers answer alike about a value.
const QUESTIONS: [&str; 8] = [
    "TYPE k",
    "GET k",
    "LRANGE k 0 -1",
    "SORT k ALPHA",
    "ZRANGE k 0 -1 WITHSCORES",
    "PTTL k",
    "XRANGE k - +",
    "XINFO GROUPS k",
];

/// All about a stream but how it is packed, and what Redis 7.0 does not know.
fn about_stream(full: &str) -> String {
    let words: Vec<&str> = full.split(' ').collect();
    let own = ["radix-tree-keys", "radix-tree-nodes", "active-time"];
    let is_own = |at: usize| own.contains(&words[at].trim_matches(['[', ']', '"']));
    let shown = |at: usize| !is_own(at) && (at == 0 || !is_own(at - 1));
    let kept: Vec<&str> = (0..words.len()).filter(|at| shown(*at)).map(|at| words[at]).collect();
    kept.join(" ")
}

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
        .push(about_stream(&show(&answer(&[b"XINFO", b"STREAM", b"k", b"FULL", b"COUNT", b"0"]))));
    answers
}

#[test]
fn values_travel_to_redis_and_back() {
    let Some(mut redis) = Server::start() else { return };
    redis.run(&[b"CONFIG", b"SET", b"sanitize-dump-payload", b"yes"]);
    for (name, lines) in makers() {
        redis.run(&[b"FLUSHALL"]);
        for line in &lines {
            let line = std::str::from_utf8(line).expect("text");
            let words = words(line);
            let slices: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let answer = redis.run(&slices);
            assert_ne!(answer[0], b'-', "{line}: {}", show(&answer));
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

/// Which eviction a value comes from can be said once.
#[test]
fn idle_time_and_frequency_exclude_each_other() {
    let mut lane = Lane::default();
    lane.run(&[b"SET", b"k", b"v"]);
    let dumped = bulk(&lane.run(&[b"DUMP", b"k"]));
    for (options, answer) in [
        ("IDLETIME 1", "+OK"),
        ("FREQ 1 FREQ 2", "+OK"),
        ("IDLETIME 1 FREQ 1", "-ERR syntax error"),
        ("FREQ 0 REPLACE IDLETIME 0", "-ERR syntax error"),
        ("IDLETIME -1 FREQ 1", "-ERR Invalid IDLETIME value, must be >= 0"),
    ] {
        lane.run(&[b"DEL", b"n"]);
        let mut args: Vec<&[u8]> = vec![b"RESTORE", b"n", b"0", &dumped];
        args.extend(options.split(' ').map(str::as_bytes));
        assert_eq!(show(&lane.run(&args)), answer, "{options}");
    }
}

#[test]
fn fields_that_are_due_are_not_restored() {
    // A form whose fields name milliseconds since the first, and one more: `a` at 0, `b` never.
    let form = [24, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut lane = Lane::default();
    let both = [&form[..], &[2, 1, 1, b'a', 1, b'x', 0, 1, b'b', 1, b'y']].concat();
    let payload = with_footer(&both, 12);
    assert_eq!(lane.run(&[b"RESTORE", b"k", b"0", &payload]), b"+OK\r\n");
    run_on(&mut lane, "HLEN k => :1\nHGETALL k => [\"b\" \"y\"]");
    let all_due = with_footer(&[&form[..], &[1, 1, 1, b'a', 1, b'x']].concat(), 12);
    assert_eq!(lane.run(&[b"RESTORE", b"k", b"0", &all_due, b"REPLACE"]), b"+OK\r\n");
    run_on(&mut lane, "EXISTS k => :0\nDUMP k => nil");
}

#[test]
fn a_hash_whose_fields_are_all_due_is_not_dumped() {
    let mut lane = Lane::default();
    run_on(&mut lane, "HSET k a 1 => :1\nHPEXPIRE k 100 FIELDS 1 a => [:1]");
    // Nothing has taken it out yet.
    lane.wait(1000);
    run_on(&mut lane, "DUMP k => nil");
}

/// A stream without entries, but with a group that has read up to 3-1 and a consumer, in this form.
fn stream_of_form(form: u8) -> Vec<u8> {
    let seen = 1_600_000_000_000u64.to_le_bytes();
    let mut body = vec![form, 0, 0, 3, 1];
    if form != 15 {
        body.extend([0, 0, 2, 2, 7]); // First, deleted, added.
    }
    body.extend([1, 1, b'g', 3, 1]);
    if form != 15 {
        body.push(6); // Read.
    }
    body.extend([1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1]);
    body.extend(seen);
    body.extend([4, 1, 1, b'c']);
    body.extend(seen);
    if form >= 21 {
        body.extend((-1i64).to_le_bytes());
    }
    body.extend([1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1]);
    if form >= 27 {
        body.push(0); // Given back.
    }
    if form >= 26 {
        // Kept for 100 ms, at most 100: of the producer p1 two entries, of p2 one; added, twice.
        body.extend([0x40, 100, 0x40, 100, 2, 2, b'p', b'1', 2]);
        body.extend([1, b'a', 1, 0, 1, b'b', 1, 1, 2, b'p', b'2', 1, 1, b'c', 2, 0, 3, 0]);
    }
    body
}

#[test]
fn streams_of_every_form_are_read() {
    for (form, read, lag, deleted, active) in [
        (15, ":0", ":0", "0-0", ":1600000000000"),
        (19, ":6", ":0", "2-2", ":1600000000000"),
        (21, ":6", ":0", "2-2", ":-1"),
        (26, ":6", ":0", "2-2", ":-1"),
        (27, ":6", ":0", "2-2", ":-1"),
    ] {
        let mut lane = Lane::default();
        let payload = with_footer(&stream_of_form(form), 14);
        assert_eq!(lane.run(&[b"RESTORE", b"k", b"0", &payload]), b"+OK\r\n", "form {form}");
        let groups = lane.say("XINFO GROUPS k");
        let expected = format!(
            "[[\"name\" \"g\" \"consumers\" :1 \"pending\" :1 \"last-delivered-id\" \"3-1\" \
             \"entries-read\" {read} \"lag\" {lag}]]"
        );
        assert_eq!(groups, expected, "form {form}");
        let full = lane.say("XINFO STREAM k FULL");
        assert!(full.contains(&format!("\"max-deleted-entry-id\" \"{deleted}\"")), "{full}");
        assert!(full.contains(&format!("\"active-time\" {active}")), "{full}");
        assert!(full.contains("[\"3-1\" :1600000000000 :4]"), "{full}");
    }
}

#[test]
fn entries_that_were_given_back_are_refused() {
    // In the form of 8.8 a group ends with their ids: here with one.
    let body = stream_of_form(27);
    let at = body.windows(3).position(|bytes| bytes == [0, 0x40, 100]).unwrap();
    let mut given_back = body.clone();
    given_back.splice(at..=at, [1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1]);
    let mut lane = Lane::default();
    let mut restore =
        |body: &[u8]| show(&lane.run(&[b"RESTORE", b"k", b"0", &with_footer(body, 14)]));
    assert_eq!(restore(&given_back), "-ERR Bad data format");
    assert_eq!(restore(&body), "+OK");
}

/// `DUMP` of a real server: its version, what it holds there, the payload in hexadecimal.
const PAYLOADS: [(&str, &str, &str); 7] = [
    ("Redis 8.6", "text", "0001760d0033a147011e8dfd0e"),
    ("Redis 8.6", "list", "1201020d0d0000000200816102816202ff0d00ca42833a14f4cc71"),
    (
        "Redis 8.6",
        "hash with a field that expires",
        "19e83bd360ba0100001d1d00000006008161020101f4e83bd360ba0100000981620202010001ff\
         0d00637b9f84503ca9b6",
    ),
    (
        "Redis 8.6",
        "stream with producers",
        "1a0110000001a1ff2732200000000000000000c32a3011300000001400030100010101816102000102200a\
         400c00042009000120090002a009000140090101ff0381000001a1ff2732210181000001a1ff2732200000\
         000300406440640202703102046969643181000001a1ff27322000046969643281000001a1ff27322100\
         02703201046969643381000001a1ff2732210103000d00f147c54c6c533e0a",
    ),
    (
        "Redis 8.6",
        "stream with a group",
        "1a0110000000000000000100000000000000011c1c0000000a00010100010101816102000102010001000101\
         010401ff010101010100000101016701010101000000000000000100000000000000013d3926ffa1010000010\
         101633d3926ffa10100003d3926ffa10100000100000000000000010000000000000001406440640000000d00\
         f92fae39f7ec3bd6",
    ),
    ("Valkey 9.1", "set", "140d0d0000000200816102816202ff5000ac197e562a6e5829"),
    (
        "Valkey 9.1",
        "hash with a field that expires",
        "16020161c001e83bd360ba0100000162c002ffffffffffffffff500061c1e1580c3ff60e",
    ),
];

#[test]
fn payloads_of_newer_servers_are_read() {
    for (server, what, digits) in PAYLOADS {
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        let payload: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
        let mut lane = Lane::default();
        let answer = lane.run(&[b"RESTORE", b"k", b"0", &payload]);
        assert_eq!(answer, b"+OK\r\n", "{server}: {what}");
        let (command, expected) = match what {
            "text" => ("GET k", "\"v\""),
            "list" => ("LRANGE k 0 -1", "[\"a\" \"b\"]"),
            "set" => ("SMISMEMBER k a b c", "[:1 :1 :0]"),
            "stream with producers" => ("XLEN k", ":3"),
            "stream with a group" => ("XPENDING k g", "[:1 \"1-1\" \"1-1\" [[\"c\" \"1\"]]]"),
            _ => ("HPEXPIRETIME k FIELDS 2 a b", "[:1900000001000 :-1]"),
        };
        assert_eq!(lane.say(command), expected, "{server}: {what}");
    }
}

#[test]
fn broken_streams_are_refused_or_read_but_never_more() {
    let mut lane = Lane::default();
    for line in [
        "XADD k 1-1 name 1 other 300",
        "XADD k 1-2 name 70000 other text",
        "XADD k 2-1 third 1",
        "XGROUP CREATE k g 0",
        "XREADGROUP GROUP g c STREAMS k >",
    ] {
        let answer = lane.say(line);
        assert!(!answer.starts_with('-'), "{line}: {answer}");
    }
    let payload = bulk(&lane.run(&[b"DUMP", b"k"]));
    let body = &payload[..payload.len() - 10];
    let mut refused = 0;
    for at in 1..body.len() {
        assert!(
            show(&lane.run(&[b"RESTORE", b"cut", b"0", &with_footer(&body[..at], 10)]))
                .contains("Bad data format"),
            "cut off before byte {at}"
        );
        for flip in [0x01, 0x02, 0x80, 0xFF] {
            let mut broken = body.to_vec();
            broken[at] ^= flip;
            let broken = with_footer(&broken, 10);
            let answer = show(&lane.run(&[b"RESTORE", b"l", b"0", &broken, b"REPLACE"]));
            if answer == "+OK" {
                // Whatever it is now, it is whole.
                let again = bulk(&lane.run(&[b"DUMP", b"l"]));
                assert_eq!(lane.run(&[b"RESTORE", b"m", b"0", &again, b"REPLACE"]), b"+OK\r\n");
                assert!(!lane.say("XINFO STREAM m FULL").starts_with('-'));
            } else {
                assert!(answer.contains("Bad data format"), "byte {at}: {answer}");
                refused += 1;
            }
        }
    }
    assert!(refused > body.len(), "only {refused} of {} were refused", 4 * body.len());
}

/// A stream of one node: a name of this many bytes, 2^14 or more, for 700 entries of a few bytes.
fn stream_of_a_long_name(length: usize) -> Vec<u8> {
    let name = "n".repeat(length);
    let mut node = vec![0xF1];
    node.extend(700u16.to_le_bytes());
    node.push(3);
    node.extend([0, 1, 1, 1]);
    node.push(0xF0);
    node.extend((name.len() as u32).to_le_bytes());
    node.extend(name.as_bytes());
    node.extend([0x40, 0x80 | 5, 0, 1]);
    let length = name.len() + 5;
    let place = node.len() - 4;
    node.splice(
        place..place + 2,
        [(length >> 14) as u8, (length >> 7) as u8 & 0x7F | 0x80, length as u8 & 0x7F | 0x80],
    );
    for at in 0..700u16 {
        node.extend([2, 1, 0, 1]);
        node.extend([0xC0 | (at >> 8) as u8, at as u8, 2]);
        node.extend([1, 1, 4, 1]);
    }
    let mut listpack = (node.len() as u32 + 7).to_le_bytes().to_vec();
    listpack.extend((700u16 * 5 + 5).to_le_bytes());
    listpack.extend(node);
    listpack.push(0xFF);
    let mut body = vec![19, 1, 16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0x80];
    body.extend((listpack.len() as u32).to_be_bytes());
    body.extend(listpack);
    body.extend([0x42, 0xBC, 1, 0x43, 0xFF, 1, 1, 0, 0, 0x42, 0xBC, 0]);
    body
}

#[test]
fn names_that_unfold_without_end_are_refused() {
    let mut lane = Lane::default();
    for (length, expected) in [(20_000, "+OK"), (1 << 20, "-ERR Bad data format")] {
        let payload = with_footer(&stream_of_a_long_name(length), 10);
        assert_eq!(show(&lane.run(&[b"RESTORE", b"k", b"0", &payload, b"REPLACE"])), expected);
    }
    assert_eq!(lane.say("XLEN k"), ":700", "a payload that is refused replaces nothing");
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
