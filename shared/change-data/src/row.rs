//! A staged row: the contract's columns in order, followed by the metadata of the event.

use crate::{csv, operation::Operation, time};

/// Metadata columns that every table of events has, with their types.
pub const EVENT_COLUMNS: [(&str, &str); 6] = [
    ("dw_md_changed_at", "timestamp"),
    ("dw_md_operation", "varchar(8)"),
    ("dw_md_missing_data", "super"),
    ("dw_md_changes", "super"),
    ("dw_md_unchanged", "varchar(8000)"),
    ("dw_md_position", "varchar(512)"),
];
/// Columns with the partition and offset of an event in the transport, with their types.
pub const TRANSPORT_COLUMNS: [(&str, &str); 2] =
    [("dw_md_partition", "varchar(1024)"), ("dw_md_offset", "varchar(128)")];
/// The columns after the contract's columns in a staged file, with their types.
pub const METADATA_COLUMNS: [(&str, &str); 8] = {
    let ([a, b, c, d, e, f], [g, h]) = (EVENT_COLUMNS, TRANSPORT_COLUMNS);
    [a, b, c, d, e, f, g, h]
};

/// The metadata of a row's event.
#[derive(Debug, Clone, Copy)]
pub struct Metadata<'a> {
    /// Source time, in microseconds since the epoch.
    pub changed_at: i64,
    /// The operation.
    pub operation: Operation,
    /// Values of fields without a column, or that do not fit their column, as a JSON object: source field -> value. Empty if there are none.
    pub missing_data: &'a str,
    /// Notes on changed values, as a JSON object: source field -> note. Empty if there are none.
    pub changes: &'a str,
    /// Indexes, from 0, of columns whose value the source did not send because it did not change.
    pub unchanged: &'a [usize],
    /// Number of the contract's columns, if the source did not send a field without a column because it did not change. `missing_data` then
    /// has every field without a column that the source sent, including those that are NULL, and an absent field did not change.
    pub others_unchanged: Option<usize>,
    /// Position in the source database.
    pub position: &'a str,
    /// Partition of the transport.
    pub partition: &'a str,
    /// Offset in the partition.
    pub offset: &'a str,
}

impl Metadata<'_> {
    /// Writes the end of a row after its last contract column: a comma, the metadata, and the end of the record.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        csv::comma(out);
        // The decoders refuse events whose time a TIMESTAMP cannot hold.
        if !time::timestamp(out, self.changed_at) {
            csv::null(out);
        }
        csv::comma(out);
        csv::plain(out, self.operation.as_str());
        csv::comma(out);
        document(out, self.missing_data);
        csv::comma(out);
        document(out, self.changes);
        csv::comma(out);
        unchanged(out, self.others_unchanged, self.unchanged);
        csv::comma(out);
        csv::text(out, self.position);
        csv::comma(out);
        csv::text(out, self.partition);
        csv::comma(out);
        csv::plain(out, self.offset);
        csv::end(out);
    }
}

fn document(out: &mut Vec<u8>, json: &str) {
    if json.is_empty() {
        csv::null(out);
    } else {
        csv::text(out, json);
    }
}

/// Writes the numbers of unchanged columns, from 1, each between commas, such as `,3,17,`, so that SQL finds column 3 by
/// `LIKE '%,3,%'`. If fields without a column did not change, the number of the contract's columns in five digits precedes them:
/// `,00005,3,` (a table has at most 1,600 columns). It is less than the five-digit number of every column that was added later.
fn unchanged(out: &mut Vec<u8>, others: Option<usize>, columns: &[usize]) {
    if columns.is_empty() && others.is_none() {
        return csv::null(out);
    }
    out.extend_from_slice(b"\",");
    let others = others.map(|count| format!("{count:05}"));
    for number in others.into_iter().chain(columns.iter().map(|column| (column + 1).to_string())) {
        out.extend_from_slice(number.as_bytes());
        out.push(b',');
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::Metadata;
    use crate::operation::Operation;

    const EVENT: Metadata<'_> = Metadata {
        changed_at: 0,
        operation: Operation::Update,
        missing_data: r#"{"colour":"red"}"#,
        changes: "",
        unchanged: &[2, 16],
        others_unchanged: None,
        position: "00000000000000000042",
        partition: "kafka/orders/0",
        offset: "00000000000000000007",
    };

    fn row(metadata: Metadata<'_>) -> String {
        let mut out = b"1".to_vec();
        metadata.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_row_ends_in_the_metadata_of_its_event() {
        let wanted = concat!(
            r#"1,1970-01-01 00:00:00,update,"{""colour"":""red""}",\N,",3,17,","#,
            "00000000000000000042,kafka/orders/0,00000000000000000007\n"
        );
        assert_eq!(row(EVENT), wanted);
    }

    #[test]
    fn the_mark_of_unchanged_fields_without_a_column_precedes_the_columns() {
        let row = |others_unchanged, unchanged| row(Metadata { unchanged, others_unchanged, ..EVENT });
        assert!(row(Some(17), &[2, 16]).contains(r#",\N,",00017,3,17,",0"#));
        assert!(row(Some(1600), &[]).contains(r#",\N,",01600,",0"#));
        assert!(row(None, &[]).contains(r",\N,\N,0"));
    }
}
