//! What the tests of several crates share: a client that speaks RESP as bytes, and a redis-server to
//! compare with. Only tests depend on it; a failure panics, which fails the test.

mod client;
mod redis;

pub use client::{Client, PATIENCE, encode};
pub use redis::Redis;
