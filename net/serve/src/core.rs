//! One lane's state: its store, its connections, what it waits for. Knows no system call: what must
//! reach the kernel is left in lists (`dirty`, `closing`) that the turn works off.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use ringlane_base::{LaneId, Now, Slot};
use ringlane_command::{Args, CommandError, CommandSpec, Flags, HandlerLimits};
use ringlane_resp::{BLOB_BYTES_MIN, BLOB_RESERVE_BYTES, Limits};
use ringlane_script::{Clocks, LaneScripts, ScriptLimits, TimeLimits};
use ringlane_settings::{LiveSettings, Settings};
use ringlane_store::{Options, Store};

use crate::aside::Asides;
use crate::backer::Backer;
use crate::client_memory::ClientMemory;
use crate::clock;
use crate::connection::{Connection, Connections, Phase};
use crate::controller::{self, Parts, split_budget};
use crate::errands::Errands;
use crate::gate::Gate;
use crate::gather::Gathers;
use crate::intake::Intake;
use crate::interest::Interest;
use crate::locks::Locks;
use crate::long::Longs;
use crate::monitor::Monitors;
use crate::outbox::Outbox;
use crate::parcel::Parcel;
use crate::pubsub::PubSub;
use crate::reply::RespReply;
use crate::reply_buffer::{ReplyBuffer, Stretch};
use crate::ring::ConnectionId;
use crate::shared::Shared;
use crate::stats::LaneStats;
use crate::together::Togethers;
use crate::tracking::Trackings;
use crate::watch::Watches;

const NS_PER_MS: u64 = 1_000_000;
/// A value that is longer than this part of what its lane may keep claims room before it is kept. Shorter ones
/// leave the lane's part to the looks, which keep room for what arrives.
const CLAIM_PART: usize = 16;
/// Microseconds of a batch after which each connection runs one command of it more at most; what is
/// left of a pipeline is planned again in the next turn.
const BATCH_BUDGET_US: u64 = 150;

/// What scripts say with `redis.log`.
fn log_of_script(level: u8, words: &[u8]) {
    let words = String::from_utf8_lossy(words);
    match level {
        0 => tracing::debug!("script: {words}"),
        1 | 2 => tracing::info!("script: {words}"),
        _ => tracing::warn!("script: {words}"),
    }
}

/// Everything a lane owns but its ring.
pub struct Core {
    pub lane: LaneId,
    pub shared: Arc<Shared>,
    pub settings: Arc<Settings>,
    pub live: Arc<LiveSettings>,
    live_version: u64,
    pub store: Store,
    pub connections: Connections,
    pub outbox: Outbox,
    pub gathers: Gathers,
    pub togethers: Togethers,
    pub longs: Longs,
    /// Commands that must not hold the lane.
    pub asides: Asides,
    /// Who backs the store's pages ahead; the store does without.
    pub backer: Option<Backer>,
    /// What waits for a disk.
    pub errands: Errands,
    pub locks: Locks,
    /// Commands that wait for something to take.
    pub blocked: crate::blocked::Blocked,
    /// Who waits for keys to change.
    pub interest: Interest,
    pub watches: Watches,
    /// What this lane has compiled of scripts and functions.
    pub scripts: LaneScripts,
    pub stats: LaneStats,
    /// The settings that handlers obey.
    pub handler_limits: HandlerLimits,
    /// Commands of at least this many ticks go into the slow log.
    pub slow_ticks: u64,
    /// Commands of at least this many ticks go into the slow log or become events of LATENCY.
    pub watch_ticks: u64,
    pub ticks_per_us: u64,
    /// Ticks of a batch after which the rest of a pipeline waits for the next turn.
    pub batch_ticks: u64,
    /// What an authenticated client may send.
    pub limits: Limits,
    /// What the store was held to last; None: it is to be told anew.
    limits_set: Option<ringlane_store::Limits>,
    /// What is still arriving.
    pub intake: Intake,
    /// What the connections' buffers take.
    pub client_memory: ClientMemory,
    /// Whether large input waits until somebody has looked at the process.
    pub gate: Gate,
    /// Connections with input to parse, and the turn since which they wait.
    pub ready: VecDeque<(ConnectionId, u64)>,
    /// Connections with output to send.
    pub dirty: Vec<ConnectionId>,
    /// Connections whose end has been decided.
    pub closing: Vec<ConnectionId>,
    /// Connections whose receiving may go on.
    pub resume: Vec<ConnectionId>,
    /// Connections to hand to another lane, once quiet.
    pub leaving: Vec<ConnectionId>,
    /// Work on the whole keyspace, done in slices.
    pub jobs: VecDeque<crate::jobs::Job>,
    /// Questions to all lanes that this lane asks and must go on answering itself, in slices.
    pub own_questions: VecDeque<(u32, Box<crate::ask::Question>)>,
    /// Parcels that have taken their time, with the lane that sent each and the request that is next:
    /// one a lane at most.
    pub cut_parcels: Vec<(LaneId, Box<Parcel>, usize)>,
    /// What `CLIENT PAUSE` holds back, while it does.
    pub pause: Option<crate::pause::Pause>,
    /// Of the batch that is executed.
    pub cuts: Vec<crate::plan::Cut>,
    pub pubsub: PubSub,
    pub monitors: Monitors,
    pub tracking: Trackings,
    pub random: fastrand::Rng,
    /// Reused for replies on their way through this lane.
    pub scratch: ReplyBuffer,
}

impl Core {
    pub fn new(lane: LaneId, shared: Arc<Shared>, settings: Arc<Settings>, now: Now) -> Self {
        let live = settings.live();
        let mut random = fastrand::Rng::new();
        let mut store = Store::new(Options {
            hash_seed: shared.hash_seed,
            random_seed: random.u64(..),
            databases: live.databases,
            slots: shared.slots_of(lane),
        });
        store.begin_turn(now);
        let lanes = shared.lanes();
        let pubsub = PubSub::new(lanes);
        let mut scripts = LaneScripts::new(
            Arc::clone(&shared.scripts),
            Clocks {
                cpu_ns: clock::thread_cpu_ns,
                wall_us: clock::wall_us,
                ticks: clock::ticks,
                log: log_of_script,
            },
            shared.slots_of(lane),
        );
        scripts.set_listeners(pubsub.registry.clone());
        Self {
            lane,
            settings,
            live_version: u64::MAX,
            limits: limits_of(&live),
            limits_set: None,
            intake: Intake::default(),
            client_memory: ClientMemory::default(),
            gate: Gate::default(),
            live,
            store,
            connections: Connections::default(),
            outbox: Outbox::new(lane, lanes),
            gathers: Gathers::default(),
            togethers: Togethers::default(),
            longs: Longs::default(),
            asides: Asides::new(None),
            backer: None,
            errands: Errands::new(None),
            locks: Locks::default(),
            blocked: crate::blocked::Blocked::default(),
            interest: Interest::default(),
            watches: Watches::default(),
            scripts,
            stats: LaneStats::new(),
            handler_limits: HandlerLimits::default(),
            slow_ticks: u64::MAX,
            watch_ticks: u64::MAX,
            ticks_per_us: clock::ticks_per_us(),
            batch_ticks: BATCH_BUDGET_US * clock::ticks_per_us(),
            ready: VecDeque::new(),
            dirty: Vec::new(),
            closing: Vec::new(),
            resume: Vec::new(),
            leaving: Vec::new(),
            jobs: VecDeque::new(),
            own_questions: VecDeque::new(),
            cut_parcels: Vec::new(),
            pause: None,
            cuts: Vec::new(),
            pubsub,
            monitors: Monitors::default(),
            tracking: Trackings::default(),
            random,
            scratch: ReplyBuffer::default(),
            shared,
        }
    }

    /// Whether this lane owns the slot.
    #[inline]
    pub fn owns(&self, slot: Slot) -> bool {
        self.shared.lane_of(slot) == self.lane
    }

    /// Where clients find this server's other doors: the first bound address that is not a wildcard
    /// is what they already reached.
    pub fn door_host(&mut self, id: ConnectionId) -> std::net::IpAddr {
        let unspecified = std::net::IpAddr::from([127, 0, 0, 1]);
        self.connections.get(id).map_or(unspecified, |it| it.session.local.ip().to_canonical())
    }

    /// Takes over settings that have changed, and the memory that the controller allows.
    pub fn refresh_settings(&mut self) {
        let version = self.settings.version();
        if version != self.live_version {
            self.live_version = version;
            self.live = self.settings.live();
            self.limits = limits_of(&self.live);
            self.handler_limits = HandlerLimits {
                value_bytes_max: self.live.proto_max_bulk_bytes,
                databases: self.live.databases,
                hll_sparse_bytes_max: self.live.hll_sparse_max_bytes,
                elements_at_once_max: self
                    .live
                    .aside_elements_max
                    .filter(|_| self.asides.has_helpers())
                    .unwrap_or(usize::MAX),
            };
            self.scripts.set_limits(ScriptLimits {
                time: TimeLimits {
                    cpu_ns: self.live.script_time_ms * NS_PER_MS,
                    instructions: self.live.script_instructions,
                    slice_ticks: self.slice_ticks(),
                },
                memory_bytes_max: self.live.script_memory_bytes,
                undeclared: self.live.script_allow_undeclared_keys,
            });
            self.store.set_pack_limits(self.live.pack_limits);
            self.slow_ticks = self
                .live
                .slowlog_log_slower_than_us
                .map_or(u64::MAX, |slower| slower.saturating_mul(self.ticks_per_us));
            let threshold = self.live.latency_monitor_threshold_ms.map_or(u64::MAX, |threshold| {
                threshold.saturating_mul(1000).saturating_mul(self.ticks_per_us)
            });
            self.watch_ticks = self.slow_ticks.min(threshold);
            self.store.set_notice_mask(self.live.notify_keyspace_events);
        }
        self.refresh_monitors();
        self.limits_set = None;
        self.heed_budget();
    }

    /// Publishes what this lane takes, and holds its store to what the controller allows now. Whether
    /// the store may take less than before, so that something may have to go.
    pub fn heed_budget(&mut self) -> bool {
        self.heed_budget_while(0)
    }

    /// The same while so many bytes are on their way from the buffers into the store.
    fn heed_budget_while(&mut self, moving: usize) -> bool {
        let line = &self.shared.lines[self.lane.index()];
        let clients = self.client_memory.sum();
        let buffers = (clients.owned + self.intake.forwarded()).saturating_sub(moving);
        let used = self.store.memory().total();
        line.clients.store(clients.total(), Ordering::Relaxed);
        if self.live.maxmemory.is_some() {
            line.memory.store(used, Ordering::Relaxed);
            line.buffers.store(buffers, Ordering::Relaxed);
            self.shared.note_taken(self.lane, ringlane_store::thread_taken());
            self.stats.looks_awaited += u64::from(self.gate.close_if_spent(&self.shared, line));
        }
        line.full.store(self.store.refuses_writes(), Ordering::Relaxed);
        let budget = line.budget.load(Ordering::Relaxed);
        let policy = self.live.policy;
        let bytes_max = if self.live.maxmemory.is_some() && budget > 0 {
            let Parts { store, clients, input } = split_budget(budget, used, buffers, policy);
            self.intake.set_limit(input);
            self.client_memory.set_limit(clients);
            Some(store)
        } else {
            self.intake.set_limit(usize::MAX);
            self.client_memory.set_limit(usize::MAX);
            None
        };
        let tight = self.intake.is_tight() || self.gate.is_closed() || self.is_crowded();
        self.limits.blob_reserve_bytes = if tight { BLOB_BYTES_MIN } else { BLOB_RESERVE_BYTES };
        self.store.set_settling(self.shared.settling.load(Ordering::Relaxed));
        let limits = ringlane_store::Limits { bytes_max, entries_max: None, policy };
        if self.limits_set == Some(limits) {
            return false;
        }
        let before = self.limits_set.replace(limits).and_then(|limits| limits.bytes_max);
        self.store.set_limits(limits);
        let whole = self.live.maxmemory.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        self.store.set_whole_limit(whole);
        bytes_max.is_some_and(|bytes_max| before.is_none_or(|before| bytes_max < before))
    }

    /// Before a long value is kept: makes room for it where there is some, so that it is not evicted as soon as it is
    /// there. Buffers of the lane `from` hold it.
    #[inline]
    pub fn claim_room(&mut self, from: LaneId, spec: &CommandSpec, args: Args<'_>) {
        if !args.blobs().is_empty() && spec.flags.contains(Flags::DENYOOM) {
            self.claim_room_for(from, args.blobs().iter().map(Bytes::len).sum());
        }
    }

    #[cold]
    fn claim_room_for(&mut self, from: LaneId, bytes: usize) {
        let limit = self.limits_set.and_then(|limits| limits.bytes_max).unwrap_or(usize::MAX);
        let is_long = bytes > limit / CLAIM_PART;
        if is_long && self.store.memory().total().saturating_add(bytes) > limit {
            controller::claim(&self.shared, self.lane, from, bytes);
            self.heed_budget_while(bytes);
        }
    }

    /// Has pages backed that the store will soon need.
    pub fn ask_for_pages(&mut self) {
        if let Some(arena) = self.store.take_short_arena()
            && let Some(backer) = &self.backer
        {
            backer.back(arena);
        }
    }

    /// Puts a connection that has input into the list of those to parse.
    pub fn mark_ready(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get(id)
            && !connection.ready
            && connection.input_len() > 0
        {
            connection.ready = true;
            self.ready.push_back((id, self.stats.turns));
        }
    }

    /// Puts a connection that has output into the list of those to send.
    #[inline]
    pub fn mark_dirty(dirty: &mut Vec<ConnectionId>, connection: &mut Connection) {
        if !connection.dirty {
            connection.dirty = true;
            dirty.push(connection.id);
        }
    }

    /// Writes one reply of a connection, in its order.
    pub fn reply(&mut self, id: ConnectionId, write: impl FnOnce(&mut RespReply<'_>)) {
        let Some(connection) = self.connections.get(id) else { return };
        let version = connection.session.version;
        let target = connection.reply_target();
        let from = target.mark();
        write(&mut RespReply::new(target, version));
        connection.reply_written(from);
        Self::mark_dirty(&mut self.dirty, connection);
    }

    /// Answers with an error.
    pub fn refuse(&mut self, id: ConnectionId, error: &CommandError) {
        self.stats.note_error(error.to_string().as_bytes());
        self.reply(id, |reply| reply.error_line(error));
    }

    /// Whether a connection is still being served.
    pub fn is_open(&mut self, id: ConnectionId) -> bool {
        self.connections.get(id).is_some_and(|connection| connection.phase == Phase::Open)
    }

    /// Nothing more is read from a connection; it closes when its output has left.
    pub fn drain(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get(id)
            && connection.phase == Phase::Open
        {
            connection.phase = Phase::Draining;
            Self::mark_dirty(&mut self.dirty, connection);
        }
    }

    /// Ends a connection now, whatever it still has to send.
    pub fn close(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get(id)
            && connection.phase != Phase::Closing
        {
            connection.phase = Phase::Closing;
            self.closing.push(id);
            self.unblock_connection(id, crate::blocked::Unblock::Gone);
            self.let_go(id);
        }
    }

    /// Nobody is to send a connection anything any more: it was reset or goes.
    pub fn let_go(&mut self, id: ConnectionId) {
        self.stop_listening(id);
        self.stop_monitoring(id);
        self.stop_tracking(id);
    }

    /// A reply that a connection reserved a place for has come.
    pub fn fill_place(
        &mut self,
        id: ConnectionId,
        sequence: u32,
        reply: &ReplyBuffer,
        stretch: Stretch,
    ) {
        let Some(connection) = self.connections.get(id) else { return };
        connection.fill_place(sequence, reply, stretch);
        if connection.forwarded > 0 && connection.places_waiting() == 0 {
            self.intake.answered(std::mem::take(&mut connection.forwarded));
        }
        let waited = connection.blocked.is_some();
        let waits_for_room = connection.input_len() > 0;
        Self::mark_dirty(&mut self.dirty, connection);
        if waited {
            self.waited_for(id, sequence);
        }
        if waits_for_room {
            self.mark_ready(id);
        }
    }

    /// The command that held up a connection is done.
    pub fn lift_barrier(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get(id) {
            connection.barrier = false;
        }
        self.run_held_back(id);
        self.mark_ready(id);
    }
}

/// What a connection may send that owes no password.
fn limits_of(live: &LiveSettings) -> Limits {
    Limits {
        command_bytes_max: live.client_query_buffer_bytes,
        ..Limits::authenticated(live.proto_max_bulk_bytes)
    }
}
