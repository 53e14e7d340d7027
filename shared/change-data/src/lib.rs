//! Change events of databases: decoded, and staged as table contracts say. Knows no AWS.
//!
//! `docs/decisions/0006-change-data.md` is the design; [`contract`] is what a user writes.

pub mod contract;
