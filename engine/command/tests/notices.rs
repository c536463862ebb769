//! What each command says of the keys that it changed, as Redis documents it:
//! <https://redis.io/docs/latest/develop/use/keyspace-notifications/>.

#![allow(clippy::unwrap_used)] // Here a panic is a failed test.

mod support;

use ringlane_store::NoticeClasses;
use support::{Lane, check_said};

fn check(rows: &[(&str, &str)]) {
    check_said(&mut Lane::default(), rows);
}

#[test]
fn strings() {
    check(&[
        ("SET k v", "set k"),
        ("SET k v EX 100", "set k,expire k"),
        ("SET k v XX KEEPTTL", "set k"),
        ("SET k v NX", ""),
        ("SETNX k v", ""),
        ("SETNX n v", "set n"),
        ("SETEX k 10 v", "set k,expire k"),
        ("PSETEX k 10000 v", "set k,expire k"),
        ("GETSET k 1", "set k"),
        ("APPEND k 2", "append k"),
        ("SETRANGE k 1 3", "setrange k"),
        ("SETRANGE k 1 \"\"", ""),
        ("SET c 5", "set c"),
        ("INCR c", "incrby c"),
        ("DECR c", "incrby c"),
        ("INCRBY c 4", "incrby c"),
        ("DECRBY c 4", "incrby c"),
        ("INCRBYFLOAT c 0.5", "incrbyfloat c"),
        ("INCR k2 x", ""),
        ("INCREX c BYFLOAT 0.5", "incrbyfloat c"),
        ("INCREX n2 BYINT 5 EX 100", "incrby n2,expire n2"),
        ("INCREX n2 EX 50 ENX", "incrby n2"),
        ("INCREX n2 PERSIST", "incrby n2,persist n2"),
        ("INCREX n2 PERSIST", "incrby n2"),
        ("INCREX n2 UBOUND 1 EX 5", ""),
        ("INCREX n2 EXAT 1", "del n2"),
        ("INCREX n2 EXAT 1", ""),
        ("MSET a 1 b 2", "set a,set b"),
        ("MSETNX a 1 z 2", ""),
        ("MSETNX x 1 y 2", "set x,set y"),
        ("GETEX a", ""),
        ("GETEX a EX 100", "expire a"),
        ("GETEX a PERSIST", "persist a"),
        ("GETEX a PERSIST", ""),
        ("GETEX a PXAT 1000", "del a"),
        ("GETDEL b", "del b"),
        ("GETDEL b", ""),
    ]);
}

#[test]
fn keys() {
    check(&[
        ("MSET a 1 b 2 c 3", "set a,set b,set c"),
        ("DEL a nosuch", "del a"),
        ("UNLINK b", "del b"),
        ("EXPIRE c 100", "expire c"),
        ("EXPIRE nosuch 100", ""),
        ("EXPIRE c 200 NX", ""),
        ("PERSIST c", "persist c"),
        ("PERSIST c", ""),
        ("PEXPIREAT c 1", "del c"),
        ("SET a 1", "set a"),
        ("RENAME a b", "rename_from a,rename_to b"),
        ("RENAME b b", ""),
        ("RENAMENX b c", "rename_from b,rename_to c"),
        ("COPY c d", "copy_to d"),
        ("COPY c d", ""),
        ("MOVE c 1", "move_from c,move_to c"),
        ("MOVE c 1", ""),
        ("DELIFEQ d 9", ""),
        ("DELIFEQ d 1", "del d"),
        ("TOUCH d", ""),
        ("FLUSHALL", ""),
    ]);
}

#[test]
fn each_notice_names_its_database() {
    let mut lane = Lane::default();
    lane.store.set_notice_mask(NoticeClasses::parse("Kg").unwrap());
    lane.run(&[b"SET", b"k", b"v"]);
    lane.run(&[b"MOVE", b"k", b"3"]);
    let databases: Vec<_> =
        lane.store.take_notices().iter().map(|notice| notice.database.0).collect();
    assert_eq!(databases, [0, 3]);
}

#[test]
fn bitmaps() {
    check(&[
        ("SETBIT k 3 1", "setbit k"),
        ("SETBIT k 3 1", ""),
        ("SETBIT k 100 0", "setbit k"),
        ("BITFIELD k INCRBY u8 0 1", "setbit k"),
        ("BITFIELD k GET u8 0", ""),
        ("BITFIELD k OVERFLOW FAIL INCRBY u8 0 500", ""),
        ("BITOP OR to k k", "set to"),
        ("BITOP AND to none", "del to"),
        ("BITOP AND to none", ""),
    ]);
}

#[test]
fn sketches() {
    check(&[
        ("PFADD k a b", "pfadd k"),
        ("PFADD k a", ""),
        ("PFCOUNT k", ""),
        ("PFMERGE to k", "pfadd to"),
    ]);
}
