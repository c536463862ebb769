//! The store against a plain map: random operations in all kinds of worlds, compared at every step.
//! `RINGLANE_MODEL_OPERATIONS` scales it; a failure prints the seed that repeats it.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use ringlane_base::{Clock, Database, Due, HashSeed, Millis, Now};
use ringlane_store::{
    Budget, Expiry, Key, Limits, NewValue, Options, OwnedEffect, OwnedValue, Policy, Recorder,
    Removal, Store, Value,
};

const DATABASES: u8 = 4;

/// What one world is like.
#[derive(Clone, Copy, Debug)]
struct World {
    seed: u64,
    /// How many different keys there are.
    keys: u32,
    /// One value in so many has an allocation of its own.
    blobs: u32,
    /// Slots: 1 makes every key fall into few slots by its hash tag.
    tags: u32,
    limits: Limits,
    /// How often a database is flushed: one operation in so many.
    flushes: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    text: Vec<u8>,
    expiry: Option<Due>,
}

type Model = HashMap<(u8, Vec<u8>), Held>;

fn text_of(value: &Value<'_>) -> Vec<u8> {
    match value {
        Value::Text(text) => text.to_vec(),
        Value::Integer(integer) => integer.to_string().into_bytes(),
        Value::Blob(blob) => blob.to_vec(),
        Value::Collection(_) => panic!("only strings are set here"),
    }
}

fn options(seed: u64) -> Options {
    Options { hash_seed: HashSeed(seed), random_seed: seed, databases: DATABASES, slots: 0..16384 }
}

fn owned_text(value: &OwnedValue) -> Vec<u8> {
    match value {
        OwnedValue::Text(text) => text.to_vec(),
        OwnedValue::Integer(integer) => integer.to_string().into_bytes(),
        OwnedValue::Blob(blob) => blob.to_vec(),
        OwnedValue::Collection(_) => panic!("only strings are set here"),
    }
}

/// Applies an effect to the model.
fn apply(model: &mut Model, effect: &OwnedEffect) {
    match effect {
        OwnedEffect::Set { key, value, expiry } => {
            let held = Held { text: owned_text(value), expiry: *expiry };
            model.insert((key.database.0, key.bytes.to_vec()), held);
        }
        OwnedEffect::Edit { .. } => panic!("only strings are set here"),
        OwnedEffect::Expire { key, expiry } => {
            let place = (key.database.0, key.bytes.to_vec());
            model.get_mut(&place).expect("only what exists changes").expiry = *expiry;
        }
        OwnedEffect::Remove { key, .. } => {
            let removed = model.remove(&(key.database.0, key.bytes.to_vec()));
            assert!(removed.is_some(), "only what exists goes");
        }
        OwnedEffect::Flush { database: None } => model.clear(),
        OwnedEffect::Flush { database: Some(database) } => {
            model.retain(|(number, _), _| *number != database.0);
        }
        OwnedEffect::Swap { a, b } => {
            *model = std::mem::take(model)
                .into_iter()
                .map(|((number, key), held)| {
                    let number = match number {
                        _ if number == a.0 => b.0,
                        _ if number == b.0 => a.0,
                        _ => number,
                    };
                    ((number, key), held)
                })
                .collect();
        }
    }
}

struct Run {
    world: World,
    dice: fastrand::Rng,
    store: Store,
    /// Follows the store by its effects.
    replica: Store,
    model: Model,
    recorder: Recorder,
    now: Now,
    evicted: u64,
}

impl Run {
    fn new(world: World) -> Self {
        let mut store = Store::new(options(world.seed));
        let recorder = Recorder::attach(&mut store);
        store.set_limits(world.limits);
        let now = Now::both(Millis(1_700_000_000_000));
        store.begin_turn(now);
        let mut replica = Store::new(options(world.seed ^ 1));
        replica.begin_turn(Now::both(Millis(0)));
        let dice = fastrand::Rng::with_seed(world.seed);
        Self { world, dice, store, replica, model: Model::new(), recorder, now, evicted: 0 }
    }

    fn key_bytes(&mut self) -> Vec<u8> {
        let number = self.dice.u32(..self.world.keys);
        let tag = number % self.world.tags;
        let mut key = format!("{{{tag}}}key:{number}").into_bytes();
        if number.is_multiple_of(7) {
            key.extend(std::iter::repeat_n(b'x', (number % 300) as usize));
        }
        if number.is_multiple_of(5003) {
            key.extend(std::iter::repeat_n(b'y', 40_000));
        }
        key
    }

    fn text(&mut self) -> Vec<u8> {
        let len = match self.dice.u32(..10) {
            0 => return self.dice.i64(..).to_string().into_bytes(),
            1 => return self.dice.i8(..).to_string().into_bytes(),
            2 => return self.dice.i32(..).to_string().into_bytes(),
            3..6 => self.dice.usize(..32),
            6..9 => self.dice.usize(..300),
            _ => self.dice.usize(..5000),
        };
        let len = if self.dice.u32(..self.world.blobs) == 0 { len + 16_000 } else { len };
        let byte = self.dice.u8(b'a'..=b'z');
        vec![byte; len]
    }

    fn expiry(&mut self) -> Expiry {
        let clock = Clock::ALL[usize::from(self.dice.bool())];
        let here = self.now.on(clock);
        match self.dice.u32(..6) {
            0 => Expiry::Keep,
            1 => Expiry::At(Due::on(clock, here.plus(self.dice.u64(1..200)))),
            2 => Expiry::At(Due::on(clock, here.plus(self.dice.u64(1..200_000)))),
            3 => Expiry::At(Due::on(clock, Millis(here.0 - self.dice.u64(..2)))),
            _ => Expiry::Never,
        }
    }

    /// Takes the effects since the last time into model and replica.
    fn follow(&mut self) {
        let effects = self.recorder.take();
        for effect in effects {
            if let OwnedEffect::Remove { cause: Removal::Evicted, .. } = effect {
                self.evicted += 1;
            }
            apply(&mut self.model, &effect);
            let effect = rehashed(&self.replica, effect);
            self.replica.apply(&effect).expect("the replica has no limit");
        }
    }

    fn held(&self, database: Database, key: &[u8]) -> Option<&Held> {
        self.model.get(&(database.0, key.to_vec()))
    }

    /// Compares one key in the store, the model and the replica.
    fn compare(&mut self, database: Database, bytes: &[u8]) {
        let key = self.store.key(database, bytes);
        let in_store = self.store.peek(&key).map(|value| text_of(&value));
        let expiry = self.store.expiry(&key).flatten();
        self.follow();
        let held = self.held(database, bytes);
        assert_eq!(in_store.as_ref(), held.map(|held| &held.text), "{:?}", self.world);
        assert_eq!(expiry, held.and_then(|held| held.expiry), "{:?}", self.world);
        let key = self.replica.key(database, bytes);
        let in_replica = self.replica.peek(&key).map(|value| text_of(&value));
        assert_eq!(in_store, in_replica, "{:?}", self.world);
        assert_eq!(expiry, self.replica.expiry(&key).flatten(), "{:?}", self.world);
    }

    /// What a write must leave behind.
    fn expect(&mut self, key: &Key<'_>, text: Vec<u8>, expiry: Option<Due>) {
        self.follow();
        let held = self.held(key.database, key.bytes).cloned();
        if expiry.is_some_and(|at| at.is_due(self.now)) {
            assert_eq!(held, None, "{:?}", self.world);
        } else {
            assert_eq!(held, Some(Held { text, expiry }), "{:?}", self.world);
        }
    }

    fn operation(&mut self) {
        let database =
            Database(if self.dice.u32(..3) == 0 { self.dice.u8(..DATABASES) } else { 0 });
        let bytes = self.key_bytes();
        let key = self.store.key(database, &bytes);
        // So that what the operation finds is what the model holds.
        self.compare(database, &bytes);
        let before = self.held(database, &bytes).cloned();
        match self.dice.u32(..100) {
            0..40 => self.set(&key, before),
            40..50 => {
                let removed = self.store.remove(&key, Removal::Deleted);
                assert_eq!(removed, before.is_some());
            }
            50..58 => self.append(&key, before),
            58..64 => self.set_range(&key, before),
            64..72 => {
                let expiry = match self.expiry() {
                    Expiry::At(at) => Some(at),
                    Expiry::Keep | Expiry::Never => None,
                };
                assert_eq!(self.store.set_expiry(&key, expiry), before.is_some());
                if let Some(Held { text, .. }) = before
                    && (self.evicted == 0 || self.store.expiry(&key).is_some())
                {
                    self.expect(&key, text, expiry);
                }
            }
            72..86 => {
                let hits = self.store.stats().hits;
                let value = self.store.get(&key).map(|value| text_of(&value));
                assert_eq!(value, before.map(|held| held.text));
                assert_eq!(self.store.stats().hits - hits, u64::from(value.is_some()));
            }
            86..92 => self.time_passes(),
            92..97 => {
                self.store.work(Budget { units: self.dice.u32(1..400) });
            }
            97 => self.move_key(&key),
            _ => self.whole(database),
        }
        self.follow();
        self.compare(database, &bytes);
    }

    fn set(&mut self, key: &Key<'_>, before: Option<Held>) {
        let text = self.text();
        let expiry = self.expiry();
        let blob = Bytes::from(text.clone());
        let new = if self.dice.bool() { NewValue::Text(&text) } else { NewValue::Blob(&blob) };
        if self.store.set(key, new, expiry).is_err() {
            assert!(self.world.limits.bytes_max.is_some());
            return;
        }
        let expiry = match expiry {
            Expiry::Keep => before.and_then(|held| held.expiry),
            Expiry::Never => None,
            Expiry::At(at) => Some(at),
        };
        self.expect(key, text, expiry);
    }

    fn append(&mut self, key: &Key<'_>, before: Option<Held>) {
        let added = self.text();
        let Ok(len) = self.store.append(key, &added) else { return };
        let (mut text, expiry) =
            before.map_or_else(Default::default, |held| (held.text, held.expiry));
        text.extend(added);
        assert_eq!(len, text.len());
        // Making room may have evicted the key before it was appended to.
        if self.evicted == 0 {
            self.expect(key, text, expiry);
        }
    }

    fn set_range(&mut self, key: &Key<'_>, before: Option<Held>) {
        let patch = self.text();
        let offset_max = if self.dice.u32(..20) == 0 { 20_000 } else { 100 };
        let offset = self.dice.usize(..offset_max);
        let Ok(len) = self.store.set_range(key, offset, &patch) else { return };
        if patch.is_empty() {
            return;
        }
        let (mut text, expiry) =
            before.map_or_else(Default::default, |held| (held.text, held.expiry));
        text.resize(text.len().max(offset + patch.len()), 0);
        text[offset..offset + patch.len()].copy_from_slice(&patch);
        if self.evicted == 0 {
            assert_eq!(len, text.len());
            self.expect(key, text, expiry);
        }
    }

    fn time_passes(&mut self) {
        const HOUR: u64 = 3_600_000;
        let passed = self.dice.u64(..40);
        let (wall, steady) = (self.now.wall, self.now.steady);
        self.now = match self.dice.u32(..300) {
            // Somebody sets the clock, back and ahead; an hour passes.
            0 => Now { wall: Millis(wall.0 - HOUR), steady },
            1 => Now { wall: wall.plus(HOUR), steady },
            2 => Now { wall: wall.plus(HOUR), steady: steady.plus(HOUR) },
            _ => Now { wall: wall.plus(passed), steady: steady.plus(passed) },
        };
        self.store.begin_turn(self.now);
    }

    fn move_key(&mut self, key: &Key<'_>) {
        let Some(exported) = self.store.export(key) else { return };
        let bytes = self.key_bytes();
        let to = self.store.key(Database(1), &bytes);
        if self.store.import(&to, &exported).is_ok() {
            self.expect(&to, owned_text(&exported.value), exported.expiry);
        }
    }

    /// Operations on all keys of a database.
    fn whole(&mut self, database: Database) {
        match self.dice.u32(..self.world.flushes) {
            0 => {
                let database = self.dice.bool().then_some(database);
                self.store.flush(database);
            }
            1..3 => self.store.swap(database, Database(self.dice.u8(..DATABASES))),
            3..6 => {
                let key = self.store.random_key(database);
                if let Some(key) = key {
                    assert!(self.held(database, &key).is_some());
                }
            }
            6..8 => self.scan(database),
            _ => {}
        }
        self.follow();
        for database in (0..DATABASES).map(Database) {
            let of = |((number, _), _): &(&(u8, Vec<u8>), &Held)| *number == database.0;
            let count = self.model.iter().filter(of).count();
            assert_eq!(self.store.len(database), count, "{:?}", self.world);
            let expiring = self.model.iter().filter(of).filter(|(_, held)| held.expiry.is_some());
            assert_eq!(self.store.expires(database), expiring.count(), "{:?}", self.world);
        }
    }

    /// Scans a database while it changes: what was there throughout must be seen.
    fn scan(&mut self, database: Database) {
        let now = self.now;
        // What is due is gone, and may come again.
        let lives = |held: &Held| held.expiry.is_none_or(|at| !at.is_due(now));
        let of = |((number, key), held): (&(u8, Vec<u8>), &Held)| {
            (*number == database.0 && lives(held)).then(|| key.clone())
        };
        let mut throughout: BTreeSet<Vec<u8>> = self.model.iter().filter_map(of).collect();
        let mut seen = BTreeSet::new();
        let count = self.dice.usize(1..50);
        let (mut cursor, mut calls) = (0, 0);
        loop {
            cursor = self.store.scan(database, cursor, count, &mut |key, _| {
                seen.insert(key.to_vec());
            });
            if cursor == 0 {
                break;
            }
            calls += 1;
            if calls % 8 == 0 {
                for _ in 0..self.dice.u32(..60) {
                    let bytes = self.key_bytes();
                    let key = self.store.key(database, &bytes);
                    if self.dice.bool() {
                        let _ = self.store.set(&key, NewValue::Text(b"v"), Expiry::Keep);
                    } else {
                        self.store.remove(&key, Removal::Deleted);
                        // Whether or not it comes again.
                        throughout.remove(&bytes);
                    }
                }
                self.follow();
                throughout.retain(|key| self.model.contains_key(&(database.0, key.clone())));
            }
        }
        self.follow();
        for key in throughout {
            let there = self.held(database, &key).is_some_and(lives);
            assert!(!there || seen.contains(&key), "a key was missed: {:?}", self.world);
        }
    }
}

/// The effect as the replica, which has another hash seed, would say it.
fn rehashed(replica: &Store, effect: OwnedEffect) -> OwnedEffect {
    let again = |mut key: ringlane_store::OwnedKey| {
        key.hash = replica.key(key.database, &key.bytes).hash;
        key
    };
    match effect {
        OwnedEffect::Set { key, value, expiry } => {
            OwnedEffect::Set { key: again(key), value, expiry }
        }
        OwnedEffect::Edit { key, type_name, changes } => {
            OwnedEffect::Edit { key: again(key), type_name, changes }
        }
        OwnedEffect::Expire { key, expiry } => OwnedEffect::Expire { key: again(key), expiry },
        OwnedEffect::Remove { key, cause } => OwnedEffect::Remove { key: again(key), cause },
        OwnedEffect::Flush { database } => OwnedEffect::Flush { database },
        OwnedEffect::Swap { a, b } => OwnedEffect::Swap { a, b },
    }
}

fn operations(share: u64) -> u64 {
    let all = std::env::var("RINGLANE_MODEL_OPERATIONS").ok().and_then(|text| text.parse().ok());
    all.unwrap_or(3_000_000) / share
}

fn run(world: World, operations: u64) -> Run {
    let mut run = Run::new(world);
    for _ in 0..operations {
        run.operation();
        if let Some(max) = world.limits.bytes_max {
            let total = run.store.memory().total();
            assert!(total <= max + max / 16, "{total} of {max}: {world:?}");
        }
    }
    // At the end everything is compared, and everything goes.
    let places: Vec<(u8, Vec<u8>)> = run.model.keys().cloned().collect();
    for (number, key) in places {
        run.compare(Database(number), &key);
    }
    run.store.flush(None);
    while run.store.work(Budget { units: 1000 }).more {}
    let memory = run.store.memory();
    assert_eq!((memory.slab_live, memory.blobs), (0, 0), "{world:?}");
    run
}

const UNLIMITED: Limits = Limits { bytes_max: None, entries_max: None, policy: Policy::Adaptive };

#[test]
fn many_small_keys_over_all_slots() {
    let world =
        World { seed: 1, keys: 20_000, blobs: 500, tags: 20_000, limits: UNLIMITED, flushes: 2000 };
    run(world, operations(5));
}

#[test]
fn large_slots_that_split_and_merge() {
    let world =
        World { seed: 2, keys: 8_000, blobs: 5000, tags: 2, limits: UNLIMITED, flushes: 300 };
    run(world, operations(5));
}

#[test]
fn a_handful_of_keys_with_flushes_and_swaps() {
    let world = World { seed: 3, keys: 40, blobs: 10, tags: 40, limits: UNLIMITED, flushes: 12 };
    run(world, operations(10));
}

#[test]
fn every_policy_keeps_the_limit_and_tells_what_went() {
    for (seed, policy) in (10..).zip(Policy::ALL) {
        let limits = Limits { bytes_max: Some(6 << 20), entries_max: None, policy };
        let world = World { seed, keys: 20_000, blobs: 100, tags: 3000, limits, flushes: 4000 };
        let run = run(world, operations(30).max(20_000));
        assert_eq!(run.evicted > 0, policy != Policy::NoEviction, "{policy:?}");
    }
}

#[test]
fn a_limit_in_entries_is_exact() {
    for (seed, policy) in (30..).zip(Policy::ALL) {
        let limits = Limits { bytes_max: None, entries_max: Some(500), policy };
        let world = World { seed, keys: 2000, blobs: 1000, tags: 2000, limits, flushes: 4000 };
        let mut run = Run::new(world);
        for _ in 0..operations(100) {
            let database = Database(0);
            let bytes = run.key_bytes();
            let key = run.store.key(database, &bytes);
            let _ = run.store.set(&key, NewValue::Text(b"value"), Expiry::Never);
            run.follow();
            assert!(run.model.len() <= 500, "{policy:?}");
        }
        let refuses = policy == Policy::NoEviction || policy.is_volatile();
        assert_eq!(run.store.stats().refused > 0, refuses, "{policy:?}");
        assert_eq!(run.evicted > 0, !refuses, "{policy:?}");
    }
}
