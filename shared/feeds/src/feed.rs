//! The configuration of a feed: which files belong to it, what is expected of them, and what consumes them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shiftwork_config::{ByteSize, Duration, Located, Problem};
use shiftwork_protocol::{file::Format, name};

use crate::{encoding::Encoding, pattern::KeyPattern};

mod problems;

pub use problems::misplaced_column;

/// A feed of files in S3: `feeds/<feed>.yaml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Feed")]
pub struct Feed {
    /// Name of the feed, the same as the name of its file.
    pub feed: String,
    /// Description of the feed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Bucket of the files.
    pub bucket: String,
    /// Pattern of the keys of the files: `orders/{region}/{day:%Y-%m-%d}/*.csv.gz`. `*` matches any characters except `/`, `**` any
    /// characters, `{name}` a part of a name, and `{name:%Y-%m-%d}` a date.
    pub keys: String,
    /// Format of the files.
    pub format: Format,
    /// Compression of the files.
    #[serde(default, skip_serializing_if = "Compression::is_none")]
    pub compression: Compression,
    /// Encoding of the files; CSV only. COPY converts it to UTF-8.
    #[serde(default, skip_serializing_if = "Encoding::is_utf8")]
    pub encoding: Encoding,
    /// Number of lines before the first row; CSV only.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub header_lines: u32,
    /// Character between fields; CSV only. The default is a comma.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
    /// String that represents NULL; CSV only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null_as: Option<String>,
    /// Loads lists and structs into SUPER columns; Parquet only. Required for a table with a SUPER column.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nested: bool,
    /// Table that a job of kind `copy` loads: `schema.table`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Columns of the files, in their order. The default is all columns of the table. With `columns_by: header`, the columns that a
    /// header may name, in any order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// How the fields of a file are assigned to columns; CSV and Parquet only.
    #[serde(default, skip_serializing_if = "ColumnsBy::is_position")]
    pub columns_by: ColumnsBy,
    /// Expectations of a file. A file that does not meet them is quarantined.
    #[serde(default, skip_serializing_if = "Expectations::is_none")]
    pub expect: Expectations,
    /// Limits of a batch.
    #[serde(default)]
    pub batch: Limits,
    /// Workflow to start when a batch is complete. It loads the files with a job of kind `copy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// Sends batches to the queue of work items, for workers outside of shiftwork. Excludes `workflow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_items: Option<WorkItems>,
    /// Daily due time of files. A notification is sent if files are late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
}

/// How the fields of a file are assigned to columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ColumnsBy {
    /// By position, as COPY does it.
    #[default]
    Position,
    /// By name: the header of each file names the column of each field. Files with different headers are loaded by different COPY
    /// statements of one transaction.
    Header,
}

impl ColumnsBy {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde requires this signature")]
    const fn is_position(&self) -> bool {
        matches!(self, Self::Position)
    }
}

/// Compression of a whole file. Parquet files are compressed internally.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not compressed.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// bzip2.
    Bzip2,
}

impl Compression {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde requires this signature")]
    const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Number of bytes at the beginning of a file that [`Compression::of`] needs.
    pub const SIGNATURE_BYTES: usize = 10;

    /// The compression of a file with these first bytes; `None` if the file is not compressed with one of them (RFC 1952, RFC 8878, and
    /// bzip2's block header).
    pub fn of(beginning: &[u8]) -> Option<Self> {
        let is_bzip2 =
            |text: &[u8]| text.starts_with(b"BZh") && text.get(4..10) == Some(&[0x31, 0x41, 0x59, 0x26, 0x53, 0x59]);
        match beginning {
            [0x1f, 0x8b, 0x08, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            text if is_bzip2(text) => Some(Self::Bzip2),
            _ => None,
        }
    }

    /// The name in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
        }
    }
}

/// Expectations of a file. A file that does not meet them is quarantined with the reason before its batch is loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expectations {
    /// The file has at least one byte.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub non_empty: bool,
    /// Names of the columns in the first line of a CSV file, or in the footer of a Parquet file. With `columns_by: header`, the columns
    /// that every file must have, in any order; the default is all `columns`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub header: Vec<String>,
    /// Number of fields in the first line of a CSV file, or of columns of a Parquet file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<u32>,
    /// Key of the control file that contains the number of rows of the file: `{key}.count`. A file waits for its control file. CSV, JSON
    /// lines and Parquet only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_from: Option<String>,
    /// Maximum age of the file when it is loaded: `7d`, `12h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
    /// Algorithm of the checksum that the sender uploads with the file and S3 stores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<ChecksumKind>,
}

impl Expectations {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Returns true if an expectation needs a request to S3 for the file.
    pub fn needs_s3(&self) -> bool {
        !self.header.is_empty() || self.columns.is_some() || self.rows_from.is_some() || self.checksum.is_some()
    }
}

/// Checksum algorithms of S3 (S3 user guide, "Checking object integrity").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChecksumKind {
    /// SHA-256.
    Sha256,
    /// SHA-1.
    Sha1,
    /// CRC-32.
    Crc32,
    /// CRC-32C.
    Crc32c,
    /// CRC-64/NVME.
    Crc64nvme,
}

impl ChecksumKind {
    /// The name in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha1 => "sha1",
            Self::Crc32 => "crc32",
            Self::Crc32c => "crc32c",
            Self::Crc64nvme => "crc64nvme",
        }
    }
}

/// Limits of a batch. A batch is complete when it reaches one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Number of files: 1 to 1,000.
    pub files: u32,
    /// Size of the files: `1 GB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<ByteSize>,
    /// Time that the first file has waited: `5m`. Without it a batch does not wait for more files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { files: BATCH_FILES, bytes: None, wait: None }
    }
}

/// Maximum number of files in a batch: one invocation claims, checks and settles this many within one minute.
pub const BATCH_FILES: u32 = 1_000;

/// Work items for workers outside of shiftwork.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkItems {
    /// Time that a worker has for a work item: `2h`. After it, the files are put into another work item.
    pub within: Duration,
}

/// Daily due time of files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Time of day at which the files are due: `06:00`.
    pub by: String,
    /// Time zone of `by`, as in the IANA database: `Europe/Berlin`.
    pub time_zone: String,
    /// Number of files that are due, counted from the start of the day.
    #[serde(default = "one")]
    pub files: u32,
}

/// The string that represents NULL if a COPY has no `NULL AS`.
pub const NULL_TEXT: &str = "\\N";

const fn one() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde requires this signature")]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// Returns the JSON Schema (2020-12) of a feed file.
pub fn feed_schema() -> Value {
    schemars::schema_for!(Feed).to_value()
}

impl Feed {
    /// Validates and deserializes `feeds/<feed>.yaml`, or its item of the configuration table.
    ///
    /// # Errors
    /// Returns all problems of the document, sorted by line.
    pub fn read(doc: &Located) -> Result<Self, Vec<Problem>> {
        shiftwork_config::read_checked(doc, &feed_schema(), |feed: &Self, problems| problems.extend(feed.problems(doc)))
    }

    /// Returns true for the key of a control file, which is not a file of the feed.
    fn is_control(&self, key: &str) -> bool {
        self.expect.rows_from.as_deref().and_then(|control| control.split_once("{key}")).is_some_and(
            |(before, after)| {
                !(before.is_empty() && after.is_empty()) && key.starts_with(before) && key.ends_with(after)
            },
        )
    }

    /// The consumer of the feed's batches.
    pub fn consumer(&self) -> Consumer<'_> {
        match (&self.workflow, &self.work_items) {
            (Some(workflow), _) => Consumer::Workflow(workflow),
            (None, Some(items)) => Consumer::Workers(items),
            (None, None) => Consumer::None,
        }
    }
}

/// The consumer of a feed's batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consumer<'a> {
    /// A workflow; a run is requested when a batch is complete.
    Workflow(&'a str),
    /// Workers that receive work items from a queue.
    Workers(&'a WorkItems),
    /// No consumer is configured. A workflow with its own schedule can load the files with a job of kind `copy`.
    None,
}

/// All feeds, with a lookup by object key.
#[derive(Debug, Clone, Default)]
pub struct Feeds(Vec<(Feed, KeyPattern)>);

impl Feeds {
    /// Creates the lookup. A feed whose pattern is not valid matches no files; `shiftwork push` refuses such a feed.
    pub fn new(feeds: impl IntoIterator<Item = Feed>) -> Self {
        let mut known: Vec<_> =
            feeds.into_iter().filter_map(|feed| Some((KeyPattern::read(&feed.keys).ok()?, feed))).collect();
        // If several feeds match a key, the one with the most literal characters in its pattern is used, then the first by name.
        known.sort_by(|(a, of_a), (b, of_b)| b.literal().cmp(&a.literal()).then_with(|| of_a.feed.cmp(&of_b.feed)));
        Self(known.into_iter().map(|(pattern, feed)| (feed, pattern)).collect())
    }

    /// Returns the feed that an object belongs to, and the named parts of its key.
    pub fn of(&self, bucket: &str, key: &str) -> Option<(&Feed, BTreeMap<String, String>)> {
        let (feed, pattern) = self
            .0
            .iter()
            .find(|(feed, pattern)| feed.bucket == bucket && !feed.is_control(key) && pattern.parts(key).is_some())?;
        Some((feed, pattern.parts(key)?))
    }

    /// Returns the feed of this name.
    pub fn named(&self, name: &str) -> Option<&Feed> {
        self.iter().find(|feed| feed.feed == name)
    }

    /// Iterates over the feeds, in the order in which keys are matched.
    pub fn iter(&self) -> impl Iterator<Item = &Feed> {
        self.0.iter().map(|(feed, _)| feed)
    }
}

/// Parses `files` of a job of kind `copy`: returns the name of the feed in `pending(<feed>)`.
pub fn pending(files: &str) -> Option<&str> {
    let feed = files.trim().strip_prefix("pending(")?.strip_suffix(')')?.trim();
    name::is_workflow_id(feed).then_some(feed)
}
