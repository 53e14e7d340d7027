//! Whoever dies while files are registered, batched, loaded and settled: each file is loaded once.

use std::sync::Arc;

use aws_sdk_sqs::types::QueueAttributeName;
use futures::future::join_all;
use serde_json::json;
use shiftwork_e2e::{LANDING, Landing, Stack, count};
use shiftwork_feeds::FileStatus;

use crate::kills::{WAVE, kill, points};

const FILES: i64 = 4;

async fn land(stack: &Arc<Stack>) -> Landing {
    let landing = stack.landing("dies", LANDING, "workflow: \"{s}\"\nbatch: { files: 100, wait: 1s }\n").await;
    for n in 0..FILES {
        landing.put(&format!("{n}.csv"), &format!("n,word\n{n},a\n")).await;
    }
    landing.put("bad.csv", "n,word\nx,a\n").await;
    landing
}

async fn went_well(landing: Landing) {
    let files = landing.settled(5).await;
    assert_eq!(landing.rows().await, (0..FILES).collect::<Vec<_>>(), "{}", landing.feed());
    assert_eq!(count(&files, FileStatus::Processed), 4, "{}: {files:#?}", landing.feed());
    assert_eq!(count(&files, FileStatus::Quarantined), 1, "{}: {files:#?}", landing.feed());
}

/// One death at each of these calls, several at once, and as many feeds as there are deaths.
async fn every_death_of(function: &str, calls: u64) {
    let stack = Stack::alone().await;
    let function = stack.output(function).to_owned();
    // What a dead intake held is shown again after 720 s: a test has no quarter of an hour.
    visible_again_after(&stack, "10").await;
    for wave in points(calls).chunks(WAVE) {
        let landings = join_all(wave.iter().map(|_| land(&stack))).await;
        join_all(wave.iter().map(|point| kill(&stack, &function, point, 1))).await;
        join_all(landings.into_iter().map(went_well)).await;
        stack.control.delete("faults").await;
    }
    visible_again_after(&stack, "720").await;
    assert_eq!(stack.control.get("faults").await, json!([]));
}

async fn visible_again_after(stack: &Stack, seconds: &str) {
    let set = stack.sqs.set_queue_attributes().queue_url(stack.output("FileEventQueue"));
    set.attributes(QueueAttributeName::VisibilityTimeout, seconds).send().await.unwrap();
}

#[tokio::test]
async fn the_launcher_may_die_anywhere_in_a_load() {
    every_death_of("JobLauncherFunction", 12).await;
}

#[tokio::test]
async fn the_callback_may_die_anywhere_in_the_end_of_a_load() {
    every_death_of("JobCallbackFunction", 14).await;
}

#[tokio::test]
async fn the_intake_may_die_anywhere() {
    every_death_of("FileIntakeFunction", 6).await;
}
