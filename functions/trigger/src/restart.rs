//! Restart: reuses the jobs that succeeded in an earlier run and runs the other jobs.

use std::collections::{BTreeMap, BTreeSet};

use shiftwork_protocol::{JobRecord, Status};

/// Marks the jobs of a new plan that reuse their success in the earlier run.
///
/// A job is reused if it succeeded and all of its upstreams are reused. All other jobs run: those that failed, were
/// skipped or are new, and their dependents. A job that runs again with a changed script gets the hash of the earlier
/// script, so that the audit shows the change.
pub(crate) fn reuse(earlier: &[JobRecord], jobs: &mut [JobRecord]) {
    let earlier: BTreeMap<_, _> = earlier.iter().map(|job| (job.plan.job_name.as_str(), job)).collect();
    let mut reused = BTreeSet::new();
    // In topological order, so every upstream is decided before its dependents.
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

#[cfg(test)]
mod tests {
    use shiftwork_ports::fake::a_job;
    use shiftwork_protocol::{Connection, ScriptPin, Transaction, Work};

    use super::*;

    fn scripted(name: &str, upstreams: &[&str], sha256: &str) -> JobRecord {
        let mut job = a_job(name, upstreams);
        let script = ScriptPin { key: name.into(), version_id: "1".into(), sha256: sha256.into(), statements: 1 };
        let connection = Connection::default();
        job.plan.work = Work::Sql { connection, script, transaction: Transaction::Single, parameters: BTreeMap::new() };
        job
    }

    fn ended(status: Status, job: JobRecord) -> JobRecord {
        JobRecord { execution_status: status, ..job }
    }

    #[test]
    fn a_job_is_reused_if_it_and_all_its_upstreams_succeeded() {
        let earlier = [
            ended(Status::Succeeded, scripted("a", &[], "1")),
            ended(Status::Failed, scripted("b", &["a"], "1")),
            ended(Status::Succeeded, scripted("c", &["a"], "1")),
            ended(Status::Succeeded, scripted("after_b", &["b"], "1")),
        ];
        let mut jobs = vec![
            scripted("a", &[], "1"),
            scripted("b", &["a"], "2"),
            scripted("c", &["a"], "1"),
            scripted("after_b", &["b"], "1"),
            scripted("new", &["c"], "1"),
        ];
        reuse(&earlier, &mut jobs);
        let reused: Vec<_> =
            jobs.iter().filter(|job| job.reused_from.is_some()).map(|job| job.plan.job_name.as_str()).collect();
        assert_eq!(reused, ["a", "c"]);
        assert_eq!(jobs[1].script_was.as_deref(), Some("1"), "the hash of b's earlier script is kept");
        assert_eq!(jobs[3].script_was, None);
        assert!(jobs[1].waiting_on.is_empty() && jobs[4].waiting_on.is_empty(), "no job waits for a reused job");
        assert!(jobs[3].waiting_on.contains("b"));
    }

    #[test]
    fn a_second_restart_names_the_run_that_ran_the_job() {
        let earlier =
            [JobRecord { reused_from: Some("first".into()), ..ended(Status::Succeeded, scripted("a", &[], "1")) }];
        let mut jobs = vec![scripted("a", &[], "1")];
        reuse(&earlier, &mut jobs);
        assert_eq!(jobs[0].reused_from.as_deref(), Some("first"));
    }
}
