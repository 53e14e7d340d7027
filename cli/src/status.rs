//! `shiftwork status`: the recent runs, or the jobs of one run.

use anyhow::bail;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use shiftwork_protocol::{JobRecord, RunRecord};

use crate::{
    Deployment, Outcome, args,
    board::{self, Snapshot, is_real},
    table::{Column, Table},
    wait, words,
};

/// Maximum length of an error message and of the notes on a job in a table on a terminal, in characters.
const ERROR_CHARS: usize = 60;
const NOTES_CHARS: usize = 120;
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

fn runs_table(runs: &[RunRecord], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::name("run"),
        Column::name("workflow"),
        Column::name("date"),
        Column::name("status"),
        Column::name("start (UTC)"),
        Column::number("duration"),
        Column::text("error", ERROR_CHARS),
    ]);
    for run in runs {
        table.row([
            run.workflow_execution_id.clone(),
            run.workflow_id.clone(),
            run.run_date.clone().unwrap_or_default(),
            run.execution_status.to_string(),
            words::instant(run.execution_start_ts.unwrap_or(run.created_ts)),
            words::run_duration(run, now).map(words::duration).unwrap_or_default(),
            run.error_message.clone().unwrap_or_default(),
        ]);
    }
    table
}

fn jobs_table<'a>(jobs: impl Iterator<Item = &'a JobRecord>, now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::number("stage"),
        Column::name("job"),
        Column::name("status"),
        Column::name("submitted (UTC)"),
        Column::number("queued"),
        Column::number("ran"),
        Column::number("noticed"),
        Column::number("rows"),
        Column::number("attempt"),
        Column::text("notes", NOTES_CHARS),
    ]);
    for job in jobs {
        table.row([
            job.plan.stage.to_string(),
            job.plan.job_name.clone(),
            job.execution_status.to_string(),
            job.execution_start_ts.map(words::instant).unwrap_or_default(),
            board::queued(job).unwrap_or_default(),
            board::ran(job).unwrap_or_default(),
            board::noticed(job).unwrap_or_default(),
            board::rows(job).unwrap_or_default(),
            job.attempt.to_string(),
            notes(job, now),
        ]);
    }
    table
}

fn notes(job: &JobRecord, now: Timestamp) -> String {
    let mut notes = Vec::new();
    if let Some(time) = board::elapsed(job, now) {
        notes.push(format!("submitted {} ago", words::ticking(time)));
    }
    notes.extend(board::earlier_work(job));
    if job.script_was.is_some() {
        notes.push("script changed since".into());
    }
    if job.script_now.is_some() {
        notes.push("script changed since, not run".into());
    }
    if job.waits_for_slot() && !job.execution_status.is_terminal() {
        let pools = job.plan.slots.iter().map(|pool| format!("{} ({})", pool.name, pool.limit));
        notes.push(format!("waits for a slot of {}", pools.collect::<Vec<_>>().join(" or ")));
    } else if !job.waiting_on.is_empty() && !job.execution_status.is_terminal() {
        notes.push(format!("waits on {}", job.waiting_on.iter().map(String::as_str).collect::<Vec<_>>().join(", ")));
    }
    if let Some(error) = &job.error_message {
        notes.push(error.clone());
    }
    notes.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::{BLOG, JobEnd, noon, planned, simulated},
        table::tests::holds,
    };

    #[test]
    fn tables_of_runs_and_jobs_are_whole() {
        let error =
            "ERROR: column \"nme\" of relation \"blog_table\" does not exist in the schema\n  Hint: check the name";
        let run = simulated(planned(BLOG, |_| "SELECT 1".into()).0, |job| match job {
            "insert_2.sql" => JobEnd::Fails(320, error),
            "insert_1.sql" => JobEnd::Retries(800),
            _ => JobEnd::Runs(650),
        });
        holds(&jobs_table(run.real_jobs(), noon()));
        let long = RunRecord { workflow_id: "w".repeat(64), workflow_execution_id: "r".repeat(80), ..run.run.clone() };
        holds(&runs_table(&[run.run, long], noon()));
    }
}
