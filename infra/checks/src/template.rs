//! The template against what the functions and the clients of the stack read.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{Findings, policy, shape::names, source::Function};

/// Types whose every resource is in the outputs, under its own logical ID.
const FOUND_BY_CLIENTS: [&str; 7] = [
    "AWS::DynamoDB::Table",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
    "AWS::SNS::Topic",
    "AWS::Serverless::Function",
    "AWS::Serverless::StateMachine",
    "AWS::Scheduler::ScheduleGroup",
];

/// Types that log, and the place of their log group.
const LOGGED: [(&str, &str); 2] = [
    ("AWS::Serverless::Function", "/Properties/LoggingConfig/LogGroup/Ref"),
    (
        "AWS::Serverless::StateMachine",
        "/Properties/Logging/Destinations/0/CloudWatchLogsLogGroup/LogGroupArn/Fn::GetAtt/0",
    ),
];

/// The resources of a type, with their logical IDs.
pub fn resources<'a>(template: &'a Value, of_type: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let all = template["Resources"].as_object().into_iter().flatten();
    all.filter(move |(_, resource)| resource["Type"] == of_type).map(|(id, resource)| (id.as_str(), resource))
}

/// The key attributes of a table.
pub fn key_attributes(template: &Value, table: &str) -> BTreeSet<String> {
    let schema = template["Resources"][table]["Properties"]["KeySchema"].as_array();
    schema.into_iter().flatten().filter_map(|key| key["AttributeName"].as_str()).map(Into::into).collect()
}

/// Everything but permissions.
pub fn findings(template: &Value) -> Findings {
    let mut findings = Findings::new();
    outputs(template, &mut findings);
    logs(template, &mut findings);
    targets(template, &mut findings);
    rules_of_triggers(template, &mut findings);
    asynchronous(template, &mut findings);
    queues(template, &mut findings);
    storage(template, &mut findings);
    streams(template, &mut findings);
    findings
}

/// The variables of each function against those that its code reads.
pub fn environment(template: &Value, functions: &[Function]) -> Findings {
    let mut findings = Findings::new();
    for function in functions {
        let id = function.resource("Function");
        let variables = template["Resources"][&id]["Properties"]["Environment"]["Variables"].as_object();
        let given: BTreeSet<String> = variables.into_iter().flatten().map(|(name, _)| name.clone()).collect();
        let missing = function
            .variables
            .difference(&given)
            .map(|name| format!("{id}: its code reads {name}: set it in the template"));
        findings.extend(missing);
        let unread = given
            .difference(&function.variables)
            .map(|name| format!("{id}: its code does not read {name}: remove it from the template"));
        findings.extend(unread);
    }
    findings
}

/// The attributes that a table's keys and indexes name, against the fields of its records.
pub fn table_fields(template: &Value, table: &str, fields: &BTreeSet<String>) -> Findings {
    let defined = template["Resources"][table]["Properties"]["AttributeDefinitions"].as_array();
    let attributes = defined.into_iter().flatten().filter_map(|attribute| attribute["AttributeName"].as_str());
    attributes
        .filter(|attribute| !fields.contains(*attribute))
        .map(|attribute| format!("{table}: its records have no field `{attribute}`, only {}", names(fields)))
        .collect()
}

fn outputs(template: &Value, findings: &mut Findings) {
    for of_type in FOUND_BY_CLIENTS {
        for (id, _) in resources(template, of_type).filter(|(id, _)| template["Outputs"][*id]["Value"]["Ref"] != *id) {
            findings.insert(format!("{id}: add the output {id} with `Value: !Ref {id}`"));
        }
    }
}

fn logs(template: &Value, findings: &mut Findings) {
    for (of_type, group) in LOGGED {
        for (id, resource) in resources(template, of_type) {
            let group = resource.pointer(group).and_then(Value::as_str).unwrap_or_default();
            if template["Resources"][group]["Type"] != "AWS::Logs::LogGroup" {
                findings.insert(format!("{id}: logs to a group that is not in the template: name one"));
            }
        }
    }
    for (id, group) in resources(template, "AWS::Logs::LogGroup") {
        if group["Properties"]["RetentionInDays"]["Ref"] != "LogRetentionDays" {
            findings.insert(format!("{id}: never deletes its logs: set RetentionInDays to LogRetentionDays"));
        }
    }
}

/// An event that a rule cannot deliver goes to a queue, and the rule may call its target.
fn targets(template: &Value, findings: &mut Findings) {
    for (id, rule) in resources(template, "AWS::Events::Rule") {
        for target in rule["Properties"]["Targets"].as_array().into_iter().flatten() {
            if !is_queue(template, &target["DeadLetterConfig"]["Arn"]) || target["RetryPolicy"].is_null() {
                findings.insert(format!("{id}: a target has no DeadLetterConfig or no RetryPolicy: add both"));
            }
            if is_queue(template, &target["Arn"]) {
                queue_target(template, id, &target["Arn"]["Fn::GetAtt"][0], findings);
                continue;
            }
            let function = &target["Arn"]["Fn::GetAtt"][0];
            let allowed = resources(template, "AWS::Lambda::Permission").any(|(_, permission)| {
                let permission = &permission["Properties"];
                permission["FunctionName"]["Ref"] == *function && permission["SourceArn"]["Fn::GetAtt"][0] == id
            });
            if !allowed {
                findings.insert(format!(
                    "{id}: may not call {function}: add an AWS::Lambda::Permission with SourceArn !GetAtt {id}.Arn"
                ));
            }
        }
    }
}

/// The rules that `shiftwork push` creates are not in the template. On each bus they may call trigger, and they may send what they
/// cannot deliver to the queue.
fn rules_of_triggers(template: &Value, findings: &mut Findings) {
    const RULES: &str = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/";
    for of_bus in ["${AWS::StackName}.*", "${EventBusName}/${AWS::StackName}.*"] {
        let arn = json!({ "Fn::Sub": format!("{RULES}{of_bus}") });
        let may_call = resources(template, "AWS::Lambda::Permission").any(|(_, permission)| {
            permission["Properties"]["FunctionName"]["Ref"] == "TriggerFunction"
                && permission["Properties"]["SourceArn"] == arn
        });
        if !may_call {
            findings.insert(format!(
                "shiftwork push: its rules may not call TriggerFunction: add an AWS::Lambda::Permission with SourceArn {arn}"
            ));
        }
    }
    let policy = &template["Resources"]["EventDeadLetterQueuePolicy"]["Properties"]["PolicyDocument"]["Statement"];
    let every_rule = json!({ "Fn::Sub": format!("{RULES}*") });
    let may_send = policy.as_array().into_iter().flatten().any(|statement| {
        statement["Action"] == "sqs:SendMessage" && statement["Condition"]["ArnLike"]["aws:SourceArn"] == every_rule
    });
    if !may_send {
        findings.insert(format!(
            "shiftwork push: its rules may not send to EventDeadLetterQueue: allow aws:SourceArn {every_rule} in EventDeadLetterQueuePolicy"
        ));
    }
}

/// The policy of a queue has to allow EventBridge to send to it.
fn queue_target(template: &Value, rule: &str, queue: &Value, findings: &mut Findings) {
    let allowed = resources(template, "AWS::SQS::QueuePolicy").any(|(_, policy)| {
        let policy = &policy["Properties"];
        let statements = policy["PolicyDocument"]["Statement"].as_array();
        let lets_in = |statement: &Value| statement["Principal"]["Service"] == "events.amazonaws.com";
        policy["Queues"][0]["Ref"] == *queue && statements.into_iter().flatten().any(lets_in)
    });
    if !allowed {
        findings
            .insert(format!("{rule}: may not send to {queue}: allow events.amazonaws.com in a policy of the queue"));
    }
}

/// A function that a rule or a schedule calls asynchronously keeps the events that it fails on. The exception is a function that only
/// a schedule calls and that does not retry: its next invocation does the same work, and a message that is kept for 14 days would say
/// nothing.
fn asynchronous(template: &Value, findings: &mut Findings) {
    let mut called = BTreeSet::new();
    for (_, permission) in resources(template, "AWS::Lambda::Permission") {
        called.extend(permission["Properties"]["FunctionName"]["Ref"].as_str());
    }
    let by_rule = called.clone();
    let invoked = called_by_scheduler(template);
    called.extend(invoked.iter().map(String::as_str));
    for function in called {
        let invocation = &template["Resources"][function]["Properties"]["EventInvokeConfig"];
        if !by_rule.contains(function) && is_repeated(invocation) {
            continue;
        }
        if !is_queue(template, &invocation["DestinationConfig"]["OnFailure"]["Destination"]) {
            findings.insert(format!(
                "{function}: an asynchronous invocation that fails is lost: set DestinationConfig.OnFailure"
            ));
        }
    }
}

/// True for the configuration of asynchronous invocations that a schedule repeats within a minute.
fn is_repeated(invocation: &Value) -> bool {
    invocation["MaximumRetryAttempts"] == 0
        && invocation["MaximumEventAgeInSeconds"] == 60
        && invocation["DestinationConfig"].is_null()
}

/// The functions that roles of EventBridge Scheduler may invoke, by logical ID.
fn called_by_scheduler(template: &Value) -> BTreeSet<String> {
    let mut called = BTreeSet::new();
    for (role, statements) in policy::grants(template) {
        let trust = &template["Resources"][role]["Properties"]["AssumeRolePolicyDocument"]["Statement"][0];
        let invoking = statements.iter().filter(|statement| statement["Action"] == "lambda:InvokeFunction");
        for statement in invoking.filter(|_| trust["Principal"]["Service"] == "scheduler.amazonaws.com") {
            let resource = &statement["Resource"];
            called.extend(resource["Fn::GetAtt"][0].as_str().map(String::from));
            // An ARN by name, where a reference would be circular.
            let named = resource["Fn::Sub"].as_str().and_then(|arn| arn.rsplit_once(":function:"));
            let by_name = |(_, name): (&str, &str)| {
                let name = json!({ "Fn::Sub": name });
                resources(template, "AWS::Serverless::Function")
                    .find(|(_, function)| function["Properties"]["FunctionName"] == name)
                    .map(|(id, _)| id.to_owned())
            };
            called.extend(named.and_then(by_name));
        }
    }
    called
}

fn queues(template: &Value, findings: &mut Findings) {
    for (function, resource) in resources(template, "AWS::Serverless::Function") {
        for (id, event) in resource["Properties"]["Events"].as_object().into_iter().flatten() {
            let queue = event["Properties"]["Queue"]["Fn::GetAtt"][0].as_str().unwrap_or_default();
            if event["Properties"]["FunctionResponseTypes"][0] != "ReportBatchItemFailures" {
                findings.insert(format!("{function}.{id}: one bad message fails the whole batch: set FunctionResponseTypes to ReportBatchItemFailures"));
            }
            if event["Properties"]["ScalingConfig"]["MaximumConcurrency"].is_null() {
                findings.insert(format!("{function}.{id}: can take all concurrent executions of the account: set ScalingConfig.MaximumConcurrency"));
            }
            let redrive = &template["Resources"][queue]["Properties"]["RedrivePolicy"]["deadLetterTargetArn"];
            if !is_queue(template, redrive) {
                findings.insert(format!("{queue}: returns a bad message without end: set a RedrivePolicy"));
            }
            let seconds = |value: &Value| value.as_u64().unwrap_or_default();
            let own = &resource["Properties"]["Timeout"];
            let timeout = seconds(if own.is_null() { &template["Globals"]["Function"]["Timeout"] } else { own });
            if seconds(&template["Resources"][queue]["Properties"]["VisibilityTimeout"]) < 6 * timeout {
                findings.insert(format!("{queue}: shows a message again while the function still has it: set VisibilityTimeout to at least six times the timeout of {function}"));
            }
        }
    }
}

/// The records of a stream arrive in their order, one batch of a shard after the other, and none is dropped silently.
fn streams(template: &Value, findings: &mut Findings) {
    for (id, mapping) in resources(template, "AWS::Lambda::EventSourceMapping") {
        let mapping = &mapping["Properties"];
        if mapping["StartingPosition"] != "TRIM_HORIZON" {
            findings
                .insert(format!("{id}: skips what was in the stream before it: set StartingPosition to TRIM_HORIZON"));
        }
        // A mapping of Kafka is for `services`: a partition has one consumer, which retries a batch until it succeeds.
        if !mapping["Topics"].is_null() {
            continue;
        }
        if mapping["ParallelizationFactor"] != 1 {
            findings.insert(format!(
                "{id}: reads a shard in parallel, so files are not staged in its order: set ParallelizationFactor to 1"
            ));
        }
        if mapping["MaximumRetryAttempts"] != -1 || mapping["MaximumRecordAgeInSeconds"] != -1 {
            findings.insert(format!(
                "{id}: drops records while AWS fails: set MaximumRetryAttempts and MaximumRecordAgeInSeconds to -1"
            ));
        }
        if !is_queue(template, &mapping["DestinationConfig"]["OnFailure"]["Destination"]) {
            findings.insert(format!("{id}: expired records are lost: set DestinationConfig.OnFailure"));
        }
    }
}

fn storage(template: &Value, findings: &mut Findings) {
    for (id, table) in resources(template, "AWS::DynamoDB::Table") {
        let table = &table["Properties"];
        if table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] != true
            || table["SSESpecification"]["SSEEnabled"] != true
            || table["BillingMode"] != "PAY_PER_REQUEST"
        {
            findings.insert(format!(
                "{id}: set SSESpecification, PointInTimeRecoverySpecification and BillingMode PAY_PER_REQUEST"
            ));
        }
    }
    for (id, bucket) in resources(template, "AWS::S3::Bucket") {
        let public = bucket["Properties"]["PublicAccessBlockConfiguration"].as_object();
        let closed = public.is_some_and(|blocks| blocks.len() == 4 && blocks.values().all(|block| *block == true));
        let versioned = bucket["Properties"]["VersioningConfiguration"]["Status"] == "Enabled";
        if !closed || !versioned || bucket["Properties"]["BucketEncryption"].is_null() {
            findings.insert(format!(
                "{id}: set VersioningConfiguration, BucketEncryption and all of PublicAccessBlockConfiguration"
            ));
        }
        let tls_only = resources(template, "AWS::S3::BucketPolicy").any(|(_, policy)| {
            let statement = &policy["Properties"]["PolicyDocument"]["Statement"][0];
            policy["Properties"]["Bucket"]["Ref"] == id
                && statement["Effect"] == "Deny"
                && statement["Condition"]["Bool"]["aws:SecureTransport"] == "false"
        });
        if !tls_only {
            findings.insert(format!("{id}: accepts requests without TLS: deny them in a bucket policy"));
        }
    }
}

/// True where an ARN is that of a queue of the template.
pub fn is_queue(template: &Value, arn: &Value) -> bool {
    let id = arn["Fn::GetAtt"][0].as_str().unwrap_or_default();
    template["Resources"][id]["Type"] == "AWS::SQS::Queue"
}
