//! The load generator: pinned threads, each with its own connections, epoll and histograms; nothing
//! is shared between them but a counter. The calling thread keeps the time, reads the server's CPU
//! clock at both ends of the measured window, and shows progress.

mod connection;
mod source;
mod tally;
mod worker;

use std::{
    io::IsTerminal,
    net::SocketAddr,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use self::tally::Tally;
use crate::{
    cluster::Owners,
    cpu::CpuMeter,
    keyspace::{Shape, ValueSizes},
    latency::{Latencies, Summary, human_us},
    protocol::Protocol,
    signals,
    zipf::Popularity,
};

/// Bounds of what one run may ask for.
pub const CONNECTIONS_MAX: usize = 50_000;
pub const DEPTH_MAX: usize = 100_000;
/// How long connecting, and draining at the end, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Options that several tools share: what the load is made of.
#[derive(Clone, Debug, clap::Args)]
pub struct Traffic {
    /// Bytes of a key
    #[arg(long, default_value_t = 16)]
    pub key_size: usize,
    /// Bytes of a value, or a range as 16-1024 (a key's size is a function of its name)
    #[arg(long, default_value = "32")]
    pub value_size: ValueSizes,
    /// Share of GETs, 0 to 1
    #[arg(long, default_value_t = 0.8)]
    pub reads: f64,
    /// Which keys: uniform, or zipf:THETA
    #[arg(long, default_value = "uniform")]
    pub distribution: Popularity,
}

/// Whom to load, and how to speak to it.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    pub address: SocketAddr,
    pub protocol: Protocol,
    /// Fetch `CLUSTER SLOTS` and send every key to its owner's address.
    pub cluster: bool,
    /// For `AUTH`.
    #[serde(skip)]
    pub password: Option<String>,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// A connection sends its next batch of `depth` when the whole last one is answered.
    Closed,
    /// This many operations a second in all, whatever the answers do. Latency counts from the time
    /// an operation was due, so that a stalled server is charged for what it kept waiting.
    Open { per_second: f64, poisson: bool },
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    Seconds(f64),
    Operations(u64),
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// Sets every key once, in order.
    Preload,
    /// Gets and sets of drawn keys.
    Mixed { read_share: f64, popularity: Popularity, limit: Limit, warm_up_seconds: f64 },
}

/// Lifetimes of what is set, in milliseconds, spread over the keys; 0 and 0 = none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lifetimes {
    pub min_ms: u64,
    pub max_ms: u64,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    pub target: Target,
    pub shape: Shape,
    pub work: Work,
    pub pace: Pace,
    pub lifetimes: Lifetimes,
    /// In all, over all threads.
    pub connections: usize,
    /// Requests in flight per connection.
    pub depth: usize,
    /// One thread on each; empty = one thread, not pinned.
    pub cores: Vec<usize>,
    /// A get that finds nothing is no error (eviction, expiry, no preload).
    pub misses_allowed: bool,
    pub seed: u64,
}

impl Plan {
    /// Refuses what cannot be run, in words.
    pub fn check(&self) -> Result<()> {
        self.shape.check().map_err(anyhow::Error::msg)?;
        let threads = self.threads();
        if self.connections < threads || self.connections > CONNECTIONS_MAX {
            bail!("connections run from the number of threads ({threads}) to {CONNECTIONS_MAX}");
        }
        if self.depth == 0 || self.depth > DEPTH_MAX {
            bail!("the pipeline is 1 to {DEPTH_MAX} deep");
        }
        if self.target.cluster && self.target.protocol == Protocol::Memcached {
            bail!("memcached has no cluster mode");
        }
        if let Pace::Open { per_second, .. } = self.pace
            && !(per_second > 0.0 && per_second <= 1e9)
        {
            bail!("the rate lies above 0 and up to 1e9 operations a second");
        }
        if let Work::Mixed { read_share, limit, warm_up_seconds, .. } = self.work {
            let limit_ok = match limit {
                Limit::Seconds(seconds) => seconds > 0.0 && seconds <= 86_400.0,
                Limit::Operations(operations) => operations > 0,
            };
            if !(0.0..=1.0).contains(&read_share)
                || !limit_ok
                || !(0.0..=3600.0).contains(&warm_up_seconds)
            {
                bail!(
                    "read share 0 to 1; at most a day; at least one operation; warm-up at most an hour"
                );
            }
        }
        Ok(())
    }

    pub fn threads(&self) -> usize {
        self.cores.len().max(1)
    }
}

/// What went wrong, counted. Any of them fails a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Faults {
    /// Error replies.
    pub errors: u64,
    /// `MOVED` and `ASK` among them.
    pub redirects: u64,
    /// Values of a wrong size or of another key.
    pub wrong_values: u64,
    /// Gets of a stored key that found nothing (unless misses are allowed).
    pub unexpected_misses: u64,
    /// The first of them, in words.
    pub first: Option<String>,
}

impl Faults {
    pub fn total(&self) -> u64 {
        self.errors + self.wrong_values + self.unexpected_misses
    }

    fn add(&mut self, other: &Self) {
        self.errors += other.errors;
        self.redirects += other.redirects;
        self.wrong_values += other.wrong_values;
        self.unexpected_misses += other.unexpected_misses;
        if self.first.is_none() {
            self.first.clone_from(&other.first);
        }
    }
}

/// One second of the measured window.
#[derive(Clone, Debug, Serialize)]
pub struct Second {
    pub second: u32,
    pub operations: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p99_9_us: f64,
    pub max_us: f64,
}

/// What a run found.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub operations: u64,
    pub seconds: f64,
    pub per_second: f64,
    pub reads: Summary,
    pub writes: Summary,
    pub all: Summary,
    pub hits: u64,
    pub misses: u64,
    pub faults: Faults,
    /// CPU time of the metered process per operation over the measured window, nanoseconds.
    pub server_cpu_ns: Option<f64>,
    /// CPU time of this generator per operation, nanoseconds: near `1e9 / per_second` it was the bound.
    pub load_cpu_ns: Option<f64>,
    pub endpoints: Vec<SocketAddr>,
    pub timeline: Vec<Second>,
    /// (percent, microseconds) of all operations.
    pub curve: Vec<(f64, f64)>,
}

impl Outcome {
    /// An error that says what went wrong, if anything did.
    pub fn check(&self) -> Result<()> {
        if self.faults.total() == 0 {
            return Ok(());
        }
        let Faults { errors, redirects, wrong_values, unexpected_misses, first } = &self.faults;
        bail!(
            "the run is void: {errors} error replies ({redirects} redirects), {wrong_values} wrong values, \
             {unexpected_misses} stored keys missing; first: {}",
            first.as_deref().unwrap_or("-")
        )
    }
}

/// What threads and the time keeper share.
struct Shared {
    /// Answers so far, one counter per thread.
    completed: Vec<Counter>,
    /// Threads leave their loops: an error elsewhere, or a signal.
    stop: AtomicBool,
    start: Barrier,
}

/// On a cache line of its own.
#[repr(align(128))]
#[derive(Default)]
struct Counter(AtomicU64);

impl Shared {
    fn completed(&self) -> u64 {
        self.completed.iter().map(|counter| counter.0.load(Ordering::Relaxed)).sum()
    }
}

/// The state of the clocks at one end of the measured window.
struct Mark {
    at: Instant,
    operations: u64,
    server: Option<Duration>,
    load: Duration,
}

/// Runs a plan. `meter` is the server's CPU clock; `title` opens the progress line, which is shown
/// on a terminal alone; None = silent.
pub fn run(plan: &Plan, meter: Option<CpuMeter>, title: Option<&str>) -> Result<Outcome> {
    plan.check()?;
    let owners = Arc::new(if plan.target.cluster {
        Owners::fetch(plan.target.address, PATIENCE)?
    } else {
        Owners::single(plan.target.address)
    });
    if plan.connections < owners.endpoints.len() * plan.threads() {
        bail!(
            "{} endpoints and {} threads need at least {} connections",
            owners.endpoints.len(),
            plan.threads(),
            owners.endpoints.len() * plan.threads()
        );
    }
    let workers = (0..plan.threads())
        .map(|thread| worker::Worker::connect(plan, Arc::clone(&owners), thread))
        .collect::<Result<Vec<_>>>()?;
    let shared = Shared {
        completed: (0..workers.len()).map(|_| Counter::default()).collect(),
        stop: AtomicBool::new(false),
        start: Barrier::new(workers.len() + 1),
    };
    let title = title.filter(|_| std::io::stderr().is_terminal());
    let mut keeper = Keeper::new(plan, meter, title)?;
    let (tallies, inbox) = mpsc::channel();
    let results: Result<()> = std::thread::scope(|scope| {
        let shared = &shared;
        let threads: Vec<_> = workers
            .into_iter()
            .map(|worker| {
                let tallies = tallies.clone();
                scope.spawn(move || worker.run(shared, &tallies))
            })
            .collect();
        drop(tallies);
        let kept = keeper.mark_at_once(shared);
        shared.start.wait();
        let kept = kept.and_then(|()| keeper.keep(&inbox, shared));
        shared.stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("a load thread panicked"))??;
        }
        kept
    });
    results?;
    keeper.outcome(owners.endpoints.clone())
}

/// Keeps the time of a run and gathers what the threads report.
struct Keeper<'a> {
    plan: &'a Plan,
    meter: Option<CpuMeter>,
    own: CpuMeter,
    title: Option<&'a str>,
    first: Option<Mark>,
    last: Option<Mark>,
    reads: Latencies,
    writes: Latencies,
    seconds: Vec<Latencies>,
    hits: u64,
    misses: u64,
    faults: Faults,
}

impl<'a> Keeper<'a> {
    fn new(plan: &'a Plan, meter: Option<CpuMeter>, title: Option<&'a str>) -> Result<Self> {
        Ok(Self {
            plan,
            meter,
            own: CpuMeter::new(std::process::id())?,
            title,
            first: None,
            last: None,
            reads: Latencies::default(),
            writes: Latencies::default(),
            seconds: Vec::new(),
            hits: 0,
            misses: 0,
            faults: Faults::default(),
        })
    }

    /// Without a warm-up the window opens before the first request is sent.
    fn mark_at_once(&mut self, shared: &Shared) -> Result<()> {
        let warm_up = match self.plan.work {
            Work::Preload => 0.0,
            Work::Mixed { warm_up_seconds, .. } => warm_up_seconds,
        };
        if warm_up <= 0.0 {
            self.first = Some(self.mark(shared)?);
        }
        Ok(())
    }

    fn mark(&self, shared: &Shared) -> Result<Mark> {
        Ok(Mark {
            operations: shared.completed(),
            server: self.meter.map(|meter| meter.read()).transpose()?,
            load: self.own.read()?,
            at: Instant::now(),
        })
    }

    /// Until every thread has hung up. The window opens after the warm-up and closes at the time
    /// limit, or when the last operation is answered.
    fn keep(&mut self, inbox: &mpsc::Receiver<Tally>, shared: &Shared) -> Result<()> {
        const TICK: Duration = Duration::from_millis(20);
        let started = Instant::now();
        let (opens, closes) = match self.plan.work {
            Work::Preload => (started, None),
            Work::Mixed { warm_up_seconds, limit, .. } => {
                let opens = started + Duration::from_secs_f64(warm_up_seconds);
                let closes = match limit {
                    Limit::Seconds(seconds) => Some(opens + Duration::from_secs_f64(seconds)),
                    Limit::Operations(_) => None,
                };
                (opens, closes)
            }
        };
        let mut shown = (started, 0);
        loop {
            let now = Instant::now();
            if self.first.is_none() && now >= opens {
                self.first = Some(self.mark(shared)?);
            }
            if self.last.is_none() && closes.is_some_and(|closes| now >= closes) {
                self.last = Some(self.mark(shared)?);
            }
            if signals::stopping() {
                shared.stop.store(true, Ordering::Relaxed);
            }
            let due = [Some(opens), closes].into_iter().flatten().filter(|&due| due > now).min();
            let wait = due.map_or(TICK, |due| TICK.min(due.saturating_duration_since(now)));
            match inbox.recv_timeout(wait) {
                Ok(tally) => self.take(&tally),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            if now - shown.0 >= Duration::from_secs(1) {
                let completed = shared.completed();
                self.show(completed, (completed - shown.1) as f64 / (now - shown.0).as_secs_f64());
                shown = (now, completed);
            }
        }
        if self.title.is_some() {
            eprint!("\r\x1b[K");
        }
        if self.last.is_none() {
            self.last = Some(self.mark(shared)?);
        }
        signals::check()
    }

    fn take(&mut self, tally: &Tally) {
        const SECONDS_MAX: usize = 86_400;
        self.reads.add(&tally.reads);
        self.writes.add(&tally.writes);
        // What was drained after the window closed belongs to its last second.
        let last = match self.plan.work {
            Work::Mixed { limit: Limit::Seconds(seconds), .. } => {
                (seconds.ceil() as usize).saturating_sub(1)
            }
            Work::Mixed { limit: Limit::Operations(_), .. } | Work::Preload => SECONDS_MAX,
        };
        let second = (tally.second as usize).min(last);
        if self.seconds.len() <= second {
            self.seconds.resize_with(second + 1, Latencies::default);
        }
        self.seconds[second].add(&tally.reads);
        self.seconds[second].add(&tally.writes);
        self.hits += tally.hits;
        self.misses += tally.misses;
        self.faults.add(&tally.faults);
    }

    fn show(&self, completed: u64, per_second: f64) {
        let Some(title) = self.title else { return };
        let tail = self.seconds.iter().rev().find(|second| second.count() > 0).map_or_else(
            String::new,
            |second| {
                format!(
                    ", p50 {}, p99 {}, max {}",
                    human_us(second.percentile_us(50.0)),
                    human_us(second.percentile_us(99.0)),
                    human_us(second.percentile_us(100.0))
                )
            },
        );
        let faults = match self.faults.total() {
            0 => String::new(),
            faults => format!(", {faults} FAULTS"),
        };
        eprint!("\r\x1b[K{title}: {completed} operations, {per_second:.0}/s{tail}{faults}");
    }

    fn outcome(self, endpoints: Vec<SocketAddr>) -> Result<Outcome> {
        let first = self.first.context("the run ended before its warm-up did")?;
        let last = self.last.context("the run never ended")?;
        let operations = last.operations - first.operations;
        let seconds = (last.at - first.at).as_secs_f64();
        let per_operation = |used: Duration| crate::cpu::cpu_per_operation_ns(used, operations);
        let server_cpu_ns = match (first.server, last.server) {
            (Some(before), Some(after)) => per_operation(after.saturating_sub(before)),
            (_, _) => None,
        };
        let mut all = self.reads.clone();
        all.add(&self.writes);
        let timeline = self.seconds.iter().enumerate().filter(|(_, second)| second.count() > 0);
        Ok(Outcome {
            operations,
            seconds,
            per_second: operations as f64 / seconds.max(1e-9),
            reads: self.reads.summary(),
            writes: self.writes.summary(),
            all: all.summary(),
            hits: self.hits,
            misses: self.misses,
            faults: self.faults,
            server_cpu_ns,
            load_cpu_ns: per_operation(last.load.saturating_sub(first.load)),
            endpoints,
            timeline: timeline
                .map(|(second, latencies)| Second {
                    second: second as u32,
                    operations: latencies.count(),
                    p50_us: latencies.percentile_us(50.0),
                    p99_us: latencies.percentile_us(99.0),
                    p99_9_us: latencies.percentile_us(99.9),
                    max_us: latencies.percentile_us(100.0),
                })
                .collect(),
            curve: all.curve(),
        })
    }
}

#[cfg(test)]
mod tests;
