//! Strings.

use crate::{conditional, counter, increx, lcs, strings};

commands! { STRINGS from 0, up to STRINGS_END;
    "append" Exactly(3) Write First Single => Store(strings::append), "key value"
        [DENYOOM FAST] [STRING] ["RW insert"] []
        String "2.0.0" "O(1) amortised" "Adds bytes at the end of a string.";
    "decr" Exactly(2) Write First Single => Store(counter::decr), "key"
        [DENYOOM FAST] [STRING] ["RW access update"] []
        String "1.0.0" "O(1)" "Takes one from an integer.";
    "decrby" Exactly(3) Write First Single => Store(counter::decrby), "key decrement"
        [DENYOOM FAST] [STRING] ["RW access update"] []
        String "1.0.0" "O(1)" "Takes a number from an integer.";
    "delex" AtLeast(2) Write First Single => Store(conditional::delex),
        "key [IFEQ value | IFNE value | IFDEQ digest | IFDNE digest]"
        [FAST] [STRING] ["RW delete variable_flags"] []
        String "8.4.0" "O(1), and O(N) in the bytes of a digest"
        "Deletes a key if it holds, or does not hold, a value.",
        by conditional::delex_key_flags;
    "digest" Exactly(2) Read First Single => Store(conditional::digest), "key"
        [FAST] [STRING] ["RO access"] []
        String "8.4.0" "O(N) in the bytes" "Gives a hash of a string, to compare with later.";
    "get" Exactly(2) Read First Single => Store(strings::get), "key"
        [FAST] [STRING] ["RO access"] []
        String "1.0.0" "O(1)" "Gives the value of a key.";
    "getdel" Exactly(2) Write First Single => Store(strings::getdel), "key"
        [FAST] [STRING] ["RW access delete"] []
        String "6.2.0" "O(1)" "Gives the value of a key and deletes the key.";
    "getex" AtLeast(2) Write First Single => Store(strings::getex),
        "key [EX seconds | PX milliseconds | EXAT unix-seconds | PXAT unix-milliseconds | PERSIST]"
        [FAST] [STRING] ["RW access update"] []
        String "6.2.0" "O(1)" "Gives the value of a key and sets or drops its expiry.";
    "getrange" Exactly(4) Read First Single => Store(strings::getrange), "key start end"
        [] [STRING] ["RO access"] []
        String "2.4.0" "O(N) in the bytes returned" "Gives a part of a string.";
    "getset" Exactly(3) Write First Single => Store(strings::getset), "key value"
        [DENYOOM FAST] [STRING] ["RW access update"] []
        String "1.0.0" "O(1)" "Sets a string and gives what it was.", instead "6.2.0" "`SET` with `GET`";
    "incr" Exactly(2) Write First Single => Store(counter::incr), "key"
        [DENYOOM FAST] [STRING] ["RW access update"] []
        String "1.0.0" "O(1)" "Adds one to an integer.";
    "incrby" Exactly(3) Write First Single => Store(counter::incrby), "key increment"
        [DENYOOM FAST] [STRING] ["RW access update"] []
        String "1.0.0" "O(1)" "Adds a number to an integer.";
    "incrbyfloat" Exactly(3) Write First Single => Store(counter::incrbyfloat), "key float-increment"
        [DENYOOM FAST] [STRING] ["RW access update"] []
        String "2.6.0" "O(1)" "Adds a number with a fraction.";
    "increx" AtLeast(2) Write First Single => Store(increx::increx),
        "key [NX | XX] [BYFLOAT float | BYINT integer] [LBOUND lowerbound] [UBOUND upperbound] [SATURATE] \
         [EX seconds | PX milliseconds | EXAT unix-seconds | PXAT unix-milliseconds | PERSIST] [ENX]"
        [DENYOOM FAST] [STRING] ["RW access update"] []
        String "8.8.0" "O(1)" "Adds to a number within bounds, and sets its expiry.";
    "lcs" AtLeast(3) Read FirstTwo Together => Store(lcs::lcs),
        "key1 key2 [LEN] [IDX] [MINMATCHLEN length] [WITHMATCHLEN]"
        [] [STRING] ["RO access"] []
        String "7.0.0" "O(N*M) in the lengths" "Finds the longest common subsequence.";
    "mget" AtLeast(2) Read All Ordered => Store(strings::mget_one), "key [key ...]"
        [FAST] [STRING] ["RO access"] [MULTI_SHARD]
        String "1.0.0" "O(N) in the keys" "Gives the values of several keys.";
    "mset" AtLeast(3) Write Pairs Together => Store(strings::mset), "key value [key value ...]"
        [DENYOOM] [STRING] ["OW update"] [MULTI_SHARD SUCCEEDED]
        String "1.0.1" "O(N) in the keys" "Sets several keys at once.";
    "msetex" AtLeast(4) Write CountedPairs(1) Together => Store(conditional::msetex),
        "numkeys key value [key value ...] [NX | XX] [EX seconds | PX milliseconds | \
         EXAT unix-seconds | PXAT unix-milliseconds | KEEPTTL]"
        [DENYOOM] [STRING] ["OW update"] [MULTI_SHARD SUCCEEDED]
        String "8.4.0" "O(N) in the keys" "Sets several keys at once, with one condition and expiry.";
    "msetnx" AtLeast(3) Write Pairs Together => Store(strings::msetnx), "key value [key value ...]"
        [DENYOOM] [STRING] ["OW insert"] []
        String "1.0.1" "O(N) in the keys" "Sets several keys if none of them exists.";
    "psetex" Exactly(4) Write First Single => Store(strings::psetex), "key milliseconds value"
        [DENYOOM] [STRING] ["OW update"] []
        String "2.6.0" "O(1)" "Sets a string that expires, in milliseconds.", instead "2.6.12" "`SET` with `PX`";
    "set" AtLeast(3) Write First Single => Store(strings::set),
        "key value [NX | XX | IFEQ value | IFNE value | IFDEQ digest | IFDNE digest] [GET] \
         [EX seconds | PX milliseconds | EXAT unix-seconds | PXAT unix-milliseconds | KEEPTTL]"
        [DENYOOM] [STRING] ["RW access update variable_flags"] []
        String "1.0.0" "O(1)" "Sets a string.", by strings::set_key_flags;
    "setex" Exactly(4) Write First Single => Store(strings::setex), "key seconds value"
        [DENYOOM] [STRING] ["OW update"] []
        String "2.0.0" "O(1)" "Sets a string that expires.", instead "2.6.12" "`SET` with `EX`";
    "setnx" Exactly(3) Write First Single => Store(strings::setnx), "key value"
        [DENYOOM FAST] [STRING] ["OW insert"] []
        String "1.0.0" "O(1)" "Sets a string if the key does not exist.", instead "2.6.12" "`SET` with `NX`";
    "setrange" Exactly(4) Write First Single => Store(strings::setrange), "key offset value"
        [DENYOOM] [STRING] ["RW update"] []
        String "2.2.0" "O(M) in the bytes written" "Overwrites a part of a string.";
    "strlen" Exactly(2) Read First Single => Store(strings::strlen), "key"
        [FAST] [STRING] ["RO"] []
        String "2.2.0" "O(1)" "Gives the length of a string.";
    "substr" Exactly(4) Read First Single => Store(strings::getrange), "key start end"
        [] [STRING] ["RO access"] []
        String "1.0.0" "O(N) in the bytes returned" "The old name of GETRANGE.", instead "2.0.0" "`GETRANGE`";

}
