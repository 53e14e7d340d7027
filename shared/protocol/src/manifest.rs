//! The manifest of a load: which files COPY reads, and so which files are done with once it has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// What COPY must know beforehand about a columnar file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<ManifestMeta>,
}

/// About a file. COPY refuses a manifest of Parquet files without it (Redshift docs, "Using a manifest to specify data
/// files").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ManifestMeta {
    /// Bytes of the file: a columnar file is read from its end.
    pub content_length: u64,
}

impl Manifest {
    /// Of these keys of a bucket.
    pub fn of(bucket: &str, keys: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let entry = |key: &str| ManifestEntry { url: format!("s3://{bucket}/{key}"), mandatory: true, meta: None };
        Self { entries: keys.into_iter().map(|key| entry(key.as_ref())).collect() }
    }

    /// Of these files: their URLs and bytes.
    pub fn of_files(files: impl IntoIterator<Item = (String, u64)>) -> Self {
        let entry = |(url, content_length)| {
            let meta = Some(ManifestMeta { content_length });
            ManifestEntry { url, mandatory: true, meta }
        };
        Self { entries: files.into_iter().map(entry).collect() }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Manifest;

    #[test]
    fn a_manifest_gives_back_its_keys() {
        let keys = ["staged/orders/kafka/a/0-9.c3.csv.zst", "staged/orders/s3/a b/ü.csv.zst"];
        assert_eq!(Manifest::of("bucket", keys).keys(), keys);
    }
    #[test]
    fn a_manifest_of_files_says_how_long_they_are() {
        let manifest = serde_json::to_value(Manifest::of_files([("s3://b/a.parquet".to_owned(), 9)])).unwrap();
        let entry = json!({ "url": "s3://b/a.parquet", "mandatory": true, "meta": { "content_length": 9 } });
        assert_eq!(manifest, json!({ "entries": [entry] }));
        let older: Manifest =
            serde_json::from_value(json!({ "entries": [{ "url": "s3://b/a", "mandatory": true }] })).unwrap();
        assert_eq!(older.urls(), ["s3://b/a"]);
    }
}
