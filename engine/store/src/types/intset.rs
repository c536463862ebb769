//! The packed block of a set of integers: sorted, all as wide as the widest needs. Owns the block's
//! form; when a set outgrows it is decided in `set`.
//!
//! block: | head 2 | integers of 1, 2, 4 or 8 bytes each, little-endian, ascending |

use super::block::{HEAD_BYTES, count, elements, set_head};

/// The kind in the block's head. An empty block is one of integers.
pub const KIND: u8 = 0;

/// Bytes that hold the integer: 1, 2, 4 or 8.
fn width_of(integer: i64) -> usize {
    if i8::try_from(integer).is_ok() {
        1
    } else if i16::try_from(integer).is_ok() {
        2
    } else if i32::try_from(integer).is_ok() {
        4
    } else {
        8
    }
}

/// A block, to read.
#[derive(Clone, Copy, Debug)]
pub struct Integers<'a> {
    bytes: &'a [u8],
    len: usize,
    /// 0 for an empty one.
    width: usize,
}

impl<'a> Integers<'a> {
    #[inline]
    pub fn of(block: &'a [u8]) -> Self {
        let (bytes, len) = (elements(block), count(block));
        Self { bytes, len, width: bytes.len().checked_div(len).unwrap_or(0) }
    }

    /// The integer at this place in the order.
    ///
    /// # Panics
    /// If there are not so many.
    #[inline]
    pub fn get(self, index: usize) -> i64 {
        let bytes = &self.bytes[index * self.width..][..self.width];
        let word = |bytes: &[u8]| bytes.try_into().expect("as wide as it is");
        match self.width {
            1 => i64::from(bytes[0] as i8),
            2 => i64::from(i16::from_le_bytes([bytes[0], bytes[1]])),
            4 => i64::from(i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])),
            _ => i64::from_le_bytes(word(bytes)),
        }
    }

    /// Where the integer is, or where it belongs.
    #[inline]
    pub fn find(self, integer: i64) -> Result<usize, usize> {
        let (mut from, mut to) = (0, self.len);
        while from < to {
            let middle = from.midpoint(to);
            match self.get(middle).cmp(&integer) {
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Greater => to = middle,
            }
        }
        Err(from)
    }

    pub fn len(self) -> usize {
        self.len
    }

    /// Ascending.
    pub fn iter(self) -> impl Iterator<Item = i64> {
        (0..self.len).map(move |index| self.get(index))
    }

    /// Characters of the longest as text.
    pub fn text_len_max(self) -> usize {
        let ends = [0, self.len.wrapping_sub(1)].into_iter().filter(|&end| end < self.len);
        ends.map(|end| crate::value::integer_text_len(self.get(end))).max().unwrap_or(0)
    }
}

/// How many bytes the block has when it holds this integer too.
pub fn len_after_insert(block: &[u8], integer: i64) -> usize {
    let integers = Integers::of(block);
    HEAD_BYTES + (integers.len + 1) * integers.width.max(width_of(integer))
}

/// Puts the integer at its place, which is where `find` says it belongs.
pub fn insert(block: &mut Vec<u8>, place: usize, integer: i64) {
    let old = Integers::of(block);
    let (len, width) = (old.len, old.width);
    if width < width_of(integer) {
        widen(block, width_of(integer));
    }
    let width = width.max(width_of(integer));
    set_head(block, KIND, len + 1);
    let at = HEAD_BYTES + place * width;
    block.splice(at..at, integer.to_le_bytes().into_iter().take(width));
}

#[cold]
fn widen(block: &mut Vec<u8>, width: usize) {
    let old = Integers::of(block);
    let mut wide = Vec::with_capacity(HEAD_BYTES + (old.len + 1) * width);
    set_head(&mut wide, KIND, old.len);
    for integer in old.iter() {
        wide.extend_from_slice(&integer.to_le_bytes()[..width]);
    }
    *block = wide;
}

/// Takes the integer at this place out.
pub fn remove(block: &mut Vec<u8>, place: usize) {
    let old = Integers::of(block);
    let (len, at) = (old.len, HEAD_BYTES + place * old.width);
    let range = at..at + old.width;
    block.drain(range);
    set_head(block, KIND, len - 1);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn integers_of_all_widths_stay_sorted() {
        let mut block = Vec::new();
        let mut model = BTreeSet::new();
        assert_eq!(Integers::of(&block).find(5), Err(0));
        for (integer, width) in [
            (5, 1),
            (-128, 1),
            (127, 1),
            (128, 2),
            (-32_768, 2),
            (32_767, 2),
            (-32_769, 4),
            (i64::from(i32::MIN), 4),
            (i64::from(i32::MAX) + 1, 8),
            (i64::MIN, 8),
            (i64::MAX, 8),
            (0, 8),
        ] {
            let place = Integers::of(&block).find(integer).expect_err("it is new");
            let expected = len_after_insert(&block, integer);
            insert(&mut block, place, integer);
            model.insert(integer);
            assert_eq!(block.len(), expected);
            assert_eq!(block.len(), HEAD_BYTES + model.len() * width);
            assert!(Integers::of(&block).iter().eq(model.iter().copied()));
            assert!(model.iter().all(|of| Integers::of(&block).find(*of).is_ok()));
        }
        assert_eq!(Integers::of(&block).text_len_max(), 20);
        while let Some(integer) = model.pop_first() {
            let place = Integers::of(&block).find(integer).expect("it is there");
            remove(&mut block, place);
            assert!(Integers::of(&block).iter().eq(model.iter().copied()));
        }
        assert_eq!(Integers::of(&block).text_len_max(), 0);
    }
}
