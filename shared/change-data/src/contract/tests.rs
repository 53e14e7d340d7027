use serde_json::json;

use super::{ContractDraft, Deletes, PromoteKind, TableContract, read};

const SOUND: &str = "
contract: orders
source: { format: debezium, table: public.orders }
target: { schema: shop, table: orders, distkey: id, sortkey: [changed] }
key: [id]
columns:
  - { name: id, type: bigint }
  - { name: changed, type: timestamp, from: changedAt, source_type: io.debezium.time.MicroTimestamp }
";

fn sound() -> TableContract {
    read("orders.yaml", SOUND).unwrap()
}

fn wrong(text: &str) -> Vec<String> {
    read("orders.yaml", text).unwrap_err().iter().map(ToString::to_string).collect()
}

/// The problems of the text of a contract.
fn changed(change: impl Fn(&mut ContractDraft)) -> Result<TableContract, String> {
    let mut draft = sound().draft();
    change(&mut draft);
    draft.check().map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn a_contract_without_problems_reads() {
    let contract = sound();
    assert_eq!(contract.columns()[1].field(), "changedAt");
    assert_eq!(contract.column_of_field("changedAt").map(|column| column.name.as_str()), Some("changed"));
    assert_eq!(contract.load_every().as_mins(), 15);
    assert_eq!(contract.promote().tombstones_kept, 30);
    let written = serde_json::to_string(&contract.draft()).unwrap();
    assert_eq!(read("orders.json", &written).unwrap(), contract);
}

#[test]
fn all_problems_are_returned_with_their_lines_and_fixes() {
    let text = SOUND
        .replace("contract: orders", "contract: Orders!")
        .replace("type: bigint", "type: bigit")
        .replace("MicroTimestamp", "MicroTimestmp")
        .replace("distkey: id", "distkey: idd")
        .replace("key: [id]", "key: [id, nope]\nload_every: 1s\npromote: { deletes: close, tombstones_kept: 3h }");
    insta::assert_snapshot!(wrong(&text).join("\n"));
}

#[test]
fn invalid_columns_are_problems() {
    let text = format!(
        "{SOUND}  - {{ name: dw_md_offset, type: bigint }}\n  - {{ name: ID, type: bigint }}\n  - {{ name: \"{}\", type: bigint }}\n  \
         - {{ name: id, type: varchar(9) }}\n  - {{ name: other, from: changedAt, type: super }}\n  - {{ name: \"a\\0b\", type: date }}\n  \
         - {{ name: oid, type: bigint }}\n  - {{ name: \"a\\uFDD1b\", type: date }}\n  - {{ name: c, from: \"a\\uFDD1b\", type: date }}\n  \
         - {{ name: d, from: \"a\\0b\", type: date }}\n",
        "x".repeat(200)
    );
    insta::assert_snapshot!(wrong(&text).join("\n"));
}

#[test]
fn rows_without_a_key_can_only_be_appended() {
    let text = SOUND.replace("key: [id]\n", "");
    assert!(wrong(&text)[0].contains("there is no `key`"), "{:?}", wrong(&text));
    assert!(read("o.yaml", &format!("{text}promote: {{ kind: append }}\n")).is_ok());
    let text = SOUND.replace("type: bigint", "type: super");
    assert!(wrong(&text).iter().any(|problem| problem.contains("cannot compare")));
}

#[test]
fn a_name_that_must_be_quoted_is_valid() {
    assert!(read("o.yaml", &format!("{SOUND}  - {{ name: 'größe \"in\" mm', type: integer }}\n")).is_ok());
}

#[test]
fn tombstones_are_kept_for_whole_days_in_any_unit() {
    for (text, days) in [
        ("1d", Some(1)),
        ("24h", Some(1)),
        ("1440m", Some(1)),
        ("36h", None),
        ("48h", Some(2)),
        ("8w", Some(56)),
        ("36500d", Some(36_500)),
        ("36501d", None),
        ("12h", None),
        ("0d", None),
        ("d", None),
        ("soon", None),
        ("1.5d", None),
        ("1d 24h", Some(2)),
        ("1mo", None),
    ] {
        let contract = changed(|draft| draft.promote.tombstones_kept = Some(text.into()));
        assert_eq!(contract.as_ref().ok().map(|contract| contract.promote().tombstones_kept), days, "{text}");
        if let Err(problem) = contract {
            assert!(problem.starts_with("$.promote.tombstones_kept: "), "{problem}");
        }
    }
}

#[test]
fn a_load_is_requested_every_10_seconds_to_15_minutes() {
    for (text, seconds) in
        [("10s", Some(10)), ("90s", Some(90)), ("15m", Some(900)), ("9s", None), ("16m", None), ("", None)]
    {
        let contract = changed(|draft| draft.load_every = text.into());
        assert_eq!(contract.ok().map(|contract| contract.load_every().as_secs()), seconds, "{text}");
    }
}

/// Each case: a change of a valid contract, and the beginning of its problem; empty if there is none.
#[test]
fn a_contract_from_which_sql_cannot_be_made_is_refused() {
    type Change = &'static dyn Fn(&mut ContractDraft);
    let cases: [(Change, &str); 22] = [
        (&|draft| draft.key = vec!["dw_key".into()], "$.key[0]: there is no column `dw_key`"),
        (&|draft| draft.key = vec!["id".into(), "id".into()], "$.key[1]: `id` is in the key already"),
        (&|draft| draft.columns[0].column_type = "varchar(9); drop table t".into(), "$.columns[0].type: "),
        (&|draft| draft.columns[1].name = "id".into(), "$.columns[1].name: column `id` exists already"),
        (&|draft| draft.columns.clear(), "$.columns: there are no columns"),
        // The staging table does not have the columns that shiftwork adds to the production table.
        (&|draft| draft.target.distkey = Some("dw_key".into()), "$.target.distkey: there is no column `dw_key`"),
        (&|draft| draft.target.sortkey = vec!["dw_md_changed_at".into()], ""),
        (&|draft| draft.target.sortkey = vec!["dw_nope".into()], "$.target.sortkey[0]: there is no column `dw_nope`"),
        (&|draft| draft.target.sortkey = vec!["dw_start_date".into()], "$.target.sortkey[0]: there is no column"),
        (
            &|draft| {
                draft.target.sortkey = vec!["dw_start_date".into()];
                draft.promote.kind = PromoteKind::Type2;
            },
            "",
        ),
        (
            &|draft| draft.target.sortkey = vec!["dw_md_changes".into()],
            "$.target.sortkey[0]: column `dw_md_changes` is super",
        ),
        (
            &|draft| draft.target.sortkey = vec!["id".into(), "id".into()],
            "$.target.sortkey[1]: `id` is in the sort key already",
        ),
        (&|draft| draft.target.schema = String::new(), "$.target.schema: the name is empty"),
        (&|draft| draft.target.table = "a\u{fdd1}b".into(), "$.target.table: "),
        (&|draft| draft.target.table = "x".repeat(117), "$.target.table: the name has 117 bytes"),
        (&|draft| draft.target.table = "x".repeat(116), ""),
        // The load would delete the rows of the production table, which has the name of the staging table.
        (
            &|draft| draft.target.table = "orders_staging".into(),
            "$.target.table: `orders_staging` is the name of a table",
        ),
        (
            &|draft| {
                draft.target.table = "orders_watermarks".into();
                draft.target.staging_schema = Some("staging".into());
            },
            "",
        ),
        (&|draft| draft.promote.deletes = Deletes::Close, "$.promote.deletes: `close` ends a version"),
        (
            &|draft| {
                draft.promote.kind = PromoteKind::Append;
                draft.promote.deletes = Deletes::Close;
            },
            "$.promote.deletes: `close` ends a version",
        ),
        (&|draft| draft.source.table = "public..orders".into(), "$.source.table: `public..orders` is not a valid name"),
        (&|draft| draft.source.unavailable_value = String::new(), "$.source.unavailable_value: an empty placeholder"),
    ];
    for (number, (change, problem)) in cases.into_iter().enumerate() {
        match changed(change) {
            Ok(_) => assert_eq!(problem, "", "case {number}"),
            Err(said) => assert!(!problem.is_empty() && said.starts_with(problem), "case {number}: {said}"),
        }
    }
}

#[test]
fn the_number_and_length_of_columns_are_limited() {
    let widened =
        |count: usize, width: usize| {
            changed(|draft| {
                let column = draft.columns[0].clone();
                draft.columns.extend((0..count).map(|n| super::DraftColumn {
                    name: format!("c{n:0>width$}", width = width - 1),
                    ..column.clone()
                }));
            })
        };
    assert!(widened(super::MOST_COLUMNS - 2, 20).is_ok());
    assert!(widened(super::MOST_COLUMNS - 1, 20).unwrap_err().starts_with("$.columns: there are 1585 columns"));
    assert!(widened(300, 127).is_ok());
    assert!(widened(340, 127).unwrap_err().starts_with("$.columns: the names of all columns have 44557 bytes"));
}

#[test]
fn columns_are_replaced_only_by_columns_without_problems() {
    let contract = sound();
    let mut columns = contract.columns().to_vec();
    columns.push(serde_json::from_value(json!({ "name": "note", "type": "text" })).unwrap());
    let wider = contract.with_columns(&columns).unwrap();
    assert_eq!(wider.columns(), columns);
    assert_eq!(wider.draft().columns[2].column_type, "varchar(256)");
    columns.swap_remove(0);
    assert!(contract.with_columns(&columns).unwrap_err()[0].to_string().contains("there is no column `id`"));
}
