//! THE command table. A command is one row here and one function in its family's file; arity
//! errors, routing, merging of lanes, `COMMAND`, help texts and the reference page derive from the
//! row. [`lookup`] finds a row by name, [`resolve`] the row of a whole command, or its refusal.

use crate::spec::ServeCommand as On;
use crate::spec::{Access, Arity, Categories, CommandSpec, Flags, Group, Keys, Merge, Run};
use crate::{CommandError, parse};
use crate::{counter, expiry, introspect, keys, keyspace, lcs, object, strings};

/// What clients are told in `COMMAND`'s tips.
mod tip {
    pub const MULTI_SHARD: &str = "request_policy:multi_shard";
    pub const ALL_SHARDS: &str = "request_policy:all_shards";
    pub const ALL_NODES: &str = "request_policy:all_nodes";
    pub const SPECIAL_REQUEST: &str = "request_policy:special";
    pub const SUM: &str = "response_policy:agg_sum";
    pub const MIN: &str = "response_policy:agg_min";
    pub const SUCCEEDED: &str = "response_policy:all_succeeded";
    pub const SPECIAL: &str = "response_policy:special";
    pub const VARIES: &str = "nondeterministic_output";
    pub const UNORDERED: &str = "nondeterministic_output_order";
}

/// Rows: `"name" Arity(n) Access Keys Merge => Run(who), "arguments"`, then
/// `[flags] [categories] [what happens to the keys] [tips]`, then
/// `Group "since" "complexity" "summary"` and, for a container, `of SUBCOMMANDS`; for
/// a command that can name another database, `at` the function that reads which.
macro_rules! commands {
    ($table:ident from $first:expr, up to $end:ident; $(
        $name:literal $arity:ident($count:literal) $access:ident $keys:ident $merge:ident
        => $run:ident($target:path), $arguments:literal
        [$($flag:ident)*] [$($category:ident)*] [$($key_flags:literal),*] [$($tip:ident)*]
        $group:ident $since:literal $complexity:literal $summary:literal
        $(of $subcommands:ident)? $(at $second_database:path)? ;
    )*) => {
        const $end: usize = $first + [$($name),*].len();
        static $table: &[CommandSpec] = &numbered($first, [$(CommandSpec {
            name: $name,
            id: 0,
            arity: Arity::$arity($count),
            access: Access::$access,
            keys: Keys::$keys,
            merge: Merge::$merge,
            flags: Flags::NONE$(.and(Flags::$flag))*,
            group: Group::$group,
            since: $since,
            complexity: $complexity,
            summary: $summary,
            arguments: $arguments,
            categories: Categories::NONE$(.and(Categories::$category))*,
            key_flags: &[$($key_flags),*],
            tips: &[$(tip::$tip),*],
            subcommands: subcommands!($($subcommands)?),
            second_database: second_database!($($second_database)?),
            run: Run::$run($target),
        }),*]);
    };
}

macro_rules! subcommands {
    () => {
        &[]
    };
    ($table:ident) => {
        $table
    };
}

macro_rules! second_database {
    () => {
        None
    };
    ($read:path) => {
        Some($read)
    };
}

const fn numbered<const N: usize>(first: usize, mut rows: [CommandSpec; N]) -> [CommandSpec; N] {
    let mut at = 0;
    while at < N {
        rows[at].id = (first + at) as u16;
        at += 1;
    }
    rows
}

commands! { COMMANDS from 0, up to COMMANDS_END;
    // Strings
    "append" Exactly(3) Write First Single => Store(strings::append), "key value"
        [DENYOOM FAST] [STRING] ["RW insert"] []
        String "2.0.0" "O(1) amortised" "Adds bytes at the end of a string.";
    "decr" Exactly(2) Write First Single => Store(counter::decr), "key"
        [DENYOOM FAST] [STRING] ["RW access update"] []
        String "1.0.0" "O(1)" "Takes one from an integer.";
    "decrby" Exactly(3) Write First Single => Store(counter::decrby), "key decrement"
        [DENYOOM FAST] [STRING] ["RW access update"] []
        String "1.0.0" "O(1)" "Takes a number from an integer.";
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
        String "1.0.0" "O(1)" "Sets a string and gives what it was.";
    "incr" Exactly(2) Write First Single => Store(counter::incr), "key"
        [DENYOOM FAST] [STRING] ["RW access update"] []
        String "1.0.0" "O(1)" "Adds one to an integer.";
    "incrby" Exactly(3) Write First Single => Store(counter::incrby), "key increment"
        [DENYOOM FAST] [STRING] ["RW access update"] []
        String "1.0.0" "O(1)" "Adds a number to an integer.";
    "incrbyfloat" Exactly(3) Write First Single => Store(counter::incrbyfloat), "key increment"
        [DENYOOM FAST] [STRING] ["RW access update"] []
        String "2.6.0" "O(1)" "Adds a number with a fraction.";
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
    "msetnx" AtLeast(3) Write Pairs Together => Store(strings::msetnx), "key value [key value ...]"
        [DENYOOM] [STRING] ["OW insert"] [MULTI_SHARD MIN]
        String "1.0.1" "O(N) in the keys" "Sets several keys if none of them exists.";
    "psetex" Exactly(4) Write First Single => Store(strings::psetex), "key milliseconds value"
        [DENYOOM] [STRING] ["OW update"] []
        String "2.6.0" "O(1)" "Sets a string that expires, in milliseconds.";
    "set" AtLeast(3) Write First Single => Store(strings::set),
        "key value [NX | XX | IFEQ value] [GET] [EX seconds | PX milliseconds | EXAT unix-seconds | \
         PXAT unix-milliseconds | KEEPTTL]"
        [DENYOOM] [STRING] ["RW access update variable_flags"] []
        String "1.0.0" "O(1)" "Sets a string.";
    "setex" Exactly(4) Write First Single => Store(strings::setex), "key seconds value"
        [DENYOOM] [STRING] ["OW update"] []
        String "2.0.0" "O(1)" "Sets a string that expires.";
    "setnx" Exactly(3) Write First Single => Store(strings::setnx), "key value"
        [DENYOOM FAST] [STRING] ["OW insert"] []
        String "1.0.0" "O(1)" "Sets a string if the key does not exist.";
    "setrange" Exactly(4) Write First Single => Store(strings::setrange), "key offset value"
        [DENYOOM] [STRING] ["RW update"] []
        String "2.2.0" "O(M) in the bytes written" "Overwrites a part of a string.";
    "strlen" Exactly(2) Read First Single => Store(strings::strlen), "key"
        [FAST] [STRING] ["RO"] []
        String "2.2.0" "O(1)" "Gives the length of a string.";
    "substr" Exactly(4) Read First Single => Store(strings::getrange), "key start end"
        [] [STRING] ["RO access"] []
        String "1.0.0" "O(N) in the bytes returned" "The old name of GETRANGE.";

    // Keys
    "copy" AtLeast(3) Write FirstTwo Together => Store(keys::copy),
        "source destination [DB number] [REPLACE]"
        [DENYOOM] [KEYSPACE] ["RO access", "OW update"] []
        Generic "6.2.0" "O(N) in the elements" "Copies a key."
        at keys::copy_database;
    "del" AtLeast(2) Write All Sum => Store(keys::del_one), "key [key ...]"
        [] [KEYSPACE] ["RM delete"] [MULTI_SHARD SUM]
        Generic "1.0.0" "O(N) in the keys" "Deletes keys.";
    "delifeq" Exactly(3) Write First Single => Store(keys::delifeq), "key value"
        [FAST] [STRING] ["RM delete"] []
        String "9.0.0" "O(1)" "Deletes a key if it holds this value (Valkey).";
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
        Generic "1.0.0" "O(1)" "Moves a key to another database.";
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
        [] [KEYSPACE] [] [ALL_SHARDS VARIES]
        Generic "1.0.0" "O(1)" "Gives one key of the database, by chance.";
    "rename" Exactly(3) Write FirstTwo Together => Store(keys::rename), "key newkey"
        [] [KEYSPACE] ["RW access delete", "OW update"] []
        Generic "1.0.0" "O(1)" "Renames a key.";
    "renamenx" Exactly(3) Write FirstTwo Together => Store(keys::renamenx), "key newkey"
        [FAST] [KEYSPACE] ["RW access delete", "OW insert"] []
        Generic "1.0.0" "O(1)" "Renames a key if the new name is free.";
    "scan" AtLeast(2) Read None Cursor => Store(keyspace::scan),
        "cursor [MATCH pattern] [COUNT count] [TYPE type]"
        [] [KEYSPACE] [] [VARIES SPECIAL_REQUEST]
        Generic "2.8.0" "O(1) a call" "Goes through the keys of the database, some a call.";
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

    // Connection
    "asking" Exactly(1) Neither None Single => Serve(On::Asking), ""
        [FAST] [CONNECTION] [] []
        Cluster "3.0.0" "O(1)" "Announces that the next command follows an ASK redirection.";
    "auth" AtLeast(2) Neither None Single => Serve(On::Auth), "[username] password"
        [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY] [CONNECTION] [] []
        Connection "1.0.0" "O(1)" "Authenticates the connection.";
    "client" AtLeast(2) Neither None Single => Serve(On::Client), "subcommand [argument ...]"
        [] [] [] []
        Connection "2.4.0" "Depends on the subcommand" "Tells of connections and steers them."
        of CLIENT;
    "echo" Exactly(2) Neither None Single => Serve(On::Echo), "message"
        [LOADING STALE FAST] [CONNECTION] [] []
        Connection "1.0.0" "O(1)" "Gives the message back.";
    "hello" AtLeast(1) Neither None Single => Serve(On::Hello),
        "[protover [AUTH username password] [SETNAME clientname]]"
        [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY] [CONNECTION] [] []
        Connection "6.0.0" "O(1)" "Agrees on the protocol and tells of the server.";
    "ping" AtLeast(1) Neither None Single => Serve(On::Ping), "[message]"
        [FAST] [CONNECTION] [] [ALL_SHARDS SUCCEEDED]
        Connection "1.0.0" "O(1)" "Answers.";
    "quit" AtLeast(1) Neither None Single => Serve(On::Quit), ""
        [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY] [CONNECTION] [] []
        Connection "1.0.0" "O(1)" "Closes the connection.";
    "readonly" Exactly(1) Neither None Single => Serve(On::ReadOnly), ""
        [LOADING STALE FAST] [CONNECTION] [] []
        Cluster "3.0.0" "O(1)" "Allows reads from a replica on this connection.";
    "readwrite" Exactly(1) Neither None Single => Serve(On::ReadWrite), ""
        [LOADING STALE FAST] [CONNECTION] [] []
        Cluster "3.0.0" "O(1)" "Takes READONLY back.";
    "reset" Exactly(1) Neither None Single => Serve(On::Reset), ""
        [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY] [CONNECTION] [] []
        Connection "6.2.0" "O(1)" "Makes the connection as new.";
    "select" Exactly(2) Neither None Single => Serve(On::Select), "index"
        [LOADING STALE FAST] [CONNECTION] [] []
        Connection "1.0.0" "O(1)" "Chooses the connection's database.";

    // Server
    "cluster" AtLeast(2) Neither None Single => Serve(On::Cluster), "subcommand [argument ...]"
        [] [] [] []
        Cluster "3.0.0" "Depends on the subcommand" "Tells which slots are where." of CLUSTER;
    "command" AtLeast(1) Neither None Single => Serve(On::Command), "[subcommand [argument ...]]"
        [LOADING STALE] [CONNECTION] [] [UNORDERED]
        Server "2.8.13" "O(N) in the commands" "Tells of the commands there are." of COMMAND;
    "config" AtLeast(2) Neither None Single => Serve(On::Config), "subcommand [argument ...]"
        [] [] [] []
        Server "2.0.0" "Depends on the subcommand" "Reads and changes settings." of CONFIG;
    "debug" AtLeast(2) Neither None Single => Serve(On::Debug), "subcommand [argument ...]"
        [ADMIN NOSCRIPT LOADING STALE] [] [] []
        Server "1.0.0" "Depends on the subcommand" "Helps testing.";
    "info" AtLeast(1) Neither None Single => Serve(On::Info), "[section ...]"
        [LOADING STALE] [DANGEROUS] [] [VARIES ALL_SHARDS SPECIAL]
        Server "1.0.0" "O(1)" "Tells of the server's state and statistics.";
    "latency" AtLeast(2) Neither None Single => Serve(On::Latency), "subcommand [argument ...]"
        [] [] [] []
        Server "2.8.13" "Depends on the subcommand" "Tells how long commands took." of LATENCY;
    "lolwut" AtLeast(1) Read None Single => Serve(On::Lolwut), "[VERSION version]"
        [FAST] [] [] []
        Server "5.0.0" "O(1)" "Shows a picture and the version.";
    "memory" AtLeast(2) Neither None Single => Serve(On::Memory), "subcommand [argument ...]"
        [] [] [] []
        Server "4.0.0" "Depends on the subcommand" "Tells of memory." of MEMORY;
    "shutdown" AtLeast(1) Neither None Single => Serve(On::Shutdown),
        "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]"
        [ADMIN NOSCRIPT LOADING STALE NO_MULTI ALLOW_BUSY] [] [] []
        Server "1.0.0" "O(1)" "Stops the server.";
    "slowlog" AtLeast(2) Neither None Single => Serve(On::Slowlog), "subcommand [argument ...]"
        [] [] [] []
        Server "2.2.12" "Depends on the subcommand" "Tells of slow commands." of SLOWLOG;
    "time" Exactly(1) Neither None Single => Serve(On::Time), ""
        [LOADING STALE FAST] [] [] [VARIES]
        Server "2.6.0" "O(1)" "Gives the server's time.";
}

commands! { OBJECT from COMMANDS_END, up to OBJECT_END;
    "object|encoding" Exactly(3) Read Second Single => Store(object::encoding), "key"
        [] [KEYSPACE] ["RO"] [VARIES]
        Generic "2.2.3" "O(1)" "How the value is stored.";
    "object|freq" Exactly(3) Read Second Single => Store(object::freq), "key"
        [] [KEYSPACE] ["RO"] [VARIES]
        Generic "4.0.0" "O(1)" "How often the value is used, as far as eviction keeps count.";
    "object|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [KEYSPACE] [] []
        Generic "6.2.0" "O(1)" "Prints this help.";
    "object|idletime" Exactly(3) Read Second Single => Store(object::idletime), "key"
        [] [KEYSPACE] ["RO"] [VARIES]
        Generic "2.2.3" "O(1)" "Seconds since the last use, as far as eviction keeps count.";
    "object|refcount" Exactly(3) Read Second Single => Store(object::refcount), "key"
        [] [KEYSPACE] ["RO"] [VARIES]
        Generic "2.2.3" "O(1)" "How many keys share the value: one.";
}

commands! { CLIENT from OBJECT_END, up to CLIENT_END;
    "client|getname" Exactly(2) Neither None Single => Serve(On::Client), ""
        [NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "2.6.9" "O(1)" "The name of this connection.";
    "client|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [CONNECTION] [] []
        Connection "5.0.0" "O(1)" "Prints this help.";
    "client|id" Exactly(2) Neither None Single => Serve(On::Client), ""
        [NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "5.0.0" "O(1)" "The number of this connection.";
    "client|info" Exactly(2) Neither None Single => Serve(On::Client), ""
        [NOSCRIPT LOADING STALE] [CONNECTION] [] [VARIES]
        Connection "6.2.0" "O(1)" "Tells of this connection.";
    "client|kill" AtLeast(3) Neither None Single => Serve(On::Client),
        "ip:port | [ID id] [TYPE type] [USER name] [ADDR ip:port] [LADDR ip:port] [SKIPME YES | NO]"
        [ADMIN NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "2.4.0" "O(N) in the connections" "Closes connections.";
    "client|list" AtLeast(2) Neither None Single => Serve(On::Client), "[TYPE type] [ID id ...]"
        [ADMIN NOSCRIPT LOADING STALE] [CONNECTION] [] [VARIES]
        Connection "2.4.0" "O(N) in the connections" "Tells of all connections.";
    "client|no-evict" Exactly(3) Neither None Single => Serve(On::Client), "ON | OFF"
        [ADMIN NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "7.0.0" "O(1)" "Spares this connection when connections must close.";
    "client|no-touch" Exactly(3) Neither None Single => Serve(On::Client), "ON | OFF"
        [NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "7.2.0" "O(1)" "Lets this connection's reads not count as use.";
    "client|pause" AtLeast(3) Neither None Single => Serve(On::Client), "timeout [WRITE | ALL]"
        [ADMIN NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "2.9.50" "O(1)" "Holds all commands, or the writes, for milliseconds.";
    "client|reply" Exactly(3) Neither None Single => Serve(On::Client), "ON | OFF | SKIP"
        [NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "3.2.0" "O(1)" "Turns the answers on this connection on and off.";
    "client|setinfo" Exactly(4) Neither None Single => Serve(On::Client),
        "LIB-NAME name | LIB-VER version"
        [NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "7.2.0" "O(1)" "Says which library speaks.";
    "client|setname" Exactly(3) Neither None Single => Serve(On::Client), "name"
        [NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "2.6.9" "O(1)" "Names this connection.";
    "client|unpause" Exactly(2) Neither None Single => Serve(On::Client), ""
        [ADMIN NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "6.2.0" "O(N) in the paused connections" "Ends a pause.";
}

commands! { CLUSTER from CLIENT_END, up to CLUSTER_END;
    "cluster|countkeysinslot" Exactly(3) Neither None Single => Serve(On::Cluster), "slot"
        [STALE] [] [] []
        Cluster "3.0.0" "O(1)" "Counts the keys of a slot.";
    "cluster|getkeysinslot" Exactly(4) Neither None Single => Serve(On::Cluster), "slot count"
        [STALE] [] [] [VARIES]
        Cluster "3.0.0" "O(N) in the keys asked for" "Lists keys of a slot.";
    "cluster|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [] [] []
        Cluster "5.0.0" "O(1)" "Prints this help.";
    "cluster|info" Exactly(2) Neither None Single => Serve(On::Cluster), ""
        [STALE] [] [] [VARIES]
        Cluster "3.0.0" "O(1)" "The state of the cluster.";
    "cluster|keyslot" Exactly(3) Neither None Single => Serve(On::Cluster), "key"
        [STALE] [] [] []
        Cluster "3.0.0" "O(N) in the key's bytes" "The slot of a key.";
    "cluster|links" Exactly(2) Neither None Single => Serve(On::Cluster), ""
        [STALE] [] [] [VARIES]
        Cluster "7.0.0" "O(N) in the nodes" "The connections between nodes.";
    "cluster|myid" Exactly(2) Neither None Single => Serve(On::Cluster), ""
        [STALE] [] [] []
        Cluster "3.0.0" "O(1)" "The id of this node.";
    "cluster|myshardid" Exactly(2) Neither None Single => Serve(On::Cluster), ""
        [STALE] [] [] [VARIES]
        Cluster "7.2.0" "O(1)" "The id of this node's shard.";
    "cluster|nodes" Exactly(2) Neither None Single => Serve(On::Cluster), ""
        [STALE] [] [] [VARIES]
        Cluster "3.0.0" "O(N) in the nodes" "The nodes, a line each.";
    "cluster|replicas" Exactly(3) Neither None Single => Serve(On::Cluster), "node-id"
        [ADMIN STALE] [] [] [VARIES]
        Cluster "5.0.0" "O(N) in the replicas" "The replicas of a node.";
    "cluster|shards" Exactly(2) Neither None Single => Serve(On::Cluster), ""
        [STALE] [] [] [VARIES]
        Cluster "7.0.0" "O(N) in the nodes" "The shards with their slots and nodes.";
    "cluster|slots" Exactly(2) Neither None Single => Serve(On::Cluster), ""
        [STALE] [] [] [VARIES]
        Cluster "3.0.0" "O(N) in the nodes" "The ranges of slots with their nodes.";
}

commands! { COMMAND from CLUSTER_END, up to COMMAND_END;
    "command|count" Exactly(2) Neither None Single => Serve(On::Command), ""
        [LOADING STALE] [CONNECTION] [] []
        Server "2.8.13" "O(1)" "How many commands there are.";
    "command|docs" AtLeast(2) Neither None Single => Serve(On::Command), "[command ...]"
        [LOADING STALE] [CONNECTION] [] [UNORDERED]
        Server "7.0.0" "O(N) in the names" "What commands do.";
    "command|getkeys" AtLeast(3) Neither None Single => Serve(On::Command), "command [argument ...]"
        [LOADING STALE] [CONNECTION] [] []
        Server "2.8.13" "O(N) in the arguments" "The keys of a full command.";
    "command|getkeysandflags" AtLeast(3) Neither None Single => Serve(On::Command),
        "command [argument ...]"
        [LOADING STALE] [CONNECTION] [] []
        Server "7.0.0" "O(N) in the arguments" "The keys of a full command and what becomes of them.";
    "command|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [CONNECTION] [] []
        Server "5.0.0" "O(1)" "Prints this help.";
    "command|info" AtLeast(2) Neither None Single => Serve(On::Command), "[command ...]"
        [LOADING STALE] [CONNECTION] [] [UNORDERED]
        Server "2.8.13" "O(N) in the names" "What clients need to route commands.";
    "command|list" AtLeast(2) Neither None Single => Serve(On::Command),
        "[FILTERBY MODULE name | ACLCAT category | PATTERN pattern]"
        [LOADING STALE] [CONNECTION] [] [UNORDERED]
        Server "7.0.0" "O(N) in the commands" "The names of commands.";
}

commands! { CONFIG from COMMAND_END, up to CONFIG_END;
    "config|get" AtLeast(3) Neither None Single => Serve(On::Config), "pattern [pattern ...]"
        [ADMIN NOSCRIPT LOADING STALE] [] [] []
        Server "2.0.0" "O(N) in the patterns" "The settings that match, with their values.";
    "config|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [] [] []
        Server "5.0.0" "O(1)" "Prints this help.";
    "config|resetstat" Exactly(2) Neither None Single => Serve(On::Config), ""
        [ADMIN NOSCRIPT LOADING STALE] [] [] []
        Server "2.0.0" "O(1)" "Sets the statistics of INFO to nothing.";
    "config|rewrite" Exactly(2) Neither None Single => Serve(On::Config), ""
        [ADMIN NOSCRIPT LOADING STALE] [] [] []
        Server "2.8.0" "O(1)" "Writes the settings to their file.";
    "config|set" AtLeast(4) Neither None Single => Serve(On::Config), "name value [name value ...]"
        [ADMIN NOSCRIPT LOADING STALE] [] [] [ALL_NODES SUCCEEDED]
        Server "2.0.0" "O(N) in the settings" "Changes settings.";
}

commands! { LATENCY from CONFIG_END, up to LATENCY_END;
    "latency|doctor" Exactly(2) Neither None Single => Serve(On::Latency), ""
        [ADMIN NOSCRIPT LOADING STALE] [] [] [VARIES ALL_NODES SPECIAL]
        Server "2.8.13" "O(1)" "A report in words.";
    "latency|graph" Exactly(3) Neither None Single => Serve(On::Latency), "event"
        [ADMIN NOSCRIPT LOADING STALE] [] [] [VARIES ALL_NODES SPECIAL]
        Server "2.8.13" "O(1)" "A graph of an event's latencies.";
    "latency|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [] [] []
        Server "2.8.13" "O(1)" "Prints this help.";
    "latency|histogram" AtLeast(2) Neither None Single => Serve(On::Latency), "[command ...]"
        [ADMIN NOSCRIPT LOADING STALE] [] [] [VARIES ALL_NODES SPECIAL]
        Server "7.0.0" "O(N) in the commands" "How commands' latencies are distributed.";
    "latency|history" Exactly(3) Neither None Single => Serve(On::Latency), "event"
        [ADMIN NOSCRIPT LOADING STALE] [] [] [VARIES ALL_NODES SPECIAL]
        Server "2.8.13" "O(1)" "An event's latencies with their times.";
    "latency|latest" Exactly(2) Neither None Single => Serve(On::Latency), ""
        [ADMIN NOSCRIPT LOADING STALE] [] [] [VARIES ALL_NODES SPECIAL]
        Server "2.8.13" "O(1)" "The latest latency of every event.";
    "latency|reset" AtLeast(2) Neither None Single => Serve(On::Latency), "[event ...]"
        [ADMIN NOSCRIPT LOADING STALE] [] [] [ALL_NODES SUCCEEDED]
        Server "2.8.13" "O(1)" "Forgets the latencies of events.";
}

commands! { MEMORY from LATENCY_END, up to MEMORY_END;
    "memory|doctor" Exactly(2) Neither None Single => Serve(On::Memory), ""
        [] [] [] [VARIES ALL_SHARDS SPECIAL]
        Server "4.0.0" "O(1)" "A report in words.";
    "memory|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [] [] []
        Server "4.0.0" "O(1)" "Prints this help.";
    "memory|malloc-stats" Exactly(2) Neither None Single => Serve(On::Memory), ""
        [] [] [] [VARIES ALL_SHARDS SPECIAL]
        Server "4.0.0" "O(1)" "The allocator's own statistics.";
    "memory|purge" Exactly(2) Neither None Single => Serve(On::Memory), ""
        [] [] [] [ALL_SHARDS SUCCEEDED]
        Server "4.0.0" "O(N) in the free pages" "Returns free memory to the system.";
    "memory|stats" Exactly(2) Neither None Single => Serve(On::Memory), ""
        [] [] [] [VARIES ALL_SHARDS SPECIAL]
        Server "4.0.0" "O(1)" "What memory is used for.";
    "memory|usage" AtLeast(3) Read Second Single => Store(object::memory_usage),
        "key [SAMPLES count]"
        [] [] ["RO"] []
        Server "4.0.0" "O(1)" "The bytes that a key and its value take.";
}

commands! { SLOWLOG from MEMORY_END, up to SLOWLOG_END;
    "slowlog|get" AtLeast(2) Neither None Single => Serve(On::Slowlog), "[count]"
        [ADMIN LOADING STALE] [] [] [ALL_NODES VARIES]
        Server "2.2.12" "O(N) in the entries" "The latest slow commands.";
    "slowlog|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [] [] []
        Server "6.2.0" "O(1)" "Prints this help.";
    "slowlog|len" Exactly(2) Neither None Single => Serve(On::Slowlog), ""
        [ADMIN LOADING STALE] [] [] [ALL_NODES SUM VARIES]
        Server "2.2.12" "O(1)" "How many entries there are.";
    "slowlog|reset" Exactly(2) Neither None Single => Serve(On::Slowlog), ""
        [ADMIN LOADING STALE] [] [] [ALL_NODES SUCCEEDED]
        Server "2.2.12" "O(N) in the entries" "Forgets the entries.";
}

/// How many commands there are, subcommands not counted.
pub const COMMAND_COUNT: usize = COMMANDS_END;
/// Every `CommandSpec::id`, of commands and subcommands, is below this.
pub const ID_COUNT: usize = SLOWLOG_END;

/// Every command, in the table's order: a command's `id` is its position.
pub fn all() -> &'static [CommandSpec] {
    COMMANDS
}

/// Every command and every subcommand.
pub fn all_with_subcommands() -> impl Iterator<Item = &'static CommandSpec> {
    COMMANDS.iter().flat_map(|row| std::iter::once(row).chain(row.subcommands))
}

/// The command of this name, case ignored. No allocation; one probe of a small table.
#[inline]
pub fn lookup(name: &[u8]) -> Option<&'static CommandSpec> {
    let wanted = Folded::of(name)?;
    let mut at = wanted.start();
    loop {
        let index = usize::from(INDEX[at]);
        if index == EMPTY {
            return None;
        }
        if NAMES[index] == wanted {
            return Some(&COMMANDS[index]);
        }
        at = (at + 1) % INDEX_LEN;
    }
}

/// The row of a whole command, the subcommand's if it has one, with its arity checked. `args` are
/// the arguments, the name first.
#[inline]
pub fn resolve(args: &[&[u8]]) -> Result<&'static CommandSpec, CommandError> {
    let mut spec =
        args.first().and_then(|name| lookup(name)).ok_or_else(|| unknown_command(args))?;
    if !spec.subcommands.is_empty() && args.len() > 1 {
        spec = spec.subcommand(args[1]).ok_or_else(|| unknown_subcommand(spec, args[1]))?;
    }
    spec.check_arity(args.len())?;
    Ok(spec)
}

/// How much of an unknown name, and of its arguments together, an error tells.
const UNKNOWN_BYTES_MAX: usize = 128;

/// The refusal of a command that is not in the table, with what it began with.
#[cold]
pub fn unknown_command(args: &[&[u8]]) -> CommandError {
    let name = args.first().map_or(String::new(), |name| parse::printable(name, UNKNOWN_BYTES_MAX));
    let mut text = format!("ERR unknown command '{name}', with args beginning with: ");
    let mut told = 0;
    for argument in args.iter().skip(1) {
        if told >= UNKNOWN_BYTES_MAX {
            break;
        }
        let shown = parse::printable(argument, UNKNOWN_BYTES_MAX - told);
        told += argument.len().min(UNKNOWN_BYTES_MAX - told) + "'' ".len();
        text = text + "'" + &shown + "' ";
    }
    CommandError::Text(text)
}

#[cold]
fn unknown_subcommand(container: &CommandSpec, name: &[u8]) -> CommandError {
    let name = parse::printable(name, UNKNOWN_BYTES_MAX);
    let container = container.name.to_ascii_uppercase();
    CommandError::Text(format!("ERR unknown subcommand '{name}'. Try {container} HELP."))
}

/// A command's name of 1 to 16 bytes in a form that compares in three instructions: its first and
/// last bytes, overlapping, each with the bit set that makes a capital letter small.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Folded {
    head: u64,
    tail: u64,
    len: u8,
}

const FOLD: u64 = 0x2020_2020_2020_2020;

impl Folded {
    /// None for an empty name and for one that is longer than any command's.
    #[inline]
    const fn of(name: &[u8]) -> Option<Self> {
        let len = name.len();
        let (head, tail) = if let (Some(head), Some(tail)) =
            (name.first_chunk::<8>(), name.last_chunk::<8>())
        {
            (u64::from_le_bytes(*head), u64::from_le_bytes(*tail))
        } else if let (Some(head), Some(tail)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            (u32::from_le_bytes(*head) as u64, u32::from_le_bytes(*tail) as u64)
        } else if let [first, .., last] = name {
            // Two or three bytes: first, second and last.
            (*first as u64 | (name[1] as u64) << 8, *last as u64)
        } else if let [only] = name {
            (*only as u64, 0)
        } else {
            return None;
        };
        if len > 16 {
            return None;
        }
        Some(Self { head: head | FOLD, tail: tail | FOLD, len: len as u8 })
    }

    /// Where the name's probe of the index begins.
    #[inline]
    const fn start(self) -> usize {
        let mixed = (self.head ^ self.tail.rotate_left(29) ^ self.len as u64)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> (64 - INDEX_BITS)) as usize
    }
}

const INDEX_BITS: u32 = 9;
const INDEX_LEN: usize = 1 << INDEX_BITS;
const EMPTY: usize = u8::MAX as usize;
const _: () = assert!(COMMAND_COUNT < EMPTY && COMMAND_COUNT * 4 <= INDEX_LEN);

static NAMES: [Folded; COMMAND_COUNT] = {
    let mut names = [Folded { head: 0, tail: 0, len: 0 }; COMMAND_COUNT];
    let mut at = 0;
    while at < COMMAND_COUNT {
        let name = COMMANDS[at].name.as_bytes();
        let mut byte = 0;
        while byte < name.len() {
            // Folding is exact for letters alone.
            assert!(name[byte].is_ascii_lowercase());
            byte += 1;
        }
        names[at] = Folded::of(name).expect("1 to 16 letters");
        at += 1;
    }
    names
};

/// Open addressing: positions in `COMMANDS`, or `EMPTY`.
static INDEX: [u8; INDEX_LEN] = {
    let mut index = [EMPTY as u8; INDEX_LEN];
    let mut row = 0;
    while row < COMMAND_COUNT {
        let mut at = NAMES[row].start();
        while index[at] as usize != EMPTY {
            at = (at + 1) % INDEX_LEN;
        }
        index[at] = row as u8;
        row += 1;
    }
    index
};
