//! The marks that WATCH leaves at the lane that owns the keys, and whether they were touched since.
//! Which lanes hold marks of a client its own session knows; what follows from a touch EXEC decides.

use std::collections::HashMap;

use hashbrown::HashTable;
use ringlane_base::Database;
use ringlane_store::{Key, OwnedKey};
use smallvec::SmallVec;

use crate::core::Core;
use crate::interest::{Party, Touch};

/// Everything that one client watches until it says EXEC, DISCARD or UNWATCH.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WatchId {
    /// The session's id.
    pub client: u64,
    /// How often this client has ended watching before: what a lane hears late of an earlier round
    /// must not meet a later one.
    pub round: u32,
}

/// What one client watches on this lane.
#[derive(Default)]
struct Marks {
    keys: Vec<OwnedKey>,
    touched: bool,
}

/// Who watches one key.
struct Watchers {
    key: OwnedKey,
    ids: SmallVec<[WatchId; 1]>,
}

/// All marks of a lane. As many as clients make: each is bounded by `session::WATCHED_KEYS_MAX`.
#[derive(Default)]
pub struct Watches {
    by_client: HashMap<WatchId, Marks>,
    by_key: HashTable<Watchers>,
    /// Connections of this lane that watch keys, of whatever lane.
    pub connections: u64,
}

impl Watches {
    /// How many keys are watched.
    pub fn keys(&self) -> usize {
        self.by_key.len()
    }

    /// Marks the key for this client; false if it was.
    fn mark(&mut self, id: WatchId, key: &Key<'_>) -> bool {
        let is_it = |watchers: &Watchers| watchers.key.as_key() == *key;
        let entry = self.by_key.entry(key.hash.0, is_it, |watchers| watchers.key.hash.0);
        let watchers =
            entry.or_insert_with(|| Watchers { key: (*key).into(), ids: SmallVec::new() });
        let watchers = watchers.into_mut();
        if watchers.ids.contains(&id) {
            return false;
        }
        watchers.ids.push(id);
        self.by_client.entry(id).or_default().keys.push((*key).into());
        true
    }

    /// The key has been touched.
    fn touch(&mut self, key: &Key<'_>) {
        let is_it = |watchers: &Watchers| watchers.key.as_key() == *key;
        let Some(watchers) = self.by_key.find(key.hash.0, is_it) else { return };
        for id in &watchers.ids {
            self.by_client.get_mut(id).expect("marks stand in both tables").touched = true;
        }
    }
}

impl Core {
    /// From now on this client hears at its EXEC whether the keys, which are this lane's, were touched.
    pub fn watch<'k>(
        &mut self,
        id: WatchId,
        database: Database,
        keys: impl Iterator<Item = &'k [u8]>,
    ) {
        for bytes in keys {
            let key = self.store.key(database, bytes);
            // What expired before it was watched goes now, so that its going is no change later.
            let _ = self.store.expiry(&key);
            self.hand_out_touches();
            if self.watches.mark(id, &key) {
                self.interest.want(&mut self.store, Party::Watch, &key);
            }
        }
    }

    /// The keys of this lane that the client watches.
    pub fn watched_keys(&self, id: WatchId) -> &[OwnedKey] {
        self.watches.by_client.get(&id).map_or(&[], |marks| &marks.keys)
    }

    /// Whether a key that the client watches on this lane has been touched. One whose time has come
    /// since is touched, whoever noticed it or did not.
    pub fn is_watch_touched(&mut self, id: WatchId) -> bool {
        let Some(marks) = self.watches.by_client.get(&id) else { return false };
        if !marks.touched {
            for key in &marks.keys {
                let _ = self.store.expiry(&key.as_key());
            }
            self.hand_out_touches();
        }
        self.watches.by_client.get(&id).is_some_and(|marks| marks.touched)
    }

    /// Ends the client's watching on this lane; whether a key was touched meanwhile.
    pub fn unwatch(&mut self, id: WatchId) -> bool {
        let touched = self.is_watch_touched(id);
        let Some(marks) = self.watches.by_client.remove(&id) else { return false };
        for key in &marks.keys {
            let key = key.as_key();
            let is_it = |watchers: &Watchers| watchers.key.as_key() == key;
            let Ok(mut found) = self.watches.by_key.find_entry(key.hash.0, is_it) else { continue };
            found.get_mut().ids.retain(|watcher| *watcher != id);
            if found.get().ids.is_empty() {
                found.remove();
                self.interest.forget(&mut self.store, Party::Watch, &key);
            }
        }
        touched
    }

    /// What the lane's listener has noted.
    pub fn tell_watchers(&mut self, touch: &Touch) {
        match touch {
            Touch::Key { key, .. } => self.watches.touch(&key.as_key()),
            // Every key that matters was named before.
            Touch::Sweep(_) | Touch::Many => {}
        }
    }
}
