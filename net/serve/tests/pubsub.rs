//! Channels, keyspace notices and MONITOR on real lanes.

mod support;

use support::{Client, Running, encode};

/// Names that live on different lanes, whatever their number.
const CHANNELS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "{x}h"];

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// An array of bulk strings, as a listener in RESP2 gets it.
fn array(words: &[&str]) -> String {
    let words: String = words.iter().map(|word| bulk(word)).collect();
    format!("*{}\r\n{words}", words.matches('$').count())
}

fn message(channel: &str, payload: &str) -> String {
    array(&["message", channel, payload])
}

fn confirmation(word: &str, name: &str, count: usize) -> String {
    format!("*3\r\n{}{}:{count}\r\n", bulk(word), bulk(name))
}

/// The same as a push of RESP3.
fn pushed(text: &str) -> String {
    format!(">{}", &text[1..])
}

fn on_each_number_of_lanes(test: fn(&Running)) {
    for lanes in [1, 2, 4] {
        test(&Running::with(lanes, &[]));
    }
}

#[test]
fn messages_reach_every_listener_once_a_name() {
    on_each_number_of_lanes(|server| {
        let mut listeners: Vec<Client> = (0..5).map(|_| server.client()).collect();
        for listener in &mut listeners {
            let mut words = vec!["SUBSCRIBE"];
            words.extend(CHANNELS);
            listener.send_command(&words);
            for (index, channel) in CHANNELS.iter().enumerate() {
                assert_eq!(listener.reply(), confirmation("subscribe", channel, index + 1));
            }
        }
        let pattern = confirmation("psubscribe", "?", 9);
        assert_eq!(listeners[0].say("PSUBSCRIBE ?"), pattern);
        let mut publisher = server.client();
        for (index, channel) in CHANNELS.iter().enumerate() {
            let text = format!("message {index}");
            let matched = usize::from(channel.len() == 1);
            assert_eq!(
                publisher.call(&["PUBLISH", channel, &text]),
                format!(":{}\r\n", 5 + matched)
            );
            for (number, listener) in listeners.iter_mut().enumerate() {
                assert_eq!(listener.reply(), message(channel, &text));
                if number == 0 && matched == 1 {
                    assert_eq!(listener.reply(), array(&["pmessage", "?", channel, &text]));
                }
            }
        }
        assert_eq!(publisher.say("PUBLISH nobody hears"), ":0\r\n");
        // Nothing is left over: the next answer is to the next command.
        for listener in &mut listeners {
            assert_eq!(listener.say("PING end"), array(&["pong", "end"]));
        }
    });
}

#[test]
fn confirmations_and_refusals_are_those_of_redis() {
    on_each_number_of_lanes(|server| {
        let mut client = server.client();
        let confirms = confirmation;
        let only = |name: &str| {
            format!(
                "-ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n"
            )
        };
        client.send_command(&["SUBSCRIBE", "a", "b", "a"]);
        for (name, count) in [("a", 1), ("b", 2), ("a", 2)] {
            assert_eq!(client.reply(), confirms("subscribe", name, count));
        }
        assert_eq!(client.say("PSUBSCRIBE p*"), confirms("psubscribe", "p*", 3));
        assert_eq!(client.say("SSUBSCRIBE s"), confirms("ssubscribe", "s", 1));
        assert_eq!(client.say("GET x"), only("get"));
        assert_eq!(client.say("CONFIG GET x"), only("config|get"));
        assert_eq!(client.say("PUBLISH a x"), only("publish"));
        assert_eq!(client.say("PING"), array(&["pong", ""]));
        assert_eq!(client.say("UNSUBSCRIBE nosuch"), confirms("unsubscribe", "nosuch", 3));
        client.send_command(&["UNSUBSCRIBE"]);
        assert_eq!(client.reply(), confirms("unsubscribe", "a", 2));
        assert_eq!(client.reply(), confirms("unsubscribe", "b", 1));
        assert_eq!(client.say("PUNSUBSCRIBE"), confirms("punsubscribe", "p*", 0));
        assert_eq!(client.say("GET x"), only("get"));
        assert_eq!(client.say("SUNSUBSCRIBE"), confirms("sunsubscribe", "s", 0));
        assert_eq!(client.say("UNSUBSCRIBE"), "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n");
        assert_eq!(client.say("SUNSUBSCRIBE"), "*3\r\n$12\r\nsunsubscribe\r\n$-1\r\n:0\r\n");
        assert_eq!(client.say("PING"), "+PONG\r\n");

        assert!(client.say("HELLO 3").starts_with('%'));
        assert_eq!(client.say("SUBSCRIBE a"), pushed(&confirms("subscribe", "a", 1)));
        assert_eq!(client.say("GET x"), "_\r\n");
        assert_eq!(client.say("PING hi"), "$2\r\nhi\r\n");
        assert_eq!(client.say("RESET"), "+RESET\r\n");
        assert_eq!(client.say("PUBSUB NUMSUB a"), "*2\r\n$1\r\na\r\n:0\r\n");

        let long = "x".repeat(64 * 1024 + 1);
        for (command, text) in [("SUBSCRIBE", "channel name"), ("PSUBSCRIBE", "pattern")] {
            let refusal = client.call(&[command, &long]);
            assert!(refusal.starts_with(&format!("-ERR {text} exceeds")), "{refusal}");
        }
    });
}

#[test]
fn what_is_pipelined_behind_a_subscription_is_answered_behind_it() {
    on_each_number_of_lanes(|server| {
        let mut client = server.client();
        client.say("HELLO 3");
        let mut all = encode(&["SUBSCRIBE", "a", "b", "c", "d"]);
        all.extend(encode(&["SET", "k", "1"]));
        all.extend(encode(&["UNSUBSCRIBE", "b"]));
        all.extend(encode(&["GET", "k"]));
        client.send(&all);
        for (index, name) in ["a", "b", "c", "d"].iter().enumerate() {
            let expected = confirmation("subscribe", name, index + 1);
            assert_eq!(client.reply(), pushed(&expected));
        }
        assert_eq!(client.reply(), "+OK\r\n");
        assert_eq!(client.reply(), pushed(&confirmation("unsubscribe", "b", 3)));
        assert_eq!(client.reply(), "$1\r\n1\r\n");
    });
}

#[test]
fn replies_turned_off_do_not_hold_back_messages() {
    on_each_number_of_lanes(|server| {
        let mut client = server.client();
        client.send_command(&["CLIENT", "REPLY", "OFF"]);
        client.send_command(&["SUBSCRIBE", "a", "b"]);
        assert_eq!(client.reply(), confirmation("subscribe", "a", 1));
        assert_eq!(client.reply(), confirmation("subscribe", "b", 2));
        assert_eq!(server.client().say("PUBLISH b x"), ":1\r\n");
        assert_eq!(client.reply(), message("b", "x"));
    });
}

#[test]
fn order_holds_for_each_publisher_and_large_messages_arrive_whole() {
    on_each_number_of_lanes(|server| {
        let mut listeners: Vec<Client> = (0..4).map(|_| server.client()).collect();
        for listener in &mut listeners {
            assert_eq!(listener.say("SUBSCRIBE a"), confirmation("subscribe", "a", 1));
        }
        let mut publisher = server.client();
        let mut all = Vec::new();
        let payload = |number: usize| {
            // Every tenth goes by reference.
            let length = if number.is_multiple_of(10) { 20_000 } else { 10 };
            format!("{number:0length$}")
        };
        for number in 0..200 {
            all.extend(encode(&["PUBLISH", "a", &payload(number)]));
        }
        publisher.send(&all);
        for _ in 0..200 {
            assert_eq!(publisher.reply(), ":4\r\n");
        }
        for listener in &mut listeners {
            for number in 0..200 {
                assert_eq!(listener.reply(), message("a", &payload(number)));
            }
        }
    });
}

#[test]
fn runs_of_messages_end_where_something_else_is_said() {
    on_each_number_of_lanes(|server| {
        let mut listener = server.client();
        assert_eq!(listener.say("SUBSCRIBE a"), confirmation("subscribe", "a", 1));
        let mut publisher = server.client();
        publisher.say("HELLO 3");
        // One pipeline: a run of one channel, of another, a subscription in the middle.
        let mut all = Vec::new();
        for line in ["PUBLISH a 1", "PUBLISH a 2", "PUBLISH b 1", "PUBLISH a 3", "SUBSCRIBE a"] {
            all.extend(encode(&line.split(' ').collect::<Vec<_>>()));
        }
        for line in ["PUBLISH a 4", "PUBLISH a 5", "SET k v", "PUBLISH a 6"] {
            all.extend(encode(&line.split(' ').collect::<Vec<_>>()));
        }
        publisher.send(&all);
        for text in ["1", "2", "3", "4", "5", "6"] {
            assert_eq!(listener.reply(), message("a", text));
        }
        for receivers in [1, 1, 0, 1] {
            assert_eq!(publisher.reply(), format!(":{receivers}\r\n"));
        }
        assert_eq!(publisher.reply(), pushed(&confirmation("subscribe", "a", 1)));
        // What it publishes itself comes to it as a push, between the answers.
        let replies: Vec<String> = (0..7).map(|_| publisher.reply()).collect();
        let (told, answers): (Vec<String>, Vec<String>) =
            replies.into_iter().partition(|reply| reply.starts_with('>'));
        let expected: Vec<String> =
            ["4", "5", "6"].iter().map(|text| pushed(&message("a", text))).collect();
        assert_eq!(told, expected);
        assert_eq!(answers, [":2\r\n", ":2\r\n", "+OK\r\n", ":2\r\n"]);
    });
}

#[test]
fn closed_and_killed_listeners_are_counted_no_more() {
    on_each_number_of_lanes(|server| {
        let mut publisher = server.client();
        let mut listeners: Vec<Client> = (0..6).map(|_| server.client()).collect();
        for listener in &mut listeners {
            listener.say("SUBSCRIBE a");
            listener.say("PSUBSCRIBE a*");
            listener.say("SSUBSCRIBE a");
        }
        assert_eq!(publisher.say("PUBLISH a x"), ":12\r\n");
        assert_eq!(publisher.say("SPUBLISH a x"), ":6\r\n");
        assert_eq!(publisher.say("CLIENT KILL TYPE pubsub"), ":6\r\n");
        for mut listener in listeners {
            listener.read_to_end();
        }
        let gone = "*2\r\n$1\r\na\r\n:0\r\n";
        while publisher.say("PUBSUB NUMSUB a") != gone || publisher.say("PUBSUB NUMPAT") != ":0\r\n"
        {
            std::thread::yield_now();
        }
        while publisher.say("PUBSUB SHARDNUMSUB a") != gone {
            std::thread::yield_now();
        }
        assert_eq!(publisher.say("PUBSUB CHANNELS"), "*0\r\n");
        assert_eq!(publisher.say("PUBLISH a x"), ":0\r\n");
    });
}

#[test]
fn shard_channels_are_a_space_of_their_own() {
    let server = Running::with(2, &[]);
    let mut client = server.client();
    // Front door: any names.
    client.send_command(&["SSUBSCRIBE", "a", "b"]);
    assert_eq!(client.reply(), confirmation("ssubscribe", "a", 1));
    assert_eq!(client.reply(), confirmation("ssubscribe", "b", 2));
    let mut publisher = server.client();
    assert_eq!(publisher.say("PUBLISH a x"), ":0\r\n");
    assert_eq!(publisher.say("SPUBLISH a x"), ":1\r\n");
    assert_eq!(client.reply(), array(&["smessage", "a", "x"]));
    // Slot 15495 (a) is the second lane's, 3300 (b) the first's.
    let mut wrong = server.lane_client(0);
    let port = server.lane_ports[1];
    assert_eq!(wrong.say("SSUBSCRIBE a"), format!("-MOVED 15495 127.0.0.1:{port}\r\n"));
    assert_eq!(wrong.say("SPUBLISH a x"), format!("-MOVED 15495 127.0.0.1:{port}\r\n"));
    let cross = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";
    assert_eq!(wrong.say("SSUBSCRIBE a b"), cross);
    assert_eq!(wrong.say("SSUBSCRIBE b"), confirmation("ssubscribe", "b", 1));
    let mut other = server.lane_client(1);
    assert_eq!(other.say("SUBSCRIBE b"), confirmation("subscribe", "b", 1));
    assert_eq!(publisher.say("PUBLISH b everywhere"), ":1\r\n");
    assert_eq!(other.reply(), message("b", "everywhere"));
}

#[test]
fn the_server_tells_who_listens() {
    on_each_number_of_lanes(|server| {
        let mut one = server.client();
        let mut two = server.client();
        for line in ["SUBSCRIBE a", "SUBSCRIBE b", "PSUBSCRIBE x*"] {
            one.say(line);
        }
        for line in ["SUBSCRIBE a", "PSUBSCRIBE x*", "SSUBSCRIBE s"] {
            two.say(line);
        }
        let mut client = server.client();
        assert_eq!(client.say("PUBSUB CHANNELS"), "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
        assert_eq!(client.say("PUBSUB CHANNELS b*"), "*1\r\n$1\r\nb\r\n");
        assert_eq!(client.say("PUBSUB NUMSUB"), "*0\r\n");
        assert_eq!(
            client.say("PUBSUB NUMSUB a z b"),
            "*6\r\n$1\r\na\r\n:2\r\n$1\r\nz\r\n:0\r\n$1\r\nb\r\n:1\r\n"
        );
        assert_eq!(client.say("PUBSUB NUMPAT"), ":1\r\n");
        assert_eq!(client.say("PUBSUB SHARDCHANNELS"), "*1\r\n$1\r\ns\r\n");
        assert_eq!(
            client.say("PUBSUB SHARDNUMSUB s a"),
            "*4\r\n$1\r\ns\r\n:1\r\n$1\r\na\r\n:0\r\n"
        );
        assert_eq!(
            client.say("PUBSUB CHANNELS a b"),
            "-ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.\r\n"
        );
        let info = client.say("INFO");
        for field in [
            "\r\npubsub_channels:2\r\n",
            "\r\npubsub_patterns:1\r\n",
            "\r\npubsubshard_channels:1\r\n",
            "\r\npubsub_clients:2\r\n",
        ] {
            assert!(info.contains(field), "{field:?} in {info}");
        }
        let list = client.say("CLIENT LIST TYPE pubsub");
        assert_eq!(list.matches(" flags=P ").count(), 2, "{list}");
        assert!(list.contains(" sub=2 psub=1 ssub=0 "), "{list}");
        assert!(list.contains(" sub=1 psub=1 ssub=1 "), "{list}");
        assert!(!client.say("CLIENT LIST TYPE normal").contains("flags=P"));
    });
}

#[test]
fn a_listener_that_does_not_read_is_closed() {
    let limit = ("client-output-buffer-limit", "pubsub 4mb 0 0");
    for lanes in [1, 2] {
        let server = Running::with(lanes, &[limit]);
        let mut slow = server.client();
        slow.say("SUBSCRIBE a");
        let mut publisher = server.client();
        let payload = "x".repeat(100_000);
        // Far beyond what sockets hold; ends as soon as the listener is gone.
        let mut gone = false;
        for _ in 0..2000 {
            if publisher.call(&["PUBLISH", "a", &payload]) == ":0\r\n" {
                gone = true;
                break;
            }
        }
        assert!(gone, "the listener has more than 4 MB waiting");
        let info = publisher.say("INFO stats");
        assert!(info.contains("client_output_buffer_limit_disconnections:1\r\n"), "{info}");
        slow.read_to_end();
    }
}

#[test]
fn a_monitor_that_does_not_read_is_closed() {
    let limit = ("client-output-buffer-limit", "pubsub 4mb 0 0");
    for lanes in [1, 2] {
        let server = Running::with(lanes, &[limit]);
        let mut slow = server.client();
        assert_eq!(slow.say("MONITOR"), "+OK\r\n");
        let mut client = server.client();
        let payload = "x".repeat(60_000);
        // Far beyond what sockets hold; ends as soon as the monitor is gone.
        let closed = |client: &mut Client| {
            client.say("INFO stats").contains("client_output_buffer_limit_disconnections:1\r\n")
        };
        let gone = (0..2000).any(|_| {
            client.call(&["SET", "k", &payload]);
            closed(&mut client)
        });
        assert!(gone, "the monitor has more than 4 MB waiting");
        let length = slow.read_to_end().len();
        assert!(length < 100_000_000, "{length}");
    }
}

#[test]
fn a_message_for_thousands_of_listeners_goes_in_slices_and_in_order() {
    const LISTENERS: usize = 2500;
    let server = Running::with(1, &[("maxclients", "4000")]);
    let mut listeners: Vec<Client> = (0..LISTENERS).map(|_| server.client()).collect();
    for listener in &mut listeners {
        listener.send_command(&["SUBSCRIBE", "a"]);
    }
    for listener in &mut listeners {
        assert_eq!(listener.reply(), confirmation("subscribe", "a", 1));
    }
    let mut publisher = server.client();
    let mut all = Vec::new();
    for number in 0..3 {
        all.extend(encode(&["PUBLISH", "a", &number.to_string()]));
    }
    publisher.send(&all);
    for _ in 0..3 {
        assert_eq!(publisher.reply(), format!(":{LISTENERS}\r\n"));
    }
    for listener in &mut listeners {
        for number in 0..3 {
            assert_eq!(listener.reply(), message("a", &number.to_string()));
        }
    }
}

#[test]
fn keyspace_notices_are_published_as_the_setting_says() {
    on_each_number_of_lanes(|server| {
        let mut client = server.client();
        let mut listener = server.client();
        listener.say("PSUBSCRIBE __key*__:*");
        let get = |client: &mut Client| client.say("CONFIG GET notify-keyspace-events");
        assert_eq!(get(&mut client), array(&["notify-keyspace-events", ""]));
        client.say("SET before 1");
        assert_eq!(client.say("CONFIG SET notify-keyspace-events KEA"), "+OK\r\n");
        assert_eq!(get(&mut client), array(&["notify-keyspace-events", "AKE"]));
        assert_eq!(
            client.say("CONFIG SET notify-keyspace-events q"),
            "-ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - Invalid event class character. Use 'Ag$lshzxeKEtmdn'.\r\n"
        );
        let pattern = "__key*__:*";
        let mut expect = |channel: &str, payload: &str| {
            assert_eq!(listener.reply(), array(&["pmessage", pattern, channel, payload]));
        };
        client.say("SELECT 3");
        for key in ["k", "other", "third"] {
            client.call(&["SET", key, "1"]);
            expect(&format!("__keyspace@3__:{key}"), "set");
            expect("__keyevent@3__:set", key);
        }
        client.say("DEL k");
        expect("__keyspace@3__:k", "del");
        expect("__keyevent@3__:del", "k");
        client.say("PEXPIRE other 20");
        expect("__keyspace@3__:other", "expire");
        expect("__keyevent@3__:expire", "other");
        expect("__keyspace@3__:other", "expired");
        expect("__keyevent@3__:expired", "other");
        client.say("RENAME third k");
        expect("__keyspace@3__:third", "rename_from");
        expect("__keyevent@3__:rename_from", "third");
        expect("__keyspace@3__:k", "rename_to");
        expect("__keyevent@3__:rename_to", "k");
        // Only events of strings, only by event, to whoever names the channel.
        client.say("CONFIG SET notify-keyspace-events E$");
        let mut named = server.client();
        named.say("SUBSCRIBE __keyevent@3__:set");
        client.say("DEL k");
        client.say("SET k 2");
        assert_eq!(named.reply(), message("__keyevent@3__:set", "k"));
        expect("__keyevent@3__:set", "k");
        assert_eq!(
            client.say("PUBSUB NUMSUB __keyevent@3__:set"),
            "*2\r\n$18\r\n__keyevent@3__:set\r\n:1\r\n"
        );
        client.say("CONFIG SET notify-keyspace-events Km");
        client.say("GET nothing");
        expect("__keyspace@3__:nothing", "keymiss");
    });
}

#[test]
fn monitors_see_what_scripts_and_functions_call() {
    const LIBRARY: &str = "#!lua name=l\nredis.register_function('two', \
                           function(keys) return redis.call('incr', keys[1]) end)";
    let script = "redis.call('SET', KEYS[1], 12) redis.pcall('nosuch') redis.pcall('get') \
                  redis.pcall('lpush', KEYS[1], 'x\\n') redis.call('select', 2) \
                  redis.call('del', KEYS[1]) redis.pcall('config', 'get', 'x') \
                  return redis.call('ping')";
    let called = [
        r#"[0 lua] "SET" "k" "12""#,
        r#"[0 lua] "lpush" "k" "x\n""#,
        r#"[2 lua] "select" "2""#,
        r#"[2 lua] "del" "k""#,
        r#"[2 lua] "ping""#,
    ];
    for lanes in [1, 2, 4] {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        client.call(&["FUNCTION", "LOAD", LIBRARY]);
        let mut monitor = server.client();
        assert_eq!(monitor.say("MONITOR"), "+OK\r\n");
        let mut shown = |count: usize| {
            let lines = (0..count).map(|_| {
                let line = monitor.reply();
                let (_, rest) = line.split_once(' ').expect("a time");
                let (place, words) = rest.split_once(' ').expect("a place");
                let (address, words) = words.split_once("] ").expect("an address");
                let address = if address == "lua" { "lua" } else { "client" };
                format!("{place} {address}] {}", words.trim_end())
            });
            let mut lines: Vec<String> = lines.collect();
            // Lines of two lanes come in either order, those of one in their own.
            lines.sort_by_key(|line| line.contains("lua]"));
            lines
        };
        for _ in 0..lanes {
            let mut client = server.client();
            client.call(&["EVAL", script, "1", "k"]);
            let lines = shown(1 + called.len());
            assert!(lines[0].starts_with(r#"[0 client] "EVAL" "redis.call("#), "{lines:?}");
            assert_eq!(lines[1..], called);
            client.say("FCALL two 1 a");
            let expected = [r#"[0 client] "FCALL" "two" "1" "a""#, r#"[0 lua] "incr" "a""#];
            assert_eq!(shown(2), expected);
            for line in ["MULTI", "SET a 5", "FCALL two 1 a", "INCR a", "EXEC"] {
                client.say(line);
            }
            let lines = shown(6);
            if lanes == 1 {
                assert_eq!(lines[3], r#"[0 client] "incr" "a""#);
            }
            assert_eq!(lines[5], r#"[0 lua] "incr" "a""#);
        }
    }
}

#[test]
fn monitors_see_the_commands_of_all_lanes_but_no_secret() {
    const LIBRARY: &str = "#!lua name=l\nredis.register_function('one', \
                           function(keys) return 1 end)";
    for lanes in [1, 2, 4] {
        let server = Running::with(lanes, &[]);
        let mut monitor = server.client();
        assert_eq!(monitor.say("MONITOR"), "+OK\r\n");
        assert_eq!(monitor.say("GET k"), "-ERR Replica can't interact with the keyspace\r\n");
        // What is refused is not shown; what it runs itself is, behind its answer.
        assert_eq!(monitor.say("PING"), "+PONG\r\n");
        assert!(monitor.reply().ends_with("\"PING\"\r\n"));
        let mut shown = |expected: &str| {
            let line = monitor.reply();
            let (head, rest) = line.split_once("] ").expect("a line");
            assert_eq!(rest, format!("{expected}\r\n"));
            let (time, place) = head.split_once(" [").expect("a line");
            assert!(time.starts_with('+') && time.split_once('.').unwrap().1.len() == 6, "{time}");
            place.split_once(' ').expect("a database and an address").0.to_owned()
        };
        for _ in 0..4 {
            let mut client = server.client();
            client.call(&["SET", "k", "a\"b\r\n\x01"]);
            assert_eq!(shown(r#""SET" "k" "a\"b\r\n\x01""#), "0");
            client.say("SELECT 2");
            assert_eq!(shown(r#""SELECT" "2""#), "2");
            client.say("AUTH default secret");
            shown(r#""AUTH" "(redacted)" "(redacted)""#);
            client.say("HELLO 3 AUTH default secret");
            shown(r#""HELLO" "3" "AUTH" "(redacted)" "(redacted)""#);
            client.say("CONFIG GET port");
            client.say("PING");
            shown(r#""PING""#);
            client.call(&["EVAL", "return 1", "1", "a"]);
            shown(r#""EVAL" "return 1" "1" "a""#);
            client.say("EVAL_RO return 0");
            shown(r#""EVAL_RO" "return" "0""#);
            client.say("EVALSHA 1fa3 0");
            shown(r#""EVALSHA" "1fa3" "0""#);
            client.say("EVALSHA_RO 1fa3 0");
            shown(r#""EVALSHA_RO" "1fa3" "0""#);
            client.call(&["FUNCTION", "LOAD", "REPLACE", LIBRARY]);
            shown(&format!(r#""FUNCTION" "LOAD" "REPLACE" "{}""#, LIBRARY.replace('\n', "\\n")));
            for line in ["MULTI", "SET a 1", "DISCARD", "MULTI", "SET a 1", "SET b 2", "EXEC"] {
                client.say(line);
            }
            // Of a transaction what runs, when it runs; the words of a row, not of the client.
            for line in [
                r#""MULTI""#,
                r#""DISCARD""#,
                r#""MULTI""#,
                r#""set" "a" "1""#,
                r#""set" "b" "2""#,
                r#""EXEC""#,
            ] {
                shown(line);
            }
        }
        assert_eq!(monitor.say("RESET"), "+RESET\r\n");
        // The line about RESET itself is not shown to it: it does not watch any more.
        assert_eq!(server.client().say("PING"), "+PONG\r\n");
        assert_eq!(monitor.say("PING"), "+PONG\r\n");
    }
}
