//! Counters of one store.

/// Events since the start or the last `Store::reset_stats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stats {
    pub hits: u64,
    pub misses: u64,
    /// Keys removed because their time had come, on access or by the wheel.
    pub expired: u64,
    /// Fields of hashes removed because their time had come.
    pub expired_fields: u64,
    pub evicted: u64,
    /// Entries that volatile policies have compared.
    pub sampled: u64,
    /// Misses whose key an eviction had taken not long before.
    pub ghost_hits: u64,
    /// Entries moved to gather free memory.
    pub relocated: u64,
    /// Allocations of large collections moved to where they leave fewer holes.
    pub settled: u64,
    /// Writes refused because nothing could be evicted.
    pub refused: u64,
    /// Writes that passed the limit, because what they belong to had begun.
    pub forced: u64,
}
