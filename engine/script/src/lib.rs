//! Scripts and functions: Lua 5.1 by `mlua`'s bindings, in a sandbox, over one lane's store. Holds no
//! socket, no thread, no clock: clocks and the log are arguments (`watch::Clocks`).
//!
//! | File | Owns |
//! |---|---|
//! | `host.rs` | what a lane has compiled; EVAL, SCRIPT |
//! | `functions.rs`, `library.rs` | FCALL, FUNCTION; the form of FUNCTION DUMP |
//! | `registry.rs` | what all lanes know: texts and libraries |
//! | `run.rs` | what the commands of one script may do |
//! | `watch.rs` | how long a script may run, at once and in all |
//! | `pattern.rs` | what a pattern would cost, before Lua matches it |
//! | `tape.rs` | values between Lua and commands, flat |
//! | `codec/` | cjson, cmsgpack, struct |
//! | `vm/` | the interpreter; all of the crate's unsafe code |

pub mod codec;
pub mod host;
pub mod registry;
pub mod run;
pub mod tape;
pub mod vm;
pub mod watch;

mod flags;
mod functions;
mod library;
mod number;
mod pattern;

pub use host::{LaneScripts, PausedScript, ScriptLimits};
pub use registry::Registry;
pub use run::{HeavyCall, Listeners, Place, Watcher, call_aside};
pub use tape::Tape;
pub use watch::{Clocks, TimeLimits};
