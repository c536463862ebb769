//! Sorted sets: adding, removing, looking up, counting, walking. Ranges are in `sorted_range`, taking
//! from the ends in `sorted_pop`, what concerns several sets in `sorted_algebra`.

use std::collections::HashSet;

use ringlane_store::types::{Item, Put, SortedSet, SortedView};
use ringlane_store::{
    CollectionType, Edit, Expiry, Key, NewValue, NoticeClasses, OwnedCollection, Removal, TypeName,
};

use crate::hash::{notify_gone, write_item};
use crate::keyspace::{ScanRequest, scan_cursor};
use crate::parse::is;
use crate::score::{Span, score};
use crate::set::{PICKS_MAX, random_count};
use crate::{Args, CommandError, Context, HandlerLimits, Reply};

/// Bytes that a member takes beside its own, at most, about: its score, its place in the table.
const MEMBER_OVERHEAD: usize = 32;

/// What putting a member into a sorted set, or taking it out, takes: as long as answering so many.
pub(crate) const VISITS_A_MEMBER: usize = 4;

/// A member and its score, apart from the set.
pub(crate) type Scored = (Vec<u8>, f64);

/// Which members ZADD touches.
#[derive(Clone, Copy, PartialEq)]
enum Condition {
    Always,
    /// `NX`
    Absent,
    /// `XX`
    Present,
}

/// Which scores ZADD gives to members that have one.
#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Any,
    /// `GT`
    Up,
    /// `LT`
    Down,
}

#[derive(Clone, Copy)]
struct AddOptions {
    condition: Condition,
    direction: Direction,
    /// `CH`: count the members whose score changed too.
    count_changed: bool,
    /// `INCR`
    increment: bool,
}

impl AddOptions {
    const NONE: Self = Self {
        condition: Condition::Always,
        direction: Direction::Any,
        count_changed: false,
        increment: false,
    };

    /// Reads the options of ZADD, and says which argument comes behind them.
    fn parse(args: Args<'_>) -> Result<(Self, usize), CommandError> {
        let mut options = Self::NONE;
        let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
        let mut at = 2;
        for option in args.from(2) {
            match option {
                option if is(option, "nx") => nx = true,
                option if is(option, "xx") => xx = true,
                option if is(option, "gt") => gt = true,
                option if is(option, "lt") => lt = true,
                option if is(option, "ch") => options.count_changed = true,
                option if is(option, "incr") => options.increment = true,
                _ => break,
            }
            at += 1;
        }
        let pairs = args.from(at).len();
        if pairs == 0 || !pairs.is_multiple_of(2) {
            return Err(CommandError::Syntax);
        }
        if nx && xx {
            return Err(CommandError::Fixed(
                "ERR XX and NX options at the same time are not compatible",
            ));
        }
        if (nx && (gt || lt)) || (gt && lt) {
            return Err(CommandError::Fixed(
                "ERR GT, LT, and/or NX options at the same time are not compatible",
            ));
        }
        if options.increment && pairs > 2 {
            return Err(CommandError::Fixed(
                "ERR INCR option supports a single increment-element pair",
            ));
        }
        options.condition = match (nx, xx) {
            (true, _) => Condition::Absent,
            (false, true) => Condition::Present,
            (false, false) => Condition::Always,
        };
        options.direction = match (gt, lt) {
            (true, _) => Direction::Up,
            (false, true) => Direction::Down,
            (false, false) => Direction::Any,
        };
        Ok((options, at))
    }

    /// The score that a member gets, None if it is to be left alone.
    fn new_score(self, before: Option<f64>, given: f64) -> Result<Option<f64>, CommandError> {
        let Some(before) = before else {
            return Ok((self.condition != Condition::Present).then_some(given));
        };
        if self.condition == Condition::Absent {
            return Ok(None);
        }
        let score = if self.increment { before + given } else { given };
        if score.is_nan() {
            return Err(CommandError::Fixed("ERR resulting score is not a number (NaN)"));
        }
        let wanted = match self.direction {
            Direction::Any => true,
            Direction::Up => score > before,
            Direction::Down => score < before,
        };
        Ok(wanted.then_some(score))
    }

    /// Whether nothing depends on the score that a member has.
    fn is_plain(self) -> bool {
        self.condition == Condition::Always && self.direction == Direction::Any && !self.increment
    }
}

/// What came of adding members.
#[derive(Clone, Copy, Default)]
struct Additions {
    added: i64,
    changed: i64,
    /// The score that the last member has got; None if it was left alone.
    score: Option<f64>,
}

impl Additions {
    fn add(
        &mut self,
        set: &mut Edit<'_, SortedSet>,
        options: AddOptions,
        (given, member): (f64, &[u8]),
    ) -> Result<(), CommandError> {
        let before = if options.is_plain() { None } else { set.view().score(member) };
        self.score = options.new_score(before, given)?;
        if let Some(score) = self.score {
            match set.put(member, score) {
                Put::Added => self.added += 1,
                Put::Changed(_) => self.changed += 1,
                Put::Same => {}
            }
        }
        Ok(())
    }
}

/// Adds pairs of score and member.
fn add(
    context: &mut Context<'_>,
    pairs: &[&[u8]],
    options: AddOptions,
) -> Result<Additions, CommandError> {
    for pair in pairs.chunks_exact(2) {
        score(pair[0])?;
    }
    let key = context.new_key(1)?;
    if options.condition == Condition::Present && context.store.peek(&key).is_none() {
        return Ok(Additions::default());
    }
    let growth = pairs.chunks_exact(2).map(|pair| pair[1].len() + MEMBER_OVERHEAD).sum();
    let additions = context.store.edit::<SortedSet, _>(&key, growth, |set| {
        let mut additions = Additions::default();
        for pair in pairs.chunks_exact(2) {
            additions.add(set, options, (score(pair[0])?, pair[1]))?;
        }
        Ok::<_, CommandError>(additions)
    })??;
    if additions.added + additions.changed > 0 {
        let event = if options.increment { "zincr" } else { "zadd" };
        context.notify(NoticeClasses::SORTED_SET, event, &key);
    }
    Ok(additions)
}

/// `ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member [score member …]`
pub fn zadd(context: &mut Context<'_>) -> Result<(), CommandError> {
    let (options, first) = AddOptions::parse(context.args)?;
    let additions = add(context, context.args.from(first), options)?;
    if options.increment {
        write_score(context.reply, additions.score);
    } else {
        let changed = if options.count_changed { additions.changed } else { 0 };
        context.reply.integer(additions.added + changed);
    }
    Ok(())
}

/// Adds members whose scores are known, as ZADD would. `options`: the words that ZADD takes.
pub(crate) fn add_scored(
    context: &mut Context<'_>,
    options: &[&[u8]],
    members: &[(f64, &[u8])],
) -> Result<(), CommandError> {
    // The pair stands for those that come.
    let words: Vec<&[u8]> = [&[&b"zadd"[..], b"key"][..], options, &[b"0", b"member"]].concat();
    let (options, _) = AddOptions::parse(Args::new(&words, &[]))?;
    let key = context.new_key(1)?;
    let growth = members.iter().map(|(_, member)| member.len() + MEMBER_OVERHEAD).sum();
    let absent = context.store.peek(&key).is_none();
    let mut additions = Additions::default();
    if !(absent && options.condition == Condition::Present) {
        context.store.edit::<SortedSet, _>(&key, growth, |set| {
            members.iter().try_for_each(|member| additions.add(set, options, *member))
        })??;
    }
    if additions.added + additions.changed > 0 {
        context.notify(NoticeClasses::SORTED_SET, "zadd", &key);
    }
    let changed = if options.count_changed { additions.changed } else { 0 };
    context.reply.integer(additions.added + changed);
    Ok(())
}

/// `ZINCRBY key increment member`
pub fn zincrby(context: &mut Context<'_>) -> Result<(), CommandError> {
    let options = AddOptions { increment: true, ..AddOptions::NONE };
    let additions = add(context, context.args.from(2), options)?;
    write_score(context.reply, additions.score);
    Ok(())
}

/// A score, or null.
fn write_score(reply: &mut dyn Reply, score: Option<f64>) {
    match score {
        // A sum of zeros is no minus zero, as the set has it.
        Some(score) => reply.double(score + 0.0),
        None => reply.null(),
    }
}

/// Asks for the time of so many visits to these members of the set.
pub(crate) fn claim_members<'a>(
    limits: HandlerLimits,
    visits: usize,
    set: SortedView<'_>,
    members: impl Iterator<Item = (Item<'a>, f64)>,
) -> Result<(), CommandError> {
    limits.claim_each(visits, set.bytes(), members.map(|(member, _)| member.len()))
}

/// Members, with their scores or without.
pub(crate) fn write_members<'a>(
    reply: &mut dyn Reply,
    members: impl ExactSizeIterator<Item = (Item<'a>, f64)>,
    with_scores: bool,
) {
    if with_scores {
        reply.pairs(members.len());
        for (member, score) in members {
            reply.pair();
            write_item(reply, member);
            reply.double(score);
        }
    } else {
        reply.array(members.len());
        members.for_each(|(member, _)| write_item(reply, member));
    }
}

/// Puts a set of these members in the place of whatever the key holds, without an expiry; without
/// members the key goes. Answers how many there are.
pub(crate) fn store_members<'m>(
    context: &mut Context<'_>,
    key: &Key<'_>,
    members: impl Iterator<Item = (&'m [u8], f64)>,
    event: &'static str,
) -> Result<(), CommandError> {
    let mut set = SortedSet::empty();
    let mut edit = Edit {
        value: &mut set,
        limits: context.store.pack_limits(),
        now: context.store.now(),
        changes: None,
    };
    for (member, score) in members {
        edit.put(member, score);
    }
    let count = set.as_view().len();
    if count == 0 {
        if context.store.remove(key, Removal::Deleted) {
            context.notify(NoticeClasses::GENERIC, "del", key);
        }
    } else {
        let value = OwnedCollection { type_name: TypeName::SortedSet, body: set.into_body() };
        context.store.set(key, NewValue::Collection(&value), Expiry::Never)?;
        context.notify(NoticeClasses::SORTED_SET, event, key);
    }
    context.reply.integer(count as i64);
    Ok(())
}

/// `ZREM key member [member …]`
pub fn zrem(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let members = context.args.from(2);
    let removed = context.store.edit::<SortedSet, _>(&key, 0, |set| {
        members.iter().filter(|member| set.remove(member).is_some()).count()
    })?;
    if removed > 0 {
        context.notify(NoticeClasses::SORTED_SET, "zrem", &key);
        notify_gone(context, &key);
    }
    context.reply.integer(removed as i64);
    Ok(())
}

/// `ZCARD key`
pub fn zcard(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let count = context.store.view::<SortedSet>(&key)?.map_or(0, SortedView::len);
    context.reply.integer(count as i64);
    Ok(())
}

/// `ZSCORE key member`
pub fn zscore(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let view = context.store.view::<SortedSet>(&key)?;
    write_score(context.reply, view.and_then(|set| set.score(&context.args[2])));
    Ok(())
}

/// `ZMSCORE key member [member …]`
pub fn zmscore(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let view = context.store.view::<SortedSet>(&key)?;
    let members = context.args.from(2);
    context.reply.array(members.len());
    for member in members {
        write_score(context.reply, view.and_then(|set| set.score(member)));
    }
    Ok(())
}

/// `ZRANK key member [WITHSCORE]`
pub fn zrank(context: &mut Context<'_>) -> Result<(), CommandError> {
    rank(context, false, "zrank")
}

/// `ZREVRANK key member [WITHSCORE]`
pub fn zrevrank(context: &mut Context<'_>) -> Result<(), CommandError> {
    rank(context, true, "zrevrank")
}

fn rank(context: &mut Context<'_>, reverse: bool, name: &'static str) -> Result<(), CommandError> {
    let with_score = match context.args.from(3) {
        [] => false,
        [word] if is(word, "withscore") => true,
        [_] => return Err(CommandError::Syntax),
        [..] => return Err(CommandError::WrongArity(name)),
    };
    let key = context.key(1);
    let view = context.store.view::<SortedSet>(&key)?;
    let found = view.and_then(|set| set.rank(&context.args[2], reverse));
    let reply = &mut *context.reply;
    match (found, with_score) {
        (Some((rank, _)), false) => reply.integer(rank as i64),
        (Some((rank, score)), true) => {
            reply.array(2);
            reply.integer(rank as i64);
            reply.double(score);
        }
        (None, false) => reply.null(),
        (None, true) => reply.null_array(),
    }
    Ok(())
}

/// `ZCOUNT key min max`
pub fn zcount(context: &mut Context<'_>) -> Result<(), CommandError> {
    count(context, Span::of_scores(&context.args[2], &context.args[3])?)
}

/// `ZLEXCOUNT key min max`
pub fn zlexcount(context: &mut Context<'_>) -> Result<(), CommandError> {
    let args = context.args;
    count(context, Span::of_members(&args[2], &args[3])?)
}

fn count(context: &mut Context<'_>, span: Span<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let view = context.store.view::<SortedSet>(&key)?;
    context.reply.integer(view.map_or(0, |set| span.ranks(set).len()) as i64);
    Ok(())
}

/// `ZRANDMEMBER key [count [WITHSCORES]]`
pub fn zrandmember(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let mut dice = context.store.fork_dice();
    let Some(count) = context.args.get(2) else {
        let view = context.store.view::<SortedSet>(&key)?;
        match view.and_then(|set| set.random(&mut dice)) {
            Some((member, _)) => {
                context.limits.claim_bytes(member.len())?;
                write_item(context.reply, member);
            }
            None => context.reply.null(),
        }
        return Ok(());
    };
    let count = random_count(count)?;
    let with_scores = match context.args.from(3) {
        [] => false,
        [word] if is(word, "withscores") => true,
        _ => return Err(CommandError::Syntax),
    };
    if count < 0 && count.unsigned_abs() > PICKS_MAX || with_scores && count > i64::MAX / 2 {
        return Err(CommandError::Fixed("ERR value is out of range"));
    }
    let Some(set) = context.store.view::<SortedSet>(&key)? else {
        context.reply.array(0);
        return Ok(());
    };
    let visits = usize::try_from(count).map_or(usize::MAX, |count| count.min(set.len()));
    let visits = if count < 0 { count.unsigned_abs() as usize } else { visits };
    context.limits.claim(visits.saturating_mul(2))?;
    let chosen = choose(set.len(), count, &mut dice);
    let at = |rank: usize| set.at(rank).expect("the rank is below the count");
    claim_members(context.limits, 0, set, chosen.iter().map(|rank| at(*rank)))?;
    write_members(context.reply, chosen.into_iter().map(at), with_scores);
    Ok(())
}

/// Some of the ranks below `len` by chance: with repetitions if the count is negative, else
/// different ones; all of them in order if there are not more.
fn choose(len: usize, count: i64, dice: &mut fastrand::Rng) -> Vec<usize> {
    if count < 0 {
        return (0..count.unsigned_abs()).map(|_| dice.usize(..len)).collect();
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count >= len {
        return (0..len).collect();
    }
    // Robert Floyd's sampling (Programming Pearls, CACM 30(9), 1987): each choice is of one rank
    // more, and that one stands in for a rank that was chosen before.
    let mut seen = HashSet::with_capacity(count);
    let mut chosen: Vec<usize> = (len - count..len)
        .map(|top| {
            let rank = dice.usize(..=top);
            if seen.insert(rank) {
                return rank;
            }
            seen.insert(top);
            top
        })
        .collect();
    dice.shuffle(&mut chosen);
    chosen
}

/// `ZSCAN key cursor [MATCH pattern] [COUNT count]`
pub fn zscan(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let cursor = scan_cursor(&context.args[2])?;
    let Some(set) = context.store.view::<SortedSet>(&key)? else {
        ScanRequest::write_nothing(context.reply);
        return Ok(());
    };
    let request = ScanRequest::parse_scored(cursor, context.args.from(3))?;
    // A walk hashes what it passes, answered or not.
    context.limits.claim_of(request.count.min(set.len()), (set.len(), set.bytes()))?;
    let mut found: Vec<(Item<'_>, f64)> = Vec::new();
    let next = set.scan(request.cursor, request.count, |member, score| {
        if request.wants_element(member) {
            found.push((member, score));
        }
    });
    claim_members(context.limits, 0, set, found.iter().copied())?;
    let reply = &mut *context.reply;
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(if request.names_only { found.len() } else { found.len() * 2 });
    for (member, score) in found {
        write_item(reply, member);
        if !request.names_only {
            reply.double_bulk(score);
        }
    }
    Ok(())
}
