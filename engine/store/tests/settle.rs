//! Elements of large collections move to where they leave fewer holes; here each of them does, since
//! this process says of every place that another is better.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use ringlane_base::{Database, HashSeed, Millis, Now};
use ringlane_store::types::{Hash, List, Set, SortedSet, Stream, StreamId};
use ringlane_store::{Budget, End, Options, Store, set_settle};

/// Elements of each collection.
const ELEMENTS: u32 = 3000;
const NAMES: [&[u8]; 5] = [b"set", b"hash", b"list", b"sorted", b"stream"];

/// Always to another place.
///
/// # Safety
/// As for `ringlane_store::set_settle`.
unsafe fn elsewhere(pointer: NonNull<u8>, layout: Layout) -> NonNull<u8> {
    // SAFETY: the caller's word: an allocation of this layout that nobody else refers to.
    unsafe {
        let Some(fresh) = NonNull::new(alloc(layout)) else { handle_alloc_error(layout) };
        fresh.copy_from_nonoverlapping(pointer, layout.size());
        pointer.as_ptr().write_bytes(0xDD, layout.size());
        dealloc(pointer.as_ptr(), layout);
        fresh
    }
}

fn fill(store: &mut Store) {
    let key = NAMES.map(|name| store.key(Database(0), name));
    for number in 0..ELEMENTS {
        let name = format!("an element that needs a place of its own: {number}");
        let name = name.as_bytes();
        store.edit::<Set, _>(&key[0], 64, |set| set.insert(name)).expect("fits");
        store.edit::<Hash, _>(&key[1], 64, |hash| hash.set(name, name)).expect("fits");
        store.edit::<List, _>(&key[2], 64, |list| list.push(End::Back, name)).expect("fits");
        store
            .edit::<SortedSet, _>(&key[3], 64, |set| set.put(name, f64::from(number)))
            .expect("fits");
        let id = StreamId { ms: u64::from(number) + 1, seq: 0 };
        store.edit::<Stream, _>(&key[4], 64, |log| log.append(id, &[b"f", name])).expect("fits");
    }
}

/// Everything that the collections hold, as they hold it.
fn contents(store: &mut Store) -> Vec<String> {
    NAMES
        .map(|name| {
            let key = store.key(Database(0), name);
            format!("{:?}", store.export(&key).expect("it is there"))
        })
        .to_vec()
}

#[test]
fn collections_of_every_type_are_the_same_after_all_of_them_has_moved() {
    // SAFETY: it returns an allocation of the same layout.
    unsafe { set_settle(elsewhere) };
    for units in [7, 400, 100_000] {
        let options =
            Options { hash_seed: HashSeed(1), random_seed: 1, databases: 1, slots: 0..16384 };
        let mut store = Store::new(options);
        store.begin_turn(Now::both(Millis(1)));
        fill(&mut store);
        let (before, memory) = (contents(&mut store), store.memory());
        while store.work(Budget { units }).more {}
        assert_eq!(store.stats().settled, 0, "nobody asked for it");
        store.set_settling(true);
        // One that is at work elsewhere stays where it is.
        let held = store.key(Database(0), NAMES[0]);
        store.pin(held.slot);
        let others = u64::from(ELEMENTS);
        while store.stats().settled < others {
            store.work(Budget { units });
        }
        store.set_settling(false);
        let settled = store.stats().settled;
        while store.work(Budget { units }).more {}
        assert_eq!(store.stats().settled, settled);
        store.unpin(held.slot);
        store.set_settling(true);
        // Walk after walk: every element of every type has moved by then.
        while store.stats().settled < settled + 4 * u64::from(ELEMENTS) {
            store.work(Budget { units });
        }
        assert_eq!(contents(&mut store), before);
        assert_eq!(store.memory(), memory);
    }
}
