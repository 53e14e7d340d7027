//! Names that carry meaning: run ids, job names, idempotency keys.

use sha2::{Digest as _, Sha256};

use crate::limits;

/// Hex SHA-256 of some bytes: how scripts, plans and requests are pinned.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(bytes.as_ref()))
}

/// A run id is a Step Functions execution name: 1 to 80 of `A-Z a-z 0-9 _ -`.
pub fn is_run_id(text: &str) -> bool {
    (1..=limits::EXECUTION_NAME_CHARS).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// A job name: 1 to 128 of `A-Z a-z 0-9 _ - . /`. Scripts name jobs, so `/` and `.` are in; `:` separates the fields of [`crate::Attempt`]'s text.
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
    fn the_longest_workflow_id_still_gives_a_run_id() {
        assert!(is_run_id(&derived_run_id(&"w".repeat(64), "any")));
    }
}
