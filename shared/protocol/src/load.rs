//! Requests for runs that load staged change data. All batches that are staged within one interval request the same run.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::payload::RunRequest;

/// Shortest delay of a run. It allows for clock differences: a batch that is staged before a run is due must be visible
/// when the run lists the staged files.
const SHORTEST_DELAY: SignedDuration = SignedDuration::from_secs(5);

/// The request for the run that loads everything staged by `now`, and the delay until that run is due. All calls within
/// the same interval of length `every` return the same run.
pub fn load_request(workflow_id: &str, every: SignedDuration, now: Timestamp) -> (RunRequest, Duration) {
    let every = every.as_secs().max(1);
    let soonest = (now + SHORTEST_DELAY).as_millisecond();
    let due = soonest.div_euclid(every * 1_000) + 1;
    let due = Timestamp::from_second(due * every).unwrap_or(Timestamp::MAX);
    let request = RunRequest {
        workflow_id: workflow_id.into(),
        workflow_execution_id: Some(format!("{workflow_id}-{}", due.strftime("%Y%m%dT%H%M%S"))),
        ..RunRequest::default()
    };
    (request, due.duration_since(now).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::load_request;

    fn asked(now: &str, every: i64) -> (String, u128) {
        let now: Timestamp = now.parse().unwrap();
        let (request, after) = load_request("orders", SignedDuration::from_secs(every), now);
        (request.workflow_execution_id.unwrap(), after.as_millis())
    }

    #[test]
    fn a_run_is_due_at_the_first_boundary_after_the_shortest_delay() {
        assert_eq!(asked("2026-11-21T10:00:12Z", 30), ("orders-20261121T100030".into(), 18_000));
        assert_eq!(asked("2026-11-21T10:00:24.999Z", 30), ("orders-20261121T100030".into(), 5_001));
        assert_eq!(asked("2026-11-21T10:00:25Z", 30), ("orders-20261121T100100".into(), 35_000));
        assert_eq!(asked("2026-11-21T10:14:00Z", 900), ("orders-20261121T101500".into(), 60_000));
    }
}
