//! Limits of the process, raised as far as they go before anything is opened.

use ringlane_settings::{Settings, format_cores};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside the clients': standard streams, log, doors, and for each lane its rings,
/// eventfds and the executor's own.
const FILES_RESERVED: u64 = 64;
const FILES_PER_LANE: u64 = 32;

/// Without so many no client could be served at all.
const FILES_NEEDED: u64 = 16;
const FILES_NEEDED_PER_LANE: u64 = 10;

/// Raises the limit of open files and of locked memory (rings) to what is allowed, and lowers
/// `maxclients` with a warning when its connections would not fit.
///
/// # Errors
/// So few files may be opened that the server could not start: one line that says what to change.
pub fn raise(settings: &Settings, lanes: usize) -> Result<(), String> {
    let wanted = settings.live().maxclients as u64 + FILES_RESERVED + FILES_PER_LANE * lanes as u64;
    let files = raise_one(Resource::Nofile, wanted);
    raise_one(Resource::Memlock, 0);
    if files >= wanted {
        return Ok(());
    }
    let needed = FILES_NEEDED + FILES_NEEDED_PER_LANE * lanes as u64;
    if files < needed {
        return Err(format!(
            "the limit of open files is {files}, and {lanes} lanes need {needed} before the first \
             client: raise it with `ulimit -n {wanted}` (systemd: LimitNOFILE={wanted}), or use \
             fewer --lanes"
        ));
    }
    let clients = files.saturating_sub(wanted - settings.live().maxclients as u64).max(1);
    tracing::warn!(
        "the limit of open files is {files}: maxclients is {clients} instead of {}; \
         raise it with `ulimit -n {wanted}` (systemd: LimitNOFILE={wanted})",
        settings.live().maxclients
    );
    settings
        .set(&[("maxclients", &clients.to_string())])
        .expect("smaller than a value that was accepted, at least 1");
    Ok(())
}

/// Holds what was asked for against what this process may use: CPUs outside of its affinity mask
/// are refused, more lanes than CPUs get a warning.
///
/// # Errors
/// One line that says what to change.
pub fn check_machine(settings: &Settings) -> Result<(), String> {
    let (start, machine) = (settings.start(), settings.machine());
    let absent: Vec<usize> =
        start.cores.iter().copied().filter(|core| !machine.cores.contains(core)).collect();
    if !absent.is_empty() {
        return Err(format!(
            "bad value for cores: this process may not run on CPU {}, only on {}",
            format_cores(&absent),
            format_cores(&machine.cores)
        ));
    }
    let cpus = machine.cpus.min(start.cores.len().max(1));
    if start.lanes > cpus {
        tracing::warn!(
            "{} lanes share {cpus} CPUs: a lane that waits for its CPU keeps its clients waiting; \
             --lanes {cpus} is faster",
            start.lanes
        );
    }
    Ok(())
}

/// Warns when `maxmemory` is less than the process takes before it holds a key.
pub fn check_memory(settings: &Settings) {
    if let Some(resident) = ringlane_serve::resident_bytes() {
        ringlane_serve::warn_if_too_small(settings.live().maxmemory, resident);
    }
}

/// The soft limit goes up to the hard one; the hard one to `wanted` where we may. Answers what holds.
fn raise_one(resource: Resource, wanted: u64) -> u64 {
    let limit = getrlimit(resource);
    let hard = limit.maximum;
    if hard.is_some_and(|hard| hard < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: Some(wanted) };
        if setrlimit(resource, raised).is_ok() {
            return wanted;
        }
    }
    // Refused by some sandboxes; what holds then is read again.
    let _ = setrlimit(resource, Rlimit { current: hard, maximum: hard });
    getrlimit(resource).current.unwrap_or(u64::MAX)
}
