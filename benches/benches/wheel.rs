//! CPU time per key of the timer wheel: `cargo bench -p ringlane-benches --bench wheel`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringlane_base::{Database, Due, Now};
use ringlane_benches::{NOW, cpu_time_after, cpu_time_of, filled, key, set, shuffled_keys, store};
use ringlane_store::{Budget, Expiry, Store};

const COUNT: usize = 100_000;
/// Entries that a lane's upkeep touches in one slice.
const SLICE: Budget = Budget { units: 1000 };

/// A store whose keys expire one after the other over ten seconds.
fn expiring(order: &[[u8; 16]]) -> Store {
    let mut store = store();
    for (number, bytes) in order.iter().enumerate() {
        set(
            &mut store,
            bytes,
            &[b'v'; 32],
            Expiry::At(Due::after(1 + number as u64 % 10_000, Now::both(NOW))),
        );
    }
    store
}

/// New keys with an expiry, and the same without for comparison.
fn inserts(criterion: &mut Criterion) {
    let order = shuffled_keys(COUNT);
    let mut group = criterion.benchmark_group("wheel");
    group.throughput(Throughput::Elements(COUNT as u64));
    group.bench_function("insert_with_expiry", |bencher| {
        bencher.iter_custom(|runs| cpu_time_after(runs, || (), |()| expiring(&order)));
    });
    group.bench_function("insert_without", |bencher| {
        bencher.iter_custom(|runs| cpu_time_after(runs, || (), |()| filled(&order)));
    });
    group.finish();
}

/// Every key gets a later expiry, again and again: what a session store does.
fn refreshes(criterion: &mut Criterion) {
    let order = shuffled_keys(COUNT);
    let mut store = expiring(&order);
    let mut group = criterion.benchmark_group("wheel");
    group.throughput(Throughput::Elements(1));
    let (mut turn, mut keys) = (0, order.iter().cycle());
    group.bench_function("refresh", |bencher| {
        bencher.iter_custom(|runs| {
            cpu_time_of(runs, || {
                turn += 1;
                let bytes = keys.next().expect("a cycle does not end");
                let key = key(&store, black_box(bytes));
                assert!(
                    store.set_expiry(&key, Some(Due::after(20_000 + turn / 1000, Now::both(NOW))))
                );
            })
        });
    });
    group.finish();
}

/// 100,000 keys have expired by the time that upkeep looks.
fn mass_expiry(criterion: &mut Criterion) {
    let order = shuffled_keys(COUNT);
    let mut group = criterion.benchmark_group("wheel");
    group.throughput(Throughput::Elements(COUNT as u64));
    group.bench_function("mass_expiry", |bencher| {
        let expire = |store: &mut Store| {
            // Later than the wheel's coarsest tick for these expiries.
            store.begin_turn(Now::both(NOW.plus(60_000)));
            while store.work(SLICE).more {}
            assert_eq!(store.len(Database(0)), 0);
        };
        bencher.iter_custom(|runs| cpu_time_after(runs, || expiring(&order), expire));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = ringlane_benches::few_samples();
    targets = inserts, refreshes, mass_expiry
}
criterion_main!(benches);
