//! A look into the database itself: what the runs left there, from no word of shiftwork's.

use anyhow::Context as _;
use tokio_postgres::{Client, NoTls};

/// The PostgreSQL behind the laptop's Redshift.
pub(crate) struct Database(Client);

impl Database {
    /// Connects to `SHIFTWORK_PG_URL`.
    pub(crate) async fn connect() -> anyhow::Result<Self> {
        let url = std::env::var("SHIFTWORK_PG_URL")
            .context("SHIFTWORK_PG_URL is not set: `make up`, then source target/local/env")?;
        let (client, connection) =
            tokio_postgres::connect(&url, NoTls).await.context("the database of SHIFTWORK_PG_URL does not answer")?;
        // It carries the queries; when it ends, they say why.
        tokio::spawn(connection);
        Ok(Self(client))
    }

    /// Statements whose results nobody needs.
    pub(crate) async fn run(&self, sql: &str) -> anyhow::Result<()> {
        self.0.batch_execute(sql).await.with_context(|| format!("`{sql}` failed"))
    }

    /// A query for one number.
    pub(crate) async fn count(&self, sql: &str) -> anyhow::Result<i64> {
        let row = self.0.query_one(sql, &[]).await.with_context(|| format!("the check `{sql}` failed"))?;
        Ok(row.try_get(0)?)
    }

    /// A query for one column of text.
    pub(crate) async fn texts(&self, sql: &str) -> anyhow::Result<Vec<String>> {
        let rows = self.0.query(sql, &[]).await.with_context(|| format!("the check `{sql}` failed"))?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}
