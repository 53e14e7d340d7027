use std::{
    collections::{BTreeMap, BTreeSet},
    future::{Future, pending},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures::FutureExt as _;
use shiftwork_ports::{
    AttemptState, Bucket, Engine, EngineReport, Ledger as _, Listed, Progress, Result, Row, Submission, Warehouse,
    fake::{
        Gate, Gated, ManualClock, MemoryBucket, MemoryConfiguration, MemoryExecutions, MemoryLedger, MemoryNotices,
        MemoryObjects, MemoryRegister, MemoryRequests, MemorySweeps, MemoryTokens, MemoryWarehouse, Outcome,
    },
};
use shiftwork_protocol::{Attempt, Connection, Failure, FailureKind, Manifest, Status, Work, manifest_key};

/// Injects faults into the calls of ports, from a seeded generator, until a maximum number of faults is reached.
pub(crate) struct Faults {
    random: Mutex<fastrand::Rng>,
    /// Number of faults that can still be injected.
    remaining: Mutex<u32>,
}

/// The outcome of one call of a port.
enum CallOutcome {
    /// The call is made and its result is returned.
    Completed,
    /// The calling function stops before the call is made.
    StoppedBefore,
    /// The calling function stops after the call was made.
    StoppedAfter,
    /// The call is not made and returns a retryable error.
    Rejected,
    /// The call is made and returns a retryable error in place of its result.
    ResultLost,
}

impl Faults {
    pub(crate) fn new(seed: u64, max_faults: u32) -> Self {
        Self { random: Mutex::new(fastrand::Rng::with_seed(seed)), remaining: Mutex::new(max_faults) }
    }

    /// A random number from 0 to `n - 1`. Does not count as a fault.
    pub(crate) fn random_below(&self, n: usize) -> usize {
        self.random.lock().unwrap().usize(0..n)
    }

    /// Whether a fault occurs: with a probability of 1/`n`, until the maximum number of faults is reached.
    pub(crate) fn occurs(&self, n: usize) -> bool {
        let mut remaining = self.remaining.lock().unwrap();
        let occurs = *remaining > 0 && self.random_below(n) == 0;
        *remaining -= u32::from(occurs);
        occurs
    }

    /// Draws the outcome of the next call: a fault with a probability of 1/12.
    fn next_outcome(&self) -> CallOutcome {
        if !self.occurs(12) {
            return CallOutcome::Completed;
        }
        match self.random_below(4) {
            0 => CallOutcome::StoppedBefore,
            1 => CallOutcome::StoppedAfter,
            2 => CallOutcome::Rejected,
            _ => CallOutcome::ResultLost,
        }
    }

    /// Returns `port` with random faults in its calls (see `CallOutcome`).
    pub(crate) fn wrap<P>(self: &Arc<Self>, port: &Arc<P>) -> Arc<Gated<Arc<P>, Arc<Self>>> {
        Arc::new(Gated { port: port.clone(), gate: self.clone() })
    }
}

impl Gate for Faults {
    async fn pass<T: Send>(&self, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        match self.next_outcome() {
            CallOutcome::Completed => call.await,
            CallOutcome::StoppedBefore => pending().await,
            CallOutcome::StoppedAfter => {
                drop(call.await);
                pending().await
            }
            CallOutcome::Rejected => Err(Failure::new(FailureKind::Throttled, "the simulation throttled the call")),
            CallOutcome::ResultLost => {
                drop(call.await);
                Err(Failure::new(FailureKind::Unavailable, "the simulation discarded the response"))
            }
        }
    }
}

/// The fakes behind the ports. The state machine and the tests read them directly, without faults.
pub(crate) struct Fakes {
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) tokens: Arc<MemoryTokens>,
    pub(crate) warehouse: Arc<MemoryWarehouse>,
    pub(crate) executions: Arc<MemoryExecutions>,
    pub(crate) sweeps: Arc<MemorySweeps>,
    pub(crate) notices: Arc<MemoryNotices>,
    pub(crate) objects: Arc<MemoryObjects>,
    pub(crate) scripts: MemoryBucket,
    pub(crate) staging: Bucket,
    pub(crate) files: Arc<MemoryRegister>,
    pub(crate) configuration: Arc<MemoryConfiguration>,
    pub(crate) requests: Arc<MemoryRequests>,
    /// Invariants that a submission violated.
    pub(crate) violations: Mutex<Vec<String>>,
    /// Number of calls of `Warehouse::submit` by attempt, before the Data API deduplicates them by client token.
    pub(crate) submit_calls: Mutex<BTreeMap<String, u32>>,
    /// Maximum number of active statements; `None` for any number.
    pub(crate) active_statements: Mutex<Option<usize>>,
    /// Number of calls of [`Engine`] by method.
    pub(crate) engine_calls: Mutex<BTreeMap<&'static str, u32>>,
    /// Names of the jobs whose outcomes the engine cannot return.
    pub(crate) unreadable: Mutex<BTreeSet<String>>,
    /// Names of the jobs whose statements fail at every attempt.
    pub(crate) broken: Mutex<Vec<String>>,
    /// How often Redshift committed each statement, by job and position in the script.
    pub(crate) commits: Mutex<BTreeMap<(String, usize), u32>>,
    faults: Arc<Faults>,
    clock: Arc<ManualClock>,
}

impl Fakes {
    pub(crate) fn new(faults: &Arc<Faults>, clock: &Arc<ManualClock>) -> Self {
        let objects = Arc::new(MemoryObjects::versioned());
        Self {
            ledger: Arc::default(),
            tokens: Arc::default(),
            warehouse: Arc::default(),
            executions: Arc::default(),
            sweeps: Arc::default(),
            notices: Arc::default(),
            scripts: MemoryBucket::of(objects.clone(), "scripts"),
            staging: Bucket::new(objects.clone(), "staging"),
            objects,
            files: Arc::default(),
            configuration: Arc::default(),
            requests: Arc::default(),
            violations: Mutex::default(),
            submit_calls: Mutex::default(),
            active_statements: Mutex::default(),
            engine_calls: Mutex::default(),
            unreadable: Mutex::default(),
            broken: Mutex::default(),
            commits: Mutex::default(),
            faults: faults.clone(),
            clock: clock.clone(),
        }
    }

    /// Ends a running statement, and counts what Redshift committed of it.
    pub(crate) fn end_statement(&self, name: &Attempt, outcome: Option<Outcome>) {
        let all = self.warehouse.all();
        let Some((submission, Progress::Active)) = all.into_iter().find(|(one, _)| one.attempt == *name) else {
            return;
        };
        let statements = submission.sqls.len();
        let (outcome, committed) = match outcome {
            Some(outcome) => (outcome, 0),
            None => self.random_outcome(&submission),
        };
        let committed = if outcome == Outcome::Finished { statements } else { committed };
        let mut commits = self.commits.lock().unwrap();
        for position in 0..committed {
            // A part of several parts is one statement of the script.
            *commits.entry((name.job.clone(), name.part as usize + position)).or_default() += 1;
        }
        self.warehouse.end(name, outcome);
    }

    /// How a statement ends, and the number of its statements that Redshift committed although it did not finish.
    fn random_outcome(&self, submission: &Submission) -> (Outcome, usize) {
        let (sqls, faults) = (&submission.sqls, &self.faults);
        let failed = |finished: usize, message: &str| {
            let finished = u32::try_from(finished).unwrap();
            Outcome::Failed { finished, message: message.into() }
        };
        let truncated = |finished: usize| sqls[..finished].iter().rposition(|sql| sql.starts_with("truncate"));
        // A procedure may have committed before it failed, but not in a transaction of several statements.
        let alone = sqls.len() == 1 && sqls[0].starts_with("call");
        let called = usize::from(alone && faults.random_below(2) == 0);
        if faults.occurs(8) {
            let finished = faults.random_below(sqls.len() + 1);
            let finished = if sqls.len() == 1 { 0 } else { finished };
            let message = "ERROR: 1023 DETAIL: Serializable isolation violation on table - 100";
            (failed(finished, message), called.max(truncated(finished).map_or(0, |position| position + 1)))
        } else if faults.occurs(24) {
            // The connection is lost in the last statement or in its commit, which Redshift may have carried out.
            let committed = if faults.random_below(2) == 0 { sqls.len() } else { called };
            let before = truncated(sqls.len() - 1).map_or(0, |position| position + 1);
            (failed(sqls.len() - 1, "Connection reset by peer"), committed.max(before))
        } else if self.broken.lock().unwrap().contains(&submission.attempt.job) {
            (Outcome::failed("ERROR: relation \"nowhere\" does not exist"), called)
        } else {
            (Outcome::Finished, sqls.len())
        }
    }

    /// Records a violation unless all upstreams of the job have ended and no other attempt of the job runs.
    fn check_submission(&self, name: &Attempt) {
        *self.submit_calls.lock().unwrap().entry(name.to_string()).or_default() += 1;
        let mut violations = self.violations.lock().unwrap();
        let jobs = self.ledger.jobs(&name.run).now_or_never().unwrap().unwrap();
        let job = jobs.iter().find(|job| job.plan.job_name == name.job).unwrap();
        for upstream in jobs.iter().filter(|other| job.plan.upstreams.contains(&other.plan.job_name)) {
            if !upstream.execution_status.is_terminal() {
                violations.push(format!(
                    "{name} was submitted while {} is {}",
                    upstream.plan.job_name, upstream.execution_status
                ));
            }
        }
        for other in self.warehouse.running() {
            if other.run == name.run && other.job == name.job && other != *name {
                violations.push(format!("{name} was submitted while {other} runs"));
            }
        }
        for pool in &job.plan.slots {
            // The statement of a job that was stopped or timed out is being cancelled, and can exceed the limit until then.
            let in_pool = |other: &Attempt| {
                let job = self.ledger.job(&other.run, &other.job).now_or_never().unwrap().unwrap().unwrap();
                job.plan.slots.contains(pool) && !matches!(job.execution_status, Status::TimedOut | Status::Aborted)
            };
            let others = self.warehouse.running().iter().filter(|other| *other != name && in_pool(other)).count();
            if others >= pool.limit as usize {
                violations.push(format!("{name} was submitted while {others} attempts of {} run", pool.name));
            }
        }
        // Only staged change data must be loaded in a fixed order.
        if matches!(job.plan.work, Work::Cdc { .. }) {
            violations.extend(self.staging_violations(name));
        }
    }

    /// Describes each file of the manifest that does not exist, and each staged file that is older than a file of the
    /// manifest in the same partition but missing from the manifest: the load's watermark would mark it as loaded.
    fn staging_violations(&self, name: &Attempt) -> Vec<String> {
        let get = |key: &str| self.staging.get(key).now_or_never().unwrap().unwrap();
        let manifest = get(&manifest_key(name)).unwrap_or_default();
        let listed = serde_json::from_slice::<Manifest>(&manifest).unwrap().keys();
        let staged = self.staging.list("staged/").now_or_never().unwrap().unwrap();
        let staged: Vec<_> = staged.into_iter().map(|object| object.key).collect();
        let missing = listed
            .iter()
            .filter(|key| !staged.contains(key))
            .map(|key| format!("{name} loads {key}, which does not exist"));
        // The keys of a partition sort by offset.
        let partition = |key: &str| key.rsplit_once('/').map(|(partition, _)| partition.to_owned());
        let is_older = |key: &&String| listed.iter().any(|later| partition(later) == partition(key) && later > *key);
        let omitted = staged.iter().filter(|key| !listed.contains(key)).filter(is_older);
        missing.chain(omitted.map(|key| format!("{name} loads a later file than {key}, but not {key}"))).collect()
    }
}

/// The fake warehouse, with a check of each submission.
#[async_trait]
impl Warehouse for Fakes {
    fn engine<'a>(&'a self, connection: &'a Connection) -> Box<dyn Engine + 'a> {
        Box::new(FakeEngine { fakes: self, engine: self.warehouse.engine(connection) })
    }
    async fn submit(&self, submission: &Submission) -> Result<String> {
        if self.faults.occurs(60) {
            self.warehouse.end_sessions();
        }
        if self.active_statements.lock().unwrap().is_some_and(|most| self.warehouse.running().len() >= most) {
            return Err(Failure::new(FailureKind::ActiveStatementsExceeded, "the simulated warehouse is full"));
        }
        self.check_submission(&submission.attempt);
        self.warehouse.submit(submission).await
    }
    async fn report(&self, id: &str, attempt: &Attempt) -> Result<EngineReport> {
        self.warehouse.report(id, attempt).await
    }
    async fn rows(
        &self,
        sql: &str,
        connection: &Connection,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Vec<Row>> {
        self.warehouse.rows(sql, connection, parameters).await
    }
}

/// The engine of the fake warehouse. Counts the calls, and cannot return the outcomes of the jobs in `unreadable`. Its
/// statements can end while a function waits for them.
struct FakeEngine<'a> {
    fakes: &'a Fakes,
    engine: Box<dyn Engine + 'a>,
}

impl FakeEngine<'_> {
    fn count(&self, method: &'static str) {
        *self.fakes.engine_calls.lock().unwrap().entry(method).or_default() += 1;
    }
}

#[async_trait]
impl Engine for FakeEngine<'_> {
    async fn find(&self, attempt: &Attempt) -> Result<Option<AttemptState>> {
        self.count("find");
        self.engine.find(attempt).await
    }
    async fn outcome(&self, id: &str, attempt: &Attempt, patience: Duration) -> Result<Option<AttemptState>> {
        self.count("outcome");
        if self.fakes.unreadable.lock().unwrap().contains(&attempt.job) {
            return Err(Failure::new(FailureKind::Unavailable, "the simulation cannot read the outcome"));
        }
        // Only parts that other parts follow are short: the state machine ends the others.
        if !patience.is_zero() && !attempt.is_last_part() {
            if self.fakes.faults.random_below(4) > 0 {
                self.fakes.end_statement(attempt, None);
            } else {
                self.fakes.clock.pass(jiff::SignedDuration::try_from(patience).unwrap());
            }
        }
        self.engine.outcome(id, attempt, patience).await
    }
    async fn active(&self, run: &str) -> Result<Vec<AttemptState>> {
        self.count("active");
        self.engine.active(run).await
    }
    async fn listed(&self, run: &str, attempts: &BTreeSet<Attempt>) -> Result<BTreeMap<Attempt, Listed>> {
        self.count("listed");
        self.engine.listed(run, attempts).await
    }
    async fn cancel(&self, id: &str) -> Result<()> {
        self.count("cancel");
        self.engine.cancel(id).await
    }
}
