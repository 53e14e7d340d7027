//! Statements over the Redshift Data API.
//!
//! The Data API shows a statement only to the role that submitted it, so every function that shares statements makes this
//! adapter from the configuration of one and the same role ([`crate::client::Aws::assume`]).

use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_redshiftdata::{
    Client,
    operation::{
        cancel_statement::CancelStatementError,
        describe_statement::{DescribeStatementError, DescribeStatementOutput},
        list_statements::paginator::ListStatementsPaginator,
    },
    types::{ExecutionMode, SqlParameter, StatementData, StatementStatusString, StatusString, SubStatementData},
};
use shiftwork_ports::{Progress, Result, Statement, Statements, Submission};
use shiftwork_protocol::{Attempt, Connection, FailureKind, Transaction};

use crate::failures::Call;

/// How long a cancelled statement is waited for in one call. Below the client's timeout of an attempt; the Data API allows 30.
const OUTCOME_SECONDS: i32 = 8;

/// [`Statements`] over the Redshift Data API.
#[derive(Debug, Clone)]
pub struct RedshiftStatements {
    client: Client,
}

impl RedshiftStatements {
    /// As the identity of this configuration.
    pub fn new(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }

    async fn execute(&self, submission: &Submission, sql: &str) -> Result<Option<String>> {
        let Submission { name, connection, parameters, .. } = submission;
        let answer = self
            .client
            .execute_statement()
            .sql(sql)
            .statement_name(name.to_string())
            .client_token(name.client_token())
            .with_event(true)
            .set_workgroup_name(connection.workgroup.clone())
            .set_cluster_identifier(connection.cluster.clone())
            .database(&connection.database)
            .set_secret_arn(connection.secret_arn.clone())
            .set_db_user(connection.db_user.clone())
            .set_parameters(bound(parameters)?)
            .send()
            .await
            .map_err(|error| Call::new("Redshift Data API ExecuteStatement", &place(connection)).failed(error))?;
        Ok(answer.id)
    }

    async fn execute_batch(&self, submission: &Submission) -> Result<Option<String>> {
        let Submission { name, connection, sqls, transaction, parameters } = submission;
        let answer = self
            .client
            .batch_execute_statement()
            .set_sqls(Some(sqls.clone()))
            .execution_mode(match transaction {
                Transaction::Single => ExecutionMode::Transaction,
                Transaction::PerStatement => ExecutionMode::AutoCommit,
            })
            .statement_name(name.to_string())
            .client_token(name.client_token())
            .with_event(true)
            .set_workgroup_name(connection.workgroup.clone())
            .set_cluster_identifier(connection.cluster.clone())
            .database(&connection.database)
            .set_secret_arn(connection.secret_arn.clone())
            .set_db_user(connection.db_user.clone())
            .set_parameters(bound(parameters)?)
            .send()
            .await
            .map_err(|error| Call::new("Redshift Data API BatchExecuteStatement", &place(connection)).failed(error))?;
        Ok(answer.id)
    }

    /// Statements of this role whose name begins so, newest first.
    fn list(&self, prefix: &str, status: StatusString, connection: &Connection) -> ListStatementsPaginator {
        self.client
            .list_statements()
            .statement_name(prefix)
            .status(status)
            .role_level(true)
            .database(&connection.database)
            .set_workgroup_name(connection.workgroup.clone())
            .set_cluster_identifier(connection.cluster.clone())
            .into_paginator()
    }

    async fn listed(&self, prefix: &str, status: StatusString, connection: &Connection) -> Result<Vec<StatementData>> {
        let mut listed = Vec::new();
        let mut pages = self.list(prefix, status, connection).items().send();
        while let Some(statement) = pages.next().await {
            listed
                .push(statement.map_err(|error| {
                    Call::new("Redshift Data API ListStatements", &place(connection)).failed(error)
                })?);
        }
        Ok(listed)
    }

    /// What the Data API says of a statement, if it knows it; with `wait`, not before it ended or those seconds passed.
    async fn description(
        &self,
        id: &str,
        name: &Attempt,
        wait: Option<i32>,
    ) -> Result<Option<DescribeStatementOutput>> {
        match self.client.describe_statement().id(id).set_wait_time_seconds(wait).send().await {
            Ok(described) => Ok(Some(described)),
            Err(error) => match error.as_service_error() {
                Some(DescribeStatementError::ResourceNotFoundException(_)) => Ok(None),
                Some(_) | None => {
                    Err(Call::new("Redshift Data API DescribeStatement", &format!("{name} ({id})")).failed(error))
                }
            },
        }
    }

    async fn described(&self, id: &str, name: &Attempt, wait: Option<i32>) -> Result<Option<Statement>> {
        let Some(described) = self.description(id, name, wait).await? else { return Ok(None) };
        let progress = progress(&described).ok_or_else(|| {
            let status = described.status().map_or("no status", StatusString::as_str);
            Call::new("Redshift Data API DescribeStatement", &format!("{name} ({id})"))
                .failure(FailureKind::Unavailable, format_args!("{status} is no status of a statement"))
        })?;
        Ok(Some(Statement { id: id.into(), name: name.clone(), progress }))
    }
}

#[async_trait]
impl Statements for RedshiftStatements {
    async fn submit(&self, submission: &Submission) -> Result<String> {
        let id = match submission.sqls.as_slice() {
            [sql] => self.execute(submission, sql).await?,
            [] | [_, _, ..] => self.execute_batch(submission).await?,
        };
        id.ok_or_else(|| {
            Call::new("Redshift Data API ExecuteStatement", &submission.name.to_string())
                .failure(FailureKind::Unavailable, "the answer carries no statement id")
        })
    }

    async fn find(&self, name: &Attempt, connection: &Connection) -> Result<Option<Statement>> {
        // ListStatements takes a prefix: attempt 1 also finds attempts 10 to 19. Two of the very same name exist only
        // when somebody submitted the name again after the Data API forgot its token; the newer one counts.
        let wanted = name.to_string();
        let newest = self
            .listed(&wanted, StatusString::All, connection)
            .await?
            .into_iter()
            .filter(|statement| statement.statement_name() == Some(&wanted))
            .max_by_key(|statement| statement.created_at.map(|at| (at.secs(), at.subsec_nanos())));
        match newest {
            Some(statement) => self.describe(&statement.id, name).await,
            None => Ok(None),
        }
    }

    async fn active(&self, run: &str, connection: &Connection) -> Result<Vec<Statement>> {
        // In the order of a statement's life, so that one that moves on between two calls is met by the second.
        let mut active = Vec::new();
        let mut seen = BTreeSet::new();
        for status in [StatusString::Submitted, StatusString::Picked, StatusString::Started] {
            for listed in self.listed(&Attempt::run_prefix(run), status, connection).await? {
                let Some(Ok(name)) = listed.statement_name().map(str::parse::<Attempt>) else { continue };
                if seen.insert(listed.id.clone()) {
                    active.push(Statement { id: listed.id, name, progress: Progress::Active });
                }
            }
        }
        Ok(active)
    }

    async fn describe(&self, id: &str, name: &Attempt) -> Result<Option<Statement>> {
        self.described(id, name, None).await
    }

    async fn outcome(&self, id: &str, name: &Attempt) -> Result<Option<Statement>> {
        self.described(id, name, Some(OUTCOME_SECONDS)).await
    }

    async fn copied(&self, id: &str, name: &Attempt) -> Result<Option<i64>> {
        Ok(self.description(id, name, None).await?.as_ref().and_then(copied))
    }

    async fn cancel(&self, id: &str) -> Result<()> {
        let Err(error) = self.client.cancel_statement().id(id).send().await else { return Ok(()) };
        match error.as_service_error() {
            Some(CancelStatementError::ResourceNotFoundException(_)) => return Ok(()),
            // The Data API refuses to cancel what has ended, in words that it may change; so look.
            Some(CancelStatementError::ValidationException(_)) => {
                let found = self.client.describe_statement().id(id).send().await;
                if found.is_ok_and(|found| !matches!(progress(&found), None | Some(Progress::Active))) {
                    return Ok(());
                }
            }
            Some(_) | None => {}
        }
        Err(Call::new("Redshift Data API CancelStatement", id).failed(error))
    }
}

/// `None` for a status that the Data API had not when this was written.
fn progress(described: &DescribeStatementOutput) -> Option<Progress> {
    Some(match described.status()? {
        StatusString::Submitted | StatusString::Picked | StatusString::Started => Progress::Active,
        StatusString::Finished => Progress::Finished { rows: rows(described) },
        StatusString::Failed => Progress::Failed { message: message(described) },
        StatusString::Aborted => Progress::Aborted,
        // `ALL` only filters lists; the enum is open for what AWS adds.
        _ => return None,
    })
}

/// The rows of a statement, or of the last one of a batch; the Data API says −1 where Redshift did not count.
fn rows(described: &DescribeStatementOutput) -> Option<i64> {
    let rows = described.sub_statements().last().map_or(described.result_rows, |last| last.result_rows);
    (rows >= 0).then_some(rows)
}

/// The rows of all statements of a batch that are a COPY (Redshift Data API Reference, `SubStatementData`: `ResultRows` counts what a COPY
/// has loaded).
fn copied(described: &DescribeStatementOutput) -> Option<i64> {
    let copies = described.sub_statements().iter().filter(|sub| sub.query_string().is_some_and(is_copy));
    copies.map(|copy| copy.result_rows).filter(|rows| *rows >= 0).reduce(i64::saturating_add)
}

/// Comments may stand before it.
fn is_copy(sql: &str) -> bool {
    let first = sql.lines().map(str::trim_start).find(|line| !line.is_empty() && !line.starts_with("--"));
    first.and_then(|line| line.split_whitespace().next()).is_some_and(|word| word.eq_ignore_ascii_case("copy"))
}

/// Redshift's words; of a batch those of the statement that failed, with its number.
fn message(described: &DescribeStatementOutput) -> String {
    let failed = described
        .sub_statements()
        .iter()
        .enumerate()
        .find(|(_, sub)| sub.status == Some(StatementStatusString::Failed) && sub.error.is_some());
    match (failed, described.error()) {
        (Some((position, SubStatementData { error: Some(error), .. })), _) => {
            format!("statement {}: {error}", position + 1)
        }
        (_, Some(error)) => error.to_owned(),
        (_, None) => "Redshift failed the statement without a message".into(),
    }
}

fn bound(parameters: &std::collections::BTreeMap<String, String>) -> Result<Option<Vec<SqlParameter>>> {
    // The Data API refuses an empty list.
    if parameters.is_empty() {
        return Ok(None);
    }
    parameters
        .iter()
        .map(|(name, value)| SqlParameter::builder().name(name).value(value).build())
        .collect::<std::result::Result<_, _>>()
        .map(Some)
        .map_err(|error| {
            Call::new("Redshift Data API ExecuteStatement", "parameters").failure(FailureKind::Refused, error)
        })
}

/// Where a statement runs, for a person.
fn place(connection: &Connection) -> String {
    let Connection { workgroup, cluster, database, .. } = connection;
    match (workgroup, cluster) {
        (Some(workgroup), _) => format!("database {database} of workgroup {workgroup}"),
        (None, Some(cluster)) => format!("database {database} of cluster {cluster}"),
        (None, None) => format!("database {database} of neither workgroup nor cluster"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_batch_has_copied_is_the_sum_of_its_copies() {
        let sub =
            |sql: &str, rows| SubStatementData::builder().id("1").query_string(sql).result_rows(rows).build().unwrap();
        let batch = |subs: Vec<SubStatementData>| {
            DescribeStatementOutput::builder().id("1").set_sub_statements(Some(subs)).build().unwrap()
        };
        let load = batch(vec![
            sub("-- TRUNCATE would commit.\nDELETE FROM staging", 99),
            sub("-- Files from before.\nCOPY staging (\n id) FROM 's3://b/a'", 40),
            sub("copy staging FROM 's3://b/b'", 2),
            sub("INSERT INTO copy SELECT 1", 1),
            sub("DELETE FROM watermarks", 0),
        ]);
        assert_eq!((copied(&load), rows(&load)), (Some(42), Some(0)));
        assert_eq!(copied(&batch(vec![sub("COPY a FROM 's3://b/a'", -1)])), None, "Redshift did not count");
        assert_eq!(copied(&batch(vec![sub("SELECT 1", 1)])), None);
    }
}
