//! Commands that wait: fairness, timeouts, disconnection, transactions, keys of several lanes; on
//! servers with 1, 2 and 4 lanes.

mod support;

use std::collections::VecDeque;

use support::{Client, Running};

const LANES: [usize; 3] = [1, 2, 4];

/// Waits until so many clients wait, as INFO counts them; the time decides nothing.
fn until_blocked(client: &mut Client, count: usize) {
    let wanted = format!("blocked_clients:{count}\r\n");
    while !client.say("INFO clients").contains(&wanted) {
        std::thread::yield_now();
    }
}

/// Keys that need not be of one lane.
const KEYS: [&str; 4] = ["one", "two", "three", "four"];

#[test]
fn the_oldest_waiter_is_served_first() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut pusher = server.client();
        for key in KEYS {
            let mut waiting: Vec<Client> = Vec::new();
            for index in 0..8 {
                let mut client = server.client();
                client.send_command(&["BLPOP", key, "0"]);
                waiting.push(client);
                until_blocked(&mut pusher, index + 1);
            }
            for (index, client) in waiting.iter_mut().enumerate() {
                assert!(pusher.call(&["RPUSH", key, &index.to_string()]).starts_with(":1"));
                let expected = format!("*2\r\n${}\r\n{key}\r\n$1\r\n{index}\r\n", key.len());
                assert_eq!(client.reply(), expected, "{lanes} lanes");
            }
            assert_eq!(pusher.call(&["EXISTS", key]), ":0\r\n");
        }
    }
}

#[test]
fn several_elements_serve_several_waiters_at_once() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut pusher = server.client();
        let mut waiting: Vec<Client> = (0..3).map(|_| server.client()).collect();
        for (index, client) in waiting.iter_mut().enumerate() {
            client.send_command(&["BRPOP", "list", "0"]);
            until_blocked(&mut pusher, index + 1);
        }
        pusher.say("RPUSH list a b c d");
        for (client, element) in waiting.iter_mut().zip(["d", "c", "b"]) {
            assert_eq!(client.reply(), format!("*2\r\n$4\r\nlist\r\n$1\r\n{element}\r\n"));
        }
        assert_eq!(pusher.say("LRANGE list 0 -1"), "*1\r\n$1\r\na\r\n");
    }
}

#[test]
fn keys_of_several_lanes_are_waited_for_together() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut pusher = server.client();
        for (round, key) in KEYS.iter().cycle().take(40).enumerate() {
            let mut client = server.client();
            let mut command = vec!["BLPOP"];
            command.extend(KEYS);
            command.push("0");
            client.send_command(&command);
            until_blocked(&mut pusher, 1);
            let element = format!("v{round}");
            pusher.call(&["LPUSH", key, &element]);
            let expected =
                format!("*2\r\n${}\r\n{key}\r\n${}\r\n{element}\r\n", key.len(), element.len());
            assert_eq!(client.reply(), expected, "{lanes} lanes");
            until_blocked(&mut pusher, 0);
        }
    }
}

#[test]
fn every_element_goes_to_exactly_one_of_many_waiters() {
    const WAITERS: usize = 24;
    const ELEMENTS: usize = 600;
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let address = server.address;
        let waiters: Vec<_> = (0..WAITERS)
            .map(|index| {
                std::thread::spawn(move || {
                    let mut client = Client::to(address);
                    let mut taken = Vec::new();
                    loop {
                        let reply = if index % 2 == 0 {
                            client.call(&["BLPOP", "one", "two", "three", "four", "0"])
                        } else {
                            client.call(&["BLPOP", KEYS[index / 2 % KEYS.len()], "0"])
                        };
                        let element = reply.split("\r\n").nth(4).expect("an element").to_owned();
                        if element == "end" {
                            return taken;
                        }
                        taken.push(element);
                    }
                })
            })
            .collect();
        let mut pusher = server.client();
        for index in 0..ELEMENTS {
            pusher.call(&["RPUSH", KEYS[index % KEYS.len()], &index.to_string()]);
        }
        // Ends for each of them, on the keys in turn, until all have got theirs.
        while waiters.iter().any(|waiter| !waiter.is_finished()) {
            for key in KEYS {
                pusher.call(&["RPUSH", key, "end"]);
            }
            std::thread::yield_now();
        }
        let mut taken: Vec<usize> = Vec::new();
        for waiter in waiters {
            let own = waiter.join().expect("no waiter fails");
            taken.extend(own.iter().map(|element| element.parse::<usize>().expect("a number")));
        }
        for key in KEYS {
            loop {
                let reply = pusher.call(&["LPOP", key]);
                let Some(element) = reply.split("\r\n").nth(1).filter(|it| !it.is_empty()) else {
                    break;
                };
                taken.extend(element.parse::<usize>());
            }
        }
        taken.sort_unstable();
        assert_eq!(taken, (0..ELEMENTS).collect::<Vec<_>>(), "{lanes} lanes");
    }
}

#[test]
fn a_wait_ends_at_its_time_with_nothing() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        assert_eq!(client.say("BLPOP one 0.01"), "*-1\r\n");
        assert_eq!(client.say("BLPOP one two three four 0.01"), "*-1\r\n");
        assert_eq!(client.say("BLMOVE one two LEFT RIGHT 0.01"), "*-1\r\n");
        assert_eq!(client.say("BLMPOP 0.01 2 one two LEFT"), "*-1\r\n");
        assert_eq!(client.say("BLPOP one -1"), "-ERR timeout is negative\r\n");
        assert!(client.say("BLPOP one x").starts_with("-ERR timeout is not a float"));
        until_blocked(&mut client, 0);
    }
}

#[test]
fn what_follows_a_waiting_command_waits_too() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let (mut client, mut pusher) = (server.client(), server.client());
        client.send(b"BLPOP one 0\r\nPING\r\nSET after 1\r\n");
        until_blocked(&mut pusher, 1);
        assert_eq!(pusher.say("EXISTS after"), ":0\r\n");
        pusher.say("LPUSH one x");
        assert_eq!(client.reply(), "*2\r\n$3\r\none\r\n$1\r\nx\r\n");
        assert_eq!(client.reply(), "+PONG\r\n");
        assert_eq!(client.reply(), "+OK\r\n");
    }
}

#[test]
fn who_goes_away_takes_nothing() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut pusher = server.client();
        for command in [&["BLPOP", "one", "0"][..], &["BLPOP", "one", "two", "three", "four", "0"]]
        {
            for _ in 0..4 {
                let mut client = server.client();
                client.send_command(command);
                until_blocked(&mut pusher, 1);
                drop(client);
                until_blocked(&mut pusher, 0);
            }
            assert_eq!(pusher.say("RPUSH one x"), ":1\r\n");
            assert_eq!(pusher.say("LPOP one"), "$1\r\nx\r\n");
        }
    }
}

#[test]
fn inside_a_transaction_nothing_waits_and_its_end_wakes_those_who_do() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let (mut client, mut waiter) = (server.client(), server.client());
        client.say("MULTI");
        client.say("BLPOP one 0");
        client.say("BLPOP one two three four 0");
        assert_eq!(client.say("EXEC"), "*2\r\n*-1\r\n*-1\r\n");
        waiter.send_command(&["BLPOP", "one", "two", "0"]);
        until_blocked(&mut client, 1);
        client.say("MULTI");
        client.say("RPUSH two x");
        client.say("RPUSH one y");
        // Only what is there at the end counts.
        client.say("LPOP one");
        client.say("EXEC");
        assert_eq!(waiter.reply(), "*2\r\n$3\r\ntwo\r\n$1\r\nx\r\n", "{lanes} lanes");
    }
}

#[test]
fn a_key_that_comes_by_rename_or_move_wakes_too() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let (mut client, mut waiter) = (server.client(), server.client());
        waiter.send_command(&["BLPOP", "wanted", "0"]);
        until_blocked(&mut client, 1);
        client.say("SET wanted text");
        client.say("DEL wanted");
        client.say("RPUSH other x");
        client.say("RENAME other wanted");
        assert_eq!(waiter.reply(), "*2\r\n$6\r\nwanted\r\n$1\r\nx\r\n");
        waiter.send_command(&["BLMOVE", "wanted", "far", "LEFT", "LEFT", "0"]);
        until_blocked(&mut client, 1);
        client.say("LPUSH source y");
        client.say("LMOVE source wanted LEFT LEFT");
        assert_eq!(waiter.reply(), "$1\r\ny\r\n");
        assert_eq!(client.say("LRANGE far 0 -1"), "*1\r\n$1\r\ny\r\n");
    }
}

#[test]
fn a_destination_of_another_type_ends_a_wait_and_a_source_of_one_does_not() {
    const WRONG_TYPE: &str =
        "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let (mut client, mut waiter) = (server.client(), server.client());
        client.say("SET far text");
        for words in [
            &["BLMOVE", "wanted", "far", "LEFT", "RIGHT", "0"][..],
            &["BRPOPLPUSH", "wanted", "far", "0"],
        ] {
            waiter.send_command(words);
            until_blocked(&mut client, 1);
            client.say("SET wanted text");
            client.say("DEL wanted");
            client.say("RPUSH wanted x");
            assert_eq!(waiter.reply(), WRONG_TYPE, "{lanes} lanes: {words:?}");
            assert_eq!(client.say("LPOP wanted"), "$1\r\nx\r\n");
        }
    }
}

#[test]
fn client_unblock_ends_a_wait() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let (mut client, mut waiter) = (server.client(), server.client());
        let id = waiter.say("CLIENT ID").trim_start_matches(':').trim_end().to_owned();
        assert_eq!(client.call(&["CLIENT", "UNBLOCK", &id]), ":0\r\n");
        for keys in [&["one"][..], &KEYS] {
            for (how, expected) in [
                ("TIMEOUT", "*-1\r\n"),
                ("ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"),
            ] {
                let mut command = vec!["BLPOP"];
                command.extend(keys);
                command.push("0");
                waiter.send_command(&command);
                until_blocked(&mut client, 1);
                // The command is counted as waiting when it sets out; it may be there a little later.
                while client.call(&["CLIENT", "UNBLOCK", &id, how]) == ":1\r\n" {
                    std::thread::yield_now();
                }
                assert_eq!(waiter.reply(), expected, "{lanes} lanes");
            }
        }
        assert_eq!(waiter.say("PING"), "+PONG\r\n");
    }
}

/// Where the key of a reader of a group goes, or its group, it is refused as if it had come now.
#[test]
fn readers_of_groups_hear_that_their_stream_has_gone() {
    const NO_GROUP: &str =
        "-NOGROUP No such key 'one' or consumer group 'g' in XREADGROUP with GROUP option\r\n";
    const WRONG_TYPE: &str =
        "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
    let scenes: [(&[&str], &str); 10] = [
        (&["DEL one"], NO_GROUP),
        (&["UNLINK one"], NO_GROUP),
        (&["PEXPIRE one 1"], NO_GROUP),
        (&["XGROUP DESTROY one g"], NO_GROUP),
        (&["RENAME one three"], NO_GROUP),
        (&["MOVE one 1"], NO_GROUP),
        (&["FLUSHALL"], NO_GROUP),
        (&["SWAPDB 0 1"], NO_GROUP),
        (&["SET one v"], WRONG_TYPE),
        (&["MULTI", "DEL one", "RPUSH one a", "EXEC"], WRONG_TYPE),
    ];
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut other = server.client();
        for streams in ["one >", "one two > >", "two one > >"] {
            for (commands, refusal) in scenes {
                let case = format!("{lanes} lanes, {streams}, {commands:?}");
                other.say("FLUSHALL");
                for key in ["one", "two"] {
                    other.say(&format!("XGROUP CREATE {key} g $ MKSTREAM"));
                }
                let mut client = server.client();
                let mut read = server.client();
                client.send_command(
                    &format!("XREADGROUP GROUP g c BLOCK 0 STREAMS {streams}")
                        .split(' ')
                        .collect::<Vec<_>>(),
                );
                // Without a group nothing has to be there.
                read.send_command(&["XREAD", "BLOCK", "0", "STREAMS", "one", "0"]);
                until_blocked(&mut other, 2);
                for command in commands {
                    assert!(!other.say(command).starts_with('-'), "{case}");
                }
                let refusal = if commands[0] == "SWAPDB 0 1" && streams != "one >" {
                    // Both keys went at once.
                    let first = &streams[..3];
                    refusal.replace("one", first)
                } else if commands[0] == "FLUSHALL" {
                    refusal.replace("one", &streams[..3])
                } else {
                    refusal.to_owned()
                };
                assert_eq!(client.reply(), refusal, "{case}");
                until_blocked(&mut other, 1);
                other.say("DEL one");
                other.say("XADD one 1-1 f v");
                assert!(read.reply().contains("1-1"), "{case}");
            }
        }
    }
}

#[test]
fn what_becomes_old_enough_to_be_claimed_wakes_who_waits_for_it() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut other = server.client();
        for streams in ["one >", "one two > >"] {
            other.say("FLUSHALL");
            for key in ["one", "two"] {
                other.say(&format!("XGROUP CREATE {key} g $ MKSTREAM"));
            }
            other.say("XADD one 1-1 f v");
            other.say("XREADGROUP GROUP g alice STREAMS one >");
            let mut waiting: Vec<Client> = Vec::new();
            for (name, claim) in [("carol", "100000"), ("dave", "100000"), ("bob", "300")] {
                let mut client = server.client();
                // One after another: the order in which they are served.
                until_blocked(&mut other, waiting.len());
                client.send_command(
                    &format!(
                        "XREADGROUP GROUP g {name} COUNT 1 BLOCK 0 CLAIM {claim} STREAMS {streams}"
                    )
                    .split(' ')
                    .collect::<Vec<_>>(),
                );
                waiting.push(client);
            }
            let claimed = waiting[2].reply();
            assert!(claimed.contains("$3\r\n1-1\r\n"), "{lanes} lanes: {claimed}");
            assert!(claimed.ends_with(":1\r\n"), "given once before: {claimed}");
            until_blocked(&mut other, 2);
            // What is new wakes them as well, one after the other.
            other.say("XADD one 2-1 f v");
            assert!(waiting[0].reply().ends_with(":0\r\n:0\r\n"));
            other.say("XCLAIM one g alice 0 2-1 IDLE 200000 JUSTID");
            let claimed = waiting[1].reply();
            assert!(claimed.contains("$3\r\n2-1\r\n"), "{lanes} lanes: {claimed}");
        }
    }
}

/// How often what lanes do at once is tried: some of these meet the moments that matter.
const ROUNDS: usize = 300;

#[test]
fn what_comes_while_others_look_is_for_the_oldest() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let (mut other, mut third) = (server.client(), server.client());
        for key in ["one", "two"] {
            other.say(&format!("XGROUP CREATE {key} g $ MKSTREAM"));
        }
        let read = |client: &mut Client, name: &str| {
            let line = format!("XREADGROUP GROUP g {name} COUNT 1 BLOCK 0 STREAMS one two > >");
            client.send_command(&line.split(' ').collect::<Vec<_>>());
        };
        let names = ["alice", "bob", "carol"];
        let mut waiting: VecDeque<_> = names.map(|name| (server.client(), name)).into();
        for (index, (client, name)) in waiting.iter_mut().enumerate() {
            read(client, name);
            until_blocked(&mut other, index + 1);
        }
        for key in ["one", "two"] {
            let consumers = other.say(&format!("XINFO CONSUMERS {key} g"));
            assert!(
                names.iter().all(|name| consumers.contains(name)),
                "{lanes} lanes: {consumers}"
            );
        }
        for round in 1..=ROUNDS {
            // All are told, one after the other, and find nothing; meanwhile something comes.
            for key in ["one", "two"] {
                let consumer = format!("XGROUP CREATECONSUMER {key} g {round}\r\n");
                other.send(consumer.as_bytes());
            }
            let key = ["one", "two"][round % 2];
            third.say(&format!("XADD {key} {round}-1 f v"));
            assert_eq!((other.reply(), other.reply()), (":1\r\n".into(), ":1\r\n".into()));
            let (mut oldest, name) = waiting.pop_front().expect("three wait");
            let said = oldest.reply();
            assert!(said.contains(&format!("{round}-1\r\n")), "{lanes} lanes: {said}");
            until_blocked(&mut other, 2);
            read(&mut oldest, name);
            until_blocked(&mut other, 3);
            waiting.push_back((oldest, name));
        }
    }
}
