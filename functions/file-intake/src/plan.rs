//! Plans feeds: requests runs or sends work items for complete batches, and reports late files.

use std::{collections::BTreeSet, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use shiftwork_feeds::{
    Feed, Feeds,
    feed::Consumer,
    plan::{self, Batch, Plan},
};
use shiftwork_ports::Result;
use shiftwork_protocol::{
    Failure, FailureKind,
    event::{Event, FilesLate},
    file::{FileRecord, FileStatus, FileStep},
    payload::RunRequest,
    work_item::WorkItem,
};

use crate::Intake;

/// Time during which this process does not request the same run again. Thousands of messages can belong to one batch, and each run of a
/// backlog waits in the queue of its workflow: requested again every minute, they would keep the trigger busy. SQS keeps a request until
/// the trigger has handled it, so a repetition is needed only for a run whose request went to the dead-letter queue.
const RUN_PAUSE: SignedDuration = SignedDuration::from_mins(5);

/// Time for each 1,000 open files of a feed during which messages do not plan the feed again, because planning reads all open files. The
/// schedule plans every feed.
const PLAN_PAUSE: SignedDuration = SignedDuration::from_secs(5);

/// The result of planning.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Planned {
    /// Number of files that wait, in all planned feeds.
    waiting: usize,
    /// Ids of the requested runs.
    runs: Vec<String>,
    /// Batch ids of the work items that were sent.
    work_items: Vec<String>,
    /// Names of the feeds whose files are late.
    late: Vec<String>,
}

impl Intake {
    /// Plans the feeds of messages, except feeds with many open files that were planned recently ([`PLAN_PAUSE`]).
    pub(crate) async fn plan_touched(&self, feeds: &Feeds, mut touched: BTreeSet<String>) -> Result<Planned> {
        let now = self.clock.now();
        touched.retain(|feed| self.recent.get(feed, now).is_none());
        self.plan_all(feeds, touched).await
    }

    /// Plans feeds. A failure does not stop the planning of the other feeds: it is logged, and the call fails at the end
    /// with the kind of the first failure and the names of the feeds.
    pub(crate) async fn plan_all(&self, feeds: &Feeds, wanted: BTreeSet<String>) -> Result<Planned> {
        let mut planned = Planned::default();
        let mut failed: Vec<(&str, FailureKind)> = Vec::new();
        for feed in feeds.iter().filter(|feed| wanted.contains(&feed.feed)) {
            if let Err(failure) = self.plan(feed, &mut planned).await {
                tracing::error!(feed = feed.feed, failure = failure.kind.name(), "{failure}");
                failed.push((&feed.feed, failure.kind));
            }
        }
        if planned != Planned::default() {
            tracing::info!(
                waiting = planned.waiting,
                runs = planned.runs.len(),
                work_items = planned.work_items.len(),
                late = planned.late.len(),
                "feeds planned"
            );
        }
        let Some((_, kind)) = failed.first() else { return Ok(planned) };
        let feeds: Vec<_> = failed.iter().map(|(feed, _)| *feed).collect();
        Err(Failure::new(*kind, format!("{} feeds could not be planned: {}", feeds.len(), feeds.join(", "))))
    }

    async fn plan(&self, feed: &Feed, planned: &mut Planned) -> Result<()> {
        self.report_late_files(feed, planned).await?;
        if feed.consumer() == Consumer::None {
            return Ok(());
        }
        let open = self.release_overdue(feed, self.batches.register.open(&feed.feed).await?).await?;
        let pause = PLAN_PAUSE * i32::try_from(open.len() / 1_000).unwrap_or(i32::MAX);
        self.recent.put(feed.feed.clone(), (), self.clock.now() + pause);
        let open = self.batches.ready(&*self.objects, feed, open).await?;
        let now = self.clock.now();
        planned.waiting += open.iter().filter(|file| file.is_claimable(now)).count();
        match plan::decide(feed, &open, now) {
            Plan::Wait => {}
            Plan::RequestRuns { workflow, runs } => {
                for run in runs.into_iter().filter(|run| self.recent.get(run, now).is_none()) {
                    let request = RunRequest {
                        workflow_id: workflow.into(),
                        workflow_execution_id: Some(run.clone()),
                        ..RunRequest::default()
                    };
                    self.requests.request(&request, Duration::ZERO).await?;
                    self.recent.put(run.clone(), (), now + RUN_PAUSE);
                    planned.runs.push(run);
                }
            }
            Plan::HandOut(batches) => {
                for batch in batches {
                    if self.send_batch(feed, &batch).await? {
                        planned.work_items.push(batch.id);
                    }
                }
            }
        }
        Ok(())
    }

    /// Claims and begins a batch, then sends its work item. If the function stops before it sends the work item, the files are released when
    /// the worker's time has passed. Returns false if no file of the batch could be claimed.
    async fn send_batch(&self, feed: &Feed, batch: &Batch<'_>) -> Result<bool> {
        let claimed = self.batches.claim(&*self.objects, feed, &batch.id, batch.files.iter().copied()).await?;
        let until = self.clock.now() + plan::worker_time(feed);
        let files = self.batches.begin(&batch.id, claimed, until).await?;
        if files.is_empty() {
            return Ok(false);
        }
        let item = WorkItem {
            batch: batch.id.clone(),
            feed: feed.feed.clone(),
            until,
            files: files.iter().map(Into::into).collect(),
        };
        self.items.send(&item).await?;
        tracing::info!(feed = feed.feed, batch = batch.id, files = files.len(), "work item sent");
        Ok(true)
    }

    /// Releases the files of work items whose time has passed, so that another batch can claim them. Returns the open files.
    async fn release_overdue(&self, feed: &Feed, open: Vec<FileRecord>) -> Result<Vec<FileRecord>> {
        let now = self.clock.now();
        if !matches!(feed.consumer(), Consumer::Workers(_)) {
            return Ok(open);
        }
        let mut released = Vec::with_capacity(open.len());
        for file in open {
            let overdue =
                file.file_status == FileStatus::Processing && file.claimed_until.is_some_and(|until| until <= now);
            match (&file.batch, overdue) {
                (Some(batch), true) => {
                    tracing::warn!(
                        feed = feed.feed,
                        batch,
                        file = file.url(),
                        "the worker did not complete the work item in time: file released"
                    );
                    let step = FileStep::Release { batch: batch.clone() };
                    released.push(self.batches.register.step(&file, &step, now).await?.file);
                }
                (Some(_) | None, _) => released.push(file),
            }
        }
        Ok(released)
    }

    /// Publishes an event and a notification if the files of a feed are late, once for each day. The notification is sent before it is
    /// recorded: if the function stops in between, it is sent again.
    async fn report_late_files(&self, feed: &Feed, planned: &mut Planned) -> Result<()> {
        let Some(expected) = &feed.expected else { return Ok(()) };
        let now = self.clock.now();
        let Some(begun) = plan::day_begun(expected, now) else { return Ok(()) };
        // Without any file: if the files are not late then, they are not due yet, and the register need not be read.
        if plan::late(expected, 0, now).is_none() {
            return Ok(());
        }
        let received = self.received_keys(feed, begun, expected.files).await?;
        let Some((day, due)) = plan::late(expected, received, now) else { return Ok(()) };
        let notice = format!("late {day}");
        if self.batches.register.was_notified(&feed.feed, &notice).await? {
            return Ok(());
        }
        let late = FilesLate {
            idempotency_key: format!("{}/{notice}", feed.feed),
            feed: feed.feed.clone(),
            day,
            due_ts: due,
            expected: expected.files,
            received,
        };
        tracing::warn!(
            feed = feed.feed,
            day = late.day,
            received = late.received,
            expected = late.expected,
            "files are late"
        );
        self.notices.publish(&[Event::Late(late.clone())]).await?;
        self.notices.late(&late).await?;
        planned.late.push(feed.feed.clone());
        self.batches.register.record_notice(&feed.feed, &notice, now).await
    }

    /// Counts the keys of a feed that were received since `begun`, at least up to `wanted`. A key that was overwritten counts once.
    async fn received_keys(&self, feed: &Feed, begun: Timestamp, wanted: u32) -> Result<u32> {
        let mut most = usize::try_from(wanted).unwrap_or(usize::MAX);
        loop {
            let files = self.batches.register.since(&feed.feed, begun, most).await?;
            let keys = files.iter().map(|file| (&file.bucket, &file.key)).collect::<BTreeSet<_>>().len();
            let keys = u32::try_from(keys).unwrap_or(u32::MAX);
            if keys >= wanted || files.len() < most {
                return Ok(keys);
            }
            most = most.saturating_mul(2);
        }
    }
}
