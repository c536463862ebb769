//! Keys, databases, scans and the table itself: answers, options that contradict, edge cases, error texts.

#![allow(clippy::unwrap_used)] // Here a panic is a failed test.

mod support;

use ringlane_command::CommandError;
use support::{Lane, run_on, script};

#[test]
fn keys_have_a_greatest_length() {
    let mut lane = Lane::default();
    let key = vec![b'k'; ringlane_store::KEY_BYTES_MAX + 1];
    let refusal = b"-ERR key exceeds the maximum allowed size of 16 MiB\r\n";
    assert_eq!(lane.run(&[b"SET", &key, b"v"]), refusal);
    assert_eq!(lane.run(&[b"INCR", &key]), refusal);
    assert_eq!(lane.run(&[b"MSET", b"a", b"1", &key, b"v"]), refusal);
    lane.check("EXISTS a", ":0");
    assert_eq!(lane.run(&[b"GET", &key]), b"$-1\r\n");
}

#[test]
fn presence_and_names() {
    script(
        r#"
        MSET a 1 b 2 => +OK
        EXISTS a b none a => :3
        TOUCH a none b => :2
        TYPE a => +string
        TYPE none => +none
        DEL a none => :1
        UNLINK b b => :1
        DEL => -ERR wrong number of arguments for 'del' command
        SET a v EX 10 => +OK
        RENAME a b => +OK
        TTL b => :10
        EXISTS a => :0
        RENAME a b => -ERR no such key
        RENAMENX a b => -ERR no such key
        RENAME b b => +OK
        RENAMENX b b => :0
        SET a w => +OK
        RENAMENX a b => :0
        RENAMENX a c => :1
        RENAME c b => +OK
        TTL b => :-1
        GET b => "w"
        COPY b d => :1
        COPY b d => :0
        SET b x EX 7 => +OK
        COPY b d REPLACE => :1
        GET d => "x"
        TTL d => :7
        COPY none d REPLACE => :0
        GET d => "x"
        COPY b b => -ERR source and destination objects are the same
        COPY b b DB 0 => -ERR source and destination objects are the same
        COPY b b DB 1 => :1
        COPY b b DB 16 => -ERR DB index is out of range
        COPY b b DB x => -ERR value is not an integer or out of range
        COPY b c DB => -ERR syntax error
        COPY b c DB 99 FOO => -ERR DB index is out of range
        COPY b c FOO => -ERR syntax error
        MOVE b 1 => :0
        MOVE none 1 => :0
        MOVE b 0 => -ERR source and destination objects are the same
        MOVE b 99 => -ERR DB index is out of range
        MOVE b x => -ERR value is not an integer or out of range
        MOVE b 2 => :1
        EXISTS b => :0
        SELECT 2 => +OK
        TTL b => :7
        "#,
    );
}

#[test]
fn expiring() {
    script(
        r#"
        EXPIRE k 10 => :0
        TTL k => :-2
        PTTL k => :-2
        EXPIRETIME k => :-2
        SET k v => +OK
        TTL k => :-1
        PEXPIRETIME k => :-1
        EXPIRE k 10 => :1
        TTL k => :10
        EXPIRETIME k => :1700000010
        PEXPIRETIME k => :1700000010000
        PEXPIRE k 1499 => :1
        TTL k => :1
        PEXPIRE k 1500 => :1
        TTL k => :2
        EXPIREAT k 1700000100 => :1
        TTL k => :100
        PEXPIREAT k 1700000000777 => :1
        PTTL k => :777
        PERSIST k => :1
        PERSIST k => :0
        PERSIST none => :0
        EXPIRE k 10 XX => :0
        EXPIRE k 10 GT => :0
        EXPIRE k 10 LT => :1
        EXPIRE k 20 LT => :0
        EXPIRE k 10 GT => :0
        EXPIRE k 20 GT => :1
        EXPIRE k 30 NX => :0
        EXPIRE k 30 XX GT => :1
        EXPIRE k 30 xx lt => :0
        PERSIST k => :1
        EXPIRE k 30 NX => :1
        EXPIRE k 5 NX XX => -ERR NX and XX, GT or LT options at the same time are not compatible
        EXPIRE k 5 GT LT => -ERR GT and LT options at the same time are not compatible
        EXPIRE k 5 NX GT => -ERR NX and XX, GT or LT options at the same time are not compatible
        EXPIRE k 5 FOO => -ERR Unsupported option FOO
        EXPIRE k x => -ERR value is not an integer or out of range
        EXPIRE k 9223372036854775807 => -ERR invalid expire time in 'expire' command
        PEXPIRE k 9223372036854775807 => -ERR invalid expire time in 'pexpire' command
        EXPIREAT k 9223372036854775807 => -ERR invalid expire time in 'expireat' command
        EXPIRE k -9223372036854775808 => -ERR invalid expire time in 'expire' command
        TTL k => :30
        wait 29999
        EXISTS k => :1
        wait 1
        EXISTS k => :0
        DEL k => :0
        SET k v => +OK
        EXPIRE k 0 => :1
        EXISTS k => :0
        SET k v => +OK
        EXPIREAT k -5 => :1
        EXISTS k => :0
        SET k v PX 5 => +OK
        SET k w => +OK
        wait 5
        GET k => "w"
        "#,
    );
}

#[test]
fn looking_into_values() {
    script(
        r#"
        SET n 12 => +OK
        SET s abc => +OK
        OBJECT ENCODING n => "int"
        OBJECT ENCODING s => "embstr"
        OBJECT ENCODING none => nil
        OBJECT REFCOUNT s => :1
        OBJECT REFCOUNT none => nil
        OBJECT FREQ none => nil
        OBJECT IDLETIME none => nil
        OBJECT IDLETIME s => :0
        OBJECT FOO s => -ERR unknown subcommand 'FOO'. Try OBJECT HELP.
        OBJECT ENCODING => -ERR wrong number of arguments for 'object|encoding' command
        OBJECT => -ERR wrong number of arguments for 'object' command
        MEMORY USAGE none => nil
        MEMORY USAGE s SAMPLES => -ERR syntax error
        MEMORY USAGE s SAMPLES -1 => -ERR syntax error
        MEMORY USAGE s FOO 1 => -ERR syntax error
        MEMORY FOO => -ERR unknown subcommand 'FOO'. Try MEMORY HELP.
        "#,
    );
    let mut lane = Lane::default();
    let long = vec![b'x'; 50];
    lane.run(&[b"SET", b"k", &long]);
    lane.check("OBJECT ENCODING k", "\"raw\"");
    let bytes = |lane: &mut Lane| {
        let answer = lane.say("MEMORY USAGE k SAMPLES 0");
        answer[1..].parse::<usize>().expect("an integer")
    };
    let small = bytes(&mut lane);
    assert!((51..300).contains(&small), "{small}");
    lane.run(&[b"SET", b"k", &vec![b'x'; 5_000]]);
    assert!(bytes(&mut lane) > small + 4_900);
    assert!(lane.say("OBJECT FREQ k").starts_with(':'));
}

#[test]
fn whole_databases() {
    script(
        r#"
        DBSIZE => :0
        RANDOMKEY => nil
        SET a 1 => +OK
        RANDOMKEY => "a"
        SELECT 1 => +OK
        MSET b 1 c 2 => +OK
        DBSIZE => :2
        SWAPDB 0 1 => +OK
        DBSIZE => :1
        GET a => "1"
        SWAPDB 0 0 => +OK
        SWAPDB x y => -ERR invalid first DB index
        SWAPDB 0 y => -ERR invalid second DB index
        SWAPDB 99 y => -ERR invalid second DB index
        SWAPDB 0 99 => -ERR DB index is out of range
        FLUSHDB FOO => -ERR syntax error
        FLUSHDB ASYNC SYNC => -ERR syntax error
        FLUSHDB ASYNC => +OK
        DBSIZE => :0
        SELECT 0 => +OK
        DBSIZE => :2
        FLUSHALL sync => +OK
        DBSIZE => :0
        "#,
    );
}

/// The keys of an answer `["cursor" ["key" …]]` and its cursor.
fn scan_page(answer: &str) -> (String, Vec<String>) {
    let answer = answer.strip_prefix("[\"").unwrap();
    let (cursor, rest) = answer.split_once("\" [").unwrap();
    let keys = rest.strip_suffix("]]").unwrap();
    let keys = keys.split(' ').filter(|key| !key.is_empty());
    (cursor.to_owned(), keys.map(|key| key.trim_matches('"').to_owned()).collect())
}

fn scan_all(lane: &mut Lane, options: &str) -> Vec<String> {
    let mut cursor = "0".to_owned();
    let mut found = Vec::new();
    loop {
        let (next, keys) = scan_page(&lane.say(&format!("SCAN {cursor} {options}")));
        found.extend(keys);
        if next == "0" {
            found.sort();
            found.dedup();
            return found;
        }
        cursor = next;
    }
}

#[test]
fn walking_through_keys() {
    let mut lane = Lane::default();
    let mut names: Vec<String> = (0..500).map(|number| format!("key:{number}")).collect();
    for name in &names {
        lane.check(&format!("SET {name} v"), "+OK");
    }
    names.sort();
    assert_eq!(scan_all(&mut lane, ""), names);
    assert_eq!(scan_all(&mut lane, "COUNT 100000000 TYPE string"), names);
    assert_eq!(scan_all(&mut lane, "TYPE list"), Vec::<String>::new());
    let some: Vec<String> =
        names.iter().filter(|name| name.starts_with("key:49")).cloned().collect();
    assert_eq!(scan_all(&mut lane, "MATCH key:49* COUNT 7"), some);
    let listed = lane.say("KEYS key:49*");
    let (_, mut listed) = scan_page(&format!("[\"0\" {listed}]"));
    listed.sort();
    assert_eq!(listed, some);
    lane.check("KEYS nothing*", "[]");
    // A cursor that no scan gave may find anything, or nothing.
    let mut random = fastrand::Rng::with_seed(3);
    for cursor in [u64::MAX, 1, 1 << 63].into_iter().chain((0..1_000).map(|_| random.u64(..))) {
        scan_page(&lane.say(&format!("SCAN {} COUNT 5", cursor >> (cursor % 64))));
        scan_page(&lane.say(&format!("SCAN {cursor}")));
    }
    run_on(
        &mut lane,
        r"
        SCAN x => -ERR invalid cursor
        SCAN 1x => -ERR invalid cursor
        SCAN 99999999999999999999 => -ERR invalid cursor
        SCAN - => -ERR invalid cursor
        SCAN -1 => -ERR invalid cursor
        SCAN -18446744073709551616 => -ERR invalid cursor
        SCAN +0 COUNT x => -ERR value is not an integer or out of range
        SCAN 0 COUNT 0 => -ERR syntax error
        SCAN 0 COUNT -5 => -ERR syntax error
        SCAN 0 COUNT x => -ERR value is not an integer or out of range
        SCAN 0 COUNT => -ERR syntax error
        SCAN 0 FOO 1 => -ERR syntax error
        SCAN => -ERR wrong number of arguments for 'scan' command
        KEYS => -ERR wrong number of arguments for 'keys' command
        ",
    );
}

#[test]
fn unknown_names_are_told_within_bounds() {
    script(
        r#"
        foo => -ERR unknown command 'foo', with args beginning with: 
        foo a b => -ERR unknown command 'foo', with args beginning with: 'a' 'b'
        gett k => -ERR unknown command 'gett', with args beginning with: 'k'
        "get\x00" k => -ERR unknown command 'get', with args beginning with: 'k'
        "a\x0d\x0ab" "c\x0ad" => -ERR unknown command 'a  b', with args beginning with: 'c d'
        "" => -ERR unknown command '', with args beginning with:
        "#,
    );
    let mut lane = Lane::default();
    let long = vec![b'x'; 65_536];
    let answer = lane.run(&[&long, &long, &long]);
    let expected = format!(
        "-ERR unknown command '{x}', with args beginning with: '{x}' \r\n",
        x = "x".repeat(128)
    );
    assert_eq!(String::from_utf8(answer).unwrap(), expected);
    let many: Vec<&[u8]> = vec![b"foo"; 1000];
    assert!(lane.run(&many).len() < 400);
}

#[test]
fn introspection() {
    script(
        r#"
        COMMAND COUNT x => -ERR wrong number of arguments for 'command|count' command
        COMMAND FOO => -ERR unknown subcommand 'FOO'. Try COMMAND HELP.
        COMMAND GETKEYS MSET a 1 b 2 => ["a" "b"]
        COMMAND GETKEYS GET a => ["a"]
        COMMAND GETKEYS OBJECT FREQ k => ["k"]
        COMMAND GETKEYS nosuch k => -ERR Invalid command specified
        COMMAND GETKEYS PING k => -ERR The command has no key arguments
        COMMAND GETKEYS SET k => -ERR Invalid number of arguments specified for command
        COMMAND GETKEYSANDFLAGS RENAME a b => [["a" [+RW +access +delete]] ["b" [+OW +update]]]
        COMMAND GETKEYSANDFLAGS SET a v => [["a" [+OW +update]]]
        COMMAND GETKEYSANDFLAGS SET a v NX EX 5 => [["a" [+OW +update]]]
        COMMAND GETKEYSANDFLAGS SET a v NX GET => [["a" [+RW +access +update]]]
        COMMAND GETKEYSANDFLAGS SET a v IFEQ b => [["a" [+RW +update]]]
        COMMAND GETKEYSANDFLAGS SET a v FOO => [["a" [+OW +update]]]
        COMMAND GETKEYSANDFLAGS BITFIELD a GET u8 0 => [["a" [+RO +access]]]
        COMMAND GETKEYSANDFLAGS BITFIELD a GET u8 0 SET u8 0 1 => [["a" [+RW +access +update]]]
        COMMAND GETKEYSANDFLAGS DELEX a => [["a" [+RM +delete]]]
        COMMAND GETKEYSANDFLAGS DELEX a IFEQ b => [["a" [+RW +delete]]]
        COMMAND GETKEYSANDFLAGS DEL a b => [["a" [+RM +delete]] ["b" [+RM +delete]]]
        COMMAND INFO nosuch => [nil]
        COMMAND DOCS nosuch => []
        COMMAND LIST FILTERBY PATTERN getr* => ["getrange"]
        COMMAND LIST FILTERBY PATTERN slowlog|* => ["slowlog|get" "slowlog|help" "slowlog|len" "slowlog|reset"]
        COMMAND LIST FILTERBY MODULE x => []
        COMMAND LIST FILTERBY ACLCAT nosuch => []
        COMMAND LIST FILTERBY FOO x => -ERR syntax error
        COMMAND LIST FOO => -ERR syntax error
        CONFIG HELP => [+CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are: +GET pattern [pattern ...] +    The settings that match, with their values. +HELP +    Prints this help. +RESETSTAT +    Sets the statistics of INFO to nothing. +REWRITE +    Writes the settings to their file. +SET name value [name value ...] +    Changes settings.]
        "#,
    );
    let mut lane = Lane::default();
    let info = lane.say("COMMAND INFO get");
    let expected = "[[\"get\" :2 [+readonly +fast] :1 :1 :1 [+@read +@string +@fast] [] \
        [[\"flags\" [+RO +access] \"begin_search\" [\"type\" \"index\" \"spec\" [\"index\" :1]] \
        \"find_keys\" [\"type\" \"range\" \"spec\" [\"lastkey\" :0 \"keystep\" :1 \"limit\" :0]]]] []]]";
    assert_eq!(info, expected);
    let docs = lane.say("COMMAND DOCS config|get");
    assert!(docs.starts_with("[\"config|get\" [\"summary\" "), "{docs}");
    for container in ["OBJECT", "CLIENT", "CLUSTER", "COMMAND", "LATENCY", "MEMORY", "SLOWLOG"] {
        let help = lane.say(&format!("{container} HELP"));
        assert!(help.starts_with(&format!("[+{container} <subcommand>")), "{help}");
        lane.check(
            &format!("{container} NOSUCH"),
            &format!("-ERR unknown subcommand 'NOSUCH'. Try {container} HELP."),
        );
    }
    let all = lane.say("COMMAND");
    assert!(all.starts_with("[[\"append\" :3 "), "{all}");
}

/// Names are answered aside from some hundred on, and refused from some thousand on.
#[test]
fn many_names_do_not_hold_a_lane() {
    let mut lane = Lane::default();
    lane.limits.elements_at_once_max = 1024;
    let with = |words: &'static [u8], names: usize, name: &'static [u8]| -> Vec<&'static [u8]> {
        words.split(|byte| *byte == b' ').chain(std::iter::repeat_n(name, names)).collect()
    };
    for (words, few) in [(&b"COMMAND INFO"[..], 100), (b"COMMAND DOCS", 20)] {
        assert_eq!(lane.refusal(&with(words, few, b"get")), None);
        assert_eq!(lane.refusal(&with(words, 1000, b"get")), Some(CommandError::Aside));
        let refusal = lane.refusal(&with(words, 5000, b"get")).expect("it is refused");
        assert!(refusal.to_string().starts_with("ERR too many arguments for 'command|"));
    }
    assert_eq!(lane.refusal(&with(b"COMMAND DOCS", 20, b"client")), Some(CommandError::Aside));
    assert_eq!(lane.refusal(&[b"COMMAND", b"DOCS"]), Some(CommandError::Aside));
    assert_eq!(lane.refusal(&[b"COMMAND"]), None);
    let keys = with(b"COMMAND GETKEYS mset", 200_000, b"k");
    assert_eq!(lane.refusal(&keys), Some(CommandError::Aside));
    lane.limits = lane.limits.unbounded();
    assert!(lane.run(&keys).starts_with(b"*100000\r\n"));
    assert!(lane.run(&[b"COMMAND", b"DOCS", b"get", b"nosuch", b"get"]).starts_with(b"*4\r\n"));
    let refusal = lane.refusal(&with(b"CONFIG GET", 5000, b"a*"));
    assert_eq!(refusal, Some(CommandError::TooManyArguments("config|get")));
}
