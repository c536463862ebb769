//! How much memory a lane may take before somebody has looked at the process again. What is freed
//! stays resident until the thread that looks (`controller`) returns it, and that thread may get
//! its core late; so each look leaves a lane a credit, and a lane that has used it up lets large
//! input wait in the ring's own buffers until the next look is over. Owns whether it does; knows
//! neither connections nor the allocator.

use std::sync::atomic::{Ordering, fence};

use crate::shared::{LaneLine, Shared};

/// A lane's gate.
#[derive(Debug, Default)]
pub struct Gate {
    /// The number of looks that there had been when it closed; None while it is open.
    closed_at: Option<usize>,
}

impl Gate {
    /// Whether what takes much memory waits.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.closed_at.is_some()
    }

    /// Closes if the lane has used up its credit, and makes sure that it hears of the next look;
    /// whether it did.
    #[inline]
    pub fn close_if_spent(&mut self, shared: &Shared, own: &LaneLine) -> bool {
        let spent = own.taken_since_look() >= shared.credit.load(Ordering::Relaxed);
        spent && !self.is_closed() && self.close(shared, own)
    }

    #[cold]
    fn close(&mut self, shared: &Shared, own: &LaneLine) -> bool {
        let looks = shared.looks.load(Ordering::Relaxed);
        own.waits_for_look.store(true, Ordering::Relaxed);
        // The keeper counts its look, fences, and looks who waits: one of the two sees the other.
        fence(Ordering::SeqCst);
        if shared.looks.load(Ordering::Relaxed) == looks {
            self.closed_at = Some(looks);
        }
        shared.wake_keeper();
        self.is_closed()
    }

    /// Opens if there has been a look since it closed; whether it did.
    #[inline]
    pub fn open_if_looked(&mut self, shared: &Shared) -> bool {
        let opens = self.closed_at.is_some_and(|at| at != shared.looks.load(Ordering::Acquire));
        if opens {
            self.closed_at = None;
        }
        opens
    }
}

/// A look is over: lanes whose gates are closed hear of it.
pub fn tell_looked(shared: &Shared) {
    shared.looks.fetch_add(1, Ordering::Release);
    fence(Ordering::SeqCst);
    for (lane, line) in shared.lines.iter().enumerate() {
        if line.waits_for_look.swap(false, Ordering::Relaxed) {
            shared.ring_doorbell(ringlane_base::LaneId(lane as u16));
        }
    }
}
