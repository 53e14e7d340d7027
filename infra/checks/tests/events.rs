//! The samples under `events/`: each is what its function takes, and what a rule of the template lets through.

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
    payload::{AuditRequest, Launch, PlanRequest, RunInput, RunRequest, Sweep},
};

/// Samples that a rule delivers; every other one is sent by the state machine, a schedule, a queue or a person.
const DELIVERED: [(&str, &str); 14] = [
    ("schema-watcher/statement-finished", "MigrationEndedRule"),
    // job-callback passes it over.
    ("schema-watcher/statement-finished", "StatementEndedRule"),
    ("metadata-fixer/eventbridge", "MetadataRule"),
    ("metadata-fixer/eventbridge", "RequestEventRule"),
    ("trigger/refreshed", "RefreshedRule"),
    ("trigger/table-refreshed", "RefreshedRule"),
    ("trigger/s3-object-created", "RequestEventRule"),
    ("trigger/custom", "RequestEventRule"),
    ("job-callback/statement-finished", "StatementEndedRule"),
    ("job-callback/statement-failed", "StatementEndedRule"),
    ("job-callback/statement-aborted", "StatementEndedRule"),
    ("audit-updater/execution-failed", "ExecutionEndedRule"),
    ("audit-updater/execution-timed-out", "ExecutionEndedRule"),
    ("audit-updater/execution-aborted", "ExecutionEndedRule"),
];

/// Parameters that the samples come from a deployment with.
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

fn reads<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_value(sample(name)).unwrap_or_else(|error| panic!("events/{name}.json: {error}"))
}

/// A rule's pattern as CloudFormation fills it in, in the account of the samples.
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
fn each_rule_lets_its_samples_through_and_no_others() {
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
fn no_event_but_a_refresh_wakes_the_trigger() {
    for detail_type in [event::JOB_ENDED, event::RUN_ENDED, event::DRIFT_FOUND, event::FILES_LATE] {
        let told = json!({ "id": "1", "source": event::SOURCE, "detail-type": detail_type, "detail": {} });
        for rule in ["RefreshedRule", "RequestEventRule"] {
            assert_eq!(pattern::matches(&pattern_of(rule), &told), Ok(false), "{rule}: {detail_type}");
        }
    }
    let refreshed = json!({ "id": "1", "source": event::SOURCE, "detail-type": event::REFRESHED, "detail": {} });
    assert_eq!(pattern::matches(&pattern_of("RefreshedRule"), &refreshed), Ok(true));
}

#[test]
fn a_statement_of_ours_is_let_through_and_a_strangers_is_not() {
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
fn samples_read_as_their_types() {
    for name in ["manual", "manual-parameters", "restart", "schedule"] {
        let _: RunRequest = reads(&format!("trigger/{name}"));
    }
    let _: RunInput = reads("iterator/run");
    let _: Launch = reads("job-launcher/launch");
    let _: Sweep = reads("job-callback/sweep");
    for name in ["record-timeout", "record-launcher-failed", "finish-run"] {
        let _: AuditRequest = reads(&format!("audit-updater/{name}"));
    }
    let _: PlanRequest = reads("file-intake/plan");
    let _: event::TableRefreshed = serde_json::from_value(sample("trigger/table-refreshed")["detail"].clone()).unwrap();
    for name in ["watch", "look", "apply"] {
        let _: DriftRequest = reads(&format!("schema-watcher/{name}"));
    }
    let _: event::Refreshed = serde_json::from_value(sample("trigger/refreshed")["detail"].clone()).unwrap();
    for name in ["finished", "failed", "aborted"] {
        let told = sample(&format!("job-callback/statement-{name}"));
        told["detail"]["statementName"].as_str().unwrap().parse::<Attempt>().unwrap();
    }
}

/// What the schedule of the schema-watcher sends is what it takes.
#[test]
fn the_schedule_of_the_watcher_reads() {
    let template = sam_template();
    let input = &template["Resources"]["SchemaWatcherSchedule"]["Properties"]["Target"]["Input"];
    let sent: DriftRequest = serde_json::from_str(input.as_str().unwrap()).unwrap();
    assert_eq!(sent, reads("schema-watcher/watch"));
}

/// What the schedule of file-intake sends is what it takes.
#[test]
fn the_schedule_of_the_intake_reads() {
    let template = sam_template();
    let input = &template["Resources"]["FileSchedule"]["Properties"]["Target"]["Input"];
    let sent: PlanRequest = serde_json::from_str(input.as_str().unwrap()).unwrap();
    assert_eq!(sent, reads("file-intake/plan"));
}
