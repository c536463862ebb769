//! What lives for a span and what goes at a time, when somebody sets the wall clock: keys and fields,
//! exact to the millisecond when asked for, and gone from memory within a tick of their wheel.

use ringlane_base::{Clock, Database, Due, HashSeed, Millis, Now};
use ringlane_store::types::Hash;
use ringlane_store::{Budget, Expiry, NewValue, Options, Policy, Store};

const HOUR: u64 = 3_600_000;
const START: Millis = Millis(1_700_000_000_000);
const BEGUN: Now = Now { wall: START, steady: START };
/// Milliseconds of a tick of a wheel.
const TICK: u64 = 16;
/// Everything of the test lives so long.
const SPAN: u64 = 600_000;

/// How the wall clock is set, in milliseconds.
const STEPS: [i64; 4] = [HOUR as i64, -(HOUR as i64), 5 * HOUR as i64, 0];

fn store() -> Store {
    let mut store = Store::new(Options {
        hash_seed: HashSeed(3),
        random_seed: 3,
        databases: 1,
        slots: 0..16384,
    });
    store.begin_turn(BEGUN);
    store
}

/// `passed` milliseconds after the start, when the wall clock was set by `step`.
fn then(passed: u64, step: i64) -> Now {
    let steady = START.plus(passed);
    Now { wall: Millis(steady.0.saturating_add_signed(step)), steady }
}

fn work_all(store: &mut Store) {
    while store.work(Budget { units: 500 }).more {}
}

fn set(store: &mut Store, name: &[u8], due: Due) {
    let key = store.key(Database(0), name);
    store.set(&key, NewValue::Text(b"v"), Expiry::At(due)).expect("no limit");
}

fn set_field(store: &mut Store, name: &[u8], field: &[u8], due: Due) {
    let key = store.key(Database(0), name);
    store
        .edit::<Hash, _>(&key, 0, |hash| {
            hash.set(field, b"v");
            hash.expire(field, Some(due));
        })
        .expect("no limit");
}

fn has(store: &mut Store, name: &[u8]) -> bool {
    let key = store.key(Database(0), name);
    store.peek(&key).is_some()
}

fn has_field(store: &mut Store, name: &[u8], field: &[u8]) -> bool {
    let key = store.key(Database(0), name);
    store.view::<Hash>(&key).expect("a hash").is_some_and(|hash| hash.contains(field))
}

#[test]
fn who_asks_finds_spans_and_times_to_the_millisecond() {
    for step in STEPS {
        // When each goes, in milliseconds from the start: the time by a clock that was set after one.
        let time = u64::try_from(SPAN as i64 - step).unwrap_or(1).max(1);
        for (name, gone_after) in [(&b"span"[..], SPAN), (b"time", time)] {
            let mut store = store();
            set(&mut store, b"span", Due::after(SPAN, BEGUN));
            set(&mut store, b"time", Due::at(START.plus(SPAN)));
            set_field(&mut store, b"hash", b"span", Due::after(SPAN, BEGUN));
            set_field(&mut store, b"hash", b"time", Due::at(START.plus(SPAN)));
            if gone_after > 1 {
                store.begin_turn(then(gone_after - 1, step));
                assert!(has(&mut store, name), "{step}");
                assert!(has_field(&mut store, b"hash", name), "{step}");
            }
            store.begin_turn(then(gone_after, step));
            assert!(!has_field(&mut store, b"hash", name), "{step}");
            assert!(!has(&mut store, name), "{step}");
        }
    }
}

#[test]
fn each_wheel_frees_what_goes_by_its_clock_alone() {
    // Many fields and few: both forms of a hash.
    for fields in [3u32, 300] {
        for step in STEPS {
            let mut store = store();
            for clock in Clock::ALL {
                let due = Due::on(clock, START.plus(SPAN));
                for number in 0..1000u32 {
                    set(&mut store, format!("{clock:?}{number}").as_bytes(), due);
                }
                for field in 0..fields {
                    let field = [clock as u8, field as u8, (field >> 8) as u8];
                    set_field(&mut store, b"hash", &field, due);
                }
            }
            work_all(&mut store);
            let left = |store: &Store| (store.len(Database(0)), store.stats().expired_fields);
            assert_eq!(left(&store), (2001, 0));
            // Set at once. One turn takes out what is due by then, and nothing else.
            store.begin_turn(then(1, step));
            work_all(&mut store);
            let (keys, gone) = if step > 0 { (1001, u64::from(fields)) } else { (2001, 0) };
            assert_eq!(left(&store), (keys, gone), "{step}");
            store.begin_turn(then(SPAN - 1, step));
            work_all(&mut store);
            assert_eq!(left(&store), (keys, gone), "{step}");
            // The spans end.
            store.begin_turn(then(SPAN + TICK, step));
            work_all(&mut store);
            let times_stay = step < 0;
            let (keys, gone) = if times_stay { (1001, fields) } else { (0, fields * 2) };
            assert_eq!(left(&store), (keys, u64::from(gone)), "{step}");
            assert_eq!(store.expires(Database(0)), if times_stay { 1000 } else { 0 });
            // And at last the times.
            store.begin_turn(then(SPAN + TICK + step.unsigned_abs(), step));
            work_all(&mut store);
            assert_eq!(left(&store), (0, u64::from(fields * 2)), "{step}");
            assert_eq!(store.next_due_ms(), None);
        }
    }
}

#[test]
fn an_expiry_that_goes_over_to_the_other_clock_goes_by_that_one() {
    let mut store = store();
    let key = store.key(Database(0), b"k");
    let (span, time) = (Due::after(SPAN, BEGUN), Due::at(START.plus(SPAN)));
    for (before, after) in [(span, time), (time, span)] {
        set(&mut store, b"k", before);
        assert!(store.set_expiry(&key, Some(after)));
        assert_eq!(store.expiry(&key), Some(Some(after)));
        set(&mut store, b"overwritten", before);
        set(&mut store, b"overwritten", after);
        let kept = store.key(Database(0), b"overwritten");
        store.set(&kept, NewValue::Text(b"w"), Expiry::Keep).expect("no limit");
        let goes_at_once = after.clock() == Clock::Wall;
        store.begin_turn(then(1, HOUR as i64));
        work_all(&mut store);
        assert_eq!(store.len(Database(0)), if goes_at_once { 0 } else { 2 });
        store.begin_turn(then(SPAN + TICK, 0));
        work_all(&mut store);
        assert_eq!(store.len(Database(0)), 0);
        store.begin_turn(then(0, 0));
    }
}

#[test]
fn the_average_and_the_choice_by_ttl_weigh_what_is_left() {
    let mut store = store();
    // After the step the times have 10 minutes left, the spans 70.
    for number in 0..100u32 {
        set(&mut store, format!("span{number}").as_bytes(), Due::after(SPAN + HOUR, BEGUN));
        set(&mut store, format!("time{number}").as_bytes(), Due::at(START.plus(SPAN + 2 * HOUR)));
    }
    store.begin_turn(then(0, 2 * HOUR as i64));
    assert_eq!(store.average_ttl_ms(Database(0)), SPAN + HOUR / 2);
    let limits = ringlane_store::Limits {
        bytes_max: None,
        entries_max: Some(200),
        policy: Policy::VolatileTtl,
    };
    store.set_limits(limits);
    for number in 0..100u32 {
        let key = store.key(Database(0), format!("new{number}").as_bytes()).bytes.to_vec();
        let key = store.key(Database(0), &key);
        store.set(&key, NewValue::Text(b"v"), Expiry::Never).expect("others go");
    }
    let left = |store: &mut Store, kind: &str| {
        (0..100).filter(|at| has(store, format!("{kind}{at}").as_bytes())).count()
    };
    assert_eq!((left(&mut store, "span"), left(&mut store, "time")), (100, 0));
}

#[test]
fn a_copy_keeps_the_clock_that_its_original_goes_by() {
    let mut store = store();
    set(&mut store, b"span", Due::after(SPAN, BEGUN));
    set_field(&mut store, b"hash", b"f", Due::after(SPAN, BEGUN));
    let mut other = self::store();
    for name in [&b"span"[..], b"hash"] {
        let exported = store.export(&store.key(Database(0), name)).expect("it is there");
        let key = other.key(Database(0), name);
        other.import(&key, &exported).expect("no limit");
    }
    other.begin_turn(then(SPAN - 1, HOUR as i64));
    work_all(&mut other);
    assert!(has(&mut other, b"span") && has_field(&mut other, b"hash", b"f"));
    other.begin_turn(then(SPAN + TICK, -(HOUR as i64)));
    work_all(&mut other);
    assert_eq!(other.len(Database(0)), 0);
}
