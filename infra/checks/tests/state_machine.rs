//! `infra/run.asl.json` against the types.

#![allow(clippy::unwrap_used, reason = "a test stops at what does not hold")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use shiftwork_infra_checks::{Findings, asl, errors, sam_template, state_machine, template};
use shiftwork_protocol::{
    Connection, FailureKind, JobRecord, Status, Work, audit::PlannedJob, limits, workflow::RunIf,
};

fn job_fields() -> BTreeSet<String> {
    let plan = PlannedJob {
        job_name: "load".into(),
        position: 0,
        stage: 1,
        stage_description: None,
        upstreams: BTreeSet::from(["create".into()]),
        dependents: BTreeSet::new(),
        run_if: RunIf::AllSuccess,
        timeout_seconds: 60,
        retries: 0,
        retry_delay_seconds: 0,
        slots: Vec::new(),
        work: Work::Procedure {
            connection: Connection::default(),
            sql: "CALL load()".into(),
            parameters: BTreeMap::new(),
            repeatable: false,
        },
    };
    let mut job = JobRecord::pending("w", "r", plan);
    job.await_token = Some("token".into());
    let record = serde_json::to_value(job).unwrap();
    record.as_object().unwrap().keys().cloned().collect()
}

fn findings(machine: &Value) -> Findings {
    let keys = template::key_attributes(&sam_template(), "JobAuditTable");
    let mut findings = asl::findings(machine, &keys, &job_fields());
    findings.extend(errors::findings(machine));
    findings
}

#[test]
fn the_state_machine_holds() {
    assert_eq!(findings(&state_machine()), Findings::new());
}

const AWAIT: &str = "/States/Lanes/ItemProcessor/States/Jobs/ItemProcessor/States/Await";
const LAUNCH: &str = "/States/Lanes/ItemProcessor/States/Jobs/ItemProcessor/States/Launch";
const RECORD: &str = "/States/Lanes/ItemProcessor/States/Jobs/ItemProcessor/States/Record";
const AGAIN: &str = "/States/Lanes/ItemProcessor/States/Jobs/ItemProcessor/States/Again";
const JOBS: &str = "/States/Lanes/ItemProcessor/States/Jobs";

/// The state machine with one value of a state replaced; `Value::Null` removes it.
fn drifted(state: &str, place: &str, value: Value) -> Value {
    let mut machine = state_machine();
    let (parent, name) = place.rsplit_once('/').unwrap();
    let parent = machine.pointer_mut(&format!("{state}{parent}")).unwrap_or_else(|| panic!("{state}{parent}"));
    match (parent, value) {
        (Value::Array(items), value) => items[name.parse::<usize>().unwrap()] = value,
        (Value::Object(members), Value::Null) => drop(members.remove(name)),
        (parent, value) => parent[name] = value,
    }
    machine
}

/// The place of a drift, its value, and the beginning of the finding.
type Drift<'a> = (&'a str, &'a str, Value, &'a str);

fn each_is_found(drifts: &[Drift<'_>]) {
    for (state, place, value, wanted) in drifts {
        let found = findings(&drifted(state, place, value.clone()));
        let about: Vec<_> = found.iter().filter(|finding| finding.starts_with(wanted)).collect();
        // Some drifts are wrong in two ways: a token that is not passed on, an error name that is no longer retried.
        assert!(about.len() == 1 && found.len() <= 2, "{state}{place} = {value}: {found:#?}");
    }
}

#[test]
fn each_drift_of_launch_is_one_finding_that_names_the_place() {
    each_is_found(&[
        (
            LAUNCH,
            "/Parameters/Payload/job_name.$",
            Value::Null,
            "Launch: the payload of ${JobLauncherFunctionArn} needs `job_name`",
        ),
        (
            LAUNCH,
            "/Parameters/Payload/secret",
            json!("x"),
            "Launch: the payload of ${JobLauncherFunctionArn} has no field `secret`",
        ),
        (LAUNCH, "/Parameters/Payload/job_name.$", json!("$.job"), "Launch: `$.job`: no `job` among"),
        (
            LAUNCH,
            "/Parameters/Payload/job_name.$",
            json!("$.timeout_seconds"),
            "Launch: the payload of ${JobLauncherFunctionArn}.job_name: expected a string, found an integer",
        ),
        (
            LAUNCH,
            "/Parameters/Payload/task_token.$",
            json!("$.job_name"),
            "Launch: waits for a token that its parameters do not pass on",
        ),
        (
            LAUNCH,
            "/Parameters/FunctionName",
            json!("${LauncherFunctionArn}"),
            "Launch: `${LauncherFunctionArn}` is not one of",
        ),
        (LAUNCH, "/TimeoutSecondsPath", Value::Null, "Launch: waits for a token without a timeout"),
        (
            LAUNCH,
            "/TimeoutSecondsPath",
            json!("$.job_name"),
            "Launch: `$.job_name`: expected an integer, found a string",
        ),
        (
            LAUNCH,
            "/Catch/3/ErrorEquals/0",
            json!("States.TaskFailed"),
            "Launch: waits for a token without a Catch of States.ALL",
        ),
        (LAUNCH, "/Catch/0/ErrorEquals/0", json!("Shiftwork.Procede"), "Launch: `Shiftwork.Procede` is not one of"),
        // What Proceed passes back to Launch lacks the name of the job and every other field of the payload.
        (LAUNCH, "/Catch/0/ResultPath", json!("$"), "Launch: `$."),
        (
            LAUNCH,
            "/Retry/1/ErrorEquals/2",
            json!("Shiftwork.StatementFailed"),
            "Launch: retries `Shiftwork.StatementFailed`, which is Terminal",
        ),
        (
            LAUNCH,
            "/Retry/1/ErrorEquals/7",
            json!("Lambda.Throttled"),
            "Launch: `Lambda.Throttled` is not an error name",
        ),
        (LAUNCH, "/Retry/1/JitterStrategy", json!("NONE"), "Launch: retries [\"Shiftwork.Throttled\""),
        (
            LAUNCH,
            "/Retry/0/MaxAttempts",
            json!(8),
            "Launch: waits for 255 s after `Shiftwork.ActiveStatementsExceeded`",
        ),
    ]);
}

#[test]
fn each_drift_of_another_state_is_one_finding_that_names_the_place() {
    each_is_found(&[
        (AWAIT, "/TimeoutSeconds", Value::Null, "Await: waits for a token without a timeout"),
        (
            AWAIT,
            "/Parameters/ConditionExpression",
            json!("attribute_exists(waits_on)"),
            "Await: ConditionExpression: a job record has no field `waits_on`",
        ),
        (AWAIT, "/Parameters/Key/workflow_id", json!({ "S.$": "$.job_name" }), "Await: its Key is"),
        (AWAIT, "/Parameters/TableName", json!("${WorkflowAuditTable}"), "Await: writes to"),
        (
            AWAIT,
            "/Retry/0/ErrorEquals/3",
            json!("DynamoDb.SdkClientException"),
            "Await: does not retry `DynamoDb.TransactionConflict",
        ),
        (RECORD, "/Retry/0/MaxDelaySeconds", json!(300), "Record: waits for"),
        (AWAIT, "/Catch/1/ResultPath", json!("$.error"), "Record: `$.failure`: no `failure` among"),
        (
            RECORD,
            "/Parameters/Payload/action",
            json!("record-job"),
            "Record: the payload of ${AuditUpdaterFunctionArn} is not one of `action: finish_run`, `action: record_job`",
        ),
        (
            RECORD,
            "/ResultSelector/relaunch.$",
            json!("$.Payload.again"),
            "Record: `$.Payload.again`: no `again` among `not_before`, `relaunch`",
        ),
        (
            AGAIN,
            "/Choices/0/Variable",
            json!("$.pause.again"),
            "Again: `$.pause.again`: no `again` among `Cause`, `relaunch`",
        ),
        (
            JOBS,
            "/ItemSelector/timeout_seconds.$",
            json!("$$.Map.Item.Value.timeout"),
            "Jobs: `$.timeout`: no `timeout` among",
        ),
        (JOBS, "/ItemsPath", json!("$.jobs"), "Jobs: `$.jobs`: no `jobs` among"),
        (
            "/States/Iterate",
            "/Parameters/Payload/workflow_execution_id.$",
            json!("$.run"),
            "Iterate: `$.run`: no `run` among",
        ),
        (
            "/States/Outcome",
            "/Choices/0/StringEquals",
            json!("SUCCESS"),
            "Outcome: `$.end.execution_status` cannot be `SUCCESS`",
        ),
        ("/States/Finish", "/ResultPath", json!("$.result"), "Outcome: `$.end.execution_status`: no `end` among"),
        ("/States/Failed", "/CausePath", json!("$.end.error"), "Failed: `$.end.error`: no `error` among"),
        ("/States/Lanes", "/Next", json!("Close"), "Close: is not a state"),
    ]);
}

#[test]
fn its_timeouts_are_those_of_the_limits() {
    let machine = state_machine();
    assert_eq!(machine["TimeoutSeconds"], limits::EXECUTION_SECONDS);
    // A job may wait for a statement of the greatest length, and the run still has the time to record that it did not end.
    let longest_wait = machine.pointer(AWAIT).unwrap()["TimeoutSeconds"].as_u64().unwrap();
    assert!(longest_wait > u64::from(limits::STATEMENT_SECONDS) && longest_wait < u64::from(limits::EXECUTION_SECONDS));
}

#[test]
fn a_function_gives_up_before_its_state_does() {
    let function = sam_template()["Globals"]["Function"]["Timeout"].as_u64().unwrap();
    let machine = state_machine();
    for (name, state) in asl::states(&machine).into_iter().filter(|(_, state)| !asl::waits_for_token(state)) {
        if state["Type"] == "Task" {
            assert!(state["TimeoutSeconds"].as_u64().is_some_and(|seconds| seconds > function), "{name}");
        }
    }
}

#[test]
fn its_substitutions_are_those_of_the_template() {
    let given = sam_template()["Resources"]["RunStateMachine"]["Properties"]["DefinitionSubstitutions"].clone();
    let text = state_machine().to_string();
    let used: BTreeSet<_> =
        text.split("${").skip(1).filter_map(|rest| rest.split('}').next()).map(String::from).collect();
    assert_eq!(used, given.as_object().unwrap().keys().cloned().collect());
}

#[test]
fn a_run_of_six_jobs_enters_at_most_twenty_states() {
    assert!(asl::states_entered(&state_machine(), 6, 1) <= 20);
}

/// The status `SUCCEEDED` ends the execution in Succeed, every other status in Fail.
#[test]
fn only_a_succeeded_run_ends_in_succeed() {
    let machine = state_machine();
    let rules = machine["States"]["Outcome"]["Choices"].as_array().unwrap();
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0]["StringEquals"], Status::Succeeded.as_str());
    assert_eq!(machine["States"][rules[0]["Next"].as_str().unwrap()]["Type"], "Succeed");
    assert_eq!(machine["States"][machine["States"]["Outcome"]["Default"].as_str().unwrap()]["Type"], "Fail");
}

#[test]
fn every_failure_has_a_page() {
    for kind in FailureKind::ALL {
        let page = shiftwork_infra_checks::text(&format!("docs/errors/{}.md", kind.name()));
        let [title, .., happened, did, fix] = ["# ", "", "## What happened", "## What shiftwork did", "## What to do"];
        assert!(page.starts_with(&format!("{title}{}\n", kind.name())), "{}: its title", kind.name());
        for heading in [happened, did, fix] {
            assert!(page.contains(heading), "{}: lacks `{heading}`", kind.name());
        }
        assert!(page.contains(&format!("{:?}", kind.class()).to_lowercase()), "{}: lacks its class", kind.name());
    }
}
