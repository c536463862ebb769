//! Comparing before writing: SET's conditions, DELEX, DIGEST and MSETEX, as Redis 8.4 documents them, and
//! counting within bounds: INCREX, as Redis 8.8 and Valkey 9.2 do.

#![allow(clippy::unwrap_used)] // Here a panic is a failed test.

mod support;

use support::script;

#[test]
fn digests() {
    script(
        r#"
        DIGEST none => nil
        SET k hello => +OK
        DIGEST k => "9555e8555c62dcfd"
        SET k "" => +OK
        DIGEST k => "2d06800538d394c2"
        SET k 123 => +OK
        OBJECT ENCODING k => "int"
        DIGEST k => "404a763b3f4c8c9a"
        SET k v8 => +OK
        DIGEST k => "0cc76dbb41381419"
        SET k "Hello world" => +OK
        DIGEST k => "b6acb9d84a38ff74"
        RPUSH l a => :1
        DIGEST l => -WRONGTYPE Operation against a key holding the wrong kind of value
        DIGEST => -ERR wrong number of arguments for 'digest' command
        DIGEST k l => -ERR wrong number of arguments for 'digest' command
        "#,
    );
}

#[test]
fn set_compares_before_it_writes() {
    script(
        r#"
        SET k v IFEQ x => nil
        SET k v IFEQ x GET => nil
        SET k v IFDEQ 1234567890 => nil
        EXISTS k => :0
        SET k v IFNE x => +OK
        DEL k => :1
        SET k v IFDNE 1234567890 GET => nil
        GET k => "v"
        SET k w IFEQ x => nil
        SET k w IFEQ x GET => "v"
        SET k w ifeq v EX 100 => +OK
        TTL k => :100
        SET k x IFNE w KEEPTTL => nil
        SET k x IFNE w GET => "w"
        SET k x IfNe v GET => "w"
        TTL k => :-1
        SET k hello => +OK
        SET k y IFDEQ 0000000000000000 => nil
        SET k y IFDEQ 9555E8555C62DCFD => +OK
        SET k hello => +OK
        SET k y IFDNE 9555e8555c62dcfd => nil
        SET k y IFDNE zzzzzzzzzzzzzzzz => +OK
        SET k y IFDEQ 123 => -ERR must be exactly 16 hexadecimal characters
        SET k y IFDNE 01234567890123456 => -ERR must be exactly 16 hexadecimal characters
        GET k => "y"
        SET k 12 => +OK
        SET k 13 IFEQ 012 => nil
        SET k 13 IFEQ 12 => +OK
        SET k v IFEQ => -ERR syntax error
        SET k v IFEQ a NX => -ERR syntax error
        SET k v XX IFDEQ a => -ERR syntax error
        SET k v IFEQ a IFNE a => -ERR syntax error
        SET k v IFEQ a IFEQ a => -ERR syntax error
        SET k v IFDNE a IFDNE b => -ERR syntax error
        SET k v NX IFEQ a => -ERR syntax error
        SET k v NX NX => nil
        SET k v IFDEQ a IFDNE a => -ERR syntax error
        RPUSH l a => :1
        SET l v IFEQ a => -WRONGTYPE Operation against a key holding the wrong kind of value
        SET l v IFNE a => -WRONGTYPE Operation against a key holding the wrong kind of value
        SET l v IFDEQ 123 => -WRONGTYPE Operation against a key holding the wrong kind of value
        SET l v IFDNE 123 => -WRONGTYPE Operation against a key holding the wrong kind of value
        TYPE l => +list
        "#,
    );
}

#[test]
fn delex() {
    script(
        r#"
        DELEX none => :0
        DELEX none IFEQ v => :0
        DELEX none FOO v => :0
        DELEX none IFEQ => -ERR wrong number of arguments for 'delex' command
        SET k hello => +OK
        DELEX k IFEQ other => :0
        DELEX k IFNE hello => :0
        DELEX k IFDEQ 0000000000000000 => :0
        DELEX k IFDNE 9555E8555C62DCFD => :0
        DELEX k IFDEQ 123 => -ERR must be exactly 16 hexadecimal characters
        DELEX k FOO hello => -ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE
        DELEX k IFEQ => -ERR wrong number of arguments for 'delex' command
        DELEX k IFEQ hello more => -ERR wrong number of arguments for 'delex' command
        DELEX => -ERR wrong number of arguments for 'delex' command
        GET k => "hello"
        DELEX k ifeq hello => :1
        SET k hello => +OK
        DELEX k IFNE other => :1
        SET k hello => +OK
        DELEX k IFDEQ 9555e8555c62dcfd => :1
        SET k hello => +OK
        DELEX k IFDNE zzzzzzzzzzzzzzzz => :1
        EXISTS k => :0
        RPUSH l a => :1
        DELEX l IFEQ a => -ERR Key should be of string type if conditions are specified
        DELEX l FOO a => -ERR Key should be of string type if conditions are specified
        DELEX l => :1
        EXISTS l => :0
        "#,
    );
}

#[test]
fn msetex() {
    script(
        r#"
        MSETEX 2 a 1 b 2 => :1
        MGET a b => ["1" "2"]
        TTL a => :-1
        MSETEX 2 a 3 b 4 EX 100 => :1
        TTL b => :100
        MSETEX 2 a 5 b 6 KEEPTTL => :1
        TTL a => :100
        MSETEX 2 a 7 c 8 NX => :0
        MGET a c => ["5" nil]
        MSETEX 2 a 7 c 8 XX => :0
        MSETEX 2 c 7 d 8 px 5000 nx => :1
        PTTL d => :5000
        MSETEX 2 c 1 d 2 XX EXAT 1700000100 => :1
        EXPIRETIME c => :1700000100
        MSETEX 2 a 1 a 2 => :1
        GET a => "2"
        RPUSH l x => :1
        MSETEX 1 l v => :1
        GET l => "v"
        MSETEX => -ERR wrong number of arguments for 'msetex' command
        MSETEX 1 a => -ERR wrong number of arguments for 'msetex' command
        MSETEX a 1 b 2 => -ERR invalid numkeys value
        MSETEX 0 a 1 => -ERR invalid numkeys value
        MSETEX -1 a 1 => -ERR invalid numkeys value
        MSETEX 2147483648 a 1 EX 10 => -ERR invalid numkeys value
        MSETEX 2147483647 a 1 EX 10 => -ERR wrong number of key-value pairs
        MSETEX 2 a 1 b => -ERR wrong number of key-value pairs
        MSETEX 1 a 1 FOO => -ERR syntax error
        MSETEX 1 a 1 b 2 => -ERR syntax error
        MSETEX 1 a 1 NX XX => -ERR syntax error
        MSETEX 1 a 1 EX 10 PX 10 => -ERR syntax error
        MSETEX 1 a 1 KEEPTTL EX 10 => -ERR syntax error
        MSETEX 1 a 1 EX => -ERR syntax error
        MSETEX 1 a 1 EX 0 => -ERR invalid expire time in 'msetex' command
        MSETEX 1 a 1 EX x => -ERR value is not an integer or out of range
        GET a => "2"
        "#,
    );
}

#[test]
fn counting_within_bounds() {
    script(
        r#"
        INCREX k => [:1 :1]
        INCREX k BYINT 5 => [:6 :5]
        INCREX k UBOUND 6 => [:6 :0]
        INCREX k BYINT 5 UBOUND 10 => [:6 :0]
        INCREX k BYINT 5 UBOUND 10 SATURATE => [:10 :4]
        INCREX k BYINT -25 LBOUND 3 SATURATE UBOUND 10 => [:3 :-7]
        INCREX k BYINT -1 UBOUND 1 => [:3 :0]
        INCREX k BYINT -2 UBOUND 1 => [:1 :-2]
        INCREX k BYINT 5 LBOUND 20 SATURATE => [:20 :19]
        GET k => "20"
        OBJECT ENCODING k => "int"
        SET k 9223372036854775807 => +OK
        INCREX k => [:9223372036854775807 :0]
        INCREX k SATURATE => [:9223372036854775807 :0]
        INCREX k BYINT -5 UBOUND -9223372036854775808 SATURATE => -ERR applied increment would overflow
        SET k -9223372036854775800 => +OK
        INCREX k BYINT -10 SATURATE => [:-9223372036854775808 :-8]
        INCREX none LBOUND 5 => [:0 :0]
        INCREX none UBOUND 0 => [:0 :0]
        EXISTS none => :0
        INCREX none LBOUND 5 SATURATE => [:5 :5]
        INCREX none NX => [:5 :0]
        INCREX none XX => [:6 :1]
        INCREX new XX BYINT 5 => [:0 :0]
        INCREX new NX BYINT 5 => [:5 :5]
        SET k 1.5 => +OK
        INCREX k => -ERR value is not an integer or out of range
        RPUSH l a => :1
        INCREX l => -WRONGTYPE Operation against a key holding the wrong kind of value
        INCREX l EXAT 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn counting_fractions_within_bounds() {
    script(
        r#"
        INCREX k BYFLOAT 2.5 => ["2.5" "2.5"]
        INCREX k BYFLOAT 0.1 => ["2.6" "0.1"]
        INCREX k BYFLOAT 10 UBOUND 5 => ["2.6" "0"]
        INCREX k BYFLOAT 10 UBOUND 5.5 SATURATE => ["5.5" "2.9"]
        INCREX k BYFLOAT -1e4000 LBOUND -1.5 SATURATE => ["-1.5" "-7"]
        INCREX k BYFLOAT 2 UBOUND inf LBOUND -inf => ["0.5" "2"]
        INCREX k BYFLOAT 1 UBOUND -inf => -ERR LBOUND can't be greater than UBOUND
        INCREX k BYFLOAT 1 LBOUND inf UBOUND inf => ["0.5" "0"]
        INCREX k BYFLOAT 1 LBOUND inf UBOUND inf SATURATE => -ERR applied increment would be Infinity
        INCREX k BYFLOAT inf => -ERR BYFLOAT increment cannot be Infinity
        INCREX k BYFLOAT nan => -ERR Increment is not a valid float
        INCREX k BYFLOAT 1 UBOUND x => -ERR UBOUND is not a valid float
        GET k => "0.5"
        INCREX none BYFLOAT 5 UBOUND 1 => ["0" "0"]
        EXISTS none => :0
        SET k -1e4932 => +OK
        INCREX k BYFLOAT 1 LBOUND 1e4932 SATURATE EX 10 => -ERR applied increment would be Infinity
        TTL k => :-1
        SET k inf => +OK
        INCREX k BYFLOAT 1 => -ERR value cannot be Infinity
        SET k x => +OK
        INCREX k BYFLOAT 1 => -ERR value is not a valid float
        "#,
    );
}

#[test]
fn counters_expire_as_they_are_told() {
    script(
        r"
        INCREX k EX 100 => [:1 :1]
        TTL k => :100
        INCREX k => [:2 :1]
        TTL k => :100
        INCREX k EX 50 ENX => [:3 :1]
        TTL k => :100
        INCREX k PX 50000 BYINT 2 => [:5 :2]
        TTL k => :50
        INCREX k UBOUND 5 EX 9 => [:5 :0]
        INCREX k UBOUND 5 PERSIST => [:5 :0]
        TTL k => :50
        INCREX k PERSIST => [:6 :1]
        TTL k => :-1
        INCREX k UBOUND 3 SATURATE EX 20 ENX => [:3 :-3]
        TTL k => :20
        INCREX k EXAT 1 ENX => [:4 :1]
        INCREX k EXAT 1 => [:5 :1]
        EXISTS k => :0
        INCREX k PXAT 1 => [:1 :1]
        EXISTS k => :0
        INCREX k EX 0 => -ERR invalid expire time in 'increx' command
        INCREX k EX x => -ERR value is not an integer or out of range
        INCREX k ENX => -ERR ENX flag requires an expiration
        INCREX k ENX PERSIST => -ERR syntax error
        INCREX k EX 5 PX 5 => -ERR syntax error
        INCREX k EX 5 EX 5 => -ERR syntax error
        INCREX k EX => -ERR syntax error
        INCREX k BYINT => -ERR syntax error
        INCREX k BYINT 1 BYINT 2 => -ERR syntax error
        INCREX k BYINT 1 BYFLOAT 2 => -ERR syntax error
        INCREX k SATURATE SATURATE => -ERR syntax error
        INCREX k NX XX => -ERR syntax error
        INCREX k FOO => -ERR syntax error
        INCREX k BYINT x => -ERR Increment is not an integer or out of range
        INCREX k LBOUND x => -ERR LBOUND is not an integer or out of range
        INCREX k UBOUND 1.5 => -ERR UBOUND is not an integer or out of range
        INCREX k LBOUND 2 UBOUND 1 => -ERR LBOUND can't be greater than UBOUND
        INCREX => -ERR wrong number of arguments for 'increx' command
        EXISTS k => :0
        ",
    );
}
