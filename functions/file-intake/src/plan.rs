//! Feeds are planned: complete batches are asked for or handed out, and late files are told about.

use std::{collections::BTreeSet, time::Duration};

use jiff::SignedDuration;
use serde::Serialize;
use shiftwork_feeds::{
    Feed, Feeds,
    feed::Consumer,
    plan::{self, Batch, Plan},
};
use shiftwork_ports::Result;
use shiftwork_protocol::{
    event::{Event, FilesLate},
    file::{FileRecord, FileStatus, FileStep},
    payload::RunRequest,
    work_item::WorkItem,
};

use crate::Intake;

/// A run that this process asked for is not asked for again within this time: files come by the thousand.
const ASKED: SignedDuration = SignedDuration::from_mins(1);

/// To plan is to read every open file. A feed with many of them rests so long for each thousand before another message has it
/// planned again; the clock plans it whatever it has.
const REST: SignedDuration = SignedDuration::from_secs(5);

/// What a planning did.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Planned {
    /// Files that wait, over all feeds that were planned.
    waiting: usize,
    /// Runs that were asked for.
    runs: Vec<String>,
    /// Work items that were handed out.
    work_items: Vec<String>,
    /// Feeds whose files are late.
    late: Vec<String>,
}

impl Intake {
    /// Plans the feeds of messages, but for those that were planned a moment ago and have a long queue.
    pub(crate) async fn plan_touched(&self, feeds: &Feeds, mut touched: BTreeSet<String>) -> Result<Planned> {
        let now = self.clock.now();
        touched.retain(|feed| self.lately.get(feed, now).is_none());
        self.plan_all(feeds, touched).await
    }

    /// Plans these feeds. One that fails does not keep the others waiting; the first failure is the answer then.
    pub(crate) async fn plan_all(&self, feeds: &Feeds, wanted: BTreeSet<String>) -> Result<Planned> {
        let mut planned = Planned::default();
        let mut first = None;
        for feed in feeds.iter().filter(|feed| wanted.contains(&feed.feed)) {
            if let Err(failure) = self.plan(feed, &mut planned).await {
                tracing::error!(feed = feed.feed, failure = failure.kind.name(), "{failure}");
                first.get_or_insert(failure);
            }
        }
        if planned != Planned::default() {
            tracing::info!(
                waiting = planned.waiting,
                runs = planned.runs.len(),
                work_items = planned.work_items.len(),
                late = planned.late.len(),
                "planned"
            );
        }
        first.map_or(Ok(planned), Err)
    }

    async fn plan(&self, feed: &Feed, planned: &mut Planned) -> Result<()> {
        self.tell_if_late(feed, planned).await?;
        if feed.consumer() == Consumer::Nobody {
            return Ok(());
        }
        let open = self.take_back(feed, self.batches.register.open(&feed.feed).await?).await?;
        let rest = REST * i32::try_from(open.len() / 1_000).unwrap_or(i32::MAX);
        self.lately.put(feed.feed.clone(), (), self.clock.now() + rest);
        let open = self.batches.ready(&*self.objects, feed, open).await?;
        let now = self.clock.now();
        planned.waiting += open.iter().filter(|file| file.is_claimable(now)).count();
        match plan::decide(feed, &open, now) {
            Plan::Wait => {}
            Plan::Ask { workflow, runs } => {
                for run in runs.into_iter().filter(|run| self.lately.get(run, now).is_none()) {
                    let request = RunRequest {
                        workflow_id: workflow.into(),
                        workflow_execution_id: Some(run.clone()),
                        ..RunRequest::default()
                    };
                    self.requests.ask(&request, Duration::ZERO).await?;
                    self.lately.put(run.clone(), (), now + ASKED);
                    planned.runs.push(run);
                }
            }
            Plan::HandOut(batches) => {
                for batch in batches {
                    if self.hand_out(feed, &batch).await? {
                        planned.work_items.push(batch.id);
                    }
                }
            }
        }
        Ok(())
    }

    /// Claimed and begun before it is handed out: should this end in between, the files come back when the worker's time
    /// is up, and no worker has heard of them. False where nothing of the batch was to be had.
    async fn hand_out(&self, feed: &Feed, batch: &Batch<'_>) -> Result<bool> {
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
        self.items.hand_out(&item).await?;
        tracing::info!(feed = feed.feed, batch = batch.id, files = files.len(), "work item handed out");
        Ok(true)
    }

    /// The files of workers whose time is up are open to others again.
    async fn take_back(&self, feed: &Feed, open: Vec<FileRecord>) -> Result<Vec<FileRecord>> {
        let now = self.clock.now();
        if !matches!(feed.consumer(), Consumer::Workers(_)) {
            return Ok(open);
        }
        let mut left = Vec::with_capacity(open.len());
        for file in open {
            let overdue =
                file.file_status == FileStatus::Processing && file.claimed_until.is_some_and(|until| until <= now);
            match (&file.batch, overdue) {
                (Some(batch), true) => {
                    tracing::warn!(feed = feed.feed, batch, file = file.url(), "a worker's time is up: taken back");
                    let step = FileStep::Release { batch: batch.clone() };
                    left.push(self.batches.register.step(&file, &step, now).await?.file);
                }
                (Some(_) | None, _) => left.push(file),
            }
        }
        Ok(left)
    }

    /// Once a feed and day. Told first and kept then: a crash in between tells twice, never not at all.
    async fn tell_if_late(&self, feed: &Feed, planned: &mut Planned) -> Result<()> {
        let Some(expected) = &feed.expected else { return Ok(()) };
        let now = self.clock.now();
        let Some(begun) = plan::day_begun(expected, now) else { return Ok(()) };
        // Not due yet however few came: no need to count.
        if plan::late(expected, &[], now).is_none() {
            return Ok(());
        }
        let most = usize::try_from(expected.files).unwrap_or(usize::MAX);
        let files = self.batches.register.since(&feed.feed, begun, most).await?;
        let received: Vec<_> = files.iter().map(|file| file.received_ts).collect();
        let Some((day, due)) = plan::late(expected, &received, now) else { return Ok(()) };
        let what = format!("late {day}");
        if self.batches.register.said(&feed.feed, &what).await? {
            return Ok(());
        }
        let late = FilesLate {
            idempotency_key: format!("{}/{what}", feed.feed),
            feed: feed.feed.clone(),
            day,
            due_ts: due,
            expected: expected.files,
            received: u32::try_from(received.len()).unwrap_or(u32::MAX),
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
        self.batches.register.say(&feed.feed, &what, now).await
    }
}
