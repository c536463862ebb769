//! What a lane counts. Plain numbers of one owner; others ask for them.

use std::net::SocketAddr;
use std::time::Duration;

use ringlane_base::LaneId;
use ringlane_command::{CommandSpec, Flags, table};

use crate::admin::latency_events::{Event, LatencyEvents};
use crate::admin::report::Rates;
use crate::admin::slowlog::{SlowCommand, SlowLog};
use crate::clock;
use crate::core::Core;
use crate::durations::Durations;
use crate::error_codes::ErrorCodes;
use crate::parcel::{Mail, Request, ReturnTo};
use crate::ring::ConnectionId;

/// Counts of one command.
#[derive(Clone, Debug, Default)]
pub struct CommandStats {
    pub calls: u64,
    /// Ticks of `clock::ticks` spent in it.
    pub ticks: u64,
    /// Answered with an error.
    pub failed: u64,
    /// Refused before it ran.
    pub rejected: u64,
    /// How long it took each time, once it has run with `latency-tracking` on.
    pub latency: Option<Durations>,
}

/// What no turn should pass, in microseconds of CPU time.
pub const TURN_US_MAX: u64 = 500;

/// The plain numbers of a lane: reports carry a copy of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    pub turns: u64,
    /// The longest stretch between two looks at the sockets, in microseconds of CPU time.
    pub longest_turn_us: u64,
    /// The same by the wall clock, waiting for the core included.
    pub longest_turn_wall_us: u64,
    /// Turns that passed `TURN_US_MAX`.
    pub long_turns: u64,
    /// Batches that took so long that the rest of a pipeline waited for the next turn.
    pub batches_cut: u64,
    /// Parcels of other lanes that have taken their time, so that the rest of them waited.
    pub parcels_cut: u64,
    pub connections_received: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Receives that brought something, and sends that the kernel has ended.
    pub reads: u64,
    pub writes: u64,
    pub errors: u64,
    pub protocol_errors: u64,
    /// Commands refused before they ran: unknown, or with a wrong number of arguments.
    pub rejected_commands: u64,
    pub moved: u64,
    pub cross_slots: u64,
    pub parcels_received: u64,
    pub requests_received: u64,
    /// Connections closed because their output passed `client-output-buffer-limit`.
    pub output_limit_closed: u64,
    /// Connections closed because all together passed `maxmemory-clients`.
    pub clients_evicted: u64,
    /// Connections closed because an unauthenticated client passed its small bounds.
    pub unauthenticated_closed: u64,
    pub timeouts: u64,
    pub accept_errors: u64,
    /// Times that all receive buffers were in use.
    pub receive_buffers_exhausted: u64,
    /// Times that large input waited for a look at the process's memory.
    pub looks_awaited: u64,
    /// Connections handed to other lanes.
    pub handed_over: u64,
    /// EXECs that ran, and those that did not because a watched key was touched.
    pub transactions_executed: u64,
    pub transactions_touched: u64,
    /// Transactions that passed `transaction-commands-max` or `transaction-bytes-max`.
    pub transactions_too_long: u64,
    /// Connections closed because they spoke HTTP.
    pub web_requests: u64,
    /// When the log was last told of one, in Unix milliseconds.
    pub web_warned_ms: u64,
    /// Commands that ran aside, on a helper thread.
    pub commands_aside: u64,
    /// Of those, how many found the helpers' queue full and waited at their lane first.
    pub aside_waits: u64,
    /// Slices of transactions that were too long for one turn.
    pub transaction_slices: u64,
    /// How often a command of very many slots gave back what it had, since others were not free.
    pub slots_given_back: u64,
    /// Slices of commands of very many keys.
    pub long_slices: u64,
    /// Keyspace notices lost because their listeners' lanes had fallen behind.
    pub notices_dropped: u64,
    /// Keys that tracking forgot to keep to `tracking-table-max-keys`.
    pub tracking_evicted: u64,
    /// Lines of MONITOR lost for the same reason.
    pub monitor_lines_dropped: u64,
}

/// Everything one lane counts beside its store's own numbers. Its `Counters` are named directly.
pub struct LaneStats {
    /// By position in the command table.
    pub commands: Vec<CommandStats>,
    pub counters: Counters,
    pub error_codes: ErrorCodes,
    pub slowlog: SlowLog,
    pub events: LatencyEvents,
    pub rates: Rates,
}

impl std::ops::Deref for LaneStats {
    type Target = Counters;

    #[inline]
    fn deref(&self) -> &Counters {
        &self.counters
    }
}

impl std::ops::DerefMut for LaneStats {
    #[inline]
    fn deref_mut(&mut self) -> &mut Counters {
        &mut self.counters
    }
}

impl LaneStats {
    pub fn new() -> Self {
        Self {
            commands: vec![CommandStats::default(); table::ID_COUNT],
            counters: Counters::default(),
            error_codes: ErrorCodes::default(),
            slowlog: SlowLog::default(),
            events: LatencyEvents::default(),
            rates: Rates::default(),
        }
    }

    /// A command answered with an error: this reply, or text.
    #[cold]
    pub fn failed(&mut self, command: u16, reply: &[u8]) {
        self.commands[usize::from(command)].failed += 1;
        self.note_error(reply);
    }

    /// A command was refused before it ran; the error is noted by itself.
    #[cold]
    pub fn rejected(&mut self, command: u16) {
        self.commands[usize::from(command)].rejected += 1;
    }

    /// An error was answered: this reply, or text.
    #[cold]
    pub fn note_error(&mut self, reply: &[u8]) {
        self.errors += 1;
        self.error_codes.note(reply);
    }
}

impl Default for LaneStats {
    fn default() -> Self {
        Self::new()
    }
}

impl Core {
    /// A command of a connection of this lane has run for so many ticks.
    #[inline]
    pub fn observe(
        &mut self,
        id: ConnectionId,
        spec: &'static CommandSpec,
        ticks: u64,
        args: &[&[u8]],
    ) {
        if self.count(spec, ticks) {
            let command = self.slow(spec, ticks, args);
            self.log_slow(Some(id), command);
        }
    }

    /// The same of a command of very many arguments, of which these are the first.
    pub fn observe_long(
        &mut self,
        id: ConnectionId,
        spec: &'static CommandSpec,
        ticks: u64,
        (first, arguments): (&[&[u8]], usize),
    ) {
        if self.count(spec, ticks) {
            let command = self.slow(spec, ticks, first).of_many(arguments);
            self.log_slow(Some(id), command);
        }
    }

    /// A request of the lane `from` has run for so many ticks.
    #[inline]
    pub fn observe_request(&mut self, from: LaneId, request: &Request, ticks: u64, args: &[&[u8]]) {
        if self.count(request.spec, ticks) {
            self.tell_slow(from, request, ticks, args);
        }
    }

    /// Counts a command; whether it belongs into the slow log.
    #[inline]
    fn count(&mut self, spec: &'static CommandSpec, ticks: u64) -> bool {
        let stats = &mut self.stats.commands[usize::from(spec.id)];
        stats.calls += 1;
        stats.ticks += ticks;
        if self.live.latency_tracking {
            stats.latency.get_or_insert_default().record(ticks);
        }
        ticks >= self.watch_ticks && self.note_slow(spec, ticks)
    }

    /// A command was slow enough for the slow log, or to be an event: whether it is for the slow log.
    #[cold]
    fn note_slow(&mut self, spec: &'static CommandSpec, ticks: u64) -> bool {
        let fast = spec.flags.contains(Flags::FAST);
        let event = if fast { Event::FastCommand } else { Event::Command };
        self.note_event(event, ticks / self.ticks_per_us / 1000);
        ticks >= self.slow_ticks && !spec.flags.contains(Flags::SKIP_SLOWLOG)
    }

    /// Something took so many milliseconds: kept, if that is long.
    pub fn note_event(&mut self, event: Event, milliseconds: u64) {
        let threshold = self.live.latency_monitor_threshold_ms;
        if threshold.is_some_and(|threshold| milliseconds >= threshold) {
            self.stats.events.note(event, self.store.now().wall.seconds(), milliseconds);
        }
    }

    /// Keys that have expired and those that were evicted, ever.
    pub fn gone(&self) -> (u64, u64) {
        let stats = self.store.stats();
        (stats.expired, stats.evicted)
    }

    /// A slice of the store's upkeep has ended; before it, so many keys had gone.
    pub fn note_upkeep(&mut self, (expired, evicted): (u64, u64), took: Duration) {
        let (expired, evicted) = (self.gone().0 - expired, self.gone().1 - evicted);
        if expired.max(evicted) > 0 {
            let event = if evicted > expired { Event::EvictionCycle } else { Event::ExpireCycle };
            self.note_event(event, took.as_millis() as u64);
        }
    }

    #[cold]
    fn slow(&self, spec: &CommandSpec, ticks: u64, args: &[&[u8]]) -> SlowCommand {
        SlowCommand::new(spec, args, (self.store.now().wall, ticks / clock::ticks_per_us()))
    }

    /// The lane that has the connection knows whose command it was.
    #[cold]
    fn tell_slow(&mut self, from: LaneId, request: &Request, ticks: u64, args: &[&[u8]]) {
        let command = self.slow(request.spec, ticks, args);
        match request.return_to {
            ReturnTo::Place { connection, .. } if from != self.lane => {
                let command = Box::new(command);
                self.outbox.post(from, Mail::Slow { connection, command });
            }
            ReturnTo::Place { connection, .. } => self.log_slow(Some(connection), command),
            ReturnTo::Part { .. } | ReturnTo::Slice { .. } => self.log_slow(None, command),
        }
    }

    /// An entry for the slow log. Of a connection that has gone the address is 0.0.0.0:0.
    #[cold]
    pub fn log_slow(&mut self, id: Option<ConnectionId>, command: SlowCommand) {
        let limit = self.live.slowlog_max_len;
        let session = id.and_then(|id| self.connections.get(id)).map(|it| &it.session);
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let (peer, name) = session.map_or((nowhere, &b""[..]), |it| (it.peer, &it.name));
        self.stats.slowlog.push(command, peer, name, limit);
    }
}
