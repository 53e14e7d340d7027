//! Properties that hold after any sequence of faults, pushes, loads and requests.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt as _;
use proptest::prelude::*;
use serde_json::json;
use shiftwork_change_data::contract::Column;
use shiftwork_ports::Result;
use shiftwork_protocol::{
    FailureKind,
    drift::{DriftRequest, DriftResponse, MigrationProgress},
    keys::drift_mark_key,
};

use super::{CONTRACT, KEY, World, lock};
use crate::Watcher;

/// Delivers an event once or twice.
fn deliver(world: &World, watcher: &Watcher) {
    let Some(event) = lock(&world.events).pop() else { return };
    for _ in 0..=world.faults.below(2) {
        drop(watcher.handle(&event).now_or_never());
    }
}

/// Sends a request once. `None` if the invocation stopped.
fn request(watcher: &Watcher, request: &DriftRequest) -> Option<Result<DriftResponse>> {
    watcher.respond(request).now_or_never()
}

/// Applies the migrations that are shown until none is left, as a user does.
fn apply_all(watcher: &Watcher) {
    for _ in 0..1_000 {
        let look = DriftRequest::Look { contract: "orders".into(), only: Vec::new(), types: BTreeMap::new() };
        let Some(Ok(response)) = request(watcher, &look) else { continue };
        let drift = &response.contracts[0];
        match &drift.migration {
            None if drift.progress == MigrationProgress::Waiting => return,
            None => {}
            Some(migration) => {
                let apply = DriftRequest::Apply {
                    contract: "orders".into(),
                    only: Vec::new(),
                    types: BTreeMap::new(),
                    migration: migration.id.clone(),
                };
                drop(request(watcher, &apply));
            }
        }
    }
    panic!("there is still a migration after 1,000 requests");
}

fn watch(watcher: &Watcher) -> Option<Result<DriftResponse>> {
    request(watcher, &DriftRequest::Watch { scheduled: true })
}

/// Checks that every field has one column, that all values were moved, and that every new column was reported.
fn check(world: &World) {
    let contract = world.contract();
    let fields: BTreeSet<&str> = contract.columns().iter().map(Column::field).collect();
    assert_eq!(fields.len(), contract.columns().len(), "{contract:?}");
    let left = world.evidence();
    assert!(left.is_empty(), "fields without a column: {left:?}; columns: {:?}", contract.columns());
    let told: BTreeSet<String> =
        world.notices.drifts().into_iter().flat_map(|found| found.findings).map(|finding| finding.field).collect();
    for column in &contract.columns()[2..] {
        assert!(
            told.contains(column.field()) || column.name.starts_with("pushed"),
            "column {} was not reported",
            column.name
        );
    }
    let names: BTreeSet<_> = world.warehouse.all().into_iter().map(|(submission, _)| submission.attempt).collect();
    assert_eq!(names.len(), world.warehouse.all().len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_field_ends_in_a_column(seed: u64, faults in 0..40_u32, evolves: bool, steps in 5..60_usize) {
        let world = World::new(seed, faults, if evolves { "evolve" } else { "capture" });
        let watcher = world.watcher();
        for n in 0..steps {
            // Automatic Table Optimization chooses keys at any time.
            *lock(&world.keyed) |= world.faults.below(20) == 0;
            match world.faults.below(12) {
                0..4 => world.stage(n),
                4..6 => world.load(),
                6 => world.push(n),
                7 => world.end_statements(),
                8 => deliver(&world, &watcher),
                _ => drop(watch(&watcher)),
            }
        }
        // No more faults are injected, and the schedule continues.
        *lock(&world.faults.left) = 0;
        *lock(&world.slow) = false;
        while !lock(&world.files).is_empty() {
            world.load();
        }
        let marked = || world.staging.files().keys().any(|key| key.starts_with("drift/"));
        for _ in 0..50 {
            drop(watch(&watcher));
        }
        prop_assert!(!marked(), "a mark is left");
        if !evolves {
            apply_all(&watcher);
        }
        check(&world);
        // If no file was loaded, the schedule does not query Redshift.
        let queries = *lock(&world.queries);
        watch(&watcher).unwrap().unwrap();
        prop_assert_eq!(*lock(&world.queries), queries);
    }

    /// Without faults each finding is reported once, for any number of invocations.
    #[test]
    fn without_faults_each_finding_is_reported_once(seed: u64, steps in 5..40_usize) {
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
fn a_column_that_is_a_key_of_its_table_is_widened() {
    let world = World::new(1, 0, "evolve");
    (*lock(&world.slow), *lock(&world.keyed)) = (false, true);
    world.staging.put(&drift_mark_key("orders"), "staged/orders/a");
    lock(&world.waiting).push(BTreeMap::from([("note".to_owned(), json!("x".repeat(100)))]));
    watch(&world.watcher()).unwrap().unwrap();
    assert_eq!(world.contract().columns()[1].column_type.to_string(), "varchar(256)");
    let done = lock(&world.succeeded).clone();
    let first: Vec<&str> = done.iter().map(String::as_str).take(5).collect();
    let table = "shop.orders_staging";
    assert_eq!(
        first,
        [
            format!("ALTER TABLE {table} ALTER SORTKEY NONE"),
            format!("ALTER TABLE {table} ALTER DISTSTYLE EVEN"),
            format!("ALTER TABLE {table} ALTER COLUMN note TYPE VARCHAR(256)"),
            format!("ALTER TABLE {table} ALTER DISTSTYLE AUTO"),
            format!("ALTER TABLE {table} ALTER SORTKEY AUTO"),
        ]
    );
}

fn asked(action: &str, field: &str, column_type: &str, migration: &str) -> DriftRequest {
    let (contract, only, types) =
        ("orders".to_owned(), Vec::new(), BTreeMap::from([(field.into(), column_type.into())]));
    match action {
        "look" => DriftRequest::Look { contract, only, types },
        _ => DriftRequest::Apply { contract, only, types, migration: migration.into() },
    }
}

/// The column of the key has no values that wait, because rows with such keys are refused. Redshift chose it as a sort key.
#[test]
fn a_column_of_the_key_gets_a_chosen_type() {
    let world = World::new(3, 0, "evolve");
    (*lock(&world.slow), *lock(&world.keyed)) = (false, true);
    let watcher = world.watcher();
    let shown = request(&watcher, &asked("look", "id", "decimal(38,0)", "")).unwrap().unwrap().contracts.remove(0);
    assert_eq!(shown.findings[0].remedy.to_string(), "widen id from bigint to decimal(38,0)");
    let migration = shown.migration.unwrap();
    assert_eq!(migration.contract, ["id: type decimal(38,0)"]);
    assert!(migration.statements[migration.before + 1].contains("ADD COLUMN dw_new_1 DECIMAL(38,0)"), "{migration:?}");
    let done = request(&watcher, &asked("apply", "id", "decimal(38,0)", &migration.id)).unwrap().unwrap();
    assert_eq!(done.contracts[0].progress, MigrationProgress::Done);
    assert_eq!(world.contract().columns()[0].column_type.to_string(), "decimal(38,0)");
    let run = lock(&world.succeeded).clone();
    let at = |end: &str| run.iter().position(|sql| sql.ends_with(end)).unwrap();
    assert!(at("shop.orders ALTER SORTKEY NONE") < at("shop.orders DROP COLUMN id"), "{run:#?}");
    assert!(at("shop.orders RENAME COLUMN dw_new_1 TO id") < at("shop.orders ALTER SORTKEY AUTO"), "{run:#?}");
    // What a user asked for is not reported to others.
    assert!(world.notices.drifts().is_empty());
    assert_eq!(request(&watcher, &DriftRequest::Watch { scheduled: false }).unwrap().unwrap().contracts, []);
}

#[test]
fn a_chosen_type_that_does_not_take_a_waiting_value_is_refused() {
    let world = World::new(3, 0, "capture");
    let watcher = world.watcher();
    lock(&world.waiting).push(BTreeMap::from([("weight".to_owned(), json!(3_000_000_000_u64))]));
    *lock(&world.misfits) = vec![["weight", "1", "3000000000"].map(|cell| Some(cell.to_owned())).to_vec()];
    let refused = request(&watcher, &asked("look", "weight", "integer", "")).unwrap().unwrap_err();
    assert_eq!(refused.kind, FailureKind::InvalidRequest);
    assert!(refused.message.contains("does not take 1 of the values of field `weight`"), "{refused}");
    lock(&world.misfits).clear();
    request(&watcher, &asked("look", "weight", "bigint", "")).unwrap().unwrap();
    let refused = request(&watcher, &asked("look", "id", "smallint", "")).unwrap().unwrap_err();
    assert!(refused.message.contains("does not hold every value of it"), "{refused}");
}

/// The replacement of a column locks readers out, so only a user begins it.
#[test]
fn the_schedule_does_not_replace_a_column() {
    let world = World::new(3, 0, "evolve");
    *lock(&world.slow) = false;
    let text = format!("{CONTRACT}  - {{ name: weight, type: integer }}\nunknown: evolve\n");
    world.contracts.put(KEY, text.clone());
    lock(&world.versions).clear();
    world.inspect(&text);
    world.staging.put(&drift_mark_key("orders"), "staged/orders/a");
    lock(&world.waiting).push(BTreeMap::from([("weight".to_owned(), json!(3_000_000_000_u64))]));
    watch(&world.watcher()).unwrap().unwrap();
    assert_eq!(world.contract().columns()[2].column_type.to_string(), "integer");
    let told = world.notices.drifts().remove(0).findings.remove(0);
    assert_eq!(told.remedy.to_string(), "widen weight from integer to bigint");
    apply_all(&world.watcher());
    assert_eq!(world.contract().columns()[2].column_type.to_string(), "bigint");
    assert!(world.evidence().is_empty());
}

#[test]
fn only_the_migration_that_was_shown_is_applied() {
    let world = World::new(7, 0, "capture");
    *lock(&world.slow) = false;
    let watcher = world.watcher();
    lock(&world.waiting).push(BTreeMap::from([("colour".into(), json!("red")), ("size".into(), json!(1))]));
    let look = |only: &[&str]| DriftRequest::Look {
        contract: "orders".into(),
        only: only.iter().map(|field| (*field).to_owned()).collect(),
        types: BTreeMap::new(),
    };
    let shown = request(&watcher, &look(&["size"])).unwrap().unwrap().contracts.remove(0);
    let id = shown.migration.unwrap().id;
    let apply = |only: &str, migration: &str| DriftRequest::Apply {
        contract: "orders".into(),
        only: vec![only.into()],
        types: BTreeMap::new(),
        migration: migration.into(),
    };
    let refused = request(&watcher, &apply("colour", &id)).unwrap().unwrap_err();
    assert_eq!(refused.kind, FailureKind::InvalidRequest);
    assert!(refused.message.contains("look at the contract again"), "{refused}");
    for _ in 0..2 {
        let done = request(&watcher, &apply("size", &id)).unwrap().unwrap().contracts.remove(0);
        assert_eq!(done.progress, MigrationProgress::Done, "a repeated request returns the completed migration");
        assert_eq!(done.findings.len(), 1);
    }
    assert_eq!(world.contract().columns().len(), 3);
    let mistyped = request(&watcher, &look(&["color"])).unwrap().unwrap_err();
    assert!(mistyped.message.contains("did you mean `colour`?"), "{mistyped}");
    let unknown = DriftRequest::Look { contract: "order".into(), only: Vec::new(), types: BTreeMap::new() };
    let unknown = request(&watcher, &unknown).unwrap().unwrap_err();
    assert!(unknown.message.contains("did you mean `orders`?"), "{unknown}");
}

/// A statement may wait for a lock longer than an invocation waits. The event of its end then continues the migration.
#[test]
fn a_long_migration_is_finished_by_its_events() {
    let world = World::new(7, 0, "capture");
    *lock(&world.slow) = true;
    let watcher = world.watcher();
    lock(&world.waiting).push(BTreeMap::from([("colour".into(), json!("red")), ("size".into(), json!(1))]));
    *lock(&world.stuck) = true;
    let look = DriftRequest::Look { contract: "orders".into(), only: Vec::new(), types: BTreeMap::new() };
    let id = request(&watcher, &look).unwrap().unwrap().contracts[0].migration.clone().unwrap().id;
    let apply =
        DriftRequest::Apply { contract: "orders".into(), only: Vec::new(), types: BTreeMap::new(), migration: id };
    let begun = request(&watcher, &apply).unwrap().unwrap();
    assert_eq!(begun.contracts[0].progress, MigrationProgress::Running);
    for _ in 0..50 {
        world.end_statements();
        deliver(&world, &watcher);
    }
    assert_eq!(world.contract().columns().len(), 4, "the migration was not continued");
    assert!(world.evidence().is_empty());
}

#[test]
fn evolve_does_not_add_columns_for_data_in_field_names() {
    let world = World::new(7, 0, "evolve");
    let watcher = world.watcher();
    let row = |n: usize| BTreeMap::from([(format!("customer {n}"), json!(n))]);
    lock(&world.waiting).extend((0..60).map(row));
    world.staging.put(&drift_mark_key("orders"), "one");
    let response = watch(&watcher).unwrap().unwrap();
    assert_eq!(response.contracts[0].findings.len(), 60);
    assert_eq!(world.contract().columns().len(), 2);
    assert!(world.warehouse.all().is_empty());
}
