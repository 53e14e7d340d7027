//! Change events of databases: decoded, and staged as table contracts say. Knows no AWS.
//!
//! `docs/decisions/0006-change-data.md` is the design; [`contract`] is what a user writes.
//!
//! ```text
//! record ── event::Event ── assemble ─┬─ contract columns ── value (what it means) ── fit (is it the column's) ── csv
//!           what is it, whose,        ├─ dw_md_missing_data, dw_md_changes ── super_json (JSON within SUPER's limits)
//!           where in the log          └─ row::Metadata
//! ```
//!
//! [`stage::Stager`] is the door: records in, rows out, and what became of each.

mod assemble;
pub mod column_type;
pub mod compiled;
pub mod contract;
pub mod csv;
mod debezium;
mod dynamodb;
mod dynamodb_event;
pub mod event;
mod fast;
mod fit;
mod geometry;
mod json;
pub mod layout;
pub mod logical;
mod missing;
mod mongodb;
mod number;
pub mod operation;
mod position;
pub mod refusal;
pub mod row;
mod schema;
pub mod stage;
mod super_json;
pub mod time;
pub mod transport;
mod value;
