//! What happens when a job or a run ends, whichever function notices: job-callback on an event or in a sweep, audit-updater on the
//! failure path, the launcher for a job that is not to run, the trigger for a run that lost its lease.
//!
//! - [`JobSettlement`]: an attempt ended → the job's next step → its dependents freed, its task told, its event published.
//! - [`kind`]: what a kind of job does around its attempts.
//! - [`RunSettlement`]: every job ended, or the run was stopped → run status, lease, notification.
//! - [`RunSettlement::sweep`]: the same, from what the tables and the engines say when an event was lost.
//!
//! Everything here can stop after any write and be done again: the ledger's conditional writes decide which of two callers was
//! first, and what follows from a write is derived from the record as it then stands ([`JobSettlement::follow`]), never from its
//! writer.

mod jobs;
pub mod kind;
mod next;
mod runs;
mod sweep;

pub use jobs::JobSettlement;
pub use kind::Kinds;
pub use next::{Next, after_failure, outcome_of};
pub use runs::{RunSettlement, lease_until_begun};
