//! What the connections of a lane take beside its store: input that waits, and replies that their
//! clients have not read. Owns the sum, and what follows from it: connections make do with less when
//! it is much for `maxmemory`, and go when it passes `maxmemory-clients`. What is still arriving is
//! bounded by `intake`, one connection's output by `client-output-buffer-limit`.

use std::sync::atomic::Ordering;

use tracing::warn;

use crate::connection::{Connection, Phase};
use crate::core::Core;
use crate::ring::ConnectionId;

/// Output up to here is not counted before it is sent, nor a footprint up to here anew when it has
/// left.
pub const SMALL_BYTES: usize = 4 << 10;

/// Bytes of one connection's buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Buffers of its own.
    pub owned: usize,
    /// Values that its replies hold; the store may hold them too.
    pub lent: usize,
}

impl Footprint {
    pub fn total(self) -> usize {
        self.owned + self.lent
    }
}

/// The sum over a lane's connections.
#[derive(Debug, Default)]
pub struct ClientMemory {
    sum: Footprint,
    limit: usize,
}

impl ClientMemory {
    pub fn sum(&self) -> Footprint {
        self.sum
    }

    /// From how many bytes on connections with much pending output wait for their clients to read.
    pub fn set_limit(&mut self, bytes: usize) {
        self.limit = bytes;
    }

    /// Whether there is a limit at all.
    #[inline]
    pub fn is_bounded(&self) -> bool {
        self.limit != usize::MAX
    }

    /// Whether buffers are given back as soon as they are empty.
    #[inline]
    pub fn is_frugal(&self) -> bool {
        self.sum.total() > self.limit / 2
    }

    /// Whether connections with much pending output wait for their clients to read.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.sum.total() > self.limit
    }

    /// Counts a connection as it is now, and tells it whether to make do with less.
    #[inline]
    pub fn count(&mut self, connection: &mut Connection) {
        let now = connection.footprint();
        let before = std::mem::replace(&mut connection.counted, now);
        self.sum.owned = self.sum.owned - before.owned + now.owned;
        self.sum.lent = self.sum.lent - before.lent + now.lent;
        self.tell(connection);
    }

    /// Tells a connection whether to make do with less from now on.
    #[inline]
    pub fn tell(&self, connection: &mut Connection) {
        connection.thrifty = self.is_over();
    }

    /// A connection has gone.
    pub fn forget(&mut self, connection: &Connection) {
        self.sum.owned -= connection.counted.owned;
        self.sum.lent -= connection.counted.lent;
    }
}

impl Core {
    /// A command of a batch has run: whether the next one of its connection waits, since buffers take
    /// too much and this connection has its share of that. What they take is known to a few kilobytes
    /// a connection, and not only when the batch is over: replies may be long.
    #[inline]
    pub fn must_pause(&mut self, id: ConnectionId) -> bool {
        if !self.client_memory.is_bounded() {
            return false;
        }
        let Some(connection) = self.connections.get(id) else { return false };
        if connection.output_len() >= connection.counted.total() + SMALL_BYTES {
            self.client_memory.count(connection);
        } else {
            self.client_memory.tell(connection);
        }
        connection.thrifty && connection.is_owed_enough()
    }

    /// All that a connection was given to send has left.
    pub fn output_has_left(&mut self, id: ConnectionId) {
        let frugal = self.client_memory.is_frugal();
        let Some(connection) = self.connections.get(id) else { return };
        connection.clear_flight(frugal);
        if connection.counted.total() > SMALL_BYTES {
            self.client_memory.count(connection);
        }
    }

    /// Closes connections of this lane, those that take most first, if all lanes' together take more
    /// than `maxmemory-clients`: each lane closes its share of what is too much. Those spared by
    /// `CLIENT NO-EVICT` stay.
    pub fn keep_clients_within_bound(&mut self) {
        let Some(bound) = self.live.clients_bytes_max() else { return };
        let all: usize = self.shared.lines.iter().map(|l| l.clients.load(Ordering::Relaxed)).sum();
        let bound = usize::try_from(bound).unwrap_or(usize::MAX);
        if all <= bound {
            return;
        }
        let own = self.client_memory.sum().total();
        let mut excess = (all - bound).min(own) as u128 * own as u128 / all as u128;
        let evictable = |it: &&Connection| it.phase != Phase::Closing && !it.session.no_evict;
        let mut largest: Vec<(usize, ConnectionId)> = self
            .connections
            .iter()
            .filter(evictable)
            .map(|connection| (connection.counted.total(), connection.id))
            .filter(|(bytes, _)| *bytes > 0)
            .collect();
        largest.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        for (bytes, id) in largest {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(bytes as u128);
            self.stats.clients_evicted += 1;
            if let Some(connection) = self.connections.get(id) {
                let peer = connection.session.peer;
                warn!(%peer, bytes, "closed: all clients' buffers together passed maxmemory-clients");
            }
            self.close(id);
        }
    }
}
