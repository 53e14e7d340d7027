//! Snapshots of the rows of real change events from each connector.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{fmt::Write as _, fs, path::Path};

use shiftwork_change_data::{
    compiled::Compiled,
    contract::{propose, read},
    csv::NULL,
    row::METADATA_COLUMNS,
    stage::{Outcome, Record, Stager},
    transport::{Offset, Partition},
};

/// The record key of an event, for MongoDB events that need one.
fn key_of(line: &str) -> Option<&'static [u8]> {
    let is_keyed = line.contains(r#""ord":2"#) || line.contains(r#""ord":5"#);
    is_keyed.then_some(br#"{"schema":{},"payload":{"id":"{\"$oid\":\"596e275826f08b2730779e1f\"}"}}"#)
}

fn staged(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/events").join(name);
    let text = fs::read_to_string(folder.join("contract.yaml")).unwrap();
    let compiled = Compiled::new(read("contract.yaml", &text).unwrap());
    let names: Vec<_> = compiled.contract().columns().iter().map(|column| column.name.clone()).collect();
    let mut out = String::new();
    for (number, line) in fs::read_to_string(folder.join("events.ndjson")).unwrap().lines().enumerate() {
        let mut stager = Stager::new(&compiled, Partition::kafka("topic", 0), Vec::new());
        let offset = Offset::number(number as u64);
        let record = Record { value: line.as_bytes(), key: key_of(line), offset: &offset };
        let _ = match stager.record(record).unwrap() {
            Outcome::Staged(rows) => writeln!(out, "{number}: staged, {rows} row(s)"),
            Outcome::Skipped(reason) => writeln!(out, "{number}: set aside, {reason}"),
            Outcome::OtherTable(identity) => writeln!(out, "{number}: of {}", identity.table()),
            Outcome::Refused(refusal) => writeln!(out, "{number}: refused, {refusal}"),
        };
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).from_reader(std::io::Cursor::new(stager.finish().sink));
        for row in reader.records() {
            let row = row.unwrap();
            let columns = names.iter().map(String::as_str).chain(METADATA_COLUMNS.map(|(name, _)| name));
            assert_eq!(row.len(), names.len() + METADATA_COLUMNS.len());
            for (column, value) in columns.zip(&row).filter(|(_, value)| *value != NULL) {
                let _ = writeln!(out, "    {column} = {}", value.escape_debug());
            }
            out.push('\n');
        }
    }
    out
}

macro_rules! golden {
    ($($test:ident: $folder:literal)*) => {
        $(#[test]
        fn $test() {
            insta::assert_snapshot!(staged($folder));
        })*
    };
}

golden! {
    postgresql: "postgresql"
    mysql: "mysql"
    sql_server: "sqlserver"
    oracle: "oracle"
    mongodb: "mongodb"
    dynamodb_stream: "dynamodb-stream"
    dynamodb_kinesis: "dynamodb-kinesis"
    every_logical_type_by_the_events_schema: "logical-types"
    every_logical_type_by_the_contract: "logical-types-without-schema"
}

#[test]
fn contracts_are_proposed() {
    let mut out = String::new();
    for name in ["postgresql", "mysql", "mongodb", "dynamodb-stream", "logical-types"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/events").join(name);
        let events = fs::read_to_string(folder.join("events.ndjson")).unwrap();
        for contract in propose(events.lines().map(str::as_bytes)) {
            out.push_str(&contract.yaml());
            out.push('\n');
        }
    }
    insta::assert_snapshot!(out);
}
