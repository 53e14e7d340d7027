//! Queries Redshift for fields without a column, records the findings, and reports new ones.

use std::collections::{BTreeMap, BTreeSet};

use shiftwork_change_data::contract::{TableContract, Unknown};
use shiftwork_config::nearest;
use shiftwork_planner::{connection_of_contract, read_item};
use shiftwork_ports::{Changed, Result};
use shiftwork_promotion::Migration;
use shiftwork_protocol::{
    Connection, Failure, FailureKind,
    drift::{self, Drift, DriftMark, FieldType, Finding, MigrationProgress, Remedy},
    event::{DriftFound, Event},
    keys::{CONTRACTS, contract_key, drift_mark_key},
    name::sha256,
};

use crate::{
    Watcher,
    decide::{self, MOST_AUTOMATIC, MOST_FINDINGS, MigrationStep},
    edit::{self, ContractFile},
    refused, sql,
    state::{self, Intent, SeenMark, StoredState, WatchState},
    types::Types,
};

/// Most fields in one event, which EventBridge limits to 256 KB.
const MOST_IN_EVENT: usize = 50;
/// Most contracts that are compared with a name that does not exist.
const MOST_NAMED: usize = 1_000;

/// A contract in the scripts bucket.
pub(crate) struct StoredContract {
    pub(crate) written: ContractFile,
    pub(crate) etag: String,
}

/// The findings of a contract, and the migration steps that resolve them.
pub(crate) struct ContractState {
    pub(crate) contract: TableContract,
    pub(crate) etag: String,
    pub(crate) drift: Drift,
    pub(crate) changes: Vec<(String, MigrationStep)>,
    /// The types of fields by the schema of the events.
    pub(crate) types: BTreeMap<String, FieldType>,
}

impl Watcher {
    /// A contract; `None` if it does not exist.
    pub(crate) async fn contract(&self, contract: &str) -> Result<Option<StoredContract>> {
        let key = contract_key(contract);
        let Some(stored) = self.contracts.read(&key).await? else { return Ok(None) };
        let text = String::from_utf8(stored.bytes).map_err(|error| refused(format!("{key} is not UTF-8: {error}")))?;
        Ok(Some(StoredContract { written: edit::read(&key, &text)?, etag: stored.head.etag }))
    }

    /// A contract that must exist.
    pub(crate) async fn contract_of(&self, contract: &str) -> Result<StoredContract> {
        if let Some(stored) = self.contract(contract).await? {
            return Ok(stored);
        }
        let keys = state::keys(&self.contracts, CONTRACTS, MOST_NAMED).await?;
        let names: Vec<&str> =
            keys.iter().filter_map(|key| key.strip_prefix(CONTRACTS)?.strip_suffix(".yaml")).collect();
        let hint = match nearest(contract, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "no contract has been pushed: run `shiftwork push`".into(),
            None => format!("the contracts are {}", names.join(", ")),
        };
        Err(refused(format!("there is no table contract `{contract}`; {hint}")))
    }

    /// The connection to the warehouse of the contract's table.
    pub(crate) async fn connection(&self, contract: &TableContract) -> Result<Connection> {
        let Some(id) = contract.workflow() else { return Ok(self.default_connection.clone()) };
        let item = self.configuration.workflow(id).await?.ok_or_else(|| {
            let reason =
                format!("contract {} names workflow `{id}`, which does not exist: push the workflow", contract.name());
            Failure::new(FailureKind::UnknownWorkflow, reason)
        })?;
        let workflow = shiftwork_planner::workflow(&read_item(item)).map_err(|problems| {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            Failure::new(FailureKind::InvalidWorkflow, format!("workflow {id}: {first}"))
        })?;
        let Some(name) = connection_of_contract(&workflow, contract.name()) else {
            return Ok(self.default_connection.clone());
        };
        self.configuration.connection(name).await?.ok_or_else(|| {
            Failure::new(
                FailureKind::InvalidWorkflow,
                format!("workflow {id}: there is no connection `{name}`; push its configuration"),
            )
        })
    }

    /// The types that are known of a contract's fields: by a request, and by the schema of the events.
    pub(crate) async fn types(
        &self,
        contract: &str,
        read: &StoredState,
        asked: &BTreeMap<String, String>,
    ) -> Result<Types> {
        let mark = self.staging.read(&drift_mark_key(contract)).await?;
        let mark = mark.and_then(|mark| serde_json::from_slice::<DriftMark>(&mark.bytes).ok());
        let of_events = mark.map(|mark| mark.types).filter(|types| !types.is_empty());
        Ok(Types { asked: asked.clone(), of_events: of_events.unwrap_or_else(|| read.record.types.clone()) })
    }

    /// Queries Redshift for the fields without a column of a contract's table.
    pub(crate) async fn query(&self, contract: &str, types: Types) -> Result<ContractState> {
        let StoredContract { written: ContractFile { contract, .. }, etag } = self.contract_of(contract).await?;
        let connection = self.connection(&contract).await?;
        let query = sql::report(&contract, MOST_FINDINGS);
        let (mut evidence, more) = match self.warehouse.rows(&query, &connection, &BTreeMap::new()).await {
            Ok(rows) => sql::evidence(rows)?,
            // Before the first load the table does not exist, so there are no findings.
            Err(failure) if failure.kind == FailureKind::StatementFailed && sql::is_absent(&failure.message) => {
                (Vec::new(), 0)
            }
            Err(failure) => return Err(failure),
        };
        types.check(&contract, &evidence).map_err(refused)?;
        self.check_values(&contract, &types, &connection).await?;
        evidence.extend(types.without_values(&contract, &evidence));
        let decided = decide::decide(&contract, &evidence, &types);
        let changes: Vec<(String, MigrationStep)> =
            decided.iter().filter_map(|(finding, change)| Some((finding.field.clone(), change.clone()?))).collect();
        let target = contract.target();
        let drift = Drift {
            contract: contract.name().to_owned(),
            table: format!("{}.{}", target.schema, target.table),
            unknown: name(contract.unknown()).into(),
            looked_ts: self.clock.now(),
            findings: decided.into_iter().map(|(finding, _)| finding).collect(),
            more,
            migration: None,
            progress: MigrationProgress::Waiting,
            problem: None,
        };
        let mut current = ContractState { contract, etag, drift, changes, types: types.of_events };
        current.drift.migration = current.migration(&[])?.map(|intent| shown(&intent));
        Ok(current)
    }

    /// Checks that the columns of chosen types take the values that wait for them.
    async fn check_values(&self, contract: &TableContract, types: &Types, connection: &Connection) -> Result<()> {
        let columns = types.chosen();
        if columns.is_empty() {
            return Ok(());
        }
        let query = sql::misfits(contract, &columns);
        match self.warehouse.rows(&query, connection, &BTreeMap::new()).await {
            Ok(rows) => types.check_values(&sql::misfits_read(rows)?).map_err(refused),
            Err(failure) if failure.kind == FailureKind::StatementFailed && sql::is_absent(&failure.message) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    pub(crate) async fn look(
        &self,
        contract: &str,
        only: &[String],
        types: &BTreeMap<String, String>,
    ) -> Result<Drift> {
        let read = state::read(&self.staging, contract).await?;
        if read.record.intent.is_some() {
            return self.resume(contract, false).await;
        }
        let current = self.query(contract, self.types(contract, &read, types).await?).await?;
        let drift = self.remember(contract, &read, &current, None, None).await?;
        Ok(Drift { migration: current.migration(only)?.map(|intent| shown(&intent)), ..drift })
    }

    /// Reports new findings, and writes the findings and the migration that is about to begin to the record. A finding is reported at
    /// least once: twice if two invocations examine the contract at the same time, or if the write fails.
    pub(crate) async fn remember(
        &self,
        contract: &str,
        read: &StoredState,
        current: &ContractState,
        seen: Option<SeenMark>,
        intent: Option<Intent>,
    ) -> Result<Drift> {
        // A type that is chosen for a column is a finding only for the request if no value waits for it.
        let mut waiting = current.drift.clone();
        waiting.findings.retain(|finding| finding.rows > 0);
        let (new, told) = state::unreported(&read.record.told, &waiting.findings);
        // Values that fit an existing column are moved automatically, so they are not reported.
        let new: Vec<_> = new.into_iter().filter(|found| !matches!(found.remedy, Remedy::Fill { .. })).collect();
        self.report(&waiting, new).await?;
        let record = WatchState {
            drift: Some(waiting),
            told,
            seen: seen.or_else(|| read.record.seen.clone()),
            intent,
            done: read.record.done.clone(),
            given_up: false,
            types: current.types.clone(),
        };
        match state::write(&self.staging, contract, read, &record).await? {
            Changed::Done => Ok(current.drift.clone()),
            Changed::ConditionFailed => {
                let reason = format!("another invocation examines {contract} at the same time; send the request again");
                Err(Failure::new(FailureKind::Unavailable, reason))
            }
        }
    }

    async fn report(&self, drift: &Drift, mut new: Vec<Finding>) -> Result<()> {
        if new.is_empty() {
            return Ok(());
        }
        let identities: Vec<_> = new.iter().map(state::identity).collect();
        let more = drift.more + new.len().saturating_sub(MOST_IN_EVENT) as u64;
        new.truncate(MOST_IN_EVENT);
        let found = DriftFound {
            idempotency_key: format!("{}-{}", drift.contract, &sha256(identities.join("\n"))[..16]),
            contract: drift.contract.clone(),
            table: drift.table.clone(),
            unknown: drift.unknown.clone(),
            findings: new,
            more,
        };
        self.notices.publish(&[Event::Drift(found.clone())]).await?;
        self.notices.drift(&found).await
    }
}

impl ContractState {
    /// The migration for the fields in `only`, or for all if it is empty. `None` if no step is necessary.
    pub(crate) fn migration(&self, only: &[String]) -> Result<Option<Intent>> {
        if let Some(unknown) = only.iter().find(|field| self.drift.findings.iter().all(|found| found.field != **field))
        {
            let hint = match nearest(unknown, self.drift.findings.iter().map(|found| found.field.as_str())) {
                Some(near) => format!("; did you mean `{near}`?"),
                None => String::new(),
            };
            return Err(refused(format!("{} has no field `{unknown}` without a column{hint}", self.drift.table)));
        }
        self.intent(|field, _| only.is_empty() || only.iter().any(|wanted| wanted == field))
    }

    /// The migration that the schedule runs: with `evolve` all steps but replacements of columns, which lock readers out, unless there are
    /// more than [`MOST_AUTOMATIC`] fields; otherwise only the steps that move values into existing columns.
    pub(crate) fn automatic_migration(&self) -> Result<Option<Intent>> {
        let fields = self.drift.findings.len() as u64 + self.drift.more;
        let evolves = self.contract.unknown() == Unknown::Evolve && fields <= MOST_AUTOMATIC;
        self.intent(|_, change| match change {
            MigrationStep::Fill { .. } => true,
            MigrationStep::Add(_) | MigrationStep::Widen { .. } => evolves,
            MigrationStep::Replace { .. } => false,
        })
    }

    fn intent(&self, takes: impl Fn(&str, &MigrationStep) -> bool) -> Result<Option<Intent>> {
        let chosen = self.changes.iter().filter(|(field, change)| takes(field, change));
        let (fields, changes): (BTreeSet<String>, Vec<MigrationStep>) = chosen.cloned().unzip();
        if changes.is_empty() {
            return Ok(None);
        }
        let Migration { before, replacement, transaction, .. } = sql::migration(&self.contract, &changes)?;
        let (added, widened) = decide::effects(&changes);
        let statements = [before.join("\n"), replacement.join("\n"), transaction.join("\n")];
        let identity = format!("{}\n{}", self.etag, statements.join("\n\n"));
        let id = sha256(identity)[..16].to_owned();
        let begun_ts = self.drift.looked_ts;
        let contract = self.etag.clone();
        let unattended = false;
        Ok(Some(Intent {
            id,
            contract,
            begun_ts,
            before,
            replacement,
            transaction,
            added,
            widened,
            fields,
            unattended,
        }))
    }
}

/// The migration as it is shown to users.
fn shown(intent: &Intent) -> drift::Migration {
    let added = intent.added.iter().map(|column| format!("- {}", edit::flow(column)));
    let widened = intent.widened.iter().map(|(name, column_type)| format!("{name}: type {column_type}"));
    drift::Migration {
        id: intent.id.clone(),
        statements: [&intent.before[..], &intent.replacement, &intent.transaction].concat(),
        before: intent.before.len(),
        replacement: intent.replacement.len(),
        contract: added.chain(widened).collect(),
    }
}

const fn name(unknown: Unknown) -> &'static str {
    match unknown {
        Unknown::Capture => "capture",
        Unknown::Evolve => "evolve",
        Unknown::Freeze => "freeze",
    }
}
