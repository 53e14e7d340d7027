//! Statements: the request, the progress, and the register that keeps them for the retention time.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;
use uuid::Uuid;

use crate::error::ApiError;
use crate::faults::StatementFault;
use crate::principal::Principal;
use crate::requests::SqlParameter;
use crate::results::{ResultFormat, ResultSet};

/// Time for which a `ClientToken` is valid. Source: "Ensuring idempotency" of the Data API: 8 hours.
const CLIENT_TOKEN_LIFE: Duration = Duration::from_hours(8);

/// `StatementStatusString` of the service model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Status {
    Submitted,
    Picked,
    Started,
    Finished,
    Aborted,
    Failed,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Submitted => "SUBMITTED",
            Self::Picked => "PICKED",
            Self::Started => "STARTED",
            Self::Finished => "FINISHED",
            Self::Aborted => "ABORTED",
            Self::Failed => "FAILED",
        }
    }

    pub(crate) fn ended(self) -> bool {
        match self {
            Self::Submitted | Self::Picked | Self::Started => false,
            Self::Finished | Self::Aborted | Self::Failed => true,
        }
    }
}

/// The cluster or workgroup, database and user of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) cluster: Option<String>,
    pub(crate) workgroup: Option<String>,
    pub(crate) database: String,
    pub(crate) db_user: Option<String>,
    pub(crate) secret_arn: Option<String>,
}

impl Target {
    /// The cluster or workgroup to which the limits apply.
    pub(crate) fn warehouse(&self) -> &str {
        self.workgroup.as_deref().or(self.cluster.as_deref()).unwrap_or_default()
    }
}

/// `ExecutionMode` of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum ExecutionMode {
    Transaction,
    AutoCommit,
}

/// The progress of one SQL text of a statement.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) status: Status,
    pub(crate) updated_at: Timestamp,
    pub(crate) error: Option<String>,
    /// Nanoseconds for which the part ran; -1 until it has run.
    pub(crate) duration_nanos: i64,
    /// Rows returned or affected; -1 until known.
    pub(crate) rows: i64,
    /// Bytes of the result; -1 until known.
    pub(crate) bytes: i64,
    pub(crate) query_id: i64,
    pub(crate) result: Option<Arc<ResultSet>>,
    /// Number of times that this SQL text was sent to the database.
    pub(crate) runs: u32,
}

/// The progress of a statement.
pub(crate) struct Progress {
    pub(crate) status: Status,
    pub(crate) updated_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) pid: i64,
    pub(crate) error: Option<String>,
    pub(crate) parts: Vec<Part>,
}

impl Progress {
    /// The sum of a number of all parts; -1 if no part has it. Source: the response to a batch in the Redshift Management
    /// Guide, "Describe metadata about a SQL statement", whose `Duration`, `ResultRows` and `ResultSize` are the sums over
    /// its `SubStatements`.
    pub(crate) fn sum(&self, number: impl Fn(&Part) -> i64) -> i64 {
        self.parts.iter().map(number).filter(|number| *number >= 0).reduce(i64::saturating_add).unwrap_or(-1)
    }
}

/// An accepted `ExecuteStatement` or `BatchExecuteStatement`.
pub(crate) struct Statement {
    pub(crate) id: Uuid,
    pub(crate) owner: Principal,
    pub(crate) name: Option<String>,
    pub(crate) target: Target,
    pub(crate) sqls: Vec<String>,
    /// Execution mode of a batch; `None` for `ExecuteStatement`.
    pub(crate) batch: Option<ExecutionMode>,
    pub(crate) parameters: Vec<SqlParameter>,
    pub(crate) format: ResultFormat,
    pub(crate) with_event: bool,
    pub(crate) session: Option<Uuid>,
    pub(crate) created_at: Timestamp,
    pub(crate) faults: Vec<StatementFault>,
    progress: Mutex<Progress>,
    status: watch::Sender<Status>,
    cancel: watch::Sender<bool>,
}

/// The arguments of [`Statement::new`].
pub(crate) struct NewStatement {
    pub(crate) owner: Principal,
    pub(crate) name: Option<String>,
    pub(crate) target: Target,
    pub(crate) sqls: Vec<String>,
    pub(crate) batch: Option<ExecutionMode>,
    pub(crate) parameters: Vec<SqlParameter>,
    pub(crate) format: ResultFormat,
    pub(crate) with_event: bool,
    pub(crate) session: Option<Uuid>,
    pub(crate) faults: Vec<StatementFault>,
}

impl Statement {
    pub(crate) fn new(id: Uuid, new: NewStatement) -> Self {
        let now = Timestamp::now();
        let part = Part {
            status: Status::Submitted,
            updated_at: now,
            error: None,
            duration_nanos: -1,
            rows: -1,
            bytes: -1,
            query_id: 0,
            result: None,
            runs: 0,
        };
        let progress = Progress {
            status: Status::Submitted,
            updated_at: now,
            started_at: None,
            ended_at: None,
            pid: 0,
            error: None,
            parts: vec![part; new.sqls.len()],
        };
        Self {
            id,
            owner: new.owner,
            name: new.name,
            target: new.target,
            sqls: new.sqls,
            batch: new.batch,
            parameters: new.parameters,
            format: new.format,
            with_event: new.with_event,
            session: new.session,
            created_at: now,
            faults: new.faults,
            progress: Mutex::new(progress),
            status: watch::Sender::new(Status::Submitted),
            cancel: watch::Sender::new(false),
        }
    }

    pub(crate) fn progress(&self) -> MutexGuard<'_, Progress> {
        crate::lock(&self.progress)
    }

    pub(crate) fn status(&self) -> Status {
        *self.status.borrow()
    }

    /// Changes the status to `status`, unless the statement has ended.
    pub(crate) fn advance(&self, status: Status, change: impl FnOnce(&mut Progress)) {
        {
            let mut progress = self.progress();
            if progress.status.ended() {
                return;
            }
            let now = Timestamp::now();
            progress.status = status;
            progress.updated_at = now;
            if status.ended() {
                progress.ended_at = Some(now);
            }
            change(&mut progress);
        }
        self.status.send_replace(status);
    }

    /// Waits until the statement has ended, at most for `limit`.
    pub(crate) async fn wait_until_ended(&self, limit: Duration) {
        let mut status = self.status.subscribe();
        // A timeout is not an error: the caller then returns the current status.
        let _ = tokio::time::timeout(limit, status.wait_for(|status| status.ended())).await;
    }

    /// Requests that the statement stops.
    pub(crate) fn request_cancel(&self) {
        self.cancel.send_replace(true);
    }

    pub(crate) fn cancel_requested(&self) -> bool {
        *self.cancel.borrow()
    }

    /// Completes when the statement was requested to stop.
    pub(crate) async fn cancelled(&self) {
        let mut cancel = self.cancel.subscribe();
        // The sender is a field of `self`, so it is not dropped during the wait.
        let _ = cancel.wait_for(|asked| *asked).await;
    }
}

struct Remembered {
    fingerprint: [u8; 32],
    statement: Uuid,
    at: Timestamp,
}

/// All stored statements.
#[derive(Default)]
pub(crate) struct Statements {
    by_id: HashMap<Uuid, Arc<Statement>>,
    /// Statement ids in order of creation, for lists.
    order: BTreeMap<u64, Uuid>,
    next: u64,
    tokens: HashMap<(String, String), Remembered>,
}

impl Statements {
    /// The statement that this owner submitted with `token`, if the token is still valid.
    ///
    /// # Errors
    /// Returns `ValidationException` if the token was used with another request.
    pub(crate) fn adopt(
        &self,
        role: &str,
        token: &str,
        fingerprint: &[u8; 32],
    ) -> Result<Option<Arc<Statement>>, ApiError> {
        let Some(known) = self.tokens.get(&(role.to_owned(), token.to_owned())) else { return Ok(None) };
        if older_than(known.at, CLIENT_TOKEN_LIFE) {
            return Ok(None);
        }
        if known.fingerprint != *fingerprint {
            return Err(ApiError::Validation(format!(
                "ClientToken '{token}' was already used with different request parameters."
            )));
        }
        Ok(self.by_id.get(&known.statement).cloned())
    }

    pub(crate) fn active_on(&self, warehouse: &str) -> usize {
        self.by_id.values().filter(|s| !s.status().ended() && s.target.warehouse() == warehouse).count()
    }

    pub(crate) fn insert(&mut self, statement: Arc<Statement>, token: Option<(String, [u8; 32])>) {
        if let Some((token, fingerprint)) = token {
            let key = (statement.owner.role().to_owned(), token);
            self.tokens.insert(key, Remembered { fingerprint, statement: statement.id, at: statement.created_at });
        }
        self.order.insert(self.next, statement.id);
        self.next += 1;
        self.by_id.insert(statement.id, statement);
    }

    pub(crate) fn get(&self, id: Uuid) -> Option<Arc<Statement>> {
        self.by_id.get(&id).cloned()
    }

    /// Statements before `position`, newest first, each with its position.
    pub(crate) fn newest_first(&self, before: u64) -> impl Iterator<Item = (u64, &Arc<Statement>)> {
        self.order.range(..before).rev().filter_map(|(at, id)| self.by_id.get(id).map(|statement| (*at, statement)))
    }

    /// Removes statements that ended more than `retention` ago, and expired tokens.
    pub(crate) fn evict(&mut self, retention: Duration) {
        self.by_id.retain(|_, statement| {
            let ended = statement.progress().ended_at;
            !ended.is_some_and(|ended| older_than(ended, retention))
        });
        let by_id = &self.by_id;
        self.order.retain(|_, id| by_id.contains_key(id));
        self.tokens.retain(|_, known| !older_than(known.at, CLIENT_TOKEN_LIFE));
    }
}

fn older_than(moment: Timestamp, age: Duration) -> bool {
    Timestamp::now().duration_since(moment).unsigned_abs() > age
}
