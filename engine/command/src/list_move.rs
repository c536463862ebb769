//! Commands over several lists, and those that wait for elements: LMOVE, LMPOP, BLPOP, BLMOVE and
//! their kin. A command that finds nothing answers `CommandError::Blocked` where that is allowed;
//! whoever holds the connection does the waiting and runs the command again.

use ringlane_base::Millis;
use ringlane_store::types::List;
use ringlane_store::{End, Key, NoticeClasses};

use crate::extended::Extended;
use crate::list::{self, growth, parse_end, peek, pop_one, pop_several, push_event};
use crate::parse::is;
use crate::{CommandError, Context, Wait, Waiting};

/// When a command that waits gives up; None: never.
///
/// # Errors
/// The argument is no number of seconds, is negative, or leaves the range of 64 bits of milliseconds.
pub(crate) fn timeout(text: &[u8], now: Millis) -> Result<Option<Millis>, CommandError> {
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
        1.. => match wait.checked_add(now.0 as i64) {
            Some(at) => Ok(Some(Millis(at as u64))),
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

/// What to do when there is nothing to take.
#[derive(Clone, Copy)]
enum Otherwise {
    /// Null.
    Answer,
    /// Wait until then.
    Wait(Option<Millis>),
}

/// The ends between which an element moves.
#[derive(Clone, Copy)]
struct Ends {
    from: End,
    to: End,
}

/// `LMOVE source destination LEFT | RIGHT LEFT | RIGHT`
pub fn lmove(context: &mut Context<'_>) -> Result<(), CommandError> {
    let ends = Ends { from: parse_end(&context.args[3])?, to: parse_end(&context.args[4])? };
    move_element(context, ends, Otherwise::Answer)
}

/// `RPOPLPUSH source destination`
pub fn rpoplpush(context: &mut Context<'_>) -> Result<(), CommandError> {
    move_element(context, Ends { from: End::Back, to: End::Front }, Otherwise::Answer)
}

/// `BLMOVE source destination LEFT | RIGHT LEFT | RIGHT timeout`
pub fn blmove(context: &mut Context<'_>) -> Result<(), CommandError> {
    let ends = Ends { from: parse_end(&context.args[3])?, to: parse_end(&context.args[4])? };
    let until = timeout(&context.args[5], context.store.now())?;
    move_element(context, ends, Otherwise::Wait(until))
}

/// `BRPOPLPUSH source destination timeout`
pub fn brpoplpush(context: &mut Context<'_>) -> Result<(), CommandError> {
    let until = timeout(&context.args[3], context.store.now())?;
    move_element(context, Ends { from: End::Back, to: End::Front }, Otherwise::Wait(until))
}

fn move_element(
    context: &mut Context<'_>,
    ends: Ends,
    otherwise: Otherwise,
) -> Result<(), CommandError> {
    let (from, to) = (context.key(1), context.new_key(2)?);
    let element = peek(context.store, &from)?.and_then(|list| list.peek(ends.from));
    let Some(element) = element.map(|item| item.to_vec()) else {
        return match otherwise {
            Otherwise::Answer => {
                context.reply.null();
                Ok(())
            }
            // BLMOVE's timeout is an array that is not there, as that of the others; inside a
            // transaction it is LMOVE.
            Otherwise::Wait(_) if context.waiting == Waiting::Never => {
                context.reply.null();
                Ok(())
            }
            Otherwise::Wait(until) => wait(context, until),
        };
    };
    if from.bytes == to.bytes {
        rotate(context, &from, &element, ends)?;
    } else {
        // The push comes first: if memory is refused, nothing has changed.
        let grows = growth(&[&element]);
        context.store.edit::<List, _>(&to, grows, |list| list.push(ends.to, &element))?;
        // Making room may have evicted the source; what moved is its rest.
        if peek(context.store, &from)?.is_some() {
            context.store.edit::<List, _>(&from, 0, |list| list.pop_with(ends.from, |_| ()))?;
        }
        context.notify(NoticeClasses::LIST, push_event(ends.to), &to);
        list::notify_taken(context, &from, ends.from);
    }
    context.reply.bulk(&element);
    Ok(())
}

/// Moves an element within one list.
fn rotate(
    context: &mut Context<'_>,
    key: &Key<'_>,
    element: &[u8],
    ends: Ends,
) -> Result<(), CommandError> {
    context.store.edit::<List, _>(key, 0, |list| {
        list.pop_with(ends.from, |_| ());
        list.push(ends.to, element);
    })?;
    context.notify(NoticeClasses::LIST, push_event(ends.to), key);
    list::notify_taken(context, key, ends.from);
    Ok(())
}

/// The first of the keys that holds a list; an earlier one of another type is an error.
fn first_list<'a>(
    context: &mut Context<'a>,
    positions: std::ops::Range<usize>,
) -> Result<Option<Key<'a>>, CommandError> {
    for index in positions {
        let key = context.key(index);
        if peek(context.store, &key)?.is_some() {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// `BLPOP key [key …] timeout`
pub fn blpop(context: &mut Context<'_>) -> Result<(), CommandError> {
    pop_first(context, End::Front)
}

/// `BRPOP key [key …] timeout`
pub fn brpop(context: &mut Context<'_>) -> Result<(), CommandError> {
    pop_first(context, End::Back)
}

fn pop_first(context: &mut Context<'_>, end: End) -> Result<(), CommandError> {
    let last = context.args.len() - 1;
    let until = timeout(&context.args[last], context.store.now())?;
    let Some(key) = first_list(context, 1..last)? else { return wait(context, until) };
    context.reply.array(2);
    context.reply.bulk(key.bytes);
    pop_one(context, &key, end)
}

/// What LMPOP and its kin are to do.
struct Mpop {
    keys: std::ops::Range<usize>,
    end: End,
    count: usize,
}

impl Mpop {
    /// Reads the arguments from the number of keys on, which is argument `at`.
    fn parse(context: &Context<'_>, at: usize) -> Result<Self, CommandError> {
        const NO_KEYS: &str = "ERR numkeys should be greater than 0";
        const NO_COUNT: &str = "ERR count should be greater than 0";
        let above_zero = |text: &[u8], refusal| match list::positive(text, refusal)? {
            0 => Err(CommandError::Fixed(refusal)),
            number => Ok(number),
        };
        let keys = above_zero(&context.args[at], NO_KEYS)?;
        let end_at = at.saturating_add(keys).saturating_add(1);
        let end = parse_end(context.args.get(end_at).ok_or(CommandError::Syntax)?)?;
        let count = match context.args.from(end_at + 1) {
            [] => 1,
            [word, count] if is(word, "count") => above_zero(count, NO_COUNT)?,
            // As Redis reads it: what is wrong with the number comes before what follows it.
            [word, count, ..] if is(word, "count") => {
                above_zero(count, NO_COUNT)?;
                return Err(CommandError::Syntax);
            }
            [..] => return Err(CommandError::Syntax),
        };
        Ok(Self { keys: at + 1..end_at, end, count })
    }
}

/// `LMPOP numkeys key [key …] LEFT | RIGHT [COUNT count]`
pub fn lmpop(context: &mut Context<'_>) -> Result<(), CommandError> {
    let mpop = Mpop::parse(context, 1)?;
    let Some(key) = first_list(context, mpop.keys)? else {
        context.reply.null_array();
        return Ok(());
    };
    pop_keyed(context, &key, mpop.end, mpop.count)
}

/// `BLMPOP timeout numkeys key [key …] LEFT | RIGHT [COUNT count]`
pub fn blmpop(context: &mut Context<'_>) -> Result<(), CommandError> {
    let mpop = Mpop::parse(context, 2)?;
    let until = timeout(&context.args[1], context.store.now())?;
    match first_list(context, mpop.keys)? {
        Some(key) => pop_keyed(context, &key, mpop.end, mpop.count),
        None => wait(context, until),
    }
}

/// Answers the key and an array of its elements.
fn pop_keyed(
    context: &mut Context<'_>,
    key: &Key<'_>,
    end: End,
    count: usize,
) -> Result<(), CommandError> {
    context.reply.array(2);
    context.reply.bulk(key.bytes);
    pop_several(context, key, end, count)
}
