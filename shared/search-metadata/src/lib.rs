//! Metadata of documents, as Amazon Kendra and Amazon Bedrock Knowledge Bases read it: what a repository wrote is judged,
//! mended, and moved to where the index looks.
//!
//! ```text
//! metadata.yaml ── rules::read ──▶ Rules ── what is this key? ──┐
//! bytes ── json ── mend ──▶ Verdict: valid, mended, unmendable ─┴─ decide ──▶ Action ── Fixer ──▶ Objects
//! ```
//!
//! Everything but [`Fixer`] is pure, and the fixer knows S3 by its port alone. metadata-fixer and `shiftwork metadata` are
//! two ways to call it.

mod access;
mod config;
mod dates;
mod decide;
mod fixer;
mod json;
mod mend;
mod metadata;
mod names;
mod pattern;
#[cfg(test)]
mod property_tests;
mod rules;
#[cfg(test)]
mod sample;
mod values;

pub use config::{AttributeType, Configuration, DatesAs, Repository, Target, Undeclared};
pub use fixer::{Fixer, Outcome};
pub use mend::{Change, FixKind, Problem, Verdict};
pub use rules::{Rules, read, schema};
