//! Where the key of a row comes from, which changes are the same, and which keys can be NULL.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use shiftwork_change_data::{
    compiled::Compiled,
    contract::read,
    refusal::RefusalKind,
    row::METADATA_COLUMNS,
    stage::{Outcome, Record, Stager},
    transport::{Offset, Partition},
};

/// The rows of records with their keys, as lists of columns.
fn staged(contract: &str, records: &[(&str, Option<&str>)]) -> Result<Vec<Vec<String>>, RefusalKind> {
    let compiled = Compiled::new(read("c.yaml", contract).unwrap());
    let mut stager = Stager::new(&compiled, Partition::kafka("t", 0), Vec::new());
    for ((value, key), offset) in records.iter().zip(0..) {
        let (key, offset) = (key.map(str::as_bytes), Offset::number(offset));
        match stager.record(Record { value: value.as_bytes(), key, offset: &offset }).unwrap() {
            Outcome::Staged(_) => {}
            Outcome::Refused(refusal) => return Err(refusal.kind),
            other => panic!("{other:?}"),
        }
    }
    let sink = stager.finish().sink;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(sink.as_slice());
    Ok(reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect())
}

/// Index of a metadata column, from the end of a row.
fn of(name: &str) -> usize {
    METADATA_COLUMNS.len() - METADATA_COLUMNS.iter().position(|(column, _)| *column == name).unwrap()
}

fn metadata<'r>(row: &'r [String], name: &str) -> &'r str {
    &row[row.len() - of(name)]
}

const DOCUMENTS: &str = "
contract: documents
source: { format: debezium-mongodb, table: shop.documents }
target: { schema: shop, table: documents }
key: [_id]
columns: [{ name: _id, type: varchar(40) }, { name: a, type: bigint }]
promote: { kind: append }
";

fn document(op: &str, image: &str) -> String {
    let source = r#""source":{"connector":"mongodb","name":"m","ts_ms":1700000001000,"db":"shop","collection":"documents","ord":1}"#;
    format!(r#"{{"before":null,{image},{source},"op":"{op}","ts_ms":1700000001005}}"#)
}

const DOCUMENT_KEY: &str = r#"{"id":"{\"$oid\": \"000000000000000000000001\"}"}"#;

/// An update without the document, and a delete, have the key in the record's key, also in a table of kind `append`.
#[test]
fn a_row_of_an_append_table_has_the_key_of_its_record() {
    let update = document("u", r#""after":null,"updateDescription":{"updatedFields":"{\"a\":2}"}"#);
    let delete = document("d", r#""after":null"#);
    let rows = staged(DOCUMENTS, &[(&update, Some(DOCUMENT_KEY)), (&delete, Some(DOCUMENT_KEY))]).unwrap();
    assert!(rows.iter().all(|row| row[0] == "000000000000000000000001"), "{rows:?}");
    assert_eq!(rows[0][1], "2");
}

/// The events of a transaction of MongoDB share the cluster time and the ordinal. Their positions differ, have the order of the
/// transport, and end in a digest that an event keeps when it is sent again under a new offset.
#[test]
fn events_of_one_transaction_have_positions_of_their_own() {
    let create = document("c", r#""after":"{\"_id\": {\"$oid\": \"000000000000000000000001\"}, \"a\": 1}""#);
    let update = document("u", r#""after":"{\"_id\": {\"$oid\": \"000000000000000000000001\"}, \"a\": 2}""#);
    let delete = document("d", r#""after":null"#);
    // Debezium's own time of processing is another when it sends the event again.
    let again = create.replace("1700000001005", "1700000099999");
    let events = [&create, &update, &delete, &again].map(|event| (event.as_str(), Some(DOCUMENT_KEY)));
    let rows = staged(DOCUMENTS, &events).unwrap();
    let positions: Vec<&str> = rows.iter().map(|row| metadata(row, "dw_md_position")).collect();
    assert!(positions.is_sorted() && positions[0] != positions[1] && positions[1] != positions[2], "{positions:?}");
    let digest = |position: &str| position.rsplit_once('#').unwrap().1.to_owned();
    assert_eq!(digest(positions[0]), digest(positions[3]));
    assert!(digest(positions[0]) != digest(positions[1]) && digest(positions[1]) != digest(positions[2]));
}

const PARTS: &str = "
contract: parts
source: { format: debezium, table: public.parts }
target: { schema: shop, table: parts }
key: [a, b]
columns: [{ name: a, type: bigint }, { name: b, type: varchar(10) }, { name: v, type: varchar(40) }]
";

fn part(op: &str, before: &str, after: &str) -> String {
    let source = r#"{"connector":"postgresql","schema":"public","table":"parts","ts_ms":1,"lsn":1}"#;
    format!(r#"{{"op":"{op}","before":{before},"after":{after},"source":{source}}}"#)
}

/// A unique index can have columns that are NULL.
#[test]
fn a_key_column_after_the_first_can_be_null() {
    let create = part("c", "null", r#"{"a":1,"b":null,"v":"x"}"#);
    let rows = staged(PARTS, &[(&create, None)]).unwrap();
    assert_eq!(rows[0][..3], ["1", "\\N", "x"]);
    // From NULL to a value is another key: the old row is deleted.
    let update = part("u", r#"{"a":1,"b":null,"v":"x"}"#, r#"{"a":1,"b":"k","v":"x"}"#);
    let rows = staged(PARTS, &[(&update, None)]).unwrap();
    let operations: Vec<&str> = rows.iter().map(|row| metadata(row, "dw_md_operation")).collect();
    assert_eq!((operations, &rows[0][1], &rows[1][1]), (vec!["delete", "create"], &"\\N".to_owned(), &"k".to_owned()));
}

#[test]
fn a_key_that_is_null_or_missing_otherwise_is_refused() {
    for row in [r#"{"a":null,"b":"k"}"#, r#"{"a":1}"#, r#"{"a":1,"b":"more than 10 bytes"}"#, r#"{"b":null}"#] {
        assert_eq!(staged(PARTS, &[(&part("c", "null", row), None)]), Err(RefusalKind::NoKey), "{row}");
    }
}
