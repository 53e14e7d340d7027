//! The data of the report page, formatted as text; the template only lays it out.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use minijinja::Value as Html;
use serde::Serialize;
use shiftwork_protocol::{
    Connection, Fact, FactValue, JobRecord, KEPT_STATEMENTS, SkipReason, StatementReport, Status, Text, Times,
    audit::Origin, payload::RunRequest, workflow::RunIf,
};

use super::{
    flow::{Flow, Span, flow},
    graph::{Graph, graph},
    sql,
    timeline::{Timeline, timeline},
};
use crate::{
    board::{self, Snapshot, is_real},
    words,
};

/// Maximum number of characters of a statement on the page; the pinned script contains the rest.
const SQL_CHARS: usize = 100_000;

/// Texts of scripts by job name, or the reason why a script cannot be shown.
pub type Scripts = BTreeMap<String, Result<String, String>>;

/// The data of the page.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    run: String,
    workflow: String,
    description: Option<String>,
    status: Badge,
    ended: bool,
    figures: Vec<Figure>,
    facts: Vec<Line>,
    error: Option<String>,
    restart: Option<String>,
    graph: Graph,
    timeline: Option<Timeline>,
    legend: Vec<Badge>,
    jobs: Vec<Job>,
    written: String,
}

/// A status with its class and glyph.
#[derive(Debug, Clone, Serialize)]
struct Badge {
    css: &'static str,
    glyph: &'static str,
    text: String,
}

/// A figure in the header.
#[derive(Debug, Serialize)]
struct Figure {
    label: &'static str,
    value: String,
    note: String,
}

/// A labelled value.
#[derive(Debug, Serialize)]
struct Line {
    label: &'static str,
    value: String,
    /// True for values in monospace: ids, hashes, names.
    code: bool,
}

/// The data of one job.
#[derive(Debug, Serialize)]
struct Job {
    position: u32,
    name: String,
    kind: &'static str,
    stage: u32,
    stage_description: Option<String>,
    status: Badge,
    critical: bool,
    /// Time for which the statements ran.
    ran: String,
    rows: String,
    notes: Vec<String>,
    open: bool,
    error_name: Option<String>,
    error: Option<String>,
    facts: Vec<Line>,
    changed: Option<[String; 2]>,
    reused: bool,
    upstreams: Vec<Link>,
    dependents: Vec<Link>,
    attempts: Vec<FailedAttempt>,
    statements: Vec<StatementRow>,
    /// Which statements the list leaves out; empty if it is complete.
    statements_note: String,
    sql: Option<Html>,
    sql_missing: Option<String>,
}

/// A link to another job.
#[derive(Debug, Serialize)]
struct Link {
    name: String,
    position: u32,
}

/// A failed attempt that was retried.
#[derive(Debug, Serialize)]
struct FailedAttempt {
    attempt: u32,
    error_name: String,
    message: String,
    /// Time at which shiftwork recorded the end of the attempt.
    noticed: String,
    /// Time for which the statements of the attempt ran.
    ran: String,
    statement: String,
}

/// A statement that was committed.
#[derive(Debug, Serialize)]
struct StatementRow {
    number: u32,
    command: String,
    ran: String,
    rows: String,
}

/// The CSS class of a status.
pub(super) const fn css(status: Status) -> &'static str {
    match status {
        Status::Planning | Status::Queued | Status::Pending => "pending",
        Status::Running => "running",
        Status::Succeeded => "succeeded",
        Status::Failed => "failed",
        Status::TimedOut => "timed-out",
        Status::Aborted => "aborted",
        Status::Skipped => "skipped",
    }
}

fn badge(status: Status) -> Badge {
    Badge { css: css(status), glyph: words::glyph(status), text: status.as_str().to_lowercase().replace('_', " ") }
}

/// Formats a run for the page.
pub(super) fn page(run: &Snapshot, scripts: &Scripts, now: Timestamp) -> Page {
    let flow = flow(run, now);
    let record = &run.run;
    let status = record.execution_status;
    let ran_out = match status {
        Status::Failed | Status::TimedOut | Status::Aborted => !run.jobs.is_empty(),
        Status::Planning | Status::Queued | Status::Pending | Status::Running | Status::Succeeded | Status::Skipped => {
            false
        }
    };
    let ran = |job: &JobRecord| flow.spans.get(&job.plan.job_name).map(Span::ran).unwrap_or_default();
    Page {
        run: record.workflow_execution_id.clone(),
        workflow: record.workflow_id.clone(),
        description: record.workflow_description.clone(),
        status: badge(status),
        ended: status.is_terminal(),
        figures: figures(run, &flow, now),
        facts: facts(run),
        error: record.error_message.clone(),
        restart: ran_out.then(|| format!("shiftwork restart {} --wait", record.workflow_execution_id)),
        graph: graph(&run.jobs, &flow.critical, ran),
        timeline: timeline(run, &flow),
        legend: legend(run),
        jobs: run.real_jobs().map(|job| view_of(job, run, &flow, scripts)).collect(),
        written: format!("{} UTC", words::instant(now)),
    }
}

fn legend(run: &Snapshot) -> Vec<Badge> {
    let stands = |status: &Status| run.real_jobs().any(|job| job.execution_status == *status);
    Status::ALL.into_iter().filter(stands).map(badge).collect()
}

fn figures(run: &Snapshot, flow: &Flow, now: Timestamp) -> Vec<Figure> {
    let jobs = run.real_jobs().count();
    let count = |status: Status| run.real_jobs().filter(|job| job.execution_status == status).count();
    let others: Vec<_> = Status::ALL
        .into_iter()
        .filter(|status| *status != Status::Succeeded && count(*status) > 0)
        .map(|status| format!("{} {}", count(status), badge(status).text))
        .collect();
    let reused = run.real_jobs().filter(|job| job.reused_from.is_some()).count();
    let mut jobs_note = others.join(", ");
    if reused > 0 {
        jobs_note = [jobs_note, format!("{reused} reused")]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(", ");
    }
    let all = run.times();
    let on_path = flow.spans.iter().filter(|(name, _)| flow.critical.contains(*name));
    let on_path = on_path.map(|(_, span)| span.times).fold(Times::default(), Times::then);
    let ran = |times: &Times| words::micros(times.ran_us.unwrap_or(0), times.unreported == 0);
    let retried: usize = run.ran().map(|job| job.failed_attempts.len()).sum();
    let duration = words::run_duration(&run.run, now);
    vec![
        Figure {
            label: "Duration",
            value: duration.map_or_else(|| "—".into(), words::duration),
            note: if run.run.execution_status.is_terminal() { String::new() } else { "so far".into() },
        },
        Figure {
            label: "Ran on the critical path",
            value: ran(&on_path),
            note: format!("of {} in all jobs", ran(&all)),
        },
        Figure {
            label: "Queued on the critical path",
            value: words::micros(on_path.queued_us.unwrap_or(0), on_path.unreported == 0),
            note: format!(
                "ends noticed after {}",
                words::micros(on_path.noticed_us.unwrap_or(0), on_path.unreported == 0)
            ),
        },
        Figure { label: "Jobs", value: format!("{} / {jobs}", count(Status::Succeeded)), note: jobs_note },
        Figure {
            label: "Statements",
            value: words::count(run.statements().into()),
            note: if retried == 0 { String::new() } else { format!("{} retried", words::plural(retried, "attempt")) },
        },
        Figure {
            label: "Rows",
            value: words::at_least(words::count(run.rows()), all.unreported == 0),
            note: "changed, loaded or unloaded".into(),
        },
    ]
}

fn facts(run: &Snapshot) -> Vec<Line> {
    let record = &run.run;
    let mut facts = Facts::default();
    facts.code("Run", &record.workflow_execution_id);
    facts.code("Restart of", record.restart_of.as_deref().unwrap_or_default());
    facts.text("Date", record.date_text());
    facts.text("Logical date", shiftwork_protocol::timestamp(record.logical_date));
    facts.text("Requested by", origin(record.requested_by));
    let causes: Vec<_> = record.caused_by.iter().map(ToString::to_string).collect();
    facts.code("Caused by", causes.join(" → "));
    facts.text("Requested", shiftwork_protocol::timestamp(record.created_ts));
    facts.text("Started", record.execution_start_ts.map(shiftwork_protocol::timestamp).unwrap_or_default());
    facts.text("Ended", record.execution_end_ts.map(shiftwork_protocol::timestamp).unwrap_or_default());
    facts.code("Parameters", pairs(&record.parameters));
    facts.code("Parameters as received", record.request.as_ref().map(received).unwrap_or_default());
    facts.code("Configuration", short(&record.workflow_sha256));
    facts.0
}

/// Facts of a run or a job; facts with an empty value are left out.
#[derive(Default)]
struct Facts(Vec<Line>);

impl Facts {
    fn text(&mut self, label: &'static str, value: impl Into<String>) {
        self.push(label, value.into(), false);
    }

    fn code(&mut self, label: &'static str, value: impl Into<String>) {
        self.push(label, value.into(), true);
    }

    fn push(&mut self, label: &'static str, value: String, code: bool) {
        if !value.is_empty() {
            self.0.push(Line { label, value, code });
        }
    }
}

fn view_of(job: &JobRecord, run: &Snapshot, flow: &Flow, scripts: &Scripts) -> Job {
    let plan = &job.plan;
    let status = job.execution_status;
    let span = flow.spans.get(&plan.job_name);
    let mut notes: Vec<_> = board::earlier_work(job).into_iter().collect();
    if job.script_was.is_some() {
        notes.push("script changed".into());
    }
    if job.script_now.is_some() {
        notes.push("script changed, not run".into());
    }
    notes.extend(board::dropped(job));
    if !job.failed_attempts.is_empty() {
        notes.push(format!("attempt {}", job.attempt));
    }
    if job.skip_reason == Some(SkipReason::ConditionNotMet) {
        notes.extend(job.error_message.clone());
    }
    let (sql, sql_missing) = match statement(job, scripts) {
        Some(Ok(text)) => (Some(shown(&text)), None),
        Some(Err(why)) => (None, Some(why)),
        None => (None, None),
    };
    let links = |names: &std::collections::BTreeSet<String>| links(names, run);
    Job {
        position: plan.position,
        name: plan.job_name.clone(),
        kind: plan.work.title(),
        stage: plan.stage,
        stage_description: plan.stage_description.clone(),
        status: badge(status),
        critical: flow.critical.contains(&plan.job_name),
        ran: span.map(Span::ran).unwrap_or_default(),
        rows: board::rows(job).unwrap_or_default(),
        notes,
        open: status.is_failure(),
        error_name: job.error_name.clone(),
        error: job.error_message.clone().filter(|_| job.skip_reason != Some(SkipReason::ConditionNotMet)),
        facts: job_facts(job, flow),
        changed: changed(job),
        reused: job.reused_from.is_some(),
        upstreams: links(&plan.upstreams),
        dependents: links(&plan.dependents),
        attempts: attempts(job),
        statements: statements(job),
        statements_note: statements_note(job),
        sql,
        sql_missing,
    }
}

/// The scripts of the earlier run and of the workflow now, if they differ.
fn changed(job: &JobRecord) -> Option<[String; 2]> {
    let ran = job.plan.work.script().map(|script| short(&script.sha256)).unwrap_or_default();
    match (&job.script_was, &job.script_now) {
        (Some(was), _) => Some([short(was), ran]),
        (None, Some(now)) => Some([ran, short(now)]),
        (None, None) => None,
    }
}

fn attempts(job: &JobRecord) -> Vec<FailedAttempt> {
    let attempts = job.failed_attempts.iter().map(|attempt| FailedAttempt {
        attempt: attempt.attempt,
        error_name: attempt.error_name.clone(),
        message: attempt.error_message.clone(),
        noticed: shiftwork_protocol::timestamp(attempt.ended_ts),
        ran: attempt.times.ran_us.map(|ran| words::micros(ran, attempt.times.unreported == 0)).unwrap_or_default(),
        statement: attempt.statement_id.clone().unwrap_or_default(),
    });
    attempts.collect()
}

/// The statements of a job with several; the figures of a job with one statement are those of the job.
fn statements(job: &JobRecord) -> Vec<StatementRow> {
    if job.plan.work.statements() < 2 && job.statements.len() < 2 {
        return Vec::new();
    }
    let rows = |one: &StatementReport| match one.rows {
        Some(rows) if one.returned => format!("{} returned", words::count(rows)),
        Some(rows) => words::count(rows),
        None => String::new(),
    };
    let numbered = job.statements.iter().zip(job.first_part()..).map(|(one, number)| StatementRow {
        number,
        command: one.command.clone(),
        ran: one.ran_us.map(|ran| words::micros(ran, true)).unwrap_or_default(),
        rows: rows(one),
    });
    numbered.collect()
}

/// Says that the list of statements was cut.
fn statements_note(job: &JobRecord) -> String {
    let total = job.plan.work.statements() as usize;
    let last_listed = job.first_part() as usize - 1 + job.statements.len();
    if last_listed < KEPT_STATEMENTS || total <= KEPT_STATEMENTS {
        return String::new();
    }
    format!(
        "The audit keeps the first {KEPT_STATEMENTS} of {total} statements; the totals of the job count all of them."
    )
}

/// Links to jobs; a barrier is shown as the jobs before it.
fn links(names: &std::collections::BTreeSet<String>, run: &Snapshot) -> Vec<Link> {
    let found = run.jobs.iter().filter(|job| names.contains(&job.plan.job_name));
    found
        .map(|job| {
            let name = if is_real(job) {
                job.plan.job_name.clone()
            } else {
                format!("everything before {}", job.plan.job_name)
            };
            Link { name, position: job.plan.position }
        })
        .collect()
}

fn job_facts(job: &JobRecord, flow: &Flow) -> Vec<Line> {
    let plan = &job.plan;
    let mut facts = Facts::default();
    if let Some(span) = flow.spans.get(&plan.job_name) {
        facts.text("Waited after it was ready", words::duration(span.start.duration_since(span.ready)));
    }
    facts.text("Queued", board::queued(job).unwrap_or_default());
    facts.text("Ran", board::ran(job).unwrap_or_default());
    facts.text("End noticed after", board::noticed(job).unwrap_or_default());
    let at = |at: Option<Timestamp>| at.map(shiftwork_protocol::timestamp).unwrap_or_default();
    facts.text("Submitted", at(job.execution_start_ts));
    facts.text("Accepted by the engine", at(job.times.engine_created_ts));
    facts.text("Started, by its run time", at(job.times.engine_started_ts));
    facts.text("Ended on the engine", at(job.times.engine_ended_ts));
    facts.text("End recorded", at(job.execution_end_ts));
    facts.code("Statement", job.statement_id.as_deref().unwrap_or_default());
    facts.code("Reused from", job.reused_from.as_deref().unwrap_or_default());
    for Fact { label, value } in plan.work.facts() {
        match value {
            FactValue::Words(words) => facts.text(label, words),
            FactValue::Code(code) => facts.code(label, code),
            FactValue::Count(count) => facts.text(label, words::count(count.into())),
        }
    }
    facts.text(
        "Runs if",
        match plan.run_if {
            RunIf::AllSuccess => "no job before it failed",
            RunIf::AllDone => "all jobs before it ended",
            RunIf::OneFailed => "a job before it failed",
        },
    );
    facts.text("Timeout", words::duration(SignedDuration::from_secs(plan.timeout_seconds.into())));
    facts.text("Retries", if plan.retries == 0 { String::new() } else { plan.retries.to_string() });
    facts.code("Connection", plan.work.connection().map(connection).unwrap_or_default());
    facts.0
}

fn statement(job: &JobRecord, scripts: &Scripts) -> Option<Result<String, String>> {
    match job.plan.work.text()? {
        Text::Pinned => scripts.get(&job.plan.job_name).cloned(),
        Text::Own(text) => Some(Ok(text.into_owned())),
    }
}

fn shown(text: &str) -> Html {
    let cut: String = text.trim_end().chars().take(SQL_CHARS).collect();
    let mut html = sql::highlight(&cut);
    if cut.len() < text.trim_end().len() {
        html.push_str("\n<span class=\"c\">-- … truncated</span>");
    }
    Html::from_safe_string(html)
}

const fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Manual => "a user or a program",
        Origin::Schedule => "the schedule of the workflow",
        Origin::Event => "an event",
        Origin::Queue => "a message in the request queue",
        Origin::Restart => "a restart",
    }
}

fn connection(connection: &Connection) -> String {
    let Connection { workgroup: _, cluster: _, database, secret_arn, db_user, max_parallel } = connection;
    let place = connection.warehouse();
    let user = match (secret_arn, db_user) {
        (Some(secret), _) => format!(", secret {secret}"),
        (None, Some(user)) => format!(", user {user}"),
        (None, None) => String::new(),
    };
    let limit = max_parallel.map_or_else(String::new, |limit| format!(", at most {limit} jobs at once"));
    format!("{place}/{database}{user}{limit}")
}

fn pairs(values: &BTreeMap<String, String>) -> String {
    values.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join("\n")
}

/// The parameters of a request that could not be planned, as JSON.
fn received(request: &RunRequest) -> String {
    request.parameters.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join("\n")
}

fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}
