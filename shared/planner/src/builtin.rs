//! Built-in parameters, which every run has.

use std::collections::BTreeMap;

use crate::date::LogicalDate;

/// Day of the logical date in the time zone of the run, `YYYY-MM-DD`.
pub(crate) const RUN_DATE: &str = "run_date";
/// The logical date, ISO 8601 in UTC with milliseconds.
pub(crate) const LOGICAL_DATE: &str = "logical_date";
/// Id of the workflow.
pub(crate) const WORKFLOW_ID: &str = "workflow_id";
/// Id of the run. In a restart, a job that continues behind committed statements keeps the id that they have.
pub const WORKFLOW_EXECUTION_ID: &str = "workflow_execution_id";

/// Names of all built-in parameters.
pub(crate) const ALL: [&str; 4] = [RUN_DATE, LOGICAL_DATE, WORKFLOW_ID, WORKFLOW_EXECUTION_ID];

pub(crate) fn values(
    workflow_id: &str,
    workflow_execution_id: &str,
    logical_date: &LogicalDate,
) -> BTreeMap<String, String> {
    BTreeMap::from([
        (RUN_DATE.into(), logical_date.day()),
        (LOGICAL_DATE.into(), shiftwork_protocol::timestamp(logical_date.at())),
        (WORKFLOW_ID.into(), workflow_id.into()),
        (WORKFLOW_EXECUTION_ID.into(), workflow_execution_id.into()),
    ])
}
