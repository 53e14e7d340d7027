//! Lists landing buckets, for a backfill.

use anyhow::Context as _;
use aws_sdk_s3::Client;
use aws_types::SdkConfig;
use jiff::Timestamp;

use super::failed;

/// Access to any bucket that the caller may list.
#[derive(Debug, Clone)]
pub struct Landing {
    client: Client,
}

/// The newest version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// S3 key.
    pub key: String,
    /// Version id; `None` in a bucket without versioning.
    pub version_id: Option<String>,
    /// ETag without quotes.
    pub etag: Option<String>,
    /// Size in bytes.
    pub size: u64,
    /// Last-modified time.
    pub modified: Timestamp,
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The objects, ordered by key.
    pub objects: Vec<Listed>,
    /// The key after which the next page starts; `None` on the last page.
    pub next: Option<String>,
}

impl Landing {
    pub(super) fn new(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }

    /// The newest versions of the keys after `after`, at most 1,000. Deleted keys are excluded.
    pub async fn page(&self, bucket: &str, prefix: &str, after: Option<&str>) -> anyhow::Result<Page> {
        let list = self.client.list_object_versions().bucket(bucket).prefix(prefix);
        let listed = list.set_key_marker(after.map(Into::into)).send().await;
        let listed =
            listed.map_err(|error| failed("S3 ListObjectVersions", &format!("s3://{bucket}/{prefix}"), &error))?;
        let newest = listed.versions().iter().filter(|version| version.is_latest() == Some(true));
        let objects = newest.map(|version| {
            let modified = version
                .last_modified()
                .context("S3 ListObjectVersions returned an object without a last-modified time")?;
            Ok(Listed {
                key: version.key().unwrap_or_default().into(),
                // S3 returns "null" as the version id of an object in a bucket without versioning.
                version_id: version.version_id().filter(|id| *id != "null").map(Into::into),
                etag: version.e_tag().map(|etag| etag.trim_matches('"').to_owned()),
                size: version.size().unwrap_or_default().try_into().unwrap_or_default(),
                modified: Timestamp::new(modified.secs(), i32::try_from(modified.subsec_nanos()).unwrap_or_default())?,
            })
        });
        let objects = objects.collect::<anyhow::Result<_>>()?;
        // A page may end between two versions of a key; the newest version of that key is on this page.
        let next =
            listed.is_truncated().unwrap_or_default().then(|| listed.next_key_marker().map(Into::into)).flatten();
        Ok(Page { objects, next })
    }
}
