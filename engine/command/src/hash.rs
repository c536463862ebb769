//! Hashes: reading, writing, counting, walking. The expiry of fields is in `hash_expiry`.

use ringlane_base::Now;
use ringlane_store::types::{Hash, HashView, Item};
use ringlane_store::{Key, NoticeClasses};

use crate::extended::Extended;
use crate::keyspace::{ScanRequest, scan_cursor};
use crate::parse::{self, is};
use crate::set::{Count, Identity, is_few, random_count};
use crate::{CommandError, Context, HandlerLimits, Reply};

/// Bytes that a field takes beside its own and its value's, at most, about.
const FIELD_OVERHEAD: usize = 64;

/// Bytes by which a collection may grow that takes these arguments.
pub(crate) fn growth(args: &[&[u8]]) -> usize {
    args.iter().map(|argument| argument.len() + FIELD_OVERHEAD).sum()
}

/// Writes a field or a value.
#[inline]
pub(crate) fn write_item(reply: &mut dyn Reply, item: Item<'_>) {
    reply.bulk(item.bytes(&mut itoa::Buffer::new()));
}

/// Writes a value, or that there is none.
pub(crate) fn write_or_null(reply: &mut dyn Reply, item: Option<Item<'_>>) {
    match item {
        Some(item) => write_item(reply, item),
        None => reply.null(),
    }
}

/// Says that the key went, if it did.
pub(crate) fn notify_gone(context: &mut Context<'_>, key: &Key<'_>) {
    let heard = context.store.is_noticed(NoticeClasses::GENERIC);
    if heard && context.store.peek(key).is_none() {
        context.notify(NoticeClasses::GENERIC, "del", key);
    }
}

fn set_pairs(context: &mut Context<'_>, name: &'static str) -> Result<i64, CommandError> {
    let pairs = context.args.from(2);
    if !pairs.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity(name));
    }
    let key = context.new_key(1)?;
    let added = context.store.edit::<Hash, _>(&key, growth(pairs), |hash| {
        let set = |pair: &[&[u8]]| hash.set(pair[0], pair[1]);
        pairs.chunks_exact(2).map(set).filter(|added| *added).count()
    })?;
    context.notify(NoticeClasses::HASH, "hset", &key);
    Ok(added as i64)
}

/// `HSET key field value [field value …]`
pub fn hset(context: &mut Context<'_>) -> Result<(), CommandError> {
    let added = set_pairs(context, "hset")?;
    context.reply.integer(added);
    Ok(())
}

/// `HMSET key field value [field value …]`
pub fn hmset(context: &mut Context<'_>) -> Result<(), CommandError> {
    set_pairs(context, "hmset")?;
    context.reply.simple("OK");
    Ok(())
}

/// `HSETNX key field value`
pub fn hsetnx(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.new_key(1)?;
    let (field, value) = (&context.args[2], &context.args[3]);
    let added = context.store.edit::<Hash, _>(&key, growth(context.args.from(2)), |hash| {
        let absent = !hash.view().contains(field);
        if absent {
            hash.set(field, value);
        }
        absent
    })?;
    if added {
        context.notify(NoticeClasses::HASH, "hset", &key);
    }
    context.reply.integer(i64::from(added));
    Ok(())
}

/// `HGET key field`
pub fn hget(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let view = context.store.view::<Hash>(&key)?;
    let value = view.and_then(|hash| hash.get(&context.args[2]));
    if let Some(value) = value {
        context.limits.claim_bytes(value.len())?;
    }
    write_or_null(context.reply, value);
    Ok(())
}

/// `HMGET key field [field …]`
pub fn hmget(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let view = context.store.view::<Hash>(&key)?;
    let fields = context.args.from(2);
    claim_values(context.limits, view, fields)?;
    context.reply.array(fields.len());
    for field in fields {
        write_or_null(context.reply, view.and_then(|hash| hash.get(field)));
    }
    Ok(())
}

/// `HGETALL key`
pub fn hgetall(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let view = context.store.view::<Hash>(&key)?;
    claim_all(context.limits, view)?;
    let reply = &mut *context.reply;
    reply.map(view.map_or(0, live_len));
    for (field, value) in view.into_iter().flat_map(HashView::iter) {
        write_item(reply, field);
        write_item(reply, value);
    }
    Ok(())
}

/// Asks for the time to answer the values of these fields.
pub(crate) fn claim_values(
    limits: HandlerLimits,
    view: Option<HashView<'_>>,
    fields: &[&[u8]],
) -> Result<(), CommandError> {
    let Some(hash) = view else { return Ok(()) };
    let values = fields.iter().filter_map(|field| hash.get(field));
    limits.claim_each(0, hash.bytes(), values.map(|value| value.len()))
}

/// Asks for the time to go through a hash.
fn claim_all(limits: HandlerLimits, view: Option<HashView<'_>>) -> Result<(), CommandError> {
    view.map_or(Ok(()), |hash| limits.claim_of(hash.len(), (hash.len(), hash.bytes())))
}

/// How many fields are shown: those that are due and still stand are not.
fn live_len(hash: HashView<'_>) -> usize {
    if hash.next_expiry().is_none() { hash.len() } else { hash.iter().count() }
}

/// `HKEYS key`
pub fn hkeys(context: &mut Context<'_>) -> Result<(), CommandError> {
    write_half(context, |(field, _)| field)
}

/// `HVALS key`
pub fn hvals(context: &mut Context<'_>) -> Result<(), CommandError> {
    write_half(context, |(_, value)| value)
}

fn write_half(
    context: &mut Context<'_>,
    half: for<'a> fn((Item<'a>, Item<'a>)) -> Item<'a>,
) -> Result<(), CommandError> {
    let key = context.key(1);
    let view = context.store.view::<Hash>(&key)?;
    claim_all(context.limits, view)?;
    context.reply.array(view.map_or(0, live_len));
    for pair in view.into_iter().flat_map(HashView::iter) {
        write_item(context.reply, half(pair));
    }
    Ok(())
}

/// `HDEL key field [field …]`
pub fn hdel(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let fields = context.args.from(2);
    let removed = context.store.edit::<Hash, _>(&key, 0, |hash| {
        fields.iter().filter(|field| hash.remove(field)).count()
    })?;
    if removed > 0 {
        context.notify(NoticeClasses::HASH, "hdel", &key);
        notify_gone(context, &key);
    }
    context.reply.integer(removed as i64);
    Ok(())
}

/// `HEXISTS key field`
pub fn hexists(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let view = context.store.view::<Hash>(&key)?;
    let exists = view.is_some_and(|hash| hash.contains(&context.args[2]));
    context.reply.integer(i64::from(exists));
    Ok(())
}

/// `HLEN key`
pub fn hlen(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let length = context.store.view::<Hash>(&key)?.map_or(0, HashView::len);
    context.reply.integer(length as i64);
    Ok(())
}

/// `HSTRLEN key field`
pub fn hstrlen(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let view = context.store.view::<Hash>(&key)?;
    let value = view.and_then(|hash| hash.get(&context.args[2]));
    context.reply.integer(value.map_or(0, |value| value.len()) as i64);
    Ok(())
}

/// `HINCRBY key field increment`
pub fn hincrby(context: &mut Context<'_>) -> Result<(), CommandError> {
    const NO_INTEGER: CommandError = CommandError::Fixed("ERR hash value is not an integer");
    let increment = parse::integer(&context.args[3])?;
    let key = context.new_key(1)?;
    let field = &context.args[2];
    let after = context.store.edit::<Hash, _>(&key, growth(&[field, b"123"]), |hash| {
        let before = match hash.view().get(field) {
            None => 0,
            Some(Item::Integer(integer)) => integer,
            Some(Item::Text(text)) => {
                ringlane_base::number::parse_integer(text).ok_or(NO_INTEGER)?
            }
        };
        let after = before.checked_add(increment).ok_or(CommandError::Overflow)?;
        hash.set_keeping_expiry(field, itoa::Buffer::new().format(after).as_bytes());
        Ok::<i64, CommandError>(after)
    })??;
    context.notify(NoticeClasses::HASH, "hincrby", &key);
    context.reply.integer(after);
    Ok(())
}

/// `HINCRBYFLOAT key field increment`
pub fn hincrbyfloat(context: &mut Context<'_>) -> Result<(), CommandError> {
    const NO_FLOAT: CommandError = CommandError::Fixed("ERR hash value is not a float");
    let increment = Extended::parse(&context.args[3]).ok_or(CommandError::NotAFloat)?;
    if !increment.is_finite() {
        return Err(CommandError::Fixed("ERR value is NaN or Infinity"));
    }
    let key = context.new_key(1)?;
    let field = &context.args[2];
    let after = context.store.edit::<Hash, _>(&key, growth(&[field, b"1.5"]), |hash| {
        let before = match hash.view().get(field) {
            None => Extended::ZERO,
            Some(value) => {
                Extended::parse(value.bytes(&mut itoa::Buffer::new())).ok_or(NO_FLOAT)?
            }
        };
        let after = before.plus(increment).ok_or(CommandError::NotFinite)?.to_text();
        hash.set_keeping_expiry(field, after.as_bytes());
        Ok::<_, CommandError>(after)
    })??;
    context.notify(NoticeClasses::HASH, "hincrbyfloat", &key);
    context.reply.bulk(after.as_bytes());
    Ok(())
}

/// How many fields may be asked for together with their values, as in Redis.
const RANDOM_MAX: i64 = i64::MAX / 2;

/// `HRANDFIELD key [count [WITHVALUES]]`
pub fn hrandfield(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let mut dice = context.store.fork_dice();
    let Some(count) = context.args.get(2) else {
        let view = context.store.view::<Hash>(&key)?;
        let found = view.and_then(|hash| hash.random(&mut dice)).map(|(field, _)| field);
        context.limits.claim_bytes(found.map_or(0, |field| field.len()))?;
        write_or_null(context.reply, found);
        return Ok(());
    };
    let count = random_count(count)?;
    let with_values = match context.args.from(3) {
        [] => false,
        [word] if is(word, "withvalues") => true,
        _ => return Err(CommandError::Syntax),
    };
    if with_values && !(-RANDOM_MAX..=RANDOM_MAX).contains(&count) {
        return Err(CommandError::Fixed("ERR value is out of range"));
    }
    let count = Count::of(count)?;
    let now = context.store.now();
    let view = context.store.view::<Hash>(&key)?;
    if let Some(hash) = view {
        context.limits.claim(count.visits(hash.len()))?;
    }
    let chosen = match (view, count) {
        (None, _) => Vec::new(),
        (Some(hash), Count::Picks(count)) => pick(hash, count, now, &mut dice),
        (Some(hash), Count::Different(count)) => choose(hash, count, &mut dice),
    };
    claim_shown(context.limits, view, (&chosen, with_values))?;
    write_chosen(context.reply, &chosen, with_values);
    Ok(())
}

/// Asks for the time to answer these fields of a hash, with their values or without.
fn claim_shown(
    limits: HandlerLimits,
    view: Option<HashView<'_>>,
    (shown, with_values): (&[(Item<'_>, Item<'_>)], bool),
) -> Result<(), CommandError> {
    let length = |(field, value): &(Item<'_>, Item<'_>)| {
        field.len() + if with_values { value.len() } else { 0 }
    };
    let lengths = shown.iter().map(length);
    limits.claim_each(0, view.map_or(0, HashView::bytes), lengths)
}

/// So many fields, each of them anyone; none if there is none.
fn pick<'a>(
    hash: HashView<'a>,
    count: usize,
    now: Now,
    dice: &mut fastrand::Rng,
) -> Vec<(Item<'a>, Item<'a>)> {
    // Where fields are due that still stand, picking one may have to look for one that is not.
    if count >= hash.len() || hash.next_expiry().is_due(now) {
        let all: Vec<_> = hash.iter().collect();
        let count = if all.is_empty() { 0 } else { count };
        return (0..count).map(|_| all[dice.usize(..all.len())]).collect();
    }
    (0..count).map_while(|_| hash.random(dice)).collect()
}

/// Different fields by chance.
fn choose<'a>(
    hash: HashView<'a>,
    count: usize,
    dice: &mut fastrand::Rng,
) -> Vec<(Item<'a>, Item<'a>)> {
    // Fields that are due and still stand could make trying endless.
    if hash.next_expiry().is_none() && is_few(count, hash.len()) {
        let mut chosen = Vec::with_capacity(count);
        let mut seen = std::collections::HashSet::with_capacity(count);
        while chosen.len() < count {
            let (field, value) = hash.random(dice).expect("there are more than are chosen");
            if seen.insert(Identity::of(field)) {
                chosen.push((field, value));
            }
        }
        return chosen;
    }
    let mut all: Vec<_> = hash.iter().collect();
    if count < all.len() {
        dice.shuffle(&mut all);
        all.truncate(count);
    }
    all
}

fn write_chosen(reply: &mut dyn Reply, chosen: &[(Item<'_>, Item<'_>)], with_values: bool) {
    if with_values {
        reply.pairs(chosen.len());
    } else {
        reply.array(chosen.len());
    }
    for (field, value) in chosen {
        if with_values {
            reply.pair();
        }
        write_item(reply, *field);
        if with_values {
            write_item(reply, *value);
        }
    }
}

/// `HSCAN key cursor [MATCH pattern] [COUNT count] [NOVALUES]`
pub fn hscan(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let cursor = scan_cursor(&context.args[2])?;
    let Some(hash) = context.store.view::<Hash>(&key)? else {
        ScanRequest::write_nothing(context.reply);
        return Ok(());
    };
    let request = ScanRequest::parse_fields(cursor, context.args.from(3))?;
    // A walk hashes what it passes, answered or not.
    context.limits.claim_of(request.count.min(hash.len()), (hash.len(), hash.bytes()))?;
    let mut found = Vec::new();
    let next = hash.scan(request.cursor, request.count, &mut |field, value| {
        if request.wants_element(field) {
            found.push((field, value));
        }
    });
    claim_shown(context.limits, Some(hash), (&found, !request.names_only))?;
    let reply = &mut *context.reply;
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(if request.names_only { found.len() } else { found.len() * 2 });
    for (field, value) in found {
        write_item(reply, field);
        if !request.names_only {
            write_item(reply, value);
        }
    }
    Ok(())
}
