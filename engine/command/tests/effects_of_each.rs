//! Every command that writes, once: it has effects, and they make the same in a second store. A row of
//! the table that writes and is not among these lines is a failure, so a new command cannot be forgotten.

#![allow(clippy::unwrap_used)] // Here a panic is a failed test.

mod support;

use std::collections::BTreeSet;

use ringlane_base::Database;
use ringlane_command::spec::{Access, Group};
use ringlane_command::{Run, table};
use ringlane_store::{Budget, Recorder};
use support::{Lane, elements, words};

/// What must be there first, commands parted by semicolons, and the command. Where it is there twice,
/// the second is of a large collection or of another option.
const LINES: &[(&str, &str)] = &[
    // Strings.
    ("", "APPEND s more"),
    ("SET s 12", "APPEND s more"),
    ("SET s 12", "DECR s"),
    ("", "DECRBY s 5"),
    ("SET s v", "DELEX s IFEQ v"),
    ("SET s v", "DELIFEQ s v"),
    ("SET s v", "GETDEL s"),
    ("SET s v", "GETEX s PX 500"),
    ("SET s v PX 500", "GETEX s PERSIST"),
    ("SET s v", "GETSET s w"),
    ("", "INCR s"),
    ("SET s 5 PX 500", "INCRBY s 7"),
    ("SET s 5 PX 500", "INCRBYFLOAT s 0.5"),
    ("SET s 5 PX 500", "INCREX s BYINT 7 PERSIST"),
    ("SET s 5", "INCREX s BYFLOAT 0.5 EX 5"),
    ("SET s 5 PX 500", "INCREX s UBOUND 3 SATURATE PX 700 ENX"),
    ("SET a 1 PX 500", "MSET a 2 b 3"),
    ("SET a 1 PX 500", "MSETEX 2 a 2 b 3 KEEPTTL"),
    ("", "MSETEX 2 a 2 b 3 NX PX 700"),
    ("", "MSETNX a 2 b 3"),
    ("", "PSETEX s 500 v"),
    ("RPUSH s a", "SET s v"),
    ("SET s 1 PX 500", "SET s 2 KEEPTTL"),
    ("SET s v", "SET s w IFNE x EXAT 1700000009"),
    ("", "SETEX s 5 v"),
    ("", "SETNX s v"),
    ("SET s hello", "SETRANGE s 3 xyz"),
    ("", "SETRANGE s 30000 xyz"),
    // Bitmaps and sketches.
    ("", "BITFIELD s SET u8 16 200 INCRBY i5 3 -2"),
    ("SET a abc;SET b abd", "BITOP XOR c a b"),
    ("SET a abc;SET c x", "BITOP AND c a none"),
    ("", "SETBIT s 77 1"),
    ("", "PFADD p a b c"),
    ("PFADD p a b c", "PFADD p d"),
    ("PFADD p a;PFADD q b", "PFMERGE r p q"),
    // Keys.
    ("SET a v PX 500", "COPY a b"),
    ("ZADD a 1 m;SET b x", "COPY a b DB 1 REPLACE"),
    ("SET a v;RPUSH b 1", "DEL a b none"),
    ("SET a v", "EXPIRE a 5"),
    ("SET a v", "EXPIRE a -5"),
    ("SET a v", "EXPIREAT a 1700000009"),
    ("SET a v PX 500", "PEXPIRE a 700 GT"),
    ("SET a v", "PEXPIREAT a 1700000009000"),
    ("SET a v PX 500", "PERSIST a"),
    ("HSET a f v", "MOVE a 1"),
    ("XADD a 1-1 f v;SET b x", "RENAME a b"),
    ("SADD a m", "RENAMENX a b"),
    ("RPUSH a 3 1 2", "SORT a STORE b"),
    ("SET a v;RPUSH b 1", "UNLINK a b none"),
    ("SET a v", "FLUSHALL"),
    ("SET a v", "FLUSHDB"),
    ("SET a v", "SWAPDB 0 1"),
    // Hashes.
    ("HSET h f v g w", "HDEL h f none"),
    ("HSET h f v", "HDEL h f"),
    ("HSET h f v", "HEXPIRE h 5 FIELDS 2 f none"),
    ("HSET h f v", "HEXPIREAT h 1700000009 FIELDS 1 f"),
    ("HSET h f v g w", "HGETDEL h FIELDS 2 f none"),
    ("HSET h f v", "HGETEX h PX 500 FIELDS 1 f"),
    ("HSET h f 5", "HINCRBY h f 7"),
    ("", "HINCRBYFLOAT h f 0.5"),
    ("", "HMSET h f v g w"),
    ("HSET h f v;HPEXPIRE h 500 FIELDS 1 f", "HPERSIST h FIELDS 1 f"),
    ("HSET h f v", "HPEXPIRE h 500 FIELDS 1 f"),
    ("HSET h f v", "HPEXPIRE h 0 FIELDS 1 f"),
    ("HSET h f v", "HPEXPIREAT h 1700000009000 FIELDS 1 f"),
    ("HSET h f v", "HSET h f w g x"),
    ("HSET h a 1 b 2 c 3 d 4", "HSET h e 5"),
    ("HSET h f v", "HSETEX h FXX PX 500 FIELDS 1 f w"),
    ("HSET h f v", "HSETNX h g w"),
    // Lists.
    ("RPUSH l a b", "BLMOVE l k LEFT RIGHT 0"),
    ("RPUSH l a b c", "BLMPOP 0 2 none l RIGHT COUNT 2"),
    ("RPUSH l a b", "BLPOP none l 0"),
    ("RPUSH l a b", "BRPOP none l 0"),
    ("RPUSH l a b", "BRPOPLPUSH l k 0"),
    ("RPUSH l a b", "LINSERT l BEFORE b x"),
    ("RPUSH l a b", "LMOVE l l LEFT RIGHT"),
    ("RPUSH l a b c", "LMPOP 1 l LEFT COUNT 2"),
    ("RPUSH l a b c", "LPOP l 2"),
    ("", "LPUSH l a b c d e"),
    ("RPUSH l a", "LPUSHX l b"),
    ("RPUSH l a b a c a", "LREM l -2 a"),
    ("RPUSH l a b c d e", "LSET l 2 x"),
    ("RPUSH l a b c d e", "LTRIM l 1 2"),
    ("RPUSH l a", "RPOP l"),
    ("RPUSH l a b", "RPOPLPUSH l k"),
    ("RPUSH l a b c", "RPUSH l d e"),
    ("RPUSH l a", "RPUSHX l b"),
    // Sets.
    ("SADD e 1 2", "SADD e 3 word"),
    ("SADD e a b c d", "SADD e f"),
    ("SADD e a b;SADD f b", "SDIFFSTORE g e f"),
    ("SADD e a b;SADD f b c", "SINTERSTORE e e f"),
    ("SADD e a b;SADD f c", "SMOVE e f a"),
    ("SADD e a b c", "SPOP e 2"),
    ("SADD e a b c", "SREM e a none"),
    ("SADD e a b;SADD f c 1", "SUNIONSTORE g e f"),
    // Sorted sets and places.
    ("ZADD z 1 a 2 b 3 c", "BZMPOP 0 2 none z MIN COUNT 2"),
    ("ZADD z 1 a 2 b", "BZPOPMAX none z 0"),
    ("ZADD z 1 a 2 b", "BZPOPMIN none z 0"),
    ("ZADD z 1 a 2 b", "ZADD z 3 a 4 c 5 d 6 e"),
    ("ZADD z 1 a 2 b", "ZADD z INCR 5 a"),
    ("ZADD z 1 a 2 b;ZADD y 1 a", "ZDIFFSTORE x 2 z y"),
    ("ZADD z 1 a", "ZINCRBY z 2 a"),
    ("ZADD z 1 a 2 b;ZADD y 1 a", "ZINTERSTORE z 2 z y WEIGHTS 2 3"),
    ("ZADD z 1 a 2 b 3 c", "ZMPOP 1 z MAX COUNT 2"),
    ("ZADD z 1 a 2 b 3 c", "ZPOPMAX z 2"),
    ("ZADD z 1 a", "ZPOPMIN z"),
    ("ZADD z 1 a 2 b 3 c", "ZRANGESTORE y z 1 2"),
    ("ZADD z 1 a 2 b", "ZREM z a none"),
    ("ZADD z 0 a 0 b 0 c", "ZREMRANGEBYLEX z [a (c"),
    ("ZADD z 1 a 2 b 3 c", "ZREMRANGEBYRANK z 0 1"),
    ("ZADD z 1 a 2 b 3 c", "ZREMRANGEBYSCORE z (1 +inf"),
    ("ZADD z 1 a 2 b;SADD e a", "ZUNIONSTORE y 2 z e AGGREGATE MAX"),
    ("ZADD z 1 a 2 b;SADD e a", "ZUNIONSTORE y 2 z e AGGREGATE COUNT"),
    ("", "GEOADD g 13.36 38.11 Palermo 15.08 37.50 Catania"),
    ("GEOADD g 13.36 38.11 Palermo", "GEORADIUS g 15 37 200 km STORE z"),
    ("GEOADD g 13.36 38.11 Palermo", "GEORADIUSBYMEMBER g Palermo 9 km STOREDIST z"),
    ("GEOADD g 13.36 38.11 Palermo", "GEOSEARCHSTORE z g FROMLONLAT 15 37 BYRADIUS 200 km"),
    // Streams.
    (GIVEN, "XACK x g 1-1 9-9"),
    (GIVEN, "XACKDEL x g DELREF IDS 2 1-1 2-1"),
    (GIVEN, "XADD x MAXLEN 2 DELREF 5-1 f v"),
    (GIVEN, "XADD x NOMKSTREAM * f v g w"),
    (GIVEN, "XAUTOCLAIM x g bob 0 -"),
    (GIVEN, "XCLAIM x g bob 0 1-1 3-1 FORCE IDLE 90 RETRYCOUNT 7"),
    (GIVEN, "XDEL x 1-1 9-9"),
    (GIVEN, "XDELEX x DELREF IDS 1 1-1"),
    (GIVEN, "XREADGROUP GROUP g bob COUNT 1 STREAMS x >"),
    (GIVEN, "XREADGROUP GROUP g bob CLAIM 0 STREAMS x >"),
    (GIVEN, "XREADGROUP GROUP g alice STREAMS x 0"),
    (GIVEN, "XSETID x 9-9 ENTRIESADDED 20 MAXDELETEDID 2-1"),
    (GIVEN, "XTRIM x MINID 2-1"),
    ("", "XGROUP CREATE x g $ MKSTREAM"),
    (GIVEN, "XGROUP CREATECONSUMER x g bob"),
    (GIVEN, "XGROUP DELCONSUMER x g alice"),
    (GIVEN, "XGROUP DESTROY x g"),
    (GIVEN, "XGROUP SETID x g 1-1 ENTRIESREAD 1"),
];

/// A stream with a group, one of whose consumers has two of the entries pending.
const GIVEN: &str = "XADD x 1-1 f a;XADD x 2-1 f b;XADD x 3-1 f c;XADD x 4-1 f d;\
                     XGROUP CREATE x g 0;XREADGROUP GROUP g alice COUNT 2 STREAMS x >";

/// A lane, and a second one that follows it by its effects alone.
struct Followed {
    lane: Lane,
    copy: Lane,
    recorder: Recorder,
}

impl Followed {
    /// With collections that are large from this many elements on.
    fn with(elements: usize) -> Self {
        let (mut lane, mut copy) = (Lane::default(), Lane::default());
        for store in [&mut lane.store, &mut copy.store] {
            let mut limits = *store.pack_limits();
            limits.hash_max_listpack_entries = elements;
            limits.set_max_listpack_entries = elements;
            limits.set_max_intset_entries = elements;
            limits.zset_max_listpack_entries = elements;
            limits.list_max_listpack_size = i32::try_from(elements).unwrap();
            store.set_pack_limits(limits);
        }
        let recorder = Recorder::attach(&mut lane.store);
        Self { lane, copy, recorder }
    }

    /// How many effects it had.
    fn run(&mut self, args: &[&[u8]]) -> usize {
        self.lane.run(args);
        let effects = self.recorder.take();
        for effect in &effects {
            self.copy.store.apply(effect).unwrap();
        }
        effects.len()
    }

    fn say(&mut self, line: &str) -> usize {
        let words = words(line);
        self.run(&words.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    fn assert_equal(&mut self, case: &str) {
        assert_eq!(all(&mut self.lane), all(&mut self.copy), "{case}");
    }
}

/// All that there is, in an order that does not depend on how it is stored.
fn all(lane: &mut Lane) -> Vec<String> {
    let mut lines = Vec::new();
    for database in 0..2 {
        lane.database = Database(database);
        for key in elements(lane, "KEYS *") {
            let key = String::from_utf8(key).unwrap();
            let kind = lane.say(&format!("TYPE {key}"));
            let (read, unordered) = match &kind[1..] {
                "string" => (format!("GET {key}"), false),
                "list" => (format!("LRANGE {key} 0 -1"), false),
                "hash" => (format!("HGETALL {key}"), true),
                "set" => (format!("SMEMBERS {key}"), true),
                "zset" => (format!("ZRANGE {key} 0 -1 WITHSCORES"), false),
                "stream" => (format!("XINFO STREAM {key} FULL COUNT 0"), false),
                other => panic!("{other}"),
            };
            let mut held = lane.say(&read);
            if unordered {
                let mut held_words = elements(lane, &read);
                held_words.sort();
                held = format!("{held_words:?}");
            }
            let times = match &kind[1..] {
                "hash" => lane.say(&format!("HPEXPIRETIME {key} FIELDS 4 f g h e")),
                _ => String::new(),
            };
            let expiry = lane.say(&format!("PEXPIRETIME {key}"));
            lines.push(format!("{database} {key} {kind} {expiry} {held} {times}"));
        }
    }
    lane.database = Database(0);
    lines.sort();
    lines
}

#[test]
fn every_writing_command_has_effects_that_make_the_same() {
    let mut tried = BTreeSet::new();
    for elements in [128, 3] {
        for (before, line) in LINES {
            let mut followed = Followed::with(elements);
            for command in before.split(';').filter(|command| !command.is_empty()) {
                followed.say(command);
            }
            let effects = followed.say(line);
            assert!(effects > 0, "{line} behind {before:?} has no effect");
            followed.assert_equal(line);
            let words = words(line);
            let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            tried.insert(table::resolve(&args).unwrap().name);
        }
        // What is restored is what was serialised; its bytes are no line.
        let mut followed = Followed::with(elements);
        followed.say("ZADD z 1 a 2 b 3 c 4 d");
        let restore: [&[u8]; 4] = [b"RESTORE", b"y", b"500", &dumped(&mut followed.lane, "z")];
        assert!(followed.run(&restore) > 0);
        followed.assert_equal("RESTORE");
        tried.insert("restore");
    }
    let writing = table::all_with_subcommands()
        // Scripts and libraries are not in a store; what scripts do is what these commands do.
        .filter(|spec| spec.access == Access::Write && spec.group != Group::Scripting)
        .filter(|spec| matches!(spec.run, Run::Store(_)));
    let names: BTreeSet<_> = writing.map(|spec| spec.name).collect();
    assert!(names.len() > 100, "{names:?}");
    let untried: Vec<_> = names.difference(&tried).collect();
    assert!(untried.is_empty(), "{untried:?} write: give each a line in LINES");
    let surplus: Vec<_> = tried.difference(&names).collect();
    assert!(surplus.is_empty(), "{surplus:?} have lines in LINES but no row that writes");
}

/// What DUMP answers.
fn dumped(lane: &mut Lane, key: &str) -> Vec<u8> {
    let reply = lane.run(&[b"DUMP", key.as_bytes()]);
    let start = reply.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    reply[start..reply.len() - 2].to_vec()
}

/// What time takes is told as well: keys, fields, and who waits no longer.
#[test]
fn what_expires_is_gone_from_both() {
    let mut followed = Followed::with(128);
    for line in [
        "SET s v PX 100",
        "HSET h f v g w",
        "HPEXPIRE h 100 FIELDS 1 f",
        "HSET gone f v",
        "HPEXPIRE gone 100 FIELDS 1 f",
        "ZADD z 1 m",
        "PEXPIRE z 100",
    ] {
        assert!(followed.say(line) > 0, "{line}");
    }
    followed.lane.wait(200);
    let now = followed.lane.store.now();
    followed.copy.store.begin_turn(now);
    followed.say("GET s");
    while followed.lane.store.work(Budget { units: 10 }).more {}
    assert_eq!(followed.lane.say("KEYS *"), "[\"h\"]");
    assert_eq!(followed.lane.say("HKEYS h"), "[\"g\"]");
    // What upkeep took is told with the next command.
    followed.say("DBSIZE");
    followed.assert_equal("after a while");
}
