//! The configuration of a feed: which files belong to it, what is expected of them, and what consumes them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, civil::Time, tz::TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shiftwork_config::{ByteSize, Duration, JsonPath, Located, Problem};
use shiftwork_protocol::{
    file::{Format, UNCLAIMED},
    name,
};

use crate::{
    encoding::Encoding,
    pattern::{KeyPattern, SYNTAX},
};

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
    /// Columns of the files, in their order. The default is all columns of the table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
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
    /// Names of the columns in the first line of a CSV file, or in the footer of a Parquet file.
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

/// Maximum of every duration in a feed: 400 days.
const LONGEST_SPAN: SignedDuration = SignedDuration::from_hours(400 * 24);

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

    /// Checks the rules that the schema cannot express.
    fn problems(&self, doc: &Located) -> Vec<Problem> {
        let root = JsonPath::root();
        let mut problems = Vec::new();
        let mut report = |field: &str, message: String, hint: &str| {
            let path = field.split('.').fold(root.clone(), |path, step| path.key(step));
            let problem = doc.problem(&path, message);
            problems.push(if hint.is_empty() { problem } else { problem.hint(hint) });
        };
        if !name::is_workflow_id(&self.feed) || self.feed == UNCLAIMED {
            report(
                "feed",
                format!("`{}` is not a valid name of a feed", self.feed),
                "use 1 to 64 letters, digits, `_` and `-`",
            );
        }
        if let Err(reason) = KeyPattern::read(&self.keys) {
            report("keys", reason, SYNTAX);
        }
        if let Some(table) = &self.table
            && !(1..=3).contains(&table.split('.').filter(|part| !part.is_empty()).count())
        {
            report("table", format!("`{table}` is not a valid name of a table"), "write `schema.table`");
        }
        if self.table.is_some() && !self.format.is_loadable() {
            report(
                "table",
                format!("COPY does not read format {}", self.format.as_str()),
                "remove `table`, and send the files to workers with `work_items`",
            );
        }
        self.check_format(&mut report);
        if !(1..=BATCH_FILES).contains(&self.batch.files) {
            report("batch.files", format!("a batch can have 1 to {BATCH_FILES} files"), "");
        }
        let spans = [
            ("expect.max_age", self.expect.max_age),
            ("batch.wait", self.batch.wait),
            ("work_items.within", self.work_items.as_ref().map(|items| items.within)),
        ];
        for (field, span) in spans {
            if let Some(span) = span.filter(|span| span.length() > LONGEST_SPAN) {
                report(field, format!("`{span}` is longer than 400 days"), "");
            }
        }
        if self.workflow.is_some() && self.work_items.is_some() {
            report("work_items", "`work_items` and `workflow` exclude each other".into(), "keep one of them");
        }
        if let Some(expected) = &self.expected {
            if expected.by.parse::<Time>().is_err() {
                report("expected.by", format!("`{}` is not a valid time of day", expected.by), "write `06:00`");
            }
            if TimeZone::get(&expected.time_zone).is_err() {
                let message = format!("`{}` is not a valid time zone", expected.time_zone);
                report("expected.time_zone", message, "write a name of the IANA database, such as `Europe/Berlin`");
            }
        }
        problems
    }

    /// Checks the fields that only some formats support. `report` takes a field, what is wrong with it, and how to fix it.
    fn check_format(&self, report: &mut dyn FnMut(&str, String, &str)) {
        if self.format == Format::Parquet && self.compression != Compression::None {
            report("compression", "Parquet files are compressed internally".into(), "remove `compression`");
        }
        let csv = self.format == Format::Csv;
        let named_columns = csv || self.format == Format::Parquet;
        for (field, given, fits, hint) in [
            ("header_lines", self.header_lines > 0, csv, "remove it: only csv supports it"),
            ("encoding", !self.encoding.is_utf8(), csv, "remove it: only csv supports it"),
            ("delimiter", self.delimiter.is_some(), csv, "remove it: only csv supports it"),
            ("null_as", self.null_as.is_some(), csv, "remove it: only csv supports it"),
            ("nested", self.nested, self.format == Format::Parquet, "remove it: only parquet supports it"),
            (
                "expect.header",
                !self.expect.header.is_empty(),
                named_columns,
                "remove it: only csv and parquet support it",
            ),
            (
                "expect.columns",
                self.expect.columns.is_some(),
                named_columns,
                "remove it: only csv and parquet support it",
            ),
        ] {
            if given && !fits {
                report(field, format!("format {} does not support `{field}`", self.format.as_str()), hint);
            }
        }
        if csv && self.header_lines == 0 && !self.expect.header.is_empty() {
            report(
                "expect.header",
                "without `header_lines`, COPY loads the header as a row".into(),
                "add `header_lines: 1`",
            );
        }
        if let Some(message) = misplaced_column(&self.columns, &self.expect.header) {
            report("columns", message, "COPY assigns fields by position: write the columns in the order of the header");
        }
        if let Some(delimiter) = &self.delimiter
            && (delimiter.chars().count() != 1 || !delimiter.is_ascii() || delimiter == "\\")
        {
            report(
                "delimiter",
                format!("`{delimiter}` is not a valid delimiter"),
                "write one ASCII character other than a backslash",
            );
        }
        if self.null_as.as_deref().is_some_and(|text| text.contains('\\') && text != NULL_TEXT) {
            report(
                "null_as",
                "COPY reads a backslash as an escape".into(),
                "write a string without a backslash, or `\\N`",
            );
        }
        if let Some(control) = &self.expect.rows_from {
            if !control.contains("{key}") {
                report(
                    "expect.rows_from",
                    format!("`{control}` is the same key for every file"),
                    "write `{key}.count`",
                );
            }
            if !matches!(self.format, Format::Csv | Format::JsonLines | Format::Parquet) {
                report(
                    "expect.rows_from",
                    format!("the rows of format {} are not counted", self.format.as_str()),
                    "remove it: only csv, json_lines and parquet support it",
                );
            }
        }
        if self.expect.needs_s3() && self.compression == Compression::Bzip2 {
            report("expect", "bzip2 files are not inspected".into(), "remove all fields but `non_empty` and `max_age`");
        }
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

/// Compares the columns that a COPY loads, in their order, with the header that a feed expects. A column may have another name than its
/// field; a column with the name of a field must be at the position of that field. Returns the first mismatch.
pub fn misplaced_column(columns: &[String], header: &[String]) -> Option<String> {
    if columns.is_empty() || header.is_empty() {
        return None;
    }
    if columns.len() != header.len() {
        return Some(format!("{} columns are loaded, and `expect.header` has {} fields", columns.len(), header.len()));
    }
    let field = |column: &String| header.iter().position(|field| field.trim().eq_ignore_ascii_case(column));
    columns.iter().enumerate().find_map(|(at, column)| {
        let found = field(column).filter(|found| *found != at)?;
        Some(format!("column {} is `{column}`, which is field {} of `expect.header`", at + 1, found + 1))
    })
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
