//! Simulates stopped invocations, lost responses, failed calls, pushes and loads between any two calls: every field without a column
//! ends in a column, once, and is reported.

mod cases;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::{Future, pending},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures::FutureExt as _;
use serde_json::{Value, json};
use shiftwork_change_data::contract::{Column, TableContract, evolves, read};
use shiftwork_ports::{
    AttemptState, Bucket, Changed, Condition, Engine, EngineReport, Listed, NewObject, Notices, ObjectHead, Objects,
    OpenObject, Page, Progress, Result, Row, Submission, Version, Warehouse,
    fake::{ManualClock, MemoryBucket, MemoryConfiguration, MemoryNotices, MemoryObjects, MemoryWarehouse, Outcome},
};
use shiftwork_protocol::{
    Attempt, Connection, Failure, FailureKind,
    event::{DriftFound, Event, FilesLate},
    keys::drift_mark_key,
};

use crate::{Watcher, decide::WaitingField, infer::Shape, sql};

const CONTRACT: &str = "\
contract: orders
source: { format: debezium, table: public.orders }
target: { schema: shop, table: orders }
key: [id]
columns:
  - { name: id, type: bigint }
  - { name: note, type: varchar(64) }   # free text
";
const KEY: &str = "contracts/orders.yaml";
const FIELDS: [&str; 5] = ["note", "colour", "weight", "Colour", "tags"];

/// Injects faults into calls, at random.
struct Faults {
    random: Mutex<fastrand::Rng>,
    /// Number of faults that may still be injected.
    left: Mutex<u32>,
}

impl Faults {
    fn below(&self, n: usize) -> usize {
        lock(&self.random).usize(0..n)
    }

    /// Awaits `call`, or injects a fault: the invocation stops before or after the call, the call fails, or its response is lost.
    async fn around<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let fails = *lock(&self.left) > 0 && self.below(8) == 0;
        if !fails {
            return call.await;
        }
        *lock(&self.left) -= 1;
        match self.below(4) {
            0 => pending().await,
            1 => {
                drop(call.await);
                pending().await
            }
            2 => Err(Failure::new(FailureKind::Throttled, "slow down")),
            _ => {
                drop(call.await);
                Err(Failure::new(FailureKind::Unavailable, "the response was lost"))
            }
        }
    }
}

/// The simulated environment of the watcher: Redshift, S3, the loader and users.
struct World {
    faults: Faults,
    objects: Arc<MemoryObjects>,
    contracts: MemoryBucket,
    staging: MemoryBucket,
    warehouse: MemoryWarehouse,
    notices: MemoryNotices,
    /// The fields in `dw_md_missing_data` of each row of the table.
    waiting: Mutex<Vec<BTreeMap<String, Value>>>,
    /// The fields without a column in the rows of each staged file, by its key.
    files: Mutex<BTreeMap<String, Vec<BTreeMap<String, Value>>>>,
    /// Statements that succeeded.
    succeeded: Mutex<Vec<String>>,
    /// All versions of the contract, in order.
    versions: Mutex<Vec<TableContract>>,
    /// Number of queries.
    queries: Mutex<u32>,
    /// Events of statements that ended, not delivered yet.
    events: Mutex<Vec<Value>>,
    /// Whether statements may still run when the watcher stops waiting.
    slow: Mutex<bool>,
    /// Whether no statement ends while an invocation waits for it.
    stuck: Mutex<bool>,
    /// Whether the columns of the tables are sort or distribution keys, which Redshift neither widens nor drops.
    keyed: Mutex<bool>,
    /// The rows of the query for values that columns of chosen types do not take.
    misfits: Mutex<Vec<Row>>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The ports of the watcher, with injected faults.
struct FaultyPorts(Arc<World>);

#[async_trait]
impl Objects for FaultyPorts {
    async fn open(&self, bucket: &str, key: &str, version: Option<&Version>) -> Result<Option<OpenObject>> {
        self.0.faults.around(self.0.objects.open(bucket, key, version)).await
    }
    async fn head(&self, bucket: &str, key: &str) -> Result<Option<ObjectHead>> {
        self.0.faults.around(self.0.objects.head(bucket, key)).await
    }
    async fn tail(&self, bucket: &str, key: &str, bytes: u64) -> Result<Option<Vec<u8>>> {
        self.0.faults.around(self.0.objects.tail(bucket, key, bytes)).await
    }
    async fn put(&self, bucket: &str, key: &str, object: NewObject, condition: &Condition) -> Result<Changed> {
        let put = async {
            let text = String::from_utf8(object.bytes.clone()).unwrap();
            let changed = self.0.objects.put(bucket, key, object, condition).await?;
            if changed == Changed::Done && key == KEY {
                self.0.inspect(&text);
            }
            Ok(changed)
        };
        self.0.faults.around(put).await
    }
    async fn delete(&self, bucket: &str, key: &str, etag: &str) -> Result<Changed> {
        self.0.faults.around(self.0.objects.delete(bucket, key, etag)).await
    }
    async fn delete_all(&self, bucket: &str, keys: &[String]) -> Result<()> {
        self.0.faults.around(self.0.objects.delete_all(bucket, keys)).await
    }
    async fn list(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Result<Page> {
        self.0.faults.around(self.0.objects.list(bucket, prefix, after)).await
    }
}

#[async_trait]
impl Warehouse for FaultyPorts {
    fn engine<'a>(&'a self, connection: &'a Connection) -> Box<dyn Engine + 'a> {
        Box::new(FaultyEngine { world: &self.0, inner: self.0.warehouse.engine(connection) })
    }
    async fn submit(&self, submission: &Submission) -> Result<String> {
        self.0.faults.around(self.0.warehouse.submit(submission)).await
    }
    async fn report(&self, id: &str, attempt: &Attempt) -> Result<EngineReport> {
        self.0.warehouse.report(id, attempt).await
    }
    async fn rows(&self, sql: &str, _: &Connection, _: &BTreeMap<String, String>) -> Result<Vec<Row>> {
        let rows = async {
            if sql.starts_with("ALTER TABLE ") {
                *lock(&self.0.keyed) = !sql.ends_with(" SORTKEY NONE") && *lock(&self.0.keyed);
                lock(&self.0.succeeded).push(sql.to_owned());
                return Ok(Vec::new());
            }
            if sql.contains(" AS misfits") {
                return Ok(lock(&self.0.misfits).clone());
            }
            *lock(&self.0.queries) += 1;
            Ok(sql::tests::rows(&self.0.evidence()))
        };
        self.0.faults.around(rows).await
    }
}

struct FaultyEngine<'a> {
    world: &'a World,
    inner: Box<dyn Engine + 'a>,
}

#[async_trait]
impl Engine for FaultyEngine<'_> {
    async fn find(&self, attempt: &Attempt) -> Result<Option<AttemptState>> {
        self.world.faults.around(self.inner.find(attempt)).await
    }
    async fn outcome(&self, id: &str, attempt: &Attempt, timeout: Duration) -> Result<Option<AttemptState>> {
        let outcome = async {
            if !*lock(&self.world.stuck) && (!*lock(&self.world.slow) || self.world.faults.below(3) > 0) {
                self.world.end_statements();
            }
            self.inner.outcome(id, attempt, timeout).await
        };
        self.world.faults.around(outcome).await
    }
    async fn active(&self, run: &str) -> Result<Vec<AttemptState>> {
        self.inner.active(run).await
    }
    async fn listed(&self, run: &str, attempts: &BTreeSet<Attempt>) -> Result<BTreeMap<Attempt, Listed>> {
        self.inner.listed(run, attempts).await
    }
    async fn cancel(&self, id: &str) -> Result<()> {
        self.inner.cancel(id).await
    }
}

#[async_trait]
impl Notices for FaultyPorts {
    async fn publish(&self, events: &[Event]) -> Result<()> {
        self.0.faults.around(self.0.notices.publish(events)).await
    }
    async fn alert(&self, run: &shiftwork_protocol::RunRecord) -> Result<()> {
        self.0.notices.alert(run).await
    }
    async fn late(&self, late: &FilesLate) -> Result<()> {
        self.0.notices.late(late).await
    }
    async fn drift(&self, found: &DriftFound) -> Result<()> {
        self.0.faults.around(self.0.notices.drift(found)).await
    }
}

impl World {
    fn new(seed: u64, faults: u32, unknown: &str) -> Arc<Self> {
        let faults = Faults { random: Mutex::new(fastrand::Rng::with_seed(seed)), left: Mutex::new(faults) };
        let objects = Arc::<MemoryObjects>::default();
        let world = Self {
            faults,
            contracts: MemoryBucket::of(objects.clone(), "scripts"),
            staging: MemoryBucket::of(objects.clone(), "staging"),
            objects,
            warehouse: MemoryWarehouse::default(),
            notices: MemoryNotices::default(),
            waiting: Mutex::default(),
            files: Mutex::default(),
            succeeded: Mutex::default(),
            versions: Mutex::default(),
            queries: Mutex::default(),
            events: Mutex::default(),
            slow: Mutex::new(true),
            stuck: Mutex::default(),
            keyed: Mutex::default(),
            misfits: Mutex::default(),
        };
        let text = format!("{CONTRACT}unknown: {unknown}\n");
        world.contracts.put(KEY, text.clone());
        world.inspect(&text);
        Arc::new(world)
    }

    fn watcher(self: &Arc<Self>) -> Watcher {
        let ports = Arc::new(FaultyPorts(self.clone()));
        Watcher {
            contracts: Bucket::new(ports.clone(), "scripts"),
            staging: Bucket::new(ports.clone(), "staging"),
            configuration: Arc::new(MemoryConfiguration::default()),
            warehouse: ports.clone(),
            notices: ports,
            clock: Arc::new(ManualClock::default()),
            default_connection: Connection::default(),
            statement_timeout: Duration::ZERO,
        }
    }

    fn contract(&self) -> TableContract {
        lock(&self.versions).last().unwrap().clone()
    }

    /// Checks a contract that was written: it is a valid successor of the one before, and the tables have its columns.
    fn inspect(&self, text: &str) {
        let contract = read(KEY, text).unwrap();
        let mut versions = lock(&self.versions);
        if let Some(before) = versions.last() {
            assert!(evolves(before, &contract).is_empty(), "{before:?}\n{contract:?}");
            let done = lock(&self.succeeded).join("\n");
            for column in &contract.columns()[before.columns().len()..] {
                assert!(
                    done.contains(&column.name) || column.name.starts_with("pushed"),
                    "column {} was added to the contract before the table",
                    column.name
                );
            }
        }
        versions.push(contract);
    }

    /// The fields that the drift report returns.
    fn evidence(&self) -> Vec<WaitingField> {
        let mut found: BTreeMap<String, WaitingField> = BTreeMap::new();
        for (field, value) in lock(&self.waiting).iter().flatten() {
            let empty = WaitingField { field: field.clone(), rows: 0, since: None, shape: Shape::default() };
            let evidence = found.entry(field.clone()).or_insert(empty);
            evidence.rows += 1;
            evidence.shape = evidence.shape.with(Shape::of(value));
        }
        found.into_values().collect()
    }

    /// Stages a file and writes its mark, as cdc-loader does.
    fn stage(&self, n: usize) {
        let columns = self.contract().columns().to_vec();
        let mut row = BTreeMap::new();
        for field in FIELDS.iter().take(1 + self.faults.below(FIELDS.len())) {
            let value = match *field {
                "weight" => json!(self.faults.below(1_000)),
                "tags" => json!(["a"]),
                _ => json!("x".repeat(1 + self.faults.below(100))),
            };
            let fits = |column: &Column| column.field() == *field && Shape::of(&value).fits(column.column_type);
            if !columns.iter().any(fits) {
                row.insert((*field).to_owned(), value);
            }
        }
        let key = format!("staged/orders/kafka%2Forders%2F0/{n:08}-{n:08}.c{}.csv.zst", columns.len());
        self.staging.put(&key, "rows");
        if !row.is_empty() {
            self.staging.put(&drift_mark_key("orders"), key.clone());
        }
        lock(&self.files).insert(key, vec![row]);
    }

    /// Loads the first staged file.
    fn load(&self) {
        let Some((key, rows)) = lock(&self.files).pop_first() else { return };
        lock(&self.waiting).extend(rows);
        self.staging.bucket().delete(&[key]).now_or_never().unwrap().unwrap();
    }

    /// Pushes the contract with another column, as a user does.
    fn push(&self, n: usize) {
        let text = String::from_utf8(self.contracts.files()[KEY].bytes.clone()).unwrap();
        let column = format!("  - {{ name: pushed_{n}, type: bigint }}\n");
        let text = match text.find("unknown:") {
            Some(at) => format!("{}{column}{}", &text[..at], &text[at..]),
            None => return,
        };
        self.contracts.put(KEY, text.clone());
        self.inspect(&text);
    }

    /// Ends all active statements.
    fn end_statements(&self) {
        for (submission, progress) in self.warehouse.all() {
            if progress != Progress::Active {
                continue;
            }
            let mut done = lock(&self.succeeded);
            let outcome = match submission.sqls.as_slice() {
                [sql] if sql.contains(" ADD COLUMN ") && done.contains(sql) => {
                    Outcome::failed("ERROR: column \"x\" of relation \"orders\" already exists")
                }
                [sql] if sql.contains(" ALTER COLUMN ") && *lock(&self.keyed) => {
                    Outcome::failed("ERROR: found unexpected dependency for column")
                }
                sqls if sqls.iter().any(|sql| sql.contains(" DROP COLUMN ")) && *lock(&self.keyed) => {
                    Outcome::failed("ERROR: cannot drop sortkey column \"note\"")
                }
                _ if self.faults.below(6) == 0 => {
                    Outcome::failed("ERROR: 1023 Serializable isolation violation on table")
                }
                sqls => {
                    done.extend_from_slice(sqls);
                    let text = sqls.join("\n");
                    for row in lock(&self.waiting).iter_mut() {
                        row.retain(|field, _| !text.contains(&format!("field = '{field}'")));
                    }
                    Outcome::Finished
                }
            };
            drop(done);
            self.warehouse.end(&submission.attempt, outcome);
            // Redshift delivers these events on a best-effort basis.
            if self.faults.below(8) > 0 || *lock(&self.faults.left) == 0 {
                let name = submission.attempt.to_string();
                lock(&self.events).push(json!({ "detail": { "statementName": name } }));
            }
        }
    }
}
