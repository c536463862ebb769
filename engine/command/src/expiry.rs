//! When keys go: setting, asking and dropping their time to live.

use ringlane_base::{Due, Now};
use ringlane_store::NoticeClasses;

use crate::options::{TimeUnit, due};
use crate::parse::{self, is};
use crate::{Args, CommandError, Context};

/// `EXPIRE key seconds [NX | XX | GT | LT]`
pub fn expire(context: &mut Context<'_>) -> Result<(), CommandError> {
    expire_generic(context, TimeUnit::Seconds, "expire")
}

/// `PEXPIRE key milliseconds [NX | XX | GT | LT]`
pub fn pexpire(context: &mut Context<'_>) -> Result<(), CommandError> {
    expire_generic(context, TimeUnit::Milliseconds, "pexpire")
}

/// `EXPIREAT key unix-seconds [NX | XX | GT | LT]`
pub fn expireat(context: &mut Context<'_>) -> Result<(), CommandError> {
    expire_generic(context, TimeUnit::UnixSeconds, "expireat")
}

/// `PEXPIREAT key unix-milliseconds [NX | XX | GT | LT]`
pub fn pexpireat(context: &mut Context<'_>) -> Result<(), CommandError> {
    expire_generic(context, TimeUnit::UnixMilliseconds, "pexpireat")
}

/// Which keys an expiry may be set on.
#[derive(Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools)] // The four options as they are written, combined freely.
pub(crate) struct ExpireFlags {
    /// `NX`: those without one.
    without: bool,
    /// `XX`: those with one.
    with: bool,
    /// `GT`: those that would live longer; a key without an expiry lives for ever already.
    longer: bool,
    /// `LT`: those that would live shorter.
    shorter: bool,
}

impl ExpireFlags {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        Self::parse_options(args.from(3))
    }

    /// Reads `NX`, `XX`, `GT` and `LT`.
    pub(crate) fn parse_options(options: &[&[u8]]) -> Result<Self, CommandError> {
        let mut flags = Self::default();
        for option in options {
            if is(option, "nx") {
                flags.without = true;
            } else if is(option, "xx") {
                flags.with = true;
            } else if is(option, "gt") {
                flags.longer = true;
            } else if is(option, "lt") {
                flags.shorter = true;
            } else {
                let option = parse::printable(option, OPTION_BYTES_MAX);
                return Err(CommandError::Text(format!("ERR Unsupported option {option}")));
            }
        }
        if flags.without && (flags.with || flags.longer || flags.shorter) {
            let text = "ERR NX and XX, GT or LT options at the same time are not compatible";
            return Err(CommandError::Fixed(text));
        }
        if flags.longer && flags.shorter {
            let text = "ERR GT and LT options at the same time are not compatible";
            return Err(CommandError::Fixed(text));
        }
        Ok(flags)
    }

    /// Spans and times are compared by what the wall clock will show, as long as nobody sets it.
    pub(crate) fn allow(self, current: Option<Due>, wanted: Due, now: Now) -> bool {
        match current {
            None => !self.with && !self.longer,
            Some(current) => {
                let (current, wanted) = (current.wall(now), wanted.wall(now));
                let barred = self.without
                    || (self.longer && wanted <= current)
                    || (self.shorter && wanted >= current);
                !barred
            }
        }
    }
}

/// How much of an unknown option an error tells.
const OPTION_BYTES_MAX: usize = 128;

fn expire_generic(
    context: &mut Context<'_>,
    unit: TimeUnit,
    name: &'static str,
) -> Result<(), CommandError> {
    let flags = ExpireFlags::parse(context.args)?;
    let amount = parse::integer(&context.args[2])?;
    let now = context.store.now();
    let wanted = due(unit, amount, now).ok_or(CommandError::InvalidExpire(name))?;
    let key = context.key(1);
    let changed = match context.store.expiry(&key) {
        Some(current) if flags.allow(current, wanted, now) => {
            let past = wanted.is_due(now);
            let changed = context.store.set_expiry(&key, Some(wanted));
            context.notify(NoticeClasses::GENERIC, if past { "del" } else { "expire" }, &key);
            changed
        }
        Some(_) | None => false,
    };
    context.reply.integer(i64::from(changed));
    Ok(())
}

/// `PERSIST key`
pub fn persist(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let mortal = context.store.expiry(&key).flatten().is_some();
    if mortal {
        context.store.set_expiry(&key, None);
        context.notify(NoticeClasses::GENERIC, "persist", &key);
    }
    context.reply.integer(i64::from(mortal));
    Ok(())
}

const NO_KEY: i64 = -2;
const NO_EXPIRY: i64 = -1;

/// `TTL key`: rounded to the nearest second.
pub fn ttl(context: &mut Context<'_>) -> Result<(), CommandError> {
    ask(context, |at, now| to_seconds(at.left_ms(now)));
    Ok(())
}

/// `PTTL key`
pub fn pttl(context: &mut Context<'_>) -> Result<(), CommandError> {
    ask(context, Due::left_ms);
    Ok(())
}

/// `EXPIRETIME key`: rounded to the nearest second.
pub fn expiretime(context: &mut Context<'_>) -> Result<(), CommandError> {
    ask(context, |at, now| to_seconds(at.wall(now).0));
    Ok(())
}

/// `PEXPIRETIME key`
pub fn pexpiretime(context: &mut Context<'_>) -> Result<(), CommandError> {
    ask(context, |at, now| at.wall(now).0);
    Ok(())
}

fn to_seconds(milliseconds: u64) -> u64 {
    milliseconds.saturating_add(500) / 1000
}

fn ask(context: &mut Context<'_>, tell: fn(Due, Now) -> u64) {
    let key = context.key(1);
    let answer = match context.store.expiry(&key) {
        None => NO_KEY,
        Some(None) => NO_EXPIRY,
        Some(Some(at)) => tell(at, context.store.now()) as i64,
    };
    context.reply.integer(answer);
}
