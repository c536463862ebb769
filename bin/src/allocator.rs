//! The allocator of the process: jemalloc, told to give memory back within a second.

use std::ffi::c_char;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// jemalloc reads this before `main`. Freed pages go back to the system over half a second, by a
/// thread of its own, so that a lane never pays for it.
const OPTIONS: &[u8] = b"background_thread:true,dirty_decay_ms:500,muzzy_decay_ms:0\0";

// SAFETY: `malloc_conf` with the crate's prefix is the name and the type (`const char *`) that
// jemalloc documents under TUNING; the text ends in a zero byte and lives for ever.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: Option<&'static c_char> = Some(unsafe { &*OPTIONS.as_ptr().cast() });
