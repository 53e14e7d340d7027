//! Metadata files of documents, in the format that Amazon Bedrock Knowledge Bases or Amazon Kendra reads. Validates the
//! metadata files of a repository, fixes them, and moves each to the key at which the index reads it.
//!
//! ```text
//! metadata.yaml ── rules::read ──▶ Rules ── role of a key ────┐
//! bytes ── json ── fix ──▶ Verdict: valid, fixed, unfixable ──┴─ decide ──▶ Plan ── Fixer ──▶ Objects
//! ```
//!
//! Only [`Fixer`] has side effects. It uses S3 through the port `Objects`. metadata-fixer and `shiftwork metadata` call it.

mod access;
mod access_file;
mod config;
mod coverage;
mod dates;
mod decide;
mod fix;
mod fixer;
mod json;
mod metadata;
mod names;
mod pattern;
#[cfg(test)]
mod property_tests;
mod rules;
#[cfg(test)]
mod sample;
mod values;

pub use config::{AccessControl, AttributeType, Configuration, DatesAs, Repository, Target, Undeclared};
pub use coverage::{Coverage, DocumentAccess};
pub use fix::{Fix, FixKind, Problem, Verdict};
pub use fixer::{Fixer, Outcome};
pub use rules::{Rules, read, schema};
