//! A real redis-server to compare with, what time it is there, and the seeds of random runs.

use std::time::{SystemTime, UNIX_EPOCH};

use ringlane_base::{Millis, Now};
use ringlane_testing::{Client, Redis};

/// A redis-server of its own and a connection to it.
pub struct Server {
    client: Client,
    /// Runs as long as this is held.
    _process: Redis,
}

impl Server {
    /// Starts it on a free port; None if there is no such program.
    pub fn start() -> Option<Self> {
        let process = Redis::start()?;
        Some(Self { client: process.client(), _process: process })
    }

    /// The bytes that it answers.
    pub fn run(&mut self, args: &[&[u8]]) -> Vec<u8> {
        self.client.send_command(args);
        self.client.reply_bytes()
    }
}

/// The time, as the server has it too, on both clocks.
pub fn wall_clock() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Now::both(Millis(since.as_millis() as u64))
}

/// The seeds of random runs: some, or the one of `RINGLANE_SEED`.
pub fn seeds() -> Vec<u64> {
    match std::env::var("RINGLANE_SEED") {
        Ok(seed) => vec![seed.parse().expect("RINGLANE_SEED is a number")],
        Err(_) => (1..=8).collect(),
    }
}
