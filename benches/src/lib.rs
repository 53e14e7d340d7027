//! Shared code of the benchmarks: graphs with known durations, and access to the local stack.
//!
//! `benches/README.md` describes what each benchmark measures.

pub mod graph;
pub mod http;
pub mod machine;
pub mod numbers;
pub mod stack;
