//! The options that SET, MSETEX and GETEX share, and expiry times as commands give them.

use ringlane_base::{Clock, Due, Millis, Now};
use ringlane_store::Expiry;

use crate::parse::{self, is};
use crate::{Args, CommandError};

/// The unit and origin of an expiry argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// `EX`: seconds from now.
    Seconds,
    /// `PX`: milliseconds from now.
    Milliseconds,
    /// `EXAT`: seconds since the Unix epoch.
    UnixSeconds,
    /// `PXAT`: milliseconds since the Unix epoch.
    UnixMilliseconds,
}

impl TimeUnit {
    /// The unit that the word of an option names.
    pub fn of_word(word: &[u8]) -> Option<Self> {
        let units = [
            ("ex", Self::Seconds),
            ("px", Self::Milliseconds),
            ("exat", Self::UnixSeconds),
            ("pxat", Self::UnixMilliseconds),
        ];
        units.into_iter().find(|(name, _)| is(word, name)).map(|(_, unit)| unit)
    }
}

/// When a write may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition<'a> {
    Always,
    /// `NX`: only if there is no key.
    Absent,
    /// `XX`: only if there is one.
    Present,
    /// `IFEQ`: only if the key holds exactly this.
    Equals(&'a [u8]),
    /// `IFNE`: unless the key holds exactly this.
    Differs(&'a [u8]),
    /// `IFDEQ`: only if the key holds something with this digest.
    DigestEquals(&'a [u8]),
    /// `IFDNE`: unless the key holds something with this digest.
    DigestDiffers(&'a [u8]),
}

impl<'a> Condition<'a> {
    /// The condition that this word says of the argument behind it.
    pub fn of_value(word: &[u8], value: &'a [u8]) -> Option<Self> {
        if is(word, "ifeq") {
            Some(Self::Equals(value))
        } else if is(word, "ifne") {
            Some(Self::Differs(value))
        } else if is(word, "ifdeq") {
            Some(Self::DigestEquals(value))
        } else if is(word, "ifdne") {
            Some(Self::DigestDiffers(value))
        } else {
            None
        }
    }

    /// Whether it looks at what the key holds.
    pub fn compares(self) -> bool {
        match self {
            Self::Always | Self::Absent | Self::Present => false,
            Self::Equals(_) | Self::Differs(_) | Self::DigestEquals(_) | Self::DigestDiffers(_) => {
                true
            }
        }
    }
}

/// What becomes of the key's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryOption<'a> {
    /// Nothing was said.
    Unsaid,
    /// `KEEPTTL`
    Keep,
    /// `PERSIST`
    Persist,
    /// The argument is read after all options, as in Redis: `SET k v EX x NX XX` is a syntax error.
    Given(TimeUnit, &'a [u8]),
}

/// What may follow `SET key value`, and the pairs of MSETEX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetOptions<'a> {
    pub condition: Condition<'a>,
    pub expiry: ExpiryOption<'a>,
    /// `GET`: answer what the key held before.
    pub get: bool,
}

impl<'a> SetOptions<'a> {
    const NONE: Self =
        Self { condition: Condition::Always, expiry: ExpiryOption::Unsaid, get: false };

    /// Reads the options of SET, from argument 3 on. Each may be repeated if it does not
    /// contradict another; the last one counts.
    pub fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        let mut options = Self::NONE;
        let mut rest = args.from(3).iter().copied();
        while let Some(option) = rest.next() {
            if let Some(condition) =
                rest.clone().next().and_then(|value| Condition::of_value(option, value))
            {
                rest.next();
                options.restrict(condition)?;
            } else if is(option, "get") {
                options.get = true;
            } else {
                options.take(option, &mut rest)?;
            }
        }
        Ok(options)
    }

    /// The same for MSETEX, from argument `first` on: it neither compares nor gets.
    pub fn parse_pairs(args: Args<'a>, first: usize) -> Result<Self, CommandError> {
        let mut options = Self::NONE;
        let mut rest = args.from(first).iter().copied();
        while let Some(option) = rest.next() {
            options.take(option, &mut rest)?;
        }
        Ok(options)
    }

    /// Takes an option that both commands have, and its value out of `rest`.
    fn take(
        &mut self,
        option: &[u8],
        rest: &mut impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), CommandError> {
        if is(option, "nx") {
            return self.restrict(Condition::Absent);
        }
        if is(option, "xx") {
            return self.restrict(Condition::Present);
        }
        let given = if is(option, "keepttl") {
            ExpiryOption::Keep
        } else {
            given_expiry(option, rest.next())?
        };
        self.expiry = merge_expiry(self.expiry, given)?;
        Ok(())
    }

    /// NX and XX may be said again; whatever compares stands alone.
    fn restrict(&mut self, said: Condition<'a>) -> Result<(), CommandError> {
        let again = self.condition == said && !said.compares();
        if self.condition != Condition::Always && !again {
            return Err(CommandError::Syntax);
        }
        self.condition = said;
        Ok(())
    }
}

/// Reads the options of GETEX, from argument 2 on.
pub fn parse_getex(args: Args<'_>) -> Result<ExpiryOption<'_>, CommandError> {
    let mut expiry = ExpiryOption::Unsaid;
    let mut rest = args.from(2).iter().copied();
    while let Some(option) = rest.next() {
        let said = if is(option, "persist") {
            ExpiryOption::Persist
        } else {
            given_expiry(option, rest.next())?
        };
        expiry = merge_expiry(expiry, said)?;
    }
    Ok(expiry)
}

pub(crate) fn given_expiry<'a>(
    option: &[u8],
    value: Option<&'a [u8]>,
) -> Result<ExpiryOption<'a>, CommandError> {
    let unit = TimeUnit::of_word(option).ok_or(CommandError::Syntax)?;
    Ok(ExpiryOption::Given(unit, value.ok_or(CommandError::Syntax)?))
}

/// Two expiry options agree only if they are the same one.
fn merge_expiry<'a>(
    before: ExpiryOption<'a>,
    said: ExpiryOption<'a>,
) -> Result<ExpiryOption<'a>, CommandError> {
    let compatible = match (before, said) {
        (ExpiryOption::Unsaid, _)
        | (ExpiryOption::Keep, ExpiryOption::Keep)
        | (ExpiryOption::Persist, ExpiryOption::Persist) => true,
        (ExpiryOption::Given(before, _), ExpiryOption::Given(said, _)) => before == said,
        (ExpiryOption::Keep | ExpiryOption::Persist | ExpiryOption::Given(..), _) => false,
    };
    if compatible { Ok(said) } else { Err(CommandError::Syntax) }
}

/// The span or time that SET, SETEX or GETEX names: it must be positive and end within 63 bits of
/// milliseconds. `name` is the command's, for the error.
pub fn expiry_time(
    unit: TimeUnit,
    text: &[u8],
    now: Now,
    name: &'static str,
) -> Result<Due, CommandError> {
    let amount = parse::integer(text)?;
    if amount <= 0 {
        return Err(CommandError::InvalidExpire(name));
    }
    due(unit, amount, now).ok_or(CommandError::InvalidExpire(name))
}

/// When a span that begins now ends, or a time, either possibly past; None on overflow.
pub fn due(unit: TimeUnit, amount: i64, now: Now) -> Option<Due> {
    match unit {
        TimeUnit::Seconds => span(amount.checked_mul(1000)?, now),
        TimeUnit::Milliseconds => span(amount, now),
        TimeUnit::UnixSeconds => Some(time(amount.checked_mul(1000)?)),
        TimeUnit::UnixMilliseconds => Some(time(amount)),
    }
}

/// As in Redis, which keeps no spans, one is refused whose end by the wall clock overflows.
fn span(milliseconds: i64, now: Now) -> Option<Due> {
    milliseconds.checked_add(now.wall.0 as i64)?;
    let end = now.steady.0.saturating_add_signed(milliseconds);
    Some(Due::on(Clock::Steady, Millis(end)))
}

/// A time before the epoch is as past as the epoch itself.
fn time(milliseconds: i64) -> Due {
    Due::at(Millis(u64::try_from(milliseconds).unwrap_or(0)))
}

/// What `Store::set` is to do about the expiry.
pub fn store_expiry(
    option: ExpiryOption<'_>,
    now: Now,
    name: &'static str,
) -> Result<Expiry, CommandError> {
    match option {
        ExpiryOption::Unsaid | ExpiryOption::Persist => Ok(Expiry::Never),
        ExpiryOption::Keep => Ok(Expiry::Keep),
        ExpiryOption::Given(unit, text) => expiry_time(unit, text, now, name).map(Expiry::At),
    }
}
