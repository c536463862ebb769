//! What BLPOP, LMPOP, BZPOPMIN, ZMPOP and their kin have in common: they take from the first of several
//! keys that holds anything, and some of them wait until one does. Takes nothing itself.

use ringlane_base::{Millis, Now};
use ringlane_store::{End, Key, TypeName, Value};

use crate::extended::Extended;
use crate::list::positive;
use crate::parse::is;
use crate::{CommandError, Context, Wait, Waiting};

/// When a command that waits gives up, by the steady clock; None: never.
///
/// # Errors
/// The argument is no number of seconds, is negative, or leaves the range of 64 bits of milliseconds.
pub(crate) fn timeout(text: &[u8], now: Now) -> Result<Option<Millis>, CommandError> {
    const OUT_OF_RANGE: CommandError = CommandError::Fixed("ERR timeout is out of range");
    const NEGATIVE: CommandError = CommandError::Fixed("ERR timeout is negative");
    let seconds = Extended::parse(text)
        .ok_or(CommandError::Fixed("ERR timeout is not a float or out of range"))?;
    let Some(wait) = seconds.thousandths_up() else {
        return Err(if seconds.is_negative() { NEGATIVE } else { OUT_OF_RANGE });
    };
    match wait {
        ..0 => Err(NEGATIVE),
        0 => Ok(None),
        1.. => match wait.checked_add(now.wall.0 as i64) {
            Some(_) => Ok(Some(now.steady.plus(wait as u64))),
            None => Err(OUT_OF_RANGE),
        },
    }
}

/// That there is nothing to take yet; where waiting is not allowed, the answer is that of a timeout.
pub(crate) fn wait(context: &mut Context<'_>, until: Option<Millis>) -> Result<(), CommandError> {
    if context.waiting == Waiting::Allowed {
        return Err(CommandError::Blocked(Box::new(Wait { until, ..Wait::default() })));
    }
    context.reply.null_array();
    Ok(())
}

/// The first of these arguments that names a value of this type; an earlier one of another type is an
/// error.
pub(crate) fn first_of<'a>(
    context: &mut Context<'a>,
    type_name: TypeName,
    keys: std::ops::Range<usize>,
) -> Result<Option<Key<'a>>, CommandError> {
    for at in keys {
        let key = context.key(at);
        match context.store.peek(&key) {
            None => {}
            Some(Value::Collection(view)) if view.type_name == type_name => return Ok(Some(key)),
            Some(Value::Text(_) | Value::Integer(_) | Value::Blob(_) | Value::Collection(_)) => {
                return Err(CommandError::WrongType);
            }
        }
    }
    Ok(None)
}

/// What LMPOP, ZMPOP and their kin are to do.
pub(crate) struct Mpop {
    pub keys: std::ops::Range<usize>,
    pub end: End,
    pub count: usize,
}

impl Mpop {
    /// Reads `numkeys key [key …] END [COUNT count]` from argument `at` on.
    pub fn parse(
        context: &Context<'_>,
        at: usize,
        parse_end: fn(&[u8]) -> Result<End, CommandError>,
    ) -> Result<Self, CommandError> {
        let above_zero = |text: &[u8], refusal| match positive(text, refusal)? {
            0 => Err(CommandError::Fixed(refusal)),
            number => Ok(number),
        };
        let keys = above_zero(&context.args[at], "ERR numkeys should be greater than 0")?;
        let end_at = at.saturating_add(keys).saturating_add(1);
        let end = parse_end(context.args.get(end_at).ok_or(CommandError::Syntax)?)?;
        let count = match context.args.from(end_at + 1) {
            [] => 1,
            [word, count, after @ ..] if is(word, "count") => {
                // As Redis reads it: what is wrong with the number comes before what follows it.
                let count = above_zero(count, "ERR count should be greater than 0")?;
                if !after.is_empty() {
                    return Err(CommandError::Syntax);
                }
                count
            }
            [..] => return Err(CommandError::Syntax),
        };
        Ok(Self { keys: at + 1..end_at, end, count })
    }
}
