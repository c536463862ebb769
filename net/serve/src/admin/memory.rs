//! MEMORY: where the bytes are. (`MEMORY USAGE key` runs where the key is.)

use std::sync::atomic::{AtomicBool, Ordering};

use ringlane_command::{Args, Reply};

use super::process::{self, AllocatorUsage, Resident};
use super::report::{self, LaneReport};
use super::{Outcome, Subcommand, ok};
use crate::ask::{Answers, Question, Step};
use crate::core::Core;
use crate::reply::RespReply;
use crate::ring::ConnectionId;

pub const SUBCOMMANDS: &[Subcommand] = &[
    ("doctor", |_, _, _| Ok(Step::Ask(REPORT, finish_doctor))),
    ("malloc-stats", |_, _, _| Ok(Step::Ask(REPORT, finish_malloc_stats))),
    ("purge", purge),
    ("stats", |_, _, _| Ok(Step::Ask(REPORT, finish_stats))),
];

const REPORT: Question = Question::Report { histograms: false };

/// The memory of the process as commands show it, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// In use: entries and tables in the stores, and what the allocator has handed out beside them.
    pub used: usize,
    /// Of that, what was in use before the first client came.
    pub startup: usize,
    /// Of that, keys and values.
    pub dataset: usize,
    /// Of that, hash tables, ghosts, the wheel and other books of the stores.
    pub tables: usize,
    /// Of that, buffers of connections.
    pub clients: usize,
    pub keys: u64,
    pub resident: Resident,
    pub allocator: AllocatorUsage,
    /// `maxmemory`, 0 without one.
    pub limit: u64,
}

impl Account {
    pub fn new(core: &Core, reports: &[LaneReport]) -> Self {
        let allocator = process::allocator().map(|allocator| (allocator.usage)());
        let limit = core.live.maxmemory.unwrap_or(0);
        let startup = core.shared.startup_bytes();
        Self { startup, ..Self::of(reports, allocator, Resident::read(), limit) }
    }

    fn of(
        reports: &[LaneReport],
        allocator: Option<AllocatorUsage>,
        resident: Resident,
        limit: u64,
    ) -> Self {
        let mut account = Self { resident, limit, ..Self::default() };
        let mut slabs = 0;
        let mut stores = 0;
        for report in reports {
            let memory = &report.memory;
            slabs += memory.slab_live;
            stores += memory.total() + memory.slab_live - memory.slab_resident;
            account.tables += memory.tables + memory.ghosts + memory.wheel + memory.fixed;
            account.dataset += memory.slab_live.saturating_sub(memory.tables) + memory.blobs;
            account.clients += report.clients.memory as usize;
            account.keys += report.keys();
        }
        // The slabs are mapped by the stores themselves; all else comes from the allocator.
        account.used = allocator.map_or(stores, |usage| slabs + usage.allocated);
        account.allocator = allocator.unwrap_or_default();
        account
    }

    /// Used bytes that are no keys and values.
    pub fn overhead(&self) -> usize {
        self.used.saturating_sub(self.dataset)
    }

    /// The most that has been resident, and no less than what is used now.
    pub fn peak(&self) -> usize {
        self.resident.peak.max(self.used)
    }

    /// Of what is used beyond the bare server, keys and values: in percent.
    pub fn dataset_percentage(&self) -> f64 {
        let beyond = self.used.saturating_sub(self.startup).max(self.dataset);
        100.0 * ratio(self.dataset, beyond)
    }

    /// Resident bytes for each used one.
    pub fn fragmentation(&self) -> f64 {
        ratio(self.resident.now, self.used)
    }
}

/// How often `whole` goes into `part`; 0 when there is nothing.
pub fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// `MEMORY PURGE`: begun on a thread of its own, since it may go through gigabytes.
fn purge(core: &mut Core, id: ConnectionId, _: Args<'_>) -> Outcome {
    static UNDER_WAY: AtomicBool = AtomicBool::new(false);
    if let Some(allocator) = process::allocator()
        && !UNDER_WAY.swap(true, Ordering::AcqRel)
    {
        let work = || {
            (allocator.purge)();
            UNDER_WAY.store(false, Ordering::Release);
        };
        if let Err(error) = std::thread::Builder::new().name("purge".into()).spawn(work) {
            UNDER_WAY.store(false, Ordering::Release);
            tracing::warn!(%error, "no thread for MEMORY PURGE");
        }
    }
    ok(core, id)
}

/// One value of `MEMORY STATS`.
enum Figure {
    Bytes(usize),
    Share(f64),
}

/// The fields of `MEMORY STATS`: those of Redis that have a meaning here, then the stores' own.
fn figures(account: &Account, reports: &[LaneReport]) -> Vec<(&'static str, Figure)> {
    use Figure::{Bytes, Share};
    let sum = |of: fn(&LaneReport) -> usize| Bytes(reports.iter().map(of).sum());
    let usage = &account.allocator;
    let keys = usize::try_from(account.keys).unwrap_or(usize::MAX);
    vec![
        ("peak.allocated", Bytes(account.peak())),
        ("total.allocated", Bytes(account.used)),
        ("startup.allocated", Bytes(account.startup)),
        ("replication.backlog", Bytes(0)),
        ("clients.slaves", Bytes(0)),
        ("clients.normal", Bytes(account.clients)),
        ("cluster.links", Bytes(0)),
        ("aof.buffer", Bytes(0)),
        ("lua.caches", Bytes(0)),
        ("functions.caches", Bytes(0)),
        ("overhead.total", Bytes(account.overhead())),
        ("keys.count", Bytes(keys)),
        (
            "keys.bytes-per-key",
            Bytes((account.dataset + account.tables).checked_div(keys).unwrap_or(0)),
        ),
        ("dataset.bytes", Bytes(account.dataset)),
        ("dataset.percentage", Share(account.dataset_percentage())),
        ("peak.percentage", Share(100.0 * ratio(account.used, account.peak()))),
        ("allocator.allocated", Bytes(usage.allocated)),
        ("allocator.active", Bytes(usage.active)),
        ("allocator.resident", Bytes(usage.resident)),
        ("allocator-fragmentation.ratio", Share(ratio(usage.active, usage.allocated))),
        ("allocator-fragmentation.bytes", Bytes(usage.active.saturating_sub(usage.allocated))),
        ("allocator-rss.ratio", Share(ratio(usage.resident, usage.active))),
        ("allocator-rss.bytes", Bytes(usage.resident.saturating_sub(usage.active))),
        ("rss", Bytes(account.resident.now)),
        ("fragmentation", Share(account.fragmentation())),
        ("fragmentation.bytes", Bytes(account.resident.now.saturating_sub(account.used))),
        ("slab.resident", sum(|it| it.memory.slab_resident)),
        ("slab.ahead", sum(|it| it.memory.slab_ahead)),
        ("slab.live", sum(|it| it.memory.slab_live)),
        ("tables", sum(|it| it.memory.tables)),
        ("blobs", sum(|it| it.memory.blobs)),
        ("ghosts", sum(|it| it.memory.ghosts)),
        ("wheel", sum(|it| it.memory.wheel)),
        ("fixed", sum(|it| it.memory.fixed)),
    ]
}

fn finish_stats(core: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    let reports = report::reports(answers.answers);
    let figures = figures(&Account::new(core, &reports), &reports);
    reply.map(figures.len());
    for (name, figure) in figures {
        reply.bulk(name.as_bytes());
        match figure {
            Figure::Bytes(bytes) => reply.integer(bytes as i64),
            Figure::Share(share) => reply.double(share),
        }
    }
}

fn finish_doctor(core: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    let reports = report::reports(answers.answers);
    let refused = reports.iter().map(|report| report.store.refused).sum();
    reply.verbatim(&diagnosis(&Account::new(core, &reports), refused));
}

/// What stands out in the account, or that nothing does. `refused` counts writes that found no room.
fn diagnosis(account: &Account, refused: u64) -> String {
    /// Below this there is too little to judge by, in bytes.
    const USED_MIN: usize = 5 << 20;
    const FRAGMENTATION_MAX: f64 = 1.4;
    const CLIENTS_SHARE_MAX: f64 = 0.25;
    let mut findings = Vec::new();
    if account.used < USED_MIN {
        return "There is next to nothing in memory yet: nothing to judge.\n".to_owned();
    }
    if account.limit > 0 && account.resident.now as f64 > 1.05 * account.limit as f64 {
        findings.push(
            "More is resident than maxmemory allows: see used_memory_overhead in INFO, \
                       and lower the number of clients or what they have under way.",
        );
    }
    if account.fragmentation() > FRAGMENTATION_MAX {
        findings.push("Much of what is resident is not in use. It goes back to the system within \
                       seconds, or at once by MEMORY PURGE; if it stays, sizes of values change a lot.");
    }
    if ratio(account.clients, account.used) > CLIENTS_SHARE_MAX {
        findings.push(
            "Buffers of clients take a large part: CLIENT LIST shows whose (tot-mem), \
                       client-output-buffer-limit bounds them.",
        );
    }
    if refused > 0 {
        findings.push(
            "Writes were refused for want of memory: raise maxmemory, or choose a \
                       maxmemory-policy that may evict.",
        );
    }
    if findings.is_empty() {
        findings.push("Nothing stands out.");
    }
    findings.join("\n") + "\n"
}

fn finish_malloc_stats(core: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    let reports = report::reports(answers.answers);
    let account = Account::new(core, &reports);
    let name = process::allocator().map_or("unknown", |allocator| allocator.name);
    let usage = account.allocator;
    let mut text = format!(
        "allocator {name}: allocated {} active {} resident {}\n",
        usage.allocated, usage.active, usage.resident
    );
    for report in &reports {
        use std::fmt::Write;
        let memory = &report.memory;
        writeln!(
            text,
            "lane {}: slab resident {} ahead {} live {}, of it tables {}; blobs {} ghosts {} wheel {} \
             fixed {}",
            report.lane,
            memory.slab_resident,
            memory.slab_ahead,
            memory.slab_live,
            memory.tables,
            memory.blobs,
            memory.ghosts,
            memory.wheel,
            memory.fixed,
        )
        .expect("writing to a string");
    }
    reply.verbatim(&text);
}

#[cfg(test)]
mod tests {
    use ringlane_store::Memory;

    use super::*;

    fn account() -> Account {
        let memory = Memory {
            slab_resident: 1000,
            slab_ahead: 100,
            slab_live: 800,
            tables: 100,
            blobs: 300,
            ghosts: 10,
            wheel: 20,
            fixed: 30,
        };
        let reports = [LaneReport { memory, ..LaneReport::default() }];
        let usage = AllocatorUsage { allocated: 500, active: 600, resident: 700, free: 50 };
        let resident = Resident { now: 3000, peak: 4000 };
        assert_eq!(Account::of(&reports, None, resident, 0).used, memory.total() - 200);
        Account::of(&reports, Some(usage), resident, 0)
    }

    #[test]
    fn nothing_is_counted_twice() {
        let account = account();
        assert_eq!(account.used, 800 + 500);
        assert_eq!(account.dataset, 800 - 100 + 300);
        assert_eq!(account.tables, 160);
        assert_eq!(account.overhead(), 300);
        let grown = Account { startup: 100, ..account };
        assert!((grown.dataset_percentage() - 100.0 * 1000.0 / 1200.0).abs() < 1e-9);
        assert_eq!(account.peak(), 4000);
        assert!((account.fragmentation() - 3000.0 / 1300.0).abs() < 1e-9);
    }

    #[test]
    fn the_doctor_says_what_stands_out() {
        let fine = Account {
            used: 100 << 20,
            resident: Resident { now: 110 << 20, peak: 0 },
            limit: 200 << 20,
            ..Account::default()
        };
        assert_eq!(diagnosis(&fine, 0), "Nothing stands out.\n");
        assert!(diagnosis(&account(), 0).starts_with("There is next to nothing"));
        let over = Account { limit: 50 << 20, clients: 60 << 20, ..fine };
        let text = diagnosis(&over, 3);
        for part in ["maxmemory allows", "Buffers of clients", "Writes were refused"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let loose = Account { resident: Resident { now: 150 << 20, peak: 0 }, ..fine };
        assert!(diagnosis(&loose, 0).contains("MEMORY PURGE"));
    }
}
