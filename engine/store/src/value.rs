//! Keys and values as they cross the store's border: borrowed on the way in and out, owned when
//! they travel.

use std::sync::Arc;

use bytes::Bytes;
use ringlane_base::{Database, Due, KeyHash, Slot};

use crate::types::{Body, BodyView, Collection};

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
    /// A hash, list, set, sorted set or stream.
    Collection(CollectionView<'a>),
}

/// A collection, borrowed from the store: `types` reads it.
#[derive(Clone, Copy, Debug)]
pub struct CollectionView<'a> {
    pub type_name: TypeName,
    pub body: BodyView<'a>,
    /// The body's structure, if it is one, to take a share of.
    pub large: Option<&'a Arc<Collection>>,
}

impl CollectionView<'_> {
    /// The same, to travel: a structure is shared, a block copied.
    pub fn to_owned(self) -> OwnedCollection {
        let body = match (self.body, self.large) {
            (BodyView::Packed(block), _) => Body::Packed(block.to_vec()),
            (BodyView::Large(_), Some(large)) => Body::Large(Arc::clone(large)),
            (BodyView::Large(large), None) => Body::Large(Arc::new(large.clone())),
        };
        OwnedCollection { type_name: self.type_name, body }
    }
}

/// Equal if they are the same block or structure; what they hold is compared through the views of
/// `types`.
impl PartialEq for CollectionView<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.type_name == other.type_name
            && match (self.body, other.body) {
                (BodyView::Packed(a), BodyView::Packed(b)) => a == b,
                (BodyView::Large(a), BodyView::Large(b)) => std::ptr::eq(a, b),
                (BodyView::Packed(_) | BodyView::Large(_), _) => false,
            }
    }
}

impl Eq for CollectionView<'_> {}

/// A collection that travels. A structure is shared with the lane it comes from.
#[derive(Clone, Debug)]
pub struct OwnedCollection {
    pub type_name: TypeName,
    pub body: Body,
}

impl OwnedCollection {
    pub fn view(&self) -> CollectionView<'_> {
        let (body, large) = match &self.body {
            Body::Packed(block) => (BodyView::Packed(block), None),
            Body::Large(large) => (BodyView::Large(large), Some(large)),
        };
        CollectionView { type_name: self.type_name, body, large }
    }
}

impl PartialEq for OwnedCollection {
    fn eq(&self, other: &Self) -> bool {
        self.view() == other.view()
    }
}

impl Eq for OwnedCollection {}

/// A value to store. `Text` that is the canonical spelling of a 64-bit integer is stored as one;
/// `Blob` is stored without copying, by taking a share of it.
#[derive(Clone, Copy, Debug)]
pub enum NewValue<'a> {
    Text(&'a [u8]),
    Integer(i64),
    Blob(&'a Bytes),
    Collection(&'a OwnedCollection),
}

/// A value that travels between lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedValue {
    Text(Box<[u8]>),
    Integer(i64),
    Blob(Bytes),
    Collection(OwnedCollection),
}

impl OwnedValue {
    /// The same value, borrowed for storing.
    pub fn as_new(&self) -> NewValue<'_> {
        match self {
            Self::Text(text) => NewValue::Text(text),
            Self::Integer(integer) => NewValue::Integer(*integer),
            Self::Blob(blob) => NewValue::Blob(blob),
            Self::Collection(collection) => NewValue::Collection(collection),
        }
    }

    /// The same value, borrowed as a store shows it.
    pub fn as_value(&self) -> Value<'_> {
        match self {
            Self::Text(text) => Value::Text(text),
            Self::Integer(integer) => Value::Integer(*integer),
            Self::Blob(blob) => Value::Blob(blob),
            Self::Collection(collection) => Value::Collection(collection.view()),
        }
    }
}

impl OwnedValue {
    /// Copies what is shared, so that whoever changes it first need not.
    pub fn unshare(&mut self) {
        match self {
            Self::Text(_) | Self::Integer(_) => {}
            Self::Blob(blob) => *blob = Bytes::copy_from_slice(blob),
            Self::Collection(OwnedCollection { body, .. }) => match body {
                Body::Packed(_) => {}
                Body::Large(large) => *large = Arc::new(Collection::clone(large)),
            },
        }
    }

    /// How much `unshare` copies: elements, and the bytes that they take.
    pub fn shared(&self) -> (usize, usize) {
        match self {
            Self::Text(_) | Self::Integer(_) => (0, 0),
            Self::Blob(blob) => (1, blob.len()),
            Self::Collection(OwnedCollection { body, .. }) => match body {
                Body::Packed(_) => (0, 0),
                Body::Large(large) => (large.len(), large.bytes()),
            },
        }
    }
}

impl Value<'_> {
    /// A copy that can leave the lane; blobs and large collections are shared, not copied.
    pub fn to_owned(self) -> OwnedValue {
        match self {
            Self::Text(text) => OwnedValue::Text(text.into()),
            Self::Integer(integer) => OwnedValue::Integer(integer),
            Self::Blob(blob) => OwnedValue::Blob(blob.clone()),
            Self::Collection(view) => OwnedValue::Collection(view.to_owned()),
        }
    }

    /// Length in bytes as text; None: it is no string.
    #[inline]
    pub fn text_len(&self) -> Option<usize> {
        match self {
            Self::Text(text) => Some(text.len()),
            Self::Integer(integer) => Some(integer_text_len(*integer)),
            Self::Blob(blob) => Some(blob.len()),
            Self::Collection(_) => None,
        }
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
    At(Due),
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
    pub expiry: Option<Due>,
}

/// The key holds another type than the command works on. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType;

/// Why a collection could not be changed. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditError {
    WrongType,
    OutOfMemory,
}

impl From<OutOfMemory> for EditError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// The data types, with the names that TYPE and SCAN use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TypeName {
    String = 0,
    List = 1,
    Set = 2,
    SortedSet = 3,
    Hash = 4,
    Stream = 5,
}

impl TypeName {
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "zset",
            Self::Hash => "hash",
            Self::Stream => "stream",
        }
    }

    /// The type of this number, which was one's.
    #[inline]
    pub(crate) fn from_number(number: u8) -> Self {
        match number {
            0 => Self::String,
            1 => Self::List,
            2 => Self::Set,
            3 => Self::SortedSet,
            4 => Self::Hash,
            5 => Self::Stream,
            other => unreachable!("no type has the number {other}"),
        }
    }
}

/// What OBJECT and MEMORY USAGE tell of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    pub type_name: TypeName,
    /// As Redis would answer: `int`, `embstr`, `raw`, `listpack`, `quicklist`, ….
    pub encoding: &'static str,
    /// As far as the CLOCK bits tell: 0 for an entry that was used since a hand last passed, else
    /// the estimated time since then.
    pub idle_seconds: u64,
    /// The use counter scaled to Redis's 0..=255.
    pub frequency: u8,
    /// Allocated bytes: the entry, its share of the table, its value if that is apart.
    pub bytes: usize,
}
