use std::{collections::BTreeMap, env, fmt::Write as _, fs};

use jiff::SignedDuration;
use shiftwork_protocol::{Cause, StatementReport, Status, Work, audit::Resumed};

use super::{Scripts, render, view};
use crate::{
    board::{self, Snapshot, is_real},
    fixture::{BLOG, JobEnd, noon, planned, simulated, wide},
    status::run_in_words,
};

const SQL: &str = "-- One row.\nINSERT INTO rsql_blog.blog_table (id, name)\nVALUES (1, 'first'), (2, :run_date);\n";

fn later() -> jiff::Timestamp {
    noon() + SignedDuration::from_hours(1)
}

fn write(name: &str, run: &Snapshot, scripts: &Scripts) -> String {
    let html = render(run, scripts, later()).unwrap();
    // To view the reports in a browser: SHIFTWORK_SAMPLES=/some/directory cargo test -p shiftwork-cli report
    if let Ok(directory) = env::var("SHIFTWORK_SAMPLES") {
        fs::write(format!("{directory}/{name}.html"), &html).unwrap();
    }
    html
}

fn blog(job_end: impl Fn(&str) -> JobEnd) -> (Snapshot, Scripts) {
    let (run, scripts) = planned(BLOG, |_| SQL.into());
    (simulated(run, job_end), scripts)
}

fn job_end(job: &str) -> JobEnd {
    match job {
        "insert_2.sql" => JobEnd::Fails(320, "ERROR: column \"nme\" of relation \"blog_table\" does not exist"),
        "insert_1.sql" => JobEnd::Retries(800),
        _ => JobEnd::Runs(650),
    }
}

#[test]
fn the_page_shows_statuses_and_errors() {
    let (run, scripts) = blog(job_end);
    let page = view::page(&run, &scripts, later());
    insta::assert_yaml_snapshot!(page);
    let html = write("failed", &run, &scripts);
    for text in
        ["insert_2.sql", "column &quot;nme&quot; of relation", "Shiftwork.SerializationConflict", "shiftwork restart"]
    {
        assert!(html.contains(text), "{text}");
    }
}

#[test]
fn a_restart_shows_reused_jobs_and_changed_scripts() {
    let (mut run, scripts) = blog(|job| match job {
        "insert_2.sql" | "insert_3.sql" | "insert_4.sql" => JobEnd::Runs(450),
        _ => JobEnd::Reused("blog-20260301T110000-abcd"),
    });
    run.run.restart_of = Some("blog-20260301T110000-abcd".into());
    let cause =
        |workflow: &str| Cause { workflow_id: workflow.into(), workflow_execution_id: format!("{workflow}-1a2b") };
    run.run.caused_by = vec![cause("landing"), cause("staging")];
    for job in run.jobs.iter_mut().filter(|job| job.plan.job_name == "insert_2.sql") {
        job.script_was = Some("0123456789abcdef".repeat(4));
    }
    for job in run.jobs.iter_mut().filter(|job| job.plan.job_name == "insert_1.sql") {
        job.script_now = Some("fedcba9876543210".repeat(4));
    }
    let html = write("restarted", &run, &scripts);
    assert!(html.contains("<code>fedcba987654…</code>. The job was reused, so the earlier script ran"));
    assert_eq!(html.matches("<em>reused from blog-20260301T110000-abcd</em>").count(), 3);
    assert!(html.contains("<code>0123456789ab…</code>"));
    assert!(html.contains("landing (landing-1a2b) → staging (staging-1a2b)"));
}

#[test]
fn a_restart_says_which_statements_ran_before() {
    let (mut run, scripts) = blog(|_| JobEnd::Runs(450));
    run.run.restart_of = Some("blog-20260301T110000-abcd".into());
    let whole = run.statements();
    for (job, (part, expected)) in run.jobs.iter_mut().zip([
        (2, "continued at statement 2; statement 1 ran in blog-20260301T110000-abcd"),
        (4, "continued at statement 4; statements 1 to 3 ran in blog-20260301T110000-abcd"),
    ]) {
        let Work::Sql { script, .. } = &mut job.plan.work else { panic!("{}", job.plan.job_name) };
        script.statements = 5;
        job.resumed = Some(Resumed { from: "blog-20260301T110000-abcd".into(), part });
        assert_eq!(board::earlier_work(job).as_deref(), Some(expected));
    }
    assert_eq!(run.statements(), whole - 2 + 4 + 2, "statements of this run");
    let html = write("continued", &run, &scripts);
    assert_eq!(html.matches("ran in blog-20260301T110000-abcd").count(), 2);
    let text = run_in_words(&run, later());
    assert_eq!(text.matches("continued at statement").count(), 2, "{text}");
}

/// 120 jobs of one `SELECT 1` each: Redshift ran them for 0.6 s, although 3.8 s pass between the submission of a job and
/// the moment at which its end is recorded.
#[test]
fn work_is_the_time_for_which_statements_ran() {
    let (run, scripts) = planned(&wide(117), |_| "SELECT 1;".into());
    let mut run = simulated(run, |_| JobEnd::Runs(3_800));
    for job in run.jobs.iter_mut().filter(|job| is_real(job)) {
        job.times.ran_us = Some(5_000);
    }
    let html = write("short", &run, &scripts);
    // One sequential job before the parallel ones and two after them.
    assert!(html.contains("<b>20 ms</b><small>of 600 ms in all jobs</small>"), "the critical path and all jobs");
    let text = run_in_words(&run, later());
    assert_eq!(text.matches(" 5 ms ").count(), 120, "{text}");
    assert_eq!(text.matches("3.8").count() + text.matches("3.80").count(), 0, "{text}");
}

#[test]
fn a_script_with_several_statements_shows_the_rows_of_each() {
    let (mut run, scripts) = blog(|_| JobEnd::Runs(800));
    let report = |command: &str, rows, returned| StatementReport {
        command: command.into(),
        rows,
        returned,
        ran_us: Some(2_000),
    };
    let job = &mut run.jobs[0];
    job.statements = vec![
        report("DELETE", Some(1_200), false),
        report("INSERT", Some(1_300), false),
        report("SELECT", Some(1), true),
        report("ANALYZE", None, false),
    ];
    job.rows = Some(2_500);
    job.times.unreported = 1;
    let html = write("statements", &run, &scripts);
    for row in [
        "<td>1</td><td><code>DELETE</code></td><td>2 ms</td><td>1,200</td>",
        "<td>3</td><td><code>SELECT</code></td><td>2 ms</td><td>1 returned</td>",
        "<td>4</td><td><code>ANALYZE</code></td><td>2 ms</td><td>–</td>",
        "at least 2,500",
    ] {
        assert!(html.contains(row), "{row}");
    }
    assert!(!html.contains("The audit keeps"));
}

#[test]
fn user_text_is_always_escaped() {
    let (mut run, mut scripts) = blog(job_end);
    let hostile = "</script><script>alert(1)</script>'\"><img src=x onerror=alert(1)>&amp;{{ 7*7 }}";
    run.run.workflow_id = hostile.into();
    run.run.workflow_execution_id = hostile.into();
    run.run.workflow_description = Some(hostile.into());
    run.run.error_message = Some(hostile.into());
    run.run.restart_of = Some(hostile.into());
    run.run.parameters = BTreeMap::from([(hostile.into(), hostile.into())]);
    for job in &mut run.jobs {
        let old = std::mem::replace(&mut job.plan.job_name, format!("{hostile}{}", job.plan.position));
        job.plan.stage_description = Some(hostile.into());
        job.error_message = Some(hostile.into());
        job.error_name = Some(hostile.into());
        job.reused_from = Some(hostile.into());
        job.script_was = Some(hostile.into());
        job.script_now = Some(hostile.into());
        job.statement_id = Some(hostile.into());
        job.plan.upstreams = job.plan.upstreams.iter().map(|name| format!("{hostile}{name}")).collect();
        for attempt in &mut job.failed_attempts {
            attempt.error_message = hostile.into();
            attempt.error_name = hostile.into();
            attempt.statement_id = Some(hostile.into());
        }
        if let Work::Sql { script, parameters, .. } = &mut job.plan.work {
            script.key = hostile.into();
            script.sha256 = hostile.into();
            parameters.insert(hostile.into(), hostile.into());
        }
        scripts.remove(&old);
        scripts.insert(
            job.plan.job_name.clone(),
            if job.plan.position == 0 { Err(hostile.into()) } else { Ok(hostile.into()) },
        );
    }
    let html = write("hostile", &run, &scripts);
    let (clean, clean_scripts) = blog(job_end);
    let clean = render(&clean, &clean_scripts, later()).unwrap();
    assert_eq!(html.matches("<script").count(), clean.matches("<script").count());
    assert!(!html.contains("<img") && !html.contains("'\"><"));
    assert!(html.contains("{{ 7*7 }}") && !html.contains("&amp;49"));
}

#[test]
fn a_run_with_many_jobs_shows_all_of_them() {
    let (run, scripts) = planned(&wide(100), |_| SQL.into());
    let run = simulated(run, |job| {
        JobEnd::Runs(300 + i64::try_from(job.len() + usize::from(job.as_bytes()[job.len() - 5])).unwrap() * 97 % 2900)
    });
    let html = write("wide", &run, &scripts);
    assert_eq!(html.matches("<details id=").count(), 103);
    // The hundred edges of the parallel stage are merged into one edge to the whole layer.
    assert!(html.matches("class=\"edge").count() < 10);
}

#[test]
fn a_run_that_waits_or_never_started_has_a_report() {
    let (mut run, scripts) = planned(BLOG, |_| SQL.into());
    let html = write("pending", &run, &scripts);
    assert!(html.contains("while the run was in progress") && !html.contains("id=\"timeline\""));
    run.jobs.clear();
    run.run.execution_status = Status::Skipped;
    assert!(render(&run, &scripts, later()).unwrap().contains("it was only recorded"));
}

#[test]
fn a_workflow_with_many_layers_has_a_critical_path() {
    let yaml = include_str!("../../../workflows/yearly_sales.yaml");
    let (run, scripts) = planned(yaml, |name| format!("-- {name}\n{SQL}"));
    let run = simulated(run, |job| match job {
        "stage_lineitem.sql" => JobEnd::Runs(8200),
        "dim_customer" => JobEnd::Retries(1900),
        "stage_orders.sql" => JobEnd::Runs(2600),
        _ => JobEnd::Runs(400 + i64::try_from(job.len()).unwrap() * 53),
    });
    let html = write("yearly_sales", &run, &scripts);
    assert!(html.contains("critical"));
}

#[test]
fn a_wide_workflow_with_single_dependencies_is_drawn() {
    let mut stages =
        String::from("workflow_id: tangled\nworkflow_stages:\n  - execution_type: parallel\n    scripts:\n");
    for job in 0..40 {
        let after = match job {
            0..12 => String::new(),
            12..28 => format!(", depends_on: [job_{:02}.sql, job_{:02}.sql]", job - 12, (job * 5) % 12),
            28..39 => format!(", depends_on: [job_{:02}.sql, job_{:02}.sql]", job - 15, (job * 3) % 12),
            _ => ", depends_on: [job_29.sql, job_01.sql, job_20.sql]".into(),
        };
        let _ = writeln!(stages, "      - {{ script: job_{job:02}.sql{after} }}");
    }
    let (run, scripts) = planned(&stages, |name| format!("-- {name}\n{SQL}"));
    let run = simulated(run, |job| JobEnd::Runs(500 + i64::from(job.as_bytes()[5]) * 37 % 900));
    let html = write("tangled", &run, &scripts);
    assert_eq!(html.matches("class=\"edge critical\"").count(), 3, "the critical path has four jobs");
}
