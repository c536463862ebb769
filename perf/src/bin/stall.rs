//! `perf/stall`: how long a server keeps everyone waiting at its worst.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use ringlane_perf::{
    client::{Client, info_numbers},
    cpu::{CpuMeter, allowed_cores, pin, resident_bytes, try_realtime},
    keyspace::{Shape, ValueSizes, Values},
    latency::{Latencies, Summary, human_us},
    machine::Saved,
    protocol::{Protocol, push_bulk},
    servers::{Choice, Kind, Server, Setup},
    signals,
    table::Table,
};
use serde::Serialize;

/// Measures the longest time that a server holds its thread while millions of keys are loaded,
/// expire at once, and are flushed.
///
/// Three figures for each phase:
///   turn   the longest turn that the server itself exports (any INFO field whose name says so),
///          reset before each phase by CONFIG RESETSTAT; Ringlane alone has it
///   batch  the most CPU time that the server process spent on one batch of 16 SETs, background
///          work that fell into it included (load phase)
///   probe  the longest wait of a client that sends one GET every millisecond on a connection of
///          its own; includes whatever the machine did to client and server
/// and, after expiry and flush, how long until the keys are gone and the memory is back.
#[derive(Parser)]
#[command(name = "perf/stall", version, verbatim_doc_comment)]
struct Options {
    #[command(flatten)]
    choice: Choice,
    /// Keys to load
    #[arg(long, default_value_t = 10_000_000)]
    items: u64,
    /// Further keys that all expire at one instant
    #[arg(long, default_value_t = 2_000_000)]
    expiring: u64,
    /// Bytes of a key
    #[arg(long, default_value_t = 16)]
    key_size: usize,
    /// Bytes of a value
    #[arg(long, default_value_t = 32)]
    value_size: usize,
    /// Lanes of Ringlane, threads of the others
    #[arg(long, default_value_t = 1)]
    lanes: usize,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

const BATCH: u64 = 16;
/// Bounds a slip of the finger.
const ITEMS_MAX: u64 = 500_000_000;
/// How long to wait for keys to be gone and memory to be back.
const PATIENCE: Duration = Duration::from_secs(30);

/// What one phase showed.
#[derive(Serialize)]
struct Phase {
    name: &'static str,
    seconds: f64,
    /// Waits of the probe.
    probe: Summary,
    /// CPU time of the server per batch, where the phase sends batches.
    batch_cpu: Option<Summary>,
    /// Longest turns as the server exports them: (field, microseconds).
    turns: Vec<(String, u64)>,
    /// Resident bytes at the end.
    resident_bytes: u64,
    /// Seconds from the instant of expiry, or from FLUSHALL, until no key of the phase was counted
    /// any more, and until most of its memory was back.
    gone_seconds: Option<f64>,
    memory_back_seconds: Option<f64>,
}

#[derive(Serialize)]
struct ServerResult {
    server: Kind,
    version: String,
    phases: Vec<Phase>,
}

#[derive(Serialize)]
struct Results {
    items: u64,
    expiring: u64,
    probe_has_realtime_priority: bool,
    servers: Vec<ServerResult>,
}

fn main() -> std::process::ExitCode {
    ringlane_perf::finish(run())
}

fn run() -> Result<()> {
    let options = Options::parse();
    signals::catch()?;
    if options.items == 0 || options.items.saturating_add(options.expiring) > ITEMS_MAX {
        bail!("--items and --expiring: 1 to {ITEMS_MAX} in all");
    }
    shape(&options).check().map_err(anyhow::Error::msg)?;
    let mut results = Results {
        items: options.items,
        expiring: options.expiring,
        probe_has_realtime_priority: false,
        servers: Vec::new(),
    };
    for (kind, binary) in options.choice.found()? {
        if kind == Kind::Memcached {
            eprintln!("memcached: left out, it has no command that tells how many keys are left");
            continue;
        }
        let (result, realtime) = measure(&options, kind, binary).with_context(|| kind.name())?;
        results.probe_has_realtime_priority = realtime;
        println!("{}", describe(&result));
        results.servers.push(result);
    }
    let tables: Vec<String> = results.servers.iter().map(describe).collect();
    let realtime = if results.probe_has_realtime_priority { "with" } else { "without" };
    let markdown = format!(
        "{} keys loaded, {} more that expire at once, FLUSHALL; the probe ran {realtime} real-time priority\n\n{}",
        options.items,
        options.expiring,
        tables.join("\n")
    );
    match &options.json {
        Some(path) => Saved::new("stall", markdown, &results)?.write(path),
        None => Ok(()),
    }
}

fn shape(options: &Options) -> Shape {
    let value_bytes = ValueSizes { min: options.value_size, max: options.value_size };
    Shape { keys: options.items + options.expiring, key_bytes: options.key_size, value_bytes }
}

/// The probe: a thread of its own that sends a GET every millisecond and records the waits.
struct Probe<'a> {
    stop: &'a AtomicBool,
    phase: &'a AtomicU64,
}

impl Probe<'_> {
    /// Returns the waits of each phase, and whether it had real-time priority.
    fn run(
        &self,
        address: SocketAddr,
        core: usize,
        phases: usize,
    ) -> Result<(Vec<Latencies>, bool)> {
        const INTERVAL: Duration = Duration::from_millis(1);
        pin(&[core])?;
        let realtime = try_realtime();
        let mut client = Client::connect(address, Duration::from_secs(60))?;
        let mut waits = vec![Latencies::default(); phases];
        while !self.stop.load(Ordering::Relaxed) {
            let phase = self.phase.load(Ordering::Relaxed) as usize;
            let sent = Instant::now();
            client.command("GET probe")?;
            waits[phase].record(sent.elapsed());
            std::thread::sleep(INTERVAL.saturating_sub(sent.elapsed()));
        }
        Ok((waits, realtime))
    }
}

const PHASES: [&str; 5] = ["idle", "load", "load of what expires", "expiry at once", "FLUSHALL"];

fn measure(options: &Options, kind: Kind, binary: PathBuf) -> Result<(ServerResult, bool)> {
    let cores = allowed_cores()?;
    let (first, last) = (*cores.first().context("no core")?, *cores.last().context("no core")?);
    let own: Vec<usize> = cores.iter().copied().take(options.lanes).collect();
    let mut setup =
        Setup::new(kind, binary, if own.is_empty() { std::slice::from_ref(&first) } else { &own });
    setup.lanes = options.lanes;
    let server = Server::start(&setup)?;
    let (stop, phase) = (AtomicBool::new(false), AtomicU64::new(0));
    let probe = Probe { stop: &stop, phase: &phase };
    let address = server.address;
    let (phases, probed) = std::thread::scope(|scope| {
        let probing = scope.spawn(|| probe.run(address, last, PHASES.len()));
        let phases = Run::new(options, &server, &phase).and_then(|mut run| run.all(last));
        stop.store(true, Ordering::Relaxed);
        (phases, probing.join())
    });
    let mut phases = phases?;
    let (waits, realtime) = probed.map_err(|_| anyhow::anyhow!("the probe panicked"))??;
    for (phase, waits) in phases.iter_mut().zip(&waits) {
        phase.probe = waits.summary();
    }
    Ok((ServerResult { server: kind, version: server.version.clone(), phases }, realtime))
}

/// The phases of one server.
struct Run<'a> {
    options: &'a Options,
    shape: Shape,
    values: Values,
    server: &'a Server,
    client: Client,
    meter: CpuMeter,
    phase: &'a AtomicU64,
}

impl<'a> Run<'a> {
    fn new(options: &'a Options, server: &'a Server, phase: &'a AtomicU64) -> Result<Self> {
        let shape = shape(options);
        Ok(Self {
            options,
            values: Values::new(&shape),
            shape,
            server,
            client: server.client()?,
            meter: server.meter()?,
            phase,
        })
    }

    fn all(&mut self, core: usize) -> Result<Vec<Phase>> {
        const IDLE: Duration = Duration::from_secs(2);
        // How far ahead what is loaded in the third phase expires: loading takes about 3 µs a key.
        let load_time = Duration::from_micros(10) * u32::try_from(self.options.expiring)?
            + Duration::from_secs(5);
        pin(&[core])?;
        let mut phases = Vec::new();
        self.begin(0)?;
        std::thread::sleep(IDLE);
        phases.push(self.end(0, IDLE, None)?);

        let started = self.begin(1)?;
        let batches = self.load(0..self.options.items, None)?;
        phases.push(self.end(1, started.elapsed(), Some(&batches))?);

        let started = self.begin(2)?;
        let due = SystemTime::now() + load_time;
        let batches = self.load(self.options.items..self.shape.keys, Some(due))?;
        if SystemTime::now() >= due {
            bail!("loading took longer than the lifetime of what was loaded");
        }
        phases.push(self.end(2, started.elapsed(), Some(&batches))?);

        let full = resident_bytes(self.server.pid())?;
        std::thread::sleep(due.duration_since(SystemTime::now()).unwrap_or_default());
        let started = self.begin(3)?;
        let gone = self.wait_until_gone(started, self.options.items, full)?;
        let phase = self.end(3, started.elapsed(), None)?;
        phases.push(Phase { gone_seconds: gone.0, memory_back_seconds: gone.1, ..phase });

        let full = resident_bytes(self.server.pid())?;
        let started = self.begin(4)?;
        self.client.command("FLUSHALL")?;
        let gone = self.wait_until_gone(started, 0, full)?;
        let phase = self.end(4, started.elapsed(), None)?;
        phases.push(Phase { gone_seconds: gone.0, memory_back_seconds: gone.1, ..phase });
        Ok(phases)
    }

    fn begin(&mut self, phase: usize) -> Result<Instant> {
        eprintln!("{}: {}", self.server.kind().name(), PHASES[phase]);
        self.client.command("CONFIG RESETSTAT")?;
        self.phase.store(phase as u64, Ordering::Relaxed);
        Ok(Instant::now())
    }

    fn end(&mut self, phase: usize, took: Duration, batches: Option<&Latencies>) -> Result<Phase> {
        let info = self.client.info("all")?;
        let mut turns = info_numbers(&info, "longest_turn");
        // A server whose `all` leaves the section out names it.
        if turns.is_empty()
            && let Ok(lanes) = self.client.info("lanes")
        {
            turns = info_numbers(&lanes, "longest_turn");
        }
        Ok(Phase {
            name: PHASES[phase],
            seconds: took.as_secs_f64(),
            probe: Latencies::default().summary(),
            batch_cpu: batches.map(Latencies::summary),
            turns,
            resident_bytes: resident_bytes(self.server.pid())?,
            gone_seconds: None,
            memory_back_seconds: None,
        })
    }

    /// Sets these keys in batches of 16, each awaited. Returns the server's CPU time per batch.
    fn load(
        &mut self,
        numbers: std::ops::Range<u64>,
        due: Option<SystemTime>,
    ) -> Result<Latencies> {
        let due_ms = match due {
            None => None,
            Some(due) => Some(due.duration_since(UNIX_EPOCH)?.as_millis().to_string()),
        };
        let mut cpu = Latencies::default();
        let (mut requests, mut key, mut next) = (Vec::new(), Vec::new(), numbers.start);
        while next < numbers.end {
            signals::check()?;
            requests.clear();
            let batch = next..numbers.end.min(next + BATCH);
            for number in batch.clone() {
                key.clear();
                self.shape.push_key(number, &mut key);
                self.push_set(&key, number, due_ms.as_deref(), &mut requests);
            }
            let before = self.meter.read()?;
            self.client.send(&requests)?;
            for _ in batch.clone() {
                self.client.read()?;
            }
            cpu.record(self.meter.read()?.saturating_sub(before));
            next = batch.end;
        }
        Ok(cpu)
    }

    fn push_set(&self, key: &[u8], number: u64, due_ms: Option<&str>, out: &mut Vec<u8>) {
        let size = self.shape.value_size(number);
        let push_value = |out: &mut Vec<u8>| self.values.push(number, size, out);
        let start = out.len();
        Protocol::Resp2.push_set(key, 0, size, push_value, out);
        if let Some(due_ms) = due_ms {
            // `SET key value PXAT milliseconds`: two arguments more than what was just written.
            out[start + 1] = b'5';
            push_bulk(b"PXAT", out);
            push_bulk(due_ms.as_bytes(), out);
        }
    }

    /// Polls until at most `left` keys are counted and until 80% of the memory that they took is
    /// back. Returns the seconds that each took; None where it did not happen in time.
    fn wait_until_gone(
        &mut self,
        started: Instant,
        left: u64,
        full: u64,
    ) -> Result<(Option<f64>, Option<f64>)> {
        let gone_keys = if left == 0 { self.options.items } else { self.options.expiring };
        let payload = gone_keys * (self.options.key_size + self.options.value_size) as u64;
        let (mut gone, mut back) = (None, None);
        while started.elapsed() < PATIENCE && (gone.is_none() || back.is_none()) {
            signals::check()?;
            let seconds = started.elapsed().as_secs_f64();
            let count =
                self.client.command("DBSIZE")?.text().and_then(|text| text.parse::<u64>().ok());
            if gone.is_none() && count.is_some_and(|count| count <= left) {
                gone = Some(seconds);
            }
            if back.is_none() && resident_bytes(self.server.pid())? + payload / 5 * 4 <= full {
                back = Some(seconds);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok((gone, back))
    }
}

fn describe(result: &ServerResult) -> String {
    let mut table = Table::new([
        "phase",
        "longest turn, CPU",
        "by the wall",
        "batch of 16: longest CPU",
        "probe p50",
        "probe p99.9",
        "probe max",
        "resident MB",
        "keys gone",
        "memory back",
    ]);
    for phase in &result.phases {
        // CPU time and time on the wall are fields of their own.
        let turn = |wall: bool| {
            let of_kind = phase.turns.iter().filter(|(name, _)| name.contains("wall") == wall);
            of_kind
                .map(|(_, us)| *us)
                .max()
                .map_or_else(|| "-".to_owned(), |us| human_us(us as f64))
        };
        let seconds =
            |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.2} s"));
        table.row([
            phase.name.to_owned(),
            turn(false),
            turn(true),
            phase.batch_cpu.map_or_else(String::new, |batch| human_us(batch.max_us)),
            human_us(phase.probe.p50_us),
            human_us(phase.probe.p99_9_us),
            human_us(phase.probe.max_us),
            format!("{:.0}", phase.resident_bytes as f64 / 1e6),
            seconds(phase.gone_seconds),
            seconds(phase.memory_back_seconds),
        ]);
    }
    format!("{} {}\n\n{}", result.server.name(), result.version, table.markdown())
}
