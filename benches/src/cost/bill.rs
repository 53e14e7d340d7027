//! The report of the request counter, grouped by what AWS bills.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

/// Requests and invocations since the counter was reset, without the requests of the benchmark.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bill {
    /// Number of requests by caller (a function or Step Functions) and operation, e.g. `dynamodb:UpdateItem`.
    pub(crate) requests: BTreeMap<String, BTreeMap<String, u64>>,
    /// Number of invocations by function.
    pub(crate) invoked: BTreeMap<String, u64>,
    /// Number of entered states.
    pub(crate) states: u64,
}

/// The used part of the response of `GET counts`.
#[derive(Deserialize)]
struct Report {
    requests: BTreeMap<String, u64>,
    by_states: BTreeMap<String, u64>,
    by_function: BTreeMap<String, u64>,
    invocations: BTreeMap<String, u64>,
    states: BTreeMap<String, u64>,
}

/// The caller of requests that are not made by a function.
const STEP_FUNCTIONS: &str = "Step Functions";

/// The caller of requests to the Data API: the functions share one role for statements.
const STATEMENT_ROLE: &str = "(statement role)";

/// Excluded from the requests of Step Functions, because invocations are counted separately.
const INVOKE: &str = "lambda:InvokeFunction";

/// True for operations of DynamoDB.
pub(crate) fn is_dynamodb(operation: &str) -> bool {
    operation.starts_with("dynamodb:")
}

impl Bill {
    /// Parses the report of the counter.
    pub(crate) fn read(report: &Value) -> Result<Self> {
        let report = Report::deserialize(report).context("cannot parse the report of the request counter")?;
        let mut requests: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for (key, times) in &report.by_function {
            let (function, operation) =
                key.split_once(' ').with_context(|| format!("`{key}` does not contain an operation"))?;
            requests.entry(function.to_owned()).or_default().insert(operation.to_owned(), *times);
        }
        let statements = report.requests.into_iter().filter(|(operation, _)| operation.starts_with("redshift-data:"));
        requests.insert(STATEMENT_ROLE.to_owned(), statements.collect());
        let by_states = report.by_states.into_iter().filter(|(operation, _)| operation != INVOKE);
        requests.insert(STEP_FUNCTIONS.to_owned(), by_states.collect());
        Ok(Self { requests, invoked: report.invocations, states: report.states.values().sum() })
    }

    /// The difference to an earlier report.
    pub(crate) fn difference_to(&self, earlier: &Self) -> Self {
        let nothing = BTreeMap::new();
        let requests = self.requests.iter().map(|(caller, requests)| {
            let before = earlier.requests.get(caller).unwrap_or(&nothing);
            (caller.clone(), difference(requests, before))
        });
        Self {
            requests: requests.collect(),
            invoked: difference(&self.invoked, &earlier.invoked),
            states: self.states.saturating_sub(earlier.states),
        }
    }

    /// Number of Lambda invocations.
    pub(crate) fn invocations(&self) -> u64 {
        self.invoked.values().sum()
    }

    /// Number of DynamoDB requests.
    pub(crate) fn dynamodb(&self) -> u64 {
        self.sum(is_dynamodb)
    }

    /// Number of other requests.
    pub(crate) fn other_requests(&self) -> u64 {
        self.sum(|operation| !is_dynamodb(operation))
    }

    fn sum(&self, of: impl Fn(&str) -> bool) -> u64 {
        self.requests.values().flatten().filter(|(operation, _)| of(operation)).map(|(_, times)| times).sum()
    }
}

fn difference(now: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let more =
        |(key, times): (&String, &u64)| (key.clone(), times.saturating_sub(before.get(key).copied().unwrap_or(0)));
    now.iter().map(more).filter(|(_, times)| *times > 0).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Bill;

    #[test]
    fn invocations_are_counted_once_and_requests_of_the_benchmark_are_excluded() {
        let bill = Bill::read(&json!({
            "requests": { "dynamodb:PutItem": 7, "redshift-data:ExecuteStatement": 1 },
            "by_states": { "dynamodb:UpdateItem": 2, "lambda:InvokeFunction": 3 },
            "by_function": { "shiftwork-trigger dynamodb:GetItem": 1, "shiftwork-trigger s3:GetObject": 6 },
            "invocations": { "shiftwork-trigger": 1, "shiftwork-iterator": 1 },
            "states": { "run": 4 },
        }));
        let bill = bill.unwrap();
        assert_eq!((bill.invocations(), bill.states, bill.dynamodb(), bill.other_requests()), (2, 4, 3, 7));
        assert_eq!(bill.difference_to(&bill).dynamodb(), 0);
    }
}
