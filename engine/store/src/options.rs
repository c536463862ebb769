//! How a store is made, bounded and driven.

use std::ops::Range;

use ringlane_base::HashSeed;

/// What a store is born with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The process's secret, the same on every lane.
    pub hash_seed: HashSeed,
    /// Seeds the store's own dice (random keys, random eviction, hardened tables).
    pub random_seed: u64,
    /// How many logical databases there are, 1 to 128.
    pub databases: u8,
    /// The slots this lane owns.
    pub slots: Range<u16>,
}

/// What the store may hold, and what goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Limits {
    /// Compared with `Memory::total`. None: no bound.
    pub bytes_max: Option<usize>,
    /// A bound on the number of keys over all databases, for measuring hit ratios. None: no bound.
    pub entries_max: Option<usize>,
    pub policy: Policy,
}

/// `maxmemory-policy`: which entry goes when the store is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Policy {
    /// S3-FIFO in hash-table order with an adapting probation share.
    #[default]
    Adaptive,
    AllkeysLru,
    AllkeysLfu,
    AllkeysRandom,
    AllkeysFifo,
    VolatileLru,
    VolatileLfu,
    VolatileRandom,
    VolatileFifo,
    VolatileTtl,
    NoEviction,
}

impl Policy {
    pub const ALL: [Self; 11] = [
        Self::Adaptive,
        Self::AllkeysLru,
        Self::AllkeysLfu,
        Self::AllkeysRandom,
        Self::AllkeysFifo,
        Self::VolatileLru,
        Self::VolatileLfu,
        Self::VolatileRandom,
        Self::VolatileFifo,
        Self::VolatileTtl,
        Self::NoEviction,
    ];

    /// The name in `maxmemory-policy`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Adaptive => "adaptive",
            Self::AllkeysLru => "allkeys-lru",
            Self::AllkeysLfu => "allkeys-lfu",
            Self::AllkeysRandom => "allkeys-random",
            Self::AllkeysFifo => "allkeys-fifo",
            Self::VolatileLru => "volatile-lru",
            Self::VolatileLfu => "volatile-lfu",
            Self::VolatileRandom => "volatile-random",
            Self::VolatileFifo => "volatile-fifo",
            Self::VolatileTtl => "volatile-ttl",
            Self::NoEviction => "noeviction",
        }
    }

    /// The policy of this name, case ignored.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name().eq_ignore_ascii_case(name))
    }

    /// Whether only keys with an expiry may go.
    pub fn is_volatile(self) -> bool {
        matches!(
            self,
            Self::VolatileLru
                | Self::VolatileLfu
                | Self::VolatileRandom
                | Self::VolatileFifo
                | Self::VolatileTtl
        )
    }
}

/// How much one slice of upkeep may do. A unit is about one entry touched, some 100 ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub units: u32,
}

/// What a slice of upkeep came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Work {
    /// Call again soon: something that is due was left when the budget ended.
    pub more: bool,
    /// Units that were used.
    pub used: u32,
}
