//! Connections on real lanes: spread evenly as they come and go, fed from few receive buffers, and
//! many of them writing to overlapping keys of all lanes at once.

mod support;

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::time::Duration;

use support::{Client, Running, encode};

/// Looks at a state that is to come; each waits `PAUSE`. Far more than a loaded machine needs.
const LOOKS_MAX: usize = 3000;
const PAUSE: Duration = Duration::from_millis(10);

/// The text of INFO's section.
fn info(client: &mut Client, section: &str) -> String {
    client.say(&format!("INFO {section}"))
}

/// The number after `name` and a separator, wherever it stands in the text.
#[track_caller]
fn number_after(text: &str, name: &str) -> usize {
    let (_, rest) = text.split_once(name).unwrap_or_else(|| panic!("{name} in {text}"));
    let digits = rest.trim_start_matches(['=', ':']);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or_else(|_| panic!("a number after {name} in {text}"))
}

/// Front-door connections of each lane.
fn front_connections(client: &mut Client) -> Vec<usize> {
    let text = info(client, "lanes");
    let lanes = text.lines().filter(|line| line.starts_with("lane"));
    lanes.map(|line| number_after(line, "front_connections")).collect()
}

fn lane_of(client: &mut Client) -> usize {
    number_after(&client.say("CLIENT INFO"), " lane")
}

/// Looks until `reached` holds of what `look` answers; the last look if it never does.
fn look_until<T>(mut look: impl FnMut() -> T, reached: impl Fn(&T) -> bool) -> T {
    for _ in 1..LOOKS_MAX {
        let seen = look();
        if reached(&seen) {
            return seen;
        }
        std::thread::sleep(PAUSE);
    }
    look()
}

fn unevenness(counts: &[usize]) -> usize {
    counts.iter().max().expect("a lane") - counts.iter().min().expect("a lane")
}

#[test]
fn connections_are_spread_evenly_and_again_after_many_have_gone() {
    const LANES: usize = 4;
    let server = Running::with(LANES, &[]);
    let mut watcher = server.client();
    assert_eq!(watcher.say("PING"), "+PONG\r\n");
    let mut clients: Vec<Client> = Vec::new();
    for number in 0..39 {
        let mut client = server.client();
        assert_eq!(client.say("SELECT 3"), "+OK\r\n");
        assert_eq!(client.say(&format!("CLIENT SETNAME name-{number}")), "+OK\r\n");
        assert_eq!(client.say(&format!("SET key-{number} {number}")), "+OK\r\n");
        clients.push(client);
    }
    let counts = front_connections(&mut watcher);
    assert_eq!(counts.iter().sum::<usize>(), 40, "{counts:?}");
    assert!(counts.iter().all(|count| (9..=11).contains(count)), "{counts:?}");

    let mut homes = BTreeMap::new();
    for (number, mut client) in clients.drain(..).enumerate() {
        let home = lane_of(&mut client);
        if home >= LANES / 2 {
            homes.insert(number, (home, client));
        }
    }
    let left = homes.len() + 1;
    assert!((18..=23).contains(&left), "{left} connections of two lanes");
    let counts = look_until(
        || front_connections(&mut watcher),
        |counts| counts.iter().sum::<usize>() == left && unevenness(counts) <= 2,
    );
    assert_eq!(counts.iter().sum::<usize>(), left, "{counts:?}");
    assert!(unevenness(&counts) <= 2, "{counts:?}");

    let mut moved = 0;
    for (number, (home, client)) in &mut homes {
        let value = text_of(&client.say(&format!("GET key-{number}")));
        assert_eq!(value, Some(number.to_string()));
        let told = client.say("CLIENT INFO");
        assert!(told.contains(&format!(" name=name-{number} ")), "{told}");
        assert!(told.contains(" db=3 "), "{told}");
        moved += usize::from(number_after(&told, " lane") != *home);
    }
    // Two lanes were empty, and each has at most two connections fewer than the others now.
    assert!(moved >= left / 2 - 4, "{moved} of {left} moved: {counts:?}");
}

/// Replies wait for those of other lanes behind them, so that one send takes them all; but not for as
/// long as the other lane likes.
#[test]
fn a_reply_leaves_though_the_one_behind_it_is_long_in_coming() {
    const EARLY_MIN: usize = 3;
    const ATTEMPTS_MAX: usize = 100;
    // Of two lanes the first owns the slot of `b`, the second that of `a`.
    let server = Running::with(2, &[("script-time-limit", "200")]);
    let (mut one, mut other) = (server.client(), server.client());
    let (asking, busy) =
        if lane_of(&mut one) == 0 { (&mut one, &mut other) } else { (&mut other, &mut one) };
    assert_eq!((lane_of(asking), lane_of(busy)), (0, 1));
    let mut early = 0;
    for attempt in 1..=ATTEMPTS_MAX {
        busy.send_command(&["EVAL", "while true do end", "1", "a"]);
        // So that it has begun; an attempt where it has not shows nothing.
        std::thread::sleep(PAUSE);
        asking.send(&[encode(&["SET", "b", "1"]), encode(&["INCR", "a"])].concat());
        assert_eq!(asking.reply(), "+OK\r\n");
        busy.stream.set_nonblocking(true).expect("a socket");
        early += usize::from(busy.stream.peek(&mut [0]).is_err());
        busy.stream.set_nonblocking(false).expect("a socket");
        assert!(busy.reply().starts_with("-ERR Script interrupted"));
        assert_eq!(asking.reply(), format!(":{attempt}\r\n"));
        if early == EARLY_MIN {
            return;
        }
    }
    panic!("{early} of {ATTEMPTS_MAX} replies came before the other lane was free again");
}

#[test]
fn more_senders_than_receive_buffers_are_all_served() {
    const THREADS: usize = 4;
    const CLIENTS_A_THREAD: usize = 100;
    const ROUNDS: usize = 3;
    let server = Running::with(1, &[]);
    let together = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (server, together) = (&server, &together);
            scope.spawn(move || {
                let mut clients: Vec<Client> =
                    (0..CLIENTS_A_THREAD).map(|_| server.client()).collect();
                for round in 0..ROUNDS {
                    let value = |number: usize| format!("{thread}.{number}.{round}.").repeat(2000);
                    together.wait();
                    for (number, client) in clients.iter_mut().enumerate() {
                        let key = format!("{thread}:{number}");
                        let set = encode(&["SET", &key, &value(number)]);
                        client.send(&[set, encode(&["GET", &key])].concat());
                    }
                    for (number, client) in clients.iter_mut().enumerate() {
                        assert_eq!(client.reply(), "+OK\r\n");
                        let value = value(number);
                        let expected = format!("${}\r\n{value}\r\n", value.len());
                        assert!(client.reply() == expected, "another value for {thread}:{number}");
                    }
                }
            });
        }
    });
    let mut client = server.client();
    let text = info(&mut client, "stats");
    assert!(text.contains("receive_buffers_exhausted:"), "{text}");
    assert_eq!(client.say("DBSIZE"), format!(":{}\r\n", THREADS * CLIENTS_A_THREAD));
}

const COUNTERS: usize = 16;
const TOKEN_PLACES: usize = 24;
const TOKENS: usize = 10;
const COPIES: usize = 8;
const PAIRS: usize = 8;
const STRESS_THREADS: usize = 4;
const STRESS_ROUNDS: usize = 150;
const STRESS_PIPELINE: usize = 24;

/// One random command over keys that all threads use, and which replies it may get.
fn stress_command(
    random: &mut fastrand::Rng,
    incremented: &mut usize,
) -> (String, &'static [&'static str]) {
    let token = random.usize(..TOKEN_PLACES);
    let pair = random.usize(..PAIRS);
    match random.u32(..8) {
        0..3 => {
            *incremented += 1;
            (format!("INCR counter:{}", random.usize(..COUNTERS)), &[":"])
        }
        3 => {
            let value = random.u32(..);
            (format!("MSET left:{pair} {value} right:{pair} {value}"), &["+OK"])
        }
        4 => (format!("MGET left:{pair} right:{pair} counter:0"), &["*3"]),
        5 => {
            let to = random.usize(..TOKEN_PLACES);
            (format!("RENAMENX token:{token} token:{to}"), &[":0", ":1", "-ERR no such key"])
        }
        6 => {
            let to = random.usize(..COPIES);
            (format!("COPY token:{token} copy:{to} REPLACE"), &[":0", ":1"])
        }
        _ => (format!("EXISTS token:{token} counter:1 copy:0"), &[":"]),
    }
}

/// One client's share of the stress; how many increments it was promised.
fn stress(server: &Running, seed: u64) -> usize {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut client = server.client();
    let mut incremented = 0;
    for _ in 0..STRESS_ROUNDS {
        let commands: Vec<_> =
            (0..STRESS_PIPELINE).map(|_| stress_command(&mut random, &mut incremented)).collect();
        let lines: Vec<&str> = commands.iter().map(|(line, _)| line.as_str()).collect();
        client.send(format!("{}\r\n", lines.join("\r\n")).as_bytes());
        for (line, expected) in &commands {
            let reply = client.reply();
            let fits = expected.iter().any(|start| reply.starts_with(start));
            assert!(fits, "seed {seed}: {line} -> {reply}");
        }
    }
    incremented
}

/// The bulk string that is the reply, if there is one.
fn text_of(reply: &str) -> Option<String> {
    reply.starts_with('$').then(|| reply.lines().nth(1).map(str::to_owned)).flatten()
}

#[test]
fn commands_over_several_lanes_keep_their_promises_under_stress() {
    let server = Running::with(4, &[]);
    let mut client = server.client();
    for token in 0..TOKENS {
        assert_eq!(client.say(&format!("SET token:{token} value-{token}")), "+OK\r\n");
    }
    let incremented: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..STRESS_THREADS)
            .map(|seed| {
                let server = &server;
                scope.spawn(move || stress(server, seed as u64))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("its replies were right")).sum()
    });

    let mut get = |key: String| text_of(&client.say(&format!("GET {key}")));
    let counted: usize = (0..COUNTERS)
        .filter_map(|counter| get(format!("counter:{counter}")))
        .map(|text| text.parse::<usize>().expect("a counter"))
        .sum();
    assert_eq!(counted, incremented, "every increment counts once");

    let mut tokens: Vec<String> =
        (0..TOKEN_PLACES).filter_map(|place| get(format!("token:{place}"))).collect();
    tokens.sort_unstable();
    let expected: Vec<String> = (0..TOKENS).map(|token| format!("value-{token}")).collect();
    assert_eq!(tokens, expected, "a renamed value is neither lost nor doubled");

    for copy in 0..COPIES {
        let value = get(format!("copy:{copy}"));
        assert!(value.as_ref().is_none_or(|value| expected.contains(value)), "{value:?}");
    }
    for pair in 0..PAIRS {
        let (left, right) = (get(format!("left:{pair}")), get(format!("right:{pair}")));
        assert_eq!(left, right, "the last MSET of a pair is the last on both lanes");
    }
}
