//! The structure of a large hash: a table of records, and for the fields that have an expiry an
//! ordered index of when they are due. Fields without expiry pay nothing for those with one.
//!
//! ```text
//! record: | field length << 2 | timed | integer |, in groups of 7 bits, the lowest first
//!         | expiry 8, if timed | field | value: its bytes, or an integer in 1 to 8 |
//! ```

use ringlane_base::{Due, Now, Soonest};

use super::SettleCursor;
use super::due::DueIndex;
use super::pack::Item;
use super::table::{Iter, Segmented, hash_bytes};
use super::thin::Thin;
use crate::settle::Settling;

const INTEGER: usize = 1;
const TIMED: usize = 2;
const EXPIRY_BYTES: usize = 8;

/// Bytes of the longest head: 32 bits of length, two flags.
const HEAD_BYTES_MAX: usize = 5;

/// Draws of `random` that may fall on fields that are due before it looks for one that is not.
const RANDOM_DRAWS_MAX: u32 = 64;

/// One field, its value, its expiry.
#[derive(Clone, Debug)]
pub struct Record(Thin);

/// A record, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordParts<'a> {
    pub field: &'a [u8],
    pub value: Item<'a>,
    pub expiry: Option<Due>,
}

/// The bytes that stand before a record's field.
struct Front {
    bytes: [u8; HEAD_BYTES_MAX + EXPIRY_BYTES],
    len: usize,
}

impl Front {
    fn of(parts: RecordParts<'_>) -> Self {
        let mut front = Self { bytes: [0; HEAD_BYTES_MAX + EXPIRY_BYTES], len: 0 };
        let integer = if matches!(parts.value, Item::Integer(_)) { INTEGER } else { 0 };
        let timed = if parts.expiry.is_some() { TIMED } else { 0 };
        let mut head = parts.field.len() << 2 | timed | integer;
        while head >= 0x80 {
            front.push(&[head as u8 | 0x80]);
            head >>= 7;
        }
        front.push(&[head as u8]);
        if let Some(at) = parts.expiry {
            front.push(&at.to_word().to_le_bytes());
        }
        front
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The fewest low bytes that give the integer when its sign is extended.
fn integer_bytes(integer: i64) -> usize {
    (64 - (integer ^ (integer >> 63)).leading_zeros() as usize) / 8 + 1
}

impl Record {
    fn new(parts: RecordParts<'_>) -> Self {
        let mut record = Self(Thin::new(&[]));
        record.assign(parts);
        record
    }

    fn assign(&mut self, parts: RecordParts<'_>) {
        let front = Front::of(parts);
        match parts.value {
            Item::Text(text) => self.0.assign(&[front.as_slice(), parts.field, text]),
            Item::Integer(integer) => {
                let bytes = integer.to_le_bytes();
                let value = &bytes[..integer_bytes(integer)];
                self.0.assign(&[front.as_slice(), parts.field, value]);
            }
        }
    }

    /// The field's length and the flags, and how many bytes they take.
    #[inline]
    fn head(bytes: &[u8]) -> (usize, usize) {
        let mut head = usize::from(bytes[0]);
        let mut len = 1;
        if head >= 0x80 {
            head &= 0x7f;
            loop {
                let byte = usize::from(bytes[len]);
                head |= (byte & 0x7f) << (7 * len);
                len += 1;
                if byte < 0x80 {
                    break;
                }
            }
        }
        (head, len)
    }

    #[inline]
    pub fn field(&self) -> &[u8] {
        let bytes = self.0.as_slice();
        let (head, len) = Self::head(bytes);
        let from = len + if head & TIMED == 0 { 0 } else { EXPIRY_BYTES };
        &bytes[from..from + (head >> 2)]
    }

    #[inline]
    pub fn parts(&self) -> RecordParts<'_> {
        let bytes = self.0.as_slice();
        let (head, len) = Self::head(bytes);
        let mut rest = &bytes[len..];
        let mut expiry = None;
        if head & TIMED != 0 {
            let (time, behind) = rest.split_at(EXPIRY_BYTES);
            let word = u64::from_le_bytes(time.try_into().expect("8 bytes"));
            expiry = Some(Due::from_word(word));
            rest = behind;
        }
        let (field, value) = rest.split_at(head >> 2);
        let value = if head & INTEGER == 0 {
            Item::Text(value)
        } else {
            let negative = value.last().is_some_and(|last| last & 0x80 != 0);
            let mut word = if negative { [0xff; 8] } else { [0; 8] };
            word[..value.len()].copy_from_slice(value);
            Item::Integer(i64::from_le_bytes(word))
        };
        RecordParts { field, value, expiry }
    }

    /// Changes the expiry alone.
    fn set_expiry(&mut self, expiry: Option<Due>) {
        let (head, len) = Self::head(self.0.as_slice());
        if let Some(at) = expiry
            && head & TIMED != 0
        {
            self.0.as_mut_slice()[len..len + EXPIRY_BYTES]
                .copy_from_slice(&at.to_word().to_le_bytes());
            return;
        }
        let copy = self.clone();
        self.assign(RecordParts { expiry, ..copy.parts() });
    }

    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

#[inline]
fn hash_of(record: &Record) -> u64 {
    hash_bytes(record.field())
}

/// What `put` does to the field's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnPut {
    Clear,
    Keep,
}

/// What a field was before a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    pub expiry: Option<Due>,
}

/// A large hash.
#[derive(Clone, Debug, Default)]
pub struct HashTable {
    table: Segmented<Record>,
    /// Bytes of the records outside of the table.
    records_bytes: usize,
    due: DueIndex,
}

impl HashTable {
    /// An empty one with room for so many fields.
    pub fn with_capacity(fields: usize) -> Self {
        Self { table: Segmented::with_capacity(fields), ..Self::default() }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Heap bytes by usable size.
    pub fn bytes(&self) -> usize {
        self.table.bytes() + self.records_bytes + self.due.bytes()
    }

    #[inline]
    pub fn get(&self, field: &[u8]) -> Option<RecordParts<'_>> {
        let record = self.table.find(hash_bytes(field), |record| record.field() == field)?;
        Some(record.parts())
    }

    /// Where the record of this hash is, as a rule.
    #[inline]
    pub fn hint(&self, hash: u64) -> Option<&Thin> {
        self.table.hint(hash).map(|record| &record.0)
    }

    /// Sets a field. Gives what it was before, None if it was not there.
    pub fn put(&mut self, field: &[u8], value: &[u8], on_put: OnPut) -> Option<Before> {
        let hash = hash_bytes(field);
        let parts = RecordParts { field, value: Item::of(value), expiry: None };
        let (record, new) = self.table.find_or_insert(
            hash,
            |record| record.field() == field,
            || Record::new(parts),
            hash_of,
        );
        if new {
            self.records_bytes += record.heap_bytes();
            return None;
        }
        let before = record.parts().expiry;
        let expiry = match on_put {
            OnPut::Clear => None,
            OnPut::Keep => before,
        };
        self.records_bytes -= record.heap_bytes();
        record.assign(RecordParts { expiry, ..parts });
        self.records_bytes += record.heap_bytes();
        if let (Some(at), None) = (before, expiry) {
            self.due.remove(at, hash);
        }
        Some(Before { expiry: before })
    }

    /// Changes the expiry of a field; false if it is not there.
    pub fn expire(&mut self, field: &[u8], expiry: Option<Due>) -> bool {
        let hash = hash_bytes(field);
        let Some(record) = self.table.find_mut(hash, |record| record.field() == field) else {
            return false;
        };
        let before = record.parts().expiry;
        if before != expiry {
            self.records_bytes -= record.heap_bytes();
            record.set_expiry(expiry);
            self.records_bytes += record.heap_bytes();
            if let Some(at) = before {
                self.due.remove(at, hash);
            }
            if let Some(at) = expiry {
                self.due.insert(at, hash);
            }
        }
        true
    }

    /// Gives what the field was before, None if it was not there.
    pub fn remove(&mut self, field: &[u8]) -> Option<Before> {
        let hash = hash_bytes(field);
        let record = self.table.remove(hash, |record| record.field() == field, hash_of)?;
        let expiry = record.parts().expiry;
        self.records_bytes -= record.heap_bytes();
        if let Some(at) = expiry {
            self.due.remove(at, hash);
        }
        Some(Before { expiry })
    }

    /// Removes up to `max` fields that are due, the earliest of a clock first, and shows each. Gives
    /// their number.
    pub fn remove_due(&mut self, now: Now, max: usize, mut removed: impl FnMut(&[u8])) -> usize {
        let mut left = max;
        while left > 0 {
            let due = self.due.take_due(now, left);
            if due.is_empty() {
                break;
            }
            left -= due.len();
            for (at, hash) in due {
                // Two fields of one hash and one time are both due, so it matters not which goes.
                let is_it = |of: &Record| of.parts().expiry == Some(at) && hash_of(of) == hash;
                let record = self.table.remove(hash, is_it, hash_of);
                let record = record.expect("what the index holds is in the table");
                self.records_bytes -= record.heap_bytes();
                removed(record.field());
            }
        }
        max - left
    }

    /// When the first fields are due.
    #[inline]
    pub fn next_expiry(&self) -> Soonest {
        self.due.soonest()
    }

    /// All fields, those that are due too.
    pub fn records(&self) -> Iter<'_, Record> {
        self.table.iter()
    }

    /// A field that is not due, all of them equally likely.
    pub fn random(&self, now: Now, dice: &mut fastrand::Rng) -> Option<RecordParts<'_>> {
        let is_live = |parts: &RecordParts<'_>| parts.expiry.is_none_or(|at| !at.is_due(now));
        if self.due.len() == self.len() && self.due.all_due(now) {
            return None;
        }
        for _ in 0..RANDOM_DRAWS_MAX {
            let parts = self.table.random(dice)?.parts();
            if is_live(&parts) {
                return Some(parts);
            }
        }
        // Nearly all are due, and the upkeep has not come to remove them yet.
        self.records().map(Record::parts).find(is_live)
    }

    /// As `Segmented::scan`; shows fields that are due too.
    pub fn scan<'a>(
        &'a self,
        cursor: u64,
        count: usize,
        mut visit: impl FnMut(RecordParts<'a>),
    ) -> u64 {
        self.table.scan(cursor, count, hash_of, |record| visit(record.parts()))
    }

    /// Compares what was kept count of with what is there.
    #[cfg(test)]
    pub fn check_bytes(&self) {
        assert_eq!(self.records().map(Record::heap_bytes).sum::<usize>(), self.records_bytes);
        let timed = self.records().filter(|record| record.parts().expiry.is_some());
        assert_eq!(timed.count(), self.due.len());
    }

    /// As `Collection::free_some`.
    pub(crate) fn settle_some(&mut self, cursor: &mut SettleCursor, slice: &mut Settling) -> bool {
        self.table.visit_some(&mut cursor.0, |record| {
            slice.count(record.0.settle());
            slice.units == 0
        })
    }

    pub fn free_some(&mut self, units: &mut u32) -> bool {
        let records_bytes = &mut self.records_bytes;
        self.due.free_some(units)
            && self.table.free_some(units, |record| *records_bytes -= record.heap_bytes())
    }
}

#[cfg(test)]
mod tests {
    use ringlane_base::{Clock, Millis};

    use super::*;

    const LATE: Millis = Millis(u64::MAX);

    #[test]
    fn records_come_back_in_few_bytes() {
        let long = vec![b'f'; 300];
        let integers = [0, 1, -1, 127, 128, -128, -129, i64::MAX, i64::MIN];
        let mut values: Vec<_> = integers.into_iter().map(Item::Integer).collect();
        values.extend([Item::Text(b""), Item::Text(b"007"), Item::Text(&long)]);
        for field in [&b""[..], b"f", &long[..31], &long[..32], &long] {
            for value in &values {
                for expiry in [None, Some(Due::at(Millis(0))), Some(Due::on(Clock::Steady, LATE))] {
                    let parts = RecordParts { field, value: *value, expiry };
                    let mut record = Record::new(parts);
                    assert_eq!((record.field(), record.parts()), (field, parts));
                    let expiry = Some(Due::at(Millis(5)));
                    record.set_expiry(expiry);
                    assert_eq!(record.parts(), RecordParts { expiry, ..parts });
                }
            }
        }
        let small =
            Record::new(RecordParts { field: b"id", value: Item::Integer(9), expiry: None });
        assert_eq!(small.heap_bytes(), 0);
    }
}
