//! Migrations: values in `dw_md_missing_data` are reported, and moved once, wherever a migration is interrupted.

use serde_json::{Value, json};
use shiftwork_change_data::column_type::ColumnType;
use shiftwork_change_data::contract::{
    Column, ContractDraft,
    Deletes::{Close, Hard, Soft},
    Format::Debezium,
    MergeStrategy::LatestRow,
    PromoteKind::{self, Append, Type1, Type2, Type7},
    TableContract,
};
use shiftwork_promotion::{ExistingColumn, Load, Migration, Promotion, PromotionError, is_done_already};

use crate::contracts::{changed, contract};
use crate::warehouse::Warehouse;

pub(crate) fn column(name: &str, column_type: &str, from: Option<&str>) -> Column {
    Column {
        name: name.into(),
        column_type: ColumnType::parse(column_type).unwrap(),
        from: from.map(str::to_owned),
        source_type: None,
    }
}

/// A line of a staged file: two contract columns and `waiting` as `dw_md_missing_data`.
fn line(id: u32, position: u32, operation: &str, waiting: &Value) -> String {
    marked(id, position, operation, Some(&format!("n{position}")), waiting, "")
}

/// As [`line`], with `unchanged` as `dw_md_unchanged`. Each line has its own partition, so that lines can be loaded in any order.
pub(crate) fn marked(
    id: u32,
    position: u32,
    operation: &str,
    note: Option<&str>,
    waiting: &Value,
    unchanged: &str,
) -> String {
    let waiting =
        if waiting.is_null() { "\\N".to_owned() } else { format!("\"{}\"", waiting.to_string().replace('"', "\"\"")) };
    let unchanged = if unchanged.is_empty() { "\\N".to_owned() } else { format!("\"{unchanged}\"") };
    let note = note.unwrap_or("\\N");
    format!(
        "{id},eu,{note},1970-01-01 00:00:{position:02},{operation},{waiting},\\N,{unchanged},{position:04},kafka/{id}/{position},1\n"
    )
}

pub(crate) fn narrow(kind: PromoteKind, deletes: shiftwork_change_data::contract::Deletes) -> TableContract {
    changed(&contract(kind, LatestRow, deletes, Debezium), |draft| {
        draft.columns.truncate(3);
        draft.columns[2].column_type = "varchar(4)".into();
    })
}

impl Warehouse {
    /// Runs the statements of a migration in their transactions.
    pub(crate) async fn migrate(&self, migration: &Migration) {
        for sql in &migration.before {
            if let Err(error) = self.transaction(vec![sql.clone()]).await {
                assert!(is_done_already(&error), "{sql}: {error}");
            }
        }
        for transaction in [&migration.replacement, &migration.transaction] {
            if !transaction.is_empty() {
                self.transaction(transaction.clone()).await.unwrap();
            }
        }
    }

    pub(crate) async fn load_text(
        &mut self,
        contract: &TableContract,
        columns: usize,
        csv: &str,
    ) -> Result<(), String> {
        let load = Load { groups: vec![(columns, self.file(csv))], ..Load::default() };
        self.load(contract, &load).await
    }

    /// Changes the tables to match the contract, as job-launcher does before a load. Returns the statements.
    pub(crate) async fn prepare(&self, promotion: &Promotion<'_>) -> Result<Vec<String>, PromotionError> {
        let found = self.server.rows(&promotion.columns_query()).await;
        let cell = |cell: &Value| match cell.as_object().unwrap().iter().next().unwrap() {
            (name, _) if name == "isNull" => None,
            (_, Value::String(text)) => Some(text.clone()),
            (_, other) => Some(other.to_string()),
        };
        let row = |row: &Value| ExistingColumn::read(&row.as_array().unwrap().iter().map(cell).collect::<Vec<_>>());
        let found: Vec<ExistingColumn> = found.as_array().unwrap().iter().filter_map(row).collect();
        let statements = promotion.prepare(&found)?;
        for sql in &statements {
            self.transaction(vec![sql.clone()]).await.unwrap();
        }
        self.transaction(promotion.ddl()).await.unwrap();
        Ok(statements)
    }

    /// The rows of a query, each cell as text.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<Vec<String>> {
        let rows = self.server.rows(sql).await;
        let cell = |cell: &Value| match cell.as_object().unwrap().iter().next().unwrap() {
            (name, _) if name == "isNull" => "NULL".to_owned(),
            (_, Value::String(text)) => text.clone(),
            (_, other) => other.to_string(),
        };
        rows.as_array().unwrap().iter().map(|row| row.as_array().unwrap().iter().map(cell).collect()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_data_is_reported_and_moved_into_columns() {
    let mut warehouse = Warehouse::open().await;
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
        let promotion = Promotion::of(&old);
        let report = warehouse.texts(&promotion.drift_report(4)).await;
        assert_eq!(report.len(), 4);
        assert_eq!(report[0][..2], ["Colour", "2"], "{report:?}");
        assert_eq!(report[0][4..], ["0", "0", "2", "0", "NULL", "NULL", "0", "0", "5", "6", "0"], "{report:?}");
        assert_eq!(report[3][..2], ["weight", "3"]);
        assert_eq!(report[3][4..8], ["0", "2", "1", "0"]);
        assert_eq!(report[3][8..], ["7", "1", "0", "0", "5", "6", "1"]);

        let wanted = [
            column("colour", "varchar(16)", Some("Colour")),
            column("weight", "decimal(9,2)", None),
            column("note", "varchar(40)", None),
            column("ok", "boolean", None),
            column("day", "date", None),
            column("tags", "super", None),
        ];
        let migration = promotion.migration(&wanted).unwrap();
        // Run each prefix of the statements of `before`, as after a crash, and then the whole migration twice.
        for steps in 0..migration.before.len() {
            for sql in &migration.before[..=steps] {
                if let Err(error) = warehouse.transaction(vec![sql.clone()]).await {
                    assert!(is_done_already(&error), "{sql}: {error}");
                }
            }
        }
        let mut failing = migration.transaction.clone();
        *failing.last_mut().unwrap() = "SELECT 1 / 0".into();
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
        let left = warehouse.texts(&Promotion::of(&migration.contract).drift_report(9)).await;
        assert_eq!(left.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), ["day", "weight"]);

        // Files that were staged before the migration are loaded after it. A load of a contract with fewer columns is refused.
        let late = line(4, 4, "create", &json!({ "Colour": "green", "weight": 0.25, "tags": { "A": 1 } }));
        let refused = warehouse.load_text(&old, 3, &late).await.unwrap_err();
        assert!(refused.contains("contract shop-orders has 3 columns, but its table has 0008"), "{refused}");
        warehouse.load_text(&migration.contract, 3, &late).await.unwrap();
        let found = warehouse
            .texts("SELECT colour, weight::VARCHAR, JSON_SERIALIZE(tags) FROM shop.\"order\" WHERE id = 4")
            .await;
        assert_eq!(found, [["green", "0.25", "{\"A\":1}"]], "{kind:?}");
        if kind == Type7 {
            assert_eq!(warehouse.texts("SELECT COUNT(colour) FROM shop.order_current").await, [["3"]]);
        }
    }
    warehouse.server.drop_database().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_were_written_into_the_contract_by_hand_are_added() {
    let warehouse = Warehouse::open().await;
    let old = narrow(Type1, Hard);
    warehouse.make(&old).await;
    let new = changed(&old, |draft| {
        draft.columns.push(column("colour", "varchar(16)", None).into());
        draft.columns[2].column_type = "varchar(40)".into();
    });
    let promotion = Promotion::of(&new);
    for wanted in [8, 0] {
        let statements = warehouse.prepare(&promotion).await.unwrap();
        assert_eq!(statements.len(), wanted, "{statements:#?}");
    }
    // A restarted run uses the older contract: columns that are wider than it says are left unchanged.
    assert_eq!(warehouse.prepare(&Promotion::of(&old)).await.unwrap(), [""; 0]);
    let invalid = async |change: &dyn Fn(&mut ContractDraft)| {
        let contract = changed(&new, change);
        warehouse.prepare(&Promotion::of(&contract)).await.unwrap_err().to_string()
    };
    let said = invalid(&|draft| draft.columns[3].column_type = "decimal(14,2)".into()).await;
    assert!(
        said.contains(
            "column `colour` of staging.\"shop-orders_staging\" is varchar(16), but the contract says decimal(14,2)"
        ),
        "{said}"
    );
    let said = invalid(&|draft| draft.columns[1].column_type = "varchar(9)".into()).await;
    assert!(said.contains("column `region` of shop.\"order\" is varchar(8)") && said.contains("primary key"), "{said}");
    warehouse.server.drop_database().await;
}

/// A user made the tables, with NOT NULL where rows can have no value.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_not_null_although_rows_lack_its_value_is_refused() {
    let warehouse = Warehouse::open().await;
    let contract = narrow(Type1, Hard);
    let promotion = Promotion::of(&contract);
    let tables = promotion.ddl();
    let production = tables.iter().find(|sql| sql.contains("CREATE TABLE IF NOT EXISTS shop.")).unwrap();
    for (from, to, wanted) in [
        ("VARCHAR(8)", "VARCHAR(8) NOT NULL", Some("column `region` of shop.\"order\" is NOT NULL")),
        ("VARCHAR(4)", "VARCHAR(4) NOT NULL", Some("column `note` of shop.\"order\" is NOT NULL")),
        ("VARCHAR(4)", "VARCHAR(4) NULL", None),
    ] {
        warehouse.make(&contract).await;
        warehouse.server.finish("DROP TABLE shop.\"order\"").await;
        assert!(production.contains(from), "{production}");
        warehouse.transaction(vec![production.replacen(from, to, 1)]).await.unwrap();
        let prepared = warehouse.prepare(&promotion).await.map_err(|refused| refused.to_string());
        match wanted {
            None => assert_eq!(prepared, Ok(vec![])),
            Some(wanted) => {
                let refused = prepared.unwrap_err();
                assert!(
                    refused.contains(wanted) && refused.contains("shiftwork contract sql shop-orders"),
                    "{refused}"
                );
            }
        }
    }
    warehouse.server.drop_database().await;
}

/// The catalog reports the columns of each type as they were created.
#[tokio::test(flavor = "multi_thread")]
async fn new_tables_need_no_preparation() {
    let warehouse = Warehouse::open().await;
    for (kind, deletes) in [(Type1, Hard), (Type7, Soft), (Append, Hard)] {
        let types = [
            "smallint",
            "integer",
            "bigint",
            "decimal(9)",
            "decimal(38,37)",
            "real",
            "double precision",
            "boolean",
            "char(3)",
            "varchar(max)",
            "date",
            "time",
            "timetz",
            "timestamp",
            "timestamptz",
            "super",
            "varbyte(9)",
        ];
        let contract = changed(&contract(kind, LatestRow, deletes, Debezium), |draft| {
            let columns = types.iter().zip(0..).map(|(kind, n)| column(&format!("c{n}"), kind, None).into());
            draft.columns.extend(columns);
        });
        warehouse.make(&contract).await;
        assert_eq!(warehouse.prepare(&Promotion::of(&contract)).await.unwrap(), [""; 0], "{kind:?}");
    }
    warehouse.server.drop_database().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_schemas_are_created() {
    let warehouse = Warehouse::open().await;
    let contract = changed(&narrow(Type1, Hard), |draft| draft.target.schema = "it's new".into());
    let promotion = Promotion::of(&contract);
    for wanted in [1, 0] {
        let found = warehouse.texts(&promotion.schemas_query()).await.concat();
        let create = promotion.create_schemas(&found);
        assert_eq!(create.len(), wanted, "{found:?}");
        for (_, sql) in create {
            warehouse.transaction(vec![sql]).await.unwrap();
        }
    }
    warehouse.server.drop_database().await;
}

#[test]
fn an_impossible_migration_states_the_reason() {
    let contract = narrow(Type1, Hard);
    let promotion = Promotion::of(&contract);
    let why = |column: Column| promotion.migration(&[column]).unwrap_err().to_string();
    assert!(why(column("note", "varchar(2)", None)).contains("cannot become varchar(2)"));
    assert!(why(column("notes", "varchar(20)", Some("note"))).contains("field `note` already has column `note`"));
    let many: Vec<Column> = (0..60).map(|n| column(&format!("c{n}"), "varchar(64)", None)).collect();
    let migration = promotion.migration(&many).unwrap();
    assert!(migration.transaction.len() <= 40 && migration.contract.columns().len() == 63);
}
