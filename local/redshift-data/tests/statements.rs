//! Statements from their submission to their end, and their effects in the database.

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A direct connection to PostgreSQL.
async fn connected() -> (tokio_postgres::Client, impl Future<Output = Result<(), tokio_postgres::Error>> + Send) {
    let url = std::env::var("SHIFTWORK_PG_URL").unwrap();
    tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap()
}

#[tokio::test]
async fn a_query_is_described_and_its_result_typed() {
    let server = support::start(&[]).await;
    server.finish("create table t (id int not null, price numeric(10, 2), name varchar(10), day date)").await;
    let inserted = server.finish("insert into t values (1, 1.5, 'a', '2026-01-02'), (2, null, 'b', null)").await;
    assert_eq!((&inserted["ResultRows"], &inserted["HasResultSet"]), (&json!(2), &json!(false)));
    let sql = "select id, price, name, day, id > 1 as late, id * 0.5::float8 as half from t order by id";
    let end = server.finish(sql).await;
    assert_eq!(end["QueryString"], sql);
    assert_eq!(
        (&end["ResultRows"], &end["HasResultSet"], &end["DbUser"]),
        (&json!(2), &json!(true), &json!("IAMR:role1"))
    );
    assert!(end["Duration"].as_i64().unwrap() > 0 && end["RedshiftPid"].as_i64().unwrap() > 0);
    let (_, result) = server.call("GetStatementResult", json!({ "Id": end["Id"] })).await;
    assert_eq!(result["TotalNumRows"], 2);
    assert_eq!(
        result["Records"],
        json!([
            [{ "longValue": 1 }, { "stringValue": "1.50" }, { "stringValue": "a" }, { "stringValue": "2026-01-02" },
             { "booleanValue": false }, { "doubleValue": 0.5 }],
            [{ "longValue": 2 }, { "isNull": true }, { "stringValue": "b" }, { "isNull": true },
             { "booleanValue": true }, { "doubleValue": 1.0 }],
        ])
    );
    let price = &result["ColumnMetadata"][1];
    assert_eq!(
        *price,
        json!({ "isCaseSensitive": false, "isCurrency": false, "isSigned": true, "label": "price", "length": 0,
                "name": "price", "nullable": 1, "precision": 10, "scale": 2, "schemaName": "public", "tableName": "t",
                "typeName": "numeric" })
    );
    let names: Vec<&Value> = result["ColumnMetadata"].as_array().unwrap().iter().map(|c| &c["typeName"]).collect();
    assert_eq!(json!(names), json!(["int4", "numeric", "varchar", "date", "bool", "float8"]));
    server.drop_database().await;
}

#[tokio::test]
async fn parameters_have_the_type_of_their_position_and_are_never_parsed_as_sql() {
    let server = support::start(&[]).await;
    server.finish("create table t (id int, day date, note varchar(100))").await;
    let hostile = "x'); drop table t; --";
    let parameters = json!([{ "name": "id", "value": "7" }, { "name": "day", "value": "2026-02-03" },
                            { "name": "note", "value": hostile }]);
    let sql = "insert into t values (:id, :day, :note)";
    let end = server.ended(&server.submit(json!({ "Sql": sql, "Parameters": parameters })).await).await;
    assert_eq!(end["Status"], "FINISHED", "{end}");
    assert_eq!(end["QueryParameters"], parameters);
    assert_eq!(
        server.rows("select * from t").await,
        json!([[{ "longValue": 7 }, { "stringValue": "2026-02-03" }, { "stringValue": hostile }]])
    );
    let wrong = json!({ "Sql": "select * from t where id = :id", "Parameters": [{ "name": "id", "value": "seven" }] });
    let end = server.ended(&server.submit(wrong).await).await;
    assert_eq!(end["Status"], "FAILED");
    assert_eq!(end["Error"], "ERROR: invalid input syntax for type integer: \"seven\"");
    server.drop_database().await;
}

#[tokio::test]
async fn a_failed_batch_is_rolled_back_and_names_the_failed_statement() {
    let server = support::start(&[]).await;
    server.finish("create table t (id int)").await;
    let sqls =
        json!(["insert into t values (1)", "select count(*) from t", "insert into nowhere values (1)", "select 1"]);
    let id = server.submit(json!({ "Sqls": sqls })).await;
    let end = server.ended(&id).await;
    assert_eq!(end["Status"], "FAILED");
    assert_eq!(end["Error"], "Query #3 failed with ERROR: relation \"nowhere\" does not exist");
    let parts: Vec<Value> = end["SubStatements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| json!([part["Id"], part["Status"], part["Error"]]))
        .collect();
    assert_eq!(
        json!(parts),
        json!([
            [format!("{id}:1"), "FINISHED", null],
            [format!("{id}:2"), "FINISHED", null],
            [format!("{id}:3"), "FAILED", "ERROR: relation \"nowhere\" does not exist"],
            [format!("{id}:4"), "ABORTED", "Connection or an prior query failed."],
        ])
    );
    assert_eq!(server.rows("select count(*) from t").await, json!([[{ "longValue": 0 }]]));
    let (_, result) = server.call("GetStatementResult", json!({ "Id": format!("{id}:2") })).await;
    assert_eq!(result["Records"], json!([[{ "longValue": 1 }]]));
    let (status, body) = server.call("GetStatementResult", json!({ "Id": id })).await;
    assert_eq!(status, 400);
    assert_eq!(body["Message"], "BatchExecuteStatement result can only be retrieved with sub-statement id.");
    server.drop_database().await;
}

#[tokio::test]
async fn the_duration_is_the_time_for_which_the_sql_ran() {
    let server = support::start(&[]).await;
    server.finish("create table t (id int)").await;
    let queued = json!([{ "effect": { "delay_statement": { "milliseconds": 600 } } }]);
    server.admin("POST", "/_faults", queued).await;
    let end = server.finish("select sleep(0.2)").await;
    let millis = |value: &Value| value.as_f64().unwrap() * 1000.0;
    let nanos = |value: &Value| value["Duration"].as_i64().unwrap();
    assert!(nanos(&end) >= 200_000_000, "{end}");
    #[allow(clippy::cast_precision_loss, reason = "some seconds in nanoseconds")]
    let ran = nanos(&end) as f64 / 1_000_000.0;
    let waited = millis(&end["UpdatedAt"]) - millis(&end["CreatedAt"]) - ran;
    assert!(waited >= 595.0, "the wait of 600 ms before the start is not part of the duration: {end}");

    let sqls = json!(["insert into t values (1), (2)", "select 1 where false", "delete from t where id = 1"]);
    let end = server.ended(&server.submit(json!({ "Sqls": sqls })).await).await;
    let parts = end["SubStatements"].as_array().unwrap();
    assert_eq!(parts.iter().map(|part| part["ResultRows"].as_i64().unwrap()).collect::<Vec<_>>(), [2, 0, 1]);
    assert_eq!(end["ResultRows"], 3, "the sum over the statements");
    assert_eq!(nanos(&end), parts.iter().map(nanos).sum::<i64>(), "the sum over the statements");
    server.drop_database().await;
}

#[tokio::test]
async fn auto_commit_keeps_successful_statements() {
    let server = support::start(&[]).await;
    server.finish("create table t (id int)").await;
    let sqls = ["insert into t values (1)", "insert into nowhere values (1)", "insert into t values (2)"];
    let id = server.submit(json!({ "Sqls": sqls, "ExecutionMode": "AUTO_COMMIT" })).await;
    let end = server.ended(&id).await;
    assert_eq!((&end["Status"], &end["ExecutionMode"]), (&json!("FAILED"), &json!("AUTO_COMMIT")));
    let statuses: Vec<&Value> = end["SubStatements"].as_array().unwrap().iter().map(|part| &part["Status"]).collect();
    assert_eq!(json!(statuses), json!(["FINISHED", "FAILED", "FINISHED"]));
    assert_eq!(server.rows("select count(*) from t").await, json!([[{ "longValue": 2 }]]));
    server.drop_database().await;
}

#[tokio::test]
async fn cancel_stops_the_query_in_the_database() {
    let server = support::start(&[]).await;
    server.finish("create table t (id int)").await;
    let id = server.submit(json!({ "Sqls": ["insert into t values (1)", "select sleep(60)", "select 1"] })).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    let (status, body) = server.call("CancelStatement", json!({ "Id": id })).await;
    assert_eq!((status, body), (200, json!({ "Status": true })));
    assert!(began.elapsed() < Duration::from_secs(5));
    let end = server.ended(&id).await;
    assert_eq!(end["Status"], "ABORTED");
    let statuses: Vec<&Value> = end["SubStatements"].as_array().unwrap().iter().map(|part| &part["Status"]).collect();
    assert_eq!(json!(statuses), json!(["FINISHED", "ABORTED", "ABORTED"]));
    assert_eq!(server.rows("select count(*) from t").await, json!([[{ "longValue": 0 }]]));
    let (client, connection) = connected().await;
    tokio::spawn(connection);
    let running = "select count(*) from pg_stat_activity where datname = $1 and state = 'active'";
    assert_eq!(client.query_one(running, &[&server.database]).await.unwrap().get::<_, i64>(0), 0);
    let (status, body) = server.call("CancelStatement", json!({ "Id": id })).await;
    assert_eq!(status, 400);
    assert_eq!(body["Message"], format!("Could not cancel a query that is already in ABORTED state with ID: {id}"));
    server.drop_database().await;
}

#[tokio::test]
async fn requests_with_the_same_client_token_are_one_statement() {
    let server = support::start(&[]).await;
    server.finish("create table t (id int)").await;
    let request = server.on_database(json!({ "Sql": "insert into t values (1)", "ClientToken": "token-1" }));
    let calls = (0..10).map(|_| server.call("ExecuteStatement", request.clone()));
    let ids: Vec<Value> =
        futures::future::join_all(calls).await.into_iter().map(|(_, body)| body["Id"].clone()).collect();
    assert!(ids.iter().all(|id| id == &ids[0] && id.is_string()), "{ids:?}");
    server.ended(ids[0].as_str().unwrap()).await;
    assert_eq!(server.rows("select count(*) from t").await, json!([[{ "longValue": 1 }]]));
    let mut other = request.clone();
    other["Sql"] = json!("insert into t values (2)");
    let (status, body) = server.call("ExecuteStatement", other).await;
    assert_eq!((status, &body["__type"]), (400, &json!("ValidationException")));
    // The wait time is not part of the request's identity, and tokens are separate per role.
    let mut waiting = request.clone();
    waiting["WaitTimeSeconds"] = json!(5);
    assert_eq!(server.call("ExecuteStatement", waiting).await.1["Id"], ids[0]);
    let (_, foreign) = server.call_as("AKIAROLE2", "ExecuteStatement", request).await;
    assert_ne!(foreign["Id"], ids[0]);
    server.drop_database().await;
}

#[tokio::test]
async fn a_session_keeps_temporary_tables_and_runs_one_statement_at_a_time() {
    let server = support::start(&[]).await;
    let open =
        json!({ "Sql": "create temp table t as select 5 as x", "SessionKeepAliveSeconds": 2, "WaitTimeSeconds": 30 });
    let (_, opened) = server.call("ExecuteStatement", server.on_database(open)).await;
    let session = opened["SessionId"].clone();
    let on_session = async |sql: &str, wait: i64| {
        server.call("ExecuteStatement", json!({ "Sql": sql, "SessionId": session, "WaitTimeSeconds": wait })).await
    };
    let (status, body) = on_session("select x from t", 30).await;
    assert_eq!((status, &body["Status"]), (200, &json!("FINISHED")));
    let (_, result) = server.call("GetStatementResult", json!({ "Id": body["Id"] })).await;
    assert_eq!(result["Records"], json!([[{ "longValue": 5 }]]));
    let (_, slow) = on_session("select sleep(2)", 1).await;
    let (status, body) = on_session("select 1", 1).await;
    assert_eq!((status, &body["Message"]), (400, &json!("Session is not available")));
    let (_, sessions) = server.call("ListSessions", json!({ "SessionId": session })).await;
    assert_eq!(sessions["Sessions"][0]["Status"], "BUSY");
    assert_eq!(sessions["Sessions"][0]["CurrentStatementId"], slow["Id"]);
    server.ended(slow["Id"].as_str().unwrap()).await;
    // The session expires two seconds after its last statement.
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let (status, body) = on_session("select 1", 1).await;
    assert_eq!((status, &body["Message"]), (400, &json!("Session is not available")));
    let (_, sessions) = server.call("ListSessions", json!({ "SessionId": session })).await;
    assert_eq!(sessions["Sessions"][0]["Status"], "CLOSED");
    server.drop_database().await;
}

#[tokio::test]
async fn a_transaction_continues_across_the_statements_of_a_session() {
    let server = support::start(&[]).await;
    server.finish("create table t (id int)").await;
    let open = json!({ "Sql": "begin", "SessionKeepAliveSeconds": 60, "WaitTimeSeconds": 30 });
    let (_, opened) = server.call("ExecuteStatement", server.on_database(open)).await;
    for sql in ["insert into t values (1)", "rollback", "insert into t values (2)"] {
        let request = json!({ "Sql": sql, "SessionId": opened["SessionId"], "WaitTimeSeconds": 30 });
        let (_, body) = server.call("ExecuteStatement", request).await;
        assert_eq!(body["Status"], "FINISHED", "{sql}: {body}");
    }
    assert_eq!(server.rows("select id from t").await, json!([[{ "longValue": 2 }]]));
    server.drop_database().await;
}

#[tokio::test]
async fn large_results_are_paged_and_too_large_results_fail() {
    let server = support::start(&["--max-result-bytes", "4000000"]).await;
    let end = server
        .finish(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000) \
                            select i, repeat('x', 1000) as pad from n order by i",
        )
        .await;
    let (mut seen, mut pages, mut token) = (0, 0, Value::Null);
    loop {
        let mut request = json!({ "Id": end["Id"] });
        if !token.is_null() {
            request["NextToken"] = token;
        }
        let (_, page) = server.call("GetStatementResult", request).await;
        for record in page["Records"].as_array().unwrap() {
            seen += 1;
            assert_eq!(record[0]["longValue"], seen);
        }
        pages += 1;
        token = page["NextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!((seen, pages > 1), (3000, true));
    let end = server
        .run(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000) \
                         select repeat('x', 1000) as pad from n",
        )
        .await;
    assert_eq!(end["Status"], "FAILED");
    assert!(end["Error"].as_str().unwrap().contains("exceeded size limit"), "{end}");
    let end = server.run("select repeat('x', 70000) as pad").await;
    assert!(end["Error"].as_str().unwrap().contains("Packet for query is too large"), "{end}");
    server.drop_database().await;
}

#[tokio::test]
async fn csv_results_are_returned_by_get_statement_result_v2() {
    let server = support::start(&[]).await;
    let sql = "select 1 as a, 'x,\"y\"' as b, null::int as c";
    let id = server.submit(json!({ "Sql": sql, "ResultFormat": "CSV" })).await;
    server.ended(&id).await;
    let (_, result) = server.call("GetStatementResultV2", json!({ "Id": id })).await;
    assert_eq!(result["Records"], json!([{ "CSVRecords": "1,\"x,\"\"y\"\"\",\r\n" }]));
    assert_eq!(result["ResultFormat"], "CSV");
    assert_eq!(server.call("GetStatementResult", json!({ "Id": id })).await.0, 400);
    server.drop_database().await;
}

#[tokio::test]
async fn procedures_run_and_may_commit() {
    let server = support::start(&[]).await;
    server.finish("create table t (id int)").await;
    server
        .finish(
            "create or replace procedure load_t(n int) as $$ begin \
             insert into t values (n); raise info 'loaded %', n; commit; \
             insert into t values (n + 1); end; $$ language plpgsql",
        )
        .await;
    let call = json!({ "Sql": "call load_t(:n)", "Parameters": [{ "name": "n", "value": "41" }] });
    let end = server.ended(&server.submit(call).await).await;
    assert_eq!(end["Status"], "FINISHED", "{end}");
    assert_eq!(server.rows("select sum(id) from t").await, json!([[{ "longValue": 83 }]]));
    server.drop_database().await;
}

#[tokio::test]
async fn a_lost_connection_fails_the_statement() {
    let server = support::start(&[]).await;
    let id = server.submit(json!({ "Sql": "select sleep(60)" })).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (_, running) = server.call("DescribeStatement", json!({ "Id": id })).await;
    assert_eq!(running["Status"], "STARTED");
    let (client, connection) = connected().await;
    tokio::spawn(connection);
    let pid = i32::try_from(running["RedshiftPid"].as_i64().unwrap()).unwrap();
    client.execute("select pg_terminate_backend($1)", &[&pid]).await.unwrap();
    let end = server.ended(&id).await;
    assert_eq!(end["Status"], "FAILED");
    assert!(end["Error"].as_str().unwrap().contains("terminating connection"), "{end}");
    let nowhere = json!({ "Sql": "select 1", "WorkgroupName": "shift", "Database": "no_such_database" });
    let (_, body) = server.call("ExecuteStatement", nowhere).await;
    let end = server.ended(body["Id"].as_str().unwrap()).await;
    assert_eq!(end["Status"], "FAILED");
    assert_eq!(end["Error"], "FATAL: database \"no_such_database\" does not exist");
    server.drop_database().await;
}

#[tokio::test]
async fn ended_statements_are_removed_after_the_retention_time() {
    let server = support::start(&["--retention-seconds", "1"]).await;
    let id = server.finish("select 1").await["Id"].clone();
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let (status, body) = server.call("GetStatementResult", json!({ "Id": id })).await;
    assert_eq!((status, &body["__type"]), (400, &json!("ResourceNotFoundException")));
    server.drop_database().await;
}

/// A transaction that starts with LOCK reads the data that the previous holder of the lock has committed.
#[tokio::test]
async fn a_lock_is_acquired_before_the_snapshot() {
    let server = support::start(&[]).await;
    server.finish("create table counter (n int)").await;
    server.finish("insert into counter values (0)").await;
    let add =
        json!({ "Sqls": ["lock counter", "insert into counter select max(n) + 1 from counter", "select sleep(0.05)"] });
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(server.submit(add.clone()).await);
    }
    for id in ids {
        let end = server.ended(&id).await;
        assert_eq!(end["Status"], "FINISHED", "{end}");
    }
    assert_eq!(server.rows("select max(n) from counter").await[0][0]["longValue"], 4);
    server.finish("lock counter").await;
    server.drop_database().await;
}
