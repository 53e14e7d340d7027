//! Change data is loaded exactly once: with repeated, overlapping and reordered batches, concurrent loaders and invalid
//! records.

use futures::future::join_all;
use serde_json::{Value, json};
use shiftwork_e2e::Stack;
use shiftwork_protocol::{Status, change::Bytes};

#[tokio::test]
async fn delivered_events_are_loaded_and_staged_files_are_deleted() {
    let stack = Stack::shared().await;
    let orders = stack.changes("cdc", "").await;
    let first = [orders.order(1, Some("new"), 10), orders.order(2, Some("new"), 20), orders.order(1, Some("paid"), 30)];
    orders.deliver(&orders.batch(0, 0, &first)).await;
    assert_eq!(orders.staged().await.len(), 1);
    let ended = orders.load().await;
    ended.succeeded();
    assert_eq!(ended.statements_of("load").len(), 1);
    assert_eq!(ended.job("load").rows, Some(3), "the number of loaded rows, independent of the last statement");
    assert_eq!(orders.orders().await, ["1 paid", "2 new"]);
    assert!(orders.staged().await.is_empty(), "loaded files are still staged");

    orders.deliver(&orders.batch(0, 3, &[orders.order(2, None, 40), orders.order(3, Some("new"), 50)])).await;
    orders.load().await.succeeded();
    assert_eq!(orders.orders().await, ["1 paid", "3 new"]);
}

#[tokio::test]
async fn a_load_without_staged_files_submits_no_statement() {
    let stack = Stack::shared().await;
    let orders = stack.changes("idle", "").await;
    let ended = orders.load().await;
    ended.succeeded();
    assert!(ended.statements.is_empty(), "{:?}", ended.statements);
    assert_eq!(ended.job("load").rows, Some(0));
}

#[tokio::test]
async fn redelivered_and_overlapping_batches_have_no_effect() {
    let stack = Stack::shared().await;
    // With `append`, every event is a row, so that a repeated event is visible.
    let orders = stack.changes("again", "promote: { kind: append }").await;
    let events: Vec<_> = (0..8).map(|n| orders.order(n, Some("new"), 10 * n)).collect();
    let part = |from: usize, to: usize| orders.batch(0, from, &events[from..to]);
    let (early, again, over, later) = (part(0, 4), part(0, 4), part(2, 6), part(6, 8));
    for batch in [&early, &again, &over, &later] {
        orders.deliver(batch).await;
    }
    assert_eq!(orders.staged().await.len(), 3, "the same batch is staged in the same file");
    for _ in 0..3 {
        orders.load().await.succeeded();
    }
    let all: Vec<_> = (0..8).map(|n| format!("{n} new")).collect();
    assert_eq!(orders.orders().await, all);
    // Lambda delivers a batch again that has been loaded before.
    orders.deliver(&over).await;
    orders.load().await.succeeded();
    assert_eq!(orders.orders().await, all);
    assert!(orders.staged().await.is_empty());
}

#[tokio::test]
async fn partitions_can_arrive_in_any_order_and_the_latest_event_of_a_key_wins() {
    let stack = Stack::shared().await;
    let orders = stack.changes("mixed", "").await;
    // A key has moved to another partition; older events arrive after newer ones, and after a load of the newer ones.
    orders.deliver(&orders.batch(1, 0, &[orders.order(1, Some("third"), 30), orders.order(2, None, 35)])).await;
    orders.load().await.succeeded();
    orders.deliver(&orders.batch(0, 0, &[orders.order(1, Some("first"), 10), orders.order(2, Some("new"), 15)])).await;
    orders.deliver(&orders.batch(2, 0, &[orders.order(1, Some("second"), 20), orders.order(3, Some("new"), 25)])).await;
    orders.load().await.succeeded();
    assert_eq!(
        orders.orders().await,
        ["1 third", "3 new"],
        "an older event replaced a newer one, or restored a deleted row"
    );
}

#[tokio::test]
async fn concurrent_loaders_and_loads_give_the_same_result() {
    let stack = Stack::shared().await;
    let orders = stack.changes("many", "promote: { kind: append }").await;
    let batches: Vec<_> = (0..6_u32)
        .map(|partition| {
            let of_partition =
                |n: u64| orders.order(u64::from(partition) * 10 + n, Some("new"), 100 * n + u64::from(partition));
            orders.batch(partition, 0, &(0..5).map(of_partition).collect::<Vec<_>>())
        })
        .collect();
    let runs = async {
        for _ in 0..3 {
            orders.load().await.succeeded();
        }
    };
    let deliveries = join_all(batches.iter().chain(&batches).map(|batch| orders.deliver(batch)));
    futures::join!(deliveries, runs);
    orders.load().await.succeeded();
    assert_eq!(orders.orders().await.len(), 30);
    assert!(orders.staged().await.is_empty());
}

#[tokio::test]
async fn invalid_records_are_dead_letters_with_their_bytes_and_can_be_replayed() {
    let stack = Stack::shared().await;
    let orders = stack.changes("invalid", "unknown: freeze").await;
    let mut odd = orders.order(2, Some("new"), 20);
    odd["after"]["colour"] = json!("red");
    let values = [
        orders.order(1, Some("new"), 10).to_string(),
        odd.to_string(),
        "{\"half".into(),
        orders.order(3, Some("new"), 30).to_string(),
    ];
    orders.deliver(&orders.batch(0, 0, &values)).await;
    orders.load().await.succeeded();
    assert_eq!(orders.orders().await, ["1 new", "3 new"], "the other records of the batch are loaded");

    let dead_letters = orders.dead_letters(2).await;
    let kinds: Vec<_> =
        dead_letters.iter().map(|dead_letter| (dead_letter.kind.as_str(), dead_letter.contract.as_deref())).collect();
    assert_eq!(kinds, [("frozen", Some(orders.flow.id.as_str())), ("not-json", None)]);
    assert!(dead_letters[0].reason.contains("colour"), "{}", dead_letters[0].reason);
    assert!(matches!(dead_letters[1].refused.record, Bytes::Base64(_)));

    // The contract is fixed, and the dead letter is sent again; a newer event of the order has arrived in the meantime.
    orders.contract("").await;
    orders.deliver(&orders.batch(0, 4, &[orders.order(2, Some("paid"), 40)])).await;
    let replay = json!({ "replay": dead_letters[0].refused });
    for _ in 0..2 {
        orders.send(&replay).await;
    }
    orders.until_staged(2).await;
    orders.load().await.succeeded();
    assert_eq!(orders.orders().await, ["1 new", "2 paid", "3 new"]);
}

#[tokio::test]
async fn the_command_line_replays_refused_and_unclaimed_records() {
    let stack = Stack::exclusive().await;
    let orders = stack.changes("replay", "unknown: freeze").await;
    let contract = orders.flow.id.as_str();
    let shiftwork = |arguments: &[&str]| {
        let tests = std::env::current_exe().unwrap();
        let binary = tests.parent().and_then(std::path::Path::parent).unwrap().join("shiftwork");
        let output = std::process::Command::new(binary).args(arguments).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{arguments:?}: {printed}");
        printed
    };
    let mut odd = orders.order(1, Some("new"), 10);
    odd["after"]["colour"] = json!("red");
    orders.deliver(&orders.batch(0, 0, &[odd])).await;
    orders.dead_letters(1).await;
    // Wait until the message is visible in the queue again.
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    orders.contract("").await;
    let printed = shiftwork(&["replay", "--contract", contract]);
    assert!(printed.contains("1 message sent"), "{printed}");
    orders.until_staged(1).await;

    let deployed = shiftwork_protocol::keys::contract_key(contract);
    stack.s3.delete_object().bucket(stack.output("ScriptsBucket")).key(&deployed).send().await.unwrap();
    // A warm loader caches the contract for a few seconds.
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    orders.deliver(&orders.batch(0, 1, &[orders.order(2, Some("new"), 20)])).await;
    orders.contract("").await;
    let printed = shiftwork(&["replay", "--unclaimed", "--contract", contract]);
    assert!(printed.contains("1 file sent"), "{printed}");
    orders.until_staged(2).await;
    orders.load().await.succeeded();
    assert_eq!(orders.orders().await, ["1 new", "2 new"]);
    let printed = shiftwork(&["replay", "--unclaimed", "--contract", contract]);
    assert!(printed.contains("0 files sent"), "{printed}");
}

#[tokio::test]
async fn an_appended_column_gets_values_that_were_staged_before() {
    let stack = Stack::shared().await;
    let orders = stack.changes("wider", "").await;
    let coloured = |id, colour: &str, lsn| {
        let mut order = orders.order(id, Some("new"), lsn);
        order["after"]["colour"] = json!(colour);
        order
    };
    orders.deliver(&orders.batch(0, 0, &[coloured(1, "red", 10)])).await;
    orders.contract("  - { name: colour, type: varchar(16) }").await;
    orders.deliver(&orders.batch(1, 0, &[coloured(2, "blue", 20)])).await;
    // The loader may use its cached contract for a few seconds; no value is lost in either case.
    orders.load().await.succeeded();
    let rows = orders.flow.sql("select id, colour from {s}.orders order by id").await;
    assert_eq!(rows, [["1", "red"], ["2", "blue"]]);

    // Another column, after the tables have been created.
    let two = "  - { name: colour, type: varchar(16) }\n  - { name: size, type: integer }";
    orders.contract(two).await;
    let mut large = coloured(3, "green", 30);
    large["after"]["size"] = json!(44);
    orders.deliver(&orders.batch(0, 1, &[large])).await;
    orders.load().await.succeeded();
    let rows = orders.flow.sql("select id, colour, size from {s}.orders order by id").await;
    assert_eq!(rows, [["1", "red", "NULL"], ["2", "blue", "NULL"], ["3", "green", "44"]]);
}

#[tokio::test]
async fn a_missing_contract_is_reported_before_the_run_starts() {
    let stack = Stack::shared().await;
    let job = json!({ "job_name": "load", "kind": "cdc", "contract": "nowhere" });
    let workflow = json!({ "workflow_stages": [{ "execution_type": "sequential", "scripts": [job] }] });
    let flow = stack.push("nowhere", workflow, &[]).await;
    let refused = flow.request(json!({})).await.unwrap_err();
    assert_eq!(refused.name, "Shiftwork.InvalidWorkflow");
    assert!(refused.message.contains("contracts/nowhere.yaml"), "{}", refused.message);
}

#[tokio::test]
async fn a_failed_load_keeps_staged_files_for_its_restart() {
    let stack = Stack::shared().await;
    let orders = stack.changes("fails", "").await;
    orders.deliver(&orders.batch(0, 0, &[orders.order(1, Some("new"), 10)])).await;
    let run = orders.flow.run(&Stack::unique("r"));
    let prefix = format!("shiftwork:{}:", run.id);
    let fail = json!({ "fail_statement": { "error": "ERROR: disk full" } });
    stack.redshift_fault(json!({ "statement_name_prefix": prefix, "effect": fail })).await;
    orders.flow.start_as(&run, json!({})).await;
    assert_eq!(run.end().await.run.execution_status, Status::Failed);
    assert_eq!(orders.staged().await.len(), 1);

    orders.deliver(&orders.batch(0, 1, &[orders.order(1, Some("paid"), 20)])).await;
    orders.flow.start_with(json!({ "restart_of": run.id })).await.end().await.succeeded();
    assert_eq!(orders.orders().await, ["1 paid"]);
    assert!(orders.staged().await.is_empty());
}

#[tokio::test]
async fn a_transaction_conflict_is_retried_with_a_new_manifest() {
    let stack = Stack::shared().await;
    let orders = stack.changes("conflict", "promote: { kind: append }").await;
    orders.deliver(&orders.batch(0, 0, &[orders.order(1, Some("new"), 10)])).await;
    let run = orders.flow.run(&Stack::unique("r"));
    let conflict = "ERROR: 1023 DETAIL: Serializable isolation violation on table - 100";
    let fail = json!({ "fail_statement": { "error": conflict } });
    stack.redshift_fault(json!({ "statement_name_prefix": format!("shiftwork:{}:", run.id), "effect": fail })).await;
    orders.flow.start_as(&run, json!({})).await;
    let ended = run.end().await;
    ended.succeeded();
    assert_eq!(ended.job("load").attempt, 2);
    assert_eq!(orders.orders().await, ["1 new"]);
    assert_eq!(orders.objects(&format!("manifests/{}/", run.id)).await.len(), 2);
}

/// The workflow's id in a request, for functions that request runs.
#[tokio::test]
async fn loaders_in_the_same_interval_request_the_same_run() {
    let stack = Stack::shared().await;
    let orders = stack.changes("asks", "").await;
    let workflow = format!("workflow: {}\nload_every: 10s", orders.flow.id);
    orders.contract(&workflow).await;
    for n in 0..4_usize {
        let order: Value = orders.order(n as u64, Some("new"), 10 * n as u64);
        orders.deliver(&orders.batch(0, n, &[order])).await;
    }
    let begun = std::time::Instant::now();
    while !orders.staged().await.is_empty() {
        assert!(begun.elapsed().as_secs() < 60, "the staged files were not loaded");
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    assert_eq!(orders.orders().await.len(), 4);
    let query = stack.dynamodb.query().table_name(stack.output("WorkflowAuditTable")).index_name("by_workflow");
    let query = query.key_condition_expression("workflow_id = :id");
    let id = aws_sdk_dynamodb::types::AttributeValue::S(orders.flow.id.clone());
    let runs = query.expression_attribute_values(":id", id).send().await.unwrap().count();
    assert!((1..=2).contains(&runs), "{runs} runs for four batches within a few seconds");
}
