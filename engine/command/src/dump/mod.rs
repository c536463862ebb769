//! DUMP and RESTORE: values in the form in which Redis and Valkey write them, so that keys move
//! between servers. `write` makes it, `read` understands every form that Redis has written since its
//! version 2.8; both check nothing but bytes.
//!
//! payload: | type 1 | value … | version of the form 2 | CRC-64 8 |, little-endian.

mod form;
mod packed;
mod read;
mod stream;
mod write;

use crc::{CRC_64_REDIS, Crc};
use ringlane_base::{Due, Millis, Now};
use ringlane_store::types::{Hash, List, Set, SortedSet, Stream};
use ringlane_store::{
    CollectionType, CollectionView, Expiry, Key, NewValue, NoticeClasses, Removal, TypeName, Value,
};

use self::read::Restored;
use crate::hash::growth;
use crate::parse::{self, is};
use crate::{CommandError, Context};

const CRC: Crc<u64> = Crc::<u64>::new(&CRC_64_REDIS);

/// The form of Redis 7.0, which every later server understands, and Valkey too.
const VERSION: u16 = 10;
/// The form of Redis 7.4, which knows expiries of fields.
const VERSION_WITH_FIELD_EXPIRY: u16 = 12;
/// The latest form of Redis that is understood, that of 8.8.
const VERSION_MAX: u16 = 14;
/// The form of Valkey 9.
const VERSION_VALKEY: u16 = 80;
/// Bytes of a payload that take as long to restore as one element of a collection to answer.
const BYTES_AN_ELEMENT: usize = 8;
/// A checksum of a byte takes as long as copying so many.
const VISITS_A_BYTE: usize = 4;
/// Version and checksum.
const FOOTER_BYTES: usize = 10;

/// `DUMP key`
pub fn dump(context: &mut Context<'_>) -> Result<(), CommandError> {
    let key = context.key(1);
    let now = context.store.now();
    let Some(value) = context.store.peek(&key).filter(|value| !is_spent(*value, now)) else {
        context.reply.null();
        return Ok(());
    };
    let (elements, bytes) = match value {
        Value::Collection(CollectionView { large: Some(large), .. }) => {
            (large.len(), large.bytes())
        }
        Value::Collection(_) | Value::Text(_) | Value::Integer(_) => (1, 0),
        Value::Blob(blob) => (1, blob.len() * VISITS_A_BYTE),
    };
    context.limits.claim_of(elements, (elements, bytes))?;
    let mut payload = Vec::new();
    let version = write::value(value, now, &mut payload)?;
    context.reply.bulk(&with_footer(&payload, version));
    Ok(())
}

/// Whether every field of a hash is due: it is about to go, and an empty hash cannot be restored.
fn is_spent(value: Value<'_>, now: Now) -> bool {
    matches!(value, Value::Collection(view) if view.type_name == TypeName::Hash
        && Hash::view(view.body, now).iter().next().is_none())
}

/// The payload of a type and value in the form of this version.
pub fn with_footer(body: &[u8], version: u16) -> Vec<u8> {
    let mut payload = Vec::with_capacity(body.len() + FOOTER_BYTES);
    payload.extend_from_slice(body);
    payload.extend_from_slice(&version.to_le_bytes());
    let checksum = CRC.checksum(&payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
    payload
}

/// The payload without its footer, and the version of its form.
fn checked(payload: &[u8]) -> Result<(&[u8], u16), CommandError> {
    const WRONG: CommandError =
        CommandError::Fixed("ERR DUMP payload version or checksum are wrong");
    if payload.len() < FOOTER_BYTES {
        return Err(WRONG);
    }
    let (body, footer) = payload.split_at(payload.len() - FOOTER_BYTES);
    let version = u16::from_le_bytes([footer[0], footer[1]]);
    let said = u64::from_le_bytes(*footer.last_chunk().expect("ten bytes"));
    let whole = &payload[..payload.len() - 8];
    // Redis writes a zero where checksums are turned off.
    let fine = said == 0 || said == CRC.checksum(whole);
    if !fine || !is_known(version) {
        return Err(WRONG);
    }
    Ok((body, version))
}

/// Whether this version of the form is understood.
pub fn is_known(version: u16) -> bool {
    version <= VERSION_MAX || version == VERSION_VALKEY
}

/// What stands behind `RESTORE key ttl payload`.
struct Options {
    replace: bool,
    absolute: bool,
}

impl Options {
    fn parse(options: &[&[u8]]) -> Result<Self, CommandError> {
        let mut parsed = Self { replace: false, absolute: false };
        // A value had either of them under one eviction policy or the other, never both.
        let (mut idle, mut used) = (false, false);
        let mut rest = options.iter();
        while let Some(option) = rest.next() {
            if is(option, "replace") {
                parsed.replace = true;
            } else if is(option, "absttl") {
                parsed.absolute = true;
            } else if is(option, "idletime") && !used {
                idle = true;
                // Taken and checked: the eviction bits of a new key say that it was just used.
                let seconds = parse::integer(rest.next().ok_or(CommandError::Syntax)?)?;
                if seconds < 0 {
                    let text = "ERR Invalid IDLETIME value, must be >= 0";
                    return Err(CommandError::Fixed(text));
                }
            } else if is(option, "freq") && !idle {
                used = true;
                let frequency = parse::integer(rest.next().ok_or(CommandError::Syntax)?)?;
                if !(0..=255).contains(&frequency) {
                    let text = "ERR Invalid FREQ value, must be >= 0 and <= 255";
                    return Err(CommandError::Fixed(text));
                }
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(parsed)
    }
}

/// `RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]`
pub fn restore(context: &mut Context<'_>) -> Result<(), CommandError> {
    let options = Options::parse(context.args.from(4))?;
    let key = context.new_key(1)?;
    if !options.replace && context.store.peek(&key).is_some() {
        return Err(CommandError::Fixed("BUSYKEY Target key name already exists."));
    }
    let ttl = parse::integer(&context.args[2])?;
    let ttl = u64::try_from(ttl)
        .map_err(|_| CommandError::Fixed("ERR Invalid TTL value, must be >= 0"))?;
    let now = context.store.now();
    let expiry = match ttl {
        0 => None,
        ttl if options.absolute => Some(Due::at(Millis(ttl))),
        ttl => Some(Due::after(ttl, now)),
    };
    // Elements are taken to be short: one that goes aside for nothing has lost little.
    let payload = &context.args[3];
    match payload.first() {
        Some(&form::TEXT) | None => context.limits.claim_bytes(payload.len() * VISITS_A_BYTE)?,
        Some(_) => context.limits.claim(payload.len() / BYTES_AN_ELEMENT)?,
    }
    let (body, version) = checked(&context.args[3])?;
    let restored = read::value(body, version).ok_or(CommandError::Fixed("ERR Bad data format"))?;
    let restored = restored.without_due_fields(now);
    let replaced = options.replace && context.store.remove(&key, Removal::Deleted);
    let Some(restored) = restored.filter(|_| expiry.is_none_or(|at| !at.is_due(now))) else {
        if replaced {
            context.notify(NoticeClasses::GENERIC, "del", &key);
        }
        context.reply.simple("OK");
        return Ok(());
    };
    put(context, &key, &restored, body.len())?;
    if expiry.is_some() {
        context.store.set_expiry(&key, expiry);
    }
    context.notify(NoticeClasses::GENERIC, "restore", &key);
    context.reply.simple("OK");
    Ok(())
}

/// Makes the value at a key that is not there.
fn put(
    context: &mut Context<'_>,
    key: &Key<'_>,
    restored: &Restored,
    bytes: usize,
) -> Result<(), CommandError> {
    let room = bytes + growth(&[b""]);
    let store = &mut *context.store;
    match restored {
        Restored::Text(text) => store.set(key, NewValue::Text(text), Expiry::Never)?,
        Restored::List(elements) => store.edit::<List, _>(key, room, |list| {
            for element in elements {
                list.push(ringlane_store::types::End::Back, element);
            }
        })?,
        Restored::Set(members) => store.edit::<Set, _>(key, room, |set| {
            for member in members {
                set.insert(member);
            }
        })?,
        Restored::Sorted(members) => store.edit::<SortedSet, _>(key, room, |sorted| {
            for (member, score) in members {
                sorted.put(member, *score);
            }
        })?,
        Restored::Hash(fields) => store.edit::<Hash, _>(key, room, |hash| {
            for (field, value, expiry) in fields {
                hash.set(field, value);
                if expiry.is_some() {
                    hash.expire(field, *expiry);
                }
            }
        })?,
        Restored::Stream(restored) => {
            let room = room.max(restored.bytes);
            store.edit::<Stream, _>(key, room, |stream| restored.put(stream))?;
        }
    }
    Ok(())
}
