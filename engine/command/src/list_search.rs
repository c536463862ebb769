//! LPOS and LREM: commands that look at every element of a list.

use ringlane_store::types::{Item, List};

use crate::parse::{self, is};
use crate::{CommandError, Context, list};

/// What follows the element of LPOS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LposOptions {
    /// From the back.
    reverse: bool,
    /// Matches to pass over.
    skip: u64,
    /// None: one, which is not answered as an array. 0: all.
    count: Option<usize>,
    /// Elements to look at, 0: all.
    len_max: usize,
}

impl LposOptions {
    fn parse(arguments: &[&[u8]]) -> Result<Self, CommandError> {
        let mut options = Self { reverse: false, skip: 0, count: None, len_max: 0 };
        let mut rest = arguments.iter();
        while let Some(option) = rest.next() {
            let value = rest.next().ok_or(CommandError::Syntax)?;
            if is(option, "rank") {
                let rank = parse::integer(value)?;
                options.restrict_to_rank(rank)?;
            } else if is(option, "count") {
                options.count = Some(list::positive(value, "ERR COUNT can't be negative")?);
            } else if is(option, "maxlen") {
                options.len_max = list::positive(value, "ERR MAXLEN can't be negative")?;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }

    fn restrict_to_rank(&mut self, rank: i64) -> Result<(), CommandError> {
        if rank == 0 {
            return Err(CommandError::Fixed(
                "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second \
                 ... or use negative to start from the end of the list",
            ));
        }
        if rank == i64::MIN {
            return Err(CommandError::Fixed(
                "ERR value is out of range, value must between -9223372036854775807 and \
                 9223372036854775807",
            ));
        }
        self.reverse = rank < 0;
        self.skip = rank.unsigned_abs() - 1;
        Ok(())
    }
}

/// `LPOS key element [RANK rank] [COUNT matches] [MAXLEN length]`
pub fn lpos(context: &mut Context<'_>) -> Result<(), CommandError> {
    let options = LposOptions::parse(context.args.from(3))?;
    let element = Item::of(context.args.get(2).expect("arity was checked"));
    let key = context.key(1);
    let mut found = Vec::new();
    if let Some(list) = context.store.view::<List>(&key)? {
        let length = list.len();
        let looks = if options.len_max == 0 { length } else { options.len_max.min(length) };
        context.limits.claim_of(looks / list::LOOKS_AN_ELEMENT, (length, list.bytes()))?;
        let items = if options.reverse { list.iter_rev() } else { list.iter() };
        let look = if options.len_max == 0 { length } else { options.len_max };
        let wanted = match options.count {
            None => 1,
            Some(0) => usize::MAX,
            Some(count) => count,
        };
        let skip = usize::try_from(options.skip).unwrap_or(usize::MAX);
        let matches = items.enumerate().take(look).filter(|&(_, item)| item == element);
        for (at, _) in matches.skip(skip).take(wanted) {
            found.push(if options.reverse { length - 1 - at } else { at });
        }
    }
    match (options.count, found.first()) {
        (None, Some(&index)) => context.reply.integer(index as i64),
        (None, None) => context.reply.null(),
        (Some(_), _) => {
            context.reply.array(found.len());
            for index in found {
                context.reply.integer(index as i64);
            }
        }
    }
    Ok(())
}

/// Elements that are removed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    index: usize,
    count: usize,
}

/// The places of up to `most` elements that match, from the front or the back, as runs in ascending
/// order.
fn matches(
    list: ringlane_store::types::ListView<'_>,
    element: Item<'_>,
    reverse: bool,
    most: usize,
) -> Vec<Run> {
    let length = list.len();
    let mut runs: Vec<Run> = Vec::new();
    let mut add = |index: usize| match runs.last_mut() {
        Some(run) if run.index + run.count == index => run.count += 1,
        Some(run) if run.index == index + 1 => *run = Run { index, count: run.count + 1 },
        Some(_) | None => runs.push(Run { index, count: 1 }),
    };
    if reverse {
        let items = list.iter_rev().enumerate().filter(|&(_, item)| item == element);
        items.take(most).for_each(|(at, _)| add(length - 1 - at));
        runs.reverse();
    } else {
        let items = list.iter().enumerate().filter(|&(_, item)| item == element);
        items.take(most).for_each(|(at, _)| add(at));
    }
    runs
}

/// `LREM key count element`
pub fn lrem(context: &mut Context<'_>) -> Result<(), CommandError> {
    let count = parse::integer(&context.args[2])?;
    let element = Item::of(context.args.get(3).expect("arity was checked"));
    let key = context.key(1);
    let most = match count {
        0 => usize::MAX,
        _ => usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX),
    };
    let runs = match list::peek(context.store, &key)? {
        Some(list) => {
            // As many runs as it finds are cut out one by one, which moves what stands behind.
            context.limits.claim_of(list.len(), (list.len(), list.bytes()))?;
            matches(list, element, count < 0, most)
        }
        None => Vec::new(),
    };
    let removed: usize = runs.iter().map(|run| run.count).sum();
    if removed > 0 {
        let garbage = context.store.edit::<List, _>(&key, 0, |list| {
            // From the back, so that the indices of what is left to remove stay true.
            runs.iter().rev().filter_map(|run| list.remove(run.index, run.count)).collect()
        });
        let garbage: Vec<_> = garbage?;
        for piece in garbage {
            context.store.free_in_slices(Some(piece));
        }
        list::notify_shrunk(context, &key, "lrem");
    }
    context.reply.integer(removed as i64);
    Ok(())
}
