//! THE command table: one row a command, one function a row, and the handlers by family.
//! Holds no socket, no thread, no clock: a handler gets its arguments, one lane's store and a reply.

#[macro_use]
mod rows;
pub mod table;

pub mod context;
pub mod error;
pub mod reply;
pub mod spec;

pub mod bitfield;
pub mod bitmap;
pub mod bitop;
pub mod conditional;
pub mod counter;
pub mod dump;
pub mod expiry;
pub mod geo;
pub mod geo_search;
pub mod hash;
pub mod hash_expiry;
pub mod hyperloglog;
pub mod increx;
pub mod keys;
pub mod keyspace;
pub mod lcs;
pub mod list;
pub mod list_move;
pub mod list_search;
pub mod object;
pub mod script;
pub mod set;
pub mod set_algebra;
pub mod sort;
pub mod sorted;
pub mod sorted_algebra;
pub mod sorted_pop;
pub mod sorted_range;
pub mod stream;
pub mod stream_claim;
pub mod stream_group;
pub mod stream_info;
pub mod stream_read;
mod stream_trim;
pub mod strings;

pub mod compatibility;
pub mod introspect;
pub mod reference;

mod docs;
mod extended;
mod geohash;
mod options;
pub mod parse;
mod registers;
mod score;
mod several;

pub use context::{Args, Context, HandlerLimits, RoutedKey, Waiting};
pub use error::{CommandError, Wait};
pub use reply::Reply;
pub use script::{ScriptCommand, ScriptHost, ScriptSource};
pub use spec::{
    Access, Arity, Categories, CommandSpec, Flags, Group, Handler, KeyPositions, Keys, Merge, Run,
    ServeCommand,
};
