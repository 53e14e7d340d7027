//! AWS limits that a plan is held against before anything runs, each with where AWS states it.

/// Bytes of one SQL statement (Redshift Data API, "Considerations when calling the Data API").
pub const STATEMENT_BYTES: usize = 100 * 1024;
/// Statements of one `BatchExecuteStatement` (Redshift Data API reference, `Sqls`).
pub const BATCH_STATEMENTS: u32 = 40;
/// Longest a statement may run, seconds (Redshift Data API: 24 hours).
pub const STATEMENT_SECONDS: u32 = 24 * 60 * 60;
/// How long the Data API remembers a `ClientToken`, seconds (8 hours).
pub const CLIENT_TOKEN_SECONDS: i64 = 8 * 60 * 60;
/// Characters of a Step Functions execution name.
pub const EXECUTION_NAME_CHARS: usize = 80;
/// Iterations of an inline Map that Step Functions runs at once.
pub const MAP_CONCURRENCY: usize = 40;
/// Events of one execution's history (Step Functions quota).
pub const HISTORY_EVENTS: usize = 25_000;
/// Jobs of one run. A job that retries a few times writes about 30 history events; 600 of them leave room below
/// [`HISTORY_EVENTS`], and their names stay far below the 256 KB of state.
pub const JOBS: usize = 600;
/// Items of one DynamoDB transaction.
pub const TRANSACTION_ITEMS: usize = 100;
/// An execution of the run state machine is stopped by Step Functions after this many seconds; `infra/run.asl.json`
/// carries the same number, and the lease of a started run outlives it.
pub const EXECUTION_SECONDS: u32 = 7 * 24 * 60 * 60;
