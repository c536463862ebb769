//! Exact LRU over dense key numbers, the yardstick of hit ratios. Counts entries or bytes; what has
//! expired is gone at its time, as from a cache that expires eagerly.

use std::{cmp::Reverse, collections::BinaryHeap};

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Node {
    newer: u32,
    older: u32,
    /// What it counts for; 0 = not cached.
    weight: u32,
    /// Milliseconds; `u64::MAX` = never.
    expires_ms: u64,
}

/// A cache of bounded weight.
pub struct Lru {
    nodes: Vec<Node>,
    newest: u32,
    oldest: u32,
    weight: u64,
    weight_max: u64,
    due: BinaryHeap<Reverse<(u64, u32)>>,
}

impl Lru {
    /// For keys below `keys`; weights are whatever the caller counts, at most `weight_max` in all.
    pub fn new(keys: u32, weight_max: u64) -> Self {
        let empty = Node { newer: NONE, older: NONE, weight: 0, expires_ms: u64::MAX };
        Self {
            nodes: vec![empty; keys as usize],
            newest: NONE,
            oldest: NONE,
            weight: 0,
            weight_max,
            due: BinaryHeap::new(),
        }
    }

    /// Whether the key is cached; if so it is the newest now.
    pub fn get(&mut self, key: u32, now_ms: u64) -> bool {
        self.expire(now_ms);
        if self.nodes[key as usize].weight == 0 {
            return false;
        }
        self.unlink(key);
        self.link(key);
        true
    }

    /// Stores a key of this weight, at least 1, and drops the oldest until all fits. A key that
    /// alone does not fit is not stored.
    pub fn set(&mut self, key: u32, weight: u32, expires_ms: Option<u64>) {
        self.remove(key);
        let weight = weight.max(1);
        if u64::from(weight) > self.weight_max {
            return;
        }
        while self.weight + u64::from(weight) > self.weight_max {
            self.remove(self.oldest);
        }
        let node = &mut self.nodes[key as usize];
        node.weight = weight;
        node.expires_ms = expires_ms.unwrap_or(u64::MAX);
        if let Some(at) = expires_ms {
            self.due.push(Reverse((at, key)));
        }
        self.weight += u64::from(weight);
        self.link(key);
    }

    fn expire(&mut self, now_ms: u64) {
        while let Some(&Reverse((at, key))) = self.due.peek() {
            if at > now_ms {
                break;
            }
            self.due.pop();
            // It may have been stored again since, with another time.
            if self.nodes[key as usize].expires_ms <= now_ms {
                self.remove(key);
            }
        }
    }

    fn remove(&mut self, key: u32) {
        let weight = std::mem::take(&mut self.nodes[key as usize].weight);
        if weight > 0 {
            self.nodes[key as usize].expires_ms = u64::MAX;
            self.weight -= u64::from(weight);
            self.unlink(key);
        }
    }

    fn link(&mut self, key: u32) {
        let older = self.newest;
        self.nodes[key as usize].older = older;
        self.nodes[key as usize].newer = NONE;
        match older {
            NONE => self.oldest = key,
            older => self.nodes[older as usize].newer = key,
        }
        self.newest = key;
    }

    fn unlink(&mut self, key: u32) {
        let Node { newer, older, .. } = self.nodes[key as usize];
        match newer {
            NONE => self.newest = older,
            newer => self.nodes[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.nodes[older as usize].newer = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The obvious LRU: a list, newest first.
    fn model(list: &mut Vec<(u32, u32)>, key: u32, weight: u32, max: u64) -> bool {
        let found = list.iter().position(|entry| entry.0 == key);
        match found {
            Some(at) => {
                let entry = list.remove(at);
                list.insert(0, entry);
            }
            None if u64::from(weight) <= max => {
                list.insert(0, (key, weight));
                while list.iter().map(|entry| u64::from(entry.1)).sum::<u64>() > max {
                    list.pop();
                }
            }
            None => {}
        }
        found.is_some()
    }

    #[test]
    fn it_is_exactly_lru() {
        let mut random = crate::zipf::Random::new(5);
        for max in [1u64, 7, 50] {
            let (mut lru, mut list) = (Lru::new(40, max), Vec::new());
            for step in 0..5000 {
                let key = random.below(40) as u32;
                let weight = key % 9 + 1;
                let hit = lru.get(key, 0);
                if !hit {
                    lru.set(key, weight, None);
                }
                assert_eq!(hit, model(&mut list, key, weight, max), "step {step} of {max}");
            }
        }
    }

    #[test]
    fn what_expires_is_gone_at_its_time_and_makes_room() {
        let mut lru = Lru::new(4, 2);
        lru.set(0, 1, Some(10));
        lru.set(1, 1, None);
        assert!(lru.get(0, 9));
        assert!(!lru.get(0, 10));
        lru.set(2, 1, None);
        assert!(lru.get(1, 10), "nothing had to go for key 2");
        lru.set(2, 1, Some(20));
        lru.set(2, 1, Some(40));
        assert!(lru.get(2, 30), "stored again with a later time");
        assert!(!lru.get(2, 40));
    }
}
