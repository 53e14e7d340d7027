//! Checks of the file audit table and of the work item queue. Every check uses a new feed.

use jiff::{SignedDuration, Timestamp};

use shiftwork_protocol::{
    file::{Deletion, Entry, FileId, FileRecord, FileStatus, FileStep, SUPERSEDED, UNCLAIMED},
    work_item::WorkItem,
};

use super::{both, fresh as fresh_name};
use crate::{FileRegister, WorkQueue, fake};

/// Checks [`FileRegister`].
pub async fn file_register(register: &dyn FileRegister) {
    a_file_is_put_once(register).await;
    the_same_content_again_moves_to_a_later_position(register).await;
    content_that_was_not_loaded_is_opened_when_it_is_sent_again(register).await;
    versions_and_deletions_of_a_key_are_found_together(register).await;
    a_file_is_open_until_it_ends(register).await;
    one_of_two_batches_gets_a_file(register).await;
    a_step_that_was_taken_is_not_taken_twice(register).await;
    what_an_inspection_found_is_kept(register).await;
    files_are_listed_newest_first(register).await;
    unclaimed_files_are_recorded_and_not_open(register).await;
    notifications_are_recorded(register).await;
    a_thousand_files_are_all_found(register).await;
    the_oldest_files_are_found_without_the_others(register).await;
    the_files_of_a_batch_are_found_while_they_are_open(register).await;
}

fn fresh() -> String {
    fresh_name("feed")
}

fn minute(minutes: i64) -> Timestamp {
    "2026-03-01T02:00:00.000Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
}

fn a_file(feed: &str, key: &str, sequencer: &str) -> FileRecord {
    FileRecord { feed: feed.into(), received_ts: minute(0), registered_ts: minute(1), ..fake::a_file(key, sequencer) }
}

async fn put(register: &dyn FileRegister, file: &FileRecord) -> bool {
    register.put(&Entry::File(Box::new(file.clone()))).await.unwrap()
}

async fn stored(register: &dyn FileRegister, file: &FileRecord) -> FileRecord {
    let history = register.of_key(&file.feed, &file.bucket, &file.key).await.unwrap();
    history.files.into_iter().find(|found| found.id() == file.id()).unwrap()
}

fn claim(batch: &str, until: Timestamp) -> FileStep {
    FileStep::Claim { batch: batch.into(), until }
}

async fn a_file_is_put_once(register: &dyn FileRegister) {
    let file = a_file(&fresh(), "orders/a b+ü.csv", "10");
    assert!(put(register, &file).await);
    assert!(!put(register, &FileRecord { registered_ts: minute(9), ..file.clone() }).await, "again");
    assert_eq!(register.open(&file.feed).await.unwrap(), [file]);
}

async fn content_that_was_not_loaded_is_opened_when_it_is_sent_again(register: &dyn FileRegister) {
    let file = a_file(&fresh(), "orders/a.csv", "10");
    put(register, &file).await;
    let claimed = register.step(&file, &claim("a", minute(10)), minute(2)).await.unwrap().file;
    let refuse = FileStep::End { batch: "a".into(), to: FileStatus::Quarantined, reason: Some(SUPERSEDED.into()) };
    assert!(register.step(&claimed, &refuse, minute(3)).await.unwrap().fresh);
    assert_eq!(register.open(&file.feed).await.unwrap(), []);
    let again =
        FileRecord { sequencer: Some("12".into()), received_ts: minute(20), registered_ts: minute(21), ..file.clone() };
    assert!(!put(register, &again).await, "the file exists");
    let [open] = <[_; 1]>::try_from(register.open(&file.feed).await.unwrap()).unwrap();
    assert_eq!(
        (open.file_status, open.received_ts, open.registered_ts),
        (FileStatus::Received, minute(20), minute(21))
    );
    let newest = register.since(&file.feed, minute(19), 10).await.unwrap();
    assert_eq!(newest, [open], "the time of the latest put counts");
}

async fn the_same_content_again_moves_to_a_later_position(register: &dyn FileRegister) {
    let file = a_file(&fresh(), "orders/a.csv", "10");
    put(register, &file).await;
    for (sequencer, then) in [("12", "12"), ("11", "12"), ("100", "12"), ("2", "2")] {
        put(register, &FileRecord { sequencer: Some(sequencer.into()), ..file.clone() }).await;
        assert_eq!(stored(register, &file).await.sequencer.as_deref(), Some(then), "after {sequencer}");
    }
}

async fn versions_and_deletions_of_a_key_are_found_together(register: &dyn FileRegister) {
    let feed = fresh();
    let (one, two) = (a_file(&feed, "orders/a.csv", "1"), a_file(&feed, "orders/a.csv", "3"));
    for file in [&one, &two, &a_file(&feed, "orders/a.csv.gz", "2")] {
        put(register, file).await;
    }
    let deletion = Deletion {
        feed: feed.clone(),
        bucket: one.bucket.clone(),
        key: one.key.clone(),
        version_id: None,
        marker_id: None,
        sequencer: Some("2".into()),
        deleted_ts: minute(2),
    };
    for new in [true, false] {
        assert_eq!(register.put(&Entry::Deletion(deletion.clone())).await.unwrap(), new);
    }
    let mut history = register.of_key(&feed, &one.bucket, &one.key).await.unwrap();
    history.files.sort_by_key(FileRecord::url);
    history.files.sort_by(|a, b| a.sequencer.cmp(&b.sequencer));
    assert_eq!(history.files, [one.clone(), two.clone()]);
    assert_eq!(history.deletions, [deletion]);
    assert!(history.outdated(&one).is_some());
    assert_eq!(history.outdated(&two), None);
}

async fn a_file_is_open_until_it_ends(register: &dyn FileRegister) {
    let file = a_file(&fresh(), "orders/a.csv", "1");
    put(register, &file).await;
    let mut seen = file.clone();
    let batch = || "run/job".to_owned();
    for (step, status) in [
        (claim("run/job", minute(10)), FileStatus::Batched),
        (FileStep::Release { batch: batch() }, FileStatus::Received),
        (claim("run/job", minute(10)), FileStatus::Batched),
        (FileStep::Begin { batch: batch(), until: minute(60) }, FileStatus::Processing),
        (FileStep::End { batch: batch(), to: FileStatus::Failed, reason: Some("why".into()) }, FileStatus::Failed),
        (FileStep::Retry, FileStatus::Received),
        (FileStep::Refuse { reason: "no".into() }, FileStatus::Quarantined),
        (FileStep::Retry, FileStatus::Received),
        (claim("other", minute(10)), FileStatus::Batched),
        (FileStep::End { batch: "other".into(), to: FileStatus::Processed, reason: None }, FileStatus::Processed),
    ] {
        let stepped = register.step(&seen, &step, minute(5)).await.unwrap();
        assert!(stepped.fresh, "{step:?}");
        assert_eq!(stepped.file.file_status, status, "{step:?}");
        assert_eq!(stored(register, &file).await, stepped.file, "{step:?}");
        let open = register.open(&file.feed).await.unwrap();
        assert_eq!(open.len(), usize::from(status.is_open()), "{status}");
        assert!(open.iter().all(|open| *open == stepped.file), "the listing has the current records");
        seen = stepped.file;
    }
    assert_eq!(seen.history.len(), 10);
    assert_eq!(seen.reason, None);
}

async fn one_of_two_batches_gets_a_file(register: &dyn FileRegister) {
    let file = a_file(&fresh(), "orders/a.csv", "1");
    put(register, &file).await;
    let (a, b) = (claim("a", minute(10)), claim("b", minute(10)));
    // Both batches saw the file before the other one claimed it.
    let (first, second) = both(register.step(&file, &a, minute(2)), register.step(&file, &b, minute(2))).await;
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_ne!(first.fresh, second.fresh);
    let now = stored(register, &file).await;
    assert!(
        first.file.batch == now.batch && second.file.batch == now.batch,
        "both calls return the batch that claimed the file"
    );
    let other = if first.fresh { "b" } else { "a" };
    assert!(!register.step(&now, &claim(other, minute(20)), minute(9)).await.unwrap().fresh);
    assert!(
        register.step(&file, &claim(other, minute(20)), minute(10)).await.unwrap().fresh,
        "another batch may take over an expired claim"
    );
}

async fn a_step_that_was_taken_is_not_taken_twice(register: &dyn FileRegister) {
    let file = a_file(&fresh(), "orders/a.csv", "1");
    put(register, &file).await;
    let step = claim("a", minute(10));
    let first = register.step(&file, &step, minute(2)).await.unwrap();
    let again = register.step(&file, &step, minute(3)).await.unwrap();
    assert!(first.fresh && !again.fresh);
    assert_eq!(again.file, first.file);
}

async fn what_an_inspection_found_is_kept(register: &dyn FileRegister) {
    let file = a_file(&fresh(), "orders/a.csv", "1");
    put(register, &file).await;
    let claimed = register.step(&file, &claim("a", minute(10)), minute(2)).await.unwrap().file;
    let columns = vec!["amount".to_owned(), "id".to_owned()];
    let checked = FileStep::Checked { batch: "a".into(), checksum: Some("sha256:x".into()), columns: columns.clone() };
    assert!(register.step(&claimed, &checked, minute(3)).await.unwrap().fresh);
    let kept = stored(register, &file).await;
    assert_eq!((kept.checksum.as_deref(), kept.columns), (Some("sha256:x"), columns));
    assert!(!register.step(&file, &checked, minute(4)).await.unwrap().fresh, "again");
    let other = FileStep::Checked { batch: "a".into(), checksum: None, columns: vec!["id".to_owned()] };
    assert!(register.step(&file, &other, minute(5)).await.unwrap().fresh);
    let kept = stored(register, &file).await;
    assert_eq!((kept.checksum.as_deref(), kept.columns), (Some("sha256:x"), vec!["id".to_owned()]));
}

async fn files_are_listed_newest_first(register: &dyn FileRegister) {
    let feed = fresh();
    for n in 0..6 {
        let file = FileRecord { received_ts: minute(n), ..a_file(&feed, &format!("orders/{n}.csv"), "1") };
        put(register, &file).await;
    }
    let keys = async |from, most| -> Vec<_> {
        register.since(&feed, from, most).await.unwrap().into_iter().map(|file| file.key).collect()
    };
    assert_eq!(keys(minute(0), 2).await, ["orders/5.csv", "orders/4.csv"]);
    assert_eq!(keys(minute(4), 100).await, ["orders/5.csv", "orders/4.csv"]);
}

async fn unclaimed_files_are_recorded_and_not_open(register: &dyn FileRegister) {
    let file = a_file(UNCLAIMED, &format!("{}/a.csv", fresh()), "1");
    assert!(put(register, &file).await);
    assert_eq!(stored(register, &file).await, file);
    assert_eq!(register.open(UNCLAIMED).await.unwrap(), []);
}

async fn notifications_are_recorded(register: &dyn FileRegister) {
    let feed = fresh();
    for day in ["late 2026-03-01", "late 2026-03-02"] {
        assert!(!register.was_notified(&feed, day).await.unwrap());
        register.record_notice(&feed, day, minute(0)).await.unwrap();
        register.record_notice(&feed, day, minute(1)).await.unwrap();
        assert!(register.was_notified(&feed, day).await.unwrap());
    }
    assert_eq!(register.open(&feed).await.unwrap(), []);
}

async fn a_thousand_files_are_all_found(register: &dyn FileRegister) {
    let feed = fresh();
    let files: Vec<_> = (0..1_000).map(|n| a_file(&feed, &format!("orders/{}{n}.csv", "x".repeat(500)), "1")).collect();
    for files in files.chunks(32) {
        futures::future::join_all(files.iter().map(|file| put(register, file))).await;
    }
    let found: std::collections::HashSet<FileId> =
        register.open(&feed).await.unwrap().iter().map(FileRecord::id).collect();
    assert_eq!(found, files.iter().map(FileRecord::id).collect());
}

async fn the_oldest_files_are_found_without_the_others(register: &dyn FileRegister) {
    let feed = fresh();
    for n in 0..60_i64 {
        // Three files for each minute, the newest first.
        let received_ts = minute(20 - n / 3);
        put(register, &FileRecord { received_ts, ..a_file(&feed, &format!("orders/{n}.csv"), "1") }).await;
    }
    let oldest = async |most| {
        let mut found = register.oldest(&feed, most, minute(30)).await.unwrap();
        found.sort_by_key(|file| file.received_ts);
        found
    };
    let is_whole = |found: &[FileRecord], claimable: usize| {
        let minutes: Vec<_> = found.iter().map(|file| file.received_ts).collect();
        // Every file of the oldest instants.
        (claimable..60).contains(&found.len())
            && minutes[..claimable] == (0..60).map(|n| minute(1 + n / 3)).collect::<Vec<_>>()[..claimable]
    };
    for most in [1, 3, 10] {
        assert!(is_whole(&oldest(most).await, most.next_multiple_of(3)), "{most}");
    }
    assert_eq!(oldest(60).await.len(), 60);
    assert_eq!(oldest(1_000).await.len(), 60);

    // Files that another batch holds do not count.
    for file in oldest(10).await.into_iter().take(9) {
        register.step(&file, &claim("a", minute(40)), minute(30)).await.unwrap();
    }
    let found = oldest(6).await;
    assert!(is_whole(&found, 15), "{}", found.len());
    assert_eq!(found.iter().filter(|file| file.is_of("a")).count(), 9);
    assert_eq!(register.oldest(&fresh(), 10, minute(30)).await.unwrap(), []);
}

async fn the_files_of_a_batch_are_found_while_they_are_open(register: &dyn FileRegister) {
    let feed = fresh();
    let files: Vec<_> = (0..6).map(|n| a_file(&feed, &format!("orders/{n}.csv"), "1")).collect();
    let mut claimed = Vec::new();
    for (file, batch) in files.iter().zip(["a", "a", "a", "b", "b", "aa"]) {
        put(register, file).await;
        claimed.push(register.step(file, &claim(batch, minute(10)), minute(2)).await.unwrap().file);
    }
    let held = async |batch: &str| {
        let mut held = register.of_batch(&feed, batch).await.unwrap();
        held.sort_by(|a, b| a.key.cmp(&b.key));
        held
    };
    assert_eq!(held("a").await, claimed[..3]);
    register.step(&claimed[0], &FileStep::Release { batch: "a".into() }, minute(3)).await.unwrap();
    let end = FileStep::End { batch: "a".into(), to: FileStatus::Processed, reason: None };
    register.step(&claimed[1], &end, minute(3)).await.unwrap();
    assert_eq!(held("a").await, claimed[2..3], "a released and an ended file are not held");
    assert_eq!(held("b").await, claimed[3..5]);
    assert_eq!(held("c").await, []);
}

/// Checks [`WorkQueue`]. `received` takes all messages from the queue.
pub async fn work_queue(queue: &dyn WorkQueue, received: impl AsyncFn() -> Vec<WorkItem>) {
    let feed = fresh();
    let item = |n: usize| WorkItem {
        batch: format!("{feed}/{n}"),
        feed: feed.clone(),
        until: minute(60),
        files: vec![(&a_file(&feed, "orders/a b+ü.csv", "1")).into()],
    };
    for n in [0, 1, 1] {
        queue.send(&item(n)).await.unwrap();
    }
    let mut items = Vec::new();
    for _ in 0..10 {
        items.extend(received().await);
        if items.len() >= 3 {
            break;
        }
    }
    items.sort_by(|a, b| a.batch.cmp(&b.batch));
    assert_eq!(items, [item(0), item(1), item(1)], "a batch that is sent again is received again");
}
