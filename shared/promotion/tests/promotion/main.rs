//! Runs the generated SQL on PostgreSQL 18 through the local Data API (`SHIFTWORK_PG_URL`), and compares the tables with a model of the
//! events that have been delivered, for any order, any batches and any crashes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod contracts;
mod loads;
mod migrations;
mod model;
mod retype;
#[path = "../../../../local/redshift-data/tests/support/mod.rs"]
mod server;
mod sources;
mod stream;
mod together;
mod unchanged;
mod values;
mod warehouse;
