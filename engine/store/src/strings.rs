//! Changing what a string is: APPEND and SETRANGE, whose cost is that of the part that changes, on
//! average, and counting.

use bytes::Bytes;

use crate::entry::{self, Form, charge_of};
use crate::store::{Found, Room, Store, handle_at};
use crate::{BLOB_BYTES_MIN, Expiry, Key, OutOfMemory, Value, integer_text_len};

/// Text of an integer: 19 digits and a sign.
const INTEGER_TEXT_MAX: usize = 20;

/// Up to this length a value that grows gets as much spare room as it is long; beyond it an eighth.
const SPARE_WHOLE_BYTES_MAX: usize = 1 << 20;

/// Spare room for a value of this length that grows at its end.
fn spare(len: usize) -> usize {
    if len < BLOB_BYTES_MIN {
        0
    } else if len <= SPARE_WHOLE_BYTES_MAX {
        len
    } else {
        len / 8
    }
}

/// Bytes to write at an offset.
#[derive(Clone, Copy)]
struct Patch<'a> {
    offset: usize,
    bytes: &'a [u8],
}

impl Patch<'_> {
    fn end(self) -> usize {
        self.offset + self.bytes.len()
    }

    /// Writes it into a text that reaches at least to its offset.
    fn write(self, text: &mut Vec<u8>) {
        let over = (text.len() - self.offset).min(self.bytes.len());
        text[self.offset..self.offset + over].copy_from_slice(&self.bytes[..over]);
        text.extend_from_slice(&self.bytes[over..]);
    }

    /// A new allocation that holds `old` with this written to it. A gap is memory that comes zeroed
    /// and is not touched: a write far beyond the end costs neither its time nor its pages. What
    /// grows without a gap may grow again, and gets spare room.
    fn onto(self, old: &[u8]) -> Vec<u8> {
        if old.len() < self.offset {
            let mut text = vec![0; self.end()];
            text[..old.len()].copy_from_slice(old);
            text[self.offset..].copy_from_slice(self.bytes);
            return text;
        }
        let len = self.end().max(old.len());
        let mut text = Vec::with_capacity(len + spare(len));
        text.extend_from_slice(old);
        self.write(&mut text);
        text
    }
}

/// How many bytes are copied or filled with zeros when so many are written at an offset of this value,
/// what is written included: what `Store::set_range` and `append` do for it, in proportion to time.
pub fn bytes_to_patch(value: Option<Value<'_>>, offset: usize, bytes: usize) -> usize {
    let Some(Value::Blob(blob)) = value else { return bytes };
    let gap = offset.saturating_sub(blob.len());
    bytes + if moves(blob, gap) { blob.len() } else { gap }
}

/// Whether a patch with such a gap before it copies the value into a new allocation. A gap in new
/// memory costs nothing, but what was there must be copied.
fn moves(blob: &Bytes, gap: usize) -> bool {
    gap > blob.len() || !blob.is_unique()
}

impl Store {
    /// Adds the bytes at the end of the value, or creates it; returns the new length. A long value
    /// keeps spare room, so that many small appends cost what they add.
    ///
    /// # Errors
    /// `OutOfMemory`: the value is unchanged.
    pub fn append(&mut self, key: &Key<'_>, bytes: &[u8]) -> Result<usize, OutOfMemory> {
        let offset = self.text_len(key);
        self.patch(key, Patch { offset, bytes })
    }

    /// Overwrites the value from `offset` on, zeros filling a gap; returns the new length. With no
    /// bytes to write nothing changes.
    ///
    /// # Errors
    /// `OutOfMemory`: the value is unchanged.
    pub fn set_range(
        &mut self,
        key: &Key<'_>,
        offset: usize,
        bytes: &[u8],
    ) -> Result<usize, OutOfMemory> {
        if bytes.is_empty() {
            return Ok(self.text_len(key));
        }
        self.patch(key, Patch { offset, bytes })
    }

    /// Sets the integer that `count` makes of the value that is there, or of none; the expiry stays.
    /// Finds the key once.
    ///
    /// # Errors
    /// `OutOfMemory`, and what `count` refuses, within: the value is unchanged.
    #[inline]
    pub fn set_counted<E>(
        &mut self,
        key: &Key<'_>,
        count: impl FnOnce(Option<Value<'_>>) -> Result<i64, E>,
    ) -> Result<Result<i64, E>, OutOfMemory> {
        let found = self.find_live(key);
        let integer = match count(found.map(|found| self.entry(found).value())) {
            Ok(integer) => integer,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if self.write_over(key, found, Form::Integer(integer), Expiry::Keep, Room::Asked)? {
            self.say_set(key);
        }
        Ok(Ok(integer))
    }

    /// The length of the string; a collection has been refused by the caller.
    fn text_len(&mut self, key: &Key<'_>) -> usize {
        self.peek(key).and_then(|value| value.text_len()).unwrap_or(0)
    }

    fn patch(&mut self, key: &Key<'_>, patch: Patch<'_>) -> Result<usize, OutOfMemory> {
        if let Some(found) = self.find_live(key)
            && let Value::Blob(blob) = self.entry(found).value()
        {
            let len = blob.len();
            return self.patch_outside(key, found, len, patch);
        }
        let mut digits = itoa::Buffer::new();
        let old: &[u8] = match self.peek(key) {
            None => b"",
            Some(Value::Text(old)) => old,
            Some(Value::Integer(integer)) => {
                debug_assert!(integer_text_len(integer) <= INTEGER_TEXT_MAX);
                digits.format(integer).as_bytes()
            }
            Some(Value::Blob(_)) => unreachable!("handled above"),
            Some(Value::Collection(_)) => unreachable!("the caller refuses collections"),
        };
        let text = patch.onto(old);
        let len = text.len();
        let form = if len < BLOB_BYTES_MIN {
            // As Redis does: what was patched is text, even if it looks like an integer.
            Form::Text(&text)
        } else {
            let charged = charge_of(text.capacity());
            Form::Outside(Bytes::from(text), charged)
        };
        self.put(key, form, Expiry::Keep)?;
        Ok(len)
    }

    /// Patches a value outside in its own allocation, if nobody shares it.
    fn patch_outside(
        &mut self,
        key: &Key<'_>,
        found: Found,
        len: usize,
        patch: Patch<'_>,
    ) -> Result<usize, OutOfMemory> {
        let growth = patch.end().saturating_sub(len);
        let mut found = found;
        if growth > 0 {
            // What the growth may take at most, while the old allocation is still there.
            self.make_room(0, growth, 0)?;
            // Making room may have evicted this very key.
            match self.find(key) {
                Some(again) => found = again,
                None => return self.patch(key, patch),
            }
        }
        let clock = self.entry(found).header().clock();
        let weight = self.weight(found);
        let handle = handle_at(&mut self.slots, found);
        let (bytes, old_charge) = entry::take_outside(&self.slab, handle).expect("it is outside");
        let mut charged = old_charge;
        let gap = patch.offset.saturating_sub(bytes.len());
        let text = if moves(&bytes, gap) {
            let text = patch.onto(&bytes);
            charged = charge_of(text.capacity());
            text
        } else {
            let mut text = Vec::from(bytes);
            let capacity = text.capacity();
            if capacity < patch.end() {
                // By the allocator's own means, which may spare the copy.
                text.reserve_exact(patch.end() - text.len() + spare(patch.end()));
            }
            text.resize(text.len() + gap, 0);
            patch.write(&mut text);
            if text.capacity() != capacity {
                charged = charge_of(text.capacity());
            }
            text
        };
        let len = text.len();
        let handle = handle_at(&mut self.slots, found);
        entry::put_outside(&self.slab, handle, Bytes::from(text), charged);
        self.outside_bytes += charged;
        self.outside_bytes -= old_charge;
        self.eviction.went(clock, weight);
        let weight = self.weight(found);
        self.eviction.came(clock, weight);
        self.say_set(key);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use ringlane_base::Database;

    use super::*;
    use crate::NewValue;
    use crate::tests::small_store as store;

    #[test]
    fn a_write_far_beyond_the_end_takes_what_it_needs_and_no_more() {
        const FAR: usize = 512 << 20;
        for before in [None, Some(vec![b'x'; 100]), Some(vec![b'x'; 100_000])] {
            let mut store = store();
            let key = store.key(Database::default(), b"far");
            let old = before.unwrap_or_default();
            if !old.is_empty() {
                store.set(&key, NewValue::Text(&old), Expiry::Never).expect("there is no limit");
            }
            let len = store.set_range(&key, FAR - 3, b"end").expect("there is no limit");
            assert_eq!(len, FAR);
            let charged = store.memory().blobs;
            assert!(charged < FAR + (1 << 20), "{charged} bytes for {FAR}");
            let Some(Value::Blob(blob)) = store.get(&key) else { panic!("a long value") };
            assert_eq!(
                (blob.len(), &blob[..old.len()], &blob[FAR - 3..]),
                (FAR, &old[..], &b"end"[..])
            );
            assert!(blob[old.len()..old.len() + 4096].iter().all(|&byte| byte == 0));
            store.remove(&key, crate::Removal::Deleted);
            assert_eq!(store.memory().blobs, 0);
        }
    }

    #[test]
    fn a_write_a_little_beyond_the_end_leaves_zeros_between() {
        let mut store = store();
        let key = store.key(Database::default(), b"gap");
        let old = vec![b'x'; 100_000];
        store.set(&key, NewValue::Text(&old), Expiry::Never).expect("there is no limit");
        store.set_range(&key, 100_050, b"end").expect("there is no limit");
        let Some(Value::Blob(blob)) = store.get(&key) else { panic!("a long value") };
        assert_eq!((&blob[..100_000], &blob[100_050..]), (&old[..], &b"end"[..]));
        assert!(blob[100_000..100_050].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn spare_room_is_little_of_a_long_value() {
        let mut store = store();
        let key = store.key(Database::default(), b"grows");
        let long = vec![b'x'; 8 << 20];
        store.set(&key, NewValue::Text(&long), Expiry::Never).expect("there is no limit");
        store.append(&key, b"y").expect("there is no limit");
        let first = store.memory().blobs;
        assert!(first <= (8 << 20) * 5 / 4, "{first} bytes");
        for _ in 0..1000 {
            store.append(&key, b"y").expect("there is no limit");
        }
        assert_eq!(store.memory().blobs, first, "small appends use the spare room");
    }
}
