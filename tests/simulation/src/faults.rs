use std::{
    collections::BTreeMap,
    future::{Future, pending},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use futures::FutureExt as _;
use shiftwork_ports::{
    Bucket, Engine, EngineReport, Ledger as _, Result, Row, Submission, Warehouse,
    fake::{
        Gate, Gated, MemoryBucket, MemoryConfiguration, MemoryExecutions, MemoryLedger, MemoryNotices, MemoryObjects,
        MemoryRegister, MemoryRequests, MemorySweeps, MemoryTokens, MemoryWarehouse,
    },
};
use shiftwork_protocol::{Attempt, Connection, Failure, FailureKind, Manifest, Work, manifest_key};

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
}

impl Default for Fakes {
    fn default() -> Self {
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
        }
    }
}

impl Fakes {
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
        self.warehouse.engine(connection)
    }
    async fn submit(&self, submission: &Submission) -> Result<String> {
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
