//! The timeline of a run: one row per job, with the times that it waited, was queued, ran, and waited to be noticed.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use shiftwork_protocol::JobRecord;

use super::{flow::Flow, view::css};
use crate::{
    board::{self, Snapshot, is_real},
    words,
};

/// A timeline with more rows than this is drawn with small rows.
const SMALL: usize = 40;
/// Target number of ticks.
const TICKS: f64 = 8.0;
/// Maximum number of ticks: the longest run takes a week and has a tick per day.
const MOST_TICKS: u32 = 20;

/// The laid-out timeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Timeline {
    small: bool,
    rows: Vec<Row>,
    ticks: Vec<Tick>,
}

/// The row of a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    label: String,
    title: String,
    position: u32,
    critical: bool,
    bars: Vec<Bar>,
    figure: String,
}

/// A period of time. Positions and widths are in percent of the duration of the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Bar {
    x: f64,
    w: f64,
    css: &'static str,
}

/// A grid line.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Tick {
    x: f64,
    label: String,
}

/// Lays out the timeline; `None` if no job ran.
pub(super) fn timeline(run: &Snapshot, flow: &Flow) -> Option<Timeline> {
    if flow.spans.is_empty() {
        return None;
    }
    let seconds = flow.end.duration_since(flow.start).as_secs_f64().max(0.001);
    let x = |at: Timestamp| at.duration_since(flow.start).as_secs_f64() * 100.0 / seconds;

    let mut jobs: Vec<&JobRecord> = run.jobs.iter().filter(|job| is_real(job)).collect();
    // Ordered by start time; jobs that never ran are last.
    jobs.sort_by_key(|job| {
        (flow.spans.get(&job.plan.job_name).map_or(Timestamp::MAX, |span| span.start), job.plan.position)
    });
    let small = jobs.len() > SMALL;
    let rows = jobs.iter().map(|job| row(job, flow, &x)).collect();
    let step = step(seconds / TICKS);
    let ticks = (0..=MOST_TICKS)
        .map(|number| f64::from(number) * step)
        .take_while(|at| *at <= seconds)
        .map(|at| Tick { x: at * 100.0 / seconds, label: tick_label(at, step) })
        .collect();
    Some(Timeline { small, rows, ticks })
}

fn row(job: &JobRecord, flow: &Flow, x: &impl Fn(Timestamp) -> f64) -> Row {
    let name = &job.plan.job_name;
    let status = job.execution_status;
    let mut row = Row {
        label: name.clone(),
        title: format!("{name}: {status}"),
        position: job.plan.position,
        critical: flow.critical.contains(name),
        bars: Vec::new(),
        figure: match &job.reused_from {
            Some(_) => "reused".into(),
            None => status.as_str().to_lowercase().replace('_', " "),
        },
    };
    let Some(span) = flow.spans.get(name) else { return row };
    let bar = |from: Timestamp, to: Timestamp, css| Bar { x: x(from), w: x(to) - x(from), css };
    if span.start > span.ready {
        row.bars.push(bar(span.ready, span.start, "wait"));
    }
    // The failed attempts, the waits between them, and the last attempt.
    let mut from = span.start;
    for attempt in &job.failed_attempts {
        let submitted = attempt.submitted_ts.unwrap_or(from).max(from);
        if submitted > from {
            row.bars.push(bar(from, submitted, "wait"));
        }
        row.bars.push(bar(submitted, attempt.ended_ts.max(submitted), "retried"));
        from = attempt.ended_ts.max(submitted);
    }
    let last = job.submitted_ts.filter(|_| !job.failed_attempts.is_empty()).unwrap_or(from).max(from).min(span.end);
    if last > from {
        row.bars.push(bar(from, last, "wait"));
    }
    let end = span.end.max(last);
    if let Some((started, ended)) = job.times.engine_started_ts.zip(job.times.engine_ended_ts) {
        let started = started.clamp(last, end);
        let ended = ended.clamp(started, end);
        row.bars.push(bar(last, started, "queued"));
        row.bars.push(bar(started, ended, css(status)));
        row.bars.push(bar(ended, end, "noticed"));
    } else {
        row.bars.push(bar(last, end, css(status)));
    }

    if span.times.ran_us.is_some() {
        row.figure = span.ran();
    }
    row.title = format!(
        "{name}: {status}, waited {} after it was ready{}{}{}",
        words::duration(span.start.duration_since(span.ready)),
        board::queued(job).map_or_else(String::new, |time| format!(", queued {time}")),
        board::ran(job).map_or_else(String::new, |time| format!(", ran {time}")),
        board::noticed(job).map_or_else(String::new, |time| format!(", noticed after {time}")),
    );
    row
}

/// The smallest round number of seconds that is at least `least`.
fn step(least: f64) -> f64 {
    const ROUND: [f64; 22] = [
        0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0,
        3600.0, 7200.0, 14400.0, 43200.0,
    ];
    ROUND.into_iter().find(|round| *round >= least).unwrap_or(86400.0)
}

#[allow(clippy::cast_possible_truncation, reason = "a run lasts at most a week")]
fn tick_label(at: f64, step: f64) -> String {
    let time = SignedDuration::from_millis((at * 1000.0).round() as i64);
    let seconds = time.as_secs();
    if step < 0.1 {
        format!("{at:.2} s")
    } else if step < 1.0 {
        format!("{at:.1} s")
    } else if seconds < 60 {
        format!("{seconds} s")
    } else if seconds < 3600 {
        format!("{}:{:02}", seconds / 60, seconds % 60)
    } else {
        format!("{}:{:02}:{:02}", seconds / 3600, seconds % 3600 / 60, seconds % 60)
    }
}
