//! `perf/stall`: how long a server keeps everyone waiting at its worst.

mod collections;
mod keys;
mod watch;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Parser;
use ringlane_perf::{
    cpu::allowed_cores,
    keyspace::{Shape, ValueSizes},
    machine::Saved,
    servers::{Choice, Kind, Server, Setup},
    signals,
};
use serde::Serialize;

use keys::Keys;
use watch::{ServerResult, describe, watched};

/// Measures the longest time that a server holds its thread while millions of keys are loaded,
/// expire at once, and are flushed, and while single collections of a million elements grow, are
/// read whole, stored, halved, dumped and deleted.
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
    /// Only this part
    #[arg(long, value_enum)]
    part: Option<Part>,
    /// Keys to load
    #[arg(long, default_value_t = 10_000_000)]
    items: u64,
    /// Further keys that all expire at one instant
    #[arg(long, default_value_t = 2_000_000)]
    expiring: u64,
    /// Elements of each collection
    #[arg(long, default_value_t = 1_000_000)]
    elements: u64,
    /// Little of all, to try the tool out
    #[arg(long)]
    quick: bool,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Many keys
    Keys,
    /// Single collections of many elements
    Collections,
}

/// Bounds a slip of the finger.
const ITEMS_MAX: u64 = 500_000_000;
/// What `--quick` makes of the number of keys and elements.
const QUICK: u64 = 20_000;

#[derive(Serialize)]
struct Results {
    items: u64,
    expiring: u64,
    elements: u64,
    probe_has_realtime_priority: bool,
    servers: Vec<ServerResult>,
}

fn main() -> std::process::ExitCode {
    ringlane_perf::finish(run())
}

fn run() -> Result<()> {
    let mut options = Options::parse();
    if options.quick {
        (options.items, options.expiring, options.elements) = (QUICK, QUICK, QUICK);
    }
    let options = options;
    signals::catch()?;
    if options.items == 0 || options.items.saturating_add(options.expiring) > ITEMS_MAX {
        bail!("--items and --expiring: 1 to {ITEMS_MAX} in all");
    }
    if options.elements < 2 || options.elements > ITEMS_MAX {
        bail!("--elements: 2 to {ITEMS_MAX}");
    }
    shape(&options).check().map_err(anyhow::Error::msg)?;
    let mut results = Results {
        items: options.items,
        expiring: options.expiring,
        elements: options.elements,
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
        "{}; the probe ran {realtime} real-time priority\n\n{}",
        what(&options),
        tables.join("\n")
    );
    match &options.json {
        Some(path) => Saved::new("stall", markdown, &results)?.write(path),
        None => Ok(()),
    }
}

/// What is measured, in words.
fn what(options: &Options) -> String {
    let keys = format!(
        "{} keys loaded, {} more that expire at once, FLUSHALL",
        options.items, options.expiring
    );
    let collections = format!("single collections of {} elements", options.elements);
    match options.part {
        None => format!("{keys}; {collections}"),
        Some(Part::Keys) => keys,
        Some(Part::Collections) => collections,
    }
}

fn shape(options: &Options) -> Shape {
    let value_bytes = ValueSizes { min: options.value_size, max: options.value_size };
    Shape { keys: options.items + options.expiring, key_bytes: options.key_size, value_bytes }
}

fn measure(options: &Options, kind: Kind, binary: PathBuf) -> Result<(ServerResult, bool)> {
    let cores = allowed_cores()?;
    let (first, last) = (*cores.first().context("no core")?, *cores.last().context("no core")?);
    let own: Vec<usize> = cores.iter().copied().take(options.lanes).collect();
    let mut setup =
        Setup::new(kind, binary, if own.is_empty() { std::slice::from_ref(&first) } else { &own });
    setup.lanes = options.lanes;
    let server = Server::start(&setup)?;
    watched(&server, last, |watch| {
        if options.part != Some(Part::Collections) {
            Keys::new(shape(options), options.items, watch)?.run(watch)?;
        }
        if options.part != Some(Part::Keys) {
            collections::run(options.elements, watch)?;
        }
        Ok(())
    })
}
