//! The effects of each kind of job in the warehouse.

use serde_json::json;
use shiftwork_e2e::Stack;
use shiftwork_protocol::Status;

#[tokio::test]
async fn a_single_transaction_is_rolled_back_and_separate_statements_are_kept() {
    let stack = Stack::shared().await;
    let workflow = json!({ "workflow_stages": [{ "execution_type": "parallel", "scripts": [
        { "job_name": "whole", "script": "whole.sql" },
        { "job_name": "each", "script": "each.sql", "transaction": "per_statement" } ] }] });
    let scripts = [
        (
            "whole.sql",
            "insert into {s}.t values (1);\ninsert into {s}.t values (2);\ninsert into {s}.nowhere values (3);",
        ),
        (
            "each.sql",
            "insert into {s}.t values (11);\ninsert into {s}.nowhere values (12);\ninsert into {s}.t values (13);",
        ),
    ];
    let flow = stack.push("commits", workflow, &scripts).await;
    flow.make_table().await;
    let ended = flow.start().await.end().await;
    assert_eq!(ended.run.execution_status, Status::Failed);
    assert_eq!((ended.status("whole"), ended.status("each")), (Status::Failed, Status::Failed));
    let left = flow.traces().await;
    assert_eq!(left, [11], "the transaction is rolled back, and the separate statements end at the one that failed");
    assert_eq!(ended.job("each").part, 2);
}

#[tokio::test]
async fn a_script_in_begin_and_commit_is_one_transaction() {
    let stack = Stack::shared().await;
    let workflow =
        json!({ "workflow_stages": [{ "execution_type": "parallel", "scripts": ["whole.sql", "broken.sql"] }] });
    let scripts = [
        ("whole.sql", "begin;\ninsert into {s}.t values (1);\ninsert into {s}.t values (2);\ncommit;"),
        (
            "broken.sql",
            "start transaction;\ninsert into {s}.t values (11);\ninsert into {s}.nowhere values (12);\nend;",
        ),
    ];
    let flow = stack.push("enclosed", workflow, &scripts).await;
    flow.make_table().await;
    let ended = flow.start().await.end().await;
    assert_eq!((ended.status("whole.sql"), ended.status("broken.sql")), (Status::Succeeded, Status::Failed));
    assert_eq!(flow.traces().await, [1, 2]);
}

#[tokio::test]
async fn ninety_five_separate_statements_run_once_each() {
    let stack = Stack::shared().await;
    let workflow = json!({ "workflow_stages": [{ "execution_type": "sequential", "scripts": [
        { "job_name": "many", "script": "many.sql", "transaction": "per_statement" }, "after.sql" ] }] });
    let many: Vec<_> = (1..=95).map(|n| format!("insert into {{s}}.t values ({n});")).collect();
    let many = many.join("\n");
    let flow =
        stack.push("parts", workflow, &[("many.sql", &many), ("after.sql", "insert into {s}.t values (96)")]).await;
    flow.make_table().await;
    let ended = flow.start().await.end().await;
    ended.succeeded();
    assert_eq!(flow.traces().await, (1..=96).collect::<Vec<_>>());
    let runs: Vec<_> = ended.statements_of("many").iter().map(|statement| statement.runs.clone()).collect();
    assert_eq!(runs, vec![vec![1]; 95], "each statement was submitted once");
    assert_eq!((ended.job("many").attempt, ended.job("many").part), (1, 95));
}

#[tokio::test]
async fn a_script_with_every_kind_of_quote_is_split_at_its_statements() {
    let stack = Stack::shared().await;
    let workflow = json!({ "workflow_stages": [{ "execution_type": "sequential", "scripts": ["quotes.sql"] }] });
    let script = r#"
        -- a comment; not a statement
        /* neither; /* is; */ this */
        create table {s}."odd;name" (v varchar(50));
        insert into {s}."odd;name" values ('it''s; fine');
        create procedure {s}.p() as $body$
        begin
          insert into {s}."odd;name" values ('from; within');
        end;
        $body$ language plpgsql;
        call {s}.p();;
        insert into {s}."odd;name" values ('last') -- no semicolon"#;
    let flow = stack.push("quotes", workflow, &[("quotes.sql", script)]).await;
    flow.sql("create schema {s}").await;
    let ended = flow.start().await.end().await;
    ended.succeeded();
    assert_eq!(ended.statements[0].runs.len(), 5);
    let rows = flow.sql("select v from {s}.\"odd;name\" order by v").await;
    assert_eq!(rows.concat(), ["from; within", "it's; fine", "last"]);
}

#[tokio::test]
async fn a_procedure_is_called_with_bound_arguments() {
    let stack = Stack::shared().await;
    let workflow = json!({
        "parameters": { "n": { "type": "integer" } },
        "workflow_stages": [{ "execution_type": "sequential", "scripts": [
            "make.sql",
            { "job_name": "load", "kind": "procedure", "call": "{s}.load(:n, :label)", "arguments": { "label": "it's" } } ] }] });
    let make = "create table {s}.loaded (n int, label varchar(20));\n\
        create procedure {s}.load(n int, label varchar(20)) as $$ begin insert into {s}.loaded values (n, label); end; $$ language plpgsql;";
    let flow = stack.push("proc", workflow, &[("make.sql", make)]).await;
    flow.sql("create schema {s}").await;
    let ended = flow.start_with(json!({ "parameters": { "n": 42 } })).await.end().await;
    ended.succeeded();
    assert_eq!(flow.sql("select n, label from {s}.loaded").await, [["42", "it's"]]);
}

#[tokio::test]
async fn an_unload_writes_a_file() {
    let stack = Stack::shared().await;
    let bucket = stack.output("ScriptsBucket").to_owned();
    let workflow = json!({ "time_zone": "Europe/Berlin", "workflow_stages": [{ "execution_type": "sequential", "scripts": [
        { "job_name": "export", "kind": "unload", "select": "select n, 'a,b' as words from {s}.t order by n",
          "to": format!("s3://{bucket}/exports/{{s}}/{{run_date}}/{{workflow_execution_id}}/"),
          "format": "csv", "header": true, "parallel": false } ] }] });
    let flow = stack.push("unload", workflow, &[]).await;
    flow.make_table().await;
    flow.sql("insert into {s}.t values (1), (2)").await;
    let run = flow.start_with(json!({ "logical_date": "2026-02-28T23:30:00Z" })).await;
    let ended = run.end().await;
    ended.succeeded();
    assert_eq!(ended.job("export").rows, Some(2));
    let key = format!("exports/{}/2026-03-01/{}/000", flow.id, run.id);
    let object =
        stack.s3.get_object().bucket(&bucket).key(&key).send().await.unwrap_or_else(|e| panic!("{key}: {e:?}"));
    let text = object.body.collect().await.unwrap().into_bytes();
    assert_eq!(String::from_utf8_lossy(&text), "n,words\n1,\"a,b\"\n2,\"a,b\"\n");
}

#[tokio::test]
async fn the_times_of_a_job_are_those_of_redshift() {
    let stack = Stack::shared().await;
    let workflow = json!({ "workflow_stages": [{ "execution_type": "sequential", "scripts": ["a.sql"] }] });
    let flow = stack.push("times", workflow, &[("a.sql", "insert into {s}.t values (1)")]).await;
    flow.make_table().await;
    let run = flow.run(&Stack::unique("r"));
    stack
        .redshift_fault(json!({ "statement_name_prefix": format!("shiftwork:{}:", run.id),
        "effect": { "delay_statement": { "milliseconds": 3000 } } }))
        .await;
    flow.start_as(&run, json!({})).await;
    let ended = run.end().await;
    ended.succeeded();
    let (job, statement) = (ended.job("a.sql"), &ended.statements[0]);
    let times = job.times;
    assert!(times.queued_us.unwrap() >= 2_900_000, "the queue of 3 s: {times:?}");
    assert!(times.ran_us.unwrap() < 2_900_000, "without the queue: {times:?}");
    assert!(times.noticed_us.is_some() && times.unreported == 0, "{times:?}");
    let millis = |at: Option<jiff::Timestamp>| at.unwrap().as_millisecond();
    let created = millis(times.engine_created_ts);
    assert!((created - statement.created.as_millisecond()).abs() <= 1, "{times:?}, {statement:?}");
    let ended_at = millis(times.engine_ended_ts);
    assert!((ended_at - millis(statement.ended)).abs() <= 1, "{times:?}, {statement:?}");
    assert!(millis(times.engine_started_ts) <= ended_at && ended_at <= millis(job.execution_end_ts), "{times:?}");
    let total = times.queued_us.unwrap() + times.ran_us.unwrap() + times.noticed_us.unwrap();
    let span = u64::try_from(millis(job.execution_end_ts) - created).unwrap();
    assert!((total / 1_000).abs_diff(span) <= 3, "the three add up to {span} ms: {times:?}");
}

#[tokio::test]
async fn the_rows_of_a_script_are_those_of_each_statement() {
    let stack = Stack::shared().await;
    let workflow = json!({ "workflow_stages": [{ "execution_type": "sequential", "scripts": ["a.sql"] }] });
    let script = "-- Seven rows.\ninsert into {s}.t values (1), (2), (3), (4), (5), (6), (7);\n\
        delete from {s}.t where n > 5;\nselect count(*) from {s}.t;\ndelete from {s}.t where n > 100;";
    let flow = stack.push("rows", workflow, &[("a.sql", script)]).await;
    flow.make_table().await;
    let ended = flow.start().await.end().await;
    ended.succeeded();
    let job = ended.job("a.sql");
    let found: Vec<_> = job.statements.iter().map(|one| (one.command.as_str(), one.rows, one.returned)).collect();
    let expected =
        [("INSERT", Some(7), false), ("DELETE", Some(2), false), ("SELECT", Some(1), true), ("DELETE", Some(0), false)];
    assert_eq!(found, expected);
    assert_eq!(job.rows, Some(9), "the rows that the statements changed");
    let each = job.statements.iter().filter_map(|one| one.ran_us).sum::<u64>();
    assert!(job.times.ran_us.unwrap().abs_diff(each) <= 4, "{:?}, {each}", job.times);
}
