//! MULTI, EXEC, DISCARD, WATCH, UNWATCH through the doors of real servers with 1, 2 and 4 lanes. The
//! keys `a`, `b`, `c`, `d` are of four different lanes where there are four.

mod support;

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use support::{Client, Running, encode};

const LANES: [usize; 3] = [1, 2, 4];
const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.";

/// Spaces of a reply stand for line ends, underscores for spaces.
fn spelled(expected: &str) -> String {
    expected.replace(' ', "\r\n").replace('_', " ") + "\r\n"
}

/// Runs a session of `command -> reply` lines on servers with several numbers of lanes, on a
/// connection of each lane.
fn check(session: &[(&str, &str)]) {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut clients: Vec<Client> = (0..lanes).map(|_| server.client()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.say("FLUSHALL"), "+OK\r\n");
            for (command, expected) in session {
                let reply = client.say(command);
                assert_eq!(reply, spelled(expected), "{lanes} lanes, client {number}: {command}");
            }
        }
    }
}

/// A transaction as one pipeline: only the reply of EXEC.
fn run(client: &mut Client, commands: &[&str]) -> String {
    assert_eq!(client.say("MULTI"), "+OK\r\n");
    for command in commands {
        assert_eq!(client.say(command), "+QUEUED\r\n", "{command}");
    }
    client.say("EXEC")
}

#[test]
fn commands_run_together_in_their_order() {
    check(&[
        ("MULTI", "+OK"),
        ("SET a 1", "+QUEUED"),
        ("INCR a", "+QUEUED"),
        ("GET a", "+QUEUED"),
        ("EXEC", "*3 +OK :2 $1 2"),
        ("MULTI", "+OK"),
        ("MSET a 1 b 2 c 3 d 4", "+QUEUED"),
        ("INCRBY a 10", "+QUEUED"),
        ("RENAME b z", "+QUEUED"),
        ("MGET a b c d z", "+QUEUED"),
        ("DEL a c", "+QUEUED"),
        ("EXISTS a b c d z", "+QUEUED"),
        ("EXEC", "*6 +OK :11 +OK *5 $2 11 $-1 $1 3 $1 4 $1 2 :2 :2"),
        ("MGET a b c d z", "*5 $-1 $-1 $-1 $1 4 $1 2"),
        ("MULTI", "+OK"),
        ("EXEC", "*0"),
        ("PING", "+PONG"),
    ]);
}

#[test]
fn errors_of_running_commands_stand_among_the_answers() {
    check(&[
        ("SET a text", "+OK"),
        ("MULTI", "+OK"),
        ("INCR a", "+QUEUED"),
        ("SET b 1", "+QUEUED"),
        ("INCR c", "+QUEUED"),
        ("SET d x EX 0", "+QUEUED"),
        (
            "EXEC",
            "*4 -ERR_value_is_not_an_integer_or_out_of_range +OK :1 \
             -ERR_invalid_expire_time_in_'set'_command",
        ),
        ("MGET a b c d", "*4 $4 text $1 1 $1 1 $-1"),
    ]);
}

#[test]
fn refused_commands_abort() {
    let aborted = &ABORTED.replace(' ', "_");
    check(&[
        ("EXEC", "-ERR_EXEC_without_MULTI"),
        ("DISCARD", "-ERR_DISCARD_without_MULTI"),
        ("MULTI", "+OK"),
        ("SET a 1", "+QUEUED"),
        ("NOSUCH", "-ERR_unknown_command_'NOSUCH',_with_args_beginning_with:_"),
        ("SET a 2", "+QUEUED"),
        ("EXEC", aborted),
        ("GET a", "$-1"),
        ("MULTI", "+OK"),
        ("SET a", "-ERR_wrong_number_of_arguments_for_'set'_command"),
        ("EXEC", aborted),
        ("MULTI", "+OK"),
        ("SHUTDOWN", "-ERR_Command_not_allowed_inside_a_transaction"),
        ("EXEC", aborted),
        ("MULTI", "+OK"),
        ("SET a 1", "+QUEUED"),
        (
            "EXEC now",
            "-EXECABORT_Transaction_discarded_because_of:_wrong_number_of_arguments_for_'exec'_command",
        ),
        ("EXEC", "-ERR_EXEC_without_MULTI"),
        (
            "EXEC now",
            "-EXECABORT_Transaction_discarded_because_of:_wrong_number_of_arguments_for_'exec'_command",
        ),
        ("MULTI", "+OK"),
        ("MONITOR", "+QUEUED"),
        ("EXEC", "*1 -ERR_MONITOR_isn't_allowed_for_DENY_BLOCKING_client"),
        // These two are mistakes that do no harm.
        ("MULTI", "+OK"),
        ("MULTI", "-ERR_MULTI_calls_can_not_be_nested"),
        ("WATCH a", "-ERR_WATCH_inside_MULTI_is_not_allowed"),
        ("SET a 1", "+QUEUED"),
        ("EXEC", "*1 +OK"),
        ("MULTI", "+OK"),
        ("SET a 2", "+QUEUED"),
        ("DISCARD", "+OK"),
        ("GET a", "$1 1"),
        ("MULTI", "+OK"),
        ("SET a 2", "+QUEUED"),
        ("RESET", "+RESET"),
        ("EXEC", "-ERR_EXEC_without_MULTI"),
        ("GET a", "$1 1"),
    ]);
}

#[test]
fn commands_about_the_connection_and_the_server_keep_their_place() {
    check(&[
        ("SET a 1", "+OK"),
        ("MULTI", "+OK"),
        ("PING", "+QUEUED"),
        ("GET a", "+QUEUED"),
        ("ECHO hello", "+QUEUED"),
        ("SELECT 1", "+QUEUED"),
        ("SET a 2", "+QUEUED"),
        ("SET b 3", "+QUEUED"),
        ("SELECT 99", "+QUEUED"),
        ("GET a", "+QUEUED"),
        ("CLIENT SETNAME me", "+QUEUED"),
        ("CLIENT GETNAME", "+QUEUED"),
        ("UNWATCH", "+QUEUED"),
        (
            "EXEC",
            "*11 +PONG $1 1 $5 hello +OK +OK +OK -ERR_DB_index_is_out_of_range $1 2 +OK $2 me +OK",
        ),
        ("GET b", "$1 3"),
        ("SELECT 0", "+OK"),
        ("MGET a b", "*2 $1 1 $-1"),
        ("MULTI", "+OK"),
        ("MOVE a 2", "+QUEUED"),
        ("SET d 1", "+QUEUED"),
        ("SELECT 2", "+QUEUED"),
        ("GET a", "+QUEUED"),
        ("MOVE a 1", "+QUEUED"),
        ("SELECT 0", "+QUEUED"),
        ("EXEC", "*6 :1 +OK +OK $1 1 :0 +OK"),
        ("MULTI", "+OK"),
        ("CLIENT REPLY SKIP", "+QUEUED"),
        ("GET d", "+QUEUED"),
        ("EXEC", "*2 +OK $1 1"),
    ]);
}

/// Answers that all lanes take part in are waited for within the array.
#[test]
fn questions_to_all_lanes_keep_their_place() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        for keys in [&["SET a 1"][..], &["SET a 1", "SET b 2", "SET c 3"]] {
            let mut commands = vec!["INFO clients", "PING"];
            commands.extend(keys);
            commands.extend(["CONFIG SET maxclients 500", "CONFIG GET maxclients", "GET a"]);
            client.send(&encode(&["MULTI"]));
            for command in &commands {
                client.send(&encode(&command.split(' ').collect::<Vec<_>>()));
            }
            client.send(b"EXEC\r\nPING\r\n");
            assert_eq!(client.reply(), "+OK\r\n");
            for _ in &commands {
                assert_eq!(client.reply(), "+QUEUED\r\n");
            }
            let reply = client.reply();
            let rest = reply.strip_prefix(&format!("*{}\r\n$", commands.len())).expect("an array");
            let (_, rest) = rest.split_once("\r\n\r\n+PONG\r\n").expect("the text of INFO ends");
            let ok = "+OK\r\n".repeat(keys.len() + 1);
            let config = "*2\r\n$10\r\nmaxclients\r\n$3\r\n500\r\n$1\r\n1\r\n";
            assert_eq!(rest, ok + config, "{lanes} lanes");
            assert_eq!(client.reply(), "+PONG\r\n");
        }
    }
}

/// What would wait by itself answers at once, and those who wait get nothing of what a transaction
/// takes back itself.
#[test]
fn nothing_blocks_within_a_transaction() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        let mut waiting = server.client();
        for (list, other) in [("a", "a"), ("b", "b"), ("a", "b"), ("c", "d")] {
            client.say("FLUSHALL");
            waiting.send_command(&["BLPOP", list, "0"]);
            while info(&mut client, "blocked_clients") != "1" {}
            let push = format!("RPUSH {list} 1 2");
            let reply = run(
                &mut client,
                &[
                    &format!("BLPOP {list} 0"),
                    &push,
                    &format!("BLPOP {other} {list} 0"),
                    &format!("LPOP {list}"),
                    &format!("SET {other}:x 1"),
                ],
            );
            let expected = format!("*5 *-1 :2 *2 $1 {list} $1 1 $1 2 +OK");
            assert_eq!(reply, spelled(&expected), "{lanes} lanes, {list} {other}");
            // Now there is something for it.
            assert_eq!(run(&mut client, &[&push, &format!("LLEN {list}")]), spelled("*2 :2 :2"));
            assert_eq!(waiting.reply(), spelled(&format!("*2 $1 {list} $1 1")));
            assert_eq!(client.say(&format!("LLEN {list}")), ":1\r\n");
        }
    }
}

#[test]
fn whole_databases_change_in_order() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        assert_eq!(client.say("MSET a 1 b 2 c 3 d 4"), "+OK\r\n");
        let reply = run(
            &mut client,
            &[
                "DBSIZE",
                "DEL a",
                "DBSIZE",
                "SWAPDB 0 1",
                "DBSIZE",
                "SET b new",
                "KEYS *",
                "RANDOMKEY",
                "PING",
                "FLUSHDB",
                "RANDOMKEY",
                "INCR b",
                "SELECT 1",
                "GET b",
                "MGET c d",
                "FLUSHALL",
                "DBSIZE",
                "SET a last",
            ],
        );
        let expected = spelled(
            "*18 :4 :1 :3 +OK :0 +OK *1 $1 b $1 b +PONG +OK $-1 :1 +OK $1 2 *2 $1 3 $1 4 +OK :0 +OK",
        );
        assert_eq!(reply, expected, "{lanes} lanes");
        assert_eq!(client.say("GET a"), "$4\r\nlast\r\n");
        // Nothing stays locked.
        assert_eq!(server.client().say("MGET a b c d"), spelled("*4 $-1 $-1 $-1 $-1"));
        let scanned = run(&mut client, &["SCAN 0 COUNT 100000", "GET a", "SCAN 0 COUNT 100000"]);
        assert!(scanned.starts_with("*3\r\n*2\r\n$"), "{scanned}");
        assert!(scanned.contains("$4\r\nlast\r\n*2\r\n"), "{scanned}");
    }
}

#[test]
fn what_is_pipelined_behind_a_transaction_waits_for_it() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        client.say("SET n 1");
        let mut all = Vec::new();
        // KEYS goes through all keys in slices, so EXEC is not answered at once, on one lane neither.
        let lines = "MULTI|INCR n|KEYS *|INCR n|EXEC|INCR n|MULTI|INCR n|EXEC|GET n|SET n 0";
        for line in lines.split('|') {
            all.extend(encode(&line.split(' ').collect::<Vec<_>>()));
        }
        // The last command comes in two parts.
        let (first, second) = all.split_at(all.len() - 7);
        client.send(first);
        for expected in ["+OK", "+QUEUED", "+QUEUED", "+QUEUED", "*3 :2 *1 $1 n :3", ":4"] {
            assert_eq!(client.reply(), spelled(expected), "{lanes} lanes");
        }
        client.send(second);
        for expected in ["+OK", "+QUEUED", "*1 :5", "$1 5", "+OK"] {
            assert_eq!(client.reply(), spelled(expected), "{lanes} lanes");
        }
    }
}

#[test]
fn a_watched_key_that_changes_stops_the_transaction() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut others = server.client();
        for on_lane in 0..lanes {
            let mut client = server.client();
            for (change, stops) in [
                ("PING", false),
                ("GET b", false),
                ("SET z 1", false),
                ("DEL nothing", false),
                ("EXPIRE nothing 100", false),
                ("SET b 5", true),
                ("SET b 1", true),
                ("INCR d", true),
                ("DEL a", true),
                ("EXPIRE a 100", true),
                ("PERSIST c", false),
                ("MSET z 1 c 9", true),
                ("RENAME z nothing", true),
                ("COPY z nothing", true),
                ("FLUSHDB", true),
                ("FLUSHALL", true),
                ("SWAPDB 0 1", true),
                ("SWAPDB 3 4", false),
            ] {
                let about = format!("{lanes} lanes, client {on_lane}: {change}");
                assert_eq!(others.say("FLUSHALL"), "+OK\r\n");
                assert_eq!(others.say("MSET a 1 b 1 c 1 d 1 z 1"), "+OK\r\n");
                for keys in ["a", "b nothing", "d c"] {
                    assert_eq!(client.say(&format!("WATCH {keys}")), "+OK\r\n");
                }
                others.say(change);
                let reply = run(&mut client, &["SET e 1", "GET e"]);
                let expected = if stops { "*-1" } else { "*2 +OK $1 1" };
                assert_eq!(reply, spelled(expected), "{about}");
                // The marks are gone, whatever came of it.
                others.say("SET a 5");
                assert_eq!(run(&mut client, &["GET a"]), spelled("*1 $1 5"), "{about}");
            }
            assert_eq!(info(&mut others, "total_watched_keys"), "0");
            assert_eq!(info(&mut others, "watching_clients"), "0");
        }
    }
}

/// The value of a field of INFO.
fn info(client: &mut Client, field: &str) -> String {
    let text = client.say("INFO everything");
    let start = format!("{field}:");
    text.lines().find_map(|line| line.strip_prefix(&start)).expect(field).to_owned()
}

#[test]
fn watching_ends_with_unwatch_discard_reset_and_the_connection() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        let mut others = server.client();
        for end in
            [&["UNWATCH"][..], &["MULTI", "DISCARD"], &["RESET"], &["MULTI", "NOSUCH", "EXEC"]]
        {
            client.say("WATCH a b c d");
            others.say("SET a 1");
            for command in end {
                client.say(command);
            }
            assert_eq!(run(&mut client, &["GET a"]), spelled("*1 $1 1"), "{end:?}");
        }
        // One's own writes count as well.
        client.say("WATCH c");
        client.say("SET c 1");
        assert_eq!(run(&mut client, &["GET c"]), spelled("*-1"));
        client.say("WATCH a b c d");
        assert_eq!(info(&mut others, "total_watched_keys"), "4");
        assert_eq!(info(&mut others, "watching_clients"), "1");
        drop(client);
        while info(&mut others, "total_watched_keys") != "0" {}
        assert_eq!(info(&mut others, "watching_clients"), "0");
    }
}

#[test]
fn a_key_that_expires_while_it_is_watched_has_changed() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        let mut others = server.client();
        for key in ["a", "b", "c", "d"] {
            // Gone before it is watched: no change.
            client.say(&format!("SET {key} 1 PX 1"));
            while client.say(&format!("GET {key}")) != "$-1\r\n" {}
            client.say(&format!("WATCH {key}"));
            assert_eq!(run(&mut client, &["PING"]), spelled("*1 +PONG"));
            // However long it takes to come to watch it: it must be there then.
            let mut life_ms = 20;
            loop {
                client.say(&format!("SET {key} 1 PX {life_ms}"));
                client.say(&format!("WATCH {key}"));
                if client.say(&format!("GET {key}")) != "$-1\r\n" {
                    break;
                }
                client.say("UNWATCH");
                life_ms *= 2;
            }
            while others.say(&format!("GET {key}")) != "$-1\r\n" {}
            assert_eq!(run(&mut client, &["PING"]), spelled("*-1"));
        }
    }
}

#[test]
fn two_hundred_commands_of_all_lanes() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        for _ in 0..lanes {
            let mut client = server.client();
            assert_eq!(client.say("FLUSHALL"), "+OK\r\n");
            let mut bytes = encode(&["MULTI"]);
            for number in 0..200 {
                bytes.extend(encode(&[
                    "INCRBY",
                    &format!("key:{}", number % 50),
                    &number.to_string(),
                ]));
            }
            bytes.extend(encode(&["EXEC"]));
            bytes.extend(encode(&["GET", "key:49"]));
            client.send(&bytes);
            assert_eq!(client.reply(), "+OK\r\n");
            for _ in 0..200 {
                assert_eq!(client.reply(), "+QUEUED\r\n");
            }
            let mut expected = String::from("*200\r\n");
            let mut sums = [0; 50];
            for number in 0..200 {
                sums[number % 50] += number;
                writeln!(expected, ":{}\r", sums[number % 50]).expect("a string takes all");
            }
            assert_eq!(client.reply(), expected);
            assert_eq!(client.reply(), "$3\r\n496\r\n");
        }
    }
}

#[test]
fn large_values_pass_through_transactions() {
    let large = "x".repeat(100_000);
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        for keys in [&["a"][..], &["b"], &["a", "b", "c", "d"]] {
            client.send_command(&["MULTI"]);
            for key in keys {
                client.send_command(&["SET", key, &large]);
                client.send_command(&["GET", key]);
            }
            client.send_command(&["EXEC"]);
            for _ in 0..=2 * keys.len() {
                client.reply();
            }
            let one = format!("+OK\r\n$100000\r\n{large}\r\n");
            assert_eq!(
                client.reply(),
                format!("*{}\r\n", 2 * keys.len()) + &one.repeat(keys.len())
            );
        }
    }
}

#[test]
fn replies_that_are_not_wanted_are_left_out() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        for keys in [&["a"][..], &["b"], &["a", "b", "c", "d"]] {
            let mut client = server.client();
            client.send_command(&["CLIENT", "REPLY", "OFF"]);
            client.send_command(&["MULTI"]);
            for key in keys {
                client.send_command(&["SET", key, "1"]);
            }
            client.send_command(&["INFO"]);
            client.send_command(&["ECHO", "no"]);
            client.send_command(&["EXEC"]);
            client.send_command(&["CLIENT", "REPLY", "ON"]);
            assert_eq!(client.reply(), "+OK\r\n", "{lanes} lanes, {keys:?}");
            assert_eq!(client.say(&format!("GET {}", keys[0])), "$1\r\n1\r\n");
        }
    }
}

#[test]
fn resp3_has_its_null() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        client.say("HELLO 3");
        client.say("WATCH a b c d");
        client.say("SET c 1");
        assert_eq!(run(&mut client, &["GET missing"]), "_\r\n");
        assert_eq!(run(&mut client, &["GET missing"]), "*1\r\n_\r\n");
    }
}

#[test]
fn a_lane_door_takes_one_slot() {
    let server = Running::with(2, &[]);
    let mut client = server.lane_client(1);
    assert_eq!(client.say("MULTI"), "+OK\r\n");
    assert!(client.say("SET b 1").starts_with("-MOVED 3300 "));
    assert_eq!(client.say("EXEC"), format!("{ABORTED}\r\n"));
    assert_eq!(client.say("MULTI"), "+OK\r\n");
    assert!(client.say("MSET a 1 d 2").starts_with("-CROSSSLOT "));
    assert_eq!(client.say("EXEC"), format!("{ABORTED}\r\n"));
    // Each of one slot, but not of the same.
    assert_eq!(client.say("MULTI"), "+OK\r\n");
    assert_eq!(client.say("SET a 1"), "+QUEUED\r\n");
    assert_eq!(client.say("SET d 1"), "+QUEUED\r\n");
    assert!(client.say("EXEC").starts_with("-CROSSSLOT "));
    assert_eq!(run(&mut client, &["SET {a}x 1", "GET {a}x", "DBSIZE"]), spelled("*3 +OK $1 1 :1"));
    assert!(client.say("WATCH b").starts_with("-MOVED "));
    assert_eq!(client.say("WATCH {a}x"), "+OK\r\n");
    server.client().say("SET {a}x 2");
    assert_eq!(run(&mut client, &["GET {a}x"]), spelled("*-1"));
    let mut keys = run(&mut client, &["KEYS *", "FLUSHALL", "DBSIZE"]);
    keys.retain(|letter| letter != '\n');
    assert_eq!(keys, "*3\r*1\r$4\r{a}x\r+OK\r:0\r");
}

#[test]
fn a_queue_has_a_bound() {
    let aborted = format!("{ABORTED}\r\n");
    let settings = [("transaction-commands-max", "3"), ("transaction-bytes-max", "1kb")];
    let server = Running::with(2, &settings);
    let mut client = server.client();
    client.say("MULTI");
    for _ in 0..3 {
        assert_eq!(client.say("INCR a"), "+QUEUED\r\n");
    }
    assert!(client.say("INCR a").starts_with("-ERR Transaction is too long"));
    assert_eq!(client.say("INCR a"), "+QUEUED\r\n");
    assert_eq!(client.say("EXEC"), aborted);
    client.say("MULTI");
    assert!(
        client.say(&format!("SET b {}", "x".repeat(2000))).starts_with("-ERR Transaction is too")
    );
    assert_eq!(client.say("EXEC"), aborted);
    assert_eq!(client.say("EXISTS a b"), ":0\r\n");
    assert_eq!(run(&mut client, &["INCR a", "INCR b", "INCR c"]), spelled("*3 :1 :1 :1"));
    assert_eq!(info(&mut client, "transactions_too_long"), "2");
}

#[test]
fn clients_are_listed_with_what_they_queue_and_watch() {
    let server = Running::with(2, &[]);
    let (mut client, mut others) = (server.client(), server.client());
    client.say("CLIENT SETNAME queueing");
    client.say("WATCH a b c");
    client.say("WATCH a");
    client.say("MULTI");
    client.say("SET a 1");
    client.say("GET a");
    let list = others.say("CLIENT LIST");
    let line = list.lines().find(|line| line.contains("name=queueing")).expect("its line");
    for field in ["flags=x", "multi=2", "watch=3"] {
        assert!(line.split(' ').any(|found| found == field), "{field} in {line}");
    }
    assert!(others.say("CLIENT INFO").contains(" multi=-1 watch=0 "));
}

/// Clients that leave in the middle of MULTI, or before the answer of EXEC, leave nothing locked.
#[test]
fn clients_that_leave_hold_nothing() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut others = server.client();
        for round in 0..20 {
            let mut client = server.client();
            client.send_command(&["WATCH", "a", "b", "c", "d"]);
            client.send_command(&["MULTI"]);
            for key in ["a", "b", "c", "d"] {
                client.send_command(&["SET", key, &round.to_string()]);
            }
            if round % 2 == 1 {
                client.send_command(&["FLUSHALL"]);
                client.send_command(&["EXEC"]);
            }
            drop(client);
            let reply = run(&mut others, &["MSET a 1 b 2 c 3 d 4", "MGET a b c d"]);
            assert_eq!(reply, spelled("*2 +OK *4 $1 1 $1 2 $1 3 $1 4"));
        }
        while info(&mut others, "total_watched_keys") != "0" {}
        assert_eq!(info(&mut others, "requests_waiting_for_slots"), "0");
    }
}

/// How many accounts the bank has, and what is in each at first.
const ACCOUNTS: usize = 12;
const DEPOSIT: i64 = 100;
const TRANSFERS: usize = 60;

/// The numbers of an array of bulk strings.
fn numbers(reply: &str) -> Vec<i64> {
    reply
        .lines()
        .filter(|line| !line.starts_with(['*', '$']))
        .map(|line| line.parse().expect(line))
        .collect()
}

fn account(number: usize) -> String {
    format!("account:{number}")
}

/// Clients move money between accounts, others add it all up: the sum never changes.
fn bank(lanes: usize, transfer: fn(&mut Client, &mut fastrand::Rng) -> bool) {
    let server = Running::with(lanes, &[]);
    let mut client = server.client();
    let names: Vec<String> = (0..ACCOUNTS).map(account).collect();
    for name in &names {
        client.say(&format!("SET {name} {DEPOSIT}"));
    }
    let over = AtomicBool::new(false);
    let all = "MGET ".to_owned() + &names.join(" ");
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..6)
            .map(|seed| {
                let mut client = server.client();
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    let mut done = 0;
                    while done < TRANSFERS {
                        done += usize::from(transfer(&mut client, &mut random));
                    }
                })
            })
            .collect();
        let auditors: Vec<_> = (0..2)
            .map(|number| {
                let mut client = server.client();
                let (over, all) = (&over, &all);
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        // One of them with all slots locked.
                        let last = ["EXISTS account:1", "DBSIZE"][number];
                        let reply = run(&mut client, &[all, last]);
                        let (sums, count) = reply.rsplit_once(':').expect("a number is last");
                        assert_eq!(count.trim().parse(), Ok([1, ACCOUNTS][number]));
                        assert_eq!(numbers(sums).iter().sum::<i64>(), ACCOUNTS as i64 * DEPOSIT);
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().expect("transfers succeed");
        }
        over.store(true, Ordering::Relaxed);
        for auditor in auditors {
            auditor.join().expect("the sum never changes");
        }
    });
    let reply = client.say(&all);
    assert_eq!(numbers(&reply).iter().sum::<i64>(), ACCOUNTS as i64 * DEPOSIT);
}

fn two_accounts(random: &mut fastrand::Rng) -> (String, String, i64) {
    let from = random.usize(..ACCOUNTS);
    let to = (from + random.usize(1..ACCOUNTS)) % ACCOUNTS;
    (account(from), account(to), random.i64(1..10))
}

#[test]
fn money_moves_by_increments() {
    for lanes in LANES {
        bank(lanes, |client, random| {
            let (from, to, amount) = two_accounts(random);
            let reply = run(
                client,
                &[&format!("DECRBY {from} {amount}"), &format!("INCRBY {to} {amount}")],
            );
            reply.starts_with("*2\r\n:")
        });
    }
}

#[test]
fn money_moves_by_watched_values() {
    for lanes in LANES {
        bank(lanes, |client, random| {
            let (from, to, amount) = two_accounts(random);
            assert_eq!(client.say(&format!("WATCH {from} {to}")), "+OK\r\n");
            let before = numbers(&client.say(&format!("MGET {from} {to}")));
            let after = [before[0] - amount, before[1] + amount];
            let reply = run(
                client,
                &[&format!("SET {from} {}", after[0]), &format!("SET {to} {}", after[1])],
            );
            assert!(["*-1\r\n", "*2\r\n+OK\r\n+OK\r\n"].contains(&reply.as_str()), "{reply}");
            reply != "*-1\r\n"
        });
    }
}

/// A pause that begins while a pipeline arrives may hold back a transaction and what was planned behind it.
#[test]
fn after_a_pause_nothing_overtakes_a_transaction() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let (mut client, mut other) = (server.client(), server.client());
        for round in 0..100 {
            let mut input = Vec::new();
            let set = |key: &'static str| vec!["SET", key, if round % 2 == 0 { "x" } else { "y" }];
            for command in [
                vec!["MULTI"],
                set("a"),
                set("b"),
                set("c"),
                vec!["EXEC"],
                vec!["GET", "a"],
                vec!["MGET", "b", "c"],
                vec!["STRLEN", "a"],
            ] {
                input.extend(encode(&command));
            }
            other.send_command(&["CLIENT", "PAUSE", "100000", "ALL"]);
            client.send(&input);
            assert_eq!(other.reply(), "+OK\r\n");
            assert_eq!(other.say("CLIENT UNPAUSE"), "+OK\r\n");
            let value = if round % 2 == 0 { "x" } else { "y" };
            let expected = format!(
                "+OK +QUEUED +QUEUED +QUEUED *3 +OK +OK +OK $1 {value} *2 $1 {value} $1 {value} :1"
            );
            let got: String = (0..8).map(|_| client.reply()).collect();
            assert_eq!(got, spelled(&expected), "{lanes} lanes, round {round}");
            assert_eq!(client.say("PING"), "+PONG\r\n");
        }
    }
}
