//! One lane's keyspace. Single-threaded; never awaits, never reads a clock.

mod effect;
mod memory;
mod options;
pub mod scan;
mod stats;
mod store;
mod value;

pub use effect::{Effect, EffectSink, OwnedEffect, OwnedKey};
pub use memory::Memory;
pub use options::{Budget, Limits, Options, Policy, Work};
pub use scan::{cursor_at, cursor_slot};
pub use stats::Stats;
pub use store::Store;
pub use value::{
    BLOB_BYTES_MIN, Expiry, Exported, KEY_BYTES_MAX, Key, NewValue, ObjectInfo, OutOfMemory,
    OwnedValue, Removal, TypeName, Value, integer_text_len,
};
