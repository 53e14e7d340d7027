//! `make demo-files`: a thousand files of four feeds land in S3, some of them bad, some twice, one overwritten. Every one is
//! accounted for, and the loaded rows are those of the good files.

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
use comfy_table::{Cell, CellAlignment};
use console::style;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use shiftwork_aws::client::Aws;
use shiftwork_cli::{Deployment, args::Target, check::check, feed_files, files, run::new_id, status, validate, words};
use shiftwork_feeds::{FileRecord, FileStatus};
use tokio::time::{Instant, sleep};

use crate::{database::Database, heading, push_workflows};

mod sensors;

/// The workflow, its feeds beside it.
const FILES: &str = "local/demo/files/workflows";
/// The landing bucket that the laptop's deployment knows.
const BUCKET: &str = "shiftwork-landing";
/// The feeds; each loads the table of its name, less `demo_`.
const FEEDS: [&str; 4] = ["demo_orders", "demo_customers", "demo_clicks", "demo_sensors"];
/// What may pass before something is stuck.
const PATIENCE: Duration = Duration::from_mins(8);
/// Files put at once.
const AT_ONCE: usize = 32;

/// What lands: a file, and the ids of its rows if it is a good one.
struct Landing {
    key: String,
    bytes: Vec<u8>,
    feed: &'static str,
    rows: i64,
    /// What the register must say in the end.
    ends: FileStatus,
}

/// The whole demo. Every file must be where it belongs, or it fails.
pub async fn landing() -> anyhow::Result<()> {
    let stack = std::env::var("SHIFTWORK_STACK").unwrap_or_else(|_| "shiftwork".into());
    let deployment = Deployment::find(&Target { stack, profile: None, region: None }).await?;
    let database = Database::connect().await?;
    let s3 = Client::new(Aws::with_profile(None).await?.config());
    let run = new_id("run", deployment.clock.now());

    heading("push", "four feeds, and a workflow that loads what lands");
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
    tell_of_files(&s3, &deployment.outputs.file_event_queue_arn).await?;

    let all = files_of(&run)?;
    heading(
        "land",
        &format!("{} files: 15 bad ones, 40 put twice, one overwritten", words::count(i64::try_from(all.len())?)),
    );
    let begun = Instant::now();
    put(&s3, &all).await?;
    println!("put within {:.1} s", begun.elapsed().as_secs_f64());
    let (found, registered) = settled(&deployment, &run, all.len(), begun).await?;

    heading("account", "what became of every file, and what is in the tables");
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
        "{} every file is accounted for, and every row of a good file was loaded once; {rate:.0} files registered a second",
        style("✔").green()
    );
    Ok(())
}

/// The bucket tells the deployment of its files.
async fn tell_of_files(s3: &Client, queue: &str) -> anyhow::Result<()> {
    // An earlier demo, or a test, made it.
    drop(s3.create_bucket().bucket(BUCKET).send().await);
    let events = [Event::from("s3:ObjectCreated:*"), Event::from("s3:ObjectRemoved:*")];
    let to = QueueConfiguration::builder().queue_arn(queue).set_events(Some(events.into())).build()?;
    let configuration = NotificationConfiguration::builder().queue_configurations(to).build();
    let put = s3.put_bucket_notification_configuration().bucket(BUCKET).notification_configuration(configuration);
    put.send().await.context("the landing bucket takes no notifications")?;
    Ok(())
}

fn files_of(run: &str) -> anyhow::Result<Vec<Landing>> {
    let mut all = Vec::new();
    for n in 0..500_i64 {
        let day = 1 + n % 28;
        let key = format!("demo/{run}/orders/shop {}/2026-03-{day:02}/{n:04}.csv", n % 7);
        let (text, ends) = match n {
            // A number that is none, a field too many, a value too long, another header, nothing at all.
            n if n % 125 == 17 => (format!("id,shop,amount\n{n}0,a,12.50\nx{n},b,1.00\n"), FileStatus::Quarantined),
            n if n % 125 == 40 => (format!("id,shop,amount\n{n}0,a,1.00,surplus\n"), FileStatus::Quarantined),
            n if n % 250 == 99 => {
                (format!("id,shop,amount\n{n}0,{},1.00\n", "long".repeat(9)), FileStatus::Quarantined)
            }
            300 => ("id,shop,price\n1,a,1.00\n".into(), FileStatus::Quarantined),
            301 => (String::new(), FileStatus::Quarantined),
            n => (format!("id,shop,amount\n{n}0,\"a, b\",12.50\n{n}1,c,\n{n}2,d,0.01\n"), FileStatus::Processed),
        };
        let rows = if ends == FileStatus::Processed { 3 } else { 0 };
        all.push(Landing { key, bytes: text.into_bytes(), feed: "demo_orders", rows, ends });
    }
    for n in 0..300_i64 {
        let text = lines(5, |row| format!("{{\"id\": {}, \"name\": \"Ünal {row}\"}}", 10 * n + row));
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        // Writing to memory does not fail.
        let bytes = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).unwrap_or_default();
        let key = format!("demo/{run}/customers/{n:04}.json.gz");
        all.push(Landing { key, bytes, feed: "demo_customers", rows: 5, ends: FileStatus::Processed });
    }
    for n in 0..150_i64 {
        let text = lines(20, |row| format!("{n}{row:02};/page/{row}"));
        let key = format!("demo/{run}/clicks/2026/03/{n:04}+ü.csv");
        all.push(Landing { key, bytes: text.into_bytes(), feed: "demo_clicks", rows: 20, ends: FileStatus::Processed });
    }
    for n in 0..50_i64 {
        let key = format!("demo/{run}/sensors/2026-03-{:02}/{n:04}.parquet", 1 + n % 28);
        let mut bytes = sensors::file(n, "attic", "celsius")?;
        let ends = match n {
            // The end is missing, a value is too long, a column has another name.
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
        let rows = if ends == FileStatus::Processed { sensors::ROWS } else { 0 };
        all.push(Landing { key, bytes, feed: "demo_sensors", rows, ends });
    }
    Ok(all)
}

fn lines(rows: i64, line: impl Fn(i64) -> String) -> String {
    (0..rows).fold(String::new(), |text, row| text + &line(row) + "\n")
}

/// Puts all of them; forty twice, and one first with another content.
async fn put(s3: &Client, all: &[Landing]) -> anyhow::Result<()> {
    let put = async |key: &str, bytes: Vec<u8>| -> anyhow::Result<()> {
        let put = s3.put_object().bucket(BUCKET).key(key).body(bytes.into()).send().await;
        put.with_context(|| format!("{key} cannot be put"))?;
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

/// Waits until every file has come to an end; answers them, and how long it took until all were on record.
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
        // The file that was overwritten is there twice.
        if found.len() > files {
            registered.get_or_insert(begun.elapsed());
        }
        let open = found.iter().filter(|file| file.file_status.is_open()).count();
        println!("{:>5.0} s  {:>5} on record, {open:>5} open", begun.elapsed().as_secs_f64(), found.len());
        if let (Some(registered), 0) = (registered, open) {
            return Ok((found, registered));
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "{open} files are still open: target/local/log says what the laptop's AWS did"
        );
        sleep(Duration::from_secs(3)).await;
    }
}

/// Holds the register against what was put.
fn compare(all: &[Landing], found: &[FileRecord]) -> anyhow::Result<()> {
    let mut of_key: BTreeMap<&str, Vec<&FileRecord>> = BTreeMap::new();
    for file in found {
        of_key.entry(&file.key).or_default().push(file);
    }
    for (n, file) in all.iter().enumerate() {
        let versions = of_key.remove(file.key.as_str()).with_context(|| format!("{} is not on record", file.key))?;
        let ends: BTreeSet<_> = versions.iter().map(|version| version.file_status).collect();
        let wanted = if n == 1 {
            BTreeSet::from([FileStatus::Processed, FileStatus::Quarantined])
        } else {
            BTreeSet::from([file.ends])
        };
        ensure!(ends == wanted && versions.len() == wanted.len(), "{} is {versions:#?}, expected {wanted:?}", file.key);
        ensure!(versions.iter().all(|version| version.feed == file.feed), "{} is of another feed", file.key);
    }
    ensure!(of_key.is_empty(), "on record, and never put: {:?}", of_key.keys());
    Ok(())
}

/// Holds the tables against the good files: as many rows, and none twice.
async fn rows(database: &Database, all: &[Landing]) -> anyhow::Result<()> {
    let mut table = status::table(["table", "rows", "rows of good files", "distinct"]);
    for feed in FEEDS {
        let name = feed.trim_start_matches("demo_");
        let wanted: i64 = all.iter().filter(|file| file.feed == feed).map(|file| file.rows).sum();
        let loaded = database.count(&format!("SELECT COUNT(*) FROM landed.{name}")).await?;
        let distinct = database.count(&format!("SELECT COUNT(DISTINCT id) FROM landed.{name}")).await?;
        let right = |number: i64| Cell::new(words::count(number)).set_alignment(CellAlignment::Right);
        table.add_row([Cell::new(format!("landed.{name}")), right(loaded), right(wanted), right(distinct)]);
        if (loaded, distinct) != (wanted, wanted) {
            println!("{table}");
            bail!("landed.{name} holds {loaded} rows ({distinct} distinct), the good files have {wanted}");
        }
    }
    println!("{table}");
    Ok(())
}
