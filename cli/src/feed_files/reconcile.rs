//! `shiftwork files reconcile`: compares the register of a feed with its bucket, for files whose events were lost.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use console::style;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;
use shiftwork_feeds::{Feed, Feeds, event};
use shiftwork_protocol::{
    file::{FileRecord, FileStatus},
    s3_event::{ObjectChange, ObjectEvent},
};

use super::{AT_ONCE, bar, created, feeds, known};
use crate::{Deployment, Outcome, args, aws::Listed, table, words};

/// How the register and the bucket differ in a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Difference {
    /// The bucket has the object, and the register has no file of the key.
    NotRegistered,
    /// The newest file of the key in the register has another ETag than the object.
    Changed,
    /// The register has a file that was not processed, and the bucket has no object of the key.
    Gone,
}

impl Difference {
    const fn words(self) -> &'static str {
        match self {
            Self::NotRegistered => "not registered",
            Self::Changed => "changed",
            Self::Gone => "gone",
        }
    }
}

/// A key in which the register and the bucket differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Differing {
    /// The key.
    pub key: String,
    /// The difference between the register and the bucket.
    pub difference: Difference,
    /// Status of the newest file of the key in the register.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_status: Option<FileStatus>,
    /// ETag of that file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registered_etag: Option<String>,
    /// ETag of the object in the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

/// The result of a comparison.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Comparison {
    /// Number of objects of the feed in the bucket.
    pub objects: usize,
    /// Number of keys in the register.
    pub registered: usize,
    /// Number of keys whose file was processed or quarantined and that are not in the bucket any more, as after a lifecycle rule.
    pub ended_and_gone: usize,
    /// The differences, ordered by key.
    pub differences: Vec<Differing>,
}

/// Compares the files of a feed with the objects that its bucket had at `listed_at` or later. A file that was registered after that
/// can be missing in the listing, or be listed with the ETag that it had before.
pub(super) fn compare(registered: &[FileRecord], objects: &[Listed], listed_at: Timestamp) -> Comparison {
    let mut newest: BTreeMap<&str, &FileRecord> = BTreeMap::new();
    for file in registered {
        let known = newest.entry(&file.key).or_insert(file);
        if known.received_ts < file.received_ts {
            *known = file;
        }
    }
    let listed: BTreeSet<&str> = objects.iter().map(|object| object.key.as_str()).collect();
    let of_object = objects.iter().filter_map(|object| {
        let file = newest.get(object.key.as_str()).copied();
        let difference = match file {
            None => Difference::NotRegistered,
            // The listing can have the object as it was before that.
            Some(file) if file.registered_ts >= listed_at => return None,
            Some(file) if file.etag.is_some() && object.etag.is_some() && file.etag != object.etag => {
                Difference::Changed
            }
            Some(_) => return None,
        };
        Some(differing(&object.key, difference, file, object.etag.clone()))
    });
    let mut differences: Vec<_> = of_object.collect();
    let mut ended_and_gone = 0;
    let gone = newest.iter().filter(|(name, file)| !listed.contains(**name) && file.registered_ts < listed_at);
    for (name, file) in gone {
        match file.file_status {
            FileStatus::Processed | FileStatus::Quarantined => ended_and_gone += 1,
            FileStatus::Received | FileStatus::Batched | FileStatus::Processing | FileStatus::Failed => {
                differences.push(differing(name, Difference::Gone, Some(file), None));
            }
        }
    }
    differences.sort_by(|one, other| one.key.cmp(&other.key));
    Comparison { objects: objects.len(), registered: newest.len(), ended_and_gone, differences }
}

fn differing(name: &str, difference: Difference, file: Option<&FileRecord>, etag: Option<String>) -> Differing {
    Differing {
        key: name.into(),
        difference,
        file_status: file.map(|file| file.file_status),
        registered_etag: file.and_then(|file| file.etag.clone()),
        etag,
    }
}

/// Executes the subcommand.
pub(super) async fn reconcile(deployment: &Deployment, asked: &args::FilesReconcile) -> anyhow::Result<Outcome> {
    known(deployment, &asked.feed).await?;
    let feeds = Feeds::new(feeds(deployment).await?);
    let feed = feeds.named(&asked.feed).context("the files of no feed have no bucket: name a feed")?;
    // A deletion is recorded with the time before the listing, so that it does not apply to a file that lands meanwhile.
    let began = deployment.clock.now();
    let objects = objects(deployment, &feeds, feed, &asked.prefix).await?;
    let mut registered = deployment.register.since(&feed.feed, Timestamp::UNIX_EPOCH, usize::MAX).await?;
    registered.retain(|file| file.key.starts_with(&asked.prefix));
    let found = compare(&registered, &objects, began);
    if asked.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        show(&feed.feed, &found);
    }
    if found.differences.is_empty() {
        return Ok(Outcome::Done);
    }
    if !asked.fix {
        if !asked.json {
            println!("run with --fix to register what is not registered or changed, and to record what is gone");
        }
        return Ok(Outcome::Failed);
    }
    let events = fixes(&feed.bucket, &found.differences, &registered, objects, began);
    let now = deployment.clock.now();
    let entries: Vec<_> = events.into_iter().map(|event| event::entry(event, &feeds, now)).collect();
    let put = stream::iter(&entries).map(|entry| deployment.register.put(entry)).buffer_unordered(AT_ONCE);
    put.try_for_each(async |_| Ok(())).await?;
    let left = found.differences.len() - entries.len();
    if !asked.json {
        println!("{} recorded", words::plural(entries.len(), "change"));
        if left > 0 {
            println!(
                "{} gone from a bucket with versions not recorded: `shiftwork files retry` quarantines a file that COPY does not find",
                words::plural(left, "file")
            );
        }
    }
    Ok(if left == 0 { Outcome::Done } else { Outcome::Failed })
}

/// The events that S3 would have sent for the differences. A deletion in a bucket with versions has none, because the version that was
/// deleted is not known.
fn fixes(
    bucket: &str,
    differences: &[Differing],
    registered: &[FileRecord],
    objects: Vec<Listed>,
    listed_at: Timestamp,
) -> Vec<ObjectEvent> {
    let of = |wanted: fn(Difference) -> bool| -> BTreeSet<&str> {
        differences.iter().filter(|key| wanted(key.difference)).map(|key| key.key.as_str()).collect()
    };
    let to_register = of(|difference| matches!(difference, Difference::NotRegistered | Difference::Changed));
    let with_versions: BTreeSet<&str> =
        registered.iter().filter(|file| file.version_id.is_some()).map(|file| file.key.as_str()).collect();
    let gone = of(|difference| difference == Difference::Gone);
    let deleted = gone.into_iter().filter(|key| !with_versions.contains(key)).map(|key| ObjectEvent {
        bucket: bucket.into(),
        key: key.into(),
        version_id: None,
        sequencer: None,
        at: listed_at,
        change: ObjectChange::Deleted { marker_id: None },
    });
    let registered = objects.into_iter().filter(|object| to_register.contains(object.key.as_str()));
    registered.map(|object| created(bucket, object)).chain(deleted).collect()
}

/// The objects of the feed in its bucket, without control files and folders.
async fn objects(deployment: &Deployment, feeds: &Feeds, feed: &Feed, prefix: &str) -> anyhow::Result<Vec<Listed>> {
    let literal = feed.keys.split(['*', '{']).next().unwrap_or_default();
    let prefix = if prefix.starts_with(literal) { prefix } else { literal };
    let bar = bar();
    let mut objects = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = deployment.landing.page(&feed.bucket, prefix, after.as_deref()).await?;
        let of_feed = page.objects.into_iter().filter(|object| {
            let belongs = feeds.of(&feed.bucket, &object.key).is_some_and(|(of, _)| of.feed == feed.feed);
            belongs && !event::is_folder(&created(&feed.bucket, object.clone()))
        });
        objects.extend(of_feed);
        after = page.next;
        bar.set_message(format!("{} listed; at {}", objects.len(), after.as_deref().unwrap_or("the end")));
        bar.tick();
        if after.is_none() {
            bar.finish_and_clear();
            return Ok(objects);
        }
    }
}

fn show(feed: &str, found: &Comparison) {
    let mut table = table::Table::new([
        table::Column::name("key"),
        table::Column::name("difference"),
        table::Column::name("status"),
    ]);
    for key in &found.differences {
        let status = key.file_status.map(|status| status.to_string()).unwrap_or_default();
        table.row([key.key.clone(), key.difference.words().to_owned(), status]);
    }
    if !found.differences.is_empty() {
        println!("{table}");
    }
    println!(
        "{}: {} in the bucket, {} registered, {} processed or quarantined and not in the bucket any more",
        style(feed).bold(),
        words::plural(found.objects, "file"),
        words::plural(found.registered, "key"),
        found.ended_and_gone
    );
    println!("{}", words::plural(found.differences.len(), "difference"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn object(key: &str, etag: &str) -> Listed {
        Listed { key: key.into(), version_id: None, etag: Some(etag.into()), size: 10, modified: at(9) }
    }

    fn file(key: &str, etag: &str, second: i64, status: FileStatus) -> FileRecord {
        let event = ObjectEvent { at: at(second), ..created("landing", object(key, etag)) };
        match event::entry(event, &Feeds::new(Vec::new()), at(second)) {
            shiftwork_protocol::file::Entry::File(file) => FileRecord { file_status: status, ..*file },
            shiftwork_protocol::file::Entry::Deletion(_) => panic!("an object that exists is a file"),
        }
    }

    #[test]
    fn every_difference_between_register_and_bucket_is_found() {
        let registered = [
            file("a", "1", 1, FileStatus::Processed),
            file("b", "1", 1, FileStatus::Processed),
            file("b", "2", 2, FileStatus::Received),
            file("c", "1", 1, FileStatus::Processed),
            file("d", "1", 1, FileStatus::Received),
            file("e", "1", 1, FileStatus::Failed),
            file("f", "1", 1, FileStatus::Processed),
            file("g", "1", 1, FileStatus::Quarantined),
            // It landed after the listing began.
            file("late", "1", 6, FileStatus::Received),
            // It was overwritten after the listing had its first content.
            file("overwritten", "1", 1, FileStatus::Processed),
            file("overwritten", "2", 6, FileStatus::Received),
            // The first content came back, and its event was lost.
            file("h", "1", 1, FileStatus::Processed),
            file("h", "2", 2, FileStatus::Processed),
        ];
        let objects = [
            object("a", "1"),
            object("b", "2"),
            object("c", "2"),
            object("h", "1"),
            object("new", "1"),
            object("overwritten", "1"),
        ];
        let found = compare(&registered, &objects, at(5));
        let differences: Vec<_> = found.differences.iter().map(|key| (key.key.as_str(), key.difference)).collect();
        let wanted = [
            ("c", Difference::Changed),
            ("d", Difference::Gone),
            ("e", Difference::Gone),
            ("h", Difference::Changed),
            ("new", Difference::NotRegistered),
        ];
        assert_eq!(differences, wanted);
        assert_eq!((found.objects, found.registered, found.ended_and_gone), (6, 10, 2));
        assert_eq!(compare(&registered[..1], &objects[..1], at(5)).differences, []);
    }

    #[test]
    fn a_fix_records_what_the_lost_events_said() {
        let mut versioned = file("v", "1", 1, FileStatus::Received);
        versioned.version_id = Some("one".into());
        let registered = [file("c", "1", 1, FileStatus::Processed), file("d", "1", 1, FileStatus::Received), versioned];
        let objects = vec![object("c", "2"), object("new", "1")];
        let found = compare(&registered, &objects, at(5));
        let events = fixes("landing", &found.differences, &registered, objects, at(5));
        let keys: Vec<_> = events
            .iter()
            .map(|event| (event.key.as_str(), event.at, matches!(event.change, ObjectChange::Created { .. })))
            .collect();
        assert_eq!(keys, [("c", at(9), true), ("new", at(9), true), ("d", at(5), false)]);
    }
}
