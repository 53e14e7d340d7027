use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use shiftwork_protocol::{
    Connection, Failure, RunRecord,
    event::{DriftFound, Event, FilesLate},
    payload::{JobEnd, RunInput},
};

use super::lock;
use crate::{Clock, Configuration, Execution, Executions, Notices, Result, Sweeps, TaskTokens};

/// What a waiting task was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// [`TaskTokens::release`].
    Release,
    /// [`TaskTokens::end`].
    End(JobEnd),
    /// [`TaskTokens::fail`].
    Fail(Failure),
    /// [`TaskTokens::proceed`].
    Proceed,
}

/// Task tokens: the first answer closes a token, later ones change nothing.
#[derive(Debug, Default)]
pub struct MemoryTokens(Mutex<BTreeMap<String, Told>>);

impl MemoryTokens {
    /// What a token was told first, if anything.
    pub fn told(&self, token: &str) -> Option<Told> {
        lock(&self.0).get(token).cloned()
    }

    fn tell(&self, token: &str, told: Told) {
        lock(&self.0).entry(token.into()).or_insert(told);
    }
}

#[async_trait]
impl TaskTokens for MemoryTokens {
    async fn release(&self, token: &str) -> Result<()> {
        self.tell(token, Told::Release);
        Ok(())
    }

    async fn end(&self, token: &str, end: &JobEnd) -> Result<()> {
        self.tell(token, Told::End(end.clone()));
        Ok(())
    }

    async fn fail(&self, token: &str, failure: &Failure) -> Result<()> {
        self.tell(token, Told::Fail(failure.clone()));
        Ok(())
    }

    async fn proceed(&self, token: &str) -> Result<()> {
        self.tell(token, Told::Proceed);
        Ok(())
    }
}

/// Executions: a test closes them.
#[derive(Debug, Default)]
pub struct MemoryExecutions(Mutex<BTreeMap<String, Execution>>);

impl MemoryExecutions {
    /// Closes an execution that runs.
    pub fn close(&self, run: &str, reason: &str) {
        if let Some(execution) = lock(&self.0).get_mut(run)
            && *execution == Execution::Running
        {
            *execution = Execution::Closed { reason: reason.into() };
        }
    }

    /// Names of the executions that run.
    pub fn running(&self) -> Vec<String> {
        lock(&self.0).iter().filter(|(_, e)| **e == Execution::Running).map(|(run, _)| run.clone()).collect()
    }
}

#[async_trait]
impl Executions for MemoryExecutions {
    async fn start(&self, input: &RunInput) -> Result<()> {
        lock(&self.0).entry(input.workflow_execution_id.clone()).or_insert(Execution::Running);
        Ok(())
    }

    async fn state(&self, run: &str) -> Result<Option<Execution>> {
        Ok(lock(&self.0).get(run).cloned())
    }

    async fn stop(&self, run: &str, cause: &str) -> Result<()> {
        self.close(run, &format!("ABORTED: {cause}"));
        Ok(())
    }
}

/// The configuration table.
#[derive(Debug, Default)]
pub struct MemoryConfiguration {
    workflows: Mutex<BTreeMap<String, Value>>,
    connections: Mutex<BTreeMap<String, Connection>>,
}

impl MemoryConfiguration {
    /// Puts a workflow under its `workflow_id`.
    pub fn put(&self, workflow: Value) {
        let id = workflow["workflow_id"].as_str().unwrap_or_default().to_owned();
        lock(&self.workflows).insert(id, workflow);
    }

    /// Puts a connection.
    pub fn connect(&self, name: &str, connection: Connection) {
        lock(&self.connections).insert(name.into(), connection);
    }
}

#[async_trait]
impl Configuration for MemoryConfiguration {
    async fn workflow(&self, workflow_id: &str) -> Result<Option<Value>> {
        Ok(lock(&self.workflows).get(workflow_id).cloned())
    }

    async fn connection(&self, name: &str) -> Result<Option<Connection>> {
        Ok(lock(&self.connections).get(name).cloned())
    }

    async fn triggered(&self) -> Result<Vec<Value>> {
        Ok(lock(&self.workflows).values().filter(|w| w.get("triggers").is_some()).cloned().collect())
    }
}

/// Events and alerts, kept.
#[derive(Debug, Default)]
pub struct MemoryNotices {
    events: Mutex<Vec<Event>>,
    alerts: Mutex<Vec<RunRecord>>,
    drifts: Mutex<Vec<DriftFound>>,
    late: Mutex<Vec<FilesLate>>,
}

impl MemoryNotices {
    /// Every event so far.
    pub fn events(&self) -> Vec<Event> {
        lock(&self.events).clone()
    }

    /// Every alert so far.
    pub fn alerts(&self) -> Vec<RunRecord> {
        lock(&self.alerts).clone()
    }

    /// Every late feed that people were told of so far.
    pub fn late_files(&self) -> Vec<FilesLate> {
        lock(&self.late).clone()
    }

    /// Every drift that people were told of so far.
    pub fn drifts(&self) -> Vec<DriftFound> {
        lock(&self.drifts).clone()
    }
}

#[async_trait]
impl Notices for MemoryNotices {
    async fn publish(&self, events: &[Event]) -> Result<()> {
        lock(&self.events).extend_from_slice(events);
        Ok(())
    }

    async fn alert(&self, run: &RunRecord) -> Result<()> {
        lock(&self.alerts).push(run.clone());
        Ok(())
    }

    async fn drift(&self, found: &DriftFound) -> Result<()> {
        lock(&self.drifts).push(found.clone());
        Ok(())
    }

    async fn late(&self, late: &FilesLate) -> Result<()> {
        lock(&self.late).push(late.clone());
        Ok(())
    }
}

/// The runs that are watched.
#[derive(Debug, Default)]
pub struct MemorySweeps(Mutex<BTreeSet<String>>);

impl MemorySweeps {
    /// The runs that are watched.
    pub fn watched(&self) -> Vec<String> {
        lock(&self.0).iter().cloned().collect()
    }
}

#[async_trait]
impl Sweeps for MemorySweeps {
    async fn watch(&self, run: &str, _: Timestamp) -> Result<()> {
        lock(&self.0).insert(run.into());
        Ok(())
    }

    async fn unwatch(&self, run: &str) -> Result<()> {
        lock(&self.0).remove(run);
        Ok(())
    }
}

/// A clock that a test moves.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl Default for ManualClock {
    fn default() -> Self {
        Self(Mutex::new(Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 365 * 56)))
    }
}

impl ManualClock {
    /// Moves on.
    pub fn pass(&self, time: SignedDuration) {
        *lock(&self.0) += time;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *lock(&self.0)
    }
}
