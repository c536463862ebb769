//! The thread that backs the lanes' arenas with memory before they need it, since a system may take
//! a millisecond to find some. Owns the order in which lanes are served; knows nothing of what they
//! store.

use std::sync::Arc;

use ringlane_store::Arena;

/// Arenas that may wait for the thread, for each lane. One that finds no place asks again with the
/// next page that it takes, and until then backs its pages itself.
const WAITING_MAX_A_LANE: usize = 2;

/// A lane's end: the thread ends when the last lane has gone.
#[derive(Clone)]
pub struct Backer(flume::Sender<Arc<Arena>>);

impl Backer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no further thread.
    pub fn start(lanes: usize) -> std::io::Result<Self> {
        let (sender, short) = flume::bounded::<Arc<Arena>>(lanes * WAITING_MAX_A_LANE);
        std::thread::Builder::new().name("backer".to_owned()).spawn(move || {
            for arena in short {
                while arena.back_next() {}
            }
        })?;
        Ok(Self(sender))
    }

    /// Has the next pages of an arena backed. Never waits.
    pub fn back(&self, arena: Arc<Arena>) {
        // No place: see `WAITING_MAX_A_LANE`.
        let _ = self.0.try_send(arena);
    }
}
