//! Work that waits for a disk: a helper thread does it, never a lane. A lane hands an errand over and
//! goes on; what came of it returns through a channel, and the lane's doorbell rings.

use std::sync::Arc;

use ringlane_base::LaneId;
use ringlane_command::{CommandError, CommandSpec, Reply};
use ringlane_settings::Settings;

use crate::core::Core;
use crate::reply::RespReply;
use crate::reply_buffer::{ReplyBuffer, Stretch};
use crate::ring::ConnectionId;
use crate::shared::Shared;

/// Errands of all lanes that may wait for the helper.
const WAITING_MAX: usize = 64;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// `CONFIG REWRITE`.
    RewriteSettings,
}

/// Whose reply waits for it.
#[derive(Clone, Copy)]
struct Ticket {
    lane: LaneId,
    connection: ConnectionId,
    sequence: u32,
    spec: &'static CommandSpec,
}

struct Order {
    errand: Errand,
    ticket: Ticket,
    done: flume::Sender<Done>,
}

/// What came of an errand; the text of an error.
struct Done {
    ticket: Ticket,
    result: Result<(), String>,
}

/// The helper's own end: it ends when the last lane has gone.
#[derive(Clone)]
pub struct Helper(flume::Sender<Order>);

impl Helper {
    /// Starts the helper thread.
    ///
    /// # Errors
    /// The system gives no further thread.
    pub fn start(shared: Arc<Shared>, settings: Arc<Settings>) -> std::io::Result<Self> {
        let (sender, orders) = flume::bounded::<Order>(WAITING_MAX);
        std::thread::Builder::new().name("errands".to_owned()).spawn(move || {
            for order in orders {
                let result = match order.errand {
                    Errand::RewriteSettings => {
                        settings.rewrite().map_err(|error| error.to_string())
                    }
                };
                let lane = order.ticket.lane;
                // A lane that has ended needs no answer.
                let _ = order.done.send(Done { ticket: order.ticket, result });
                shared.ring_doorbell(lane);
            }
        })?;
        Ok(Self(sender))
    }
}

/// A lane's side.
pub struct Errands {
    helper: Option<Helper>,
    done: flume::Receiver<Done>,
    sender: flume::Sender<Done>,
}

impl Errands {
    /// Without a helper every errand is refused.
    pub fn new(helper: Option<Helper>) -> Self {
        let (sender, done) = flume::bounded(WAITING_MAX);
        Self { helper, done, sender }
    }
}

impl Core {
    /// Hands an errand to the helper; the connection waits for its reply.
    ///
    /// # Errors
    /// Too many wait already; nothing was done.
    pub fn send_errand(
        &mut self,
        id: ConnectionId,
        spec: &'static CommandSpec,
        errand: Errand,
    ) -> Result<(), CommandError> {
        let refusal = CommandError::Fixed("ERR too many commands wait for the disk, try again");
        let Some(helper) = self.errands.helper.clone() else { return Err(refusal) };
        let connection = self.connections.get(id).expect("its command is running");
        let sequence = connection.next_place();
        let ticket = Ticket { lane: self.lane, connection: id, sequence, spec };
        let done = self.errands.sender.clone();
        if helper.0.try_send(Order { errand, ticket, done }).is_err() {
            return Err(refusal);
        }
        connection.barrier = true;
        let reserved = connection.reserve_place();
        debug_assert_eq!(reserved, sequence);
        Ok(())
    }

    /// Answers those whose errands are done.
    pub fn finish_errands(&mut self) {
        while let Ok(Done { ticket, result }) = self.errands.done.try_recv() {
            let version = self.connections.get(ticket.connection).map(|it| it.session.version);
            let mut out = ReplyBuffer::default();
            let mut reply = RespReply::new(&mut out, version.unwrap_or_default());
            match result {
                Ok(()) => reply.simple("OK"),
                Err(text) => {
                    reply.error_line(&CommandError::Text(text.replace(['\r', '\n'], " ")));
                    self.stats.failed(ticket.spec.id, text.as_bytes());
                }
            }
            let stretch = Stretch { from: ReplyBuffer::default().mark(), to: out.mark() };
            self.fill_place(ticket.connection, ticket.sequence, &out, stretch);
            self.lift_barrier(ticket.connection);
        }
    }
}
