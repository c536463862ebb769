//! SORT and `SORT_RO`: elements of a list, set or sorted set, ordered by themselves or by other keys.
//!
//! Patterns of BY and GET name keys that routing cannot see. Where the caller looks keys up
//! (`Lookups`) they may be any; the command goes on as it learns what they hold. Otherwise it looks
//! itself: a store that holds every slot has them all, one of several lanes those whose hash tag is
//! the sorted key's, and one that holds only what the command names has none.

use std::cmp::Ordering;
use std::ops::Range;

use bytes::Bytes;
use ringlane_base::{Slot, number};
use ringlane_store::types::{Item, List, ListView, Set, SetView, SortedSet, SortedView};
use ringlane_store::{
    CollectionType, Edit, End, Expiry, Key, NewValue, NoticeClasses, OwnedCollection, Removal,
    Store, TypeName, Value,
};

use crate::lookups::{Elements, FormedKeys, Lookups, Pattern, Stage, look_up, pattern_slot};
use crate::parse::{self, is};
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

/// Which keys the patterns among these arguments form (`count` of them, the name included). Of
/// arguments that are refused, any.
pub fn formed_keys<'a>(count: usize, argument: &dyn Fn(usize) -> &'a [u8]) -> FormedKeys {
    let mut formed = FormedKeys::None;
    let own = Slot::of(argument(1));
    let mut at = 2;
    while at + 1 < count {
        let option = argument(at);
        if is(option, "by") || is(option, "get") {
            let pattern = argument(at + 1);
            if pattern.contains(&b'*') {
                if pattern_slot(pattern) != Some(own) {
                    return FormedKeys::Any;
                }
                formed = FormedKeys::OfItsSlot;
            }
            at += 1;
        } else if is(option, "store") {
            at += 1;
        } else if is(option, "limit") {
            at += 2;
        }
        at += 1;
    }
    formed
}

impl<'a> Options<'a> {
    fn parse(context: &Context<'a>, writes: bool, here: bool) -> Result<Self, CommandError> {
        let args = context.args;
        let check =
            |pattern, refusal| if here { check_reach(context, pattern, refusal) } else { Ok(()) };
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
                check(pattern, NOT_BY)?;
                options.by = Some(pattern);
                at += 1;
            } else if let (true, Some(pattern)) = (is(option, "get"), next) {
                check(pattern, NOT_GET)?;
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

    /// What BY names for each element, if its elements are to be ordered by that.
    fn weights(&self) -> Option<Pattern> {
        self.by.and_then(Pattern::parse)
    }

    /// What GET names for each element, but for the element itself.
    fn answers(&self) -> Vec<Pattern> {
        self.get.iter().filter_map(|pattern| Pattern::parse(pattern)).collect()
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
    let mut own = Lookups::default();
    let elsewhere = context.lookups.take();
    let here = elsewhere.is_none();
    let lookups = elsewhere.unwrap_or(&mut own);
    let options = Options::parse(context, writes, here)?;
    if lookups.stage() == Stage::Fresh {
        begin(context, &options, lookups, here)?;
    }
    if lookups.stage() == Stage::Unordered {
        await_found(context, lookups, here)?;
        context.limits.claim(lookups.total().saturating_mul(2))?;
        let (elements, found) = lookups.take();
        let chosen = sorted(&options, &elements, Some(&found), Order::Options)?;
        lookups.ask(Stage::Chosen, chosen, options.answers())?;
    }
    await_found(context, lookups, here)?;
    let answers = lookups.elements().len().saturating_mul(options.get.len().max(1));
    context.limits.claim(answers)?;
    context.limits.claim_bytes(lookups.found_bytes())?;
    let (elements, found) = lookups.take();
    let answers = Answers { options: &options, elements: &elements, found: &found };
    if let Some(at) = options.store {
        return store_answers(context, at, &answers);
    }
    answers.write(context);
    Ok(())
}

/// Looks up what is still to be, or has the caller do it.
fn await_found(
    context: &mut Context<'_>,
    lookups: &mut Lookups,
    here: bool,
) -> Result<(), CommandError> {
    if lookups.next().is_some() && !here {
        return Err(CommandError::LooksUp);
    }
    let (mut name, mut bytes) = (Vec::new(), 0);
    while let Some(index) = lookups.next() {
        let field = lookups.name(index, &mut name);
        let key = context.store.key(context.database, &name);
        let found = look_up(context.store, &key, field.map(|field| &field[..]));
        bytes += found.as_ref().map_or(0, Bytes::len);
        context.limits.claim_bytes(bytes)?;
        lookups.push(found);
    }
    Ok(())
}

/// Reads the elements, and asks for what they are to be ordered by, or answered with.
fn begin(
    context: &mut Context<'_>,
    options: &Options<'_>,
    lookups: &mut Lookups,
    here: bool,
) -> Result<(), CommandError> {
    let key = context.key(1);
    claim(context, &key, options, here)?;
    let chosen = match load(context.store, &key, options)? {
        Loaded::InOrder(elements) => elements,
        Loaded::Unsorted(elements, order) => match options.weights() {
            Some(weights) if order == Order::Options => {
                return lookups.ask(Stage::Unordered, elements, vec![weights]);
            }
            Some(_) | None => sorted(options, &elements, None, order)?,
        },
    };
    lookups.ask(Stage::Chosen, chosen, options.answers())
}

/// Asks for the time to go through all elements, twice as long as to answer them, and for what is
/// looked up for them here.
fn claim(
    context: &mut Context<'_>,
    key: &Key<'_>,
    options: &Options<'_>,
    here: bool,
) -> Result<(), CommandError> {
    let store = &*context.store;
    let (length, bytes) = match (store.glance::<List>(key), store.glance::<Set>(key)) {
        (Ok(list), _) => list.map_or((0, 0), |list| (list.len(), list.bytes())),
        (_, Ok(set)) => set.map_or((0, 0), |set| (set.len(), set.bytes())),
        (Err(_), Err(_)) => {
            store.glance::<SortedSet>(key)?.map_or((0, 0), |set| (set.len(), set.bytes()))
        }
    };
    let chosen = options.range(length).len();
    let read = if options.keeps_order() { chosen } else { length };
    let mut elements = read.saturating_mul(2);
    context.limits.claim_of(elements, (length, bytes))?;
    if here {
        let weights = if options.weights().is_some() { length } else { 0 };
        let answers = chosen.saturating_mul(options.answers().len());
        elements = elements.saturating_add(weights).saturating_add(answers);
    }
    context.limits.claim(elements)
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
    InOrder(Elements),
    Unsorted(Elements, Order),
}

fn load(store: &mut Store, key: &Key<'_>, options: &Options<'_>) -> Result<Loaded, CommandError> {
    let keeps = options.keeps_order();
    let now = store.now();
    let view = match store.get(key) {
        None => return Ok(Loaded::InOrder(Elements::default())),
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

fn collect<'a>(items: impl Iterator<Item = Item<'a>>) -> Elements {
    let mut elements = Elements::default();
    let mut digits = itoa::Buffer::new();
    for item in items {
        elements.push(item.bytes(&mut digits));
    }
    elements
}

fn list_elements(list: ListView<'_>, options: &Options<'_>, keeps: bool) -> Loaded {
    if !keeps {
        let all = collect(list.iter());
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
    Loaded::InOrder(collect(items))
}

fn sorted_elements(members: SortedView<'_>, options: &Options<'_>, keeps: bool) -> Loaded {
    if !keeps {
        let all = collect(members.iter().map(|(member, _)| member));
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
    Loaded::InOrder(collect(items.map(|(member, _)| member)))
}

fn set_elements(members: SetView<'_>, options: &Options<'_>, keeps: bool) -> Loaded {
    if !keeps || options.store.is_some() {
        let order = if keeps { Order::Bytes } else { Order::Options };
        return Loaded::Unsorted(collect(members.iter()), order);
    }
    let range = options.range(members.len());
    Loaded::InOrder(collect(members.iter().skip(range.start).take(range.len())))
}

/// What an element is compared by.
enum Weight<'a> {
    Score(f64),
    /// None: what BY names is not there; before all others.
    Text(Option<&'a [u8]>),
    Itself,
}

/// The elements that are answered, in order; `found` is what BY has named for each, if it does.
fn sorted(
    options: &Options<'_>,
    elements: &Elements,
    found: Option<&[Option<Bytes>]>,
    order: Order,
) -> Result<Elements, CommandError> {
    let alpha = options.alpha || order == Order::Bytes;
    let mut weighed = Vec::with_capacity(elements.len());
    for (index, element) in elements.iter().enumerate() {
        let found = found.map(|found| found[index].as_deref());
        let weight = match found {
            Some(found) if alpha => Weight::Text(found),
            Some(found) => Weight::Score(found.map_or(Ok(0.0), score)?),
            None if alpha => Weight::Itself,
            None => Weight::Score(score(element)?),
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
    let mut chosen = Elements::default();
    for (_, element) in &weighed[options.range(weighed.len())] {
        chosen.push(element);
    }
    Ok(chosen)
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

/// What is answered: for each chosen element, itself or what each GET names.
struct Answers<'a> {
    options: &'a Options<'a>,
    elements: &'a Elements,
    found: &'a [Option<Bytes>],
}

/// One of them.
enum Answer<'a> {
    Element(&'a [u8]),
    Found(&'a Bytes),
    Nothing,
}

impl Answers<'_> {
    fn len(&self) -> usize {
        self.elements.len() * self.options.get.len().max(1)
    }

    /// Hands over each, in order.
    fn visit(&self, mut take: impl FnMut(Answer<'_>)) {
        let mut found = self.found.iter();
        for element in self.elements.iter() {
            if self.options.get.is_empty() {
                take(Answer::Element(element));
            }
            for pattern in &self.options.get {
                take(if *pattern == b"#" {
                    Answer::Element(element)
                } else if pattern.contains(&b'*') {
                    let found = found.next().expect("all have been looked up");
                    found.as_ref().map_or(Answer::Nothing, Answer::Found)
                } else {
                    Answer::Nothing
                });
            }
        }
    }

    fn write(&self, context: &mut Context<'_>) {
        context.reply.array(self.len());
        self.visit(|answer| match answer {
            Answer::Element(element) => context.reply.bulk(element),
            Answer::Found(found) => context.reply.blob(found),
            Answer::Nothing => context.reply.null(),
        });
    }
}

/// Puts the answers into a list in place of whatever the key held; what is not there is empty.
fn store_answers(
    context: &mut Context<'_>,
    at: usize,
    answers: &Answers<'_>,
) -> Result<(), CommandError> {
    let to = context.new_key(at)?;
    if answers.len() == 0 {
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
    answers.visit(|answer| {
        let item = match answer {
            Answer::Element(element) => element,
            Answer::Found(found) => found,
            Answer::Nothing => b"",
        };
        edit.push(End::Back, item);
    });
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
    fn what_patterns_form_is_known_from_the_arguments() {
        for (line, formed) in [
            ("SORT l", FormedKeys::None),
            ("SORT l BY nosort GET # GET x", FormedKeys::None),
            ("SORT l BY w_*", FormedKeys::Any),
            ("SORT l LIMIT 0 1 GET w_*->f", FormedKeys::Any),
            ("SORT l STORE by GET x*", FormedKeys::Any),
            ("SORT l STORE by STORE w_*", FormedKeys::None),
            ("SORT l LIMIT by w_*", FormedKeys::None),
            ("SORT l BY", FormedKeys::None),
            ("SORT {t}l by {t}w_* get # get {t}*->f", FormedKeys::OfItsSlot),
            ("SORT {t}l BY {t}w_* GET {s}*", FormedKeys::Any),
            ("SORT t BY {t}w_*", FormedKeys::OfItsSlot),
        ] {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            assert_eq!(formed_keys(words.len(), &|at| words[at]), formed, "{line}");
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
