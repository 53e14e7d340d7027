//! Random streams, loaded in any order, compared with the model.

use std::collections::BTreeMap;

use fastrand::Rng;
use shiftwork_change_data::column_type::ColumnType;
use shiftwork_change_data::contract::{
    Column,
    Deletes::{self, Close, Hard, Soft},
    Format::{self, Debezium, Dynamodb},
    MergeStrategy::{self, LatestNonNull, LatestRow},
    PromoteKind::{self, Append, Type1, Type2, Type7},
    TableContract,
};
use shiftwork_promotion::Promotion;

use crate::contracts::{FIELDS, changed, contract};
use crate::model::{self, Event, Row};
use crate::stream::{partitions, source};
use crate::warehouse::{File, Warehouse};

/// The kind of a table and its settings.
type Case = (PromoteKind, MergeStrategy, Deletes, Format);

/// Loads one random stream in batches and compares the table with the model after each batch.
async fn run(warehouse: &mut Warehouse, seed: u64, case: Case, migrates: bool) {
    let (kind, take, deletes, format) = case;
    let rng = &mut Rng::with_seed(seed);
    let wide = contract(kind, take, deletes, format);
    let before = if migrates { narrow(rng, &wide) } else { wide.clone() };
    let mut contract = before.clone();
    warehouse.make(&contract).await;
    let changes = rng.usize(1..40);
    let events = source(rng, changes, format == Debezium);
    let partitions = partitions(rng, &events);
    let mut loaded = vec![0; partitions.len()];
    let mut delivered: Vec<Event> = Vec::new();
    // Whether values may be in `dw_md_missing_data` although their column exists: columns were added to the contract by hand after these
    // values, or files with a long note, were staged.
    let mut waits = false;
    let is_left = |loaded: &[usize]| loaded.iter().zip(&partitions).any(|(loaded, all)| *loaded < all.len());
    loop {
        let is_last = !is_left(&loaded);
        if contract != wide && !is_last && rng.u8(0..12) == 0 {
            warehouse.prepare(&Promotion::of(&wide)).await.unwrap();
            contract = wide.clone();
            waits = true;
        } else if (waits || contract != wide) && (is_last || rng.u8(0..6) == 0) {
            // A migration may add only some of the columns.
            let columns =
                if is_last { wide.columns().len() } else { rng.usize(contract.columns().len()..=wide.columns().len()) };
            warehouse.take_in(rng, &mut contract, &wide.columns()[..columns]).await;
            waits = false;
        }
        let mut files = Vec::new();
        for (at, records) in partitions.iter().enumerate().filter(|_| !is_last) {
            // Files that were loaded before are loaded again, and files overlap.
            let end = rng.usize(loaded[at]..=records.len());
            let mut from = rng.usize(0..=loaded[at]);
            while from < end {
                let to = rng.usize(from + 1..=end);
                let records = (from..to).map(|offset| (offset, &records[offset][..])).collect();
                // Some files were staged before the contract had all its columns.
                let by = if rng.bool() { &contract } else { &before };
                let columns = if rng.bool() { by.columns().len() } else { rng.usize(2..=by.columns().len()) };
                let note = longest_note(by);
                waits |= note < longest_note(&contract) && columns > 2;
                files.push(File { columns, note, partition: at, records });
                from = rng.usize(to.saturating_sub(1).max(from + 1)..=to);
            }
            delivered.extend(records[loaded[at]..end].iter().flatten().cloned());
            loaded[at] = end;
        }
        let load = warehouse.put(&files);
        if !files.is_empty() && rng.bool() {
            warehouse.crash(rng, &contract, &load).await;
        }
        for _ in 0..if files.is_empty() { 0 } else { rng.usize(1..=2) } {
            warehouse.load(&contract, &load).await.unwrap_or_else(|error| panic!("seed {seed}, {case:?}: {error}"));
        }
        let shown = |row: Row| seen(row, if waits { &before } else { &contract }, waits);
        let wanted = model::table(&delivered, kind, take, deletes);
        if kind == Type1 && !waits {
            let found = warehouse.fields_that_wait(&contract).await;
            assert_eq!(found, waiting(&wanted, &contract), "seed {seed}, {case:?}\nevents {delivered:#?}");
        }
        let wanted: Vec<Row> = wanted.into_iter().map(shown).collect();
        let found: Vec<Row> = warehouse.table(&contract).await.into_iter().map(shown).collect();
        assert!(
            found == wanted,
            "seed {seed}, {case:?}, {} columns\nevents {delivered:#?}\nwanted {wanted:#?}\nfound  {found:#?}",
            contract.columns().len()
        );
        if is_last {
            break;
        }
    }
}

/// An older version of a contract, with fewer columns and shorter notes.
fn narrow(rng: &mut Rng, wide: &TableContract) -> TableContract {
    changed(wide, |draft| {
        draft.columns.truncate(rng.usize(2..=wide.columns().len()));
        if let Some(note) = draft.columns.get_mut(2) {
            note.column_type = "varchar(4)".into();
        }
    })
}

fn longest_note(contract: &TableContract) -> usize {
    contract.columns().get(2).map_or(0, |note| if note.column_type == ColumnType::Varchar(4) { 4 } else { 40 })
}

/// The part of a row that fits the columns of the table. Without its note if some notes are in `dw_md_missing_data` although they fit.
fn seen(mut row: Row, contract: &TableContract, waits: bool) -> Row {
    let longest = longest_note(contract);
    row.values[0] = row.values[0].take().filter(|note| !waits && note.len() <= longest);
    for value in row.values.iter_mut().skip(contract.columns().len() - 2) {
        *value = None;
    }
    row
}

/// The fields in `dw_md_missing_data`, each with its number of rows.
fn waiting(rows: &[Row], contract: &TableContract) -> BTreeMap<String, usize> {
    let mut fields = BTreeMap::new();
    for row in rows {
        for ((value, shown), field) in row.values.iter().zip(seen(row.clone(), contract, false).values).zip(FIELDS) {
            if *value != shown {
                *fields.entry(field.to_owned()).or_default() += 1;
            }
        }
    }
    fields
}

impl Warehouse {
    /// The fields in `dw_md_missing_data`, each with its number of events, by the drift report.
    pub(crate) async fn fields_that_wait(&self, contract: &TableContract) -> BTreeMap<String, usize> {
        let report = self.texts(&Promotion::of(contract).drift_report(9)).await;
        report.into_iter().map(|row| (row[0].clone(), row[1].parse().unwrap())).collect()
    }

    /// Migrates to these columns. Some of the migrations are interrupted and run again.
    async fn take_in(&self, rng: &mut Rng, contract: &mut TableContract, columns: &[Column]) {
        let migration = Promotion::of(contract).migration(&columns[2..]).unwrap();
        assert_eq!(migration.contract.columns(), columns);
        if rng.bool() {
            for sql in &migration.before {
                self.transaction(vec![sql.clone()]).await.ok();
            }
            let mut failing = migration.transaction.clone();
            let at = rng.usize(0..failing.len());
            failing[at] = String::from("SELECT 1 / 0");
            self.transaction(failing).await.unwrap_err();
        }
        for _ in 0..rng.usize(1..=2) {
            self.migrate(&migration).await;
        }
        *contract = migration.contract;
        let left = self.fields_that_wait(contract).await;
        let has_left = left.keys().any(|field| contract.column_of_field(field).is_some());
        assert!(!has_left, "{left:?}");
    }
}

async fn streams(cases: &[Case], migrates: bool) {
    let mut warehouse = Warehouse::open().await;
    let (begun, first) = (std::time::Instant::now(), std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()));
    let mut seed: u64 = first.unwrap_or_else(|| fastrand::u64(..1 << 32));
    let seconds = std::env::var("SECONDS_OF_STREAMS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(8);
    // The time is bounded and not the number of streams, so that the test does not fail on a slow machine.
    while begun.elapsed().as_secs() < seconds {
        for case in cases {
            run(&mut warehouse, seed, *case, migrates).await;
        }
        seed += 1;
    }
    warehouse.server.drop_database().await;
}

const CURRENT: [Case; 5] = [
    (Type1, LatestRow, Hard, Dynamodb),
    (Type1, LatestRow, Hard, Debezium),
    (Type1, LatestRow, Soft, Debezium),
    (Type1, LatestNonNull, Hard, Debezium),
    (Type1, LatestNonNull, Soft, Dynamodb),
];
const HISTORY: [Case; 5] = [
    (Type2, LatestRow, Close, Debezium),
    (Type2, LatestRow, Soft, Debezium),
    (Type2, LatestRow, Hard, Debezium),
    (Type7, LatestRow, Close, Dynamodb),
    (Type7, LatestRow, Soft, Dynamodb),
];
const EVENTS: [Case; 1] = [(Append, LatestRow, Hard, Debezium)];

#[tokio::test(flavor = "multi_thread")]
async fn type_1_is_the_current_row() {
    streams(&CURRENT, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn type_2_is_the_history() {
    streams(&HISTORY, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn append_is_every_event() {
    streams(&EVENTS, false).await;
}

/// A column that is added in the middle of a stream has the same values as if it had existed from the first event.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_added_later_has_the_values_of_all_events() {
    let cases: Vec<Case> = [&CURRENT[..], &HISTORY, &EVENTS].concat();
    streams(&cases, true).await;
}
