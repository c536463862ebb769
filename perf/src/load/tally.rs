//! What one thread of the generator has seen in one second, and whether it was right.

use std::sync::mpsc::Sender;

use super::{Faults, Plan, connection::InFlight};
use crate::{keyspace::Values, latency::Latencies, protocol::Answer};

/// Latencies of one thread in one second, or the rest of its counts when it ends.
#[derive(Default)]
pub struct Tally {
    /// Since the measured window opened.
    pub second: u32,
    pub reads: Latencies,
    pub writes: Latencies,
    pub hits: u64,
    pub misses: u64,
    pub faults: Faults,
}

/// What answers are held against.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    pub plan: &'a Plan,
    pub values: &'a Values,
}

impl Tally {
    /// Checks an answer and records its latency; None: it belongs to the warm-up, and only its faults
    /// count.
    #[inline]
    pub fn count(
        &mut self,
        request: InFlight,
        answer: Answer<'_>,
        expected: Expected<'_>,
        latency_ns: Option<u64>,
    ) {
        self.check(request, answer, expected);
        if let Some(latency_ns) = latency_ns {
            match (request.is_read, answer) {
                (true, Answer::Value(_)) => self.hits += 1,
                (true, Answer::Missing) => self.misses += 1,
                (true, Answer::Stored | Answer::Error(_)) | (false, _) => {}
            }
            let latencies = if request.is_read { &mut self.reads } else { &mut self.writes };
            latencies.record_ns(latency_ns, 1);
        }
    }

    fn check(&mut self, request: InFlight, answer: Answer<'_>, expected: Expected<'_>) {
        let Expected { plan, values } = expected;
        match (request.is_read, answer) {
            (true, Answer::Value(value)) => {
                if !values.is_right(&plan.shape, request.number, value) {
                    self.wrong(request.number, value);
                }
            }
            (true, Answer::Missing) => {
                if !plan.misses_allowed {
                    self.faults.unexpected_misses += 1;
                    self.first(|| format!("key number {} is not there", request.number));
                }
            }
            (false, Answer::Stored) => {}
            (_, Answer::Error(text)) => {
                self.faults.errors += 1;
                self.faults.redirects +=
                    u64::from(text.starts_with(b"MOVED ") || text.starts_with(b"ASK "));
                self.first(|| String::from_utf8_lossy(text).into_owned());
            }
            (true, Answer::Stored) | (false, Answer::Value(_) | Answer::Missing) => {
                self.faults.wrong_values += 1;
                self.first(|| "an answer of the other command's kind".into());
            }
        }
    }

    #[cold]
    fn wrong(&mut self, number: u64, value: &[u8]) {
        self.faults.wrong_values += 1;
        self.first(|| {
            let shown = String::from_utf8_lossy(&value[..value.len().min(24)]).into_owned();
            format!("key number {number} holds {} bytes beginning {shown:?}", value.len())
        });
    }

    #[cold]
    fn first(&mut self, text: impl FnOnce() -> String) {
        self.faults.first.get_or_insert_with(text);
    }

    /// Hands in the last second when a new one has begun.
    pub fn turn_over(&mut self, now_ns: u64, opens_ns: u64, tallies: &Sender<Self>) {
        let second = (now_ns.saturating_sub(opens_ns) / 1_000_000_000) as u32;
        if second != self.second {
            self.hand_in(tallies);
            self.second = second;
        }
    }

    /// Hands in what there is, and begins anew.
    pub fn hand_in(&mut self, tallies: &Sender<Self>) {
        let fresh = Self { second: self.second, ..Self::default() };
        // Nobody listens only when the run has failed already.
        let _ = tallies.send(std::mem::replace(self, fresh));
    }
}
