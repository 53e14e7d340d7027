//! Permissions: named actions on named resources, each only where it is needed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{Findings, shape::names, template::resources};

/// Actions that take no resource, so that AWS leaves no choice but `*`, and where AWS says so.
pub const WITHOUT_RESOURCE: [(&str, &str); 21] = [
    ("states:SendTaskSuccess", "Service Authorization Reference, AWS Step Functions: a task token is no resource"),
    ("states:SendTaskFailure", "Service Authorization Reference, AWS Step Functions: a task token is no resource"),
    ("redshift-data:DescribeStatement", "Service Authorization Reference, Amazon Redshift Data API"),
    ("redshift-data:GetStatementResult", "Service Authorization Reference, Amazon Redshift Data API"),
    ("redshift-data:ListStatements", "Service Authorization Reference, Amazon Redshift Data API"),
    ("redshift-data:CancelStatement", "Service Authorization Reference, Amazon Redshift Data API"),
    ("dynamodb:ListStreams", "Service Authorization Reference, Amazon DynamoDB"),
    ("ec2:CreateNetworkInterface", "Lambda Developer Guide, execution role permissions for Amazon MSK"),
    ("ec2:DeleteNetworkInterface", "Lambda Developer Guide, execution role permissions for Amazon MSK"),
    ("ec2:DescribeNetworkInterfaces", "Lambda Developer Guide, execution role permissions for Amazon MSK"),
    ("ec2:DescribeSecurityGroups", "Lambda Developer Guide, execution role permissions for Amazon MSK"),
    ("ec2:DescribeSubnets", "Lambda Developer Guide, execution role permissions for Amazon MSK"),
    ("ec2:DescribeVpcs", "Lambda Developer Guide, execution role permissions for Amazon MSK"),
    ("logs:CreateLogDelivery", "Step Functions Developer Guide, IAM policies for logging to CloudWatch Logs"),
    ("logs:GetLogDelivery", "Step Functions Developer Guide, IAM policies for logging to CloudWatch Logs"),
    ("logs:UpdateLogDelivery", "Step Functions Developer Guide, IAM policies for logging to CloudWatch Logs"),
    ("logs:DeleteLogDelivery", "Step Functions Developer Guide, IAM policies for logging to CloudWatch Logs"),
    ("logs:ListLogDeliveries", "Step Functions Developer Guide, IAM policies for logging to CloudWatch Logs"),
    ("logs:PutResourcePolicy", "Step Functions Developer Guide, IAM policies for logging to CloudWatch Logs"),
    ("logs:DescribeResourcePolicies", "Step Functions Developer Guide, IAM policies for logging to CloudWatch Logs"),
    ("logs:DescribeLogGroups", "Step Functions Developer Guide, IAM policies for logging to CloudWatch Logs"),
];

/// Actions that only some roles have, by the beginning of their names. What is not listed is anybody's to have, on a named
/// resource.
const RESERVED: [(&str, &[&str]); 12] = [
    ("redshift-data:", &["StatementRole"]),
    ("redshift-serverless:", &["StatementRole"]),
    ("redshift:", &["StatementRole"]),
    ("secretsmanager:", &["StatementRole", "CdcLoaderRole"]),
    ("sts:AssumeRole", &["TriggerRole", "JobLauncherRole", "JobCallbackRole", "AuditUpdaterRole", "SchemaWatcherRole"]),
    ("iam:PassRole", &["TriggerRole"]),
    ("scheduler:CreateSchedule", &["TriggerRole"]),
    ("scheduler:DeleteSchedule", &["TriggerRole", "JobCallbackRole", "AuditUpdaterRole"]),
    (
        "s3:",
        &[
            "TriggerRole",
            "JobLauncherRole",
            "JobCallbackRole",
            "AuditUpdaterRole",
            "CdcLoaderRole",
            "MetadataFixerRole",
            "WarehouseRole",
            "SchemaWatcherRole",
            "FileIntakeRole",
        ],
    ),
    ("states:SendTask", &["JobLauncherRole", "JobCallbackRole", "AuditUpdaterRole"]),
    ("states:", &["TriggerRole", "JobLauncherRole", "JobCallbackRole", "AuditUpdaterRole"]),
    (
        "lambda:InvokeFunction",
        &["RunStateMachineRole", "WorkflowScheduleRole", "SweepRole", "DriftScheduleRole", "FileScheduleRole"],
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
        for role in policy["Properties"]["Roles"].as_array().into_iter().flatten() {
            let role = role["Ref"].as_str().unwrap_or_default();
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
pub fn findings(template: &Value) -> Findings {
    let mut findings = Findings::new();
    let grants = grants(template);
    let mut starred = BTreeSet::new();
    for (role, statements) in &grants {
        for statement in statements {
            for action in actions(statement) {
                findings.extend(problem(role, action, statement));
                if names_everything(statement) {
                    starred.insert(action);
                }
            }
        }
    }
    for (action, _) in WITHOUT_RESOURCE.iter().filter(|(action, _)| !starred.contains(action)) {
        findings.insert(format!("{action}: is excused for `*`, and nobody has it"));
    }
    for (function, resource) in resources(template, "AWS::Serverless::Function") {
        let role = resource["Properties"]["Role"]["Fn::GetAtt"][0].as_str().unwrap_or_default();
        if role != function.replace("Function", "Role") {
            findings.insert(format!("{function}: has no role of its own"));
        }
        if !grants.contains_key(role) {
            findings.insert(format!("{role}: may do nothing, not even log"));
        }
    }
    findings
}

fn problem(role: &str, action: &str, statement: &Value) -> Option<String> {
    if action.contains('*') {
        return Some(format!("{role}: `{action}` is no named action"));
    }
    let excused = WITHOUT_RESOURCE.iter().any(|(excused, _)| *excused == action);
    if names_everything(statement) && !excused {
        return Some(format!("{role}: {action} on every resource"));
    }
    if let Some((_, holders)) = RESERVED.iter().find(|(prefix, _)| action.starts_with(prefix))
        && !holders.contains(&role)
    {
        return Some(format!("{role}: {action} is for {} alone", names(*holders)));
    }
    let passed_to = &statement["Condition"]["StringEquals"]["iam:PassedToService"];
    (action == "iam:PassRole" && !passed_to.is_string()).then(|| format!("{role}: may lend a role to any service"))
}

fn names_everything(statement: &Value) -> bool {
    match &statement["Resource"] {
        Value::Array(resources) => resources.iter().any(|resource| *resource == "*"),
        one => *one == "*" || one.is_null(),
    }
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
