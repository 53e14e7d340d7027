//! Generated SQL on a PostgreSQL 18 behind the stand-in for the Data API (`SHIFTWORK_PG_URL`): whatever the order, the batches and the
//! crashes, the tables are what a model says that the events delivered so far make of them.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod contracts;
mod loads;
mod migrations;
mod model;
#[path = "../../../../local/redshift-data/tests/support/mod.rs"]
mod server;
mod stream;
mod together;
mod unchanged;
mod warehouse;
