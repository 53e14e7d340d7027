//! Attempts on an engine: what can be said of them without knowing when they end.

use std::{collections::BTreeMap, time::Duration};

use shiftwork_protocol::{Attempt, Connection, Owner, Transaction};

use super::fresh;
use crate::{AttemptState, Engine, Progress, Result, Submission, Warehouse};

/// Checks [`Engine`]. `submit` hands an attempt to it and returns the engine's id. Returns what is active in the end.
pub async fn engine(engine: &dyn Engine, submit: impl AsyncFn(&Attempt) -> Result<String>) -> Vec<AttemptState> {
    let run = fresh("run");
    let numbered =
        |attempt| Attempt { owner: Owner::Job, run: run.clone(), job: "job.sql".into(), attempt, part: 1, parts: 1 };
    assert_eq!(engine.find(&numbered(1)).await, Ok(None), "nothing was submitted");
    assert_eq!(engine.active(&run).await, Ok(vec![]));

    // The tenth attempt first: its text begins with that of the first one.
    let tenth = submit(&numbered(10)).await.unwrap();
    assert_eq!(engine.find(&numbered(1)).await, Ok(None), "an attempt is not found by the beginning of its text");
    let first = submit(&numbered(1)).await.unwrap();
    assert_ne!(first, tenth);
    assert_eq!(submit(&numbered(1)).await, Ok(first.clone()), "again: the same");

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

    for id in [&first, &tenth, &first] {
        assert_eq!(engine.cancel(id).await, Ok(()), "also of one that ended");
    }
    assert_eq!(engine.cancel(unknown).await, Ok(()));
    let active = engine.active(&run).await.unwrap();
    assert!(active.iter().all(|state| state.progress == Progress::Active && state.attempt.run == run));
    active
}

/// Checks [`Warehouse`] over a connection, with a statement that takes no time and returns at least one row. Returns what is
/// active in the end.
pub async fn warehouse(warehouse: &dyn Warehouse, connection: &Connection, sql: &str) -> Vec<AttemptState> {
    let submit = async |attempt: &Attempt| {
        let sqls = vec![sql.to_owned(); if attempt.attempt == 1 { 1 } else { 2 }];
        let (connection, parameters) = (connection.clone(), BTreeMap::new());
        let transaction = Transaction::Single;
        let submission = Submission { attempt: attempt.clone(), connection, sqls, transaction, parameters };
        warehouse.submit(&submission).await
    };
    assert_ne!(warehouse.rows(sql, connection, &BTreeMap::new()).await.unwrap(), Vec::<crate::Row>::new());
    engine(&*warehouse.engine(connection), submit).await
}
