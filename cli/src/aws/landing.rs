//! Buckets that files land in, as a backfill lists them.

use anyhow::Context as _;
use aws_sdk_s3::Client;
use aws_types::SdkConfig;
use jiff::Timestamp;

use super::failed;

/// Any bucket that this person may list.
#[derive(Debug, Clone)]
pub struct Landing {
    client: Client,
}

/// An object as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its version, where the bucket keeps versions.
    pub version_id: Option<String>,
    /// Tag of its content, without quotes.
    pub etag: Option<String>,
    /// Bytes.
    pub size: u64,
    /// When it was put.
    pub modified: Timestamp,
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The objects, in the order of their keys.
    pub objects: Vec<Listed>,
    /// Where to go on; none at the end.
    pub next: Option<String>,
}

impl Landing {
    pub(super) fn new(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }

    /// The newest versions of the keys behind `after`, at most a thousand. Deleted keys are left out.
    pub async fn page(&self, bucket: &str, prefix: &str, after: Option<&str>) -> anyhow::Result<Page> {
        let list = self.client.list_object_versions().bucket(bucket).prefix(prefix);
        let listed = list.set_key_marker(after.map(Into::into)).send().await;
        let listed =
            listed.map_err(|error| failed("S3 ListObjectVersions", &format!("s3://{bucket}/{prefix}"), &error))?;
        let newest = listed.versions().iter().filter(|version| version.is_latest() == Some(true));
        let objects = newest.map(|version| {
            let modified = version.last_modified().context("S3 lists an object without its time")?;
            Ok(Listed {
                key: version.key().unwrap_or_default().into(),
                // S3 writes "null" for an object of a bucket that keeps no versions.
                version_id: version.version_id().filter(|id| *id != "null").map(Into::into),
                etag: version.e_tag().map(|etag| etag.trim_matches('"').to_owned()),
                size: version.size().unwrap_or_default().try_into().unwrap_or_default(),
                modified: Timestamp::new(modified.secs(), i32::try_from(modified.subsec_nanos()).unwrap_or_default())?,
            })
        });
        let objects = objects.collect::<anyhow::Result<_>>()?;
        // Versions of one key may be parted by a page; the newest of it came first.
        let next =
            listed.is_truncated().unwrap_or_default().then(|| listed.next_key_marker().map(Into::into)).flatten();
        Ok(Page { objects, next })
    }
}
