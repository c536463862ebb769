//! Lua's functions that go through tables or many values in one go, each with its work told to the
//! watch: hooks count instructions of Lua alone, and a loop of C is none. The rule of `vm` holds:
//! nothing is held that would have to be dropped.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr;

use mlua::ffi::{self, lua_CFunction, lua_State};

use super::alarm;
use super::base::is_protected;
use super::bridge;
use super::stack::{bytes_at, push_bytes};

type Guards = &'static [(&'static CStr, lua_CFunction)];

pub const TABLE: Guards = &[
    (c"sort", sort),
    (c"concat", concat),
    (c"maxn", greatest_index),
    (c"foreach", each_pair),
    (c"foreachi", each_element),
];
pub const STRING: Guards = &[(c"byte", byte), (c"char", char)];
pub const GLOBALS: Guards = &[(c"unpack", unpack)];

/// Elements that are gone through between two words to the watch.
const ELEMENTS_A_WORD: usize = 1024;
/// Shorter tables are sorted as Lua sorts them, and paid for beforehand.
const SHORT_ELEMENTS_MAX: usize = 1000;
/// Comparisons of an element of a short table, about.
const SHORT_COMPARISONS: usize = 10;
/// Texts longer than that are worth a word to the watch each.
const BYTES_A_WORD: usize = 512;
/// Bytes that are copied in the time of an instruction of Lua, first touch included.
const BYTES_COPIED_PER_INSTRUCTION: usize = 8;
/// Values that a function of Lua can get or give at once (`LUAI_MAXCSTACK`).
const VALUES_MAX: f64 = 8000.0;

/// Tells the watch of work worth so many instructions; an overdue script ends here.
///
/// # Safety
/// Called by Lua with the bridge as upvalue 1; nothing is held that must be dropped.
pub unsafe fn work(state: *mut lua_State, instructions: usize) {
    // SAFETY: as above.
    unsafe {
        alarm::worked(state, ptr::from_mut(bridge(state)), instructions);
    }
}

/// Tells the watch of element `index`, once in so many.
///
/// # Safety
/// As `work`.
#[inline]
pub unsafe fn work_on(state: *mut lua_State, index: usize) {
    if index.is_multiple_of(ELEMENTS_A_WORD) {
        // SAFETY: as above.
        unsafe { work(state, ELEMENTS_A_WORD) };
    }
}

/// Puts guards in front of functions of the table at `table`: each gets the bridge as its upvalue 1
/// and the function that it guards as upvalue 2.
///
/// # Safety
/// A state with its base libraries, inside a protected call; `table` is absolute.
pub unsafe fn guard(
    state: *mut lua_State,
    table: i32,
    bridge: *mut super::Bridge,
    guards: &[(&'static CStr, lua_CFunction)],
) {
    // SAFETY: as above; nothing is held.
    unsafe {
        for (name, guard) in guards {
            ffi::lua_pushlightuserdata(state, bridge.cast());
            ffi::lua_getfield_(state, table, name.as_ptr());
            if ffi::lua_tocfunction(state, -1).is_none() {
                ffi::lua_settop(state, -3);
                continue;
            }
            ffi::lua_pushcclosure(state, *guard, 2);
            ffi::lua_setfield(state, table, name.as_ptr());
        }
    }
}

/// Lets the guarded function answer, in this very frame: its errors tell the place.
///
/// # Safety
/// Called by Lua with the upvalues that `guard` gave.
pub unsafe fn guarded(state: *mut lua_State) -> i32 {
    // SAFETY: the guarded function is one of C that has no upvalues itself.
    unsafe {
        match ffi::lua_tocfunction(state, ffi::lua_upvalueindex(2)) {
            Some(own) => own(state),
            None => 0,
        }
    }
}

/// `table.sort(table[, comparison])`. What Lua's own sort does between two comparisons is little, so
/// it is enough that these are counted: those of a function of Lua are.
unsafe extern "C-unwind" fn sort(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the upvalues that `guard` gave.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        let kind = ffi::lua_type(state, 2);
        let by_order = matches!(kind, ffi::LUA_TNONE | ffi::LUA_TNIL);
        let elements = ffi::lua_objlen(state, 1);
        if by_order && elements <= SHORT_ELEMENTS_MAX {
            work(state, elements * SHORT_COMPARISONS);
            return guarded(state);
        }
        if !by_order && (kind != ffi::LUA_TFUNCTION || ffi::lua_iscfunction(state, 2) == 0) {
            return guarded(state);
        }
        ffi::lua_settop(state, 2);
        ffi::lua_pushlightuserdata(state, ptr::from_mut(bridge(state)).cast());
        ffi::lua_pushvalue(state, 2);
        ffi::lua_pushcclosure(state, counted_comparison, 2);
        ffi::lua_replace(state, 2);
        guarded(state)
    }
}

/// Compares as upvalue 2 does, or by the order of the values if that is nil.
unsafe extern "C-unwind" fn counted_comparison(state: *mut lua_State) -> i32 {
    const INSTRUCTIONS: usize = 4;
    // SAFETY: called by Lua's sort with two values.
    unsafe {
        work(state, INSTRUCTIONS);
        let comparison = ffi::lua_upvalueindex(2);
        if ffi::lua_type(state, comparison) == ffi::LUA_TNIL {
            let less = ffi::lua_lessthan(state, 1, 2);
            ffi::lua_pushboolean(state, less);
        } else {
            ffi::lua_pushvalue(state, comparison);
            ffi::lua_insert(state, 1);
            ffi::lua_call(state, 2, 1);
        }
    }
    1
}

/// `table.concat(table[, separator[, from[, to]]])`.
unsafe extern "C-unwind" fn concat(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the upvalues that `guard` gave. The buffer keeps what it needs on
    // Lua's stack, above the arguments, and has nothing to drop.
    unsafe {
        let mut length = 0;
        let separator = ffi::luaL_optlstring(state, 2, c"".as_ptr(), &raw mut length);
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        let from = ffi::luaL_optinteger(state, 3, 1) as i32;
        let to = match ffi::lua_type(state, 4) {
            ffi::LUA_TNONE | ffi::LUA_TNIL => ffi::lua_objlen(state, 1) as i32,
            _ => ffi::luaL_checkinteger(state, 4) as i32,
        };
        ffi::lua_settop(state, 2);
        let mut buffer = MaybeUninit::<ffi::luaL_Buffer>::uninit();
        let buffer = buffer.as_mut_ptr();
        ffi::luaL_buffinit(state, buffer);
        for index in from..=to {
            work_on(state, index as usize);
            ffi::lua_rawgeti_(state, 1, index);
            // What is long is copied more than once, on the way to the whole.
            let element_bytes = ffi::lua_objlen(state, -1);
            if element_bytes > BYTES_A_WORD {
                work(state, element_bytes / BYTES_COPIED_PER_INSTRUCTION);
            }
            if ffi::lua_isstring(state, -1) == 0 {
                // Lua's own function says what is wrong with it.
                ffi::lua_settop(state, 2);
                ffi::lua_pushnumber(state, f64::from(index));
                ffi::lua_pushnumber(state, f64::from(index));
                return guarded(state);
            }
            ffi::luaL_addvalue(buffer);
            if index < to {
                ffi::luaL_addlstring(buffer, separator, length);
            }
        }
        ffi::luaL_pushresult(buffer);
    }
    1
}

/// `table.remove(table[, position])`.
pub unsafe extern "C-unwind" fn remove(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the bridge as upvalue 1.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        let end = ffi::lua_objlen(state, 1) as i32;
        let position = ffi::luaL_optinteger(state, 2, ffi::lua_Integer::from(end)) as i32;
        if !(1..=end).contains(&position) {
            return 0;
        }
        ffi::lua_rawgeti_(state, 1, position);
        for index in position..end {
            work_on(state, index as usize);
            ffi::lua_rawgeti_(state, 1, index + 1);
            ffi::lua_rawseti_(state, 1, index);
        }
        ffi::lua_pushnil(state);
        ffi::lua_rawseti_(state, 1, end);
    }
    1
}

/// `table.insert(table, [position,] value)`.
pub unsafe extern "C-unwind" fn insert(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the bridge as upvalue 1.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        if is_protected(state, 1) {
            return super::base::raise_readonly(state);
        }
        let mut end = ffi::lua_objlen(state, 1) as i32 + 1;
        let position = match ffi::lua_gettop(state) {
            2 => end,
            3 => {
                let position = ffi::luaL_checkinteger(state, 2) as i32;
                end = end.max(position);
                for index in (position.saturating_add(1)..=end).rev() {
                    work_on(state, index as usize);
                    ffi::lua_rawgeti_(state, 1, index - 1);
                    ffi::lua_rawseti_(state, 1, index);
                }
                position
            }
            _ => {
                let text = c"wrong number of arguments to 'insert'";
                return ffi::luaL_error(state, text.as_ptr());
            }
        };
        ffi::lua_rawseti_(state, 1, position);
    }
    0
}

/// `table.maxn(table)`: the greatest number among the keys.
unsafe extern "C-unwind" fn greatest_index(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the upvalues that `guard` gave.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        let mut greatest = 0.0_f64;
        let mut pairs = 0;
        ffi::lua_pushnil(state);
        while ffi::lua_next(state, 1) != 0 {
            pairs += 1;
            work_on(state, pairs);
            ffi::lua_settop(state, -2);
            if ffi::lua_type(state, -1) == ffi::LUA_TNUMBER {
                greatest = greatest.max(ffi::lua_tonumber(state, -1));
            }
        }
        ffi::lua_pushnumber(state, greatest);
    }
    1
}

/// Calls the function at 2 with the two values on top, which stay below its result; whether that is
/// not nil.
unsafe fn call_with_two(state: *mut lua_State) -> bool {
    // SAFETY: as the callers.
    unsafe {
        ffi::lua_pushvalue(state, 2);
        ffi::lua_pushvalue(state, -3);
        ffi::lua_pushvalue(state, -3);
        ffi::lua_call(state, 2, 1);
        ffi::lua_type(state, -1) != ffi::LUA_TNIL
    }
}

/// `table.foreach(table, function)`.
unsafe extern "C-unwind" fn each_pair(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the upvalues that `guard` gave.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        ffi::luaL_checktype(state, 2, ffi::LUA_TFUNCTION);
        let mut pairs = 0;
        ffi::lua_pushnil(state);
        while ffi::lua_next(state, 1) != 0 {
            pairs += 1;
            work_on(state, pairs);
            if call_with_two(state) {
                return 1;
            }
            ffi::lua_settop(state, -3);
        }
    }
    0
}

/// `table.foreachi(table, function)`.
unsafe extern "C-unwind" fn each_element(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the upvalues that `guard` gave.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        ffi::luaL_checktype(state, 2, ffi::LUA_TFUNCTION);
        for index in 1..=ffi::lua_objlen(state, 1) {
            work_on(state, index);
            ffi::lua_pushnumber(state, index as f64);
            ffi::lua_rawgeti_(state, 1, index as i32);
            if call_with_two(state) {
                return 1;
            }
            ffi::lua_settop(state, -4);
        }
    }
    0
}

/// `unpack(table[, from[, to]])`.
unsafe extern "C-unwind" fn unpack(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the upvalues that `guard` gave; Lua's function checks arguments.
    unsafe {
        if ffi::lua_type(state, 1) == ffi::LUA_TTABLE {
            let number = |index: i32, default: f64| match ffi::lua_isnumber(state, index) {
                0 => default,
                _ => ffi::lua_tonumber(state, index),
            };
            let (from, to) = (number(2, 1.0), number(3, ffi::lua_objlen(state, 1) as f64));
            work(state, (to - from + 1.0).clamp(0.0, VALUES_MAX) as usize);
        }
        guarded(state)
    }
}

/// `string.byte(text[, from[, to]])`.
unsafe extern "C-unwind" fn byte(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the upvalues that `guard` gave; Lua's function checks arguments.
    unsafe {
        if ffi::lua_gettop(state) > 2 {
            work(state, bytes_at(state, 1).map_or(0, <[u8]>::len).min(VALUES_MAX as usize));
        }
        guarded(state)
    }
}

/// `string.char(code, ...)`.
unsafe extern "C-unwind" fn char(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the upvalues that `guard` gave; Lua's function checks arguments.
    unsafe {
        work(state, ffi::lua_gettop(state) as usize);
        guarded(state)
    }
}

/// A text on its way to the compiler.
struct Source {
    text: *const u8,
    left: usize,
    bridge: *mut super::Bridge,
}

/// Bytes that the compiler gets between two words to the watch.
const SOURCE_PIECE_BYTES: usize = 4096;

unsafe extern "C-unwind" fn next_piece(
    state: *mut lua_State,
    source: *mut std::ffi::c_void,
    length: *mut usize,
) -> *const std::ffi::c_char {
    // SAFETY: called by `lua_load` within `compile`, whose source it is; the compiler catches the
    // error of an overdue script as one of its own.
    unsafe {
        let source = &mut *source.cast::<Source>();
        let bridge = &mut *source.bridge;
        *length = source.left.min(SOURCE_PIECE_BYTES);
        if let Some(why) = bridge.watch.after_work(*length) {
            alarm::interrupt(state, bridge, why);
        }
        let piece = source.text;
        source.text = piece.add(*length);
        source.left -= *length;
        piece.cast()
    }
}

/// Compiles a text, which is not bytecode; the function, or what is wrong, is pushed. The status is
/// Lua's.
///
/// # Safety
/// In a protected call; `text` stays where it is, `bridge` is the state's.
pub unsafe fn compile(
    state: *mut lua_State,
    bridge: *mut super::Bridge,
    text: &[u8],
    name: *const std::ffi::c_char,
) -> i32 {
    let mut source = Source { text: text.as_ptr(), left: text.len(), bridge };
    // SAFETY: the source lives through the call.
    unsafe { ffi::lua_load(state, next_piece, (&raw mut source).cast(), name) }
}

/// Pushes the words of the error that the compiler has left on top in place of it, if that is a table.
///
/// # Safety
/// After `compile` has failed.
pub unsafe fn flatten_error(state: *mut lua_State) {
    // SAFETY: as above.
    unsafe {
        if ffi::lua_type(state, -1) == ffi::LUA_TTABLE {
            push_bytes(state, b"err");
            ffi::lua_rawget_(state, -2);
            ffi::lua_replace(state, -2);
        }
    }
}
