//! AWS limits that the planner checks before a run starts, each with its source.

/// Maximum size of one SQL statement in bytes (Redshift Data API, "Considerations when calling the Data API").
pub const STATEMENT_BYTES: usize = 100 * 1024;
/// Maximum number of statements of one `BatchExecuteStatement` (Redshift Data API reference, `Sqls`).
pub const BATCH_STATEMENTS: u32 = 40;
/// Maximum run time of a statement in seconds (Redshift Data API: 24 hours).
pub const STATEMENT_SECONDS: u32 = 24 * 60 * 60;
/// Time in seconds for which the Data API remembers a `ClientToken` (8 hours).
pub const CLIENT_TOKEN_SECONDS: i64 = 8 * 60 * 60;
/// Time in seconds for which the Data API knows a statement (24 hours).
pub const STATEMENT_MEMORY_SECONDS: i64 = 24 * 60 * 60;
/// Maximum length of a Step Functions execution name in characters.
pub const EXECUTION_NAME_CHARS: usize = 80;
/// Number of iterations of an inline Map that Step Functions runs at once.
pub const MAP_CONCURRENCY: usize = 40;
/// Maximum number of events in the history of one execution (Step Functions quota).
pub const HISTORY_EVENTS: usize = 25_000;
/// Maximum number of jobs of one run. A job with a few retries writes about 30 history events, so 600 jobs stay below
/// [`HISTORY_EVENTS`], and their names stay far below the 256 KB limit of the execution's state.
pub const JOBS: usize = 600;
/// Maximum length of the pattern of a rule in characters (EventBridge API reference, `PutRule`, `EventPattern`). The quota of an
/// account can be lower: 2,048 by default ("Amazon EventBridge quotas").
pub const EVENT_PATTERN_CHARS: usize = 4_096;
/// Maximum length of the name of a rule in characters (EventBridge API reference, `PutRule`, `Name`).
pub const RULE_NAME_CHARS: usize = 64;
/// Maximum number of items of one DynamoDB transaction.
pub const TRANSACTION_ITEMS: usize = 100;
/// Time in seconds after which Step Functions stops an execution of the run state machine. `infra/run.asl.json` has the
/// same value, and the lease of a started run lasts longer.
pub const EXECUTION_SECONDS: u32 = 7 * 24 * 60 * 60;
/// Maximum pause in seconds before another attempt of a job.
pub const RETRY_DELAY_SECONDS: u32 = 60 * 60;
/// Number of active statements (SUBMITTED, PICKED, STARTED) that the Data API allows by default (Redshift Management Guide,
/// "Considerations when calling the Amazon Redshift Data API", as of 2023; the quota of an account is in Service Quotas).
pub const ACTIVE_STATEMENTS: u32 = 200;
/// Number of jobs that have an active statement on one warehouse, for runs with more jobs than that on connections without
/// `max_parallel`. It leaves a quarter of [`ACTIVE_STATEMENTS`] to other runs and clients.
pub const MAX_PARALLEL: u32 = 150;
/// Maximum number of jobs in the queue of a pool of slots. With the longest names it takes 330 KB of the 400 KB of a
/// DynamoDB item. A job that finds the queue full asks again in the next sweep of its run.
pub const SLOT_QUEUE: usize = 1_500;

const _: () = assert!(MAX_PARALLEL < ACTIVE_STATEMENTS);
