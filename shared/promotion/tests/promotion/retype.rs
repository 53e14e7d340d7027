//! A source changes the type of a column: after the migration the table has the values of before and after the change.

use serde_json::{Value, json};
use shiftwork_change_data::contract::{
    ContractDraft, Deletes,
    Deletes::{Close, Hard, Soft},
    PromoteKind,
    PromoteKind::{Append, Type1, Type2, Type7},
    TableContract,
};
use shiftwork_promotion::{Migration, Promotion};

use crate::migrations::column;
use crate::warehouse::Warehouse;

const KINDS: [(PromoteKind, Deletes); 5] =
    [(Type1, Hard), (Type1, Soft), (Type2, Close), (Type7, Soft), (Append, Hard)];

fn contract(kind: PromoteKind, deletes: Deletes) -> TableContract {
    let draft: ContractDraft = serde_json::from_value(json!({
        "contract": "shop-orders",
        "source": { "format": "debezium", "table": "shop.orders" },
        "target": { "schema": "shop", "table": "order", "staging_schema": "staging", "distkey": "id", "sortkey": ["n"] },
        "key": ["id"],
        "columns": [
            { "name": "id", "type": "integer" },
            { "name": "n", "type": "integer", "from": "N" },
            { "name": "amount", "type": "decimal(38,10)" },
            { "name": "price", "type": "decimal(12,2)" },
        ],
        "promote": { "kind": kind, "deletes": deletes },
    }))
    .unwrap();
    draft.check().unwrap()
}

/// A line of a staged file, with `waiting` as `dw_md_missing_data`.
fn line(id: i64, values: &str, waiting: &Value) -> String {
    let waiting =
        if waiting.is_null() { "\\N".to_owned() } else { format!("\"{}\"", waiting.to_string().replace('"', "\"\"")) };
    format!("{id},{values},1970-01-01 00:00:01,create,{waiting},\\N,\\N,{id:012},kafka/{id},1\n")
}

impl Warehouse {
    async fn retype(&self, old: &TableContract, columns: &[(&str, &str, Option<&str>)]) -> Migration {
        let columns: Vec<_> = columns.iter().map(|(name, kind, from)| column(name, kind, *from)).collect();
        let migration = Promotion::of(old).migration(&columns).unwrap();
        // An interrupted replacement has no effect, and one that runs again has none either.
        let mut failing = migration.replacement.clone();
        failing.push("SELECT 1 / 0".into());
        for _ in 0..2 {
            self.transaction(failing.clone()).await.unwrap_err();
            self.migrate(&migration).await;
        }
        migration
    }

    async fn values(&self) -> Vec<Vec<String>> {
        self.texts(
            "SELECT id, n, amount::VARCHAR, price, JSON_SERIALIZE(dw_md_missing_data) FROM shop.\"order\" ORDER BY id",
        )
        .await
    }
}

const TYPES: [(&str, &str, Option<&str>); 3] =
    [("n", "bigint", Some("N")), ("amount", "decimal(38,12)", None), ("price", "varchar(16)", None)];

#[tokio::test(flavor = "multi_thread")]
async fn values_of_another_type_reach_the_table() {
    let mut warehouse = Warehouse::open().await;
    for (kind, deletes) in KINDS {
        let old = contract(kind, deletes);
        warehouse.make(&old).await;
        let waiting = json!({ "N": 3_000_000_000_u64, "amount": 0.333_333_333_333, "price": "on request" });
        let csv = [line(1, "7,1.5,9.95", &Value::Null), line(2, "\\N,\\N,\\N", &waiting)].concat();
        warehouse.load_text(&old, 4, &csv).await.unwrap();

        let new = warehouse.retype(&old, &TYPES).await.contract;
        let wanted =
            [["1", "7", "1.500000000000", "9.95", "NULL"], ["2", "3000000000", "0.333333333333", "on request", "NULL"]];
        assert_eq!(warehouse.values().await, wanted, "{kind:?}");

        // A run that was planned before loads with the older contract. A file that was staged before is loaded with either.
        assert_eq!(warehouse.prepare(&Promotion::of(&old)).await.unwrap(), [""; 0]);
        warehouse.load_text(&old, 4, &line(3, "8,2.5,0", &Value::Null)).await.unwrap();
        warehouse.load_text(&new, 4, &line(4, "\\N,3.5,12.00", &json!({ "N": 4_000_000_000_u64 }))).await.unwrap();
        let fill = Promotion::of(&new).migration(&[column("n", "bigint", Some("N"))]).unwrap();
        assert_eq!(fill.replacement, [""; 0]);
        warehouse.migrate(&fill).await;
        let later = [["3", "8", "2.500000000000", "0", "NULL"], ["4", "4000000000", "3.500000000000", "12.00", "NULL"]];
        assert_eq!(warehouse.values().await[2..], later, "{kind:?}");
        if kind == Type7 {
            assert_eq!(warehouse.texts("SELECT SUM(n) FROM shop.order_current").await, [["7000000015"]]);
        }
    }
    warehouse.server.drop_database().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_the_key_gets_another_type() {
    let mut warehouse = Warehouse::open().await;
    for (kind, deletes) in KINDS {
        let old = contract(kind, deletes);
        warehouse.make(&old).await;
        warehouse.load_text(&old, 4, &line(1, "7,1.5,9.95", &Value::Null)).await.unwrap();
        let new = warehouse.retype(&old, &[("id", "bigint", None)]).await.contract;
        let sent = |note: &str| line(3_000_000_000, note, &Value::Null);
        warehouse.load_text(&new, 4, &sent("8,2.5,0")).await.unwrap();
        let delete = sent("\\N,\\N,\\N").replace(",create,", ",delete,").replace("3000000000,1\n", "3000000000,2\n");
        let found: Vec<String> = warehouse.values().await.into_iter().map(|row| row[0].clone()).collect();
        assert_eq!(found, ["1", "3000000000"], "{kind:?}");
        warehouse.load_text(&new, 4, &delete.replace(",003000000000,", ",003000000001,")).await.unwrap();
        assert_eq!(warehouse.prepare(&Promotion::of(&new)).await.unwrap(), [""; 0], "{kind:?}");
    }
    warehouse.server.drop_database().await;
}

#[test]
fn a_type_that_a_column_cannot_get_is_refused_with_the_reason() {
    let why = |contract: &TableContract, name: &str, kind: &str, from| {
        Promotion::of(contract).migration(&[column(name, kind, from)]).unwrap_err().to_string()
    };
    let (type1, type2) = (contract(Type1, Hard), contract(Type2, Close));
    assert!(why(&type1, "n", "smallint", Some("N")).contains("does not hold every value of it"));
    assert!(why(&type1, "n", "super", Some("N")).contains("does not hold every value of it"));
    assert!(why(&type2, "id", "varchar(64)", None).contains("dw_key"));
    let mut composite = type1.draft();
    composite.key.push("n".into());
    let composite = composite.check().unwrap();
    assert!(why(&composite, "id", "bigint", None).contains("primary key with several columns"));
    assert!(why(&composite, "n", "bigint", Some("N")).contains("another target table"));
}

#[test]
fn a_replacement_of_too_many_columns_is_refused() {
    let mut draft = contract(Type1, Hard).draft();
    draft.columns.extend((0..4).map(|n| column(&format!("c{n}"), "integer", None).into()));
    let contract = draft.check().unwrap();
    let columns: Vec<_> = (0..4).map(|n| column(&format!("c{n}"), "bigint", None)).collect();
    assert_eq!(Promotion::of(&contract).migration(&columns).unwrap().replacement.len(), 40);
    let five = [&columns[..], &[column("n", "bigint", Some("N"))]].concat();
    assert!(Promotion::of(&contract).migration(&five).unwrap_err().to_string().contains("--only"));
}

/// A value waits that a column of the chosen type would not take.
#[tokio::test(flavor = "multi_thread")]
async fn values_that_a_chosen_type_does_not_take_are_counted() {
    let mut warehouse = Warehouse::open().await;
    let old = contract(Type1, Hard);
    warehouse.make(&old).await;
    let first =
        json!({ "N": 3_000_000_000_u64, "at": "2026-03-01", "name": "a", "tags": [1], "code": "12", "real": 0.1 });
    let second = json!({ "N": 5, "at": "yesterday", "name": null, "tags": { "a": 1 }, "code": "x" });
    let csv = [line(1, "\\N,1.5,1", &first), line(2, "\\N,1.5,1", &second)].concat();
    warehouse.load_text(&old, 4, &csv).await.unwrap();
    for (field, kind, wanted) in [
        ("N", "integer", Some(["1", "3000000000"])),
        ("N", "bigint", None),
        ("N", "varchar(9)", Some(["1", "3000000000"])),
        ("at", "date", Some(["1", "yesterday"])),
        ("at", "varchar(64)", None),
        ("name", "varbyte(64)", Some(["1", "a"])),
        ("name", "boolean", Some(["1", "a"])),
        ("tags", "geometry", Some(["2", "[1]"])),
        ("tags", "super", None),
        ("tags", "varchar(64)", None),
        ("code", "integer", Some(["1", "x"])),
        ("real", "double precision", None),
    ] {
        let found = warehouse.texts(&Promotion::of(&old).misfits(&[column(field, kind, None)])).await;
        let wanted: Vec<Vec<String>> =
            wanted.iter().map(|[values, example]| [field, values, example].map(str::to_owned).to_vec()).collect();
        assert_eq!(found, wanted, "{field} {kind}");
    }
    let both = [column("N", "integer", None), column("at", "date", None)];
    assert_eq!(warehouse.texts(&Promotion::of(&old).misfits(&both)).await.len(), 2);
    warehouse.server.drop_database().await;
}

/// A user made the table with a narrower type than the contract has: the statements of the message change it.
#[tokio::test(flavor = "multi_thread")]
async fn the_advice_about_a_table_of_another_type_works() {
    let warehouse = Warehouse::open().await;
    let old = contract(Type1, Hard);
    warehouse.make(&old).await;
    let mut new = old.draft();
    new.columns[1].column_type = "bigint".into();
    let new = new.check().unwrap();
    let promotion = Promotion::of(&new);
    let refused = warehouse.prepare(&promotion).await.unwrap_err().to_string();
    let (_, statements) = refused.split_once("BEGIN;\n").unwrap();
    let statements = statements.strip_suffix(";\nCOMMIT;").unwrap();
    warehouse.transaction(statements.split(";\n").map(str::to_owned).collect()).await.unwrap();
    assert_eq!(warehouse.prepare(&promotion).await.unwrap(), [""; 0]);
    warehouse.server.drop_database().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_of_a_user_is_not_dropped() {
    let warehouse = Warehouse::open().await;
    let old = contract(Type1, Hard);
    warehouse.make(&old).await;
    warehouse
        .transaction(vec!["CREATE VIEW shop.totals AS SELECT SUM(n) AS total FROM shop.\"order\"".into()])
        .await
        .unwrap();
    let migration = Promotion::of(&old).migration(&[column("n", "bigint", Some("N"))]).unwrap();
    let refused = warehouse.transaction(migration.replacement).await.unwrap_err();
    assert!(refused.contains("depend on it"), "{refused}");
    warehouse.server.drop_database().await;
}
