//! Latency and quotas of the service, which tests set with `PUT /_quotas`. Both are off at the start.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// The body of `PUT /_quotas`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Quotas {
    /// Delay of each call in milliseconds.
    latency_milliseconds: u64,
    /// Maximum number of calls per second by operation. A call above it returns `ThrottlingException`. An operation that is
    /// not listed has no quota.
    calls_per_second: BTreeMap<String, u32>,
    /// Maximum number of statements in SUBMITTED, PICKED or STARTED on one cluster or workgroup, instead of the one on the
    /// command line.
    active_statements: Option<usize>,
}

/// The calls of one operation that are left at a time. One second fills the bucket.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    calls: f64,
    at: Instant,
}

#[derive(Debug, Default)]
struct State {
    quotas: Quotas,
    buckets: BTreeMap<String, Bucket>,
}

/// The quotas in force, and how far they are used.
#[derive(Debug, Default)]
pub(crate) struct Limiter(Mutex<State>);

impl Limiter {
    /// Replaces the quotas. All buckets are full after that.
    pub(crate) fn set(&self, quotas: Quotas) {
        *crate::lock(&self.0) = State { quotas, buckets: BTreeMap::new() };
    }

    /// The quotas in force.
    pub(crate) fn quotas(&self) -> Quotas {
        crate::lock(&self.0).quotas.clone()
    }

    /// The quota of active statements, if a test set one.
    pub(crate) fn active_statements(&self) -> Option<usize> {
        crate::lock(&self.0).quotas.active_statements
    }

    /// Waits for the latency, and then counts the call.
    ///
    /// # Errors
    /// `ThrottlingException` if the operation has no calls left.
    pub(crate) async fn pass(&self, operation: &str) -> Result<(), ApiError> {
        let latency = Duration::from_millis(crate::lock(&self.0).quotas.latency_milliseconds);
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        if self.take(operation, Instant::now()) { Ok(()) } else { Err(ApiError::Throttling("Rate exceeded".into())) }
    }

    fn take(&self, operation: &str, now: Instant) -> bool {
        let mut state = crate::lock(&self.0);
        let Some(quota) = state.quotas.calls_per_second.get(operation).copied().map(f64::from) else { return true };
        let bucket = state.buckets.entry(operation.to_owned()).or_insert(Bucket { calls: quota, at: now });
        bucket.calls = (bucket.calls + quota * now.duration_since(bucket.at).as_secs_f64()).min(quota);
        bucket.at = now;
        let passes = bucket.calls >= 1.0;
        if passes {
            bucket.calls -= 1.0;
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_has_its_calls_per_second() {
        let limiter = Limiter::default();
        let begun = Instant::now();
        assert!(limiter.take("ListStatements", begun), "there are no quotas at the start");
        limiter.set(serde_json::from_str(r#"{"calls_per_second": {"ListStatements": 2}}"#).unwrap());
        for (milliseconds, passes) in
            [(0, true), (0, true), (0, false), (400, false), (500, true), (500, false), (9_000, true)]
        {
            let at = begun + Duration::from_millis(milliseconds);
            assert_eq!(limiter.take("ListStatements", at), passes, "after {milliseconds} ms");
            assert!(limiter.take("DescribeStatement", at), "an operation without a quota");
        }
    }
}
