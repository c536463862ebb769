//! Transactions of very many keys: run in slices under locks, answered as their commands are one by
//! one. The keys `a`, `b`, `c`, `d` are of four different lanes where there are four.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use support::{Client, Running, encode};

const LANES: [usize; 3] = [1, 2, 4];
/// More than a transaction may have without locks.
const KEYS: usize = 3000;
/// More than are sent to the lanes at once.
const SHARE_KEYS_MAX: usize = 1024;

type Command = Vec<String>;

fn words(line: &str) -> Command {
    line.split(' ').map(str::to_owned).collect()
}

fn many(name: &str, keys: std::ops::Range<usize>, key: impl Fn(usize) -> Command) -> Command {
    std::iter::once(name.to_owned()).chain(keys.flat_map(key)).collect()
}

/// A value that is kept as it came, now and then.
fn value(number: usize) -> String {
    if number % 700 == 3 { "x".repeat(20_000 + number) } else { number.to_string() }
}

/// Commands whose keys end in `tail`.
fn on_many_keys(tail: &str) -> Vec<Command> {
    let key = |number: usize| vec![format!("key:{number}{tail}")];
    let pair = |number: usize| vec![format!("key:{number}{tail}"), value(number)];
    vec![
        many("MSET", 0..KEYS, pair),
        many("MGET", 0..KEYS + 5, key),
        many("EXISTS", 10..KEYS + 5, key),
        vec!["INCR".to_owned(), format!("key:7{tail}")],
        many("DEL", 0..KEYS / 2, key),
        many("TOUCH", 0..KEYS, key),
        vec!["GET".to_owned(), format!("key:{}{tail}", KEYS - 1)],
        many("UNLINK", 5..KEYS - 5, key),
        many("MGET", KEYS - 10..KEYS, key),
    ]
}

fn many_commands(tail: &str) -> Vec<Command> {
    let one = |number: usize| {
        let key = format!("key:{}{tail}", number % 1000);
        match number % 4 {
            0 => vec!["SET".to_owned(), key, value(number)],
            1 => vec!["APPEND".to_owned(), key, "x".to_owned()],
            2 => vec!["GET".to_owned(), key],
            _ => vec!["LPUSH".to_owned(), key, "wrong".to_owned()],
        }
    };
    (0..KEYS).map(one).collect()
}

fn over_lanes() -> Vec<Command> {
    let lines = [
        "SADD a 1 2 3",
        "SADD b 3 4",
        "SUNIONSTORE c a b",
        "SMEMBERS c",
        "PING",
        "RENAME c d",
        "MGET a d key:5",
        "MSETNX c 1 d 2",
        "EVAL return{redis.call('scard','a'),redis.call('scard','b')} 2 a b",
        "SET e 1 EX 0",
        "SELECT 3",
        "SET a 3",
        "SELECT 0",
        "TYPE a",
    ];
    lines.iter().map(|line| words(line)).collect()
}

fn on_databases() -> Vec<Command> {
    ["DBSIZE", "FLUSHDB", "EXISTS a key:5", "SET a 1", "SWAPDB 0 1", "DBSIZE", "GET a"]
        .map(words)
        .into()
}

/// Runs the commands one by one on one server, and as a transaction on another.
fn check(commands: &[Command]) {
    for lanes in LANES {
        for greeting in ["HELLO 2", "HELLO 3"] {
            let (one_by_one, together) = (Running::with(lanes, &[]), Running::with(lanes, &[]));
            for number in 0..lanes {
                let mut client = one_by_one.client();
                let mut other = together.client();
                for client in [&mut client, &mut other] {
                    client.say(greeting);
                    client.say("FLUSHALL");
                }
                let mut expected = format!("*{}\r\n", commands.len());
                other.say("MULTI");
                for command in commands {
                    expected += &client.call(command);
                    assert_eq!(other.call(command), "+QUEUED\r\n");
                }
                let answer = other.say("EXEC");
                assert!(answer == expected, "{lanes} lanes, client {number}: {commands:.200?}");
            }
        }
    }
}

#[test]
fn commands_of_very_many_keys_are_answered_as_one_by_one() {
    check(&on_many_keys(""));
    check(&on_many_keys("{a}"));
}

#[test]
fn very_many_commands_are_answered_as_one_by_one() {
    check(&many_commands(""));
    check(&many_commands("{a}"));
}

#[test]
fn what_cannot_be_cut_runs_between() {
    let mixed = [many_commands(""), over_lanes(), on_many_keys(""), over_lanes()].concat();
    check(&mixed);
    check(&[many_commands(""), on_databases(), on_many_keys(""), on_databases()].concat());
}

fn info(client: &mut Client, field: &str) -> usize {
    let text = client.say("INFO everything");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.expect("the field is there").parse().expect("a number")
}

/// MULTI, the commands, EXEC; only the last reply.
fn run(client: &mut Client, commands: &[Command]) -> String {
    let mut bytes = encode(&["MULTI"]);
    for command in commands {
        bytes.extend(encode(command));
    }
    bytes.extend(encode(&["EXEC"]));
    client.send(&bytes);
    for _ in 0..=commands.len() {
        let queued = client.reply();
        assert!(queued == "+QUEUED\r\n" || queued == "+OK\r\n", "{queued}");
    }
    client.reply()
}

#[test]
fn they_run_in_slices_and_count_once() {
    const MANY: usize = 20_000;
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        let pair = |number: usize| vec![number.to_string(), "v".to_owned()];
        let key = |number: usize| vec![number.to_string()];
        let commands = [many("MSET", 0..MANY, pair), many("EXISTS", 0..MANY, key)];
        let before = info(&mut client, "transaction_slices");
        assert_eq!(run(&mut client, &commands), format!("*2\r\n+OK\r\n:{MANY}\r\n"));
        let slices = info(&mut client, "transaction_slices") - before;
        assert!(slices >= 2 * MANY / SHARE_KEYS_MAX, "{lanes} lanes: {slices}");
        let stats = client.say("INFO commandstats");
        for name in ["mset", "exists"] {
            assert!(stats.contains(&format!("cmdstat_{name}:calls=1,")), "{lanes} lanes: {stats}");
        }
        assert_eq!(info(&mut client, "requests_waiting_for_slots"), 0);
    }
}

#[test]
fn nobody_sees_a_part_of_them() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for wide in [false, true] {
                let (server, done) = (&server, &done);
                scope.spawn(move || {
                    let mut writer = server.client();
                    for round in 0..30 {
                        let pair = |number: usize| vec![number.to_string(), format!("{round:04}")];
                        let commands: Vec<Command> = if wide {
                            vec![many("MSET", 0..KEYS, pair)]
                        } else {
                            (0..KEYS).map(|number| many("SET", number..number + 1, pair)).collect()
                        };
                        assert!(run(&mut writer, &commands).ends_with("+OK\r\n"));
                    }
                    done.store(true, Ordering::SeqCst);
                });
            }
            let mut reader = server.client();
            let mut reads = 0;
            while !done.load(Ordering::SeqCst) || reads < 10 {
                let seen = run(&mut reader, &["GET 0", "GET 1", "GET 1500", "GET 2999"].map(words));
                let values: Vec<&str> = seen.lines().skip(1).collect();
                let (first, rest) = values.split_at(values.len() / 4);
                assert!(rest.chunks(first.len()).all(|value| value == first), "{lanes}: {seen}");
                reads += 1;
            }
        });
    }
}

#[test]
fn a_touched_key_stops_them_and_frees_their_slots() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let (mut client, mut other) = (server.client(), server.client());
        for commands in [on_many_keys(""), many_commands(""), many_commands("{a}")] {
            assert_eq!(client.say("WATCH a b"), "+OK\r\n");
            assert_eq!(other.say("SET b 1"), "+OK\r\n");
            assert_eq!(run(&mut client, &commands), "*-1\r\n", "{lanes} lanes");
            assert_eq!(other.say("DBSIZE"), ":1\r\n");
            assert_eq!(other.say("MSET a 1 key:5 2 key:7 3"), "+OK\r\n");
            assert_eq!(other.say("DEL a b key:5 key:7"), ":4\r\n");
            assert_eq!(client.say("WATCH a b"), "+OK\r\n");
            let answer = run(&mut client, &commands);
            assert!(answer.starts_with(&format!("*{}\r\n", commands.len())), "{lanes} lanes");
            assert_eq!(other.say("FLUSHALL"), "+OK\r\n");
        }
    }
}

#[test]
fn values_that_are_lent_within_them_are_seen_by_the_next_command() {
    const MEMBERS: usize = 3000;
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        let member = |number: usize| vec![number.to_string()];
        let mut commands = many_commands("");
        commands.push(many("SADD", 0..MEMBERS, member));
        commands.last_mut().expect("just pushed").insert(1, "{a}from".to_owned());
        for line in ["SUNIONSTORE {a}to {a}from", "SADD {a}to x", "SCARD {a}to", "SPOP {a}to 2000"]
        {
            commands.push(words(line));
        }
        commands.extend([words("SCARD {a}to"), words("SORT {a}from LIMIT 0 1")]);
        let answer = run(&mut client, &commands);
        let expected = format!(":1\r\n:{}\r\n*2000\r\n", MEMBERS + 1);
        assert!(answer.contains(&expected), "{lanes} lanes");
        assert!(answer.ends_with(":1001\r\n*1\r\n$1\r\n0\r\n"), "{lanes} lanes");
        assert!(info(&mut client, "commands_run_aside") >= 3, "{lanes} lanes");
    }
}

#[test]
fn what_serves_the_connection_stands_in_its_order() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        let mut commands = many_commands("");
        commands.insert(1, words("CLIENT SETNAME me"));
        commands.push(words("CLIENT GETNAME"));
        let answer = run(&mut client, &commands);
        assert!(answer.ends_with("$2\r\nme\r\n"), "{lanes} lanes");
        client.send(&encode(&["CLIENT", "REPLY", "OFF"]));
        client.send(&encode(&["MULTI"]));
        for command in &commands {
            client.send(&encode(command));
        }
        client.send(&encode(&["EXEC"]));
        assert_eq!(client.say("CLIENT REPLY ON"), "+OK\r\n", "{lanes} lanes");
        assert_eq!(client.say("PING"), "+PONG\r\n", "{lanes} lanes");
    }
}

#[test]
fn a_lane_door_takes_them_of_one_slot() {
    let server = Running::with(2, &[]);
    let mut taken = 0;
    for lane in 0..2 {
        let mut client = server.lane_client(lane);
        assert_eq!(client.say("MULTI"), "+OK\r\n");
        for command in on_many_keys("{a}") {
            let answer = client.call(&command);
            assert!(answer == "+QUEUED\r\n" || answer.starts_with("-MOVED 15495 "), "{answer}");
        }
        let answer = client.say("EXEC");
        taken += usize::from(answer.starts_with("*9\r\n+OK\r\n"));
        assert!(answer.starts_with("*9\r\n+OK\r\n") || answer.starts_with("-EXECABORT"));
    }
    assert_eq!(taken, 1);
}

/// A script that may touch keys that it does not name has all slots of its lane.
#[test]
fn scripts_among_them_reach_keys_that_they_do_not_name() {
    let server = Running::with(1, &[("script-allow-undeclared-keys", "yes")]);
    let mut client = server.client();
    let mut commands = many_commands("{a}");
    commands.extend(
        ["SET x 1", "EVAL return{redis.call('incr','x'),redis.call('incr','y')} 1 {a}1", "GET x"]
            .map(words),
    );
    let answer = run(&mut client, &commands);
    assert!(answer.ends_with("+OK\r\n*2\r\n:2\r\n:1\r\n$1\r\n2\r\n"), "{answer:.100}");
}
