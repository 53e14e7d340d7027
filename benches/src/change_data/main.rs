//! Change data end to end: events per second from the Lambda event to the production table, and the latency of an
//! event.
//!
//! ```text
//! . target/local/env && bench-change-data
//! ```
//!
//! All parts run on the local stack: the function, the request queue, the run, the transaction. The first phase is a
//! backlog: four partitions deliver batches as fast as possible. The second phase is a trickle: the latency of each
//! event is measured from its creation until it is visible in the table. Fails if the table differs from its source, or
//! if the latency of an event exceeds one minute.

mod events;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::Parser;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde_json::Value;
use shiftwork_benches::{
    numbers::{percentile, seconds},
    stack::Stack,
};
use shiftwork_change_data::contract::read;
use tokio::time::{interval, sleep};
use tokio_postgres::{Client, NoTls};

use self::events::{CONTRACT, LOAD_EVERY, PARTITIONS, Parcels, contract, workflow};

/// Events per invocation of the backlog: about 2 MB; Lambda's limit is 6 MB.
const BATCH: usize = 2_000;
/// Events per invocation of the trickle.
const TRICKLE_BATCH: usize = 25;
/// Pause between two invocations of the trickle.
const PAUSE: Duration = Duration::from_millis(250);
/// Interval between two queries of the table.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Maximum time for each step.
const MAX_WAIT: Duration = Duration::from_mins(5);
/// Maximum latency of an event.
const GOAL: Duration = Duration::from_mins(1);

/// Measures change data from the Lambda event to the production table
#[derive(Parser)]
struct Options {
    /// Number of events in the backlog
    #[arg(long, default_value_t = 200_000)]
    events: usize,
    /// Duration of the trickle in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let Options { events, seconds } = Options::parse();
    let bench = Bench { stack: Stack::connect().await?, database: database().await? };
    bench.clean().await?;
    bench.push().await?;
    let measured = bench.measure(events, Duration::from_secs(seconds.into())).await;
    bench.clean().await?;
    Ok(if measured? <= GOAL { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A connection to the PostgreSQL of the local Redshift.
async fn database() -> Result<Client> {
    let url = std::env::var("SHIFTWORK_PG_URL")
        .context("SHIFTWORK_PG_URL is not set: run `make up`, then source target/local/env")?;
    let (client, connection) =
        tokio_postgres::connect(&url, NoTls).await.context("cannot connect to the PostgreSQL of the local stack")?;
    tokio::spawn(connection);
    Ok(client)
}

/// A query of the table, with its time in microseconds. A load takes all files that were staged before it and commits
/// once, so all events before the newest visible one are visible too.
struct Seen {
    /// Creation time of the newest visible event.
    newest: i64,
    at: i64,
}

struct Bench {
    stack: Stack,
    database: Client,
}

impl Bench {
    /// Measures both phases, prints the results, and returns the maximum latency of the trickle.
    async fn measure(&self, events: usize, trickle: Duration) -> Result<Duration> {
        let mut parcels = Parcels::new(26);
        let waves = events.div_ceil(BATCH * PARTITIONS);
        // The events are generated before the measurement starts.
        let backlog: Vec<Vec<Value>> =
            (0..waves).map(|_| (0..PARTITIONS).map(|partition| parcels.batch(partition, BATCH).0).collect()).collect();
        let events = waves * PARTITIONS * BATCH;
        let begun = Instant::now();
        for wave in backlog {
            // Each partition delivers one batch at a time, and all partitions deliver concurrently, as with Lambda.
            stream::iter(wave)
                .map(|event| self.deliver(event))
                .buffer_unordered(PARTITIONS)
                .try_collect::<()>()
                .await?;
        }
        let staged = begun.elapsed();
        self.until(&parcels).await?;
        let loaded = begun.elapsed();
        println!(
            "BACKLOG: {events} events of about 0.7 KB in {} invocations, {PARTITIONS} partitions",
            waves * PARTITIONS
        );
        println!("  staged              {:>10}   {:>8.0} events/s", seconds(staged), rate(events, staged));
        println!("  loaded              {:>10}   {:>8.0} events/s", seconds(loaded), rate(events, loaded));

        let mut seen = Vec::new();
        let sent = tokio::select! {
            sent = self.trickle(&mut parcels, trickle) => sent?,
            failed = self.watch(&mut seen) => return Err(failed),
        };
        self.query(&mut seen).await?;
        let delays = delays(&sent, &seen)?;
        let slowest = delays.iter().max().copied().unwrap_or_default();
        println!(
            "TRICKLE: {} events in {} invocations over {}, load_every {LOAD_EVERY} s",
            sent.len() * TRICKLE_BATCH,
            sent.len(),
            seconds(trickle)
        );
        println!(
            "  from event to row   {:>10} median   {:>10} p90   {:>10} slowest",
            seconds(percentile(&delays, 50)),
            seconds(percentile(&delays, 90)),
            seconds(slowest)
        );
        let (rows, _) = parcels.expected();
        println!("All {rows} rows match their last events.");
        Ok(slowest)
    }

    async fn deliver(&self, event: Value) -> Result<()> {
        self.stack.invoke(self.stack.output("CdcLoaderFunction")?, &event).await.map(drop)
    }

    /// Delivers small batches at intervals, until all events are loaded. Returns the creation time of each batch in
    /// microseconds.
    async fn trickle(&self, parcels: &mut Parcels, length: Duration) -> Result<Vec<i64>> {
        let (begun, mut pause, mut sent) = (Instant::now(), interval(PAUSE), Vec::new());
        while begun.elapsed() < length {
            pause.tick().await;
            let (event, now) = parcels.batch(sent.len() % PARTITIONS, TRICKLE_BATCH);
            self.deliver(event).await?;
            sent.push(now);
        }
        self.until(parcels).await?;
        Ok(sent)
    }

    /// Queries the table until the future is dropped; returns an error if a query fails.
    async fn watch(&self, seen: &mut Vec<Seen>) -> anyhow::Error {
        loop {
            if let Err(error) = self.query(seen).await {
                return error;
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    async fn query(&self, seen: &mut Vec<Seen>) -> Result<()> {
        let row = self.database.query_one("SELECT MAX(sent_at) FROM bench.parcels", &[]).await?;
        let newest: Option<i64> = row.try_get(0)?;
        seen.extend(newest.map(|newest| Seen { newest, at: Timestamp::now().as_microsecond() }));
        Ok(())
    }

    /// Waits until the table matches its source.
    async fn until(&self, parcels: &Parcels) -> Result<()> {
        let (expected, begun) = (parcels.expected(), Instant::now());
        loop {
            // The table does not exist before the first load.
            let found = self
                .database
                .query_one("SELECT COUNT(*), COALESCE(SUM(change), 0)::bigint FROM bench.parcels", &[])
                .await;
            let found = found.and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?))).unwrap_or((0_i64, 0_i64));
            if found == expected {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < MAX_WAIT,
                "the table has (rows, sum of changes) {found:?}, expected {expected:?}"
            );
            sleep(POLL_INTERVAL).await;
        }
    }

    async fn push(&self) -> Result<()> {
        let (key, contract) = (format!("contracts/{CONTRACT}.yaml"), contract());
        read(&key, &contract).map_err(|problems| anyhow!("{problems:?}"))?;
        self.stack.put("ScriptsBucket", &key, contract).await?;
        self.stack.push_workflow(&workflow()).await?;
        self.database
            .batch_execute("CREATE SCHEMA bench; CREATE SCHEMA bench_staging")
            .await
            .context("cannot create the schemas of the benchmark")
    }

    /// Deletes the data of this benchmark and of earlier runs.
    async fn clean(&self) -> Result<()> {
        self.stack.remove_workflow(CONTRACT).await?;
        self.stack.empty("ScriptsBucket", &format!("contracts/{CONTRACT}.")).await?;
        for prefix in ["staged", "tables", "drift", "findings"] {
            self.stack.empty("StagingBucket", &format!("{prefix}/{CONTRACT}")).await?;
        }
        let drop = "DROP SCHEMA IF EXISTS bench CASCADE; DROP SCHEMA IF EXISTS bench_staging CASCADE";
        self.database.batch_execute(drop).await.context("cannot drop the schemas of the benchmark")
    }
}

/// The latency of each batch.
fn delays(sent: &[i64], seen: &[Seen]) -> Result<Vec<Duration>> {
    let delay = |made: &i64| {
        let first = seen.iter().find(|seen| seen.newest >= *made).context("an event was never visible in the table")?;
        Ok(Duration::from_micros(u64::try_from(first.at - made)?))
    };
    sent.iter().map(delay).collect()
}

#[allow(clippy::cast_precision_loss, reason = "to the whole event")]
fn rate(events: usize, took: Duration) -> f64 {
    events as f64 / took.as_secs_f64()
}
