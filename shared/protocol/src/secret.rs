//! Secret parameters: their values are in an object of the staging bucket, and everything else shows [`MASK`].

use std::collections::BTreeMap;

use crate::Work;

/// Text in place of the value of a secret parameter. No other parameter can have it as its value.
pub const MASK: &str = "(secret)";

/// The values of the secret parameters of a run, by name: the content of the object [`crate::keys::secrets_key`], as JSON.
pub type Secrets = BTreeMap<String, String>;

/// Names of the parameters whose values are secret.
pub fn names(parameters: &BTreeMap<String, String>) -> impl Iterator<Item = &str> {
    parameters.iter().filter(|(_, value)| *value == MASK).map(|(name, _)| name.as_str())
}

/// Message in place of the error of a statement that has secret values, because Redshift quotes values in its errors.
pub fn hidden_error(work: &Work, statement_id: &str) -> Option<String> {
    let names: Vec<_> = names(work.parameters()?).collect();
    (!names.is_empty()).then(|| {
        format!(
            "the error of Redshift is hidden because the job has secret parameters ({}): read it with `aws redshift-data describe-statement --id {statement_id}`, as StatementRole, within 24 hours",
            names.join(", ")
        )
    })
}
