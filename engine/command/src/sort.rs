//! SORT and `SORT_RO`: elements of a list, set or sorted set, ordered by themselves or by other keys.
//!
//! Patterns of BY and GET name keys that routing cannot see. Where the store holds every slot they
//! may name any key. Otherwise they must carry the hash tag of the sorted key's slot; and where the
//! store holds only what the command names (STORE to a key of another lane), they are refused.

use std::cmp::Ordering;
use std::ops::Range;

use ringlane_base::{Slot, number};
use ringlane_store::types::{Hash, List, SetView, SortedView};
use ringlane_store::types::{ListView, Set, SortedSet};
use ringlane_store::{
    CollectionType, Edit, End, Expiry, Key, NewValue, NoticeClasses, OwnedCollection, Removal,
    Store, TypeName, Value,
};

use crate::parse::{self, is};
use crate::strings::with_bytes;
use crate::{CommandError, Context};

/// What follows the key.
struct Options<'a> {
    by: Option<&'a [u8]>,
    /// What is answered for each element; none: the element.
    get: Vec<&'a [u8]>,
    start: i64,
    /// Negative: all.
    count: i64,
    descending: bool,
    alpha: bool,
    /// Which argument is the key to store to.
    store: Option<usize>,
}

impl<'a> Options<'a> {
    fn parse(context: &Context<'a>, writes: bool) -> Result<Self, CommandError> {
        let args = context.args;
        let mut options = Self {
            by: None,
            get: Vec::new(),
            start: 0,
            count: -1,
            descending: false,
            alpha: false,
            store: None,
        };
        let mut at = 2;
        while let Some(option) = args.get(at) {
            let next = args.get(at + 1);
            if is(option, "asc") {
                options.descending = false;
            } else if is(option, "desc") {
                options.descending = true;
            } else if is(option, "alpha") {
                options.alpha = true;
            } else if is(option, "limit") && args.len() > at + 2 {
                options.start = parse::integer(&args[at + 1])?;
                options.count = parse::integer(&args[at + 2])?;
                at += 2;
            } else if writes && is(option, "store") && next.is_some() {
                options.store = Some(at + 1);
                at += 1;
            } else if let (true, Some(pattern)) = (is(option, "by"), next) {
                check_reach(context, pattern, NOT_BY)?;
                options.by = Some(pattern);
                at += 1;
            } else if let (true, Some(pattern)) = (is(option, "get"), next) {
                check_reach(context, pattern, NOT_GET)?;
                options.get.push(pattern);
                at += 1;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        Ok(options)
    }

    /// Whether the order of the collection is kept: BY a name that no element changes.
    fn keeps_order(&self) -> bool {
        self.by.is_some_and(|pattern| !pattern.contains(&b'*'))
    }

    /// Whether patterns name keys beside the one that is sorted: it must run where they are.
    fn reads_other_keys(&self) -> bool {
        self.by.iter().chain(&self.get).any(|pattern| pattern.contains(&b'*'))
    }

    /// Which of `length` elements are answered.
    fn range(&self, length: usize) -> Range<usize> {
        let start = usize::try_from(self.start).unwrap_or(0).min(length);
        let end = match usize::try_from(self.count) {
            Ok(count) => start.saturating_add(count).min(length),
            Err(_) => length,
        };
        start..end
    }
}

const NOT_BY: CommandError = CommandError::Fixed(
    "ERR BY option of SORT denied in cluster mode when keys formed by the pattern may be in \
     different slots.",
);
const NOT_GET: CommandError = CommandError::Fixed(
    "ERR GET option of SORT denied in cluster mode when keys formed by the pattern may be in \
     different slots.",
);

/// The slot of every key that a pattern can form, if its hash tag says so: the tag must end before
/// anything is put into the pattern.
fn pattern_slot(pattern: &[u8]) -> Option<Slot> {
    let fixed = pattern.split(|&byte| byte == b'*').next()?;
    let open = fixed.iter().position(|&byte| byte == b'{')?;
    let close = open + fixed[open..].iter().position(|&byte| byte == b'}')?;
    (close > open + 1).then(|| Slot::of(fixed))
}

/// Refuses a pattern that may form keys which this store does not have although they exist.
fn check_reach(
    context: &Context<'_>,
    pattern: &[u8],
    refusal: CommandError,
) -> Result<(), CommandError> {
    let forms_keys = pattern.contains(&b'*');
    let same_slot = || pattern_slot(pattern) == Some(context.key(1).slot);
    let reachable = context.store.has_every_slot() || (!context.store.is_excerpt() && same_slot());
    if forms_keys && !reachable { Err(refusal) } else { Ok(()) }
}

/// `SORT key [BY pattern] [LIMIT offset count] [GET pattern …] [ASC | DESC] [ALPHA] [STORE to]`
pub fn sort(context: &mut Context<'_>) -> Result<(), CommandError> {
    run(context, true)
}

/// `SORT_RO`: SORT without STORE.
pub fn sort_ro(context: &mut Context<'_>) -> Result<(), CommandError> {
    run(context, false)
}

fn run(context: &mut Context<'_>, writes: bool) -> Result<(), CommandError> {
    let options = Options::parse(context, writes)?;
    let key = context.key(1);
    if !options.reads_other_keys() {
        claim(context, &key)?;
    }
    let chosen = match load(context.store, &key, &options)? {
        Loaded::InOrder(elements) => elements,
        Loaded::Unsorted(elements, order) => sorted(context, &options, elements, order)?,
    };
    let answers = answers(context, &options, chosen)?;
    if let Some(at) = options.store {
        return store_answers(context, at, &answers);
    }
    context.reply.array(answers.len());
    for answer in answers {
        match answer {
            Some(bytes) => context.reply.bulk(&bytes),
            None => context.reply.null(),
        }
    }
    Ok(())
}

/// Asks for the time to go through all elements, twice as long as to answer them.
fn claim(context: &mut Context<'_>, key: &Key<'_>) -> Result<(), CommandError> {
    let store = &*context.store;
    let (length, bytes) = match (store.glance::<List>(key), store.glance::<Set>(key)) {
        (Ok(list), _) => list.map_or((0, 0), |list| (list.len(), list.bytes())),
        (_, Ok(set)) => set.map_or((0, 0), |set| (set.len(), set.bytes())),
        (Err(_), Err(_)) => {
            store.glance::<SortedSet>(key)?.map_or((0, 0), |set| (set.len(), set.bytes()))
        }
    };
    context.limits.claim_of(length.saturating_mul(2), (length, bytes))
}

/// What elements are ordered by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Options,
    /// Byte by byte: a set that is stored without an order gets one.
    Bytes,
}

enum Loaded {
    /// What is answered, as it is answered.
    InOrder(Vec<Vec<u8>>),
    Unsorted(Vec<Vec<u8>>, Order),
}

fn load(store: &mut Store, key: &Key<'_>, options: &Options<'_>) -> Result<Loaded, CommandError> {
    let keeps = options.keeps_order();
    let now = store.now();
    let view = match store.get(key) {
        None => return Ok(Loaded::InOrder(Vec::new())),
        Some(Value::Collection(view)) => view,
        Some(Value::Text(_) | Value::Integer(_) | Value::Blob(_)) => {
            return Err(CommandError::WrongType);
        }
    };
    Ok(match view.type_name {
        TypeName::List => list_elements(List::view(view.body, now), options, keeps),
        TypeName::SortedSet => sorted_elements(SortedSet::view(view.body, now), options, keeps),
        TypeName::Set => set_elements(Set::view(view.body, now), options, keeps),
        TypeName::Hash | TypeName::Stream | TypeName::String => {
            return Err(CommandError::WrongType);
        }
    })
}

fn list_elements(list: ListView<'_>, options: &Options<'_>, keeps: bool) -> Loaded {
    if !keeps {
        let all = list.iter().map(|item| item.to_vec()).collect();
        return Loaded::Unsorted(all, Order::Options);
    }
    let range = options.range(list.len());
    let items = if range.is_empty() {
        list.range(0, 0)
    } else if options.descending {
        list.range_rev(list.len() - 1 - range.start, range.len())
    } else {
        list.range(range.start, range.len())
    };
    Loaded::InOrder(items.map(|item| item.to_vec()).collect())
}

fn sorted_elements(members: SortedView<'_>, options: &Options<'_>, keeps: bool) -> Loaded {
    if !keeps {
        let all = members.iter().map(|(member, _)| member.to_vec()).collect();
        return Loaded::Unsorted(all, Order::Options);
    }
    let range = options.range(members.len());
    let items = if range.is_empty() {
        members.range(0, 0)
    } else if options.descending {
        members.range_rev(members.len() - 1 - range.start, range.len())
    } else {
        members.range(range.start, range.len())
    };
    Loaded::InOrder(items.map(|(member, _)| member.to_vec()).collect())
}

fn set_elements(members: SetView<'_>, options: &Options<'_>, keeps: bool) -> Loaded {
    let all: Vec<_> = members.iter().map(|member| member.to_vec()).collect();
    if !keeps {
        return Loaded::Unsorted(all, Order::Options);
    }
    if options.store.is_some() {
        return Loaded::Unsorted(all, Order::Bytes);
    }
    let range = options.range(all.len());
    Loaded::InOrder(all.into_iter().skip(range.start).take(range.len()).collect())
}

/// What an element is compared by.
enum Weight {
    Score(f64),
    /// None: the key that BY names is not there; before all others.
    Text(Option<Vec<u8>>),
    Itself,
}

fn sorted(
    context: &mut Context<'_>,
    options: &Options<'_>,
    elements: Vec<Vec<u8>>,
    order: Order,
) -> Result<Vec<Vec<u8>>, CommandError> {
    let by = options.by.filter(|_| order == Order::Options);
    let alpha = options.alpha || order == Order::Bytes;
    let mut weighed = Vec::with_capacity(elements.len());
    for element in elements {
        let weight = match by {
            Some(pattern) => {
                let found = follow(context, pattern, &element)?;
                if alpha {
                    Weight::Text(found)
                } else {
                    Weight::Score(found.map_or(Ok(0.0), |text| score(&text))?)
                }
            }
            None if alpha => Weight::Itself,
            None => Weight::Score(score(&element)?),
        };
        weighed.push((weight, element));
    }
    weighed.sort_by(|(weight, element), (other_weight, other)| {
        let order = match (weight, other_weight) {
            (Weight::Score(score), Weight::Score(than)) => {
                score.partial_cmp(than).unwrap_or(Ordering::Equal).then_with(|| element.cmp(other))
            }
            (Weight::Text(text), Weight::Text(than)) => text.cmp(than),
            _ => element.cmp(other),
        };
        if options.descending { order.reverse() } else { order }
    });
    let range = options.range(weighed.len());
    let chosen = weighed.into_iter().skip(range.start).take(range.len());
    Ok(chosen.map(|(_, element)| element).collect())
}

/// A number as C reads one: blanks before it are passed over, an empty text is 0.
fn score(text: &[u8]) -> Result<f64, CommandError> {
    const REFUSAL: CommandError =
        CommandError::Fixed("ERR One or more scores can't be converted into double");
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Ok(0.0);
    }
    let bare = text.trim_ascii_start();
    let value = number::parse_double(bare).ok_or(REFUSAL)?;
    // Beyond the range of a double it is an error, unless it was meant.
    let digits = || bare.iter().any(u8::is_ascii_digit);
    if value.is_infinite() && digits() { Err(REFUSAL) } else { Ok(value) }
}

/// What a pattern names for an element: the element itself (`#`), a string, or a field of a hash.
fn follow(
    context: &mut Context<'_>,
    pattern: &[u8],
    element: &[u8],
) -> Result<Option<Vec<u8>>, CommandError> {
    if pattern == b"#" {
        return Ok(Some(element.to_vec()));
    }
    let Some(star) = pattern.iter().position(|&byte| byte == b'*') else { return Ok(None) };
    let (before, after) = (&pattern[..star], &pattern[star + 1..]);
    let arrow = after.windows(2).position(|pair| pair == b"->");
    // An arrow with nothing behind it is part of the name.
    let arrow = arrow.filter(|at| at + 2 < after.len());
    let (after, field) = match arrow {
        Some(at) => (&after[..at], Some(&after[at + 2..])),
        None => (after, None),
    };
    let name = [before, element, after].concat();
    let key = context.store.key(context.database, &name);
    let now = context.store.now();
    match (context.store.get(&key), field) {
        (Some(Value::Collection(view)), Some(field)) if view.type_name == TypeName::Hash => {
            Ok(Hash::view(view.body, now).get(field).map(|item| item.to_vec()))
        }
        (Some(value @ (Value::Text(_) | Value::Integer(_) | Value::Blob(_))), None) => {
            with_bytes(value, |bytes| Some(bytes.to_vec()))
        }
        (None | Some(_), _) => Ok(None),
    }
}

/// What is answered for the chosen elements.
fn answers(
    context: &mut Context<'_>,
    options: &Options<'_>,
    chosen: Vec<Vec<u8>>,
) -> Result<Vec<Option<Vec<u8>>>, CommandError> {
    if options.get.is_empty() {
        return Ok(chosen.into_iter().map(Some).collect());
    }
    let mut answers = Vec::with_capacity(chosen.len() * options.get.len());
    for element in &chosen {
        for pattern in &options.get {
            answers.push(follow(context, pattern, element)?);
        }
    }
    Ok(answers)
}

/// Puts the answers into a list in place of whatever the key held; what is not there is empty.
fn store_answers(
    context: &mut Context<'_>,
    at: usize,
    answers: &[Option<Vec<u8>>],
) -> Result<(), CommandError> {
    let to = context.new_key(at)?;
    if answers.is_empty() {
        if context.store.remove(&to, Removal::Deleted) {
            context.notify(NoticeClasses::GENERIC, "del", &to);
        }
        context.reply.integer(0);
        return Ok(());
    }
    let mut list = List::empty();
    let mut edit = Edit {
        value: &mut list,
        limits: context.store.pack_limits(),
        now: context.store.now(),
        changes: None,
    };
    for answer in answers {
        edit.push(End::Back, answer.as_deref().unwrap_or_default());
    }
    let value = OwnedCollection { type_name: TypeName::List, body: list.into_body() };
    context.store.set(&to, NewValue::Collection(&value), Expiry::Never)?;
    context.notify(NoticeClasses::LIST, "sortstore", &to);
    context.reply.integer(answers.len() as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_a_slot_if_its_tag_is_fixed() {
        let tagged = Some(Slot::of(b"a"));
        for (pattern, slot) in [
            ("w_{a}_*", tagged),
            ("{a}*->f", tagged),
            ("*{a}", None),
            ("{*}", None),
            ("{a*}", None),
            ("{}*{a}", None),
            ("{}{a}*", None),
            ("w_*", None),
        ] {
            assert_eq!(pattern_slot(pattern.as_bytes()), slot, "{pattern}");
        }
    }

    #[test]
    fn scores_are_read_as_c_reads_numbers() {
        for (text, value) in [
            ("", Some(0.0)),
            ("1.5", Some(1.5)),
            ("  7", Some(7.0)),
            ("+2", Some(2.0)),
            ("-inf", Some(f64::NEG_INFINITY)),
            ("1e999", None),
            ("7 ", None),
            (" ", None),
            ("x", None),
            ("nan", None),
            ("3\u{0}x", Some(3.0)),
        ] {
            assert_eq!(score(text.as_bytes()).ok(), value, "{text:?}");
        }
    }
}
