//! The ports in memory, for the tests of the functions. The conformance suites test them together with the AWS adapters.

mod files;
mod gated;
mod ledger;
mod log_lines;
mod objects;
mod queues;
mod samples;
mod surroundings;
mod warehouse;

pub use files::{MemoryRegister, MemoryWorkQueue};
pub use gated::{Gate, Gated};
pub use ledger::MemoryLedger;
pub use log_lines::LogLines;
pub use objects::{MemoryBucket, MemoryObjects};
pub use queues::{MemoryDeadLetters, MemoryRequests};
pub use samples::{a_file, a_job, a_run};
pub use surroundings::{
    Closed, ManualClock, MemoryConfiguration, MemoryExecutions, MemoryNotices, MemorySweeps, MemoryTokens,
};
pub use warehouse::{MemoryWarehouse, Outcome, ROWS_OF_A_COPY, ROWS_OF_A_STATEMENT, STATEMENT_US};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex, even if a test panicked while it held the lock.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
