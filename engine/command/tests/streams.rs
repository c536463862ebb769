//! Streams through the table: answers, options, error texts, notices, waiting, effects.

#![allow(clippy::unwrap_used)] // Here a panic is a failed test.

mod support;

use ringlane_base::{Database, HashSeed, SLOT_COUNT};
use ringlane_command::Wait;
use ringlane_store::types::{Stream, StreamId};
use ringlane_store::{Options, Recorder, Store};
use support::{Lane, NOW, check_said, script, wait_of};

#[test]
fn adding_and_reading() {
    script(
        r#"
        XADD s * a 1 => "1700000000000-0"
        XADD s * a 2 => "1700000000000-1"
        wait 5
        XADD s * b 3 => "1700000000005-0"
        XADD s 1700000000006-* c 4 => "1700000000006-0"
        XADD s 1700000000006-* c 5 => "1700000000006-1"
        XADD s 5-1 c 5 => -ERR The ID specified in XADD is equal or smaller than the target stream top item
        XADD s 0-0 c 5 => -ERR The ID specified in XADD must be greater than 0-0
        XADD s x c 5 => -ERR Invalid stream ID specified as stream command argument
        XADD s * c => -ERR wrong number of arguments for 'xadd' command
        XADD none NOMKSTREAM * a 1 => nil
        EXISTS none => :0
        XLEN s => :5
        XLEN none => :0
        XRANGE s - + COUNT 2 => [["1700000000000-0" ["a" "1"]] ["1700000000000-1" ["a" "2"]]]
        XRANGE s (1700000000000-0 1700000000000 => [["1700000000000-1" ["a" "2"]]]
        XREVRANGE s + - COUNT 1 => [["1700000000006-1" ["c" "5"]]]
        XRANGE s - + COUNT 0 => nil
        XRANGE none - + => []
        TYPE s => +stream
        OBJECT ENCODING s => "stream"
        XDEL s 1700000000000-0 1-1 => :1
        XADD s MAXLEN 2 * d 6 => "1700000000006-2"
        XLEN s => :2
        XTRIM s MINID 1700000000006-2 => :1
        XTRIM s MAXLEN 0 => :1
        XLEN s => :0
        EXISTS s => :1
        XSETID s 1700000000006-9 => +OK
        XADD s * e 7 => "1700000000006-10"
        SET text text => +OK
        XADD text * a 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        XLEN text => -WRONGTYPE Operation against a key holding the wrong kind of value
        XADD max 18446744073709551615-18446744073709551615 a 1 => "18446744073709551615-18446744073709551615"
        XADD max * a 1 => -ERR The stream has exhausted the last possible ID, unable to add more items
        COPY s t => :1
        XRANGE t - + => [["1700000000006-10" ["e" "7"]]]
        "#,
    );
}

#[test]
fn groups() {
    script(
        r#"
        XGROUP CREATE s g $ => -ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.
        XGROUP CREATE s g $ MKSTREAM => +OK
        XGROUP CREATE s g $ => -BUSYGROUP Consumer Group name already exists
        XADD s 1-1 a 1 => "1-1"
        XADD s 1-2 a 2 => "1-2"
        XREADGROUP GROUP g alice COUNT 1 STREAMS s > => [["s" [["1-1" ["a" "1"]]]]]
        XREADGROUP GROUP g bob STREAMS s > => [["s" [["1-2" ["a" "2"]]]]]
        XREADGROUP GROUP g bob STREAMS s > => nil
        XREADGROUP GROUP g bob STREAMS s 0 => [["s" [["1-2" ["a" "2"]]]]]
        XREADGROUP GROUP nosuch bob STREAMS s > => -NOGROUP No such key 's' or consumer group 'nosuch' in XREADGROUP with GROUP option
        XPENDING s g => [:2 "1-1" "1-2" [["alice" "1"] ["bob" "1"]]]
        wait 100
        XPENDING s g - + 10 => [["1-1" "alice" :100 :1] ["1-2" "bob" :100 :2]]
        XPENDING s g IDLE 101 - + 10 => []
        XPENDING s g - + 10 bob => [["1-2" "bob" :100 :2]]
        XCLAIM s g carol 100 1-1 => [["1-1" ["a" "1"]]]
        XCLAIM s g carol 100 1-1 JUSTID => []
        XAUTOCLAIM s g carol 100 - => ["0-0" [["1-2" ["a" "2"]]] []]
        XDEL s 1-2 => :1
        XAUTOCLAIM s g carol 0 - JUSTID => ["0-0" ["1-1"] ["1-2"]]
        XACK s g 1-1 1-2 => :1
        XINFO GROUPS s => [["name" "g" "consumers" :3 "pending" :0 "last-delivered-id" "1-2" "entries-read" :2 "lag" :0]]
        XINFO CONSUMERS s g => [["name" "alice" "pending" :0 "idle" :100 "inactive" :100] ["name" "bob" "pending" :0 "idle" :100 "inactive" :100] ["name" "carol" "pending" :0 "idle" :0 "inactive" :0]]
        XGROUP CREATECONSUMER s g dave => :1
        XGROUP CREATECONSUMER s g dave => :0
        XGROUP DELCONSUMER s g dave => :0
        XGROUP SETID s g 0 => +OK
        XREADGROUP GROUP g alice NOACK STREAMS s > => [["s" [["1-1" ["a" "1"]]]]]
        XPENDING s g => [:0 nil nil nil]
        XGROUP DESTROY s g => :1
        XGROUP DESTROY s g => :0
        XGROUP SETID s g 0 => -NOGROUP No such consumer group 'g' for key name 's'
        XGROUP CREATE s g 0 FOO => -ERR unknown subcommand or wrong number of arguments for 'CREATE'. Try XGROUP HELP.
        XINFO STREAM none => -ERR no such key
        "#,
    );
}

#[test]
fn references_to_deleted_entries() {
    script(
        r#"
        XADD s 1 a 1 => "1-0"
        XADD s 2 a 2 => "2-0"
        XADD s 3 a 3 => "3-0"
        XADD s 4 a 4 => "4-0"
        XGROUP CREATE s g 0 => +OK
        XREADGROUP GROUP g alice COUNT 3 STREAMS s > => [["s" [["1-0" ["a" "1"]] ["2-0" ["a" "2"]] ["3-0" ["a" "3"]]]]]
        XDELEX s ACKED IDS 3 1 4 9 => [:2 :2 :-1]
        XDELEX s IDS 1 1 => [:1]
        XPENDING s g => [:3 "1-0" "3-0" [["alice" "3"]]]
        XDELEX s DELREF IDS 1 2 => [:1]
        XPENDING s g => [:2 "1-0" "3-0" [["alice" "2"]]]
        XACKDEL s g ACKED IDS 2 3 4 => [:1 :-1]
        XRANGE s - + => [["4-0" ["a" "4"]]]
        XTRIM s MAXLEN 0 ACKED => :0
        XREADGROUP GROUP g alice STREAMS s > => [["s" [["4-0" ["a" "4"]]]]]
        XTRIM s MAXLEN 0 DELREF => :1
        XPENDING s g => [:1 "1-0" "1-0" [["alice" "1"]]]
        XDELEX none IDS 2 1 2 => [:-1 :-1]
        XACKDEL s nosuch IDS 1 1 => [:-1]
        XDELEX s IDS 0 1 => -ERR Number of IDs must be a positive integer
        XDELEX s IDS 2 1 => -ERR The `numids` parameter must match the number of arguments
        XDELEX s FOO IDS 1 1 => -ERR syntax error
        XDELEX s IDS 1 1 2 => -ERR syntax error
        XDELEX s IDS 1 1 IDS 1 2 => -ERR syntax error
        XDELEX s KEEPREF => -ERR wrong number of arguments for 'xdelex' command
        XDELEX s KEEPREF IDS 1 => -ERR The `numids` parameter must match the number of arguments
        XADD s 9 a 1 => "9-0"
        XDELEX s IDS 1 9 DELREF => [:1]
        XADD s KEEPREF DELREF 10 a 1 => -ERR Invalid stream ID specified as stream command argument
        XTRIM s MAXLEN 1 KEEPREF KEEPREF => -ERR syntax error
        "#,
    );
}

#[test]
fn notices() {
    let mut lane = Lane::default();
    check_said(
        &mut lane,
        &[
            ("XADD s 1 a 1", "xadd s"),
            ("XADD s MAXLEN 1 2 a 2", "xadd s,xtrim s"),
            ("XADD s MAXLEN ~ 1 3 a 3", "xadd s"),
            ("XGROUP CREATE s g 0", "xgroup-create s"),
            ("XREADGROUP GROUP g alice STREAMS s >", "xgroup-createconsumer s"),
            ("XREADGROUP GROUP g alice STREAMS s >", ""),
            ("XGROUP CREATECONSUMER s g bob", "xgroup-createconsumer s"),
            ("XGROUP DELCONSUMER s g bob", "xgroup-delconsumer s"),
            ("XGROUP SETID s g 0", "xgroup-setid s"),
            ("XGROUP DESTROY s g", "xgroup-destroy s"),
            ("XDEL s 2", "xdel s"),
            ("XDEL s 2", ""),
            ("XTRIM s MAXLEN 0", "xtrim s"),
            ("XTRIM s MAXLEN 0", ""),
            ("XSETID s 9", "xsetid s"),
        ],
    );
}

#[test]
fn reads_wait_for_what_comes_after_now() {
    let mut lane = Lane::default();
    lane.say("XADD s 5-1 a 1");
    let wait = wait_of(&mut lane, "XREAD BLOCK 0 STREAMS s t $ +").unwrap();
    assert_eq!(wait.until, None);
    let arguments = wait.arguments.unwrap().join(&b' ');
    // The last entry of s, had it been asked for, would have been there.
    assert_eq!(String::from_utf8(arguments).unwrap(), "XREAD BLOCK 0 STREAMS s t 5-1 0-0");
    assert!(wait_of(&mut lane, "XREAD BLOCK 0 STREAMS s +").is_none());
    let wait = wait_of(&mut lane, "XREAD BLOCK 30 STREAMS s 5-1").unwrap();
    assert_eq!(wait, Wait { until: Some(NOW.plus(30)), ..Wait::default() });
    lane.say("XGROUP CREATE s g $");
    lane.say("XGROUP CREATECONSUMER s g alice");
    let recorder = Recorder::attach(&mut lane.store);
    assert!(wait_of(&mut lane, "XREADGROUP GROUP g alice BLOCK 10 STREAMS s >").is_some());
    assert!(recorder.take().is_empty(), "waiting wakes nobody else");
    lane.say("XADD s 6-1 a 1");
    assert!(wait_of(&mut lane, "XREADGROUP GROUP g alice BLOCK 10 STREAMS s >").is_none());
    assert!(lane.say("XREAD BLOCK 10 STREAMS s $").starts_with("nil"));
    for (line, refusal) in [
        ("XREAD BLOCK x STREAMS s $", "-ERR timeout is not an integer or out of range"),
        ("XREAD BLOCK -1 STREAMS s $", "-ERR timeout is negative"),
    ] {
        lane.check(line, refusal);
    }
}

#[test]
fn entries_that_have_been_pending_for_long_are_claimed_while_reading() {
    let mut lane = Lane::default();
    for (line, answer) in [
        ("XADD s 1-0 f a", "\"1-0\""),
        ("XADD s 2-0 f b", "\"2-0\""),
        ("XADD s 3-0 f c", "\"3-0\""),
        ("XGROUP CREATE s g 0", "+OK"),
        // What is new has been pending for no time, and was given to nobody.
        (
            "XREADGROUP GROUP g alice COUNT 1 CLAIM 50 STREAMS s >",
            r#"[["s" [["1-0" ["f" "a"] :0 :0]]]]"#,
        ),
        ("XREADGROUP GROUP g alice COUNT 1 STREAMS s >", r#"[["s" [["2-0" ["f" "b"]]]]]"#),
        ("XCLAIM s g alice 0 2-0 IDLE 90 JUSTID", r#"["2-0"]"#),
    ] {
        lane.check(line, answer);
    }
    lane.wait(60);
    for (line, answer) in [
        // The longest first, then what is new.
        (
            "XREADGROUP GROUP g bob CLAIM 60 STREAMS s >",
            r#"[["s" [["2-0" ["f" "b"] :150 :1] ["1-0" ["f" "a"] :60 :1] ["3-0" ["f" "c"] :0 :0]]]]"#,
        ),
        (
            "XPENDING s g - + 9 bob",
            r#"[["1-0" "bob" :0 :2] ["2-0" "bob" :0 :2] ["3-0" "bob" :0 :1]]"#,
        ),
        ("XREADGROUP GROUP g alice CLAIM 1 STREAMS s >", "nil"),
        // No time at all is enough; COUNT counts both kinds.
        (
            "XREADGROUP CLAIM 0 COUNT 1 GROUP g alice STREAMS s >",
            r#"[["s" [["1-0" ["f" "a"] :0 :2]]]]"#,
        ),
        // One's own history is as it was.
        ("XREADGROUP GROUP g alice CLAIM 0 STREAMS s 0", r#"[["s" [["1-0" ["f" "a"]]]]]"#),
        // What was deleted cannot be given, and stays pending.
        ("XDEL s 1-0 2-0 3-0", ":3"),
        ("XREADGROUP GROUP g carol CLAIM 0 STREAMS s >", "nil"),
        ("XADD s 4-0 f d", "\"4-0\""),
        // NOACK is about what is new.
        (
            "XREADGROUP GROUP g carol CLAIM 0 NOACK STREAMS s >",
            r#"[["s" [["4-0" ["f" "d"] :0 :0]]]]"#,
        ),
        ("XPENDING s g", r#"[:3 "1-0" "3-0" [["alice" "1"] ["bob" "2"]]]"#),
        ("XADD s 5-0 f e", "\"5-0\""),
        ("XREADGROUP GROUP g carol STREAMS s >", r#"[["s" [["5-0" ["f" "e"]]]]]"#),
        (
            "XREADGROUP GROUP g dave CLAIM 0 NOACK STREAMS s >",
            r#"[["s" [["5-0" ["f" "e"] :0 :1]]]]"#,
        ),
        ("XPENDING s g - + 9 dave", r#"[["5-0" "dave" :0 :2]]"#),
    ] {
        lane.check(line, answer);
    }
    // Who waits is to try again when the entry will have been pending for long enough.
    let wait = wait_of(&mut lane, "XREADGROUP GROUP g erin BLOCK 0 CLAIM 500 STREAMS s >").unwrap();
    let again = Some(lane.store.now().steady.plus(500));
    assert_eq!(wait, Wait { again, needs_keys: true, ..Wait::default() });
    lane.check("XACK s g 5-0", ":1");
    let wait = wait_of(&mut lane, "XREADGROUP GROUP g erin BLOCK 0 CLAIM 500 STREAMS s >").unwrap();
    assert_eq!(wait, Wait { needs_keys: true, ..Wait::default() });
}

#[test]
fn a_malformed_claim_is_refused() {
    let mut lane = Lane::default();
    lane.check("XGROUP CREATE s g 0 MKSTREAM", "+OK");
    for (line, answer) in [
        (
            "XREADGROUP GROUP g c CLAIM x STREAMS s >",
            "-ERR min-idle-time is not an integer or out of range",
        ),
        (
            "XREADGROUP GROUP g c CLAIM -0 STREAMS s >",
            "-ERR min-idle-time is not an integer or out of range",
        ),
        (
            "XREADGROUP GROUP g c CLAIM STREAMS s >",
            "-ERR min-idle-time is not an integer or out of range",
        ),
        (
            "XREADGROUP GROUP g c CLAIM -10 STREAMS s >",
            "-ERR min-idle-time must be a positive integer",
        ),
        (
            "XREAD CLAIM 10 STREAMS s 0",
            "-ERR The CLAIM option is only supported by XREADGROUP. You called XREAD instead.",
        ),
    ] {
        lane.check(line, answer);
    }
}

/// Everything that is in the stream, in a form that compares.
fn contents(store: &mut Store, name: &str) -> String {
    let key = store.key(Database(0), name.as_bytes());
    let Ok(Some(stream)) = store.view::<Stream>(&key) else { return "none".into() };
    let entries: Vec<_> = stream
        .range(StreamId::MIN, StreamId::MAX)
        .map(|entry| (entry.id, entry.fields().map(|(a, b)| (a.to_vec(), b.to_vec())).collect()))
        .collect::<Vec<(StreamId, Vec<(Vec<u8>, Vec<u8>)>)>>();
    let groups: Vec<_> = stream
        .groups()
        .map(|(name, group)| {
            let pending: Vec<_> = group
                .pending_range(StreamId::MIN, StreamId::MAX)
                .map(|(id, owner, it)| (id, owner.to_vec(), it.delivered_at, it.deliveries))
                .collect();
            let consumers: Vec<_> = group
                .consumers()
                .map(|(name, it)| (name.to_vec(), it.seen, it.active, it.pending_len()))
                .collect();
            (name.to_vec(), group.last, group.read, pending, consumers)
        })
        .collect();
    let state = (stream.last_id(), stream.max_deleted_id(), stream.entries_added());
    format!("{entries:?} {groups:?} {state:?}")
}

fn random_line(random: &mut fastrand::Rng) -> String {
    let key = ["s", "t"][random.usize(..2)];
    let who = ["alice", "bob"][random.usize(..2)];
    let id = random.u64(1_700_000_000_000..1_700_000_003_000);
    let some = random.u8(..9);
    match random.u8(..16) {
        0 => format!("XADD {key} MAXLEN ~ {} * name {some}", random.u8(..40)),
        1 => format!(
            "XADD {key} MAXLEN 30 {} * other {some}",
            ["KEEPREF", "DELREF", "ACKED"][random.usize(..3)]
        ),
        2 => format!("XDEL {key} {id}"),
        3 => format!("XTRIM {key} MINID {id}"),
        4 => format!("XGROUP CREATE {key} g 0 MKSTREAM"),
        5 => format!("XREADGROUP GROUP g {who} COUNT {some} STREAMS {key} >"),
        6 => format!("XREADGROUP GROUP g {who} STREAMS {key} 0"),
        7 => format!("XREADGROUP GROUP g {who} NOACK COUNT {some} STREAMS {key} >"),
        8 => format!("XACK {key} g {id}"),
        9 if some < 5 => {
            format!("XREADGROUP GROUP g {who} COUNT {some} CLAIM {some} STREAMS {key} >")
        }
        9 => format!("XCLAIM {key} g {who} 10 {id} {id}-1 FORCE"),
        10 => format!("XAUTOCLAIM {key} g {who} 100 - COUNT {}", some + 1),
        11 if some == 0 => format!("XGROUP DELCONSUMER {key} g {who}"),
        12 if some == 0 => format!("DEL {key}"),
        13 if some == 0 => "RENAME s t".into(),
        14 => format!("XACKDEL {key} g DELREF IDS 1 {id}"),
        _ => format!("XADD {key} * name {some} more value"),
    }
}

#[test]
fn effects_make_the_same_streams() {
    for seed in 1..=4 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut lane = Lane::default();
        let recorder = Recorder::attach(&mut lane.store);
        let mut follower = Store::new(Options {
            hash_seed: HashSeed(7),
            random_seed: 5,
            databases: 16,
            slots: 0..SLOT_COUNT as u16,
        });
        let mut applied = 0;
        for step in 0..1_500 {
            let command = random_line(&mut random);
            lane.wait(random.u64(..3));
            follower.begin_turn(lane.store.now());
            lane.say(&command);
            for effect in recorder.take() {
                follower.apply(&effect).expect("no limit is set");
                applied += 1;
            }
            for key in ["s", "t"] {
                let (ours, theirs) = (contents(&mut lane.store, key), contents(&mut follower, key));
                assert_eq!(ours, theirs, "seed {seed}, step {step}: {command}");
            }
        }
        assert!(applied > 800, "{applied}");
    }
}
