//! XREAD and XREADGROUP: what is new in streams, waiting for it if there is nothing.

use ringlane_base::{Millis, Now};
use ringlane_store::types::{Consumer, Delivery, Group, Stream, StreamEntry, StreamId, StreamView};
use ringlane_store::{Key, NoticeClasses};

use crate::parse::{self, is};
use crate::stream::{
    VISITS_AN_ENTRY, claim_bytes_of, claim_entries, id, write_entries, write_entry,
    write_entry_parts, write_id,
};
use crate::{Args, CommandError, Context, Reply, Wait, Waiting};

/// What is to be done where there is nothing to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    No,
    ForEver,
    Until(Millis),
}

/// The options of XREAD and XREADGROUP.
struct Options<'a> {
    /// As many entries of each stream at most; 0: all.
    count: usize,
    block: Block,
    /// Group and consumer.
    group: Option<(&'a [u8], &'a [u8])>,
    no_acknowledge: bool,
    /// Entries that have been pending for so many milliseconds are given too, whoever has them.
    claim: Option<u64>,
    /// The index of the first key, and how many there are.
    first: usize,
    streams: usize,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>, of_group: bool, now: Now) -> Result<Self, CommandError> {
        let mut options = Self {
            count: 0,
            block: Block::No,
            group: None,
            no_acknowledge: false,
            claim: None,
            first: 0,
            streams: 0,
        };
        let mut at = 1;
        while let [word, after @ ..] = args.from(at) {
            if is(word, "block") && !after.is_empty() {
                options.block = timeout(after[0], now)?;
                at += 1;
            } else if is(word, "count") && !after.is_empty() {
                options.count = usize::try_from(parse::integer(after[0])?).unwrap_or(0);
                at += 1;
            } else if is(word, "streams") && !after.is_empty() {
                if !after.len().is_multiple_of(2) {
                    return Err(unbalanced(of_group));
                }
                (options.first, options.streams) = (at + 1, after.len() / 2);
                break;
            } else if is(word, "group") && after.len() >= 2 {
                options.group = Some((after[0], after[1]));
                at += 2;
                only_of_groups("GROUP", of_group)?;
            } else if is(word, "noack") {
                options.no_acknowledge = true;
                only_of_groups("NOACK", of_group)?;
            } else if is(word, "claim") && !after.is_empty() {
                only_of_groups("CLAIM", of_group)?;
                options.claim = Some(idle_time(after[0])?);
                at += 1;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        if options.streams == 0 {
            return Err(CommandError::Syntax);
        }
        if of_group && options.group.is_none() {
            return Err(CommandError::Fixed("ERR Missing GROUP option for XREADGROUP"));
        }
        Ok(options)
    }
}

fn only_of_groups(option: &str, of_group: bool) -> Result<(), CommandError> {
    if of_group {
        return Ok(());
    }
    Err(CommandError::Text(format!(
        "ERR The {option} option is only supported by XREADGROUP. You called XREAD instead."
    )))
}

fn unbalanced(of_group: bool) -> CommandError {
    CommandError::Fixed(if of_group {
        "ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be \
         specified."
    } else {
        "ERR Unbalanced 'xread' list of streams: for each stream key an ID, '+', or '$' must be \
         specified."
    })
}

/// For how long an entry must have been pending to be claimed, in milliseconds.
fn idle_time(text: &[u8]) -> Result<u64, CommandError> {
    let idle = parse::integer(text)
        .map_err(|_| CommandError::Fixed("ERR min-idle-time is not an integer or out of range"))?;
    u64::try_from(idle)
        .map_err(|_| CommandError::Fixed("ERR min-idle-time must be a positive integer"))
}

/// When a wait of so many milliseconds ends, by the steady clock.
fn timeout(text: &[u8], now: Now) -> Result<Block, CommandError> {
    const NO_INTEGER: CommandError =
        CommandError::Fixed("ERR timeout is not an integer or out of range");
    match parse::integer(text).map_err(|_| NO_INTEGER)? {
        ..0 => Err(CommandError::Fixed("ERR timeout is negative")),
        0 => Ok(Block::ForEver),
        wait @ 1.. => match wait.checked_add(now.wall.0 as i64) {
            Some(_) => Ok(Block::Until(now.steady.plus(wait as u64))),
            None => Err(CommandError::Fixed("ERR timeout is out of range")),
        },
    }
}

/// From where on a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    After(StreamId),
    /// `>`: what the group has not given out.
    New,
}

/// `XREAD [COUNT count] [BLOCK milliseconds] STREAMS key [key …] id [id …]`
pub fn xread(context: &mut Context<'_>) -> Result<(), CommandError> {
    let options = Options::parse(context.args, false, context.store.now())?;
    let mut served = Vec::new();
    let mut made_absolute = Vec::new();
    for index in 0..options.streams {
        let key = context.key(options.first + index);
        let at = options.first + options.streams + index;
        let text = context.args.get(at).expect("as many ids as keys");
        let stream = context.store.view::<Stream>(&key)?;
        let after = after_id(text, stream)?;
        if matches!(text, b"$" | b"+") {
            made_absolute.push((at, after));
        }
        let top = stream.and_then(StreamView::last);
        if top.is_some_and(|top| top.id > after) {
            served.push((options.first + index, after));
        }
    }
    if served.is_empty() {
        return nothing(context, options.block, Wait::default(), &made_absolute);
    }
    for (index, after) in &served {
        let key = context.key(*index);
        let stream = context.store.glance::<Stream>(&key)?.expect("it was there");
        let from = after.next().expect("something stands behind it");
        let entries = stream.range(from, StreamId::MAX);
        claim_entries(context.limits, stream, (entries, limit(options.count)))?;
    }
    context.reply.parts(served.len());
    for (index, after) in served {
        let key = context.key(index);
        context.reply.part();
        context.reply.bulk(key.bytes);
        let stream = context.store.view::<Stream>(&key)?.expect("it was there");
        let from = after.next().expect("something stands behind it");
        write_entries(context.reply, stream.range(from, StreamId::MAX), limit(options.count));
    }
    Ok(())
}

fn limit(count: usize) -> usize {
    if count == 0 { usize::MAX } else { count }
}

/// The id behind which XREAD reads.
fn after_id(text: &[u8], stream: Option<StreamView<'_>>) -> Result<StreamId, CommandError> {
    let last = || stream.map_or(StreamId::MIN, StreamView::last_id);
    match text {
        b"$" => Ok(last()),
        b"+" => {
            let top = stream.and_then(StreamView::last);
            Ok(top.and_then(|top| top.id.previous()).unwrap_or_else(last))
        }
        b">" => Err(CommandError::Fixed(
            "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> \
             <consumer> option.",
        )),
        _ => id(text),
    }
}

/// There is nothing to read: waits, for more than time if `wait` says so, if that was asked for and may
/// be. `made_absolute`: arguments whose meaning depends on when they are read, with what they mean now.
fn nothing(
    context: &mut Context<'_>,
    block: Block,
    mut wait: Wait,
    made_absolute: &[(usize, StreamId)],
) -> Result<(), CommandError> {
    let may_wait = context.waiting == Waiting::Allowed;
    wait.until = match block {
        Block::ForEver if may_wait => None,
        Block::Until(at) if may_wait => Some(at),
        Block::No | Block::ForEver | Block::Until(_) => {
            context.reply.null_array();
            return Ok(());
        }
    };
    wait.arguments = (!made_absolute.is_empty()).then(|| {
        let mut arguments: Vec<Vec<u8>> =
            context.args.from(0).iter().map(|argument| argument.to_vec()).collect();
        for (at, id) in made_absolute {
            arguments[*at] = id.to_string().into_bytes();
        }
        arguments
    });
    Err(CommandError::Blocked(Box::new(wait)))
}

/// `XREADGROUP GROUP group consumer [COUNT count] [BLOCK milliseconds] [CLAIM milliseconds] [NOACK]
/// STREAMS key [key …] id [id …]`
pub fn xreadgroup(context: &mut Context<'_>) -> Result<(), CommandError> {
    let options = Options::parse(context.args, true, context.store.now())?;
    let (group, consumer) = options.group.expect("it is not missing");
    let (now, mut served, mut idle) = (context.store.now(), Vec::new(), Vec::new());
    let mut wait = Wait { needs_keys: true, ..Wait::default() };
    for index in 0..options.streams {
        let key = context.key(options.first + index);
        let text = context.args.get(options.first + options.streams + index);
        let stream = context.store.view::<Stream>(&key)?;
        let known = stream.and_then(|stream| stream.group(group).map(|group| (stream, group)));
        let Some((stream, known)) = known else {
            return Err(CommandError::Text(format!(
                "NOGROUP No such key '{}' or consumer group '{}' in XREADGROUP with GROUP option",
                parse::printable(key.bytes, usize::MAX),
                parse::printable(group, usize::MAX),
            )));
        };
        let from = from_id(text.expect("as many ids as keys"))?;
        match from {
            From::New => {
                if options.claim.is_some() {
                    let pending = known.pending_len().min(limit(options.count));
                    context.limits.claim(pending.saturating_mul(VISITS_AN_ENTRY))?;
                    let pending = known.pending_by_age().take(limit(options.count));
                    let entries = pending.filter_map(|(id, _)| stream.get(id));
                    claim_bytes_of(context.limits, stream, entries)?;
                }
                let start = known.last.next().unwrap_or(StreamId::MAX);
                let entries = stream.range(start, StreamId::MAX);
                claim_entries(context.limits, stream, (entries, limit(options.count)))?;
            }
            From::After(after) => {
                let pending = known.consumer(consumer).map_or(0, Consumer::pending_len);
                let visits = pending.min(limit(options.count)).saturating_mul(VISITS_AN_ENTRY);
                context.limits.claim(visits)?;
                let start = after.next().unwrap_or(StreamId::MAX);
                let pending = known.pending_of_consumer(consumer, start, StreamId::MAX);
                let entries =
                    pending.take(limit(options.count)).filter_map(|(id, _)| stream.get(id));
                claim_bytes_of(context.limits, stream, entries)?;
            }
        }
        let fresh = stream.last().is_some_and(|top| top.id > known.last);
        let claimable_at = options.claim.and_then(|idle| claimable_at(stream, known, idle, now));
        if from != From::New || fresh || claimable_at.is_some_and(|at| at <= now.steady) {
            served.push((options.first + index, from));
        } else {
            wait.again = wait.again.into_iter().chain(claimable_at).min();
            idle.push(options.first + index);
        }
    }
    let waits =
        served.is_empty() && options.block != Block::No && context.waiting == Waiting::Allowed;
    see_consumer(context, &options, &idle, waits)?;
    if served.is_empty() {
        return nothing(context, options.block, wait, &[]);
    }
    context.reply.parts(served.len());
    for (index, from) in served {
        let key = context.key(index);
        context.reply.part();
        context.reply.bulk(key.bytes);
        if is_new(context, &key, group, consumer)? {
            context.notify(NoticeClasses::STREAM, "xgroup-createconsumer", &key);
        }
        match from {
            From::New => deliver(context, &key, &options)?,
            From::After(after) => repeat(context, &key, &options, after)?,
        }
    }
    Ok(())
}

fn from_id(text: &[u8]) -> Result<From, CommandError> {
    match text {
        b">" => Ok(From::New),
        b"$" => Err(CommandError::Fixed(
            "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history \
             of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ \
             ID would just return an empty result set.",
        )),
        b"+" => Err(CommandError::Fixed(
            "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history \
             of this consumer by specifying a proper ID, or use the > ID to get new messages. The + \
             ID would just return an empty result set.",
        )),
        _ => Ok(match id(text)? {
            // Behind the greatest id there is no history: Redis takes it for `>`.
            StreamId::MAX => From::New,
            after => From::After(after),
        }),
    }
}

/// The group of a stream that was found before.
fn group_of<'s>(stream: StreamView<'s>, name: &[u8]) -> &'s Group {
    stream.group(name).expect("it was found before")
}

/// Whether the group does not know the consumer.
fn is_new(
    context: &mut Context<'_>,
    key: &Key<'_>,
    group: &[u8],
    consumer: &[u8],
) -> Result<bool, CommandError> {
    let stream = context.store.view::<Stream>(key)?;
    Ok(stream.is_some_and(|stream| group_of(stream, group).consumer(consumer).is_none()))
}

/// Notes that a consumer has tried these keys, where there is nothing for it. A command that goes on
/// to wait changes nothing but for a new consumer: it runs again whenever the stream changes, and
/// must not wake others by that.
fn see_consumer(
    context: &mut Context<'_>,
    options: &Options<'_>,
    keys: &[usize],
    waits: bool,
) -> Result<(), CommandError> {
    let (group, consumer) = options.group.expect("it is not missing");
    let now = context.store.now().wall;
    for &index in keys {
        let key = context.key(index);
        let new = is_new(context, &key, group, consumer)?;
        if waits && !new {
            continue;
        }
        context.store.edit::<Stream, _>(&key, 0, |stream| {
            let known = group_of(stream.view(), group).consumer(consumer);
            let active = known.and_then(|known| known.active);
            stream.set_consumer(group, consumer, now, active);
        })?;
        if new {
            context.notify(NoticeClasses::STREAM, "xgroup-createconsumer", &key);
        }
    }
    Ok(())
}

/// When the entry that has been pending for longest, and is still there, may be claimed, by the steady
/// clock. Entries are dated by that of the wall; what is left until then is waited.
fn claimable_at(stream: StreamView<'_>, group: &Group, idle: u64, now: Now) -> Option<Millis> {
    let mut pending = group.pending_by_age();
    let (_, oldest) = pending.find(|(id, _)| stream.get(*id).is_some())?;
    Some(now.steady.plus(oldest.delivered_at.plus(idle).since(now.wall)))
}

/// Gives the consumer entries that the group has not given out; before them, with CLAIM, those that have
/// been pending for long enough, the longest first.
fn deliver(
    context: &mut Context<'_>,
    key: &Key<'_>,
    options: &Options<'_>,
) -> Result<(), CommandError> {
    let (group, consumer) = options.group.expect("it is not missing");
    let reply = &mut *context.reply;
    context.store.edit::<Stream, _>(key, 0, |stream| {
        let (view, now) = (stream.view(), stream.now.wall);
        let known = group_of(view, group);
        let most = limit(options.count);
        let claimed: Vec<_> = match options.claim {
            None => Vec::new(),
            Some(idle) => known
                .pending_by_age()
                .take_while(|(_, given)| given.delivered_at.0.saturating_add(idle) <= now.0)
                .filter_map(|(id, given)| Some((view.get(id)?, given)))
                .take(most)
                .collect(),
        };
        let mut read = known.read;
        let start = known.last.next().unwrap_or(StreamId::MAX);
        let fresh: Vec<_> = view.range(start, StreamId::MAX).take(most - claimed.len()).collect();
        reply.array(claimed.len() + fresh.len());
        for (entry, given) in &claimed {
            let idle = now.0.saturating_sub(given.delivered_at.0);
            write_claimed(reply, *entry, idle, given.deliveries);
        }
        for entry in &fresh {
            read = view.read_after(read, entry.id);
            match options.claim {
                None => write_entry(reply, *entry),
                Some(_) => write_claimed(reply, *entry, 0, 0),
            }
        }
        let again: Vec<_> =
            claimed.iter().map(|(entry, given)| (entry.id, given.deliveries + 1)).collect();
        let ids: Vec<StreamId> = fresh.iter().map(|entry| entry.id).collect();
        if let Some(&last) = ids.last() {
            stream.set_group(group, last, read);
        }
        if !again.is_empty() || !ids.is_empty() {
            stream.set_consumer(group, consumer, now, Some(now));
        }
        for (id, count) in again {
            stream.deliver(group, id, Delivery { consumer, at: now, count });
        }
        if !options.no_acknowledge {
            for id in ids {
                stream.deliver(group, id, Delivery { consumer, at: now, count: 1 });
            }
        }
    })?;
    Ok(())
}

/// Gives the consumer again what it has not acknowledged.
fn repeat(
    context: &mut Context<'_>,
    key: &Key<'_>,
    options: &Options<'_>,
    after: StreamId,
) -> Result<(), CommandError> {
    let (group, consumer) = options.group.expect("it is not missing");
    let reply = &mut *context.reply;
    context.store.edit::<Stream, _>(key, 0, |stream| {
        let (view, now) = (stream.view(), stream.now.wall);
        let known = group_of(view, group);
        let active = known.consumer(consumer).and_then(|consumer| consumer.active);
        let pending: Vec<_> = after.next().map_or(Vec::new(), |start| {
            let pending = known.pending_of_consumer(consumer, start, StreamId::MAX);
            pending.take(limit(options.count)).collect()
        });
        reply.array(pending.len());
        let mut again = Vec::with_capacity(pending.len());
        for (id, given) in pending {
            if let Some(entry) = view.get(id) {
                write_entry(reply, entry);
                again.push((id, given.deliveries + 1));
            } else {
                write_gone(reply, id);
            }
        }
        stream.set_consumer(group, consumer, now, active);
        for (id, count) in again {
            stream.deliver(group, id, Delivery { consumer, at: now, count });
        }
    })?;
    Ok(())
}

/// An entry with how long it was pending, in milliseconds, and how often it was given out before.
fn write_claimed(reply: &mut dyn Reply, entry: StreamEntry<'_>, idle: u64, deliveries: u64) {
    reply.array(4);
    write_entry_parts(reply, entry);
    reply.integer(i64::try_from(idle).unwrap_or(i64::MAX));
    reply.integer(i64::try_from(deliveries).unwrap_or(i64::MAX));
}

/// An entry that is pending but no longer there.
fn write_gone(reply: &mut dyn Reply, id: StreamId) {
    reply.array(2);
    write_id(reply, id);
    reply.null_array();
}
