//! Scripts through the front door, on one lane and on several: the classic ones, from any
//! connection, over several lanes, and those that must be stopped.

mod support;

use support::Running;

const NO_SCRIPT: &str = "-NOSCRIPT No matching script. Please use EVAL.\r\n";

#[test]
fn the_classic_scripts_work_on_any_number_of_lanes() {
    let unlock = "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end";
    let bucket = "local used = tonumber(redis.call('get', KEYS[1]) or '0') \
        if used + 1 > tonumber(ARGV[1]) then return 0 end \
        redis.call('incr', KEYS[1]) redis.call('pexpire', KEYS[1], ARGV[2]) return 1";
    for lanes in [1, 2, 4] {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        for number in 0..32 {
            let key = format!("lock:{number}");
            client.call(&["SET", &key, "mine", "NX", "PX", "30000"]);
            assert_eq!(client.call(&["EVAL", unlock, "1", &key, "other"]), ":0\r\n");
            assert_eq!(client.call(&["EVAL", unlock, "1", &key, "mine"]), ":1\r\n");
            assert_eq!(client.call(&["EXISTS", &key]), ":0\r\n");
            let key = format!("bucket:{number}");
            for expected in [":1\r\n", ":1\r\n", ":0\r\n"] {
                assert_eq!(client.call(&["EVAL", bucket, "1", &key, "2", "60000"]), expected);
            }
        }
    }
}

#[test]
fn a_script_is_known_from_every_connection_and_lane() {
    let server = Running::with(4, &[]);
    let (mut first, mut second) = (server.client(), server.client());
    let text = "return redis.call('incr',KEYS[1])";
    assert_eq!(first.call(&["EVAL", text, "1", "a"]), ":1\r\n");
    let sha1 = first.call(&["SCRIPT", "LOAD", text]);
    let sha1 = sha1.lines().nth(1).expect("a bulk string").to_owned();
    for number in 0..32 {
        let key = format!("counter:{number}");
        assert_eq!(second.call(&["EVALSHA", &sha1, "1", &key]), ":1\r\n");
    }
    assert_eq!(first.call(&["SCRIPT", "FLUSH"]), "+OK\r\n");
    for number in 0..32 {
        let key = format!("counter:{number}");
        assert_eq!(second.call(&["EVALSHA", &sha1, "1", &key]), NO_SCRIPT);
    }
}

#[test]
fn a_script_over_several_lanes_is_one_step() {
    let swap = "local a, b = redis.call('get',KEYS[1]), redis.call('get',KEYS[2]) \
        redis.call('set',KEYS[1],b) redis.call('set',KEYS[2],a) return {a,b}";
    let server = Running::with(4, &[]);
    let mut client = server.client();
    for number in 0..32 {
        let (one, two) = (format!("one:{number}"), format!("two:{number}"));
        client.call(&["MSET", &one, "x", &two, "y"]);
        let answer = client.call(&["EVAL", swap, "2", &one, &two]);
        assert_eq!(answer, "*2\r\n$1\r\nx\r\n$1\r\ny\r\n");
        assert_eq!(client.call(&["MGET", &one, &two]), "*2\r\n$1\r\ny\r\n$1\r\nx\r\n");
    }
    let answer = client.call(&["EVAL", "return redis.call('get','elsewhere')", "2", "a", "b"]);
    assert!(answer.contains("undeclared key 'elsewhere'"), "{answer}");
}

#[test]
fn a_runaway_script_ends_and_its_lane_goes_on() {
    let server = Running::with(2, &[("script-time-limit", "5")]);
    let mut client = server.client();
    for key in ["a", "b", "c", "d"] {
        let answer = client.call(&["EVAL", "while true do end", "1", key]);
        assert!(answer.starts_with("-ERR Script interrupted"), "{answer}");
        assert_eq!(client.call(&["SET", key, "v"]), "+OK\r\n");
    }
    assert_eq!(client.call(&["SCRIPT", "KILL"]), "-NOTBUSY No scripts in execution right now.\r\n");
}

/// The script is paused many times while more than half of the limit is in use.
#[test]
fn a_script_that_needs_most_of_its_memory_goes_on_after_each_pause() {
    let server = Running::with(1, &[]);
    let script = "local t = {} for i = 1, 600000 do t[i] = tostring(i) end return #t";
    assert_eq!(server.client().call(&["EVAL", script, "0"]), ":600000\r\n");
}

/// Sends a script that has no end, and waits until it is under way.
fn send_endless(client: &mut support::Client, other: &mut support::Client, words: &[&str]) {
    let before: usize = info(other, "scripts_paused").parse().expect("a number");
    client.send_command(words);
    while info(other, "scripts_paused").parse::<usize>().expect("a number") == before {}
}

#[test]
fn a_script_without_an_end_can_be_killed_while_others_are_served() {
    const LIBRARY: &str = "#!lua name=l\nredis.register_function('loop', \
                           function(keys) pcall(function() while true do end end) end)";
    const KILLED: &str = "-ERR Script killed by user with SCRIPT KILL...";
    for lanes in [1, 2, 4] {
        let server = Running::with(lanes, &[("script-time-limit", "0")]);
        let (mut client, mut other) = (server.client(), server.client());
        client.call(&["FUNCTION", "LOAD", LIBRARY]);
        other.call(&["MSET", "a", "1", "b", "1", "c", "1"]);
        let endless = "while true do local t = redis.call('get', KEYS[1]) .. 'x' end";
        let slow_pattern = "local s = string.rep('a', 20000) \
                            while true do pcall(string.find, s, '.-.-b') end";
        for words in [
            &["EVAL", "while true do end", "0"][..],
            &["EVAL", endless, "1", "a"],
            // Of several lanes, where there are.
            &["EVAL", endless, "3", "a", "b", "c"],
            &["EVAL_RO", endless, "1", "b"],
            // In the middle of functions that go through much.
            &["EVAL", slow_pattern, "1", "b"],
        ] {
            send_endless(&mut client, &mut other, words);
            assert_eq!(other.call(&["PING"]), "+PONG\r\n");
            for number in 0..8 {
                assert_eq!(other.call(&["SET", &format!("key:{number}"), "v"]), "+OK\r\n");
            }
            assert!(other.call(&["FUNCTION", "KILL"]).starts_with("-BUSY Redis is busy"));
            assert_eq!(other.call(&["SCRIPT", "KILL"]), "+OK\r\n");
            let answer = client.reply();
            assert!(answer.starts_with(KILLED), "{answer}");
        }
        send_endless(&mut client, &mut other, &["FCALL", "loop", "1", "a"]);
        let stats = other.call(&["FUNCTION", "STATS"]);
        let running = "$14\r\nrunning_script\r\n*6\r\n$4\r\nname\r\n$4\r\nloop\r\n$7\r\ncommand\r\n\
                       *4\r\n$5\r\nfcall\r\n$4\r\nloop\r\n$1\r\n1\r\n$1\r\na\r\n$11\r\nduration_ms\r\n:";
        assert!(stats.contains(running), "{stats}");
        let busy = other.call(&["SCRIPT", "KILL"]);
        assert!(busy.contains("only call FUNCTION KILL or SHUTDOWN NOSAVE"), "{busy}");
        assert_eq!(other.call(&["FUNCTION", "KILL"]), "+OK\r\n");
        assert!(client.reply().starts_with(KILLED));
        let stats = other.call(&["FUNCTION", "STATS"]);
        assert!(stats.contains("running_script\r\n$-1\r\n"), "{stats}");
        // Within a transaction, which goes on after it.
        for line in ["MULTI", "INCR a"] {
            client.say(line);
        }
        client.call(&["EVAL", endless, "1", "a"]);
        client.say("INCR a");
        send_endless(&mut client, &mut other, &["EXEC"]);
        assert_eq!(other.call(&["SCRIPT", "KILL"]), "+OK\r\n");
        let answer = client.reply();
        assert!(answer.starts_with(&format!("*3\r\n:2\r\n{KILLED}")), "{answer}");
        assert!(answer.ends_with("\r\n:3\r\n"), "{answer}");
        assert_eq!(other.call(&["GET", "a"]), "$1\r\n3\r\n");
        assert_eq!(
            other.call(&["FUNCTION", "KILL"]),
            "-NOTBUSY No scripts in execution right now.\r\n"
        );
    }
}

#[test]
fn what_has_written_goes_on_and_nobody_sees_half_of_it() {
    let script = "for i = 1, tonumber(ARGV[1]) do redis.call('incr', KEYS[1]) \
                  if i % 100 == 0 then redis.call('lpush', KEYS[2], i) end end \
                  return redis.call('get', KEYS[1])";
    for lanes in [1, 2, 4] {
        let server = Running::with(lanes, &[("script-time-limit", "1")]);
        let (mut client, mut other) = (server.client(), server.client());
        let (mut waiter, mut watcher) = (server.client(), server.client());
        for (key, list) in [("{k}n", "{k}list"), ("n", "list")] {
            waiter.send_command(&["BLPOP", list, "0"]);
            while info(&mut other, "blocked_clients") != "1" {}
            watcher.call(&["WATCH", key]);
            watcher.say("MULTI");
            watcher.call(&["GET", key]);
            client.send_command(&["EVAL", script, "2", key, list, "200000"]);
            // Whenever these come, they see nothing of it or all.
            let seen = other.call(&["GET", key]);
            assert!(["$-1\r\n", "$6\r\n200000\r\n"].contains(&seen.as_str()), "{seen}");
            let killed = other.call(&["SCRIPT", "KILL"]);
            assert!(
                killed.starts_with("-UNKILLABLE") || killed.starts_with("-NOTBUSY"),
                "{killed}"
            );
            assert_eq!(client.reply(), "$6\r\n200000\r\n");
            // Who waited is served when it has ended, with what it pushed last.
            assert!(waiter.reply().ends_with("$6\r\n200000\r\n"));
            assert_eq!(other.call(&["LLEN", list]), ":1999\r\n");
            assert_eq!(watcher.call(&["EXEC"]), "*-1\r\n");
        }
    }
}

#[test]
fn a_heavy_command_of_a_script_runs_aside() {
    const MEMBERS: usize = 20_000;
    for lanes in [1, 2] {
        let server = Running::with(lanes, &[("script-time-limit", "20")]);
        let mut client = server.client();
        // {k}s and {k}t share a slot; `else` is of another lane where there are two.
        let fill = "for i = 1, ARGV[1], 5000 do local t = {} \
                    for j = i, math.min(i + 4999, ARGV[1]) do t[#t + 1] = j end \
                    redis.call('sadd', KEYS[1], unpack(t)) end return redis.call('scard', KEYS[1])";
        let members = MEMBERS.to_string();
        let all = format!(":{MEMBERS}\r\n");
        let before: usize = info(&mut client, "commands_run_aside").parse().expect("a number");
        for key in ["{k}s", "else"] {
            assert_eq!(client.call(&["EVAL", fill, "1", key, &members]), all);
        }
        let half = format!(":{}\r\n", MEMBERS / 2);
        for keys in [["{k}s", "{k}t"], ["{k}s", "else2"]] {
            let union = "redis.call('sunionstore', KEYS[2], KEYS[1]) \
                         local taken = redis.call('spop', KEYS[2], ARGV[1]) \
                         local sorted = redis.call('sort', KEYS[1], 'LIMIT', 0, 2) \
                         assert(sorted[1] == '1' and sorted[2] == '2') \
                         local none = redis.pcall('sunion', KEYS[1], KEYS[3]) \
                         assert(string.find(none.err, 'WRONGTYPE'), none.err) \
                         return #taken + redis.call('scard', KEYS[2]) - tonumber(ARGV[1])";
            let count = (MEMBERS / 2).to_string();
            client.call(&["SET", "{k}text", "x"]);
            let [from, to] = keys;
            let answer = client.call(&["EVAL", union, "3", from, to, "{k}text", &count]);
            assert_eq!(answer, half);
            // The same in a transaction.
            client.say("MULTI");
            client.call(&["EVAL", union, "3", from, to, "{k}text", &count]);
            client.call(&["SCARD", to]);
            assert_eq!(client.call(&["EXEC"]), format!("*2\r\n{half}{half}"));
        }
        let drop = "local t = {} for i = 1, 7000 do t[i] = '{k}' .. i end \
                    local pairs = {} for i = 1, 3500 do pairs[2 * i - 1] = t[i] pairs[2 * i] = i end \
                    redis.call('mset', unpack(pairs)) local read = redis.call('mget', unpack(t)) \
                    return {#read, read[3500], read[3501], redis.call('del', unpack(t))}";
        assert_eq!(
            client.call(&["EVAL", drop, "1", "{k}"]),
            "*4\r\n:7000\r\n$4\r\n3500\r\n$-1\r\n:3500\r\n"
        );
        let after: usize = info(&mut client, "commands_run_aside").parse().expect("a number");
        assert!(after >= before + 8 + 4 * 3 + 3, "{before} {after}");
    }
}

#[test]
fn a_script_of_undeclared_keys_holds_all_slots_while_it_is_paused() {
    let server = Running::with(1, &[("script-allow-undeclared-keys", "yes")]);
    let (mut client, mut other) = (server.client(), server.client());
    let script =
        "for i = 1, 200000 do redis.call('incr', 'any') end return redis.call('get', 'any')";
    for round in 1..=3 {
        client.send_command(&["EVAL", script, "0"]);
        let whole = |round: usize| match round {
            0 => "$-1\r\n".to_owned(),
            _ => format!("$6\r\n{}\r\n", round * 200_000),
        };
        let seen = other.call(&["GET", "any"]);
        assert!([whole(round - 1), whole(round)].contains(&seen), "{seen}");
        assert_eq!(client.reply(), whole(round));
    }
}

#[test]
fn a_server_stops_though_a_script_does_not() {
    for keys in [&["0"][..], &["1", "a"], &["2", "a", "b"]] {
        let server = Running::with(2, &[("script-time-limit", "0")]);
        let (mut client, mut other) = (server.client(), server.client());
        let script = "if KEYS[1] then redis.call('set', KEYS[1], 1) end while true do end";
        let words = [&["EVAL", script][..], keys].concat();
        send_endless(&mut client, &mut other, &words);
        other.send_command(&["SHUTDOWN", "NOSAVE"]);
        drop(server);
    }
}

#[test]
fn functions_are_known_to_every_lane_and_messages_leave_scripts() {
    let server = Running::with(4, &[]);
    let (mut client, mut listener) = (server.client(), server.client());
    let library = "#!lua name=counters\nredis.register_function('bump', \
        function(keys, args) return redis.call('incrby', keys[1], args[1]) end)";
    assert_eq!(client.call(&["FUNCTION", "LOAD", library]), "$8\r\ncounters\r\n");
    for number in 0..16 {
        let key = format!("key:{number}");
        assert_eq!(client.call(&["FCALL", "bump", "1", &key, "3"]), ":3\r\n");
    }
    listener.call(&["SUBSCRIBE", "news"]);
    assert_eq!(
        client.call(&["EVAL", "return redis.call('publish','news','hello')", "1", "{news}"]),
        ":1\r\n"
    );
    assert!(listener.reply().ends_with("$4\r\nnews\r\n$5\r\nhello\r\n"));
}

/// A field of INFO.
fn info(client: &mut support::Client, field: &str) -> String {
    let all = client.say("INFO everything");
    let line = all.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("INFO has no {field}")).to_owned()
}

#[test]
fn a_script_is_told_how_many_receive_what_it_publishes() {
    let publish =
        "return {redis.call('PUBLISH', ARGV[1], 'x'), redis.call('SPUBLISH', ARGV[1], 'y')}";
    for lanes in [1, 4] {
        let server = Running::with(lanes, &[]);
        let mut listeners: Vec<_> = (0..3).map(|_| server.client()).collect();
        for (number, listener) in listeners.iter_mut().enumerate() {
            listener.say("SUBSCRIBE news");
            listener.say("SSUBSCRIBE news");
            if number == 0 {
                listener.say("PSUBSCRIBE n*");
            }
        }
        // The key lies where the channel lives, and so the script runs there.
        let mut client = server.client();
        let said = client.call(&["EVAL", publish, "1", "{news}key", "news"]);
        assert_eq!(said, "*2\r\n:4\r\n:3\r\n", "{lanes} lanes");
        assert!(listeners[1].reply().contains("message"));
        assert!(listeners[1].reply().contains("smessage"));
        // Nobody listens to this one by its name.
        let said = client.call(&["EVAL", publish, "1", "{news}key", "nobody"]);
        let expected = "*2\r\n:1\r\n:0\r\n";
        assert_eq!(said, expected, "{lanes} lanes");
    }
}

#[test]
fn info_counts_scripts_and_functions() {
    let server = Running::with(2, &[]);
    let mut client = server.client();
    for field in ["number_of_cached_scripts", "number_of_functions", "number_of_libraries"] {
        assert_eq!(info(&mut client, field), "0", "{field}");
    }
    assert_eq!(info(&mut client, "used_memory_vm_total"), "0");
    client.call(&["EVAL", "return 1", "0"]);
    client.call(&["SCRIPT", "LOAD", "return 22"]);
    let library = "#!lua name=two\nredis.register_function('a', function() return 1 end) \
        redis.register_function('b', function() return 2 end)";
    client.call(&["FUNCTION", "LOAD", library]);
    for (field, expected) in [
        ("number_of_cached_scripts", 2),
        ("used_memory_scripts_eval", "return 1return 22".len()),
        ("number_of_functions", 2),
        ("number_of_libraries", 1),
        ("used_memory_functions", library.len()),
        ("used_memory_scripts", library.len() + "return 1return 22".len()),
        ("evicted_scripts", 0),
    ] {
        assert_eq!(info(&mut client, field), expected.to_string(), "{field}");
    }
    let interpreters: u64 = info(&mut client, "used_memory_vm_total").parse().expect("a number");
    assert!(interpreters > 10_000, "{interpreters}");
    assert_eq!(info(&mut client, "used_memory_vm_eval"), interpreters.to_string());
    client.call(&["SCRIPT", "FLUSH"]);
    client.call(&["FUNCTION", "FLUSH"]);
    for field in ["number_of_cached_scripts", "number_of_functions", "used_memory_scripts"] {
        assert_eq!(info(&mut client, field), "0", "{field}");
    }
    for number in 0..503 {
        client.call(&["EVAL", &format!("return {number}"), "0"]);
    }
    assert_eq!(info(&mut client, "number_of_cached_scripts"), "500");
    assert_eq!(info(&mut client, "evicted_scripts"), "3");
}

#[test]
fn a_key_that_was_not_declared_is_named_with_what_to_do() {
    for lanes in [1, 2] {
        let server = Running::with(lanes, &[]);
        let said = server.client().call(&["EVAL", "return redis.call('get', 'hidden')", "1", "k"]);
        assert!(said.contains("undeclared key 'hidden': name it in KEYS"), "{said}");
        assert!(said.contains("hash tag"), "{said}");
        assert!(said.contains("script-allow-undeclared-keys"), "{said}");
    }
    let allowed = Running::with(1, &[("script-allow-undeclared-keys", "yes")]);
    let said = allowed.client().call(&["EVAL", "return redis.call('get', 'hidden')", "1", "k"]);
    assert_eq!(said, "$-1\r\n");
}
