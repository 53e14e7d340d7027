//! Decodes change events of databases, and writes them to staged files by table contracts. The crate does not use AWS.
//!
//! The design is in `docs/decisions/0006-change-data.md`; [`contract`] has the file that a user writes.
//!
//! ```text
//! record ── event::Event ── assemble ─┬─ contract columns ── value (decode) ── fit (convert to the column's type) ── csv
//!           kind of record, table,    ├─ dw_md_missing_data, dw_md_changes ── super_json (JSON within SUPER's limits)
//!           position in the log       └─ row::Metadata
//! ```
//!
//! [`stage::Stager`] is the entry point: it takes records, writes rows, and returns the outcome of each record.

mod assemble;
mod cloud_event;
pub mod column_type;
pub mod compiled;
pub mod contract;
pub mod csv;
mod debezium;
mod dynamodb;
mod dynamodb_event;
pub mod event;
mod fast;
mod fields;
mod fit;
mod flattened;
mod geometry;
mod json;
pub mod layout;
pub mod logical;
mod missing;
mod mongodb;
mod number;
pub mod operation;
mod origin;
mod position;
pub mod refusal;
pub mod row;
mod scan;
mod schema;
pub mod stage;
mod super_json;
pub mod time;
pub mod transport;
mod value;
