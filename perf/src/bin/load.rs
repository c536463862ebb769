//! `perf/load`: the load generator on the command line.

use std::{
    fs,
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use ringlane_perf::{
    cpu::{Cores, CpuMeter},
    keyspace::Shape,
    latency::{PERCENTILES, human_us},
    load::{self, Lifetimes, Limit, Outcome, Pace, Plan, Target, Traffic, Work},
    machine::Saved,
    protocol::Protocol,
    signals,
    svg::{Line, Plot, Scale, escape, page},
    table::Table,
};

/// Loads a cache server with GETs and SETs and says how fast it answers.
///
/// Every reply is checked: a stored key must come back with its own value. Any error reply, wrong
/// value or missing key makes the run void and the exit code 1.
///
/// Closed loop (default): each connection sends a batch of --pipeline requests and waits for all of
/// its answers. Open loop (--rate): operations are due at fixed times whatever the server does, and
/// latency counts from the time an operation was due, so no stall is omitted.
///
/// In cluster mode each connection belongs to one endpoint and draws keys that it owns.
#[derive(Parser)]
#[command(name = "perf/load", version, verbatim_doc_comment)]
#[allow(clippy::struct_excessive_bools)] // Each is a switch of the command line.
struct Options {
    /// Server to load, as HOST:PORT (loopback unless you know what you are doing)
    address: String,
    /// resp2, resp3 or memcached
    #[arg(long, value_enum, default_value = "resp2")]
    protocol: Protocol,
    /// Fetch CLUSTER SLOTS and send every key to its owner
    #[arg(long)]
    cluster: bool,
    /// Password for AUTH
    #[arg(long, env = "RINGLANE_PERF_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Connections in all
    #[arg(long, short, default_value_t = 50)]
    connections: usize,
    /// Requests in flight per connection
    #[arg(long, short, default_value_t = 1)]
    pipeline: usize,
    /// Cores to load from, one pinned thread each, as 1 or 2-5 [default: one thread, not pinned]
    #[arg(long)]
    cores: Option<Cores>,
    /// Number of different keys
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    #[command(flatten)]
    traffic: Traffic,
    /// Lifetime in seconds of what is set, or a range as 60-3600 [default: none]
    #[arg(long)]
    ttl: Option<String>,
    /// Open loop: operations a second in all
    #[arg(long)]
    rate: Option<f64>,
    /// Open loop: random (exponential) gaps instead of equal ones
    #[arg(long, requires = "rate")]
    poisson: bool,
    /// Seconds to measure
    #[arg(long, short, default_value_t = 10.0, conflicts_with = "operations")]
    seconds: f64,
    /// Operations to measure, instead of seconds
    #[arg(long, short = 'n')]
    operations: Option<u64>,
    /// Seconds before measuring [default: 0.5; none with --operations]
    #[arg(long)]
    warm_up: Option<f64>,
    /// Do not set every key once first (then misses are no error)
    #[arg(long)]
    no_preload: bool,
    /// Only set every key once
    #[arg(long, conflicts_with = "no_preload")]
    only_preload: bool,
    /// A key that was set may be missing (eviction, expiry)
    #[arg(long)]
    allow_misses: bool,
    /// Process whose CPU time is measured: the server's process id, on this machine
    #[arg(long)]
    pid: Option<u32>,
    /// Draws the same keys in the same order again
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// No progress line
    #[arg(long, short)]
    quiet: bool,
}

fn main() -> std::process::ExitCode {
    ringlane_perf::finish(run())
}

fn run() -> Result<()> {
    let options = Options::parse();
    signals::catch()?;
    let plan = plan(&options)?;
    plan.check()?;
    let meter = options.pid.map(CpuMeter::new).transpose()?;
    let title = |text| (!options.quiet).then_some(text);
    if !options.no_preload {
        let preload = Plan {
            work: Work::Preload,
            pace: Pace::Closed,
            depth: plan.depth.max(64),
            ..plan.clone()
        };
        let outcome = load::run(&preload, meter, title("loading"))?;
        outcome.check()?;
        println!("loaded {} keys, {:.0}/s", outcome.operations, outcome.per_second);
        if options.only_preload {
            return save(&options, &preload, &outcome);
        }
    }
    let outcome = load::run(&plan, meter, title("measuring"))?;
    show(&outcome);
    save(&options, &plan, &outcome)?;
    outcome.check()
}

fn plan(options: &Options) -> Result<Plan> {
    let limit = options.operations.map_or(Limit::Seconds(options.seconds), Limit::Operations);
    Ok(Plan {
        target: Target {
            address: resolve(&options.address)?,
            protocol: options.protocol,
            cluster: options.cluster,
            password: options.password.clone(),
        },
        shape: Shape {
            keys: options.keys,
            key_bytes: options.traffic.key_size,
            value_bytes: options.traffic.value_size,
        },
        work: Work::Mixed {
            read_share: options.traffic.reads,
            popularity: options.traffic.distribution,
            limit,
            warm_up_seconds: options.warm_up.unwrap_or(if options.operations.is_some() {
                0.0
            } else {
                0.5
            }),
        },
        pace: match options.rate {
            None => Pace::Closed,
            Some(per_second) => Pace::Open { per_second, poisson: options.poisson },
        },
        lifetimes: options.ttl.as_deref().map(lifetimes).transpose()?.unwrap_or_default(),
        connections: options.connections,
        depth: options.pipeline,
        cores: options.cores.clone().map_or_else(Vec::new, |cores| cores.0),
        misses_allowed: options.allow_misses || options.no_preload,
        seed: options.seed,
    })
}

fn resolve(address: &str) -> Result<SocketAddr> {
    address
        .to_socket_addrs()
        .with_context(|| format!("{address:?} is no HOST:PORT"))?
        .next()
        .with_context(|| format!("{address:?} has no address"))
}

fn lifetimes(text: &str) -> Result<Lifetimes> {
    const SECONDS_MAX: u64 = 10 * 366 * 86_400;
    let (min, max) = text.split_once('-').unwrap_or((text, text));
    let parse = |part: &str| part.parse::<u64>().with_context(|| format!("--ttl {text}"));
    let (min, max) = (parse(min)?, parse(max)?);
    if min == 0 || min > max || max > SECONDS_MAX {
        bail!("--ttl: 1 to {SECONDS_MAX} seconds, smallest first");
    }
    Ok(Lifetimes { min_ms: min * 1000, max_ms: max * 1000 })
}

fn show(outcome: &Outcome) {
    println!(
        "{} operations in {:.2} s: {:.0}/s; {} hits, {} misses",
        outcome.operations, outcome.seconds, outcome.per_second, outcome.hits, outcome.misses
    );
    for (name, summary) in [("reads ", &outcome.reads), ("writes", &outcome.writes)] {
        if summary.count > 0 {
            println!("{name}  {}", summary.line());
        }
    }
    let cost = |name: &str, ns: Option<f64>| {
        ns.map_or_else(String::new, |ns| format!("{name} {ns:.0} ns"))
    };
    println!(
        "CPU per operation: {} {}",
        cost("generator", outcome.load_cpu_ns),
        cost("server", outcome.server_cpu_ns)
    );
}

#[derive(serde::Serialize)]
struct Results<'a> {
    plan: &'a Plan,
    outcome: &'a Outcome,
}

fn save(options: &Options, plan: &Plan, outcome: &Outcome) -> Result<()> {
    let saved = Saved::new("load", markdown(outcome), &Results { plan, outcome })?;
    if let Some(path) = &options.json {
        saved.write(path)?;
    }
    if let Some(path) = &options.html {
        fs::write(path, html(&saved, outcome))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn table(outcome: &Outcome) -> Table {
    let names = PERCENTILES.iter().map(|(_, name)| *name);
    let mut table = Table::new(["", "operations"].into_iter().chain(names));
    for (name, summary) in
        [("reads", &outcome.reads), ("writes", &outcome.writes), ("all", &outcome.all)]
    {
        let latencies = summary.points_us().into_iter().map(human_us);
        table.row([name.to_owned(), summary.count.to_string()].into_iter().chain(latencies));
    }
    table
}

fn markdown(outcome: &Outcome) -> String {
    format!("{:.0} operations a second\n\n{}", outcome.per_second, table(outcome).markdown())
}

fn html(saved: &Saved, outcome: &Outcome) -> String {
    let line = |name, value: fn(&load::Second) -> f64| Line {
        name,
        points: outcome
            .timeline
            .iter()
            .map(|second| (f64::from(second.second), value(second)))
            .collect(),
    };
    let throughput = Plot {
        title: "Operations a second",
        x: ("second", Scale::Linear),
        y: ("1/s", Scale::Linear),
        lines: vec![line("operations", |second| second.operations as f64)],
    };
    let latency = Plot {
        title: "Latency, second by second",
        x: ("second", Scale::Linear),
        y: ("µs", Scale::Log),
        lines: vec![
            line("p50", |second| second.p50_us),
            line("p99", |second| second.p99_us),
            line("p99.9", |second| second.p99_9_us),
            line("max", |second| second.max_us),
        ],
    };
    let curve = Plot {
        title: "Latency by percentile",
        x: ("percentile", Scale::Nines),
        y: ("µs", Scale::Log),
        lines: vec![Line { name: "all", points: outcome.curve.clone() }],
    };
    let verdict = match outcome.check() {
        Ok(()) => String::new(),
        Err(error) => format!("<p class=\"bad\">{}</p>", escape(&error.to_string())),
    };
    let cost = |name: &str, ns: Option<f64>| {
        ns.map_or_else(String::new, |ns| format!(", {name} CPU {ns:.0} ns"))
    };
    let body = format!(
        "<p>{:.0} operations a second over {:.2} s{}{} per operation</p>{verdict}{}{}{}{}<p class=\"dim\">{}<br>{}</p><pre>{}</pre>",
        outcome.per_second,
        outcome.seconds,
        cost("generator", outcome.load_cpu_ns),
        cost("server", outcome.server_cpu_ns),
        table(outcome).html(),
        throughput.svg(),
        latency.svg(),
        curve.svg(),
        escape(&saved.machine.line()),
        saved.when,
        escape(&saved.command),
    );
    page("Load of a cache server", &body)
}
