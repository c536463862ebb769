//! `CLIENT PAUSE`: commands are held back until its time is over.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use ringlane_command::{Args, CommandSpec, RoutedKey, Run, ServeCommand};

use crate::clock;
use crate::core::Core;
use crate::execute::Call;
use crate::plan::Target;
use crate::ring::ConnectionId;
use crate::run::Slices;
use crate::transaction::is_queued;

/// A command that is held back: by a pause, or after it behind a command of its connection that takes its time.
pub struct Held {
    pub connection: ConnectionId,
    pub spec: &'static CommandSpec,
    pub target: Target,
    pub routed: Option<RoutedKey>,
    pub args: Vec<Bytes>,
}

/// The pause as this lane sees it.
#[derive(Default)]
pub struct Pause {
    writes_only: bool,
    /// In order; of one connection several only if they were planned together before the pause.
    held: Vec<Held>,
}

impl Core {
    /// Whether the pause holds this command. CLIENT itself always passes, or nothing could unpause.
    #[cold]
    pub fn is_paused(&mut self, id: ConnectionId, spec: &CommandSpec) -> bool {
        let Some(pause) = &self.pause else { return false };
        match spec.run {
            Run::Serve(ServeCommand::Client | ServeCommand::Shutdown) => false,
            Run::Serve(ServeCommand::Exec) if pause.writes_only => self.transaction_writes(id),
            Run::Serve(_) | Run::Store(_) => !pause.writes_only || spec.may_replicate(),
        }
    }

    /// Keeps a command until the pause is over; the connection waits.
    #[cold]
    pub fn hold_for_pause(&mut self, call: &Call<'_>) {
        let Call { connection: id, spec, target, routed, args } = *call;
        let Some(connection) = self.connections.get(id) else { return };
        connection.barrier = true;
        let held = Held { connection: id, spec, target, routed, args: args.to_shared() };
        self.pause.as_mut().expect("asked by the caller").held.push(held);
    }

    /// Begins, changes or ends the pause as all lanes have been told.
    pub fn refresh_pause(&mut self) {
        let until = self.shared.pause_until_ms.load(Ordering::Acquire);
        if until > self.store.now().steady.0 {
            let writes_only = self.shared.pause_writes_only.load(Ordering::Acquire);
            self.pause.get_or_insert_default().writes_only = writes_only;
            return;
        }
        let Some(pause) = self.pause.take() else { return };
        for held in &pause.held {
            if let Some(connection) = self.connections.get(held.connection) {
                connection.barrier = connection.aside;
            }
        }
        for held in pause.held {
            let Some(connection) = self.connections.get(held.connection) else { continue };
            // One before it may have to wait: for what runs aside, for the locks of a transaction.
            if connection.barrier {
                self.asides.hold_back(held);
            } else {
                self.run_held(&held);
            }
        }
    }

    /// Keeps a command until the pause is over that was held back for another reason.
    pub fn hold_again(&mut self, held: Held) {
        if let Some(connection) = self.connections.get(held.connection) {
            connection.barrier = true;
            self.pause.get_or_insert_default().held.push(held);
        }
    }

    /// Runs a command that was held back.
    pub fn run_held(&mut self, held: &Held) {
        let Held { connection: id, spec, target, routed, .. } = *held;
        if !self.is_open(id) {
            return;
        }
        let slices: Slices<'_> = held.args.iter().map(|arg| &arg[..]).collect();
        let connection = self.connections.get(id).expect("is open");
        connection.barrier = false;
        let args = Args::new(&slices, &held.args);
        let begun = clock::ticks();
        let queued = connection.session.transaction.is_some() && is_queued(spec);
        self.execute_now(&Call { connection: id, spec, target, routed, args });
        self.own_begun_long(args);
        let later = self.asides.take_begun();
        if !matches!(target, Target::Lane(_) | Target::Slices) && !queued && !later {
            self.observe(id, spec, clock::ticks().wrapping_sub(begun), &slices);
        }
        self.mark_ready(id);
    }
}
