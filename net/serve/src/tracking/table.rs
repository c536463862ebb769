//! Which connections have read which keys of this lane. A connection that tracks no more stays
//! until the key changes: telling it then tells nobody. One that is gone is taken out in slices.
//! Growth moves a segment at most, and what is forgotten is freed in slices: no number of keys
//! stops the lane.

use std::collections::HashSet;

use ringlane_base::LaneId;
use ringlane_store::types::Segmented;
use ringlane_store::{Key, OwnedKey};
use smallvec::SmallVec;

use crate::ring::ConnectionId;

/// Readers of one key that are kept in a list; more are kept in a set.
const FEW_MAX: usize = 16;
/// Keys that are searched for clients that are gone, or freed of a forgotten table, at a time:
/// some 400 ns each.
const KEYS_A_SLICE: u32 = 256;

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

    fn has_any(&self, gone: &HashSet<(LaneId, ConnectionId)>) -> bool {
        let is_gone = |tracker: &Tracker| gone.contains(&(tracker.lane, tracker.connection));
        match self {
            Self::Few(few) => few.iter().any(is_gone),
            Self::Many(many) => many.iter().any(is_gone),
        }
    }

    /// Takes out who is gone; how many are left.
    fn take_out(&mut self, gone: &HashSet<(LaneId, ConnectionId)>) -> usize {
        let stays = |tracker: &Tracker| !gone.contains(&(tracker.lane, tracker.connection));
        match self {
            Self::Few(few) => few.retain(|tracker| stays(tracker)),
            Self::Many(many) => {
                many.retain(stays);
                if many.len() < many.capacity() / 4 {
                    many.shrink_to_fit();
                }
            }
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

/// A key and who has read it.
struct Entry {
    key: OwnedKey,
    trackers: Trackers,
}

impl Entry {
    fn hash(&self) -> u64 {
        self.key.hash.0
    }

    fn is_of(&self, key: &Key<'_>) -> bool {
        self.key.as_key() == *key
    }
}

/// Keys with their readers.
#[derive(Default)]
pub struct Table {
    keys: Segmented<Entry>,
    readers: usize,
    /// Tables that were forgotten, not yet freed.
    graves: Vec<Segmented<Entry>>,
    /// Who is being taken out; the keys before the cursor `searched` have been searched for them.
    gone: HashSet<(LaneId, ConnectionId)>,
    searched: u64,
    /// Who is taken out after them.
    leaving: HashSet<(LaneId, ConnectionId)>,
}

impl Table {
    pub fn add(&mut self, key: &Key<'_>, tracker: Tracker) {
        let make = || Entry { key: (*key).into(), trackers: Trackers::Few(SmallVec::new()) };
        let (entry, _) =
            self.keys.find_or_insert(key.hash.0, |entry| entry.is_of(key), make, Entry::hash);
        self.readers += usize::from(entry.trackers.add(tracker));
    }

    pub fn remove(&mut self, key: &Key<'_>) -> Option<Vec<Tracker>> {
        if self.keys.is_empty() {
            return None;
        }
        let entry = self.keys.remove(key.hash.0, |entry| entry.is_of(key), Entry::hash)?;
        let trackers = entry.trackers.into_vec();
        self.readers -= trackers.len();
        Some(trackers)
    }

    /// One of its keys, each as likely as any other.
    pub fn any_key(&self, dice: &mut fastrand::Rng) -> Option<OwnedKey> {
        self.keys.random(dice).map(|entry| entry.key.clone())
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

    /// Whether a slice of either kind is due.
    #[inline]
    pub fn has_slices(&self) -> bool {
        !self.graves.is_empty() || !self.gone.is_empty() || !self.leaving.is_empty()
    }

    /// Searches some keys for connections that have closed, and gives those that nobody else has read,
    /// which are forgotten.
    pub fn search_slice(&mut self) -> Vec<OwnedKey> {
        if self.gone.is_empty() {
            if self.leaving.is_empty() {
                return Vec::new();
            }
            self.gone = std::mem::take(&mut self.leaving);
            self.searched = 0;
        }
        let (gone, mut found) = (&self.gone, Vec::new());
        self.searched =
            self.keys.scan(self.searched, KEYS_A_SLICE as usize, Entry::hash, |entry| {
                if entry.trackers.has_any(gone) {
                    found.push(entry.key.clone());
                }
            });
        found.retain(|key| self.take_out(&key.as_key()));
        if self.searched == 0 {
            self.gone = HashSet::new();
        }
        found
    }

    /// Takes who is gone out of a key's readers. True: nobody else had read it, and it is forgotten.
    fn take_out(&mut self, key: &Key<'_>) -> bool {
        let entry = self.keys.find_mut(key.hash.0, |entry| entry.is_of(key)).expect("just seen");
        let before = entry.trackers.len();
        let left = entry.trackers.take_out(&self.gone);
        self.readers -= before - left;
        if left == 0 {
            self.keys.remove(key.hash.0, |entry| entry.is_of(key), Entry::hash);
        }
        left == 0
    }

    /// Frees some of what was forgotten, and shows those of its keys that have not been read again.
    pub fn drain_slice(&mut self, mut unread: impl FnMut(&OwnedKey)) {
        let Some(grave) = self.graves.last_mut() else { return };
        let keys = &self.keys;
        let mut units = KEYS_A_SLICE;
        let is_emptied = grave.free_some(&mut units, |entry| {
            let key = entry.key.as_key();
            if keys.find(key.hash.0, |entry| entry.is_of(&key)).is_none() {
                unread(&entry.key);
            }
        });
        if is_emptied {
            self.graves.pop();
        }
        if self.graves.is_empty() {
            self.graves = Vec::new();
        }
    }

    /// Bytes of the tables, those of the keys not counted.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.keys.bytes() + self.graves.iter().map(Segmented::bytes).sum::<usize>()
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
    use ringlane_base::{Database, HashSeed, KeyHash, Slot};

    use super::*;

    fn key(bytes: &[u8]) -> Key<'_> {
        let hash = KeyHash::of(HashSeed(7), bytes);
        Key { bytes, slot: Slot::of(bytes), hash, database: Database(0) }
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
        let count = 30 * KEYS_A_SLICE as usize;
        for number in 0..count {
            table.add(&key(&number.to_le_bytes()), tracker(1));
            if number % 100 == 0 {
                (2..40).for_each(|other| table.add(&key(&number.to_le_bytes()), tracker(other)));
            }
        }
        let full = table.bytes();
        let shared = count.div_ceil(100);
        assert!(table.search_slice().is_empty() && !table.has_slices());
        table.leave(LaneId(1), tracker(1).connection);
        table.leave(LaneId(0), tracker(1).connection);
        let unread = table.search_slice().len();
        assert!((1..=KEYS_A_SLICE as usize).contains(&unread), "{unread} keys");
        assert_eq!(table.keys(), count - unread);
        // Keys come and go meanwhile, and another client leaves.
        table.add(&key(b"new"), tracker(7));
        table.remove(&key(&5_usize.to_le_bytes()));
        table.leave(LaneId(0), tracker(2).connection);
        let mut slices = 0;
        while table.has_slices() {
            table.search_slice();
            slices += 1;
        }
        assert!((30..1000).contains(&slices), "{slices} slices");
        assert_eq!((table.keys(), table.readers()), (shared + 1, shared * 37 + 1));
        assert!(table.bytes() < full / 8, "{} of {full} bytes are left", table.bytes());
    }

    #[test]
    fn what_is_forgotten_at_once_is_freed_in_slices() {
        /// More than one step of growth of any part, less than a table of all keys takes.
        const STEP_BYTES_MAX: usize = 256 << 10;
        let mut table = Table::default();
        let empty = table.bytes();
        let (mut before, mut step) = (empty, 0);
        let count = 100_000_usize;
        for number in 0..count {
            table.add(&key(&number.to_le_bytes()), tracker(1));
            step = step.max(table.bytes().saturating_sub(before));
            before = table.bytes();
        }
        assert!(before > 8 * STEP_BYTES_MAX, "{before} bytes");
        assert!(step < STEP_BYTES_MAX, "{step} bytes more at once");
        table.bury();
        assert!(table.is_empty() && table.has_slices());
        // Read again, before it is freed.
        table.add(&key(&5_usize.to_le_bytes()), tracker(1));
        let mut freed = 0;
        while table.has_slices() {
            let mut slice = 0;
            table.drain_slice(|_| slice += 1);
            assert!(slice <= KEYS_A_SLICE, "{slice} keys at once");
            freed += slice as usize;
        }
        assert_eq!((freed, table.keys()), (count - 1, 1));
        table.remove(&key(&5_usize.to_le_bytes()));
        assert!(table.bytes() < empty + 4096, "{} bytes are left", table.bytes());
    }
}
