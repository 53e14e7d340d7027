use std::{collections::BTreeMap, io, path::Path};

use super::{outcome, problems, report, summary};
use crate::{
    Outcome,
    check::{Checked, check},
    files::{File, Files},
};

fn checked(workflows: &[(&str, &str)], connections: &str, scripts: &[(&str, &str)]) -> Checked {
    let file = |(path, text): (&str, &str)| File { path: path.into(), text: text.into() };
    let files = Files {
        workflows: workflows.iter().map(|pair| file(*pair)).collect(),
        connections: vec![file(("workflows/connections.yaml", connections))],
        whole: true,
        ..Files::default()
    };
    let scripts: BTreeMap<_, _> = scripts.iter().copied().collect();
    check(&files, &|path: &Path| match scripts.get(path.to_str().unwrap()) {
        Some(&"unreadable") => Err(io::Error::other("stream did not contain valid UTF-8")),
        text => Ok(text.map(|text| (*text).to_owned())),
    })
}

const GOOD: &str = "\
workflow_id: good
workflow_stages:
  - { execution_type: sequential, scripts: [a.sql, dir/b.sql] }
";

#[test]
fn valid_files_print_only_a_summary() {
    let checked = checked(
        &[("workflows/good.yaml", GOOD)],
        "reporting: { workgroup: wg, database: dev }\n",
        &[("workflows/good/a.sql", "SELECT 1"), ("workflows/good/dir/b.sql", "SELECT :run_date")],
    );
    assert_eq!(problems(&checked, false), "");
    assert_eq!(summary(&checked), "1 workflow, 2 scripts, 1 connection: no problems");
    let keys: Vec<_> = checked.workflows[0].scripts.keys().collect();
    assert_eq!(keys, ["workflows/good/a.sql", "workflows/good/dir/b.sql"]);
}

#[test]
fn every_problem_is_shown_at_its_place() {
    let broken = "\
workflow_id: broken
workflow_stages:
  - execution_typ: parallel
    scripts:
      - a.sql
      - job_name: call
        kind: procedure
        call: load.orders(:nowhere)
        depends_on: [b.sql]
  - execution_type: parallel
    scripts: []
";
    let checked = checked(
        &[
            ("workflows/broken.yaml", broken),
            ("workflows/good.yaml", GOOD),
            ("workflows/same.yaml", GOOD),
            ("workflows/not.yaml", "a: [1\nb: 2"),
        ],
        "reporting: { database: dev }\n",
        &[("workflows/good/a.sql", "SELECT 'open"), ("workflows/good/dir/b.sql", "unreadable")],
    );
    insta::assert_snapshot!(format!("{}{}\n", problems(&checked, false), summary(&checked)));
}

const PAIR: &str = "\
workflow_id: pair
workflow_stages:
  - { execution_type: sequential, scripts: [a.sql, b.sql] }
";

/// The problems of one workflow with the given scripts, and the summary.
fn shown(workflow: &str, scripts: &[(&str, &str)]) -> String {
    let checked =
        checked(&[("workflows/pair.yaml", workflow)], "reporting: { workgroup: wg, database: dev }\n", scripts);
    format!("{}{}\n", problems(&checked, false), summary(&checked))
}

#[test]
fn another_mistake_does_not_cause_missing_scripts() {
    let scripts = [("workflows/pair/a.sql", "SELECT 1"), ("workflows/pair/b.sql", "SELECT 1")];
    for (from, to, expected) in [
        ("workflow_id: pair", "workflow_di: pair", 2),
        ("workflow_id: pair", "workflow_id: 7", 1),
        ("workflow_id: pair", "workflow_id: two words", 1),
        ("execution_type: sequential", "execution_type: sequentiel", 1),
        ("execution_type: sequential", "execution_typ: sequential", 2),
        ("a.sql, b.sql]", "a.sql, b.sql, { kind: sqll, script: b.sql }]", 1),
        ("a.sql, b.sql]", "a.sql, b.sql, 3, { script: 3 }]", 2),
        ("workflow_id: pair", "workflow_id: pair\non_overlapp: queue", 1),
        ("workflow_id: pair", "workflow_id: pair\non_overlap: queue\nmore: 1", 1),
    ] {
        let shown = shown(&PAIR.replace(from, to), &scripts);
        assert!(!shown.contains("script") || !shown.contains("does not exist"), "{to}: {shown}");
        assert_eq!(shown.matches("error: ").count(), expected, "{to}: {shown}");
    }
}

#[test]
fn connections_with_problems_are_not_unknown() {
    let workflow = PAIR.replace("workflow_id: pair", "workflow_id: pair\nconnection: reporting");
    let scripts = [("workflows/pair/a.sql", "SELECT 1"), ("workflows/pair/b.sql", "SELECT 1")];
    for connections in ["reporting: { database: dev }\n", "reporting: [\n"] {
        let checked = checked(&[("workflows/pair.yaml", &workflow)], connections, &scripts);
        assert_eq!(checked.problems.len(), 1, "{}", problems(&checked, false));
    }
}

#[test]
fn a_folder_with_another_name_is_one_problem() {
    let many = PAIR.replace("b.sql", &(0..998).map(|n| format!("s{n}.sql")).collect::<Vec<_>>().join(", "));
    let files = |id: &str| Files {
        workflows: vec![File { path: "workflows/pair.yaml".into(), text: many.replace("workflow_id: pair", id) }],
        scripts: vec!["workflows/pair/a.sql".into(), "workflows/readme.md".into(), "workflows/pairs/x/a.sql".into()],
        whole: true,
        ..Files::default()
    };
    let checked = check(&files("workflow_id: piar"), &|_: &Path| Ok(None));
    let shown = problems(&checked, false);
    assert!(
        shown.contains("there is no folder `workflows/piar/` with the 600 scripts") || shown.contains("at most 600"),
        "{shown}"
    );
    assert!(shown.contains("did you mean `pair`?") && checked.problems.len() <= 2, "{shown}");
}

#[test]
fn a_misspelt_script_is_suggested_from_its_folder() {
    let workflows = vec![File { path: "workflows/pair.yaml".into(), text: PAIR.replace("b.sql", "load_ordrs.sql") }];
    let scripts = vec!["workflows/pair/a.sql".into(), "workflows/pair/load_orders.sql".into()];
    let read = |path: &Path| Ok(path.ends_with("a.sql").then(|| "SELECT 1".to_owned()));
    let checked = check(&Files { workflows, scripts, whole: true, ..Files::default() }, &read);
    assert!(problems(&checked, false).contains("did you mean `load_orders.sql`?"), "{}", problems(&checked, false));
}

#[test]
fn warnings_fail_only_a_strict_check() {
    let scripts = [("workflows/pair/a.sql", "SELECT 1;\nTRUNCATE t"), ("workflows/pair/b.sql", "SELECT ':run_date'")];
    let checked = checked(&[("workflows/pair.yaml", PAIR)], "", &scripts);
    assert_eq!((outcome(&checked, false), outcome(&checked, true)), (Outcome::Done, Outcome::Failed));
    assert_eq!(checked.workflows.len(), 1, "a workflow with warnings is pushed");
    insta::assert_snapshot!(format!("{}{}\n", problems(&checked, false), summary(&checked)));
    insta::assert_snapshot!("as_json", serde_json::to_string_pretty(&report(&checked)).unwrap());
    let valid = shown(PAIR, &[("workflows/pair/a.sql", "SELECT 1"), ("workflows/pair/b.sql", "SELECT 1")]);
    assert_eq!(valid, "1 workflow, 2 scripts, 1 connection: no problems\n");
}

#[test]
fn the_syntax_of_scripts_is_checked() {
    insta::assert_snapshot!(shown(
        PAIR,
        &[
            ("workflows/pair/a.sql", "SELECT 1;\n  SELEC 2;\nSELECT (1"),
            (
                "workflows/pair/b.sql",
                "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING;\nSELECT a FROM t\n  WHERE a IS DISTINCT FROM 1;\nSELECT a\nFROM FROM t;\n\
             GRANT ROLE sys:dba TO ROLE aad:x;\nVACUUM RECLUSTER t",
            ),
        ]
    ));
}

#[test]
fn queries_and_changes_of_data_are_read_completely() {
    let script = "SELECT :run_date, 'a;b' FROM t; -- fine\n\n  DELETE FORM t;\nSELECT a,\n  FROM t;\nINSERT INTO t SELECT 'ü' FRM u WHERE\n";
    let pair = PAIR.replace(", b.sql", "");
    let checked = checked(&[("workflows/pair.yaml", &pair)], "", &[("workflows/pair/a.sql", script)]);
    let shown: Vec<_> = checked.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "workflows/pair/a.sql:3:15: Redshift probably refuses an alias in DELETE FROM: syntax error: the target of DELETE has no alias; use the table name",
            "workflows/pair/a.sql:5:3: probably a syntax error at \"FROM\": expected an expression",
            "workflows/pair/a.sql:6:30: probably a syntax error at \"u\": expected the end of the statement; did you mean `from`?",
        ]
    );
    assert_eq!(checked.problems, []);
}

#[test]
fn the_sql_of_a_workflow_file_is_checked() {
    let workflow = PAIR.replace(
        "b.sql]",
        "b.sql, { job_name: u, kind: unload, select: 'SELECT a FROM FROM t', to: 's3://bucket/x/' }, { job_name: p, kind: procedure, call: 's.p((1)' }]",
    );
    let shown = shown(&workflow, &[("workflows/pair/a.sql", "SELECT 1"), ("workflows/pair/b.sql", "SELECT 1")]);
    assert!(shown.contains("warning: ") && shown.contains(".select") && shown.contains(".call"), "{shown}");
}

#[test]
fn colours_do_not_change_the_text() {
    let checked = checked(&[("workflows/good.yaml", GOOD)], "", &[]);
    let coloured = problems(&checked, true);
    assert!(coloured.contains("\u{1b}["));
    assert_eq!(console::strip_ansi_codes(&coloured), problems(&checked, false));
}

#[test]
fn a_finding_in_a_script_is_reported_once_for_all_jobs_that_use_the_script() {
    let job = |name: &str, more: &str| format!("{{ job_name: {name}, script: a.sql{more} }}");
    for (script, second, warnings, errors) in [
        ("select ':run_date'", "", 1, 0),
        ("select :nowhere", "", 0, 1),
        ("insert into a select 1;\ntruncate b;\ntruncate c", "", 2, 0),
        ("select ':run_date', ':run_date'", "", 1, 0),
        // The second job has no transaction that the script could end.
        ("insert into a select 1;\ntruncate b", ", transaction: per_statement", 1, 0),
        ("insert into a select 1;\nvacuum a", "", 0, 1),
    ] {
        let jobs = [job("one", ""), job("two", second), job("three", second)].join(", ");
        let workflow = PAIR.replace("a.sql, b.sql", &jobs);
        let checked = checked(&[("workflows/pair.yaml", &workflow)], "", &[("workflows/pair/a.sql", script)]);
        assert_eq!((checked.warnings.len(), checked.problems.len()), (warnings, errors), "{script}: {checked:?}");
    }
    // A finding without a line belongs to its job.
    let missing = PAIR.replace("a.sql, b.sql", "{ job_name: one, script: a.sql }, { job_name: two, script: b.sql }");
    let checked = checked(&[("workflows/pair.yaml", &missing)], "", &[("workflows/pair/b.sql", "unreadable")]);
    assert_eq!(checked.problems.len(), 2, "{checked:?}");
}

#[test]
fn feeds_are_checked_against_the_workflows_that_load_their_files() {
    let workflow = "workflow_id: load\nworkflow_stages:\n  - execution_type: sequential\n    scripts: [{ job_name: files, kind: copy, files: pending(orders) }]\n";
    let feed = |name: &str, more: &str| File {
        path: format!("feeds/{name}.yaml").into(),
        text: format!("feed: {name}\nbucket: landing\nkeys: {name}/*\nformat: csv\ntable: a.b\n{more}"),
    };
    let check_feeds = |feeds: Vec<File>| {
        let workflows = vec![File { path: "workflows/load.yaml".into(), text: workflow.into() }];
        let checked = check(&Files { workflows, feeds, whole: true, ..Files::default() }, &|_: &Path| Ok(None));
        (problems(&checked, false), checked.feeds.len())
    };
    assert_eq!(check_feeds(vec![feed("orders", "workflow: load\n")]), (String::new(), 1));
    let (mismatch, _) = check_feeds(vec![feed("orders", ""), feed("clicks", "workflow: load\n")]);
    assert!(
        mismatch.contains("does not load the files of this feed") && mismatch.contains("pending(clicks)"),
        "{mismatch}"
    );
    for (workflow, id, whole, expected) in [
        (workflow, "loads", true, Some("did you mean `load`?")),
        (workflow, "load_", false, None),
        (workflow, "of_another_project", true, None),
        // The workflow has another problem.
        ("workflow_id: loads\n", "loads", true, None),
    ] {
        let workflows = vec![File { path: "workflows/load.yaml".into(), text: workflow.into() }];
        let feeds = vec![feed("orders", &format!("workflow: {id}\n"))];
        let checked = check(&Files { workflows, feeds, whole, ..Files::default() }, &|_: &Path| Ok(None));
        let hints: Vec<_> = checked.warnings.iter().map(|warning| warning.hint.as_deref()).collect();
        assert_eq!(hints, Vec::from_iter(expected.map(Some)), "{id}");
        for warning in &checked.warnings {
            assert_eq!(
                warning.to_string(),
                format!("feeds/orders.yaml:6:1 ($.workflow): workflow `{id}` has no file; did you mean `load`?")
            );
        }
    }
    let (broken, _) = check_feeds(vec![feed("orders", "colums: [a]\n")]);
    assert!(broken.contains("feeds/orders.yaml:6:1") && broken.contains("did you mean `columns`?"), "{broken}");
    let misnamed = File { path: "feeds/other.yaml".into(), ..feed("orders", "") };
    assert!(check_feeds(vec![misnamed]).0.contains("rename the file to orders.yaml"));
}
