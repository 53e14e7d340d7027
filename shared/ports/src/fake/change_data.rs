use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex,
    time::Duration,
};

use async_trait::async_trait;
use shiftwork_protocol::{Failure, FailureKind, payload::RunRequest};

use super::lock;
use crate::{ChangeFiles, DEAD_LETTER_BYTES, DeadLetters, FileStream, FileVersion, Object, Requests, Result, Staging};

/// The staging bucket.
#[derive(Debug, Default)]
pub struct MemoryStaging(Mutex<BTreeMap<String, Vec<u8>>>);

#[async_trait]
impl Staging for MemoryStaging {
    async fn put(&self, key: &str, body: Vec<u8>) -> Result<()> {
        lock(&self.0).insert(key.into(), body);
        Ok(())
    }

    async fn put_once(&self, key: &str, body: Vec<u8>) -> Result<Vec<u8>> {
        Ok(lock(&self.0).entry(key.into()).or_insert(body).clone())
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(lock(&self.0).get(key).cloned())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let all = lock(&self.0);
        let found = all.iter().filter(|(key, _)| key.starts_with(prefix));
        Ok(found.map(|(key, body)| Object { key: key.clone(), bytes: body.len() as u64 }).collect())
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        lock(&self.0).retain(|key, _| !keys.contains(key));
        Ok(())
    }
}

/// Files of change events, handed out in small pieces.
#[derive(Debug)]
pub struct MemoryFiles {
    files: Mutex<BTreeMap<FileVersion, Vec<u8>>>,
    piece: usize,
}

impl Default for MemoryFiles {
    fn default() -> Self {
        Self { files: Mutex::default(), piece: 7 }
    }
}

impl MemoryFiles {
    /// Files that come in pieces of so many bytes.
    pub fn in_pieces_of(piece: usize) -> Self {
        Self { piece: piece.max(1), ..Self::default() }
    }

    /// Puts a file.
    pub fn put(&self, file: FileVersion, body: Vec<u8>) {
        lock(&self.files).insert(file, body);
    }
}

struct Pieces(VecDeque<Vec<u8>>);

#[async_trait]
impl FileStream for Pieces {
    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(self.0.pop_front())
    }
}

#[async_trait]
impl ChangeFiles for MemoryFiles {
    async fn open(&self, file: &FileVersion) -> Result<Option<Box<dyn FileStream>>> {
        let Some(body) = lock(&self.files).get(file).cloned() else { return Ok(None) };
        Ok(Some(Box::new(Pieces(body.chunks(self.piece).map(<[u8]>::to_vec).collect()))))
    }
}

/// Requests for runs, kept.
#[derive(Debug, Default)]
pub struct MemoryRequests(Mutex<Vec<(RunRequest, Duration)>>);

impl MemoryRequests {
    /// Every request so far.
    pub fn asked(&self) -> Vec<(RunRequest, Duration)> {
        lock(&self.0).clone()
    }
}

#[async_trait]
impl Requests for MemoryRequests {
    async fn ask(&self, request: &RunRequest, after: Duration) -> Result<()> {
        lock(&self.0).push((request.clone(), after));
        Ok(())
    }
}

/// Dead letters, kept.
#[derive(Debug, Default)]
pub struct MemoryDeadLetters(Mutex<Vec<String>>);

impl MemoryDeadLetters {
    /// Every letter so far.
    pub fn letters(&self) -> Vec<String> {
        lock(&self.0).clone()
    }
}

#[async_trait]
impl DeadLetters for MemoryDeadLetters {
    async fn put(&self, letters: &[String]) -> Result<()> {
        if letters.iter().any(|letter| letter.len() > DEAD_LETTER_BYTES) {
            return Err(Failure::new(FailureKind::Refused, "a letter is longer than a message may be"));
        }
        lock(&self.0).extend_from_slice(letters);
        Ok(())
    }
}
