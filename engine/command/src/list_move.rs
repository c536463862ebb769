//! Commands over several lists, and those that wait for elements: LMOVE, LMPOP, BLPOP, BLMOVE and
//! their kin. A command that finds nothing answers `CommandError::Blocked` where that is allowed;
//! whoever holds the connection does the waiting and runs the command again.

use ringlane_base::Millis;
use ringlane_store::types::List;
use ringlane_store::{End, Key, NoticeClasses, TypeName};

use crate::list::{self, claim_pop, growth, parse_end, peek, pop_one, pop_several, push_event};
use crate::several::{Mpop, first_of, timeout, wait};
use crate::{CommandError, Context, Waiting};

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
    let limits = context.limits;
    let element = peek(context.store, &from)?.and_then(|list| list.peek(ends.from));
    if let Some(element) = element {
        // It is taken, kept and answered.
        limits.claim_kept(element.len().saturating_mul(2))?;
    }
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
        if peek(context.store, &to).is_err() {
            return Err(CommandError::WrongDestination);
        }
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
    let Some(key) = first_of(context, TypeName::List, 1..last)? else {
        return wait(context, until);
    };
    claim_pop(context, &key, end, 1)?;
    context.reply.array(2);
    context.reply.bulk(key.bytes);
    pop_one(context, &key, end)
}

/// `LMPOP numkeys key [key …] LEFT | RIGHT [COUNT count]`
pub fn lmpop(context: &mut Context<'_>) -> Result<(), CommandError> {
    let mpop = Mpop::parse(context, 1, parse_end)?;
    let Some(key) = first_of(context, TypeName::List, mpop.keys)? else {
        context.reply.null_array();
        return Ok(());
    };
    pop_keyed(context, &key, mpop.end, mpop.count)
}

/// `BLMPOP timeout numkeys key [key …] LEFT | RIGHT [COUNT count]`
pub fn blmpop(context: &mut Context<'_>) -> Result<(), CommandError> {
    let mpop = Mpop::parse(context, 2, parse_end)?;
    let until = timeout(&context.args[1], context.store.now())?;
    match first_of(context, TypeName::List, mpop.keys)? {
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
    claim_pop(context, key, end, count)?;
    context.reply.array(2);
    context.reply.bulk(key.bytes);
    pop_several(context, key, end, count)
}
