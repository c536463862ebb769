//! Arguments as numbers and words, with the refusals that Redis gives.

use ringlane_base::{Database, number};

use crate::CommandError;

/// A 64-bit integer.
#[inline]
pub fn integer(text: &[u8]) -> Result<i64, CommandError> {
    number::parse_integer(text).ok_or(CommandError::NotAnInteger)
}

/// A number of a database that is no 32-bit integer; Redis's wording.
pub const NOT_32_BITS: CommandError =
    CommandError::Fixed("ERR value is out of range, value must between -2147483648 and 2147483647");

/// The number of a database below `databases`.
pub fn database(text: &[u8], databases: u8) -> Result<Database, CommandError> {
    let number = integer(text)?;
    if i32::try_from(number).is_err() {
        return Err(NOT_32_BITS);
    }
    match u8::try_from(number) {
        Ok(number) if number < databases => Ok(Database(number)),
        Ok(_) | Err(_) => Err(CommandError::DatabaseOutOfRange),
    }
}

/// Whether the argument is this word, case ignored.
#[inline]
pub fn is(argument: &[u8], word: &str) -> bool {
    argument.eq_ignore_ascii_case(word.as_bytes())
}

/// The beginning of an argument as part of an error text, which is one line. It ends before a zero
/// byte, as in Redis.
pub fn printable(argument: &[u8], bytes_max: usize) -> String {
    let shown = &argument[..argument.len().min(bytes_max)];
    let shown = shown.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(shown).replace(['\r', '\n'], " ")
}
