//! The libraries that scripts find beside Redis's own functions: cjson, cmsgpack, struct. Each
//! function reads its arguments from a tape and leaves its results on another; none knows Lua.

pub mod json;
pub mod msgpack;
pub mod structs;

use crate::tape::Tape;

/// What a library function works on.
#[derive(Default)]
pub struct Desk {
    /// The arguments, each a value with all that belongs to it.
    pub input: Tape,
    /// How many arguments there are.
    pub arguments: usize,
    /// The results, likewise.
    pub output: Tape,
    pub results: usize,
    /// What is wrong, when something is.
    pub message: String,
    pub json: json::Options,
}

/// Why a function gives no results. The words are in `Desk::message`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This argument is not what it should be.
    Argument(usize),
    Failed,
    /// The script is overdue.
    Stopped,
}

/// Told of work, in steps of some ten nanoseconds: whether to stop.
pub type Look<'a> = &'a mut dyn FnMut(usize) -> bool;

/// Steps between two looks.
pub const STEPS_A_LOOK: usize = 1024;

/// One library function.
pub type Function = fn(&mut Desk, Look<'_>) -> Result<(), Fault>;

impl Desk {
    /// Something is wrong with an argument.
    pub fn bad_argument(&mut self, argument: usize, text: impl Into<String>) -> Fault {
        self.message = text.into();
        Fault::Argument(argument)
    }

    pub fn failed(&mut self, text: impl Into<String>) -> Fault {
        self.message = text.into();
        Fault::Failed
    }
}
