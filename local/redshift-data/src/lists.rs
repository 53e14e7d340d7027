//! `ListStatements` and `ListSessions`: statements and sessions of the caller, newest first, in pages.

use serde_json::{Map, Value, json};

use crate::error::ApiError;
use crate::principal::Principal;
use crate::requests::{ListSessions, ListStatements};
use crate::sessions::{Session, SessionStatus, Sessions};
use crate::statements::{Statement, Statements, Status, Target};
use crate::validate::Violations;
use crate::views::{epoch, listed, put};

/// Maximum page size, and the page size without `MaxResults`. Source: service model, `ListStatementsLimit`.
const PAGE: usize = 100;

/// The response of `ListStatements`.
pub(crate) fn statements(all: &Statements, request: &ListStatements, caller: &Principal) -> Result<Value, ApiError> {
    let mut found = Violations::default();
    found.range("maxResults", request.max_results, 0, 100);
    found.length("statementName", request.statement_name.as_ref(), 0, 2048);
    let known = ["SUBMITTED", "PICKED", "STARTED", "FINISHED", "ABORTED", "FAILED", "ALL"];
    found.one_of("status", request.status.as_ref(), &known);
    found.target(request.cluster_identifier.as_ref(), request.workgroup_name.as_ref());
    found.into_result()?;
    one_warehouse(request.cluster_identifier.as_ref(), request.workgroup_name.as_ref())?;
    let before: u64 = match request.next_token.as_deref() {
        None | Some("") => u64::MAX,
        Some(token) => token.parse().map_err(|_| ApiError::Validation("NextToken is not valid.".into()))?,
    };
    let filter = Filter {
        caller,
        role_level: request.role_level.unwrap_or(true),
        cluster: request.cluster_identifier.as_deref(),
        workgroup: request.workgroup_name.as_deref(),
        database: request.database.as_deref(),
    };
    // Without a status in the request, only finished statements are listed.
    let status = request.status.as_deref().unwrap_or(Status::Finished.name());
    let wanted = |statement: &Statement| {
        filter.matches(&statement.owner, &statement.target)
            && (status == "ALL" || status == statement.status().name())
            && request
                .statement_name
                .as_deref()
                .is_none_or(|prefix| statement.name.as_deref().unwrap_or_default().starts_with(prefix))
    };
    let size = page_size(request.max_results);
    let mut rows: Vec<_> = all.newest_first(before).filter(|(_, s)| wanted(s)).take(size + 1).collect();
    let more = rows.len() > size;
    rows.truncate(size);
    let mut body = Map::new();
    body.insert("Statements".into(), rows.iter().map(|(_, statement)| listed(statement)).collect());
    if more && let Some((position, _)) = rows.last() {
        body.insert("NextToken".into(), json!(position.to_string()));
    }
    Ok(Value::Object(body))
}

/// The response of `ListSessions`.
pub(crate) fn sessions(all: &Sessions, request: &ListSessions, caller: &Principal) -> Result<Value, ApiError> {
    let mut found = Violations::default();
    found.range("maxResults", request.max_results, 0, 100);
    found.id("sessionId", request.session_id.as_ref());
    found.one_of("status", request.status.as_ref(), &["AVAILABLE", "BUSY", "CLOSED"]);
    found.target(request.cluster_identifier.as_ref(), request.workgroup_name.as_ref());
    found.into_result()?;
    one_warehouse(request.cluster_identifier.as_ref(), request.workgroup_name.as_ref())?;
    if let Some(id) = &request.session_id {
        let session = id.parse().ok().and_then(|id| all.get(id)).filter(|s| s.owner.role() == caller.role());
        let session = session.ok_or_else(|| ApiError::ResourceNotFound {
            message: "Session does not exist.".into(),
            resource_id: id.clone(),
        })?;
        return Ok(json!({ "Sessions": [shown(&session)] }));
    }
    let filter = Filter {
        caller,
        role_level: request.role_level.unwrap_or(true),
        cluster: request.cluster_identifier.as_deref(),
        workgroup: request.workgroup_name.as_deref(),
        database: request.database.as_deref(),
    };
    let wanted = |session: &Session| {
        let status = session.state().status;
        filter.matches(&session.owner, &session.target)
            && request.status.as_deref().map_or(status != SessionStatus::Closed, |asked| asked == status.name())
    };
    let start: usize = match request.next_token.as_deref() {
        None | Some("") => 0,
        Some(token) => token.parse().map_err(|_| ApiError::Validation("NextToken is not valid.".into()))?,
    };
    let size = page_size(request.max_results);
    let mut rows: Vec<_> = all.newest_first().into_iter().filter(|s| wanted(s)).skip(start).take(size + 1).collect();
    let more = rows.len() > size;
    rows.truncate(size);
    let mut body = Map::new();
    body.insert("Sessions".into(), rows.iter().map(|session| shown(session)).collect());
    if more {
        body.insert("NextToken".into(), json!((start + size).to_string()));
    }
    Ok(Value::Object(body))
}

fn shown(session: &Session) -> Value {
    let state = session.state();
    let mut body = Map::new();
    body.insert("SessionId".into(), json!(session.id));
    body.insert("Status".into(), json!(state.status.name()));
    body.insert("CreatedAt".into(), epoch(session.created_at));
    body.insert("UpdatedAt".into(), epoch(state.updated_at));
    body.insert("Database".into(), json!(session.target.database));
    body.insert("SessionAliveSeconds".into(), json!(state.keep_alive.as_secs()));
    body.insert("SessionTtl".into(), epoch(state.expires_at));
    put(&mut body, "DbUser", session.target.db_user.as_ref().map(|user| json!(user)));
    put(&mut body, "ClusterIdentifier", session.target.cluster.as_ref().map(|name| json!(name)));
    put(&mut body, "WorkgroupName", session.target.workgroup.as_ref().map(|name| json!(name)));
    put(&mut body, "CurrentStatementId", state.running.map(|id| json!(id)));
    Value::Object(body)
}

/// The statements and sessions that a list may contain.
struct Filter<'a> {
    caller: &'a Principal,
    /// Include all statements of the role, not only those of this IAM session.
    role_level: bool,
    cluster: Option<&'a str>,
    workgroup: Option<&'a str>,
    database: Option<&'a str>,
}

impl Filter<'_> {
    fn matches(&self, owner: &Principal, target: &Target) -> bool {
        let own = if self.role_level { owner.role() == self.caller.role() } else { owner == self.caller };
        own && self.cluster.is_none_or(|cluster| target.cluster.as_deref() == Some(cluster))
            && self.workgroup.is_none_or(|workgroup| target.workgroup.as_deref() == Some(workgroup))
            && self.database.is_none_or(|database| target.database == database)
    }
}

fn one_warehouse(cluster: Option<&String>, workgroup: Option<&String>) -> Result<(), ApiError> {
    match (cluster, workgroup) {
        (Some(_), Some(_)) => {
            Err(ApiError::Validation("ClusterIdentifier and WorkgroupName cannot both be specified.".into()))
        }
        _ => Ok(()),
    }
}

fn page_size(max_results: Option<i64>) -> usize {
    max_results.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(PAGE)
}
