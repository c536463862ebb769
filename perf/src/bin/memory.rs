//! `perf/memory`: resident bytes per item beyond key and value.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Parser;
use ringlane_perf::{
    cpu::{Cores, allowed_cores, settled_resident_bytes},
    keyspace::{Shape, ValueSizes},
    load::{self, Lifetimes, Pace, Plan, Target, Work},
    machine::Saved,
    servers::{Choice, Kind, Server, Setup},
    signals,
    table::Table,
};
use serde::Serialize;

/// Measures the resident bytes that each server needs per item beyond the key and the value.
///
/// For every value size, without and with a lifetime, each server is started afresh, its resident
/// size is read once it stands still, the items are set, and it is read again once it stands still
/// (within 0.1% over a second, after at most 20 s): (after - before) / items - key - value.
/// Lifetimes are spread over 2 to 26 hours, as one instant for all would flatter some servers.
/// Servers run one after another, so the largest needs about (items x 1 KiB) of free memory.
#[derive(Parser)]
#[command(name = "perf/memory", version, verbatim_doc_comment)]
struct Options {
    #[command(flatten)]
    choice: Choice,
    /// Items to set
    #[arg(long, default_value_t = 5_000_000)]
    items: u64,
    /// Bytes of a key
    #[arg(long, default_value_t = 16)]
    key_size: usize,
    /// Bytes of a value, one measurement each
    #[arg(long, value_delimiter = ',', default_value = "8,32,100,512")]
    value_sizes: Vec<usize>,
    /// Measure only items without (no) or with (yes) a lifetime
    #[arg(long, value_name = "yes|no")]
    ttl: Option<Ttl>,
    /// Lanes of Ringlane, threads of the others
    #[arg(long, default_value_t = 1)]
    lanes: usize,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Bounds a slip of the finger.
const ITEMS_MAX: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Ttl {
    Yes,
    No,
}

#[derive(Serialize)]
struct Cell {
    server: Kind,
    version: String,
    value_bytes: usize,
    ttl: bool,
    items: u64,
    before_bytes: u64,
    after_bytes: u64,
    /// Resident bytes per item beyond key and value.
    overhead_bytes: f64,
    /// Whether the resident size stood still at both readings.
    settled: bool,
}

fn main() -> std::process::ExitCode {
    ringlane_perf::finish(run())
}

fn run() -> Result<()> {
    let options = Options::parse();
    signals::catch()?;
    if options.items == 0 || options.items > ITEMS_MAX {
        bail!("--items: 1 to {ITEMS_MAX}");
    }
    let servers = options.choice.found()?;
    let lifetimes: &[bool] = match options.ttl {
        None => &[false, true],
        Some(Ttl::No) => &[false],
        Some(Ttl::Yes) => &[true],
    };
    let mut cells = Vec::new();
    for &ttl in lifetimes {
        for &value_bytes in &options.value_sizes {
            for (kind, binary) in &servers {
                let cell = measure(&options, *kind, binary.clone(), value_bytes, ttl)
                    .with_context(|| format!("{} with {value_bytes}-byte values", kind.name()))?;
                println!(
                    "{:<14} {value_bytes:>5} B{}  {:>7.1} bytes per item beyond key and value{}",
                    kind.name(),
                    if ttl { " + ttl" } else { "      " },
                    cell.overhead_bytes,
                    if cell.settled { "" } else { "  (not settled)" }
                );
                cells.push(cell);
            }
        }
    }
    let markdown = markdown(&options, &servers, &cells);
    println!("\n{markdown}");
    match &options.json {
        Some(path) => Saved::new("memory", markdown, &cells)?.write(path),
        None => Ok(()),
    }
}

fn measure(
    options: &Options,
    kind: Kind,
    binary: PathBuf,
    value_bytes: usize,
    ttl: bool,
) -> Result<Cell> {
    const PATIENCE: Duration = Duration::from_secs(20);
    const HOUR_MS: u64 = 3_600_000;
    let cores = allowed_cores()?;
    let setup = Setup { lanes: options.lanes, ..Setup::new(kind, binary, &cores) };
    let server = Server::start(&setup)?;
    let (before_bytes, settled_before) = settled_resident_bytes(server.pid(), PATIENCE)?;
    let plan = Plan {
        target: Target {
            address: server.address,
            protocol: kind.protocol(),
            cluster: false,
            password: None,
        },
        shape: Shape {
            keys: options.items,
            key_bytes: options.key_size,
            value_bytes: ValueSizes { min: value_bytes, max: value_bytes },
        },
        work: Work::Preload,
        pace: Pace::Closed,
        lifetimes: if ttl {
            Lifetimes { min_ms: 2 * HOUR_MS, max_ms: 26 * HOUR_MS }
        } else {
            Lifetimes::default()
        },
        connections: 8,
        depth: 64,
        cores: Cores(vec![*cores.last().context("no core")?]).0,
        misses_allowed: false,
        seed: 1,
    };
    let title = format!("{}, {value_bytes} B{}", kind.name(), if ttl { " + ttl" } else { "" });
    load::run(&plan, None, Some(&title))?.check()?;
    let (after_bytes, settled_after) = settled_resident_bytes(server.pid(), PATIENCE)?;
    check_count(&server, options.items)?;
    let payload = options.key_size + value_bytes;
    Ok(Cell {
        server: kind,
        version: server.version.clone(),
        value_bytes,
        ttl,
        items: options.items,
        before_bytes,
        after_bytes,
        overhead_bytes: (after_bytes as f64 - before_bytes as f64) / options.items as f64
            - payload as f64,
        settled: settled_before && settled_after,
    })
}

/// Nothing may have been evicted, or the figure would flatter.
fn check_count(server: &Server, items: u64) -> Result<()> {
    if server.kind() == Kind::Memcached {
        // It was given more memory than the items need, and speaks no RESP to be asked in.
        return Ok(());
    }
    let size = server.client()?.command("DBSIZE")?.text();
    if size.as_deref() != Some(items.to_string().as_str()) {
        bail!("holds {} of {items} items", size.unwrap_or_default());
    }
    Ok(())
}

fn markdown(options: &Options, servers: &[(Kind, PathBuf)], cells: &[Cell]) -> String {
    let mut columns: Vec<(usize, bool)> = Vec::new();
    for cell in cells {
        if !columns.contains(&(cell.value_bytes, cell.ttl)) {
            columns.push((cell.value_bytes, cell.ttl));
        }
    }
    let heads =
        columns.iter().map(|(bytes, ttl)| format!("{bytes} B{}", if *ttl { " + TTL" } else { "" }));
    let mut table = Table::new([String::from("server")].into_iter().chain(heads));
    for (kind, _) in servers {
        let own = |column: &(usize, bool)| {
            cells
                .iter()
                .find(|cell| cell.server == *kind && (cell.value_bytes, cell.ttl) == *column)
        };
        let version =
            cells.iter().find(|cell| cell.server == *kind).map_or("", |cell| &cell.version);
        let figures = columns.iter().map(|column| {
            own(column).map_or_else(String::new, |cell| format!("{:.1}", cell.overhead_bytes))
        });
        table.row([format!("{} {version}", kind.name())].into_iter().chain(figures));
    }
    format!(
        "Resident bytes per item beyond a {}-byte key and the value, {} items\n\n{}",
        options.key_size,
        options.items,
        table.markdown()
    )
}
