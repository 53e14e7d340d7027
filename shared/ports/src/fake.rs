//! The collaborators in memory: what the functions' tests run against, and the model that the AWS adapters are held to.

mod change_data;
mod documents;
mod ledger;
mod samples;
mod surroundings;
mod warehouse;

pub use change_data::{MemoryDeadLetters, MemoryFiles, MemoryRequests, MemoryStaging};
pub use documents::MemoryDocuments;
pub use ledger::MemoryLedger;
pub use samples::{a_job, a_run};
pub use surroundings::{
    ManualClock, MemoryConfiguration, MemoryExecutions, MemoryNotices, MemoryScripts, MemorySweeps, MemoryTokens, Told,
};
pub use warehouse::{MemoryWarehouse, Outcome, ROWS_OF_A_COPY};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A lock that a panicking test does not poison for its neighbours.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
