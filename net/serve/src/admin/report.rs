//! Everything one lane counts, as it tells the lane that was asked; and sums over lanes.

use std::collections::{BTreeMap, VecDeque};

use ringlane_base::{Database, LaneId};
use ringlane_command::Access;
use ringlane_store::{Memory, Stats};

use crate::admin::latency_events::LatencyEvents;
use crate::ask::Answer;
use crate::clock;
use crate::connection::Connection;
use crate::core::Core;
use crate::durations::Durations;
use crate::error_codes::ErrorCodes;
use crate::session::Door;
use crate::stats::{CommandStats, Counters};

/// Connections among which a report looks for the largest buffers, so that a lane with tens of
/// thousands of connections is not held up by being asked.
const CONNECTIONS_LOOKED_AT: usize = 1024;

/// Counts of one command on one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandCounts {
    pub calls: u64,
    pub ticks: u64,
    pub failed: u64,
    pub rejected: u64,
}

/// One database of one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseCounts {
    pub keys: u64,
    pub expires: u64,
    /// Milliseconds, over the keys that expire.
    pub average_ttl_ms: u64,
}

/// What clients do to a lane's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientCounts {
    pub connections: u64,
    pub front: u64,
    /// Bytes of the largest input and output buffer.
    pub input_max: u64,
    pub output_max: u64,
    /// Whose command waits for something to take.
    pub blocked: u64,
    /// Keys of this lane that such commands wait for.
    pub blocking_keys: u64,
    /// Bytes of all connections and their buffers together.
    pub memory: u64,
}

/// Channels that live on a lane, and its connections that listen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PubSubCounts {
    pub channels: u64,
    /// Those of all lanes: every lane knows them.
    pub patterns: u64,
    pub shard_channels: u64,
    pub clients: u64,
}

/// What transactions a lane's connections have run, and what they hold and watch now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionCounts {
    pub executed: u64,
    /// Not run: a watched key was touched.
    pub touched: u64,
    /// Given up at `transaction-commands-max` or `transaction-bytes-max`.
    pub too_long: u64,
    /// Connections of this lane that watch keys.
    pub watching: u64,
    /// Keys of this lane that are watched.
    pub watched_keys: u64,
    /// Requests and commands that wait for held slots.
    pub waiting: u64,
}

/// A recorded latency in nanoseconds (the highest that its bucket stands for), and how often.
pub type Latencies = BTreeMap<u64, u64>;

/// What one lane has counted.
#[derive(Clone, Debug, Default)]
pub struct LaneReport {
    pub lane: u16,
    /// By the id of the command's row.
    pub commands: Vec<CommandCounts>,
    /// By the id of the command's row, those that have run; empty unless asked for.
    pub latencies: Vec<(u16, Latencies)>,
    /// By number.
    pub databases: Vec<DatabaseCounts>,
    pub clients: ClientCounts,
    pub store: Stats,
    pub memory: Memory,
    pub rates: Totals,
    pub counters: Counters,
    pub error_codes: ErrorCodes,
    pub events: LatencyEvents,
    pub parcels_sent: u64,
    pub requests_sent: u64,
    pub notices_lost: u64,
    pub pubsub: PubSubCounts,
    pub transactions: TransactionCounts,
    /// Bytes of the interpreter.
    pub script_memory: u64,
    /// Scripts and functions between two of their slices.
    pub scripts_paused: u64,
    pub tracking_clients: u64,
    pub tracking_keys: u64,
    /// Readers of all those keys.
    pub tracking_items: u64,
    pub tracking_prefixes: u64,
}

impl std::ops::Deref for LaneReport {
    type Target = Counters;

    fn deref(&self) -> &Counters {
        &self.counters
    }
}

impl LaneReport {
    /// What this lane has counted so far.
    pub fn of(core: &Core, histograms: bool) -> Self {
        let stats = &core.stats;
        let counts = |it: &CommandStats| CommandCounts {
            calls: it.calls,
            ticks: it.ticks,
            failed: it.failed,
            rejected: it.rejected,
        };
        Self {
            lane: core.lane.0,
            commands: stats.commands.iter().map(counts).collect(),
            latencies: if histograms { latencies(core) } else { Vec::new() },
            databases: databases(core),
            clients: clients(core),
            store: *core.store.stats(),
            memory: core.store.memory(),
            rates: stats.rates.per_second(),
            counters: stats.counters,
            error_codes: stats.error_codes.clone(),
            events: stats.events.clone(),
            parcels_sent: core.outbox.parcels_sent,
            requests_sent: core.outbox.requests_sent,
            notices_lost: stats.notices_dropped + core.store.notices_dropped(),
            script_memory: core.scripts.memory_bytes() as u64,
            scripts_paused: core.scripts.paused_count() as u64,
            tracking_clients: core.tracking.clients.len() as u64,
            tracking_keys: core.tracking.table.keys() as u64,
            tracking_items: core.tracking.table.readers() as u64,
            tracking_prefixes: core.tracking.prefixes() as u64,
            pubsub: PubSubCounts {
                channels: core.pubsub.registry.borrow().channels() as u64,
                patterns: core.pubsub.registry.borrow().patterns() as u64,
                shard_channels: core.pubsub.registry.borrow().shard_channels() as u64,
                clients: core.pubsub.audience.connections as u64,
            },
            transactions: TransactionCounts {
                executed: stats.transactions_executed,
                touched: stats.transactions_touched,
                too_long: stats.transactions_too_long,
                watching: core.watches.connections,
                watched_keys: core.watches.keys() as u64,
                waiting: core.locks.waiting() as u64,
            },
        }
    }

    pub fn lane(&self) -> LaneId {
        LaneId(self.lane)
    }

    /// Commands that this lane's connections have sent.
    pub fn operations(&self) -> u64 {
        self.commands.iter().map(|command| command.calls).sum()
    }

    pub fn keys(&self) -> u64 {
        self.databases.iter().map(|database| database.keys).sum()
    }
}

fn latencies(core: &Core) -> Vec<(u16, Latencies)> {
    let recorded = |durations: &Durations| -> Latencies {
        let mut latencies = Latencies::new();
        for (ticks, count) in durations.recorded() {
            // Ticks may be shorter than nanoseconds.
            let nanoseconds = (ticks.saturating_mul(1000) / core.ticks_per_us).max(1);
            *latencies.entry(nanoseconds).or_default() += count;
        }
        latencies
    };
    let commands = core.stats.commands.iter().enumerate();
    commands
        .filter_map(|(id, command)| Some((id as u16, recorded(command.latency.as_ref()?))))
        .collect()
}

fn databases(core: &Core) -> Vec<DatabaseCounts> {
    (0..core.live.databases)
        .map(Database)
        .map(|database| DatabaseCounts {
            keys: core.store.len(database) as u64,
            expires: core.store.expires(database) as u64,
            average_ttl_ms: core.store.average_ttl_ms(database),
        })
        .collect()
}

fn clients(core: &Core) -> ClientCounts {
    let line = &core.shared.lines[core.lane.index()];
    let front = line.front_connections.load(std::sync::atomic::Ordering::Relaxed);
    let mut counts = ClientCounts {
        connections: core.connections.len() as u64,
        front: front as u64,
        blocked: core.blocked.commands() as u64,
        blocking_keys: core.blocked.keys() as u64,
        memory: (core.client_memory.sum().owned + core.connections.len() * size_of::<Connection>())
            as u64,
        ..ClientCounts::default()
    };
    for connection in core.connections.iter().take(CONNECTIONS_LOOKED_AT) {
        counts.input_max = counts.input_max.max(connection.input_len() as u64);
        counts.output_max = counts.output_max.max(connection.output_len() as u64);
    }
    counts
}

/// `CONFIG RESETSTAT`: what is counted begins anew; the store's content, the connections, the
/// slow log and the events of LATENCY stay.
pub fn reset(core: &mut Core) {
    core.store.reset_stats();
    let slowlog = std::mem::take(&mut core.stats.slowlog);
    let events = std::mem::take(&mut core.stats.events);
    core.stats = crate::stats::LaneStats::new();
    core.stats.slowlog = slowlog;
    core.stats.events = events;
    core.outbox.parcels_sent = 0;
    core.outbox.requests_sent = 0;
    if core.lane == LaneId(0) {
        core.shared.rejected_clients.store(0, std::sync::atomic::Ordering::Relaxed);
    }
}

/// The reports in the order of the lanes.
pub fn reports(answers: Vec<Answer>) -> Vec<LaneReport> {
    let mut reports: Vec<LaneReport> = answers.into_iter().map(Answer::report).collect();
    reports.sort_unstable_by_key(|report| report.lane);
    reports
}

/// Whose counts a connection is shown: all lanes', or at a lane door that lane's alone.
pub fn scope(reports: &[LaneReport], door: Door, lane: LaneId) -> &[LaneReport] {
    match door {
        Door::Front => reports,
        Door::Lane => &reports[lane.index()..=lane.index()],
    }
}

/// The counts of every command over several lanes, with the command's name; those never called are
/// left out.
pub fn commands(reports: &[LaneReport]) -> Vec<(&'static str, CommandCounts)> {
    let count = reports.first().map_or(0, |report| report.commands.len());
    (0..count)
        .filter_map(|id| {
            let mut sum = CommandCounts::default();
            for command in reports.iter().map(|report| report.commands[id]) {
                sum.calls += command.calls;
                sum.ticks += command.ticks;
                sum.failed += command.failed;
                sum.rejected += command.rejected;
            }
            let used = sum.calls + sum.failed + sum.rejected > 0;
            used.then(|| (super::client::command_name(id as u16), sum))
        })
        .collect()
}

/// Writes that lanes have executed for their connections, failed ones included.
pub fn writes(reports: &[LaneReport]) -> u64 {
    ringlane_command::table::all_with_subcommands()
        .filter(|row| row.access == Access::Write)
        .map(|row| -> u64 {
            let calls = |report: &LaneReport| {
                report.commands.get(usize::from(row.id)).map_or(0, |command| command.calls)
            };
            reports.iter().map(calls).sum()
        })
        .sum()
}

/// The latencies of every command that has run, over several lanes.
pub fn merged_latencies(reports: &[LaneReport]) -> BTreeMap<u16, Latencies> {
    let mut merged: BTreeMap<u16, Latencies> = BTreeMap::new();
    for (id, latencies) in reports.iter().flat_map(|report| &report.latencies) {
        let of_command = merged.entry(*id).or_default();
        for (value, count) in latencies {
            *of_command.entry(*value).or_default() += count;
        }
    }
    merged
}

/// The latency in nanoseconds that so many of a hundred calls stayed within.
pub fn percentile(latencies: &Latencies, percent: f64) -> u64 {
    let total: u64 = latencies.values().sum();
    let wanted = ((total as f64 * percent / 100.0).ceil() as u64).clamp(1, total.max(1));
    let mut counted = 0;
    for (value, count) in latencies {
        counted += count;
        if counted >= wanted {
            return *value;
        }
    }
    0
}

/// The three numbers whose change per second INFO shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub operations: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

/// Recent samples of the totals. As in Redis the rates are those of the last 1.6 seconds.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    /// Unix milliseconds and what the totals were.
    samples: VecDeque<(u64, Totals)>,
}

impl Rates {
    /// Samples closer together than this are left out, in milliseconds.
    const INTERVAL_MS: u64 = 100;
    const SAMPLES_MAX: usize = 17;

    /// Takes a sample. A clock that jumped begins anew.
    pub fn sample(&mut self, now_ms: u64, totals: Totals) {
        if let Some((last, _)) = self.samples.back() {
            if now_ms < *last {
                self.samples.clear();
            } else if now_ms - last < Self::INTERVAL_MS {
                return;
            }
        }
        if self.samples.len() == Self::SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back((now_ms, totals));
    }

    /// How much is added in a second.
    pub fn per_second(&self) -> Totals {
        let (Some((from, first)), Some((to, last))) = (self.samples.front(), self.samples.back())
        else {
            return Totals::default();
        };
        let rate = |first: u64, last: u64| {
            last.saturating_sub(first) * 1000 / to.saturating_sub(*from).max(1)
        };
        Totals {
            operations: rate(first.operations, last.operations),
            bytes_in: rate(first.bytes_in, last.bytes_in),
            bytes_out: rate(first.bytes_out, last.bytes_out),
        }
    }
}

impl Core {
    /// Samples what INFO shows as rates. Called by the lane's tick.
    pub fn sample_rates(&mut self) {
        let stats = &mut self.stats;
        let totals = Totals {
            operations: stats.commands.iter().map(|command| command.calls).sum(),
            bytes_in: stats.bytes_in,
            bytes_out: stats.bytes_out,
        };
        stats.rates.sample(self.store.now().steady.0, totals);
    }
}

/// Microseconds of so many ticks.
pub fn ticks_to_us(ticks: u64) -> u64 {
    ticks / clock::ticks_per_us()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_samples() {
        let mut rates = Rates::default();
        assert_eq!(rates.per_second(), Totals::default());
        for step in 0..40 {
            let totals = Totals { operations: step * 50, bytes_in: step * 10, bytes_out: 0 };
            rates.sample(1_000_000 + step * 100, totals);
            // Too soon after the last one: ignored.
            rates.sample(1_000_000 + step * 100 + 1, Totals::default());
        }
        let expected = Totals { operations: 500, bytes_in: 100, bytes_out: 0 };
        assert_eq!(rates.per_second(), expected);
        assert_eq!(rates.samples.len(), Rates::SAMPLES_MAX);
        rates.sample(5, Totals { operations: 9, ..Totals::default() });
        assert_eq!(rates.per_second(), Totals::default());
    }

    #[test]
    fn lanes_are_added_up() {
        let lane = |lane: u16, calls: u64, at: u64| LaneReport {
            lane,
            commands: vec![CommandCounts { calls, ticks: 1, failed: 1, rejected: 2 }],
            latencies: vec![(0, Latencies::from([(at, calls), (9_000, 1)]))],
            ..LaneReport::default()
        };
        let both = [lane(0, 3, 1_000), lane(1, 4, 2_000)];
        let (_, sum) = commands(&both)[0];
        assert_eq!(sum, CommandCounts { calls: 7, ticks: 2, failed: 2, rejected: 4 });
        assert_eq!(scope(&both, Door::Lane, LaneId(1))[0].operations(), 4);
        assert_eq!(scope(&both, Door::Front, LaneId(1)).len(), 2);
        let merged = merged_latencies(&both);
        assert_eq!(merged[&0], Latencies::from([(1_000, 3), (2_000, 4), (9_000, 2)]));
        for (percent, value) in [(1.0, 1_000), (33.0, 1_000), (50.0, 2_000), (99.9, 9_000)] {
            assert_eq!(percentile(&merged[&0], percent), value, "{percent}");
        }
        assert_eq!(percentile(&Latencies::new(), 50.0), 0);
    }
}
