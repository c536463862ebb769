//! Typed views of the values: what lanes read while they serve, and what is read once at the start.

use std::fmt;

use ringlane_store::{NoticeClasses, PackLimits, Policy};

use crate::kind::{BindAddress, BufferLimits, Value};
use crate::settings::Values;
use crate::table::Id;

/// A password: compared without telling by the time where it differs, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Whether `given` is this password. Takes the same time wherever they differ.
    pub fn matches(&self, given: &[u8]) -> bool {
        let expected = self.0.as_bytes();
        let mut difference = expected.len() ^ given.len();
        for (index, byte) in given.iter().enumerate() {
            difference |= usize::from(byte ^ expected[index % expected.len()]);
        }
        difference == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(secret)")
    }
}

/// What cluster clients are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advertise {
    /// The node as one primary.
    Node,
    /// Each lane as a primary with its own port.
    Lanes,
    /// No cluster.
    Off,
}

/// Redis's names of severities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Debug,
    Verbose,
    Notice,
    Warning,
    Nothing,
}

/// The values that may change while the server runs, as one consistent set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSettings {
    /// Bytes of resident memory. None: no limit.
    pub maxmemory: Option<u64>,
    pub policy: Policy,
    /// What all clients' buffers may take; see `clients_bytes_max`.
    pub maxmemory_clients: Bound,
    pub maxclients: usize,
    /// Seconds. None: idle connections stay.
    pub timeout_seconds: Option<u32>,
    /// Seconds. None: no probes.
    pub tcp_keepalive_seconds: Option<u32>,
    /// None: no password is asked for.
    pub requirepass: Option<Secret>,
    pub protected_mode: bool,
    /// Microseconds. None: nothing is logged.
    pub slowlog_log_slower_than_us: Option<u64>,
    pub slowlog_max_len: usize,
    pub latency_tracking: bool,
    /// Milliseconds. None: no events are kept.
    pub latency_monitor_threshold_ms: Option<u64>,
    pub notify_keyspace_events: NoticeClasses,
    /// Over all lanes. None: no bound.
    pub tracking_table_keys_max: Option<usize>,
    pub output_limits: BufferLimits,
    pub proto_max_bulk_bytes: usize,
    /// CPU time of one script, in milliseconds. 0: no limit.
    pub script_time_ms: u64,
    /// Lua instructions of one script. 0: no limit.
    pub script_instructions: u64,
    /// Bytes of a lane's Lua values.
    pub script_memory_bytes: usize,
    pub script_allow_undeclared_keys: bool,
    pub client_query_buffer_bytes: usize,
    /// None: every command runs on its lane.
    pub aside_elements_max: Option<usize>,
    pub transaction_commands_max: usize,
    pub transaction_bytes_max: usize,
    pub databases: u8,
    /// When small collections become large ones.
    pub pack_limits: PackLimits,
    /// `hll-sparse-max-bytes`.
    pub hll_sparse_max_bytes: usize,
    pub advertise: Advertise,
    pub log_level: LogLevel,
}

/// The values that are read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartSettings {
    pub bind: Vec<BindAddress>,
    pub port: u16,
    pub tcp_backlog: u32,
    pub lanes: usize,
    /// CPUs to pin lanes to, at least one; with more lanes than cores they are shared in turn.
    pub cores: Vec<usize>,
    /// None: ports that the system chooses.
    pub lane_port_base: Option<u16>,
    pub databases: u8,
    /// None: standard error.
    pub logfile: Option<String>,
}

/// How far above `port` the lane doors begin when nothing is said.
const LANE_PORT_OFFSET: u16 = 1000;

fn pack_limits(values: &Values) -> PackLimits {
    let entries = |id| values.integer(id) as usize;
    let bytes = |id| values.bytes(id) as usize;
    PackLimits {
        hash_max_listpack_entries: entries(Id::HashMaxListpackEntries),
        hash_max_listpack_value: bytes(Id::HashMaxListpackValue),
        set_max_intset_entries: entries(Id::SetMaxIntsetEntries),
        set_max_listpack_entries: entries(Id::SetMaxListpackEntries),
        set_max_listpack_value: bytes(Id::SetMaxListpackValue),
        zset_max_listpack_entries: entries(Id::ZsetMaxListpackEntries),
        zset_max_listpack_value: bytes(Id::ZsetMaxListpackValue),
        list_max_listpack_size: values.integer(Id::ListMaxListpackSize) as i32,
        stream_node_max_bytes: bytes(Id::StreamNodeMaxBytes),
        stream_node_max_entries: entries(Id::StreamNodeMaxEntries),
    }
}

/// Bytes, or a share of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Bytes(u64),
    /// Of `maxmemory`.
    Percent(u64),
}

impl LiveSettings {
    /// What all clients' buffers together may take. None: no bound, as for a share of no limit.
    pub fn clients_bytes_max(&self) -> Option<u64> {
        match self.maxmemory_clients {
            Bound::Bytes(bytes) => Some(bytes).filter(|bytes| *bytes > 0),
            Bound::Percent(percent) => {
                self.maxmemory.map(|limit| (u128::from(limit) * u128::from(percent) / 100) as u64)
            }
        }
    }

    pub(crate) fn of(values: &Values) -> Self {
        let seconds = |id| u32::try_from(values.integer(id)).ok().filter(|seconds| *seconds > 0);
        let password = values.text(Id::Requirepass);
        Self {
            maxmemory: Some(values.bytes(Id::Maxmemory)).filter(|bytes| *bytes > 0),
            policy: Policy::parse(values.choice(Id::MaxmemoryPolicy)).expect("a choice of Policy"),
            maxmemory_clients: values.bound(Id::MaxmemoryClients),
            maxclients: values.integer(Id::Maxclients) as usize,
            timeout_seconds: seconds(Id::Timeout),
            tcp_keepalive_seconds: seconds(Id::TcpKeepalive),
            requirepass: (!password.is_empty()).then(|| Secret(password.to_owned())),
            protected_mode: values.flag(Id::ProtectedMode),
            slowlog_log_slower_than_us: u64::try_from(values.integer(Id::SlowlogLogSlowerThan))
                .ok(),
            slowlog_max_len: values.integer(Id::SlowlogMaxLen) as usize,
            latency_tracking: values.flag(Id::LatencyTracking),
            latency_monitor_threshold_ms: u64::try_from(
                values.integer(Id::LatencyMonitorThreshold),
            )
            .ok()
            .filter(|threshold| *threshold > 0),
            notify_keyspace_events: values.notices(Id::NotifyKeyspaceEvents),
            tracking_table_keys_max: Some(values.integer(Id::TrackingTableMaxKeys) as usize)
                .filter(|keys| *keys > 0),
            output_limits: values.buffer_limits(Id::ClientOutputBufferLimit),
            script_time_ms: values.integer(Id::ScriptTimeLimit) as u64,
            script_instructions: values.integer(Id::ScriptInstructionLimit) as u64,
            script_memory_bytes: usize::try_from(values.bytes(Id::ScriptMemoryLimit))
                .unwrap_or(usize::MAX),
            script_allow_undeclared_keys: values.flag(Id::ScriptAllowUndeclaredKeys),
            proto_max_bulk_bytes: values.bytes(Id::ProtoMaxBulkLen) as usize,
            client_query_buffer_bytes: values.bytes(Id::ClientQueryBufferLimit) as usize,
            aside_elements_max: Some(values.integer(Id::AsideElements) as usize)
                .filter(|elements| *elements > 0),
            transaction_commands_max: values.integer(Id::TransactionCommandsMax) as usize,
            transaction_bytes_max: values.bytes(Id::TransactionBytesMax) as usize,
            databases: values.integer(Id::Databases) as u8,
            pack_limits: pack_limits(values),
            hll_sparse_max_bytes: values.bytes(Id::HllSparseMaxBytes) as usize,
            advertise: match values.choice(Id::Advertise) {
                "node" => Advertise::Node,
                "lanes" => Advertise::Lanes,
                _ => Advertise::Off,
            },
            log_level: match values.choice(Id::Loglevel) {
                "debug" => LogLevel::Debug,
                "verbose" => LogLevel::Verbose,
                "notice" => LogLevel::Notice,
                "warning" => LogLevel::Warning,
                _ => LogLevel::Nothing,
            },
        }
    }
}

impl StartSettings {
    pub(crate) fn of(values: &Values) -> Self {
        let port = values.integer(Id::Port) as u16;
        let lanes = values.integer(Id::Lanes) as u16;
        let lane_port_base = match (values.integer(Id::LanePortBase) as u16, port) {
            (0, 0) => None,
            (0, port) => port
                .checked_add(LANE_PORT_OFFSET)
                .filter(|base| base.checked_add(lanes - 1).is_some()),
            (base, _) => Some(base),
        };
        let logfile = values.text(Id::Logfile);
        let (Value::Addresses(bind), Value::Cores(cores)) =
            (values.value(Id::Bind), values.value(Id::Cores))
        else {
            unreachable!("kinds of the table");
        };
        Self {
            bind: bind.clone(),
            port,
            tcp_backlog: values.integer(Id::TcpBacklog) as u32,
            lanes: values.integer(Id::Lanes) as usize,
            cores: cores.clone(),
            lane_port_base,
            databases: values.integer(Id::Databases) as u8,
            logfile: (!logfile.is_empty()).then(|| logfile.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_matches_itself_alone_and_is_never_printed() {
        let secret = Secret("abab".to_owned());
        for (given, expected) in
            [("abab", true), ("ab", false), ("", false), ("ababab", false), ("abac", false)]
        {
            assert_eq!(secret.matches(given.as_bytes()), expected, "{given:?}");
        }
        assert_eq!(format!("{secret:?}"), "(secret)");
    }
}
