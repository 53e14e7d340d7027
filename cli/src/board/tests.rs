use shiftwork_protocol::Status;

use super::{Row, Snapshot, epilogue, frame, summary, transitions};
use crate::fixture::{BLOG, JobEnd, noon, planned, simulated, wide};

fn blog() -> Snapshot {
    planned(BLOG, |_| "SELECT 1".into()).0
}

fn failed() -> Snapshot {
    simulated(blog(), |job| {
        if job == "insert_2.sql" { JobEnd::Fails(300, "ERROR: no such table") } else { JobEnd::Runs(900) }
    })
}

#[test]
fn a_log_has_one_line_per_change() {
    let before = blog();
    let mut now = before.clone();
    now.run.execution_status = Status::Running;
    now.jobs[0].execution_status = Status::Running;
    now.jobs[0].execution_start_ts = Some(noon());
    insta::assert_snapshot!(transitions(None, &before, noon()).join("\n"), @"PENDING blog-20260301T120000-k7mq");
    insta::assert_snapshot!(transitions(Some(&before), &now, noon()).join("\n"));
    assert_eq!(transitions(Some(&now), &now, noon()), Vec::<String>::new());
    insta::assert_snapshot!(transitions(Some(&now), &failed(), noon()).join("\n"));
}

#[test]
fn a_new_attempt_is_shown_with_an_unchanged_status() {
    let mut before = blog();
    before.jobs[0].execution_status = Status::Running;
    let mut now = before.clone();
    now.jobs[0].attempt = 2;
    let lines = transitions(Some(&before), &now, noon());
    assert!(lines.len() == 1 && lines[0].contains("attempt 2"), "{lines:?}");
}

#[test]
fn rows_that_a_load_dropped_are_shown() {
    let report = |command: &str, rows| shiftwork_protocol::StatementReport {
        command: command.into(),
        rows: Some(rows),
        ..Default::default()
    };
    let before = blog();
    let mut now = before.clone();
    let job = &mut now.jobs[0];
    job.execution_status = Status::Succeeded;
    job.statements = vec![report("COPY", 5), report("DELETE", 2)];
    let is_shown = |now: &Snapshot| {
        transitions(Some(&before), now, noon()).join("\n").contains("2 rows dropped below the watermark")
    };
    assert!(!is_shown(&now), "a script is not a load of change data");
    now.jobs[0].plan.work = serde_json::from_value(serde_json::json!({
        "kind": "cdc",
        "contract": { "key": "contracts/orders.yaml", "version_id": "1", "sha256": "", "statements": 0 },
        "iam_role": "default",
    }))
    .unwrap();
    assert!(is_shown(&now));
}

#[test]
fn a_terminal_shows_every_stage_and_every_job() {
    insta::assert_debug_snapshot!(frame(&failed(), noon(), 50, 100));
    insta::assert_debug_snapshot!(frame(&blog(), noon(), 50, 100));
}

#[test]
fn the_lines_of_a_large_run_fit_the_terminal() {
    let (mut run, _) = planned(&wide(100), |_| "SELECT 1".into());
    for job in &mut run.jobs {
        job.execution_status = Status::Running;
        job.execution_start_ts = Some(noon());
    }
    for height in [3, 10, 40, 400] {
        let rows = frame(&run, noon(), height, 80);
        assert!(rows.len() <= height.max(3), "{} rows at {height}", rows.len());
        let headings = rows.iter().filter(|row| matches!(row, Row::Heading(_))).count();
        assert_eq!(headings, 3);
    }
}

#[test]
fn the_end_of_a_run_shows_the_next_command() {
    let run = failed();
    insta::assert_snapshot!(format!("{}\n{}", summary(&run, noon()), epilogue(&run).unwrap()));
    let well = simulated(blog(), |_| JobEnd::Runs(900));
    assert_eq!(epilogue(&well), None);
}
