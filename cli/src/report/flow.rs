//! The times of a run: how long each job waited, was queued and ran, and the critical path.

use std::collections::BTreeMap;

use jiff::Timestamp;
use shiftwork_protocol::{JobRecord, SkipReason, Times};

use crate::{
    board::{Snapshot, is_real},
    words,
};

/// The times of a run. Jobs that never ran have no times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flow {
    /// Time of the request.
    pub(super) start: Timestamp,
    /// Time of the end, or the current time.
    pub(super) end: Timestamp,
    /// Times of jobs by job name.
    pub(super) spans: BTreeMap<String, Span>,
    /// The critical path, including barriers, from its end to its start: each job waited for the next one in the list.
    pub(super) critical: Vec<String>,
}

/// The times of a job that ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// When the last upstream job ended.
    pub(super) ready: Timestamp,
    /// When the first attempt was submitted.
    pub(super) start: Timestamp,
    /// When shiftwork recorded the end of the job, or the current time.
    pub(super) end: Timestamp,
    /// Times on the engine, over all attempts.
    pub(super) times: Times,
}

impl Span {
    /// The time for which the statements of the job ran; empty if the engine does not report it.
    pub(super) fn ran(&self) -> String {
        self.times.ran_us.map(|micros| words::micros(micros, self.times.unreported == 0)).unwrap_or_default()
    }
}

/// Computes the times from the records.
pub(super) fn flow(run: &Snapshot, now: Timestamp) -> Flow {
    let start = run.run.created_ts;
    let end = run.run.execution_end_ts.unwrap_or(now).max(start);
    let begun = run.run.execution_start_ts.unwrap_or(start);
    // Jobs are ordered by position, so every upstream job precedes its dependents.
    let mut ended: BTreeMap<&str, Timestamp> = BTreeMap::new();
    let mut spans = BTreeMap::new();
    for job in &run.jobs {
        let name = job.plan.job_name.as_str();
        let freed = job.plan.upstreams.iter().filter_map(|upstream| ended.get(upstream.as_str())).max();
        let ready = freed.copied().unwrap_or(begun).max(begun);
        if let Some(span) = span(job, ready, end) {
            ended.insert(name, span.end);
            spans.insert(name.to_owned(), span);
        } else if !is_real(job) || job.execution_status.is_terminal() {
            // A barrier, or a job that was skipped or reused: its dependents are ready when its upstream jobs have
            // ended.
            ended.insert(name, ready);
        }
    }
    let critical = critical(run, &spans, &ended);
    Flow { start, end, spans, critical }
}

/// Times of a job that ran in this run. A reused job ran in another run and has none.
fn span(job: &JobRecord, ready: Timestamp, until: Timestamp) -> Option<Span> {
    if !is_real(job) || job.reused_from.is_some() {
        return None;
    }
    let start = job.execution_start_ts?;
    let end = job.execution_end_ts.unwrap_or(until).max(start);
    Some(Span { ready: ready.min(start), start, end, times: job.all_times() })
}

fn critical(run: &Snapshot, spans: &BTreeMap<String, Span>, ended: &BTreeMap<&str, Timestamp>) -> Vec<String> {
    let jobs: BTreeMap<&str, &JobRecord> = run.jobs.iter().map(|job| (job.plan.job_name.as_str(), job)).collect();
    let mut chain = Vec::new();
    let mut at = spans.iter().max_by_key(|(_, span)| span.end).map(|(name, _)| name.as_str());
    while let Some(job) = at.and_then(|name| jobs.get(name)) {
        let takes_no_time = !is_real(job) || job.skip_reason == Some(SkipReason::ConditionNotMet);
        let passed = takes_no_time && ended.contains_key(job.plan.job_name.as_str());
        // A reused job took no time in this run, and neither did the jobs before it.
        if !passed && !spans.contains_key(&job.plan.job_name) {
            break;
        }
        chain.push(job.plan.job_name.clone());
        // Every step goes to a job with a lower position, so the loop ends even if the records are inconsistent.
        let is_earlier =
            |name: &&str| jobs.get(name).is_some_and(|upstream| upstream.plan.position < job.plan.position);
        let upstreams = job.plan.upstreams.iter().map(String::as_str).filter(is_earlier);
        at = upstreams
            .filter(|name| ended.contains_key(name))
            .max_by_key(|name| (ended[name], spans.contains_key(*name)));
    }
    chain
}
