//! Runs for tests: planned from real configurations, then simulated with the rules of dependencies.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use shiftwork_planner::{LogicalDate, PlanInputs, RequestedRun, Script};
use shiftwork_protocol::{
    Connection, FailedAttempt, FailureKind, JobRecord, RunRecord, SkipReason, Status, Times, audit::Origin,
    name::sha256,
};
use shiftwork_settlement::{failures_for_dependents, skip_of};

use crate::board::{Snapshot, is_real};

/// The time at which the test runs are requested.
pub(crate) fn noon() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// A planned run that has not started. Every script that the workflow names exists.
pub(crate) fn planned(
    yaml: &str,
    sql: impl Fn(&str) -> String,
) -> (Snapshot, BTreeMap<String, Result<String, String>>) {
    let doc = shiftwork_planner::read_file("workflows/test.yaml", yaml).unwrap();
    let workflow = shiftwork_planner::workflow(&doc).unwrap();
    let id = &workflow.workflow_id;
    let scripts = shiftwork_planner::script_names(&workflow).into_iter().map(|name| {
        let key = shiftwork_protocol::keys::script_key(id, &name);
        (name.clone(), Script { key, version_id: format!("v-{}", &sha256(&name)[..8]), text: sql(&name) })
    });
    let inputs = PlanInputs {
        scripts: scripts.collect(),
        default_connection: Connection {
            workgroup: Some("analytics".into()),
            database: "dev".into(),
            ..Connection::default()
        },
        ..PlanInputs::default()
    };
    let run = format!("{id}-20260301T120000-k7mq");
    let asked = RequestedRun {
        workflow_execution_id: run.clone(),
        logical_date: LogicalDate::in_utc(noon()),
        parameters: BTreeMap::new(),
    };
    let plan = shiftwork_planner::plan(&doc, &inputs, &asked).unwrap();
    let texts = plan.jobs.iter().filter_map(|job| {
        let key = &job.work.script()?.key;
        let text = inputs.scripts.values().find(|script| script.key == *key)?.text.clone();
        Some((job.job_name.clone(), Ok(text)))
    });
    let texts = texts.collect();
    let record = RunRecord {
        workflow_execution_id: run.clone(),
        workflow_id: id.clone(),
        workflow_description: workflow.workflow_description.clone(),
        execution_status: Status::Pending,
        created_ts: noon(),
        execution_start_ts: None,
        execution_end_ts: None,
        error_message: None,
        logical_date: noon(),
        time_zone: Some("UTC".into()),
        run_date: Some("2026-03-01".into()),
        parameters: plan.parameters,
        requested_by: Origin::Manual,
        request_sha256: sha256("request"),
        workflow_sha256: plan.workflow_sha256,
        restart_of: None,
        caused_by: Vec::new(),
        request: None,
        jobs: u32::try_from(plan.jobs.len()).unwrap(),
        planner: None,
    };
    let jobs = plan.jobs.into_iter().map(|job| JobRecord::pending(id, &run, job)).collect();
    (Snapshot { run: record, jobs }, texts)
}

/// How a job of a simulated run ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum JobEnd {
    /// Succeeds after this number of milliseconds.
    Runs(i64),
    /// Fails after this number of milliseconds, is retried, and succeeds after the same number of milliseconds.
    Retries(i64),
    /// Fails after this number of milliseconds with this message.
    Fails(i64, &'static str),
    /// Was reused from the run with this id.
    Reused(&'static str),
}

/// Simulates the run to its end.
pub(crate) fn simulated(mut run: Snapshot, job_end: impl Fn(&str) -> JobEnd) -> Snapshot {
    let began = noon() + SignedDuration::from_millis(180);
    let mut ended: BTreeMap<String, (Timestamp, BTreeSet<String>)> = BTreeMap::new();
    let mut failure = None;
    for job in &mut run.jobs {
        let before: Vec<_> = job.plan.upstreams.iter().map(|name| &ended[name]).collect();
        let ready = before.iter().map(|(at, _)| *at).max().unwrap_or(began);
        job.waiting_on.clear();
        job.failed_upstreams = before.into_iter().flat_map(|(_, failures)| failures.clone()).collect();
        let blocked = !is_real(job) && !job.failed_upstreams.is_empty();
        let skip = skip_of(job).or_else(|| blocked.then_some(SkipReason::UpstreamFailed));
        let (status, end) = match skip {
            Some(reason) => {
                job.skip_reason = Some(reason);
                job.error_message = Some(match reason {
                    SkipReason::ConditionNotMet => "no job before it failed".into(),
                    SkipReason::UpstreamFailed => "a job before it did not succeed".into(),
                });
                (Status::Skipped, ready)
            }
            None if is_real(job) => simulate(job, ready, job_end(&job.plan.job_name)),
            None => (Status::Succeeded, ready),
        };
        job.execution_status = status;
        job.execution_end_ts = Some(end);
        if status == Status::Failed && failure.is_none() {
            failure = Some(format!("{} FAILED: {}", job.plan.job_name, job.error_message.clone().unwrap_or_default()));
        }
        ended.insert(job.plan.job_name.clone(), (end, failures_for_dependents(job)));
    }
    run.run.execution_start_ts = Some(began);
    run.run.execution_end_ts = ended.values().map(|(at, _)| *at + SignedDuration::from_millis(90)).max();
    run.run.execution_status = if failure.is_some() { Status::Failed } else { Status::Succeeded };
    run.run.error_message = failure;
    run
}

fn simulate(job: &mut JobRecord, ready: Timestamp, job_end: JobEnd) -> (Status, Timestamp) {
    let after = |from: Timestamp, millis| from + SignedDuration::from_millis(millis);
    if let JobEnd::Reused(run) = job_end {
        job.reused_from = Some(run.into());
        job.rows = Some(3);
        return (Status::Succeeded, ready);
    }
    let mut start = after(ready, 140);
    job.execution_start_ts = Some(start);
    job.statement_id = Some(format!("{}-0000-4000-8000-000000000000", &sha256(&job.plan.job_name)[..8]));
    let (status, millis) = match job_end {
        JobEnd::Runs(millis) => (Status::Succeeded, millis),
        JobEnd::Retries(millis) => {
            job.failed_attempts.push(FailedAttempt {
                attempt: 1,
                part: 1,
                retry_ts: None,
                submitted_ts: Some(start),
                ended_ts: after(start, millis),
                error_name: FailureKind::SerializationConflict.name().into(),
                error_message: "ERROR: 1023 Serializable isolation violation on table 104512".into(),
                statement_id: Some("c0ffee00-0000-4000-8000-000000000000".into()),
                times: times(start, millis),
            });
            job.attempt = 2;
            start = after(start, millis + 1200);
            (Status::Succeeded, millis)
        }
        JobEnd::Fails(millis, words) => {
            job.error_name = Some(FailureKind::StatementFailed.name().into());
            job.error_message = Some(words.into());
            (Status::Failed, millis)
        }
        JobEnd::Reused(_) => unreachable!("returned above"),
    };
    job.submitted_ts = Some(start);
    job.times = times(start, millis);
    if status == Status::Succeeded {
        job.rows = Some(millis * 37 % 100_003);
    }
    (status, after(start, millis))
}

/// The times of a submission whose end is recorded after this number of milliseconds: three quarters of them queued,
/// an eighth running, an eighth until the end is noticed.
fn times(submitted: Timestamp, millis: i64) -> Times {
    let micros = |eighths: i64| millis * 1_000 * eighths / 8;
    let at = |eighths| Some(submitted + SignedDuration::from_micros(micros(eighths)));
    let sum = |eighths| u64::try_from(micros(eighths)).ok();
    Times {
        engine_created_ts: at(0),
        engine_started_ts: at(6),
        engine_ended_ts: at(7),
        queued_us: sum(6),
        ran_us: sum(1),
        noticed_us: sum(1),
        unreported: 0,
    }
}

/// Three stages: one sequential, two parallel.
pub(crate) const BLOG: &str = "\
workflow_id: blog
workflow_description: Test workflow
workflow_stages:
  - { execution_type: sequential, stage_description: schema and table, scripts: [create_schema.sql, create_table.sql] }
  - { execution_type: parallel, stage_description: insert 1, scripts: [insert_1.sql, insert_2.sql] }
  - { execution_type: parallel, stage_description: insert 2, scripts: [insert_3.sql, insert_4.sql] }
";

/// A parallel stage with this number of jobs, between two sequential stages.
pub(crate) fn wide(jobs: usize) -> String {
    let scripts: Vec<_> = (0..jobs).map(|number| format!("load_table_{number:03}.sql")).collect();
    format!(
        "workflow_id: wide\nworkflow_stages:\n  - {{ execution_type: sequential, scripts: [prepare.sql] }}\n  - {{ execution_type: \
         parallel, stage_description: loads, scripts: [{}] }}\n  - {{ execution_type: sequential, scripts: [publish.sql, \
         vacuum.sql] }}\n",
        scripts.join(", ")
    )
}
