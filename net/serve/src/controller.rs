//! Who may use how much memory. `maxmemory` is a promise about the process: what is resident beyond
//! the lanes (code, the allocator's slack, connections) is measured and taken off first, and the rest
//! is shared among them: a lane that needs less keeps what it uses, the others split what is left
//! evenly. A thread of its own looks, so that no lane waits for the kernel's books; it also returns
//! pages that the allocator keeps unused when the limit is near.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ringlane_base::LaneId;
use ringlane_settings::Settings;
use ringlane_store::Policy;

use crate::admin::process::allocator;
use crate::gate::tell_looked;
use crate::shared::{LaneLine, Running, Shared};

/// What a lane gets beyond its present use, when others have no need of it: an eighth of its fair
/// share, so that it can grow without asking.
const HEADROOM_PART: usize = 8;
/// However large the rest of the process, the lanes get this part of `maxmemory`.
const LANES_PART_MIN: usize = 4;
/// However full a store is from which nothing may go, this part of its lane's budget may arrive.
const INPUT_PART_MIN: usize = 64;
/// This part of `maxmemory` is left to what comes between two looks, and to pages that the allocator
/// keeps unused.
const MARGIN_PART: usize = 32;
/// Those go back when no more than this part of the limit is left, and they are that part of it.
const PURGE_PART: usize = 64;
const FREE_PART: usize = 256;
/// However much is resident, lanes may take this part of the limit between two looks: what they free
/// is on its way, and nobody waits for ever.
const CREDIT_PART_MIN: usize = 64;
/// Holes between what is allocated are worked on when they take this part of the limit, until they
/// take no more than that part.
const HOLES_PART: usize = 16;
const HOLES_PART_LEFT: usize = 24;
/// The next look, when the last one found the limit near and memory on the move, or not.
const LOOK_SOON: Duration = Duration::from_millis(2);
const LOOK_LATER: Duration = Duration::from_millis(50);
/// The limit is near when less than this part of it is left.
const NEAR_PART: usize = 8;
/// Memory is on the move when this part of the limit came or went since the last look.
const MOVE_PART: usize = 2048;
/// Lanes ask for a look when all of them have allocated this part of the limit since the last one:
/// what is freed meanwhile stays resident until somebody looks.
const TAKEN_PART: usize = 128;

/// Starts the thread that shares the memory. It ends with the server.
///
/// # Errors
/// The system gives no further thread.
pub fn start(shared: &Arc<Shared>, settings: &Arc<Settings>) -> std::io::Result<()> {
    let (shared, settings) = (Arc::clone(shared), Arc::clone(settings));
    let thread = std::thread::Builder::new().name("memory".to_owned()).spawn({
        let shared = Arc::clone(&shared);
        move || {
            let mut before = 0;
            while shared.running() != Running::Stopped {
                shared.keeper_looks();
                let limit = settings.live().maxmemory;
                let resident = look(&shared, limit);
                let limit = limit.map_or(usize::MAX, bytes);
                let near = resident > limit - limit / NEAR_PART;
                let moves = resident.abs_diff(before) > limit / MOVE_PART;
                before = resident;
                tell_looked(&shared);
                std::thread::park_timeout(if near && moves { LOOK_SOON } else { LOOK_LATER });
            }
        }
    })?;
    shared.set_keeper(thread.thread().clone());
    Ok(())
}

fn bytes(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Looks at the process: shares the memory, after unused pages have been given back if the limit is
/// near; returns what is resident. May take milliseconds.
fn look(shared: &Shared, limit: Option<u64>) -> usize {
    let Some(bytes_max) = limit.map(bytes) else {
        shared.settling.store(false, Ordering::Relaxed);
        shared.look_after.store(usize::MAX, Ordering::Relaxed);
        shared.credit.store(usize::MAX, Ordering::Relaxed);
        share(shared, limit);
        return 0;
    };
    shared.look_after.store(bytes_max / TAKEN_PART / shared.lanes(), Ordering::Relaxed);
    // What is taken from now on may be missing in what is found.
    for line in &shared.lines {
        line.taken_at_look.store(line.taken.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    let (resident, free) = find(shared, bytes_max);
    share_rest(shared, bytes_max, resident - free.min(resident));
    let least = bytes_max / CREDIT_PART_MIN;
    let credit = (bytes_max + least).saturating_sub(resident).max(least);
    shared.credit.store(credit / shared.lanes(), Ordering::Relaxed);
    resident
}

/// What is resident, and how much of that the allocator keeps unused, once it has returned pages
/// that are too much.
fn find(shared: &Shared, bytes_max: usize) -> (usize, usize) {
    let resident = resident_bytes().unwrap_or(0);
    let near = resident > bytes_max - bytes_max / NEAR_PART;
    // Asked only when it matters: it takes every lock of the allocator for a moment.
    let Some(allocator) = allocator().filter(|_| near) else {
        shared.settling.store(false, Ordering::Relaxed);
        return (resident, 0);
    };
    let usage = (allocator.usage)();
    let settling = shared.settling.load(Ordering::Relaxed);
    let part = if settling { HOLES_PART_LEFT } else { HOLES_PART };
    let holes = usage.active.saturating_sub(usage.allocated);
    shared.settling.store(holes > bytes_max / part, Ordering::Relaxed);
    if resident > bytes_max - bytes_max / PURGE_PART && usage.free > bytes_max / FREE_PART {
        (allocator.purge)();
        return (resident_bytes().unwrap_or(0), 0);
    }
    (resident, usage.free)
}

/// Computes every lane's budget.
pub fn share(shared: &Shared, limit: Option<u64>) {
    match limit.map(bytes) {
        Some(limit) => share_rest(shared, limit, resident_bytes().unwrap_or(0)),
        None => shared.lines.iter().for_each(|line| line.budget.store(0, Ordering::Relaxed)),
    }
}

/// Gives a lane room for so many bytes that it is about to keep, out of what the others leave unused: now, since
/// the next look would come too late. The buffers of `from` hold them so far.
pub fn claim(shared: &Shared, lane: LaneId, from: LaneId, bytes: usize) {
    let mut used: Vec<usize> = shared.lines.iter().map(LaneLine::used).collect();
    used[from.index()] = used[from.index()].saturating_sub(bytes);
    used[lane.index()] += bytes;
    let pool = shared.lines.iter().map(|line| line.budget.load(Ordering::Relaxed)).sum();
    for (line, budget) in shared.lines.iter().zip(fair_shares(pool, &used)) {
        line.budget.store(budget.max(1), Ordering::Relaxed);
    }
}

/// The same under a limit, while so much is resident that cannot be given back.
fn share_rest(shared: &Shared, limit: usize, resident: usize) {
    let used: Vec<usize> = shared.lines.iter().map(LaneLine::used).collect();
    let beside = resident.saturating_sub(used.iter().sum());
    let pool = limit.saturating_sub(beside + limit / MARGIN_PART).max(limit / LANES_PART_MIN);
    for (line, budget) in shared.lines.iter().zip(fair_shares(pool, &used)) {
        line.budget.store(budget.max(1), Ordering::Relaxed);
    }
}

/// A lane's budget, divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// What its store may take.
    pub store: usize,
    /// What its connections' buffers may take before connections make do with less.
    pub clients: usize,
    /// What commands that are still arriving may take before further ones wait.
    pub input: usize,
}

/// Divides a lane's budget, while its store takes `used` and its buffers `buffers` bytes. Where
/// nothing can be evicted to make room for what arrives, only what is left may arrive.
pub fn split_budget(budget: usize, used: usize, buffers: usize, policy: Policy) -> Parts {
    let least = budget / LANES_PART_MIN;
    let input = if policy == Policy::NoEviction || policy.is_volatile() {
        budget.saturating_sub(used).clamp(budget / INPUT_PART_MIN, least)
    } else {
        least
    };
    Parts { store: budget.saturating_sub(buffers).max(least), clients: least, input }
}

/// Splits `pool` bytes among lanes that use so much now: max-min fairness with headroom.
pub fn fair_shares(pool: usize, used: &[usize]) -> Vec<usize> {
    let lanes = used.len();
    let headroom = pool / lanes / HEADROOM_PART;
    let mut wanted: Vec<(usize, usize)> =
        used.iter().enumerate().map(|(lane, used)| (used + headroom, lane)).collect();
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

/// Bytes that are resident beside stores and buffers.
pub fn beside_stores(shared: &Shared) -> usize {
    let used = shared.lines.iter().map(LaneLine::used).sum();
    resident_bytes().unwrap_or(0).saturating_sub(used)
}

/// Says what becomes of a `maxmemory` that is less than the process takes before it holds a key:
/// `own` bytes.
pub fn warn_if_too_small(limit: Option<u64>, own: usize) {
    let (Some(limit), least) = (limit, least_memory(own) as u64) else { return };
    if limit < least {
        let part = limit / LANES_PART_MIN as u64;
        tracing::warn!(
            "maxmemory is {limit} bytes, but the process takes {own} before it holds a key: it \
             stays above the limit, keys and values get {part} bytes, and writes for which that is \
             too little are refused with OOM; set at least {least}"
        );
    }
}

/// The least `maxmemory` that a process of so many resident bytes, without keys, can keep.
fn least_memory(resident: usize) -> usize {
    resident + resident / (LANES_PART_MIN - 1)
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

    #[test]
    fn buffers_come_off_the_stores_part_down_to_a_quarter() {
        let split = |used, buffers, policy| split_budget(6400, used, buffers, policy);
        let parts = |store, input| Parts { store, clients: 1600, input };
        for policy in [Policy::Adaptive, Policy::AllkeysLru] {
            assert_eq!(split(0, 0, policy), parts(6400, 1600));
            assert_eq!(split(6000, 400, policy), parts(6000, 1600));
            assert_eq!(split(6000, 9000, policy), parts(1600, 1600));
        }
        for policy in [Policy::NoEviction, Policy::VolatileLru] {
            assert_eq!(split(0, 0, policy), parts(6400, 1600));
            assert_eq!(split(6000, 400, policy), parts(6000, 400));
            assert_eq!(split(7000, 9000, policy), parts(1600, 100));
        }
    }

    #[test]
    fn the_lanes_get_what_the_rest_of_the_process_leaves() {
        let shared = Shared::new(
            vec![String::new(), String::new()],
            String::new(),
            ringlane_base::HashSeed(0),
            ringlane_base::Now::default(),
            0,
            Vec::new(),
        );
        let budgets = || -> Vec<usize> {
            shared.lines.iter().map(|line| line.budget.load(Ordering::Relaxed)).collect()
        };
        let (limit, resident) = (1 << 30, 100 << 20);
        share_rest(&shared, limit, resident);
        let left = limit - limit / MARGIN_PART - resident;
        assert_eq!(budgets(), [left / 2, left / 2]);
        // What the lanes take themselves is not taken off.
        shared.lines[0].memory.store(60 << 20, Ordering::Relaxed);
        shared.lines[1].buffers.store(40 << 20, Ordering::Relaxed);
        share_rest(&shared, limit, resident);
        assert_eq!(budgets().iter().sum::<usize>(), limit - limit / MARGIN_PART);
        // Far too little: a quarter of it.
        shared.lines[0].memory.store(0, Ordering::Relaxed);
        shared.lines[1].buffers.store(0, Ordering::Relaxed);
        share_rest(&shared, 8000, resident);
        assert_eq!(budgets(), [1000, 1000]);
        assert!(look(&shared, Some(1 << 60)) > 0);
        assert!(budgets().iter().sum::<usize>() > 1 << 59);
        look(&shared, None);
        assert_eq!(budgets(), [0, 0]);
    }
}
