//! What is watched while a server works: its own longest turns, and the waits of a client that asks
//! for one small thing every millisecond. Owns the probe, the phases and how they are told.

use std::{
    net::SocketAddr,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use ringlane_perf::{
    client::{Client, info_numbers},
    cpu::{pin, resident_bytes, try_realtime},
    latency::{Latencies, Summary, human_us},
    servers::{Kind, Server},
    table::Table,
};
use serde::Serialize;

/// What the names of INFO's fields about turns have in common.
const TURNS: &str = "turn";

/// What one phase showed.
#[derive(Serialize)]
pub struct Phase {
    pub name: String,
    pub seconds: f64,
    /// Waits of the probe.
    pub probe: Summary,
    /// Turns as the server exports them: how long, or how many of them.
    pub turns: Vec<(String, u64)>,
    /// Resident bytes at the end.
    pub resident_bytes: u64,
    #[serde(flatten)]
    pub seen: Seen,
}

/// What only some phases show.
#[derive(Default, Serialize)]
pub struct Seen {
    /// CPU time of the server per batch, where the phase sends batches.
    pub batch_cpu: Option<Summary>,
    /// Seconds from the instant of expiry, or from FLUSHALL, until no key of the phase was counted
    /// any more, and until most of its memory was back.
    pub gone_seconds: Option<f64>,
    pub memory_back_seconds: Option<f64>,
}

#[derive(Serialize)]
pub struct ServerResult {
    pub server: Kind,
    pub version: String,
    pub phases: Vec<Phase>,
}

/// Runs `work` beside a probe of the server. Says what it showed, and whether the probe had
/// real-time priority.
pub fn watched(
    server: &Server,
    core: usize,
    work: impl FnOnce(&mut Watch<'_>) -> Result<()>,
) -> Result<(ServerResult, bool)> {
    let probe = Probe::default();
    let (phases, realtime) = std::thread::scope(|scope| {
        let probing = scope.spawn(|| {
            let result = probe.run(server.address, core);
            probe.stop.store(true, Ordering::Relaxed);
            result
        });
        let phases = Watch::new(server, &probe, core).and_then(|mut watch| {
            watch.idle()?;
            work(&mut watch)?;
            Ok(watch.phases)
        });
        probe.stop.store(true, Ordering::Relaxed);
        (phases, probing.join())
    });
    let realtime = realtime.map_err(|_| anyhow!("the probe panicked"));
    let phases = phases?;
    let result = ServerResult { server: server.kind(), version: server.version.clone(), phases };
    Ok((result, realtime??))
}

/// A thread of its own that sends a GET every millisecond and records the waits.
#[derive(Default)]
struct Probe {
    stop: AtomicBool,
    /// GETs that were sent, and those of them that were answered.
    sent: AtomicU64,
    answered: AtomicU64,
    /// Since the phase began.
    waits: Mutex<Latencies>,
}

impl Probe {
    /// Returns whether it had real-time priority.
    fn run(&self, address: SocketAddr, core: usize) -> Result<bool> {
        const INTERVAL: Duration = Duration::from_millis(1);
        pin(&[core])?;
        let realtime = try_realtime();
        let mut client = Client::connect(address, Duration::from_secs(60))?;
        while !self.stop.load(Ordering::Relaxed) {
            self.sent.fetch_add(1, Ordering::Release);
            let sent = Instant::now();
            client.command("GET probe")?;
            let wait = sent.elapsed();
            self.waits().record(wait);
            self.answered.fetch_add(1, Ordering::Release);
            std::thread::sleep(INTERVAL.saturating_sub(wait));
        }
        Ok(realtime)
    }

    /// Waits for the answer of what has been sent: its wait belongs to what ran meanwhile.
    fn settle(&self) {
        let sent = self.sent.load(Ordering::Acquire);
        while self.answered.load(Ordering::Acquire) < sent && !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    fn waits(&self) -> MutexGuard<'_, Latencies> {
        self.waits.lock().expect("nobody panics while it is held")
    }
}

/// One server, phase after phase.
pub struct Watch<'a> {
    pub server: &'a Server,
    pub client: Client,
    probe: &'a Probe,
    phases: Vec<Phase>,
}

impl<'a> Watch<'a> {
    fn new(server: &'a Server, probe: &'a Probe, core: usize) -> Result<Self> {
        pin(&[core])?;
        Ok(Self { server, client: server.client()?, probe, phases: Vec::new() })
    }

    fn idle(&mut self) -> Result<()> {
        self.phase("idle", |_| {
            std::thread::sleep(Duration::from_secs(2));
            Ok(Seen::default())
        })
    }

    /// Runs `work` as a phase.
    pub fn phase(
        &mut self,
        name: &str,
        work: impl FnOnce(&mut Self) -> Result<Seen>,
    ) -> Result<()> {
        eprintln!("{}: {name}", self.server.kind().name());
        self.client.command("CONFIG RESETSTAT")?;
        self.probe.settle();
        self.probe.waits().clear();
        let started = Instant::now();
        let seen = work(self)?;
        let seconds = started.elapsed().as_secs_f64();
        self.probe.settle();
        let probe = self.probe.waits().summary();
        let info = self.client.info("all")?;
        let mut turns = info_numbers(&info, TURNS);
        // A server whose `all` leaves the section out names it.
        if turns.is_empty()
            && let Ok(lanes) = self.client.info("lanes")
        {
            turns = info_numbers(&lanes, TURNS);
        }
        let resident_bytes = resident_bytes(self.server.pid())?;
        self.phases.push(Phase {
            name: name.to_owned(),
            seconds,
            probe,
            turns,
            resident_bytes,
            seen,
        });
        Ok(())
    }
}

/// The phases as a table.
pub fn describe(result: &ServerResult) -> String {
    let mut table = Table::new([
        "phase",
        "longest turn, CPU",
        "by the wall",
        "above 500 µs of CPU",
        "batch of 16: longest CPU",
        "probe p50",
        "probe p99.9",
        "probe max",
        "took",
        "resident MB",
        "keys gone",
        "memory back",
    ]);
    for phase in &result.phases {
        let most = |field: &str| {
            let of_lanes = phase.turns.iter().filter(|(name, _)| name.ends_with(field));
            of_lanes.map(|(_, value)| *value).max()
        };
        let turn =
            |field: &str| most(field).map_or_else(|| "-".to_owned(), |us| human_us(us as f64));
        let seconds =
            |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.2} s"));
        // A phase of less than a millisecond may have had no probe.
        let probe = |us: f64| if phase.probe.count == 0 { "-".to_owned() } else { human_us(us) };
        table.row([
            phase.name.clone(),
            turn(".longest_turn_us"),
            turn(".longest_turn_wall_us"),
            match (most(".long_turns"), most(".turns")) {
                (Some(long), Some(all)) => format!("{long} of {all}"),
                _ => "-".to_owned(),
            },
            phase.seen.batch_cpu.map_or_else(String::new, |batch| human_us(batch.max_us)),
            probe(phase.probe.p50_us),
            probe(phase.probe.p99_9_us),
            probe(phase.probe.max_us),
            seconds(Some(phase.seconds)),
            format!("{:.0}", phase.resident_bytes as f64 / 1e6),
            seconds(phase.seen.gone_seconds),
            seconds(phase.seen.memory_back_seconds),
        ]);
    }
    format!("{} {}\n\n{}", result.server.name(), result.version, table.markdown())
}
