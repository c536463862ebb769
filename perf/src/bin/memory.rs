//! `perf/memory`: resident bytes per item beyond key and value.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Parser;
use ringlane_perf::{
    client::Reply,
    collections::Collection,
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
    /// Measure collections of ten elements instead, a hash, two sets, a list, a sorted set: resident
    /// bytes per key in all. memcached has none
    #[arg(long)]
    collections: bool,
    /// Keys to store with --collections
    #[arg(long, default_value_t = 300_000)]
    collection_keys: u64,
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
    if options.collections {
        return run_collections(&options, &servers);
    }
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

#[derive(Serialize)]
struct CollectionCell {
    server: Kind,
    version: String,
    collection: Collection,
    keys: u64,
    before_bytes: u64,
    after_bytes: u64,
    /// Bytes of a key and its elements as text.
    payload_bytes: f64,
    /// Resident bytes per key in all.
    bytes: f64,
    /// Whether the resident size stood still at both readings.
    settled: bool,
}

fn run_collections(options: &Options, servers: &[(Kind, PathBuf)]) -> Result<()> {
    if options.collection_keys == 0 || options.collection_keys > ITEMS_MAX {
        bail!("--collection-keys: 1 to {ITEMS_MAX}");
    }
    let mut cells = Vec::new();
    for collection in Collection::ALL {
        for (kind, binary) in servers.iter().filter(|(kind, _)| *kind != Kind::Memcached) {
            let cell = measure_collection(options, *kind, binary.clone(), collection)
                .with_context(|| format!("{}: {}", kind.name(), collection.name()))?;
            println!(
                "{:<14} {:<18}  {:>7.1} bytes per key in all{}",
                kind.name(),
                collection.name(),
                cell.bytes,
                if cell.settled { "" } else { "  (not settled)" }
            );
            cells.push(cell);
        }
    }
    let heads = Collection::ALL.map(|collection| {
        let payload = cells.iter().find(|cell| cell.collection == collection);
        format!("{} ({:.0})", collection.name(), payload.map_or(0.0, |cell| cell.payload_bytes))
    });
    let mut table = Table::new([String::from("server")].into_iter().chain(heads));
    for (kind, _) in servers {
        let own: Vec<_> = cells.iter().filter(|cell| cell.server == *kind).collect();
        let Some(first) = own.first() else { continue };
        let name = format!("{} {}", kind.name(), first.version);
        let figures = own.iter().map(|cell| format!("{:.0}", cell.bytes));
        table.row([name].into_iter().chain(figures));
    }
    let markdown = format!(
        "Resident bytes per key in all, {} keys of {} bytes (payload in parentheses)\n\n{}",
        options.collection_keys,
        options.key_size,
        table.markdown()
    );
    println!("\n{markdown}");
    match &options.json {
        Some(path) => Saved::new("memory-collections", markdown, &cells)?.write(path),
        None => Ok(()),
    }
}

fn measure_collection(
    options: &Options,
    kind: Kind,
    binary: PathBuf,
    collection: Collection,
) -> Result<CollectionCell> {
    const PATIENCE: Duration = Duration::from_secs(20);
    /// Commands that are sent before their answers are read.
    const DEPTH: u64 = 64;
    let cores = allowed_cores()?;
    let setup = Setup { lanes: options.lanes, ..Setup::new(kind, binary, &cores) };
    let server = Server::start(&setup)?;
    let shape = Shape {
        keys: options.collection_keys,
        key_bytes: options.key_size,
        value_bytes: ValueSizes { min: 1, max: 1 },
    };
    shape.check().map_err(anyhow::Error::msg)?;
    let mut client = server.client()?;
    let (before_bytes, settled_before) = settled_resident_bytes(server.pid(), PATIENCE)?;
    let (mut payload, mut requests) = (0, Vec::new());
    for start in (0..shape.keys).step_by(DEPTH as usize) {
        let keys = start..(start + DEPTH).min(shape.keys);
        requests.clear();
        for key in keys.clone() {
            payload += collection.push(&shape, key, &mut requests);
        }
        client.send(&requests)?;
        for key in keys {
            let answer = client.read()?;
            if answer != Reply::Integer(collection.answer()) {
                bail!("key {key} was answered {answer:?}");
            }
        }
    }
    drop(client);
    let (after_bytes, settled_after) = settled_resident_bytes(server.pid(), PATIENCE)?;
    check_count(&server, shape.keys)?;
    let keys = shape.keys as f64;
    Ok(CollectionCell {
        server: kind,
        version: server.version.clone(),
        collection,
        keys: shape.keys,
        before_bytes,
        after_bytes,
        payload_bytes: payload as f64 / keys,
        bytes: (after_bytes as f64 - before_bytes as f64) / keys,
        settled: settled_before && settled_after,
    })
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
