//! Results of statements: typed columns, and rows in pages that are kept in memory or, if large, on disk.

use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::Mutex;

use serde::Serialize;
use serde_json::{Value, json};
use tempfile::SpooledTempFile;
use tokio_postgres::types::Type;
use tokio_postgres::{Column, Row};

use crate::cell::{Cell, Raw, decode, is_super};

/// Size at which a page ends, in bytes. AWS does not document the size of its pages.
const PAGE_BYTES: usize = 1024 * 1024;
/// Maximum size of a result that is kept in memory, in bytes.
const MEMORY_BYTES: usize = 1024 * 1024;
/// Maximum size of a row in bytes. Source: troubleshooting of the Data API, "64 KB per row in the result set".
const MAX_ROW_BYTES: usize = 64 * 1024;

/// The format of the rows: JSON for `GetStatementResult`, CSV for `GetStatementResultV2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum ResultFormat {
    Json,
    Csv,
}

/// Collects the rows of one statement.
pub(crate) struct ResultWriter {
    format: ResultFormat,
    columns: Vec<Type>,
    max_bytes: u64,
    spool: SpooledTempFile,
    page: Vec<u8>,
    page_lengths: Vec<usize>,
    rows: u64,
    bytes: u64,
}

/// A complete result.
pub(crate) struct ResultSet {
    pub(crate) format: ResultFormat,
    pub(crate) columns: Vec<Value>,
    pub(crate) rows: u64,
    /// Size of the values as text, in bytes.
    pub(crate) bytes: u64,
    spool: Mutex<SpooledTempFile>,
    page_lengths: Vec<usize>,
}

impl ResultWriter {
    pub(crate) fn new(format: ResultFormat, columns: &[Column], max_bytes: u64) -> Self {
        Self {
            format,
            columns: columns.iter().map(|column| column.type_().clone()).collect(),
            max_bytes,
            spool: SpooledTempFile::new(MEMORY_BYTES),
            page: Vec::new(),
            page_lengths: Vec::new(),
            rows: 0,
            bytes: 0,
        }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// Returns the error text of the statement if a type or a size is not allowed in a result.
    pub(crate) fn push(&mut self, row: &Row) -> Result<(), String> {
        let mut cells = Vec::with_capacity(self.columns.len());
        for (index, ty) in self.columns.iter().enumerate() {
            let raw: Raw<'_> = row.try_get(index).map_err(|error| format!("ERROR: {error}"))?;
            cells.push(decode(ty, &raw)?);
        }
        let size: usize = cells.iter().map(Cell::text_bytes).sum();
        if size > MAX_ROW_BYTES {
            return Err(format!("ERROR: Packet for query is too large ({size} > {MAX_ROW_BYTES})"));
        }
        self.bytes += size as u64;
        if self.bytes > self.max_bytes {
            return Err(format!("ERROR: Database response exceeded size limit of {} bytes", self.max_bytes));
        }
        self.rows += 1;
        match self.format {
            ResultFormat::Json => {
                if !self.page.is_empty() {
                    self.page.push(b',');
                }
                let record: Vec<Value> = cells.into_iter().map(Cell::into_field).collect();
                serde_json::to_writer(&mut self.page, &record).map_err(|error| format!("ERROR: {error}"))?;
            }
            ResultFormat::Csv => {
                let mut line = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(&mut self.page);
                line.write_record(cells.into_iter().map(Cell::into_text)).map_err(|error| format!("ERROR: {error}"))?;
                line.flush().map_err(|error| format!("ERROR: {error}"))?;
            }
        }
        if self.page.len() >= PAGE_BYTES { self.end_page() } else { Ok(()) }
    }

    fn end_page(&mut self) -> Result<(), String> {
        if self.page.is_empty() {
            return Ok(());
        }
        self.spool.write_all(&self.page).map_err(|error| format!("ERROR: cannot keep the result on disk: {error}"))?;
        self.page_lengths.push(self.page.len());
        self.page.clear();
        Ok(())
    }

    /// Completes the result; `columns` is its metadata in the shape of the service model.
    pub(crate) fn finish(mut self, columns: Vec<Value>) -> Result<ResultSet, String> {
        self.end_page()?;
        Ok(ResultSet {
            format: self.format,
            columns,
            rows: self.rows,
            bytes: self.bytes,
            spool: Mutex::new(self.spool),
            page_lengths: self.page_lengths,
        })
    }
}

impl ResultSet {
    /// Page `index` as `Records` of the service model, and whether another page follows. `None` after the last page.
    pub(crate) fn page(&self, index: usize) -> std::io::Result<Option<(Value, bool)>> {
        if self.page_lengths.is_empty() && index == 0 {
            return Ok(Some((json!([]), false)));
        }
        let Some(&length) = self.page_lengths.get(index) else { return Ok(None) };
        let start: usize = self.page_lengths[..index].iter().sum();
        let mut bytes = vec![0; length];
        {
            let mut spool = crate::lock(&self.spool);
            spool.seek(SeekFrom::Start(start as u64))?;
            spool.read_exact(&mut bytes)?;
        }
        let records = match self.format {
            ResultFormat::Json => {
                let mut list = Vec::with_capacity(bytes.len() + 2);
                list.push(b'[');
                list.append(&mut bytes);
                list.push(b']');
                serde_json::from_slice(&list)?
            }
            ResultFormat::Csv => json!([{ "CSVRecords": String::from_utf8_lossy(&bytes) }]),
        };
        Ok(Some((records, index + 1 < self.page_lengths.len())))
    }
}

impl Cell {
    fn text_bytes(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Boolean(_) => 1,
            Self::Long(n) => n.to_string().len(),
            Self::Double(n) => n.to_string().len(),
            Self::Text(text) => text.len(),
            Self::Blob(bytes) => bytes.len(),
        }
    }

    /// The value as a member of the `Field` union.
    fn into_field(self) -> Value {
        match self {
            Self::Null => json!({ "isNull": true }),
            Self::Boolean(value) => json!({ "booleanValue": value }),
            Self::Long(value) => json!({ "longValue": value }),
            // JSON has no NaN and no infinities; the protocol represents them as strings.
            Self::Double(value) if value.is_finite() => json!({ "doubleValue": value }),
            Self::Double(value) if value.is_nan() => json!({ "doubleValue": "NaN" }),
            Self::Double(value) => json!({ "doubleValue": if value > 0.0 { "Infinity" } else { "-Infinity" } }),
            Self::Text(value) => json!({ "stringValue": value }),
            Self::Blob(bytes) => json!({ "blobValue": aws_smithy_types::base64::encode(bytes) }),
        }
    }

    fn into_text(self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Boolean(value) => value.to_string(),
            Self::Long(value) => value.to_string(),
            Self::Double(value) => value.to_string(),
            Self::Text(value) => value,
            Self::Blob(bytes) => hex::encode(bytes),
        }
    }
}

/// Name, precision, scale, length and signedness that Redshift's driver reports for a column of this type.
pub(crate) fn redshift_type(ty: &Type, modifier: i32) -> (&'static str, i32, i32, bool) {
    let length = if modifier >= 4 { modifier - 4 } else { 65_535 };
    match *ty {
        Type::BOOL => ("bool", 1, 0, false),
        Type::INT2 => ("int2", 5, 0, true),
        Type::INT4 => ("int4", 10, 0, true),
        Type::INT8 => ("int8", 19, 0, true),
        Type::OID => ("oid", 10, 0, false),
        Type::FLOAT4 => ("float4", 8, 8, true),
        Type::FLOAT8 => ("float8", 17, 17, true),
        // PostgreSQL's numeric without precision is reported as Redshift's maximum precision.
        Type::NUMERIC if modifier < 4 => ("numeric", 38, 0, true),
        Type::NUMERIC => ("numeric", ((modifier - 4) >> 16) & 0xFFFF, (modifier - 4) & 0x7FF, true),
        Type::DATE => ("date", 13, 0, false),
        Type::TIMESTAMP => ("timestamp", 29, 6, false),
        Type::TIMESTAMPTZ => ("timestamptz", 35, 6, false),
        Type::TIME => ("time", 15, 6, false),
        Type::JSON | Type::JSONB => ("super", 16_777_216, 0, false),
        Type::BYTEA => ("varbyte", 65_535, 0, false),
        Type::BPCHAR => ("bpchar", length, 0, false),
        Type::NAME => ("name", 64, 0, false),
        Type::CHAR => ("char", 1, 0, false),
        Type::INTERVAL => ("interval", 49, 0, false),
        _ if is_super(ty) => ("super", 16_777_216, 0, false),
        _ => ("varchar", length, 0, false),
    }
}

/// `ColumnMetadata` of a column, without the values that depend on its table.
pub(crate) fn column_metadata(name: &str, ty: &Type, modifier: i32) -> Value {
    let (type_name, precision, scale, signed) = redshift_type(ty, modifier);
    json!({
        "isCaseSensitive": matches!(type_name, "varchar" | "bpchar" | "name" | "char"),
        "isCurrency": false,
        "isSigned": signed,
        "label": name,
        "length": 0,
        "name": name,
        "nullable": 1,
        "precision": precision,
        "scale": scale,
        "schemaName": "",
        "tableName": "",
        "typeName": type_name,
    })
}
