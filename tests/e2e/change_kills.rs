//! Functions are killed between any two calls while change data is processed: the table must have the same content as
//! without a kill.

use std::sync::Arc;

use futures::future::join_all;
use shiftwork_e2e::{Changes, Stack};

use crate::kills::{WAVE, kill, points, reset};

/// Delivers two batches, one of them twice, loads them, and checks the table.
async fn check_table(orders: Changes) {
    let first = orders.batch(0, 0, &[orders.order(1, Some("new"), 10).to_string(), "{\"invalid".into()]);
    let second = orders.batch(0, 2, &[orders.order(1, Some("paid"), 20), orders.order(2, Some("new"), 30)]);
    for batch in [&first, &second, &first] {
        orders.deliver(batch).await;
    }
    let run = orders.flow.start().await;
    run.end_with_sweeps().await.succeeded();
    assert_eq!(orders.orders().await, ["1 new", "1 paid", "2 new"]);
    let left = orders.staged().await;
    // A repeated batch overlaps the loaded rows; its staged files belong to another load and add no rows.
    assert!(left.is_empty(), "{left:?}");
    // The record that is not valid JSON is in the dead-letter queue.
    orders.dead_letters(1).await;
}

/// A table with a contract whose loader requests a run only after the end of the test.
async fn a_table(stack: &Arc<Stack>) -> Changes {
    let orders = stack.changes("kills", "").await;
    orders.contract(&format!("promote: {{ kind: append }}\nworkflow: {}\nload_every: 15m", orders.flow.id)).await;
    orders
}

/// Kills a function at every point of an invocation with at most `most` calls.
async fn kill_at_every_point(function: &str, most: u64) {
    let stack = Stack::exclusive().await;
    let function = stack.output(function).to_owned();
    let mut invoked = 0;
    for wave in points(most).chunks(WAVE) {
        let tables = join_all(wave.iter().map(|_| a_table(&stack))).await;
        reset(&stack).await;
        join_all(wave.iter().map(|point| kill(&stack, &function, point, 1))).await;
        join_all(tables.into_iter().map(check_table)).await;
        invoked += stack.control.get("counts").await["invocations"][&function].as_u64().unwrap_or(0);
    }
    // A kill at a call that was not made has no effect.
    reset(&stack).await;
    eprintln!("{function}: {} kills requested, {invoked} invocations", points(most).len());
}

/// Calls: list and read contracts (including those of concurrent tests), put files, send dead letters, request a run.
#[tokio::test]
async fn cdc_loader_can_be_killed_at_any_call() {
    kill_at_every_point("CdcLoaderFunction", 14).await;
}

/// Calls: record the intent, read the contract, list staged files, write the manifest, read the tables, submit the
/// statement.
#[tokio::test]
async fn job_launcher_can_be_killed_at_any_call_of_a_cdc_job() {
    kill_at_every_point("JobLauncherFunction", 14).await;
}

/// Calls: record the end, read the manifest, delete the staged files, complete the task, publish the event.
#[tokio::test]
async fn job_callback_can_be_killed_at_any_call_of_a_cdc_job() {
    kill_at_every_point("JobCallbackFunction", 6).await;
}
