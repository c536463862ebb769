//! Changing a part of a string: APPEND and SETRANGE, whose cost is that of the part, on average.

use bytes::BytesMut;

use crate::entry::{self, Form, charge_of};
use crate::store::{Found, Store, handle_at};
use crate::{BLOB_BYTES_MIN, Expiry, Key, OutOfMemory, Value, integer_text_len};

/// Text of an integer: 19 digits and a sign.
const INTEGER_TEXT_MAX: usize = 20;

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

    /// Writes it into the text, with zeros in a gap before it.
    fn write(self, text: &mut BytesMut) {
        if text.len() < self.offset {
            text.resize(self.offset, 0);
        }
        let over = (text.len() - self.offset).min(self.bytes.len());
        text[self.offset..self.offset + over].copy_from_slice(&self.bytes[..over]);
        text.extend_from_slice(&self.bytes[over..]);
    }
}

impl Store {
    /// Adds the bytes at the end of the value, or creates it; returns the new length. A long value
    /// keeps spare room, so that many small appends cost what they add.
    ///
    /// # Errors
    /// `OutOfMemory`: the value is unchanged.
    pub fn append(&mut self, key: &Key<'_>, bytes: &[u8]) -> Result<usize, OutOfMemory> {
        let offset = self.peek(key).map_or(0, |value| value.len());
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
            return Ok(self.peek(key).map_or(0, |value| value.len()));
        }
        self.patch(key, Patch { offset, bytes })
    }

    fn patch(&mut self, key: &Key<'_>, patch: Patch<'_>) -> Result<usize, OutOfMemory> {
        if let Some(found) = self.find_live(key)
            && let Value::Blob(blob) = self.entry(found).value()
        {
            let len = blob.len();
            return self.patch_outside(key, found, len, patch);
        }
        let mut text = BytesMut::new();
        match self.peek(key) {
            None => {}
            Some(value) => {
                text.reserve(value.len().max(patch.end()));
                match value {
                    Value::Text(old) => text.extend_from_slice(old),
                    Value::Integer(integer) => {
                        debug_assert!(integer_text_len(integer) <= INTEGER_TEXT_MAX);
                        text.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
                    }
                    Value::Blob(_) => unreachable!("handled above"),
                }
            }
        }
        patch.write(&mut text);
        let len = text.len();
        let form = if len < BLOB_BYTES_MIN {
            // As Redis does: what was patched is text, even if it looks like an integer.
            Form::Text(&text)
        } else {
            text.reserve(len);
            let charged = charge_of(text.capacity());
            Form::Outside(std::mem::take(&mut text).freeze(), charged)
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
        let (bytes, charged) = entry::take_outside(&self.slab, handle).expect("it is outside");
        let (mut text, old_capacity) = match bytes.try_into_mut() {
            Ok(text) => {
                let capacity = text.capacity();
                (text, capacity)
            }
            Err(shared) => {
                let mut text = BytesMut::with_capacity(patch.end().max(shared.len()));
                text.extend_from_slice(&shared);
                (text, 0)
            }
        };
        if text.capacity() < patch.end() {
            text.reserve(patch.end() * 2 - text.len());
        }
        patch.write(&mut text);
        let len = text.len();
        let new_charge =
            if text.capacity() == old_capacity { charged } else { charge_of(text.capacity()) };
        let handle = handle_at(&mut self.slots, found);
        entry::put_outside(&self.slab, handle, text.freeze(), new_charge);
        self.outside_bytes += new_charge;
        self.outside_bytes -= charged;
        self.eviction.went(clock, weight);
        let weight = self.weight(found);
        self.eviction.came(clock, weight);
        self.say_set(key);
        Ok(len)
    }
}
