//! Whose turn it is when a key has changed: the walk along those who wait for it, the oldest first,
//! which stands still at a command that another lane runs until that one has tried. Knows nothing of
//! what they take; the waiting commands themselves are in `blocked`.

use std::collections::BTreeSet;

use ringlane_store::OwnedKey;

use crate::blocked::{Blocked, Number};
use crate::core::Core;
use crate::interest::Touch;
use crate::parcel::Attempted;

/// How often a walk begins again because the key has changed meanwhile. Beyond, it first goes to its
/// end: a key that changes all the time must not keep it at the oldest, who may want something else.
const RESTARTS_MAX: u32 = 8;

/// Who waits for a key, the oldest first.
#[derive(Default)]
pub struct Queue {
    pub all: BTreeSet<Number>,
    /// Those among them who are to hear when the key goes.
    pub needing: BTreeSet<Number>,
}

/// Where a walk stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk {
    /// Who is to try, or has tried last. The walk stands still while another lane runs that one's
    /// command, and while its slots are held.
    told: Number,
    restarts: u32,
    /// The key has changed meanwhile: another walk follows.
    changed: bool,
}

impl Blocked {
    /// Whether an older one is to try first for one of the keys that this one waits for.
    pub fn is_behind(&self, number: Number) -> bool {
        let keys = self.waiters.get(&number).map_or(&[][..], |waiter| &waiter.keys);
        keys.iter().any(|key| self.walks.get(key).is_some_and(|walk| walk.told < number))
    }

    /// The walks that stand at this command.
    pub fn take_walks(&mut self, number: Number) -> Vec<(OwnedKey, Walk)> {
        self.walks.extract_if(|_, walk| walk.told == number).collect()
    }
}

impl Core {
    /// A key that somebody waits for has changed.
    pub fn tell_blocked(&mut self, touch: &Touch) {
        match touch {
            Touch::Key { key, .. } => self.serve_blocked(key),
            // The keys that these touch are named before them.
            Touch::Sweep(_) | Touch::Many => {}
        }
    }

    /// Lets those who wait for the key try again.
    fn serve_blocked(&mut self, key: &OwnedKey) {
        let Some(walk) = self.blocked.walks.get_mut(key) else {
            return self.walk(key, Walk::default());
        };
        let oldest = self.blocked.queues.get(key).and_then(|queue| queue.all.first());
        if oldest.is_none_or(|oldest| *oldest >= walk.told) {
            return; // It has not tried yet, so it finds this change as well.
        }
        if walk.restarts == RESTARTS_MAX {
            walk.changed = true;
            return;
        }
        let restarts = walk.restarts + 1;
        self.blocked.walks.remove(key);
        self.walk(key, Walk { restarts, ..Walk::default() });
    }

    /// Lets those try who came after the one told last, until nothing is left to take. Where there is
    /// no key, those who need it are to be refused.
    pub fn walk(&mut self, key: &OwnedKey, mut walk: Walk) {
        loop {
            let is_there = self.store.peek(&key.as_key()).is_some();
            let Some(queue) = self.blocked.queues.get(key) else { return };
            let waiting = if is_there { &queue.all } else { &queue.needing };
            let Some(number) = waiting.range(walk.told + 1..).next().copied() else {
                if walk.changed {
                    walk = Walk::default();
                    continue;
                }
                return;
            };
            walk.told = number;
            if self.is_held(number) {
                // Nobody overtakes it: it tries when its slots are free.
                self.blocked.walks.insert(key.clone(), walk);
                return self.blocked.deferred.push(key.clone());
            }
            if let Some(lane) = self.blocked.waiters[&number].leader() {
                self.blocked.walks.insert(key.clone(), walk);
                return self.tell_leader(lane, number);
            }
            self.try_again(number);
        }
    }

    /// Walks go on that stood at a command of several lanes, unless they have begun anew.
    pub fn walk_on(&mut self, walks: Vec<(OwnedKey, Walk)>) {
        for (key, walk) in walks {
            if !self.blocked.walks.contains_key(&key) {
                self.walk(&key, walk);
            }
        }
    }

    /// The walks that stand at a command of several lanes which releases its slots; where it stays,
    /// it waits again.
    pub fn end_attempt(&mut self, attempted: &Attempted) -> Vec<(OwnedKey, Walk)> {
        let (number, looked) = match attempted {
            Attempted::Ended(number) => {
                self.dequeue(*number);
                (*number, true)
            }
            Attempted::FoundNothing(waits) => (self.watch_for(waits), true),
            Attempted::SteppedBack(waits) => (self.watch_for(waits), false),
        };
        let mut walks = self.blocked.take_walks(number);
        if !looked {
            // It must be told again of what it has not looked at.
            for (_, walk) in &mut walks {
                walk.told = number - 1;
            }
        }
        walks
    }

    /// Slots have been released: walks go on that stand at a command of this lane.
    pub fn serve_deferred(&mut self) {
        for key in std::mem::take(&mut self.blocked.deferred) {
            let Some(walk) = self.blocked.walks.get(&key).copied() else { continue };
            let waiter = self.blocked.waiters.get(&walk.told);
            if waiter.is_none_or(|waiter| waiter.leader().is_none()) {
                self.blocked.walks.remove(&key);
                self.walk(&key, Walk { told: walk.told - 1, ..walk });
            }
        }
    }
}
