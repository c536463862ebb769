//! Where an entry belongs by hash: `MetroHash` with the process's seed, and `SipHash` for the parts of
//! a table that somebody filled with colliding keys.

use std::hash::Hasher;

use ringlane_base::{HashSeed, KeyHash};
use siphasher::sip::SipHasher13;

use crate::entry::Entry;

/// The store's hash functions.
pub struct Hashing {
    seed: HashSeed,
    hardened: (u64, u64),
    /// Lets tests make keys collide.
    #[cfg(test)]
    pub forced: Option<fn(&[u8]) -> KeyHash>,
}

/// Spreads databases, so that one key in many of them is not one collision chain. Odd, so that no
/// two databases meet.
const DATABASE_SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

impl Hashing {
    pub fn new(seed: HashSeed, dice: &mut fastrand::Rng) -> Self {
        Self {
            seed,
            hardened: (dice.u64(..), dice.u64(..)),
            #[cfg(test)]
            forced: None,
        }
    }

    pub fn seed(&self) -> HashSeed {
        self.seed
    }

    /// What callers put in `Key::hash`.
    #[inline]
    pub fn of_key(&self, key: &[u8]) -> KeyHash {
        #[cfg(test)]
        if let Some(forced) = self.forced {
            return forced(key);
        }
        KeyHash::of(self.seed, key)
    }

    /// The hash that places a key of a physical database.
    #[inline]
    pub fn placed(hash: KeyHash, physical: u8) -> u64 {
        hash.0 ^ u64::from(physical).wrapping_mul(DATABASE_SPREAD)
    }

    /// The hash that placed this entry.
    #[inline]
    pub fn of_entry(&self, entry: Entry<'_>) -> u64 {
        Self::placed(self.of_key(entry.key()), entry.header().physical())
    }

    /// The hash that places a key where `MetroHash` has been made to collide.
    #[cold]
    pub fn hardened(&self, physical: u8, key: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.hardened.0, self.hardened.1);
        hasher.write_u8(physical);
        hasher.write(key);
        hasher.finish()
    }

    /// The hardened hash of an entry.
    pub fn hardened_of_entry(&self, entry: Entry<'_>) -> u64 {
        self.hardened(entry.header().physical(), entry.key())
    }
}
