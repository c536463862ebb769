//! LATENCY: how long commands take, as a histogram each; the longest turns of the lanes; and the
//! events of the latency monitor (`latency_events`).

use std::collections::HashSet;
use std::iter;

use ringlane_command::{Args, CommandError, Reply, table};

use super::latency_events::{Event, LatencyEvents, Sample};
use super::report::{self, LaneReport, Latencies};
use super::{Outcome, Subcommand, client};
use crate::ask::{Answer, Answers, Question, Step};
use crate::core::Core;
use crate::reply::RespReply;
use crate::ring::ConnectionId;
use crate::stats::TURN_US_MAX;

pub const SUBCOMMANDS: &[Subcommand] = &[
    ("doctor", |_, _, _| Ok(Step::Ask(Question::Report { histograms: false }, finish_doctor))),
    ("graph", graph),
    ("histogram", |_, _, _| Ok(Step::Ask(Question::Report { histograms: true }, finish_histogram))),
    ("history", |_, _, _| Ok(Step::Ask(Question::LatencyEvents, finish_history))),
    ("latest", |_, _, _| Ok(Step::Ask(Question::LatencyEvents, finish_latest))),
    ("reset", |_, _, args| Ok(Step::Ask(Question::LatencyReset(of_reset(args)), finish_reset))),
];

/// Rows of a graph.
const GRAPH_ROWS: u64 = 4;
/// Columns of a graph: samples that it shows.
const GRAPH_COLUMNS: usize = 80;
/// What a sample's place within its row looks like, from low to high.
const GRAPH_MARKS: [char; 3] = ['_', 'o', '#'];

/// The events of all lanes as one.
fn events(answers: Vec<Answer>) -> LatencyEvents {
    let lanes: Vec<_> = answers.into_iter().map(Answer::latency_events).collect();
    LatencyEvents::merged(lanes.iter())
}

/// `LATENCY LATEST`.
fn finish_latest(_: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    let events = events(answers.answers);
    reply.array(events.kept().count());
    for (event, series) in events.kept() {
        let latest = series.samples.back().expect("those that are kept have samples");
        reply.array(4);
        reply.bulk(event.name().as_bytes());
        reply.integer(latest.seconds as i64);
        reply.integer(latest.milliseconds as i64);
        reply.integer(series.longest_ms as i64);
    }
}

/// `LATENCY HISTORY event`. An event that is not known has no history.
fn finish_history(_: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    let events = events(answers.answers);
    let series = Event::named(&answers.args[2]).map(|event| events.of(event));
    let samples = series.into_iter().flat_map(|series| &series.samples);
    reply.array(samples.clone().count());
    for sample in samples {
        reply.array(2);
        reply.integer(sample.seconds as i64);
        reply.integer(sample.milliseconds as i64);
    }
}

/// `LATENCY GRAPH event`.
fn graph(_: &mut Core, _: ConnectionId, args: Args<'_>) -> Outcome {
    match Event::named(&args[2]) {
        Some(_) => Ok(Step::Ask(Question::LatencyEvents, finish_graph)),
        None => Err(no_samples(&args[2])),
    }
}

fn no_samples(event: &[u8]) -> CommandError {
    let event = super::quoted(event);
    CommandError::Text(format!("ERR No samples available for event '{event}'"))
}

fn finish_graph(core: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    let events = events(answers.answers);
    let event = Event::named(&answers.args[2]).expect("looked up before the lanes were asked");
    let series = events.of(event);
    if series.samples.is_empty() {
        return reply.error(&no_samples(&answers.args[2]));
    }
    let skipped = series.samples.len().saturating_sub(GRAPH_COLUMNS);
    let samples: Vec<Sample> = series.samples.iter().skip(skipped).copied().collect();
    let name = event.name();
    reply.verbatim(&drawn(name, series.longest_ms, &samples, core.store.now().wall.seconds()));
}

/// A column for each sample, its age below it from top to bottom. `now`: Unix seconds.
fn drawn(name: &str, longest_ms: u64, samples: &[Sample], now: u64) -> String {
    let all = samples.iter().map(|sample| sample.milliseconds);
    let (low, high) = (all.clone().min().unwrap_or(0), all.max().unwrap_or(0));
    let mut text =
        format!("{name} - high {high} ms, low {low} ms (all time high {longest_ms} ms)\n");
    text.extend(std::iter::repeat_n('-', GRAPH_COLUMNS));
    text.push('\n');
    let marks = GRAPH_MARKS.len() as u64;
    let steps = GRAPH_ROWS * marks - 1;
    for row in (0..GRAPH_ROWS).rev() {
        text.extend(samples.iter().map(|sample| {
            let above = (sample.milliseconds - low).saturating_mul(steps);
            let step = above.checked_div(high - low).unwrap_or(0);
            match (step / marks).cmp(&row) {
                std::cmp::Ordering::Less => ' ',
                std::cmp::Ordering::Equal => GRAPH_MARKS[(step % marks) as usize],
                std::cmp::Ordering::Greater => '|',
            }
        }));
        text.push('\n');
    }
    text.push('\n');
    let ages: Vec<String> =
        samples.iter().map(|sample| age(now.saturating_sub(sample.seconds))).collect();
    for line in 0..ages.iter().map(String::len).max().unwrap_or(0) {
        text.extend(ages.iter().map(|age| char::from(*age.as_bytes().get(line).unwrap_or(&b' '))));
        text.push('\n');
    }
    text
}

/// In the largest unit that it fills.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// The events of `LATENCY RESET [event …]`. Without names the longest turns are forgotten too.
fn of_reset(args: Args<'_>) -> Option<Box<[Event]>> {
    let names = args.from(2);
    let events = names.iter().filter_map(|name| Event::named(name)).collect();
    (!names.is_empty()).then_some(events)
}

/// Forgets these events of this lane, or all and the longest turns; answers with what it forgets.
pub fn reset(core: &mut Core, events: Option<&[Event]>) -> Answer {
    let before = core.stats.events.clone();
    core.stats.events.reset(events.unwrap_or(&Event::ALL));
    if events.is_none() {
        core.stats.longest_turn_us = 0;
        core.stats.longest_turn_wall_us = 0;
        core.stats.long_turns = 0;
    }
    Answer::LatencyEvents(Box::new(before))
}

/// How many events were forgotten.
fn finish_reset(_: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    let names = &answers.args[2..];
    let asked_for = |event: Event| names.iter().any(|name| Event::named(name) == Some(event));
    let before = events(answers.answers);
    let forgotten = before.kept().filter(|(event, _)| names.is_empty() || asked_for(*event));
    reply.integer(forgotten.count() as i64);
}

fn finish_doctor(core: &mut Core, answers: Answers<'_>, reply: &mut RespReply<'_>) {
    let reports = report::reports(answers.answers);
    let threshold = core.live.latency_monitor_threshold_ms;
    reply.verbatim(&(diagnosis(&reports) + &monitored(&reports, threshold)));
}

/// What the latency monitor has seen, and how it is turned on.
fn monitored(reports: &[LaneReport], threshold_ms: Option<u64>) -> String {
    use std::fmt::Write;
    let mut text = match threshold_ms {
        Some(threshold) => {
            format!("The latency monitor keeps what takes {threshold} ms or longer.\n")
        }
        None => "The latency monitor is off: CONFIG SET latency-monitor-threshold <milliseconds> \
                 turns it on.\n"
            .to_owned(),
    };
    let events = LatencyEvents::merged(reports.iter().map(|report| &report.events));
    for (event, series) in events.kept() {
        let latest = series.samples.back().expect("those that are kept have samples");
        writeln!(
            text,
            "event {}: {} ms lately, {} ms at most, {} seconds with samples",
            event.name(),
            latest.milliseconds,
            series.longest_ms,
            series.samples.len()
        )
        .expect("writing to a string");
    }
    text
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
fn wanted(names: &[Vec<u8>]) -> Option<HashSet<u16>> {
    if names.is_empty() {
        return None;
    }
    let found = names.iter().filter_map(|name| table::find(name));
    Some(found.flat_map(|row| iter::once(row).chain(row.subcommands)).map(|row| row.id).collect())
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
    fn a_graph_has_a_column_for_each_sample() {
        let samples: Vec<Sample> = [(1, 10), (30, 21), (91, 15), (3_991, 11)]
            .map(|(seconds, milliseconds)| Sample { seconds, milliseconds })
            .to_vec();
        let graph = drawn("command", 40, &samples, 4_000);
        let columns = [" #  ", " |  ", " |# ", "_||o", "", "1119", "hhhs", ""].join("\n");
        let line = "-".repeat(80);
        let expected =
            format!("command - high 21 ms, low 10 ms (all time high 40 ms)\n{line}\n{columns}");
        assert_eq!(graph, expected);
        assert!(drawn("command", 5, &samples[..1], 4_000).contains("\n_\n\n1\nh\n"));
        assert_eq!([age(59), age(60), age(3_600), age(90_000)], ["59s", "1m", "1h", "1d"]);
    }

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
        let names: Vec<&str> = ids.into_iter().map(client::command_name).collect();
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
