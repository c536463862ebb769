//! Fields of hashes that live for a time: HEXPIRE and its kin, HTTL and its kin, HGETEX, HSETEX,
//! HGETDEL.

use ringlane_base::{Due, Now};
use ringlane_store::types::{Edit, Hash, HashView};
use ringlane_store::{Key, NoticeClasses};

use crate::expiry::ExpireFlags;
use crate::hash::{claim_values, growth, notify_gone, write_or_null};
use crate::options::{TimeUnit, due};
use crate::parse::{self, is};
use crate::{Args, CommandError, Context};

/// The latest time at which a field may be due, as in Redis: 46 bits of milliseconds.
const EXPIRY_MS_MAX: u64 = (1 << 46) - 1;

/// What is said of a number of fields that is none; older commands have words of their own.
const NO_POSITIVE: CommandError =
    CommandError::Fixed("ERR Number of fields must be a positive integer");
const NOT_ABOVE_ZERO: CommandError =
    CommandError::Fixed("ERR Parameter `numFields` should be greater than 0");

/// The fields after `FIELDS numfields`, which stands at `at`. `refusal` is that of a bad number.
fn fields(args: Args<'_>, at: usize, refusal: CommandError) -> Result<&[&[u8]], CommandError> {
    let [word, rest @ ..] = args.from(at) else { return Err(CommandError::Syntax) };
    if !is(word, "fields") {
        return Err(CommandError::Fixed(
            "ERR Mandatory argument FIELDS is missing or not at the right position",
        ));
    }
    let [count, fields @ ..] = rest else { return Err(refusal) };
    match parse::integer(count) {
        Ok(1..) if parse::integer(count) == Ok(fields.len() as i64) => Ok(fields),
        Ok(1..) => Err(CommandError::Fixed(
            "ERR The `numfields` parameter must match the number of arguments",
        )),
        Ok(_) | Err(_) => Err(refusal),
    }
}

/// When fields are due by this argument: not negative, and not later than `EXPIRY_MS_MAX`. `name` is
/// the command's, for the error.
fn field_expiry(
    unit: TimeUnit,
    text: &[u8],
    now: Now,
    name: &'static str,
) -> Result<Due, CommandError> {
    let amount = parse::integer(text)?;
    if amount < 0 {
        return Err(CommandError::Fixed("ERR invalid expire time, must be >= 0"));
    }
    let at = due(unit, amount, now).filter(|at| at.wall(now).0 <= EXPIRY_MS_MAX);
    at.ok_or(CommandError::InvalidExpire(name))
}

/// `HEXPIRE key seconds [NX | XX | GT | LT] FIELDS numfields field [field …]`
pub fn hexpire(context: &mut Context<'_>) -> Result<(), CommandError> {
    expire(context, TimeUnit::Seconds, "hexpire")
}

/// `HPEXPIRE`, in milliseconds.
pub fn hpexpire(context: &mut Context<'_>) -> Result<(), CommandError> {
    expire(context, TimeUnit::Milliseconds, "hpexpire")
}

/// `HEXPIREAT`, in seconds since the Unix epoch.
pub fn hexpireat(context: &mut Context<'_>) -> Result<(), CommandError> {
    expire(context, TimeUnit::UnixSeconds, "hexpireat")
}

/// `HPEXPIREAT`, in milliseconds since the Unix epoch.
pub fn hpexpireat(context: &mut Context<'_>) -> Result<(), CommandError> {
    expire(context, TimeUnit::UnixMilliseconds, "hpexpireat")
}

fn expire(
    context: &mut Context<'_>,
    unit: TimeUnit,
    name: &'static str,
) -> Result<(), CommandError> {
    let key = context.key(1);
    context.store.glance::<Hash>(&key)?;
    let now = context.store.now();
    let at = field_expiry(unit, &context.args[2], now, name)?;
    let word = &context.args[3];
    let conditional = ["nx", "xx", "gt", "lt"].iter().any(|condition| is(word, condition));
    let flags = ExpireFlags::parse_options(&context.args.from(3)[..usize::from(conditional)])?;
    let fields = fields(context.args, 3 + usize::from(conditional), NOT_ABOVE_ZERO)?;
    let answers = context.store.edit::<Hash, _>(&key, fields.len() * 8, |hash| {
        let answer = |field: &&[u8]| expire_field(hash, field, flags, at);
        fields.iter().map(answer).collect::<Vec<i64>>()
    })?;
    if answers.contains(&1) {
        context.notify(NoticeClasses::HASH, "hexpire", &key);
    }
    if answers.contains(&2) {
        context.notify(NoticeClasses::HASH, "hdel", &key);
        notify_gone(context, &key);
    }
    write_integers(context, &answers);
    Ok(())
}

/// -2: no such field; 0: a condition forbids it; 1: it is set; 2: the time is past, the field gone.
fn expire_field(hash: &mut Edit<'_, Hash>, field: &[u8], flags: ExpireFlags, at: Due) -> i64 {
    match hash.view().expiry(field) {
        None => -2,
        Some(current) if !flags.allow(current, at, hash.now) => 0,
        Some(_) if at.is_due(hash.now) => {
            hash.remove(field);
            2
        }
        Some(_) => {
            hash.expire(field, Some(at));
            1
        }
    }
}

fn write_integers(context: &mut Context<'_>, integers: &[i64]) {
    context.reply.array(integers.len());
    for integer in integers {
        context.reply.integer(*integer);
    }
}

/// `HPERSIST key FIELDS numfields field [field …]`
pub fn hpersist(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    context.store.glance::<Hash>(&key)?;
    let fields = fields(context.args, 2, NO_POSITIVE)?;
    let answers = context.store.edit::<Hash, _>(&key, 0, |hash| {
        let mut persist = |field: &&[u8]| match hash.view().expiry(field) {
            None => -2,
            Some(None) => -1,
            Some(Some(_)) => {
                hash.expire(field, None);
                1
            }
        };
        fields.iter().map(&mut persist).collect::<Vec<i64>>()
    })?;
    if answers.contains(&1) {
        context.notify(NoticeClasses::HASH, "hpersist", &key);
    }
    write_integers(context, &answers);
    Ok(())
}

/// `HTTL key FIELDS numfields field [field …]`
pub fn httl(context: &mut Context<'_>) -> Result<(), CommandError> {
    // Rounded up, as Redis rounds the time of fields.
    times(context, |at, now| at.left_ms(now).div_ceil(1000))
}

/// `HPTTL`, in milliseconds.
pub fn hpttl(context: &mut Context<'_>) -> Result<(), CommandError> {
    times(context, Due::left_ms)
}

/// `HEXPIRETIME`, in seconds since the Unix epoch.
pub fn hexpiretime(context: &mut Context<'_>) -> Result<(), CommandError> {
    times(context, |at, now| at.wall(now).0.div_ceil(1000))
}

/// `HPEXPIRETIME`, in milliseconds since the Unix epoch.
pub fn hpexpiretime(context: &mut Context<'_>) -> Result<(), CommandError> {
    times(context, |at, now| at.wall(now).0)
}

fn times(context: &mut Context<'_>, tell: fn(Due, Now) -> u64) -> Result<(), CommandError> {
    let key = context.key(1);
    let now = context.store.now();
    let view = context.store.view::<Hash>(&key)?;
    let fields = fields(context.args, 2, NO_POSITIVE)?;
    context.reply.array(fields.len());
    for field in fields {
        context.reply.integer(match view.and_then(|hash: HashView<'_>| hash.expiry(field)) {
            None => -2,
            Some(None) => -1,
            Some(Some(at)) => tell(at, now) as i64,
        });
    }
    Ok(())
}

/// `HGETDEL key FIELDS numfields field [field …]`
pub fn hgetdel(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let view = context.store.glance::<Hash>(&key)?;
    let fields = fields(context.args, 2, NO_POSITIVE)?;
    claim_values(context.limits, view, fields)?;
    let reply = &mut *context.reply;
    reply.array(fields.len());
    // One after another: a field that is named twice is gone the second time.
    let removed = context.store.edit::<Hash, _>(&key, 0, |hash| {
        let mut take = |field: &&&[u8]| {
            write_or_null(reply, hash.view().get(field));
            hash.remove(field)
        };
        fields.iter().filter(&mut take).count()
    })?;
    if removed > 0 {
        context.notify(NoticeClasses::HASH, "hdel", &key);
        notify_gone(context, &key);
    }
    Ok(())
}

fn write_values(
    context: &mut Context<'_>,
    key: &Key<'_>,
    fields: &[&[u8]],
) -> Result<(), CommandError> {
    let view = context.store.view::<Hash>(key)?;
    claim_values(context.limits, view, fields)?;
    context.reply.array(fields.len());
    for field in fields {
        write_or_null(context.reply, view.and_then(|hash| hash.get(field)));
    }
    Ok(())
}

/// What becomes of the fields' expiry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Nothing was said.
    Unsaid,
    Keep,
    Never,
    At(Due),
}

/// `HGETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST] FIELDS numfields field [field …]`
pub fn hgetex(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    context.store.glance::<Hash>(&key)?;
    let now = context.store.now();
    let word = &context.args[2];
    let (wanted, at) = match TimeUnit::of_word(word) {
        Some(unit) => (Wanted::At(field_expiry(unit, &context.args[3], now, "hgetex")?), 4),
        None if is(word, "persist") => (Wanted::Never, 3),
        None => (Wanted::Unsaid, 2),
    };
    let fields = fields(context.args, at, NO_POSITIVE)?;
    let expiry = match wanted {
        Wanted::Unsaid | Wanted::Keep => return write_values(context, &key, fields),
        Wanted::Never => None,
        Wanted::At(at) => Some(at),
    };
    let past = expiry.is_some_and(|at| at.is_due(now));
    claim_values(context.limits, context.store.glance::<Hash>(&key)?, fields)?;
    let reply = &mut *context.reply;
    // Nothing is answered before there is room, and one after another: a field that is named twice is
    // gone the second time if its time is past.
    let changed = context.store.edit::<Hash, _>(&key, fields.len() * 8, |hash| {
        reply.array(fields.len());
        let mut change = |field: &&&[u8]| {
            write_or_null(reply, hash.view().get(field));
            match hash.view().expiry(field) {
                None => false,
                Some(current) if expiry.is_none() && current.is_none() => false,
                Some(_) if past => hash.remove(field),
                Some(_) => hash.expire(field, expiry),
            }
        };
        fields.iter().filter(&mut change).count()
    })?;
    if changed > 0 {
        let event = match expiry {
            None => "hpersist",
            Some(_) if past => "hdel",
            Some(_) => "hexpire",
        };
        context.notify(NoticeClasses::HASH, event, &key);
        notify_gone(context, &key);
    }
    Ok(())
}

/// Which fields `HSETEX` may set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Any,
    /// `FNX`: none of them may be there.
    Absent,
    /// `FXX`: all of them must be there.
    Present,
}

/// What `HSETEX` is asked for.
struct SetRequest<'a> {
    /// `NX`, `XX` of Valkey: whether the key must be there.
    key: Option<bool>,
    presence: Presence,
    wanted: Wanted,
    /// Fields, each followed by its value.
    pairs: &'a [&'a [u8]],
}

impl<'a> SetRequest<'a> {
    /// Reads the arguments from the second on.
    fn parse(args: Args<'a>, now: Now) -> Result<Self, CommandError> {
        let (mut key, mut presence, mut wanted) = (None, Presence::Any, Wanted::Unsaid);
        let mut at = 2;
        while let Some(word) = args.get(at) {
            at += 1;
            let unit = TimeUnit::of_word(word);
            let absent = is(word, "fnx");
            if is(word, "fields") {
                return Ok(Self { key, presence, wanted, pairs: Self::pairs(args, at)? });
            } else if is(word, "nx") || is(word, "xx") {
                let there = is(word, "xx");
                if key.is_some_and(|said| said != there) {
                    return Err(CommandError::Syntax);
                }
                key = Some(there);
            } else if absent || is(word, "fxx") {
                if presence != Presence::Any {
                    return Err(CommandError::Fixed(
                        "ERR Only one of FXX or FNX arguments can be specified",
                    ));
                }
                presence = if absent { Presence::Absent } else { Presence::Present };
            } else if unit.is_some() || is(word, "keepttl") {
                if wanted != Wanted::Unsaid {
                    return Err(CommandError::Fixed(
                        "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
                    ));
                }
                wanted = Wanted::Keep;
                if let Some(unit) = unit {
                    let amount =
                        args.get(at).ok_or(CommandError::Fixed("ERR missing expire time"))?;
                    wanted = Wanted::At(field_expiry(unit, amount, now, "hsetex")?);
                    at += 1;
                }
            } else {
                let word = parse::printable(word, WORD_BYTES_MAX);
                return Err(CommandError::Text(format!("ERR unknown argument: {word}")));
            }
        }
        Err(CommandError::Syntax)
    }

    /// The pairs behind the word FIELDS, whose number stands at `at`.
    fn pairs(args: Args<'a>, at: usize) -> Result<&'a [&'a [u8]], CommandError> {
        let pairs = args.from(at + 1);
        if pairs.len() < 2 {
            return Err(CommandError::WrongArity("hsetex"));
        }
        let count = parse::integer(&args[at]).ok();
        let count = count
            .filter(|count| (1..=i64::from(i32::MAX)).contains(count))
            .ok_or(CommandError::Fixed("ERR invalid number of fields"))?;
        if pairs.len() as i64 != count * 2 {
            return Err(CommandError::WrongArity("hsetex"));
        }
        Ok(pairs)
    }
}

/// How much of an unknown argument an error tells.
const WORD_BYTES_MAX: usize = 128;

/// `HSETEX key [NX | XX] [FNX | FXX] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL] FIELDS numfields field
/// value …`
pub fn hsetex(context: &mut Context<'_>) -> Result<(), CommandError> {
    let now = context.store.now();
    let SetRequest { key: key_wanted, presence, wanted, pairs } =
        SetRequest::parse(context.args, now)?;
    let key = context.new_key(1)?;
    let there = context.store.view::<Hash>(&key)?.is_some();
    if key_wanted.is_some_and(|wanted| wanted != there) {
        context.reply.integer(0);
        return Ok(());
    }
    let past = matches!(wanted, Wanted::At(at) if at.is_due(now));
    let set = context.store.edit::<Hash, _>(&key, growth(pairs), |hash| {
        let there = |pair: &[&[u8]]| hash.view().contains(pair[0]);
        let allowed = match presence {
            Presence::Any => true,
            Presence::Absent => !pairs.chunks_exact(2).any(there),
            Presence::Present => pairs.chunks_exact(2).all(there),
        };
        for pair in pairs.chunks_exact(2).filter(|_| allowed) {
            let (field, value) = (pair[0], pair[1]);
            match wanted {
                Wanted::Keep => {
                    hash.set_keeping_expiry(field, value);
                }
                Wanted::Unsaid | Wanted::Never => {
                    hash.set(field, value);
                }
                Wanted::At(_) if past => {
                    hash.remove(field);
                }
                Wanted::At(at) => {
                    hash.set(field, value);
                    hash.expire(field, Some(at));
                }
            }
        }
        allowed
    })?;
    if set {
        context.notify(NoticeClasses::HASH, "hset", &key);
        if let Wanted::At(_) = wanted {
            context.notify(NoticeClasses::HASH, if past { "hdel" } else { "hexpire" }, &key);
        }
        notify_gone(context, &key);
    }
    context.reply.integer(i64::from(set));
    Ok(())
}
