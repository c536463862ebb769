//! Groups of streams: XGROUP, XACK, XPENDING. Taking over what others have pending is in
//! `stream_claim`.

use ringlane_base::Millis;
use ringlane_store::types::{Consumer, Group, Stream, StreamId, StreamView};
use ringlane_store::{Key, NoticeClasses};

use crate::parse::{self, is};
use crate::stream::{id, ids, interval_end, interval_start, write_id};
use crate::{CommandError, Context};

/// A group that is missing, or its key is.
pub(crate) fn no_key_or_group(key: &Key<'_>, group: &[u8]) -> CommandError {
    CommandError::Text(format!(
        "NOGROUP No such key '{}' or consumer group '{}'",
        parse::printable(key.bytes, usize::MAX),
        parse::printable(group, usize::MAX),
    ))
}

/// A group that is missing in a stream that is there.
pub(crate) fn no_group(key: &Key<'_>, group: &[u8]) -> CommandError {
    CommandError::Text(format!(
        "NOGROUP No such consumer group '{}' for key name '{}'",
        parse::printable(group, usize::MAX),
        parse::printable(key.bytes, usize::MAX),
    ))
}

/// The group of the stream at the key.
pub(crate) fn find_group<'s>(
    context: &'s mut Context<'_>,
    key: &Key<'_>,
    group: &[u8],
) -> Result<Option<(StreamView<'s>, &'s Group)>, CommandError> {
    let stream = context.store.view::<Stream>(key)?;
    Ok(stream.and_then(|stream| stream.group(group).map(|group| (stream, group))))
}

/// A subcommand with arguments that make no sense.
pub(crate) fn bad_subcommand(container: &str, name: &[u8]) -> CommandError {
    CommandError::Text(format!(
        "ERR unknown subcommand or wrong number of arguments for '{}'. Try {container} HELP.",
        parse::printable(name, 128),
    ))
}

/// What follows the id of XGROUP CREATE and SETID.
#[derive(Default)]
struct Options {
    make_stream: bool,
    read: Option<u64>,
}

impl Options {
    fn parse(context: &Context<'_>, creates: bool) -> Result<Self, CommandError> {
        let bad = || bad_subcommand("XGROUP", &context.args[1]);
        let mut options = Self::default();
        let mut rest = context.args.from(5).iter();
        while let Some(option) = rest.next() {
            if creates && is(option, "mkstream") {
                options.make_stream = true;
            } else if is(option, "entriesread") {
                options.read = match parse::integer(rest.next().ok_or_else(bad)?)? {
                    -1 => None,
                    read => Some(u64::try_from(read).map_err(|_| {
                        CommandError::Fixed("ERR value for ENTRIESREAD must be positive or -1")
                    })?),
                };
            } else {
                return Err(bad());
            }
        }
        Ok(options)
    }
}

/// The stream that a subcommand of XGROUP is about.
fn existing<'s>(
    context: &'s mut Context<'_>,
    key: &Key<'_>,
) -> Result<StreamView<'s>, CommandError> {
    context.store.view::<Stream>(key)?.ok_or(CommandError::Fixed(
        "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to \
         use the MKSTREAM option to create an empty stream automatically.",
    ))
}

/// Its group.
fn existing_group<'s>(
    context: &'s mut Context<'_>,
    key: &Key<'_>,
    group: &[u8],
) -> Result<&'s Group, CommandError> {
    existing(context, key)?.group(group).ok_or_else(|| no_group(key, group))
}

/// `$` or an id.
fn start_id(text: &[u8], stream: Option<StreamView<'_>>) -> Result<StreamId, CommandError> {
    match text {
        b"$" => Ok(stream.map_or(StreamId::MIN, StreamView::last_id)),
        _ => id(text),
    }
}

/// `XGROUP CREATE key group id | $ [MKSTREAM] [ENTRIESREAD count]`
pub fn create(context: &mut Context<'_>) -> Result<(), CommandError> {
    let options = Options::parse(context, true)?;
    let key = context.new_key(2)?;
    let (group, from) = (context.args.from(3)[0], context.args.from(4)[0]);
    let stream = if options.make_stream {
        context.store.view::<Stream>(&key)?
    } else {
        Some(existing(context, &key)?)
    };
    let last = start_id(from, stream)?;
    if stream.is_some_and(|stream| stream.group(group).is_some()) {
        return Err(CommandError::Fixed("BUSYGROUP Consumer Group name already exists"));
    }
    context.store.edit::<Stream, _>(&key, group.len() + size_of::<Group>(), |stream| {
        stream.set_group(group, last, options.read);
    })?;
    context.notify(NoticeClasses::STREAM, "xgroup-create", &key);
    context.reply.simple("OK");
    Ok(())
}

/// `XGROUP SETID key group id | $ [ENTRIESREAD count]`
pub fn set_id(context: &mut Context<'_>) -> Result<(), CommandError> {
    let options = Options::parse(context, false)?;
    let key = context.key(2);
    let (group, from) = (context.args.from(3)[0], context.args.from(4)[0]);
    existing_group(context, &key, group)?;
    let last = start_id(from, context.store.view::<Stream>(&key)?)?;
    context.store.edit::<Stream, _>(&key, 0, |stream| {
        stream.set_group(group, last, options.read);
    })?;
    context.notify(NoticeClasses::STREAM, "xgroup-setid", &key);
    context.reply.simple("OK");
    Ok(())
}

/// `XGROUP DESTROY key group`
pub fn destroy(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(2);
    let group = context.args.from(3)[0];
    let pending = existing(context, &key)?.group(group).map(Group::pending_len);
    let known = pending.is_some();
    if let Some(pending) = pending {
        context.limits.claim(pending / LOOKS_A_VISIT)?;
        context.store.edit::<Stream, _>(&key, 0, |stream| stream.remove_group(group))?;
        context.notify(NoticeClasses::STREAM, "xgroup-destroy", &key);
    }
    context.reply.integer(i64::from(known));
    Ok(())
}

/// `XGROUP CREATECONSUMER key group consumer`
pub fn create_consumer(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(2);
    let (group, consumer) = (context.args.from(3)[0], context.args.from(4)[0]);
    let new = existing_group(context, &key, group)?.consumer(consumer).is_none();
    if new {
        context.store.edit::<Stream, _>(&key, consumer.len(), |stream| {
            stream.set_consumer(group, consumer, stream.now.wall, None);
        })?;
        context.notify(NoticeClasses::STREAM, "xgroup-createconsumer", &key);
    }
    context.reply.integer(i64::from(new));
    Ok(())
}

/// `XGROUP DELCONSUMER key group consumer`
pub fn delete_consumer(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(2);
    let (group, consumer) = (context.args.from(3)[0], context.args.from(4)[0]);
    let known = existing_group(context, &key, group)?.consumer(consumer).map(Consumer::pending_len);
    let mut pending = 0;
    if let Some(doomed) = known {
        context.limits.claim(doomed / LOOKS_A_VISIT)?;
        pending = context
            .store
            .edit::<Stream, _>(&key, 0, |stream| stream.remove_consumer(group, consumer))?
            .unwrap_or(0);
        context.notify(NoticeClasses::STREAM, "xgroup-delconsumer", &key);
    }
    context.reply.integer(pending as i64);
    Ok(())
}

/// `XACK key group id [id …]`
pub fn xack(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let group = context.args.from(2)[0];
    let mut settled = 0;
    if find_group(context, &key, group)?.is_some() {
        let ids = ids(context.args.from(3))?;
        settled = context.store.edit::<Stream, _>(&key, 0, |stream| {
            ids.iter().filter(|id| stream.settle(group, **id)).count()
        })?;
    }
    context.reply.integer(settled as i64);
    Ok(())
}

/// `XPENDING key group [[IDLE milliseconds] start end count [consumer]]`
pub fn xpending(context: &mut Context<'_>) -> Result<(), CommandError> {
    let filter = match context.args.from(3) {
        [] => None,
        rest => Some(Filter::parse(rest)?),
    };
    let key = context.key(1);
    let group = context.args.from(2)[0];
    let now = context.store.now().wall;
    let found = context.store.view::<Stream>(&key)?.and_then(|stream| stream.group(group));
    let found = found.ok_or_else(|| no_key_or_group(&key, group))?;
    if let Some(filter) = &filter {
        context.limits.claim(filter.visits(found))?;
    }
    let reply = &mut *context.reply;
    match filter {
        None => write_summary(reply, found),
        Some(filter) => {
            let shown = filter.shown(found, now.0);
            reply.array(shown.len());
            for (id, consumer, idle, deliveries) in shown {
                reply.array(4);
                write_id(reply, id);
                reply.bulk(consumer);
                reply.integer(idle as i64);
                reply.integer(deliveries as i64);
            }
        }
    }
    Ok(())
}

/// Pending entries that are looked at, or forgotten, in the time that one element takes to be answered.
const LOOKS_A_VISIT: usize = 4;

/// Which of the pending entries XPENDING shows.
struct Filter<'a> {
    idle_ms: u64,
    start: StreamId,
    end: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    fn parse(arguments: &[&'a [u8]]) -> Result<Self, CommandError> {
        if !(3..=6).contains(&arguments.len()) {
            return Err(CommandError::Syntax);
        }
        let (idle, rest) = match arguments {
            [word, idle, rest @ ..] if is(word, "idle") => (parse::integer(idle)?, rest),
            rest => (0, rest),
        };
        let (start, end, count, consumer) = match rest {
            [start, end, count] => (start, end, count, None),
            // More is not minded, as in Redis.
            [start, end, count, consumer, ..] => (start, end, count, Some(*consumer)),
            _ => return Err(CommandError::Syntax),
        };
        let count = parse::integer(count)?;
        Ok(Self {
            idle_ms: u64::try_from(idle).unwrap_or(0),
            start: interval_start(start)?,
            end: interval_end(end)?,
            count: usize::try_from(count).unwrap_or(0),
            consumer,
        })
    }

    /// How many pending entries are looked at, at most; several in the time that one is answered.
    fn visits(&self, group: &Group) -> usize {
        let all = match self.consumer {
            None => group.pending_len(),
            Some(name) => group.consumer(name).map_or(0, Consumer::pending_len),
        };
        let answered = all.min(self.count);
        if self.idle_ms == 0 { answered } else { answered + all / LOOKS_A_VISIT }
    }

    /// Id, consumer, milliseconds since it was given out, how often it was.
    fn shown<'g>(&self, group: &'g Group, now_ms: u64) -> Vec<(StreamId, &'g [u8], u64, u64)>
    where
        'a: 'g,
    {
        let idle = |at: Millis| now_ms.saturating_sub(at.0);
        let old_enough = |at: Millis| idle(at) >= self.idle_ms;
        let Some(wanted) = self.consumer else {
            return group
                .pending_range(self.start, self.end)
                .filter(|(_, _, given)| old_enough(given.delivered_at))
                .map(|(id, name, given)| (id, name, idle(given.delivered_at), given.deliveries))
                .take(self.count)
                .collect();
        };
        group
            .pending_of_consumer(wanted, self.start, self.end)
            .filter(|(_, given)| old_enough(given.delivered_at))
            .map(|(id, given)| (id, wanted, idle(given.delivered_at), given.deliveries))
            .take(self.count)
            .collect()
    }
}

/// How much is pending, from which id to which, and how much of it each consumer has.
fn write_summary(reply: &mut dyn crate::Reply, group: &Group) {
    let mut range = group.pending_range(StreamId::MIN, StreamId::MAX);
    let first = range.next().map(|(id, _, _)| id);
    let last = range.next_back().map(|(id, _, _)| id).or(first);
    reply.array(4);
    reply.integer(group.pending_len() as i64);
    let (Some(first), Some(last)) = (first, last) else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    write_id(reply, first);
    write_id(reply, last);
    let busy = || group.consumers().filter(|(_, consumer)| consumer.pending_len() > 0);
    reply.array(busy().count());
    for (name, consumer) in busy() {
        reply.array(2);
        reply.bulk(name);
        reply.bulk(itoa::Buffer::new().format(consumer.pending_len()).as_bytes());
    }
}
