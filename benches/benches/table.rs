//! CPU time per key of the keyspace: reading, writing, growing, and what fetching memory ahead of a
//! batch gains: `cargo bench -p ringlane-benches --bench table`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringlane_benches::{cpu_time_after, cpu_time_of, filled, key, keys, set, shuffled_keys};
use ringlane_store::{Expiry, Store};

/// Commands that a lane plans before the first of them runs.
const BATCH: usize = 128;
const COUNTS: [usize; 2] = [100_000, 1_000_000];

/// Whether the memory of a batch is fetched before it is used.
#[derive(Clone, Copy)]
enum Access {
    Unstaged,
    Staged,
}

/// Reads a batch as a lane does.
fn get_batch(store: &mut Store, batch: &[[u8; 16]], access: Access) -> usize {
    let first = key(store, &batch[0]);
    let mut keys = [first; BATCH];
    for (key_of, bytes) in keys.iter_mut().zip(batch) {
        *key_of = key(store, bytes);
    }
    match access {
        Access::Unstaged => {}
        Access::Staged => {
            for key in &keys {
                store.prefetch_slot(key.slot);
            }
            for key in &keys {
                store.prefetch_table(key.slot, key.hash);
            }
            for key in &keys {
                store.prefetch_entry(key.slot, key.hash);
            }
        }
    }
    let mut bytes = 0;
    for key in &keys {
        bytes += store.get(key).and_then(|value| value.text_len()).unwrap_or(0);
    }
    bytes
}

/// Reads and writes of keys that exist, in an order that no cache foresees.
fn existing(criterion: &mut Criterion) {
    for count in COUNTS {
        let mut group = criterion.benchmark_group(format!("table/{count}"));
        group.throughput(Throughput::Elements(BATCH as u64));
        let mut store = filled(&keys(count));
        let order = shuffled_keys(count);
        let mut batches = order.chunks_exact(BATCH).cycle();
        let mut next = || batches.next().expect("a cycle does not end");
        for (name, access) in [("get", Access::Unstaged), ("get_staged", Access::Staged)] {
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|runs| {
                    cpu_time_of(runs, || {
                        assert_eq!(get_batch(&mut store, black_box(next()), access), BATCH * 32);
                    })
                });
            });
        }
        group.bench_function("set", |bencher| {
            bencher.iter_custom(|runs| {
                cpu_time_of(runs, || {
                    for bytes in black_box(next()) {
                        set(&mut store, bytes, &[b'w'; 32], Expiry::Never);
                    }
                })
            });
        });
        group.finish();
    }
}

/// From nothing to so many keys: every growth of every table is in it.
fn insert(criterion: &mut Criterion) {
    for count in COUNTS {
        let mut group = criterion.benchmark_group(format!("table/{count}"));
        group.throughput(Throughput::Elements(count as u64));
        let order = shuffled_keys(count);
        group.bench_function("insert", |bencher| {
            bencher.iter_custom(|runs| cpu_time_after(runs, || (), |()| filled(&order)));
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = ringlane_benches::few_samples();
    targets = existing, insert
}
criterion_main!(benches);
