//! The samples under `events/`: each is valid for its function, and matches the rules of the template that deliver it.

#![allow(clippy::unwrap_used, reason = "a test stops at what does not hold")]

use std::fs;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use shiftwork_infra_checks::{checkout, sam_template, template, text};
use shiftwork_planner::pattern;
use shiftwork_protocol::{
    Attempt, Owner,
    drift::DriftRequest,
    event,
    payload::{AuditRequest, Launch, PlanRequest, RunInput, RunRequest, Sweep, TriggerEvent},
};

/// Samples that a rule of the template delivers. The state machine, a schedule, a queue, a client or a rule of `shiftwork push`
/// sends the others.
const DELIVERED: [(&str, &str); 9] = [
    ("schema-watcher/statement-finished", "MigrationEndedRule"),
    // job-callback ignores it.
    ("schema-watcher/statement-finished", "StatementEndedRule"),
    ("metadata-fixer/eventbridge", "MetadataRule"),
    ("job-callback/statement-finished", "StatementEndedRule"),
    ("job-callback/statement-failed", "StatementEndedRule"),
    ("job-callback/statement-aborted", "StatementEndedRule"),
    ("audit-updater/execution-failed", "ExecutionEndedRule"),
    ("audit-updater/execution-timed-out", "ExecutionEndedRule"),
    ("audit-updater/execution-aborted", "ExecutionEndedRule"),
];

/// Parameters of the deployment that the samples are from.
const SET: [(&str, &str); 1] = [("DocumentsBucketName", "amzn-s3-demo-documents")];

fn sample(name: &str) -> Value {
    serde_json::from_str(&text(&format!("events/{name}.json"))).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn all() -> Vec<String> {
    let mut names = Vec::new();
    for function in fs::read_dir(checkout("events")).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir())
    {
        for file in fs::read_dir(function.path()).unwrap() {
            let (folder, file) = (function.file_name(), file.unwrap().path());
            names.push(format!("{}/{}", folder.to_str().unwrap(), file.file_stem().unwrap().to_str().unwrap()));
        }
    }
    names
}

fn sample_as<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_value(sample(name)).unwrap_or_else(|error| panic!("events/{name}.json: {error}"))
}

/// The pattern of a rule as CloudFormation resolves it in the account of the samples.
fn pattern_of(rule: &str) -> Map<String, Value> {
    let template = sam_template();
    let filled = filled(&template, &template["Resources"][rule]["Properties"]["EventPattern"]);
    filled.as_object().unwrap().clone()
}

fn filled(template: &Value, value: &Value) -> Value {
    match value {
        Value::Object(members) => match members.iter().next() {
            Some((function, Value::String(text))) if function == "Fn::Sub" => json!(
                text.replace("${AWS::Partition}", "aws")
                    .replace("${AWS::Region}", "eu-central-1")
                    .replace("${AWS::AccountId}", "123456789012")
                    .replace("${AWS::StackName}", "shiftwork")
            ),
            Some((function, Value::String(parameter))) if function == "Ref" => {
                let declared = &template["Parameters"][parameter];
                let default = declared["Default"].as_str().unwrap();
                let set = SET.iter().find(|(name, _)| name == parameter).map_or(default, |(_, value)| *value);
                if declared["Type"] == "CommaDelimitedList" { set.split(',').collect() } else { json!(set) }
            }
            _ => members
                .iter()
                .map(|(name, value)| (name.clone(), filled(template, value)))
                .collect::<Map<_, _>>()
                .into(),
        },
        Value::Array(items) => items.iter().map(|item| filled(template, item)).collect(),
        other => other.clone(),
    }
}

#[test]
fn each_rule_matches_its_samples_and_no_others() {
    let template = sam_template();
    for (rule, _) in template::resources(&template, "AWS::Events::Rule") {
        let pattern = pattern_of(rule);
        for name in all() {
            let wanted = DELIVERED.contains(&(name.as_str(), rule));
            assert_eq!(pattern::matches(&pattern, &sample(&name)), Ok(wanted), "{rule} and events/{name}.json");
        }
    }
}

#[test]
fn the_rule_matches_statements_of_shiftwork_and_no_others() {
    let pattern = pattern_of("StatementEndedRule");
    let mut told = sample("job-callback/statement-finished");
    told["detail"]["statementName"] = json!(
        Attempt { owner: Owner::Job, run: "r".into(), job: "j".into(), attempt: 1, part: 1, parts: 1 }.to_string()
    );
    assert_eq!(pattern::matches(&pattern, &told), Ok(true));
    told["detail"]["statementName"] = json!("nightly-vacuum");
    assert_eq!(pattern::matches(&pattern, &told), Ok(false));
}

#[test]
fn the_samples_are_valid_for_their_types() {
    for name in ["manual", "manual-parameters", "restart", "schedule"] {
        let _: RunRequest = sample_as(&format!("trigger/{name}"));
    }
    let _: RunInput = sample_as("iterator/run");
    let _: Launch = sample_as("job-launcher/launch");
    let _: Sweep = sample_as("job-callback/sweep");
    for name in ["record-timeout", "record-launcher-failed", "finish-run"] {
        let _: AuditRequest = sample_as(&format!("audit-updater/{name}"));
    }
    let _: PlanRequest = sample_as("file-intake/plan");
    let detail = |name: &str| {
        let TriggerEvent { event, .. } = sample_as(&format!("trigger/{name}"));
        event["detail"].clone()
    };
    let _: event::TableRefreshed = serde_json::from_value(detail("table-refreshed")).unwrap();
    let _: event::Refreshed = serde_json::from_value(detail("refreshed")).unwrap();
    let _: event::RunEnded = serde_json::from_value(detail("run-ended")).unwrap();
    let _: TriggerEvent = sample_as("trigger/rule-s3-object-created");
    for name in ["watch", "look", "apply"] {
        let _: DriftRequest = sample_as(&format!("schema-watcher/{name}"));
    }
    for name in ["finished", "failed", "aborted"] {
        let told = sample(&format!("job-callback/statement-{name}"));
        told["detail"]["statementName"].as_str().unwrap().parse::<Attempt>().unwrap();
    }
}

/// The schedule of schema-watcher sends a valid request.
#[test]
fn the_schedule_of_schema_watcher_sends_a_valid_request() {
    let template = sam_template();
    let input = &template["Resources"]["SchemaWatcherSchedule"]["Properties"]["Target"]["Input"];
    let sent: DriftRequest = serde_json::from_str(input.as_str().unwrap()).unwrap();
    assert_eq!(sent, sample_as("schema-watcher/watch"));
}

/// The schedule of file-intake sends a valid request.
#[test]
fn the_schedule_of_file_intake_sends_a_valid_request() {
    let template = sam_template();
    let input = &template["Resources"]["FileSchedule"]["Properties"]["Target"]["Input"];
    let sent: PlanRequest = serde_json::from_str(input.as_str().unwrap()).unwrap();
    assert_eq!(sent, sample_as("file-intake/plan"));
}
