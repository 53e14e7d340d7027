//! A contract as it is written. Names, types and durations are texts that have not been checked.

use std::{collections::BTreeSet, fmt::Write as _};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Column, DEFAULT_LOAD_EVERY, DEFAULT_TOMBSTONES_KEPT, Deletes, MergeStrategy, Oversized, Promote, PromoteKind,
    Source, SourceType, TableContract, Target, Unknown, unavailable,
};
use crate::column_type::ColumnType;

/// A table contract: how the change data of a source table becomes a table in Redshift.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TableContract")]
pub struct ContractDraft {
    /// Name of the contract, which is also the name of its file: 1 to 64 of `a-z 0-9 _ -`.
    pub contract: String,
    /// The change events that belong to the contract.
    pub source: Source,
    /// The table in Redshift.
    pub target: Target,
    /// Key columns, by their names in Redshift. At least one, unless `promote.kind` is `append`.
    #[serde(default)]
    pub key: Vec<String>,
    /// Columns in the order of the staged files. Add new columns after the existing ones.
    pub columns: Vec<DraftColumn>,
    /// How fields without a column are handled.
    #[serde(default)]
    pub unknown: Unknown,
    /// How staged rows are promoted to the table.
    #[serde(default)]
    pub promote: DraftPromote,
    /// How values that Redshift cannot hold are handled.
    #[serde(default)]
    pub oversized: Oversized,
    /// Whether strings in SUPER columns may have up to 16,000,000 bytes instead of 65,535. Requires a warehouse with
    /// `enable_large_strings_opt_in` (`SELECT is_large_string_enabled()`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub large_strings: bool,
    /// The workflow whose job of kind `cdc` loads the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// How long files are staged before a load is requested: `10s` to `15m`. A short time keeps a workgroup of Redshift Serverless awake.
    #[serde(default = "load_every")]
    pub load_every: String,
}

pub(super) fn load_every() -> String {
    DEFAULT_LOAD_EVERY.into()
}

/// A column of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Column")]
pub struct DraftColumn {
    /// Name of the column in Redshift: lower case, at most 127 bytes.
    pub name: String,
    /// Type of the column in Redshift, as DDL writes it: `bigint`, `decimal(12,2)`, `varchar(256)`, `super` …
    #[serde(rename = "type")]
    pub column_type: String,
    /// Name of the event's field, if it differs from the column's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Logical type of the source (`io.debezium.time.MicroTimestamp` …), for events without a schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_type: Option<String>,
}

impl DraftColumn {
    /// Name of the event's field that is written to the column.
    pub fn field(&self) -> &str {
        self.from.as_deref().unwrap_or(&self.name)
    }
}

/// How staged rows are promoted to the table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Promote")]
pub struct DraftPromote {
    /// The kind of table.
    #[serde(default)]
    pub kind: PromoteKind,
    /// Which values the current row takes from several events of its key (type 1).
    #[serde(default)]
    pub take: MergeStrategy,
    /// The effect of a delete.
    #[serde(default)]
    pub deletes: Deletes,
    /// How long tombstones are kept, in whole days. Default: `30d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tombstones_kept: Option<String>,
}

impl TableContract {
    /// A draft of the contract, which can be changed or written to a file.
    pub fn draft(&self) -> ContractDraft {
        let Promote { kind, take, deletes, tombstones_kept } = self.promote;
        let kept = (tombstones_kept != DEFAULT_TOMBSTONES_KEPT).then(|| format!("{tombstones_kept}d"));
        let seconds = self.load_every.as_secs();
        ContractDraft {
            contract: self.name.clone(),
            source: self.source.clone(),
            target: self.target.clone(),
            key: self.key.clone(),
            columns: self.columns.iter().cloned().map(DraftColumn::from).collect(),
            unknown: self.unknown,
            promote: DraftPromote { kind, take, deletes, tombstones_kept: kept },
            oversized: self.oversized,
            large_strings: self.large_strings,
            workflow: self.workflow.clone(),
            load_every: if seconds % 60 == 0 { format!("{}m", seconds / 60) } else { format!("{seconds}s") },
        }
    }
}

impl From<Column> for DraftColumn {
    fn from(column: Column) -> Self {
        let Column { name, column_type, from, source_type } = column;
        Self {
            name,
            column_type: column_type.to_string(),
            from,
            source_type: source_type.map(|source_type| source_type.to_string()),
        }
    }
}

impl TryFrom<DraftColumn> for Column {
    type Error = String;

    fn try_from(column: DraftColumn) -> Result<Self, String> {
        let DraftColumn { name, column_type, from, source_type } = column;
        Ok(Self {
            column_type: ColumnType::parse(&column_type)?,
            source_type: source_type.as_deref().map(SourceType::parse).transpose()?,
            name,
            from,
        })
    }
}

impl ContractDraft {
    /// The contract as a YAML file for a user to edit. Fields with their default value are left out.
    pub fn yaml(&self) -> String {
        let mut out = format!("contract: {}\n", text(&self.contract));
        let written = serde_json::to_value(self).unwrap_or_default();
        for part in ["source", "target"] {
            let members = written[part].as_object().into_iter().flatten();
            let members = members.filter(|(name, value)| *name != "unavailable_value" || **value != unavailable());
            let _ = writeln!(out, "{part}: {{ {} }}", flow(members));
        }
        if self.key.is_empty() {
            out.push_str(
                "# Write the columns of the source's primary key here: the events do not contain them.\nkey: []\n",
            );
        } else {
            let _ = writeln!(out, "key: [{}]", self.key.iter().map(|name| text(name)).collect::<Vec<_>>().join(", "));
        }
        out.push_str("columns:\n");
        for column in &self.columns {
            let _ = write!(out, "  - {{ name: {}, type: {}", text(&column.name), text(&column.column_type));
            for (what, value) in [("from", &column.from), ("source_type", &column.source_type)] {
                if let Some(value) = value {
                    let _ = write!(out, ", {what}: {}", text(value));
                }
            }
            out.push_str(" }\n");
        }
        let default = |name: &str| match name {
            "unknown" => serde_json::to_value(Unknown::default()).ok(),
            "promote" => serde_json::to_value(DraftPromote::default()).ok(),
            "oversized" => serde_json::to_value(Oversized::default()).ok(),
            "load_every" => Some(DEFAULT_LOAD_EVERY.into()),
            _ => None,
        };
        for name in ["unknown", "promote", "oversized", "large_strings", "workflow", "load_every"] {
            match written.get(name).filter(|value| default(name).as_ref() != Some(value)) {
                Some(Value::Object(members)) => _ = writeln!(out, "{name}: {{ {} }}", flow(members)),
                Some(value) => _ = writeln!(out, "{name}: {}", scalar(value)),
                None => {}
            }
        }
        out
    }
}

/// The members of an object in YAML flow style, in alphabetical order.
fn flow<'m>(members: impl IntoIterator<Item = (&'m String, &'m Value)>) -> String {
    let members: BTreeSet<_> = members.into_iter().map(|(name, value)| format!("{name}: {}", scalar(value))).collect();
    members.into_iter().collect::<Vec<_>>().join(", ")
}

fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), text)
}

/// A text in YAML flow style: without quotes if that is safe, otherwise as a JSON string, which is valid YAML.
fn text(text: &str) -> String {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b' ' | b'(' | b')');
    let is_safe = text.bytes().all(is_word)
        && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && !text.ends_with(' ')
        && !matches!(text.to_ascii_lowercase().as_str(), "null" | "true" | "false");
    if is_safe { text.to_owned() } else { Value::from(text).to_string() }
}
