//! Why a command does not run: it is none, it is not for this door or this client, or there is no
//! memory for it. Owns the refusals that come before a handler; what a handler refuses is its own.

use ringlane_command::{Access, Args, CommandError, CommandSpec, Run, ServeCommand, table};
use ringlane_resp::Version;

use crate::admin;
use crate::connection::Connection;
use crate::core::Core;
use crate::execute::confirms_by_push;
use crate::plan::Target;
use crate::ring::ConnectionId;
use crate::session::ReplyMode;
use crate::web_guard::is_web_request;

/// What a lane door answers to keys of several slots.
pub const CROSS_SLOT: &str = "CROSSSLOT Keys in request don't hash to the same slot";

impl Core {
    /// Says why a command is none: its name, its number of arguments, or who sends it.
    #[cold]
    pub fn refuse_unresolved(&mut self, id: ConnectionId, args: Args<'_>) {
        let connection = self.connections.get(id).expect("looked up by the caller");
        let error = match table::resolve(args.from(0)).err() {
            Some(error) if connection.session.authenticated => error,
            Some(_) | None => CommandError::Fixed(admin::auth::NOAUTH),
        };
        let (mode, peer) = (connection.session.reply_mode, connection.session.peer);
        if is_web_request(&args[0]) {
            self.warn_of_web_request(peer);
            return self.close(id);
        }
        let error = self.spoil_by(id, args, error);
        self.stats.rejected_commands += 1;
        if let CommandError::WrongArity(name) = error
            && let Some(spec) = table::find(name.as_bytes())
        {
            self.stats.rejected(spec.id);
        }
        self.refuse(id, &error);
        if mode != ReplyMode::On {
            self.muffle(id);
        }
    }

    /// Whether a lane of the command's keys refuses what may need memory. Another lane looks itself
    /// when the command comes there, unless that is later, at EXEC.
    pub fn lacks_memory(&mut self, target: Target, in_transaction: bool) -> bool {
        match target {
            Target::Here => self.store.refuses_writes(),
            Target::Lane(lane) => in_transaction && self.shared.lines[lane.index()].is_full(),
            Target::Several | Target::Slices => {
                self.store.refuses_writes() || self.shared.is_full()
            }
        }
    }

    /// What a lane door answers to a key of another lane, or to keys of several slots.
    #[cold]
    pub fn wrong_door(
        &mut self,
        id: ConnectionId,
        spec: &'static CommandSpec,
        args: Args<'_>,
    ) -> Option<CommandError> {
        let mut slots = spec
            .keys_of(args)
            .map(|index| ringlane_base::Slot::of(args.get(index).unwrap_or_default()));
        let first = slots.next()?;
        if !slots.all(|slot| slot == first) {
            self.stats.cross_slots += 1;
            return Some(CommandError::Fixed(CROSS_SLOT));
        }
        if self.owns(first) {
            return None;
        }
        Some(self.moved(id, first))
    }

    /// Where a client of a lane door finds a slot that is not this lane's.
    pub fn moved(&mut self, id: ConnectionId, slot: ringlane_base::Slot) -> CommandError {
        self.stats.moved += 1;
        let owner = self.shared.lane_of(slot);
        let port = self.shared.lane_ports[owner.index()];
        let host = self.door_host(id);
        CommandError::Text(format!("MOVED {} {host}:{port}", slot.number()))
    }
}

/// Why a connection that listens in RESP2, or watches, may not run a command; None if it may.
#[cold]
pub fn forbidden(connection: &Connection, spec: &CommandSpec) -> Option<CommandError> {
    let listens = connection.listening.is_some() && connection.session.version == Version::Resp2;
    let allowed = matches!(
        spec.run,
        Run::Serve(ServeCommand::Ping | ServeCommand::Quit | ServeCommand::Reset)
    ) || confirms_by_push(spec);
    if listens && !allowed {
        let name = spec.name;
        return Some(CommandError::Text(format!(
            "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
             RESET are allowed in this context"
        )));
    }
    let touches_keys = spec.access != Access::Neither;
    (connection.monitor && touches_keys)
        .then_some(CommandError::Fixed("ERR Replica can't interact with the keyspace"))
}
