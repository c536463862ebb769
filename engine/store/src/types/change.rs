//! What can happen to a collection, as the smallest steps that every change is made of. Replication
//! lives on them: a step is absolute and deterministic, and repeated on a copy of what was there
//! before it gives an equal copy of what is there after.

use ringlane_base::Due;

use super::{CollectionType, Edit, End, StreamChange, Structure};

/// One primitive change.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Hash(HashChange),
    Set(SetChange),
    List(ListChange),
    SortedSet(SortedChange),
    Stream(StreamChange),
}

#[derive(Clone, Debug, PartialEq)]
pub enum HashChange {
    /// The field has this value and no expiry.
    Set {
        field: Box<[u8]>,
        value: Box<[u8]>,
    },
    /// A field that is there has this expiry.
    Expire {
        field: Box<[u8]>,
        at: Option<Due>,
    },
    Remove {
        field: Box<[u8]>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum SetChange {
    Add { member: Box<[u8]> },
    Remove { member: Box<[u8]> },
}

#[derive(Clone, Debug, PartialEq)]
pub enum ListChange {
    Push {
        end: End,
        element: Box<[u8]>,
    },
    /// So many elements went from this end.
    Pop {
        end: End,
        count: u32,
    },
    Set {
        index: u64,
        element: Box<[u8]>,
    },
    /// The element stands at this index now; what stood there and behind moved by one.
    Insert {
        index: u64,
        element: Box<[u8]>,
    },
    Remove {
        index: u64,
        count: u64,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum SortedChange {
    Put { member: Box<[u8]>, score: f64 },
    Remove { member: Box<[u8]> },
}

type ChangeOf<T> = <<T as CollectionType>::Structure as Structure>::Change;

impl<T: CollectionType> Edit<'_, T> {
    /// Notes a change that has just been made; builds it only if somebody wants to know.
    #[inline]
    pub fn record(&mut self, change: impl FnOnce() -> ChangeOf<T>) {
        if let Some(changes) = &mut self.changes {
            changes.push(change().into());
        }
    }

    /// Repeats a recorded change. False: it is one of another type, and nothing happened.
    pub fn apply(&mut self, change: &Change) -> bool {
        let Some(change) = T::Structure::change(change) else { return false };
        T::repeat(self, change);
        true
    }
}
