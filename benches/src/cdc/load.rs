//! The path from the S3 notification to staged files: the code of cdc-loader with in-memory collaborators. The staged
//! files are concatenated into one file, because concatenated ZSTD frames are a valid stream.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use serde_json::json;
use shiftwork_cdc_loader::{Collaborators, Loader};
use shiftwork_ports::fake::{ManualClock, MemoryBucket, MemoryDeadLetters, MemoryRequests};
use shiftwork_ports::{
    Bucket, Changed, Condition, NewObject, ObjectHead, ObjectStream, Objects, OpenObject, Page, Result as PortResult,
    Version,
};
use shiftwork_protocol::{Failure, FailureKind};

use crate::{contracts, generate::Form};

/// Size of a chunk in bytes, similar to that of S3.
const PIECE: usize = 64 << 10;

/// Loads a file of a format, plain or gzip.
///
/// # Errors
/// Returns an error if a file cannot be read or written, or if the loader reports a failure.
pub(crate) fn run(events: &Path, output: &Path, form: Form) -> Result<()> {
    let scripts = MemoryBucket::versioned();
    scripts.put("contracts/orders.yaml", contracts::of(form));
    let staged = File::create(output).with_context(|| output.display().to_string())?;
    let disk = Arc::new(Disk { events: events.to_owned(), staged: Mutex::new(staged) });
    let with = Collaborators {
        staging: Bucket::new(disk.clone(), "staging"),
        files: disk,
        scripts: scripts.bucket(),
        requests: Arc::<MemoryRequests>::default(),
        dead_letters: Arc::<MemoryDeadLetters>::default(),
        clock: Arc::<ManualClock>::default(),
    };
    let file = json!({ "bucket": { "name": "landing" }, "object": { "key": "orders.ndjson", "etag": "1" } });
    let body =
        json!({ "source": "aws.s3", "detail-type": "Object Created", "time": "2026-11-21T10:00:00Z", "detail": file });
    let body = body.to_string();
    let event = json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "1", "body": body }] });
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let response = runtime.block_on(Loader::new(with).handle(event))?;
    ensure!(response["batchItemFailures"] == json!([]), "the file was not loaded: {response}");
    Ok(())
}

/// Every key has the content of one file. Staged objects are appended to another file, and all other objects are ignored.
struct Disk {
    events: PathBuf,
    staged: Mutex<File>,
}

struct Pieces(File);

#[async_trait]
impl ObjectStream for Pieces {
    async fn next(&mut self) -> PortResult<Option<Vec<u8>>> {
        let mut piece = vec![0; PIECE];
        let read = self.0.read(&mut piece).map_err(unavailable)?;
        piece.truncate(read);
        Ok((read > 0).then_some(piece))
    }
}

#[async_trait]
impl Objects for Disk {
    async fn open(&self, _: &str, _: &str, _: Option<&Version>) -> PortResult<Option<OpenObject>> {
        let file = File::open(&self.events).map_err(unavailable)?;
        Ok(Some(OpenObject { head: ObjectHead::default(), content: Box::new(Pieces(file)) }))
    }
    async fn head(&self, _: &str, _: &str) -> PortResult<Option<ObjectHead>> {
        Ok(None)
    }
    async fn tail(&self, _: &str, _: &str, _: u64) -> PortResult<Option<Vec<u8>>> {
        Ok(None)
    }
    async fn put(&self, _: &str, key: &str, object: NewObject, _: &Condition) -> PortResult<Changed> {
        if key.starts_with("staged/") {
            self.staged.lock().unwrap_or_else(PoisonError::into_inner).write_all(&object.bytes).map_err(unavailable)?;
        }
        Ok(Changed::Done)
    }
    async fn delete(&self, _: &str, _: &str, _: &str) -> PortResult<Changed> {
        Ok(Changed::Done)
    }
    async fn delete_all(&self, _: &str, _: &[String]) -> PortResult<()> {
        Ok(())
    }
    async fn list(&self, _: &str, _: &str, _: Option<&str>) -> PortResult<Page> {
        Ok(Page::default())
    }
}

#[allow(clippy::needless_pass_by_value, reason = "stands in `map_err`")]
fn unavailable(error: std::io::Error) -> Failure {
    Failure::new(FailureKind::Unavailable, error.to_string())
}
