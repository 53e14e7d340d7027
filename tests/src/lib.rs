//! A client of a running stack for end-to-end tests: pushes workflows, requests runs, injects faults, and compares the
//! audit with the statements in Redshift.
//!
//! The tests are in `e2e/`. They need a disposable stack (`make test` starts one and sets `SHIFTWORK_CONTROL_URL`)
//! and fail without it. Each test has separate workflow ids and a separate database schema, so that tests can run
//! concurrently; tests whose faults cannot be limited to a run use the stack exclusively ([`Stack::exclusive`]).

mod changes;
mod ended;
mod endpoint;
mod flow;
mod inbox;
mod landing;
mod stack;

pub use changes::Changes;
pub use ended::{Ended, StatementRecord};
pub use endpoint::Endpoint;
pub use flow::{Flow, InvokeError, Run};
pub use inbox::Inbox;
pub use landing::{LANDING, LANDING_BOTH, LANDING_BUS, LANDING_TOPIC, Landing, count};
pub use stack::Stack;
