//! Runs a migration that is in the record: first its statements, then the change of the contract.
//!
//! After a crash the record still has the migration, and the next invocation continues it. The name of each statement is derived from
//! the migration's id, so that a submitted statement is found by its name. The contract is written last: until the transaction commits,
//! loads of the contract with fewer columns still work.

use std::collections::BTreeMap;

use shiftwork_ports::{Changed, Condition, Engine, NewObject, Progress, Result, Session, Submission};
use shiftwork_promotion::{KeyRelease, Promotion, is_done_already, is_refused_for_key};
use shiftwork_protocol::keys::contract_key;
use shiftwork_protocol::{
    Attempt, Class, Connection, Failure, FailureKind, Owner, Transaction,
    drift::{Drift, MigrationProgress},
    name::sha256,
};

use crate::{
    Watcher,
    decide::merged,
    look::StoredContract,
    refused,
    state::{self, Intent, StoredState, WatchState},
};

/// Most attempts of one statement within the 24 hours for which the Data API keeps statements.
const MOST_ATTEMPTS: u32 = 100;
/// Most attempts of one statement by one invocation, after conflicts with loads.
const TRIES: u32 = 3;
/// How often a contract is read again because it was pushed at the same time.
const MOST_RACES: u32 = 5;

/// What to do if views of users keep Redshift from dropping a column.
const DROP_VIEWS: &str = ". Drop the views that use the column, apply the migration again, and create the views again. A view WITH NO SCHEMA BINDING can stay";

/// The state of a migration's statements.
enum StatementState {
    /// All of them have succeeded.
    Done,
    /// Redshift is running one of them.
    Running,
    /// One of them failed and a retry cannot succeed.
    GivenUp(Failure),
}

/// The statements that are submitted in one call of the Data API.
struct Part<'a> {
    number: u32,
    sqls: &'a [String],
    transaction: Transaction,
}

impl Watcher {
    pub(crate) async fn apply(
        &self,
        contract: &str,
        only: &[String],
        types: &BTreeMap<String, String>,
        migration: &str,
    ) -> Result<Drift> {
        let read = state::read(&self.staging, contract).await?;
        if let Some(intent) = &read.record.intent {
            let other = intent.id != migration;
            let drift = self.resume(contract, false).await?;
            if other && drift.progress == MigrationProgress::Done {
                return Err(refused(format!(
                    "an earlier migration of {contract} had to be finished first and is now done: look at the contract again"
                )));
            }
            return Ok(drift);
        }
        if read.record.done.as_deref() == Some(migration)
            && let Some(drift) = read.record.drift
        {
            return Ok(Drift { progress: MigrationProgress::Done, migration: None, ..drift });
        }
        let current = self.query(contract, self.types(contract, &read, types).await?).await?;
        let Some(intent) = current.migration(only)?.filter(|intent| intent.id == migration) else {
            return Err(refused(format!(
                "the fields without a column in {}, or the contract, have changed since the migration was shown: look at the contract again",
                current.drift.table
            )));
        };
        self.remember(contract, &read, &current, None, Some(intent)).await?;
        self.resume(contract, true).await
    }

    /// Continues a migration after one of its statements ended. Does nothing if the invocation that submitted the statement still waits
    /// for it, or if another invocation continues the migration.
    pub(crate) async fn statement_ended(&self, contract: &str) -> Result<()> {
        let read = state::read(&self.staging, contract).await?;
        let Some(intent) = read.record.intent.clone().filter(|intent| intent.unattended) else { return Ok(()) };
        let record = WatchState { intent: Some(Intent { unattended: false, ..intent }), ..read.record.clone() };
        match state::write(&self.staging, contract, &read, &record).await? {
            Changed::Done => self.resume(contract, false).await.map(drop),
            Changed::ConditionFailed => Ok(()),
        }
    }

    /// Completes the migration in the record. `fresh` means that this invocation has just written it, so that no statement of it has
    /// been submitted.
    pub(crate) async fn resume(&self, contract: &str, fresh: bool) -> Result<Drift> {
        let mut fresh = fresh;
        loop {
            let read = state::read(&self.staging, contract).await?;
            let Some(drift) = read.record.drift.clone() else {
                return Err(Failure::corrupt(format!(
                    "the drift record of {contract} in the staging bucket has a migration but no findings; delete the record"
                )));
            };
            // Another invocation has completed the migration.
            let Some(intent) = read.record.intent.clone() else {
                return Ok(Drift { progress: MigrationProgress::Done, migration: None, ..drift });
            };
            let record = match self.run(contract, &intent, fresh).await? {
                StatementState::Done => {
                    self.extend_contract(contract, &intent).await?;
                    return self.complete(contract, &read, &intent, drift).await;
                }
                StatementState::Running if intent.unattended => {
                    return Ok(Drift { progress: MigrationProgress::Running, ..drift });
                }
                // From now on the event of the statement's end continues the migration. The statement may have ended before this is
                // written, so the loop checks once more.
                StatementState::Running => {
                    WatchState { intent: Some(Intent { unattended: true, ..intent }), ..read.record.clone() }
                }
                StatementState::GivenUp(failure) => {
                    // The transaction did not commit, and columns that were added do not prevent another migration. So the record no
                    // longer has this one.
                    let record = WatchState { intent: None, given_up: true, ..read.record.clone() };
                    state::write(&self.staging, contract, &read, &record).await?;
                    return Err(failure);
                }
            };
            state::write(&self.staging, contract, &read, &record).await?;
            fresh = false;
        }
    }

    /// Runs the statements of a migration.
    async fn run(&self, contract: &str, intent: &Intent, fresh: bool) -> Result<StatementState> {
        let StoredContract { written, .. } = self.contract_of(contract).await?;
        let connection = self.connection(&written.contract).await?;
        let before = intent.before.iter().map(|sql| (std::slice::from_ref(sql), Transaction::PerStatement));
        let transactions = [intent.replacement.as_slice(), intent.transaction.as_slice()].into_iter();
        let transactions = transactions.filter(|sqls| !sqls.is_empty()).map(|sqls| (sqls, Transaction::Single));
        let all: Vec<_> = before.chain(transactions).collect();
        let parts = u32::try_from(all.len()).unwrap_or(u32::MAX);
        for ((sqls, transaction), number) in all.into_iter().zip(1..) {
            let part = Part { number, sqls, transaction };
            let named = |attempt| Attempt {
                owner: Owner::Migration,
                run: contract.into(),
                job: intent.id.clone(),
                attempt,
                part: number,
                parts,
            };
            let submission = |attempt| Submission {
                attempt: named(attempt),
                connection: connection.clone(),
                sqls: part.sqls.to_vec(),
                session: Session::Own,
                parameters: BTreeMap::new(),
            };
            let around = Promotion::of(&written.contract).key_release(sqls);
            let mut released = false;
            loop {
                match self.run_part(contract, intent, &part, &submission, fresh && !released).await? {
                    StatementState::Done => break,
                    // Redshift neither widens nor drops a column that is a key of its table.
                    StatementState::GivenUp(failure) if !released && is_refused_for_key(&failure.message) => {
                        let Some(KeyRelease { release, .. }) = &around else {
                            return Ok(StatementState::GivenUp(failure));
                        };
                        self.run_each(release, &connection).await?;
                        released = true;
                    }
                    other => return Ok(other),
                }
            }
            if let Some(KeyRelease { restore, .. }) = around.filter(|_| released) {
                self.run_each(&restore, &connection).await?;
            }
        }
        Ok(StatementState::Done)
    }

    /// Runs statements outside of the migration. They may have been run before.
    async fn run_each(&self, statements: &[String], connection: &Connection) -> Result<()> {
        for sql in statements {
            match self.warehouse.rows(sql, connection, &BTreeMap::new()).await {
                Err(failure) if !is_done_already(&failure.message) => return Err(failure),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Runs one part, unless an earlier attempt of it has succeeded.
    async fn run_part(
        &self,
        contract: &str,
        intent: &Intent,
        part: &Part<'_>,
        submission: &impl Fn(u32) -> Submission,
        fresh: bool,
    ) -> Result<StatementState> {
        let mut tries = 0;
        for attempt in 1..=MOST_ATTEMPTS {
            let submission = submission(attempt);
            let engine = self.warehouse.engine(&submission.connection);
            let found = if fresh { None } else { engine.find(&submission.attempt).await? };
            let ended_before = found.as_ref().is_some_and(|found| found.progress != Progress::Active);
            let progress = match found {
                Some(found) if found.progress != Progress::Active => found.progress,
                Some(found) => self.wait(&*engine, &found.id, &submission.attempt).await?,
                None => {
                    // Once the last transaction commits, loads of a contract without the new columns are refused. Before, a push of
                    // the contract can still stop the migration.
                    if part.transaction == Transaction::Single
                        && self.contract_of(contract).await?.etag != intent.contract
                    {
                        let reason = format!(
                            "contract {contract} was pushed while its table was migrated: look at the contract again"
                        );
                        return Ok(StatementState::GivenUp(refused(reason)));
                    }
                    tries += 1;
                    let id = self.warehouse.submit(&submission).await?;
                    tracing::info!(statement = %submission.attempt, id, part = part.number, "submitted");
                    self.wait(&*engine, &id, &submission.attempt).await?
                }
            };
            let is_done = |message: &str| part.transaction == Transaction::PerStatement && is_done_already(message);
            let (kind, reason) = match progress {
                Progress::Active => return Ok(StatementState::Running),
                Progress::Finished => return Ok(StatementState::Done),
                Progress::Failed { message, .. } if is_done(&message) => return Ok(StatementState::Done),
                Progress::Failed { kind, message, .. } => (kind, message),
                Progress::Aborted { .. } => {
                    (FailureKind::StatementAborted, "the statement was cancelled in Redshift".to_owned())
                }
            };
            let advice = if reason.contains("depend on it") { DROP_VIEWS } else { "" };
            let failure = Failure::new(kind, format!("migration, statement {}: {reason}{advice}", submission.attempt));
            match kind.class() {
                Class::Retryable | Class::Terminal | Class::Duplicate if ended_before => {}
                Class::Retryable if tries < TRIES => {}
                Class::Retryable => return Err(failure),
                Class::Terminal | Class::Duplicate => return Ok(StatementState::GivenUp(failure)),
            }
        }
        let reason = format!("a statement of the migration of {contract} failed {MOST_ATTEMPTS} times within a day");
        Ok(StatementState::GivenUp(Failure::new(FailureKind::StatementFailed, reason)))
    }

    async fn wait(&self, engine: &dyn Engine, id: &str, attempt: &Attempt) -> Result<Progress> {
        let state = engine.outcome(id, attempt, self.statement_timeout).await?;
        state.map(|state| state.progress).ok_or_else(|| {
            Failure::new(
                FailureKind::Unavailable,
                format!("the Data API does not return the submitted statement {attempt}; send the request again"),
            )
        })
    }

    /// Adds the new columns to the contract with a conditional write. A contract that is pushed at the same time is read again.
    async fn extend_contract(&self, contract: &str, intent: &Intent) -> Result<()> {
        let key = contract_key(contract);
        for _ in 0..MOST_RACES {
            let StoredContract { written, etag } = self.contract_of(contract).await?;
            let columns = merged(&written.contract, &intent.added, &intent.widened).map_err(|why| {
                refused(format!(
                    "{key} was pushed while its table was migrated: {why}; fix the contract and push it again"
                ))
            })?;
            if columns == written.contract.columns() {
                return Ok(());
            }
            let text = written.with_columns(&key, &columns)?;
            let user_metadata = BTreeMap::from([("sha256".to_owned(), sha256(&text))]);
            let object = NewObject { user_metadata, ..NewObject::json(text.into_bytes()) };
            if self.contracts.write(&key, object, &Condition::IfUnchanged(etag)).await? == Changed::Done {
                tracing::info!(contract, columns = columns.len(), "columns were added to the contract");
                return Ok(());
            }
        }
        Err(Failure::new(
            FailureKind::Unavailable,
            format!("{key} was pushed {MOST_RACES} times while its columns were added; send the request again"),
        ))
    }

    /// Removes a completed migration and its findings from the record.
    async fn complete(&self, contract: &str, read: &StoredState, intent: &Intent, drift: Drift) -> Result<Drift> {
        let mut left = drift;
        left.findings.retain(|finding| !intent.fields.contains(&finding.field));
        left.migration = None;
        let told = left.findings.iter().map(state::identity).filter(|told| read.record.told.contains(told)).collect();
        let record = WatchState {
            drift: Some(left.clone()),
            told,
            seen: read.record.seen.clone(),
            intent: None,
            done: Some(intent.id.clone()),
            given_up: false,
            types: read.record.types.clone(),
        };
        // If the write fails its condition, another invocation has written the same.
        state::write(&self.staging, contract, read, &record).await?;
        Ok(Drift { progress: MigrationProgress::Done, ..left })
    }
}
