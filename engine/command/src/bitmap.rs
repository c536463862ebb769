//! Strings as arrays of bits, the highest bit of a byte first: SETBIT, GETBIT, BITCOUNT, BITPOS.
//! Combining whole strings is in `bitop`, integers of any width in `bitfield`.

use ringlane_store::{NoticeClasses, Value, bytes_to_patch};

use crate::parse::{self, is};
use crate::strings::with_bytes;
use crate::{Args, CommandError, Context};

const BAD_OFFSET: CommandError =
    CommandError::Fixed("ERR bit offset is not an integer or out of range");
const BAD_BIT: CommandError = CommandError::Fixed("ERR bit is not an integer or out of range");

/// A bit offset whose byte lies below `value_bytes_max`.
pub(crate) fn bit_offset(text: &[u8], value_bytes_max: usize) -> Result<u64, CommandError> {
    let offset = parse::integer(text).map_err(|_| BAD_OFFSET)?;
    checked_offset(offset, value_bytes_max)
}

/// `#n` counts in fields of `bits`, as BITFIELD has it.
pub(crate) fn field_offset(
    text: &[u8],
    bits: u32,
    value_bytes_max: usize,
) -> Result<u64, CommandError> {
    let Some(count) = text.strip_prefix(b"#") else { return bit_offset(text, value_bytes_max) };
    let count = parse::integer(count).map_err(|_| BAD_OFFSET)?;
    checked_offset(count.checked_mul(i64::from(bits)).ok_or(BAD_OFFSET)?, value_bytes_max)
}

fn checked_offset(offset: i64, value_bytes_max: usize) -> Result<u64, CommandError> {
    let offset = u64::try_from(offset).map_err(|_| BAD_OFFSET)?;
    if offset >> 3 >= value_bytes_max as u64 { Err(BAD_OFFSET) } else { Ok(offset) }
}

/// The byte at an index and the string's length; zero beyond it and for a key that is not there.
fn byte_at(value: Option<Value<'_>>, index: usize) -> Result<(u8, usize), CommandError> {
    value.map_or(Ok((0, 0)), |value| {
        with_bytes(value, |bytes| (bytes.get(index).copied().unwrap_or(0), bytes.len()))
    })
}

/// `SETBIT key offset value`
pub fn setbit(context: &mut Context<'_>) -> Result<(), CommandError> {
    let offset = bit_offset(&context.args[2], context.limits.value_bytes_max)?;
    let bit = match parse::integer(&context.args[3]) {
        Ok(bit @ 0..=1) => bit as u8,
        Ok(_) | Err(_) => return Err(BAD_BIT),
    };
    let key = context.new_key(1)?;
    let index = (offset >> 3) as usize;
    let value = context.store.get(&key);
    let (byte, length) = byte_at(value, index)?;
    let patched = bytes_to_patch(value, index, 1);
    let shift = 7 - (offset & 7);
    let before = byte >> shift & 1;
    // A bit that is there and is so already: nothing changes.
    if index >= length || before != bit {
        context.limits.claim_kept(patched)?;
        let byte = byte & !(1 << shift) | bit << shift;
        context.store.set_range(&key, index, &[byte])?;
        context.notify(NoticeClasses::STRING, "setbit", &key);
    }
    context.reply.integer(i64::from(before));
    Ok(())
}

/// `GETBIT key offset`
pub fn getbit(context: &mut Context<'_>) -> Result<(), CommandError> {
    let offset = bit_offset(&context.args[2], context.limits.value_bytes_max)?;
    let key = context.key(1);
    let (byte, _) = byte_at(context.store.get(&key), (offset >> 3) as usize)?;
    context.reply.integer(i64::from(byte >> (7 - (offset & 7)) & 1));
    Ok(())
}

/// What follows the key or the bit: from where to where, and in which unit.
#[derive(Clone, Copy)]
struct Span {
    start: i64,
    /// None: to the end.
    end: Option<i64>,
    /// Counted in bits, not bytes.
    in_bits: bool,
}

impl Span {
    const WHOLE: Self = Self { start: 0, end: None, in_bits: false };

    /// The bits from the first to one beyond the last, of a string of so many bytes; empty if the
    /// first lies behind the last. Negative positions count from the end.
    fn bits(self, length: usize) -> std::ops::Range<u64> {
        let total = length as i64 * if self.in_bits { 8 } else { 1 };
        let place = |position: i64| if position < 0 { (total + position).max(0) } else { position };
        // `total + position` cannot overflow: they have different signs.
        let start = place(self.start);
        let end = place(self.end.unwrap_or(-1)).min(total - 1);
        if start > end {
            return 0..0;
        }
        let unit = if self.in_bits { 1 } else { 8 };
        start as u64 * unit..(end as u64 + 1) * unit
    }
}

fn unit_is_bits(word: &[u8]) -> Result<bool, CommandError> {
    if is(word, "bit") {
        Ok(true)
    } else if is(word, "byte") {
        Ok(false)
    } else {
        Err(CommandError::Syntax)
    }
}

/// `BITCOUNT key [start [end [BYTE | BIT]]]`
pub fn bitcount(context: &mut Context<'_>) -> Result<(), CommandError> {
    let span = match context.args.from(2) {
        [] => Span::WHOLE,
        [start] => Span { start: parse::integer(start)?, ..Span::WHOLE },
        [start, end, unit @ ..] if unit.len() <= 1 => {
            let (start, end) = (parse::integer(start)?, parse::integer(end)?);
            let in_bits = unit.first().map_or(Ok(false), |word| unit_is_bits(word))?;
            Span { start, end: Some(end), in_bits }
        }
        _ => return Err(CommandError::Syntax),
    };
    let key = context.key(1);
    // Both from the end and the wrong way round: nothing, even where the string is too short to
    // tell them apart.
    let crossed = span.start < 0 && span.end.is_some_and(|end| end < 0 && span.start > end);
    let count = match context.store.get(&key) {
        None => 0,
        Some(value) => with_bytes(value, |bytes| {
            let bits = if crossed { 0..0 } else { span.bits(bytes.len()) };
            context.limits.claim_bytes(((bits.end - bits.start) >> 3) as usize)?;
            Ok::<_, CommandError>(count_bits(bytes, bits))
        })??,
    };
    context.reply.integer(count as i64);
    Ok(())
}

/// The ones among these bits of the string.
fn count_bits(bytes: &[u8], bits: std::ops::Range<u64>) -> u64 {
    if bits.is_empty() {
        return 0;
    }
    let (first, last) = ((bits.start >> 3) as usize, ((bits.end - 1) >> 3) as usize);
    let whole = count_ones(&bytes[first..=last]);
    let before = bytes[first] & !head_mask(bits.start);
    let behind = bytes[last] & !tail_mask(bits.end);
    whole - u64::from(before.count_ones()) - u64::from(behind.count_ones())
}

/// The bits of a byte from this one on.
fn head_mask(start: u64) -> u8 {
    0xff >> (start & 7)
}

/// The bits of a byte below this end.
fn tail_mask(end: u64) -> u8 {
    !(0xff_u16 >> (((end - 1) & 7) + 1)) as u8
}

fn count_ones(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words: u64 =
        words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    words + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// `BITPOS key bit [start [end [BYTE | BIT]]]`
pub fn bitpos(context: &mut Context<'_>) -> Result<(), CommandError> {
    let bit = match parse::integer(&context.args[2])? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::Fixed("ERR The bit argument must be 1 or 0.")),
    };
    let span = position_span(context.args)?;
    let key = context.key(1);
    let Some(value) = context.store.get(&key) else {
        context.reply.integer(if bit { -1 } else { 0 });
        return Ok(());
    };
    let position = with_bytes(value, |bytes| {
        let bits = span.bits(bytes.len());
        if bits.is_empty() {
            return Ok(None);
        }
        context.limits.claim_bytes(((bits.end - bits.start) >> 3) as usize)?;
        let end = bits.end;
        // Zeros follow a string for ever, unless the end was said.
        let beyond = (!bit && span.end.is_none()).then_some(end);
        Ok::<_, CommandError>(find_bit(bytes, bits, bit).or(beyond))
    })??;
    context.reply.integer(position.map_or(-1, |position| position as i64));
    Ok(())
}

fn position_span(args: Args<'_>) -> Result<Span, CommandError> {
    Ok(match args.from(3) {
        [] => Span::WHOLE,
        [start] => Span { start: parse::integer(start)?, end: None, in_bits: false },
        [start, end, unit @ ..] if unit.len() <= 1 => {
            let start = parse::integer(start)?;
            let in_bits = unit.first().map_or(Ok(false), |word| unit_is_bits(word))?;
            Span { start, end: Some(parse::integer(end)?), in_bits }
        }
        _ => return Err(CommandError::Syntax),
    })
}

/// The first of these bits that is as wanted. The range is not empty.
fn find_bit(bytes: &[u8], bits: std::ops::Range<u64>, wanted: bool) -> Option<u64> {
    let (first, last) = ((bits.start >> 3) as usize, ((bits.end - 1) >> 3) as usize);
    // Looking for ones, in the complement if zeros are wanted.
    let flip = if wanted { 0 } else { 0xff };
    let byte_of = |index: usize| {
        let head = if index == first { head_mask(bits.start) } else { 0xff };
        let tail = if index == last { tail_mask(bits.end) } else { 0xff };
        (bytes[index] ^ flip) & head & tail
    };
    let found = |index: usize| {
        let byte = byte_of(index);
        (byte != 0).then(|| index as u64 * 8 + u64::from(byte.leading_zeros()))
    };
    if let Some(position) = found(first) {
        return Some(position);
    }
    let middle = bytes.get(first + 1..last).unwrap_or_default();
    let (words, _) = middle.as_chunks::<8>();
    let dull = u64::from_ne_bytes([flip; 8]);
    let skipped = words.iter().take_while(|word| u64::from_ne_bytes(**word) == dull).count();
    (first + 1 + skipped * 8..=last).find_map(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bit(bytes: &[u8], index: u64) -> bool {
        bytes[(index >> 3) as usize] >> (7 - (index & 7)) & 1 == 1
    }

    #[test]
    fn counting_and_finding_are_as_bit_by_bit() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..4_000 {
            let length = random.usize(1..60);
            let dull = random.bool();
            let bytes: Vec<u8> = (0..length)
                .map(|_| match random.u8(..20) {
                    0 => random.u8(..),
                    _ if dull => 0,
                    _ => 0xff,
                })
                .collect();
            let end = random.u64(1..=length as u64 * 8);
            let range = random.u64(..end)..end;
            let ones = range.clone().filter(|&at| bit(&bytes, at)).count();
            assert_eq!(count_bits(&bytes, range.clone()), ones as u64, "{bytes:?} {range:?}");
            for wanted in [false, true] {
                let first = range.clone().find(|&at| bit(&bytes, at) == wanted);
                assert_eq!(find_bit(&bytes, range.clone(), wanted), first, "{bytes:?} {range:?}");
            }
        }
    }
}
