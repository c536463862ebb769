//! Sets: adding, removing, asking, choosing by chance, walking. What several sets have in common is
//! in `set_algebra`.

use ringlane_store::types::{Item, Set, SetView};
use ringlane_store::{Key, NoticeClasses, Removal};

use crate::hash::{notify_gone, write_item};
use crate::keyspace::{ScanRequest, scan_cursor};
use crate::list::positive;
use crate::{CommandError, Context, parse};

/// Bytes that a member takes beside its own, at most, about.
const MEMBER_OVERHEAD: usize = 32;

/// Members or fields that one SRANDMEMBER, HRANDFIELD or ZRANDMEMBER with a negative count answers:
/// more are refused, since each of them costs memory, whatever the collection holds.
pub(crate) const PICKS_MAX: u64 = 1 << 20;

/// By how many bytes a set may grow that takes these members.
pub(crate) fn growth(members: &[&[u8]]) -> usize {
    members.iter().map(|member| member.len() + MEMBER_OVERHEAD).sum()
}

/// `SADD key member [member …]`
pub fn sadd(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.new_key(1)?;
    let members = context.args.from(2);
    let added = context.store.edit::<Set, _>(&key, growth(members), |set| {
        members.iter().filter(|member| set.insert(member)).count()
    })?;
    if added > 0 {
        context.notify(NoticeClasses::SET, "sadd", &key);
    }
    context.reply.integer(added as i64);
    Ok(())
}

/// `SREM key member [member …]`
pub fn srem(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let members = context.args.from(2);
    let removed = context.store.edit::<Set, _>(&key, 0, |set| {
        members.iter().filter(|member| set.remove(member)).count()
    })?;
    if removed > 0 {
        context.notify(NoticeClasses::SET, "srem", &key);
        notify_gone(context, &key);
    }
    context.reply.integer(removed as i64);
    Ok(())
}

/// `SCARD key`
pub fn scard(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let count = context.store.view::<Set>(&key)?.map_or(0, SetView::len);
    context.reply.integer(count as i64);
    Ok(())
}

/// `SISMEMBER key member`
pub fn sismember(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let view = context.store.view::<Set>(&key)?;
    let is_member = view.is_some_and(|set| set.contains(&context.args[2]));
    context.reply.integer(i64::from(is_member));
    Ok(())
}

/// `SMISMEMBER key member [member …]`
pub fn smismember(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let view = context.store.view::<Set>(&key)?;
    let members = context.args.from(2);
    context.reply.array(members.len());
    for member in members {
        context.reply.integer(i64::from(view.is_some_and(|set| set.contains(member))));
    }
    Ok(())
}

/// `SMEMBERS key`
pub fn smembers(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let view = context.store.view::<Set>(&key)?;
    if let Some(set) = view {
        context.limits.claim_of(set.len(), (set.len(), set.bytes()))?;
    }
    context.reply.set(view.map_or(0, SetView::len));
    for member in view.into_iter().flat_map(SetView::iter) {
        write_item(context.reply, member);
    }
    Ok(())
}

/// `SMOVE source destination member`
pub fn smove(context: &mut Context<'_>) -> Result<(), CommandError> {
    let (from, to) = (context.key(1), context.new_key(2)?);
    let member: &[u8] = &context.args[3];
    let Some(source) = context.store.view::<Set>(&from)? else {
        context.reply.integer(0);
        return Ok(());
    };
    let there = source.contains(member);
    context.store.glance::<Set>(&to)?;
    if !there || from.bytes == to.bytes {
        context.reply.integer(i64::from(there));
        return Ok(());
    }
    // The new place comes first: if memory is refused, nothing has changed.
    let growth = growth(&[member]);
    let added = context.store.edit::<Set, _>(&to, growth, |set| set.insert(member))?;
    // Making room may have evicted the source; what moved is its rest.
    context.store.edit::<Set, _>(&from, 0, |set| set.remove(member))?;
    context.notify(NoticeClasses::SET, "srem", &from);
    notify_gone(context, &from);
    if added {
        context.notify(NoticeClasses::SET, "sadd", &to);
    }
    context.reply.integer(1);
    Ok(())
}

/// `SPOP key [count]`
pub fn spop(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let count = match context.args.from(2) {
        [] => return pop_one(context, &key),
        [count] => positive(count, "ERR value is out of range, must be positive")?,
        [..] => return Err(CommandError::Syntax),
    };
    let mut dice = context.store.fork_dice();
    let limits = context.limits;
    let Some(set) = context.store.view::<Set>(&key)? else {
        context.reply.set(0);
        return Ok(());
    };
    let (length, bytes) = (set.len(), set.bytes());
    if count >= length {
        limits.claim_of(length, (length, bytes))?;
        return pop_all(context, &key, length);
    }
    // What is taken one by one costs more than what is only read.
    limits.claim(count.saturating_mul(2))?;
    let chosen = choose(set, count, &mut dice);
    limits.claim_each(0, bytes, chosen.iter().map(Item::len))?;
    let chosen: Vec<Vec<u8>> = chosen.iter().map(Item::to_vec).collect();
    context.reply.set(chosen.len());
    if chosen.is_empty() {
        return Ok(());
    }
    context.store.edit::<Set, _>(&key, 0, |set| {
        for member in &chosen {
            set.remove(member);
        }
    })?;
    for member in &chosen {
        context.reply.bulk(member);
    }
    context.notify(NoticeClasses::SET, "spop", &key);
    Ok(())
}

fn pop_one(context: &mut Context<'_>, key: &Key<'_>) -> Result<(), CommandError> {
    let mut dice = context.store.fork_dice();
    let limits = context.limits;
    let Some(member) = context.store.view::<Set>(key)?.and_then(|set| set.random(&mut dice)) else {
        context.reply.null();
        return Ok(());
    };
    limits.claim_bytes(member.len())?;
    let member = member.to_vec();
    context.store.edit::<Set, _>(key, 0, |set| set.remove(&member))?;
    context.reply.bulk(&member);
    context.notify(NoticeClasses::SET, "spop", key);
    notify_gone(context, key);
    Ok(())
}

/// The whole value goes at once, and is freed in slices.
fn pop_all(context: &mut Context<'_>, key: &Key<'_>, length: usize) -> Result<(), CommandError> {
    context.reply.set(length);
    let Some(set) = context.store.glance::<Set>(key)? else { return Ok(()) };
    for member in set.iter() {
        write_item(context.reply, member);
    }
    context.store.remove(key, Removal::Deleted);
    context.notify(NoticeClasses::SET, "spop", key);
    context.notify(NoticeClasses::GENERIC, "del", key);
    Ok(())
}

/// `SRANDMEMBER key [count]`
pub fn srandmember(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let count = match context.args.from(2) {
        [] => None,
        [count] => Some(Count::of(random_count(count)?)?),
        [..] => return Err(CommandError::Syntax),
    };
    let mut dice = context.store.fork_dice();
    let view = context.store.view::<Set>(&key)?;
    if let (Some(set), Some(count)) = (view, count) {
        context.limits.claim(count.visits(set.len()))?;
    }
    let reply = &mut *context.reply;
    let Some(set) = view else {
        match count {
            None => reply.null(),
            Some(_) => reply.array(0),
        }
        return Ok(());
    };
    let mut pick = || set.random(&mut dice).expect("a set that is there has a member");
    let chosen = match count {
        None => {
            let member = pick();
            context.limits.claim_bytes(member.len())?;
            write_item(reply, member);
            return Ok(());
        }
        Some(Count::Picks(count)) => (0..count).map(|_| pick()).collect(),
        Some(Count::Different(count)) => choose(set, count, &mut dice),
    };
    context.limits.claim_each(0, set.bytes(), chosen.iter().map(Item::len))?;
    reply.array(chosen.len());
    for member in chosen {
        write_item(reply, member);
    }
    Ok(())
}

/// The count of a command that chooses by chance.
pub(crate) fn random_count(text: &[u8]) -> Result<i64, CommandError> {
    let count = parse::integer(text)?;
    if count == i64::MIN {
        return Err(CommandError::Fixed(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    Ok(count)
}

/// What such a command is asked for.
#[derive(Clone, Copy)]
pub(crate) enum Count {
    /// So many different ones, or all there are.
    Different(usize),
    /// So many, each of them anyone.
    Picks(usize),
}

impl Count {
    /// Of so many, how many are gone through: all are shuffled where many are asked for.
    pub(crate) fn visits(self, length: usize) -> usize {
        match self {
            Self::Picks(picks) => picks,
            Self::Different(count) if is_few(count, length) => count,
            Self::Different(_) => length,
        }
    }

    /// A negative one asks for picks.
    ///
    /// # Errors
    /// For more than `PICKS_MAX`.
    pub(crate) fn of(count: i64) -> Result<Self, CommandError> {
        if count >= 0 {
            return Ok(Self::Different(usize::try_from(count).unwrap_or(usize::MAX)));
        }
        match count.unsigned_abs() {
            picks if picks <= PICKS_MAX => Ok(Self::Picks(picks as usize)),
            _ => Err(CommandError::Fixed("ERR value is out of range")),
        }
    }
}

/// Whether so many of so many are better found by trying than by shuffling all: trying costs little
/// while few are chosen, and what is small is shuffled quickly.
pub(crate) fn is_few(count: usize, length: usize) -> bool {
    length > 128 && count < length / 3
}

/// Tells elements of one collection apart by where they stand, however long they are.
#[derive(PartialEq, Eq, Hash)]
pub(crate) enum Identity {
    Text(*const u8),
    Integer(i64),
}

impl Identity {
    pub(crate) fn of(item: Item<'_>) -> Self {
        match item {
            Item::Text(text) => Self::Text(text.as_ptr()),
            Item::Integer(integer) => Self::Integer(integer),
        }
    }
}

/// Different members by chance.
fn choose<'a>(set: SetView<'a>, count: usize, dice: &mut fastrand::Rng) -> Vec<Item<'a>> {
    if is_few(count, set.len()) {
        let mut seen = std::collections::HashSet::with_capacity(count);
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count {
            let member = set.random(dice).expect("there are more than are chosen");
            if seen.insert(Identity::of(member)) {
                chosen.push(member);
            }
        }
        return chosen;
    }
    let mut all: Vec<_> = set.iter().collect();
    if count < all.len() {
        dice.shuffle(&mut all);
        all.truncate(count);
    }
    all
}

/// `SSCAN key cursor [MATCH pattern] [COUNT count]`
pub fn sscan(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let cursor = scan_cursor(&context.args[2])?;
    let Some(set) = context.store.view::<Set>(&key)? else {
        ScanRequest::write_nothing(context.reply);
        return Ok(());
    };
    let request = ScanRequest::parse_elements(cursor, context.args.from(3))?;
    // A walk hashes what it passes, answered or not.
    context.limits.claim_of(request.count.min(set.len()), (set.len(), set.bytes()))?;
    let mut found = Vec::new();
    let next = set.scan(request.cursor, request.count, &mut |member| {
        if request.wants_element(member) {
            found.push(member);
        }
    });
    context.limits.claim_each(0, set.bytes(), found.iter().map(Item::len))?;
    let reply = &mut *context.reply;
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(found.len());
    for member in found {
        write_item(reply, member);
    }
    Ok(())
}
