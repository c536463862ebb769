//! Whose bytes are parsed next, and a batch of them from plan to settlement.

use std::collections::VecDeque;

use super::Lane;
use crate::plan::{Place, Source};
use crate::ring::{ConnectionId, RECEIVE_BUFFER_BYTES};

/// Bytes that have arrived and wait for their batch.
pub(super) struct Arrival {
    pub(super) connection: ConnectionId,
    pub(super) buffer: u16,
    pub(super) length: usize,
    /// The turn in which they arrived.
    pub(super) turn: u64,
}

/// What waits until the lane's gate opens.
#[derive(Default)]
pub(super) struct SetAside {
    /// In the order in which they came.
    arrivals: VecDeque<Arrival>,
    /// Connections whose receiving ended since all buffers were in use.
    pub(super) connections: Vec<ConnectionId>,
}

impl Lane {
    /// Takes up what waited for the gate, if it has opened.
    pub(super) fn open_gate(&mut self) {
        if !self.core.gate.open_if_looked(&self.core.shared) {
            return;
        }
        self.core.resume.append(&mut self.set_aside.connections);
        while let Some(arrival) = self.set_aside.arrivals.pop_back() {
            if let Some(connection) = self.core.connections.get(arrival.connection) {
                connection.set_aside = false;
            }
            self.arrivals.push_front(arrival);
        }
    }

    /// Whether bytes of a connection are in the ring's buffers.
    pub(super) fn has_arrivals_of(&self, id: ConnectionId) -> bool {
        self.arrivals.iter().chain(&self.set_aside.arrivals).any(|it| it.connection == id)
    }

    /// Parses, fetches and executes one batch. False if there was nothing to do.
    pub(super) fn run_batch(&mut self) -> bool {
        let mut batch = std::mem::take(&mut self.batch);
        while !batch.is_full() && batch.sources.len() < usize::from(crate::ring::RECEIVE_BUFFERS) {
            let Some(source) = self.next_source() else { break };
            batch.sources.push(source);
            let index = batch.sources.len() as u32 - 1;
            self.core.plan(&mut batch, index, &self.ring);
        }
        let any = !batch.sources.is_empty();
        self.core.prefetch(&batch, &self.ring);
        self.core.execute_batch(&batch, &self.ring);
        self.core.settle(&mut batch, &mut self.ring);
        self.batch = batch;
        any
    }

    /// The next connection's bytes. Whoever has waited for more turns comes first, so that neither those
    /// who send single commands nor those whose pipelines take many batches starve the others.
    fn next_source(&mut self) -> Option<Source> {
        let left_over = self.core.ready.front().map_or(u64::MAX, |(_, turn)| *turn);
        if self.arrivals.front().is_some_and(|arrival| arrival.turn <= left_over) {
            self.next_arrived().or_else(|| self.next_left_over())
        } else {
            self.next_left_over().or_else(|| self.next_arrived())
        }
    }

    /// The next connection's bytes that have just arrived.
    fn next_arrived(&mut self) -> Option<Source> {
        while let Some(arrival) = self.arrivals.pop_front() {
            let (id, buffer, length) = (arrival.connection, arrival.buffer, arrival.length);
            let Some(connection) = self.core.connections.get(id) else {
                self.ring.recycle(buffer);
                continue;
            };
            connection.session.active_ms = self.core.store.now().steady.0;
            // What fits a buffer by itself passes: it takes little.
            if self.core.gate.is_closed()
                && (connection.set_aside
                    || length == RECEIVE_BUFFER_BYTES
                    || connection.input_len() > 0
                    || !connection.parser.is_idle())
            {
                connection.set_aside = true;
                self.set_aside.arrivals.push_back(arrival);
                continue;
            }
            self.core.client_memory.tell(connection);
            let waits = connection.input_len() > 0 || !connection.may_execute();
            if !waits && !connection.in_batch {
                connection.in_batch = true;
                let bytes = Place::Received { buffer, length };
                return Some(Source { connection: id, bytes, from: 0, starved: false });
            }
            if connection.in_batch {
                // Its bytes before these are in this very batch: these wait for the next.
                self.arrivals.push_front(arrival);
                break;
            }
            connection.input.extend_from_slice(self.ring.received(buffer, length));
            self.ring.recycle(buffer);
            self.core.pause_reading_if_full(id, &mut self.ring);
            self.core.count_input(id);
            self.core.hold_back_if_full(id, &mut self.ring);
            self.core.mark_ready(id);
        }
        None
    }

    /// The next connection's bytes that it had to leave for later.
    fn next_left_over(&mut self) -> Option<Source> {
        for _ in 0..self.core.ready.len() {
            let (id, turn) = self.core.ready.pop_front()?;
            let Some(connection) = self.core.connections.get(id) else { continue };
            if connection.in_batch {
                self.core.ready.push_back((id, turn));
                continue;
            }
            connection.ready = false;
            self.core.client_memory.tell(connection);
            if connection.input_len() == 0 || !connection.may_execute() {
                continue;
            }
            connection.in_batch = true;
            let bytes = Place::Kept(std::mem::take(&mut connection.input));
            let from = std::mem::take(&mut connection.input_start);
            connection.input_seen = 0;
            return Some(Source { connection: id, bytes, from, starved: false });
        }
        None
    }
}
