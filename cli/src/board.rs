//! The state of a run as lines of text, for the live display of a terminal and for a log. Pure.

use jiff::{SignedDuration, Timestamp};
use shiftwork_protocol::{JobRecord, RunRecord, Status, Times, audit::Resumed};

use crate::words;

/// A run with its jobs, as read from the ledger at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The run.
    pub run: RunRecord,
    /// The jobs of the run, ordered by position.
    pub jobs: Vec<JobRecord>,
}

impl Snapshot {
    /// All jobs except barriers, which the planner adds.
    pub fn real_jobs(&self) -> impl Iterator<Item = &JobRecord> {
        self.jobs.iter().filter(|job| is_real(job))
    }

    /// The jobs that ran in this run; reused jobs and jobs that never started are excluded.
    pub fn ran(&self) -> impl Iterator<Item = &JobRecord> {
        self.real_jobs().filter(|job| job.reused_from.is_none() && job.execution_start_ts.is_some())
    }

    /// SQL statements of the jobs that ran, without those that ran in an earlier run. A statement counts once, regardless
    /// of the number of attempts.
    pub fn statements(&self) -> u32 {
        self.ran().map(|job| job.plan.work.statements().saturating_sub(job.first_part() - 1)).sum()
    }

    /// Rows of the jobs that ran; jobs without a row count from Redshift add zero.
    pub fn rows(&self) -> i64 {
        self.ran().filter_map(|job| job.rows).fold(0, i64::saturating_add)
    }

    /// Times on their engines of all attempts of the jobs that ran.
    pub fn times(&self) -> Times {
        self.ran().map(JobRecord::all_times).fold(Times::default(), Times::then)
    }
}

/// False for a barrier, which the planner adds between stages.
pub(crate) fn is_real(job: &JobRecord) -> bool {
    !job.plan.work.is_barrier()
}

/// A line of the live display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Row {
    /// The title of a stage.
    Heading(String),
    /// One job.
    Job {
        /// The status of the job.
        status: Status,
        /// The text of the line, without the status glyph.
        text: String,
    },
}

/// Width of the widest column of job names; longer names are not aligned.
const NAME_WIDTH: usize = 40;

/// The live display of a run: stages as headings, one line per job. If these lines exceed `height`, the headings show
/// counts, and only jobs that run or failed have a line.
pub(crate) fn frame(now: &Snapshot, at: Timestamp, height: usize, width: usize) -> Vec<Row> {
    let name_width = name_width(now);
    let mut stages: Vec<(u32, Vec<&JobRecord>)> = Vec::new();
    for job in now.real_jobs() {
        match stages.iter_mut().find(|(stage, _)| *stage == job.plan.stage) {
            Some((_, jobs)) => jobs.push(job),
            None => stages.push((job.plan.stage, vec![job])),
        }
    }
    stages.sort_by_key(|(stage, _)| *stage);
    let is_whole = stages.len() + now.real_jobs().count() <= height;
    // Every stage keeps its heading; the remaining lines are given to the stages in their order.
    let mut left = height.saturating_sub(stages.len());
    let mut rows = Vec::new();
    for (stage, jobs) in stages {
        rows.push(Row::Heading(heading(stage, &jobs, is_whole)));
        for job in jobs {
            if !is_whole {
                if !is_notable(job.execution_status) || left == 0 {
                    continue;
                }
                left -= 1;
            }
            let text = line(job, at, name_width);
            rows.push(Row::Job { status: job.execution_status, text: words::brief(&text, width.saturating_sub(5)) });
        }
    }
    rows
}

fn name_width(run: &Snapshot) -> usize {
    run.real_jobs().map(|job| job.plan.job_name.chars().count()).max().unwrap_or(0).min(NAME_WIDTH)
}

fn heading(stage: u32, jobs: &[&JobRecord], is_whole: bool) -> String {
    let name = jobs.iter().find_map(|job| job.plan.stage_description.clone());
    let title = name.map_or_else(|| format!("stage {stage}"), |name| format!("stage {stage}  {name}"));
    if is_whole {
        return title;
    }
    let ended = jobs.iter().filter(|job| job.execution_status.is_terminal()).count();
    let running = jobs.iter().filter(|job| job.execution_status == Status::Running).count();
    format!("{title}  {ended}/{} ended, {running} running", jobs.len())
}

/// True for the statuses of jobs that are shown when there is not enough room for all jobs.
const fn is_notable(status: Status) -> bool {
    match status {
        Status::Running | Status::Failed | Status::TimedOut | Status::Aborted => true,
        Status::Planning | Status::Queued | Status::Pending | Status::Succeeded | Status::Skipped => false,
    }
}

/// One job: the time since its first submission while it runs, and the time for which its statements ran once it has
/// ended.
fn line(job: &JobRecord, at: Timestamp, name_width: usize) -> String {
    let time = if job.execution_status.is_terminal() { ran(job) } else { elapsed(job, at).map(words::ticking) };
    let time = time.unwrap_or_default();
    let line = format!("{:<name_width$}  {time:>9}  {}", job.plan.job_name, remark(job).join(", "));
    line.trim_end().to_owned()
}

/// The time since the first submission of a job that has not ended.
pub(crate) fn elapsed(job: &JobRecord, at: Timestamp) -> Option<SignedDuration> {
    if job.execution_status.is_terminal() { None } else { Some(at.duration_since(job.execution_start_ts?)) }
}

/// The time for which the statements of a job ran, over all its attempts; `None` if the engine reports none.
pub(crate) fn ran(job: &JobRecord) -> Option<String> {
    time_of(job, |times| times.ran_us)
}

/// The time for which the engine had the submissions of a job without running them.
pub(crate) fn queued(job: &JobRecord) -> Option<String> {
    time_of(job, |times| times.queued_us)
}

/// The time between the ends of the submissions of a job and the moments at which shiftwork recorded them.
pub(crate) fn noticed(job: &JobRecord) -> Option<String> {
    time_of(job, |times| times.noticed_us)
}

fn time_of(job: &JobRecord, sum: impl Fn(&Times) -> Option<u64>) -> Option<String> {
    let times = job.all_times();
    Some(words::micros(sum(&times)?, times.unreported == 0))
}

/// The rows of a job; `None` if the engine reports none.
pub(crate) fn rows(job: &JobRecord) -> Option<String> {
    Some(words::at_least(words::count(job.rows?), job.times.unreported == 0))
}

/// What a job of a restart has from the earlier run; `None` if the job ran as a whole, or has not begun.
pub(crate) fn earlier_work(job: &JobRecord) -> Option<String> {
    let reused = job.reused_from.as_ref().map(|run| format!("reused from {run}"));
    let resumed = job.resumed.as_ref().map(|Resumed { from, part }| match part - 1 {
        1 => format!("continued at statement {part}; statement 1 ran in {from}"),
        before => format!("continued at statement {part}; statements 1 to {before} ran in {from}"),
    });
    reused.or(resumed)
}

/// The rows that a load of change data dropped because of the watermark; `None` if there are none.
pub(crate) fn dropped(job: &JobRecord) -> Option<String> {
    let rows = usize::try_from(job.dropped_rows()?).unwrap_or(usize::MAX);
    Some(format!("{} dropped below the watermark", words::plural(rows, "row")))
}

/// The notes on a job beside its status and time.
fn remark(job: &JobRecord) -> Vec<String> {
    let mut remarks = Vec::new();
    remarks.extend(earlier_work(job));
    if let Some(rows) = rows(job) {
        remarks.push(if job.rows == Some(1) { "1 row".into() } else { format!("{rows} rows") });
    }
    remarks.extend(dropped(job));
    if let (true, Some(queued)) = (job.execution_status.is_terminal(), queued(job)) {
        remarks.push(format!("queued {queued}"));
    }
    if job.attempt > 1 {
        remarks.push(format!("attempt {}", job.attempt));
    }
    match job.execution_status {
        Status::Pending if !job.waiting_on.is_empty() => remarks.push(waits_on(job)),
        Status::Planning | Status::Queued | Status::Pending | Status::Running | Status::Succeeded => {}
        Status::Failed | Status::TimedOut | Status::Aborted | Status::Skipped => {
            remarks.extend(job.error_message.clone());
        }
    }
    remarks
}

fn waits_on(job: &JobRecord) -> String {
    if job.waits_for_slot() {
        return "waits for a slot".into();
    }
    match job.waiting_on.iter().next() {
        Some(only) if job.waiting_on.len() == 1 => format!("waits on {only}"),
        Some(_) | None => format!("waits on {} jobs", job.waiting_on.len()),
    }
}

/// One line per changed job, for output that is not a terminal.
pub(crate) fn transitions(before: Option<&Snapshot>, now: &Snapshot, at: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    let run = &now.run;
    if before.is_none_or(|before| before.run.execution_status != run.execution_status)
        && !run.execution_status.is_terminal()
    {
        lines.push(format!("{} {}", run.execution_status, run.workflow_execution_id));
    }
    for job in now.real_jobs() {
        let was = before.and_then(|before| before.jobs.iter().find(|was| was.plan.job_name == job.plan.job_name));
        let stood = was.map(|was| (was.execution_status, was.attempt));
        let has_changed = stood != Some((job.execution_status, job.attempt));
        if has_changed && (stood.is_some() || job.execution_status != Status::Pending) {
            lines.push(format!("{:<9} {}", job.execution_status, line(job, at, name_width(now))));
        }
    }
    lines
}

/// The final line of a run: status, counts and duration.
pub(crate) fn summary(now: &Snapshot, at: Timestamp) -> String {
    let run = &now.run;
    let count = |status: Status| now.real_jobs().filter(|job| job.execution_status == status).count();
    let mut parts: Vec<String> = Status::ALL
        .into_iter()
        .filter(|status| count(*status) > 0)
        .map(|status| format!("{} {}", count(status), status.as_str().to_lowercase().replace('_', " ")))
        .collect();
    let reused = now.real_jobs().filter(|job| job.reused_from.is_some()).count();
    if reused > 0 {
        parts.push(format!("{reused} of them reused"));
    }
    if let Some(time) = words::run_duration(run, at) {
        parts.push(words::duration(time));
    }
    format!("{} {}  date {}  {}", run.execution_status, run.workflow_execution_id, run.date_text(), parts.join(", "))
}

/// The error of a run that did not succeed, and the command that restarts the run.
pub(crate) fn epilogue(now: &Snapshot) -> Option<String> {
    let run = &now.run;
    let error = run.error_message.as_deref().unwrap_or("no message was recorded");
    let restart = format!("shiftwork restart {} --wait", run.workflow_execution_id);
    match run.execution_status {
        Status::Failed | Status::TimedOut | Status::Aborted if run.request.is_some() => Some(format!(
            "error: {error}\nto complete or correct the request: {restart} [--param NAME=VALUE] [--date DATE]"
        )),
        Status::Failed | Status::TimedOut | Status::Aborted if now.jobs.is_empty() => Some(format!("error: {error}")),
        Status::Failed | Status::TimedOut | Status::Aborted => Some(format!("error: {error}\nto restart: {restart}")),
        Status::Skipped => Some(format!("skipped: {error}")),
        Status::Planning | Status::Queued | Status::Pending | Status::Running | Status::Succeeded => None,
    }
}

#[cfg(test)]
mod tests;
