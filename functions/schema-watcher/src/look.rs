//! Asks Redshift what waits, and remembers and tells what is new.

use std::collections::{BTreeMap, BTreeSet};

use shiftwork_change_data::contract::{TableContract, Unknown};
use shiftwork_config::nearest;
use shiftwork_planner::{connection_of_contract, read_item};
use shiftwork_ports::{Changed, Result};
use shiftwork_protocol::{
    Connection, Failure, FailureKind,
    drift::{Drift, Finding, Migration, MigrationProgress, Remedy},
    event::{DriftFound, Event},
    keys::{CONTRACTS, contract_key},
    name::sha256,
};

use crate::{
    Watcher,
    decide::{self, MOST_BY_ITSELF, MOST_FINDINGS, MigrationStep},
    edit::{self, ContractFile},
    refused, sql,
    state::{self, Intent, SeenMark, StoredState, WatchState},
};

/// Fields of one event: EventBridge takes 256 KB.
const MOST_TOLD: usize = 50;
/// Contracts that are named to somebody who mistyped one.
const MOST_NAMED: usize = 1_000;

/// A contract as it lies in the scripts bucket.
pub(crate) struct StoredContract {
    pub(crate) written: ContractFile,
    pub(crate) etag: String,
}

/// What was seen of a contract.
pub(crate) struct ContractState {
    pub(crate) contract: TableContract,
    pub(crate) etag: String,
    pub(crate) drift: Drift,
    pub(crate) changes: Vec<(String, MigrationStep)>,
}

impl Watcher {
    /// A contract; `None` where there is none of this name.
    pub(crate) async fn contract(&self, contract: &str) -> Result<Option<StoredContract>> {
        let key = contract_key(contract);
        let Some(stored) = self.contracts.read(&key).await? else { return Ok(None) };
        let text = String::from_utf8(stored.bytes).map_err(|error| refused(format!("{key} is not UTF-8: {error}")))?;
        Ok(Some(StoredContract { written: edit::read(&key, &text)?, etag: stored.head.etag }))
    }

    /// A contract that must be there.
    pub(crate) async fn contract_of(&self, contract: &str) -> Result<StoredContract> {
        if let Some(stored) = self.contract(contract).await? {
            return Ok(stored);
        }
        let keys = state::keys(&self.contracts, CONTRACTS, MOST_NAMED).await?;
        let names: Vec<&str> =
            keys.iter().filter_map(|key| key.strip_prefix(CONTRACTS)?.strip_suffix(".yaml")).collect();
        let hint = match nearest(contract, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "none was pushed yet: `shiftwork push`".into(),
            None => format!("there are {}", names.join(", ")),
        };
        Err(refused(format!("there is no table contract `{contract}`; {hint}")))
    }

    /// Where the contract's table is.
    pub(crate) async fn connection(&self, contract: &TableContract) -> Result<Connection> {
        let Some(id) = contract.workflow() else { return Ok(self.default_connection.clone()) };
        let item = self.configuration.workflow(id).await?.ok_or_else(|| {
            let words = format!("contract {} is loaded by workflow `{id}`, which was never pushed", contract.name());
            Failure::new(FailureKind::UnknownWorkflow, words)
        })?;
        let workflow = shiftwork_planner::workflow(&read_item(item)).map_err(|problems| {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            Failure::new(FailureKind::InvalidWorkflow, format!("workflow {id}: {first}"))
        })?;
        let Some(name) = connection_of_contract(&workflow, contract.name()) else {
            return Ok(self.default_connection.clone());
        };
        self.configuration.connection(name).await?.ok_or_else(|| {
            Failure::new(FailureKind::InvalidWorkflow, format!("workflow {id}: no connection is named `{name}`"))
        })
    }

    /// Asks Redshift about a contract's rows.
    pub(crate) async fn ask(&self, contract: &str) -> Result<ContractState> {
        let StoredContract { written: ContractFile { contract, .. }, etag } = self.contract_of(contract).await?;
        let connection = self.connection(&contract).await?;
        let query = sql::report(&contract, MOST_FINDINGS);
        let (evidence, more) = match self.warehouse.rows(&query, &connection, &BTreeMap::new()).await {
            Ok(rows) => sql::evidence(rows)?,
            // Before the first load there is no table, and in no table nothing waits.
            Err(failure) if failure.kind == FailureKind::StatementFailed && sql::is_absent(&failure.message) => {
                (Vec::new(), 0)
            }
            Err(failure) => return Err(failure),
        };
        let decided = decide::decide(&contract, &evidence);
        let changes: Vec<(String, MigrationStep)> =
            decided.iter().filter_map(|(finding, change)| Some((finding.field.clone(), change.clone()?))).collect();
        let target = contract.target();
        let drift = Drift {
            contract: contract.name().to_owned(),
            table: format!("{}.{}", target.schema, target.table),
            unknown: word(contract.unknown()).into(),
            looked_ts: self.clock.now(),
            findings: decided.into_iter().map(|(finding, _)| finding).collect(),
            more,
            migration: None,
            progress: MigrationProgress::Waiting,
            problem: None,
        };
        let mut looked = ContractState { contract, etag, drift, changes };
        looked.drift.migration = looked.migration(&[])?.map(|intent| shown(&intent));
        Ok(looked)
    }

    pub(crate) async fn look(&self, contract: &str, only: &[String]) -> Result<Drift> {
        let read = state::read(&self.staging, contract).await?;
        if read.record.intent.is_some() {
            return self.resume(contract, false).await;
        }
        let looked = self.ask(contract).await?;
        let drift = self.remember(contract, &read, &looked, None, None).await?;
        Ok(Drift { migration: looked.migration(only)?.map(|intent| shown(&intent)), ..drift })
    }

    /// Tells what is new, and writes down what was found and what is about to be done. Told twice where two look at once, or where
    /// the write is lost; never not at all.
    pub(crate) async fn remember(
        &self,
        contract: &str,
        read: &StoredState,
        looked: &ContractState,
        seen: Option<SeenMark>,
        intent: Option<Intent>,
    ) -> Result<Drift> {
        let (new, told) = state::news(&read.record.told, &looked.drift.findings);
        // What came before its column moves in without anybody's help.
        let new: Vec<_> = new.into_iter().filter(|found| !matches!(found.remedy, Remedy::Fill { .. })).collect();
        self.tell(&looked.drift, new).await?;
        let record = WatchState {
            drift: Some(looked.drift.clone()),
            told,
            seen: seen.or_else(|| read.record.seen.clone()),
            intent,
            done: read.record.done.clone(),
            given_up: false,
        };
        match state::write(&self.staging, contract, read, &record).await? {
            Changed::Done => Ok(looked.drift.clone()),
            Changed::ConditionFailed => {
                let words = format!("somebody else looks at {contract} at this moment; ask again");
                Err(Failure::new(FailureKind::Unavailable, words))
            }
        }
    }

    async fn tell(&self, drift: &Drift, mut new: Vec<Finding>) -> Result<()> {
        if new.is_empty() {
            return Ok(());
        }
        let identities: Vec<_> = new.iter().map(state::identity).collect();
        let more = drift.more + new.len().saturating_sub(MOST_TOLD) as u64;
        new.truncate(MOST_TOLD);
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
    /// What would be done about these fields, or about all; `None` where there is nothing to do.
    pub(crate) fn migration(&self, only: &[String]) -> Result<Option<Intent>> {
        if let Some(unknown) = only.iter().find(|field| self.drift.findings.iter().all(|found| found.field != **field))
        {
            let hint = match nearest(unknown, self.drift.findings.iter().map(|found| found.field.as_str())) {
                Some(near) => format!("; did you mean `{near}`?"),
                None => String::new(),
            };
            return Err(refused(format!("no field `{unknown}` waits in {}{hint}", self.drift.table)));
        }
        self.intent(|field, _| only.is_empty() || only.iter().any(|wanted| wanted == field))
    }

    /// What is done without being asked for: with `evolve` everything, unless the source writes data into its keys; otherwise what
    /// the contract has a column for already.
    pub(crate) fn by_itself(&self) -> Result<Option<Intent>> {
        let fields = self.drift.findings.len() as u64 + self.drift.more;
        let evolves = self.contract.unknown() == Unknown::Evolve && fields <= MOST_BY_ITSELF;
        self.intent(|_, change| evolves || matches!(change, MigrationStep::Fill { .. }))
    }

    fn intent(&self, takes: impl Fn(&str, &MigrationStep) -> bool) -> Result<Option<Intent>> {
        let chosen = self.changes.iter().filter(|(field, change)| takes(field, change));
        let (fields, changes): (BTreeSet<String>, Vec<MigrationStep>) = chosen.cloned().unzip();
        if changes.is_empty() {
            return Ok(None);
        }
        let (before, transaction) = sql::migration(&self.contract, &changes)?;
        let (added, widened) = decide::effects(&changes);
        let told_apart = format!("{}\n{}\n\n{}", self.etag, before.join("\n"), transaction.join("\n"));
        let id = sha256(told_apart)[..16].to_owned();
        let begun_ts = self.drift.looked_ts;
        let contract = self.etag.clone();
        Ok(Some(Intent { id, contract, begun_ts, before, transaction, added, widened, fields, unattended: false }))
    }
}

/// As people see it.
fn shown(intent: &Intent) -> Migration {
    let added = intent.added.iter().map(|column| format!("- {}", edit::flow(column)));
    let widened = intent.widened.iter().map(|(name, column_type)| format!("{name}: type {column_type}"));
    Migration {
        id: intent.id.clone(),
        statements: intent.before.iter().chain(&intent.transaction).cloned().collect(),
        before: intent.before.len(),
        contract: added.chain(widened).collect(),
    }
}

const fn word(unknown: Unknown) -> &'static str {
    match unknown {
        Unknown::Capture => "capture",
        Unknown::Evolve => "evolve",
        Unknown::Freeze => "freeze",
    }
}
