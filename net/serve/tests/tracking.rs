//! Client-side caching on real lanes: who has read a key hears of its change, and nobody else.

mod support;

use support::{Client, Running, encode};

/// Keys of different lanes, whatever their number.
const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn invalidation(key: &str) -> String {
    format!(">2\r\n$10\r\ninvalidate\r\n*1\r\n${}\r\n{key}\r\n", key.len())
}

const ALL_INVALID: &str = ">2\r\n$10\r\ninvalidate\r\n_\r\n";

fn on_each_number_of_lanes(test: fn(&Running)) {
    for lanes in [1, 2, 4] {
        test(&Running::with(lanes, &[]));
    }
}

fn client_of_resp3(server: &Running) -> Client {
    let mut client = server.client();
    assert!(client.say("HELLO 3").starts_with('%'));
    client
}

fn tracking(server: &Running, options: &str) -> Client {
    let mut client = client_of_resp3(server);
    assert_eq!(client.say(&format!("CLIENT TRACKING ON {options}")), "+OK\r\n");
    client
}

/// Nothing was pushed: the next thing that comes is the answer.
fn hears_nothing(client: &mut Client) {
    assert_eq!(client.say("PING"), "+PONG\r\n");
}

#[test]
fn who_has_read_a_key_hears_of_its_change_once() {
    on_each_number_of_lanes(|server| {
        let mut reader = tracking(server, "");
        let mut other = tracking(server, "");
        let mut writer = server.client();
        for key in KEYS {
            assert_eq!(reader.call(&["GET", key]), "_\r\n");
            writer.call(&["SET", key, "1"]);
            assert_eq!(reader.reply(), invalidation(key));
            writer.call(&["SET", key, "2"]);
            hears_nothing(&mut reader);
            assert_eq!(reader.call(&["GET", key]), "$1\r\n2\r\n");
            for (line, there) in [("EXPIRE", "100"), ("APPEND", "x")] {
                writer.call(&[line, key, there]);
                assert_eq!(reader.reply(), invalidation(key), "{line}");
                reader.call(&["STRLEN", key]);
            }
            writer.call(&["DEL", key]);
            assert_eq!(reader.reply(), invalidation(key));
        }
        hears_nothing(&mut other);
        hears_nothing(&mut reader);
    });
}

#[test]
fn keys_read_by_commands_of_many_are_remembered() {
    on_each_number_of_lanes(|server| {
        let mut reader = tracking(server, "");
        let mut writer = server.client();
        let mut line = vec!["MGET"];
        line.extend(KEYS);
        reader.call(&line);
        for key in KEYS {
            writer.call(&["SET", key, "1"]);
            assert_eq!(reader.reply(), invalidation(key));
        }
        // Of two lanes, under locks.
        reader.call(&["LCS", "a", "b"]);
        writer.call(&["SET", "b", "2"]);
        assert_eq!(reader.reply(), invalidation("b"));
        writer.call(&["SET", "a", "2"]);
        assert_eq!(reader.reply(), invalidation("a"));
        reader.call(&["EXISTS", "a", "b"]);
        writer.call(&["MSET", "a", "1", "b", "1"]);
        let mut heard = [reader.reply(), reader.reply()];
        heard.sort();
        assert_eq!(heard, [invalidation("a"), invalidation("b")]);
    });
}

#[test]
fn keys_that_expire_are_told() {
    on_each_number_of_lanes(|server| {
        let mut reader = tracking(server, "");
        let mut writer = server.client();
        for key in KEYS {
            writer.call(&["SET", key, "1", "PX", "30"]);
            if reader.call(&["GET", key]) == "_\r\n" {
                continue; // A machine this slow has let it expire before it was read.
            }
            assert_eq!(reader.reply(), invalidation(key));
        }
    });
}

/// The answer to a command, and how often all was invalidated before it.
fn answer_behind_flushes(client: &mut Client, args: &[&str]) -> (String, usize) {
    client.send_command(args);
    let mut flushes = 0;
    loop {
        let reply = client.reply();
        if reply != ALL_INVALID {
            return (reply, flushes);
        }
        flushes += 1;
    }
}

#[test]
fn a_flush_invalidates_everything() {
    on_each_number_of_lanes(|server| {
        let mut reader = tracking(server, "");
        let mut idle = tracking(server, "");
        let mut writer = server.client();
        let (mut told, mut told_idle) = (0, 0);
        for (round, line) in ["FLUSHALL", "FLUSHDB"].into_iter().enumerate() {
            for key in KEYS {
                writer.call(&["SET", key, "1"]);
                let (value, flushes) = answer_behind_flushes(&mut reader, &["GET", key]);
                assert_eq!(value, "$1\r\n1\r\n");
                told += flushes;
            }
            writer.say(line);
            // Each lane that had something to forget says so, when it comes to it.
            for (client, told) in [(&mut reader, &mut told), (&mut idle, &mut told_idle)] {
                while *told <= round {
                    let (answer, flushes) = answer_behind_flushes(client, &["PING"]);
                    assert_eq!(answer, "+PONG\r\n");
                    *told += flushes;
                }
            }
        }
    });
}

#[test]
fn the_old_value_never_comes_behind_its_invalidation() {
    on_each_number_of_lanes(|server| {
        let mut reader = tracking(server, "");
        let mut writer = server.client();
        writer.say("SET k 0");
        for round in 1..200 {
            // Both are under way at once.
            reader.send_command(&["GET", "k"]);
            writer.send_command(&["SET", "k", &round.to_string()]);
            let read = reader.reply();
            assert!(read.starts_with('$'), "{read}");
            assert_eq!(writer.reply(), "+OK\r\n");
            let text = round.to_string();
            if read == format!("${}\r\n{text}\r\n", text.len()) {
                writer.say("DEL k");
                assert_eq!(reader.reply(), invalidation("k"));
                writer.say("SET k 0");
            } else {
                assert_eq!(reader.reply(), invalidation("k"));
            }
        }
    });
}

#[test]
fn noloop_spares_the_writer_itself() {
    on_each_number_of_lanes(|server| {
        let mut looped = tracking(server, "");
        let mut spared = tracking(server, "NOLOOP");
        for key in KEYS {
            spared.call(&["GET", key]);
            assert_eq!(spared.call(&["SET", key, "1"]), "+OK\r\n");
            hears_nothing(&mut spared);
            spared.call(&["GET", key]);
            looped.call(&["GET", key]);
            assert_eq!(looped.call(&["SET", key, "2"]), "+OK\r\n");
            assert_eq!(looped.reply(), invalidation(key));
            assert_eq!(spared.reply(), invalidation(key));
        }
        spared.call(&["MGET", "a", "b"]);
        spared.call(&["MSET", "a", "1", "b", "1"]);
        hears_nothing(&mut spared);
        // Though what it writes is taken at once by somebody who waits.
        for key in ["list", "others"] {
            let mut waiter = client_of_resp3(server);
            spared.call(&["LLEN", key]);
            looped.call(&["LLEN", key]);
            waiter.send_command(&["BLPOP", key, "0"]);
            while !spared.say("INFO clients").contains("blocked_clients:1\r\n") {}
            assert_eq!(spared.call(&["LPUSH", key, "1"]), ":1\r\n");
            assert!(waiter.reply().contains(key));
            assert_eq!(looped.reply(), invalidation(key));
            hears_nothing(&mut spared);
        }
    });
}

#[test]
fn transactions_read_and_change_as_their_commands_do() {
    on_each_number_of_lanes(|server| {
        let mut reader = tracking(server, "NOLOOP");
        let mut writer = server.client();
        // Of one lane, and of all lanes.
        for keys in [&KEYS[..1], &KEYS[1..2], &KEYS[..]] {
            reader.say("MULTI");
            for key in keys {
                reader.call(&["GET", key]);
            }
            reader.say("EXEC");
            writer.say("MULTI");
            for key in keys {
                writer.call(&["SET", key, "1"]);
                writer.call(&["SET", key, "2"]);
            }
            writer.say("EXEC");
            let mut heard: Vec<String> = keys.iter().map(|_| reader.reply()).collect();
            heard.sort();
            let expected: Vec<String> = keys.iter().map(|key| invalidation(key)).collect();
            assert_eq!(heard, expected);
            for key in keys {
                reader.call(&["GET", key]);
            }
            reader.say("MULTI");
            for key in keys {
                reader.call(&["SET", key, "3"]);
            }
            reader.say("EXEC");
            hears_nothing(&mut reader);
        }
    });
}

#[test]
fn broadcasts_go_to_all_who_want_the_prefix() {
    on_each_number_of_lanes(|server| {
        let mut some = tracking(server, "BCAST PREFIX user: PREFIX item:");
        let mut all = tracking(server, "BCAST NOLOOP");
        let mut writer = server.client();
        for key in ["user:1", "item:2", "user:3", "item:4", "user:5"] {
            writer.call(&["SET", key, "1"]);
            assert_eq!(some.reply(), invalidation(key));
            assert_eq!(all.reply(), invalidation(key));
        }
        for key in KEYS {
            writer.call(&["SET", key, "1"]);
            assert_eq!(all.reply(), invalidation(key));
            all.call(&["SET", key, "2"]);
            hears_nothing(&mut all);
        }
        all.say("SET user:1 2");
        assert_eq!(some.reply(), invalidation("user:1"));
        assert_eq!(some.say("CLIENT TRACKING OFF"), "+OK\r\n");
        writer.say("SET user:1 3");
        assert_eq!(all.reply(), invalidation("user:1"));
        hears_nothing(&mut some);
        assert_eq!(all.say("RESET"), "+RESET\r\n");
        writer.say("SET user:1 4");
        assert_eq!(all.say("PING"), "+PONG\r\n");
    });
}

#[test]
fn clients_choose_which_reads_count() {
    on_each_number_of_lanes(|server| {
        let mut opt_in = tracking(server, "OPTIN");
        let mut opt_out = tracking(server, "OPTOUT");
        let mut writer = server.client();
        let mut set = |key: &str| {
            writer.call(&["SET", key, "1"]);
        };
        for key in KEYS {
            opt_in.call(&["GET", key]);
            set(key);
            hears_nothing(&mut opt_in);
            assert_eq!(opt_in.say("CLIENT CACHING YES"), "+OK\r\n");
            opt_in.call(&["GET", key]);
            opt_in.call(&["GET", "later"]);
            set(key);
            assert_eq!(opt_in.reply(), invalidation(key));
            set("later");
            hears_nothing(&mut opt_in);

            opt_out.call(&["GET", key]);
            set(key);
            assert_eq!(opt_out.reply(), invalidation(key));
            assert_eq!(opt_out.say("CLIENT CACHING NO"), "+OK\r\n");
            opt_out.call(&["GET", key]);
            set(key);
            hears_nothing(&mut opt_out);
        }
    });
}

#[test]
fn redirected_invalidations_reach_clients_in_resp2() {
    on_each_number_of_lanes(|server| {
        let channel = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n";
        // Several, so that some are on another lane than their target.
        for _ in 0..4 {
            let mut target = server.client();
            let id = target.say("CLIENT ID");
            let id = id[1..].trim_end();
            target.say("SUBSCRIBE __redis__:invalidate");
            let mut reader = server.client();
            assert_eq!(reader.say(&format!("CLIENT TRACKING ON REDIRECT {id}")), "+OK\r\n");
            assert_eq!(reader.say("CLIENT GETREDIR"), format!(":{id}\r\n"));
            let mut writer = server.client();
            for key in KEYS {
                reader.call(&["GET", key]);
                writer.call(&["SET", key, "1"]);
                let expected = format!("{channel}*1\r\n${}\r\n{key}\r\n", key.len());
                assert_eq!(target.reply(), expected);
            }
            reader.say("GET k");
            writer.say("FLUSHALL");
            assert_eq!(target.reply(), format!("{channel}$-1\r\n"));
            hears_nothing(&mut reader);
        }
        let mut reader = client_of_resp3(server);
        let gone = {
            let mut target = server.client();
            let id = target.say("CLIENT ID")[1..].trim_end().to_owned();
            assert_eq!(reader.say(&format!("CLIENT TRACKING ON REDIRECT {id}")), "+OK\r\n");
            assert_eq!(target.say("QUIT"), "+OK\r\n");
            target.read_to_end();
            id
        };
        let mut writer = server.client();
        while writer.say(&format!("CLIENT LIST ID {gone}")).contains("id=") {
            std::thread::yield_now();
        }
        reader.say("GET k");
        writer.say("SET k 1");
        assert_eq!(reader.reply(), format!(">2\r\n$21\r\ntracking-redir-broken\r\n:{gone}\r\n"));
        assert!(reader.say("CLIENT TRACKINGINFO").contains("broken_redirect"));
        assert!(reader.say("CLIENT INFO").contains(" flags=tR "));
        assert_eq!(
            reader.say("CLIENT TRACKING ON REDIRECT 999999"),
            "-ERR The client ID you want redirect to does not exist\r\n"
        );
    });
}

#[test]
fn the_table_is_bounded() {
    for lanes in [1, 2] {
        let server = Running::with(lanes, &[("tracking-table-max-keys", "100")]);
        let mut reader = tracking(&server, "");
        let mut all = Vec::new();
        for number in 0..1000 {
            all.extend(encode(&["GET", &format!("key:{number}")]));
        }
        reader.send(&all);
        let (mut answers, mut forgotten) = (0, 0);
        while answers < 1000 {
            match reader.reply().as_str() {
                "_\r\n" => answers += 1,
                pushed => {
                    assert!(pushed.starts_with(">2\r\n$10\r\ninvalidate"), "{pushed}");
                    forgotten += 1;
                }
            }
        }
        let mut other = server.client();
        let info = other.say("INFO stats");
        let number = |name: &str| -> usize {
            let (_, rest) = info.split_once(&format!("\r\n{name}:")).expect("a field");
            rest.split_once("\r\n").expect("a line").0.parse().expect("a number")
        };
        assert!(number("tracking_total_keys") <= 100, "{info}");
        assert_eq!(number("tracking_evicted_keys"), 1000 - number("tracking_total_keys"));
        while forgotten < number("tracking_evicted_keys") {
            assert!(reader.reply().starts_with(">2\r\n$10\r\ninvalidate"));
            forgotten += 1;
        }
        hears_nothing(&mut reader);
        assert!(other.say("INFO clients").contains("tracking_clients:1\r\n"));
    }
}

#[test]
fn options_are_read_as_redis_reads_them() {
    let server = Running::with(2, &[]);
    let mut client = server.client();
    let off =
        "*6\r\n$5\r\nflags\r\n*1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n*0\r\n";
    let caching = "-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled\r\n";
    let bcast = "-ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.\r\n";
    for (line, expected) in [
        ("CLIENT TRACKINGINFO", off),
        ("CLIENT GETREDIR", ":-1\r\n"),
        ("CLIENT CACHING YES", caching),
        ("CLIENT TRACKING FOO", "-ERR syntax error\r\n"),
        ("CLIENT TRACKING ON FOO", "-ERR syntax error\r\n"),
        ("CLIENT TRACKING ON REDIRECT", "-ERR syntax error\r\n"),
        ("CLIENT TRACKING ON REDIRECT x", "-ERR value is not an integer or out of range\r\n"),
        ("CLIENT TRACKING ON PREFIX a", "-ERR PREFIX option requires BCAST mode to be enabled\r\n"),
        (
            "CLIENT TRACKING ON OPTIN OPTOUT",
            "-ERR You can't specify both OPTIN mode and OPTOUT mode\r\n",
        ),
        (
            "CLIENT TRACKING ON BCAST OPTIN",
            "-ERR OPTIN and OPTOUT are not compatible with BCAST\r\n",
        ),
        (
            "CLIENT TRACKING ON BCAST PREFIX ab PREFIX a",
            "-ERR Prefix 'ab' overlaps with another provided prefix 'a'. Prefixes for a single client must not overlap.\r\n",
        ),
        ("CLIENT TRACKING ON BCAST PREFIX foo PREFIX bar", "+OK\r\n"),
        (
            "CLIENT TRACKING ON BCAST PREFIX fo",
            "-ERR Prefix 'fo' overlaps with an existing prefix 'foo'. Prefixes for a single client must not overlap.\r\n",
        ),
        (
            "CLIENT TRACKINGINFO",
            "*6\r\n$5\r\nflags\r\n*2\r\n$2\r\non\r\n$5\r\nbcast\r\n$8\r\nredirect\r\n:0\r\n$8\r\nprefixes\r\n*2\r\n$3\r\nbar\r\n$3\r\nfoo\r\n",
        ),
        ("CLIENT TRACKING ON", bcast),
        ("CLIENT TRACKING OFF", "+OK\r\n"),
        ("CLIENT TRACKING ON OPTIN", "+OK\r\n"),
        (
            "CLIENT CACHING NO",
            "-ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.\r\n",
        ),
        ("CLIENT CACHING X", "-ERR syntax error\r\n"),
        ("CLIENT CACHING YES", "+OK\r\n"),
        (
            "CLIENT TRACKINGINFO",
            "*6\r\n$5\r\nflags\r\n*3\r\n$2\r\non\r\n$5\r\noptin\r\n$11\r\ncaching-yes\r\n$8\r\nredirect\r\n:0\r\n$8\r\nprefixes\r\n*0\r\n",
        ),
        ("CLIENT TRACKING OFF", "+OK\r\n"),
        ("CLIENT TRACKINGINFO", off),
    ] {
        assert_eq!(client.say(line), expected, "{line}");
    }
}

/// A field of INFO.
fn info(client: &mut Client, field: &str) -> usize {
    let all = client.say("INFO stats");
    let line = all.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("INFO has no {field}"))
}

#[test]
fn what_a_client_has_read_is_forgotten_when_it_leaves_though_others_track() {
    const KEYS_OF_ONE: usize = 5000;
    on_each_number_of_lanes(|server| {
        let mut stays = tracking(server, "");
        let mut leaves = tracking(server, "");
        let mut all = Vec::new();
        for number in 0..KEYS_OF_ONE {
            all.extend(encode(&["GET", &format!("key:{number}")]));
        }
        leaves.send(&all);
        for _ in 0..KEYS_OF_ONE {
            assert_eq!(leaves.reply(), "_\r\n");
        }
        for number in 0..10 {
            stays.call(&["GET", &format!("key:{number}")]);
        }
        let mut client = server.client();
        let count = |client: &mut Client| {
            (info(client, "tracking_total_keys"), info(client, "tracking_total_items"))
        };
        while count(&mut client) != (KEYS_OF_ONE, KEYS_OF_ONE + 10) {}
        drop(leaves);
        // In slices.
        while count(&mut client) != (10, 10) {}
        client.say("SET key:3 x");
        assert_eq!(stays.reply(), invalidation("key:3"));
        hears_nothing(&mut stays);
    });
}
