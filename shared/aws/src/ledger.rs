//! The ledger over three DynamoDB tables.
//!
//! | table | key | holds |
//! | --- | --- | --- |
//! | workflow audit | `workflow_execution_id`; index `by_workflow` on `workflow_id`, `created_ts` | [`RunRecord`] |
//! | job audit | `workflow_execution_id`, `job_name` | [`JobRecord`] |
//! | leases | `workflow_id` | [`Lease`]; the [`Slots`] of a pool, whose name is the key |
//!
//! Every method except [`Ledger::jobs`] and the opening of a large plan sends one request (two if a lease passes to the
//! next run), because DynamoDB returns the item of each condition that failed. Reads are strongly consistent: a
//! function that an event invokes sees the writes that came before the event.

mod change;
mod items;
mod jobs;
mod opening;
mod retries;
mod runs;
mod slots;
mod transaction;

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::{Client, types::AttributeValue};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use shiftwork_ports::{Advanced, Begun, Ledger, Opened, Opening, Released, Result, Step};
use shiftwork_protocol::{Attempt, JobRecord, Lease, RunRecord, SlotHolder, SlotPool, Slots, Status};

use crate::{client::Aws, environment, failures::Call};

/// An item of a table.
type Item = HashMap<String, AttributeValue>;

/// Index of the workflow audit table that lists the runs of a workflow, by `workflow_id` and `created_ts`.
pub const BY_WORKFLOW: &str = "by_workflow";

/// The names of the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// Workflow audit table.
    pub workflow_audit: String,
    /// Job audit table.
    pub job_audit: String,
    /// Lease table.
    pub leases: String,
}

environment! {
    /// The tables of [`DynamoLedger`], as the environment of a function says.
    pub struct LedgerEnvironment {
        pub workflow_audit_table: String,
        pub job_audit_table: String,
        pub lease_table: String,
    }
}

/// [`Ledger`] over DynamoDB.
#[derive(Debug, Clone)]
pub struct DynamoLedger {
    client: Client,
    tables: Tables,
}

impl DynamoLedger {
    /// Makes the ledger over these tables, which must exist.
    pub fn new(config: &SdkConfig, tables: Tables) -> Self {
        Self { client: Client::new(config), tables }
    }

    /// The ledger of a function.
    pub fn of_function(aws: &Aws, environment: &LedgerEnvironment) -> Self {
        let LedgerEnvironment { workflow_audit_table, job_audit_table, lease_table } = environment.clone();
        Self::new(
            aws.config(),
            Tables { workflow_audit: workflow_audit_table, job_audit: job_audit_table, leases: lease_table },
        )
    }

    /// Lists the newest runs of a workflow, newest first. Eventually consistent.
    pub async fn runs_of(&self, workflow: &str, most: u16) -> Result<Vec<RunRecord>> {
        let page = self
            .client
            .query()
            .table_name(&self.tables.workflow_audit)
            .index_name(BY_WORKFLOW)
            .key_condition_expression("workflow_id = :workflow")
            .expression_attribute_values(":workflow", text(workflow))
            .scan_index_forward(false)
            .limit(i32::from(most))
            .send()
            .await
            .map_err(|error| Call::new("DynamoDB Query", &self.tables.workflow_audit).failed(error))?;
        page.items.unwrap_or_default().into_iter().map(|item| items::read(item, &self.tables.workflow_audit)).collect()
    }

    async fn get<T: DeserializeOwned>(&self, table: &str, key: Item) -> Result<Option<T>> {
        let answer = self
            .client
            .get_item()
            .table_name(table)
            .set_key(Some(key))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Call::new("DynamoDB GetItem", table).failed(error))?;
        answer.item.map(|item| items::read(item, table)).transpose()
    }
}

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn number(value: impl Into<i64>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

fn instant(at: Timestamp) -> AttributeValue {
    text(shiftwork_protocol::timestamp(at))
}

fn run_key(run: &str) -> Item {
    Item::from([("workflow_execution_id".into(), text(run))])
}

fn job_key(run: &str, job: &str) -> Item {
    Item::from([("workflow_execution_id".into(), text(run)), ("job_name".into(), text(job))])
}

fn lease_key(workflow: &str) -> Item {
    Item::from([("workflow_id".into(), text(workflow))])
}

#[async_trait]
impl Ledger for DynamoLedger {
    async fn run(&self, run: &str) -> Result<Option<RunRecord>> {
        self.get(&self.tables.workflow_audit, run_key(run)).await
    }

    async fn jobs(&self, run: &str) -> Result<Vec<JobRecord>> {
        self.all_jobs(run).await
    }

    async fn job(&self, run: &str, job: &str) -> Result<Option<JobRecord>> {
        self.get(&self.tables.job_audit, job_key(run, job)).await
    }

    async fn lease(&self, workflow: &str) -> Result<Option<Lease>> {
        self.get(&self.tables.leases, lease_key(workflow)).await
    }

    async fn open(&self, opening: &Opening) -> Result<Opened> {
        opening::open(self, opening).await
    }

    async fn begin(&self, workflow: &str, run: &str, now: Timestamp, lease_until: Timestamp) -> Result<Begun> {
        self.begin_run(workflow, run, now, lease_until).await
    }

    async fn claim(&self, run: &str, job: &str, token: &str, now: Timestamp) -> Result<JobRecord> {
        self.claim_job(run, job, token, now).await
    }

    async fn advance(&self, at: &Attempt, step: &Step, now: Timestamp) -> Result<Advanced> {
        self.advance_job(at, step, now).await
    }

    async fn count(&self, run: &str, job: &str, rows: i64) -> Result<JobRecord> {
        self.count_rows(run, job, rows).await
    }

    async fn free(&self, run: &str, dependent: &str, upstream: &str, failed: &BTreeSet<String>) -> Result<JobRecord> {
        self.free_job(run, dependent, upstream, failed).await
    }

    async fn finish(
        &self,
        run: &str,
        status: Status,
        error: Option<&str>,
        now: Timestamp,
    ) -> Result<(bool, RunRecord)> {
        self.finish_run(run, status, error, now).await
    }

    async fn release(&self, workflow: &str, run: &str, until: Timestamp) -> Result<Released> {
        self.release_lease(workflow, run, until).await
    }

    async fn take_slot(&self, pool: &SlotPool, holder: &SlotHolder) -> Result<bool> {
        self.take(pool, holder).await
    }

    async fn request_slot(&self, pool: &SlotPool, holder: &SlotHolder, now: Timestamp) -> Result<bool> {
        self.request(pool, holder, now).await
    }

    async fn return_slot(&self, pool: &SlotPool, holder: &SlotHolder) -> Result<Vec<SlotHolder>> {
        self.give_back(pool, holder).await
    }

    async fn slots(&self, pool: &str) -> Result<Slots> {
        self.pool(pool).await
    }
}
