//! Properties of runs on a complete stack, including failures. The harness is the library of this crate.

#![allow(clippy::unwrap_used, reason = "helper functions of tests fail the test with a panic")]

mod change_kills;
mod change_sources;
mod changes;
mod command_line;
mod drift;
mod events;
mod failures;
mod file_kills;
mod files;
mod kills;
mod metadata;
mod notifications;
mod order;
mod overlap;
mod parameters;
mod parquet;
mod per_statement;
mod permissions;
mod refusals;
mod requests;
mod restarts;
mod retries;
mod sources;
mod stops;
mod work;
