//! What a lane knows of the listeners of all lanes: of the channels that live here, of all patterns,
//! and of the channels of keyspace notices. Counts by lane; knows no connection.

use std::cell::{Ref, RefCell, RefMut};

use bytes::Bytes;
use indexmap::IndexMap;
use ringlane_base::{LaneId, glob};
use smallvec::SmallVec;

use super::{Change, Kind};

/// How many listeners each lane has, lanes without one left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holders(SmallVec<[(LaneId, u32); 2]>);

impl Holders {
    pub fn change(&mut self, lane: LaneId, comes: bool) {
        let at = self.0.iter().position(|(its, _)| *its == lane);
        match (at, comes) {
            (Some(at), true) => self.0[at].1 += 1,
            (None, true) => self.0.push((lane, 1)),
            (Some(at), false) => {
                self.0[at].1 -= 1;
                if self.0[at].1 == 0 {
                    self.0.swap_remove(at);
                }
            }
            (None, false) => unreachable!("a listener goes that never came"),
        }
    }

    /// Whether no lane has one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Lanes that have at least one.
    pub fn lanes(&self) -> impl Iterator<Item = LaneId> {
        self.0.iter().map(|(lane, _)| *lane)
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|(_, count)| count).sum()
    }
}

/// Who listens to one name.
#[derive(Debug, Default)]
struct Entry {
    holders: Holders,
    /// Bytes that a channel must begin with to match: a pattern's part before its first special.
    literal: usize,
    /// The channel lives on this lane.
    home: bool,
}

/// Where a message goes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// Lanes with at least one listener, each once.
    pub lanes: SmallVec<[LaneId; 8]>,
    /// Listeners over all lanes; one that listens by several names counts for each.
    pub receivers: u32,
}

impl Route {
    fn add(&mut self, holders: &Holders) {
        for (lane, count) in &holders.0 {
            self.receivers += count;
            if !self.lanes.contains(lane) {
                self.lanes.push(*lane);
            }
        }
    }
}

/// The names that this lane must know the listeners of.
#[derive(Default)]
pub struct Registry {
    names: [IndexMap<Bytes, Entry>; Kind::COUNT],
    /// Channels among them that live on another lane.
    foreign: usize,
}

/// A lane's registry, for the lane and for the scripts that run on it.
#[derive(Default)]
pub struct SharedRegistry(RefCell<Registry>);

impl SharedRegistry {
    pub fn borrow(&self) -> Ref<'_, Registry> {
        self.0.borrow()
    }

    pub fn borrow_mut(&self) -> RefMut<'_, Registry> {
        self.0.borrow_mut()
    }
}

impl Registry {
    /// A listener of `from` has come or gone. `home`: the channel lives on this lane.
    pub fn change(&mut self, from: LaneId, change: &Change, home: bool) {
        let names = &mut self.names[change.kind as usize];
        let counts_as_foreign = change.kind == Kind::Channel && !home;
        let entry = names.entry(change.name.clone()).or_insert_with(|| {
            self.foreign += usize::from(counts_as_foreign);
            let literal = change
                .name
                .iter()
                .take_while(|byte| !matches!(byte, b'*' | b'?' | b'[' | b'\\'))
                .count();
            Entry { literal, home, ..Entry::default() }
        });
        entry.holders.change(from, change.comes);
        if entry.holders.0.is_empty() {
            names.swap_remove(&change.name);
            self.foreign -= usize::from(counts_as_foreign);
        }
    }

    /// Who listens to a channel, by its name or by patterns.
    pub fn route(&self, kind: Kind, channel: &[u8]) -> Route {
        let mut route = Route::default();
        if let Some(entry) = self.names[kind as usize].get(channel) {
            route.add(&entry.holders);
        }
        if kind == Kind::Channel {
            for (pattern, entry) in &self.names[Kind::Pattern as usize] {
                if channel.starts_with(&pattern[..entry.literal]) && glob::matches(pattern, channel)
                {
                    route.add(&entry.holders);
                }
            }
        }
        route
    }

    /// Whether some lane listens to a pattern, or to a channel that this lane knows of.
    #[inline]
    pub fn has_channels(&self) -> bool {
        !self.names[Kind::Channel as usize].is_empty()
            || !self.names[Kind::Pattern as usize].is_empty()
    }

    /// How many listen to a name that lives here; 0 for others.
    pub fn count(&self, kind: Kind, name: &[u8]) -> u32 {
        let entry = self.names[kind as usize].get(name);
        entry.filter(|entry| entry.home).map_or(0, |entry| entry.holders.count())
    }

    /// Names that live here and somebody listens to.
    pub fn channels(&self) -> usize {
        self.names[Kind::Channel as usize].len() - self.foreign
    }

    pub fn shard_channels(&self) -> usize {
        self.names[Kind::Shard as usize].len()
    }

    /// Patterns of all lanes, each counted once.
    pub fn patterns(&self) -> usize {
        self.names[Kind::Pattern as usize].len()
    }

    /// Names of a kind that live here and match, looking at no more than `max` places downward from
    /// `until`; and where to go on, if not at the end. A name that is there all the time is told at
    /// least once: one that goes leaves its place to the last, which was told before.
    pub fn list(
        &self,
        kind: Kind,
        pattern: Option<&[u8]>,
        until: usize,
        max: usize,
    ) -> (Vec<Vec<u8>>, Option<usize>) {
        let names = &self.names[kind as usize];
        let until = until.min(names.len());
        let from = until.saturating_sub(max);
        let told = names[from..until]
            .iter()
            .filter(|(name, entry)| {
                entry.home && pattern.is_none_or(|pattern| glob::matches(pattern, name))
            })
            .map(|(name, _)| name.to_vec())
            .collect();
        (told, (from > 0).then_some(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(registry: &mut Registry, lane: u16, kind: Kind, name: &'static str, comes: bool) {
        let change = Change { kind, name: Bytes::from_static(name.as_bytes()), comes };
        registry.change(LaneId(lane), &change, kind != Kind::Pattern && name != "away");
    }

    fn route(registry: &Registry, kind: Kind, channel: &str) -> (Vec<u16>, u32) {
        let route = registry.route(kind, channel.as_bytes());
        let mut lanes: Vec<u16> = route.lanes.iter().map(|lane| lane.0).collect();
        lanes.sort_unstable();
        (lanes, route.receivers)
    }

    #[test]
    fn a_message_goes_once_to_each_lane_that_listens() {
        let mut registry = Registry::default();
        for (lane, kind, name) in [
            (0, Kind::Channel, "news"),
            (2, Kind::Channel, "news"),
            (2, Kind::Channel, "news"),
            (1, Kind::Pattern, "n*s"),
            (2, Kind::Pattern, "n*"),
            (3, Kind::Pattern, "x*"),
            (3, Kind::Shard, "news"),
        ] {
            change(&mut registry, lane, kind, name, true);
        }
        assert_eq!(route(&registry, Kind::Channel, "news"), (vec![0, 1, 2], 5));
        assert_eq!(route(&registry, Kind::Channel, "nothing"), (vec![2], 1));
        assert_eq!(route(&registry, Kind::Shard, "news"), (vec![3], 1));
        assert_eq!(route(&registry, Kind::Channel, "other"), (vec![], 0));
        change(&mut registry, 2, Kind::Channel, "news", false);
        change(&mut registry, 2, Kind::Pattern, "n*", false);
        assert_eq!(route(&registry, Kind::Channel, "news"), (vec![0, 1, 2], 3));
        change(&mut registry, 2, Kind::Channel, "news", false);
        assert_eq!(route(&registry, Kind::Channel, "news"), (vec![0, 1], 2));
    }

    #[test]
    fn names_are_counted_and_listed_where_they_live() {
        let mut registry = Registry::default();
        for name in ["a", "b", "ab", "away"] {
            change(&mut registry, 1, Kind::Channel, name, true);
        }
        assert_eq!((registry.channels(), registry.patterns()), (3, 0));
        assert_eq!(registry.count(Kind::Channel, b"a"), 1);
        assert_eq!(registry.count(Kind::Channel, b"away"), 0);
        assert_eq!(registry.count(Kind::Channel, b"z"), 0);
        let mut all = Vec::new();
        let mut until = usize::MAX;
        loop {
            let (some, rest) = registry.list(Kind::Channel, Some(b"a*"), until, 2);
            all.extend(some);
            let Some(rest) = rest else { break };
            until = rest;
        }
        all.sort();
        assert_eq!(all, [b"a".to_vec(), b"ab".to_vec()]);
        for name in ["a", "b", "ab", "away"] {
            change(&mut registry, 1, Kind::Channel, name, false);
        }
        assert_eq!(registry.channels(), 0);
        assert!(!registry.has_channels());
    }
}
