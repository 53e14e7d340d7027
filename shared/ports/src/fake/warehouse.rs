use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Duration,
};

use async_trait::async_trait;
use shiftwork_protocol::{Attempt, Connection, Failure, FailureKind, StatementReport};

use super::lock;
use crate::{
    AttemptState, Engine, EngineReport, Listed, Progress, Result, Row, Session, Submission, Warehouse, failure_kind,
    steps_reached,
};

/// The outcome that a test gives to an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The attempt succeeds.
    Finished,
    /// The attempt fails with this message of Redshift, after this number of its statements finished.
    Failed {
        /// Number of statements that finished.
        finished: u32,
        /// Message of Redshift.
        message: String,
    },
}

impl Outcome {
    /// The attempt fails with this message of Redshift before any of its statements finished.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { finished: 0, message: message.into() }
    }
}

/// Number of rows that each COPY loads.
pub const ROWS_OF_A_COPY: i64 = 7;
/// Number of rows that each other statement changes.
pub const ROWS_OF_A_STATEMENT: i64 = 1;
/// Microseconds for which each statement runs.
pub const STATEMENT_US: u64 = 1_000;

#[derive(Debug, Clone)]
struct Held {
    submission: Submission,
    progress: Progress,
    session: Option<String>,
}

impl Held {
    /// The report of a submission: empty while it is active. The fake has no clock, so it has no instants.
    fn report(&self) -> EngineReport {
        if self.progress == Progress::Active {
            return EngineReport::default();
        }
        let statements = self.submission.sqls.iter().map(|sql| {
            let is_copy = sql.contains("COPY ");
            StatementReport {
                command: if is_copy { "COPY" } else { "INSERT" }.into(),
                rows: Some(if is_copy { ROWS_OF_A_COPY } else { ROWS_OF_A_STATEMENT }),
                returned: false,
                ran_us: Some(STATEMENT_US),
            }
        });
        let statements: Vec<_> = statements.collect();
        EngineReport {
            ran_us: statements.iter().filter_map(|statement| statement.ran_us).reduce(u64::saturating_add),
            statements,
            ..EngineReport::default()
        }
    }
}

/// Redshift in memory. Attempts are active until a test ends them, and short statements return rows that a test has set.
#[derive(Debug, Default)]
pub struct MemoryWarehouse {
    held: Mutex<BTreeMap<String, Held>>,
    answers: Mutex<BTreeMap<String, Vec<Row>>>,
    asked: Mutex<Vec<String>>,
    ended_sessions: Mutex<BTreeSet<String>>,
}

impl MemoryWarehouse {
    /// Ends the sessions that submissions have kept.
    pub fn end_sessions(&self) {
        let held = lock(&self.held);
        lock(&self.ended_sessions).extend(held.values().filter_map(|held| held.session.clone()));
    }

    /// The active attempts.
    pub fn running(&self) -> Vec<Attempt> {
        let held = lock(&self.held);
        held.values().filter(|s| s.progress == Progress::Active).map(|s| s.submission.attempt.clone()).collect()
    }

    /// All submissions with their progress.
    pub fn all(&self) -> Vec<(Submission, Progress)> {
        lock(&self.held).values().map(|s| (s.submission.clone(), s.progress.clone())).collect()
    }

    /// Ends an active attempt. Does not change an attempt that has ended.
    pub fn end(&self, attempt: &Attempt, outcome: Outcome) {
        if let Some(held) = lock(&self.held).get_mut(&attempt.client_token())
            && held.progress == Progress::Active
        {
            held.progress = match outcome {
                Outcome::Finished => Progress::Finished,
                Outcome::Failed { finished, message } => {
                    let statements = u32::try_from(held.submission.sqls.len()).unwrap_or(u32::MAX);
                    let reached = steps_reached(finished, statements, &message);
                    Progress::Failed { kind: failure_kind(&message), message, reached }
                }
            };
        }
    }

    /// Sets the rows that [`Warehouse::rows`] returns for statements that contain the text `part`. If several texts
    /// match, the longest one determines the rows.
    pub fn set_rows(&self, part: &str, rows: Vec<Row>) {
        lock(&self.answers).insert(part.into(), rows);
    }

    /// All short statements.
    pub fn queries(&self) -> Vec<String> {
        lock(&self.asked).clone()
    }

    fn get(&self, id: &str) -> Option<AttemptState> {
        let held = lock(&self.held).get(id)?.clone();
        let report = held.report();
        let Held { submission, progress, session } = held;
        Some(AttemptState { id: id.into(), attempt: submission.attempt, progress, session, report })
    }
}

#[async_trait]
impl Warehouse for MemoryWarehouse {
    fn engine<'a>(&'a self, connection: &'a Connection) -> Box<dyn Engine + 'a> {
        Box::new(MemoryEngine { warehouse: self, connection })
    }

    async fn submit(&self, submission: &Submission) -> Result<String> {
        let id = submission.attempt.client_token();
        let mut held = lock(&self.held);
        if held.contains_key(&id) {
            return Ok(id);
        }
        let session = match &submission.session {
            Session::Own => None,
            Session::Kept => Some(format!("session-{id}")),
            Session::Continued(session) if lock(&self.ended_sessions).contains(session) => {
                return Err(Failure::new(FailureKind::SessionLost, "Session is not available"));
            }
            Session::Continued(session) => Some(session.clone()),
        };
        held.insert(id.clone(), Held { submission: submission.clone(), progress: Progress::Active, session });
        Ok(id)
    }

    async fn report(&self, id: &str, _: &Attempt) -> Result<EngineReport> {
        Ok(self.get(id).map(|state| state.report).unwrap_or_default())
    }

    async fn rows(&self, sql: &str, _: &Connection, parameters: &BTreeMap<String, String>) -> Result<Vec<Row>> {
        lock(&self.asked).push(sql.into());
        if let Some(name) = parameters.keys().find(|name| !sql.contains(&format!(":{name}"))) {
            return Err(Failure::new(FailureKind::Refused, format!("the statement has no placeholder `{name}`")));
        }
        let answers = lock(&self.answers);
        let known = answers.iter().filter(|(part, _)| sql.contains(*part)).max_by_key(|(part, _)| part.len());
        known
            .map(|(_, rows)| rows.clone())
            .ok_or_else(|| Failure::new(FailureKind::StatementFailed, format!("ERROR: the test set no rows for {sql}")))
    }
}

struct MemoryEngine<'a> {
    warehouse: &'a MemoryWarehouse,
    connection: &'a Connection,
}

#[async_trait]
impl Engine for MemoryEngine<'_> {
    async fn find(&self, attempt: &Attempt) -> Result<Option<AttemptState>> {
        Ok(self.warehouse.get(&attempt.client_token()))
    }

    async fn outcome(&self, id: &str, _: &Attempt, _: Duration) -> Result<Option<AttemptState>> {
        Ok(self.warehouse.get(id))
    }

    async fn active(&self, run: &str) -> Result<Vec<AttemptState>> {
        let held = lock(&self.warehouse.held);
        let of_run = held.iter().filter(|(_, held)| {
            let Submission { attempt, connection, .. } = &held.submission;
            held.progress == Progress::Active && attempt.run == run && connection == self.connection
        });
        let state = |(id, held): (&String, &Held)| AttemptState {
            id: id.clone(),
            attempt: held.submission.attempt.clone(),
            progress: Progress::Active,
            session: held.session.clone(),
            report: EngineReport::default(),
        };
        Ok(of_run.map(state).collect())
    }

    async fn listed(&self, run: &str, attempts: &BTreeSet<Attempt>) -> Result<BTreeMap<Attempt, Listed>> {
        let of_run = attempts.iter().filter(|attempt| attempt.run == run);
        let known = of_run.filter_map(|attempt| self.warehouse.get(&attempt.client_token()));
        let listed = known.map(|AttemptState { id, attempt, progress, .. }| match progress {
            Progress::Active => (attempt, Listed::Active),
            Progress::Finished | Progress::Failed { .. } | Progress::Aborted { .. } => (attempt, Listed::Ended { id }),
        });
        Ok(listed.collect())
    }

    async fn cancel(&self, id: &str) -> Result<()> {
        if let Some(held) = lock(&self.warehouse.held).get_mut(id)
            && held.progress == Progress::Active
        {
            held.progress = Progress::Aborted { reached: 0 };
        }
        Ok(())
    }
}
