//! Keys and values as they cross the store's border: borrowed on the way in and out, owned when
//! they travel.

use bytes::Bytes;
use ringlane_base::{Database, KeyHash, Millis, Slot};

/// The longest key that can be stored; a longer one is refused by `Store::set` as out of memory, so
/// command handlers refuse it first, by name.
pub const KEY_BYTES_MAX: usize = (1 << 24) - 1;

/// From this many bytes on a value has an allocation of its own, counted by references.
pub const BLOB_BYTES_MIN: usize = 16 * 1024;

/// A key with everything that finds it. `slot` and `hash` must be those of `bytes` under the
/// store's seed (`Store::key` computes them; the network path computes them once a request).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    pub bytes: &'a [u8],
    pub slot: Slot,
    pub hash: KeyHash,
    pub database: Database,
}

/// A stored value, borrowed from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Text(&'a [u8]),
    Integer(i64),
    Blob(&'a Bytes),
}

/// A value to store. `Text` that is the canonical spelling of a 64-bit integer is stored as one;
/// `Blob` is stored without copying, by taking a share of it.
#[derive(Clone, Copy, Debug)]
pub enum NewValue<'a> {
    Text(&'a [u8]),
    Integer(i64),
    Blob(&'a Bytes),
}

/// A value that travels between lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedValue {
    Text(Box<[u8]>),
    Integer(i64),
    Blob(Bytes),
}

impl OwnedValue {
    /// The same value, borrowed for storing.
    pub fn as_new(&self) -> NewValue<'_> {
        match self {
            Self::Text(text) => NewValue::Text(text),
            Self::Integer(integer) => NewValue::Integer(*integer),
            Self::Blob(blob) => NewValue::Blob(blob),
        }
    }
}

impl Value<'_> {
    /// A copy that can leave the lane; a blob is shared, not copied.
    pub fn to_owned(&self) -> OwnedValue {
        match self {
            Self::Text(text) => OwnedValue::Text((*text).into()),
            Self::Integer(integer) => OwnedValue::Integer(*integer),
            Self::Blob(blob) => OwnedValue::Blob((*blob).clone()),
        }
    }

    /// Length in bytes as text.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Integer(integer) => integer_text_len(*integer),
            Self::Blob(blob) => blob.len(),
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How many characters the integer has as text.
#[inline]
pub fn integer_text_len(integer: i64) -> usize {
    let digits = integer.unsigned_abs().checked_ilog10().map_or(1, |log| log as usize + 1);
    digits + usize::from(integer < 0)
}

/// What a write does to the key's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Leaves what the key has; none for a new key.
    Keep,
    Never,
    /// Absolute. A time that is not after `Store::now` removes the key at once.
    At(Millis),
}

/// Why a key went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    Deleted,
    Expired,
    Evicted,
}

/// The write does not fit under the limits and nothing can be evicted for it. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

impl std::fmt::Display for OutOfMemory {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the memory limit is reached and nothing can be evicted")
    }
}

impl std::error::Error for OutOfMemory {}

/// An entry's value and expiry, able to leave the lane (RENAME, COPY, MOVE, transactions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    pub value: OwnedValue,
    pub expiry: Option<Millis>,
}

/// The data types, with the names that TYPE and SCAN use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TypeName {
    String,
    Hash,
    Set,
    List,
    SortedSet,
    Stream,
}

impl TypeName {
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Hash => "hash",
            Self::Set => "set",
            Self::List => "list",
            Self::SortedSet => "zset",
            Self::Stream => "stream",
        }
    }
}

/// What OBJECT and MEMORY USAGE tell of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    pub type_name: TypeName,
    /// `int`, `embstr` or `raw`, as Redis would answer.
    pub encoding: &'static str,
    /// As far as the CLOCK bits tell: 0 for an entry that was used since a hand last passed, else
    /// the estimated time since then.
    pub idle_seconds: u64,
    /// The use counter scaled to Redis's 0..=255.
    pub frequency: u8,
    /// Allocated bytes: the entry, its share of the table, its value if that is apart.
    pub bytes: usize,
}
