//! What a connection has said about itself, and what the server holds about it.

use std::collections::HashSet;
use std::net::SocketAddr;

use ringlane_base::{Database, Slot};
use ringlane_resp::Version;

use crate::transaction::Transaction;

/// Which port a connection came through: how it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Any key: what this lane does not own is forwarded.
    Front,
    /// This lane's slots only: others are answered with MOVED.
    Lane,
}

/// `CLIENT REPLY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyMode {
    On,
    Off,
    /// The reply of the command that follows is left out.
    Skip,
}

/// Keys that one client may watch at once.
pub const WATCHED_KEYS_MAX: usize = 1 << 16;

/// A key that a client watches, by what tells it from others: a collision of two hashes only lets
/// `CLIENT LIST` count one key less.
pub type WatchedKey = (Database, Slot, u64);

/// The state of one client's session. Moves with its connection from lane to lane.
#[allow(clippy::struct_excessive_bools, reason = "independent switches of one client")]
pub struct Session {
    /// Unique within the process, ascending.
    pub id: u64,
    pub door: Door,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub authenticated: bool,
    pub database: Database,
    pub version: Version,
    pub reply_mode: ReplyMode,
    /// `CLIENT NO-TOUCH`: reads leave the eviction bits alone.
    pub no_touch: bool,
    /// `CLIENT NO-EVICT`: not chosen when clients must be disconnected for memory.
    pub no_evict: bool,
    /// `READONLY` was said: accepted, of no effect while a lane has no replicas.
    pub read_only: bool,
    pub name: Vec<u8>,
    pub library_name: Vec<u8>,
    pub library_version: Vec<u8>,
    /// By the steady clock.
    pub connected_ms: u64,
    /// When the last command came, by the steady clock.
    pub active_ms: u64,
    /// The last command's row in the table.
    pub last_command: Option<u16>,
    pub commands: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// From MULTI to EXEC, DISCARD or RESET.
    pub transaction: Option<Box<Transaction>>,
    /// What WATCH said since the last EXEC, DISCARD or UNWATCH.
    pub watched: HashSet<WatchedKey>,
    /// How often watching has ended.
    pub watch_round: u32,
}

impl Session {
    pub fn new(id: u64, door: Door, peer: SocketAddr, local: SocketAddr, now_ms: u64) -> Self {
        Self {
            id,
            door,
            peer,
            local,
            authenticated: false,
            database: Database(0),
            version: Version::Resp2,
            reply_mode: ReplyMode::On,
            no_touch: false,
            no_evict: false,
            read_only: false,
            name: Vec::new(),
            library_name: Vec::new(),
            library_version: Vec::new(),
            connected_ms: now_ms,
            active_ms: now_ms,
            last_command: None,
            commands: 0,
            bytes_in: 0,
            bytes_out: 0,
            transaction: None,
            watched: HashSet::new(),
            watch_round: 0,
        }
    }
}
