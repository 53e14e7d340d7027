//! What the benchmarks of runs share: graphs of known lengths, and the local stack that they run on.
//!
//! `benches/README.md` says what each benchmark measures and how.

pub mod graph;
pub mod http;
pub mod machine;
pub mod numbers;
pub mod stack;
