//! A client of a running stack, for end-to-end tests: it pushes workflows, asks for runs, orders faults, and holds what
//! the audit says against what Redshift says.
//!
//! The tests are in `e2e/`. They need the test stack, into which they inject faults: `make test` starts one, `make up-test` keeps one.
//! Without it (`SHIFTWORK_CONTROL_URL` is not set) every test fails. A test has its own workflow ids and its own database schema, so that they run side
//! by side; those that order faults which know no run take the stack for themselves ([`Stack::alone`]).

mod changes;
mod ended;
mod endpoint;
mod flow;
mod inbox;
mod landing;
mod stack;

pub use changes::Changes;
pub use ended::{Ended, Evidence};
pub use endpoint::Endpoint;
pub use flow::{Flow, Refusal, Run};
pub use inbox::Inbox;
pub use landing::{LANDING, LANDING_BOTH, LANDING_BUS, LANDING_TOPIC, Landing, count};
pub use stack::Stack;
