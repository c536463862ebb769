//! MULTI, EXEC, DISCARD, WATCH, UNWATCH: what they answer. How a transaction runs is in
//! `crate::transaction`.

use ringlane_command::{Args, CommandError};

use super::{Outcome, ok, session};
use crate::ask::Step;
use crate::core::Core;
use crate::ring::ConnectionId;
use crate::session::{Door, WATCHED_KEYS_MAX};
use crate::transaction::Transaction;

const ABORTED: &str = "EXECABORT Transaction discarded because of previous errors.";

/// `MULTI`.
pub fn multi(core: &mut Core, id: ConnectionId) -> Outcome {
    if session(core, id).transaction.is_some() {
        return Err(CommandError::Fixed("ERR MULTI calls can not be nested"));
    }
    let commands = core.outbox.fresh();
    let session = session(core, id);
    let transaction = Transaction::new(session.database, session.version, commands);
    session.transaction = Some(Box::new(transaction));
    ok(core, id)
}

/// `DISCARD`.
pub fn discard(core: &mut Core, id: ConnectionId) -> Outcome {
    if session(core, id).transaction.is_none() {
        return Err(CommandError::Fixed("ERR DISCARD without MULTI"));
    }
    core.leave_transaction(id);
    ok(core, id)
}

/// `EXEC`: the array of the queued commands' answers, or null if a watched key was touched.
pub fn exec(core: &mut Core, id: ConnectionId) -> Outcome {
    let session = session(core, id);
    let on_lane_door = session.door == Door::Lane;
    let Some(transaction) = session.transaction.take() else {
        return Err(CommandError::Fixed("ERR EXEC without MULTI"));
    };
    if transaction.is_spoiled() {
        core.end_watching(id);
        return Err(CommandError::Fixed(ABORTED));
    }
    if on_lane_door && transaction.is_of_several_slots() {
        core.end_watching(id);
        core.stats.cross_slots += 1;
        return Err(CommandError::Fixed("CROSSSLOT Keys in request don't hash to the same slot"));
    }
    if transaction.needs_memory() && (core.store.refuses_writes() || core.shared.is_full()) {
        core.end_watching(id);
        return Err(CommandError::Text(format!(
            "EXECABORT Transaction discarded because of: {}",
            CommandError::OutOfMemory
        )));
    }
    core.run_transaction(id, *transaction);
    Ok(Step::Done)
}

/// `WATCH key [key ...]`: answered once the owners of the keys look out for changes.
pub fn watch(core: &mut Core, id: ConnectionId, args: Args<'_>) -> Outcome {
    let session = session(core, id);
    if session.transaction.is_some() {
        return Err(CommandError::Fixed("ERR WATCH inside MULTI is not allowed"));
    }
    if session.watched.len() + args.len() - 1 > WATCHED_KEYS_MAX {
        return Err(CommandError::Fixed("ERR too many watched keys"));
    }
    core.begin_watching(id, args.from(1));
    Ok(Step::Done)
}

/// `UNWATCH`.
pub fn unwatch(core: &mut Core, id: ConnectionId) -> Outcome {
    core.end_watching(id);
    ok(core, id)
}
