//! Finds fields of change events whose values have no column, and migrates tables and contracts to take them.
//!
//! ```text
//! schedule ── Watch ──▶ marks (one listing) ──▶ contracts with a mark ─────────────▶ Redshift ──▶ record, event, message
//! a user ──── Look, Apply ─────────────────────▶ one contract ─────────────────────▲       └──▶ migration ──▶ contract
//! event ───── a statement of a migration ended after its invocation stopped waiting ───────────▶ the remaining statements
//! ```
//!
//! - [`infer`], [`types`], [`names`], [`decide`]: decide what to do about each field, without I/O.
//! - [`state`]: the record of each contract, and the decision when a mark can be deleted.
//! - [`edit`]: adds columns to the text of a contract.
//! - `incoming`, `look`, `migrate`: read the request, query Redshift, and run a migration.
//!
//! A migration is written to the record before its first statement is submitted, in the same write as the findings. If its invocation
//! stops, the next one for the contract (a user's or the schedule's) runs the remaining statements: it finds the submitted statements by
//! their names. The contract is written last.

pub mod decide;
pub mod edit;
mod incoming;
pub mod infer;
mod look;
mod migrate;
pub mod names;
mod sql;
pub mod state;
#[cfg(test)]
mod tests;
pub mod types;
mod wiring;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream};
use serde_json::Value;
use shiftwork_aws::{environment, notices::NoticesEnvironment};
use shiftwork_ports::{Bucket, Changed, Clock, Configuration, Notices, Result, Warehouse};
use shiftwork_protocol::{
    Connection, Failure, FailureKind,
    drift::{Drift, DriftRequest, DriftResponse, MigrationProgress},
    keys::{DRIFT_MARKS, drift_mark_key, staged_prefix},
};

use incoming::Incoming;

environment! {
    /// The environment variables of the function.
    pub struct Environment {
        pub config_table: String,
        pub default_connection: Connection,
        pub notices: NoticesEnvironment,
        pub scripts_bucket: String,
        pub staging_bucket: String,
        pub statement_role_arn: String,
    }
}

/// Number of contracts that are examined concurrently.
const AT_ONCE: usize = 4;
/// Most contracts in one response.
const MOST_CONTRACTS: usize = 1_000;

/// The Lambda function schema-watcher.
pub struct Watcher {
    /// The scripts bucket, which has the table contracts.
    pub contracts: Bucket,
    /// The staging bucket, which has the marks, the staged files and the records.
    pub staging: Bucket,
    /// The configuration, for the connection that a contract's workflow names.
    pub configuration: Arc<dyn Configuration>,
    /// Redshift, which is queried and migrated.
    pub warehouse: Arc<dyn Warehouse>,
    /// Publishes events and sends messages to users.
    pub notices: Arc<dyn Notices>,
    /// The source of the current time.
    pub clock: Arc<dyn Clock>,
    /// The connection of contracts whose workflow does not name one.
    pub default_connection: Connection,
    /// How long an invocation waits for a statement of a migration before it returns the progress "running".
    pub statement_timeout: Duration,
}

impl Watcher {
    /// Handles an invocation. The response to the end of a statement is empty.
    ///
    /// # Errors
    /// The event is not valid, or a call of AWS or a statement in Redshift failed.
    pub async fn handle(&self, event: &Value) -> Result<DriftResponse> {
        match incoming::read(event)? {
            Incoming::Request(request) => self.respond(&request).await,
            Incoming::StatementEnded(contract) => {
                self.statement_ended(&contract).await.map(|()| DriftResponse::default())
            }
        }
    }

    /// Handles a request. It is idempotent: steps that an earlier invocation has completed are not repeated.
    pub async fn respond(&self, request: &DriftRequest) -> Result<DriftResponse> {
        let contracts = match request {
            DriftRequest::Watch { scheduled } => return self.watch(*scheduled).await,
            DriftRequest::Look { contract, only, types } => vec![self.look(contract, only, types).await?],
            DriftRequest::Apply { contract, only, types, migration } => {
                vec![self.apply(contract, only, types, migration).await?]
            }
        };
        Ok(DriftResponse { contracts })
    }

    async fn watch(&self, scheduled: bool) -> Result<DriftResponse> {
        let marks = state::keys(&self.staging, DRIFT_MARKS, MOST_CONTRACTS).await?;
        let marked: BTreeSet<String> = marks.iter().map(|mark| mark[DRIFT_MARKS.len()..].to_owned()).collect();
        let known = state::known(&self.staging).await?;
        let all: BTreeSet<&String> = marked.union(&known).collect();
        let seen = stream::iter(all).map(|contract| {
            let marked = marked.contains(contract);
            async move { (contract, self.watch_one(contract, marked).await) }
        });
        let seen: Vec<_> = seen.buffered(AT_ONCE).collect().await;
        let (mut contracts, mut failures) = (Vec::new(), Vec::new());
        for (contract, drift) in seen {
            match drift {
                Ok(drift) => contracts.extend(drift.filter(has_findings_or_progress)),
                Err(failure) => {
                    tracing::error!(contract, failure = failure.kind.name(), "{failure}");
                    contracts.push(self.problem(contract, &failure));
                    failures.push((contract, failure));
                }
            }
        }
        match failures.first() {
            Some((_, failure)) if scheduled => {
                let contracts: Vec<_> = failures.iter().map(|(contract, _)| contract.as_str()).collect();
                let message = format!("{} contracts could not be examined: {}", failures.len(), contracts.join(", "));
                Err(Failure::new(failure.kind, message))
            }
            Some(_) | None => Ok(DriftResponse { contracts }),
        }
    }

    /// Finishes a migration of the contract that was begun, or queries Redshift if new files of the contract have been loaded.
    async fn watch_one(&self, contract: &str, marked: bool) -> Result<Option<Drift>> {
        let read = state::read(&self.staging, contract).await?;
        if read.record.intent.is_some() {
            return self.resume(contract, false).await.map(Some);
        }
        let key = drift_mark_key(contract);
        let mark = if marked { self.staging.read(&key).await? } else { None };
        if mark.is_none() && !read.record.given_up {
            return Ok(read.record.drift);
        }
        if self.contract(contract).await?.is_none() {
            tracing::info!(contract, "the contract of the mark does not exist, so its table is not examined");
            if let Some(mark) = mark {
                self.staging.delete_unchanged(&key, &mark.head.etag).await?;
            }
            return Ok(None);
        }
        // Listed after the mark was read, so that the file of the mark is in the listing or has been loaded.
        let prefix = staged_prefix(contract);
        let staged = state::keys(&self.staging, &prefix, state::MOST_WAITING).await?;
        let decision =
            mark.as_ref().map(|mark| state::decide_mark(read.record.seen.as_ref(), &mark.head.etag, &staged));
        if !read.record.given_up && decision.as_ref().is_some_and(|decision| !decision.query) {
            return Ok(read.record.drift);
        }
        let current = self.query(contract, self.types(contract, &read, &BTreeMap::new()).await?).await?;
        let automatic = current.automatic_migration()?;
        let begun = automatic.is_some();
        let seen = decision.as_ref().map(|decision| decision.seen.clone());
        let drift = self.remember(contract, &read, &current, seen, automatic).await?;
        if let Some(mark) = mark.filter(|_| decision.is_some_and(|decision| decision.settled))
            && self.staging.delete_unchanged(&key, &mark.head.etag).await? == Changed::ConditionFailed
        {
            tracing::info!(contract, "a file was staged in the meantime, so the mark is kept");
        }
        if begun { self.resume(contract, true).await.map(Some) } else { Ok(Some(drift)) }
    }

    /// The response for a contract that could not be examined.
    fn problem(&self, contract: &str, failure: &Failure) -> Drift {
        Drift {
            contract: contract.to_owned(),
            table: String::new(),
            unknown: String::new(),
            looked_ts: self.clock.now(),
            findings: Vec::new(),
            more: 0,
            migration: None,
            progress: MigrationProgress::Waiting,
            problem: Some(failure.to_string()),
        }
    }
}

fn has_findings_or_progress(drift: &Drift) -> bool {
    !drift.findings.is_empty() || drift.progress != MigrationProgress::Waiting
}

/// A failure that the caller or the author of the contract has to fix.
fn refused(reason: impl Into<String>) -> Failure {
    Failure::new(FailureKind::InvalidRequest, reason)
}
