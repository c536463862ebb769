//! Getting memory on its way for a batch of commands, before the first of them runs: stage by stage,
//! each for all commands, so that their misses overlap. Changes nothing, and finds nothing for sure.
//! Assumes database 0.

use ringlane_base::{Database, KeyHash, Slot};

use crate::entry::Entry;
use crate::hashing::Hashing;
use crate::segment::prefetch;
use crate::types::{Collection, SortedTree, sorted, thin};
use crate::{Store, Value};

/// How often a trace is to be advanced.
pub const TRACE_STEPS: usize = 3;

/// The entry that is, as a rule, a key's, not looked at yet.
#[derive(Clone, Copy)]
pub struct Glance<'s>(Entry<'s>);

impl<'s> Glance<'s> {
    /// Fourth stage, of commands on a field or member: begins to load the head of the key's
    /// collection if it is a large one, to be advanced `TRACE_STEPS` times. `member` is the field's or
    /// member's `member_hash`.
    #[inline]
    pub fn trace(self, member: u64) -> Option<Trace<'s>> {
        match self.0.value() {
            Value::Collection(view) => {
                let large = &**view.large?;
                prefetch(std::ptr::from_ref(large).cast());
                Some(Trace(Step::Table(large, member)))
            }
            Value::Text(_) | Value::Integer(_) | Value::Blob(_) => None,
        }
    }
}

/// Where a member or field of a large collection will be looked for, as far as it is known yet.
#[derive(Clone, Copy)]
pub struct Trace<'s>(Step<'s>);

#[derive(Clone, Copy)]
enum Step<'s> {
    /// In the collection's table, by this hash.
    Table(&'s Collection, u64),
    /// Here, of a hash or set.
    Thin(&'s thin::Thin),
    /// In the leaf of this spot.
    Spot(&'s SortedTree, &'s sorted::Spot),
    /// In this leaf, whose run is known.
    Leaf(&'s SortedTree, sorted::Spot),
    /// It is fetched, or not there.
    Done,
}

impl Trace<'_> {
    /// Reads what the last call has fetched, and begins to load what the next one needs.
    #[inline]
    pub fn advance(&mut self) {
        self.0 = match self.0 {
            Step::Table(collection, hash) => Self::look_up(collection, hash),
            Step::Thin(thin) => {
                thin.prefetch();
                Step::Done
            }
            Step::Spot(tree, spot) => {
                tree.prefetch_leaf(*spot);
                Step::Leaf(tree, *spot)
            }
            Step::Leaf(tree, spot) => {
                tree.prefetch_run(spot);
                Step::Done
            }
            Step::Done => Step::Done,
        };
    }

    #[inline]
    fn look_up(collection: &Collection, hash: u64) -> Step<'_> {
        let thin = match collection {
            Collection::Hash(table) => table.hint(hash),
            Collection::Set(table) => table.hint(hash),
            Collection::SortedSet(tree) => {
                let Some(spot) = tree.hint(hash) else { return Step::Done };
                prefetch(std::ptr::from_ref(spot).cast());
                return Step::Spot(tree, spot);
            }
            Collection::List(_) | Collection::Stream(_) => None,
        };
        let Some(thin) = thin else { return Step::Done };
        prefetch(std::ptr::from_ref(thin).cast());
        Step::Thin(thin)
    }
}

impl Store {
    /// First stage of a batch: begins to load the slot's head.
    #[inline]
    pub fn prefetch_slot(&self, slot: Slot) {
        prefetch(std::ptr::from_ref(&self.slots[self.slot_index(slot)]).cast());
    }

    /// Second stage: begins to load the part of the slot's table where the key would be.
    #[inline]
    pub fn prefetch_table(&self, slot: Slot, hash: KeyHash) {
        let hash = Hashing::placed(hash, self.databases.physical(Database(0)));
        let table = &self.slots[self.slot_index(slot)];
        let (piece, hash) = table.piece(hash, || hash);
        table.segment(piece).prefetch_buckets(hash);
    }

    /// Third stage: finds the first bucket whose tag matches and begins to load its entry, without
    /// looking at it.
    #[inline]
    pub fn prefetch_entry(&self, slot: Slot, hash: KeyHash) -> Option<Glance<'_>> {
        let hash = Hashing::placed(hash, self.databases.physical(Database(0)));
        let table = &self.slots[self.slot_index(slot)];
        // A closed segment is empty, so any hash will do for the hardened one.
        let (piece, hash) = table.piece(hash, || hash);
        let handle = table.segment(piece).table.find(hash, |_| true)?;
        let entry = Entry::of(&self.slab, handle);
        entry.prefetch();
        Some(Glance(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::small_store as store;
    use crate::types::{Hash, Set, SortedSet, member_hash};
    use crate::{Expiry, Key, NewValue};

    const MEMBERS: u32 = 1000;

    /// How many steps a member's trace takes to its end, and whether it came to the member's leaf.
    fn follow(store: &Store, key: &Key<'_>, member: &[u8]) -> (usize, bool) {
        let glance = store.prefetch_entry(key.slot, key.hash).expect("it is there");
        let mut trace = glance.trace(member_hash(member)).expect("it is a large collection");
        let mut found = false;
        for step in 0..TRACE_STEPS {
            if let Step::Leaf(tree, spot) = trace.0 {
                found = tree.holds(spot, member);
            }
            if matches!(trace.0, Step::Done) {
                return (step, found);
            }
            trace.advance();
        }
        assert!(matches!(trace.0, Step::Done), "no step is left");
        (TRACE_STEPS, found)
    }

    #[test]
    fn a_trace_comes_to_the_member() {
        let mut store = store();
        let [hash, set, sorted] = [b"h", b"s", b"z"].map(|name| store.key(Database(0), name));
        let members: Vec<String> = (0..MEMBERS).map(|number| format!("member:{number}")).collect();
        for member in members.iter().map(String::as_bytes) {
            store.edit::<Hash, _>(&hash, 1, |hash| hash.set(member, b"value")).expect("it fits");
            store.edit::<Set, _>(&set, 1, |set| set.insert(member)).expect("it fits");
            store.edit::<SortedSet, _>(&sorted, 1, |set| set.put(member, 1.0)).expect("it fits");
        }
        let follow_all = |key: &Key<'_>| -> Vec<(usize, bool)> {
            members.iter().map(|member| follow(&store, key, member.as_bytes())).collect()
        };
        for key in [hash, set] {
            assert!(follow_all(&key).iter().all(|(steps, _)| *steps == 2));
        }
        let followed = follow_all(&sorted);
        assert!(followed.iter().all(|(steps, _)| *steps == 3));
        // Now and then another member has the same tag.
        let found = followed.iter().filter(|(_, found)| *found).count();
        assert!(found > MEMBERS as usize / 4 * 3, "{found} of {MEMBERS}");
    }

    #[test]
    fn what_is_small_absent_or_no_collection_has_no_trace() {
        let mut store = store();
        let [small, text, absent] = [b"z", b"t", b"a"].map(|name| store.key(Database(0), name));
        store.edit::<SortedSet, _>(&small, 1, |set| set.put(b"member", 1.0)).expect("it fits");
        store.set(&text, NewValue::Text(b"text"), Expiry::Never).expect("it fits");
        for key in [small, text, absent] {
            let glance = store.prefetch_entry(key.slot, key.hash);
            assert!(glance.and_then(|glance| glance.trace(member_hash(b"member"))).is_none());
        }
    }
}
