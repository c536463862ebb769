//! CPU time per write of a new key into a full store, by policy, upkeep included:
//! `cargo bench -p ringlane-benches --bench eviction`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringlane_base::{Database, Due};
use ringlane_benches::{NOW, cpu_time_of, key_bytes, set, store};
use ringlane_store::{Budget, Expiry, Limits, Policy};

/// The limit: some 400,000 of these keys.
const BYTES_MAX: usize = 32 << 20;
/// Writes between two slices of upkeep.
const WRITES: usize = 64;
/// Entries that a lane's upkeep touches in one slice.
const SLICE: Budget = Budget { units: 1000 };

fn full(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("eviction");
    group.throughput(Throughput::Elements(WRITES as u64));
    for policy in Policy::ALL.into_iter().filter(|&policy| policy != Policy::NoEviction) {
        let mut store = store();
        store.set_limits(Limits { bytes_max: Some(BYTES_MAX), entries_max: None, policy });
        let mut number = 0;
        let mut write = |writes: usize| {
            for _ in 0..writes {
                // Expiries far off and all different, for the policies that ask for them.
                let expiry = if policy.is_volatile() {
                    Expiry::At(Due::at(NOW.plus(3_600_000 + (number as u64 * 7919) % 3_600_000)))
                } else {
                    Expiry::Never
                };
                set(&mut store, &key_bytes(number), &[b'v'; 32], expiry);
                number += 1;
            }
            store.work(SLICE);
            store.stats().evicted
        };
        while write(WRITES) == 0 {}
        group.bench_function(policy.name(), |bencher| {
            bencher.iter_custom(|runs| cpu_time_of(runs, || write(WRITES)));
        });
        let most = BYTES_MAX / 48;
        assert!(store.len(Database(0)) < most, "{} evicted", policy.name());
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = ringlane_benches::few_samples();
    targets = full
}
criterion_main!(benches);
