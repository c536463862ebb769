//! Ctrl-C and SIGTERM end a tool in order: loops ask `check`, guards stop the servers.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Result, bail};

static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Catches SIGINT and SIGTERM from now on. A second one ends the process at once.
pub fn catch() -> Result<()> {
    let stop = STOP.get_or_init(Arc::default);
    for signal in [libc::SIGINT, libc::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(stop))?;
        signal_hook::flag::register(signal, Arc::clone(stop))?;
    }
    Ok(())
}

/// Whether a signal has asked this tool to end.
#[inline]
pub fn stopping() -> bool {
    STOP.get().is_some_and(|stop| stop.load(Ordering::Relaxed))
}

/// An error once a signal has come.
pub fn check() -> Result<()> {
    if stopping() {
        bail!("interrupted");
    }
    Ok(())
}
