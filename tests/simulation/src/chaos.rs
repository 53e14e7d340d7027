use std::{
    collections::BTreeMap,
    future::{Future, pending},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures::FutureExt as _;
use jiff::Timestamp;
use serde_json::Value;
use shiftwork_ports::{
    Advanced, AdvancedFile, AttemptState, Begun, Bucket, Changed, Condition, Configuration, Engine, Execution,
    Executions, FileRegister, Ledger, NewObject, Notices, ObjectHead, Objects, OpenObject, Opened, Opening, Page,
    Released, Result, Row, Step, Submission, Sweeps, TaskTokens, Version, Warehouse,
    fake::{
        MemoryBucket, MemoryConfiguration, MemoryExecutions, MemoryLedger, MemoryNotices, MemoryObjects,
        MemoryRegister, MemorySweeps, MemoryTokens, MemoryWarehouse,
    },
};
use shiftwork_protocol::{
    Attempt, Connection, Failure, FailureKind, JobRecord, Lease, Manifest, RunRecord, Status, Work,
    event::{DriftFound, Event, FilesLate},
    file::{Entry, FileRecord, FileStep, KeyHistory},
    manifest_key,
    payload::{JobEnd, RunInput},
};

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

    async fn around<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
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
    pub(crate) ledger: MemoryLedger,
    pub(crate) tokens: MemoryTokens,
    pub(crate) warehouse: MemoryWarehouse,
    pub(crate) executions: MemoryExecutions,
    pub(crate) sweeps: MemorySweeps,
    pub(crate) notices: MemoryNotices,
    pub(crate) objects: Arc<MemoryObjects>,
    pub(crate) scripts: MemoryBucket,
    pub(crate) staging: Bucket,
    pub(crate) files: MemoryRegister,
    pub(crate) configuration: MemoryConfiguration,
    /// What was wrong at the moment of a submission.
    pub(crate) offences: Mutex<Vec<String>>,
    /// How often each attempt was handed over, the Data API's own deduplication aside.
    pub(crate) handed_over: Mutex<BTreeMap<String, u32>>,
}

impl Default for Calm {
    fn default() -> Self {
        let objects = Arc::new(MemoryObjects::versioned());
        Self {
            ledger: MemoryLedger::default(),
            tokens: MemoryTokens::default(),
            warehouse: MemoryWarehouse::default(),
            executions: MemoryExecutions::default(),
            sweeps: MemorySweeps::default(),
            notices: MemoryNotices::default(),
            scripts: MemoryBucket::of(objects.clone(), "scripts"),
            staging: Bucket::new(objects.clone(), "staging"),
            objects,
            files: MemoryRegister::default(),
            configuration: MemoryConfiguration::default(),
            offences: Mutex::default(),
            handed_over: Mutex::default(),
        }
    }
}

/// The same collaborators as the functions meet them.
pub(crate) struct Rough {
    pub(crate) calm: Arc<Calm>,
    pub(crate) luck: Arc<Luck>,
}

#[async_trait]
impl Ledger for Rough {
    async fn run(&self, run: &str) -> Result<Option<RunRecord>> {
        self.luck.around(self.calm.ledger.run(run)).await
    }
    async fn jobs(&self, run: &str) -> Result<Vec<JobRecord>> {
        self.luck.around(self.calm.ledger.jobs(run)).await
    }
    async fn job(&self, run: &str, job: &str) -> Result<Option<JobRecord>> {
        self.luck.around(self.calm.ledger.job(run, job)).await
    }
    async fn lease(&self, workflow: &str) -> Result<Option<Lease>> {
        self.luck.around(self.calm.ledger.lease(workflow)).await
    }
    async fn open(&self, opening: &Opening) -> Result<Opened> {
        self.luck.around(self.calm.ledger.open(opening)).await
    }
    async fn begin(&self, workflow: &str, run: &str, now: Timestamp, until: Timestamp) -> Result<Begun> {
        self.luck.around(self.calm.ledger.begin(workflow, run, now, until)).await
    }
    async fn claim(&self, run: &str, job: &str, token: &str, now: Timestamp) -> Result<JobRecord> {
        self.luck.around(self.calm.ledger.claim(run, job, token, now)).await
    }
    async fn advance(&self, at: &Attempt, step: &Step, now: Timestamp) -> Result<Advanced> {
        self.luck.around(self.calm.ledger.advance(at, step, now)).await
    }
    async fn count(&self, run: &str, job: &str, rows: i64) -> Result<JobRecord> {
        self.luck.around(self.calm.ledger.count(run, job, rows)).await
    }
    async fn free(&self, run: &str, dependent: &str, upstream: &str, succeeded: bool) -> Result<JobRecord> {
        self.luck.around(self.calm.ledger.free(run, dependent, upstream, succeeded)).await
    }
    async fn finish(
        &self,
        run: &str,
        status: Status,
        error: Option<&str>,
        now: Timestamp,
    ) -> Result<(bool, RunRecord)> {
        self.luck.around(self.calm.ledger.finish(run, status, error, now)).await
    }
    async fn release(&self, workflow: &str, run: &str, until: Timestamp) -> Result<Released> {
        self.luck.around(self.calm.ledger.release(workflow, run, until)).await
    }
}

impl Rough {
    /// At the moment of a submission, everything before the job has ended and nothing else of the job runs.
    fn inspect(&self, name: &Attempt) {
        *self.calm.handed_over.lock().unwrap().entry(name.to_string()).or_default() += 1;
        let mut offences = self.calm.offences.lock().unwrap();
        let jobs = self.calm.ledger.jobs(&name.run).now_or_never().unwrap().unwrap();
        let job = jobs.iter().find(|job| job.plan.job_name == name.job).unwrap();
        for upstream in jobs.iter().filter(|other| job.plan.upstreams.contains(&other.plan.job_name)) {
            if !upstream.execution_status.is_terminal() {
                offences.push(format!(
                    "{name} was submitted while {} is {}",
                    upstream.plan.job_name, upstream.execution_status
                ));
            }
        }
        for other in self.calm.warehouse.running() {
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
        let get = |key: &str| self.calm.staging.get(key).now_or_never().unwrap().unwrap();
        let manifest = get(&manifest_key(name)).unwrap_or_default();
        let taken = serde_json::from_slice::<Manifest>(&manifest).unwrap().keys();
        let there = self.calm.staging.list("staged/").now_or_never().unwrap().unwrap();
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

#[async_trait]
impl Warehouse for Rough {
    fn engine<'a>(&'a self, connection: &'a Connection) -> Box<dyn Engine + 'a> {
        Box::new(RoughEngine { luck: &self.luck, calm: self.calm.warehouse.engine(connection) })
    }
    async fn submit(&self, submission: &Submission) -> Result<String> {
        let call = async {
            self.inspect(&submission.attempt);
            self.calm.warehouse.submit(submission).await
        };
        self.luck.around(call).await
    }
    async fn copied(&self, id: &str, attempt: &Attempt) -> Result<Option<i64>> {
        self.luck.around(self.calm.warehouse.copied(id, attempt)).await
    }
    async fn rows(
        &self,
        sql: &str,
        connection: &Connection,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Vec<Row>> {
        self.luck.around(self.calm.warehouse.rows(sql, connection, parameters)).await
    }
}

/// An engine as the functions meet it.
struct RoughEngine<'a> {
    luck: &'a Luck,
    calm: Box<dyn Engine + 'a>,
}

#[async_trait]
impl Engine for RoughEngine<'_> {
    async fn find(&self, attempt: &Attempt) -> Result<Option<AttemptState>> {
        self.luck.around(self.calm.find(attempt)).await
    }
    async fn outcome(&self, id: &str, attempt: &Attempt, patience: Duration) -> Result<Option<AttemptState>> {
        self.luck.around(self.calm.outcome(id, attempt, patience)).await
    }
    async fn active(&self, run: &str) -> Result<Vec<AttemptState>> {
        self.luck.around(self.calm.active(run)).await
    }
    async fn cancel(&self, id: &str) -> Result<()> {
        self.luck.around(self.calm.cancel(id)).await
    }
}

#[async_trait]
impl TaskTokens for Rough {
    async fn release(&self, token: &str) -> Result<()> {
        self.luck.around(self.calm.tokens.release(token)).await
    }
    async fn end(&self, token: &str, end: &JobEnd) -> Result<()> {
        self.luck.around(self.calm.tokens.end(token, end)).await
    }
    async fn fail(&self, token: &str, failure: &Failure) -> Result<()> {
        self.luck.around(self.calm.tokens.fail(token, failure)).await
    }
    async fn proceed(&self, token: &str) -> Result<()> {
        self.luck.around(self.calm.tokens.proceed(token)).await
    }
}

#[async_trait]
impl Executions for Rough {
    async fn start(&self, input: &RunInput) -> Result<()> {
        self.luck.around(self.calm.executions.start(input)).await
    }
    async fn state(&self, run: &str) -> Result<Option<Execution>> {
        self.luck.around(self.calm.executions.state(run)).await
    }
    async fn stop(&self, run: &str, cause: &str) -> Result<()> {
        self.luck.around(self.calm.executions.stop(run, cause)).await
    }
}

#[async_trait]
impl Sweeps for Rough {
    async fn watch(&self, run: &str, now: Timestamp) -> Result<()> {
        self.luck.around(self.calm.sweeps.watch(run, now)).await
    }
    async fn unwatch(&self, run: &str) -> Result<()> {
        self.luck.around(self.calm.sweeps.unwatch(run)).await
    }
}

#[async_trait]
impl Notices for Rough {
    async fn publish(&self, events: &[Event]) -> Result<()> {
        self.luck.around(self.calm.notices.publish(events)).await
    }
    async fn alert(&self, run: &RunRecord) -> Result<()> {
        self.luck.around(self.calm.notices.alert(run)).await
    }
    async fn drift(&self, found: &DriftFound) -> Result<()> {
        self.luck.around(self.calm.notices.drift(found)).await
    }
    async fn late(&self, late: &FilesLate) -> Result<()> {
        self.luck.around(self.calm.notices.late(late)).await
    }
}

#[async_trait]
impl FileRegister for Rough {
    async fn put(&self, entry: &Entry) -> Result<bool> {
        self.luck.around(self.calm.files.put(entry)).await
    }
    async fn open(&self, feed: &str) -> Result<Vec<FileRecord>> {
        self.luck.around(self.calm.files.open(feed)).await
    }
    async fn of_key(&self, feed: &str, bucket: &str, key: &str) -> Result<KeyHistory> {
        self.luck.around(self.calm.files.of_key(feed, bucket, key)).await
    }
    async fn step(&self, seen: &FileRecord, step: &FileStep, now: Timestamp) -> Result<AdvancedFile> {
        self.luck.around(self.calm.files.step(seen, step, now)).await
    }
    async fn since(&self, feed: &str, from: Timestamp, most: usize) -> Result<Vec<FileRecord>> {
        self.luck.around(self.calm.files.since(feed, from, most)).await
    }
    async fn said(&self, feed: &str, what: &str) -> Result<bool> {
        self.luck.around(self.calm.files.said(feed, what)).await
    }
    async fn say(&self, feed: &str, what: &str, now: Timestamp) -> Result<()> {
        self.luck.around(self.calm.files.say(feed, what, now)).await
    }
}

#[async_trait]
impl Objects for Rough {
    async fn open(&self, bucket: &str, key: &str, version: Option<&Version>) -> Result<Option<OpenObject>> {
        self.luck.around(self.calm.objects.open(bucket, key, version)).await
    }
    async fn head(&self, bucket: &str, key: &str) -> Result<Option<ObjectHead>> {
        self.luck.around(self.calm.objects.head(bucket, key)).await
    }
    async fn tail(&self, bucket: &str, key: &str, bytes: u64) -> Result<Option<Vec<u8>>> {
        self.luck.around(self.calm.objects.tail(bucket, key, bytes)).await
    }
    async fn put(&self, bucket: &str, key: &str, object: NewObject, condition: &Condition) -> Result<Changed> {
        self.luck.around(self.calm.objects.put(bucket, key, object, condition)).await
    }
    async fn delete(&self, bucket: &str, key: &str, etag: &str) -> Result<Changed> {
        self.luck.around(self.calm.objects.delete(bucket, key, etag)).await
    }
    async fn delete_all(&self, bucket: &str, keys: &[String]) -> Result<()> {
        self.luck.around(self.calm.objects.delete_all(bucket, keys)).await
    }
    async fn list(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Result<Page> {
        self.luck.around(self.calm.objects.list(bucket, prefix, after)).await
    }
}

#[async_trait]
impl Configuration for Rough {
    async fn workflow(&self, workflow_id: &str) -> Result<Option<Value>> {
        self.luck.around(self.calm.configuration.workflow(workflow_id)).await
    }
    async fn connection(&self, name: &str) -> Result<Option<Connection>> {
        self.luck.around(self.calm.configuration.connection(name)).await
    }
    async fn triggered(&self) -> Result<Vec<Value>> {
        self.luck.around(self.calm.configuration.triggered()).await
    }
}
