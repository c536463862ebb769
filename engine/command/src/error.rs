//! What a command can be refused with. The texts are those Redis sends, since clients match them.

use std::fmt;

use ringlane_base::Millis;
use ringlane_store::{EditError, OutOfMemory, WrongType};

/// What a command that found nothing to take waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// When it is answered with nothing, by the steady clock; None: it waits for ever.
    pub until: Option<Millis>,
    /// When it runs again though nothing has changed, by the steady clock: time alone brings what it
    /// waits for.
    pub again: Option<Millis>,
    /// Whether it runs again, to be refused, when one of its keys goes or becomes of another type.
    pub needs_keys: bool,
    /// The command's arguments with what depends on now made absolute (`XREAD … $`), if that differs.
    pub arguments: Option<Vec<Vec<u8>>>,
}

/// A refusal. Unless a variant says otherwise the store is unchanged and the connection stays open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// The key holds another type.
    WrongType,
    /// The key that something is to move to holds another type: unlike `WrongType`, this ends a
    /// command that waits.
    WrongDestination,
    Syntax,
    NotAnInteger,
    NotAFloat,
    /// An increment or decrement would leave the range of 64 bits.
    Overflow,
    /// An INCRBYFLOAT would give NaN or infinity.
    NotFinite,
    NoSuchKey,
    /// COPY or MOVE onto itself.
    SameObject,
    /// The value would pass `proto-max-bulk-len`.
    StringTooLong,
    /// A key of more than 16 MiB.
    KeyTooLong,
    OffsetOutOfRange,
    /// An expiry that is not positive or overflows; the command's name in lower case.
    InvalidExpire(&'static str),
    DatabaseOutOfRange,
    /// `maxmemory` is reached and nothing can be evicted.
    OutOfMemory,
    /// The command's name in lower case.
    WrongArity(&'static str),
    /// More than `spec::SERVER_ARGUMENTS_MAX`; the command's name in lower case.
    TooManyArguments(&'static str),
    /// No refusal: there is nothing to take yet and `Context::waiting` allows it. The
    /// connection waits until a key of the command changes, and the command runs again.
    Blocked(Box<Wait>),
    /// No refusal: the command would go through more than a turn has time for (`Context::claim`).
    /// Nothing was changed and nothing answered; it runs again, aside, where it may take its time.
    Aside,
    /// No refusal: the command wants to know what keys hold that its patterns name
    /// (`Context::lookups`, which says which). Nothing was changed and nothing answered; it runs again
    /// once they have been looked up.
    LooksUp,
    /// Any other fixed text, with its code: `ERR …`.
    Fixed(&'static str),
    /// Any other text, with its code: `ERR …`. No line breaks.
    Text(String),
}

impl fmt::Display for CommandError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::WrongType | Self::WrongDestination => {
                "WRONGTYPE Operation against a key holding the wrong kind of value"
            }
            Self::Syntax => "ERR syntax error",
            Self::NotAnInteger => "ERR value is not an integer or out of range",
            Self::NotAFloat => "ERR value is not a valid float",
            Self::Overflow => "ERR increment or decrement would overflow",
            Self::NotFinite => "ERR increment would produce NaN or Infinity",
            Self::NoSuchKey => "ERR no such key",
            Self::SameObject => "ERR source and destination objects are the same",
            Self::StringTooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            Self::KeyTooLong => "ERR key exceeds the maximum allowed size of 16 MiB",
            Self::OffsetOutOfRange => "ERR offset is out of range",
            Self::InvalidExpire(name) => {
                return write!(formatter, "ERR invalid expire time in '{name}' command");
            }
            Self::DatabaseOutOfRange => "ERR DB index is out of range",
            Self::OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'.",
            Self::WrongArity(name) => {
                return write!(formatter, "ERR wrong number of arguments for '{name}' command");
            }
            Self::TooManyArguments(name) => {
                let most = crate::spec::SERVER_ARGUMENTS_MAX;
                return write!(
                    formatter,
                    "ERR too many arguments for '{name}' command, which takes {most}"
                );
            }
            Self::Blocked(_) => "ERR the command would wait",
            Self::Aside => "ERR the command would take too long here",
            Self::LooksUp => "ERR the command reads other keys",
            Self::Fixed(text) => text,
            Self::Text(text) => text,
        };
        formatter.write_str(text)
    }
}

impl From<OutOfMemory> for CommandError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<WrongType> for CommandError {
    fn from(_: WrongType) -> Self {
        Self::WrongType
    }
}

impl From<EditError> for CommandError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::WrongType => Self::WrongType,
            EditError::OutOfMemory => Self::OutOfMemory,
        }
    }
}

impl std::error::Error for CommandError {}
