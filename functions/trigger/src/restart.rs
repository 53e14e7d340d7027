//! Restart: reuses the jobs that succeeded in an earlier run and runs the other jobs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use shiftwork_protocol::{JobRecord, RunRecord, SkipReason, Status, Work, payload::RunRequest, workflow::RunIf};

/// Returns the request of a restart with the values of the earlier run that it does not give itself. A run that could not
/// be planned has its request as it was received; any other run has the values of its plan. Secret values are masked in both.
pub(crate) fn completed(earlier: &RunRecord, request: &RunRequest) -> RunRequest {
    let mut parameters = match &earlier.request {
        Some(received) => received.parameters.clone(),
        None => {
            let bound = earlier.parameters.iter();
            bound.map(|(name, text)| (name.clone(), Value::String(text.clone()))).collect()
        }
    };
    parameters.extend(request.parameters.clone());
    let received = earlier.request.as_ref();
    RunRequest {
        parameters,
        logical_date: request.logical_date.clone().or_else(|| received?.logical_date.clone()),
        scheduled_time: received.and_then(|received| received.scheduled_time),
        ..request.clone()
    }
}

/// Returns true if the request of a restart gives values: parameters or a logical date.
pub(crate) fn has_values(request: &RunRequest) -> bool {
    !request.parameters.is_empty() || request.logical_date.is_some()
}

/// Returns the reason why a restart cannot have values of its own: jobs that it would reuse ran with the earlier values.
pub(crate) fn conflict(earlier: &[JobRecord], request: &RunRequest) -> Option<String> {
    let succeeded = earlier
        .iter()
        .filter(|job| job.execution_status == Status::Succeeded && !job.plan.work.is_barrier())
        .map(|job| job.plan.job_name.as_str());
    let first = succeeded.clone().next().filter(|_| has_values(request))?;
    Some(format!(
        "{} of its jobs succeeded ({first} …), so a restart uses the parameters and the logical date of this run: remove \
         `parameters` and `logical_date`, or request a new run",
        succeeded.count()
    ))
}

/// Marks the jobs of a new plan that reuse their end in the earlier run.
///
/// A job is reused if all of its upstreams are reused and it succeeded, or was skipped because its condition was not met
/// and the condition is still not met. All other jobs run: those that failed, were skipped because of a failure or are
/// new, and their dependents. A job of `done`, whose work the earlier run committed although the job did not succeed, is
/// reused whatever its upstreams do.
///
/// The record of a job has the work that ran: a reused job has the work of the earlier run, and a job that runs again has
/// the work of the new plan. If the script of the other run differs, the record has its hash, so that the audit shows the
/// change.
///
/// Returns the jobs that are reused because of their own end, without those that are reused because they are `done`.
pub(crate) fn reuse(earlier: &[JobRecord], jobs: &mut [JobRecord], done: &BTreeSet<String>) -> BTreeSet<String> {
    let earlier: BTreeMap<_, _> = earlier.iter().map(|job| (job.plan.job_name.as_str(), job)).collect();
    let mut reused = BTreeSet::new();
    let mut by_their_end = BTreeSet::new();
    // In topological order, so every upstream is decided before its dependents.
    for job in jobs.iter_mut() {
        let before = earlier.get(job.plan.job_name.as_str());
        job.waiting_on.retain(|upstream| !reused.contains(upstream));
        let upstreams_are_reused = job.waiting_on.is_empty();
        if upstreams_are_reused && job.plan.work.is_barrier() {
            // No job would free the barrier.
            job.execution_status = Status::Succeeded;
            reused.insert(job.plan.job_name.clone());
            continue;
        }
        let is_done = done.contains(&job.plan.job_name);
        match before {
            Some(before) if upstreams_are_reused && is_reusable(before, job.plan.run_if) => {
                job.execution_status = before.execution_status;
                job.skip_reason = before.skip_reason;
                job.error_message.clone_from(&before.error_message);
                job.reused_from = before.reused_from.clone().or_else(|| Some(before.workflow_execution_id.clone()));
                take_over(before, job);
                reused.insert(job.plan.job_name.clone());
                by_their_end.insert(job.plan.job_name.clone());
            }
            Some(before) if is_done => {
                job.waiting_on.clear();
                job.execution_status = Status::Succeeded;
                job.reused_from = Some(before.workflow_execution_id.clone());
                take_over(before, job);
                reused.insert(job.plan.job_name.clone());
            }
            Some(before) => job.script_was = other_script(&before.plan.work, &job.plan.work),
            None => {}
        }
    }
    by_their_end
}

/// Gives a reused job the work that ran in the earlier run, and its rows.
fn take_over(before: &JobRecord, job: &mut JobRecord) {
    job.script_now = other_script(&job.plan.work, &before.plan.work);
    job.plan.work.clone_from(&before.plan.work);
    job.statement_id.clone_from(&before.statement_id);
    job.rows = before.rows;
    job.statements.clone_from(&before.statements);
}

/// Returns true if the end of a job, whose upstreams are all reused, is the same in the new run.
fn is_reusable(before: &JobRecord, run_if: RunIf) -> bool {
    match before.execution_status {
        Status::Succeeded => true,
        Status::Skipped => before.skip_reason == Some(SkipReason::ConditionNotMet) && run_if == RunIf::OneFailed,
        Status::Failed
        | Status::TimedOut
        | Status::Aborted
        | Status::Planning
        | Status::Queued
        | Status::Pending
        | Status::Running => false,
    }
}

/// SHA-256 of the script of `other`; `None` if it is the script of `ran`, or if one of them has no script.
fn other_script(other: &Work, ran: &Work) -> Option<String> {
    let (other, ran) = (other.script()?, ran.script()?);
    (other.sha256 != ran.sha256).then(|| other.sha256.clone())
}

#[cfg(test)]
mod tests {
    use shiftwork_ports::fake::{a_job, a_run};
    use shiftwork_protocol::{Connection, ScriptPin, StatementReport, Transaction};

    use super::*;

    fn scripted(name: &str, upstreams: &[&str], sha256: &str) -> JobRecord {
        let mut job = a_job(name, upstreams);
        let script = ScriptPin { key: name.into(), version_id: "1".into(), sha256: sha256.into(), statements: 1 };
        let connection = Connection::default();
        job.plan.work = Work::Sql {
            connection,
            script,
            transaction: Transaction::Single,
            parameters: BTreeMap::new(),
            inner_commits: Vec::new(),
            session: None,
            repeatable: false,
        };
        job
    }

    fn ended(status: Status, job: JobRecord) -> JobRecord {
        JobRecord { execution_status: status, ..job }
    }

    #[test]
    fn a_restart_completes_and_corrects_the_request() {
        use serde_json::json;
        let values = |value: Value| -> BTreeMap<String, Value> { serde_json::from_value(value).unwrap() };
        let received = RunRequest {
            parameters: values(json!({ "n": "many", "key": "orders/1.csv", "size": 12 })),
            logical_date: Some("2026-07-01".into()),
            ..RunRequest::default()
        };
        let refused = RunRecord { request: Some(received), ..a_run(Status::Failed) };
        let given = RunRequest { parameters: values(json!({ "n": "3", "region": "eu" })), ..RunRequest::default() };
        let request = completed(&refused, &given);
        assert_eq!(request.parameters, values(json!({ "n": "3", "key": "orders/1.csv", "size": 12, "region": "eu" })));
        assert_eq!(request.logical_date.as_deref(), Some("2026-07-01"));
        let dated = RunRequest { logical_date: Some("2026-07-02".into()), ..RunRequest::default() };
        assert_eq!(completed(&refused, &dated).logical_date.as_deref(), Some("2026-07-02"));

        let scheduled_time = Some("2026-06-30T23:30:00Z".parse().unwrap());
        let received = RunRequest { scheduled_time, ..RunRequest::default() };
        let refused = RunRecord { request: Some(received), ..a_run(Status::Failed) };
        assert_eq!(completed(&refused, &RunRequest::default()).scheduled_time, scheduled_time);

        let planned = RunRecord { parameters: BTreeMap::from([("n".into(), "30".into())]), ..a_run(Status::Failed) };
        let request = completed(&planned, &RunRequest::default());
        assert_eq!((request.parameters, request.logical_date), (values(json!({ "n": "30" })), None));
    }

    #[test]
    fn values_are_not_changed_under_jobs_that_succeeded() {
        let succeeded =
            [ended(Status::Succeeded, scripted("a", &[], "1")), ended(Status::Failed, scripted("b", &[], "1"))];
        let failed = &succeeded[1..];
        let corrected = RunRequest { parameters: BTreeMap::from([("n".into(), 1.into())]), ..RunRequest::default() };
        let dated = RunRequest { logical_date: Some("2026-07-01".into()), ..RunRequest::default() };
        assert_eq!(conflict(&succeeded, &RunRequest::default()), None);
        for request in [corrected, dated] {
            assert!(conflict(&succeeded, &request).unwrap().contains("1 of its jobs succeeded (a …)"));
            assert_eq!(conflict(failed, &request), None);
            assert_eq!(conflict(&[], &request), None);
        }
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
        reuse(&earlier, &mut jobs, &BTreeSet::new());
        let reused: Vec<_> =
            jobs.iter().filter(|job| job.reused_from.is_some()).map(|job| job.plan.job_name.as_str()).collect();
        assert_eq!(reused, ["a", "c"]);
        assert_eq!(jobs[1].script_was.as_deref(), Some("1"), "the hash of b's earlier script is kept");
        assert_eq!(jobs[3].script_was, None);
        assert!(jobs[1].waiting_on.is_empty() && jobs[4].waiting_on.is_empty(), "no job waits for a reused job");
        assert!(jobs[3].waiting_on.contains("b"));
    }

    fn after(name: &str, upstreams: &[&str], run_if: RunIf) -> JobRecord {
        let mut job = scripted(name, upstreams, "1");
        job.plan.run_if = run_if;
        job
    }

    #[test]
    fn a_job_that_was_not_needed_stays_skipped_and_one_that_was_blocked_runs() {
        let skipped = |reason, job| JobRecord { skip_reason: Some(reason), ..ended(Status::Skipped, job) };
        let earlier = [
            ended(Status::Succeeded, scripted("load", &[], "1")),
            skipped(SkipReason::ConditionNotMet, after("alarm", &["load"], RunIf::OneFailed)),
            ended(Status::Succeeded, scripted("totals", &["alarm"], "1")),
            ended(Status::Failed, scripted("publish", &["totals"], "1")),
            skipped(SkipReason::UpstreamFailed, scripted("report", &["publish"], "1")),
            ended(Status::Succeeded, after("page", &["publish"], RunIf::OneFailed)),
        ];
        let new = |alarm: RunIf| {
            vec![
                scripted("load", &[], "1"),
                after("alarm", &["load"], alarm),
                scripted("totals", &["alarm"], "1"),
                scripted("publish", &["totals"], "1"),
                scripted("report", &["publish"], "1"),
                after("page", &["publish"], RunIf::OneFailed),
            ]
        };
        let reused = |jobs: &[JobRecord]| -> Vec<String> {
            jobs.iter().filter(|job| job.reused_from.is_some()).map(|job| job.plan.job_name.clone()).collect()
        };
        let mut jobs = new(RunIf::OneFailed);
        let by_their_end = reuse(&earlier, &mut jobs, &BTreeSet::from(["totals".into()]));
        assert_eq!(by_their_end, ["load", "alarm", "totals"].map(String::from).into());
        assert_eq!(reused(&jobs), ["load", "alarm", "totals"]);
        assert_eq!(
            (jobs[1].execution_status, jobs[1].skip_reason),
            (Status::Skipped, Some(SkipReason::ConditionNotMet))
        );
        assert!(jobs[3..].iter().all(|job| job.execution_status == Status::Pending && job.skip_reason.is_none()));

        // The condition was changed since, and is met now.
        let mut jobs = new(RunIf::AllDone);
        reuse(&earlier, &mut jobs, &BTreeSet::new());
        assert_eq!(reused(&jobs), ["load"]);
    }

    #[test]
    fn a_barrier_after_reused_jobs_does_not_wait() {
        let barrier = || {
            let mut barrier = a_job("@stage-2", &["load"]);
            barrier.plan.work = Work::Barrier {};
            barrier
        };
        let load = || scripted("load", &[], "1");
        for (status, open) in [(Status::Succeeded, false), (Status::Failed, true)] {
            let mut jobs = vec![load(), barrier(), scripted("next", &["@stage-2"], "1")];
            reuse(&[ended(status, load()), ended(Status::Aborted, barrier())], &mut jobs, &BTreeSet::new());
            assert_eq!(jobs[1].execution_status == Status::Pending, open);
            assert_eq!(jobs[2].waiting_on.is_empty(), !open);
        }
    }

    #[test]
    fn a_job_whose_work_was_committed_is_reused() {
        let earlier = [
            ended(Status::Failed, scripted("a", &[], "1")),
            ended(Status::Aborted, scripted("b", &["a"], "1")),
            ended(Status::Skipped, scripted("c", &["b"], "1")),
        ];
        let mut jobs = vec![scripted("a", &[], "1"), scripted("b", &["a"], "1"), scripted("c", &["b"], "1")];
        let by_their_end = reuse(&earlier, &mut jobs, &BTreeSet::from(["b".into()]));
        let reused: Vec<_> = jobs.iter().map(|job| job.execution_status == Status::Succeeded).collect();
        assert_eq!(reused, [false, true, false]);
        assert_eq!(by_their_end, BTreeSet::new());
        assert!(jobs[1].waiting_on.is_empty() && jobs[2].waiting_on.is_empty());
    }

    #[test]
    fn the_record_of_a_reused_job_has_the_script_that_ran() {
        let ran = scripted("a", &[], "old");
        let rows = vec![StatementReport { rows: Some(3), ..StatementReport::default() }];
        let earlier = [JobRecord { rows: Some(3), statements: rows, ..ended(Status::Succeeded, ran.clone()) }];
        let mut jobs = vec![scripted("a", &[], "new")];
        reuse(&earlier, &mut jobs, &BTreeSet::new());
        assert_eq!(jobs[0].plan.work, ran.plan.work, "the pin of the text that ran");
        assert_eq!(jobs[0].script_now.as_deref(), Some("new"), "the workflow has another text now");
        assert_eq!((jobs[0].script_was.as_deref(), jobs[0].rows), (None, Some(3)));
        assert_eq!(jobs[0].statements, earlier[0].statements);

        let mut again = vec![scripted("a", &[], "newest")];
        reuse(&jobs, &mut again, &BTreeSet::new());
        assert_eq!(again[0].plan.work, ran.plan.work, "a restart of the restart");
        assert_eq!(again[0].script_now.as_deref(), Some("newest"));

        let mut unchanged = vec![scripted("a", &[], "old")];
        reuse(&earlier, &mut unchanged, &BTreeSet::new());
        assert_eq!(unchanged[0].script_now, None);
    }

    #[test]
    fn a_second_restart_names_the_run_that_ran_the_job() {
        let earlier =
            [JobRecord { reused_from: Some("first".into()), ..ended(Status::Succeeded, scripted("a", &[], "1")) }];
        let mut jobs = vec![scripted("a", &[], "1")];
        reuse(&earlier, &mut jobs, &BTreeSet::new());
        assert_eq!(jobs[0].reused_from.as_deref(), Some("first"));
    }
}
