//! Commands and transactions of this lane's slots that would hold the lane for longer than a turn
//! has: their slots are held, other slots go on. A command that has asked for more time than there
//! is (`CommandError::Aside`) runs on a helper thread, with the values of its keys lent to it; a
//! transaction of very many commands goes on here, a slice at a time. What is lent comes back whole.

use std::collections::VecDeque;

use ringlane_base::{LaneId, Now, Slot};
use ringlane_command::lookups::look_up;
use ringlane_command::{Args, CommandError, Flags, Lookups, Run};
use ringlane_script::PausedScript;
use ringlane_store::{OwnedEffect, Store};

use crate::aside_helper::{AsideHelpers, Done, ORDERS_MAX, Order, Surroundings, Whose};
use crate::clock;
use crate::core::Core;
use crate::locks::SlotSet;
use crate::parcel::{Errand, Named, Parcel, Release, Request, ReturnTo, Returned};
use crate::pause::Held;
use crate::reply_buffer::{ReplyBuffer, Stretch};
use crate::ring::ConnectionId;
use crate::run::{Ran, Slices};
use crate::script_aside::{RunningFunction, ScriptAside};
use crate::under_way::UnderWay;

/// What one slice of a transaction should take, in microseconds.
const SLICE_US: u64 = 150;

/// Where the answer goes.
enum Origin {
    /// A single request, to the place that it names.
    Request,
    /// What is left of a transaction of this lane's connection, whose first replies are written.
    Rest { connection: ConnectionId, sequence: u32 },
    /// A transaction that a lane has sent here as a whole.
    Errand(Box<Errand>),
}

/// One of them, under way: from its first slice to its last it holds the slots of all its keys.
pub struct Aside {
    origin: Origin,
    /// The lane of its client.
    from: LaneId,
    commands: Box<Parcel>,
    /// The command that is next.
    next: usize,
    slots: Vec<Slot>,
    replies: ReplyBuffer,
    answers: Vec<(ReturnTo, Stretch)>,
    /// A connection of this lane that waits for it.
    waits: Option<ConnectionId>,
    /// The command that is next is a script, and paused.
    script: Option<ScriptAside>,
    /// How far the command that is next, or that the script has called, has come with the keys that its
    /// patterns name; there are some to be looked up.
    lookups: Option<Box<Lookups>>,
}

impl Aside {
    /// A request that stands alone in its parcel, of a client of lane `from`; `waits`: the connection
    /// that goes on when it has been answered.
    pub fn of_request(from: LaneId, alone: Box<Parcel>, waits: Option<ConnectionId>) -> Self {
        Self::new(Origin::Request, from, alone, waits)
    }

    /// The commands of this lane's connection from `next` on; their replies belong to this place.
    pub fn of_rest(
        lane: LaneId,
        (connection, sequence): (ConnectionId, u32),
        commands: Box<Parcel>,
        next: usize,
    ) -> Self {
        let origin = Origin::Rest { connection, sequence };
        Self { next, ..Self::new(origin, lane, commands, Some(connection)) }
    }

    /// A transaction from lane `from`, its commands from `next` on; the others have been answered in
    /// its parcel.
    pub fn of_errand(from: LaneId, mut errand: Box<Errand>, next: usize) -> Self {
        let mut commands = std::mem::take(&mut errand.commands);
        let replies = std::mem::take(&mut commands.replies);
        let answers = std::mem::take(&mut commands.answers);
        let aside = Self::new(Origin::Errand(errand), from, commands, None);
        Self { next, replies, answers, ..aside }
    }

    fn new(
        origin: Origin,
        from: LaneId,
        commands: Box<Parcel>,
        waits: Option<ConnectionId>,
    ) -> Self {
        Self {
            origin,
            from,
            commands,
            next: 0,
            slots: Vec::new(),
            replies: ReplyBuffer::default(),
            answers: Vec::new(),
            waits,
            script: None,
            lookups: None,
        }
    }

    /// The slots of all its keys, ascending.
    fn find_slots(&self, databases: u8) -> Vec<Slot> {
        let mut set = SlotSet::default();
        for request in &self.commands.requests {
            match request.only_slot() {
                Some(slot) => set.add(slot),
                None => self.commands.visit_keys(request, databases, &mut |_, key| {
                    set.add(Slot::of(key));
                }),
            }
        }
        set.iter().collect()
    }

    fn is_request(&self) -> bool {
        matches!(self.origin, Origin::Request)
    }

    fn push_reply(&mut self, return_to: ReturnTo, reply: &ReplyBuffer) {
        let from = self.replies.mark();
        self.replies.append(reply, reply.whole());
        self.answers.push((return_to, Stretch { from, to: self.replies.mark() }));
    }
}

/// What was lent comes back whole, and with it what has made it so, for those who listen.
pub fn give_back_all(store: &mut Store, values: Vec<Returned>, effects: &[OwnedEffect]) {
    for (named, state) in values {
        let key = store.key(named.0, &named.1);
        store.give_back(&key, state);
    }
    store.tell(effects);
}

/// A command that goes to the helpers.
pub struct Ordered {
    pub whose: Whose,
    pub request: Request,
    pub position: usize,
    pub may_wait: bool,
    /// A script has called it.
    pub called: bool,
    /// Each once.
    pub keys: Vec<Named>,
    /// How far it has come, if it names keys by patterns and has not just begun.
    pub lookups: Option<Box<Lookups>>,
}

impl Ordered {
    /// With what its keys hold in this store: lent if it may change them, else shared. `lane` gets what
    /// it makes of them, by `done`.
    pub fn with_values(
        self,
        (lane, done): (LaneId, flume::Sender<Done>),
        commands: Box<Parcel>,
        surroundings: Surroundings,
        store: &mut Store,
    ) -> Box<Order> {
        let Self { whose, request, position, may_wait, called, keys, lookups } = self;
        let writes = request.spec.may_change_keys();
        let mut entries = Vec::with_capacity(keys.len());
        for named in &keys {
            let key = store.key(named.0, &named.1);
            let entry = if writes { store.lend(&key) } else { store.export(&key) };
            entries.extend(entry.map(|entry| (named.clone(), entry)));
        }
        let lent = if writes { keys } else { Vec::new() };
        Box::new(Order {
            lane,
            whose,
            commands,
            position,
            may_wait,
            called,
            again: lookups.as_ref().is_some_and(|lookups| lookups.has_begun()),
            lookups: lookups.or_else(|| request.spec.formed_keys.map(|_| Box::default())),
            surroundings,
            entries,
            lent,
            done,
        })
    }
}

/// What of this is under way at this lane.
pub struct Asides {
    under_way: UnderWay<Box<Aside>>,
    /// Whose next slice is due.
    due: VecDeque<u32>,
    helpers: Option<AsideHelpers>,
    /// For which the helpers' queue had no place: one for each command under way, at most.
    waiting: VecDeque<Box<Order>>,
    done: flume::Receiver<Done>,
    sender: flume::Sender<Done>,
    /// Commands that a pause had held back, behind one of their connection that runs aside: of each
    /// connection no more than a batch has.
    held_back: VecDeque<Held>,
    /// The command that is being executed has gone aside.
    begun: bool,
}

impl Asides {
    /// Without helpers every command runs on its lane.
    pub fn new(helpers: Option<AsideHelpers>) -> Self {
        // More are never under way with the helpers: those that wait, and one each.
        let (sender, done) = flume::bounded(2 * ORDERS_MAX);
        Self {
            under_way: UnderWay::default(),
            due: VecDeque::new(),
            helpers,
            waiting: VecDeque::new(),
            done,
            sender,
            held_back: VecDeque::new(),
            begun: false,
        }
    }

    pub fn has_helpers(&self) -> bool {
        self.helpers.is_some()
    }

    pub fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Whether the command that was just executed has gone aside.
    #[inline]
    pub fn take_begun(&mut self) -> bool {
        std::mem::take(&mut self.begun)
    }

    pub fn note_begun(&mut self) {
        self.begun = true;
    }

    /// The scripts that are paused.
    pub fn scripts(&mut self) -> impl Iterator<Item = &mut PausedScript> {
        self.under_way.iter_mut().filter_map(|it| Some(&mut *it.script.as_mut()?.paused))
    }

    /// The functions among them.
    pub fn functions(&self, ticks_per_us: u64) -> impl Iterator<Item = RunningFunction> {
        self.under_way.iter().filter_map(move |it| {
            let request = it.commands.requests.get(it.next)?;
            it.script.as_ref()?.function(&it.commands, request, ticks_per_us)
        })
    }

    pub fn hold_back(&mut self, held: Held) {
        self.held_back.push_back(held);
    }
}

/// What became of a slice.
enum Slice {
    /// All commands have been answered.
    Ended,
    /// Its time is over.
    More,
    /// The next command goes to the helpers.
    Lent(Box<Order>),
}

impl Core {
    /// Takes the slots of all keys, which are free since a command of them has just found them so,
    /// and goes on: with a command that has asked for more time, or after a slice that was too short.
    #[cold]
    pub fn begin_aside(&mut self, aside: Aside) {
        let mut aside = Box::new(aside);
        aside.script = self.scripts.take_paused().map(ScriptAside::new);
        let commands = &aside.commands;
        let all = commands.requests.iter().any(|it| self.request_reaches_all_slots(commands, it));
        aside.slots = if all {
            let slots = self.shared.slots_of(self.lane);
            slots.map(|slot| Slot::new(slot).expect("it is one")).collect()
        } else {
            aside.find_slots(self.live.databases)
        };
        for slot in &aside.slots {
            self.locks.take(*slot);
            self.store.pin(*slot);
        }
        let index = self.asides.under_way.reserve();
        let slice = match aside.origin {
            _ if aside.script.is_some() => {
                self.hand_out_touches_of(aside.commands.writer(aside.from));
                self.after_pause(index, &mut aside)
            }
            Origin::Request => Slice::Lent(self.lend(index, &mut aside)),
            Origin::Rest { .. } | Origin::Errand(_) => Slice::More,
        };
        self.go_on_aside(index, aside, slice);
    }

    /// What this lane runs of a transaction that holds all its slots itself.
    pub fn begin_share(&mut self, from: LaneId, errand: Box<Errand>) {
        let index = self.asides.under_way.insert(Box::new(Aside::of_errand(from, errand, 0)));
        self.asides.due.push_back(index);
    }

    /// One slice of the transaction whose turn it is.
    pub fn work_on_asides(&mut self) {
        let Some(index) = self.asides.due.pop_front() else { return };
        let aside = self.asides.under_way.take(index);
        self.run_slice(index, aside);
    }

    /// The ticks that one slice of a transaction should take.
    pub fn slice_ticks(&self) -> u64 {
        SLICE_US * self.ticks_per_us
    }

    fn go_on_aside(&mut self, index: u32, aside: Box<Aside>, slice: Slice) {
        match slice {
            Slice::Ended => {
                self.asides.under_way.end(index);
                self.end_aside(*aside);
            }
            Slice::More => {
                self.asides.under_way.put(index, aside);
                self.asides.due.push_back(index);
            }
            Slice::Lent(order) => {
                self.asides.under_way.put(index, aside);
                self.order(order);
            }
        }
    }

    /// Runs commands in place until one must go to the helpers or the time is over.
    fn run_slice(&mut self, index: u32, mut aside: Box<Aside>) {
        let mut ticks = clock::ticks();
        let begun = ticks;
        self.stats.transaction_slices += u64::from(!aside.is_request());
        self.interest.hold();
        // Checked at EXEC as a whole.
        self.store.set_passes_limit(!aside.is_request());
        let slice = loop {
            let Some(request) = aside.commands.requests.get(aside.next).copied() else {
                break Slice::Ended;
            };
            if ticks.wrapping_sub(begun) > self.slice_ticks() {
                break Slice::More;
            }
            if aside.lookups.is_some() {
                break self.look_up_for_aside(index, &mut aside);
            }
            let start = aside.replies.mark();
            if let Some(script) = aside.script.take() {
                if self.run_script(&mut aside, script, &request) == Ran::Aside {
                    break self.after_pause(index, &mut aside);
                }
                aside
                    .answers
                    .push((request.return_to, Stretch { from: start, to: aside.replies.mark() }));
                aside.next += 1;
                ticks = clock::ticks();
                continue;
            }
            let Aside { commands, replies, from, .. } = &mut *aside;
            let ran = match request.spec.run {
                Run::Serve(_) => None, // It runs when the others have been answered.
                Run::Store(_) => {
                    let mut slices = Slices::new();
                    commands.slices(&request, &mut slices);
                    let args = Args::new(&slices, &commands.blobs);
                    Some(self.run_request(*from, &request, args, replies, &mut ticks))
                }
            };
            let to = aside.replies.mark();
            match ran {
                None => {}
                Some(Ran::Fine | Ran::Failed) => {
                    aside.answers.push((request.return_to, Stretch { from: start, to }));
                }
                Some(Ran::Aside) => match self.scripts.take_paused() {
                    Some(paused) => {
                        aside.script = Some(ScriptAside::new(paused));
                        break self.after_pause(index, &mut aside);
                    }
                    None => break Slice::Lent(self.lend(index, &mut aside)),
                },
            }
            aside.next += 1;
        };
        self.store.set_passes_limit(false);
        self.interest.release();
        self.hand_out_touches_of(aside.commands.writer(aside.from));
        self.go_on_aside(index, aside, slice);
    }

    /// Goes on with the script that is next; it is the aside's again if it is paused again.
    fn run_script(&mut self, aside: &mut Aside, script: ScriptAside, request: &Request) -> Ran {
        let ticks = script.ticks();
        let from = aside.replies.mark();
        self.store.set_traceless(request.no_touch);
        let within = (&mut self.store, self.handler_limits);
        let outcome = script.go_on(&mut self.scripts, within, request.version, &mut aside.replies);
        self.store.set_traceless(false);
        let ran = match outcome {
            Ok(ran) => ran,
            Err(script) => {
                aside.script = Some(script);
                return Ran::Aside;
            }
        };
        if ran == Ran::Failed {
            self.stats.failed(request.spec.id, &aside.replies.bytes[from.bytes_before()..]);
        }
        let mut slices = Slices::new();
        aside.commands.slices(request, &mut slices);
        let args = Args::new(&slices, &aside.commands.blobs);
        self.observe_request(aside.from, request, ticks, args.from(0));
        if let Some(mark) = request.mark {
            self.remember_reads(aside.from, mark, request.database, request.spec, args);
        }
        ran
    }

    /// A script is paused: it waits for its next slice, or for a command that goes to the helpers.
    fn after_pause(&mut self, index: u32, aside: &mut Aside) -> Slice {
        let script = aside.script.as_ref().expect("it was just paused");
        let own = aside.commands.requests[aside.next];
        let Some((mut order, commands)) =
            script.order(Whose::Aside(index), &own, self.live.databases)
        else {
            return Slice::More;
        };
        order.lookups = aside.lookups.take();
        let surroundings = self.surroundings(self.store.now());
        let home = self.home_of_orders();
        Slice::Lent(order.with_values(home, commands, surroundings, &mut self.store))
    }

    /// The next command with the values of its keys, for the helpers.
    fn lend(&mut self, index: u32, aside: &mut Aside) -> Box<Order> {
        let request = aside.commands.requests[aside.next];
        let mut keys: Vec<Named> = Vec::new();
        aside.commands.visit_keys(&request, self.live.databases, &mut |database, key| {
            keys.push((database, key.into()));
        });
        keys.sort_unstable();
        keys.dedup();
        let surroundings = self.surroundings(self.store.now());
        let commands = std::mem::take(&mut aside.commands);
        let may_wait = aside.is_request() && request.spec.flags.contains(Flags::BLOCKING);
        let whose = Whose::Aside(index);
        let position = aside.next;
        let lookups = aside.lookups.take();
        let order = Ordered { whose, request, position, may_wait, called: false, keys, lookups };
        order.with_values(self.home_of_orders(), commands, surroundings, &mut self.store)
    }

    /// Looks up keys that patterns of the command at hand name, all of which are of this lane and held;
    /// once it knows them all, the command goes on.
    fn look_up_for_aside(&mut self, index: u32, aside: &mut Aside) -> Slice {
        let request = aside.commands.requests[aside.next];
        let lookups = aside.lookups.as_mut().expect("looked by the caller");
        let call = aside.script.as_ref().map(|script| &*script.paused);
        match self.look_up_here((&request, call), lookups) {
            Ok(false) => Slice::More,
            Ok(true) if aside.script.is_some() => self.after_pause(index, aside),
            Ok(true) => Slice::Lent(self.lend(index, aside)),
            Err(refusal) => {
                aside.lookups = None;
                let script = aside.script.as_mut().expect("only a script's keys are refused");
                script.take_answer(Err(refusal));
                Slice::More
            }
        }
    }

    /// Looks up the next keys of this lane for a command, or for the call of a script, until the time is
    /// over; whether all are known.
    ///
    /// # Errors
    /// The script may not touch a key.
    fn look_up_here(
        &mut self,
        (request, script): (&Request, Option<&PausedScript>),
        lookups: &mut Lookups,
    ) -> Result<bool, CommandError> {
        let begun = clock::ticks();
        let call = script.and_then(PausedScript::heavy);
        let database = call.map_or(request.database, |call| call.database);
        let mut name = Vec::new();
        self.store.set_traceless(request.no_touch);
        let outcome = loop {
            let Some(index) = lookups.next() else { break Ok(true) };
            if clock::ticks().wrapping_sub(begun) > self.slice_ticks() {
                break Ok(false);
            }
            let field = lookups.name(index, &mut name);
            let key = self.store.key(database, &name);
            if let Err(refusal) = script.map_or(Ok(()), |script| script.check_reach(&key)) {
                break Err(refusal);
            }
            let found = look_up(&mut self.store, &key, field.map(|field| &field[..]));
            lookups.push(found);
        };
        self.store.set_traceless(false);
        outcome
    }

    /// Where helpers send what they have done for this lane.
    pub fn home_of_orders(&self) -> (LaneId, flume::Sender<Done>) {
        (self.lane, self.asides.sender.clone())
    }

    /// What a helper needs to know of this lane.
    pub fn surroundings(&self, now: Now) -> Surroundings {
        Surroundings {
            now,
            limits: self.handler_limits,
            pack_limits: *self.store.pack_limits(),
            notices: self.store.notice_mask(),
            listens: self.store.has_sink(),
        }
    }

    /// Sends an order to the helpers, or keeps it until they have a place for it.
    pub fn order(&mut self, order: Box<Order>) {
        self.stats.commands_aside += u64::from(!order.again);
        let helpers = self.asides.helpers.as_ref().expect("without them nothing goes aside");
        if !self.asides.waiting.is_empty() {
            self.asides.waiting.push_back(order);
        } else if let Err(order) = helpers.send(order) {
            self.stats.aside_waits += 1;
            self.asides.waiting.push_back(order);
        }
    }

    /// Takes back what the helpers have done, and sends them what waits.
    pub fn finish_asides(&mut self) {
        while let Ok(done) = self.asides.done.try_recv() {
            match done.whose {
                Whose::Aside(index) => self.take_back(index, done),
                Whose::Together(index) => self.take_back_to_desk(index, done),
            }
        }
        while let Some(order) = self.asides.waiting.pop_front() {
            let helpers = self.asides.helpers.as_ref().expect("without them nothing goes aside");
            if let Err(order) = helpers.send(order) {
                return self.asides.waiting.push_front(order);
            }
        }
    }

    fn take_back(&mut self, index: u32, done: Done) {
        let mut aside = self.asides.under_way.take(index);
        give_back_all(&mut self.store, done.back, &done.effects);
        self.free_aside(done.effects);
        self.store.add_notices(done.notices);
        if done.lookups.is_some() {
            aside.lookups = done.lookups;
            if aside.script.is_none() {
                aside.commands = done.commands;
            }
            return self.go_on_aside(index, aside, Slice::More);
        }
        if let Some(answer) = done.called {
            aside.script.as_mut().expect("it waits for this").take_answer(answer);
            return self.go_on_aside(index, aside, Slice::More);
        }
        aside.commands = done.commands;
        let request = aside.commands.requests[aside.next];
        if done.failed {
            self.stats.failed(request.spec.id, &done.reply.bytes);
        }
        let mut slices = Slices::new();
        aside.commands.slices(&request, &mut slices);
        let args = Args::new(&slices, &aside.commands.blobs);
        self.observe_request(aside.from, &request, done.ticks, args.from(0));
        if let Some(mark) = request.mark
            && !done.failed
        {
            self.remember_reads(aside.from, mark, request.database, request.spec, args);
        }
        drop(slices);
        aside.push_reply(request.return_to, &done.reply);
        aside.next += 1;
        let ended = aside.next == aside.commands.requests.len();
        self.go_on_aside(index, aside, if ended { Slice::Ended } else { Slice::More });
    }

    /// Frees what may be long, but for values that a key shares: those must be nobody else's before
    /// the key is changed.
    pub fn free_aside(&self, mut effects: Vec<OwnedEffect>) {
        effects.retain(|effect| matches!(effect, OwnedEffect::Edit { .. }));
        if let Some(helpers) = self.asides.helpers.as_ref().filter(|_| !effects.is_empty()) {
            helpers.free(effects);
        }
    }

    /// Answers, frees the slots, and lets the connection go on.
    fn end_aside(&mut self, aside: Aside) {
        let writer = aside.commands.writer(aside.from);
        let Aside { origin, from, mut commands, slots, replies, answers, waits, .. } = aside;
        match origin {
            Origin::Request => {
                commands.clear_requests();
                (commands.replies, commands.answers) = (replies, answers);
                self.deliver(from, commands);
            }
            Origin::Rest { connection, sequence } => {
                self.fill_place(connection, sequence, &replies, replies.whole());
            }
            Origin::Errand(mut errand) => {
                (commands.replies, commands.answers) = (replies, answers);
                errand.commands = commands;
                self.return_errand(from, errand);
            }
        }
        if !slots.is_empty() {
            self.take_release(Release { slots, writer, ..Release::default() });
        }
        if let Some(id) = waits {
            self.resume_after_aside(id);
        }
    }

    /// The connection's command has been answered: what was planned behind it runs now.
    fn resume_after_aside(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get(id) {
            connection.aside = false;
        }
        self.lift_barrier(id);
    }

    /// Runs what was held back behind a command of the connection, until one of them takes its time too.
    pub fn run_held_back(&mut self, id: ConnectionId) {
        loop {
            // None of another connection overtakes: each has its own order.
            let next = self.asides.held_back.iter().position(|held| held.connection == id);
            let Some(held) = next.and_then(|next| self.asides.held_back.remove(next)) else {
                break;
            };
            if self.pause.is_some() {
                self.hold_again(held);
                continue;
            }
            self.run_held(&held);
            if self.connections.get(id).is_some_and(|connection| connection.barrier) {
                return;
            }
        }
    }
}
