//! A restart takes over what succeeded and runs the rest.

use std::collections::{BTreeMap, BTreeSet};

use shiftwork_contract::{JobRecord, Status};

/// Marks the jobs of a new plan whose success in the earlier run stands.
///
/// A job is reused when it succeeded and everything before it is reused too; what failed, was skipped, is new, or comes
/// after one of these runs. A job that runs again with another script remembers the old one's hash, so that the audit
/// says that it was changed.
pub(crate) fn reuse(earlier: &[JobRecord], jobs: &mut [JobRecord]) {
    let earlier: BTreeMap<_, _> = earlier.iter().map(|job| (job.plan.job_name.as_str(), job)).collect();
    let mut reused = BTreeSet::new();
    // Topological order: every upstream is decided before its dependents.
    for job in jobs.iter_mut() {
        let before = earlier.get(job.plan.job_name.as_str());
        job.waiting_on.retain(|upstream| !reused.contains(upstream));
        match before {
            Some(before) if before.execution_status == Status::Succeeded && job.waiting_on.is_empty() => {
                job.execution_status = Status::Succeeded;
                job.reused_from = before.reused_from.clone().or_else(|| Some(before.workflow_execution_id.clone()));
                job.statement_id.clone_from(&before.statement_id);
                job.rows = before.rows;
                reused.insert(job.plan.job_name.clone());
            }
            Some(before) => job.script_was = changed_script(before, job),
            None => {}
        }
    }
}

fn changed_script(before: &JobRecord, now: &JobRecord) -> Option<String> {
    let (before, now) = (before.plan.work.script()?, now.plan.work.script()?);
    (before.sha256 != now.sha256).then(|| before.sha256.clone())
}
