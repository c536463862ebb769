//! INFO. One row a section, a function writes it. At the front door it speaks of the whole process;
//! at a lane door what counts requests and keys (clients, stats, command and latency statistics,
//! keyspace) is that lane's alone, as for any node of a cluster, and what describes the process
//! (server, memory, cpu) is the process's.

use std::fmt::{Display, Write};
use std::sync::atomic::Ordering;

use ringlane_base::Now;
use ringlane_command::{Args, Reply};
use ringlane_settings::Advertise;

use super::memory::{Account, ratio};
use super::process::{self, CpuTime};
use super::report::{self, DatabaseCounts, LaneReport, Totals};
use super::{Outcome, auth, client};
use crate::ask::{Answers, Question, Step};
use crate::clock;
use crate::core::Core;
use crate::error_codes::ErrorCodes;
use crate::reply::RespReply;

/// The version of Redis whose commands and replies are meant: clients decide by it what to send.
pub const REDIS_VERSION: &str = "7.4.0";
pub const RINGLANE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// With which names a section comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// Without any name, too.
    Default,
    /// With `all` and `everything`, or its own name.
    All,
}

struct Section {
    name: &'static str,
    title: &'static str,
    shown: Shown,
    write: fn(&Facts<'_>, &mut Fields),
}

/// In the order they are printed.
const SECTIONS: &[Section] = &[
    Section { name: "server", title: "Server", shown: Shown::Default, write: server },
    Section { name: "clients", title: "Clients", shown: Shown::Default, write: clients },
    Section { name: "memory", title: "Memory", shown: Shown::Default, write: memory },
    Section {
        name: "persistence",
        title: "Persistence",
        shown: Shown::Default,
        write: persistence,
    },
    Section { name: "stats", title: "Stats", shown: Shown::Default, write: stats },
    Section {
        name: "replication",
        title: "Replication",
        shown: Shown::Default,
        write: replication,
    },
    Section { name: "cpu", title: "CPU", shown: Shown::Default, write: cpu },
    Section { name: "modules", title: "Modules", shown: Shown::Default, write: |_, _| {} },
    Section {
        name: "commandstats",
        title: "Commandstats",
        shown: Shown::All,
        write: command_stats,
    },
    Section { name: "errorstats", title: "Errorstats", shown: Shown::Default, write: error_stats },
    Section { name: LATENCY_STATS, title: "Latencystats", shown: Shown::All, write: latency_stats },
    Section { name: "cluster", title: "Cluster", shown: Shown::Default, write: cluster },
    Section { name: "lanes", title: "Lanes", shown: Shown::Default, write: lanes },
    Section { name: "keyspace", title: "Keyspace", shown: Shown::Default, write: keyspace },
];
/// The one section that needs the latencies of commands.
const LATENCY_STATS: &str = "latencystats";

/// `INFO [section …]`; unknown sections are left out, as in Redis.
pub fn info(args: Args<'_>) -> Outcome {
    let histograms = sections(args.from(1)).any(|section| section.name == LATENCY_STATS);
    Ok(Step::Ask(Question::Report { histograms }, finish))
}

/// The sections that are meant by these names, each once, in their order.
fn sections<N: AsRef<[u8]>>(asked: &[N]) -> impl Iterator<Item = &'static Section> + '_ {
    let named =
        |word: &str| asked.iter().any(|name| name.as_ref().eq_ignore_ascii_case(word.as_bytes()));
    let all = named("all") || named("everything");
    let default = all || asked.is_empty() || named("default");
    SECTIONS.iter().filter(move |section| match section.shown {
        Shown::Default => default || named(section.name),
        Shown::All => all || named(section.name),
    })
}

/// What the sections are written from.
struct Facts<'a> {
    core: &'a Core,
    /// All lanes, in order.
    lanes: &'a [LaneReport],
    /// Those that this client is told of.
    told: &'a [LaneReport],
    now: Now,
}

impl Facts<'_> {
    fn sum(&self, of: impl Fn(&LaneReport) -> u64) -> u64 {
        self.told.iter().map(of).sum()
    }

    fn max(&self, of: impl Fn(&LaneReport) -> u64) -> u64 {
        self.told.iter().map(of).max().unwrap_or(0)
    }
}

/// Lines of `name:value`.
struct Fields(String);

impl Fields {
    fn add(&mut self, name: &str, value: impl Display) {
        write!(self.0, "{name}:{value}\r\n").expect("writing to a string");
    }

    /// A size twice: in bytes, and with `_human` behind its name as people read it.
    fn size(&mut self, name: &str, bytes: u64) {
        self.add(name, bytes);
        self.add(&format!("{name}_human"), human(bytes));
    }

    /// What this server does not have, but readers look for.
    fn zeros(&mut self, names: &[&str]) {
        for name in names {
            self.add(name, 0);
        }
    }
}

fn finish(core: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    let Some(connection) = core.connections.get(answers.connection) else { return };
    let door = connection.session.door;
    let lanes = report::reports(answers.answers);
    let told = report::scope(&lanes, door, core.lane);
    let facts = Facts { core, lanes: &lanes, told, now: core.store.now() };
    reply.verbatim(&text(&facts, answers.args.get(1..).unwrap_or_default()));
}

fn text(facts: &Facts<'_>, names: &[Vec<u8>]) -> String {
    let mut fields = Fields(String::new());
    for section in sections(names) {
        if !fields.0.is_empty() {
            fields.0.push_str("\r\n");
        }
        write!(fields.0, "# {}\r\n", section.title).expect("writing to a string");
        (section.write)(facts, &mut fields);
    }
    fields.0
}

/// `894.73K`, with the letters and the digits of Redis.
fn human(bytes: u64) -> String {
    const UNITS: [(u64, &str); 5] =
        [(1 << 50, "P"), (1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    match UNITS.iter().find(|(size, _)| bytes >= *size) {
        Some((size, letter)) => format!("{:.2}{letter}", bytes as f64 / *size as f64),
        None => format!("{bytes}B"),
    }
}

fn server(facts: &Facts<'_>, fields: &mut Fields) {
    let core = facts.core;
    let uptime = facts.now.steady.since(core.shared.started.steady) / 1000;
    let file = core.settings.path().map(|path| path.display().to_string()).unwrap_or_default();
    let program =
        std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default();
    let supervised = std::env::var_os("NOTIFY_SOCKET").map_or("no", |_| "systemd");
    fields.add("redis_version", REDIS_VERSION);
    fields.add("ringlane_version", RINGLANE_VERSION);
    fields.add("server_name", "ringlane");
    fields.add("redis_mode", auth::mode(core.live.advertise));
    fields.add("os", process::system_name());
    fields.add("arch_bits", usize::BITS);
    fields.add("multiplexing_api", "io_uring");
    fields.add("monotonic_clock", clock::name());
    fields.add("process_id", std::process::id());
    fields.add("process_supervised", supervised);
    fields.add("run_id", &core.shared.run_id);
    fields.add("tcp_port", core.shared.front_port);
    fields.add("server_time_usec", facts.now.wall.0.saturating_mul(1000));
    fields.add("uptime_in_seconds", uptime);
    fields.add("uptime_in_days", uptime / 86_400);
    fields.add("executable", program);
    fields.add("config_file", file);
    fields.zeros(&["io_threads_active"]);
    fields.add("lanes", core.shared.lanes());
}

fn clients(facts: &Facts<'_>, fields: &mut Fields) {
    fields.add("connected_clients", facts.sum(|lane| lane.clients.connections));
    fields.zeros(&["cluster_connections"]);
    fields.add("maxclients", facts.core.live.maxclients);
    fields.add("client_recent_max_input_buffer", facts.max(|lane| lane.clients.input_max));
    fields.add("client_recent_max_output_buffer", facts.max(|lane| lane.clients.output_max));
    fields.add("blocked_clients", facts.sum(|lane| lane.clients.blocked));
    fields.add("tracking_clients", facts.sum(|lane| lane.tracking_clients));
    fields.add("pubsub_clients", facts.sum(|lane| lane.pubsub.clients));
    fields.add("watching_clients", facts.sum(|lane| lane.transactions.watching));
    fields.zeros(&["clients_in_timeout_table"]);
    fields.add("total_watched_keys", facts.sum(|lane| lane.transactions.watched_keys));
    fields.add("total_blocking_keys", facts.sum(|lane| lane.clients.blocking_keys));
}

fn memory(facts: &Facts<'_>, fields: &mut Fields) {
    let account = Account::new(facts.core, facts.lanes);
    let usage = account.allocator;
    let size = |fields: &mut Fields, name: &str, bytes: usize| fields.size(name, bytes as u64);
    let percent = |part, whole| format!("{:.2}%", 100.0 * ratio(part, whole));
    size(fields, "used_memory", account.used);
    size(fields, "used_memory_rss", account.resident.now);
    size(fields, "used_memory_peak", account.peak());
    fields.add("used_memory_peak_perc", percent(account.used, account.peak()));
    fields.add("used_memory_overhead", account.overhead());
    size(fields, "used_memory_startup", account.startup);
    fields.add("used_memory_dataset", account.dataset);
    fields.add("used_memory_dataset_perc", format!("{:.2}%", account.dataset_percentage()));
    fields.add("allocator_allocated", usage.allocated);
    fields.add("allocator_active", usage.active);
    fields.add("allocator_resident", usage.resident);
    fields.size("total_system_memory", facts.core.settings.machine().memory_bytes);
    script_memory(facts, fields);
    fields.size("maxmemory", account.limit);
    fields.add("maxmemory_policy", facts.core.live.policy.name());
    fields.add("allocator_frag_ratio", format!("{:.2}", ratio(usage.active, usage.allocated)));
    fields.add("allocator_frag_bytes", usage.active.saturating_sub(usage.allocated));
    fields.add("allocator_rss_ratio", format!("{:.2}", ratio(usage.resident, usage.active)));
    fields.add("allocator_rss_bytes", usage.resident.saturating_sub(usage.active));
    let beside = account.resident.now.saturating_sub(usage.resident);
    fields.add("rss_overhead_ratio", format!("{:.2}", ratio(account.resident.now, usage.resident)));
    fields.add("rss_overhead_bytes", beside);
    fields.add("mem_fragmentation_ratio", format!("{:.2}", account.fragmentation()));
    fields.add("mem_fragmentation_bytes", account.resident.now as i64 - account.used as i64);
    fields.zeros(&["mem_not_counted_for_evict", "mem_replication_backlog", "mem_clients_slaves"]);
    fields.add("mem_clients_normal", account.clients);
    fields.zeros(&["mem_cluster_links", "mem_aof_buffer"]);
    fields.add("mem_allocator", process::allocator().map_or("unknown", |it| it.name));
    fields.zeros(&["active_defrag_running", "lazyfree_pending_objects", "lazyfreed_objects"]);
}

/// Scripts and functions share one interpreter a lane, which is told as that of scripts.
fn script_memory(facts: &Facts<'_>, fields: &mut Fields) {
    let registry = &facts.core.shared.scripts;
    let interpreters = facts.sum(|lane| lane.script_memory);
    let (scripts, script_bytes) = registry.scripts();
    let (_, libraries) = registry.libraries();
    let functions: usize = libraries.iter().map(|library| library.functions.len()).sum();
    let library_bytes: usize = libraries.iter().map(|library| library.text.len()).sum();
    let (script_bytes, library_bytes) = (script_bytes as u64, library_bytes as u64);
    fields.add("used_memory_vm_eval", interpreters);
    fields.size("used_memory_lua", interpreters);
    fields.add("used_memory_scripts_eval", script_bytes);
    fields.add("number_of_cached_scripts", scripts);
    fields.add("number_of_functions", functions);
    fields.add("number_of_libraries", libraries.len());
    fields.zeros(&["used_memory_vm_functions"]);
    fields.size("used_memory_vm_total", interpreters);
    fields.add("used_memory_functions", library_bytes);
    fields.size("used_memory_scripts", script_bytes + library_bytes);
}

/// Nothing is ever saved: no snapshot has failed, none has been made.
fn persistence(facts: &Facts<'_>, fields: &mut Fields) {
    fields.zeros(&["loading", "async_loading"]);
    fields.add("rdb_changes_since_last_save", report::writes(facts.told));
    fields.zeros(&["rdb_bgsave_in_progress"]);
    fields.add("rdb_last_save_time", facts.core.shared.started.wall.seconds());
    fields.add("rdb_last_bgsave_status", "ok");
    fields.add("rdb_last_bgsave_time_sec", -1);
    fields.add("rdb_current_bgsave_time_sec", -1);
    fields.zeros(&["rdb_saves", "rdb_last_cow_size", "rdb_last_load_keys_expired"]);
    fields.zeros(&["rdb_last_load_keys_loaded", "aof_enabled", "aof_rewrite_in_progress"]);
    fields.zeros(&["aof_rewrite_scheduled"]);
    fields.add("aof_last_rewrite_time_sec", -1);
    fields.add("aof_current_rewrite_time_sec", -1);
    fields.add("aof_last_bgrewrite_status", "ok");
    fields.add("aof_last_write_status", "ok");
    fields.zeros(&["aof_last_cow_size"]);
}

fn stats(facts: &Facts<'_>, fields: &mut Fields) {
    let rejected = facts.core.shared.rejected_clients.load(Ordering::Relaxed);
    let rate = |of: fn(&Totals) -> u64| facts.sum(|lane| of(&lane.rates));
    let kilobytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1024.0);
    fields.add("total_connections_received", facts.sum(|lane| lane.connections_received));
    fields.add("total_commands_processed", facts.sum(LaneReport::operations));
    fields.add("instantaneous_ops_per_sec", rate(|it| it.operations));
    fields.add("total_net_input_bytes", facts.sum(|lane| lane.bytes_in));
    fields.add("total_net_output_bytes", facts.sum(|lane| lane.bytes_out));
    fields.zeros(&["total_net_repl_input_bytes", "total_net_repl_output_bytes"]);
    fields.add("instantaneous_input_kbps", kilobytes(rate(|it| it.bytes_in)));
    fields.add("instantaneous_output_kbps", kilobytes(rate(|it| it.bytes_out)));
    fields.add("rejected_connections", rejected);
    fields.zeros(&["sync_full", "sync_partial_ok", "sync_partial_err"]);
    fields.add("expired_keys", facts.sum(|lane| lane.store.expired));
    fields.add("expired_subkeys", facts.sum(|lane| lane.store.expired_fields));
    fields.add("evicted_keys", facts.sum(|lane| lane.store.evicted));
    fields.add("evicted_clients", facts.sum(|lane| lane.clients_evicted));
    let scripts = &facts.core.shared.scripts;
    fields.add("evicted_scripts", scripts.evicted.load(Ordering::Relaxed));
    fields.add("keyspace_hits", facts.sum(|lane| lane.store.hits));
    fields.add("keyspace_misses", facts.sum(|lane| lane.store.misses));
    fields.add("pubsub_channels", facts.sum(|lane| lane.pubsub.channels));
    fields.add("pubsub_patterns", facts.max(|lane| lane.pubsub.patterns));
    fields.add("pubsubshard_channels", facts.sum(|lane| lane.pubsub.shard_channels));
    fields.zeros(&["latest_fork_usec", "total_forks", "migrate_cached_sockets"]);
    fields.zeros(&["slave_expires_tracked_keys", "active_defrag_hits", "active_defrag_misses"]);
    fields.add("tracking_total_keys", facts.sum(|lane| lane.tracking_keys));
    fields.add("tracking_total_items", facts.sum(|lane| lane.tracking_items));
    fields.add("tracking_total_prefixes", facts.max(|lane| lane.tracking_prefixes));
    fields.add("tracking_evicted_keys", facts.sum(|lane| lane.tracking_evicted));
    fields.zeros(&["unexpected_error_replies"]);
    fields.add("total_error_replies", facts.sum(|lane| lane.errors));
    fields.add("total_reads_processed", facts.sum(|lane| lane.reads));
    fields.add("total_writes_processed", facts.sum(|lane| lane.writes));
    fields.add(
        "client_output_buffer_limit_disconnections",
        facts.sum(|lane| lane.output_limit_closed),
    );
    fields.add("evicted_keys_missed", facts.sum(|lane| lane.store.ghost_hits));
    fields.add("refused_writes", facts.sum(|lane| lane.store.refused));
    fields.add("forced_writes", facts.sum(|lane| lane.store.forced));
    fields.add("relocated_entries", facts.sum(|lane| lane.store.relocated));
    fields.add("settled_elements", facts.sum(|lane| lane.store.settled));
    fields.add("rejected_commands", facts.sum(|lane| lane.rejected_commands));
    fields.add("protocol_errors", facts.sum(|lane| lane.protocol_errors));
    fields.add("moved_replies", facts.sum(|lane| lane.moved));
    fields.add("cross_slot_replies", facts.sum(|lane| lane.cross_slots));
    fields.add("unauthenticated_disconnections", facts.sum(|lane| lane.unauthenticated_closed));
    fields.add("timeout_disconnections", facts.sum(|lane| lane.timeouts));
    fields.add("accept_errors", facts.sum(|lane| lane.accept_errors));
    fields.add("receive_buffers_exhausted", facts.sum(|lane| lane.receive_buffers_exhausted));
    fields.add("memory_looks_awaited", facts.sum(|lane| lane.looks_awaited));
    fields.add("web_request_disconnections", facts.sum(|lane| lane.web_requests));
    fields.add("commands_run_aside", facts.sum(|lane| lane.commands_aside));
    fields.add("commands_run_aside_waited", facts.sum(|lane| lane.aside_waits));
    fields.add("scripts_paused", facts.sum(|lane| lane.scripts_paused));
    fields.add("transaction_slices", facts.sum(|lane| lane.transaction_slices));
    fields.add("slots_given_back", facts.sum(|lane| lane.slots_given_back));
    fields.add("long_command_slices", facts.sum(|lane| lane.long_slices));
    fields.add("notices_dropped", facts.sum(|lane| lane.notices_lost));
    fields.add("monitor_lines_dropped", facts.sum(|lane| lane.monitor_lines_dropped));
    fields.add("connections_handed_over", facts.sum(|lane| lane.handed_over));
    fields.add("transactions_executed", facts.sum(|lane| lane.transactions.executed));
    fields.add("transactions_stopped_by_watch", facts.sum(|lane| lane.transactions.touched));
    fields.add("transactions_too_long", facts.sum(|lane| lane.transactions.too_long));
    fields.add("requests_waiting_for_slots", facts.sum(|lane| lane.transactions.waiting));
}

fn replication(facts: &Facts<'_>, fields: &mut Fields) {
    fields.add("role", "master");
    fields.zeros(&["connected_slaves"]);
    fields.add("master_failover_state", "no-failover");
    fields.add("master_replid", &facts.core.shared.run_id);
    fields.add("master_replid2", "0".repeat(40));
    fields.zeros(&["master_repl_offset"]);
    fields.add("second_repl_offset", -1);
    fields.zeros(&["repl_backlog_active", "repl_backlog_size"]);
    fields.zeros(&["repl_backlog_first_byte_offset", "repl_backlog_histlen"]);
}

fn cpu(_: &Facts<'_>, fields: &mut Fields) {
    let (own, children) = (CpuTime::of_process(), CpuTime::of_children());
    for (name, seconds) in [
        ("used_cpu_sys", own.system),
        ("used_cpu_user", own.user),
        ("used_cpu_sys_children", children.system),
        ("used_cpu_user_children", children.user),
    ] {
        fields.add(name, format!("{seconds:.6}"));
    }
}

fn command_stats(facts: &Facts<'_>, fields: &mut Fields) {
    for (name, counts) in report::commands(facts.told) {
        let microseconds = report::ticks_to_us(counts.ticks);
        let each = microseconds as f64 / counts.calls.max(1) as f64;
        fields.add(
            &format!("cmdstat_{name}"),
            format_args!(
                "calls={},usec={microseconds},usec_per_call={each:.2},rejected_calls={},\
                 failed_calls={}",
                counts.calls, counts.rejected, counts.failed
            ),
        );
    }
}

fn error_stats(facts: &Facts<'_>, fields: &mut Fields) {
    let mut codes = ErrorCodes::default();
    facts.told.iter().for_each(|lane| codes.merge(&lane.error_codes));
    for (code, count) in codes.sorted() {
        fields.add(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn latency_stats(facts: &Facts<'_>, fields: &mut Fields) {
    for (id, latencies) in report::merged_latencies(facts.told) {
        let at = |percent| report::percentile(&latencies, percent) as f64 / 1000.0;
        fields.add(
            &format!("latency_percentiles_usec_{}", client::command_name(id)),
            format_args!("p50={:.3},p99={:.3},p99.9={:.3}", at(50.0), at(99.0), at(99.9)),
        );
    }
}

fn cluster(facts: &Facts<'_>, fields: &mut Fields) {
    fields.add(
        "cluster_enabled",
        match facts.core.live.advertise {
            Advertise::Node | Advertise::Lanes => 1,
            Advertise::Off => 0,
        },
    );
}

/// Our own: a line a lane.
fn lanes(facts: &Facts<'_>, fields: &mut Fields) {
    for report in facts.lanes {
        let (shared, owner) = (&facts.core.shared, report.lane());
        let slots = shared.slots_of(owner);
        let budget = shared.lines[owner.index()].budget.load(Ordering::Relaxed);
        let mut line = String::new();
        let mut put = |name: &str, value: &dyn Display| {
            let comma = if line.is_empty() { "" } else { "," };
            write!(line, "{comma}{name}={value}").expect("writing to a string");
        };
        put("port", &shared.lane_ports[owner.index()]);
        put("slots", &format_args!("{}-{}", slots.start, slots.end - 1));
        put("connections", &report.clients.connections);
        put("front_connections", &report.clients.front);
        put("operations", &report.operations());
        put("ops_per_sec", &report.rates.operations);
        put("requests_sent", &report.requests_sent);
        put("requests_received", &report.requests_received);
        put("parcels_sent", &report.parcels_sent);
        put("parcels_received", &report.parcels_received);
        put("moved", &report.moved);
        put("turns", &report.turns);
        put("longest_turn_us", &report.longest_turn_us);
        put("longest_turn_wall_us", &report.longest_turn_wall_us);
        put("long_turns", &report.long_turns);
        put("batches_cut", &report.batches_cut);
        put("parcels_cut", &report.parcels_cut);
        put("keys", &report.keys());
        put("memory", &report.memory.total());
        put("memory_budget", &budget);
        put("hits", &report.store.hits);
        put("misses", &report.store.misses);
        put("evictions", &report.store.evicted);
        put("expiries", &report.store.expired);
        fields.add(&format!("lane{}", report.lane), line);
    }
}

fn keyspace(facts: &Facts<'_>, fields: &mut Fields) {
    for (number, counts) in databases(facts.told).iter().enumerate() {
        if counts.keys > 0 {
            fields.add(
                &format!("db{number}"),
                format_args!(
                    "keys={},expires={},avg_ttl={},subexpiry=0",
                    counts.keys, counts.expires, counts.average_ttl_ms
                ),
            );
        }
    }
}

/// Databases over several lanes; the mean time to live is weighted by the keys that expire.
fn databases(reports: &[LaneReport]) -> Vec<DatabaseCounts> {
    let count = reports.iter().map(|report| report.databases.len()).max().unwrap_or(0);
    let mut sums = vec![DatabaseCounts::default(); count];
    for report in reports {
        for (sum, database) in sums.iter_mut().zip(&report.databases) {
            sum.keys += database.keys;
            sum.expires += database.expires;
            let weighted = database.average_ttl_ms.saturating_mul(database.expires);
            sum.average_ttl_ms = sum.average_ttl_ms.saturating_add(weighted);
        }
    }
    for sum in &mut sums {
        sum.average_ttl_ms = sum.average_ttl_ms.checked_div(sum.expires).unwrap_or(0);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_chosen_by_name() {
        let chosen =
            |names: &[&str]| -> Vec<&str> { sections(names).map(|section| section.name).collect() };
        let usual = chosen(&[]);
        assert!(usual.contains(&"keyspace") && !usual.contains(&"commandstats"));
        assert_eq!(chosen(&["default"]), usual);
        assert_eq!(chosen(&["ALL"]).len(), SECTIONS.len());
        assert_eq!(chosen(&["everything"]).len(), SECTIONS.len());
        assert_eq!(chosen(&["keyspace", "CPU", "cpu", "nope"]), ["cpu", "keyspace"]);
        assert_eq!(chosen(&["nope"]), [""; 0]);
        assert_eq!(chosen(&["default", "commandstats"]).len(), usual.len() + 1);
    }

    #[test]
    fn sizes_read_as_in_redis() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (916_200, "894.73K"),
            (12_156_928, "11.59M"),
            (25_276_510_208, "23.54G"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }

    #[test]
    fn databases_are_added_up_over_lanes() {
        let lane = |keys, expires, average_ttl_ms| LaneReport {
            databases: vec![
                DatabaseCounts { keys, expires, average_ttl_ms },
                DatabaseCounts::default(),
            ],
            ..LaneReport::default()
        };
        let sums = databases(&[lane(10, 1, 4000), lane(5, 3, 8000)]);
        let expected = DatabaseCounts { keys: 15, expires: 4, average_ttl_ms: 7000 };
        assert_eq!(sums, [expected, DatabaseCounts::default()]);
    }
}
