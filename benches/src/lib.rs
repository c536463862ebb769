//! What the benchmarks share. The criterion benchmarks are in `benches/`, the programs that measure
//! a whole process in `examples/`.

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use ringlane_base::{Database, HashSeed, Millis, Now};
use ringlane_store::{Expiry, Key, NewValue, Options, Store};

/// The time at which every store here begins.
pub const NOW: Millis = Millis(1_700_000_000_000);

/// How long benchmarks of a whole store run: a few long samples, since each fills one.
pub fn few_samples() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
}

/// An empty store that owns every slot.
pub fn store() -> Store {
    let mut store = Store::new(Options {
        hash_seed: HashSeed(0x5EED),
        random_seed: 7,
        databases: 16,
        slots: 0..16384,
    });
    store.begin_turn(Now::both(NOW));
    store
}

/// The key of this number, 16 bytes.
pub fn key_bytes(number: usize) -> [u8; 16] {
    let mut bytes = *b"key:000000000000";
    let mut rest = number;
    for digit in bytes[4..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    bytes
}

/// The keys of all numbers below `count`.
pub fn keys(count: usize) -> Vec<[u8; 16]> {
    (0..count).map(key_bytes).collect()
}

/// The same in an order of chance, always the same one.
pub fn shuffled_keys(count: usize) -> Vec<[u8; 16]> {
    let mut keys = keys(count);
    fastrand::Rng::with_seed(count as u64).shuffle(&mut keys);
    keys
}

/// The key as database 0 of the store knows it.
#[inline]
pub fn key<'k>(store: &Store, bytes: &'k [u8]) -> Key<'k> {
    store.key(Database(0), bytes)
}

/// Sets the key; there is memory for it.
#[inline]
pub fn set(store: &mut Store, bytes: &[u8], value: &[u8], expiry: Expiry) {
    let key = key(store, bytes);
    store.set(&key, NewValue::Text(value), expiry).expect("the policy makes room");
}

/// A store with these keys, 32 bytes each, without expiry.
pub fn filled(keys: &[[u8; 16]]) -> Store {
    let mut store = store();
    for bytes in keys {
        set(&mut store, bytes, &[b'v'; 32], Expiry::Never);
    }
    store
}

/// CPU time that this thread has used. What else runs on the machine shows in it only by the caches
/// that it takes, so a benchmark can run beside other work.
pub fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// CPU time of so many runs, for `Bencher::iter_custom`.
pub fn cpu_time_of<R>(runs: u64, mut run: impl FnMut() -> R) -> Duration {
    let started = cpu_time();
    for _ in 0..runs {
        black_box(run());
    }
    cpu_time().saturating_sub(started)
}

/// The same for long runs that each need something made for them; neither that nor the dropping of
/// what comes out counts.
pub fn cpu_time_after<S, R>(
    runs: u64,
    mut make: impl FnMut() -> S,
    mut run: impl FnMut(&mut S) -> R,
) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..runs {
        let mut input = make();
        let started = cpu_time();
        let out = black_box(run(&mut input));
        total += cpu_time().saturating_sub(started);
        drop((out, input));
    }
    total
}
