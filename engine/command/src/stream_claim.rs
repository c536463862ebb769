//! Taking over what another consumer has pending: XCLAIM, XAUTOCLAIM.

use ringlane_base::Millis;
use ringlane_store::types::{Delivery, Pending, Stream, StreamId};
use ringlane_store::{Edit, Key, NoticeClasses};

use crate::parse::{self, is};
use crate::stream::{claim_bytes_of, id, interval_start, write_entry, write_id};
use crate::stream_group::{find_group, no_key_or_group};
use crate::{Args, CommandError, Context, Reply};

/// Pending entries that XAUTOCLAIM looks at for each that it may answer.
const ATTEMPTS_PER_ENTRY: u64 = 10;

/// What taking over and answering an entry takes: as long as answering so many elements.
const VISITS_A_CLAIM: usize = 4;
/// Pending entries that are looked at in the time that one element takes to be answered.
const LOOKS_A_VISIT: usize = 4;

/// The options of XCLAIM.
#[derive(Clone, Copy, Default)]
struct Options {
    /// Milliseconds since the Unix epoch, as given; None: now.
    delivered_at: Option<i64>,
    deliveries: Option<u64>,
    force: bool,
    just_id: bool,
    last: StreamId,
}

impl Options {
    fn parse(arguments: &[&[u8]], now: Millis) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut rest = arguments.iter();
        while let Some(option) = rest.next() {
            let number = |value: Option<&&[u8]>, name: &str| match value {
                None => Err(unrecognised(option)),
                Some(value) => parse::integer(value).map_err(|_| {
                    let text = format!("ERR Invalid {name} option argument for XCLAIM");
                    CommandError::Text(text)
                }),
            };
            if is(option, "force") {
                options.force = true;
            } else if is(option, "justid") {
                options.just_id = true;
            } else if is(option, "idle") {
                let idle = number(rest.next(), "IDLE")?;
                options.delivered_at = Some((now.0 as i64).saturating_sub(idle));
            } else if is(option, "time") {
                options.delivered_at = Some(number(rest.next(), "TIME")?);
            } else if is(option, "retrycount") {
                let count = number(rest.next(), "RETRYCOUNT")?;
                options.deliveries = u64::try_from(count).ok();
            } else if is(option, "lastid") {
                options.last = id(rest.next().ok_or_else(|| unrecognised(option))?)?;
            } else {
                return Err(unrecognised(option));
            }
        }
        Ok(options)
    }

    /// A time that is none, or ahead, is now: a client may have reckoned by a clock of its own.
    fn time(self, now: Millis) -> Millis {
        match self.delivered_at.map(u64::try_from) {
            Some(Ok(at)) if at <= now.0 => Millis(at),
            Some(Ok(_) | Err(_)) | None => now,
        }
    }
}

#[cold]
fn unrecognised(option: &[u8]) -> CommandError {
    let option = parse::printable(option, usize::MAX);
    CommandError::Text(format!("ERR Unrecognized XCLAIM option '{option}'"))
}

/// Group, consumer, and the least time in milliseconds that an entry must have been with another.
fn claimant<'a>(args: Args<'a>, command: &str) -> Result<Claimant<'a>, CommandError> {
    let idle_ms = parse::integer(args.from(4)[0]).map_err(|_| {
        CommandError::Text(format!("ERR Invalid min-idle-time argument for {command}"))
    })?;
    Ok(Claimant {
        group: args.from(2)[0],
        consumer: args.from(3)[0],
        idle_ms: u64::try_from(idle_ms).unwrap_or(0),
    })
}

#[derive(Clone, Copy)]
struct Claimant<'a> {
    group: &'a [u8],
    consumer: &'a [u8],
    idle_ms: u64,
}

impl Claimant<'_> {
    /// Notes that the consumer is here; whether it is new.
    fn enter(self, stream: &mut Edit<'_, Stream>) -> bool {
        let group = stream.view().group(self.group).expect("it was found before");
        let known = group.consumer(self.consumer);
        let (new, active) = (known.is_none(), known.and_then(|known| known.active));
        let now = stream.now.wall;
        stream.set_consumer(self.group, self.consumer, now, active);
        new
    }

    fn has_got(self, stream: &mut Edit<'_, Stream>) {
        let now = stream.now.wall;
        stream.set_consumer(self.group, self.consumer, now, Some(now));
    }
}

fn announce(context: &mut Context<'_>, key: &Key<'_>, new: bool) {
    if new {
        context.notify(NoticeClasses::STREAM, "xgroup-createconsumer", key);
    }
}

/// The ids and, if asked for, the entries.
fn write_claimed(
    reply: &mut dyn Reply,
    stream: &Edit<'_, Stream>,
    claimed: &[StreamId],
    just_id: bool,
) {
    reply.array(claimed.len());
    for &id in claimed {
        match stream.view().get(id) {
            Some(entry) if !just_id => write_entry(reply, entry),
            Some(_) | None => write_id(reply, id),
        }
    }
}

/// `XCLAIM key group consumer min-idle-time id [id …] [IDLE ms] [TIME unix-ms] [RETRYCOUNT count]
/// [FORCE] [JUSTID] [LASTID id]`
pub fn xclaim(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let group = context.args.from(2)[0];
    if find_group(context, &key, group)?.is_none() {
        return Err(no_key_or_group(&key, group));
    }
    let claimant = claimant(context.args, "XCLAIM")?;
    let arguments = context.args.from(5);
    let ids: Vec<StreamId> = arguments.iter().map_while(|text| id(text).ok()).collect();
    let options = Options::parse(&arguments[ids.len()..], context.store.now().wall)?;
    if let (Some(stream), false) = (context.store.glance::<Stream>(&key)?, options.just_id) {
        let entries = ids.iter().filter_map(|id| stream.get(*id));
        claim_bytes_of(context.limits, stream, entries)?;
    }
    let reply = &mut *context.reply;
    let new = context.store.edit::<Stream, _>(&key, 0, |stream| {
        let group = stream.view().group(claimant.group).expect("it was found before");
        if options.last > group.last {
            let read = group.read;
            stream.set_group(claimant.group, options.last, read);
        }
        let new = claimant.enter(stream);
        let mut claimed = Vec::with_capacity(ids.len());
        for id in ids {
            if claim(stream, claimant, id, options) {
                claimed.push(id);
            }
        }
        if !claimed.is_empty() {
            claimant.has_got(stream);
        }
        write_claimed(reply, stream, &claimed, options.just_id);
        new
    })?;
    announce(context, &key, new);
    Ok(())
}

/// Whether the entry is the claimant's now.
fn claim(
    stream: &mut Edit<'_, Stream>,
    claimant: Claimant<'_>,
    id: StreamId,
    options: Options,
) -> bool {
    let now = stream.now.wall;
    let there = stream.view().get(id).is_some();
    let group = stream.view().group(claimant.group).expect("it was found before");
    let given = group.pending_of(id).map(|(_, given)| given);
    if !there {
        stream.settle(claimant.group, id);
        return false;
    }
    let before = match given {
        Some(given) if now.since(given.delivered_at) < claimant.idle_ms => return false,
        Some(given) => given.deliveries,
        // One that is made here counts as given out once before.
        None if options.force => 1,
        None => return false,
    };
    let more = u64::from(!options.just_id);
    let count = options.deliveries.unwrap_or(before + more);
    let delivery = Delivery { consumer: claimant.consumer, at: options.time(now), count };
    stream.deliver(claimant.group, id, delivery);
    true
}

/// The options of XAUTOCLAIM.
fn auto_options(arguments: &[&[u8]]) -> Result<(u64, bool), CommandError> {
    const BAD_COUNT: CommandError = CommandError::Fixed("ERR COUNT must be > 0");
    let (mut count, mut just_id) = (100, false);
    let mut rest = arguments.iter();
    while let Some(option) = rest.next() {
        if is(option, "justid") {
            just_id = true;
        } else if is(option, "count") {
            let number = parse::integer(rest.next().ok_or(CommandError::Syntax)?);
            // As much as there may be in a reply, in Redis.
            let most = i64::MAX as u64 / 16;
            count = number.ok().and_then(|number| u64::try_from(number).ok()).ok_or(BAD_COUNT)?;
            if !(1..=most).contains(&count) {
                return Err(BAD_COUNT);
            }
        } else {
            return Err(CommandError::Syntax);
        }
    }
    Ok((count, just_id))
}

/// What XAUTOCLAIM does with the entries that it looks at.
#[derive(Default)]
struct Chosen {
    /// With the number of deliveries before.
    claimed: Vec<(StreamId, u64)>,
    gone: Vec<StreamId>,
    /// Where the next call is to begin.
    next: StreamId,
}

fn choose(
    stream: &Edit<'_, Stream>,
    claimant: Claimant<'_>,
    start: StreamId,
    count: u64,
) -> Chosen {
    let view = stream.view();
    let group = view.group(claimant.group).expect("it was found before");
    let mut chosen = Chosen::default();
    let mut left = count;
    let mut attempts = count.saturating_mul(ATTEMPTS_PER_ENTRY);
    for (id, _, given) in group.pending_range(start, StreamId::MAX) {
        if left == 0 || attempts == 0 {
            chosen.next = id;
            break;
        }
        attempts -= 1;
        if view.get(id).is_none() {
            chosen.gone.push(id);
            left -= 1;
        } else if stream.now.wall.since(given.delivered_at) >= claimant.idle_ms {
            chosen.claimed.push((id, given.deliveries));
            left -= 1;
        }
    }
    chosen
}

/// `XAUTOCLAIM key group consumer min-idle-time start [COUNT count] [JUSTID]`
pub fn xautoclaim(context: &mut Context<'_>) -> Result<(), CommandError> {
    let claimant = claimant(context.args, "XAUTOCLAIM")?;
    let start = interval_start(context.args.from(5)[0])?;
    let (count, just_id) = auto_options(context.args.from(6))?;
    let key = context.key(1);
    let (limits, now) = (context.limits, context.store.now().wall);
    let Some((stream, group)) = find_group(context, &key, claimant.group)? else {
        return Err(no_key_or_group(&key, claimant.group));
    };
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let answered = group.pending_len().min(most).saturating_mul(VISITS_A_CLAIM);
    let looks = group.pending_len().min(most.saturating_mul(ATTEMPTS_PER_ENTRY as usize));
    limits.claim(answered.saturating_add(looks / LOOKS_A_VISIT))?;
    if !just_id {
        let pending = group.pending_range(start, StreamId::MAX).take(looks);
        let idle = |given: &Pending| now.since(given.delivered_at) >= claimant.idle_ms;
        let claimed = pending.filter(|(.., given)| idle(given)).take(most);
        claim_bytes_of(limits, stream, claimed.filter_map(|(id, ..)| stream.get(id)))?;
    }
    let reply = &mut *context.reply;
    let new = context.store.edit::<Stream, _>(&key, 0, |stream| {
        let new = claimant.enter(stream);
        let chosen = choose(stream, claimant, start, count);
        let now = stream.now.wall;
        for id in &chosen.gone {
            stream.settle(claimant.group, *id);
        }
        for (id, deliveries) in &chosen.claimed {
            let count = deliveries + u64::from(!just_id);
            let delivery = Delivery { consumer: claimant.consumer, at: now, count };
            stream.deliver(claimant.group, *id, delivery);
        }
        if !chosen.claimed.is_empty() {
            claimant.has_got(stream);
        }
        let claimed: Vec<StreamId> = chosen.claimed.iter().map(|(id, _)| *id).collect();
        reply.array(3);
        write_id(reply, chosen.next);
        write_claimed(reply, stream, &claimed, just_id);
        reply.array(chosen.gone.len());
        for id in chosen.gone {
            write_id(reply, id);
        }
        new
    })?;
    announce(context, &key, new);
    Ok(())
}
