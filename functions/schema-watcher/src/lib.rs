//! Columns that arrived unannounced: which wait, since when, what takes them in; and taking them in.
//!
//! ```text
//! schedule ── Watch ──▶ marks (one listing) ──▶ contracts that staged something ──▶ Redshift ──▶ record, event, message
//! a person ── Look, Apply ─────────────────────▶ one contract ─────────────────────▲       └──▶ migration ──▶ contract
//! a statement of a migration ended, and whoever submitted it has gone ────────────────────────▶ the rest of it
//! ```
//!
//! - [`infer`], [`names`], [`decide`]: what is to be done, pure.
//! - [`state`]: what is remembered, and when a mark may go, pure but for reading and writing.
//! - [`edit`]: a contract with further columns, as text.
//! - `incoming`, `look`, `migrate`: read, fetch and perform.
//!
//! A migration is written down before its first statement is submitted, in the same write as what was found. Whoever comes
//! next, a person or the schedule, does what is left of it: statements are found by their names, and the contract is written last.

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
mod wiring;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use serde_json::Value;
use shiftwork_aws::{environment, notices::NoticesEnvironment};
use shiftwork_ports::{Bucket, Changed, Clock, Configuration, Notices, Result, Warehouse};
use shiftwork_protocol::{
    Connection, Failure, FailureKind,
    drift::{Drift, DriftAnswer, DriftRequest, MigrationProgress},
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

/// Contracts that are looked at side by side.
const AT_ONCE: usize = 4;
/// Contracts of one answer.
const MOST_CONTRACTS: usize = 1_000;

/// The function.
pub struct Watcher {
    /// The scripts bucket, for contracts.
    pub contracts: Bucket,
    /// The staging bucket, for marks and records.
    pub staging: Bucket,
    /// Where a contract's workflow says which connection it loads over.
    pub configuration: Arc<dyn Configuration>,
    /// Redshift, to be asked and to be changed.
    pub warehouse: Arc<dyn Warehouse>,
    /// Tells programs and people.
    pub notices: Arc<dyn Notices>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The connection of contracts whose workflow names none.
    pub default_connection: Connection,
    /// How long a statement of a migration is waited for before the answer is "still running".
    pub patience: Duration,
}

impl Watcher {
    /// Does what an event asks for; nobody reads the answer to the end of a statement.
    ///
    /// # Errors
    /// What cannot be read, what AWS or Redshift refused.
    pub async fn handle(&self, event: &Value) -> Result<DriftAnswer> {
        match incoming::read(event)? {
            Incoming::Request(request) => self.answer(&request).await,
            Incoming::Ended(contract) => self.ended(&contract).await.map(|()| DriftAnswer::default()),
        }
    }

    /// Does what is asked. Asked again: what was done is found, and the rest is done.
    pub async fn answer(&self, request: &DriftRequest) -> Result<DriftAnswer> {
        let contracts = match request {
            DriftRequest::Watch { scheduled } => return self.watch(*scheduled).await,
            DriftRequest::Look { contract, only } => vec![self.look(contract, only).await?],
            DriftRequest::Apply { contract, only, migration } => vec![self.apply(contract, only, migration).await?],
        };
        Ok(DriftAnswer { contracts })
    }

    async fn watch(&self, scheduled: bool) -> Result<DriftAnswer> {
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
                Ok(drift) => contracts.extend(drift.filter(is_worth_telling)),
                Err(failure) => {
                    tracing::error!(contract, failure = failure.kind.name(), "{failure}");
                    contracts.push(self.nothing_known(contract, &failure));
                    failures.push((contract, failure));
                }
            }
        }
        match failures.first() {
            Some((contract, failure)) if scheduled => Err(Failure::new(
                failure.kind,
                format!("{} of the contracts could not be looked at; {contract}: {failure}", failures.len()),
            )),
            Some(_) | None => Ok(DriftAnswer { contracts }),
        }
    }

    /// Looks at a contract if there is anything new to see, and finishes what was begun.
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
            tracing::info!(contract, "its rows were staged by a contract that is gone: nobody asks");
            if let Some(mark) = mark {
                self.staging.delete_unchanged(&key, &mark.head.etag).await?;
            }
            return Ok(None);
        }
        // After the mark was read: a file that it speaks of is listed, or loaded.
        let prefix = staged_prefix(contract);
        let staged = state::keys(&self.staging, &prefix, state::MOST_WAITING).await?;
        let decision =
            mark.as_ref().map(|mark| state::decide_mark(read.record.seen.as_ref(), &mark.head.etag, &staged));
        if !read.record.given_up && decision.as_ref().is_some_and(|decision| !decision.ask) {
            return Ok(read.record.drift);
        }
        let looked = self.ask(contract).await?;
        let by_itself = looked.by_itself()?;
        let begun = by_itself.is_some();
        let seen = decision.as_ref().map(|decision| decision.seen.clone());
        let drift = self.remember(contract, &read, &looked, seen, by_itself).await?;
        if let Some(mark) = mark.filter(|_| decision.is_some_and(|decision| decision.settled))
            && self.staging.delete_unchanged(&key, &mark.head.etag).await? == Changed::ConditionFailed
        {
            tracing::info!(contract, "more was staged meanwhile: the mark stays");
        }
        if begun { self.resume(contract, true).await.map(Some) } else { Ok(Some(drift)) }
    }

    /// What is answered for a contract that could not be looked at.
    fn nothing_known(&self, contract: &str, failure: &Failure) -> Drift {
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

fn is_worth_telling(drift: &Drift) -> bool {
    !drift.findings.is_empty() || drift.progress != MigrationProgress::Waiting
}

/// A failure of whoever asks.
fn refused(words: impl Into<String>) -> Failure {
    Failure::new(FailureKind::InvalidRequest, words)
}
