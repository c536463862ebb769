//! Nanoseconds per reply of the reply writer: `cargo bench -p ringlane-benches --bench writer`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringlane_resp::{Version, Writer};

/// Replies in one buffer, as a turn writes them.
const REPLIES: usize = 64;

fn replies(criterion: &mut Criterion) {
    let value = [b'v'; 1024];
    let mut group = criterion.benchmark_group("writer");
    group.throughput(Throughput::Elements(REPLIES as u64));
    let mut out = Vec::with_capacity(REPLIES * 2048);
    let mut bench = |name: &str, write: &dyn Fn(&mut Writer<'_>)| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                let mut writer = Writer::new(&mut out, Version::Resp2);
                for _ in 0..REPLIES {
                    write(&mut writer);
                }
                black_box(out.len())
            });
        });
    };
    bench("ok", &|writer| writer.simple(black_box("OK")));
    bench("integer_small", &|writer| writer.integer(black_box(42)));
    bench("integer_large", &|writer| writer.integer(black_box(1_234_567_890_123)));
    bench("bulk_32", &|writer| writer.bulk(black_box(&value[..32])));
    bench("bulk_1024", &|writer| writer.bulk(black_box(&value)));
    bench("null", &|writer| writer.null());
    bench("double", &|writer| writer.double(black_box(0.1)));
    group.finish();
}

criterion_group!(benches, replies);
criterion_main!(benches);
