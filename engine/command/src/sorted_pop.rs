//! Taking the lowest or highest members of sorted sets: ZPOPMIN, ZMPOP, BZPOPMIN and their kin. A
//! command that finds nothing says so (`CommandError::Blocked`) where waiting is allowed; whoever
//! holds the connection does the waiting and runs it again.

use ringlane_store::types::SortedSet;
use ringlane_store::{End, Key, NoticeClasses, TypeName, Value};

use crate::hash::notify_gone;
use crate::list::positive;
use crate::list_move::{timeout, wait};
use crate::parse::is;
use crate::sorted::Scored;
use crate::{CommandError, Context, Reply};

/// Takes up to `count` members from one end, and says so.
fn take(
    context: &mut Context<'_>,
    key: &Key<'_>,
    end: End,
    count: usize,
) -> Result<Vec<Scored>, CommandError> {
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

/// The first of these arguments that names a sorted set.
fn first_set<'a>(
    context: &mut Context<'a>,
    keys: std::ops::Range<usize>,
) -> Result<Option<Key<'a>>, CommandError> {
    for at in keys {
        let key = context.key(at);
        match context.store.peek(&key) {
            None => {}
            Some(Value::Collection(view)) if view.type_name == TypeName::SortedSet => {
                return Ok(Some(key));
            }
            Some(Value::Text(_) | Value::Integer(_) | Value::Blob(_) | Value::Collection(_)) => {
                return Err(CommandError::WrongType);
            }
        }
    }
    Ok(None)
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
    let Some(key) = first_set(context, 1..last)? else { return wait(context, until) };
    let taken = take(context, &key, end, 1)?;
    context.reply.array(3);
    context.reply.bulk(key.bytes);
    for scored in &taken {
        write_scored(context.reply, scored);
    }
    Ok(())
}

/// What ZMPOP and BZMPOP are to do.
struct Mpop {
    keys: std::ops::Range<usize>,
    end: End,
    count: usize,
}

impl Mpop {
    /// Reads the arguments from the number of keys on, which is argument `at`.
    fn parse(context: &Context<'_>, at: usize) -> Result<Self, CommandError> {
        let above_zero = |text: &[u8], refusal| match positive(text, refusal)? {
            0 => Err(CommandError::Fixed(refusal)),
            number => Ok(number),
        };
        let keys = above_zero(&context.args[at], "ERR numkeys should be greater than 0")?;
        let end_at = at.saturating_add(keys).saturating_add(1);
        let end = match context.args.get(end_at) {
            Some(word) if is(word, "min") => End::Front,
            Some(word) if is(word, "max") => End::Back,
            Some(_) | None => return Err(CommandError::Syntax),
        };
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

    /// Takes members and answers them; false if there are none.
    fn run(self, context: &mut Context<'_>) -> Result<bool, CommandError> {
        let Some(key) = first_set(context, self.keys)? else { return Ok(false) };
        let taken = take(context, &key, self.end, self.count)?;
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
}

/// `ZMPOP numkeys key [key …] MIN | MAX [COUNT count]`
pub fn zmpop(context: &mut Context<'_>) -> Result<(), CommandError> {
    let mpop = Mpop::parse(context, 1)?;
    if !mpop.run(context)? {
        context.reply.null_array();
    }
    Ok(())
}

/// `BZMPOP timeout numkeys key [key …] MIN | MAX [COUNT count]`
pub fn bzmpop(context: &mut Context<'_>) -> Result<(), CommandError> {
    let mpop = Mpop::parse(context, 2)?;
    let until = timeout(&context.args[1], context.store.now())?;
    if mpop.run(context)? { Ok(()) } else { wait(context, until) }
}
