//! Built-in parameters, which every run has.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};

/// Date of the logical date in UTC, `YYYY-MM-DD`.
pub(crate) const RUN_DATE: &str = "run_date";
/// The logical date, ISO 8601 with milliseconds.
pub(crate) const LOGICAL_DATE: &str = "logical_date";
/// Id of the workflow.
pub(crate) const WORKFLOW_ID: &str = "workflow_id";
/// Id of the run.
pub(crate) const WORKFLOW_EXECUTION_ID: &str = "workflow_execution_id";

/// Names of all built-in parameters.
pub(crate) const ALL: [&str; 4] = [RUN_DATE, LOGICAL_DATE, WORKFLOW_ID, WORKFLOW_EXECUTION_ID];

pub(crate) fn values(
    workflow_id: &str,
    workflow_execution_id: &str,
    logical_date: Timestamp,
) -> BTreeMap<String, String> {
    let run_date = logical_date.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d").to_string();
    BTreeMap::from([
        (RUN_DATE.into(), run_date),
        (LOGICAL_DATE.into(), shiftwork_protocol::timestamp(logical_date)),
        (WORKFLOW_ID.into(), workflow_id.into()),
        (WORKFLOW_EXECUTION_ID.into(), workflow_execution_id.into()),
    ])
}
