//! The functions that Lua calls: Redis's own, those of the base library that must know of protected
//! tables, and the way into the libraries of `codec`. All follow the rule of `vm`: nothing is held
//! that would have to be dropped while Lua is called.

use std::ffi::CStr;
use std::ptr;

use mlua::ffi::{self, lua_CFunction, lua_Debug, lua_State};

use super::alarm::{interrupt, look_soon, pause_after, raise_overdue};
use super::base::{
    bit, collect_garbage, handled_call, is_protected, load, load_string, next, pairs,
    protected_call, random, random_seed, raw_get, raw_set, repeat, set_metatable,
};
use super::fiber::{self, Pause};
use super::stack::{self, Dress, Shape, bytes_at, push_bytes, push_field};
use super::{Argument, Bridge, Function, Registered, bridge, tables};
use ringlane_command::CommandError;

use crate::codec::{self, Fault, json, msgpack, structs};
use crate::number;
use crate::run::Slices;

/// A call of a library that works on more bytes is followed by a look at the clock.
const BYTES_UNSEEN_MAX: usize = 16 << 10;

/// Bytes that are hashed between two words to the watch.
const HASHED_AT_ONCE_BYTES: usize = 64 << 10;
/// What hashing takes, beside an instruction of Lua.
const BYTES_HASHED_PER_INSTRUCTION: usize = 8;

type Functions = &'static [(&'static CStr, lua_CFunction)];

pub const GLOBALS: Functions = &[
    (c"pcall", protected_call),
    (c"xpcall", handled_call),
    (c"pairs", pairs),
    (c"next", next),
    (c"rawget", raw_get),
    (c"rawset", raw_set),
    (c"setmetatable", set_metatable),
    (c"loadstring", load_string),
    (c"load", load),
    (c"collectgarbage", collect_garbage),
];
pub const STRING: Functions = &[(c"rep", repeat)];
pub const TABLE: Functions = &[(c"insert", tables::insert), (c"remove", tables::remove)];
pub const MATH: Functions = &[(c"random", random), (c"randomseed", random_seed)];
pub const REDIS: Functions = &[
    (c"call", call),
    (c"pcall", pcall),
    (c"error_reply", error_reply),
    (c"status_reply", status_reply),
    (c"sha1hex", sha1hex),
    (c"log", log),
    (c"setresp", set_resp),
    (c"set_repl", set_repl),
    (c"acl_check_cmd", acl_check_cmd),
];
pub const REDIS_OF_SCRIPTS: Functions = &[
    (c"replicate_commands", replicate_commands),
    (c"breakpoint", breakpoint),
    (c"debug", nothing),
];
pub const REDIS_OF_FUNCTIONS: Functions = &[(c"register_function", register_function)];

pub const BIT: Functions = &[
    (c"tobit", bit::tobit),
    (c"bnot", bit::bnot),
    (c"bswap", bit::bswap),
    (c"band", bit::band),
    (c"bor", bit::bor),
    (c"bxor", bit::bxor),
    (c"lshift", bit::lshift),
    (c"rshift", bit::rshift),
    (c"arshift", bit::arshift),
    (c"rol", bit::rol),
    (c"ror", bit::ror),
    (c"tohex", bit::tohex),
];

/// The functions of the libraries, with what their arguments may be.
static LIBRARY: [(codec::Function, Shape); 16] = [
    (json::encode, Shape::Json),
    (json::decode, Shape::Flat),
    (json::encode_sparse_array, Shape::Flat),
    (json::encode_max_depth, Shape::Flat),
    (json::decode_max_depth, Shape::Flat),
    (json::encode_number_precision, Shape::Flat),
    (json::encode_keep_buffer, Shape::Flat),
    (json::encode_invalid_numbers, Shape::Flat),
    (json::decode_invalid_numbers, Shape::Flat),
    (msgpack::pack, Shape::Pack),
    (msgpack::unpack, Shape::Flat),
    (msgpack::unpack_one, Shape::Flat),
    (structs::pack, Shape::Flat),
    (structs::unpack, Shape::Flat),
    (structs::size, Shape::Flat),
    (msgpack::unpack_limit, Shape::Flat),
];

macro_rules! library {
    ($($name:ident $at:literal $text:literal;)*) => {
        $(unsafe extern "C-unwind" fn $name(state: *mut lua_State) -> i32 {
            // SAFETY: called by Lua with the bridge as upvalue 1.
            unsafe { library_function(state, $at, $text) }
        })*
    };
}

library! {
    json_encode 0 0;
    json_decode 1 1;
    json_sparse 2 0;
    json_encode_depth 3 0;
    json_decode_depth 4 0;
    json_precision 5 0;
    json_keep 6 0;
    json_encode_invalid 7 0;
    json_decode_invalid 8 0;
    pack 9 0;
    unpack 10 1;
    unpack_one 11 1;
    struct_pack 12 1;
    struct_unpack 13 2;
    struct_size 14 1;
    unpack_limit 15 1;
}

pub const CJSON: Functions = &[
    (c"encode", json_encode),
    (c"decode", json_decode),
    (c"encode_sparse_array", json_sparse),
    (c"encode_max_depth", json_encode_depth),
    (c"decode_max_depth", json_decode_depth),
    (c"encode_number_precision", json_precision),
    (c"encode_keep_buffer", json_keep),
    (c"encode_invalid_numbers", json_encode_invalid),
    (c"decode_invalid_numbers", json_decode_invalid),
];
pub const CMSGPACK: Functions = &[
    (c"pack", pack),
    (c"unpack", unpack),
    (c"unpack_one", unpack_one),
    (c"unpack_limit", unpack_limit),
];
pub const STRUCT: Functions =
    &[(c"pack", struct_pack), (c"unpack", struct_unpack), (c"size", struct_size)];

/// Calls a library function; the first `texts` arguments must be strings.
///
/// # Safety
/// Called by Lua, with the bridge as upvalue 1.
unsafe fn library_function(state: *mut lua_State, at: usize, texts: i32) -> i32 {
    // SAFETY: arguments stay on the stack; the tapes are the bridge's.
    unsafe {
        let count = ffi::lua_gettop(state);
        let (function, shape) = LIBRARY[at];
        // cjson counts its arguments before it looks at them.
        for argument in 1..=(if at == 1 && count != 1 { 0 } else { texts }) {
            ffi::luaL_checklstring(state, argument, ptr::null_mut());
        }
        let bridge = ptr::from_mut(bridge(state));
        (*bridge).desk.clear(count as usize);
        for argument in 1..=count {
            (*bridge).desk.types.push(type_name(ffi::lua_type(state, argument)));
            if Bridge::reader(bridge, state, shape).read(argument, 0).is_err() {
                if (*bridge).watch.is_overdue() {
                    return raise_overdue(state, &mut *bridge);
                }
                return raise_message(state, &mut *bridge);
            }
        }
        // Nobody touches the desk of a script that is paused.
        let desk = &mut (*bridge).desk;
        let outcome = function(desk, &mut |steps| pause_after(bridge, steps).is_some());
        if (*bridge).desk.input.size() + (*bridge).desk.output.size() > BYTES_UNSEEN_MAX {
            look_soon(state);
        }
        match outcome {
            _ if (*bridge).watch.is_overdue() => raise_overdue(state, &mut *bridge),
            Ok(()) => {
                let (mut at, results) = (0, (*bridge).desk.results);
                for _ in 0..results {
                    at = stack::push_item(state, &(*bridge).desk.output, at, Dress::Plain);
                }
                results as i32
            }
            Err(fault) => {
                let bridge = &mut *bridge;
                bridge.message.clear();
                bridge.message.extend_from_slice(bridge.desk.message.as_bytes());
                match fault {
                    Fault::Argument(argument) => {
                        bridge.message.push(0);
                        let text = bridge.message.as_ptr().cast();
                        ffi::luaL_argerror(state, argument as i32, text)
                    }
                    Fault::Failed | Fault::Stopped => raise_message(state, bridge),
                }
            }
        }
    }
}

/// What Lua calls a type.
fn type_name(kind: i32) -> &'static str {
    match kind {
        ffi::LUA_TNIL => "nil",
        ffi::LUA_TBOOLEAN => "boolean",
        ffi::LUA_TNUMBER => "number",
        ffi::LUA_TSTRING => "string",
        ffi::LUA_TTABLE => "table",
        ffi::LUA_TFUNCTION => "function",
        ffi::LUA_TTHREAD => "thread",
        _ => "userdata",
    }
}

/// Raises the bridge's message, with the place of the caller before it.
///
/// # Safety
/// Called by Lua; nothing is held that must be dropped.
unsafe fn raise_message(state: *mut lua_State, bridge: &mut Bridge) -> i32 {
    // SAFETY: the message is copied before the error leaves.
    unsafe {
        ffi::luaL_where(state, 1);
        push_bytes(state, &bridge.message);
        ffi::lua_concat(state, 2);
        ffi::lua_error(state)
    }
}

/// Raises a text as the table that errors of Redis's functions are.
///
/// # Safety
/// As `raise_message`.
pub unsafe fn raise_table(state: *mut lua_State, text: &[u8]) -> i32 {
    // SAFETY: as above.
    unsafe {
        push_field(state, c"err", text);
        ffi::lua_error(state)
    }
}

/// Makes every error a table that says where it happened. Argument 1 is the error.
pub unsafe extern "C-unwind" fn error_handler(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua as a handler; `place` is plain data that Lua fills.
    unsafe {
        if ffi::lua_type(state, 1) != ffi::LUA_TTABLE || is_protected(state, 1) {
            push_bytes(state, b"ERR ");
            match ffi::lua_type(state, 1) {
                ffi::LUA_TSTRING | ffi::LUA_TNUMBER => ffi::lua_pushvalue(state, 1),
                ffi::LUA_TNIL => push_bytes(state, b"nil"),
                ffi::LUA_TBOOLEAN if ffi::lua_toboolean(state, 1) != 0 => {
                    push_bytes(state, b"true");
                }
                ffi::LUA_TBOOLEAN => push_bytes(state, b"false"),
                kind => {
                    push_bytes(state, CStr::from_ptr(ffi::lua_typename(state, kind)).to_bytes());
                }
            }
            ffi::lua_concat(state, 2);
            ffi::lua_createtable(state, 0, 3);
            ffi::lua_insert(state, -2);
            ffi::lua_setfield(state, -2, c"err".as_ptr());
            ffi::lua_replace(state, 1);
            ffi::lua_settop(state, 1);
        }
        let mut place: lua_Debug = std::mem::zeroed();
        let mut level = 1;
        while ffi::lua_getstack(state, level, &raw mut place) != 0 {
            ffi::lua_getinfo(state, c"Sl".as_ptr(), &raw mut place);
            if level == 1 && CStr::from_ptr(place.what).to_bytes() == b"C" {
                level += 1;
                continue;
            }
            push_bytes(state, b"source");
            push_bytes(state, CStr::from_ptr(place.source).to_bytes());
            ffi::lua_rawset(state, 1);
            push_bytes(state, b"line");
            ffi::lua_pushnumber(state, f64::from(place.currentline));
            ffi::lua_rawset(state, 1);
            break;
        }
    }
    1
}

// ---- Commands

unsafe extern "C-unwind" fn call(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the bridge as upvalue 1.
    unsafe { command(state, true) }
}

unsafe extern "C-unwind" fn pcall(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the bridge as upvalue 1.
    unsafe { command(state, false) }
}

/// `redis.call` and `redis.pcall`: they differ in what becomes of an error.
///
/// # Safety
/// Called by Lua with the bridge as upvalue 1.
unsafe fn command(state: *mut lua_State, raise: bool) -> i32 {
    // SAFETY: the arguments stay on the stack while the command runs; `perform` calls no Lua and
    // drops what it makes.
    unsafe {
        let bridge = ptr::from_mut(bridge(state));
        if (*bridge).watch.wants_pause_before_call() {
            fiber::pause(bridge, Pause::Time);
        }
        if let Some(why) = (*bridge).watch.before_call() {
            return interrupt(state, &mut *bridge, why);
        }
        let performed = match gather(state, &mut *bridge) {
            Ok(()) => perform(&mut *bridge),
            Err(text) => {
                (*bridge).message.clear();
                (*bridge).message.extend_from_slice(text);
                Performed::Refused
            }
        };
        if performed == Performed::Aside {
            fiber::pause(bridge, Pause::Command);
        }
        let bridge = &mut *bridge;
        let answered = match performed {
            Performed::Answered => true,
            Performed::Refused => false,
            Performed::Aside => !bridge.refused,
        };
        let failed = if answered {
            let resp3 = bridge.run.as_ref().is_some_and(|run| run.state.resp3);
            let dress = if resp3 { Dress::Resp3 } else { Dress::Resp2 };
            stack::push_item(state, &bridge.reply, 0, dress);
            matches!(bridge.reply.items[0], crate::tape::Item::Error(_))
        } else {
            push_field(state, c"err", &bridge.message);
            ffi::lua_pushboolean(state, 1);
            ffi::lua_setfield(state, -2, c"ignore_error_stats_update".as_ptr());
            true
        };
        if failed && raise {
            ffi::lua_error(state)
        }
    }
    1
}

/// Notes where the arguments of a command are; the refusal if one is none.
///
/// # Safety
/// As `command`.
unsafe fn gather(state: *mut lua_State, bridge: &mut Bridge) -> Result<(), &'static [u8]> {
    // SAFETY: the types are asked before the values are read, so nothing is converted in place.
    unsafe {
        let count = ffi::lua_gettop(state);
        if bridge.run.is_null() {
            return Err(b"ERR redis.call/pcall can only be called inside a script invocation");
        }
        if count == 0 {
            return Err(b"ERR Please specify at least one argument for this redis lib call");
        }
        bridge.arguments.clear();
        bridge.numbers.clear();
        for index in 1..=count {
            match ffi::lua_type(state, index) {
                ffi::LUA_TSTRING => {
                    let text = bytes_at(state, index).expect("a string");
                    bridge.arguments.push(Argument::Lua(text.as_ptr(), text.len()));
                }
                ffi::LUA_TNUMBER => {
                    let start = bridge.numbers.len();
                    let value = ffi::lua_tonumber(state, index);
                    number::write_argument(&mut bridge.numbers, value);
                    bridge.arguments.push(Argument::Number(start, bridge.numbers.len()));
                }
                _ => {
                    return Err(b"ERR Lua redis lib command arguments must be strings or integers");
                }
            }
        }
    }
    Ok(())
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Performed {
    /// Its reply is on the bridge's tape.
    Answered,
    /// The words of its refusal are the bridge's message.
    Refused,
    /// It runs elsewhere: either is so once the script goes on, as `Bridge::refused` says.
    Aside,
}

/// Runs the command.
///
/// # Safety
/// The arguments that `gather` noted are still on the stack.
unsafe fn perform(bridge: &mut Bridge) -> Performed {
    let mut slices = Slices::new();
    for argument in &bridge.arguments {
        slices.push(match *argument {
            // SAFETY: the caller vouches for the stack.
            Argument::Lua(start, length) => unsafe { std::slice::from_raw_parts(start, length) },
            Argument::Number(start, end) => &bridge.numbers[start..end],
        });
    }
    // SAFETY: the run lives until `Vm::run` returns, and takes no part in what Lua holds.
    let run = unsafe { &mut *bridge.run };
    bridge.reply.clear();
    let outcome = run.call(&slices, &mut bridge.reply, bridge.watch.clocks());
    drop(slices);
    if run.state.wrote {
        bridge.watch.note_written();
    }
    match outcome {
        Ok(()) => Performed::Answered,
        Err(CommandError::Aside) => Performed::Aside,
        Err(error) => {
            bridge.say(&error);
            Performed::Refused
        }
    }
}

// ---- Redis's other functions

/// The table of an error: `-CODE words`, `CODE words` or `words`.
unsafe extern "C-unwind" fn error_reply(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the bridge as upvalue 1.
    unsafe {
        if ffi::lua_gettop(state) != 1 || ffi::lua_type(state, 1) != ffi::LUA_TSTRING {
            push_field(state, c"err", b"ERR wrong number or type of arguments");
            return 1;
        }
        let text = bytes_at(state, 1).expect("a string");
        let text = text.strip_prefix(b"-").unwrap_or(text);
        let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
        let text = &text[..end.map_or(0, |end| end + 1)];
        let bridge = bridge(state);
        bridge.message.clear();
        if !text.contains(&b' ') {
            bridge.message.extend_from_slice(b"ERR ");
        }
        bridge.message.extend_from_slice(text);
        push_field(state, c"err", &bridge.message);
    }
    1
}

unsafe extern "C-unwind" fn status_reply(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua.
    unsafe {
        if ffi::lua_gettop(state) != 1 || ffi::lua_type(state, 1) != ffi::LUA_TSTRING {
            push_field(state, c"err", b"ERR wrong number or type of arguments");
        } else {
            push_field(state, c"ok", bytes_at(state, 1).expect("a string"));
        }
    }
    1
}

unsafe extern "C-unwind" fn sha1hex(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua; the digest is plain data.
    unsafe {
        if ffi::lua_gettop(state) != 1 {
            return raise_table(state, b"ERR wrong number of arguments");
        }
        let text = bytes_at(state, 1).unwrap_or_default();
        let mut digest = crate::registry::Sha1Hex::default();
        for piece in text.chunks(HASHED_AT_ONCE_BYTES) {
            tables::work(state, piece.len() / BYTES_HASHED_PER_INSTRUCTION);
            digest.add(piece);
        }
        push_bytes(state, &digest.finish());
    }
    1
}

unsafe extern "C-unwind" fn log(state: *mut lua_State) -> i32 {
    const LEVELS: f64 = 4.0;
    // SAFETY: called by Lua with the bridge as upvalue 1; `write_log` drops what it makes.
    unsafe {
        let count = ffi::lua_gettop(state);
        if count < 2 {
            return raise_table(state, b"ERR redis.log() requires two arguments or more.");
        }
        if ffi::lua_isnumber(state, 1) == 0 {
            return raise_table(state, b"ERR First argument must be a number (log level).");
        }
        let level = ffi::lua_tonumber(state, 1);
        if !(0.0..LEVELS).contains(&level) {
            return raise_table(state, b"ERR Invalid debug level.");
        }
        let bridge = bridge(state);
        bridge.message.clear();
        for index in 2..=count {
            if index > 2 {
                bridge.message.push(b' ');
            }
            bridge.message.extend_from_slice(bytes_at(state, index).unwrap_or_default());
        }
        (bridge.watch.clocks().log)(level as u8, &bridge.message);
    }
    0
}

unsafe extern "C-unwind" fn set_resp(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the bridge as upvalue 1.
    unsafe {
        if ffi::lua_gettop(state) != 1 {
            return raise_table(state, b"ERR redis.setresp() requires one argument.");
        }
        let version = ffi::lua_tonumber(state, 1) as i64;
        if !matches!(version, 2 | 3) {
            return raise_table(state, b"ERR RESP version must be 2 or 3.");
        }
        if let Some(run) = bridge(state).run.as_mut() {
            run.state.resp3 = version == 3;
        }
    }
    0
}

/// Effects are replicated, not scripts: there is nothing to choose, but the arguments are checked.
unsafe extern "C-unwind" fn set_repl(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua.
    unsafe {
        if ffi::lua_gettop(state) != 1 {
            return raise_table(state, b"ERR redis.set_repl() requires two arguments.");
        }
        if !matches!(ffi::lua_tonumber(state, 1) as i64, 0..=3) {
            let text = b"ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.";
            return raise_table(state, text);
        }
    }
    0
}

unsafe extern "C-unwind" fn replicate_commands(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua.
    unsafe { ffi::lua_pushboolean(state, 1) };
    1
}

/// No debugger ever listens.
unsafe extern "C-unwind" fn breakpoint(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua.
    unsafe { ffi::lua_pushboolean(state, 0) };
    1
}

unsafe extern "C-unwind" fn nothing(_: *mut lua_State) -> i32 {
    0
}

/// Whether the user of this connection may run a command: every user may run every one.
unsafe extern "C-unwind" fn acl_check_cmd(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua; a name is looked at, nothing is made.
    unsafe {
        if ffi::lua_gettop(state) == 0 {
            let text = b"ERR Please specify at least one argument for this redis lib call";
            return raise_table(state, text);
        }
        let name = bytes_at(state, 1).unwrap_or_default();
        if ringlane_command::table::lookup(name).is_none() {
            let text = b"ERR Invalid command passed to redis.acl_check_cmd()";
            return raise_table(state, text);
        }
        ffi::lua_pushboolean(state, 1);
    }
    1
}

const WRONG_REGISTRATION: &[u8] = b"wrong number of arguments to redis.register_function";

/// `redis.register_function(name, callback)` or with one table of named arguments.
unsafe extern "C-unwind" fn register_function(state: *mut lua_State) -> i32 {
    // SAFETY: called by Lua with the bridge as upvalue 1. What is made is moved into the bridge
    // before Lua is called again; `read_registration` drops the rest.
    unsafe {
        if bridge(state).loading.is_none() {
            let text = b"ERR redis.register_function can only be called on FUNCTION LOAD command";
            return raise_table(state, text);
        }
        let count = ffi::lua_gettop(state);
        if !matches!(count, 1 | 2) {
            return raise_registration(state, WRONG_REGISTRATION);
        }
        if count == 1 {
            if ffi::lua_type(state, 1) != ffi::LUA_TTABLE {
                let text = b"calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).";
                return raise_registration(state, text);
            }
        } else {
            // The same as a table of two named arguments.
            ffi::lua_createtable(state, 0, 2);
            ffi::lua_pushvalue(state, 1);
            ffi::lua_setfield(state, -2, c"function_name".as_ptr());
            ffi::lua_pushvalue(state, 2);
            ffi::lua_setfield(state, -2, c"callback".as_ptr());
            ffi::lua_replace(state, 1);
            ffi::lua_settop(state, 1);
        }
        if let Err(text) = read_registration(state, bridge(state), count == 2) {
            return raise_registration(state, text);
        }
    }
    0
}

/// # Safety
/// As `raise_message`.
unsafe fn raise_registration(state: *mut lua_State, text: &'static [u8]) -> i32 {
    // SAFETY: as above.
    unsafe {
        let bridge = bridge(state);
        bridge.message.clear();
        bridge.message.extend_from_slice(b"ERR ");
        bridge.message.extend_from_slice(text);
        raise_table(state, &bridge.message)
    }
}

/// Reads the named arguments in the table at 1 and adds the function to those of the library.
///
/// # Safety
/// In `register_function`.
unsafe fn read_registration(
    state: *mut lua_State,
    bridge: &mut Bridge,
    by_position: bool,
) -> Result<(), &'static [u8]> {
    // SAFETY: the callback is put into the registry first, while nothing is held; after that only
    // raw reads of values that exist follow, which need no memory but for the names of the fields,
    // interned before.
    unsafe {
        let loading = bridge.loading.as_mut().expect("asked by the caller");
        loading.push(Registered {
            name: Vec::new(),
            description: None,
            flags: Vec::new(),
            callback: Function(ffi::LUA_NOREF),
        });
        let outcome = read_fields(state, loading.last_mut().expect("just pushed"), by_position);
        let faulty = outcome.err().or_else(|| {
            let (last, others) = loading.split_last().expect("just pushed");
            let twice = others.iter().any(|other| other.name == last.name);
            twice.then_some(&b"Function already exists in the library"[..])
        });
        match faulty {
            Some(text) => {
                let gone = loading.pop().expect("just pushed");
                ffi::luaL_unref(state, ffi::LUA_REGISTRYINDEX, gone.callback.0);
                Err(text)
            }
            None => Ok(()),
        }
    }
}

/// # Safety
/// In `read_registration`; `into` belongs to the bridge, so that an error of Lua leaks nothing.
unsafe fn read_fields(
    state: *mut lua_State,
    into: &mut Registered,
    by_position: bool,
) -> Result<(), &'static [u8]> {
    // SAFETY: keys and values are looked at where they stand, and taken off after.
    unsafe {
        ffi::lua_pushnil(state);
        while ffi::lua_next(state, 1) != 0 {
            if ffi::lua_type(state, -2) != ffi::LUA_TSTRING {
                return Err(b"named argument key given to redis.register_function is not a string");
            }
            let kind = ffi::lua_type(state, -1);
            match bytes_at(state, -2).expect("a string") {
                b"function_name" => match bytes_at(state, -1) {
                    Some(name) if kind == ffi::LUA_TSTRING => into.name = name.to_vec(),
                    Some(_) | None if by_position => {
                        return Err(b"first argument to redis.register_function must be a string");
                    }
                    Some(_) | None => {
                        return Err(
                            b"function_name argument given to redis.register_function must be a string",
                        );
                    }
                },
                b"description" if kind == ffi::LUA_TSTRING => {
                    into.description = bytes_at(state, -1).map(<[u8]>::to_vec);
                }
                b"description" => {
                    return Err(
                        b"description argument given to redis.register_function must be a string",
                    );
                }
                b"callback" if kind == ffi::LUA_TFUNCTION => {
                    ffi::lua_pushvalue(state, -1);
                    into.callback = Function(ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX));
                }
                b"callback" if by_position => {
                    return Err(b"second argument to redis.register_function must be a function");
                }
                b"callback" => {
                    return Err(
                        b"callback argument given to redis.register_function must be a function",
                    );
                }
                b"flags" if kind == ffi::LUA_TTABLE => read_flags(state, into)?,
                b"flags" => {
                    return Err(
                        b"flags argument to redis.register_function must be a table representing function flags",
                    );
                }
                _ => return Err(b"unknown argument given to redis.register_function"),
            }
            ffi::lua_settop(state, -2);
        }
    }
    if into.name.is_empty() {
        return Err(b"redis.register_function must get a function name argument");
    }
    if into.callback.0 == ffi::LUA_NOREF {
        return Err(b"redis.register_function must get a callback argument");
    }
    let is_fine = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if !into.name.iter().all(is_fine) {
        return Err(b"Library names can only contain letters, numbers, or underscores(_) and must be at least one character long");
    }
    Ok(())
}

/// # Safety
/// In `read_fields`, with the table of flags on top.
unsafe fn read_flags(state: *mut lua_State, into: &mut Registered) -> Result<(), &'static [u8]> {
    const KNOWN: [&[u8]; 5] =
        [b"no-writes", b"allow-oom", b"allow-stale", b"no-cluster", b"allow-cross-slot-keys"];
    // SAFETY: as `read_fields`.
    unsafe {
        let mut at = 1;
        loop {
            ffi::lua_rawgeti_(state, -1, at);
            let kind = ffi::lua_type(state, -1);
            if kind == ffi::LUA_TNIL {
                ffi::lua_settop(state, -2);
                return Ok(());
            }
            let flag = bytes_at(state, -1).filter(|_| kind == ffi::LUA_TSTRING);
            match flag.filter(|flag| KNOWN.contains(flag)) {
                Some(flag) => into.flags.push(flag.to_vec()),
                None => return Err(b"unknown flag given"),
            }
            ffi::lua_settop(state, -2);
            at += 1;
        }
    }
}
