//! The types of `metadata.yaml`: the repositories of documents in a bucket, the index of each, and the format of its metadata.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The repositories of documents in a bucket, and the prefixes for copies of metadata files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// The repositories, by name.
    pub repositories: BTreeMap<String, Repository>,
    /// Prefix of metadata files that cannot be fixed. Each has a reason file next to it: `<key>.reason.json`.
    #[serde(default = "quarantine")]
    pub quarantine: String,
    /// Prefix of the original content of metadata files that are fixed at their target key. Not used in a bucket with
    /// versioning, because the bucket keeps the original content as a version.
    #[serde(default = "originals")]
    pub originals: String,
    /// Key of the global ACL file of Bedrock managed knowledge bases, in the same bucket as the documents. It names the
    /// principals of prefixes and of single documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_file: Option<String>,
    /// Email addresses of users for Bedrock, by the names that Kendra's access control lists have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<String, String>,
    /// Email addresses of the members of groups for Bedrock, whose access control lists have only users.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Vec<String>>,
}

fn quarantine() -> String {
    "metadata-quarantine/".into()
}

fn originals() -> String {
    "metadata-originals/".into()
}

/// A repository: the documents under a prefix, and the index that they are for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// Prefix of the keys of the documents, for example `handbook/`; empty for the whole bucket.
    #[serde(default)]
    pub prefix: String,
    /// The index that reads the metadata; the default is `bedrock`.
    #[serde(default)]
    pub target: Target,
    /// Bedrock only: how metadata says who may see a document. The default is `list`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_control: Option<AccessControl>,
    /// Bedrock only: `aclEnabled` of the data source, which then does not ingest a document without an access control list.
    /// `shiftwork metadata check` names these documents. By default, it names them if `access_file` is set or another
    /// document of the repository has a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl_enabled: Option<bool>,
    /// Kendra only: the metadata prefix of its data source (`S3Prefix`). By default, the index reads a metadata file next to
    /// its document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_prefix: Option<String>,
    /// Patterns of the keys of metadata files, relative to the prefix: `{document}.json`, `_meta/{folder}{stem}.json`.
    /// `{document}` is `{folder}{name}`; `{stem}` is the name without its extension.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Maps the names of fields in the repository to attributes of the index; null drops the field.
    #[serde(default)]
    pub fields: BTreeMap<String, Option<String>>,
    /// The custom attributes of the index, with their types.
    #[serde(default)]
    pub attributes: BTreeMap<String, AttributeType>,
    /// What happens to a field that is not an attribute of the index. The default is `quarantine` for Kendra, whose
    /// index has declared attributes, and `keep` for Bedrock, which accepts any attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undeclared: Option<Undeclared>,
    /// Formats of dates, for example `%d.%m.%Y`, `epoch_seconds` or `epoch_millis`. The first format that matches a value is
    /// used. ISO 8601 is always tried first.
    #[serde(default)]
    pub dates: Vec<String>,
    /// Time zone of dates without a UTC offset, for example `Europe/Berlin`; the default is UTC.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// Separator for a string that is converted to a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_separator: Option<String>,
    /// Maximum number of strings in a list; the default is 10, the default quota of Kendra.
    #[serde(default = "ten")]
    pub list_length: u32,
    /// Truncate strings of more than 2,048 characters, instead of moving the metadata file to quarantine.
    #[serde(default)]
    pub cut_long_text: bool,
    /// Bedrock only: attributes with `includeForEmbedding: true`.
    #[serde(default)]
    pub embed: Vec<String>,
    /// Bedrock only: write all attributes with their types. By default, only attributes with `includeForEmbedding` have one.
    #[serde(default)]
    pub typed: bool,
    /// Bedrock only: the format of dates. Range filters of Bedrock compare only numbers.
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Amazon Bedrock Knowledge Bases.
    #[default]
    Bedrock,
    /// Amazon Kendra, which is closed to new customers.
    Kendra,
}

/// How metadata for Bedrock says who may see a document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessControl {
    /// As `accessControlList`, by which a managed knowledge base with `aclEnabled` filters.
    #[default]
    List,
    /// As the attributes `_allowed_users`, `_allowed_groups`, `_denied_users` and `_denied_groups`, by which your application
    /// has to filter.
    Attributes,
}

/// The type of a custom attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttributeType {
    /// A string.
    String,
    /// A list of strings.
    StringList,
    /// A signed 64-bit integer.
    Long,
    /// A date with time and UTC offset.
    Date,
    /// A number; Bedrock only.
    Number,
    /// A boolean; Bedrock only.
    Boolean,
}

/// What happens to a field that is not an attribute of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Undeclared {
    /// Write the field as an attribute with the same name.
    Keep,
    /// Omit the field.
    Drop,
    /// Move the metadata file to quarantine.
    Quarantine,
}

/// The format of dates in metadata for Bedrock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DatesAs {
    /// A string in ISO 8601.
    #[default]
    Text,
    /// A number: seconds since 1970-01-01T00:00:00Z.
    EpochSeconds,
}

impl Repository {
    /// `access_control`, or its default.
    pub fn access_control(&self) -> AccessControl {
        self.access_control.unwrap_or_default()
    }

    /// True if the index reads access control lists of Bedrock managed knowledge bases.
    pub(crate) fn has_bedrock_lists(&self) -> bool {
        self.target == Target::Bedrock && self.access_control() == AccessControl::List
    }

    /// `undeclared`, or its default for the target.
    pub fn undeclared(&self) -> Undeclared {
        self.undeclared.unwrap_or(match self.target {
            Target::Kendra => Undeclared::Quarantine,
            Target::Bedrock => Undeclared::Keep,
        })
    }
}
