//! Small answers of Redshift.

use std::collections::BTreeMap;

use async_trait::async_trait;
use shiftwork_protocol::Connection;

use crate::Result;

/// A row: each value as text, `None` for NULL.
pub type Row = Vec<Option<String>>;

/// Queries whose answer fits into memory. They only read: one may run again after a lost answer.
#[async_trait]
pub trait Queries: Send + Sync {
    /// Runs a query and answers its rows. `parameters` are bound, each to a placeholder that the query has; none is empty.
    ///
    /// # Errors
    /// `StatementFailed` with Redshift's words, `TimedOut` for one that takes longer than the caller may wait.
    async fn rows(&self, sql: &str, connection: &Connection, parameters: &BTreeMap<String, String>)
    -> Result<Vec<Row>>;
}
