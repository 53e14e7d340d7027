//! A function dies between any two of its calls while change data is under way: the table is as if it had not.

use std::sync::Arc;

use futures::future::join_all;
use shiftwork_e2e::{Changes, Stack};

use crate::kills::{WAVE, kill, points, reset};

/// Two batches in, one redelivered, then a load; then what must hold.
async fn a_table_comes_to_be(orders: Changes) {
    let first = orders.batch(0, 0, &[orders.order(1, Some("new"), 10).to_string(), "{\"poison".into()]);
    let second = orders.batch(0, 2, &[orders.order(1, Some("paid"), 20), orders.order(2, Some("new"), 30)]);
    for batch in [&first, &second, &first] {
        orders.deliver(batch).await;
    }
    let run = orders.flow.start().await;
    run.end_with_sweeps().await.succeeded();
    assert_eq!(orders.orders().await, ["1 new", "1 paid", "2 new"]);
    let left = orders.staged().await;
    // A redelivery that overlaps what is loaded is another load's; it comes to nothing.
    assert!(left.is_empty(), "{left:?}");
    // The poisoned record is not forgotten.
    orders.letters(1).await;
}

/// A table whose loader also asks for a run, long after the test.
async fn a_table(stack: &Arc<Stack>) -> Changes {
    let orders = stack.changes("deaths", "").await;
    orders.contract(&format!("promote: {{ kind: append }}\nworkflow: {}\nload_every: 15m", orders.flow.id)).await;
    orders
}

/// Every death of a function in an invocation that makes at most so many calls.
async fn every_death_of(function: &str, most: u64) {
    let stack = Stack::alone().await;
    let function = stack.output(function).to_owned();
    let mut invoked = 0;
    for wave in points(most).chunks(WAVE) {
        let tables = join_all(wave.iter().map(|_| a_table(&stack))).await;
        reset(&stack).await;
        join_all(wave.iter().map(|point| kill(&stack, &function, point, 1))).await;
        join_all(tables.into_iter().map(a_table_comes_to_be)).await;
        invoked += stack.control.get("counts").await["invocations"][&function].as_u64().unwrap_or(0);
    }
    // A death at a call that nobody made has met nobody.
    reset(&stack).await;
    eprintln!("{function}: {} deaths ordered, {invoked} invocations", points(most).len());
}

/// Contracts listed and read (those of the tables beside it, too), files put, letters sent, a run asked for.
#[tokio::test]
async fn the_loader_may_die_anywhere() {
    every_death_of("CdcLoaderFunction", 14).await;
}

/// The intent, the contract, what is staged, the manifest, the tables, the statement.
#[tokio::test]
async fn the_launcher_of_a_load_may_die_anywhere() {
    every_death_of("JobLauncherFunction", 14).await;
}

/// The end on record, the manifest, the staged files, the task, the event.
#[tokio::test]
async fn the_callback_of_a_load_may_die_anywhere() {
    every_death_of("JobCallbackFunction", 6).await;
}
