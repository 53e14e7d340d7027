//! Statements in the shapes of the service model.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::statements::{Part, Statement};

/// A timestamp of the JSON protocol: seconds since the epoch, with milliseconds.
#[allow(clippy::cast_precision_loss)] // Milliseconds of this era fit a double many times over.
pub(crate) fn epoch(moment: Timestamp) -> Value {
    json!(moment.as_millisecond() as f64 / 1000.0)
}

/// Inserts a member that has a value; the protocol omits absent members.
pub(crate) fn put(body: &mut Map<String, Value>, member: &str, value: Option<Value>) {
    if let Some(value) = value {
        body.insert(member.to_owned(), value);
    }
}

fn connection(body: &mut Map<String, Value>, statement: &Statement) {
    let target = &statement.target;
    put(body, "ClusterIdentifier", target.cluster.as_ref().map(|name| json!(name)));
    put(body, "WorkgroupName", target.workgroup.as_ref().map(|name| json!(name)));
    put(body, "Database", Some(json!(target.database)));
    put(body, "DbUser", target.db_user.as_ref().map(|user| json!(user)));
    put(body, "SecretArn", target.secret_arn.as_ref().map(|arn| json!(arn)));
    put(body, "SessionId", statement.session.map(|id| json!(id)));
}

/// The response of `ExecuteStatement` and `BatchExecuteStatement`. If the request waited, it contains the status of the
/// statement.
pub(crate) fn submitted(statement: &Statement, waited: bool) -> Value {
    let mut body = Map::new();
    body.insert("Id".into(), json!(statement.id));
    body.insert("CreatedAt".into(), epoch(statement.created_at));
    connection(&mut body, statement);
    if waited {
        let progress = statement.progress();
        body.insert("Status".into(), json!(progress.status));
        body.insert("RedshiftPid".into(), json!(progress.pid));
        body.insert("HasResultSet".into(), json!(progress.parts.iter().any(|part| part.result.is_some())));
    }
    Value::Object(body)
}

/// The response of `DescribeStatement`, for a whole statement or for one part of a batch.
pub(crate) fn description(statement: &Statement, part: Option<usize>, id: &str) -> Value {
    let progress = statement.progress();
    let mut body = Map::new();
    body.insert("Id".into(), json!(id));
    body.insert("CreatedAt".into(), epoch(statement.created_at));
    body.insert("RedshiftPid".into(), json!(progress.pid));
    body.insert("ResultFormat".into(), json!(statement.format));
    connection(&mut body, statement);
    put(&mut body, "QueryParameters", (!statement.parameters.is_empty()).then(|| json!(statement.parameters)));
    let single = part.or(statement.batch.is_none().then_some(0));
    if let Some(index) = single {
        body.extend(part_members(&progress.parts[index], &statement.sqls[index]));
    }
    if part.is_none() {
        // A single statement can wait or fail before its SQL runs, so its own state is used instead of the state of its
        // part.
        body.insert("Status".into(), json!(progress.status));
        body.insert("UpdatedAt".into(), epoch(progress.updated_at));
        put(&mut body, "Error", progress.error.as_ref().map(|error| json!(error)));
    }
    if part.is_none() && statement.batch.is_some() {
        body.insert("Duration".into(), json!(progress.sum(|part| part.duration_nanos)));
        body.insert("ExecutionMode".into(), json!(statement.batch));
        body.insert("HasResultSet".into(), json!(progress.parts.iter().any(|part| part.result.is_some())));
        body.insert("ResultRows".into(), json!(progress.sum(|part| part.rows)));
        body.insert("ResultSize".into(), json!(progress.sum(|part| part.bytes)));
        body.insert("RedshiftQueryId".into(), json!(0));
        let parts = progress.parts.iter().zip(&statement.sqls).enumerate().map(|(index, (part, sql))| {
            let mut member = part_members(part, sql);
            member.insert("Id".into(), json!(format!("{}:{}", statement.id, index + 1)));
            member.insert("CreatedAt".into(), epoch(statement.created_at));
            Value::Object(member)
        });
        body.insert("SubStatements".into(), Value::Array(parts.collect()));
    }
    Value::Object(body)
}

fn part_members(part: &Part, sql: &str) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("QueryString".into(), json!(sql));
    body.insert("Status".into(), json!(part.status));
    body.insert("UpdatedAt".into(), epoch(part.updated_at));
    body.insert("Duration".into(), json!(part.duration_nanos));
    body.insert("HasResultSet".into(), json!(part.result.is_some()));
    body.insert("ResultRows".into(), json!(part.rows));
    body.insert("ResultSize".into(), json!(part.bytes));
    body.insert("RedshiftQueryId".into(), json!(part.query_id));
    put(&mut body, "Error", part.error.as_ref().map(|error| json!(error)));
    body
}

/// `StatementData` of `ListStatements`.
pub(crate) fn listed(statement: &Statement) -> Value {
    let progress = statement.progress();
    let mut body = Map::new();
    body.insert("Id".into(), json!(statement.id));
    body.insert("CreatedAt".into(), epoch(statement.created_at));
    body.insert("UpdatedAt".into(), epoch(progress.updated_at));
    body.insert("Status".into(), json!(progress.status));
    body.insert("IsBatchStatement".into(), json!(statement.batch.is_some()));
    body.insert("ResultFormat".into(), json!(statement.format));
    if statement.batch.is_some() {
        body.insert("QueryStrings".into(), json!(statement.sqls));
    } else {
        body.insert("QueryString".into(), json!(statement.sqls[0]));
    }
    put(&mut body, "QueryParameters", (!statement.parameters.is_empty()).then(|| json!(statement.parameters)));
    put(&mut body, "StatementName", statement.name.as_ref().map(|name| json!(name)));
    put(&mut body, "SecretArn", statement.target.secret_arn.as_ref().map(|arn| json!(arn)));
    put(&mut body, "SessionId", statement.session.map(|id| json!(id)));
    Value::Object(body)
}
