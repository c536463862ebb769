//! Which connections have read which keys of this lane. A connection that tracks no more stays until
//! the key changes: telling it then tells nobody. One that is gone is taken out in slices.

use std::collections::HashSet;

use indexmap::IndexMap;
use ringlane_base::LaneId;
use ringlane_store::{Key, OwnedKey};
use smallvec::SmallVec;

use crate::ring::ConnectionId;

/// Readers of one key that are kept in a list; more are kept in a set.
const FEW_MAX: usize = 16;
/// Keys that are searched for clients that are gone, or freed of a forgotten table, at a time.
const KEYS_A_SLICE: usize = 1024;
/// A table of so many keys at most is moved to a smaller place when it has shrunk.
const MOVED_KEYS_MAX: usize = 16 << 10;

/// Who has read a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tracker {
    pub lane: LaneId,
    pub connection: ConnectionId,
    /// It does not want to hear of its own changes.
    pub noloop: bool,
}

#[derive(Debug)]
enum Trackers {
    Few(SmallVec<[Tracker; 1]>),
    Many(HashSet<Tracker>),
}

impl Trackers {
    fn add(&mut self, tracker: Tracker) -> bool {
        match self {
            Self::Few(few) if few.contains(&tracker) => false,
            Self::Few(few) if few.len() < FEW_MAX => {
                few.push(tracker);
                true
            }
            Self::Few(few) => {
                *self = Self::Many(few.drain(..).chain([tracker]).collect());
                true
            }
            Self::Many(many) => many.insert(tracker),
        }
    }

    /// Takes out who is gone; how many are left.
    fn take_out(&mut self, gone: &HashSet<(LaneId, ConnectionId)>) -> usize {
        let stays = |tracker: &Tracker| !gone.contains(&(tracker.lane, tracker.connection));
        match self {
            Self::Few(few) => few.retain(|tracker| stays(tracker)),
            Self::Many(many) => many.retain(stays),
        }
        self.len()
    }

    fn len(&self) -> usize {
        match self {
            Self::Few(few) => few.len(),
            Self::Many(many) => many.len(),
        }
    }

    fn into_vec(self) -> Vec<Tracker> {
        match self {
            Self::Few(few) => few.into_vec(),
            Self::Many(many) => many.into_iter().collect(),
        }
    }
}

/// Keys with their readers.
#[derive(Default)]
pub struct Table {
    keys: IndexMap<OwnedKey, Trackers>,
    readers: usize,
    /// Tables that were forgotten, not yet freed.
    graves: Vec<IndexMap<OwnedKey, Trackers>>,
    /// Who is being taken out; the keys from `unsearched` on have been searched for them.
    gone: HashSet<(LaneId, ConnectionId)>,
    unsearched: usize,
    /// Who is taken out after them.
    leaving: HashSet<(LaneId, ConnectionId)>,
}

impl Table {
    pub fn add(&mut self, key: &Key<'_>, tracker: Tracker) {
        let trackers =
            self.keys.entry((*key).into()).or_insert_with(|| Trackers::Few(SmallVec::new()));
        self.readers += usize::from(trackers.add(tracker));
    }

    pub fn remove(&mut self, key: &Key<'_>) -> Option<Vec<Tracker>> {
        if self.keys.is_empty() {
            return None;
        }
        let trackers = self.keys.swap_remove(&OwnedKey::from(*key))?.into_vec();
        self.readers -= trackers.len();
        Some(trackers)
    }

    pub fn has(&self, key: &OwnedKey) -> bool {
        self.keys.contains_key(key)
    }

    /// One of its keys, each as likely as any other.
    pub fn any_key(&self, dice: &mut fastrand::Rng) -> Option<OwnedKey> {
        let at = dice.usize(..self.keys.len().max(1));
        self.keys.get_index(at).map(|(key, _)| key.clone())
    }

    /// Forgets everything at once; it is freed by `drain_slice`.
    pub fn bury(&mut self) {
        if !self.keys.is_empty() {
            self.graves.push(std::mem::take(&mut self.keys));
            self.readers = 0;
            self.gone = HashSet::new();
            self.leaving = HashSet::new();
        }
    }

    /// A connection has closed: it will be taken out, and never comes back.
    pub fn leave(&mut self, lane: LaneId, connection: ConnectionId) {
        if !self.keys.is_empty() {
            self.leaving.insert((lane, connection));
        }
    }

    /// Searches some keys for connections that have closed, and gives those that nobody else has read,
    /// which are forgotten.
    pub fn search_slice(&mut self) -> Vec<OwnedKey> {
        if self.gone.is_empty() {
            if self.leaving.is_empty() {
                return Vec::new();
            }
            self.gone = std::mem::take(&mut self.leaving);
            self.unsearched = self.keys.len();
        }
        let mut unread = Vec::new();
        // Downwards: what takes the place of a removed key has been searched, or comes again.
        self.unsearched = self.unsearched.min(self.keys.len());
        let until = self.unsearched.saturating_sub(KEYS_A_SLICE);
        while self.unsearched > until {
            self.unsearched -= 1;
            let (_, trackers) = self.keys.get_index_mut(self.unsearched).expect("is below the end");
            let before = trackers.len();
            let left = trackers.take_out(&self.gone);
            self.readers -= before - left;
            if left == 0 {
                let (key, _) = self.keys.swap_remove_index(self.unsearched).expect("just seen");
                unread.push(key);
            }
        }
        if until == 0 {
            self.gone = HashSet::new();
            let keys = self.keys.len();
            if keys <= MOVED_KEYS_MAX && self.keys.capacity() > 4 * keys {
                self.keys.shrink_to(2 * keys);
            }
        }
        unread
    }

    /// Frees some of what was forgotten and gives its keys.
    pub fn drain_slice(&mut self) -> Vec<OwnedKey> {
        let Some(grave) = self.graves.last_mut() else { return Vec::new() };
        let from = grave.len().saturating_sub(KEYS_A_SLICE);
        let keys = grave.drain(from..).map(|(key, _)| key).collect();
        if grave.is_empty() {
            self.graves.pop();
        }
        keys
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys are remembered.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Readers of all keys together.
    pub fn readers(&self) -> usize {
        self.readers
    }
}

#[cfg(test)]
mod tests {
    use ringlane_base::{Database, KeyHash, Slot};

    use super::*;

    fn key(bytes: &[u8]) -> Key<'_> {
        Key { bytes, slot: Slot::of(bytes), hash: KeyHash(7), database: Database(0) }
    }

    fn tracker(index: u32) -> Tracker {
        let connection = ConnectionId { index, generation: 1 };
        Tracker { lane: LaneId(0), connection, noloop: false }
    }

    #[test]
    fn readers_are_kept_once_however_many() {
        let mut table = Table::default();
        for index in 0..100 {
            table.add(&key(b"a"), tracker(index));
            table.add(&key(b"a"), tracker(index));
        }
        table.add(&key(b"b"), tracker(1));
        assert_eq!((table.keys(), table.readers()), (2, 101));
        let mut readers = table.remove(&key(b"a")).unwrap();
        readers.sort_unstable_by_key(|tracker| tracker.connection.index);
        assert_eq!(readers, (0..100).map(tracker).collect::<Vec<_>>());
        assert!(table.remove(&key(b"a")).is_none());
        assert_eq!((table.keys(), table.readers()), (1, 1));
    }

    #[test]
    fn who_is_gone_is_taken_out_in_slices_and_the_memory_given_back() {
        let mut table = Table::default();
        let count = 3 * KEYS_A_SLICE;
        for number in 0..count {
            table.add(&key(&number.to_le_bytes()), tracker(1));
            if number % 100 == 0 {
                (2..40).for_each(|other| table.add(&key(&number.to_le_bytes()), tracker(other)));
            }
        }
        let shared = count.div_ceil(100);
        assert!(table.search_slice().is_empty());
        table.leave(LaneId(1), tracker(1).connection);
        table.leave(LaneId(0), tracker(1).connection);
        assert_eq!(table.search_slice().len(), KEYS_A_SLICE - KEYS_A_SLICE.div_ceil(100) + 1);
        // Keys come and go meanwhile, and another client leaves.
        table.add(&key(b"new"), tracker(7));
        table.remove(&key(&5_usize.to_le_bytes()));
        table.leave(LaneId(0), tracker(2).connection);
        for _ in 0..8 {
            table.search_slice();
        }
        assert_eq!((table.keys(), table.readers()), (shared + 1, shared * 37 + 1));
        assert!(table.keys.capacity() < count, "{} places", table.keys.capacity());
        assert!(table.gone.is_empty() && table.leaving.is_empty());
    }

    #[test]
    fn what_is_forgotten_at_once_is_freed_in_slices() {
        let mut table = Table::default();
        let count = KEYS_A_SLICE + 10;
        for number in 0..count {
            table.add(&key(&number.to_le_bytes()), tracker(1));
        }
        table.bury();
        assert!(table.is_empty());
        assert_eq!(table.drain_slice().len(), KEYS_A_SLICE);
        assert_eq!(table.drain_slice().len(), 10);
        assert!(table.drain_slice().is_empty());
    }
}
