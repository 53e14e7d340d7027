//! Executes statements on PostgreSQL until they are FINISHED, FAILED or ABORTED.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_postgres::{Client, NoTls};

use crate::catalog;
use crate::config::Config;
use crate::connection::{Connection, Connector, describe};
use crate::events::Events;
use crate::faults::StatementFault;
use crate::parameters::TextParameter;
use crate::results::{ResultSet, ResultWriter};
use crate::s3::S3;
use crate::sessions::Session;
use crate::statements::{ExecutionMode, Statement, Status};
use redshift_dialect::{InTransaction, Step, Translated, translate};

/// Time that a cancelled query may take to stop before its connection is terminated.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
const CANCEL_RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// Redshift's default is snapshot isolation, which PostgreSQL calls repeatable read.
const BEGIN: &str = "begin isolation level repeatable read";
/// `Error` of a cancelled statement, in the words of Redshift.
const CANCELLED: &str = "ERROR: Query cancelled on user's request";
/// `Error` of the statements of a transaction after the failed one, in the words of Redshift.
const PRIOR_FAILED: &str = "Connection or an prior query failed.";

/// The reason why a statement did not finish.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The statement failed with this error text.
    Failed(String),
    /// The statement was cancelled.
    Cancelled,
}

impl From<tokio_postgres::Error> for Stop {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Failed(describe(&error, false))
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(format!("ERROR: the server cannot write its temporary files: {error}"))
    }
}

/// The result of a statement.
pub(crate) struct Output {
    pub(crate) rows: i64,
    pub(crate) result: Option<ResultSet>,
}

impl Output {
    pub(crate) fn affected(rows: u64) -> Self {
        Self { rows: i64::try_from(rows).unwrap_or(i64::MAX), result: None }
    }
}

/// Executes statements on PostgreSQL; the number of concurrent statements is limited.
pub(crate) struct Executor {
    connector: Arc<Connector>,
    slots: Semaphore,
    events: Events,
    s3: S3,
    max_result_bytes: u64,
    last_query_id: AtomicI64,
}

impl Executor {
    pub(crate) fn new(config: &Config, connector: Arc<Connector>, events: Events) -> Self {
        Self {
            connector,
            slots: Semaphore::new(config.max_connections),
            events,
            s3: S3::new(config),
            max_result_bytes: config.max_result_bytes,
            last_query_id: AtomicI64::new(1_000),
        }
    }

    /// Executes `statement` until it ends, and sends its event.
    pub(crate) async fn run(&self, statement: &Statement, session: Option<&Session>) {
        let end = self.run_to_end(statement, session).await;
        // The session is released before the end of its statement becomes visible.
        if let Some(session) = session {
            let mut pinned = session.connection.lock().await;
            let lost = pinned.as_ref().is_some_and(|connection| connection.client.is_closed());
            if lost {
                pinned.take();
            }
            session.give_back(!lost);
        }
        let status = match &end {
            Ok(()) => Status::Finished,
            Err(Stop::Failed(_)) => Status::Failed,
            Err(Stop::Cancelled) => Status::Aborted,
        };
        statement.advance(status, |progress| {
            let now = Timestamp::now();
            let (error, rest) = match end {
                Ok(()) => (None, PRIOR_FAILED),
                Err(Stop::Failed(error)) => (Some(error), PRIOR_FAILED),
                Err(Stop::Cancelled) => (Some(CANCELLED.to_owned()), CANCELLED),
            };
            // A single statement that failed before its SQL was sent fails as a whole; the parts of such a batch were
            // not started.
            let unbegun = if statement.batch.is_none() { status } else { Status::Aborted };
            let unbegun_error = if statement.batch.is_none() { error.clone() } else { Some(rest.to_owned()) };
            for part in progress.parts.iter_mut().filter(|part| !part.status.ended()) {
                part.status = unbegun;
                part.error.clone_from(&unbegun_error);
                part.updated_at = now;
            }
            progress.error = error;
        });
        self.events.statement_ended(statement);
    }

    async fn run_to_end(&self, statement: &Statement, session: Option<&Session>) -> Result<(), Stop> {
        for fault in &statement.faults {
            if let StatementFault::Delay(by) = fault {
                unless_cancelled(statement, tokio::time::sleep(*by)).await?;
            }
        }
        let _slot = unless_cancelled(statement, self.slots.acquire()).await?;
        statement.advance(Status::Picked, |_| {});
        let Some(session) = session else {
            let mut connection = self.connect(statement).await?;
            return self.run_parts(statement, &mut connection).await;
        };
        let mut pinned = session.connection.lock().await;
        if pinned.is_none() {
            *pinned = Some(self.connect(statement).await?);
        }
        match pinned.as_mut() {
            Some(connection) => self.run_parts(statement, connection).await,
            None => Err(Stop::Failed("ERROR: the session has no connection".into())),
        }
    }

    async fn connect(&self, statement: &Statement) -> Result<Connection, Stop> {
        let connected = self.connector.connect(&statement.target.database);
        unless_cancelled(statement, connected).await?.map_err(Stop::Failed)
    }

    async fn run_parts(&self, statement: &Statement, connection: &mut Connection) -> Result<(), Stop> {
        let pid = connection.pid;
        statement.advance(Status::Started, |progress| {
            progress.pid = pid;
            progress.started_at = Some(Timestamp::now());
        });
        match statement.batch {
            None => self.run_part(statement, connection, 0, false).await,
            Some(ExecutionMode::AutoCommit) => {
                let mut first_failure = None;
                for index in 0..statement.sqls.len() {
                    match self.run_part(statement, connection, index, false).await {
                        Ok(()) => {}
                        Err(Stop::Failed(error)) => {
                            first_failure.get_or_insert_with(|| numbered(index, &error));
                        }
                        Err(Stop::Cancelled) => return Err(Stop::Cancelled),
                    }
                }
                first_failure.map_or(Ok(()), |error| Err(Stop::Failed(error)))
            }
            Some(ExecutionMode::Transaction) => self.run_transaction(statement, connection).await,
        }
    }

    async fn run_transaction(&self, statement: &Statement, connection: &mut Connection) -> Result<(), Stop> {
        let own = !connection.in_transaction;
        if own {
            connection.client.batch_execute(BEGIN).await?;
        }
        for index in 0..statement.sqls.len() {
            let Err(stop) = self.run_part(statement, connection, index, true).await else { continue };
            if own {
                end_transaction(statement, &connection.client, false).await?;
            }
            return Err(match stop {
                Stop::Failed(error) => Stop::Failed(numbered(index, &error)),
                Stop::Cancelled => Stop::Cancelled,
            });
        }
        if own {
            end_transaction(statement, &connection.client, true).await?;
        }
        Ok(())
    }

    /// Executes the SQL text at `index` and records its result.
    async fn run_part(
        &self,
        statement: &Statement,
        connection: &mut Connection,
        index: usize,
        in_batch: bool,
    ) -> Result<(), Stop> {
        let query_id = self.last_query_id.fetch_add(1, Ordering::Relaxed) + 1;
        let ordered = statement.faults.iter().find_map(|fault| match fault {
            StatementFault::Fail(fail) => (fail.part == index).then(|| fail.error.clone()),
            StatementFault::DropEvent
            | StatementFault::DoubleEvent
            | StatementFault::DelayEvent(_)
            | StatementFault::Delay(_) => None,
        });
        {
            let mut progress = statement.progress();
            let part = &mut progress.parts[index];
            part.status = Status::Started;
            part.updated_at = Timestamp::now();
            part.query_id = query_id;
            part.runs += u32::from(ordered.is_none());
        }
        let began = Instant::now();
        let outcome = if let Some(error) = ordered {
            Err(Stop::Failed(error))
        } else if statement.cancel_requested() {
            Err(Stop::Cancelled)
        } else {
            self.run_sql(statement, connection, &statement.sqls[index], in_batch).await
        };
        let ran = began.elapsed();
        self.keep_load_errors(statement, connection, query_id).await;
        let mut progress = statement.progress();
        let part = &mut progress.parts[index];
        part.updated_at = Timestamp::now();
        part.duration_nanos = i64::try_from(ran.as_nanos()).unwrap_or(i64::MAX);
        match outcome {
            Ok(output) => {
                part.status = Status::Finished;
                part.rows = output.rows;
                part.bytes = output.result.as_ref().map_or(0, |r| i64::try_from(r.bytes).unwrap_or(i64::MAX));
                part.result = output.result.map(Arc::new);
                Ok(())
            }
            Err(Stop::Failed(error)) => {
                part.status = Status::Failed;
                part.error = Some(error.clone());
                Err(Stop::Failed(error))
            }
            Err(Stop::Cancelled) => {
                part.status = Status::Aborted;
                part.error = Some(CANCELLED.to_owned());
                Err(Stop::Cancelled)
            }
        }
    }

    /// Writes the load errors of COPY into the system table. A separate connection is used, because the transaction of
    /// the statement may be rolled back.
    async fn keep_load_errors(&self, statement: &Statement, connection: &Connection, query_id: i64) {
        let errors = std::mem::take(&mut *crate::lock(&connection.load_errors));
        if errors.is_empty() {
            return;
        }
        let kept = async {
            let other = self.connector.connect(&statement.target.database).await?;
            for error in &errors {
                error.record(&other.client, query_id).await.map_err(|error| describe(&error, false))?;
            }
            Ok::<_, String>(())
        };
        if let Err(error) = kept.await {
            tracing::warn!(statement = %statement.id, %error, "cannot write the load errors to sys_load_error_detail");
        }
    }

    async fn run_sql(
        &self,
        statement: &Statement,
        connection: &mut Connection,
        sql: &str,
        in_batch: bool,
    ) -> Result<Output, Stop> {
        let names: Vec<&str> = statement.parameters.iter().filter_map(|p| p.name.as_deref()).collect();
        let translated = translate(sql, &names).map_err(|refusal| Stop::Failed(format!("ERROR: {refusal}")))?;
        let in_transaction = in_batch || connection.in_transaction;
        if translated.in_transaction == InTransaction::Refused && in_transaction {
            let command = translated.command;
            return Err(Stop::Failed(format!("ERROR: {command} cannot run inside a transaction block")));
        }
        let control = matches!(translated.command, "BEGIN" | "COMMIT" | "ROLLBACK");
        if control && in_batch {
            return Err(Stop::Failed(format!(
                "ERROR: {} is not allowed in a batch that is one transaction: remove it, or use ExecutionMode \
                 AUTO_COMMIT",
                translated.command
            )));
        }
        // A single SQL text is sent without a transaction block, because a `CALL` of a procedure that commits requires
        // that.
        let own_transaction = !in_transaction
            && (translated.in_transaction == InTransaction::Needed
                || !matches!(translated.steps[..], [] | [Step::Sql(_)]));
        let client = &connection.client;
        if own_transaction {
            client.batch_execute(BEGIN).await?;
        }
        let outcome =
            self.stoppable(statement, connection, self.run_steps(statement, connection, sql, &translated)).await;
        if own_transaction {
            end_transaction(statement, client, outcome.is_ok()).await?;
        }
        let output = outcome?;
        // Redshift commits the current transaction with TRUNCATE; the rest of the batch runs in a new transaction.
        if translated.commits && in_transaction {
            client.batch_execute("commit").await?;
            if in_batch {
                client.batch_execute(BEGIN).await?;
            }
            connection.in_transaction = false;
        }
        match translated.command {
            "BEGIN" => connection.in_transaction = true,
            "COMMIT" | "ROLLBACK" => connection.in_transaction = false,
            _ => {}
        }
        Ok(output)
    }

    async fn run_steps(
        &self,
        statement: &Statement,
        connection: &Connection,
        original: &str,
        translated: &Translated,
    ) -> Result<Output, Stop> {
        let mut output = Output::affected(0);
        for step in &translated.steps {
            output = match step {
                Step::Sql(sql) => self.run_query(statement, connection, original, sql, &translated.params).await?,
                Step::Copy(spec) => Box::pin(crate::load::copy(connection, &self.s3, spec)).await?,
                Step::Unload(spec) => Box::pin(crate::unload::unload(connection, &self.s3, spec)).await?,
                Step::AppendFrom(spec) => crate::append::append(connection, spec).await?,
            };
            if statement.cancel_requested() && translated.steps.len() > 1 {
                return Err(Stop::Cancelled);
            }
        }
        Ok(output)
    }

    async fn run_query(
        &self,
        statement: &Statement,
        connection: &Connection,
        original: &str,
        sql: &str,
        names: &[String],
    ) -> Result<Output, Stop> {
        let own_text = sql == original;
        let failed = |error: tokio_postgres::Error| Stop::Failed(describe(&error, own_text));
        let prepared = connection.client.prepare(sql).await.map_err(failed)?;
        let values = names.iter().map(|name| {
            let given = statement.parameters.iter().find(|p| p.name.as_ref() == Some(name));
            TextParameter(given.and_then(|p| p.value.as_deref()).unwrap_or_default())
        });
        let rows = connection.client.query_raw(&prepared, values.collect::<Vec<_>>()).await.map_err(failed)?;
        let mut rows = pin!(rows);
        let columns = prepared.columns();
        let mut writer = ResultWriter::new(statement.format, columns, self.max_result_bytes);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            writer.push(&row).map_err(Stop::Failed)?;
        }
        let affected = rows.rows_affected().unwrap_or(0);
        if columns.is_empty() {
            return Ok(Output::affected(affected));
        }
        let metadata = catalog::result_columns(&connection.client, columns).await?;
        let result = writer.finish(metadata).map_err(Stop::Failed)?;
        Ok(Output { rows: i64::try_from(result.rows).unwrap_or(i64::MAX), result: Some(result) })
    }

    /// Runs `work`. If the statement is cancelled meanwhile, cancels the query in PostgreSQL and returns
    /// [`Stop::Cancelled`], unless the work completes first.
    async fn stoppable<T>(
        &self,
        statement: &Statement,
        connection: &Connection,
        work: impl Future<Output = Result<T, Stop>>,
    ) -> Result<T, Stop> {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = statement.cancelled() => {}
        }
        let token = connection.cancel_token();
        let patience = Instant::now() + CANCEL_TIMEOUT;
        while Instant::now() < patience {
            if let Err(error) = token.cancel_query(NoTls).await {
                tracing::warn!(statement = %statement.id, %error, "PostgreSQL did not accept the cancel request");
            }
            tokio::select! {
                biased;
                done = &mut work => return done.map_err(|_| Stop::Cancelled),
                () = tokio::time::sleep(CANCEL_RETRY_INTERVAL) => {}
            }
        }
        tracing::warn!(statement = %statement.id, "the query did not stop after a cancel request; terminating its backend");
        terminate(&self.connector, statement, connection.pid).await;
        Err(Stop::Cancelled)
    }
}

async fn terminate(connector: &Connector, statement: &Statement, pid: i64) {
    let other = connector.connect(&statement.target.database).await;
    if let Ok(other) = other
        && let Ok(pid) = i32::try_from(pid)
        && let Err(error) = other.client.execute("select pg_terminate_backend($1)", &[&pid]).await
    {
        tracing::warn!(statement = %statement.id, %error, "the backend was not terminated");
    }
}

/// Ends a transaction that this server has begun.
///
/// # Errors
/// Returns an error only for a COMMIT. A failed statement has already reported its error, and PostgreSQL rolls back
/// when the connection closes.
async fn end_transaction(statement: &Statement, client: &Client, commit: bool) -> Result<(), Stop> {
    if commit {
        return Ok(client.batch_execute("commit").await?);
    }
    if let Err(error) = client.batch_execute("rollback").await {
        tracing::warn!(statement = %statement.id, %error, "ROLLBACK failed");
    }
    Ok(())
}

/// The error of a batch, with the number of the failed statement.
fn numbered(index: usize, error: &str) -> String {
    format!("Query #{} failed with {error}", index + 1)
}

/// Runs `work` before any SQL is sent; a cancelled statement needs no rollback at this point.
async fn unless_cancelled<T>(statement: &Statement, work: impl Future<Output = T>) -> Result<T, Stop> {
    tokio::select! {
        biased;
        () = statement.cancelled() => Err(Stop::Cancelled),
        done = work => Ok(done),
    }
}
