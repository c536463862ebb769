//! The little that lanes can see of each other: each lane writes its own line, all read.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use ringlane_base::{HashSeed, LaneId, Now, SLOT_COUNT, Slot};

use crate::mailbox::Doze;

/// One lane's line. On cache lines of its own.
#[repr(align(128))]
#[derive(Default)]
pub struct LaneLine {
    /// The lane's ring, for waking it; 0 until it runs.
    pub ring: AtomicI32,
    pub doze: Doze,
    /// Its doorbell (an eventfd), for threads that are no lanes.
    pub doorbell: AtomicI32,
    /// Connections of the front door.
    pub front_connections: AtomicUsize,
    pub connections: AtomicUsize,
    pub keys: AtomicUsize,
    /// Bytes that its store takes.
    pub memory: AtomicUsize,
    /// Bytes of its connections' buffers and of large arguments on their way to other lanes.
    pub buffers: AtomicUsize,
    /// Bytes of its connections' buffers, with the values that their replies hold.
    pub clients: AtomicUsize,
    /// Its store has passed its limit, and nothing may go: writes are refused.
    pub full: AtomicBool,
    /// What store and buffers may take, as the controller decided. 0: no limit.
    pub budget: AtomicUsize,
    /// Bytes that it has ever allocated outside of its slab; wraps.
    pub taken: AtomicUsize,
    /// What `taken` was when the controller last looked.
    pub taken_at_look: AtomicUsize,
    /// It wants to hear when the next look is over.
    pub waits_for_look: AtomicBool,
    pub drained: AtomicBool,
    /// Its connections that watch (MONITOR).
    pub monitors: AtomicUsize,
}

impl LaneLine {
    /// Bytes of its store and its buffers.
    pub fn used(&self) -> usize {
        self.memory.load(Ordering::Relaxed) + self.buffers.load(Ordering::Relaxed)
    }

    /// Bytes that it has allocated since the controller last looked.
    #[inline]
    pub fn taken_since_look(&self) -> usize {
        let looked = self.taken_at_look.load(Ordering::Relaxed);
        self.taken.load(Ordering::Relaxed).wrapping_sub(looked)
    }

    /// Whether the lane refuses writes for want of memory.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }
}

/// How the server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Running {
    Serving = 0,
    /// No new connections and commands; what is owed is sent.
    Draining = 1,
    Stopped = 2,
}

/// What all lanes share.
pub struct Shared {
    pub lines: Vec<LaneLine>,
    pub hash_seed: HashSeed,
    pub started: Now,
    /// 40 hexadecimal digits, new with each start.
    pub run_id: String,
    /// 40 hexadecimal digits for each lane: its name in `CLUSTER` replies.
    pub lane_ids: Vec<String>,
    /// The scripts and functions that clients have made known.
    pub scripts: Arc<ringlane_script::Registry>,
    pub front_port: u16,
    pub lane_ports: Vec<u16>,
    next_client: AtomicU64,
    /// Connections over all lanes, handed-over ones included.
    pub clients: AtomicUsize,
    pub rejected_clients: AtomicU64,
    /// Connections that keep copies of what they read, over all lanes.
    pub trackings: AtomicUsize,
    /// Connections that watch (MONITOR), over all lanes.
    pub monitors: AtomicUsize,
    /// Until when `CLIENT PAUSE` holds, by the steady clock; 0: not at all.
    pub pause_until_ms: AtomicU64,
    /// Whether the pause is for writes alone.
    pub pause_writes_only: AtomicBool,
    running: AtomicU8,
    /// Whether holes between small allocations take so much memory that lanes should move elements of
    /// large collections together.
    pub settling: AtomicBool,
    /// The thread that waits for the server's end, once there is one.
    waiter: OnceLock<std::thread::Thread>,
    /// The thread that shares the memory.
    keeper: OnceLock<std::thread::Thread>,
    /// It has been woken and has not begun to look since.
    keeper_woken: AtomicBool,
    /// Bytes that a lane may take after a look before it asks for the next.
    pub look_after: AtomicUsize,
    /// Bytes that a lane may take after a look before large input waits for the next.
    pub credit: AtomicUsize,
    /// Looks that are over; wraps.
    pub looks: AtomicUsize,
    /// Bytes in use before the first client came.
    startup_bytes: OnceLock<usize>,
}

impl Shared {
    /// The books of a server that is about to start.
    pub fn new(
        lane_ids: Vec<String>,
        run_id: String,
        hash_seed: HashSeed,
        started: Now,
        front_port: u16,
        lane_ports: Vec<u16>,
    ) -> Self {
        Self {
            lines: (0..lane_ids.len()).map(|_| LaneLine::default()).collect(),
            hash_seed,
            started,
            run_id,
            lane_ids,
            scripts: Arc::default(),
            front_port,
            lane_ports,
            next_client: AtomicU64::new(1),
            clients: AtomicUsize::new(0),
            rejected_clients: AtomicU64::new(0),
            trackings: AtomicUsize::new(0),
            monitors: AtomicUsize::new(0),
            pause_until_ms: AtomicU64::new(0),
            pause_writes_only: AtomicBool::new(false),
            running: AtomicU8::new(Running::Serving as u8),
            settling: AtomicBool::new(false),
            waiter: OnceLock::new(),
            keeper: OnceLock::new(),
            keeper_woken: AtomicBool::new(false),
            look_after: AtomicUsize::new(usize::MAX),
            credit: AtomicUsize::new(usize::MAX),
            looks: AtomicUsize::new(0),
            startup_bytes: OnceLock::new(),
        }
    }

    pub fn lanes(&self) -> usize {
        self.lines.len()
    }

    /// The lane that owns a slot: contiguous ranges, as equal as they can be.
    #[inline]
    pub fn lane_of(&self, slot: Slot) -> LaneId {
        LaneId((slot.index() * self.lines.len() / SLOT_COUNT) as u16)
    }

    /// The lanes of slots in ascending order, each once.
    pub fn lanes_of<'a>(&self, slots: impl IntoIterator<Item = &'a Slot>) -> Vec<LaneId> {
        let mut lanes: Vec<LaneId> = slots.into_iter().map(|slot| self.lane_of(*slot)).collect();
        lanes.dedup(); // The slots ascend, so their lanes do.
        lanes
    }

    /// The slots of a lane: those that `lane_of` gives to it.
    pub fn slots_of(&self, lane: LaneId) -> std::ops::Range<u16> {
        let bound = |index: usize| (index * SLOT_COUNT).div_ceil(self.lanes()) as u16;
        bound(lane.index())..bound(lane.index() + 1)
    }

    pub fn next_client_id(&self) -> u64 {
        self.next_client.fetch_add(1, Ordering::Relaxed)
    }

    pub fn running(&self) -> Running {
        match self.running.load(Ordering::Acquire) {
            0 => Running::Serving,
            1 => Running::Draining,
            _ => Running::Stopped,
        }
    }

    pub fn set_running(&self, running: Running) {
        self.running.store(running as u8, Ordering::Release);
        if let Some(waiter) = self.waiter.get() {
            waiter.unpark();
        }
        self.wake_keeper();
    }

    /// Says which thread shares the memory.
    pub fn set_keeper(&self, keeper: std::thread::Thread) {
        // There is but one.
        let _ = self.keeper.set(keeper);
    }

    /// Says how many bytes are in use before the first client comes.
    pub fn set_startup_bytes(&self, bytes: usize) {
        // It starts but once.
        let _ = self.startup_bytes.set(bytes);
    }

    /// Bytes that were in use before the first client came; 0 while it starts.
    pub fn startup_bytes(&self) -> usize {
        self.startup_bytes.get().copied().unwrap_or(0)
    }

    /// Has the memory shared anew now.
    pub fn wake_keeper(&self) {
        if let Some(keeper) = self.keeper.get()
            && !self.keeper_woken.swap(true, Ordering::AcqRel)
        {
            keeper.unpark();
        }
    }

    /// The keeper begins to look: who wants it from now on has to wake it again.
    pub fn keeper_looks(&self) {
        self.keeper_woken.store(false, Ordering::Release);
    }

    /// A lane has ever allocated so many bytes: has the keeper look if that is much since it last did.
    #[inline]
    pub fn note_taken(&self, lane: LaneId, taken: usize) {
        let own = &self.lines[lane.index()];
        own.taken.store(taken, Ordering::Relaxed);
        if own.taken_since_look() >= self.look_after.load(Ordering::Relaxed) {
            self.wake_keeper();
        }
    }

    /// Whether a lane refuses writes for want of memory.
    pub fn is_full(&self) -> bool {
        self.lines.iter().any(LaneLine::is_full)
    }

    /// Puts the calling thread to sleep until the server is told to end.
    pub fn wait_for_end(&self) {
        self.waiter.get_or_init(std::thread::current);
        while self.running() == Running::Serving {
            std::thread::park();
        }
    }

    /// Wakes every lane from a thread that is none.
    pub fn ring_doorbells(&self) {
        for lane in 0..self.lines.len() {
            self.ring_doorbell(LaneId(lane as u16));
        }
    }

    /// Wakes a lane from a thread that is none.
    pub fn ring_doorbell(&self, lane: LaneId) {
        let doorbell = self.lines[lane.index()].doorbell.load(Ordering::Acquire);
        if doorbell > 0 {
            // SAFETY: an eventfd that lives as long as the process; borrowed for one write.
            let doorbell = unsafe { std::os::fd::BorrowedFd::borrow_raw(doorbell) };
            // A full counter wakes as well, so a failed write loses nothing.
            let _ = rustix::io::write(doorbell, &1u64.to_ne_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_asked_for_once_enough_has_been_taken_since_the_last() {
        let ids = vec![String::new(), String::new()];
        let shared = Shared::new(ids, String::new(), HashSeed(0), Now::default(), 0, Vec::new());
        shared.set_keeper(std::thread::current());
        let woken = |shared: &Shared| shared.keeper_woken.load(Ordering::Relaxed);
        shared.note_taken(LaneId(0), usize::MAX - 50);
        assert!(!woken(&shared), "there is no limit");
        shared.look_after.store(100, Ordering::Relaxed);
        shared.lines[0].taken_at_look.store(usize::MAX - 50, Ordering::Relaxed);
        shared.note_taken(LaneId(0), 40);
        shared.note_taken(LaneId(1), 99);
        assert!(!woken(&shared));
        // The count wraps.
        shared.note_taken(LaneId(0), 50);
        assert!(woken(&shared));
        shared.keeper_looks();
        assert!(!woken(&shared));
        shared.note_taken(LaneId(0), 51);
        assert!(woken(&shared), "it has not looked at this lane yet");
    }

    #[test]
    fn every_slot_has_the_lane_whose_range_holds_it() {
        for lanes in [1, 2, 3, 4, 7, 16, 100] {
            let ids = (0..lanes).map(|_| String::new()).collect();
            let shared =
                Shared::new(ids, String::new(), HashSeed(0), Now::default(), 0, Vec::new());
            for number in 0..SLOT_COUNT as u16 {
                let slot = Slot::new(number).expect("below the count");
                let lane = shared.lane_of(slot);
                assert!(shared.slots_of(lane).contains(&number), "{lanes} lanes, slot {number}");
            }
        }
    }
}
