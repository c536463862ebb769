//! Reading and changing collections where they stand. A packed block is changed in a spare buffer and
//! written back; a structure is changed in place. What changed is said as an effect.

use std::sync::Arc;

use ringlane_base::Millis;

use crate::entry::{self, Entry, Form};
use crate::store::{Found, Store, handle_at};
use crate::types::{Body, BodyView, Change, Collection, CollectionType, Edit, Hash, PackLimits};
use crate::wheel::Item;
use crate::{EditError, Effect, Expiry, Key, OutOfMemory, Removal, TypeName, Value, WrongType};

/// Fields of a hash that go in one step of upkeep when their time has come.
const FIELDS_STEP: usize = 128;

/// When the first field of the hash is due, if it is a hash that has such fields.
fn next_field_expiry(entry: Entry<'_>) -> Option<Millis> {
    if entry.header().type_name() != TypeName::Hash {
        return None;
    }
    crate::types::next_field_expiry(entry.collection().body)
}

/// When the wheel must look at the entry: at its expiry or at that of its first field.
pub(crate) fn soonest(entry: Entry<'_>) -> Option<Millis> {
    let (whole, field) = (entry.expiry(), next_field_expiry(entry));
    match (whole, field) {
        (Some(whole), Some(field)) => Some(whole.min(field)),
        (whole, field) => whole.or(field),
    }
}

/// Whether some field of the entry has an expiry.
pub(crate) fn is_fielded(entry: Entry<'_>) -> bool {
    next_field_expiry(entry).is_some()
}

/// What an edit began with.
#[derive(Clone, Copy)]
struct Before {
    found: Option<Found>,
    /// What it was charged, if it is large.
    charged: Option<usize>,
    /// When the first field was due.
    fields: Option<Millis>,
}

impl Store {
    /// When small collections become large ones.
    pub fn set_pack_limits(&mut self, limits: PackLimits) {
        self.pack_limits = limits;
    }

    pub fn pack_limits(&self) -> &PackLimits {
        &self.pack_limits
    }

    /// Dice of their own for a command that chooses by chance.
    pub fn fork_dice(&mut self) -> fastrand::Rng {
        self.dice.fork()
    }

    /// The collection to read, None if there is no such key; a use, counted as a hit or a miss.
    ///
    /// # Errors
    /// The key holds another type.
    #[inline]
    pub fn view<T: CollectionType>(
        &mut self,
        key: &Key<'_>,
    ) -> Result<Option<T::View<'_>>, WrongType> {
        let now = self.now();
        match self.get(key) {
            None => Ok(None),
            Some(Value::Collection(view)) if view.type_name == T::TYPE => {
                Ok(Some(T::view(view.body, now)))
            }
            Some(Value::Text(_) | Value::Integer(_) | Value::Blob(_) | Value::Collection(_)) => {
                Err(WrongType)
            }
        }
    }

    /// Changes a collection, which is empty if there is no such key; one that is empty afterwards is
    /// no longer there. `growth`: bytes by which it may grow at most, about; 0 never fails.
    ///
    /// # Errors
    /// `WrongType` and `OutOfMemory`: nothing changed, and `edit` did not run or its work is lost.
    pub fn edit<T: CollectionType, R>(
        &mut self,
        key: &Key<'_>,
        growth: usize,
        edit: impl FnOnce(&mut Edit<'_, T>) -> R,
    ) -> Result<R, EditError> {
        let mut found = self.find_live(key);
        if found.is_some_and(|found| self.entry(found).header().type_name() != T::TYPE) {
            return Err(EditError::WrongType);
        }
        if key.bytes.len() > crate::KEY_BYTES_MAX {
            return Err(EditError::OutOfMemory);
        }
        if growth > 0 {
            self.make_room(0, growth, usize::from(found.is_none()))?;
            // Making room may have evicted this very key.
            found = self.find(key);
        }
        let (mut value, before) = self.take_out::<T>(found);
        let mut changes = self.has_sink().then(Vec::new);
        let mut editing = Edit {
            value: &mut value,
            limits: &self.pack_limits,
            now: self.now,
            changes: changes.as_mut(),
        };
        let result = edit(&mut editing);
        let empty = value.is_empty();
        match (value.into_body(), before.charged) {
            (Body::Large(large), Some(charged)) => self.put_back(&before, large, charged),
            (Body::Packed(_), Some(_)) => unreachable!("a large collection stays large"),
            (body, None) => self.put_small(key, T::TYPE, body, empty)?,
        }
        let changes = changes.unwrap_or_default();
        if !changes.is_empty() {
            let effect = Effect::Edit { key: *key, type_name: T::TYPE, changes: &changes };
            self.say(|sink| sink.effect(&effect));
        }
        if let Some(found) = self.find(key) {
            if empty {
                self.remove_found(found, Removal::Deleted);
            } else if T::TYPE == TypeName::Hash {
                self.schedule_fields(key, found, before.fields);
            }
        }
        Ok(result)
    }

    /// The value to change, and what it was.
    fn take_out<T: CollectionType>(&mut self, found: Option<Found>) -> (T, Before) {
        let none = Before { found, charged: None, fields: None };
        let mut bytes = std::mem::take(&mut self.spare_block);
        bytes.clear();
        let Some(at) = found else {
            self.spare_block = bytes;
            return (T::empty(), none);
        };
        let entry = self.entry(at);
        let fields = next_field_expiry(entry);
        if let BodyView::Packed(block) = entry.collection().body {
            bytes.extend_from_slice(block);
            return (T::from_packed(bytes), Before { fields, ..none });
        }
        self.spare_block = bytes;
        let handle = handle_at(&mut self.slots, at);
        let (large, charged) = entry::take_large(&self.slab, handle).expect("it is large");
        (T::from_large(large), Before { charged: Some(charged), fields, ..none })
    }

    /// Puts a structure back into its entry.
    fn put_back(&mut self, before: &Before, large: Arc<Collection>, charged: usize) {
        let found = before.found.expect("it was taken out of an entry");
        let new_charge = large.bytes();
        let clock = self.entry(found).header().clock();
        let handle = handle_at(&mut self.slots, found);
        entry::put_large(&self.slab, handle, large, charged);
        let weight = self.weight(found);
        let handle = handle_at(&mut self.slots, found);
        entry::recharge(&self.slab, handle, new_charge);
        self.outside_bytes += new_charge;
        self.outside_bytes -= charged;
        self.eviction.went(clock, weight);
        let weight = self.weight(found);
        self.eviction.came(clock, weight);
        let fields = next_field_expiry(self.entry(found));
        self.fielded += usize::from(fields.is_some());
        self.fielded -= usize::from(before.fields.is_some());
    }

    /// Writes what was packed or nothing before.
    fn put_small(
        &mut self,
        key: &Key<'_>,
        type_name: TypeName,
        body: Body,
        empty: bool,
    ) -> Result<(), OutOfMemory> {
        match body {
            // What is empty is about to go.
            Body::Packed(block) => {
                let form = Form::Packed(type_name, &block);
                let put = if empty { Ok(true) } else { self.write(key, form, Expiry::Keep) };
                self.spare_block = block;
                put.map(drop)
            }
            Body::Large(_) if empty => Ok(()),
            Body::Large(large) => self.write(key, Form::large(large), Expiry::Keep).map(drop),
        }
    }

    /// Has the wheel look at the hash when its first field is due, unless it does so already.
    fn schedule_fields(&mut self, key: &Key<'_>, found: Found, before: Option<Millis>) {
        if let Some(at) = next_field_expiry(self.entry(found))
            && before.is_none_or(|before| at < before)
        {
            self.schedule(key, at);
        }
    }

    /// The same after a whole value was written.
    pub(crate) fn schedule_fields_of(&mut self, key: &Key<'_>) {
        if let Some(found) = self.find(key) {
            self.schedule_fields(key, found, None);
        }
    }

    /// A step of the fields of a hash that are due; what it cost. The item comes again while there
    /// are others with an expiry.
    pub(crate) fn expire_fields(&mut self, found: Found, item: Item) -> usize {
        let entry = self.entry(found);
        let Some(database) = self.databases.logical(entry.header().physical()) else { return 1 };
        let bytes = entry.key().to_vec();
        let key = self.key(database, &bytes);
        let mut gone = 0;
        let result = self.edit::<Hash, _>(&key, 0, |hash| {
            gone = hash.expire_due(FIELDS_STEP);
        });
        result.expect("a hash that does not grow");
        self.stats.expired_fields += gone as u64;
        if let Some(found) = self.find(&key)
            && let Some(at) = soonest(self.entry(found))
        {
            self.wheel.schedule(at, item);
        }
        gone + 1
    }
}

/// Repeats recorded changes.
pub(crate) fn replay<T: CollectionType>(
    store: &mut Store,
    key: &Key<'_>,
    changes: &[Change],
    apply: fn(&mut Edit<'_, T>, &Change),
) -> Result<(), EditError> {
    store.edit::<T, _>(key, 0, |edit| {
        for change in changes {
            apply(edit, change);
        }
    })
}
