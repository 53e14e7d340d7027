//! What must hold of runs on a whole stack, whatever happens to them. The harness is the crate itself.

#![allow(clippy::unwrap_used, reason = "the functions that tests share are tests, too")]

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
mod permissions;
mod refusals;
mod requests;
mod restarts;
mod retries;
mod sources;
mod stops;
mod work;
