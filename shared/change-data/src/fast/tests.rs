use std::rc::Rc;

use super::Fast;
use crate::{
    compiled::Compiled,
    contract::ContractDraft,
    event::Event,
    schema::Schema,
    transport::{Offset, Partition},
};

fn compiled() -> Compiled {
    let contract = serde_json::json!({
        "contract": "orders",
        "source": { "format": "debezium", "table": "public.orders" },
        "target": { "schema": "shop", "table": "orders" },
        "key": ["id"],
        "columns": [
            { "name": "id", "type": "bigint" },
            { "name": "code", "type": "char(3)" },
            { "name": "note", "type": "varchar(80)" },
            { "name": "total", "type": "decimal(12,2)" },
            { "name": "tax", "type": "decimal(12,2)", "source_type": "Decimal" },
            { "name": "weight", "type": "double precision" },
            { "name": "gift", "type": "boolean" },
            { "name": "day", "type": "date", "source_type": "io.debezium.time.Date" },
            { "name": "at", "type": "timestamp", "source_type": "MicroTimestamp" },
            { "name": "seen", "type": "timestamptz" },
            { "name": "tags", "type": "super" },
        ],
    });
    Compiled::new(serde_json::from_value::<ContractDraft>(contract).unwrap().check().unwrap())
}

fn event(op: &str, before: &str, after: &str) -> String {
    let source = r#"{"connector":"postgresql","name":"shop","ts_ms":1795255200000,"db":"shop","sequence":"[\"41\",\"42\"]","ts_us":1795255200000001,"schema":"public","table":"orders","lsn":42}"#;
    format!(r#"{{"before":{before},"after":{after},"source":{source},"transaction":null,"op":"{op}","ts_ms":1}}"#)
}

/// The rows that the fast path writes for events in order. `None` for an event that it leaves to the full decoder.
fn rows(events: &[String]) -> Vec<Option<String>> {
    let (compiled, partition) = (compiled(), Partition::kafka("orders", 0));
    let mut fast = Fast::new(&compiled, &partition).unwrap();
    let mut row = |event: &String| {
        let mut out = Vec::new();
        let written = fast.row(&compiled, event.as_bytes(), &partition, &Offset::number(7), &mut out);
        assert_eq!(written.is_none(), out.is_empty());
        if let Ok(Event::Change(change)) = Event::read(event.as_bytes(), None) {
            let schema = change.schema.map(|schema| Rc::new(Schema::read(schema, false)));
            fast.learn(&compiled, event.as_bytes(), change.schema.zip(schema.as_ref()));
        }
        written.map(|_| String::from_utf8(out).unwrap())
    };
    events.iter().map(&mut row).collect()
}

const IMAGE: &str = r#"{"id":1,"code":"abc","note":"two\nlines, \"quoted\"","total":"12.30","tax":"AfQ=","weight":1.5,"gift":true,"day":20758,"at":1795255200120000,"seen":"2026-11-21T10:00:00.5Z","tags":["a",{"b":1}]}"#;

#[test]
fn the_common_event_is_read_once_its_keys_are_known() {
    let events =
        [event("c", "null", IMAGE), event("u", IMAGE, IMAGE), event("r", "null", IMAGE), event("d", IMAGE, "null")];
    let wanted = |operation: &str| {
        Some(format!(
            "1,abc,\"two\nlines, \"\"quoted\"\"\",12.3,5,1.5,true,2026-11-01,2026-11-21 10:00:00.120,2026-11-21 10:00:00.500+00,\"[\"\"a\"\",{{\"\"b\"\":1}}]\",\
             2026-11-21 10:00:00.000001,{operation},\\N,\\N,\\N,00000000000000000041/00000000000000000042,kafka/orders/0,00000000000000000007\n"
        ))
    };
    assert_eq!(rows(&events), [None, wanted("update"), wanted("read"), wanted("delete")]);
}

#[test]
fn an_unknown_field_and_a_missing_one_are_common_too() {
    let drifted = r#"{"id":1,"channel":"app","note":null}"#;
    let events = [event("c", "null", drifted), event("c", "null", drifted), event("c", "null", r#"{"id":2}"#)];
    let rows = rows(&events);
    assert!(rows[0].is_none());
    assert!(rows[1].as_ref().unwrap().contains(r#","{""channel"":""app""}","#));
    assert!(rows[2].as_ref().unwrap().starts_with(r"2,\N,\N,"));
}

#[test]
fn an_envelope_is_skipped_once_its_schema_is_known() {
    let types = |total: &str| {
        let fields = format!(
            r#""type":"struct","fields":[{{"type":"int64","field":"id"}},{{{total},"field":"total"}},{{"type":"int64","name":"io.debezium.time.Timestamp","field":"since"}}]"#
        );
        format!(r#"{{"type":"struct","fields":[{{{fields},"field":"before"}},{{{fields},"field":"after"}}]}}"#)
    };
    let cents = types(r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}"#);
    let whole = types(r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"0"}"#);
    let event = event("r", "null", r#"{"id":1,"total":"AfQ=","since":1795255200000}"#);
    let first = |schema: &str| format!(r#"{{"schema":{schema},"payload":{event}}}"#);
    let last = |schema: &str| format!(r#"{{"payload":{event},"schema":{schema}}}"#);
    let events = [
        first(&cents),
        first(&cents),
        first(&whole),
        first(&whole),
        last(&whole),
        last(&whole),
        last(&whole).replacen(':', ": ", 1),
        first("null"),
    ];
    let rows = rows(&events);
    let total = |row: &Option<String>| row.as_ref().and_then(|row| row.split(',').nth(3).map(str::to_owned));
    assert_eq!(
        rows.iter().map(total).collect::<Vec<_>>(),
        [None, Some("5"), None, Some("500"), None, Some("500"), None, None].map(|total| total.map(str::to_owned))
    );
    assert!(
        rows[1].as_ref().unwrap().contains(r#"{""since"":""2026-11-21 10:00:00""}"#),
        "a field without a column is written by its logical type"
    );
}

#[test]
fn invalid_and_rare_events_are_left_to_the_full_decoder() {
    let image = r#"{"id":1,"note":"a"}"#;
    let usual = event("u", image, image);
    let mut events = vec![usual.clone(), usual.clone()];
    events.extend([
        usual.replacen("\"a\"", "\"\u{1}\"", 1),
        usual.replacen(":1,", ":01,", 1),
        usual.replacen("\"a\"}", "\"a\",}", 1),
        format!("{usual}}}"),
        usual[..usual.len() - 1].to_owned(),
        usual.replacen("\"id\":1", "\"id\":2", 1),
        usual.replace("\"note\"", "\"id\""),
        usual.replace("\"a\"", "\"__debezium_unavailable_value\""),
        usual.replace("\"a\"", r#""{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}""#),
        usual.replace("\"a\"}", "\"a\u{1}}"),
        usual.replace("\"a\"", &format!("{:?}", "a".repeat(81))),
        usual.replace("public", "private"),
        usual.replace("\"op\":\"u\"", "\"op\":\"t\""),
    ]);
    let rows = rows(&events);
    assert!(rows[1].is_some());
    assert!(rows[2..].iter().all(Option::is_none), "{rows:?}");
}
