//! Tests of what is reported as a warning, and of documents of the original framework.

mod support;

use serde_json::json;
use shiftwork_planner::{Findings, check, plan, read_item};
use shiftwork_protocol::Work;
use support::{inputs, job, lines, read, run_with};

const WORKFLOW: &str = "
workflow_id: w
parameters: { day: { type: date } }
workflow_stages:
  - execution_type: sequential
    scripts: [JOB, other.sql]
";

/// The findings of a workflow whose first job runs this script.
fn findings(script: &str, transaction: &str) -> Findings {
    let job = format!("{{ script: a.sql, transaction: {transaction} }}");
    let other =
        "create or replace procedure s.commits(a int) as $$ begin delete from t; commit; end $$ language plpgsql;
create external table lake.t (a int);
create procedure s.plain() as $$ begin delete from t; end $$ language plpgsql;";
    let other = if transaction == "single" {
        other.replace("create external table", "-- \ncreate external table")
    } else {
        other.into()
    };
    let mut inputs = inputs("w", &[("a.sql", script), ("other.sql", &other)]);
    inputs.scripts.get_mut("other.sql").expect("a script of the inputs").key = "other".into();
    let found = check(&read(&WORKFLOW.replace("JOB", &job)), &inputs);
    let of_a = |problems: Vec<_>| {
        let of_a = |problem: &shiftwork_planner::Problem| problem.place.file.as_deref() == Some("workflows/w/a.sql");
        problems.into_iter().filter(of_a).collect()
    };
    Findings { problems: of_a(found.problems), warnings: of_a(found.warnings) }
}

#[test]
fn scripts_that_are_probably_wrong() {
    let scripts = [
        "insert into a select 1;\ntruncate b;\ninsert into b select 2",
        "insert into a select 1;\ncall s.commits(1)",
        "call commits(1)",
        "select 1;\n  alter table lake.t rename to u",
        "select 1; drop table a.b, lake.c",
        "select 1; drop schema x drop external database",
        "select 1;\ninsert into lake.t select 1;\ngrant usage on schema lake to bob;\nrevoke select on lake.t from bob",
        "copy t from 's3://b/x' iam_role default region :day",
        "unload ('select * from t where d = :day') to 's3://b/{day}/' iam_role default",
        "set query_group to :day;\nselect ':day', ':day'",
        "select * from t_:day where d = $1 and e = @dya and f = @other",
        "select date :day, interval :day from :day",
        "create view v as select :run_date",
    ];
    let reported = scripts.map(|script| {
        let found = findings(script, "single");
        assert_eq!(found.problems, [], "{script}");
        lines(&found.warnings)
    });
    insta::assert_snapshot!(reported.join("\n\n"));
}

/// The warnings of a workflow with this job, without its problems.
fn warnings_of_job(job: &str) -> String {
    let found = check(&read(&WORKFLOW.replace("JOB", job)), &inputs("w", &[("other.sql", "select 1")]));
    assert_eq!(found.problems, [], "{job}");
    lines(&found.warnings)
}

#[test]
fn parameters_that_a_call_or_an_unload_does_not_replace() {
    let jobs = [
        r#"{ job_name: a, kind: procedure, call: "p(:run_date, ':run_date', $1, {p}, :'day', '{run_date}')" }"#,
        r#"{ job_name: a, kind: procedure, call: "p(DATE :run_date)" }"#,
        r#"{ job_name: a, kind: procedure, call: "p(x:run_date)" }"#,
        r#"{ job_name: a, kind: procedure, call: "p(:x, ':x')", arguments: { x: ":run_date of {{ day }}" } }"#,
        r#"{ job_name: a, kind: unload, select: "select '{run_date}', ':run_date', '${day}', $1 from t", to: "s3://bucket/:run_date/${run_date}/$day/x" }"#,
    ];
    insta::assert_snapshot!(jobs.map(warnings_of_job).join("\n\n"));
}

#[test]
fn calls_and_unloads_without_warnings() {
    for job in [
        r#"{ job_name: a, kind: procedure, call: "s.p(:run_date, :x, 'HH24:MI:SS', :day::date)", arguments: { x: "a:other {other}" } }"#,
        r#"{ job_name: a, kind: procedure, call: "p(:x)", arguments: { x: 7 } }"#,
        r#"{ job_name: a, kind: unload, select: "select a::date, '12:30', 'day' from t where b = 'x{2}'", to: "s3://bucket/{run_date}/day={run_date}/{workflow_execution_id}/" }"#,
    ] {
        assert_eq!(warnings_of_job(job), "", "{job}");
    }
}

#[test]
fn scripts_without_warnings() {
    for (script, transaction) in [
        ("truncate b", "single"),
        ("insert into a select 1; truncate b", "per_statement"),
        ("insert into a select 1; call s.plain(); call unknown()", "single"),
        ("call s.commits(1)", "per_statement"),
        ("alter table lake.t rename to u", "single"),
        ("select 1; alter table a.t rename to u", "single"),
        ("insert into lake.t select 1", "single"),
        ("select 1; insert into lake.t select 1", "per_statement"),
        ("select 1; insert into a.t select * from lake.t; grant select on a.t to lake", "single"),
        ("select :day, :run_date::date, 'HH24:MI:SS'", "single"),
        ("grant role sys:dba to role aad:x", "single"),
        (r"select '\'' || quote_literal(a) from t", "single"),
    ] {
        assert_eq!(findings(script, transaction), Findings::default(), "{script}");
    }
}

#[test]
fn statements_that_redshift_refuses_in_a_transaction_are_problems() {
    for script in [
        "alter table t alter column c type varchar(20)",
        "create library l language plpythonu from 's3://b/l.zip'",
        "drop library l",
        "alter table lake.t add partition (d = 1) location 's3://b/'",
        "create external schema s from data catalog database 'd' iam_role default create external database if not exists",
        "grant select on external table s.t to iam_role 'arn'",
        "vacuum t",
        "alter table a append from b",
    ] {
        let found = findings(&format!("select 1; {script}"), "single");
        assert_eq!(found.problems.len(), 1, "{script}");
        assert!(found.problems[0].message.starts_with("Redshift refuses"), "{script}: {:?}", found.problems);
        assert_eq!(findings(script, "single"), Findings::default(), "{script} alone");
        assert_eq!(findings(&format!("select 1; {script}"), "per_statement"), Findings::default(), "{script}");
    }
}

#[test]
fn a_script_in_begin_and_commit_is_one_transaction() {
    let script = "-- all or nothing\nbegin transaction;\ndelete from t;\ninsert into t select 1;\nend;\n";
    assert_eq!(findings(script, "single"), Findings::default());
    let inputs = inputs("w", &[("a.sql", script)]);
    let doc = read("workflow_id: w\nworkflow_stages: [{ execution_type: sequential, scripts: [a.sql] }]\n");
    let plan = plan(&doc, &inputs, &run_with(&json!({}))).unwrap();
    let Work::Sql { script: pin, transaction, .. } = &job(&plan, "a.sql").work else { panic!("the work is not sql") };
    assert_eq!(pin.statements, 2);
    let submitted: Vec<_> = transaction.statements(script).unwrap().into_iter().map(|one| one.text).collect();
    assert_eq!(submitted, ["delete from t", "insert into t select 1"]);
    assert_eq!(findings(script, "per_statement").problems.len(), 2);
}

/// An item of the original framework with three stages.
fn original() -> serde_json::Value {
    let stage = |flag: serde_json::Value, script: &str| json!({"execution_flag": flag, "execution_type": "sequential", "scripts": [script], "stage_description": "s", "owner": "etl"});
    json!({"workflow_id": "w", "workflow_description": "d", "workflow_name": "nightly", "team": {"mail": "a@b"}, "workflow_stages": [
        stage("Y".into(), "a.sql"), stage("yes".into(), "b.sql"), stage(1.into(), "c.sql"), stage("n".into(), "d.sql")]})
}

#[test]
fn an_item_of_the_original_framework_is_taken_with_warnings() {
    let inputs = inputs("w", &[("a.sql", "select 1")]);
    let plan = plan(&read_item(original()), &inputs, &run_with(&json!({})))
        .unwrap_or_else(|found| panic!("{}", lines(&found)));
    let jobs: Vec<_> = plan.jobs.iter().map(|job| job.job_name.as_str()).collect();
    assert_eq!(jobs, ["a.sql"]);
    insta::assert_snapshot!(lines(&plan.warnings));
}

#[test]
fn a_misspelt_or_a_new_field_is_not_an_attribute_of_the_original_framework() {
    let problems =
        |item: serde_json::Value| lines(&check(&read_item(item), &inputs("w", &[("a.sql", "select 1")])).problems);
    let mut misspelt = original();
    misspelt["scedule"] = json!({"expression": "rate(1 hour)"});
    let mut new = original();
    new["on_overlap"] = "queue".into();
    let mut object = original();
    object["workflow_stages"][0]["scripts"] = json!([{"script": "a.sql"}]);
    insta::assert_snapshot!([misspelt, new, object].map(problems).join("\n\n"));
}

#[test]
fn retries_of_work_that_may_be_committed() {
    let call = "{ job_name: p, kind: procedure, call: s.p(), retries: 2 }";
    for (job, expected) in [
        (call, Some("a CALL, which can commit inside,")),
        ("{ script: call.sql, retries: 1 }", Some("a CALL, which can commit inside,")),
        ("{ script: calls.sql, retries: 1, transaction: per_statement }", Some("a CALL, which can commit inside,")),
        ("{ script: truncate.sql, retries: 1 }", Some("a failure after TRUNCATE, which commits what ran before,")),
        ("{ script: truncate.sql, retries: 1, transaction: per_statement }", None),
        ("{ script: truncate.sql, retries: 1, repeatable: true }", None),
        ("{ job_name: p, kind: procedure, call: s.p(), retries: 2, repeatable: true }", None),
        ("{ job_name: p, kind: procedure, call: s.p() }", None),
        ("{ script: plain.sql, retries: 3 }", None),
    ] {
        let scripts = [
            ("call.sql", "call s.p()"),
            ("calls.sql", "insert into t select 1; call s.p()"),
            ("truncate.sql", "truncate t; insert into t select 1"),
            ("plain.sql", "insert into t select 1"),
            ("other.sql", "select 1"),
        ];
        let found = check(&read(&WORKFLOW.replace("JOB", job)), &inputs("w", &scripts));
        assert_eq!(found.problems, [], "{job}");
        let warnings = lines(&found.warnings);
        let about: Vec<_> = warnings.lines().filter(|line| line.contains("is not retried")).collect();
        let expected: Vec<_> = expected
            .map(|what| format!(".retries): {what} is not retried without `repeatable`; "))
            .into_iter()
            .collect();
        assert_eq!(about.len(), expected.len(), "{job}: {about:?}");
        assert!(about.iter().zip(&expected).all(|(line, part)| line.contains(part)), "{job}: {about:?}");
    }
}
