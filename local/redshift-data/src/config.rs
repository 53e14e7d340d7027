//! What the operator may set, read once in `main`.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Settings of one server. The defaults of the limits are those that AWS documents for the Data API.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "redshift-data", about = "The Amazon Redshift Data API over a PostgreSQL server", version)]
pub struct Config {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, env = "SHIFTWORK_REDSHIFT_DATA_LISTEN", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,

    /// PostgreSQL server and user, as a URL. A request's `Database` replaces the database that it names.
    #[arg(long, env = "SHIFTWORK_PG_URL")]
    pub postgres_url: String,

    /// Where statement events go: takes a POST of one `PutEvents` entry and delivers it as an `aws.*` event.
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

    /// Answers `GET <url>?access_key_id=AKIA…` with `{"arn": "…"}`. Without it every key is the account's root.
    #[arg(long, env = "SHIFTWORK_PRINCIPALS_URL")]
    pub principals_url: Option<String>,

    /// JSON list of fault rules to start with; see `POST /_faults`.
    #[arg(long)]
    pub fault_file: Option<PathBuf>,

    /// Statements that may be SUBMITTED, PICKED or STARTED at once on one cluster or workgroup.
    #[arg(long, default_value_t = 200)]
    pub max_active_statements: usize,

    /// Open sessions that one cluster or workgroup may have.
    #[arg(long, default_value_t = 500)]
    pub max_sessions: usize,

    /// Statements that run on PostgreSQL at once; the others wait as SUBMITTED. Keep it under `max_connections`.
    #[arg(long, default_value_t = 40)]
    pub max_connections: usize,

    /// Largest result of one statement, in bytes of text.
    #[arg(long, default_value_t = 500 * 1024 * 1024)]
    pub max_result_bytes: u64,

    /// Seconds that an ended statement and its result are kept.
    #[arg(long, default_value_t = 24 * 60 * 60)]
    pub retention_seconds: u64,
}
