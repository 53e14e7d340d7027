//! Command-line options and environment variables of the server, read once in `main`.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Configuration of one server. The defaults of the limits are the limits that AWS documents for the Data API.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "redshift-data", about = "The Amazon Redshift Data API over a PostgreSQL server", version)]
pub struct Config {
    /// Address to listen on; port 0 selects a free port.
    #[arg(long, env = "SHIFTWORK_REDSHIFT_DATA_LISTEN", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,

    /// PostgreSQL server and user, as a URL. The `Database` of a request replaces the database of the URL.
    #[arg(long, env = "SHIFTWORK_PG_URL")]
    pub postgres_url: String,

    /// URL for statement events: receives a POST with one `PutEvents` entry, and delivers it as an `aws.*` event.
    #[arg(long, env = "SHIFTWORK_EVENTS_URL")]
    pub events_url: Option<String>,

    /// S3 endpoint that COPY and UNLOAD use (path-style requests).
    #[arg(long, env = "SHIFTWORK_S3_ENDPOINT")]
    pub s3_endpoint: Option<String>,

    /// Region of the ARNs in events and of S3 requests.
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1")]
    pub region: String,

    /// Account of the ARNs in events and of the default principal.
    #[arg(long, env = "SHIFTWORK_ACCOUNT", default_value = "000000000000")]
    pub account: String,

    /// URL that returns `{"arn": "…"}` for `GET <url>?access_key_id=AKIA…`. Without it, every access key belongs to the
    /// root user of the account.
    #[arg(long, env = "SHIFTWORK_PRINCIPALS_URL")]
    pub principals_url: Option<String>,

    /// File with a JSON list of fault rules that are active from the start; see `POST /_faults`.
    #[arg(long)]
    pub fault_file: Option<PathBuf>,

    /// Maximum number of statements in SUBMITTED, PICKED or STARTED on one cluster or workgroup.
    #[arg(long, default_value_t = 200)]
    pub max_active_statements: usize,

    /// Maximum number of open sessions on one cluster or workgroup.
    #[arg(long, default_value_t = 500)]
    pub max_sessions: usize,

    /// Maximum number of statements that run on PostgreSQL at the same time; further statements stay SUBMITTED. Keep it
    /// below PostgreSQL's `max_connections`.
    #[arg(long, default_value_t = 40)]
    pub max_connections: usize,

    /// Maximum size of the result of one statement, in bytes of text.
    #[arg(long, default_value_t = 500 * 1024 * 1024)]
    pub max_result_bytes: u64,

    /// Seconds for which an ended statement and its result are kept.
    #[arg(long, default_value_t = 24 * 60 * 60)]
    pub retention_seconds: u64,
}
