//! Names that carry meaning: run ids, job names, statement names, idempotency keys.

use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};

use crate::limits;

/// Hex SHA-256 of some bytes: how scripts, plans and requests are pinned.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(bytes.as_ref()))
}

/// The name of one Data API execution: `shiftwork:<run>:<job>:<attempt>`, with `.<part>of<parts>` behind it where a job
/// needs several batches (`transaction: per_statement`, more than 40 statements).
///
/// It is the whole link from an event back to the job, what an orphan is found and adopted by, and the version that a
/// job's item must still have for a write about this statement to count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StatementName {
    /// `workflow_execution_id`.
    pub run: String,
    /// `job_name`.
    pub job: String,
    /// Attempt, from 1.
    pub attempt: u32,
    /// Part, from 1.
    pub part: u32,
    /// How many parts the attempt has.
    pub parts: u32,
}

impl StatementName {
    /// What every statement of a run starts with; `ListStatements` takes it as a prefix.
    pub fn run_prefix(run: &str) -> String {
        format!("shiftwork:{run}:")
    }

    /// True when nothing of the attempt comes after it.
    pub fn is_last_part(&self) -> bool {
        self.part >= self.parts
    }

    /// The Data API's `ClientToken` (at most 64 characters): the same name is the same submission.
    pub fn client_token(&self) -> String {
        sha256(self.to_string())
    }
}

impl fmt::Display for StatementName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shiftwork:{}:{}:{}", self.run, self.job, self.attempt)?;
        if self.parts > 1 { write!(f, ".{}of{}", self.part, self.parts) } else { Ok(()) }
    }
}

/// A statement name that shiftwork did not give.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a shiftwork statement: expected `shiftwork:<run>:<job>:<attempt>`")]
pub struct ForeignStatement(pub String);

impl FromStr for StatementName {
    type Err = ForeignStatement;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let mut fields = text.split(':');
            let ("shiftwork", run, job, last, None) =
                (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next())
            else {
                return None;
            };
            let (attempt, part) = last.split_once('.').unwrap_or((last, "1of1"));
            let (part, parts) = part.split_once("of")?;
            let name = Self {
                run: run.into(),
                job: job.into(),
                attempt: attempt.parse().ok()?,
                part: part.parse().ok()?,
                parts: parts.parse().ok()?,
            };
            (is_run_id(run) && is_job_name(job)).then_some(name)
        };
        parse().ok_or_else(|| ForeignStatement(text.into()))
    }
}

/// A run id is a Step Functions execution name: 1 to 80 of `A-Z a-z 0-9 _ -`.
pub fn is_run_id(text: &str) -> bool {
    (1..=limits::EXECUTION_NAME_CHARS).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// A job name: 1 to 128 of `A-Z a-z 0-9 _ - . /`. Scripts name jobs, so `/` and `.` are in; `:` separates statement names.
pub fn is_job_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'))
}

/// A workflow id: 1 to 64 of `A-Z a-z 0-9 _ -`, so that run ids can begin with it.
pub fn is_workflow_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && is_run_id(text)
}

/// The id of a run that was asked for without one: the workflow and a digest of what makes the request the same request
/// (a scheduled time, an event id, a Lambda request id). The same request gives the same run.
pub fn derived_run_id(workflow_id: &str, request: &str) -> String {
    format!("{workflow_id}-{}", &sha256(request)[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_name_reads_back() {
        for (attempt, part, parts) in [(1, 1, 1), (3, 1, 2), (2, 7, 7)] {
            let name =
                StatementName { run: "demo_test_26".into(), job: "load/insert_1.sql".into(), attempt, part, parts };
            assert_eq!(name.to_string().parse(), Ok(name));
        }
    }

    #[test]
    fn other_peoples_statements_are_told_apart() {
        for text in [
            "",
            "shiftwork",
            "shiftwork:r:j",
            "shiftwork:r:j:x",
            "shiftwork:r:j:1:2",
            "mine:r:j:1",
            "shiftwork::j:1",
            "shiftwork:r:j:1.2",
        ] {
            assert!(text.parse::<StatementName>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_client_token_fits_the_data_api() {
        let name = StatementName { run: "r".repeat(80), job: "j".repeat(128), attempt: 1, part: 1, parts: 1 };
        assert_eq!(name.client_token().len(), 64);
    }

    #[test]
    fn the_longest_workflow_id_still_gives_a_run_id() {
        assert!(is_run_id(&derived_run_id(&"w".repeat(64), "any")));
    }
}
