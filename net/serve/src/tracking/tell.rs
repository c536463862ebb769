//! Telling: invalidations leave for the lanes of those who have read, behind the turn's answers, and
//! are written there to the connections, or to those that they have chosen instead.

use bytes::Bytes;
use ringlane_base::LaneId;
use ringlane_command::Reply;
use ringlane_resp::Version;

use super::{INVALIDATIONS_MAX, Invalid, Redirect};
use crate::connection::Phase;
use crate::core::Core;
use crate::pubsub::Note;
use crate::reply::RespReply;
use crate::reply_buffer::ReplyBuffer;
use crate::ring::ConnectionId;

/// Connections that are told before the lane looks at its sockets again, some 100 ns each.
const TOLD_A_TURN: usize = 1024;
/// The channel of redirected invalidations to clients in RESP2.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// Something to tell connections of this lane.
pub struct Told {
    /// The lane that waits to hear that it is done, and what it counted for.
    owed: Option<(LaneId, usize)>,
    /// None: everything is to be forgotten.
    key: Option<Bytes>,
    to: Vec<ConnectionId>,
}

/// An invalidation as it is sent: None for all keys.
fn encode(version: Version, key: Option<&[u8]>) -> ReplyBuffer {
    let mut out = ReplyBuffer::default();
    let reply = &mut RespReply::new(&mut out, version);
    match version {
        Version::Resp3 => {
            reply.push_header(2);
            reply.bulk(b"invalidate");
        }
        Version::Resp2 => {
            reply.push_header(3);
            reply.bulk(b"message");
            reply.bulk(CHANNEL);
        }
    }
    match key {
        None => reply.null(),
        Some(key) => {
            reply.array(1);
            reply.bulk(key);
        }
    }
    out
}

impl Core {
    /// Lets out what this turn has invalidated; called when its answers have been posted.
    #[inline]
    pub fn send_invalidations(&mut self) {
        if self.tracking.has_work() {
            self.send_out_invalidations();
            self.tell_connections();
        }
    }

    #[cold]
    fn send_out_invalidations(&mut self) {
        let mut failed = std::mem::take(&mut self.tracking.all_out);
        failed.retain(|lane| {
            if *lane == self.lane {
                self.queue_all(None);
                return false;
            }
            !self.try_send(*lane, Note::InvalidateAll, size_of::<Note>())
        });
        for (lane, invalid) in std::mem::take(&mut self.tracking.out) {
            if failed.contains(&lane) {
                continue; // It will be told to forget everything.
            }
            if lane == self.lane {
                self.queue_invalid(None, invalid);
            } else {
                let cost = invalid.cost();
                if !self.try_send(lane, Note::Invalidate(Box::new(invalid)), cost) {
                    failed.push(lane);
                }
            }
        }
        self.tracking.all_out = failed;
    }

    /// Another lane tells what has changed.
    pub fn take_invalid(&mut self, from: LaneId, invalid: Invalid) {
        let cost = invalid.cost();
        self.queue_invalid(Some((from, cost)), invalid);
    }

    pub fn take_invalid_all(&mut self, from: LaneId) {
        self.queue_all(Some((from, size_of::<Note>())));
    }

    fn queue_invalid(&mut self, owed: Option<(LaneId, usize)>, invalid: Invalid) {
        let Invalid { key, mut to, broadcast, writer } = invalid;
        if self.tracking.queue.len() >= INVALIDATIONS_MAX {
            return self.queue_all(owed);
        }
        if broadcast {
            for (prefix, ids) in &self.tracking.broadcasts {
                if key.starts_with(prefix) {
                    to.extend(ids);
                }
            }
            if let Some((lane, writer)) = writer
                && lane == self.lane
                && self.is_noloop(writer)
            {
                to.retain(|id| *id != writer);
            }
        }
        self.tracking.queue.push_back(Told { owed, key: Some(key), to });
    }

    fn is_noloop(&mut self, id: ConnectionId) -> bool {
        let tracking = self.connections.get(id).and_then(|it| it.tracking.as_deref());
        tracking.is_some_and(|tracking| tracking.noloop)
    }

    /// Everything that was to be told is contained in this.
    fn queue_all(&mut self, owed: Option<(LaneId, usize)>) {
        let before = std::mem::take(&mut self.tracking.queue);
        for (lane, cost) in before.into_iter().filter_map(|told| told.owed) {
            self.owe_delivery(lane, cost);
        }
        let to = self.tracking.clients.iter().copied().collect();
        self.tracking.queue.push_back(Told { owed, key: None, to });
    }

    /// Writes what is to be told, for a slice.
    #[cold]
    fn tell_connections(&mut self) {
        let mut left = TOLD_A_TURN;
        while left > 0
            && let Some(mut told) = self.tracking.queue.pop_front()
        {
            let key = told.key.clone();
            while left > 0
                && let Some(id) = told.to.pop()
            {
                left -= 1;
                self.tell_client(id, key.as_ref());
            }
            if !told.to.is_empty() {
                self.tracking.queue.push_front(told);
            } else if let Some((lane, cost)) = told.owed {
                self.owe_delivery(lane, cost);
            }
        }
        if self.tracking.queue.is_empty() {
            // One that was long has taken megabytes.
            self.tracking.queue.shrink_to(TOLD_A_TURN);
        }
    }

    /// Tells one client, or whom it has chosen.
    fn tell_client(&mut self, id: ConnectionId, key: Option<&Bytes>) {
        let Some(connection) = self.connections.get(id) else { return };
        let Some(tracking) = connection.tracking.as_deref() else { return };
        match tracking.redirect {
            None if connection.session.version == Version::Resp3 => {
                self.push_invalidation(id, key);
            }
            None => {} // RESP2 has no way to tell it here.
            Some(redirect) => self.tell_chosen(id, redirect, key),
        }
    }

    /// Tells the connection that another has chosen in its stead.
    fn tell_chosen(&mut self, id: ConnectionId, redirect: Redirect, key: Option<&Bytes>) {
        if redirect.lane == self.lane {
            if !self.take_redirected(redirect.connection, key) {
                self.break_redirect(id);
            }
            return;
        }
        let note = Note::Redirect { to: redirect.connection, of: id, key: key.cloned() };
        let cost = size_of::<Note>() + key.map_or(0, Bytes::len);
        if !self.try_send(redirect.lane, note, cost) {
            self.tracking.queue.push_back(Told { owed: None, key: None, to: vec![id] });
        }
    }

    /// A connection of another lane, or of this one, has chosen this one; false if it is gone.
    pub fn take_redirected(&mut self, to: ConnectionId, key: Option<&Bytes>) -> bool {
        let Some(connection) = self.connections.get(to) else { return false };
        if connection.phase != Phase::Open {
            return false;
        }
        if connection.session.version == Version::Resp3 || connection.listening.is_some() {
            self.push_invalidation(to, key);
        }
        true
    }

    /// The target of a connection's redirect is gone.
    pub fn break_redirect(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else { return };
        let Some(tracking) = connection.tracking.as_deref_mut() else { return };
        let Some(redirect) = tracking.redirect else { return };
        tracking.broken = true;
        if connection.session.version == Version::Resp3 {
            let mut out = ReplyBuffer::default();
            let reply = &mut RespReply::new(&mut out, Version::Resp3);
            reply.push_header(2);
            reply.bulk(b"tracking-redir-broken");
            reply.integer(redirect.client as i64);
            connection.push(&out);
            Self::mark_dirty(&mut self.dirty, connection);
        }
    }

    fn push_invalidation(&mut self, id: ConnectionId, key: Option<&Bytes>) {
        let limits = self.live.output_limits;
        let Some(connection) = self.connections.get(id) else { return };
        if connection.phase != Phase::Open {
            return;
        }
        let message = encode(connection.session.version, key.map(|key| &key[..]));
        connection.push(&message);
        let class = if connection.listening.is_some() { limits.pubsub } else { limits.normal };
        let hard = class.hard_bytes;
        let overfull = hard > 0 && connection.output_len() as u64 > hard;
        Self::mark_dirty(&mut self.dirty, connection);
        if overfull && self.output_limit_reached(id) {
            self.close(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalidations_have_the_shapes_of_redis() {
        let text = |version, key: Option<&[u8]>| {
            String::from_utf8(encode(version, key).bytes).expect("text")
        };
        let channel = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n";
        let push = ">2\r\n$10\r\ninvalidate\r\n";
        assert_eq!(text(Version::Resp3, Some(b"k")), format!("{push}*1\r\n$1\r\nk\r\n"));
        assert_eq!(text(Version::Resp3, None), format!("{push}_\r\n"));
        assert_eq!(text(Version::Resp2, Some(b"k")), format!("{channel}*1\r\n$1\r\nk\r\n"));
        assert_eq!(text(Version::Resp2, None), format!("{channel}$-1\r\n"));
    }
}
