//! The hash that finds a key within its slot: 64-bit `MetroHash` with a seed drawn at start.

use std::hash::Hasher;

use metrohash::MetroHash64;

/// The secret that a process draws at start, so that nobody can prepare colliding keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashSeed(pub u64);

/// The 64-bit `MetroHash` of a key. The low bits choose bucket and segment, the top 7 are the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyHash(pub u64);

impl KeyHash {
    /// Hash of the key's bytes alone; the database is not part of it.
    #[inline]
    pub fn of(seed: HashSeed, key: &[u8]) -> Self {
        let mut hasher = MetroHash64::with_seed(seed.0);
        hasher.write(key);
        Self(hasher.finish())
    }
}
