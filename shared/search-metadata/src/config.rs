//! `metadata.yaml`: which part of the bucket is a repository of documents, what its index wants, and how the repository
//! writes its metadata.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Document repositories of a bucket, and where metadata goes that cannot stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// The repositories, by name.
    pub repositories: BTreeMap<String, Repository>,
    /// Prefix of metadata that cannot be mended, each with the reason beside it.
    #[serde(default = "quarantine")]
    pub quarantine: String,
    /// Prefix of what metadata was before it was mended in its place. A bucket that keeps versions needs no copies, and
    /// gets none.
    #[serde(default = "originals")]
    pub originals: String,
}

fn quarantine() -> String {
    "metadata-quarantine/".into()
}

fn originals() -> String {
    "metadata-originals/".into()
}

/// One repository: documents under a prefix, all for one index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// Keys begin with it: `handbook/`, or nothing for the whole bucket.
    #[serde(default)]
    pub prefix: String,
    /// The index that reads the metadata.
    pub target: Target,
    /// Kendra alone: the metadata prefix of its data source (`S3Prefix`). Without it metadata lies beside its document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_prefix: Option<String>,
    /// Where the repository keeps metadata, below its prefix: `{document}.json`, `_meta/{folder}{stem}.json`. `{document}`
    /// is `{folder}{name}`; `{stem}` is the name without its suffix.
    #[serde(default)]
    pub sources: Vec<String>,
    /// The repository's names of fields, each with the attribute that it becomes, or nothing to leave the field out.
    #[serde(default)]
    pub fields: BTreeMap<String, Option<String>>,
    /// Custom attributes of the index, with their types.
    #[serde(default)]
    pub attributes: BTreeMap<String, AttributeType>,
    /// What becomes of fields that are no attribute of the index. Kendra knows its attributes: `quarantine` where nothing is
    /// said. Bedrock takes any: `keep`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undeclared: Option<Undeclared>,
    /// How the repository writes dates, the first that reads wins: `%d.%m.%Y`, `epoch_seconds`, `epoch_millis`. ISO 8601
    /// needs no mention.
    #[serde(default)]
    pub dates: Vec<String>,
    /// Zone of dates that name none.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// Parts a text that should be a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_separator: Option<String>,
    /// Texts in a list at most (Kendra's quota is 10, and can be raised).
    #[serde(default = "ten")]
    pub list_length: u32,
    /// Cut texts of more than 2,048 characters, rather than put the metadata into quarantine.
    #[serde(default)]
    pub cut_long_text: bool,
    /// Bedrock alone: attributes that are embedded with the text (`includeForEmbedding`).
    #[serde(default)]
    pub embed: Vec<String>,
    /// Bedrock alone: write every attribute with its type, not only those that say whether they are embedded.
    #[serde(default)]
    pub typed: bool,
    /// Bedrock alone: how dates are written. Its filters compare numbers, and no texts.
    #[serde(default)]
    pub dates_as: DatesAs,
}

fn utc() -> String {
    "UTC".into()
}

const fn ten() -> u32 {
    10
}

/// The index that reads the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Amazon Kendra.
    Kendra,
    /// Amazon Bedrock Knowledge Bases.
    Bedrock,
}

/// The type of a custom attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttributeType {
    /// A text.
    String,
    /// Several texts.
    StringList,
    /// A whole number of 64 bits.
    Long,
    /// An instant.
    Date,
    /// Any number; Bedrock alone.
    Number,
    /// Yes or no; Bedrock alone.
    Boolean,
}

/// What becomes of a field that is no attribute of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Undeclared {
    /// It stays, under its own name.
    Keep,
    /// It is left out.
    Drop,
    /// The metadata goes to quarantine.
    Quarantine,
}

/// How Bedrock's metadata says an instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DatesAs {
    /// ISO 8601.
    #[default]
    Text,
    /// Seconds since 1970.
    EpochSeconds,
}

impl Repository {
    /// What becomes of undeclared fields.
    pub fn undeclared(&self) -> Undeclared {
        self.undeclared.unwrap_or(match self.target {
            Target::Kendra => Undeclared::Quarantine,
            Target::Bedrock => Undeclared::Keep,
        })
    }
}
