//! Snapshots of the messages of all problems that the planner reports.

mod support;

use proptest::prelude::*;
use serde_json::{Value, json};
use shiftwork_planner::{check, connections, plan, read_file, read_item};
use shiftwork_protocol::Kind;
use support::{inputs, lines, run_with};

/// A workflow with one stage that has these jobs, which begin on line 5.
fn stage(jobs: &str) -> String {
    format!("workflow_id: w\nworkflow_stages:\n  - execution_type: parallel\n    scripts:\n{jobs}")
}

/// The problems of each workflow, one paragraph for each workflow.
fn reported(texts: &[String]) -> String {
    let select = "select 1";
    let inputs = inputs("w", &[("a.sql", select), ("b.sql", select), ("c.sql", select)]);
    let reported = texts.iter().map(|text| match read_file("workflows/x.yaml", text) {
        Ok(doc) => lines(&check(&doc, &inputs)),
        Err(problems) => lines(&problems),
    });
    let reported = reported
        .map(|problems| if problems.is_empty() { "(nothing)".to_owned() } else { problems })
        .collect::<Vec<_>>()
        .join("\n\n");
    // A new kind of job must not change the snapshots.
    reported.replace(&Kind::ALL.map(|kind| format!("`{kind}`")).join(", "), "<every kind>")
}

/// The problems of workflows with one stage each.
fn reported_for_jobs(jobs: &[&str]) -> String {
    reported(&jobs.iter().map(|jobs| stage(jobs)).collect::<Vec<_>>())
}

#[test]
fn invalid_files() {
    insta::assert_snapshot!(reported(&[
        String::new(),
        "a: 1\na: 2\nb:\n  c: 1\n  c: 1\n".into(),
        "a: &x 1\nb: *x\n".into(),
        "a: !secret 1\n".into(),
        "a:\n\t- b\n".into(),
        "a: [1, 2\nb: 3\n".into(),
        "a: 1\n---\nb: 2\n".into(),
        "[1]: 2\n".into(),
        "a: 'open\n".into(),
    ]));
}

#[test]
fn mismatches_with_the_schema() {
    insta::assert_snapshot!(reported(&[
        "[]".into(),
        "{}".into(),
        "workflow_id: 7\nworkflow_stages: none\n".into(),
        stage("      - a.sql\n").replace("workflow_id", "workflow_di"),
        stage("      - a.sql\n").replace("parallel", "paralel"),
        stage("      - { script: a.sql, timout: 30m, retries: -1, depends_on: b.sql, run_if: always }\n      - 3\n"),
        stage("      - { script: a.sql, transaction: each }\n"),
        stage("      - { job_name: p, kind: procedure, script: a.sql }\n"),
        stage("      - { job_name: p, kind: procedre, call: a.b() }\n      - { job_name: q, call: a.b() }\n"),
        stage("      - { kind: procedure, call: a.b() }\n"),
        format!(
            "{}on_overlap: wait\nschedule: daily\nparameters: {{ day: {{ type: day }} }}\n",
            stage("      - a.sql\n")
        ),
        // Unknown fields do not hide other problems.
        stage("      - { script: a.sql, timout: 30m, timeout: 2d }\n      - { script: nowhere.sql }\n"),
    ]));
}

#[test]
fn invalid_jobs() {
    insta::assert_snapshot!(reported_for_jobs(&[
        "      - load.rsql\n      - run.sh\n      - a.py\n      - a\n",
        "      - a.sql\n      - a.sql\n      - { job_name: a.sql, script: b.sql }\n",
        "      - { job_name: 'two words', script: a.sql }\n      - ../b.sql\n",
        "      - { script: a.sql, timeout: 0s }\n      - { script: b.sql, timeout: 25h }\n      - { script: c.sql, timeout: 30 min }\n",
        "      - { script: a.sql, retries: 11 }\n",
        "      - { script: a.sql, depends_on: [a.sql] }\n      - { script: b.sql, depends_on: [c.sq] }\n",
        "      - { script: a.sql, connection: reportng }\n      - { script: b.sql, connection: x }\n",
        "      - a.sql\n      - { script: load_orders.sql }\n      - bb.sql\n",
    ]));
}

#[test]
fn cycles_are_reported_with_their_jobs() {
    insta::assert_snapshot!(reported(&[
        stage(
            "      - { script: a.sql, depends_on: [b.sql] }\n      - { script: b.sql, depends_on: [a.sql] }\n      - c.sql\n"
        ),
        stage(
            "      - { script: a.sql, depends_on: [b.sql] }\n      - { script: b.sql, depends_on: [c.sql] }\n      - { script: c.sql, depends_on: [a.sql] }\n"
        ),
        format!(
            "{}  - execution_type: sequential\n    scripts: [b.sql, c.sql]\n",
            stage("      - { script: a.sql, depends_on: [c.sql] }\n")
        ),
    ]));
}

#[test]
fn invalid_workflows() {
    let one = stage("      - a.sql\n");
    let schedule = |expression: &str| format!("{one}schedule: {{ expression: '{expression}' }}\n");
    insta::assert_snapshot!(reported(&[
        one.replace("workflow_id: w", "workflow_id: 'two words'"),
        "workflow_id: w\nworkflow_stages: []\n".into(),
        "workflow_id: w\nworkflow_stages: [{ execution_type: parallel, scripts: [] }]\n".into(),
        one.replace("execution_type", "execution_flag: n\n    execution_type"),
        schedule("0 2 * * ? *"),
        schedule("cron(0 2 * * *)"),
        schedule("cron(0 2 * * * *)"),
        schedule("cron(0 24 * * ? *)"),
        schedule("cron(0 2 ? * MON-FRY *)"),
        schedule("rate(0 hours)"),
        schedule("rate(1 fortnight)"),
        format!("{one}schedule: {{ expression: rate(1 hour), time_zone: Europe/Berln }}\n"),
        format!("{one}parameters: {{ day: {{ type: date }} }}\nschedule: {{ expression: rate(1 hour) }}\n"),
        format!(
            "{one}parameters: {{ day: {{ type: date }}, key: {{ type: string }} }}\ntriggers:\n  - pattern: {{ source: aws.s3, detail: {{ key: [{{ prefx: a }}] }} }}\n    parameters: {{ key: detail.object.key, dya: $.time }}\n"
        ),
    ]));
}

#[test]
fn valid_schedules() {
    let schedule = |expression: &&str| {
        format!("{}schedule: {{ expression: '{expression}', time_zone: Europe/Berlin }}\n", stage("      - a.sql\n"))
    };
    let valid = [
        "cron(0 2 * * ? *)",
        "cron(15,45 0-6 ? * MON-FRI 2026-2030)",
        "cron(0/15 * L * ? *)",
        "cron(0 8 ? * 2#1 *)",
        "cron(0 8 ? JAN,JUL 6L *)",
        "cron(0 8 LW * ? *)",
        "cron(0 8 15W * ? *)",
        "rate(1 hour)",
        "rate(15 minutes)",
        "rate(7 days)",
    ];
    for expression in valid {
        assert_eq!(reported(&[schedule(&expression)]), "(nothing)", "{expression}");
    }
}

#[test]
fn time_zones_and_paths_to_logical_dates() {
    let one = stage("      - a.sql\n");
    insta::assert_snapshot!(reported(&[
        format!("{one}time_zone: Europe/Berln\nschedule: {{ expression: rate(1 hour), time_zone: CET+1 }}\n"),
        format!("{one}time_zone: Europe/Berlin\nschedule: {{ expression: rate(1 hour) }}\n"),
        format!("{one}triggers:\n  - pattern: {{ source: [shop] }}\n    logical_date: detail.day\n"),
        format!("{one}triggers:\n  - pattern: {{ source: [shop] }}\n    logical_date: $.detail.day\n"),
        format!("{one}triggers:\n  - pattern: {{ source: [shop] }}\n    logical_date: 2026-03-01\n"),
    ]));
}

#[test]
fn invalid_declarations_of_parameters() {
    let one = stage("      - a.sql\n");
    insta::assert_snapshot!(reported(&[format!(
        "{one}parameters:
  run_date: {{ type: date }}
  2nd: {{ type: string, default: x }}
  a: {{ type: string, default: '' }}
  b: {{ type: string, default: 3 }}
  c: {{ type: integer, default: 3.5 }}
  d: {{ type: decimal, default: '1,5' }}
  e: {{ type: decimal, default: 0.12345678901234567 }}
  f: {{ type: boolean, default: yes }}
  g: {{ type: date, default: 2026-02-30 }}
  h: {{ type: timestamp, default: 2026-03-01 }}
"
    )]));
}

#[test]
fn invalid_values_of_parameters() {
    let text = format!(
        "{}parameters:
  region: {{ type: string }}
  amount: {{ type: decimal, default: 1 }}
  day: {{ type: date, default: 2026-03-01 }}
",
        stage("      - a.sql\n")
    );
    let inputs = inputs("w", &[("a.sql", "select :region, :day")]);
    let wrong = |given: Value| {
        let from_file = plan(&read_file("workflows/x.yaml", &text).unwrap(), &inputs, &run_with(&given)).unwrap_err();
        let item = read_item(read_file("x", &text).unwrap().value().clone());
        let from_item = plan(&item, &inputs, &run_with(&given)).unwrap_err();
        format!("{}\n{}", lines(&from_file), lines(&from_item))
    };
    insta::assert_snapshot!(
        [
            json!({}),
            json!({"region": 3, "amount": "many", "day": "1.3.2026"}),
            json!({"region": ""}),
            json!({"region": "eu", "amuont": 3}),
            json!({"region": null}),
        ]
        .map(wrong)
        .join("\n\n")
    );
}

#[test]
fn a_run_id_that_step_functions_would_refuse() {
    let doc = read_file("workflows/x.yaml", &stage("      - a.sql\n")).unwrap();
    let mut run_with = run_with(&json!({}));
    run_with.workflow_execution_id = "two words".into();
    let problems = plan(&doc, &inputs("w", &[("a.sql", "select 1")]), &run_with).unwrap_err();
    insta::assert_snapshot!(lines(&problems));
}

#[test]
fn scripts_that_cannot_run() {
    let many = "select 1;\n".repeat(41);
    let long = format!("select 1;\nselect '{}'", "x".repeat(102_400));
    let scripts = [
        ("", "{ script: a.sql }"),
        ("-- nothing\n", "{ script: a.sql }"),
        (many.as_str(), "{ script: a.sql }"),
        (many.as_str(), "{ script: a.sql, transaction: per_statement }"),
        (long.as_str(), "{ script: a.sql }"),
        ("begin;\nselect 1;\nend;", "{ script: a.sql }"),
        ("start transaction;\ncommit", "{ script: a.sql, transaction: per_statement }"),
        ("select 1;\nvacuum t;\nalter table a.t append from a.s", "{ script: a.sql }"),
        ("vacuum t", "{ script: a.sql }"),
        ("select 1;\nvacuum t", "{ script: a.sql, transaction: per_statement }"),
        ("select 1;\nselect 'open", "{ script: a.sql }"),
        ("\\set x 1\nselect 1", "{ script: a.sql }"),
        ("select 1;\nselect :run_dat,\n  :customer, :customer", "{ script: a.sql }"),
    ];
    let reported = scripts.map(|(text, job)| {
        let doc = read_file("workflows/x.yaml", &stage(&format!("      - {job}\n"))).unwrap();
        let problems = lines(&check(&doc, &inputs("w", &[("a.sql", text)])));
        if problems.is_empty() { "(nothing)".to_owned() } else { problems }
    });
    insta::assert_snapshot!(reported.join("\n\n"));
}

#[test]
fn invalid_calls() {
    let calls = [
        "load.orders",
        "load.orders(",
        "load.orders())",
        "load.orders();",
        "load.orders(); drop table t",
        "load.orders(1; 2)",
        "CALL load.orders()",
        "load..orders()",
        "load.orders('open)",
        "load.:run_date(1)",
        "load.orders(:run_dat)",
        "load.orders(/* all */)",
    ];
    let jobs = calls.map(|call| format!("      - {{ job_name: p, kind: procedure, call: {} }}\n", json!(call)));
    let mut jobs: Vec<&str> = jobs.iter().map(String::as_str).collect();
    jobs.push("      - { job_name: p, kind: procedure, call: 'a.b(:x, :y)', arguments: { x: '', y: [1], z: 1, run_date: a } }\n");
    insta::assert_snapshot!(reported_for_jobs(&jobs));
}

#[test]
fn unloads_that_redshift_would_refuse() {
    let unload = |fields: &str| format!("      - {{ job_name: u, kind: unload, {fields} }}\n");
    let jobs = [
        "select: 'select * from t where d = :run_date and e = :run_date', to: 's3://bucket/x/'",
        "select: 'select 1; select 2', to: 's3://bucket/x/'",
        "select: \"select 'open\", to: 's3://bucket/x/'",
        "select: ' ', to: 's3://bucket/x/'",
        "select: select 1, to: 'bucket/x/'",
        "select: select 1, to: 's3://bucket/{region}/{run_date}/'",
        "select: select 1, to: 's3://bucket/x/', iam_role: writer, max_file_size: 1 MB, partition_by: ['']",
        "select: select 1, to: 's3://bucket/x/', format: parquet, header: true, compression: gzip, delimiter: '|'",
        "select: select 1, to: 's3://bucket/x/', clean_path: true, allow_overwrite: true, format: avro",
    ]
    .map(unload);
    insta::assert_snapshot!(reported_for_jobs(&jobs.iter().map(String::as_str).collect::<Vec<_>>()));
}

#[test]
fn more_jobs_than_a_run_can_have() {
    let jobs: Vec<String> = (0..601).map(|i| format!("      - {{ job_name: j{i}, script: a.sql }}\n")).collect();
    insta::assert_snapshot!(reported_for_jobs(&[&jobs.concat()]));
}

#[test]
fn invalid_connections() {
    let texts = [
        "main: { workgroup: a, cluster: b, database: dev }\n",
        "main: { database: dev }\nother: { workgroup: a, database: dev, db_user: x }\n",
        "main: { workgroup: a, databse: dev }\n",
        "'two words': { workgroup: a, database: '' }\n",
        "- main\n",
    ];
    let reported = texts.map(|text| {
        let doc = read_file("workflows/connections.yaml", text).unwrap();
        lines(&connections(&doc).unwrap_err())
    });
    insta::assert_snapshot!(reported.join("\n\n"));
}

#[test]
fn a_document_that_is_nested_too_deeply() {
    insta::assert_snapshot!(reported(&["[".repeat(200)]));
}

proptest! {
    #[test]
    fn every_file_is_read_or_refused_with_a_line(

        text in prop_oneof![
            any::<String>(),
            prop::collection::vec(
                prop::sample::select(vec![
                    "workflow_id", "workflow_stages", "scripts", ": ", ":\n", "\n", "  ", "- ", "{", "}", "[", "]", ",", "a.sql",
                    "'", "\"", "#", "&a", "*a", "|", "\t", "---", "? ",
                ]),
                0..20,
            )
            .prop_map(|pieces| pieces.concat()),
        ]
    ) {
        match read_file("x.yaml", &text) {
            Ok(doc) => {
                check(&doc, &inputs("w", &[]));
            }
            Err(problems) => prop_assert!(problems.iter().all(|problem| problem.place.line.is_some()) && !problems.is_empty()),
        }
    }
}

#[test]
fn max_parallel_is_a_number_from_one() {
    let text = stage("      - a.sql\n").replace("execution_type", "max_parallel: 0\n    execution_type");
    let found = reported(&[format!("max_parallel: 0\n{text}")]);
    for place in ["workflows/x.yaml:1:1 ($.max_parallel)", "workflows/x.yaml:4:5 ($.workflow_stages[0].max_parallel)"] {
        assert!(
            found.contains(&format!("{place}: no job can run with `max_parallel: 0`; write a number from 1")),
            "{found}"
        );
    }
    let negative = reported(&[format!("max_parallel: -1\n{}", stage("      - a.sql\n"))]);
    assert!(negative.starts_with("workflows/x.yaml:1:1 ($.max_parallel): "), "{negative}");
}
