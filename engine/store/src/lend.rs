//! Values that are at work elsewhere: lent whole, not copied, and given back whole. What is lent
//! leaves a stand-in with its key, its expiry and its charge, so that counts, walks and the memory
//! account are as if it were there. The caller pins the slot and lets nobody look at the value.

use std::sync::Arc;

use crate::edit::is_fielded;
use crate::entry;
use crate::entry::Form;
use crate::store::{Found, Room, Store, handle_at};
use crate::types::{Body, Collection};
use crate::{Exported, Key, OwnedEffect, OwnedValue, Removal, Value};

impl Store {
    /// Value and expiry, taken out until `give_back`; what is small is copied. A long string or a
    /// large collection that nobody shares is then its holder's alone, who may change it in place.
    pub fn lend(&mut self, key: &Key<'_>) -> Option<Exported> {
        let found = self.find_live(key)?;
        debug_assert!(self.is_pinned(found.slot) || self.is_excerpt(), "what is lent is pinned");
        let exported = {
            let entry = self.entry(found);
            Exported { value: entry.value().to_owned(), expiry: entry.expiry() }
        };
        match &exported.value {
            OwnedValue::Text(_) | OwnedValue::Integer(_) => {}
            OwnedValue::Blob(_) => {
                let handle = handle_at(&mut self.slots, found);
                let (_, charged) = entry::take_outside(&self.slab, handle).expect("a long string");
                entry::recharge(&self.slab, handle, charged);
            }
            OwnedValue::Collection(collection) => match collection.body {
                Body::Packed(_) => {}
                Body::Large(_) => {
                    self.fielded -= usize::from(is_fielded(self.entry(found)));
                    let handle = handle_at(&mut self.slots, found);
                    let (_, charged) = entry::take_large(&self.slab, handle).expect("it is large");
                    let stand_in = Arc::new(Collection::empty(collection.type_name));
                    entry::put_large(&self.slab, handle, stand_in, charged);
                }
            },
        }
        Some(exported)
    }

    /// The key has this value and expiry now, or is gone: what became of what was lent, or a value
    /// that was made elsewhere. A large collection goes back in constant time. No effect and no notice
    /// says so: `tell` does. It is not refused for want of memory: whoever was answered has been promised
    /// the value, and eviction follows.
    pub fn give_back(&mut self, key: &Key<'_>, state: Option<Exported>) {
        let sink = self.sink.take();
        self.without_news(|store| store.settle(key, state));
        self.sink = sink;
        let passes = self.limits.bytes_max.is_some_and(|max| self.used_bytes() > max);
        self.stats.forced += u64::from(passes);
    }

    fn settle(&mut self, key: &Key<'_>, state: Option<Exported>) {
        let found = self.find(key);
        let (found, Exported { value, expiry }) = match (found, state) {
            (None, None) => return,
            (Some(found), None) => return self.remove_found(found, Removal::Deleted),
            (found, Some(state)) => (found, state),
        };
        if let Some(found) = found
            && self.stands_as(found, &value)
        {
            if self.entry(found).expiry() != expiry {
                self.set_expiry(key, expiry);
            }
            return;
        }
        let to = expiry.map_or(crate::Expiry::Never, crate::Expiry::At);
        let written = self.write(key, Form::of(value.as_new()), to, Room::Forced);
        if written.expect("the system has memory for one more cell") {
            self.schedule_fields_of(key);
        } else {
            self.free_value(value);
        }
    }

    /// Whether the entry holds this value, or does now: a large collection takes its old place.
    fn stands_as(&mut self, found: Found, value: &OwnedValue) -> bool {
        let entry = self.entry(found);
        match (entry.value(), value) {
            (Value::Collection(stand_in), OwnedValue::Collection(collection)) => {
                let (Some(_), Body::Large(large)) = (stand_in.large, &collection.body) else {
                    return entry.value() == value.as_value();
                };
                if stand_in.type_name != collection.type_name {
                    return false;
                }
                self.put_whole(found, Arc::clone(large));
                true
            }
            (old, new) => old == new.as_value(),
        }
    }

    /// Frees in slices what no key holds after all.
    fn free_value(&mut self, value: OwnedValue) {
        if let OwnedValue::Collection(collection) = value
            && let Body::Large(large) = collection.body
        {
            self.upkeep.bury_large(large);
        }
    }

    /// Tells who listens of changes that were made elsewhere and have come back whole.
    pub fn tell(&mut self, effects: &[OwnedEffect]) {
        for effect in effects {
            self.say(|sink| sink.effect(&effect.as_effect()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use ringlane_base::{Database, Due, Millis, Now};

    use super::*;
    use crate::tests::small_store as store;
    use crate::types::{Hash, List, Set, SortedSet};
    use crate::{Budget, Effect, EffectSink, End, Expiry, NewValue, TypeName};

    /// A large collection of each type, and a long string.
    fn fill(store: &mut Store) -> Vec<&'static [u8]> {
        let key = |name| store_key(name);
        for number in 0..2000 {
            let name = format!("member {number}");
            let name = name.as_bytes();
            store.edit::<Set, _>(&key(b"set"), 64, |set| set.insert(name)).expect("fits");
            store.edit::<Hash, _>(&key(b"hash"), 64, |hash| hash.set(name, name)).expect("fits");
            store
                .edit::<List, _>(&key(b"list"), 64, |list| list.push(End::Back, name))
                .expect("fits");
            let rank = f64::from(number);
            store
                .edit::<SortedSet, _>(&key(b"sorted"), 64, |set| set.put(name, rank))
                .expect("fits");
        }
        store
            .set(&key(b"text"), NewValue::Text(&vec![b'x'; 100_000]), Expiry::Never)
            .expect("fits");
        vec![b"set", b"hash", b"list", b"sorted", b"text"]
    }

    fn store_key(name: &'static [u8]) -> Key<'static> {
        store().key(Database(0), name)
    }

    fn large(exported: &Exported) -> Option<&Arc<Collection>> {
        let OwnedValue::Collection(collection) = &exported.value else { return None };
        let Body::Large(large) = &collection.body else { return None };
        Some(large)
    }

    #[test]
    fn what_is_lent_is_its_holders_alone_and_the_books_do_not_see_it() {
        let mut store = store();
        let names = fill(&mut store);
        let before = store.memory();
        for name in names {
            let key = store_key(name);
            store.pin(key.slot);
            let lent = store.lend(&key).expect("it is there");
            assert_eq!(store.memory().blobs, before.blobs, "{name:?}");
            assert_eq!(store.len(Database(0)), 5);
            if let Some(large) = large(&lent) {
                assert_eq!(Arc::strong_count(large), 1);
                assert_eq!(large.len(), 2000);
            }
            let copy = lent.clone();
            drop(copy);
            let address = large(&lent).map(Arc::as_ptr);
            store.give_back(&key, Some(lent));
            assert_eq!(store.memory().blobs, before.blobs, "{name:?}");
            let back = store.export(&key).expect("it is there");
            assert_eq!(large(&back).map(Arc::as_ptr), address);
            store.unpin(key.slot);
        }
        for name in [&b"set"[..], b"text"] {
            store.remove(&store_key(name), Removal::Deleted);
        }
        for name in [&b"hash"[..], b"list", b"sorted"] {
            store.remove(&store_key(name), Removal::Deleted);
        }
        while store.work(Budget { units: 1000 }).more {}
        assert_eq!(store.memory().blobs, 0);
    }

    #[test]
    fn what_comes_back_changed_replaced_or_not_at_all_is_what_is_there() {
        let mut store = store();
        fill(&mut store);
        let mut scratch = self::store();
        scratch.set_excerpt(true);
        for name in [&b"set"[..], b"hash", b"list"] {
            store.pin(store_key(name).slot);
        }
        let lend = |store: &mut Store, scratch: &mut Store, name| {
            let lent = store.lend(&store_key(name)).expect("it is there");
            scratch.import(&store_key(name), &lent).expect("no limit");
        };
        // Changed, in place.
        lend(&mut store, &mut scratch, b"set");
        let key = store_key(b"set");
        scratch.edit::<Set, _>(&key, 8, |set| set.insert(b"new")).expect("fits");
        store.give_back(&key, scratch.lend(&key));
        assert_eq!(store.view::<Set>(&key).expect("a set").expect("there").len(), 2001);
        // Replaced by another type, with an expiry.
        lend(&mut store, &mut scratch, b"hash");
        let key = store_key(b"hash");
        scratch
            .set(&key, NewValue::Text(b"now a text"), Expiry::At(Due::at(Millis(5000))))
            .expect("fits");
        store.give_back(&key, scratch.lend(&key));
        assert_eq!(store.peek(&key), Some(Value::Text(b"now a text")));
        assert_eq!(store.expiry(&key), Some(Some(Due::at(Millis(5000)))));
        // Gone.
        lend(&mut store, &mut scratch, b"list");
        let key = store_key(b"list");
        scratch.remove(&key, Removal::Deleted);
        store.give_back(&key, scratch.lend(&key));
        assert_eq!(store.peek(&key), None);
        // Made elsewhere.
        let key = store_key(b"another");
        scratch.edit::<List, _>(&key, 8, |list| list.push(End::Back, b"x")).expect("fits");
        store.give_back(&key, scratch.lend(&key));
        assert_eq!(store.view::<List>(&key).expect("a list").expect("there").len(), 1);
        assert_eq!(store.len(Database(0)), 5);
    }

    #[test]
    fn fields_are_due_again_after_a_hash_has_come_back() {
        let mut store = store();
        fill(&mut store);
        let key = store_key(b"hash");
        let expire = |hash: &mut crate::types::Edit<'_, Hash>| {
            hash.expire(b"member 7", Some(Due::at(Millis(2000))));
        };
        store.edit::<Hash, _>(&key, 0, expire).expect("fits");
        store.pin(key.slot);
        let lent = store.lend(&key);
        // The wheel comes by while it is away.
        for now in (2000..2200).step_by(20) {
            store.begin_turn(Now::both(Millis(now)));
            store.work(Budget { units: 1000 });
        }
        store.give_back(&key, lent);
        store.unpin(key.slot);
        for now in (2200..2600).step_by(20) {
            store.begin_turn(Now::both(Millis(now)));
            while store.work(Budget { units: 1000 }).used > 1 {}
        }
        let hash = store.view::<Hash>(&key).expect("a hash").expect("there");
        assert_eq!(hash.len(), 1999);
        assert_eq!(store.stats().expired_fields, 1);
    }

    #[test]
    fn an_entry_whose_time_came_while_it_was_away_goes_when_it_is_back() {
        let mut store = store();
        fill(&mut store);
        let key = store_key(b"set");
        store.set_expiry(&key, Some(Due::at(Millis(2000))));
        store.pin(key.slot);
        let lent = store.lend(&key);
        store.begin_turn(Now::both(Millis(3000)));
        store.give_back(&key, lent);
        store.unpin(key.slot);
        assert_eq!(store.peek(&key), None);
        while store.work(Budget { units: 1000 }).more {}
    }

    /// A key, and the type of what was edited.
    type Said = (Vec<u8>, Option<TypeName>);

    struct Names(Arc<Mutex<Vec<Said>>>);

    impl EffectSink for Names {
        fn effect(&mut self, effect: &Effect<'_>) {
            let said = match effect {
                Effect::Edit { key, type_name, .. } => (key.bytes.to_vec(), Some(*type_name)),
                Effect::Set { key, .. }
                | Effect::Expire { key, .. }
                | Effect::Remove { key, .. } => (key.bytes.to_vec(), None),
                Effect::Flush { .. } | Effect::Swap { .. } => return,
            };
            self.0.lock().expect("ours").push(said);
        }
    }

    #[test]
    fn coming_back_says_nothing_but_what_is_told() {
        let mut store = store();
        fill(&mut store);
        let said = Arc::new(Mutex::new(Vec::new()));
        store.set_effect_sink(Some(Box::new(Names(Arc::clone(&said)))));
        let key = store_key(b"set");
        store.pin(key.slot);
        let lent = store.lend(&key);
        store.give_back(&key, lent);
        assert!(said.lock().expect("ours").is_empty());
        store.tell(&[
            OwnedEffect::Edit { key: key.into(), type_name: TypeName::Set, changes: Vec::new() },
            OwnedEffect::Remove { key: store_key(b"list").into(), cause: Removal::Deleted },
        ]);
        let said = said.lock().expect("ours").clone();
        assert_eq!(said, [(b"set".to_vec(), Some(TypeName::Set)), (b"list".to_vec(), None)]);
    }
}
