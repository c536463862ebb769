//! Commands whose keys live on several lanes: the slots are locked in ascending order, the entries
//! travel here, the handler runs on a scratch store that holds nothing else, and its effects travel
//! back with the release. Strictly serializable; no deadlock, since the order is total.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ringlane_base::{Database, LaneId, Slot};
use ringlane_command::{Args, CommandSpec, Run};
use ringlane_store::{Effect, EffectSink, Exported, NoticeClasses, Options, OwnedEffect, Store};

use crate::core::Core;
use crate::execute::{Manner, Slices, run_handler};
use crate::locks::Waiter;
use crate::parcel::{Grant, Holder, LockRequest, Mail, Parcel, Release};
use crate::reply_buffer::{ReplyBuffer, Stretch};
use crate::ring::ConnectionId;

/// The keys of one lane that a command needs.
struct Group {
    lane: LaneId,
    slots: Vec<Slot>,
    keys: Vec<(usize, Database, Vec<u8>)>,
}

/// One command over several lanes, under way.
pub struct Together {
    connection: ConnectionId,
    sequence: u32,
    spec: &'static CommandSpec,
    manner: Manner,
    args: Vec<Bytes>,
    /// Ascending by lane, so by slot.
    groups: Vec<Group>,
    granted: usize,
    entries: Vec<(usize, Option<Exported>)>,
}

/// The commands over several lanes that this lane runs.
#[derive(Default)]
pub struct Togethers {
    places: Vec<Option<Together>>,
    free: Vec<u32>,
    /// Empty between commands.
    scratch: Option<Box<Store>>,
}

impl Togethers {
    fn insert(&mut self, together: Together) -> u32 {
        if let Some(index) = self.free.pop() {
            self.places[index as usize] = Some(together);
            return index;
        }
        self.places.push(Some(together));
        self.places.len() as u32 - 1
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

/// Keeps the effects of one handler.
struct Recorder(Arc<Mutex<Vec<OwnedEffect>>>);

impl EffectSink for Recorder {
    fn effect(&mut self, effect: &Effect<'_>) {
        self.0.lock().expect("one thread has it").push(effect.to_owned());
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
    /// Starts a command whose keys live on several lanes.
    pub fn begin_together(
        &mut self,
        id: ConnectionId,
        spec: &'static CommandSpec,
        manner: Manner,
        args: Args<'_>,
    ) {
        let mut keys: Vec<(Slot, usize)> =
            spec.keys_of(args).map(|index| (Slot::of(&args[index]), index)).collect();
        keys.sort_unstable();
        let mut groups: Vec<Group> = Vec::new();
        for (slot, index) in keys {
            let lane = self.shared.lane_of(slot);
            if groups.last().is_none_or(|group| group.lane != lane) {
                groups.push(Group { lane, slots: Vec::new(), keys: Vec::new() });
            }
            let group = groups.last_mut().expect("just pushed");
            if group.slots.last() != Some(&slot) {
                group.slots.push(slot);
            }
            let database = spec.key_database(args, index, manner.database, self.live.databases);
            group.keys.push((index, database, args[index].to_vec()));
        }
        let connection = self.connections.get(id).expect("looked up by the caller");
        connection.barrier = true;
        let together = Together {
            connection: id,
            sequence: connection.reserve_place(),
            spec,
            manner,
            args: args.to_shared(),
            groups,
            granted: 0,
            entries: Vec::new(),
        };
        let index = self.togethers.insert(together);
        self.lock_next_group(index);
    }

    /// Asks the next lane for its slots.
    fn lock_next_group(&mut self, index: u32) {
        let together = self.togethers.places[index as usize].as_mut().expect("under way");
        let group = &mut together.groups[together.granted];
        let request = Box::new(LockRequest {
            holder: Holder::Together(index),
            slots: group.slots.clone(),
            keys: std::mem::take(&mut group.keys),
        });
        let lane = group.lane;
        if lane == self.lane {
            self.take_lock_request(lane, request, 0);
        } else {
            self.outbox.post(lane, Mail::Lock(request));
        }
    }

    /// A lane wants slots of this one, from `next` on.
    pub fn take_lock_request(&mut self, from: LaneId, request: Box<LockRequest>, next: usize) {
        let Some(request) = self.locks.acquire(from, request, next) else { return };
        let entries = request
            .keys
            .iter()
            .map(|(index, database, bytes)| {
                let key = self.store.key(*database, bytes);
                (*index, self.store.export(&key))
            })
            .collect();
        let grant = Grant { holder: request.holder, entries };
        if from == self.lane {
            self.take_grant(grant);
        } else {
            self.outbox.post(from, Mail::Grant(Box::new(grant)));
        }
    }

    /// A lane has granted its slots; when all have, the command runs.
    pub fn take_grant(&mut self, grant: Grant) {
        let index = match grant.holder {
            Holder::Together(index) => index,
            Holder::Long(index) => return self.take_long_grant(index),
        };
        let together = self.togethers.places[index as usize].as_mut().expect("under way");
        together.entries.extend(grant.entries);
        together.granted += 1;
        if together.granted < together.groups.len() {
            return self.lock_next_group(index);
        }
        let together = self.togethers.places[index as usize].take().expect("under way");
        self.togethers.free.push(index);
        self.run_together(&together);
    }

    /// Runs the command on the scratch store and releases the slots.
    fn run_together(&mut self, together: &Together) {
        let slices: Slices<'_> = together.args.iter().map(|arg| &arg[..]).collect();
        let args = Args::new(&slices, &together.args);
        let mut out = ReplyBuffer::default();
        let effects = self.run_on_scratch(together, args, &mut out);
        let mut by_lane: Vec<Vec<OwnedEffect>> =
            together.groups.iter().map(|_| Vec::new()).collect();
        for effect in effects {
            let slot = slot_of(&effect);
            let lane = self.shared.lane_of(slot);
            let group = together.groups.iter().position(|group| group.lane == lane);
            by_lane[group.expect("a command changes only its own keys")].push(effect);
        }
        for (group, effects) in together.groups.iter().zip(by_lane) {
            let release = Release { slots: group.slots.clone(), effects };
            if group.lane == self.lane {
                self.take_release(release);
            } else {
                self.outbox.post(group.lane, Mail::Release(Box::new(release)));
            }
        }
        let stretch = Stretch { from: ReplyBuffer::default().mark(), to: out.mark() };
        self.fill_place(together.connection, together.sequence, &out, stretch);
        self.lift_barrier(together.connection);
    }

    fn run_on_scratch(
        &mut self,
        together: &Together,
        args: Args<'_>,
        out: &mut ReplyBuffer,
    ) -> Vec<OwnedEffect> {
        let Run::Store(handler) = together.spec.run else {
            unreachable!("only commands on data need locks");
        };
        let mut scratch = self.togethers.scratch.take().unwrap_or_else(|| {
            Box::new(Store::new(Options {
                hash_seed: self.shared.hash_seed,
                random_seed: 0,
                databases: self.live.databases,
                slots: 0..ringlane_base::SLOT_COUNT as u16,
            }))
        });
        scratch.begin_turn(self.store.now());
        for (index, entry) in &together.entries {
            if let Some(entry) = entry {
                let (selected, databases) = (together.manner.database, self.live.databases);
                let database = together.spec.key_database(args, *index, selected, databases);
                let key = scratch.key(database, &args[*index]);
                scratch.import(&key, entry).expect("the scratch store has no limit");
            }
        }
        let effects = Arc::new(Mutex::new(Vec::new()));
        scratch.set_effect_sink(Some(Box::new(Recorder(Arc::clone(&effects)))));
        scratch.set_notice_mask(self.store.notice_mask());
        let fine = run_handler(&mut scratch, handler, args, None, together.manner, out);
        if !fine {
            self.stats.failed(together.spec.id, &out.bytes);
        }
        scratch.set_effect_sink(None);
        scratch.set_notice_mask(NoticeClasses::NONE);
        self.store.add_notices(scratch.take_notices());
        scratch.flush(None);
        while scratch.work(ringlane_store::Budget { units: 1000 }).more {}
        self.togethers.scratch = Some(scratch);
        std::mem::take(&mut *effects.lock().expect("one thread has it"))
    }

    /// A command has run: its changes to this lane are made, and its slots are free.
    pub fn take_release(&mut self, release: Release) {
        for effect in &release.effects {
            if self.store.apply(effect).is_err() {
                // The reply has promised it; the limit is the lesser promise, and eviction follows.
                self.stats.forced_writes += 1;
                self.store.set_limits(ringlane_store::Limits::default());
                self.store.apply(effect).expect("there is no limit now");
                self.refresh_settings();
            }
        }
        self.hand_out_touches();
        for slot in release.slots {
            for waiter in self.locks.release(slot) {
                match waiter {
                    Waiter::Request(from, parcel) => self.run_parcel(from, parcel),
                    Waiter::Lock { from, request, next } => {
                        self.take_lock_request(from, request, next + 1);
                    }
                }
            }
        }
        self.serve_deferred();
    }

    /// Runs a single request, or queues it behind the slot that it finds held.
    pub fn park_or_run(&mut self, from: LaneId, parcel: Box<Parcel>) {
        let held = {
            let request = &parcel.requests[0];
            let mut slices = Slices::new();
            parcel.slices(request, &mut slices);
            request
                .spec
                .key_positions(slices.len(), |index| slices[index])
                .map(|index| Slot::of(slices[index]))
                .find(|slot| self.locks.holds(*slot))
        };
        match held {
            Some(slot) => self.locks.park(slot, from, parcel),
            None => self.run_parcel(from, parcel),
        }
    }
}
