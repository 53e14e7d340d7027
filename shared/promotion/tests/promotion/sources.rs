//! Events as their sources send them: decoded by a contract, staged, loaded, and read from the table.

use serde_json::{Value, json};
use shiftwork_change_data::compiled::Compiled;
use shiftwork_change_data::contract::{Column, TableContract, read};
use shiftwork_change_data::stage::{Outcome, Record, Stager};
use shiftwork_change_data::transport::{Offset, Partition};
use shiftwork_promotion::{Load, Promotion};
use shiftwork_protocol::dropped_rows;

use crate::warehouse::Warehouse;

/// A partition of a topic whose records are loaded by a contract.
pub(crate) struct Topic {
    pub(crate) warehouse: Warehouse,
    pub(crate) compiled: Compiled,
    offset: u64,
    /// The rows that the last load dropped because of the watermark, as it counts them.
    dropped: Option<i64>,
}

impl Topic {
    pub(crate) async fn open(source: &str, key: &str, columns: &str, promote: &str) -> Self {
        let text = format!(
            "contract: c\nsource: {source}\ntarget: {{ schema: shop, table: t, staging_schema: staging }}\nkey: {key}\n\
             columns: {columns}\npromote: {promote}\n"
        );
        Self::of(read("c.yaml", &text).unwrap()).await
    }

    pub(crate) async fn of(contract: TableContract) -> Self {
        let compiled = Compiled::new(contract);
        let warehouse = Warehouse::open().await;
        warehouse.make(compiled.contract()).await;
        Self { warehouse, compiled, offset: 0, dropped: None }
    }

    pub(crate) fn contract(&self) -> &TableContract {
        self.compiled.contract()
    }

    /// Loads records at the next offsets. Each is a value, or a list of a key and a value.
    pub(crate) async fn load(&mut self, records: &[Value]) {
        let mut stager = Stager::new(&self.compiled, Partition::kafka("t", 0), Vec::new());
        for record in records {
            let (key, value) = match record {
                Value::Array(both) => (Some(both[0].to_string()), both[1].to_string()),
                value => (None, value.to_string()),
            };
            let (offset, key) = (Offset::number(self.offset), key.as_deref().map(str::as_bytes));
            let outcome = stager.record(Record { value: value.as_bytes(), key, offset: &offset }).unwrap();
            assert!(matches!(outcome, Outcome::Staged(_)), "{outcome:?}");
            self.offset += 1;
        }
        let csv = String::from_utf8(stager.finish().sink).unwrap();
        let columns = self.contract().columns().len();
        let load = Load { groups: vec![(columns, self.warehouse.file(&csv))], ..Load::default() };
        self.dropped = dropped_rows(&self.warehouse.reported(self.contract(), &load).await);
    }

    /// Migrates the table to these columns, and loads by the new contract from now on.
    pub(crate) async fn migrate(&mut self, columns: &[Column]) {
        let migration = Promotion::of(self.contract()).migration(columns).unwrap();
        self.warehouse.migrate(&migration).await;
        self.compiled = Compiled::new(migration.contract);
    }

    /// The fields in `dw_md_missing_data`.
    pub(crate) async fn waiting(&self) -> Vec<String> {
        self.warehouse.fields_that_wait(self.contract()).await.into_keys().collect()
    }

    /// The rows of the table, each as a text of these expressions.
    pub(crate) async fn rows(&self, expressions: &str) -> Vec<String> {
        let table = Promotion::of(self.contract()).tables().production.qualified();
        let list: Vec<String> =
            expressions.split(", ").map(|expression| format!("NVL(({expression})::VARCHAR, '-')")).collect();
        let sql = format!("SELECT {} FROM {table}", list.join(" || ' ' || "));
        let mut rows: Vec<String> = self.warehouse.texts(&sql).await.into_iter().map(|mut row| row.remove(0)).collect();
        rows.sort();
        rows
    }

    pub(crate) async fn close(self) {
        self.warehouse.server.drop_database().await;
    }
}

const POSTGRESQL: &str = "{ format: debezium, table: public.t }";
const COLUMNS: &str = "[{ name: id, type: bigint }, { name: v, type: varchar(40) }]";

/// An event of PostgreSQL. `committed` is the end of the transaction that committed before, if Debezium has streamed one. The
/// transaction commits at once.
fn postgresql(op: &str, id: u64, v: &str, committed: Option<u64>, lsn: u64) -> Value {
    let sequence = json!([committed.map(|place| place.to_string()), lsn.to_string()]).to_string();
    let row = json!({ "id": id, "v": v });
    let (before, after) = if op == "d" { (row, Value::Null) } else { (Value::Null, row) };
    let source = json!({
        "connector": "postgresql", "name": "shop", "db": "shop", "schema": "public", "table": "t", "sequence": sequence, "lsn": lsn,
    });
    at(lsn, json!({ "before": before, "after": after, "op": op, "source": source }))
}

/// The event, of a transaction that commits when the log has this length.
fn at(committed: u64, mut event: Value) -> Value {
    event["source"]["ts_ms"] = (1_700_000_000_000 + committed).into();
    event
}

/// A transaction that is open while the snapshot is read writes before the snapshot's place in the log and commits behind it. Debezium
/// has not streamed a commit yet, so the event does not say so.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_transaction_after_a_snapshot_is_later_than_its_rows() {
    for (promote, wanted) in [
        ("{ kind: type1 }", vec!["1 updated again", "3 of the transaction"]),
        ("{ kind: type1, deletes: soft }", vec!["1 updated again", "2 snapshot", "3 of the transaction"]),
        (
            "{ kind: type2, deletes: close }",
            vec!["1 snapshot", "1 updated", "1 updated again", "2 snapshot", "3 of the transaction"],
        ),
    ] {
        let snapshot = [postgresql("r", 1, "snapshot", None, 5000), postgresql("r", 2, "snapshot", None, 5000)];
        let transaction = [
            at(5010, postgresql("u", 1, "updated", None, 4990)),
            at(5010, postgresql("d", 2, "", None, 4992)),
            at(5010, postgresql("u", 1, "updated again", None, 5004)),
            at(5010, postgresql("c", 3, "of the transaction", None, 5006)),
        ];
        // In one load; in two; the transaction in parts; and again under new offsets, as after a crash of the connector.
        for loads in [
            vec![[&snapshot[..], &transaction].concat()],
            vec![snapshot.to_vec(), transaction.to_vec()],
            vec![snapshot.to_vec(), transaction[..1].to_vec(), transaction[1..].to_vec()],
            vec![snapshot.to_vec(), transaction[..1].to_vec(), transaction.to_vec(), transaction.to_vec()],
        ] {
            let mut topic = Topic::open(POSTGRESQL, "[id]", COLUMNS, promote).await;
            for load in &loads {
                topic.load(load).await;
            }
            assert_eq!(topic.rows("id, v").await, wanted, "{promote}, {} loads", loads.len());
            topic.close().await;
        }
    }
}

/// After the first commit, and after a second snapshot, the order is that of the log.
#[tokio::test(flavor = "multi_thread")]
async fn later_transactions_and_snapshots_follow_the_first_transaction() {
    let first = at(5010, postgresql("u", 1, "first", None, 4990));
    let again = postgresql("r", 1, "snapshot again", None, 9000);
    // In a history the events are in the order of `v`, and each is there once.
    for (promote, has_versions) in [("{ kind: type1 }", false), ("{ kind: type2, deletes: close }", true)] {
        let mut topic = Topic::open(POSTGRESQL, "[id]", COLUMNS, promote).await;
        topic.load(&[postgresql("r", 1, "snapshot", None, 5000), first.clone()]).await;
        topic.load(&[at(5020, postgresql("u", 1, "second", Some(5010), 4995))]).await;
        topic.load(std::slice::from_ref(&first)).await;
        let condition = if has_versions { "dw_current" } else { "true" };
        let row = format!("CASE WHEN {condition} THEN v ELSE 'earlier' END");
        assert!(topic.rows(&row).await.contains(&"second".into()), "{promote}: the first transaction is sent again");
        topic.load(std::slice::from_ref(&again)).await;
        assert!(topic.rows(&row).await.contains(&"snapshot again".into()), "{promote}");
        topic.load(std::slice::from_ref(&first)).await;
        topic.load(&[again.clone(), first.clone()]).await;
        assert!(
            topic.rows(&row).await.contains(&"snapshot again".into()),
            "{promote}: sent again after both snapshots"
        );
        assert_eq!(topic.rows("v").await.len(), if has_versions { 4 } else { 1 }, "{promote}");
        topic.close().await;
    }
}

/// An event from before a snapshot that is sent again is older than the row of the snapshot, in one load or in several.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_from_before_a_snapshot_never_replaces_its_row() {
    let snapshot = postgresql("r", 1, "snapshot", None, 500);
    for old in [
        postgresql("c", 1, "old", None, 100),
        postgresql("c", 1, "old", Some(100), 100),
        // Not of the first transaction, so the place is that of the log, whatever the time.
        at(600, postgresql("c", 1, "old", Some(100), 100)),
    ] {
        for loads in [
            vec![vec![old.clone()], vec![snapshot.clone()], vec![old.clone()]],
            vec![vec![snapshot.clone(), old.clone()]],
            vec![vec![old.clone(), snapshot.clone(), old.clone()]],
        ] {
            let mut topic = Topic::open(POSTGRESQL, "[id]", COLUMNS, "{ kind: type1 }").await;
            for load in &loads {
                topic.load(load).await;
            }
            assert_eq!(topic.rows("v").await, ["snapshot"], "{loads:?}");
            topic.close().await;
        }
    }
}

fn mongodb(op: &str, parts: &Value) -> Value {
    let mut event = json!({
        "before": null, "after": null, "op": op, "ts_ms": 1_700_000_001_000_u64,
        "source": {
            "connector": "mongodb", "name": "m", "db": "shop", "collection": "t", "ts_ms": 1_700_000_001_000_u64, "ord": 1,
            "txnNumber": 9,
        },
    });
    event.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
    json!([{ "id": "\"k\"" }, event])
}

const DOCUMENTS: &str = "{ format: debezium-mongodb, table: shop.t }";
const FIELDS: &str = "[{ name: _id, type: varchar(8) }, { name: a, type: bigint }, { name: b, type: bigint }]";

/// All events of a transaction of MongoDB have one cluster time.
#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_a_transaction_of_mongodb_counts() {
    let transaction = [
        mongodb("c", &json!({ "after": r#"{"_id": "k", "a": 1, "b": 1}"# })),
        mongodb("u", &json!({ "updateDescription": { "updatedFields": r#"{"a": 2}"# } })),
        mongodb("u", &json!({ "updateDescription": { "updatedFields": r#"{"b": 3}"# } })),
    ];
    for (promote, wanted) in [
        ("{ kind: append }", vec!["k - 3", "k 1 1", "k 2 -"]),
        ("{ kind: type1 }", vec!["k 2 3"]),
        ("{ kind: type2, deletes: close }", vec!["k 1 1", "k 2 1", "k 2 3"]),
    ] {
        let mut topic = Topic::open(DOCUMENTS, "[_id]", FIELDS, promote).await;
        topic.load(&transaction).await;
        assert_eq!(topic.rows("_id, a, b").await, wanted, "{promote}");
        topic.load(&transaction).await;
        assert_eq!(topic.rows("_id, a, b").await, wanted, "{promote}: the transaction is sent again");
        let delete = mongodb("d", &json!({}));
        topic.load(std::slice::from_ref(&delete)).await;
        topic.load(&[delete]).await;
        let deletes = topic.rows("dw_md_operation").await.iter().filter(|operation| *operation == "delete").count();
        assert_eq!(deletes, usize::from(promote.contains("append")), "{promote}");
        assert_eq!(topic.rows("_id, a, b").await.is_empty(), promote.contains("type1"), "{promote}");
        topic.close().await;
    }
}

/// Connectors whose log has no position that can be sorted. Members of `source` say which change an event is.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_any_connector_that_is_sent_again_is_there_once() {
    for (connector, members) in [
        ("vitess", json!({ "shard": "-80", "vgtid": "[{\"shard\":\"-80\",\"gtid\":\"MySQL56/x:1-0\"}]" })),
        ("spanner", json!({ "sequence": "1", "server_transaction_id": "t", "mod_number": 0, "read_at_timestamp": 1 })),
        ("cockroachdb", json!({ "cluster": "a" })),
        ("yashandb", json!({ "scn": "12", "commit_scn": "13" })),
    ] {
        let event = |v: &str, read_at: u64| {
            let mut event = json!({
                "before": null, "after": { "id": 1, "v": v }, "op": "u", "ts_ms": read_at,
                "source": { "connector": connector, "name": "x", "db": "", "table": "t", "ts_ms": 1_700_000_001_000_u64 },
            });
            let source = event["source"].as_object_mut().unwrap();
            source.extend(members.as_object().unwrap().clone());
            if source.contains_key("read_at_timestamp") {
                source.insert("read_at_timestamp".into(), read_at.into());
            }
            // The connector was upgraded before it sent its events again, and other shards went on.
            if read_at > 7 {
                source.insert("version".into(), "3.4.0.Final".into());
                source.insert("ts_us".into(), 1_700_000_001_000_456_u64.into());
                source.insert("a_new_member".into(), read_at.into());
                if let Some(vgtid) = source.get_mut("vgtid") {
                    *vgtid = json!(
                        "[{\"shard\":\"80-\",\"gtid\":\"MySQL56/y:1-9\"},{\"shard\":\"-80\",\"gtid\":\"MySQL56/x:1-0\"}]"
                    );
                }
            }
            event
        };
        for (promote, wanted) in [
            ("{ kind: append }", vec!["1 a", "1 b"]),
            ("{ kind: type1 }", vec!["1 b"]),
            ("{ kind: type2, deletes: close }", vec!["1 a", "1 b"]),
        ] {
            let mut topic = Topic::open("{ format: debezium, table: t }", "[id]", COLUMNS, promote).await;
            topic.load(&[event("a", 1), event("b", 2)]).await;
            topic.load(&[event("a", 8), event("b", 9)]).await;
            assert_eq!(topic.rows("id, v").await, wanted, "{connector} {promote}");
            topic.close().await;
        }
    }
}

/// A flattened row of MySQL whose place in the log is not known. `time` is the time of the change in seconds, or the
/// time at which a snapshot read the row.
fn flattened(op: &str, v: &str, time: u64) -> Value {
    json!({
        "id": 1, "v": v, "__op": op, "__deleted": if op == "d" { "true" } else { "false" }, "__table": "t",
        "__source_ts_ms": 1_700_000_000_000 + 1000 * time,
    })
}

/// A row of a snapshot has the time when it was read, which is after changes that it does not contain.
#[tokio::test(flavor = "multi_thread")]
async fn flattened_rows_without_a_place_in_the_log_have_the_order_of_their_topic() {
    let events = [flattened("r", "a", 9), flattened("u", "b", 5), flattened("u", "a", 6), flattened("u", "c", 7)];
    for (promote, wanted) in [
        ("{ kind: append }", vec!["1 a", "1 a", "1 b", "1 c"]),
        ("{ kind: type1 }", vec!["1 c"]),
        ("{ kind: type2, deletes: close }", vec!["1 a", "1 a", "1 b", "1 c"]),
    ] {
        let mut topic = Topic::open("{ format: debezium, table: t }", "[id]", COLUMNS, promote).await;
        topic.load(&events).await;
        assert_eq!(topic.rows("id, v").await, wanted, "{promote}");
        // The connector sends its last events again.
        topic.load(&events[1..]).await;
        assert_eq!(topic.rows("id, v").await, wanted, "{promote}: sent again");
        topic.load(&[flattened("d", "c", 8)]).await;
        assert_eq!(topic.rows("id, v").await.is_empty(), promote.contains("type1"), "{promote}: deleted");
        topic.close().await;
    }
}

/// An event of a connector without a position that can be sorted, at this second.
fn vitess(v: &str, second: u64) -> Value {
    json!({
        "before": null, "after": { "id": 1, "v": v }, "op": "u", "ts_ms": 1,
        "source": { "connector": "vitess", "name": "x", "db": "", "table": "t", "ts_ms": 1_700_000_000_000 + 1000 * second },
    })
}

/// Fact tables refer to a version by `dw_key`, so it stays the same although the copy that arrived last is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_keeps_its_surrogate_key_when_its_event_is_sent_again() {
    let transaction = [
        mongodb("c", &json!({ "after": r#"{"_id": "k", "a": 1, "b": 1}"# })),
        mongodb("u", &json!({ "updateDescription": { "updatedFields": r#"{"a": 2}"# } })),
    ];
    // `a` returns after two seconds, which is another version.
    let changes = [vitess("a", 1), vitess("b", 2), vitess("a", 3)];
    let relational = |generation: u16| format!("{{ format: debezium, table: t, generation: {generation} }}");
    for (source, key, columns, events) in [
        (DOCUMENTS.to_owned(), "[_id]", FIELDS, &transaction[..]),
        (relational(0), "[id]", COLUMNS, &changes[..]),
        (relational(1), "[id]", COLUMNS, &changes[..]),
    ] {
        for promote in ["{ kind: type2, deletes: close }", "{ kind: type7, deletes: soft }"] {
            let mut topic = Topic::open(&source, key, columns, promote).await;
            topic.load(events).await;
            let keys = topic.rows("dw_key").await;
            topic.load(&[&events[..1], events].concat()).await;
            assert_eq!(topic.rows("dw_key").await, keys, "{source} {promote}");
            let different: std::collections::BTreeSet<_> = keys.iter().collect();
            assert_eq!((keys.len(), different.len()), (events.len(), events.len()), "{source} {promote}");
            topic.close().await;
        }
    }
}

/// A column of the key, after the first, can be NULL: rows are found by NULL as by a value.
#[tokio::test(flavor = "multi_thread")]
async fn a_null_in_a_composite_key_is_a_key() {
    let columns = "[{ name: v, type: varchar(40) }, { name: b, type: varchar(10) }, { name: a, type: bigint }]";
    let event = |op: &str, b: Value, v: &str, lsn: u64| {
        let row = json!({ "a": 1, "b": b, "v": v });
        let (before, after) = if op == "d" { (row, Value::Null) } else { (Value::Null, row) };
        let source = json!({ "connector": "postgresql", "schema": "public", "table": "t", "ts_ms": lsn, "lsn": lsn });
        json!({ "before": before, "after": after, "op": op, "source": source })
    };
    for (promote, wanted) in [
        ("{ kind: type1 }", vec!["1  empty", "1 - second"]),
        ("{ kind: type2, deletes: close }", vec!["1  empty", "1 - first", "1 - second", "1 k gone"]),
        ("{ kind: append }", vec!["1  empty", "1 - first", "1 - second", "1 k gone", "1 k gone"]),
    ] {
        let mut topic = Topic::open(POSTGRESQL, "[a, b]", columns, promote).await;
        let events = [
            event("c", Value::Null, "first", 1),
            event("c", json!(""), "empty", 2),
            event("c", json!("k"), "gone", 3),
            event("u", Value::Null, "second", 4),
            event("d", json!("k"), "gone", 5),
        ];
        topic.load(&events[..3]).await;
        topic.load(&events[3..]).await;
        topic.load(&events).await;
        assert_eq!(topic.rows("a, b, v").await, wanted, "{promote}");
        topic.close().await;
    }
}

/// A row of a snapshot has the time when its table was read, which is after a change of the row in the meantime.
#[tokio::test(flavor = "multi_thread")]
async fn no_version_ends_before_it_starts() {
    let event = |op: &str, v: &str, pos: u64, ts_ms: u64| {
        let source = json!({ "connector": "mysql", "db": "d", "table": "t", "file": "bin.000003", "pos": pos, "row": 0, "ts_ms": ts_ms });
        json!({ "before": null, "after": { "id": 1, "v": v }, "op": op, "source": source })
    };
    for promote in ["{ kind: type2, deletes: close }", "{ kind: type7, deletes: soft }"] {
        let mut topic = Topic::open("{ format: debezium, table: d.t }", "[id]", COLUMNS, promote).await;
        topic.load(&[event("r", "snapshot", 1000, 1_700_000_050_000)]).await;
        topic.load(&[event("u", "changed", 2000, 1_700_000_010_000)]).await;
        assert_eq!(
            topic.rows("v, dw_end_date >= dw_start_date, dw_current").await,
            ["changed true true", "snapshot true false"],
            "{promote}"
        );
        topic.close().await;
    }
}

/// A topic that is deleted and created again counts its offsets from zero, below the watermark of the topic before it.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_created_again_loses_no_row() {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let now = i64::try_from(now).unwrap();
    let event = |op: &str, v: &str, lsn: u64, hours: i64| {
        let mut event = postgresql(op, lsn, v, Some(lsn), lsn);
        event["source"]["ts_ms"] = (now + hours * 3_600_000).into();
        event
    };
    // With a key a row of the last hour can be new. Without one, only a row that was certainly not there.
    for (key, promote, hours) in
        [("[id]", "{ kind: type1 }", -1), ("[id]", "{ kind: append }", -1), ("[]", "{ kind: append }", 16)]
    {
        let mut topic = Topic::open(POSTGRESQL, key, COLUMNS, promote).await;
        topic.load(&[event("c", "old", 1, -30), event("c", "old", 2, -30)]).await;
        topic.offset = 0;
        topic.load(&[event("r", "new", 3, hours)]).await;
        assert_eq!(topic.rows("id, v").await, ["1 old", "2 old", "3 new"], "{key} {promote}");
        topic.offset = 0;
        topic.load(&[event("c", "old", 1, -30), event("c", "old", 4, -30)]).await;
        assert_eq!(topic.rows("id, v").await, ["1 old", "2 old", "3 new", "4 old"], "{key} {promote}");
        topic.close().await;
    }
}

/// Rows of a topic that was created again and that are too old to be told from loaded ones are dropped, and counted.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_the_watermark_drops_are_counted() {
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let event = |id: u64, hours: i64| {
        let mut event = postgresql("c", id, "v", Some(id), id);
        event["source"]["ts_ms"] = (now + hours * 3_600_000).into();
        event
    };
    for (key, promote, sent_again, created_again, dropped) in [
        ("[id]", "{ kind: type1 }", -1, -30, 2),
        ("[id]", "{ kind: append }", -1, -30, 2),
        // Without a key, a row from before the last load was loaded before.
        ("[]", "{ kind: append }", -1, 1, 2),
    ] {
        let mut topic = Topic::open(POSTGRESQL, key, COLUMNS, promote).await;
        topic.load(&[event(1, -1), event(2, -1), event(3, -1)]).await;
        topic.offset = 0;
        topic.load(&[event(1, sent_again)]).await;
        assert_eq!(topic.dropped, None, "{key} {promote}");
        topic.offset = 2;
        topic.load(&[event(3, -1)]).await;
        topic.offset = 0;
        topic.load(&[event(8, created_again), event(9, created_again), event(10, 20)]).await;
        assert_eq!(topic.dropped, Some(dropped), "{key} {promote}");
        topic.close().await;
    }
}
