//! Upkeep in slices: due expiries, flushed data, eviction ahead of need, gathering of free memory.

use std::sync::Arc;

use ringlane_base::Clock;

use crate::classes::PAGE_BYTES;
use crate::edit::soonest;
use crate::entry::{self, Entry};
use crate::eviction::victims::{RESERVE_BYTES_MAX, RESERVE_SHARE};
use crate::segment::{Segment, prefetch};
use crate::slab::{CellPlace, LeavingPage};
use crate::slot_table::{Position, SlotTable};
use crate::store::{Found, Store, handle_at};
use crate::types::Collection;
use crate::wheel::Item;
use crate::{Arena, Budget, Limits, Memory, Removal, Work};

/// Items of the wheel that are handled together, so that their misses overlap.
const ITEMS_BATCH: usize = 32;

/// Cells of a leaving page that are handled together.
const CELLS_BATCH: usize = 32;

/// What the wheels may hold beside one item for each key with an expiry before they are built anew:
/// as many again, and this.
const STALE_ITEMS_MIN: usize = 4096;

/// Free space scattered over pages is gathered when it passes this part of what is resident, and
/// this many bytes: near the limit, and far from it.
const SCATTERED_SHARE_FULL: usize = 20;
const SCATTERED_SHARE_IDLE: usize = 8;
const SCATTERED_BYTES_MIN: usize = 1 << 20;

/// Free pages that stay backed for the next writes.
const POOL_PAGES: usize = 16;

/// Units that giving one page back counts for.
pub(crate) const RELEASE_UNITS: usize = 100;

/// Units that freeing so many bytes outside counts for.
const OUTSIDE_BYTES_UNIT: usize = 64 << 10;

/// Larger collections are freed in slices.
const LARGE_BYTES_MIN: usize = 64 << 10;

/// What upkeep is in the middle of.
#[derive(Default)]
pub struct Upkeep {
    /// Slot arrays of flushed stores.
    graves: Vec<Vec<SlotTable>>,
    /// Segments of a slot of those.
    segments: Vec<Segment>,
    /// Large collections that no key has any more.
    large: Vec<Arc<Collection>>,
    /// Bytes that those take still.
    pub(crate) large_bytes: usize,
    /// Hashes with fields that are due, in no order: at most one for each item of a wheel, with that
    /// wheel's clock.
    pub(crate) due_fields: Vec<(Clock, Item)>,
    /// Where the search for entries of flushed databases stands.
    sweep: (usize, Position),
    /// The page being emptied, and from which cell on.
    leaving: Option<(LeavingPage, usize)>,
    /// Whether the reserve for writes is being restored.
    restoring: bool,
    /// Whether the last attempt to restore it found nothing that may go.
    pub(crate) stuck: bool,
    /// Where the rebuilding of the wheel stands.
    rewheel: Option<(usize, Position)>,
}

impl Upkeep {
    /// Whether large collections wait to be freed.
    pub fn has_large(&self) -> bool {
        !self.large.is_empty()
    }

    /// Whether detached entries wait to be freed.
    pub fn has_graves(&self) -> bool {
        !self.graves.is_empty() || !self.segments.is_empty()
    }

    /// Takes a collection that is to be freed in slices, unless that is done at once.
    pub fn bury_large(&mut self, large: Arc<Collection>) {
        let bytes = large.bytes();
        if bytes > LARGE_BYTES_MIN {
            self.large.push(large);
            self.large_bytes += bytes;
        }
    }

    /// Detaches a whole slot array.
    pub fn bury(&mut self, slots: Vec<SlotTable>) {
        self.graves.push(slots);
        self.rewheel = None;
        self.sweep = Default::default();
    }
}

impl Store {
    /// Sets the limits and the policy. What is too much goes as writes and upkeep find it.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.upkeep.stuck = false;
        self.eviction.policy = limits.policy;
        self.eviction.by_entries = limits.bytes_max.is_none();
        if limits.policy != crate::Policy::Adaptive {
            self.eviction.ghosts.clear();
        }
    }

    /// Sets the limit that this store shares with others, of which `Limits::bytes_max` is its part:
    /// a write that would fit the whole is let in once nothing else is left here to evict. None, and
    /// any limit under `noeviction`: the part alone decides. Called after `set_limits`.
    pub fn set_whole_limit(&mut self, bytes: Option<usize>) {
        self.whole_max = bytes.filter(|_| self.limits.policy != crate::Policy::NoEviction);
    }

    /// Whether what is written from now on may pass the limit where nothing can be evicted, because
    /// it belongs to something that has begun and comes to its end.
    pub fn set_passes_limit(&mut self, passes: bool) {
        self.passes_limit = passes;
    }

    /// What `set_passes_limit` said last.
    pub fn passes_limit(&self) -> bool {
        self.passes_limit
    }

    /// Bytes of fixed kind: slot array, directories, books, wheel, ghosts.
    #[inline]
    pub(crate) fn fixed_bytes(&self) -> usize {
        self.slots.len() * size_of::<SlotTable>()
            + size_of::<Self>()
            + self.wide_bytes
            + self.slab.books_bytes()
            + self.wheels.bytes()
            + self.eviction.ghosts.bytes()
    }

    /// The arena, if the lane will soon need pages that a thread beside it should back with memory
    /// and that thread was not told since.
    #[inline]
    pub fn take_short_arena(&mut self) -> Option<Arc<Arena>> {
        self.slab.take_short()
    }

    /// The memory account.
    pub fn memory(&self) -> Memory {
        let ghosts = self.eviction.ghosts.bytes();
        let wheel = self.wheels.bytes();
        Memory {
            slab_resident: self.slab.resident_bytes(),
            slab_ahead: self.slab.ahead_bytes(),
            slab_live: self.slab.live_bytes(),
            tables: self.slab.table_bytes(),
            blobs: self.slab.large_bytes() + self.outside_bytes + self.upkeep.large_bytes,
            ghosts,
            wheel,
            fixed: self.fixed_bytes() - ghosts - wheel,
        }
    }

    /// In how many milliseconds `work` will have something to do, as far as time decides it and
    /// nobody sets the clock; 0 if it has now.
    pub fn next_due_ms(&self) -> Option<u64> {
        if self.has_backlog() {
            return Some(0);
        }
        self.wheels.next_due_ms(self.now)
    }

    /// Whether there is upkeep that does not wait for a time.
    fn has_backlog(&self) -> bool {
        self.upkeep.has_graves()
            || !self.upkeep.large.is_empty()
            || !self.upkeep.due_fields.is_empty()
            || self.databases.dead() > 0
            || self.upkeep.rewheel.is_some()
            || self.wheels.has_trash()
            || (self.reserve_is_low() && !self.upkeep.stuck)
            || self.upkeep.leaving.is_some()
            || self.settle_is_due()
            || self.slab.pool_pages() > POOL_PAGES
    }

    /// Does what is due: expiries first, then flushed data, eviction ahead of need, gathering and
    /// giving back of memory. Stops when the budget is used.
    pub fn work(&mut self, budget: Budget) -> Work {
        let budget = budget.units as usize;
        let mut used = self.expire_due(budget);
        if used < budget {
            used += self.drain(budget - used);
        }
        if used < budget {
            used += self.evict_ahead(budget - used);
        }
        if used < budget {
            used += self.rebuild_wheels(budget - used);
        }
        if used < budget {
            used += self.gather(budget - used);
        }
        if used < budget {
            used += self.settle_slice(budget - used);
        }
        if used < budget {
            let pages = (budget - used).div_ceil(RELEASE_UNITS);
            used += self.slab.release(POOL_PAGES, pages) * RELEASE_UNITS;
        }
        let more = self.wheels.has_pending() || self.has_backlog() || used >= budget;
        Work { more, used: used as u32 }
    }

    /// Handles the wheels' due items: removes what is due, schedules the rest again.
    fn expire_due(&mut self, budget: usize) -> usize {
        let mut used = 0;
        let mut items = [Item::none(); ITEMS_BATCH];
        for clock in Clock::ALL {
            while used < budget {
                let count = self.wheels.of_mut(clock).pop(&mut items);
                if count == 0 {
                    break;
                }
                for item in &items[..count] {
                    self.prefetch_item(*item);
                }
                for item in &items[..count] {
                    used += self.expire_item(clock, *item);
                }
            }
        }
        while used < budget
            && let Some((clock, item)) = self.upkeep.due_fields.pop()
        {
            used += match self.find_item(clock, item) {
                Some((found, at)) if self.is_pinned(found.slot) => {
                    self.wheels.schedule(at, item);
                    1
                }
                Some((found, _)) => self.expire_fields(found, clock, item),
                None => 1,
            };
        }
        used
    }

    /// Removes what an item names if it is due, schedules it again if it is not, leaves it to a step
    /// of its own if it has fields that are; what that cost.
    fn expire_item(&mut self, clock: Clock, item: Item) -> usize {
        let Some((found, at)) = self.find_item(clock, item) else { return 1 };
        if !at.is_due(self.now) || self.is_pinned(found.slot) {
            self.wheels.schedule(at, item);
            return 1;
        }
        if self.entry(found).is_due(self.now) {
            let outside = self.entry(found).charged();
            self.remove_found(found, Removal::Expired);
            return outside / OUTSIDE_BYTES_UNIT + 1;
        }
        self.upkeep.due_fields.push((clock, item));
        1
    }

    /// Frees what was flushed.
    pub(crate) fn drain(&mut self, budget: usize) -> usize {
        let mut used = 0;
        while used < budget && self.wheels.has_trash() {
            used += self.wheels.free_trash(8).max(1);
        }
        while used < budget && !self.upkeep.large.is_empty() {
            used += self.drain_large(budget - used);
        }
        while used < budget && self.upkeep.has_graves() {
            used += self.drain_grave();
        }
        while used < budget && self.databases.dead() > 0 {
            used += self.sweep_segment();
        }
        used
    }

    /// Frees some of a large collection that no key has any more.
    fn drain_large(&mut self, budget: usize) -> usize {
        let Some(large) = self.upkeep.large.last_mut() else { return 0 };
        let mut units = budget.min(u32::MAX as usize) as u32;
        let before = units;
        let held = large.bytes();
        let done = match Arc::get_mut(large) {
            Some(large) => large.free_some(&mut units),
            // It still travels: whoever has it drops it.
            None => true,
        };
        let left = if done { 0 } else { large.bytes() };
        if done {
            self.upkeep.large.pop();
        }
        self.upkeep.large_bytes -= held - left;
        (before - units) as usize + 1
    }

    /// Frees one segment of a detached slot array; or opens the next slot.
    fn drain_grave(&mut self) -> usize {
        let Some(mut segment) = self.upkeep.segments.pop() else {
            let Some(slots) = self.upkeep.graves.last_mut() else { return 0 };
            match slots.pop() {
                Some(slot) => self.upkeep.segments = slot.into_segments(),
                None => drop(self.upkeep.graves.pop()),
            }
            return 1;
        };
        segment.prefetch_all(&self.slab);
        let mut used = 1;
        for handle in segment.table.drain() {
            let charged = Entry::of(&self.slab, &handle).charged();
            self.outside_bytes -= charged;
            used += 1 + charged / OUTSIDE_BYTES_UNIT;
            if let Some(large) = entry::free(&self.slab, handle) {
                self.upkeep.bury_large(large);
            }
        }
        used
    }

    /// Visits the segment at a walker's place and moves the place to the next one; None for a new
    /// round. The visitor may take entries out, but not change the layout.
    fn visit_segment(
        &mut self,
        place: (usize, Position),
        mut visit: impl FnMut(&mut Self, Found),
    ) -> (Option<(usize, Position)>, usize) {
        let (slot, position) = place;
        let mut used = 1;
        let mut next = None;
        if let Some(piece) = self.slots[slot].at(position) {
            let segment = self.slots[slot].segment(piece);
            segment.prefetch_all(&self.slab);
            let buckets = segment.table.num_buckets();
            used += buckets / 8 + segment.table.len();
            for bucket in 0..buckets {
                if self.slots[slot].segment(piece).table.get_bucket(bucket).is_some() {
                    visit(self, Found { slot, piece, bucket });
                }
            }
            next = self.slots[slot].after(piece);
            self.tidy(slot, piece);
        }
        let next = match next {
            Some(position) => Some((slot, position)),
            None if slot + 1 < self.slots.len() => Some((slot + 1, Position::default())),
            None => None,
        };
        (next, used)
    }

    /// Takes the entries of flushed databases out of one segment.
    fn sweep_segment(&mut self) -> usize {
        let (next, used) = self.visit_segment(self.upkeep.sweep, |store, found| {
            let physical = store.entry(found).header().physical();
            if store.databases.logical(physical).is_none() {
                store.take_found(found, Removal::Deleted);
            }
        });
        self.upkeep.sweep = next.unwrap_or_default();
        used
    }

    /// Forgets the wheels and schedules every key with an expiry anew, when too many of their items
    /// are of no use (keys that were deleted, or whose expiry was shortened again and again).
    fn rebuild_wheels(&mut self, budget: usize) -> usize {
        let expiring = self.databases.expiring_entries() + self.fielded;
        if self.upkeep.rewheel.is_none() && self.wheels.len() > expiring * 2 + STALE_ITEMS_MIN {
            self.wheels.clear();
            self.upkeep.rewheel = Some(Default::default());
        }
        let mut used = 0;
        while used < budget
            && let Some(place) = self.upkeep.rewheel
        {
            let (next, cost) = self.visit_segment(place, |store, found| {
                let entry = store.entry(found);
                let soonest = soonest(entry);
                if soonest.is_none() {
                    return;
                }
                let hash = match found.piece {
                    crate::slot_table::Piece::Hardened(_) => store.hashing.hardened_of_entry(entry),
                    crate::slot_table::Piece::First | crate::slot_table::Piece::Plain(_) => {
                        store.hashing.of_entry(entry)
                    }
                };
                let item = Item::new(store.slot_at(found.slot), hash);
                store.wheels.schedule_each(soonest, item);
            });
            self.upkeep.rewheel = next;
            used += cost;
        }
        used
    }

    /// Whether the reserve for writes is nearly used up; then it is restored to three quarters, not
    /// to its full size, so that a store at its limit is not evicting for it all the time.
    fn reserve_is_low(&self) -> bool {
        let Some(max) = self.limits.bytes_max else { return false };
        let reserve = (max / RESERVE_SHARE).min(RESERVE_BYTES_MAX);
        let wanted = if self.upkeep.restoring { reserve / 4 * 3 } else { reserve / 4 };
        // What is free or about to be is as good as evicted.
        let freed = self.slab.pool_pages() * PAGE_BYTES + self.upkeep.large_bytes;
        self.used_bytes() - freed > max - wanted
    }

    /// Evicts and gathers until there is room for the next writes.
    fn evict_ahead(&mut self, budget: usize) -> usize {
        let mut used = 0;
        while used < budget && self.reserve_is_low() {
            self.upkeep.restoring = true;
            let moved = if self.free_space_is_due(true) { self.compact(budget - used) } else { 0 };
            used += moved;
            if moved == 0 {
                if !self.evict_one() {
                    // Nothing may go. Until something comes there is nothing to do.
                    self.upkeep.stuck = true;
                    break;
                }
                used += 2;
            }
        }
        if used < budget {
            self.upkeep.restoring = false;
        }
        used
    }

    /// Whether so much free space is scattered over the pages that gathering it pays.
    pub(crate) fn free_space_is_due(&self, full: bool) -> bool {
        let share = if full { SCATTERED_SHARE_FULL } else { SCATTERED_SHARE_IDLE };
        let scattered = self.slab.scattered_bytes();
        scattered > self.slab.resident_bytes() / share && scattered > SCATTERED_BYTES_MIN
    }

    fn gather(&mut self, budget: usize) -> usize {
        let mut used = 0;
        while used < budget && (self.upkeep.leaving.is_some() || self.free_space_is_due(false)) {
            let moved = self.compact(budget - used);
            if moved == 0 {
                break;
            }
            used += moved;
        }
        used
    }

    /// Moves entries off the emptiest page; returns the units that took, 0 if no page is worth it.
    pub(crate) fn compact(&mut self, budget: usize) -> usize {
        // Detached entries are in no table, so they could not be told where they are.
        if self.upkeep.has_graves() {
            return 0;
        }
        let Some((page, from)) =
            self.upkeep.leaving.or_else(|| self.slab.emptiest().map(|page| (page, 0)))
        else {
            return 0;
        };
        let mut used = 10;
        let mut from = from;
        let mut places = [CellPlace::NONE; CELLS_BATCH];
        loop {
            let (count, next) = self.slab.live_cells(page, from, &mut places);
            if count == 0 {
                // All that could move has moved.
                self.slab.stay(page);
                self.upkeep.leaving = None;
                return used;
            }
            self.move_cells(&places[..count]);
            from = next;
            used += count * 2;
            if used >= budget {
                self.upkeep.leaving = (!self.slab.has_left(page)).then_some((page, from));
                return used;
            }
        }
    }

    fn move_cells(&mut self, places: &[CellPlace]) {
        for place in places {
            // SAFETY: just listed as live; nothing has been freed since.
            prefetch(unsafe { self.slab.place_pointer(*place) }.as_ptr());
        }
        for place in places {
            // SAFETY: as above: moving one frees only its own cell.
            let entry = unsafe { Entry::at(&self.slab, *place) };
            let (physical, bytes) = (entry.header().physical(), entry.key());
            let slot = self.slot_index(ringlane_base::Slot::of(bytes));
            let hash = self.hashing.of_entry(entry);
            let table = &self.slots[slot];
            let (piece, hash) = table.piece(hash, || self.hashing.hardened(physical, bytes));
            let is_it = |handle: &crate::slab::Handle| handle.is_at(*place);
            let bucket = table.segment(piece).table.find_bucket_index(hash, is_it);
            let bucket = bucket.expect("every entry is in its table");
            let handle = handle_at(&mut self.slots, Found { slot, piece, bucket });
            if entry::relocate(&self.slab, handle) {
                self.stats.relocated += 1;
            }
        }
    }

    /// Gives up emptying a page.
    pub(crate) fn leave_no_page(&mut self) {
        if let Some((page, _)) = self.upkeep.leaving.take() {
            self.slab.stay(page);
        }
    }

    /// Frees every entry, for the end of the store.
    pub(crate) fn free_everything(&mut self) {
        let slots = std::mem::take(&mut self.slots);
        self.upkeep.bury(slots);
        self.upkeep.large.clear();
        while self.upkeep.has_graves() {
            self.drain_grave();
            self.upkeep.large.clear();
        }
        self.upkeep.large_bytes = 0;
    }
}
