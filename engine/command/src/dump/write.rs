//! Values in Redis's form: the plain types, which every version reads and packs as it likes. Streams
//! have no plain type, and a file of their own (`stream`).

use ringlane_base::{Due, Now};
use ringlane_store::types::{CollectionType, Hash, HashView, Item, List, Set, SortedSet, Stream};
use ringlane_store::{CollectionView, TypeName, Value};

use super::{VERSION, VERSION_WITH_FIELD_EXPIRY, form, stream};
use crate::CommandError;

/// Writes type and value; returns the version of the form.
///
/// # Errors
/// A stream with an entry that is too long for the form.
pub fn value(value: Value<'_>, now: Now, out: &mut Vec<u8>) -> Result<u16, CommandError> {
    match value {
        Value::Text(bytes) => write_text(bytes, out),
        Value::Integer(integer) => {
            write_text(itoa::Buffer::new().format(integer).as_bytes(), out);
        }
        Value::Blob(blob) => write_text(blob, out),
        Value::Collection(view) => return collection(view, now, out),
    }
    Ok(VERSION)
}

fn write_text(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(form::TEXT);
    string(bytes, out);
}

fn collection(view: CollectionView<'_>, now: Now, out: &mut Vec<u8>) -> Result<u16, CommandError> {
    match view.type_name {
        TypeName::String => unreachable!("a string is no collection"),
        TypeName::List => {
            let list = List::view(view.body, now);
            out.push(form::LIST);
            length(list.len() as u64, out);
            list.iter().for_each(|element| item(element, out));
        }
        TypeName::Set => {
            let set = Set::view(view.body, now);
            out.push(form::SET);
            length(set.len() as u64, out);
            set.iter().for_each(|member| item(member, out));
        }
        TypeName::SortedSet => {
            let sorted = SortedSet::view(view.body, now);
            out.push(form::SORTED);
            length(sorted.len() as u64, out);
            for (member, score) in sorted.iter() {
                item(member, out);
                out.extend_from_slice(&score.to_le_bytes());
            }
        }
        TypeName::Hash => return Ok(hash(Hash::view(view.body, now), now, out)),
        TypeName::Stream => {
            out.push(form::STREAM_7_0);
            stream::write(Stream::view(view.body, now), out)?;
        }
    }
    Ok(VERSION)
}

fn hash(hash: HashView<'_>, now: Now, out: &mut Vec<u8>) -> u16 {
    // Those that are due are not shown, so they are counted by walking.
    let count = hash.iter().count() as u64;
    // The form knows times of the wall clock alone: a span becomes the time at which it ends.
    let wall = |at: Due| at.wall(now).0;
    let Some(first) = hash.fields().filter_map(|field| field.expiry.map(wall)).min() else {
        out.push(form::HASH);
        length(count, out);
        for (field, value) in hash.iter() {
            item(field, out);
            item(value, out);
        }
        return VERSION;
    };
    out.push(form::HASH_EXPIRY);
    out.extend_from_slice(&first.to_le_bytes());
    length(count, out);
    for field in hash.fields() {
        // Relative to the first, and one more, since 0 means none.
        length(field.expiry.map_or(0, |at| wall(at) - first + 1), out);
        item(field.field, out);
        item(field.value, out);
    }
    VERSION_WITH_FIELD_EXPIRY
}

fn item(item: Item<'_>, out: &mut Vec<u8>) {
    string(item.bytes(&mut itoa::Buffer::new()), out);
}

/// A string behind its length.
pub fn string(bytes: &[u8], out: &mut Vec<u8>) {
    length(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A length: 6, 14, 32 or 64 bits, big-endian, the two highest bits of the first byte telling which.
pub fn length(length: u64, out: &mut Vec<u8>) {
    if length < 1 << 6 {
        out.push(length as u8);
    } else if length < 1 << 14 {
        out.extend_from_slice(&(length as u16 | 1 << 14).to_be_bytes());
    } else if let Ok(length) = u32::try_from(length) {
        out.push(0x80);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(0x81);
        out.extend_from_slice(&length.to_be_bytes());
    }
}
