//! The protocol: error shapes, validation, limits and ownership of statements.

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

mod support;

use serde_json::{Value, json};

/// Each rejected request with its exact response.
#[allow(clippy::too_many_lines)] // One table.
#[tokio::test]
async fn requests_are_rejected_in_the_shapes_of_the_model() {
    let server = support::start(&[]).await;
    let validation = |message: &str| json!({ "__type": "ValidationException", "Message": message });
    let ok = |members: Value| server.on_database(members);
    let unknown_id = "00000000-0000-0000-0000-000000000000";
    let cases: Vec<(&str, Value, Value)> = vec![
        (
            "ExecuteStatement",
            ok(json!({})),
            validation(
                "1 validation error detected: Value null at 'sql' failed to satisfy constraint: Member must not be null",
            ),
        ),
        (
            "ExecuteStatement",
            json!({ "Sql": "select 1", "Database": "d" }),
            validation("Either ClusterIdentifier or WorkgroupName must be specified."),
        ),
        (
            "ExecuteStatement",
            json!({ "Sql": "select 1", "Database": "d", "WorkgroupName": "shift", "ClusterIdentifier": "c" }),
            validation("ClusterIdentifier and WorkgroupName cannot both be specified."),
        ),
        (
            "ExecuteStatement",
            json!({ "Sql": "select 1", "WorkgroupName": "shift" }),
            validation("Database must be specified."),
        ),
        (
            "ExecuteStatement",
            ok(json!({ "Sql": "select 1", "WaitTimeSeconds": 31, "ResultFormat": "XML" })),
            validation(
                "2 validation errors detected: Value 'XML' at 'resultFormat' failed to satisfy constraint: Member must \
                 satisfy enum value set: [JSON, CSV]; Value '31' at 'waitTimeSeconds' failed to satisfy constraint: \
                 Member must have value less than or equal to 30",
            ),
        ),
        (
            "ExecuteStatement",
            ok(json!({ "Sql": format!("select '{}'", "x".repeat(100 * 1024)) })),
            validation("Cannot process query string larger than 100kB"),
        ),
        (
            "ExecuteStatement",
            ok(json!({ "Sql": "select 1", "Sqls": ["select 1"] })),
            validation("Unknown member 'Sqls' in the request"),
        ),
        (
            "ExecuteStatement",
            ok(json!({ "Sql": "select 1", "StatmentName": "typo" })),
            validation("Unknown member 'StatmentName' in the request"),
        ),
        ("ExecuteStatement", ok(json!({ "Sql": "select :a" })), validation("Cannot find parameter: a")),
        (
            "ExecuteStatement",
            ok(json!({ "Sql": "select ':a'", "Parameters": [{ "name": "a", "value": "1" }] })),
            validation("Parameters list contains unused parameters. Unused parameters: [a]"),
        ),
        (
            "ExecuteStatement",
            ok(json!({ "Sql": "select :a", "Parameters": [{ "name": "a", "value": "" }] })),
            validation(
                "1 validation error detected: Value '' at 'parameters.1.member.value' failed to satisfy constraint: \
                 Member must have length greater than or equal to 1",
            ),
        ),
        (
            "ExecuteStatement",
            json!({ "Sql": "select 1", "SessionId": unknown_id }),
            validation(&format!("Session with Id: {unknown_id} is invalid")),
        ),
        (
            "BatchExecuteStatement",
            ok(json!({ "Sqls": [] })),
            validation(
                "1 validation error detected: Value '[]' at 'sqls' failed to satisfy constraint: Member must have \
                 length greater than or equal to 1",
            ),
        ),
        (
            "DescribeStatement",
            json!({ "Id": unknown_id }),
            json!({ "__type": "ResourceNotFoundException", "Message": "Query does not exist.", "ResourceId": unknown_id }),
        ),
        (
            "ListStatements",
            json!({ "MaxResults": 101 }),
            validation(
                "1 validation error detected: Value '101' at 'maxResults' failed to satisfy constraint: Member must \
                 have value less than or equal to 100",
            ),
        ),
        (
            "ListDatabases",
            ok(json!({ "SchemaPattern": "%" })),
            validation("Unknown member 'SchemaPattern' in the request"),
        ),
    ];
    for (operation, request, expected) in cases {
        let (status, body) = server.call(operation, request).await;
        assert_eq!((status, &body), (400, &expected), "{operation}");
    }
    let many: Vec<String> = vec!["select 1".into(); 41];
    let (status, body) = server.call("BatchExecuteStatement", ok(json!({ "Sqls": many }))).await;
    assert_eq!(status, 400);
    assert!(body["Message"].as_str().unwrap().ends_with("Member must have length less than or equal to 40"), "{body}");
    let ran = server.admin("GET", "/_statements", json!({})).await;
    assert_eq!(ran, json!([]), "a rejected request runs nothing");
    server.drop_database().await;
}

#[tokio::test]
async fn protocol_errors_match_those_of_aws() {
    let server = support::start(&[]).await;
    let key = Some("AKIAROLE1SESSIONA");
    let list = "RedshiftData.ListStatements";
    let post = async |key, target, body: &str| server.post(key, target, body.to_owned()).await.unwrap();
    let (status, body) = post(None, list, "{}").await;
    assert_eq!((status, &body["__type"]), (403, &json!("MissingAuthenticationTokenException")));
    let (status, body) = post(Some("AKIAUNKNOWN"), list, "{}").await;
    assert_eq!((status, &body["__type"]), (403, &json!("UnrecognizedClientException")));
    let (status, body) = post(key, "RedshiftData.DropEverything", "{}").await;
    assert_eq!((status, &body["__type"]), (400, &json!("UnknownOperationException")));
    let (status, body) = post(key, "DynamoDB_20120810.ListTables", "{}").await;
    assert_eq!((status, &body["__type"]), (400, &json!("UnknownOperationException")));
    for broken in ["{", "[]", r#"{"MaxResults": "ten"}"#] {
        let (status, body) = post(key, list, broken).await;
        assert_eq!((status, &body["__type"]), (400, &json!("SerializationException")), "{broken}");
    }
    let (status, body) = post(key, list, "{}").await;
    assert_eq!((status, body), (200, json!({ "Statements": [] })));
    let counted = server.admin("GET", "/_requests", json!({})).await;
    assert_eq!(counted["ListStatements"]["ok"], 1);
    assert_eq!(counted["ListStatements"]["SerializationException"], 3);
    server.drop_database().await;
}

#[tokio::test]
async fn only_the_submitting_role_sees_a_statement() {
    let server = support::start(&[]).await;
    let id = server.finish("select 1").await["Id"].clone();
    let sleeping = server.submit(json!({ "Sql": "select sleep(5)" })).await;
    for operation in ["DescribeStatement", "GetStatementResult", "CancelStatement"] {
        let (status, body) = server.call_as("AKIAROLE2", operation, json!({ "Id": sleeping })).await;
        assert_eq!((status, &body["__type"]), (400, &json!("ResourceNotFoundException")), "{operation}");
    }
    // Another session of the same role has full access.
    let (status, _) = server.call_as("AKIAROLE1SESSIONB", "CancelStatement", json!({ "Id": sleeping })).await;
    assert_eq!(status, 200);
    let listed = async |key: &str, role_level: bool| {
        let (_, body) =
            server.call_as(key, "ListStatements", json!({ "Status": "ALL", "RoleLevel": role_level })).await;
        let ids: Vec<Value> = body["Statements"].as_array().unwrap().iter().map(|s| s["Id"].clone()).collect();
        ids
    };
    assert_eq!(listed("AKIAROLE1SESSIONB", true).await, [json!(sleeping), id], "newest first");
    assert_eq!(listed("AKIAROLE1SESSIONB", false).await, Vec::<Value>::new());
    assert_eq!(listed("AKIAROLE2", true).await, Vec::<Value>::new());
    server.drop_database().await;
}

#[tokio::test]
async fn active_statements_are_limited_per_warehouse() {
    let server = support::start(&["--max-active-statements", "2", "--max-sessions", "1"]).await;
    let first = server.submit(json!({ "Sql": "select sleep(20)" })).await;
    let second = server.submit(json!({ "Sql": "select sleep(20)" })).await;
    let (status, body) = server.call("ExecuteStatement", server.on_database(json!({ "Sql": "select 1" }))).await;
    let message = "Active statements exceeded the allowed quota (2).";
    assert_eq!((status, body), (400, json!({ "__type": "ActiveStatementsExceededException", "Message": message })));
    let elsewhere = json!({ "Sql": "select 1", "ClusterIdentifier": "other", "Database": server.database });
    assert_eq!(server.call("ExecuteStatement", elsewhere).await.0, 200);
    for id in [first, second] {
        assert_eq!(server.call("CancelStatement", json!({ "Id": id })).await.1, json!({ "Status": true }));
    }
    let session = json!({ "Sql": "select 1", "SessionKeepAliveSeconds": 60, "WaitTimeSeconds": 30 });
    assert_eq!(server.call("ExecuteStatement", server.on_database(session.clone())).await.0, 200);
    let (status, body) = server.call("ExecuteStatement", server.on_database(session)).await;
    assert_eq!((status, &body["__type"]), (400, &json!("ActiveSessionsExceededException")));
    server.drop_database().await;
}

#[tokio::test]
async fn lists_are_paged_newest_first_without_gaps() {
    let server = support::start(&[]).await;
    for n in 0..7 {
        let name = format!("shiftwork:run:{n}");
        let id = server.submit(json!({ "Sql": "select 1", "StatementName": name })).await;
        server.ended(&id).await;
    }
    server.run("select * from nothing").await;
    let mut names = Vec::new();
    let mut token = Value::Null;
    loop {
        let mut request = json!({ "MaxResults": 3, "StatementName": "shiftwork:run:" });
        if !token.is_null() {
            request["NextToken"] = token;
        }
        let (_, body) = server.call("ListStatements", request).await;
        names.extend(body["Statements"].as_array().unwrap().iter().map(|s| s["StatementName"].clone()));
        token = body["NextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    let expected: Vec<Value> = (0..7).rev().map(|n| json!(format!("shiftwork:run:{n}"))).collect();
    assert_eq!(names, expected);
    // Without a status, only finished statements are listed.
    let (_, body) = server.call("ListStatements", json!({})).await;
    assert_eq!(body["Statements"].as_array().unwrap().len(), 7);
    let (_, body) = server.call("ListStatements", json!({ "Status": "FAILED" })).await;
    assert_eq!(body["Statements"].as_array().unwrap().len(), 1);
    server.drop_database().await;
}

#[tokio::test]
async fn the_catalog_is_listed_and_described() {
    let server = support::start(&[]).await;
    server.finish("create schema mart").await;
    server.finish("create table mart.sale (id int not null, name varchar(20), price numeric(8, 2) default 1)").await;
    let (_, databases) = server.call("ListDatabases", server.on_database(json!({}))).await;
    assert!(databases["Databases"].as_array().unwrap().contains(&json!(server.database)));
    let (_, schemas) = server.call("ListSchemas", server.on_database(json!({ "SchemaPattern": "ma%" }))).await;
    assert_eq!(schemas, json!({ "Schemas": ["mart"] }));
    let (_, tables) = server.call("ListTables", server.on_database(json!({ "SchemaPattern": "mart" }))).await;
    assert_eq!(tables, json!({ "Tables": [{ "name": "sale", "schema": "mart", "type": "TABLE" }] }));
    let describe = json!({ "Schema": "mart", "Table": "sale", "MaxResults": 2 });
    let (_, page) = server.call("DescribeTable", server.on_database(describe)).await;
    let columns: Vec<_> = page["ColumnList"].as_array().unwrap().iter().map(|c| [&c["name"], &c["typeName"]]).collect();
    assert_eq!(json!(columns), json!([["id", "int4"], ["name", "varchar"]]));
    assert_eq!((&page["TableName"], &page["NextToken"]), (&json!("sale"), &json!("2")));
    assert_eq!((&page["ColumnList"][0]["nullable"], &page["ColumnList"][1]["length"]), (&json!(0), &json!(20)));
    let nowhere = json!({ "WorkgroupName": "shift", "Database": "no_such_database" });
    let (status, body) = server.call("ListTables", nowhere).await;
    assert_eq!((status, &body["__type"]), (500, &json!("DatabaseConnectionException")));
    server.drop_database().await;
}
