//! `infra/template.yaml` against what the functions, IAM and a stranger's client need.

#![allow(clippy::unwrap_used, reason = "a test stops at what does not hold")]

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shiftwork_infra_checks::{Findings, policy, sam_template, template};
use shiftwork_protocol::{JobRecord, Lease, RunRecord};

fn findings(template: &Value) -> Findings {
    let mut findings = template::findings(template);
    findings.extend(policy::findings(template));
    findings
}

#[test]
fn it_holds() {
    assert_eq!(findings(&sam_template()), Findings::new());
}

#[test]
fn each_drift_is_a_finding_that_names_the_place() {
    let drifts: &[(&str, Value, &str)] = &[
        ("/Outputs/JobAuditTable", Value::Null, "JobAuditTable: no output of this name"),
        (
            "/Resources/IteratorLogGroup/Properties/RetentionInDays",
            Value::Null,
            "IteratorLogGroup: keeps its logs for ever",
        ),
        ("/Resources/IteratorFunction/Properties/LoggingConfig", Value::Null, "IteratorFunction: logs to no group"),
        (
            "/Resources/StatementEndedRule/Properties/Targets/0/DeadLetterConfig",
            Value::Null,
            "StatementEndedRule: a target without",
        ),
        ("/Resources/MetadataQueuePolicy", Value::Null, "MetadataRule: may not send to"),
        ("/Resources/RefreshedPermission", Value::Null, "RefreshedRule: may not call"),
        (
            "/Resources/AuditUpdaterFunction/Properties/EventInvokeConfig",
            Value::Null,
            "AuditUpdaterFunction: is called asynchronously",
        ),
        (
            "/Resources/TriggerFunction/Properties/Events/Requests/Properties/FunctionResponseTypes",
            Value::Null,
            "TriggerFunction.Requests: one bad message",
        ),
        ("/Resources/RequestQueue/Properties/RedrivePolicy", Value::Null, "RequestQueue: gives a bad message back"),
        ("/Resources/RequestQueue/Properties/VisibilityTimeout", json!(30), "RequestQueue: shows a message again"),
        ("/Resources/CdcLoaderFunction/Properties/Timeout", json!(901), "ChangeQueue: shows a message again"),
        (
            "/Resources/KinesisChanges/Properties/ParallelizationFactor",
            json!(10),
            "KinesisChanges: reads a shard with several",
        ),
        ("/Resources/DynamoDbChanges/Properties/MaximumRetryAttempts", json!(3), "DynamoDbChanges: gives records up"),
        ("/Resources/KinesisChanges/Properties/DestinationConfig", Value::Null, "KinesisChanges: forgets records"),
        ("/Resources/KafkaChanges/Properties/StartingPosition", json!("LATEST"), "KafkaChanges: passes over"),
        ("/Resources/ConfigTable/Properties/SSESpecification", Value::Null, "ConfigTable: must be encrypted"),
        ("/Resources/ScriptsBucketPolicy", Value::Null, "ScriptsBucket: takes requests without TLS"),
        (
            "/Resources/ScriptsBucket/Properties/VersioningConfiguration",
            Value::Null,
            "ScriptsBucket: must be versioned",
        ),
        (
            "/Resources/IteratorRole/Properties/Policies/0/PolicyDocument/Statement/1/Action",
            json!("dynamodb:*"),
            "IteratorRole: `dynamodb:*` is no named action",
        ),
        (
            "/Resources/IteratorRole/Properties/Policies/0/PolicyDocument/Statement/1/Resource",
            json!("*"),
            "IteratorRole: dynamodb:GetItem on every resource",
        ),
        (
            "/Resources/IteratorRole/Properties/Policies/0/PolicyDocument/Statement/1/Action",
            json!("redshift-data:ExecuteStatement"),
            "IteratorRole: redshift-data:ExecuteStatement is for `StatementRole` alone",
        ),
        (
            "/Resources/IteratorFunction/Properties/Role",
            json!({ "Fn::GetAtt": ["TriggerRole", "Arn"] }),
            "IteratorFunction: has no role of its own",
        ),
    ];
    for (place, value, wanted) in drifts {
        let mut template = sam_template();
        let (parent, name) = place.rsplit_once('/').unwrap();
        let parent = template.pointer_mut(parent).unwrap_or_else(|| panic!("{place}"));
        match value {
            Value::Null => assert!(parent.as_object_mut().unwrap().remove(name).is_some(), "{place}"),
            value => parent[name] = value.clone(),
        }
        let found = findings(&template);
        assert!(found.iter().any(|finding| finding.starts_with(wanted)), "{place} = {value}: {found:#?}");
    }
}

#[test]
fn lending_a_role_names_the_service() {
    let mut template = sam_template();
    let statements =
        template["Resources"]["TriggerRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"].as_array_mut();
    let lending = statements.unwrap().iter_mut().find(|statement| statement["Action"] == "iam:PassRole").unwrap();
    lending.as_object_mut().unwrap().remove("Condition");
    assert_eq!(findings(&template), Findings::from(["TriggerRole: may lend a role to any service".into()]));
}

/// Keys and indexes name fields that the records really have.
#[test]
fn tables_are_keyed_by_fields_of_their_records() {
    fn fields<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
        names.map(String::from).into()
    }
    // The destructurings make a renamed field a compile error here.
    let of_run = |RunRecord { workflow_execution_id: _, workflow_id: _, created_ts: _, .. }: RunRecord| ();
    let of_job = |JobRecord { workflow_execution_id: _, plan, .. }: JobRecord| plan.job_name;
    let of_lease = |Lease { workflow_id: _, .. }: Lease| ();
    let _ = (of_run, of_job, of_lease);
    let template = sam_template();
    for (table, fields) in [
        ("WorkflowAuditTable", fields(["workflow_execution_id", "workflow_id", "created_ts"])),
        ("JobAuditTable", fields(["workflow_execution_id", "job_name"])),
        ("LeaseTable", fields(["workflow_id"])),
        // The keys are made of the record; the register's own conformance holds them.
        ("FileAuditTable", fields(["feed_shard", "entry", "open_since", "received_ts"])),
        ("ConfigTable", fields(["workflow_id"])),
    ] {
        assert_eq!(template::table_fields(&template, table, &fields), Findings::new());
    }
}
