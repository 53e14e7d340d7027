//! Properties that must hold for any bytes: no panic, equal results of the fast path and the full decoder, and rows that read back.

use std::sync::LazyLock;

use shiftwork_change_data::{
    compiled::Compiled,
    contract::{self, Format},
    csv::NULL,
    row::METADATA_COLUMNS,
    stage::{Outcome, Record, Stager},
    transport::{Offset, Partition},
};

/// The contracts of the golden tests, with the folder of their events.
pub const EVENTS: [(&str, &str); 9] = [
    ("postgresql", include_str!("../../tests/events/postgresql/contract.yaml")),
    ("mysql", include_str!("../../tests/events/mysql/contract.yaml")),
    ("sqlserver", include_str!("../../tests/events/sqlserver/contract.yaml")),
    ("oracle", include_str!("../../tests/events/oracle/contract.yaml")),
    ("logical-types", include_str!("../../tests/events/logical-types/contract.yaml")),
    ("logical-types-without-schema", include_str!("../../tests/events/logical-types-without-schema/contract.yaml")),
    ("mongodb", include_str!("../../tests/events/mongodb/contract.yaml")),
    ("dynamodb-stream", include_str!("../../tests/events/dynamodb-stream/contract.yaml")),
    ("dynamodb-kinesis", include_str!("../../tests/events/dynamodb-kinesis/contract.yaml")),
];

static CONTRACTS: LazyLock<Vec<Compiled>> = LazyLock::new(|| {
    let compile = |(name, text): (&str, &str)| {
        let contract = contract::read(name, text).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
        Compiled::new(contract)
    };
    EVENTS.map(compile).into()
});

/// Stages each line of the bytes as a record, by every contract of a format.
pub fn records(format: Format, bytes: &[u8]) {
    let records: Vec<_> = bytes.split(|byte| *byte == b'\n').collect();
    for compiled in CONTRACTS.iter().filter(|compiled| compiled.contract().source().format == format) {
        stage(compiled, &records);
    }
}

/// Types that the schema of an event can have.
const TYPES: [&str; 8] = [
    r#""type":"string""#,
    r#""type":"bytes""#,
    r#""type":"int32","name":"io.debezium.time.Date""#,
    r#""type":"int64","name":"io.debezium.time.MicroTimestamp""#,
    r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}"#,
    r#""type":"bytes","name":"io.debezium.data.Bits","parameters":{"length":"12"}"#,
    r#""type":"struct","name":"io.debezium.data.VariableScaleDecimal""#,
    r#""type":"map","values":{"type":"bytes"}"#,
];

/// Stages all bytes except the last two as the value of one column of a common event, without an envelope and in an envelope with a
/// schema. The last byte selects the column, and the byte before it selects the column's type in the schema.
pub fn values(bytes: &[u8]) {
    let Some((pick, bytes)) = bytes.split_last() else { return };
    let (pick_type, value) = bytes.split_last().unwrap_or((&0, &[]));
    let Ok(value) = std::str::from_utf8(value) else { return };
    let debezium = CONTRACTS.iter().filter(|compiled| compiled.contract().source().format == Format::Debezium);
    let mut columns =
        debezium.flat_map(|compiled| (0..compiled.columns().len()).map(move |index| (compiled, index))).cycle();
    let Some((compiled, index)) = columns.nth(usize::from(*pick)) else { return };
    let contract = compiled.contract();
    let (schema, table) = contract.source().table.rsplit_once('.').unwrap_or_default();
    let picked = &contract.columns()[index];
    let keys =
        contract.columns().iter().filter(|column| contract.is_key(&column.name) && column.name != picked.name);
    let keys: String = keys.map(|key| format!("\"{}\":1,", key.field())).collect();
    let source = format!(
        r#"{{"connector":"postgresql","name":"shop","db":"shop","schema":"{schema}","table":"{table}","ts_us":1793491229274810,"lsn":2,"sequence":"[\"1\",\"2\"]"}}"#
    );
    let row = format!("{{{keys}\"{}\":{value},\"new\":{value}}}", picked.field());
    let event = format!(r#"{{"before":null,"after":{row},"source":{source},"op":"c","ts_ms":1}}"#);
    let of = TYPES[usize::from(*pick_type) % TYPES.len()];
    let fields = format!(r#"{{{of},"field":"{}"}},{{{of},"field":"new"}}"#, picked.field());
    let schema = format!(r#"{{"fields":[{{"type":"struct","fields":[{fields}],"field":"after"}}]}}"#);
    let enveloped = format!(r#"{{"schema":{schema},"payload":{event}}}"#);
    // The fast path learns the form from the first event of each kind.
    stage(compiled, &[&event, &event, &enveloped, &enveloped].map(|record| record.as_bytes()));
}

fn stage(compiled: &Compiled, records: &[&[u8]]) {
    let fast = staged(compiled, records, false);
    let full = staged(compiled, records, true);
    assert_eq!(fast.0, full.0);
    assert_eq!(String::from_utf8(fast.1), String::from_utf8(full.1.clone()));
    let contract = compiled.contract();
    let types: Vec<_> = contract
        .columns
        .iter()
        .map(|column| column.column_type.as_str())
        .chain(METADATA_COLUMNS.map(|(_, of)| of))
        .collect();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(full.1.as_slice());
    for row in reader.records() {
        let row = row.expect("a row is UTF-8 and has as many fields as the first");
        assert_eq!(row.len(), types.len());
        for (value, of) in row.iter().zip(&types).filter(|(value, of)| **of == "super" && *value != NULL) {
            assert!(serde_json::from_str::<serde::de::IgnoredAny>(value).is_ok(), "{of}: {value}");
        }
    }
}

fn staged(compiled: &Compiled, records: &[&[u8]], full: bool) -> (Vec<Outcome>, Vec<u8>) {
    let stager = Stager::new(compiled, Partition::kafka("topic", 0), Vec::new());
    let mut stager = if full { stager.without_fast_path() } else { stager };
    let stage = |(value, offset): (&&[u8], u64)| {
        // The first half of a record is also used as its key, so that the code for keys is covered.
        let key = value.get(..value.len() / 2);
        stager.record(Record { value, key, offset: &Offset::number(offset) }).expect("memory takes any bytes")
    };
    let outcomes = records.iter().zip(0..).map(stage).collect();
    (outcomes, stager.finish().sink)
}
