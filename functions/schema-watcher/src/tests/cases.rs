//! What holds after any sequence of faults, pushes, loads and looks.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt as _;
use proptest::prelude::*;
use serde_json::json;
use shiftwork_change_data::contract::Column;
use shiftwork_ports::Result;
use shiftwork_protocol::{
    FailureKind,
    drift::{DriftAnswer, DriftRequest, MigrationProgress},
    keys::drift_mark_key,
};

use super::{World, lock};
use crate::Watcher;

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
    fn a_calm_watch_tells_once(seed: u64, steps in 5..40_usize) {
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
    world.staging.put(&drift_mark_key("orders"), "one");
    let answer = watch(&watcher).unwrap().unwrap();
    assert_eq!(answer.contracts[0].findings.len(), 60);
    assert_eq!(world.contract().columns().len(), 2);
    assert!(world.warehouse.all().is_empty());
}
