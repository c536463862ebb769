//! The memory of one lane's entries and small tables: a reserved stretch of addresses (`arena`), cut
//! into pages of 64 KiB, each cut into cells of one class.
//!
//! ```text
//! arena: | page | page | page | …            (reserved at once, backed page by page)
//! page:  | cell | cell | cell | … | rest |   (books are kept outside, in `Page`)
//! free cell: | number of the next free cell: u16 | … |
//! ```
//!
//! A `Handle` owns its cell: it cannot be copied, is given up to `free`, and every view of the cell
//! borrows it. So nothing can look at a cell that has been freed.

use std::alloc::{Layout, alloc, dealloc};
use std::cell::{Cell, OnceCell, RefCell};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::arena::Arena;
use crate::classes::{CLASS_COUNT, Class, PAGE_BYTES};
use crate::memory::size_class;

/// No page, no cell.
const NONE_PAGE: u32 = u32::MAX;
const NONE_CELL: u16 = u16::MAX;

/// Handles with this bit number an allocation of the global allocator.
const LARGE: u64 = 1 << 39;

/// Cells are this much apart, so that a handle of 39 bits spans 4 TiB.
const UNIT: usize = 8;

/// What handles can reach.
const ARENA_BYTES_MAX: usize = (LARGE as usize) * UNIT;

/// What debug builds overwrite freed cells with, so that a stale view shows.
const FREED_BYTE: u8 = 0xDD;

/// How many pages `emptiest` looks at in one call.
const EMPTIEST_WINDOW: usize = 4096;

/// Owns one cell of the slab. 40 bits: the offset in units, or `LARGE` and a number.
#[derive(Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Handle([u8; 5]);

impl Handle {
    fn new(value: u64) -> Self {
        let bytes = value.to_le_bytes();
        Self([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4]])
    }

    #[inline]
    fn value(&self) -> u64 {
        let (low, high) = self.0.split_at(4);
        let low = u32::from_le_bytes(low.try_into().expect("four of five bytes"));
        u64::from(low) | u64::from(high[0]) << 32
    }

    /// Whether this is the handle that `Page::live` numbers so.
    pub fn is_at(&self, place: CellPlace) -> bool {
        self.value() == place.0
    }
}

/// Names a cell without owning it: where a live cell of a page stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellPlace(u64);

impl CellPlace {
    /// To fill arrays with.
    pub const NONE: Self = Self(u64::MAX);
}

/// The books of one page.
struct Page {
    class: Class,
    state: PageState,
    used: u16,
    /// First of the freed cells, linked through their first two bytes.
    free: u16,
    /// Cells from here on were never used.
    fresh: u16,
    next: u32,
    previous: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PageState {
    /// In no class.
    Free,
    /// Has a free cell and stands in its class's list.
    Partial,
    Full,
    /// Being emptied: gives no cells.
    Leaving,
}

#[derive(Clone, Copy)]
struct ClassBooks {
    /// List of pages with free cells.
    partial: u32,
    free_cells: usize,
}

struct Large {
    pointer: NonNull<u8>,
    layout: Layout,
    charged: usize,
}

struct Books {
    pages: Vec<Page>,
    classes: [ClassBooks; CLASS_COUNT],
    /// Free pages that are still backed by memory.
    pool: Vec<u32>,
    /// Free pages given back to the system.
    released: Vec<u32>,
    large: Vec<Option<Large>>,
    large_free: Vec<u32>,
    large_bytes: usize,
    live_bytes: usize,
    table_bytes: usize,
    resident_pages: usize,
    /// Free cells of pages that hold entries and are not leaving.
    scattered_bytes: usize,
    /// Where `emptiest` goes on.
    window: usize,
}

/// One lane's slab. Shared by the store and the tables within it, on one thread.
pub struct Slab {
    /// Where the arena begins; null as long as there is none.
    base: Cell<*mut u8>,
    arena: OnceCell<Arc<Arena>>,
    /// Another thread should back pages ahead, and has not been told.
    short: Cell<bool>,
    books: RefCell<Books>,
    /// This lane's share of the host in 1/16384, which sizes the arena.
    slots: usize,
}

/// A page that `emptiest` chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeavingPage(u32);

impl Slab {
    /// A slab for a lane with this many slots. Reserves nothing before the first allocation.
    pub fn new(slots: usize) -> Self {
        let class = ClassBooks { partial: NONE_PAGE, free_cells: 0 };
        let books = Books {
            pages: Vec::new(),
            classes: [class; CLASS_COUNT],
            pool: Vec::new(),
            released: Vec::new(),
            large: Vec::new(),
            large_free: Vec::new(),
            large_bytes: 0,
            live_bytes: 0,
            table_bytes: 0,
            resident_pages: 0,
            scattered_bytes: 0,
            window: 0,
        };
        Self {
            base: Cell::new(std::ptr::null_mut()),
            arena: OnceCell::new(),
            short: Cell::new(false),
            books: RefCell::new(books),
            slots,
        }
    }

    /// A cell for an entry of this many bytes, contents undefined. None when the system or the
    /// arena has no memory left.
    #[inline]
    pub fn allocate(&self, bytes: usize) -> Option<Handle> {
        match Class::of_entry(bytes) {
            Some(class) => {
                let offset = self.books.borrow_mut().cell(self, class)?;
                Some(Handle::new((offset / UNIT) as u64))
            }
            None => self.allocate_large(bytes),
        }
    }

    /// Gives the cell back. What lived in it must have been dropped.
    #[allow(clippy::needless_pass_by_value)] // A handle ends here: that is what makes it safe.
    #[inline]
    pub fn free(&self, handle: Handle) {
        let value = handle.value();
        if value & LARGE == 0 {
            self.books.borrow_mut().free_cell(self, value as usize * UNIT);
        } else {
            self.free_large((value & !LARGE) as usize);
        }
    }

    /// The first byte of the cell. Valid, 8-aligned, as long as the handle lives.
    #[inline]
    pub fn pointer(&self, handle: &Handle) -> NonNull<u8> {
        let value = handle.value();
        if value & LARGE == 0 {
            // SAFETY: a handle without the bit was made from an offset within the arena.
            unsafe { NonNull::new_unchecked(self.base.get().add(value as usize * UNIT)) }
        } else {
            self.large_pointer((value & !LARGE) as usize)
        }
    }

    #[cold]
    fn large_pointer(&self, index: usize) -> NonNull<u8> {
        let books = self.books.borrow();
        books.large[index].as_ref().expect("a handle owns its allocation").pointer
    }

    #[cold]
    fn allocate_large(&self, bytes: usize) -> Option<Handle> {
        let layout = Layout::from_size_align(bytes, 16).ok()?;
        // SAFETY: the layout is not empty: it is above the slab's largest class.
        let pointer = NonNull::new(unsafe { alloc(layout) })?;
        let charged = size_class(bytes);
        let mut books = self.books.borrow_mut();
        books.large_bytes += charged;
        let large = Some(Large { pointer, layout, charged });
        let index = if let Some(index) = books.large_free.pop() {
            books.large[index as usize] = large;
            u64::from(index)
        } else {
            books.large.push(large);
            books.large.len() as u64 - 1
        };
        Some(Handle::new(LARGE | index))
    }

    #[cold]
    fn free_large(&self, index: usize) {
        let mut books = self.books.borrow_mut();
        let large = books.large[index].take().expect("a handle owns its allocation");
        books.large_bytes -= large.charged;
        books.large_free.push(index as u32);
        // SAFETY: allocated with this layout and owned by the handle that ends here.
        unsafe { dealloc(large.pointer.as_ptr(), large.layout) };
    }

    /// A cell for a table; None if it is too large for the slab or memory is out.
    pub fn allocate_table(&self, bytes: usize) -> Option<NonNull<u8>> {
        let class = Class::of_table(bytes)?;
        let mut books = self.books.borrow_mut();
        let offset = books.cell(self, class)?;
        books.table_bytes += class.bytes();
        // SAFETY: the offset is within the arena.
        Some(unsafe { NonNull::new_unchecked(self.base.get().add(offset)) })
    }

    /// Takes back what `allocate_table` gave.
    ///
    /// # Safety
    /// The pointer came from `allocate_table` of this slab and is not used again.
    pub unsafe fn free_table(&self, pointer: NonNull<u8>) {
        let offset = pointer.as_ptr() as usize - self.base.get() as usize;
        let mut books = self.books.borrow_mut();
        let class = books.pages[offset / PAGE_BYTES].class;
        debug_assert!(!class.holds_entries());
        books.table_bytes -= class.bytes();
        books.free_cell(self, offset);
    }

    /// Whether the address lies in the arena.
    pub fn in_arena(&self, pointer: NonNull<u8>) -> bool {
        let offset = (pointer.as_ptr() as usize).wrapping_sub(self.base.get() as usize);
        self.arena.get().is_some_and(|arena| offset < arena.bytes())
    }

    /// A table in the global allocator came or went.
    pub fn count_outside_table(&self, bytes: usize, came: bool) {
        let charged = size_class(bytes);
        let mut books = self.books.borrow_mut();
        if came {
            books.large_bytes += charged;
        } else {
            books.large_bytes -= charged;
        }
    }

    /// Whether an entry of this size gets its cell without another page being backed.
    #[inline]
    pub fn has_cell(&self, bytes: usize) -> bool {
        let books = self.books.borrow();
        match Class::of_entry(bytes) {
            Some(class) => {
                books.classes[class.index()].partial != NONE_PAGE
                    || !books.pool.is_empty()
                    || books.released.is_empty() && self.pages_ahead() > 0
            }
            None => false,
        }
    }

    /// Bytes of all pages backed by memory, those backed ahead included.
    pub fn resident_bytes(&self) -> usize {
        (self.books.borrow().resident_pages + self.pages_ahead()) * PAGE_BYTES
    }

    #[inline]
    fn pages_ahead(&self) -> usize {
        self.arena.get().map_or(0, |arena| arena.ahead())
    }

    /// The arena, if a thread beside the lane should back its next pages and was not told since.
    #[inline]
    pub fn take_short(&self) -> Option<Arc<Arena>> {
        if !self.short.replace(false) {
            return None;
        }
        self.arena.get().cloned()
    }

    /// Bytes of cells in use.
    pub fn live_bytes(&self) -> usize {
        self.books.borrow().live_bytes
    }

    /// Of the live bytes, those of tables.
    pub fn table_bytes(&self) -> usize {
        self.books.borrow().table_bytes
    }

    /// Bytes of entries in the global allocator.
    pub fn large_bytes(&self) -> usize {
        self.books.borrow().large_bytes
    }

    /// Bytes of the slab's own books.
    pub fn books_bytes(&self) -> usize {
        let books = self.books.borrow();
        books.pages.capacity() * size_of::<Page>()
            + (books.pool.capacity() + books.released.capacity()) * size_of::<u32>()
            + books.large.capacity() * size_of::<Option<Large>>()
            + size_of::<Self>()
    }

    /// Bytes of pages that are backed and were never used.
    pub fn ahead_bytes(&self) -> usize {
        self.pages_ahead() * PAGE_BYTES
    }

    /// Free pages that are still backed.
    pub fn pool_pages(&self) -> usize {
        self.books.borrow().pool.len()
    }

    /// Free bytes within pages that hold entries.
    #[inline]
    pub fn scattered_bytes(&self) -> usize {
        self.books.borrow().scattered_bytes
    }

    /// Gives backed free pages beyond `keep` back to the system, at most `max` of them; returns
    /// how many.
    pub fn release(&self, keep: usize, max: usize) -> usize {
        let mut books = self.books.borrow_mut();
        let mut count = 0;
        while books.pool.len() > keep && count < max {
            let page = books.pool.pop().expect("longer than `keep`");
            self.arena.get().expect("a page is of the arena").give_back(page);
            books.released.push(page);
            books.resident_pages -= 1;
            count += 1;
        }
        count
    }

    /// The emptiest of the next few thousand pages that hold entries, if the rest of its class has
    /// room for what it holds. It gives no more cells until it is empty or `stay` is called.
    pub fn emptiest(&self) -> Option<LeavingPage> {
        let mut books = self.books.borrow_mut();
        let count = books.pages.len();
        let mut best: Option<(usize, usize)> = None;
        for step in 0..count.min(EMPTIEST_WINDOW) {
            let number = (books.window + step) % count;
            let page = &books.pages[number];
            if page.state != PageState::Partial || !page.class.holds_entries() {
                continue;
            }
            let free = page.class.cells() - usize::from(page.used);
            let elsewhere = books.classes[page.class.index()].free_cells - free;
            let free_bytes = free * page.class.bytes();
            if elsewhere >= usize::from(page.used) && best.is_none_or(|(most, _)| free_bytes > most)
            {
                best = Some((free_bytes, number));
            }
        }
        books.window = (books.window + EMPTIEST_WINDOW) % count.max(1);
        let (_, number) = best?;
        books.unlist(number as u32);
        let page = &mut books.pages[number];
        page.state = PageState::Leaving;
        let (class, free) = (page.class, page.class.cells() - usize::from(page.used));
        books.cells_went(class, free);
        Some(LeavingPage(number as u32))
    }

    /// The live cells of a leaving page from cell `from` on, at most `places.len()`; returns how
    /// many and the cell to go on from.
    pub fn live_cells(
        &self,
        page: LeavingPage,
        from: usize,
        places: &mut [CellPlace],
    ) -> (usize, usize) {
        let books = self.books.borrow();
        let page_books = &books.pages[page.0 as usize];
        let class = page_books.class;
        let mut free = [0u64; PAGE_BYTES / 16 / 64];
        let mut cell = page_books.free;
        while cell != NONE_CELL {
            free[usize::from(cell) / 64] |= 1 << (cell % 64);
            cell = self.next_free(page.0, class, cell);
        }
        let mut count = 0;
        let mut cell = from;
        while cell < usize::from(page_books.fresh) && count < places.len() {
            if free[cell / 64] & 1 << (cell % 64) == 0 {
                let offset = page.0 as usize * PAGE_BYTES + cell * class.bytes();
                places[count] = CellPlace((offset / UNIT) as u64);
                count += 1;
            }
            cell += 1;
        }
        (count, cell)
    }

    /// Where a place points, for reading the entry there before its handle is looked up.
    ///
    /// # Safety
    /// The place came from `live_cells` and its cell has not been freed since.
    pub unsafe fn place_pointer(&self, place: CellPlace) -> NonNull<u8> {
        // SAFETY: a place is an offset within the arena.
        unsafe { NonNull::new_unchecked(self.base.get().add(place.0 as usize * UNIT)) }
    }

    /// Whether the page has become empty (and so free), no longer leaving.
    pub fn has_left(&self, page: LeavingPage) -> bool {
        self.books.borrow().pages[page.0 as usize].state != PageState::Leaving
    }

    /// Lets a leaving page give cells again.
    pub fn stay(&self, page: LeavingPage) {
        let mut books = self.books.borrow_mut();
        if books.pages[page.0 as usize].state != PageState::Leaving {
            return;
        }
        let books_of = &mut books.pages[page.0 as usize];
        books_of.state = PageState::Full;
        let (class, free) = (books_of.class, books_of.class.cells() - usize::from(books_of.used));
        books.cells_came(class, free);
        if free > 0 {
            books.list(page.0);
        }
    }

    #[allow(clippy::cast_ptr_alignment)] // Cells are 8-aligned.
    fn next_free(&self, page: u32, class: Class, cell: u16) -> u16 {
        let offset = page as usize * PAGE_BYTES + usize::from(cell) * class.bytes();
        // SAFETY: a free cell of a page in use holds the number of the next one.
        unsafe { self.base.get().add(offset).cast::<u16>().read() }
    }

    /// The arena, reserved now if it was not; None if the system refuses.
    #[cold]
    fn arena(&self) -> Option<&Arc<Arena>> {
        if self.arena.get().is_none() {
            let arena = Arena::reserve(self.slots, ARENA_BYTES_MAX)?;
            self.base.set(arena.base());
            assert!(self.arena.set(Arc::new(arena)).is_ok(), "there was none");
        }
        self.arena.get()
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        for large in self.books.get_mut().large.drain(..).flatten() {
            // SAFETY: allocated with this layout; its handle can no longer be used.
            unsafe { dealloc(large.pointer.as_ptr(), large.layout) };
        }
    }
}

impl Books {
    /// The offset of a free cell of this class.
    #[inline]
    fn cell(&mut self, slab: &Slab, class: Class) -> Option<usize> {
        let mut number = self.classes[class.index()].partial;
        if number == NONE_PAGE {
            number = self.open_page(slab, class)?;
        }
        let page = &mut self.pages[number as usize];
        let cell = if page.free == NONE_CELL {
            page.fresh += 1;
            page.fresh - 1
        } else {
            let cell = page.free;
            page.free = slab.next_free(number, class, cell);
            cell
        };
        page.used += 1;
        let full = usize::from(page.used) == class.cells();
        self.cells_went(class, 1);
        self.live_bytes += class.bytes();
        if full {
            self.unlist(number);
            self.pages[number as usize].state = PageState::Full;
        }
        Some(number as usize * PAGE_BYTES + usize::from(cell) * class.bytes())
    }

    #[allow(clippy::cast_ptr_alignment)] // Cells are 8-aligned.
    #[inline]
    fn free_cell(&mut self, slab: &Slab, offset: usize) {
        let number = offset / PAGE_BYTES;
        let page = &mut self.pages[number];
        let class = page.class;
        let cell = class.cell_at(offset % PAGE_BYTES);
        debug_assert_eq!(cell * class.bytes(), offset % PAGE_BYTES);
        debug_assert!(page.used > 0 && page.state != PageState::Free);
        // SAFETY: the cell is in a page in use, at least 16 bytes long, and nobody's any more.
        unsafe {
            let start = slab.base.get().add(offset);
            if cfg!(debug_assertions) {
                start.write_bytes(FREED_BYTE, class.bytes());
            }
            start.cast::<u16>().write(page.free);
        }
        page.free = cell as u16;
        page.used -= 1;
        self.live_bytes -= class.bytes();
        let (state, empty) = (page.state, page.used == 0);
        if state != PageState::Leaving {
            self.cells_came(class, 1);
        }
        if state == PageState::Full {
            self.list(number as u32);
        }
        if empty {
            self.close_page(number as u32);
        }
    }

    #[inline]
    fn cells_came(&mut self, class: Class, count: usize) {
        self.classes[class.index()].free_cells += count;
        if class.holds_entries() {
            self.scattered_bytes += count * class.bytes();
        }
    }

    #[inline]
    fn cells_went(&mut self, class: Class, count: usize) {
        self.classes[class.index()].free_cells -= count;
        if class.holds_entries() {
            self.scattered_bytes -= count * class.bytes();
        }
    }

    /// Makes a free page one of this class, backing it with memory if need be.
    #[cold]
    fn open_page(&mut self, slab: &Slab, class: Class) -> Option<u32> {
        let number = match self.pool.pop() {
            Some(number) => number,
            None => self.back_page(slab)?,
        };
        let page = &mut self.pages[number as usize];
        page.class = class;
        page.used = 0;
        page.free = NONE_CELL;
        page.fresh = 0;
        self.cells_came(class, class.cells());
        self.list(number);
        Some(number)
    }

    /// A free page from outside the pool; None if the arena is at its end or memory is out.
    fn back_page(&mut self, slab: &Slab) -> Option<u32> {
        let number = if let Some(number) = self.released.pop() {
            slab.arena()?.back(number);
            number
        } else {
            self.extend(slab)?
        };
        self.resident_pages += 1;
        Some(number)
    }

    /// The next page of the arena that was never used.
    fn extend(&mut self, slab: &Slab) -> Option<u32> {
        let arena = slab.arena()?;
        let number = arena.take()?;
        slab.short.set(arena.is_short());
        self.pages.push(Page {
            class: Class::of_entry(0).expect("the smallest class"),
            state: PageState::Free,
            used: 0,
            free: NONE_CELL,
            fresh: 0,
            next: NONE_PAGE,
            previous: NONE_PAGE,
        });
        Some(number)
    }

    /// An empty page leaves its class and waits in the pool.
    #[cold]
    fn close_page(&mut self, number: u32) {
        let page = &self.pages[number as usize];
        let class = page.class;
        if page.state == PageState::Partial {
            self.unlist(number);
            self.cells_went(class, class.cells());
        }
        self.pages[number as usize].state = PageState::Free;
        self.pool.push(number);
    }

    /// Puts a page with a free cell at the head of its class's list.
    fn list(&mut self, number: u32) {
        let class = self.pages[number as usize].class.index();
        let next = std::mem::replace(&mut self.classes[class].partial, number);
        let page = &mut self.pages[number as usize];
        page.state = PageState::Partial;
        page.next = next;
        page.previous = NONE_PAGE;
        if next != NONE_PAGE {
            self.pages[next as usize].previous = number;
        }
    }

    fn unlist(&mut self, number: u32) {
        let Page { class, next, previous, .. } = self.pages[number as usize];
        if previous == NONE_PAGE {
            self.classes[class.index()].partial = next;
        } else {
            self.pages[previous as usize].next = next;
        }
        if next != NONE_PAGE {
            self.pages[next as usize].previous = previous;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes over a whole cell, so that cells that overlap show.
    fn fill(slab: &Slab, handle: &Handle, bytes: usize, byte: u8) {
        // SAFETY: the cell is ours and has that many bytes.
        unsafe { slab.pointer(handle).as_ptr().write_bytes(byte, bytes) };
    }

    fn holds(slab: &Slab, handle: &Handle, bytes: usize, byte: u8) -> bool {
        // SAFETY: the cell is ours, was filled, and nothing else refers to it.
        let cell = unsafe { std::slice::from_raw_parts(slab.pointer(handle).as_ptr(), bytes) };
        cell.iter().all(|&found| found == byte)
    }

    #[test]
    fn cells_never_overlap_and_all_memory_returns() {
        let slab = Slab::new(16384);
        let mut dice = fastrand::Rng::with_seed(11);
        let mut live: Vec<(Handle, usize, u8)> = Vec::new();
        for round in 0..60_000u32 {
            let grows = (round / 10_000).is_multiple_of(2);
            if live.is_empty() || dice.u32(..10) < if grows { 7 } else { 3 } {
                let most = if dice.u32(..100) == 0 { 70_000 } else { 900 };
                let bytes = dice.usize(16..most);
                let handle = slab.allocate(bytes).expect("the system has memory");
                fill(&slab, &handle, bytes, round as u8);
                live.push((handle, bytes, round as u8));
            } else {
                let (handle, bytes, byte) = live.swap_remove(dice.usize(..live.len()));
                assert!(holds(&slab, &handle, bytes, byte));
                slab.free(handle);
            }
        }
        for (handle, bytes, byte) in live {
            assert!(holds(&slab, &handle, bytes, byte));
            slab.free(handle);
        }
        assert_eq!((slab.live_bytes(), slab.large_bytes(), slab.scattered_bytes()), (0, 0, 0));
        while slab.release(0, 100) > 0 {}
        assert_eq!(slab.resident_bytes(), 0);
        let again = slab.allocate(100).expect("released pages serve again");
        fill(&slab, &again, 100, 1);
        slab.free(again);
    }

    #[test]
    fn a_leaving_page_gives_no_cells_and_lists_its_live_ones() {
        let slab = Slab::new(16384);
        let mut handles: Vec<Handle> =
            (0..4000).map(|_| slab.allocate(64).expect("the system has memory")).collect();
        // One in eight stays, everywhere.
        let mut kept = Vec::new();
        for (index, handle) in handles.drain(..).enumerate() {
            if index.is_multiple_of(8) {
                kept.push(handle);
            } else {
                slab.free(handle);
            }
        }
        let page = slab.emptiest().expect("every page is nearly empty");
        let mut places = [CellPlace::NONE; 1024];
        let (count, _) = slab.live_cells(page, 0, &mut places);
        assert!(count > 0);
        let on_page = |handle: &Handle| places[..count].iter().any(|&place| handle.is_at(place));
        assert_eq!(kept.iter().filter(|handle| on_page(handle)).count(), count);
        let fresh: Vec<Handle> =
            (0..500).map(|_| slab.allocate(64).expect("other pages have room")).collect();
        let page_of = |handle: &Handle| handle.value() as usize * UNIT / PAGE_BYTES;
        let first = places[0].0 as usize * UNIT / PAGE_BYTES;
        assert!(fresh.iter().all(|handle| page_of(handle) != first));
        for handle in kept.into_iter().chain(fresh) {
            slab.free(handle);
        }
        assert!(slab.has_left(page));
        assert_eq!((slab.live_bytes(), slab.scattered_bytes()), (0, 0));
    }
}
