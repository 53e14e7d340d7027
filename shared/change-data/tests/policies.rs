//! Values that Redshift cannot hold and fields without a column are handled by policy, with a note or a refusal.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shiftwork_change_data::{
    compiled::Compiled,
    contract::read,
    csv::NULL,
    refusal::RefusalKind,
    row::METADATA_COLUMNS,
    stage::{Outcome, Record, Stager},
    transport::{Offset, Partition},
};

fn staged(policy: &str, after: &str) -> Result<BTreeMap<&'static str, String>, RefusalKind> {
    let contract = format!(
        "contract: orders\nsource: {{ format: debezium, table: public.orders }}\ntarget: {{ schema: shop, table: orders }}\nkey: [id]\n\
         columns: [{{ name: id, type: bigint }}, {{ name: text, type: varchar(max) }}, {{ name: doc, type: super }}]\n{policy}\n"
    );
    let compiled = Compiled::new(read("orders.yaml", &contract).unwrap());
    let source = r#"{"connector":"postgresql","schema":"public","table":"orders","ts_ms":1,"lsn":1}"#;
    let event = format!(r#"{{"op":"c","after":{after},"source":{source}}}"#);
    let mut stager = Stager::new(&compiled, Partition::kafka("t", 0), Vec::new());
    let offset = Offset::number(1);
    match stager.record(Record { value: event.as_bytes(), key: None, offset: &offset }).unwrap() {
        Outcome::Staged(1) => {}
        Outcome::Refused(refusal) => return Err(refusal.kind),
        other => panic!("{other:?}"),
    }
    let sink = stager.finish().sink;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(sink.as_slice());
    let row = reader.records().next().unwrap().unwrap();
    let names = ["id", "text", "doc"].into_iter().chain(METADATA_COLUMNS.map(|(name, _)| name));
    Ok(names.zip(&row).filter(|(_, value)| *value != NULL).map(|(name, value)| (name, value.to_owned())).collect())
}

#[test]
fn long_strings_are_cut_at_a_character_nulled_or_refused() {
    let long = "ä".repeat(40_000);
    let event = json!({ "id": 1, "text": long, "doc": { "inside": long }, "new": long }).to_string();
    let row = staged("oversized: cut", &event).unwrap();
    assert_eq!(row["text"].len(), 65_534);
    for (column, field) in [("doc", "inside"), ("dw_md_missing_data", "new")] {
        let document: Value = serde_json::from_str(&row[column]).unwrap();
        assert_eq!(document[field].as_str().unwrap().len(), 65_534, "{column}");
    }
    let changes: Value = serde_json::from_str(&row["dw_md_changes"]).unwrap();
    for field in ["text", "doc", "new"] {
        assert_eq!(changes[field], "string cut to 65535 bytes", "{field}");
    }

    let row = staged("oversized: nullify", &event).unwrap();
    assert_eq!((row.get("text"), row["doc"].as_str()), (None, r#"{"inside":null}"#));
    assert!(
        row["dw_md_changes"].contains("\"text\":\"nulled: a string of more than 65535 bytes\""),
        "{}",
        row["dw_md_changes"]
    );

    assert_eq!(staged("oversized: refuse", &event), Err(RefusalKind::Oversized));
}

#[test]
fn a_super_column_takes_long_strings_where_the_warehouse_does() {
    let (long, escaped) = ("ä".repeat(400_000), "\"".repeat(100_000));
    let event = json!({ "id": 1, "text": long, "doc": [long, { "inside": escaped }], "new": long }).to_string();
    let row = staged("large_strings: true", &event).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&row["doc"]).unwrap(), json!([long, { "inside": escaped }]));
    // A VARCHAR, and a value that may be moved to one, still have the limit of VARCHAR.
    assert_eq!(row["text"].len(), 65_534);
    let missing: Value = serde_json::from_str(&row["dw_md_missing_data"]).unwrap();
    assert_eq!(missing["new"].as_str().unwrap().len(), 65_534);
    let changes: Value = serde_json::from_str(&row["dw_md_changes"]).unwrap();
    assert_eq!(changes, json!({ "text": "string cut to 65535 bytes", "new": "string cut to 65535 bytes" }));
    assert_eq!(staged("large_strings: true\noversized: refuse", &event), Err(RefusalKind::Oversized));
    let of_document = json!({ "id": 1, "doc": long }).to_string();
    assert!(staged("large_strings: true\noversized: refuse", &of_document).is_ok());

    let too_long = json!({ "id": 1, "doc": "x".repeat(16_000_000) }).to_string();
    let row = staged("large_strings: true", &too_long).unwrap();
    assert_eq!(row.get("doc"), None);
    assert!(row["dw_md_changes"].contains("more than 16 MB"), "{}", row["dw_md_changes"]);
}

#[test]
fn documents_that_are_too_deep_or_too_large_are_nulled_or_refused() {
    let large = format!("[{}]", vec![format!("\"{}\"", "x".repeat(60_000)); 300].join(","));
    for (document, reason) in [(nested(1001), "more than 1000 levels"), (large, "more than 16 MB")] {
        let event = format!(r#"{{"id":1,"doc":{document},"new":{document}}}"#);
        let row = staged("", &event).unwrap();
        assert_eq!((row.get("doc"), row.get("dw_md_missing_data")), (None, None));
        let changes: Value = serde_json::from_str(&row["dw_md_changes"]).unwrap();
        for field in ["doc", "new"] {
            assert!(changes[field].as_str().unwrap().contains(reason), "{changes}");
        }
        assert_eq!(staged("oversized: refuse", &event), Err(RefusalKind::Oversized));
    }
    // In `dw_md_missing_data` a value is one level deeper.
    let row = staged("", &format!(r#"{{"id":1,"doc":{0},"new":{0}}}"#, nested(1000))).unwrap();
    assert_eq!((row["doc"].len(), row.get("dw_md_missing_data")), (2000, None));
}

fn nested(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

#[test]
fn a_frozen_contract_refuses_unknown_fields_and_values_that_do_not_fit() {
    assert!(staged("unknown: freeze", r#"{"id":1,"text":"x"}"#).is_ok());
    assert_eq!(staged("unknown: freeze", r#"{"id":1,"colour":null}"#), Err(RefusalKind::Frozen));
    assert_eq!(staged("unknown: freeze", r#"{"id":1,"text":"\\N"}"#), Err(RefusalKind::Frozen));
    assert_eq!(staged("", r#"{"id":"one"}"#), Err(RefusalKind::NoKey));
}
