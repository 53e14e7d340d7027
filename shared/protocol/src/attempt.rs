//! One submission to an engine: whose it is, and which try of it.

use std::{fmt, str::FromStr};

use crate::name::{is_job_name, is_run_id, sha256};

/// What the text of every attempt begins with.
const OURS: &str = "shiftwork";
/// What stands before the contract in the text of a migration. A run id has no `.`, so no run's attempt begins so.
const MIGRATION: &str = "drift.";

/// What an attempt belongs to, and so which function takes the next step when the attempt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// A job of a run: job-callback settles it.
    Job,
    /// A migration of a table contract: schema-watcher continues it.
    Migration,
}

/// One part of one attempt of a job or of a migration.
///
/// As text, `shiftwork:<run>:<job>:<attempt>`, with `.<part>of<parts>` behind it where an attempt takes several submissions
/// (`transaction: per_statement`, more than 40 statements); of a migration, `shiftwork:drift.<contract>:<migration>:<attempt>`.
/// The text is the name of the statement in the Data API: it leads from an event back to the job, and from a job to the
/// statement that an earlier launcher left.
///
/// It is also the version of a job's item: a write about an attempt counts only while the item stands at that attempt and part.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attempt {
    /// What it belongs to.
    pub owner: Owner,
    /// `workflow_execution_id`; of a migration, the name of its contract.
    pub run: String,
    /// `job_name`; of a migration, its id.
    pub job: String,
    /// Attempt, from 1.
    pub attempt: u32,
    /// Part, from 1.
    pub part: u32,
    /// How many parts the attempt has.
    pub parts: u32,
}

impl Attempt {
    /// What the text of every attempt of a run begins with.
    pub fn run_prefix(run: &str) -> String {
        format!("{OURS}:{run}:")
    }

    /// True when nothing of the attempt comes after it.
    pub const fn is_last_part(&self) -> bool {
        self.part >= self.parts
    }

    /// The idempotency key of the submission, 64 characters, which is what the Data API's `ClientToken` takes: the same attempt
    /// and part is the same submission.
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

/// A text that does not name an attempt of shiftwork.
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

    /// The texts are stored in Redshift's history and in events under way: they stay as they are.
    #[test]
    fn an_attempt_has_one_text_and_reads_back_from_it() {
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
    fn texts_of_others_are_told_apart() {
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
