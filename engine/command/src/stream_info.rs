//! XINFO: looking into streams, their groups and consumers.

use ringlane_base::Millis;
use ringlane_store::types::{Consumer, Group, Stream, StreamId, StreamView};

use crate::parse::{self, is};
use crate::stream::{VISITS_AN_ENTRY, claim_bytes_of, write_entries, write_entry, write_id};
use crate::stream_group::{bad_subcommand, no_group};
use crate::{CommandError, Context, Reply};

/// Entries that FULL shows of the stream and of each list of what is pending, unless COUNT says
/// otherwise.
const FULL_COUNT: usize = 10;

fn number(reply: &mut dyn Reply, name: &str, value: u64) {
    reply.bulk(name.as_bytes());
    reply.integer(value as i64);
}

/// A number, or null where it is not known.
fn known(reply: &mut dyn Reply, name: &str, value: Option<i64>) {
    reply.bulk(name.as_bytes());
    match value {
        Some(value) => reply.integer(value),
        None => reply.null(),
    }
}

fn named_id(reply: &mut dyn Reply, name: &str, id: StreamId) {
    reply.bulk(name.as_bytes());
    write_id(reply, id);
}

fn text(reply: &mut dyn Reply, name: &str, value: &[u8]) {
    reply.bulk(name.as_bytes());
    reply.bulk(value);
}

fn named(reply: &mut dyn Reply, name: &str) {
    reply.bulk(name.as_bytes());
}

/// `XINFO STREAM key [FULL [COUNT count]]`
pub fn stream(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(2);
    // Before the options: as Redis does it.
    context.store.view::<Stream>(&key)?.ok_or(CommandError::NoSuchKey)?;
    let full = full_count(context)?;
    let stream = context.store.view::<Stream>(&key)?.ok_or(CommandError::NoSuchKey)?;
    if let Some(count) = full {
        // Each pending entry is told twice: of its group and of its consumer.
        let pending = stream.groups().map(|(_, group)| 2 * group.pending_len().min(count));
        let visits =
            pending.sum::<usize>() + stream.len().min(count).saturating_mul(VISITS_AN_ENTRY);
        context.limits.claim_of(visits, (stream.len(), stream.bytes()))?;
    } else {
        let ends = [stream.first(), stream.last()];
        claim_bytes_of(context.limits, stream, ends.into_iter().flatten())?;
    }
    let reply = &mut *context.reply;
    reply.map(if full.is_some() { 9 } else { 10 });
    number(reply, "length", stream.len() as u64);
    // Redis's words for the blocks and what finds them.
    number(reply, "radix-tree-keys", stream.blocks() as u64);
    number(reply, "radix-tree-nodes", stream.blocks() as u64 + 1);
    named_id(reply, "last-generated-id", stream.last_id());
    named_id(reply, "max-deleted-entry-id", stream.max_deleted_id());
    number(reply, "entries-added", stream.entries_added());
    let first = stream.first().map_or(StreamId::MIN, |entry| entry.id);
    named_id(reply, "recorded-first-entry-id", first);
    if let Some(count) = full {
        write_full(reply, stream, count);
        return Ok(());
    }
    number(reply, "groups", stream.groups().len() as u64);
    for (name, entry) in [("first-entry", stream.first()), ("last-entry", stream.last())] {
        named(reply, name);
        match entry {
            Some(entry) => write_entry(reply, entry),
            None => reply.null(),
        }
    }
    Ok(())
}

/// How many entries FULL shows; None: it was not said.
fn full_count(context: &Context<'_>) -> Result<Option<usize>, CommandError> {
    match context.args.from(3) {
        [] => Ok(None),
        [full] if is(full, "full") => Ok(Some(FULL_COUNT)),
        [full, word, count] if is(full, "full") && is(word, "count") => {
            Ok(Some(match parse::integer(count)? {
                ..0 => FULL_COUNT,
                0 => usize::MAX,
                count @ 1.. => count as usize,
            }))
        }
        _ => Err(bad_subcommand("XINFO", &context.args[1])),
    }
}

fn write_full(reply: &mut dyn Reply, stream: StreamView<'_>, count: usize) {
    named(reply, "entries");
    write_entries(reply, stream.range(StreamId::MIN, StreamId::MAX), count);
    named(reply, "groups");
    reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        reply.map(7);
        text(reply, "name", name);
        named_id(reply, "last-delivered-id", group.last);
        known(reply, "entries-read", group.read.map(|read| read as i64));
        known(reply, "lag", stream.lag(group));
        number(reply, "pel-count", group.pending_len() as u64);
        named(reply, "pending");
        reply.array(group.pending_len().min(count));
        for (id, consumer, given) in group.pending_range(StreamId::MIN, StreamId::MAX).take(count) {
            reply.array(4);
            write_id(reply, id);
            reply.bulk(consumer);
            reply.integer(given.delivered_at.0 as i64);
            reply.integer(given.deliveries as i64);
        }
        named(reply, "consumers");
        reply.array(group.consumers().len());
        for (name, consumer) in group.consumers() {
            write_full_consumer(reply, group, (name, consumer), count);
        }
    }
}

fn write_full_consumer(
    reply: &mut dyn Reply,
    group: &Group,
    (name, consumer): (&[u8], &Consumer),
    count: usize,
) {
    reply.map(5);
    text(reply, "name", name);
    number(reply, "seen-time", consumer.seen.0);
    named(reply, "active-time");
    reply.integer(consumer.active.map_or(-1, |active| active.0 as i64));
    number(reply, "pel-count", consumer.pending_len() as u64);
    named(reply, "pending");
    reply.array(consumer.pending_len().min(count));
    let pending = group.pending_of_consumer(name, StreamId::MIN, StreamId::MAX);
    for (id, given) in pending.take(count) {
        reply.array(3);
        write_id(reply, id);
        reply.integer(given.delivered_at.0 as i64);
        reply.integer(given.deliveries as i64);
    }
}

/// `XINFO GROUPS key`
pub fn groups(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(2);
    let stream = context.store.view::<Stream>(&key)?.ok_or(CommandError::NoSuchKey)?;
    let reply = &mut *context.reply;
    reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        reply.map(6);
        text(reply, "name", name);
        number(reply, "consumers", group.consumers().len() as u64);
        number(reply, "pending", group.pending_len() as u64);
        named_id(reply, "last-delivered-id", group.last);
        known(reply, "entries-read", group.read.map(|read| read as i64));
        known(reply, "lag", stream.lag(group));
    }
    Ok(())
}

/// `XINFO CONSUMERS key group`
pub fn consumers(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(2);
    let name = context.args.from(3)[0];
    let now = context.store.now().wall;
    let stream = context.store.view::<Stream>(&key)?.ok_or(CommandError::NoSuchKey)?;
    let group = stream.group(name).ok_or_else(|| no_group(&key, name))?;
    let reply = &mut *context.reply;
    reply.array(group.consumers().len());
    for (name, consumer) in group.consumers() {
        let ago = |at: Millis| now.since(at);
        reply.map(4);
        text(reply, "name", name);
        number(reply, "pending", consumer.pending_len() as u64);
        number(reply, "idle", ago(consumer.seen));
        named(reply, "inactive");
        reply.integer(consumer.active.map_or(-1, |active| ago(active) as i64));
    }
    Ok(())
}
