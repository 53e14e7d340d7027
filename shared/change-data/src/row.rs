//! A staged row: the contract's columns in order, and behind them what shiftwork knows of the event.

use crate::{csv, operation::Operation, time};

/// Columns of what shiftwork knows of an event, in every table of events, with their types.
pub const EVENT_COLUMNS: [(&str, &str); 6] = [
    ("dw_md_changed_at", "timestamp"),
    ("dw_md_operation", "varchar(8)"),
    ("dw_md_missing_data", "super"),
    ("dw_md_changes", "super"),
    ("dw_md_unchanged", "varchar(8000)"),
    ("dw_md_position", "varchar(512)"),
];
/// Columns of the place of an event in the transport, with their types.
pub const TRANSPORT_COLUMNS: [(&str, &str); 2] =
    [("dw_md_partition", "varchar(1024)"), ("dw_md_offset", "varchar(128)")];
/// The columns behind the contract's in a staged file, with their types.
pub const METADATA_COLUMNS: [(&str, &str); 8] = {
    let ([a, b, c, d, e, f], [g, h]) = (EVENT_COLUMNS, TRANSPORT_COLUMNS);
    [a, b, c, d, e, f, g, h]
};

/// What shiftwork knows of the event of a row.
#[derive(Debug, Clone, Copy)]
pub struct Metadata<'a> {
    /// Source time, in microseconds since the epoch.
    pub changed_at: i64,
    /// What happened.
    pub operation: Operation,
    /// Source field -> value, as JSON: what no column took. Empty for none.
    pub missing_data: &'a str,
    /// Source field -> what was done to its value and why, as JSON. Empty for none.
    pub changes: &'a str,
    /// Columns, from 0, of which the source sent no value because it did not change.
    pub unchanged: &'a [usize],
    /// The same of a field that no column takes: how many columns the contract has that does not take it. Then `missing_data` has every
    /// field without a column that the source sent, also those that are NULL, and what is not there did not change.
    pub others_unchanged: Option<usize>,
    /// Where the source database had it.
    pub position: &'a str,
    /// Where the transport had it: its stream.
    pub partition: &'a str,
    /// Where the transport had it: its place there.
    pub offset: &'a str,
}

impl Metadata<'_> {
    /// Writes the end of a row whose last contract column has been written: a comma, the metadata, the end of the record.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        csv::comma(out);
        // Decoders refuse events of other times.
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

/// `,3,17,`: columns from 1, each between commas, so that SQL finds one with `LIKE '%,3,%'`. Before them the count of columns in five
/// digits where fields without a column did not change: `,00005,3,` (a table has at most 1,600 columns). It sorts before each column's
/// number, and before the five digits of every column that the contract did not have.
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
    fn a_row_ends_in_what_is_known_of_its_event() {
        let wanted = concat!(
            r#"1,1970-01-01 00:00:00,update,"{""colour"":""red""}",\N,",3,17,","#,
            "00000000000000000042,kafka/orders/0,00000000000000000007\n"
        );
        assert_eq!(row(EVENT), wanted);
    }

    #[test]
    fn fields_without_a_column_that_did_not_change_are_the_first_of_the_columns_that_did_not() {
        let row = |others_unchanged, unchanged| row(Metadata { unchanged, others_unchanged, ..EVENT });
        assert!(row(Some(17), &[2, 16]).contains(r#",\N,",00017,3,17,",0"#));
        assert!(row(Some(1600), &[]).contains(r#",\N,",01600,",0"#));
        assert!(row(None, &[]).contains(r",\N,\N,0"));
    }
}
