//! Criterion benchmarks live in `benches/`; this library is empty because a package needs a target.
