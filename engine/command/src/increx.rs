//! INCREX: a counter with bounds and an expiry, in one step, as rate limiters need it.

use std::cmp::Ordering;

use ringlane_base::Now;
use ringlane_store::{Expiry, Key, NewValue, NoticeClasses, Value};

use crate::counter::integer_of;
use crate::extended::Extended;
use crate::options::{self, ExpiryOption, given_expiry};
use crate::parse::{self, is};
use crate::strings::with_bytes;
use crate::{Args, CommandError, Context};

/// What is counted in, by the increment: everything is of this kind.
trait Number: Copy {
    const ZERO: Self;
    const ONE: Self;
    const LEAST: Self;
    const GREATEST: Self;
    /// What keyspace notices call it.
    const EVENT: &'static str;

    /// Reads an argument, which errors call `name`.
    fn argument(text: &[u8], name: &str) -> Result<Self, CommandError>;

    /// The number that a value is, 0 for none.
    fn stored(value: Option<Value<'_>>) -> Result<Self, CommandError>;

    fn compare(self, other: Self) -> Ordering;

    /// The sum; the error says past which end of the range it is.
    fn plus(self, other: Self) -> Result<Self, Ordering>;

    /// By how much the number has grown since it was `before`.
    fn since(self, before: Self) -> Result<Self, CommandError>;

    /// What is stored.
    fn text(self) -> String;

    fn answer(self, context: &mut Context<'_>);
}

impl Number for i64 {
    const ZERO: Self = 0;
    const ONE: Self = 1;
    const LEAST: Self = i64::MIN;
    const GREATEST: Self = i64::MAX;
    const EVENT: &'static str = "incrby";

    fn argument(text: &[u8], name: &str) -> Result<Self, CommandError> {
        parse::integer(text).map_err(|_| {
            CommandError::Text(format!("ERR {name} is not an integer or out of range"))
        })
    }

    fn stored(value: Option<Value<'_>>) -> Result<Self, CommandError> {
        integer_of(value)
    }

    fn compare(self, other: Self) -> Ordering {
        self.cmp(&other)
    }

    fn plus(self, other: Self) -> Result<Self, Ordering> {
        self.checked_add(other).ok_or(other.cmp(&0))
    }

    fn since(self, before: Self) -> Result<Self, CommandError> {
        self.checked_sub(before).ok_or(CommandError::Fixed("ERR applied increment would overflow"))
    }

    fn text(self) -> String {
        self.to_string()
    }

    fn answer(self, context: &mut Context<'_>) {
        context.reply.integer(self);
    }
}

impl Number for Extended {
    const ZERO: Self = Extended::ZERO;
    const ONE: Self = Extended::ONE;
    const LEAST: Self = Extended::LEAST;
    const GREATEST: Self = Extended::MAX;
    const EVENT: &'static str = "incrbyfloat";

    fn argument(text: &[u8], name: &str) -> Result<Self, CommandError> {
        Extended::parse(text)
            .ok_or_else(|| CommandError::Text(format!("ERR {name} is not a valid float")))
    }

    fn stored(value: Option<Value<'_>>) -> Result<Self, CommandError> {
        let number = match value {
            None => Some(Extended::ZERO),
            Some(value) => with_bytes(value, Extended::parse)?,
        };
        let number = number.ok_or(CommandError::NotAFloat)?;
        let infinite = CommandError::Fixed("ERR value cannot be Infinity");
        number.is_finite().then_some(number).ok_or(infinite)
    }

    fn compare(self, other: Self) -> Ordering {
        Extended::compare(self, other)
    }

    fn plus(self, other: Self) -> Result<Self, Ordering> {
        let end = if other.is_negative() { Ordering::Less } else { Ordering::Greater };
        Extended::plus(self, other).ok_or(end)
    }

    fn since(self, before: Self) -> Result<Self, CommandError> {
        self.minus(before).ok_or(CommandError::Fixed("ERR applied increment would be Infinity"))
    }

    fn text(self) -> String {
        self.to_text()
    }

    fn answer(self, context: &mut Context<'_>) {
        context.reply.spelled_double(&self.to_text());
    }
}

/// What INCREX is asked for; numbers as they were written, since the kind may come last.
#[derive(Default)]
struct Request<'a> {
    by_integer: Option<&'a [u8]>,
    by_float: Option<&'a [u8]>,
    lower: Option<&'a [u8]>,
    upper: Option<&'a [u8]>,
    saturate: bool,
    expiry: Option<ExpiryOption<'a>>,
    /// `ENX`: an expiry that is there stays.
    unless_expiring: bool,
    /// `NX`, `XX`: whether the key must be there.
    presence: Option<bool>,
}

impl<'a> Request<'a> {
    /// Reads the arguments behind the key. Nothing may be said twice.
    fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        let mut request = Self::default();
        let mut rest = args.from(2).iter().copied();
        while let Some(option) = rest.next() {
            if is(option, "byint") {
                once(&mut request.by_integer, rest.next())?;
            } else if is(option, "byfloat") {
                once(&mut request.by_float, rest.next())?;
            } else if is(option, "lbound") {
                once(&mut request.lower, rest.next())?;
            } else if is(option, "ubound") {
                once(&mut request.upper, rest.next())?;
            } else if is(option, "saturate") && !request.saturate {
                request.saturate = true;
            } else if is(option, "enx") && !request.unless_expiring {
                request.unless_expiring = true;
            } else if is(option, "nx") || is(option, "xx") {
                once(&mut request.presence, Some(is(option, "xx")))?;
            } else if is(option, "persist") {
                once(&mut request.expiry, Some(ExpiryOption::Persist))?;
            } else {
                let given = given_expiry(option, rest.next())?;
                once(&mut request.expiry, Some(given))?;
            }
        }
        let both = request.by_integer.is_some() && request.by_float.is_some();
        if both || (request.unless_expiring && request.expiry == Some(ExpiryOption::Persist)) {
            return Err(CommandError::Syntax);
        }
        if request.unless_expiring && request.expiry.is_none() {
            return Err(CommandError::Fixed("ERR ENX flag requires an expiration"));
        }
        Ok(request)
    }

    /// What becomes of the key's expiry. None: it stays.
    fn expiry(&self, now: Now) -> Result<Option<Expiry>, CommandError> {
        self.expiry.map(|option| options::store_expiry(option, now, "increx")).transpose()
    }
}

/// Takes what was said, unless it was said before or lacks its argument.
fn once<T>(place: &mut Option<T>, said: Option<T>) -> Result<(), CommandError> {
    match place {
        None => *place = Some(said.ok_or(CommandError::Syntax)?),
        Some(_) => return Err(CommandError::Syntax),
    }
    Ok(())
}

/// `INCREX key [NX | XX] [BYINT integer | BYFLOAT float] [LBOUND bound] [UBOUND bound] [SATURATE]
/// [EX s | PX ms | EXAT s | PXAT ms | PERSIST] [ENX]`: answers the number and by how much it grew.
pub fn increx(context: &mut Context<'_>) -> Result<(), CommandError> {
    let request = Request::parse(context.args)?;
    match request.by_float {
        None => count::<i64>(context, &request, request.by_integer),
        Some(increment) => {
            let finite = Extended::parse(increment).is_none_or(Extended::is_finite);
            if !finite {
                return Err(CommandError::Fixed("ERR BYFLOAT increment cannot be Infinity"));
            }
            count::<Extended>(context, &request, Some(increment))
        }
    }
}

fn count<N: Number>(
    context: &mut Context<'_>,
    request: &Request<'_>,
    increment: Option<&[u8]>,
) -> Result<(), CommandError> {
    let argument = |text: Option<&[u8]>, name, otherwise| {
        text.map_or(Ok(otherwise), |text| N::argument(text, name))
    };
    let increment = argument(increment, "Increment", N::ONE)?;
    let lower = argument(request.lower, "LBOUND", N::LEAST)?;
    let upper = argument(request.upper, "UBOUND", N::GREATEST)?;
    if lower.compare(upper) == Ordering::Greater {
        return Err(CommandError::Fixed("ERR LBOUND can't be greater than UBOUND"));
    }
    let expiry = request.expiry(context.store.now())?;
    let key = context.new_key(1)?;
    let value = context.store.peek(&key);
    let there = value.is_some();
    let before = N::stored(value)?;
    let bound = match before.plus(increment) {
        Err(Ordering::Less) => Err(lower),
        Err(Ordering::Equal | Ordering::Greater) => Err(upper),
        Ok(sum) if sum.compare(lower) == Ordering::Less => Err(lower),
        Ok(sum) if sum.compare(upper) == Ordering::Greater => Err(upper),
        Ok(sum) => Ok(sum),
    };
    let after = match bound {
        Ok(sum) => Some(sum),
        Err(bound) => request.saturate.then_some(bound),
    };
    let refused = request.presence.is_some_and(|wanted| wanted != there);
    let Some(after) = after.filter(|_| !refused) else {
        answer(context, before, N::ZERO);
        return Ok(());
    };
    let grown = after.since(before)?;
    let expires = context.store.expiry(&key).flatten().is_some();
    let expiry = expiry.filter(|_| !(request.unless_expiring && expires));
    put(context, &key, after, expiry, (there, expires))?;
    answer(context, after, grown);
    Ok(())
}

fn answer<N: Number>(context: &mut Context<'_>, number: N, grown: N) {
    context.reply.array(2);
    number.answer(context);
    grown.answer(context);
}

/// Stores the number, or removes the key if its time is past; and says so. `there`, `expires`: whether
/// the key was there, and with an expiry.
fn put<N: Number>(
    context: &mut Context<'_>,
    key: &Key<'_>,
    number: N,
    expiry: Option<Expiry>,
    (there, expires): (bool, bool),
) -> Result<(), CommandError> {
    let text = number.text();
    let expiry_now = expiry.unwrap_or(Expiry::Keep);
    context.store.set(key, NewValue::Text(text.as_bytes()), expiry_now)?;
    let event = match expiry {
        Some(Expiry::At(at)) if at.is_due(context.store.now()) => {
            if there {
                context.notify(NoticeClasses::GENERIC, "del", key);
            }
            return Ok(());
        }
        Some(Expiry::At(_)) => Some("expire"),
        Some(Expiry::Never) if expires => Some("persist"),
        Some(Expiry::Never | Expiry::Keep) | None => None,
    };
    context.notify(NoticeClasses::STRING, N::EVENT, key);
    if let Some(event) = event {
        context.notify(NoticeClasses::GENERIC, event, key);
    }
    Ok(())
}
