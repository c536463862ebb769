//! What is still arriving: commands that wait for their end or for their turn, and large arguments
//! on their way to the lanes where they are used. Owns how much that is on this lane, and whose turn
//! it is to go on when it passes its share of `maxmemory`: the others are not read from meanwhile, so
//! that thousands of half values cannot take the memory of the process. However large a value, its
//! connection has its turn: nothing is refused.

use std::collections::VecDeque;

use crate::client_memory::SMALL_BYTES;
use crate::connection::{Connection, Phase};
use crate::core::Core;
use crate::ring::{Brings, ConnectionId, RECEIVE_BUFFER_BYTES, Ring};

/// While others wait, one connection at a time may pass the limit, as long as it brings so much ...
const PROGRESS_BYTES: usize = 64 << 10;
/// ... in so many milliseconds, lest a slow one keeps all waiting; ...
const WINDOW_MS: u64 = 100;
/// ... and for so many at most.
const TURN_MS_MAX: u64 = 2000;
/// What a connection that goes on brings before it can be held back again: what the kernel takes from
/// a socket at once, 32 buffers.
const NEXT_BYTES: usize = 32 * RECEIVE_BUFFER_BYTES;
/// After so many receives in a row that did not fill a buffer a connection is trusted to bring little.
const CALM_RECEIVES: u8 = 16;

/// A connection with so many bytes of an unfinished command is one that brings what is long.
const LONG_BYTES_MIN: usize = 64 << 10;

/// Who may pass the limit. Times are Unix milliseconds.
struct Guest {
    id: ConnectionId,
    since: u64,
    /// When it was last seen to make progress, and what it had brought by then.
    seen: u64,
    brought: usize,
    /// A command of it has come to its end: what comes behind waits for another turn.
    done: bool,
}

/// The account of a lane.
#[derive(Default)]
pub struct Intake {
    bytes: usize,
    /// Of those, what is on its way to other lanes.
    forwarded: usize,
    limit: usize,
    /// Connections that are not read from, in the order in which they go on.
    waiting: VecDeque<ConnectionId>,
    guest: Option<Guest>,
}

impl Intake {
    /// Bytes that unfinished commands take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// From how many bytes on connections wait.
    pub fn set_limit(&mut self, bytes: usize) {
        self.limit = bytes;
    }

    /// Whether somebody waits for a turn.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Of one connection: what it took before, and takes now.
    pub fn changed(&mut self, before: usize, after: usize) {
        self.bytes = self.bytes - before + after;
    }

    /// Large arguments were sent to another lane.
    pub fn forward(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.forwarded += bytes;
    }

    /// Other lanes have answered commands that had so many bytes.
    pub fn answered(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.forwarded -= bytes;
    }

    /// Whether so little room is left that connections are to bring a buffer at a time: the kernel
    /// takes all that a socket has before anybody can hold it back.
    pub fn is_tight(&self) -> bool {
        self.bytes > self.limit / 2
    }

    /// What is on its way to other lanes.
    pub fn forwarded(&self) -> usize {
        self.forwarded
    }

    fn is_guest(&self, id: ConnectionId) -> bool {
        self.guest.as_ref().is_some_and(|guest| guest.id == id && !guest.done)
    }
}

impl Core {
    /// Input of a connection has come or was executed: counts what waits now.
    #[inline]
    pub fn count_input(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else { return };
        if connection.input.capacity() > 0 && self.client_memory.is_frugal() {
            connection.release_spare_input();
        }
        let now = connection.unexecuted_bytes();
        if connection.output_len() > SMALL_BYTES {
            self.client_memory.count(connection);
        }
        if now == 0 && connection.arriving == 0 {
            return;
        }
        self.client_memory.count(connection);
        let before = std::mem::replace(&mut connection.arriving, now);
        self.intake.changed(before, now);
        if let Some(guest) = &mut self.intake.guest {
            guest.done |= guest.id == id && now < before;
        }
        let owed = connection.places_waiting() > 0;
        let forwarded = if owed { 0 } else { std::mem::take(&mut connection.forwarded) };
        self.intake.answered(forwarded);
    }

    /// A connection leaves this lane: nothing of it counts here any more.
    pub fn forget_input(&mut self, connection: &Connection) {
        self.client_memory.forget(connection);
        self.intake.changed(connection.arriving, 0);
        self.intake.answered(connection.forwarded);
    }

    /// Whether all connections of the lane could at once bring more than may arrive.
    pub fn is_crowded(&self) -> bool {
        self.connections.len().saturating_mul(NEXT_BYTES) > self.intake.limit
    }

    /// Reads from a connection: as it comes, or one buffer while room is short; where it might become
    /// short before anybody can hold them back, also from those that have brought much.
    pub fn receive(&mut self, id: ConnectionId, ring: &mut Ring) {
        let crowded = self.is_crowded();
        let Some(connection) = self.connections.get(id) else { return };
        let socket = connection.socket();
        let is_long = connection.arriving >= LONG_BYTES_MIN;
        let brings = if is_long { Brings::Long } else { Brings::Usual };
        let might_be_much = crowded && connection.calm_receives < CALM_RECEIVES;
        if might_be_much || self.intake.is_tight() || self.client_memory.is_over() {
            ring.receive_one(id, socket, brings);
        } else {
            ring.receive(id, socket, brings);
        }
    }

    /// A connection has brought so many bytes, and goes on if `more`: not as it comes, where it has
    /// brought little so far and others might do the same.
    #[inline]
    pub fn note_received(&mut self, id: ConnectionId, length: usize, more: bool, ring: &mut Ring) {
        let Some(connection) = self.connections.get(id) else { return };
        if length < RECEIVE_BUFFER_BYTES {
            connection.calm_receives = connection.calm_receives.saturating_add(1);
            return;
        }
        let was_calm = std::mem::take(&mut connection.calm_receives) >= CALM_RECEIVES;
        if was_calm && more && self.is_crowded() {
            ring.cancel_receive(id);
        }
    }

    /// Stops reading from a connection with input that waits, if what is arriving has passed the
    /// limit and it is not this one's turn.
    #[inline]
    pub fn hold_back_if_full(&mut self, id: ConnectionId, ring: &mut Ring) {
        if self.intake.bytes <= self.intake.limit || self.intake.is_guest(id) {
            return;
        }
        let Some(connection) = self.connections.get(id) else { return };
        // Who does not read needs no turn: more of its input would wait like what is there.
        if connection.held_back || connection.arriving == 0 || connection.input_is_full() {
            return;
        }
        connection.held_back = true;
        connection.paused = true;
        if connection.receiving {
            ring.cancel_receive(id);
        }
        self.intake.waiting.push_back(id);
    }

    /// Lets those go on for whom there is room, or whose turn has come.
    pub fn let_input_go_on(&mut self) {
        let now = self.store.now().steady.0;
        let mut room = self.intake.limit.saturating_sub(self.intake.bytes);
        while self.intake.has_waiting() {
            let is_full = room < NEXT_BYTES;
            if is_full && !self.next_is_due(now) {
                return;
            }
            let Some(id) = self.intake.waiting.pop_front() else { return };
            let Some(connection) = self.connections.get(id) else { continue };
            connection.held_back = false;
            self.resume.push(id);
            if connection.input_is_full() {
                continue; // It does not read meanwhile, so it would make nothing of its turn.
            }
            if is_full {
                let brought = connection.arriving;
                self.intake.guest = Some(Guest { id, since: now, seen: now, brought, done: false });
                return;
            }
            room -= NEXT_BYTES;
        }
        self.intake.guest = None;
    }

    /// Whether it is another's turn to pass the limit.
    fn next_is_due(&mut self, now: u64) -> bool {
        if self.intake.forwarded > self.intake.limit {
            // The other lanes will answer, whatever clients do.
            return false;
        }
        let Some(guest) = &mut self.intake.guest else { return true };
        let Some(connection) = self.connections.get(guest.id) else { return true };
        let rests = connection.phase != Phase::Open || connection.input_is_full();
        if guest.done || connection.arriving == 0 || rests {
            return true;
        }
        if connection.arriving >= guest.brought + PROGRESS_BYTES {
            guest.seen = now;
            guest.brought = connection.arriving;
        }
        now.saturating_sub(guest.seen) >= WINDOW_MS
            || now.saturating_sub(guest.since) >= TURN_MS_MAX
    }
}
