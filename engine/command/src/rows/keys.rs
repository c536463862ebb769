//! Keys of any type, and whole databases.

use super::subcommands::OBJECT;
use crate::spec::ServeCommand as On;
use crate::{conditional, dump, expiry, introspect, keys, keyspace, sort};

commands! { KEYS from super::strings::STRINGS_END, up to KEYS_END;
    "copy" AtLeast(3) Write FirstTwo Together => Store(keys::copy),
        "source destination [DB number] [REPLACE]"
        [DENYOOM] [KEYSPACE] ["RO access", "OW update"] []
        Generic "6.2.0" "O(N) in the elements" "Copies a key."
        at keys::copy_database;
    "del" AtLeast(2) Write All Sum => Store(keys::del_one), "key [key ...]"
        [] [KEYSPACE] ["RM delete"] [MULTI_SHARD SUM]
        Generic "1.0.0" "O(N) in the keys" "Deletes keys.";
    "delifeq" Exactly(3) Write First Single => Store(conditional::delifeq), "key value"
        [FAST] [STRING] ["RM delete"] []
        String "9.0.0" "O(1)" "Deletes a key if it holds this value (Valkey).";
    "dump" Exactly(2) Read First Single => Store(dump::dump), "key"
        [] [KEYSPACE] ["RO access"] [VARIES]
        Generic "2.6.0" "O(N) in the bytes of the value" "Gives a value in Redis's serialised form.";
    "exists" AtLeast(2) Read All Sum => Store(keys::exists_one), "key [key ...]"
        [FAST] [KEYSPACE] ["RO"] [MULTI_SHARD SUM]
        Generic "1.0.0" "O(N) in the keys" "Counts those keys that exist.";
    "expire" AtLeast(3) Write First Single => Store(expiry::expire),
        "key seconds [NX | XX | GT | LT]"
        [FAST] [KEYSPACE] ["RW update"] []
        Generic "1.0.0" "O(1)" "Sets the seconds a key has to live.";
    "expireat" AtLeast(3) Write First Single => Store(expiry::expireat),
        "key unix-seconds [NX | XX | GT | LT]"
        [FAST] [KEYSPACE] ["RW update"] []
        Generic "1.2.0" "O(1)" "Sets the second at which a key expires.";
    "expiretime" Exactly(2) Read First Single => Store(expiry::expiretime), "key"
        [FAST] [KEYSPACE] ["RO access"] []
        Generic "7.0.0" "O(1)" "Gives the second at which a key expires.";
    "keys" Exactly(2) Read None SpreadJoin => Store(keyspace::keys), "pattern"
        [] [KEYSPACE DANGEROUS] [] [ALL_SHARDS UNORDERED]
        Generic "1.0.0" "O(N) in the keys of the database" "Lists the keys that match a pattern.";
    "move" Exactly(3) Write First Single => Store(keys::move_key), "key db"
        [FAST] [KEYSPACE] ["RW access update"] []
        Generic "1.0.0" "O(1)" "Moves a key to another database."
        at keys::move_database;
    "object" AtLeast(2) Neither None Single => Store(introspect::help), "subcommand [argument ...]"
        [] [] [] []
        Generic "2.2.3" "Depends on the subcommand" "Looks into the value of a key." of OBJECT;
    "persist" Exactly(2) Write First Single => Store(expiry::persist), "key"
        [FAST] [KEYSPACE] ["RW update"] []
        Generic "2.2.0" "O(1)" "Drops the expiry of a key.";
    "pexpire" AtLeast(3) Write First Single => Store(expiry::pexpire),
        "key milliseconds [NX | XX | GT | LT]"
        [FAST] [KEYSPACE] ["RW update"] []
        Generic "2.6.0" "O(1)" "Sets the milliseconds a key has to live.";
    "pexpireat" AtLeast(3) Write First Single => Store(expiry::pexpireat),
        "key unix-milliseconds [NX | XX | GT | LT]"
        [FAST] [KEYSPACE] ["RW update"] []
        Generic "2.6.0" "O(1)" "Sets the millisecond at which a key expires.";
    "pexpiretime" Exactly(2) Read First Single => Store(expiry::pexpiretime), "key"
        [FAST] [KEYSPACE] ["RO access"] []
        Generic "7.0.0" "O(1)" "Gives the millisecond at which a key expires.";
    "pttl" Exactly(2) Read First Single => Store(expiry::pttl), "key"
        [FAST] [KEYSPACE] ["RO access"] [VARIES]
        Generic "2.6.0" "O(1)" "Gives the milliseconds a key has to live.";
    "randomkey" Exactly(1) Read None Pick => Store(keys::random), ""
        [] [KEYSPACE] [] [ALL_SHARDS SPECIAL VARIES]
        Generic "1.0.0" "O(1)" "Gives one key of the database, by chance.";
    "rename" Exactly(3) Write FirstTwo Together => Store(keys::rename), "key newkey"
        [] [KEYSPACE] ["RW access delete", "OW update"] []
        Generic "1.0.0" "O(1)" "Renames a key.";
    "renamenx" Exactly(3) Write FirstTwo Together => Store(keys::renamenx), "key newkey"
        [FAST] [KEYSPACE] ["RW access delete", "OW insert"] []
        Generic "1.0.0" "O(1)" "Renames a key if the new name is free.";
    "restore" AtLeast(4) Write First Single => Store(dump::restore),
        "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]"
        [DENYOOM] [KEYSPACE DANGEROUS] ["OW update"] []
        Generic "2.6.0" "O(N) in the bytes of the value" "Makes a key from a serialised value.";
    "scan" AtLeast(2) Read None Cursor => Store(keyspace::scan),
        "cursor [MATCH pattern] [COUNT count] [TYPE type]"
        [] [KEYSPACE] [] [VARIES SPECIAL_REQUEST SPECIAL]
        Generic "2.8.0" "O(1) a call" "Goes through the keys of the database, some a call.";
    "sort" AtLeast(2) Write AndStore Together => Store(sort::sort),
        "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] \
         [ALPHA] [STORE destination]"
        [DENYOOM] [SET SORTEDSET LIST DANGEROUS] ["RO access", "OW update"] []
        Generic "1.0.0" "O(N+M*log(M)) in the elements and those returned"
        "Sorts the elements of a list, set or sorted set; stores them if asked to.", forms sort::formed_keys;
    "sort_ro" AtLeast(2) Read First Together => Store(sort::sort_ro),
        "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA]"
        [] [SET SORTEDSET LIST DANGEROUS] ["RO access"] []
        Generic "7.0.0" "O(N+M*log(M)) in the elements and those returned"
        "Sorts the elements of a list, set or sorted set.", forms sort::formed_keys;
    "touch" AtLeast(2) Read All Sum => Store(keys::touch_one), "key [key ...]"
        [FAST] [KEYSPACE] ["RO"] [MULTI_SHARD SUM]
        Generic "3.2.1" "O(N) in the keys" "Marks keys as used and counts those that exist.";
    "ttl" Exactly(2) Read First Single => Store(expiry::ttl), "key"
        [FAST] [KEYSPACE] ["RO access"] [VARIES]
        Generic "1.0.0" "O(1)" "Gives the seconds a key has to live.";
    "type" Exactly(2) Read First Single => Store(keys::type_of), "key"
        [FAST] [KEYSPACE] ["RO"] []
        Generic "1.0.0" "O(1)" "Gives the type of a key's value.";
    "unlink" AtLeast(2) Write All Sum => Store(keys::del_one), "key [key ...]"
        [FAST] [KEYSPACE] ["RM delete"] [MULTI_SHARD SUM]
        Generic "4.0.0" "O(N) in the keys" "Deletes keys; large values are freed in slices.";
    "wait" Exactly(3) Neither None Single => Serve(On::Wait), "replicas timeout"
        [NOSCRIPT] [CONNECTION] [] [ALL_SHARDS MIN]
        Generic "3.0.0" "O(1)" "Waits until replicas have this connection's writes.";
    "waitaof" Exactly(4) Neither None Single => Serve(On::WaitAof), "numlocal numreplicas timeout"
        [NOSCRIPT] [CONNECTION] [] [ALL_SHARDS MIN]
        Generic "7.2.0" "O(1)" "Waits until files have this connection's writes; there are none.";

    // Whole databases
    "dbsize" Exactly(1) Read None SpreadSum => Store(keyspace::dbsize), ""
        [FAST] [KEYSPACE] [] [ALL_SHARDS SUM]
        Server "1.0.0" "O(1)" "Counts the keys of the database.";
    "flushall" AtLeast(1) Write None SpreadOk => Store(keyspace::flushall), "[ASYNC | SYNC]"
        [] [KEYSPACE DANGEROUS] [] [ALL_SHARDS SUCCEEDED]
        Server "1.0.0" "O(N) in the keys, in slices" "Deletes the keys of all databases.";
    "flushdb" AtLeast(1) Write None SpreadOk => Store(keyspace::flushdb), "[ASYNC | SYNC]"
        [] [KEYSPACE DANGEROUS] [] [ALL_SHARDS SUCCEEDED]
        Server "1.0.0" "O(N) in the keys, in slices" "Deletes the keys of the database.";
    "swapdb" Exactly(3) Write None SpreadOk => Store(keyspace::swapdb), "index1 index2"
        [FAST] [KEYSPACE DANGEROUS] [] []
        Server "4.0.0" "O(1)" "Exchanges two databases.";

}
