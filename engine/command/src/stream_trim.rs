//! Trimming streams, and deleting entries with a say in what becomes of references to them: XTRIM,
//! XDELEX, XACKDEL, and the options of XADD.

use ringlane_store::types::{Stream, StreamId, StreamView, Trim, TrimTo};
use ringlane_store::{Edit, NoticeClasses, PackLimits};

use crate::parse::{self, is};
use crate::stream::{id, ids};
use crate::{Args, CommandError, Context, HandlerLimits};

/// Entries that a trim to about a threshold takes out at most, unless LIMIT says otherwise: those of
/// this many blocks, or so many.
const TRIM_BLOCKS: u64 = 100;
const TRIM_ENTRIES: u64 = 10_000;
const TRIM_ENTRIES_MAX: u64 = 1_000_000;

/// What becomes of an entry's places in the lists of what is pending, when it is to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum References {
    /// They stay.
    Keep,
    /// They go with it.
    Delete,
    /// An entry that some group has yet to read or to acknowledge stays itself.
    Acknowledged,
}

impl References {
    fn parse(word: &[u8]) -> Option<Self> {
        [("keepref", Self::Keep), ("delref", Self::Delete), ("acked", Self::Acknowledged)]
            .into_iter()
            .find_map(|(name, references)| is(word, name).then_some(references))
    }
}

/// What stands before the id of XADD, and all of XTRIM.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub no_stream: bool,
    pub references: References,
    to: Option<TrimTo>,
    about: bool,
    limit: Option<u64>,
    /// The index behind them.
    pub end: usize,
}

impl Options {
    pub fn parse(args: Args<'_>, adds: bool) -> Result<Self, CommandError> {
        let mut options = Self {
            no_stream: false,
            references: References::Keep,
            to: None,
            about: false,
            limit: None,
            end: 2,
        };
        let mut referenced = false;
        while let [word, after @ ..] = args.from(options.end) {
            if let Some(references) = References::parse(word) {
                match (referenced, adds) {
                    (false, _) => (options.references, referenced) = (references, true),
                    // As Redis does it: a second one is taken for the id.
                    (true, true) => break,
                    (true, false) => return Err(CommandError::Syntax),
                }
            } else if (is(word, "maxlen") || is(word, "minid")) && !after.is_empty() {
                options.end += options.threshold(is(word, "maxlen"), after)?;
            } else if is(word, "limit") && !after.is_empty() {
                let negative = CommandError::Fixed("ERR The LIMIT argument must be >= 0.");
                let limit = parse::integer(after[0])?;
                options.limit = Some(u64::try_from(limit).map_err(|_| negative)?);
                options.end += 1;
            } else if adds && is(word, "nomkstream") {
                options.no_stream = true;
            } else if adds {
                break;
            } else {
                return Err(CommandError::Syntax);
            }
            options.end += 1;
        }
        Ok(options)
    }

    /// Reads what follows MAXLEN or MINID; how many arguments.
    fn threshold(&mut self, by_length: bool, after: &[&[u8]]) -> Result<usize, CommandError> {
        if self.to.is_some() {
            return Err(CommandError::Fixed(
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        let marked = after.len() >= 2 && matches!(after[0], b"~" | b"=");
        self.about = marked && after[0] == b"~";
        let value = after[usize::from(marked)];
        self.to = Some(if by_length {
            let negative = CommandError::Fixed("ERR The MAXLEN argument must be >= 0.");
            TrimTo::Length(u64::try_from(parse::integer(value)?).map_err(|_| negative)?)
        } else {
            TrimTo::Id(id(value)?)
        });
        Ok(1 + usize::from(marked))
    }

    /// The trim that they ask for.
    pub fn trim(&self, limits: &PackLimits) -> Result<Option<Trim>, CommandError> {
        let Some(to) = self.to else {
            return match self.limit {
                Some(limit) if limit > 0 => Err(CommandError::Fixed(
                    "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
                )),
                Some(_) | None => Ok(None),
            };
        };
        let entries_max = match self.limit {
            Some(_) if !self.about => {
                return Err(CommandError::Fixed(
                    "ERR syntax error, LIMIT cannot be used without the special ~ option",
                ));
            }
            Some(limit) => limit,
            None if self.about => match limits.stream_node_max_entries as u64 {
                0 => TRIM_ENTRIES,
                entries => entries.saturating_mul(TRIM_BLOCKS).min(TRIM_ENTRIES_MAX),
            },
            None => 0,
        };
        Ok(Some(Trim { to, whole_blocks: self.about, entries_max }))
    }
}

/// Entries that go with their block in the time that one element takes to be answered.
const ENTRIES_A_VISIT: usize = 8;

/// Asks for the time to trim; looks at no more entries than there is time for.
pub(crate) fn claim(
    limits: HandlerLimits,
    stream: StreamView<'_>,
    trim: Trim,
    references: References,
) -> Result<(), CommandError> {
    let entries_a_visit = if references == References::Keep { ENTRIES_A_VISIT } else { 1 };
    let most = limits.elements_at_once_max.saturating_add(1).saturating_mul(entries_a_visit);
    let doomed = match trim.to {
        TrimTo::Length(length) => stream.len().saturating_sub(length as usize),
        TrimTo::Id(id) if limits.elements_at_once_max < usize::MAX => {
            id.previous().map_or(0, |last| stream.range(StreamId::MIN, last).take(most).count())
        }
        TrimTo::Id(_) => 0,
    };
    let doomed = match usize::try_from(trim.entries_max) {
        Ok(bound @ 1..) => doomed.min(bound),
        Ok(0) | Err(_) => doomed,
    };
    limits.claim(doomed / entries_a_visit)
}

/// Trims; how many entries went.
pub(crate) fn run(stream: &mut Edit<'_, Stream>, trim: Trim, references: References) -> u64 {
    if references == References::Keep {
        return stream.trim(trim);
    }
    let Some(before) = stream.view().trim_end(trim) else { return 0 };
    let Some(last) = before.previous() else { return 0 };
    let due: Vec<StreamId> =
        stream.view().range(StreamId::MIN, last).map(|entry| entry.id).collect();
    let gone = due.into_iter().filter(|id| delete(stream, *id, references) == Outcome::Deleted);
    gone.count() as u64
}

/// What became of an entry that was to be deleted, with the number that XDELEX answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Missing = -1,
    Deleted = 1,
    Referenced = 2,
}

fn delete(stream: &mut Edit<'_, Stream>, id: StreamId, references: References) -> Outcome {
    let view = stream.view();
    if view.get(id).is_none() {
        return Outcome::Missing;
    }
    let holders: Vec<Box<[u8]>> = view
        .groups()
        .filter(|(_, group)| group.pending_of(id).is_some())
        .map(|(name, _)| name.into())
        .collect();
    match references {
        References::Keep => {}
        References::Delete => {
            for group in holders {
                stream.settle(&group, id);
            }
        }
        References::Acknowledged => {
            if !holders.is_empty() || view.groups().any(|(_, group)| group.last < id) {
                return Outcome::Referenced;
            }
        }
    }
    stream.delete(id);
    Outcome::Deleted
}

/// `XTRIM key MAXLEN | MINID [= | ~] threshold [LIMIT n] [KEEPREF | DELREF | ACKED]`
pub fn xtrim(context: &mut Context<'_>) -> Result<(), CommandError> {
    let options = Options::parse(context.args, false)?;
    let trim = options.trim(context.store.pack_limits())?.ok_or(CommandError::Fixed(
        "ERR syntax error, XTRIM must be called with a trimming strategy",
    ))?;
    let key = context.key(1);
    let gone = if let Some(stream) = context.store.view::<Stream>(&key)? {
        let references = options.references;
        claim(context.limits, stream, trim, references)?;
        context.store.edit::<Stream, _>(&key, 0, |stream| run(stream, trim, references))?
    } else {
        0
    };
    if gone > 0 {
        context.notify(NoticeClasses::STREAM, "xtrim", &key);
    }
    context.reply.integer(gone as i64);
    Ok(())
}

/// `[KEEPREF | DELREF | ACKED] IDS numids id [id …]`, in either order.
fn references_and_ids(arguments: &[&[u8]]) -> Result<(References, Vec<StreamId>), CommandError> {
    let (mut references, mut listed, mut rest) = (None, None, arguments);
    while let [word, after @ ..] = rest {
        rest = after;
        let said = References::parse(word);
        if references.is_none() && said.is_some() {
            references = said;
        } else if let ([count, after @ ..], true, None) = (after, is(word, "ids"), listed) {
            let positive = CommandError::Fixed("ERR Number of IDs must be a positive integer");
            let count = parse::integer(count).ok().filter(|count| *count > 0);
            let count = usize::try_from(count.ok_or(positive)?).unwrap_or(usize::MAX);
            let mismatch = "ERR The `numids` parameter must match the number of arguments";
            let (these, after) =
                after.split_at_checked(count).ok_or(CommandError::Fixed(mismatch))?;
            (listed, rest) = (Some(these), after);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let listed = listed.ok_or(CommandError::Syntax)?;
    Ok((references.unwrap_or(References::Keep), ids(listed)?))
}

/// `XDELEX key [KEEPREF | DELREF | ACKED] IDS numids id [id …]`
pub fn xdelex(context: &mut Context<'_>) -> Result<(), CommandError> {
    let (references, ids) = references_and_ids(context.args.from(2))?;
    let key = context.key(1);
    let outcomes: Vec<Outcome> = if context.store.view::<Stream>(&key)?.is_none() {
        vec![Outcome::Missing; ids.len()]
    } else {
        context.store.edit::<Stream, _>(&key, 0, |stream| {
            ids.iter().map(|id| delete(stream, *id, references)).collect()
        })?
    };
    if outcomes.contains(&Outcome::Deleted) {
        context.notify(NoticeClasses::STREAM, "xdel", &key);
    }
    context.reply.array(outcomes.len());
    for outcome in outcomes {
        context.reply.integer(outcome as i64);
    }
    Ok(())
}

/// `XACKDEL key group [KEEPREF | DELREF | ACKED] IDS numids id [id …]`
pub fn xackdel(context: &mut Context<'_>) -> Result<(), CommandError> {
    let (references, ids) = references_and_ids(context.args.from(3))?;
    let key = context.key(1);
    let group = context.args.get(2).expect("arity was checked");
    let stream = context.store.view::<Stream>(&key)?;
    let known = stream.is_some_and(|stream| stream.group(group).is_some());
    let mut deleted = false;
    let outcomes: Vec<Outcome> = if known {
        context.store.edit::<Stream, _>(&key, 0, |stream| {
            let mut outcome = |id: StreamId| {
                if !stream.settle(group, id) {
                    return Outcome::Missing;
                }
                let outcome = delete(stream, id, references);
                deleted |= outcome == Outcome::Deleted;
                // One that is gone already is as good as deleted.
                if outcome == Outcome::Missing { Outcome::Deleted } else { outcome }
            };
            ids.iter().map(|id| outcome(*id)).collect()
        })?
    } else {
        vec![Outcome::Missing; ids.len()]
    };
    if deleted {
        context.notify(NoticeClasses::STREAM, "xdel", &key);
    }
    context.reply.array(outcomes.len());
    for outcome in outcomes {
        context.reply.integer(outcome as i64);
    }
    Ok(())
}
