//! List commands through the table: answers, edge cases, error texts, notices; lists that are packed
//! and lists that are not.

#![allow(clippy::unwrap_used)] // Here a panic is a failed test.

mod support;

use ringlane_command::{Wait, table};
use support::{Lane, NOW, check_full, check_said, run_on, script, wait_of};

#[test]
fn push_pop_and_read() {
    script(
        r#"
        RPUSH l a b c => :3
        LPUSH l z y => :5
        LRANGE l 0 -1 => ["y" "z" "a" "b" "c"]
        LLEN l => :5
        LPUSHX none a => :0
        RPUSHX none a => :0
        EXISTS none => :0
        LPUSHX l x w => :7
        RPUSHX l d => :8
        LPOP l => "w"
        RPOP l => "d"
        LPOP l 2 => ["x" "y"]
        RPOP l 2 => ["c" "b"]
        LPOP l 0 => []
        LRANGE l 0 -1 => ["z" "a"]
        RPOP l 100 => ["a" "z"]
        EXISTS l => :0
        LPOP l => nil
        RPOP l 3 => nil
        LPOP l 0 => nil
        LPOP l -1 => -ERR value is out of range, must be positive
        LPOP l x => -ERR value is out of range, must be positive
        LPOP l 1 2 => -ERR wrong number of arguments for 'lpop' command
        RPOP l 1 2 => -ERR wrong number of arguments for 'rpop' command
        LPUSH l => -ERR wrong number of arguments for 'lpush' command
        RPUSH l 1 -1 007 "" "\x00\x0d" 9223372036854775807 => :6
        LRANGE l 0 -1 => ["1" "-1" "007" "" "\x00\r" "9223372036854775807"]
        TYPE l => +list
        SET s x => +OK
        LPUSH s a => -WRONGTYPE Operation against a key holding the wrong kind of value
        LPUSHX s a => -WRONGTYPE Operation against a key holding the wrong kind of value
        LPOP s => -WRONGTYPE Operation against a key holding the wrong kind of value
        LLEN s => -WRONGTYPE Operation against a key holding the wrong kind of value
        LRANGE s 0 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        GET l => -WRONGTYPE Operation against a key holding the wrong kind of value
        APPEND l x => -WRONGTYPE Operation against a key holding the wrong kind of value
        SET l x => +OK
        TYPE l => +string
        "#,
    );
}

#[test]
fn ranges_and_indices() {
    script(
        r#"
        RPUSH l a b c d => :4
        LRANGE l 1 2 => ["b" "c"]
        LRANGE l -2 -1 => ["c" "d"]
        LRANGE l -100 100 => ["a" "b" "c" "d"]
        LRANGE l 3 1 => []
        LRANGE l 4 9 => []
        LRANGE l -9223372036854775808 9223372036854775807 => ["a" "b" "c" "d"]
        LRANGE none 0 -1 => []
        LRANGE none x 1 => -ERR value is not an integer or out of range
        LINDEX l 0 => "a"
        LINDEX l -1 => "d"
        LINDEX l 4 => nil
        LINDEX l -5 => nil
        LINDEX l -9223372036854775808 => nil
        LINDEX l x => -ERR value is not an integer or out of range
        LINDEX none x => nil
        LSET l 0 A => +OK
        LSET l -1 D => +OK
        LSET l 4 x => -ERR index out of range
        LSET l -5 x => -ERR index out of range
        LSET l x x => -ERR value is not an integer or out of range
        LSET none 0 x => -ERR no such key
        LRANGE l 0 -1 => ["A" "b" "c" "D"]
        LTRIM l 1 2 => +OK
        LRANGE l 0 -1 => ["b" "c"]
        LTRIM l -100 100 => +OK
        LLEN l => :2
        LTRIM l 5 9 => +OK
        EXISTS l => :0
        LTRIM none 0 1 => +OK
        LTRIM none x 1 => -ERR value is not an integer or out of range
        "#,
    );
}

#[test]
fn insert_remove_and_search() {
    script(
        r#"
        RPUSH l a b a c a => :5
        LINSERT l BEFORE a x => :6
        LINSERT l after c y => :7
        LINSERT l AFTER none y => :-1
        LINSERT none AFTER a y => :0
        LINSERT l BESIDE a y => -ERR syntax error
        LRANGE l 0 -1 => ["x" "a" "b" "a" "c" "y" "a"]
        LPOS l a => :1
        LPOS l a RANK 2 => :3
        LPOS l a RANK -1 => :6
        LPOS l a RANK 4 => nil
        LPOS l a COUNT 0 => [:1 :3 :6]
        LPOS l a COUNT 2 RANK -1 => [:6 :3]
        LPOS l a COUNT 0 MAXLEN 4 => [:1 :3]
        LPOS l a COUNT 0 MAXLEN 4 RANK -1 => [:6 :3]
        LPOS l none => nil
        LPOS l none COUNT 1 => []
        LPOS none a COUNT 1 => []
        LPOS none a => nil
        LPOS l a RANK 0 => -ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list
        LPOS l a RANK -9223372036854775808 => -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
        LPOS l a RANK x => -ERR value is not an integer or out of range
        LPOS l a COUNT -1 => -ERR COUNT can't be negative
        LPOS l a MAXLEN -1 => -ERR MAXLEN can't be negative
        LPOS l a RANK => -ERR syntax error
        LPOS l a FOO 1 => -ERR syntax error
        LREM l -1 a => :1
        LRANGE l 0 -1 => ["x" "a" "b" "a" "c" "y"]
        LREM l 1 a => :1
        LREM l 5 none => :0
        LREM l -9223372036854775808 a => :1
        LRANGE l 0 -1 => ["x" "b" "c" "y"]
        RPUSH m 1 1 1 1 => :4
        LREM m -3 1 => :3
        LREM m 0 1 => :1
        EXISTS m => :0
        LREM m x 1 => -ERR value is not an integer or out of range
        "#,
    );
}

#[test]
fn moves() {
    script(
        r#"
        RPUSH a 1 2 3 => :3
        LMOVE a b LEFT RIGHT => "1"
        LMOVE a b right left => "3"
        LRANGE b 0 -1 => ["3" "1"]
        RPOPLPUSH b b => "1"
        LRANGE b 0 -1 => ["1" "3"]
        LMOVE b b LEFT LEFT => "1"
        LRANGE b 0 -1 => ["1" "3"]
        RPOPLPUSH a b => "2"
        EXISTS a => :0
        RPOPLPUSH b {b}2 => "3"
        RPOPLPUSH none b => nil
        LMOVE none b LEFT LEFT => nil
        LMOVE a b UP LEFT => -ERR syntax error
        SET s x => +OK
        LMOVE none s LEFT LEFT => nil
        LMOVE b s LEFT LEFT => -WRONGTYPE Operation against a key holding the wrong kind of value
        LMOVE s b LEFT LEFT => -WRONGTYPE Operation against a key holding the wrong kind of value
        LRANGE b 0 -1 => ["2" "1"]
        RPUSH one x => :1
        EXPIRE one 100 => :1
        LMOVE one one LEFT RIGHT => "x"
        TTL one => :100
        "#,
    );
}

#[test]
fn pops_from_the_first_list_that_has_any() {
    script(
        r#"
        RPUSH b 1 2 3 => :3
        LMPOP 2 a b LEFT => ["b" ["1"]]
        LMPOP 2 a b RIGHT COUNT 5 => ["b" ["3" "2"]]
        LMPOP 2 a b LEFT => nil
        EXISTS b => :0
        LMPOP 0 a LEFT => -ERR numkeys should be greater than 0
        LMPOP x a LEFT => -ERR numkeys should be greater than 0
        LMPOP 1 a UP => -ERR syntax error
        LMPOP 2 a LEFT => -ERR syntax error
        LMPOP 1 a LEFT COUNT 0 => -ERR count should be greater than 0
        LMPOP 1 a LEFT COUNT => -ERR syntax error
        LMPOP 1 a LEFT COUNT 1 COUNT 1 => -ERR syntax error
        LMPOP 9223372036854775807 a LEFT => -ERR syntax error
        RPUSH b 1 2 3 => :3
        BLPOP a b 0 => ["b" "1"]
        BRPOP a b 0 => ["b" "3"]
        BLMPOP 0 2 a b LEFT COUNT 3 => ["b" ["2"]]
        BLPOP a b 1 => nil
        BLMPOP 1 2 a b LEFT => nil
        RPUSH b 1 2 => :2
        BLMOVE b c LEFT RIGHT 0 => "1"
        BRPOPLPUSH b c 0 => "2"
        LRANGE c 0 -1 => ["2" "1"]
        BLMOVE b c LEFT RIGHT 1 => nil
        BRPOPLPUSH b c 1 => nil
        SET s x => +OK
        BLPOP a s 0 => -WRONGTYPE Operation against a key holding the wrong kind of value
        BLPOP c s 0 => ["c" "2"]
        BLPOP a x => -ERR timeout is not a float or out of range
        BLPOP a nan => -ERR timeout is not a float or out of range
        BLPOP a -1 => -ERR timeout is negative
        BLPOP a inf => -ERR timeout is out of range
        BLPOP a 1e400 => -ERR timeout is out of range
        BLPOP a -inf => -ERR timeout is negative
        BLPOP a -1e30 => -ERR timeout is negative
        BLPOP a 9223372036854776 => -ERR timeout is out of range
        BLPOP a 9223372036854775 => -ERR timeout is out of range
        BLPOP a "" => -ERR timeout is not a float or out of range
        BLPOP a " 1" => -ERR timeout is not a float or out of range
        BLPOP a "1 " => -ERR timeout is not a float or out of range
        BLPOP a 0x => -ERR timeout is not a float or out of range
        BLPOP a 1e => -ERR timeout is not a float or out of range
        BLPOP a 1e300 => -ERR timeout is out of range
        BLMPOP x 0 a LEFT => -ERR numkeys should be greater than 0
        BLMPOP x 1 a LEFT => -ERR timeout is not a float or out of range
        BLMOVE a c UP LEFT x => -ERR syntax error
        BLMOVE a c LEFT LEFT x => -ERR timeout is not a float or out of range
        BRPOPLPUSH a c -1 => -ERR timeout is negative
        "#,
    );
}

#[test]
fn what_finds_nothing_waits_where_it_may() {
    let mut lane = Lane::default();
    let until = |milliseconds| Some(Wait { until: milliseconds, ..Wait::default() });
    for (line, wait) in [
        ("BLPOP a b 0", until(None)),
        ("BRPOP a 1.5", until(Some(NOW.plus(1500)))),
        ("BLPOP a 0.0001", until(Some(NOW.plus(1)))),
        ("BLPOP a -0.0001", until(None)),
        ("BLPOP a -0", until(None)),
        // As strtold reads them.
        ("BLPOP a -0.001", until(None)),
        ("BLPOP a 0x10", until(Some(NOW.plus(16_000)))),
        ("BLPOP a 0x1p-7", until(Some(NOW.plus(8)))),
        ("BLPOP a 1e-3", until(Some(NOW.plus(1)))),
        ("BLPOP a 2.5e1", until(Some(NOW.plus(25_000)))),
        ("BLPOP a +.5", until(Some(NOW.plus(500)))),
        ("BLPOP a 1.", until(Some(NOW.plus(1000)))),
        ("BZPOPMIN a 1e-400", until(Some(NOW.plus(1)))),
        ("BLMPOP 0.25 2 a b RIGHT", until(Some(NOW.plus(250)))),
        ("BLMOVE a b LEFT LEFT 2", until(Some(NOW.plus(2000)))),
        ("BRPOPLPUSH a b 0", until(None)),
        ("BLPOP a x", None),
        ("LPOP a", None),
        ("LMPOP 1 a LEFT", None),
        ("LMOVE a b LEFT LEFT", None),
    ] {
        assert_eq!(wait_of(&mut lane, line), wait, "{line}");
    }
    lane.check("RPUSH a 1", ":1");
    assert_eq!(wait_of(&mut lane, "BLPOP a 0"), None);
    lane.check("EXISTS a", ":0");
}

#[test]
fn keys_of_several_lists_are_found() {
    let positions = |words: &str| -> Vec<usize> {
        let args: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        table::resolve(&args).unwrap().key_positions(args.len(), |index| args[index]).collect()
    };
    assert_eq!(positions("BLPOP a b 0"), [1, 2]);
    assert_eq!(positions("LMPOP 2 a b LEFT"), [2, 3]);
    assert_eq!(positions("BLMPOP 0 2 a b LEFT COUNT 1"), [3, 4]);
    assert_eq!(positions("LMPOP 9 a b LEFT"), [0; 0]);
    assert_eq!(positions("BLMOVE a b LEFT LEFT 0"), [1, 2]);
}

#[test]
fn long_lists_and_long_elements() {
    let mut lane = Lane::default();
    let long = "x".repeat(100_000);
    for index in 0..5_000 {
        lane.check(&format!("RPUSH l element:{index}"), &format!(":{}", index + 1));
    }
    run_on(
        &mut lane,
        r#"
        OBJECT ENCODING l => "quicklist"
        LINDEX l 2500 => "element:2500"
        LPOS l element:4000 => :4000
        LINSERT l BEFORE element:2500 here => :5001
        LINDEX l 2500 => "here"
        LREM l 0 here => :1
        LRANGE l 2498 2501 => ["element:2498" "element:2499" "element:2500" "element:2501"]
        LSET l -1 last => +OK
        RPOP l => "last"
        LTRIM l 1000 3999 => +OK
        LLEN l => :3000
        LINDEX l 0 => "element:1000"
        COPY l m => :1
        LTRIM m 2999 -1 => +OK
        LRANGE m 0 -1 => ["element:3999"]
        LLEN l => :3000
        RENAME l n => +OK
        LMOVE n m RIGHT LEFT => "element:3999"
        LLEN n => :2999
        MOVE n 1 => :1
        LLEN n => :0
        SELECT 1 => +OK
        LLEN n => :2999
        DEL n => :1
        SELECT 0 => +OK
        "#,
    );
    lane.check(&format!("LPUSH big {long} a {long}"), ":3");
    lane.check("LINDEX big 1", "\"a\"");
    lane.check("RPOP big", &format!("\"{long}\""));
    lane.check(&format!("LPOS big {long}"), ":0");
}

#[test]
fn small_lists_are_one_block_until_a_limit() {
    let mut lane = Lane::default();
    run_on(
        &mut lane,
        r#"
        RPUSH l a b c => :3
        OBJECT ENCODING l => "listpack"
        OBJECT REFCOUNT l => :1
        "#,
    );
    let mut limits = *lane.store.pack_limits();
    limits.list_max_listpack_size = 4;
    lane.store.set_pack_limits(limits);
    run_on(
        &mut lane,
        r#"
        RPUSH l d => :4
        OBJECT ENCODING l => "listpack"
        RPUSH l e => :5
        OBJECT ENCODING l => "quicklist"
        LPOP l 3 => ["a" "b" "c"]
        OBJECT ENCODING l => "listpack"
        LRANGE l 0 -1 => ["d" "e"]
        "#,
    );
}

#[test]
fn notices() {
    let mut lane = Lane::default();
    check_said(
        &mut lane,
        &[
            ("RPUSH l a b c d", "rpush l"),
            ("LPUSHX l z", "lpush l"),
            ("LPUSHX none z", ""),
            ("LPOP l", "lpop l"),
            ("LPOP l 0", ""),
            ("LSET l 0 A", "lset l"),
            ("LSET l 9 A", ""),
            ("LINSERT l BEFORE A x", "linsert l"),
            ("LINSERT l BEFORE none x", ""),
            ("LREM l 0 x", "lrem l"),
            ("LREM l 0 x", ""),
            ("LTRIM l 0 1", "ltrim l"),
            ("LTRIM l 0 9", "ltrim l"),
            ("LRANGE l 0 -1", ""),
            ("LMOVE l m LEFT RIGHT", "rpush m,lpop l"),
            ("RPOPLPUSH l m", "lpush m,rpop l,del l"),
            ("RPOPLPUSH m m", "lpush m,rpop m"),
            ("LMPOP 1 m RIGHT", "rpop m"),
            ("BLPOP none m 0", "lpop m,del m"),
            ("RPUSH l a a", "rpush l"),
            ("LREM l 0 a", "lrem l,del l"),
            ("RPUSH l a a", "rpush l"),
            ("LTRIM l 5 9", "ltrim l,del l"),
            ("RPUSH l a a", "rpush l"),
            ("BLMPOP 0 1 l LEFT COUNT 9", "lpop l,del l"),
            ("RPUSH l a", "rpush l"),
            ("BLMOVE l m LEFT LEFT 0", "lpush m,lpop l,del l"),
            ("RPOP m 1", "rpop m,del m"),
        ],
    );
}

#[test]
fn a_list_that_does_not_fit_is_refused_and_left_alone() {
    let mut lane = Lane::default();
    lane.check("RPUSH l a b", ":2");
    check_full(
        &mut lane,
        &["RPUSH l c", "LSET l 0 c", "LINSERT l AFTER a c", "LMOVE l m LEFT LEFT"],
    );
    run_on(
        &mut lane,
        r#"
        LRANGE l 0 -1 => ["a" "b"]
        LMOVE l l LEFT RIGHT => "a"
        LPOP l => "b"
        LPOP l => "a"
        "#,
    );
}
