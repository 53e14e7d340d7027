//! Parameter values are passed to SQL as data.

use serde_json::json;
use shiftwork_e2e::Stack;

#[tokio::test]
async fn a_value_with_sql_is_passed_as_text() {
    let stack = Stack::shared().await;
    let workflow = json!({
        "parameters": { "who": { "type": "string" }, "amount": { "type": "decimal" }, "many": { "type": "integer", "default": 7 },
                        "day": { "type": "date" }, "on": { "type": "boolean", "default": true } },
        "workflow_stages": [{ "execution_type": "sequential", "scripts": ["a.sql"] }] });
    let script = "-- :comment is none\n\
        insert into {s}.p select :who, :amount::decimal(20,10), :many::int, :day::date, :on::boolean, ':who', :run_date::date;\n\
        insert into {s}.p select :who, 1, 1, :day::date, false, 'x::y', '2000-01-01'::date;";
    let flow = stack.push("bound", workflow, &[("a.sql", script)]).await;
    flow.sql("create schema {s}").await;
    flow.sql("create table {s}.p (who varchar(200), amount decimal(20,10), many int, day date, flag boolean, written varchar(20), run_date date)").await;
    let evil = format!("O'Hara'); DROP TABLE {}.p; -- \" \\ :many $1 {{}} ÄÖ", flow.id);
    let parameters = json!({ "who": evil, "amount": "12345.6789000001", "day": "2024-02-29" });
    let run = flow.start_with(json!({ "parameters": parameters, "logical_date": "2026-03-01T23:30:00Z" })).await;
    let ended = run.end().await;
    ended.succeeded();
    assert_eq!(ended.run.parameters["many"], "7");
    let rows = flow.sql("select who, amount::varchar, many, day::varchar, flag, written, run_date::varchar from {s}.p order by amount desc").await;
    assert_eq!(rows[0], [evil.as_str(), "12345.6789000001", "7", "2024-02-29", "true", ":who", "2026-03-01"]);
    assert_eq!(rows[1][0], evil);
}

#[tokio::test]
async fn missing_invalid_and_unknown_parameters_are_reported_before_the_run_starts() {
    let stack = Stack::shared().await;
    let workflow = json!({
        "parameters": { "day": { "type": "date" }, "many": { "type": "integer", "default": 1 } },
        "workflow_stages": [{ "execution_type": "sequential", "scripts": ["a.sql"] }] });
    let flow = stack.push("params", workflow, &[("a.sql", "select :day::date, :many::int")]).await;
    for (parameters, words) in [
        (json!({}), vec!["day"]),
        (json!({ "day": "2024-02-30" }), vec!["day", "date"]),
        (json!({ "day": "2024-02-29", "many": "seven" }), vec!["many", "integer"]),
        (json!({ "day": "2024-02-29", "mani": 2 }), vec!["mani", "many"]),
        (json!({ "day": "" }), vec!["day"]),
    ] {
        let run = flow.run(&Stack::unique("r"));
        let request = json!({ "workflow_execution_id": run.id, "parameters": parameters });
        let refusal = flow.request(request).await.expect_err(&parameters.to_string());
        assert_eq!(refusal.name, "Shiftwork.InvalidWorkflow", "{refusal:?}");
        for word in words {
            assert!(refusal.message.contains(word), "{parameters}: {}", refusal.message);
        }
        // The message is logged, so it does not have the value.
        assert!(!refusal.message.contains("seven") && !refusal.message.contains("-30"), "{}", refusal.message);
        assert_eq!(run.record().await, None);
        assert_eq!(run.execution_status().await, None);
    }
}

#[tokio::test]
async fn a_secret_value_reaches_sql_and_no_record() {
    let stack = Stack::shared().await;
    let workflow = json!({
        "parameters": { "code": { "type": "integer", "secret": true } },
        "workflow_stages": [{ "execution_type": "sequential", "scripts": ["a.sql", "bad.sql"] }] });
    let scripts = [
        ("a.sql", "insert into {s}.t values (:code::int)"),
        ("bad.sql", "select :code::int, 'x'::int from {s}.nowhere"),
    ];
    let flow = stack.push("secret", workflow, &scripts).await;
    flow.make_table().await;
    let run = flow.start_with(json!({ "parameters": { "code": 411_177 } })).await;
    let ended = run.end().await;
    assert_eq!(flow.traces().await, [411_177]);
    assert_eq!(ended.run.parameters["code"], "(secret)");
    let message = ended.job("bad.sql").error_message.clone().unwrap();
    assert!(message.contains("secret parameters (code)"), "{message}");
    let stored = format!("{ended:?}");
    assert!(!stored.contains("411177"), "{stored}");
}
