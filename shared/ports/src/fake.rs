//! The collaborators in memory: what the functions' tests run against, and the model that the AWS adapters are held to.

mod files;
mod gated;
mod ledger;
mod objects;
mod queues;
mod samples;
mod surroundings;
mod warehouse;

pub use files::{MemoryRegister, MemoryWorkQueue};
pub use gated::{Gate, Gated};
pub use ledger::MemoryLedger;
pub use objects::{MemoryBucket, MemoryObjects};
pub use queues::{MemoryDeadLetters, MemoryRequests};
pub use samples::{a_file, a_job, a_run};
pub use surroundings::{
    ManualClock, MemoryConfiguration, MemoryExecutions, MemoryNotices, MemorySweeps, MemoryTokens, Told,
};
pub use warehouse::{MemoryWarehouse, Outcome, ROWS_OF_A_COPY};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A lock that a panicking test does not poison for its neighbours.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
