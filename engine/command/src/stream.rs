//! Streams: ids, adding entries, reading ranges, deleting, trimming. Reading what is new is in
//! `stream_read`, groups in `stream_group` and `stream_claim`, looking into them in `stream_info`.
//! <https://redis.io/docs/latest/develop/data-types/streams/>

use ringlane_store::NoticeClasses;
use ringlane_store::types::{Stream, StreamEntry, StreamId, StreamView};

use crate::list::write_item;
use crate::parse::{self, is};
use crate::stream_trim::{self, Options};
use crate::{CommandError, Context, HandlerLimits, Reply};

pub(crate) const BAD_ID: CommandError =
    CommandError::Fixed("ERR Invalid stream ID specified as stream command argument");
pub(crate) const BAD_START: CommandError =
    CommandError::Fixed("ERR invalid start ID for the interval");
const BAD_END: CommandError = CommandError::Fixed("ERR invalid end ID for the interval");

/// What an entry and each of its fields take in a stream besides their bytes, at most.
const ENTRY_OVERHEAD: usize = 32;
const FIELD_OVERHEAD: usize = 5;

/// What answering an entry takes: as long as so many elements of another collection.
pub(crate) const VISITS_AN_ENTRY: usize = 2;

/// A number of up to 64 bits; as in Redis, blanks, a plus and zeros may lead it.
fn number(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii_start();
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if all { str::from_utf8(digits).ok()?.parse().ok() } else { None }
}

/// `ms` or `ms-seq`, and for XADD `ms-*`.
fn split_id(text: &[u8]) -> Result<(u64, Option<&[u8]>), CommandError> {
    let (ms, seq) = match text.iter().position(|&byte| byte == b'-') {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    Ok((number(ms).ok_or(BAD_ID)?, seq))
}

/// An id; without a sequence it has `seq`.
pub(crate) fn id_or(text: &[u8], seq: u64) -> Result<StreamId, CommandError> {
    let (ms, given) = split_id(text)?;
    let seq = given.map_or(Ok(seq), |given| number(given).ok_or(BAD_ID))?;
    Ok(StreamId { ms, seq })
}

/// An id; without a sequence it is the first of its millisecond.
pub(crate) fn id(text: &[u8]) -> Result<StreamId, CommandError> {
    id_or(text, 0)
}

/// An end of an interval, and whether it is left out itself.
fn interval_id(text: &[u8], seq: u64) -> Result<(StreamId, bool), CommandError> {
    match text {
        b"-" => Ok((StreamId::MIN, false)),
        b"+" => Ok((StreamId::MAX, false)),
        [b'(', rest @ ..] if !rest.is_empty() => Ok((id_or(rest, seq)?, true)),
        _ => Ok((id_or(text, seq)?, false)),
    }
}

pub(crate) fn interval_start(text: &[u8]) -> Result<StreamId, CommandError> {
    match interval_id(text, 0)? {
        (id, false) => Ok(id),
        (id, true) => id.next().ok_or(BAD_START),
    }
}

pub(crate) fn interval_end(text: &[u8]) -> Result<StreamId, CommandError> {
    match interval_id(text, u64::MAX)? {
        (id, false) => Ok(id),
        (id, true) => id.previous().ok_or(BAD_END),
    }
}

pub(crate) fn write_id(reply: &mut dyn Reply, id: StreamId) {
    let (mut ms, mut seq) = (itoa::Buffer::new(), itoa::Buffer::new());
    let (ms, seq) = (ms.format(id.ms).as_bytes(), seq.format(id.seq).as_bytes());
    let mut text = [0; 41];
    text[..ms.len()].copy_from_slice(ms);
    text[ms.len()] = b'-';
    let end = ms.len() + 1 + seq.len();
    text[ms.len() + 1..end].copy_from_slice(seq);
    reply.bulk(&text[..end]);
}

/// An entry as all commands answer it: its id, then names and values in turn.
pub(crate) fn write_entry(reply: &mut dyn Reply, entry: StreamEntry<'_>) {
    reply.array(2);
    write_entry_parts(reply, entry);
}

/// The id, and the fields with their values.
pub(crate) fn write_entry_parts(reply: &mut dyn Reply, entry: StreamEntry<'_>) {
    write_id(reply, entry.id);
    reply.array(2 * entry.len());
    for (name, value) in entry.fields() {
        write_item(reply, name);
        write_item(reply, value);
    }
}

/// The id that XADD asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NewId {
    /// `*`
    Next,
    /// `ms-*`
    NextWithin(u64),
    Given(StreamId),
}

impl NewId {
    fn parse(text: &[u8]) -> Result<Self, CommandError> {
        if text == b"*" {
            return Ok(Self::Next);
        }
        match split_id(text)? {
            (ms, Some(b"*")) => Ok(Self::NextWithin(ms)),
            _ => Ok(Self::Given(id(text)?)),
        }
    }

    /// The id of the next entry, after `last`.
    fn choose(self, last: StreamId, now_ms: u64) -> Result<StreamId, CommandError> {
        const EXHAUSTED: CommandError = CommandError::Fixed(
            "ERR The stream has exhausted the last possible ID, unable to add more items",
        );
        const TOO_SMALL: CommandError = CommandError::Fixed(
            "ERR The ID specified in XADD is equal or smaller than the target stream top item",
        );
        if last == StreamId::MAX {
            return Err(EXHAUSTED);
        }
        let id = match self {
            Self::Next if now_ms > last.ms => StreamId { ms: now_ms, seq: 0 },
            Self::Next => last.next().ok_or(EXHAUSTED)?,
            Self::NextWithin(ms) if ms == last.ms => {
                StreamId { ms, seq: last.seq.checked_add(1).ok_or(TOO_SMALL)? }
            }
            Self::NextWithin(ms) => StreamId { ms, seq: 0 },
            Self::Given(id) => id,
        };
        if id > last { Ok(id) } else { Err(TOO_SMALL) }
    }
}

/// `XADD key [NOMKSTREAM] [KEEPREF | DELREF | ACKED] [MAXLEN | MINID [= | ~] threshold [LIMIT n]] id
/// field value [field value …]`, where the id may be `*`.
pub fn xadd(context: &mut Context<'_>) -> Result<(), CommandError> {
    let options = Options::parse(context.args, true)?;
    let wanted = context.args.get(options.end).map(NewId::parse).transpose()?;
    let trim = options.trim(context.store.pack_limits())?;
    let wanted = wanted.ok_or(CommandError::WrongArity("xadd"))?;
    let fields = context.args.from(options.end + 1);
    if fields.is_empty() || !fields.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity("xadd"));
    }
    if wanted == NewId::Given(StreamId::MIN) {
        let text = "ERR The ID specified in XADD must be greater than 0-0";
        return Err(CommandError::Fixed(text));
    }
    let key = context.new_key(1)?;
    if options.no_stream && context.store.peek(&key).is_none() {
        context.reply.null();
        return Ok(());
    }
    if let (Some(trim), Some(stream)) = (trim, context.store.glance::<Stream>(&key)?) {
        stream_trim::claim(context.limits, stream, trim, options.references)?;
    }
    let now = context.store.now().wall;
    let bytes: usize = fields.iter().map(|field| field.len() + FIELD_OVERHEAD).sum();
    let (id, trimmed) =
        context.store.edit::<Stream, _>(&key, bytes + ENTRY_OVERHEAD, |stream| {
            let id = wanted.choose(stream.view().last_id(), now.0)?;
            stream.append(id, fields);
            let trimmed = trim.map_or(0, |trim| stream_trim::run(stream, trim, options.references));
            Ok::<_, CommandError>((id, trimmed))
        })??;
    write_id(context.reply, id);
    context.notify(NoticeClasses::STREAM, "xadd", &key);
    if trimmed > 0 {
        context.notify(NoticeClasses::STREAM, "xtrim", &key);
    }
    Ok(())
}

/// `XLEN key`
pub fn xlen(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let length = context.store.view::<Stream>(&key)?.map_or(0, StreamView::len);
    context.reply.integer(length as i64);
    Ok(())
}

/// `XRANGE key start end [COUNT count]`
pub fn xrange(context: &mut Context<'_>) -> Result<(), CommandError> {
    range(context, false)
}

/// `XREVRANGE key end start [COUNT count]`
pub fn xrevrange(context: &mut Context<'_>) -> Result<(), CommandError> {
    range(context, true)
}

fn range(context: &mut Context<'_>, backward: bool) -> Result<(), CommandError> {
    let (start, end) = if backward { (3, 2) } else { (2, 3) };
    let start = interval_start(&context.args[start])?;
    let end = interval_end(&context.args[end])?;
    let mut count = usize::MAX;
    let mut rest = context.args.from(4).iter();
    while let Some(option) = rest.next() {
        match rest.next() {
            Some(number) if is(option, "count") => {
                count = usize::try_from(parse::integer(number)?).unwrap_or(0);
            }
            Some(_) | None => return Err(CommandError::Syntax),
        }
    }
    let key = context.key(1);
    let Some(stream) = context.store.view::<Stream>(&key)? else {
        context.reply.array(0);
        return Ok(());
    };
    if count == 0 {
        context.reply.null_array();
        return Ok(());
    }
    if backward {
        claim_entries(context.limits, stream, (stream.range_back(start, end), count))?;
        write_entries(context.reply, stream.range_back(start, end), count);
    } else {
        claim_entries(context.limits, stream, (stream.range(start, end), count))?;
        write_entries(context.reply, stream.range(start, end), count);
    }
    Ok(())
}

/// Asks for the time to answer up to `count` of these entries of the stream; looks at no more of them
/// than there is time for.
pub(crate) fn claim_entries<'a>(
    limits: HandlerLimits,
    stream: StreamView<'_>,
    (entries, count): (impl Iterator<Item = StreamEntry<'a>> + Clone, usize),
) -> Result<(), CommandError> {
    let claim = |found: usize| limits.claim(found.saturating_mul(VISITS_AN_ENTRY));
    if claim(stream.len().min(count)).is_err() {
        let most = limits.elements_at_once_max.saturating_add(1);
        claim(entries.clone().take(count.min(most)).count())?;
    }
    claim_bytes_of(limits, stream, entries.take(count))
}

/// Asks for the time to answer the bytes of these entries of the stream.
pub(crate) fn claim_bytes_of<'a>(
    limits: HandlerLimits,
    stream: StreamView<'_>,
    entries: impl Iterator<Item = StreamEntry<'a>>,
) -> Result<(), CommandError> {
    let parts = entries.flat_map(StreamEntry::fields);
    limits.claim_each(0, stream.bytes(), parts.map(|(name, value)| name.len() + value.len()))
}

/// An array of at most so many of the entries; how many.
pub(crate) fn write_entries<'a>(
    reply: &mut dyn Reply,
    entries: impl Iterator<Item = StreamEntry<'a>> + Clone,
    count: usize,
) -> usize {
    // Walked through twice: their number comes first.
    let length = entries.clone().take(count).count();
    reply.array(length);
    for entry in entries.take(length) {
        write_entry(reply, entry);
    }
    length
}

/// All of these arguments as ids.
pub(crate) fn ids(arguments: &[&[u8]]) -> Result<Vec<StreamId>, CommandError> {
    arguments.iter().map(|argument| id(argument)).collect()
}

/// `XDEL key id [id …]`
pub fn xdel(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let deleted = if context.store.view::<Stream>(&key)?.is_none() {
        0
    } else {
        let ids = ids(context.args.from(2))?;
        context.store.edit::<Stream, _>(&key, 0, |stream| {
            ids.iter().filter(|id| stream.delete(**id)).count()
        })?
    };
    if deleted > 0 {
        context.notify(NoticeClasses::STREAM, "xdel", &key);
    }
    context.reply.integer(deleted as i64);
    Ok(())
}

/// `XSETID key last-id [ENTRIESADDED count] [MAXDELETEDID id]`
pub fn xsetid(context: &mut Context<'_>) -> Result<(), CommandError> {
    let last = id(&context.args[2])?;
    let (mut added, mut deleted) = (None, None);
    let mut rest = context.args.from(3).iter();
    while let Some(option) = rest.next() {
        let value = rest.next().ok_or(CommandError::Syntax)?;
        if is(option, "entriesadded") {
            let count = u64::try_from(parse::integer(value)?);
            let negative = CommandError::Fixed("ERR entries_added must be positive");
            added = Some(count.map_err(|_| negative)?);
        } else if is(option, "maxdeletedid") {
            let id = id(value)?;
            if last < id {
                return Err(CommandError::Fixed(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
            deleted = Some(id).filter(|id| *id != StreamId::MIN);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let key = context.key(1);
    let stream = context.store.view::<Stream>(&key)?.ok_or(CommandError::NoSuchKey)?;
    if last < stream.max_deleted_id() {
        return Err(CommandError::Fixed(
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
        ));
    }
    if stream.last().is_some_and(|top| last < top.id) {
        return Err(CommandError::Fixed(
            "ERR The ID specified in XSETID is smaller than the target stream top item",
        ));
    }
    if !stream.is_empty() && added.is_some_and(|added| added < stream.len() as u64) {
        return Err(CommandError::Fixed(
            "ERR The entries_added specified in XSETID is smaller than the target stream length",
        ));
    }
    let added = added.unwrap_or(stream.entries_added());
    let deleted = deleted.unwrap_or(stream.max_deleted_id());
    context.store.edit::<Stream, _>(&key, 0, |stream| stream.set_state(last, added, deleted))?;
    context.notify(NoticeClasses::STREAM, "xsetid", &key);
    context.reply.simple("OK");
    Ok(())
}
