//! Workflows in the format of the original RSQL framework, which are taken as they are.
//!
//! An item of the framework has a workflow id, a description and stages with names of scripts. The framework ignores all other attributes,
//! and leaves out each stage whose `execution_flag` is not `y`.

use serde_json::Value;
use shiftwork_config::{JsonPath, Located, Problem, shape::SchemaMismatches};

use crate::schema;

/// The fields of a workflow that the framework has.
const FIELDS: [&str; 3] = ["workflow_id", "workflow_description", "workflow_stages"];

/// Turns the mismatches that the framework allows into warnings, if the document has nothing that only shiftwork has.
pub(crate) fn accept(doc: &Located, mismatches: &mut SchemaMismatches) -> Vec<Problem> {
    if !is_original(doc.value()) {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    let mut problems = std::mem::take(&mut mismatches.problems);
    let is_at = |problem: &Problem, path: &JsonPath| problem.place.path.as_deref() == Some(path.to_string().as_str());
    for unknown in mismatches.unknown.iter().filter(|unknown| !unknown.is_misspelt) {
        problems.retain(|problem| !is_at(problem, &unknown.path));
        let warning = doc.problem(&unknown.path, "this attribute is not a field of a workflow and is ignored");
        warnings.push(warning.hint("remove it, or use a field of shiftwork"));
    }
    let stages = JsonPath::root().key("workflow_stages");
    for (i, stage) in doc.value()["workflow_stages"].as_array().into_iter().flatten().enumerate() {
        let path = stages.index(i).key("execution_flag");
        if mismatches.covers(&path.to_string()) {
            let flag = &stage["execution_flag"];
            let written = flag.as_str().map_or_else(|| flag.to_string(), str::to_owned);
            problems.retain(|problem| !is_at(problem, &path));
            let warning =
                doc.problem(&path, format!("stage {} is left out: its `execution_flag` is `{written}`", i + 1));
            warnings.push(warning.hint("only a stage with `execution_flag: y` runs; write `n` to leave it out"));
            mismatches.repair(&path, "n".into());
        }
    }
    mismatches.problems = problems;
    warnings
}

/// Returns true if the document has stages, all of them with names of scripts only, and no field that only shiftwork has.
fn is_original(workflow: &Value) -> bool {
    let schema = schema::workflow_schema();
    let is_new = |name: &str| schema["properties"].get(name).is_some() && !FIELDS.contains(&name);
    let names_scripts = |stage: &Value| {
        stage.is_object() && stage["scripts"].as_array().is_some_and(|scripts| scripts.iter().all(Value::is_string))
    };
    workflow.as_object().is_some_and(|fields| !fields.keys().any(|name| is_new(name)))
        && workflow["workflow_stages"].as_array().is_some_and(|stages| stages.iter().all(names_scripts))
}
