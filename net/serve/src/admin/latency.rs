//! LATENCY: how long commands take, as a histogram each, and the longest turns of the lanes. There
//! is no event monitor: commands about its events answer as Redis does with it switched off.

use ringlane_command::{Args, CommandError, CommandSpec, Reply, table};

use super::report::{self, LaneReport, Latencies};
use super::{Outcome, Subcommand, client, done};
use crate::ask::{Answers, Question, Step};
use crate::core::Core;
use crate::reply::RespReply;
use crate::ring::ConnectionId;

pub const SUBCOMMANDS: &[Subcommand] = &[
    ("doctor", |_, _, _| Ok(Step::Ask(Question::Report { histograms: false }, finish_doctor))),
    ("graph", graph),
    ("histogram", |_, _, _| Ok(Step::Ask(Question::Report { histograms: true }, finish_histogram))),
    ("history", no_events),
    ("latest", no_events),
    ("reset", |_, _, _| Ok(Step::Ask(Question::LatencyReset, finish_reset))),
];

/// What no turn should pass, in microseconds of CPU time.
const TURN_US_MAX: u64 = 500;

/// `LATENCY LATEST` and `LATENCY HISTORY event`: no events are kept.
fn no_events(core: &mut Core, id: ConnectionId, _: Args<'_>) -> Outcome {
    done(core, id, |reply| reply.array(0))
}

/// `LATENCY GRAPH event`.
fn graph(_: &mut Core, _: ConnectionId, args: Args<'_>) -> Outcome {
    let event = super::quoted(&args[2]);
    Err(CommandError::Text(format!("ERR No samples available for event '{event}'")))
}

/// `LATENCY RESET`: the longest turns are forgotten. No series of events was dropped: 0.
fn finish_reset(_: &mut Core, _: Answers<'_>, reply: &mut RespReply<'_>) {
    reply.integer(0);
}

fn finish_doctor(_: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    reply.verbatim(&diagnosis(&report::reports(answers.answers)));
}

/// What the lanes' longest turns mean.
fn diagnosis(reports: &[LaneReport]) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    let mut late = false;
    for report in reports {
        let (cpu, wall) = (report.longest_turn_us, report.longest_turn_wall_us);
        writeln!(
            text,
            "lane {}: longest turn {cpu} us of CPU time, {wall} us by the clock",
            report.lane
        )
        .expect("writing to a string");
        late |= cpu > TURN_US_MAX;
        if wall > 10 * cpu.max(TURN_US_MAX) {
            writeln!(
                text,
                "  its core was taken away meanwhile: look for other busy threads on it, or for a \
                 CPU quota"
            )
            .expect("writing to a string");
        }
    }
    text.push_str(if late {
        "Some turn has held a lane longer than the 500 us that are meant to be the most. SLOWLOG GET \
         and LATENCY HISTOGRAM tell which commands took long; LATENCY RESET measures anew.\n"
    } else {
        "No turn has held a lane longer than the 500 us that are meant to be the most.\n"
    });
    text
}

/// `LATENCY HISTOGRAM [command …]`. A container stands for all its subcommands.
fn finish_histogram(core: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    let Some(connection) = core.connections.get(answers.connection) else { return };
    let door = connection.session.door;
    let reports = report::reports(answers.answers);
    let merged = report::merged_latencies(report::scope(&reports, door, core.lane));
    let wanted = wanted(answers.args.get(2..).unwrap_or_default());
    let found: Vec<(u16, &Latencies)> = merged
        .iter()
        .map(|(id, latencies)| (*id, latencies))
        .filter(|(id, _)| wanted.as_ref().is_none_or(|wanted| wanted.contains(id)))
        .collect();
    reply.map(found.len());
    for (id, latencies) in found {
        reply.bulk(client::command_name(id).as_bytes());
        reply.map(2);
        reply.bulk(b"calls");
        reply.integer(latencies.values().sum::<u64>() as i64);
        reply.bulk(b"histogram_usec");
        let steps = steps(latencies);
        reply.map(steps.len());
        for (microseconds, calls) in steps {
            reply.integer(microseconds as i64);
            reply.integer(calls as i64);
        }
    }
}

/// The ids of these commands and their subcommands, unknown names left out. None: all.
fn wanted(names: &[Vec<u8>]) -> Option<Vec<u16>> {
    if names.is_empty() {
        return None;
    }
    let meant = |row: &&CommandSpec| {
        let container = row.name.split('|').next().unwrap_or_default();
        let is = |name: &Vec<u8>| {
            [row.name, container].iter().any(|it| it.as_bytes().eq_ignore_ascii_case(name))
        };
        names.iter().any(is)
    };
    Some(table::all_with_subcommands().filter(meant).map(|row| row.id).collect())
}

/// Microseconds and how many calls took at most as long, at every power of two where there are
/// more than at the one before. The bounds are those of Redis: 1024 ns doubled, and the rest of
/// the histogram's bucket there (its precision is 128 steps a doubling).
fn steps(latencies: &Latencies) -> Vec<(u64, u64)> {
    let mut steps = Vec::new();
    let mut bound = 1024u64;
    let mut counted = 0;
    let mut rest = latencies.iter().peekable();
    while rest.peek().is_some() {
        let highest = bound + bound / 128 - 1;
        let before = counted;
        while let Some((_, count)) = rest.next_if(|(value, _)| **value <= highest) {
            counted += count;
        }
        if counted > before {
            steps.push((highest / 1000, counted));
        }
        bound *= 2;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Counters;

    #[test]
    fn histograms_are_cumulative_over_powers_of_two() {
        let latencies =
            Latencies::from([(300, 2), (1_031, 1), (1_500, 4), (33_000, 1), (40_000, 1)]);
        assert_eq!(steps(&latencies), [(1, 3), (2, 7), (33, 8), (66, 9)]);
        assert_eq!(steps(&Latencies::new()), []);
    }

    #[test]
    fn a_container_stands_for_its_subcommands() {
        let ids = wanted(&[b"CONFIG".to_vec(), b"nope".to_vec(), b"get".to_vec()]).expect("some");
        let names: Vec<&str> = ids.iter().map(|id| client::command_name(*id)).collect();
        assert!(["config|get", "config|set", "get"].iter().all(|name| names.contains(name)));
        assert!(!names.contains(&"set"), "{names:?}");
        assert_eq!(wanted(&[]), None);
    }

    #[test]
    fn the_doctor_names_long_turns() {
        let lane = |cpu, wall| LaneReport {
            counters: Counters {
                longest_turn_us: cpu,
                longest_turn_wall_us: wall,
                ..Counters::default()
            },
            ..LaneReport::default()
        };
        assert!(diagnosis(&[lane(300, 400)]).contains("No turn has held"));
        assert!(diagnosis(&[lane(300, 400), lane(501, 600)]).contains("Some turn has held"));
        assert!(diagnosis(&[lane(300, 40_000)]).contains("taken away"));
    }
}
