//! Comparing before writing: the conditions of SET, DELEX and DELIFEQ, several keys under one condition
//! (MSETEX), and the digests that stand for long values.

use ringlane_store::{Key, NoticeClasses, Removal};
use twox_hash::XxHash3_64;

use crate::options::{self, Condition, SetOptions};
use crate::parse;
use crate::strings::{new_value, put, with_bytes};
use crate::{Args, CommandError, Context};

/// The letters of a digest: 64 bits, four a letter.
const DIGEST_LETTERS: usize = 16;

/// XXH3 of 64 bits and no seed, as DIGEST answers it.
fn digest_of(bytes: &[u8]) -> String {
    format!("{:0DIGEST_LETTERS$x}", XxHash3_64::oneshot(bytes))
}

/// Whether the key is as the condition wants it. A value is compared only with a string.
pub(crate) fn allows(
    context: &mut Context<'_>,
    key: &Key<'_>,
    condition: Condition<'_>,
) -> Result<bool, CommandError> {
    let (store, limits) = (&mut *context.store, context.limits);
    let (expected, wanted) = match condition {
        Condition::Always => return Ok(true),
        Condition::Absent => return Ok(store.peek(key).is_none()),
        Condition::Present => return Ok(store.peek(key).is_some()),
        Condition::Equals(text) | Condition::DigestEquals(text) => (text, true),
        Condition::Differs(text) | Condition::DigestDiffers(text) => (text, false),
    };
    let of_digest = matches!(condition, Condition::DigestEquals(_) | Condition::DigestDiffers(_));
    let Some(value) = store.get(key) else { return Ok(!wanted) };
    // Texts of different lengths are told apart at once.
    let length = value.text_len().unwrap_or(0);
    let looks = if of_digest || length == expected.len() { length } else { 0 };
    limits.claim_bytes(looks)?;
    with_bytes(value, |bytes| {
        if !of_digest {
            return Ok((bytes == expected) == wanted);
        }
        if expected.len() != DIGEST_LETTERS {
            return Err(CommandError::Fixed("ERR must be exactly 16 hexadecimal characters"));
        }
        Ok(digest_of(bytes).as_bytes().eq_ignore_ascii_case(expected) == wanted)
    })?
}

/// `DIGEST key`
pub fn digest(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    match context.store.get(&key) {
        None => context.reply.null(),
        Some(value) => {
            context.limits.claim_bytes(value.text_len().unwrap_or(0))?;
            let digest = with_bytes(value, digest_of)?;
            context.reply.bulk(digest.as_bytes());
        }
    }
    Ok(())
}

/// `DELIFEQ key value`
pub fn delifeq(context: &mut Context<'_>) -> Result<(), CommandError> {
    let value = context.args.get(2).expect("arity was checked");
    delete_if(context, Condition::Equals(value))
}

/// `DELEX key [IFEQ value | IFNE value | IFDEQ digest | IFDNE digest]`: with a condition only a string.
pub fn delex(context: &mut Context<'_>) -> Result<(), CommandError> {
    let condition = match context.args.from(2) {
        [] => return delete_if(context, Condition::Always),
        [word, value] => Condition::of_value(word, value),
        _ => return Err(CommandError::WrongArity("delex")),
    };
    let key = context.key(1);
    // As Redis does it: the key, its type, then the condition's name.
    let Some(value) = context.store.peek(&key) else {
        context.reply.integer(0);
        return Ok(());
    };
    if value.text_len().is_none() {
        return Err(CommandError::Fixed(
            "ERR Key should be of string type if conditions are specified",
        ));
    }
    let condition = condition
        .ok_or(CommandError::Fixed("ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE"))?;
    delete_if(context, condition)
}

/// What DELEX does to its key with these arguments.
pub fn delex_key_flags(args: Args<'_>) -> &'static str {
    if args.len() > 2 { "RW delete" } else { "RM delete" }
}

/// Deletes the key if it is there and as the condition wants it; answers how many went.
fn delete_if(context: &mut Context<'_>, condition: Condition<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let deleted = allows(context, &key, condition)? && context.store.remove(&key, Removal::Deleted);
    if deleted {
        context.notify(NoticeClasses::GENERIC, "del", &key);
    }
    context.reply.integer(i64::from(deleted));
    Ok(())
}

/// `MSETEX numkeys key value [key value …] [NX | XX] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`: all or
/// nothing.
pub fn msetex(context: &mut Context<'_>) -> Result<(), CommandError> {
    const NO_COUNT: CommandError = CommandError::Fixed("ERR invalid numkeys value");
    let count = parse::integer(&context.args[1]).map_err(|_| NO_COUNT)?;
    let count = i32::try_from(count).ok().filter(|count| *count > 0).ok_or(NO_COUNT)?;
    let end = 2 + 2 * count as usize;
    if context.args.len() < end {
        return Err(CommandError::Fixed("ERR wrong number of key-value pairs"));
    }
    let options = SetOptions::parse_pairs(context.args, end)?;
    let expiry = options::store_expiry(options.expiry, context.store.now(), "msetex")?;
    for index in (2..end).step_by(2) {
        let key = context.new_key(index)?;
        if !allows(context, &key, options.condition)? {
            context.reply.integer(0);
            return Ok(());
        }
    }
    for index in (2..end).step_by(2) {
        let key = context.key(index);
        put(context, &key, new_value(context.args, index + 1), expiry)?;
    }
    context.reply.integer(1);
    Ok(())
}
