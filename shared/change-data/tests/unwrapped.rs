//! Events without Debezium's envelope: flattened rows and CloudEvents.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::{Value, json};
use shiftwork_change_data::{
    compiled::Compiled,
    contract::{propose, read},
    row::METADATA_COLUMNS,
    stage::{Outcome, Record, Stager},
    transport::{Offset, Partition},
};

const ORDERS: &str = "
contract: orders
source: { format: debezium, table: public.orders, server: shop }
target: { schema: shop, table: orders }
key: [id]
columns: [{ name: id, type: bigint }, { name: note, type: varchar(20) }]
";

const DOCUMENTS: &str = "
contract: documents
source: { format: debezium-mongodb, table: shop.documents }
target: { schema: shop, table: documents }
key: [_id]
columns: [{ name: _id, type: varchar(40) }, { name: a, type: bigint }]
";

/// A staged row: its contract columns, then its metadata.
#[derive(Debug)]
struct Row(Vec<String>);

impl Row {
    fn columns(&self) -> Vec<&str> {
        self.0[..self.0.len() - METADATA_COLUMNS.len()].iter().map(String::as_str).collect()
    }

    fn metadata(&self, name: &str) -> &str {
        let index = METADATA_COLUMNS.iter().position(|(column, _)| *column == name).unwrap();
        &self.0[self.0.len() - METADATA_COLUMNS.len() + index]
    }

    fn position(&self) -> &str {
        self.metadata("dw_md_position")
    }
}

/// The rows of a record, or the reason why it is refused.
fn decoded(contract: &str, partition: &Partition, value: &str, key: Option<&str>) -> Result<Vec<Row>, String> {
    let compiled = Compiled::new(read("c.yaml", contract).unwrap());
    let mut stager = Stager::new(&compiled, partition.clone(), Vec::new());
    let offset = Offset::number(7);
    let record = Record { value: value.as_bytes(), key: key.map(str::as_bytes), offset: &offset };
    match stager.record(record).unwrap() {
        Outcome::Staged(_) => {}
        Outcome::Refused(refusal) => return Err(refusal.to_string()),
        other => panic!("{other:?}"),
    }
    let sink = stager.finish().sink;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(sink.as_slice());
    Ok(reader.records().map(|row| Row(row.unwrap().iter().map(str::to_owned).collect())).collect())
}

fn kafka() -> Partition {
    Partition::kafka("t", 0)
}

/// The only row of an event of `ORDERS`.
fn order(event: &Value) -> Row {
    decoded(ORDERS, &kafka(), &event.to_string(), None).unwrap().remove(0)
}

/// The fields of a row without a column. Their order is that of the event, which depends on the features of serde_json.
fn missing(row: &Row) -> Value {
    serde_json::from_str(row.metadata("dw_md_missing_data")).unwrap()
}

fn refused(event: &Value) -> String {
    decoded(ORDERS, &kafka(), &event.to_string(), None).unwrap_err()
}

/// A flattened row with the fields that the documentation recommends, and others.
fn flattened(others: &Value) -> Value {
    let mut event = json!({
        "id": 1, "note": "a", "__deleted": "false", "__op": "u", "__name": "shop", "__db": "crm", "__schema": "public",
        "__table": "orders", "__lsn": 200, "__sequence": "[\"100\",\"200\"]", "__source_ts_ms": 1_700_000_000_000_u64,
    });
    merge(&mut event, others);
    event
}

/// Sets members. A null removes the member.
fn merge(event: &mut Value, others: &Value) {
    for (name, value) in others.as_object().unwrap() {
        if value.is_null() {
            event.as_object_mut().unwrap().remove(name);
        } else {
            event[name] = value.clone();
        }
    }
}

#[test]
fn a_flattened_row_is_a_change() {
    let row = order(&flattened(&json!({})));
    assert_eq!(row.columns(), ["1", "a"]);
    assert_eq!(row.metadata("dw_md_operation"), "update");
    assert_eq!(row.metadata("dw_md_changed_at"), "2023-11-14 22:13:20");
    assert_eq!(
        row.position(),
        "00000000000000000100/00000000000000000200",
        "the position of the event in its envelope"
    );
    assert_eq!(row.metadata("dw_md_missing_data"), r"\N", "the added fields are not fields of the row");
}

#[test]
fn the_time_of_debezium_is_taken_if_the_place_in_the_log_is_known() {
    let row = order(&flattened(&json!({ "__source_ts_ms": null, "__ts_ms": 5 })));
    assert_eq!(row.metadata("dw_md_changed_at"), "1970-01-01 00:00:00.005");
}

#[test]
fn the_operation_is_that_of_the_event() {
    for (others, operation) in [
        (json!({ "__op": "c" }), "create"),
        (json!({ "__op": "r" }), "read"),
        (json!({ "__op": "d", "__deleted": "true" }), "delete"),
        (json!({ "__op": null, "__deleted": "true" }), "delete"),
        // The row is complete, so an update of a row that does not exist creates it.
        (json!({ "__op": null, "__deleted": "false" }), "update"),
        (json!({ "__op": "d", "__deleted": true }), "delete"),
        (json!({ "__op": "d", "__deleted": null }), "delete"),
    ] {
        assert_eq!(order(&flattened(&others)).metadata("dw_md_operation"), operation, "{others}");
    }
}

#[test]
fn the_key_of_a_deleted_row_is_in_the_row_or_in_the_record() {
    let event = json!({
        "__deleted": "true", "__op": "d", "__name": "shop", "__schema": "public", "__table": "orders", "__lsn": 200, "__source_ts_ms": 5
    });
    let rows = decoded(ORDERS, &kafka(), &event.to_string(), Some(r#"{"schema":{},"payload":{"id":4}}"#)).unwrap();
    assert_eq!(rows[0].columns(), ["4", r"\N"]);
}

#[test]
fn the_schema_envelope_says_the_types_of_a_flattened_row() {
    let field = |name: &str, kind: &str, logical: &str| json!({ "field": name, "type": kind, "name": logical });
    let event = json!({
        "schema": { "type": "struct", "name": "shop.public.orders.Value", "fields": [
            field("id", "int64", ""), field("note", "int32", "io.debezium.time.Date"), field("__op", "string", ""),
        ] },
        "payload": flattened(&json!({ "note": 1 })),
    });
    assert_eq!(order(&event).columns(), ["1", "1970-01-02"]);
    let proposed = propose([event.to_string().as_bytes()]).remove(0);
    let names: Vec<_> = proposed.columns.iter().map(|column| &*column.name).collect();
    assert_eq!(names, ["id", "note"]);
    assert_eq!((&*proposed.source.table, proposed.columns[1].column_type.as_str()), ("crm.public.orders", "date"));
}

#[test]
fn a_prefix_of_the_added_fields_is_found() {
    let event = json!({
        "id": 1, "note": "a", "shop": "x", "__deleted": "false", "cdc.op": "c", "cdc.name": "shop", "cdc.schema": "public",
        "cdc.table": "orders", "cdc.lsn": 200, "cdc.source_ts_ms": 5, "__v": 3,
    });
    let row = order(&event);
    assert_eq!((row.metadata("dw_md_operation"), row.columns()), ("create", vec!["1", "a"]));
    assert_eq!(row.position(), "00000000000000000200/00000000000000000200/");
    assert_eq!(missing(&row), json!({ "__v": 3, "shop": "x" }), "fields of the row");
}

#[test]
fn an_added_field_can_have_a_column() {
    let contract = ORDERS.replace(" }]", " }, { name: op, type: varchar(1), from: __op }]");
    let rows = decoded(&contract, &kafka(), &flattened(&json!({})).to_string(), None).unwrap();
    assert_eq!(rows[0].columns(), ["1", "a", "u"]);
}

/// A row whose columns have the names of the envelope's members.
#[test]
fn a_flattened_row_can_have_columns_of_any_name() {
    let row = order(&flattened(
        &json!({ "op": "x", "source": "y", "before": 1, "after": 2, "payload": null, "dynamodb": {}, "eventName": "e", "specversion": "1", "type": "t" }),
    ));
    assert_eq!(row.metadata("dw_md_operation"), "update");
    let expected = json!({
        "after": 2, "before": 1, "dynamodb": {}, "eventName": "e", "op": "x", "source": "y", "specversion": "1", "type": "t",
    });
    assert_eq!(missing(&row), expected);
}

#[test]
fn without_a_place_in_the_log_the_partition_orders_flattened_rows() {
    let event = |others: Value| {
        let mut event = flattened(&json!({ "__lsn": null, "__sequence": null }));
        merge(&mut event, &others);
        event
    };
    let row = order(&event(json!({})));
    let place = "00000000000000000000/kafka/t/0/00000000000000000007#";
    assert_eq!(&row.position()[..place.len()], place);
    // The same event, sent again by another version that adds its own version and its clock.
    let again = order(&event(json!({ "__source_version": "3.4", "__ts_ms": 1_700_000_000_999_u64 })));
    assert_eq!(row.position(), again.position());
    assert_ne!(row.position(), order(&event(json!({ "note": "b" }))).position());
    assert_ne!(row.position(), order(&event(json!({ "__source_ts_ms": 1_700_000_000_001_u64 }))).position());
    // Files have no order among them.
    let file = Partition::s3("b", "k", "v");
    let rows = decoded(ORDERS, &file, &event(json!({})).to_string(), None).unwrap();
    assert!(rows[0].position().starts_with("00000001700000000000/s3/b/k@v/"), "{}", rows[0].position());
}

#[test]
fn a_flattened_row_is_refused_if_its_change_is_not_known() {
    for (others, reason) in [
        (json!({ "__table": null }), "incomplete: a flattened row without a valid `__table`: set the option"),
        (
            json!({ "__source_ts_ms": null, "__lsn": null, "__sequence": null, "__ts_ms": 5 }),
            "incomplete: a flattened row without a valid `__source_ts_ms`: set the option",
        ),
        (
            json!({ "__source_ts_ms": null }),
            "incomplete: a flattened row without a valid `__source_ts_ms`: set the option",
        ),
        (json!({ "__op": "x" }), "unknown-operation: `__op` is `x`"),
        (
            json!({ "__op": "c", "__deleted": "true" }),
            "unknown-operation: `__op` says that the row was created, and `__deleted` is true",
        ),
        (json!({ "__op": "d" }), "unknown-operation: `__op` says that the row was deleted, and `__deleted` is false"),
        (json!({ "__deleted": "maybe" }), "not-an-event: `__deleted` is neither true nor false"),
        (json!({ "__deleted": null }), "incomplete: a flattened row without `__deleted`"),
        // Headers are not read, and a bare row could be anything.
        (json!({ "__deleted": null, "__op": null }), "not-an-event: the event has neither Debezium's `op`"),
    ] {
        let refusal = refused(&flattened(&others));
        assert!(refusal.starts_with(reason), "{others}: {refusal}");
    }
    let nulls = r#"{"id":1,"__op":null,"__deleted":null,"__table":"orders","__source_ts_ms":5}"#;
    let refusal = decoded(ORDERS, &kafka(), nulls, None).unwrap_err();
    assert!(refusal.starts_with("incomplete: a flattened row whose `__op` and `__deleted` are null"), "{refusal}");
}

/// With the modes `drop` and `tombstone` a delete is at most a tombstone, so the row would stay for ever.
#[test]
fn rows_without_deletes_are_taken_if_the_contract_says_so() {
    let contract = ORDERS.replace("server: shop", "server: shop, without_deletes: true");
    let event = flattened(&json!({ "__deleted": null })).to_string();
    assert_eq!(decoded(&contract, &kafka(), &event, None).unwrap()[0].columns(), ["1", "a"]);
}

#[test]
fn a_flattened_document_has_plain_values() {
    let event = json!({
        "_id": "596e275826f08b2730779e1f", "a": 5, "__v": 0, "__deleted": false, "__op": "c", "__db": "shop",
        "__collection": "documents", "__ord": 2, "__source_ts_ms": 1_700_000_001_000_u64,
    });
    let rows = decoded(DOCUMENTS, &kafka(), &event.to_string(), None).unwrap();
    assert_eq!(rows[0].columns(), ["596e275826f08b2730779e1f", "5"]);
    assert!(rows[0].position().starts_with("00000001700000001000/0000000002/kafka/t/0/"), "{}", rows[0].position());
    assert_eq!(rows[0].metadata("dw_md_missing_data"), r#"{"__v":0}"#);
    let deleted = json!({
        "__deleted": true, "__op": "d", "__db": "shop", "__collection": "documents", "__source_ts_ms": 1_700_000_001_000_u64,
    });
    let key = r#"{"id":"596e275826f08b2730779e1f"}"#;
    let rows = decoded(DOCUMENTS, &kafka(), &deleted.to_string(), Some(key)).unwrap();
    assert_eq!(rows[0].columns(), ["596e275826f08b2730779e1f", r"\N"]);
}

/// A CloudEvent as `CloudEventsConverter` writes it.
fn cloud_event(data: &Value) -> Value {
    json!({
        "id": "name:shop;lsn:200;txId:565", "source": "/debezium/postgresql/shop", "specversion": "1.0",
        "type": "io.debezium.connector.postgresql.DataChangeEvent", "time": "2023-11-14T22:13:20.000Z",
        "datacontenttype": "application/json", "iodebeziumop": "u", "iodebeziumversion": "3.2.0.Final",
        "iodebeziumconnector": "postgresql", "iodebeziumname": "shop", "iodebeziumtsms": "1700000000000",
        "iodebeziumsnapshot": "false", "iodebeziumdb": "crm", "iodebeziumsequence": "[\"100\",\"200\"]",
        "iodebeziumschema": "public", "iodebeziumtable": "orders", "iodebeziumtxId": "565", "iodebeziumlsn": "200",
        "iodebeziumxmin": null, "data": data,
    })
}

#[test]
fn a_cloud_event_is_the_change_in_its_data() {
    let images = json!({ "before": { "id": 1, "note": "a" }, "after": { "id": 1, "note": "b" } });
    let enveloped = json!({ "schema": { "type": "struct", "fields": [] }, "payload": images });
    for data in [images, enveloped] {
        let row = order(&cloud_event(&data));
        assert_eq!((row.columns(), row.metadata("dw_md_operation")), (vec!["1", "b"], "update"), "{data}");
        assert_eq!(row.metadata("dw_md_changed_at"), "2023-11-14 22:13:20");
        assert_eq!(row.position(), "00000000000000000100/00000000000000000200");
    }
    let mut deleted = cloud_event(&json!({ "before": { "id": 1, "note": null } }));
    deleted["iodebeziumop"] = json!("d");
    assert_eq!(order(&deleted).metadata("dw_md_operation"), "delete");
    // A change of the key is two rows, as in any event.
    let moved = cloud_event(&json!({ "before": { "id": 1 }, "after": { "id": 2 } })).to_string();
    assert_eq!(decoded(ORDERS, &kafka(), &moved, None).unwrap().len(), 2);
}

#[test]
fn the_attributes_of_a_cloud_event_are_the_members_of_source() {
    let of = |attributes: Value| {
        let mut event = cloud_event(&json!({ "after": { "id": 1 } }));
        merge(&mut event, &json!({ "iodebeziumlsn": null, "iodebeziumsequence": null, "iodebeziumop": "c" }));
        merge(&mut event, &attributes);
        order(&event).position().to_owned()
    };
    assert_eq!(
        of(
            json!({ "iodebeziumconnector": "sqlserver", "iodebeziumcommitlsn": "0a:1:2", "iodebeziumchangelsn": "0a:1:1", "iodebeziumeventserialno": "2" })
        ),
        "0a:1:2/0a:1:1/0000000002"
    );
    assert_eq!(
        of(
            json!({ "iodebeziumconnector": "mysql", "iodebeziumfile": "b.000003", "iodebeziumpos": "4", "iodebeziumrow": "1" })
        ),
        "0000000003/00000000000000000004/0000000001"
    );
}

#[test]
fn the_data_of_a_cloud_event_can_be_a_whole_event() {
    let row = order(&cloud_event(&flattened(&json!({ "__lsn": 300, "__sequence": null }))));
    assert_eq!(row.position(), "00000000000000000300/00000000000000000300/");
    let event = json!({
        "op": "c", "after": { "id": 1 }, "ts_ms": 5,
        "source": { "connector": "postgresql", "name": "shop", "schema": "public", "table": "orders", "ts_ms": 5, "lsn": 9 },
    });
    assert_eq!(order(&cloud_event(&event)).metadata("dw_md_operation"), "create");
}

#[test]
fn a_document_in_a_cloud_event_is_extended_json() {
    let mut event =
        cloud_event(&json!({ "after": r#"{"_id":{"$oid":"596e275826f08b2730779e1f"},"a":{"$numberLong":"5"}}"# }));
    let of_mongodb = json!({
        "iodebeziumop": "c", "iodebeziumconnector": "mongodb", "iodebeziumdb": "shop", "iodebeziumcollection": "documents",
        "iodebeziumord": "1", "iodebeziumtable": null, "iodebeziumschema": null,
    });
    merge(&mut event, &of_mongodb);
    let rows = decoded(DOCUMENTS, &kafka(), &event.to_string(), None).unwrap();
    assert_eq!(rows[0].columns(), ["596e275826f08b2730779e1f", "5"]);
}

#[test]
fn a_cloud_event_without_a_change_is_refused() {
    let images = json!({ "after": { "id": 1 } });
    for (others, reason) in [
        (json!({ "iodebeziumop": null }), "incomplete: the CloudEvent does not have `iodebeziumop`"),
        (json!({ "iodebeziumop": "x" }), "unknown-operation: `iodebeziumop` is `x`"),
        (json!({ "iodebeziumtable": null }), "incomplete: the event does not name a table"),
        (json!({ "iodebeziumlsn": null }), "incomplete: the event does not have the position in the postgresql log"),
        (json!({ "iodebeziumtsms": null }), "incomplete: the event does not have a source time"),
        (
            json!({ "data": "AAAA", "datacontenttype": "avro/binary" }),
            "not-an-event: `data` of the CloudEvent is not a JSON object (`datacontenttype` is avro/binary)",
        ),
        (json!({ "data": { "a": 1 } }), "not-an-event: `data` of the CloudEvent has neither `before` nor `after`"),
    ] {
        let mut event = cloud_event(&images);
        merge(&mut event, &others);
        let refusal = refused(&event);
        assert!(refusal.starts_with(reason), "{others}: {refusal}");
    }
}
