//! Statement events, and faults that tests inject.

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

mod support;

use std::time::Duration;

use serde_json::{Value, json};

fn details(events: &[Value]) -> Vec<Value> {
    events.iter().map(|event| serde_json::from_str(event["Detail"].as_str().unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn each_end_state_sends_one_event_if_requested() {
    let server = support::start(&[]).await;
    let mut ids = Vec::new();
    for (name, sql) in
        [("good", "select 1 union all select 2"), ("bad", "select * from nowhere"), ("slow", "select sleep(60)")]
    {
        ids.push(server.submit(json!({ "Sql": sql, "StatementName": name, "WithEvent": true })).await);
    }
    server.finish("select 'silent'").await;
    server.call("CancelStatement", json!({ "Id": ids[2] })).await;
    let events = server.events(3).await;
    assert_eq!(events.len(), 3, "{events:?}");
    for event in &events {
        assert_eq!(event["Source"], "aws.redshift-data");
        assert_eq!(event["DetailType"], "Redshift Data Statement Status Change");
        assert_eq!(event["Resources"], json!(["arn:aws:redshift-serverless:us-east-1:000000000000:workgroup/shift"]));
    }
    let mut states: Vec<Value> = details(&events)
        .iter()
        .map(|d| {
            let mut keys: Vec<&String> = d.as_object().unwrap().keys().collect();
            keys.sort();
            let documented =
                ["expireAt", "principal", "redshiftQueryId", "rows", "state", "statementId", "statementName"];
            assert_eq!(keys, documented);
            assert_eq!(d["principal"], "arn:aws:sts::000000000000:assumed-role/role1/a");
            json!([d["statementName"], d["state"], d["rows"]])
        })
        .collect();
    states.sort_by_key(ToString::to_string);
    assert_eq!(json!(states), json!([["bad", "FAILED", -1], ["good", "FINISHED", 2], ["slow", "ABORTED", -1]]));
    server.drop_database().await;
}

#[tokio::test]
async fn events_are_dropped_duplicated_and_delayed() {
    let server = support::start(&[]).await;
    let rules = json!([
        { "statement_name_prefix": "dropped", "effect": "drop_event" },
        { "statement_name_prefix": "doubled", "effect": "double_event" },
        { "statement_name_prefix": "late", "effect": { "delay_event": { "milliseconds": 700 } } },
    ]);
    server.admin("POST", "/_faults", rules).await;
    for name in ["dropped", "late", "doubled"] {
        let id = server.submit(json!({ "Sql": "select 1", "StatementName": name, "WithEvent": true })).await;
        server.ended(&id).await;
    }
    let names: Vec<Value> = details(&server.events(3).await).into_iter().map(|d| d["statementName"].clone()).collect();
    assert_eq!(json!(names), json!(["doubled", "doubled", "late"]));
    let left = server.admin("GET", "/_faults", json!({})).await;
    assert!(left.as_array().unwrap().iter().all(|rule| rule["times"] == 0));
    server.drop_database().await;
}

#[tokio::test]
async fn a_call_without_a_response_is_executed_once() {
    let server = support::start(&[]).await;
    server.finish("create table t (id int)").await;
    let rule = json!([{ "operation": "ExecuteStatement", "sql_regex": "(?i)^insert", "effect": "drop_connection" }]);
    server.admin("POST", "/_faults", rule).await;
    let request = server
        .on_database(json!({ "Sql": "insert into t values (1)", "ClientToken": "once", "StatementName": "lost" }));
    let lost = server.post(Some("AKIAROLE1SESSIONA"), "RedshiftData.ExecuteStatement", request.to_string()).await;
    assert!(lost.is_err(), "{lost:?}");
    let (status, adopted) = server.call("ExecuteStatement", request).await;
    assert_eq!(status, 200);
    server.ended(adopted["Id"].as_str().unwrap()).await;
    assert_eq!(server.rows("select count(*) from t").await, json!([[{ "longValue": 1 }]]));
    let all = server.admin("GET", "/_statements", json!({})).await;
    let lost: Vec<&Value> = all.as_array().unwrap().iter().filter(|s| s["name"] == "lost").collect();
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0]["parts"][0]["runs"], 1);
    assert_eq!(server.admin("GET", "/_requests", json!({})).await["ExecuteStatement"]["connection dropped"], 1);
    server.drop_database().await;
}

#[tokio::test]
async fn fault_rules_reject_calls_and_fail_statements() {
    let server = support::start(&[]).await;
    server.finish("create table t (id int)").await;
    let violation = "ERROR: 1023\n  Detail: Serializable isolation violation on table in Redshift";
    let rules = json!([
        { "operation": "ExecuteStatement", "effect": "throttle" },
        { "operation": "ExecuteStatement", "effect": "active_statements_exceeded" },
        { "operation": "DescribeStatement", "effect": "internal_error" },
        { "sql_regex": "values \\(2\\)", "effect": { "fail_statement": { "error": violation } } },
        { "statement_name_prefix": "slow", "effect": { "delay_statement": { "milliseconds": 60000 } } },
    ]);
    server.admin("POST", "/_faults", rules).await;
    let select = server.on_database(json!({ "Sql": "select 1" }));
    let (status, body) = server.call("ExecuteStatement", select.clone()).await;
    assert_eq!((status, body), (400, json!({ "__type": "ThrottlingException", "Message": "Rate exceeded" })));
    let (status, body) = server.call("ExecuteStatement", select.clone()).await;
    assert_eq!((status, &body["__type"]), (400, &json!("ActiveStatementsExceededException")));
    let (status, body) = server.call("ExecuteStatement", select).await;
    assert_eq!(status, 200);
    let (status, body) = server.call("DescribeStatement", json!({ "Id": body["Id"] })).await;
    assert_eq!((status, &body["__type"]), (500, &json!("InternalServerException")));
    let id = server.submit(json!({ "Sqls": ["insert into t values (1)", "insert into t values (2)"] })).await;
    let end = server.ended(&id).await;
    assert_eq!(
        (&end["Status"], &end["Error"]),
        (&json!("FAILED"), &json!(format!("Query #2 failed with {violation}")))
    );
    assert_eq!(server.rows("select count(*) from t").await, json!([[{ "longValue": 0 }]]));
    // A delayed statement stays SUBMITTED, and can be cancelled before it runs.
    let id = server.submit(json!({ "Sql": "insert into t values (3)", "StatementName": "slow" })).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(server.call("DescribeStatement", json!({ "Id": id })).await.1["Status"], "SUBMITTED");
    assert_eq!(server.call("CancelStatement", json!({ "Id": id })).await.1, json!({ "Status": true }));
    assert_eq!(server.rows("select count(*) from t").await, json!([[{ "longValue": 0 }]]));
    server.drop_database().await;
}

/// The quotas of calls are those of an old page of AWS; it has none for ListStatements, for which the test assumes 5 per second.
#[tokio::test]
async fn latency_and_quotas_are_set_on_demand() {
    let server = support::start(&[]).await;
    let never = json!([{ "statement_name_prefix": "shiftwork:run:", "times": 601,
                         "effect": { "delay_statement": { "milliseconds": 3_600_000 } } }]);
    server.admin("POST", "/_faults", never).await;
    let quotas = json!({ "active_statements": 600 });
    assert_eq!(server.admin("PUT", "/_quotas", quotas).await["active_statements"], 600);
    let statement = |n: usize| json!({ "Sql": "select 1", "StatementName": format!("shiftwork:run:job_{n}:1") });
    for n in 0..600 {
        server.submit(statement(n)).await;
    }
    let (status, body) = server.call("ExecuteStatement", server.on_database(statement(600))).await;
    assert_eq!((status, &body["__type"]), (400, &json!("ActiveStatementsExceededException")));

    let quotas = json!({ "latency_milliseconds": 100, "active_statements": 600,
        "calls_per_second": { "ExecuteStatement": 30, "DescribeStatement": 100, "ListStatements": 5 } });
    server.admin("PUT", "/_quotas", quotas).await;
    server.admin("DELETE", "/_requests", json!({})).await;
    let begun = std::time::Instant::now();
    let (mut listed, mut next) = (0, String::new());
    loop {
        let mut page =
            server.on_database(json!({ "StatementName": "shiftwork:run:", "Status": "ALL", "MaxResults": 100 }));
        if !next.is_empty() {
            page["NextToken"] = json!(next);
        }
        let (status, body) = server.call("ListStatements", page).await;
        if status == 400 {
            assert_eq!(body["__type"], "ThrottlingException");
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        }
        listed += body["Statements"].as_array().unwrap().len();
        match body["NextToken"].as_str() {
            Some(token) => next = token.to_owned(),
            None => break,
        }
    }
    assert_eq!(listed, 600);
    assert_eq!(server.admin("GET", "/_requests", json!({})).await["ListStatements"]["ok"], 6);
    assert!(begun.elapsed() >= Duration::from_millis(600), "each of the 6 calls takes at least 100 ms");

    // 20 calls at once are more than the 5 of a second.
    let page = || server.on_database(json!({ "StatementName": "shiftwork:run:", "MaxResults": 1 }));
    let statuses = futures::future::join_all((0..20).map(|_| server.call("ListStatements", page()))).await;
    assert!(statuses.iter().any(|(status, body)| *status == 400 && body["__type"] == "ThrottlingException"));
    assert!(statuses.iter().any(|(status, _)| *status == 200));
    server.admin("DELETE", "/_quotas", json!({})).await;
    let (status, _) = server.call("ListStatements", page()).await;
    assert_eq!(status, 200);
    server.drop_database().await;
}
