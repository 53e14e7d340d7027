//! A feed: which files belong together, what they must look like, and where they go.

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

use crate::pattern::{KeyPattern, SYNTAX};

/// Files that belong together: `feeds/<feed>.yaml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Feed")]
pub struct Feed {
    /// Its name.
    pub feed: String,
    /// What it brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The bucket that its files land in.
    pub bucket: String,
    /// Which keys are its files: `orders/{region}/{day:%Y-%m-%d}/*.csv.gz`. `*` stands for anything within a folder, `**`
    /// for anything, `{name}` for a part of a name, `{name:%Y-%m-%d}` for a date.
    pub keys: String,
    /// What the files are.
    pub format: Format,
    /// How they are compressed.
    #[serde(default, skip_serializing_if = "Compression::is_none")]
    pub compression: Compression,
    /// Lines above the first row; CSV only.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub header_lines: u32,
    /// Character between fields; CSV only. A comma where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
    /// Text that stands for NULL; CSV only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null_as: Option<String>,
    /// Lists and structs go into SUPER columns; Parquet only. A table with a SUPER column needs it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nested: bool,
    /// The table that a job of kind `copy` loads: `schema.table`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The columns that the files bring, in their order; all of the table where it is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// What a file must be like, or it is quarantined.
    #[serde(default, skip_serializing_if = "Expectations::is_none")]
    pub expect: Expectations,
    /// How many files go together.
    #[serde(default)]
    pub batch: Limits,
    /// The workflow to start when a batch is complete. It takes the files with a job of kind `copy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// Batches go to the queue of work items instead, for workers outside of shiftwork.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_items: Option<WorkItems>,
    /// When files are due every day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
}

/// Compression of a whole file; Parquet has its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As it is.
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
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
    const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// What a file must be like. What is not so is quarantined with the reason, before anything is loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expectations {
    /// It holds at least one byte.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub non_empty: bool,
    /// Its first line names exactly these columns, or its footer does: CSV and Parquet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub header: Vec<String>,
    /// Its first line has so many fields, or it so many columns: CSV and Parquet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<u32>,
    /// Key of the control file that holds how many rows the file has: `{key}.count`. A file waits for its control file;
    /// CSV, JSON lines and Parquet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_from: Option<String>,
    /// It is no older than this when it is taken: `7d`, `12h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
    /// S3 keeps a checksum of this kind beside it, made by whoever sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<ChecksumKind>,
}

impl Expectations {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// True where S3 has to be asked about the file.
    pub fn look_inside(&self) -> bool {
        !self.header.is_empty() || self.columns.is_some() || self.rows_from.is_some() || self.checksum.is_some()
    }
}

/// Checksums that S3 keeps (S3 user guide, "Checking object integrity").
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
    /// As configuration writes it.
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

/// When a batch is complete: whichever comes first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// So many files: 1 to 1,000.
    pub files: u32,
    /// So many bytes: `1 GB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<ByteSize>,
    /// Its first file has waited this long: `5m`. At once where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { files: BATCH_FILES, bytes: None, wait: None }
    }
}

/// The longest time that a feed can name: 400 days.
const LONGEST_SPAN: SignedDuration = SignedDuration::from_hours(400 * 24);

/// Most files of a batch: what one invocation claims, checks and settles well within its minute.
pub const BATCH_FILES: u32 = 1_000;

/// Work for workers outside of shiftwork.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkItems {
    /// How long a worker may take: `2h`. After that the files go to another work item.
    pub within: Duration,
}

/// When files are due every day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// By this time of the day: `06:00`.
    pub by: String,
    /// Of this time zone: `Europe/Berlin`.
    pub time_zone: String,
    /// So many files since the day began.
    #[serde(default = "one")]
    pub files: u32,
}

/// The text that stands for NULL where a COPY says none.
pub const NULL_TEXT: &str = "\\N";

const fn one() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// JSON Schema (2020-12) of a feed file.
pub fn feed_schema() -> Value {
    schemars::schema_for!(Feed).to_value()
}

impl Feed {
    /// Reads `feeds/<feed>.yaml`, or its item of the configuration table.
    ///
    /// # Errors
    /// Every problem of the document, in the order of its lines.
    pub fn read(doc: &Located) -> Result<Self, Vec<Problem>> {
        shiftwork_config::read_checked(doc, &feed_schema(), |feed: &Self, problems| problems.extend(feed.problems(doc)))
    }

    /// What the schema cannot say.
    fn problems(&self, doc: &Located) -> Vec<Problem> {
        let root = JsonPath::root();
        let mut problems = Vec::new();
        let mut say = |field: &str, message: String, hint: &str| {
            let path = field.split('.').fold(root.clone(), |path, step| path.key(step));
            let problem = doc.problem(&path, message);
            problems.push(if hint.is_empty() { problem } else { problem.hint(hint) });
        };
        if !name::is_workflow_id(&self.feed) || self.feed == UNCLAIMED {
            say("feed", format!("`{}` cannot name a feed", self.feed), "use 1 to 64 letters, digits, `_` and `-`");
        }
        if let Err(why) = KeyPattern::read(&self.keys) {
            say("keys", why, SYNTAX);
        }
        if let Some(table) = &self.table
            && !(1..=3).contains(&table.split('.').filter(|part| !part.is_empty()).count())
        {
            say("table", format!("`{table}` is no table"), "write `schema.table`");
        }
        if self.table.is_some() && !self.format.is_loadable() {
            say(
                "table",
                format!("COPY does not read {}", self.format.as_str()),
                "take the table away, and give the files to `work_items`",
            );
        }
        if self.format == Format::Parquet && self.compression != Compression::None {
            say("compression", "Parquet is compressed within".into(), "leave `compression` out");
        }
        let csv = self.format == Format::Csv;
        let named_columns = csv || self.format == Format::Parquet;
        for (field, given, fits, hint) in [
            ("header_lines", self.header_lines > 0, csv, "it is for csv"),
            ("delimiter", self.delimiter.is_some(), csv, "it is for csv"),
            ("null_as", self.null_as.is_some(), csv, "it is for csv"),
            ("nested", self.nested, self.format == Format::Parquet, "it is for parquet"),
            ("expect.header", !self.expect.header.is_empty(), named_columns, "it is for csv and parquet"),
            ("expect.columns", self.expect.columns.is_some(), named_columns, "it is for csv and parquet"),
        ] {
            if given && !fits {
                say(field, format!("`{field}` does not go with format {}", self.format.as_str()), hint);
            }
        }
        if let Some(delimiter) = &self.delimiter
            && (delimiter.chars().count() != 1 || !delimiter.is_ascii() || delimiter == "\\")
        {
            say(
                "delimiter",
                format!("`{delimiter}` cannot part fields"),
                "write one ASCII character, and no backslash",
            );
        }
        if self.null_as.as_deref().is_some_and(|text| text.contains('\\') && text != NULL_TEXT) {
            say("null_as", "a backslash is an escape to COPY".into(), "write another text, or `\\N`");
        }
        if let Some(control) = &self.expect.rows_from {
            if !control.contains("{key}") {
                say("expect.rows_from", format!("`{control}` is the same for every file"), "write `{key}.count`");
            }
            if !matches!(self.format, Format::Csv | Format::JsonLines | Format::Parquet) {
                say("expect.rows_from", format!("rows of {} are not counted", self.format.as_str()), "");
            }
        }
        if self.expect.look_inside() && self.compression == Compression::Bzip2 {
            say("expect", "a bzip2 file is not looked into".into(), "keep `non_empty` and `max_age`");
        }
        if !(1..=BATCH_FILES).contains(&self.batch.files) {
            say("batch.files", format!("a batch has 1 to {BATCH_FILES} files"), "");
        }
        let spans = [
            ("expect.max_age", self.expect.max_age),
            ("batch.wait", self.batch.wait),
            ("work_items.within", self.work_items.as_ref().map(|items| items.within)),
        ];
        for (field, span) in spans {
            if let Some(span) = span.filter(|span| span.length() > LONGEST_SPAN) {
                say(field, format!("`{span}` is longer than 400 days"), "");
            }
        }
        if self.workflow.is_some() && self.work_items.is_some() {
            say(
                "work_items",
                "the files go to a workflow and to workers: each must go one way".into(),
                "keep `workflow` or `work_items`",
            );
        }
        if let Some(expected) = &self.expected {
            if expected.by.parse::<Time>().is_err() {
                say("expected.by", format!("`{}` is no time of the day", expected.by), "write `06:00`");
            }
            if TimeZone::get(&expected.time_zone).is_err() {
                let message = format!("`{}` is no time zone", expected.time_zone);
                say("expected.time_zone", message, "write one of the IANA database, as `Europe/Berlin`");
            }
        }
        problems
    }

    /// True for a control file, which tells about a file and is none of the feed.
    fn is_control(&self, key: &str) -> bool {
        self.expect.rows_from.as_deref().and_then(|control| control.split_once("{key}")).is_some_and(
            |(before, after)| {
                !(before.is_empty() && after.is_empty()) && key.starts_with(before) && key.ends_with(after)
            },
        )
    }

    /// Who takes its batches.
    pub fn consumer(&self) -> Consumer<'_> {
        match (&self.workflow, &self.work_items) {
            (Some(workflow), _) => Consumer::Workflow(workflow),
            (None, Some(items)) => Consumer::Workers(items),
            (None, None) => Consumer::Nobody,
        }
    }
}

/// Who takes the batches of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consumer<'a> {
    /// A workflow, which is asked for when a batch is complete.
    Workflow(&'a str),
    /// Workers behind the queue of work items.
    Workers(&'a WorkItems),
    /// Nobody is told: some workflow takes the files on a schedule of its own.
    Nobody,
}

/// The feeds, ready to be asked whose a file is.
#[derive(Debug, Clone, Default)]
pub struct Feeds(Vec<(Feed, KeyPattern)>);

impl Feeds {
    /// Of these; one whose pattern cannot be read has no files. Feeds that were pushed have been read before.
    pub fn new(feeds: impl IntoIterator<Item = Feed>) -> Self {
        let mut known: Vec<_> =
            feeds.into_iter().filter_map(|feed| Some((KeyPattern::read(&feed.keys).ok()?, feed))).collect();
        // Of two that take a key, the one that spells out more is meant; then the first by name.
        known.sort_by(|(a, of_a), (b, of_b)| b.literal().cmp(&a.literal()).then_with(|| of_a.feed.cmp(&of_b.feed)));
        Self(known.into_iter().map(|(pattern, feed)| (feed, pattern)).collect())
    }

    /// The feed of a file, with its named parts.
    pub fn of(&self, bucket: &str, key: &str) -> Option<(&Feed, BTreeMap<String, String>)> {
        let (feed, pattern) = self
            .0
            .iter()
            .find(|(feed, pattern)| feed.bucket == bucket && !feed.is_control(key) && pattern.parts(key).is_some())?;
        Some((feed, pattern.parts(key)?))
    }

    /// A feed by its name.
    pub fn named(&self, name: &str) -> Option<&Feed> {
        self.iter().find(|feed| feed.feed == name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Feed> {
        self.0.iter().map(|(feed, _)| feed)
    }
}

/// `pending(<feed>)`: how a job of kind `copy` names its files.
pub fn pending(files: &str) -> Option<&str> {
    let feed = files.trim().strip_prefix("pending(")?.strip_suffix(')')?.trim();
    name::is_workflow_id(feed).then_some(feed)
}
