//! Files that land in S3: which feed each belongs to, where it stands, and which are taken together.
//!
//! ```text
//! message ── event::read ── ObjectEvent ── entry(feeds) ── FileRegister::put        one item a file version
//! open files of a feed ── plan::decide ── ask for a run | hand out work items    batches, claimed with a condition
//! Batches: take ── begin ── (a COPY, a worker) ── end                            every file to exactly one end
//! ```
//!
//! Everything that decides is pure; [`FileRegister`] and [`Landing`] are the collaborators, `fake` has them in memory.

mod batches;
#[cfg(feature = "fakes")]
pub mod conformance;
pub mod event;
#[cfg(feature = "fakes")]
pub mod fake;
pub mod feed;
mod file;
mod inspect;
pub mod item;
mod parquet;
mod pattern;
pub mod plan;
mod quantity;
mod register;
mod rows;
#[cfg(any(test, feature = "fakes"))]
pub mod sample;

pub use batches::{Batches, Ending, batch_of};
pub use event::{Entry, Message, ObjectEvent};
pub use feed::{Feed, Feeds, Format};
pub use file::{Change, Deletion, FileId, FileRecord, FileStatus, FileStep, KeyHistory, UNCLAIMED, key_hash};
pub use inspect::{Verdict, inspect};
pub use pattern::KeyPattern;
pub use register::{AdvancedFile, FileRegister, Head, Landing, WorkQueue};
