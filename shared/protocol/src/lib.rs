//! Types of the messages between the functions, the state machine and the CLI, and of the items in the tables.
//!
//! These types are the source of truth: a test in `infra/checks` compares the ASL and the SAM template with them, and
//! the JSON Schemas under `infra/schemas` are generated from them. This crate does not depend on AWS SDKs.

pub mod attempt;
pub mod audit;
pub mod cause;
pub mod change;
pub mod commit;
pub mod connection;
pub mod drift;
pub mod event;
pub mod failure;
pub mod file;
mod file_history;
pub mod keys;
pub mod limits;
pub mod load;
pub mod manifest;
pub mod name;
pub mod payload;
pub mod s3_event;
pub mod secret;
pub mod slots;
pub mod status;
pub mod times;
pub mod work;
pub mod work_item;
pub mod workflow;

pub use attempt::{Attempt, Owner};
pub use audit::{Cancelling, FailedAttempt, JobRecord, Lease, RunRecord};
pub use cause::Cause;
pub use commit::{CommitCause, InnerCommit, SharedSession};
pub use connection::Connection;
pub use failure::{Class, Failure, FailureKind};
pub use keys::manifest_key;
pub use load::load_request;
pub use manifest::{Manifest, ManifestEntry, ManifestMeta};
pub use slots::{SLOT, SlotHolder, SlotPool, Slots};
pub use status::{SkipReason, Status};
pub use times::{KEPT_STATEMENTS, StatementReport, Times, changed_rows, dropped_rows};
pub use work::{Fact, FactValue, Kind, Place, ScriptPin, Text, Transaction, Work};
pub use workflow::Workflow;

/// Formats an instant as all tables and events have it: ISO 8601, UTC, with milliseconds (`2026-03-01T02:00:00.000Z`).
pub fn timestamp(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// Serde's `with` module for instants in the format of [`timestamp`]. Reads any ISO 8601 instant.
pub mod millis {
    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Writes the instant with exactly three fractional digits.
    pub fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::timestamp(*at))
    }

    /// Reads any ISO 8601 instant.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        Timestamp::deserialize(from)
    }

    /// Serde's `with` module for instants that may be absent.
    pub mod option {
        use jiff::Timestamp;
        use serde::{Deserialize as _, Deserializer, Serializer};

        /// Writes the instant, or null.
        #[allow(clippy::ref_option, reason = "the signature serde asks for")]
        pub fn serialize<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
            match at {
                Some(at) => super::serialize(at, to),
                None => to.serialize_none(),
            }
        }

        /// Reads an instant, or null.
        pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
            Option::<Timestamp>::deserialize(from)
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn timestamps_have_three_fractional_digits() {
        let whole: jiff::Timestamp = "2026-03-01T02:00:00Z".parse().unwrap();
        let fine: jiff::Timestamp = "2026-03-01T02:00:00.123456Z".parse().unwrap();
        assert_eq!(super::timestamp(whole), "2026-03-01T02:00:00.000Z");
        assert_eq!(super::timestamp(fine), "2026-03-01T02:00:00.123Z");
    }
}
