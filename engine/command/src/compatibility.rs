//! Which commands of Redis and Valkey there are here, and how the answers of some differ: the page
//! `docs/compatibility.md`, written from the command table and the lists below.

use std::fmt::Write;

use crate::table;

/// Every command and subcommand of Redis and Valkey, HELP left out, with who first had it: `Redis`
/// means Redis 7.0 or before. What Redis 8 brings along as modules is a row a family: `json.*`.
const KNOWN: &[(&str, &str)] = &[
    ("acl", "Redis"),
    ("acl|cat", "Redis"),
    ("acl|deluser", "Redis"),
    ("acl|dryrun", "Redis"),
    ("acl|genpass", "Redis"),
    ("acl|getuser", "Redis"),
    ("acl|list", "Redis"),
    ("acl|load", "Redis"),
    ("acl|log", "Redis"),
    ("acl|save", "Redis"),
    ("acl|setuser", "Redis"),
    ("acl|users", "Redis"),
    ("acl|whoami", "Redis"),
    ("append", "Redis"),
    ("ar*", "Redis 8.8"),
    ("asking", "Redis"),
    ("auth", "Redis"),
    ("bf.*", "Redis 8.0"),
    ("bgrewriteaof", "Redis"),
    ("bgsave", "Redis"),
    ("bitcount", "Redis"),
    ("bitfield", "Redis"),
    ("bitfield_ro", "Redis"),
    ("bitop", "Redis"),
    ("bitpos", "Redis"),
    ("blmove", "Redis"),
    ("blmpop", "Redis"),
    ("blpop", "Redis"),
    ("brpop", "Redis"),
    ("brpoplpush", "Redis"),
    ("bzmpop", "Redis"),
    ("bzpopmax", "Redis"),
    ("bzpopmin", "Redis"),
    ("cf.*", "Redis 8.0"),
    ("client", "Redis"),
    ("client|caching", "Redis"),
    ("client|capa", "Valkey 8"),
    ("client|getname", "Redis"),
    ("client|getredir", "Redis"),
    ("client|id", "Redis"),
    ("client|import-source", "Valkey 8"),
    ("client|info", "Redis"),
    ("client|kill", "Redis"),
    ("client|list", "Redis"),
    ("client|no-evict", "Redis"),
    ("client|no-touch", "Redis 7.2"),
    ("client|pause", "Redis"),
    ("client|reply", "Redis"),
    ("client|setinfo", "Redis 7.2"),
    ("client|setname", "Redis"),
    ("client|tracking", "Redis"),
    ("client|trackinginfo", "Redis"),
    ("client|unblock", "Redis"),
    ("client|unpause", "Redis"),
    ("cluster", "Redis"),
    ("cluster|addslots", "Redis"),
    ("cluster|addslotsrange", "Redis"),
    ("cluster|bumpepoch", "Redis"),
    ("cluster|cancelslotmigrations", "Valkey 9.0"),
    ("cluster|count-failure-reports", "Redis"),
    ("cluster|countkeysinslot", "Redis"),
    ("cluster|delslots", "Redis"),
    ("cluster|delslotsrange", "Redis"),
    ("cluster|failover", "Redis"),
    ("cluster|flushslot", "Valkey 9.0"),
    ("cluster|flushslots", "Redis"),
    ("cluster|forget", "Redis"),
    ("cluster|getkeysinslot", "Redis"),
    ("cluster|getslotmigrations", "Valkey 9.0"),
    ("cluster|info", "Redis"),
    ("cluster|keyslot", "Redis"),
    ("cluster|links", "Redis"),
    ("cluster|meet", "Redis"),
    ("cluster|migrateslots", "Valkey 9.0"),
    ("cluster|migration", "Redis 8.4"),
    ("cluster|myid", "Redis"),
    ("cluster|myshardid", "Redis 7.2"),
    ("cluster|nodes", "Redis"),
    ("cluster|replicas", "Redis"),
    ("cluster|replicate", "Redis"),
    ("cluster|reset", "Redis"),
    ("cluster|saveconfig", "Redis"),
    ("cluster|set-config-epoch", "Redis"),
    ("cluster|setslot", "Redis"),
    ("cluster|shards", "Redis"),
    ("cluster|slaves", "Redis"),
    ("cluster|slot-stats", "Valkey 8"),
    ("cluster|slots", "Redis"),
    ("cluster|syncslots", "Redis 8.4"),
    ("clusterscan", "Valkey 9.1"),
    ("cms.*", "Redis 8.0"),
    ("command", "Redis"),
    ("commandlog", "Valkey 8"),
    ("commandlog|get", "Valkey 8"),
    ("commandlog|len", "Valkey 8"),
    ("commandlog|reset", "Valkey 8"),
    ("command|count", "Redis"),
    ("command|docs", "Redis"),
    ("command|getkeys", "Redis"),
    ("command|getkeysandflags", "Redis"),
    ("command|info", "Redis"),
    ("command|list", "Redis"),
    ("config", "Redis"),
    ("config|get", "Redis"),
    ("config|resetstat", "Redis"),
    ("config|rewrite", "Redis"),
    ("config|set", "Redis"),
    ("copy", "Redis"),
    ("dbsize", "Redis"),
    ("debug", "Redis"),
    ("decr", "Redis"),
    ("decrby", "Redis"),
    ("del", "Redis"),
    ("delex", "Redis 8.4"),
    ("delifeq", "Valkey 9.0"),
    ("digest", "Redis 8.4"),
    ("discard", "Redis"),
    ("dump", "Redis"),
    ("echo", "Redis"),
    ("eval", "Redis"),
    ("eval_ro", "Redis"),
    ("evalsha", "Redis"),
    ("evalsha_ro", "Redis"),
    ("exec", "Redis"),
    ("exists", "Redis"),
    ("expire", "Redis"),
    ("expireat", "Redis"),
    ("expiretime", "Redis"),
    ("failover", "Redis"),
    ("fcall", "Redis"),
    ("fcall_ro", "Redis"),
    ("flushall", "Redis"),
    ("flushdb", "Redis"),
    ("ft.*", "Redis 8.0"),
    ("function", "Redis"),
    ("function|delete", "Redis"),
    ("function|dump", "Redis"),
    ("function|flush", "Redis"),
    ("function|kill", "Redis"),
    ("function|list", "Redis"),
    ("function|load", "Redis"),
    ("function|restore", "Redis"),
    ("function|stats", "Redis"),
    ("geoadd", "Redis"),
    ("geodist", "Redis"),
    ("geohash", "Redis"),
    ("geopos", "Redis"),
    ("georadius", "Redis"),
    ("georadius_ro", "Redis"),
    ("georadiusbymember", "Redis"),
    ("georadiusbymember_ro", "Redis"),
    ("geosearch", "Redis"),
    ("geosearchstore", "Redis"),
    ("get", "Redis"),
    ("getbit", "Redis"),
    ("getdel", "Redis"),
    ("getex", "Redis"),
    ("getrange", "Redis"),
    ("getset", "Redis"),
    ("hdel", "Redis"),
    ("hello", "Redis"),
    ("hexists", "Redis"),
    ("hexpire", "Redis 7.4"),
    ("hexpireat", "Redis 7.4"),
    ("hexpiretime", "Redis 7.4"),
    ("hget", "Redis"),
    ("hgetall", "Redis"),
    ("hgetdel", "Redis 8.0"),
    ("hgetex", "Redis 8.0"),
    ("hincrby", "Redis"),
    ("hincrbyfloat", "Redis"),
    ("hkeys", "Redis"),
    ("hlen", "Redis"),
    ("hmget", "Redis"),
    ("hmset", "Redis"),
    ("hotkeys", "Redis 8.6"),
    ("hotkeys|get", "Redis 8.6"),
    ("hotkeys|reset", "Redis 8.6"),
    ("hotkeys|start", "Redis 8.6"),
    ("hotkeys|stop", "Redis 8.6"),
    ("hpersist", "Redis 7.4"),
    ("hpexpire", "Redis 7.4"),
    ("hpexpireat", "Redis 7.4"),
    ("hpexpiretime", "Redis 7.4"),
    ("hpttl", "Redis 7.4"),
    ("hrandfield", "Redis"),
    ("hscan", "Redis"),
    ("hset", "Redis"),
    ("hsetex", "Redis 8.0"),
    ("hsetnx", "Redis"),
    ("hstrlen", "Redis"),
    ("httl", "Redis 7.4"),
    ("hvals", "Redis"),
    ("incr", "Redis"),
    ("incrby", "Redis"),
    ("incrbyfloat", "Redis"),
    ("increx", "Redis 8.8"),
    ("info", "Redis"),
    ("json.*", "Redis 8.0"),
    ("keys", "Redis"),
    ("lastsave", "Redis"),
    ("latency", "Redis"),
    ("latency|doctor", "Redis"),
    ("latency|graph", "Redis"),
    ("latency|histogram", "Redis"),
    ("latency|history", "Redis"),
    ("latency|latest", "Redis"),
    ("latency|reset", "Redis"),
    ("lcs", "Redis"),
    ("lindex", "Redis"),
    ("linsert", "Redis"),
    ("llen", "Redis"),
    ("lmove", "Redis"),
    ("lmpop", "Redis"),
    ("lolwut", "Redis"),
    ("lpop", "Redis"),
    ("lpos", "Redis"),
    ("lpush", "Redis"),
    ("lpushx", "Redis"),
    ("lrange", "Redis"),
    ("lrem", "Redis"),
    ("lset", "Redis"),
    ("ltrim", "Redis"),
    ("memory", "Redis"),
    ("memory|doctor", "Redis"),
    ("memory|malloc-stats", "Redis"),
    ("memory|purge", "Redis"),
    ("memory|stats", "Redis"),
    ("memory|usage", "Redis"),
    ("mget", "Redis"),
    ("migrate", "Redis"),
    ("module", "Redis"),
    ("module|list", "Redis"),
    ("module|load", "Redis"),
    ("module|loadex", "Redis"),
    ("module|unload", "Redis"),
    ("monitor", "Redis"),
    ("move", "Redis"),
    ("mset", "Redis"),
    ("msetex", "Redis 8.4"),
    ("msetnx", "Redis"),
    ("multi", "Redis"),
    ("object", "Redis"),
    ("object|encoding", "Redis"),
    ("object|freq", "Redis"),
    ("object|idletime", "Redis"),
    ("object|refcount", "Redis"),
    ("persist", "Redis"),
    ("pexpire", "Redis"),
    ("pexpireat", "Redis"),
    ("pexpiretime", "Redis"),
    ("pfadd", "Redis"),
    ("pfcount", "Redis"),
    ("pfdebug", "Redis"),
    ("pfmerge", "Redis"),
    ("pfselftest", "Redis"),
    ("ping", "Redis"),
    ("psetex", "Redis"),
    ("psubscribe", "Redis"),
    ("psync", "Redis"),
    ("pttl", "Redis"),
    ("publish", "Redis"),
    ("pubsub", "Redis"),
    ("pubsub|channels", "Redis"),
    ("pubsub|numpat", "Redis"),
    ("pubsub|numsub", "Redis"),
    ("pubsub|shardchannels", "Redis"),
    ("pubsub|shardnumsub", "Redis"),
    ("punsubscribe", "Redis"),
    ("quit", "Redis"),
    ("randomkey", "Redis"),
    ("readonly", "Redis"),
    ("readwrite", "Redis"),
    ("rename", "Redis"),
    ("renamenx", "Redis"),
    ("replconf", "Redis"),
    ("replicaof", "Redis"),
    ("reset", "Redis"),
    ("restore", "Redis"),
    ("restore-asking", "Redis"),
    ("role", "Redis"),
    ("rpop", "Redis"),
    ("rpoplpush", "Redis"),
    ("rpush", "Redis"),
    ("rpushx", "Redis"),
    ("sadd", "Redis"),
    ("save", "Redis"),
    ("scan", "Redis"),
    ("scard", "Redis"),
    ("script", "Redis"),
    ("script|debug", "Redis"),
    ("script|exists", "Redis"),
    ("script|flush", "Redis"),
    ("script|kill", "Redis"),
    ("script|load", "Redis"),
    ("script|show", "Valkey 8"),
    ("sdiff", "Redis"),
    ("sdiffstore", "Redis"),
    ("select", "Redis"),
    ("set", "Redis"),
    ("setbit", "Redis"),
    ("setex", "Redis"),
    ("setnx", "Redis"),
    ("setrange", "Redis"),
    ("shutdown", "Redis"),
    ("sinter", "Redis"),
    ("sintercard", "Redis"),
    ("sinterstore", "Redis"),
    ("sismember", "Redis"),
    ("slaveof", "Redis"),
    ("slowlog", "Redis"),
    ("slowlog|get", "Redis"),
    ("slowlog|len", "Redis"),
    ("slowlog|reset", "Redis"),
    ("smembers", "Redis"),
    ("smismember", "Redis"),
    ("smove", "Redis"),
    ("sort", "Redis"),
    ("sort_ro", "Redis"),
    ("spop", "Redis"),
    ("spublish", "Redis"),
    ("srandmember", "Redis"),
    ("srem", "Redis"),
    ("sscan", "Redis"),
    ("ssubscribe", "Redis"),
    ("strlen", "Redis"),
    ("subscribe", "Redis"),
    ("substr", "Redis"),
    ("sunion", "Redis"),
    ("sunionstore", "Redis"),
    ("sunsubscribe", "Redis"),
    ("swapdb", "Redis"),
    ("sync", "Redis"),
    ("tdigest.*", "Redis 8.0"),
    ("time", "Redis"),
    ("topk.*", "Redis 8.0"),
    ("touch", "Redis"),
    ("trimslots", "Redis 8.4"),
    ("ts.*", "Redis 8.0"),
    ("ttl", "Redis"),
    ("type", "Redis"),
    ("unlink", "Redis"),
    ("unsubscribe", "Redis"),
    ("unwatch", "Redis"),
    ("vadd", "Redis 8.0"),
    ("vcard", "Redis 8.0"),
    ("vdim", "Redis 8.0"),
    ("vemb", "Redis 8.0"),
    ("vgetattr", "Redis 8.0"),
    ("vinfo", "Redis 8.0"),
    ("vismember", "Redis 8.2"),
    ("vlinks", "Redis 8.0"),
    ("vrandmember", "Redis 8.0"),
    ("vrange", "Redis 8.4"),
    ("vrem", "Redis 8.0"),
    ("vsetattr", "Redis 8.0"),
    ("vsim", "Redis 8.0"),
    ("wait", "Redis"),
    ("waitaof", "Redis 7.2"),
    ("watch", "Redis"),
    ("xack", "Redis"),
    ("xackdel", "Redis 8.2"),
    ("xadd", "Redis"),
    ("xautoclaim", "Redis"),
    ("xcfgset", "Redis 8.6"),
    ("xclaim", "Redis"),
    ("xdel", "Redis"),
    ("xdelex", "Redis 8.2"),
    ("xgroup", "Redis"),
    ("xgroup|create", "Redis"),
    ("xgroup|createconsumer", "Redis"),
    ("xgroup|delconsumer", "Redis"),
    ("xgroup|destroy", "Redis"),
    ("xgroup|setid", "Redis"),
    ("xidmprecord", "Redis 8.6"),
    ("xinfo", "Redis"),
    ("xinfo|consumers", "Redis"),
    ("xinfo|groups", "Redis"),
    ("xinfo|stream", "Redis"),
    ("xlen", "Redis"),
    ("xnack", "Redis 8.8"),
    ("xpending", "Redis"),
    ("xrange", "Redis"),
    ("xread", "Redis"),
    ("xreadgroup", "Redis"),
    ("xrevrange", "Redis"),
    ("xsetid", "Redis"),
    ("xtrim", "Redis"),
    ("zadd", "Redis"),
    ("zcard", "Redis"),
    ("zcount", "Redis"),
    ("zdiff", "Redis"),
    ("zdiffstore", "Redis"),
    ("zincrby", "Redis"),
    ("zinter", "Redis"),
    ("zintercard", "Redis"),
    ("zinterstore", "Redis"),
    ("zlexcount", "Redis"),
    ("zmpop", "Redis"),
    ("zmscore", "Redis"),
    ("zpopmax", "Redis"),
    ("zpopmin", "Redis"),
    ("zrandmember", "Redis"),
    ("zrange", "Redis"),
    ("zrangebylex", "Redis"),
    ("zrangebyscore", "Redis"),
    ("zrangestore", "Redis"),
    ("zrank", "Redis"),
    ("zrem", "Redis"),
    ("zremrangebylex", "Redis"),
    ("zremrangebyrank", "Redis"),
    ("zremrangebyscore", "Redis"),
    ("zrevrange", "Redis"),
    ("zrevrangebylex", "Redis"),
    ("zrevrangebyscore", "Redis"),
    ("zrevrank", "Redis"),
    ("zscan", "Redis"),
    ("zscore", "Redis"),
    ("zunion", "Redis"),
    ("zunionstore", "Redis"),
];

const ONE_USER: &str =
    "there is one user, `default`, who may do everything; `requirepass` is the password";
const MODULES: &str = "there are no modules";
const VECTORS: &str = "there are no vector sets";

/// Why a command is not there: by its name, or by that of its container.
const ABSENT: &[(&str, &str)] = &[
    ("acl|deluser", ONE_USER),
    ("acl|dryrun", ONE_USER),
    ("acl|genpass", ONE_USER),
    ("acl|load", ONE_USER),
    ("acl|log", ONE_USER),
    ("acl|save", ONE_USER),
    ("acl|setuser", ONE_USER),
    ("ar*", "there are no arrays"),
    ("bgrewriteaof", "there is no append-only file"),
    ("bgsave", "there are no snapshots yet"),
    ("lastsave", "there are no snapshots yet"),
    ("save", "there are no snapshots yet"),
    ("client|import-source", "`ringlane import` copies a server"),
    ("cluster|migration", "lanes do not move slots"),
    ("cluster|slot-stats", "slots are not counted one by one"),
    ("cluster|syncslots", "lanes do not move slots"),
    ("clusterscan", "SCAN at the front door goes through all lanes, at a lane door through one"),
    ("cluster", "lanes are arranged by the server itself"),
    ("commandlog", "SLOWLOG tells slow commands"),
    ("failover", "there are no replicas yet"),
    ("hotkeys", "keys are not counted one by one; SLOWLOG and LATENCY tell slow commands"),
    ("migrate", "DUMP and RESTORE, or `ringlane import`, move keys"),
    ("module|load", MODULES),
    ("module|loadex", MODULES),
    ("module|unload", MODULES),
    ("pfdebug", "for Redis's own tests"),
    ("pfselftest", "for Redis's own tests"),
    ("psync", "there are no replicas yet"),
    ("replconf", "there are no replicas yet"),
    ("replicaof", "there are no replicas yet"),
    ("restore-asking", "lanes do not move slots"),
    ("script|debug", "there is no debugger"),
    ("slaveof", "there are no replicas yet"),
    ("sync", "there are no replicas yet"),
    ("trimslots", "lanes do not move slots"),
    ("xcfgset", "XADD knows no IDMP"),
    ("xidmprecord", "XADD knows no IDMP"),
    ("xnack", "an entry is pending at a consumer until it is acknowledged, claimed or deleted"),
    ("bf.*", MODULES),
    ("cf.*", MODULES),
    ("cms.*", MODULES),
    ("ft.*", MODULES),
    ("json.*", MODULES),
    ("tdigest.*", MODULES),
    ("topk.*", MODULES),
    ("ts.*", MODULES),
    ("vadd", VECTORS),
    ("vcard", VECTORS),
    ("vdim", VECTORS),
    ("vemb", VECTORS),
    ("vgetattr", VECTORS),
    ("vinfo", VECTORS),
    ("vismember", VECTORS),
    ("vlinks", VECTORS),
    ("vrandmember", VECTORS),
    ("vrange", VECTORS),
    ("vrem", VECTORS),
    ("vsetattr", VECTORS),
    ("vsim", VECTORS),
];

const NO_SNAPSHOT: &str =
    "over several lanes, or more than 256 keys, not one snapshot; it is in MULTI";
const SCRIPTS: &str = "keys that are not named in KEYS are refused unless they share a slot with one that is, or \
     `script-allow-undeclared-keys` lets the script at all keys of its lane, which with one lane are all; with \
     several lanes, commands on all keys (DBSIZE, KEYS, SCAN, FLUSHALL) are refused; other \
     clients are served while it runs, or wait for its slots, and are not refused with BUSY; if it has not written it ends \
     after `script-time-limit`; time goes on for it; PUBLISH counts the listeners that \
     its lane knows of: with several lanes, of a channel whose slot is of another only those by patterns, \
     since a script waits for no other lane; for the same reason INFO, SLOWLOG, PUBSUB, CLUSTER, ACL, MODULE \
     and MEMORY but MEMORY USAGE are refused within it; there is no `os.clock`";
const FLUSHES: &str = "SYNC and ASYNC are the same: gone at once, freed in slices; a client that tracks may be told \
     to forget everything more than once, by each lane";
const HALF_A_PAIR: &str =
    "half a pair is refused when it is queued in a transaction, not when that runs";
const BEFORE_FIELDS: &str = "options stand before FIELDS, as up to Redis 8.2";
const KILLS: &str = "ends all that run and have not written, however long they have run";
const PATTERNS: &str = "in a script, keys that BY and GET form must be such as the script may touch (`EVAL`), or the call is \
     refused by the name of the first that is not; on a lane door they must have the sorted key's hash tag, as in a \
     cluster; BY and GET form at most 4194304 keys each";

/// What differs in commands that are there. Everything else answers as Redis does, letter by letter,
/// as far as the differential tests go.
const DIFFERENT: &[(&str, &str)] = &[
    ("acl|getuser", "there is one user, `default`; the hash of its password is not told"),
    ("acl|list", "there is one user, `default`; the hash of its password is not told"),
    ("client|capa", "taken, and not kept: no answer depends on it"),
    ("client|kill", "no client that waits is left out of MAXAGE"),
    (
        "client|tracking",
        "SWAPDB, and what changes the groups of a stream, make copies invalid as well; a write to a key of \
         the same name in another database does not; a script has read every key that it names",
    ),
    (
        "bitfield",
        "SAT of values far below a field's range gives the lowest, not what 64 bits wrap to; a string \
         that has only grown, since FAIL kept the value out, has changed",
    ),
    (
        "cluster|nodes",
        "at the front door `myself` is the lane of the connection, with its own port: \
         redis-benchmark --cluster keeps to the port it was given, so it is given a lane's",
    ),
    (
        "command|docs",
        "texts of its own, without `history`; of `doc_flags` there is `deprecated` alone",
    ),
    ("command|info", "key specifications come without `notes`"),
    ("debug", "only what tests of clients need"),
    ("del", NO_SNAPSHOT),
    (
        "dump",
        "the plain form of each type, which every version reads, not compressed; a hash whose fields expire \
         in the form of Redis 7.4, which Valkey does not read",
    ),
    ("eval", SCRIPTS),
    ("eval_ro", SCRIPTS),
    ("evalsha", SCRIPTS),
    ("evalsha_ro", SCRIPTS),
    ("exists", NO_SNAPSHOT),
    ("fcall", SCRIPTS),
    ("fcall_ro", SCRIPTS),
    ("flushall", FLUSHES),
    ("flushdb", FLUSHES),
    ("function|kill", KILLS),
    (
        "function|load",
        "what a library must not do while it is loaded is refused in words of our own",
    ),
    (
        "function|stats",
        "of functions that run at once the one that has run longest; its command is shortened as in SLOWLOG",
    ),
    ("hexpire", BEFORE_FIELDS),
    ("hexpireat", BEFORE_FIELDS),
    ("hgetex", BEFORE_FIELDS),
    ("hpexpire", BEFORE_FIELDS),
    ("hpexpireat", BEFORE_FIELDS),
    ("hsetex", BEFORE_FIELDS),
    ("hscan", "the order is the table's own"),
    (
        "info",
        "its own fields beside Redis's; figures that have no meaning here are 0, or not there: `hz`, \
         `configured_hz`, `lru_clock`, `gcc_version`, `used_cpu_sys_main_thread`, \
         `used_cpu_user_main_thread` (each lane is a thread), `expired_stale_perc`, \
         `expired_time_cap_reached_count`",
    ),
    ("keys", "the order is the table's own"),
    ("lcs", "strings of up to 16 KiB; Redis bounds the memory that it would take"),
    ("lolwut", "VERSION without a number draws too"),
    ("ltrim", "what takes nothing away changes nothing: no WATCH fails, no copy becomes invalid"),
    (
        "memory|stats",
        "its own figures beside Redis's, and no `db.N`: the tables hold the keys of all databases",
    ),
    ("memory|usage", "what the value really takes here"),
    ("mget", NO_SNAPSHOT),
    ("monitor", "held to the `pubsub` class of `client-output-buffer-limit`"),
    ("mset", HALF_A_PAIR),
    ("msetnx", HALF_A_PAIR),
    (
        "object|encoding",
        "SORT leaves a sorted set as it is; a short string is `embstr` after APPEND and SETRANGE too",
    ),
    ("object|freq", "as far as the eviction's two bits tell"),
    ("object|idletime", "as far as the eviction's two bits tell"),
    ("object|refcount", "always 1: nothing is shared"),
    ("pfcount", "works in read-only scripts too"),
    (
        "publish",
        "in a script it counts the listeners that the script's lane knows of; its message goes out after the \
         script",
    ),
    ("readonly", "answered at the front door too"),
    (
        "restore",
        "IDLETIME and FREQ, and what producers have said of a stream's entries (IDMP), are read and not \
         kept; a stream with entries that were given back (XNACK) is refused",
    ),
    ("scan", "order and cursors are the table's own; COUNT is at most 2048"),
    ("script|kill", KILLS),
    ("sort", PATTERNS),
    ("sort_ro", PATTERNS),
    ("sscan", "the order is the table's own"),
    ("touch", NO_SNAPSHOT),
    ("unlink", NO_SNAPSHOT),
    ("wait", "answers 0: there are no replicas yet"),
    ("waitaof", "answers at once with 0 and 0: there are neither files nor replicas yet"),
    (
        "watch",
        "what changes the groups of a stream (XREADGROUP, XGROUP) is a change of the stream too",
    ),
    ("xadd", "knows no IDMP and IDMPAUTO of Redis 8.6"),
    ("xinfo|stream", "without the fields about IDMP of Redis 8.6"),
    ("xreadgroup", "a consumer's name always makes the consumer, as from 7.2"),
    ("zscan", "the order is the table's own"),
];

/// Longer notes stand on the page once; further commands refer to the first.
const NOTE_BYTES_REPEATED_MAX: usize = 120;

/// The page, in Markdown.
pub fn page() -> String {
    let mut page = String::from(
        "# Compatibility\n\nEvery command of Redis (up to 8.8) and Valkey (up to 9.1): whether it is \
         here, and how it differs where it does. *Since* names the server that first had it; `Redis` \
         alone means 7.0 or before. Written from the command table; a test holds this page to \
         it.\n\nOf all commands: one of more than 1,048,576 arguments is a protocol error, where Redis takes \
         more; one about connections or the server (CLIENT, CLUSTER, CONFIG, INFO, LATENCY, …, COMMAND INFO and \
         COMMAND DOCS) takes at most 1,024.\n\nOf commands that give an expiry as a span (EX, PX, EXPIRE, HPEXPIRE, the TTL of \
         RESTORE, …): it lasts for that span when somebody sets the machine's clock, where Redis goes by the time of \
         day.\n\n| command | since | here | how, or why not |\n|---|---|---|---|\n",
    );
    let mut long_notes: Vec<(&str, String)> = Vec::new();
    for (name, origin) in KNOWN {
        let shown = name.to_ascii_uppercase().replace('|', " ");
        let (here, note) = if is_here(name) {
            match told(DIFFERENT, name) {
                Some(difference) => ("differs", difference),
                None => ("yes", ""),
            }
        } else {
            ("no", told(ABSENT, name).unwrap_or("not there"))
        };
        let note = if let Some((_, first)) = long_notes.iter().find(|(told, _)| *told == note) {
            format!("as `{first}`")
        } else {
            if note.len() > NOTE_BYTES_REPEATED_MAX {
                long_notes.push((note, shown.clone()));
            }
            note.to_owned()
        };
        writeln!(page, "| `{shown}` | {origin} | {here} | {note} |").expect("a string takes all");
    }
    page
}

fn is_here(name: &str) -> bool {
    match name.split_once('|') {
        None => table::lookup(name.as_bytes()).is_some(),
        Some((container, name)) => table::lookup(container.as_bytes())
            .is_some_and(|row| row.subcommand(name.as_bytes()).is_some()),
    }
}

/// What a list says of the command, or of its container.
fn told(list: &[(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    let of = |wanted: &str| list.iter().find(|(name, _)| *name == wanted).map(|(_, text)| *text);
    of(name).or_else(|| name.split_once('|').and_then(|(container, _)| of(container)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_told_why_and_what_differs_is_there() {
        for (name, _) in KNOWN {
            assert!(
                is_here(name) || told(ABSENT, name).is_some(),
                "{name} is neither here nor told"
            );
        }
        for (name, _) in DIFFERENT {
            assert!(is_here(name), "{name} differs but is not here");
        }
        for list in [KNOWN, ABSENT, DIFFERENT] {
            for (at, (name, _)) in list.iter().enumerate() {
                assert_eq!(list.iter().position(|(other, _)| other == name), Some(at), "{name}");
            }
        }
        for (name, _) in ABSENT.iter().filter(|(name, _)| *name != "cluster") {
            assert!(!is_here(name), "{name} is here");
        }
    }

    #[test]
    fn every_command_of_ours_is_on_the_page() {
        for spec in table::all() {
            let known = KNOWN.iter().any(|(name, _)| *name == spec.name);
            assert!(
                known,
                "{} has no line in KNOWN: name it there, with who first had it",
                spec.name
            );
        }
    }
}
