//! Starts the lanes, each a pinned thread with its glommio executor, and stops them.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use glommio::{Latency, LocalExecutorBuilder, Placement, Shares};
use ringlane_base::{HashSeed, LaneId};
use ringlane_settings::{Settings, StartSettings};
use tracing::{debug, info, warn};

use crate::admin::process::allocator;
use crate::aside::Asides;
use crate::aside_helper::AsideHelpers;
use crate::backer::Backer;
use crate::clock;
use crate::controller;
use crate::core::Core;
use crate::doors::{Doors, Listener};
use crate::errands::{Errands, Helper};
use crate::lane::Lane;
use crate::mailbox;
use crate::outbox::{MAILBOX_LETTERS_MAX, Peer};
use crate::parcel::Letter;
use crate::ring::Ring;
use crate::session::Door;
use crate::shared::{Running, Shared};

/// What draining may take before the lanes stop regardless.
const DRAIN_MAX: Duration = Duration::from_millis(800);
/// Shares of the request path against background work, when both want the core.
const REQUEST_SHARES: usize = 1000;
const UPKEEP_SHARES: usize = 250;
/// When glommio would take the core from whoever has it: never. A lane yields by itself, and glommio 0.9 parks for
/// ever, with tasks that could run, if a preemption is due before it has run any: after a pause of the process or
/// of its core that is longer than this (docs/decisions/lane-sleep.md).
const PREEMPTION: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
/// The executor's own ring: control traffic only.
const EXECUTOR_RING_DEPTH: usize = 128;
const EXECUTOR_IO_BYTES: usize = 64 << 10;

/// Numbers that a port can have, 0 included.
const PORTS: usize = 1 << 16;

/// Why the server did not start. Nothing is left behind.
#[derive(Debug)]
pub enum StartError {
    /// No listening socket at this address, for this door.
    Listen { door: Door, address: SocketAddr, source: io::Error },
    /// The doors of these lanes would need ports above the last there is.
    LanePorts { base: u16, lanes: usize },
    /// A lane's ring could not be made.
    Ring(io::Error),
    /// A lane's executor could not be made.
    Executor(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { door, address, source } => match source.kind() {
                io::ErrorKind::AddrInUse => write!(
                    formatter,
                    "{address} is in use: stop what listens there, or choose {}",
                    match door {
                        Door::Front => "another with --port",
                        Door::Lane =>
                            "other ports for the lanes' doors with --lane-port-base: it names the \
                             first, the others follow",
                    }
                ),
                io::ErrorKind::PermissionDenied => write!(
                    formatter,
                    "{address} may not be listened on: choose a port of 1024 or more with {}",
                    match door {
                        Door::Front => "--port",
                        Door::Lane => "--lane-port-base",
                    }
                ),
                io::ErrorKind::AddrNotAvailable => write!(
                    formatter,
                    "{address} is no address of this host: choose another with --bind"
                ),
                _ => write!(formatter, "cannot listen on {address}: {source}"),
            },
            Self::LanePorts { base, lanes } => {
                let (last, highest) = (usize::from(*base) + lanes - 1, PORTS - lanes);
                write!(
                    formatter,
                    "{lanes} lanes from port {base} on would need ports up to {last}, and 65535 is \
                     the last: choose {highest} or less with --lane-port-base"
                )
            }
            Self::Ring(source) => match source.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => write!(
                    formatter,
                    "io_uring is forbidden here: set sysctl kernel.io_uring_disabled=0, or allow \
                     io_uring_setup in the container's seccomp profile"
                ),
                Some(libc::ENOMEM) => write!(
                    formatter,
                    "io_uring got no memory: raise the locked-memory limit (ulimit -l unlimited, \
                     or LimitMEMLOCK=infinity in the unit file)"
                ),
                Some(libc::ENOSYS | libc::EINVAL) => write!(
                    formatter,
                    "this kernel's io_uring lacks what Ringlane needs: use Linux 6.1 or newer"
                ),
                _ => write!(formatter, "io_uring could not be set up: {source}"),
            },
            Self::Executor(text) => write!(
                formatter,
                "a lane's executor could not be started ({text}): raise the locked-memory limit \
                 (ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit file)"
            ),
        }
    }
}

impl std::error::Error for StartError {}

/// A server that is running.
pub struct Server {
    shared: Arc<Shared>,
    lanes: Vec<glommio::ExecutorJoinHandle<()>>,
    front: Vec<SocketAddr>,
}

/// Stops a server from any thread.
#[derive(Clone)]
pub struct Stopper(Arc<Shared>);

impl Stopper {
    /// Drains and stops the server.
    pub fn stop(&self) {
        self.0.set_running(Running::Draining);
        self.0.ring_doorbells();
    }
}

/// Starts a server with these settings. It answers when this returns.
///
/// # Errors
/// See `StartError`; nothing listens and no lane runs then.
pub fn start(settings: &Arc<Settings>) -> Result<Server, StartError> {
    start_with_hash_seed(settings, HashSeed(fastrand::u64(..)))
}

/// The same with a seed of the caller's for the hash of keys, which others may know.
///
/// # Errors
/// As `start`.
pub fn start_with_hash_seed(
    settings: &Arc<Settings>,
    hash_seed: HashSeed,
) -> Result<Server, StartError> {
    // Before any executor: glommio panics where io_uring is forbidden.
    io_uring::IoUring::new(2).map_err(StartError::Ring)?;
    let start = settings.start();
    let (front, lane_doors) = open_doors(&start)?;
    let shared = Arc::new(new_shared(&start, hash_seed, &front, &lane_doors));
    let mut boxes = mailboxes(start.lanes);
    let mut handles = Vec::new();
    let helper = Helper::start(Arc::clone(&shared), Arc::clone(settings))
        .map_err(|error| StartError::Executor(error.to_string()))?;
    let asides = AsideHelpers::start(&shared, start.databases)
        .map_err(|error| StartError::Executor(error.to_string()))?;
    let backer =
        Backer::start(start.lanes).map_err(|error| StartError::Executor(error.to_string()))?;
    // Before the first key can come.
    controller::share(&shared, settings.live().maxmemory);
    controller::start(&shared, settings)
        .map_err(|error| StartError::Executor(error.to_string()))?;
    let (ready, started) = flume::bounded::<Result<(), StartError>>(start.lanes);
    for lane in 0..start.lanes {
        let mut listeners = front.clone();
        listeners.extend(lane_doors[lane].iter().cloned());
        let plan = LanePlan {
            lane: LaneId(lane as u16),
            core: start.cores.get(lane % start.cores.len().max(1)).copied(),
            doors: Doors { listeners },
            peers: std::mem::take(&mut boxes[lane]),
            shared: Arc::clone(&shared),
            settings: Arc::clone(settings),
            helper: helper.clone(),
            asides: asides.clone(),
            backer: backer.clone(),
            ready: ready.clone(),
        };
        handles.push(spawn_lane(plan)?);
    }
    drop(ready);
    for _ in 0..start.lanes {
        match started.recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                shared.set_running(Running::Stopped);
                shared.ring_doorbells();
                return Err(error);
            }
            Err(_) => return Err(StartError::Executor("a lane ended while starting".into())),
        }
    }
    shared.set_startup_bytes(allocator().map_or(0, |allocator| (allocator.usage)().allocated));
    settings.on_change({
        let shared = Arc::clone(&shared);
        move |live| {
            controller::share(&shared, live.maxmemory);
            controller::warn_if_too_small(live.maxmemory, controller::beside_stores(&shared));
            shared.wake_keeper();
            shared.ring_doorbells();
        }
    });
    Ok(Server { shared, lanes: handles, front: front.iter().map(|door| door.address).collect() })
}

impl Server {
    /// The addresses of the front door, with the ports that were really taken.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.front
    }

    /// The ports of the lane doors, in the order of the lanes.
    pub fn lane_ports(&self) -> &[u16] {
        &self.shared.lane_ports
    }

    /// Something that can stop the server from another thread.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.shared))
    }

    /// Waits until the server has been told to stop, drains it, and ends the lanes.
    pub fn wait(self) {
        self.shared.wait_for_end();
        info!("draining");
        let since = Instant::now();
        while since.elapsed() < DRAIN_MAX {
            if self.shared.lines.iter().all(|line| line.drained.load(Ordering::Acquire)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.shared.set_running(Running::Stopped);
        self.shared.ring_doorbells();
        for lane in self.lanes {
            if let Err(error) = lane.join() {
                warn!(%error, "a lane did not end cleanly");
            }
        }
        info!("stopped");
    }
}

/// Opens the front door at every address and a lane door for every lane.
fn open_doors(start: &StartSettings) -> Result<(Vec<Listener>, Vec<Vec<Listener>>), StartError> {
    if let Some(base) = start.lane_port_base
        && usize::from(base) + start.lanes > PORTS
    {
        return Err(StartError::LanePorts { base, lanes: start.lanes });
    }
    let mut front: Vec<Listener> = Vec::new();
    for bind in &start.bind {
        // With port 0 the first address chooses, the others follow.
        let port = front.first().map_or(start.port, |door| door.address.port());
        let address = SocketAddr::new(bind.address, port);
        match Listener::open(Door::Front, address, start.tcp_backlog) {
            Ok(listener) => front.push(listener),
            Err(error) if bind.optional => debug!(%address, %error, "left out"),
            Err(source) => return Err(StartError::Listen { door: Door::Front, address, source }),
        }
    }
    let mut lanes = Vec::new();
    for lane in 0..start.lanes {
        let mut doors: Vec<Listener> = Vec::new();
        for first in &front {
            let wanted = start.lane_port_base.map_or(0, |base| base + lane as u16);
            let port = doors.first().map_or(wanted, |door| door.address.port());
            let address = SocketAddr::new(first.address.ip(), port);
            let listener = Listener::open(Door::Lane, address, start.tcp_backlog)
                .map_err(|source| StartError::Listen { door: Door::Lane, address, source })?;
            doors.push(listener);
        }
        lanes.push(doors);
    }
    Ok((front, lanes))
}

fn new_shared(
    start: &StartSettings,
    hash_seed: HashSeed,
    front: &[Listener],
    lanes: &[Vec<Listener>],
) -> Shared {
    let port_of = |doors: &[Listener]| doors.first().map_or(0, |door| door.address.port());
    let hex = || -> String {
        (0..40).map(|_| char::from_digit(fastrand::u32(..16), 16).expect("below 16")).collect()
    };
    Shared::new(
        (0..start.lanes).map(|_| hex()).collect(),
        hex(),
        hash_seed,
        clock::now(),
        port_of(front),
        lanes.iter().map(|doors| port_of(doors)).collect(),
    )
}

/// A mailbox for every ordered pair of lanes; each lane's ends, by peer.
fn mailboxes(lanes: usize) -> Vec<Vec<Option<Peer>>> {
    // Receiving ends by receiver, filled in the order of the senders.
    let mut receivers: Vec<VecDeque<Option<mailbox::Receiver<Letter>>>> =
        (0..lanes).map(|_| VecDeque::new()).collect();
    let mut senders: Vec<Vec<Option<mailbox::Sender<Letter>>>> = Vec::new();
    for from in 0..lanes {
        let mut ends = Vec::new();
        for (to, inbox) in receivers.iter_mut().enumerate() {
            let (sender, receiver) =
                (from != to).then(|| mailbox::channel(MAILBOX_LETTERS_MAX)).unzip();
            ends.push(sender);
            inbox.push_back(receiver);
        }
        senders.push(ends);
    }
    let pair = |(sender, receiver): (Option<_>, Option<_>)| {
        Some(Peer { sender: sender?, receiver: receiver? })
    };
    senders
        .into_iter()
        .zip(receivers)
        .map(|(senders, inbox)| senders.into_iter().zip(inbox).map(pair).collect())
        .collect()
}

/// Everything a lane's thread needs to begin.
struct LanePlan {
    lane: LaneId,
    core: Option<usize>,
    doors: Doors,
    peers: Vec<Option<Peer>>,
    shared: Arc<Shared>,
    settings: Arc<Settings>,
    helper: Helper,
    asides: AsideHelpers,
    backer: Backer,
    ready: flume::Sender<Result<(), StartError>>,
}

fn spawn_lane(plan: LanePlan) -> Result<glommio::ExecutorJoinHandle<()>, StartError> {
    executor(&format!("lane-{}", plan.lane.0))
        .spawn(move || run_lane(plan))
        .map_err(|error| StartError::Executor(error.to_string()))
}

fn executor(name: &str) -> LocalExecutorBuilder {
    LocalExecutorBuilder::new(Placement::Unbound)
        .name(name)
        .io_memory(EXECUTOR_IO_BYTES)
        .ring_depth(EXECUTOR_RING_DEPTH)
        .preempt_timer(PREEMPTION)
}

/// The life of a lane.
async fn run_lane(plan: LanePlan) {
    if let Some(id) = plan.core
        && !core_affinity::set_for_current(core_affinity::CoreId { id })
    {
        warn!(lane = plan.lane.0, core = id, "the lane could not be pinned to its core");
    }
    let ready = plan.ready.clone();
    let lane = Ring::new().and_then(|ring| {
        let mut core = Core::new(plan.lane, plan.shared, plan.settings, clock::now());
        core.errands = Errands::new(Some(plan.helper));
        core.asides = Asides::new(Some(plan.asides));
        core.backer = Some(plan.backer);
        Lane::new(core, ring, plan.doors, plan.peers)
    });
    let lane = match lane {
        Ok(lane) => {
            let _ = ready.send(Ok(()));
            lane
        }
        Err(error) => {
            let _ = ready.send(Err(StartError::Ring(error)));
            return;
        }
    };
    drop(ready);
    let lane = std::rc::Rc::new(std::cell::RefCell::new(lane));
    let executor = glommio::executor();
    let requests = executor.create_task_queue(
        Shares::Static(REQUEST_SHARES),
        Latency::NotImportant,
        "requests",
    );
    let upkeep =
        executor.create_task_queue(Shares::Static(UPKEEP_SHARES), Latency::NotImportant, "upkeep");
    let due = std::rc::Rc::new(glommio::sync::Semaphore::new(0));
    let background = glommio::spawn_local_into(
        do_upkeep(std::rc::Rc::clone(&lane), std::rc::Rc::clone(&due)),
        upkeep,
    )
    .expect("the queue was just made")
    .detach();
    let serving = glommio::spawn_local_into(take_turns(lane, due), requests)
        .expect("the queue was just made");
    serving.await;
    drop(background);
}

/// The request path: turn after turn, yielding when background work wants the core.
async fn take_turns(
    lane: std::rc::Rc<std::cell::RefCell<Lane>>,
    due: std::rc::Rc<glommio::sync::Semaphore>,
) {
    loop {
        let (goes_on, upkeep_due) = {
            let mut lane = lane.borrow_mut();
            let goes_on = lane.turn().unwrap_or_else(|error| {
                panic!("a lane's io_uring failed and the node cannot go on without it: {error}")
            });
            (goes_on, lane.upkeep_due())
        };
        if !goes_on {
            due.close();
            return;
        }
        if upkeep_due {
            if due.available() == 0 {
                due.signal(1);
            }
            glommio::executor().yield_task_queue_now().await;
        }
    }
}

/// Background work, a slice whenever the request path says that some is due.
async fn do_upkeep(
    lane: std::rc::Rc<std::cell::RefCell<Lane>>,
    due: std::rc::Rc<glommio::sync::Semaphore>,
) {
    while due.acquire(1).await.is_ok() {
        lane.borrow_mut().upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pause_of_a_lane_makes_its_executor_want_the_core() {
        // Several times what glommio's own timer takes.
        const PAUSE: Duration = Duration::from_millis(300);
        let handle = executor("paused").spawn(|| async {
            let start = Instant::now();
            while start.elapsed() < PAUSE {
                std::thread::sleep(PAUSE);
            }
            glommio::executor().need_preempt()
        });
        let wants_the_core = handle.expect("it starts").join().expect("it ends");
        assert!(!wants_the_core, "before its first task it would park for ever");
    }
}
