//! Libraries of functions as the server knows them, and the form in which they travel. What a lane
//! compiled of them is the lane's (`host.rs`).

use std::sync::Arc;

use ringlane_command::CommandError;
use ringlane_command::dump::is_known;

use crate::vm::Registered;

/// A function of a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionEntry {
    pub name: Vec<u8>,
    pub description: Option<Vec<u8>>,
    pub flags: Vec<Vec<u8>>,
}

/// A library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    pub name: Vec<u8>,
    /// With its first line.
    pub text: Vec<u8>,
    pub functions: Vec<FunctionEntry>,
}

impl From<&Registered> for FunctionEntry {
    fn from(registered: &Registered) -> Self {
        Self {
            name: registered.name.clone(),
            description: registered.description.clone(),
            flags: registered.flags.clone(),
        }
    }
}

// The form of FUNCTION DUMP is that of Redis's snapshots: for each library a mark and a string; then
// the version of the form and a checksum.
// <https://rdb.fnordig.de/file_format.html>, <https://redis.io/docs/latest/commands/function-dump/>

/// Before each library.
const MARK: u8 = 245;
/// The version that is written: Redis 7.0's.
const VERSION: u16 = 10;
const FOOTER_BYTES: usize = 10;

/// All libraries in one string.
pub fn dump(libraries: &[Arc<Library>]) -> Vec<u8> {
    let mut payload = Vec::new();
    for library in libraries {
        payload.push(MARK);
        let length = library.text.len();
        if length < 1 << 6 {
            payload.push(length as u8);
        } else if length < 1 << 14 {
            payload.extend_from_slice(&(length as u16 | 1 << 14).to_be_bytes());
        } else {
            payload.push(0x80);
            payload.extend_from_slice(&(length as u32).to_be_bytes());
        }
        payload.extend_from_slice(&library.text);
    }
    payload.extend_from_slice(&VERSION.to_le_bytes());
    let checksum = crc64(&payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
    payload
}

const DAMAGED: CommandError = CommandError::Fixed("ERR failed loading functions");

/// The texts of the libraries in such a string.
pub fn restore(payload: &[u8]) -> Result<Vec<Vec<u8>>, CommandError> {
    const WRONG: CommandError =
        CommandError::Fixed("ERR DUMP payload version or checksum are wrong");
    let body_bytes = payload.len().checked_sub(FOOTER_BYTES).ok_or(WRONG)?;
    let (body, footer) = payload.split_at(body_bytes);
    let version = u16::from_le_bytes([footer[0], footer[1]]);
    let (checked, checksum) = payload.split_at(payload.len() - size_of::<u64>());
    if !is_known(version) || crc64(checked).to_le_bytes() != *checksum {
        return Err(WRONG);
    }
    let mut rest = body;
    let mut texts = Vec::new();
    while let Some((mark, after)) = rest.split_first() {
        if *mark != MARK {
            return Err(CommandError::Fixed("ERR given type is not a function"));
        }
        rest = after;
        texts.push(read_string(&mut rest).ok_or(DAMAGED)?);
    }
    Ok(texts)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

/// A length, or a way of packing a string.
enum Length {
    Plain(usize),
    Packed(u8),
}

fn read_length(rest: &mut &[u8]) -> Option<Length> {
    let first = take(rest, 1)?[0];
    Some(match first >> 6 {
        0 => Length::Plain(usize::from(first)),
        1 => Length::Plain(usize::from(first & 0x3f) << 8 | usize::from(take(rest, 1)?[0])),
        2 if first == 0x80 => {
            let bytes = take(rest, 4)?.try_into().ok()?;
            Length::Plain(u32::from_be_bytes(bytes) as usize)
        }
        2 if first == 0x81 => {
            let bytes = take(rest, 8)?.try_into().ok()?;
            Length::Plain(usize::try_from(u64::from_be_bytes(bytes)).ok()?)
        }
        3 => Length::Packed(first & 0x3f),
        _ => return None,
    })
}

fn plain_length(rest: &mut &[u8]) -> Option<usize> {
    match read_length(rest)? {
        Length::Plain(length) => Some(length),
        Length::Packed(_) => None,
    }
}

fn read_string(rest: &mut &[u8]) -> Option<Vec<u8>> {
    /// LZF; the others are integers, which no library is.
    const COMPRESSED: u8 = 3;
    match read_length(rest)? {
        Length::Plain(length) => take(rest, length).map(<[u8]>::to_vec),
        Length::Packed(COMPRESSED) => {
            let packed = plain_length(rest)?;
            let length = plain_length(rest)?;
            decompress(take(rest, packed)?, length)
        }
        Length::Packed(_) => None,
    }
}

/// How much longer than its packed form a text can be: a reference takes three bytes and gives 264.
const EXPANSION_MAX: usize = 88;

/// LZF: stretches of bytes, and references back to what came before.
/// <http://oldhome.schmorp.de/marc/liblzf.html>
fn decompress(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    if length > packed.len().saturating_mul(EXPANSION_MAX) {
        return None;
    }
    let mut text = Vec::with_capacity(length);
    let mut rest = packed;
    while !rest.is_empty() {
        let control = usize::from(take(&mut rest, 1)?[0]);
        if control < 32 {
            text.extend_from_slice(take(&mut rest, control + 1)?);
        } else {
            let mut count = control >> 5;
            if count == 7 {
                count += usize::from(take(&mut rest, 1)?[0]);
            }
            let low = usize::from(take(&mut rest, 1)?[0]);
            let back = ((control & 0x1f) << 8 | low) + 1;
            let start = text.len().checked_sub(back)?;
            for at in start..start + count + 2 {
                text.push(text[at]);
            }
        }
        if text.len() > length {
            return None;
        }
    }
    (text.len() == length).then_some(text)
}

/// The checksum of Redis's dumps: CRC-64 by Jones, reflected.
fn crc64(bytes: &[u8]) -> u64 {
    /// 0xad93d23594c935a9 with its bits in reverse.
    const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u64::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(text: &str) -> Arc<Library> {
        Arc::new(Library { name: b"x".to_vec(), text: text.into(), functions: Vec::new() })
    }

    #[test]
    fn an_empty_dump_is_that_of_redis() {
        assert_eq!(dump(&[]), b"\n\0]\x9b\\@\x0f\x7f\xa2\xda");
    }

    #[test]
    fn what_is_dumped_is_restored_and_damage_is_refused() {
        let long = "y".repeat(70_000);
        for text in ["", "short", &"z".repeat(63), &"z".repeat(64), &long] {
            let payload = dump(&[library(text), library("other")]);
            let restored = restore(&payload).expect("sound");
            assert_eq!(restored, [text.as_bytes(), b"other"]);
            for at in (0..payload.len()).step_by(payload.len() / 50 + 1) {
                let mut damaged = payload.clone();
                damaged[at] ^= 0x40;
                assert!(restore(&damaged).is_err(), "byte {at}");
            }
        }
        assert!(restore(b"").is_err());
    }

    #[test]
    fn packed_texts_are_unpacked_within_bounds() {
        // "ab", then back by 2 for 10 bytes.
        assert_eq!(decompress(b"\x01ab\xe0\x01\x01", 12).as_deref(), Some(&b"abababababab"[..]));
        for (packed, length) in [
            (&b"\x01ab\xe0\x01\x05"[..], 12),
            (b"\x05ab", 6),
            (b"\x01ab", 3),
            (b"\xe0", 9),
            (b"", 1),
        ] {
            assert_eq!(decompress(packed, length), None, "{packed:?}");
        }
    }
}
