//! `perf/hitratio`: traces through the engine's own eviction, beside exact LRU.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Parser;
use ringlane_base::{Database, Due, HashSeed, Millis, Now};
use ringlane_perf::{
    lru::Lru,
    machine::Saved,
    signals,
    table::Table,
    trace::{Trace, files},
};
use ringlane_store::{Budget, Expiry, Limits, NewValue, Options as StoreOptions, Policy, Store};
use serde::Serialize;

/// Replays access traces through the keyspace that the server runs, with its own eviction, and
/// compares its misses with those of exact LRU of as many entries.
///
/// A trace is zstd CSV with the header op,key,size,ttl (see perf/README.md). A get that misses
/// stores its object; sets store theirs; only gets count. The cache holds a fraction of the trace's
/// different keys. Lifetimes run on a virtual clock.
///
/// Mean and worst cell are over cells of at least 60 entries: smaller ones are chance.
#[derive(Parser)]
#[command(name = "perf/hitratio", version, verbatim_doc_comment)]
struct Options {
    /// Traces: files, or folders of *.csv.zst
    #[arg(required = true)]
    traces: Vec<PathBuf>,
    /// Percentages of the different keys that the cache holds
    #[arg(long, value_delimiter = ',', default_value = "0.1,1,10")]
    percent: Vec<f64>,
    /// Policies, by their names in maxmemory-policy
    #[arg(long, value_delimiter = ',', default_value = "adaptive", value_parser = policy)]
    policy: Vec<Policy>,
    /// Requests a second of the virtual clock that lifetimes run on
    #[arg(long, default_value_t = 10.0)]
    clock_rate: f64,
    /// Seed of the store's hash and dice
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Cells below this many entries are shown but not counted.
const ENTRIES_COUNTED_MIN: u64 = 60;

#[derive(Serialize)]
struct Cell {
    trace: String,
    percent: f64,
    entries: u64,
    gets: u64,
    lru_miss_ratio: f64,
    policy: &'static str,
    miss_ratio: f64,
    /// Misses more (+) or fewer (-) than LRU's, as a share of LRU's.
    against_lru: f64,
    counted: bool,
}

fn policy(name: &str) -> Result<Policy, String> {
    Policy::parse(name).ok_or_else(|| {
        let names: Vec<&str> = Policy::ALL.iter().map(|policy| policy.name()).collect();
        format!("one of {}", names.join(", "))
    })
}

fn main() -> std::process::ExitCode {
    ringlane_perf::finish(run())
}

fn run() -> Result<()> {
    let options = Options::parse();
    signals::catch()?;
    if options.clock_rate <= 0.0
        || options.percent.iter().any(|&percent| percent <= 0.0 || percent > 100.0)
    {
        bail!("--clock-rate lies above 0, --percent above 0 and up to 100");
    }
    let mut cells = Vec::new();
    for path in options.traces.iter().map(|path| files(path)).collect::<Result<Vec<_>>>()?.concat()
    {
        let trace = Trace::open(&path)?;
        eprintln!("{}: {} requests, {} keys", trace.name, trace.requests.len(), trace.keys);
        for &percent in &options.percent {
            let entries = (f64::from(trace.keys) * percent / 100.0) as u64;
            if entries == 0 {
                continue;
            }
            let lru = lru_misses(&trace, entries, options.clock_rate)?;
            for &policy in &options.policy {
                let own = store_misses(&trace, entries, policy, &options)
                    .with_context(|| format!("{} at {percent}%", trace.name))?;
                cells.push(Cell {
                    trace: trace.name.clone(),
                    percent,
                    entries,
                    gets: lru.gets,
                    lru_miss_ratio: lru.ratio(),
                    policy: policy.name(),
                    miss_ratio: own.ratio(),
                    against_lru: own.misses as f64 / lru.misses.max(1) as f64 - 1.0,
                    counted: entries >= ENTRIES_COUNTED_MIN,
                });
            }
        }
    }
    let markdown = markdown(&options, &cells);
    println!("{markdown}");
    match &options.json {
        Some(path) => Saved::new("hitratio", markdown, &cells)?.write(path),
        None => Ok(()),
    }
}

struct Misses {
    gets: u64,
    misses: u64,
}

impl Misses {
    fn ratio(&self) -> f64 {
        self.misses as f64 / self.gets.max(1) as f64
    }
}

/// Time of a request on the virtual clock, in milliseconds; it starts at 1.
fn virtual_ms(index: usize, rate: f64) -> u64 {
    1 + (index as f64 * 1000.0 / rate) as u64
}

fn lru_misses(trace: &Trace, entries: u64, rate: f64) -> Result<Misses> {
    let mut lru = Lru::new(trace.keys, entries);
    let mut seen = Misses { gets: 0, misses: 0 };
    signals::check()?;
    for (index, request) in trace.requests.iter().enumerate() {
        let now_ms = virtual_ms(index, rate);
        let hit = lru.get(request.key, now_ms);
        if !request.is_set {
            seen.gets += 1;
            seen.misses += u64::from(!hit);
        }
        if request.is_set || !hit {
            let ttl_ms = u64::from(request.ttl_s) * 1000;
            lru.set(request.key, 1, (ttl_ms > 0).then(|| now_ms + ttl_ms));
        }
    }
    Ok(seen)
}

fn store_misses(trace: &Trace, entries: u64, policy: Policy, options: &Options) -> Result<Misses> {
    /// What a lane does between turns; a turn here is this many requests.
    const TURN_REQUESTS: usize = 16;
    const UPKEEP: Budget = Budget { units: 256 };
    let mut store = Store::new(StoreOptions {
        hash_seed: HashSeed(options.seed),
        random_seed: options.seed,
        databases: 1,
        slots: 0..16_384,
    });
    store.set_limits(Limits { bytes_max: None, entries_max: Some(entries as usize), policy });
    let mut seen = Misses { gets: 0, misses: 0 };
    for (index, request) in trace.requests.iter().enumerate() {
        let now = Millis(virtual_ms(index, options.clock_rate));
        if index % TURN_REQUESTS == 0 {
            signals::check()?;
            store.begin_turn(Now::both(now));
            store.work(UPKEEP);
        }
        let name = format!("key:{:012}", request.key);
        let key = store.key(Database(0), name.as_bytes());
        let hit = !request.is_set && store.get(&key).is_some();
        if !request.is_set {
            seen.gets += 1;
            seen.misses += u64::from(!hit);
        }
        if !hit {
            let ttl_ms = u64::from(request.ttl_s) * 1000;
            let expiry =
                if ttl_ms == 0 { Expiry::Never } else { Expiry::At(Due::at(now.plus(ttl_ms))) };
            let stored = store.set(&key, NewValue::Text(b"value"), expiry);
            stored.map_err(|_| anyhow::anyhow!("the store refused a write instead of evicting"))?;
        }
        let held = store.len(Database(0)) as u64;
        if held > entries {
            bail!("the store holds {held} entries, {entries} are allowed");
        }
    }
    Ok(seen)
}

fn markdown(options: &Options, cells: &[Cell]) -> String {
    let names = options
        .policy
        .iter()
        .flat_map(|policy| [policy.name().to_owned(), "against LRU".to_owned()]);
    let mut table =
        Table::new(["trace", "cache", "entries", "LRU"].map(String::from).into_iter().chain(names));
    for row in cells.chunks(options.policy.len()) {
        let first = &row[0];
        let lead = [
            first.trace.clone(),
            format!("{}%", first.percent),
            format!("{}{}", first.entries, if first.counted { "" } else { " (not counted)" }),
            format!("{:.4}", first.lru_miss_ratio),
        ];
        let figures = row.iter().flat_map(|cell| {
            [format!("{:.4}", cell.miss_ratio), format!("{:+.1}%", cell.against_lru * 100.0)]
        });
        table.row(lead.into_iter().chain(figures));
    }
    let mut text = format!("Miss ratios of gets\n\n{}\n", table.markdown());
    for policy in &options.policy {
        let counted = || cells.iter().filter(|cell| cell.counted && cell.policy == policy.name());
        let count = counted().count();
        let mean = counted().map(|cell| cell.against_lru).sum::<f64>() / count.max(1) as f64;
        let worst = counted().max_by(|a, b| a.against_lru.total_cmp(&b.against_lru));
        if let Some(worst) = worst {
            text.push_str(
                &[
                    format!(
                        "{}: mean {:+.1}% misses against LRU over {count} cells, ",
                        policy.name(),
                        mean * 100.0
                    ),
                    format!(
                        "worst {:+.1}% ({} at {}%)\n",
                        worst.against_lru * 100.0,
                        worst.trace,
                        worst.percent
                    ),
                ]
                .concat(),
            );
        }
    }
    text
}
