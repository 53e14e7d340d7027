//! `make demo-cdc`: delivers the change stream of a shop's database twice and out of order across partitions, and
//! compares the tables in Redshift with the tables of the shop.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::Value;
use shiftwork_aws::client::{Aws, Flags};
use shiftwork_cli::{
    Deployment,
    args::{self, Target},
    check::check,
    drift, files,
    table::{self, Column},
    validate, wait, words,
};
use shiftwork_protocol::Status;
use tokio::time::{Instant, sleep};

use crate::{
    database::Database,
    heading, push_workflows,
    shop::{Delivery, Row, Shop, Table, deliveries},
    write_report,
};

/// Directory of the workflow; the contracts are next to it.
const SHOP: &str = "local/demo/shop/workflows";
/// Id of the workflow that loads the contracts.
const WORKFLOW: &str = "shop";
/// Days of simulated trade; 10 days are a few thousand changes.
const DAYS: u32 = 10;
/// Seed of the simulation, so that every demo has the same data.
const SEED: u64 = 26;
/// Maximum time for each step.
const MAX_WAIT: Duration = Duration::from_mins(5);

/// Runs the demo. Fails if the tables in Redshift differ from those of the shop.
pub async fn change_data() -> anyhow::Result<()> {
    let stack = std::env::var("SHIFTWORK_STACK").unwrap_or_else(|_| "shiftwork".into());
    let deployment = Deployment::find(&Target { stack, ..Target::default() }).await?;
    let database = Database::connect().await?;
    let aws = Aws::from_terminal(Flags::default()).await?;
    let begun = deployment.clock.now();
    let demo = Demo { deployment, database, aws, shop: Shop::after(DAYS, SEED), begun };

    heading("clean", "delete the data of earlier demos");
    demo.clean().await?;
    heading("push", "three table contracts, and the workflow that loads them");
    let checked = check(&files::read(&[PathBuf::from(SHOP)])?, &files::script);
    if !checked.problems.is_empty() {
        eprint!("{}", validate::problems(&checked, console::colors_enabled_stderr()));
        bail!("{}", validate::summary(&checked));
    }
    print!("{}", push_workflows(&demo.deployment, &checked).await?);

    let changes = words::count(count(demo.shop.changes.len()));
    heading(
        "deliver",
        &format!(
            "{changes} changes, each delivered twice with new offsets; partitions are interleaved, and some batches are repeated"
        ),
    );
    let deliveries = deliveries(&demo.shop.changes, SEED);
    // Delivers in three parts and loads each before the next one, so that repeated changes meet rows that were loaded
    // before.
    for part in deliveries.chunks(deliveries.len().div_ceil(3)) {
        demo.deliver(part).await?;
        demo.loaded().await?;
    }
    demo.waiting().await?;

    heading("drift", "orders has a new column and a wider one: both changes are applied");
    demo.migrate("shop_orders").await?;

    heading("compare", "the tables of the shop, and the tables in Redshift");
    demo.compare(&deliveries).await
}

struct Demo {
    deployment: Deployment,
    database: Database,
    aws: Aws,
    shop: Shop,
    /// Start of this demo; earlier runs belong to earlier demos.
    begun: Timestamp,
}

impl Demo {
    async fn clean(&self) -> anyhow::Result<()> {
        let s3 = self.s3();
        let (staging, scripts) = (&self.deployment.outputs.staging_bucket, &self.deployment.outputs.scripts_bucket);
        for (bucket, prefix) in [
            (staging, "staged/shop_"),
            (staging, "tables/shop_"),
            (staging, "drift/shop_"),
            (staging, "findings/shop_"),
            (scripts, "contracts/shop_"),
        ] {
            for key in self.keys(bucket, prefix).await? {
                s3.delete_object()
                    .bucket(bucket)
                    .key(key)
                    .send()
                    .await
                    .context("cannot delete an object from the local S3")?;
            }
        }
        self.database
            .run(
                "DROP SCHEMA IF EXISTS shop CASCADE; DROP SCHEMA IF EXISTS shop_staging CASCADE; \
             CREATE SCHEMA shop; CREATE SCHEMA shop_staging",
            )
            .await
    }

    /// Invokes cdc-loader as an MSK event source mapping does: the batches of a partition sequentially.
    async fn deliver(&self, deliveries: &[Delivery]) -> anyhow::Result<()> {
        let lambda = aws_sdk_lambda::Client::new(self.aws.config());
        let records: usize = deliveries.iter().map(|delivery| delivery.records).sum();
        let bar = ProgressBar::new(records as u64).with_style(
            ProgressStyle::with_template("{bar:30} {human_pos} of {human_len} records, {per_sec}")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        let begun = Instant::now();
        for delivery in deliveries {
            let call = lambda.invoke().function_name(&self.deployment.outputs.cdc_loader_function);
            let response = call.payload(delivery.event.to_string().into_bytes().into()).send().await;
            let response = response.context("cdc-loader cannot be invoked")?;
            let body = String::from_utf8_lossy(response.payload().map(AsRef::as_ref).unwrap_or_default()).into_owned();
            ensure!(response.function_error().is_none(), "cdc-loader failed: {body}");
            bar.inc(delivery.records as u64);
        }
        bar.finish_and_clear();
        println!(
            "{} records in {} invocations, {}",
            words::count(count(records)),
            deliveries.len(),
            words::duration(begun.elapsed().try_into().unwrap_or_default()),
        );
        Ok(())
    }

    /// Waits until no staged files are left and no run is in progress.
    async fn loaded(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let staged = self.keys(&self.deployment.outputs.staging_bucket, "staged/shop_").await?.len();
            let mut runs = self.deployment.runs_of(WORKFLOW, 50).await?;
            runs.retain(|run| run.created_ts >= self.begun);
            if let Some(failed) = runs.iter().find(|run| run.execution_status == Status::Failed) {
                let why = failed.error_message.as_deref().unwrap_or_default();
                bail!("run {} failed: {why}", failed.workflow_execution_id);
            }
            if staged == 0 && !runs.is_empty() && runs.iter().all(|run| run.execution_status.is_terminal()) {
                let Some(run) = runs.iter().rev().find(|run| run.jobs > 0) else {
                    bail!("no run of {WORKFLOW} has jobs")
                };
                let snapshot = wait::snapshot(&*self.deployment.ledger, &run.workflow_execution_id).await?;
                let snapshot = snapshot.context("a listed run has a record")?;
                let report = write_report(&self.deployment, &snapshot, WORKFLOW).await?;
                let waited = words::duration(begun.elapsed().try_into().unwrap_or_default());
                println!(
                    "all changes were loaded {waited} after the last record, by {} run(s); report: {}",
                    runs.len(),
                    report.display()
                );
                return Ok(());
            }
            ensure!(
                begun.elapsed() < MAX_WAIT,
                "{staged} staged files are not loaded yet: see `shiftwork status {WORKFLOW}`"
            );
            sleep(Duration::from_millis(300)).await;
        }
    }

    /// Checks that values without a column are stored in dw_md_missing_data.
    async fn waiting(&self) -> anyhow::Result<()> {
        let waiting =
            self.database.count("SELECT COUNT(*) FROM shop.orders WHERE dw_md_missing_data IS NOT NULL").await?;
        ensure!(waiting > 0, "no order has a value in dw_md_missing_data, although the shop issued coupons");
        println!("{} orders have values in dw_md_missing_data", words::count(waiting));
        Ok(())
    }

    async fn migrate(&self, contract: &str) -> anyhow::Result<()> {
        let asked = args::Drift {
            contract: Some(contract.into()),
            apply: true,
            only: Vec::new(),
            types: Vec::new(),
            yes: true,
        };
        let outcome = drift::drift(&self.deployment, &asked).await?;
        ensure!(outcome == shiftwork_cli::Outcome::Done, "the migration of {contract} did not succeed");
        Ok(())
    }

    async fn compare(&self, deliveries: &[Delivery]) -> anyhow::Result<()> {
        let columns = ["in the shop", "in Redshift", "missing", "unexpected", "different"].map(Column::number);
        let mut table = table::Table::new([Column::name("table")].into_iter().chain(columns));
        let mut wrong = 0;
        let mut row = |name: &str, compared: &Compared| {
            let Compared { source, target, missing, extra, different } = *compared;
            wrong += missing + extra + different;
            let counts = [source, target, missing, extra, different].map(|number| words::count(count(number)));
            table.row([name.to_owned()].into_iter().chain(counts));
        };
        row("orders: rows", &self.current(Table::Orders, ORDERS).await?);
        row("customers: versions", &self.history().await?);
        row("sessions: rows", &self.current(Table::Sessions, SESSIONS).await?);
        println!("{table}");
        let records: usize = deliveries.iter().map(|delivery| delivery.records).sum();
        ensure!(wrong == 0, "{wrong} rows differ from the shop");
        println!(
            "{} {} records were delivered, and every row and every version exists exactly once, as in the shop",
            console::style("✔").green(),
            words::count(count(records))
        );
        Ok(())
    }

    async fn current(&self, table: Table, select: &str) -> anyhow::Result<Compared> {
        let columns =
            self.shop.rows(table).iter().flat_map(|row| row.keys().cloned()).collect::<std::collections::BTreeSet<_>>();
        let source = self.shop.rows(table).into_iter().map(|row| {
            let key = vec![row["id"].as_i64().unwrap_or_default()];
            // Rows that were loaded before the column was added have NULL in it.
            let row: Row =
                columns.iter().map(|name| (name.clone(), row.get(name).cloned().unwrap_or_default())).collect();
            (key, Value::Object(row))
        });
        Ok(Compared::of(source.collect(), self.rows(select, &["id"]).await?))
    }

    async fn history(&self) -> anyhow::Result<Compared> {
        let source = self.shop.versions(Table::Customers).into_iter().map(|version| {
            let mut row = Value::Object(version.row.clone());
            row["valid_from"] = version.from.into();
            row["valid_to"] = version.to.map_or(Value::Null, Value::from);
            row["is_current"] = version.to.is_none().into();
            (vec![version.row["id"].as_i64().unwrap_or_default(), version.from], row)
        });
        Ok(Compared::of(source.collect(), self.rows(CUSTOMERS, &["id", "valid_from"]).await?))
    }

    /// Rows as JSON objects, with the values of their key columns.
    async fn rows(&self, select: &str, key: &[&str]) -> anyhow::Result<Vec<(Vec<i64>, Value)>> {
        let rows = self.database.texts(&format!("SELECT row_to_json(r)::text FROM ({select}) r")).await?;
        rows.iter()
            .map(|text| {
                let row: Value = serde_json::from_str(text)?;
                let key = key.iter().map(|column| row[*column].as_i64().unwrap_or_default()).collect();
                Ok((key, row))
            })
            .collect()
    }

    async fn keys(&self, bucket: &str, prefix: &str) -> anyhow::Result<Vec<String>> {
        let mut pages = self.s3().list_objects_v2().bucket(bucket).prefix(prefix).into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.with_context(|| format!("cannot list bucket {bucket}"))?;
            keys.extend(page.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
        }
        Ok(keys)
    }

    fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(self.aws.config()).force_path_style(true);
        aws_sdk_s3::Client::from_conf(config.build())
    }
}

const ORDERS: &str = "SELECT id, customer_id, status, amount::text, (extract(epoch from placed_at) * 1000)::bigint AS placed_at, note, \
     coupon FROM shop.orders";
const SESSIONS: &str = "SELECT id, customer_id, pages FROM shop.sessions";
const CUSTOMERS: &str = "SELECT id, email, name, tier, (extract(epoch from dw_start_date) * 1000)::bigint AS valid_from, \
     CASE WHEN dw_end_date < '9999-01-01' THEN (extract(epoch from dw_end_date) * 1000)::bigint END AS valid_to, \
     dw_current AS is_current FROM shop.customers";

/// The differences between two sets of rows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Compared {
    source: usize,
    target: usize,
    missing: usize,
    extra: usize,
    different: usize,
}

impl Compared {
    fn of(source: Vec<(Vec<i64>, Value)>, target: Vec<(Vec<i64>, Value)>) -> Self {
        let (sources, targets) = (source.len(), target.len());
        let source: BTreeMap<_, _> = source.into_iter().collect();
        let mut found = BTreeMap::new();
        for (key, row) in target {
            found.entry(key).or_insert_with(Vec::new).push(row);
        }
        let mut compared = Self { source: sources, target: targets, ..Self::default() };
        for (key, row) in &source {
            match found.get(key).map(Vec::as_slice) {
                None | Some([]) => compared.missing += 1,
                Some([one, more @ ..]) => {
                    compared.different += usize::from(one != row);
                    compared.extra += more.len();
                }
            }
        }
        compared.extra +=
            found.iter().filter(|(key, _)| !source.contains_key(*key)).map(|(_, rows)| rows.len()).sum::<usize>();
        compared
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn missing_duplicate_and_changed_rows_are_counted_separately() {
        let row = |id: i64, name: &str| (vec![id], json!({ "id": id, "name": name }));
        let source = vec![row(1, "a"), row(2, "b"), row(3, "c")];
        let target = vec![row(1, "a"), row(1, "a"), row(3, "C"), row(4, "d")];
        let compared = Compared::of(source, target);
        assert_eq!(compared, Compared { source: 3, target: 4, missing: 1, extra: 2, different: 1 });
    }
}
