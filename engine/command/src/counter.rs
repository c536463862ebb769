//! Strings that count.

use ringlane_base::number;
use ringlane_store::{Expiry, NewValue, NoticeClasses, Value};

use crate::strings::with_bytes;
use crate::{CommandError, Context, extended, parse};

/// `INCR key`
pub fn incr(context: &mut Context<'_>) -> Result<(), CommandError> {
    add(context, 1)
}

/// `DECR key`
pub fn decr(context: &mut Context<'_>) -> Result<(), CommandError> {
    add(context, -1)
}

/// `INCRBY key increment`
pub fn incrby(context: &mut Context<'_>) -> Result<(), CommandError> {
    let increment = parse::integer(&context.args[2])?;
    add(context, increment)
}

/// `DECRBY key decrement`
pub fn decrby(context: &mut Context<'_>) -> Result<(), CommandError> {
    let decrement = parse::integer(&context.args[2])?;
    let increment =
        decrement.checked_neg().ok_or(CommandError::Fixed("ERR decrement would overflow"))?;
    add(context, increment)
}

/// The integer that a value is, 0 for none.
pub(crate) fn integer_of(value: Option<Value<'_>>) -> Result<i64, CommandError> {
    match value {
        None => Ok(0),
        Some(Value::Integer(integer)) => Ok(integer),
        Some(Value::Text(text)) => number::parse_integer(text).ok_or(CommandError::NotAnInteger),
        Some(Value::Blob(_)) => Err(CommandError::NotAnInteger),
        Some(Value::Collection(_)) => Err(CommandError::WrongType),
    }
}

fn add(context: &mut Context<'_>, increment: i64) -> Result<(), CommandError> {
    let key = context.new_key(1)?;
    let after = context.store.set_counted(&key, |value| {
        integer_of(value)?.checked_add(increment).ok_or(CommandError::Overflow)
    })??;
    context.notify(NoticeClasses::STRING, "incrby", &key);
    context.reply.integer(after);
    Ok(())
}

/// `INCRBYFLOAT key increment`: the sum in 80-bit extended precision and its spelling, digit for
/// digit as Redis gives them on x86-64.
pub fn incrbyfloat(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.new_key(1)?;
    let before = match context.store.peek(&key) {
        None => Some(extended::Extended::ZERO),
        Some(value) => with_bytes(value, extended::Extended::parse)?,
    };
    let before = before.ok_or(CommandError::NotAFloat)?;
    let increment = extended::Extended::parse(&context.args[2]).ok_or(CommandError::NotAFloat)?;
    let sum = before.plus(increment).ok_or(CommandError::NotFinite)?;
    let text = sum.to_text();
    context.store.set(&key, NewValue::Text(text.as_bytes()), Expiry::Keep)?;
    context.notify(NoticeClasses::STRING, "incrbyfloat", &key);
    context.reply.bulk(text.as_bytes());
    Ok(())
}
