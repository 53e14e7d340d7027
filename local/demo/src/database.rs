//! Direct access to the database, to check the results of runs independently of shiftwork.

use anyhow::Context as _;
use tokio_postgres::{Client, NoTls};

/// A connection to the PostgreSQL of the local Redshift.
pub(crate) struct Database(Client);

impl Database {
    /// Connects to the URL in `SHIFTWORK_PG_URL`.
    pub(crate) async fn connect() -> anyhow::Result<Self> {
        let url = std::env::var("SHIFTWORK_PG_URL")
            .context("SHIFTWORK_PG_URL is not set: run `make up`, then source target/local/env")?;
        let (client, connection) =
            tokio_postgres::connect(&url, NoTls).await.context("cannot connect to the database in SHIFTWORK_PG_URL")?;
        // The task drives the connection. If it ends, the queries report the error.
        tokio::spawn(connection);
        Ok(Self(client))
    }

    /// Executes statements without a result.
    pub(crate) async fn run(&self, sql: &str) -> anyhow::Result<()> {
        self.0.batch_execute(sql).await.with_context(|| format!("`{sql}` failed"))
    }

    /// Returns the single number of a query.
    pub(crate) async fn count(&self, sql: &str) -> anyhow::Result<i64> {
        let row = self.0.query_one(sql, &[]).await.with_context(|| format!("the check `{sql}` failed"))?;
        Ok(row.try_get(0)?)
    }

    /// Returns the single text column of a query.
    pub(crate) async fn texts(&self, sql: &str) -> anyhow::Result<Vec<String>> {
        let rows = self.0.query(sql, &[]).await.with_context(|| format!("the check `{sql}` failed"))?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}
