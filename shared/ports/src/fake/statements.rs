use std::{collections::BTreeMap, sync::Mutex};

use async_trait::async_trait;
use shiftwork_protocol::{Attempt, Connection};

use super::lock;
use crate::{Progress, Result, Statement, Statements, Submission};

/// How a test ends a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Finished,
    /// With Redshift's message.
    Failed(String),
}

/// What each COPY loads here.
pub const ROWS_OF_A_COPY: i64 = 7;

#[derive(Debug, Clone)]
struct Held {
    submission: Submission,
    progress: Progress,
}

/// Redshift in memory: statements stay active until a test ends them.
#[derive(Debug, Default)]
pub struct MemoryStatements(Mutex<BTreeMap<String, Held>>);

impl MemoryStatements {
    /// Names of the statements that are active.
    pub fn running(&self) -> Vec<Attempt> {
        lock(&self.0).values().filter(|s| s.progress == Progress::Active).map(|s| s.submission.name.clone()).collect()
    }

    /// Every statement that was ever submitted, with how it stands.
    pub fn all(&self) -> Vec<(Submission, Progress)> {
        lock(&self.0).values().map(|s| (s.submission.clone(), s.progress.clone())).collect()
    }

    /// Ends an active statement; one that ended (or was cancelled) stays as it is.
    pub fn end(&self, name: &Attempt, outcome: Outcome) {
        if let Some(held) = lock(&self.0).get_mut(&name.client_token())
            && held.progress == Progress::Active
        {
            held.progress = match outcome {
                Outcome::Finished => Progress::Finished { rows: Some(1) },
                Outcome::Failed(message) => Progress::Failed { message },
            };
        }
    }

    fn get(&self, id: &str) -> Option<Statement> {
        let held = lock(&self.0).get(id)?.clone();
        Some(Statement { id: id.into(), name: held.submission.name, progress: held.progress })
    }
}

#[async_trait]
impl Statements for MemoryStatements {
    async fn submit(&self, submission: &Submission) -> Result<String> {
        let id = submission.name.client_token();
        lock(&self.0)
            .entry(id.clone())
            .or_insert_with(|| Held { submission: submission.clone(), progress: Progress::Active });
        Ok(id)
    }

    async fn find(&self, name: &Attempt, _: &Connection) -> Result<Option<Statement>> {
        Ok(self.get(&name.client_token()))
    }

    async fn active(&self, run: &str, _: &Connection) -> Result<Vec<Statement>> {
        Ok(self
            .running()
            .iter()
            .filter(|name| name.run == run)
            .filter_map(|name| self.get(&name.client_token()))
            .collect())
    }

    async fn describe(&self, id: &str, _: &Attempt) -> Result<Option<Statement>> {
        Ok(self.get(id))
    }

    async fn outcome(&self, id: &str, _: &Attempt) -> Result<Option<Statement>> {
        Ok(self.get(id))
    }

    async fn copied(&self, id: &str, _: &Attempt) -> Result<Option<i64>> {
        let tables = lock(&self.0);
        let ended = tables.get(id).filter(|held| matches!(held.progress, Progress::Finished { .. }));
        let copies = ended.map(|held| held.submission.sqls.iter().filter(|sql| sql.contains("COPY ")).count());
        Ok(copies
            .filter(|copies| *copies > 0)
            .and_then(|copies| i64::try_from(copies).ok())
            .map(|copies| copies * ROWS_OF_A_COPY))
    }

    async fn cancel(&self, id: &str) -> Result<()> {
        if let Some(held) = lock(&self.0).get_mut(id)
            && held.progress == Progress::Active
        {
            held.progress = Progress::Aborted;
        }
        Ok(())
    }
}
