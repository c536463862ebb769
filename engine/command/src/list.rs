//! Lists: pushing, popping, reading, changing single elements. What concerns several lists, and what
//! waits for elements, is in `list_move`; LPOS and LREM are in `list_search`.

use ringlane_store::types::{Item, List, ListView};
use ringlane_store::{CollectionType, End, Key, NoticeClasses, Removal, Store, TypeName, Value};

use crate::hash::notify_gone;
use crate::parse::{self, is};
use crate::{CommandError, Context, Reply};

/// What an element takes in a list besides its bytes, at most: lengths to walk by, both ways.
const ELEMENT_OVERHEAD: usize = 10;

/// Elements that are compared in the time that one takes to be answered.
pub(crate) const LOOKS_AN_ELEMENT: usize = 8;

/// By how many bytes a list may grow that takes these elements.
pub(crate) fn growth(elements: &[&[u8]]) -> usize {
    elements.iter().map(|element| element.len() + ELEMENT_OVERHEAD).sum()
}

/// Writes an element of a collection.
#[inline]
pub(crate) fn write_item(reply: &mut dyn Reply, item: Item<'_>) {
    reply.bulk(item.bytes(&mut itoa::Buffer::new()));
}

/// The list, for a command that is going to write: no hit, no miss, no use.
pub(crate) fn peek<'s>(
    store: &'s mut Store,
    key: &Key<'_>,
) -> Result<Option<ListView<'s>>, CommandError> {
    let now = store.now();
    match store.peek(key) {
        None => Ok(None),
        Some(Value::Collection(view)) if view.type_name == TypeName::List => {
            Ok(Some(List::view(view.body, now)))
        }
        Some(Value::Text(_) | Value::Integer(_) | Value::Blob(_) | Value::Collection(_)) => {
            Err(CommandError::WrongType)
        }
    }
}

/// LEFT or RIGHT.
pub(crate) fn parse_end(argument: &[u8]) -> Result<End, CommandError> {
    if is(argument, "left") {
        Ok(End::Front)
    } else if is(argument, "right") {
        Ok(End::Back)
    } else {
        Err(CommandError::Syntax)
    }
}

/// What a push to this end is called in notices.
pub(crate) fn push_event(end: End) -> &'static str {
    match end {
        End::Front => "lpush",
        End::Back => "rpush",
    }
}

/// Says that elements were taken from this end, and that the key went if nothing is left.
pub(crate) fn notify_taken(context: &mut Context<'_>, key: &Key<'_>, end: End) {
    let event = match end {
        End::Front => "lpop",
        End::Back => "rpop",
    };
    notify_shrunk(context, key, event);
}

/// Says `event`, and that the key went if nothing is left.
pub(crate) fn notify_shrunk(context: &mut Context<'_>, key: &Key<'_>, event: &'static str) {
    context.notify(NoticeClasses::LIST, event, key);
    notify_gone(context, key);
}

/// `LPUSH key element [element …]`
pub fn lpush(context: &mut Context<'_>) -> Result<(), CommandError> {
    push(context, End::Front)
}

/// `RPUSH key element [element …]`
pub fn rpush(context: &mut Context<'_>) -> Result<(), CommandError> {
    push(context, End::Back)
}

/// `LPUSHX key element [element …]`
pub fn lpushx(context: &mut Context<'_>) -> Result<(), CommandError> {
    push_to_existing(context, End::Front)
}

/// `RPUSHX key element [element …]`
pub fn rpushx(context: &mut Context<'_>) -> Result<(), CommandError> {
    push_to_existing(context, End::Back)
}

fn push_to_existing(context: &mut Context<'_>, end: End) -> Result<(), CommandError> {
    let key = context.key(1);
    if peek(context.store, &key)?.is_none() {
        context.reply.integer(0);
        return Ok(());
    }
    push(context, end)
}

fn push(context: &mut Context<'_>, end: End) -> Result<(), CommandError> {
    let key = context.new_key(1)?;
    let elements = context.args.from(2);
    let length = context.store.edit::<List, _>(&key, growth(elements), |list| {
        for element in elements {
            list.push(end, element);
        }
        list.view().len()
    })?;
    context.notify(NoticeClasses::LIST, push_event(end), &key);
    context.reply.integer(length as i64);
    Ok(())
}

/// `LPOP key [count]`
pub fn lpop(context: &mut Context<'_>) -> Result<(), CommandError> {
    pop(context, End::Front, "lpop")
}

/// `RPOP key [count]`
pub fn rpop(context: &mut Context<'_>) -> Result<(), CommandError> {
    pop(context, End::Back, "rpop")
}

fn pop(context: &mut Context<'_>, end: End, name: &'static str) -> Result<(), CommandError> {
    let key = context.key(1);
    let count = match context.args.from(2) {
        [] => None,
        [count] => Some(positive(count, "ERR value is out of range, must be positive")?),
        [..] => return Err(CommandError::WrongArity(name)),
    };
    let Some(count) = count else { return pop_one(context, &key, end) };
    match peek(context.store, &key)? {
        None => context.reply.null_array(),
        Some(_) if count == 0 => context.reply.array(0),
        Some(_) => {
            claim_pop(context, &key, end, count)?;
            pop_several(context, &key, end, count)?;
        }
    }
    Ok(())
}

/// An integer that is not negative, or a refusal with this text.
pub(crate) fn positive(text: &[u8], refusal: &'static str) -> Result<usize, CommandError> {
    let number = parse::integer(text).ok().and_then(|number| usize::try_from(number).ok());
    number.ok_or(CommandError::Fixed(refusal))
}

/// Answers the element at the end of a list and takes it away; null if there is no list.
pub(crate) fn pop_one(
    context: &mut Context<'_>,
    key: &Key<'_>,
    end: End,
) -> Result<(), CommandError> {
    let limits = context.limits;
    let reply = &mut *context.reply;
    let popped = context.store.edit::<List, _>(key, 0, |list| {
        let first = || list.view().peek(end).map(|item| item.len());
        limits.claim_each(1, list.view().bytes(), std::iter::once_with(first).flatten())?;
        Ok::<_, CommandError>(list.pop_with(end, |item| write_item(reply, item)))
    })??;
    match popped {
        Some(()) => notify_taken(context, key, end),
        None => context.reply.null(),
    }
    Ok(())
}

/// Asks for the time to take so many elements from an end of a list.
pub(crate) fn claim_pop(
    context: &mut Context<'_>,
    key: &Key<'_>,
    end: End,
    count: usize,
) -> Result<(), CommandError> {
    let limits = context.limits;
    let Some(list) = peek(context.store, key)? else { return Ok(()) };
    let items = match end {
        End::Front => list.range(0, count),
        End::Back => list.range_rev(list.len().saturating_sub(1), count),
    };
    limits.claim_each(items.len(), list.bytes(), items.map(|item| item.len()))
}

/// Answers an array of up to `count` elements of a list that is there, those nearest to the end
/// first, and takes them away.
pub(crate) fn pop_several(
    context: &mut Context<'_>,
    key: &Key<'_>,
    end: End,
    count: usize,
) -> Result<(), CommandError> {
    let reply = &mut *context.reply;
    let garbage = context.store.edit::<List, _>(key, 0, |list| {
        let length = list.view().len();
        let count = count.min(length);
        reply.array(count);
        match end {
            End::Front => {
                list.view().range(0, count).for_each(|item| write_item(reply, item));
                list.remove(0, count)
            }
            End::Back => {
                list.view().range_rev(length - 1, count).for_each(|item| write_item(reply, item));
                list.remove(length - count, count)
            }
        }
    })?;
    context.store.free_in_slices(garbage);
    notify_taken(context, key, end);
    Ok(())
}

/// `LLEN key`
pub fn llen(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let length = context.store.view::<List>(&key)?.map_or(0, ListView::len);
    context.reply.integer(length as i64);
    Ok(())
}

/// The first index and the number of the elements from `start` to `end`, both included and counted
/// from the end if negative.
fn resolve_range(start: i64, end: i64, length: usize) -> (usize, usize) {
    let length = length as i64;
    let from_end = |index: i64| if index < 0 { index.saturating_add(length) } else { index };
    let (first, last) = (from_end(start).max(0), from_end(end).min(length - 1));
    if first > last { (0, 0) } else { (first as usize, (last - first) as usize + 1) }
}

/// The index from the front, counted from the end if negative; None: before the front.
fn resolve_index(index: i64, length: usize) -> Option<usize> {
    let index = if index < 0 { index.saturating_add(length as i64) } else { index };
    usize::try_from(index).ok()
}

/// `LRANGE key start stop`
pub fn lrange(context: &mut Context<'_>) -> Result<(), CommandError> {
    let start = parse::integer(&context.args[2])?;
    let end = parse::integer(&context.args[3])?;
    let key = context.key(1);
    let reply = &mut *context.reply;
    let Some(list) = context.store.view::<List>(&key)? else {
        reply.array(0);
        return Ok(());
    };
    let (first, count) = resolve_range(start, end, list.len());
    let items = list.range(first, count);
    context.limits.claim_each(count, list.bytes(), items.clone().map(|item| item.len()))?;
    reply.array(count);
    items.for_each(|item| write_item(reply, item));
    Ok(())
}

/// `LINDEX key index`
pub fn lindex(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let reply = &mut *context.reply;
    let Some(list) = context.store.view::<List>(&key)? else {
        reply.null();
        return Ok(());
    };
    let index = parse::integer(&context.args[2])?;
    match resolve_index(index, list.len()).and_then(|index| list.get(index)) {
        Some(item) => {
            context.limits.claim_bytes(item.len())?;
            write_item(reply, item);
        }
        None => reply.null(),
    }
    Ok(())
}

/// `LSET key index element`
pub fn lset(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let length = peek(context.store, &key)?.ok_or(CommandError::NoSuchKey)?.len();
    let index = parse::integer(&context.args[2])?;
    let index = resolve_index(index, length).filter(|&index| index < length);
    let index = index.ok_or(CommandError::Fixed("ERR index out of range"))?;
    let element = context.args.get(3).expect("arity was checked");
    context.store.edit::<List, _>(&key, growth(&[element]), |list| list.set(index, element))?;
    context.notify(NoticeClasses::LIST, "lset", &key);
    context.reply.simple("OK");
    Ok(())
}

/// `LINSERT key BEFORE | AFTER pivot element`
pub fn linsert(context: &mut Context<'_>) -> Result<(), CommandError> {
    let after = is(&context.args[2], "after");
    if !after && !is(&context.args[2], "before") {
        return Err(CommandError::Syntax);
    }
    let key = context.key(1);
    let (pivot, element) = (&context.args[3], context.args.get(4).expect("arity was checked"));
    let Some(list) = peek(context.store, &key)? else {
        context.reply.integer(0);
        return Ok(());
    };
    // To look at an element takes little of the time of answering one.
    context.limits.claim_of(list.len() / LOOKS_AN_ELEMENT, (list.len(), list.bytes()))?;
    let pivot = Item::of(pivot);
    let Some(index) = list.iter().position(|item| item == pivot) else {
        context.reply.integer(-1);
        return Ok(());
    };
    let index = index + usize::from(after);
    let length = context.store.edit::<List, _>(&key, growth(&[element]), |list| {
        list.insert(index, element);
        list.view().len()
    })?;
    context.notify(NoticeClasses::LIST, "linsert", &key);
    context.reply.integer(length as i64);
    Ok(())
}

/// `LTRIM key start stop`
pub fn ltrim(context: &mut Context<'_>) -> Result<(), CommandError> {
    let start = parse::integer(&context.args[2])?;
    let end = parse::integer(&context.args[3])?;
    let key = context.key(1);
    if let Some(list) = peek(context.store, &key)? {
        let (first, count) = resolve_range(start, end, list.len());
        if count == 0 {
            // The whole value goes at once, and is freed in slices.
            context.store.remove(&key, Removal::Deleted);
        } else {
            let trimmed = context.store.edit::<List, _>(&key, 0, |list| list.trim(first, count));
            context.store.free_in_slices(trimmed?);
        }
        notify_shrunk(context, &key, "ltrim");
    }
    context.reply.simple("OK");
    Ok(())
}
