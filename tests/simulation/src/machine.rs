use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::FutureExt as _;
use jiff::SignedDuration;
use serde_json::{Value, json};
use shiftwork_feeds::Batches;
use shiftwork_iterator::RunIterator;
use shiftwork_job_launcher::{Launcher, kind as launcher};
use shiftwork_ports::{
    Bucket, Engines, Execution, Executions as _, Ledger as _, Progress,
    fake::{Closed, ManualClock, Outcome},
};
use shiftwork_protocol::{
    Attempt, Class, Connection, Failure, FailureKind, Manifest, RunRecord, manifest_key,
    payload::{Launch, RunInput},
};
use shiftwork_settlement::{JobSettlement, RunSettlement, kind as settlement};
use shiftwork_trigger::Trigger;

use crate::chaos::{Calm, Luck};

/// `MaxAttempts` of the state machine's retries.
const RETRIES: u32 = 8;
/// How often Lambda tries an asynchronous event.
const DELIVERIES: u32 = 3;

/// Where one iteration of the state machine's Map stands.
#[derive(Debug, Clone)]
enum At {
    Await,
    Awaiting(String),
    Launch { retries: u32 },
    Waiting { token: String, retries: u32 },
    Record { caught: Value, tries: u32 },
    Done,
}

/// Where an execution stands.
#[derive(Debug)]
enum Stage {
    Iterate { tries: u32 },
    Map(BTreeMap<String, At>),
    Finish { tries: u32 },
    Over,
}

/// Everything around the functions.
pub(crate) struct Machine {
    pub(crate) calm: Arc<Calm>,
    pub(crate) luck: Arc<Luck>,
    pub(crate) clock: Arc<ManualClock>,
    trigger: Trigger,
    iterator: RunIterator,
    launcher: Launcher,
    executions: BTreeMap<String, Stage>,
    events: Vec<(Value, u32)>,
    announced: BTreeSet<Attempt>,
    tokens: u64,
    /// Jobs whose statements fail for good.
    pub(crate) broken: Vec<String>,
    /// URLs of files that COPY cannot read.
    pub(crate) bad_files: BTreeSet<String>,
    /// Whether tasks may time out.
    pub(crate) timeouts: bool,
}

impl Machine {
    pub(crate) fn new(seed: u64, troubles: u32) -> Self {
        let (calm, luck) = (Arc::new(Calm::default()), Arc::new(Luck::new(seed, troubles)));
        let clock = Arc::new(ManualClock::default());
        let (ledger, warehouse, objects) = (luck.over(&calm.ledger), luck.over(&calm), luck.over(&calm.objects));
        // The tables of a contract.
        for statement in ["CREATE", "svv_columns", "pg_namespace"] {
            calm.warehouse.set_rows(statement, Vec::new());
        }
        let staging = Bucket::new(objects.clone(), "staging");
        let scripts = Bucket::new(objects.clone(), "scripts");
        let files = Batches { register: luck.over(&calm.files), clock: clock.clone() };
        let jobs = JobSettlement {
            ledger: ledger.clone(),
            engines: Engines { warehouse: warehouse.clone() },
            tokens: luck.over(&calm.tokens),
            notices: luck.over(&calm.notices),
            kinds: settlement::Kinds {
                cdc: settlement::cdc::Cdc { staging: staging.clone(), warehouse: warehouse.clone() },
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
            executions: luck.over(&calm.executions),
            sweeps: luck.over(&calm.sweeps),
        };
        let kinds = launcher::Kinds {
            sql: launcher::sql::Sql { scripts: scripts.clone() },
            cdc: launcher::cdc::Cdc {
                scripts: scripts.clone(),
                staging: staging.clone(),
                warehouse: warehouse.clone(),
                requests: luck.over(&calm.requests),
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
            trigger: Trigger { runs, configuration: luck.over(&calm.configuration), scripts, default_connection },
            iterator: RunIterator { ledger: ledger.clone(), clock: clock.clone() },
            launcher: Launcher { jobs, kinds },
            calm,
            luck,
            clock,
            executions: BTreeMap::new(),
            events: Vec::new(),
            announced: BTreeSet::new(),
            tokens: 0,
            broken: Vec::new(),
            bad_files: BTreeSet::new(),
            timeouts: false,
        }
    }

    /// Asks until there is an answer, as a scheduler or a queue does.
    pub(crate) fn request(&mut self, event: &Value) -> Result<Value, Failure> {
        for _ in 0..10_000 {
            match self.trigger.handle(event.clone(), "invocation").now_or_never() {
                Some(Err(failure)) if failure.kind.class() == Class::Retryable => {}
                Some(answer) => return answer,
                None => {}
            }
            self.clock.pass(SignedDuration::from_secs(1));
        }
        panic!("the trigger never answered {event}");
    }

    pub(crate) fn run(&self, run: &str) -> Option<RunRecord> {
        self.calm.ledger.run(run).now_or_never().unwrap().unwrap()
    }

    /// Lets things happen, in any order, until nothing is left to happen. The steps that it took.
    pub(crate) fn settle(&mut self) -> usize {
        for step in 0..200_000 {
            self.clock.pass(SignedDuration::from_millis(10 + i64::try_from(self.luck.below(2_000)).unwrap()));
            for run in self.calm.executions.running() {
                self.executions.entry(run).or_insert(Stage::Iterate { tries: 0 });
            }
            if self.is_quiet() {
                return step;
            }
            match self.luck.below(10) {
                0..4 => self.advance_an_execution(),
                4..6 => self.end_a_statement(),
                6..8 => self.deliver_an_event(),
                8 => self.sweep(),
                _ => self.clock.pass(SignedDuration::from_secs(20)),
            }
        }
        panic!("it never came to rest: {:?}", self.executions);
    }

    /// Lets a few things happen.
    pub(crate) fn some_steps(&mut self) {
        for run in self.calm.executions.running() {
            self.executions.entry(run).or_insert(Stage::Iterate { tries: 0 });
        }
        for _ in 0..self.luck.below(40) {
            self.advance_an_execution();
            if self.luck.below(3) == 0 {
                self.end_a_statement();
                self.deliver_an_event();
            }
        }
    }

    fn is_quiet(&self) -> bool {
        self.executions.values().all(|stage| matches!(stage, Stage::Over))
            && self.calm.sweeps.watched().is_empty()
            && self.calm.warehouse.running().is_empty()
            && self.events.is_empty()
    }

    /// A statement ends; its event comes once, twice or never.
    fn end_a_statement(&mut self) {
        let running = self.calm.warehouse.running();
        if running.is_empty() {
            return;
        }
        let name = &running[self.luck.below(running.len())];
        let outcome = if self.luck.strikes(8) {
            Outcome::Failed("ERROR: 1023 DETAIL: Serializable isolation violation on table - 100".into())
        } else if self.broken.contains(&name.job) {
            Outcome::Failed("ERROR: relation \"nowhere\" does not exist".into())
        } else if let Some(message) = self.stumbles(name) {
            Outcome::Failed(message)
        } else {
            Outcome::Finished
        };
        self.calm.warehouse.end(name, outcome);
        self.announce();
    }

    /// The files that a COPY loads, or tries to.
    pub(crate) fn files_of(&self, name: &Attempt) -> Vec<String> {
        let manifest = self.calm.staging.get(&manifest_key(name)).now_or_never().unwrap().unwrap();
        manifest.map_or(Vec::new(), |text| serde_json::from_slice::<Manifest>(&text).unwrap().urls())
    }

    /// What Redshift says about the bad files of a COPY: of the first one, or of all where it was told to go on.
    fn stumbles(&self, name: &Attempt) -> Option<String> {
        let bad: Vec<_> = self.files_of(name).into_iter().filter(|url| self.bad_files.contains(url)).collect();
        let shown = if name.attempt > 1 { &bad[..] } else { &bad[..bad.len().min(1)] };
        (!bad.is_empty()).then(|| format!("ERROR: Load into table 'orders' failed: {}, record 1: bad", shown.join(" ")))
    }

    /// Events of the statements that ended since.
    fn announce(&mut self) {
        for (submission, progress) in self.calm.warehouse.all() {
            let state = match progress {
                Progress::Active => continue,
                Progress::Finished { .. } => "FINISHED",
                Progress::Failed { .. } => "FAILED",
                Progress::Aborted => "ABORTED",
            };
            if !self.announced.insert(submission.attempt.clone()) {
                continue;
            }
            let event = json!({
                "source": "aws.redshift-data", "detail-type": "Redshift Data Statement Status Change",
                "detail": { "statementName": submission.attempt.to_string(), "statementId": submission.attempt.client_token(),
                            "state": state, "rows": 1 }
            });
            let copies = if self.luck.strikes(8) { 2 * self.luck.below(2) } else { 1 };
            self.events.extend(std::iter::repeat_n((event, DELIVERIES), copies));
        }
    }

    fn deliver_an_event(&mut self) {
        self.announce();
        if self.events.is_empty() {
            return;
        }
        let (event, tries) = self.events.swap_remove(self.luck.below(self.events.len()));
        let handled = shiftwork_job_callback::handle(&self.trigger.runs, &event).now_or_never();
        if !matches!(handled, Some(Ok(()))) && tries > 1 {
            self.events.push((event, tries - 1));
        }
    }

    fn sweep(&mut self) {
        self.clock.pass(SignedDuration::from_secs(60));
        for run in self.calm.sweeps.watched() {
            let _ = shiftwork_job_callback::handle(&self.trigger.runs, &json!({ "sweep": run })).now_or_never();
        }
    }

    /// Somebody stops the execution; the event of it may be lost.
    pub(crate) fn stop(&mut self, run: &str) {
        self.calm.executions.close(run, "ABORTED: a person");
        self.executions.insert(run.into(), Stage::Over);
        if self.luck.below(2) == 0 {
            let event = json!({ "source": "aws.states", "detail-type": "Step Functions Execution Status Change",
                                "detail": { "name": run, "status": "ABORTED" } });
            let _ = shiftwork_audit_updater::handle(&self.trigger.runs, &event).now_or_never();
        }
    }

    fn advance_an_execution(&mut self) {
        let open: Vec<_> =
            self.executions.iter().filter(|(_, s)| !matches!(s, Stage::Over)).map(|(run, _)| run.clone()).collect();
        if open.is_empty() {
            return;
        }
        let run = &open[self.luck.below(open.len())];
        let closed = self.calm.executions.state(run).now_or_never().unwrap().unwrap();
        if matches!(closed, Some(Execution::Closed { .. })) {
            self.executions.insert(run.clone(), Stage::Over);
            return;
        }
        let stage = self.executions.remove(run).unwrap();
        let next = self.advance(run, stage);
        self.executions.insert(run.clone(), next);
    }

    fn advance(&mut self, run: &str, stage: Stage) -> Stage {
        match stage {
            Stage::Iterate { tries } => {
                let input = RunInput { workflow_execution_id: run.into() };
                match self.iterator.handle(input).now_or_never() {
                    Some(Ok(lanes)) => {
                        Stage::Map(lanes.lanes.into_iter().flatten().map(|job| (job.job_name, At::Await)).collect())
                    }
                    Some(Err(failure)) if failure.kind.class() != Class::Retryable => Stage::Finish { tries: 0 },
                    Some(Err(_)) | None if tries >= RETRIES => Stage::Finish { tries: 0 },
                    Some(Err(_)) | None => Stage::Iterate { tries: tries + 1 },
                }
            }
            Stage::Map(mut jobs) => {
                let open: Vec<_> =
                    jobs.iter().filter(|(_, at)| !matches!(at, At::Done)).map(|(job, _)| job.clone()).collect();
                if open.is_empty() {
                    return Stage::Finish { tries: 0 };
                }
                let job = &open[self.luck.below(open.len())];
                let at = jobs.remove(job).unwrap();
                let next = self.advance_job(run, job, at);
                jobs.insert(job.clone(), next);
                Stage::Map(jobs)
            }
            Stage::Finish { tries } => {
                let request = json!({ "action": "finish_run", "workflow_execution_id": run });
                match shiftwork_audit_updater::handle(&self.trigger.runs, &request).now_or_never() {
                    Some(Ok(_)) => self.close(run, "SUCCEEDED"),
                    Some(Err(_)) | None if tries >= RETRIES => self.close(run, "FAILED"),
                    Some(Err(_)) | None => Stage::Finish { tries: tries + 1 },
                }
            }
            Stage::Over => Stage::Over,
        }
    }

    fn close(&mut self, run: &str, reason: &str) -> Stage {
        self.calm.executions.close(run, reason);
        Stage::Over
    }

    fn advance_job(&mut self, run: &str, job: &str, at: At) -> At {
        match at {
            At::Await => {
                let token = self.token();
                if self.calm.ledger.set_await_token(run, job, &token) {
                    At::Awaiting(token)
                } else {
                    At::Launch { retries: 0 }
                }
            }
            At::Awaiting(token) => match self.calm.tokens.closed_by(&token) {
                Some(_) => At::Launch { retries: 0 },
                None => At::Awaiting(token),
            },
            At::Launch { retries } => {
                let token = self.token();
                let launch =
                    Launch { workflow_execution_id: run.into(), job_name: job.into(), task_token: token.clone() };
                match self.launcher.handle(launch).now_or_never() {
                    Some(Ok(())) => At::Waiting { token, retries },
                    Some(Err(failure)) => caught(&failure, retries),
                    None => crashed(retries),
                }
            }
            At::Waiting { token, retries } => match self.calm.tokens.closed_by(&token) {
                Some(Closed::End(_) | Closed::Release) => At::Done,
                Some(Closed::Proceed) => At::Launch { retries: 0 },
                Some(Closed::Fail(failure)) => caught(&failure, retries),
                None if self.timeouts && self.luck.strikes(20) => {
                    At::Record { caught: json!({ "Error": "States.Timeout", "Cause": "" }), tries: 0 }
                }
                None => At::Waiting { token, retries },
            },
            At::Record { caught, tries } => {
                let request =
                    json!({ "action": "record_job", "workflow_execution_id": run, "job_name": job, "failure": caught });
                match shiftwork_audit_updater::handle(&self.trigger.runs, &request).now_or_never() {
                    Some(Ok(answer)) if answer["relaunch"] == true => At::Launch { retries: 0 },
                    Some(Ok(_)) => At::Done,
                    Some(Err(_)) | None if tries >= RETRIES => At::Done,
                    Some(Err(_)) | None => At::Record { caught, tries: tries + 1 },
                }
            }
            At::Done => At::Done,
        }
    }

    fn token(&mut self) -> String {
        self.tokens += 1;
        format!("token-{}", self.tokens)
    }
}

/// `Retry`, then `Catch`.
fn caught(failure: &Failure, retries: u32) -> At {
    match failure.kind.class() {
        Class::Retryable if retries < RETRIES => At::Launch { retries: retries + 1 },
        Class::Retryable | Class::Terminal | Class::Duplicate => {
            At::Record { caught: json!({ "Error": failure.kind.name(), "Cause": failure.message }), tries: 0 }
        }
    }
}

/// A launcher that died is a `Lambda.Unknown`, and is tried again too.
fn crashed(retries: u32) -> At {
    if retries < RETRIES {
        At::Launch { retries: retries + 1 }
    } else {
        At::Record { caught: json!({ "Error": "Lambda.Unknown", "Cause": "exit status 1" }), tries: 0 }
    }
}

/// The names of failures are what the machine above is asked to match; a name that did not read back would be a typo.
#[test]
fn retryable_names_are_known() {
    assert_eq!(FailureKind::from_name("Shiftwork.Throttled").map(FailureKind::class), Some(Class::Retryable));
}
