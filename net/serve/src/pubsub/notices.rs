//! Keyspace notices: what this lane's store has said of its keys becomes messages in the channels
//! that `notify-keyspace-events` asks for; every lane knows who listens to those. And what scripts
//! have published.

use bytes::Bytes;
use ringlane_store::{Notice, NoticeClasses};

use super::{Kind, Message, Note};
use crate::core::Core;

/// What the names of all such channels begin with.
pub const PREFIX: &[u8] = b"__key";

impl Core {
    /// Publishes what the store has said since the last call.
    #[inline]
    pub fn publish_notices(&mut self) {
        if self.store.has_notices() {
            self.publish_all();
        }
        if self.scripts.has_published() {
            self.publish_of_scripts();
        }
    }

    /// Sends what scripts have published to the homes of its channels.
    #[cold]
    fn publish_of_scripts(&mut self) {
        for published in self.scripts.take_published() {
            let kind = if published.sharded { Kind::Shard } else { Kind::Channel };
            let home = self.home_of(&published.channel);
            let message = Message { kind, channel: published.channel, payload: published.payload };
            if home == self.lane {
                self.announce(&message);
            } else {
                self.post_note(home, Note::Announce(message));
            }
        }
    }

    /// Sends a message that nobody waits for from its channel's home, which this lane is.
    pub fn announce(&mut self, message: &Message) {
        if !self.publish_unanswered(message) {
            self.stats.notices_dropped += 1;
        }
    }

    #[cold]
    fn publish_all(&mut self) {
        let notices = self.store.take_notices();
        if !self.pubsub.registry.borrow().has_channels() {
            return;
        }
        let classes = self.live.notify_keyspace_events;
        for notice in &notices {
            if classes.contains(NoticeClasses::KEYSPACE) {
                let event = Bytes::from_static(notice.event.as_bytes());
                self.publish_notice("keyspace", notice, &notice.key, event);
            }
            if classes.contains(NoticeClasses::KEYEVENT) {
                let key = Bytes::copy_from_slice(&notice.key);
                self.publish_notice("keyevent", notice, notice.event.as_bytes(), key);
            }
        }
    }

    fn publish_notice(&mut self, space: &str, notice: &Notice, name: &[u8], payload: Bytes) {
        let mut channel = Vec::with_capacity(name.len() + "__keyspace@255__:".len());
        channel.extend_from_slice(b"__");
        channel.extend_from_slice(space.as_bytes());
        channel.push(b'@');
        channel.extend_from_slice(itoa::Buffer::new().format(notice.database.0).as_bytes());
        channel.extend_from_slice(b"__:");
        channel.extend_from_slice(name);
        debug_assert!(channel.starts_with(PREFIX), "every lane knows the listeners of this prefix");
        let message = Message { kind: Kind::Channel, channel: channel.into(), payload };
        if !self.publish_unanswered(&message) {
            self.stats.notices_dropped += 1;
        }
    }
}
