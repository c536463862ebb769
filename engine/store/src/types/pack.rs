//! The elements of packed blocks: how one element is written, read, walked over. Owns the encoding
//! alone; what stands around the elements (counts, order, trailing lengths) is each type's own.
//!
//! element: | head 1 | rest |, by the head:
//!   0x00..=0x7f  text of that many bytes; the rest is the text
//!   0x80..=0xbf  the integers 0..=63; no rest
//!   0xc0..=0xdf  the integers 64..=8255: 5 bits here, 8 in the rest
//!   0xe0..=0xe7  an integer in 1..=8 bytes, little-endian, signed
//!   0xe8, 0xe9   text with its length in 2 or 4 bytes before it, little-endian
//!   0xea         a double, 8 bytes (scores only; never an `Item`)
//!
//! back length, behind the elements of blocks that are walked backward: the element's bytes in
//! groups of 7 bits, the lowest last; a byte with its top bit set has another one to its left.

use ringlane_base::number::parse_integer;

/// The longest text that can be an element: far above what the protocol lets in (512 MiB).
pub const ELEMENT_BYTES_MAX: usize = u32::MAX as usize - 64;

/// The longest text whose head is one byte.
const SHORT_TEXT_MAX: usize = 0x7f;
const TINY: u8 = 0x80;
/// Integers below this are their own head.
const TINY_END: i64 = 64;
const SMALL: u8 = 0xc0;
/// Integers from `TINY_END` to below this take two bytes.
const SMALL_END: i64 = TINY_END + (1 << 13);
const WIDE: u8 = 0xe0;
const TEXT_2: u8 = 0xe8;
const TEXT_4: u8 = 0xe9;
const DOUBLE: u8 = 0xea;
const DOUBLE_LEN: usize = 9;

/// Doubles beyond this are not written as integers: above it they no longer are all integers.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// An element as every view hands it out: the bytes, or the integer that they spell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    Text(&'a [u8]),
    Integer(i64),
}

impl<'a> Item<'a> {
    /// `Integer` when the bytes are the canonical spelling of a 64-bit integer. Two items made here
    /// are equal exactly when their bytes are.
    #[inline]
    pub fn of(bytes: &'a [u8]) -> Self {
        // No integer is longer than i64::MIN; most elements are told by their first byte.
        match bytes.first() {
            Some(b'0'..=b'9' | b'-') if bytes.len() <= 20 => {
                parse_integer(bytes).map_or(Item::Text(bytes), Item::Integer)
            }
            Some(_) | None => Item::Text(bytes),
        }
    }

    /// The element's bytes; an integer is spelled into `buffer`.
    #[inline]
    pub fn bytes<'b>(&self, buffer: &'b mut itoa::Buffer) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Item::Text(text) => text,
            Item::Integer(integer) => buffer.format(*integer).as_bytes(),
        }
    }

    /// Length in bytes as text.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Item::Text(text) => text.len(),
            Item::Integer(integer) => crate::value::integer_text_len(*integer),
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub fn eq_bytes(&self, bytes: &[u8]) -> bool {
        match self {
            Item::Text(text) => *text == bytes,
            Item::Integer(_) => *self == Item::of(bytes),
        }
    }

    /// How the element's bytes compare with these, as Redis compares members: byte by byte.
    #[inline]
    pub fn cmp_bytes(&self, bytes: &[u8]) -> std::cmp::Ordering {
        self.bytes(&mut itoa::Buffer::new()).cmp(bytes)
    }

    pub fn to_vec(&self) -> Vec<u8> {
        self.bytes(&mut itoa::Buffer::new()).to_vec()
    }

    /// How many bytes the element takes in a block, without a back length.
    #[inline]
    pub fn packed_len(&self) -> usize {
        match *self {
            Item::Text(text) => match text.len() {
                length @ 0..=SHORT_TEXT_MAX => 1 + length,
                length @ 0x80..=0xffff => 3 + length,
                length => 5 + length,
            },
            Item::Integer(0..TINY_END) => 1,
            Item::Integer(TINY_END..SMALL_END) => 2,
            Item::Integer(integer) => 1 + width_of(integer),
        }
    }
}

/// Bytes that hold the integer as a signed one: 1..=8.
#[inline]
fn width_of(integer: i64) -> usize {
    let magnitude_bits = 64 - (integer ^ (integer >> 63)).leading_zeros() as usize;
    magnitude_bits / 8 + 1
}

/// Appends one element.
pub fn write(item: Item<'_>, out: &mut Vec<u8>) {
    let at = out.len();
    out.resize(at + item.packed_len(), 0);
    put(item, &mut out[at..]);
}

/// Writes one element into exactly its `packed_len` bytes.
///
/// # Panics
/// If the place is of another length, or the element longer than `ELEMENT_BYTES_MAX`.
pub fn put(item: Item<'_>, place: &mut [u8]) {
    match item {
        Item::Text(text) => {
            let (head, rest) = place.split_at_mut(item.packed_len() - text.len());
            match head {
                [short] => *short = text.len() as u8,
                [kind, length @ ..] => {
                    assert!(text.len() <= ELEMENT_BYTES_MAX, "handlers refuse such elements");
                    *kind = if length.len() == 2 { TEXT_2 } else { TEXT_4 };
                    length.copy_from_slice(&text.len().to_le_bytes()[..length.len()]);
                }
                [] => unreachable!("every text has a head"),
            }
            rest.copy_from_slice(text);
        }
        Item::Integer(integer @ 0..TINY_END) => place.copy_from_slice(&[TINY | integer as u8]),
        Item::Integer(integer @ TINY_END..SMALL_END) => {
            let above = (integer - TINY_END) as u16;
            place.copy_from_slice(&[SMALL | (above >> 8) as u8, above as u8]);
        }
        Item::Integer(integer) => {
            let width = width_of(integer);
            place[0] = WIDE + width as u8 - 1;
            place[1..].copy_from_slice(&integer.to_le_bytes()[..width]);
        }
    }
}

/// The element that the block begins with, and how many bytes it takes.
///
/// # Panics
/// If the block does not begin with an element; blocks are only ever written here.
#[inline]
pub fn read(block: &[u8]) -> (Item<'_>, usize) {
    let head = block[0];
    match head {
        0..TINY => {
            let end = 1 + usize::from(head);
            (Item::Text(&block[1..end]), end)
        }
        TINY..SMALL => (Item::Integer(i64::from(head & 0x3f)), 1),
        SMALL..WIDE => {
            let above = i64::from(head & 0x1f) << 8 | i64::from(block[1]);
            (Item::Integer(TINY_END + above), 2)
        }
        WIDE..TEXT_2 => {
            let width = usize::from(head - WIDE) + 1;
            (Item::Integer(signed(&block[1..=width])), 1 + width)
        }
        TEXT_2 | TEXT_4 => {
            let from = if head == TEXT_2 { 3 } else { 5 };
            let end = from + unsigned(&block[1..from]);
            (Item::Text(&block[from..end]), end)
        }
        DOUBLE.. => unreachable!("a double is read as a score"),
    }
}

/// How many bytes the block's first element or score takes.
///
/// # Panics
/// As `read`.
#[inline]
pub fn skip(block: &[u8]) -> usize {
    let head = block[0];
    match head {
        0..TINY => 1 + usize::from(head),
        TINY..SMALL => 1,
        SMALL..WIDE => 2,
        WIDE..TEXT_2 => usize::from(head - WIDE) + 2,
        TEXT_2 => 3 + unsigned(&block[1..3]),
        TEXT_4 => 5 + unsigned(&block[1..5]),
        DOUBLE.. => DOUBLE_LEN,
    }
}

fn signed(bytes: &[u8]) -> i64 {
    let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let mut word = if negative { [0xff; 8] } else { [0; 8] };
    word[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(word)
}

fn unsigned(bytes: &[u8]) -> usize {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word) as usize
}

/// The integer that the score is, if it is one and takes fewer bytes than a double.
// The comparison means equality: what is written must come back to the bit.
#[allow(clippy::float_cmp)]
fn score_item(score: f64) -> Option<Item<'static>> {
    if score.abs() > EXACT_MAX {
        return None;
    }
    let integer = score as i64;
    (integer as f64 == score).then_some(Item::Integer(integer))
}

/// Writes a score into exactly its `score_len` bytes: a small integer takes few, anything else 9.
/// Minus zero becomes zero, which it equals.
///
/// # Panics
/// If the place is of another length.
pub fn put_score(score: f64, place: &mut [u8]) {
    if let Some(item) = score_item(score) {
        return put(item, place);
    }
    place[0] = DOUBLE;
    place[1..].copy_from_slice(&score.to_le_bytes());
}

/// How many bytes a score takes.
pub fn score_len(score: f64) -> usize {
    score_item(score).map_or(DOUBLE_LEN, |item| item.packed_len())
}

/// The score that the block begins with, and how many bytes it takes.
///
/// # Panics
/// If the block does not begin with a score.
#[inline]
pub fn read_score(block: &[u8]) -> (f64, usize) {
    if block[0] == DOUBLE {
        let mut word = [0; 8];
        word.copy_from_slice(&block[1..9]);
        return (f64::from_le_bytes(word), 9);
    }
    match read(block) {
        (Item::Integer(integer), length) => (integer as f64, length),
        (Item::Text(_), _) => unreachable!("a score is an integer or a double"),
    }
}

/// How many bytes the back length of an element of so many bytes takes.
#[inline]
pub fn back_len(element_bytes: usize) -> usize {
    match element_bytes {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        0x20_0000..0x1000_0000 => 4,
        _ => 5,
    }
}

/// Writes the back length of an element of so many bytes into exactly its `back_len` bytes.
pub fn put_back(element_bytes: usize, place: &mut [u8]) {
    // The leftmost byte has the highest group, and nothing to its left.
    for (group, byte) in place.iter_mut().rev().enumerate() {
        *byte = (element_bytes >> (7 * group)) as u8 | 0x80;
    }
    place[0] &= 0x7f;
}

/// The back length that the block ends with: the bytes of the element before it, and its own.
///
/// # Panics
/// If the block is empty.
#[inline]
pub fn read_back(block: &[u8]) -> (usize, usize) {
    let mut element_bytes = 0;
    for (group, &byte) in block.iter().rev().enumerate() {
        element_bytes |= usize::from(byte & 0x7f) << (7 * group);
        if byte & 0x80 == 0 {
            return (element_bytes, group + 1);
        }
    }
    unreachable!("a block that is walked backward ends with a back length")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write_score(score: f64, out: &mut Vec<u8>) {
        let at = out.len();
        out.resize(at + score_len(score), 0);
        put_score(score, &mut out[at..]);
    }

    fn round(item: Item<'_>) -> usize {
        let mut block = Vec::new();
        write(item, &mut block);
        let length = block.len();
        assert_eq!(length, item.packed_len());
        block.resize(length + back_len(length), 0);
        put_back(length, &mut block[length..]);
        assert_eq!(read_back(&block), (length, back_len(length)));
        block.extend_from_slice(b"what follows");
        assert_eq!(read(&block), (item, length));
        assert_eq!(skip(&block), length);
        length
    }

    #[test]
    fn elements_take_as_few_bytes_as_promised() {
        for (text, bytes) in [
            ("", 1),
            ("0", 1),
            ("63", 1),
            ("64", 2),
            ("8255", 2),
            ("8256", 3),
            ("-1", 2),
            ("-128", 2),
            ("-129", 3),
            ("2147483647", 5),
            ("9223372036854775807", 9),
            ("-9223372036854775808", 9),
            ("9223372036854775808", 20),
            ("007", 4),
            ("-0", 3),
            ("element0001", 12),
        ] {
            assert_eq!(round(Item::of(text.as_bytes())), bytes, "{text}");
            assert_eq!(Item::of(text.as_bytes()).to_vec(), text.as_bytes());
            assert_eq!(Item::of(text.as_bytes()).len(), text.len());
        }
    }

    #[test]
    fn texts_of_every_length_class_come_back() {
        for length in [0, 1, 63, 64, 127, 128, 129, 16_380, 16_384, 65_535, 65_536, 3_000_000] {
            let text = vec![b'x'; length];
            let overhead = round(Item::of(&text)) - length;
            assert_eq!(
                overhead,
                if length < 128 {
                    1
                } else if length < 65_536 {
                    3
                } else {
                    5
                }
            );
        }
    }

    #[test]
    fn scores_come_back_to_the_bit_but_for_minus_zero() {
        for (score, bytes) in [
            (0.0, 1),
            (-0.0, 1),
            (1029.0, 2),
            (-5.0, 2),
            (0.1, 9),
            (f64::INFINITY, 9),
            (f64::NEG_INFINITY, 9),
            (f64::MAX, 9),
            (f64::MIN_POSITIVE, 9),
            (1e15, 8),
            (1e300, 9),
        ] {
            let mut block = Vec::new();
            write_score(score, &mut block);
            assert_eq!(block.len(), bytes, "{score}");
            assert_eq!(score_len(score), bytes, "{score}");
            assert_eq!(skip(&block), bytes);
            let (back, length) = read_score(&block);
            assert_eq!((back.to_bits(), length), ((score + 0.0).to_bits(), bytes));
        }
    }

    proptest! {
        #[test]
        fn any_element_comes_back(bytes: Vec<u8>, integer: i64, shift in 0u32..64, score: f64) {
            round(Item::of(&bytes));
            round(Item::Integer(integer >> shift));
            let text = (integer >> shift).to_string();
            prop_assert_eq!(Item::of(text.as_bytes()), Item::Integer(integer >> shift));
            prop_assert!(Item::Integer(integer >> shift).eq_bytes(text.as_bytes()));
            prop_assert_eq!(Item::of(&bytes).cmp_bytes(text.as_bytes()), bytes[..].cmp(text.as_bytes()));
            if !score.is_nan() {
                let mut block = Vec::new();
                write_score(score, &mut block);
                prop_assert_eq!(read_score(&block), (score, block.len()));
            }
        }
    }
}
