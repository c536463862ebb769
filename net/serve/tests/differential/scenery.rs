//! The scenes.

use crate::scenes::Scene;

const BOTH: &[u8] = &[2, 3];

pub const SCENES: &[Scene] = &[
    Scene {
        name: "channels",
        versions: BOTH,
        lines: r"
            0 SUBSCRIBE a b c
            1 PUBLISH a hello
            1 PUBLISH none x
            0 PSUBSCRIBE a* [bc]
            1 PUBLISH b x
            1 PUBLISH abc y
            2 SUBSCRIBE a a
            1 PUBLISH a z
            1 PUBSUB CHANNELS a*
            1 PUBSUB NUMSUB a b none
            1 PUBSUB NUMSUB
            1 PUBSUB NUMPAT
            1 PUBSUB NOSUCH
            1 PUBSUB CHANNELS a b
            0 SSUBSCRIBE {s}1 {s}2
            1 SPUBLISH {s}1 v
            1 SPUBLISH {s}none v
            1 PUBLISH {s}1 v
            1 PUBSUB SHARDNUMSUB {s}1 none
            1 PUBSUB SHARDCHANNELS {s}1
            0 UNSUBSCRIBE b
            0 UNSUBSCRIBE none
            0 PUNSUBSCRIBE none
            0 SUNSUBSCRIBE none
            0 PUNSUBSCRIBE a* [bc]
            1 PUBLISH abc y
            0 SUNSUBSCRIBE {s}1 {s}2
            0 GET k
            0 SUBSCRIBE
            0 MULTI
            0 RESET
            1 PUBLISH a nobody
            0 UNSUBSCRIBE
            0 PUNSUBSCRIBE
            0 SUNSUBSCRIBE
            0 SUBSCRIBE solo
            0 UNSUBSCRIBE
            0 GET k
            3 MULTI
            3 PUBLISH a one
            3 PUBLISH none two
            3 SPUBLISH a three
            3 EXEC
            3~ EVAL 'return redis.call([[publish]], [[a]], ARGV[1])' 0 text
            3 EVAL 'return redis.call([[subscribe]], [[a]])' 0
            3 PUBLISH a
            3 PUBLISH a b c
        ",
    },
    Scene {
        name: "notices",
        versions: BOTH,
        lines: r"
            0 PSUBSCRIBE __key*__:*
            1 SET {k}a v
            1 SET {k}a v PX 100000
            1 APPEND {k}a x
            1 SETRANGE {k}a 1 x
            1 INCRBYFLOAT {k}n 1
            1 GETEX {k}a PERSIST
            1 GETDEL {k}a
            1 MSET {k}a 1 {k}b 2
            1 MSETNX {k}a 1 {k}b 2
            1 RENAME {k}a {k}c
            1 COPY {k}c {k}d
            1 MOVE {k}d 1
            1 EXPIRE {k}c 0
            1 DEL {k}b {k}none
            1 RPUSH {k}l 3 1 2
            1 LMOVE {k}l {k}m LEFT RIGHT
            1 LPOP {k}m
            1 LREM {k}l 0 1
            1 LTRIM {k}l 5 9
            1 SADD {k}s a b c
            1 SMOVE {k}s {k}t a
            1 SREM {k}s b c
            1 SUNIONSTORE {k}u {k}t
            1 SINTERSTORE {k}u {k}none {k}t
            1 SORT {k}t ALPHA STORE {k}sorted
            1 HSET {k}h f 1 g 2
            1 HINCRBY {k}h f 1
            1 HDEL {k}h f g
            1 ZADD {k}z 1 a 2 b 3 c
            1 ZINCRBY {k}z 1 a
            1 ZPOPMIN {k}z
            1 ZREMRANGEBYRANK {k}z 0 -1
            1 XADD {k}x 1-1 f v
            1 XGROUP CREATE {k}x g 0
            1 XREADGROUP GROUP g c STREAMS {k}x >
            1 XTRIM {k}x MAXLEN 0
            1 XGROUP DESTROY {k}x g
            1 PFADD {k}p a
            1 SETBIT {k}bit 1 1
            1 GEOADD {k}g 1 2 place
            1 MULTI
            1 SET {k}a 1
            1 DEL {k}a
            1 EXEC
            1 EVAL 'redis.call([[set]], KEYS[1], 1) return redis.call([[incr]], KEYS[1])' 1 {k}e
            1 SELECT 3
            1 SET {k}a 1
            1 SWAPDB 3 4
            1 FLUSHDB
            1 SELECT 0
            1 CONFIG SET notify-keyspace-events Elg
            1 CONFIG GET notify-keyspace-events
            1 SET {k}a v
            1 DEL {k}a
            1 RPUSH {k}l a
            1 CONFIG SET notify-keyspace-events KEAx
            1 CONFIG SET notify-keyspace-events bogus
            1 CONFIG SET notify-keyspace-events ''
            1 SET {k}a v
        ",
    },
    Scene {
        name: "scripts",
        versions: BOTH,
        lines: r"
            0 SCRIPT LOAD 'return {KEYS[1], ARGV[1]}'
            0 EVALSHA a5c4c2f7e9d0e6b8c7a6d5e4f3a2b1c0d9e8f7a6 0
            0 EVALSHA nosuch 0
            0 SCRIPT EXISTS a5c4c2f7e9d0e6b8c7a6d5e4f3a2b1c0d9e8f7a6 nosuch
            0 SCRIPT LOAD 'return 1'
            1 EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0
            1 EVALSHA E0E1F9FABFC9D4800C877A703B823AC0578FF8DB 0
            1 EVALSHA_RO e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0
            1 SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db
            0 SCRIPT FLUSH ASYNC
            1 EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0
            0 SCRIPT FLUSH NOW
            0 SCRIPT LOAD 'return ='
            0 SCRIPT LOAD
            0 SCRIPT NOSUCH
            0 SCRIPT KILL
            0 EVAL 'return 1' 1
            0 EVAL 'return 1' -1
            0 EVAL 'return 1' x
            0 EVAL 'return =' 0
            0 EVAL 'return redis.error_reply([[MY error]])' 0
            0 EVAL 'return redis.error_reply([[noprefix]])' 0
            0 EVAL 'return {err=[[CODE text]]}' 0
            0 EVAL 'return {ok=[[fine]]}' 0
            0 EVAL 'return redis.status_reply([[fine]])' 0
            0 EVAL 'return redis.call([[nosuch]])' 0
            0 EVAL 'return redis.pcall([[nosuch]])' 0
            0 EVAL 'return redis.call([[get]])' 0
            0 EVAL 'return redis.call()' 0
            0 EVAL 'return redis.call({})' 0
            0 EVAL 'return redis.call([[set]], KEYS[1])' 1 k
            0 EVAL 'return error([[mine]])' 0
            0 EVAL 'return error({err=[[CODE table]]})' 0
            0 EVAL 'return nosuch' 0
            0 EVAL 'nosuch = 1' 0
            0 EVAL 'local x = nil return x.y' 0
            0 EVAL_RO 'return redis.call([[set]], KEYS[1], 1)' 1 k
            0 EVAL_RO 'return redis.pcall([[set]], KEYS[1], 1)' 1 k
            0 EVAL_RO 'return redis.call([[get]], KEYS[1])' 1 k
            0 EVAL '#!lua flags=no-writes\nreturn redis.call([[set]], KEYS[1], 1)' 1 k
            0 EVAL '#!lua\nreturn 5' 0
            0 EVAL '#!lua flags=nosuch\nreturn 5' 0
            0 EVAL '#!python\nreturn 5' 0
            0 EVAL 'return {1, 2.7, [[x]], true, false, 5}' 0
            0 EVAL 'return {true, false}' 0
            0 EVAL 'redis.setresp(3) return {true, false}' 0
            0 EVAL 'redis.setresp(3) return {double=1.5}' 0
            0 EVAL 'redis.setresp(3) return {map={a=1}}' 0
            0 EVAL 'redis.setresp(3) return redis.call([[hgetall]], KEYS[1])' 1 k
            0 EVAL 'redis.setresp(4)' 0
            0 EVAL 'return redis.sha1hex([[]])' 0
            0 EVAL 'return redis.sha1hex()' 0
            0 EVAL 'return tostring(redis.REDIS_VERSION ~= nil)' 0
            0 EVAL 'return cjson.encode({1, [[a]], {b=2}})' 0
            0 EVAL 'return cmsgpack.pack({1, 2})' 0
            0 EVAL 'return bit.tohex(255, 4)' 0
            0 EVAL 'return struct.pack([[>I2]], 258)' 0
            0 EVAL 'return redis.call([[multi]])' 0
            0~ EVAL 'return redis.call([[blpop]], KEYS[1], 0)' 1 none
            0 EVAL 'return redis.call([[eval]], [[return 1]], 0)' 0
            0 EVAL 'redis.call([[set]], KEYS[1], 7) return redis.call([[incr]], KEYS[1])' 1 k
            0 MULTI
            0 EVAL 'return redis.call([[incr]], KEYS[1])' 1 k
            0 EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0
            0 SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db
            0 EXEC
        ",
    },
    Scene {
        name: "functions",
        versions: BOTH,
        lines: r"
            0 FUNCTION LOAD '#!lua name=one\nredis.register_function([[f]], function(keys, args) return {keys[1], args[1]} end)'
            0 FUNCTION LOAD '#!lua name=one\nredis.register_function([[f]], function(keys, args) return 1 end)'
            0 FUNCTION LOAD '#!lua name=two\nredis.register_function([[f]], function(keys, args) return 1 end)'
            0 FUNCTION LOAD REPLACE '#!lua name=one\nredis.register_function{function_name=[[f]], callback=function(keys, args) return redis.call([[incr]], keys[1]) end, description=[[counts]]}'
            0 FUNCTION LOAD '#!lua name=two\nredis.register_function{function_name=[[g]], callback=function(keys, args) return redis.call([[get]], keys[1]) end, flags={[[no-writes]]}}'
            1 FUNCTION LIST LIBRARYNAME one
            1 FUNCTION LIST LIBRARYNAME on* WITHCODE
            1 FUNCTION LIST LIBRARYNAME none
            1 FUNCTION LIST NOSUCH
            1 FUNCTION STATS
            1 FCALL f 1 k
            1 FCALL g 1 k
            1 FCALL_RO g 1 k
            1 FCALL_RO f 1 k
            1 FCALL none 0
            1 FCALL f
            1 FCALL f 2 k
            1 FCALL f x k
            1 FCALL f -1 k
            0 FUNCTION LOAD '#!lua name=bad\nnosuch()'
            0 FUNCTION LOAD '#!lua name=bad\nreturn ='
            0 FUNCTION LOAD '#!lua\nreturn 1'
            0 FUNCTION LOAD '#!lua name=bad name\nreturn 1'
            0 FUNCTION LOAD '#!lua name=a-b\nreturn 1'
            0 FUNCTION LOAD '#!python name=bad\nreturn 1'
            0 FUNCTION LOAD '#!lua name=empty\nlocal x = 1'
            0 FUNCTION LOAD 'no shebang'
            0 FUNCTION LOAD '#!lua name=bad\nredis.register_function([[a b]], function() end)'
            0 FUNCTION LOAD '#!lua name=bad\nredis.register_function([[x]], 5)'
            0~ FUNCTION LOAD '#!lua name=bad\nredis.call([[get]], [[k]])'
            0 FUNCTION DELETE none
            0 FUNCTION DELETE two
            0 FCALL g 1 k
            0 FUNCTION KILL
            0 MULTI
            0 FCALL f 1 k
            0 FCALL f 1 k
            0 EXEC
            0 FUNCTION FLUSH NOW
            0 FUNCTION FLUSH SYNC
            0 FUNCTION LIST
            0 FUNCTION RESTORE bogus
            0 FUNCTION NOSUCH
        ",
    },
    Scene {
        name: "tracking",
        versions: &[3],
        lines: r"
            0 CLIENT TRACKINGINFO
            0 CLIENT GETREDIR
            0 CLIENT CACHING YES
            0 CLIENT TRACKING ON
            0 CLIENT TRACKINGINFO
            0 CLIENT GETREDIR
            0 GET a
            0 MGET a b c
            1 SET a 1
            1 SET a 2
            0 HGETALL h
            1 HSET h f v
            0 GET b
            0 SET b mine
            1 MSET a 1 b 2 c 3
            0 GET a
            1 EXPIRE a 0
            0 GET x
            1 FLUSHDB
            0 GET x
            1 FLUSHALL
            0 CLIENT CACHING YES
            0 CLIENT TRACKING OFF
            0 CLIENT TRACKING ON NOLOOP
            0 GET a
            0 SET a 1
            0 GET a
            1 SET a 2
            0 CLIENT TRACKING OFF
            0 CLIENT TRACKING ON OPTIN
            0 GET a
            1 SET a 3
            0 CLIENT CACHING YES
            0 GET a
            0 GET b
            1 MSET a 1 b 1
            0 CLIENT CACHING NO
            0 CLIENT TRACKINGINFO
            0 CLIENT TRACKING OFF
            0 CLIENT TRACKING ON OPTOUT
            0 GET a
            0 CLIENT CACHING NO
            0 GET b
            1 MSET a 1 b 1
            0 CLIENT TRACKING OFF
            0 CLIENT TRACKING ON BCAST PREFIX a PREFIX b
            0 CLIENT TRACKINGINFO
            1 SET abc 1
            1 SET xyz 1
            1 RENAME xyz bcd
            1 DEL abc bcd
            0 CLIENT TRACKING ON BCAST PREFIX ab
            0 CLIENT TRACKING ON
            0 CLIENT TRACKING OFF
            2 CLIENT TRACKING ON REDIRECT %3
            2~ CLIENT TRACKINGINFO
            2~ CLIENT GETREDIR
            2 GET a
            1 SET a 5
            2 CLIENT TRACKING OFF
            2 CLIENT TRACKING ON REDIRECT 999999999
            2 CLIENT TRACKING ON OPTIN OPTOUT
            2 CLIENT TRACKING ON PREFIX a
            2 CLIENT TRACKING ON BCAST OPTIN
            2 CLIENT TRACKING MAYBE
            2 CLIENT CACHING
            2 CLIENT CACHING MAYBE
            2 CLIENT TRACKING ON
            2 EVAL 'return redis.call([[get]], KEYS[1])' 1 s
            1 SET s 1
            2 MULTI
            2 GET m
            2 EXEC
            1 SET m 1
        ",
    },
    Scene {
        name: "waiting in order",
        versions: BOTH,
        lines: r"
            0! BLPOP {a}a 0
            1! BRPOP {a}b {a}a 0
            2! BLMOVE {a}a {a}c LEFT RIGHT 0
            3 RPUSH {a}a 1 2 3 4
            0?
            1?
            2?
            3 LRANGE {a}a 0 -1
            3 DEL {a}a {a}b {a}c
            0! BLPOP {a}a 0
            1! BLMOVE {a}a {a}b LEFT RIGHT 0
            2! BRPOP {a}b 0
            3 MULTI
            3 RPUSH {a}a 1
            3 RPUSH {a}a 2
            3 LPUSH {a}a 0
            3 EXEC
            0?
            1?
            2?
            3 LRANGE {a}a 0 -1
            3 DEL {a}a
            0! BZPOPMIN {a}z {a}y 0
            1! BZMPOP 0 2 {a}y {a}z MAX COUNT 2
            3 EVAL 'redis.call([[zadd]], KEYS[1], 1, [[a]], 2, [[b]], 3, [[c]]) return redis.call([[zcard]], KEYS[1])' 1 {a}z
            0?
            1?
            3 DEL {a}z
            0! XREAD BLOCK 0 STREAMS {a}x {a}y $ $
            1! XREAD COUNT 1 BLOCK 0 STREAMS {a}y 0
            3 XADD {a}y 1-1 f v
            0?
            1?
            3 XGROUP CREATE {a}y g $
            0! XREADGROUP GROUP g c1 BLOCK 0 STREAMS {a}y >
            1! XREADGROUP GROUP g c2 BLOCK 0 STREAMS {a}y >
            3 XADD {a}y 2-1 f v
            0?
            3 XADD {a}y 3-1 f v
            1?
            3 DEL {a}y
            0! BLPOP {a}a 0
            3 SADD {a}a m
            3 DEL {a}a
            3 RPUSH {a}b m
            3 RENAME {a}b {a}a
            0?
            0! BLPOP {a}a 0
            3 RPUSH {a}b m
            3 COPY {a}b {a}a
            0?
            0! BLPOP {a}a 0
            3 SORT {a}b ALPHA STORE {a}a
            0?
            0! BLPOP {a}a 0
            1! BLPOP {a}a 0
            3 CLIENT UNBLOCK %0
            0?
            3 CLIENT UNBLOCK %1 ERROR
            1?
            3 CLIENT UNBLOCK %1
            3 CLIENT UNBLOCK 999999999
            3 CLIENT UNBLOCK %1 MAYBE
            0! BLMPOP 0 2 {a}q {a}r RIGHT COUNT 3
            3 MULTI
            3 RPUSH {a}r a b
            3 LPOP {a}r
            3 EXEC
            0?
            3 MULTI
            3 BLPOP none 0
            3 BRPOPLPUSH none {a}q 0
            3 BZPOPMAX none 0
            3 XREAD BLOCK 0 STREAMS none $
            3 BLMPOP 0 1 none LEFT
            3 EXEC
            0! BLPOP {a}w 0
            3 MULTI
            3 RPUSH {a}w 1
            3 DEL {a}w
            3 EXEC
            3 RPUSH {a}w 2
            0?
        ",
    },
    Scene {
        name: "connections and settings",
        versions: BOTH,
        lines: r"
            0 CLIENT GETNAME
            0 CLIENT SETNAME me
            0 CLIENT GETNAME
            0 CLIENT SETNAME 'a b'
            0 CLIENT SETNAME ''
            0 CLIENT GETNAME
            0 CLIENT NO-EVICT ON
            0 CLIENT NO-EVICT MAYBE
            0 CLIENT REPLY ON
            0 CLIENT REPLY MAYBE
            0 CLIENT KILL 999.999.999.999:1
            0 CLIENT KILL ID 999999999
            0 CLIENT KILL NOSUCH x
            0 CLIENT KILL ID x
            0 CLIENT KILL TYPE nosuch
            0 CLIENT LIST ID 999999999
            0 CLIENT LIST TYPE nosuch
            0 CLIENT LIST NOSUCH
            0 CLIENT PAUSE x
            0 CLIENT PAUSE -1
            0 CLIENT PAUSE 1 NOSUCH
            0 CLIENT PAUSE 0 WRITE
            0 CLIENT UNPAUSE
            0 CLIENT NOSUCH
            0 CLIENT
            0 CONFIG GET timeout nosuch
            0~ CONFIG SET maxmemory-policy nosuch
            0 CONFIG SET nosuch 1
            0 CONFIG SET timeout x
            0 CONFIG SET timeout
            0 CONFIG SET timeout 0 timeout 0
            0~ CONFIG GET hash-max-listpack-entries
            0 CONFIG SET hash-max-ziplist-entries 99
            0~ CONFIG GET hash-max-*-entries
            0 CONFIG SET hash-max-listpack-entries 128
            0 CONFIG GET
            0 CONFIG NOSUCH
            0 CONFIG RESETSTAT
            0 SELECT 16
            0 SELECT x
            0 SELECT 1
            0 RESET
            0 AUTH nobody
            0 AUTH default nopass
            0 AUTH a b c
            0 ECHO hi
            0 PING hi there
            0 QUITE
            0 NOSUCH a b c
            0 OBJECT NOSUCH k
            0 OBJECT ENCODING none
            0 OBJECT FREQ none
            0 OBJECT REFCOUNT none
            0 OBJECT
            0 MEMORY NOSUCH
            0 COMMAND GETKEYS SET k v
            0 COMMAND GETKEYS MSET a 1 b 2
            0 COMMAND GETKEYS EVAL x 2 a b c
            0 COMMAND GETKEYS XREAD COUNT 2 STREAMS a b 1 2
            0 COMMAND GETKEYS SORT a BY x STORE b
            0 COMMAND GETKEYS ZUNIONSTORE d 2 a b
            0 COMMAND GETKEYS GEORADIUS a 1 2 3 m STORE b
            0~ COMMAND GETKEYS PING
            0~ COMMAND GETKEYS NOSUCH
            0 COMMAND GETKEYS
            0~ COMMAND GETKEYSANDFLAGS SET k v
            0 COMMAND GETKEYSANDFLAGS LMOVE a b LEFT RIGHT
            0 COMMAND LIST FILTERBY PATTERN xgroupnone*
            0 COMMAND LIST FILTERBY NOSUCH x
            0 COMMAND INFO nosuch
            0 COMMAND NOSUCH
            0 MULTI
            0 MULTI
            0 WATCH a
            0 NOSUCH
            0 EXEC
            0 EXEC
            0 DISCARD
            0 UNWATCH
            1 WATCH {w}a {w}b
            2 SET {w}b 1
            1 MULTI
            1 SET {w}a 1
            1 EXEC
            1 EXISTS {w}a
            1 WATCH {w}a
            1 SET {w}a 5
            1 MULTI
            1 GET {w}a
            1 EXEC
            1 WATCH {w}none
            2 DEL {w}none
            2 FLUSHALL
            1 MULTI
            1 PING
            1 EXEC
            1 WATCH {w}k
            2 SET {w}k v PX 100000
            1 UNWATCH
            1 MULTI
            1 INCR {w}k
            1 LPUSH {w}k x
            1 SET {w}k ok
            1 EXEC
            1 MULTI
            1 SET {w}k
            1 EXEC
            1 HELLO 4
            1 HELLO x
            1 HELLO 2 SETNAME
            1~ DEBUG NOSUCH
            1 SLOWLOG GET x
            1 SLOWLOG NOSUCH
            1 LATENCY RESET nosuch
            1 LATENCY HISTORY nosuch
            1 LATENCY NOSUCH
            1 WAIT 0 0
            1 WAIT x 0
            1 WAIT 0 -1
            1 SWAPDB 0 0
            1 SWAPDB 0 99
            1 SWAPDB x 0
            1~ LOLWUT VERSION
            1~ READONLY
        ",
    },
];
