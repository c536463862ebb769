//! Strings through the table: whole, in parts, as numbers, as bits, as estimates; options that contradict, edge
//! cases, error texts.

#![allow(clippy::unwrap_used)] // Here a panic is a failed test.

mod support;

use support::{Lane, run_on, script};

#[test]
fn set_and_get() {
    script(
        r#"
        GET k => nil
        SET k v => +OK
        get k => "v"
        SET k 12 => +OK
        GET k => "12"
        SET k -0 => +OK
        GET k => "-0"
        SET k "" => +OK
        GET k => ""
        SET "" empty => +OK
        GET "" => "empty"
        SET k "\x00\x0d\x0a" => +OK
        GET k => "\x00\r\n"
        SET k => -ERR wrong number of arguments for 'set' command
        GET => -ERR wrong number of arguments for 'get' command
        GET a b => -ERR wrong number of arguments for 'get' command
        STRLEN k => :3
        STRLEN none => :0
        SET n -9223372036854775808 => +OK
        STRLEN n => :20
        "#,
    );
}

#[test]
fn set_options() {
    script(
        r#"
        SET k v XX => nil
        SET k v NX => +OK
        SET k w NX => nil
        SET k w XX => +OK
        SET k x GET => "w"
        SET k y NX GET => "x"
        GET k => "x"
        SET n y NX GET => nil
        GET n => "y"
        SET m y XX GET => nil
        GET m => nil
        SET k v NX XX => -ERR syntax error
        SET k v XX NX => -ERR syntax error
        SET k v NX nx => nil
        SET k v FOO => -ERR syntax error
        SET k v PERSIST => -ERR syntax error
        SET k v EX => -ERR syntax error
        SET k v EX x => -ERR value is not an integer or out of range
        SET k v EX 0 => -ERR invalid expire time in 'set' command
        SET k v PX -1 => -ERR invalid expire time in 'set' command
        SET k v EX 9223372036854775807 => -ERR invalid expire time in 'set' command
        SET k v PX 9223372036854775807 => -ERR invalid expire time in 'set' command
        SET k v EX 9223372036854775 => -ERR invalid expire time in 'set' command
        SET k v EXAT 9223372036854775 => +OK
        SET k v EX 10 PX 10 => -ERR syntax error
        SET k v EX 10 KEEPTTL => -ERR syntax error
        SET k v KEEPTTL EXAT 10 => -ERR syntax error
        SET k v EX 10 EX 20 => +OK
        TTL k => :20
        SET k v KEEPTTL => +OK
        TTL k => :20
        SET k v => +OK
        TTL k => :-1
        SET k v PX 1500 => +OK
        PTTL k => :1500
        SET k v EXAT 1700000100 => +OK
        PTTL k => :100000
        SET k v PXAT 1700000000001 => +OK
        PTTL k => :1
        wait 1
        GET k => nil
        SET k v EXAT 1 => +OK
        GET k => nil
        SET k v KEEPTTL => +OK
        TTL k => :-1
        "#,
    );
}

#[test]
fn set_and_delete_if_equal() {
    script(
        r#"
        SET k v IFEQ v => nil
        GET k => nil
        SET k v => +OK
        SET k w IFEQ x => nil
        SET k w IFEQ v => +OK
        SET k 10 IFEQ w GET => "w"
        SET k 11 IFEQ 9 GET => "10"
        SET k 11 IFEQ 10 EX 5 => +OK
        TTL k => :5
        SET k x NX IFEQ 11 => -ERR syntax error
        SET k x IFEQ 11 XX => -ERR syntax error
        SET k x IFEQ => -ERR syntax error
        DELIFEQ k 12 => :0
        DELIFEQ none 12 => :0
        DELIFEQ k 11 => :1
        EXISTS k => :0
        DELIFEQ k => -ERR wrong number of arguments for 'delifeq' command
        "#,
    );
}

#[test]
fn other_ways_to_set_and_get() {
    script(
        r#"
        SETNX k v => :1
        SETNX k w => :0
        GETSET k x => "v"
        GETSET n x => nil
        SETEX k 10 v => +OK
        TTL k => :10
        PSETEX k 10 v => +OK
        PTTL k => :10
        SETEX k 0 v => -ERR invalid expire time in 'setex' command
        PSETEX k -5 v => -ERR invalid expire time in 'psetex' command
        SETEX k x v => -ERR value is not an integer or out of range
        GETSET k y => "v"
        TTL k => :-1
        GETDEL k => "y"
        GETDEL k => nil
        GETEX k => nil
        GETEX k EX 0 => nil
        GETEX k FOO => -ERR syntax error
        SET k v => +OK
        GETEX k => "v"
        GETEX k EX 10 => "v"
        TTL k => :10
        GETEX k => "v"
        TTL k => :10
        GETEX k PERSIST => "v"
        TTL k => :-1
        GETEX k PX 0 => -ERR invalid expire time in 'getex' command
        GETEX k EX 10 PERSIST => -ERR syntax error
        GETEX k KEEPTTL => -ERR syntax error
        GETEX k EX => -ERR syntax error
        GETEX k EXAT 1700000050 => "v"
        PTTL k => :50000
        GETEX k PXAT 1 => "v"
        GET k => nil
        MSET a 1 b 2 a 3 => +OK
        MGET a none b => ["3" nil "2"]
        MSET a => -ERR wrong number of arguments for 'mset' command
        MSET a 1 b => -ERR wrong number of arguments for 'mset' command
        MSETNX c 1 a 2 => :0
        GET c => nil
        MSETNX c 1 d 2 => :1
        MSETNX e 1 f => -ERR wrong number of arguments for 'msetnx' command
        MGET c d => ["1" "2"]
        "#,
    );
}

#[test]
fn parts_of_strings() {
    script(
        r#"
        APPEND k Hello => :5
        APPEND k " World" => :11
        APPEND k "" => :11
        GETRANGE k 0 4 => "Hello"
        GETRANGE k -5 -1 => "World"
        GETRANGE k 0 -1 => "Hello World"
        GETRANGE k 5 3 => ""
        GETRANGE k 20 30 => ""
        GETRANGE k -100 2 => "Hel"
        GETRANGE k -3 -5 => ""
        GETRANGE k -100 -50 => "H"
        GETRANGE k 0 9223372036854775807 => "Hello World"
        GETRANGE k -9223372036854775808 -1 => "Hello World"
        GETRANGE none 0 -1 => ""
        GETRANGE k a 1 => -ERR value is not an integer or out of range
        SUBSTR k 1 1 => "e"
        SETRANGE k 6 Redis => :11
        GET k => "Hello Redis"
        SETRANGE new 3 ab => :5
        GET new => "\x00\x00\x00ab"
        SETRANGE none 5 "" => :0
        EXISTS none => :0
        SETRANGE k 1 "" => :11
        SETRANGE k -1 x => -ERR offset is out of range
        SETRANGE k x x => -ERR value is not an integer or out of range
        SETRANGE k 536870912 x => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        SETRANGE k 9223372036854775807 x => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        SET n 1 => +OK
        APPEND n 2 => :2
        INCR n => :13
        APPEND n x => :3
        INCR n => -ERR value is not an integer or out of range
        SET e v EX 10 => +OK
        APPEND e w => :2
        SETRANGE e 0 x => :2
        TTL e => :10
        "#,
    );
}

#[test]
fn strings_stay_below_the_limit() {
    let mut lane = Lane::default();
    lane.limits.value_bytes_max = 8;
    run_on(
        &mut lane,
        r#"
        APPEND k 12345678 => :8
        APPEND k 9 => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        SETRANGE k 7 x => :8
        SETRANGE k 8 x => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        APPEND n 123456789 => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
        GET k => "1234567x"
        "#,
    );
}

#[test]
fn large_values_are_shared_and_whole() {
    let mut lane = Lane::default();
    let value = vec![b'x'; 20_000];
    assert_eq!(lane.run(&[b"SET", b"k", &value]), b"+OK\r\n");
    lane.check("STRLEN k", ":20000");
    lane.check("GETRANGE k 19998 -1", "\"xx\"");
    lane.check("INCR k", "-ERR value is not an integer or out of range");
    lane.check("APPEND k yz", ":20002");
    lane.check("GETRANGE k -3 -1", "\"xyz\"");
    lane.check("SETRANGE k 20001 abc", ":20004");
    lane.check("GETRANGE k -4 -1", "\"yabc\"");
    let answer = lane.run(&[b"SET", b"k", b"v", b"GET"]);
    assert_eq!(answer.len(), "$20004\r\n".len() + 20_004 + 2);
    assert_eq!(lane.run(&[b"SET", b"k", &value]), b"+OK\r\n");
    assert_eq!(lane.run(&[b"DELIFEQ", b"k", &value]), b":1\r\n");
}

#[test]
fn counting() {
    script(
        r#"
        INCR k => :1
        INCRBY k 41 => :42
        DECR k => :41
        DECRBY k 1 => :40
        DECRBY k -2 => :42
        INCRBY k x => -ERR value is not an integer or out of range
        INCRBY k 1.5 => -ERR value is not an integer or out of range
        INCRBY k 9223372036854775807 => -ERR increment or decrement would overflow
        DECRBY k -9223372036854775808 => -ERR decrement would overflow
        SET k 9223372036854775807 => +OK
        INCR k => -ERR increment or decrement would overflow
        GET k => "9223372036854775807"
        SET k -9223372036854775808 => +OK
        DECR k => -ERR increment or decrement would overflow
        SET k " 1" => +OK
        INCR k => -ERR value is not an integer or out of range
        SET k 1 EX 10 => +OK
        INCR k => :2
        TTL k => :10
        INCRBYFLOAT k 0.5 => "2.5"
        TTL k => :10
        INCR k => -ERR value is not an integer or out of range
        INCRBYFLOAT k 2.5 => "5"
        INCR k => :6
        INCRBYFLOAT new 3.0e3 => "3000"
        INCRBYFLOAT new x => -ERR value is not a valid float
        INCRBYFLOAT new nan => -ERR value is not a valid float
        INCRBYFLOAT new inf => -ERR increment would produce NaN or Infinity
        INCRBYFLOAT new 1e5000 => -ERR value is not a valid float
        GET new => "3000"
        SET k abc => +OK
        INCRBYFLOAT k 1 => -ERR value is not a valid float
        "#,
    );
}

#[test]
fn longest_common_subsequence() {
    script(
        r#"
        MSET a ohmytext b mynewtext => +OK
        LCS a b => "mytext"
        LCS a b LEN => :6
        LCS a b IDX => ["matches" [[[4 7] [5 8]] [[2 3] [0 1]]] "len" :6]
        LCS a b IDX MINMATCHLEN 4 => ["matches" [[[4 7] [5 8]]] "len" :6]
        LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN => ["matches" [[[4 7] [5 8] :4]] "len" :6]
        LCS a b IDX MINMATCHLEN -1 => ["matches" [[[4 7] [5 8]] [[2 3] [0 1]]] "len" :6]
        LCS a none => ""
        LCS none a IDX => ["matches" [] "len" :0]
        LCS none none LEN => :0
        LCS a a => "ohmytext"
        LCS a b LEN IDX => -ERR If you want both the length and indexes, please just use IDX.
        LCS a b MINMATCHLEN => -ERR syntax error
        LCS a b MINMATCHLEN x => -ERR value is not an integer or out of range
        LCS a b FOO => -ERR syntax error
        LCS a => -ERR wrong number of arguments for 'lcs' command
        "#
        .replace("[4 7]", "[:4 :7]")
        .replace("[5 8]", "[:5 :8]")
        .replace("[2 3]", "[:2 :3]")
        .replace("[0 1]", "[:0 :1]")
        .as_str(),
    );
    let mut lane = Lane::default();
    for (bytes, answer) in [(16_384, ":16384"), (16_385, "-ERR String too long for LCS")] {
        lane.run(&[b"SET", b"a", &vec![b'x'; bytes]]);
        lane.check("LCS a a LEN", answer);
    }
}

#[test]
fn bitmaps() {
    script(
        r#"
        SETBIT k 7 1 => :0
        SETBIT k 7 0 => :1
        SETBIT k 15 1 => :0
        GET k => "\x00\x01"
        GETBIT k 15 => :1
        GETBIT k 16 => :0
        GETBIT none 0 => :0
        SETBIT k 4294967295 2 => -ERR bit is not an integer or out of range
        SETBIT k 4294967296 1 => -ERR bit offset is not an integer or out of range
        SETBIT k -1 1 => -ERR bit offset is not an integer or out of range
        SETBIT k x 1 => -ERR bit offset is not an integer or out of range
        SETBIT far 4294967295 1 => :0
        STRLEN far => :536870912
        BITCOUNT far => :1
        BITPOS far 1 => :4294967295
        SETBIT far 4294967295 0 => :1
        DEL far => :1
        SET n 12 => +OK
        SETBIT n 0 0 => :0
        GETBIT n 2 => :1
        BITCOUNT n => :6
        BITCOUNT n 1 1 => :3
        BITCOUNT n -1 -1 BYTE => :3
        BITCOUNT n 2 5 BIT => :2
        BITCOUNT n 1 => :3
        BITCOUNT n -2 => :6
        BITCOUNT n 2 => :0
        BITCOUNT none 1 => :0
        BITCOUNT n x => -ERR value is not an integer or out of range
        BITCOUNT n 1 BIT => -ERR value is not an integer or out of range
        BITCOUNT none 0 x => -ERR value is not an integer or out of range
        BITCOUNT none 0 1 BAR => -ERR syntax error
        BITCOUNT none => :0
        BITPOS n 1 => :2
        BITPOS n 0 => :0
        BITPOS n 2 => -ERR The bit argument must be 1 or 0.
        BITPOS n 1 -1 => :10
        BITPOS none 0 => :0
        BITPOS none 1 => :-1
        SET o "\xff\xff" => +OK
        BITPOS o 0 => :16
        BITPOS o 0 0 -1 => :-1
        BITPOS o 0 1 => :16
        BITPOS o 0 3 => :-1
        "#,
    );
}

#[test]
fn strings_combined_bit_by_bit() {
    script(
        r#"
        MSET a abcdef b abc c "\x0f" => +OK
        BITOP AND to a b => :6
        GET to => "abc\x00\x00\x00"
        BITOP OR to b c none => :3
        GET to => "obc"
        BITOP XOR to a a => :6
        GET to => "\x00\x00\x00\x00\x00\x00"
        BITOP NOT to c => :1
        GET to => "\xf0"
        BITOP NOT to a b => -ERR BITOP NOT must be called with a single source key.
        BITOP DIFF to a b => :6
        GET to => "\x00\x00\x00def"
        BITOP DIFF1 to b a c => :6
        GET to => "\x0e\x00\x00def"
        BITOP ANDOR to b c => :3
        GET to => "\x01\x00\x00"
        BITOP ONE to b a c => :6
        GET to => "\x0e\x00\x00def"
        BITOP DIFF to a => -ERR BITOP DIFF must be called with at least two source keys.
        BITOP andor to a => -ERR BITOP ANDOR must be called with at least two source keys.
        BITOP NAND to a => -ERR syntax error
        EXPIRE a 100 => :1
        BITOP OR a a => :6
        TTL a => :-1
        BITOP AND a none none => :0
        EXISTS a => :0
        "#,
    );
}

#[test]
fn fields_of_bits() {
    script(
        r#"
        BITFIELD k => []
        EXISTS k => :0
        BITFIELD k GET u8 0 => [:0]
        EXISTS k => :0
        BITFIELD k SET u8 #1 255 GET u8 #1 GET i8 8 => [:0 :255 :-1]
        GET k => "\x00\xff"
        BITFIELD k INCRBY u8 8 1 => [:0]
        BITFIELD k OVERFLOW SAT INCRBY u8 8 300 OVERFLOW FAIL INCRBY u8 8 1 => [:255 nil]
        BITFIELD k OVERFLOW SAT SET i8 8 -200 GET i8 8 => [:-1 :-128]
        BITFIELD k SET i64 3 -2 GET i64 3 => [:288230376151711744 :-2]
        BITFIELD k GET u64 0 => -ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.
        BITFIELD k GET i8 -1 => -ERR bit offset is not an integer or out of range
        BITFIELD k OVERFLOW none => -ERR Invalid OVERFLOW type specified
        BITFIELD k SET u8 0 x => -ERR value is not an integer or out of range
        BITFIELD k GET u8 => -ERR syntax error
        BITFIELD_RO k GET u8 0 => [:31]
        BITFIELD_RO k SET u8 0 1 => -ERR BITFIELD_RO only supports the GET subcommand
        "#,
    );
}

#[test]
fn estimates_of_different_elements() {
    script(
        r#"
        PFADD k a b c a => :1
        PFADD k a b => :0
        PFCOUNT k => :3
        PFCOUNT k => :3
        PFADD empty => :1
        PFADD empty => :0
        PFCOUNT empty none => :0
        PFADD l c d => :1
        PFCOUNT k l => :4
        EXPIRE k 100 => :1
        PFMERGE k l none => +OK
        TTL k => :100
        PFCOUNT k => :4
        PFMERGE new => +OK
        GET new => "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff"
        TYPE new => +string
        SET s text => +OK
        PFADD s a => -WRONGTYPE Key is not a valid HyperLogLog string value.
        PFCOUNT s => -WRONGTYPE Key is not a valid HyperLogLog string value.
        PFCOUNT k s => -WRONGTYPE Key is not a valid HyperLogLog string value.
        PFMERGE k s => -WRONGTYPE Key is not a valid HyperLogLog string value.
        SET s "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80" => +OK
        PFADD s a => -INVALIDOBJ Corrupted HLL object detected
        PFCOUNT s => -INVALIDOBJ Corrupted HLL object detected
        PFMERGE k s => -INVALIDOBJ Corrupted HLL object detected
        PFADD => -ERR wrong number of arguments for 'pfadd' command
        "#,
    );
}
