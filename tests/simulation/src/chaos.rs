use std::{
    collections::BTreeMap,
    future::{Future, pending},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use futures::FutureExt as _;
use shiftwork_ports::{
    Bucket, Engine, Ledger as _, Result, Row, Submission, Warehouse,
    fake::{
        Gate, Gated, MemoryBucket, MemoryConfiguration, MemoryExecutions, MemoryLedger, MemoryNotices, MemoryObjects,
        MemoryRegister, MemoryRequests, MemorySweeps, MemoryTokens, MemoryWarehouse,
    },
};
use shiftwork_protocol::{Attempt, Connection, Failure, FailureKind, Manifest, Work, manifest_key};

/// How much can still go wrong, and the dice.
pub(crate) struct Luck {
    dice: Mutex<fastrand::Rng>,
    left: Mutex<u32>,
}

/// What happens to one call.
enum Fate {
    Well,
    KilledBefore,
    KilledAfter,
    RefusedBefore,
    AnswerLost,
}

impl Luck {
    pub(crate) fn new(seed: u64, troubles: u32) -> Self {
        Self { dice: Mutex::new(fastrand::Rng::with_seed(seed)), left: Mutex::new(troubles) }
    }

    pub(crate) fn below(&self, n: usize) -> usize {
        self.dice.lock().unwrap().usize(0..n)
    }

    /// True with a chance of one in `n`, while there is trouble left.
    pub(crate) fn strikes(&self, n: usize) -> bool {
        let mut left = self.left.lock().unwrap();
        let strikes = *left > 0 && self.below(n) == 0;
        *left -= u32::from(strikes);
        strikes
    }

    fn fate(&self) -> Fate {
        if !self.strikes(12) {
            return Fate::Well;
        }
        match self.below(4) {
            0 => Fate::KilledBefore,
            1 => Fate::KilledAfter,
            2 => Fate::RefusedBefore,
            _ => Fate::AnswerLost,
        }
    }

    /// A port as the functions meet it: a call may kill its caller, before or after it is made, fail, or lose its result.
    pub(crate) fn over<P>(self: &Arc<Self>, port: &Arc<P>) -> Arc<Gated<Arc<P>, Arc<Self>>> {
        Arc::new(Gated { port: port.clone(), gate: self.clone() })
    }
}

impl Gate for Luck {
    async fn pass<T: Send>(&self, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        match self.fate() {
            Fate::Well => call.await,
            Fate::KilledBefore => pending().await,
            Fate::KilledAfter => {
                drop(call.await);
                pending().await
            }
            Fate::RefusedBefore => Err(Failure::new(FailureKind::Throttled, "slow down")),
            Fate::AnswerLost => {
                drop(call.await);
                Err(Failure::new(FailureKind::Unavailable, "no answer came"))
            }
        }
    }
}

/// The collaborators, without bad luck: what the state machine and the test look at.
pub(crate) struct Calm {
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
    /// What was wrong at the moment of a submission.
    pub(crate) offences: Mutex<Vec<String>>,
    /// How often each attempt was handed over, the Data API's own deduplication aside.
    pub(crate) handed_over: Mutex<BTreeMap<String, u32>>,
}

impl Default for Calm {
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
            offences: Mutex::default(),
            handed_over: Mutex::default(),
        }
    }
}

impl Calm {
    /// At the moment of a submission, everything before the job has ended and nothing else of the job runs.
    fn inspect(&self, name: &Attempt) {
        *self.handed_over.lock().unwrap().entry(name.to_string()).or_default() += 1;
        let mut offences = self.offences.lock().unwrap();
        let jobs = self.ledger.jobs(&name.run).now_or_never().unwrap().unwrap();
        let job = jobs.iter().find(|job| job.plan.job_name == name.job).unwrap();
        for upstream in jobs.iter().filter(|other| job.plan.upstreams.contains(&other.plan.job_name)) {
            if !upstream.execution_status.is_terminal() {
                offences.push(format!(
                    "{name} was submitted while {} is {}",
                    upstream.plan.job_name, upstream.execution_status
                ));
            }
        }
        for other in self.warehouse.running() {
            if other.run == name.run && other.job == name.job && other != *name {
                offences.push(format!("{name} was submitted while {other} runs"));
            }
        }
        // Only staged change data has an order that a load must keep.
        if matches!(job.plan.work, Work::Cdc { .. }) {
            offences.extend(self.passed_by(name));
        }
    }

    /// Files of a load that are not there, and files that its watermark would pass although they were not loaded.
    fn passed_by(&self, name: &Attempt) -> Vec<String> {
        let get = |key: &str| self.staging.get(key).now_or_never().unwrap().unwrap();
        let manifest = get(&manifest_key(name)).unwrap_or_default();
        let taken = serde_json::from_slice::<Manifest>(&manifest).unwrap().keys();
        let there = self.staging.list("staged/").now_or_never().unwrap().unwrap();
        let there: Vec<_> = there.into_iter().map(|object| object.key).collect();
        let gone =
            taken.iter().filter(|key| !there.contains(key)).map(|key| format!("{name} loads {key}, which is gone"));
        // Keys of a partition sort as its offsets do.
        let partition = |key: &str| key.rsplit_once('/').map(|(partition, _)| partition.to_owned());
        let is_behind = |key: &&String| taken.iter().any(|later| partition(later) == partition(key) && later > *key);
        let passed = there.iter().filter(|key| !taken.contains(key)).filter(is_behind);
        gone.chain(passed.map(|key| format!("{name} passes {key} by"))).collect()
    }
}

/// The warehouse, which inspects what is submitted.
#[async_trait]
impl Warehouse for Calm {
    fn engine<'a>(&'a self, connection: &'a Connection) -> Box<dyn Engine + 'a> {
        self.warehouse.engine(connection)
    }
    async fn submit(&self, submission: &Submission) -> Result<String> {
        self.inspect(&submission.attempt);
        self.warehouse.submit(submission).await
    }
    async fn copied(&self, id: &str, attempt: &Attempt) -> Result<Option<i64>> {
        self.warehouse.copied(id, attempt).await
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
