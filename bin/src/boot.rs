//! From settings to a running server, and from a signal to its end.

use std::io::Write;
use std::process;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ringlane_serve::{Server, Stopper};
use ringlane_settings::Settings;
use sd_notify::NotifyState;

use crate::allocator;
use crate::limits;
use crate::logs::Destination;
use crate::mapped;
use crate::signals::{Signal, Signals};

/// From the first signal to the end of the process, whatever still hangs.
const STOP_MAX: Duration = Duration::from_millis(950);

/// Serves until a signal or `SHUTDOWN` ends it. The error is one line that says what to change.
pub fn serve(settings: &Arc<Settings>, logs: Destination) -> Result<(), String> {
    panics_end_the_process();
    allocator::introduce();
    let start = settings.start();
    limits::check_machine(settings)?;
    limits::raise(settings, start.lanes)?;
    // Before any thread starts, since threads inherit what is blocked.
    let signals = Signals::block();
    mapped::start_giving_back()
        .map_err(|error| format!("no thread for freed memory could be started: {error}"))?;
    let server = ringlane_serve::start(settings).map_err(|error| error.to_string())?;
    limits::check_memory(settings);
    announce(&server, settings);
    let stopper = server.stopper();
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || follow(&signals, &stopper, &logs))
        .map_err(|error| format!("no thread for signals could be started: {error}"))?;
    server.wait();
    notify(&[NotifyState::Stopping]);
    Ok(())
}

/// A lane that panicked leaves its keys unreachable, so the process ends with the reason.
fn panics_end_the_process() {
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!("{panic}");
        // Logs may be off or in a file; the reason is wanted here as well.
        eprintln!("ringlane: {panic}\n{}", std::backtrace::Backtrace::force_capture());
        process::abort();
    }));
}

/// Says that every door is open: in the log, on standard output, and to systemd.
fn announce(server: &Server, settings: &Settings) {
    let addresses: Vec<String> = server.addresses().iter().map(ToString::to_string).collect();
    let lane_ports: Vec<String> = server.lane_ports().iter().map(u16::to_string).collect();
    let (addresses, lane_ports) = (addresses.join(" "), lane_ports.join(","));
    let start = settings.start();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        lanes = start.lanes,
        lane_ports,
        maxmemory = settings.live().maxmemory.unwrap_or(0),
        policy = settings.live().policy.name(),
        "Ready to accept connections on {addresses}"
    );
    let port = server.addresses().first().map_or(0, std::net::SocketAddr::port);
    let mut output = std::io::stdout().lock();
    // Nobody may be reading; that does not keep a server from serving.
    let _ =
        writeln!(output, "ready port={port} lane-ports={lane_ports}").and_then(|()| output.flush());
    notify(&[NotifyState::Ready, NotifyState::Status(&format!("serving on {addresses}"))]);
}

/// To systemd, if it started us.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd could not be told");
    }
}

/// The first SIGTERM or SIGINT drains, the second ends at once; SIGHUP opens the log file again.
fn follow(signals: &Signals, stopper: &Stopper, logs: &Destination) {
    while let Some(signal) = signals.wait(None) {
        match signal {
            Signal::Reopen => reopen(logs),
            Signal::Stop => break,
        }
    }
    tracing::info!("told to stop: open connections are drained; a second signal stops at once");
    notify(&[NotifyState::Stopping]);
    stopper.stop();
    let deadline = Instant::now() + STOP_MAX;
    while let Some(signal) = signals.wait(Some(deadline)) {
        match signal {
            Signal::Reopen => reopen(logs),
            Signal::Stop => {
                tracing::warn!("stopped at once by a second signal");
                process::exit(1);
            }
        }
    }
    tracing::warn!("some connections did not drain in time");
    process::exit(0);
}

fn reopen(logs: &Destination) {
    match logs.reopen() {
        Ok(()) => tracing::info!("log file opened again"),
        Err(error) => tracing::warn!(%error, "the log file could not be opened again"),
    }
}
