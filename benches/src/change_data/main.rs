//! Change data end to end: how many events a second get from Lambda's event into a production table, and how long one is on its way.
//!
//! ```text
//! . target/local/env && bench-change-data
//! ```
//!
//! Everything is the stack's: the function, the request queue, the run, the transaction. First a backlog, as much as four partitions
//! hand over one batch after the other; then a trickle, of which each event's way is timed from when it was made until it is seen in the
//! table. Fails where the table is not as its source, or an event is on its way for more than a minute.

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

/// Events of one invocation of the backlog: about 2 MB, of the 6 MB that Lambda takes.
const BATCH: usize = 2_000;
/// Events of one invocation of the trickle.
const SIP: usize = 25;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(250);
/// Between two looks at the table.
const LOOK: Duration = Duration::from_millis(50);
/// What may pass before something is stuck.
const PATIENCE: Duration = Duration::from_mins(5);
/// How long an event may be on its way.
const GOAL: Duration = Duration::from_mins(1);

/// Change data, from Lambda's event to the production table.
#[derive(Parser)]
struct Options {
    /// Events of the backlog.
    #[arg(long, default_value_t = 200_000)]
    events: usize,
    /// Seconds of the trickle.
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

/// The PostgreSQL behind the laptop's Redshift.
async fn database() -> Result<Client> {
    let url = std::env::var("SHIFTWORK_PG_URL")
        .context("SHIFTWORK_PG_URL is not set: `make up`, then source target/local/env")?;
    let (client, connection) =
        tokio_postgres::connect(&url, NoTls).await.context("the stack's PostgreSQL does not answer")?;
    tokio::spawn(connection);
    Ok(client)
}

/// A look at the table, in microseconds of the clock. A load takes all that is staged before it, and commits at once: what is older than
/// the newest event is there too.
struct Seen {
    /// When the newest event was made that is there.
    newest: i64,
    at: i64,
}

struct Bench {
    stack: Stack,
    database: Client,
}

impl Bench {
    /// Measures, prints, and answers how long the slowest event of the trickle was on its way.
    async fn measure(&self, events: usize, trickle: Duration) -> Result<Duration> {
        let mut parcels = Parcels::new(26);
        let waves = events.div_ceil(BATCH * PARTITIONS);
        // Made before the clock runs: a generator is no part of what is measured.
        let backlog: Vec<Vec<Value>> =
            (0..waves).map(|_| (0..PARTITIONS).map(|partition| parcels.batch(partition, BATCH).0).collect()).collect();
        let events = waves * PARTITIONS * BATCH;
        let begun = Instant::now();
        for wave in backlog {
            // One batch of a partition at a time, and all partitions at once, as Lambda does.
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
        println!("  in their table      {:>10}   {:>8.0} events/s", seconds(loaded), rate(events, loaded));

        let mut seen = Vec::new();
        let sent = tokio::select! {
            sent = self.trickle(&mut parcels, trickle) => sent?,
            failed = self.watch(&mut seen) => return Err(failed),
        };
        self.look(&mut seen).await?;
        let delays = delays(&sent, &seen)?;
        let slowest = delays.iter().max().copied().unwrap_or_default();
        println!(
            "TRICKLE: {} events in {} invocations over {}, load_every {LOAD_EVERY} s",
            sent.len() * SIP,
            sent.len(),
            seconds(trickle)
        );
        println!(
            "  from event to row   {:>10} median   {:>10} p90   {:>10} slowest",
            seconds(percentile(&delays, 50)),
            seconds(percentile(&delays, 90)),
            seconds(slowest)
        );
        let (rows, _) = parcels.truth();
        println!("All {rows} rows are those of their last events.");
        Ok(slowest)
    }

    async fn deliver(&self, event: Value) -> Result<()> {
        self.stack.invoke(self.stack.output("CdcLoaderFunction")?, &event).await.map(drop)
    }

    /// A few events now and then, until all are in the table. Answers when each batch was made, in microseconds.
    async fn trickle(&self, parcels: &mut Parcels, length: Duration) -> Result<Vec<i64>> {
        let (begun, mut pause, mut sent) = (Instant::now(), interval(PAUSE), Vec::new());
        while begun.elapsed() < length {
            pause.tick().await;
            let (event, now) = parcels.batch(sent.len() % PARTITIONS, SIP);
            self.deliver(event).await?;
            sent.push(now);
        }
        self.until(parcels).await?;
        Ok(sent)
    }

    /// Looks at the table until somebody has seen enough; answers why it cannot.
    async fn watch(&self, seen: &mut Vec<Seen>) -> anyhow::Error {
        loop {
            if let Err(error) = self.look(seen).await {
                return error;
            }
            sleep(LOOK).await;
        }
    }

    async fn look(&self, seen: &mut Vec<Seen>) -> Result<()> {
        let row = self.database.query_one("SELECT MAX(sent_at) FROM bench.parcels", &[]).await?;
        let newest: Option<i64> = row.try_get(0)?;
        seen.extend(newest.map(|newest| Seen { newest, at: Timestamp::now().as_microsecond() }));
        Ok(())
    }

    /// Waits until the table is as its source.
    async fn until(&self, parcels: &Parcels) -> Result<()> {
        let (truth, begun) = (parcels.truth(), Instant::now());
        loop {
            // There is no table before the first load.
            let found = self
                .database
                .query_one("SELECT COUNT(*), COALESCE(SUM(change), 0)::bigint FROM bench.parcels", &[])
                .await;
            let found = found.and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?))).unwrap_or((0_i64, 0_i64));
            if found == truth {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "the table has (rows, sum of changes) {found:?}, and its source {truth:?}"
            );
            sleep(LOOK).await;
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
            .context("no schema for the bench")
    }

    /// Takes away what this or an earlier bench left.
    async fn clean(&self) -> Result<()> {
        self.stack.remove_workflow(CONTRACT).await?;
        self.stack.empty("ScriptsBucket", &format!("contracts/{CONTRACT}.")).await?;
        for prefix in ["staged", "tables", "drift", "findings"] {
            self.stack.empty("StagingBucket", &format!("{prefix}/{CONTRACT}")).await?;
        }
        let drop = "DROP SCHEMA IF EXISTS bench CASCADE; DROP SCHEMA IF EXISTS bench_staging CASCADE";
        self.database.batch_execute(drop).await.context("the schemas of the bench cannot be dropped")
    }
}

/// How long the events of each batch were on their way.
fn delays(sent: &[i64], seen: &[Seen]) -> Result<Vec<Duration>> {
    let delay = |made: &i64| {
        let first = seen.iter().find(|seen| seen.newest >= *made).context("an event was never seen")?;
        Ok(Duration::from_micros(u64::try_from(first.at - made)?))
    };
    sent.iter().map(delay).collect()
}

#[allow(clippy::cast_precision_loss, reason = "to the whole event")]
fn rate(events: usize, took: Duration) -> f64 {
    events as f64 / took.as_secs_f64()
}
