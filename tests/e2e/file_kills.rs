//! Functions are killed while files are registered, batched, loaded and settled: each file is loaded once.

use std::sync::Arc;

use aws_sdk_sqs::types::QueueAttributeName;
use futures::future::join_all;
use serde_json::json;
use shiftwork_e2e::{LANDING, Landing, Stack, count};
use shiftwork_protocol::file::FileStatus;

use crate::kills::{WAVE, kill, points};

const FILES: i64 = 4;

async fn land(stack: &Arc<Stack>) -> Landing {
    let landing = stack.landing("kills", LANDING, "workflow: \"{s}\"\nbatch: { files: 100, wait: 1s }\n").await;
    for n in 0..FILES {
        landing.put(&format!("{n}.csv"), &format!("n,word\n{n},a\n")).await;
    }
    landing.put("bad.csv", "n,word\nx,a\n").await;
    landing
}

async fn check_files(landing: Landing) {
    let files = landing.settled(5).await;
    assert_eq!(landing.rows().await, (0..FILES).collect::<Vec<_>>(), "{}", landing.feed());
    assert_eq!(count(&files, FileStatus::Processed), 4, "{}: {files:#?}", landing.feed());
    assert_eq!(count(&files, FileStatus::Quarantined), 1, "{}: {files:#?}", landing.feed());
}

/// Kills a function once at each of its calls, several at the same time, with one feed per kill.
async fn kill_at_every_point(function: &str, calls: u64) {
    let stack = Stack::exclusive().await;
    let function = stack.output(function).to_owned();
    // Messages of a killed invocation become visible again after 720 s, which is too long for a test.
    visible_again_after(&stack, "10").await;
    for wave in points(calls).chunks(WAVE) {
        let landings = join_all(wave.iter().map(|_| land(&stack))).await;
        join_all(wave.iter().map(|point| kill(&stack, &function, point, 1))).await;
        join_all(landings.into_iter().map(check_files)).await;
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
async fn job_launcher_can_be_killed_at_any_call_of_a_copy_job() {
    kill_at_every_point("JobLauncherFunction", 12).await;
}

#[tokio::test]
async fn job_callback_can_be_killed_at_any_call_of_a_copy_job() {
    kill_at_every_point("JobCallbackFunction", 14).await;
}

#[tokio::test]
async fn file_intake_can_be_killed_at_any_call() {
    kill_at_every_point("FileIntakeFunction", 6).await;
}
