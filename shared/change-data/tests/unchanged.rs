//! A field that a source leaves out because it did not change is distinguished from NULL, even if it has no column.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use proptest::{prelude::*, sample::subsequence};
use serde_json::{Map, Value, json};
use shiftwork_change_data::{
    compiled::Compiled,
    contract::read,
    csv::NULL,
    refusal::RefusalKind,
    row::METADATA_COLUMNS,
    stage::{Outcome, Record, Stager},
    transport::{Offset, Partition},
};

const UNCHANGED: &str = "__debezium_unavailable_value";

/// The row of an event by column, without NULL, and whether `dw_md_missing_data` has a value.
fn staged(format: &str, unknown: &str, event: &Value) -> Result<(BTreeMap<&'static str, String>, bool), RefusalKind> {
    let (table, id) = if format == "debezium" { ("public.orders", "id") } else { ("shop.orders", "_id") };
    let contract = format!(
        "contract: orders\nsource: {{ format: {format}, table: {table} }}\ntarget: {{ schema: shop, table: orders }}\nkey: [id]\n\
         columns: [{{ name: id, type: bigint, from: {id} }}, {{ name: note, type: varchar(4) }}]\nunknown: {unknown}\n"
    );
    let compiled = Compiled::new(read("orders.yaml", &contract).unwrap());
    let mut stager = Stager::new(&compiled, Partition::kafka("t", 0), Vec::new());
    let (value, offset) = (event.to_string(), Offset::number(1));
    let key = (format != "debezium").then_some(&br#"{"id":"1"}"#[..]);
    match stager.record(Record { value: value.as_bytes(), key, offset: &offset }).unwrap() {
        Outcome::Staged(1) => {}
        Outcome::Refused(refusal) => return Err(refusal.kind),
        other => panic!("{other:?}"),
    }
    let done = stager.finish();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(done.sink.as_slice());
    let row = reader.records().next().unwrap().unwrap();
    let names = ["id", "note"].into_iter().chain(METADATA_COLUMNS.map(|(name, _)| name));
    let row =
        names.zip(&row).filter(|(_, value)| *value != NULL).map(|(name, value)| (name, value.to_owned())).collect();
    Ok((row, done.counts.with_missing_data > 0))
}

fn update(before: &Value, after: &Value) -> Value {
    let source = json!({ "connector": "postgresql", "schema": "public", "table": "orders", "ts_ms": 1, "lsn": 1 });
    json!({ "op": "u", "before": before, "after": after, "source": source })
}

/// An update of MongoDB that does not have the whole document.
fn partial(updated: &Value, removed: &[&str]) -> Value {
    let source = json!({ "connector": "mongodb", "db": "shop", "collection": "orders", "ts_ms": 1, "ord": 1 });
    let description = json!({ "updatedFields": updated.to_string(), "removedFields": removed });
    json!({ "op": "u", "before": null, "after": null, "source": source, "updateDescription": description })
}

/// `dw_md_missing_data`, `dw_md_unchanged`, and whether the former has a value.
fn known(format: &str, event: &Value) -> (Value, String, bool) {
    let (row, waits) = staged(format, "capture", event).unwrap();
    let missing = row.get("dw_md_missing_data").map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
    (missing, row.get("dw_md_unchanged").cloned().unwrap_or_default(), waits)
}

#[test]
fn a_field_without_a_column_may_be_unchanged_too() {
    let event = |after: Value| known("debezium", &update(&Value::Null, &after));
    // The event left no field out, so an absent field is NULL.
    assert_eq!(event(json!({ "id": 1, "colour": null, "size": 5 })), (json!({ "size": 5 }), String::new(), true));
    // The event left a field out, so NULL is written, and an absent field did not change.
    let (missing, unchanged, waits) = event(json!({ "id": 1, "colour": null, "story": UNCHANGED, "size": 5 }));
    assert_eq!((missing, unchanged.as_str(), waits), (json!({ "colour": null, "size": 5 }), ",00002,", true));
    let (missing, unchanged, waits) = event(json!({ "id": 1, "note": UNCHANGED, "colour": null, "story": UNCHANGED }));
    assert_eq!((missing, unchanged.as_str(), waits), (json!({ "colour": null }), ",00002,2,", false));
    let (missing, unchanged, waits) = event(json!({ "id": 1, "story": UNCHANGED }));
    assert_eq!((missing, unchanged.as_str(), waits), (Value::Null, ",00002,", false));
    // The event left out only a field with a column, so other absent fields are NULL.
    let (missing, unchanged, waits) = event(json!({ "id": 1, "note": UNCHANGED, "colour": null }));
    assert_eq!((missing, unchanged.as_str(), waits), (Value::Null, ",2,", false));
}

#[test]
fn the_value_may_be_in_the_before_image() {
    let before = json!({ "id": 1, "story": "long" });
    let seen = known("debezium", &update(&before, &json!({ "id": 1, "story": UNCHANGED })));
    assert_eq!(seen, (json!({ "story": "long" }), String::new(), true));
}

#[test]
fn a_value_that_policy_makes_null_is_null_and_not_unchanged() {
    let deep = (0..1_001).fold(json!(1), |inner, _| json!([inner]));
    let (row, _) =
        staged("debezium", "capture", &update(&Value::Null, &json!({ "id": 1, "deep": deep, "story": UNCHANGED })))
            .unwrap();
    assert_eq!(row["dw_md_missing_data"], r#"{"deep":null}"#);
    assert!(row["dw_md_changes"].contains("nulled"), "{row:?}");
}

#[test]
fn an_update_without_the_whole_document_leaves_other_fields_unchanged() {
    let event = |updated: Value, removed: &[&str]| known("debezium-mongodb", &partial(&updated, removed));
    let (missing, unchanged, waits) = event(json!({ "note": "a", "size": 5 }), &[]);
    assert_eq!((missing, unchanged.as_str(), waits), (json!({ "size": 5 }), ",00002,", true));
    let (missing, unchanged, waits) = event(json!({ "size": null }), &["colour", "note"]);
    assert_eq!((missing, unchanged.as_str(), waits), (json!({ "colour": null, "size": null }), ",00002,", false));
    let (missing, unchanged, waits) = event(json!({}), &[]);
    assert_eq!((missing, unchanged.as_str(), waits), (Value::Null, ",00002,2,", false));
}

#[test]
fn an_update_of_a_part_makes_a_field_without_a_column_null() {
    let event = partial(&json!({ "address.street": "Side", "size": 5 }), &["address.zip", "terms.paid"]);
    let (row, _) = staged("debezium-mongodb", "capture", &event).unwrap();
    let missing: Value = serde_json::from_str(&row["dw_md_missing_data"]).unwrap();
    let wanted = json!({ "address.street": "Side", "size": 5, "address": null, "address.zip": null, "terms": null, "terms.paid": null });
    assert_eq!(missing, wanted);
    let changes: Value = serde_json::from_str(&row["dw_md_changes"]).unwrap();
    for whole in ["address", "terms"] {
        assert!(changes[whole].as_str().unwrap().contains("capture.mode"), "{changes}");
    }
}

#[test]
fn a_frozen_contract_does_not_record_other_fields() {
    let event = update(&Value::Null, &json!({ "id": 1, "story": UNCHANGED }));
    assert_eq!(staged("debezium", "freeze", &event), Err(RefusalKind::Frozen));
    let (row, _) = staged("debezium-mongodb", "freeze", &partial(&json!({ "note": "a" }), &["colour"])).unwrap();
    assert_eq!((row.get("dw_md_missing_data"), row.get("dw_md_unchanged")), (None, None));
}

proptest! {
    /// For any fields of an event, the row shows which are NULL, which did not change, and the values of the others.
    #[test]
    fn the_row_has_the_state_of_every_field(
        fields in subsequence(vec!["a", "b", "c", "d", "e", "note"], 0..=6),
        said in prop::collection::vec(prop::sample::select(vec![json!(null), json!("x"), json!("long enough"), json!(UNCHANGED)]), 6),
    ) {
        let sent: Map<String, Value> = fields.iter().map(|name| (*name).to_owned()).zip(said).collect();
        let mut after = sent.clone();
        after.insert("id".into(), json!(1));
        let (missing, unchanged, _) = known("debezium", &update(&Value::Null, &Value::from(after)));
        for (name, value) in &sent {
            if name == "note" {
                prop_assert_eq!(unchanged.contains(",2,"), value == UNCHANGED);
                continue;
            }
            let read = match missing.get(name) {
                Some(value) => value.clone(),
                None if unchanged.starts_with(",0") => json!(UNCHANGED),
                None => Value::Null,
            };
            prop_assert_eq!(&read, value, "{} of {:?} and {}", name, missing, unchanged);
        }
    }
}
