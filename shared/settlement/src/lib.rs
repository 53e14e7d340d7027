//! The steps that follow when a job or a run ends. Several functions take them: job-callback on an event or in a sweep,
//! audit-updater after an error, the launcher for a job that is not run, the trigger for a run that lost its lease.
//!
//! - [`JobSettlement`]: an attempt ended → the job's next step → its dependents are freed, its task completes, its event
//!   is published.
//! - [`kind`]: the steps of each kind of job around its attempts.
//! - [`RunSettlement`]: all jobs ended, or the run was stopped → status of the run, lease, notification.
//! - [`RunSettlement::sweep`]: the same steps after lost events, derived from the tables and the engines.
//!
//! Every operation is idempotent and can be repeated after a crash at any write. The ledger's conditional writes decide
//! which of two concurrent callers writes, and the following steps depend only on the record
//! ([`JobSettlement::follow`]), not on its writer.

mod commits;
mod each;
mod jobs;
pub mod kind;
mod next;
mod runs;
mod slots;
mod sweep;

pub use commits::{how_to_decide, may_have_committed};
pub use jobs::{JobSettlement, LAUNCHER_WAITS};
pub use kind::Kinds;
pub use next::{Next, after_failure, failures_for_dependents, outcome_of, skip_of};
pub use runs::{RunSettlement, lease_until_begun};
