//! Cases that random streams do not cover: concurrent loads, names that contain SQL, tables at the limits of the Data API.

use serde_json::json;
use shiftwork_change_data::contract::{
    Deletes::{Close, Hard, Soft},
    DraftColumn,
    Format::{Debezium, Dynamodb},
    MergeStrategy::{LatestNonNull, LatestRow},
    PromoteKind::{Append, Type1, Type2, Type7},
};
use shiftwork_promotion::{Load, Promotion};

use crate::contracts::{changed, contract};
use crate::migrations::column;
use crate::model::{self, Event, Sent};
use crate::warehouse::{File, Warehouse};

/// An event of key 1 with a note.
pub(crate) fn noted(position: u64, operation: &'static str, note: Sent) -> Event {
    Event {
        key: Some((1, "eu".into())),
        operation,
        position,
        values: [note, Sent::Value("1.50".into()), Sent::Value("true".into()), Sent::Value("[1]".into())],
    }
}

pub(crate) fn value(text: &str) -> Sent {
    Sent::Value(text.into())
}

/// A file of partition 0 with all columns.
pub(crate) fn file(events: &[Vec<Event>]) -> File<'_> {
    File { columns: 6, note: 40, partition: 0, records: events.iter().map(Vec::as_slice).enumerate().collect() }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_loads_equal_sequential_loads() {
    let mut warehouse = Warehouse::open().await;
    for (kind, deletes) in [(Type1, Hard), (Type2, Close), (Append, Hard)] {
        let contract = contract(kind, LatestRow, deletes, Debezium);
        warehouse.make(&contract).await;
        let records: Vec<Vec<Event>> = (1..=6).map(|at| vec![noted(at, "update", value("x"))]).collect();
        let loads: Vec<Load> = (1..=6).map(|to| warehouse.put(&[file(&records[..to])])).collect();
        let all = loads.iter().chain(&loads).map(|load| warehouse.load(&contract, load));
        for outcome in futures_join(all).await {
            outcome.unwrap();
        }
        let events: Vec<Event> = records.into_iter().flatten().collect();
        assert_eq!(warehouse.table(&contract).await, model::table(&events, kind, LatestRow, deletes), "{kind:?}");
    }
    warehouse.server.drop_database().await;
}

async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, slot) in futures.iter_mut().zip(&mut done).filter(|(_, slot)| slot.is_none()) {
            if let std::task::Poll::Ready(output) = future.as_mut().poll(context) {
                *slot = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_only_the_transport_identifies_an_event() {
    let mut warehouse = Warehouse::open().await;
    let contract = changed(&contract(Append, LatestRow, Hard, Debezium), |draft| draft.key.clear());
    warehouse.make(&contract).await;
    // All rows of a snapshot have the same position.
    let alike = vec![vec![noted(7, "read", value("x"))], vec![noted(7, "read", value("x"))]];
    let load = warehouse.put(&[file(&alike), file(&alike[..1])]);
    for _ in 0..2 {
        warehouse.load(&contract, &load).await.unwrap();
        assert_eq!(warehouse.table(&contract).await.len(), 2);
    }
    warehouse.server.drop_database().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_contain_sql_are_quoted() {
    let mut warehouse = Warehouse::open().await;
    let names =
        ["select", "he said \"no\"", "a'b; drop table x; --", "back\\slash", "größe", "user", "copy", "gaps", "value"];
    for (kind, deletes, take) in [
        (Type1, Hard, LatestNonNull),
        (Type1, Soft, LatestRow),
        (Type2, Soft, LatestRow),
        (Type7, Close, LatestRow),
        (Append, Hard, LatestRow),
    ] {
        let contract = changed(&contract(kind, take, deletes, Debezium), |draft| {
            draft.contract = "a-b_c".into();
            draft.target.table = "order\"; --".into();
            draft.target.distkey = None;
            draft.key = vec!["select".into()];
            // A field with a line break, and with blanks after it.
            let field = |name: &str| name.to_uppercase().replace("GAPS", "GA\n   PS");
            let column = |name: &str| json!({ "name": name, "from": field(name), "type": "varchar(40)" });
            draft.columns = serde_json::from_value(json!(names.map(column))).unwrap();
        });
        warehouse.make(&contract).await;
        let row = "k,\"x\"\"y\",\\N,c,d,e,f,g,h,1970-01-01 00:00:01,create,\\N,\\N,\",3,\",1,kafka/a/0,1\n\
                   k,x,\\N,c,d,e,f,g,h,1970-01-01 00:00:02,update,\\N,\\N,\",3,\",2,kafka/a/0,2\n\
                   k,x,\\N,c,d,e,f,g,h,1970-01-01 00:00:03,delete,\\N,\\N,\\N,3,kafka/a/0,3\n";
        // Files of two layouts: the values of the columns that the older layout lacks are in `dw_md_missing_data`.
        let old = "m,\"x\",1970-01-01 00:00:04,create,\"{\"\"A'B; DROP TABLE X; --\"\": \"\"it's\"\", \"\"BACK\\\\SLASH\"\": 5, \"\"GA\\n   PS\"\": 7}\",\\N,\\N,4,kafka/a/0,4\n";
        let load = Load { groups: vec![(9, warehouse.file(row)), (2, warehouse.file(old))], ..Load::default() };
        warehouse.load(&contract, &load).await.unwrap_or_else(|error| panic!("{kind:?} {deletes:?} {take:?}: {error}"));
        let table = Promotion::of(&contract).tables().production.qualified();
        let rows = warehouse
            .server
            .rows(&format!(
                "SELECT \"a'b; drop table x; --\", \"back\\slash\", gaps FROM {table} WHERE \"select\" = 'm'"
            ))
            .await;
        let promotion = Promotion::of(&contract);
        let longer = column("he said \"no\"", "varchar(80)", Some("HE SAID \"NO\""));
        let migration = promotion.migration(&[longer, column("it's new", "super", None)]).unwrap();
        warehouse.migrate(&migration).await;
        // SUPER has no path to a name with a backslash or a line break: the value is copied, and stays in `dw_md_missing_data`.
        let left = ["BACK\\SLASH", "GA\n   PS"].map(|field| (field.to_owned(), 1));
        assert_eq!(warehouse.fields_that_wait(&contract).await, left.into(), "{kind:?}");
        let found = [0, 1, 2].map(|at| rows[0][at]["stringValue"].clone());
        assert_eq!(found, [json!("it's"), json!("5"), json!("7")], "{kind:?}");
    }
    warehouse.server.drop_database().await;
}

/// Tables with the most columns and the longest names of Redshift. PostgreSQL has lower limits, so the statements are not run.
#[test]
fn the_widest_tables_keep_to_the_limits_of_the_data_api() {
    for (kind, take, deletes, format) in [
        (Type1, LatestRow, Hard, Debezium),
        (Type1, LatestNonNull, Soft, Debezium),
        (Type1, LatestRow, Soft, Dynamodb),
        (Type2, LatestRow, Soft, Debezium),
        (Type7, LatestRow, Hard, Debezium),
        (Append, LatestRow, Hard, Debezium),
    ] {
        for (columns, length) in [(1583, 23), (680, 60), (334, 127)] {
            let contract = changed(&contract(kind, take, deletes, format), |draft| {
                draft.target.distkey = None;
                draft.key = vec!["id".into()];
                draft.columns.truncate(1);
                for number in 1..columns {
                    let column_type = if number % 100 == 0 { "super" } else { "varchar(100)" };
                    draft.columns.push(DraftColumn {
                        name: format!("c{number:_>width$}", width = length - 1),
                        column_type: column_type.into(),
                        from: None,
                        source_type: None,
                    });
                }
            });
            let promotion = Promotion::of(&contract);
            assert!(promotion.ddl().iter().all(|sql| sql.len() <= 100_000), "{kind:?} {columns} of {length}");
            for layouts in [vec![columns], vec![columns - 20, columns]] {
                let groups = layouts.iter().map(|columns| (*columns, "s3://bucket/manifest".to_owned())).collect();
                let load = promotion.load(&Load { groups, ..Load::default() });
                let load = load
                    .unwrap_or_else(|problem| panic!("{kind:?} {take:?} {deletes:?} {columns} of {length}: {problem}"));
                assert!(load.len() <= 40 && load.iter().all(|sql| sql.len() <= 100_000));
            }
            let migration = promotion.migration(&[column("one_more", "varchar(64)", None)]);
            let migration = migration
                .unwrap_or_else(|problem| panic!("{kind:?} {take:?} {deletes:?} {columns} of {length}: {problem}"));
            assert!(migration.transaction.len() <= 40 && migration.transaction.iter().all(|sql| sql.len() <= 100_000));
            assert!(promotion.drift_report(100).len() <= 100_000);
        }
    }
}

#[test]
fn a_load_of_files_that_a_newer_contract_staged_is_refused() {
    let contract = contract(Type1, LatestRow, Hard, Debezium);
    let promotion = Promotion::of(&contract);
    let newer = Load { groups: vec![(7, "s3://b/m".into())], ..Load::default() };
    assert!(promotion.load(&newer).unwrap_err().to_string().contains("newer contract"));
    assert_eq!(promotion.load(&Load::default()).unwrap(), Vec::<String>::new());
}
