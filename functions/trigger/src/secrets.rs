//! Values of secret parameters: they are in objects of the staging bucket, and records have [`secret::MASK`] in their place.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use shiftwork_planner::{self as planner, read_item};
use shiftwork_ports::{Bucket, Result};
use shiftwork_protocol::{
    Failure, RunRecord, Workflow, keys,
    payload::RunRequest,
    secret::{self, Secrets},
};

use crate::{IdentifiedRequest, Trigger};

/// Values by the name of their parameter, as they were requested or as they are bound.
type Values = BTreeMap<String, Value>;

impl Trigger {
    /// Stores the values of secret parameters before the run exists. The object of an earlier invocation of the same request stays.
    pub(crate) async fn store_secrets(&self, run: &str, secrets: &Secrets) -> Result<()> {
        if !secrets.is_empty() {
            let content = serde_json::to_vec(secrets).unwrap_or_default();
            self.staging().put_once(&keys::secrets_key(run), content).await?;
        }
        Ok(())
    }

    /// Returns the request as the record of a run keeps it that could not be planned, and stores the values that the record must
    /// not have.
    pub(crate) async fn kept(&self, requested: &IdentifiedRequest) -> Result<RunRequest> {
        let item = self.configuration.workflow(&requested.request.workflow_id).await?;
        let workflow = item.and_then(|item| planner::workflow(&read_item(item)).ok());
        let (request, hidden) = masked(&requested.request, workflow.as_ref());
        if !hidden.is_empty() {
            let content = serde_json::to_vec(&hidden).unwrap_or_default();
            self.staging().put_once(&keys::request_secrets_key(&requested.run), content).await?;
        }
        Ok(request)
    }

    /// Replaces the masks in the request of a restart by the values of the earlier run.
    pub(crate) async fn with_secrets(&self, earlier: &RunRecord, request: RunRequest) -> Result<RunRequest> {
        if masks(&request).next().is_none() {
            return Ok(request);
        }
        let id = &earlier.workflow_execution_id;
        let key = match &earlier.request {
            Some(_) => keys::request_secrets_key(id),
            None => keys::secrets_key(id),
        };
        let stored = match self.staging().get(&key).await? {
            Some(stored) => serde_json::from_slice(&stored)
                .map_err(|_| Failure::corrupt(format!("{key} is not a JSON object of parameters")))?,
            None => Values::new(),
        };
        Ok(unmasked(request, &stored))
    }

    const fn staging(&self) -> &Bucket {
        &self.runs.jobs.kinds.cdc.staging
    }
}

/// Names of the parameters of a request whose values are masked.
pub(crate) fn masks(request: &RunRequest) -> impl Iterator<Item = &str> {
    request.parameters.iter().filter(|(_, value)| *value == secret::MASK).map(|(name, _)| name.as_str())
}

/// Masks the values of all parameters but those that the workflow declares as not secret, and returns the masked values. A
/// parameter of an unknown or invalid workflow may be secret, and so may one with a misspelt name.
fn masked(request: &RunRequest, workflow: Option<&Workflow>) -> (RunRequest, Values) {
    let declared = workflow.into_iter().flat_map(|workflow| &workflow.parameters);
    let shown: BTreeSet<_> = declared.filter(|(_, parameter)| !parameter.secret).map(|(name, _)| name).collect();
    let mut request = request.clone();
    let mut hidden = Values::new();
    for (name, value) in request.parameters.iter_mut().filter(|(name, _)| !shown.contains(name)) {
        hidden.insert(name.clone(), std::mem::replace(value, secret::MASK.into()));
    }
    (request, hidden)
}

/// Replaces masks by the stored values. A value that is not stored any more is left out, so that the planner reports the
/// parameter as missing.
fn unmasked(mut request: RunRequest, stored: &Values) -> RunRequest {
    request.parameters.retain(|name, value| *value != secret::MASK || stored.contains_key(name));
    for (name, value) in request.parameters.iter_mut().filter(|(_, value)| **value == secret::MASK) {
        value.clone_from(&stored[name]);
    }
    request
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(parameters: Value) -> RunRequest {
        RunRequest { parameters: serde_json::from_value(parameters).unwrap(), ..RunRequest::default() }
    }

    fn workflow() -> Workflow {
        let document = json!({ "workflow_id": "w",
            "parameters": { "token": { "type": "string", "secret": true }, "n": { "type": "integer" } },
            "workflow_stages": [{ "execution_type": "sequential", "scripts": ["a.sql"] }] });
        planner::workflow(&read_item(document)).unwrap()
    }

    #[test]
    fn only_values_of_parameters_that_are_declared_and_not_secret_are_kept_in_the_record() {
        let received = json!({ "token": "4111", "n": "many", "tokne": 4111 });
        let cases = [
            (Some(workflow()), json!({ "token": "(secret)", "n": "many", "tokne": "(secret)" })),
            (None, json!({ "token": "(secret)", "n": "(secret)", "tokne": "(secret)" })),
        ];
        for (workflow, kept) in cases {
            let (record, hidden) = masked(&request(received.clone()), workflow.as_ref());
            assert_eq!(record, request(kept), "{workflow:?}");
            assert_eq!(unmasked(record, &hidden), request(received.clone()), "a restart has the values as they were");
        }
    }

    #[test]
    fn a_value_that_is_not_stored_any_more_is_left_out() {
        let stored = Values::from([("token".into(), json!("4111")), ("n".into(), json!(1))]);
        for (completed, restored) in [
            (json!({ "token": "(secret)", "n": "7" }), json!({ "token": "4111", "n": "7" })),
            (json!({ "other": "(secret)", "n": 7 }), json!({ "n": 7 })),
            (json!({}), json!({})),
        ] {
            assert_eq!(unmasked(request(completed), &stored), request(restored));
        }
    }
}
