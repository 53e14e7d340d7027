//! Kills, lost answers, refusals, pushes and loads between any two calls: every field that waits ends in a column, once, and
//! everybody was told.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::{Future, pending},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures::FutureExt as _;
use proptest::prelude::*;
use serde_json::{Value, json};
use shiftwork_change_data::contract::{Column, TableContract, evolves, read};
use shiftwork_ports::{
    AttemptState, Engine, Notices, Progress, Result, Row, Submission, Warehouse,
    documents::{Changed, Documents, Draft, Only, Page, Stored},
    fake::{ManualClock, MemoryConfiguration, MemoryDocuments, MemoryNotices, MemoryWarehouse, Outcome},
};
use shiftwork_protocol::{
    Attempt, Connection, Failure, FailureKind,
    drift::{DriftAnswer, DriftRequest, MigrationProgress, mark},
    event::{DriftFound, Event, FilesLate},
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

/// What can still go wrong, and the dice.
struct Faults {
    dice: Mutex<fastrand::Rng>,
    left: Mutex<u32>,
}

impl Faults {
    fn below(&self, n: usize) -> usize {
        lock(&self.dice).usize(0..n)
    }

    async fn around<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let strikes = *lock(&self.left) > 0 && self.below(8) == 0;
        if !strikes {
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
                Err(Failure::new(FailureKind::Unavailable, "no answer came"))
            }
        }
    }
}

/// Redshift, S3 and everybody around the watcher.
struct World {
    faults: Faults,
    contracts: MemoryDocuments,
    staging: MemoryDocuments,
    warehouse: MemoryWarehouse,
    notices: MemoryNotices,
    /// What waits in the table: a row's fields.
    waiting: Mutex<Vec<BTreeMap<String, Value>>>,
    /// What the staged files hold.
    files: Mutex<BTreeMap<String, Vec<BTreeMap<String, Value>>>>,
    /// Statements that were carried out.
    carried_out: Mutex<Vec<String>>,
    /// Every contract that ever was, in order.
    versions: Mutex<Vec<TableContract>>,
    questions: Mutex<u32>,
    /// Events of statements that ended, under way.
    events: Mutex<Vec<Value>>,
    /// Whether Redshift takes its time.
    slow: Mutex<bool>,
    /// Whether nothing ends while somebody waits for it.
    stuck: Mutex<bool>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A document as the watcher meets it.
struct Bucket {
    world: Arc<World>,
    of: fn(&World) -> &MemoryDocuments,
}

#[async_trait]
impl Documents for Bucket {
    async fn read(&self, key: &str) -> Result<Option<Stored>> {
        self.world.faults.around((self.of)(&self.world).read(key)).await
    }
    async fn write(&self, key: &str, draft: &Draft, only: &Only) -> Result<Changed> {
        let write = async {
            let changed = (self.of)(&self.world).write(key, draft, only).await?;
            if changed == Changed::Done && key == KEY {
                self.world.inspect(std::str::from_utf8(&draft.bytes).unwrap());
            }
            Ok(changed)
        };
        self.world.faults.around(write).await
    }
    async fn delete(&self, key: &str, etag: &str) -> Result<Changed> {
        self.world.faults.around((self.of)(&self.world).delete(key, etag)).await
    }
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page> {
        self.world.faults.around((self.of)(&self.world).list(prefix, after)).await
    }
}

/// The others as it meets them.
struct FaultyPorts(Arc<World>);

#[async_trait]
impl Warehouse for FaultyPorts {
    fn engine<'a>(&'a self, connection: &'a Connection) -> Box<dyn Engine + 'a> {
        Box::new(FaultyEngine { world: &self.0, inner: self.0.warehouse.engine(connection) })
    }
    async fn submit(&self, submission: &Submission) -> Result<String> {
        self.0.faults.around(self.0.warehouse.submit(submission)).await
    }
    async fn copied(&self, id: &str, attempt: &Attempt) -> Result<Option<i64>> {
        self.0.warehouse.copied(id, attempt).await
    }
    async fn rows(&self, _: &str, _: &Connection, _: &BTreeMap<String, String>) -> Result<Vec<Row>> {
        let answer = async {
            *lock(&self.0.questions) += 1;
            Ok(sql::tests::rows(&self.0.evidence()))
        };
        self.0.faults.around(answer).await
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
    async fn outcome(&self, id: &str, attempt: &Attempt, patience: Duration) -> Result<Option<AttemptState>> {
        let outcome = async {
            if !*lock(&self.world.stuck) && (!*lock(&self.world.slow) || self.world.faults.below(3) > 0) {
                self.world.end_statements();
            }
            self.inner.outcome(id, attempt, patience).await
        };
        self.world.faults.around(outcome).await
    }
    async fn active(&self, run: &str) -> Result<Vec<AttemptState>> {
        self.inner.active(run).await
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
    fn new(seed: u64, troubles: u32, unknown: &str) -> Arc<Self> {
        let faults = Faults { dice: Mutex::new(fastrand::Rng::with_seed(seed)), left: Mutex::new(troubles) };
        let world = Self {
            faults,
            contracts: MemoryDocuments::default(),
            staging: MemoryDocuments::default(),
            warehouse: MemoryWarehouse::default(),
            notices: MemoryNotices::default(),
            waiting: Mutex::default(),
            files: Mutex::default(),
            carried_out: Mutex::default(),
            versions: Mutex::default(),
            questions: Mutex::default(),
            events: Mutex::default(),
            slow: Mutex::new(true),
            stuck: Mutex::default(),
        };
        let text = format!("{CONTRACT}unknown: {unknown}\n");
        world.contracts.put(KEY, text.clone());
        world.inspect(&text);
        Arc::new(world)
    }

    fn watcher(self: &Arc<Self>) -> Watcher {
        let ports = Arc::new(FaultyPorts(self.clone()));
        Watcher {
            contracts: Arc::new(Bucket { world: self.clone(), of: |world| &world.contracts }),
            staging: Arc::new(Bucket { world: self.clone(), of: |world| &world.staging }),
            configuration: Arc::new(MemoryConfiguration::default()),
            warehouse: ports.clone(),
            notices: ports,
            clock: Arc::new(ManualClock::default()),
            default_connection: Connection::default(),
            patience: Duration::ZERO,
        }
    }

    fn contract(&self) -> TableContract {
        lock(&self.versions).last().unwrap().clone()
    }

    /// A contract was written: it may be what the one before it could become, and its columns are in the tables.
    fn inspect(&self, text: &str) {
        let contract = read(KEY, text).unwrap();
        let mut versions = lock(&self.versions);
        if let Some(before) = versions.last() {
            assert!(evolves(before, &contract).is_empty(), "{before:?}\n{contract:?}");
            let done = lock(&self.carried_out).join("\n");
            for column in &contract.columns()[before.columns().len()..] {
                assert!(
                    done.contains(&column.name) || column.name.starts_with("pushed"),
                    "{} came before its column",
                    column.name
                );
            }
        }
        versions.push(contract);
    }

    /// What a query finds: fields with values that wait.
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

    /// The loader stages a file, and then its mark.
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
            self.staging.put(&mark("orders"), key.clone());
        }
        lock(&self.files).insert(key, vec![row]);
    }

    /// A load takes the first file.
    fn load(&self) {
        let Some((key, rows)) = lock(&self.files).pop_first() else { return };
        lock(&self.waiting).extend(rows);
        let stored = self.staging.read(&key).now_or_never().unwrap().unwrap().unwrap();
        self.staging.delete(&key, &stored.etag).now_or_never().unwrap().unwrap();
    }

    /// Somebody appends a column of his own and pushes.
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

    /// Redshift ends what it is at.
    fn end_statements(&self) {
        for (submission, progress) in self.warehouse.all() {
            if progress != Progress::Active {
                continue;
            }
            let mut done = lock(&self.carried_out);
            let outcome = match submission.sqls.as_slice() {
                [sql] if sql.contains(" ADD COLUMN ") && done.contains(sql) => {
                    Outcome::Failed("ERROR: column \"x\" of relation \"orders\" already exists".into())
                }
                _ if self.faults.below(6) == 0 => {
                    Outcome::Failed("ERROR: 1023 Serializable isolation violation on table".into())
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
            // Best effort, says Redshift.
            if self.faults.below(8) > 0 || *lock(&self.faults.left) == 0 {
                let name = submission.attempt.to_string();
                lock(&self.events).push(json!({ "detail": { "statementName": name } }));
            }
        }
    }
}

/// Delivers an event, perhaps twice.
fn deliver(world: &World, watcher: &Watcher) {
    let Some(event) = lock(&world.events).pop() else { return };
    for _ in 0..=world.faults.below(2) {
        drop(watcher.handle(&event).now_or_never());
    }
}

/// Asks once; `None` where whoever was asked died.
fn ask(watcher: &Watcher, request: &DriftRequest) -> Option<Result<DriftAnswer>> {
    watcher.answer(request).now_or_never()
}

/// Looks, and applies what is shown, until there is nothing left; as a person at a terminal would.
fn insist(watcher: &Watcher) {
    for _ in 0..1_000 {
        let look = DriftRequest::Look { contract: "orders".into(), only: Vec::new() };
        let Some(Ok(answer)) = ask(watcher, &look) else { continue };
        let drift = &answer.contracts[0];
        match &drift.migration {
            None if drift.progress == MigrationProgress::Waiting => return,
            None => {}
            Some(migration) => {
                let apply = DriftRequest::Apply {
                    contract: "orders".into(),
                    only: Vec::new(),
                    migration: migration.id.clone(),
                };
                drop(ask(watcher, &apply));
            }
        }
    }
    panic!("it never came to an end");
}

fn watch(watcher: &Watcher) -> Option<Result<DriftAnswer>> {
    ask(watcher, &DriftRequest::Watch { scheduled: true })
}

/// Every field has one column, what could move has moved, and everybody knows.
fn check(world: &World) {
    let contract = world.contract();
    let fields: BTreeSet<&str> = contract.columns().iter().map(Column::field).collect();
    assert_eq!(fields.len(), contract.columns().len(), "{contract:?}");
    let left = world.evidence();
    assert!(left.is_empty(), "waits: {left:?} in {:?}", contract.columns());
    let told: BTreeSet<String> =
        world.notices.drifts().into_iter().flat_map(|found| found.findings).map(|finding| finding.field).collect();
    for column in &contract.columns()[2..] {
        assert!(
            told.contains(column.field()) || column.name.starts_with("pushed"),
            "nobody was told of {}",
            column.name
        );
    }
    let names: BTreeSet<_> = world.warehouse.all().into_iter().map(|(submission, _)| submission.attempt).collect();
    assert_eq!(names.len(), world.warehouse.all().len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_field_ends_in_a_column(seed: u64, troubles in 0..40_u32, evolves: bool, steps in 5..60_usize) {
        let world = World::new(seed, troubles, if evolves { "evolve" } else { "capture" });
        let watcher = world.watcher();
        for n in 0..steps {
            match world.faults.below(12) {
                0..4 => world.stage(n),
                4..6 => world.load(),
                6 => world.push(n),
                7 => world.end_statements(),
                8 => deliver(&world, &watcher),
                _ => drop(watch(&watcher)),
            }
        }
        // The faults end, Redshift answers, and the schedule goes on.
        *lock(&world.faults.left) = 0;
        *lock(&world.slow) = false;
        while !lock(&world.files).is_empty() {
            world.load();
        }
        let marked = || world.staging.files().keys().any(|key| key.starts_with("drift/"));
        for _ in 0..50 {
            drop(watch(&watcher));
        }
        prop_assert!(!marked(), "a mark stays for ever");
        if !evolves {
            insist(&watcher);
        }
        check(&world);
        // Between two runs nothing costs: Redshift is left alone.
        let questions = *lock(&world.questions);
        watch(&watcher).unwrap().unwrap();
        prop_assert_eq!(*lock(&world.questions), questions);
    }

    /// Without faults, people hear of each thing once, however often the watcher looks.
    #[test]
    fn a_inner_watch_tells_once(seed: u64, steps in 5..40_usize) {
        let world = World::new(seed, 0, "capture");
        let watcher = world.watcher();
        for n in 0..steps {
            match world.faults.below(3) {
                0 => world.stage(n),
                1 => world.load(),
                _ => drop(watch(&watcher)),
            }
        }
        let told: Vec<_> = world.notices.drifts().into_iter().flat_map(|found| found.findings).collect();
        let once: BTreeSet<_> = told.iter().map(crate::state::identity).collect();
        prop_assert_eq!(once.len(), told.len(), "{:?}", told);
    }
}

#[test]
fn a_person_applies_what_was_shown_and_nothing_else() {
    let world = World::new(7, 0, "capture");
    *lock(&world.slow) = false;
    let watcher = world.watcher();
    lock(&world.waiting).push(BTreeMap::from([("colour".into(), json!("red")), ("size".into(), json!(1))]));
    let look = |only: &[&str]| DriftRequest::Look {
        contract: "orders".into(),
        only: only.iter().map(|field| (*field).to_owned()).collect(),
    };
    let shown = ask(&watcher, &look(&["size"])).unwrap().unwrap().contracts.remove(0);
    let id = shown.migration.unwrap().id;
    let apply = |only: &str, migration: &str| DriftRequest::Apply {
        contract: "orders".into(),
        only: vec![only.into()],
        migration: migration.into(),
    };
    let refused = ask(&watcher, &apply("colour", &id)).unwrap().unwrap_err();
    assert_eq!(refused.kind, FailureKind::InvalidRequest);
    assert!(refused.message.contains("look again"), "{refused}");
    for _ in 0..2 {
        let done = ask(&watcher, &apply("size", &id)).unwrap().unwrap().contracts.remove(0);
        assert_eq!(done.progress, MigrationProgress::Done, "asked again, it is done already");
        assert_eq!(done.findings.len(), 1);
    }
    assert_eq!(world.contract().columns().len(), 3);
    let mistyped = ask(&watcher, &look(&["color"])).unwrap().unwrap_err();
    assert!(mistyped.message.contains("did you mean `colour`?"), "{mistyped}");
    let unknown = DriftRequest::Look { contract: "order".into(), only: Vec::new() };
    let unknown = ask(&watcher, &unknown).unwrap().unwrap_err();
    assert!(unknown.message.contains("did you mean `orders`?"), "{unknown}");
}

/// A lock may be held for longer than anybody waits: the end of each statement brings the next one.
#[test]
fn a_migration_that_takes_long_is_finished_by_its_events() {
    let world = World::new(7, 0, "capture");
    *lock(&world.slow) = true;
    let watcher = world.watcher();
    lock(&world.waiting).push(BTreeMap::from([("colour".into(), json!("red")), ("size".into(), json!(1))]));
    *lock(&world.stuck) = true;
    let look = DriftRequest::Look { contract: "orders".into(), only: Vec::new() };
    let id = ask(&watcher, &look).unwrap().unwrap().contracts[0].migration.clone().unwrap().id;
    let apply = DriftRequest::Apply { contract: "orders".into(), only: Vec::new(), migration: id };
    let begun = ask(&watcher, &apply).unwrap().unwrap();
    assert_eq!(begun.contracts[0].progress, MigrationProgress::Running);
    for _ in 0..50 {
        world.end_statements();
        deliver(&world, &watcher);
    }
    assert_eq!(world.contract().columns().len(), 4, "nobody came back to it");
    assert!(world.evidence().is_empty());
}

#[test]
fn evolve_does_not_follow_a_source_that_writes_data_into_its_keys() {
    let world = World::new(7, 0, "evolve");
    let watcher = world.watcher();
    let row = |n: usize| BTreeMap::from([(format!("customer {n}"), json!(n))]);
    lock(&world.waiting).extend((0..60).map(row));
    world.staging.put(&mark("orders"), "one");
    let answer = watch(&watcher).unwrap().unwrap();
    assert_eq!(answer.contracts[0].findings.len(), 60);
    assert_eq!(world.contract().columns().len(), 2);
    assert!(world.warehouse.all().is_empty());
}
