//! Redis's packed blocks: listpacks, and the ziplists and intsets of older versions. What a block says
//! of its own size, of its number of elements and of the way back is checked, not trusted.
//!
//! listpack: | bytes 4 | elements 2 | entry … | 0xFF |, an entry: | encoding | data | length back 1 to 5 |
//! ziplist:  | bytes 4 | tail 4 | elements 2 | entry … | 0xFF |, an entry: | previous 1 or 5 | encoding | data |
//! intset:   | width 4 | elements 4 | integers |

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
