//! Between the stack of Lua and tapes. Everything here may be left by an error of Lua, which jumps
//! over our frames: so nothing here owns anything that would have to be dropped, and buffers belong
//! to the bridge.

use std::ffi::CStr;
use std::ptr;

use mlua::ffi;
use mlua::ffi::lua_State;

use super::{Bridge, alarm};
use crate::number;
use crate::tape::{Item, Tape};

/// How deep values may be nested that scripts return.
pub const REPLY_DEPTH_MAX: usize = 1000;
/// How deep `cmsgpack` packs; deeper values become nil, as in Redis.
pub const PACK_DEPTH_MAX: usize = 16;
/// How many values one script may return, or hand to a library, at once.
pub const ITEMS_MAX: usize = 1 << 20;

/// Values that are moved between two words to the watch.
const ITEMS_A_WORD: usize = 1024;
/// What one takes, beside an instruction of Lua.
const INSTRUCTIONS_PER_ITEM: usize = 4;

/// How items become values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dress {
    /// A command's reply as RESP2: false for null, an array for a map.
    Resp2,
    /// A command's reply as RESP3: tables with one field that names the type.
    Resp3,
    /// A library's result: plain tables.
    Plain,
}

/// Why values were not read. The words are in the bridge's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Which values are read, and how tables are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// What a script returns, for a reply; booleans are kept apart in RESP3.
    Reply {
        resp3: bool,
    },
    Json,
    Pack,
    /// Texts and numbers alone.
    Flat,
}

/// # Safety
/// `state` is a live state with room for a value; the frame has nothing to drop.
pub unsafe fn push_bytes(state: *mut lua_State, bytes: &[u8]) {
    // SAFETY: pointer and length are a slice's; Lua copies the bytes.
    unsafe { ffi::lua_pushlstring_(state, bytes.as_ptr().cast(), bytes.len()) };
}

/// The bytes of a string on the stack. A number is turned into one, where it stands.
///
/// # Safety
/// `index` is valid; the slice is not used once the value has left the stack.
pub unsafe fn bytes_at<'a>(state: *mut lua_State, index: i32) -> Option<&'a [u8]> {
    let mut length = 0;
    // SAFETY: the caller vouches for `index`; Lua gives a pointer with its length, or null.
    unsafe {
        let start = ffi::lua_tolstring(state, index, &raw mut length);
        (!start.is_null()).then(|| std::slice::from_raw_parts(start.cast(), length))
    }
}

/// Pushes the value at `at` of a tape with all that belongs to it; returns what comes after it.
///
/// # Safety
/// `state` is live and inside a protected call; no frame up to it has anything to drop.
pub unsafe fn push_item(state: *mut lua_State, tape: &Tape, at: usize, dress: Dress) -> usize {
    // SAFETY: room is made first; each branch leaves one value more on the stack.
    unsafe {
        ffi::luaL_checkstack_(state, 6, c"too many nested values".as_ptr());
        if at % ITEMS_A_WORD == ITEMS_A_WORD - 1 {
            alarm::look(state, ITEMS_A_WORD * INSTRUCTIONS_PER_ITEM);
        }
        match tape.items[at] {
            Item::Nil | Item::NilArray => match dress {
                Dress::Resp2 => ffi::lua_pushboolean(state, 0),
                Dress::Resp3 | Dress::Plain => ffi::lua_pushnil(state),
            },
            Item::JsonNull => ffi::lua_pushlightuserdata(state, ptr::null_mut()),
            Item::Bool(value) if dress == Dress::Resp2 => {
                ffi::lua_pushnumber(state, f64::from(u8::from(value)));
            }
            Item::Bool(value) => ffi::lua_pushboolean(state, i32::from(value)),
            Item::Integer(value) => ffi::lua_pushnumber(state, value as f64),
            Item::Number(value) => ffi::lua_pushnumber(state, value),
            Item::Double(value) => push_double(state, value, dress),
            Item::Text(text) => push_bytes(state, tape.text(text)),
            Item::Blob(index) => push_bytes(state, &tape.blobs[index]),
            Item::Status(text) => push_field(state, c"ok", tape.text(text)),
            Item::Error(text) => {
                push_field(state, c"err", tape.text(text));
                ffi::lua_pushboolean(state, 1);
                ffi::lua_setfield(state, -2, c"ignore_error_stats_update".as_ptr());
            }
            Item::BigNumber(text) if dress == Dress::Resp2 => push_bytes(state, tape.text(text)),
            Item::BigNumber(text) => push_field(state, c"big_number", tape.text(text)),
            Item::Verbatim(_, text) if dress == Dress::Resp2 => {
                push_bytes(state, tape.text(text));
            }
            Item::Verbatim(format, text) => {
                ffi::lua_createtable(state, 0, 1);
                push_field(state, c"string", tape.text(text));
                push_bytes(state, &format);
                ffi::lua_setfield(state, -2, c"format".as_ptr());
                ffi::lua_setfield(state, -2, c"verbatim_string".as_ptr());
            }
            Item::Array(length) => return push_array(state, tape, at + 1, length, dress),
            Item::Set(length) if dress == Dress::Resp2 => {
                return push_array(state, tape, at + 1, length, dress);
            }
            Item::Map(pairs) if dress == Dress::Resp2 => {
                return push_array(state, tape, at + 1, 2 * pairs, dress);
            }
            Item::Set(length) => return push_set(state, tape, at + 1, length, dress),
            Item::Map(pairs) => return push_map(state, tape, at + 1, pairs, dress),
        }
    }
    at + 1
}

/// # Safety
/// As `push_item`, with room for three values.
unsafe fn push_double(state: *mut lua_State, value: f64, dress: Dress) {
    const TEXT_BYTES_MAX: usize = 40;
    // SAFETY: room is there; the text is copied.
    unsafe {
        match dress {
            Dress::Plain => ffi::lua_pushnumber(state, value),
            Dress::Resp3 => {
                ffi::lua_createtable(state, 0, 1);
                ffi::lua_pushnumber(state, value);
                ffi::lua_setfield(state, -2, c"double".as_ptr());
            }
            Dress::Resp2 => {
                let mut text = [0; TEXT_BYTES_MAX];
                let length = {
                    let mut spelled = Vec::with_capacity(TEXT_BYTES_MAX);
                    ringlane_resp::write_double(&mut spelled, value);
                    text[..spelled.len()].copy_from_slice(&spelled);
                    spelled.len()
                };
                push_bytes(state, &text[..length]);
            }
        }
    }
}

/// A table with one field that holds a text.
///
/// # Safety
/// As `push_item`, with room for two values.
pub unsafe fn push_field(state: *mut lua_State, name: &'static CStr, text: &[u8]) {
    // SAFETY: room is there.
    unsafe {
        ffi::lua_createtable(state, 0, 1);
        push_bytes(state, text);
        ffi::lua_setfield(state, -2, name.as_ptr());
    }
}

/// # Safety
/// As `push_item`, with room for two values.
unsafe fn push_array(
    state: *mut lua_State,
    tape: &Tape,
    mut at: usize,
    length: usize,
    dress: Dress,
) -> usize {
    // SAFETY: the table is below each element; elements are as many as announced.
    unsafe {
        ffi::lua_createtable(state, length as i32, 0);
        for index in 1..=length {
            at = push_item(state, tape, at, dress);
            ffi::lua_rawseti_(state, -2, index as i32);
        }
    }
    at
}

/// # Safety
/// As `push_item`, with room for three values.
unsafe fn push_set(
    state: *mut lua_State,
    tape: &Tape,
    mut at: usize,
    length: usize,
    dress: Dress,
) -> usize {
    // SAFETY: as `push_array`; a member that cannot be a key (nil) is left out.
    unsafe {
        ffi::lua_createtable(state, 0, 1);
        ffi::lua_createtable(state, 0, length as i32);
        for _ in 0..length {
            at = push_item(state, tape, at, dress);
            ffi::lua_pushboolean(state, 1);
            set_unless_nil(state);
        }
        ffi::lua_setfield(state, -2, c"set".as_ptr());
    }
    at
}

/// # Safety
/// As `push_item`, with room for three values.
unsafe fn push_map(
    state: *mut lua_State,
    tape: &Tape,
    mut at: usize,
    pairs: usize,
    dress: Dress,
) -> usize {
    // SAFETY: as `push_array`.
    unsafe {
        if dress == Dress::Resp3 {
            ffi::lua_createtable(state, 0, 1);
        }
        ffi::lua_createtable(state, 0, pairs as i32);
        for _ in 0..pairs {
            at = push_item(state, tape, at, dress);
            at = push_item(state, tape, at, dress);
            set_unless_nil(state);
        }
        if dress == Dress::Resp3 {
            ffi::lua_setfield(state, -2, c"map".as_ptr());
        }
    }
    at
}

/// Puts key and value, which are on top, into the table below them; a key that none can be (nil,
/// NaN) is left out.
///
/// # Safety
/// The stack has a table and two values above it.
unsafe fn set_unless_nil(state: *mut lua_State) {
    // SAFETY: as above.
    unsafe {
        let unfit = match ffi::lua_type(state, -2) {
            ffi::LUA_TNIL => true,
            ffi::LUA_TNUMBER => ffi::lua_tonumber(state, -2).is_nan(),
            _ => false,
        };
        if unfit {
            ffi::lua_settop(state, -3);
        } else {
            ffi::lua_rawset(state, -3);
        }
    }
}

/// Reads values off the stack onto a tape. The script is paused on the way when others are to be served.
pub struct Reader<'a> {
    pub state: *mut lua_State,
    pub tape: &'a mut Tape,
    pub message: &'a mut Vec<u8>,
    pub shape: Shape,
    pub json: crate::codec::json::Options,
    /// Bytes of texts that may be read in all.
    pub bytes_max: usize,
    /// What the watch is told through. It owns tape and message, which rest while the script is paused.
    pub bridge: *mut Bridge,
}

impl Reader<'_> {
    /// Tells the watch, once in so many values; an overdue script reads no further.
    ///
    /// # Safety
    /// As `read`.
    #[inline]
    unsafe fn pace(&mut self, index: usize) -> Result<(), Unreadable> {
        if index % ITEMS_A_WORD != ITEMS_A_WORD - 1 {
            return Ok(());
        }
        // SAFETY: on the stack of the script, as `read`; whoever resumes it writes neither tape nor message.
        match unsafe { alarm::pause_after(self.bridge, ITEMS_A_WORD * INSTRUCTIONS_PER_ITEM) } {
            Some(_) => Err(Unreadable),
            None => Ok(()),
        }
    }

    /// Says why not.
    fn refuse(&mut self, text: &str) -> Result<(), Unreadable> {
        self.message.clear();
        self.message.extend_from_slice(text.as_bytes());
        Err(Unreadable)
    }

    /// Appends the value at `index` to the tape.
    ///
    /// # Safety
    /// `state` is live and in a protected call, `index` absolute and valid; no frame up to that
    /// call has anything to drop.
    pub unsafe fn read(&mut self, index: i32, depth: usize) -> Result<(), Unreadable> {
        if self.tape.items.len() >= ITEMS_MAX || self.tape.bytes.len() > self.bytes_max {
            return self.refuse("too many or too large values");
        }
        let state = self.state;
        // SAFETY: the caller vouches for `index`; a number stays one, since its type is asked first.
        unsafe {
            self.pace(self.tape.items.len())?;
            let item = match ffi::lua_type(state, index) {
                ffi::LUA_TSTRING => {
                    let text = bytes_at(state, index).expect("a string");
                    Item::Text(self.tape.keep(text))
                }
                ffi::LUA_TNUMBER => {
                    let value = ffi::lua_tonumber(state, index);
                    match self.shape {
                        Shape::Reply { .. } => Item::Integer(number::cast_integer(value)),
                        Shape::Json | Shape::Pack | Shape::Flat => Item::Number(value),
                    }
                }
                ffi::LUA_TBOOLEAN => {
                    let value = ffi::lua_toboolean(state, index) != 0;
                    match (self.shape, value) {
                        (Shape::Reply { resp3: false }, true) => Item::Integer(1),
                        (Shape::Reply { resp3: false }, false) => Item::Nil,
                        _ => Item::Bool(value),
                    }
                }
                ffi::LUA_TTABLE => return self.read_table(index, depth),
                ffi::LUA_TNIL => Item::Nil,
                kind => return self.read_other(index, kind),
            };
            self.tape.push(item);
        }
        Ok(())
    }

    /// A function, a thread or something of ours.
    ///
    /// # Safety
    /// As `read`.
    unsafe fn read_other(&mut self, index: i32, kind: i32) -> Result<(), Unreadable> {
        // SAFETY: as `read`; type names are static texts.
        unsafe {
            if self.shape == Shape::Json {
                let null = kind == ffi::LUA_TLIGHTUSERDATA
                    && ffi::lua_touserdata(self.state, index).is_null();
                if !null {
                    let name = CStr::from_ptr(ffi::lua_typename(self.state, kind));
                    self.message.clear();
                    self.message.extend_from_slice(b"Cannot serialise ");
                    self.message.extend_from_slice(name.to_bytes());
                    self.message.extend_from_slice(b": type not supported");
                    return Err(Unreadable);
                }
                self.tape.push(Item::JsonNull);
                return Ok(());
            }
        }
        self.tape.push(Item::Nil);
        Ok(())
    }

    /// # Safety
    /// As `read`; the value is a table.
    unsafe fn read_table(&mut self, index: i32, depth: usize) -> Result<(), Unreadable> {
        // SAFETY: as `read`; room is made before anything is pushed.
        unsafe {
            if ffi::lua_checkstack(self.state, 8) == 0 {
                return self.refuse("reached lua stack limit");
            }
            match self.shape {
                Shape::Reply { .. } if depth >= REPLY_DEPTH_MAX => {
                    self.refuse("reached lua stack limit")
                }
                Shape::Reply { .. } => self.read_reply_table(index, depth),
                Shape::Json => self.read_json_table(index, depth),
                Shape::Pack if depth >= PACK_DEPTH_MAX => {
                    self.tape.push(Item::Nil);
                    Ok(())
                }
                Shape::Pack => {
                    let extent = self.extent(index)?;
                    match extent {
                        Extent::Array { length, count } if length == count => {
                            self.read_elements(index, length, depth)
                        }
                        Extent::Array { .. } | Extent::Object => self.read_pairs(index, depth),
                    }
                }
                Shape::Flat => {
                    self.tape.push(Item::Nil);
                    Ok(())
                }
            }
        }
    }

    /// A table as Redis understands what scripts return: a field may name another type.
    ///
    /// # Safety
    /// As `read_table`.
    unsafe fn read_reply_table(&mut self, index: i32, depth: usize) -> Result<(), Unreadable> {
        let state = self.state;
        // SAFETY: as `read`; what is pushed is taken off again, but after a refusal, when the whole
        // stack goes.
        unsafe {
            if let Some(text) = self.field_text(index, c"err") {
                self.tape.push(Item::Error(text));
                return Ok(());
            }
            if let Some(text) = self.field_text(index, c"ok") {
                self.tape.push(Item::Status(text));
                return Ok(());
            }
            if self.field(index, c"double") == ffi::LUA_TNUMBER {
                self.tape.push(Item::Double(ffi::lua_tonumber(state, -1)));
                ffi::lua_settop(state, -2);
                return Ok(());
            }
            ffi::lua_settop(state, -2);
            for (name, is_map) in [(c"map", true), (c"set", false)] {
                if self.field(index, name) == ffi::LUA_TTABLE {
                    let inner = ffi::lua_gettop(state);
                    if is_map {
                        self.read_pairs(inner, depth)?;
                    } else {
                        self.read_members(inner, depth)?;
                    }
                    ffi::lua_settop(state, -2);
                    return Ok(());
                }
                ffi::lua_settop(state, -2);
            }
            if let Some(text) = self.field_text(index, c"big_number") {
                self.tape.push(Item::BigNumber(text));
                return Ok(());
            }
            if self.field(index, c"verbatim_string") == ffi::LUA_TTABLE {
                let inner = ffi::lua_gettop(state);
                let format = self.field_text(inner, c"format");
                let text = self.field_text(inner, c"string");
                ffi::lua_settop(state, -2);
                if let (Some(format), Some(text)) = (format, text) {
                    let mut three = *b"txt";
                    for (to, from) in three.iter_mut().zip(self.tape.text(format)) {
                        *to = *from;
                    }
                    self.tape.push(Item::Verbatim(three, text));
                    return Ok(());
                }
            } else {
                ffi::lua_settop(state, -2);
            }
            self.read_sequence(index, depth)
        }
    }

    /// The elements up to the first nil.
    ///
    /// # Safety
    /// As `read_table`.
    unsafe fn read_sequence(&mut self, index: i32, depth: usize) -> Result<(), Unreadable> {
        let state = self.state;
        let header = self.tape.items.len();
        self.tape.push(Item::Array(0));
        let mut length = 0;
        // SAFETY: as `read`.
        unsafe {
            loop {
                ffi::lua_rawgeti_(state, index, length as i32 + 1);
                if ffi::lua_type(state, -1) == ffi::LUA_TNIL {
                    ffi::lua_settop(state, -2);
                    break;
                }
                self.read(ffi::lua_gettop(state), depth + 1)?;
                ffi::lua_settop(state, -2);
                length += 1;
            }
        }
        self.tape.items[header] = Item::Array(length);
        Ok(())
    }

    /// Elements 1 to `length`, nil or not.
    ///
    /// # Safety
    /// As `read_table`.
    unsafe fn read_elements(
        &mut self,
        index: i32,
        length: usize,
        depth: usize,
    ) -> Result<(), Unreadable> {
        let state = self.state;
        self.tape.push(Item::Array(length));
        // SAFETY: as `read`.
        unsafe {
            for element in 1..=length {
                ffi::lua_rawgeti_(state, index, element as i32);
                self.read(ffi::lua_gettop(state), depth + 1)?;
                ffi::lua_settop(state, -2);
            }
        }
        Ok(())
    }

    /// All pairs, as a map.
    ///
    /// # Safety
    /// As `read_table`.
    unsafe fn read_pairs(&mut self, index: i32, depth: usize) -> Result<(), Unreadable> {
        let state = self.state;
        let header = self.tape.items.len();
        self.tape.push(Item::Map(0));
        let mut pairs = 0;
        // SAFETY: as `read`; the key stays on the stack as it is.
        unsafe {
            ffi::lua_pushnil(state);
            while ffi::lua_next(state, index) != 0 {
                let top = ffi::lua_gettop(state);
                if self.shape == Shape::Json {
                    self.check_json_key(top - 1)?;
                }
                self.read(top - 1, depth + 1)?;
                self.read(top, depth + 1)?;
                ffi::lua_settop(state, -2);
                pairs += 1;
            }
        }
        self.tape.items[header] = Item::Map(pairs);
        Ok(())
    }

    /// All keys, as a set.
    ///
    /// # Safety
    /// As `read_table`.
    unsafe fn read_members(&mut self, index: i32, depth: usize) -> Result<(), Unreadable> {
        let state = self.state;
        let header = self.tape.items.len();
        self.tape.push(Item::Set(0));
        let mut members = 0;
        // SAFETY: as `read`.
        unsafe {
            ffi::lua_pushnil(state);
            while ffi::lua_next(state, index) != 0 {
                ffi::lua_settop(state, -2);
                self.read(ffi::lua_gettop(state), depth + 1)?;
                members += 1;
            }
        }
        self.tape.items[header] = Item::Set(members);
        Ok(())
    }

    /// # Safety
    /// As `read_table`.
    unsafe fn read_json_table(&mut self, index: i32, depth: usize) -> Result<(), Unreadable> {
        let depth = depth + 1;
        if depth > self.json.encode_max_depth {
            let text = format!("Cannot serialise, excessive nesting ({depth})");
            self.message.clear();
            self.message.extend_from_slice(text.as_bytes());
            return Err(Unreadable);
        }
        // SAFETY: as `read`. The recursion counts levels itself.
        unsafe {
            match self.extent(index)? {
                Extent::Array { length, count } if length > 0 => {
                    if self.json.is_sparse(length, count) {
                        if !self.json.sparse_convert {
                            let text = "Cannot serialise table: excessively sparse array";
                            return self.refuse(text);
                        }
                        return self.read_pairs(index, depth - 1);
                    }
                    self.read_elements(index, length, depth - 1)
                }
                Extent::Array { .. } | Extent::Object => self.read_pairs(index, depth - 1),
            }
        }
    }

    /// # Safety
    /// As `read`.
    unsafe fn check_json_key(&mut self, index: i32) -> Result<(), Unreadable> {
        // SAFETY: as `read`.
        unsafe {
            let kind = ffi::lua_type(self.state, index);
            if kind == ffi::LUA_TSTRING || kind == ffi::LUA_TNUMBER {
                return Ok(());
            }
            let name = CStr::from_ptr(ffi::lua_typename(self.state, kind));
            self.message.clear();
            self.message.extend_from_slice(b"Cannot serialise ");
            self.message.extend_from_slice(name.to_bytes());
            self.message.extend_from_slice(b": table key must be a number or string");
        }
        Err(Unreadable)
    }

    /// What a table's keys look like.
    ///
    /// # Safety
    /// As `read_table`.
    unsafe fn extent(&mut self, index: i32) -> Result<Extent, Unreadable> {
        let state = self.state;
        let (mut length, mut count) = (0.0_f64, 0);
        // SAFETY: as `read`.
        unsafe {
            ffi::lua_pushnil(state);
            while ffi::lua_next(state, index) != 0 {
                self.pace(count)?;
                ffi::lua_settop(state, -2);
                let key = match ffi::lua_type(state, -1) {
                    ffi::LUA_TNUMBER => ffi::lua_tonumber(state, -1),
                    _ => 0.0,
                };
                if key < 1.0 || key.fract() != 0.0 || key > f64::from(i32::MAX) {
                    ffi::lua_settop(state, -2);
                    return Ok(Extent::Object);
                }
                length = length.max(key);
                count += 1;
            }
        }
        Ok(Extent::Array { length: length as usize, count })
    }

    /// Pushes a field, raw, and tells its type.
    ///
    /// # Safety
    /// As `read_table`.
    unsafe fn field(&self, index: i32, name: &'static CStr) -> i32 {
        // SAFETY: as `read`.
        unsafe {
            push_bytes(self.state, name.to_bytes());
            ffi::lua_rawget_(self.state, index);
            ffi::lua_type(self.state, -1)
        }
    }

    /// The text of a field, if it is a string.
    ///
    /// # Safety
    /// As `read_table`.
    unsafe fn field_text(&mut self, index: i32, name: &'static CStr) -> Option<crate::tape::Text> {
        // SAFETY: as `read`; the text is copied before the value leaves the stack.
        unsafe {
            let is_text = self.field(index, name) == ffi::LUA_TSTRING;
            let text = is_text.then(|| self.tape.keep(bytes_at(self.state, -1).expect("a string")));
            ffi::lua_settop(self.state, -2);
            text
        }
    }
}

/// What a table's keys look like.
enum Extent {
    /// Positive integers: the greatest, and how many there are.
    Array {
        length: usize,
        count: usize,
    },
    Object,
}

impl Bridge {
    /// A reader onto one of its tapes: of library arguments, or of results.
    ///
    /// # Safety
    /// Nothing else refers to the bridge while the reader lives, but to be paused.
    pub unsafe fn reader<'a>(bridge: *mut Self, state: *mut lua_State, shape: Shape) -> Reader<'a> {
        // SAFETY: the caller vouches for it; the fields are different ones.
        unsafe {
            let tape = match shape {
                Shape::Reply { .. } => &mut (*bridge).result,
                Shape::Json | Shape::Pack | Shape::Flat => &mut (*bridge).desk.input,
            };
            let (message, json) = (&mut (*bridge).message, (*bridge).desk.json);
            Reader { state, tape, message, shape, json, bytes_max: (*bridge).bytes_max, bridge }
        }
    }
}
