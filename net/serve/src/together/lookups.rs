//! Commands over several lanes that name keys by patterns (SORT's BY and GET): which slots these have,
//! and what the keys hold. A single command locks the slots of the keys that its arguments name, reads
//! which others it needs, gives everything back and locks the slots of all of them at once; if they are
//! others by then it begins anew, and after `ROUNDS_MAX` times, or if they are very many, it locks all
//! slots. A transaction has locked all from the start. Then each lane is asked for what its keys hold, a
//! slice at a time: no value travels but what a pattern names.

use bytes::Bytes;
use ringlane_base::{Database, LaneId, Slot};
use ringlane_command::lookups::look_up;
use ringlane_command::{CommandError, FormedKeys, Lookups};
use ringlane_script::PausedScript;

use super::desk::Desk;
use super::{Group, Together};
use crate::clock;
use crate::core::Core;
use crate::locks::SlotSet;
use crate::parcel::{Mail, Named, Release, Wanted};

/// Times that a command locks some slots and finds that it needs others.
const ROUNDS_MAX: u32 = 4;
/// A command that names more keys locks all slots: nearly all are among theirs, or it would hold the
/// lane while it finds out.
const NARROW_KEYS_MAX: usize = 1024;
/// Keys that other lanes are asked for in one slice.
const ASKED_AT_ONCE_MAX: usize = 512;

/// What a command locks besides the slots of the keys that its arguments name.
#[derive(Default)]
pub struct Widened {
    slots: Box<SlotSet>,
    rounds: u32,
    all: bool,
}

/// Keys that a command at the desk has asked for.
pub(super) struct LookingUp {
    pub(super) lookups: Box<Lookups>,
    /// Those that are at the desk themselves, ascending.
    named: Vec<Named>,
    /// Lanes that have been asked and have not answered.
    awaited: usize,
    /// Their slots are known to be locked.
    locked: bool,
}

/// A key that another lane is asked for.
struct Asked {
    /// Which of the lookups.
    index: usize,
    name: Box<[u8]>,
    field: Option<Bytes>,
}

/// Keys of one lane that a command wants to know, on their way there and, as far as one slice went, back.
pub struct LookUp {
    /// The command, at the lane that asks.
    together: u32,
    database: Database,
    no_touch: bool,
    asked: Vec<Asked>,
    /// Of the first of them.
    found: Vec<Option<Bytes>>,
}

/// What comes next of a command that wants to know what keys hold.
pub(super) enum Looked {
    /// It knows.
    All,
    /// Some are still to be looked up.
    Waits,
    /// It has not locked all their slots.
    Elsewhere,
    /// The script that has called it may not touch one.
    Refused(CommandError),
}

impl Together {
    /// Whether a command of it may read keys of whatever slots.
    pub(super) fn forms_any(&self, position: usize, lanes: usize) -> bool {
        let request = &self.commands.requests[position];
        // A lane door refuses it when it runs.
        (lanes == 1 || !self.lane_alone) && self.commands.formed_keys(request) == FormedKeys::Any
    }

    /// Whether a command of it is told what the keys hold that its patterns name.
    pub(super) fn looks_up(&self, position: usize, lanes: usize) -> bool {
        let request = &self.commands.requests[position];
        request.spec.formed_keys.is_some()
            && (self.commands.formed_keys(request) != FormedKeys::Any
                || self.forms_any(position, lanes))
    }

    /// Whether its keys' slots are not all that it locks: then it locks all there are.
    pub(super) fn locks_all(&self, lanes: usize) -> bool {
        match &self.widened {
            Some(widened) => widened.all,
            None => {
                self.is_transaction
                    && (0..self.commands.requests.len()).any(|at| self.forms_any(at, lanes))
            }
        }
    }

    /// The slots that it locks besides those of its keys.
    pub(super) fn widened_slots(&self) -> impl Iterator<Item = Slot> {
        self.widened.iter().flat_map(|widened| widened.slots.iter())
    }
}

impl Core {
    /// Begins to look up what the command at hand has asked for.
    pub(super) fn begin_look_up(
        &self,
        together: &Together,
        desk: &mut Desk,
        lookups: Box<Lookups>,
    ) {
        let named = together.keys(together.segment(), self.live.databases);
        let mut named: Vec<Named> = named.into_iter().map(|(_, named)| named).collect();
        named.sort_unstable();
        let request = &together.commands.requests[desk.position];
        // A script may only touch what it was given, a transaction has locked what it may need.
        let locked = desk.paused_script().is_some()
            || together.is_transaction
            || together.commands.formed_keys(request) != FormedKeys::Any;
        desk.looks_up = Some(LookingUp { lookups, named, awaited: 0, locked });
    }

    /// One slice of it.
    pub(super) fn look_up_at_desk(
        &mut self,
        index: u32,
        together: &mut Together,
        desk: &mut Desk,
    ) -> Looked {
        let mut looks_up = desk.looks_up.take().expect("looked by the caller");
        if !looks_up.locked && !Self::has_locked(together, &looks_up.lookups) {
            return Looked::Elsewhere;
        }
        looks_up.locked = true;
        let looked = self.look_up_some(index, together, desk, &mut looks_up);
        desk.looks_up = Some(looks_up);
        looked
    }

    /// Whether the slots of all keys are locked; if not, those are noted that must be.
    fn has_locked(together: &mut Together, lookups: &Lookups) -> bool {
        let widened = together.widened.get_or_insert_default();
        if widened.all {
            return true;
        }
        if lookups.total() > NARROW_KEYS_MAX || widened.rounds == ROUNDS_MAX {
            widened.all = true;
            return false;
        }
        let mut locked = SlotSet::default();
        for group in &together.groups {
            group.slots.iter().for_each(|slot| locked.add(*slot));
        }
        let (mut name, mut all) = (Vec::new(), true);
        for index in 0..lookups.total() {
            lookups.name(index, &mut name);
            let slot = Slot::of(&name);
            all &= locked.contains(slot);
            widened.slots.add(slot);
        }
        widened.rounds += u32::from(!all);
        all
    }

    fn look_up_some(
        &mut self,
        index: u32,
        together: &Together,
        desk: &mut Desk,
        looks_up: &mut LookingUp,
    ) -> Looked {
        let begun = clock::ticks();
        let request = together.commands.requests[desk.position];
        let script = desk.paused_script();
        let call = script.and_then(PausedScript::heavy);
        let database = call.map_or(request.database, |call| call.database);
        let mut letters: Vec<(LaneId, LookUp)> = Vec::new();
        let (mut name, mut asked) = (Vec::new(), 0);
        let LookingUp { lookups, named, .. } = looks_up;
        self.store.set_traceless(request.no_touch);
        while let Some(number) = lookups.next() {
            if asked == ASKED_AT_ONCE_MAX || clock::ticks().wrapping_sub(begun) > self.slice_ticks()
            {
                break;
            }
            let field = lookups.name(number, &mut name).cloned();
            let key = self.store.key(database, &name);
            if let Some(Err(refusal)) = desk.paused_script().map(|script| script.check_reach(&key))
            {
                self.store.set_traceless(false);
                return Looked::Refused(refusal);
            }
            let lane = self.shared.lane_of(key.slot);
            let at_desk = named.binary_search_by(|it| (it.0, &*it.1).cmp(&(database, &name[..])));
            let at_desk = at_desk.is_ok();
            if at_desk || lane == self.lane {
                let store = if at_desk { desk.scratch_mut() } else { &mut self.store };
                let found = look_up(store, &key, field.as_deref());
                lookups.push(found);
                continue;
            }
            lookups.push(None);
            let at = letters.iter().position(|(to, _)| *to == lane).unwrap_or_else(|| {
                let (no_touch, asked, found) = (request.no_touch, Vec::new(), Vec::new());
                let letter = LookUp { together: index, database, no_touch, asked, found };
                letters.push((lane, letter));
                letters.len() - 1
            });
            letters[at].1.asked.push(Asked { index: number, name: name[..].into(), field });
            asked += 1;
        }
        self.store.set_traceless(false);
        self.hand_out_touches(); // Of keys that were found to be due.
        looks_up.awaited = letters.len();
        for (lane, letter) in letters {
            self.outbox.post(lane, Mail::LookUp(Box::new(letter)));
        }
        if looks_up.awaited > 0 {
            Looked::Waits
        } else if looks_up.lookups.next().is_some() {
            self.togethers.due.push_back(index);
            Looked::Waits
        } else {
            Looked::All
        }
    }

    /// A command of another lane holds the slots of these keys and wants to know what is in them.
    pub fn take_look_up(&mut self, from: LaneId, mut letter: Box<LookUp>) {
        let begun = clock::ticks();
        let LookUp { database, no_touch, asked, found, .. } = &mut *letter;
        self.store.set_traceless(*no_touch);
        for Asked { name, field, .. } in asked {
            let key = self.store.key(*database, name);
            found.push(look_up(&mut self.store, &key, field.as_deref()));
            if clock::ticks().wrapping_sub(begun) > self.slice_ticks() {
                break;
            }
        }
        self.store.set_traceless(false);
        self.hand_out_touches();
        self.outbox.post(from, Mail::LookedUp(letter));
    }

    /// A lane has looked up some of what it was asked for.
    pub fn take_looked_up(&mut self, from: LaneId, mut letter: Box<LookUp>) {
        let index = letter.together;
        let together = self.togethers.under_way.get(index);
        let looks_up = together.desk.as_mut().and_then(|desk| desk.looks_up.as_mut());
        let looks_up = looks_up.expect("it waits for this");
        let answered = letter.found.len();
        for (asked, found) in letter.asked.drain(..answered).zip(letter.found.drain(..)) {
            looks_up.lookups.fill(asked.index, found);
        }
        if !letter.asked.is_empty() {
            return self.outbox.post(from, Mail::LookUp(letter));
        }
        looks_up.awaited -= 1;
        if looks_up.awaited == 0 {
            self.go_on(index);
        }
    }

    /// The slots that are locked are not those of all keys: they become free, unchanged, and all that
    /// are needed are to be locked.
    pub(super) fn widen(&mut self, together: &mut Together) {
        let changes = self.by_group(together);
        let groups = std::mem::take(&mut together.groups);
        for (Group { lane, slots, .. }, (values, effects)) in groups.into_iter().zip(changes) {
            self.post_release(lane, Release { slots, values, effects, ..Release::default() });
        }
        self.stats.slots_given_back += 1;
        together.fetched = false;
        self.make_groups(together, &[]);
        together.begin_taking();
    }

    /// The groups of a command on keys: their slots, those that are watched, and those of keys that its
    /// patterns name, as far as they are known.
    pub(super) fn make_groups(&self, together: &mut Together, watched: &[Slot]) {
        if together.locks_all(self.shared.lanes()) {
            return self.group_all(together);
        }
        together.fetched = true;
        let all = 0..together.commands.requests.len();
        let others = watched.iter().copied().chain(together.widened_slots());
        let mut keys: Vec<(Slot, Option<Wanted>)> = others.map(|slot| (slot, None)).collect();
        let wanted = together.wanted(all, self.live.databases).into_iter();
        keys.extend(wanted.map(|(slot, key)| (slot, Some(key))));
        keys.sort_unstable_by_key(|(slot, _)| *slot);
        self.group(together, keys);
    }
}
