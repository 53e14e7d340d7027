//! Change events in the format of Debezium's PostgreSQL connector: `orders` with the schema envelope, the other tables
//! without.

use serde_json::{Value, json};

use super::{Row, Table};

/// A position in the source's log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogPosition {
    /// Time of the commit, in milliseconds since 1970.
    pub(crate) milliseconds: i64,
    /// Log sequence number in the write-ahead log.
    pub(crate) lsn: u64,
    /// Transaction id.
    pub(crate) transaction: u64,
}

/// Debezium's placeholder for a value that is not in the log.
const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// The row after an update as it is in the log: long texts that did not change are replaced by the placeholder.
pub(crate) fn without_unchanged(before: &Row, after: &Row, long: usize) -> Row {
    let logged = after.iter().map(|(column, value)| {
        let repeated = before.get(column) == Some(value);
        match value.as_str() {
            Some(text) if repeated && text.len() >= long => (column.clone(), UNAVAILABLE.into()),
            Some(_) | None => (column.clone(), value.clone()),
        }
    });
    logged.collect()
}

/// A change event.
pub(crate) fn event(
    table: Table,
    op: &str,
    at: LogPosition,
    before: Option<&Row>,
    after: Option<&Row>,
    coupons: bool,
) -> Value {
    let image = |row: Option<&Row>| row.map_or(Value::Null, |row| encoded(table, row));
    let payload = json!({
        "before": image(before),
        "after": image(after),
        "source": {
            "version": "3.0.0.Final", "connector": "postgresql", "name": "shop", "ts_ms": at.milliseconds, "snapshot": "false",
            "db": "shop", "sequence": format!("[\"{}\",\"{}\"]", at.lsn, at.lsn), "ts_us": at.milliseconds * 1_000,
            "ts_ns": at.milliseconds * 1_000_000, "schema": "public", "table": table.name(), "txId": at.transaction,
            "lsn": at.lsn, "xmin": null
        },
        "transaction": null,
        "op": op,
        "ts_ms": at.milliseconds + 180,
    });
    match table {
        Table::Orders => json!({ "schema": envelope(coupons), "payload": payload }),
        Table::Customers | Table::Sessions => payload,
    }
}

/// A row in the encoding of the connector: NUMERIC as the bytes of its unscaled value, TIMESTAMP in microseconds.
fn encoded(table: Table, row: &Row) -> Value {
    let columns = row.iter().map(|(column, value)| {
        let value = match (table, column.as_str(), value) {
            (Table::Orders, "amount", Value::String(amount)) => decimal(amount).into(),
            (Table::Orders, "placed_at", value) => value.as_i64().map_or(Value::Null, |at| (at * 1_000).into()),
            (Table::Orders | Table::Customers | Table::Sessions, _, value) => value.clone(),
        };
        (column.clone(), value)
    });
    Value::Object(columns.collect())
}

/// `12.34` as `org.apache.kafka.connect.data.Decimal` with scale 2: base64 of 1234 as big-endian two's complement.
fn decimal(amount: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let unscaled: i64 = amount.replace('.', "").parse().unwrap_or_default();
    let bytes = unscaled.to_be_bytes();
    // The minimum number of bytes that keeps the sign.
    let skip = bytes.windows(2).take_while(|pair| pair[0] == 0 && pair[1] < 0x80).count();
    STANDARD.encode(&bytes[skip..])
}

/// The schema of an event of `orders`, as Kafka Connect's JSON converter writes it.
fn envelope(coupons: bool) -> Value {
    let mut fields = vec![
        json!({ "type": "int64", "optional": false, "field": "id" }),
        json!({ "type": "int64", "optional": true, "field": "customer_id" }),
        json!({ "type": "string", "optional": true, "field": "status" }),
        json!({
            "type": "bytes", "optional": true, "field": "amount", "name": "org.apache.kafka.connect.data.Decimal", "version": 1,
            "parameters": { "scale": "2", "connect.decimal.precision": "12" }
        }),
        json!({ "type": "int64", "optional": true, "field": "placed_at", "name": "io.debezium.time.MicroTimestamp", "version": 1 }),
        json!({ "type": "string", "optional": true, "field": "note" }),
    ];
    if coupons {
        fields.push(json!({ "type": "string", "optional": true, "field": "coupon" }));
    }
    let image = |field: &str| json!({ "type": "struct", "fields": fields, "optional": true, "name": "shop.public.orders.Value", "field": field });
    json!({
        "type": "struct", "optional": false, "name": "shop.public.orders.Envelope", "version": 2,
        "fields": [image("before"), image("after"), { "type": "string", "optional": false, "field": "op" }]
    })
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn amounts_have_the_minimum_number_of_bytes_that_keeps_the_sign() {
        assert_eq!(decimal("0.05"), "BQ==");
        assert_eq!(decimal("1.28"), "AIA=");
        assert_eq!(decimal("12.34"), "BNI=");
    }
}
