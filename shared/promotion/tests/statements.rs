//! Snapshots of the generated SQL.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::{Value, json};
use shiftwork_change_data::column_type::ColumnType;
use shiftwork_change_data::contract::{Column, ContractDraft, Format, TableContract};
use shiftwork_promotion::{ExistingColumn, Load, Promotion, is_done_already, is_refused_for_key};

fn contract(promote: &Value) -> TableContract {
    let draft: ContractDraft = serde_json::from_value(json!({
        "contract": "orders",
        "source": { "format": "debezium", "table": "public.orders" },
        "target": { "schema": "shop", "table": "orders", "staging_schema": "staging", "distkey": "order_id", "sortkey": ["order_id"] },
        "key": ["order_id"],
        "columns": [
            { "name": "order_id", "type": "bigint" },
            { "name": "status", "type": "varchar(16)" },
            { "name": "total", "type": "decimal(12,2)" },
            { "name": "items", "type": "super" },
            { "name": "is_gift", "from": "isGift", "type": "boolean" },
        ],
        "promote": promote,
    }))
    .unwrap();
    draft.check().unwrap()
}

fn load(columns: usize) -> Load {
    Load {
        groups: vec![(columns, "s3://staging-bucket/manifests/orders-20261121T100030.json".into())],
        iam_role: "arn:aws:iam::123456789012:role/redshift-copy".parse().unwrap(),
        region: None,
    }
}

fn shown(statements: &[String]) -> String {
    statements.iter().map(|sql| format!("{sql};\n")).collect::<Vec<_>>().join("\n")
}

#[test]
fn type_1() {
    let contract = contract(&json!({ "kind": "type1" }));
    let promotion = Promotion::of(&contract);
    insta::assert_snapshot!("type_1_tables", shown(&promotion.ddl()));
    insta::assert_snapshot!("type_1_load", shown(&promotion.load(&load(5)).unwrap()));
}

#[test]
fn type_1_of_a_source_that_always_sends_all_columns() {
    let mut draft = contract(&json!({ "kind": "type1", "deletes": "soft" })).draft();
    draft.source.format = Format::Dynamodb;
    let contract = draft.check().unwrap();
    let promotion = Promotion::of(&contract);
    insta::assert_snapshot!("type_1_whole_rows_load", shown(&promotion.load(&load(3)).unwrap()));
}

#[test]
fn type_7() {
    let contract = contract(&json!({ "kind": "type7", "deletes": "close" }));
    let promotion = Promotion::of(&contract);
    insta::assert_snapshot!("type_7_tables", shown(&promotion.ddl()));
    insta::assert_snapshot!("type_7_load", shown(&promotion.load(&load(5)).unwrap()));
}

#[test]
fn append() {
    let contract = contract(&json!({ "kind": "append" }));
    insta::assert_snapshot!("append_load", shown(&Promotion::of(&contract).load(&load(5)).unwrap()));
}

#[test]
fn type_1_of_the_latest_values() {
    let contract = contract(&json!({ "kind": "type1", "take": "latest-non-null" }));
    let promotion = Promotion::of(&contract);
    let load = promotion.load(&load(5)).unwrap();
    let at = load.iter().position(|sql| sql.contains("-- Take the latest value")).unwrap();
    insta::assert_snapshot!("type_1_nulls_are_gaps", shown(&load[at..=at]));
    insta::assert_snapshot!("type_1_drift_report", promotion.drift_report(100));
}

/// A user added a column and a longer VARCHAR to the contract by hand.
#[test]
fn a_contract_that_was_changed_by_hand() {
    let contract = contract(&json!({ "kind": "type1" }));
    let promotion = Promotion::of(&contract);
    let columns = [
        ("order_id", "bigint", None),
        ("status", "character varying", Some("8")),
        ("total", "numeric", None),
        ("items", "super", None),
    ];
    let cell = |text: &str| Some(text.to_owned());
    let found = ["orders_staging", "orders", "orders_older"].iter().flat_map(|table| {
        columns.iter().map(move |(column, data_type, length)| {
            let schema = if *table == "orders" { "shop" } else { "staging" };
            let sizes = [length.map(str::to_owned), cell("12"), cell("2"), cell("YES")];
            let row = [cell(schema), cell(table), cell(column), cell(data_type)];
            ExistingColumn::read(&row.into_iter().chain(sizes).collect::<Vec<_>>()).unwrap()
        })
    });
    let statements = promotion.prepare(&found.collect::<Vec<_>>()).unwrap();
    insta::assert_snapshot!("changed_by_hand", format!("{};\n\n{}", promotion.columns_query(), shown(&statements)));
}

#[test]
fn drift_and_its_migration() {
    let contract = contract(&json!({ "kind": "type7", "deletes": "close" }));
    let promotion = Promotion::of(&contract);
    insta::assert_snapshot!("drift_report", promotion.drift_report(100));
    let column = |name: &str, column_type: &str| Column {
        name: name.into(),
        column_type: ColumnType::parse(column_type).unwrap(),
        from: None,
        source_type: None,
    };
    let migration = promotion.migration(&[column("coupon", "varchar(64)"), column("status", "varchar(64)")]).unwrap();
    insta::assert_snapshot!("migration_before", shown(&migration.before));
    insta::assert_snapshot!("migration", shown(&migration.transaction));
    assert_eq!(migration.contract.columns().len(), 6);
    let total = column("total", "decimal(38,4)");
    insta::assert_snapshot!("migration_replacement", shown(&promotion.migration(&[total]).unwrap().replacement));
    insta::assert_snapshot!(
        "misfits",
        promotion.misfits(&[column("total", "decimal(38,4)"), column("shape", "geometry")])
    );
}

/// Redshift refuses to widen a column that is a key of its table.
#[test]
fn the_keys_of_a_table_are_released_and_set_again() {
    let with_keys = contract(&json!({ "kind": "type1" }));
    let mut draft = with_keys.draft();
    (draft.target.distkey, draft.target.sortkey) = (None, Vec::new());
    let without_keys = draft.check().unwrap();
    let mut text = String::new();
    for (contract, tables) in [
        (&with_keys, ["shop.orders", "staging.orders_staging", "staging.orders_tombstones"]),
        (&without_keys, ["shop.orders", "staging.orders_staging", "staging.orders_tombstones"]),
    ] {
        for table in tables {
            let widen = format!("ALTER TABLE {table} ALTER COLUMN status TYPE VARCHAR(64)");
            let around = Promotion::of(contract).key_release(std::slice::from_ref(&widen)).unwrap();
            text.push_str(&shown(&around.release));
            text.push_str(&shown(&[widen]));
            text.push_str(&shown(&around.restore));
            text.push('\n');
        }
    }
    insta::assert_snapshot!("key_release", text);
    for other in
        ["ALTER TABLE shop.orders ADD COLUMN a INT", "ALTER TABLE shop.other ALTER COLUMN a TYPE VARCHAR(9)", "LOCK a"]
    {
        assert_eq!(Promotion::of(&with_keys).key_release(&[other.to_owned()]), None, "{other}");
    }
    let total = Column { name: "total".into(), column_type: ColumnType::Decimal(38, 4), from: None, source_type: None };
    let replacement = Promotion::of(&with_keys).migration(&[total]).unwrap().replacement;
    let around = Promotion::of(&with_keys).key_release(&replacement).unwrap();
    assert_eq!((around.release.len(), around.restore.len()), (6, 6), "three tables have the column: {around:?}");
    assert!(is_refused_for_key("ERROR: cannot drop sortkey column \"total\""));
    assert!(is_refused_for_key("ERROR: cannot drop distkey column \"total\""));
    assert!(is_refused_for_key("ERROR: found unexpected dependency for column"));
    assert!(!is_refused_for_key("ERROR: relation \"shop.orders\" does not exist"));
    assert!(is_done_already("ERROR: This table is already SORTKEY AUTO"));
}

/// Redshift runs a join without an equality between the two tables as a nested loop, and may refuse it in a DELETE.
#[test]
fn every_join_has_an_equality_between_its_tables() {
    let deletes = [("type1", "hard"), ("type1", "soft"), ("type2", "hard"), ("type2", "close"), ("type7", "soft")];
    let mut promotes: Vec<Value> =
        deletes.iter().map(|(kind, deletes)| json!({ "kind": kind, "deletes": deletes })).collect();
    promotes.extend([json!({ "kind": "type1", "take": "latest-non-null" }), json!({ "kind": "append" })]);
    for promote in promotes {
        for format in [Format::Debezium, Format::Dynamodb] {
            let mut draft = contract(&promote).draft();
            draft.source.format = format;
            let contract = draft.check().unwrap();
            let promotion = Promotion::of(&contract);
            let coupon =
                Column { name: "coupon".into(), column_type: ColumnType::Varchar(64), from: None, source_type: None };
            let migration = promotion.migration(&[coupon]).unwrap();
            for sql in promotion.load(&load(3)).unwrap().iter().chain(&migration.transaction) {
                for (keyword, condition) in [("USING ", "WHERE "), ("JOIN ", "ON ")] {
                    let joins = sql.match_indices(keyword).map(|(at, _)| sql.split_at(at));
                    for (_, join) in joins.filter(|(before, _)| !before.ends_with("CROSS ")) {
                        let line = join.split_once(condition).and_then(|(_, after)| after.lines().next());
                        assert!(line.is_some_and(has_equality), "{promote} {format:?}: {line:?} in\n{sql}");
                    }
                }
            }
        }
    }
}

/// Whether one of the conditions of a line is that a column of one table equals a column of another.
fn has_equality(conditions: &str) -> bool {
    let table = |side: &str| side.trim().split_once('.').map(|(table, _)| table.to_owned());
    conditions
        .split(" AND ")
        .filter_map(|condition| condition.split_once(" = "))
        .any(|(left, right)| matches!((table(left), table(right)), (Some(left), Some(right)) if left != right))
}
