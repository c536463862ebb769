//! The effects of random commands, with expiry, applied to a second store: equal at every point.

#![allow(clippy::unwrap_used)] // Here a panic is a failed test.

mod support;

use ringlane_base::{Database, Due, HashSeed, Now, SLOT_COUNT};
use ringlane_store::types::{Hash, List, Set, SortedSet};
use ringlane_store::{
    Budget, CollectionType, Exported, Limits, Options, OwnedCollection, OwnedValue, PackLimits,
    Policy, Recorder, Stats, Store, TypeName,
};
use support::{Lane, NOW, words};

const DATABASES: u8 = 3;
const KEYS: [&str; 8] = ["a", "b", "c", "d", "{a}1", "{a}2", "\"\"", "long:key:with:a:name"];

fn follower() -> Store {
    let mut store = Store::new(Options {
        hash_seed: HashSeed(7),
        random_seed: 5,
        databases: 16,
        slots: 0..SLOT_COUNT as u16,
    });
    store.begin_turn(Now::both(NOW));
    store
}

/// A line that mostly succeeds; every family of writing commands is among them.
fn random_line(random: &mut fastrand::Rng) -> String {
    let mut key = || KEYS[random.usize(..KEYS.len())];
    let (k, l) = (key(), key());
    let number = random.i32(-50..200);
    let big = "x".repeat(random.usize(..40_000));
    let at = NOW.0 + random.u64(..40_000);
    if random.u8(..4) == 0 {
        return list_line(random, k, l);
    }
    match random.u8(..60) {
        0 | 1 => format!("SET {k} {number}"),
        2 => format!("SET {k} value-{number} PX {}", random.u32(1..30_000)),
        3 => format!("SET {k} {l} NX GET EXAT {}", at / 1000),
        4 => format!("SET {k} {number} KEEPTTL"),
        5 => format!("SET {k} x IFEQ {number}"),
        6 => format!("SET {k} x{big}"),
        7 => format!("APPEND {k} {number}"),
        8 => format!("APPEND {k} y{big}"),
        9 => format!("SETRANGE {k} {} {number}", random.u32(..50)),
        10 => format!("INCR {k}"),
        11 => format!("DECRBY {k} {number}"),
        12 => format!("INCRBYFLOAT {k} {number}.25"),
        13 => format!("GETDEL {k}"),
        14 => format!("GETEX {k} PX {}", random.u32(1..30_000)),
        15 => format!("GETEX {k} PERSIST"),
        16 => format!("GETSET {k} {l}"),
        17 => format!("MSET {k} 1 {l} {number} c {number}"),
        18 => format!("MSETNX {k} 1 {l} 2"),
        19 => format!("SETEX {k} 9 {number}"),
        20 => format!("SETNX {k} {number}"),
        21 => format!("DEL {k} {l}"),
        22 => format!("UNLINK {k}"),
        23 => format!("DELIFEQ {k} {number}"),
        24 => format!("EXPIRE {k} {} {}", number / 10, ["NX", "XX", "GT", "LT"][random.usize(..4)]),
        25 => format!("PEXPIREAT {k} {at}"),
        26 => format!("PERSIST {k}"),
        27 => format!("RENAME {k} {l}"),
        28 => format!("RENAMENX {k} {l}"),
        29 => format!("COPY {k} {l} DB {} REPLACE", random.u8(..DATABASES)),
        30 => format!("MOVE {k} {}", random.u8(..DATABASES)),
        31 => format!("SELECT {}", random.u8(..DATABASES)),
        32 if random.u8(..8) == 0 => ["FLUSHDB", "FLUSHALL"][random.usize(..2)].to_owned(),
        32 => format!("SWAPDB {} {}", random.u8(..DATABASES), random.u8(..DATABASES)),
        33 => format!("SETBIT {k} {} {}", random.u32(..400), random.u8(..2)),
        34 => format!("BITOP {} {k} {l} c", ["AND", "OR", "XOR", "ONE"][random.usize(..4)]),
        35 => format!("BITFIELD {k} SET u{} {} {number}", number.rem_euclid(60) + 1, number.abs()),
        36 => format!("PFADD {k} {number} {l}"),
        37 => format!("PFMERGE {k} {l}"),
        38 => format!("PFCOUNT {k}"),
        39 | 40 => format!("ZADD {k} {number} m{} {number}.5 n{}", number % 7, number % 20),
        41 => format!(
            "ZADD {k} {} {number} m{}",
            ["NX", "XX", "GT", "LT"][number.rem_euclid(4) as usize],
            number % 7
        ),
        42 => format!("ZINCRBY {k} 0.5 m{}", number % 7),
        43 => format!("ZREM {k} m{} n{}", number % 7, number % 20),
        44 => format!("ZPOPMIN {k}"),
        45 => format!("ZMPOP 2 {k} {l} MAX COUNT 2"),
        46 => format!("ZREMRANGEBYSCORE {k} {number} (60"),
        47 => format!("ZRANGESTORE {k} {l} 1 20"),
        48 => format!("ZUNIONSTORE {k} 2 {k} {l}"),
        49 => format!("ZDIFFSTORE {k} 2 {k} {l}"),
        50 => format!("GEOADD {k} {}.5 {} place{}", number % 180, number % 80, number % 7),
        51 => format!("GEOSEARCHSTORE {k} {l} FROMLONLAT 10 10 BYRADIUS 5000 km"),
        52 => format!("DEL {k}"),
        53 => format!("GET {k}"),
        54..57 => hash_line(random, k),
        _ => set_line(random, k, l),
    }
}

fn hash_line(random: &mut fastrand::Rng, key: &str) -> String {
    let (field, number) = (random.u8(..12), random.i32(-50..200));
    let wait = random.u32(..6_000);
    match random.u8(..12) {
        0..3 => format!("HSET {key} f{field} {number} g{number} x"),
        3 => format!("HSETEX {key} PX {wait} FIELDS 2 f{field} {number} e{number} y"),
        4 => format!("HSETEX {key} KEEPTTL FIELDS 1 f{field} {number}"),
        5 => format!("HPEXPIRE {key} {wait} FIELDS 2 f{field} g{number}"),
        6 => format!("HPERSIST {key} FIELDS 1 f{field}"),
        7 => format!("HINCRBY {key} f{field} {number}"),
        8 => format!("HINCRBYFLOAT {key} f{field} 0.5"),
        9 => format!("HGETDEL {key} FIELDS 2 f{field} f{number}"),
        10 => format!("HGETEX {key} PX {wait} FIELDS 1 f{field}"),
        _ => format!("HDEL {key} f{field} g{number}"),
    }
}

fn set_line(random: &mut fastrand::Rng, key: &str, other: &str) -> String {
    let (member, number) = (random.u8(..12), random.i32(-50..200));
    match random.u8(..12) {
        0..3 => format!("SADD {key} m{member} {number} {member}"),
        3 => format!("SADD {key} {number} {member}"),
        4 => format!("SREM {key} m{member} {number}"),
        5 => format!("SPOP {key}"),
        6 => format!("SPOP {key} {}", member / 2),
        7 => format!("SMOVE {key} {other} {member}"),
        8 => format!("SUNIONSTORE {key} {key} {other}"),
        9 => format!("SINTERSTORE c {key} {other}"),
        10 => format!("SDIFFSTORE {other} {other} {key}"),
        _ => format!("SADD {other} {number} m{member}"),
    }
}

/// The same of lists, which are long enough at times not to be one block.
fn list_line(random: &mut fastrand::Rng, k: &str, l: &str) -> String {
    let small = random.u8(..5);
    let long = "y".repeat(random.usize(..3_000));
    let ends = ["LEFT", "RIGHT"];
    let (from, to) = (ends[random.usize(..2)], ends[random.usize(..2)]);
    match random.u8(..20) {
        0..4 => format!("RPUSH {k} {small} {long} e{small}"),
        4..6 => format!("LPUSH {k} e{long} {small}"),
        6 => format!("LPUSHX {k} {small} {small}"),
        7 => format!("LPOP {k} {small}"),
        8 => format!("RPOP {k}"),
        9 => format!("LSET {k} {small} {long}"),
        10 => format!("LINSERT {k} AFTER {small} {long}"),
        11 => format!("LREM {k} {} {small}", random.i8(-2..3)),
        12 => format!("LTRIM {k} {small} -{}", small + 1),
        13 => format!("LMOVE {k} {l} {from} {to}"),
        14 => format!("RPOPLPUSH {k} {l}"),
        15 => format!("LMPOP 2 {k} {l} {from} COUNT {}", small + 1),
        16 => format!("BLPOP {k} {l} 0.1"),
        17 => format!("BLMOVE {k} {l} {from} {to} 0.1"),
        18 => format!("SORT {k} ALPHA LIMIT 0 5 STORE {l}"),
        _ => format!("SORT {k} BY nosort GET # GET {k}* STORE {l}"),
    }
}

/// The value as a client sees it: `12` may be stored as a number or, when APPEND made it, as text.
fn as_text(exported: Exported, now: Now) -> (Vec<u8>, Option<Due>) {
    let text = match exported.value {
        OwnedValue::Text(text) => text.into_vec(),
        OwnedValue::Integer(integer) => integer.to_string().into_bytes(),
        OwnedValue::Blob(blob) => blob.to_vec(),
        OwnedValue::Collection(collection) => members_of(&collection, now).into_bytes(),
    };
    (text, exported.expiry)
}

/// All that a collection holds, in an order that does not depend on how it is stored.
fn members_of(collection: &OwnedCollection, now: Now) -> String {
    let body = collection.view().body;
    let mut members: Vec<String> = match collection.type_name {
        TypeName::SortedSet => SortedSet::view(body, now)
            .iter()
            .map(|(member, score)| format!("{:?} {score}", member.to_vec()))
            .collect(),
        TypeName::Hash => Hash::view(body, now)
            .fields()
            .map(|of| format!("{:?} {:?} {:?}", of.field.to_vec(), of.value.to_vec(), of.expiry))
            .collect(),
        TypeName::Set => {
            Set::view(body, now).iter().map(|member| format!("{:?}", member.to_vec())).collect()
        }
        TypeName::List => {
            let list = List::view(body, now);
            return format!("{:?}", list.iter().map(|item| item.to_vec()).collect::<Vec<_>>());
        }
        TypeName::String | TypeName::Stream => panic!("none is made here"),
    };
    members.sort();
    format!("{:?} {members:?}", collection.type_name)
}

fn assert_equal(leader: &mut Store, follower: &mut Store, context: &str) {
    for database in (0..DATABASES).map(Database) {
        for name in KEYS {
            let name = &words(name)[0];
            let key = leader.key(database, name);
            assert_eq!(
                leader.export(&key).map(|exported| as_text(exported, leader.now())),
                follower.export(&key).map(|exported| as_text(exported, follower.now())),
                "{context}: key {:?} of database {database:?}",
                name.escape_ascii().to_string()
            );
        }
        assert_eq!(leader.len(database), follower.len(database), "{context}");
        assert_eq!(leader.expires(database), follower.expires(database), "{context}");
    }
}

/// Runs a workload and applies its effects after every command. Returns what the leader counted.
fn replay(seed: u64, limits: Limits) -> Stats {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut lane = Lane::default();
    lane.store.set_limits(limits);
    let recorder = Recorder::attach(&mut lane.store);
    let mut copy = follower();
    // Collections of both forms.
    let packed = PackLimits {
        zset_max_listpack_entries: 6,
        list_max_listpack_size: -1,
        hash_max_listpack_entries: 6,
        set_max_listpack_entries: 6,
        set_max_intset_entries: 6,
        ..PackLimits::default()
    };
    lane.store.set_pack_limits(packed);
    copy.set_pack_limits(packed);
    let mut applied = 0;
    let mut apply = |copy: &mut Store| {
        for effect in recorder.take() {
            copy.apply(&effect).expect("no limit is set");
            applied += 1;
        }
    };
    for step in 0..3_000 {
        let command = random_line(&mut random);
        if random.u8(..4) == 0 {
            lane.wait(random.u64(..1_500));
            copy.begin_turn(lane.store.now());
        }
        if random.u8(..50) == 0 {
            // Somebody sets the clock, far and a little, back and ahead.
            lane.set_clock([0, 3_600_000, -3_600_000, 7_000, -7_000][random.usize(..5)]);
            copy.begin_turn(lane.store.now());
        }
        if random.u8(..8) == 0 {
            lane.store.work(Budget { units: random.u32(1..100) });
        }
        lane.say(&command);
        apply(&mut copy);
        let case = format!("seed {seed}, {limits:?}, step {step}: {command}");
        assert_equal(&mut lane.store, &mut copy, &case);
        // Comparing may have expired keys on both sides: what is gone twice is gone.
        apply(&mut copy);
    }
    assert!(applied > 300, "the workload writes: {applied} effects");
    *lane.store.stats()
}

#[test]
fn effects_make_the_same_store() {
    for seed in 1..=12 {
        let stats = replay(seed, Limits::default());
        assert!(stats.expired > 0 && stats.evicted == 0, "{stats:?}");
    }
}

#[test]
fn effects_make_the_same_store_while_keys_are_evicted() {
    for (seed, policy) in (100..).zip(Policy::ALL) {
        let limits = Limits { entries_max: Some(9), bytes_max: None, policy };
        let stats = replay(seed, limits);
        let may_evict = policy != Policy::NoEviction;
        assert_eq!(stats.evicted > 0, may_evict, "{policy:?}: {stats:?}");
    }
}

#[test]
fn reading_and_refused_commands_have_no_effect() {
    let mut lane = Lane::default();
    lane.say("MSET a 1 b x");
    lane.say("SET e v EX 100");
    lane.say("ZADD z 1 m 2 n");
    let recorder = Recorder::attach(&mut lane.store);
    for line in [
        "GET a",
        "MGET a b none",
        "GETEX e",
        "GETEX a PERSIST",
        "INCR b",
        "INCRBYFLOAT b 1",
        "SET a 2 NX",
        "SET a 2 IFEQ 3",
        "SET a 2 EX 0",
        "SETNX a 1",
        "MSETNX n 1 a 2",
        "SETRANGE a 0 \"\"",
        "DEL none",
        "GETDEL none",
        "DELIFEQ a 2",
        "PERSIST a",
        "EXPIRE none 1",
        "EXPIRE e 50 GT",
        "RENAME none a",
        "RENAME a a",
        "RENAMENX a b",
        "COPY a b",
        "MOVE none 1",
        "SWAPDB 1 1",
        "TOUCH a",
        "TYPE a",
        "OBJECT ENCODING a",
        "SCAN 0",
        "KEYS *",
        "RANDOMKEY",
        "DBSIZE",
        "LCS a b",
        "LRANGE a 0 1",
        "LPUSHX none x",
        "LPOP none",
        "BLPOP none 1",
        "SORT none",
        "SORT none STORE nowhere",
        "TTL e",
        "ZADD z 1 m",
        "ZADD z NX 9 m",
        "ZADD z XX 9 new",
        "ZADD z GT 0 m",
        "ZADD z 5 m x n",
        "ZADD z INCR nan m",
        "ZINCRBY z 0 m",
        "ZREM z none",
        "ZREMRANGEBYRANK z 5 9",
        "ZPOPMIN z 0",
        "ZPOPMIN none",
        "ZMPOP 1 none MIN",
        "ZUNIONSTORE none 1 none",
        "ZRANGE z 0 -1",
        "ZUNION 1 z",
        "GEOADD z XX 1 1 new",
    ] {
        lane.say(line);
        let effects = recorder.take();
        assert!(effects.is_empty(), "{line}: {effects:?}");
    }
    // The sink does listen.
    lane.say("SET a 2");
    assert_eq!(recorder.take().len(), 1);
}
