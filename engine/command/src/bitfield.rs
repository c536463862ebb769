//! BITFIELD: integers of 1 to 64 bits at any bit of a string, read, set and added to.

use ringlane_store::{Key, NoticeClasses, Store, bytes_to_patch};

use crate::bitmap::field_offset;
use crate::parse::{self, is};
use crate::strings::{length_of, with_bytes};
use crate::{Args, CommandError, Context};

const BAD_TYPE: CommandError = CommandError::Fixed(
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
);

/// A field of 64 bits that begins within a byte reaches into nine.
const WINDOW_BYTES: usize = 9;

/// `i1` to `i64`, `u1` to `u63`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Width {
    signed: bool,
    bits: u32,
}

impl Width {
    fn parse(text: &[u8]) -> Result<Self, CommandError> {
        let (signed, most) = match text.first() {
            Some(b'i') => (true, 64),
            Some(b'u') => (false, 63),
            Some(_) | None => return Err(BAD_TYPE),
        };
        match parse::integer(&text[1..]) {
            Ok(bits) if (1..=most).contains(&bits) => Ok(Self { signed, bits: bits as u32 }),
            Ok(_) | Err(_) => Err(BAD_TYPE),
        }
    }

    fn least(self) -> i128 {
        if self.signed { -(1 << (self.bits - 1)) } else { 0 }
    }

    fn most(self) -> i128 {
        (1 << (self.bits - u32::from(self.signed))) - 1
    }

    /// The integer that the lowest bits are.
    fn read(self, raw: i128) -> i128 {
        let shift = 128 - self.bits;
        if self.signed { raw << shift >> shift } else { ((raw as u128) << shift >> shift) as i128 }
    }

    /// What is to be written for this result; None: nothing, since it does not fit.
    fn fit(self, result: i128, overflow: Overflow) -> Option<i128> {
        if (self.least()..=self.most()).contains(&result) {
            return Some(result);
        }
        match overflow {
            Overflow::Wrap => Some(self.read(result)),
            Overflow::Saturate => Some(result.clamp(self.least(), self.most())),
            Overflow::Fail => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Get,
    Set(i64, Overflow),
    Increment(i64, Overflow),
}

#[derive(Clone, Copy, Debug)]
struct Field {
    action: Action,
    width: Width,
    /// Of its first bit.
    offset: u64,
}

impl Field {
    fn first_byte(self) -> usize {
        (self.offset >> 3) as usize
    }

    fn last_byte(self) -> usize {
        ((self.offset + u64::from(self.width.bits) - 1) >> 3) as usize
    }

    /// How many bits of the window follow the field.
    fn bits_behind(self) -> u32 {
        WINDOW_BYTES as u32 * 8 - (self.offset & 7) as u32 - self.width.bits
    }
}

/// `BITFIELD key [GET encoding offset | [OVERFLOW …] SET encoding offset value | INCRBY …] …`
pub fn bitfield(context: &mut Context<'_>) -> Result<(), CommandError> {
    let fields = parse_fields(context.args, context.limits.value_bytes_max)?;
    let writes = fields.iter().filter(|field| field.action != Action::Get);
    let Some(last) = writes.map(|field| field.last_byte()).max() else {
        return answer_reads(context, &fields);
    };
    let key = context.new_key(1)?;
    let value = context.store.get(&key);
    let length = length_of(value)?;
    context.limits.claim_kept(bytes_to_patch(value, last, 1))?;
    let mut changed = last >= length;
    if changed {
        context.store.set_range(&key, last, &[0])?;
    }
    let mut answers = Vec::with_capacity(fields.len());
    for field in &fields {
        answers.push(run(context.store, &key, *field, &mut changed)?);
    }
    if changed {
        context.notify(NoticeClasses::STRING, "setbit", &key);
    }
    context.reply.array(answers.len());
    for answer in answers {
        match answer {
            Some(value) => context.reply.integer(value),
            None => context.reply.null(),
        }
    }
    Ok(())
}

/// `BITFIELD_RO key [GET encoding offset …]`
pub fn bitfield_ro(context: &mut Context<'_>) -> Result<(), CommandError> {
    let fields = parse_fields(context.args, context.limits.value_bytes_max)?;
    if fields.iter().any(|field| field.action != Action::Get) {
        return Err(CommandError::Fixed("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    answer_reads(context, &fields)
}

/// What BITFIELD does to its key with these arguments.
pub fn key_flags(args: Args<'_>) -> &'static str {
    match parse_fields(args, usize::MAX) {
        Ok(fields) if fields.iter().all(|field| field.action == Action::Get) => "RO access",
        Ok(_) | Err(_) => "RW access update",
    }
}

fn answer_reads(context: &mut Context<'_>, fields: &[Field]) -> Result<(), CommandError> {
    let key = context.key(1);
    let value = context.store.get(&key);
    let reply = &mut *context.reply;
    reply.array(fields.len());
    let mut answer = |bytes: &[u8]| {
        for field in fields {
            let raw = window(bytes, field.first_byte()) >> field.bits_behind();
            reply.integer(field.width.read(raw) as i64);
        }
    };
    let Some(value) = value else {
        answer(b"");
        return Ok(());
    };
    with_bytes(value, answer)
}

fn parse_fields(args: Args<'_>, value_bytes_max: usize) -> Result<Vec<Field>, CommandError> {
    let mut fields = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut rest = args.from(2);
    while let [word, after @ ..] = rest {
        if is(word, "overflow") && !after.is_empty() {
            overflow = parse_overflow(after[0])?;
            rest = &after[1..];
            continue;
        }
        let reads = is(word, "get") && after.len() >= 2;
        let sets = is(word, "set") && after.len() >= 3;
        let adds = is(word, "incrby") && after.len() >= 3;
        if !(reads || sets || adds) {
            return Err(CommandError::Syntax);
        }
        let width = Width::parse(after[0])?;
        let offset = field_offset(after[1], width.bits, value_bytes_max)?;
        let action = if reads {
            Action::Get
        } else if sets {
            Action::Set(parse::integer(after[2])?, overflow)
        } else {
            Action::Increment(parse::integer(after[2])?, overflow)
        };
        fields.push(Field { action, width, offset });
        rest = &after[if reads { 2 } else { 3 }..];
    }
    Ok(fields)
}

fn parse_overflow(word: &[u8]) -> Result<Overflow, CommandError> {
    if is(word, "wrap") {
        Ok(Overflow::Wrap)
    } else if is(word, "sat") {
        Ok(Overflow::Saturate)
    } else if is(word, "fail") {
        Ok(Overflow::Fail)
    } else {
        Err(CommandError::Fixed("ERR Invalid OVERFLOW type specified"))
    }
}

/// The bytes from `first` on as one integer, the first the highest; zeros beyond the end.
fn window(bytes: &[u8], first: usize) -> i128 {
    let there = bytes.get(first..).unwrap_or_default();
    (0..WINDOW_BYTES).fold(0, |sum, at| sum << 8 | i128::from(there.get(at).copied().unwrap_or(0)))
}

/// Does what is to be done to a field of a string that is long enough for it. None: the result does
/// not fit, and OVERFLOW FAIL leaves the field alone.
fn run(
    store: &mut Store,
    key: &Key<'_>,
    field: Field,
    changed: &mut bool,
) -> Result<Option<i64>, CommandError> {
    let Field { action, width, .. } = field;
    let first = field.first_byte();
    let before = match store.peek(key) {
        Some(value) => with_bytes(value, |bytes| window(bytes, first))?,
        None => 0,
    };
    let old = width.read(before >> field.bits_behind());
    let (wanted, overflow) = match action {
        Action::Get => return Ok(Some(old as i64)),
        // As in Redis: a negative number for an unsigned field is one beyond its range.
        Action::Set(value, overflow) if width.signed => (i128::from(value), overflow),
        Action::Set(value, overflow) => (i128::from(value as u64), overflow),
        Action::Increment(by, overflow) => (old + i128::from(by), overflow),
    };
    let Some(new) = width.fit(wanted, overflow) else { return Ok(None) };
    if new != old {
        let mask = ((1_i128 << width.bits) - 1) << field.bits_behind();
        let after = before & !mask | (new << field.bits_behind()) & mask;
        let bytes = after.to_be_bytes();
        let window = &bytes[bytes.len() - WINDOW_BYTES..];
        store.set_range(key, first, &window[..=field.last_byte() - first])?;
        *changed = true;
    }
    Ok(Some(if matches!(action, Action::Set(..)) { old } else { new } as i64))
}
