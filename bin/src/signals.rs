//! Signals become calls on one thread; every other thread has them blocked, so that none of them
//! interrupts a lane.

use std::time::{Duration, Instant};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reopen,
}

/// The signals of this process that `wait` takes.
pub struct Signals(libc::sigset_t);

impl Signals {
    /// Blocks them for this thread and for all that it starts from now on.
    pub fn block() -> Self {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset initialises the set that the other calls read; all pointers are to
        // locals, and the old mask is not asked for.
        let set = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
            set.assume_init()
        };
        Self(set)
    }

    /// Waits for the next one. None: the deadline has passed.
    pub fn wait(&self, deadline: Option<Instant>) -> Option<Signal> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let signal = self.wait_once(left.unwrap_or(Duration::from_secs(3600)));
            match signal {
                libc::SIGTERM | libc::SIGINT => return Some(Signal::Stop),
                libc::SIGHUP => return Some(Signal::Reopen),
                // Interrupted, or the hour is over.
                _ if left.is_none_or(|left| !left.is_zero()) => {}
                _ => return None,
            }
        }
    }

    /// The signal's number, or -1.
    fn wait_once(&self, longest: Duration) -> libc::c_int {
        let timeout = libc::timespec {
            tv_sec: longest.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(longest.subsec_nanos() as i32),
        };
        // SAFETY: the set was initialised by `block`; no information about the signal is asked for.
        unsafe { libc::sigtimedwait(&raw const self.0, std::ptr::null_mut(), &raw const timeout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocked_signals_are_waited_for_and_deadlines_end_the_wait() {
        let signals = Signals::block();
        for (number, signal) in [(libc::SIGHUP, Signal::Reopen), (libc::SIGTERM, Signal::Stop)] {
            // SAFETY: a signal to this very thread, which has it blocked.
            unsafe { libc::pthread_kill(libc::pthread_self(), number) };
            assert_eq!(signals.wait(None), Some(signal));
        }
        assert_eq!(signals.wait(Some(Instant::now())), None);
    }
}
