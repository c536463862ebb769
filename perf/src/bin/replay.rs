//! `perf/replay`: an access trace through real connections, as a read-through cache.

use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use ringlane_perf::{
    client::{Client, Reply, info_field},
    cpu::{allowed_cores, pin, resident_bytes},
    keyspace::{Shape, ValueSizes, Values},
    latency::{Latencies, Summary, human_us},
    lru::Lru,
    machine::Saved,
    protocol::Protocol,
    servers::{Kind, Server, Setup},
    signals,
    trace::{Request, Trace},
};
use serde::Serialize;

/// Replays an access trace against a running server, as an application would that keeps its objects
/// in a cache: GET; where that finds nothing, SET.
///
/// Requests keep the order of the trace: a window of (connections x pipeline) requests is sent, each
/// key always on the same connection, and answered before the next; a window ends before a key comes
/// again. What a window missed is stored ahead of the next one's requests.
///
/// The hit ratio is told as the client sees it, as the server's INFO counts it,
/// and as an exact LRU of the same share of the footprint would have it.
#[derive(Parser)]
#[command(name = "perf/replay", version, verbatim_doc_comment)]
struct Options {
    /// The trace: zstd CSV with the header op,key,size,ttl (see perf/README.md)
    trace: PathBuf,
    /// A running server as HOST:PORT (empty, or see --not-empty), or a ringlane binary to start
    #[arg(long, value_name = "HOST:PORT|PATH", env = "RINGLANE_BINARY")]
    server: Option<String>,
    /// Start this server instead of ringlane
    #[arg(long, value_enum, default_value = "ringlane")]
    kind: Kind,
    /// Memory for the objects: bytes (64mb, 1gb, ...) or a share of the trace's footprint (10%),
    /// which is added to what the empty server uses [default: the running server's own, else 10%]
    #[arg(long)]
    maxmemory: Option<MaxMemory>,
    /// Policy by its name in maxmemory-policy [default: the server's; allkeys-lru for redis-server]
    #[arg(long)]
    policy: Option<String>,
    /// Bytes of key and value where the trace does not say
    #[arg(long, default_value_t = 4096)]
    object_size: u32,
    /// Connections
    #[arg(long, short, default_value_t = 4)]
    connections: usize,
    /// Requests in flight per connection
    #[arg(long, short, default_value_t = 8)]
    pipeline: usize,
    /// Only the first requests of the trace
    #[arg(long)]
    requests: Option<usize>,
    /// The server may hold keys already
    #[arg(long)]
    not_empty: bool,
    /// Lanes of a ringlane that is started
    #[arg(long, default_value_t = 1)]
    lanes: usize,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum MaxMemory {
    Bytes(u64),
    Share(f64),
}

impl std::str::FromStr for MaxMemory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("{text:?} is neither bytes (64mb) nor a share (10%)");
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.parse().map_err(|_| error())?;
            return if percent > 0.0 && percent <= 1000.0 {
                Ok(Self::Share(percent / 100.0))
            } else {
                Err(error())
            };
        }
        let lower = text.to_ascii_lowercase();
        let digits = lower.trim_end_matches(|last: char| last.is_ascii_alphabetic());
        let unit: u64 = match &lower[digits.len()..] {
            "" | "b" => 1,
            "k" => 1000,
            "kb" => 1 << 10,
            "m" => 1_000_000,
            "mb" => 1 << 20,
            "g" => 1_000_000_000,
            "gb" => 1 << 30,
            _ => return Err(error()),
        };
        let number: u64 = digits.parse().map_err(|_| error())?;
        number.checked_mul(unit).filter(|&bytes| bytes > 0).map(Self::Bytes).ok_or_else(error)
    }
}

const KEY_BYTES: usize = 16;
/// What a window may move over one connection: less than socket buffers hold, so that writing
/// requests never waits for answers that nobody reads yet.
const WINDOW_BYTES_MAX: usize = 64 * 1024;
const WINDOW_REQUESTS_MAX: usize = 100_000;
/// What goes to and fro before the empty server is weighed: buffers that the first traffic makes
/// resident are the server's own, not the objects'. Several times what a lane receives into.
const WARM_UP_BYTES: usize = 32 << 20;

#[derive(Serialize)]
struct Results {
    trace: String,
    requests: u64,
    gets: u64,
    hits: u64,
    hit_ratio: f64,
    server_hits: u64,
    server_misses: u64,
    server_hit_ratio: f64,
    /// Of an exact LRU that holds the same share of the footprint in bytes, where one was named.
    lru_hit_ratio: Option<f64>,
    footprint_bytes: u64,
    maxmemory_bytes: u64,
    used_memory_peak_bytes: u64,
    /// Of a server that this tool started.
    resident_peak_bytes: Option<u64>,
    evicted_keys: u64,
    seconds: f64,
    per_second: f64,
    latency: Summary,
    refused_sets: u64,
}

fn main() -> std::process::ExitCode {
    ringlane_perf::finish(run())
}

fn run() -> Result<()> {
    let options = Options::parse();
    signals::catch()?;
    if options.connections * options.pipeline == 0
        || options.connections * options.pipeline > WINDOW_REQUESTS_MAX
    {
        bail!("--connections times --pipeline: 1 to {WINDOW_REQUESTS_MAX}");
    }
    if (options.object_size as usize) <= KEY_BYTES {
        bail!("--object-size counts a key of {KEY_BYTES} bytes and at least one byte of value");
    }
    let mut trace = Trace::open(&options.trace)?;
    trace.requests.truncate(options.requests.unwrap_or(usize::MAX));
    let footprint = trace.footprint_bytes(options.object_size);
    println!(
        "{}: {} requests, {} keys, footprint {:.1} MB",
        trace.name,
        trace.requests.len(),
        trace.keys,
        footprint as f64 / 1e6
    );
    let running = options.server.as_deref().and_then(|text| text.parse::<SocketAddr>().ok());
    let started = match running {
        Some(_) => None,
        None => Some(start(&options)?),
    };
    let address = running.or(started.as_ref().map(|server| server.address)).context("no server")?;
    let mut replay = Replay::connect(&options, &trace, address, started.as_ref())?;
    let share = replay.limit(&options, footprint, running.is_some())?;
    replay.run(&trace)?;
    let results = replay.results(&options, &trace, footprint, share)?;
    let markdown = markdown(&results);
    println!("{markdown}");
    if let Some(path) = &options.json {
        Saved::new("replay", markdown, &results)?.write(path)?;
    }
    if results.refused_sets > 0 {
        bail!("{} sets were refused", results.refused_sets);
    }
    Ok(())
}

fn start(options: &Options) -> Result<Server> {
    let binary = match (&options.server, options.kind) {
        (Some(path), Kind::Ringlane) => std::fs::canonicalize(path)
            .with_context(|| format!("no server and no address: {path}"))?,
        (_, Kind::Memcached) => bail!("memcached speaks no RESP"),
        (_, kind) => kind.find().with_context(|| format!("{} is not on the PATH", kind.name()))?,
    };
    let cores = allowed_cores()?;
    let own: Vec<usize> = cores.iter().copied().take(options.lanes.max(1)).collect();
    Server::start(&Setup { lanes: options.lanes, ..Setup::new(options.kind, binary, &own) })
}

/// A get whose answer is awaited, or a set.
#[derive(Clone, Copy)]
enum Awaited {
    Get { key: u32, request: usize },
    Set,
}

/// One connection's part of a window.
struct Lane {
    client: Client,
    requests: Vec<u8>,
    awaited: Vec<Awaited>,
    bytes: usize,
}

struct Replay<'a> {
    lanes: Vec<Lane>,
    pipeline: usize,
    control: Client,
    started: Option<&'a Server>,
    object_size: u32,
    values: Values,
    shape: Shape,
    /// The window in which a key was last asked for.
    window_of: Vec<u32>,
    missed: Vec<usize>,
    gets: u64,
    hits: u64,
    refused: u64,
    latencies: Latencies,
    began: (u64, u64, u64),
    maxmemory: u64,
    used_peak: u64,
    resident_peak: u64,
    seconds: f64,
}

impl<'a> Replay<'a> {
    fn connect(
        options: &Options,
        trace: &Trace,
        address: SocketAddr,
        started: Option<&'a Server>,
    ) -> Result<Self> {
        const PATIENCE: Duration = Duration::from_secs(30);
        let lane = || -> Result<Lane> {
            let client = Client::connect(address, PATIENCE)?;
            Ok(Lane { client, requests: Vec::new(), awaited: Vec::new(), bytes: 0 })
        };
        let mut control = Client::connect(address, PATIENCE)?;
        let size = control.command("DBSIZE")?.text().unwrap_or_default();
        if size != "0" && !options.not_empty {
            bail!("the server holds {size} keys; --not-empty if that is meant");
        }
        let largest = trace
            .requests
            .iter()
            .map(|request| request.bytes)
            .max()
            .unwrap_or(0)
            .max(options.object_size);
        let shape = Shape {
            keys: u64::from(trace.keys),
            key_bytes: KEY_BYTES,
            value_bytes: ValueSizes { min: 1, max: largest as usize },
        };
        Ok(Self {
            lanes: (0..options.connections).map(|_| lane()).collect::<Result<_>>()?,
            pipeline: options.pipeline,
            control,
            started,
            object_size: options.object_size,
            values: Values::new(&shape),
            shape,
            window_of: vec![0; trace.keys as usize],
            missed: Vec::new(),
            gets: 0,
            hits: 0,
            refused: 0,
            latencies: Latencies::default(),
            began: (0, 0, 0),
            maxmemory: 0,
            used_peak: 0,
            resident_peak: 0,
            seconds: 0.0,
        })
    }

    /// Sets limit and policy. Returns the objects' bytes that the limit is meant for, if known.
    fn limit(
        &mut self,
        options: &Options,
        footprint: u64,
        is_running: bool,
    ) -> Result<Option<u64>> {
        let asked = options.maxmemory.or((!is_running).then_some(MaxMemory::Share(0.1)));
        let mut share = None;
        if let Some(asked) = asked {
            self.warm_up()?;
            let empty = self.empty_bytes()?;
            let bytes = match asked {
                MaxMemory::Bytes(bytes) => bytes,
                MaxMemory::Share(part) => {
                    let objects = (footprint as f64 * part) as u64;
                    share = Some(objects);
                    empty + objects
                }
            };
            println!(
                "maxmemory {:.1} MB (the empty server uses {:.1} MB)",
                bytes as f64 / 1e6,
                empty as f64 / 1e6
            );
            self.control.call(&[b"CONFIG", b"SET", b"maxmemory", bytes.to_string().as_bytes()])?;
            self.maxmemory = bytes;
        } else {
            self.maxmemory = self.info_number("memory", "maxmemory")?;
        }
        let policy = match (&options.policy, options.kind) {
            (Some(policy), _) => Some(policy.as_str()),
            (None, Kind::Redis | Kind::Valkey) if !is_running => Some("allkeys-lru"),
            (None, _) => None,
        };
        if let Some(policy) = policy {
            self.control.call(&[b"CONFIG", b"SET", b"maxmemory-policy", policy.as_bytes()])?;
        }
        Ok(share)
    }

    /// Lets every connection's lane touch the buffers that it will need.
    fn warm_up(&mut self) -> Result<()> {
        let text = vec![b'x'; WINDOW_BYTES_MAX / 2];
        for round in 0..WARM_UP_BYTES / text.len() {
            let count = self.lanes.len();
            self.lanes[round % count].client.call(&[b"ECHO", &text])?;
        }
        Ok(())
    }

    /// What the empty server counts against `maxmemory`: Ringlane its resident bytes, which that
    /// setting promises; the others what they allocated.
    fn empty_bytes(&mut self) -> Result<u64> {
        let counts_resident = self.control.info("lanes")?.contains("memory_budget=");
        self.info_number("memory", if counts_resident { "used_memory_rss" } else { "used_memory" })
    }

    fn info_number(&mut self, section: &str, name: &str) -> Result<u64> {
        let info = self.control.info(section)?;
        let text =
            info_field(&info, name).with_context(|| format!("INFO {section} has no {name}"))?;
        text.parse().with_context(|| format!("{name}:{text}"))
    }

    fn counters(&mut self) -> Result<(u64, u64, u64)> {
        let mut read = |name| self.info_number("stats", name);
        Ok((read("keyspace_hits")?, read("keyspace_misses")?, read("evicted_keys")?))
    }

    fn run(&mut self, trace: &Trace) -> Result<()> {
        if let Some(&core) = allowed_cores()?.last() {
            pin(&[core])?;
        }
        self.began = self.counters()?;
        let terminal = std::io::stderr().is_terminal();
        let started = Instant::now();
        let mut shown = (Instant::now(), 0usize, 0u64, 0u64);
        let (mut at, mut window) = (0, 0u32);
        while at < trace.requests.len() {
            signals::check()?;
            window += 1;
            at = self.fill_window(&trace.requests, at, window);
            self.exchange()?;
            let since = shown.0.elapsed();
            if since >= Duration::from_secs(1) {
                let rate = (at - shown.1) as f64 / since.as_secs_f64();
                let recent = (self.hits - shown.3) as f64 / (self.gets - shown.2).max(1) as f64;
                self.show(terminal, at as f64 / trace.requests.len() as f64, rate, recent)?;
                shown = (Instant::now(), at, self.gets, self.hits);
            }
        }
        // The last window's misses are stored too.
        self.fill_window(&trace.requests, at, window + 1);
        self.exchange()?;
        self.seconds = started.elapsed().as_secs_f64();
        self.show(
            terminal,
            1.0,
            at as f64 / self.seconds,
            self.hits as f64 / self.gets.max(1) as f64,
        )?;
        if terminal {
            eprintln!();
        }
        Ok(())
    }

    fn show(&mut self, terminal: bool, done: f64, rate: f64, recent: f64) -> Result<()> {
        let used = self.info_number("memory", "used_memory")?;
        self.used_peak = self.used_peak.max(used);
        if let Some(server) = self.started {
            self.resident_peak = self.resident_peak.max(resident_bytes(server.pid())?);
        }
        if terminal {
            eprint!(
                "\r\x1b[K{:5.1}%  {rate:.0}/s  hit ratio {recent:.4} now, {:.4} in all  memory {:.1} of {:.1} MB",
                done * 100.0,
                self.hits as f64 / self.gets.max(1) as f64,
                used as f64 / 1e6,
                self.maxmemory as f64 / 1e6
            );
            std::io::stderr().flush()?;
        }
        Ok(())
    }

    /// Writes what the last window missed and the next requests into the connections' buffers.
    /// Returns where the window ends.
    fn fill_window(&mut self, requests: &[Request], from: usize, window: u32) -> usize {
        for index in std::mem::take(&mut self.missed) {
            self.push_set(&requests[index]);
        }
        let most = self.lanes.len() * self.pipeline;
        let mut at = from;
        while at < requests.len() && at - from < most {
            let request = &requests[at];
            let lane = request.key as usize % self.lanes.len();
            let bytes = self.object_bytes(request);
            let full = self.lanes[lane].bytes + bytes > WINDOW_BYTES_MAX && at > from;
            if self.window_of[request.key as usize] == window || full {
                break;
            }
            self.window_of[request.key as usize] = window;
            if request.is_set {
                self.push_set(request);
            } else {
                let mut key = Vec::with_capacity(KEY_BYTES);
                self.shape.push_key(u64::from(request.key), &mut key);
                let lane = &mut self.lanes[lane];
                Protocol::Resp2.push_get(&key, &mut lane.requests);
                lane.awaited.push(Awaited::Get { key: request.key, request: at });
                lane.bytes += bytes;
            }
            at += 1;
        }
        at
    }

    fn object_bytes(&self, request: &Request) -> usize {
        let bytes = if request.bytes == 0 { self.object_size } else { request.bytes };
        (bytes as usize).max(KEY_BYTES + 1)
    }

    fn push_set(&mut self, request: &Request) {
        let size = self.object_bytes(request) - KEY_BYTES;
        let mut key = Vec::with_capacity(KEY_BYTES);
        let number = u64::from(request.key);
        self.shape.push_key(number, &mut key);
        let count = self.lanes.len();
        let Self { lanes, values, .. } = self;
        let lane = &mut lanes[request.key as usize % count];
        let push_value = |out: &mut Vec<u8>| values.push(number, size, out);
        Protocol::Resp2.push_set(
            &key,
            u64::from(request.ttl_s) * 1000,
            size,
            push_value,
            &mut lane.requests,
        );
        lane.awaited.push(Awaited::Set);
        lane.bytes += size;
    }

    /// Sends every connection's part and reads all answers.
    fn exchange(&mut self) -> Result<()> {
        let sent = Instant::now();
        for lane in &mut self.lanes {
            if !lane.requests.is_empty() {
                lane.client.send(&lane.requests)?;
            }
        }
        for index in 0..self.lanes.len() {
            let awaited = std::mem::take(&mut self.lanes[index].awaited);
            for one in &awaited {
                let reply = self.lanes[index].client.read();
                self.take(*one, reply)?;
                self.latencies.record(sent.elapsed());
            }
            let lane = &mut self.lanes[index];
            lane.requests.clear();
            lane.bytes = 0;
        }
        Ok(())
    }

    fn take(&mut self, awaited: Awaited, reply: Result<Reply>) -> Result<()> {
        match (awaited, reply) {
            (Awaited::Get { key, .. }, Ok(Reply::Text(value))) => {
                let mut expected = Vec::new();
                self.values.push(
                    u64::from(key),
                    value.len().min(self.shape.value_size_max()),
                    &mut expected,
                );
                if value != expected {
                    bail!("key number {key} came back with another key's value");
                }
                self.gets += 1;
                self.hits += 1;
            }
            (Awaited::Get { request, .. }, Ok(Reply::Nil)) => {
                self.gets += 1;
                self.missed.push(request);
            }
            (Awaited::Set, Ok(Reply::Text(_))) => {}
            (Awaited::Set, Err(error)) if error.to_string().starts_with("OOM") => self.refused += 1,
            (_, Ok(other)) => bail!("an unexpected reply: {other:?}"),
            (_, Err(error)) => return Err(error),
        }
        Ok(())
    }

    fn results(
        mut self,
        options: &Options,
        trace: &Trace,
        footprint: u64,
        share: Option<u64>,
    ) -> Result<Results> {
        let (hits, misses, evicted) = self.counters()?;
        let (server_hits, server_misses) = (hits - self.began.0, misses - self.began.1);
        let requests = trace.requests.len() as u64;
        Ok(Results {
            trace: trace.name.clone(),
            requests,
            gets: self.gets,
            hits: self.hits,
            hit_ratio: self.hits as f64 / self.gets.max(1) as f64,
            server_hits,
            server_misses,
            server_hit_ratio: server_hits as f64 / (server_hits + server_misses).max(1) as f64,
            lru_hit_ratio: share.map(|bytes| lru_hit_ratio(trace, bytes, options.object_size)),
            footprint_bytes: footprint,
            maxmemory_bytes: self.maxmemory,
            used_memory_peak_bytes: self.used_peak,
            resident_peak_bytes: self.started.map(|_| self.resident_peak),
            evicted_keys: evicted - self.began.2,
            seconds: self.seconds,
            per_second: requests as f64 / self.seconds.max(1e-9),
            latency: self.latencies.summary(),
            refused_sets: self.refused,
        })
    }
}

/// Lifetimes do not matter here: a replay takes seconds, they last longer.
fn lru_hit_ratio(trace: &Trace, bytes: u64, unknown: u32) -> f64 {
    let mut lru = Lru::new(trace.keys, bytes);
    let (mut gets, mut hits) = (0u64, 0u64);
    for request in &trace.requests {
        let hit = lru.get(request.key, 0);
        gets += u64::from(!request.is_set);
        hits += u64::from(!request.is_set && hit);
        if request.is_set || !hit {
            let weight = if request.bytes == 0 { unknown } else { request.bytes };
            lru.set(request.key, weight, None);
        }
    }
    hits as f64 / gets.max(1) as f64
}

fn markdown(results: &Results) -> String {
    let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    let lru = results
        .lru_hit_ratio
        .map_or_else(String::new, |ratio| format!(", exact LRU of the same bytes {ratio:.4}"));
    let resident = results
        .resident_peak_bytes
        .map_or_else(String::new, |bytes| format!(", resident at most {}", megabytes(bytes)));
    format!(
        "{}: hit ratio {:.4} seen by the client ({} of {} gets), {:.4} by the server's INFO{lru}\n\
         maxmemory {}, used at most {}{resident}; {} keys evicted; footprint {}\n\
         {:.0} requests a second; {}",
        results.trace,
        results.hit_ratio,
        results.hits,
        results.gets,
        results.server_hit_ratio,
        megabytes(results.maxmemory_bytes),
        megabytes(results.used_memory_peak_bytes),
        results.evicted_keys,
        megabytes(results.footprint_bytes),
        results.per_second,
        latency_line(&results.latency),
    )
}

fn latency_line(latency: &Summary) -> String {
    format!(
        "p50 {}, p99 {}, p99.9 {}, max {}",
        human_us(latency.p50_us),
        human_us(latency.p99_us),
        human_us(latency.p99_9_us),
        human_us(latency.max_us)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_parse() {
        for (text, expected) in [
            ("10%", MaxMemory::Share(0.1)),
            ("0.5%", MaxMemory::Share(0.005)),
            ("1000", MaxMemory::Bytes(1000)),
            ("64mb", MaxMemory::Bytes(64 << 20)),
            ("2GB", MaxMemory::Bytes(2 << 30)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for bad in ["", "%", "-1%", "0", "5tb", "99999999999gb"] {
            assert!(bad.parse::<MaxMemory>().is_err(), "{bad}");
        }
    }
}
