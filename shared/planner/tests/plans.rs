//! Plans of valid workflows.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use shiftwork_planner::{Findings, check, plan, read_file, read_item, script_names, workflow};
use shiftwork_protocol::{Connection, Transaction, Work, workflow::RunIf};
use support::{connection, example, inputs, job, lines, planned, read, run_with};

const DESIGN: &str = include_str!("fixtures/design_example.json");

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_workflow_of_the_original_framework_is_planned_unchanged() {
    let scripts = ["create_schema.sql", "create_table.sql", "insert_1.sql", "insert_2.sql", "insert_3.sql"]
        .map(|name| (name, "select 1"));
    let inputs = inputs("blog_test_workflow", &scripts);
    let doc = read(DESIGN);
    let Findings { problems, warnings } = check(&doc, &inputs);
    assert_eq!(problems, []);
    assert_eq!(
        lines(&warnings),
        "workflows/x.yaml:9:87 ($.workflow_stages[2].scripts[1].retries): a CALL, which can commit inside, is not retried without `repeatable`; set \
         `repeatable: true` if the work can run twice, or remove `retries`"
    );
    let plan = plan(&doc, &inputs, &run_with(&json!({}))).unwrap();
    let order: Vec<&str> = plan.jobs.iter().map(|job| job.job_name.as_str()).collect();
    assert_eq!(
        order,
        ["create_schema.sql", "create_table.sql", "insert_1.sql", "insert_2.sql", "insert_3.sql", "insert_4"]
    );
    let insert_4 = job(&plan, "insert_4");
    assert_eq!(insert_4.upstreams, names(&["insert_1.sql", "insert_2.sql"]));
    assert_eq!((insert_4.timeout_seconds, insert_4.retries, insert_4.stage), (1800, 2, 3));
    assert_eq!(
        insert_4.work,
        Work::Procedure {
            connection: inputs.default_connection,
            sql: "CALL load.orders(:run_date)".into(),
            parameters: BTreeMap::from([("run_date".into(), "2026-03-01".into())]),
            repeatable: false,
        }
    );
    assert_eq!(job(&plan, "create_table.sql").dependents, names(&["insert_1.sql", "insert_2.sql"]));
    assert!(plan.jobs.iter().zip(0..).all(|(job, i)| job.position == i));
}

#[test]
fn a_file_and_its_item_have_the_same_plan() {
    let (doc, inputs) = example("yearly_sales");
    let workflow = workflow(&doc).unwrap();
    let item = read_item(serde_json::to_value(&workflow).unwrap());
    let run_with = run_with(&json!({}));
    assert_eq!(plan(&doc, &inputs, &run_with).unwrap(), plan(&item, &inputs, &run_with).unwrap());
}

#[test]
fn the_example_workflows_have_no_problems_and_no_warnings() {
    for name in ["blog_test_workflow", "yearly_sales", "fix_me", "yearly_sales_export"] {
        let (doc, inputs) = example(name);
        assert_eq!(check(&doc, &inputs), Findings::default(), "{name}");
        assert_eq!(planned(&(doc, inputs)).warnings, [], "{name}");
    }
}

#[test]
fn the_export_example_is_a_valid_unload() {
    let plan = planned(&example("yearly_sales_export"));
    let Work::Unload { sql, .. } = &job(&plan, "export_revenue").work else { panic!("the work is not an unload") };
    insta::assert_snapshot!(sql);
}

#[test]
fn the_example_connections_are_valid() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workflows/connections.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    for text in [text.clone(), text.replace("# reporting:", "reporting:").replace("#   ", "  ")] {
        let doc = read_file("workflows/connections.yaml", &text).unwrap();
        let expected = usize::from(!text.contains("# reporting:"));
        assert_eq!(shiftwork_planner::connections(&doc).map(|found| found.len()), Ok(expected));
    }
}

#[test]
fn a_barrier_is_added_between_two_parallel_stages() {
    let stage = |jobs: &[&str]| json!({"execution_type": "parallel", "stage_description": "s", "scripts": jobs});
    let doc = read_item(json!({"workflow_id": "w", "workflow_stages": [
        stage(&["a1.sql", "a2.sql", "a3.sql"]), stage(&["b1.sql", "b2.sql", "b3.sql"])]}));
    let scripts = ["a1.sql", "a2.sql", "a3.sql", "b1.sql", "b2.sql", "b3.sql"].map(|name| (name, "select 1"));
    let plan = plan(&doc, &inputs("w", &scripts), &run_with(&json!({}))).unwrap();
    let barrier = job(&plan, "@stage-2");
    assert_eq!((&barrier.work, barrier.run_if, barrier.retries), (&Work::Barrier {}, RunIf::AllDone, 0));
    assert_eq!(barrier.upstreams, names(&["a1.sql", "a2.sql", "a3.sql"]));
    assert_eq!(barrier.dependents, names(&["b1.sql", "b2.sql", "b3.sql"]));
    assert_eq!(job(&plan, "b2.sql").upstreams, names(&["@stage-2"]));
    assert!(!shiftwork_protocol::name::is_job_name("@stage-2"), "the name of a barrier must not be a valid job name");
}

#[test]
fn a_barrier_has_no_connection() {
    let job = |name: &str| json!({"script": name, "connection": "reporting"});
    let stage = |jobs: &[&str]| {
        let jobs: Vec<_> = jobs.iter().copied().map(job).collect();
        json!({"execution_type": "parallel", "scripts": jobs})
    };
    let doc = read_item(json!({"workflow_id": "w", "connection": "never named", "workflow_stages": [
        stage(&["a1.sql", "a2.sql", "a3.sql"]), stage(&["b1.sql", "b2.sql", "b3.sql"])]}));
    let scripts = ["a1.sql", "a2.sql", "a3.sql", "b1.sql", "b2.sql", "b3.sql"].map(|name| (name, "select 1"));
    let plan =
        plan(&doc, &inputs("w", &scripts), &run_with(&json!({}))).unwrap_or_else(|problems| panic!("{problems:?}"));
    let without: Vec<_> = plan.jobs.iter().filter(|job| job.work.connection().is_none()).collect();
    assert_eq!(without.iter().map(|job| job.job_name.as_str()).collect::<Vec<_>>(), ["@stage-2"]);
}

#[test]
fn disabled_stages_are_skipped_and_their_scripts_not_needed() {
    let doc = read(
        "
workflow_id: w
workflow_stages:
  - { execution_type: sequential, scripts: [a.sql] }
  - { execution_flag: n, execution_type: sequential, scripts: [b.sql] }
  - { execution_type: sequential, scripts: [{ script: c.sql, depends_on: [b.sql] }] }
",
    );
    assert_eq!(script_names(&workflow(&doc).unwrap()), names(&["a.sql", "c.sql"]));
    let plan =
        plan(&doc, &inputs("w", &[("a.sql", "select 1"), ("c.sql", "select 1")]), &run_with(&json!({}))).unwrap();
    assert_eq!(job(&plan, "c.sql").upstreams, names(&["a.sql"]));
    assert_eq!(job(&plan, "c.sql").stage, 3);
    assert_eq!(
        lines(&plan.warnings),
        "workflows/x.yaml:6:75 ($.workflow_stages[2].scripts[0].depends_on[0]): `c.sql` does not wait for `b.sql`: stage 2 is disabled by its `execution_flag`"
    );
}

#[test]
fn only_used_placeholders_are_bound() {
    let doc = read(
        "
workflow_id: w
connection: reporting
parameters:
  region: { type: string }
  limit: { type: integer, default: 10 }
  rate: { type: decimal, default: '0.10' }
  since: { type: timestamp, default: 2026-03-01T02:00:00+02:00 }
workflow_stages:
  - execution_type: sequential
    scripts:
      - { script: a.sql, transaction: per_statement }
      - { job_name: p, kind: procedure, call: 'load.x(:region, :run_date, :note)', arguments: { note: it's 1 } }
",
    );
    let text = "select :region;\nselect :logical_date, :since, ':limit'";
    let inputs = inputs("w", &[("a.sql", text)]);
    let plan = plan(&doc, &inputs, &run_with(&json!({"region": "eu"}))).unwrap();
    let Work::Sql { script, transaction, parameters, .. } = &job(&plan, "a.sql").work else {
        panic!("the work is not sql")
    };
    assert_eq!((script.statements, *transaction), (2, Transaction::PerStatement));
    assert_eq!(script.sha256, shiftwork_protocol::name::sha256(text));
    let text = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(
        *parameters,
        text(&[("logical_date", "2026-03-01T02:00:00.000Z"), ("region", "eu"), ("since", "2026-03-01T00:00:00.000Z")])
    );
    let Work::Procedure { parameters, .. } = &job(&plan, "p").work else { panic!("the work is not a procedure") };
    assert_eq!(*parameters, text(&[("note", "it's 1"), ("region", "eu"), ("run_date", "2026-03-01")]));
    assert_eq!(plan.parameters["limit"], "10");
    assert_eq!(plan.parameters["rate"], "0.10");
    assert_eq!(plan.jobs[0].work.connection(), Some(&inputs.connections["reporting"]));
    assert_eq!(check(&doc, &inputs).problems, [], "a parameter without a default counts as given");
}

#[test]
fn the_schema_and_the_planner_accept_the_same_workflows() {
    let validator = jsonschema::validator_for(&shiftwork_planner::workflow_schema()).unwrap();
    for name in ["blog_test_workflow", "yearly_sales", "fix_me", "yearly_sales_export"] {
        let (doc, _) = example(name);
        assert!(validator.is_valid(doc.value()), "{name}");
    }
    assert!(validator.is_valid(read(DESIGN).value()));
    let with = |job: serde_json::Value| json!({"workflow_id": "w", "workflow_stages": [{"execution_type": "sequential", "scripts": [job]}]});
    for invalid in [
        json!(3),
        json!({"script": "a.sql", "timout": "3m"}),
        json!({"job_name": "p", "kind": "procedure", "call": "a.b()", "script": "a.sql"}),
        json!({"job_name": "p", "kind": "procedure"}),
        json!({"kind": "procedure", "call": "a.b()"}),
        json!({"job_name": "p", "kind": "copy"}),
    ] {
        assert!(!validator.is_valid(&with(invalid.clone())), "{invalid}");
        assert!(workflow(&read_item(with(invalid.clone()))).is_err(), "{invalid}");
    }
    for flag in ["y", "Y", "n", "N"] {
        let flagged = json!({"workflow_id": "w", "workflow_stages": [
            {"execution_flag": flag, "execution_type": "sequential", "scripts": ["a.sql"]},
            {"execution_type": "sequential", "scripts": ["b.sql"]}]});
        assert!(validator.is_valid(&flagged), "{flag}");
        assert!(workflow(&read_item(flagged)).is_ok(), "{flag}");
    }
}

/// The pools of the first job of a workflow with one stage of `jobs` jobs.
fn pools(head: &str, execution: &str, stage: &str, jobs: usize) -> Vec<(String, u32)> {
    let names: Vec<_> = (0..jobs).map(|n| format!("job_{n}.sql")).collect();
    let scripts: Vec<_> = names.iter().map(|name| (name.as_str(), "select 1")).collect();
    let mut inputs = inputs("w", &scripts);
    let limited = Connection { max_parallel: Some(9), ..connection() };
    inputs.connections.insert("limited".into(), limited);
    let text = format!(
        "workflow_id: w\n{head}\nworkflow_stages:\n  - {{ execution_type: {execution}, {stage}scripts: [{}] }}\n",
        names.join(", ")
    );
    let plan =
        plan(&read(&text), &inputs, &run_with(&json!({}))).unwrap_or_else(|problems| panic!("{}", lines(&problems)));
    plan.jobs[0].slots.iter().map(|pool| (pool.name.clone(), pool.limit)).collect()
}

#[test]
fn a_job_needs_slots_of_the_pools_that_can_be_full() {
    let none: &[(&str, u32)] = &[];
    for (head, execution, stage, jobs, expected) in [
        ("", "parallel", "", 3, none),
        ("", "parallel", "max_parallel: 2, ", 3, &[("@stage/w/1", 2)]),
        ("", "parallel", "max_parallel: 3, ", 3, none),
        ("", "sequential", "max_parallel: 2, ", 3, none),
        ("max_parallel: 2", "parallel", "", 3, &[("@workflow/w", 2)]),
        ("max_parallel: 3", "parallel", "", 3, none),
        ("connection: reporting", "parallel", "", 3, none),
        ("connection: limited", "parallel", "", 1, &[("@connection/limited", 9)]),
        ("", "parallel", "", 150, none),
        ("", "parallel", "", 151, &[("@warehouse/main", 150)]),
        (
            "{ max_parallel: 2, connection: limited }",
            "parallel",
            "max_parallel: 1, ",
            3,
            &[("@stage/w/1", 1), ("@workflow/w", 2), ("@connection/limited", 9)],
        ),
    ] {
        let head = head.trim_matches(['{', '}']).trim().replace(", ", "\n");
        let found = pools(&head, execution, stage, jobs);
        let expected: Vec<_> = expected.iter().map(|(name, limit)| ((*name).to_owned(), *limit)).collect();
        assert_eq!(found, expected, "{head}, {execution}, {stage}, {jobs} jobs");
    }
}
