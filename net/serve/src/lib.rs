//! The network: sockets, lanes, parcels between lanes, routing, doors, sessions.
//! One lane is one thread; what is not in `shared` or a mailbox belongs to exactly one of them.

pub mod admin;
pub mod ask;
pub mod clock;
pub mod core;
pub mod pubsub;
pub mod reply_buffer;
pub mod ring;
pub mod session;
pub mod shared;
pub mod stats;

mod aside;
mod aside_helper;
mod backer;
mod blocked;
mod client_memory;
mod clients;
mod connection;
mod controller;
mod doors;
mod durations;
mod errands;
mod error_codes;
mod execute;
mod gate;
mod gather;
mod intake;
mod interest;
mod jobs;
mod lane;
mod locks;
mod long;
mod mailbox;
mod monitor;
mod outbox;
mod parcel;
mod pause;
mod plan;
mod refusals;
mod reply;
mod run;
mod script_aside;
mod secrets;
mod server;
mod taking;
mod together;
mod tracking;
mod transaction;
mod under_way;
mod walks;
mod watch;
mod web_guard;

pub use admin::process::{Allocator, AllocatorUsage, set_allocator};
pub use controller::{resident_bytes, warn_if_too_small};
pub use server::{Server, StartError, Stopper, start, start_with_hash_seed};
