//! What a store says of every change: absolute, deterministic, in order. Replication, migration,
//! snapshots and invalidation live on it. An expiry is said with the clock it goes by, so that who
//! repeats it loses nothing when the wall clock is set; to those whose steady clock is another, who
//! passes it on says what is left of it (`Due::left_ms`).

use std::sync::{Arc, Mutex};

use ringlane_base::{Database, Due, KeyHash, Slot};

use crate::types::Change;
use crate::{Key, OwnedValue, Removal, Store, TypeName, Value};

/// One change that has just been made.
#[derive(Clone, Copy, Debug)]
pub enum Effect<'a> {
    /// The key now has this value and this expiry, whatever it had before.
    Set {
        key: Key<'a>,
        value: Value<'a>,
        expiry: Option<Due>,
    },
    /// The collection was changed so, or made by these changes; the expiry stays. When it has
    /// become empty, a `Remove` follows.
    Edit {
        key: Key<'a>,
        type_name: TypeName,
        changes: &'a [Change],
    },
    /// The key's expiry is now this; the value stays.
    Expire {
        key: Key<'a>,
        expiry: Option<Due>,
    },
    Remove {
        key: Key<'a>,
        cause: Removal,
    },
    /// Every key of the database, or of all of them, is gone.
    Flush {
        database: Option<Database>,
    },
    Swap {
        a: Database,
        b: Database,
    },
}

/// A change of whole databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// Of one database, or of all.
    Flush {
        database: Option<Database>,
    },
    Swap {
        a: Database,
        b: Database,
    },
}

/// Listens to a store.
pub trait EffectSink: Send {
    /// Called after each change, before the primitive that made it returns.
    fn effect(&mut self, effect: &Effect<'_>);

    /// Called before whole databases change, since afterwards nobody could tell what they held.
    /// `exists` says whether a key is there, be it due or not.
    fn before_sweep(&mut self, sweep: Sweep, exists: &dyn Fn(&Key<'_>) -> bool) {
        let _ = (sweep, exists); // Most listeners repeat the change itself.
    }
}

/// Keeps what a store says until it is taken.
pub struct Recorder(Arc<Mutex<Vec<OwnedEffect>>>);

impl Recorder {
    /// Listens to the store, in place of who did before.
    pub fn attach(store: &mut Store) -> Self {
        let said = Arc::default();
        store.set_effect_sink(Some(Box::new(Self(Arc::clone(&said)))));
        Self(said)
    }

    /// What was said since the last call.
    pub fn take(&self) -> Vec<OwnedEffect> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics with it"))
    }
}

impl EffectSink for Recorder {
    fn effect(&mut self, effect: &Effect<'_>) {
        self.0.lock().expect("nobody panics with it").push(effect.to_owned());
    }
}

/// A key that travels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnedKey {
    pub bytes: Box<[u8]>,
    pub slot: Slot,
    pub hash: KeyHash,
    pub database: Database,
}

impl OwnedKey {
    pub fn as_key(&self) -> Key<'_> {
        Key { bytes: &self.bytes, slot: self.slot, hash: self.hash, database: self.database }
    }
}

impl From<Key<'_>> for OwnedKey {
    fn from(key: Key<'_>) -> Self {
        Self { bytes: key.bytes.into(), slot: key.slot, hash: key.hash, database: key.database }
    }
}

/// An effect that travels to another lane or node.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnedEffect {
    Set { key: OwnedKey, value: OwnedValue, expiry: Option<Due> },
    Edit { key: OwnedKey, type_name: TypeName, changes: Vec<Change> },
    Expire { key: OwnedKey, expiry: Option<Due> },
    Remove { key: OwnedKey, cause: Removal },
    Flush { database: Option<Database> },
    Swap { a: Database, b: Database },
}

impl OwnedEffect {
    /// The same, borrowed.
    pub fn as_effect(&self) -> Effect<'_> {
        match self {
            Self::Set { key, value, expiry } => {
                Effect::Set { key: key.as_key(), value: value.as_value(), expiry: *expiry }
            }
            Self::Edit { key, type_name, changes } => {
                Effect::Edit { key: key.as_key(), type_name: *type_name, changes }
            }
            Self::Expire { key, expiry } => Effect::Expire { key: key.as_key(), expiry: *expiry },
            Self::Remove { key, cause } => Effect::Remove { key: key.as_key(), cause: *cause },
            Self::Flush { database } => Effect::Flush { database: *database },
            Self::Swap { a, b } => Effect::Swap { a: *a, b: *b },
        }
    }
}

impl Effect<'_> {
    pub fn to_owned(&self) -> OwnedEffect {
        match *self {
            Self::Set { key, value, expiry } => {
                OwnedEffect::Set { key: key.into(), value: value.to_owned(), expiry }
            }
            Self::Edit { key, type_name, changes } => {
                OwnedEffect::Edit { key: key.into(), type_name, changes: changes.to_vec() }
            }
            Self::Expire { key, expiry } => OwnedEffect::Expire { key: key.into(), expiry },
            Self::Remove { key, cause } => OwnedEffect::Remove { key: key.into(), cause },
            Self::Flush { database } => OwnedEffect::Flush { database },
            Self::Swap { a, b } => OwnedEffect::Swap { a, b },
        }
    }
}
