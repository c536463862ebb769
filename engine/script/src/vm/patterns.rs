//! Lua's functions that match patterns, each behind a rehearsal (`crate::pattern`): they run in one
//! go, so neither a bound on time nor the end of the stack could stop them halfway.

use std::ffi::CStr;
use std::ptr;

use mlua::ffi::{self, lua_CFunction, lua_State};

use super::alarm::{self, interrupt};
use super::{Bridge, bridge, tables};
use crate::pattern::{Refusal, Use, rehearse};
use crate::watch::INSTRUCTIONS_PER_LOOK;

const GUARDS: [(&CStr, lua_CFunction); 5] = [
    (c"find", find),
    (c"match", first),
    (c"gmatch", each),
    // An older name of `gmatch`.
    (c"gfind", each),
    (c"gsub", replace),
];

/// Bytes that are searched in the time of an instruction of Lua.
const BYTES_PER_INSTRUCTION: usize = 16;

/// Bytes of a pattern that `find` takes for a plain text when there are none of these.
const SPECIALS: &[u8] = b"^$*+?.([%-";

/// Puts the guards into the string library of the globals at 1.
///
/// # Safety
/// A state with its base libraries, inside a protected call.
pub unsafe fn guard(state: *mut lua_State, bridge: *mut Bridge) {
    // SAFETY: as above; nothing is held.
    unsafe {
        ffi::lua_getfield_(state, 1, c"string".as_ptr());
        tables::guard(state, ffi::lua_gettop(state), bridge, &GUARDS);
        ffi::lua_settop(state, -2);
    }
}

unsafe extern "C-unwind" fn find(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the upvalues that `guard` gave.
    unsafe {
        let is_plain = ffi::lua_toboolean(state, 4) != 0;
        let is_plain = is_plain || !text(state, 2).iter().any(|byte| SPECIALS.contains(byte));
        guarded(state, start(state), if is_plain { Use::Plain } else { Use::First })
    }
}

unsafe extern "C-unwind" fn first(state: *mut lua_State) -> i32 {
    // SAFETY: as `find`.
    unsafe { guarded(state, start(state), Use::First) }
}

unsafe extern "C-unwind" fn each(state: *mut lua_State) -> i32 {
    // SAFETY: as `find`.
    unsafe { guarded(state, 0, Use::Each) }
}

unsafe extern "C-unwind" fn replace(state: *mut lua_State) -> i32 {
    // SAFETY: as `find`.
    unsafe {
        let matches_max = match ffi::lua_isnumber(state, 4) {
            0 => usize::MAX,
            _ => ffi::lua_tonumber(state, 4) as usize,
        };
        guarded(state, 0, Use::Replace(matches_max))
    }
}

/// The text of an argument; nothing if it is none, which Lua's function then tells.
unsafe fn text<'a>(state: *mut lua_State, index: i32) -> &'a [u8] {
    // SAFETY: the text stays on the stack while the function runs.
    unsafe {
        let mut length = 0;
        let start = ffi::lua_tolstring(state, index, &raw mut length);
        if start.is_null() { &[] } else { std::slice::from_raw_parts(start.cast(), length) }
    }
}

/// Where argument 3 lets a search begin; below 0 it counts from the end.
unsafe fn start(state: *mut lua_State) -> usize {
    // SAFETY: as `find`.
    unsafe {
        let from = ffi::lua_tonumber(state, 3);
        if from < 0.0 {
            text(state, 1).len().saturating_sub((-from) as usize)
        } else {
            (from as usize).saturating_sub(1)
        }
    }
}

/// Rehearses, then lets Lua's own function answer, in this very frame: its errors tell the place.
unsafe fn guarded(state: *mut lua_State, start: usize, what: Use) -> i32 {
    // SAFETY: the upvalues are the bridge and a function of C that has none itself. What `rehearse`
    // takes are borrows and numbers: nothing is left to drop when an error leaves.
    unsafe {
        let bridge = ptr::from_mut(bridge(state));
        // What is too short to be rehearsed takes time all the same.
        tables::work(state, (text(state, 1).len() + text(state, 2).len()) / BYTES_PER_INSTRUCTION);
        // What is searched stays on the stack of the script while it is paused.
        let look = &mut || alarm::pause_after(bridge, INSTRUCTIONS_PER_LOOK as usize);
        match rehearse(text(state, 1), text(state, 2), start, what, look) {
            Ok(()) => {}
            Err(Refusal::TooComplex) => {
                return ffi::luaL_error(state, c"pattern too complex".as_ptr());
            }
            Err(Refusal::Stopped(why)) => return interrupt(state, &mut *bridge, why),
        }
        tables::guarded(state)
    }
}
