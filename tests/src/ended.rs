use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;
use shiftwork_protocol::{Attempt, JobRecord, RunRecord, Status};

use crate::{Run, Stack};

/// A statement, as the Data API emulator recorded it.
#[derive(Debug, Clone)]
pub struct StatementRecord {
    /// The statement id.
    pub id: String,
    /// The statement name.
    pub name: Attempt,
    /// `SUBMITTED`, `PICKED`, `STARTED`, `FINISHED`, `FAILED` or `ABORTED`.
    pub status: String,
    /// Time of the submission.
    pub created: Timestamp,
    /// Time at which its first SQL text started.
    pub started: Option<Timestamp>,
    /// Time of the end.
    pub ended: Option<Timestamp>,
    /// For each SQL text, how often it was sent to the database.
    pub runs: Vec<u32>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    name: Option<String>,
    status: String,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    runs: u32,
}

/// All statements of a run, oldest first.
pub(crate) async fn statements(stack: &Stack, run: &str) -> Vec<StatementRecord> {
    let all: Vec<Listed> =
        serde_json::from_value(stack.redshift.get("_statements").await).expect("the emulator lists statements");
    let ours = all.into_iter().filter_map(|listed| {
        let name: Attempt = listed.name?.parse().ok()?;
        (name.run == run).then(|| StatementRecord {
            id: listed.id,
            name,
            status: listed.status,
            created: listed.created_at,
            started: listed.started_at,
            ended: listed.ended_at,
            runs: listed.parts.iter().map(|part| part.runs).collect(),
        })
    });
    ours.collect()
}

/// An ended run, whose audit has been compared with the statements in Redshift.
#[derive(Debug)]
pub struct Ended {
    /// The run.
    pub run: RunRecord,
    /// Its jobs by name, including barriers.
    pub jobs: BTreeMap<String, JobRecord>,
    /// Its statements, oldest first.
    pub statements: Vec<StatementRecord>,
}

impl Ended {
    /// Reads an ended run, and checks the properties of all ended runs.
    pub(crate) async fn read(stack: &Stack, run: &Run) -> Self {
        let jobs = run.jobs().await.into_iter().map(|job| (job.plan.job_name.clone(), job)).collect();
        let record = run.record().await.expect("an ended run has a record");
        let ended = Self { run: record, jobs, statements: statements(stack, &run.id).await };
        ended.check();
        ended
    }

    /// A job by name.
    pub fn job(&self, name: &str) -> &JobRecord {
        self.jobs.get(name).unwrap_or_else(|| panic!("unknown job {name}; jobs: {:?}", self.jobs.keys()))
    }

    /// The status of a job.
    pub fn status(&self, name: &str) -> Status {
        self.job(name).execution_status
    }

    /// The statements of a job.
    pub fn statements_of(&self, name: &str) -> Vec<&StatementRecord> {
        self.statements.iter().filter(|statement| statement.name.job == name).collect()
    }

    /// Checks that the run and all its jobs succeeded.
    #[track_caller]
    pub fn succeeded(&self) -> &Self {
        assert_eq!(self.run.execution_status, Status::Succeeded, "{:?}", self.run.error_message);
        for (name, job) in &self.jobs {
            assert_eq!(job.execution_status, Status::Succeeded, "{name}: {:?}", job.error_message);
        }
        self
    }

    fn check(&self) {
        let run = &self.run.workflow_execution_id;
        let names: BTreeSet<_> = self.statements.iter().map(|statement| &statement.name).collect();
        assert_eq!(names.len(), self.statements.len(), "run {run}: a statement was submitted twice");
        for statement in &self.statements {
            assert!(statement.runs.iter().all(|runs| *runs <= 1), "{}: SQL ran twice: {:?}", statement.name, statement);
            let job = self.jobs.get(&statement.name.job);
            assert!(
                job.is_some_and(|job| job.reused_from.is_none()),
                "{} does not belong to a job of the run",
                statement.name
            );
        }
        for job in self.jobs.values() {
            self.check_job(job);
        }
        self.check_order();
    }

    /// Checks that the record of a job agrees with its statements.
    fn check_job(&self, job: &JobRecord) {
        let name = format!("{}/{}", self.run.workflow_execution_id, job.plan.job_name);
        let statements = self.statements_of(&job.plan.job_name);
        let of_last_attempt: Vec<_> =
            statements.iter().filter(|statement| statement.name.attempt == job.attempt).collect();
        assert!(job.execution_status.is_terminal(), "{name} is {}", job.execution_status);
        match job.execution_status {
            Status::Succeeded if job.plan.work.is_barrier() => {
                assert!(statements.is_empty(), "{name} has statements: {statements:?}");
            }
            Status::Skipped => assert!(statements.is_empty(), "{name} was skipped, but has statements: {statements:?}"),
            // The job found nothing to do and ended without a statement.
            Status::Succeeded if job.statement_id.is_none() && job.rows == Some(0) => {
                assert!(of_last_attempt.is_empty(), "{name} found nothing to do, but has statements: {statements:?}");
            }
            Status::Succeeded => {
                if job.reused_from.is_some() {
                    return assert!(statements.is_empty(), "{name} was reused, but has statements: {statements:?}");
                }
                // Each part finished once, in whichever attempt. A restart runs the parts that are not committed.
                let finished: Vec<_> = statements.iter().filter(|statement| statement.status == "FINISHED").collect();
                let parts: Vec<_> = finished.iter().map(|statement| statement.name.part).collect();
                let first = job.resumed.as_ref().map_or(1, |resumed| resumed.part);
                assert_eq!(parts, (first..=job.plan.work.parts()).collect::<Vec<_>>(), "{name}: {statements:?}");
                for statement in finished {
                    assert!(statement.runs.iter().all(|runs| *runs == 1), "{name}: {statement:?}");
                }
                assert!(job.statement_id.is_some(), "{name} has no statement id");
            }
            Status::Failed | Status::TimedOut | Status::Aborted => {
                assert!(job.error_message.is_some(), "{name} is {} without an error message", job.execution_status);
                let finished = of_last_attempt.iter().filter(|statement| statement.status == "FINISHED").count();
                assert!(
                    finished < job.plan.work.parts() as usize,
                    "{name} is {}, but all its statements finished",
                    job.execution_status
                );
            }
            Status::Planning | Status::Queued | Status::Pending | Status::Running => unreachable!("terminal"),
        }
        let mut finished: Vec<_> =
            statements.iter().filter(|one| one.status == "FINISHED").map(|one| one.name.part).collect();
        let times = finished.len();
        finished.dedup();
        assert_eq!(times, finished.len(), "{name} repeated a statement that had finished: {statements:?}");
        if let (Some(first), Some(begun)) = (statements.first(), job.execution_start_ts) {
            assert!(begun <= first.created, "{name} was submitted before it was recorded");
        }
        if let (Some(last), Some(ended)) = (statements.last().and_then(|last| last.ended), job.execution_end_ts)
            && matches!(job.execution_status, Status::Succeeded | Status::Failed)
        {
            assert!(
                ended.as_millisecond() >= last.as_millisecond(),
                "{name} was recorded as ended before its statement ended"
            );
        }
    }

    /// Checks that no job started before its upstream jobs had ended, by the times of the audit and of Redshift.
    fn check_order(&self) {
        for job in self.jobs.values() {
            for upstream in job.plan.upstreams.iter().flat_map(|upstream| self.jobs_behind(upstream)) {
                let message = format!("{} started before {} had ended", job.plan.job_name, upstream.plan.job_name);
                if let (Some(begun), Some(ended)) = (job.execution_start_ts, upstream.execution_end_ts)
                    && upstream.reused_from.is_none()
                    && job.reused_from.is_none()
                {
                    assert!(begun >= ended, "{message} according to the audit");
                }
                let begun = self.statements_of(&job.plan.job_name).iter().filter_map(|s| s.started).min();
                let last = self.statements_of(&upstream.plan.job_name).iter().filter_map(|s| s.ended).max();
                if let (Some(begun), Some(last)) = (begun, last) {
                    assert!(begun >= last, "{message} according to Redshift");
                }
            }
        }
    }

    /// A job, or the jobs before a barrier.
    fn jobs_behind(&self, name: &str) -> Vec<&JobRecord> {
        let job = self.job(name);
        if job.plan.work.is_barrier() {
            return job.plan.upstreams.iter().flat_map(|upstream| self.jobs_behind(upstream)).collect();
        }
        vec![job]
    }
}
