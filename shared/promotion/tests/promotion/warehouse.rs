//! A database behind the Data API, with files in a bucket.

use fastrand::Rng;
use serde_json::{Value, json};
use shiftwork_change_data::contract::{Deletes, PromoteKind, TableContract};
use shiftwork_promotion::{Load, Promotion};
use shiftwork_protocol::StatementReport;

use crate::contracts::FIELDS;
use crate::model::{Event, OPEN, Row, Sent, VALUES};
use crate::server::{TestServer, start};

pub(crate) struct Warehouse {
    pub(crate) server: TestServer,
    files: usize,
}

/// A staged file: what the contract was by which it was staged, its partition, and records with their offsets.
pub(crate) struct File<'a> {
    pub(crate) columns: usize,
    /// Bytes of the longest note.
    pub(crate) note: usize,
    pub(crate) partition: usize,
    pub(crate) records: Vec<(usize, &'a [Event])>,
}

impl Warehouse {
    pub(crate) async fn open() -> Self {
        let server = start(&[]).await;
        for schema in ["shop", "staging"] {
            server.finish(&format!("CREATE SCHEMA {schema}")).await;
        }
        Self { server, files: 0 }
    }

    /// Drops and makes the tables of a contract.
    pub(crate) async fn make(&self, contract: &TableContract) {
        let promotion = Promotion::of(contract);
        let tables = promotion.tables();
        self.server.finish(&format!("DROP VIEW IF EXISTS {}", tables.current.qualified())).await;
        for table in [&tables.production, &tables.staging, &tables.tombstones, &tables.older, &tables.watermarks] {
            self.server.finish(&format!("DROP TABLE IF EXISTS {}", table.qualified())).await;
        }
        for _ in 0..2 {
            self.transaction(promotion.ddl()).await.unwrap();
        }
    }

    /// One batch that is one transaction.
    pub(crate) async fn transaction(&self, statements: Vec<String>) -> Result<(), String> {
        let id = match &statements[..] {
            [one] => self.server.submit(json!({ "Sql": one })).await,
            _ => self.server.submit(json!({ "Sqls": statements })).await,
        };
        let end = self.server.ended(&id).await;
        if end["Status"] == "FINISHED" {
            return Ok(());
        }
        Err(end["Error"].as_str().unwrap_or_default().to_owned())
    }

    /// Puts the files and their manifests into the bucket; the load that takes them.
    pub(crate) fn put(&mut self, files: &[File<'_>]) -> Load {
        let mut groups: std::collections::BTreeMap<usize, Vec<Value>> = std::collections::BTreeMap::new();
        for file in files {
            self.files += 1;
            let key = format!("lake/staged/{}.csv.zst", self.files);
            let csv = csv(file);
            let zstd = ruzstd::encoding::compress_to_vec(&csv[..], ruzstd::encoding::CompressionLevel::Fastest);
            self.server.bucket.put(&key, zstd);
            let entry = json!({ "url": format!("s3://{key}"), "mandatory": true });
            groups.entry(file.columns).or_default().push(entry);
        }
        let groups = groups.into_iter().map(|(columns, entries)| {
            self.files += 1;
            let key = format!("lake/manifests/{}", self.files);
            self.server.bucket.put(&key, json!({ "entries": entries }).to_string());
            (columns, format!("s3://{key}"))
        });
        Load { groups: groups.collect(), ..Load::default() }
    }

    /// Runs a load. Returns what the Data API reports about its statements, as the audit has it.
    pub(crate) async fn reported(&self, contract: &TableContract, load: &Load) -> Vec<StatementReport> {
        let statements = Promotion::of(contract).load(load).unwrap();
        let id = self.server.submit(json!({ "Sqls": statements })).await;
        let end = self.server.ended(&id).await;
        assert_eq!(end["Status"], "FINISHED", "{end}");
        let report = |sub: &Value| StatementReport {
            command: shiftwork_sql::command(sub["QueryString"].as_str().unwrap()),
            rows: sub["ResultRows"].as_i64(),
            ..StatementReport::default()
        };
        end["SubStatements"].as_array().unwrap().iter().map(report).collect()
    }

    pub(crate) async fn load(&self, contract: &TableContract, load: &Load) -> Result<(), String> {
        self.transaction(Promotion::of(contract).load(load).unwrap()).await
    }

    /// The same with a statement that fails, somewhere.
    pub(crate) async fn crash(&self, rng: &mut Rng, contract: &TableContract, load: &Load) {
        let mut statements = Promotion::of(contract).load(load).unwrap();
        let at = rng.usize(0..statements.len());
        statements[at] = String::from("SELECT 1 / 0");
        self.transaction(statements).await.unwrap_err();
    }

    /// The production table as the model has it.
    pub(crate) async fn table(&self, contract: &TableContract) -> Vec<Row> {
        let promote = contract.promote();
        let soft = promote.deletes == Deletes::Soft && promote.kind != PromoteKind::Append;
        let (until, current) = match promote.kind {
            PromoteKind::Type2 | PromoteKind::Type7 => ("dw_end_date", "dw_current"),
            PromoteKind::Type1 if soft => ("dw_deleted_at", "FALSE"),
            PromoteKind::Type1 | PromoteKind::Append => ("NULL::TIMESTAMP", "FALSE"),
        };
        let deleted = if soft { "dw_deleted" } else { "FALSE" };
        let shown = [
            "note",
            "amount::VARCHAR",
            "CASE WHEN paid THEN 'true' WHEN NOT paid THEN 'false' END",
            "JSON_SERIALIZE(tags)",
        ];
        let has = |column: usize| contract.columns().len() > 2 + column;
        let values: Vec<&str> = (0..VALUES).map(|column| if has(column) { shown[column] } else { "NULL" }).collect();
        let values = values.join(", ");
        let rows = self
            .server
            .rows(&format!(
                "SELECT id, region, dw_md_position, dw_md_operation, {values}, \
                 DATEDIFF(second, '1970-01-01'::TIMESTAMP, {until}), {current}, {deleted}, DATEDIFF(second, '1970-01-01'::TIMESTAMP, dw_md_changed_at) FROM shop.\"order\""
            ))
            .await;
        let mut rows: Vec<Row> =
            rows.as_array().unwrap().iter().map(|record| row(record.as_array().unwrap())).collect();
        rows.sort();
        rows
    }

    /// A manifest of one file with these rows.
    pub(crate) fn file(&mut self, csv: &str) -> String {
        self.files += 1;
        let (file, manifest) =
            (format!("lake/staged/{}.csv.zst", self.files), format!("lake/manifests/{}", self.files));
        let zstd = ruzstd::encoding::compress_to_vec(csv.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest);
        self.server.bucket.put(&file, zstd);
        let entries = json!({ "entries": [{ "url": format!("s3://{file}"), "mandatory": true }] });
        self.server.bucket.put(&manifest, entries.to_string());
        format!("s3://{manifest}")
    }
}

fn text(cell: &Value) -> Option<String> {
    match cell.as_object().unwrap().iter().next().unwrap() {
        (name, _) if name == "isNull" => None,
        (_, Value::String(text)) => Some(text.clone()),
        (_, other) => Some(other.to_string()),
    }
}

fn row(cells: &[Value]) -> Row {
    let seconds = |cell: &Value| {
        text(cell).map(|text| {
            // 9999-12-31 has no end.
            text.parse().ok().filter(|seconds| *seconds < 253_402_214_400).unwrap_or(OPEN)
        })
    };
    let position: u64 = text(&cells[2]).unwrap().parse().unwrap();
    assert_eq!(seconds(&cells[11]), Some(position), "dw_md_changed_at goes with its event");
    Row {
        key: text(&cells[0]).map(|id| (id.parse().unwrap(), text(&cells[1]).unwrap())),
        position,
        operation: text(&cells[3]).unwrap(),
        values: std::array::from_fn(|column| text(&cells[4 + column])),
        until: seconds(&cells[8]),
        current: text(&cells[9]).unwrap() == "true",
        deleted: text(&cells[10]).unwrap() == "true",
    }
}

/// The rows of a file, as decision 0006 lays them out.
fn csv(file: &File<'_>) -> Vec<u8> {
    let mut out = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    for (offset, record) in &file.records {
        for event in *record {
            out.write_record(fields(file, *offset, event)).unwrap();
        }
    }
    out.into_inner().unwrap()
}

fn fields(file: &File<'_>, offset: usize, event: &Event) -> Vec<String> {
    let null = || "\\N".to_owned();
    let mut all = match &event.key {
        Some((id, region)) => vec![id.to_string(), region.clone()],
        None => vec![null(), null()],
    };
    let fits = |column: usize, value: &str| column != 2 || value.len() <= file.note;
    all.extend(event.values.iter().zip(2..).map(|(sent, column)| match sent {
        Sent::Value(value) if fits(column, value) => value.clone(),
        Sent::Value(_) | Sent::Nothing | Sent::Null => null(),
    }));
    let is_gap = |column: usize| event.values[column - 2] == Sent::Nothing;
    let others_unchanged = (file.columns..2 + VALUES).any(is_gap);
    let waiting: Vec<String> = (2..2 + VALUES)
        .filter_map(|column| {
            let is_unknown = column >= file.columns;
            let value = match &event.values[column - 2] {
                // Where something did not change, what is not there is that.
                Sent::Null if is_unknown && others_unchanged => "null".to_owned(),
                Sent::Value(value) if is_unknown || !fits(column, value) => match column {
                    2 => json!(value).to_string(),
                    _ => value.clone(),
                },
                Sent::Nothing | Sent::Null | Sent::Value(_) => return None,
            };
            Some(format!("{}: {value}", json!(FIELDS[column - 2])))
        })
        .collect();
    let mut gaps: Vec<String> = if others_unchanged { vec![format!("{:05}", file.columns)] } else { Vec::new() };
    gaps.extend((2..file.columns).filter(|column| is_gap(*column)).map(|column| (column + 1).to_string()));
    all.truncate(file.columns);
    let seconds = event.position;
    all.push(format!("1970-01-01 00:{:02}:{:02}", seconds / 60, seconds % 60));
    all.push(event.operation.to_owned());
    all.push(if waiting.is_empty() { null() } else { format!("{{{}}}", waiting.join(", ")) });
    all.push(null());
    all.push(if gaps.is_empty() { null() } else { format!(",{},", gaps.join(",")) });
    all.push(format!("{:020}", event.position));
    all.push(format!("kafka/orders/{}", file.partition));
    all.push(format!("{offset:020}"));
    all
}
