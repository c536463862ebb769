//! Strings: reading, writing, replacing. Counting is in `counter`, comparing in `lcs`.

use ringlane_store::{
    Expiry, Key, NewValue, NoticeClasses, OwnedValue, Removal, Value, bytes_to_patch,
};

use crate::conditional::allows;
use crate::options::{self, ExpiryOption, SetOptions, TimeUnit};
use crate::parse;
use crate::{Args, CommandError, Context, Reply};

/// Writes a stored string, or null for none.
#[inline]
pub(crate) fn write_value(
    reply: &mut dyn Reply,
    value: Option<Value<'_>>,
) -> Result<(), CommandError> {
    match value {
        None => reply.null(),
        Some(Value::Text(text)) => reply.bulk(text),
        Some(Value::Integer(integer)) => {
            reply.bulk(itoa::Buffer::new().format(integer).as_bytes());
        }
        Some(Value::Blob(blob)) => reply.blob(blob),
        Some(Value::Collection(_)) => return Err(CommandError::WrongType),
    }
    Ok(())
}

/// Hands the bytes of a stored string to `read`.
pub(crate) fn with_bytes<R>(
    value: Value<'_>,
    read: impl FnOnce(&[u8]) -> R,
) -> Result<R, CommandError> {
    match value {
        Value::Text(text) => Ok(read(text)),
        Value::Integer(integer) => Ok(read(itoa::Buffer::new().format(integer).as_bytes())),
        Value::Blob(blob) => Ok(read(blob)),
        Value::Collection(_) => Err(CommandError::WrongType),
    }
}

/// The length of a stored string, 0 for none.
pub(crate) fn length_of(value: Option<Value<'_>>) -> Result<usize, CommandError> {
    match value {
        None => Ok(0),
        Some(value) => value.text_len().ok_or(CommandError::WrongType),
    }
}

/// Argument `index` as a value to store: shared if it came in an allocation of its own.
#[inline]
pub(crate) fn new_value(args: Args<'_>, index: usize) -> NewValue<'_> {
    match args.blob(index) {
        Some(blob) => NewValue::Blob(blob),
        None => NewValue::Text(args.get(index).expect("arity was checked")),
    }
}

/// Sets value and expiry, and says so.
#[inline]
pub(crate) fn put(
    context: &mut Context<'_>,
    key: &Key<'_>,
    value: NewValue<'_>,
    expiry: Expiry,
) -> Result<(), CommandError> {
    context.store.set(key, value, expiry)?;
    context.notify(NoticeClasses::STRING, "set", key);
    if let Expiry::At(at) = expiry {
        // A time that has passed has removed the key instead.
        let past = at.is_due(context.store.now());
        context.notify(NoticeClasses::GENERIC, if past { "del" } else { "expire" }, key);
    }
    Ok(())
}

/// `GET key`
pub fn get(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    write_value(context.reply, context.store.get(&key))
}

/// `GETDEL key`
pub fn getdel(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    write_value(context.reply, context.store.get(&key))?;
    if context.store.remove(&key, Removal::Deleted) {
        context.notify(NoticeClasses::GENERIC, "del", &key);
    }
    Ok(())
}

/// `GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]`
pub fn getex(context: &mut Context<'_>) -> Result<(), CommandError> {
    let option = options::parse_getex(context.args)?;
    let key = context.key(1);
    // As Redis does it: the option's form, the key and its type, then the time.
    if context.store.peek(&key).is_none() {
        context.reply.null();
        return Ok(());
    }
    length_of(context.store.peek(&key))?;
    let expiry = match option {
        ExpiryOption::Unsaid | ExpiryOption::Keep => None,
        ExpiryOption::Persist => Some(None),
        ExpiryOption::Given(unit, text) => {
            Some(Some(options::expiry_time(unit, text, context.store.now(), "getex")?))
        }
    };
    write_value(context.reply, context.store.peek(&key))?;
    match expiry {
        None => {}
        // A key without an expiry has nothing to lose, and nobody is to hear of it.
        Some(None) if context.store.expiry(&key).flatten().is_none() => {}
        Some(at) => {
            context.store.set_expiry(&key, at);
            let event = match at {
                None => "persist",
                Some(at) if at.is_due(context.store.now()) => "del",
                Some(_) => "expire",
            };
            context.notify(NoticeClasses::GENERIC, event, &key);
        }
    }
    Ok(())
}

/// `GETSET key value`
pub fn getset(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.new_key(1)?;
    let value = new_value(context.args, 2);
    let before = owned_string(context.store.get(&key))?;
    put(context, &key, value, Expiry::Never)?;
    match before {
        None => context.reply.null(),
        Some(before) => write_owned(context.reply, &before)?,
    }
    Ok(())
}

/// A copy of a stored string.
fn owned_string(value: Option<Value<'_>>) -> Result<Option<OwnedValue>, CommandError> {
    match value {
        Some(Value::Collection(_)) => Err(CommandError::WrongType),
        value => Ok(value.map(Value::to_owned)),
    }
}

fn write_owned(reply: &mut dyn Reply, value: &OwnedValue) -> Result<(), CommandError> {
    let value = match value {
        OwnedValue::Text(text) => Value::Text(text),
        OwnedValue::Integer(integer) => Value::Integer(*integer),
        OwnedValue::Blob(blob) => Value::Blob(blob),
        OwnedValue::Collection(collection) => Value::Collection(collection.view()),
    };
    write_value(reply, Some(value))
}

/// `GETRANGE key start end`, `SUBSTR key start end`
pub fn getrange(context: &mut Context<'_>) -> Result<(), CommandError> {
    let start = parse::integer(&context.args[2])?;
    let end = parse::integer(&context.args[3])?;
    let key = context.key(1);
    let reply = &mut *context.reply;
    let Some(value) = context.store.get(&key) else {
        reply.bulk(b"");
        return Ok(());
    };
    let range = resolve_range(start, end, length_of(Some(value))?);
    match value {
        Value::Blob(blob) => reply.blob(&blob.slice(range)),
        Value::Text(_) | Value::Integer(_) | Value::Collection(_) => {
            with_bytes(value, |bytes| reply.bulk(&bytes[range]))?;
        }
    }
    Ok(())
}

/// The bytes from `start` to `end`, both included and counted from the end if negative.
fn resolve_range(start: i64, end: i64, length: usize) -> std::ops::Range<usize> {
    let length = length as i64;
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let from = if start < 0 { (length + start.max(-length)).max(0) } else { start };
    let last = if end < 0 { (length + end.max(-length)).max(0) } else { end }.min(length - 1);
    if from > last || length == 0 {
        return 0..0;
    }
    from as usize..last as usize + 1
}

/// `STRLEN key`
pub fn strlen(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let length = length_of(context.store.get(&key))?;
    context.reply.integer(length as i64);
    Ok(())
}

/// `MGET key`, called once a key. A key of another type answers null.
pub fn mget_one(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let value = context.store.get(&key);
    let string = value.filter(|value| !matches!(value, Value::Collection(_)));
    write_value(context.reply, string)
}

/// `SET key value [NX | XX | IFEQ value | IFNE value | IFDEQ digest | IFDNE digest] [GET]
/// [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
pub fn set(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.new_key(1)?;
    let value = new_value(context.args, 2);
    if context.args.len() == 3 {
        put(context, &key, value, Expiry::Never)?;
        context.reply.simple("OK");
        return Ok(());
    }
    set_with_options(context, &key, value)
}

/// What SET does to its key with these arguments.
pub fn set_key_flags(args: Args<'_>) -> &'static str {
    match SetOptions::parse(args) {
        Ok(SetOptions { get: true, .. }) => "RW access update",
        Ok(SetOptions { condition, .. }) if condition.compares() => "RW update",
        Ok(_) | Err(_) => "OW update",
    }
}

fn set_with_options(
    context: &mut Context<'_>,
    key: &Key<'_>,
    value: NewValue<'_>,
) -> Result<(), CommandError> {
    let options = SetOptions::parse(context.args)?;
    let expiry = options::store_expiry(options.expiry, context.store.now(), "set")?;
    let before = if options.get { owned_string(context.store.get(key))? } else { None };
    let allowed = allows(context, key, options.condition)?;
    if allowed {
        put(context, key, value, expiry)?;
    }
    match before {
        Some(before) => write_owned(context.reply, &before)?,
        None if allowed && !options.get => context.reply.simple("OK"),
        None => context.reply.null(),
    }
    Ok(())
}

/// `SETNX key value`
pub fn setnx(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.new_key(1)?;
    let absent = context.store.peek(&key).is_none();
    if absent {
        put(context, &key, new_value(context.args, 2), Expiry::Never)?;
    }
    context.reply.integer(i64::from(absent));
    Ok(())
}

/// `SETEX key seconds value`
pub fn setex(context: &mut Context<'_>) -> Result<(), CommandError> {
    set_until(context, TimeUnit::Seconds, "setex")
}

/// `PSETEX key milliseconds value`
pub fn psetex(context: &mut Context<'_>) -> Result<(), CommandError> {
    set_until(context, TimeUnit::Milliseconds, "psetex")
}

fn set_until(
    context: &mut Context<'_>,
    unit: TimeUnit,
    name: &'static str,
) -> Result<(), CommandError> {
    let at = options::expiry_time(unit, &context.args[2], context.store.now(), name)?;
    let key = context.new_key(1)?;
    put(context, &key, new_value(context.args, 3), Expiry::At(at))?;
    context.reply.simple("OK");
    Ok(())
}

/// `MSET key value [key value …]`
pub fn mset(context: &mut Context<'_>) -> Result<(), CommandError> {
    set_pairs(context)?;
    context.reply.simple("OK");
    Ok(())
}

/// `MSETNX key value [key value …]`: all or nothing.
pub fn msetnx(context: &mut Context<'_>) -> Result<(), CommandError> {
    for index in (1..context.args.len()).step_by(2) {
        let key = context.key(index);
        if context.store.peek(&key).is_some() {
            context.reply.integer(0);
            return Ok(());
        }
    }
    set_pairs(context)?;
    context.reply.integer(1);
    Ok(())
}

fn set_pairs(context: &mut Context<'_>) -> Result<(), CommandError> {
    for index in (1..context.args.len()).step_by(2) {
        context.new_key(index)?;
    }
    for index in (1..context.args.len()).step_by(2) {
        let key = context.key(index);
        put(context, &key, new_value(context.args, index + 1), Expiry::Never)?;
    }
    Ok(())
}

/// `APPEND key value`
pub fn append(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.new_key(1)?;
    let suffix = context.args.get(2).expect("arity was checked");
    let limits = context.limits;
    let value = context.store.peek(&key);
    let length = length_of(value)?;
    if length.saturating_add(suffix.len()) > limits.value_bytes_max {
        return Err(CommandError::StringTooLong);
    }
    if value.is_some() {
        limits.claim_kept(bytes_to_patch(value, length, suffix.len()))?;
    }
    let length = length + suffix.len();
    if context.store.contains(&key) {
        context.store.append(&key, suffix)?;
    } else {
        // Also a number is kept as SET keeps it.
        context.store.set(&key, new_value(context.args, 2), Expiry::Never)?;
    }
    context.notify(NoticeClasses::STRING, "append", &key);
    context.reply.integer(length as i64);
    Ok(())
}

/// `SETRANGE key offset value`
pub fn setrange(context: &mut Context<'_>) -> Result<(), CommandError> {
    let offset = parse::integer(&context.args[2])?;
    let offset = usize::try_from(offset).map_err(|_| CommandError::OffsetOutOfRange)?;
    let patch = context.args.get(3).expect("arity was checked");
    let key = context.new_key(1)?;
    if patch.is_empty() {
        let length = length_of(context.store.peek(&key))?;
        context.reply.integer(length as i64);
        return Ok(());
    }
    let limits = context.limits;
    let value = context.store.peek(&key);
    length_of(value)?;
    if offset.saturating_add(patch.len()) > limits.value_bytes_max {
        return Err(CommandError::StringTooLong);
    }
    limits.claim_kept(bytes_to_patch(value, offset, patch.len()))?;
    let length = context.store.set_range(&key, offset, patch)?;
    context.notify(NoticeClasses::STRING, "setrange", &key);
    context.reply.integer(length as i64);
    Ok(())
}
