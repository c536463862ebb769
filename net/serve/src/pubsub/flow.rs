//! Publishing, at a channel's home: messages go out to the lanes that listen, as fast as those
//! deliver them. When one falls behind, publishers wait for their answer, so that no queue between
//! lanes grows: a message under way is counted until its lane says that it has reached everyone.

use std::collections::VecDeque;

use ringlane_base::LaneId;

use super::{Message, Note};
use crate::core::Core;
use crate::parcel::ReturnTo;

/// Bytes of messages under way to one lane, or queued there, before publishers wait.
pub const UNDER_WAY_BYTES_MAX: usize = 4 << 20;

/// A message that waits at its home. Its publisher waits too, and has at most `PLACES_MAX` of them.
struct Waiting {
    from: LaneId,
    message: Message,
    return_to: ReturnTo,
}

/// What is under way.
pub struct Flow {
    /// Bytes, by receiving lane.
    under_way: Vec<usize>,
    /// Lanes that have more under way than allowed.
    full: usize,
    waiting: VecDeque<Waiting>,
    /// Bytes that have reached their connections here, by the lane that sent them, not yet said.
    owed: Vec<usize>,
    owes: bool,
}

impl Flow {
    pub fn new(lanes: usize) -> Self {
        Self {
            under_way: vec![0; lanes],
            full: 0,
            waiting: VecDeque::new(),
            owed: vec![0; lanes],
            owes: false,
        }
    }

    /// Whether what is published must wait.
    #[inline]
    fn is_full(&self) -> bool {
        self.full > 0 || !self.waiting.is_empty()
    }

    fn sent(&mut self, to: LaneId, cost: usize) {
        let under_way = &mut self.under_way[to.index()];
        let was_full = *under_way > UNDER_WAY_BYTES_MAX;
        *under_way += cost;
        self.full += usize::from(!was_full && *under_way > UNDER_WAY_BYTES_MAX);
    }

    fn delivered(&mut self, to: LaneId, cost: usize) {
        let under_way = &mut self.under_way[to.index()];
        let was_full = *under_way > UNDER_WAY_BYTES_MAX;
        *under_way -= cost;
        self.full -= usize::from(was_full && *under_way <= UNDER_WAY_BYTES_MAX);
    }

    /// Messages of `from` have reached their connections.
    pub fn owe(&mut self, from: LaneId, cost: usize) {
        self.owed[from.index()] += cost;
        self.owes = true;
    }
}

impl Core {
    /// A message for a channel that lives here; `return_to` gets the number of receivers.
    pub(super) fn publish_from(&mut self, from: LaneId, message: Message, return_to: ReturnTo) {
        if self.pubsub.flow.is_full() {
            self.pubsub.flow.waiting.push_back(Waiting { from, message, return_to });
            return;
        }
        self.publish_now(from, &message, return_to);
    }

    fn publish_now(&mut self, from: LaneId, message: &Message, return_to: ReturnTo) {
        let receivers = self.send_out(message, Self::deliver_at_once);
        if from == self.lane {
            self.answer_publisher(return_to, receivers);
        } else {
            self.post_note(from, Note::Published { return_to, receivers });
        }
    }

    /// The same for a connection of this lane; None if it must wait (`publish_from`).
    pub(super) fn try_publish(&mut self, message: Message) -> Result<u32, Message> {
        if self.pubsub.flow.is_full() {
            return Err(message);
        }
        Ok(self.send_out(&message, Self::deliver_soon))
    }

    /// Sends a message that nobody waits for. False, and it is lost, if its listeners' lanes have
    /// fallen behind.
    pub(super) fn publish_unanswered(&mut self, message: &Message) -> bool {
        if self.pubsub.flow.is_full() {
            return false;
        }
        self.send_out(message, Self::deliver_at_once);
        true
    }

    /// Sends a message to the lanes that listen, and `deliver`s it here; its number of receivers.
    fn send_out(
        &mut self,
        message: &Message,
        deliver: impl Fn(&mut Self, &Message) -> bool,
    ) -> u32 {
        let route = self.pubsub.registry.borrow().route(message.kind, &message.channel);
        let cost = message.cost();
        for lane in route.lanes {
            if lane != self.lane {
                self.pubsub.flow.sent(lane, cost);
                self.post_note(lane, Note::Deliver(message.clone()));
            } else if !deliver(self, message) {
                self.pubsub.flow.sent(lane, cost);
                self.queue_delivery(lane, message.clone());
            }
        }
        route.receivers
    }

    /// Another lane has published to listeners of this one.
    pub(super) fn take_message(&mut self, from: LaneId, message: Message) {
        if self.deliver_soon(&message) {
            self.pubsub.flow.owe(from, message.cost());
        } else {
            self.queue_delivery(from, message);
        }
    }

    /// Sends a note that counts as under way; false if the lane has fallen behind.
    pub fn try_send(&mut self, to: LaneId, note: Note, cost: usize) -> bool {
        if self.pubsub.flow.under_way[to.index()] > UNDER_WAY_BYTES_MAX {
            return false;
        }
        self.pubsub.flow.sent(to, cost);
        self.post_note(to, note);
        true
    }

    /// What `from` has sent has reached its connections here.
    pub fn owe_delivery(&mut self, from: LaneId, cost: usize) {
        self.pubsub.flow.owe(from, cost);
    }

    /// Says what has been delivered since the last turn, and lets go what waited for that.
    pub(super) fn settle_deliveries(&mut self) {
        if !std::mem::take(&mut self.pubsub.flow.owes) {
            return;
        }
        for lane in (0..self.shared.lanes() as u16).map(LaneId) {
            let cost = std::mem::take(&mut self.pubsub.flow.owed[lane.index()]);
            if cost == 0 {
                continue;
            }
            if lane == self.lane {
                self.take_delivered(lane, cost);
            } else {
                self.post_note(lane, Note::Delivered { cost });
            }
        }
    }

    /// A lane has delivered messages of so many bytes.
    pub(super) fn take_delivered(&mut self, from: LaneId, cost: usize) {
        self.pubsub.flow.delivered(from, cost);
        while self.pubsub.flow.full == 0
            && let Some(waiting) = self.pubsub.flow.waiting.pop_front()
        {
            self.publish_now(waiting.from, &waiting.message, waiting.return_to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_full_beyond_the_bound_and_not_below() {
        let mut flow = Flow::new(2);
        flow.sent(LaneId(1), UNDER_WAY_BYTES_MAX);
        assert!(!flow.is_full());
        flow.sent(LaneId(1), 1);
        flow.sent(LaneId(1), 1);
        assert!(flow.is_full());
        flow.delivered(LaneId(1), 1);
        assert!(flow.is_full());
        flow.delivered(LaneId(1), 1);
        assert!(!flow.is_full());
        flow.delivered(LaneId(1), UNDER_WAY_BYTES_MAX);
        assert_eq!(flow.under_way, [0, 0]);
    }
}
