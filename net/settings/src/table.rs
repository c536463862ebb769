//! THE table of settings: one row each. The command line, the variables, the file, CONFIG, the help
//! and `docs/settings.md` derive from it; nothing else compares a setting's name.

use ringlane_store::Policy;

use crate::kind::{Kind, format_cores};

/// What the host gives this process, after affinity masks and control groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// CPUs this process may run on, ascending.
    pub cores: Vec<usize>,
    /// How many of them the CPU quota really gives, at least 1.
    pub cpus: usize,
    /// The smaller of the host's memory and the control group's limit.
    pub memory_bytes: u64,
}

impl Machine {
    /// `percent` of the memory, in bytes.
    pub fn share(&self, percent: u64) -> u64 {
        let bytes = u128::from(self.memory_bytes) * u128::from(percent) / 100;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// The share of the memory that `maxmemory` takes when nothing is said, in percent.
const MEMORY_SHARE: u64 = 80;

/// Whether a running server takes a new value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// `CONFIG SET` changes it.
    Live,
    /// Read once at the start.
    Start,
}

/// Headings of the help and of the reference page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Network,
    Lanes,
    Memory,
    Types,
    Limits,
    Scripts,
    Access,
    Observing,
    Persistence,
}

impl Group {
    pub const ALL: [Self; 9] = [
        Self::Network,
        Self::Lanes,
        Self::Memory,
        Self::Types,
        Self::Limits,
        Self::Scripts,
        Self::Access,
        Self::Observing,
        Self::Persistence,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Network => "Network",
            Self::Lanes => "Lanes",
            Self::Memory => "Memory",
            Self::Types => "Layout of collections",
            Self::Limits => "Limits of a connection",
            Self::Scripts => "Scripts and functions",
            Self::Access => "Access",
            Self::Observing => "Observing",
            Self::Persistence => "Persistence",
        }
    }
}

/// A value before anyone said anything.
#[derive(Clone, Copy)]
pub enum Preset {
    Fixed(&'static str),
    /// Depends on the host; the words stand in the help.
    Machine {
        value: fn(&Machine) -> String,
        words: &'static str,
    },
}

impl Preset {
    /// As a text that the row's kind reads.
    pub fn text(self, machine: &Machine) -> String {
        match self {
            Self::Fixed(text) => text.to_owned(),
            Self::Machine { value, .. } => value(machine),
        }
    }

    /// For people: the fixed text, or what it depends on.
    pub fn words(self) -> &'static str {
        match self {
            Self::Fixed(text) => text,
            Self::Machine { words, .. } => words,
        }
    }
}

/// One setting.
pub struct Row {
    pub id: Id,
    pub name: &'static str,
    pub group: Group,
    pub when: When,
    pub kind: Kind,
    pub default: Preset,
    /// One sentence without its full stop.
    pub meaning: &'static str,
}

macro_rules! settings {
    ($($id:ident $name:literal $group:ident $when:ident $kind:expr, $default:expr, $meaning:literal;)*) => {
        /// Which setting: its position in the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Id { $($id),* }

        /// All settings, by group.
        pub const ROWS: &[Row] = &[$(Row {
            id: Id::$id,
            name: $name,
            group: Group::$group,
            when: When::$when,
            kind: $kind,
            default: $default,
            meaning: $meaning,
        }),*];
    };
}

use Kind::{
    Addresses, BufferLimits, Choice, Cores, Flag, Integer, Memory, MemoryOrPercent, MemoryOrShare,
    Notices, Only, Text,
};
use Preset::{Fixed, Machine as OfMachine};

/// Longest time in seconds that a setting takes: 10 years.
const SECONDS_MAX: i64 = 315_360_000;
const MB: u64 = 1 << 20;
/// Elements of one packed block that a setting takes. A block never passes 16 KiB whatever is said.
const PACKED_MAX: i64 = 1_000_000;

settings! {
    Bind "bind" Network Start Addresses, Fixed("127.0.0.1 -::1"),
        "Addresses to listen on; `*` is every IPv4 and `::*` every IPv6 address, a `-` before one lets the start go on where the host lacks it";
    Port "port" Network Start Integer { min: 0, max: 65535 }, Fixed("6379"),
        "Port of the front door, which takes any key; 0 lets the system choose one and prints it";
    TcpBacklog "tcp-backlog" Network Start Integer { min: 1, max: 65535 }, Fixed("511"),
        "Connections that may wait to be accepted on each listening socket; the kernel caps it at net.core.somaxconn";
    TcpKeepalive "tcp-keepalive" Network Live Integer { min: 0, max: SECONDS_MAX }, Fixed("300"),
        "Seconds of silence before a probe looks whether the peer still lives; 0 sends none";
    Timeout "timeout" Network Live Integer { min: 0, max: SECONDS_MAX }, Fixed("0"),
        "Seconds after which an idle connection is closed; 0 never closes one";
    Maxclients "maxclients" Network Live Integer { min: 1, max: 1_000_000 }, Fixed("10000"),
        "Connections at once over all lanes; lowered with a warning when the limit of open files is too small";

    Lanes "lanes" Lanes Start Integer { min: 1, max: 256 },
        OfMachine { value: |machine| machine.cpus.to_string(), words: "one per CPU that the affinity mask and the CPU quota give" },
        "Threads that serve, each with its own part of the keyspace";
    Cores "cores" Lanes Start Cores,
        OfMachine { value: |machine| format_cores(&machine.cores), words: "the CPUs of the affinity mask" },
        "CPUs that the lanes are pinned to, in order";
    LanePortBase "lane-port-base" Lanes Start Integer { min: 0, max: 65535 }, Fixed("0"),
        "Port of the first lane door, the others follow; 0 takes port + 1000, or ports that the system chooses when port is 0 or a lane's port would be above 65535";
    Advertise "advertise" Lanes Live Choice(|| vec!["node", "lanes", "off"]), Fixed("lanes"),
        "What cluster clients are told: each lane as a primary of its own with its lane door, the node as one primary, or that there is no cluster";

    Maxmemory "maxmemory" Memory Live MemoryOrPercent,
        OfMachine { value: |machine| machine.share(MEMORY_SHARE).to_string(), words: "80% of what the control group or the host allows" },
        "Resident memory that the process keeps to by evicting; 0 sets no limit";
    MaxmemoryPolicy "maxmemory-policy" Memory Live Choice(|| Policy::ALL.iter().map(|policy| policy.name()).collect()), Fixed("adaptive"),
        "What goes first when maxmemory is reached";
    MaxmemoryClients "maxmemory-clients" Memory Live MemoryOrShare, Fixed("0"),
        "Bytes that buffers of all clients together may take, or percent of maxmemory; beyond, those that take most are disconnected; 0 sets no bound";
    Databases "databases" Memory Start Integer { min: 1, max: 128 }, Fixed("16"),
        "Logical databases that SELECT may choose from";

    HashMaxListpackEntries "hash-max-listpack-entries" Types Live Integer { min: 0, max: PACKED_MAX }, Fixed("128"),
        "Fields up to which a hash is one packed block";
    HashMaxListpackValue "hash-max-listpack-value" Types Live Memory { min: 0, max: MB }, Fixed("64"),
        "Longest field or value of a hash that is one packed block";
    SetMaxIntsetEntries "set-max-intset-entries" Types Live Integer { min: 0, max: PACKED_MAX }, Fixed("512"),
        "Members up to which a set of integers is one packed block";
    SetMaxListpackEntries "set-max-listpack-entries" Types Live Integer { min: 0, max: PACKED_MAX }, Fixed("128"),
        "Members up to which any other set is one packed block";
    SetMaxListpackValue "set-max-listpack-value" Types Live Memory { min: 0, max: MB }, Fixed("64"),
        "Longest member of a set that is one packed block";
    ZsetMaxListpackEntries "zset-max-listpack-entries" Types Live Integer { min: 0, max: PACKED_MAX }, Fixed("128"),
        "Members up to which a sorted set is one packed block";
    ZsetMaxListpackValue "zset-max-listpack-value" Types Live Memory { min: 0, max: MB }, Fixed("64"),
        "Longest member of a sorted set that is one packed block";
    ListMaxListpackSize "list-max-listpack-size" Types Live Integer { min: -5, max: PACKED_MAX }, Fixed("-2"),
        "Elements of one packed block of a list; -1 to -5 allow it 4, 8, 16, 32 or 64 KiB instead";
    ListCompressDepth "list-compress-depth" Types Live Only { value: "0", refusal: "lists are not compressed, only '0' is supported" }, Fixed("0"),
        "Blocks at the ends of a list that are not compressed: none is, the value is always 0";
    StreamNodeMaxBytes "stream-node-max-bytes" Types Live Memory { min: 0, max: MB }, Fixed("4096"),
        "Longest packed block of a stream; 0 sets no bound";
    StreamNodeMaxEntries "stream-node-max-entries" Types Live Integer { min: 0, max: PACKED_MAX }, Fixed("100"),
        "Entries of one packed block of a stream; 0 sets no bound";
    HllSparseMaxBytes "hll-sparse-max-bytes" Types Live Memory { min: 0, max: 16_000 }, Fixed("3000"),
        "Longest HyperLogLog in its sparse form; beyond it becomes dense";

    ProtoMaxBulkLen "proto-max-bulk-len" Limits Live Memory { min: MB, max: 512 * MB }, Fixed("512mb"),
        "Longest value of one argument";
    ClientQueryBufferLimit "client-query-buffer-limit" Limits Live Memory { min: MB, max: 4095 * MB }, Fixed("1gb"),
        "Longest single command, all arguments together";
    TransactionCommandsMax "transaction-commands-max" Limits Live Integer { min: 1, max: 1 << 30 }, Fixed("1048576"),
        "Commands that a client may queue between MULTI and EXEC";
    TransactionBytesMax "transaction-bytes-max" Limits Live Memory { min: 1024, max: u64::MAX }, Fixed("256mb"),
        "Bytes of arguments that a client may queue between MULTI and EXEC";
    AsideElements "aside-elements" Limits Live Integer { min: 0, max: 1 << 30 }, Fixed("1024"),
        "Elements that one command may go through on its lane; one that wants more runs aside, on a helper thread, while the lane serves other slots; 0 runs every command on its lane";
    ClientOutputBufferLimit "client-output-buffer-limit" Limits Live BufferLimits,
        Fixed("normal 256mb 0 0 replica 256mb 64mb 60 pubsub 32mb 8mb 60"),
        "Replies that may wait for a client that reads slowly, by class (normal, replica, pubsub): closed at once beyond hard, or after seconds beyond soft; 0 sets no bound";

    TrackingTableMaxKeys "tracking-table-max-keys" Limits Live Integer { min: 0, max: 1_000_000_000 }, Fixed("1000000"),
        "Keys over all lanes that are remembered because clients keep copies of them; beyond, clients are told to forget one; 0 sets no bound";

    ScriptTimeLimit "script-time-limit" Scripts Live Integer { min: 0, max: 3_600_000 }, Fixed("5000"),
        "Milliseconds of CPU time after which a script or function that has not written is ended with an error; one that has written goes on to its end, since half of it would stay. Commands that run aside for it do not count. Scripts run in slices, so that clients of other slots are served meanwhile, and SCRIPT KILL ends one that has not written. 0 sets no limit";
    ScriptInstructionLimit "script-instruction-limit" Scripts Live Integer { min: 0, max: i64::MAX }, Fixed("0"),
        "Lua instructions, in steps of 10000, after which a script or function is interrupted with an error; 0 sets no limit";
    ScriptMemoryLimit "script-memory-limit" Scripts Live Memory { min: MB, max: u64::MAX }, Fixed("64mb"),
        "Memory of the Lua values of one lane, compiled scripts included, beyond which the script that wants more fails";
    ScriptAllowUndeclaredKeys "script-allow-undeclared-keys" Scripts Live Flag, Fixed("no"),
        "Let scripts touch any key of the lane that runs them, not only keys in the slots of the keys they were given; with one lane that is any key";

    Requirepass "requirepass" Access Live Text, Fixed(""),
        "Password that AUTH and HELLO must give; empty asks for none";
    ProtectedMode "protected-mode" Access Live Flag, Fixed("yes"),
        "While there is no password, refuse connections that do not come from this host";

    SlowlogLogSlowerThan "slowlog-log-slower-than" Observing Live Integer { min: -1, max: i64::MAX }, Fixed("10000"),
        "Microseconds from which a command enters the slow log; -1 logs none, 0 logs all";
    SlowlogMaxLen "slowlog-max-len" Observing Live Integer { min: 0, max: 1_000_000 }, Fixed("128"),
        "Entries that the slow log keeps";
    LatencyTracking "latency-tracking" Observing Live Flag, Fixed("yes"),
        "Keep a histogram of latencies for every command, for LATENCY HISTOGRAM";
    LatencyMonitorThreshold "latency-monitor-threshold" Observing Live Integer { min: 0, max: i64::MAX }, Fixed("0"),
        "Milliseconds from which commands and slices of upkeep become events of LATENCY; 0 keeps none";
    NotifyKeyspaceEvents "notify-keyspace-events" Observing Live Notices, Fixed(""),
        "Classes of changes to keys that are published: K in channels of the key, E in channels of the event, A for all classes but m and n";
    Loglevel "loglevel" Observing Live Choice(|| vec!["debug", "verbose", "notice", "warning", "nothing"]), Fixed("notice"),
        "Least severity that is logged";
    Logfile "logfile" Observing Start Text, Fixed(""),
        "File that logs are appended to; empty logs to standard error";

    Save "save" Persistence Live Only { value: "", refusal: "snapshots to disk are not supported, only an empty value is" }, Fixed(""),
        "Snapshots: none, the value is always empty";
    Appendonly "appendonly" Persistence Live Only { value: "no", refusal: "an append-only file is not supported, only 'no' is" }, Fixed("no"),
        "Append-only file: none, the value is always no";
}

/// Other names of settings, from before Redis 7: they read and change the same values.
pub const ALIASES: [(&str, Id); 5] = [
    ("hash-max-ziplist-entries", Id::HashMaxListpackEntries),
    ("hash-max-ziplist-value", Id::HashMaxListpackValue),
    ("zset-max-ziplist-entries", Id::ZsetMaxListpackEntries),
    ("zset-max-ziplist-value", Id::ZsetMaxListpackValue),
    ("list-max-ziplist-size", Id::ListMaxListpackSize),
];

/// The row of this name or alias, case ignored.
pub fn row_named(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name.eq_ignore_ascii_case(name)).or_else(|| {
        let alias = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
        alias.map(|&(_, id)| &ROWS[id as usize])
    })
}

/// All names of a setting, its own first.
pub fn names_of(row: &Row) -> impl Iterator<Item = &'static str> {
    let aliases = ALIASES.iter().filter(|(_, id)| *id == row.id).map(|&(alias, _)| alias);
    std::iter::once(row.name).chain(aliases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_sound() {
        let machine = Machine { cores: vec![0, 1, 2, 3], cpus: 2, memory_bytes: 1 << 30 };
        for (position, row) in ROWS.iter().enumerate() {
            assert_eq!(row.id as usize, position, "{}", row.name);
            assert_eq!(row_named(row.name).map(|found| found.id), Some(row.id), "named twice");
            let default = row.default.text(&machine);
            let value = row.kind.parse(&default, &machine, None).expect(row.name);
            let shown = value.to_string();
            assert_eq!(row.kind.parse(&shown, &machine, None), Ok(value), "{} {shown}", row.name);
            assert!(!row.meaning.ends_with('.') && row.meaning.len() > 10, "{}", row.name);
        }
    }

    #[test]
    fn groups_stand_together() {
        let order: Vec<usize> = ROWS
            .iter()
            .map(|row| Group::ALL.iter().position(|group| *group == row.group).expect("listed"))
            .collect();
        assert!(order.is_sorted());
    }
}
