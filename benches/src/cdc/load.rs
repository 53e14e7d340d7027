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
use shiftwork_ports::fake::{ManualClock, MemoryDeadLetters, MemoryRequests, MemoryScripts};
use shiftwork_ports::{ChangeFiles, FileStream, FileVersion, Object, Result as PortResult, Staging};
use shiftwork_protocol::{Failure, FailureKind};

/// Size of a chunk in bytes, similar to that of S3.
const PIECE: usize = 64 << 10;

/// Loads a file, plain or gzip.
///
/// # Errors
/// Returns an error if a file cannot be read or written, or if the loader reports a failure.
pub(crate) fn run(events: &Path, output: &Path) -> Result<()> {
    let scripts = MemoryScripts::default();
    scripts.put("contracts/orders.yaml", include_str!("orders.yaml"));
    let staged = File::create(output).with_context(|| output.display().to_string())?;
    let with = Collaborators {
        staging: Arc::new(Staged(Mutex::new(staged))),
        files: Arc::new(Disk(events.to_owned())),
        scripts: Arc::new(scripts),
        requests: Arc::<MemoryRequests>::default(),
        dead_letters: Arc::<MemoryDeadLetters>::default(),
        clock: Arc::<ManualClock>::default(),
    };
    let file = json!({ "bucket": { "name": "landing" }, "object": { "key": "orders.ndjson", "etag": "1" } });
    let body = json!({ "source": "aws.s3", "detail": file }).to_string();
    let event = json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "1", "body": body }] });
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let response = runtime.block_on(Loader::new(with, "staging").handle(event))?;
    ensure!(response["batchItemFailures"] == json!([]), "the file was not loaded: {response}");
    Ok(())
}

/// A bucket that contains one file.
struct Disk(PathBuf);

struct Pieces(File);

#[async_trait]
impl ChangeFiles for Disk {
    async fn open(&self, _: &FileVersion) -> PortResult<Option<Box<dyn FileStream>>> {
        let file = File::open(&self.0).map_err(unavailable)?;
        Ok(Some(Box::new(Pieces(file))))
    }
}

#[async_trait]
impl FileStream for Pieces {
    async fn next(&mut self) -> PortResult<Option<Vec<u8>>> {
        let mut piece = vec![0; PIECE];
        let read = self.0.read(&mut piece).map_err(unavailable)?;
        piece.truncate(read);
        Ok((read > 0).then_some(piece))
    }
}

/// Stores staged files, and ignores all other objects.
struct Staged(Mutex<File>);

#[async_trait]
impl Staging for Staged {
    async fn put(&self, key: &str, body: Vec<u8>) -> PortResult<()> {
        if key.starts_with("staged/") {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&body).map_err(unavailable)?;
        }
        Ok(())
    }
    async fn put_once(&self, _: &str, body: Vec<u8>) -> PortResult<Vec<u8>> {
        Ok(body)
    }
    async fn get(&self, _: &str) -> PortResult<Option<Vec<u8>>> {
        Ok(None)
    }
    async fn list(&self, _: &str) -> PortResult<Vec<Object>> {
        Ok(Vec::new())
    }
    async fn delete(&self, _: &[String]) -> PortResult<()> {
        Ok(())
    }
}

#[allow(clippy::needless_pass_by_value, reason = "stands in `map_err`")]
fn unavailable(error: std::io::Error) -> Failure {
    Failure::new(FailureKind::Unavailable, error.to_string())
}
