//! What AWS services require of the template, and say in their documentation only: conditions that a service can meet, the order
//! in which resources are created, event source mappings, alarms on rules, names, partitions.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    Findings, policy,
    template::{is_queue, resources},
};

/// The condition under which a service may take a role or send to a queue. A key that the service does not send denies every request.
struct Documented {
    /// Type of the resource with the policy.
    of_type: &'static str,
    service: &'static str,
    /// Operator and key; `None` if the statement has no condition.
    condition: Option<(&'static str, &'static str)>,
    /// Where AWS documents that the service sends the key.
    source: &'static str,
}

const SOURCE_ACCOUNT: Option<(&str, &str)> = Some(("StringEquals", "aws:SourceAccount"));
const SOURCE_ARN: Option<(&str, &str)> = Some(("ArnLike", "aws:SourceArn"));
const DATABASE_USER: Option<(&str, &str)> = Some(("StringLike", "sts:ExternalId"));

const CONDITIONS: [Documented; 8] = [
    Documented {
        of_type: "AWS::IAM::Role",
        service: "lambda.amazonaws.com",
        condition: None,
        source: "Lambda Developer Guide, execution role",
    },
    Documented {
        of_type: "AWS::IAM::Role",
        service: "scheduler.amazonaws.com",
        condition: SOURCE_ACCOUNT,
        source: "EventBridge Scheduler User Guide, confused deputy prevention",
    },
    Documented {
        of_type: "AWS::IAM::Role",
        service: "states.amazonaws.com",
        condition: SOURCE_ACCOUNT,
        source: "Step Functions Developer Guide, cross-service confused deputy prevention",
    },
    Documented {
        of_type: "AWS::IAM::Role",
        service: "redshift.amazonaws.com",
        condition: DATABASE_USER,
        source: "Redshift Management Guide, restricting access to IAM roles",
    },
    Documented {
        of_type: "AWS::IAM::Role",
        service: "redshift-serverless.amazonaws.com",
        condition: DATABASE_USER,
        source: "Redshift Management Guide, restricting access to IAM roles",
    },
    Documented {
        of_type: "AWS::SQS::QueuePolicy",
        service: "events.amazonaws.com",
        condition: SOURCE_ARN,
        source: "EventBridge User Guide, resource-based policies, Amazon SQS permissions",
    },
    Documented {
        of_type: "AWS::SQS::QueuePolicy",
        service: "sns.amazonaws.com",
        condition: SOURCE_ARN,
        source: "SNS Developer Guide, subscribing an Amazon SQS queue to a topic",
    },
    Documented {
        of_type: "AWS::SQS::QueuePolicy",
        service: "s3.amazonaws.com",
        condition: SOURCE_ACCOUNT,
        source: "S3 User Guide, granting permissions to publish event notification messages",
    },
];

/// Longest timeout in seconds of a function that reads from Kafka (Lambda Developer Guide, configuring MSK event sources).
const LONGEST_WITH_KAFKA: u64 = 840;

/// Actions that Lambda needs in a function's role to read an event source, by the service in the source's ARN.
const READS: [(&str, &[&str]); 3] = [
    (
        ":kinesis:",
        &[
            "kinesis:DescribeStream",
            "kinesis:DescribeStreamSummary",
            "kinesis:GetRecords",
            "kinesis:GetShardIterator",
            "kinesis:ListShards",
        ],
    ),
    (
        ":dynamodb:",
        &["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"],
    ),
    (
        ":kafka:",
        &[
            "ec2:CreateNetworkInterface",
            "ec2:DeleteNetworkInterface",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcs",
            "kafka:DescribeClusterV2",
            "kafka:GetBootstrapBrokers",
            "kafka-cluster:AlterGroup",
            "kafka-cluster:Connect",
            "kafka-cluster:DescribeClusterDynamicConfiguration",
            "kafka-cluster:DescribeGroup",
            "kafka-cluster:DescribeTopic",
            "kafka-cluster:ReadData",
        ],
    ),
];

/// Actions that Lambda needs to reach brokers in a VPC with credentials from Secrets Manager.
const REACHES: [&str; 7] = [
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "secretsmanager:GetSecretValue",
];

/// Properties that name a resource.
const NAMES: [(&str, &str); 9] = [
    ("AWS::CloudWatch::Dashboard", "DashboardName"),
    ("AWS::DynamoDB::Table", "TableName"),
    ("AWS::IAM::Role", "RoleName"),
    ("AWS::Logs::LogGroup", "LogGroupName"),
    ("AWS::S3::Bucket", "BucketName"),
    ("AWS::SQS::Queue", "QueueName"),
    ("AWS::Scheduler::ScheduleGroup", "Name"),
    ("AWS::Serverless::Function", "FunctionName"),
    ("AWS::Serverless::StateMachine", "Name"),
];

/// Everything of the template that a service would refuse or lose.
pub fn findings(template: &Value) -> Findings {
    let mut findings = Findings::new();
    conditions(template, &mut findings);
    order(template, &mut findings);
    mappings(template, &mut findings);
    deliveries(template, &mut findings);
    alarms(template, &mut findings);
    named(template, &mut findings);
    partitions(&template["Resources"], "Resources", &mut findings);
    findings
}

/// Each statement lets one service in, under the condition that the service is documented to meet.
fn conditions(template: &Value, findings: &mut Findings) {
    for (of_type, document) in [
        ("AWS::IAM::Role", "/Properties/AssumeRolePolicyDocument/Statement"),
        ("AWS::SQS::QueuePolicy", "/Properties/PolicyDocument/Statement"),
    ] {
        for (id, resource) in resources(template, of_type) {
            for statement in resource.pointer(document).and_then(Value::as_array).into_iter().flatten() {
                let service = &statement["Principal"]["Service"];
                if service.is_array() {
                    findings.insert(format!("{id}: lets several services in at once: write one statement a service"));
                }
                let Some(service) = service.as_str() else { continue };
                let documented =
                    CONDITIONS.iter().find(|documented| documented.of_type == of_type && documented.service == service);
                let Some(Documented { condition, source, .. }) = documented else {
                    findings.insert(format!(
                        "{id}: CONDITIONS does not say under which condition {service} comes: add it, with its source"
                    ));
                    continue;
                };
                let given: Vec<_> = statement["Condition"].as_object().into_iter().flatten().collect();
                let meets = match condition {
                    None => given.is_empty(),
                    Some((operator, key)) => {
                        given.len() == 1 && given[0].0 == operator && given[0].1[key] != Value::Null
                    }
                };
                if !meets {
                    let expected =
                        condition.map_or("no condition".into(), |(operator, key)| format!("{operator} on {key}"));
                    findings
                        .insert(format!("{id}: {service} may not meet the condition: expected {expected} ({source})"));
                }
            }
        }
    }
}

/// A resource that a service uses at once waits for the policies of its role and of its queues.
fn order(template: &Value, findings: &mut Findings) {
    for of_type in ["AWS::Events::Rule", "AWS::Scheduler::Schedule", "AWS::Lambda::EventSourceMapping"] {
        for (id, resource) in resources(template, of_type) {
            let before = everything_before(template, id);
            for policy in policies_of(template, &needs(template, resource)) {
                if !before.contains(policy) {
                    findings.insert(format!("{id}: may be used before {policy} exists: add {policy} to its DependsOn"));
                }
            }
        }
    }
}

/// The roles and queues with which a rule, a schedule or a mapping works: its own, and the role of the function that it invokes.
fn needs<'a>(template: &'a Value, resource: &'a Value) -> BTreeSet<&'a str> {
    let properties = &resource["Properties"];
    let mut needs = BTreeSet::new();
    let mut functions: BTreeSet<&str> = properties["FunctionName"]["Ref"].as_str().into_iter().collect();
    let targets = properties["Targets"].as_array().into_iter().flatten().chain([&properties["Target"]]);
    for target in targets {
        functions.extend(target["Arn"]["Fn::GetAtt"][0].as_str());
        needs.extend(target["RoleArn"]["Fn::GetAtt"][0].as_str());
        // A schedule sends to its dead-letter queue with its role, a rule by the policy of the queue.
        let dead_letters = &target["DeadLetterConfig"]["Arn"];
        let queues = [&target["Arn"], dead_letters].into_iter().filter(|arn| is_queue(template, arn));
        if target["RoleArn"].is_null() {
            needs.extend(queues.filter_map(|arn| arn["Fn::GetAtt"][0].as_str()));
        }
    }
    for function in functions {
        needs.extend(template["Resources"][function]["Properties"]["Role"]["Fn::GetAtt"][0].as_str());
    }
    needs
}

/// The policies of these roles and queues that are resources of their own.
fn policies_of<'a>(template: &'a Value, subjects: &BTreeSet<&str>) -> BTreeSet<&'a str> {
    let of = |of_type, property: &'static str| {
        resources(template, of_type).filter(move |(_, policy)| {
            let of = policy["Properties"][property].as_array().into_iter().flatten();
            of.filter_map(|subject| subject["Ref"].as_str()).any(|subject| subjects.contains(subject))
        })
    };
    of("AWS::IAM::Policy", "Roles").chain(of("AWS::SQS::QueuePolicy", "Queues")).map(|(id, _)| id).collect()
}

/// The resources that CloudFormation creates before another one: those that it refers to, directly or not.
fn everything_before(template: &Value, id: &str) -> BTreeSet<String> {
    let mut before = BTreeSet::new();
    let mut open = vec![id.to_owned()];
    while let Some(next) = open.pop() {
        let resource = &template["Resources"][&next];
        let mut referred = BTreeSet::new();
        references(&resource["Properties"], &mut referred);
        match &resource["DependsOn"] {
            Value::Array(ids) => referred.extend(ids.iter().filter_map(Value::as_str).map(String::from)),
            one => referred.extend(one.as_str().map(String::from)),
        }
        for id in referred {
            if template["Resources"][&id].is_object() && before.insert(id.clone()) {
                open.push(id);
            }
        }
    }
    before
}

/// The logical IDs in `Ref`, `Fn::GetAtt` and `Fn::Sub`, anywhere in a value.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            found.extend(value["Ref"].as_str().map(String::from));
            found.extend(value["Fn::GetAtt"][0].as_str().map(String::from));
            let text = value["Fn::Sub"].as_str().or(value["Fn::Sub"][0].as_str()).unwrap_or_default();
            for variable in text.split("${").skip(1).filter_map(|rest| rest.split('}').next()) {
                found.insert(variable.split('.').next().unwrap_or_default().to_owned());
            }
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Event source mappings: Lambda may read their source, and those of Kafka keep to what Lambda takes for Kafka.
fn mappings(template: &Value, findings: &mut Findings) {
    let grants = policy::grants(template);
    for (id, mapping) in resources(template, "AWS::Lambda::EventSourceMapping") {
        let mapping = &mapping["Properties"];
        let function = mapping["FunctionName"]["Ref"].as_str().unwrap_or_default();
        let properties = &template["Resources"][function]["Properties"];
        let role = properties["Role"]["Fn::GetAtt"][0].as_str().unwrap_or_default();
        let statements = grants.get(role).map(Vec::as_slice).unwrap_or_default();
        let allowed: BTreeSet<&str> = statements.iter().flat_map(|statement| policy::actions(statement)).collect();
        let source = mapping["EventSourceArn"]["Ref"].as_str().unwrap_or_default();
        let pattern = template["Parameters"][source]["AllowedPattern"].as_str().unwrap_or_default();
        let needed = match READS.iter().find(|(service, _)| pattern.contains(service)) {
            Some((_, actions)) => *actions,
            None if mapping["SelfManagedEventSource"].is_object() => &REACHES,
            None => {
                findings.insert(format!("{id}: READS does not say what Lambda needs to read {source}: add it"));
                continue;
            }
        };
        for action in needed.iter().filter(|action| !allowed.contains(*action)) {
            findings.insert(format!("{role}: Lambda needs {action} to read the source of {id}: allow it"));
        }
        if mapping["Topics"].is_null() {
            continue;
        }
        let timeout = properties["Timeout"].as_u64().or(template["Globals"]["Function"]["Timeout"].as_u64());
        if timeout.is_none_or(|timeout| timeout > LONGEST_WITH_KAFKA) {
            findings.insert(format!(
                "{id}: Lambda takes functions of at most {LONGEST_WITH_KAFKA} s for Kafka: set Timeout of {function} to that or less"
            ));
        }
        if !mapping["DestinationConfig"].is_null() {
            findings.insert(format!(
                "{id}: with a destination Lambda gives a batch up after 10 retries, and the watermark passes it: remove DestinationConfig"
            ));
        }
    }
}

/// Each rule has an alarm on the events that EventBridge lost.
fn deliveries(template: &Value, findings: &mut Findings) {
    for (id, _) in resources(template, "AWS::Events::Rule") {
        let watched = resources(template, "AWS::CloudWatch::Alarm").any(|(_, alarm)| {
            let mut of = BTreeSet::new();
            references(&alarm["Properties"]["Dimensions"], &mut of);
            alarm["Properties"]["MetricName"] == "FailedInvocations" && of.contains(id)
        });
        if !watched {
            findings.insert(format!("{id}: has no alarm on FailedInvocations: add one, or add it to the loop Rules"));
        }
    }
}

/// The parameter `Alarms` leaves out every alarm.
fn alarms(template: &Value, findings: &mut Findings) {
    for (id, alarm) in resources(template, "AWS::CloudWatch::Alarm") {
        let condition = alarm["Condition"].as_str().unwrap_or_default();
        let parts = template["Conditions"][condition]["Fn::And"].as_array();
        let switched =
            condition == "HasAlarms" || parts.into_iter().flatten().any(|part| part["Condition"] == "HasAlarms");
        if !switched {
            findings.insert(format!(
                "{id}: the parameter Alarms does not leave it out: make its condition HasAlarms, or an And with it"
            ));
        }
    }
}

/// A name is made from the name of the stack, or by CloudFormation unless a parameter has one: two stacks of an account, and a stack
/// that is deployed again after it was deleted, then have names of their own. A resource that outlives its stack is of the second kind.
fn named(template: &Value, findings: &mut Findings) {
    for (of_type, property) in NAMES {
        for (id, resource) in resources(template, of_type) {
            let name = &resource["Properties"][property];
            let retained = resource["DeletionPolicy"].as_str().is_some_and(|policy| policy.starts_with("Retain"));
            let mut referred = BTreeSet::new();
            references(name, &mut referred);
            let by_parameter =
                referred.iter().all(|id| template["Parameters"][id]["Default"] == "" || id.starts_with("AWS::"));
            let last = &name["Fn::If"][2];
            let generated = name.is_null() || (by_parameter && last["Ref"] == "AWS::NoValue");
            let by_stack = referred.contains("AWS::StackName") && by_parameter;
            if !generated && (retained || !by_stack) {
                let expected = if retained {
                    "leave it to CloudFormation unless a parameter has a name"
                } else {
                    "use the name of the stack"
                };
                findings.insert(format!("{id}: {property} is the same in every stack: {expected}"));
            }
        }
    }
}

/// ARNs have the partition of the deployment: aws, aws-us-gov or another one.
fn partitions(value: &Value, place: &str, findings: &mut Findings) {
    match value {
        Value::String(text) if text.contains("arn:aws") => {
            findings.insert(format!("{place}: `{text}` is of one partition: write ${{AWS::Partition}} in its place"));
        }
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| partitions(value, &format!("{place}.{name}"), findings));
        }
        Value::Array(items) => items.iter().for_each(|value| partitions(value, place, findings)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The number of alarms of a stack with the default parameters.
pub fn default_alarms(template: &Value) -> usize {
    let by_default =
        |(_, alarm): &(&str, &Value)| matches!(alarm["Condition"].as_str(), Some("HasAlarms" | "HasEventSourceAlarms"));
    resources(template, "AWS::CloudWatch::Alarm").filter(by_default).count()
}

/// The number of queues that Lambda polls in a stack with the default parameters.
pub fn polled_queues(template: &Value) -> usize {
    let functions =
        resources(template, "AWS::Serverless::Function").filter(|(_, function)| function["Condition"].is_null());
    functions
        .flat_map(|(_, function)| function["Properties"]["Events"].as_object().into_iter().flatten())
        .filter(|(_, event)| event["Type"] == "SQS")
        .count()
}
