//! `shiftwork status`: the recent runs, or the jobs of one run.

use anyhow::bail;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use console::Term;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use shiftwork_protocol::{JobRecord, RunRecord};

use crate::{
    Deployment, Outcome, args,
    board::{self, Snapshot, is_real},
    wait, words,
};

/// Maximum length of an error message in a table, in characters.
const ERROR_CHARS: usize = 60;
/// Number of workflows that are queried concurrently.
const AT_ONCE: usize = 8;

/// Prints recent runs, or one run with its jobs.
pub async fn status(deployment: &Deployment, asked: &args::Status) -> anyhow::Result<Outcome> {
    let now = deployment.clock.now();
    let Some(of) = &asked.of else {
        let runs = recent(deployment, asked.limit).await?;
        if runs.is_empty() {
            println!("there are no runs yet: use `shiftwork push`, then `shiftwork run WORKFLOW`");
        } else {
            println!("{}", runs_table(&runs, now));
        }
        return Ok(Outcome::Done);
    };
    if let Some(run) = wait::snapshot(&*deployment.ledger, of).await? {
        println!("{}", run_in_words(&run, now));
        return Ok(Outcome::Done);
    }
    let runs = deployment.runs_of(of, asked.limit).await?;
    if runs.is_empty() {
        let known = deployment.workflow_ids().await?;
        if known.contains(of) {
            println!("{of} has no runs yet: use `shiftwork run {of}`");
            return Ok(Outcome::Done);
        }
        bail!(
            "`{of}` is neither a run nor a workflow; workflows: {}",
            if known.is_empty() { "none".into() } else { known.join(", ") }
        );
    }
    println!("{}", runs_table(&runs, now));
    Ok(Outcome::Done)
}

/// The newest runs of all workflows, newest first.
async fn recent(deployment: &Deployment, most: u16) -> anyhow::Result<Vec<RunRecord>> {
    let ids = deployment.workflow_ids().await?;
    let found = stream::iter(ids).map(async |id| deployment.runs_of(&id, most).await).buffer_unordered(AT_ONCE);
    let mut runs: Vec<RunRecord> = found.try_concat().await?;
    runs.sort_by_key(|run| std::cmp::Reverse(run.created_ts));
    runs.truncate(most.into());
    Ok(runs)
}

/// A run and its jobs.
pub fn run_in_words(run: &Snapshot, now: Timestamp) -> String {
    let mut out = board::summary(run, now);
    out.push('\n');
    out.push_str(&jobs_table(run.jobs.iter().filter(|job| is_real(job)), now).to_string());
    if let Some(epilogue) = board::epilogue(run) {
        out.push('\n');
        out.push_str(&epilogue);
    }
    out
}

/// An empty table in the common style of all commands, as wide as the terminal.
pub fn table<'a>(header: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(header);
    let term = Term::stdout();
    if term.is_term() {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(term.size().1);
    }
    table
}

fn right(text: impl Into<String>) -> Cell {
    Cell::new(text.into()).set_alignment(CellAlignment::Right)
}

fn runs_table(runs: &[RunRecord], now: Timestamp) -> Table {
    let mut table = table(["run", "workflow", "date", "status", "start (UTC)", "duration", "error"]);
    for run in runs {
        table.add_row([
            Cell::new(&run.workflow_execution_id),
            Cell::new(&run.workflow_id),
            Cell::new(run.run_date.clone().unwrap_or_default()),
            Cell::new(run.execution_status.as_str()),
            Cell::new(words::instant(run.execution_start_ts.unwrap_or(run.created_ts))),
            right(words::run_duration(run, now).map(words::duration).unwrap_or_default()),
            Cell::new(words::brief(run.error_message.as_deref().unwrap_or_default(), ERROR_CHARS)),
        ]);
    }
    table
}

fn jobs_table<'a>(jobs: impl Iterator<Item = &'a JobRecord>, now: Timestamp) -> Table {
    let header = ["stage", "job", "status", "submitted (UTC)", "queued", "ran", "noticed", "rows", "attempt", "notes"];
    let mut table = table(header);
    for job in jobs {
        table.add_row([
            right(job.plan.stage.to_string()),
            Cell::new(&job.plan.job_name),
            Cell::new(job.execution_status.as_str()),
            Cell::new(job.execution_start_ts.map(words::instant).unwrap_or_default()),
            right(board::queued(job).unwrap_or_default()),
            right(board::ran(job).unwrap_or_default()),
            right(board::noticed(job).unwrap_or_default()),
            right(board::rows(job).unwrap_or_default()),
            right(job.attempt.to_string()),
            Cell::new(notes(job, now)),
        ]);
    }
    table
}

fn notes(job: &JobRecord, now: Timestamp) -> String {
    let mut notes = Vec::new();
    if let Some(time) = board::elapsed(job, now) {
        notes.push(format!("submitted {} ago", words::ticking(time)));
    }
    if let Some(run) = &job.reused_from {
        notes.push(format!("reused from {run}"));
    }
    if job.script_was.is_some() {
        notes.push("script changed since".into());
    }
    if job.script_now.is_some() {
        notes.push("script changed since, not run".into());
    }
    if !job.waiting_on.is_empty() && !job.execution_status.is_terminal() {
        notes.push(format!("waits on {}", job.waiting_on.iter().map(String::as_str).collect::<Vec<_>>().join(", ")));
    }
    if let Some(error) = &job.error_message {
        notes.push(words::brief(error, ERROR_CHARS));
    }
    notes.join("; ")
}
