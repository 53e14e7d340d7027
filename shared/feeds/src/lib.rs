//! Files that land in S3: which feed each belongs to, where it stands, and which are taken together.
//!
//! ```text
//! message ── event::read ── ObjectEvent ── event::entry ── FileRegister::put        one item a file version
//! open files of a feed ── plan::decide ── ask for a run | hand out work items    batches, claimed with a condition
//! Batches: take ── begin ── (a COPY, a worker) ── end                            every file to exactly one end
//! ```
//!
//! Everything that decides is pure; [`shiftwork_ports::FileRegister`] and [`shiftwork_ports::Objects`] are the collaborators.

mod batches;
pub mod event;
pub mod feed;
mod inspect;
mod parquet;
mod pattern;
pub mod plan;
mod rows;
#[cfg(test)]
mod sample;

pub use batches::{Batches, Ending, batch_of};
pub use feed::{Feed, Feeds};
pub use inspect::{Verdict, inspect};
pub use pattern::KeyPattern;
