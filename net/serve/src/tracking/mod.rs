//! Client-side caching: clients that keep copies of what they read are told when it changes.
//!
//! The lane that owns a key remembers which connections have read it (`table`), or that some lane's
//! clients want to hear of every key with a prefix (BCAST). When the key is touched (`interest`) it
//! tells the lanes of those connections, once a turn and behind the answers of that turn, so that no
//! client hears of a change before it has the old value; those lanes tell the connections (`tell`).
//! What cannot be told one by one is told at once: forgetting everything is always right.
//! Protocol: <https://redis.io/docs/latest/develop/reference/client-side-caching/>.

pub mod commands;
pub mod table;
mod tell;

use std::collections::VecDeque;

use bytes::Bytes;
use indexmap::{IndexMap, IndexSet};
use ringlane_base::{Database, LaneId};
use ringlane_command::spec::Group;
use ringlane_command::{Access, Args, CommandSpec, Run, ServeCommand};
use ringlane_store::Key;
use smallvec::SmallVec;

use crate::core::Core;
use crate::interest::{Party, Touch};
use crate::pubsub::registry::Holders;
use crate::ring::ConnectionId;
use table::{Table, Tracker};
use tell::Told;

/// Invalidations of one turn, and those that wait at a lane for their connections, before all that is
/// told is to forget everything.
pub const INVALIDATIONS_MAX: usize = 1 << 16;

/// When reads are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Always,
    /// Those behind `CLIENT CACHING YES`.
    OptIn,
    /// All but those behind `CLIENT CACHING NO`.
    OptOut,
    /// None: every change of a key with one of these prefixes is told.
    Broadcast,
}

/// Where invalidations go instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    pub client: u64,
    pub lane: LaneId,
    pub connection: ConnectionId,
}

/// What a connection has asked for.
#[derive(Debug)]
pub struct Tracking {
    pub mode: Mode,
    pub noloop: bool,
    /// `CLIENT CACHING` was said for the command that follows.
    pub caching: bool,
    pub redirect: Option<Redirect>,
    /// The redirect's target is gone.
    pub broken: bool,
    /// Of `Broadcast`.
    pub prefixes: IndexSet<Bytes>,
}

/// How a command of a tracking client runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub connection: ConnectionId,
    /// What it reads is remembered.
    pub remember: bool,
    pub noloop: bool,
}

impl Tracking {
    /// The mark of its next command, which it has queued if it is in a transaction.
    pub fn mark(
        &mut self,
        connection: ConnectionId,
        spec: &CommandSpec,
        in_transaction: bool,
    ) -> Mark {
        let wanted = match self.mode {
            Mode::Always => true,
            Mode::OptIn => self.caching,
            Mode::OptOut => !self.caching,
            Mode::Broadcast => false,
        };
        // What CLIENT CACHING said holds for the command behind it, or for a whole transaction.
        let lasts = match spec.run {
            Run::Serve(ServeCommand::Client | ServeCommand::Multi) => true,
            Run::Serve(ServeCommand::Exec | ServeCommand::Discard) => false,
            Run::Serve(_) | Run::Store(_) => in_transaction,
        };
        self.caching &= lasts;
        // A script may read any key that it names.
        let reads = spec.access == Access::Read || spec.group == Group::Scripting;
        let remember = wanted && reads;
        Mark { connection, remember, noloop: self.noloop }
    }
}

/// A key that has changed, for the clients of one lane.
#[derive(Clone, Debug, Default)]
pub struct Invalid {
    pub key: Bytes,
    /// Who has read it.
    pub to: Vec<ConnectionId>,
    /// For those whose prefixes match, too.
    pub broadcast: bool,
    /// Who has changed it.
    pub writer: Option<(LaneId, ConnectionId)>,
}

impl Invalid {
    fn cost(&self) -> usize {
        size_of::<Self>() + self.key.len() + self.to.len() * size_of::<ConnectionId>()
    }
}

/// A lane's part in it.
#[derive(Default)]
pub struct Trackings {
    pub table: Table,
    /// Connections of this lane that track.
    pub clients: IndexSet<ConnectionId>,
    /// Prefixes that some lane's clients want to hear of.
    prefixes: IndexMap<Bytes, Holders>,
    /// Who of this lane listens to a prefix.
    broadcasts: IndexMap<Bytes, IndexSet<ConnectionId>>,
    /// The connection whose command is running, if it tracks.
    pub writer: Option<(LaneId, ConnectionId)>,
    /// Invalidations of this turn, by the lane they go to.
    out: Vec<(LaneId, Invalid)>,
    /// Lanes whose clients must forget everything.
    all_out: SmallVec<[LaneId; 4]>,
    /// What this lane's connections are still to be told.
    queue: VecDeque<Told>,
}

impl Trackings {
    #[inline]
    pub fn has_work(&self) -> bool {
        !self.queue.is_empty() || !self.all_out.is_empty() || !self.out.is_empty()
    }

    /// Prefixes of all lanes, each counted once.
    pub fn prefixes(&self) -> usize {
        self.prefixes.len()
    }

    fn out_to(&mut self, lane: LaneId) -> &mut SmallVec<[LaneId; 4]> {
        if !self.all_out.contains(&lane) {
            self.all_out.push(lane);
        }
        &mut self.all_out
    }
}

impl Core {
    /// Keys of this lane that a command has read for a client that tracks.
    #[cold]
    pub fn remember_reads(
        &mut self,
        from: LaneId,
        mark: Mark,
        database: Database,
        spec: &CommandSpec,
        args: Args<'_>,
    ) {
        if !mark.remember {
            return;
        }
        for index in spec.keys_of(args) {
            if let Some(bytes) = args.get(index) {
                self.remember_read(from, mark, database, bytes);
            }
        }
    }

    /// The same for one key; those of other lanes are left to them.
    pub fn remember_read(&mut self, from: LaneId, mark: Mark, database: Database, bytes: &[u8]) {
        let key = self.store.key(database, bytes);
        if !self.owns(key.slot) {
            return;
        }
        let tracker = Tracker { lane: from, connection: mark.connection, noloop: mark.noloop };
        self.tracking.table.add(&key, tracker);
        self.interest.want(&mut self.store, Party::Tracked, &key);
        let lanes = self.shared.lanes();
        let Some(max) = self.live.tracking_table_keys_max else { return };
        while self.tracking.table.keys() > max.div_ceil(lanes) {
            let Some(key) = self.tracking.table.any_key(&mut self.random) else { return };
            self.invalidate(&key.as_key());
            self.stats.tracking_evicted += 1;
        }
    }

    /// A key, or more, has been touched.
    pub fn tell_trackers(&mut self, touch: &Touch) {
        match touch {
            Touch::Key { key, .. } => self.invalidate(&key.as_key()),
            Touch::Sweep(_) | Touch::Many => self.invalidate_all(),
        }
    }

    fn invalidate(&mut self, key: &Key<'_>) {
        let writer = self.tracking.writer;
        let mut lanes: SmallVec<[(LaneId, Invalid); 4]> = SmallVec::new();
        if let Some(trackers) = self.tracking.table.remove(key) {
            self.interest.forget(&mut self.store, Party::Tracked, key);
            for tracker in trackers {
                if tracker.noloop && writer == Some((tracker.lane, tracker.connection)) {
                    continue;
                }
                invalid_of(&mut lanes, tracker.lane).to.push(tracker.connection);
            }
        }
        for (prefix, holders) in &self.tracking.prefixes {
            if key.bytes.starts_with(prefix) {
                for lane in holders.lanes() {
                    invalid_of(&mut lanes, lane).broadcast = true;
                }
            }
        }
        if lanes.is_empty() {
            return;
        }
        if self.tracking.out.len() >= INVALIDATIONS_MAX {
            return self.invalidate_all();
        }
        let bytes = Bytes::copy_from_slice(key.bytes);
        for (lane, invalid) in lanes {
            let invalid = Invalid { key: bytes.clone(), writer, ..invalid };
            self.tracking.out.push((lane, invalid));
        }
    }

    /// Nothing that clients have read of this lane's keys holds any more.
    pub fn invalidate_all(&mut self) {
        let others = !self.tracking.table.is_empty() || !self.tracking.prefixes.is_empty();
        self.tracking.out.clear();
        self.tracking.table.bury();
        for lane in (0..self.shared.lanes() as u16).map(LaneId) {
            if others || lane == self.lane {
                self.tracking.out_to(lane);
            }
        }
    }

    /// Frees what is left of a table that was forgotten as a whole, and what clients have left behind
    /// that are all gone; a slice, called with each slice of upkeep.
    pub fn tend_tracking(&mut self) {
        if self.shared.trackings.load(std::sync::atomic::Ordering::Acquire) == 0
            && !self.tracking.table.is_empty()
        {
            self.tracking.table.bury();
        }
        for key in self.tracking.table.search_slice() {
            self.interest.forget(&mut self.store, Party::Tracked, &key.as_key());
        }
        let (interest, store) = (&mut self.interest, &mut self.store);
        self.tracking
            .table
            .drain_slice(|key| interest.forget(store, Party::Tracked, &key.as_key()));
    }

    /// Clients of `from` have begun or ceased to want to hear of prefixes.
    pub fn take_prefixes(&mut self, from: LaneId, changes: &[(Bytes, bool)]) {
        let tracking = &mut self.tracking;
        let before = tracking.prefixes.is_empty();
        for (prefix, comes) in changes {
            let holders = tracking.prefixes.entry(prefix.clone()).or_default();
            holders.change(from, *comes);
            if holders.is_empty() {
                tracking.prefixes.swap_remove(prefix);
            }
        }
        let after = tracking.prefixes.is_empty();
        if after {
            tracking.prefixes.shrink_to_fit();
        }
        if before != after {
            self.interest.want_all(&mut self.store, Party::Tracked, !after);
        }
    }
}

/// What goes to a lane.
fn invalid_of(lanes: &mut SmallVec<[(LaneId, Invalid); 4]>, lane: LaneId) -> &mut Invalid {
    let at = lanes.iter().position(|(its, _)| *its == lane).unwrap_or_else(|| {
        lanes.push((lane, Invalid::default()));
        lanes.len() - 1
    });
    &mut lanes[at].1
}
