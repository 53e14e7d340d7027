//! When things happened: what each job waited for, how long it ran, and which chain of jobs made the run as long as it was.

use std::collections::BTreeMap;

use jiff::Timestamp;
use shiftwork_protocol::JobRecord;

use crate::board::{Snapshot, is_real};

/// The times of a run. Moments of jobs that never ran are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flow {
    /// When the run was asked for.
    pub(super) start: Timestamp,
    /// When it ended, or now.
    pub(super) end: Timestamp,
    /// Jobs by name.
    pub(super) spans: BTreeMap<String, Span>,
    /// The chain of jobs, barriers too, that ended last, from its end: each waited for the next one.
    pub(super) critical: Vec<String>,
}

/// The times of a job that ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// Its last upstream had ended.
    pub(super) ready: Timestamp,
    /// Its first statement was handed to Redshift.
    pub(super) start: Timestamp,
    /// It ended, or now.
    pub(super) end: Timestamp,
}

/// Reads the times off the records.
pub(super) fn flow(run: &Snapshot, now: Timestamp) -> Flow {
    let start = run.run.created_ts;
    let end = run.run.execution_end_ts.unwrap_or(now).max(start);
    let begun = run.run.execution_start_ts.unwrap_or(start);
    // By position, so every upstream stands before what waits on it.
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
            // A barrier, a job that was skipped or reused: it passes on when its upstreams ended.
            ended.insert(name, ready);
        }
    }
    let critical = critical(run, &spans, &ended);
    Flow { start, end, spans, critical }
}

/// Times of a job that ran in this run; a reused job ran in another.
fn span(job: &JobRecord, ready: Timestamp, until: Timestamp) -> Option<Span> {
    if !is_real(job) || job.reused_from.is_some() {
        return None;
    }
    let start = job.execution_start_ts?;
    let end = job.execution_end_ts.unwrap_or(until).max(start);
    Some(Span { ready: ready.min(start), start, end })
}

fn critical(run: &Snapshot, spans: &BTreeMap<String, Span>, ended: &BTreeMap<&str, Timestamp>) -> Vec<String> {
    let jobs: BTreeMap<&str, &JobRecord> = run.jobs.iter().map(|job| (job.plan.job_name.as_str(), job)).collect();
    let mut chain = Vec::new();
    let mut at = spans.iter().max_by_key(|(_, span)| span.end).map(|(name, _)| name.as_str());
    while let Some(job) = at.and_then(|name| jobs.get(name)) {
        let passed = !is_real(job) && ended.contains_key(job.plan.job_name.as_str());
        // A job that was reused took no time of this run, and nothing before it did.
        if !passed && !spans.contains_key(&job.plan.job_name) {
            break;
        }
        chain.push(job.plan.job_name.clone());
        // Always to a job that stands before: the walk ends, whatever the records say.
        let stands_before =
            |name: &&str| jobs.get(name).is_some_and(|upstream| upstream.plan.position < job.plan.position);
        let upstreams = job.plan.upstreams.iter().map(String::as_str).filter(stands_before);
        at = upstreams
            .filter(|name| ended.contains_key(name))
            .max_by_key(|name| (ended[name], spans.contains_key(*name)));
    }
    chain
}
