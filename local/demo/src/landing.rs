//! `make demo-files`: a thousand files of four feeds land in S3, some invalid, some twice, and one overwritten. Checks
//! that every file is in the register with the expected status, and that exactly the rows of the valid files were
//! loaded.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use aws_sdk_s3::{
    Client,
    types::{Event, NotificationConfiguration, QueueConfiguration},
};
use console::style;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use shiftwork_aws::client::{Aws, Flags};
use shiftwork_cli::{
    Deployment,
    args::Target,
    check::check,
    feed_files, files,
    run::new_id,
    table::{Column, Table},
    validate, words,
};
use shiftwork_protocol::file::{FileRecord, FileStatus};
use tokio::time::{Instant, sleep};

use crate::{database::Database, heading, push_workflows};

mod sensors;

/// Directory of the workflow; the feeds are next to it.
const FILES: &str = "local/demo/files/workflows";
/// The landing bucket of the local deployment.
const BUCKET: &str = "shiftwork-landing";
/// The feeds; each loads the table with its name without the prefix `demo_`.
const FEEDS: [&str; 4] = ["demo_orders", "demo_customers", "demo_clicks", "demo_sensors"];
/// Maximum time until all files have been loaded.
const MAX_WAIT: Duration = Duration::from_mins(8);
/// Number of concurrent uploads.
const AT_ONCE: usize = 32;

/// A file to upload, and the number of rows that must be loaded from it.
struct Landing {
    key: String,
    bytes: Vec<u8>,
    feed: &'static str,
    rows: i64,
    /// The expected final status in the register.
    final_status: FileStatus,
}

/// Runs the demo. Fails if a file does not have the expected status or a table does not have the expected rows.
pub async fn landing() -> anyhow::Result<()> {
    let stack = std::env::var("SHIFTWORK_STACK").unwrap_or_else(|_| "shiftwork".into());
    let deployment = Deployment::find(&Target { stack, ..Target::default() }).await?;
    let database = Database::connect().await?;
    let s3 = Client::new(Aws::from_terminal(Flags::default()).await?.config());
    let run = new_id("run", deployment.clock.now());

    heading("push", "four feeds, and the workflow that loads their files");
    let checked = check(&files::read(&[PathBuf::from(FILES)])?, &files::script);
    if !checked.problems.is_empty() {
        eprint!("{}", validate::problems(&checked, console::colors_enabled_stderr()));
        bail!("{}", validate::summary(&checked));
    }
    print!("{}", push_workflows(&deployment, &checked).await?);
    database
        .run(
            "CREATE SCHEMA IF NOT EXISTS landed; DROP TABLE IF EXISTS landed.orders, landed.customers, landed.clicks, landed.sensors; \
             CREATE TABLE landed.orders (id bigint, shop varchar(20), amount numeric(12, 2)); \
             CREATE TABLE landed.customers (id bigint, name varchar(40)); \
             CREATE TABLE landed.clicks (id bigint, page varchar(40)); \
             CREATE TABLE landed.sensors (id bigint, at timestamp, celsius double precision, place varchar(20))",
        )
        .await?;
    enable_notifications(&s3, &deployment.outputs.file_event_queue_arn).await?;

    let all = files_of(&run)?;
    heading(
        "land",
        &format!("{} files: 15 invalid, 40 uploaded twice, 1 overwritten", words::count(i64::try_from(all.len())?)),
    );
    let begun = Instant::now();
    put(&s3, &all).await?;
    println!("uploaded in {:.1} s", begun.elapsed().as_secs_f64());
    let (found, registered) = settled(&deployment, &run, all.len(), begun).await?;

    heading("check", "the status of every file, and the rows in the tables");
    compare(&all, &found)?;
    let by_feed = |feed: &str| found.iter().filter(|file| file.feed == feed).cloned().collect::<Vec<_>>();
    let feeds = FEEDS.map(|feed| (feed.to_owned(), by_feed(feed)));
    println!("{}", feed_files::summary_table(&feeds));
    rows(&database, &all).await?;
    for (_, files) in &feeds {
        for file in files.iter().filter(|file| file.file_status == FileStatus::Quarantined).take(2) {
            let reason = words::brief(file.reason.as_deref().unwrap_or_default(), 90);
            println!("{} {}: {reason}", style("quarantined").yellow(), file.key);
        }
    }
    let rate = f64::from(u32::try_from(all.len())?) / registered.as_secs_f64();
    println!(
        "{} every file has the expected status, and every row of a valid file was loaded once; {rate:.0} files registered per second",
        style("✔").green()
    );
    Ok(())
}

/// Sends the bucket's event notifications to the queue of the deployment.
async fn enable_notifications(s3: &Client, queue: &str) -> anyhow::Result<()> {
    // The bucket may exist from an earlier demo or test.
    drop(s3.create_bucket().bucket(BUCKET).send().await);
    let events = [Event::from("s3:ObjectCreated:*"), Event::from("s3:ObjectRemoved:*")];
    let to = QueueConfiguration::builder().queue_arn(queue).set_events(Some(events.into())).build()?;
    let configuration = NotificationConfiguration::builder().queue_configurations(to).build();
    let put = s3.put_bucket_notification_configuration().bucket(BUCKET).notification_configuration(configuration);
    put.send().await.context("cannot configure notifications of the landing bucket")?;
    Ok(())
}

fn files_of(run: &str) -> anyhow::Result<Vec<Landing>> {
    let mut all = Vec::new();
    for n in 0..500_i64 {
        let day = 1 + n % 28;
        let key = format!("demo/{run}/orders/shop {}/2026-03-{day:02}/{n:04}.csv", n % 7);
        let (text, final_status) = match n {
            // Invalid files: a value that is not a number, an additional field, a value that is too long, a wrong
            // header, an empty file.
            n if n % 125 == 17 => (format!("id,shop,amount\n{n}0,a,12.50\nx{n},b,1.00\n"), FileStatus::Quarantined),
            n if n % 125 == 40 => (format!("id,shop,amount\n{n}0,a,1.00,surplus\n"), FileStatus::Quarantined),
            n if n % 250 == 99 => {
                (format!("id,shop,amount\n{n}0,{},1.00\n", "long".repeat(9)), FileStatus::Quarantined)
            }
            300 => ("id,shop,price\n1,a,1.00\n".into(), FileStatus::Quarantined),
            301 => (String::new(), FileStatus::Quarantined),
            n => (format!("id,shop,amount\n{n}0,\"a, b\",12.50\n{n}1,c,\n{n}2,d,0.01\n"), FileStatus::Processed),
        };
        let rows = if final_status == FileStatus::Processed { 3 } else { 0 };
        all.push(Landing { key, bytes: text.into_bytes(), feed: "demo_orders", rows, final_status });
    }
    for n in 0..300_i64 {
        let text = lines(5, |row| format!("{{\"id\": {}, \"name\": \"Ünal {row}\"}}", 10 * n + row));
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        // Writing to memory does not fail.
        let bytes = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).unwrap_or_default();
        let key = format!("demo/{run}/customers/{n:04}.json.gz");
        all.push(Landing { key, bytes, feed: "demo_customers", rows: 5, final_status: FileStatus::Processed });
    }
    for n in 0..150_i64 {
        let text = lines(20, |row| format!("{n}{row:02};/page/{row}"));
        let key = format!("demo/{run}/clicks/2026/03/{n:04}+ü.csv");
        all.push(Landing {
            key,
            bytes: text.into_bytes(),
            feed: "demo_clicks",
            rows: 20,
            final_status: FileStatus::Processed,
        });
    }
    for n in 0..50_i64 {
        let key = format!("demo/{run}/sensors/2026-03-{:02}/{n:04}.parquet", 1 + n % 28);
        let mut bytes = sensors::file(n, "attic", "celsius")?;
        let final_status = match n {
            // Invalid files: a truncated file, a value that is too long, a column with another name.
            11 => {
                bytes.truncate(bytes.len() - 9);
                FileStatus::Quarantined
            }
            22 => {
                bytes = sensors::file(n, "in the attic behind the old chimney", "celsius")?;
                FileStatus::Quarantined
            }
            33 => {
                bytes = sensors::file(n, "attic", "fahrenheit")?;
                FileStatus::Quarantined
            }
            _ => FileStatus::Processed,
        };
        let rows = if final_status == FileStatus::Processed { sensors::ROWS } else { 0 };
        all.push(Landing { key, bytes, feed: "demo_sensors", rows, final_status });
    }
    Ok(all)
}

fn lines(rows: i64, line: impl Fn(i64) -> String) -> String {
    (0..rows).fold(String::new(), |text, row| text + &line(row) + "\n")
}

/// Uploads all files: 40 of them twice, and one first with other content.
async fn put(s3: &Client, all: &[Landing]) -> anyhow::Result<()> {
    let put = async |key: &str, bytes: Vec<u8>| -> anyhow::Result<()> {
        let put = s3.put_object().bucket(BUCKET).key(key).body(bytes.into()).send().await;
        put.with_context(|| format!("cannot upload {key}"))?;
        Ok(())
    };
    put(&all[1].key, b"id,shop,amount\n-1,old,1.00\n".to_vec()).await?;
    let again = all.iter().step_by(25);
    stream::iter(all.iter().chain(again))
        .map(|file| put(&file.key, file.bytes.clone()))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await
}

/// Waits until every file has a final status; returns the files, and the time until all were registered.
async fn settled(
    deployment: &Deployment,
    run: &str,
    files: usize,
    begun: Instant,
) -> anyhow::Result<(Vec<FileRecord>, Duration)> {
    let prefix = format!("demo/{run}/");
    let mut registered = None;
    loop {
        let mut found = Vec::new();
        for feed in FEEDS {
            found.extend(deployment.register.since(feed, Timestamp::UNIX_EPOCH, usize::MAX).await?);
        }
        found.retain(|file| file.key.starts_with(&prefix));
        // The overwritten file has two versions in the register.
        if found.len() > files {
            registered.get_or_insert(begun.elapsed());
        }
        let open = found.iter().filter(|file| file.file_status.is_open()).count();
        println!("{:>5.0} s  {:>5} registered, {open:>5} open", begun.elapsed().as_secs_f64(), found.len());
        if let (Some(registered), 0) = (registered, open) {
            return Ok((found, registered));
        }
        ensure!(
            begun.elapsed() < MAX_WAIT,
            "{open} files are still open: see the logs of the local stack in target/local/log"
        );
        sleep(Duration::from_secs(3)).await;
    }
}

/// Compares the register with the uploaded files.
fn compare(all: &[Landing], found: &[FileRecord]) -> anyhow::Result<()> {
    let mut of_key: BTreeMap<&str, Vec<&FileRecord>> = BTreeMap::new();
    for file in found {
        of_key.entry(&file.key).or_default().push(file);
    }
    for (n, file) in all.iter().enumerate() {
        let versions = of_key.remove(file.key.as_str()).with_context(|| format!("{} is not registered", file.key))?;
        let found: BTreeSet<_> = versions.iter().map(|version| version.file_status).collect();
        let wanted = if n == 1 {
            BTreeSet::from([FileStatus::Processed, FileStatus::Quarantined])
        } else {
            BTreeSet::from([file.final_status])
        };
        ensure!(
            found == wanted && versions.len() == wanted.len(),
            "{} is {versions:#?}, expected {wanted:?}",
            file.key
        );
        ensure!(
            versions.iter().all(|version| version.feed == file.feed),
            "{} is registered for another feed",
            file.key
        );
    }
    ensure!(of_key.is_empty(), "registered, but never uploaded: {:?}", of_key.keys());
    Ok(())
}

/// Compares the tables with the valid files: the number of rows, and the number of distinct ids.
async fn rows(database: &Database, all: &[Landing]) -> anyhow::Result<()> {
    let columns = ["rows", "rows of valid files", "distinct"].map(Column::number);
    let mut table = Table::new([Column::name("table")].into_iter().chain(columns));
    for feed in FEEDS {
        let name = feed.trim_start_matches("demo_");
        let wanted: i64 = all.iter().filter(|file| file.feed == feed).map(|file| file.rows).sum();
        let loaded = database.count(&format!("SELECT COUNT(*) FROM landed.{name}")).await?;
        let distinct = database.count(&format!("SELECT COUNT(DISTINCT id) FROM landed.{name}")).await?;
        table.row([format!("landed.{name}")].into_iter().chain([loaded, wanted, distinct].map(words::count)));
        if (loaded, distinct) != (wanted, wanted) {
            println!("{table}");
            bail!("landed.{name} contains {loaded} rows ({distinct} distinct), the valid files have {wanted}");
        }
    }
    println!("{table}");
    Ok(())
}
