//! When which element is due: an ordered list of (time, hash) in small chunks, those of the wall clock
//! before those of the steady one. Nothing moves more than one chunk, or the short directory of the
//! chunks. Two elements may have the same time and hash: then the pair stands here twice.

use std::collections::VecDeque;

use ringlane_base::{Clock, Due, Now, Soonest};

use super::heap_bytes;

/// Pairs of one chunk: 4 KiB.
const CHUNK_PAIRS: usize = 256;

/// Two neighbours with together at most this many pairs become one chunk.
const MERGE_PAIRS_MAX: usize = CHUNK_PAIRS / 2;

/// A time as its word, and a hash.
type Pair = (u64, u64);

/// Times and hashes, ordered.
#[derive(Clone, Debug, Default)]
pub struct DueIndex {
    /// None is empty. Ordered, as are the pairs in each.
    chunks: VecDeque<Vec<Pair>>,
    len: usize,
    /// Bytes of the chunks.
    chunks_bytes: usize,
}

fn chunk_bytes(chunk: &Vec<Pair>) -> usize {
    heap_bytes(chunk.capacity() * size_of::<Pair>())
}

/// The least pair of this clock.
fn start(clock: Clock) -> Pair {
    (Due::earliest(clock).to_word(), 0)
}

impl DueIndex {
    /// How many pairs there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Heap bytes by usable size.
    pub fn bytes(&self) -> usize {
        heap_bytes(self.chunks.capacity() * size_of::<Vec<Pair>>()) + self.chunks_bytes
    }

    /// The earliest time of each clock.
    #[inline]
    pub fn soonest(&self) -> Soonest {
        if self.len == 0 {
            return Soonest::default();
        }
        let first = |clock| {
            let (number, place) = self.place_of(start(clock))?;
            Some(Due::from_word(self.chunks[number][place].0)).filter(|due| due.clock() == clock)
        };
        Soonest::of(Clock::ALL.into_iter().filter_map(first))
    }

    /// Whether every element is due.
    pub fn all_due(&self, now: Now) -> bool {
        let last_wall = match self.place_of(start(Clock::Steady)) {
            Some((0, 0)) | None => None,
            Some((number, 0)) => self.chunks[number - 1].last(),
            Some((number, place)) => self.chunks[number].get(place - 1),
        };
        let last = self.chunks.back().and_then(|chunk| chunk.last());
        last_wall.into_iter().chain(last).all(|pair| Due::from_word(pair.0).is_due(now))
    }

    /// The chunk where this pair stands or belongs: the first that does not end before it.
    fn chunk_of(&self, pair: Pair) -> usize {
        self.chunks.partition_point(|chunk| chunk.last().is_some_and(|last| *last < pair))
    }

    /// Chunk and place in it of the first pair that is not before this one.
    fn place_of(&self, pair: Pair) -> Option<(usize, usize)> {
        let number = self.chunk_of(pair);
        let chunk = self.chunks.get(number)?;
        Some((number, chunk.partition_point(|other| *other < pair)))
    }

    pub fn insert(&mut self, at: Due, hash: u64) {
        let pair = (at.to_word(), hash);
        let mut number = self.chunk_of(pair);
        if number == self.chunks.len() {
            // Times mostly ascend: the last chunk is filled up, not split.
            match self.chunks.back() {
                Some(last) if last.len() < CHUNK_PAIRS => number -= 1,
                Some(_) => self.push_chunk(number, Vec::with_capacity(CHUNK_PAIRS)),
                None => self.push_chunk(number, Vec::new()),
            }
        } else if self.chunks[number].len() == CHUNK_PAIRS {
            let mut upper = Vec::with_capacity(CHUNK_PAIRS);
            upper.extend(self.chunks[number].drain(CHUNK_PAIRS / 2..));
            let into_upper = pair > upper[0];
            self.push_chunk(number + 1, upper);
            number += usize::from(into_upper);
        }
        let chunk = &mut self.chunks[number];
        self.chunks_bytes -= chunk_bytes(chunk);
        let place = chunk.partition_point(|other| *other < pair);
        chunk.insert(place, pair);
        self.chunks_bytes += chunk_bytes(chunk);
        self.len += 1;
    }

    fn push_chunk(&mut self, number: usize, chunk: Vec<Pair>) {
        self.chunks_bytes += chunk_bytes(&chunk);
        self.chunks.insert(number, chunk);
    }

    fn remove_chunk(&mut self, number: usize) {
        let chunk = self.chunks.remove(number).expect("the caller saw it");
        self.chunks_bytes -= chunk_bytes(&chunk);
    }

    /// Takes one such pair out; false if there is none.
    pub fn remove(&mut self, at: Due, hash: u64) -> bool {
        let pair = (at.to_word(), hash);
        let number = self.chunk_of(pair);
        let Some(chunk) = self.chunks.get_mut(number) else { return false };
        let Ok(place) = chunk.binary_search(&pair) else { return false };
        chunk.remove(place);
        self.len -= 1;
        let len = chunk.len();
        if len == 0 {
            self.remove_chunk(number);
        } else if len < MERGE_PAIRS_MAX / 2
            && self.chunks.get(number + 1).is_some_and(|next| next.len() + len <= MERGE_PAIRS_MAX)
        {
            let next = std::mem::take(&mut self.chunks[number + 1]);
            self.chunks_bytes -= chunk_bytes(&next) + chunk_bytes(&self.chunks[number]);
            self.chunks[number].extend(next);
            self.chunks_bytes += chunk_bytes(&self.chunks[number]);
            self.remove_chunk(number + 1);
        }
        true
    }

    /// Takes out up to `max` pairs that are due, the earliest of a clock first, at most one chunk of
    /// them; none if nothing is due.
    pub fn take_due(&mut self, now: Now, max: usize) -> Vec<(Due, u64)> {
        for clock in Clock::ALL {
            let Some((number, from)) = self.place_of(start(clock)) else { continue };
            let chunk = &mut self.chunks[number];
            let is_due = |pair: &Pair| {
                let due = Due::from_word(pair.0);
                due.clock() == clock && due.is_due(now)
            };
            let count = chunk[from..].partition_point(is_due).min(max);
            if count == 0 {
                continue;
            }
            let taken = chunk.drain(from..from + count);
            let taken = taken.map(|(word, hash)| (Due::from_word(word), hash)).collect();
            self.len -= count;
            if chunk.is_empty() {
                self.remove_chunk(number);
            }
            return taken;
        }
        Vec::new()
    }

    /// Frees chunks, one unit each, until no units are left. True: nothing is left.
    pub fn free_some(&mut self, units: &mut u32) -> bool {
        while *units > 0 && !self.chunks.is_empty() {
            *units -= 1;
            self.len -= self.chunks[0].len();
            self.remove_chunk(0);
        }
        self.chunks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ringlane_base::Millis;

    use super::*;

    fn counted(index: &DueIndex) -> usize {
        index.chunks.iter().map(chunk_bytes).sum()
    }

    fn word(due: Due) -> u64 {
        due.to_word()
    }

    fn check(index: &DueIndex, model: &[(Due, u64)], now: Now) {
        let all: Vec<_> = index.chunks.iter().flatten().copied().collect();
        let words: Vec<Pair> = model.iter().map(|(due, hash)| (word(*due), *hash)).collect();
        assert_eq!(all, words);
        assert_eq!(index.len(), model.len());
        assert_eq!(index.soonest(), Soonest::of(model.iter().map(|pair| pair.0)));
        assert_eq!(index.all_due(now), model.iter().all(|pair| pair.0.is_due(now)));
        assert_eq!(index.chunks_bytes, counted(index));
        assert!(index.chunks.iter().all(|chunk| (1..=CHUNK_PAIRS).contains(&chunk.len())));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

        #[test]
        fn it_is_a_sorted_list(
            steps in prop::collection::vec((0u8..10, 0u64..400, 0u64..3, 0usize..4), 0..3000),
            drain in any::<bool>(),
        ) {
            let mut index = DueIndex::default();
            let mut model: Vec<(Due, u64)> = Vec::new();
            let place_in = |model: &[(Due, u64)], (due, hash): (Due, u64)| {
                model.binary_search_by_key(&(word(due), hash), |other| (word(other.0), other.1))
            };
            for (step, (action, at, hash, clock)) in steps.into_iter().enumerate() {
                let pair = (Due::on(Clock::ALL[clock % 2], Millis(at)), hash);
                let now = Now { wall: Millis(at / 8), steady: Millis(at / 8 * clock as u64) };
                match action {
                    0..=6 => {
                        index.insert(pair.0, pair.1);
                        let place = place_in(&model, pair).unwrap_or_else(|place| place);
                        model.insert(place, pair);
                    }
                    7 | 8 => {
                        let place = place_in(&model, pair);
                        prop_assert_eq!(index.remove(pair.0, pair.1), place.is_ok());
                        if let Ok(place) = place {
                            model.remove(place);
                        }
                    }
                    _ => {
                        let max = 5;
                        let is_due = |pair: &(Due, u64)| pair.0.is_due(now);
                        let all = model.iter().filter(|pair| is_due(pair)).count();
                        let taken = index.take_due(now, max);
                        prop_assert!(taken.len() <= max && taken.is_empty() == (all == 0));
                        if let Some(from) = model.iter().position(is_due) {
                            let expected: Vec<_> = model.drain(from..from + taken.len()).collect();
                            prop_assert!(expected.iter().all(is_due));
                            prop_assert_eq!(taken, expected);
                        }
                    }
                }
                if step % 64 == 0 {
                    check(&index, &model, now);
                }
            }
            check(&index, &model, Now::both(Millis(200)));
            if drain {
                for (at, hash) in std::mem::take(&mut model) {
                    prop_assert!(index.remove(at, hash));
                }
                check(&index, &model, Now::default());
            }
            while !index.free_some(&mut 1) {}
            check(&index, &[], Now::default());
        }
    }
}
