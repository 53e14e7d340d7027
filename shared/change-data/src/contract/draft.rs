//! A contract as it is written: names, types and durations are text that nobody has checked.

use std::{collections::BTreeSet, fmt::Write as _};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Column, DEFAULT_LOAD_EVERY, DEFAULT_TOMBSTONES_KEPT, Deletes, MergeStrategy, Oversized, Promote, PromoteKind,
    Source, SourceType, TableContract, Target, Unknown, unavailable,
};
use crate::column_type::ColumnType;

/// How a table's change data lands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TableContract")]
pub struct ContractDraft {
    /// Its name: 1 to 64 of `a-z 0-9 _ -`; also the name of its file.
    pub contract: String,
    /// Which change events belong to it.
    pub source: Source,
    /// Where its rows go.
    pub target: Target,
    /// Key columns, by their names in Redshift. At least one, unless `promote.kind` is `append`.
    #[serde(default)]
    pub key: Vec<String>,
    /// Columns in the order of the staged files. New columns come after the old ones.
    pub columns: Vec<DraftColumn>,
    /// What is done about fields that no column takes.
    #[serde(default)]
    pub unknown: Unknown,
    /// How staged rows become the table.
    #[serde(default)]
    pub promote: DraftPromote,
    /// What is done about values that Redshift cannot hold.
    #[serde(default)]
    pub oversized: Oversized,
    /// The workflow whose job of kind `cdc` loads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// How long staged files collect before a load is requested: `10s` to `15m`.
    #[serde(default = "load_every")]
    pub load_every: String,
}

pub(super) fn load_every() -> String {
    DEFAULT_LOAD_EVERY.into()
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Column")]
pub struct DraftColumn {
    /// Its name in Redshift: lower case, at most 127 bytes.
    pub name: String,
    /// Redshift's type, as DDL writes it: `bigint`, `decimal(12,2)`, `varchar(256)`, `super` …
    #[serde(rename = "type")]
    pub column_type: String,
    /// The field of the event, where it is not the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The source's logical type (`io.debezium.time.MicroTimestamp` …), for events that bring no schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_type: Option<String>,
}

impl DraftColumn {
    /// The field of the event that it takes.
    pub fn field(&self) -> &str {
        self.from.as_deref().unwrap_or(&self.name)
    }
}

/// How staged rows become the table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Promote")]
pub struct DraftPromote {
    /// The kind of table.
    #[serde(default)]
    pub kind: PromoteKind,
    /// Of several rows of a key, what the current row takes (type 1).
    #[serde(default)]
    pub take: MergeStrategy,
    /// What a delete does.
    #[serde(default)]
    pub deletes: Deletes,
    /// How long tombstones are kept, in whole days: `30d` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tombstones_kept: Option<String>,
}

impl TableContract {
    /// The contract as it is written, to be written again or changed.
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
    /// The contract as a YAML file, for a person to continue with. Fields that have their default value are left out.
    pub fn yaml(&self) -> String {
        let mut out = format!("contract: {}\n", text(&self.contract));
        let written = serde_json::to_value(self).unwrap_or_default();
        for part in ["source", "target"] {
            let members = written[part].as_object().into_iter().flatten();
            let members = members.filter(|(name, value)| *name != "unavailable_value" || **value != unavailable());
            let _ = writeln!(out, "{part}: {{ {} }}", flow(members));
        }
        if self.key.is_empty() {
            out.push_str("# The columns of the source's primary key: the events do not say which they are.\nkey: []\n");
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
        for name in ["unknown", "promote", "oversized", "workflow", "load_every"] {
            match written.get(name).filter(|value| default(name).as_ref() != Some(value)) {
                Some(Value::Object(members)) => _ = writeln!(out, "{name}: {{ {} }}", flow(members)),
                Some(value) => _ = writeln!(out, "{name}: {}", scalar(value)),
                None => {}
            }
        }
        out
    }
}

/// Members of a YAML object between braces, in alphabetical order.
fn flow<'m>(members: impl IntoIterator<Item = (&'m String, &'m Value)>) -> String {
    let members: BTreeSet<_> = members.into_iter().map(|(name, value)| format!("{name}: {}", scalar(value))).collect();
    members.into_iter().collect::<Vec<_>>().join(", ")
}

fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), text)
}

/// A YAML text inside braces: without quotes where that is safe, otherwise as a JSON string, which YAML reads too.
fn text(text: &str) -> String {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b' ' | b'(' | b')');
    let is_safe = text.bytes().all(is_word)
        && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && !text.ends_with(' ')
        && !matches!(text.to_ascii_lowercase().as_str(), "null" | "true" | "false");
    if is_safe { text.to_owned() } else { Value::from(text).to_string() }
}
