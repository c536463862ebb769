//! The memory of a state: counted, bounded, collected before the bound is reached, and a reason to look
//! at the clock, since a function of C that works on large strings takes long but is one instruction.

use std::alloc::{self, Layout};
use std::ffi::c_void;
use std::ptr;

use mlua::ffi::{self, lua_State, lua_getallocf};

use crate::watch::INSTRUCTIONS_PER_LOOK;

/// What a state holds and may hold.
pub struct Memory {
    pub used: usize,
    /// Bytes. 0: no limit.
    limit: usize,
    /// Bytes in use beyond which everything that is garbage goes. Lua collects by itself, but at a pace
    /// that it takes from how often memory is asked for, not from how much: with large strings what is
    /// garbage would reach the limit long before.
    collect_beyond: usize,
    /// Bytes in use when the last collection had ended.
    kept: usize,
    /// Bytes of large blocks since the clock was last looked at.
    recent: usize,
    /// Bytes of the largest block that was made since `forget_largest`.
    largest: usize,
    /// The state to interrupt; null while it is made.
    pub state: *mut lua_State,
}

/// Blocks from here on are counted as work.
const LARGE_BYTES_MIN: usize = 4096;
/// Bytes of large blocks after which the clock is looked at: some 20 µs of copying.
const RECENT_BYTES_MAX: usize = 256 << 10;
/// Bytes beyond what is needed that are worth a collection between scripts.
const GARBAGE_BYTES_MIN: usize = 4 << 20;
/// The greatest alignment that Lua's blocks need.
const ALIGNMENT: usize = 16;

impl Memory {
    /// A script begins: what others made does not slow it down.
    pub fn forget_largest(&mut self) {
        self.largest = 0;
    }

    /// Without a limit.
    pub fn new() -> Self {
        Self {
            used: 0,
            limit: 0,
            collect_beyond: usize::MAX,
            kept: 0,
            recent: 0,
            largest: 0,
            state: ptr::null_mut(),
        }
    }

    /// Bytes that may be used; 0: no limit. The same limit again changes nothing: a script that goes on
    /// has been found to need what it has.
    pub fn set_limit(&mut self, limit: usize) {
        if limit == self.limit {
            return;
        }
        self.limit = limit;
        self.collect_beyond = if limit == 0 { usize::MAX } else { limit / 2 };
    }

    /// Whether much may be garbage that Lua leaves for long: it waits until twice of what the last script had is
    /// used, which small ones never do.
    pub fn has_garbage(&self) -> bool {
        self.used > 2 * self.kept + GARBAGE_BYTES_MIN
    }

    /// What is in use is needed: the next collection comes when half of what is left is used.
    fn collected(&mut self) {
        self.kept = self.used;
        if self.limit > 0 {
            let left = self.limit.saturating_sub(self.used);
            self.collect_beyond = (self.used + left / 2).max(self.limit / 2);
        }
    }
}

/// Kibibytes by which one step of a collection is to be ahead: some 100 µs.
const STEP_KIBIBYTES: i32 = 64;
/// Ends of cycles after which everything is gone that was garbage when the first began: what is seen in the
/// middle of one goes with the next.
const CYCLES: u32 = 2;

/// A collection that has begun.
#[derive(Clone, Copy, Debug, Default)]
pub struct Collection {
    cycles: u32,
    /// Nothing that is garbage is to be left, whether or not there is room for it.
    is_thorough: bool,
}

impl Collection {
    /// One that leaves no garbage.
    pub fn thorough() -> Self {
        Self { is_thorough: true, ..Self::default() }
    }

    /// One step of it. Whether it has ended.
    ///
    /// # Safety
    /// Between two instructions of this live state, made with `allocate`.
    pub unsafe fn step(&mut self, state: *mut lua_State) -> bool {
        // SAFETY: the caller vouches for the state; scripts have no finalizers that could raise errors.
        unsafe {
            if ffi::lua_gc(state, ffi::LUA_GCSTEP, STEP_KIBIBYTES) == 0 {
                return false;
            }
            self.cycles += 1;
            let memory = memory_of(state);
            let wants_more = self.is_thorough || (*memory).used > (*memory).collect_beyond;
            if self.cycles < CYCLES && wants_more {
                return false;
            }
            (*memory).collected();
        }
        true
    }
}

/// Whether so much is in use that what is garbage should go.
///
/// # Safety
/// A live state, made with `allocate`.
pub unsafe fn wants_collection(state: *mut lua_State) -> bool {
    // SAFETY: as said.
    unsafe { (*memory_of(state)).used > (*memory_of(state)).collect_beyond }
}

/// # Safety
/// A live state, made with `allocate`.
unsafe fn memory_of(state: *mut lua_State) -> *mut Memory {
    let mut memory = ptr::null_mut();
    // SAFETY: what Lua hands back is what `lua_newstate` was given.
    unsafe { lua_getallocf(state, &raw mut memory) };
    memory.cast()
}

/// Bytes that instructions may go through between two looks at the clock: one may go through a whole
/// block, to compare two strings or to find the next key of a table.
const BYTES_PER_LOOK: usize = 256 << 20;
/// However large the blocks are.
const INSTRUCTIONS_PER_LOOK_MIN: i32 = 16;

/// How many instructions of Lua pass between two looks at the clock, as long as no block is larger
/// than those that there are.
///
/// # Safety
/// A live state, made with `allocate`.
pub unsafe fn instructions_per_look(state: *mut lua_State) -> i32 {
    // SAFETY: the state is live; the account is read for a moment.
    let largest = unsafe { (*memory_of(state)).largest };
    let instructions = i32::try_from(BYTES_PER_LOOK / largest.max(1)).unwrap_or(i32::MAX);
    instructions.clamp(INSTRUCTIONS_PER_LOOK_MIN, INSTRUCTIONS_PER_LOOK)
}

/// The allocation function that Lua is given.
///
/// # Safety
/// Called by Lua alone, with a `Memory` and blocks that this function gave out.
pub unsafe extern "C" fn allocate(
    memory: *mut c_void,
    block: *mut c_void,
    old: usize,
    new: usize,
) -> *mut c_void {
    // SAFETY: Lua hands back what `lua_newstate` was given; nobody else uses it meanwhile.
    let memory = unsafe { &mut *memory.cast::<Memory>() };
    let layout = |bytes| Layout::from_size_align(bytes, ALIGNMENT);
    if new == 0 {
        if !block.is_null()
            && let Ok(layout) = layout(old)
        {
            memory.used -= old;
            // SAFETY: the block was made with this layout.
            unsafe { alloc::dealloc(block.cast(), layout) };
        }
        return ptr::null_mut();
    }
    let old = if block.is_null() { 0 } else { old };
    let used = memory.used - old + new;
    let grows = new > old;
    if grows && memory.limit > 0 && used > memory.limit {
        return ptr::null_mut();
    }
    let Ok(wanted) = layout(new) else { return ptr::null_mut() };
    // SAFETY: `wanted` is not of size zero; a block that there is was made with its old layout.
    let made = unsafe {
        match layout(old) {
            Ok(existing) if !block.is_null() => alloc::realloc(block.cast(), existing, new),
            Ok(_) | Err(_) => alloc::alloc(wanted),
        }
    };
    if made.is_null() {
        return ptr::null_mut();
    }
    memory.used = used;
    if new >= LARGE_BYTES_MIN && grows {
        memory.recent += new;
        memory.largest = memory.largest.max(new);
        let soon = memory.recent > RECENT_BYTES_MAX || used > memory.collect_beyond;
        if soon && !memory.state.is_null() {
            memory.recent = 0;
            // SAFETY: setting a hook writes a few fields and is allowed at any time.
            unsafe { super::alarm::look_soon(memory.state) };
        }
    }
    made.cast()
}
