//! Hash commands through the table: answers, edge cases, error texts, notices; the expiry of fields
//! as time goes on. What Redis 7.0 knows is also said to a real redis-server, where one is installed;
//! what came later follows Redis's documentation: <https://redis.io/docs/latest/commands/hexpire/>.

#![allow(clippy::unwrap_used)] // Here a panic is a failed test.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use ringlane_base::Database;
use ringlane_store::Budget;
use support::{Lane, NOW, check_full, check_said, compared, elements, run_on, said, script, walk};

const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

#[test]
fn set_get_and_delete() {
    compared(
        r#"
        HSET h a 1 b 2 a 3 => :2
        HSET h a 1 c "" "" x => :2
        HSET h => -ERR wrong number of arguments for 'hset' command
        HSET h a => -ERR wrong number of arguments for 'hset' command
        HSET h a 1 b => -ERR wrong number of arguments for 'hset' command
        HMSET h d 4 => +OK
        HMSET h a 1 b => -ERR wrong number of arguments for 'hmset' command
        HMSET h a => -ERR wrong number of arguments for 'hmset' command
        HSETNX h a 9 => :0
        HSETNX h e 5 => :1
        HSETNX h e 5 6 => -ERR wrong number of arguments for 'hsetnx' command
        HGET h a => "1"
        HGET h c => ""
        HGET h "" => "x"
        HGET h z => nil
        HGET none z => nil
        HGET h => -ERR wrong number of arguments for 'hget' command
        HGET h a b => -ERR wrong number of arguments for 'hget' command
        HMGET h a z c a => ["1" nil "" "1"]
        HMGET none a b => [nil nil]
        HMGET h => -ERR wrong number of arguments for 'hmget' command
        HGETALL h => ["a" "1" "b" "2" "c" "" "" "x" "d" "4" "e" "5"]
        HKEYS h => ["a" "b" "c" "" "d" "e"]
        HVALS h => ["1" "2" "" "x" "4" "5"]
        HGETALL none => []
        HKEYS none => []
        HVALS none => []
        HLEN h => :6
        HLEN none => :0
        HSTRLEN h a => :1
        HSTRLEN h z => :0
        HSTRLEN none z => :0
        HEXISTS h a => :1
        HEXISTS h z => :0
        HEXISTS none z => :0
        HDEL h a a z => :1
        HDEL none a => :0
        HDEL h => -ERR wrong number of arguments for 'hdel' command
        HDEL h b c d e "" => :5
        EXISTS h => :0
        HSET n 1 007 -5 9223372036854775807 x 9223372036854775808 => :3
        HGETALL n => ["1" "007" "-5" "9223372036854775807" "x" "9223372036854775808"]
        HSTRLEN n -5 => :19
        HGET n 1 => "007"
        HDEL n 01 => :0
        HDEL n 1 => :1
        TYPE n => +hash
        "#,
    );
}

#[test]
fn numbers() {
    compared(
        r#"
        HINCRBY h n 5 => :5
        HINCRBY h n -7 => :-2
        HINCRBY h n x => -ERR value is not an integer or out of range
        HINCRBY h n 1.5 => -ERR value is not an integer or out of range
        HINCRBY h n 9223372036854775808 => -ERR value is not an integer or out of range
        HINCRBY h n => -ERR wrong number of arguments for 'hincrby' command
        HSET h max 9223372036854775807 min -9223372036854775808 text x zeros 007 empty "" half 1.5 => :6
        HINCRBY h max 1 => -ERR increment or decrement would overflow
        HINCRBY h min -1 => -ERR increment or decrement would overflow
        HINCRBY h max -1 => :9223372036854775806
        HINCRBY h text 1 => -ERR hash value is not an integer
        HINCRBY h zeros 1 => -ERR hash value is not an integer
        HINCRBY h empty 1 => -ERR hash value is not an integer
        HINCRBY h half 1 => -ERR hash value is not an integer
        HINCRBYFLOAT h half 0.25 => "1.75"
        HINCRBYFLOAT h half -1.75 => "0"
        HINCRBYFLOAT h new 3.0e3 => "3000"
        HINCRBYFLOAT h text 1 => -ERR hash value is not a float
        HINCRBYFLOAT h empty 1 => -ERR hash value is not a float
        HINCRBYFLOAT h half x => -ERR value is not a valid float
        HINCRBYFLOAT h half nan => -ERR value is not a valid float
        HINCRBYFLOAT h half inf => -ERR value is NaN or Infinity
        HINCRBYFLOAT h half -inf => -ERR value is NaN or Infinity
        HSET h endless inf => :1
        HINCRBYFLOAT h endless 1 => -ERR increment would produce NaN or Infinity
        HINCRBYFLOAT h half => -ERR wrong number of arguments for 'hincrbyfloat' command
        HGET h text => "x"
        "#,
    );
}

#[test]
fn another_type_is_refused_by_every_command() {
    let line = |command: &str| format!("{command} => {WRONG}\n");
    let table: String = [
        "HSET x a 1",
        "HMSET x a 1",
        "HSETNX x a 1",
        "HGET x a",
        "HMGET x a b",
        "HGETALL x",
        "HKEYS x",
        "HVALS x",
        "HLEN x",
        "HSTRLEN x a",
        "HEXISTS x a",
        "HDEL x a",
        "HINCRBY x a 1",
        "HINCRBYFLOAT x a 1",
        "HRANDFIELD x",
        "HRANDFIELD x 0",
        "HRANDFIELD x -2 WITHVALUES",
        "HSCAN x 0",
        "HSCAN x 0 BOGUS",
        "HEXPIRE x 10 FIELDS 1 a",
        "HEXPIRE x bogus FIELDS 1 a",
        "HPEXPIRE x 10 FIELDS 2 a",
        "HEXPIREAT x 10 FIELDS 1 a",
        "HPEXPIREAT x 10 FIELDS 1 a",
        "HPERSIST x FIELDS 1 a",
        "HPERSIST x FIELDS 2 a",
        "HTTL x FIELDS 1 a",
        "HPTTL x FIELDS 2 a",
        "HEXPIRETIME x FIELDS 1 a",
        "HPEXPIRETIME x FIELDS 1 a",
        "HGETDEL x FIELDS 1 a",
        "HGETDEL x FIELDS 2 a",
        "HGETEX x FIELDS 1 a",
        "HGETEX x EX bogus FIELDS 1 a",
        "HSETEX x FIELDS 1 a 1",
        "HSETEX x FXX FIELDS 1 a 1",
    ]
    .map(line)
    .concat();
    compared(&format!("SET x v => +OK\n{table}GET x => \"v\""));
}

#[test]
fn choose_by_chance() {
    compared(
        r#"
        HSET h f v => :1
        HRANDFIELD h => "f"
        HRANDFIELD h 0 => []
        HRANDFIELD h 5 => ["f"]
        HRANDFIELD h 5 WITHVALUES => ["f" "v"]
        HRANDFIELD h -3 => ["f" "f" "f"]
        HRANDFIELD h -2 withvalues => ["f" "v" "f" "v"]
        HRANDFIELD none => nil
        HRANDFIELD none 3 => []
        HRANDFIELD none -3 WITHVALUES => []
        HRANDFIELD h x => -ERR value is not an integer or out of range
        HRANDFIELD h x BOGUS => -ERR value is not an integer or out of range
        HRANDFIELD h 1 BOGUS => -ERR syntax error
        HRANDFIELD h 1 WITHVALUES x => -ERR syntax error
        HRANDFIELD h -9223372036854775808 => -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
        HRANDFIELD h -9223372036854775807 WITHVALUES => -ERR value is out of range
        HRANDFIELD h 9223372036854775807 WITHVALUES => -ERR value is out of range
        HRANDFIELD => -ERR wrong number of arguments for 'hrandfield' command
        "#,
    );
    script("HSET h f v => :1\nHRANDFIELD h -1048577 => -ERR value is out of range");
}

#[test]
fn walking() {
    compared(
        r#"
        HSET h a 1 b 2 c 3 => :3
        HSCAN h 0 => ["0" ["a" "1" "b" "2" "c" "3"]]
        HSCAN h 0 COUNT 1 MATCH [bc] => ["0" ["b" "2" "c" "3"]]
        HSCAN h 0 match 1 => ["0" []]
        HSCAN none 0 => ["0" []]
        HSCAN none 0 BOGUS => ["0" []]
        HSCAN none x => -ERR invalid cursor
        HSCAN h x => -ERR invalid cursor
        HSCAN h 0 BOGUS => -ERR syntax error
        HSCAN h 0 BOGUS 1 => -ERR syntax error
        HSCAN h 0 COUNT => -ERR syntax error
        HSCAN h 0 COUNT 0 => -ERR syntax error
        HSCAN h 0 COUNT x => -ERR value is not an integer or out of range
        HSCAN h 0 TYPE hash => -ERR syntax error
        HSCAN h 0 MATCH novalues => ["0" []]
        HSCAN h => -ERR wrong number of arguments for 'hscan' command
        "#,
    );
    script(
        r#"
        HSET h a 1 b 2 novalues 3 => :3
        HSCAN h 0 NOVALUES => ["0" ["a" "b" "novalues"]]
        HSCAN h 0 novalues MATCH novalues COUNT 5 => ["0" ["novalues"]]
        HSCAN h 0 MATCH b NOVALUES => ["0" ["b"]]
        SCAN 0 NOVALUES => -ERR NOVALUES option can only be used in HSCAN
        "#,
    );
}

#[test]
fn fields_expire() {
    script(
        r#"
        HSET h a 1 b 2 c 3 => :3
        HEXPIRE h 10 FIELDS 2 a z => [:1 :-2]
        HEXPIRE none 10 FIELDS 2 a z => [:-2 :-2]
        EXISTS none => :0
        HTTL h FIELDS 3 a b z => [:10 :-1 :-2]
        HPTTL h FIELDS 3 a b z => [:10000 :-1 :-2]
        HTTL none FIELDS 2 a b => [:-2 :-2]
        HEXPIRETIME h FIELDS 1 a => [:1700000010]
        HPEXPIRETIME h FIELDS 2 a b => [:1700000010000 :-1]
        HPEXPIRE h 1500 FIELDS 1 b => [:1]
        HTTL h FIELDS 1 b => [:2]
        HEXPIRETIME h FIELDS 1 b => [:1700000002]
        wait 1499
        HTTL h FIELDS 1 b => [:1]
        HGET h b => "2"
        HGETALL h => ["a" "1" "b" "2" "c" "3"]
        wait 1
        HGET h b => nil
        HTTL h FIELDS 1 b => [:-2]
        HMGET h a b c => ["1" nil "3"]
        HGETALL h => ["a" "1" "c" "3"]
        HKEYS h => ["a" "c"]
        HVALS h => ["1" "3"]
        HEXISTS h b => :0
        HSTRLEN h b => :0
        HSCAN h 0 => ["0" ["a" "1" "c" "3"]]
        HEXPIRE h 10 FIELDS 1 b => [:-2]
        HPERSIST h FIELDS 3 a b c => [:1 :-2 :-1]
        HTTL h FIELDS 1 a => [:-1]
        HDEL h b => :0
        HLEN h => :2
        HSETNX h b again => :1
        HTTL h FIELDS 1 b => [:-1]
        HEXPIREAT h 1700000100 FIELDS 1 a => [:1]
        HPEXPIREAT h 1700000100500 FIELDS 1 c => [:1]
        HTTL h FIELDS 2 a c => [:99 :99]
        HSET h a new => :0
        HTTL h FIELDS 1 a => [:-1]
        HINCRBY h c 4 => :7
        HPEXPIRETIME h FIELDS 1 c => [:1700000100500]
        HINCRBYFLOAT h c 0.5 => "7.5"
        HPEXPIRETIME h FIELDS 1 c => [:1700000100500]
        wait 100000
        HINCRBY h c 4 => :4
        HTTL h FIELDS 1 c => [:-1]
        HEXPIRE h 0 FIELDS 2 a c => [:2 :2]
        HEXPIREAT h 1 FIELDS 1 b => [:2]
        EXISTS h => :0
        "#,
    );
}

#[test]
fn conditions_of_expiry() {
    script(
        r#"
        HSET h a 1 b 2 => :2
        HEXPIRE h 10 XX FIELDS 1 a => [:0]
        HEXPIRE h 10 GT FIELDS 1 a => [:0]
        HEXPIRE h 10 nx FIELDS 1 a => [:1]
        HEXPIRE h 20 NX FIELDS 2 a b => [:0 :1]
        HTTL h FIELDS 2 a b => [:10 :20]
        HEXPIRE h 15 GT FIELDS 2 a b => [:1 :0]
        HEXPIRE h 12 LT FIELDS 2 a b => [:1 :1]
        HEXPIRE h 12 LT FIELDS 1 a => [:0]
        HEXPIRE h 12 GT FIELDS 1 a => [:0]
        HEXPIRE h 30 XX FIELDS 1 a => [:1]
        HPERSIST h FIELDS 1 a => [:1]
        HEXPIRE h 7 LT FIELDS 1 a => [:1]
        HTTL h FIELDS 2 a b => [:7 :12]
        HEXPIRE h 0 GT FIELDS 1 a => [:0]
        HEXPIRE h 0 NX FIELDS 1 a => [:0]
        HEXPIRE h 0 LT FIELDS 1 a => [:2]
        HKEYS h => ["b"]
        "#,
    );
}

#[test]
fn arguments_of_expiry() {
    script(
        r#"
        HSET h a 1 => :1
        HEXPIRE h 10 FIELDS 1 => -ERR wrong number of arguments for 'hexpire' command
        HEXPIRE h x FIELDS 1 a => -ERR value is not an integer or out of range
        HEXPIRE h -1 FIELDS 1 a => -ERR invalid expire time, must be >= 0
        HPEXPIREAT h -1 FIELDS 1 a => -ERR invalid expire time, must be >= 0
        HEXPIRE h 9223372036854775807 FIELDS 1 a => -ERR invalid expire time in 'hexpire' command
        HEXPIREAT h 70368744177664 FIELDS 1 a => -ERR invalid expire time in 'hexpireat' command
        HPEXPIRE h 70368744177664 FIELDS 1 a => -ERR invalid expire time in 'hpexpire' command
        HPEXPIREAT h 70368744177664 FIELDS 1 a => -ERR invalid expire time in 'hpexpireat' command
        HPEXPIREAT h 70368744177663 FIELDS 1 a => [:1]
        HPEXPIRETIME h FIELDS 1 a => [:70368744177663]
        HEXPIRE h 10 ZZ FIELDS 1 a => -ERR Mandatory argument FIELDS is missing or not at the right position
        HEXPIRE h 10 NX XX FIELDS 1 a => -ERR Mandatory argument FIELDS is missing or not at the right position
        HEXPIRE h 10 1 FIELDS a => -ERR Mandatory argument FIELDS is missing or not at the right position
        HEXPIRE h 10 FIELDS 0 a => -ERR Parameter `numFields` should be greater than 0
        HEXPIRE h 10 FIELDS -1 a => -ERR Parameter `numFields` should be greater than 0
        HEXPIRE h 10 FIELDS x a => -ERR Parameter `numFields` should be greater than 0
        HEXPIRE h 10 FIELDS 2 a => -ERR The `numfields` parameter must match the number of arguments
        HEXPIRE h 10 FIELDS 1 a b => -ERR The `numfields` parameter must match the number of arguments
        HEXPIRE h 10 FIELDS 9223372036854775807 a => -ERR The `numfields` parameter must match the number of arguments
        HEXPIRE none 10 FIELDS 2 a => -ERR The `numfields` parameter must match the number of arguments
        HTTL h FIELDS 1 => -ERR wrong number of arguments for 'httl' command
        HTTL h BOGUS 1 a => -ERR Mandatory argument FIELDS is missing or not at the right position
        HTTL h FIELDS 0 a => -ERR Number of fields must be a positive integer
        HPTTL h FIELDS x a => -ERR Number of fields must be a positive integer
        HEXPIRETIME h FIELDS 2 a => -ERR The `numfields` parameter must match the number of arguments
        HPEXPIRETIME none FIELDS 2 a => -ERR The `numfields` parameter must match the number of arguments
        HPERSIST h BOGUS 1 a => -ERR Mandatory argument FIELDS is missing or not at the right position
        HPERSIST h FIELDS 0 a => -ERR Number of fields must be a positive integer
        HPERSIST h FIELDS 2 a => -ERR The `numfields` parameter must match the number of arguments
        HGETDEL h BOGUS 1 a => -ERR Mandatory argument FIELDS is missing or not at the right position
        HGETDEL h FIELDS 0 a => -ERR Number of fields must be a positive integer
        HGETDEL h FIELDS 2 a => -ERR The `numfields` parameter must match the number of arguments
        HGETEX h FIELDS 1 => -ERR wrong number of arguments for 'hgetex' command
        HGETEX h BOGUS 1 a => -ERR Mandatory argument FIELDS is missing or not at the right position
        HGETEX h PXAT 1 1 => -ERR Mandatory argument FIELDS is missing or not at the right position
        HGETEX h PERSIST 1 FIELDS 1 a => -ERR Mandatory argument FIELDS is missing or not at the right position
        HGETEX h KEEPTTL FIELDS 1 a => -ERR Mandatory argument FIELDS is missing or not at the right position
        HGETEX h EX 5 PERSIST FIELDS 1 a => -ERR Mandatory argument FIELDS is missing or not at the right position
        HGETEX h EX 5 FIELDS => -ERR Number of fields must be a positive integer
        HGETEX h FIELDS -1 a => -ERR Number of fields must be a positive integer
        HGETEX h FIELDS 2 a => -ERR The `numfields` parameter must match the number of arguments
        HGETEX h EX x FIELDS 1 a => -ERR value is not an integer or out of range
        HGETEX h PX -1 FIELDS 1 a => -ERR invalid expire time, must be >= 0
        HGETEX h EX 9223372036854775807 FIELDS 1 a => -ERR invalid expire time in 'hgetex' command
        HGETEX h PXAT 70368744177664 FIELDS 1 a => -ERR invalid expire time in 'hgetex' command
        HSETEX h FIELDS 1 a => -ERR wrong number of arguments for 'hsetex' command
        HSETEX h FIELDS 2 a b => -ERR wrong number of arguments for 'hsetex' command
        HSETEX h FIELDS 1 a b c => -ERR wrong number of arguments for 'hsetex' command
        HSETEX h FIELDS 2 a b c => -ERR wrong number of arguments for 'hsetex' command
        HSETEX h FIELDS x a b => -ERR invalid number of fields
        HSETEX h FIELDS 0 a b => -ERR invalid number of fields
        HSETEX h FIELDS -1 a b => -ERR invalid number of fields
        HSETEX h FIELDS 9223372036854775808 a b => -ERR invalid number of fields
        HSETEX h NX XX FIELDS 1 a b => -ERR syntax error
        HSETEX h NY FIELDS 1 a b => -ERR unknown argument: NY
        HSETEX h "a\x0d\x0ab" FIELDS 1 a b => -ERR unknown argument: a  b
        HSETEX h FNX FXX FIELDS 1 a b => -ERR Only one of FXX or FNX arguments can be specified
        HSETEX h fxx fxx FIELDS 1 a b => -ERR Only one of FXX or FNX arguments can be specified
        HSETEX h EX 1 PX 1 FIELDS 1 a b => -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
        HSETEX h KEEPTTL KEEPTTL FIELDS 1 a b => -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
        HSETEX h EX FIELDS 1 a b => -ERR value is not an integer or out of range
        HSETEX h EXAT -1 1 a b => -ERR invalid expire time, must be >= 0
        HSETEX h PXAT 70368744177664 FIELDS 1 a b => -ERR invalid expire time in 'hsetex' command
        HGETALL h => ["a" "1"]
        "#,
    );
}

#[test]
fn get_and_delete_or_expire() {
    script(
        r#"
        HSET h a 1 b 2 c 3 => :3
        HGETDEL h FIELDS 3 a z a => ["1" nil nil]
        HGETDEL none FIELDS 1 a => [nil]
        HGETEX h FIELDS 2 b z => ["2" nil]
        HTTL h FIELDS 1 b => [:-1]
        HGETEX h EX 10 FIELDS 2 b z => ["2" nil]
        HTTL h FIELDS 2 b c => [:10 :-1]
        HGETEX h PERSIST FIELDS 2 b c => ["2" "3"]
        HTTL h FIELDS 1 b => [:-1]
        HGETEX h PX 1500 FIELDS 1 b => ["2"]
        HGETEX h EXAT 1700000100 FIELDS 1 c => ["3"]
        HPTTL h FIELDS 2 b c => [:1500 :100000]
        HGETEX h FIELDS 1 b => ["2"]
        HPTTL h FIELDS 1 b => [:1500]
        wait 1500
        HGETEX h EX 10 FIELDS 2 b c => [nil "3"]
        HGETDEL h FIELDS 1 b => [nil]
        HTTL h FIELDS 2 b c => [:-2 :10]
        HGETEX none PERSIST FIELDS 1 a => [nil]
        HGETEX h EX 0 FIELDS 1 c => ["3"]
        EXISTS h => :0
        HSET h a 1 => :1
        HGETEX h PXAT 1 FIELDS 2 a a => ["1" nil]
        EXISTS h => :0
        HSET h a 1 b 2 => :2
        HGETDEL h FIELDS 2 b a => ["2" "1"]
        EXISTS h => :0
        "#,
    );
}

#[test]
fn set_with_expiry() {
    script(
        r#"
        HSETEX h XX FIELDS 2 a 1 b 2 => :0
        EXISTS h => :0
        HSETEX h NX FIELDS 2 a 1 b 2 => :1
        HSETEX h NX EX 10 FIELDS 1 a 9 => :0
        HTTL h FIELDS 2 a b => [:-1 :-1]
        HSETEX h XX FNX FIELDS 1 a 9 => :0
        HGET h a => "1"
        HSETEX h EX 10 FIELDS 1 a 3 => :1
        HTTL h FIELDS 1 a => [:10]
        HSETEX h KEEPTTL FIELDS 3 a 4 b 5 c 6 => :1
        HTTL h FIELDS 3 a b c => [:10 :-1 :-1]
        HSETEX h FIELDS 1 a 5 => :1
        HTTL h FIELDS 1 a => [:-1]
        HSETEX h FNX FIELDS 2 a 9 d 9 => :0
        HEXISTS h d => :0
        HSETEX h fnx PX 1500 FIELDS 2 d 7 e 8 => :1
        HPTTL h FIELDS 2 d e => [:1500 :1500]
        HSETEX h FXX FIELDS 2 a 9 z 9 => :0
        HGET h a => "5"
        HSETEX h PXAT 1700000002000 FXX FIELDS 1 a 9 => :1
        HPTTL h FIELDS 1 a => [:2000]
        wait 1500
        HSETEX h FXX FIELDS 1 d 9 => :0
        HSETEX h FNX FIELDS 1 d 9 => :1
        HGETALL h => ["a" "9" "b" "5" "c" "6" "d" "9"]
        HSETEX none FXX FIELDS 1 a 1 => :0
        EXISTS none => :0
        HSETEX h EX 0 FIELDS 2 a 1 new 1 => :1
        HKEYS h => ["b" "c" "d"]
        HSETEX none EXAT 1 FIELDS 1 a 1 => :1
        EXISTS none => :0
        "#,
    );
}

#[test]
fn notices() {
    let mut lane = Lane::default();
    check_said(
        &mut lane,
        &[
            ("HSET h a 1 b 2 c 3", "hset h"),
            ("HMSET h a 1", "hset h"),
            ("HSETNX h a 2", ""),
            ("HSETNX h d 4", "hset h"),
            ("HINCRBY h a 1", "hincrby h"),
            ("HINCRBY h a x", ""),
            ("HINCRBYFLOAT h a 1", "hincrbyfloat h"),
            ("HDEL h z", ""),
            ("HDEL h d", "hdel h"),
            ("HEXPIRE h 10 FIELDS 2 a z", "hexpire h"),
            ("HEXPIRE h 10 NX FIELDS 1 a", ""),
            ("HPERSIST h FIELDS 1 b", ""),
            ("HPERSIST h FIELDS 1 a", "hpersist h"),
            ("HGETEX h FIELDS 1 a", ""),
            ("HGETEX h EX 10 FIELDS 1 a", "hexpire h"),
            ("HGETEX h PERSIST FIELDS 1 a", "hpersist h"),
            ("HGETEX h PERSIST FIELDS 1 a", ""),
            ("HSETEX h FIELDS 1 a 1", "hset h"),
            ("HSETEX h FNX FIELDS 1 a 1", ""),
            ("HSETEX h PX 1000 FIELDS 1 a 1", "hset h,hexpire h"),
            ("HSETEX h EX 0 FIELDS 1 a 1", "hset h,hdel h"),
            ("HGETDEL h FIELDS 1 z", ""),
            ("HGETDEL h FIELDS 1 b", "hdel h"),
            ("HGETALL h", ""),
            ("HGETDEL h FIELDS 1 c", "hdel h,del h"),
            ("HSET h a 1", "hset h"),
            ("HDEL h a", "hdel h,del h"),
            ("HSET h a 1 b 2", "hset h"),
            ("HEXPIREAT h 1 FIELDS 1 a", "hdel h"),
            ("HPEXPIRE h 0 FIELDS 1 b", "hdel h,del h"),
            ("HSETEX h PX 10 FIELDS 2 a 1 b 2", "hset h,hexpire h"),
            ("HPEXPIRE h 20 FIELDS 1 b", "hexpire h"),
            ("HSET stays a 1", "hset stays"),
            ("HSETEX stays PX 40 FIELDS 1 b 1", "hset stays,hexpire stays"),
        ],
    );
    for events in ["hexpired h", "hexpired h,del h", "hexpired stays"] {
        // The wheel turns every 16 milliseconds.
        lane.wait(16);
        lane.store.work(Budget { units: 100 });
        assert_eq!(said(&mut lane, "HLEN none"), events);
    }
}

fn fill(lane: &mut Lane, key: &str, count: usize) {
    for number in 0..count {
        lane.check(&format!("HSET {key} field:{number} {number}"), ":1");
    }
}

#[test]
fn what_is_chosen_is_there_and_every_field_has_its_chance() {
    let mut lane = Lane::default();
    for (key, count) in [("few", 100), ("many", 3000)] {
        fill(&mut lane, key, count);
        for ask in [1, count / 20, count / 2, count + 1] {
            let chosen = elements(&mut lane, &format!("HRANDFIELD {key} {ask} WITHVALUES"));
            let fields: BTreeSet<_> = chosen.chunks(2).map(|pair| pair[0].clone()).collect();
            assert_eq!((chosen.len(), fields.len()), (ask.min(count) * 2, ask.min(count)));
            for pair in chosen.chunks(2) {
                assert_eq!([b"field:", &pair[1][..]].concat(), pair[0]);
            }
        }
        for factor in [1, 9] {
            let picks = elements(&mut lane, &format!("HRANDFIELD {key} -{}", count * factor));
            assert_eq!(picks.len(), count * factor);
            let different = picks.into_iter().collect::<BTreeSet<_>>().len();
            // By n picks of n 63% are seen, by 9 n all but one in 8,100.
            let least = if factor == 1 { count / 2 } else { count * 98 / 100 };
            assert!(different > least, "{key}: {different} of {count}");
        }
    }
}

#[test]
fn fields_that_are_due_are_never_chosen() {
    for count in [100, 3000] {
        let mut lane = Lane::default();
        fill(&mut lane, "h", count);
        for number in 1..count {
            lane.check(&format!("HPEXPIRE h 10 FIELDS 1 field:{number}"), "[:1]");
        }
        lane.wait(10);
        lane.check("HRANDFIELD h", "\"field:0\"");
        lane.check("HRANDFIELD h 5", "[\"field:0\"]");
        lane.check("HRANDFIELD h -2 WITHVALUES", "[\"field:0\" \"0\" \"field:0\" \"0\"]");
        assert_eq!(elements(&mut lane, "HRANDFIELD h -100000").len(), 100_000);
        lane.check("HPEXPIRE h 10 FIELDS 1 field:0", "[:1]");
        lane.wait(10);
        lane.check("HRANDFIELD h", "nil");
        lane.check("HRANDFIELD h 5", "[]");
        lane.check("HRANDFIELD h -5 WITHVALUES", "[]");
        lane.check("HGETALL h", "[]");
    }
}

#[test]
fn a_walk_shows_what_stays_whatever_comes_and_goes() {
    let mut lane = Lane::default();
    fill(&mut lane, "h", 5000);
    let mut calls = 0;
    let seen = walk(&mut lane, "HSCAN h", "COUNT 20 NOVALUES", |lane, call| {
        calls = call;
        lane.say(&format!("HSET h new:{call} 1 other:{call} 2"));
        lane.say(&format!("HDEL h field:{}", call * 2));
    });
    let seen: BTreeSet<_> = seen.into_iter().collect();
    assert!((100..1000).contains(&calls), "20 of 5000 a call: {calls}");
    for number in (1..5000).step_by(2) {
        assert!(seen.contains(format!("field:{number}").as_bytes()), "field:{number}");
    }
}

#[test]
fn a_hash_is_packed_until_a_limit() {
    let mut lane = Lane::default();
    fill(&mut lane, "h", 128);
    lane.check("OBJECT ENCODING h", "\"listpack\"");
    lane.check("HEXPIRE h 10 FIELDS 1 field:3", "[:1]");
    lane.check("OBJECT ENCODING h", "\"listpackex\"");
    lane.check("HSET h one-more 1", ":1");
    lane.check("OBJECT ENCODING h", "\"hashtable\"");
    lane.check("HTTL h FIELDS 2 field:3 field:4", "[:10 :-1]");
    lane.check(&format!("HSET long f {}", "x".repeat(65)), ":1");
    lane.check("OBJECT ENCODING long", "\"hashtable\"");
    lane.wait(10_000);
    lane.check("HGET h field:3", "nil");
    lane.check("HGET h field:4", "\"4\"");
}

/// A hash as a person would write it: value and expiry of each field.
type Model = BTreeMap<String, (String, Option<u64>)>;

/// One random command on the lane and the model, and whether they agree on the answer.
fn step(random: &mut fastrand::Rng, lane: &mut Lane, model: &mut Model, most: u32) {
    let now = lane.store.now().wall.0;
    model.retain(|_, (_, at)| at.is_none_or(|at| at > now));
    let field = format!("f{}", random.u32(..most));
    let (command, expected) = match random.u8(..16) {
        0..10 => write(random, model, &field, now),
        _ => expire(random, model, &field, now),
    };
    assert_eq!(lane.say(&command), expected, "{command}");
}

/// A command that is about values, and its answer.
fn write(random: &mut fastrand::Rng, model: &mut Model, field: &str, now: u64) -> (String, String) {
    let number = random.i32(-9..10);
    let there = model.contains_key(field);
    let flag = |yes: bool| format!(":{}", u8::from(yes));
    match random.u8(..10) {
        0..=3 => {
            model.insert(field.to_owned(), (number.to_string(), None));
            (format!("HSET h {field} {number}"), flag(!there))
        }
        4 => {
            if !there {
                model.insert(field.to_owned(), ("1".into(), None));
            }
            (format!("HSETNX h {field} 1"), flag(!there))
        }
        5 => {
            let (value, _) = model.entry(field.to_owned()).or_insert(("0".into(), None));
            let sum = value.parse::<i32>().unwrap() + number;
            *value = sum.to_string();
            (format!("HINCRBY h {field} {number}"), format!(":{sum}"))
        }
        6 => {
            model.remove(field);
            (format!("HDEL h {field}"), flag(there))
        }
        7 => {
            let before = model.get(field).and_then(|(_, at)| *at);
            model.insert(field.to_owned(), (number.to_string(), before));
            (format!("HSETEX h KEEPTTL FIELDS 1 {field} {number}"), ":1".into())
        }
        8 => {
            let value = model.get_mut(field).map(|(value, at)| {
                *at = Some(now + 700);
                value.clone()
            });
            let value = value.map_or("nil".into(), |value| format!("\"{value}\""));
            (format!("HGETEX h PX 700 FIELDS 1 {field}"), format!("[{value}]"))
        }
        _ => {
            let gone = model.remove(field);
            let value = gone.map_or("nil".into(), |(value, _)| format!("\"{value}\""));
            (format!("HGETDEL h FIELDS 1 {field}"), format!("[{value}]"))
        }
    }
}

/// A command that is about expiry, and its answer.
fn expire(
    random: &mut fastrand::Rng,
    model: &mut Model,
    field: &str,
    now: u64,
) -> (String, String) {
    match random.u8(..6) {
        0..=3 => {
            let wait = random.u64(0..3000);
            let answer = match model.get_mut(field) {
                None => -2,
                Some(_) if wait == 0 => 2,
                Some((_, at)) => {
                    *at = Some(now + wait);
                    1
                }
            };
            if answer == 2 {
                model.remove(field);
            }
            (format!("HPEXPIRE h {wait} FIELDS 1 {field}"), format!("[:{answer}]"))
        }
        4 => {
            let answer = match model.get_mut(field) {
                None => -2,
                Some((_, at)) => at.take().map_or(-1, |_| 1),
            };
            (format!("HPERSIST h FIELDS 1 {field}"), format!("[:{answer}]"))
        }
        _ => {
            let answer = match model.get(field) {
                None => -2,
                Some((_, None)) => -1,
                Some((_, Some(at))) => (at - now) as i64,
            };
            (format!("HPTTL h FIELDS 1 {field}"), format!("[:{answer}]"))
        }
    }
}

#[test]
fn hashes_are_maps_whose_fields_go_when_their_time_has_come() {
    for seed in 1..=24 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut lane = Lane::default();
        let mut model = Model::new();
        let most = [5, 60, 400][random.usize(..3)];
        for round in 0..2000 {
            if random.u8(..10) == 0 {
                lane.wait(random.u64(..400));
            }
            if random.u8(..20) == 0 {
                // Some of what is due goes; the answers stay the same.
                lane.store.work(Budget { units: random.u32(1..30) });
            }
            step(&mut random, &mut lane, &mut model, most);
            if round % 50 > 0 {
                continue;
            }
            let now = lane.store.now().wall.0;
            model.retain(|_, (_, at)| at.is_none_or(|at| at > now));
            let all = elements(&mut lane, "HGETALL h");
            let all: BTreeMap<_, _> =
                all.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
            let expected: BTreeMap<_, _> = model
                .iter()
                .map(|(field, (value, _))| (field.clone().into_bytes(), value.clone().into_bytes()))
                .collect();
            assert_eq!(all, expected, "seed {seed}, round {round}");
        }
        lane.wait(10_000);
        while lane.store.work(Budget { units: 1000 }).more {}
        model.retain(|_, (_, at)| at.is_none());
        lane.check("HLEN h", &format!(":{}", model.len()));
        lane.check("EXISTS h", if model.is_empty() { ":0" } else { ":1" });
    }
}

#[test]
fn very_many_due_fields_go_in_slices() {
    const HASHES: usize = 4;
    const FIELDS: usize = 60_000;
    let mut lane = Lane::default();
    for hash in 0..HASHES {
        let key = format!("h{hash}");
        for chunk in 0..FIELDS / 1000 {
            let fields: Vec<String> =
                (0..1000).map(|number| format!("field:{}", chunk * 1000 + number)).collect();
            let mut args: Vec<&[u8]> =
                vec![b"HSETEX", key.as_bytes(), b"PX", b"1000", b"FIELDS", b"1000"];
            args.extend(fields.iter().flat_map(|field| [field.as_bytes(), b"v"]));
            assert_eq!(lane.run(&args), b":1\r\n");
        }
    }
    lane.check("HSET h0 stays 1", ":1");
    assert!(!lane.store.work(Budget { units: 100_000 }).more, "nothing is due yet");
    // The wheel turns every 16 milliseconds.
    lane.wait(1008);
    let (mut slices, mut more) = (0, true);
    while more {
        let work = lane.store.work(Budget { units: 500 });
        assert!(work.used < 700, "a slice: {work:?}");
        more = work.more;
        slices += 1;
        if slices == 10 {
            // In the middle of it nobody sees what is due.
            lane.check("HGETALL h0", "[\"stays\" \"1\"]");
            lane.check("HGET h1 field:59999", "nil");
            lane.check("HSET h1 field:59999 again", ":1");
        }
    }
    assert!(slices > HASHES * FIELDS / 700, "{slices} slices");
    // The one that was set anew was still there, out of sight.
    assert_eq!(lane.store.stats().expired_fields, (HASHES * FIELDS - 1) as u64);
    lane.check("HLEN h0", ":1");
    lane.check("HGETALL h1", "[\"field:59999\" \"again\"]");
    assert_eq!(lane.store.len(Database(0)), 2);
    assert_eq!(lane.store.now().steady, NOW.plus(1008));
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let mut lane = Lane::default();
    lane.check("HSET h a 1", ":1");
    check_full(
        &mut lane,
        &[
            "HSET h b 1",
            "HSETNX h b 1",
            "HINCRBY h a 1",
            "HINCRBYFLOAT h a 1",
            "HEXPIRE h 10 FIELDS 1 a",
            "HGETEX h EX 10 FIELDS 1 a",
            "HSETEX h FIELDS 1 a 2",
        ],
    );
    run_on(
        &mut lane,
        r#"
        HGETEX h FIELDS 1 a => ["1"]
        HGETALL h => ["a" "1"]
        HGETDEL h FIELDS 1 a => ["1"]
        "#,
    );
}
