//! What scripts get in place of some functions of Lua's base libraries: they know of protected
//! tables, read no bytecode, draw the random numbers that Redis draws, and cannot be made to work
//! for long. The rule of `vm` holds: nothing is held that would have to be dropped.

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::ptr;

use mlua::ffi::{self, lua_State};

use super::stack::{bytes_at, push_bytes};
use super::{Bridge, bridge, tables};

const READONLY: &[u8] = b"Attempt to modify a readonly table";

/// # Safety
/// Called by Lua; nothing is held that must be dropped.
pub unsafe fn raise_readonly(state: *mut lua_State) -> i32 {
    // SAFETY: the text is copied.
    unsafe {
        push_bytes(state, READONLY);
        ffi::lua_error(state)
    }
}

/// `__newindex` of protected tables.
pub unsafe extern "C-unwind" fn refuse_write(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua.
    unsafe {
        ffi::luaL_where(state, 1);
        push_bytes(state, READONLY);
        ffi::lua_concat(state, 2);
        ffi::lua_error(state)
    }
}

/// `__index` of the globals: none of this name exists.
pub unsafe extern "C-unwind" fn missing_global(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the table and the key.
    unsafe {
        ffi::luaL_where(state, 1);
        push_bytes(state, b"Script attempted to access nonexistent global variable '");
        push_bytes(state, bytes_at(state, 2).unwrap_or(b"?"));
        push_bytes(state, b"'");
        ffi::lua_concat(state, 4);
        ffi::lua_error(state)
    }
}

/// Whether the value is a table that stands for another; that other one is pushed then.
///
/// # Safety
/// Called by Lua, `index` absolute; there is room for two values.
unsafe fn push_real(state: *mut lua_State, index: i32) -> bool {
    // SAFETY: as above. A table without a metatable is none of ours, which is most.
    unsafe {
        if ffi::lua_type(state, index) != ffi::LUA_TTABLE
            || ffi::lua_getmetatable(state, index) == 0
        {
            return false;
        }
        ffi::lua_settop(state, -2);
        let protected = bridge(state).references.protected;
        ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, protected);
        ffi::lua_pushvalue(state, index);
        ffi::lua_rawget_(state, -2);
        ffi::lua_remove(state, -2);
        if ffi::lua_type(state, -1) == ffi::LUA_TTABLE {
            return true;
        }
        ffi::lua_settop(state, -2);
        false
    }
}

/// Whether the value is a table that stands for another.
///
/// # Safety
/// As `push_real`.
pub unsafe fn is_protected(state: *mut lua_State, index: i32) -> bool {
    // SAFETY: as `push_real`.
    unsafe {
        let protected = push_real(state, index);
        if protected {
            ffi::lua_settop(state, -2);
        }
        protected
    }
}

/// `pcall`: an error that is a table of Redis's gives its words alone, as in Redis.
pub unsafe extern "C-unwind" fn protected_call(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua; values are moved about on its stack alone.
    unsafe {
        ffi::luaL_checkany(state, 1);
        let status = ffi::lua_pcall(state, ffi::lua_gettop(state) - 1, ffi::LUA_MULTRET, 0);
        // The results may have filled the stack to its end.
        ffi::luaL_checkstack_(state, 2, c"too many results".as_ptr());
        if status != ffi::LUA_OK && ffi::lua_type(state, -1) == ffi::LUA_TTABLE {
            push_bytes(state, b"err");
            ffi::lua_rawget_(state, -2);
            if ffi::lua_isstring(state, -1) != 0 {
                ffi::lua_replace(state, -2);
            } else {
                ffi::lua_settop(state, -2);
            }
        }
        ffi::lua_pushboolean(state, i32::from(status == ffi::LUA_OK));
        ffi::lua_insert(state, 1);
        ffi::lua_gettop(state)
    }
}

/// `xpcall(function, handler)`. The handler runs when the error has left the function: were it called
/// where the error is raised, it would not be watched when that is in the watch itself, and could
/// run for ever. What Lua gives handlers beyond that, a look at the stack, scripts do not have.
pub unsafe extern "C-unwind" fn handled_call(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua; values are moved about on its stack alone.
    unsafe {
        ffi::luaL_checkany(state, 2);
        ffi::lua_settop(state, 2);
        ffi::lua_insert(state, 1);
        let fine = ffi::lua_pcall(state, 0, ffi::LUA_MULTRET, 0) == ffi::LUA_OK;
        ffi::luaL_checkstack_(state, 2, c"too many results".as_ptr());
        if !fine {
            ffi::lua_settop(state, 2);
            ffi::lua_pushvalue(state, 1);
            ffi::lua_insert(state, 2);
            if ffi::lua_pcall(state, 1, 1, 0) != ffi::LUA_OK {
                push_bytes(state, b"error in error handling");
                ffi::lua_replace(state, 2);
            }
        }
        ffi::lua_pushboolean(state, i32::from(fine));
        ffi::lua_replace(state, 1);
        ffi::lua_gettop(state)
    }
}

/// `next(table[, key])`.
pub unsafe extern "C-unwind" fn next(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the bridge as upvalue 1.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        ffi::lua_settop(state, 2);
        if push_real(state, 1) {
            ffi::lua_replace(state, 1);
        }
        if ffi::lua_next(state, 1) != 0 {
            return 2;
        }
        ffi::lua_pushnil(state);
    }
    1
}

/// `pairs(table)`.
pub unsafe extern "C-unwind" fn pairs(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the bridge as upvalue 1. `next` is found where `pairs` is.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, bridge(state).references.next);
        ffi::lua_pushvalue(state, 1);
        ffi::lua_pushnil(state);
    }
    3
}

/// `rawget(table, key)`.
pub unsafe extern "C-unwind" fn raw_get(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the bridge as upvalue 1.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        ffi::luaL_checkany(state, 2);
        ffi::lua_settop(state, 2);
        if push_real(state, 1) {
            ffi::lua_replace(state, 1);
        }
        ffi::lua_rawget_(state, 1);
    }
    1
}

/// `rawset(table, key, value)`.
pub unsafe extern "C-unwind" fn raw_set(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the bridge as upvalue 1.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        ffi::luaL_checkany(state, 2);
        ffi::luaL_checkany(state, 3);
        ffi::lua_settop(state, 3);
        if is_protected(state, 1) {
            return raise_readonly(state);
        }
        ffi::lua_rawset(state, 1);
    }
    1
}

/// `setmetatable(table, metatable)`.
pub unsafe extern "C-unwind" fn set_metatable(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the bridge as upvalue 1.
    unsafe {
        let kind = ffi::lua_type(state, 2);
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        if kind != ffi::LUA_TNIL && kind != ffi::LUA_TTABLE {
            ffi::luaL_argerror(state, 2, c"nil or table expected".as_ptr());
        }
        if is_protected(state, 1) {
            return raise_readonly(state);
        }
        if ffi::lua_getmetatable(state, 1) != 0 {
            push_bytes(state, b"__metatable");
            ffi::lua_rawget_(state, -2);
            if ffi::lua_type(state, -1) != ffi::LUA_TNIL {
                return ffi::luaL_error(state, c"cannot change a protected metatable".as_ptr());
            }
        }
        ffi::lua_settop(state, 2);
        ffi::lua_setmetatable(state, 1);
    }
    1
}

/// Compiles a text, or gives nil and why not. Bytecode is no text: it could do anything.
///
/// # Safety
/// Called by Lua with the bridge as upvalue 1; `text` stays where it is.
unsafe fn compile(state: *mut lua_State, text: &[u8], name: *const c_char) -> i32 {
    // SAFETY: as above.
    unsafe {
        if text.first() == Some(&ffi::LUA_SIGNATURE[0]) {
            ffi::lua_pushnil(state);
            push_bytes(state, b"[string \"?\"]:1: unexpected symbol near 'char(27)'");
            return 2;
        }
        let bridge = bridge(state);
        if tables::compile(state, bridge, text, name) == ffi::LUA_OK {
            return 1;
        }
        tables::flatten_error(state);
        ffi::lua_pushnil(state);
        ffi::lua_insert(state, -2);
    }
    2
}

/// `loadstring(text[, name])`.
pub unsafe extern "C-unwind" fn load_string(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua; the text stays on the stack.
    unsafe {
        let mut length = 0;
        let text = ffi::luaL_checklstring(state, 1, &raw mut length);
        let name = ffi::luaL_optlstring(state, 2, text, ptr::null_mut());
        compile(state, std::slice::from_raw_parts(text.cast(), length), name)
    }
}

/// `load(function[, name])`: the pieces that the function gives, put together.
pub unsafe extern "C-unwind" fn load(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua. The buffer keeps what it needs on Lua's stack, above the arguments,
    // and has nothing to drop.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TFUNCTION);
        let name = ffi::luaL_optlstring(state, 2, c"=(load)".as_ptr(), ptr::null_mut());
        ffi::lua_settop(state, 2);
        let mut buffer = MaybeUninit::<ffi::luaL_Buffer>::uninit();
        let buffer = buffer.as_mut_ptr();
        ffi::luaL_buffinit(state, buffer);
        loop {
            ffi::lua_pushvalue(state, 1);
            ffi::lua_call(state, 0, 1);
            if ffi::lua_type(state, -1) == ffi::LUA_TNIL {
                ffi::lua_settop(state, -2);
                break;
            }
            if ffi::lua_isstring(state, -1) == 0 {
                ffi::lua_pushnil(state);
                push_bytes(state, b"reader function must return a string");
                return 2;
            }
            if ffi::lua_objlen(state, -1) == 0 {
                ffi::lua_settop(state, -2);
                break;
            }
            ffi::luaL_addvalue(buffer);
        }
        ffi::luaL_pushresult(buffer);
        let text = bytes_at(state, -1).expect("a string was pushed");
        compile(state, text, name)
    }
}

/// `collectgarbage([what[, value]])`: counts, or takes one step, whatever else is asked for: a lane
/// cannot be made to stop collecting, nor to collect everything at once.
pub unsafe extern "C-unwind" fn collect_garbage(state: *mut lua_State) -> i32 {
    const STEP: i32 = 100;
    const KILOBYTE: f64 = 1024.0;
    // SAFETY: called by Lua.
    unsafe {
        let what = ffi::luaL_optlstring(state, 1, c"collect".as_ptr(), ptr::null_mut());
        let what = std::ffi::CStr::from_ptr(what).to_bytes();
        let value = match what {
            b"count" => {
                let whole = f64::from(ffi::lua_gc(state, ffi::LUA_GCCOUNT, 0));
                whole + f64::from(ffi::lua_gc(state, ffi::LUA_GCCOUNTB, 0)) / KILOBYTE
            }
            b"step" => {
                let ended = ffi::lua_gc(state, ffi::LUA_GCSTEP, STEP);
                ffi::lua_pushboolean(state, ended);
                return 1;
            }
            b"collect" => {
                ffi::lua_gc(state, ffi::LUA_GCSTEP, STEP);
                0.0
            }
            b"stop" | b"restart" | b"setpause" | b"setstepmul" => 0.0,
            _ => return ffi::luaL_argerror(state, 1, c"invalid option".as_ptr()),
        };
        ffi::lua_pushnumber(state, value);
    }
    1
}

/// `string.rep(text, count)`: what is too long is refused before it is made.
pub unsafe extern "C-unwind" fn repeat(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the bridge as upvalue 1. The new block belongs to Lua.
    unsafe {
        let mut length = 0;
        let text = ffi::luaL_checklstring(state, 1, &raw mut length);
        let count = usize::try_from(ffi::luaL_checkinteger(state, 2)).unwrap_or(0);
        let whole = length.saturating_mul(count);
        if whole == 0 {
            push_bytes(state, b"");
            return 1;
        }
        let max = bridge(state).bytes_max;
        if whole > max && max > 0 {
            return ffi::luaL_error(state, c"resulting string too large".as_ptr());
        }
        let block = ffi::lua_newuserdata(state, whole).cast::<u8>();
        ptr::copy_nonoverlapping(text.cast::<u8>(), block, length);
        let mut done = length;
        while done < whole {
            let more = done.min(whole - done);
            ptr::copy_nonoverlapping(block, block.add(done), more);
            done += more;
        }
        ffi::lua_pushlstring_(state, block.cast(), whole);
    }
    1
}

// ---- Random numbers: the 48-bit generator of POSIX's drand48, as in Redis.
// <https://pubs.opengroup.org/onlinepubs/9799919799/functions/drand48.html>

/// The state before anything seeded it.
pub const RANDOM_START: u64 = 0x1234_ABCD_330E;

fn draw(bridge: &mut Bridge) -> f64 {
    const MASK: u64 = (1 << 48) - 1;
    const RANGE: u64 = i32::MAX as u64;
    bridge.random = bridge.random.wrapping_mul(0x5_DEEC_E66D).wrapping_add(0xB) & MASK;
    ((bridge.random >> 17) % RANGE) as f64 / RANGE as f64
}

/// `math.random([[from,] to])`.
pub unsafe extern "C-unwind" fn random(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the bridge as upvalue 1.
    unsafe {
        let share = draw(bridge(state));
        let value = match ffi::lua_gettop(state) {
            0 => share,
            1 => {
                let to = ffi::luaL_checkinteger(state, 1);
                if to < 1 {
                    return ffi::luaL_argerror(state, 1, c"interval is empty".as_ptr());
                }
                (share * to as f64).floor() + 1.0
            }
            2 => {
                let from = ffi::luaL_checkinteger(state, 1);
                let to = ffi::luaL_checkinteger(state, 2);
                if from > to {
                    return ffi::luaL_argerror(state, 2, c"interval is empty".as_ptr());
                }
                (share * (to as f64 - from as f64 + 1.0)).floor() + from as f64
            }
            _ => return ffi::luaL_error(state, c"wrong number of arguments".as_ptr()),
        };
        ffi::lua_pushnumber(state, value);
    }
    1
}

/// `math.randomseed(seed)`.
pub unsafe extern "C-unwind" fn random_seed(state: *mut lua_State) -> i32 {
    const LOW: u64 = 0x330E;
    // SAFETY: called by Lua with the bridge as upvalue 1.
    unsafe {
        let seed = ffi::luaL_checkinteger(state, 1) as i32;
        bridge(state).random = u64::from(seed as u32) << 16 | LOW;
    }
    0
}

/// The library `bit`, on 32 bits: <https://bitop.luajit.org/api.html>.
pub mod bit {
    use mlua::ffi::{self, lua_State};

    use crate::vm::stack::push_bytes;

    /// The 32 bits of a number: its low ones, rounded to the nearest integer.
    ///
    /// # Safety
    /// Called by Lua.
    unsafe fn bits(state: *mut lua_State, argument: i32) -> i32 {
        // Adding 2^52 + 2^51 puts the integer's low bits into those of the double.
        const MAGIC: f64 = 6_755_399_441_055_744.0;
        // SAFETY: as above.
        let value = unsafe { ffi::luaL_checknumber(state, argument) };
        (value + MAGIC).to_bits() as i32
    }

    macro_rules! of_one {
        ($($name:ident: $value:ident => $result:expr;)*) => {
            $(pub unsafe extern "C-unwind" fn $name(state: *mut lua_State) -> i32 {
                // SAFETY: called by Lua.
                unsafe {
                    let $value = bits(state, 1);
                    ffi::lua_pushnumber(state, f64::from($result));
                }
                1
            })*
        };
    }

    of_one! {
        tobit: value => value;
        bnot: value => !value;
        bswap: value => value.swap_bytes();
    }

    macro_rules! of_many {
        ($($name:ident: $so_far:ident, $value:ident => $result:expr;)*) => {
            $(pub unsafe extern "C-unwind" fn $name(state: *mut lua_State) -> i32 {
                // SAFETY: called by Lua.
                unsafe {
                    let mut $so_far = bits(state, 1);
                    for argument in 2..=ffi::lua_gettop(state) {
                        let $value = bits(state, argument);
                        $so_far = $result;
                    }
                    ffi::lua_pushnumber(state, f64::from($so_far));
                }
                1
            })*
        };
    }

    of_many! {
        band: so_far, value => so_far & value;
        bor: so_far, value => so_far | value;
        bxor: so_far, value => so_far ^ value;
    }

    macro_rules! shifts {
        ($($name:ident: $value:ident, $by:ident => $result:expr;)*) => {
            $(pub unsafe extern "C-unwind" fn $name(state: *mut lua_State) -> i32 {
                // SAFETY: called by Lua.
                unsafe {
                    let $value = bits(state, 1);
                    let $by = bits(state, 2) as u32 & 31;
                    ffi::lua_pushnumber(state, f64::from($result));
                }
                1
            })*
        };
    }

    shifts! {
        lshift: value, by => value << by;
        rshift: value, by => (value as u32 >> by) as i32;
        arshift: value, by => value >> by;
        rol: value, by => value.rotate_left(by);
        ror: value, by => value.rotate_right(by);
    }

    /// `bit.tohex(value[, digits])`: capital letters for a negative number of digits.
    pub unsafe extern "C-unwind" fn tohex(state: *mut lua_State) -> i32 {
        // SAFETY: called by Lua; the text is on our stack and copied.
        unsafe {
            let mut value = bits(state, 1) as u32;
            let digits = match ffi::lua_type(state, 2) {
                ffi::LUA_TNONE | ffi::LUA_TNIL => 8,
                _ => bits(state, 2),
            };
            let letters: &[u8; 16] =
                if digits < 0 { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
            let count = digits.unsigned_abs().min(8) as usize;
            let mut text = [0; 8];
            for place in (0..count).rev() {
                text[place] = letters[(value & 15) as usize];
                value >>= 4;
            }
            push_bytes(state, &text[..count]);
        }
        1
    }
}
