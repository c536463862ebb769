//! Which key a connection asks for next, when every endpoint wants only keys that it owns.

use std::ops::Range;

use crate::{
    cluster::Owners,
    keyspace::Shape,
    zipf::{Draw, Popularity, Random},
};

/// Keys that were drawn for an endpoint before it asked. Beyond this a drawn key is dropped.
const POOL_KEYS_MAX: usize = 1024;
/// An endpoint that owns any key of the run finds one long before this many draws; one that owns
/// none (fewer keys than slots) must not spin for ever.
const DRAWS_MAX: u32 = 1_000_000;

/// A thread's supply of keys.
pub struct Source {
    shape: Shape,
    supply: Supply,
}

enum Supply {
    /// Each number of a range once: every endpoint walks the range and takes what it owns.
    Sequence { range: Range<u64>, next: Vec<u64> },
    /// Drawn numbers, kept apart by owner, so that each endpoint's keys have the drawn popularity.
    Drawn { draw: Draw, pools: Vec<Vec<u64>> },
}

impl Source {
    pub fn sequence(shape: Shape, range: Range<u64>, endpoints: usize) -> Self {
        let next = vec![range.start; endpoints];
        Self { shape, supply: Supply::Sequence { next, range } }
    }

    pub fn drawn(shape: Shape, popularity: Popularity, endpoints: usize) -> Self {
        let draw = Draw::new(shape.keys, popularity);
        Self { shape, supply: Supply::Drawn { draw, pools: vec![Vec::new(); endpoints] } }
    }

    /// The next key for this endpoint; None at the end of a sequence. `key` is left holding its
    /// bytes.
    #[inline]
    pub fn next(
        &mut self,
        endpoint: usize,
        owners: &Owners,
        random: &mut Random,
        key: &mut Vec<u8>,
    ) -> Option<u64> {
        let Self { shape, supply } = self;
        let single = owners.endpoints.len() == 1;
        let mut spell = |number: u64| {
            key.clear();
            shape.push_key(number, key);
            if single { 0 } else { owners.of(key) }
        };
        match supply {
            Supply::Sequence { range, next } => {
                while next[endpoint] < range.end {
                    let number = next[endpoint];
                    next[endpoint] += 1;
                    if spell(number) == endpoint {
                        return Some(number);
                    }
                }
                None
            }
            Supply::Drawn { draw, pools } => {
                if let Some(number) = pools[endpoint].pop() {
                    spell(number);
                    return Some(number);
                }
                for _ in 0..DRAWS_MAX {
                    let number = draw.next(random);
                    let owner = spell(number);
                    if owner == endpoint {
                        return Some(number);
                    }
                    if pools[owner].len() < POOL_KEYS_MAX {
                        pools[owner].push(number);
                    }
                }
                None
            }
        }
    }
}
