//! Statements from submission to their end state, and what is left in the database.

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A look at PostgreSQL past the server.
async fn connected() -> (tokio_postgres::Client, impl Future<Output = Result<(), tokio_postgres::Error>> + Send) {
    let url = std::env::var("SHIFTWORK_PG_URL").unwrap();
    tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap()
}

#[tokio::test]
async fn a_query_is_described_and_its_result_typed() {
    let stage = support::stage(&[]).await;
    stage.finish("create table t (id int not null, price numeric(10, 2), name varchar(10), day date)").await;
    let inserted = stage.finish("insert into t values (1, 1.5, 'a', '2026-01-02'), (2, null, 'b', null)").await;
    assert_eq!((&inserted["ResultRows"], &inserted["HasResultSet"]), (&json!(2), &json!(false)));
    let sql = "select id, price, name, day, id > 1 as late, id * 0.5::float8 as half from t order by id";
    let end = stage.finish(sql).await;
    assert_eq!(end["QueryString"], sql);
    assert_eq!(
        (&end["ResultRows"], &end["HasResultSet"], &end["DbUser"]),
        (&json!(2), &json!(true), &json!("IAMR:role1"))
    );
    assert!(end["Duration"].as_i64().unwrap() > 0 && end["RedshiftPid"].as_i64().unwrap() > 0);
    let (_, result) = stage.call("GetStatementResult", json!({ "Id": end["Id"] })).await;
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
    stage.strike().await;
}

#[tokio::test]
async fn parameters_take_the_type_of_their_place_and_are_never_sql() {
    let stage = support::stage(&[]).await;
    stage.finish("create table t (id int, day date, note varchar(100))").await;
    let hostile = "x'); drop table t; --";
    let parameters = json!([{ "name": "id", "value": "7" }, { "name": "day", "value": "2026-02-03" },
                            { "name": "note", "value": hostile }]);
    let sql = "insert into t values (:id, :day, :note)";
    let end = stage.ended(&stage.submit(json!({ "Sql": sql, "Parameters": parameters })).await).await;
    assert_eq!(end["Status"], "FINISHED", "{end}");
    assert_eq!(end["QueryParameters"], parameters);
    assert_eq!(
        stage.rows("select * from t").await,
        json!([[{ "longValue": 7 }, { "stringValue": "2026-02-03" }, { "stringValue": hostile }]])
    );
    let wrong = json!({ "Sql": "select * from t where id = :id", "Parameters": [{ "name": "id", "value": "seven" }] });
    let end = stage.ended(&stage.submit(wrong).await).await;
    assert_eq!(end["Status"], "FAILED");
    assert_eq!(end["Error"], "ERROR: invalid input syntax for type integer: \"seven\"");
    stage.strike().await;
}

#[tokio::test]
async fn a_failed_batch_leaves_nothing_and_says_which_statement_failed() {
    let stage = support::stage(&[]).await;
    stage.finish("create table t (id int)").await;
    let sqls =
        json!(["insert into t values (1)", "select count(*) from t", "insert into nowhere values (1)", "select 1"]);
    let id = stage.submit(json!({ "Sqls": sqls })).await;
    let end = stage.ended(&id).await;
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
    assert_eq!(stage.rows("select count(*) from t").await, json!([[{ "longValue": 0 }]]));
    let (_, result) = stage.call("GetStatementResult", json!({ "Id": format!("{id}:2") })).await;
    assert_eq!(result["Records"], json!([[{ "longValue": 1 }]]));
    let (status, body) = stage.call("GetStatementResult", json!({ "Id": id })).await;
    assert_eq!(status, 400);
    assert_eq!(body["Message"], "BatchExecuteStatement result can only be retrieved with sub-statement id.");
    stage.strike().await;
}

#[tokio::test]
async fn auto_commit_keeps_what_succeeded() {
    let stage = support::stage(&[]).await;
    stage.finish("create table t (id int)").await;
    let sqls = ["insert into t values (1)", "insert into nowhere values (1)", "insert into t values (2)"];
    let id = stage.submit(json!({ "Sqls": sqls, "ExecutionMode": "AUTO_COMMIT" })).await;
    let end = stage.ended(&id).await;
    assert_eq!((&end["Status"], &end["ExecutionMode"]), (&json!("FAILED"), &json!("AUTO_COMMIT")));
    let statuses: Vec<&Value> = end["SubStatements"].as_array().unwrap().iter().map(|part| &part["Status"]).collect();
    assert_eq!(json!(statuses), json!(["FINISHED", "FAILED", "FINISHED"]));
    assert_eq!(stage.rows("select count(*) from t").await, json!([[{ "longValue": 2 }]]));
    stage.strike().await;
}

#[tokio::test]
async fn cancel_stops_the_query_in_the_database() {
    let stage = support::stage(&[]).await;
    stage.finish("create table t (id int)").await;
    let id = stage.submit(json!({ "Sqls": ["insert into t values (1)", "select nap(60)", "select 1"] })).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    let (status, body) = stage.call("CancelStatement", json!({ "Id": id })).await;
    assert_eq!((status, body), (200, json!({ "Status": true })));
    assert!(began.elapsed() < Duration::from_secs(5));
    let end = stage.ended(&id).await;
    assert_eq!(end["Status"], "ABORTED");
    let statuses: Vec<&Value> = end["SubStatements"].as_array().unwrap().iter().map(|part| &part["Status"]).collect();
    assert_eq!(json!(statuses), json!(["FINISHED", "ABORTED", "ABORTED"]));
    assert_eq!(stage.rows("select count(*) from t").await, json!([[{ "longValue": 0 }]]));
    let (client, connection) = connected().await;
    tokio::spawn(connection);
    let running = "select count(*) from pg_stat_activity where datname = $1 and state = 'active'";
    assert_eq!(client.query_one(running, &[&stage.database]).await.unwrap().get::<_, i64>(0), 0);
    let (status, body) = stage.call("CancelStatement", json!({ "Id": id })).await;
    assert_eq!(status, 400);
    assert_eq!(body["Message"], format!("Could not cancel a query that is already in ABORTED state with ID: {id}"));
    stage.strike().await;
}

#[tokio::test]
async fn one_client_token_is_one_statement() {
    let stage = support::stage(&[]).await;
    stage.finish("create table t (id int)").await;
    let request = stage.on_database(json!({ "Sql": "insert into t values (1)", "ClientToken": "token-1" }));
    let calls = (0..10).map(|_| stage.call("ExecuteStatement", request.clone()));
    let ids: Vec<Value> =
        futures::future::join_all(calls).await.into_iter().map(|(_, body)| body["Id"].clone()).collect();
    assert!(ids.iter().all(|id| id == &ids[0] && id.is_string()), "{ids:?}");
    stage.ended(ids[0].as_str().unwrap()).await;
    assert_eq!(stage.rows("select count(*) from t").await, json!([[{ "longValue": 1 }]]));
    let mut other = request.clone();
    other["Sql"] = json!("insert into t values (2)");
    let (status, body) = stage.call("ExecuteStatement", other).await;
    assert_eq!((status, &body["__type"]), (400, &json!("ValidationException")));
    // Waiting is not part of what is asked; another role has tokens of its own.
    let mut waiting = request.clone();
    waiting["WaitTimeSeconds"] = json!(5);
    assert_eq!(stage.call("ExecuteStatement", waiting).await.1["Id"], ids[0]);
    let (_, foreign) = stage.call_as("AKIAROLE2", "ExecuteStatement", request).await;
    assert_ne!(foreign["Id"], ids[0]);
    stage.strike().await;
}

#[tokio::test]
async fn a_session_keeps_temporary_tables_and_runs_one_statement_at_a_time() {
    let stage = support::stage(&[]).await;
    let open =
        json!({ "Sql": "create temp table t as select 5 as x", "SessionKeepAliveSeconds": 2, "WaitTimeSeconds": 30 });
    let (_, opened) = stage.call("ExecuteStatement", stage.on_database(open)).await;
    let session = opened["SessionId"].clone();
    let on_session = async |sql: &str, wait: i64| {
        stage.call("ExecuteStatement", json!({ "Sql": sql, "SessionId": session, "WaitTimeSeconds": wait })).await
    };
    let (status, body) = on_session("select x from t", 30).await;
    assert_eq!((status, &body["Status"]), (200, &json!("FINISHED")));
    let (_, result) = stage.call("GetStatementResult", json!({ "Id": body["Id"] })).await;
    assert_eq!(result["Records"], json!([[{ "longValue": 5 }]]));
    let (_, slow) = on_session("select nap(2)", 1).await;
    let (status, body) = on_session("select 1", 1).await;
    assert_eq!((status, &body["Message"]), (400, &json!("Session is not available")));
    let (_, sessions) = stage.call("ListSessions", json!({ "SessionId": session })).await;
    assert_eq!(sessions["Sessions"][0]["Status"], "BUSY");
    assert_eq!(sessions["Sessions"][0]["CurrentStatementId"], slow["Id"]);
    stage.ended(slow["Id"].as_str().unwrap()).await;
    // Two seconds later nothing keeps it alive.
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let (status, body) = on_session("select 1", 1).await;
    assert_eq!((status, &body["Message"]), (400, &json!("Session is not available")));
    let (_, sessions) = stage.call("ListSessions", json!({ "SessionId": session })).await;
    assert_eq!(sessions["Sessions"][0]["Status"], "CLOSED");
    stage.strike().await;
}

#[tokio::test]
async fn a_transaction_lives_across_the_statements_of_a_session() {
    let stage = support::stage(&[]).await;
    stage.finish("create table t (id int)").await;
    let open = json!({ "Sql": "begin", "SessionKeepAliveSeconds": 60, "WaitTimeSeconds": 30 });
    let (_, opened) = stage.call("ExecuteStatement", stage.on_database(open)).await;
    for sql in ["insert into t values (1)", "rollback", "insert into t values (2)"] {
        let request = json!({ "Sql": sql, "SessionId": opened["SessionId"], "WaitTimeSeconds": 30 });
        let (_, body) = stage.call("ExecuteStatement", request).await;
        assert_eq!(body["Status"], "FINISHED", "{sql}: {body}");
    }
    assert_eq!(stage.rows("select id from t").await, json!([[{ "longValue": 2 }]]));
    stage.strike().await;
}

#[tokio::test]
async fn large_results_come_in_pages_and_too_large_ones_fail() {
    let stage = support::stage(&["--max-result-bytes", "4000000"]).await;
    let end = stage
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
        let (_, page) = stage.call("GetStatementResult", request).await;
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
    let end = stage
        .run(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000) \
                         select repeat('x', 1000) as pad from n",
        )
        .await;
    assert_eq!(end["Status"], "FAILED");
    assert!(end["Error"].as_str().unwrap().contains("exceeded size limit"), "{end}");
    let end = stage.run("select repeat('x', 70000) as pad").await;
    assert!(end["Error"].as_str().unwrap().contains("Packet for query is too large"), "{end}");
    stage.strike().await;
}

#[tokio::test]
async fn csv_results_come_from_their_own_operation() {
    let stage = support::stage(&[]).await;
    let sql = "select 1 as a, 'x,\"y\"' as b, null::int as c";
    let id = stage.submit(json!({ "Sql": sql, "ResultFormat": "CSV" })).await;
    stage.ended(&id).await;
    let (_, result) = stage.call("GetStatementResultV2", json!({ "Id": id })).await;
    assert_eq!(result["Records"], json!([{ "CSVRecords": "1,\"x,\"\"y\"\"\",\r\n" }]));
    assert_eq!(result["ResultFormat"], "CSV");
    assert_eq!(stage.call("GetStatementResult", json!({ "Id": id })).await.0, 400);
    stage.strike().await;
}

#[tokio::test]
async fn procedures_run_and_may_commit() {
    let stage = support::stage(&[]).await;
    stage.finish("create table t (id int)").await;
    stage
        .finish(
            "create or replace procedure load_t(n int) as $$ begin \
             insert into t values (n); raise info 'loaded %', n; commit; \
             insert into t values (n + 1); end; $$ language plpgsql",
        )
        .await;
    let call = json!({ "Sql": "call load_t(:n)", "Parameters": [{ "name": "n", "value": "41" }] });
    let end = stage.ended(&stage.submit(call).await).await;
    assert_eq!(end["Status"], "FINISHED", "{end}");
    assert_eq!(stage.rows("select sum(id) from t").await, json!([[{ "longValue": 83 }]]));
    stage.strike().await;
}

#[tokio::test]
async fn a_lost_connection_fails_the_statement() {
    let stage = support::stage(&[]).await;
    let id = stage.submit(json!({ "Sql": "select nap(60)" })).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (_, running) = stage.call("DescribeStatement", json!({ "Id": id })).await;
    assert_eq!(running["Status"], "STARTED");
    let (client, connection) = connected().await;
    tokio::spawn(connection);
    let pid = i32::try_from(running["RedshiftPid"].as_i64().unwrap()).unwrap();
    client.execute("select pg_terminate_backend($1)", &[&pid]).await.unwrap();
    let end = stage.ended(&id).await;
    assert_eq!(end["Status"], "FAILED");
    assert!(end["Error"].as_str().unwrap().contains("terminating connection"), "{end}");
    let nowhere = json!({ "Sql": "select 1", "WorkgroupName": "shift", "Database": "no_such_database" });
    let (_, body) = stage.call("ExecuteStatement", nowhere).await;
    let end = stage.ended(body["Id"].as_str().unwrap()).await;
    assert_eq!(end["Status"], "FAILED");
    assert_eq!(end["Error"], "FATAL: database \"no_such_database\" does not exist");
    stage.strike().await;
}

#[tokio::test]
async fn ended_statements_are_forgotten_after_the_retention() {
    let stage = support::stage(&["--retention-seconds", "1"]).await;
    let id = stage.finish("select 1").await["Id"].clone();
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let (status, body) = stage.call("GetStatementResult", json!({ "Id": id })).await;
    assert_eq!((status, &body["__type"]), (400, &json!("ResourceNotFoundException")));
    stage.strike().await;
}

/// A transaction that begins with LOCK reads what the one that it waited for has written.
#[tokio::test]
async fn a_lock_comes_before_the_snapshot() {
    let stage = support::stage(&[]).await;
    stage.finish("create table counter (n int)").await;
    stage.finish("insert into counter values (0)").await;
    let add =
        json!({ "Sqls": ["lock counter", "insert into counter select max(n) + 1 from counter", "select nap(0.05)"] });
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(stage.submit(add.clone()).await);
    }
    for id in ids {
        let end = stage.ended(&id).await;
        assert_eq!(end["Status"], "FINISHED", "{end}");
    }
    assert_eq!(stage.rows("select max(n) from counter").await[0][0]["longValue"], 4);
    stage.finish("lock counter").await;
    stage.strike().await;
}
