//! Commands of very many keys: run in slices, answered as if they had not been.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use support::{Client, Running};

const LANES: [usize; 3] = [1, 2, 3];
const KEYS: usize = 20_000;
/// More than any slice has.
const SLICE_KEYS_MAX: usize = 2048;

fn command(name: &str, keys: &[String]) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(keys.iter().cloned()).collect()
}

fn pairs(keys: &[String], value: impl Fn(usize) -> String) -> Vec<String> {
    let both = keys.iter().enumerate().flat_map(|(at, key)| [key.clone(), value(at)]);
    std::iter::once("MSET".to_owned()).chain(both).collect()
}

fn info(client: &mut Client, field: &str) -> usize {
    let text = client.say("INFO everything");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.expect("the field is there").parse().expect("a number")
}

#[test]
fn many_keys_are_answered_as_few_are_and_in_slices() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        let keys: Vec<String> = (0..KEYS).map(|number| format!("key:{number}")).collect();
        let value = |at: usize| format!("value {at}");
        let slices = |client: &mut Client, before: usize| {
            let now = info(client, "long_command_slices");
            assert!(now >= before + KEYS / SLICE_KEYS_MAX, "{lanes} lanes: {before} to {now}");
            now
        };
        let mut before = info(&mut client, "long_command_slices");
        assert_eq!(client.call(&pairs(&keys, value)), "+OK\r\n");
        before = slices(&mut client, before);
        assert_eq!(client.say("DBSIZE"), format!(":{KEYS}\r\n"));

        let mut some = keys.clone();
        some[7] = "missing".to_owned();
        let mut expected = format!("*{KEYS}\r\n");
        for at in 0..KEYS {
            let value = value(at);
            let there = format!("${}\r\n{value}\r\n", value.len());
            expected.push_str(if at == 7 { "$-1\r\n" } else { &there });
        }
        assert!(client.call(&command("MGET", &some)) == expected, "{lanes} lanes: MGET");
        before = slices(&mut client, before);
        for name in ["EXISTS", "TOUCH"] {
            assert_eq!(client.call(&command(name, &some)), format!(":{}\r\n", KEYS - 1), "{name}");
            before = slices(&mut client, before);
        }
        for (name, half) in [("DEL", &keys[..KEYS / 2]), ("UNLINK", &keys[KEYS / 2..])] {
            assert_eq!(client.call(&command(name, half)), format!(":{}\r\n", KEYS / 2), "{name}");
        }
        assert_eq!(client.say("DBSIZE"), ":0\r\n");
        let stats = client.say("INFO commandstats");
        for name in ["mset", "mget", "exists", "touch", "del", "unlink"] {
            assert!(stats.contains(&format!("cmdstat_{name}:calls=1,")), "{lanes} lanes: {stats}");
        }
    }
}

#[test]
fn replies_keep_their_order_around_a_long_command() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        let keys: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        let mut bytes = support::encode(&["SET", "5", "five"]);
        bytes.extend(support::encode(&pairs(&keys, |at| at.to_string())));
        bytes.extend(support::encode(&["GET", "5"]));
        bytes.extend(support::encode(&["CLIENT", "REPLY", "SKIP"]));
        bytes.extend(support::encode(&command("DEL", &keys[..500])));
        bytes.extend(support::encode(&command("EXISTS", &keys)));
        bytes.extend(support::encode(&["PING"]));
        client.send(&bytes);
        for expected in ["+OK\r\n", "+OK\r\n", "$1\r\n5\r\n", ":500\r\n", "+PONG\r\n"] {
            assert_eq!(client.reply(), expected, "{lanes} lanes");
        }
    }
}

#[test]
fn nobody_sees_a_part_of_a_long_mset() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        // The first and the last pair lie in one slot, so one MGET reads them at one moment.
        let mut keys: Vec<String> = (0..3000).map(|number| number.to_string()).collect();
        keys.insert(0, "{slot}first".to_owned());
        keys.push("{slot}last".to_owned());
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut writer = server.client();
                for round in 0..40 {
                    let answer = writer.call(&pairs(&keys, |_| format!("{round:04}")));
                    assert_eq!(answer, "+OK\r\n");
                }
                done.store(true, Ordering::SeqCst);
            });
            let mut reader = server.client();
            while !done.load(Ordering::SeqCst) {
                let both = reader.say("MGET {slot}first {slot}last");
                let values: Vec<&str> = both.lines().filter(|line| line.len() == 4).collect();
                if let [first, last] = values[..] {
                    assert_eq!(first, last, "{lanes} lanes: {both}");
                } else {
                    assert_eq!(both, "*2\r\n$-1\r\n$-1\r\n", "{lanes} lanes");
                }
            }
        });
    }
}

#[test]
fn long_msets_over_the_same_keys_do_not_block_each_other_for_ever() {
    let server = Running::with(3, &[]);
    std::thread::scope(|scope| {
        for client in 0..4usize {
            let server = &server;
            scope.spawn(move || {
                let mut connection = server.client();
                let mut keys: Vec<String> = (0..600).map(|number| number.to_string()).collect();
                keys.rotate_left(client * 150);
                for _ in 0..20 {
                    let answer = connection.call(&pairs(&keys, |_| client.to_string()));
                    assert_eq!(answer, "+OK\r\n");
                    assert_eq!(connection.say("MSETNX 1 a 2 b 3 c"), ":0\r\n");
                    assert_eq!(connection.say("RENAMENX 5 6"), ":0\r\n");
                }
            });
        }
    });
    let mut client = server.client();
    let all: Vec<String> = (0..600).map(|number| number.to_string()).collect();
    let values = client.call(&command("MGET", &all));
    let first = values.lines().nth(2).expect("a value").to_owned();
    assert!(values.lines().skip(2).step_by(2).all(|value| value == first), "one MSET was last");
}

#[test]
fn a_lane_door_refuses_long_commands_of_other_slots() {
    let server = Running::with(2, &[]);
    let keys: Vec<String> = (0..5000).map(|number| format!("k{number}")).collect();
    let same: Vec<String> = (0..5000).map(|number| format!("{{a}}{number}")).collect();
    let mut refused = 0;
    for lane in 0..2 {
        let mut client = server.lane_client(lane);
        for name in ["MGET", "DEL"] {
            let answer = client.call(&command(name, &keys));
            assert_eq!(answer, "-CROSSSLOT Keys in request don't hash to the same slot\r\n");
        }
        let answer = client.call(&pairs(&same, |_| "x".to_owned()));
        if answer.starts_with("-MOVED 15495 127.0.0.1:") {
            refused += 1;
        } else {
            assert_eq!(answer, "+OK\r\n");
            assert_eq!(client.call(&command("EXISTS", &same)), ":5000\r\n");
        }
        assert_eq!(client.say("PING"), "+PONG\r\n");
    }
    assert_eq!(refused, 1);
}

#[test]
fn a_pause_holds_a_long_command_as_any_other() {
    let server = Running::with(2, &[]);
    let mut client = server.client();
    let mut other = server.client();
    let keys: Vec<String> = (0..1000).map(|number| format!("k{number}")).collect();
    assert_eq!(other.say("CLIENT PAUSE 100000 WRITE"), "+OK\r\n");
    client.send_command(&pairs(&keys, |at| at.to_string()));
    client.send_command(&["PING"]);
    assert_eq!(other.say("EXISTS k0 k999"), ":0\r\n");
    assert_eq!(other.say("CLIENT UNPAUSE"), "+OK\r\n");
    assert_eq!(client.reply(), "+OK\r\n");
    assert_eq!(client.reply(), "+PONG\r\n");
    assert_eq!(other.call(&command("EXISTS", &keys)), ":1000\r\n");
}

#[test]
fn large_values_and_keys_in_a_long_mset() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        let keys: Vec<String> = (0..400).map(|number| format!("k{number}")).collect();
        let value = |at: usize| if at % 50 == 3 { "x".repeat(40_000 + at) } else { at.to_string() };
        assert_eq!(client.call(&pairs(&keys, value)), "+OK\r\n");
        for at in [0, 3, 53, 399] {
            let value = value(at);
            let expected = format!("${}\r\n{value}\r\n", value.len());
            assert!(client.call(&["GET", &keys[at]]) == expected, "{lanes} lanes: k{at}");
        }
    }
}
