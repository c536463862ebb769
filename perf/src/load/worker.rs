//! One thread of the generator.

use std::{
    sync::{Arc, atomic::Ordering, mpsc::Sender},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::{
    event::{Timespec, epoll},
    fd::OwnedFd,
};

use super::{
    Limit, PATIENCE, Pace, Plan, Shared, Work,
    connection::{Connection, InFlight, READ_BYTES},
    source::Source,
    tally::{Expected, Tally},
};
use crate::{
    cluster::Owners,
    cpu::pin,
    keyspace::{Values, mix},
    zipf::Random,
};

const EVENTS_MAX: usize = 1024;
/// How long a thread that waits for answers sleeps before it looks at the clock and the stop flag.
const LOOK_UP: Duration = Duration::from_millis(20);
/// Closer than this to the next due operation an open loop does not sleep: epoll's timeout is
/// counted in milliseconds.
const SPIN_BEFORE: Duration = Duration::from_millis(3);

pub struct Worker {
    plan: Plan,
    owners: Arc<Owners>,
    thread: usize,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    source: Source,
    values: Values,
    random: Random,
    key: Vec<u8>,
    schedule: Schedule,
    tally: Tally,
}

/// What a thread may still send, and when.
struct Schedule {
    /// Operations left to issue, where they are counted.
    left: Option<u64>,
    /// Nanoseconds since the start: the window opens; nothing is issued any more.
    opens_ns: u64,
    closes_ns: Option<u64>,
    /// Open loop: when the next operation is due, and the mean gap between two.
    next_due_ns: f64,
    gap_ns: f64,
    poisson: bool,
    /// Where to look first for a connection with room.
    turn: usize,
    exhausted: bool,
}

impl Worker {
    /// Opens this thread's share of the connections, in turn over the endpoints.
    pub fn connect(plan: &Plan, owners: Arc<Owners>, thread: usize) -> Result<Self> {
        let threads = plan.threads();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll")?;
        let mut connections = Vec::new();
        for index in 0..share(plan.connections as u64, threads, thread) as usize {
            crate::signals::check()?;
            let endpoint = index % owners.endpoints.len();
            let address = owners.endpoints[endpoint];
            let connection = Connection::open(&plan.target, address, endpoint, PATIENCE)
                .with_context(|| format!("connection {} to {address}", index + 1))?;
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&epoll, connection.stream(), data, epoll::EventFlags::IN)
                .context("epoll")?;
            connections.push(connection);
        }
        let source = match plan.work {
            Work::Preload => {
                let keys = u128::from(plan.shape.keys);
                let at = |thread: usize| (keys * thread as u128 / threads as u128) as u64;
                Source::sequence(plan.shape, at(thread)..at(thread + 1), owners.endpoints.len())
            }
            Work::Mixed { popularity, .. } => {
                Source::drawn(plan.shape, popularity, owners.endpoints.len())
            }
        };
        Ok(Self {
            owners,
            thread,
            epoll,
            connections,
            source,
            values: Values::new(&plan.shape),
            random: Random::new(mix(plan.seed).wrapping_add(thread as u64)),
            key: Vec::new(),
            schedule: Schedule::new(plan, thread),
            tally: Tally::default(),
            plan: plan.clone(),
        })
    }

    /// Sends and receives until the plan is done, then drains. Hands its tally in every second.
    pub fn run(mut self, shared: &Shared, tallies: &Sender<Tally>) -> Result<()> {
        let pinned = match self.plan.cores.get(self.thread) {
            Some(&core) => pin(&[core]),
            None => Ok(()),
        };
        shared.start.wait();
        let result = pinned.and_then(|()| self.turns(shared, tallies));
        if result.is_err() {
            shared.stop.store(true, Ordering::Relaxed);
        }
        self.tally.hand_in(tallies);
        result
    }

    fn turns(&mut self, shared: &Shared, tallies: &Sender<Tally>) -> Result<()> {
        let start = Instant::now();
        let mut input = vec![0; READ_BYTES];
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
        let mut silent_since = start;
        if self.plan.pace == Pace::Closed {
            for index in 0..self.connections.len() {
                self.send_batch(index, start)?;
            }
        }
        loop {
            let now = start.elapsed();
            let now_ns = now.as_nanos() as u64;
            if shared.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.send_due(start)?;
            if self.is_done(now_ns) {
                return Ok(());
            }
            events.clear();
            let timeout = self.timeout(now_ns);
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&timeout),
            ) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("epoll"),
            }
            let answered: u64 = events
                .iter()
                .map(|event| self.serve(event.data.u64() as usize, event.flags, start, &mut input))
                .sum::<Result<u64>>()?;
            if answered > 0 {
                shared.completed[self.thread].0.fetch_add(answered, Ordering::Relaxed);
                silent_since = Instant::now();
            } else if self.is_waiting() && silent_since.elapsed() > PATIENCE {
                bail!("no answer for {} s", PATIENCE.as_secs());
            }
            self.tally.turn_over(
                start.elapsed().as_nanos() as u64,
                self.schedule.opens_ns,
                tallies,
            );
        }
    }

    /// One connection's event. Returns how many answers it brought.
    fn serve(
        &mut self,
        index: usize,
        flags: epoll::EventFlags,
        start: Instant,
        input: &mut [u8],
    ) -> Result<u64> {
        let Self { connections, plan, tally, values, schedule, .. } = self;
        let connection = &mut connections[index];
        let mut answered = 0;
        if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR)
        {
            let mut now_ns = None;
            connection.receive(plan.target.protocol, input, |request, answer| {
                let now_ns = *now_ns.get_or_insert_with(|| start.elapsed().as_nanos() as u64);
                let measured = request.since_ns >= schedule.opens_ns;
                let latency_ns = measured.then(|| now_ns.saturating_sub(request.since_ns));
                tally.count(request, answer, Expected { plan, values }, latency_ns);
                answered += 1;
            })?;
        }
        if flags.contains(epoll::EventFlags::OUT) && self.connections[index].flush()? {
            self.watch(index, epoll::EventFlags::IN)?;
        }
        if self.plan.pace == Pace::Closed && self.connections[index].in_flight.is_empty() {
            self.send_batch(index, start)?;
        }
        Ok(answered)
    }

    fn watch(&self, index: usize, flags: epoll::EventFlags) -> Result<()> {
        let data = epoll::EventData::new_u64(index as u64);
        epoll::modify(&self.epoll, self.connections[index].stream(), data, flags).context("epoll")
    }

    /// Closed loop: a batch of `depth` requests on one connection.
    fn send_batch(&mut self, index: usize, start: Instant) -> Result<()> {
        let now_ns = start.elapsed().as_nanos() as u64;
        for _ in 0..self.plan.depth {
            if !self.schedule.may_issue(now_ns) || !self.push_request(index, now_ns) {
                break;
            }
        }
        self.flush(index)
    }

    /// Open loop: every operation that is due, on the next connections that have room.
    fn send_due(&mut self, start: Instant) -> Result<()> {
        if self.plan.pace == Pace::Closed {
            return Ok(());
        }
        let now_ns = start.elapsed().as_nanos() as u64;
        let count = self.connections.len();
        let mut touched = Vec::new();
        while self.schedule.next_due_ns <= now_ns as f64 {
            let due_ns = self.schedule.next_due_ns as u64;
            if !self.schedule.may_issue(due_ns) {
                break;
            }
            let first = self.schedule.turn;
            let room = (0..count)
                .map(|step| (first + step) % count)
                .find(|&index| self.connections[index].in_flight.len() < self.plan.depth);
            // All connections are full: what is due waits, and its latency keeps counting.
            let Some(index) = room else {
                self.schedule.unissue();
                break;
            };
            self.schedule.turn = (index + 1) % count;
            if !self.push_request(index, due_ns) {
                break;
            }
            self.schedule.advance(&mut self.random);
            if !touched.contains(&index) {
                touched.push(index);
            }
        }
        touched.into_iter().try_for_each(|index| self.flush(index))
    }

    fn flush(&mut self, index: usize) -> Result<()> {
        if !self.connections[index].flush()? {
            self.watch(index, epoll::EventFlags::IN | epoll::EventFlags::OUT)?;
        }
        Ok(())
    }

    /// Appends the next request to a connection. False: there is none for its endpoint any more.
    #[inline]
    fn push_request(&mut self, index: usize, since_ns: u64) -> bool {
        let Self { plan, connections, source, owners, random, key, values, .. } = self;
        let connection = &mut connections[index];
        let Some(number) = source.next(connection.endpoint, owners, random, key) else {
            return false;
        };
        let is_read = match plan.work {
            Work::Preload => false,
            Work::Mixed { read_share, .. } => random.unit() < read_share,
        };
        if is_read {
            plan.target.protocol.push_get(key, &mut connection.out);
        } else {
            let size = plan.shape.value_size(number);
            let push_value = |out: &mut Vec<u8>| values.push(number, size, out);
            plan.target.protocol.push_set(
                key,
                ttl_ms(plan, number),
                size,
                push_value,
                &mut connection.out,
            );
        }
        connection.in_flight.push_back(InFlight { number, is_read, since_ns });
        true
    }

    fn is_waiting(&self) -> bool {
        self.connections.iter().any(|connection| !connection.in_flight.is_empty())
    }

    fn is_done(&self, now_ns: u64) -> bool {
        let over = match self.plan.work {
            // Closed loop: a connection without anything in flight found nothing more to send.
            Work::Preload => true,
            Work::Mixed { .. } => {
                self.schedule.exhausted
                    || self.schedule.closes_ns.is_some_and(|closes| now_ns >= closes)
            }
        };
        over && !self.is_waiting()
    }

    fn timeout(&self, now_ns: u64) -> Timespec {
        let wait = match self.plan.pace {
            Pace::Closed => LOOK_UP,
            Pace::Open { .. } => {
                let ahead =
                    Duration::from_nanos((self.schedule.next_due_ns as u64).saturating_sub(now_ns));
                ahead.saturating_sub(SPIN_BEFORE).min(LOOK_UP)
            }
        };
        // Whole milliseconds, rounded down: waking early is harmless, late is not.
        Timespec { tv_sec: 0, tv_nsec: (wait.as_millis() as i64) * 1_000_000 }
    }
}

/// The lifetime of a key's value, a function of its number.
fn ttl_ms(plan: &Plan, number: u64) -> u64 {
    let super::Lifetimes { min_ms, max_ms } = plan.lifetimes;
    if min_ms == max_ms { min_ms } else { min_ms + mix(!number) % (max_ms - min_ms + 1) }
}

/// This thread's part of a whole number.
fn share(whole: u64, threads: usize, thread: usize) -> u64 {
    let (threads, thread) = (threads as u64, thread as u64);
    whole / threads + u64::from(thread < whole % threads)
}

impl Schedule {
    fn new(plan: &Plan, thread: usize) -> Self {
        let threads = plan.threads();
        let (left, opens_s, length_s) = match plan.work {
            Work::Preload => (None, 0.0, None),
            Work::Mixed { limit: Limit::Operations(operations), warm_up_seconds, .. } => {
                (Some(share(operations, threads, thread)), warm_up_seconds, None)
            }
            Work::Mixed { limit: Limit::Seconds(seconds), warm_up_seconds, .. } => {
                (None, warm_up_seconds, Some(seconds))
            }
        };
        let (gap_ns, poisson) = match plan.pace {
            Pace::Closed => (0.0, false),
            Pace::Open { per_second, poisson } => (1e9 * threads as f64 / per_second, poisson),
        };
        Self {
            left,
            opens_ns: (opens_s * 1e9) as u64,
            closes_ns: length_s.map(|length| ((opens_s + length) * 1e9) as u64),
            // Threads take turns within one gap.
            next_due_ns: gap_ns * thread as f64 / threads as f64,
            gap_ns,
            poisson,
            turn: 0,
            exhausted: false,
        }
    }

    /// Takes one operation that would be sent (or be due) at this time.
    #[inline]
    fn may_issue(&mut self, at_ns: u64) -> bool {
        if self.closes_ns.is_some_and(|closes| at_ns >= closes) {
            self.exhausted = true;
        }
        // Only what follows the warm-up is counted.
        if let Some(left) = &mut self.left
            && at_ns >= self.opens_ns
        {
            self.exhausted |= *left == 0;
            *left = left.saturating_sub(1);
        }
        !self.exhausted
    }

    /// Gives back what `may_issue` took, when no connection had room.
    fn unissue(&mut self) {
        if let Some(left) = &mut self.left {
            *left += 1;
        }
    }

    fn advance(&mut self, random: &mut Random) {
        let scale = if self.poisson { -(1.0 - random.unit()).ln() } else { 1.0 };
        self.next_due_ns += self.gap_ns * scale;
    }
}
