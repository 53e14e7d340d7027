//! The runs that led to a run: each one published the event that started the next one.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A run whose event started another run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Cause {
    /// Id of its workflow.
    pub workflow_id: String,
    /// Id of the run.
    pub workflow_execution_id: String,
}

/// `<workflow> (<run>)`.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.workflow_id, self.workflow_execution_id)
    }
}
