//! Redis's packed blocks: listpacks, and the ziplists and intsets of older versions. What a block says
//! of its own size, of its number of elements and of the way back is checked, not trusted.
//!
//! listpack: | bytes 4 | elements 2 | entry … | 0xFF |, an entry: | encoding | data | length back 1 to 5 |
//! ziplist:  | bytes 4 | tail 4 | elements 2 | entry … | 0xFF |, an entry: | previous 1 or 5 | encoding | data |
//! intset:   | width 4 | elements 4 | integers |

use ringlane_store::types::Item;

use super::read::Bytes;

/// The number of elements in a header that says that there are more.
const UNCOUNTED: u16 = u16::MAX;
const END: u8 = 0xFF;

/// The elements of a listpack as text.
pub fn listpack(block: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut bytes = Bytes(block);
    let said = u32::from_le_bytes(bytes.array()?);
    let count = u16::from_le_bytes(bytes.array()?);
    if usize::try_from(said).ok()? != block.len() {
        return None;
    }
    let mut elements = Vec::new();
    while bytes.0.first()? != &END {
        let before = bytes.0.len();
        elements.push(listpack_entry(&mut bytes)?);
        let length = before - bytes.0.len();
        bytes.take(back_bytes(length))?;
    }
    finished(&bytes, count, elements)
}

/// Bytes of the length that is written behind an entry of so many bytes.
fn back_bytes(length: usize) -> usize {
    match length {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

/// A listpack that is written element after element.
#[derive(Default)]
pub struct Listpack {
    entries: Vec<u8>,
    count: usize,
}

impl Listpack {
    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn item(&mut self, item: Item<'_>) {
        match item {
            Item::Integer(integer) => self.integer(integer),
            Item::Text(text) => self.text(text),
        }
    }

    /// In the shortest encoding that holds it.
    pub fn integer(&mut self, integer: i64) {
        let bytes = integer.to_le_bytes();
        match integer {
            0..=127 => self.entry(&[bytes[0]], &[]),
            // 13 bits, the higher ones first.
            -4096..=4095 => self.entry(&[0xC0 | bytes[1] & 0x1F, bytes[0]], &[]),
            -0x8000..=0x7FFF => self.entry(&[0xF1], &bytes[..2]),
            -0x80_0000..=0x7F_FFFF => self.entry(&[0xF2], &bytes[..3]),
            -0x8000_0000..=0x7FFF_FFFF => self.entry(&[0xF3], &bytes[..4]),
            _ => self.entry(&[0xF4], &bytes),
        }
    }

    fn text(&mut self, text: &[u8]) {
        // No argument is as long as 4 GiB.
        let length = (text.len() as u32).to_le_bytes();
        match text.len() {
            0..=63 => self.entry(&[0x80 | length[0]], text),
            64..=4095 => self.entry(&[0xE0 | length[1], length[0]], text),
            _ => self.entry(&[0xF0, length[0], length[1], length[2], length[3]], text),
        }
    }

    fn entry(&mut self, head: &[u8], data: &[u8]) {
        self.entries.extend_from_slice(head);
        self.entries.extend_from_slice(data);
        let length = head.len() + data.len();
        // Seven bits a byte, the highest first; all but the first are marked.
        for place in (0..back_bytes(length)).rev() {
            let mark = if place + 1 == back_bytes(length) { 0 } else { 0x80 };
            self.entries.push((length >> (7 * place)) as u8 & 0x7F | mark);
        }
        self.count += 1;
    }

    /// The elements of another behind these.
    pub fn append(&mut self, other: &Self) {
        self.entries.extend_from_slice(&other.entries);
        self.count += other.count;
    }

    /// The whole block.
    pub fn finish(self) -> Vec<u8> {
        let length = (self.entries.len() + 7) as u32;
        let count = u16::try_from(self.count).unwrap_or(UNCOUNTED);
        let mut block = Vec::with_capacity(self.entries.len() + 7);
        block.extend_from_slice(&length.to_le_bytes());
        block.extend_from_slice(&count.to_le_bytes());
        block.extend_from_slice(&self.entries);
        block.push(END);
        block
    }
}

fn listpack_entry(bytes: &mut Bytes<'_>) -> Option<Vec<u8>> {
    let first = bytes.byte()?;
    let length = match first {
        0x00..=0x7F => return Some(text(i64::from(first))),
        0x80..=0xBF => usize::from(first & 0x3F),
        0xC0..=0xDF => {
            let raw = i64::from(first & 0x1F) << 8 | i64::from(bytes.byte()?);
            return Some(text(if raw >= 1 << 12 { raw - (1 << 13) } else { raw }));
        }
        0xE0..=0xEF => usize::from(first & 0x0F) << 8 | usize::from(bytes.byte()?),
        0xF0 => usize::try_from(u32::from_le_bytes(bytes.array()?)).ok()?,
        0xF1 => return Some(text(i64::from(i16::from_le_bytes(bytes.array()?)))),
        0xF2 => return Some(text(integer24(bytes)?)),
        0xF3 => return Some(text(i64::from(i32::from_le_bytes(bytes.array()?)))),
        0xF4 => return Some(text(i64::from_le_bytes(bytes.array()?))),
        0xF5..=0xFF => return None,
    };
    bytes.take(length).map(<[u8]>::to_vec)
}

/// The elements of a ziplist as text.
pub fn ziplist(block: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut bytes = Bytes(block);
    let said = u32::from_le_bytes(bytes.array()?);
    let tail = u32::from_le_bytes(bytes.array()?);
    let count = u16::from_le_bytes(bytes.array()?);
    if usize::try_from(said).ok()? != block.len() || usize::try_from(tail).ok()? >= block.len() {
        return None;
    }
    let mut elements = Vec::new();
    while bytes.0.first()? != &END {
        if bytes.byte()? == 0xFE {
            bytes.array::<4>()?;
        }
        elements.push(ziplist_entry(&mut bytes)?);
    }
    finished(&bytes, count, elements)
}

fn ziplist_entry(bytes: &mut Bytes<'_>) -> Option<Vec<u8>> {
    let first = bytes.byte()?;
    let length = match first {
        0x00..=0x3F => usize::from(first),
        0x40..=0x7F => usize::from(first & 0x3F) << 8 | usize::from(bytes.byte()?),
        0x80 => usize::try_from(u32::from_be_bytes(bytes.array()?)).ok()?,
        0xC0 => return Some(text(i64::from(i16::from_le_bytes(bytes.array()?)))),
        0xD0 => return Some(text(i64::from(i32::from_le_bytes(bytes.array()?)))),
        0xE0 => return Some(text(i64::from_le_bytes(bytes.array()?))),
        0xF0 => return Some(text(integer24(bytes)?)),
        0xFE => return Some(text(i64::from(i8::from_le_bytes(bytes.array()?)))),
        0xF1..=0xFD => return Some(text(i64::from(first & 0x0F) - 1)),
        _ => return None,
    };
    bytes.take(length).map(<[u8]>::to_vec)
}

/// The elements, if the block ends behind them and had said so many.
fn finished(bytes: &Bytes<'_>, count: u16, elements: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    let fine = bytes.0 == [END] && (count == UNCOUNTED || usize::from(count) == elements.len());
    fine.then_some(elements)
}

/// The members of an intset as text.
pub fn intset(block: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut bytes = Bytes(block);
    let width = u32::from_le_bytes(bytes.array()?);
    let count = usize::try_from(u32::from_le_bytes(bytes.array()?)).ok()?;
    if bytes.0.len() != count.checked_mul(usize::try_from(width).ok()?)? {
        return None;
    }
    (0..count)
        .map(|_| {
            Some(text(match width {
                2 => i64::from(i16::from_le_bytes(bytes.array()?)),
                4 => i64::from(i32::from_le_bytes(bytes.array()?)),
                8 => i64::from_le_bytes(bytes.array()?),
                _ => return None,
            }))
        })
        .collect()
}

fn integer24(bytes: &mut Bytes<'_>) -> Option<i64> {
    let [a, b, c] = bytes.array()?;
    // The sign is in the highest of the three bytes.
    Some(i64::from(i32::from_le_bytes([0, a, b, c]) >> 8))
}

fn text(integer: i64) -> Vec<u8> {
    itoa::Buffer::new().format(integer).as_bytes().to_vec()
}
