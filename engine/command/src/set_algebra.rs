//! What several sets have in common, all their members, what only the first has: SINTER, SUNION,
//! SDIFF, their STORE forms and SINTERCARD.

use ringlane_base::number;
use ringlane_store::types::{CollectionType, Edit, Item, Set, SetTable, SetView};
use ringlane_store::{
    Expiry, Key, NewValue, NoticeClasses, OwnedCollection, PackLimits, Removal, Store,
};

use crate::hash::write_item;
use crate::list::positive;
use crate::parse::is;
use crate::{CommandError, Context, HandlerLimits};

/// What becomes of several sets.
#[derive(Clone, Copy)]
enum Operation {
    Intersection,
    Union,
    Difference,
}

/// `SINTER key [key …]`
pub fn sinter(context: &mut Context<'_>) -> Result<(), CommandError> {
    answer(context, Operation::Intersection)
}

/// `SUNION key [key …]`
pub fn sunion(context: &mut Context<'_>) -> Result<(), CommandError> {
    answer(context, Operation::Union)
}

/// `SDIFF key [key …]`
pub fn sdiff(context: &mut Context<'_>) -> Result<(), CommandError> {
    answer(context, Operation::Difference)
}

/// `SINTERSTORE destination key [key …]`
pub fn sinterstore(context: &mut Context<'_>) -> Result<(), CommandError> {
    store(context, Operation::Intersection, "sinterstore")
}

/// `SUNIONSTORE destination key [key …]`
pub fn sunionstore(context: &mut Context<'_>) -> Result<(), CommandError> {
    store(context, Operation::Union, "sunionstore")
}

/// `SDIFFSTORE destination key [key …]`
pub fn sdiffstore(context: &mut Context<'_>) -> Result<(), CommandError> {
    store(context, Operation::Difference, "sdiffstore")
}

/// `SINTERCARD numkeys key [key …] [LIMIT limit]`
pub fn sintercard(context: &mut Context<'_>) -> Result<(), CommandError> {
    let keys = number::parse_integer(&context.args[1]).filter(|keys| *keys > 0);
    let keys = keys.ok_or(CommandError::Fixed("ERR numkeys should be greater than 0"))?;
    let keys = usize::try_from(keys).ok().filter(|keys| *keys <= context.args.len() - 2);
    let keys =
        keys.ok_or(CommandError::Fixed("ERR Number of keys can't be greater than number of args"))?;
    let mut limit = usize::MAX;
    for option in context.args.from(2 + keys).chunks(2) {
        limit = match option {
            [word, amount] if is(word, "limit") => positive(amount, "ERR LIMIT can't be negative")?,
            [..] => return Err(CommandError::Syntax),
        };
    }
    // LIMIT 0: without a limit.
    let limit = if limit == 0 { usize::MAX } else { limit };
    let keys = use_keys(context, 2..2 + keys)?;
    let sets = glance_all(context.store, &keys)?;
    claim(context.limits, Operation::Intersection, &sets)?;
    let count = common(&sets).map_or(0, |common| common.take(limit).count());
    context.reply.integer(count as i64);
    Ok(())
}

/// The keys, each used and counted as a hit or a miss.
///
/// # Errors
/// One of them holds another type.
fn use_keys<'a>(
    context: &mut Context<'a>,
    positions: std::ops::Range<usize>,
) -> Result<Vec<Key<'a>>, CommandError> {
    let mut keys = Vec::with_capacity(positions.len());
    for position in positions {
        let key = context.key(position);
        context.store.view::<Set>(&key)?;
        keys.push(key);
    }
    Ok(keys)
}

/// The sets of the keys, None for one that is not there.
fn glance_all<'s>(
    store: &'s Store,
    keys: &[Key<'_>],
) -> Result<Vec<Option<SetView<'s>>>, CommandError> {
    keys.iter().map(|key| Ok(store.glance::<Set>(key)?)).collect()
}

/// Asks for the time that the operation takes: a member is looked up, copied, put into a table.
fn claim(
    limits: HandlerLimits,
    operation: Operation,
    sets: &[Option<SetView<'_>>],
) -> Result<(), CommandError> {
    let lens = || sets.iter().map(|set| set.map_or(0, SetView::len));
    let all =
        || (lens().sum::<usize>(), sets.iter().flatten().map(|set| set.bytes()).sum::<usize>());
    // Members and their bytes, which are hashed for each set that they are looked for in.
    let for_each_set = |set: SetView<'_>| {
        (set.len().saturating_mul(sets.len()), set.bytes().saturating_mul(sets.len()))
    };
    let (visits, bytes) = match operation {
        Operation::Intersection => {
            let smallest = sets.iter().copied().min_by_key(|set| set.map_or(0, SetView::len));
            smallest.flatten().map_or((0, 0), for_each_set)
        }
        Operation::Union => all(),
        // Either each member of the first is looked for in the others, or these become one.
        Operation::Difference => match sets[0] {
            None => (0, 0),
            Some(first) => for_each_set(first).min(all()),
        },
    };
    limits.claim(visits.saturating_mul(2))?;
    limits.claim_bytes(bytes)
}

/// The members that are in all sets; None if there are none for sure.
fn common<'s>(sets: &[Option<SetView<'s>>]) -> Option<impl Iterator<Item = Item<'s>>> {
    let mut sets: Vec<SetView<'s>> = sets.iter().copied().collect::<Option<_>>()?;
    // Whoever is not in the smallest need not be looked for anywhere; the next smallest are most
    // likely to exclude one.
    sets.sort_by_key(|set| set.len());
    let smallest = sets.remove(0);
    Some(smallest.iter().filter(move |member| sets.iter().all(|set| set.contains_item(*member))))
}

/// The members of the first set that no other has.
fn only_first<'s>(sets: &[Option<SetView<'s>>]) -> Vec<Item<'s>> {
    let (Some(first), others) = (sets[0], &sets[1..]) else { return Vec::new() };
    let mut others: Vec<SetView<'s>> = others.iter().flatten().copied().collect();
    let together: usize = others.iter().map(|other| other.len()).sum();
    if together < first.len().saturating_mul(others.len()) / 2 {
        // Asking one set that has them all costs less than asking many small ones.
        let mut excluded = SetTable::with_capacity(together);
        for member in others.iter().flat_map(|other| other.iter()) {
            excluded.insert(member.bytes(&mut itoa::Buffer::new()));
        }
        let stays = |member: &Item<'_>| !excluded.contains(member.bytes(&mut itoa::Buffer::new()));
        return first.iter().filter(stays).collect();
    }
    // The largest is most likely to have a member.
    others.sort_by_key(|other| std::cmp::Reverse(other.len()));
    let stays = |member: &Item<'_>| !others.iter().any(|other| other.contains_item(*member));
    first.iter().filter(stays).collect()
}

/// A set of these members.
fn set_of<'a>(members: impl Iterator<Item = Item<'a>>, store: &Store) -> Set {
    let limits: &PackLimits = store.pack_limits();
    let mut value = Set::empty();
    let mut edit = Edit { value: &mut value, limits, now: store.now(), changes: None };
    for member in members {
        edit.insert(member.bytes(&mut itoa::Buffer::new()));
    }
    value
}

fn union_of(sets: &[Option<SetView<'_>>], store: &Store) -> Set {
    set_of(sets.iter().flatten().flat_map(|set| set.iter()), store)
}

fn answer(context: &mut Context<'_>, operation: Operation) -> Result<(), CommandError> {
    let keys = use_keys(context, 1..context.args.len())?;
    let sets = glance_all(context.store, &keys)?;
    claim(context.limits, operation, &sets)?;
    let (one, owned);
    let members: &mut dyn Iterator<Item = Item<'_>> = match operation {
        Operation::Intersection | Operation::Difference => {
            let found: Vec<_> = match operation {
                Operation::Difference => only_first(&sets),
                Operation::Intersection | Operation::Union => {
                    common(&sets).map_or(Vec::new(), Iterator::collect)
                }
            };
            context.reply.set(found.len());
            &mut found.into_iter()
        }
        Operation::Union => {
            one = union_of(&sets, context.store);
            owned = one.as_view();
            context.reply.set(owned.len());
            &mut owned.iter()
        }
    };
    for member in members {
        write_item(context.reply, member);
    }
    Ok(())
}

fn store(
    context: &mut Context<'_>,
    operation: Operation,
    event: &'static str,
) -> Result<(), CommandError> {
    let destination = context.new_key(1)?;
    let keys = use_keys(context, 2..context.args.len())?;
    let sets = glance_all(context.store, &keys)?;
    claim(context.limits, operation, &sets)?;
    let result = match operation {
        Operation::Intersection => set_of(common(&sets).into_iter().flatten(), context.store),
        Operation::Union => union_of(&sets, context.store),
        Operation::Difference => set_of(only_first(&sets).into_iter(), context.store),
    };
    let length = result.as_view().len();
    if length == 0 {
        if context.store.remove(&destination, Removal::Deleted) {
            context.notify(NoticeClasses::GENERIC, "del", &destination);
        }
    } else {
        let value = OwnedCollection { type_name: Set::TYPE, body: result.into_body() };
        context.store.set(&destination, NewValue::Collection(&value), Expiry::Never)?;
        context.notify(NoticeClasses::SET, event, &destination);
    }
    context.reply.integer(length as i64);
    Ok(())
}
