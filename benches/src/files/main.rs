//! Files registered per second, writes per file, and whether 10,000 waiting files can be planned within the time and
//! memory of one invocation.
//!
//! The code of file-intake runs in this process. With the DynamoDB of the local stack: registration, planning for a
//! workflow (which reads every waiting file), and planning for workers with 1,000 files (which changes every file
//! twice). With the in-memory register, to measure the function itself: registration, and planning for workers with
//! 10,000 files. The emulator reads all items of a partition for each requested key, so 10,000 claims with DynamoDB
//! would measure the emulator.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use aws_sdk_sqs::types::QueueAttributeName;
use comfy_table::{Table, presets};
use hyper::Method;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shiftwork_aws::{client::Aws, files::DynamoRegister, queues::SqsWorkItems};
use shiftwork_benches::stack::Stack;
use shiftwork_feeds::{Batches, Feed};
use shiftwork_file_intake::Intake;
use shiftwork_ports::{
    Clock as _, FileRegister, SystemClock, WorkQueue,
    fake::{
        MemoryBucket, MemoryDeadLetters, MemoryNotices, MemoryObjects, MemoryRegister, MemoryRequests, MemoryWorkQueue,
    },
};
use shiftwork_protocol::file::FileRecord;

/// Number of waiting files.
const FILES: u32 = 10_000;
/// Number of files for workers, with DynamoDB and SQS of the stack.
const HANDED_OUT: u32 = 1_000;
/// Files per batch.
const OF_A_BATCH: u32 = 1_000;
/// Time of the first event: 2026-03-01T02:00:00Z.
const FIRST_EVENT: Timestamp = Timestamp::constant(1_772_330_400, 0);
/// Number of small files that are drained, and files per batch of the drain.
const DRAINED: u32 = 5_000;
const OF_A_SMALL_BATCH: u32 = 50;
/// Messages per invocation, as in the template.
const BATCH: usize = 100;
/// Memory of the function in the template, in MB.
const MEMORY_MB: u64 = 256;
/// Timeout of the function in the template.
const TIMEOUT: Duration = Duration::from_mins(2);
/// Writes per file until a worker receives it: received, batched, processing. The final status is the fourth write.
const WRITES: u64 = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // Each planning runs in a separate process, so that its memory is measured separately.
    match &std::env::args().skip(1).collect::<Vec<_>>()[..] {
        [] => {}
        [phase, feed, table] if phase == "plan" => return plan_over_dynamodb(feed, table).await,
        [phase] if phase == "plan" => return plan_in_memory().await,
        [phase] if phase == "drain" => {
            let drained = drain().await?;
            println!("{DRAINED} files in {:.2} s: {:.0} files/s", drained.as_secs_f64(), rate_of(drained));
            return Ok(());
        }
        [phase, feed, table, queue] if phase == "plan-for-workers" => {
            return plan_for_workers(feed, table, queue).await;
        }
        _ => bail!("bench-files takes no arguments, or `drain` for the drain alone"),
    }
    let in_memory = register(Arc::new(MemoryRegister::default()), "bench", FILES).await?;

    let stack = Stack::connect().await?;
    let table = stack.output("FileAuditTable")?.to_owned();
    let aws = Aws::from_env()?;
    let over_stack = || Arc::new(DynamoRegister::new(aws.config(), &table));
    let feed = name();
    stack.control.request(Method::POST, "counts/reset", None).await?;
    let over_dynamodb = register(over_stack(), &feed, FILES).await?;
    let writes = writes(&stack).await?;
    let for_a_workflow = Planned::by(&["plan", &feed, &table])?;
    let for_workers = Planned::by(&["plan"])?;

    let feed = name();
    let sqs = aws_sdk_sqs::Client::new(aws.config());
    let queue = sqs.create_queue().queue_name(&feed).send().await?.queue_url.context("a queue has a URL")?;
    stack.control.request(Method::POST, "counts/reset", None).await?;
    register(over_stack(), &feed, HANDED_OUT).await?;
    let handed_out = Planned::by(&["plan-for-workers", &feed, &table, &queue])?;
    let handed_out = Planned { writes: Some(self::writes(&stack).await?), ..handed_out };
    sqs.delete_queue().queue_url(&queue).send().await?;

    let drained = drain().await?;
    let mut report = Table::new();
    report.load_style(presets::UTF8_BORDERS_ONLY).set_header(["", "took", "", "peak memory", "writes a file"]);
    let registered = |name: &str, took: Duration, writes: String| {
        let rate = format!("{:.0} files/s", f64::from(FILES) / took.as_secs_f64());
        [name.to_owned(), format!("{:.2} s", took.as_secs_f64()), rate, String::new(), writes]
    };
    report.add_row(registered("10,000 registered, in memory", in_memory, "1".into()));
    let each = per_file(writes, FILES);
    report.add_row(registered("10,000 registered, DynamoDB of the stack", over_dynamodb, format!("{each:.2}")));
    report.add_row(for_a_workflow.row("10,000 planned for a workflow, DynamoDB of the stack", "runs", FILES));
    report.add_row(for_workers.row("10,000 planned for workers, in memory", "work items", FILES));
    report.add_row(handed_out.row(
        "1,000 planned for workers, DynamoDB and SQS of the stack",
        "work items",
        HANDED_OUT,
    ));
    let rate = rate_of(drained);
    report.add_row([
        "5,000 drained in batches of 50, DynamoDB of the stack".to_owned(),
        format!("{:.2} s", drained.as_secs_f64()),
        format!("{rate:.0} files/s"),
        String::new(),
        format!("{WRITES} + 1"),
    ]);
    println!("{report}");
    ensure!(writes == u64::from(FILES), "{writes} writes for {FILES} files");
    for (planned, files) in [(for_a_workflow, FILES), (for_workers, FILES), (handed_out, HANDED_OUT)] {
        planned.check(files)?;
    }
    Ok(())
}

/// A unique name. It is short, because a work item must have room for 1,000 keys with this prefix.
fn name() -> String {
    format!("bench_{}", &uuid::Uuid::new_v4().simple().to_string()[..6])
}

/// Number of items written since the counters were reset, as counted by the stack.
async fn writes(stack: &Stack) -> Result<u64> {
    let counts = stack.control.request(Method::GET, "counts", None).await?;
    Ok(counts["requests"]["dynamodb:PutItem"].as_u64().unwrap_or_default())
}

#[allow(clippy::cast_precision_loss, reason = "some ten thousand")]
fn per_file(writes: u64, files: u32) -> f64 {
    writes as f64 / f64::from(files)
}

/// The measurement of a planning.
#[derive(Debug, Serialize, Deserialize)]
struct Planned {
    seconds: f64,
    /// Number of runs or work items.
    batches: usize,
    peak_mb: u64,
    /// Number of writes since the files landed, for all files.
    writes: Option<u64>,
}

impl Planned {
    /// Runs the planning in a separate process.
    fn by(arguments: &[&str]) -> Result<Self> {
        let child = Command::new(std::env::current_exe()?).args(arguments).output()?;
        ensure!(child.status.success(), "planning failed: {}", String::from_utf8_lossy(&child.stderr));
        serde_json::from_slice(&child.stdout).context("the planning printed an invalid measurement")
    }

    /// Prints the measurement for the parent process.
    fn print(took: Duration, batches: usize, writes: Option<u64>) -> Result<()> {
        let told = Self { seconds: took.as_secs_f64(), batches, peak_mb: peak_mb()?, writes };
        println!("{}", serde_json::to_string(&told)?);
        Ok(())
    }

    fn row(&self, name: &str, what: &str, files: u32) -> [String; 5] {
        let writes = self.writes.map_or(String::new(), |writes| format!("{:.2}", per_file(writes, files)));
        let (took, batches) = (format!("{:.2} s", self.seconds), format!("{} {what}", self.batches));
        [name.into(), took, batches, format!("{} MB", self.peak_mb), writes]
    }

    fn check(&self, files: u32) -> Result<()> {
        let Self { seconds, batches, peak_mb, writes } = self;
        let wanted = files.div_ceil(OF_A_BATCH) as usize;
        ensure!(*batches == wanted, "{files} files gave {batches} batches, expected {wanted}");
        ensure!(*peak_mb < MEMORY_MB, "planning needed {peak_mb} MB, the function has {MEMORY_MB} MB");
        ensure!(
            *seconds < TIMEOUT.as_secs_f64(),
            "planning took {seconds:.0} s, the function has {}",
            TIMEOUT.as_secs()
        );
        if let Some(writes) = writes {
            ensure!(
                *writes == WRITES * u64::from(files),
                "{writes} writes for {files} files, expected {WRITES} per file"
            );
        }
        Ok(())
    }
}

/// The destination of the batches of a feed.
#[derive(Clone, Copy)]
enum Destination {
    None,
    Workflow,
    Workers,
}

/// The function with this register and a feed.
fn intake(
    register: Arc<dyn FileRegister>,
    feed: &str,
    to: Destination,
    requests: Arc<MemoryRequests>,
    items: Arc<dyn WorkQueue>,
) -> Intake {
    let scripts = MemoryBucket::versioned();
    let to = match to {
        Destination::None => "",
        Destination::Workflow => "workflow: load\n",
        Destination::Workers => "work_items: { within: 1h }\n",
    };
    let head =
        format!("feed: {feed}\nbucket: landing\nkeys: \"{feed}/**\"\nformat: csv\nbatch: {{ files: {OF_A_BATCH} }}\n");
    scripts.put(&format!("feeds/{feed}.yaml"), format!("{head}{to}"));
    Intake::new(
        register,
        Arc::new(MemoryObjects::default()),
        scripts.bucket(),
        requests,
        items,
        Arc::new(MemoryDeadLetters::default()),
        Arc::new(MemoryNotices::default()),
        Arc::new(SystemClock),
    )
}

/// Registers files of a feed without a destination.
async fn register(register: Arc<dyn FileRegister>, feed: &str, files: u32) -> Result<Duration> {
    let intake = intake(register, feed, Destination::None, Arc::default(), Arc::new(MemoryWorkQueue::default()));
    let numbers: Vec<_> = (0..files).collect();
    let batches: Vec<Value> = numbers.chunks(BATCH).map(|numbers| batch(feed, numbers)).collect();
    let begun = Instant::now();
    for batch in batches {
        let response = intake.handle(batch).await?;
        ensure!(response["batchItemFailures"] == json!([]), "not every file was registered: {response}");
    }
    Ok(begun.elapsed())
}

/// Events of files that arrive 10 ms after one another.
fn batch(feed: &str, numbers: &[u32]) -> Value {
    let message = |n: &u32| {
        let object = json!({ "key": format!("{feed}/2026-03-01/{n:05}.csv"), "size": 1000, "eTag": format!("{n:032x}"),
            "sequencer": format!("{n:016X}") });
        let at = FIRST_EVENT + SignedDuration::from_millis(10) * i32::try_from(*n).unwrap_or(i32::MAX);
        let body = json!({ "Records": [{ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "eventTime": shiftwork_protocol::timestamp(at), "s3": { "bucket": { "name": "landing" }, "object": object } }] });
        json!({ "messageId": n.to_string(), "body": body.to_string(), "eventSource": "aws:sqs" })
    };
    json!({ "Records": numbers.iter().map(message).collect::<Vec<_>>() })
}

fn rate_of(drained: Duration) -> f64 {
    f64::from(DRAINED) / drained.as_secs_f64()
}

/// Registers files over the DynamoDB of the stack. Then takes, begins and ends batches as the jobs of kind `copy` do, one after the other,
/// until no file is open. Returns the duration without the registration.
async fn drain() -> Result<Duration> {
    let (stack, aws) = (Stack::connect().await?, Aws::from_env()?);
    let register: Arc<dyn FileRegister> = Arc::new(DynamoRegister::new(aws.config(), stack.output("FileAuditTable")?));
    let name = name();
    self::register(register.clone(), &name, DRAINED).await?;
    // The content of compressed files is not inspected.
    let text = format!(
        "feed: {name}\nbucket: landing\nkeys: \"{name}/**\"\nformat: csv\ncompression: gzip\nworkflow: load\n\
         batch: {{ files: {OF_A_SMALL_BATCH} }}\n"
    );
    let feed = shiftwork_config::read_file("feed.yaml", &text).map_err(|problems| anyhow!("{problems:?}"))?;
    let feed = Feed::read(&feed).map_err(|problems| anyhow!("{problems:?}"))?;
    let clock = Arc::new(SystemClock);
    let batches = Batches { register, clock: clock.clone() };
    let objects = MemoryObjects::default();
    let (begun, mut drained) = (Instant::now(), 0);
    for number in 0.. {
        let batch = format!("run-{number}/files");
        let files = batches.take(&objects, &feed, &batch).await?;
        if files.is_empty() {
            break;
        }
        let files = batches.begin(&batch, files, clock.now() + SignedDuration::from_hours(1)).await?;
        let urls: Vec<_> = files.iter().map(FileRecord::url).collect();
        drained += batches.loaded(&name, &batch, &urls).await?;
    }
    ensure!(drained == DRAINED as usize, "{drained} files were drained, expected {DRAINED}");
    Ok(begun.elapsed())
}

async fn plan_over_dynamodb(feed: &str, table: &str) -> Result<()> {
    let aws = Aws::from_env()?;
    let requests = Arc::new(MemoryRequests::default());
    let register = Arc::new(DynamoRegister::new(aws.config(), table));
    let intake = intake(register, feed, Destination::Workflow, requests.clone(), Arc::new(MemoryWorkQueue::default()));
    let begun = Instant::now();
    intake.handle(json!({ "plan": "all" })).await?;
    Planned::print(begun.elapsed(), requests.requests().len(), None)
}

async fn plan_in_memory() -> Result<()> {
    let memory = Arc::new(MemoryRegister::default());
    register(memory.clone(), "bench", FILES).await?;
    let items = Arc::new(MemoryWorkQueue::default());
    let intake = intake(memory.clone(), "bench", Destination::Workers, Arc::default(), items.clone());
    let begun = Instant::now();
    intake.handle(json!({ "plan": "all" })).await?;
    let took = begun.elapsed();
    let writes = memory.files().iter().map(|file| 1 + u64::from(file.revision)).sum();
    Planned::print(took, items.items().len(), Some(writes))
}

async fn plan_for_workers(feed: &str, table: &str, queue: &str) -> Result<()> {
    let aws = Aws::from_env()?;
    let register = Arc::new(DynamoRegister::new(aws.config(), table));
    let items = Arc::new(SqsWorkItems::new(aws.config(), queue));
    let intake = intake(register, feed, Destination::Workers, Arc::default(), items);
    let begun = Instant::now();
    intake.handle(json!({ "plan": "all" })).await?;
    let took = begun.elapsed();
    let attributes = aws_sdk_sqs::Client::new(aws.config()).get_queue_attributes().queue_url(queue);
    let attributes = attributes.attribute_names(QueueAttributeName::ApproximateNumberOfMessages).send().await?;
    let messages = attributes.attributes.and_then(|all| all.into_values().next()).context("a queue has messages")?;
    Planned::print(took, messages.parse()?, None)
}

/// The maximum memory of this process in MB.
fn peak_mb() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("peak memory is read from /proc: Linux only")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("/proc/self/status has no VmHWM")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes.div_ceil(1024))
}
