//! The values that a table has in the end, for types and names that need care.

use serde_json::{Value, json};
use shiftwork_change_data::contract::{Proposal, read};

use crate::migrations::column;
use crate::sources::Topic;

/// An event of PostgreSQL for table `t`, with this row and, if `fields` are given, their types in its schema.
fn event(row: &Value, fields: &[Value], lsn: u64) -> Value {
    let payload = json!({
        "before": null, "after": row, "op": "c",
        "source": { "connector": "postgresql", "name": "shop", "db": "shop", "schema": "public", "table": "t",
                    "sequence": json!([lsn.to_string(), lsn.to_string()]).to_string(), "lsn": lsn, "ts_ms": 1_700_000_000_000 + lsn },
    });
    if fields.is_empty() {
        return payload;
    }
    let after = json!({ "type": "struct", "field": "after", "optional": true, "fields": fields });
    json!({ "schema": { "type": "struct", "fields": [after] }, "payload": payload })
}

async fn topic(columns: &str) -> Topic {
    Topic::open("{ format: debezium, table: public.t, server: shop }", "[id]", columns, "{ kind: type1 }").await
}

/// A topic of the contract that is proposed for an event.
async fn proposed(event: &Value) -> Topic {
    let mut proposal = Proposal::default();
    proposal.record(event.to_string().as_bytes(), Some(br#"{"id":1}"#)).unwrap();
    Topic::of(read("c.yaml", &proposal.contracts().remove(0).yaml()).unwrap()).await
}

/// TIMESTAMPTZ has more years than a calendar of four digits.
#[tokio::test(flavor = "multi_thread")]
async fn instants_of_the_last_day_of_the_year_9999_are_loaded() {
    let mut topic = topic("[{ name: id, type: bigint }, { name: valid_to, type: timestamptz }]").await;
    let sent =
        ["9999-12-31T00:00:00Z", "9999-12-30T21:59:59Z", "9999-12-31T23:59:59.999999Z", "9999-12-31T21:59:59-02:00"];
    let events: Vec<Value> =
        sent.iter().zip(1..).map(|(at, id)| event(&json!({ "id": id, "valid_to": at }), &[], id)).collect();
    topic.load(&events).await;
    let wanted = [
        "1 9999-12-31 00:00:00+00",
        "2 9999-12-30 21:59:59+00",
        "3 9999-12-31 23:59:59.999999+00",
        "4 9999-12-31 23:59:59+00",
    ];
    assert_eq!(topic.rows("id, valid_to").await, wanted);
    assert!(topic.waiting().await.is_empty());
    topic.close().await;
}

/// Every table of Redshift has columns of these names.
#[tokio::test(flavor = "multi_thread")]
async fn fields_with_names_of_system_columns_are_loaded() {
    let names = ["oid", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];
    let row: serde_json::Map<String, Value> = names
        .iter()
        .zip(1..)
        .map(|(name, n)| ((*name).to_owned(), json!(n)))
        .chain([("id".to_owned(), json!(1))])
        .collect();
    let event = event(&Value::Object(row), &[], 1);
    let mut topic = proposed(&event).await;
    topic.load(std::slice::from_ref(&event)).await;
    assert_eq!(topic.rows(&names.map(|name| format!("c_{name}")).join(", ")).await, ["1 2 3 4 5 6 7"]);
    topic.close().await;

    for name in names {
        let text = format!(
            "contract: c\nsource: {{ format: debezium, table: public.t }}\ntarget: {{ schema: shop, table: t }}\nkey: [id]\n\
             columns: [{{ name: id, type: bigint }}, {{ name: {name}, type: bigint }}]\n"
        );
        let problems = read("c.yaml", &text).unwrap_err();
        assert!(problems[0].to_string().contains(name), "{problems:?}");
    }

    // A migration names the columns in the same way.
    let mut topic = self::topic("[{ name: id, type: bigint }]").await;
    topic.load(&[event]).await;
    let columns: Vec<_> = names.iter().map(|name| column(&format!("_{name}"), "bigint", Some(name))).collect();
    topic.migrate(&columns).await;
    assert_eq!(topic.rows(&names.map(|name| format!("_{name}")).join(", ")).await, ["1 2 3 4 5 6 7"]);
    topic.close().await;
}

/// The schema of BIT VARYING without a length has a length that means none.
#[tokio::test(flavor = "multi_thread")]
async fn bits_without_a_length_are_loaded_as_bits() {
    let fields = [
        json!({ "field": "id", "type": "int64" }),
        json!({ "field": "b", "type": "bytes", "name": "io.debezium.data.Bits", "optional": true, "parameters": { "length": "2147483647" } }),
    ];
    // Debezium sends the bytes with the lowest first.
    let events = [("Cg==", 1), ("AQI=", 2)].map(|(bits, id)| event(&json!({ "id": id, "b": bits }), &fields, id));
    let mut topic = proposed(&events[0]).await;
    topic.load(&events).await;
    assert_eq!(topic.rows("id, b").await, ["1 00001010", "2 0000001000000001"]);
    assert!(topic.waiting().await.is_empty());
    topic.close().await;
}

/// An empty name cannot be named by SQL: its value waits, and does not keep the other fields from their columns.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_with_an_empty_name_does_not_stop_the_others() {
    let mut topic = topic("[{ name: id, type: bigint }]").await;
    let row = json!({ "id": 1, "": "w", "two\nlines": "x", "q\"uote": "y", "back\\slash": "b", "plain": "z" });
    topic.load(&[event(&row, &[], 1)]).await;
    let fields = ["two\nlines", "q\"uote", "back\\slash", "plain"];
    let columns = fields.iter().zip(["two", "quote", "back", "plain_"]);
    let columns: Vec<_> = columns.map(|(field, name)| column(name, "varchar(64)", Some(field))).collect();
    topic.migrate(&columns).await;
    assert_eq!(topic.rows("two, quote, back, plain_").await, ["x y b z"]);
    assert!(topic.waiting().await.contains(&String::new()));
    let again = json!({ "id": 2, "": "w", "two\nlines": "x", "q\"uote": "y", "back\\slash": "b", "plain": "z" });
    topic.load(&[event(&again, &[], 2)]).await;
    assert_eq!(topic.rows("two, quote, back, plain_").await, ["x y b z", "x y b z"]);
    topic.close().await;
}

/// The source changes INTEGER to BIGINT, to NUMERIC, and to text, and a NUMERIC without precision has more digits than its column.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_whose_source_changes_its_type_has_every_value() {
    let decimal = |scale: u32, value: &str| json!({ "scale": scale, "value": value });
    for (from, source_type, before, after, to, wanted) in [
        ("integer", None, json!(7), json!(3_000_000_000_u64), "bigint", ["7", "3000000000"]),
        ("integer", None, json!(7), json!("8.25"), "decimal(38,6)", ["7.000000", "8.250000"]),
        ("integer", None, json!(7), json!("seven"), "varchar(64)", ["7", "seven"]),
        ("decimal(12,2)", None, json!("7.25"), json!("7.2555"), "decimal(14,4)", ["7.2500", "7.2555"]),
        ("smallint", None, json!(7), json!(70_000), "integer", ["7", "70000"]),
        ("date", None, json!("2026-03-01"), json!("in spring"), "varchar(64)", ["2026-03-01", "in spring"]),
        ("varchar(4)", None, json!("a"), json!({ "b": 1 }), "varchar(64)", ["a", "{\"b\":1}"]),
        (
            "decimal(38,10)",
            Some("io.debezium.data.VariableScaleDecimal"),
            decimal(1, "Dw=="),
            decimal(12, "TZw3BVU="),
            "decimal(38,12)",
            ["1.500000000000", "0.333333333333"],
        ),
    ] {
        let source_type = source_type.map(|name| format!(", source_type: {name}")).unwrap_or_default();
        let mut topic =
            topic(&format!("[{{ name: id, type: bigint }}, {{ name: n, type: \"{from}\"{source_type} }}]")).await;
        topic
            .load(&[event(&json!({ "id": 1, "n": before }), &[], 1), event(&json!({ "id": 2, "n": after }), &[], 2)])
            .await;
        assert_eq!(topic.waiting().await, ["n"], "{from} to {to}");
        let n = topic.contract().column("n").unwrap().clone();
        topic
            .migrate(&[shiftwork_change_data::contract::Column { column_type: column("n", to, None).column_type, ..n }])
            .await;
        assert_eq!(topic.rows("n").await.len(), 2);
        let mut rows = wanted.map(str::to_owned).to_vec();
        rows.sort();
        assert_eq!(topic.rows("n").await, rows, "{from} to {to}");
        topic.load(&[event(&json!({ "id": 3, "n": after }), &[], 3)]).await;
        rows.push(wanted[1].to_owned());
        rows.sort();
        assert_eq!(topic.rows("n").await, rows, "{from} to {to}");
        assert!(topic.waiting().await.is_empty(), "{from} to {to}");
        topic.close().await;
    }
}
