//! What a key's value looks like inside: OBJECT and MEMORY USAGE.

use ringlane_store::ObjectInfo;

use crate::parse::{self, is};
use crate::{CommandError, Context};

/// `OBJECT ENCODING key`
pub fn encoding(context: &mut Context<'_>) -> Result<(), CommandError> {
    if let Some(object) = look(context) {
        context.reply.bulk(object.encoding.as_bytes());
    }
    Ok(())
}

/// `OBJECT FREQ key`
pub fn freq(context: &mut Context<'_>) -> Result<(), CommandError> {
    if let Some(object) = look(context) {
        context.reply.integer(i64::from(object.frequency));
    }
    Ok(())
}

/// `OBJECT IDLETIME key`: seconds.
pub fn idletime(context: &mut Context<'_>) -> Result<(), CommandError> {
    if let Some(object) = look(context) {
        context.reply.integer(object.idle_seconds as i64);
    }
    Ok(())
}

/// `OBJECT REFCOUNT key`: a value belongs to one key.
pub fn refcount(context: &mut Context<'_>) -> Result<(), CommandError> {
    if look(context).is_some() {
        context.reply.integer(1);
    }
    Ok(())
}

/// `MEMORY USAGE key [SAMPLES count]`: the account is exact, so samples change nothing.
pub fn memory_usage(context: &mut Context<'_>) -> Result<(), CommandError> {
    let mut rest = context.args.from(3).iter();
    while let Some(option) = rest.next() {
        if !is(option, "samples") {
            return Err(CommandError::Syntax);
        }
        let samples = parse::integer(rest.next().ok_or(CommandError::Syntax)?)?;
        if samples < 0 {
            return Err(CommandError::Syntax);
        }
    }
    if let Some(object) = look(context) {
        context.reply.integer(object.bytes as i64);
    }
    Ok(())
}

/// The key in argument 2; answers null if there is none.
fn look(context: &mut Context<'_>) -> Option<ObjectInfo> {
    let key = context.key(2);
    let object = context.store.object(&key);
    if object.is_none() {
        context.reply.null();
    }
    object
}
