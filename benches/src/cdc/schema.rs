//! The schema that a connector with default settings writes into each record, as Kafka Connect's `JsonConverter` and
//! Debezium's PostgreSQL connector produce it.

/// The schema of the events, as JSON text.
pub(crate) fn text() -> String {
    let image = struct_of("shop.public.orders.Value", &COLUMNS);
    let member = |name: &str, schema: &str| format!(r#"{{{schema},"optional":true,"field":"{name}"}}"#);
    let source = struct_of("io.debezium.connector.postgresql.Source", &SOURCE);
    let transaction = struct_of("event.block", &TRANSACTION);
    let plain = |(name, schema): (&str, &str)| format!(r#"{{{schema},"field":"{name}"}}"#);
    let parts = [
        member("before", &image),
        member("after", &image),
        format!(r#"{{{source},"optional":false,"field":"source"}}"#),
        member("transaction", &transaction),
    ];
    let fields: Vec<_> = parts.into_iter().chain(REST.map(plain)).collect();
    format!(
        r#"{{"type":"struct","fields":[{}],"optional":false,"name":"shop.public.orders.Envelope","version":2}}"#,
        fields.join(",")
    )
}

fn struct_of(name: &str, fields: &[(&str, &str)]) -> String {
    let fields: Vec<_> = fields.iter().map(|(name, schema)| format!(r#"{{{schema},"field":"{name}"}}"#)).collect();
    let version = if name.ends_with("Source") || name.ends_with("block") { r#","version":1"# } else { "" };
    format!(r#""type":"struct","fields":[{}],"name":"{name}"{version}"#, fields.join(","))
}

const TEXT: &str = r#""type":"string","optional":false"#;
const OPTIONAL_TEXT: &str = r#""type":"string","optional":true"#;
const LONG: &str = r#""type":"int64","optional":false"#;
const OPTIONAL_LONG: &str = r#""type":"int64","optional":true"#;
const MONEY: &str = r#""type":"bytes","optional":false,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2","connect.decimal.precision":"12"}"#;
const INSTANT: &str = r#""type":"int64","optional":false,"name":"io.debezium.time.MicroTimestamp","version":1"#;

const COLUMNS: [(&str, &str); 18] = [
    ("id", LONG),
    ("customer_id", r#""type":"int32","optional":false"#),
    ("status", TEXT),
    ("currency", TEXT),
    ("total", MONEY),
    ("tax", MONEY),
    ("discount", MONEY),
    ("items", r#""type":"int16","optional":false"#),
    ("weight", r#""type":"double","optional":false"#),
    ("gift", r#""type":"boolean","optional":false"#),
    ("email", TEXT),
    ("address", TEXT),
    ("note", OPTIONAL_TEXT),
    ("coupon", OPTIONAL_TEXT),
    ("ordered_on", r#""type":"int32","optional":false,"name":"io.debezium.time.Date","version":1"#),
    ("created_at", INSTANT),
    ("updated_at", INSTANT),
    // The column that is not in the contract.
    ("channel", OPTIONAL_TEXT),
];

const SOURCE: [(&str, &str); 14] = [
    ("version", TEXT),
    ("connector", TEXT),
    ("name", TEXT),
    ("ts_ms", LONG),
    (
        "snapshot",
        r#""type":"string","optional":true,"name":"io.debezium.data.Enum","version":1,"parameters":{"allowed":"true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"},"default":"false""#,
    ),
    ("db", TEXT),
    ("sequence", OPTIONAL_TEXT),
    ("ts_us", OPTIONAL_LONG),
    ("ts_ns", OPTIONAL_LONG),
    ("schema", TEXT),
    ("table", TEXT),
    ("txId", OPTIONAL_LONG),
    ("lsn", OPTIONAL_LONG),
    ("xmin", OPTIONAL_LONG),
];

const TRANSACTION: [(&str, &str); 3] = [("id", TEXT), ("total_order", LONG), ("data_collection_order", LONG)];

const REST: [(&str, &str); 4] =
    [("op", TEXT), ("ts_ms", OPTIONAL_LONG), ("ts_us", OPTIONAL_LONG), ("ts_ns", OPTIONAL_LONG)];
