//! The Amazon Redshift Data API in front of a PostgreSQL server: the laptop's stand-in for Redshift.
//!
//! It speaks the wire protocol (AWS JSON 1.1) with AWS's validation, limits and error shapes, and runs real
//! transactions. What it does not know it refuses by name. See the README beside this crate.

mod append;
mod catalog;
mod cell;
mod config;
mod connection;
mod error;
mod events;
mod execute;
mod faults;
mod fields;
mod http_client;
mod lists;
mod load;
mod parameters;
mod parquet;
mod placeholders;
mod principal;
mod records;
mod requests;
mod results;
mod s3;
mod server;
mod service;
mod sessions;
mod statements;
mod unload;
mod validate;
mod views;

pub use config::Config;
pub use error::ApiError;
pub use faults::{Effect, Rule};
pub use server::{Running, start};
pub use validate::{MAX_BATCH_STATEMENTS, MAX_STATEMENT_BYTES};

/// Locks `mutex`. A panic of another holder leaves plain data behind, so its poison is not passed on.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
