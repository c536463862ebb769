//! SORT and `SORT_RO` through the table.

#![allow(clippy::unwrap_used)] // Here a panic is a failed test.

mod support;

use ringlane_base::{HashSeed, Now, SLOT_COUNT};
use ringlane_store::types::{Set, SortedSet};
use ringlane_store::{Options, Store};
use support::{Lane, NOW, check_said, run_on, script};

#[test]
fn elements_by_themselves() {
    script(
        r#"
        RPUSH l 3 1 10 2 => :4
        SORT l => ["1" "2" "3" "10"]
        SORT l DESC => ["10" "3" "2" "1"]
        SORT l ALPHA => ["1" "10" "2" "3"]
        SORT l LIMIT 1 2 => ["2" "3"]
        SORT l LIMIT -5 2 => ["1" "2"]
        SORT l LIMIT 1 -1 => ["2" "3" "10"]
        SORT l LIMIT 9 2 => []
        SORT l LIMIT 0 0 => []
        SORT l desc asc => ["1" "2" "3" "10"]
        SORT_RO l DESC LIMIT 0 1 => ["10"]
        SORT none => []
        RPUSH w b a c => :3
        SORT w => -ERR One or more scores can't be converted into double
        SORT w ALPHA DESC => ["c" "b" "a"]
        SORT w LIMIT x 1 => -ERR value is not an integer or out of range
        SORT w LIMIT 1 => -ERR syntax error
        SORT w FOO => -ERR syntax error
        SORT w BY => -ERR syntax error
        SORT_RO w ALPHA STORE x => -ERR syntax error
        SET s x => +OK
        SORT s => -WRONGTYPE Operation against a key holding the wrong kind of value
        SORT s FOO => -ERR syntax error
        "#,
    );
}

#[test]
fn elements_by_other_keys_and_answers_from_them() {
    script(
        r#"
        RPUSH l a b c => :3
        MSET w_a 3 w_b 1 w_c 2 n_a anna n_c carl => +OK
        SORT l BY w_* => ["b" "c" "a"]
        SORT l BY w_* DESC GET n_* GET # => ["anna" "a" "carl" "c" nil "b"]
        SORT l BY nosort => ["a" "b" "c"]
        SORT l BY nosort DESC LIMIT 0 2 => ["c" "b"]
        SORT l BY nosort GET nostar => [nil nil nil]
        SORT l BY none_* => ["a" "b" "c"]
        SORT l BY n_* ALPHA => ["b" "a" "c"]
        SORT l BY n_* => -ERR One or more scores can't be converted into double
        SORT l BY w_* STORE to => :3
        LRANGE to 0 -1 => ["b" "c" "a"]
        SORT l BY w_* GET n_* STORE to => :3
        LRANGE to 0 -1 => ["" "carl" "anna"]
        EXPIRE to 100 => :1
        SORT l BY nosort STORE to => :3
        TTL to => :-1
        SORT none STORE to => :0
        EXISTS to => :0
        SORT l ALPHA DESC STORE l => :3
        LRANGE l 0 -1 => ["c" "b" "a"]
        SET s x => +OK
        SORT l ALPHA STORE s => :3
        TYPE s => +list
        "#,
    );
}

#[test]
fn keys_that_a_pattern_forms_must_be_within_reach() {
    let by = "-ERR BY option of SORT denied in cluster mode when keys formed by the pattern may be \
              in different slots.";
    let get = by.replace("BY", "GET");
    let lines = |lane: &mut Lane, rows: &[(&str, &str)]| {
        for (line, answer) in rows {
            lane.check(line, answer);
        }
    };
    // One lane of several: what may be elsewhere is refused, a hash tag keeps it here.
    let mut lane = Lane::default();
    let slots = 0..SLOT_COUNT as u16 - 1;
    lane.store =
        Store::new(Options { hash_seed: HashSeed(7), random_seed: 1, databases: 16, slots });
    lane.store.begin_turn(Now::both(NOW));
    run_on(&mut lane, "RPUSH {t}l b a => :2\nMSET {t}w_a 1 {t}w_b 2 => +OK");
    lines(
        &mut lane,
        &[
            ("SORT {t}l BY w_*", by),
            ("SORT {t}l BY *{t}", by),
            ("SORT {t}l ALPHA GET w_*", &get),
            ("SORT {t}l BY nosort GET #", "[\"b\" \"a\"]"),
            ("SORT {t}l BY {t}w_* GET {t}w_*", "[\"1\" \"2\"]"),
            ("SORT_RO {t}l BY {t}w_*", "[\"a\" \"b\"]"),
        ],
    );
    // The entries of one command: even a key of the same slot is not among them.
    let mut excerpt = Lane::default();
    excerpt.store.set_excerpt(true);
    lines(
        &mut excerpt,
        &[
            ("RPUSH {t}l b a", ":2"),
            ("SORT {t}l BY {t}w_* STORE x", by),
            ("SORT {t}l ALPHA STORE x", ":2"),
        ],
    );
}

#[test]
fn sets_and_sorted_sets() {
    let mut lane = Lane::default();
    let (set, sorted) = (lane.store.key(lane.database, b"s"), lane.store.key(lane.database, b"z"));
    for (member, score) in [("10", 1.0), ("9", 3.0), ("x", 2.0)] {
        let member = member.as_bytes();
        lane.store.edit::<Set, _>(&set, 0, |set| set.insert(member)).unwrap();
        lane.store.edit::<SortedSet, _>(&sorted, 0, |set| set.put(member, score)).unwrap();
    }
    run_on(
        &mut lane,
        r#"
        SORT s => -ERR One or more scores can't be converted into double
        SORT s ALPHA => ["10" "9" "x"]
        SORT s ALPHA DESC LIMIT 0 1 => ["x"]
        SORT s BY nosort STORE to => :3
        LRANGE to 0 -1 => ["10" "9" "x"]
        SORT z ALPHA DESC => ["x" "9" "10"]
        SORT z BY nosort => ["10" "x" "9"]
        SORT z BY nosort DESC LIMIT 1 5 => ["x" "10"]
        SORT z BY nosort LIMIT 3 5 => []
        HSET h:10 f 2 => :1
        HSET h:9 f 3 => :1
        HSET h:x f 1 g 7 => :2
        SORT s BY h:*->f GET # => ["x" "10" "9"]
        SORT s BY h:*->f GET h:*->g => ["7" nil nil]
        SORT z BY h:* GET # ALPHA => ["10" "x" "9"]
        SORT s BY h:*-> ALPHA LIMIT 0 0 => []
        SORT h:x => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn notices() {
    let mut lane = Lane::default();
    lane.say("RPUSH l 2 1");
    check_said(
        &mut lane,
        &[
            ("SORT l", ""),
            ("SORT l STORE to", "sortstore to"),
            ("SORT none STORE to", "del to"),
            ("SORT none STORE to", ""),
        ],
    );
}
