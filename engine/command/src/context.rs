//! What a handler is given.

use bytes::Bytes;
use ringlane_base::{Database, KeyHash, Slot};
use ringlane_store::{KEY_BYTES_MAX, Key, NoticeClasses, Store};

use crate::script::Scripts;
use crate::{CommandError, Reply};

/// The arguments of one command, its name first.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    slices: &'a [&'a [u8]],
    blobs: &'a [Bytes],
}

impl<'a> Args<'a> {
    /// `blobs` are those arguments (16 KiB or more) that arrived in an allocation of their own.
    pub fn new(slices: &'a [&'a [u8]], blobs: &'a [Bytes]) -> Self {
        Self { slices, blobs }
    }

    /// How many there are, the name included.
    #[allow(clippy::len_without_is_empty)] // The name is always there.
    #[inline]
    pub fn len(&self) -> usize {
        self.slices.len()
    }

    #[inline]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.slices.get(index).copied()
    }

    /// All from `start` on; empty beyond the end.
    #[inline]
    pub fn from(&self, start: usize) -> &'a [&'a [u8]] {
        self.slices.get(start..).unwrap_or_default()
    }

    /// Those arguments that arrived in an allocation of their own.
    #[inline]
    pub fn blobs(&self) -> &'a [Bytes] {
        self.blobs
    }

    /// All of them, to outlive the input: large ones are shared, the others copied.
    pub fn to_shared(&self) -> Vec<Bytes> {
        (0..self.len())
            .map(|index| match self.blob(index) {
                Some(blob) => blob.clone(),
                None => Bytes::copy_from_slice(&self[index]),
            })
            .collect()
    }

    /// The allocation that holds argument `index` alone, if it came in one: taking a share of it
    /// stores the value without copying it.
    #[inline]
    pub fn blob(&self, index: usize) -> Option<&'a Bytes> {
        if self.blobs.is_empty() {
            return None;
        }
        let slice = self.get(index)?;
        self.blobs.iter().find(|blob| blob.as_ptr() == slice.as_ptr() && blob.len() == slice.len())
    }
}

impl std::ops::Index<usize> for Args<'_> {
    type Output = [u8];

    #[inline]
    fn index(&self, index: usize) -> &[u8] {
        self.slices[index]
    }
}

/// The key by which the command was routed, hashed once when it was parsed.
#[derive(Clone, Copy, Debug)]
pub struct RoutedKey {
    /// Which argument it is.
    pub index: usize,
    pub slot: Slot,
    pub hash: KeyHash,
}

/// The settings that handlers obey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandlerLimits {
    /// `proto-max-bulk-len`: the longest string that APPEND, SETRANGE, … may make.
    pub value_bytes_max: usize,
    /// `databases`.
    pub databases: u8,
    /// `hll-sparse-max-bytes`: longer sketches of PFADD are dense.
    pub hll_sparse_bytes_max: usize,
}

impl Default for HandlerLimits {
    /// 512 MiB, 16 databases, 3000 bytes.
    fn default() -> Self {
        let hll_sparse_bytes_max = crate::registers::SPARSE_BYTES_MAX;
        Self { value_bytes_max: 512 << 20, databases: 16, hll_sparse_bytes_max }
    }
}

/// Whether a command that finds nothing may wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// It may answer `CommandError::Blocked`.
    Allowed,
    /// It has waited; its time is over.
    Over,
    /// It may not: inside a transaction or a script.
    Never,
}

/// One command at its lane: what it may read, change and say. The time is the store's
/// (`Store::now`), set once a turn.
pub struct Context<'a> {
    pub store: &'a mut Store,
    pub args: Args<'a>,
    pub routed: Option<RoutedKey>,
    /// The connection's selected database.
    pub database: Database,
    pub limits: HandlerLimits,
    pub waiting: Waiting,
    /// The lane's interpreter, for the commands that run scripts. None inside a script.
    pub scripts: Scripts<'a>,
    pub reply: &'a mut dyn Reply,
}

impl<'a> Context<'a> {
    /// Argument `index` as a key of the selected database.
    #[inline]
    pub fn key(&self, index: usize) -> Key<'a> {
        let bytes = self.args.get(index).expect("arity was checked");
        match self.routed {
            Some(routed) if routed.index == index => {
                Key { bytes, slot: routed.slot, hash: routed.hash, database: self.database }
            }
            Some(_) | None => self.store.key(self.database, bytes),
        }
    }

    /// The same for a key that may be created: refused when it is too long to be stored.
    #[inline]
    pub fn new_key(&self, index: usize) -> Result<Key<'a>, CommandError> {
        let key = self.key(index);
        if key.bytes.len() > KEY_BYTES_MAX {
            return Err(CommandError::KeyTooLong);
        }
        Ok(key)
    }

    /// Says what the command has just done to the key, by the class and the name that Redis gives the
    /// event (`notify-keyspace-events`). Nothing but a branch while nobody wants to know.
    #[inline]
    pub fn notify(&mut self, class: NoticeClasses, event: &'static str, key: &Key<'_>) {
        self.store.notify(class, event, key);
    }
}
