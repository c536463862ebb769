//! The packed block of a small hash: fields in the order of their arrival, with expiries once one
//! was set. Owns the block's form; when a hash outgrows it is decided in `hash`.
//!
//! ```text
//! plain block: | head 2 | field | value | field | value | ..
//! timed block: | head 2 | field | value | time | field | value | time | ..
//! ```
//! A time is an integer element: 0 for never, else `Due::to_integer`.

use ringlane_base::Due;

use super::block::{HEAD_BYTES, count, kind, replace, set_head};
use super::pack::{Item, read, skip, write};

/// The kind in the head of a timed block; a plain one, as an empty one, has 0.
const TIMED: u8 = 1;

/// A field of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockField<'a> {
    pub field: Item<'a>,
    pub value: Item<'a>,
    pub expiry: Option<Due>,
    /// Where it begins in the block, where its value does, and where the next field does.
    start: usize,
    value_at: usize,
    end: usize,
}

/// Whether the block has places for expiries.
pub fn is_timed(block: &[u8]) -> bool {
    kind(block) == TIMED
}

fn time_item(expiry: Option<Due>) -> Item<'static> {
    Item::Integer(expiry.map_or(0, Due::to_integer))
}

/// The fields of a block, in their order.
#[derive(Clone, Debug)]
pub struct BlockFields<'a> {
    block: &'a [u8],
    at: usize,
    timed: bool,
}

pub fn fields(block: &[u8]) -> BlockFields<'_> {
    BlockFields { block, at: HEAD_BYTES, timed: is_timed(block) }
}

impl<'a> BlockFields<'a> {
    /// The field that begins here with this name.
    #[inline]
    fn rest_of(&mut self, field: Item<'a>, field_len: usize) -> BlockField<'a> {
        let (start, value_at) = (self.at, self.at + field_len);
        let (value, value_len) = read(&self.block[value_at..]);
        self.at = value_at + value_len;
        let mut expiry = None;
        if self.timed {
            let (time, len) = read(&self.block[self.at..]);
            let Item::Integer(time) = time else { unreachable!("a time is an integer") };
            expiry = Due::from_integer(time);
            self.at += len;
        }
        BlockField { field, value, expiry, start, value_at, end: self.at }
    }
}

impl<'a> Iterator for BlockFields<'a> {
    type Item = BlockField<'a>;

    #[inline]
    fn next(&mut self) -> Option<BlockField<'a>> {
        if self.at >= self.block.len() {
            return None;
        }
        let (field, len) = read(&self.block[self.at..]);
        Some(self.rest_of(field, len))
    }
}

/// The field of this name.
#[inline]
pub fn find<'a>(block: &'a [u8], field: &[u8]) -> Option<BlockField<'a>> {
    let wanted = Item::of(field);
    let mut walk = fields(block);
    while walk.at < block.len() {
        let (name, len) = read(&block[walk.at..]);
        if name == wanted {
            return Some(walk.rest_of(name, len));
        }
        walk.at += len;
        walk.at += skip(&block[walk.at..]);
        if walk.timed {
            walk.at += skip(&block[walk.at..]);
        }
    }
    None
}

/// How many bytes the block has after `put`; `old` is what `find` gave for the field.
pub fn len_after_put(
    block: &[u8],
    old: Option<BlockField<'_>>,
    field: &[u8],
    value: &[u8],
    expiry: Option<Due>,
) -> usize {
    let time_len = if is_timed(block) { time_item(expiry).packed_len() } else { 0 };
    let new = Item::of(value).packed_len() + time_len;
    match old {
        Some(old) => block.len() - (old.end - old.value_at) + new,
        None => block.len().max(HEAD_BYTES) + Item::of(field).packed_len() + new,
    }
}

/// The place of a field that is there.
pub struct Place {
    start: usize,
    value_at: usize,
    end: usize,
}

impl BlockField<'_> {
    pub fn place(&self) -> Place {
        Place { start: self.start, value_at: self.value_at, end: self.end }
    }
}

/// Gives the field at its place a value and an expiry, which needs a timed block.
pub fn put_at(block: &mut Vec<u8>, place: &Place, value: &[u8], expiry: Option<Due>) {
    let timed = is_timed(block);
    debug_assert!(timed || expiry.is_none());
    replace(block, place.value_at..place.end, |out| {
        write(Item::of(value), out);
        if timed {
            write(time_item(expiry), out);
        }
    });
}

/// Appends a field that is not there yet, without expiry.
pub fn push(block: &mut Vec<u8>, field: &[u8], value: &[u8]) {
    set_head(block, kind(block), count(block) + 1);
    write(Item::of(field), block);
    write(Item::of(value), block);
    if is_timed(block) {
        write(time_item(None), block);
    }
}

/// Changes the expiry of the field at its place, in a timed block.
pub fn set_expiry(block: &mut Vec<u8>, place: &Place, expiry: Option<Due>) {
    debug_assert!(is_timed(block));
    let from = place.value_at + skip(&block[place.value_at..]);
    replace(block, from..place.end, |out| write(time_item(expiry), out));
}

pub fn remove(block: &mut Vec<u8>, place: &Place) {
    block.drain(place.start..place.end);
    let (kind, left) = (kind(block), count(block) - 1);
    set_head(block, kind, left);
}

/// The same fields in a block that has places for expiries.
pub fn with_times(block: &[u8]) -> Vec<u8> {
    let mut timed = Vec::with_capacity(block.len() + count(block));
    set_head(&mut timed, TIMED, count(block));
    for BlockField { field, value, expiry, .. } in fields(block) {
        write(field, &mut timed);
        write(value, &mut timed);
        write(time_item(expiry), &mut timed);
    }
    timed
}
