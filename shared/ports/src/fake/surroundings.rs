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

/// A call that closes a task token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// [`TaskTokens::release`].
    Release,
    /// [`TaskTokens::end`].
    End(JobEnd),
    /// [`TaskTokens::fail`].
    Fail(Failure),
    /// [`TaskTokens::proceed`].
    Proceed,
    /// [`TaskTokens::pause`] until this time.
    Pause(Timestamp),
    /// [`TaskTokens::wait`].
    Wait,
}

/// Task tokens: the first call closes a token, and later calls change nothing.
#[derive(Debug, Default)]
pub struct MemoryTokens(Mutex<BTreeMap<String, Closed>>);

impl MemoryTokens {
    /// The call that closed a token; `None` if the token is open.
    pub fn closed_by(&self, token: &str) -> Option<Closed> {
        lock(&self.0).get(token).cloned()
    }

    fn close(&self, token: &str, by: Closed) {
        lock(&self.0).entry(token.into()).or_insert(by);
    }
}

#[async_trait]
impl TaskTokens for MemoryTokens {
    async fn release(&self, token: &str) -> Result<()> {
        self.close(token, Closed::Release);
        Ok(())
    }

    async fn end(&self, token: &str, end: &JobEnd) -> Result<()> {
        self.close(token, Closed::End(end.clone()));
        Ok(())
    }

    async fn fail(&self, token: &str, failure: &Failure) -> Result<()> {
        self.close(token, Closed::Fail(failure.clone()));
        Ok(())
    }

    async fn proceed(&self, token: &str) -> Result<()> {
        self.close(token, Closed::Proceed);
        Ok(())
    }

    async fn pause(&self, token: &str, until: Timestamp) -> Result<()> {
        self.close(token, Closed::Pause(until));
        Ok(())
    }

    async fn wait(&self, token: &str) -> Result<()> {
        self.close(token, Closed::Wait);
        Ok(())
    }
}

/// Executions, which a test closes.
#[derive(Debug, Default)]
pub struct MemoryExecutions(Mutex<BTreeMap<String, Execution>>);

impl MemoryExecutions {
    /// Closes an execution that is running.
    pub fn close(&self, run: &str, reason: &str) {
        if let Some(execution) = lock(&self.0).get_mut(run)
            && *execution == Execution::Running
        {
            *execution = Execution::Closed { reason: reason.into() };
        }
    }

    /// Names of the running executions.
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
    /// Stores a workflow under its `workflow_id`.
    pub fn put(&self, workflow: Value) {
        let id = workflow["workflow_id"].as_str().unwrap_or_default().to_owned();
        lock(&self.workflows).insert(id, workflow);
    }

    /// Deletes a workflow.
    pub fn remove(&self, workflow_id: &str) {
        lock(&self.workflows).remove(workflow_id);
    }

    /// Stores a named connection.
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
        let has_triggers =
            |workflow: &&Value| workflow["triggers"].as_array().is_some_and(|triggers| !triggers.is_empty());
        Ok(lock(&self.workflows).values().filter(has_triggers).cloned().collect())
    }
}

/// Stores events and notifications.
#[derive(Debug, Default)]
pub struct MemoryNotices {
    events: Mutex<Vec<Event>>,
    alerts: Mutex<Vec<RunRecord>>,
    drifts: Mutex<Vec<DriftFound>>,
    late: Mutex<Vec<FilesLate>>,
}

impl MemoryNotices {
    /// All published events.
    pub fn events(&self) -> Vec<Event> {
        lock(&self.events).clone()
    }

    /// All alerts.
    pub fn alerts(&self) -> Vec<RunRecord> {
        lock(&self.alerts).clone()
    }

    /// All notifications about late files.
    pub fn late_files(&self) -> Vec<FilesLate> {
        lock(&self.late).clone()
    }

    /// All notifications about drift.
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

/// The scheduled sweeps.
#[derive(Debug, Default)]
pub struct MemorySweeps(Mutex<BTreeSet<String>>);

impl MemorySweeps {
    /// Runs with a schedule.
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

/// A clock that a test sets forward.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl Default for ManualClock {
    fn default() -> Self {
        Self(Mutex::new(Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 365 * 56)))
    }
}

impl ManualClock {
    /// Moves the clock forward.
    pub fn pass(&self, time: SignedDuration) {
        *lock(&self.0) += time;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *lock(&self.0)
    }
}
