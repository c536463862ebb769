//! Commands through the front door of real servers with 1, 2 and 4 lanes: the same replies on all.

mod support;

use support::{Client, Running, encode};

const LANES: [usize; 3] = [1, 2, 4];

/// Runs a session of `command -> reply` lines on servers with several numbers of lanes.
fn check(session: &[(&str, &str)]) {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        for (command, expected) in session {
            let expected = expected.replace(' ', "\r\n").replace('_', " ") + "\r\n";
            assert_eq!(client.say(command), expected, "{lanes} lanes: {command}");
        }
    }
}

#[test]
fn single_keys() {
    check(&[
        ("PING", "+PONG"),
        ("SET a 1", "+OK"),
        ("GET a", "$1 1"),
        ("INCR a", ":2"),
        ("SET text hello", "+OK"),
        ("APPEND text _world", ":11"),
        ("STRLEN text", ":11"),
        ("GET missing", "$-1"),
        ("TYPE text", "+string"),
        ("SET k v PX 100000", "+OK"),
        ("PERSIST k", ":1"),
        ("TTL k", ":-1"),
        ("GETDEL k", "$1 v"),
        ("EXISTS k", ":0"),
    ]);
}

#[test]
fn cursors_are_read_as_redis_8_reads_them() {
    check(&[
        ("SCAN +18446744073709551615", "*2 $1 0 *0"),
        ("SCAN -1", "-ERR_invalid_cursor"),
        ("SCAN -x", "-ERR_invalid_cursor"),
    ]);
}

#[test]
fn keys_of_several_lanes() {
    check(&[
        ("MSET a 1 b 2 c 3 d 4", "+OK"),
        ("MGET a b c d missing", "*5 $1 1 $1 2 $1 3 $1 4 $-1"),
        ("EXISTS a b c d a missing", ":5"),
        ("DBSIZE", ":4"),
        ("RENAME a z", "+OK"),
        ("GET z", "$1 1"),
        ("RENAMENX b z", ":0"),
        ("COPY b y", ":1"),
        ("GET y", "$1 2"),
        ("MSETNX new 1 b 2", ":0"),
        ("EXISTS new", ":0"),
        ("MSETNX new 1 newer 2", ":1"),
        ("DEL a b c d", ":3"),
        ("DBSIZE", ":4"),
        ("FLUSHALL", "+OK"),
        ("DBSIZE", ":0"),
        ("RANDOMKEY", "$-1"),
    ]);
}

#[test]
fn copies_between_databases_see_the_key_that_is_there() {
    // Keys that lie on different lanes when there are several.
    check(&[
        ("SELECT 1", "+OK"),
        ("MSET b old c old d old e old", "+OK"),
        ("SELECT 0", "+OK"),
        ("SET a new", "+OK"),
        ("COPY a b DB 1", ":0"),
        ("COPY a c DB 1", ":0"),
        ("COPY a d DB 1 REPLACE", ":1"),
        ("COPY a f DB 1", ":1"),
        ("MGET b c d e f", "*5 $-1 $-1 $-1 $-1 $-1"),
        ("SELECT 1", "+OK"),
        ("MGET a b c d e f", "*6 $-1 $3 old $3 old $3 new $3 old $3 new"),
    ]);
}

#[test]
fn databases_are_apart() {
    check(&[
        ("SELECT 1", "+OK"),
        ("SET a one", "+OK"),
        ("SELECT 2", "+OK"),
        ("GET a", "$-1"),
        ("SWAPDB 1 2", "+OK"),
        ("GET a", "$3 one"),
        ("MOVE a 5", ":1"),
        ("SELECT 5", "+OK"),
        ("GET a", "$3 one"),
        ("DBSIZE", ":1"),
        ("FLUSHDB", "+OK"),
        ("DBSIZE", ":0"),
    ]);
}

#[test]
fn a_pipeline_is_answered_in_order() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        let mut pipeline = Vec::new();
        for number in 0..2000 {
            let (key, value) = (format!("key{number}"), format!("value{number}"));
            pipeline.extend(encode(&["SET", &key, &value]));
            pipeline.extend(encode(&["GET", &key]));
            pipeline.extend(encode(&["MGET", &key, "absent", "key0"]));
            pipeline.extend(encode(&["PING"]));
        }
        let mut writer = client.stream.try_clone().expect("a second handle");
        let sending = std::thread::spawn(move || {
            std::io::Write::write_all(&mut writer, &pipeline).expect("the server reads");
        });
        for number in 0..2000 {
            let value = format!("value{number}");
            let length = value.len();
            assert_eq!(client.reply(), "+OK\r\n");
            assert_eq!(client.reply(), format!("${length}\r\n{value}\r\n"));
            let expected = format!("*3\r\n${length}\r\n{value}\r\n$-1\r\n$6\r\nvalue0\r\n");
            assert_eq!(client.reply(), expected);
            assert_eq!(client.reply(), "+PONG\r\n");
        }
        sending.join().expect("all was sent");
    }
}

#[test]
fn scan_and_keys_find_every_key_once() {
    // So many that the answer of KEYS comes in pieces.
    const KEYS: usize = 20_000;
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        for number in 0..KEYS {
            client.send_command(&["SET", &format!("key{number}"), "v"]);
        }
        (0..KEYS).for_each(|_| assert_eq!(client.reply(), "+OK\r\n"));
        let found = client.say("KEYS *");
        assert!(found.starts_with(&format!("*{KEYS}\r\n")));
        let found: std::collections::BTreeSet<&str> =
            found.split("\r\n").skip(2).step_by(2).collect();
        assert_eq!(found.len(), KEYS);
        assert!(found.iter().all(|key| key.starts_with("key")));
        assert!(client.say("KEYS key299?").starts_with("*10\r\n"));
        let mut seen = std::collections::BTreeSet::new();
        let mut cursor = "0".to_owned();
        for _ in 0..10_000 {
            let reply = client.call(&["SCAN", &cursor, "COUNT", "100"]);
            let lines: Vec<&str> = reply.split("\r\n").collect();
            lines[5..].iter().filter(|line| line.starts_with("key")).for_each(|key| {
                seen.insert((*key).to_owned());
            });
            cursor = lines[2].to_owned();
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(cursor, "0", "the scan ends");
        assert_eq!(seen.len(), KEYS, "{lanes} lanes");
    }
}

#[test]
fn values_of_any_size_come_back_whole() {
    for lanes in [1, 2] {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        for (number, size) in [0, 1, 100, 16_383, 16_384, 70_000, 5_000_000].into_iter().enumerate()
        {
            for name in ["a", "b", "c"] {
                let key = format!("{name}{number}");
                let value: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
                assert_eq!(client.call(&[b"SET", key.as_bytes(), &value]), "+OK\r\n");
                client.send_command(&["GET", &key]);
                let mut expected = format!("${size}\r\n").into_bytes();
                expected.extend_from_slice(&value);
                expected.extend_from_slice(b"\r\n");
                assert!(client.reply_bytes() == expected, "{lanes} lanes, {size} bytes");
            }
        }
    }
}

#[test]
fn one_byte_at_a_time_is_understood() {
    let server = Running::with(2, &[]);
    let mut client = server.client();
    for byte in encode(&["SET", "slow", "writer"]).into_iter().chain(*b"GET slow\r\n") {
        client.send(&[byte]);
    }
    assert_eq!(client.reply(), "+OK\r\n");
    assert_eq!(client.reply(), "$6\r\nwriter\r\n");
}

#[test]
fn a_half_closed_socket_is_still_answered() {
    let server = Running::with(2, &[]);
    let mut client = server.client();
    for number in 0..500 {
        client.send_command(&["SET", &format!("k{number}"), "v"]);
    }
    client.stream.shutdown(std::net::Shutdown::Write).expect("open so far");
    assert_eq!(client.read_to_end(), b"+OK\r\n".repeat(500));
}

#[test]
fn connections_spread_over_the_lanes() {
    let server = Running::with(4, &[]);
    let clients: Vec<Client> = (0..40)
        .map(|_| {
            let mut client = server.client();
            assert_eq!(client.say("PING"), "+PONG\r\n");
            client
        })
        .collect();
    assert_eq!(clients.len(), 40);
}

#[test]
fn a_lane_door_answers_moved_and_crossslot() {
    let server = Running::with(2, &[]);
    let mut first = server.lane_client(0);
    // Slot 12182 (foo) belongs to lane 1, slot 5061 (bar) to lane 0.
    let expected = format!("-MOVED 12182 127.0.0.1:{}\r\n", server.lane_ports[1]);
    assert_eq!(first.say("GET foo"), expected);
    assert_eq!(first.say("SET bar 1"), "+OK\r\n");
    assert_eq!(
        first.say("MGET bar foo"),
        "-CROSSSLOT Keys in request don't hash to the same slot\r\n"
    );
    assert_eq!(server.lane_client(1).say("SET foo 1"), "+OK\r\n");
    assert_eq!(first.say("DBSIZE"), ":1\r\n");
    assert_eq!(server.client().say("DBSIZE"), ":2\r\n");
}

#[test]
fn a_client_that_asked_for_it_leaves_no_trace_of_its_reads() {
    for lanes in [1, 2] {
        let server = Running::with(lanes, &[("maxmemory-policy", "allkeys-lfu")]);
        let mut client = server.client();
        for key in ["foo", "bar"] {
            client.call(&["SET", key, "value"]);
            let before = client.call(&["OBJECT", "FREQ", key]);
            assert_eq!(client.say("CLIENT NO-TOUCH ON"), "+OK\r\n");
            for _ in 0..200 {
                client.call(&["GET", key]);
            }
            assert_eq!(client.call(&["OBJECT", "FREQ", key]), before, "{lanes} lanes, {key}");
            assert_eq!(client.say("CLIENT NO-TOUCH OFF"), "+OK\r\n");
            for _ in 0..200 {
                client.call(&["GET", key]);
            }
            assert_ne!(client.call(&["OBJECT", "FREQ", key]), before, "{lanes} lanes, {key}");
        }
    }
}

const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";

#[test]
fn above_the_limit_without_eviction_whatever_may_need_memory_is_refused() {
    let server = Running::with(1, &[("maxmemory", "1gb"), ("maxmemory-policy", "noeviction")]);
    let (mut client, mut other) = (server.client(), server.client());
    for line in ["SET k 1", "RPUSH list a b", "HSET hash f v", "SET number 5"] {
        assert!(client.say(line).starts_with(['+', ':']), "{line}");
    }
    assert_eq!(other.say("MULTI"), "+OK\r\n");
    assert_eq!(other.say("SET k 2"), "+QUEUED\r\n");
    // Far less than what the process takes, and what the empty tables do.
    assert_eq!(client.say("CONFIG SET maxmemory 1"), "+OK\r\n");
    let refused = format!("-{OOM}\r\n");
    for line in [
        "SET k 1",
        "SET k v",
        "APPEND k v",
        "INCR number",
        "SETRANGE k 0 x",
        "LPUSH list c",
        "HSET hash f v",
        "SADD set a",
        "ZADD sorted 1 a",
        "XADD stream * f v",
        "MSET k 1 number 2",
        "COPY k copy",
        "SETBIT bits 0 1",
    ] {
        assert_eq!(client.say(line), refused, "{line}");
    }
    for (line, expected) in [
        ("GET k", "$1\r\n1\r\n"),
        ("EXPIRE k 100", ":1\r\n"),
        ("PERSIST k", ":1\r\n"),
        ("LPOP list", "$1\r\na\r\n"),
        ("HDEL hash f", ":1\r\n"),
        ("DEL hash", ":0\r\n"),
        ("EXISTS k", ":1\r\n"),
    ] {
        assert_eq!(client.say(line), expected, "{line}");
    }
    // In a transaction at queueing, and at EXEC if it came to be so meanwhile.
    assert_eq!(client.say("MULTI"), "+OK\r\n");
    assert_eq!(client.say("GET k"), "+QUEUED\r\n");
    assert_eq!(client.say("SET k v"), refused);
    let aborted = "-EXECABORT Transaction discarded because of previous errors.\r\n";
    assert_eq!(client.say("EXEC"), aborted);
    let aborted = format!("-EXECABORT Transaction discarded because of: {OOM}\r\n");
    assert_eq!(other.say("EXEC"), aborted);
    assert_eq!(other.say("EXEC"), "-ERR EXEC without MULTI\r\n");
    assert_eq!(client.say("GET k"), "$1\r\n1\r\n");
    // In scripts: what reads and removes runs.
    let said = client.call(&["EVAL", "return redis.call('set', KEYS[1], 'v')", "1", "k"]);
    assert!(said.starts_with(&format!("-{OOM} script: ")), "{said}");
    let said = client.call(&["EVAL", "return redis.call('get', KEYS[1])", "1", "k"]);
    assert_eq!(said, "$1\r\n1\r\n");
    let script = "redis.call('del', KEYS[1]) return redis.call('set', KEYS[1], ARGV[1])";
    let long = "v".repeat(100_000);
    assert_eq!(client.call(&["EVAL", script, "1", "k", &long]), "+OK\r\n");

    assert_eq!(client.say("CONFIG SET maxmemory 0"), "+OK\r\n");
    assert_eq!(client.say("SET k v"), "+OK\r\n");
}

#[test]
fn a_limit_that_leaves_no_room_for_a_key_refuses_writes_under_every_policy() {
    for policy in ["adaptive", "allkeys-lru", "volatile-ttl"] {
        let server = Running::with(1, &[("maxmemory", "1gb"), ("maxmemory-policy", policy)]);
        let mut client = server.client();
        assert_eq!(client.say("SET k 1"), "+OK\r\n");
        assert_eq!(client.say("CONFIG SET maxmemory 1kb"), "+OK\r\n");
        // The limit is told at once and obeyed from the next look on.
        let mut looks = 0;
        while client.say("SET other 1") != format!("-{OOM}\r\n") {
            looks += 1;
            assert!(looks < 1000, "{policy}: it is not refused");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(client.say("DEL other"), ":0\r\n");
        assert_eq!(client.say("CONFIG SET maxmemory 1gb"), "+OK\r\n");
        let mut looks = 0;
        while client.say("SET k 2") != "+OK\r\n" {
            looks += 1;
            assert!(looks < 1000, "{policy}: it is refused for ever");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

#[test]
fn a_transaction_that_has_begun_is_not_refused_in_its_midst() {
    for lanes in [1, 2] {
        let settings = [("maxmemory", "300mb"), ("maxmemory-policy", "noeviction")];
        let server = Running::with(lanes, &settings);
        let mut client = server.client();
        // Keys of one slot, and of several; bytes that nobody touches take no memory.
        for tag in ["{a}", ""] {
            assert_eq!(client.say("FLUSHALL"), "+OK\r\n");
            assert_eq!(client.say("MULTI"), "+OK\r\n");
            for number in 0..5 {
                let line = format!("SETRANGE {tag}{number} 100000000 x");
                assert_eq!(client.say(&line), "+QUEUED\r\n");
            }
            let all = ":100000001\r\n".repeat(5);
            assert_eq!(client.say("EXEC"), format!("*5\r\n{all}"));
            assert_eq!(client.say(&format!("SETRANGE {tag}5 100000000 x")), format!("-{OOM}\r\n"));
        }
    }
}

#[test]
fn every_lane_refuses_for_itself_and_mset_for_all() {
    const LOOKS_MAX: usize = 3000;
    let server = Running::with(4, &[("maxmemory", "1gb"), ("maxmemory-policy", "noeviction")]);
    let mut client = server.client();
    assert_eq!(client.say("CONFIG SET maxmemory 1"), "+OK\r\n");
    let refused = format!("-{OOM}\r\n");
    let lines: Vec<String> = (0..40)
        .map(|number| format!("SET key:{number} v"))
        .chain(["MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8".to_owned()])
        .collect();
    for line in &lines {
        // The other lanes hear of the limit a moment later.
        let mut looks = 0;
        while client.say(line) != refused {
            looks += 1;
            assert!(looks < LOOKS_MAX, "{line} is not refused");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
    assert_eq!(client.say("MULTI"), "+OK\r\n");
    for line in &lines {
        assert_eq!(client.say(line), refused, "{line}");
    }
}
