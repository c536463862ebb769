//! The collection types as pure data: hashes, sets, lists, sorted sets, streams. Each has a packed
//! form, one block of bytes, while it is small, and a real structure when it is large. Knows no
//! store, no key, no clock: the time and the dice are arguments.

mod block;
mod change;
mod counted;
mod deque;
mod dispatch;
mod due;
mod hash;
mod hash_block;
mod hash_table;
mod intset;
mod list;
mod pack;
mod packable;
mod run;
mod set;
pub(crate) mod sorted;
mod stream;
mod stream_change;
mod stream_groups;
mod table;
pub(crate) mod thin;
mod tree;

use std::sync::Arc;

use ringlane_base::Now;

pub use self::change::{Change, HashChange, ListChange, SetChange, SortedChange};
pub use self::deque::ListDeque;
pub(crate) use self::dispatch::{encoding, next_field_expiry};
pub use self::hash::{Hash, HashField, HashFields, HashView};
pub use self::hash_table::HashTable;
pub use self::list::{List, ListIter, ListView};
pub use self::pack::Item;
pub use self::packable::{Packable, PackableView, Packs, Shared};
pub use self::set::{Set, SetIter, SetTable, SetView};
pub use self::sorted::{Edge, Put, SortedIter, SortedSet, SortedTree, SortedView};
pub use self::stream::{
    Entries, EntriesBack, Stream, StreamEntry, StreamId, StreamLog, StreamView, Trim, TrimTo,
};
pub use self::stream_change::StreamChange;
pub use self::stream_groups::{Consumer, Delivery, Group, Pending};
pub use self::table::{Segmented, hash_bytes as member_hash};
use crate::TypeName;
use crate::memory::size_class;
use crate::settle::Settling;

/// No packed block is longer, so that it fits an entry's 16-bit length and is quick to move.
pub const PACKED_BYTES_MAX: usize = 16 * 1024 - 1;

/// What the global allocator takes for so many bytes; nothing for none.
#[inline]
pub(crate) fn heap_bytes(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { size_class(bytes) }
}

/// A type of collection: its owned form, and how it is read where it stands.
pub trait CollectionType: Sized {
    /// What it is when it is large.
    type Structure: Structure;
    const TYPE: TypeName = Self::Structure::TYPE;
    /// A view to read by; fields that are due at its time are absent from it.
    type View<'a>: Copy;

    fn empty() -> Self;
    /// The value whose `into_body` was this packed block.
    fn from_packed(bytes: Vec<u8>) -> Self;
    /// The value whose `into_body` was this structure, which must be of this type.
    fn from_large(large: Arc<Collection>) -> Self;
    fn into_body(self) -> Body;
    fn view(body: BodyView<'_>, now: Now) -> Self::View<'_>;
    /// Whether nothing is left, so that the key should go.
    fn is_empty(&self) -> bool;
    /// Does again what was recorded as this change.
    fn repeat(edit: &mut Edit<'_, Self>, change: &<Self::Structure as Structure>::Change);
}

/// A collection in one of its two forms. Which type it is, the entry's header says.
#[derive(Clone, Debug)]
pub enum Body {
    Packed(Vec<u8>),
    /// Shared only while it travels; `Arc::make_mut` copies it then.
    Large(Arc<Collection>),
}

/// The same, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum BodyView<'a> {
    Packed(&'a [u8]),
    Large(&'a Collection),
}

/// Where in a collection `Collection::settle_some` goes on; each type has its own meaning. The
/// default is the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SettleCursor(u64, u64);

/// The structure of a large collection.
#[derive(Clone, Debug)]
pub enum Collection {
    Hash(HashTable),
    Set(SetTable),
    List(ListDeque),
    SortedSet(SortedTree),
    /// Boxed, since it is longer than the others.
    Stream(Box<StreamLog>),
}

impl Collection {
    /// One without elements, to stand in for another; no key may keep it.
    pub(crate) fn empty(type_name: TypeName) -> Self {
        match type_name {
            TypeName::String => unreachable!("a string is no collection"),
            TypeName::Hash => Self::Hash(HashTable::default()),
            TypeName::Set => Self::Set(SetTable::default()),
            TypeName::List => Self::List(ListDeque::default()),
            TypeName::SortedSet => Self::SortedSet(SortedTree::empty()),
            TypeName::Stream => Self::Stream(Box::new(StreamLog::new())),
        }
    }

    /// Heap bytes by usable size, this value's own allocation included. Takes constant time.
    pub fn bytes(&self) -> usize {
        // With the two counters of its `Arc`.
        let own = size_class(2 * size_of::<usize>() + size_of::<Self>());
        own + match self {
            Self::Hash(hash) => hash.bytes(),
            Self::Set(set) => set.bytes(),
            Self::List(list) => list.bytes(),
            Self::SortedSet(sorted) => sorted.bytes(),
            Self::Stream(log) => log.bytes(),
        }
    }

    pub fn type_name(&self) -> TypeName {
        match self {
            Self::Hash(_) => TypeName::Hash,
            Self::Set(_) => TypeName::Set,
            Self::List(_) => TypeName::List,
            Self::SortedSet(_) => TypeName::SortedSet,
            Self::Stream(_) => TypeName::Stream,
        }
    }

    /// Elements: fields of a hash (those that are due too), members, list elements, stream items.
    pub fn len(&self) -> usize {
        match self {
            Self::Hash(hash) => hash.len(),
            Self::Set(set) => set.len(),
            Self::List(list) => list.len(),
            Self::SortedSet(sorted) => sorted.len(),
            Self::Stream(log) => log.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Moves what the elements own to where it leaves fewer holes, until no units are left, from a
    /// cursor on. True: all have been looked at.
    pub(crate) fn settle_some(&mut self, cursor: &mut SettleCursor, slice: &mut Settling) -> bool {
        match self {
            Self::Hash(hash) => hash.settle_some(cursor, slice),
            Self::Set(set) => set.settle_some(cursor, slice),
            Self::List(list) => list.settle_some(cursor, slice),
            Self::SortedSet(sorted) => sorted.settle_some(cursor, slice),
            Self::Stream(log) => log.settle_some(cursor, slice),
        }
    }

    /// Frees some elements, one unit each, until no units are left. True: nothing is left, and
    /// dropping the rest takes constant time.
    pub fn free_some(&mut self, units: &mut u32) -> bool {
        match self {
            Self::Hash(hash) => hash.free_some(units),
            Self::Set(set) => set.free_some(units),
            Self::List(list) => list.free_some(units),
            Self::SortedSet(sorted) => sorted.free_some(units),
            Self::Stream(log) => log.free_some(units),
        }
    }
}

/// The structure of a type, as a variant of `Collection`, and what can happen to it, as one of
/// `Change`.
pub trait Structure: Clone + 'static {
    const TYPE: TypeName;
    type Change: Into<Change>;

    /// None: it is one of another type.
    fn of(collection: &Collection) -> Option<&Self>;
    /// None: it is one of another type.
    fn of_mut(collection: &mut Collection) -> Option<&mut Self>;
    fn into_collection(self) -> Collection;
    /// None: it is one of another type.
    fn change(change: &Change) -> Option<&Self::Change>;
}

macro_rules! structures {
    ($($variant:ident: $structure:ty, $change:ty;)*) => {$(
        impl Structure for $structure {
            const TYPE: TypeName = TypeName::$variant;
            type Change = $change;

            #[inline]
            fn of(collection: &Collection) -> Option<&Self> {
                if let Collection::$variant(structure) = collection { Some(structure) } else { None }
            }

            #[inline]
            fn of_mut(collection: &mut Collection) -> Option<&mut Self> {
                if let Collection::$variant(structure) = collection { Some(structure) } else { None }
            }

            fn into_collection(self) -> Collection {
                Collection::$variant(self.into())
            }

            fn change(change: &Change) -> Option<&$change> {
                if let Change::$variant(change) = change { Some(change) } else { None }
            }
        }

        impl From<$change> for Change {
            fn from(change: $change) -> Self {
                Self::$variant(change)
            }
        }
    )*};
}

structures! {
    Hash: HashTable, HashChange;
    Set: SetTable, SetChange;
    List: ListDeque, ListChange;
    SortedSet: SortedTree, SortedChange;
    Stream: StreamLog, StreamChange;
}

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where LPUSH puts, index 0.
    Front,
    /// Where RPUSH puts.
    Back,
}

/// When packed becomes large: settings named as in Redis. Besides, no block passes
/// `PACKED_BYTES_MAX`. Large never becomes packed again, except where a type says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackLimits {
    /// Fields.
    pub hash_max_listpack_entries: usize,
    /// Bytes of a field or a value.
    pub hash_max_listpack_value: usize,
    pub set_max_intset_entries: usize,
    pub set_max_listpack_entries: usize,
    /// Bytes of a member.
    pub set_max_listpack_value: usize,
    pub zset_max_listpack_entries: usize,
    /// Bytes of a member.
    pub zset_max_listpack_value: usize,
    /// Positive: elements of a chunk. -1 to -5: a chunk has at most 4, 8, 16, 32, 64 KiB.
    pub list_max_listpack_size: i32,
    /// Bytes of a stream's block, 0: no bound.
    pub stream_node_max_bytes: usize,
    /// Items of a stream's block, 0: no bound.
    pub stream_node_max_entries: usize,
}

impl Default for PackLimits {
    fn default() -> Self {
        Self {
            hash_max_listpack_entries: 128,
            hash_max_listpack_value: 64,
            set_max_intset_entries: 512,
            set_max_listpack_entries: 128,
            set_max_listpack_value: 64,
            zset_max_listpack_entries: 128,
            zset_max_listpack_value: 64,
            list_max_listpack_size: -2,
            stream_node_max_bytes: 4096,
            stream_node_max_entries: 100,
        }
    }
}

/// A value that is being changed. Its methods, which stand with each type, change the value and
/// record what changed.
pub struct Edit<'s, T> {
    pub value: &'s mut T,
    pub limits: &'s PackLimits,
    pub now: Now,
    /// None: nobody wants to know.
    pub changes: Option<&'s mut Vec<Change>>,
}
