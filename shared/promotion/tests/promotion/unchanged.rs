//! A field that an event leaves out because it did not change keeps its value, whether or not it has a column.

use serde_json::{Value, json};
use shiftwork_change_data::{
    compiled::Compiled,
    contract::{
        Deletes::{Close, Hard, Soft},
        Format::{DebeziumMongodb, Dynamodb},
        MergeStrategy::LatestNonNull,
        PromoteKind::{Append, Type1, Type2, Type7},
        TableContract,
    },
    stage::{Outcome, Record, Stager},
    transport::{Offset, Partition},
};
use shiftwork_promotion::Promotion;

use crate::contracts::changed;
use crate::migrations::{column, marked, narrow};
use crate::warehouse::Warehouse;

const NO_VALUE: Value = Value::Null;

impl Warehouse {
    /// Migrates to a contract with a column for `Colour` and longer notes.
    async fn widen(&self, contract: &TableContract) -> TableContract {
        let columns = [column("note", "varchar(40)", None), column("colour", "varchar(16)", Some("Colour"))];
        let migration = Promotion::of(contract).migration(&columns).unwrap();
        for _ in 0..2 {
            self.migrate(&migration).await;
        }
        migration.contract
    }

    /// Note and colour of each row, in the order of key and position.
    async fn notes(&self) -> Vec<Vec<String>> {
        self.texts("SELECT note, colour FROM shop.\"order\" ORDER BY id, dw_md_position, dw_md_operation").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_without_a_column_that_did_not_change_has_its_value_when_the_column_comes() {
    let mut warehouse = Warehouse::open().await;
    for (kind, deletes) in [(Type1, Hard), (Type1, Soft), (Type2, Close), (Type7, Soft), (Type2, Hard)] {
        let contract = narrow(kind, deletes);
        warehouse.make(&contract).await;
        for line in [
            marked(1, 1, "create", Some("n1"), &json!({ "Colour": "red" }), ""),
            marked(1, 2, "update", Some("n2"), &NO_VALUE, ",00003,"),
            marked(1, 3, "update", Some("n3"), &json!({ "size": 5 }), ",00003,"),
        ] {
            warehouse.load_text(&contract, 3, &line).await.unwrap();
        }
        let waiting = [("Colour".to_owned(), 1), ("size".to_owned(), 1)].into();
        assert_eq!(warehouse.fields_that_wait(&contract).await, waiting, "{kind:?} {deletes:?}");
        let wide = warehouse.widen(&contract).await;
        let all = [["n1", "red"], ["n2", "red"], ["n3", "red"]];
        let rows = if kind == Type1 { &all[2..] } else { &all };
        assert_eq!(warehouse.notes().await, rows, "{kind:?} {deletes:?}");
        // From now on the column is treated as any other.
        let line = "1,eu,n4,\\N,1970-01-01 00:00:04,update,\\N,\\N,\",00004,4,\",0004,kafka/a/0,0004\n";
        warehouse.load_text(&wide, 4, line).await.unwrap();
        assert_eq!(warehouse.notes().await.last().unwrap(), &["n4", "red"], "{kind:?} {deletes:?}");
    }
    warehouse.server.drop_database().await;
}

/// A field is NULL if an event that left no field out lacks it, or has a JSON null.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_became_null_is_null_when_the_column_comes() {
    let mut warehouse = Warehouse::open().await;
    for (kind, deletes) in [(Type1, Hard), (Type1, Soft), (Type2, Close)] {
        let contract = narrow(kind, deletes);
        warehouse.make(&contract).await;
        // The event with the value is loaded last.
        for line in [
            marked(1, 3, "update", Some("n3"), &NO_VALUE, ",00003,"),
            marked(1, 2, "update", Some("n2"), &NO_VALUE, ""),
            marked(2, 3, "update", Some("n3"), &NO_VALUE, ",00003,"),
            marked(2, 2, "update", Some("n2"), &json!({ "Colour": null }), ",00003,"),
            marked(3, 3, "update", Some("n3"), &NO_VALUE, ",00003,"),
            marked(3, 2, "delete", None, &NO_VALUE, ""),
            [1, 2, 3].map(|id| marked(id, 1, "create", Some("n1"), &json!({ "Colour": "red" }), "")).concat(),
        ] {
            warehouse.load_text(&contract, 3, &line).await.unwrap();
        }
        warehouse.widen(&contract).await;
        let newest = warehouse.texts("SELECT colour FROM shop.\"order\" WHERE dw_md_position = '0003'").await;
        assert_eq!(newest, [["NULL"], ["NULL"], ["NULL"]], "{kind:?} {deletes:?}");
    }
    warehouse.server.drop_database().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_long_value_is_kept_when_its_column_is_widened() {
    let mut warehouse = Warehouse::open().await;
    for (kind, deletes) in [(Type1, Hard), (Type1, Soft), (Type2, Close), (Type7, Hard)] {
        let contract = narrow(kind, deletes);
        warehouse.make(&contract).await;
        for line in [
            marked(1, 1, "create", None, &json!({ "note": "too long" }), ""),
            marked(1, 2, "update", None, &NO_VALUE, ",3,"),
            marked(2, 1, "create", None, &json!({ "note": "much too long" }), ""),
            marked(2, 2, "update", Some("n2"), &NO_VALUE, ""),
        ] {
            warehouse.load_text(&contract, 3, &line).await.unwrap();
        }
        warehouse.widen(&contract).await;
        let current =
            warehouse.texts("SELECT note FROM shop.\"order\" WHERE dw_md_position = '0002' ORDER BY id").await;
        assert_eq!(current, [["too long"], ["n2"]], "{kind:?} {deletes:?}");
        assert_eq!(warehouse.fields_that_wait(&contract).await, [].into());
    }
    warehouse.server.drop_database().await;
}

/// With `latest-non-null` a NULL counts as not sent, and a value in `dw_md_missing_data` as sent.
#[tokio::test(flavor = "multi_thread")]
async fn the_latest_non_null_value_may_be_in_missing_data() {
    let mut warehouse = Warehouse::open().await;
    for deletes in [Hard, Soft] {
        for format in [narrow(Type1, deletes).source().format, Dynamodb] {
            let contract = changed(&narrow(Type1, deletes), |draft| {
                draft.promote.take = LatestNonNull;
                draft.source.format = format;
            });
            warehouse.make(&contract).await;
            for line in [
                marked(1, 1, "create", Some("n1"), &json!({ "Colour": "red" }), ""),
                marked(1, 2, "update", None, &json!({ "note": "too long" }), ""),
                marked(1, 3, "update", None, &NO_VALUE, ""),
                marked(2, 1, "create", None, &json!({ "note": "too long", "Colour": "blue" }), ""),
                marked(2, 2, "update", Some("n2"), &json!({ "Colour": null }), ""),
            ] {
                warehouse.load_text(&contract, 3, &line).await.unwrap();
            }
            assert_eq!(warehouse.texts("SELECT note FROM shop.\"order\" ORDER BY id").await, [["NULL"], ["n2"]]);
            let waiting = [("Colour".to_owned(), 2), ("note".to_owned(), 1)].into();
            assert_eq!(warehouse.fields_that_wait(&contract).await, waiting, "{deletes:?} {format:?}");
            warehouse.widen(&contract).await;
            assert_eq!(warehouse.notes().await, [["too long", "red"], ["n2", "blue"]], "{deletes:?} {format:?}");
        }
    }
    warehouse.server.drop_database().await;
}

/// In a file that was staged before the column existed, an absent field did not change if the event is marked so, and is NULL if the
/// event left no field out.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_from_before_the_column_says_what_did_not_change() {
    let mut warehouse = Warehouse::open().await;
    for (kind, deletes) in [(Type1, Hard), (Type1, Soft), (Type2, Close), (Append, Hard)] {
        let wide = changed(&narrow(kind, deletes), |draft| {
            draft.columns.push(column("colour", "varchar(16)", Some("Colour")).into());
            draft.columns.push(column("raw", "varbyte(16)", None).into());
        });
        warehouse.make(&wide).await;
        for (line, colour) in [
            (marked(1, 1, "create", Some("n1"), &json!({ "Colour": "red", "raw": "AAEC" }), ""), "red"),
            (marked(1, 2, "update", Some("n2"), &NO_VALUE, ",00003,"), if kind == Append { "NULL" } else { "red" }),
            (marked(1, 3, "update", Some("n3"), &json!({ "Colour": null }), ",00003,"), "NULL"),
            (marked(1, 4, "update", Some("n4"), &json!({ "Colour": "blue" }), ""), "blue"),
            (marked(1, 5, "update", Some("n5"), &NO_VALUE, ""), "NULL"),
        ] {
            warehouse.load_text(&wide, 3, &line).await.unwrap();
            assert_eq!(warehouse.notes().await.last().unwrap()[1], colour, "{kind:?} {line}");
        }
    }
    warehouse.server.drop_database().await;
}

/// Updates of MongoDB that do not have the whole document, from the event to the table.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_of_mongodb_without_the_whole_document_keeps_the_rest() {
    let mut warehouse = Warehouse::open().await;
    let source =
        |at: u64| json!({ "connector": "mongodb", "db": "shop", "collection": "orders", "ts_ms": 1, "ord": at });
    let whole = |at: u64, document: Value| {
        json!({ "op": "c", "before": null, "after": document.to_string(), "source": source(at) }).to_string()
    };
    let part = |at: u64, updated: Value, removed: &[&str]| {
        let update = json!({ "updatedFields": updated.to_string(), "removedFields": removed });
        json!({ "op": "u", "before": null, "after": null, "source": source(at), "updateDescription": update })
            .to_string()
    };
    let events = [
        whole(1, json!({ "_id": 1, "note": "n1", "Colour": "red", "size": 5 })),
        part(2, json!({ "note": "n2" }), &[]),
        part(3, json!({ "Colour": "blue" }), &["size"]),
        part(4, json!({ "note": "too long" }), &[]),
        part(5, json!({ "weight": 1.5 }), &["nothing"]),
    ];
    for (kind, deletes, wanted) in [
        (Type1, Hard, &[["too long", "blue", "NULL", "1.50"]][..]),
        (
            Type2,
            Close,
            &[
                ["n1", "red", "5", "NULL"],
                ["n2", "red", "5", "NULL"],
                ["n2", "blue", "NULL", "NULL"],
                ["too long", "blue", "NULL", "NULL"],
                ["too long", "blue", "NULL", "1.50"],
            ],
        ),
    ] {
        let contract = changed(&narrow(kind, deletes), |draft| {
            draft.source.format = DebeziumMongodb;
            draft.source.table = "shop.orders".into();
            draft.columns.remove(1);
            draft.columns[0].from = Some("_id".into());
            draft.key = vec!["id".into()];
        });
        warehouse.make(&contract).await;
        let compiled = Compiled::new(contract.clone());
        for (event, offset) in events.iter().zip(0..) {
            let mut stager = Stager::new(&compiled, Partition::kafka("orders", 0), Vec::new());
            let (offset, key) = (Offset::number(offset), Some(&br#"{"id":"1"}"#[..]));
            let outcome = stager.record(Record { value: event.as_bytes(), key, offset: &offset }).unwrap();
            assert!(matches!(outcome, Outcome::Staged(1)), "{outcome:?}");
            let csv = String::from_utf8(stager.finish().sink).unwrap();
            warehouse.load_text(&contract, 2, &csv).await.unwrap();
        }
        let columns = [
            column("note", "varchar(40)", None),
            column("colour", "varchar(16)", Some("Colour")),
            column("size", "int", None),
            column("weight", "decimal(9,2)", None),
        ];
        let migration = Promotion::of(&contract).migration(&columns).unwrap();
        warehouse.migrate(&migration).await;
        let found = warehouse
            .texts("SELECT note, colour, size, weight::VARCHAR FROM shop.\"order\" ORDER BY dw_md_position")
            .await;
        assert_eq!(found, wanted, "{kind:?}");
    }
    warehouse.server.drop_database().await;
}
