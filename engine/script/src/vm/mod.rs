//! One Lua 5.1 state: made, sandboxed, given functions, bounded in time and memory, and run. The
//! unsafe half of this crate; what a command does stands in `run.rs`, what libraries do in `codec`.
//!
//! Lua raises errors by `longjmp`. So every frame between a call of ours into Lua and the protected
//! call around it owns nothing that would have to be dropped: buffers belong to the `Bridge`, texts
//! are made and dropped between two calls of Lua, and `lua_error` is the last thing a function does.

mod alarm;
mod base;
mod fiber;
mod memory;
mod natives;
mod patterns;
mod sandbox;
mod stack;
mod tables;

use std::ffi::CStr;
use std::ptr;

use mlua::ffi::{self, lua_State};
use ringlane_command::{CommandError, Reply};

use crate::codec::Desk;
use crate::run::Run;
use crate::tape::Tape;
use crate::watch::{TimeLimits, Watch};
use fiber::{Fibers, Leave, Stop};
use memory::{Collection, Memory};
use stack::{ITEMS_MAX, Shape};

pub use fiber::Pause;

/// What the functions that Lua calls can reach. Its address never changes.
pub struct Bridge {
    /// The run that is under way; null between runs.
    run: *mut Run<'static>,
    /// How the script that runs leaves its stack; null while none does.
    leave: *const Leave,
    main: *mut lua_State,
    /// The reply of the command that was called last.
    reply: Tape,
    /// The command that ran elsewhere was refused, in the words of `message`.
    refused: bool,
    /// What the script returned.
    pub result: Tape,
    desk: Desk,
    /// Words of an error on their way into Lua.
    message: Vec<u8>,
    /// Arguments of the command that is called, as stretches of Lua's strings and of `numbers`.
    arguments: Vec<Argument>,
    numbers: Vec<u8>,
    /// A library that is being loaded.
    loading: Option<Vec<Registered>>,
    watch: Watch,
    random: u64,
    /// Bytes of texts that a script may return, or hand to a library, at once.
    bytes_max: usize,
    references: References,
}

/// An argument of a command: where its bytes are.
#[derive(Clone, Copy)]
enum Argument {
    /// In a string that stays on Lua's stack during the call.
    Lua(*const u8, usize),
    Number(usize, usize),
}

/// Values kept in Lua's registry.
#[derive(Clone, Copy, Default)]
struct References {
    /// The table of globals of scripts, which holds KEYS and ARGV.
    globals: i32,
    /// What functions see as `_G`.
    function_environment: i32,
    error_handler: i32,
    runner: i32,
    compiler: i32,
    next: i32,
    /// Table that scripts see → table that it stands for.
    protected: i32,
}

/// A function of a library, as `redis.register_function` was given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    pub name: Vec<u8>,
    pub description: Option<Vec<u8>>,
    pub flags: Vec<Vec<u8>>,
    pub callback: Function,
}

/// A function of Lua, kept until it is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function(i32);

/// How a function of Lua gets keys and arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As the globals KEYS and ARGV.
    Script,
    /// As its two arguments.
    Function,
    /// Not at all: a library that registers its functions.
    Library,
}

/// Why a script gave no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub text: String,
    /// The chunk and the line, if they are known: `@user_script`, 1.
    pub place: Option<(String, i64)>,
}

impl Failure {
    fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), place: None }
    }
}

/// The limit of the allocator for scripts that may use so many bytes, 0 for no limit.
fn allocator_limit(bytes_max: usize) -> usize {
    if bytes_max == 0 { 0 } else { bytes_max.saturating_add(BARE_STATE_BYTES) }
}

impl Bridge {
    /// Keeps the words of a refusal.
    fn say(&mut self, error: &CommandError) {
        use std::io::Write;
        self.message.clear();
        write!(self.message, "{error}").expect("a Vec takes every write");
    }
}

/// What became of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its result is there to be answered.
    Ended(Result<(), Failure>),
    /// It goes on with `Vm::resume`.
    Paused(Pause),
}

/// A state of Lua.
pub struct Vm {
    /// Dropped before what its stack refers to.
    fibers: Fibers,
    state: *mut lua_State,
    bridge: Box<Bridge>,
    memory: Box<Memory>,
    /// Of what the last scripts have left.
    collection: Option<Collection>,
}

impl Drop for Vm {
    fn drop(&mut self) {
        // The bridge and the allocator's account are still there.
        // SAFETY: the state was made by `new`, and nothing runs on it.
        unsafe { ffi::lua_close(self.state) };
    }
}

/// What a protected call is to do.
struct Job<'a> {
    function: Function,
    style: Style,
    keys: &'a [&'a [u8]],
    arguments: &'a [&'a [u8]],
    failure: Option<Failure>,
    /// For the compiler: the chunk, its name, whether it sees what functions see.
    chunk: &'a [u8],
    name: &'a CStr,
}

/// What a state takes before any script, about.
const BARE_STATE_BYTES: usize = 128 << 10;
const NO_MEMORY: &str = "ERR Script needs more memory than script-memory-limit allows";

impl Vm {
    /// A state with everything that scripts may use. `watch` bounds them in time.
    pub fn new(watch: Watch, memory_bytes_max: usize) -> Self {
        let mut bridge = Box::new(Bridge {
            run: ptr::null_mut(),
            leave: ptr::null(),
            main: ptr::null_mut(),
            reply: Tape::default(),
            refused: false,
            result: Tape::default(),
            desk: Desk::default(),
            message: Vec::new(),
            arguments: Vec::new(),
            numbers: Vec::new(),
            loading: None,
            watch,
            random: base::RANDOM_START,
            bytes_max: memory_bytes_max,
            references: References::default(),
        });
        // What Lua itself needs is not held against the scripts.
        let mut memory = Box::new(Memory::new());
        // SAFETY: the account and the bridge stay where they are and outlive the state; errors of
        // Lua are caught by `lua_cpcall`.
        let state = unsafe {
            let state = ffi::lua_newstate(memory::allocate, (&raw mut *memory).cast());
            assert!(!state.is_null(), "there is memory for a state of Lua");
            memory.state = state;
            let built = ffi::lua_cpcall(state, sandbox::build, (&raw mut *bridge).cast());
            assert!(built == ffi::LUA_OK, "the libraries of scripts can be made");
            state
        };
        bridge.main = state;
        let mut vm = Self { fibers: Fibers::default(), state, bridge, memory, collection: None };
        vm.memory.set_limit(allocator_limit(memory_bytes_max));
        // SAFETY: the state lives and nothing runs on it.
        unsafe { alarm::watch_on(vm.state) };
        vm
    }

    /// Bytes of memory that the state holds.
    pub fn memory_bytes(&self) -> usize {
        self.memory.used
    }

    /// Whether the scripts that have run may have left much that nobody needs.
    pub fn has_garbage(&self) -> bool {
        self.collection.is_some() || self.memory.has_garbage()
    }

    /// Lets go of a part of that, some 100 µs long, while nothing runs on this state.
    pub fn collect_some(&mut self) {
        let collection = self.collection.get_or_insert_with(Collection::thorough);
        // SAFETY: the state lives and nothing runs on it.
        if unsafe { collection.step(self.state) } {
            self.collection = None;
        }
    }

    /// New limits, also for a script that is paused.
    pub fn set_limits(&mut self, limits: TimeLimits, memory_bytes_max: usize) {
        self.bridge.watch.set_limits(limits);
        self.bridge.bytes_max = memory_bytes_max;
        self.memory.set_limit(allocator_limit(memory_bytes_max));
    }

    /// Whether the last script was stopped by a limit.
    pub fn was_interrupted(&self) -> bool {
        self.bridge.watch.is_overdue()
    }

    /// Answers with the values that the last script returned, and lets go of them.
    pub fn answer(&mut self, reply: &mut dyn Reply) {
        self.bridge.result.replay(reply);
        self.bridge.result.clear();
    }

    /// Turns a text into a function. `name` is how errors call it: `@user_script`.
    ///
    /// # Errors
    /// The compiler's words.
    pub fn compile(
        &mut self,
        chunk: &[u8],
        name: &CStr,
        style: Style,
    ) -> Result<Function, Failure> {
        let mut job = Job {
            function: Function(ffi::LUA_NOREF),
            style,
            keys: &[],
            arguments: &[],
            failure: None,
            chunk,
            name,
        };
        self.begin_watch(false);
        self.protected(self.bridge.references.compiler, &mut job);
        match job.failure {
            None => Ok(job.function),
            Some(failure) => Err(failure),
        }
    }

    /// Forgets a function.
    pub fn release(&mut self, function: Function) {
        // SAFETY: a reference that `compile` or a registration made; unreferencing writes a number
        // into an existing field, which needs no memory.
        unsafe { ffi::luaL_unref(self.state, ffi::LUA_REGISTRYINDEX, function.0) };
    }

    /// Runs a function; its result is on `result`'s tape.
    pub fn run(
        &mut self,
        function: Function,
        style: Style,
        (keys, arguments): (&[&[u8]], &[&[u8]]),
        run: &mut Run<'_>,
    ) -> Outcome {
        self.bridge.result.clear();
        self.begin_watch(true);
        let (state, runner) = (self.state, self.bridge.references.runner);
        let bridge = ptr::from_mut(&mut *self.bridge);
        self.bridge.run = ptr::from_mut(run).cast::<Run<'static>>();
        // SAFETY: the state and the bridge outlive the stack. Keys and arguments are read before the
        // function begins, so before it can be paused. The frames between here and Lua own nothing while
        // it runs: a failure is noted when it has ended.
        let stop = unsafe {
            self.fibers.begin(|leave| {
                (*bridge).leave = leave;
                let mut job =
                    Job { function, style, keys, arguments, failure: None, chunk: &[], name: c"" };
                protected(state, runner, &mut job);
                if job.failure.as_ref().is_some_and(|failure| failure.text == NO_MEMORY) {
                    make_room(state, bridge);
                }
                (*bridge).leave = ptr::null();
                job.failure
            })
        };
        let no_stack = || Stop::Ended(Some(Failure::of("ERR there is no memory for a stack")));
        self.stopped(stop.unwrap_or_else(no_stack))
    }

    /// Goes on with the function that was paused. If that was for a command, `answer` is what it has
    /// answered.
    pub fn resume(
        &mut self,
        answer: Option<Result<Tape, CommandError>>,
        run: &mut Run<'_>,
    ) -> Outcome {
        if let Some(answer) = answer {
            self.bridge.refused = answer.is_err();
            match answer {
                Ok(tape) => self.bridge.reply = tape,
                Err(error) => self.bridge.say(&error),
            }
        }
        self.bridge.watch.resume();
        self.bridge.run = ptr::from_mut(run).cast::<Run<'static>>();
        let stop = self.fibers.resume();
        self.stopped(stop)
    }

    fn stopped(&mut self, stop: Stop) -> Outcome {
        self.bridge.run = ptr::null_mut();
        // In the middle of a slice it may be on its way into Lua. Otherwise a long value on it would live on,
        // whatever becomes of its key.
        if !matches!(stop, Stop::Paused(Pause::Time)) {
            self.bridge.reply.clear();
        }
        match stop {
            Stop::Paused(why) => {
                self.bridge.watch.pause();
                Outcome::Paused(why)
            }
            Stop::Ended(None) => Outcome::Ended(Ok(())),
            Stop::Ended(Some(failure)) => Outcome::Ended(Err(failure)),
        }
    }

    /// Ends the function that is paused, with an error, once it goes on.
    pub fn kill(&mut self) {
        self.bridge.watch.kill();
        // SAFETY: sets fields of the state, and at any time.
        unsafe { alarm::look_soon(self.state) };
    }

    /// Runs a library's text; what it registers is returned.
    ///
    /// # Errors
    /// What went wrong; nothing is registered then.
    pub fn load_library(&mut self, function: Function) -> Result<Vec<Registered>, Failure> {
        self.bridge.loading = Some(Vec::new());
        let mut job = Job {
            function,
            style: Style::Library,
            keys: &[],
            arguments: &[],
            failure: None,
            chunk: &[],
            name: c"",
        };
        self.begin_watch(false);
        self.protected(self.bridge.references.runner, &mut job);
        let registered = self.bridge.loading.take().unwrap_or_default();
        let Some(failure) = job.failure else { return Ok(registered) };
        for function in registered {
            self.release(function.callback);
        }
        Err(failure)
    }

    fn begin_watch(&mut self, pausable: bool) {
        self.memory.forget_largest();
        if self.bridge.watch.begin(pausable) {
            // SAFETY: the state lives and nothing runs on it.
            unsafe { alarm::watch_on(self.state) };
        }
    }

    /// Calls one of our functions with the job, protected, on the stack of the lane.
    fn protected(&mut self, reference: i32, job: &mut Job<'_>) {
        // SAFETY: the state lives.
        unsafe {
            protected(self.state, reference, job);
            if job.failure.as_ref().is_some_and(|failure| failure.text == NO_MEMORY) {
                make_room(self.state, ptr::from_mut(&mut *self.bridge));
            }
        }
    }
}

/// Calls one of our functions with the job, protected.
///
/// # Safety
/// The state lives, and none of its functions runs.
unsafe fn protected(state: *mut lua_State, reference: i32, job: &mut Job<'_>) {
    // SAFETY: what is pushed without protection needs no memory. The job lives through the call.
    let status = unsafe {
        ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, reference);
        ffi::lua_pushlightuserdata(state, ptr::from_mut(job).cast());
        ffi::lua_pcall(state, 1, 0, 0)
    };
    if status != ffi::LUA_OK {
        // SAFETY: the error is on top; reading a string allocates nothing.
        unsafe {
            let text = match ffi::lua_type(state, -1) {
                ffi::LUA_TSTRING => {
                    String::from_utf8_lossy(stack::bytes_at(state, -1).unwrap_or_default())
                        .into_owned()
                }
                _ => "error object is not a string".to_owned(),
            };
            let text =
                if status == ffi::LUA_ERRMEM { NO_MEMORY.into() } else { format!("ERR {text}") };
            job.failure = Some(Failure::of(text));
            ffi::lua_settop(state, 0);
        }
    }
}

/// A script has failed for want of memory: the next must find room.
///
/// # Safety
/// As `alarm::collect`; none of the state's functions runs.
#[cold]
unsafe fn make_room(state: *mut lua_State, bridge: *mut Bridge) {
    // SAFETY: the caller vouches for the place.
    unsafe {
        // Whatever has stopped the script does not stop this.
        (*bridge).watch.begin((*bridge).watch.is_pausable());
        alarm::collect(state, bridge);
    }
}

/// The bridge that a function of ours was registered with.
///
/// # Safety
/// Called from a C function whose first upvalue is the bridge. The reference must not be held while
/// another one is made.
unsafe fn bridge<'a>(state: *mut lua_State) -> &'a mut Bridge {
    // SAFETY: the upvalue is the address of the bridge that owns this state.
    unsafe { &mut *ffi::lua_touserdata(state, ffi::lua_upvalueindex(1)).cast::<Bridge>() }
}

/// Compiles `Job::chunk`. Upvalue 1 is the bridge, argument 1 the job.
unsafe extern "C-unwind" fn compiler(state: *mut lua_State) -> i32 {
    // SAFETY: called by `Vm::protected` alone, with a job that lives through the call; between
    // calls of Lua nothing is held that would have to be dropped.
    unsafe {
        let job = &mut *ffi::lua_touserdata(state, 1).cast::<Job<'_>>();
        let bridge = ptr::from_mut(bridge(state));
        let references = (*bridge).references;
        if job.chunk.first() == Some(&ffi::LUA_SIGNATURE[0]) {
            let name = job.name.to_string_lossy();
            let name = name.trim_start_matches('@');
            let text = format!("{name}:1: unexpected symbol near 'char(27)'");
            job.failure = Some(Failure::of(text));
            return 0;
        }
        let status = tables::compile(state, bridge, job.chunk, job.name.as_ptr());
        if status != ffi::LUA_OK {
            tables::flatten_error(state);
            let text = stack::bytes_at(state, -1).unwrap_or_default();
            let text = String::from_utf8_lossy(text).into_owned();
            job.failure = Some(Failure::of(if status == ffi::LUA_ERRMEM {
                NO_MEMORY.to_owned()
            } else {
                text
            }));
            return 0;
        }
        if job.style != Style::Script {
            let environment = references.function_environment;
            ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, environment);
            ffi::lua_setfenv(state, -2);
        }
        job.function = Function(ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX));
    }
    0
}

/// Runs `Job::function` and reads its result. Upvalue 1 is the bridge, argument 1 the job.
unsafe extern "C-unwind" fn runner(state: *mut lua_State) -> i32 {
    // SAFETY: as `compiler`.
    unsafe {
        let job = &mut *ffi::lua_touserdata(state, 1).cast::<Job<'_>>();
        let references = bridge(state).references;
        ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, references.error_handler);
        let handler = ffi::lua_gettop(state);
        if job.style == Style::Script {
            ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, references.globals);
            push_texts(state, job.keys);
            ffi::lua_setfield(state, -2, c"KEYS".as_ptr());
            push_texts(state, job.arguments);
            ffi::lua_setfield(state, -2, c"ARGV".as_ptr());
            ffi::lua_settop(state, -2);
        }
        ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, job.function.0);
        let mut count = 0;
        if job.style == Style::Function {
            push_texts(state, job.keys);
            push_texts(state, job.arguments);
            count = 2;
        }
        let status = ffi::lua_pcall(state, count, 1, handler);
        if status == ffi::LUA_OK {
            if job.style != Style::Library {
                read_result(state, job);
            }
        } else {
            job.failure = Some(failure_at_top(state, status));
        }
    }
    0
}

/// # Safety
/// In a protected call, with room for two values.
unsafe fn push_texts(state: *mut lua_State, texts: &[&[u8]]) {
    // SAFETY: the table is below the text that goes into it.
    unsafe {
        ffi::lua_createtable(state, texts.len() as i32, 0);
        for (index, text) in texts.iter().enumerate() {
            stack::push_bytes(state, text);
            ffi::lua_rawseti_(state, -2, index as i32 + 1);
        }
    }
}

/// Reads the value on top as a reply.
///
/// # Safety
/// In `runner`.
unsafe fn read_result(state: *mut lua_State, job: &mut Job<'_>) {
    // SAFETY: the bridge's tapes are not otherwise in use; the reader owns nothing.
    unsafe {
        let bridge = ptr::from_mut(bridge(state));
        let resp3 = (*(*bridge).run).state.resp3;
        let mut reader = Bridge::reader(bridge, state, Shape::Reply { resp3 });
        let top = ffi::lua_gettop(state);
        let read = reader.read(top, 0);
        let bridge = &mut *bridge;
        if read.is_err() {
            let text = match bridge.watch.overdue() {
                Some(why) => bridge.watch.words(why).to_owned(),
                None => format!("ERR {}", String::from_utf8_lossy(&bridge.message)),
            };
            job.failure = Some(Failure::of(text));
        }
    }
}

/// What the error on top says: a table that the error handler made, or a bare text.
///
/// # Safety
/// In `runner`, with an error on top.
unsafe fn failure_at_top(state: *mut lua_State, status: i32) -> Failure {
    if status == ffi::LUA_ERRMEM {
        return Failure::of(NO_MEMORY);
    }
    // SAFETY: no text is held while Lua is called that could raise an error: raw reads of a table
    // with constant names, which the handler has used already, need no memory.
    unsafe {
        if ffi::lua_type(state, -1) != ffi::LUA_TTABLE {
            let text = stack::bytes_at(state, -1).unwrap_or(b"unknown error");
            return Failure::of(format!("ERR {}", String::from_utf8_lossy(text)));
        }
        let table = ffi::lua_gettop(state);
        for name in [c"err", c"source", c"line"] {
            stack::push_bytes(state, name.to_bytes());
            ffi::lua_rawget_(state, table);
        }
        let line = ffi::lua_tonumber(state, table + 3) as i64;
        let text = |index: i32| {
            let is_text = ffi::lua_isstring(state, index) != 0;
            is_text.then(|| stack::bytes_at(state, index)).flatten()
        };
        let (words, source) = (text(table + 1), text(table + 2));
        let text = String::from_utf8_lossy(words.unwrap_or(b"ERR unknown error")).into_owned();
        let place = source.map(|source| (String::from_utf8_lossy(source).into_owned(), line));
        Failure { text, place }
    }
}

const _: () = assert!(ITEMS_MAX < i32::MAX as usize);
