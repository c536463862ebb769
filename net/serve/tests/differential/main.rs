//! The whole server beside a real redis-server: random commands of every type, through sockets, to both; the
//! same bytes in answer, with 1, 2 and 4 lanes, in RESP2 and RESP3, alone, in transactions and in
//! scripts, and the same data left. Runs where `redis-server` (7.0 or later) is installed.
//!
//! A failure prints the seed and what came before. `RINGLANE_SEED=…` runs that one again;
//! `RINGLANE_SEEDS=…` runs so many, `RINGLANE_STEPS=…` commands each; `RINGLANE_DIFFERENCES=…` goes on until
//! a seed has found so many.

#[path = "../support/mod.rs"]
mod support;

mod answer;
mod grammar;
mod listener;
mod run;
mod scenery;
mod scenes;
mod words;

use ringlane_testing::Redis;
use run::Pair;
use support::Running;

const LANES: [usize; 3] = [1, 2, 4];
/// `aside-elements`: as it is by default, and so few that nearly every command which goes through a
/// collection runs aside.
const ASIDE: [&str; 2] = ["1024", "2"];
/// How many seeds are run where no variable says so: about 20 seconds of them.
const SEEDS: u64 = 3;
/// How many commands a seed is.
const STEPS: usize = 2_000;

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("the variable is a number"))
}

#[test]
fn every_answer_is_that_of_redis() {
    let Some(redis) = Redis::start() else { return };
    let seeds = match variable("RINGLANE_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=variable("RINGLANE_SEEDS").unwrap_or(SEEDS),
    };
    let steps = variable("RINGLANE_STEPS").map_or(STEPS, |steps| steps as usize);
    let most = variable("RINGLANE_DIFFERENCES").map_or(1, |most| most as usize);
    let mut differences = Vec::new();
    let mut counts = run::Counts::default();
    for (lanes, aside) in LANES.into_iter().flat_map(|lanes| ASIDE.map(|aside| (lanes, aside))) {
        let server = Running::with(lanes, &[("aside-elements", aside)]);
        for seed in seeds.clone() {
            let mut pair = Pair::new((server.address, lanes), redis.address, seed);
            let found = pair.run(steps, most);
            differences.extend(
                found
                    .into_iter()
                    .map(|it| format!("{lanes} lanes, aside-elements {aside}, seed {seed}, {it}")),
            );
            counts.add(&pair.counts);
        }
    }
    println!("{counts:?}");
    assert!(
        differences.is_empty(),
        "{} runs differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
    assert!(counts.refused * 2 < counts.answers, "most commands do something: {counts:?}");
}

#[test]
fn scenes_of_several_clients_go_as_at_redis() {
    let Some(redis) = Redis::start() else { return };
    let mut differences = Vec::new();
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let (ours, theirs) = (server.address, redis.address);
        for scene in scenery::SCENES {
            for &version in scene.versions {
                let found = scenes::play(scene, version, ours, theirs);
                differences.extend(
                    found
                        .into_iter()
                        .map(|it| format!("{lanes} lanes, {}, RESP{version}: {it}", scene.name)),
                );
            }
        }
        let found = scenes::exchange_functions(ours, theirs);
        differences.extend(found.map(|it| format!("{lanes} lanes, {it}")));
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}
