//! Files that land in S3 are loaded once and registered, and an invalid file does not block the others.

use std::time::Duration;

use serde_json::{Value, json};
use shiftwork_e2e::{LANDING, LANDING_BUS, LANDING_TOPIC, Landing, Stack, count};
use shiftwork_ports::FileRegister as _;
use shiftwork_protocol::{
    Status,
    file::{FileRecord, FileStatus},
};
use tokio::time::{Instant, sleep};

use crate::command_line::CommandLine;

/// Three rows, whose numbers start at `10 * n`.
fn rows(n: i64) -> String {
    format!("n,word\n{},a\n{},\"b, c\"\n{},\n", 10 * n, 10 * n + 1, 10 * n + 2)
}

fn expected(files: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut rows: Vec<_> = files.flat_map(|n| [10 * n, 10 * n + 1, 10 * n + 2]).collect();
    rows.sort_unstable();
    rows
}

fn reason_of<'a>(files: &'a [FileRecord], name: &str) -> &'a str {
    let file = files.iter().find(|file| file.key.ends_with(name)).unwrap_or_else(|| panic!("{name} is not registered"));
    file.reason.as_deref().unwrap_or_else(|| panic!("{name} is {} without a reason", file.file_status))
}

#[tokio::test]
async fn files_start_their_workflow_and_invalid_files_are_quarantined_with_a_reason() {
    let stack = Stack::shared().await;
    let landing = stack.landing("files", LANDING, "workflow: \"{s}\"\nbatch: { files: 100, wait: 5s }\n").await;
    for n in 0..20 {
        landing.put(&format!("{n:02}.csv"), &rows(n)).await;
    }
    landing.put("bad 1.csv", "n,word\n1,a\ntwo,b\n").await;
    landing.put("bad+2.csv", "n,word\n3,this word is longer than twenty characters\n").await;
    landing.put("bad-3.csv", "n,word\n4,a,surplus\n").await;
    let files = landing.settled(23).await;
    assert_eq!((count(&files, FileStatus::Processed), count(&files, FileStatus::Quarantined)), (20, 3));
    assert_eq!(landing.rows().await, expected(0..20));
    assert!(reason_of(&files, "bad 1.csv").contains("line 3"), "{}", reason_of(&files, "bad 1.csv"));
    assert!(reason_of(&files, "bad+2.csv").contains("column word"), "{}", reason_of(&files, "bad+2.csv"));
    assert!(reason_of(&files, "bad-3.csv").contains("line 2"), "{}", reason_of(&files, "bad-3.csv"));
    for file in files.iter().filter(|file| file.file_status == FileStatus::Processed) {
        let turns: Vec<_> = file.history.iter().map(|change| change.file_status).collect();
        assert_eq!(turns, [FileStatus::Batched, FileStatus::Processing, FileStatus::Processed], "{}", file.key);
        assert!(file.history.iter().all(|change| change.batch == file.batch), "{}: a change without a batch", file.key);
    }
}

#[tokio::test]
async fn every_kind_of_notification_registers_a_file_once() {
    let stack = Stack::shared().await;
    for (label, bucket) in [("direct", LANDING), ("bus", LANDING_BUS), ("topic", LANDING_TOPIC)] {
        let landing = stack.landing(label, bucket, "").await;
        landing.put("it's 1+1=2 & ü.csv", &rows(1)).await;
        let files = landing.until("one registered file", |files| !files.is_empty()).await;
        assert_eq!(files.len(), 1, "{bucket}");
        assert_eq!(files[0].key, landing.key("it's 1+1=2 & ü.csv"), "{bucket}");
        assert_eq!(files[0].size, rows(1).len() as u64, "{bucket}");
        let run = landing.flow.start().await.end().await;
        run.succeeded();
        assert_eq!(landing.rows().await, expected(1..2), "{bucket}");
        assert_eq!(run.job("files").rows, Some(3), "{bucket}");
    }
}

#[tokio::test]
async fn repeated_overwritten_and_deleted_files_are_loaded_in_their_final_state() {
    let stack = Stack::shared().await;
    let landing = stack.landing("again", LANDING, "").await;
    for _ in 0..3 {
        landing.put("same.csv", &rows(1)).await;
    }
    landing.put("other.csv", &rows(2)).await;
    landing.put("other.csv", &rows(3)).await;
    landing.put("gone.csv", &rows(4)).await;
    let on_record = |files: &[FileRecord]| files.len() == 4;
    landing.until("four registered files", on_record).await;
    landing.delete("gone.csv").await;
    let deleted = async || {
        let history = landing.register.of_key(landing.feed(), LANDING, &landing.key("gone.csv")).await;
        !history.unwrap().deletions.is_empty()
    };
    let begun = Instant::now();
    while !deleted().await {
        assert!(begun.elapsed().as_secs() < 30, "the deletion was not registered");
        sleep(Duration::from_millis(200)).await;
    }
    landing.flow.start().await.end().await.succeeded();
    let files = landing.settled(4).await;
    assert_eq!(landing.rows().await, expected([1, 3].into_iter()));
    assert_eq!((count(&files, FileStatus::Processed), count(&files, FileStatus::Quarantined)), (2, 2));
    assert!(reason_of(&files, "gone.csv").contains("overwritten or deleted"));
    // A file that was loaded is not loaded again.
    landing.put("same.csv", &rows(1)).await;
    let again = landing.flow.start().await.end().await;
    again.succeeded();
    assert!(again.statements_of("files").is_empty(), "there was nothing to load");
    assert_eq!(landing.rows().await, expected([1, 3].into_iter()));
}

#[tokio::test]
async fn expectations_of_a_feed_are_checked_before_the_load() {
    let stack = Stack::shared().await;
    let expect = "expect: { non_empty: true, header: [n, word], rows_from: \"{key}.count\" }\n";
    let landing = stack.landing("expect", LANDING, expect).await;
    for (name, text, count) in [
        ("fine.csv", rows(1), Some("3")),
        ("header.csv", "n,wort\n1,a\n".to_owned(), Some("1")),
        ("short.csv", rows(2), Some("4")),
        ("empty.csv", String::new(), Some("0")),
        ("early.csv", rows(3), None),
    ] {
        landing.put(name, &text).await;
        if let Some(count) = count {
            landing.put(&format!("{name}.count"), count).await;
        }
    }
    landing.until("five registered files", |files| files.len() == 5).await;
    landing.flow.start().await.end().await.succeeded();
    let files = landing.files().await;
    assert_eq!(landing.rows().await, expected(1..2));
    assert!(reason_of(&files, "header.csv").contains("the header is `n,wort`"));
    assert!(reason_of(&files, "short.csv").contains("3 rows, and its control file says 4"));
    assert!(reason_of(&files, "empty.csv").contains("empty"));
    assert_eq!(count(&files, FileStatus::Received), 1, "a file waits for its control file");
    landing.put("early.csv.count", "3").await;
    landing.flow.start().await.end().await.succeeded();
    assert_eq!(landing.rows().await, expected([1, 3].into_iter()));
}

#[tokio::test]
async fn the_header_of_each_file_names_the_columns_of_its_fields() {
    let stack = Stack::shared().await;
    let feed = "columns: [n, word]\ncolumns_by: header\nexpect: { header: [n] }\n";
    let landing = stack.landing("header", LANDING, feed).await;
    for (name, text) in [
        ("ordered.csv", "n,word\n1,one\n2,two\n"),
        ("swapped.csv", "Word, N\nthree,3\n"),
        ("short.csv", "n\n4\n"),
        ("swapped_too.csv", "word,n\n5,5\n"),
        ("unknown.csv", "n,note\n6,x\n"),
        ("missing.csv", "word\nx\n"),
        ("bad.csv", "word,n\n7,seven\n"),
    ] {
        landing.put(name, text).await;
    }
    landing.until("seven registered files", |files| files.len() == 7).await;
    let run = landing.flow.start().await.end().await;
    run.succeeded();
    let files = landing.settled(7).await;
    assert_eq!((count(&files, FileStatus::Processed), count(&files, FileStatus::Quarantined)), (4, 3), "{files:#?}");
    assert!(reason_of(&files, "unknown.csv").contains("the header has the field `note`"));
    assert!(reason_of(&files, "missing.csv").contains("the header lacks `n`"));
    assert!(reason_of(&files, "bad.csv").contains("column n"), "{}", reason_of(&files, "bad.csv"));
    let rows = landing.flow.sql("select n, coalesce(word, '-') from {s}.t order by n").await;
    let expected = [["1", "one"], ["2", "two"], ["3", "three"], ["4", "-"], ["5", "5"]];
    assert_eq!(rows, expected.map(|row| row.map(ToOwned::to_owned).to_vec()).to_vec());
    assert_eq!(run.job("files").rows, Some(5));
}

#[tokio::test]
async fn files_of_a_failed_load_are_loaded_by_its_restart() {
    let stack = Stack::shared().await;
    let landing = stack.landing("restart", LANDING, "").await;
    landing.flow.sql("alter table {s}.t rename to away").await;
    for n in 0..5 {
        landing.put(&format!("{n}.csv"), &rows(n)).await;
    }
    landing.until("five registered files", |files| files.len() == 5).await;
    let run = landing.flow.start().await;
    let ended = run.end().await;
    assert_eq!(ended.run.execution_status, Status::Failed);
    let files = landing.settled(5).await;
    assert_eq!(count(&files, FileStatus::Failed), 5);
    assert!(reason_of(&files, "0.csv").contains("does not exist"));
    landing.flow.sql("alter table {s}.away rename to t").await;
    landing.flow.start_with(json!({ "restart_of": run.id })).await.end().await.succeeded();
    assert_eq!(landing.rows().await, expected(0..5));
    assert_eq!(count(&landing.files().await, FileStatus::Processed), 5);
}

async fn work_item(stack: &Stack, feed: &str) -> Value {
    let queue = stack.output("FileWorkQueue");
    let begun = Instant::now();
    loop {
        let received = stack.sqs.receive_message().queue_url(queue).visibility_timeout(1).max_number_of_messages(10);
        for message in received.send().await.unwrap().messages() {
            let item: Value = serde_json::from_str(message.body().unwrap()).unwrap();
            if item["feed"] == feed {
                let delete = stack.sqs.delete_message().queue_url(queue);
                delete.receipt_handle(message.receipt_handle().unwrap()).send().await.unwrap();
                return item;
            }
        }
        assert!(begun.elapsed().as_secs() < 60, "no work item arrived for {feed}");
        sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test]
async fn workers_receive_batches_and_report_the_result_of_each_file() {
    let stack = Stack::shared().await;
    let landing =
        stack.landing("work", LANDING_BUS, "work_items: { within: 1h }\nbatch: { files: 3, wait: 2s }\n").await;
    for n in 0..3 {
        landing.put(&format!("{n}.csv"), &rows(n)).await;
    }
    landing.until("three files with a worker", |files| count(files, FileStatus::Processing) == 3).await;
    let mut keys = Vec::new();
    while keys.len() < 3 {
        let item = work_item(&stack, landing.feed()).await;
        keys.extend(item["files"].as_array().unwrap().iter().map(|file| file["key"].as_str().unwrap().to_owned()));
        let completion = json!({ "batch": item["batch"], "feed": item["feed"], "outcome": "PROCESSED",
            "files": [{ "key": landing.key("1.csv"), "outcome": "QUARANTINED", "reason": "unreadable" }] });
        let send = stack.sqs.send_message().queue_url(stack.output("FileResultQueue"));
        send.message_body(completion.to_string()).send().await.unwrap();
    }
    keys.sort();
    assert_eq!(keys, ["0.csv", "1.csv", "2.csv"].map(|name| landing.key(name)));
    let files = landing.settled(3).await;
    assert_eq!((count(&files, FileStatus::Processed), count(&files, FileStatus::Quarantined)), (2, 1));
    assert_eq!(reason_of(&files, "1.csv"), "unreadable");
}

#[tokio::test]
async fn an_unreadable_message_is_sent_to_the_dead_letter_queue_with_its_reason() {
    let stack = Stack::shared().await;
    let unreadable = format!("{{ \"unreadable\": \"{}\" }}", Stack::unique("p"));
    stack.sqs.send_message().queue_url(stack.output("FileEventQueue")).message_body(&unreadable).send().await.unwrap();
    let begun = Instant::now();
    loop {
        let dead = stack.sqs.receive_message().queue_url(stack.output("FileDeadLetterQueue")).visibility_timeout(1);
        let dead = dead.max_number_of_messages(10).send().await.unwrap();
        let dead_letters =
            dead.messages().iter().map(|message| serde_json::from_str::<Value>(message.body().unwrap()).unwrap());
        if let Some(message) = dead_letters.into_iter().find(|message| message["body"] == unreadable.as_str()) {
            assert!(message["reason"].as_str().unwrap().contains("neither an S3 event"), "{message}");
            return;
        }
        assert!(begun.elapsed().as_secs() < 60, "the message did not arrive in the dead-message queue");
        sleep(Duration::from_millis(300)).await;
    }
}

/// The event of a loaded feed contains the table, the files and the number of rows.
#[tokio::test]
async fn a_refreshed_table_starts_the_workflow_that_reads_it() {
    let stack = Stack::shared().await;
    let landing: Landing = stack.landing("fresh", LANDING, "").await;
    let pattern = json!({ "source": ["shiftwork"], "detail-type": ["Shiftwork Table Refreshed"],
        "detail": { "table": [format!("{}.t", landing.feed())] } });
    let workflow = json!({ "triggers": [{ "pattern": pattern, "parameters": { "rows": "$.detail.rows", "file": "$.detail.files[0]" } }],
        "parameters": { "rows": { "type": "integer" }, "file": { "type": "string" } },
        "workflow_stages": [{ "execution_type": "sequential", "scripts": ["a.sql"] }] });
    let reader = stack.push("reader", workflow, &[("a.sql", "insert into {s}.k select :rows::int, :file")]).await;
    reader.sql("create schema {s}").await;
    reader.sql("create table {s}.k (n int, file varchar(200))").await;
    landing.put("a.csv", &rows(7)).await;
    landing.until("one registered file", |files| !files.is_empty()).await;
    landing.flow.start().await.end().await.succeeded();
    let begun = Instant::now();
    loop {
        let rows = reader.sql("select n, file from {s}.k").await;
        if !rows.is_empty() {
            assert_eq!(rows, [["3".to_owned(), format!("s3://{LANDING}/{}", landing.key("a.csv"))]]);
            return;
        }
        assert!(begun.elapsed().as_secs() < 60, "no event was received");
        sleep(Duration::from_millis(300)).await;
    }
}

/// Existing files are registered by a backfill, listed, loaded, and an invalid file is retried.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_registers_lists_and_retries_files() {
    let stack = Stack::shared().await;
    let cli = CommandLine::new("cli_files");
    let (id, bucket) = (cli.id.clone(), LANDING.replace("landing", &cli.id.replace('_', "-")));
    stack.s3.create_bucket().bucket(&bucket).send().await.unwrap();
    for n in 0..3 {
        let put = stack.s3.put_object().bucket(&bucket).key(format!("in/{n}.csv"));
        put.body(rows(n).into_bytes().into()).send().await.unwrap();
    }
    let put = stack.s3.put_object().bucket(&bucket).key("in/bad.csv").body(b"n,word\nx,\n".to_vec().into());
    put.send().await.unwrap();
    stack.sql(&format!("create schema {id}")).await;
    stack.sql(&format!("create table {id}.t (n int, word varchar(20))")).await;
    let feed =
        format!("feed: {id}\nbucket: {bucket}\nkeys: \"in/*.csv\"\nformat: csv\nheader_lines: 1\ntable: {id}.t\n");
    cli.write("../feeds/{id}.yaml", &feed);
    cli.write("{id}.yaml", "workflow_id: {id}\nworkflow_stages:\n  - execution_type: sequential\n    scripts: [{ job_name: files, kind: copy, files: pending({id}) }]\n");
    assert!(cli.run(&["push"], 0).contains(&format!("feeds/{id}.yaml")));
    for registered in ["4 registered", "0 registered"] {
        let printed = cli.run(&["files", "backfill", &format!("{bucket}/in/")], 0);
        assert!(printed.contains("4 files listed") && printed.contains(registered), "{printed}");
    }
    let printed = cli.run(&["files", &id, "--status", "received"], 0);
    assert!((0..3).all(|n| printed.contains(&format!("in/{n}.csv"))), "{printed}");
    cli.run(&["run", &id, "--wait"], 0);
    assert_eq!(stack.sql(&format!("select count(*) from {id}.t")).await, [["9"]]);
    let printed = cli.run(&["files", &id, "--status", "quarantined"], 0);
    assert!(printed.contains("in/bad.csv") && printed.contains("line 2"), "{printed}");
    let printed = cli.run(&["files", "retry", &id], 0);
    assert!(printed.contains("1 file set to received"), "{printed}");
    assert!(cli.run(&["files"], 0).contains(&id));
    // The bucket sends no events, so a new file is found by a comparison.
    assert!(cli.run(&["files", "reconcile", &id], 0).contains("0 differences"));
    let put = stack.s3.put_object().bucket(&bucket).key("in/9.csv");
    put.body(rows(9).into_bytes().into()).send().await.unwrap();
    let printed = cli.run(&["files", "reconcile", &id], 1);
    assert!(printed.contains("in/9.csv") && printed.contains("not registered"), "{printed}");
    assert!(cli.run(&["files", "reconcile", &id, "--fix"], 0).contains("1 change recorded"));
    let printed = cli.run(&["files", "reconcile", &id, "--json"], 0);
    assert!(printed.contains("\"differences\": []"), "{printed}");
    cli.run(&["files", "nowhere"], 2);
}
