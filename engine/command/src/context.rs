//! What a handler is given.

use bytes::Bytes;
use ringlane_base::{Database, KeyHash, Slot};
use ringlane_store::{KEY_BYTES_MAX, Key, NoticeClasses, Store};

use crate::lookups::Lookups;
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

    /// Whether all of them together have more bytes than these.
    #[inline]
    pub fn are_longer_than(&self, bytes: usize) -> bool {
        let mut left = bytes;
        // Told early, which for the usual few is also quicker than a sum.
        self.slices.iter().any(|slice| match left.checked_sub(slice.len()) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        })
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
    /// `aside-elements`: a command that would go through more elements than these says so
    /// (`claim`). `usize::MAX` where it may take its time: aside, and inside a script.
    pub elements_at_once_max: usize,
}

/// Bytes of values that take about as long to copy or to look through as one element to visit.
const BYTES_AN_ELEMENT: usize = 1024;
/// The same of bytes that are kept, in memory that nobody has touched yet.
const KEPT_BYTES_AN_ELEMENT: usize = 512;

impl HandlerLimits {
    /// The same without a bound on what a command goes through.
    #[must_use]
    pub fn unbounded(self) -> Self {
        Self { elements_at_once_max: usize::MAX, ..self }
    }

    /// Asks for the time to go through so many elements. A handler asks once it knows how many they
    /// are, before its first reply byte and its first change.
    ///
    /// # Errors
    /// `CommandError::Aside`: there is no time for that here.
    #[inline]
    pub fn claim(&self, elements: usize) -> Result<(), CommandError> {
        if elements > self.elements_at_once_max { Err(CommandError::Aside) } else { Ok(()) }
    }

    /// The same for so many elements of a collection of `length` that takes `bytes`, of which they
    /// are taken to be like the others.
    ///
    /// # Errors
    /// As `claim`.
    #[inline]
    pub fn claim_of(
        &self,
        elements: usize,
        (length, bytes): (usize, usize),
    ) -> Result<(), CommandError> {
        let share = (bytes / length.max(1)).saturating_mul(elements);
        self.claim(elements.max(share / BYTES_AN_ELEMENT))
    }

    /// The same for so many bytes of strings.
    ///
    /// # Errors
    /// As `claim`.
    #[inline]
    pub fn claim_bytes(&self, bytes: usize) -> Result<(), CommandError> {
        self.claim(bytes / BYTES_AN_ELEMENT)
    }

    /// How many bytes may be kept without asking for more time.
    #[inline]
    pub fn kept_bytes_at_once_max(&self) -> usize {
        self.elements_at_once_max.saturating_mul(KEPT_BYTES_AN_ELEMENT)
    }

    /// The same as `claim` for so many bytes that are copied to where they are kept.
    ///
    /// # Errors
    /// As `claim`.
    #[inline]
    pub fn claim_kept(&self, bytes: usize) -> Result<(), CommandError> {
        if bytes > self.kept_bytes_at_once_max() { Err(CommandError::Aside) } else { Ok(()) }
    }

    /// The same for so many visits to elements of a collection that takes `bytes`, whose lengths are
    /// these: one among many short ones may be long. They are added up only where it matters.
    ///
    /// # Errors
    /// As `claim`.
    #[inline]
    pub fn claim_each(
        &self,
        visits: usize,
        bytes: usize,
        lengths: impl IntoIterator<Item = usize>,
    ) -> Result<(), CommandError> {
        self.claim(visits)?;
        if self.claim_bytes(bytes).is_ok() {
            return Ok(());
        }
        let mut sum = 0_usize;
        for length in lengths {
            sum = sum.saturating_add(length);
            self.claim_bytes(sum)?;
        }
        Ok(())
    }
}

impl Default for HandlerLimits {
    /// 512 MiB, 16 databases, 3000 bytes, and all the time that a command wants.
    fn default() -> Self {
        let hll_sparse_bytes_max = crate::registers::SPARSE_BYTES_MAX;
        Self {
            value_bytes_max: 512 << 20,
            databases: 16,
            hll_sparse_bytes_max,
            elements_at_once_max: usize::MAX,
        }
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
    /// For a command that names keys by patterns: how far it has come, if the caller looks them up.
    /// None: it looks in the store.
    pub lookups: Option<&'a mut Lookups>,
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
