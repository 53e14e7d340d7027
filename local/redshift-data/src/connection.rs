//! Connections to PostgreSQL, with databases prepared as Redshift databases.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::load::LoadError;
use tokio::sync::OnceCell;
use tokio_postgres::error::{ErrorPosition, SqlState};
use tokio_postgres::{CancelToken, Client, Config, Error, NoTls};

/// A connection to the server.
pub(crate) struct Connection {
    pub(crate) client: Client,
    /// Process id of the backend; Redshift's `RedshiftPid`.
    pub(crate) pid: i64,
    /// True between a user's `BEGIN` and the end of that transaction. Only Data API sessions can have an open
    /// transaction.
    pub(crate) in_transaction: bool,
    /// Load errors of COPY that are not yet in the system table. They are written after the transaction has ended,
    /// because they must survive its rollback.
    pub(crate) load_errors: std::sync::Mutex<Vec<LoadError>>,
}

impl Connection {
    pub(crate) fn cancel_token(&self) -> CancelToken {
        self.client.cancel_token()
    }
}

/// Opens connections. Runs the prelude of the dialect once per database.
pub(crate) struct Connector {
    base: Config,
    prepared: std::sync::Mutex<HashMap<String, Arc<OnceCell<()>>>>,
}

/// Key of the advisory lock that prevents two servers from running the prelude at the same time.
const PRELUDE_LOCK: i64 = 0x7265_6473_6869_6674;

impl Connector {
    /// # Errors
    /// Returns an error if `url` is not a PostgreSQL URL.
    pub(crate) fn new(url: &str) -> anyhow::Result<Self> {
        let mut base: Config = url.parse().map_err(|error| {
            anyhow::anyhow!("--postgres-url is not a PostgreSQL URL (postgresql://user@host:port/database): {error}")
        })?;
        base.application_name("redshift-data").connect_timeout(Duration::from_secs(5));
        Ok(Self { base, prepared: std::sync::Mutex::default() })
    }

    /// Connects to `database`.
    ///
    /// # Errors
    /// Returns the error text of a statement that cannot connect.
    pub(crate) async fn connect(&self, database: &str) -> Result<Connection, String> {
        let client = self.open(database).await.map_err(|error| describe(&error, false))?;
        let cell = crate::lock(&self.prepared).entry(database.to_owned()).or_default().clone();
        cell.get_or_try_init(|| prepare_database(&client)).await.map_err(|error| {
            format!("ERROR: cannot prepare database \"{database}\" as a Redshift database: {}", describe(&error, false))
        })?;
        let row = client.query_one("select pg_backend_pid()", &[]).await.map_err(|error| describe(&error, false))?;
        Ok(Connection {
            client,
            pid: i64::from(row.get::<_, i32>(0)),
            in_transaction: false,
            load_errors: std::sync::Mutex::default(),
        })
    }

    async fn open(&self, database: &str) -> Result<Client, Error> {
        let mut config = self.base.clone();
        let (client, connection) = config.dbname(database).connect(NoTls).await?;
        tokio::spawn(async move {
            // The driver logs the notices of procedures. A lost connection is reported by the statement that uses it.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to PostgreSQL ended");
            }
        });
        // 24 hours is the maximum duration of a query in the Data API.
        client
            .batch_execute("set time zone 'UTC'; set statement_timeout = '24h'; set client_min_messages = notice")
            .await?;
        Ok(client)
    }
}

async fn prepare_database(client: &Client) -> Result<(), Error> {
    client.batch_execute(&format!("select pg_advisory_lock({PRELUDE_LOCK})")).await?;
    let done = client.batch_execute(redshift_dialect::PRELUDE).await;
    client.batch_execute(&format!("select pg_advisory_unlock({PRELUDE_LOCK})")).await?;
    done
}

/// The text of a PostgreSQL error in the format of the Data API: `ERROR: …`, then `Detail`, `Hint` and, for a syntax
/// error in the SQL of the caller, `Position`.
pub(crate) fn describe(error: &Error, own_text: bool) -> String {
    let Some(db) = error.as_db_error() else {
        return if error.is_closed() {
            "ERROR: connection to the database was lost while the statement ran".to_owned()
        } else {
            let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("ERROR: {error}{cause}")
        };
    };
    if *db.code() == SqlState::T_R_SERIALIZATION_FAILURE {
        return format!("ERROR: 1023\n  Detail: Serializable isolation violation: {}", db.message());
    }
    let own_syntax_error = own_text && *db.code() == SqlState::SYNTAX_ERROR;
    let position = match db.position() {
        Some(ErrorPosition::Original(position)) if own_syntax_error => Some(position.to_string()),
        _ => None,
    };
    let lines = [("Detail", db.detail()), ("Hint", db.hint()), ("Position", position.as_deref())];
    let mut text = format!("{}: {}", db.severity(), db.message());
    for (label, value) in lines {
        if let Some(value) = value {
            text.extend(["\n  ", label, ": ", value]);
        }
    }
    text
}
