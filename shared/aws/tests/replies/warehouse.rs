//! The Redshift Data API.

use super::*;

fn attempt() -> Attempt {
    Attempt { owner: Owner::Job, run: "run".into(), job: "job.sql".into(), attempt: 1, part: 1, parts: 1 }
}

fn connection() -> Connection {
    Connection { workgroup: Some("wg".into()), database: "dev".into(), ..Connection::default() }
}

fn submission(sqls: &[&str]) -> Submission {
    Submission {
        attempt: attempt(),
        connection: connection(),
        sqls: sqls.iter().copied().map(Into::into).collect(),
        session: Session::Own,
        parameters: [("day".into(), "2026-03-01".into())].into(),
    }
}

fn warehouse(aws: &Canned) -> RedshiftWarehouse {
    RedshiftWarehouse::new(&aws.config, Duration::from_secs(1))
}

async fn refused(status: u16, body: Value) -> Failure {
    let aws = Canned::json([(status, body)]);
    warehouse(&aws).submit(&submission(&["SELECT 1"])).await.unwrap_err()
}

#[tokio::test]
async fn every_error_of_aws_has_a_kind() {
    for (status, code, kind) in [
        (400, "ThrottlingException", FailureKind::Throttled),
        (429, "SomethingNew", FailureKind::Throttled),
        (400, "ActiveStatementsExceededException", FailureKind::ActiveStatementsExceeded),
        (400, "ActiveSessionsExceededException", FailureKind::Throttled),
        (400, "ValidationException", FailureKind::Refused),
        (400, "ResourceNotFoundException", FailureKind::Refused),
        (400, "SomethingNew", FailureKind::Refused),
        (500, "ExecuteStatementException", FailureKind::Unavailable),
        (500, "InternalServerException", FailureKind::Unavailable),
        (503, "SomethingNew", FailureKind::Unavailable),
        (500, "DatabaseConnectionException", FailureKind::ConnectionLost),
        (400, "AccessDeniedException", FailureKind::AccessDenied),
        (400, "ExpiredTokenException", FailureKind::AccessDenied),
        (403, "SomethingNew", FailureKind::AccessDenied),
    ] {
        let failure = refused(status, error(code, "in AWS's words")).await;
        assert_eq!(failure.kind, kind, "{status} {code}");
        for part in ["ExecuteStatement", "database dev of workgroup wg", code, "in AWS's words"] {
            assert!(failure.message.contains(part), "{part}: {failure}");
        }
    }
}

#[tokio::test]
async fn after_a_lost_or_unreadable_response_the_call_may_have_taken_effect() {
    let aws = Canned::new([(200, "<html>".into())]);
    let warehouse = warehouse(&aws);
    for _ in 0..2 {
        // The second call cannot connect.
        let failure = warehouse.submit(&submission(&["SELECT 1"])).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable, "{failure}");
    }
}

#[tokio::test]
async fn one_statement_is_executed_and_several_are_a_batch() {
    let aws = Canned::json([(200, json!({"Id": "one"})), (200, json!({"Id": "two"}))]);
    let warehouse = warehouse(&aws);
    assert_eq!(warehouse.submit(&submission(&["A"])).await.unwrap(), "one");
    assert_eq!(warehouse.submit(&submission(&["A", "B"])).await.unwrap(), "two");
    let shared = json!({
        "StatementName": "shiftwork:run:job.sql:1", "ClientToken": attempt().client_token(), "WithEvent": true,
        "WorkgroupName": "wg", "Database": "dev", "Parameters": [{"name": "day", "value": "2026-03-01"}],
    });
    let with = |more: Value| {
        let mut all = shared.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    assert_eq!(aws.requested(), [with(json!({"Sql": "A"})), with(json!({"Sqls": ["A", "B"]}))]);
}

#[tokio::test]
async fn a_session_is_kept_and_continued_without_a_connection() {
    let aws = Canned::json([(200, json!({"Id": "one", "SessionId": "s"})), (200, json!({"Id": "two"}))]);
    let warehouse = warehouse(&aws);
    for session in [Session::Kept, Session::Continued("s".into())] {
        warehouse.submit(&Submission { session, parameters: BTreeMap::new(), ..submission(&["A"]) }).await.unwrap();
    }
    let shared = json!({
        "StatementName": "shiftwork:run:job.sql:1", "ClientToken": attempt().client_token(), "WithEvent": true, "Sql": "A",
    });
    let with = |more: Value| {
        let mut all = shared.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    assert_eq!(
        aws.requested(),
        [
            with(json!({"WorkgroupName": "wg", "Database": "dev", "SessionKeepAliveSeconds": 300})),
            with(json!({"SessionId": "s"})),
        ]
    );

    let described = json!({"Id": "one", "Status": "FINISHED", "SessionId": "s"});
    let engine = RedshiftWarehouse::new(&Canned::json([(200, described)]).config, Duration::from_secs(1));
    let state = engine.engine(&connection()).outcome("one", &attempt(), Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(state.session.as_deref(), Some("s"));
}

#[tokio::test]
async fn a_session_that_has_ended_is_lost_and_a_busy_session_is_waited_for() {
    let continued = Submission { session: Session::Continued("s".into()), ..submission(&["A"]) };
    let busy = || (400, error("ValidationException", "Session is not available"));
    let aws = Canned::json([busy(), busy(), (200, json!({"Id": "one"}))]);
    assert_eq!(warehouse(&aws).submit(&continued).await.unwrap(), "one");
    for message in ["Session is not available", "Session with Id: s is invalid"] {
        let ended = || (400, error("ValidationException", message));
        let aws = Canned::json([ended(), ended(), ended(), ended()]);
        let failure = warehouse(&aws).submit(&continued).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::SessionLost, "{failure}");
        assert!(failure.message.contains(message), "{failure}");
    }
    let aws = Canned::json([(400, error("ValidationException", "Cannot find parameter: day"))]);
    assert_eq!(warehouse(&aws).submit(&continued).await.unwrap_err().kind, FailureKind::Refused);
}

#[tokio::test]
async fn a_description_gives_the_progress_of_a_statement() {
    let batch = |status: &str, third: Value| {
        json!({"Id": "id", "Status": status, "ResultRows": 9, "Error": "Query #3 failed", "SubStatements": [
            {"Id": "id:1", "Status": "FINISHED", "ResultRows": 1},
            {"Id": "id:2", "Status": "FINISHED", "ResultRows": 2},
            third,
        ]})
    };
    let failed = json!({"Id": "id:3", "Status": "FAILED", "Error": "ERROR: no such table"});
    for (answer, expected) in [
        (json!({"Id": "id", "Status": "SUBMITTED"}), Progress::Active),
        (json!({"Id": "id", "Status": "PICKED"}), Progress::Active),
        (json!({"Id": "id", "Status": "STARTED"}), Progress::Active),
        (json!({"Id": "id", "Status": "ABORTED"}), Progress::Aborted { reached: 0 }),
        (batch("ABORTED", json!({"Id": "id:3", "Status": "ABORTED"})), Progress::Aborted { reached: 2 }),
        (
            json!({"Id": "id", "Status": "FAILED", "Error": "Connection reset by peer"}),
            Progress::Failed {
                kind: FailureKind::ConnectionLost,
                message: "Connection reset by peer".into(),
                reached: 2,
            },
        ),
        (json!({"Id": "id", "Status": "FINISHED", "ResultRows": 7}), Progress::Finished),
        (batch("FINISHED", json!({"Id": "id:3", "Status": "FINISHED", "ResultRows": 3})), Progress::Finished),
        (
            batch("FAILED", failed),
            Progress::Failed {
                kind: FailureKind::StatementFailed,
                message: "statement 3: ERROR: no such table".into(),
                reached: 2,
            },
        ),
        (
            json!({"Id": "id", "Status": "FAILED", "Error": "ERROR: 1023"}),
            Progress::Failed { kind: FailureKind::SerializationConflict, message: "ERROR: 1023".into(), reached: 0 },
        ),
    ] {
        let aws = Canned::json([(200, answer.clone())]);
        let found =
            warehouse(&aws).engine(&connection()).outcome("id", &attempt(), Duration::ZERO).await.unwrap().unwrap();
        assert_eq!(found.progress, expected, "{answer}");
    }
    let aws = Canned::json([(400, error("ResourceNotFoundException", "Query does not exist."))]);
    assert_eq!(warehouse(&aws).engine(&connection()).outcome("id", &attempt(), Duration::ZERO).await, Ok(None));
}

#[tokio::test]
async fn the_rows_of_a_batch_are_those_of_each_statement() {
    let described = json!({"Id": "id", "Status": "FINISHED", "ResultRows": 9, "SubStatements": [
        {"Id": "id:1", "Status": "FINISHED", "QueryString": "DELETE FROM t", "ResultRows": 1},
        {"Id": "id:2", "Status": "FINISHED", "QueryString": "INSERT INTO t SELECT 1", "ResultRows": 2},
        {"Id": "id:3", "Status": "FINISHED", "QueryString": "ANALYZE t", "ResultRows": -1},
        {"Id": "id:4", "Status": "FINISHED", "QueryString": "SELECT 1", "ResultRows": 5, "HasResultSet": true},
    ]});
    let aws = Canned::json([(200, described)]);
    let report = warehouse(&aws).report("id", &attempt()).await.unwrap();
    let found: Vec<_> = report.statements.iter().map(|one| (one.command.as_str(), one.rows, one.returned)).collect();
    let expected =
        [("DELETE", Some(1), false), ("INSERT", Some(2), false), ("ANALYZE", None, false), ("SELECT", Some(5), true)];
    assert_eq!(found, expected);
    assert_eq!(shiftwork_protocol::changed_rows(&report.statements), Some(3));

    let aws = Canned::json([(400, error("ResourceNotFoundException", "Query does not exist."))]);
    assert_eq!(warehouse(&aws).report("id", &attempt()).await, Ok(EngineReport::default()));
}

#[tokio::test]
async fn a_statement_is_found_by_its_exact_name_on_any_page() {
    let aws = Canned::json([
        (200, json!({"Statements": [{"Id": "ten", "StatementName": "shiftwork:run:job.sql:10"}], "NextToken": "n"})),
        (200, json!({"Statements": [{"Id": "one", "StatementName": "shiftwork:run:job.sql:1"}]})),
        (200, json!({"Id": "one", "Status": "STARTED"})),
    ]);
    let found = warehouse(&aws).engine(&connection()).find(&attempt()).await.unwrap().unwrap();
    assert_eq!((found.id.as_str(), found.progress), ("one", Progress::Active));
    let requested = aws.requested();
    assert_eq!(requested[0]["StatementName"], "shiftwork:run:job.sql:1");
    assert_eq!((&requested[0]["Status"], &requested[0]["RoleLevel"]), (&json!("ALL"), &json!(true)));
}

#[tokio::test]
async fn active_statements_are_listed_in_the_order_of_their_statuses() {
    let statement = |id: &str| json!({"Id": id, "StatementName": "shiftwork:run:job.sql:1"});
    let aws = Canned::json([
        (200, json!({"Statements": [statement("a"), {"Id": "b", "StatementName": "shiftwork:run:?"}]})),
        (200, json!({"Statements": [statement("a")]})),
        (200, json!({"Statements": [statement("c")]})),
    ]);
    let active = warehouse(&aws).engine(&connection()).active("run").await.unwrap();
    assert_eq!(active.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(
        aws.requested().iter().map(|a| a["Status"].clone()).collect::<Vec<_>>(),
        ["SUBMITTED", "PICKED", "STARTED"]
    );
}

#[tokio::test]
async fn a_run_of_600_active_attempts_is_listed_with_ten_requests() {
    let attempts: BTreeSet<_> = (0..600).map(|n| Attempt { job: format!("job_{n}"), ..attempt() }).collect();
    let statement = |attempt: &Attempt| json!({"Id": attempt.job, "StatementName": attempt.to_string()});
    let all: Vec<_> = attempts.iter().map(statement).collect();
    let pages = all.chunks(100).enumerate();
    let pages = pages.map(|(n, page)| (200, json!({"Statements": page, "NextToken": format!("page {n}")})));
    let none = || (200, json!({"Statements": []}));
    let aws = Canned::json([none(), none()].into_iter().chain(pages).chain([none()]));
    let listed = warehouse(&aws).engine(&connection()).listed("run", &attempts).await.unwrap();
    assert!(listed.len() == 600 && listed.values().all(|state| *state == Listed::Active));
    let requested = aws.requested();
    assert!(requested.len() <= 10, "{} requests", requested.len());
    assert!(
        requested.iter().all(|request| request["StatementName"] == "shiftwork:run:" && request["MaxResults"] == 100)
    );
}

#[tokio::test]
async fn attempts_that_ended_are_listed_with_their_newest_statement() {
    let [active, ended, started_since, unknown] = [1, 2, 3, 4].map(|number| Attempt { attempt: number, ..attempt() });
    let wanted = BTreeSet::from([active.clone(), ended.clone(), started_since.clone(), unknown]);
    let statement = |attempt: &Attempt, id: &str, status: &str, second: i64| json!({"Id": id, "StatementName": attempt.to_string(), "Status": status, "CreatedAt": second});
    let none = || (200, json!({"Statements": []}));
    let all = json!([
        statement(&ended, "old", "FAILED", 1),
        statement(&ended, "new", "FINISHED", 2),
        statement(&active, "a", "FINISHED", 3),
        statement(&started_since, "s", "SUBMITTED", 4),
        statement(&Attempt { attempt: 9, ..attempt() }, "unwanted", "FINISHED", 5),
    ]);
    let started = (200, json!({"Statements": [statement(&active, "a", "STARTED", 3)]}));
    let aws = Canned::json([none(), none(), started, (200, json!({"Statements": all}))]);
    let listed = warehouse(&aws).engine(&connection()).listed("run", &wanted).await.unwrap();
    let expected =
        [(active, Listed::Active), (ended, Listed::Ended { id: "new".into() }), (started_since, Listed::Active)];
    assert_eq!(listed, BTreeMap::from(expected));
}

#[tokio::test]
async fn cancelling_a_statement_that_ended_succeeds() {
    let refusal = (400, error("ValidationException", "Could not cancel a query that is already in FINISHED state"));
    let aws = Canned::json([refusal.clone(), (200, json!({"Id": "id", "Status": "FINISHED"}))]);
    assert_eq!(warehouse(&aws).engine(&connection()).cancel("id").await, Ok(()));
    let aws = Canned::json([refusal, (200, json!({"Id": "id", "Status": "STARTED"}))]);
    let failure = warehouse(&aws).engine(&connection()).cancel("id").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
}

#[tokio::test]
async fn a_short_statement_returns_its_rows_or_the_failure() {
    let response = |described: Value| [(200, json!({"Id": "id"})), (200, described)];
    let record = json!([{"stringValue": "a"}, {"longValue": 7}, {"isNull": true}]);
    let finished = json!({"Id": "id", "Status": "FINISHED", "HasResultSet": true});
    let rows = [(200, json!({"Records": [record], "NextToken": "n"})), (200, json!({"Records": [record]}))];
    let aws = Canned::json(response(finished).into_iter().chain(rows));
    let ask = async |aws: &Canned| warehouse(aws).rows("SELECT 1", &connection(), &[].into()).await;
    let row = vec![Some("a".to_owned()), Some("7".to_owned()), None];
    assert_eq!(ask(&aws).await, Ok(vec![row.clone(), row]));
    let submitted = &aws.requested()[0];
    assert_eq!((&submitted["Sql"], &submitted["Database"]), (&json!("SELECT 1"), &json!("dev")));
    for of_attempts in ["StatementName", "WithEvent", "Parameters"] {
        assert_eq!(submitted.get(of_attempts), None, "{submitted}");
    }
    for (described, kind, words) in [
        (json!({"Status": "FAILED", "Error": "ERROR: no such table"}), FailureKind::StatementFailed, "no such table"),
        (json!({"Status": "FAILED", "Error": "ERROR: 1023"}), FailureKind::SerializationConflict, "1023"),
        (json!({"Status": "ABORTED"}), FailureKind::StatementAborted, "cancelled"),
    ] {
        let mut described = described;
        described["Id"] = "id".into();
        let failure = ask(&Canned::json(response(described))).await.unwrap_err();
        assert_eq!(failure.kind, kind, "{failure}");
        assert!(failure.message.contains(words), "{failure}");
    }
    // Canned responses arrive at once, so the adapter describes the statement repeatedly until one second has passed.
    let active = std::iter::repeat_n((200, json!({"Id": "id", "Status": "STARTED"})), 100_000);
    let aws = Canned::json(std::iter::once((200, json!({"Id": "id"}))).chain(active));
    let patience = Duration::from_millis(20);
    let impatient = RedshiftWarehouse::new(&aws.config, patience);
    let failure = impatient.rows("SELECT 1", &connection(), &[].into()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::TimedOut, "{failure}");
    assert_eq!(*aws.requested().last().unwrap(), json!({"Id": "id"}), "the statement is cancelled");
}
