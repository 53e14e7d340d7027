//! Fields without a column are reported once and applied once, even if the schema-watcher is killed.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::join_all;
use serde_json::{Value, json};
use shiftwork_change_data::contract::{PromoteKind, TableContract, read};
use shiftwork_e2e::{Inbox, InvokeError, Stack};
use shiftwork_promotion::Promotion;
use shiftwork_protocol::keys::contract_key;
use shiftwork_protocol::{
    drift::{Drift, DriftRequest, DriftResponse, MigrationProgress},
    event,
    keys::drift_mark_key,
};

/// A contract with its tables, for one test.
struct Orders {
    stack: Arc<Stack>,
    name: String,
}

impl Orders {
    async fn new(stack: &Arc<Stack>, unknown: &str, promote: &str) -> Self {
        let name = Stack::unique("drift");
        let text = format!(
            "# Orders of a test.\n\
             contract: {name}\n\
             source: {{ format: debezium, table: public.orders }}\n\
             target: {{ schema: {name}, table: orders }}\n\
             key: [id]\n\
             columns:\n  \
               - {{ name: id, type: bigint }}   # of the shop\n  \
               - {{ name: note, type: varchar(16), from: Note }}\n\
             unknown: {unknown}\n\
             promote: {{ kind: {promote} }}\n"
        );
        let orders = Self { stack: Arc::clone(stack), name };
        orders.put("ScriptsBucket", &contract_key(&orders.name), &text).await;
        orders.sql("create schema {s}").await;
        let contract = orders.contract().await;
        for sql in Promotion::of(&contract).ddl() {
            stack.sql(&sql).await;
        }
        orders
    }

    async fn put(&self, bucket: &str, key: &str, text: &str) {
        let put = self.stack.s3.put_object().bucket(self.stack.output(bucket)).key(key);
        put.body(text.as_bytes().to_vec().into()).send().await.unwrap();
    }

    async fn text(&self) -> String {
        let get = self.stack.s3.get_object().bucket(self.stack.output("ScriptsBucket")).key(contract_key(&self.name));
        let body = get.send().await.unwrap().body.collect().await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    async fn contract(&self) -> TableContract {
        read("contract", &self.text().await).unwrap()
    }

    async fn sql(&self, sql: &str) -> Vec<Vec<String>> {
        self.stack.sql(&sql.replace("{s}", &self.name)).await
    }

    /// Inserts a row as a load does, with `missing` as the values without a column.
    async fn row(&self, id: u32, missing: &Value) {
        // In Redshift, a backslash in a string is an escape.
        let missing = missing.to_string().replace('\\', "\\\\");
        let (own, values) = match self.contract().await.promote().kind {
            PromoteKind::Type1 => ("", String::new()),
            PromoteKind::Type2 => (", dw_key", format!(", md5('{id}')")),
            PromoteKind::Type7 => (", dw_key, dw_durable_key, dw_current", format!(", md5('{id}'), md5('{id}'), true")),
            PromoteKind::Append => (", dw_md_partition, dw_md_offset", format!(", 'kafka/orders/0', '{id}'")),
        };
        self.sql(&format!(
            "insert into {{s}}.orders (id, dw_md_changed_at, dw_md_operation, dw_md_missing_data, dw_md_position{own}) \
             select {id}, timestamp '2026-03-01 00:00:0{id}', 'create', json_parse('{missing}'), '{id}'{values}"
        ))
        .await;
    }

    /// Puts the mark of a loaded file.
    async fn mark(&self, file: &str) {
        self.put("StagingBucket", &drift_mark_key(&self.name), file).await;
    }

    async fn is_marked(&self) -> bool {
        let head =
            self.stack.s3.head_object().bucket(self.stack.output("StagingBucket")).key(drift_mark_key(&self.name));
        head.send().await.is_ok()
    }

    async fn invoke(&self, request: &DriftRequest) -> Result<DriftResponse, InvokeError> {
        let response = self.stack.invoke("SchemaWatcherFunction", &serde_json::to_value(request).unwrap()).await?;
        Ok(serde_json::from_value(response).unwrap())
    }

    async fn check(&self) -> Drift {
        let look = DriftRequest::Look { contract: self.name.clone(), only: Vec::new(), types: BTreeMap::new() };
        self.invoke(&look).await.unwrap_or_else(|error| panic!("{error:?}")).contracts.remove(0)
    }

    fn apply(&self, migration: &str) -> DriftRequest {
        DriftRequest::Apply {
            contract: self.name.clone(),
            only: Vec::new(),
            types: BTreeMap::new(),
            migration: migration.into(),
        }
    }

    async fn watch(&self) -> Option<Drift> {
        let response =
            self.invoke(&DriftRequest::Watch { scheduled: true }).await.unwrap_or_else(|error| panic!("{error:?}"));
        response.contracts.into_iter().find(|drift| drift.contract == self.name)
    }

    /// All fields without a column, with their values.
    async fn waiting(&self) -> Vec<Vec<String>> {
        self.sql(
            "select o.id, f, json_serialize(v) from {s}.orders o, unpivot o.dw_md_missing_data as v at f \
             where json_typeof(v) <> 'null' order by o.id, f",
        )
        .await
    }

    /// The columns of the production table.
    async fn columns(&self) -> Vec<String> {
        let all = self.contract().await.columns().to_vec();
        all.iter().map(|column| format!("{} {}", column.name, column.column_type)).collect()
    }
}

#[tokio::test]
async fn new_columns_are_reported_once_and_applied_on_request() {
    let stack = Stack::exclusive().await;
    let orders = Orders::new(&stack, "capture", "type1").await;
    let inbox =
        Inbox::of_events(&stack, &json!({ "source": [event::SOURCE], "detail-type": [event::DRIFT_FOUND] })).await;
    let alerts = Inbox::of_alerts(&stack).await;
    let long = "x".repeat(20);
    orders.row(1, &json!({ "colour": "red", "Note": long })).await;
    orders.row(2, &json!({ "colour": "green", "Größe \"mm\"": 12.5, "tags": ["a", 1] })).await;
    orders.row(3, &json!({ "colour": null })).await;
    orders.mark("a file").await;

    let seen = orders.watch().await.unwrap();
    assert_eq!(seen.findings.len(), 4, "{seen:?}");
    let colour = seen.findings.iter().find(|finding| finding.field == "colour").unwrap();
    assert_eq!((colour.rows, colour.since), (2, Some("2026-03-01T00:00:01Z".parse().unwrap())));
    assert!(!orders.is_marked().await, "the mark of the loaded file is deleted");
    let reported =
        inbox.wait("the drift", |event| (event["detail"]["contract"] == orders.name).then(|| event.clone())).await;
    assert_eq!(reported["detail"]["findings"].as_array().unwrap().len(), 4);
    let alert = alerts
        .wait("the drift", |alert| {
            alert["Message"].as_str().filter(|text| text.contains(&orders.name)).map(str::to_owned)
        })
        .await;
    assert!(alert.contains(&format!("shiftwork drift {} --apply", orders.name)), "{alert}");

    // The following scheduled checks do not query Redshift and send no further event.
    let statements = stack.redshift.get("_statements").await.as_array().unwrap().len();
    assert_eq!(orders.watch().await.unwrap().findings.len(), 4);
    assert_eq!(stack.redshift.get("_statements").await.as_array().unwrap().len(), statements);
    orders.mark("another file").await;
    orders.watch().await;
    assert_eq!(inbox.received().await.iter().filter(|event| event["detail"]["contract"] == orders.name).count(), 1);

    let look = orders.check().await;
    let migration = look.migration.clone().unwrap();
    let done = orders.invoke(&orders.apply(&migration.id)).await.unwrap().contracts.remove(0);
    assert_eq!(done.progress, MigrationProgress::Done, "{done:?}");
    let rows =
        orders.sql("select id, note, colour, gr__e__mm_, json_serialize(tags) from {s}.orders order by id").await;
    let wanted = [
        ["1", &long, "red", "NULL", "NULL"],
        ["2", "NULL", "green", "12.5", "[\"a\",1]"],
        ["3", "NULL", "NULL", "NULL", "NULL"],
    ];
    assert_eq!(rows, wanted);
    // A quote in a field name cannot be used in a SUPER path: the value is copied instead of moved.
    assert_eq!(
        orders.waiting().await.iter().filter(|row| !row[1].contains('"')).count(),
        0,
        "{:?}",
        orders.waiting().await
    );
    let text = orders.text().await;
    assert!(text.contains("- { name: id, type: bigint }   # of the shop\n"), "{text}");
    assert_eq!(
        orders.columns().await,
        ["id bigint", "note varchar(64)", "colour varchar(64)", "gr__e__mm_ double precision", "tags super"]
    );

    // A repeated request has no changes to apply.
    let again = orders.invoke(&orders.apply(&migration.id)).await.unwrap().contracts.remove(0);
    assert_eq!(again.progress, MigrationProgress::Done);
    assert_eq!(orders.text().await, text);
}

#[tokio::test]
async fn a_contract_with_unknown_evolve_adds_columns_automatically() {
    let stack = Stack::exclusive().await;
    for promote in ["type1", "type2", "type7", "append"] {
        let orders = Orders::new(&stack, "evolve", promote).await;
        orders.row(1, &json!({ "colour": "red" })).await;
        orders.mark("a file").await;
        let mut seen = orders.watch().await.unwrap();
        for _ in 0..20 {
            if seen.progress != MigrationProgress::Running {
                break;
            }
            seen = orders.watch().await.unwrap();
        }
        assert_eq!((seen.progress, seen.findings.len()), (MigrationProgress::Done, 0), "{promote}: {seen:?}");
        assert_eq!(orders.sql("select id, colour from {s}.orders").await, [["1", "red"]], "{promote}");
        assert_eq!(orders.columns().await[2..], ["colour varchar(64)"], "{promote}");
        // A row that was staged before the column was added, and loaded afterwards.
        orders.row(2, &json!({ "colour": "green" })).await;
        orders.mark("a late file").await;
        orders.watch().await;
        assert_eq!(orders.sql("select colour from {s}.orders order by id").await, [["red"], ["green"]], "{promote}");
    }
}

#[tokio::test]
async fn requests_that_cannot_be_fulfilled_are_rejected() {
    let stack = Stack::shared().await;
    let orders = Orders::new(&stack, "capture", "type1").await;
    let look = orders.check().await;
    assert_eq!((look.findings.len(), look.migration), (0, None));
    let refused = orders.invoke(&orders.apply("0123456789abcdef")).await.unwrap_err();
    assert_eq!(refused.name, "Shiftwork.InvalidRequest");
    assert!(refused.message.contains("look at the contract again"), "{refused:?}");
    let unknown =
        DriftRequest::Look { contract: format!("{}x", orders.name), only: Vec::new(), types: BTreeMap::new() };
    let refused = orders.invoke(&unknown).await.unwrap_err();
    assert!(refused.message.contains("did you mean"), "{refused:?}");
}

/// The schema-watcher is killed at each point of a migration. A repeated request completes it, and every value exists
/// once.
#[tokio::test]
async fn schema_watcher_can_be_killed_at_any_call() {
    let stack = Stack::exclusive().await;
    let function = stack.output("SchemaWatcherFunction").to_owned();
    let prepared = async || {
        let orders = Orders::new(&stack, "capture", "type1").await;
        orders.row(1, &json!({ "colour": "red", "Note": "x".repeat(20) })).await;
        let migration = orders.check().await.migration.unwrap().id;
        (orders, migration)
    };
    let (orders, migration) = prepared().await;
    stack.control.delete("faults").await;
    stack.control.post("counts/reset", &Value::Null).await;
    orders.invoke(&orders.apply(&migration)).await.unwrap();
    let counts = stack.control.get("counts").await;
    let calls = counts["by_function"].as_object().unwrap().iter();
    let calls: u64 =
        calls.filter(|(key, _)| key.starts_with(&format!("{function} "))).filter_map(|(_, n)| n.as_u64()).sum();
    assert!(calls > 8, "a migration reads, queries, records, submits, waits and writes the contract: {counts}");

    let points: Vec<_> = (1..=calls).flat_map(|call| [("before-call", call), ("after-call", call)]).collect();
    for wave in points.chunks(8) {
        let prepared = join_all(wave.iter().map(|_| prepared())).await;
        for ((at, call), (orders, migration)) in wave.iter().zip(prepared) {
            stack.fault(json!({ "kind": "kill", "function": function, "at": at, "call": call, "invocation": 1 })).await;
            let mut died = 0;
            let done = loop {
                match orders.invoke(&orders.apply(&migration)).await {
                    Ok(response) => match response.contracts[0].progress {
                        MigrationProgress::Done => break response,
                        MigrationProgress::Running | MigrationProgress::Waiting => {}
                    },
                    Err(error) if error.name.starts_with("Runtime.") => died += 1,
                    Err(error) => panic!("{at} {call}: {error:?}"),
                }
                assert!(died <= 1, "{at} {call}");
            };
            assert_eq!(done.contracts[0].findings.len(), 0, "{at} {call}");
            let rows = orders.sql("select id, len(note), colour from {s}.orders").await;
            assert_eq!(rows, [["1", "20", "red"]], "{at} {call}");
            assert_eq!(orders.waiting().await, Vec::<Vec<String>>::new(), "{at} {call}");
            assert_eq!(orders.columns().await, ["id bigint", "note varchar(64)", "colour varchar(64)"], "{at} {call}");
        }
    }
    stack.control.delete("faults").await;
}

/// From the event to the column: no query runs before a file was loaded, and the column contains values that were
/// staged before.
#[tokio::test]
async fn a_new_source_column_is_complete_from_its_first_event() {
    let stack = Stack::exclusive().await;
    let changes = stack.changes("added", "unknown: evolve").await;
    let coloured = |id, colour: &str, lsn| {
        let mut order = changes.order(id, Some("new"), lsn);
        order["after"]["colour"] = json!(colour);
        order
    };
    let watch = async || {
        let watched = stack.invoke("SchemaWatcherFunction", &json!({ "action": "watch", "scheduled": true })).await;
        watched.unwrap_or_else(|error| panic!("{error:?}"))
    };
    let columns = async || {
        let key = contract_key(&changes.flow.id);
        let get = stack.s3.get_object().bucket(stack.output("ScriptsBucket")).key(key).send().await.unwrap();
        let text = String::from_utf8(get.body.collect().await.unwrap().to_vec()).unwrap();
        read("contract", &text).unwrap().columns().to_vec()
    };
    let before = columns().await.len();
    changes.deliver(&changes.batch(0, 0, &[coloured(1, "red", 10)])).await;
    // The file is not loaded yet, so Redshift has no values, and the mark stays.
    watch().await;
    assert_eq!(columns().await.len(), before);
    changes.load().await.succeeded();
    // Staged with the previous contract, loaded with the next one.
    changes.deliver(&changes.batch(0, 1, &[coloured(2, "green", 20)])).await;
    watch().await;
    assert_eq!(columns().await.last().unwrap().name, "colour");
    changes.load().await.succeeded();
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    changes.deliver(&changes.batch(0, 2, &[coloured(3, "blue", 30), coloured(1, "black", 40)])).await;
    changes.load().await.succeeded();
    let rows = changes.flow.sql("select id, colour from {s}.orders order by id").await;
    assert_eq!(rows, [["1", "black"], ["2", "green"], ["3", "blue"]]);
    watch().await;
    let marks =
        stack.s3.list_objects_v2().bucket(stack.output("StagingBucket")).prefix(drift_mark_key(&changes.flow.id));
    assert_eq!(marks.send().await.unwrap().contents().len(), 0, "all files were loaded, but a mark is left");
}

/// An event has a value without a column, and later events omit the unchanged value. A user adds the column to the
/// contract, the launcher adds it to the table, and the migration finds the value.
#[tokio::test]
async fn a_column_that_a_user_adds_gets_the_stored_values() {
    let stack = Stack::exclusive().await;
    let changes = stack.changes("by_hand", "").await;
    let coloured = |status: &str, colour: &str, lsn| {
        let mut order = changes.order(1, Some(status), lsn);
        order["after"]["colour"] = json!(colour);
        order
    };
    let unchanged = "__debezium_unavailable_value";
    let rows = async || changes.flow.sql("select status, colour from {s}.orders").await;
    changes.deliver(&changes.batch(0, 0, &[coloured("new", "red", 10)])).await;
    changes.load().await.succeeded();
    changes.deliver(&changes.batch(0, 1, &[coloured("paid", unchanged, 20)])).await;
    changes.load().await.succeeded();
    changes.contract("  - { name: colour, type: varchar(16) }").await;
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    changes.deliver(&changes.batch(0, 2, &[coloured("sent", unchanged, 30)])).await;
    changes.load().await.succeeded();
    assert_eq!(rows().await, [["sent", "NULL"]]);

    let ask = async |request: &DriftRequest| {
        let response = stack.invoke("SchemaWatcherFunction", &serde_json::to_value(request).unwrap()).await;
        let response = response.unwrap_or_else(|error| panic!("{error:?}"));
        serde_json::from_value::<DriftResponse>(response).unwrap().contracts.remove(0)
    };
    let contract = changes.flow.id.clone();
    let look = ask(&DriftRequest::Look { contract: contract.clone(), only: Vec::new(), types: BTreeMap::new() }).await;
    let migration = look.migration.unwrap().id;
    let done = ask(&DriftRequest::Apply { contract, only: Vec::new(), types: BTreeMap::new(), migration }).await;
    assert_eq!(done.progress, MigrationProgress::Done, "{done:?}");
    assert_eq!(rows().await, [["sent", "red"]]);
}

/// A user makes a column of the contract longer that Automatic Table Optimization has chosen as a key: the load releases the keys of
/// the table, widens the column, and sets the keys again.
#[tokio::test]
async fn a_column_that_is_a_key_of_its_table_is_widened_by_the_load() {
    let stack = Stack::shared().await;
    let changes = stack.changes("keyed", "  - { name: colour, type: varchar(16) }").await;
    let coloured = |colour: &str, lsn| {
        let mut order = changes.order(1, Some("new"), lsn);
        order["after"]["colour"] = json!(colour);
        order
    };
    changes.deliver(&changes.batch(0, 0, &[coloured("red", 10)])).await;
    changes.load().await.succeeded();
    stack
        .redshift_fault(json!({ "sql_regex": format!("(?s){}.* ALTER COLUMN colour ", changes.flow.id), "times": 1,
            "effect": { "fail_statement": { "error": "ERROR: found unexpected dependency for column" } } }))
        .await;
    changes.contract("  - { name: colour, type: varchar(64) }").await;
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    let long = "a colour with more than sixteen bytes";
    changes.deliver(&changes.batch(0, 1, &[coloured(long, 20)])).await;
    changes.load().await.succeeded();
    assert_eq!(changes.flow.sql("select colour from {s}.orders").await, [[long]]);
}

/// The source makes an integer a bigint: the value waits, and after the migration it is in the table, like those that follow.
#[tokio::test]
async fn a_column_gets_the_type_that_its_source_changed_to() {
    let stack = Stack::exclusive().await;
    let changes = stack.changes("retyped", "  - { name: n, type: integer }").await;
    let numbered = |id, n: u64, lsn| {
        let mut order = changes.order(id, Some("new"), lsn);
        order["after"]["n"] = json!(n);
        order
    };
    let rows = async || changes.flow.sql("select id, n from {s}.orders order by id").await;
    changes.deliver(&changes.batch(0, 0, &[numbered(1, 7, 10), numbered(2, 3_000_000_000, 20)])).await;
    changes.load().await.succeeded();
    assert_eq!(rows().await, [["1", "7"], ["2", "NULL"]]);

    let ask = async |request: &DriftRequest| {
        let response = stack.invoke("SchemaWatcherFunction", &serde_json::to_value(request).unwrap()).await;
        response.map(|response| serde_json::from_value::<DriftResponse>(response).unwrap().contracts.remove(0))
    };
    let asked = |column_type: &str, migration: Option<String>| {
        let (contract, only) = (changes.flow.id.clone(), Vec::new());
        let types = BTreeMap::from([("n".to_owned(), column_type.to_owned())]);
        match migration {
            None => DriftRequest::Look { contract, only, types },
            Some(migration) => DriftRequest::Apply { contract, only, types, migration },
        }
    };
    let refused = ask(&asked("varchar(9)", None)).await.unwrap_err();
    assert!(format!("{refused:?}").contains("such as 3000000000"), "{refused:?}");
    let migration = ask(&asked("bigint", None)).await.unwrap().migration.unwrap();
    let done = ask(&asked("bigint", Some(migration.id))).await.unwrap();
    assert_eq!(done.progress, MigrationProgress::Done, "{done:?}");
    assert_eq!(rows().await, [["1", "7"], ["2", "3000000000"]]);

    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    changes.deliver(&changes.batch(0, 2, &[numbered(3, 4_000_000_000, 30)])).await;
    changes.load().await.succeeded();
    assert_eq!(rows().await, [["1", "7"], ["2", "3000000000"], ["3", "4000000000"]]);
}

/// `shiftwork drift`, interactively and in a script.
#[tokio::test]
async fn drift_apply_shows_statements_before_it_runs_them() {
    let stack = Stack::shared().await;
    let orders = Orders::new(&stack, "capture", "type1").await;
    orders.row(1, &json!({ "colour": "red" })).await;
    let says = |arguments: &[&str], code: i32| {
        // The test binary is in target/<profile>/deps, the command is in the parent directory.
        let tests = std::env::current_exe().unwrap();
        let binary = tests.parent().unwrap().parent().unwrap().join("shiftwork");
        let mut command = std::process::Command::new(binary);
        let output = command.arg("drift").args(arguments).stdin(std::process::Stdio::null()).output().unwrap();
        let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{printed}");
        printed
    };
    let shown = says(&[&orders.name], 0);
    assert!(shown.contains("colour") && shown.contains("add column colour varchar(64)"), "{shown}");
    let asked = says(&[&orders.name, "--apply"], 1);
    assert!(asked.contains("ADD COLUMN colour VARCHAR(64)") && asked.contains("use --yes"), "{asked}");
    assert_eq!(orders.columns().await.len(), 2, "no change without confirmation");
    let done = says(&[&orders.name, "--apply", "--only", "colour", "--yes"], 0);
    assert!(done.contains("- { name: colour, type: varchar(64) }"), "{done}");
    assert_eq!(orders.sql("select colour from {s}.orders").await, [["red"]]);
    assert!(says(&[&orders.name], 0).contains("every field has a column"));
    says(&["--apply"], 2);
}
