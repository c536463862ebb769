//! THE command table: one row a command, one function a row, and the handlers by family.
//! Holds no socket, no thread, no clock: a handler gets its arguments, one lane's store and a reply.

#![allow(
    clippy::unnecessary_wraps,
    reason = "a handler answers a Result, whether it can be refused or not"
)]

#[macro_use]
mod rows;
pub mod table;

pub mod context;
pub mod error;
pub mod reply;
pub mod spec;

mod bitfield;
mod bitmap;
mod bitop;
mod conditional;
mod counter;
pub mod dump;
mod expiry;
mod geo;
mod geo_search;
mod hash;
mod hash_expiry;
mod hyperloglog;
mod increx;
mod keys;
pub mod keyspace;
mod lcs;
mod list;
mod list_move;
mod list_search;
pub mod lookups;
mod object;
pub mod script;
mod set;
mod set_algebra;
mod sort;
mod sorted;
mod sorted_algebra;
mod sorted_pop;
mod sorted_range;
mod stream;
mod stream_claim;
mod stream_group;
mod stream_info;
mod stream_read;
mod stream_trim;
mod strings;

pub mod compatibility;
pub mod introspect;
pub mod lolwut;
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
pub use lookups::{FormedKeys, Lookups};
pub use reply::Reply;
pub use script::{ScriptCommand, ScriptHost, ScriptSource};
pub use spec::{
    Access, Arity, Categories, CommandSpec, Flags, Group, Handler, KeyPositions, Keys, Merge, Run,
    ServeCommand,
};
