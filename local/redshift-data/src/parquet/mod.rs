//! Reads files of `COPY … FORMAT PARQUET`. Columns are matched by position; an invalid record fails the whole file.

mod shape;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;

use parquet::basic::{Compression, Repetition};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, RowGroupReader};
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::Type;

use self::shape::Shape;
use crate::fields::{TargetColumn, escape};
use crate::s3::Place;

/// Number of rows that are read from each column before they are combined into rows.
const ROWS: usize = 1_024;
/// The magic number at the beginning and the end of a Parquet file.
const MAGIC: &[u8] = b"PAR1";

/// The reason why a file was not read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The file is invalid; the text is the context of Redshift's error.
    File(String),
    /// Redshift may support the file; this server does not.
    Unsupported(String),
    /// The receiver was closed.
    Stopped,
}

/// The options of COPY that apply to all files.
pub(crate) struct Options {
    /// The target columns, in the order of the columns in the file.
    pub(crate) columns: Arc<[TargetColumn]>,
    /// `FILLRECORD`: columns that are missing at the end of the file are NULL.
    pub(crate) fill_record: bool,
    /// `ACCEPTINVCHARS`: the replacement for invalid characters.
    pub(crate) replacement: Option<char>,
}

/// A file, and its names in Redshift's errors.
pub(crate) struct Source {
    pub(crate) file: File,
    /// `s3://bucket/key`.
    pub(crate) place: Place,
    /// HTTPS URL, as Redshift requests it.
    pub(crate) url: String,
}

/// A value as text that PostgreSQL parses; `None` is NULL.
type Cell = Option<String>;

/// Calls `take` with pieces of rows in PostgreSQL's text format, and the number of rows in each piece.
///
/// # Errors
/// Returns the problem of the file. Rows that were already taken must then be discarded.
pub(crate) fn read(
    source: &Source,
    options: &Options,
    mut take: impl FnMut(u64, Vec<u8>) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let file = source.file.try_clone().map_err(|error| ReadError::File(error.to_string()))?;
    check_magic(source)?;
    let damaged = |error: ParquetError| ReadError::File(format!("File '{}' cannot be read: {error}", source.url));
    let reader = SerializedFileReader::new(file).map_err(damaged)?;
    let schema = reader.metadata().file_metadata().schema();
    let kinds = kinds(source, options, schema)?;
    for number in 0..reader.num_row_groups() {
        let group = reader.get_row_group(number).map_err(damaged)?;
        check_codecs(group.as_ref())?;
        let mut columns = open(group.as_ref(), schema, &kinds).map_err(damaged)?;
        columns.resize_with(options.columns.len(), || Column::Absent);
        let mut left = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        while left > 0 {
            let rows = left.min(ROWS);
            let mut cells = Vec::with_capacity(columns.len());
            for (column, target) in columns.iter_mut().zip(&*options.columns) {
                let read = column.cells(rows, target, options.replacement);
                cells.push(read.map_err(|reason| ReadError::File(reason.about(&source.url)))?);
            }
            if cells.iter().any(|column| column.len() != rows) {
                return Err(ReadError::File(format!("File '{}' ends before its last row", source.url)));
            }
            take(rows as u64, lines(cells, rows))?;
            left -= rows;
        }
    }
    Ok(())
}

fn check_magic(source: &Source) -> Result<(), ReadError> {
    let bytes = source.file.try_clone().and_then(|mut file| {
        use std::io::{Seek as _, SeekFrom};
        let mut last = [0; 4];
        let long = file.seek(SeekFrom::End(0))? >= 12;
        if long {
            file.seek(SeekFrom::End(-4))?;
            file.read_exact(&mut last)?;
        }
        file.seek(SeekFrom::Start(0))?;
        Ok(last)
    });
    let last = bytes.map_err(|error| ReadError::File(error.to_string()))?;
    if last == MAGIC {
        return Ok(());
    }
    let shown = last.escape_ascii();
    Err(ReadError::File(format!("File '{}' has an invalid version number: {shown}", source.url)))
}

/// Accepts the codecs that UNLOAD, Athena and Spark write. Redshift's documentation does not list the supported codecs
/// of Parquet pages.
fn check_codecs(group: &dyn RowGroupReader) -> Result<(), ReadError> {
    for column in group.metadata().columns() {
        match column.compression() {
            Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::GZIP(_) | Compression::ZSTD(_) => {}
            codec @ (Compression::LZO | Compression::BROTLI(_) | Compression::LZ4 | Compression::LZ4_RAW) => {
                return Err(ReadError::Unsupported(format!(
                    "COPY of Parquet with {codec} pages is not supported by this server; use snappy, gzip or zstd"
                )));
            }
        }
    }
    Ok(())
}

/// The source of a table column.
enum Kind {
    Scalar(Shape),
    /// A list or struct that is loaded into SUPER.
    Nested,
}

/// The source of each table column, if the file fits the table.
fn kinds(source: &Source, options: &Options, schema: &Type) -> Result<Vec<Kind>, ReadError> {
    let (fields, columns) = (schema.get_fields(), &options.columns);
    if fields.len() > columns.len() || fields.len() < columns.len() && !options.fill_record {
        return Err(ReadError::File(format!(
            "Unmatched number of columns between table and file. Table columns: {}, Data columns: {}, File name: {}",
            columns.len(),
            fields.len(),
            source.url
        )));
    }
    let mut leaves = 0;
    let kinds = fields.iter().zip(&**columns).map(|(field, column)| {
        let first = leaves;
        leaves += count_leaves(field);
        if let Some(shape) = shape::shape_for(column, field) {
            return Ok(Kind::Scalar(shape));
        }
        if column.type_name == "super" {
            return if !field.is_primitive() && is_known(field) {
                Ok(Kind::Nested)
            } else {
                Err(ReadError::Unsupported(format!(
                    "COPY of the Parquet column {} into SUPER is not supported by this server; use lists and structs of strings, numbers and \
                     booleans",
                    field.name()
                )))
            };
        }
        Err(ReadError::File(format!(
            "File '{}' has an incompatible Parquet schema for column '{}.{}'. Column type: {}, Parquet schema:\n{} [i:{first} d:{} r:0]",
            source.url,
            source.place,
            column.name,
            shape::shown(column),
            described(field),
            u8::from(field.is_optional()),
        )))
    });
    kinds.collect()
}

fn count_leaves(field: &Type) -> usize {
    if field.is_primitive() { 1 } else { field.get_fields().iter().map(|child| count_leaves(child)).sum() }
}

/// True for the types that the documentation of SERIALIZETOJSON lists.
fn is_known(field: &Type) -> bool {
    use parquet::basic::ConvertedType;
    if field.is_primitive() {
        return matches!(shape::shape_of(field), Some(Shape::Boolean | Shape::Integer | Shape::Real | Shape::Text));
    }
    match field.get_basic_info().converted_type() {
        ConvertedType::NONE | ConvertedType::LIST => field.get_fields().iter().all(|child| is_known(child)),
        _ => false,
    }
}

fn described(field: &Type) -> String {
    let repetition = field.get_basic_info().repetition().to_string().to_lowercase();
    let what =
        if field.is_primitive() { field.get_physical_type().to_string().to_lowercase() } else { "group".to_owned() };
    format!("{repetition} {what} {}", field.name())
}

/// A table column while a row group is read.
enum Column<'a> {
    Scalar {
        reader: Box<ColumnReader>,
        shape: Shape,
        optional: bool,
    },
    Nested(Box<RowIter<'a>>),
    /// A column that FILLRECORD adds.
    Absent,
}

fn open<'a>(group: &'a dyn RowGroupReader, schema: &Type, kinds: &[Kind]) -> Result<Vec<Column<'a>>, ParquetError> {
    let mut leaf = 0;
    let mut columns = Vec::new();
    for (field, kind) in schema.get_fields().iter().zip(kinds) {
        columns.push(match kind {
            Kind::Scalar(shape) => Column::Scalar {
                reader: Box::new(group.get_column_reader(leaf)?),
                shape: *shape,
                optional: field.get_basic_info().repetition() == Repetition::OPTIONAL,
            },
            Kind::Nested => {
                let alone = Type::group_type_builder(schema.name()).with_fields(vec![Arc::clone(field)]).build()?;
                Column::Nested(Box::new(RowIter::from_row_group(Some(alone), group)?))
            }
        });
        leaf += count_leaves(field);
    }
    Ok(columns)
}

/// The reason why the values of a column were not read.
enum Reason {
    /// A value does not fit the column.
    Value(String),
    /// The pages are damaged.
    Pages(ParquetError),
}

impl Reason {
    fn about(self, url: &str) -> String {
        match self {
            Self::Value(words) => words,
            Self::Pages(error) => format!("File '{url}' cannot be read: {error}"),
        }
    }
}

impl From<ParquetError> for Reason {
    fn from(error: ParquetError) -> Self {
        Self::Pages(error)
    }
}

impl From<String> for Reason {
    fn from(words: String) -> Self {
        Self::Value(words)
    }
}

impl Column<'_> {
    /// The next `rows` values of the column; fewer at its end.
    fn cells(&mut self, rows: usize, target: &TargetColumn, replacement: Option<char>) -> Result<Vec<Cell>, Reason> {
        match self {
            Self::Absent => Ok(vec![None; rows]),
            Self::Nested(iter) => iter.take(rows).map(|row| nested(&row?).map_err(Reason::Value)).collect(),
            Self::Scalar { reader, shape, optional } => {
                let (shape, optional) = (*shape, *optional);
                let whole = |number: i64| match shape {
                    Shape::Decimal(scale) => Ok(shape::decimal(number.into(), scale)),
                    Shape::Date => i32::try_from(number).map_err(|error| error.to_string()).and_then(shape::date),
                    Shape::Millis => shape::millis(number),
                    Shape::Micros => shape::micros(number),
                    Shape::Boolean | Shape::Integer | Shape::Real | Shape::Int96 | Shape::Text => {
                        Ok(number.to_string())
                    }
                };
                let bytes = |bytes: &[u8]| match shape {
                    Shape::Decimal(scale) => Ok(shape::decimal(shape::big_endian(bytes)?, scale)),
                    _ => {
                        let text = shape::text(bytes, target, replacement)?;
                        Ok(if target.type_name == "super" { quoted(&text) } else { text })
                    }
                };
                match &mut **reader {
                    ColumnReader::BoolColumnReader(reader) => {
                        values(reader, optional, rows, |value| Ok(value.to_string()))
                    }
                    ColumnReader::Int32ColumnReader(reader) => {
                        values(reader, optional, rows, |value| whole((*value).into()))
                    }
                    ColumnReader::Int64ColumnReader(reader) => values(reader, optional, rows, |value| whole(*value)),
                    ColumnReader::Int96ColumnReader(reader) => values(reader, optional, rows, shape::int96),
                    ColumnReader::FloatColumnReader(reader) => {
                        values(reader, optional, rows, |value| Ok(value.to_string()))
                    }
                    ColumnReader::DoubleColumnReader(reader) => {
                        values(reader, optional, rows, |value| Ok(value.to_string()))
                    }
                    ColumnReader::ByteArrayColumnReader(reader) => {
                        values(reader, optional, rows, |value| bytes(value.data()))
                    }
                    ColumnReader::FixedLenByteArrayColumnReader(reader) => {
                        values(reader, optional, rows, |value| bytes(value.data()))
                    }
                }
            }
        }
    }
}

/// The next values of a scalar column as text.
fn values<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    optional: bool,
    rows: usize,
    show: impl Fn(&T::T) -> Result<String, String>,
) -> Result<Vec<Cell>, Reason> {
    let (mut values, mut levels) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    let mut left = rows;
    while left > 0 {
        let (records, _, _) = reader.read_records(left, optional.then_some(&mut levels), None, &mut values)?;
        if records == 0 {
            break;
        }
        left -= records;
    }
    let mut values: VecDeque<_> = values.into();
    let mut next = || values.pop_front().map(|value| show(&value)).transpose();
    let rows = rows - left;
    (0..rows)
        .map(|row| if optional && levels.get(row) == Some(&0) { Ok(None) } else { next() })
        .collect::<Result<_, String>>()
        .map_err(Reason::Value)
}

/// The nested value of a row as JSON.
fn nested(row: &Row) -> Result<Cell, String> {
    match row.get_column_iter().next() {
        None | Some((_, Field::Null)) => Ok(None),
        Some((_, value)) => {
            let mut json = String::new();
            write_json(value, &mut json)?;
            Ok(Some(json))
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn write_json(value: &Field, out: &mut String) -> Result<(), String> {
    let number =
        |number: f64| serde_json::Number::from_f64(number).map_or("null".to_owned(), |number| number.to_string());
    match value {
        Field::Null => out.push_str("null"),
        Field::Bool(value) => write!(out, "{value}").map_err(|error| error.to_string())?,
        Field::Byte(value) => out.push_str(&value.to_string()),
        Field::Short(value) => out.push_str(&value.to_string()),
        Field::Int(value) => out.push_str(&value.to_string()),
        Field::Long(value) => out.push_str(&value.to_string()),
        Field::Float(value) => out.push_str(&number((*value).into())),
        Field::Double(value) => out.push_str(&number(*value)),
        Field::Str(value) => out.push_str(&quoted(value)),
        Field::Bytes(value) => out.push_str(&quoted(&String::from_utf8_lossy(value.data()))),
        Field::ListInternal(list) => {
            out.push('[');
            for (index, element) in list.elements().iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write_json(element, out)?;
            }
            out.push(']');
        }
        Field::Group(row) => {
            out.push('{');
            for (index, (name, field)) in row.get_column_iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                out.push_str(&quoted(name));
                out.push(':');
                write_json(field, out)?;
            }
            out.push('}');
        }
        // `is_known` has rejected these types.
        Field::UByte(_)
        | Field::UShort(_)
        | Field::UInt(_)
        | Field::ULong(_)
        | Field::Float16(_)
        | Field::Decimal(_)
        | Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_)
        | Field::MapInternal(_) => return Err(format!("{value} is not supported by this server inside SUPER")),
    }
    Ok(())
}

/// Combines columns into rows of PostgreSQL's text format.
fn lines(cells: Vec<Vec<Cell>>, rows: usize) -> Vec<u8> {
    let mut columns: Vec<_> = cells.into_iter().map(Vec::into_iter).collect();
    let mut out = Vec::new();
    for _ in 0..rows {
        for (index, column) in columns.iter_mut().enumerate() {
            if index > 0 {
                out.push(b'\t');
            }
            match column.next().flatten() {
                Some(text) => escape(&text, &mut out),
                None => out.extend_from_slice(b"\\N"),
            }
        }
        out.push(b'\n');
    }
    out
}
