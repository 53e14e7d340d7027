//! Feeds of files in S3: assigns each file to a feed, tracks its status, and groups files into batches.
//!
//! ```text
//! message ── event::read ── ObjectEvent ── event::entry ── FileRegister::put     one item for each file version
//! open files of a feed ── plan::decide ── request runs | hand out work items     batches, claimed by a conditional write
//! Batches: take ── begin ── (a COPY, a worker) ── end                            each file ends exactly once
//! ```
//!
//! The modules [`plan`], [`event`] and [`feed`] are pure. [`Batches`] and [`inspect()`] use the ports [`shiftwork_ports::FileRegister`] and
//! [`shiftwork_ports::Objects`].

mod batches;
pub mod encoding;
pub mod event;
pub mod feed;
mod header;
mod inspect;
mod parquet;
mod pattern;
pub mod plan;
mod rows;
#[cfg(test)]
mod sample;

pub use batches::{Batches, Ending, batch_of};
pub use encoding::Encoding;
pub use feed::{Feed, Feeds};
pub use inspect::{Inspection, inspect};
pub use pattern::KeyPattern;
