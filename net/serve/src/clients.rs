//! The comings and goings of connections: who is let in, how they spread over the lanes, when they
//! are paused for output or input, closed for a limit, or left alone for too long.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use ringlane_base::LaneId;
use tracing::{debug, warn};

use crate::connection::{Connection, Phase, UNAUTHENTICATED_OUTPUT_BYTES_MAX};
use crate::core::Core;
use crate::doors;
use crate::ring::{ConnectionId, Ring};
use crate::session::{Door, Session};

/// Connections that a tick looks at for idleness.
const IDLE_CHECKS_A_TICK: usize = 256;
/// Idle this long, a connection gives its buffers back, in milliseconds.
const BUFFERS_KEPT_MS: u64 = 1000;
/// A connection that is to close may wait this long for its last replies to leave, in milliseconds.
const DRAINING_MS_MAX: u64 = 10_000;
/// Lanes whose numbers of connections differ by no more than this are even.
const UNEVENNESS_MAX: usize = 2;
/// Connections handed over in one tick.
const HANDED_OVER_A_TICK: usize = 64;

const PROTECTED: &str = "-DENIED Ringlane is running in protected mode because no password is set. \
    In this mode connections are only accepted from the loopback interface. To accept others: set \
    a password with CONFIG SET requirepass, or turn this off with CONFIG SET protected-mode no.\r\n";
const FULL: &str = "-ERR max number of clients reached\r\n";

impl Core {
    /// The session of a socket that has just been accepted; None if it is turned away.
    pub fn open_session(&mut self, door: Door, socket: &OwnedFd) -> Option<Session> {
        // The peer may have gone again before it was looked at.
        let (peer, local) = doors::addresses(socket).ok()?;
        let open = self.live.requirepass.is_none();
        let refusal = if self.shared.clients.load(Ordering::Relaxed) >= self.live.maxclients {
            self.shared.rejected_clients.fetch_add(1, Ordering::Relaxed);
            Some(FULL)
        } else if open && self.live.protected_mode && !doors::is_loopback(peer.ip()) {
            Some(PROTECTED)
        } else {
            None
        };
        if let Some(text) = refusal {
            debug!(%peer, "connection turned away");
            // A new socket has room for a line; if not, closing says enough.
            let _ = rustix::io::write(socket, text.as_bytes());
            return None;
        }
        self.shared.clients.fetch_add(1, Ordering::Relaxed);
        if let Some(seconds) = self.live.tcp_keepalive_seconds {
            doors::keep_alive(socket, seconds);
        }
        let id = self.shared.next_client_id();
        let mut session = Session::new(id, door, peer, local, self.store.now().steady.0);
        session.authenticated = open;
        Some(session)
    }

    /// The lane with the fewest connections of the front door; this one if it is among them.
    pub fn lane_with_fewest(&self) -> LaneId {
        let count = |lane: usize| self.shared.lines[lane].front_connections.load(Ordering::Relaxed);
        let mut best = self.lane;
        for lane in 0..self.shared.lanes() {
            if count(lane) < count(best.index()) {
                best = LaneId(lane as u16);
            }
        }
        best
    }

    /// Hands over quiet connections while some lane has clearly fewer than this one. Several lanes
    /// may find the same one empty and overfill it; what it has too much it then spreads itself.
    pub fn even_out(&mut self, ring: &mut Ring) {
        let lanes = self.shared.lanes();
        if lanes == 1 {
            return;
        }
        let counts: Vec<usize> = self
            .shared
            .lines
            .iter()
            .map(|line| line.front_connections.load(Ordering::Relaxed))
            .collect();
        let Handover { mut surplus, mut room } = Handover::of(self.lane.index(), &counts);
        surplus = surplus.min(HANDED_OVER_A_TICK);
        for index in 0..self.connections.places() {
            if surplus == 0 {
                break;
            }
            let Some(connection) = self.connections.at(index) else { continue };
            let movable = connection.is_quiet()
                && connection.session.door == Door::Front
                && !connection.is_bound()
                && connection.leaving_for.is_none()
                && connection.session.transaction.is_none()
                && connection.session.watched.is_empty()
                && connection.receiving;
            if !movable {
                continue;
            }
            let Some(to) = room.iter().position(|room| *room > 0) else { break };
            room[to] -= 1;
            surplus -= 1;
            let id = connection.id;
            ring.cancel_receive(id);
            let connection = self.connections.get(id).expect("just seen");
            connection.leaving_for = Some(LaneId(to as u16));
        }
    }

    /// Stops reading from a connection whose input piles up unexecuted.
    pub fn pause_reading_if_full(&mut self, id: ConnectionId, ring: &mut Ring) {
        let Some(connection) = self.connections.get(id) else { return };
        if connection.paused || !connection.input_is_full() {
            return;
        }
        connection.paused = true;
        if connection.receiving {
            ring.cancel_receive(id);
        }
    }

    /// Whether the output of a connection has passed `client-output-buffer-limit`, or the small
    /// bound of one that has not authenticated. Counted and logged.
    pub fn output_limit_reached(&mut self, id: ConnectionId) -> bool {
        let now = self.store.now().steady.0;
        let Some(connection) = self.connections.get(id) else { return false };
        let classes = &self.live.output_limits;
        // What MONITOR shows comes unasked, too.
        let listens = connection.listening.is_some() || connection.monitor;
        let limits = if listens { classes.pubsub } else { classes.normal };
        if connection.phase == Phase::Closing {
            return false; // Decided already; a closed connection counts once.
        }
        let waiting = connection.output_len();
        if !connection.session.authenticated && waiting > UNAUTHENTICATED_OUTPUT_BYTES_MAX {
            self.stats.unauthenticated_closed += 1;
            warn!(peer = %connection.session.peer, waiting, "closed: too much pending output for a client without password");
            return true;
        }
        if waiting as u64 > limits.soft_bytes && limits.soft_bytes > 0 {
            connection.above_soft_since_ms.get_or_insert(now);
        } else {
            connection.above_soft_since_ms = None;
        }
        let soft = connection
            .above_soft_since_ms
            .is_some_and(|since| now.saturating_sub(since) > limits.soft_seconds * 1000);
        let hard = limits.hard_bytes > 0
            && waiting as u64 > limits.hard_bytes
            && connection.output_beside_one_value() as u64 > limits.hard_bytes;
        if hard || soft {
            self.stats.output_limit_closed += 1;
            warn!(
                peer = %connection.session.peer,
                waiting,
                "closed: pending output passed client-output-buffer-limit"
            );
        }
        hard || soft
    }

    /// Looks at some connections, from `from` on: closes those idle beyond `timeout`, and those whose
    /// output has waited too long; takes the buffers of those that rest. Returns where to go on.
    pub fn check_idle(&mut self, from: usize) -> usize {
        let places = self.connections.places();
        let until = (from + IDLE_CHECKS_A_TICK).min(places);
        let kept_ms = if self.client_memory.is_frugal() { 0 } else { BUFFERS_KEPT_MS };
        let now = self.store.now().steady.0;
        for index in from..until {
            let Some(connection) = self.connections.at(index) else { continue };
            let id = connection.id;
            let idle_ms = now.saturating_sub(connection.session.active_ms);
            let drains = connection.phase == Phase::Draining;
            if drains && idle_ms > DRAINING_MS_MAX {
                self.close(id);
            } else if self.is_overdue(id, idle_ms) {
                self.stats.timeouts += 1;
                self.close(id);
            } else if self.output_limit_reached(id) {
                self.close(id);
            } else if idle_ms > kept_ms
                && let Some(connection) = self.connections.get(id)
            {
                connection.release_buffers();
                self.client_memory.count(connection);
            }
        }
        if until == places { 0 } else { until }
    }

    fn is_overdue(&mut self, id: ConnectionId, idle_ms: u64) -> bool {
        let Some(seconds) = self.live.timeout_seconds else { return false };
        let waits = |connection: &mut Connection| {
            connection.phase == Phase::Open
                && !connection.barrier
                && !connection.held_back
                && connection.places_waiting() == 0
                && !connection.is_restricted()
        };
        idle_ms > u64::from(seconds) * 1000 && self.connections.get(id).is_some_and(waits)
    }

    /// Writes this lane's line for the others to read.
    pub fn publish(&self) {
        let line = &self.shared.lines[self.lane.index()];
        let keys: usize = (0..self.live.databases)
            .map(|database| self.store.len(ringlane_base::Database(database)))
            .sum();
        line.keys.store(keys, Ordering::Relaxed);
        if self.live.maxmemory.is_none() {
            line.memory.store(self.store.memory().total(), Ordering::Relaxed);
        }
    }
}

/// How many connections a lane is to give away, and how many each lane has room for.
struct Handover {
    surplus: usize,
    room: Vec<usize>,
}

impl Handover {
    /// What the lane `mine` does when the lanes have so many connections.
    fn of(mine: usize, counts: &[usize]) -> Self {
        let fewest = counts.iter().copied().min().unwrap_or(0);
        if counts[mine] <= fewest + UNEVENNESS_MAX {
            return Self { surplus: 0, room: Vec::new() };
        }
        let all: usize = counts.iter().sum();
        // Where the share is no whole number, givers keep the smaller and takers fill up to the larger.
        let (kept, filled) = (all / counts.len(), all.div_ceil(counts.len()));
        let room = counts.iter().map(|count| filled.saturating_sub(*count)).collect();
        Self { surplus: counts[mine].saturating_sub(kept), room }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All lanes look at the same counts and hand over at once, as they do when their ticks meet.
    fn tick(counts: &[usize]) -> Vec<usize> {
        let mut after = counts.to_vec();
        for mine in 0..counts.len() {
            let Handover { mut surplus, room } = Handover::of(mine, counts);
            for (to, room) in room.into_iter().enumerate() {
                let given = room.min(surplus);
                surplus -= given;
                after[mine] -= given;
                after[to] += given;
            }
        }
        after
    }

    #[test]
    fn lanes_become_even_and_rest() {
        const TICKS_MAX: usize = 4;
        for start in [
            &[10, 10, 0, 0][..],
            &[6, 6, 6, 6, 6, 6, 6, 2],
            &[5, 5, 5, 5, 5, 5, 5, 1],
            &[6, 6, 6, 2],
            &[0, 0, 0, 40],
            &[7, 3],
            &[1000, 1, 999, 0, 500],
        ] {
            let mut counts = start.to_vec();
            for _ in 0..TICKS_MAX {
                counts = tick(&counts);
            }
            let (most, fewest) = (counts.iter().max(), counts.iter().min());
            let apart = most.expect("lanes") - fewest.expect("lanes");
            assert!(apart <= UNEVENNESS_MAX, "{start:?} became {counts:?}");
            assert_eq!(tick(&counts), counts, "{start:?} does not rest");
            assert_eq!(counts.iter().sum::<usize>(), start.iter().sum());
        }
    }
}
