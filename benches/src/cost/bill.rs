//! The wire counter's report, as what a run is billed for.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

/// Requests and invocations since the counter was reset. Requests of the benchmark itself are not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bill {
    /// Requests by who makes them (a function, or Step Functions) and operation, e.g. `dynamodb:UpdateItem`.
    pub(crate) requests: BTreeMap<String, BTreeMap<String, u64>>,
    /// Invocations by function.
    pub(crate) invoked: BTreeMap<String, u64>,
    /// States entered.
    pub(crate) states: u64,
}

/// `GET counts`, as far as we read it.
#[derive(Deserialize)]
struct Report {
    requests: BTreeMap<String, u64>,
    by_states: BTreeMap<String, u64>,
    by_function: BTreeMap<String, u64>,
    invocations: BTreeMap<String, u64>,
    states: BTreeMap<String, u64>,
}

/// Who makes the requests that no function makes.
const STEP_FUNCTIONS: &str = "Step Functions";

/// Who makes the requests to the Data API: the functions, under the one role that all statements share.
const STATEMENT_ROLE: &str = "(statement role)";

/// An invocation is counted as one already, not as a request of Step Functions.
const INVOKE: &str = "lambda:InvokeFunction";

/// Whether an operation is DynamoDB's.
pub(crate) fn is_dynamodb(operation: &str) -> bool {
    operation.starts_with("dynamodb:")
}

impl Bill {
    /// Reads the counter's report.
    pub(crate) fn read(report: &Value) -> Result<Self> {
        let report = Report::deserialize(report).context("reading the wire counter's report")?;
        let mut requests: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for (key, times) in &report.by_function {
            let (function, operation) = key.split_once(' ').with_context(|| format!("`{key}` names no operation"))?;
            requests.entry(function.to_owned()).or_default().insert(operation.to_owned(), *times);
        }
        let statements = report.requests.into_iter().filter(|(operation, _)| operation.starts_with("redshift-data:"));
        requests.insert(STATEMENT_ROLE.to_owned(), statements.collect());
        let by_states = report.by_states.into_iter().filter(|(operation, _)| operation != INVOKE);
        requests.insert(STEP_FUNCTIONS.to_owned(), by_states.collect());
        Ok(Self { requests, invoked: report.invocations, states: report.states.values().sum() })
    }

    /// What came on top of an earlier report.
    pub(crate) fn beyond(&self, earlier: &Self) -> Self {
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

    /// Lambda invocations.
    pub(crate) fn invocations(&self) -> u64 {
        self.invoked.values().sum()
    }

    /// DynamoDB requests.
    pub(crate) fn dynamodb(&self) -> u64 {
        self.sum(is_dynamodb)
    }

    /// All requests but DynamoDB's.
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
    fn an_invocation_is_counted_once_and_the_benchmarks_own_requests_never() {
        let bill = Bill::read(&json!({
            "requests": { "dynamodb:PutItem": 7, "redshift-data:ExecuteStatement": 1 },
            "by_states": { "dynamodb:UpdateItem": 2, "lambda:InvokeFunction": 3 },
            "by_function": { "shiftwork-trigger dynamodb:GetItem": 1, "shiftwork-trigger s3:GetObject": 6 },
            "invocations": { "shiftwork-trigger": 1, "shiftwork-iterator": 1 },
            "states": { "run": 4 },
        }));
        let bill = bill.unwrap();
        assert_eq!((bill.invocations(), bill.states, bill.dynamodb(), bill.other_requests()), (2, 4, 3, 7));
        assert_eq!(bill.beyond(&bill).dynamodb(), 0);
    }
}
