//! Does a migration that was written down: its statements, then the contract.
//!
//! A crash leaves the record with the intent, and whoever comes next does what is left. Each statement has a name of its own that
//! follows from the intent; one that ended is found by it, one that runs is waited for. The contract comes last: loads that were
//! planned before know the table with fewer columns, and that is a table that they can load.

use std::collections::BTreeMap;

use shiftwork_ports::{Changed, Condition, Engine, NewObject, Progress, Result, Submission};
use shiftwork_promotion::is_done_already;
use shiftwork_protocol::keys::contract_key;
use shiftwork_protocol::{
    Attempt, Class, Failure, FailureKind, Owner, Transaction,
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

/// Attempts of one statement within the day that the Data API remembers them.
const MOST_ATTEMPTS: u32 = 100;
/// Attempts that one invocation makes after conflicts with loads.
const TRIES: u32 = 3;
/// How often a contract that is pushed at the same moment is read again.
const MOST_RACES: u32 = 5;

/// How far its statements are.
enum Ran {
    /// At their end.
    Done,
    /// Redshift is at it.
    Running,
    /// There is no use in trying again.
    GivenUp(Failure),
}

/// What is handed over in one call.
struct Part<'a> {
    number: u32,
    sqls: &'a [String],
    transaction: Transaction,
}

impl Watcher {
    pub(crate) async fn apply(&self, contract: &str, only: &[String], migration: &str) -> Result<Drift> {
        let read = state::read(&self.staging, contract).await?;
        if let Some(intent) = &read.record.intent {
            let other = intent.id != migration;
            let drift = self.resume(contract, false).await?;
            if other && drift.progress == MigrationProgress::Done {
                return Err(refused(format!(
                    "an earlier migration of {contract} had to be finished first, and was: look again"
                )));
            }
            return Ok(drift);
        }
        if read.record.done.as_deref() == Some(migration)
            && let Some(drift) = read.record.drift
        {
            return Ok(Drift { progress: MigrationProgress::Done, migration: None, ..drift });
        }
        let looked = self.ask(contract).await?;
        let Some(intent) = looked.migration(only)?.filter(|intent| intent.id == migration) else {
            return Err(refused(format!(
                "what waits in {} is no longer what was shown, or the contract was pushed meanwhile: look again",
                looked.drift.table
            )));
        };
        self.remember(contract, &read, &looked, None, Some(intent)).await?;
        self.resume(contract, true).await
    }

    /// A statement ended. If whoever submitted it has gone, the rest is to be done here; if he waits for it, or another has come for
    /// the same reason, it is theirs.
    pub(crate) async fn ended(&self, contract: &str) -> Result<()> {
        let read = state::read(&self.staging, contract).await?;
        let Some(intent) = read.record.intent.clone().filter(|intent| intent.unattended) else { return Ok(()) };
        let record = WatchState { intent: Some(Intent { unattended: false, ..intent }), ..read.record.clone() };
        match state::write(&self.staging, contract, &read, &record).await? {
            Changed::Done => self.resume(contract, false).await.map(drop),
            Changed::ConditionFailed => Ok(()),
        }
    }

    /// Does what is left of the migration that the record speaks of. `fresh`: it was written a moment ago, so that there are no
    /// statements to be found.
    pub(crate) async fn resume(&self, contract: &str, fresh: bool) -> Result<Drift> {
        let mut fresh = fresh;
        loop {
            let read = state::read(&self.staging, contract).await?;
            let Some(drift) = read.record.drift.clone() else {
                return Err(Failure::corrupt(format!(
                    "the record of {contract} in the staging bucket has no findings; delete it"
                )));
            };
            // Somebody else was faster.
            let Some(intent) = read.record.intent.clone() else {
                return Ok(Drift { progress: MigrationProgress::Done, migration: None, ..drift });
            };
            let record = match self.run(contract, &intent, fresh).await? {
                Ran::Done => {
                    self.extend_contract(contract, &intent).await?;
                    return self.forget(contract, &read, &intent, drift).await;
                }
                Ran::Running if intent.unattended => {
                    return Ok(Drift { progress: MigrationProgress::Running, ..drift });
                }
                // The event of its end shall find somebody. It may have ended before this is written: so another look.
                Ran::Running => {
                    WatchState { intent: Some(Intent { unattended: true, ..intent }), ..read.record.clone() }
                }
                Ran::GivenUp(failure) => {
                    // Its transaction did not commit, and columns that are there already are no hindrance to the next migration:
                    // so this one need not stand in its way.
                    let record = WatchState { intent: None, given_up: true, ..read.record.clone() };
                    state::write(&self.staging, contract, &read, &record).await?;
                    return Err(failure);
                }
            };
            state::write(&self.staging, contract, &read, &record).await?;
            fresh = false;
        }
    }

    /// Runs its statements.
    async fn run(&self, contract: &str, intent: &Intent, fresh: bool) -> Result<Ran> {
        let StoredContract { written, .. } = self.contract_of(contract).await?;
        let connection = self.connection(&written.contract).await?;
        let before = intent.before.iter().map(|sql| (std::slice::from_ref(sql), Transaction::PerStatement));
        let whole = (!intent.transaction.is_empty()).then_some((intent.transaction.as_slice(), Transaction::Single));
        let all: Vec<_> = before.chain(whole).collect();
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
                transaction: part.transaction,
                parameters: BTreeMap::new(),
            };
            match self.settle(contract, intent, &part, &submission, fresh).await? {
                Ran::Done => {}
                other => return Ok(other),
            }
        }
        Ok(Ran::Done)
    }

    /// Sees to it that a part was run to its end once.
    async fn settle(
        &self,
        contract: &str,
        intent: &Intent,
        part: &Part<'_>,
        submission: &impl Fn(u32) -> Submission,
        fresh: bool,
    ) -> Result<Ran> {
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
                    // From here on loads of a contract without the new columns are refused. Up to here a push costs nothing.
                    if part.transaction == Transaction::Single
                        && self.contract_of(contract).await?.etag != intent.contract
                    {
                        let words = format!("contract {contract} was pushed while its table was migrated: look again");
                        return Ok(Ran::GivenUp(refused(words)));
                    }
                    tries += 1;
                    let id = self.warehouse.submit(&submission).await?;
                    tracing::info!(attempt = %submission.attempt, id, part = part.number, "submitted");
                    self.wait(&*engine, &id, &submission.attempt).await?
                }
            };
            let is_done = |message: &str| part.transaction == Transaction::PerStatement && is_done_already(message);
            let (kind, words) = match progress {
                Progress::Active => return Ok(Ran::Running),
                Progress::Finished { .. } => return Ok(Ran::Done),
                Progress::Failed { message, .. } if is_done(&message) => return Ok(Ran::Done),
                Progress::Failed { kind, message } => (kind, message),
                Progress::Aborted => (FailureKind::StatementAborted, "it was cancelled in Redshift".to_owned()),
            };
            let failure = Failure::new(kind, format!("migration, statement {}: {words}", submission.attempt));
            match kind.class() {
                Class::Retryable | Class::Terminal | Class::Duplicate if ended_before => {}
                Class::Retryable if tries < TRIES => {}
                Class::Retryable => return Err(failure),
                Class::Terminal | Class::Duplicate => return Ok(Ran::GivenUp(failure)),
            }
        }
        let words = format!("a statement of the migration of {contract} failed {MOST_ATTEMPTS} times within a day");
        Ok(Ran::GivenUp(Failure::new(FailureKind::StatementFailed, words)))
    }

    async fn wait(&self, engine: &dyn Engine, id: &str, attempt: &Attempt) -> Result<Progress> {
        let state = engine.outcome(id, attempt, self.patience).await?;
        state.map(|state| state.progress).ok_or_else(|| {
            Failure::new(FailureKind::Unavailable, format!("Redshift no longer knows {attempt}; ask again"))
        })
    }

    /// Writes the new columns into the contract, over the one that was read alone. One that is pushed at the same moment is read
    /// again, and gets them too.
    async fn extend_contract(&self, contract: &str, intent: &Intent) -> Result<()> {
        let key = contract_key(contract);
        for _ in 0..MOST_RACES {
            let StoredContract { written, etag } = self.contract_of(contract).await?;
            let columns = merged(&written.contract, &intent.added, &intent.widened).map_err(|why| {
                refused(format!("{key} was pushed while its table was migrated: {why}; fix the contract and push it"))
            })?;
            if columns == written.contract.columns() {
                return Ok(());
            }
            let text = written.with_columns(&key, &columns)?;
            let user_metadata = BTreeMap::from([("sha256".to_owned(), sha256(&text))]);
            let object = NewObject { user_metadata, ..NewObject::json(text.into_bytes()) };
            if self.contracts.write(&key, object, &Condition::IfUnchanged(etag)).await? == Changed::Done {
                tracing::info!(contract, columns = columns.len(), "the contract has its new columns");
                return Ok(());
            }
        }
        Err(Failure::new(FailureKind::Unavailable, format!("{key} is pushed again and again; ask again")))
    }

    /// The migration is done: what it took in no longer waits.
    async fn forget(&self, contract: &str, read: &StoredState, intent: &Intent, drift: Drift) -> Result<Drift> {
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
        };
        // Lost: whoever was faster has done the same.
        state::write(&self.staging, contract, read, &record).await?;
        Ok(Drift { progress: MigrationProgress::Done, ..left })
    }
}
