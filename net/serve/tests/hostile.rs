//! Hostile input through the front door: one clear error and a close, or an error reply; never a
//! crash, a hang, unbounded memory, or another client's delay.

mod support;

use std::io::Write;
use std::net::Shutdown;

use support::{Client, Running, encode};

/// What is sent, and what comes back before the server closes.
const MALFORMED: &[(&[u8], &str)] = &[
    (b"*99999999999999999999\r\n", "invalid multibulk length"),
    (b"*2000000000\r\n", "invalid multibulk length"),
    (b"*abc\r\n", "invalid multibulk length"),
    (b"*1\r\n$-5\r\n", "invalid bulk length"),
    (b"*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
    (b"*1\r\n$1073741824\r\n", "invalid bulk length"),
    (b"*1\r\n:5\r\n", "expected '$', got ':'"),
    (b"*2\r\n*1\r\n$4\r\nPING\r\n", "expected '$', got '*'"),
    (b"SET \"a b\r\n", "unbalanced quotes in request"),
];

#[test]
fn malformed_requests_get_one_error_and_a_close() {
    let server = Running::with(2, &[]);
    let mut bystander = server.client();
    for (sent, text) in MALFORMED {
        let mut client = server.client();
        client.send(b"PING\r\n");
        client.send(sent);
        client.stream.shutdown(Shutdown::Write).expect("open so far");
        let expected = format!("+PONG\r\n-ERR Protocol error: {text}\r\n");
        let reply = client.read_to_end();
        assert_eq!(String::from_utf8_lossy(&reply), expected, "{}", sent.escape_ascii());
        assert_eq!(bystander.say("PING"), "+PONG\r\n");
    }
}

#[test]
fn a_command_beyond_the_limit_that_is_set_is_refused() {
    let server = Running::with(2, &[("client-query-buffer-limit", "2mb")]);
    let refused = |arguments: &[&str]| {
        let mut client = server.client();
        // The server may close while this is still being written.
        let _ = client.stream.write_all(&encode(arguments));
        let reply = client.read_to_end();
        reply.is_empty() || reply == b"-ERR Protocol error: too big request\r\n"
    };
    let value = "v".repeat(1 << 20);
    let mut client = server.client();
    assert_eq!(client.call(&["MSET", "{t}a", &value, "{t}b", "v"]), "+OK\r\n");
    assert!(refused(&["MSET", "{t}a", &value, "{t}b", &value]));
    assert_eq!(client.say("CONFIG SET client-query-buffer-limit 1mb"), "+OK\r\n");
    assert!(refused(&["MSET", "{t}a", &value, "{t}b", "v"]));
    assert_eq!(client.say("STRLEN {t}b"), ":1\r\n");
}

#[test]
fn a_line_without_end_is_refused_at_64_kib() {
    let server = Running::with(1, &[]);
    let mut client = server.client();
    // The server may close while this is still being written.
    let _ = client.stream.write_all(&vec![b'a'; 200_000]);
    let reply = client.read_to_end();
    let text = String::from_utf8_lossy(&reply);
    assert!(text.is_empty() || text == "-ERR Protocol error: too big inline request\r\n", "{text}");
    let mut client = server.client();
    client.send(&vec![b'a'; 66_000]);
    let reply = client.read_to_end();
    assert_eq!(String::from_utf8_lossy(&reply), "-ERR Protocol error: too big inline request\r\n");
}

#[test]
fn unknown_names_of_any_length_are_answered_briefly() {
    let server = Running::with(2, &[]);
    let mut client = server.client();
    let name = "x".repeat(64 << 10);
    let reply = client.call(&[&name, "argument"]);
    assert!(reply.starts_with("-ERR unknown command 'xxx"), "{}", &reply[..60]);
    assert!(reply.len() < 600, "{} bytes of error", reply.len());
    assert_eq!(client.say("PING"), "+PONG\r\n");
}

#[test]
fn half_frames_then_silence_then_close_leave_nothing_behind() {
    let server = Running::with(2, &[]);
    let whole = encode(&["SET", "key", &"v".repeat(40_000)]);
    for cut in (1..whole.len()).step_by(1777) {
        let mut client = server.client();
        client.send(&whole[..cut]);
        drop(client);
    }
    let mut client = server.client();
    assert_eq!(client.say("EXISTS key"), ":0\r\n");
}

#[test]
fn an_announced_value_takes_no_memory_before_it_comes() {
    let server = Running::with(1, &[]);
    let before = resident_bytes();
    let clients: Vec<_> = (0..50)
        .map(|_| {
            let mut client = server.client();
            client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nbegin");
            client
        })
        .collect();
    assert_eq!(server.client().say("PING"), "+PONG\r\n");
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for 50 values that have not come");
    drop(clients);
}

fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = text.split(' ').nth(1).expect("a field").parse().expect("a number");
    pages * 4096
}

#[test]
fn a_client_that_never_reads_is_held_and_the_others_are_served() {
    let server = Running::with(2, &[]);
    let mut bystander = server.client();
    let value = "v".repeat(10_000);
    assert_eq!(bystander.call(&["SET", "k", &value]), "+OK\r\n");
    let deaf = server.client();
    let mut writer = deaf.stream.try_clone().expect("a second handle");
    writer.set_nonblocking(true).expect("a TCP socket");
    let gets = encode(&["GET", "k"]).repeat(1000);
    // Until the server stops reading: a million commands at the most.
    let mut refused = 0;
    for _ in 0..1000 {
        match writer.write(&gets) {
            Ok(_) => refused = 0,
            Err(_) if refused > 20 => break,
            Err(_) => {
                refused += 1;
                assert_eq!(bystander.say("PING"), "+PONG\r\n");
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
    }
    assert!(refused > 20, "the server reads on although nobody takes its replies");
    // By the server's own account: other tests take memory of this process meanwhile.
    let clients = bystander.say("CLIENT LIST");
    let held: Vec<usize> = clients
        .split(' ')
        .filter_map(|field| field.strip_prefix("tot-mem=")?.parse().ok())
        .collect();
    assert_eq!(held.len(), 2, "{clients}");
    assert!(held.iter().sum::<usize>() < 64 << 20, "{held:?} bytes for a client that never reads");
    for _ in 0..100 {
        assert_eq!(bystander.say("STRLEN k"), ":10000\r\n");
    }
    drop(deaf);
    assert_eq!(bystander.say("PING"), "+PONG\r\n");
}

#[test]
fn output_beyond_the_limit_closes_the_connection() {
    let limit = ("client-output-buffer-limit", "normal 1mb 0 0");
    let server = Running::with(2, &[limit]);
    let mut client = server.client();
    let value = "v".repeat(200_000);
    assert_eq!(client.call(&["SET", "k", &value]), "+OK\r\n");
    // One reply of 40 MB: far beyond the limit and what the sockets hold.
    client.send_command(&[&["MGET"][..], &["k"; 200]].concat());
    let reply = client.read_to_end();
    assert!(reply.len() < 40_000_000, "{} bytes came through", reply.len());
    assert_eq!(server.client().say("PING"), "+PONG\r\n");
}

#[test]
fn a_long_pipeline_of_one_client_does_not_hold_up_another() {
    let server = Running::with(1, &[]);
    let mut greedy = server.client();
    let mut modest = server.client();
    let pipeline = b"PING\r\n".repeat(1_000_000);
    let mut writer = greedy.stream.try_clone().expect("a second handle");
    let sending = std::thread::spawn(move || writer.write_all(&pipeline));
    // The other's turns come in between: far fewer than a million replies later.
    for _ in 0..50 {
        assert_eq!(modest.say("SET a 1"), "+OK\r\n");
    }
    for _ in 0..1_000_000 {
        assert_eq!(greedy.reply_bytes(), b"+PONG\r\n");
    }
    sending.join().expect("no panic").expect("all was read");
}

#[test]
fn a_client_without_password_has_small_bounds() {
    let server = Running::with(1, &[("requirepass", "secret")]);
    for (sent, text) in [
        (&b"*11\r\n"[..], "unauthenticated multibulk length"),
        (b"*2\r\n$3\r\nGET\r\n$16385\r\n", "unauthenticated bulk length"),
    ] {
        let mut client = server.client();
        client.send(sent);
        let reply = client.read_to_end();
        assert_eq!(String::from_utf8_lossy(&reply), format!("-ERR Protocol error: {text}\r\n"));
    }
    let mut client = server.client();
    assert_eq!(client.say("GET a"), "-NOAUTH Authentication required.\r\n");
    // CVE-2025-21605: replies that nobody reads must not pile up before a password was given.
    let mut deaf = server.client();
    let _ = deaf.stream.write_all(&b"GET a\r\n".repeat(2_000_000));
    let reply = deaf.read_to_end();
    assert!(reply.len() < 7 * 1024 * 1024 * 4, "{} bytes", reply.len());
    assert_eq!(client.say("GET a"), "-NOAUTH Authentication required.\r\n");
}

#[test]
fn exploding_patterns_stay_linear() {
    let server = Running::with(2, &[]);
    let mut client = server.client();
    for number in 0..50 {
        client.call(&["SET", &format!("{}{number}", "a".repeat(1000)), "v"]);
    }
    let pattern = "a*".repeat(400) + "b";
    assert_eq!(client.call(&["KEYS", &pattern]), "*0\r\n");
}

#[test]
fn many_clients_that_never_read_keep_to_their_part_of_maxmemory() {
    const CLIENTS: usize = 30;
    const ELEMENTS: usize = 100;
    const RANGES: usize = 64;
    const LOOKS_MAX: usize = 3000;
    // The first may have all its replies, of which nobody knows before they come how long they are,
    // and each of the others two: on its way, and behind it. Everybody's would be 390 MB.
    const BYTES_MAX: usize = 40 << 20;
    let server = Running::with(2, &[("maxmemory-policy", "noeviction")]);
    let mut bystander = server.client();
    let element = "e".repeat(1000);
    // Of both lanes.
    for key in ["foo", "bar"] {
        let mut words = vec!["RPUSH", key];
        words.extend(vec![element.as_str(); ELEMENTS]);
        assert_eq!(bystander.call(&words), format!(":{ELEMENTS}\r\n"));
    }
    assert_eq!(bystander.say("CONFIG SET maxmemory 8mb"), "+OK\r\n");
    let ranges = [encode(&["LRANGE", "foo", "0", "-1"]), encode(&["LRANGE", "bar", "0", "-1"])];
    let pipeline = ranges.concat().repeat(RANGES);
    let held_after = |client: &mut Client, sent_bytes: usize, held_bytes: usize| {
        for _ in 0..LOOKS_MAX {
            let memory = client.say("INFO memory");
            let held = number_after(&memory, "mem_clients_normal:");
            assert!(held < BYTES_MAX, "{held} bytes for clients that do not read");
            let sent = number_after(&client.say("INFO stats"), "total_net_output_bytes:");
            if sent > sent_bytes && held >= held_bytes {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("the replies do not come: {}", client.say("INFO memory"));
    };
    let mut deaf: Vec<_> = (0..CLIENTS).map(|_| server.client()).collect();
    deaf[0].send(&pipeline);
    // Lanes hear of a limit a moment later, and of the length of replies when they come.
    held_after(&mut bystander, 0, 100_000);
    for client in &mut deaf[1..] {
        client.send(&pipeline);
    }
    held_after(&mut bystander, CLIENTS * 300_000, 0);
    // Whoever reads gets all of it, and the others do not keep anybody waiting.
    let item = format!("${}\r\n{element}\r\n", element.len());
    let reply = format!("*{ELEMENTS}\r\n{}", item.repeat(ELEMENTS));
    for client in &mut deaf[..3] {
        for _ in 0..2 * RANGES {
            assert!(client.reply() == reply, "another reply");
        }
    }
    assert_eq!(bystander.say("PING"), "+PONG\r\n");
}

/// The number after `name`, wherever it stands in the text.
#[track_caller]
fn number_after(text: &str, name: &str) -> usize {
    let (_, rest) = text.split_once(name).unwrap_or_else(|| panic!("{name} in {text}"));
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().unwrap_or_else(|_| panic!("a number after {name} in {text}"))
}
