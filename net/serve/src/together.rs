//! Commands whose keys live on several lanes, alone or in a transaction: the slots are locked in
//! ascending order, the entries travel here (lent, where they may be changed), the commands run on a
//! scratch store that holds nothing else, and what has become of the entries travels back whole with
//! the release. A command that would hold the lane for too long goes to the helpers with its values.
//! Commands on whole databases among them run on the lanes themselves, all of whose slots are locked
//! then. Strictly serializable; no deadlock, since the order is total.

mod desk;
mod lookups;
mod shares;

use std::collections::{HashSet, VecDeque};
use std::ops::Range;

use ringlane_base::{LaneId, Slot};
use ringlane_command::{Args, Flags, Merge, Run, Wait};
use ringlane_script::PausedScript;
use ringlane_store::{Exported, OwnedEffect, Store};

use crate::aside::give_back_all;
use crate::blocked::Number;
use crate::clock;
use crate::core::Core;
use crate::execute::Call;
use crate::gather::Recipient;
use crate::locks::{WIDE_SLOTS_MIN, Waiter};
use crate::parcel::{
    Attempted, Grant, Holder, LockRequest, Mail, Named, Parcel, Release, Request, ReturnTo,
    Returned, Waits, Wanted,
};
use crate::pubsub::Note;
use crate::reply_buffer::{ReplyBuffer, Stretch};
use crate::ring::ConnectionId;
use crate::run::{Manner, Ran, Slices, run_here};
use crate::script_aside::RunningFunction;
use crate::taking::{Answer, Ask, Next, Taking};
use crate::under_way::UnderWay;
use crate::watch::WatchId;

use self::desk::{Desk, Segment};
pub use self::lookups::LookUp;
use self::lookups::Widened;
pub use self::shares::Heavy;

/// The slots of one lane.
struct Group {
    lane: LaneId,
    slots: Vec<Slot>,
    /// Whose entries travel as soon as the slots are locked.
    keys: Vec<Wanted>,
}

/// One command or transaction under way. Its commands are answered in order.
#[allow(clippy::struct_excessive_bools, reason = "independent facts about it")]
pub struct Together {
    pub connection: ConnectionId,
    pub sequence: u32,
    pub commands: Box<Parcel>,
    /// A transaction: the answer is an array.
    pub is_transaction: bool,
    /// The client does not want the answer.
    pub muted: bool,
    /// There are commands about the connection or the server.
    pub serves: bool,
    pub watch: Option<WatchId>,
    /// A key that the client watches was touched: nothing runs.
    pub touched: bool,
    /// It concerns its lane only.
    lane_alone: bool,
    /// What it locks for keys that its patterns name, once that is known.
    widened: Option<Box<Widened>>,
    /// Ascending by lane, so by slot. Empty if it runs on another lane as a whole.
    groups: Vec<Group>,
    /// Which of the groups are locked.
    taking: Taking,
    /// Whose entries are to be fetched, lane after lane, once all slots are locked.
    to_fetch: VecDeque<(LaneId, Vec<Wanted>)>,
    /// Of the commands that run next, once they are all there.
    entries: Vec<(Named, Exported)>,
    fetched: bool,
    /// The command that runs next, or the segment that is running.
    next: usize,
    /// What the segment runs on, and the command of it that is next.
    desk: Option<Desk>,
    /// Some lane wants to hear of every change.
    listens: bool,
    /// What has been changed and not been given back yet.
    values: Vec<Returned>,
    effects: Vec<OwnedEffect>,
    pub replies: ReplyBuffer,
    /// Of those commands that are on data, in order.
    pub stretches: Vec<Stretch>,
    /// A command that may wait, and has waited, by this number.
    pub number: Option<Number>,
    /// Its time is over: it answers what it answers then.
    pub expired: bool,
    /// See `Wait::needs_keys`, of its attempt before.
    pub needs_keys: bool,
    /// It has waited, and at a lane an older one is to try first.
    behind: bool,
    /// What it waits for, once it has found nothing to take.
    pub wait: Option<Box<Wait>>,
    /// It is of very many keys.
    pub heavy: Option<Box<Heavy>>,
}

impl Together {
    pub fn new(connection: ConnectionId, sequence: u32, commands: Box<Parcel>) -> Self {
        Self {
            connection,
            sequence,
            commands,
            is_transaction: false,
            muted: false,
            serves: false,
            watch: None,
            touched: false,
            lane_alone: false,
            widened: None,
            groups: Vec::new(),
            taking: Taking::new(0, false),
            to_fetch: VecDeque::new(),
            entries: Vec::new(),
            fetched: false,
            next: 0,
            desk: None,
            listens: false,
            values: Vec::new(),
            effects: Vec::new(),
            replies: ReplyBuffer::default(),
            stretches: Vec::new(),
            number: None,
            expired: false,
            needs_keys: false,
            behind: false,
            wait: None,
            heavy: None,
        }
    }

    /// Whether it leaves what has changed to an older one. It is told when that one has tried.
    fn steps_back(&self) -> bool {
        self.behind && !self.expired
    }

    /// Whether it is a command that may wait.
    pub fn may_wait(&self) -> bool {
        let spec = self.commands.requests[0].spec;
        !self.is_transaction && spec.flags.contains(Flags::BLOCKING)
    }

    fn is_on_databases(&self, position: usize) -> bool {
        let spec = self.commands.requests[position].spec;
        matches!(spec.run, Run::Store(_)) && spec.is_on_databases()
    }

    /// The next commands that are on keys, up to one on whole databases.
    fn segment(&self) -> Range<usize> {
        if self.heavy.is_some() {
            return self.next..self.next + 1; // Those around it are shared out.
        }
        let mut rest = self.next..self.commands.requests.len();
        let end = rest.find(|&position| self.is_on_databases(position));
        self.next..end.unwrap_or(self.commands.requests.len())
    }

    /// The groups are known: their slots are to be locked.
    fn begin_taking(&mut self) {
        let slots: usize = self.groups.iter().map(|group| group.slots.len()).sum();
        self.taking = Taking::new(self.groups.len(), slots >= WIDE_SLOTS_MIN);
        if self.taking.tries() {
            // What is given back must not have travelled.
            for group in &mut self.groups {
                group.keys.clear();
            }
            self.fetched = false;
        }
    }

    /// What to ask the lane of a group for.
    fn lock_request(&mut self, index: u32, group: usize, ask: Ask) -> (LaneId, LockRequest) {
        let Self { watch, number: waiter, .. } = *self;
        let Group { lane, slots, keys } = &mut self.groups[group];
        let (slots, keys) = (slots.clone(), std::mem::take(keys));
        let holder = Holder::Together(index);
        (*lane, LockRequest { holder, ask, slots, keys, watch, waiter })
    }

    /// The keys of some of its commands with their slots, ascending, each once.
    pub fn keys(&self, positions: Range<usize>, databases: u8) -> Vec<(Slot, Named)> {
        let wanted = self.wanted(positions, databases).into_iter();
        wanted.map(|(slot, key)| (slot, key.named)).collect()
    }

    /// The same, and whether they may be changed.
    fn wanted(&self, positions: Range<usize>, databases: u8) -> Vec<(Slot, Wanted)> {
        let mut keys: Vec<(Slot, Named, bool)> = Vec::new();
        for request in &self.commands.requests[positions] {
            let writes = request.spec.may_change_keys();
            self.commands.visit_keys(request, databases, &mut |database, key| {
                keys.push((Slot::of(key), (database, key.into()), writes));
            });
        }
        keys.sort_unstable();
        keys.dedup_by(|again, key| {
            let same = (again.0, &again.1) == (key.0, &key.1);
            key.2 |= same && again.2;
            same
        });
        let wanted = |(slot, named, lend)| (slot, Wanted { named, lend });
        keys.into_iter().map(wanted).collect()
    }
}

/// What is under way at this lane's initiative.
#[derive(Default)]
pub struct Togethers {
    pub under_way: UnderWay<Together>,
    /// Whose next slice is due.
    due: VecDeque<u32>,
    /// Empty, for the next.
    scratch: Option<Box<Store>>,
}

impl Togethers {
    pub fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.under_way.len()
    }

    /// The scripts that are paused.
    pub fn scripts(&mut self) -> impl Iterator<Item = &mut PausedScript> {
        self.under_way.iter_mut().filter_map(|it| it.desk.as_mut()?.script())
    }

    /// The functions among them.
    pub fn functions(&self, ticks_per_us: u64) -> impl Iterator<Item = RunningFunction> {
        self.under_way
            .iter()
            .filter_map(move |it| it.desk.as_ref()?.function(&it.commands, ticks_per_us))
    }
}

/// The slot that an effect of a command over keys lies in.
fn slot_of(effect: &OwnedEffect) -> Slot {
    match effect {
        OwnedEffect::Set { key, .. }
        | OwnedEffect::Edit { key, .. }
        | OwnedEffect::Expire { key, .. }
        | OwnedEffect::Remove { key, .. } => key.slot,
        OwnedEffect::Flush { .. } | OwnedEffect::Swap { .. } => {
            unreachable!("a command over keys changes keys")
        }
    }
}

impl Core {
    /// Starts a single command whose keys live on several lanes, or that changes whole databases.
    pub fn begin_together(&mut self, call: &Call<'_>, manner: Manner, lane_alone: bool) {
        let id = call.connection;
        let connection = self.connections.get(id).expect("looked up by the caller");
        connection.barrier = true;
        let sequence = connection.reserve_place();
        let return_to = ReturnTo::Place { connection: id, sequence };
        let request = Request::new(return_to, call.spec, None, manner);
        let commands = Parcel::of_one(request, call.args);
        self.lock_and_run(Together::new(id, sequence, commands), &[], lane_alone);
    }

    /// Locks the slots of all keys of the commands, and these; then runs the commands. With
    /// `lane_alone`, commands on whole databases concern this lane only.
    pub fn lock_and_run(&mut self, mut together: Together, watched: &[Slot], lane_alone: bool) {
        together.lane_alone = lane_alone;
        let mut all = 0..together.commands.requests.len();
        let on_databases = match &together.heavy {
            Some(heavy) => heavy.on_databases,
            None => all.any(|position| together.is_on_databases(position)),
        };
        if on_databases {
            self.group_all(&mut together);
            if let Some(heavy) = &mut together.heavy {
                heavy.end_survey();
            }
        } else if together.heavy.is_none() {
            self.make_groups(&mut together, watched);
        }
        together.begin_taking();
        let index = self.togethers.under_way.insert(together);
        self.go_on(index);
    }

    /// Makes groups of all slots of the lanes that it concerns.
    fn group_all(&self, together: &mut Together) {
        for lane in self.lanes_concerned(together.lane_alone).map(LaneId) {
            let slots = self.shared.slots_of(lane).map(|slot| Slot::new(slot).expect("is one"));
            together.groups.push(Group { lane, slots: slots.collect(), keys: Vec::new() });
        }
    }

    /// Makes the groups out of keys in ascending order of their slots.
    fn group(&self, together: &mut Together, keys: Vec<(Slot, Option<Wanted>)>) {
        let groups = &mut together.groups;
        for (slot, key) in keys {
            let lane = self.shared.lane_of(slot);
            if groups.last().is_none_or(|last| last.lane != lane) {
                groups.push(Group { lane, slots: Vec::new(), keys: Vec::new() });
            }
            let group = groups.last_mut().expect("just pushed");
            if group.slots.last() != Some(&slot) {
                group.slots.push(slot);
            }
            group.keys.extend(key);
        }
    }

    /// Does what comes next, as far as nobody must be waited for.
    fn go_on(&mut self, index: u32) {
        loop {
            let together = self.togethers.under_way.get(index);
            if let Next::Ask(group, ask) = together.taking.next()
                && !together.touched
            {
                let (lane, request) = together.lock_request(index, group, ask);
                if lane == self.lane {
                    // Ends in `take_grant`, at once or when the slots have become free.
                    return self.take_lock_request(lane, Box::new(request), 0);
                }
                return self.outbox.post(lane, Mail::Lock(Box::new(request)));
            }
            if let Some((lane, keys)) = together.to_fetch.pop_front() {
                if lane != self.lane {
                    let request = LockRequest::of_entries(Holder::Together(index), keys);
                    return self.outbox.post(lane, Mail::Lock(Box::new(request)));
                }
                let entries = self.export(keys);
                let listens = self.store.has_sink();
                let together = self.togethers.under_way.get(index);
                together.entries.extend(entries);
                together.listens |= listens;
                continue;
            }
            let mut together = self.togethers.under_way.take(index);
            match self.step(index, &mut together) {
                Progress::On => self.togethers.under_way.put(index, together),
                Progress::Waits => return self.togethers.under_way.put(index, together),
                Progress::Ended => {
                    self.togethers.under_way.end(index);
                    if let Some(number) = together.number {
                        self.leader_served(number);
                    }
                    return self.answer_together(together);
                }
                Progress::Blocked => {
                    self.togethers.under_way.end(index);
                    return self.lead(together);
                }
            }
        }
    }

    /// The next commands, which have their slots.
    fn step(&mut self, index: u32, together: &mut Together) -> Progress {
        if together.touched {
            self.give_up(together);
            return Progress::Ended;
        }
        if let Some(number) = together.number.filter(|_| together.steps_back()) {
            together.wait = Some(self.wait_as_before(number, together.needs_keys));
            self.put_back(together);
            return Progress::Blocked;
        }
        if let Some(progress) = self.step_shares(index, together) {
            return progress;
        }
        if together.next == together.commands.requests.len() {
            self.release(together);
            return Progress::Ended;
        }
        if together.is_on_databases(together.next) {
            return self.run_on_databases(index, together);
        }
        let segment = together.segment();
        if !together.fetched {
            together.fetched = true;
            for (slot, key) in together.wanted(segment, self.live.databases) {
                let lane = self.shared.lane_of(slot);
                match together.to_fetch.back_mut() {
                    Some((last, keys)) if *last == lane => keys.push(key),
                    Some(_) | None => together.to_fetch.push_back((lane, vec![key])),
                }
            }
            return Progress::On;
        }
        match self.run_on_scratch(index, together) {
            Segment::Waits => return Progress::Waits,
            Segment::Elsewhere => {
                self.widen(together);
                return Progress::On;
            }
            Segment::Ended => {}
        }
        together.fetched = false;
        if together.heavy.is_some() {
            // What is shared out is remembered where it runs.
            self.remember_together(together, segment.clone());
        }
        together.next = segment.end;
        if together.wait.is_some() {
            return Progress::Blocked;
        }
        if together.next == together.commands.requests.len() {
            self.release(together);
            return Progress::Ended;
        }
        let writer = together.commands.writer(self.lane);
        let changes = self.by_group(together);
        for (group, (values, effects)) in together.groups.iter().zip(changes) {
            let release = Release { values, effects, writer, ..Release::default() };
            self.post_release(group.lane, release);
        }
        Progress::On
    }

    /// A key that the client watches was touched: what is locked becomes free, unchanged, and lanes
    /// that were not asked yet forget what they watch.
    fn give_up(&mut self, together: &mut Together) {
        let rest = together.groups.split_off(together.taking.taken().end);
        self.put_back(together);
        self.release(together);
        let Some(watch) = together.watch else { return };
        for group in rest {
            self.post_unwatch(group.lane, watch);
        }
    }

    /// The client's marks end that have only been looked at so far.
    fn end_watch(&mut self, together: &Together) {
        let Some(watch) = together.watch.filter(|_| together.taking.tries()) else { return };
        for group in &together.groups {
            self.post_unwatch(group.lane, watch);
        }
    }

    /// Nothing runs: what was lent goes back as it came.
    fn put_back(&self, together: &mut Together) {
        if together.entries.is_empty() {
            return;
        }
        let all = 0..together.commands.requests.len();
        let lent = together.wanted(all, self.live.databases).into_iter();
        let lent: HashSet<Named> =
            lent.filter(|(_, key)| key.lend).map(|(_, key)| key.named).collect();
        let entries = together.entries.drain(..).filter(|(named, _)| lent.contains(named));
        together.values = entries.map(|(named, entry)| (named, Some(entry))).collect();
    }

    /// Values and effects sorted by the lanes that they are for.
    fn by_group(&self, together: &mut Together) -> Vec<(Vec<Returned>, Vec<OwnedEffect>)> {
        let values = std::mem::take(&mut together.values);
        let effects = std::mem::take(&mut together.effects);
        let group_of = |slot| {
            let lane = self.shared.lane_of(slot);
            let group = together.groups.iter().position(|group| group.lane == lane);
            group.expect("a command changes only its own keys")
        };
        let mut by_group: Vec<(Vec<Returned>, Vec<OwnedEffect>)> =
            together.groups.iter().map(|_| Default::default()).collect();
        for value in values {
            by_group[group_of(Slot::of(&value.0.1))].0.push(value);
        }
        for effect in effects {
            by_group[group_of(slot_of(&effect))].1.push(effect);
        }
        by_group
    }

    /// Frees all slots, with the last changes.
    fn release(&mut self, together: &mut Together) {
        let changes = self.by_group(together);
        let writer = together.commands.writer(self.lane);
        if together.heavy.is_none() {
            self.remember_together(together, 0..together.next);
        }
        self.end_watch(together);
        let groups = std::mem::take(&mut together.groups);
        for (group, (values, effects)) in groups.into_iter().zip(changes) {
            let attempted = together.number.map(Attempted::Ended);
            let release = Release { slots: group.slots, values, effects, writer, attempted };
            self.post_release(group.lane, release);
        }
    }

    /// Frees all slots; each lane is to tell when one of these keys changes.
    pub fn release_to_wait(
        &mut self,
        together: &mut Together,
        (number, needs_keys): (Number, bool),
        keys: &[(Slot, Named)],
    ) {
        let leader = self.lane;
        let changes = self.by_group(together);
        let writer = together.commands.writer(self.lane);
        let groups = std::mem::take(&mut together.groups);
        for (group, (values, effects)) in groups.into_iter().zip(changes) {
            let here = keys.iter().filter(|(slot, _)| self.shared.lane_of(*slot) == group.lane);
            let keys = here.map(|(_, key)| key.clone()).collect();
            let waits = Waits { leader, number, needs_keys, keys };
            let attempted = Some(if together.steps_back() {
                Attempted::SteppedBack(waits)
            } else {
                Attempted::FoundNothing(waits)
            });
            let release = Release { slots: group.slots, values, effects, writer, attempted };
            self.post_release(group.lane, release);
        }
    }

    /// Sends a lane what has become of its keys, and the slots that are free.
    pub fn post_release(&mut self, lane: LaneId, release: Release) {
        if lane == self.lane {
            self.take_release(release);
        } else if !release.slots.is_empty() || !release.values.is_empty() {
            self.outbox.post(lane, Mail::Release(Box::new(release)));
        }
    }

    /// A lane wants slots of this one, from `next` on.
    pub fn take_lock_request(&mut self, from: LaneId, request: Box<LockRequest>, next: usize) {
        let taken = match request.ask {
            Ask::Try if self.locks.try_acquire(&request.slots) => Some(request),
            Ask::Try => {
                let grant = Grant::of_nothing(request.holder, Answer::NotFree);
                return self.post_grant(from, grant);
            }
            Ask::Wait | Ask::Look => self.locks.acquire(from, request, next),
        };
        if let Some(request) = taken {
            self.grant(from, *request);
        }
    }

    /// A command has the slots that it wants, or has seen that it could have them.
    fn grant(&mut self, from: LaneId, request: LockRequest) {
        let LockRequest { holder, ask, slots, keys, watch, waiter } = request;
        if ask == Ask::Look {
            return self.post_grant(from, Grant::of_nothing(holder, Answer::Free));
        }
        if let Holder::Together(_) = holder {
            for slot in &slots {
                self.store.pin(*slot);
            }
        }
        let touched = watch.is_some_and(|watch| match ask {
            Ask::Try => self.is_watch_touched(watch),
            Ask::Wait | Ask::Look => self.unwatch(watch),
        });
        let entries = if touched { Vec::new() } else { self.export(keys) };
        let behind = waiter.is_some_and(|waiter| self.blocked.is_behind(waiter));
        let listens = self.store.has_sink();
        let answer = Answer::Taken;
        self.post_grant(from, Grant { holder, answer, entries, touched, behind, listens });
    }

    fn post_grant(&mut self, to: LaneId, grant: Grant) {
        if to == self.lane {
            self.take_grant(grant);
        } else {
            self.outbox.post(to, Mail::Grant(Box::new(grant)));
        }
    }

    /// Those entries that there are.
    fn export(&mut self, keys: Vec<Wanted>) -> Vec<(Named, Exported)> {
        let entries = keys.into_iter().filter_map(|Wanted { named, lend }| {
            let key = self.store.key(named.0, &named.1);
            let entry = if lend { self.store.lend(&key) } else { self.store.export(&key) };
            Some((named, entry?))
        });
        let entries = entries.collect();
        self.hand_out_touches(); // Of keys that were found to be due.
        entries
    }

    /// A lane has answered whether it grants its slots, or sent what it was asked for.
    pub fn take_grant(&mut self, grant: Grant) {
        let index = match grant.holder {
            Holder::Together(index) => index,
            Holder::Long(index) => return self.take_long_grant(index, grant.answer),
        };
        let together = self.togethers.under_way.get(index);
        together.entries.extend(grant.entries);
        together.behind |= grant.behind;
        together.listens |= grant.listens;
        together.touched |= grant.touched;
        if let Next::Ask(..) = together.taking.next() {
            let back = together.taking.answered(grant.answer);
            let slots = |group: &Group| (group.lane, group.slots.clone());
            let back: Vec<(LaneId, Vec<Slot>)> = together.groups[back].iter().map(slots).collect();
            together.behind &= back.is_empty();
            self.give_back(back);
        }
        self.go_on(index);
    }

    /// Frees slots that a command has taken and not used.
    pub fn give_back(&mut self, groups: Vec<(LaneId, Vec<Slot>)>) {
        self.stats.slots_given_back += u64::from(!groups.is_empty());
        for (lane, slots) in groups {
            self.post_release(lane, Release { slots, ..Release::default() });
        }
    }

    /// Runs one command on the databases of all lanes concerned, whose slots are all locked.
    fn run_on_databases(&mut self, index: u32, together: &mut Together) -> Progress {
        let request = together.commands.requests[together.next];
        let spec = request.spec;
        together.next += 1;
        let mut slices = Slices::new();
        together.commands.slices(&request, &mut slices);
        let args = Args::new(&slices, &together.commands.blobs);
        let manner = request.manner(self.handler_limits);
        let alone = together.groups.len() == 1;
        let here = match spec.merge {
            Merge::SpreadJoin => false, // A walk over all keys, in slices.
            Merge::Cursor => self.cursor_lane(args, alone) == self.lane,
            Merge::SpreadSum | Merge::SpreadOk | Merge::Pick => alone,
            Merge::Single | Merge::Ordered | Merge::Sum | Merge::Together => {
                unreachable!("it is on databases")
            }
        };
        if here {
            let begun = clock::ticks();
            let from = together.replies.mark();
            let out = &mut together.replies;
            let (store, scripts) = (&mut self.store, Some(&mut self.scripts as _));
            if run_here(store, spec, args, None, manner, scripts, out) != Ran::Fine {
                self.stats.failed(spec.id, &together.replies.bytes[from.bytes_before()..]);
            }
            if spec.merge == Merge::Cursor && !alone {
                self.carry_cursor_on(&mut together.replies, from);
            }
            together.stretches.push(Stretch { from, to: together.replies.mark() });
            let ticks = clock::ticks().wrapping_sub(begun);
            if together.is_transaction {
                self.observe(together.connection, spec, ticks, &slices);
            }
            self.hand_out_touches();
            return Progress::On;
        }
        let to = Recipient::Step { together: index };
        // None of them is answered before this returns: another lane has a part, or KEYS walks.
        match spec.merge {
            Merge::Cursor => self.begin_cursor(to, spec, manner, args),
            Merge::SpreadJoin
            | Merge::SpreadSum
            | Merge::SpreadOk
            | Merge::Pick
            | Merge::Single
            | Merge::Ordered
            | Merge::Sum
            | Merge::Together => {
                self.spread(to, spec, manner, args, self.lanes_concerned(alone));
            }
        }
        if together.is_transaction {
            self.observe(together.connection, spec, 0, &slices);
        }
        Progress::Waits
    }

    /// The lanes have answered a command on whole databases.
    pub fn take_step(&mut self, index: u32, reply: &ReplyBuffer, stretch: Stretch) {
        let together = self.togethers.under_way.get(index);
        let from = together.replies.mark();
        together.replies.append(reply, stretch);
        together.stretches.push(Stretch { from, to: together.replies.mark() });
        self.go_on(index);
    }

    /// Tells the lanes what has been read of their keys for a client that tracks, before they
    /// release them.
    fn remember_together(&mut self, together: &Together, commands: Range<usize>) {
        for request in &together.commands.requests[commands] {
            let Some(mark) = request.mark.filter(|mark| mark.remember) else { continue };
            together.commands.visit_keys(request, self.live.databases, &mut |database, key| {
                let lane = self.home_of(key);
                if lane == self.lane {
                    self.remember_read(lane, mark, database, key);
                } else {
                    let keys = vec![(database, key.to_vec())];
                    self.post_note(lane, Note::Remember { mark, keys });
                }
            });
        }
    }

    /// Commands have run: their changes to this lane come back, and, after the last, its slots are free.
    pub fn take_release(&mut self, release: Release) {
        give_back_all(&mut self.store, release.values, &release.effects);
        self.free_aside(release.effects);
        for slot in &release.slots {
            self.store.unpin(*slot);
            self.locks.release(*slot);
        }
        let walks = release.attempted.map(|attempted| self.end_attempt(&attempted));
        self.hand_out_touches_of(release.writer);
        // Before what was parked: who waits came earlier.
        self.walk_on(walks.unwrap_or_default());
        if !release.slots.is_empty() {
            self.locks.note_given_back();
            self.let_go_on();
            self.serve_deferred();
        }
    }

    /// Runs what has waited for slots that are free now. What is freed by one of them has its turn
    /// after it, not within it: thousands may wait for each other.
    fn let_go_on(&mut self) {
        if std::mem::replace(&mut self.locks.letting_go_on, true) {
            return;
        }
        loop {
            match self.locks.next_freed() {
                Some(Waiter::Request(from, parcel)) => self.park_or_run(from, parcel),
                Some(Waiter::Errand(from, errand)) => self.take_errand(from, errand),
                Some(Waiter::Watch(from, request)) => self.take_watch_request(from, request),
                Some(Waiter::Lock { from, request, next }) => {
                    self.take_lock_request(from, request, next + 1);
                }
                None => match self.locks.next_wide() {
                    Some((from, request)) => self.grant(from, *request),
                    None => break,
                },
            }
        }
        self.locks.letting_go_on = false;
    }

    /// Runs a single request, or queues it behind the slot that it finds held.
    pub fn park_or_run(&mut self, from: LaneId, parcel: Box<Parcel>) {
        let held = {
            let request = &parcel.requests[0];
            let mut slices = Slices::new();
            parcel.slices(request, &mut slices);
            self.held_slot_of(request.spec, &slices)
        };
        match held {
            Some(slot) => self.locks.park(slot, Waiter::Request(from, parcel)),
            None => self.run_parcel(from, parcel),
        }
    }

    /// The first of these commands' slots that is held.
    pub fn held_slot(&self, commands: &Parcel) -> Option<Slot> {
        for request in &commands.requests {
            if request.only_slot().is_some_and(|slot| !self.locks.holds(slot)) {
                continue;
            }
            if self.request_reaches_all_slots(commands, request) {
                return self.locks.first_held();
            }
            let mut held = None;
            commands.visit_keys(request, self.live.databases, &mut |_, key| {
                held = held.or(Some(Slot::of(key)).filter(|slot| self.locks.holds(*slot)));
            });
            if held.is_some() {
                return held;
            }
        }
        None
    }
}

/// What became of a step.
enum Progress {
    On,
    Waits,
    Ended,
    /// It found nothing to take. What it has changed all the same (a new consumer of a group) goes back
    /// with its slots.
    Blocked,
}
