//! Checks of attempts on an engine that do not depend on when the attempts end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use shiftwork_protocol::{Attempt, Connection, Owner};

use super::fresh;
use crate::{AttemptState, Engine, EngineReport, Listed, Progress, Result, Session, Submission, Warehouse};

/// Checks [`Engine`]. `submit` submits an attempt and returns the engine's id. Returns the attempts that are active at
/// the end.
pub async fn engine(engine: &dyn Engine, submit: impl AsyncFn(&Attempt) -> Result<String>) -> Vec<AttemptState> {
    let run = fresh("run");
    let numbered =
        |attempt| Attempt { owner: Owner::Job, run: run.clone(), job: "job.sql".into(), attempt, part: 1, parts: 1 };
    assert_eq!(engine.find(&numbered(1)).await, Ok(None), "no attempt was submitted");
    assert_eq!(engine.active(&run).await, Ok(vec![]));

    // The text of the first attempt is a prefix of the text of the tenth.
    let tenth = submit(&numbered(10)).await.unwrap();
    assert_eq!(engine.find(&numbered(1)).await, Ok(None), "an attempt is not found by a prefix of its text");
    let first = submit(&numbered(1)).await.unwrap();
    assert_ne!(first, tenth);
    assert_eq!(submit(&numbered(1)).await, Ok(first.clone()), "a repeated submission returns the same id");

    for (id, attempt) in [(&first, numbered(1)), (&tenth, numbered(10))] {
        let found = engine.find(&attempt).await.unwrap().unwrap();
        assert_eq!((&found.id, &found.attempt), (id, &attempt));
        for patience in [Duration::ZERO, Duration::from_secs(1)] {
            let state = engine.outcome(id, &attempt, patience).await.unwrap().unwrap();
            assert_eq!((&state.id, &state.attempt), (id, &attempt));
        }
    }
    let unknown = "00000000-0000-4000-8000-000000000000";
    assert_eq!(engine.outcome(unknown, &numbered(1), Duration::ZERO).await, Ok(None));

    let unsubmitted = numbered(2);
    let wanted = BTreeSet::from([numbered(1), numbered(10), unsubmitted.clone()]);
    let listed = engine.listed(&run, &wanted).await.unwrap();
    assert_eq!(listed.keys().collect::<Vec<_>>(), [&numbered(1), &numbered(10)], "each known attempt is listed");
    assert_eq!(engine.listed(&run, &BTreeSet::from([unsubmitted])).await, Ok(BTreeMap::new()));
    let other = engine.listed(&fresh("run"), &wanted).await;
    assert_eq!(other, Ok(BTreeMap::new()), "only attempts of the run are listed");

    for id in [&first, &tenth, &first] {
        assert_eq!(engine.cancel(id).await, Ok(()), "cancelling succeeds for an attempt that ended");
    }
    assert_eq!(engine.cancel(unknown).await, Ok(()));
    let active = engine.active(&run).await.unwrap();
    for (attempt, state) in engine.listed(&run, &wanted).await.unwrap() {
        let id = if attempt.attempt == 1 { &first } else { &tenth };
        match state {
            Listed::Active => assert!(active.iter().any(|state| state.id == *id), "{attempt} is listed as active"),
            Listed::Ended { id: listed } => assert_eq!(&listed, id, "the id of an ended attempt"),
        }
    }
    assert!(active.iter().all(|state| state.progress == Progress::Active && state.attempt.run == run));
    active
}

/// Checks [`Warehouse`] over a connection, with a short statement that returns at least one row. Returns the attempts
/// that are active at the end.
pub async fn warehouse(warehouse: &dyn Warehouse, connection: &Connection, sql: &str) -> Vec<AttemptState> {
    let submit = async |attempt: &Attempt| {
        let sqls = vec![sql.to_owned(); if attempt.attempt == 1 { 1 } else { 2 }];
        let (connection, parameters) = (connection.clone(), BTreeMap::new());
        let submission = Submission { attempt: attempt.clone(), connection, sqls, session: Session::Own, parameters };
        warehouse.submit(&submission).await
    };
    assert_ne!(warehouse.rows(sql, connection, &BTreeMap::new()).await.unwrap(), Vec::<crate::Row>::new());
    let unknown =
        Attempt { owner: Owner::Job, run: fresh("run"), job: "job.sql".into(), attempt: 1, part: 1, parts: 1 };
    let report = warehouse.report("00000000-0000-4000-8000-000000000000", &unknown).await;
    assert_eq!(report, Ok(EngineReport::default()), "the attempt was never submitted");
    engine(&*warehouse.engine(connection), submit).await
}
