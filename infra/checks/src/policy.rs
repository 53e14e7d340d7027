//! Permissions: named actions on named resources, and each function may do what its code does.
//!
//! The role of a function has one policy, and its actions are held against the operations that the function's adapters call
//! ([`crate::source`]): an operation that the policy does not allow is a finding, and so is an action that no operation needs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    Findings,
    shape::names,
    source::{Function, Source},
    template::{self, resources},
};

/// Actions for which the only resource is `*`, by where AWS says so.
const WITHOUT_RESOURCE: [(&str, &[&str]); 6] = [
    (
        "Service Authorization Reference, AWS Step Functions: a task token is not a resource",
        &["states:SendTaskSuccess", "states:SendTaskFailure"],
    ),
    (
        "Service Authorization Reference, Amazon Redshift Data API",
        &[
            "redshift-data:DescribeStatement",
            "redshift-data:GetStatementResult",
            "redshift-data:ListStatements",
            "redshift-data:CancelStatement",
        ],
    ),
    ("Service Authorization Reference, Amazon DynamoDB", &["dynamodb:ListStreams"]),
    ("Service Authorization Reference, Amazon Managed Streaming for Apache Kafka", &["kafka:GetBootstrapBrokers"]),
    (
        "Lambda Developer Guide, execution role permissions for Amazon MSK",
        &[
            "ec2:CreateNetworkInterface",
            "ec2:DeleteNetworkInterface",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcs",
        ],
    ),
    (
        "Step Functions Developer Guide, IAM policies for logging to CloudWatch Logs",
        &[
            "logs:CreateLogDelivery",
            "logs:GetLogDelivery",
            "logs:UpdateLogDelivery",
            "logs:DeleteLogDelivery",
            "logs:ListLogDeliveries",
            "logs:PutResourcePolicy",
            "logs:DescribeResourcePolicies",
            "logs:DescribeLogGroups",
        ],
    ),
];

/// What a role that an AWS service takes may do, by the service, and by the beginning of an action: what a service does for
/// us is in no source of ours.
const SERVICES: [(&str, &[&str]); 3] = [
    ("scheduler.amazonaws.com", &["lambda:InvokeFunction", "sqs:SendMessage"]),
    ("states.amazonaws.com", &["dynamodb:UpdateItem", "lambda:InvokeFunction", "logs:"]),
    ("redshift.amazonaws.com", &["kms:Decrypt", "s3:GetObject", "s3:ListBucket"]),
];

/// What [`STATEMENT_ROLE`] may do beside the operations that the adapters call: log in.
const LOG_IN: [&str; 4] = ["kms:Decrypt", "redshift:", "redshift-serverless:", "secretsmanager:"];

/// The role that functions take for the Data API, which lets only the submitter of a statement describe or cancel it.
const STATEMENT_ROLE: &str = "StatementRole";

/// Operations that an action of another name allows; where there are several, any of them.
const ALLOWED_BY: [(&str, &[&str]); 7] = [
    (
        "dynamodb:TransactWriteItems",
        &["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"],
    ),
    ("s3:DeleteObjects", &["s3:DeleteObject"]),
    ("s3:GetObject", &["s3:GetObject", "s3:GetObjectVersion"]),
    ("s3:HeadObject", &["s3:GetObject"]),
    ("s3:ListObjectsV2", &["s3:ListBucket"]),
    ("scheduler:CreateSchedule", &["scheduler:CreateSchedule", "iam:PassRole"]),
    ("sqs:SendMessageBatch", &["sqs:SendMessage"]),
];

/// Operations that an adapter calls and these functions never ask it for, so that their policies do not allow them; and why.
const NEVER_CALLED: [(&str, &[&str], &str); 4] = [
    ("dynamodb:PutItem", &["schema-watcher"], "it reads connections; `shiftwork push` writes them"),
    ("dynamodb:TransactWriteItems", &["schema-watcher"], "it reads connections; `shiftwork push` writes workflows"),
    (
        "scheduler:CreateSchedule",
        &["audit-updater", "job-callback"],
        "the trigger makes the sweep of a run before the run starts",
    ),
    ("sns:Publish", &["job-launcher"], "it ends no run, and only the end of a run is an alert"),
];

/// Actions that Lambda needs in a function's role to read an event source, by the type of the source.
const POLLED: [(&str, &[&str]); 2] = [
    ("AWS::SQS::Queue", &["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]),
    (
        "AWS::Lambda::EventSourceMapping",
        &[
            "dynamodb:DescribeStream",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
            "dynamodb:ListStreams",
            "ec2:",
            "kafka:",
            "kafka-cluster:",
            "kinesis:",
            "secretsmanager:GetSecretValue",
        ],
    ),
];

/// Everything that a role may do, by role: its statements, those of policies beside it included, and the branches of
/// conditions.
pub fn grants(template: &Value) -> BTreeMap<&str, Vec<&Value>> {
    let mut grants: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for (role, resource) in resources(template, "AWS::IAM::Role") {
        for policy in resource["Properties"]["Policies"].as_array().into_iter().flatten() {
            grants.entry(role).or_default().extend(statements(&policy["PolicyDocument"]));
        }
    }
    for (_, policy) in resources(template, "AWS::IAM::Policy") {
        for role in roles_of(policy) {
            grants.entry(role).or_default().extend(statements(&policy["Properties"]["PolicyDocument"]));
        }
    }
    grants
}

/// The actions of a statement.
pub fn actions(statement: &Value) -> Vec<&str> {
    match &statement["Action"] {
        Value::Array(actions) => actions.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

/// What is wrong with the permissions of the template.
pub fn findings(template: &Value, source: &Source) -> Findings {
    let mut findings = Findings::new();
    let grants = grants(template);
    named(&grants, &mut findings);
    let statements = |role: &str| grants.get(role).map(Vec::as_slice).unwrap_or_default();
    for function in &source.functions {
        one_policy(template, function, &mut findings);
        wired(template, source, function, statements(&function.resource("Role")), &mut findings);
    }
    for (role, _) in resources(template, "AWS::IAM::Role") {
        if !source.functions.iter().any(|function| function.resource("Role") == role) {
            service_role(template, role, statements(role), source, &mut findings);
        }
    }
    for (operation, functions, _) in NEVER_CALLED {
        for function in source.functions.iter().filter(|function| functions.contains(&function.name.as_str())) {
            if !source.operations(function).iter().any(|(_, called)| *called == operation) {
                let name = &function.name;
                findings.insert(format!("{name}: none of its adapters calls {operation}: remove it from NEVER_CALLED"));
            }
        }
    }
    findings
}

/// Every action by its name, on named resources where AWS knows one.
fn named(grants: &BTreeMap<&str, Vec<&Value>>, findings: &mut Findings) {
    let without_resource: BTreeSet<&str> = WITHOUT_RESOURCE.iter().flat_map(|(_, actions)| *actions).copied().collect();
    let mut on_all = BTreeSet::new();
    for (role, statements) in grants {
        for statement in statements {
            for action in actions(statement) {
                if action.contains('*') {
                    findings.insert(format!("{role}: `{action}` does not name one action"));
                } else if names_everything(statement)
                    && !without_resource.contains(action)
                    && !continues_sessions(statement)
                {
                    findings.insert(format!("{role}: {action} is allowed on every resource: name the resources"));
                }
                let passed_to = &statement["Condition"]["StringEquals"]["iam:PassedToService"];
                if action == "iam:PassRole" && !passed_to.is_string() {
                    findings.insert(format!(
                        "{role}: may pass a role to any service: add a condition on iam:PassedToService"
                    ));
                }
                if names_everything(statement) {
                    on_all.insert(action);
                }
            }
        }
    }
    for action in without_resource.difference(&on_all) {
        findings.insert(format!("{action}: no role has it: remove it from WITHOUT_RESOURCE"));
    }
}

/// What one function may do stands in one policy, beside it.
fn one_policy(template: &Value, function: &Function, findings: &mut Findings) {
    let (role, policy) = (function.resource("Role"), function.resource("Policy"));
    let mut attached: Vec<&str> = resources(template, "AWS::IAM::Policy")
        .filter(|(_, policy)| roles_of(policy).any(|of| of == role))
        .map(|(id, _)| id)
        .collect();
    attached.sort_unstable();
    let own = &template["Resources"][&policy];
    if attached != [policy.as_str()] || roles_of(own).count() != 1 {
        findings.insert(format!(
            "{role}: what it may do is in {}: move it to {policy}, and let {policy} be of this role alone",
            names(attached)
        ));
    }
    let inline = &template["Resources"][&role]["Properties"];
    if !inline["Policies"].is_null() || !inline["ManagedPolicyArns"].is_null() {
        findings.insert(format!("{role}: has policies of its own: move them to {policy}"));
    }
}

/// The actions of a function's role against what its adapters and its event sources need.
fn wired(template: &Value, source: &Source, function: &Function, statements: &[&Value], findings: &mut Findings) {
    let (role, policy, name) = (function.resource("Role"), function.resource("Policy"), &function.name);
    let allowed: BTreeSet<&str> = statements.iter().flat_map(|statement| actions(statement)).collect();
    let mut needed = polled(template, function);
    for (adapter, operation) in source.operations(function) {
        let any_of = actions_for(operation);
        needed.extend(&any_of);
        // What a function does with which objects is in `protocol::keys`, and the check of the keys holds it.
        let of_objects = operation.starts_with("s3:");
        let never = |(of, functions, _): &(&str, &[&str], &str)| of == operation && functions.contains(&name.as_str());
        let excused = of_objects || NEVER_CALLED.iter().any(never);
        if !excused && !any_of.iter().any(|action| allowed.contains(action)) {
            let any_of = names(any_of);
            findings.insert(format!(
                "{policy}: {adapter} calls {operation}: allow {any_of}, or say in NEVER_CALLED why {name} does not call it"
            ));
        }
    }
    // Objects that are encrypted with a key of KMS are read and written with the key.
    if needed.iter().any(|action| action.starts_with("s3:")) {
        needed.insert("kms:");
    }
    for action in allowed {
        if !needed.iter().any(|needed| action == *needed || (needed.ends_with(':') && action.starts_with(needed))) {
            findings.insert(format!("{role}: no adapter of {name} calls {action}: remove it from {policy}"));
        }
    }
}

/// What the log group, the event sources and the failure destination of a function need, by the beginning of an action.
fn polled(template: &Value, function: &Function) -> BTreeSet<&'static str> {
    let id = function.resource("Function");
    let properties = &template["Resources"][&id]["Properties"];
    let mut needed = BTreeSet::from(["logs:CreateLogStream", "logs:PutLogEvents"]);
    for (of_type, actions) in POLLED {
        let polled = match of_type {
            "AWS::SQS::Queue" => properties["Events"]
                .as_object()
                .is_some_and(|events| events.values().any(|event| event["Type"] == "SQS")),
            mappings => {
                resources(template, mappings).any(|(_, mapping)| mapping["Properties"]["FunctionName"]["Ref"] == id)
            }
        };
        if polled {
            needed.extend(actions);
        }
    }
    if template::is_queue(template, &properties["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Destination"]) {
        needed.insert("sqs:SendMessage");
    }
    needed
}

/// The role of an AWS service, or [`STATEMENT_ROLE`].
fn service_role(template: &Value, role: &str, statements: &[&Value], source: &Source, findings: &mut Findings) {
    let trusted = &template["Resources"][role]["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"];
    let service = trusted["Service"].as_str().or(trusted["Service"][0].as_str()).unwrap_or_default();
    let may = match SERVICES.iter().find(|(of, _)| *of == service) {
        Some((_, actions)) => *actions,
        None if role == STATEMENT_ROLE => LOG_IN.as_slice(),
        None => {
            findings
                .insert(format!("{role}: belongs to no function, and SERVICES does not say what `{service}` may do"));
            return;
        }
    };
    let called =
        source.adapters.values().flatten().filter(|operation| role == STATEMENT_ROLE && in_redshift(operation));
    let called: BTreeSet<&str> = called.map(String::as_str).collect();
    let allowed: BTreeSet<&str> = statements.iter().flat_map(|statement| actions(statement)).collect();
    for action in allowed.difference(&called) {
        if !may.iter().any(|prefix| action.starts_with(prefix)) {
            findings.insert(format!("{role}: {action} is not for this role, only {}", names(may)));
        }
    }
    for operation in called.difference(&allowed) {
        findings.insert(format!("{role}: an adapter calls {operation}: allow it"));
    }
}

/// The actions any of which allows an operation.
fn actions_for(operation: &str) -> Vec<&str> {
    if in_redshift(operation) {
        return vec!["sts:AssumeRole"];
    }
    match ALLOWED_BY.iter().find(|(of, _)| *of == operation) {
        Some((_, actions)) => actions.to_vec(),
        None => vec![operation],
    }
}

/// What is called as [`STATEMENT_ROLE`].
fn in_redshift(operation: &str) -> bool {
    operation.starts_with("redshift-data:")
}

fn roles_of(policy: &Value) -> impl Iterator<Item = &str> {
    policy["Properties"]["Roles"].as_array().into_iter().flatten().filter_map(|role| role["Ref"].as_str())
}

fn names_everything(statement: &Value) -> bool {
    match &statement["Resource"] {
        Value::Array(resources) => resources.iter().any(|resource| *resource == "*"),
        one => *one == "*" || one.is_null(),
    }
}

/// Returns true for a statement that only allows requests that name a session of the Data API: the session is connected
/// already, so the request names no warehouse.
fn continues_sessions(statement: &Value) -> bool {
    statement["Condition"]["Null"]["redshift-data:session-owner-iam-userid"] == "false"
}

fn statements(document: &Value) -> Vec<&Value> {
    let listed = document["Statement"].as_array().into_iter().flatten();
    listed
        .flat_map(|statement| match statement["Fn::If"].as_array() {
            Some(branches) => branches.iter().skip(1).filter(|branch| branch["Effect"].is_string()).collect(),
            None => vec![statement],
        })
        .filter(|statement| statement["Effect"] == "Allow")
        .collect()
}
