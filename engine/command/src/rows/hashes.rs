//! Hashes.

use crate::{hash, hash_expiry};

commands! { HASHES from super::keys::KEYS_END, up to HASHES_END;
    "hdel" AtLeast(3) Write First Single => Store(hash::hdel), "key field [field ...]"
        [FAST] [HASH] ["RW delete"] []
        Hash "2.0.0" "O(N) in the fields" "Deletes fields.";
    "hexists" Exactly(3) Read First Single => Store(hash::hexists), "key field"
        [FAST] [HASH] ["RO"] []
        Hash "2.0.0" "O(1)" "Whether a field is there.";
    "hexpire" AtLeast(6) Write First Single => Store(hash_expiry::hexpire), "key seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]"
        [DENYOOM FAST] [HASH] ["RW update"] []
        Hash "7.4.0" "O(N) in the fields" "Sets when fields are due, in seconds from now.";
    "hexpireat" AtLeast(6) Write First Single => Store(hash_expiry::hexpireat), "key unix-time-seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]"
        [DENYOOM FAST] [HASH] ["RW update"] []
        Hash "7.4.0" "O(N) in the fields" "Sets when fields are due, in seconds since the epoch.";
    "hexpiretime" AtLeast(5) Read First Single => Store(hash_expiry::hexpiretime), "key FIELDS numfields field [field ...]"
        [FAST] [HASH] ["RO access"] []
        Hash "7.4.0" "O(N) in the fields" "When fields are due, in seconds since the epoch.";
    "hget" Exactly(3) Read First Single => Store(hash::hget), "key field"
        [FAST] [HASH] ["RO access"] []
        Hash "2.0.0" "O(1)" "Gives the value of a field.";
    "hgetall" Exactly(2) Read First Single => Store(hash::hgetall), "key"
        [] [HASH] ["RO access"] [UNORDERED]
        Hash "2.0.0" "O(N) in the fields" "Gives all fields and values.";
    "hgetdel" AtLeast(5) Write First Single => Store(hash_expiry::hgetdel), "key FIELDS numfields field [field ...]"
        [FAST] [HASH] ["RW access delete"] []
        Hash "8.0.0" "O(N) in the fields" "Gives the values of fields and deletes them.";
    "hgetex" AtLeast(5) Write First Single => Store(hash_expiry::hgetex), "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST] FIELDS numfields field [field ...]"
        [FAST] [HASH] ["RW access update"] []
        Hash "8.0.0" "O(N) in the fields" "Gives the values of fields and sets or drops their expiry.";
    "hincrby" Exactly(4) Write First Single => Store(hash::hincrby), "key field increment"
        [DENYOOM FAST] [HASH] ["RW access update"] []
        Hash "2.0.0" "O(1)" "Adds a number to the integer in a field.";
    "hincrbyfloat" Exactly(4) Write First Single => Store(hash::hincrbyfloat), "key field float-increment"
        [DENYOOM FAST] [HASH] ["RW access update"] []
        Hash "2.6.0" "O(1)" "Adds a number with a fraction to a field.";
    "hkeys" Exactly(2) Read First Single => Store(hash::hkeys), "key"
        [] [HASH] ["RO access"] [UNORDERED]
        Hash "2.0.0" "O(N) in the fields" "Gives all fields.";
    "hlen" Exactly(2) Read First Single => Store(hash::hlen), "key"
        [FAST] [HASH] ["RO"] []
        Hash "2.0.0" "O(1)" "How many fields there are.";
    "hmget" AtLeast(3) Read First Single => Store(hash::hmget), "key field [field ...]"
        [FAST] [HASH] ["RO access"] []
        Hash "2.0.0" "O(N) in the fields" "Gives the values of several fields.";
    "hmset" AtLeast(4) Write First Single => Store(hash::hmset), "key field value [field value ...]"
        [DENYOOM FAST] [HASH] ["RW update"] []
        Hash "2.0.0" "O(N) in the fields" "Sets fields.", instead "4.0.0" "`HSET`";
    "hpersist" AtLeast(5) Write First Single => Store(hash_expiry::hpersist), "key FIELDS numfields field [field ...]"
        [FAST] [HASH] ["RW update"] []
        Hash "7.4.0" "O(N) in the fields" "Lets fields live for ever.";
    "hpexpire" AtLeast(6) Write First Single => Store(hash_expiry::hpexpire), "key milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]"
        [DENYOOM FAST] [HASH] ["RW update"] []
        Hash "7.4.0" "O(N) in the fields" "Sets when fields are due, in milliseconds from now.";
    "hpexpireat" AtLeast(6) Write First Single => Store(hash_expiry::hpexpireat), "key unix-time-milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]"
        [DENYOOM FAST] [HASH] ["RW update"] []
        Hash "7.4.0" "O(N) in the fields" "Sets when fields are due, in milliseconds since the epoch.";
    "hpexpiretime" AtLeast(5) Read First Single => Store(hash_expiry::hpexpiretime), "key FIELDS numfields field [field ...]"
        [FAST] [HASH] ["RO access"] []
        Hash "7.4.0" "O(N) in the fields" "When fields are due, in milliseconds since the epoch.";
    "hpttl" AtLeast(5) Read First Single => Store(hash_expiry::hpttl), "key FIELDS numfields field [field ...]"
        [FAST] [HASH] ["RO access"] [VARIES]
        Hash "7.4.0" "O(N) in the fields" "How long fields still live, in milliseconds.";
    "hrandfield" AtLeast(2) Read First Single => Store(hash::hrandfield), "key [count [WITHVALUES]]"
        [] [HASH] ["RO access"] [VARIES]
        Hash "6.2.0" "O(N) in the fields returned" "Gives fields by chance.";
    "hscan" AtLeast(3) Read First Single => Store(hash::hscan), "key cursor [MATCH pattern] [COUNT count] [NOVALUES]"
        [] [HASH] ["RO access"] [VARIES]
        Hash "2.8.0" "O(1) a call" "Walks through the fields.";
    "hset" AtLeast(4) Write First Single => Store(hash::hset), "key field value [field value ...]"
        [DENYOOM FAST] [HASH] ["RW update"] []
        Hash "2.0.0" "O(N) in the fields" "Sets fields.";
    "hsetex" AtLeast(6) Write First Single => Store(hash_expiry::hsetex), "key [NX | XX] [FNX | FXX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL] FIELDS numfields field value [field value ...]"
        [DENYOOM FAST] [HASH] ["RW update"] []
        Hash "8.0.0" "O(N) in the fields" "Sets fields together with their expiry.";
    "hsetnx" Exactly(4) Write First Single => Store(hash::hsetnx), "key field value"
        [DENYOOM FAST] [HASH] ["RW insert"] []
        Hash "2.0.0" "O(1)" "Sets a field that is not there.";
    "hstrlen" Exactly(3) Read First Single => Store(hash::hstrlen), "key field"
        [FAST] [HASH] ["RO"] []
        Hash "3.2.0" "O(1)" "The length of the value of a field.";
    "httl" AtLeast(5) Read First Single => Store(hash_expiry::httl), "key FIELDS numfields field [field ...]"
        [FAST] [HASH] ["RO access"] [VARIES]
        Hash "7.4.0" "O(N) in the fields" "How long fields still live, in seconds.";
    "hvals" Exactly(2) Read First Single => Store(hash::hvals), "key"
        [] [HASH] ["RO access"] [UNORDERED]
        Hash "2.0.0" "O(N) in the fields" "Gives all values.";
}
