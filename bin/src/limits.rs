//! Limits of the process, raised as far as they go before anything is opened.

use ringlane_settings::Settings;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside the clients': standard streams, log, doors, and for each lane its rings,
/// eventfds and the executor's own.
const FILES_RESERVED: u64 = 64;
const FILES_PER_LANE: u64 = 32;

/// Raises the limit of open files and of locked memory (rings) to what is allowed, and lowers
/// `maxclients` with a warning when its connections would not fit.
pub fn raise(settings: &Settings, lanes: usize) {
    let wanted = settings.live().maxclients as u64 + FILES_RESERVED + FILES_PER_LANE * lanes as u64;
    let files = raise_one(Resource::Nofile, wanted);
    raise_one(Resource::Memlock, 0);
    if files >= wanted {
        return;
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
