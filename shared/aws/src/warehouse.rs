//! [`Warehouse`] over the Redshift Data API.
//!
//! The Data API shows a statement only to the role that submitted it, so all functions that share statements assume the
//! same role for this adapter ([`crate::client::Aws::assume`]).

mod described;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use aws_config::{SdkConfig, timeout::TimeoutConfig};
use aws_sdk_redshiftdata::{
    Client,
    config::Builder,
    operation::{
        cancel_statement::CancelStatementError,
        describe_statement::{DescribeStatementError, DescribeStatementOutput},
    },
    types::{Field, SqlParameter, StatementData, StatusString},
};
use shiftwork_ports::{
    AttemptState, Engine, EngineReport, Listed, Progress, Result, Row, Session, Submission, Warehouse,
};
use shiftwork_protocol::{Attempt, Connection, Failure, FailureKind};

use self::described::{progress, report};
use crate::failures::Call;

/// Maximum time for which one DescribeStatement waits (Redshift Data API reference, `WaitTimeSeconds`: 30 s).
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// Maximum number of statements that one ListStatements returns (Redshift Data API reference, `MaxResults`).
const PAGE: i32 = 100;
/// Timeout of a call in addition to the time for which the call waits.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time in seconds for which a session is kept after its last statement. It covers the way of a job back to the launcher
/// and the first pauses between attempts. The Data API has no call that ends a session, and keeps at most 500 for a
/// warehouse.
const SESSION_KEPT_SECONDS: i32 = 5 * 60;
/// Pauses before the Data API is asked again whether a session is available. A session whose statement has just ended
/// can be busy, for which the Data API has the same error as for a session that ended.
const SESSION_PAUSES: [Duration; 3] = [Duration::from_millis(250), Duration::from_millis(500), Duration::from_secs(1)];

/// [`Warehouse`] over the Redshift Data API.
#[derive(Debug, Clone)]
pub struct RedshiftWarehouse {
    client: Client,
    patience: Duration,
}

/// The attempts that are submitted over one connection.
struct RedshiftEngine<'a> {
    warehouse: &'a RedshiftWarehouse,
    connection: &'a Connection,
}

/// SQL to submit.
struct Request<'a> {
    /// The attempt, whose text names the statement and whose end is an event; `None` for SQL whose caller waits for it.
    attempt: Option<&'a Attempt>,
    connection: &'a Connection,
    sqls: &'a [String],
    session: &'a Session,
    parameters: &'a BTreeMap<String, String>,
}

impl Request<'_> {
    /// The connection to send: none if the statement continues a session, which is connected already.
    fn target(&self) -> Connection {
        match self.session {
            Session::Own | Session::Kept => self.connection.clone(),
            Session::Continued(_) => Connection::default(),
        }
    }

    fn database(&self) -> Option<String> {
        Some(self.target().database).filter(|database| !database.is_empty())
    }

    fn session_id(&self) -> Option<String> {
        match self.session {
            Session::Own | Session::Kept => None,
            Session::Continued(id) => Some(id.clone()),
        }
    }

    fn keep_alive(&self) -> Option<i32> {
        match self.session {
            Session::Kept => Some(SESSION_KEPT_SECONDS),
            Session::Own | Session::Continued(_) => None,
        }
    }
}

/// Sends an ExecuteStatement or a BatchExecuteStatement, whose builders have the same methods but no common trait.
macro_rules! send {
    ($builder:expr, $request:expr, $call:expr) => {
        $builder
            .set_statement_name($request.attempt.map(ToString::to_string))
            .set_client_token($request.attempt.map(Attempt::client_token))
            .set_with_event($request.attempt.map(|_| true))
            .set_workgroup_name($request.target().workgroup)
            .set_cluster_identifier($request.target().cluster)
            .set_database($request.database())
            .set_secret_arn($request.target().secret_arn)
            .set_db_user($request.target().db_user)
            .set_session_id($request.session_id())
            .set_session_keep_alive_seconds($request.keep_alive())
            .set_parameters(bound($request.parameters, $call)?)
            .send()
            .await
            .map_err(|error| $call.failed(error))?
            .id
    };
}

impl RedshiftWarehouse {
    /// Makes the adapter for the role of this configuration. [`Warehouse::rows`] cancels a statement that has not ended
    /// after `patience`.
    pub fn new(config: &SdkConfig, patience: Duration) -> Self {
        Self { client: Client::new(config), patience }
    }

    async fn execute(&self, request: &Request<'_>) -> Result<String> {
        let place = place(request.connection);
        let (id, call) = match request.sqls {
            [sql] => {
                let call = Call::new("Redshift Data API ExecuteStatement", &place);
                (send!(self.client.execute_statement().sql(sql), request, call), call)
            }
            [] | [_, _, ..] => {
                let call = Call::new("Redshift Data API BatchExecuteStatement", &place);
                let batch = self.client.batch_execute_statement().set_sqls(Some(request.sqls.to_vec()));
                (send!(batch, request, call), call)
            }
        };
        id.ok_or_else(|| call.failure(FailureKind::Unavailable, "the response has no statement id"))
    }

    /// Waits at most `patience` for the statement to end, and returns its description; `None` if the Data API does not
    /// know it.
    async fn wait(&self, id: &str, patience: Duration, call: Call<'_>) -> Result<Option<DescribeStatementOutput>> {
        let begun = Instant::now();
        loop {
            let left = patience.saturating_sub(begun.elapsed());
            let Some(described) = self.describe(id, left.min(LONGEST_WAIT), call).await? else { return Ok(None) };
            let ended = match progress(&described) {
                Some(Progress::Finished | Progress::Failed { .. } | Progress::Aborted { .. }) => true,
                Some(Progress::Active) | None => false,
            };
            if ended || begun.elapsed() >= patience {
                return Ok(Some(described));
            }
        }
    }

    async fn describe(&self, id: &str, wait: Duration, call: Call<'_>) -> Result<Option<DescribeStatementOutput>> {
        let describe = self.client.describe_statement().id(id);
        let described = if wait.is_zero() {
            describe.send().await
        } else {
            let seconds = wait.as_secs().max(1);
            let timeout = Duration::from_secs(seconds) + RESPONSE_TIMEOUT;
            let timeouts = TimeoutConfig::builder().operation_attempt_timeout(timeout).build();
            let describe = describe.wait_time_seconds(i32::try_from(seconds).unwrap_or(1));
            describe.customize().config_override(Builder::new().timeout_config(timeouts)).send().await
        };
        match described {
            Ok(described) => Ok(Some(described)),
            Err(error) => match error.as_service_error() {
                Some(DescribeStatementError::ResourceNotFoundException(_)) => Ok(None),
                Some(_) | None => Err(call.failed(error)),
            },
        }
    }

    /// Reads the rows of a statement that succeeded.
    async fn results(&self, id: &str, call: Call<'_>) -> Result<Vec<Row>> {
        let mut pages = self.client.get_statement_result().id(id).into_paginator().send();
        let mut rows = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| call.failed(error))?;
            rows.extend(page.records.into_iter().map(|record| record.into_iter().map(text).collect::<Row>()));
        }
        Ok(rows)
    }
}

#[async_trait]
impl Warehouse for RedshiftWarehouse {
    fn engine<'a>(&'a self, connection: &'a Connection) -> Box<dyn Engine + 'a> {
        Box::new(RedshiftEngine { warehouse: self, connection })
    }

    async fn submit(&self, submission: &Submission) -> Result<String> {
        let Submission { attempt, connection, sqls, session, parameters } = submission;
        let request = Request { attempt: Some(attempt), connection, sqls, session, parameters };
        let mut submitted = self.execute(&request).await;
        for pause in SESSION_PAUSES {
            match (&request.session, &submitted) {
                (Session::Continued(_), Err(failure)) if is_session_unavailable(failure) => {
                    tokio::time::sleep(pause).await;
                    submitted = self.execute(&request).await;
                }
                (Session::Continued(_) | Session::Own | Session::Kept, Ok(_) | Err(_)) => break,
            }
        }
        submitted.map_err(|failure| match &request.session {
            Session::Continued(_) if is_session_unavailable(&failure) => {
                Failure::new(FailureKind::SessionLost, failure.message)
            }
            Session::Continued(_) | Session::Own | Session::Kept => failure,
        })
    }

    async fn report(&self, id: &str, attempt: &Attempt) -> Result<EngineReport> {
        let statement = format!("{attempt} ({id})");
        let call = Call::new(DESCRIBE, &statement);
        Ok(self.describe(id, Duration::ZERO, call).await?.as_ref().map(report).unwrap_or_default())
    }

    async fn rows(
        &self,
        sql: &str,
        connection: &Connection,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Vec<Row>> {
        let call = Call::new("Redshift Data API query", &connection.database);
        let (sqls, session) = ([sql.to_owned()], &Session::Own);
        let id = self.execute(&Request { attempt: None, connection, sqls: &sqls, session, parameters }).await?;
        let described = self.wait(&id, self.patience, call).await?;
        match described.as_ref().map(|described| (progress(described), described.has_result_set())) {
            Some((Some(Progress::Finished), Some(true))) => self.results(&id, call).await,
            Some((Some(Progress::Finished), Some(false) | None)) => Ok(Vec::new()),
            Some((Some(Progress::Failed { kind, message, .. }), _)) => Err(call.failure(kind, message)),
            Some((Some(Progress::Aborted { .. }), _)) => {
                Err(call.failure(FailureKind::StatementAborted, "the statement was cancelled outside of shiftwork"))
            }
            Some((Some(Progress::Active) | None, _)) => {
                // The failure is returned whether or not the cancellation succeeds.
                drop(self.client.cancel_statement().id(&id).send().await);
                let message = format!("the statement did not end within {} s", self.patience.as_secs());
                Err(call.failure(FailureKind::TimedOut, message))
            }
            None => Err(call.failure(FailureKind::Unavailable, "the Data API no longer knows the statement")),
        }
    }
}

impl RedshiftEngine<'_> {
    /// Lists the statements of this role whose names begin with `prefix`. One request returns [`PAGE`] of them.
    async fn statements(&self, prefix: &str, status: StatusString) -> Result<Vec<StatementData>> {
        let Connection { workgroup, cluster, database, .. } = self.connection;
        let place = place(self.connection);
        let list = self.warehouse.client.list_statements().statement_name(prefix).status(status).role_level(true);
        let list = list.max_results(PAGE).database(database).set_workgroup_name(workgroup.clone());
        let mut pages = list.set_cluster_identifier(cluster.clone()).into_paginator().items().send();
        let mut listed = Vec::new();
        while let Some(statement) = pages.next().await {
            let call = Call::new("Redshift Data API ListStatements", &place);
            listed.push(statement.map_err(|error| call.failed(error))?);
        }
        Ok(listed)
    }
}

#[async_trait]
impl Engine for RedshiftEngine<'_> {
    async fn find(&self, attempt: &Attempt) -> Result<Option<AttemptState>> {
        // ListStatements filters by prefix, so a request for attempt 1 also returns attempts 10 to 19.
        let listed = self.statements(&attempt.to_string(), StatusString::All).await?;
        match newest(listed).get(attempt) {
            Some(statement) => self.outcome(&statement.id, attempt, Duration::ZERO).await,
            None => Ok(None),
        }
    }

    async fn outcome(&self, id: &str, attempt: &Attempt, patience: Duration) -> Result<Option<AttemptState>> {
        let statement = format!("{attempt} ({id})");
        let call = Call::new(DESCRIBE, &statement);
        let Some(described) = self.warehouse.wait(id, patience, call).await? else { return Ok(None) };
        let progress = progress(&described).ok_or_else(|| {
            let status = described.status().map_or("no status", StatusString::as_str);
            call.failure(FailureKind::Unavailable, format_args!("`{status}` is not a known status of a statement"))
        })?;
        let (session, report) = (described.session_id().map(Into::into), report(&described));
        Ok(Some(AttemptState { id: id.into(), attempt: attempt.clone(), progress, session, report }))
    }

    async fn active(&self, run: &str) -> Result<Vec<AttemptState>> {
        // In the order of the statuses, so that a statement that changes its status between two calls is found by the
        // second call.
        let mut active = Vec::new();
        let mut seen = BTreeSet::new();
        for status in [StatusString::Submitted, StatusString::Picked, StatusString::Started] {
            for listed in self.statements(&Attempt::run_prefix(run), status).await? {
                let Some(Ok(attempt)) = listed.statement_name().map(str::parse::<Attempt>) else { continue };
                if seen.insert(listed.id.clone()) {
                    let (session, report) = (listed.session_id, EngineReport::default());
                    let progress = Progress::Active;
                    active.push(AttemptState { id: listed.id, attempt, progress, session, report });
                }
            }
        }
        Ok(active)
    }

    /// Lists the active statements first, so that the requests for a run whose attempts are all active do not depend on the
    /// number of statements of the run that have ended.
    async fn listed(&self, run: &str, attempts: &BTreeSet<Attempt>) -> Result<BTreeMap<Attempt, Listed>> {
        let active = self.active(run).await?.into_iter().map(|state| (state.attempt, Listed::Active));
        let mut listed: BTreeMap<Attempt, Listed> = active.filter(|(attempt, _)| attempts.contains(attempt)).collect();
        if listed.len() < attempts.len() {
            let known = newest(self.statements(&Attempt::run_prefix(run), StatusString::All).await?);
            for (attempt, statement) in known.into_iter().filter(|(attempt, _)| attempts.contains(attempt)) {
                listed.entry(attempt).or_insert_with(|| match statement.status {
                    Some(StatusString::Submitted | StatusString::Picked | StatusString::Started) => Listed::Active,
                    // A status that AWS adds later may be an end as well: the description decides.
                    Some(_) | None => Listed::Ended { id: statement.id },
                });
            }
        }
        Ok(listed)
    }

    async fn cancel(&self, id: &str) -> Result<()> {
        let client = &self.warehouse.client;
        let Err(error) = client.cancel_statement().id(id).send().await else { return Ok(()) };
        match error.as_service_error() {
            Some(CancelStatementError::ResourceNotFoundException(_)) => return Ok(()),
            // The Data API refuses to cancel a statement that has ended, with a message that may change. So check the
            // status.
            Some(CancelStatementError::ValidationException(_)) => {
                let found = client.describe_statement().id(id).send().await;
                if found.is_ok_and(|found| !matches!(progress(&found), None | Some(Progress::Active))) {
                    return Ok(());
                }
            }
            Some(_) | None => {}
        }
        Err(Call::new("Redshift Data API CancelStatement", id).failed(error))
    }
}

/// Returns true if the Data API refused a statement because of its session. The API has no error of its own for it, but a
/// `ValidationException` with the text `Session is not available` or `Session with Id: … is invalid`.
fn is_session_unavailable(failure: &Failure) -> bool {
    let message = &failure.message;
    failure.kind == FailureKind::Refused
        && message.contains("Session ")
        && (message.contains("is not available") || message.contains("is invalid"))
}

/// The statements by attempt. Two statements of one attempt exist only if the attempt was submitted again after the
/// Data API forgot its client token; the newer one is used.
fn newest(listed: Vec<StatementData>) -> BTreeMap<Attempt, StatementData> {
    let mut oldest_first = listed;
    oldest_first.sort_by_key(|statement| statement.created_at.map(|at| (at.secs(), at.subsec_nanos())));
    let of_attempts = oldest_first.into_iter().filter_map(|statement| {
        let attempt = statement.statement_name()?.parse().ok()?;
        Some((attempt, statement))
    });
    of_attempts.collect()
}

/// Name of the call in failures.
const DESCRIBE: &str = "Redshift Data API DescribeStatement";

fn bound(parameters: &BTreeMap<String, String>, call: Call<'_>) -> Result<Option<Vec<SqlParameter>>> {
    let bound: std::result::Result<Vec<_>, _> =
        parameters.iter().map(|(name, value)| SqlParameter::builder().name(name).value(value).build()).collect();
    let bound = bound.map_err(|error| call.failure(FailureKind::Refused, error))?;
    // The Data API refuses an empty list.
    Ok(Some(bound).filter(|bound| !bound.is_empty()))
}

/// Describes the connection for a message.
fn place(connection: &Connection) -> String {
    let Connection { workgroup, cluster, database, .. } = connection;
    match (workgroup, cluster) {
        (Some(workgroup), _) => format!("database {database} of workgroup {workgroup}"),
        (None, Some(cluster)) => format!("database {database} of cluster {cluster}"),
        (None, None) => format!("database {database} without a workgroup or cluster"),
    }
}

fn text(field: Field) -> Option<String> {
    match field {
        Field::StringValue(text) => Some(text),
        Field::LongValue(number) => Some(number.to_string()),
        Field::DoubleValue(number) => Some(number.to_string()),
        Field::BooleanValue(flag) => Some(flag.to_string()),
        Field::BlobValue(bytes) => Some(String::from_utf8_lossy(bytes.as_ref()).into_owned()),
        // NULL, or a kind of field that AWS added.
        _ => None,
    }
}
