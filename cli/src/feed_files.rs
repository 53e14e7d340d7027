//! `shiftwork files`: lists the files of feeds, retries files, registers existing files, and compares the register with buckets.

mod reconcile;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::IsTerminal as _,
    time::Duration,
};

use anyhow::bail;
use console::style;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use shiftwork_feeds::{Feed, Feeds, event};
use shiftwork_ports::scripts;
use shiftwork_protocol::{
    Failure, FailureKind,
    file::{Entry, FileRecord, FileStatus, FileStep, UNCLAIMED},
    keys::FEEDS,
    s3_event::{ObjectChange, ObjectEvent},
};

use crate::{
    Deployment, Outcome,
    args::{self, FilesCommand},
    aws::Listed,
    table::{Column, Table},
    words,
};

/// Number of concurrent requests.
const AT_ONCE: usize = 32;
/// Maximum number of files per feed that the summary counts, newest first.
const SUMMARY_FILES: usize = 10_000;
/// Maximum length of a reason in a table on a terminal, in characters.
const REASON_CHARS: usize = 60;
/// Maximum number of full reasons below the table.
const REASONS: usize = 10;

/// Executes the subcommand.
pub async fn files(deployment: &Deployment, asked: &args::Files) -> anyhow::Result<Outcome> {
    match (&asked.command, &asked.feed) {
        (Some(FilesCommand::Retry(asked)), _) => retry(deployment, asked).await,
        (Some(FilesCommand::Reload(asked)), _) => reload(deployment, asked).await,
        (Some(FilesCommand::Backfill(asked)), _) => backfill(deployment, asked).await,
        (Some(FilesCommand::Reconcile(asked)), _) => reconcile::reconcile(deployment, asked).await,
        (None, Some(feed)) => list(deployment, feed, asked).await,
        (None, None) => summary(deployment).await,
    }
}

/// The pushed feeds.
pub async fn feeds(deployment: &Deployment) -> anyhow::Result<Vec<Feed>> {
    let etags = scripts::etags(&deployment.scripts, FEEDS).await?;
    let texts: Vec<_> = stream::iter(etags.into_keys())
        .map(|key| async move { scripts::newest(&deployment.scripts, &key).await })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let read = texts.into_iter().flatten().filter_map(|script| {
        let feed = shiftwork_config::read_file(&script.key, &script.text).and_then(|doc| Feed::read(&doc));
        feed.inspect_err(|_| eprintln!("{} is not a valid feed: fix the feed file and push it again", script.key)).ok()
    });
    Ok(read.collect())
}

/// Prints the number of files per feed and status.
async fn summary(deployment: &Deployment) -> anyhow::Result<Outcome> {
    let feeds = feeds(deployment).await?;
    let names = feeds.iter().map(|feed| feed.feed.clone()).chain([UNCLAIMED.to_owned()]);
    let mut rows: Vec<(String, Vec<FileRecord>)> = Vec::new();
    for name in names {
        let files = deployment.register.since(&name, Timestamp::UNIX_EPOCH, SUMMARY_FILES).await?;
        if name != UNCLAIMED || !files.is_empty() {
            rows.push((name, files));
        }
    }
    if rows.is_empty() {
        println!("there are no feeds yet: create feeds/<feed>.yaml, then use `shiftwork push`");
        return Ok(Outcome::Done);
    }
    println!("{}", summary_table(&rows));
    if rows.iter().any(|(_, files)| files.len() == SUMMARY_FILES) {
        println!("the counts cover the newest {} files of each feed", words::count(i64::try_from(SUMMARY_FILES)?));
    }
    Ok(Outcome::Done)
}

/// Counts of files by status, one row per feed.
pub fn summary_table(feeds: &[(String, Vec<FileRecord>)]) -> Table {
    let counts = FileStatus::ALL.map(|status| Column::number(title(status)));
    let mut table = Table::new([Column::name("feed")].into_iter().chain(counts).chain([Column::name("newest (UTC)")]));
    for (name, files) in feeds {
        let mut counts: BTreeMap<FileStatus, i64> = BTreeMap::new();
        for file in files {
            *counts.entry(file.file_status).or_default() += 1;
        }
        let counts = FileStatus::ALL.map(|status| words::count(counts.get(&status).copied().unwrap_or_default()));
        let newest = files.iter().map(|file| file.received_ts).max().map(words::instant).unwrap_or_default();
        table.row([name.clone()].into_iter().chain(counts).chain([newest]));
    }
    table
}

const fn title(status: FileStatus) -> &'static str {
    match status {
        FileStatus::Received => "received",
        FileStatus::Batched => "batched",
        FileStatus::Processing => "processing",
        FileStatus::Processed => "processed",
        FileStatus::Failed => "failed",
        FileStatus::Quarantined => "quarantined",
    }
}

async fn list(deployment: &Deployment, feed: &str, asked: &args::Files) -> anyhow::Result<Outcome> {
    known(deployment, feed).await?;
    let found =
        matching(deployment, feed, &asked.prefix, |file| asked.status.is_none_or(|status| file.file_status == status));
    let mut found = found.await?;
    let more = found.len().saturating_sub(asked.limit);
    found.truncate(asked.limit);
    if found.is_empty() {
        println!("no registered file of {feed} matches");
        return Ok(Outcome::Done);
    }
    println!("{}", table(&found));
    // Without a terminal, the table has the whole reasons.
    let cut = if std::io::stdout().is_terminal() { long_reasons(&found) } else { Vec::new() };
    for (file, reason) in cut.into_iter().take(REASONS) {
        println!("{}: {}", style(&file.key).bold(), reason.trim());
    }
    if more > 0 {
        println!("{more} more: use --limit, --status or --prefix to select files");
    }
    Ok(Outcome::Done)
}

fn table(files: &[FileRecord]) -> Table {
    let mut table = Table::new([
        Column::name("key"),
        Column::name("status"),
        Column::number("size"),
        Column::name("received (UTC)"),
        Column::name("batch"),
        Column::text("reason", REASON_CHARS),
    ]);
    for file in files {
        table.row([
            file.key.clone(),
            file.file_status.to_string(),
            words::count(i64::try_from(file.size).unwrap_or(i64::MAX)),
            words::instant(file.received_ts),
            file.batch.clone().unwrap_or_default(),
            file.reason.clone().unwrap_or_default(),
        ]);
    }
    table
}

/// Reasons that the table truncates, each once, with the first file that has it.
fn long_reasons(files: &[FileRecord]) -> Vec<(&FileRecord, &str)> {
    let mut shown = BTreeSet::new();
    let with_reason = files.iter().filter_map(|file| Some((file, file.reason.as_deref()?)));
    with_reason
        .filter(|(_, reason)| words::brief(reason, REASON_CHARS) != reason.trim() && shown.insert(*reason))
        .collect()
}

async fn retry(deployment: &Deployment, asked: &args::FilesRetry) -> anyhow::Result<Outcome> {
    known(deployment, &asked.feed).await?;
    if let Some(status) = asked.status
        && !matches!(status, FileStatus::Failed | FileStatus::Quarantined)
    {
        bail!("files with status {status} cannot be retried: use --status failed or --status quarantined");
    }
    let wanted = |file: &FileRecord| match asked.status {
        Some(status) => file.file_status == status,
        None => matches!(file.file_status, FileStatus::Failed | FileStatus::Quarantined),
    };
    let found = matching(deployment, &asked.feed, &asked.prefix, wanted).await?;
    if asked.dry_run {
        if !found.is_empty() {
            println!("{}", table(&found));
        }
        println!("{} to retry; run without --dry-run to retry them", words::plural(found.len(), "file"));
        return Ok(Outcome::Done);
    }
    open_again(deployment, &asked.feed, &found, &FileStep::Retry).await
}

/// Opens processed files again. The rows that they loaded before stay in the table.
async fn reload(deployment: &Deployment, asked: &args::FilesReload) -> anyhow::Result<Outcome> {
    known(deployment, &asked.feed).await?;
    let processed = |file: &FileRecord| file.file_status == FileStatus::Processed;
    let found = matching(deployment, &asked.feed, &asked.prefix, processed).await?;
    if asked.yes {
        return open_again(deployment, &asked.feed, &found, &FileStep::Reload).await;
    }
    if !found.is_empty() {
        println!("{}", table(&found));
    }
    println!(
        "{} to load again. The rows that they loaded before stay in the table: delete them, then run with --yes",
        words::plural(found.len(), "file")
    );
    Ok(Outcome::Done)
}

async fn open_again(
    deployment: &Deployment,
    feed: &str,
    files: &[FileRecord],
    step: &FileStep,
) -> anyhow::Result<Outcome> {
    let now = deployment.clock.now();
    let stepped = stream::iter(files)
        .map(|file| async move { Ok::<_, Failure>(deployment.register.step(file, step, now).await?.fresh) })
        .buffer_unordered(AT_ONCE);
    let opened = stepped.try_fold(0, async |sum, fresh| Ok(sum + usize::from(fresh))).await?;
    println!("{} set to received; the next batch of {feed} loads them", words::plural(opened, "file"));
    Ok(Outcome::Done)
}

/// The files of a feed that match `wanted`, newest first.
async fn matching(
    deployment: &Deployment,
    feed: &str,
    prefix: &str,
    wanted: impl Fn(&FileRecord) -> bool,
) -> anyhow::Result<Vec<FileRecord>> {
    let mut files = deployment.register.since(feed, Timestamp::UNIX_EPOCH, usize::MAX).await?;
    files.retain(|file| file.key.starts_with(prefix) && wanted(file));
    Ok(files)
}

async fn known(deployment: &Deployment, feed: &str) -> anyhow::Result<()> {
    let known: Vec<_> = feeds(deployment).await?.into_iter().map(|feed| feed.feed).collect();
    if feed == UNCLAIMED || known.iter().any(|known| known == feed) {
        return Ok(());
    }
    let known = if known.is_empty() { "none".into() } else { known.join(", ") };
    let words = format!("unknown feed `{feed}`; feeds: {known}");
    Err(Failure::new(FailureKind::InvalidRequest, words).into())
}

/// Registers existing objects. Objects that are registered already do not change, so a backfill can be repeated.
async fn backfill(deployment: &Deployment, asked: &args::FilesBackfill) -> anyhow::Result<Outcome> {
    let (bucket, prefix) = asked.place.trim_start_matches("s3://").split_once('/').unwrap_or((&asked.place, ""));
    let feeds = Feeds::new(feeds(deployment).await?);
    let bar = bar();
    let mut done = Backfilled::default();
    let mut after = asked.after.clone();
    loop {
        let next = backfill_page(deployment, &feeds, (bucket, prefix), after.as_deref(), asked.unclaimed, &mut done);
        match next.await {
            Ok(next) => after = next,
            Err(error) => {
                bar.finish_and_clear();
                if let Some(key) = &after {
                    eprintln!("to continue: shiftwork files backfill {} --after '{key}'", asked.place);
                }
                return Err(error);
            }
        }
        let at = after.as_deref().unwrap_or("the end");
        bar.set_message(format!("{} listed, {} new; at {at}", done.seen, done.new));
        bar.tick();
        if after.is_none() {
            break;
        }
    }
    let Backfilled { seen, new, unclaimed, folders } = done;
    bar.finish_and_clear();
    println!(
        "{} listed, {new} registered, {} registered before",
        words::plural(seen, "file"),
        seen - new - unclaimed - folders
    );
    if folders > 0 {
        println!("{} for folders not registered", words::plural(folders, "empty object"));
    }
    if unclaimed > 0 {
        println!(
            "{} without a feed not registered (use --unclaimed to register them)",
            words::plural(unclaimed, "file")
        );
    }
    Ok(Outcome::Done)
}

/// Counts of a backfill so far.
#[derive(Debug, Default)]
struct Backfilled {
    seen: usize,
    new: usize,
    unclaimed: usize,
    folders: usize,
}

/// Registers one page of a listing, and returns the key after which the next page starts.
async fn backfill_page(
    deployment: &Deployment,
    feeds: &Feeds,
    (bucket, prefix): (&str, &str),
    after: Option<&str>,
    with_unclaimed: bool,
    done: &mut Backfilled,
) -> anyhow::Result<Option<String>> {
    let page = deployment.landing.page(bucket, prefix, after).await?;
    let now = deployment.clock.now();
    let listed = page.objects.len();
    done.seen += listed;
    let events =
        page.objects.into_iter().map(|object| created(bucket, object)).filter(|event| !event::is_folder(event));
    let mut entries: Vec<_> = events.map(|event| event::entry(event, feeds, now)).collect();
    let all = entries.len();
    done.folders += listed - all;
    if !with_unclaimed {
        entries.retain(|entry| !matches!(entry, Entry::File(file) if file.feed == UNCLAIMED));
    }
    done.unclaimed += all - entries.len();
    let put = stream::iter(&entries).map(|entry| deployment.register.put(entry)).buffer_unordered(AT_ONCE);
    done.new += put.try_fold(0, async |sum, fresh| Ok(sum + usize::from(fresh))).await?;
    Ok(page.next)
}

/// The event that S3 would have sent when the object was created.
fn created(bucket: &str, object: Listed) -> ObjectEvent {
    ObjectEvent {
        bucket: bucket.into(),
        key: object.key,
        version_id: object.version_id,
        sequencer: None,
        at: object.modified,
        change: ObjectChange::Created { etag: object.etag, size: object.size },
    }
}

fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
    let bar = ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::holds;

    #[test]
    fn tables_of_files_are_whole() {
        let object = Listed {
            key: format!("landing/{}/orders-2026-03-01.csv", "deep/".repeat(40)),
            version_id: Some("v1".into()),
            etag: None,
            size: 1_234_567,
            modified: Timestamp::UNIX_EPOCH,
        };
        let Entry::File(file) = event::entry(created("bucket", object), &Feeds::new(Vec::new()), Timestamp::UNIX_EPOCH)
        else {
            panic!("an object that exists is a file")
        };
        let mut file = *file;
        file.reason =
            Some("line 7, column 3: expected a number, found a text that is longer than sixty characters".into());
        let short = FileRecord { key: "a.csv".into(), ..file.clone() };
        holds(&table(&[file.clone(), short]));
        holds(&summary_table(&[("orders".into(), vec![file]), ("f".repeat(64), Vec::new())]));
    }
}
