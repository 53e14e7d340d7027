//! The Amazon Redshift Data API on top of a PostgreSQL server: the local stack's replacement for Redshift.
//!
//! It implements the wire protocol (AWS JSON 1.1) with the validation, limits and error shapes of AWS, and executes
//! real transactions. Unsupported features are rejected with an error that names them. See README.md of this crate.

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
mod principal;
mod quotas;
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

/// Locks `mutex`. The data is valid even after a panic of another holder, so a poisoned mutex is not an error.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
