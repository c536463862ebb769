//! The store's first form: an ordered map. Replaced by slot tables behind the same functions.

use std::collections::BTreeMap;

use ringlane_base::{Database, HashSeed, KeyHash, Millis, Slot, number};

use crate::{
    Budget, Effect, EffectSink, Expiry, Exported, Key, Limits, Memory, NewValue, ObjectInfo,
    Options, OutOfMemory, OwnedEffect, OwnedValue, Removal, Stats, TypeName, Value, Work,
    cursor_at, cursor_slot,
};

type Place = (u16, Vec<u8>, u8);

/// One lane's keyspace.
pub struct Store {
    options: Options,
    now: Millis,
    entries: BTreeMap<Place, Exported>,
    stats: Stats,
    sink: Option<Box<dyn EffectSink>>,
}

fn borrowed(value: &OwnedValue) -> Value<'_> {
    match value {
        OwnedValue::Text(text) => Value::Text(text),
        OwnedValue::Integer(integer) => Value::Integer(*integer),
        OwnedValue::Blob(blob) => Value::Blob(blob),
    }
}

fn place(key: &Key) -> Place {
    (key.slot.number(), key.bytes.to_vec(), key.database.0)
}

impl Store {
    pub fn new(options: Options) -> Self {
        Self {
            options,
            now: Millis(0),
            entries: BTreeMap::new(),
            stats: Stats::default(),
            sink: None,
        }
    }

    pub fn begin_turn(&mut self, now: Millis) {
        self.now = now;
    }

    pub fn now(&self) -> Millis {
        self.now
    }

    pub fn key<'k>(&self, database: Database, bytes: &'k [u8]) -> Key<'k> {
        let hash = KeyHash::of(self.options.hash_seed, bytes);
        Key { bytes, slot: Slot::of(bytes), hash, database }
    }

    pub fn hash_seed(&self) -> HashSeed {
        self.options.hash_seed
    }

    pub fn prefetch_slot(&self, _slot: Slot) {}

    pub fn prefetch_entry(&self, _slot: Slot, _hash: KeyHash) {}

    fn say(&mut self, effect: &Effect<'_>) {
        if let Some(sink) = &mut self.sink {
            sink.effect(effect);
        }
    }

    fn alive(&mut self, key: &Key) -> Option<&mut Exported> {
        let due = match self.entries.get(&place(key)) {
            None => return None,
            Some(entry) => entry.expiry.is_some_and(|at| at <= self.now),
        };
        if due {
            self.remove(key, Removal::Expired);
            return None;
        }
        self.entries.get_mut(&place(key))
    }

    pub fn get(&mut self, key: &Key) -> Option<Value<'_>> {
        if !self.contains(key) {
            return None;
        }
        self.peek(key)
    }

    pub fn peek(&mut self, key: &Key) -> Option<Value<'_>> {
        self.alive(key).map(|entry| borrowed(&entry.value))
    }

    pub fn contains(&mut self, key: &Key) -> bool {
        let found = self.alive(key).is_some();
        if found {
            self.stats.hits += 1;
        } else {
            self.stats.misses += 1;
        }
        found
    }

    pub fn touch(&mut self, key: &Key) -> bool {
        self.alive(key).is_some()
    }

    pub fn expiry(&mut self, key: &Key) -> Option<Option<Millis>> {
        self.alive(key).map(|entry| entry.expiry)
    }

    pub fn set(
        &mut self,
        key: &Key,
        value: NewValue<'_>,
        expiry: Expiry,
    ) -> Result<(), OutOfMemory> {
        let expiry = match expiry {
            Expiry::Keep => self.expiry(key).flatten(),
            Expiry::Never => None,
            Expiry::At(at) => Some(at),
        };
        if expiry.is_some_and(|at| at <= self.now) {
            self.remove(key, Removal::Deleted);
            return Ok(());
        }
        let value = match value {
            NewValue::Text(text) => match number::parse_integer(text) {
                Some(integer) => OwnedValue::Integer(integer),
                None => OwnedValue::Text(text.into()),
            },
            NewValue::Integer(integer) => OwnedValue::Integer(integer),
            NewValue::Blob(blob) => OwnedValue::Blob(blob.clone()),
        };
        if let Some(sink) = &mut self.sink {
            sink.effect(&Effect::Set { key: *key, value: borrowed(&value), expiry });
        }
        self.entries.insert(place(key), Exported { value, expiry });
        Ok(())
    }

    fn text(&mut self, key: &Key) -> Vec<u8> {
        match self.peek(key) {
            None => Vec::new(),
            Some(Value::Text(text)) => text.to_vec(),
            Some(Value::Integer(integer)) => integer.to_string().into_bytes(),
            Some(Value::Blob(blob)) => blob.to_vec(),
        }
    }

    pub fn append(&mut self, key: &Key, bytes: &[u8]) -> Result<usize, OutOfMemory> {
        let mut text = self.text(key);
        text.extend_from_slice(bytes);
        self.set(key, NewValue::Text(&text), Expiry::Keep)?;
        Ok(text.len())
    }

    pub fn set_range(
        &mut self,
        key: &Key,
        offset: usize,
        bytes: &[u8],
    ) -> Result<usize, OutOfMemory> {
        let mut text = self.text(key);
        if text.len() < offset + bytes.len() {
            text.resize(offset + bytes.len(), 0);
        }
        text[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.set(key, NewValue::Text(&text), Expiry::Keep)?;
        Ok(text.len())
    }

    pub fn set_expiry(&mut self, key: &Key, expiry: Option<Millis>) -> bool {
        let now = self.now;
        let Some(entry) = self.alive(key) else { return false };
        if expiry.is_some_and(|at| at <= now) {
            return self.remove(key, Removal::Deleted);
        }
        entry.expiry = expiry;
        self.say(&Effect::Expire { key: *key, expiry });
        true
    }

    pub fn remove(&mut self, key: &Key, cause: Removal) -> bool {
        if cause == Removal::Deleted && self.alive(key).is_none() {
            return false;
        }
        if self.entries.remove(&place(key)).is_none() {
            return false;
        }
        match cause {
            Removal::Deleted => {}
            Removal::Expired => self.stats.expired += 1,
            Removal::Evicted => self.stats.evicted += 1,
        }
        self.say(&Effect::Remove { key: *key, cause });
        true
    }

    pub fn export(&mut self, key: &Key) -> Option<Exported> {
        self.alive(key).cloned()
    }

    pub fn import(&mut self, key: &Key, exported: &Exported) -> Result<(), OutOfMemory> {
        let expiry = exported.expiry.map_or(Expiry::Never, Expiry::At);
        self.set(key, exported.value.as_new(), expiry)
    }

    pub fn apply(&mut self, effect: &OwnedEffect) -> Result<(), OutOfMemory> {
        match effect {
            OwnedEffect::Set { key, value, expiry } => {
                let expiry = expiry.map_or(Expiry::Never, Expiry::At);
                self.set(&key.as_key(), value.as_new(), expiry)?;
            }
            OwnedEffect::Expire { key, expiry } => {
                self.set_expiry(&key.as_key(), *expiry);
            }
            OwnedEffect::Remove { key, cause } => {
                self.remove(&key.as_key(), *cause);
            }
            OwnedEffect::Flush { database } => self.flush(*database),
            OwnedEffect::Swap { a, b } => self.swap(*a, *b),
        }
        Ok(())
    }

    pub fn len(&self, database: Database) -> usize {
        self.entries.keys().filter(|place| place.2 == database.0).count()
    }

    pub fn expires(&self, database: Database) -> usize {
        let of =
            |(place, entry): &(&Place, &Exported)| place.2 == database.0 && entry.expiry.is_some();
        self.entries.iter().filter(of).count()
    }

    pub fn average_ttl_ms(&self, database: Database) -> u64 {
        let (mut sum, mut count) = (0, 0);
        for (place, entry) in &self.entries {
            if place.2 == database.0
                && let Some(at) = entry.expiry
            {
                sum += at.since(self.now);
                count += 1;
            }
        }
        if count == 0 { 0 } else { sum / count }
    }

    pub fn slot_len(&self, slot: Slot) -> usize {
        self.entries.keys().filter(|place| place.0 == slot.number()).count()
    }

    pub fn slot_keys(&self, slot: Slot, max: usize, visit: &mut dyn FnMut(&[u8])) {
        let of = self.entries.keys().filter(|place| place.0 == slot.number());
        of.take(max).for_each(|place| visit(&place.1));
    }

    pub fn random_key(&mut self, database: Database) -> Option<Vec<u8>> {
        let now = self.now;
        let alive = |(place, entry): &(&Place, &Exported)| {
            place.2 == database.0 && entry.expiry.is_none_or(|at| at > now)
        };
        let count = self.entries.iter().filter(alive).count();
        let index = if count == 0 { return None } else { fastrand::usize(..count) };
        self.entries.iter().filter(alive).nth(index).map(|(place, _)| place.1.clone())
    }

    pub fn scan(
        &mut self,
        database: Database,
        cursor: u64,
        count: usize,
        visit: &mut dyn FnMut(&[u8], TypeName),
    ) -> u64 {
        let first = cursor_slot(cursor).number().max(self.options.slots.start);
        let mut seen = 0;
        let mut current = first;
        for ((slot, key, number), entry) in self.entries.range((first, Vec::new(), 0)..) {
            if *slot != current && seen >= count {
                return cursor_at(Slot::new(*slot).expect("a stored slot"));
            }
            current = *slot;
            if *number == database.0 && entry.expiry.is_none_or(|at| at > self.now) {
                visit(key, TypeName::String);
                seen += 1;
            }
        }
        0
    }

    pub fn flush(&mut self, database: Option<Database>) {
        match database {
            None => self.entries.clear(),
            Some(database) => self.entries.retain(|place, _| place.2 != database.0),
        }
        self.say(&Effect::Flush { database });
    }

    pub fn swap(&mut self, a: Database, b: Database) {
        let entries = std::mem::take(&mut self.entries);
        for ((slot, key, number), entry) in entries {
            let number = match number {
                _ if number == a.0 => b.0,
                _ if number == b.0 => a.0,
                _ => number,
            };
            self.entries.insert((slot, key, number), entry);
        }
        self.say(&Effect::Swap { a, b });
    }

    pub fn object(&mut self, key: &Key) -> Option<ObjectInfo> {
        let value = self.peek(key)?;
        let encoding = match value {
            Value::Integer(_) => "int",
            Value::Text(text) if text.len() <= 44 => "embstr",
            Value::Text(_) | Value::Blob(_) => "raw",
        };
        let bytes = value.len() + key.bytes.len() + 24;
        let type_name = TypeName::String;
        Some(ObjectInfo { type_name, encoding, idle_seconds: 0, frequency: 0, bytes })
    }

    pub fn work(&mut self, _budget: Budget) -> Work {
        let due = |(_, entry): &(&Place, &Exported)| entry.expiry.is_some_and(|at| at <= self.now);
        let places: Vec<Place> =
            self.entries.iter().filter(due).map(|(place, _)| place.clone()).collect();
        for (_, bytes, number) in &places {
            let key = self.key(Database(*number), bytes);
            self.remove(&key, Removal::Expired);
        }
        Work { more: false, used: places.len() as u32 }
    }

    pub fn next_due(&self) -> Option<Millis> {
        self.entries.values().filter_map(|entry| entry.expiry).min()
    }

    pub fn memory(&self) -> Memory {
        Memory::default()
    }

    pub fn set_limits(&mut self, _limits: Limits) {}

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    pub fn reset_stats(&mut self) {
        self.stats = Stats::default();
    }

    pub fn set_effect_sink(&mut self, sink: Option<Box<dyn EffectSink>>) {
        self.sink = sink;
    }
}
