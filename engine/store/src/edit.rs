//! Reading and changing collections where they stand. A packed block is changed in a spare buffer and
//! written back; a structure is changed in place. What changed is said as an effect.

use std::sync::Arc;

use ringlane_base::{Clock, Soonest};

use crate::entry::{self, Entry, Form};
use crate::store::{Found, Room, Store, handle_at};
use crate::types::{
    Body, BodyView, Change, Collection, CollectionType, Edit, Hash, List, PackLimits, Set,
    SortedSet, Stream,
};
use crate::wheel::Item;
use crate::{
    EditError, Effect, Expiry, Key, NoticeClasses, OutOfMemory, Removal, TypeName, Value, WrongType,
};

/// Fields of a hash that go in one step of upkeep when their time has come.
const FIELDS_STEP: usize = 64;

/// Units that such a field counts for: it is looked up, taken out of two structures and freed.
const FIELD_UNITS: usize = 4;

/// When the first fields of the hash are due, if it is a hash that has such fields.
#[inline]
fn next_field_expiry(entry: Entry<'_>) -> Soonest {
    if entry.header().type_name() != TypeName::Hash {
        return Soonest::default();
    }
    crate::types::next_field_expiry(entry.collection().body)
}

/// When the wheels must look at the entry: at its expiry or at that of its first fields.
pub(crate) fn soonest(entry: Entry<'_>) -> Soonest {
    Soonest::of(entry.expiry().into_iter().chain(next_field_expiry(entry).each()))
}

/// Whether some field of the entry has an expiry.
#[inline]
pub(crate) fn is_fielded(entry: Entry<'_>) -> bool {
    !next_field_expiry(entry).is_none()
}

/// What an edit began with.
#[derive(Clone, Copy)]
struct Before {
    found: Option<Found>,
    /// What it was charged, if it is large.
    charged: Option<usize>,
    /// When the first fields were due.
    fields: Soonest,
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

    /// The collection to read, None if there is no such key or its time has come: no use, no hit, no
    /// miss, and nothing goes, so that several can be read side by side.
    ///
    /// # Errors
    /// The key holds another type.
    pub fn glance<T: CollectionType>(
        &self,
        key: &Key<'_>,
    ) -> Result<Option<T::View<'_>>, WrongType> {
        let Some(found) = self.find(key) else { return Ok(None) };
        let entry = self.entry(found);
        match entry.value() {
            _ if entry.is_due(self.now) => Ok(None),
            Value::Collection(view) if view.type_name == T::TYPE => {
                Ok(Some(T::view(view.body, self.now)))
            }
            Value::Text(_) | Value::Integer(_) | Value::Blob(_) | Value::Collection(_) => {
                Err(WrongType)
            }
        }
    }

    /// Takes what an edit has cut off a collection, to be freed in slices (`work`).
    pub fn free_in_slices(&mut self, garbage: Option<Collection>) {
        if let Some(garbage) = garbage {
            self.upkeep.bury_large(Arc::new(garbage));
        }
    }

    /// Changes a collection, which is empty if there is no such key; one that is empty afterwards is
    /// no longer there. `growth`: bytes by which it may grow at most, about; 0 never fails.
    ///
    /// # Errors
    /// `WrongType` and `OutOfMemory`: nothing changed, and `edit` did not run.
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
        let comes = usize::from(found.is_none());
        if growth > 0 && !self.has_room(0, growth, comes) {
            self.make_room(0, growth, comes)?;
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
        // Where it is now; an entry that is written anew may come to stand elsewhere.
        let mut stands = before.found;
        match (value.into_body(), before.charged) {
            (Body::Large(large), Some(charged)) => self.put_back(&before, large, charged),
            (body, charged) => {
                if let (Some(found), Some(charged)) = (before.found, charged) {
                    // It has become small. What was taken out is still in the books.
                    entry::recharge(&self.slab, handle_at(&mut self.slots, found), charged);
                }
                match body {
                    // What is empty is about to go.
                    Body::Packed(block) if empty => self.spare_block = block,
                    Body::Large(_) if empty => {}
                    body => {
                        self.put_anew(key, before.found, T::TYPE, body)?;
                        stands = None;
                    }
                }
            }
        }
        let changes = changes.unwrap_or_default();
        if !changes.is_empty() {
            let effect = Effect::Edit { key: *key, type_name: T::TYPE, changes: &changes };
            self.say(|sink| sink.effect(&effect));
        }
        if empty {
            if let Some(found) = stands {
                self.remove_found(found, Removal::Deleted);
            }
        } else if T::TYPE == TypeName::Hash
            && let Some(found) = stands.or_else(|| self.find(key))
        {
            self.schedule_fields(key, found, before.fields);
        }
        Ok(result)
    }

    /// The value to change, and what it was.
    fn take_out<T: CollectionType>(&mut self, found: Option<Found>) -> (T, Before) {
        let none = Before { found, charged: None, fields: Soonest::default() };
        let mut bytes = std::mem::take(&mut self.spare_block);
        bytes.clear();
        let Some(at) = found else { return (T::from_packed(bytes), none) };
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
        // A change is a use.
        self.mark(found);
        let handle = handle_at(&mut self.slots, found);
        entry::put_large(&self.slab, handle, large, charged);
        if new_charge != charged {
            let (clock, weight) = (self.entry(found).header().clock(), self.weight(found));
            self.eviction.went(clock, weight);
            let handle = handle_at(&mut self.slots, found);
            entry::recharge(&self.slab, handle, new_charge);
            self.outside_bytes += new_charge;
            self.outside_bytes -= charged;
            self.eviction.came(clock, self.weight(found));
        }
        let fields = next_field_expiry(self.entry(found));
        self.fielded += usize::from(!fields.is_none());
        self.fielded -= usize::from(!before.fields.is_none());
    }

    /// Puts a structure into an entry that holds a stand-in of its type.
    pub(crate) fn put_whole(&mut self, found: Found, large: Arc<Collection>) {
        let entry = self.entry(found);
        let (charged, key) = (entry.charged(), entry.key().to_vec());
        let database = self.databases.logical(entry.header().physical());
        let fields = Soonest::default();
        self.put_back(&Before { found: Some(found), charged: None, fields }, large, charged);
        if let Some(database) = database {
            let key = self.key(database, &key);
            self.schedule_fields(&key, found, Soonest::default());
        }
    }

    /// Writes what was packed or nothing before to where it was found, or not at all.
    fn put_anew(
        &mut self,
        key: &Key<'_>,
        found: Option<Found>,
        type_name: TypeName,
        body: Body,
    ) -> Result<(), OutOfMemory> {
        match body {
            Body::Packed(block) => {
                let form = Form::Packed(type_name, &block);
                let put = self.write_over(key, found, form, Expiry::Keep, Room::Forced);
                self.spare_block = block;
                put.map(drop)
            }
            Body::Large(large) => {
                let form = Form::large(large);
                self.write_over(key, found, form, Expiry::Keep, Room::Forced).map(drop)
            }
        }
    }

    /// Has the wheels look at the hash when its first fields are due, unless they do so already.
    fn schedule_fields(&mut self, key: &Key<'_>, found: Found, before: Soonest) {
        for at in next_field_expiry(self.entry(found)).each() {
            if !before.on(at.clock()).is_some_and(|before| before.precedes(at)) {
                self.schedule(key, at);
            }
        }
    }

    /// The same after a whole value was written.
    pub(crate) fn schedule_fields_of(&mut self, key: &Key<'_>) {
        if let Some(found) = self.find(key) {
            self.schedule_fields(key, found, Soonest::default());
        }
    }

    /// A step of the fields of a hash that are due; what it cost. The item, which is of this clock's
    /// wheel, comes again while there are others that expire by that clock: in the same upkeep if they
    /// are due too.
    pub(crate) fn expire_fields(&mut self, found: Found, clock: Clock, item: Item) -> usize {
        let entry = self.entry(found);
        let Some(database) = self.databases.logical(entry.header().physical()) else { return 1 };
        let bytes = entry.key().to_vec();
        let key = self.key(database, &bytes);
        let gone = self
            .edit::<Hash, _>(&key, 0, |hash| hash.expire_due(FIELDS_STEP, &mut |_| {}))
            .expect("a hash that does not grow");
        if gone > 0 {
            self.stats.expired_fields += gone as u64;
            self.notify(NoticeClasses::HASH, "hexpired", &key);
        }
        match self.find(&key).map(|found| soonest(self.entry(found)).on(clock)) {
            Some(Some(at)) if at.is_due(self.now) => self.upkeep.due_fields.push((clock, item)),
            Some(Some(at)) => self.wheels.schedule(at, item),
            None if gone > 0 => self.notify(NoticeClasses::GENERIC, "del", &key),
            Some(None) | None => {}
        }
        gone * FIELD_UNITS + 1
    }

    /// Repeats recorded changes.
    pub(crate) fn repeat_changes(
        &mut self,
        key: &Key<'_>,
        type_name: TypeName,
        changes: &[Change],
    ) -> Result<(), OutOfMemory> {
        // Its time has come since the changes were made on a copy of it: they go with it.
        if self.find(key).is_some_and(|found| self.entry(found).is_due(self.now)) {
            self.remove(key, Removal::Expired);
            return Ok(());
        }
        let result = match type_name {
            TypeName::String => unreachable!("a string is set, not edited"),
            TypeName::List => self.repeat_on::<List>(key, changes),
            TypeName::Hash => self.repeat_on::<Hash>(key, changes),
            TypeName::Set => self.repeat_on::<Set>(key, changes),
            TypeName::SortedSet => self.repeat_on::<SortedSet>(key, changes),
            TypeName::Stream => self.repeat_on::<Stream>(key, changes),
        };
        match result {
            Ok(()) => Ok(()),
            Err(EditError::OutOfMemory) => Err(OutOfMemory),
            Err(EditError::WrongType) => unreachable!("changes follow what made the value"),
        }
    }

    fn repeat_on<T: CollectionType>(
        &mut self,
        key: &Key<'_>,
        changes: &[Change],
    ) -> Result<(), EditError> {
        self.edit::<T, _>(key, 0, |value| {
            for change in changes {
                let of_its_type = value.apply(change);
                debug_assert!(of_its_type, "changes follow what made the value");
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use ringlane_base::{Database, Due, Millis, Now};

    use super::*;
    use crate::tests::small_store as store;
    use crate::types::{End, ListChange};
    use crate::{Budget, NewValue, Recorder};

    fn elements(store: &mut Store, name: &[u8]) -> Vec<Vec<u8>> {
        let key = store.key(Database(0), name);
        let view = store.view::<List>(&key).expect("a list");
        view.map_or(Vec::new(), |list| list.iter().map(|item| item.to_vec()).collect())
    }

    #[test]
    fn lists_grow_shrink_and_go_and_their_effects_repeat_it() {
        let (mut store, mut follower) = (store(), store());
        let recorder = Recorder::attach(&mut store);
        let key = store.key(Database(0), b"list");
        let mut model = std::collections::VecDeque::new();
        let mut dice = fastrand::Rng::with_seed(7);
        for round in 0..20_000u32 {
            let element = format!("element {round} {}", "x".repeat(dice.usize(..40)));
            let growing = round % 8000 < 4000;
            store
                .edit::<List, _>(&key, element.len(), |list| {
                    if dice.u8(..10) < if growing { 8 } else { 2 } {
                        list.push(End::Back, element.as_bytes());
                        model.push_back(element.clone().into_bytes());
                    } else {
                        assert_eq!(list.pop(End::Front), model.pop_front());
                    }
                })
                .expect("no limit");
            assert_eq!(store.peek(&key).is_some(), !model.is_empty());
            if round % 997 == 0 {
                for effect in recorder.take() {
                    follower.apply(&effect).expect("no limit");
                }
                let expected: Vec<_> = model.iter().cloned().collect();
                assert_eq!(elements(&mut store, b"list"), expected);
                assert_eq!(elements(&mut follower, b"list"), expected);
            }
        }
        store.remove(&key, Removal::Deleted);
        while store.work(Budget { units: 10 }).more {}
        assert_eq!(store.memory().blobs, 0, "what was outside has been freed");
    }

    #[test]
    fn another_type_is_refused_and_left_alone() {
        let mut store = store();
        let key = store.key(Database(0), b"k");
        store.set(&key, NewValue::Text(b"text"), Expiry::Never).expect("no limit");
        let edited = store.edit::<List, _>(&key, 1, |list| list.push(End::Back, b"x"));
        assert_eq!(edited, Err(EditError::WrongType));
        assert!(store.view::<List>(&key).is_err());
        assert_eq!(store.peek(&key), Some(Value::Text(b"text")));
    }

    #[test]
    fn a_copy_shares_the_structure_until_one_of_the_two_changes() {
        let mut store = store();
        let (a, b) = (store.key(Database(0), b"a"), store.key(Database(0), b"b"));
        for _ in 0..10_000 {
            store.edit::<List, _>(&a, 8, |list| list.push(End::Back, b"element")).expect("fits");
        }
        let exported = store.export(&a).expect("it is there");
        store.import(&b, &exported).expect("it fits");
        drop(exported);
        store.edit::<List, _>(&b, 8, |list| list.pop(End::Back)).expect("it shrinks");
        assert_eq!(elements(&mut store, b"a").len(), 10_000);
        assert_eq!(elements(&mut store, b"b").len(), 9_999);
    }

    #[test]
    fn what_is_pinned_stays_and_changes_come_to_what_they_were_made_on() {
        let mut store = store();
        let key = store.key(Database(0), b"list");
        store.edit::<List, _>(&key, 8, |list| list.push(End::Back, b"a")).expect("it fits");
        store.set_expiry(&key, Some(Due::at(Millis(2000))));
        store.pin(key.slot);
        store.begin_turn(Now::both(Millis(3000)));
        while store.work(Budget { units: 100 }).more {
            if store.find(&key).is_none() {
                break;
            }
            let next = store.now().steady.0 + 20;
            store.begin_turn(Now::both(Millis(next)));
            if next > 4000 {
                break;
            }
        }
        assert!(store.find(&key).is_some(), "due, but pinned");
        // A change made before its time is over comes after it: all of it is gone.
        let push = Change::from(ListChange::Push { end: End::Back, element: (*b"b").into() });
        store.repeat_changes(&key, TypeName::List, &[push]).expect("it fits");
        assert!(store.find(&key).is_none());
        store.unpin(key.slot);
    }
}
