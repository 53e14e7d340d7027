//! The manifest of a load: which files COPY reads, and so which files are done with once it has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::StatementName;

/// A manifest as COPY reads it (Redshift docs, "Using a manifest to specify data files").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// The files.
    pub entries: Vec<ManifestEntry>,
}

/// A file of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ManifestEntry {
    /// `s3://bucket/key`.
    pub url: String,
    /// Whether COPY fails where the file is not there. Always, for us.
    pub mandatory: bool,
}

impl Manifest {
    /// Of these keys of a bucket.
    pub fn of(bucket: &str, keys: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let entry = |key: &str| ManifestEntry { url: format!("s3://{bucket}/{key}"), mandatory: true };
        Self { entries: keys.into_iter().map(|key| entry(key.as_ref())).collect() }
    }

    /// Of these URLs.
    pub fn of_urls(urls: impl IntoIterator<Item = String>) -> Self {
        Self { entries: urls.into_iter().map(|url| ManifestEntry { url, mandatory: true }).collect() }
    }

    /// URLs of its files.
    pub fn urls(&self) -> Vec<String> {
        self.entries.iter().map(|entry| entry.url.clone()).collect()
    }

    /// Keys of its files in their bucket.
    pub fn keys(&self) -> Vec<String> {
        let key = |entry: &ManifestEntry| Some(entry.url.strip_prefix("s3://")?.split_once('/')?.1.to_owned());
        self.entries.iter().filter_map(key).collect()
    }
}

/// Key of the manifest that a statement loads: every attempt of a job has its own, and every try of one attempt the same.
pub fn manifest_key(statement: &StatementName) -> String {
    let StatementName { run, job, attempt, .. } = statement;
    format!("manifests/{run}/{job}/{attempt}.json")
}

#[cfg(test)]
mod tests {
    use super::Manifest;

    #[test]
    fn a_manifest_gives_back_its_keys() {
        let keys = ["staged/orders/kafka/a/0-9.c3.csv.zst", "staged/orders/s3/a b/ü.csv.zst"];
        assert_eq!(Manifest::of("bucket", keys).keys(), keys);
    }
}
