//! Keyspace notices: which events of which classes a store keeps for whoever publishes them, by
//! `notify-keyspace-events`. Publishes nothing itself and knows no channel.
//! Classes and letters: <https://redis.io/docs/latest/develop/use/keyspace-notifications/>.

use bitflags::bitflags;
use ringlane_base::Database;

use crate::{Key, Store};

/// Notices kept between two calls of `Store::take_notices`; what is said beyond is counted as
/// dropped. A lane takes them every turn, so that only one huge command comes near.
pub const NOTICES_MAX: usize = 1 << 16;
/// Bytes of their keys.
pub const NOTICE_BYTES_MAX: usize = 16 << 20;

bitflags! {
    /// Some classes of events, and by which channels they are published.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct NoticeClasses: u16 {
        /// `K`: published as `__keyspace@<db>__:<key>`.
        const KEYSPACE = 1;
        /// `E`: published as `__keyevent@<db>__:<event>`.
        const KEYEVENT = 1 << 1;
        /// `g`: DEL, EXPIRE, RENAME, … whatever the type.
        const GENERIC = 1 << 2;
        /// `$`
        const STRING = 1 << 3;
        /// `l`
        const LIST = 1 << 4;
        /// `s`
        const SET = 1 << 5;
        /// `h`
        const HASH = 1 << 6;
        /// `z`
        const SORTED_SET = 1 << 7;
        /// `x`: said by the store when a key's time has come.
        const EXPIRED = 1 << 8;
        /// `e`: said by the store when it evicts a key.
        const EVICTED = 1 << 9;
        /// `t`
        const STREAM = 1 << 10;
        /// `d`: of modules; there are none, so nothing says it.
        const MODULE = 1 << 11;
        /// `n`: said by the store when a key comes to be. Not part of `A`.
        const NEW = 1 << 12;
        /// `m`: said by the store when a read finds no key. Not part of `A`.
        const KEY_MISS = 1 << 13;
    }
}

impl NoticeClasses {
    /// `A`: every class that a change can have.
    pub const ANY_CHANGE: Self = Self::GENERIC
        .union(Self::STRING)
        .union(Self::LIST)
        .union(Self::SET)
        .union(Self::HASH)
        .union(Self::SORTED_SET)
        .union(Self::EXPIRED)
        .union(Self::EVICTED)
        .union(Self::STREAM)
        .union(Self::MODULE);

    /// Letters in the order in which they are printed; those after `n` follow an `A` too.
    const LETTERS: [(Self, char); 14] = [
        (Self::GENERIC, 'g'),
        (Self::STRING, '$'),
        (Self::LIST, 'l'),
        (Self::SET, 's'),
        (Self::HASH, 'h'),
        (Self::SORTED_SET, 'z'),
        (Self::EXPIRED, 'x'),
        (Self::EVICTED, 'e'),
        (Self::STREAM, 't'),
        (Self::MODULE, 'd'),
        (Self::NEW, 'n'),
        (Self::KEYSPACE, 'K'),
        (Self::KEYEVENT, 'E'),
        (Self::KEY_MISS, 'm'),
    ];

    /// Reads the letters of `notify-keyspace-events`, in any order; None if one means nothing.
    pub fn parse(letters: &str) -> Option<Self> {
        letters.chars().try_fold(Self::empty(), |classes, letter| {
            let alias = (letter == 'A').then_some(Self::ANY_CHANGE);
            let named = || Self::LETTERS.into_iter().find(|&(_, its)| its == letter);
            let class = alias.or_else(|| named().map(|(class, _)| class))?;
            Some(classes | class)
        })
    }

    /// The letters in Redis's order, `A` in place of those that it stands for.
    pub fn letters(self) -> String {
        let all = self.contains(Self::ANY_CHANGE);
        let rest = if all { self - Self::ANY_CHANGE } else { self };
        let alias = if all { "A" } else { "" };
        let letters = Self::LETTERS.into_iter().filter(|&(class, _)| rest.contains(class));
        alias.chars().chain(letters.map(|(_, letter)| letter)).collect()
    }
}

/// Something that happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// As Redis names it: `set`, `expired`, `rename_from`.
    pub event: &'static str,
    pub key: Box<[u8]>,
    pub database: Database,
}

/// What a store has said since it was last asked.
#[derive(Default)]
pub(crate) struct Notices {
    mask: NoticeClasses,
    kept: Vec<Notice>,
    bytes: usize,
    dropped: u64,
}

impl Notices {
    #[inline]
    pub fn wants(&self, class: NoticeClasses) -> bool {
        self.mask.intersects(class)
    }

    #[inline]
    pub fn say(
        &mut self,
        class: NoticeClasses,
        event: &'static str,
        key: &[u8],
        database: Database,
    ) {
        if self.wants(class) {
            self.keep(event, key, database);
        }
    }

    #[cold]
    fn keep(&mut self, event: &'static str, key: &[u8], database: Database) {
        if self.kept.len() >= NOTICES_MAX || self.bytes + key.len() > NOTICE_BYTES_MAX {
            self.dropped += 1;
            return;
        }
        self.bytes += key.len();
        self.kept.push(Notice { event, key: key.into(), database });
    }
}

impl Store {
    /// Which classes are kept from now on. With none, or with neither `K` nor `E`, a notice costs
    /// one predictable branch.
    pub fn set_notice_mask(&mut self, mask: NoticeClasses) {
        let published = mask.intersects(NoticeClasses::KEYSPACE | NoticeClasses::KEYEVENT);
        self.notices.mask = if published { mask } else { NoticeClasses::empty() };
    }

    /// As last set; none if nothing would be published.
    pub fn notice_mask(&self) -> NoticeClasses {
        self.notices.mask
    }

    /// Says that something happened to the key. Handlers say what their command did, after they did
    /// it; `expired`, `evicted`, `new` and `keymiss` are said by the store itself.
    #[inline]
    pub fn notify(&mut self, class: NoticeClasses, event: &'static str, key: &Key<'_>) {
        self.notices.say(class, event, key.bytes, key.database);
    }

    /// Whether anyone wants to hear of events of this class.
    #[inline]
    pub fn is_noticed(&self, class: NoticeClasses) -> bool {
        self.notices.wants(class)
    }

    /// Whether `take_notices` has something to give.
    #[inline]
    pub fn has_notices(&self) -> bool {
        !self.notices.kept.is_empty()
    }

    /// What was said since the last call, in order.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        self.notices.bytes = 0;
        std::mem::take(&mut self.notices.kept)
    }

    /// Adds what was said by a store that ran a command in this one's stead.
    pub fn add_notices(&mut self, notices: Vec<Notice>) {
        for notice in notices {
            self.notices.keep(notice.event, &notice.key, notice.database);
        }
    }

    /// Notices lost at `NOTICES_MAX` or `NOTICE_BYTES_MAX` since the start.
    pub fn notices_dropped(&self) -> u64 {
        self.notices.dropped
    }

    /// Runs a change that was announced elsewhere already: keys that come to be are not told again.
    pub(crate) fn without_news<R>(&mut self, change: impl FnOnce(&mut Self) -> R) -> R {
        let mask = self.notices.mask;
        self.notices.mask = mask - NoticeClasses::NEW;
        let result = change(self);
        self.notices.mask = mask;
        result
    }
}

#[cfg(test)]
mod tests {
    use ringlane_base::{Due, Millis, Now};

    use super::*;
    use crate::{Expiry, NewValue, Removal};

    fn store(letters: &str) -> Store {
        let mut store = crate::tests::small_store();
        store.set_notice_mask(NoticeClasses::parse(letters).unwrap());
        store
    }

    fn said(store: &mut Store) -> Vec<(&'static str, Vec<u8>)> {
        store.take_notices().into_iter().map(|notice| (notice.event, notice.key.to_vec())).collect()
    }

    #[test]
    fn letters_are_read_in_any_order_and_printed_in_one() {
        let rows = [
            ("", ""),
            ("KEA", "AKE"),
            ("Exm", "xEm"),
            ("g$lshzxetdK", "AK"),
            ("nKA", "AnK"),
            ("KKl$", "$lK"),
        ];
        for (given, printed) in rows {
            let classes = NoticeClasses::parse(given).unwrap();
            assert_eq!(classes.letters(), printed, "{given}");
            assert_eq!(NoticeClasses::parse(printed), Some(classes), "{given}");
        }
        assert_eq!(NoticeClasses::parse("KEy"), None);
    }

    #[test]
    fn nothing_is_kept_unless_it_would_be_published() {
        let mut store = store("A");
        let key = store.key(Database(0), b"k");
        store.notify(NoticeClasses::STRING, "set", &key);
        assert!(!store.has_notices());
        store.set_notice_mask(NoticeClasses::parse("El").unwrap());
        store.notify(NoticeClasses::STRING, "set", &key);
        assert!(!store.has_notices());
        store.notify(NoticeClasses::LIST, "lpush", &key);
        assert_eq!(said(&mut store), [("lpush", b"k".to_vec())]);
        assert!(!store.has_notices());
    }

    #[test]
    fn the_store_tells_of_new_missed_expired_and_evicted_keys() {
        let mut store = store("EAnm");
        let key = store.key(Database(0), b"k");
        assert!(store.get(&key).is_none());
        store.set(&key, NewValue::Text(b"v"), Expiry::At(Due::at(Millis(1010)))).unwrap();
        store.set(&key, NewValue::Text(b"w"), Expiry::Keep).unwrap();
        store.begin_turn(Now::both(Millis(1010)));
        assert!(store.peek(&key).is_none());
        store.set(&key, NewValue::Text(b"v"), Expiry::Never).unwrap();
        store.remove(&key, Removal::Evicted);
        let events: Vec<_> = said(&mut store).into_iter().map(|(event, _)| event).collect();
        assert_eq!(events, ["keymiss", "new", "expired", "new", "evicted"]);
    }

    #[test]
    fn more_than_the_bound_is_dropped_and_counted() {
        let mut store = store("KA");
        let key = store.key(Database(0), b"k");
        for _ in 0..NOTICES_MAX + 3 {
            store.notify(NoticeClasses::GENERIC, "del", &key);
        }
        assert_eq!(store.notices_dropped(), 3);
        assert_eq!(store.take_notices().len(), NOTICES_MAX);
        let long = vec![b'k'; NOTICE_BYTES_MAX];
        let long = store.key(Database(0), &long);
        store.notify(NoticeClasses::GENERIC, "del", &long);
        store.notify(NoticeClasses::GENERIC, "del", &key);
        assert_eq!(store.notices_dropped(), 4);
        assert_eq!(store.take_notices().len(), 1);
    }
}
