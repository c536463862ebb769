//! The threads that run commands aside: what they are sent, what they send back. A helper owns a
//! scratch store that holds the keys of one command and nothing else. Touches no lane, no connection;
//! a lane lends it values and gets them back whole.

use std::sync::Arc;

use ringlane_base::{LaneId, Now, SLOT_COUNT};
use ringlane_command::{Args, CommandError, HandlerLimits, Lookups};
use ringlane_script::{Tape, call_aside};
use ringlane_store::{
    Budget, Exported, Notice, NoticeClasses, Options, OwnedEffect, PackLimits, Recorder, Store,
};

use crate::blocked::{Attempt, Waited, run_waiting};
use crate::clock;
use crate::parcel::{Named, Parcel, Request};
use crate::reply_buffer::{PIECE_BYTES, ReplyBuffer};
use crate::run::{Manner, Ran, Slices, run_here, run_looking_up};
use crate::shared::Shared;

/// Helpers of a server: as many as there are lanes, but not more. One very long command leaves the
/// others to the rest of them.
const HELPERS_MAX: usize = 4;
/// Commands of all lanes that may wait for a helper; more wait at their lanes.
pub const ORDERS_MAX: usize = 64;
/// How far helpers step back for the lanes when they share a core (`nice(2)`): at 10 the scheduler
/// gives them a tenth of what a busy lane has.
const NICENESS: i32 = 10;
/// Units of upkeep between two commands; the garbage of the one before goes then.
const UPKEEP_UNITS: u32 = 4096;

/// Whose command it is, at its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Of slots of that lane alone.
    Aside(u32),
    /// Of several lanes.
    Together(u32),
}

/// What the lane's store is like.
#[derive(Clone, Copy)]
pub struct Surroundings {
    pub now: Now,
    pub limits: HandlerLimits,
    pub pack_limits: PackLimits,
    pub notices: NoticeClasses,
    /// Somebody wants to hear of every change.
    pub listens: bool,
}

/// A command to run.
pub struct Order {
    pub lane: LaneId,
    pub whose: Whose,
    pub commands: Box<Parcel>,
    /// Which of the commands.
    pub position: usize,
    /// It is one that waits when there is nothing to take; but there is.
    pub may_wait: bool,
    /// A script has called it and waits for its answer.
    pub called: bool,
    /// Of one that names keys by patterns.
    pub lookups: Option<Box<Lookups>>,
    /// A helper has had it before.
    pub again: bool,
    pub surroundings: Surroundings,
    /// The values of its keys, as far as there are.
    pub entries: Vec<(Named, Exported)>,
    /// It may change them: these keys are sent back as they are then.
    pub lent: Vec<Named>,
    pub done: flume::Sender<Done>,
}

/// What came of it.
pub struct Done {
    pub whose: Whose,
    pub commands: Box<Parcel>,
    pub failed: bool,
    pub reply: ReplyBuffer,
    /// The answer instead, if a script waits for it.
    pub called: Option<Result<Tape, CommandError>>,
    /// No answer yet: it is to know what these keys hold, and runs again then.
    pub lookups: Option<Box<Lookups>>,
    /// What the keys hold now.
    pub back: Vec<(Named, Option<Exported>)>,
    /// What changed, if somebody listens.
    pub effects: Vec<OwnedEffect>,
    pub notices: Vec<Notice>,
    /// Ticks that it took.
    pub ticks: u64,
}

enum Job {
    Run(Box<Order>),
    /// To be freed, which takes a while.
    Free(Vec<OwnedEffect>),
}

/// The helpers' own end: they end when the last lane has gone.
#[derive(Clone)]
pub struct AsideHelpers(flume::Sender<Job>);

impl AsideHelpers {
    /// Starts the helper threads.
    ///
    /// # Errors
    /// The system gives no further thread.
    pub fn start(shared: &Arc<Shared>, databases: u8) -> std::io::Result<Self> {
        let (sender, jobs) = flume::bounded::<Job>(ORDERS_MAX);
        for number in 0..shared.lanes().min(HELPERS_MAX) {
            let (shared, jobs) = (Arc::clone(shared), jobs.clone());
            let builder = std::thread::Builder::new().name(format!("aside-{number}"));
            builder.spawn(move || work(&shared, databases, &jobs))?;
        }
        Ok(Self(sender))
    }

    /// Hands an order over, or back if too many wait.
    pub fn send(&self, order: Box<Order>) -> Result<(), Box<Order>> {
        self.0.try_send(Job::Run(order)).map_err(|error| match error.into_inner() {
            Job::Run(order) => order,
            Job::Free(_) => unreachable!("an order was sent"),
        })
    }

    /// Has something freed; by the caller if too much waits.
    pub fn free(&self, effects: Vec<OwnedEffect>) {
        drop(self.0.try_send(Job::Free(effects)));
    }
}

/// The life of a helper.
fn work(shared: &Shared, databases: u8, jobs: &flume::Receiver<Job>) {
    // SAFETY: takes integers only; on Linux it concerns the calling thread. One that may not step
    // back serves as well.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
    let mut scratch = Store::new(Options {
        hash_seed: shared.hash_seed,
        random_seed: fastrand::u64(..),
        databases,
        slots: 0..SLOT_COUNT as u16,
    });
    scratch.set_excerpt(true);
    for job in jobs {
        let order = match job {
            Job::Run(order) => order,
            Job::Free(effects) => {
                drop(effects);
                continue;
            }
        };
        let (lane, done) = (order.lane, order.done.clone());
        // A lane that has ended needs no answer.
        let _ = done.send(run(&mut scratch, *order));
        shared.ring_doorbell(lane);
        scratch.flush(None);
        while scratch.work(Budget { units: UPKEEP_UNITS }).more {}
    }
}

fn run(scratch: &mut Store, order: Order) -> Done {
    let Order { whose, commands, position, surroundings, entries, lent, .. } = order;
    let how = How { may_wait: order.may_wait, called: order.called, lookups: order.lookups };
    let begun = clock::ticks();
    scratch.set_pack_limits(surroundings.pack_limits);
    scratch.begin_turn(surroundings.now);
    let mut shared: Vec<Named> = Vec::new();
    for (named, entry) in entries {
        let key = scratch.key(named.0, &named.1);
        scratch.import(&key, &entry).expect("the scratch store has no limit");
        if lent.is_empty() {
            shared.push(named);
        }
    }
    let recorder = surroundings.listens.then(|| Recorder::attach(scratch));
    scratch.set_notice_mask(surroundings.notices);
    let request = &commands.requests[position];
    let mut slices = Slices::new();
    commands.slices(request, &mut slices);
    let args = Args::new(&slices, &commands.blobs);
    let manner = request.manner(surroundings.limits.unbounded());
    let mut reply = ReplyBuffer::default();
    let outcome = run_command(scratch, request, (args, manner), how, &mut reply);
    drop(slices);
    let Outcome { failed, called, lookups } = outcome;
    if !failed {
        reply.cut_into_pieces(PIECE_BYTES);
    }
    scratch.set_effect_sink(None);
    scratch.set_notice_mask(NoticeClasses::empty());
    let mut take = |named: &Named| {
        let key = scratch.key(named.0, &named.1);
        scratch.lend(&key)
    };
    let back = lent.into_iter().map(|named| {
        let state = take(&named);
        (named, state)
    });
    let back = back.collect();
    // A change to a value that is shared would copy it first: nobody shares it once the lane knows.
    for named in &shared {
        drop(take(named));
    }
    Done {
        whose,
        failed,
        reply,
        called,
        lookups,
        back,
        effects: recorder.map_or(Vec::new(), |recorder| recorder.take()),
        notices: scratch.take_notices(),
        ticks: clock::ticks().wrapping_sub(begun),
        commands,
    }
}

/// How a command is to be run.
struct How {
    may_wait: bool,
    called: bool,
    lookups: Option<Box<Lookups>>,
}

/// What came of it; see `Done`.
#[derive(Default)]
struct Outcome {
    failed: bool,
    called: Option<Result<Tape, CommandError>>,
    lookups: Option<Box<Lookups>>,
}

fn run_command(
    scratch: &mut Store,
    request: &Request,
    (args, manner): (Args<'_>, Manner),
    how: How,
    reply: &mut ReplyBuffer,
) -> Outcome {
    let How { may_wait, called, mut lookups } = how;
    let ran = if called {
        let within = (manner.database, manner.limits);
        let answer = call_aside(scratch, request.spec, args, within, lookups.as_deref_mut());
        if matches!(answer, Err(CommandError::LooksUp)) {
            return Outcome { lookups, ..Outcome::default() };
        }
        return Outcome { failed: answer.is_err(), called: Some(answer), lookups: None };
    } else if let Some(looks_up) = &mut lookups {
        let ran = run_looking_up(scratch, request.spec, args, manner, looks_up, reply);
        let Some(ran) = ran else { return Outcome { lookups, ..Outcome::default() } };
        ran
    } else if may_wait {
        let manner = (manner, Attempt::Last);
        match run_waiting(scratch, request, args, manner, reply) {
            Waited::Answered if reply.bytes.first() == Some(&b'-') => Ran::Failed,
            Waited::Answered => Ran::Fine,
            Waited::Waits(_) | Waited::Aside => unreachable!("its last attempt is answered"),
        }
    } else {
        run_here(scratch, request.spec, args, request.routed, manner, None, reply)
    };
    let failed = match ran {
        Ran::Fine => false,
        Ran::Failed => true,
        Ran::Aside => unreachable!("nothing bounds it here"),
    };
    Outcome { failed, ..Outcome::default() }
}
