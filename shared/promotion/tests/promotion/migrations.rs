//! What waits is found, and moves in once, whoever dies on the way.

use serde_json::{Value, json};
use shiftwork_change_data::contract::{
    Column,
    Deletes::{Close, Hard, Soft},
    Format::{Debezium, Dynamodb},
    PromoteKind::{self, Append, Type1, Type2, Type7},
    TableContract,
    Take::LatestRow,
};
use shiftwork_promotion::{Load, Migration, Promotion, is_done_already};

use crate::contracts::contract;
use crate::warehouse::Warehouse;

fn column(name: &str, column_type: &str, from: Option<&str>) -> Column {
    Column { name: name.into(), column_type: column_type.into(), from: from.map(str::to_owned), source_type: None }
}

/// A row of two contract columns and what waits.
fn line(id: u32, position: u32, operation: &str, waiting: &Value) -> String {
    let waiting =
        if waiting.is_null() { "\\N".to_owned() } else { format!("\"{}\"", waiting.to_string().replace('"', "\"\"")) };
    format!(
        "{id},eu,n{position},1970-01-01 00:00:{position:02},{operation},{waiting},\\N,\\N,{position:04},kafka/a/0,{position:04}\n"
    )
}

fn narrow(kind: PromoteKind, deletes: shiftwork_change_data::contract::Deletes) -> TableContract {
    let mut contract = contract(kind, LatestRow, deletes, Debezium);
    contract.columns.truncate(3);
    contract.columns[2].column_type = "varchar(4)".into();
    contract
}

impl Warehouse {
    /// Runs a migration as its caller does.
    async fn migrate(&self, migration: &Migration) {
        for sql in &migration.before {
            if let Err(error) = self.transaction(vec![sql.clone()]).await {
                assert!(is_done_already(&error), "{sql}: {error}");
            }
        }
        self.transaction(migration.transaction.clone()).await.unwrap();
    }

    async fn load_text(&mut self, contract: &TableContract, columns: usize, csv: &str) -> Result<(), String> {
        let load = Load { groups: vec![(columns, self.file(csv))], ..Load::default() };
        self.load(contract, &load).await
    }

    /// Rows of text cells.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<Vec<String>> {
        let rows = self.stage.rows(sql).await;
        let cell = |cell: &Value| match cell.as_object().unwrap().iter().next().unwrap() {
            (name, _) if name == "isNull" => "NULL".to_owned(),
            (_, Value::String(text)) => text.clone(),
            (_, other) => other.to_string(),
        };
        rows.as_array().unwrap().iter().map(|row| row.as_array().unwrap().iter().map(cell).collect()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_reported_and_moves_in() {
    let Some(mut warehouse) = Warehouse::open().await else { return };
    for (kind, deletes) in [(Type1, Hard), (Type1, Soft), (Type2, Close), (Type7, Soft), (Append, Hard)] {
        let old = narrow(kind, deletes);
        warehouse.make(&old).await;
        let csv = [
            line(1, 1, "create", &json!({ "Colour": "red", "weight": 12.5, "note": "too long", "ok": true })),
            line(2, 2, "create", &json!({ "Colour": "bl\"ue", "weight": 1_000_000, "ok": false, "day": "2024-02-29" })),
            line(3, 3, "create", &json!({ "Colour": null, "weight": "heavy", "tags": [1, "a"], "day": "2023-02-29" })),
        ]
        .concat();
        warehouse.load_text(&old, 3, &csv).await.unwrap();
        let promotion = Promotion::of(&old).unwrap();
        let report = warehouse.texts(&promotion.drift_report(4)).await;
        assert_eq!(report.len(), 4);
        assert_eq!(report[0][..2], ["Colour", "2"], "{report:?}");
        assert_eq!(report[0][4..], ["0", "0", "2", "0", "NULL", "NULL", "0", "0", "5", "6"], "{report:?}");
        assert_eq!(report[3][..2], ["weight", "3"]);
        assert_eq!(report[3][4..8], ["0", "2", "1", "0"]);
        assert_eq!(report[3][8..], ["7", "1", "0", "0", "5", "6"]);

        let wanted = [
            column("colour", "varchar(16)", Some("Colour")),
            column("weight", "decimal(9,2)", None),
            column("note", "varchar(40)", None),
            column("ok", "boolean", None),
            column("day", "date", None),
            column("tags", "super", None),
        ];
        let migration = promotion.migration(&wanted).unwrap();
        // Anything may die anywhere: each beginning of it, and then all of it, twice.
        for steps in 0..migration.before.len() {
            for sql in &migration.before[..=steps] {
                if let Err(error) = warehouse.transaction(vec![sql.clone()]).await {
                    assert!(is_done_already(&error), "{sql}: {error}");
                }
            }
        }
        let mut failing = migration.transaction.clone();
        failing.push("SELECT 1 / 0".into());
        warehouse.transaction(failing).await.unwrap_err();
        for _ in 0..2 {
            warehouse.migrate(&migration).await;
            let found = warehouse
                .texts(
                    "SELECT id, colour, weight::VARCHAR, note, ok, day::VARCHAR, JSON_SERIALIZE(tags), \
                     JSON_SERIALIZE(dw_md_missing_data) FROM shop.\"order\" ORDER BY id",
                )
                .await;
            let left = "{\"day\":\"2023-02-29\",\"tags\":null,\"Colour\":null,\"weight\":\"heavy\"}";
            assert_eq!(
                found,
                [
                    ["1", "red", "12.50", "too long", "true", "NULL", "NULL", "NULL"],
                    ["2", "bl\"ue", "1000000.00", "n2", "false", "2024-02-29", "NULL", "NULL"],
                    ["3", "NULL", "NULL", "n3", "NULL", "NULL", "[1,\"a\"]", left],
                ],
                "{kind:?}"
            );
        }
        let left = warehouse.texts(&Promotion::of(&migration.contract).unwrap().drift_report(9)).await;
        assert_eq!(left.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), ["day", "weight"]);

        // Files from before, loaded after: the values find their columns. A load that knows fewer columns is refused.
        let late = line(4, 4, "create", &json!({ "Colour": "green", "weight": 0.25, "tags": { "A": 1 } }));
        let refused = warehouse.load_text(&old, 3, &late).await.unwrap_err();
        assert!(refused.contains("contract shop-orders has 3 columns, and its table 0008 now"), "{refused}");
        warehouse.load_text(&migration.contract, 3, &late).await.unwrap();
        let found = warehouse
            .texts("SELECT colour, weight::VARCHAR, JSON_SERIALIZE(tags) FROM shop.\"order\" WHERE id = 4")
            .await;
        assert_eq!(found, [["green", "0.25", "{\"A\":1}"]], "{kind:?}");
        if kind == Type7 {
            assert_eq!(warehouse.texts("SELECT COUNT(colour) FROM shop.order_current").await, [["3"]]);
        }
    }
    warehouse.stage.strike().await;
}

/// A field that has no column yet, and that an update leaves out because it did not change, is not lost when the column comes.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_from_before_the_column_left_out_did_not_change() {
    let Some(mut warehouse) = Warehouse::open().await else { return };
    for (kind, deletes) in [(Type1, Hard), (Type1, Soft), (Type2, Close)] {
        let mut wide = narrow(kind, deletes);
        wide.columns.push(column("colour", "varchar(16)", Some("Colour")));
        wide.columns.push(column("raw", "varbyte(16)", None));
        warehouse.make(&wide).await;
        warehouse.load_text(&wide, 3, &line(1, 1, "create", &json!({ "Colour": "red" }))).await.unwrap();
        warehouse.load_text(&wide, 3, &line(1, 2, "update", &Value::Null)).await.unwrap();
        let found =
            warehouse.texts("SELECT note, colour FROM shop.\"order\" ORDER BY dw_md_position DESC LIMIT 1").await;
        assert_eq!(found, [["n2", "red"]], "{kind:?}");
        warehouse.load_text(&wide, 3, &line(1, 3, "update", &json!({ "Colour": null }))).await.unwrap();
        let found =
            warehouse.texts("SELECT note, colour FROM shop.\"order\" ORDER BY dw_md_position DESC LIMIT 1").await;
        assert_eq!(found, [["n3", "NULL"]], "{kind:?}");
    }
    // A source that always sends all that there is leaves out what is not there.
    let mut wide = narrow(Type1, Hard);
    wide.source.format = Dynamodb;
    wide.columns.push(column("colour", "varchar(16)", Some("Colour")));
    warehouse.make(&wide).await;
    warehouse.load_text(&wide, 3, &line(1, 1, "create", &json!({ "Colour": "red" }))).await.unwrap();
    warehouse.load_text(&wide, 3, &line(1, 2, "update", &Value::Null)).await.unwrap();
    assert_eq!(warehouse.texts("SELECT note, colour FROM shop.\"order\"").await, [["n2", "NULL"]]);
    warehouse.stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_were_written_into_the_contract_by_hand_are_added() {
    let Some(warehouse) = Warehouse::open().await else { return };
    let old = narrow(Type1, Hard);
    warehouse.make(&old).await;
    let mut new = old.clone();
    new.columns.push(column("colour", "varchar(16)", None));
    let promotion = Promotion::of(&new).unwrap();
    for wanted in [3, 0] {
        let found = warehouse.texts(&promotion.columns_query()).await;
        let found: Vec<_> = found.into_iter().map(|row| (row[0].clone(), row[1].clone(), row[2].clone())).collect();
        let add = promotion.add_missing(&found);
        assert_eq!(add.len(), wanted, "{add:?}");
        for sql in add {
            warehouse.transaction(vec![sql]).await.unwrap();
        }
    }
    warehouse.stage.strike().await;
}

#[test]
fn what_cannot_be_migrated_says_why() {
    let contract = narrow(Type1, Hard);
    let promotion = Promotion::of(&contract).unwrap();
    let why = |column: Column| promotion.migration(&[column]).unwrap_err().to_string();
    assert!(why(column("note", "varchar(2)", None)).contains("cannot become varchar(2)"));
    assert!(why(column("id", "varchar(20)", None)).contains("widens nothing but VARCHAR"));
    assert!(why(column("notes", "varchar(20)", Some("note"))).contains("has the column `note` already"));
    let many: Vec<Column> = (0..60).map(|n| column(&format!("c{n}"), "varchar(64)", None)).collect();
    let migration = promotion.migration(&many).unwrap();
    assert!(migration.transaction.len() <= 40 && migration.contract.columns.len() == 63);
}
