//! Random commands on every type against a plain model: with keys and fields that expire, with eviction, and
//! with limits so low that collections become large and small again all the time.

#![allow(clippy::unwrap_used)] // Here a panic is a failed test.

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use ringlane_base::{Due, Now};
use ringlane_store::{Limits, OwnedEffect, Policy, Recorder, Removal};
use support::{Lane, NOW, elements};

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// How many elements a collection has at most, about.
const ELEMENTS: u32 = 12;

#[derive(Debug)]
enum Plain {
    Bits(BTreeSet<u32>),
    List(VecDeque<String>),
    /// With when a field goes.
    Hash(BTreeMap<String, (String, Option<Due>)>),
    Set(BTreeSet<String>),
    Sorted(BTreeMap<String, i32>),
    Stream(Vec<(u64, String)>),
}

impl Plain {
    fn is_empty(&self) -> bool {
        match self {
            // The others are there while they are empty.
            Self::Bits(_) | Self::Stream(_) => false,
            Self::List(list) => list.is_empty(),
            Self::Hash(hash) => hash.is_empty(),
            Self::Set(set) => set.is_empty(),
            Self::Sorted(sorted) => sorted.is_empty(),
        }
    }
}

struct Held {
    plain: Plain,
    expiry: Option<Due>,
}

struct Run {
    lane: Lane,
    recorder: Recorder,
    dice: fastrand::Rng,
    model: HashMap<&'static str, Held>,
    case: String,
    evicted: usize,
    large: usize,
}

/// The value of this type that the key holds, made if there is none; else all that can be said is
/// that the type is wrong.
macro_rules! of_type {
    ($run:ident, $key:ident, $line:ident, $kind:ident) => {{
        let made = Held { plain: Plain::$kind(Default::default()), expiry: None };
        match &mut $run.model.entry($key).or_insert(made).plain {
            Plain::$kind(value) => value,
            _ => {
                $run.expect(&$line, WRONG_TYPE);
                return;
            }
        }
    }};
}

impl Run {
    fn new(seed: u64, limits: Limits) -> Self {
        let mut lane = Lane::default();
        let mut packed = *lane.store.pack_limits();
        packed.hash_max_listpack_entries = 4;
        packed.set_max_listpack_entries = 4;
        packed.set_max_intset_entries = 4;
        packed.zset_max_listpack_entries = 4;
        packed.list_max_listpack_size = 3;
        packed.stream_node_max_entries = 3;
        lane.store.set_pack_limits(packed);
        lane.store.set_limits(limits);
        let recorder = Recorder::attach(&mut lane.store);
        let dice = fastrand::Rng::with_seed(seed);
        let model = HashMap::new();
        Self { lane, recorder, dice, model, case: format!("seed {seed}"), evicted: 0, large: 0 }
    }

    fn now(&self) -> Now {
        self.lane.store.now()
    }

    /// When what lives so long is due: a span from now, or the time that it ends at. With the
    /// argument that says so, and whether it is a time.
    fn due(&mut self, wait: u64) -> (Due, u64, bool) {
        let now = self.now();
        if self.dice.bool() {
            return (Due::after(wait, now), wait, false);
        }
        let at = now.wall.plus(wait);
        (Due::at(at), at.0, true)
    }

    fn expect(&mut self, line: &str, answer: &str) {
        assert_eq!(self.lane.say(line), answer, "{}: {line}", self.case);
    }

    /// The answer's elements in order of their bytes.
    fn expect_all(&mut self, line: &str, mut expected: Vec<String>) {
        let found = elements(&mut self.lane, line);
        let mut found: Vec<String> =
            found.into_iter().map(|it| String::from_utf8(it).unwrap()).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{}: {line}", self.case);
    }

    fn member(&mut self) -> String {
        match self.dice.u8(..3) {
            0 => self.dice.u32(..ELEMENTS).to_string(),
            1 => format!("m{}", self.dice.u32(..ELEMENTS)),
            _ => format!("long-{}-{}", "x".repeat(70), self.dice.u32(..3)),
        }
    }

    fn step(&mut self) {
        let key = KEYS[self.dice.usize(..KEYS.len())];
        match self.dice.u8(..32) {
            0 => self.bits(key),
            1 => self.list(key),
            2 => self.hash(key),
            3 => self.set(key),
            4 => self.sorted(key),
            5 => self.stream(key),
            6..28 => self.what_it_holds(key),
            28 => self.key(key),
            29 => self.time_passes(),
            _ => {
                self.lane.store.work(ringlane_store::Budget { units: 20 });
            }
        }
        self.settle();
    }

    /// Else most commands would meet another type, and nothing would grow.
    fn what_it_holds(&mut self, key: &'static str) {
        match self.model.get(key).map(|held| &held.plain) {
            None => self.key(key),
            Some(Plain::Bits(_)) => self.bits(key),
            Some(Plain::List(_)) => self.list(key),
            Some(Plain::Hash(_)) => self.hash(key),
            Some(Plain::Set(_)) => self.set(key),
            Some(Plain::Sorted(_)) => self.sorted(key),
            Some(Plain::Stream(_)) => self.stream(key),
        }
    }

    /// What was evicted is gone from the model as well; a collection without elements is no key.
    fn settle(&mut self) {
        for effect in self.recorder.take() {
            if let OwnedEffect::Remove { key, cause: Removal::Evicted } = effect {
                let gone = self.model.remove(std::str::from_utf8(&key.bytes).unwrap());
                assert!(gone.is_some(), "{}: only what is there goes", self.case);
                self.evicted += 1;
            }
        }
        self.model.retain(|_, held| !held.plain.is_empty());
        assert_eq!(
            self.lane.store.len(ringlane_base::Database(0)),
            self.model.len(),
            "{}",
            self.case
        );
    }

    fn time_passes(&mut self) {
        self.lane.wait(self.dice.u64(..60));
        if self.dice.u8(..50) == 0 {
            let ahead = [0, 3_600_000, -3_600_000, 700, -700][self.dice.usize(..5)];
            self.lane.set_clock(ahead);
        }
        let now = self.now();
        self.model.retain(|_, held| held.expiry.is_none_or(|at| !at.is_due(now)));
        for held in self.model.values_mut() {
            if let Plain::Hash(hash) = &mut held.plain {
                hash.retain(|_, (_, expiry)| expiry.is_none_or(|at| !at.is_due(now)));
            }
        }
        self.model.retain(|_, held| !held.plain.is_empty());
        // Who is due goes when it is looked at, or by and by: here at once.
        while self.lane.store.work(ringlane_store::Budget { units: 100 }).more {}
        for key in KEYS {
            let there = self.model.contains_key(key);
            self.expect(&format!("EXISTS {key}"), &format!(":{}", u8::from(there)));
        }
    }

    fn key(&mut self, key: &'static str) {
        let wait = self.dice.u64(1..2_000);
        let (due, argument, is_time) = self.due(wait);
        let command = if is_time { "PEXPIREAT" } else { "PEXPIRE" };
        let Some(held) = self.model.get_mut(key) else {
            return self.expect(&format!("PTTL {key}"), ":-2");
        };
        match self.dice.u8(..6) {
            0..3 => {
                self.model.remove(key);
                self.expect(&format!("DEL {key}"), ":1");
            }
            3 => {
                let had = held.expiry.take().is_some();
                self.expect(&format!("PERSIST {key}"), &format!(":{}", u8::from(had)));
            }
            _ => {
                held.expiry = Some(due);
                self.expect(&format!("{command} {key} {argument}"), ":1");
                self.expect(&format!("PTTL {key}"), &format!(":{wait}"));
            }
        }
    }

    fn bits(&mut self, key: &'static str) {
        let (bit, on) = (self.dice.u32(..400), self.dice.bool());
        let line = format!("SETBIT {key} {bit} {}", u8::from(on));
        let bits = of_type!(self, key, line, Bits);
        let before = if on { !bits.insert(bit) } else { bits.remove(&bit) };
        let (count, first) = (bits.len(), bits.first().copied());
        self.expect(&line, &format!(":{}", u8::from(before)));
        self.expect(&format!("BITCOUNT {key}"), &format!(":{count}"));
        if let Some(first) = first {
            self.expect(&format!("BITPOS {key} 1"), &format!(":{first}"));
        }
    }

    fn list(&mut self, key: &'static str) {
        let (element, front) = (self.member(), self.dice.bool());
        let side = if front { 'L' } else { 'R' };
        let grows = self.dice.u8(..9) < 5;
        let line =
            if grows { format!("{side}PUSH {key} {element}") } else { format!("{side}POP {key}") };
        let list = of_type!(self, key, line, List);
        let answer = if grows {
            if front {
                list.push_front(element.clone());
            } else {
                list.push_back(element.clone());
            }
            format!(":{}", list.len())
        } else {
            let popped = if front { list.pop_front() } else { list.pop_back() };
            popped.map_or("nil".to_owned(), |it| format!("\"{it}\""))
        };
        let all: Vec<String> = list.iter().map(|it| format!("\"{it}\"")).collect();
        let count = list.iter().filter(|it| **it == element).count();
        self.expect(&line, &answer);
        self.expect(&format!("LRANGE {key} 0 -1"), &format!("[{}]", all.join(" ")));
        if all.len() > 3 && self.dice.u8(..8) == 0 {
            let Plain::List(list) = &mut self.model.get_mut(key).unwrap().plain else { panic!() };
            list.retain(|it| *it != element);
            self.expect(&format!("LREM {key} 0 {element}"), &format!(":{count}"));
        }
    }

    fn hash(&mut self, key: &'static str) {
        let (field, value, wait) = (self.member(), self.member(), self.dice.u64(1..150));
        let (due, argument, is_time) = self.due(wait);
        let command = if is_time { "HPEXPIREAT" } else { "HPEXPIRE" };
        let op = self.dice.u8(..10);
        let line = match op {
            0..5 => format!("HSET {key} {field} {value}"),
            5..7 => format!("HDEL {key} {field}"),
            7 | 8 => format!("{command} {key} {argument} FIELDS 1 {field}"),
            _ => format!("HPERSIST {key} FIELDS 1 {field}"),
        };
        let hash = of_type!(self, key, line, Hash);
        let answer = match op {
            0..5 => format!(":{}", u8::from(hash.insert(field, (value, None)).is_none())),
            5..7 => format!(":{}", u8::from(hash.remove(&field).is_some())),
            7 | 8 => match hash.get_mut(&field) {
                None => "[:-2]".into(),
                Some((_, expiry)) => {
                    *expiry = Some(due);
                    "[:1]".into()
                }
            },
            _ => match hash.get_mut(&field) {
                None => "[:-2]".into(),
                Some((_, expiry)) => format!("[:{}]", if expiry.take().is_some() { 1 } else { -1 }),
            },
        };
        let all: Vec<String> = hash.iter().flat_map(|(f, (v, _))| [f.clone(), v.clone()]).collect();
        let large = all.len() > 8;
        self.expect(&line, &answer);
        self.expect_all(&format!("HGETALL {key}"), all);
        self.large += usize::from(large);
    }

    fn set(&mut self, key: &'static str) {
        let member = self.member();
        let grows = self.dice.u8(..9) < 5;
        let line = format!("{} {key} {member}", if grows { "SADD" } else { "SREM" });
        let set = of_type!(self, key, line, Set);
        let changed = if grows { set.insert(member) } else { set.remove(&member) };
        let all: Vec<String> = set.iter().cloned().collect();
        self.expect(&line, &format!(":{}", u8::from(changed)));
        self.expect(&format!("SCARD {key}"), &format!(":{}", all.len()));
        self.expect_all(&format!("SMEMBERS {key}"), all);
    }

    fn sorted(&mut self, key: &'static str) {
        let (member, score) = (self.member(), self.dice.i32(-9..9));
        let op = self.dice.u8(..10);
        let line = match op {
            0..5 => format!("ZADD {key} {score} {member}"),
            5..8 => format!("ZREM {key} {member}"),
            _ => format!("ZPOPMAX {key}"),
        };
        let sorted = of_type!(self, key, line, Sorted);
        let order = |sorted: &BTreeMap<String, i32>| {
            let mut all: Vec<(i32, String)> =
                sorted.iter().map(|(member, score)| (*score, member.clone())).collect();
            all.sort();
            all
        };
        let answer = match op {
            0..5 => format!(":{}", u8::from(sorted.insert(member.clone(), score).is_none())),
            5..8 => format!(":{}", u8::from(sorted.remove(&member).is_some())),
            _ => match order(sorted).pop() {
                None => "[]".into(),
                Some((score, member)) => {
                    sorted.remove(&member);
                    format!("[\"{member}\" \"{score}\"]")
                }
            },
        };
        let all = order(sorted);
        let rank = all.iter().position(|(_, it)| *it == member);
        let shown: Vec<String> =
            all.iter().map(|(score, it)| format!("\"{it}\" \"{score}\"")).collect();
        let above = all.iter().filter(|(it, _)| *it >= score).count();
        self.expect(&line, &answer);
        self.expect(&format!("ZRANGE {key} 0 -1 WITHSCORES"), &format!("[{}]", shown.join(" ")));
        let rank = rank.map_or("nil".to_owned(), |rank| format!(":{rank}"));
        self.expect(&format!("ZRANK {key} {member}"), &rank);
        self.expect(&format!("ZCOUNT {key} {score} +inf"), &format!(":{above}"));
    }

    fn stream(&mut self, key: &'static str) {
        let (value, pick) = (self.member(), self.dice.usize(..20));
        let line = format!("XLEN {key}");
        let absent = !self.model.contains_key(key);
        let stream = of_type!(self, key, line, Stream);
        let top = stream.last().map_or(0, |(id, _)| *id);
        let (line, answer) = match pick {
            0..8 if !absent && pick < stream.len() => {
                let (id, _) = stream.remove(pick);
                // Else the next id might be one that was there.
                stream.push((top + 1, value.clone()));
                self.expect(
                    &format!("XADD {key} {}-0 f {value}", top + 1),
                    &format!("\"{}-0\"", top + 1),
                );
                (format!("XDEL {key} {id}-0"), ":1".to_owned())
            }
            _ => {
                stream.push((top + 1, value.clone()));
                (format!("XADD {key} {}-0 f {value}", top + 1), format!("\"{}-0\"", top + 1))
            }
        };
        self.expect(&line, &answer);
        let Plain::Stream(stream) = &mut self.model.get_mut(key).unwrap().plain else { panic!() };
        let trimmed = stream.len().saturating_sub(ELEMENTS as usize);
        stream.drain(..trimmed);
        let entry = |(id, value): &(u64, String)| format!("[\"{id}-0\" [\"f\" \"{value}\"]]");
        let shown: Vec<String> = stream.iter().map(entry).collect();
        self.expect(&format!("XTRIM {key} MAXLEN {ELEMENTS}"), &format!(":{trimmed}"));
        self.expect(&format!("XRANGE {key} - +"), &format!("[{}]", shown.join(" ")));
    }
}

#[test]
fn every_type_is_as_its_model() {
    let mut large = 0;
    for seed in 1..=12 {
        let mut run = Run::new(seed, Limits::default());
        for _ in 0..3_000 {
            run.step();
        }
        assert!(run.evicted == 0, "{}", run.case);
        assert!(run.now().steady > NOW.plus(1_000), "{}", run.case);
        large += run.large;
    }
    assert!(large > 100, "hashes are large at times: {large}");
}

#[test]
fn every_type_is_as_its_model_while_keys_are_evicted() {
    for (seed, policy) in (100..).zip([
        Policy::Adaptive,
        Policy::AllkeysLru,
        Policy::AllkeysLfu,
        Policy::AllkeysRandom,
    ]) {
        let mut run = Run::new(seed, Limits { entries_max: Some(3), bytes_max: None, policy });
        for _ in 0..3_000 {
            run.step();
        }
        assert!(run.evicted > 50, "{}: {}", run.case, run.evicted);
    }
}
