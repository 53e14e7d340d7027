//! Documents, scripts and connections for the tests of the planner.
#![allow(dead_code, reason = "each test binary uses a part of the module")]
#![allow(clippy::unwrap_used, reason = "tests panic on unexpected results")]

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;
use shiftwork_planner::{
    Located, LogicalDate, Plan, PlanInputs, Problem, RequestedRun, Script, plan, read_file, script_names, workflow,
};
use shiftwork_protocol::{Connection, audit::PlannedJob, keys::script_key};

pub(crate) fn connection() -> Connection {
    Connection { workgroup: Some("main".into()), database: "dev".into(), ..Connection::default() }
}

pub(crate) fn inputs(workflow_id: &str, scripts: &[(&str, &str)]) -> PlanInputs {
    let script = |(name, text): &(&str, &str)| {
        let key = script_key(workflow_id, name);
        ((*name).to_owned(), Script { key, version_id: "v1".into(), text: (*text).to_owned() })
    };
    PlanInputs {
        scripts: scripts.iter().map(script).collect(),
        connections: BTreeMap::from([("reporting".to_owned(), connection())]),
        default_connection: connection(),
        ..PlanInputs::default()
    }
}

pub(crate) fn run_with(parameters: &Value) -> RequestedRun {
    RequestedRun {
        workflow_execution_id: "demo_test_26".into(),
        logical_date: LogicalDate::in_utc("2026-03-01T02:00:00Z".parse().unwrap()),
        parameters: parameters.as_object().unwrap().clone().into_iter().collect(),
    }
}

pub(crate) fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

pub(crate) fn read(text: &str) -> Located {
    read_file("workflows/x.yaml", text).unwrap_or_else(|problems| panic!("{}", lines(&problems)))
}

pub(crate) fn job<'a>(plan: &'a Plan, name: &str) -> &'a PlannedJob {
    plan.jobs.iter().find(|job| job.job_name == name).unwrap_or_else(|| panic!("the plan has no job {name}"))
}

/// A workflow of this repository with its scripts, as `shiftwork push` reads it.
pub(crate) fn example(name: &str) -> (Located, PlanInputs) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workflows");
    let file = format!("workflows/{name}.yaml");
    let text = fs::read_to_string(root.join(format!("{name}.yaml"))).unwrap();
    let doc = read_file(&file, &text).unwrap_or_else(|problems| panic!("{}", lines(&problems)));
    let workflow = workflow(&doc).unwrap_or_else(|problems| panic!("{}", lines(&problems)));
    let scripts = script_names(&workflow).into_iter().map(|script| {
        let text = fs::read_to_string(root.join(name).join(&script)).unwrap();
        let key = script_key(&workflow.workflow_id, &script);
        (script, Script { key, version_id: "v1".into(), text })
    });
    let inputs = PlanInputs { scripts: scripts.collect(), default_connection: connection(), ..PlanInputs::default() };
    (doc, inputs)
}

pub(crate) fn planned((doc, inputs): &(Located, PlanInputs)) -> Plan {
    plan(doc, inputs, &run_with(&serde_json::json!({}))).unwrap_or_else(|problems| panic!("{}", lines(&problems)))
}
