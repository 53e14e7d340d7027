use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shiftwork_feeds::Batches;
use shiftwork_iterator::RunIterator;
use shiftwork_job_launcher::{Launcher, kind as launcher};
use shiftwork_ports::{
    Bucket, Clock as _, Engines, Execution, Executions as _, Ledger as _, Progress,
    fake::{Closed, ManualClock, Outcome},
};
use shiftwork_protocol::{
    Attempt, Class, Connection, Failure, FailureKind, Manifest, RunRecord, manifest_key,
    payload::{Launch, RunInput},
};
use shiftwork_settlement::{JobSettlement, RunSettlement, kind as settlement};
use shiftwork_trigger::Trigger;

use crate::faults::{Fakes, Faults};

/// `MaxAttempts` of every `Retry` of the state machine.
const RETRIES: u32 = 8;
/// Number of times that Lambda invokes a function for one asynchronous event, retries included.
const DELIVERIES: u32 = 3;

/// The current state of one iteration (one job) of the state machine's `Map`.
#[derive(Debug, Clone)]
enum JobState {
    Await,
    Awaiting(String),
    Launch { retries: u32 },
    Waiting { token: String, retries: u32 },
    Pause(Timestamp),
    Record { caught: Value, tries: u32 },
    Done,
}

/// The current state of an execution of the state machine.
#[derive(Debug)]
enum ExecutionState {
    Iterate { tries: u32 },
    Map(BTreeMap<String, JobState>),
    Finish { tries: u32 },
    Closed,
}

/// Step Functions, EventBridge, Redshift and the schedule of the sweeps, with the functions under test.
pub(crate) struct Machine {
    pub(crate) fakes: Arc<Fakes>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) trigger: Trigger,
    iterator: RunIterator,
    launcher: Launcher,
    executions: BTreeMap<String, ExecutionState>,
    /// Undelivered events, each with its remaining deliveries.
    events: Vec<(Value, u32)>,
    /// Number of events of shiftwork that were given to the rules of triggers.
    pub(crate) routed: usize,
    /// Events for a workflow that were not delivered to the trigger yet.
    pub(crate) deliveries: Vec<Value>,
    /// Attempts whose end was published, or whose event was lost.
    published: BTreeSet<Attempt>,
    /// Number of task tokens created.
    tokens: u64,
    /// URLs of the files that COPY cannot load.
    pub(crate) bad_files: BTreeSet<String>,
    /// Whether tasks can time out.
    pub(crate) timeouts: bool,
}

impl Machine {
    pub(crate) fn new(seed: u64, max_faults: u32) -> Self {
        let (faults, clock) = (Arc::new(Faults::new(seed, max_faults)), Arc::new(ManualClock::default()));
        let fakes = Arc::new(Fakes::new(&faults, &clock));
        let (ledger, warehouse, objects) =
            (faults.wrap(&fakes.ledger), faults.wrap(&fakes), faults.wrap(&fakes.objects));
        // The statements that look up and create the tables of a contract return no rows.
        for statement in ["CREATE", "svv_columns", "pg_namespace"] {
            fakes.warehouse.set_rows(statement, Vec::new());
        }
        let staging = Bucket::new(objects.clone(), "staging");
        let scripts = Bucket::new(objects.clone(), "scripts");
        let files = Batches { register: faults.wrap(&fakes.files), clock: clock.clone() };
        let jobs = JobSettlement {
            ledger: ledger.clone(),
            engines: Engines { warehouse: warehouse.clone() },
            tokens: faults.wrap(&fakes.tokens),
            notices: faults.wrap(&fakes.notices),
            kinds: settlement::Kinds {
                cdc: settlement::cdc::Cdc { staging: staging.clone() },
                copy: settlement::copy::Copy {
                    staging: staging.clone(),
                    files: files.clone(),
                    warehouse: warehouse.clone(),
                    clock: clock.clone(),
                },
            },
            clock: clock.clone(),
        };
        let runs = RunSettlement {
            jobs: jobs.clone(),
            executions: faults.wrap(&fakes.executions),
            sweeps: faults.wrap(&fakes.sweeps),
        };
        let kinds = launcher::Kinds {
            sql: launcher::sql::Sql { scripts: scripts.clone() },
            cdc: launcher::cdc::Cdc {
                scripts: scripts.clone(),
                staging: staging.clone(),
                warehouse: warehouse.clone(),
                requests: faults.wrap(&fakes.requests),
                clock: clock.clone(),
            },
            copy: launcher::copy::Copy {
                jobs: jobs.clone(),
                scripts: scripts.clone(),
                files,
                landing: objects,
                staging,
            },
        };
        let default_connection =
            Connection { workgroup: Some("shift".into()), database: "dev".into(), ..Connection::default() };
        Self {
            trigger: Trigger {
                runs,
                configuration: faults.wrap(&fakes.configuration),
                scripts,
                default_connection,
                max_causes: 10,
            },
            iterator: RunIterator { ledger: ledger.clone(), clock: clock.clone() },
            launcher: Launcher { jobs, kinds },
            fakes,
            faults,
            clock,
            executions: BTreeMap::new(),
            events: Vec::new(),
            routed: 0,
            deliveries: Vec::new(),
            published: BTreeSet::new(),
            tokens: 0,
            bad_files: BTreeSet::new(),
            timeouts: false,
        }
    }

    /// Invokes the trigger until it succeeds or returns an error that is not retryable, as a schedule or a queue does.
    pub(crate) fn request(&mut self, event: &Value) -> Result<Value, Failure> {
        for _ in 0..10_000 {
            match self.trigger.handle(event.clone(), "invocation").now_or_never() {
                Some(Err(failure)) if failure.kind.class() == Class::Retryable => {}
                Some(result) => return result,
                None => {}
            }
            self.clock.pass(SignedDuration::from_secs(1));
        }
        panic!("the trigger did not complete in 10,000 invocations: {event}");
    }

    pub(crate) fn run(&self, run: &str) -> Option<RunRecord> {
        self.fakes.ledger.run(run).now_or_never().unwrap().unwrap()
    }

    /// Advances executions, statements, events and sweeps in random order until all have ended.
    pub(crate) fn run_until_idle(&mut self) {
        for _ in 0..200_000 {
            self.clock.pass(SignedDuration::from_millis(10 + i64::try_from(self.faults.random_below(2_000)).unwrap()));
            for run in self.fakes.executions.running() {
                self.executions.entry(run).or_insert(ExecutionState::Iterate { tries: 0 });
            }
            self.route_events();
            if self.is_idle() {
                return;
            }
            match self.faults.random_below(10) {
                0..4 => self.advance_execution(),
                4..6 => self.end_statement(),
                6..8 => {
                    self.deliver_event();
                    self.deliver_to_trigger();
                }
                8 => self.sweep(),
                _ => self.clock.pass(SignedDuration::from_secs(20)),
            }
        }
        panic!("the executions did not end in 200,000 steps: {:?}", self.executions);
    }

    /// Lets every lease of a run that has not begun expire.
    pub(crate) fn expire_leases(&mut self) {
        self.clock.pass(SignedDuration::from_hours(1));
    }

    /// Takes 0 to 39 random steps.
    pub(crate) fn run_some_steps(&mut self) {
        for run in self.fakes.executions.running() {
            self.executions.entry(run).or_insert(ExecutionState::Iterate { tries: 0 });
        }
        for _ in 0..self.faults.random_below(40) {
            self.advance_execution();
            if self.faults.random_below(3) == 0 {
                self.end_statement();
                self.deliver_event();
            }
        }
    }

    /// Whether all executions have ended, no run is watched by the sweep, no statement runs and no event is undelivered.
    fn is_idle(&self) -> bool {
        self.executions.values().all(|state| matches!(state, ExecutionState::Closed))
            && self.fakes.sweeps.watched().is_empty()
            && self.fakes.warehouse.running().is_empty()
            && self.events.is_empty()
            && self.deliveries.is_empty()
    }

    /// Ends a random running statement and publishes its event.
    fn end_statement(&mut self) {
        let running = self.fakes.warehouse.running();
        if running.is_empty() {
            return;
        }
        let name = &running[self.faults.random_below(running.len())];
        let outcome = self.copy_error(name).map(Outcome::failed);
        self.fakes.end_statement(name, outcome);
        self.publish_events();
    }

    /// URLs in the manifest of an attempt; empty without a manifest.
    pub(crate) fn manifest_urls(&self, name: &Attempt) -> Vec<String> {
        let manifest = self.fakes.staging.get(&manifest_key(name)).now_or_never().unwrap().unwrap();
        manifest.map_or(Vec::new(), |text| serde_json::from_slice::<Manifest>(&text).unwrap().urls())
    }

    /// Redshift's error for a COPY of files that cannot be loaded. At the first attempt it names the first such file. Later
    /// attempts run with MAXERROR and name all of them.
    fn copy_error(&self, name: &Attempt) -> Option<String> {
        let bad: Vec<_> = self.manifest_urls(name).into_iter().filter(|url| self.bad_files.contains(url)).collect();
        let shown = if name.attempt > 1 { &bad[..] } else { &bad[..bad.len().min(1)] };
        (!bad.is_empty()).then(|| format!("ERROR: Load into table 'orders' failed: {}, record 1: bad", shown.join(" ")))
    }

    /// Publishes the events of the statements that have ended since the last call. A fault loses or duplicates an event.
    fn publish_events(&mut self) {
        for (submission, progress) in self.fakes.warehouse.all() {
            let state = match progress {
                Progress::Active => continue,
                Progress::Finished => "FINISHED",
                Progress::Failed { .. } => "FAILED",
                Progress::Aborted { .. } => "ABORTED",
            };
            if !self.published.insert(submission.attempt.clone()) {
                continue;
            }
            let event = json!({
                "source": "aws.redshift-data", "detail-type": "Redshift Data Statement Status Change",
                "detail": { "statementName": submission.attempt.to_string(), "statementId": submission.attempt.client_token(),
                            "state": state, "rows": 1 }
            });
            let copies = if self.faults.occurs(8) { 2 * self.faults.random_below(2) } else { 1 };
            self.events.extend(std::iter::repeat_n((event, DELIVERIES), copies));
        }
    }

    fn deliver_event(&mut self) {
        self.publish_events();
        if self.events.is_empty() {
            return;
        }
        let (event, tries) = self.events.swap_remove(self.faults.random_below(self.events.len()));
        let handled = shiftwork_job_callback::handle(&self.trigger.runs, &event).now_or_never();
        if !matches!(handled, Some(Ok(()))) && tries > 1 {
            self.events.push((event, tries - 1));
        }
    }

    /// Advances the clock by 60 seconds and sweeps each watched run.
    pub(crate) fn sweep(&mut self) {
        self.clock.pass(SignedDuration::from_secs(60));
        for run in self.fakes.sweeps.watched() {
            let _ = self.sweep_run(&run);
        }
    }

    /// Sweeps a run; `None` if the sweep was stopped.
    pub(crate) fn sweep_run(&self, run: &str) -> Option<Result<(), Failure>> {
        shiftwork_job_callback::handle(&self.trigger.runs, &json!({ "sweep": run })).now_or_never()
    }

    /// Advances the execution of a run, whose statements do not end, until each of its `jobs` jobs was submitted.
    pub(crate) fn launch_all(&mut self, run: &str, jobs: usize) {
        self.executions.entry(run.into()).or_insert(ExecutionState::Iterate { tries: 0 });
        for _ in 0..100_000 {
            if self.fakes.warehouse.running().len() == jobs {
                return;
            }
            self.advance_execution();
        }
        panic!("the {jobs} jobs were not submitted in 100,000 steps");
    }

    /// Advances the executions by a number of steps, in which no statement ends.
    pub(crate) fn run_steps(&mut self, steps: u32) {
        for _ in 0..steps {
            self.advance_execution();
        }
    }

    /// Stops the execution as a user does. Its event is delivered with a probability of 1/2.
    pub(crate) fn stop(&mut self, run: &str) {
        self.fakes.executions.close(run, "ABORTED: stopped by a user");
        self.executions.insert(run.into(), ExecutionState::Closed);
        if self.faults.random_below(2) == 0 {
            let event = json!({ "source": "aws.states", "detail-type": "Step Functions Execution Status Change",
                                "detail": { "name": run, "status": "ABORTED" } });
            let _ = shiftwork_audit_updater::handle(&self.trigger.runs, &event).now_or_never();
        }
    }

    fn advance_execution(&mut self) {
        let open: Vec<_> = self
            .executions
            .iter()
            .filter(|(_, state)| !matches!(state, ExecutionState::Closed))
            .map(|(run, _)| run.clone())
            .collect();
        if open.is_empty() {
            return;
        }
        let run = &open[self.faults.random_below(open.len())];
        let closed = self.fakes.executions.state(run).now_or_never().unwrap().unwrap();
        if matches!(closed, Some(Execution::Closed { .. })) {
            self.executions.insert(run.clone(), ExecutionState::Closed);
            return;
        }
        let state = self.executions.remove(run).unwrap();
        let next = self.advance(run, state);
        self.executions.insert(run.clone(), next);
    }

    fn advance(&mut self, run: &str, state: ExecutionState) -> ExecutionState {
        match state {
            ExecutionState::Iterate { tries } => {
                let input = RunInput { workflow_execution_id: run.into() };
                match self.iterator.handle(input).now_or_never() {
                    Some(Ok(lanes)) => ExecutionState::Map(
                        lanes.lanes.into_iter().flatten().map(|job| (job.job_name, JobState::Await)).collect(),
                    ),
                    Some(Err(failure)) if failure.kind.class() != Class::Retryable => {
                        ExecutionState::Finish { tries: 0 }
                    }
                    Some(Err(_)) | None if tries >= RETRIES => ExecutionState::Finish { tries: 0 },
                    Some(Err(_)) | None => ExecutionState::Iterate { tries: tries + 1 },
                }
            }
            ExecutionState::Map(mut jobs) => {
                let open: Vec<_> = jobs
                    .iter()
                    .filter(|(_, state)| !matches!(state, JobState::Done))
                    .map(|(job, _)| job.clone())
                    .collect();
                if open.is_empty() {
                    return ExecutionState::Finish { tries: 0 };
                }
                let job = &open[self.faults.random_below(open.len())];
                let job_state = jobs.remove(job).unwrap();
                let next = self.advance_job(run, job, job_state);
                jobs.insert(job.clone(), next);
                ExecutionState::Map(jobs)
            }
            ExecutionState::Finish { tries } => {
                let request = json!({ "action": "finish_run", "workflow_execution_id": run });
                match shiftwork_audit_updater::handle(&self.trigger.runs, &request).now_or_never() {
                    Some(Ok(_)) => self.close(run, "SUCCEEDED"),
                    Some(Err(_)) | None if tries >= RETRIES => self.close(run, "FAILED"),
                    Some(Err(_)) | None => ExecutionState::Finish { tries: tries + 1 },
                }
            }
            ExecutionState::Closed => ExecutionState::Closed,
        }
    }

    fn close(&mut self, run: &str, reason: &str) -> ExecutionState {
        self.fakes.executions.close(run, reason);
        ExecutionState::Closed
    }

    fn advance_job(&mut self, run: &str, job: &str, state: JobState) -> JobState {
        match state {
            JobState::Await => {
                let token = self.token();
                if self.fakes.ledger.set_await_token(run, job, &token) {
                    JobState::Awaiting(token)
                } else {
                    JobState::Launch { retries: 0 }
                }
            }
            JobState::Awaiting(token) => match self.fakes.tokens.closed_by(&token) {
                Some(_) => JobState::Launch { retries: 0 },
                None => JobState::Awaiting(token),
            },
            JobState::Launch { retries } => {
                let token = self.token();
                let launch =
                    Launch { workflow_execution_id: run.into(), job_name: job.into(), task_token: token.clone() };
                match self.launcher.handle(launch).now_or_never() {
                    Some(Ok(())) => JobState::Waiting { token, retries },
                    Some(Err(failure)) => {
                        let cause = json!({ "errorType": failure.kind.name(), "errorMessage": failure.message });
                        after_failure(&failure, &cause.to_string(), retries)
                    }
                    None => after_crash(retries),
                }
            }
            JobState::Waiting { token, retries } => match self.fakes.tokens.closed_by(&token) {
                Some(Closed::End(_) | Closed::Release) => JobState::Done,
                Some(Closed::Proceed) => JobState::Launch { retries: 0 },
                Some(Closed::Pause(until)) => JobState::Pause(until),
                Some(Closed::Wait) => JobState::Await,
                Some(Closed::Fail(failure)) => after_failure(&failure, &failure.message, retries),
                None if self.timeouts && self.faults.occurs(20) => {
                    JobState::Record { caught: json!({ "Error": "States.Timeout", "Cause": "" }), tries: 0 }
                }
                None => JobState::Waiting { token, retries },
            },
            JobState::Pause(until) if self.clock.now() >= until => JobState::Launch { retries: 0 },
            JobState::Pause(until) => JobState::Pause(until),
            JobState::Record { caught, tries } => {
                let request =
                    json!({ "action": "record_job", "workflow_execution_id": run, "job_name": job, "failure": caught });
                match shiftwork_audit_updater::handle(&self.trigger.runs, &request).now_or_never() {
                    Some(Ok(response)) if response["relaunch"] == true => {
                        JobState::Pause(response["not_before"].as_str().unwrap().parse().unwrap())
                    }
                    Some(Ok(_)) => JobState::Done,
                    Some(Err(_)) | None if tries >= RETRIES => JobState::Done,
                    Some(Err(_)) | None => JobState::Record { caught, tries: tries + 1 },
                }
            }
            JobState::Done => JobState::Done,
        }
    }

    fn token(&mut self) -> String {
        self.tokens += 1;
        format!("token-{}", self.tokens)
    }
}

/// Applies the `Retry` and then the `Catch` of the state machine to a failure of the launcher or of its task.
fn after_failure(failure: &Failure, cause: &str, retries: u32) -> JobState {
    match failure.kind.class() {
        // The state machine waits for a full warehouse until the run times out.
        Class::Retryable if failure.kind == FailureKind::ActiveStatementsExceeded => JobState::Launch { retries },
        Class::Retryable if retries < RETRIES => JobState::Launch { retries: retries + 1 },
        Class::Retryable | Class::Terminal | Class::Duplicate => {
            JobState::Record { caught: json!({ "Error": failure.kind.name(), "Cause": cause }), tries: 0 }
        }
    }
}

/// Applies the `Retry` and then the `Catch` to a launcher that stopped: for Step Functions, a `Lambda.Unknown`.
fn after_crash(retries: u32) -> JobState {
    if retries < RETRIES {
        JobState::Launch { retries: retries + 1 }
    } else {
        JobState::Record { caught: json!({ "Error": "Lambda.Unknown", "Cause": "exit status 1" }), tries: 0 }
    }
}

/// The state machine matches failures by name, so a name must parse to its failure kind.
#[test]
fn retryable_names_are_known() {
    assert_eq!(FailureKind::from_name("Shiftwork.Throttled").map(FailureKind::class), Some(Class::Retryable));
}
