//! `perf/compare`: Ringlane beside other servers, interleaved in one run.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, Result, bail};
use clap::Parser;
use ringlane_perf::{
    commands::{self, Row},
    cpu::{Cores, allowed_cores, while_pinned},
    keyspace::Shape,
    latency::human_us,
    load::{self, Lifetimes, Limit, Outcome, Pace, Plan, Target, Traffic, Work},
    machine::{Machine, Saved},
    servers::{Choice, Kind, Server, Setup},
    signals,
    table::{Table, median},
};
use serde::Serialize;

/// Compares Ringlane with redis-server, valkey-server, memcached and dragonfly, whichever are found.
///
/// All servers run at once, each on the same core; the load comes from another. They are loaded in
/// turn, round after round (A B C A B C ...), so that drift of the machine touches all alike. Figures
/// are medians over the rounds; a ratio is the median of each round's own ratio to redis-server.
/// CPU per operation is the server process's CPU time, all threads, over the operations answered.
///
/// Scenarios: c50 (50 connections, no pipeline), c200, p16 (50 connections, 16 deep),
/// p64 (20 connections, 64 deep), c1 (one connection), front2 (Ringlane with two lanes, front door,
/// 50 x 16, against one lane), doors2 (two lanes, lane doors and a cluster client, against one lane).
#[derive(Parser)]
#[command(name = "perf/compare", version, verbatim_doc_comment)]
struct Options {
    #[command(flatten)]
    choice: Choice,
    /// Only these scenarios
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    scenario: Vec<Scenario>,
    /// Rows of single commands, 16 deep, or `none` [default: all, unless --scenario is given]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    commands: Vec<String>,
    /// Rounds
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds to measure per server, scenario and round
    #[arg(long, default_value_t = 4.0, conflicts_with = "operations")]
    seconds: f64,
    /// Operations to measure, instead of seconds
    #[arg(long)]
    operations: Option<u64>,
    /// Number of different keys
    #[arg(long, default_value_t = 2_000_000)]
    keys: u64,
    #[command(flatten)]
    traffic: Traffic,
    /// Core of the servers with one lane [default: the first]
    #[arg(long)]
    server_cores: Option<Cores>,
    /// Cores of the load, one thread each [default: the last]
    #[arg(long)]
    load_cores: Option<Cores>,
    /// 3 short rounds over fewer keys: to see that it works, not to quote
    #[arg(long)]
    quick: bool,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Scenario {
    C50,
    C200,
    P16,
    P64,
    C1,
    Front2,
    Doors2,
}

impl Scenario {
    const ALL: [Self; 7] =
        [Self::C50, Self::C200, Self::P16, Self::P64, Self::C1, Self::Front2, Self::Doors2];

    /// Connections, and requests in flight on each.
    fn load(self) -> (usize, usize) {
        match self {
            Self::C50 => (50, 1),
            Self::C200 => (200, 1),
            Self::P16 | Self::Front2 | Self::Doors2 => (50, 16),
            Self::P64 => (20, 64),
            Self::C1 => (1, 1),
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::C50 => "50 connections, no pipeline",
            Self::C200 => "200 connections, no pipeline",
            Self::P16 => "50 connections, 16 deep",
            Self::P64 => "20 connections, 64 deep",
            Self::C1 => "1 connection, no pipeline",
            Self::Front2 => {
                "50 connections, 16 deep: two lanes through the front door, against one lane"
            }
            Self::Doors2 => {
                "50 connections, 16 deep: two lanes through their doors (cluster client), against one lane"
            }
        }
    }

    /// Whether it sets Ringlane with two lanes against Ringlane with one.
    fn is_about_lanes(self) -> bool {
        matches!(self, Self::Front2 | Self::Doors2)
    }

    /// The ratio of CPU per operation that Ringlane is to reach.
    fn goal(self) -> f64 {
        match self {
            Self::C50 => 0.86,
            Self::C200 => 0.80,
            Self::P16 => 0.42,
            Self::P64 => 0.28,
            Self::C1 => 0.95,
            Self::Front2 => 1.5,
            Self::Doors2 => 1.1,
        }
    }
}

/// A server in one arrangement.
struct Contender {
    name: String,
    server: Server,
    lanes: usize,
}

/// What one contender did in one scenario, round by round.
#[derive(Clone, Debug, Default, Serialize)]
struct Series {
    per_second: Vec<f64>,
    server_cpu_ns: Vec<f64>,
    load_cpu_ns: Vec<f64>,
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
    p99_9_us: Vec<f64>,
    max_us: Vec<f64>,
}

impl Series {
    fn push(&mut self, outcome: &Outcome) -> Result<()> {
        self.per_second.push(outcome.per_second);
        self.server_cpu_ns.push(outcome.server_cpu_ns.context("nothing was answered")?);
        self.load_cpu_ns.push(outcome.load_cpu_ns.context("nothing was answered")?);
        self.p50_us.push(outcome.all.p50_us);
        self.p99_us.push(outcome.all.p99_us);
        self.p99_9_us.push(outcome.all.p99_9_us);
        self.max_us.push(outcome.all.max_us);
        Ok(())
    }

    /// Median over the rounds of this CPU cost over the other's in the same round.
    fn cpu_ratio(&self, base: &Self) -> Option<f64> {
        let ratios: Vec<f64> = self
            .server_cpu_ns
            .iter()
            .zip(&base.server_cpu_ns)
            .map(|(own, base)| own / base)
            .collect();
        median(&ratios)
    }
}

#[derive(Serialize)]
struct Results {
    rounds: usize,
    shape: Shape,
    read_share: f64,
    server_cores: Cores,
    load_cores: Cores,
    quick: bool,
    versions: BTreeMap<String, String>,
    scenarios: Vec<ScenarioResult>,
    commands: Vec<RowResult>,
}

#[derive(Serialize)]
struct ScenarioResult {
    scenario: Scenario,
    title: &'static str,
    /// Ratios are to this one.
    base: String,
    series: BTreeMap<String, Series>,
    /// Median of the rounds' CPU ratios.
    cpu_ratio: BTreeMap<String, f64>,
    /// What Ringlane's ratio is to be, at most.
    goal: f64,
}

fn main() -> std::process::ExitCode {
    ringlane_perf::finish(run())
}

fn run() -> Result<()> {
    let options = options()?;
    signals::catch()?;
    let scenarios = if options.scenario.is_empty() && options.commands.is_empty() {
        Scenario::ALL.to_vec()
    } else {
        options.scenario.clone()
    };
    let allowed = allowed_cores()?;
    if allowed.len() < 2 {
        eprintln!(
            "warning: one core for server and load alike: latencies and throughput mean little"
        );
    }
    let first = *allowed.first().context("no core")?;
    let last = *allowed.last().context("no core")?;
    let server_cores = options.server_cores.clone().unwrap_or(Cores(vec![first]));
    let load_cores = options.load_cores.clone().unwrap_or(Cores(vec![last]));

    let contenders = start(&options, &scenarios, &server_cores, &allowed)?;
    eprintln!("{}", Machine::here().line());
    for contender in contenders.iter().filter(|_| !scenarios.is_empty()) {
        preload(&options, contender, &load_cores)?;
    }
    let mut results = Results {
        rounds: options.rounds,
        shape: shape(&options),
        read_share: options.traffic.reads,
        versions: contenders
            .iter()
            .map(|one| (one.name.clone(), one.server.version.clone()))
            .collect(),
        server_cores,
        load_cores,
        quick: options.quick,
        scenarios: Vec::new(),
        commands: Vec::new(),
    };
    for scenario in scenarios {
        let result = measure(&options, scenario, &contenders, &results.load_cores)?;
        if let Some(result) = result {
            println!("{}", describe(&result));
            results.scenarios.push(result);
        }
    }
    for row in rows(&options)? {
        let result = measure_row(&options, row, &contenders, &results.load_cores)?;
        if let Some(result) = result {
            println!("{}", describe_row(&result));
            results.commands.push(result);
        }
    }
    if results.scenarios.is_empty() && results.commands.is_empty() {
        bail!("none of the scenarios could be run with these servers");
    }
    let scenarios = results.scenarios.iter().map(describe);
    let text: Vec<String> = scenarios.chain(results.commands.iter().map(describe_row)).collect();
    let versions: Vec<String> =
        results.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let markdown = format!(
        "{}; {} rounds, {} keys{}\n\n{}",
        versions.join(", "),
        results.rounds,
        results.shape.keys,
        if results.quick { "; a quick run, not to be quoted" } else { "" },
        text.join("\n")
    );
    match &options.json {
        Some(path) => Saved::new("compare", markdown, &results)?.write(path),
        None => Ok(()),
    }
}

/// What was asked for; less of it for a quick run.
fn options() -> Result<Options> {
    let mut options = Options::parse();
    if options.quick {
        options.rounds = options.rounds.min(3);
        options.seconds = options.seconds.min(1.0);
        options.keys = options.keys.min(200_000);
    }
    if options.rounds == 0 || options.rounds > 1000 {
        bail!("--rounds: 1 to 1000");
    }
    Ok(options)
}

fn shape(options: &Options) -> Shape {
    Shape {
        keys: options.keys,
        key_bytes: options.traffic.key_size,
        value_bytes: options.traffic.value_size,
    }
}

/// Starts every server that a scenario needs; Ringlane with two lanes as one of its own.
fn start(
    options: &Options,
    scenarios: &[Scenario],
    cores: &Cores,
    allowed: &[usize],
) -> Result<Vec<Contender>> {
    let about_lanes = scenarios.iter().any(|scenario| scenario.is_about_lanes());
    let about_servers =
        scenarios.iter().any(|scenario| !scenario.is_about_lanes()) || !options.commands.is_empty();
    let mut contenders = Vec::new();
    for (kind, binary) in options.choice.found()? {
        if kind != Kind::Ringlane && !about_servers {
            continue;
        }
        let setup = Setup::new(kind, binary, &cores.0);
        if kind == Kind::Ringlane && about_lanes {
            // A core for each lane, from the front; the load shares the last when there are but two.
            let two: Vec<usize> = allowed.iter().copied().take(2).collect();
            let setup = Setup { lanes: 2, cores: two, ..setup.clone() };
            contenders.push(Contender {
                name: "ringlane, 2 lanes".into(),
                server: Server::start(&setup)?,
                lanes: 2,
            });
        }
        contenders.push(Contender {
            name: kind.name().into(),
            server: Server::start(&setup)?,
            lanes: 1,
        });
    }
    Ok(contenders)
}

fn plan(
    options: &Options,
    contender: &Contender,
    cores: &Cores,
    work: Work,
    load: (usize, usize),
) -> Plan {
    Plan {
        target: Target {
            address: contender.server.address,
            protocol: contender.server.kind().protocol(),
            cluster: false,
            password: None,
        },
        shape: shape(options),
        work,
        pace: Pace::Closed,
        lifetimes: Lifetimes::default(),
        connections: load.0.max(cores.0.len()),
        depth: load.1,
        cores: cores.0.clone(),
        misses_allowed: false,
        seed: 1,
    }
}

fn preload(options: &Options, contender: &Contender, cores: &Cores) -> Result<()> {
    let title = format!("{}: loading", contender.name);
    let plan = plan(options, contender, cores, Work::Preload, (8, 64));
    let outcome = load::run(&plan, None, Some(&title))?;
    outcome.check().with_context(|| title)
}

/// All rounds of a scenario. None: it needs a server that is not there.
fn measure(
    options: &Options,
    scenario: Scenario,
    contenders: &[Contender],
    cores: &Cores,
) -> Result<Option<ScenarioResult>> {
    let taking_part: Vec<&Contender> = contenders
        .iter()
        .filter(|one| {
            let about_lanes = scenario.is_about_lanes();
            if about_lanes { one.server.kind() == Kind::Ringlane } else { one.lanes == 1 }
        })
        .collect();
    if taking_part.is_empty() {
        eprintln!("{scenario:?}: left out, no server for it");
        return Ok(None);
    }
    let mut series: BTreeMap<String, Series> = BTreeMap::new();
    for round in 0..options.rounds {
        for contender in &taking_part {
            let limit =
                options.operations.map_or(Limit::Seconds(options.seconds), Limit::Operations);
            let work = Work::Mixed {
                read_share: options.traffic.reads,
                popularity: options.traffic.distribution,
                limit,
                warm_up_seconds: (options.seconds / 8.0).min(0.5),
            };
            let mut plan = plan(options, contender, cores, work, scenario.load());
            plan.target.cluster = scenario == Scenario::Doors2 && contender.lanes == 2;
            plan.seed = round as u64 + 1;
            let title = format!(
                "{scenario:?} round {} of {}, {}",
                round + 1,
                options.rounds,
                contender.name
            );
            let outcome = load::run(&plan, Some(contender.server.meter()?), Some(&title))
                .and_then(|outcome| outcome.check().map(|()| outcome))
                .with_context(|| {
                    format!("{title}; its log ends:\n{}", contender.server.log_tail())
                })?;
            series.entry(contender.name.clone()).or_default().push(&outcome)?;
        }
    }
    let base = match scenario.is_about_lanes() {
        true => Kind::Ringlane.name(),
        false if series.contains_key(Kind::Redis.name()) => Kind::Redis.name(),
        false => taking_part[0].name.as_str(),
    };
    let cpu_ratio = series
        .iter()
        .filter_map(|(name, one)| Some((name.clone(), one.cpu_ratio(&series[base])?)))
        .collect();
    Ok(Some(ScenarioResult {
        scenario,
        title: scenario.title(),
        base: base.to_owned(),
        cpu_ratio,
        series,
        goal: scenario.goal(),
    }))
}

fn describe(result: &ScenarioResult) -> String {
    let ratio_title = format!("ratio to {}", result.base);
    let mut table = Table::new([
        "server",
        "ops/s",
        "CPU ns/op",
        &ratio_title,
        "p50",
        "p99",
        "p99.9",
        "max",
        "load CPU ns/op",
    ]);
    for (name, series) in &result.series {
        let of = |values: &[f64]| median(values).unwrap_or(f64::NAN);
        table.row([
            name.clone(),
            format!("{:.0}", of(&series.per_second)),
            format!("{:.0}", of(&series.server_cpu_ns)),
            result.cpu_ratio.get(name).map_or_else(String::new, |ratio| format!("{ratio:.3}")),
            human_us(of(&series.p50_us)),
            human_us(of(&series.p99_us)),
            human_us(of(&series.p99_9_us)),
            human_us(of(&series.max_us)),
            format!("{:.0}", of(&series.load_cpu_ns)),
        ]);
    }
    let about_lanes = result.scenario.is_about_lanes();
    let judged = if about_lanes { "ringlane, 2 lanes" } else { Kind::Ringlane.name() };
    let goal = match result.cpu_ratio.get(judged) {
        Some(ratio) if *ratio <= result.goal => format!("goal {:.2}: reached", result.goal),
        Some(_) => format!("goal {:.2}: missed", result.goal),
        None => format!("goal {:.2}: {judged} took no part", result.goal),
    };
    format!("### {}\n\n{}\n{goal}\n", result.title, table.markdown())
}

/// What a row of single commands may cost, beside redis-server.
const ROW_GOAL: f64 = 0.6;

/// Server by server, the CPU time of each round in nanoseconds per operation.
#[derive(Serialize)]
struct RowResult {
    row: Row,
    title: &'static str,
    base: String,
    server_cpu_ns: BTreeMap<String, Vec<f64>>,
    per_second: BTreeMap<String, Vec<f64>>,
    cpu_ratio: BTreeMap<String, f64>,
}

fn rows(options: &Options) -> Result<Vec<Row>> {
    match options.commands.as_slice() {
        [] if options.scenario.is_empty() => Ok(Row::ALL.to_vec()),
        [] => Ok(Vec::new()),
        [only] if only == "none" => Ok(Vec::new()),
        [only] if only == "all" => Ok(Row::ALL.to_vec()),
        names => names
            .iter()
            .map(|name| <Row as clap::ValueEnum>::from_str(name, true).map_err(anyhow::Error::msg))
            .collect(),
    }
}

/// All rounds of a row; None: no server of those that are here understands it.
fn measure_row(
    options: &Options,
    row: Row,
    contenders: &[Contender],
    cores: &Cores,
) -> Result<Option<RowResult>> {
    let speaks = |one: &&Contender| {
        let kind = one.server.kind();
        one.lanes == 1 && matches!(kind, Kind::Ringlane | Kind::Redis | Kind::Valkey)
    };
    let taking_part: Vec<&Contender> = contenders.iter().filter(speaks).collect();
    let Some(first) = taking_part.first() else { return Ok(None) };
    for contender in &taking_part {
        eprintln!("{row:?}: filling {}", contender.name);
        commands::prepare(contender.server.address, row)?;
    }
    let mut cpu: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut per_second: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for round in 1..=options.rounds {
        for contender in &taking_part {
            eprintln!("{row:?} round {round} of {}, {}", options.rounds, contender.name);
            let server = &contender.server;
            let meter = server.meter()?;
            let load = || commands::run(server.address, meter, row, options.seconds);
            let one = while_pinned(&cores.0, load)?;
            cpu.entry(contender.name.clone()).or_default().push(one.server_cpu_ns);
            per_second.entry(contender.name.clone()).or_default().push(one.per_second);
        }
    }
    let redis = Kind::Redis.name();
    let base = if cpu.contains_key(redis) { redis.to_owned() } else { first.name.clone() };
    let ratio = |values: &[f64]| {
        let pairs = values.iter().zip(&cpu[&base]);
        median(&pairs.map(|(own, of_base)| own / of_base).collect::<Vec<_>>())
    };
    let cpu_ratio =
        cpu.iter().filter_map(|(name, values)| Some((name.clone(), ratio(values)?))).collect();
    let title = row.title();
    Ok(Some(RowResult { row, title, base, server_cpu_ns: cpu, per_second, cpu_ratio }))
}

fn describe_row(result: &RowResult) -> String {
    let ratio_title = format!("ratio to {}", result.base);
    let mut table = Table::new(["server", "ops/s", "CPU ns/op", &ratio_title]);
    for (name, values) in &result.server_cpu_ns {
        let of = |values: &[f64]| median(values).unwrap_or(f64::NAN);
        table.row([
            name.clone(),
            format!("{:.0}", of(&result.per_second[name])),
            format!("{:.0}", of(values)),
            result.cpu_ratio.get(name).map_or_else(String::new, |ratio| format!("{ratio:.3}")),
        ]);
    }
    let goal = match result.cpu_ratio.get(Kind::Ringlane.name()) {
        Some(ratio) if *ratio <= ROW_GOAL => format!("goal {ROW_GOAL:.2}: reached"),
        Some(_) => format!("goal {ROW_GOAL:.2}: missed"),
        None => format!("goal {ROW_GOAL:.2}: ringlane took no part"),
    };
    format!("### {}, 16 deep\n\n{}\n{goal}\n", result.title, table.markdown())
}
