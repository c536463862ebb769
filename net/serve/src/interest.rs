//! Who waits for which keys of this lane to change, and which of them have. One listener at the
//! store serves all parties: WATCH, blocked commands, client tracking. Knows no connection and
//! answers nobody; each party keeps its own table of who waits for what.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use ringlane_base::LaneId;
use ringlane_store::types::Segmented;
use ringlane_store::{Effect, EffectSink, Key, OwnedKey, Store, Sweep};

use crate::core::Core;
use crate::ring::ConnectionId;

/// Touches kept of keys that only those care for who care for all keys; beyond, `Touch::Many`.
const UNNAMED_MAX: usize = 1 << 16;

/// Who may wait for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// Transactions that must not run once the key has changed.
    Watch,
    /// Commands that wait for something to take.
    Blocked,
    /// Clients that keep copies.
    Tracked,
}

impl Party {
    pub const ALL: [Self; 3] = [Self::Watch, Self::Blocked, Self::Tracked];

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Some parties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parties(u8);

impl Parties {
    #[inline]
    pub const fn has(self, party: Party) -> bool {
        self.0 & party.bit() != 0
    }

    fn add(&mut self, party: Party) {
        self.0 |= party.bit();
    }

    fn remove(&mut self, party: Party) {
        self.0 &= !party.bit();
    }

    const fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// What has happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touch {
    /// The key was written, removed, evicted, has expired, or its expiry has changed. A flush or an
    /// exchange of databases touches so the keys that `Watch` and `Blocked` want, if the database had
    /// them before (or either of the two).
    Key { key: OwnedKey, parties: Parties },
    /// Whole databases have changed: said to `Tracked`, after the keys that it touched.
    Sweep(Sweep),
    /// More keys than are worth naming: said to `Tracked` if it wants all keys.
    Many,
}

/// A key that somebody waits for.
struct Wanted {
    key: OwnedKey,
    parties: Parties,
    /// It is among the touches that have not been taken yet.
    noted: Cell<bool>,
}

impl Wanted {
    fn hash(&self) -> u64 {
        self.key.hash.0
    }
}

/// Keys that somebody waits for: a million of them come and go without the lane standing still, and
/// leave no room taken behind.
#[derive(Default)]
struct Wants(Segmented<Wanted>);

impl Wants {
    fn add(&mut self, party: Party, key: &Key<'_>) {
        let is_it = |wanted: &Wanted| wanted.key.as_key() == *key;
        let make =
            || Wanted { key: (*key).into(), parties: Parties::default(), noted: Cell::new(false) };
        let (wanted, _) = self.0.find_or_insert(key.hash.0, is_it, make, Wanted::hash);
        wanted.parties.add(party);
    }

    fn remove(&mut self, party: Party, key: &Key<'_>) {
        let is_it = |wanted: &Wanted| wanted.key.as_key() == *key;
        let Some(wanted) = self.0.find_mut(key.hash.0, is_it) else { return };
        wanted.parties.remove(party);
        if wanted.parties.is_none() {
            self.0.remove(key.hash.0, is_it, Wanted::hash);
        }
    }

    #[inline]
    fn find(&self, key: &Key<'_>) -> Option<&Wanted> {
        self.0.find(key.hash.0, |wanted| wanted.key.as_key() == *key)
    }
}

/// What the listener writes and the lane reads.
#[derive(Default)]
struct Ledger {
    /// Of `Watch` and `Blocked`: these must be gone through when databases are flushed.
    waiting: Wants,
    /// Of `Tracked`: there may be a million of them.
    tracked: Wants,
    /// Those who care for every key.
    all: Parties,
    touches: Vec<Touch>,
    /// How many of the touches are of keys that nobody named.
    unnamed: usize,
}

impl Ledger {
    fn table(&mut self, party: Party) -> &mut Wants {
        match party {
            Party::Watch | Party::Blocked => &mut self.waiting,
            Party::Tracked => &mut self.tracked,
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.0.is_empty() && self.tracked.0.is_empty() && self.all.is_none()
    }

    /// Notes that the key has been touched, once until the touches are taken. Whether it did.
    fn touch(&mut self, key: &Key<'_>) -> bool {
        let mut parties = Parties::default();
        for table in [&self.waiting, &self.tracked] {
            if table.0.is_empty() {
                continue;
            }
            if let Some(wanted) = table.find(key)
                && !wanted.noted.replace(true)
            {
                parties.0 |= wanted.parties.0;
            }
        }
        if !self.all.is_none() {
            if parties.is_none() {
                self.unnamed += 1;
                if self.unnamed > UNNAMED_MAX {
                    self.all_touched();
                    return true;
                }
            }
            parties.0 |= self.all.0;
        }
        if parties.is_none() {
            return false;
        }
        self.touches.push(Touch::Key { key: (*key).into(), parties });
        true
    }

    #[cold]
    fn all_touched(&mut self) {
        if self.unnamed == UNNAMED_MAX + 1 {
            self.touches.push(Touch::Many);
        }
    }

    /// Notes those keys of the databases concerned that are there before the sweep.
    fn sweep(&mut self, sweep: Sweep, exists: &dyn Fn(&Key<'_>) -> bool) {
        let there = |key: &OwnedKey, database| exists(&Key { database, ..key.as_key() });
        for wanted in &self.waiting.0 {
            let key = &wanted.key;
            let touched = match sweep {
                Sweep::Flush { database } => {
                    database.is_none_or(|database| database == key.database)
                        && there(key, key.database)
                }
                Sweep::Swap { a, b } => {
                    [a, b].contains(&key.database) && a != b && (there(key, a) || there(key, b))
                }
            };
            if touched && !wanted.noted.replace(true) {
                self.touches.push(Touch::Key { key: key.clone(), parties: wanted.parties });
            }
        }
        self.touches.push(Touch::Sweep(sweep));
    }
}

/// The ledger, and whether it has something to read.
#[derive(Default)]
struct Book {
    touched: AtomicBool,
    ledger: Mutex<Ledger>,
}

impl Book {
    fn open(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("one thread has it")
    }
}

struct Listener(Arc<Book>);

impl EffectSink for Listener {
    fn effect(&mut self, effect: &Effect<'_>) {
        let key = match effect {
            Effect::Set { key, .. }
            | Effect::Edit { key, .. }
            | Effect::Expire { key, .. }
            | Effect::Remove { key, .. } => key,
            // `before_sweep` has said which keys these touch.
            Effect::Flush { .. } | Effect::Swap { .. } => return,
        };
        if self.0.open().touch(key) {
            self.0.touched.store(true, Ordering::Relaxed);
        }
    }

    fn before_sweep(&mut self, sweep: Sweep, exists: &dyn Fn(&Key<'_>) -> bool) {
        self.0.open().sweep(sweep, exists);
        self.0.touched.store(true, Ordering::Relaxed);
    }
}

/// The lane's side of it. While nobody waits for anything the store has no listener.
#[derive(Default)]
pub struct Interest {
    book: Arc<Book>,
    listening: bool,
    handing_out: bool,
    /// How many have asked to wait with it.
    holds: u32,
}

impl Interest {
    /// From now on `party` hears when the key is touched. To say so again changes nothing: who
    /// exactly waits, and how many, is the party's matter.
    pub fn want(&mut self, store: &mut Store, party: Party, key: &Key<'_>) {
        self.book.open().table(party).add(party, key);
        self.listen(store);
    }

    /// `party` does not care for the key any more, unless it cares for all.
    pub fn forget(&mut self, store: &mut Store, party: Party, key: &Key<'_>) {
        self.book.open().table(party).remove(party, key);
        self.rest(store);
    }

    /// Whether `party` hears of every key.
    pub fn want_all(&mut self, store: &mut Store, party: Party, wanted: bool) {
        let mut ledger = self.book.open();
        if wanted {
            ledger.all.add(party);
            drop(ledger);
            self.listen(store);
        } else {
            ledger.all.remove(party);
            drop(ledger);
            self.rest(store);
        }
    }

    fn listen(&mut self, store: &mut Store) {
        if !std::mem::replace(&mut self.listening, true) {
            store.set_effect_sink(Some(Box::new(Listener(Arc::clone(&self.book)))));
        }
    }

    fn rest(&mut self, store: &mut Store) {
        if self.listening && self.book.open().is_idle() {
            self.listening = false;
            store.set_effect_sink(None);
        }
    }

    /// Whether anything was touched since the last `take`.
    #[inline]
    pub fn is_touched(&self) -> bool {
        self.listening && self.holds == 0 && self.book.touched.load(Ordering::Relaxed)
    }

    /// Until `release`, nobody is told of touches: what is under way must be seen whole or not at all.
    pub fn hold(&mut self) {
        self.holds += 1;
    }

    pub fn release(&mut self) {
        self.holds -= 1;
    }

    /// What was touched since the last call.
    pub fn take(&mut self) -> Vec<Touch> {
        self.book.touched.store(false, Ordering::Relaxed);
        let mut ledger = self.book.open();
        let touches = std::mem::take(&mut ledger.touches);
        ledger.unnamed = 0;
        for touch in &touches {
            let Touch::Key { key, .. } = touch else { continue };
            let key = key.as_key();
            let tables = [&ledger.waiting, &ledger.tracked];
            for wanted in tables.into_iter().filter_map(|table| table.find(&key)) {
                wanted.noted.set(false);
            }
        }
        touches
    }

    /// Keys that somebody waits for: those of `Watch` and `Blocked` together, and those of `Tracked`.
    pub fn counts(&self) -> (usize, usize) {
        let ledger = self.book.open();
        (ledger.waiting.0.len(), ledger.tracked.0.len())
    }
}

impl Core {
    /// Tells every party what has been touched. Called whenever something may have changed this
    /// lane's store: after a handler, a transaction or a script as a whole, the effects of a command
    /// over several lanes, a slice of upkeep.
    #[inline]
    pub fn hand_out_touches(&mut self) {
        if self.interest.is_touched() {
            self.hand_out();
        }
    }

    /// The same for what the commands of this connection have touched, if it tracks.
    pub fn hand_out_touches_of(&mut self, writer: Option<(LaneId, ConnectionId)>) {
        self.tracking.writer = writer;
        self.hand_out_touches();
        self.tracking.writer = None;
    }

    #[cold]
    fn hand_out(&mut self) {
        // Who is told may run commands that touch keys: those come in the next round of this loop.
        if std::mem::replace(&mut self.interest.handing_out, true) {
            return;
        }
        // Whose doing the first round is; what it wakes does the others.
        let mut writer = self.tracking.writer;
        // Ends: a round touches keys only by serving waiters, of which each is served once.
        while self.interest.is_touched() {
            for touch in self.interest.take() {
                for party in Party::ALL {
                    self.tracking.writer = writer;
                    self.tell(party, &touch);
                }
            }
            writer = None;
        }
        self.interest.handing_out = false;
    }

    /// One line a party: what it does with a touch is in its own file.
    fn tell(&mut self, party: Party, touch: &Touch) {
        if matches!(touch, Touch::Key { parties, .. } if !parties.has(party)) {
            return;
        }
        match party {
            Party::Watch => self.tell_watchers(touch),
            Party::Blocked => self.tell_blocked(touch),
            Party::Tracked => self.tell_trackers(touch),
        }
    }
}

#[cfg(test)]
mod tests {
    use ringlane_base::{Database, Due, HashSeed, Millis, Now, SLOT_COUNT};
    use ringlane_store::{Budget, Expiry, NewValue, Options, Removal};

    use super::*;

    struct Lane {
        store: Store,
        interest: Interest,
    }

    impl Lane {
        fn new() -> Self {
            let mut store = Store::new(Options {
                hash_seed: HashSeed(7),
                random_seed: 7,
                databases: 3,
                slots: 0..SLOT_COUNT as u16,
            });
            store.begin_turn(Now::both(Millis(1000)));
            Self { store, interest: Interest::default() }
        }

        fn want(&mut self, party: Party, database: u8, name: &str) {
            let key = self.store.key(Database(database), name.as_bytes());
            self.interest.want(&mut self.store, party, &key);
        }

        fn forget(&mut self, party: Party, database: u8, name: &str) {
            let key = self.store.key(Database(database), name.as_bytes());
            self.interest.forget(&mut self.store, party, &key);
        }

        fn set(&mut self, database: u8, name: &str, expiry: Expiry) {
            let key = self.store.key(Database(database), name.as_bytes());
            self.store.set(&key, NewValue::Text(b"value"), expiry).expect("there is room");
        }

        /// Names of the touched keys, with the letters of their parties.
        fn touched(&mut self) -> Vec<String> {
            let name = |touch: Touch| match touch {
                Touch::Key { key, parties } => {
                    let letters = Party::ALL.into_iter().zip(["w", "b", "t"]);
                    let letters = letters.filter(|(party, _)| parties.has(*party));
                    let letters: String = letters.map(|(_, letter)| letter).collect();
                    let name = String::from_utf8_lossy(&key.bytes).into_owned();
                    format!("{letters}:{}{name}", key.database.0)
                }
                Touch::Sweep(_) => "sweep".to_owned(),
                Touch::Many => "many".to_owned(),
            };
            let mut touched: Vec<String> = self.interest.take().into_iter().map(name).collect();
            touched.sort();
            touched
        }
    }

    #[test]
    fn parties_hear_of_their_keys_once_and_only_while_they_care() {
        let mut lane = Lane::new();
        lane.set(0, "a", Expiry::Never);
        assert!(!lane.interest.is_touched());
        lane.want(Party::Watch, 0, "a");
        lane.want(Party::Blocked, 0, "a");
        lane.want(Party::Tracked, 0, "a");
        lane.want(Party::Tracked, 1, "b");
        for name in ["a", "a", "b", "c"] {
            lane.set(0, name, Expiry::Never);
        }
        assert!(lane.interest.is_touched());
        assert_eq!(lane.touched(), ["wbt:0a"]);
        assert!(!lane.interest.is_touched());

        lane.forget(Party::Blocked, 0, "a");
        let key = lane.store.key(Database(0), b"a");
        lane.store.remove(&key, Removal::Deleted);
        lane.set(1, "b", Expiry::Never);
        assert_eq!(lane.touched(), ["t:1b", "wt:0a"]);

        lane.forget(Party::Watch, 0, "a");
        lane.forget(Party::Tracked, 0, "a");
        lane.forget(Party::Tracked, 1, "b");
        lane.set(0, "a", Expiry::Never);
        assert!(!lane.interest.is_touched());
        assert_eq!(lane.interest.counts(), (0, 0));
    }

    #[test]
    fn many_keys_come_in_small_steps_and_leave_no_room_taken() {
        /// More than one step of growth of any part, less than a table of all keys takes.
        const STEP_BYTES_MAX: usize = 256 << 10;
        let mut lane = Lane::new();
        let bytes = |lane: &Lane| lane.interest.book.open().tracked.0.bytes();
        let empty = bytes(&lane);
        let (mut before, mut step) = (empty, 0);
        for number in 0..100_000 {
            lane.want(Party::Tracked, 0, &number.to_string());
            let after = bytes(&lane);
            step = step.max(after.saturating_sub(before));
            before = after;
        }
        assert!(before > 8 * STEP_BYTES_MAX, "{before} bytes");
        assert!(step < STEP_BYTES_MAX, "{step} bytes more at once");
        for number in 0..100_000 {
            lane.forget(Party::Tracked, 0, &number.to_string());
        }
        assert_eq!(lane.interest.counts(), (0, 0));
        assert!(bytes(&lane) < empty + 4096, "{} bytes are left", bytes(&lane));
    }

    #[test]
    fn expiry_touches() {
        let mut lane = Lane::new();
        lane.set(0, "lazily", Expiry::At(Due::at(Millis(1500))));
        lane.set(0, "in time", Expiry::At(Due::at(Millis(1500))));
        lane.want(Party::Watch, 0, "lazily");
        lane.want(Party::Watch, 0, "in time");
        lane.store.begin_turn(Now::both(Millis(2000)));
        let key = lane.store.key(Database(0), b"lazily");
        assert!(lane.store.peek(&key).is_none());
        assert_eq!(lane.touched(), ["w:0lazily"]);
        while lane.store.work(Budget { units: 100 }).more {}
        assert_eq!(lane.touched(), ["w:0in time"]);
    }

    #[test]
    fn sweeps_touch_what_was_there() {
        let mut lane = Lane::new();
        for (database, name) in [(0, "here"), (1, "there"), (2, "away")] {
            lane.set(database, name, Expiry::Never);
        }
        for database in 0..3 {
            for name in ["here", "there", "away", "nowhere"] {
                lane.want(Party::Watch, database, name);
            }
        }
        lane.want(Party::Tracked, 0, "here");
        lane.store.swap(Database(0), Database(1));
        assert_eq!(lane.touched(), ["sweep", "w:0here", "w:0there", "w:1here", "w:1there"]);
        lane.store.flush(Some(Database(1)));
        assert_eq!(lane.touched(), ["sweep", "w:1here"]);
        lane.store.flush(None);
        assert_eq!(lane.touched(), ["sweep", "w:0there", "w:2away"]);
    }

    #[test]
    fn who_wants_all_keys_hears_of_each_up_to_a_bound() {
        let mut lane = Lane::new();
        lane.interest.want_all(&mut lane.store, Party::Tracked, true);
        lane.want(Party::Watch, 0, "a");
        lane.set(0, "a", Expiry::Never);
        lane.set(1, "b", Expiry::Never);
        assert_eq!(lane.touched(), ["t:1b", "wt:0a"]);
        for _ in 0..UNNAMED_MAX + 2 {
            lane.set(1, "b", Expiry::Never);
        }
        let touched = lane.touched();
        assert_eq!((touched.len(), touched[0].as_str()), (UNNAMED_MAX + 1, "many"));
        lane.forget(Party::Watch, 0, "a");
        lane.interest.want_all(&mut lane.store, Party::Tracked, false);
        lane.set(1, "b", Expiry::Never);
        assert!(!lane.interest.is_touched());
    }
}
