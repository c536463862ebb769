//! Latencies in nanoseconds: recorded in an HDR histogram, told as percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longer than any run; a latency beyond it is recorded as this.
const LONGEST_NS: u64 = 600_000_000_000;
/// Three digits: the error of any percentile is below 0.1%.
const DIGITS: u8 = 3;

/// The points that every report shows.
pub const PERCENTILES: [(f64, &str); 8] = [
    (50.0, "p50"),
    (75.0, "p75"),
    (90.0, "p90"),
    (95.0, "p95"),
    (99.0, "p99"),
    (99.9, "p99.9"),
    (99.99, "p99.99"),
    (100.0, "max"),
];

/// A histogram of latencies.
#[derive(Clone, Debug)]
pub struct Latencies {
    buckets: Histogram<u64>,
    /// Exact, where the histogram knows only its bucket.
    max_ns: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        let buckets = Histogram::new_with_bounds(1, LONGEST_NS, DIGITS);
        Self { buckets: buckets.expect("bounds and digits are constants"), max_ns: 0 }
    }
}

impl Latencies {
    #[inline]
    pub fn record(&mut self, latency: Duration) {
        self.record_ns(latency.as_nanos() as u64, 1);
    }

    /// Records `count` operations that each took `nanoseconds`.
    #[inline]
    pub fn record_ns(&mut self, nanoseconds: u64, count: u64) {
        let nanoseconds = nanoseconds.clamp(1, LONGEST_NS);
        self.max_ns = self.max_ns.max(nanoseconds);
        self.buckets.saturating_record_n(nanoseconds, count);
    }

    pub fn add(&mut self, other: &Self) {
        self.max_ns = self.max_ns.max(other.max_ns);
        self.buckets.add(&other.buckets).expect("all histograms have the same bounds");
    }

    pub fn clear(&mut self) {
        self.max_ns = 0;
        self.buckets.reset();
    }

    pub fn count(&self) -> u64 {
        self.buckets.len()
    }

    /// The latency in microseconds that `percent` of the operations did not exceed.
    pub fn percentile_us(&self, percent: f64) -> f64 {
        // The top of the last bucket lies above the largest value.
        self.buckets.value_at_quantile(percent / 100.0).min(self.max_ns) as f64 / 1000.0
    }

    pub fn summary(&self) -> Summary {
        Summary {
            count: self.count(),
            mean_us: if self.buckets.is_empty() { 0.0 } else { self.buckets.mean() / 1000.0 },
            p50_us: self.percentile_us(50.0),
            p75_us: self.percentile_us(75.0),
            p90_us: self.percentile_us(90.0),
            p95_us: self.percentile_us(95.0),
            p99_us: self.percentile_us(99.0),
            p99_9_us: self.percentile_us(99.9),
            p99_99_us: self.percentile_us(99.99),
            max_us: self.percentile_us(100.0),
        }
    }

    /// Points for a percentile plot: (percent, microseconds), ever closer to 100.
    pub fn curve(&self) -> Vec<(f64, f64)> {
        const STEPS_PER_HALVING: u32 = 4;
        let us = |ns: u64| ns.min(self.max_ns) as f64 / 1000.0;
        self.buckets
            .iter_quantiles(STEPS_PER_HALVING)
            .map(|point| (point.quantile() * 100.0, us(point.value_iterated_to())))
            .collect()
    }
}

/// What a JSON report says about latencies, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Summary {
    pub count: u64,
    pub mean_us: f64,
    pub p50_us: f64,
    pub p75_us: f64,
    pub p90_us: f64,
    pub p95_us: f64,
    pub p99_us: f64,
    pub p99_9_us: f64,
    pub p99_99_us: f64,
    pub max_us: f64,
}

impl Summary {
    /// In the order of `PERCENTILES`.
    pub fn points_us(&self) -> [f64; PERCENTILES.len()] {
        [
            self.p50_us,
            self.p75_us,
            self.p90_us,
            self.p95_us,
            self.p99_us,
            self.p99_9_us,
            self.p99_99_us,
            self.max_us,
        ]
    }

    /// One line for people.
    pub fn line(&self) -> String {
        PERCENTILES
            .iter()
            .zip(self.points_us())
            .map(|((_, name), us)| format!("{name} {}", human_us(us)))
            .collect::<Vec<_>>()
            .join("  ")
    }
}

/// Microseconds for people: three digits that matter, with a unit.
pub fn human_us(us: f64) -> String {
    match us {
        us if us < 100.0 => format!("{us:.1} µs"),
        us if us < 1000.0 => format!("{us:.0} µs"),
        us if us < 1_000_000.0 => format!("{:.2} ms", us / 1000.0),
        us => format!("{:.2} s", us / 1_000_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_values() {
        let mut latencies = Latencies::default();
        // 1 to 10,000 µs, once each.
        for us in 1..=10_000u64 {
            latencies.record(Duration::from_micros(us));
        }
        let summary = latencies.summary();
        assert_eq!(summary.count, 10_000);
        for ((percent, name), got) in PERCENTILES.iter().zip(summary.points_us()) {
            let expected = percent * 100.0;
            assert!((got - expected).abs() <= expected * 0.001, "{name}: {got} for {expected}");
        }
        assert!(
            (summary.max_us - 10_000.0).abs() < f64::EPSILON * 10_000.0,
            "the maximum is exact"
        );
    }

    #[test]
    fn one_slow_operation_shows_in_the_tail_alone() {
        let mut latencies = Latencies::default();
        latencies.record_ns(100_000, 9_999);
        latencies.record_ns(50_000_000, 1);
        let summary = latencies.summary();
        assert!(summary.p99_9_us < 101.0);
        assert!(summary.p99_99_us < 101.0, "9,999 of 10,000 are quick");
        assert!((summary.max_us - 50_000.0).abs() < 0.001);
    }

    #[test]
    fn nothing_recorded_is_zero_and_beyond_the_range_is_the_range() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.summary().count, 0);
        assert!(latencies.summary().max_us.abs() < f64::EPSILON);
        latencies.record(Duration::from_secs(10_000));
        assert!((latencies.summary().max_us - 6e8).abs() < 1.0);
    }

    #[test]
    fn the_curve_rises_to_the_maximum() {
        let mut latencies = Latencies::default();
        for us in 1..=1000u64 {
            latencies.record(Duration::from_micros(us));
        }
        let curve = latencies.curve();
        assert!(curve.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1));
        assert!((curve.last().unwrap().1 - 1000.0).abs() < 0.001);
    }

    #[test]
    fn people_read_units() {
        for (us, text) in
            [(12.34, "12.3 µs"), (250.0, "250 µs"), (1234.0, "1.23 ms"), (2.5e6, "2.50 s")]
        {
            assert_eq!(human_us(us), text);
        }
    }
}
