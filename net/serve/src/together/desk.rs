//! The scratch store on which commands over several lanes run: what their keys hold is put on it, they
//! run one after another, in slices or with a helper, and it is cleared for the next. Locks no slot
//! and asks no lane; `together` does.

use std::ops::Range;

use ringlane_base::SLOT_COUNT;
use ringlane_command::{Args, CommandError, Lookups, Run};
use ringlane_script::{PausedScript, Place};
use ringlane_store::{NoticeClasses, Options, Recorder, Store};

use super::Together;
use super::lookups::{Looked, LookingUp};
use crate::aside::{Ordered, give_back_all};
use crate::aside_helper::{Done, Surroundings, Whose};
use crate::blocked::{Attempt, Waited, run_waiting};
use crate::clock;
use crate::core::Core;
use crate::parcel::{Named, Parcel, Wanted};
use crate::reply_buffer::Stretch;
use crate::run::{Ran, Slices, run_here, run_looking_up};
use crate::script_aside::{RunningFunction, ScriptAside};

/// A command that names keys by patterns may go through so many times what another may: it reads, sorts
/// and answers in turns of their own. What needs no other lock than some (`NARROW_KEYS_MAX`) needs no
/// helper then, who might be busy for long while it holds them; who holds all finds all helpers free.
const LOOKUP_SHARE: usize = 2;

/// A scratch store at work.
pub(super) struct Desk {
    scratch: Box<Store>,
    recorder: Option<Recorder>,
    /// The commands that run on it: the next, and the end.
    pub(super) position: usize,
    end: usize,
    /// The command at hand is a script, and paused.
    script: Option<ScriptAside>,
    /// How far it has come, if it names keys by patterns and has not just begun.
    lookups: Option<Box<Lookups>>,
    /// It waits for what these hold.
    pub(super) looks_up: Option<LookingUp>,
}

impl Desk {
    /// The script that is paused on it.
    pub(super) fn script(&mut self) -> Option<&mut PausedScript> {
        Some(&mut *self.script.as_mut()?.paused)
    }

    /// The same, to be asked.
    pub(super) fn paused_script(&self) -> Option<&PausedScript> {
        Some(&*self.script.as_ref()?.paused)
    }

    pub(super) fn scratch_mut(&mut self) -> &mut Store {
        &mut self.scratch
    }

    /// All that was asked for is known: the command goes on with it.
    fn take_found(&mut self) {
        self.lookups = self.looks_up.take().map(|looks_up| looks_up.lookups);
    }

    /// The call of the script is refused.
    fn refuse_call(&mut self, error: CommandError) {
        self.looks_up = None;
        self.script.as_mut().expect("only a script's keys are refused").take_answer(Err(error));
    }

    /// The same, if it is a function that one of the commands has called.
    pub(super) fn function(&self, commands: &Parcel, ticks_per_us: u64) -> Option<RunningFunction> {
        let request = &commands.requests[self.position];
        self.script.as_ref()?.function(commands, request, ticks_per_us)
    }
}

/// What became of the commands on a scratch store.
pub(super) enum Segment {
    Ended,
    Waits,
    /// The command at hand reads keys whose slots are not locked. Nothing has happened.
    Elsewhere,
}

/// What became of the command at hand.
enum AtDesk {
    Ran(Ran),
    LooksUp(Box<Lookups>),
}

impl Core {
    /// A scratch store that holds what the commands' keys hold.
    fn set_desk(&mut self, together: &mut Together) -> Desk {
        let mut scratch = self.togethers.scratch.take().unwrap_or_else(|| {
            Box::new(Store::new(Options {
                hash_seed: self.shared.hash_seed,
                random_seed: self.random.u64(..),
                databases: self.live.databases,
                slots: 0..SLOT_COUNT as u16,
            }))
        });
        scratch.set_excerpt(true);
        scratch.set_pack_limits(*self.store.pack_limits());
        scratch.begin_turn(self.store.now());
        for ((database, bytes), entry) in together.entries.drain(..) {
            let key = scratch.key(database, &bytes);
            scratch.import(&key, &entry).expect("the scratch store has no limit");
        }
        let recorder = together.listens.then(|| Recorder::attach(&mut scratch));
        scratch.set_notice_mask(self.store.notice_mask());
        let Range { start, end } = together.segment();
        Desk {
            scratch,
            recorder,
            position: start,
            end,
            script: None,
            lookups: None,
            looks_up: None,
        }
    }

    /// Runs the next commands on keys on a scratch store, until they are done, the time is over, or
    /// one must go to the helpers.
    pub(super) fn run_on_scratch(&mut self, index: u32, together: &mut Together) -> Segment {
        let mut desk = match together.desk.take() {
            Some(desk) => desk,
            None => self.set_desk(together),
        };
        let begun = clock::ticks();
        self.scripts.set_place(Place::Scratch);
        let segment = loop {
            if desk.position == desk.end {
                break Segment::Ended;
            }
            if clock::ticks().wrapping_sub(begun) > self.slice_ticks() {
                self.stats.transaction_slices += 1;
                self.togethers.due.push_back(index);
                break Segment::Waits;
            }
            if desk.looks_up.is_some() {
                match self.look_up_at_desk(index, together, &mut desk) {
                    Looked::All => {
                        desk.take_found();
                        continue; // If there is time.
                    }
                    Looked::Waits => break Segment::Waits,
                    Looked::Elsewhere => break Segment::Elsewhere,
                    Looked::Refused(error) => desk.refuse_call(error),
                }
            }
            if desk.script.is_some() && desk.lookups.is_some() {
                // It is the command that the script has called that goes on.
                self.leave_desk(index, together, &mut desk);
                break Segment::Waits;
            }
            match self.run_at_desk(together, &mut desk) {
                AtDesk::Ran(Ran::Aside) => {
                    self.leave_desk(index, together, &mut desk);
                    break Segment::Waits;
                }
                AtDesk::Ran(Ran::Fine | Ran::Failed) => desk.position += 1,
                AtDesk::LooksUp(lookups) => self.begin_look_up(together, &mut desk, lookups),
            }
        };
        self.scripts.set_place(Place::Lane);
        match segment {
            Segment::Waits => together.desk = Some(desk),
            Segment::Ended | Segment::Elsewhere => self.clear_desk(together, desk),
        }
        segment
    }

    /// Runs the command at hand.
    fn run_at_desk(&mut self, together: &mut Together, desk: &mut Desk) -> AtDesk {
        let request = together.commands.requests[desk.position];
        if !matches!(request.spec.run, Run::Store(_)) {
            return AtDesk::Ran(Ran::Fine);
        }
        let looks_up = together.looks_up(desk.position, self.shared.lanes());
        let begun = clock::ticks();
        let mut slices = Slices::new();
        together.commands.slices(&request, &mut slices);
        let args = Args::new(&slices, &together.commands.blobs);
        let mut manner = request.manner(self.handler_limits);
        let from = together.replies.mark();
        let may_wait = together.may_wait();
        let (scratch, out) = (&mut desk.scratch, &mut together.replies);
        let spec = request.spec;
        let mut ticks_before = 0;
        let ran = if let Some(script) = desk.script.take() {
            ticks_before = script.ticks();
            let within = (scratch.as_mut(), self.handler_limits);
            match script.go_on(&mut self.scripts, within, request.version, out) {
                Ok(ran) => ran,
                Err(script) => {
                    desk.script = Some(script);
                    return AtDesk::Ran(Ran::Aside);
                }
            }
        } else if may_wait {
            let attempt = match together.number {
                _ if together.expired => Attempt::Last,
                Some(_) => Attempt::Again { needs_keys: together.needs_keys },
                None => Attempt::First,
            };
            match run_waiting(scratch, &request, args, (manner, attempt), out) {
                Waited::Answered => Ran::Fine,
                Waited::Waits(wait) => {
                    together.wait = Some(wait);
                    Ran::Fine
                }
                Waited::Aside => Ran::Aside,
            }
        } else if looks_up {
            let mut lookups = desk.lookups.take().unwrap_or_default();
            let most = &mut manner.limits.elements_at_once_max;
            *most = most.saturating_mul(LOOKUP_SHARE);
            match run_looking_up(scratch, spec, args, manner, &mut lookups, out) {
                None => return AtDesk::LooksUp(lookups),
                Some(Ran::Aside) => {
                    desk.lookups = Some(lookups);
                    Ran::Aside
                }
                Some(ran @ (Ran::Fine | Ran::Failed)) => ran,
            }
        } else {
            let scripts = Some(&mut self.scripts as _);
            run_here(scratch, spec, args, None, manner, scripts, out)
        };
        match ran {
            Ran::Fine => {}
            Ran::Failed => self.stats.failed(spec.id, &out.bytes[from.bytes_before()..]),
            Ran::Aside => return AtDesk::Ran(ran),
        }
        together.stretches.push(Stretch { from, to: together.replies.mark() });
        if together.is_transaction {
            let ticks = clock::ticks().wrapping_sub(begun) + ticks_before;
            self.observe(together.connection, spec, ticks, &slices);
        }
        AtDesk::Ran(ran)
    }

    /// The command at hand takes its time: a script waits for its next slice, or for a command that it has
    /// called; another goes to the helpers.
    fn leave_desk(&mut self, index: u32, together: &mut Together, desk: &mut Desk) {
        if let Some(paused) = self.scripts.take_paused() {
            desk.script = Some(ScriptAside::new(paused));
        }
        let Some(script) = &desk.script else {
            return self.order_at_desk(index, together, desk);
        };
        let own = together.commands.requests[desk.position];
        let whose = Whose::Together(index);
        let Some((mut order, commands)) = script.order(whose, &own, self.live.databases) else {
            return self.togethers.due.push_back(index);
        };
        order.lookups = desk.lookups.take();
        let surroundings =
            Surroundings { listens: together.listens, ..self.surroundings(desk.scratch.now()) };
        let home = self.home_of_orders();
        self.order(order.with_values(home, commands, surroundings, &mut desk.scratch));
    }

    /// The command at hand goes to the helpers, with what its keys hold at the desk.
    fn order_at_desk(&mut self, index: u32, together: &mut Together, desk: &mut Desk) {
        let (position, databases) = (desk.position, self.live.databases);
        let request = together.commands.requests[position];
        let keys = together.keys(position..position + 1, databases);
        let keys: Vec<Named> = keys.into_iter().map(|(_, named)| named).collect();
        let surroundings =
            Surroundings { listens: together.listens, ..self.surroundings(desk.scratch.now()) };
        let may_wait = together.may_wait();
        let commands = std::mem::take(&mut together.commands);
        let whose = Whose::Together(index);
        let lookups = desk.lookups.take();
        let order = Ordered { whose, request, position, may_wait, called: false, keys, lookups };
        let home = self.home_of_orders();
        let mut order = order.with_values(home, commands, surroundings, &mut desk.scratch);
        order.again |= together.widened.is_some();
        self.order(order);
    }

    /// A helper has run a command of several lanes.
    pub fn take_back_to_desk(&mut self, index: u32, done: Done) {
        let mut together = self.togethers.under_way.take(index);
        let mut desk = together.desk.take().expect("it waits for this");
        give_back_all(&mut desk.scratch, done.back, &done.effects);
        self.free_aside(done.effects);
        self.store.add_notices(done.notices);
        if let Some(lookups) = done.lookups {
            if desk.script.is_none() {
                together.commands = done.commands;
            }
            self.begin_look_up(&together, &mut desk, lookups);
            together.desk = Some(desk);
            self.togethers.under_way.put(index, together);
            return self.go_on(index);
        }
        if let Some(answer) = done.called {
            desk.script.as_mut().expect("it waits for this").take_answer(answer);
            together.desk = Some(desk);
            self.togethers.under_way.put(index, together);
            return self.go_on(index);
        }
        together.commands = done.commands;
        let request = together.commands.requests[desk.position];
        desk.position += 1;
        if done.failed {
            self.stats.failed(request.spec.id, &done.reply.bytes);
        }
        let from = together.replies.mark();
        together.replies.append(&done.reply, done.reply.whole());
        together.stretches.push(Stretch { from, to: together.replies.mark() });
        if together.is_transaction {
            let mut slices = Slices::new();
            together.commands.slices(&request, &mut slices);
            self.observe(together.connection, request.spec, done.ticks, &slices);
        }
        together.desk = Some(desk);
        self.togethers.under_way.put(index, together);
        self.go_on(index);
    }

    /// One slice of the transaction over several lanes whose turn it is.
    pub fn work_on_togethers(&mut self) {
        if let Some(index) = self.togethers.due.pop_front() {
            self.go_on(index);
        }
    }

    /// What has become of the keys, for their lanes; the store is empty again.
    fn clear_desk(&mut self, together: &mut Together, desk: Desk) {
        let Desk { mut scratch, recorder, .. } = desk;
        scratch.set_effect_sink(None);
        scratch.set_notice_mask(NoticeClasses::empty());
        for (_, Wanted { named, lend }) in together.wanted(together.segment(), self.live.databases)
        {
            if lend {
                let key = scratch.key(named.0, &named.1);
                let state = scratch.lend(&key);
                together.values.push((named, state));
            }
        }
        together.effects.extend(recorder.into_iter().flat_map(|recorder| recorder.take()));
        self.store.add_notices(scratch.take_notices());
        scratch.flush(None);
        while scratch.work(ringlane_store::Budget { units: 1000 }).more {}
        self.togethers.scratch = Some(scratch);
    }
}
