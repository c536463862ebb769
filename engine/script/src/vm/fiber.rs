//! The stack that a script runs on. It is a stack of its own, so that a script can be left in the middle of
//! whatever it does, a `pcall` or a function of C included, and be gone on with later: what Lua's own
//! coroutines cannot. Lua's errors jump within that stack.

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::{Bridge, Failure};

/// Bytes of address space; memory is taken as far as the stack is used. Lua nests 200 calls of C at most,
/// each of some ten kibibytes.
const STACK_BYTES: usize = 4 << 20;

/// Why a script was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Others are to be served.
    Time,
    /// It waits for the answer of a command that runs elsewhere.
    Command,
}

/// How a script came to stop.
pub enum Stop {
    Ended(Option<Failure>),
    Paused(Pause),
}

/// What a script says when it leaves its stack.
pub type Leave = Yielder<(), Pause>;

type Fiber = Coroutine<(), Pause, Option<Failure>, DefaultStack>;

/// The script's stack, at work or at rest.
#[derive(Default)]
pub struct Fibers {
    running: Option<Fiber>,
    spare: Option<DefaultStack>,
}

impl Fibers {
    /// Runs `script` on the stack, until it ends or is paused. None: there is no memory for a stack.
    ///
    /// # Safety
    /// Whatever `script` refers to lives until it has ended or this is dropped. What its frames own while it is
    /// paused leaks if it never goes on.
    pub unsafe fn begin(&mut self, script: impl FnOnce(&Leave) -> Option<Failure>) -> Option<Stop> {
        assert!(self.running.is_none(), "a state runs one script at a time");
        let stack = match self.spare.take() {
            Some(stack) => stack,
            None => DefaultStack::new(STACK_BYTES).ok()?,
        };
        // SAFETY: the caller vouches for what `script` refers to.
        let fiber = unsafe { Fiber::with_stack_unchecked(stack, |leave, ()| script(leave)) };
        self.running = Some(fiber);
        Some(self.resume())
    }

    /// Goes on with the script that was paused.
    pub fn resume(&mut self) -> Stop {
        let mut fiber = self.running.take().expect("a script was paused");
        match fiber.resume(()) {
            CoroutineResult::Yield(pause) => {
                self.running = Some(fiber);
                Stop::Paused(pause)
            }
            CoroutineResult::Return(failure) => {
                self.spare = Some(fiber.into_stack());
                Stop::Ended(failure)
            }
        }
    }
}

impl Drop for Fibers {
    fn drop(&mut self) {
        if let Some(fiber) = &mut self.running {
            // SAFETY: as `begin` was promised, nobody relies on what is dropped on the stack.
            unsafe { fiber.force_reset() };
        }
    }
}

/// Leaves the script until it is resumed. Nothing happens where no script runs on a stack of its own.
///
/// # Safety
/// On the stack of the script of this bridge. No reference to the bridge is held: others use it meanwhile.
pub unsafe fn pause(bridge: *mut Bridge, why: Pause) {
    // SAFETY: `leave` is the stack's own while it is set.
    unsafe {
        let leave = (*bridge).leave;
        if let Some(leave) = leave.as_ref() {
            leave.suspend(why);
        }
    }
}
