//! One lane's keyspace. Single-threaded; never awaits, never reads a clock.

mod arena;
mod classes;
mod databases;
mod directory;
mod edit;
mod effect;
mod entry;
mod eviction;
mod hashing;
mod keyspace;
mod lend;
mod memory;
#[cfg(test)]
mod tests;

mod notices;
mod options;
mod prefetch;
mod scan;
mod segment;
mod settle;
mod slab;
mod slot_table;
mod stats;
mod store;
mod strings;
mod telling;
pub mod types;
mod upkeep;
mod value;
mod wheel;
mod wheels;

pub use arena::Arena;
pub use effect::{Effect, EffectSink, OwnedEffect, OwnedKey, Recorder, Sweep};
pub use memory::{
    CountingAllocator, Memory, UsableSize, set_settle, set_size_class, settle_bytes, thread_bytes,
    thread_taken,
};
pub use notices::{NOTICE_BYTES_MAX, NOTICES_MAX, Notice, NoticeClasses};
pub use options::{Budget, Limits, Options, Policy, Work};
pub use prefetch::{Glance, TRACE_STEPS, Trace};
pub use scan::{cursor_at, cursor_slot};
pub use stats::Stats;
pub use store::Store;
pub use strings::bytes_to_patch;
pub use types::{
    Body, BodyView, Change, Collection, CollectionType, Edit, End, PACKED_BYTES_MAX, PackLimits,
};
pub use value::{
    BLOB_BYTES_MIN, CollectionView, EditError, Expiry, Exported, KEY_BYTES_MAX, Key, NewValue,
    ObjectInfo, OutOfMemory, OwnedCollection, OwnedValue, Removal, TypeName, Value, WrongType,
    integer_text_len,
};
