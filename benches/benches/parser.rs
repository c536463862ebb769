//! Nanoseconds per command of the request parser: `cargo bench -p ringlane-benches --bench parser`.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ringlane_resp::{Limits, Parser, Step};

/// Commands in one buffer, as a pipeline brings them.
const PIPELINE: usize = 64;

fn encode(args: &[&[u8]]) -> Vec<u8> {
    let mut input = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        input.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        input.extend_from_slice(arg);
        input.extend_from_slice(b"\r\n");
    }
    input
}

/// Whole commands, back to back.
fn pipelines(criterion: &mut Criterion) {
    let value = [b'v'; 1024];
    let mut group = criterion.benchmark_group("parser");
    for (name, command) in [
        ("get_16", encode(&[b"GET", b"key:000000000001"])),
        ("set_16_32", encode(&[b"SET", b"key:000000000001", &[b'v'; 32]])),
        ("set_16_1024", encode(&[b"SET", b"key:000000000001", &value])),
        ("set_px", encode(&[b"SET", b"key:000000000001", &[b'v'; 32], b"PX", b"60000"])),
        ("mget_100", encode(&[b"key:000000000001".as_slice(); 100])),
        ("inline_get", b"GET key:000000000001\r\n".to_vec()),
    ] {
        let input = command.repeat(PIPELINE);
        let limits = Limits::authenticated(512 << 20);
        let (mut args, mut blobs) = (Vec::with_capacity(8192), Vec::new());
        group.throughput(Throughput::Elements(PIPELINE as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut parser = Parser::new();
                let mut start = 0;
                args.clear();
                while let Ok(Step::Command { consumed }) =
                    parser.parse(black_box(&input[start..]), &limits, &mut args, &mut blobs)
                {
                    start += consumed;
                }
                assert_eq!(start, input.len());
                black_box(args.len())
            });
        });
    }
    group.finish();
}

/// One value that comes in 4 KiB pieces.
fn large_value(criterion: &mut Criterion) {
    let value = vec![b'v'; 8 << 20];
    let input = encode(&[b"SET", b"key", &value]);
    let limits = Limits::authenticated(512 << 20);
    let mut group = criterion.benchmark_group("parser");
    group.throughput(Throughput::Bytes(input.len() as u64));
    group.bench_function("set_8_mib_in_4_kib", |bencher| {
        bencher.iter_batched_ref(
            || (Parser::new(), Vec::new(), Vec::new()),
            |(parser, args, blobs)| {
                let mut kept = Vec::new();
                for piece in input.chunks(4096) {
                    kept.extend_from_slice(piece);
                    match parser.parse(&kept, &limits, args, blobs) {
                        Ok(Step::Incomplete { consumed } | Step::Command { consumed }) => {
                            kept.drain(..consumed);
                        }
                        other => unreachable!("one well-formed command: {other:?}"),
                    }
                }
                assert_eq!(args.len(), 3);
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, pipelines, large_value);
criterion_main!(benches);
