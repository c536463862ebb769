//! Hashes: a packed block while small, a table when large. Owns when which, what a reader sees of
//! fields that are due, and what an edit records. A field whose expiry is not after the reader's
//! time is absent from all reads but `len`; it stands there until `expire_due` removes it.

use ringlane_base::{Due, Now, Soonest};

use super::hash_block::{self, BlockField, BlockFields};
use super::hash_table::{Before, HashTable, OnPut, Record};
use super::pack::Item;
use super::table::Iter;
use super::{Edit, HashChange, PACKED_BYTES_MAX, Packable, PackableView, Packs, Shared, block};

/// A hash.
pub type Hash = Packable<HashTable>;

impl Packs for HashTable {
    type View<'a> = HashView<'a>;

    fn view(form: Form<'_>, now: Now) -> HashView<'_> {
        HashView { form, now }
    }

    fn packed_len(block: &[u8]) -> usize {
        block::count(block)
    }

    fn repeat(edit: &mut Edit<'_, Hash>, change: &HashChange) {
        match change {
            HashChange::Set { field, value } => {
                edit.put(field, value, OnPut::Clear);
            }
            HashChange::Expire { field, at } => edit.put_expiry(field, *at),
            HashChange::Remove { field } => {
                edit.take(field);
            }
        }
        edit.record(|| change.clone());
    }
}

impl Hash {
    /// The view of what is owned here.
    pub fn as_view(&self, now: Now) -> HashView<'_> {
        HashView { form: self.form(), now }
    }
}

type Form<'a> = PackableView<'a, HashTable>;

/// A hash, to read.
#[derive(Clone, Copy, Debug)]
pub struct HashView<'a> {
    form: Form<'a>,
    now: Now,
}

/// A field with all that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashField<'a> {
    pub field: Item<'a>,
    pub value: Item<'a>,
    pub expiry: Option<Due>,
}

impl<'a> From<BlockField<'a>> for HashField<'a> {
    fn from(BlockField { field, value, expiry, .. }: BlockField<'a>) -> Self {
        Self { field, value, expiry }
    }
}

impl<'a> From<&'a Record> for HashField<'a> {
    fn from(record: &'a Record) -> Self {
        let parts = record.parts();
        Self { field: Item::of(parts.field), value: parts.value, expiry: parts.expiry }
    }
}

impl HashField<'_> {
    fn is_live(&self, now: Now) -> bool {
        is_live(self.expiry, now)
    }
}

#[inline]
fn is_live(expiry: Option<Due>, now: Now) -> bool {
    expiry.is_none_or(|at| !at.is_due(now))
}

impl<'a> HashView<'a> {
    /// All fields that stand here, those that are due too.
    pub fn len(self) -> usize {
        match self.form {
            Form::Packed(block) => block::count(block),
            Form::Large(table) => table.len(),
        }
    }

    /// Bytes that it takes; constant time.
    pub fn bytes(self) -> usize {
        match self.form {
            Form::Packed(block) => block.len(),
            Form::Large(table) => table.bytes(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// As OBJECT ENCODING names it.
    pub fn encoding(self) -> &'static str {
        match self.form {
            Form::Packed(block) if hash_block::is_timed(block) => "listpackex",
            Form::Packed(_) => "listpack",
            Form::Large(_) => "hashtable",
        }
    }

    /// Value and expiry of a field, due or not.
    #[inline]
    fn find(self, field: &[u8]) -> Option<(Item<'a>, Option<Due>)> {
        match self.form {
            Form::Packed(block) => {
                hash_block::find(block, field).map(|found| (found.value, found.expiry))
            }
            Form::Large(table) => table.get(field).map(|parts| (parts.value, parts.expiry)),
        }
    }

    #[inline]
    pub fn get(self, field: &[u8]) -> Option<Item<'a>> {
        let (value, expiry) = self.find(field)?;
        is_live(expiry, self.now).then_some(value)
    }

    pub fn contains(self, field: &[u8]) -> bool {
        self.get(field).is_some()
    }

    /// When the field is due: None if there is no such field, `Some(None)` if it has no expiry.
    pub fn expiry(self, field: &[u8]) -> Option<Option<Due>> {
        let (_, expiry) = self.find(field)?;
        is_live(expiry, self.now).then_some(expiry)
    }

    /// When the first fields are due, those that are due already included.
    pub fn next_expiry(self) -> Soonest {
        match self.form {
            Form::Packed(block) if hash_block::is_timed(block) => {
                Soonest::of(hash_block::fields(block).filter_map(|field| field.expiry))
            }
            Form::Packed(_) => Soonest::default(),
            Form::Large(table) => table.next_expiry(),
        }
    }

    /// Fields and values, in no particular order.
    pub fn iter(self) -> impl Iterator<Item = (Item<'a>, Item<'a>)> {
        self.fields().map(|HashField { field, value, .. }| (field, value))
    }

    /// The same, with expiries.
    pub fn fields(self) -> HashFields<'a> {
        let walk = match self.form {
            Form::Packed(block) => Walk::Packed(hash_block::fields(block)),
            Form::Large(table) => Walk::Large(table.records()),
        };
        HashFields { walk, now: self.now }
    }

    /// A field, all of them equally likely. A small hash is walked.
    pub fn random(self, dice: &mut fastrand::Rng) -> Option<(Item<'a>, Item<'a>)> {
        let found = match self.form {
            Form::Packed(_) => {
                let live = self.fields().count();
                (live > 0).then(|| self.fields().nth(dice.usize(..live)).expect("as counted"))?
            }
            Form::Large(table) => {
                let parts = table.random(self.now, dice)?;
                HashField { field: Item::of(parts.field), value: parts.value, expiry: None }
            }
        };
        Some((found.field, found.value))
    }

    /// Shows about `count` fields from the cursor on (a packed hash all of them) and gives the
    /// cursor to go on from, 0 when all have been seen. Begin with 0. A field that is there from
    /// the first call to the last is shown at least once.
    pub fn scan(self, cursor: u64, count: usize, visit: &mut dyn FnMut(Item<'a>, Item<'a>)) -> u64 {
        match self.form {
            Form::Packed(_) => {
                for (field, value) in self.iter() {
                    visit(field, value);
                }
                0
            }
            Form::Large(table) => table.scan(cursor, count, |parts| {
                if is_live(parts.expiry, self.now) {
                    visit(Item::of(parts.field), parts.value);
                }
            }),
        }
    }
}

#[derive(Clone)]
enum Walk<'a> {
    Packed(BlockFields<'a>),
    Large(Iter<'a, Record>),
}

/// The fields of a hash that are not due.
#[derive(Clone)]
pub struct HashFields<'a> {
    walk: Walk<'a>,
    now: Now,
}

impl<'a> Iterator for HashFields<'a> {
    type Item = HashField<'a>;

    #[inline]
    fn next(&mut self) -> Option<HashField<'a>> {
        loop {
            let field = match &mut self.walk {
                Walk::Packed(fields) => HashField::from(fields.next()?),
                Walk::Large(records) => HashField::from(records.next()?),
            };
            if field.is_live(self.now) {
                return Some(field);
            }
        }
    }
}

/// The same fields as a table.
fn large_of(block: &[u8]) -> HashTable {
    let mut table = HashTable::with_capacity(block::count(block) + 1);
    let (mut field_buffer, mut value_buffer) = (itoa::Buffer::new(), itoa::Buffer::new());
    for HashField { field, value, expiry } in hash_block::fields(block).map(HashField::from) {
        let field = field.bytes(&mut field_buffer);
        table.put(field, value.bytes(&mut value_buffer), OnPut::Clear);
        if expiry.is_some() {
            table.expire(field, expiry);
        }
    }
    table
}

impl Edit<'_, Hash> {
    /// Sets a field, which then has no expiry. True: there was no such field (or it was due).
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        let before = self.put(field, value, OnPut::Clear);
        self.record(|| HashChange::Set { field: field.into(), value: value.into() });
        before.is_none_or(|before| !is_live(before.expiry, self.now))
    }

    /// Sets a field, which keeps the expiry that it has. True as for `set`; a field that was due
    /// begins without expiry.
    pub fn set_keeping_expiry(&mut self, field: &[u8], value: &[u8]) -> bool {
        let expiry = self.view().expiry(field);
        let on_put = if expiry.is_some() { OnPut::Keep } else { OnPut::Clear };
        self.put(field, value, on_put);
        self.record(|| HashChange::Set { field: field.into(), value: value.into() });
        if let Some(at @ Some(_)) = expiry {
            self.record(|| HashChange::Expire { field: field.into(), at });
        }
        expiry.is_none()
    }

    /// Removes a field. False: there was none, or it was due (and is gone now).
    pub fn remove(&mut self, field: &[u8]) -> bool {
        let Some(before) = self.take(field) else { return false };
        self.record(|| HashChange::Remove { field: field.into() });
        is_live(before.expiry, self.now)
    }

    /// Sets when a field is due, or that it never is. False: there is no such field. It may be due
    /// at once.
    pub fn expire(&mut self, field: &[u8], at: Option<Due>) -> bool {
        if !self.view().contains(field) {
            return false;
        }
        self.put_expiry(field, at);
        self.record(|| HashChange::Expire { field: field.into(), at });
        true
    }

    /// Removes up to `max` fields that are due and shows each. Gives their number.
    pub fn expire_due(&mut self, max: usize, removed: &mut dyn FnMut(&[u8])) -> usize {
        let now = self.now;
        let changes = &mut self.changes;
        let mut gone = |field: &[u8]| {
            if let Some(changes) = changes {
                changes.push(HashChange::Remove { field: field.into() }.into());
            }
            removed(field);
        };
        match self.value {
            Hash::Large(large) => {
                // Without a copy of what is shared when there is nothing to do.
                if !large.next_expiry().is_due(now) {
                    return 0;
                }
                large.make_mut().remove_due(now, max, gone)
            }
            Hash::Packed(block) => {
                let mut count = 0;
                while count < max {
                    let due = hash_block::fields(block).find(|of| !is_live(of.expiry, now));
                    let Some(due) = due else { break };
                    gone(due.field.bytes(&mut itoa::Buffer::new()));
                    let place = due.place();
                    hash_block::remove(block, &place);
                    count += 1;
                }
                count
            }
        }
    }

    /// The value as a table, which it becomes.
    fn large(&mut self) -> &mut HashTable {
        if let Hash::Packed(block) = self.value {
            *self.value = Hash::Large(Shared::new(large_of(block)));
        }
        match self.value {
            Hash::Large(large) => large.make_mut(),
            Hash::Packed(_) => unreachable!("it has just become large"),
        }
    }

    /// Sets a field. Gives what it was before, due or not.
    fn put(&mut self, field: &[u8], value: &[u8], on_put: OnPut) -> Option<Before> {
        let Hash::Packed(block) = self.value else {
            return self.large().put(field, value, on_put);
        };
        let old = hash_block::find(block, field);
        let before = old.map(|old| Before { expiry: old.expiry });
        let expiry = match on_put {
            OnPut::Clear => None,
            OnPut::Keep => old.and_then(|old| old.expiry),
        };
        let longest = field.len().max(value.len());
        let entries = block::count(block) + usize::from(old.is_none());
        if longest > self.limits.hash_max_listpack_value
            || entries > self.limits.hash_max_listpack_entries
            || hash_block::len_after_put(block, old, field, value, expiry) > PACKED_BYTES_MAX
        {
            return self.large().put(field, value, on_put);
        }
        match old.map(|old| old.place()) {
            Some(place) => hash_block::put_at(block, &place, value, expiry),
            None => hash_block::push(block, field, value),
        }
        before
    }

    /// Changes the expiry of a field if it is there, due or not.
    fn put_expiry(&mut self, field: &[u8], at: Option<Due>) {
        let Hash::Packed(block) = self.value else {
            self.large().expire(field, at);
            return;
        };
        let Some(found) = hash_block::find(block, field) else { return };
        let mut place = found.place();
        if !hash_block::is_timed(block) {
            if at.is_none() {
                return;
            }
            *block = hash_block::with_times(block);
            place = hash_block::find(block, field).expect("it is there").place();
        }
        hash_block::set_expiry(block, &place, at);
        if block.len() > PACKED_BYTES_MAX {
            self.large();
        }
    }

    /// Removes a field. Gives what it was before, due or not.
    fn take(&mut self, field: &[u8]) -> Option<Before> {
        match self.value {
            Hash::Large(large) => {
                if large.is_shared() {
                    // Without a copy of what is shared when there is nothing to do.
                    large.get(field)?;
                }
                large.make_mut().remove(field)
            }
            Hash::Packed(block) => {
                let found = hash_block::find(block, field)?;
                let (before, place) = (Before { expiry: found.expiry }, found.place());
                hash_block::remove(block, &place);
                Some(before)
            }
        }
    }
}

#[cfg(test)]
#[path = "hash_tests.rs"]
mod tests;
