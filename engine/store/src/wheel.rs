//! A hierarchical timer wheel, which turns with one clock: which slots and hashes to look at, and when.
//!
//! An item is 6 bytes: 14 bits of slot, 27 low and 7 top bits of the hash. It does not own its
//! entry and does not know its exact time: whoever pops it looks the entry up, removes it if it is
//! due, schedules it again if it is not yet, and drops the item if nothing is there.
//!
//! ```text
//! level 0: 64 lists, one a tick of 16 ms; level n: one for 64^n ticks; 7 levels: 2000 years
//! list:    | chunk of 340 items | chunk | …
//! ```
//! Scheme: Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987), scheme 7; the
//! level is found from the highest bit in which the time differs from now.

use ringlane_base::{Millis, Slot};

use crate::segment::REFIND_LOW_BITS;

/// Milliseconds of a tick, as a shift.
const TICK_SHIFT: u32 = 4;
const LIST_BITS: u32 = 6;
const LISTS: usize = 1 << LIST_BITS;
const LEVELS: usize = 7;

/// The farthest the wheel reaches; later times wait in its last list and are scheduled again.
const TICKS_MAX: u64 = (1 << (LIST_BITS * LEVELS as u32)) - 1;

/// A step back of the clock by more ticks than this moves every item; a smaller one is waited out.
const BACKWARD_TICKS_MAX: u64 = 64;

const ITEM_BYTES: usize = 6;
const CHUNK_ITEMS: usize = 340;

/// Free chunks that are kept for the next lists.
const SPARE_CHUNKS_MAX: usize = 16;

/// Top bits of a hash that an item keeps: hashbrown's tag.
const TAG_BITS: u32 = 7;

/// Names an entry: its slot and what re-finds it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    pub slot: Slot,
    /// The hash with the bits between those that are kept zero.
    pub cut: u64,
}

/// The bits of a hash that an item keeps.
#[inline]
pub fn cut(hash: u64) -> u64 {
    const MASK: u64 = ((1 << REFIND_LOW_BITS) - 1) | !(u64::MAX >> TAG_BITS);
    hash & MASK
}

impl Item {
    /// To fill arrays with.
    pub fn none() -> Self {
        Self { slot: Slot::new(0).expect("the first slot"), cut: 0 }
    }

    pub fn new(slot: Slot, hash: u64) -> Self {
        Self { slot, cut: cut(hash) }
    }

    fn pack(self) -> [u8; ITEM_BYTES] {
        let tag = self.cut >> (64 - TAG_BITS);
        let low = self.cut & ((1 << REFIND_LOW_BITS) - 1);
        let word = u64::from(self.slot.number()) << 34 | tag << REFIND_LOW_BITS | low;
        *word.to_le_bytes().first_chunk().expect("six of eight bytes")
    }

    fn unpack(packed: [u8; ITEM_BYTES]) -> Self {
        let mut bytes = [0; 8];
        bytes[..ITEM_BYTES].copy_from_slice(&packed);
        let word = u64::from_le_bytes(bytes);
        let low = word & ((1 << REFIND_LOW_BITS) - 1);
        let tag = (word >> REFIND_LOW_BITS) & ((1 << TAG_BITS) - 1);
        let slot = Slot::new((word >> 34) as u16).expect("14 bits were packed");
        Self { slot, cut: tag << (64 - TAG_BITS) | low }
    }
}

struct Chunk {
    items: [[u8; ITEM_BYTES]; CHUNK_ITEMS],
    len: u16,
}
const _: () = assert!(size_of::<Chunk>() <= 2048);

/// Chunks, none of them empty.
#[allow(clippy::vec_box)] // Lists move and grow; their chunks must not be copied for that.
type List = Vec<Box<Chunk>>;

/// The timers of one clock.
pub struct Wheel {
    /// Everything up to here has been taken out of the lists.
    tick: u64,
    levels: [[List; LISTS]; LEVELS],
    /// A bit for each list that is not empty.
    occupied: [u64; LEVELS],
    /// Items whose time has come.
    due: Vec<List>,
    /// Items that must be scheduled anew.
    cascading: Vec<List>,
    /// Lists of no use, to be freed in slices.
    trash: Vec<List>,
    spare: List,
    items: usize,
    chunks: usize,
}

fn tick_of(at: Millis) -> u64 {
    // Rounded up, so that an item never fires before its time.
    at.0.div_ceil(1 << TICK_SHIFT)
}

impl Wheel {
    pub fn new() -> Self {
        Self {
            tick: 0,
            levels: std::array::from_fn(|_| std::array::from_fn(|_| Vec::new())),
            occupied: [0; LEVELS],
            due: Vec::new(),
            cascading: Vec::new(),
            trash: Vec::new(),
            spare: Vec::new(),
            items: 0,
            chunks: 0,
        }
    }

    /// How many items there are, those of no use included.
    pub fn len(&self) -> usize {
        self.items
    }

    /// Heap bytes of the items.
    pub fn bytes(&self) -> usize {
        self.chunks * size_of::<Chunk>()
    }

    /// The item will be popped at the first tick not before `at`, at the soonest at the next.
    pub fn schedule(&mut self, at: Millis, item: Item) {
        let tick = tick_of(at).clamp(self.tick + 1, self.tick + TICKS_MAX / 2);
        let differing = tick ^ self.tick;
        let level = ((differing.ilog2() / LIST_BITS) as usize).min(LEVELS - 1);
        let list = (tick >> (LIST_BITS * level as u32)) as usize % LISTS;
        self.occupied[level] |= 1 << list;
        self.items += 1;
        let chunks = &mut self.levels[level][list];
        if chunks.last().is_none_or(|chunk| usize::from(chunk.len) == CHUNK_ITEMS) {
            let fresh = || {
                self.chunks += 1;
                Box::new(Chunk { items: [[0; ITEM_BYTES]; CHUNK_ITEMS], len: 0 })
            };
            chunks.push(self.spare.pop().unwrap_or_else(fresh));
        }
        let chunk = chunks.last_mut().expect("just pushed");
        chunk.items[usize::from(chunk.len)] = item.pack();
        chunk.len += 1;
    }

    /// Takes what is due by `now` out of the lists. Costs at most a few steps a list, however far
    /// the clock jumped; after a jump backwards every item is scheduled anew.
    pub fn advance(&mut self, now: Millis) {
        let to = now.0 >> TICK_SHIFT;
        if to == self.tick {
            return;
        }
        if self.items == 0 {
            self.tick = to;
            return;
        }
        if to + BACKWARD_TICKS_MAX < self.tick {
            self.take_all();
            self.tick = to;
            return;
        }
        while let Some((level, list, at)) = self.next_list() {
            if at > to {
                break;
            }
            self.tick = self.tick.max(at);
            self.occupied[level] &= !(1 << list);
            let items = std::mem::take(&mut self.levels[level][list]);
            if level == 0 { &mut self.due } else { &mut self.cascading }.push(items);
        }
        self.tick = self.tick.max(to);
    }

    fn take_all(&mut self) {
        for level in &mut self.levels {
            let lists = level.iter_mut().filter(|list| !list.is_empty());
            self.cascading.extend(lists.map(std::mem::take));
        }
        self.occupied = [0; LEVELS];
    }

    /// The next list to fire: level, list, the tick at which it begins.
    fn next_list(&self) -> Option<(usize, usize, u64)> {
        for level in 0..LEVELS {
            if self.occupied[level] == 0 {
                continue;
            }
            let shift = LIST_BITS * level as u32;
            let here = (self.tick >> shift) % LISTS as u64;
            let ahead = self.occupied[level].rotate_right(here as u32).trailing_zeros();
            let list = (here as usize + ahead as usize) % LISTS;
            let at = ((self.tick >> shift) + u64::from(ahead)) << shift;
            return Some((level, list, at));
        }
        None
    }

    /// When something will be due: a time, at once if something is.
    pub fn next_due(&self) -> Option<Millis> {
        if self.has_pending() {
            return Some(Millis(0));
        }
        self.next_list().map(|(_, _, at)| Millis(at << TICK_SHIFT))
    }

    /// Whether items wait to be popped.
    pub fn has_pending(&self) -> bool {
        !self.due.is_empty() || !self.cascading.is_empty()
    }

    /// Whether lists wait to be freed.
    pub fn has_trash(&self) -> bool {
        !self.trash.is_empty()
    }

    /// Fills `items` with what is due, else with what must be scheduled anew; returns how many.
    pub fn pop(&mut self, items: &mut [Item]) -> usize {
        let mut count = 0;
        while count < items.len() {
            let lists = if self.due.is_empty() { &mut self.cascading } else { &mut self.due };
            let Some(list) = lists.last_mut() else { break };
            let Some(chunk) = list.last_mut() else {
                lists.pop();
                continue;
            };
            while chunk.len > 0 && count < items.len() {
                chunk.len -= 1;
                items[count] = Item::unpack(chunk.items[usize::from(chunk.len)]);
                count += 1;
            }
            if chunk.len == 0 {
                let chunk = list.pop().expect("just looked at");
                self.retire(chunk);
            }
        }
        self.items -= count;
        count
    }

    /// Takes out some items, for the caller to schedule again those of use: the ones that are due
    /// next, or (roughly) any.
    pub fn draw(&mut self, items: &mut [Item], soonest: bool, dice: &mut fastrand::Rng) -> usize {
        if self.has_pending() {
            return self.pop(items);
        }
        let Some((level, number, _)) =
            (if soonest { self.next_list() } else { self.any_list(dice) })
        else {
            return 0;
        };
        let list = &mut self.levels[level][number];
        let chosen = if soonest { list.len() - 1 } else { dice.usize(..list.len()) };
        let mut count = 0;
        while count < items.len() && list[chosen].len > 0 {
            let chunk = &mut list[chosen];
            chunk.len -= 1;
            let end = usize::from(chunk.len);
            let index = if soonest { end } else { dice.usize(..=end) };
            items[count] = Item::unpack(chunk.items[index]);
            chunk.items[index] = chunk.items[end];
            count += 1;
        }
        if list[chosen].len == 0 {
            let chunk = list.swap_remove(chosen);
            if list.is_empty() {
                self.occupied[level] &= !(1 << number);
            }
            self.retire(chunk);
        }
        self.items -= count;
        count
    }

    /// A list by chance.
    fn any_list(&self, dice: &mut fastrand::Rng) -> Option<(usize, usize, u64)> {
        let chunks = |level: usize| self.levels[level].iter().map(Vec::len).sum::<usize>();
        let total: usize = (0..LEVELS).map(chunks).sum();
        let mut left = if total == 0 { return None } else { dice.usize(..total) };
        for (level, lists) in self.levels.iter().enumerate() {
            for (number, list) in lists.iter().enumerate() {
                if left < list.len() {
                    return Some((level, number, 0));
                }
                left -= list.len();
            }
        }
        None
    }

    fn retire(&mut self, chunk: Box<Chunk>) {
        if self.spare.len() < SPARE_CHUNKS_MAX {
            self.spare.push(chunk);
        } else {
            self.chunks -= 1;
        }
    }

    /// Forgets every item; the memory is freed in slices by `free_trash`.
    pub fn clear(&mut self) {
        self.take_all();
        self.trash.append(&mut self.due);
        self.trash.append(&mut self.cascading);
        self.items = 0;
    }

    /// Frees up to `chunks` chunks of forgotten items; returns how many.
    pub fn free_trash(&mut self, chunks: usize) -> usize {
        let mut count = 0;
        while count < chunks {
            let Some(list) = self.trash.last_mut() else { break };
            if list.pop().is_none() {
                self.trash.pop();
                continue;
            }
            self.chunks -= 1;
            count += 1;
        }
        count
    }
}
