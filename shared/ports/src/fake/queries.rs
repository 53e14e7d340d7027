use std::{collections::BTreeMap, sync::Mutex};

use async_trait::async_trait;
use shiftwork_protocol::{Connection, Failure, FailureKind};

use super::lock;
use crate::{Queries, Result, Row};

/// Answers that a test gave beforehand.
#[derive(Debug, Default)]
pub struct MemoryQueries {
    answers: Mutex<BTreeMap<String, Vec<Row>>>,
    asked: Mutex<Vec<String>>,
}

impl MemoryQueries {
    /// From now on, queries that contain this text are answered so. Of several texts, the longest counts.
    pub fn answer(&self, part: &str, rows: Vec<Row>) {
        lock(&self.answers).insert(part.into(), rows);
    }

    /// Every query so far.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.asked).clone()
    }
}

#[async_trait]
impl Queries for MemoryQueries {
    async fn rows(&self, sql: &str, _: &Connection, parameters: &BTreeMap<String, String>) -> Result<Vec<Row>> {
        lock(&self.asked).push(sql.into());
        if let Some(name) = parameters.keys().find(|name| !sql.contains(&format!(":{name}"))) {
            return Err(Failure::new(FailureKind::Refused, format!("no placeholder is called {name}")));
        }
        let answers = lock(&self.answers);
        let known = answers.iter().filter(|(part, _)| sql.contains(*part)).max_by_key(|(part, _)| part.len());
        known.map(|(_, rows)| rows.clone()).ok_or_else(|| {
            Failure::new(FailureKind::StatementFailed, format!("ERROR: nobody knows what to answer to {sql}"))
        })
    }
}
