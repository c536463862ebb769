//! The store: finding, reading, writing and removing one key.

use std::rc::Rc;

use ringlane_base::{Database, Due, HashSeed, Now, Slot};

use crate::databases::Databases;
use crate::edit::{is_fielded, soonest};
use crate::entry::{self, Draft, Entry, Form, Header};
use crate::eviction::Eviction;
use crate::hashing::Hashing;
use crate::notices::{NoticeClasses, Notices};
use crate::segment::TableMemory;
use crate::settle::Settle;
use crate::slab::{Handle, Slab};
use crate::slot_table::{Piece, Rehash, SlotTable};
use crate::types::PackLimits;
use crate::upkeep::Upkeep;
use crate::wheel::Item;
use crate::wheels::Wheels;
use crate::{
    Effect, EffectSink, Expiry, Exported, KEY_BYTES_MAX, Key, Limits, NewValue, Options,
    OutOfMemory, Removal, Stats, TypeName, Value,
};

/// One lane's keyspace. Every time is `now`, set once a turn by `begin_turn`.
pub struct Store {
    pub(crate) slots: Vec<SlotTable>,
    pub(crate) first_slot: u16,
    pub(crate) slab: Rc<Slab>,
    pub(crate) hashing: Hashing,
    pub(crate) databases: Databases,
    pub(crate) now: Now,
    pub(crate) wheels: Wheels,
    pub(crate) eviction: Eviction,
    pub(crate) upkeep: Upkeep,
    pub(crate) settle: Settle,
    pub(crate) limits: Limits,
    /// `set_whole_limit`.
    pub(crate) whole_max: Option<usize>,
    /// What is written now is never refused.
    pub(crate) passes_limit: bool,
    pub(crate) stats: Stats,
    pub(crate) dice: fastrand::Rng,
    /// A bit for each slot that may have entries.
    pub(crate) occupied: Vec<u64>,
    /// Bytes of values outside of the slab.
    pub(crate) outside_bytes: usize,
    /// Bytes of all directories.
    pub(crate) wide_bytes: usize,
    pub(crate) notices: Notices,
    /// `set_effect_sink`.
    pub(crate) sink: Option<Box<dyn EffectSink>>,
    pub(crate) pack_limits: PackLimits,
    /// Where packed blocks are changed.
    pub(crate) spare_block: Vec<u8>,
    /// A bit for each slot whose entries stay: copies of them are at work elsewhere.
    pinned: Vec<u64>,
    /// How many hashes have fields with an expiry.
    pub(crate) fielded: usize,
    /// `set_excerpt`.
    pub(crate) excerpt: bool,
    /// Reads count hits and misses but do not mark what they use.
    traceless: bool,
}

// SAFETY: the only part that is not `Send` is the shared ownership of the slab, and all its owners
// (the tables) are within this same store, so they move to another thread together.
unsafe impl Send for Store {}

/// What becomes of a write for which nothing can be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// It is refused.
    Asked,
    /// It is made all the same: its caller has made room for what it adds.
    Forced,
}

impl Room {
    fn or(self, refusal: OutOfMemory) -> Result<(), OutOfMemory> {
        match self {
            Self::Asked => Err(refusal),
            Self::Forced => Ok(()),
        }
    }
}

/// Where an entry stands. Good until the slot's layout changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// Index in `Store::slots`.
    pub slot: usize,
    pub piece: Piece,
    pub bucket: usize,
}

/// The handle at a place where an entry was found.
#[inline]
pub(crate) fn handle_at(slots: &mut [SlotTable], found: Found) -> &mut Handle {
    let table = &mut slots[found.slot].segment_mut(found.piece).table;
    table.get_bucket_mut(found.bucket).expect("an entry was found there")
}

impl Store {
    /// An empty store. Reserves addresses, but next to no memory, until the first key comes.
    #[allow(clippy::needless_pass_by_value)] // Options are made for one store.
    pub fn new(options: Options) -> Self {
        let slab = Rc::new(Slab::new(options.slots.len()));
        let mut dice = fastrand::Rng::with_seed(options.random_seed);
        Self {
            slots: Self::empty_slots(&slab, options.slots.len()),
            first_slot: options.slots.start,
            hashing: Hashing::new(options.hash_seed, &mut dice),
            databases: Databases::new(options.databases),
            now: Now::default(),
            wheels: Wheels::new(),
            eviction: Eviction::new(options.slots.len()),
            upkeep: Upkeep::default(),
            settle: Settle::default(),
            limits: Limits::default(),
            whole_max: None,
            passes_limit: false,
            stats: Stats::default(),
            dice,
            occupied: vec![0; options.slots.len().div_ceil(64)],
            outside_bytes: 0,
            wide_bytes: 0,
            notices: Notices::default(),
            sink: None,
            pack_limits: PackLimits::default(),
            spare_block: Vec::new(),
            pinned: vec![0; options.slots.len().div_ceil(64)],
            fielded: 0,
            excerpt: false,
            traceless: false,
            slab,
        }
    }

    pub(crate) fn empty_slots(slab: &Rc<Slab>, count: usize) -> Vec<SlotTable> {
        let memory = TableMemory::new(slab);
        (0..count).map(|_| SlotTable::new(&memory)).collect()
    }

    /// Sets the time of everything until the next call. Each clock may jump either way: what goes
    /// by the other does not notice.
    #[inline]
    pub fn begin_turn(&mut self, now: Now) {
        self.now = now;
        self.wheels.advance(now);
    }

    #[inline]
    pub fn now(&self) -> Now {
        self.now
    }

    /// The key with its slot and hash.
    #[inline]
    pub fn key<'k>(&self, database: Database, bytes: &'k [u8]) -> Key<'k> {
        Key { bytes, slot: Slot::of(bytes), hash: self.hashing.of_key(bytes), database }
    }

    pub fn hash_seed(&self) -> HashSeed {
        self.hashing.seed()
    }

    #[inline]
    pub(crate) fn slot_index(&self, slot: Slot) -> usize {
        debug_assert!(slot.number() >= self.first_slot, "the slot belongs to another lane");
        slot.index() - usize::from(self.first_slot)
    }

    /// Until `unpin`, no entry of the slot is evicted or goes because its time has come, unless it is
    /// looked for: copies of them are at work elsewhere, and their changes are still to come.
    pub fn pin(&mut self, slot: Slot) {
        let index = self.slot_index(slot);
        self.pinned[index / 64] |= 1 << (index % 64);
    }

    pub fn unpin(&mut self, slot: Slot) {
        let index = self.slot_index(slot);
        self.pinned[index / 64] &= !(1 << (index % 64));
    }

    #[inline]
    pub(crate) fn is_pinned(&self, slot_index: usize) -> bool {
        self.pinned[slot_index / 64] >> (slot_index % 64) & 1 == 1
    }

    #[inline]
    pub(crate) fn slot_at(&self, index: usize) -> Slot {
        Slot::new(index as u16 + self.first_slot).expect("within this lane's range")
    }

    #[inline]
    pub(crate) fn find(&self, key: &Key<'_>) -> Option<Found> {
        let physical = self.databases.physical(key.database);
        let slot = self.slot_index(key.slot);
        let table = &self.slots[slot];
        let hash = Hashing::placed(key.hash, physical);
        let (piece, hash) = table.piece(hash, || self.hashing.hardened(physical, key.bytes));
        let is_it = |handle: &Handle| Entry::of(&self.slab, handle).is(physical, key.bytes);
        let bucket = table.segment(piece).table.find_bucket_index(hash, is_it)?;
        Some(Found { slot, piece, bucket })
    }

    #[inline]
    pub(crate) fn entry(&self, found: Found) -> Entry<'_> {
        let table = &self.slots[found.slot].segment(found.piece).table;
        let handle = table.get_bucket(found.bucket).expect("an entry was found there");
        Entry::of(&self.slab, handle)
    }

    /// Finds the key; if its time has come it goes and is not found.
    #[inline]
    pub(crate) fn find_live(&mut self, key: &Key<'_>) -> Option<Found> {
        let found = self.find(key)?;
        if self.entry(found).is_due(self.now) {
            self.remove_found(found, Removal::Expired);
            return None;
        }
        Some(found)
    }

    #[inline]
    fn set_header(&mut self, found: Found, header: Header) {
        entry::set_header(&self.slab, handle_at(&mut self.slots, found), header);
    }

    /// Finds the key, marks that it was used, counts the hit or miss.
    #[inline]
    fn find_used(&mut self, key: &Key<'_>) -> Option<Found> {
        let Some(found) = self.find_live(key) else {
            self.stats.misses += 1;
            self.notify(NoticeClasses::KEY_MISS, "keymiss", key);
            return None;
        };
        self.stats.hits += 1;
        if !self.traceless {
            self.mark(found);
        }
        Some(found)
    }

    /// Until this is called again with `false`, reads leave the eviction bits alone; `touch` does not.
    pub fn set_traceless(&mut self, traceless: bool) {
        self.traceless = traceless;
    }

    #[inline]
    pub(crate) fn mark(&mut self, found: Found) {
        let header = self.entry(found).header();
        let clock = self.eviction.used(header.clock(), &mut self.dice);
        if clock != header.clock() {
            self.set_header(found, header.with_clock(clock));
        }
    }

    /// The value; a use, counted as a hit or a miss.
    #[inline]
    pub fn get(&mut self, key: &Key<'_>) -> Option<Value<'_>> {
        let found = self.find_used(key)?;
        Some(self.entry(found).value())
    }

    /// The value, leaving no trace.
    #[inline]
    pub fn peek(&mut self, key: &Key<'_>) -> Option<Value<'_>> {
        let found = self.find_live(key)?;
        Some(self.entry(found).value())
    }

    /// Whether the key exists; a use, counted as a hit or a miss.
    #[inline]
    pub fn contains(&mut self, key: &Key<'_>) -> bool {
        self.find_used(key).is_some()
    }

    /// Marks a use; whether the key exists.
    pub fn touch(&mut self, key: &Key<'_>) -> bool {
        let Some(found) = self.find_live(key) else { return false };
        self.mark(found);
        true
    }

    /// The key's expiry, if it has one; None if there is no such key.
    pub fn expiry(&mut self, key: &Key<'_>) -> Option<Option<Due>> {
        let found = self.find_live(key)?;
        Some(self.entry(found).expiry())
    }

    /// Sets value and expiry, whatever was there. An expiry that is due already removes the key.
    ///
    /// # Errors
    /// `OutOfMemory`: nothing changed, but for evictions that did not suffice.
    #[inline]
    pub fn set(
        &mut self,
        key: &Key<'_>,
        value: NewValue<'_>,
        expiry: Expiry,
    ) -> Result<(), OutOfMemory> {
        self.put(key, Form::of(value), expiry)
    }

    #[inline]
    pub(crate) fn put(
        &mut self,
        key: &Key<'_>,
        form: Form<'_>,
        expiry: Expiry,
    ) -> Result<(), OutOfMemory> {
        let is_hash = form.type_name() == TypeName::Hash;
        if self.write(key, form, expiry, Room::Asked)? {
            if is_hash {
                self.schedule_fields_of(key);
            }
            self.say_set(key);
        }
        Ok(())
    }

    /// `put` without its effect; whether the key has the value now (its expiry may be past).
    #[inline]
    pub(crate) fn write(
        &mut self,
        key: &Key<'_>,
        form: Form<'_>,
        expiry: Expiry,
        room: Room,
    ) -> Result<bool, OutOfMemory> {
        let found = self.find_live(key);
        self.write_over(key, found, form, expiry, room)
    }

    /// `write` to where the key has just been found alive, or not at all.
    #[inline]
    pub(crate) fn write_over(
        &mut self,
        key: &Key<'_>,
        found: Option<Found>,
        form: Form<'_>,
        expiry: Expiry,
        room: Room,
    ) -> Result<bool, OutOfMemory> {
        let old_expiry = found.and_then(|found| self.entry(found).expiry());
        let expiry = match expiry {
            Expiry::Keep => old_expiry,
            Expiry::Never => None,
            Expiry::At(at) => Some(at),
        };
        if expiry.is_some_and(|at| at.is_due(self.now)) {
            if let Some(found) = found {
                self.remove_found(found, Removal::Deleted);
            }
            return Ok(false);
        }
        let physical = self.databases.physical(key.database);
        let Some(found) = found else { return self.insert(key, form, expiry, room).map(|()| true) };
        let fielded = is_fielded(self.entry(found));
        let header = self.entry(found).header();
        let scheduled = header.in_wheel()
            && expiry.is_some_and(|at| old_expiry.is_some_and(|before| before.precedes(at)));
        let draft = Draft {
            physical,
            key: key.bytes,
            form,
            expiry,
            clock: self.eviction.used(header.clock(), &mut self.dice),
            in_wheel: expiry.is_some(),
        };
        let handle = handle_at(&mut self.slots, found);
        match entry::overwrite(&self.slab, handle, draft) {
            Ok(()) => {
                self.databases.expiry_went(physical, old_expiry);
                self.databases.expiry_came(physical, expiry);
                if let (Some(at), false) = (expiry, scheduled) {
                    self.schedule(key, at);
                }
                self.fielded += usize::from(is_fielded(self.entry(found)));
                self.fielded -= usize::from(fielded);
            }
            Err(draft) => self.replace(key, found, draft, scheduled, room)?,
        }
        Ok(true)
    }

    /// Writes an existing key into a cell of another class.
    fn replace(
        &mut self,
        key: &Key<'_>,
        found: Found,
        draft: Draft<'_>,
        scheduled: bool,
        room: Room,
    ) -> Result<(), OutOfMemory> {
        if key.bytes.len() > KEY_BYTES_MAX {
            return Err(OutOfMemory);
        }
        let (bytes, charged) = (draft.bytes(), draft.form.charged());
        let found = if self.has_room(bytes, charged, 0) {
            Some(found)
        } else {
            self.make_room(bytes, charged, 0).or_else(|refusal| room.or(refusal))?;
            // Making room may have evicted this very key.
            self.find(key)
        };
        let expiry = draft.expiry;
        let scheduled = scheduled && found.is_some();
        let clock = draft.clock;
        let handle = draft.place(&self.slab).map_err(|_| OutOfMemory)?;
        if let Some(found) = found {
            self.forget(found);
            let old = std::mem::replace(handle_at(&mut self.slots, found), handle);
            if let Some(large) = entry::free(&self.slab, old) {
                self.upkeep.bury_large(large);
            }
            self.outside_bytes += charged;
            self.fielded += usize::from(is_fielded(self.entry(found)));
            let weight = self.weight(found);
            self.eviction.came(clock, weight);
            self.databases.came(self.databases.physical(key.database), expiry);
        } else {
            self.add(key, handle);
        }
        if let (Some(at), false) = (expiry, scheduled) {
            self.schedule(key, at);
        }
        Ok(())
    }

    fn insert(
        &mut self,
        key: &Key<'_>,
        form: Form<'_>,
        expiry: Option<Due>,
        room: Room,
    ) -> Result<(), OutOfMemory> {
        if key.bytes.len() > KEY_BYTES_MAX {
            return Err(OutOfMemory);
        }
        let physical = self.databases.physical(key.database);
        let clock = self.eviction.newborn(Hashing::placed(key.hash, physical), &mut self.stats);
        let draft =
            Draft { physical, key: key.bytes, form, expiry, clock, in_wheel: expiry.is_some() };
        self.make_room(draft.bytes(), draft.form.charged(), 1)
            .or_else(|refusal| room.or(refusal))?;
        let handle = draft.place(&self.slab).map_err(|_| OutOfMemory)?;
        self.add(key, handle);
        self.notify(NoticeClasses::NEW, "new", key);
        if let Some(at) = expiry {
            self.schedule(key, at);
        }
        Ok(())
    }

    /// Puts a new entry into the table and into all accounts.
    fn add(&mut self, key: &Key<'_>, handle: Handle) {
        let entry = Entry::of(&self.slab, &handle);
        let physical = entry.header().physical();
        let charged = entry.charged();
        self.outside_bytes += charged;
        self.fielded += usize::from(is_fielded(entry));
        self.databases.came(physical, entry.expiry());
        let weight = crate::eviction::weight_of(entry);
        self.eviction.came(entry.header().clock(), weight);
        let hash = Hashing::placed(key.hash, physical);
        let slot = self.slot_index(key.slot);
        self.occupied[slot / 64] |= 1 << (slot % 64);
        self.upkeep.stuck = false;
        loop {
            let hardened = || self.hashing.hardened(physical, key.bytes);
            let (piece, placed) = self.slots[slot].piece(hash, hardened);
            if !self.slots[slot].segment(piece).is_full() {
                self.slots[slot].segment_mut(piece).insert(placed, handle);
                return;
            }
            // Once as a rule; again if a split left this half full.
            self.grow(slot, piece);
        }
    }

    #[cold]
    fn grow(&mut self, slot: usize, piece: Piece) {
        let table = &mut self.slots[slot];
        let before = table.wide_bytes();
        let rehash = Rehash { slab: &self.slab, hashing: &self.hashing };
        let number = Slot::new(slot as u16 + self.first_slot).expect("within this lane's range");
        let wheels = &mut self.wheels;
        table.grow(piece, rehash, &mut |handle, hash| {
            // Its timers find it by the old hash no longer.
            wheels.schedule_each(soonest(Entry::of(&self.slab, handle)), Item::new(number, hash));
        });
        self.wide_bytes += table.wide_bytes();
        self.wide_bytes -= before;
    }

    /// Makes a segment smaller that has become sparse.
    #[inline]
    pub(crate) fn tidy(&mut self, slot: usize, piece: Piece) {
        let segment = self.slots[slot].segment(piece);
        let empty = segment.table.is_empty();
        if empty || segment.is_sparse() {
            self.shrink(slot, piece);
        }
        if empty && self.slots[slot].len() == 0 {
            self.occupied[slot / 64] &= !(1 << (slot % 64));
        }
    }

    #[cold]
    fn shrink(&mut self, slot: usize, piece: Piece) {
        let table = &mut self.slots[slot];
        let before = table.wide_bytes();
        table.shrink(piece, Rehash { slab: &self.slab, hashing: &self.hashing });
        self.wide_bytes += table.wide_bytes();
        self.wide_bytes -= before;
    }

    /// Puts an item for this key into the wheel of the clock that it is due by.
    pub(crate) fn schedule(&mut self, key: &Key<'_>, at: Due) {
        let physical = self.databases.physical(key.database);
        let table = &self.slots[self.slot_index(key.slot)];
        let hash = Hashing::placed(key.hash, physical);
        let (_, hash) = table.piece(hash, || self.hashing.hardened(physical, key.bytes));
        self.upkeep.stuck = false;
        self.wheels.schedule(at, Item::new(key.slot, hash));
    }

    /// What the entry counts for: its cell and its value outside.
    pub(crate) fn weight(&self, found: Found) -> usize {
        crate::eviction::weight_of(self.entry(found))
    }

    /// Takes an entry out of every account but the table.
    pub(crate) fn forget(&mut self, found: Found) {
        let entry = self.entry(found);
        let (header, expiry) = (entry.header(), entry.expiry());
        let charged = entry.charged();
        let weight = crate::eviction::weight_of(entry);
        let fielded = is_fielded(entry);
        self.outside_bytes -= charged;
        self.fielded -= usize::from(fielded);
        self.databases.went(header.physical(), expiry);
        self.eviction.went(header.clock(), weight);
    }

    /// Takes the entry out, says so, and makes its segment smaller if few are left.
    #[inline]
    pub(crate) fn remove_found(&mut self, found: Found, cause: Removal) {
        self.take_found(found, cause);
        self.tidy(found.slot, found.piece);
    }

    /// Takes the entry out and says so; the layout stays, for walkers.
    pub(crate) fn take_found(&mut self, found: Found, cause: Removal) {
        self.forget(found);
        let table = &mut self.slots[found.slot].segment_mut(found.piece).table;
        let Ok(occupied) = table.get_bucket_entry(found.bucket) else {
            unreachable!("an entry was found there");
        };
        let (handle, _) = occupied.remove();
        let entry = Entry::of(&self.slab, &handle);
        if let Some(database) = self.databases.logical(entry.header().physical()) {
            match cause {
                Removal::Deleted => {}
                Removal::Expired => {
                    self.stats.expired += 1;
                    self.notices.say(NoticeClasses::EXPIRED, "expired", entry.key(), database);
                }
                Removal::Evicted => {
                    self.stats.evicted += 1;
                    self.notices.say(NoticeClasses::EVICTED, "evicted", entry.key(), database);
                }
            }
            if let Some(sink) = &mut self.sink {
                let bytes = entry.key();
                let slot = Slot::new(found.slot as u16 + self.first_slot).expect("in range");
                let key = Key { bytes, slot, hash: self.hashing.of_key(bytes), database };
                sink.effect(&Effect::Remove { key, cause });
            }
        }
        if let Some(large) = entry::free(&self.slab, handle) {
            self.upkeep.bury_large(large);
        }
    }

    /// Sets, changes or (None) removes the expiry; whether there was such a key. One that is due
    /// already removes the key.
    pub fn set_expiry(&mut self, key: &Key<'_>, expiry: Option<Due>) -> bool {
        let Some(found) = self.find_live(key) else { return false };
        let entry = self.entry(found);
        let (header, old) = (entry.header(), entry.expiry());
        let physical = header.physical();
        match (old, expiry) {
            (_, Some(at)) if at.is_due(self.now) => {
                self.remove_found(found, Removal::Deleted);
                return true;
            }
            (None, None) => return true,
            (Some(before), Some(at)) => {
                let handle = handle_at(&mut self.slots, found);
                entry::set_expiry(&self.slab, handle, at);
                self.databases.expiry_went(physical, old);
                self.databases.expiry_came(physical, expiry);
                if !header.in_wheel() || !before.precedes(at) {
                    self.set_header(found, header.with_in_wheel(true));
                    self.schedule(key, at);
                }
            }
            (Some(_), None) => self.reshape(key, found, None),
            (None, Some(_)) => {
                let bytes = entry.bytes() + size_of::<u64>();
                // The key is smaller than the limit; where nothing can go it may pass by this.
                let _ = self.make_room(bytes, 0, 0);
                // Making room may have evicted this very key, and said so.
                let Some(found) = self.find(key) else { return true };
                self.reshape(key, found, expiry);
            }
        }
        self.say(|sink| sink.effect(&Effect::Expire { key: *key, expiry }));
        true
    }

    /// Gives the entry a place for an expiry, or takes it away: another cell, unless it fits.
    fn reshape(&mut self, key: &Key<'_>, found: Found, expiry: Option<Due>) {
        let Found { slot, piece, bucket } = found;
        self.forget(found);
        let table = &mut self.slots[slot].segment_mut(piece).table;
        let handle = table.get_bucket_mut(bucket).expect("an entry was found there");
        entry::reshape(&self.slab, handle, expiry);
        let entry = self.entry(found);
        let (header, charged) = (entry.header(), entry.charged());
        let (weight, fielded) = (self.weight(found), is_fielded(entry));
        self.outside_bytes += charged;
        self.fielded += usize::from(fielded);
        self.databases.came(header.physical(), expiry);
        self.eviction.came(header.clock(), weight);
        if let Some(at) = expiry {
            self.schedule(key, at);
        }
    }

    /// Removes the key; whether it existed. `cause` says why in the effect and the statistics.
    #[inline]
    pub fn remove(&mut self, key: &Key<'_>, cause: Removal) -> bool {
        let Some(found) = self.find(key) else { return false };
        if cause == Removal::Deleted && self.entry(found).is_due(self.now) {
            self.remove_found(found, Removal::Expired);
            return false;
        }
        self.remove_found(found, cause);
        true
    }

    /// A copy of value and expiry; a blob is shared.
    pub fn export(&mut self, key: &Key<'_>) -> Option<Exported> {
        let found = self.find_live(key)?;
        let entry = self.entry(found);
        Some(Exported { value: entry.value().to_owned(), expiry: entry.expiry() })
    }

    /// Sets value and expiry to those of `exported`, whatever was there.
    pub fn import(&mut self, key: &Key<'_>, exported: &Exported) -> Result<(), OutOfMemory> {
        let expiry = exported.expiry.map_or(Expiry::Never, Expiry::At);
        self.set(key, exported.value.as_new(), expiry)
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    pub fn reset_stats(&mut self) {
        self.stats = Stats::default();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Entries in the slab go with it; values outside must be dropped one by one.
        if self.outside_bytes > 0 || self.upkeep.has_graves() {
            self.free_everything();
        }
    }
}
