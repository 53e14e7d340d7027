//! Decides which files form a batch and when a batch is complete, and which files are late. Pure functions.

use jiff::{SignedDuration, Timestamp, civil::Time, tz::TimeZone};
use shiftwork_config::ByteSize;
use shiftwork_protocol::{
    file::FileRecord,
    name::{derived_run_id, sha256},
};

use crate::feed::{Consumer, Expected, Feed};

/// Time after which a claim expires if the batch has not begun: several times the longest invocation.
pub const CLAIM: SignedDuration = SignedDuration::from_mins(10);
/// Time after which another run is requested, with a new id, if no run claimed the file from which the id of the requested run is derived.
const REQUEST_AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// Maximum number of bytes of the files in a work item, less than the 256 KiB that are the smallest limit of an SQS message.
const ITEM_BYTES: usize = 240 * 1024;

/// What to do with the open files of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan<'a> {
    /// Request one run of the feed's workflow for each complete batch. The id of a run is derived from a file, so planning again requests
    /// the same runs. A run takes the files that are next when it begins, which can be other files.
    RequestRuns {
        /// Id of the workflow.
        workflow: &'a str,
        /// Ids of the runs.
        runs: Vec<String>,
    },
    /// Put these batches into the queue of work items.
    HandOut(Vec<Batch<'a>>),
    /// No batch is complete, or the feed has no consumer.
    Wait,
}

/// Files that are processed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch<'a> {
    /// Id of the batch, derived from its first file, so that concurrent planners that read the same files create the same batch.
    pub id: String,
    /// The files, oldest first.
    pub files: Vec<&'a FileRecord>,
}

/// Decides what to do with the open files of a feed. The order of `open` does not matter.
pub fn decide<'a>(feed: &'a Feed, open: &'a [FileRecord], now: Timestamp) -> Plan<'a> {
    let ready = match feed.consumer() {
        Consumer::None => return Plan::Wait,
        Consumer::Workflow(_) | Consumer::Workers(_) => complete(feed, open, now),
    };
    if ready.is_empty() {
        return Plan::Wait;
    }
    match feed.consumer() {
        Consumer::Workflow(workflow) => {
            let runs = anchors(&ready).into_iter().map(|file| run_id(workflow, file, now)).collect();
            Plan::RequestRuns { workflow, runs }
        }
        Consumer::Workers(_) => {
            let batch = |files: Vec<&'a FileRecord>| Batch { id: item_id(files[0]), files };
            Plan::HandOut(ready.into_iter().map(batch).collect())
        }
        Consumer::None => Plan::Wait,
    }
}

/// Returns the files that the next batch can claim, oldest first.
pub fn next<'a>(feed: &Feed, open: &'a [FileRecord], now: Timestamp) -> Vec<&'a FileRecord> {
    groups(feed, open, now).into_iter().next().unwrap_or_default()
}

/// Returns the batches that are complete: they are full, or a file has waited for the feed's `batch.wait`.
fn complete<'a>(feed: &Feed, open: &'a [FileRecord], now: Timestamp) -> Vec<Vec<&'a FileRecord>> {
    let wait = feed.batch.wait.map_or(SignedDuration::ZERO, |wait| wait.length());
    let mut groups = groups(feed, open, now);
    if let Some(last) = groups.last()
        && !is_full(feed, last)
        && last.iter().all(|file| now.duration_since(file.registered_ts) < wait)
    {
        groups.pop();
    }
    groups
}

/// Groups all claimable files into batches, in the order in which they were received.
fn groups<'a>(feed: &Feed, open: &'a [FileRecord], now: Timestamp) -> Vec<Vec<&'a FileRecord>> {
    let mut claimable: Vec<_> = open.iter().filter(|file| file.is_claimable(now)).collect();
    claimable.sort_by(|a, b| (a.received_ts, &a.key, &a.sequencer).cmp(&(b.received_ts, &b.key, &b.sequencer)));
    let mut groups: Vec<Vec<&FileRecord>> = Vec::new();
    for file in claimable {
        match groups.last_mut().filter(|group| !is_full(feed, group) && fits(feed, group, file)) {
            Some(group) => group.push(file),
            None => groups.push(vec![file]),
        }
    }
    groups
}

fn is_full(feed: &Feed, group: &[&FileRecord]) -> bool {
    group.len() >= feed.batch.files as usize || most_bytes(feed).is_some_and(|most| bytes(group) >= most)
}

/// Returns true if the file can be added to the group. A file larger than the limit of a batch is not added to any group; it is a batch
/// alone.
fn fits(feed: &Feed, group: &[&FileRecord], file: &FileRecord) -> bool {
    let message: usize = group.iter().copied().chain([file]).map(text_bytes).sum();
    if matches!(feed.consumer(), Consumer::Workers(_)) && message > ITEM_BYTES {
        return false;
    }
    most_bytes(feed).is_none_or(|most| bytes(group).saturating_add(file.size) <= most)
}

/// Upper bound of the bytes of a file in a work item. The named parts are counted as one more key.
fn text_bytes(file: &FileRecord) -> usize {
    file.bucket.len() + 2 * file.key.len() + file.version_id.as_ref().map_or(0, String::len) + 160
}

fn bytes(group: &[&FileRecord]) -> u64 {
    group.iter().map(|file| file.size).sum()
}

fn most_bytes(feed: &Feed) -> Option<u64> {
    feed.batch.bytes.map(ByteSize::bytes)
}

/// Time that a worker has for a work item; zero for a feed without workers.
pub fn worker_time(feed: &Feed) -> SignedDuration {
    match feed.consumer() {
        Consumer::Workers(items) => items.within.length(),
        Consumer::Workflow(_) | Consumer::None => SignedDuration::ZERO,
    }
}

/// One file for each batch, from which the id of a run is derived: the first file of a single batch; of several batches, the files with the
/// smallest hashes.
///
/// The first files of several batches would not do: a file that is registered late, or a run that claims a batch, moves the bounds of all
/// later batches, so that each planning of a backlog would request other runs. A file that is registered or claimed changes the smallest
/// hashes only with the probability of one in the size of a batch.
fn anchors<'a>(batches: &[Vec<&'a FileRecord>]) -> Vec<&'a FileRecord> {
    if let [only] = batches {
        return only.first().copied().into_iter().collect();
    }
    let mut files: Vec<_> = batches.iter().flatten().map(|file| (file.id(), *file)).collect();
    files.sort_by(|(a, _), (b, _)| (&a.key_hash, &a.version).cmp(&(&b.key_hash, &b.version)));
    files.into_iter().take(batches.len()).map(|(_, file)| file).collect()
}

/// Id of the run that is derived from a file. It changes after each [`REQUEST_AGAIN`].
fn run_id(workflow: &str, file: &FileRecord, now: Timestamp) -> String {
    let requests = now.duration_since(file.registered_ts).as_secs() / REQUEST_AGAIN.as_secs();
    let (id, reopenings) = (file.id(), file.reopenings());
    derived_run_id(workflow, &format!("files {} {} {} {reopenings} {requests}", id.feed, id.key_hash, id.version))
}

fn item_id(first: &FileRecord) -> String {
    let id = first.id();
    let digest = sha256(format!("{} {} {} {}", id.feed, id.key_hash, id.version, first.revision));
    format!("work-{}-{}", id.feed, &digest[..12])
}

/// Returns the day whose files are late at `now`, and the time at which they were due. Returns `None` if they are complete or not due yet.
///
/// `received` is the number of keys of the feed that were received since [`day_begun`]; more than [`Expected::files`] need not be counted.
pub fn late(expected: &Expected, received: u32, now: Timestamp) -> Option<(String, Timestamp)> {
    let zone = TimeZone::get(&expected.time_zone).ok()?;
    let by: Time = expected.by.parse().ok()?;
    let day = now.to_zoned(zone.clone()).date();
    let due = day.to_datetime(by).to_zoned(zone).ok()?.timestamp();
    (now >= due && received < expected.files).then(|| (day.to_string(), due))
}

/// Start of the current day in the time zone of the due time. Files received before it do not count.
pub fn day_begun(expected: &Expected, now: Timestamp) -> Option<Timestamp> {
    let zone = TimeZone::get(&expected.time_zone).ok()?;
    Some(now.to_zoned(zone.clone()).date().to_zoned(zone).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample;
    use shiftwork_ports::fake::a_file;
    use shiftwork_protocol::file::FileStep;

    fn feed(files: u32, bytes: Option<&str>, wait: Option<&str>) -> Feed {
        let mut feed = sample::feed();
        feed.workflow = Some("load".into());
        feed.batch.files = files;
        feed.batch.bytes = bytes.map(|text| text.parse().unwrap());
        feed.batch.wait = wait.map(|text| text.parse().unwrap());
        feed
    }

    fn files(n: usize) -> Vec<FileRecord> {
        (0..n).map(|n| a_file(&format!("orders/{n:05}.csv"), &format!("{n:X}"))).collect()
    }

    fn batches(plan: &Plan) -> usize {
        match plan {
            Plan::RequestRuns { runs, .. } => runs.len(),
            Plan::HandOut(batches) => batches.len(),
            Plan::Wait => 0,
        }
    }

    #[test]
    fn a_batch_is_complete_by_files_by_bytes_or_by_time() {
        let now = Timestamp::UNIX_EPOCH;
        let later = now + SignedDuration::from_mins(5);
        for (feed, n, now, wanted) in [
            (feed(10, None, Some("5m")), 9, now, 0),
            (feed(10, None, Some("5m")), 9, later, 1),
            (feed(10, None, Some("5m")), 25, now, 2),
            (feed(10, None, None), 25, now, 3),
            (feed(1000, Some("300 B"), Some("5m")), 7, now, 2),
            (feed(1000, Some("50 B"), Some("5m")), 7, now, 7),
        ] {
            assert_eq!(batches(&decide(&feed, &files(n), now)), wanted, "{n} files, {:?}", feed.batch);
        }
    }

    #[test]
    fn the_same_files_request_the_same_runs_within_an_hour_and_others_after_it() {
        let (feed, files) = (feed(10, None, None), files(25));
        let now = Timestamp::UNIX_EPOCH;
        let at = |now| decide(&feed, &files, now);
        assert_eq!(at(now), at(now + SignedDuration::from_mins(59)));
        assert_ne!(at(now), at(now + SignedDuration::from_mins(60)));
    }

    /// Files are registered in another order than they were received, the feed is planned after every few of them, and a run claims a batch
    /// now and then. The number of runs is near the number of batches.
    #[test]
    fn a_backlog_requests_about_as_many_runs_as_it_has_batches() {
        let (feed, now) = (feed(20, None, None), Timestamp::UNIX_EPOCH);
        let mut all = files(1_000);
        for (n, file) in all.iter_mut().enumerate() {
            file.received_ts = now + SignedDuration::from_millis(i64::try_from(n * 791 % 1_000).unwrap());
        }
        let mut requested = std::collections::BTreeSet::new();
        let (mut open, mut rest) = (Vec::new(), all.as_slice());
        for round in 0.. {
            let (new, later) = rest.split_at(rest.len().min(10));
            open.extend_from_slice(new);
            rest = later;
            if let Plan::RequestRuns { runs, .. } = decide(&feed, &open, now) {
                requested.extend(runs);
            } else {
                break;
            }
            if round % 4 == 3 {
                let claimed: Vec<_> = next(&feed, &open, now).into_iter().map(FileRecord::id).collect();
                open.retain(|file| !claimed.contains(&file.id()));
            }
        }
        assert!((50..=100).contains(&requested.len()), "{} runs for 50 batches", requested.len());
    }

    #[test]
    fn a_single_batch_keeps_its_run_while_files_are_added_to_it() {
        let (feed, now, files) = (feed(50, None, None), Timestamp::UNIX_EPOCH, files(50));
        let first = decide(&feed, &files[..1], now);
        assert!((1..=50).all(|n| decide(&feed, &files[..n], now) == first));
    }

    #[test]
    fn files_are_late_after_the_due_time_in_the_time_zone_of_the_feed() {
        let expected = Expected { by: "06:00".into(), time_zone: "Europe/Berlin".into(), files: 2 };
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-03-01T05:00:00Z");
        assert_eq!(late(&expected, 1, at("2026-03-01T04:59:59Z")), None, "not due yet");
        assert_eq!(late(&expected, 1, now), Some(("2026-03-01".into(), now)));
        assert_eq!(late(&expected, 2, now), None);
        assert_eq!(day_begun(&expected, now), Some(at("2026-02-28T23:00:00Z")));
    }

    proptest! {
        #[test]
        fn every_claimable_file_is_in_exactly_one_group_in_any_order_of_the_input(
            sizes in proptest::collection::vec(0_u64..500, 0..60), most in 1_u32..20, bytes in 1_u64..2_000,
            claimed in proptest::collection::vec(any::<bool>(), 60), turn in 0_usize..60,
        ) {
            let feed = feed(most, Some(&format!("{bytes} B")), None);
            let now = Timestamp::UNIX_EPOCH;
            let mut all = files(sizes.len());
            for ((file, size), claimed) in all.iter_mut().zip(&sizes).zip(&claimed) {
                file.size = *size;
                if *claimed {

                    let claim = FileStep::Claim { batch: "other".into(), until: now + CLAIM };
                    *file = file.after(&claim, now).unwrap();
                }
            }
            let mut turned = all.clone();
            turned.rotate_left(turn.min(all.len()));
            prop_assert_eq!(groups(&feed, &all, now), groups(&feed, &turned, now));
            let grouped: Vec<_> = groups(&feed, &all, now).concat().iter().map(|file| file.id()).collect();
            let free: Vec<_> = all.iter().filter(|file| file.is_claimable(now)).map(FileRecord::id).collect();
            prop_assert_eq!(grouped, free);
            for group in groups(&feed, &all, now) {
                prop_assert!(group.len() <= most as usize);
                prop_assert!(group.len() == 1 || super::bytes(&group) <= bytes);
            }
        }
    }
}
