//! The operations of the Data API.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::catalog::{self, CatalogOperation};
use crate::config::Config;
use crate::connection::Connector;
use crate::error::ApiError;
use crate::events::Events;
use crate::execute::Executor;
use crate::faults::{CallFault, Faults, Subject};
use crate::http_client::HttpClient;
use crate::principal::{Principal, Principals};
use crate::quotas::Limiter;
use crate::requests::{Cancel, Describe, Execute, GetResult};
use crate::results::{ResultFormat, ResultSet};
use crate::sessions::{Session, Sessions};
use crate::statements::{ExecutionMode, NewStatement, Statement, Statements, Target};
use crate::{lists, validate, views};

/// Maximum time that `CancelStatement` waits for the end of the statement.
const CANCEL_WAIT: Duration = Duration::from_secs(10);
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// An operation of the service model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    ExecuteStatement,
    BatchExecuteStatement,
    DescribeStatement,
    CancelStatement,
    GetStatementResult,
    GetStatementResultV2,
    ListStatements,
    ListSessions,
    Catalog(CatalogOperation),
}

impl Operation {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ExecuteStatement" => Self::ExecuteStatement,
            "BatchExecuteStatement" => Self::BatchExecuteStatement,
            "DescribeStatement" => Self::DescribeStatement,
            "CancelStatement" => Self::CancelStatement,
            "GetStatementResult" => Self::GetStatementResult,
            "GetStatementResultV2" => Self::GetStatementResultV2,
            "ListStatements" => Self::ListStatements,
            "ListSessions" => Self::ListSessions,
            "ListDatabases" => Self::Catalog(CatalogOperation::ListDatabases),
            "ListSchemas" => Self::Catalog(CatalogOperation::ListSchemas),
            "ListTables" => Self::Catalog(CatalogOperation::ListTables),
            "DescribeTable" => Self::Catalog(CatalogOperation::DescribeTable),
            _ => return None,
        })
    }
}

/// The result of a call.
pub(crate) enum CallOutcome {
    /// Send this response.
    Reply(Result<Value, ApiError>),
    /// The call was executed; close the connection without a response.
    DropConnection,
}

/// The service behind the protocol.
pub(crate) struct Service {
    config: Config,
    pub(crate) statements: Mutex<Statements>,
    pub(crate) sessions: Sessions,
    pub(crate) faults: Faults,
    pub(crate) limiter: Limiter,
    pub(crate) principals: Principals,
    connector: Arc<Connector>,
    executor: Arc<Executor>,
}

impl Service {
    /// # Errors
    /// Returns an error if the PostgreSQL URL is not valid.
    pub(crate) fn new(config: Config) -> anyhow::Result<Self> {
        let http = HttpClient::new();
        let connector = Arc::new(Connector::new(&config.postgres_url)?);
        let events = Events::new(&config, http.clone());
        Ok(Self {
            statements: Mutex::default(),
            sessions: Sessions::default(),
            faults: Faults::default(),
            limiter: Limiter::default(),
            principals: Principals::new(config.principals_url.clone(), &config.account, http),
            executor: Arc::new(Executor::new(&config, Arc::clone(&connector), events)),
            connector,
            config,
        })
    }

    /// Expires sessions and removes old statements until the server stops.
    pub(crate) async fn sweep(&self) {
        let retention = Duration::from_secs(self.config.retention_seconds);
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            self.sessions.expire(retention).await;
            crate::lock(&self.statements).evict(retention);
        }
    }

    /// Executes one call.
    pub(crate) async fn call(&self, name: &str, operation: Operation, caller: Principal, body: &[u8]) -> CallOutcome {
        if let Err(error) = self.limiter.pass(name).await {
            return CallOutcome::Reply(Err(error));
        }
        let fault = self.claim_fault(name, operation, body);
        let refusal = match fault {
            Some(CallFault::Throttle) => Some(ApiError::Throttling("Rate exceeded".into())),
            Some(CallFault::ActiveStatementsExceeded) => Some(self.too_many_statements()),
            Some(CallFault::InternalError) => {
                Some(ApiError::Internal("Internal error injected by a fault rule.".into()))
            }
            Some(CallFault::DropConnection) | None => None,
        };
        if let Some(error) = refusal {
            return CallOutcome::Reply(Err(error));
        }
        let reply = self.perform(operation, caller, body).await;
        if fault == Some(CallFault::DropConnection) { CallOutcome::DropConnection } else { CallOutcome::Reply(reply) }
    }

    async fn perform(&self, operation: Operation, caller: Principal, body: &[u8]) -> Result<Value, ApiError> {
        match operation {
            Operation::ExecuteStatement => self.execute(parse(body)?, false, caller).await,
            Operation::BatchExecuteStatement => self.execute(parse(body)?, true, caller).await,
            Operation::DescribeStatement => self.describe(&parse(body)?, &caller).await,
            Operation::CancelStatement => self.cancel(&parse(body)?, &caller).await,
            Operation::GetStatementResult => self.result(&parse(body)?, ResultFormat::Json, &caller).await,
            Operation::GetStatementResultV2 => self.result(&parse(body)?, ResultFormat::Csv, &caller).await,
            Operation::ListStatements => lists::statements(&crate::lock(&self.statements), &parse(body)?, &caller),
            Operation::ListSessions => lists::sessions(&self.sessions, &parse(body)?, &caller),
            Operation::Catalog(operation) => catalog::execute(&self.connector, operation, &parse(body)?).await,
        }
    }

    /// Rules for calls match the statement that the call submits or refers to.
    fn claim_fault(&self, name: &str, operation: Operation, body: &[u8]) -> Option<CallFault> {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        match operation {
            Operation::ExecuteStatement | Operation::BatchExecuteStatement => {
                let request: Execute = serde_json::from_value(value).unwrap_or_default();
                let sqls: Vec<String> = request.sqls.into_iter().flatten().chain(request.sql).collect();
                self.faults.claim_call(Subject {
                    operation: name,
                    name: request.statement_name.as_deref(),
                    sqls: &sqls,
                })
            }
            _ => {
                let id = value["Id"].as_str().and_then(|id| parse_id(id).ok());
                let statement = id.and_then(|(id, _)| crate::lock(&self.statements).get(id));
                let subject = match &statement {
                    Some(s) => Subject { operation: name, name: s.name.as_deref(), sqls: &s.sqls },
                    None => Subject { operation: name, name: None, sqls: &[] },
                };
                self.faults.claim_call(subject)
            }
        }
    }

    async fn execute(&self, request: Execute, batch: bool, caller: Principal) -> Result<Value, ApiError> {
        validate::execute(&request, batch)?;
        let wait = request.wait_time_seconds;
        let statement = self.submit(request, batch, caller)?;
        wait_for(&statement, wait).await;
        Ok(views::submitted(&statement, wait.is_some()))
    }

    /// Accepts a statement, or returns the statement that was submitted with the same `ClientToken`.
    fn submit(&self, request: Execute, batch: bool, caller: Principal) -> Result<Arc<Statement>, ApiError> {
        let token = request.client_token.clone().map(|token| (token, fingerprint(&request, batch)));
        // The lock is held until the statement is inserted, so that two calls with the same token cannot both submit
        // it.
        let mut statements = crate::lock(&self.statements);
        if let Some((token, fingerprint)) = &token
            && let Some(known) = statements.adopt(caller.role(), token, fingerprint)?
        {
            return Ok(known);
        }
        let id = Uuid::new_v4();
        let keep_alive = request.session_keep_alive_seconds.map(|s| Duration::from_secs(s.unsigned_abs()));
        let existing = request.session_id.as_ref().map(|id| self.sessions.of(id, &caller)).transpose()?;
        let target = match &existing {
            Some(session) => session.target.clone(),
            None => target_of(&request, &caller),
        };
        if statements.active_on(target.warehouse()) >= self.max_active_statements() {
            return Err(self.too_many_statements());
        }
        let session = match (existing, keep_alive) {
            (Some(session), _) => {
                session.take(id, keep_alive)?;
                Some(session)
            }
            (None, Some(keep_alive)) => Some(self.open_session(id, &caller, &target, keep_alive)?),
            (None, None) => None,
        };
        let sqls: Vec<String> = request.sqls.into_iter().flatten().chain(request.sql).collect();
        let operation = if batch { "BatchExecuteStatement" } else { "ExecuteStatement" };
        let subject = Subject { operation, name: request.statement_name.as_deref(), sqls: &sqls };
        let faults = self.faults.claim_statement(subject);
        let mode = match request.execution_mode.as_deref() {
            Some("AUTO_COMMIT") => ExecutionMode::AutoCommit,
            _ => ExecutionMode::Transaction,
        };
        let statement = Arc::new(Statement::new(
            id,
            NewStatement {
                owner: caller,
                name: request.statement_name,
                target,
                sqls,
                batch: batch.then_some(mode),
                parameters: request.parameters.unwrap_or_default(),
                format: if request.result_format.as_deref() == Some("CSV") {
                    ResultFormat::Csv
                } else {
                    ResultFormat::Json
                },
                with_event: request.with_event.unwrap_or(false),
                session: session.as_ref().map(|session| session.id),
                faults,
            },
        ));
        statements.insert(Arc::clone(&statement), token);
        drop(statements);
        let (executor, running) = (Arc::clone(&self.executor), Arc::clone(&statement));
        tokio::spawn(async move { executor.run(&running, session.as_deref()).await });
        Ok(statement)
    }

    fn open_session(
        &self,
        statement: Uuid,
        caller: &Principal,
        target: &Target,
        keep_alive: Duration,
    ) -> Result<Arc<Session>, ApiError> {
        let limit = self.config.max_sessions;
        if self.sessions.open_on(target.warehouse()) >= limit {
            return Err(ApiError::ActiveSessionsExceeded(format!(
                "Active sessions exceeded the allowed quota ({limit})."
            )));
        }
        let session = Arc::new(Session::new(caller.clone(), target.clone(), keep_alive));
        session.take_new(statement);
        self.sessions.insert(Arc::clone(&session));
        Ok(session)
    }

    fn max_active_statements(&self) -> usize {
        self.limiter.active_statements().unwrap_or(self.config.max_active_statements)
    }

    fn too_many_statements(&self) -> ApiError {
        let limit = self.max_active_statements();
        ApiError::ActiveStatementsExceeded(format!("Active statements exceeded the allowed quota ({limit})."))
    }

    async fn describe(&self, request: &Describe, caller: &Principal) -> Result<Value, ApiError> {
        let mut found = validate::Violations::default();
        found.wait_time(request.wait_time_seconds);
        let (statement, part, id) = self.named(found, request.id.as_ref(), caller)?;
        wait_for(&statement, request.wait_time_seconds).await;
        Ok(views::description(&statement, part, &id))
    }

    async fn cancel(&self, request: &Cancel, caller: &Principal) -> Result<Value, ApiError> {
        let (statement, _, id) = self.named(validate::Violations::default(), request.id.as_ref(), caller)?;
        let status = statement.status();
        if status.ended() {
            let state = status.name();
            return Err(ApiError::Validation(format!(
                "Could not cancel a query that is already in {state} state with ID: {id}"
            )));
        }
        statement.request_cancel();
        statement.wait_until_ended(CANCEL_WAIT).await;
        // The statement may have finished before it was cancelled.
        Ok(json!({ "Status": statement.status() == crate::statements::Status::Aborted }))
    }

    async fn result(&self, request: &GetResult, format: ResultFormat, caller: &Principal) -> Result<Value, ApiError> {
        let mut found = validate::Violations::default();
        found.wait_time(request.wait_time_seconds);
        let (statement, part, id) = self.named(found, request.id.as_ref(), caller)?;
        if statement.batch.is_some() && part.is_none() {
            return Err(ApiError::Validation(
                "BatchExecuteStatement result can only be retrieved with sub-statement id.".into(),
            ));
        }
        if statement.format != format {
            let other = match format {
                ResultFormat::Json => "the result format is CSV: use GetStatementResultV2",
                ResultFormat::Csv => "the result format is JSON: use GetStatementResult",
            };
            return Err(ApiError::Validation(format!("Cannot get the result of statement {id}, {other}.")));
        }
        wait_for(&statement, request.wait_time_seconds).await;
        let result = statement.progress().parts[part.unwrap_or(0)].result.clone();
        let result = result.filter(|_| statement.status().ended()).ok_or_else(|| ApiError::ResourceNotFound {
            message: "Query does not have result. Please check query status with DescribeStatement.".into(),
            resource_id: id.clone(),
        })?;
        page_of(&result, request.next_token.as_deref())
    }

    /// The statement `id` of the caller, and the index of the part if the id has a suffix.
    fn named(
        &self,
        mut found: validate::Violations,
        id: Option<&String>,
        caller: &Principal,
    ) -> Result<(Arc<Statement>, Option<usize>, String), ApiError> {
        found.required("id", id);
        found.id("id", id);
        found.into_result()?;
        let id = id.cloned().unwrap_or_default();
        // A statement of another role is reported as not existing.
        let missing =
            || ApiError::ResourceNotFound { message: "Query does not exist.".into(), resource_id: id.clone() };
        let (uuid, part) = parse_id(&id).map_err(|()| missing())?;
        let statement = crate::lock(&self.statements).get(uuid).filter(|s| s.owner.role() == caller.role());
        let statement = statement.ok_or_else(missing)?;
        if part.is_some_and(|part| statement.batch.is_none() || part >= statement.sqls.len()) {
            return Err(missing());
        }
        Ok((statement, part, id))
    }
}

async fn wait_for(statement: &Statement, seconds: Option<i64>) {
    if let Some(seconds) = seconds {
        statement.wait_until_ended(Duration::from_secs(seconds.unsigned_abs())).await;
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        match text.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) {
            Some((member, _)) => validate::unknown_member(member),
            None => ApiError::Serialization(text),
        }
    })
}

/// Parses `<uuid>` or `<uuid>:<n>` with n from 1.
fn parse_id(id: &str) -> Result<(Uuid, Option<usize>), ()> {
    let (uuid, suffix) = match id.split_once(':') {
        Some((uuid, suffix)) => (uuid, Some(suffix)),
        None => (id, None),
    };
    let part = suffix.map(|n| n.parse::<usize>().ok().and_then(|n| n.checked_sub(1)).ok_or(())).transpose()?;
    Ok((uuid.parse().map_err(|_| ())?, part))
}

fn target_of(request: &Execute, caller: &Principal) -> Target {
    Target {
        cluster: request.cluster_identifier.clone(),
        workgroup: request.workgroup_name.clone(),
        database: request.database.clone().unwrap_or_default(),
        db_user: request.db_user.clone().or_else(|| request.secret_arn.is_none().then(|| caller.database_user())),
        secret_arn: request.secret_arn.clone(),
    }
}

/// Hash of the members that must be equal in two requests with the same token: all except the token and the wait time.
fn fingerprint(request: &Execute, batch: bool) -> [u8; 32] {
    let mut request = request.clone();
    request.client_token = None;
    request.wait_time_seconds = None;
    Sha256::digest(json!([batch, request]).to_string()).into()
}

fn page_of(result: &ResultSet, token: Option<&str>) -> Result<Value, ApiError> {
    let invalid = || ApiError::Validation("NextToken is not valid.".into());
    let index: usize = match token {
        None | Some("") => 0,
        Some(token) => token.parse().map_err(|_| invalid())?,
    };
    let page =
        result.page(index).map_err(|error| ApiError::Internal(format!("cannot read the stored result: {error}")))?;
    let (records, more) = page.ok_or_else(invalid)?;
    let mut body = json!({ "Records": records, "ColumnMetadata": result.columns, "TotalNumRows": result.rows });
    if result.format == ResultFormat::Csv {
        body["ResultFormat"] = json!(result.format);
    }
    if more {
        body["NextToken"] = json!((index + 1).to_string());
    }
    Ok(body)
}
