//! Parquet files with sensor readings.

use std::sync::Arc;

use parquet::{
    basic::Compression,
    data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type},
    errors::Result,
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::parser::parse_message_type,
};

/// Number of readings in a file, one per minute.
pub(super) const ROWS: i64 = 60;
/// 2026-03-01T00:00:00Z in microseconds since 1970.
const FIRST: i64 = 1_772_323_200_000_000;
const MINUTE: i64 = 60_000_000;

/// The readings of hour `n`; every tenth value is NULL. `unit` is the name of the value column.
pub(super) fn file(n: i64, place: &str, unit: &str) -> Result<Vec<u8>> {
    let schema = parse_message_type(&format!(
        "message readings {{ required int64 id; required int64 at (TIMESTAMP_MICROS); optional double {unit}; \
         required binary place (UTF8); }}"
    ))?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    let rows: Vec<i64> = (ROWS * n..ROWS * (n + 1)).collect();
    let at: Vec<i64> = rows.iter().map(|row| FIRST + row * MINUTE).collect();
    let there: Vec<i16> = rows.iter().map(|row| i16::from(row % 10 != 0)).collect();
    let degrees =
        rows.iter().filter(|row| *row % 10 != 0).map(|row| f64::from(i32::try_from(row % 300).unwrap_or(0)) / 10.0);
    column::<Int64Type>(&mut group, &rows, None)?;
    column::<Int64Type>(&mut group, &at, None)?;
    column::<DoubleType>(&mut group, &degrees.collect::<Vec<_>>(), Some(&there))?;
    column::<ByteArrayType>(&mut group, &vec![ByteArray::from(place); rows.len()], None)?;
    group.close()?;
    writer.into_inner()
}

/// Writes the next column; for an optional column, `definition_levels` shows which rows have a value.
fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[T::T],
    definition_levels: Option<&[i16]>,
) -> Result<()> {
    if let Some(mut column) = group.next_column()? {
        column.typed::<T>().write_batch(values, definition_levels, None)?;
        column.close()?;
    }
    Ok(())
}
