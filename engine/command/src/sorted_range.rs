//! Ranges of sorted sets by rank, score or member: ZRANGE and its older forms, ZRANGESTORE, and
//! removing by ranges.

use std::ops::Range;

use ringlane_store::NoticeClasses;
use ringlane_store::types::{SortedIter, SortedSet, SortedView};

use crate::hash::notify_gone;
use crate::parse::{self, is};
use crate::score::Span;
use crate::sorted::{VISITS_A_MEMBER, claim_members, store_members, write_members};
use crate::{Args, CommandError, Context};

/// By what a range is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Member,
}

/// How a command of the family is called: what it says by its name is no option.
#[derive(Clone, Copy)]
struct Form {
    /// Where the key of the set stands; the bounds follow.
    key: usize,
    /// None: an option says it.
    by: Option<By>,
    reverse: Option<bool>,
    /// ZRANGESTORE: WITHSCORES is no option.
    stores: bool,
}

/// What a range command asks for.
struct Request<'a> {
    bounds: Bounds<'a>,
    reverse: bool,
    /// Members that are left out first; a negative number leaves out all.
    offset: i64,
    /// Members at most; all if it is negative.
    limit: i64,
    with_scores: bool,
}

enum Bounds<'a> {
    /// Counted from the end if negative, both included.
    Ranks {
        start: i64,
        stop: i64,
    },
    Span(Span<'a>),
}

impl<'a> Request<'a> {
    fn parse(args: Args<'a>, form: Form) -> Result<Self, CommandError> {
        let (mut by, mut reverse) = (form.by, form.reverse);
        let (mut offset, mut limit, mut with_scores) = (0, -1, false);
        let mut rest = args.from(form.key + 3);
        while let [option, after @ ..] = rest {
            rest = after;
            if !form.stores && is(option, "withscores") {
                with_scores = true;
            } else if let ([first, second, after @ ..], true) = (rest, is(option, "limit")) {
                offset = parse::integer(first)?;
                limit = parse::integer(second)?;
                rest = after;
            } else if reverse.is_none() && is(option, "rev") {
                reverse = Some(true);
            } else if by.is_none() && is(option, "bylex") {
                by = Some(By::Member);
            } else if by.is_none() && is(option, "byscore") {
                by = Some(By::Score);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
        if limit != -1 && by == By::Rank {
            return Err(CommandError::Fixed(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && by == By::Member {
            return Err(CommandError::Fixed(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        let (first, second) = (&args.from(form.key)[1], &args.from(form.key)[2]);
        // The greater bound comes first where the walk is downward.
        let (min, max) = if reverse { (second, first) } else { (first, second) };
        let bounds = match by {
            By::Rank => {
                Bounds::Ranks { start: parse::integer(first)?, stop: parse::integer(second)? }
            }
            By::Score => Bounds::Span(Span::of_scores(min, max)?),
            By::Member => Bounds::Span(Span::of_members(min, max)?),
        };
        Ok(Self { bounds, reverse, offset, limit, with_scores })
    }

    /// The members asked for, in the order asked for.
    fn select(&self, set: SortedView<'a>) -> SortedIter<'a> {
        let ranks = match self.bounds {
            Bounds::Span(span) => span.ranks(set),
            Bounds::Ranks { start, stop } => {
                let places = resolve(start, stop, set.len());
                return if self.reverse {
                    let first = set.len().wrapping_sub(1).wrapping_sub(places.start);
                    set.range_rev(first, places.len())
                } else {
                    set.range(places.start, places.len())
                };
            }
        };
        // Further than any set is long: all are left out.
        let offset = usize::try_from(self.offset).unwrap_or(usize::MAX).min(ranks.len());
        let count = usize::try_from(self.limit).unwrap_or(usize::MAX).min(ranks.len() - offset);
        if self.reverse {
            set.range_rev((ranks.end - offset).wrapping_sub(1), count)
        } else {
            set.range(ranks.start + offset, count)
        }
    }
}

/// The places from `start` to `stop`, both included and counted from the end if negative, of `len`.
fn resolve(start: i64, stop: i64, len: usize) -> Range<usize> {
    let len = len as i64;
    let from = if start < 0 { start.saturating_add(len).max(0) } else { start };
    let to = if stop < 0 { stop.saturating_add(len) } else { stop.min(len - 1) };
    if from > to || from >= len { 0..0 } else { from as usize..to as usize + 1 }
}

fn range(context: &mut Context<'_>, by: By, reverse: bool) -> Result<(), CommandError> {
    answer(context, Form { key: 1, by: Some(by), reverse: Some(reverse), stores: false })
}

fn answer(context: &mut Context<'_>, form: Form) -> Result<(), CommandError> {
    let request = Request::parse(context.args, form)?;
    let key = context.key(form.key);
    match context.store.view::<SortedSet>(&key)? {
        None => context.reply.array(0),
        Some(set) => {
            let members = request.select(set);
            claim_members(context.limits, members.len(), set, members.clone())?;
            write_members(context.reply, members, request.with_scores);
        }
    }
    Ok(())
}

/// `ZRANGE key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]`
pub fn zrange(context: &mut Context<'_>) -> Result<(), CommandError> {
    answer(context, Form { key: 1, by: None, reverse: None, stores: false })
}

/// `ZREVRANGE key start stop [WITHSCORES]`
pub fn zrevrange(context: &mut Context<'_>) -> Result<(), CommandError> {
    range(context, By::Rank, true)
}

/// `ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]`
pub fn zrangebyscore(context: &mut Context<'_>) -> Result<(), CommandError> {
    range(context, By::Score, false)
}

/// `ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]`
pub fn zrevrangebyscore(context: &mut Context<'_>) -> Result<(), CommandError> {
    range(context, By::Score, true)
}

/// `ZRANGEBYLEX key min max [LIMIT offset count]`
pub fn zrangebylex(context: &mut Context<'_>) -> Result<(), CommandError> {
    range(context, By::Member, false)
}

/// `ZREVRANGEBYLEX key max min [LIMIT offset count]`
pub fn zrevrangebylex(context: &mut Context<'_>) -> Result<(), CommandError> {
    range(context, By::Member, true)
}

/// `ZRANGESTORE to key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count]`
pub fn zrangestore(context: &mut Context<'_>) -> Result<(), CommandError> {
    let form = Form { key: 2, by: None, reverse: None, stores: true };
    let request = Request::parse(context.args, form)?;
    let (to, from) = (context.new_key(1)?, context.key(2));
    let members: Vec<_> = match context.store.view::<SortedSet>(&from)? {
        None => Vec::new(),
        Some(set) => {
            let members = request.select(set);
            let visits = members.len().saturating_mul(VISITS_A_MEMBER);
            claim_members(context.limits, visits, set, members.clone())?;
            members.map(|(member, score)| (member.to_vec(), score)).collect()
        }
    };
    let members = members.iter().map(|(member, score)| (&member[..], *score));
    store_members(context, &to, members, "zrangestore")
}

/// `ZREMRANGEBYRANK key start stop`
pub fn zremrangebyrank(context: &mut Context<'_>) -> Result<(), CommandError> {
    let start = parse::integer(&context.args[2])?;
    let stop = parse::integer(&context.args[3])?;
    remove(context, "zremrangebyrank", |set| resolve(start, stop, set.len()))
}

/// `ZREMRANGEBYSCORE key min max`
pub fn zremrangebyscore(context: &mut Context<'_>) -> Result<(), CommandError> {
    let span = Span::of_scores(&context.args[2], &context.args[3])?;
    remove(context, "zremrangebyscore", |set| span.ranks(set))
}

/// `ZREMRANGEBYLEX key min max`
pub fn zremrangebylex(context: &mut Context<'_>) -> Result<(), CommandError> {
    let args = context.args;
    let span = Span::of_members(&args[2], &args[3])?;
    remove(context, "zremrangebylex", |set| span.ranks(set))
}

fn remove(
    context: &mut Context<'_>,
    event: &'static str,
    ranks: impl Fn(SortedView<'_>) -> Range<usize>,
) -> Result<(), CommandError> {
    let key = context.key(1);
    if let Some(set) = context.store.glance::<SortedSet>(&key)? {
        let doomed = ranks(set);
        let visits = doomed.len().saturating_mul(VISITS_A_MEMBER);
        claim_members(context.limits, visits, set, set.range(doomed.start, doomed.len()))?;
    }
    let removed = context.store.edit::<SortedSet, _>(&key, 0, |set| {
        let ranks = ranks(set.view());
        for _ in ranks.clone() {
            set.remove_at(ranks.start);
        }
        ranks.len()
    })?;
    if removed > 0 {
        context.notify(NoticeClasses::SORTED_SET, event, &key);
        notify_gone(context, &key);
    }
    context.reply.integer(removed as i64);
    Ok(())
}
