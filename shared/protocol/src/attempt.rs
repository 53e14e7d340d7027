//! One submission to an engine: the job or migration it belongs to, and the number of the attempt.

use std::{fmt, str::FromStr};

use crate::name::{is_job_name, is_run_id, sha256};

/// First field of the text of every attempt.
const OURS: &str = "shiftwork";
/// Prefix of the contract's name in the text of a migration. A run id contains no `.`, so the texts of jobs never have
/// it.
const MIGRATION: &str = "drift.";

/// The owner of an attempt, which decides the function that takes the next step when the attempt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// A job of a run: job-callback settles it.
    Job,
    /// A migration of a table contract: schema-watcher continues it.
    Migration,
}

/// One part of one attempt of a job or of a migration.
///
/// The text form is `shiftwork:<run>:<job>:<attempt>`. An attempt that takes several submissions, one for each statement
/// of a script with `transaction: per_statement`, appends `.<part>of<parts>`. The text form of a migration is
/// `shiftwork:drift.<contract>:<migration>:<attempt>`.
///
/// The text is the statement name in the Data API. Functions use it to find the job of an event, and to find the
/// statement that an earlier invocation of the launcher submitted.
///
/// An attempt is also the version of a job's item: a write about an attempt succeeds only while the item has that
/// attempt and that part.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attempt {
    /// Whether a job or a migration owns the attempt.
    pub owner: Owner,
    /// `workflow_execution_id` of the run; for a migration, the name of the table contract.
    pub run: String,
    /// `job_name` of the job; for a migration, [`Migration::id`](crate::drift::Migration::id).
    pub job: String,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Number of the part, from 1.
    pub part: u32,
    /// Number of parts of the attempt.
    pub parts: u32,
}

impl Attempt {
    /// Prefix of the text of every attempt of a run.
    pub fn run_prefix(run: &str) -> String {
        format!("{OURS}:{run}:")
    }

    /// Returns true if no part of the attempt follows this one.
    pub const fn is_last_part(&self) -> bool {
        self.part >= self.parts
    }

    /// The idempotency key of the submission: 64 characters, the length limit of the Data API's `ClientToken`. Two
    /// submissions of the same attempt and part have the same key.
    pub fn client_token(&self) -> String {
        sha256(self.to_string())
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = match self.owner {
            Owner::Job => "",
            Owner::Migration => MIGRATION,
        };
        write!(f, "{OURS}:{before}{}:{}:{}", self.run, self.job, self.attempt)?;
        if self.parts > 1 { write!(f, ".{}of{}", self.part, self.parts) } else { Ok(()) }
    }
}

/// A text that is not the text form of an attempt.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an attempt of shiftwork: expected `shiftwork:<run>:<job>:<attempt>`")]
pub struct ForeignAttempt(pub String);

impl FromStr for Attempt {
    type Err = ForeignAttempt;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let mut fields = text.split(':');
            let (OURS, run, job, last, None) =
                (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next())
            else {
                return None;
            };
            let (owner, run) = match run.strip_prefix(MIGRATION) {
                Some(contract) => (Owner::Migration, contract),
                None => (Owner::Job, run),
            };
            let (attempt, part) = last.split_once('.').unwrap_or((last, "1of1"));
            let (part, parts) = part.split_once("of")?;
            let attempt = Self {
                owner,
                run: run.into(),
                job: job.into(),
                attempt: attempt.parse().ok()?,
                part: part.parse().ok()?,
                parts: parts.parse().ok()?,
            };
            (is_run_id(run) && is_job_name(job)).then_some(attempt)
        };
        parse().ok_or_else(|| ForeignAttempt(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Attempt, Owner};

    fn attempt(owner: Owner, run: &str, job: &str, [attempt, part, parts]: [u32; 3]) -> Attempt {
        Attempt { owner, run: run.into(), job: job.into(), attempt, part, parts }
    }

    /// Redshift's statement history and events in flight contain these texts, so they must not change.
    #[test]
    fn an_attempt_round_trips_through_its_text() {
        for (text, of) in [
            ("shiftwork:demo_26:load/insert_1.sql:1", attempt(Owner::Job, "demo_26", "load/insert_1.sql", [1, 1, 1])),
            ("shiftwork:demo_26:load.sql:3.1of2", attempt(Owner::Job, "demo_26", "load.sql", [3, 1, 2])),
            ("shiftwork:demo_26:load.sql:2.7of7", attempt(Owner::Job, "demo_26", "load.sql", [2, 7, 7])),
            (
                "shiftwork:drift.shop_orders-2:0123456789abcdef:1",
                attempt(Owner::Migration, "shop_orders-2", "0123456789abcdef", [1, 1, 1]),
            ),
            (
                "shiftwork:drift.orders:0123456789abcdef:2.3of5",
                attempt(Owner::Migration, "orders", "0123456789abcdef", [2, 3, 5]),
            ),
        ] {
            assert_eq!(of.to_string(), text);
            assert_eq!(text.parse(), Ok(of));
        }
    }

    #[test]
    fn a_text_in_another_form_is_not_an_attempt() {
        for text in [
            "",
            "shiftwork",
            "shiftwork:r:j",
            "shiftwork:r:j:x",
            "shiftwork:r:j:1:2",
            "mine:r:j:1",
            "shiftwork::j:1",
            "shiftwork:r:j:1.2",
            "shiftwork:drift.:j:1",
            "shiftwork:other.orders:j:1",
        ] {
            assert!(text.parse::<Attempt>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_client_token_fits_the_data_api() {
        let longest = attempt(Owner::Job, &"r".repeat(80), &"j".repeat(128), [1, 1, 1]);
        assert_eq!(longest.client_token().len(), 64);
    }
}
