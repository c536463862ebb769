//! Choosing what goes, and making room for a write.

use ringlane_base::{Clock, Due};

use crate::classes::PAGE_BYTES;
use crate::edit::soonest;
use crate::entry::{self, Entry};
use crate::eviction::ghosts::Origin;
use crate::eviction::{FRESH, Ground, LEVEL, MAIN, USES, weight_of};
use crate::segment::prefetch;
use crate::store::{Found, Store, handle_at};
use crate::upkeep::RELEASE_UNITS;
use crate::wheel::Item;
use crate::{OutOfMemory, Policy, Removal};

/// Entries that one choice looks at before it takes the least used of them.
const LOOKS_MAX: usize = 512;

/// Entries that a sampling policy compares.
const SAMPLES: usize = 16;

/// Where fewer than one key in this many has an expiry, volatile policies find theirs in the wheel.
const VOLATILE_SHARE: usize = 8;

/// A write that would pass the limit by less than this part of it may do so for as long as upkeep
/// needs to bring it down, so that no single write pays for a whole large value.
const DEBT_SHARE: usize = 32;

/// This part of the limit, and not more than this, is for writes that need a page of a class; upkeep
/// keeps it free.
pub(crate) const RESERVE_SHARE: usize = 128;
pub(crate) const RESERVE_BYTES_MAX: usize = 4 << 20;

/// Victims that a write takes before it has a page opened.
const VICTIMS_AT_ONCE: usize = 8;

/// Bytes outside whose eviction pays for a unit of moving elements together, where that is wanted.
const SETTLED_BYTES_UNIT: usize = 64;

/// Units of eviction and compaction that a write in debt does itself.
const DEBT_UNITS: usize = 500;

/// Victims in pinned slots that are passed over before nothing may go.
const PINNED_TRIES_MAX: u32 = 256;

impl Store {
    /// Bytes that count against the limit.
    #[inline]
    pub(crate) fn used_bytes(&self) -> usize {
        self.slab.resident_bytes()
            + self.slab.large_bytes()
            + self.outside_bytes
            + self.upkeep.large_bytes
            + self.fixed_bytes()
    }

    /// Whether what `make_room` makes room for fits as it is.
    #[inline]
    pub(crate) fn has_room(&self, cell: usize, outside: usize, entries: usize) -> bool {
        if let Some(max) = self.limits.entries_max
            && self.databases.entries() + entries > max
        {
            return false;
        }
        let Some(max) = self.limits.bytes_max else { return true };
        let reserve = (max / RESERVE_SHARE).min(RESERVE_BYTES_MAX);
        self.used_bytes() + self.needed(cell, outside) <= max - reserve
    }

    /// Makes room for a cell of so many bytes, a value of so many bytes outside, and `entries` more
    /// entries.
    ///
    /// # Errors
    /// `OutOfMemory` when nothing more can be evicted and it still does not fit.
    #[inline]
    pub(crate) fn make_room(
        &mut self,
        cell: usize,
        outside: usize,
        entries: usize,
    ) -> Result<(), OutOfMemory> {
        if self.has_room(cell, outside, entries) {
            return Ok(());
        }
        self.evict_for(cell, outside, entries)
    }

    #[cold]
    fn evict_for(
        &mut self,
        cell: usize,
        outside: usize,
        entries: usize,
    ) -> Result<(), OutOfMemory> {
        let made = self.make_place(entries).and_then(|()| match self.limits.bytes_max {
            Some(max) if !self.has_room(cell, outside, entries) => {
                self.make_bytes(cell, outside, max)
            }
            Some(_) | None => Ok(()),
        });
        if made.is_err() {
            self.note_refused();
        }
        made
    }

    /// Counts a write that was refused.
    pub fn note_refused(&mut self) {
        self.stats.refused += 1;
    }

    /// Whether a write would be refused: the memory limit is reached and nothing can be evicted.
    /// Evicts to find out.
    pub fn is_full(&mut self) -> bool {
        self.make_room(PAGE_BYTES, 0, 0).is_err()
    }

    /// Whether more is used than the limit allows and nothing may go: then whatever may add memory is
    /// refused, though it be small. Frees what was flushed and evicts to find out; free of cost under
    /// the policies that always can.
    #[inline]
    pub fn refuses_writes(&mut self) -> bool {
        let policy = self.limits.policy;
        if (policy != Policy::NoEviction && !policy.is_volatile()) || self.passes_limit {
            return false;
        }
        let Some(max) = self.limits.bytes_max else { return false };
        self.used_bytes() > max && self.make_bytes(0, 0, max).is_err()
    }

    /// What the write would add to what is resident.
    #[inline]
    fn needed(&self, cell: usize, outside: usize) -> usize {
        outside + if self.slab.has_cell(cell) { 0 } else { cell.max(PAGE_BYTES) }
    }

    /// Whether what no key has any more still takes memory.
    fn has_flushed(&self) -> bool {
        self.upkeep.has_graves() || self.upkeep.has_large() || self.databases.dead() > 0
    }

    fn make_place(&mut self, entries: usize) -> Result<(), OutOfMemory> {
        while let Some(max) = self.limits.entries_max
            && self.databases.entries() + entries > max
        {
            if !self.evict_one() {
                return Err(OutOfMemory);
            }
        }
        Ok(())
    }

    #[cold]
    fn make_bytes(&mut self, cell: usize, outside: usize, max: usize) -> Result<(), OutOfMemory> {
        let alone_max = self.alone_max(max);
        if outside + cell > alone_max && !self.passes_limit {
            return Err(OutOfMemory);
        }
        if outside == 0 && !self.has_flushed() {
            // As a rule one of the next victims leaves a cell of the right class.
            for _ in 0..VICTIMS_AT_ONCE {
                if self.slab.has_cell(cell) || !self.evict_one() {
                    break;
                }
            }
        }
        let debt_max = max / DEBT_SHARE;
        let mut units = 0;
        loop {
            let over = (self.used_bytes() + self.needed(cell, outside)).saturating_sub(max);
            if over == 0 || (over <= debt_max && units >= DEBT_UNITS) {
                return Ok(());
            }
            let released = self.slab.release(0, over.div_ceil(PAGE_BYTES));
            if released > 0 {
                units += released * RELEASE_UNITS;
                continue;
            }
            if self.has_flushed() {
                // Before eviction: what was flushed or deleted is no loss.
                units += self.drain(DEBT_UNITS / 4).max(1);
                continue;
            }
            if self.free_space_is_due(true) {
                let moved = self.compact(DEBT_UNITS / 4);
                if moved > 0 {
                    units += moved;
                    continue;
                }
            }
            if self.evict_one() {
                units += 2;
                continue;
            }
            let moved = self.compact(DEBT_UNITS);
            units += moved;
            if moved == 0 {
                if self.whole_max.is_some() && self.databases.entries() == 0 {
                    // Nothing is left but this write, which fits the whole.
                    return Ok(());
                }
                if self.passes_limit {
                    self.stats.forced += 1;
                    return Ok(());
                }
                return Err(OutOfMemory);
            }
        }
    }

    /// The largest write that is let in. Under a policy that evicts, this is not bounded by the
    /// store's own share, which may be small for a moment: what is too much then goes next.
    fn alone_max(&self, max: usize) -> usize {
        let whole = self.whole_max.map_or(max, |whole| whole.max(max));
        whole.saturating_sub(self.fixed_bytes())
    }

    /// Evicts what the policy says should go first; false if nothing may.
    pub(crate) fn evict_one(&mut self) -> bool {
        let mut tries = PINNED_TRIES_MAX;
        let found = loop {
            let Some(found) = self.victim() else { return false };
            if !self.is_pinned(found.slot) {
                break found;
            }
            tries -= 1;
            if tries == 0 {
                return false;
            }
        };
        let header = self.entry(found).header();
        if self.limits.policy == Policy::Adaptive {
            let origin = if header.clock() & MAIN == 0 { Origin::Probation } else { Origin::Main };
            let hash = self.hashing.of_entry(self.entry(found));
            let entries = self.databases.entries();
            self.eviction.ghosts.fit(entries);
            self.eviction.ghosts.put(hash, origin);
        }
        let cause =
            if self.entry(found).is_due(self.now) { Removal::Expired } else { Removal::Evicted };
        let outside = self.entry(found).charged();
        self.take_found(found, cause);
        self.tidy(found.slot, found.piece);
        // Holes grow by what goes, so what fills them keeps pace with it.
        self.settle_slice(outside / SETTLED_BYTES_UNIT);
        true
    }

    fn victim(&mut self) -> Option<Found> {
        let policy = self.limits.policy;
        if policy == Policy::NoEviction || self.databases.entries() == 0 {
            return None;
        }
        if policy.is_volatile() {
            return self.volatile_victim(policy);
        }
        match policy {
            Policy::Adaptive => self.adaptive_victim(),
            Policy::AllkeysRandom => self.random_entry(),
            Policy::AllkeysLru => self.aged_victim(USES, false),
            Policy::AllkeysLfu | Policy::AllkeysFifo => self.aged_victim(LEVEL, false),
            Policy::VolatileLru
            | Policy::VolatileLfu
            | Policy::VolatileRandom
            | Policy::VolatileFifo
            | Policy::VolatileTtl
            | Policy::NoEviction => unreachable!("handled above"),
        }
    }

    /// The next entry of a hand; None if there are no entries.
    fn step(&mut self, main: bool) -> Option<Found> {
        let hand =
            if main { &mut self.eviction.main_hand } else { &mut self.eviction.probation_hand };
        let (slots, occupied, slab) = (&self.slots, &self.occupied, &self.slab);
        hand.next(Ground { slots, occupied, slab, now: self.now.steady })
    }

    fn set_clock(&mut self, found: Found, clock: u8) {
        let entry = self.entry(found);
        let (header, weight) = (entry.header(), weight_of(entry));
        let before = header.clock();
        let handle = handle_at(&mut self.slots, found);
        entry::set_header(&self.slab, handle, header.with_clock(clock));
        if (before ^ clock) & MAIN != 0 {
            self.eviction.went(before, weight);
            self.eviction.came(clock, weight);
        }
    }

    /// Entries of flushed databases and those that are due go before any other.
    fn is_free_prey(&self, entry: Entry<'_>) -> bool {
        self.databases.logical(entry.header().physical()).is_none() || entry.is_due(self.now)
    }

    fn adaptive_victim(&mut self) -> Option<Found> {
        let mut looks = 0;
        loop {
            let main = !self.eviction.probation_is_over();
            let found = self.step(main)?;
            let entry = self.entry(found);
            let clock = entry.header().clock();
            if self.is_free_prey(entry) {
                return Some(found);
            }
            if (clock & MAIN != 0) != main {
                continue;
            }
            looks += 1;
            if looks > LOOKS_MAX {
                return Some(found);
            }
            if main {
                if clock & USES == 0 {
                    return Some(found);
                }
                self.set_clock(found, clock - 1);
            } else if clock & USES != 0 {
                self.set_clock(found, MAIN);
            } else if clock & FRESH != 0 {
                self.set_clock(found, 0);
            } else {
                return Some(found);
            }
        }
    }

    /// Lowers the counter of every entry the hand meets until one is at zero.
    fn aged_victim(&mut self, counter: u8, volatile: bool) -> Option<Found> {
        let mut least: Option<(u8, Found)> = None;
        for _ in 0..LOOKS_MAX {
            let found = self.step(false)?;
            let entry = self.entry(found);
            let header = entry.header();
            if self.is_free_prey(entry) {
                return Some(found);
            }
            if volatile && !header.has_expiry() {
                continue;
            }
            let level = header.clock() & counter;
            if level == 0 {
                return Some(found);
            }
            if least.is_none_or(|(lowest, _)| level <= lowest) {
                least = Some((level, found));
            }
            self.set_clock(found, header.clock() - 1);
        }
        least.map(|(_, found)| found)
    }

    /// The entry after the last random one.
    pub(crate) fn next_entry(&mut self) -> Option<Found> {
        self.step(true)
    }

    /// An entry by chance; every slot, then every bucket alike.
    pub(crate) fn random_entry(&mut self) -> Option<Found> {
        if self.databases.entries() == 0 {
            return None;
        }
        let slot = self.dice.usize(..self.slots.len());
        self.eviction.main_hand.jump(slot);
        self.eviction.main_hand.jump_bucket(&self.slots, &mut self.dice);
        self.step(true)
    }

    fn volatile_victim(&mut self, policy: Policy) -> Option<Found> {
        let expiring = self.databases.expiring_entries();
        if expiring == 0 {
            return None;
        }
        let frequent = expiring * VOLATILE_SHARE >= self.databases.entries();
        if frequent {
            let found = match policy {
                Policy::VolatileLru => self.aged_victim(USES, true),
                Policy::VolatileLfu | Policy::VolatileFifo => self.aged_victim(LEVEL, true),
                _ => None,
            };
            if found.is_some() {
                return found;
            }
        }
        if let Some(found) = self.sampled_victim(policy) {
            return Some(found);
        }
        // The wheel is being built anew.
        loop {
            let found = self.step(false)?;
            if self.entry(found).header().has_expiry() {
                return Some(found);
            }
        }
    }

    /// The best, which the caller evicts, of a few entries that the wheel names: for `volatile-ttl` those that are due next,
    /// else any.
    fn sampled_victim(&mut self, policy: Policy) -> Option<Found> {
        let first = policy == Policy::VolatileTtl;
        // Any will do for `volatile-random`: nothing is compared.
        let samples = if policy == Policy::VolatileRandom { 1 } else { SAMPLES };
        let mut best: Option<(u64, Found, (Due, Item))> = None;
        // Items of no use are dropped from the wheel on the way, so this ends.
        while best.is_none() && self.wheels.len() > 0 {
            let mut items = [Item::none(); SAMPLES];
            let clock = self.wheels.choose(first, self.now, &mut self.dice);
            let wheel = self.wheels.of_mut(clock);
            let count = wheel.draw(&mut items[..samples], first, &mut self.dice);
            self.stats.sampled += count as u64;
            for item in &items[..count] {
                self.prefetch_item(*item);
            }
            for item in &items[..count] {
                let Some((found, at)) = self.find_item(clock, *item) else { continue };
                let bits = self.entry(found).header().clock();
                let rank = match policy {
                    Policy::VolatileTtl => at.left_ms(self.now),
                    Policy::VolatileLru => u64::from(bits & USES),
                    Policy::VolatileLfu | Policy::VolatileFifo => u64::from(bits & LEVEL),
                    _ => 0,
                };
                let mine = (at, *item);
                let (at, item) = match best {
                    Some((lowest, _, _)) if rank >= lowest => mine,
                    Some((_, _, other)) => {
                        best = Some((rank, found, mine));
                        other
                    }
                    None => {
                        best = Some((rank, found, mine));
                        continue;
                    }
                };
                // All but the best stay; that one goes, and leaves no item of no use behind.
                self.wheels.schedule(at, item);
            }
        }
        best.map(|(_, found, _)| found)
    }

    /// The entry that an item of this clock's wheel names, and when it is due first by that clock.
    pub(crate) fn find_item(&self, clock: Clock, item: Item) -> Option<(Found, Due)> {
        let slot = self.slot_index(item.slot);
        let table = &self.slots[slot];
        for (index, piece) in table.pieces_of_cut(item.cut).into_iter().enumerate() {
            let Some(piece) = piece else { continue };
            let matches = |handle: &crate::slab::Handle| {
                let entry = Entry::of(&self.slab, handle);
                let hash = if index == 0 {
                    self.hashing.of_entry(entry)
                } else {
                    self.hashing.hardened_of_entry(entry)
                };
                crate::wheel::cut(hash) == item.cut && soonest(entry).on(clock).is_some()
            };
            if let Some(bucket) = table.segment(piece).table.find_bucket_index(item.cut, matches) {
                let found = Found { slot, piece, bucket };
                return Some((found, soonest(self.entry(found)).on(clock)?));
            }
        }
        None
    }

    /// Begins to load what an item will be looked up in.
    pub(crate) fn prefetch_item(&self, item: Item) {
        let table = &self.slots[self.slot_index(item.slot)];
        if let [Some(piece), _] = table.pieces_of_cut(item.cut)
            && let Some(handle) = table.segment(piece).table.find(item.cut, |_| true)
        {
            prefetch(self.slab.pointer(handle).as_ptr());
        }
    }
}
