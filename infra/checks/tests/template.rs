//! `infra/template.yaml` against what the functions, IAM and the clients of the stack need.

#![allow(clippy::unwrap_used, reason = "a test stops at what does not hold")]

use std::{collections::BTreeSet, sync::LazyLock};

use serde_json::{Value, json};
use shiftwork_infra_checks::{
    Findings, dashboard, missing, policy, sam_template, services, source::Source, template, text,
};
use shiftwork_protocol::{JobRecord, Lease, RunRecord};

static SOURCE: LazyLock<Source> = LazyLock::new(Source::read);

fn findings(template: &Value) -> Findings {
    let mut findings = template::findings(template);
    findings.extend(policy::findings(template, &SOURCE));
    findings.extend(missing::findings(template, &SOURCE));
    findings.extend(dashboard::findings(template));
    findings.extend(services::findings(template));
    findings.extend(missing::undocumented(template, &SOURCE, &text("docs/operating.md"), &text("docs/events.md")));
    findings
}

#[test]
fn the_template_holds() {
    let findings: Vec<_> = findings(&sam_template()).into_iter().collect();
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn each_drift_is_a_finding_that_names_the_place() {
    assert_found(&[
        ("/Outputs/JobAuditTable", Value::Null, "JobAuditTable: add the output JobAuditTable"),
        (
            "/Resources/IteratorLogGroup/Properties/RetentionInDays",
            Value::Null,
            "IteratorLogGroup: never deletes its logs",
        ),
        (
            "/Resources/IteratorFunction/Properties/LoggingConfig",
            Value::Null,
            "IteratorFunction: logs to a group that is not in the template",
        ),
        (
            "/Resources/StatementEndedRule/Properties/Targets/0/DeadLetterConfig",
            Value::Null,
            "StatementEndedRule: a target has no DeadLetterConfig",
        ),
        ("/Resources/MetadataQueuePolicy", Value::Null, "MetadataRule: may not send to"),
        ("/Resources/StatementEndedPermission", Value::Null, "StatementEndedRule: may not call"),
        ("/Resources/TriggerRulesPermission", Value::Null, "shiftwork push: its rules may not call TriggerFunction"),
        (
            "/Resources/EventDeadLetterQueuePolicy/Properties/PolicyDocument/Statement/0/Condition",
            Value::Null,
            "shiftwork push: its rules may not send to EventDeadLetterQueue",
        ),
        (
            "/Resources/TriggerBusRulesPermission/Properties/SourceArn",
            json!("arn:aws:events:eu-central-1:123456789012:rule/*"),
            "shiftwork push: its rules may not call TriggerFunction",
        ),
        (
            "/Resources/AuditUpdaterFunction/Properties/EventInvokeConfig",
            Value::Null,
            "AuditUpdaterFunction: an asynchronous invocation that fails is lost",
        ),
        (
            "/Resources/TriggerFunction/Properties/Events/Requests/Properties/FunctionResponseTypes",
            Value::Null,
            "TriggerFunction.Requests: one bad message",
        ),
        (
            "/Resources/MetadataFixerFunction/Properties/Events/Files/Properties/ScalingConfig",
            Value::Null,
            "MetadataFixerFunction.Files: can take all concurrent executions",
        ),
        (
            "/Resources/RequestQueue/Properties/RedrivePolicy",
            Value::Null,
            "RequestQueue: returns a bad message without end",
        ),
        ("/Resources/RequestQueue/Properties/VisibilityTimeout", json!(30), "RequestQueue: shows a message again"),
        ("/Resources/CdcLoaderFunction/Properties/Timeout", json!(841), "ChangeQueue: shows a message again"),
        (
            "/Resources/KinesisChanges/Properties/ParallelizationFactor",
            json!(10),
            "KinesisChanges: reads a shard in parallel",
        ),
        ("/Resources/DynamoDbChanges/Properties/MaximumRetryAttempts", json!(3), "DynamoDbChanges: drops records"),
        (
            "/Resources/KinesisChanges/Properties/DestinationConfig",
            Value::Null,
            "KinesisChanges: expired records are lost",
        ),
        (
            "/Resources/KafkaChanges/Properties/StartingPosition",
            json!("LATEST"),
            "KafkaChanges: skips what was in the stream",
        ),
        ("/Resources/ConfigTable/Properties/SSESpecification", Value::Null, "ConfigTable: set SSESpecification"),
        ("/Resources/ScriptsBucketPolicy", Value::Null, "ScriptsBucket: accepts requests without TLS"),
        (
            "/Resources/ScriptsBucket/Properties/VersioningConfiguration",
            Value::Null,
            "ScriptsBucket: set VersioningConfiguration",
        ),
        (
            "/Resources/IteratorPolicy/Properties/PolicyDocument/Statement/1/Action",
            json!("dynamodb:*"),
            "IteratorRole: `dynamodb:*` does not name one action",
        ),
        (
            "/Resources/IteratorPolicy/Properties/PolicyDocument/Statement/1/Resource",
            json!("*"),
            "IteratorRole: dynamodb:GetItem is allowed on every resource",
        ),
        (
            "/Resources/IteratorPolicy/Properties/PolicyDocument/Statement/1/Action",
            json!("redshift-data:ExecuteStatement"),
            "IteratorRole: no adapter of iterator calls redshift-data:ExecuteStatement",
        ),
    ]);
}

#[test]
fn each_missing_registration_is_a_finding_that_says_where_to_add_it() {
    assert_found(&[
        ("/Resources/TriggerPolicy", Value::Null, "TriggerPolicy: StepFunctionsTokens calls states:SendTaskFailure"),
        (
            "/Resources/TriggerPolicy/Properties/Roles/0",
            json!({ "Ref": "IteratorRole" }),
            "IteratorRole: what it may do is in `IteratorPolicy`, `TriggerPolicy`",
        ),
        (
            "/Resources/IteratorRole/Properties/Policies",
            json!([{ "PolicyName": "log" }]),
            "IteratorRole: has policies of its own",
        ),
        (
            "/Resources/SweepRole/Properties/Policies/0/PolicyDocument/Statement/0/Action",
            json!("s3:GetObject"),
            "SweepRole: s3:GetObject is not for this role",
        ),
        (
            "/Resources/HelloFunction",
            json!({ "Type": "AWS::Serverless::Function" }),
            "HelloFunction: functions/ has no",
        ),
        ("/Resources/TriggerErrorAlarm", Value::Null, "trigger: has no alarm on Errors: add Trigger to the list"),
        ("/Resources/TriggerLogGroup", Value::Null, "trigger: has no log group: add TriggerLogGroup"),
        ("/Resources/IteratorFunction/DependsOn", Value::Null, "iterator: Lambda may poll its sources before"),
        ("/Outputs/IteratorFunction", Value::Null, "iterator: infra/template.yaml has no output IteratorFunction"),
        (
            "/Resources/MetadataFixerErrorAlarm/Properties/Threshold",
            json!(5),
            "MetadataFixerErrorAlarm: differs from AuditUpdaterErrorAlarm",
        ),
        ("/Resources/FileDeadLetterAlarm", Value::Null, "FileDeadLetterQueue: receives what failed, and has no alarm"),
        (
            "/Resources/NewAlarm",
            json!({ "Type": "AWS::CloudWatch::Alarm" }),
            "NewAlarm: is not on the dashboard: add it to the alarms of Dashboard",
        ),
        (
            "/Resources/NewAlarm",
            json!({ "Type": "AWS::CloudWatch::Alarm" }),
            "docs/operating.md: does not name the alarm `NewAlarm`",
        ),
        (
            "/Resources/Dashboard/Properties/DashboardBody",
            json!({ "Fn::Sub": "{" }),
            "Dashboard: where conditions take branch 1, its body is not valid JSON",
        ),
        (
            "/Resources/IteratorFunction/Properties/Role",
            json!({ "Fn::GetAtt": ["TriggerRole", "Arn"] }),
            "iterator: runs as another role",
        ),
    ]);
}

#[test]
fn what_a_service_refuses_or_loses_is_a_finding() {
    assert_found(&[
        (
            "/Resources/CdcLoaderFunction/Properties/Timeout",
            json!(900),
            "KafkaChanges: Lambda takes functions of at most 840 s for Kafka",
        ),
        (
            "/Resources/CdcLoaderFunction/Properties/Timeout",
            json!(841),
            "SelfManagedKafkaChanges: Lambda takes functions of at most 840 s for Kafka",
        ),
        (
            "/Resources/KafkaChanges/Properties/DestinationConfig",
            json!({ "OnFailure": { "Destination": { "Fn::GetAtt": ["ChangeDeadLetterQueue", "Arn"] } } }),
            "KafkaChanges: with a destination Lambda gives a batch up after 10 retries",
        ),
        ("/Resources/CdcLoaderPolicy", Value::Null, "CdcLoaderRole: Lambda needs kinesis:GetRecords"),
        (
            "/Resources/CdcLoaderPolicy",
            Value::Null,
            "CdcLoaderRole: Lambda needs kafka-cluster:DescribeClusterDynamicConfiguration to read the source of KafkaChanges",
        ),
        (
            "/Resources/CdcLoaderPolicy",
            Value::Null,
            "CdcLoaderRole: Lambda needs ec2:CreateNetworkInterface to read the source of SelfManagedKafkaChanges",
        ),
        (
            "/Resources/WarehouseRole/Properties/AssumeRolePolicyDocument/Statement/0/Condition",
            json!({ "StringEquals": { "aws:SourceAccount": { "Ref": "AWS::AccountId" } } }),
            "WarehouseRole: redshift.amazonaws.com may not meet the condition: expected StringLike on sts:ExternalId",
        ),
        (
            "/Resources/FileEventQueuePolicy/Properties/PolicyDocument/Statement/0/Condition",
            json!({ "StringEquals": { "aws:SourceAccount": { "Ref": "AWS::AccountId" } } }),
            "FileEventQueuePolicy: events.amazonaws.com may not meet the condition: expected ArnLike on aws:SourceArn",
        ),
        (
            "/Resources/FileEventQueuePolicy/Properties/PolicyDocument/Statement/1/Condition",
            Value::Null,
            "FileEventQueuePolicy: sns.amazonaws.com may not meet the condition",
        ),
        (
            "/Resources/SweepRole/Properties/AssumeRolePolicyDocument/Statement/0/Principal/Service",
            json!(["scheduler.amazonaws.com", "events.amazonaws.com"]),
            "SweepRole: lets several services in at once",
        ),
        (
            "/Resources/SweepRole/Properties/AssumeRolePolicyDocument/Statement/0/Principal/Service",
            json!("glue.amazonaws.com"),
            "SweepRole: CONDITIONS does not say under which condition glue.amazonaws.com comes",
        ),
    ]);
}

#[test]
fn what_is_created_too_early_or_under_a_fixed_name_is_a_finding() {
    assert_found(&[
        (
            "/Resources/FileEventRule/DependsOn",
            Value::Null,
            "FileEventRule: may be used before FileEventQueuePolicy exists",
        ),
        (
            "/Resources/StatementEndedRule/DependsOn",
            Value::Null,
            "StatementEndedRule: may be used before EventDeadLetterQueuePolicy exists",
        ),
        (
            "/Resources/FileIntakeFunction/DependsOn",
            Value::Null,
            "FileSchedule: may be used before FileIntakePolicy exists",
        ),
        (
            "/Resources/CdcLoaderFunction/DependsOn",
            Value::Null,
            "KinesisChanges: may be used before CdcLoaderPolicy exists",
        ),
        (
            "/Resources/MigrationEndedDeliveryAlarm",
            Value::Null,
            "MigrationEndedRule: has no alarm on FailedInvocations",
        ),
        (
            "/Resources/ChangeAgeAlarm/Condition",
            Value::Null,
            "ChangeAgeAlarm: the parameter Alarms does not leave it out",
        ),
        (
            "/Resources/ConfigTable/Properties/TableName",
            json!("shiftwork-config"),
            "ConfigTable: TableName is the same in every stack",
        ),
        ("/Parameters/ConfigTableName/Default", json!("config"), "ConfigTable: TableName is the same in every stack"),
        (
            "/Resources/SweepScheduleGroup/Properties/Name",
            json!("sweeps"),
            "SweepScheduleGroup: Name is the same in every stack: use the name of the stack",
        ),
        (
            "/Resources/ScriptsBucket/Properties/BucketName",
            json!({ "Fn::Sub": "${AWS::StackName}-scripts" }),
            "ScriptsBucket: BucketName",
        ),
        (
            "/Resources/SweepRole/Properties/Policies/0/PolicyDocument/Statement/0/Resource",
            json!("arn:aws:lambda:eu-central-1:123456789012:function:a"),
            "Resources.SweepRole.Properties.Policies.PolicyDocument.Statement.Resource: `arn:aws:lambda",
        ),
    ]);
}

/// Each change of the template at a place (null removes what is there) has the finding.
fn assert_found(drifts: &[(&str, Value, &str)]) {
    for (place, value, wanted) in drifts {
        let mut template = sam_template();
        let (parent, name) = place.rsplit_once('/').unwrap();
        let parent = template.pointer_mut(parent).unwrap_or_else(|| panic!("{place}"));
        match value {
            Value::Null => assert!(parent.as_object_mut().unwrap().remove(name).is_some(), "{place}"),
            value => match parent {
                Value::Array(items) => items.push(value.clone()),
                parent => parent[name] = value.clone(),
            },
        }
        let found = findings(&template);
        assert!(found.iter().any(|finding| finding.starts_with(wanted)), "{place} = {value}: {found:#?}");
    }
}

#[test]
fn passing_a_role_names_the_service() {
    let mut template = sam_template();
    let statements = template["Resources"]["TriggerPolicy"]["Properties"]["PolicyDocument"]["Statement"].as_array_mut();
    let lending = statements.unwrap().iter_mut().find(|statement| statement["Action"] == "iam:PassRole").unwrap();
    lending.as_object_mut().unwrap().remove("Condition");
    assert_eq!(
        findings(&template),
        Findings::from(["TriggerRole: may pass a role to any service: add a condition on iam:PassedToService".into()])
    );
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
        ("FileAuditTable", fields(["feed_shard", "entry", "open_since", "open_batch", "received_ts"])),
        ("ConfigTable", fields(["workflow_id"])),
    ] {
        assert_eq!(template::table_fields(&template, table, &fields), Findings::new());
    }
}
