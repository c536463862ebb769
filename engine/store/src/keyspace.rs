//! The keyspace as a whole: counting, flushing, swapping, random keys, what OBJECT tells.

use ringlane_base::{Database, SLOT_COUNT, Slot};

use crate::entry::Entry;
use crate::eviction::{FRESH, LEVEL, MAIN, USES, weight_of};
use crate::segment::TableMemory;
use crate::slot_table::{Position, SlotTable};
use crate::store::Store;
use crate::{Effect, Key, ObjectInfo, Policy, Sweep, Value};

/// Up to this length Redis embeds a string in its object.
const EMBEDDED_BYTES_MAX: usize = 44;

/// Random places that `random_key` tries before it takes the next key of the database it meets.
const RANDOM_TRIES: usize = 64;

impl Store {
    /// How many keys the database has, those that are due but not yet gone included.
    pub fn len(&self, database: Database) -> usize {
        self.databases.keys(database)
    }

    /// Whether no database has a key.
    pub fn is_empty(&self) -> bool {
        self.databases.entries() == self.databases.dead()
    }

    /// How many of them have an expiry.
    pub fn expires(&self, database: Database) -> usize {
        self.databases.expiring(database)
    }

    /// The mean time that those have left, in milliseconds; 0 if there are none.
    pub fn average_ttl_ms(&self, database: Database) -> u64 {
        self.databases.average_ttl_ms(database, self.now)
    }

    /// How many keys the slot has, over all databases.
    pub fn slot_len(&self, slot: Slot) -> usize {
        let table = &self.slots[self.slot_index(slot)];
        if self.databases.dead() == 0 {
            return table.len();
        }
        let mut count = 0;
        self.visit_slot(slot, &mut |_| {
            count += 1;
            true
        });
        count
    }

    /// Shows up to `max` keys of the slot, over all databases.
    pub fn slot_keys(&self, slot: Slot, max: usize, visit: &mut dyn FnMut(&[u8])) {
        let mut left = max;
        self.visit_slot(slot, &mut |entry| {
            if left == 0 {
                return false;
            }
            left -= 1;
            visit(entry.key());
            true
        });
    }

    /// Shows the living entries of a slot until the visitor has had enough.
    fn visit_slot(&self, slot: Slot, visit: &mut dyn FnMut(Entry<'_>) -> bool) {
        let table = &self.slots[self.slot_index(slot)];
        let mut position = Some(Position::default());
        while let Some(piece) = position.and_then(|position| table.at(position)) {
            for handle in &table.segment(piece).table {
                let entry = Entry::of(&self.slab, handle);
                let flushed = self.databases.logical(entry.header().physical()).is_none();
                if !flushed && !entry.is_due(self.now) && !visit(entry) {
                    return;
                }
            }
            position = table.after(piece);
        }
    }

    /// A key of the database by chance; None if it is empty.
    pub fn random_key(&mut self, database: Database) -> Option<Vec<u8>> {
        let physical = self.databases.physical(database);
        let mut left = self.databases.entries() + RANDOM_TRIES;
        let hand = self.eviction.main_hand;
        let mut tries = 0;
        let mut key = None;
        while key.is_none() && left > 0 && self.databases.keys(database) > 0 {
            tries += 1;
            left -= 1;
            let found =
                if tries <= RANDOM_TRIES { self.random_entry()? } else { self.next_entry()? };
            let entry = self.entry(found);
            if entry.header().physical() == physical && !entry.is_due(self.now) {
                key = Some(entry.key().to_vec());
            }
        }
        self.eviction.main_hand = hand;
        key
    }

    /// Takes every key of the database, or of all, from every reader at once. The memory is freed
    /// in slices by `work`.
    pub fn flush(&mut self, database: Option<Database>) {
        self.warn_of(Sweep::Flush { database });
        match database {
            Some(database) => self.flush_one(database),
            None => self.flush_all(),
        }
        self.say(|sink| sink.effect(&Effect::Flush { database }));
    }

    fn flush_one(&mut self, database: Database) {
        if self.databases.keys(database) == self.databases.entries() {
            self.flush_all();
            return;
        }
        // More than a hundred flushes were not yet drained: this one waits for them.
        while !self.databases.can_flush() {
            self.drain(usize::MAX);
        }
        self.databases.flush(database);
    }

    fn flush_all(&mut self) {
        if self.databases.entries() == 0 {
            return;
        }
        self.leave_no_page();
        let old = self.take_slots();
        self.upkeep.bury(old);
        self.databases.forget_all();
        self.eviction.forget_all();
        self.wheels.clear();
        self.wide_bytes = 0;
    }

    /// Takes out the slots that may have entries, and leaves empty ones.
    fn take_slots(&mut self) -> Vec<SlotTable> {
        // Only slots that were used, so that a small store is flushed in no time.
        let memory = TableMemory::new(&self.slab);
        let count: usize = self.occupied.iter().map(|word| word.count_ones() as usize).sum();
        if count > self.slots.len() / 4 {
            let fresh = (0..self.slots.len()).map(|_| SlotTable::new(&memory)).collect();
            self.occupied.fill(0);
            return std::mem::replace(&mut self.slots, fresh);
        }
        let mut old = Vec::with_capacity(count);
        for (index, word) in self.occupied.iter_mut().enumerate() {
            let mut bits = std::mem::take(word);
            while bits != 0 {
                let slot = index * 64 + bits.trailing_zeros() as usize;
                old.push(std::mem::replace(&mut self.slots[slot], SlotTable::new(&memory)));
                bits &= bits - 1;
            }
        }
        old
    }

    /// Exchanges two databases.
    pub fn swap(&mut self, a: Database, b: Database) {
        self.warn_of(Sweep::Swap { a, b });
        self.databases.swap(a, b);
        self.say(|sink| sink.effect(&Effect::Swap { a, b }));
    }

    /// Says that the store holds only the keys that a command named: any other key may exist elsewhere.
    pub fn set_excerpt(&mut self, excerpt: bool) {
        self.excerpt = excerpt;
    }

    pub fn is_excerpt(&self) -> bool {
        self.excerpt
    }

    /// Whether a key that is not found here does not exist, whatever its slot.
    pub fn has_every_slot(&self) -> bool {
        self.slots.len() == SLOT_COUNT && !self.excerpt
    }

    /// How many databases there are.
    pub fn databases(&self) -> u8 {
        self.databases.count()
    }

    /// What OBJECT and MEMORY USAGE tell of the key, leaving no trace.
    pub fn object(&mut self, key: &Key<'_>) -> Option<ObjectInfo> {
        let found = self.find_live(key)?;
        let entry = self.entry(found);
        let encoding = match entry.value() {
            Value::Integer(_) => "int",
            Value::Text(text) if text.len() <= EMBEDDED_BYTES_MAX => "embstr",
            Value::Text(_) | Value::Blob(_) => "raw",
            Value::Collection(view) => crate::types::encoding(view.type_name, view.body),
        };
        let clock = entry.header().clock();
        let frequency = match self.limits.policy {
            Policy::AllkeysLfu | Policy::VolatileLfu => (clock & LEVEL) * 36,
            Policy::Adaptive
            | Policy::AllkeysLru
            | Policy::AllkeysRandom
            | Policy::AllkeysFifo
            | Policy::VolatileLru
            | Policy::VolatileRandom
            | Policy::VolatileFifo
            | Policy::VolatileTtl
            | Policy::NoEviction => (clock & USES) * 85,
        };
        let hand = if clock & MAIN == 0 {
            &self.eviction.probation_hand
        } else {
            &self.eviction.main_hand
        };
        let resting = clock & (USES | FRESH) == 0;
        let table = &self.slots[found.slot].segment(found.piece).table;
        let share = table.allocation_size() / table.len().max(1);
        Some(ObjectInfo {
            type_name: entry.header().type_name(),
            encoding,
            idle_seconds: if resting { hand.rest_ms() / 1000 } else { 0 },
            frequency,
            bytes: weight_of(entry) + share,
        })
    }
}
