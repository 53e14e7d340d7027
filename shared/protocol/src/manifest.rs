//! The manifest of a load: the files that COPY reads. Settlement removes these files once COPY has committed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A manifest as COPY reads it (Redshift docs, "Using a manifest to specify data files").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// Files of the manifest.
    pub entries: Vec<ManifestEntry>,
}

/// A file of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ManifestEntry {
    /// URL of the file, as `s3://bucket/key`.
    pub url: String,
    /// Whether COPY fails if the file does not exist. shiftwork always sets true.
    pub mandatory: bool,
    /// Metadata of a columnar file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<ManifestMeta>,
}

/// Metadata of a file. COPY requires it for Parquet files (Redshift docs, "Using a manifest to specify data files").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ManifestMeta {
    /// Size of the file in bytes.
    pub content_length: u64,
}

impl Manifest {
    /// Makes a manifest of keys in one bucket.
    pub fn of(bucket: &str, keys: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let entry = |key: &str| ManifestEntry { url: format!("s3://{bucket}/{key}"), mandatory: true, meta: None };
        Self { entries: keys.into_iter().map(|key| entry(key.as_ref())).collect() }
    }

    /// Makes a manifest of files, each with URL and size in bytes.
    pub fn of_files(files: impl IntoIterator<Item = (String, u64)>) -> Self {
        let entry = |(url, content_length)| {
            let meta = Some(ManifestMeta { content_length });
            ManifestEntry { url, mandatory: true, meta }
        };
        Self { entries: files.into_iter().map(entry).collect() }
    }

    /// URLs of the files.
    pub fn urls(&self) -> Vec<String> {
        self.entries.iter().map(|entry| entry.url.clone()).collect()
    }

    /// Keys of the files in their bucket.
    pub fn keys(&self) -> Vec<String> {
        let key = |entry: &ManifestEntry| Some(entry.url.strip_prefix("s3://")?.split_once('/')?.1.to_owned());
        self.entries.iter().filter_map(key).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Manifest;

    #[test]
    fn a_manifest_returns_its_keys() {
        let keys = ["staged/orders/kafka/a/0-9.c3.csv.zst", "staged/orders/s3/a b/ü.csv.zst"];
        assert_eq!(Manifest::of("bucket", keys).keys(), keys);
    }
    #[test]
    fn a_manifest_of_files_has_their_sizes() {
        let manifest = serde_json::to_value(Manifest::of_files([("s3://b/a.parquet".to_owned(), 9)])).unwrap();
        let entry = json!({ "url": "s3://b/a.parquet", "mandatory": true, "meta": { "content_length": 9 } });
        assert_eq!(manifest, json!({ "entries": [entry] }));
        let older: Manifest =
            serde_json::from_value(json!({ "entries": [{ "url": "s3://b/a", "mandatory": true }] })).unwrap();
        assert_eq!(older.urls(), ["s3://b/a"]);
    }
}
