//! cmsgpack: `MessagePack` as the Lua library of that name writes and reads it.
//! <https://github.com/msgpack/msgpack/blob/master/spec.md>

use super::{Desk, Fault, Look, STEPS_A_LOOK};
use crate::number;
use crate::tape::{Item, Tape};

/// `cmsgpack.pack(value, ...)`.
pub fn pack(desk: &mut Desk, look: Look<'_>) -> Result<(), Fault> {
    if desk.arguments == 0 {
        return Err(desk.bad_argument(0, "MessagePack pack needs input."));
    }
    let start = desk.output.bytes.len();
    for (index, item) in desk.input.items.iter().enumerate() {
        if index % STEPS_A_LOOK == STEPS_A_LOOK - 1 && look(STEPS_A_LOOK) {
            return Err(Fault::Stopped);
        }
        write(&desk.input, *item, &mut desk.output.bytes);
    }
    let text = desk.output.text_since(start);
    desk.output.push(Item::Text(text));
    desk.results = 1;
    Ok(())
}

/// Writes one item; what belongs to an aggregate follows it on the tape, and so in the output.
fn write(tape: &Tape, item: Item, out: &mut Vec<u8>) {
    match item {
        Item::Bool(value) => out.push(if value { 0xc3 } else { 0xc2 }),
        Item::Integer(value) => write_integer(value, out),
        Item::Number(value) => match number::exact_integer(value) {
            Some(integer) => write_integer(integer, out),
            // Zero keeps no sign.
            None if value == 0.0 => out.push(0),
            None => write_float(value, out),
        },
        Item::Array(length) => write_length(length, (0x90, 16), &[(0xdc, 2), (0xdd, 4)], out),
        Item::Map(pairs) => write_length(pairs, (0x80, 16), &[(0xde, 2), (0xdf, 4)], out),
        item => match tape.text_of(item) {
            Some(text) => {
                let longer = [(0xd9, 1), (0xda, 2), (0xdb, 4)];
                write_length(text.len(), (0xa0, 32), &longer, out);
                out.extend_from_slice(text);
            }
            None => out.push(0xc0),
        },
    }
}

fn write_integer(value: i64, out: &mut Vec<u8>) {
    match value {
        -32..=127 => out.push(value as u8),
        128..=0xff => out.extend_from_slice(&[0xcc, value as u8]),
        0x100..=0xffff => put(0xcd, &(value as u16).to_be_bytes(), out),
        0x1_0000..=0xffff_ffff => put(0xce, &(value as u32).to_be_bytes(), out),
        0x1_0000_0000.. => put(0xcf, &value.to_be_bytes(), out),
        -128..-32 => out.extend_from_slice(&[0xd0, value as u8]),
        -0x8000..-128 => put(0xd1, &(value as i16).to_be_bytes(), out),
        -0x8000_0000..-0x8000 => put(0xd2, &(value as i32).to_be_bytes(), out),
        ..-0x8000_0000 => put(0xd3, &value.to_be_bytes(), out),
    }
}

fn put(mark: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(mark);
    out.extend_from_slice(bytes);
}

/// In four bytes where they hold the number exactly.
fn write_float(value: f64, out: &mut Vec<u8>) {
    let short = value as f32;
    if f64::from(short).to_bits() == value.to_bits() && !value.is_nan() {
        put(0xca, &short.to_be_bytes(), out);
    } else {
        put(0xcb, &value.to_be_bytes(), out);
    }
}

/// A length: within the mark if it is below `fits.1`, else in as few bytes as the marks allow.
fn write_length(length: usize, fits: (u8, usize), longer: &[(u8, usize)], out: &mut Vec<u8>) {
    if length < fits.1 {
        return out.push(fits.0 | length as u8);
    }
    let bytes = (length as u32).to_be_bytes();
    let enough = longer.iter().find(|(_, width)| length < 1 << (8 * width));
    let (mark, width) = enough.copied().unwrap_or((longer[longer.len() - 1].0, 4));
    put(mark, &bytes[4 - width..], out);
}

/// How deep values may be nested that are unpacked.
const DEPTH_MAX: usize = 1000;

/// `cmsgpack.unpack(text)`.
pub fn unpack(desk: &mut Desk, look: Look<'_>) -> Result<(), Fault> {
    unpack_some(desk, look, 0, 0)
}

/// `cmsgpack.unpack_one(text[, offset])`.
pub fn unpack_one(desk: &mut Desk, look: Look<'_>) -> Result<(), Fault> {
    let offset = optional_integer(desk, 2)?;
    unpack_some(desk, look, 1, offset)
}

/// `cmsgpack.unpack_limit(text, limit[, offset])`.
pub fn unpack_limit(desk: &mut Desk, look: Look<'_>) -> Result<(), Fault> {
    let limit = desk.number_argument(2)? as i64;
    let offset = optional_integer(desk, 3)?;
    unpack_some(desk, look, limit, offset)
}

fn optional_integer(desk: &mut Desk, argument: usize) -> Result<i64, Fault> {
    Ok(desk.optional_number(argument)?.map_or(0, |value| value as i64))
}

/// Unpacks `limit` values from `offset` on, all for 0 and 0. But for that case, the first result is
/// the offset of what was not unpacked, -1 if nothing is left.
fn unpack_some(desk: &mut Desk, look: Look<'_>, limit: i64, offset: i64) -> Result<(), Fault> {
    let text = desk.input.text_of(desk.input.items[0]).unwrap_or_default();
    let length = text.len();
    if offset < 0 || limit < 0 {
        let text =
            format!("Invalid request to unpack with offset of {offset} and limit of {length}.");
        return Err(desk.failed(text));
    }
    if offset > length as i64 {
        let text = format!("Start offset {offset} greater than input length {length}.");
        return Err(desk.failed(text));
    }
    let all = limit == 0 && offset == 0;
    let limit = if all { usize::MAX } else { limit as usize };
    let told = usize::from(!all);
    if !all {
        desk.output.push(Item::Nil);
    }
    let rest = &text[offset as usize..];
    let mut reader = Reader { rest, tape: &mut desk.output, look, steps: 0 };
    let mut count = 0;
    let mut outcome = Ok(());
    while count < limit && !reader.rest.is_empty() {
        outcome = reader.value(0);
        if outcome.is_err() {
            break;
        }
        count += 1;
    }
    let left = reader.rest.len();
    if let Err(what) = outcome {
        return Err(if what == OVERDUE { Fault::Stopped } else { desk.failed(what) });
    }
    if !all {
        let next = if left == 0 { -1 } else { (length - left) as i64 };
        desk.output.items[0] = Item::Integer(next);
    }
    desk.results = count + told;
    Ok(())
}

const MISSING: &str = "Missing bytes in input.";
const BAD: &str = "Bad data format in input.";
const OVERDUE: &str = "The script is overdue.";

struct Reader<'a> {
    rest: &'a [u8],
    tape: &'a mut Tape,
    look: Look<'a>,
    /// Values that were read.
    steps: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<(), &'static str> {
        self.steps += 1;
        if self.steps.is_multiple_of(STEPS_A_LOOK) && (self.look)(STEPS_A_LOOK) {
            return Err(OVERDUE);
        }
        let mark = self.take::<1>()?[0];
        let item = match mark {
            0x00..=0x7f => Item::Integer(i64::from(mark)),
            0xe0..=0xff => Item::Integer(i64::from(mark as i8)),
            0x80..=0x8f => return self.map(usize::from(mark & 0x0f), depth),
            0x90..=0x9f => return self.array(usize::from(mark & 0x0f), depth),
            0xa0..=0xbf => return self.text(usize::from(mark & 0x1f)),
            0xc0 => Item::Nil,
            0xc2 => Item::Bool(false),
            0xc3 => Item::Bool(true),
            0xca => Item::Number(f64::from(f32::from_be_bytes(self.take()?))),
            0xcb => Item::Number(f64::from_be_bytes(self.take()?)),
            0xcc => Item::Integer(i64::from(self.take::<1>()?[0])),
            0xcd => Item::Integer(i64::from(u16::from_be_bytes(self.take()?))),
            0xce => Item::Integer(i64::from(u32::from_be_bytes(self.take()?))),
            0xd0 => Item::Integer(i64::from(self.take::<1>()?[0] as i8)),
            0xd1 => Item::Integer(i64::from(i16::from_be_bytes(self.take()?))),
            0xd2 => Item::Integer(i64::from(i32::from_be_bytes(self.take()?))),
            // Unsigned numbers from 2^63 on come out negative, as from the library.
            0xcf | 0xd3 => Item::Integer(i64::from_be_bytes(self.take()?)),
            0xc4 | 0xd9 => {
                let length = self.take::<1>()?[0];
                return self.text(usize::from(length));
            }
            0xc5 | 0xda => {
                let length = u16::from_be_bytes(self.take()?);
                return self.text(usize::from(length));
            }
            0xc6 | 0xdb => {
                let length = u32::from_be_bytes(self.take()?);
                return self.text(length as usize);
            }
            0xdc => {
                let length = u16::from_be_bytes(self.take()?);
                return self.array(usize::from(length), depth);
            }
            0xdd => {
                let length = u32::from_be_bytes(self.take()?);
                return self.array(length as usize, depth);
            }
            0xde => {
                let pairs = u16::from_be_bytes(self.take()?);
                return self.map(usize::from(pairs), depth);
            }
            0xdf => {
                let pairs = u32::from_be_bytes(self.take()?);
                return self.map(pairs as usize, depth);
            }
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => return Err(BAD),
        };
        self.tape.push(item);
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(MISSING)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn text(&mut self, length: usize) -> Result<(), &'static str> {
        let (text, rest) = self.rest.split_at_checked(length).ok_or(MISSING)?;
        self.rest = rest;
        self.tape.push_text(text);
        Ok(())
    }

    /// Each element takes a byte at least: a length that cannot be true is refused before anything
    /// is made.
    fn check(&self, elements: usize, depth: usize) -> Result<(), &'static str> {
        if elements > self.rest.len() {
            return Err(MISSING);
        }
        if depth >= DEPTH_MAX { Err(BAD) } else { Ok(()) }
    }

    fn array(&mut self, length: usize, depth: usize) -> Result<(), &'static str> {
        self.check(length, depth)?;
        self.tape.push(Item::Array(length));
        (0..length).try_for_each(|_| self.value(depth + 1))
    }

    fn map(&mut self, pairs: usize, depth: usize) -> Result<(), &'static str> {
        self.check(pairs.saturating_mul(2), depth)?;
        self.tape.push(Item::Map(pairs));
        (0..2 * pairs).try_for_each(|_| self.value(depth + 1))
    }
}
