//! Who may use how much memory. `maxmemory` is a promise about the process: what is resident beyond
//! the stores (buffers, parcels, code, the allocator's slack) is measured and taken off first, and
//! the rest is shared among the lanes: a lane that needs less keeps what it uses, the others
//! split what is left evenly.

use std::sync::atomic::Ordering;

use crate::core::Core;

/// What a lane gets beyond its present use, when others have no need of it: an eighth of its fair
/// share, so that it can grow without asking.
const HEADROOM_PART: usize = 8;
/// However large the rest of the process, the stores get this part of `maxmemory`.
const STORES_PART_MIN: usize = 4;

/// Computes every lane's budget. Called by one lane, some times a second.
pub fn share_memory(core: &mut Core) {
    let Some(limit) = core.live.maxmemory else {
        core.shared.lines.iter().for_each(|line| line.budget.store(0, Ordering::Relaxed));
        return;
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let used: Vec<usize> =
        core.shared.lines.iter().map(|line| line.memory.load(Ordering::Relaxed)).collect();
    let resident = resident_bytes().unwrap_or(0);
    let beside = resident.saturating_sub(used.iter().sum());
    let pool = limit.saturating_sub(beside).max(limit / STORES_PART_MIN);
    for (line, budget) in core.shared.lines.iter().zip(fair_shares(pool, &used)) {
        line.budget.store(budget.max(1), Ordering::Relaxed);
    }
}

/// Splits `pool` bytes among lanes that use so much now: max-min fairness with headroom.
pub fn fair_shares(pool: usize, used: &[usize]) -> Vec<usize> {
    let lanes = used.len();
    let headroom = pool / lanes / HEADROOM_PART;
    let mut wanted: Vec<(usize, usize)> = used
        .iter()
        .map(|used| used + headroom)
        .enumerate()
        .collect::<Vec<_>>()
        .into_iter()
        .map(|(lane, want)| (want, lane))
        .collect();
    wanted.sort_unstable();
    let mut shares = vec![0; lanes];
    let mut left = pool;
    for (position, (want, lane)) in wanted.iter().enumerate() {
        let even = left / (lanes - position);
        shares[*lane] = even.min(*want);
        left -= shares[*lane];
    }
    // What nobody asked for is split evenly: it may be wanted before the next look.
    for share in &mut shares {
        *share += left / lanes;
    }
    shares
}

/// The least `maxmemory` that a process of so many resident bytes, without keys, can keep.
pub fn least_memory(resident: usize) -> usize {
    resident + resident / (STORES_PART_MIN - 1)
}

/// Bytes of this process that are resident.
pub fn resident_bytes() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_lane_keeps_its_own_and_the_large_ones_share_the_rest() {
        assert_eq!(fair_shares(800, &[1000, 1000]), [400, 400]);
        let shares = fair_shares(800, &[10, 5000, 5000, 5000]);
        assert_eq!(shares[0], 10 + 25);
        assert!(shares[1] == shares[2] && shares[2].abs_diff(shares[3]) <= 1);
        assert!(shares.iter().sum::<usize>() <= 800);
        assert_eq!(fair_shares(800, &[0, 0]), [400, 400]);
        assert_eq!(fair_shares(800, &[900]), [800]);
    }
}
