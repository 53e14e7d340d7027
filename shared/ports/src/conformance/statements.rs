//! Statements that somebody else runs: what can be said of them without waiting for Redshift.

use std::collections::BTreeMap;

use shiftwork_protocol::{Attempt, Connection, Owner, Transaction};

use super::fresh;
use crate::{Progress, Statement, Statements, Submission};

/// Checks [`Statements`] over a connection, with a statement that takes no time. Answers what is still active.
pub async fn statements(statements: &dyn Statements, connection: &Connection, sql: &str) -> Vec<Statement> {
    let run = fresh("run");
    let name =
        |attempt| Attempt { owner: Owner::Job, run: run.clone(), job: "job.sql".into(), attempt, part: 1, parts: 1 };
    let submission = |attempt, sqls: usize| Submission {
        name: name(attempt),
        connection: connection.clone(),
        sqls: vec![sql.to_owned(); sqls],
        transaction: Transaction::Single,
        parameters: BTreeMap::new(),
    };
    assert_eq!(statements.find(&name(1), connection).await, Ok(None), "nothing was submitted");
    assert_eq!(statements.active(&run, connection).await, Ok(vec![]));

    // The tenth attempt first: its name begins with that of the first one.
    let tenth = statements.submit(&submission(10, 2)).await.unwrap();
    assert_eq!(statements.find(&name(1), connection).await, Ok(None), "a name is no prefix of another");
    let first = statements.submit(&submission(1, 1)).await.unwrap();
    assert_ne!(first, tenth);
    assert_eq!(statements.submit(&submission(1, 1)).await, Ok(first.clone()), "again: the same");

    for (id, attempt) in [(&first, 1), (&tenth, 10)] {
        let found = statements.find(&name(attempt), connection).await.unwrap().unwrap();
        assert_eq!((&found.id, &found.name), (id, &name(attempt)));
        let described = statements.describe(id, &name(attempt)).await.unwrap().unwrap();
        assert_eq!((&described.id, &described.name), (id, &name(attempt)));
    }
    let unknown = "00000000-0000-4000-8000-000000000000";
    assert_eq!(statements.describe(unknown, &name(1)).await, Ok(None));

    for id in [&first, &tenth, &first] {
        assert_eq!(statements.cancel(id).await, Ok(()), "also of one that ended");
    }
    let active = statements.active(&run, connection).await.unwrap();
    assert!(active.iter().all(|statement| statement.progress == Progress::Active && statement.name.run == run));
    active
}
