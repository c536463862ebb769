//! How a script that runs too long is noticed and ended: hooks that count Lua's instructions, and what
//! work that is none tells (`Watch::after_work`). The rule of `vm` holds.

use std::ptr;

use mlua::ffi::{self, lua_Debug, lua_State};

use super::fiber::{self, Pause};
use super::natives::raise_table;
use super::{Bridge, memory};
use crate::watch::{INSTRUCTIONS_PER_LOOK, Overdue};

/// Where the bridge is found by those that have no upvalues.
static BRIDGE_KEY: u8 = 0;

/// Keeps the bridge's address in the registry.
///
/// # Safety
/// Protected, in a live state.
pub unsafe fn remember(state: *mut lua_State, bridge: *mut Bridge) {
    // SAFETY: the key's address is unique.
    unsafe {
        ffi::lua_pushlightuserdata(state, (&raw const BRIDGE_KEY).cast_mut().cast());
        ffi::lua_pushlightuserdata(state, bridge.cast());
        ffi::lua_rawset(state, ffi::LUA_REGISTRYINDEX);
    }
}

/// Lets Lua look at the clock now and then.
///
/// # Safety
/// A live state; may be called at any time.
pub unsafe fn watch_on(state: *mut lua_State) {
    // SAFETY: sets fields of the state.
    unsafe {
        let step = memory::instructions_per_look(state);
        ffi::lua_sethook(state, Some(hook), ffi::LUA_MASKCOUNT, step);
    }
}

/// Lets Lua look at the clock at its next instruction.
///
/// # Safety
/// As `watch_on`.
pub unsafe fn look_soon(state: *mut lua_State) {
    // SAFETY: sets fields of the state.
    unsafe { ffi::lua_sethook(state, Some(hook), ffi::LUA_MASKCOUNT, 1) };
}

/// Looks at the clock, and ends a script that is overdue: an error at every instruction from then
/// on, so that no `pcall` goes on.
unsafe extern "C-unwind" fn hook(state: *mut lua_State, _: *mut lua_Debug) {
    // SAFETY: Lua makes room for hooks; nothing is held when the error leaves.
    unsafe {
        let bridge = ptr::from_mut(remembered(state));
        let step = ffi::lua_gethookcount(state);
        // A look that is asked for stands for work that is no instruction.
        let done = if step == 1 { INSTRUCTIONS_PER_LOOK } else { step };
        let mut overdue = (*bridge).watch.after_instructions(done);
        if overdue.is_none() && memory::wants_collection(state) {
            overdue = collect(state, bridge);
        }
        if overdue.is_none() && (*bridge).watch.wants_pause() {
            fiber::pause(bridge, Pause::Time);
            overdue = (*bridge).watch.overdue();
        }
        match overdue {
            None if step != memory::instructions_per_look(state) => watch_on(state),
            None => {}
            Some(why) => {
                interrupt(state, &mut *bridge, why);
            }
        }
    }
}

/// Lets go of what is garbage, in steps, between which the clock is looked at and others are served: whether
/// the script must end.
///
/// # Safety
/// Between two instructions, as `fiber::pause`.
pub unsafe fn collect(state: *mut lua_State, bridge: *mut Bridge) -> Option<Overdue> {
    let mut collection = memory::Collection::default();
    // SAFETY: the caller vouches for the place; the bridge lives as long as its state.
    unsafe {
        while !collection.step(state) {
            let overdue = (*bridge).watch.look();
            if overdue.is_some() {
                return overdue;
            }
            if (*bridge).watch.wants_pause() {
                fiber::pause(bridge, Pause::Time);
            }
        }
    }
    None
}

/// Raises the error of a script that was found to be overdue while nothing could be raised.
///
/// # Safety
/// As `raise_message`.
pub unsafe fn raise_overdue(state: *mut lua_State, bridge: &mut Bridge) -> i32 {
    // SAFETY: as above.
    unsafe {
        match bridge.watch.overdue() {
            Some(why) => interrupt(state, bridge, why),
            None => 0,
        }
    }
}

/// A function has worked as long as so many instructions take: the script ends here if it must, or is paused.
///
/// # Safety
/// As `raise_message` and `pause_after`.
pub unsafe fn worked(state: *mut lua_State, bridge: *mut Bridge, instructions: usize) {
    // SAFETY: the caller vouches for both.
    unsafe {
        if let Some(why) = pause_after(bridge, instructions) {
            interrupt(state, &mut *bridge, why);
        }
    }
}

/// The same without raising an error: the script is paused if others are to be served; why it must end, if
/// it must.
///
/// # Safety
/// As `fiber::pause`. What of the bridge is read before and after is not written by those who resume the
/// script: the tapes of results and of the last reply.
pub unsafe fn pause_after(bridge: *mut Bridge, instructions: usize) -> Option<Overdue> {
    // SAFETY: the caller vouches for the place; the bridge lives as long as its state.
    unsafe {
        let overdue = (*bridge).watch.after_work(instructions);
        if overdue.is_none() && (*bridge).watch.wants_pause_after_work() {
            fiber::pause(bridge, Pause::Time);
            return (*bridge).watch.overdue();
        }
        overdue
    }
}

/// The same in the middle of work that has no bridge at hand.
///
/// # Safety
/// As `worked`.
pub unsafe fn look(state: *mut lua_State, steps: usize) {
    // SAFETY: as `hook`.
    unsafe {
        worked(state, ptr::from_mut(remembered(state)), steps);
    }
}

/// The bridge that `remember` kept.
///
/// # Safety
/// In a state with room for a value; as `bridge`.
unsafe fn remembered<'a>(state: *mut lua_State) -> &'a mut Bridge {
    // SAFETY: `remember` was called when the state was made.
    unsafe {
        ffi::lua_pushlightuserdata(state, (&raw const BRIDGE_KEY).cast_mut().cast());
        ffi::lua_rawget_(state, ffi::LUA_REGISTRYINDEX);
        let bridge = ffi::lua_touserdata(state, -1).cast::<Bridge>();
        ffi::lua_settop(state, -2);
        &mut *bridge
    }
}

/// Raises the error of an overdue script.
///
/// # Safety
/// As `raise_message`.
pub unsafe fn interrupt(state: *mut lua_State, bridge: &mut Bridge, why: Overdue) -> i32 {
    // SAFETY: as above.
    unsafe {
        look_soon(state);
        look_soon(bridge.main);
        raise_table(state, bridge.watch.words(why).as_bytes())
    }
}
