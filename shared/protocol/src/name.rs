//! Rules for run ids, job names and workflow ids, and the hash that idempotency keys use.

use sha2::{Digest as _, Sha256};

use crate::limits;

/// SHA-256 in hexadecimal, which pins scripts, plans and requests.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(bytes.as_ref()))
}

/// Returns true for a run id: a Step Functions execution name of 1 to 80 of `A-Z a-z 0-9 _ -`.
pub fn is_run_id(text: &str) -> bool {
    (1..=limits::EXECUTION_NAME_CHARS).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Returns true for a job name: 1 to 128 of `A-Z a-z 0-9 _ - . /`. A script's name is a job name, so `/` and `.` are
/// allowed. `:` separates the fields of [`crate::Attempt`]'s text.
pub fn is_job_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'))
}

/// Returns true for a workflow id: 1 to 64 of `A-Z a-z 0-9 _ -`, which leaves room for a suffix in run ids.
pub fn is_workflow_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && is_run_id(text)
}

/// Run id for a request without one: the workflow id and a digest of what identifies the request (a scheduled time, an
/// event id, a Lambda request id). The same request gives the same run id.
pub fn derived_run_id(workflow_id: &str, request: &str) -> String {
    format!("{workflow_id}-{}", &sha256(request)[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_workflow_id_gives_a_valid_run_id() {
        assert!(is_run_id(&derived_run_id(&"w".repeat(64), "any")));
    }
}
