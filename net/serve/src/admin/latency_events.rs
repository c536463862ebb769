//! The latency monitor: for each kind of work of a lane, when it took `latency-monitor-threshold` or
//! longer, and how long. Owns the series of one lane and how those of all lanes become one.

use std::collections::VecDeque;

/// Samples that an event keeps, as in Redis: one a second at most.
const SAMPLES_MAX: usize = 160;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A command that may take long.
    Command,
    /// A command that never should.
    FastCommand,
    /// A slice of upkeep in which keys have expired.
    ExpireCycle,
    /// A slice of upkeep in which keys were evicted.
    EvictionCycle,
}

impl Event {
    pub const ALL: [Self; 4] =
        [Self::Command, Self::FastCommand, Self::ExpireCycle, Self::EvictionCycle];

    /// As Redis names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::FastCommand => "fast-command",
            Self::ExpireCycle => "expire-cycle",
            Self::EvictionCycle => "eviction-cycle",
        }
    }

    /// The event of this name, whatever its case.
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

/// The longest of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Unix time.
    pub seconds: u64,
    pub milliseconds: u64,
}

/// What is kept of one event; the newest sample is the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    pub samples: VecDeque<Sample>,
    /// The longest since the last reset, in milliseconds.
    pub longest_ms: u64,
}

impl Series {
    fn note(&mut self, sample: Sample) {
        self.longest_ms = self.longest_ms.max(sample.milliseconds);
        if let Some(newest) = self.samples.back_mut()
            && newest.seconds == sample.seconds
        {
            newest.milliseconds = newest.milliseconds.max(sample.milliseconds);
            return;
        }
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }
}

/// The series of all events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LatencyEvents([Series; Event::ALL.len()]);

impl LatencyEvents {
    /// Something took so long, which is long enough to be kept.
    #[cold]
    pub fn note(&mut self, event: Event, seconds: u64, milliseconds: u64) {
        self.0[event as usize].note(Sample { seconds, milliseconds });
    }

    pub fn of(&self, event: Event) -> &Series {
        &self.0[event as usize]
    }

    /// Forgets these events.
    pub fn reset(&mut self, events: &[Event]) {
        for event in events {
            self.0[*event as usize] = Series::default();
        }
    }

    /// The events that have samples.
    pub fn kept(&self) -> impl Iterator<Item = (Event, &Series)> {
        let all = Event::ALL.into_iter().map(|event| (event, self.of(event)));
        all.filter(|(_, series)| !series.samples.is_empty())
    }

    /// The series of several lanes as one.
    pub fn merged<'a>(lanes: impl Iterator<Item = &'a Self>) -> Self {
        let lanes: Vec<&Self> = lanes.collect();
        let mut merged = Self::default();
        for event in Event::ALL {
            let series = lanes.iter().map(|lane| lane.of(event));
            let mut samples: Vec<Sample> =
                series.clone().flat_map(|series| series.samples.iter().copied()).collect();
            samples.sort_by_key(|sample| sample.seconds);
            for sample in samples {
                merged.0[event as usize].note(sample);
            }
            merged.0[event as usize].longest_ms =
                series.map(|series| series.longest_ms).max().unwrap_or(0);
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(samples: &[(u64, u64)]) -> LatencyEvents {
        let mut events = LatencyEvents::default();
        for &(seconds, milliseconds) in samples {
            events.note(Event::Command, seconds, milliseconds);
        }
        events
    }

    fn shown(events: &LatencyEvents) -> Vec<(u64, u64)> {
        let samples = &events.of(Event::Command).samples;
        samples.iter().map(|sample| (sample.seconds, sample.milliseconds)).collect()
    }

    #[test]
    fn a_second_keeps_its_longest_and_the_oldest_go() {
        let events = of(&[(10, 5), (10, 9), (10, 7), (12, 3)]);
        assert_eq!(shown(&events), [(10, 9), (12, 3)]);
        assert_eq!(events.of(Event::Command).longest_ms, 9);
        let many: Vec<(u64, u64)> = (0..200).map(|second| (second, 1000 - second)).collect();
        let events = of(&many);
        assert_eq!(shown(&events), many[40..]);
        assert_eq!(events.of(Event::Command).longest_ms, 1000, "of those that went too");
    }

    #[test]
    fn lanes_become_one() {
        let (one, two) = (of(&[(1, 5), (3, 5)]), of(&[(1, 8), (2, 1), (3, 4)]));
        let merged = LatencyEvents::merged([&one, &two].into_iter());
        assert_eq!(shown(&merged), [(1, 8), (2, 1), (3, 5)]);
        assert_eq!(merged.of(Event::Command).longest_ms, 8);
        assert_eq!(merged.kept().count(), 1);
    }

    #[test]
    fn names_are_read_and_events_forgotten() {
        for event in Event::ALL {
            assert_eq!(Event::named(event.name().to_uppercase().as_bytes()), Some(event));
        }
        assert_eq!(Event::named(b"fork"), None);
        let mut events = of(&[(1, 5)]);
        events.reset(&[Event::ExpireCycle]);
        assert_eq!(events.kept().count(), 1);
        events.reset(&[Event::Command]);
        assert_eq!(events, LatencyEvents::default());
    }
}
