//! The fast path and the full decoder are equivalent: for any records, the staged bytes, the outcomes and the counts are equal.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod envelopes;
mod records;

use proptest::{prelude::*, sample::select};
use shiftwork_change_data::{
    compiled::Compiled,
    contract::ContractDraft,
    stage::{Outcome, Record, Stager},
    transport::{Offset, Partition},
};

use envelopes::{Envelope, enveloped, logical, schema};
use records::{FIELDS, UNKNOWN, fitting, record, value};

/// A contract with a column of every type, for every notation of its values.
fn contract(unknown: &str) -> Compiled {
    contract_of("type1", unknown)
}

fn contract_of(kind: &str, unknown: &str) -> Compiled {
    let columns = [
        ("id", "bigint", ""),
        ("part", "char(8)", ""),
        ("small", "smallint", ""),
        ("int", "integer", ""),
        ("text", "varchar(24)", ""),
        ("long", "varchar(max)", ""),
        ("code", "char(4)", ""),
        ("dec", "decimal(8,2)", ""),
        ("dec19", "decimal(19,4)", ""),
        ("whole", "decimal(5,0)", ""),
        ("unscaled", "decimal(8,2)", "Decimal"),
        ("deep", "decimal(20,10)", "Decimal(6)"),
        ("real", "real", ""),
        ("double", "double precision", ""),
        ("flag", "boolean", ""),
        ("day", "date", "io.debezium.time.Date"),
        ("iso_day", "date", ""),
        ("micros", "timestamp", "io.debezium.time.MicroTimestamp"),
        ("millis", "timestamptz", "io.debezium.time.Timestamp"),
        ("nanos", "timestamp", "io.debezium.time.NanoTimestamp"),
        ("count", "bigint", "io.debezium.time.MicroTimestamp"),
        ("zoned", "timestamptz", "io.debezium.time.ZonedTimestamp"),
        ("local", "timestamp", ""),
        ("clock", "time", "io.debezium.time.MicroTime"),
        ("doc", "super", ""),
        ("json", "super", "io.debezium.data.Json"),
        ("json_text", "varchar(64)", "io.debezium.data.Json"),
        ("bytes", "varbyte(16)", ""),
        ("bits", "varchar(16)", "io.debezium.data.Bits(12)"),
    ];
    let columns: Vec<_> = columns
        .iter()
        .map(|(name, column_type, source_type)| {
            let mut column = serde_json::json!({ "name": name, "type": column_type });
            if !source_type.is_empty() {
                column["source_type"] = (*source_type).into();
            }
            column
        })
        .collect();
    let contract: ContractDraft = serde_json::from_value(serde_json::json!({
        "contract": "orders",
        "source": { "format": "debezium", "table": "public.orders" },
        "target": { "schema": "shop", "table": "orders" },
        "key": ["id", "part"],
        "columns": columns,
        "unknown": unknown,
        "promote": { "kind": kind },
    }))
    .unwrap();
    Compiled::new(contract.check().unwrap())
}

fn staged(
    compiled: &Compiled,
    records: &[Vec<u8>],
    key: Option<&[u8]>,
    with_fast_path: bool,
) -> (Vec<Outcome>, String, String) {
    let mut stager = Stager::new(compiled, Partition::kafka("shop, \"the\" topic", 3), Vec::new());
    if !with_fast_path {
        stager = stager.without_fast_path();
    }
    let outcomes = records
        .iter()
        .zip(0..)
        .map(|(value, offset)| stager.record(Record { value, key, offset: &Offset::number(offset) }).unwrap())
        .collect();
    let finished = stager.finish();
    let counts = format!("{:?} {:?}", finished.counts, finished.range);
    (outcomes, String::from_utf8(finished.sink).unwrap(), counts)
}

fn same(compiled: &Compiled, records: &[Vec<u8>], key: Option<&[u8]>) -> Result<(), TestCaseError> {
    let (fast, full) = (staged(compiled, records, key, true), staged(compiled, records, key, false));
    prop_assert_eq!(fast.0, full.0);
    prop_assert_eq!(fast.1, full.1);
    prop_assert_eq!(fast.2, full.2);
    Ok(())
}

/// An event that is common except for one field.
fn event(field: &str, value: &str, op: &str) -> Vec<u8> {
    let source = r#"{"connector":"postgresql","name":"shop","db":"shop","sequence":"[\"1\",\"2\"]","ts_us":1793491229274810,"schema":"public","table":"orders","lsn":2}"#;
    let row = format!(r#"{{"id":1,"part":"a","{field}":{value}}}"#);
    format!(r#"{{"before":{row},"after":{row},"source":{source},"op":"{op}","ts_ms":1}}"#).into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any records, in any order.
    #[test]
    fn any_records_are_staged_as_the_full_decoder_stages_them(
        records in prop::collection::vec(record(), 1..8),
        unknown in select(vec!["capture", "capture", "freeze"]),
        kind in select(vec!["type1", "type1", "append"]),
        key in prop::option::of(select(vec!["{\"id\":1,\"part\":\"a\"}", "{\"id\":2}", "nonsense", ""])),
    ) {
        let compiled = contract_of(kind, unknown);
        same(&compiled, &records, key.map(str::as_bytes))?;
        // When the records are repeated, all keys have been learned.
        let twice: Vec<_> = records.iter().chain(&records).cloned().collect();
        same(&compiled, &twice, None)?;
    }

    /// Events of any form: any keys in any order, and any similarity to the other image or the event before.
    #[test]
    fn events_whose_values_fit_are_staged_as_the_full_decoder_stages_them(records in prop::collection::vec(fitting(), 2..10)) {
        let compiled = contract("capture");
        let twice: Vec<_> = records.iter().chain(&records).cloned().collect();
        same(&compiled, &twice, None)?;
    }

    /// Any value of any column, in an event that is otherwise common, so that only the value can keep it from the fast path.
    #[test]
    fn any_value_of_any_column_is_staged_as_the_full_decoder_stages_it(
        values in prop::collection::vec((2..=UNKNOWN + 1, value()), 1..12),
        op in select(vec!["c", "u", "d"]),
    ) {
        let compiled = contract("capture");
        let records: Vec<_> = values
            .iter()
            .flat_map(|(field, value)| {
                let event = event(FIELDS[*field], value, op);
                // The keys are learned from the first event.
                [event.clone(), event]
            })
            .collect();
        same(&compiled, &records, None)?;
    }
    /// Events in envelopes with any schema, in any form; then the schema changes.
    #[test]
    fn events_in_an_envelope_are_staged_as_the_full_decoder_stages_them(
        schemas in prop::collection::vec(schema(), 1..3),
        records in prop::collection::vec((prop_oneof![3 => fitting().boxed(), 1 => record().boxed()], any::<prop::sample::Index>(), Envelope::any()), 2..10),
        unknown in select(vec!["capture", "capture", "freeze"]),
    ) {
        let records: Vec<_> =
            records.iter().map(|(record, schema, envelope)| enveloped(record, &schemas[schema.index(schemas.len())], *envelope)).collect();
        let twice: Vec<_> = records.iter().chain(&records).cloned().collect();
        same(&contract(unknown), &twice, None)?;
    }

    /// Any value of any column with any type in the schema.
    #[test]
    fn any_value_of_any_type_is_staged_as_the_full_decoder_stages_it(
        values in prop::collection::vec((2..=UNKNOWN, logical(), value()), 1..12),
        envelope in select(vec![Envelope::SchemaFirst, Envelope::SchemaLast]),
    ) {
        let records: Vec<_> = values
            .iter()
            .flat_map(|(field, logical, value)| {
                let event = event(FIELDS[*field], value, "u");
                let schema = envelopes::of_fields(&[(FIELDS[*field], logical)]);
                let event = enveloped(&event, &schema, envelope);
                // The keys and the schema are learned from the first event.
                [event.clone(), event]
            })
            .collect();
        same(&contract("capture"), &records, None)?;
    }
}
