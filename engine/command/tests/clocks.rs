//! Commands that give a span and commands that give a time, when somebody sets the wall clock: what was
//! given as a span lives for it, what was given as a time goes at it.

#![allow(clippy::unwrap_used)] // Here a panic is a failed test.

mod support;

use support::{Lane, NOW, bulk, run_on, script, wait_of};

const HOUR: u64 = 3_600_000;
const SET_AHEAD: i64 = HOUR as i64;

/// Commands that give the key `k`, which is there, ten seconds: as a span, and as a time.
const OF_KEYS: [(&str, &str); 10] = [
    ("SET k 1 EX 10", "SET k 1 EXAT 1700000010"),
    ("SET k 1 PX 10000", "SET k 1 PXAT 1700000010000"),
    ("SETEX k 10 1", "SET k 1 GET EXAT 1700000010"),
    ("PSETEX k 10000 1", "SET k 1 XX PXAT 1700000010000"),
    ("GETEX k EX 10", "GETEX k EXAT 1700000010"),
    ("GETEX k PX 10000", "GETEX k PXAT 1700000010000"),
    ("EXPIRE k 10", "EXPIREAT k 1700000010"),
    ("PEXPIRE k 10000", "PEXPIREAT k 1700000010000"),
    ("MSETEX 1 k 1 EX 10", "MSETEX 1 k 1 PXAT 1700000010000"),
    ("INCREX k BYINT 1 PX 10000", "INCREX k BYINT 1 EXAT 1700000010"),
];

/// The same for the field `f` of `k`.
const OF_FIELDS: [(&str, &str); 6] = [
    ("HEXPIRE k 10 FIELDS 1 f", "HEXPIREAT k 1700000010 FIELDS 1 f"),
    ("HPEXPIRE k 10000 FIELDS 1 f", "HPEXPIREAT k 1700000010000 FIELDS 1 f"),
    ("HGETEX k EX 10 FIELDS 1 f", "HGETEX k EXAT 1700000010 FIELDS 1 f"),
    ("HGETEX k PX 10000 FIELDS 1 f", "HGETEX k PXAT 1700000010000 FIELDS 1 f"),
    ("HSETEX k EX 10 FIELDS 1 f 2", "HSETEX k EXAT 1700000010 FIELDS 1 f 2"),
    ("HSETEX k PX 10000 FIELDS 1 f 2", "HSETEX k PXAT 1700000010000 FIELDS 1 f 2"),
];

/// How `k` or its field is asked for what it has left and for when it ends.
struct Asked {
    left: &'static str,
    end: &'static str,
}

impl Asked {
    fn check(&self, lane: &mut Lane, case: &str, left: i64, end: i64) {
        let answer = |milliseconds: i64, line: &str| {
            if line.starts_with('H') {
                format!("[:{milliseconds}]")
            } else {
                format!(":{milliseconds}")
            }
        };
        assert_eq!(lane.say(self.left), answer(left, self.left), "{case}");
        assert_eq!(lane.say(self.end), answer(end, self.end), "{case}");
    }

    fn check_gone(&self, lane: &mut Lane, case: &str) {
        self.check(lane, case, -2, -2);
    }
}

/// What a command did to a fresh lane, with the clock set ahead or back by an hour.
fn after(setup: &str, command: &str, ahead: i64) -> Lane {
    let mut lane = Lane::default();
    for line in [setup, command] {
        let answer = lane.say(line);
        assert!(!answer.starts_with('-'), "{line}: {answer}");
    }
    lane.set_clock(ahead);
    lane
}

fn check_both(setup: &str, (span, time): (&str, &str), asked: &Asked) {
    let start = NOW.0 as i64;
    let lane = &mut after(setup, span, SET_AHEAD);
    asked.check(lane, span, 10_000, start + SET_AHEAD + 10_000);
    lane.wait(9_999);
    asked.check(lane, span, 1, start + SET_AHEAD + 10_000);
    lane.wait(1);
    asked.check_gone(lane, span);

    let lane = &mut after(setup, span, -SET_AHEAD);
    asked.check(lane, span, 10_000, start - SET_AHEAD + 10_000);
    lane.wait(10_000);
    asked.check_gone(lane, span);

    let lane = &mut after(setup, time, SET_AHEAD);
    asked.check_gone(lane, time);

    let lane = &mut after(setup, time, -SET_AHEAD);
    asked.check(lane, time, 10_000 + SET_AHEAD, start + 10_000);
    lane.wait(HOUR + 9_999);
    asked.check(lane, time, 1, start + 10_000);
    lane.wait(1);
    asked.check_gone(lane, time);
}

#[test]
fn keys_go_by_the_clock_that_their_expiry_was_given_by() {
    for pair in OF_KEYS {
        check_both("SET k 1", pair, &Asked { left: "PTTL k", end: "PEXPIRETIME k" });
    }
}

#[test]
fn fields_go_by_the_clock_that_their_expiry_was_given_by() {
    let left = "HPTTL k FIELDS 1 f";
    let end = "HPEXPIRETIME k FIELDS 1 f";
    let long = "x".repeat(100);
    for pair in OF_FIELDS {
        check_both("HSET k f 1 g 1", pair, &Asked { left, end });
        // As a large hash, too.
        check_both(&format!("HSET k f 1 g {long}"), pair, &Asked { left, end });
    }
}

#[test]
fn restored_keys_live_for_their_ttl_or_until_their_time() {
    let mut lane = Lane::default();
    lane.check("SET v 1", "+OK");
    let payload = bulk(&lane.run(&[b"DUMP", b"v"]));
    let until = (NOW.0 + 10_000).to_string();
    assert_eq!(lane.run(&[b"RESTORE", b"span", b"10000", &payload]), b"+OK\r\n");
    assert_eq!(lane.run(&[b"RESTORE", b"time", until.as_bytes(), &payload, b"ABSTTL"]), b"+OK\r\n");
    run_on(
        &mut lane,
        "
        clock -3600000
        PTTL span => :10000
        PTTL time => :3610000
        clock 3600000
        PTTL span => :10000
        PTTL time => :-2
        ",
    );
}

#[test]
fn a_dump_tells_when_fields_end_by_the_wall_clock() {
    let mut lane = Lane::default();
    run_on(
        &mut lane,
        "
        HSET h span 1 time 1 other 1 => :3
        HPEXPIRE h 5000000 FIELDS 1 span => [:1]
        HPEXPIREAT h 1700004000000 FIELDS 1 time => [:1]
        clock 3600000
        ",
    );
    let payload = bulk(&lane.run(&[b"DUMP", b"h"]));
    assert_eq!(lane.run(&[b"RESTORE", b"restored", b"0", &payload]), b"+OK\r\n");
    // Now the one ends after 400 seconds, the other after 5,000.
    lane.check("HPTTL restored FIELDS 3 span time other", "[:5000000 :400000 :-1]");
    lane.check("HPEXPIRETIME restored FIELDS 1 span", "[:1700008600000]");
}

#[test]
fn what_moves_is_copied_or_kept_stays_with_its_clock() {
    script(
        "
        SET a 1 PX 10000 => +OK
        SET b 1 PXAT 1700000010000 => +OK
        COPY a a2 => :1
        COPY b b2 => :1
        RENAME a a3 => +OK
        RENAME b b3 => +OK
        MOVE a3 1 => :1
        MOVE b3 1 => :1
        SET a2 2 KEEPTTL => +OK
        SET b2 2 KEEPTTL => +OK
        APPEND a2 2 => :2
        APPEND b2 2 => :2
        clock -3600000
        PTTL a2 => :10000
        PTTL b2 => :3610000
        clock 3600000
        GET a2 => \"22\"
        GET b2 => nil
        DBSIZE => :1
        ",
    );
}

#[test]
fn conditions_compare_what_the_wall_clock_will_show() {
    script(
        "
        SET k 1 PX 10000 => +OK
        PEXPIREAT k 1700000009999 GT => :0
        PEXPIREAT k 1700000010000 GT => :0
        PEXPIREAT k 1700000010000 LT => :0
        clock 3600000
        PEXPIREAT k 1700003609999 GT => :0
        PEXPIREAT k 1700003610001 LT => :0
        PEXPIREAT k 1700003610001 GT => :1
        PEXPIRE k 10001 GT => :0
        PEXPIRE k 10001 LT => :0
        PEXPIRE k 10002 GT => :1
        HSET h f 1 => :1
        HPEXPIREAT h 1700003605000 FIELDS 1 f => [:1]
        HPEXPIRE h 5000 GT FIELDS 1 f => [:0]
        HPEXPIRE h 4999 LT FIELDS 1 f => [:1]
        clock -3600000
        HPTTL h FIELDS 1 f => [:4999]
        PTTL k => :10002
        PERSIST k => :1
        PTTL k => :-1
        ",
    );
}

#[test]
fn what_is_over_is_over_by_its_own_clock() {
    script(
        "
        clock 3600000
        SET k 1 => +OK
        PEXPIREAT k 1700003599999 => :1
        EXISTS k => :0
        SET k 1 PXAT 1700003600000 => +OK
        EXISTS k => :0
        SET k 1 PXAT 1700003600001 => +OK
        EXISTS k => :1
        EXPIRE k -1 => :1
        EXISTS k => :0
        clock -3600000
        SET k 1 PXAT 1700000000000 => +OK
        PTTL k => :3600000
        SET k 1 PX 9223372036854775807 => -ERR invalid expire time in 'set' command
        ",
    );
}

#[test]
fn who_waits_waits_for_as_long_as_was_said() {
    let mut lane = Lane::default();
    for ahead in [SET_AHEAD, -SET_AHEAD] {
        lane.set_clock(ahead);
        for (line, milliseconds) in [
            ("BLPOP a 1.5", 1500),
            ("BZPOPMIN a 2", 2000),
            ("BLMOVE a b LEFT LEFT 1", 1000),
            ("XREAD BLOCK 30 STREAMS s $", 30),
        ] {
            let wait = wait_of(&mut lane, line).unwrap();
            assert_eq!(wait.until, Some(NOW.plus(milliseconds)), "{line}");
        }
    }
}

#[test]
fn streams_number_and_date_by_the_wall_clock() {
    script(
        "
        clock 3600000
        XADD s * f v => \"1700003600000-0\"
        XGROUP CREATE s g 0 => +OK
        XREADGROUP GROUP g c STREAMS s > => [[\"s\" [[\"1700003600000-0\" [\"f\" \"v\"]]]]]
        wait 250
        XPENDING s g - + 9 => [[\"1700003600000-0\" \"c\" :250 :1]]
        clock 0
        XADD s * f v => \"1700003600000-1\"
        ",
    );
}
