//! The types, names and targets of proposed contracts.

use proptest::{prelude::*, sample::select};

use super::{Proposal, column_name, propose};
use crate::{
    compiled::Compiled,
    contract::{TableContract, read, shared_tables},
    stage::{Outcome, Record, Stager},
    transport::{Offset, Partition},
};

#[test]
fn proposed_names_do_not_need_quotes() {
    assert_eq!(column_name("orderId"), "order_id");
    assert_eq!(column_name("größe \"mm\""), "gr__e__mm_");
    assert_eq!(column_name("1st"), "c_1st");
    assert_eq!(column_name("dw_md_offset"), "c_dw_md_offset");
    assert_eq!(column_name("oid"), "c_oid");
    assert_eq!(column_name(""), "c_");
}

#[test]
fn a_proposal_from_values_is_a_valid_contract() {
    let event = r#"{"op":"c","after":{"id":1,"Id":2,"price":9.95,"ok":true,"tags":["a"],"at":"2026-03-01T00:00:00Z",
            "note":"x","gone":null,"null":1e300},"source":{"connector":"postgresql","schema":"public","table":"orders","ts_ms":1,"lsn":1}}"#;
    let mut proposal = Proposal::default();
    proposal.record(event.as_bytes(), Some(br#"{"id":1}"#)).unwrap();
    let contract = proposal.contracts().remove(0);
    let yaml = contract.yaml();
    insta::assert_snapshot!(yaml);
    assert_eq!(read("orders.yaml", &yaml).unwrap().draft(), contract);
}

/// Fields that a contract cannot name stay in `dw_md_missing_data`.
#[test]
fn a_proposal_leaves_out_fields_that_a_contract_cannot_name() {
    let fields: Vec<String> = (0..999).map(|number| format!("\"{number:x>95}\":1")).collect();
    let event = format!(
        r#"{{"op":"c","after":{{"id":1,"n\u0000ul":1,"oid":1,{}}},"source":{{"connector":"postgresql","schema":"public","table":"orders","ts_ms":1,"lsn":1}}}}"#,
        fields.join(",")
    );
    let contract = propose([event.as_bytes()]).remove(0).check().unwrap();
    assert!(contract.columns().len() > 400, "{}", contract.columns().len());
    assert!(contract.column_of_field("n\0ul").is_none());
    assert_eq!(contract.column_of_field("oid").map(|column| column.name.as_str()), Some("c_oid"));
}

#[test]
fn a_contract_is_written_and_read_back() {
    let text = "
contract: orders
source: { format: dynamodb, table: 'my table', server: shop, unavailable_value: '-', generation: 2 }
target: { schema: shop, table: orders, staging_schema: stage, distkey: id, sortkey: [id] }
key: [id]
columns: [{ name: id, type: 'decimal(12,2)', from: 'Id', source_type: 'Decimal(2)' }]
unknown: evolve
promote: { kind: type2, deletes: close, tombstones_kept: 8w }
oversized: nullify
workflow: nightly
load_every: 5m
";
    let contract = read("orders.yaml", text).unwrap();
    let yaml = contract.draft().yaml();
    assert_eq!(read("orders.yaml", &yaml).unwrap(), contract, "{yaml}");
}

/// Proposes a contract for events of one field `f`, of this type in the schema and with these values.
fn proposed(connector: &str, field: &str, values: &[&str]) -> TableContract {
    let mut proposal = Proposal::default();
    for value in values {
        let event = format!(
            r#"{{"schema":{{"type":"struct","fields":[{{"field":"after","type":"struct","fields":[{{"field":"id","type":"int64"}},{{"field":"f",{field}}}]}}]}},"payload":{{"op":"c","after":{{"id":1,"f":{value}}},"source":{{"connector":"{connector}","db":"d","table":"t","ts_ms":1,"lsn":1,"file":"b.1","pos":1}}}}}}"#
        );
        proposal.record(event.as_bytes(), None).unwrap();
    }
    proposal.contracts().remove(0).check().unwrap()
}

#[test]
fn the_type_of_a_schema_gives_way_to_the_values() {
    let bits = r#""type":"bytes","name":"io.debezium.data.Bits","parameters":{"length":"2147483647"}"#;
    let variable = r#""type":"struct","name":"io.debezium.data.VariableScaleDecimal""#;
    let micro = r#""type":"int64","name":"io.debezium.time.MicroTime""#;
    let state = r#""type":"string","name":"io.debezium.data.Enum","parameters":{"allowed":"shipped,returned","__debezium.source.column.length":"1"}"#;
    let set = r#""type":"string","name":"io.debezium.data.EnumSet","parameters":{"allowed":"a,b","__debezium.source.column.length":"1"}"#;
    let decimal = r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"4"}"#;
    for (connector, field, values, wanted) in [
        ("postgresql", bits, &["\"Cg==\""][..], "varchar(64)"),
        ("mysql", state, &["\"shipped\""], "varchar(64)"),
        ("mysql", set, &["\"a,b\""], "varchar(64)"),
        ("postgresql", variable, &[r#"{"scale":2,"value":"TZw3BVU="}"#], "decimal(38,10)"),
        (
            "postgresql",
            variable,
            &[r#"{"scale":12,"value":"TZw3BVU="}"#, r#"{"scale":0,"value":"Ag=="}"#],
            "decimal(38,12)",
        ),
        ("postgresql", variable, &[r#"{"scale":50,"value":"TZw3BVU="}"#], "varchar(256)"),
        ("mysql", micro, &["1"], "bigint"),
        ("mysql", micro, &["108000000000", "-3020399000000"], "bigint"),
        ("postgresql", micro, &["1"], "time"),
        ("postgresql", micro, &["1", "108000000000"], "bigint"),
        ("mysql", r#""type":"int64","name":"io.debezium.time.Timestamp""#, &["1", "9223372036854775807"], "bigint"),
        ("mysql", decimal, &["\"MDk=\"", "\"Bbo4\""], "decimal(38,6)"),
        ("mysql", r#""type":"int32""#, &["7", "3000000000"], "bigint"),
        (
            "mysql",
            r#""type":"string","parameters":{"__debezium.source.column.length":"1"}"#,
            &["\"longer than 1\""],
            "varchar(64)",
        ),
        ("mysql", r#""type":"string","name":"io.debezium.data.Uuid""#, &["\"ä\""], "varchar(64)"),
    ] {
        let contract = proposed(connector, field, values);
        assert_eq!(contract.columns()[1].column_type.to_string(), wanted, "{field} {values:?}");
    }
    // The scale of the values, not that of the column, decodes a decimal.
    let contract = proposed("mysql", decimal, &["\"Bbo4\""]);
    assert_eq!(contract.draft().columns[1].source_type.as_deref(), Some("org.apache.kafka.connect.data.Decimal(2)"));
}

proptest! {
    /// No column of a proposed contract refuses a value that was seen.
    #[test]
    fn a_proposed_column_holds_every_value(
        connector in select(vec!["mysql", "postgresql"]),
        field in select(vec![
            "", r#""type":"int16""#, r#""type":"int32""#, r#""type":"int64""#, r#""type":"float32""#, r#""type":"double""#,
            r#""type":"boolean""#, r#""type":"string""#, r#""type":"int32","name":"io.debezium.time.Date""#,
            r#""type":"int64","name":"io.debezium.time.MicroTime""#, r#""type":"int64","name":"io.debezium.time.NanoTimestamp""#,
            r#""type":"string","name":"io.debezium.time.ZonedTimestamp""#, r#""type":"string","name":"io.debezium.data.Uuid""#,
            r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"4"}"#,
            r#""type":"struct","name":"io.debezium.data.VariableScaleDecimal""#,
            r#""type":"bytes","name":"io.debezium.data.Bits","parameters":{"length":"12"}"#, r#""type":"bytes""#,
            r#""type":"string","name":"io.debezium.time.ZonedTime""#, r#""type":"string","name":"io.debezium.data.Json""#,
        ]),
        values in prop::collection::vec(select(vec![
            "1", "-1", "70000", "3000000000", "9223372036854775807", "9223372036854775808", "1.5", "1e400", "1e30", "0.12345678",
            "123456789012345678901234567890123456789", "12345678901234567890123456789012345.25", "true", "\"a\"",
            "\"2026-11-21T10:00:00Z\"", "\"9999-12-31T00:00:00Z\"", "\"10:00:00Z\"", "\"2026-11-21\"", "\"AfQ=\"", "\"Bbo4\"",
            r#"{"scale":12,"value":"TZw3BVU="}"#, r#"{"scale":60,"value":"TZw3BVU="}"#, "[1]", "\"\"", "\"NaN\"", "null",
        ]), 1..5),
    ) {
        let field = if field.is_empty() { r#""type":"unknown""# } else { field };
        let contract = proposed(connector, field, &values);
        let compiled = Compiled::new(contract);
        for value in &values {
            let event = format!(
                r#"{{"op":"c","after":{{"id":1,"f":{value}}},"source":{{"connector":"{connector}","db":"d","table":"t","ts_ms":1,"lsn":1,"file":"b.1","pos":1}}}}"#
            );
            let mut stager = Stager::new(&compiled, Partition::kafka("t", 0), Vec::new());
            let offset = Offset::number(1);
            let outcome = stager.record(Record { value: event.as_bytes(), key: None, offset: &offset }).unwrap();
            prop_assert_eq!(outcome, Outcome::Staged(1));
            prop_assert_eq!(stager.counts().with_missing_data, 0, "{} in {:?}", value, compiled.contract().columns());
        }
    }
}

/// Names that differ only in characters that a name cannot have, and names that are too long.
#[test]
fn proposed_contracts_have_names_and_tables_of_their_own() {
    let event = |server: &str, table: &str| {
        format!(
            r#"{{"op":"c","after":{{"id":1}},"source":{{"connector":"postgresql","name":"{server}","db":"d","schema":"public","table":"{table}","ts_ms":1,"lsn":1}}}}"#
        )
    };
    let long = "x".repeat(100);
    for sources in [
        vec![("a-b", "t"), ("a_b", "t"), ("a.b", "t")],
        vec![("a", "t-1"), ("a", "t_1")],
        vec![("a", long.as_str()), ("a", &long[..99])],
        vec![(&long, "orders"), (&long[..99], "orders")],
    ] {
        for always in [true, false] {
            let mut proposal = Proposal::default();
            for (server, table) in &sources {
                proposal.record(event(server, table).as_bytes(), None).unwrap();
            }
            let contracts = proposal.contracts_beside(|_| always);
            let contracts: Vec<_> = contracts.into_iter().map(|contract| contract.check().unwrap()).collect();
            let names: std::collections::BTreeSet<_> = contracts.iter().map(TableContract::name).collect();
            let numbered = contracts.iter().enumerate();
            assert_eq!((names.len(), shared_tables(numbered)), (sources.len(), vec![]), "{sources:?} {always}");
        }
    }
}

#[test]
fn invalid_records_do_not_lead_to_a_proposal() {
    assert!(propose([&b"{"[..], b"", b"{\"op\":\"x\"}", b"[1]"]).is_empty());
}
