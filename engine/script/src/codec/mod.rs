//! The libraries that scripts find beside Redis's own functions: cjson, cmsgpack, struct. Each
//! function reads its arguments from a tape and leaves its results on another; none knows Lua.

pub mod json;
pub mod msgpack;
pub mod structs;

use crate::number;
use crate::tape::{Item, Tape};

/// What a library function works on.
#[derive(Default)]
pub struct Desk {
    /// The arguments, each a value with all that belongs to it.
    pub input: Tape,
    /// How many arguments there are.
    pub arguments: usize,
    /// What Lua calls their types, in order.
    pub types: Vec<&'static str>,
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
    /// Makes it ready for a call with so many arguments.
    pub fn clear(&mut self, arguments: usize) {
        self.input.clear();
        self.output.clear();
        self.arguments = arguments;
        self.results = 0;
        self.types.clear();
    }

    /// Something is wrong with an argument.
    pub fn bad_argument(&mut self, argument: usize, text: impl Into<String>) -> Fault {
        self.message = text.into();
        Fault::Argument(argument)
    }

    /// Argument `argument`, which stands alone in its item, as a number: it is one, or a text that spells one.
    ///
    /// # Errors
    /// It is none.
    pub fn number_argument(&mut self, argument: usize) -> Result<f64, Fault> {
        let item = self.input.items.get(argument - 1).copied();
        let number = match item {
            Some(Item::Number(value)) => Some(value),
            Some(item) => self.input.text_of(item).and_then(number::read),
            None => None,
        };
        number.ok_or_else(|| self.unexpected(argument, "number"))
    }

    /// The same of one that may be left out.
    ///
    /// # Errors
    /// It is there, and no number.
    pub fn optional_number(&mut self, argument: usize) -> Result<Option<f64>, Fault> {
        let is_left_out = self.types.get(argument - 1).is_none_or(|kind| *kind == "nil");
        if is_left_out { Ok(None) } else { self.number_argument(argument).map(Some) }
    }

    /// The argument is of another type.
    pub fn unexpected(&mut self, argument: usize, expected: &str) -> Fault {
        let got = self.types.get(argument - 1).unwrap_or(&"no value");
        self.message = format!("{expected} expected, got {got}");
        Fault::Argument(argument)
    }

    pub fn failed(&mut self, text: impl Into<String>) -> Fault {
        self.message = text.into();
        Fault::Failed
    }
}
