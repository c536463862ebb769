//! Values out of Redis's form. Every length is checked against the bytes that are there; a payload
//! that is not well-formed to its last byte is refused as a whole.

use std::borrow::Cow;

use ringlane_base::{Due, Millis, Now};

use super::stream::{self, RestoredStream};
use super::{VERSION_VALKEY, form, packed};

/// A value that was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Restored {
    Text(Vec<u8>),
    List(Vec<Vec<u8>>),
    Set(Vec<Vec<u8>>),
    Sorted(Vec<(Vec<u8>, f64)>),
    Hash(Vec<Field>),
    Stream(Box<RestoredStream>),
}

impl Restored {
    /// What is left at this instant, if anything is: fields that are due are gone.
    pub fn without_due_fields(mut self, now: Now) -> Option<Self> {
        if let Self::Hash(fields) = &mut self {
            fields.retain(|(.., expiry)| expiry.is_none_or(|at| !at.is_due(now)));
            if fields.is_empty() {
                return None;
            }
        }
        Some(self)
    }
}

/// Field, value, and when the field is due.
pub type Field = (Vec<u8>, Vec<u8>, Option<Due>);

/// A string may unfold to this many bytes at most.
pub const TEXT_BYTES_MAX: usize = 512 << 20;

/// Bytes that are read from their beginning. Every method gives None where they end too early.
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// A length, or the number of a special encoding.
    fn length_or_encoding(&mut self) -> Option<Result<u64, u8>> {
        let first = self.byte()?;
        Some(match first >> 6 {
            0 => Ok(u64::from(first & 63)),
            1 => Ok(u64::from(first & 63) << 8 | u64::from(self.byte()?)),
            2 if first == 0x80 => Ok(u64::from(u32::from_be_bytes(self.array()?))),
            2 if first == 0x81 => Ok(u64::from_be_bytes(self.array()?)),
            2 => return None,
            _ => Err(first & 63),
        })
    }

    pub fn length(&mut self) -> Option<u64> {
        self.length_or_encoding()?.ok()
    }

    /// How many elements follow, each of at least so many bytes: never more than there can be.
    pub fn count(&mut self, bytes_min: usize) -> Option<usize> {
        let count = usize::try_from(self.length()?).ok()?;
        (count.checked_mul(bytes_min)? <= self.0.len()).then_some(count)
    }

    pub fn string(&mut self) -> Option<Cow<'a, [u8]>> {
        let integer = |integer: i64| Cow::Owned(integer.to_string().into_bytes());
        match self.length_or_encoding()? {
            Ok(length) => self.take(usize::try_from(length).ok()?).map(Cow::Borrowed),
            Err(0) => Some(integer(i64::from(i8::from_le_bytes(self.array()?)))),
            Err(1) => Some(integer(i64::from(i16::from_le_bytes(self.array()?)))),
            Err(2) => Some(integer(i64::from(i32::from_le_bytes(self.array()?)))),
            Err(3) => {
                let packed = usize::try_from(self.length()?).ok()?;
                let length = usize::try_from(self.length()?).ok()?;
                let packed = self.take(packed)?;
                // LZF unfolds a byte to less than 264.
                if length > TEXT_BYTES_MAX || length > packed.len().saturating_mul(264) {
                    return None;
                }
                let text = lzf::decompress(packed, length).ok()?;
                (text.len() == length).then_some(Cow::Owned(text))
            }
            Err(_) => None,
        }
    }

    fn owned(&mut self) -> Option<Vec<u8>> {
        self.string().map(Cow::into_owned)
    }
}

/// The value of a payload's body; None: it is not well-formed, or of a type that is not known.
pub fn value(body: &[u8], version: u16) -> Option<Restored> {
    let mut bytes = Bytes(body);
    let kind = bytes.byte()?;
    let restored = typed(kind, version, &mut bytes)?;
    // Redis knows no empty collections but streams, and nothing may follow.
    let empty = match &restored {
        Restored::Text(_) | Restored::Stream(_) => false,
        Restored::List(elements) | Restored::Set(elements) => elements.is_empty(),
        Restored::Sorted(members) => members.is_empty(),
        Restored::Hash(fields) => fields.is_empty(),
    };
    (bytes.0.is_empty() && !empty).then_some(restored)
}

fn typed(kind: u8, version: u16, bytes: &mut Bytes<'_>) -> Option<Restored> {
    Some(match kind {
        form::TEXT => Restored::Text(bytes.owned()?),
        form::LIST => Restored::List(strings(bytes)?),
        form::SET => distinct_set(strings(bytes)?)?,
        form::SORTED_TEXT_SCORES => sorted(bytes, old_score)?,
        form::SORTED => sorted(bytes, |bytes| Some(f64::from_le_bytes(bytes.array()?)))?,
        form::HASH => hash(bytes, |_| Some(None))?,
        form::LIST_ZIPLIST => Restored::List(packed::ziplist(&bytes.string()?)?),
        form::SET_INTSET => distinct_set(packed::intset(&bytes.string()?)?)?,
        form::SORTED_ZIPLIST => sorted_of(packed::ziplist(&bytes.string()?)?)?,
        form::HASH_ZIPLIST => hash_of(packed::ziplist(&bytes.string()?)?)?,
        form::LIST_ZIPLISTS => quicklist(bytes, |bytes| packed::ziplist(&bytes.string()?))?,
        form::HASH_LISTPACK => hash_of(packed::listpack(&bytes.string()?)?)?,
        form::SORTED_LISTPACK => sorted_of(packed::listpack(&bytes.string()?)?)?,
        form::LIST_LISTPACKS => quicklist(bytes, |bytes| match bytes.length()? {
            1 => Some(vec![bytes.owned()?]),
            2 => packed::listpack(&bytes.string()?),
            _ => None,
        })?,
        kind if form::STREAMS.contains(&kind) => {
            Restored::Stream(Box::new(stream::read(kind, bytes)?))
        }
        form::SET_LISTPACK => distinct_set(packed::listpack(&bytes.string()?)?)?,
        // Valkey 9's own form, by a number that Redis had used before its 7.4 was out.
        form::HASH_EXPIRY_EARLY if version == VERSION_VALKEY => valkey_hash(bytes)?,
        form::HASH_EXPIRY_EARLY => {
            hash(bytes, |bytes| bytes.length().map(|at| (at > 0).then_some(Due::at(Millis(at)))))?
        }
        form::HASH_LISTPACK_EXPIRY_EARLY => hash_with_times(packed::listpack(&bytes.string()?)?)?,
        form::HASH_EXPIRY => {
            let first = u64::from_le_bytes(bytes.array()?);
            hash(bytes, |bytes| match bytes.length()? {
                0 => Some(None),
                after => Some(Some(Due::at(Millis(first.checked_add(after - 1)?)))),
            })?
        }
        form::HASH_LISTPACK_EXPIRY => {
            bytes.array::<8>()?;
            hash_with_times(packed::listpack(&bytes.string()?)?)?
        }
        _ => return None,
    })
}

fn strings(bytes: &mut Bytes<'_>) -> Option<Vec<Vec<u8>>> {
    let count = bytes.count(1)?;
    (0..count).map(|_| bytes.owned()).collect()
}

fn quicklist(
    bytes: &mut Bytes<'_>,
    node: fn(&mut Bytes<'_>) -> Option<Vec<Vec<u8>>>,
) -> Option<Restored> {
    let nodes = bytes.count(1)?;
    let mut elements = Vec::new();
    for _ in 0..nodes {
        elements.append(&mut node(bytes)?);
    }
    Some(Restored::List(elements))
}

/// Members, if none is there twice.
fn distinct_set(members: Vec<Vec<u8>>) -> Option<Restored> {
    is_distinct(members.iter()).then_some(Restored::Set(members))
}

fn is_distinct<'a>(items: impl ExactSizeIterator<Item = &'a Vec<u8>>) -> bool {
    let count = items.len();
    items.collect::<std::collections::HashSet<_>>().len() == count
}

fn distinct_sorted(members: Vec<(Vec<u8>, f64)>) -> Option<Restored> {
    let fine = members.iter().all(|(_, score)| !score.is_nan())
        && is_distinct(members.iter().map(|(member, _)| member));
    fine.then_some(Restored::Sorted(members))
}

fn distinct_hash(fields: Vec<Field>) -> Option<Restored> {
    is_distinct(fields.iter().map(|(field, ..)| field)).then_some(Restored::Hash(fields))
}

fn sorted(bytes: &mut Bytes<'_>, score: fn(&mut Bytes<'_>) -> Option<f64>) -> Option<Restored> {
    let count = bytes.count(2)?;
    let member = |_| Some((bytes.owned()?, score(bytes)?));
    distinct_sorted((0..count).map(member).collect::<Option<_>>()?)
}

/// A score as text, in the form before Redis 3.2.
fn old_score(bytes: &mut Bytes<'_>) -> Option<f64> {
    match bytes.byte()? {
        253 => None,
        254 => Some(f64::INFINITY),
        255 => Some(f64::NEG_INFINITY),
        length => std::str::from_utf8(bytes.take(usize::from(length))?).ok()?.parse().ok(),
    }
}

/// Members and scores in turn, as text.
fn sorted_of(items: Vec<Vec<u8>>) -> Option<Restored> {
    if !items.len().is_multiple_of(2) {
        return None;
    }
    let mut members = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let (Some(member), Some(score)) = (items.next(), items.next()) {
        members.push((member, std::str::from_utf8(&score).ok()?.parse().ok()?));
    }
    distinct_sorted(members)
}

fn hash(
    bytes: &mut Bytes<'_>,
    expiry: impl Fn(&mut Bytes<'_>) -> Option<Option<Due>>,
) -> Option<Restored> {
    let count = bytes.count(2)?;
    let mut fields = Vec::with_capacity(count.min(bytes.0.len() / 2));
    for _ in 0..count {
        let at = expiry(bytes)?;
        fields.push((bytes.owned()?, bytes.owned()?, at));
    }
    distinct_hash(fields)
}

/// Field, value and a signed time in 8 bytes, negative for none.
fn valkey_hash(bytes: &mut Bytes<'_>) -> Option<Restored> {
    let count = bytes.count(10)?;
    let mut fields = Vec::with_capacity(count);
    for _ in 0..count {
        let (field, value) = (bytes.owned()?, bytes.owned()?);
        let at = i64::from_le_bytes(bytes.array()?);
        fields.push((field, value, u64::try_from(at).ok().map(|at| Due::at(Millis(at)))));
    }
    distinct_hash(fields)
}

/// Fields and values in turn.
fn hash_of(items: Vec<Vec<u8>>) -> Option<Restored> {
    if !items.len().is_multiple_of(2) {
        return None;
    }
    let mut fields = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let (Some(field), Some(value)) = (items.next(), items.next()) {
        fields.push((field, value, None));
    }
    distinct_hash(fields)
}

/// Fields, values and times in turn, 0 for none.
fn hash_with_times(items: Vec<Vec<u8>>) -> Option<Restored> {
    if !items.len().is_multiple_of(3) {
        return None;
    }
    let mut fields = Vec::with_capacity(items.len() / 3);
    let mut items = items.into_iter();
    while let (Some(field), Some(value), Some(at)) = (items.next(), items.next(), items.next()) {
        let at: u64 = std::str::from_utf8(&at).ok()?.parse().ok()?;
        fields.push((field, value, (at > 0).then_some(Due::at(Millis(at)))));
    }
    distinct_hash(fields)
}
