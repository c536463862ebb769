//! Fields of hashes that live for a time: HEXPIRE and its kin, HTTL and its kin, HGETEX, HSETEX,
//! HGETDEL.

use ringlane_base::Millis;
use ringlane_store::types::{Edit, Hash, HashView};
use ringlane_store::{Key, NoticeClasses};

use crate::expiry::ExpireFlags;
use crate::hash::{growth, notify_gone, write_item};
use crate::options::{self, ExpiryOption, TimeUnit, absolute_time};
use crate::parse::{self, is};
use crate::{Args, CommandError, Context};

/// The latest time at which a field may be due, as in Redis: 46 bits of milliseconds.
const EXPIRY_MAX: i64 = (1 << 46) - 1;

/// The fields after `FIELDS numfields`, which stands at `at`; each is followed by its value if
/// `step` is 2.
fn fields(args: Args<'_>, at: usize, step: usize) -> Result<&[&[u8]], CommandError> {
    let rest = args.from(at);
    if !rest.first().is_some_and(|word| is(word, "fields")) {
        return Err(CommandError::Fixed(
            "ERR Mandatory argument FIELDS is missing or not at the right position",
        ));
    }
    let [_, count, fields @ ..] = rest else { return Err(CommandError::Syntax) };
    let count = parse::integer(count).ok().and_then(|count| usize::try_from(count).ok());
    let count = count
        .filter(|count| (1..=i32::MAX as usize).contains(count))
        .ok_or(CommandError::Fixed("ERR Parameter `numFields` should be greater than 0"))?;
    if fields.len() != count * step {
        return Err(CommandError::Fixed(
            "ERR The `numfields` parameter must match the number of arguments",
        ));
    }
    Ok(fields)
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
    let amount = parse::integer(&context.args[2])?;
    if amount < 0 {
        return Err(CommandError::Fixed("ERR invalid expire time, must be >= 0"));
    }
    let now = context.store.now();
    let at = absolute_time(unit, amount, now)
        .filter(|at| *at <= EXPIRY_MAX)
        .ok_or(CommandError::InvalidExpire(name))?;
    let conditional = context.args.get(3).is_some_and(|word| !is(word, "fields"));
    let flags = if conditional {
        ExpireFlags::parse_options(&context.args.from(3)[..1])?
    } else {
        ExpireFlags::default()
    };
    let fields = fields(context.args, 3 + usize::from(conditional), 1)?;
    let key = context.key(1);
    let past = options::millis(at) <= now;
    let answers = context.store.edit::<Hash, _>(&key, fields.len() * 8, |hash| {
        let answer = |field: &&[u8]| expire_field(hash, field, flags, at, past);
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
fn expire_field(
    hash: &mut Edit<'_, Hash>,
    field: &[u8],
    flags: ExpireFlags,
    at: i64,
    past: bool,
) -> i64 {
    match hash.view().expiry(field) {
        None => -2,
        Some(current) if !flags.allow(current, at) => 0,
        Some(_) if past => {
            hash.remove(field);
            2
        }
        Some(_) => {
            hash.expire(field, Some(options::millis(at)));
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
    let fields = fields(context.args, 2, 1)?;
    let key = context.key(1);
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
    times(context, |at, now| (at.0 - now.0).div_ceil(1000))
}

/// `HPTTL`, in milliseconds.
pub fn hpttl(context: &mut Context<'_>) -> Result<(), CommandError> {
    times(context, |at, now| at.0 - now.0)
}

/// `HEXPIRETIME`, in seconds since the Unix epoch.
pub fn hexpiretime(context: &mut Context<'_>) -> Result<(), CommandError> {
    times(context, |at, _| at.0.div_ceil(1000))
}

/// `HPEXPIRETIME`, in milliseconds since the Unix epoch.
pub fn hpexpiretime(context: &mut Context<'_>) -> Result<(), CommandError> {
    times(context, |at, _| at.0)
}

fn times(context: &mut Context<'_>, tell: fn(Millis, Millis) -> u64) -> Result<(), CommandError> {
    let fields = fields(context.args, 2, 1)?;
    let key = context.key(1);
    let now = context.store.now();
    let view = context.store.view::<Hash>(&key)?;
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
    let fields = fields(context.args, 2, 1)?;
    let key = context.key(1);
    write_values(context, &key, fields)?;
    let removed = context.store.edit::<Hash, _>(&key, 0, |hash| {
        fields.iter().filter(|field| hash.remove(field)).count()
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
    context.reply.array(fields.len());
    for field in fields {
        match view.and_then(|hash| hash.get(field)) {
            Some(value) => write_item(context.reply, value),
            None => context.reply.null(),
        }
    }
    Ok(())
}

/// What an option says of the fields' expiry: None: nothing; `Some(None)`: they have none.
#[allow(
    clippy::option_option,
    reason = "both levels have a meaning of their own, and it goes no further"
)]
fn wanted_expiry(
    option: ExpiryOption<'_>,
    now: Millis,
    name: &'static str,
) -> Result<Option<Option<Millis>>, CommandError> {
    match option {
        ExpiryOption::Unsaid | ExpiryOption::Keep => Ok(None),
        ExpiryOption::Persist => Ok(Some(None)),
        ExpiryOption::Given(unit, text) => {
            let at = options::expiry_time(unit, text, now, name)?;
            if at.0 > EXPIRY_MAX as u64 {
                return Err(CommandError::InvalidExpire(name));
            }
            Ok(Some(Some(at)))
        }
    }
}

/// `HGETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST] FIELDS numfields field [field …]`
pub fn hgetex(context: &mut Context<'_>) -> Result<(), CommandError> {
    let now = context.store.now();
    let words = context.args.from(2);
    let at = words.iter().position(|word| is(word, "fields")).unwrap_or(0);
    let option = match &words[..at] {
        [] => ExpiryOption::Unsaid,
        [word] if is(word, "persist") => ExpiryOption::Persist,
        [unit, amount] => options::given_expiry(unit, Some(amount))?,
        _ => return Err(CommandError::Syntax),
    };
    let fields = fields(context.args, 2 + at, 1)?;
    let wanted = wanted_expiry(option, now, "hgetex")?;
    let key = context.key(1);
    write_values(context, &key, fields)?;
    let Some(expiry) = wanted else { return Ok(()) };
    let past = expiry.is_some_and(|at| at <= now);
    let changed = context.store.edit::<Hash, _>(&key, fields.len() * 8, |hash| {
        let mut change = |field: &&&[u8]| match hash.view().expiry(field) {
            None => false,
            Some(current) if expiry.is_none() && current.is_none() => false,
            Some(_) if past => hash.remove(field),
            Some(_) => hash.expire(field, expiry),
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

/// `HSETEX key [FNX | FXX] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL] FIELDS numfields field value …`
pub fn hsetex(context: &mut Context<'_>) -> Result<(), CommandError> {
    let now = context.store.now();
    let words = context.args.from(2);
    let at = words.iter().position(|word| is(word, "fields")).unwrap_or(0);
    let (presence, option) = hsetex_options(&words[..at])?;
    let pairs = fields(context.args, 2 + at, 2)?;
    let expiry = match option {
        ExpiryOption::Unsaid => Some(None),
        option => wanted_expiry(option, now, "hsetex")?,
    };
    let key = context.new_key(1)?;
    let past = expiry.flatten().is_some_and(|at| at <= now);
    let set = context.store.edit::<Hash, _>(&key, growth(pairs), |hash| {
        let there = |pair: &[&[u8]]| hash.view().contains(pair[0]);
        let allowed = match presence {
            Presence::Any => true,
            Presence::Absent => !pairs.chunks_exact(2).any(there),
            Presence::Present => pairs.chunks_exact(2).all(there),
        };
        for pair in pairs.chunks_exact(2).filter(|_| allowed) {
            match expiry {
                None => {
                    hash.set_keeping_expiry(pair[0], pair[1]);
                }
                Some(_) if past => {
                    hash.remove(pair[0]);
                }
                Some(expiry) => {
                    hash.set(pair[0], pair[1]);
                    if expiry.is_some() {
                        hash.expire(pair[0], expiry);
                    }
                }
            }
        }
        allowed
    })?;
    if set {
        context.notify(NoticeClasses::HASH, if past { "hdel" } else { "hset" }, &key);
        if expiry.flatten().is_some() && !past {
            context.notify(NoticeClasses::HASH, "hexpire", &key);
        }
        notify_gone(context, &key);
    }
    context.reply.integer(i64::from(set));
    Ok(())
}

fn hsetex_options<'a>(words: &[&'a [u8]]) -> Result<(Presence, ExpiryOption<'a>), CommandError> {
    let (mut presence, mut expiry) = (Presence::Any, ExpiryOption::Unsaid);
    let mut rest = words.iter().copied();
    while let Some(word) = rest.next() {
        let said = if is(word, "fnx") {
            Some(Presence::Absent)
        } else if is(word, "fxx") {
            Some(Presence::Present)
        } else {
            None
        };
        match said {
            Some(_) if presence != Presence::Any => return Err(CommandError::Syntax),
            Some(said) => presence = said,
            None if expiry != ExpiryOption::Unsaid => return Err(CommandError::Syntax),
            None if is(word, "keepttl") => expiry = ExpiryOption::Keep,
            None => expiry = options::given_expiry(word, rest.next())?,
        }
    }
    Ok((presence, expiry))
}
