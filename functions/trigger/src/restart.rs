//! A restart takes over what succeeded and runs the rest.

use std::collections::{BTreeMap, BTreeSet};

use shiftwork_protocol::{JobRecord, Status};

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
    fn what_succeeded_with_everything_before_it_is_reused_and_the_rest_runs() {
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
        assert_eq!(jobs[1].script_was.as_deref(), Some("1"), "the changed script of b is remembered");
        assert_eq!(jobs[3].script_was, None);
        assert!(jobs[1].waiting_on.is_empty() && jobs[4].waiting_on.is_empty(), "nobody waits on what is reused");
        assert!(jobs[3].waiting_on.contains("b"));
    }

    #[test]
    fn a_second_restart_names_the_run_that_did_the_work() {
        let earlier =
            [JobRecord { reused_from: Some("first".into()), ..ended(Status::Succeeded, scripted("a", &[], "1")) }];
        let mut jobs = vec![scripted("a", &[], "1")];
        reuse(&earlier, &mut jobs);
        assert_eq!(jobs[0].reused_from.as_deref(), Some("first"));
    }
}
