//! Queries over the Redshift Data API: submit, wait, take the rows.
//!
//! Nobody else has to see these statements, so they carry no name by which one would be adopted, and send no event.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use aws_config::{SdkConfig, timeout::TimeoutConfig};
use aws_sdk_redshiftdata::{
    Client,
    config::Builder,
    types::{Field, SqlParameter, StatusString},
};
use shiftwork_ports::{Queries, Result, Row};
use shiftwork_protocol::{Connection, FailureKind};

use crate::failures::Call;

/// Longest that one DescribeStatement waits (Redshift Data API reference, `WaitTimeSeconds`: 30 s).
const LOOK: Duration = Duration::from_secs(20);
/// What an attempt may take beyond the time that it waits on purpose.
const LATE: Duration = Duration::from_secs(10);

/// [`Queries`] over the Redshift Data API.
#[derive(Debug, Clone)]
pub struct RedshiftQueries {
    client: Client,
    patience: Duration,
}

impl RedshiftQueries {
    /// As the identity of this configuration. A query that is not done in `patience` is cancelled.
    pub fn new(config: &SdkConfig, patience: Duration) -> Self {
        Self { client: Client::new(config), patience }
    }

    async fn submit(
        &self,
        sql: &str,
        connection: &Connection,
        parameters: &BTreeMap<String, String>,
        call: Call<'_>,
    ) -> Result<String> {
        let bound: std::result::Result<Vec<_>, _> =
            parameters.iter().map(|(name, value)| SqlParameter::builder().name(name).value(value).build()).collect();
        let bound = bound.map_err(|error| call.failure(FailureKind::Refused, error))?;
        let submit = self
            .client
            .execute_statement()
            .sql(sql)
            .set_workgroup_name(connection.workgroup.clone())
            .set_cluster_identifier(connection.cluster.clone())
            .database(&connection.database)
            .set_secret_arn(connection.secret_arn.clone())
            .set_db_user(connection.db_user.clone())
            // The Data API refuses an empty list.
            .set_parameters(Some(bound).filter(|bound| !bound.is_empty()));
        let answer = submit.send().await.map_err(|error| call.failed(error))?;
        answer.id.ok_or_else(|| call.failure(FailureKind::Unavailable, "the answer carries no statement id"))
    }

    /// Waits for the end. True when there are rows to take.
    async fn wait(&self, id: &str, call: Call<'_>) -> Result<bool> {
        let begun = Instant::now();
        loop {
            let left = self.patience.saturating_sub(begun.elapsed());
            let look = left.min(LOOK).as_secs().max(1);
            let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(look) + LATE).build();
            let describe = self.client.describe_statement().id(id).wait_time_seconds(i32::try_from(look).unwrap_or(1));
            let described = describe.customize().config_override(Builder::new().timeout_config(timeouts)).send().await;
            let described = described.map_err(|error| call.failed(error))?;
            match described.status() {
                Some(StatusString::Finished) => return Ok(described.has_result_set().unwrap_or(false)),
                Some(StatusString::Failed) => {
                    let words = described.error().unwrap_or("Redshift failed the query without a message");
                    return Err(call.failure(FailureKind::StatementFailed, words));
                }
                Some(StatusString::Aborted) => {
                    return Err(call.failure(FailureKind::StatementAborted, "the query was cancelled in Redshift"));
                }
                // Submitted, picked, started; or a status that the Data API had not when this was written.
                Some(_) | None if left > Duration::ZERO => {}
                Some(_) | None => {
                    // Nobody waits for it any more. Whether the cancel arrives changes nothing about the answer.
                    drop(self.client.cancel_statement().id(id).send().await);
                    let words = format!("no answer within {} s", self.patience.as_secs());
                    return Err(call.failure(FailureKind::TimedOut, words));
                }
            }
        }
    }
}

#[async_trait]
impl Queries for RedshiftQueries {
    async fn rows(
        &self,
        sql: &str,
        connection: &Connection,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Vec<Row>> {
        let call = Call::new("Redshift Data API query", &connection.database);
        let id = self.submit(sql, connection, parameters, call).await?;
        if !self.wait(&id, call).await? {
            return Ok(Vec::new());
        }
        let mut pages = self.client.get_statement_result().id(&id).into_paginator().send();
        let mut rows = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| call.failed(error))?;
            rows.extend(page.records.into_iter().map(|record| record.into_iter().map(text).collect::<Row>()));
        }
        Ok(rows)
    }
}

fn text(field: Field) -> Option<String> {
    match field {
        Field::StringValue(text) => Some(text),
        Field::LongValue(number) => Some(number.to_string()),
        Field::DoubleValue(number) => Some(number.to_string()),
        Field::BooleanValue(flag) => Some(flag.to_string()),
        Field::BlobValue(bytes) => Some(String::from_utf8_lossy(bytes.as_ref()).into_owned()),
        // NULL. The enum is open for what AWS adds.
        _ => None,
    }
}
