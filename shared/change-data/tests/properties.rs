//! Properties of every record: no panic, no value is lost, and every row reads back.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::float_cmp, clippy::cast_precision_loss, reason = "a number must read back exactly")]

use std::{collections::BTreeMap, fs, path::Path, sync::LazyLock};

use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::{Map, Value, json};
use shiftwork_change_data::{
    compiled::Compiled,
    contract::{propose, read},
    csv::NULL,
    row::METADATA_COLUMNS,
    stage::{Outcome, Record, Stager},
    transport::{Offset, Partition},
};

const CONTRACT: &str = "
contract: anything
source: { format: debezium, table: public.anything }
target: { schema: shop, table: anything }
key: [id]
columns:
  - { name: id, type: bigint }
  - { name: whole, type: bigint }
  - { name: amount, type: 'decimal(10,2)' }
  - { name: ratio, type: double precision }
  - { name: yes, type: boolean }
  - { name: text, type: varchar(12) }
  - { name: day, type: date }
  - { name: doc, type: super }
";

fn anything() -> Compiled {
    Compiled::new(read("anything.yaml", CONTRACT).unwrap())
}

/// The rows of a record, by column, without NULL.
fn staged(compiled: &Compiled, value: &[u8]) -> (Outcome, Vec<BTreeMap<String, String>>) {
    let mut stager = Stager::new(compiled, Partition::kafka("t", 0), Vec::new());
    let offset = Offset::number(1);
    let outcome = stager.record(Record { value, key: None, offset: &offset }).unwrap();
    let names: Vec<_> = compiled.contract().columns().iter().map(|column| column.name.as_str()).collect();
    let sink = stager.finish().sink;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(sink.as_slice());
    let rows = reader.records().map(|row| {
        let row = row.unwrap();
        assert_eq!(row.len(), names.len() + METADATA_COLUMNS.len());
        let columns = names.iter().copied().chain(METADATA_COLUMNS.map(|(name, _)| name));
        let values = columns.zip(&row).filter(|(_, value)| *value != NULL);
        values.map(|(column, value)| (column.to_owned(), value.to_owned())).collect()
    });
    (outcome, rows.collect())
}

/// Texts without NUL, which among the source databases only MySQL stores.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[^\0]{0,16}",
        "-?[0-9]{1,22}(\\.[0-9]{1,4})?([eE]-?[0-9]{1,3})?",
        prop::sample::select(vec![
            "\\N",
            "true",
            "false",
            "NaN",
            "-Infinity",
            "2026-02-28",
            "2026-02-30",
            "0000-00-00",
            "",
            " ",
            "\"",
            ",",
            "\r\n",
            "2026-02-28T00:00:00Z",
            "\u{feff}x",
            "\\",
            "__debezium_unavailable",
            "{}",
            "null",
        ])
        .prop_map(ToOwned::to_owned),
    ]
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1000i32..1000, 0i32..4).prop_map(|(number, places)| json!(f64::from(number) / 10f64.powi(places))),
        any::<f64>().prop_map(|number| json!(number)),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((text(), inner), 0..5).prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn row() -> impl Strategy<Value = Map<String, Value>> {
    let known =
        prop::sample::select(vec!["whole", "amount", "ratio", "yes", "text", "day", "doc"]).prop_map(ToOwned::to_owned);
    let field = prop_oneof![3 => known, 1 => "[a-zé\"\\\\ ]{1,8}"];
    vec((field, document()), 0..10).prop_map(|fields| fields.into_iter().filter(|(name, _)| name != "id").collect())
}

fn event(row: &Map<String, Value>) -> String {
    let mut after = row.clone();
    after.insert("id".into(), json!(1));
    json!({ "op": "c", "after": after, "source":
        { "connector": "postgresql", "schema": "public", "table": "anything", "ts_ms": 1, "lsn": 1 } })
    .to_string()
}

/// Whether a column's cell is equal to the source's value.
fn says(column: &str, cell: &str, value: &Value) -> bool {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match column {
        "whole" => cell
            .parse::<i64>()
            .is_ok_and(|cell| text.parse() == Ok(cell) || text.parse::<f64>().is_ok_and(|text| text == cell as f64)),
        "amount" => cell.parse::<f64>() == text.parse::<f64>(),
        "ratio" => {
            let (cell, text): (f64, f64) = (cell.parse().unwrap(), text.parse().unwrap());
            cell == text || (cell.is_nan() && text.is_nan())
        }
        "yes" => cell == text || text.parse() == Ok(f64::from(u8::from(cell == "true"))),
        "text" | "day" => cell == text || serde_json::from_str(cell).is_ok_and(|cell| same(&cell, value)),
        _ => same(&serde_json::from_str(cell).unwrap(), value),
    }
}

/// Whether two JSON values are equal. A number that Redshift cannot hold as a number may have become its text.
fn same(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::String(found), Value::Number(wanted)) => *found == wanted.to_string(),
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, wanted)| same(found, wanted))
        }
        (Value::Object(found), Value::Object(wanted)) => {
            found.len() == wanted.len()
                && wanted.iter().all(|(key, wanted)| found.get(key).is_some_and(|found| same(found, wanted)))
        }
        // serde_json parses some doubles inexactly, so both texts are parsed with it.
        (found, wanted) => *found == serde_json::from_str::<Value>(&wanted.to_string()).unwrap(),
    }
}

/// The golden events, and their contracts.
static SEEDS: LazyLock<Vec<(Compiled, Vec<String>)>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/events");
    let mut seeds = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let contract = read("c", &fs::read_to_string(path.join("contract.yaml")).unwrap()).unwrap();
        let events = fs::read_to_string(path.join("events.ndjson")).unwrap();
        seeds.push((Compiled::new(contract), events.lines().map(ToOwned::to_owned).collect()));
    }
    seeds
});

/// Damage to a record: bytes are replaced, removed or repeated, or a value is replaced.
#[derive(Debug, Clone)]
enum Damage {
    Replace(Index, u8),
    Cut(Index, usize),
    Double(Index, usize),
    Swap(Index, &'static str),
}

fn damage() -> impl Strategy<Value = Damage> {
    let words =
        vec!["null", "{}", "[]", "\"\"", "-1", "1e999", "{\"a\":", "\\ud800", "\\u0000", "true", "9223372036854775808"];
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        (any::<Index>(), 1usize..40).prop_map(|(at, length)| Damage::Cut(at, length)),
        (any::<Index>(), 1usize..40).prop_map(|(at, length)| Damage::Double(at, length)),
        (any::<Index>(), prop::sample::select(words)).prop_map(|(at, word)| Damage::Swap(at, word)),
    ]
}

fn damaged(record: &str, damages: &[Damage]) -> Vec<u8> {
    let mut bytes = record.as_bytes().to_vec();
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        match damage {
            Damage::Replace(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Damage::Cut(at, length) => {
                let at = at.index(bytes.len());
                bytes.drain(at..(at + length).min(bytes.len()));
            }
            Damage::Double(at, length) => {
                let at = at.index(bytes.len());
                let part = bytes[at..(at + length).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
            // Replace the value after a colon.
            Damage::Swap(at, word) => {
                let colons: Vec<_> =
                    bytes.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at).collect();
                if colons.is_empty() {
                    continue;
                }
                let start = colons[at.index(colons.len())] + 1;
                let length = bytes[start..].iter().position(|byte| matches!(byte, b',' | b'}')).unwrap_or(0);
                bytes.splice(start..start + length, word.bytes());
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn every_value_is_in_its_column_or_in_missing_data(row in row()) {
        let (outcome, rows) = staged(&anything(), event(&row).as_bytes());
        prop_assert_eq!(outcome, Outcome::Staged(1));
        let missing: Value = rows[0].get("dw_md_missing_data").map_or(Value::Null, |json| serde_json::from_str(json).unwrap());
        for (name, value) in &row {
            let waits = missing.get(name);
            let is_there = match rows[0].get(name) {
                Some(cell) => says(name, cell, value) && waits.is_none(),
                None => value.is_null() || waits.is_some_and(|found| same(found, value)),
            };
            prop_assert!(is_there, "{}: {} in {:?}", name, value, rows[0]);
        }
        prop_assert_eq!(rows[0].get("dw_md_unchanged"), None);
    }

    #[test]
    fn any_bytes_are_staged_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        let _ = staged(&anything(), &bytes);
        let _ = propose([bytes.as_slice()]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(800) })]

    /// A damaged record is staged or refused. Every staged row has all its columns, and valid JSON in its JSON columns.
    #[test]
    fn damaged_records_make_whole_rows_or_none(seed in any::<Index>(), which in any::<Index>(), damages in vec(damage(), 1..4)) {
        let (compiled, events) = &SEEDS[seed.index(SEEDS.len())];
        let record = damaged(&events[which.index(events.len())], &damages);
        let (outcome, rows) = staged(compiled, &record);
        let is_staged = matches!(outcome, Outcome::Staged(number) if number == rows.len() && number > 0);
        prop_assert!(is_staged || rows.is_empty());
        for row in &rows {
            for document in ["dw_md_missing_data", "dw_md_changes"] {
                if let Some(json) = row.get(document) {
                    prop_assert!(serde_json::from_str::<Map<String, Value>>(json).is_ok_and(|found| !found.is_empty()), "{}", json);
                }
            }
            for name in ["dw_md_changed_at", "dw_md_operation", "dw_md_position", "dw_md_partition", "dw_md_offset"] {
                prop_assert!(row.contains_key(name), "{}", name);
            }
        }
        for contract in propose([record.as_slice()]) {
            let problems = read("proposed.yaml", &contract.yaml()).err().unwrap_or_default();
            // A user has to add the key; the rest of the proposal must be valid.
            prop_assert!(problems.iter().all(|problem| problem.message.contains("`key`")), "{:?}", problems);
        }
    }
}

#[test]
fn drift_of_100_000_keys_and_records_of_10_mb_are_staged() {
    let wide: Map<String, Value> = (0..100_000).map(|number| (format!("k{number}"), json!(number))).collect();
    let (outcome, rows) = staged(&anything(), event(&wide).as_bytes());
    assert_eq!(outcome, Outcome::Staged(1));
    let missing: Map<String, Value> = serde_json::from_str(&rows[0]["dw_md_missing_data"]).unwrap();
    assert_eq!(missing.len(), 100_000);

    let long = json!({ "doc": (vec!["x".repeat(60_000); 170]), "text": "x".repeat(10_000_000) });
    let (outcome, rows) = staged(&anything(), event(long.as_object().unwrap()).as_bytes());
    assert_eq!(outcome, Outcome::Staged(1));
    assert!(rows[0]["doc"].len() > 10_000_000);
    let missing: Value = serde_json::from_str(&rows[0]["dw_md_missing_data"]).unwrap();
    assert_eq!(missing["text"].as_str().unwrap().len(), 65_535);
    assert!(rows[0]["dw_md_changes"].contains("string cut to 65535 bytes"));
}
