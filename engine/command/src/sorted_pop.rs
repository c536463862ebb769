//! Taking the lowest or highest members of sorted sets: ZPOPMIN, ZMPOP, BZPOPMIN and their kin. A
//! command that finds nothing says so (`CommandError::Blocked`) where waiting is allowed; whoever
//! holds the connection does the waiting and runs it again.

use ringlane_store::types::SortedSet;
use ringlane_store::{End, Key, NoticeClasses, TypeName};

use crate::hash::notify_gone;
use crate::list::positive;
use crate::parse::is;
use crate::several::{Mpop, first_of, timeout, wait};
use crate::sorted::{Scored, VISITS_A_MEMBER, claim_members};
use crate::{CommandError, Context, Reply};

/// Takes up to `count` members from one end, and says so.
fn take(
    context: &mut Context<'_>,
    key: &Key<'_>,
    end: End,
    count: usize,
) -> Result<Vec<Scored>, CommandError> {
    if let Some(set) = context.store.glance::<SortedSet>(key)? {
        let members = match end {
            End::Front => set.range(0, count),
            End::Back => set.range_rev(set.len().saturating_sub(1), count),
        };
        let visits = members.len().saturating_mul(VISITS_A_MEMBER);
        claim_members(context.limits, visits, set, members)?;
    }
    let taken: Vec<Scored> = context.store.edit::<SortedSet, _>(key, 0, |set| {
        std::iter::from_fn(|| set.pop(end)).take(count).collect()
    })?;
    if !taken.is_empty() {
        let event = match end {
            End::Front => "zpopmin",
            End::Back => "zpopmax",
        };
        context.notify(NoticeClasses::SORTED_SET, event, key);
        notify_gone(context, key);
    }
    Ok(taken)
}

fn write_scored(reply: &mut dyn Reply, (member, score): &Scored) {
    reply.bulk(member);
    reply.double(*score);
}

/// `ZPOPMIN key [count]`
pub fn zpopmin(context: &mut Context<'_>) -> Result<(), CommandError> {
    pop(context, End::Front)
}

/// `ZPOPMAX key [count]`
pub fn zpopmax(context: &mut Context<'_>) -> Result<(), CommandError> {
    pop(context, End::Back)
}

fn pop(context: &mut Context<'_>, end: End) -> Result<(), CommandError> {
    let count = match context.args.from(2) {
        [] => None,
        [count] => Some(positive(count, "ERR value is out of range, must be positive")?),
        [..] => return Err(CommandError::Syntax),
    };
    let key = context.key(1);
    let taken = take(context, &key, end, count.unwrap_or(1))?;
    let reply = &mut *context.reply;
    if count.is_some() {
        reply.pairs(taken.len());
    } else {
        // One member and its score: no pair in a list of pairs, whatever the protocol.
        reply.array(2 * taken.len());
    }
    for scored in &taken {
        if count.is_some() {
            reply.pair();
        }
        write_scored(reply, scored);
    }
    Ok(())
}

/// `BZPOPMIN key [key …] timeout`
pub fn bzpopmin(context: &mut Context<'_>) -> Result<(), CommandError> {
    pop_first(context, End::Front)
}

/// `BZPOPMAX key [key …] timeout`
pub fn bzpopmax(context: &mut Context<'_>) -> Result<(), CommandError> {
    pop_first(context, End::Back)
}

fn pop_first(context: &mut Context<'_>, end: End) -> Result<(), CommandError> {
    let last = context.args.len() - 1;
    let until = timeout(&context.args[last], context.store.now())?;
    let Some(key) = first_of(context, TypeName::SortedSet, 1..last)? else {
        return wait(context, until);
    };
    let taken = take(context, &key, end, 1)?;
    context.reply.array(3);
    context.reply.bulk(key.bytes);
    for scored in &taken {
        write_scored(context.reply, scored);
    }
    Ok(())
}

/// MIN or MAX.
fn parse_end(argument: &[u8]) -> Result<End, CommandError> {
    if is(argument, "min") {
        Ok(End::Front)
    } else if is(argument, "max") {
        Ok(End::Back)
    } else {
        Err(CommandError::Syntax)
    }
}

/// Takes members from the first sorted set and answers them; false if there is none.
fn pop_several(context: &mut Context<'_>, mpop: Mpop) -> Result<bool, CommandError> {
    let Some(key) = first_of(context, TypeName::SortedSet, mpop.keys)? else { return Ok(false) };
    let taken = take(context, &key, mpop.end, mpop.count)?;
    let reply = &mut *context.reply;
    reply.array(2);
    reply.bulk(key.bytes);
    reply.array(taken.len());
    for scored in &taken {
        reply.array(2);
        write_scored(reply, scored);
    }
    Ok(true)
}

/// `ZMPOP numkeys key [key …] MIN | MAX [COUNT count]`
pub fn zmpop(context: &mut Context<'_>) -> Result<(), CommandError> {
    let mpop = Mpop::parse(context, 1, parse_end)?;
    if !pop_several(context, mpop)? {
        context.reply.null_array();
    }
    Ok(())
}

/// `BZMPOP timeout numkeys key [key …] MIN | MAX [COUNT count]`
pub fn bzmpop(context: &mut Context<'_>) -> Result<(), CommandError> {
    let mpop = Mpop::parse(context, 2, parse_end)?;
    let until = timeout(&context.args[1], context.store.now())?;
    if pop_several(context, mpop)? { Ok(()) } else { wait(context, until) }
}
