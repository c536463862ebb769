//! How long commands took: a histogram in the manner of `HdrHistogram`
//! (<https://hdrhistogram.org>), whose steps are at most 1/128 as long as what they count. Counts
//! ticks, so that recording, which every command pays for, neither divides nor converts.

/// Steps of a doubling.
const STEPS_LOG: u32 = 7;
/// Longer durations count as this: some minutes.
const TICKS_MAX: u64 = (1 << 40) - 1;
const STEPS: usize = step_of(TICKS_MAX) + 1;

/// The step that counts a duration.
#[inline]
const fn step_of(ticks: u64) -> usize {
    let ticks = if ticks < TICKS_MAX { ticks } else { TICKS_MAX };
    let shift = (ticks | 1 << STEPS_LOG).ilog2() - STEPS_LOG;
    ((shift as u64) << STEPS_LOG) as usize + (ticks >> shift) as usize
}

/// The longest duration of a step, in ticks.
fn last_of(step: usize) -> u64 {
    let shift = (step >> STEPS_LOG).saturating_sub(1);
    let within = (step - (shift << STEPS_LOG)) as u64;
    ((within + 1) << shift) - 1
}

/// How often something took how long.
#[derive(Clone, Debug)]
pub struct Durations(Box<[u64; STEPS]>);

impl Default for Durations {
    fn default() -> Self {
        let counts = vec![0; STEPS].into_boxed_slice();
        Self(counts.try_into().expect("as many as there are steps"))
    }
}

impl Durations {
    #[inline]
    pub fn record(&mut self, ticks: u64) {
        self.0[step_of(ticks)] += 1;
    }

    /// Ticks, the most that their step stands for, and how often; ascending.
    pub fn recorded(&self) -> impl Iterator<Item = (u64, u64)> {
        let counted = self.0.iter().enumerate().filter(|(_, count)| **count > 0);
        counted.map(|(step, count)| (last_of(step), *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_no_longer_than_a_hundredth_of_what_it_counts() {
        let around = |ticks: u64| [ticks - 1, ticks, ticks + 1];
        let mut before = None;
        for ticks in (0..1000).chain((10..40).flat_map(|power| around(1 << power))) {
            let step = step_of(ticks);
            assert!(before.is_none_or(|before| before <= step), "{ticks}");
            before = Some(step);
            let last = last_of(step);
            assert!(last >= ticks && last - ticks <= ticks / 100, "{ticks} counts as {last}");
            assert_eq!(step_of(last), step, "{ticks}");
            assert_eq!(step_of(last + 1), step + 1, "{ticks}");
        }
    }

    #[test]
    fn what_was_recorded_is_told_in_order() {
        let mut durations = Durations::default();
        for ticks in [5, 1_000_000, 5, u64::MAX] {
            durations.record(ticks);
        }
        let recorded: Vec<_> = durations.recorded().collect();
        assert_eq!(recorded, [(5, 2), (last_of(step_of(1_000_000)), 1), (TICKS_MAX, 1)]);
    }
}
