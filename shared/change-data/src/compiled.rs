//! A table contract prepared for decoding events: the column of each field, and all notations of the placeholder.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    column_type::ColumnType,
    contract::{Column, PromoteKind, TableContract},
    json::Kind,
    logical::{Encoding, Logical},
    value::Value,
};

/// A contract that is prepared for decoding events.
#[derive(Debug, Clone)]
pub struct Compiled {
    contract: TableContract,
    columns: Vec<CompiledColumn>,
    fields: HashMap<Box<str>, usize>,
    placeholder: Placeholder,
}

/// A column of the contract, prepared for decoding values.
#[derive(Debug, Clone)]
pub struct CompiledColumn {
    /// Name of the event's field that is written to the column.
    pub field: Box<str>,
    /// Type of the column in Redshift.
    pub column_type: ColumnType,
    /// The logical type of the source, if the contract has a `source_type`.
    pub source_type: Option<Logical>,
    /// The logical type if neither the event nor the contract has one.
    pub default: Logical,
    /// Whether a row without a value of the column is refused.
    pub is_key: bool,
    /// Whether the column is part of the contract's key. A value that the image of the row lacks is taken from the record's key.
    pub identifies: bool,
    /// Whether a row whose value of the column is NULL is not refused, although the column is part of the key.
    pub can_be_null: bool,
}

impl CompiledColumn {
    /// The logical type of a value of this column. `of_event` is the type in the event's schema; `None` if the event has no schema.
    pub fn logical<'l>(&'l self, of_event: Option<&'l Logical>) -> &'l Logical {
        match (of_event, &self.source_type) {
            (Some(logical), _) if !logical.is_plain() => logical,
            (Some(_) | None, Some(logical)) | (Some(logical), None) => logical,
            (None, None) => &self.default,
        }
    }
}

impl Compiled {
    /// Prepares a contract.
    pub fn new(contract: TableContract) -> Self {
        // Rows of an append table do not need a value in the key columns.
        let needs_key = contract.promote().kind != PromoteKind::Append;
        let column = |column: &Column| CompiledColumn {
            field: column.field().into(),
            column_type: column.column_type,
            source_type: column
                .source_type
                .as_ref()
                .map(|source_type| scaled(source_type.logical().clone(), column.column_type)),
            default: default(column.column_type),
            is_key: needs_key && contract.is_key(&column.name),
            identifies: contract.is_key(&column.name),
            can_be_null: contract.can_be_null_in_key(&column.name),
        };
        let columns: Vec<CompiledColumn> = contract.columns().iter().map(column).collect();
        let fields = columns.iter().zip(0..).map(|(column, index)| (column.field.clone(), index)).collect();
        let placeholder = Placeholder::new(&contract.source().unavailable_value);
        Self { contract, columns, fields, placeholder }
    }

    /// The contract.
    pub fn contract(&self) -> &TableContract {
        &self.contract
    }

    /// The columns, in the order of a staged row.
    pub fn columns(&self) -> &[CompiledColumn] {
        &self.columns
    }

    /// Index of the column of a field.
    pub fn column_of(&self, field: &str) -> Option<usize> {
        self.fields.get(field).copied()
    }

    pub(crate) fn placeholder(&self) -> &Placeholder {
        &self.placeholder
    }
}

/// The logical type, with the column's scale if it is a decimal without a scale.
fn scaled(logical: Logical, column_type: ColumnType) -> Logical {
    match (logical, column_type) {
        (Logical::Decimal(None), ColumnType::Decimal(_, scale)) => Logical::Decimal(Some(i32::from(scale))),
        (logical, _) => logical,
    }
}

fn default(column_type: ColumnType) -> Logical {
    match column_type {
        ColumnType::Varbyte(_) => Logical::Bytes(Encoding::Base64),
        ColumnType::Geometry | ColumnType::Geography => Logical::Geometry,
        ColumnType::SmallInt
        | ColumnType::Integer
        | ColumnType::BigInt
        | ColumnType::Decimal(..)
        | ColumnType::Real
        | ColumnType::Double
        | ColumnType::Boolean
        | ColumnType::Char(_)
        | ColumnType::Varchar(_)
        | ColumnType::Date
        | ColumnType::Time
        | ColumnType::TimeTz
        | ColumnType::Timestamp
        | ColumnType::TimestampTz
        | ColumnType::Super => Logical::Plain,
    }
}

/// The placeholder of a value that did not change, in all notations of Debezium: text, bytes, a list of the text, a list of the numbers of
/// its bytes, a map of the text to itself, the unscaled value of a decimal.
#[derive(Debug, Clone)]
pub(crate) struct Placeholder {
    text: String,
    base64: String,
    hex: String,
}

impl Placeholder {
    fn new(text: &str) -> Self {
        Self { text: text.into(), base64: STANDARD.encode(text), hex: hex::encode(text) }
    }

    /// The notations of the placeholder that are texts.
    pub(crate) fn texts(&self) -> [&str; 3] {
        [&self.text, &self.base64, &self.hex]
    }

    /// Whether a value, before decoding, is the placeholder.
    pub(crate) fn is(&self, value: &Value<'_>) -> bool {
        match value {
            Value::Text(text) => self.is_text(&text.text) || self.is_map_text(&text.text),
            Value::Document(raw, _) if raw.get().len() <= 64 + 8 * self.text.len() => match raw.kind() {
                Kind::Array => self.is_list(*raw),
                Kind::Object => {
                    let mut members = raw.members();
                    let is_map = members.next().is_some_and(|(key, value)| {
                        self.is_text(&key) && value.string().is_some_and(|value| self.is_text(&value))
                    });
                    let is_decimal = || {
                        raw.member("value")
                            .and_then(crate::json::RawJson::string)
                            .is_some_and(|text| *text == self.base64)
                    };
                    is_map || (raw.members().count() == 2 && is_decimal())
                }
                Kind::Null | Kind::Bool(_) | Kind::Number | Kind::String => false,
            },
            Value::Document(..)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::NotFinite(_)
            | Value::Temporal(_)
            | Value::Bytes { .. }
            | Value::Bits { .. }
            | Value::Shape { .. }
            | Value::Embedded(_) => false,
        }
    }

    /// Whether a text is the placeholder, as text or as encoded bytes.
    pub(crate) fn is_text(&self, text: &str) -> bool {
        !self.text.is_empty() && (text == self.text || text == self.base64 || text == self.hex)
    }

    /// Whether a text is the placeholder of an `hstore`, a JSON object.
    fn is_map_text(&self, text: &str) -> bool {
        text.starts_with('{')
            && text.len() < 16 + 2 * self.text.len()
            && crate::json::validated(text.as_bytes()).is_ok_and(|raw| self.is(&Value::of_json(raw)))
    }

    fn is_list(&self, raw: crate::json::RawJson<'_>) -> bool {
        let mut elements = raw.elements();
        let is_one_text =
            elements.next().and_then(crate::json::RawJson::string).is_some_and(|text| self.is_text(&text))
                && elements.next().is_none();
        let bytes = self.text.bytes().map(|byte| i64::from(byte.cast_signed()));
        is_one_text || (!self.text.is_empty() && raw.elements().map(crate::json::RawJson::i64).eq(bytes.map(Some)))
    }
}

#[cfg(test)]
mod tests {
    use super::Placeholder;
    use crate::{json::validated, value::Value};

    #[test]
    fn the_placeholder_is_recognized_in_every_notation() {
        let placeholder = Placeholder::new("__debezium_unavailable_value");
        let is = |json: &str| placeholder.is(&Value::of_json(validated(json.as_bytes()).unwrap()));
        let bytes: Vec<String> = "__debezium_unavailable_value".bytes().map(|byte| byte.to_string()).collect();
        let base64 = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";
        for json in [
            r#""__debezium_unavailable_value""#.to_owned(),
            format!("\"{base64}\""),
            format!("\"{}\"", hex::encode("__debezium_unavailable_value")),
            r#"["__debezium_unavailable_value"]"#.to_owned(),
            format!("[\"{base64}\"]"),
            format!("[{}]", bytes.join(",")),
            r#"{"__debezium_unavailable_value":"__debezium_unavailable_value"}"#.to_owned(),
            r#""{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}""#.to_owned(),
            format!(r#"{{"scale":0,"value":"{base64}"}}"#),
        ] {
            assert!(is(&json), "{json}");
        }
        for json in ["null", "\"\"", "[]", "{}", "[95]", r#"["__debezium_unavailable_value","x"]"#, "\"unavailable\""] {
            assert!(!is(json), "{json}");
        }
    }
}
