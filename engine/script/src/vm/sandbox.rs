//! What scripts see: the globals and libraries that Redis gives them and nothing else, all of it
//! readonly. A table that scripts see is an empty one that stands for the real one: reads go
//! through, writes are refused.

use std::ffi::CStr;

use mlua::ffi::{self, lua_CFunction, lua_State};

use super::{Bridge, alarm, base, compiler, natives, patterns, runner, tables};

/// Globals of Lua that scripts do not get, as in Redis.
const DENIED: [&CStr; 12] = [
    c"dofile",
    c"loadfile",
    c"print",
    c"getfenv",
    c"setfenv",
    c"newproxy",
    c"module",
    c"require",
    c"package",
    c"io",
    c"os",
    c"debug",
];

/// The version of Redis whose scripting this is.
pub const REDIS_VERSION: &CStr = c"7.4.0";
const REDIS_VERSION_NUMBER: f64 = 0x0007_0400 as f64;

/// This server's own version: `major << 16 | minor << 8 | patch`.
fn server_version_number() -> f64 {
    let part = |text: &str| text.parse::<u32>().expect("cargo gives numbers");
    let (major, minor) = (env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"));
    f64::from(part(major) << 16 | part(minor) << 8 | part(env!("CARGO_PKG_VERSION_PATCH")))
}

/// Builds everything in a new state. Argument 1 is the bridge.
///
/// # Safety
/// Called once, protected, in a state that nothing has run in.
pub unsafe extern "C-unwind" fn build(state: *mut lua_State) -> i32 {
    // SAFETY: the bridge is a light userdata that outlives the state; what is pushed is popped.
    unsafe {
        let bridge = ffi::lua_touserdata(state, 1).cast::<Bridge>();
        ffi::lua_settop(state, 0);
        for open in [
            ffi::luaopen_base as lua_CFunction,
            ffi::luaopen_table,
            ffi::luaopen_string,
            ffi::luaopen_math,
        ] {
            ffi::lua_pushcclosure(state, open, 0);
            ffi::lua_call(state, 0, 0);
        }
        alarm::remember(state, bridge);
        let mut references = super::References::default();
        ffi::lua_createtable(state, 0, 16);
        references.protected = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
        (*bridge).references = references;

        // The real globals stand at 1 for the rest of this function.
        ffi::lua_pushvalue(state, ffi::LUA_GLOBALSINDEX);
        for name in DENIED {
            ffi::lua_pushnil(state);
            ffi::lua_setfield(state, 1, name.as_ptr());
        }
        add(state, 1, bridge, natives::GLOBALS);
        extend(state, bridge, c"string", natives::STRING);
        patterns::guard(state, bridge);
        tables::guard(state, 1, bridge, tables::GLOBALS);
        for (library, guards) in [(c"string", tables::STRING), (c"table", tables::TABLE)] {
            ffi::lua_getfield_(state, 1, library.as_ptr());
            tables::guard(state, ffi::lua_gettop(state), bridge, guards);
            ffi::lua_settop(state, -2);
        }
        extend(state, bridge, c"table", natives::TABLE);
        extend(state, bridge, c"math", natives::MATH);
        extend(state, bridge, c"bit", natives::BIT);
        extend(state, bridge, c"cjson", natives::CJSON);
        extend(state, bridge, c"cmsgpack", natives::CMSGPACK);
        extend(state, bridge, c"struct", natives::STRUCT);
        describe_libraries(state);
        for name in
            [c"string", c"table", c"math", c"bit", c"cjson", c"cmsgpack", c"struct", c"coroutine"]
        {
            ffi::lua_getfield_(state, 1, name.as_ptr());
            protect(state, bridge);
            ffi::lua_setfield(state, 1, name.as_ptr());
        }
        protect_strings(state);

        push_functions_globals(state, bridge);
        (*bridge).references.function_environment = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);

        push_redis(state, bridge, false);
        share_redis(state, 1);
        seal_globals(state, 1, bridge);
        ffi::lua_pushvalue(state, 1);
        (*bridge).references.globals = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
        ffi::lua_replace(state, ffi::LUA_GLOBALSINDEX);

        for (function, reference) in [
            (natives::error_handler as lua_CFunction, &raw mut (*bridge).references.error_handler),
            (runner, &raw mut (*bridge).references.runner),
            (compiler, &raw mut (*bridge).references.compiler),
            (base::next, &raw mut (*bridge).references.next),
        ] {
            ffi::lua_pushlightuserdata(state, bridge.cast());
            ffi::lua_pushcclosure(state, function, 1);
            *reference = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
        }
        ffi::lua_settop(state, 0);
    }
    0
}

/// Puts functions into the table at `table`, each with the bridge as its upvalue 1 and its own
/// number as upvalue 2.
unsafe fn add(
    state: *mut lua_State,
    table: i32,
    bridge: *mut Bridge,
    functions: &[(&'static CStr, lua_CFunction)],
) {
    // SAFETY: as `build`.
    unsafe {
        for (index, (name, function)) in functions.iter().enumerate() {
            ffi::lua_pushlightuserdata(state, bridge.cast());
            ffi::lua_pushnumber(state, index as f64);
            ffi::lua_pushcclosure(state, *function, 2);
            ffi::lua_setfield(state, table, name.as_ptr());
        }
    }
}

/// Puts functions into the library of this name, which is made if there is none.
unsafe fn extend(
    state: *mut lua_State,
    bridge: *mut Bridge,
    library: &'static CStr,
    functions: &[(&'static CStr, lua_CFunction)],
) {
    // SAFETY: as `build`.
    unsafe {
        ffi::lua_getfield_(state, 1, library.as_ptr());
        if ffi::lua_type(state, -1) == ffi::LUA_TNIL {
            ffi::lua_settop(state, -2);
            ffi::lua_createtable(state, 0, 16);
            ffi::lua_pushvalue(state, -1);
            ffi::lua_setfield(state, 1, library.as_ptr());
        }
        let table = ffi::lua_gettop(state);
        add(state, table, bridge, functions);
        ffi::lua_settop(state, -2);
    }
}

/// The constants that libraries tell of themselves.
unsafe fn describe_libraries(state: *mut lua_State) {
    const TEXTS: [(&CStr, &CStr, &CStr); 5] = [
        (c"cjson", c"_NAME", c"cjson"),
        (c"cjson", c"_VERSION", c"2.1.0"),
        (c"cmsgpack", c"_NAME", c"cmsgpack"),
        (c"cmsgpack", c"_VERSION", c"lua-cmsgpack 0.4.0"),
        (c"cmsgpack", c"_DESCRIPTION", c"MessagePack for Lua"),
    ];
    // SAFETY: as `build`.
    unsafe {
        for (library, name, text) in TEXTS {
            ffi::lua_getfield_(state, 1, library.as_ptr());
            super::stack::push_bytes(state, text.to_bytes());
            ffi::lua_setfield(state, -2, name.as_ptr());
            ffi::lua_settop(state, -2);
        }
        ffi::lua_getfield_(state, 1, c"cjson".as_ptr());
        ffi::lua_pushlightuserdata(state, std::ptr::null_mut());
        ffi::lua_setfield(state, -2, c"null".as_ptr());
        ffi::lua_settop(state, -2);
    }
}

/// Replaces the table on top by one that stands for it.
unsafe fn protect(state: *mut lua_State, bridge: *mut Bridge) {
    // SAFETY: as `build`; the real table is at `real`.
    unsafe {
        let real = ffi::lua_gettop(state);
        ffi::lua_createtable(state, 0, 0);
        ffi::lua_createtable(state, 0, 3);
        ffi::lua_pushvalue(state, real);
        ffi::lua_setfield(state, -2, c"__index".as_ptr());
        ffi::lua_pushlightuserdata(state, bridge.cast());
        ffi::lua_pushcclosure(state, base::refuse_write, 1);
        ffi::lua_setfield(state, -2, c"__newindex".as_ptr());
        hide_metatable(state);
        ffi::lua_setmetatable(state, -2);

        ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, (*bridge).references.protected);
        ffi::lua_pushvalue(state, -2);
        ffi::lua_pushvalue(state, real);
        ffi::lua_rawset(state, -3);
        ffi::lua_settop(state, -2);
        ffi::lua_remove(state, real);
    }
}

/// The metatable on top is not shown and cannot be replaced.
unsafe fn hide_metatable(state: *mut lua_State) {
    // SAFETY: as `build`.
    unsafe {
        ffi::lua_pushboolean(state, 0);
        ffi::lua_setfield(state, -2, c"__metatable".as_ptr());
    }
}

/// Methods of strings go through the protected library.
unsafe fn protect_strings(state: *mut lua_State) {
    // SAFETY: as `build`; the string library has given strings a metatable.
    unsafe {
        super::stack::push_bytes(state, b"");
        if ffi::lua_getmetatable(state, -1) != 0 {
            hide_metatable(state);
            ffi::lua_settop(state, -2);
        }
        ffi::lua_settop(state, -2);
    }
}

/// Pushes the globals of functions: a copy of those of scripts, with a `redis` of their own.
unsafe fn push_functions_globals(state: *mut lua_State, bridge: *mut Bridge) {
    // SAFETY: as `build`.
    unsafe {
        ffi::lua_createtable(state, 0, 40);
        let copy = ffi::lua_gettop(state);
        ffi::lua_pushnil(state);
        while ffi::lua_next(state, 1) != 0 {
            ffi::lua_pushvalue(state, -2);
            ffi::lua_insert(state, -2);
            ffi::lua_rawset(state, copy);
        }
        push_redis(state, bridge, true);
        share_redis(state, copy);
        seal_globals(state, copy, bridge);
        ffi::lua_remove(state, copy);
    }
}

/// Pushes a protected table of Redis's own functions.
unsafe fn push_redis(state: *mut lua_State, bridge: *mut Bridge, for_functions: bool) {
    const NUMBERS: [(&CStr, f64); 10] = [
        (c"LOG_DEBUG", 0.0),
        (c"LOG_VERBOSE", 1.0),
        (c"LOG_NOTICE", 2.0),
        (c"LOG_WARNING", 3.0),
        (c"REPL_NONE", 0.0),
        (c"REPL_AOF", 1.0),
        (c"REPL_SLAVE", 2.0),
        (c"REPL_REPLICA", 2.0),
        (c"REPL_ALL", 3.0),
        (c"REDIS_VERSION_NUM", REDIS_VERSION_NUMBER),
    ];
    // SAFETY: as `build`.
    unsafe {
        ffi::lua_createtable(state, 0, 32);
        let table = ffi::lua_gettop(state);
        add(state, table, bridge, natives::REDIS);
        if for_functions {
            add(state, table, bridge, natives::REDIS_OF_FUNCTIONS);
        } else {
            add(state, table, bridge, natives::REDIS_OF_SCRIPTS);
        }
        for (name, value) in NUMBERS {
            ffi::lua_pushnumber(state, value);
            ffi::lua_setfield(state, table, name.as_ptr());
        }
        ffi::lua_pushnumber(state, server_version_number());
        ffi::lua_setfield(state, table, c"SERVER_VERSION_NUM".as_ptr());
        for (name, text) in [
            (c"REDIS_VERSION", REDIS_VERSION.to_bytes()),
            (c"SERVER_NAME", &b"ringlane"[..]),
            (c"SERVER_VERSION", env!("CARGO_PKG_VERSION").as_bytes()),
        ] {
            super::stack::push_bytes(state, text);
            ffi::lua_setfield(state, table, name.as_ptr());
        }
        protect(state, bridge);
    }
}

/// Gives globals the table on top as `redis`, and as `server`, its name in Valkey.
unsafe fn share_redis(state: *mut lua_State, globals: i32) {
    // SAFETY: as `build`.
    unsafe {
        ffi::lua_pushvalue(state, -1);
        ffi::lua_setfield(state, globals, c"server".as_ptr());
        ffi::lua_setfield(state, globals, c"redis".as_ptr());
    }
}

/// Lets reads of globals that do not exist fail, and pushes the table that stands for them.
unsafe fn seal_globals(state: *mut lua_State, globals: i32, bridge: *mut Bridge) {
    // SAFETY: as `build`.
    unsafe {
        ffi::lua_createtable(state, 0, 2);
        ffi::lua_pushlightuserdata(state, bridge.cast());
        ffi::lua_pushcclosure(state, base::missing_global, 1);
        ffi::lua_setfield(state, -2, c"__index".as_ptr());
        hide_metatable(state);
        ffi::lua_setmetatable(state, globals);
        ffi::lua_pushvalue(state, globals);
        protect(state, bridge);
        ffi::lua_pushvalue(state, -1);
        ffi::lua_setfield(state, globals, c"_G".as_ptr());
    }
}
