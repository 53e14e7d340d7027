//! What must hold of runs on a whole stack, whatever happens to them. The harness is the crate itself.

mod events;
mod failures;
mod kills;
mod order;
mod overlap;
mod parameters;
mod permissions;
mod refusals;
mod requests;
mod restarts;
mod retries;
mod sources;
mod stops;
mod work;
