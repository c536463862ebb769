//! When which element is due: an ordered list of (time, hash) in small chunks. Nothing moves more
//! than one chunk, or the short directory of the chunks. Two elements may have the same time and
//! hash: then the pair stands here twice.

use std::collections::VecDeque;

use ringlane_base::Millis;

use super::heap_bytes;

/// Pairs of one chunk: 4 KiB.
const CHUNK_PAIRS: usize = 256;

/// Two neighbours with together at most this many pairs become one chunk.
const MERGE_PAIRS_MAX: usize = CHUNK_PAIRS / 2;

/// Times and hashes, ordered.
#[derive(Clone, Debug, Default)]
pub struct DueIndex {
    /// None is empty. Ordered, as are the pairs in each.
    chunks: VecDeque<Vec<(Millis, u64)>>,
    len: usize,
    /// Bytes of the chunks.
    chunks_bytes: usize,
}

fn chunk_bytes(chunk: &Vec<(Millis, u64)>) -> usize {
    heap_bytes(chunk.capacity() * size_of::<(Millis, u64)>())
}

impl DueIndex {
    /// How many pairs there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Heap bytes by usable size.
    pub fn bytes(&self) -> usize {
        heap_bytes(self.chunks.capacity() * size_of::<Vec<(Millis, u64)>>()) + self.chunks_bytes
    }

    /// The earliest time.
    #[inline]
    pub fn first(&self) -> Option<Millis> {
        self.chunks.front()?.first().map(|pair| pair.0)
    }

    /// The latest time.
    pub fn last(&self) -> Option<Millis> {
        self.chunks.back()?.last().map(|pair| pair.0)
    }

    /// The chunk where this pair stands or belongs: the first that does not end before it.
    fn chunk_of(&self, pair: (Millis, u64)) -> usize {
        self.chunks.partition_point(|chunk| chunk.last().is_some_and(|last| *last < pair))
    }

    pub fn insert(&mut self, at: Millis, hash: u64) {
        let pair = (at, hash);
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

    fn push_chunk(&mut self, number: usize, chunk: Vec<(Millis, u64)>) {
        self.chunks_bytes += chunk_bytes(&chunk);
        self.chunks.insert(number, chunk);
    }

    fn remove_chunk(&mut self, number: usize) {
        let chunk = self.chunks.remove(number).expect("the caller saw it");
        self.chunks_bytes -= chunk_bytes(&chunk);
    }

    /// Takes one such pair out; false if there is none.
    pub fn remove(&mut self, at: Millis, hash: u64) -> bool {
        let pair = (at, hash);
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

    /// Takes out up to `max` pairs whose time is not after `now`, earliest first, at most one
    /// chunk of them; none if nothing is due.
    pub fn take_due(&mut self, now: Millis, max: usize) -> Vec<(Millis, u64)> {
        let Some(chunk) = self.chunks.front_mut() else { return Vec::new() };
        let due = chunk.partition_point(|pair| pair.0 <= now).min(max);
        let taken = chunk.drain(..due).collect();
        self.len -= due;
        if chunk.is_empty() {
            self.remove_chunk(0);
        }
        taken
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

    use super::*;

    fn counted(index: &DueIndex) -> usize {
        index.chunks.iter().map(chunk_bytes).sum()
    }

    fn check(index: &DueIndex, model: &[(Millis, u64)]) {
        let all: Vec<_> = index.chunks.iter().flatten().copied().collect();
        assert_eq!(all, model);
        assert_eq!(index.len(), model.len());
        assert_eq!(index.first(), model.first().map(|pair| pair.0));
        assert_eq!(index.last(), model.last().map(|pair| pair.0));
        assert_eq!(index.chunks_bytes, counted(index));
        assert!(index.chunks.iter().all(|chunk| (1..=CHUNK_PAIRS).contains(&chunk.len())));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

        #[test]
        fn it_is_a_sorted_list(
            steps in prop::collection::vec((0u8..10, 0u64..400, 0u64..3), 0..3000),
            drain in any::<bool>(),
        ) {
            let mut index = DueIndex::default();
            let mut model: Vec<(Millis, u64)> = Vec::new();
            for (step, (action, at, hash)) in steps.into_iter().enumerate() {
                let pair = (Millis(at), hash);
                match action {
                    0..=6 => {
                        index.insert(pair.0, pair.1);
                        model.insert(model.partition_point(|other| *other < pair), pair);
                    }
                    7 | 8 => {
                        let place = model.binary_search(&pair);
                        prop_assert_eq!(index.remove(pair.0, pair.1), place.is_ok());
                        if let Ok(place) = place {
                            model.remove(place);
                        }
                    }
                    _ => {
                        let (now, max) = (Millis(at / 8), 5);
                        let due = model.partition_point(|pair| pair.0 <= now).min(max);
                        let taken = index.take_due(now, max);
                        prop_assert!(taken.len() == due || taken.len() < due && !taken.is_empty());
                        let expected: Vec<_> = model.drain(..taken.len()).collect();
                        prop_assert_eq!(taken, expected);
                    }
                }
                if step % 64 == 0 {
                    check(&index, &model);
                }
            }
            check(&index, &model);
            if drain {
                for (at, hash) in std::mem::take(&mut model) {
                    prop_assert!(index.remove(at, hash));
                }
                check(&index, &model);
            }
            while !index.free_some(&mut 1) {}
            check(&index, &[]);
        }
    }
}
