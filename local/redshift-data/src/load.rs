//! `COPY … FROM 's3://…'`: streams files from S3 into the table, in the transaction of the statement.

mod columnar;

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::SinkExt;
use serde::Deserialize;
use tokio::io::AsyncRead;
use tokio::sync::mpsc;
use tokio_util::io::SyncIoBridge;

use crate::append::quoted_name;
use crate::connection::{Connection, describe};
use crate::execute::{Output, Stop};
use crate::fields::{TargetColumn, encode};
use crate::records;
use crate::s3::{Place, S3};
use redshift_dialect::{CopyFormat, CopySpec, JsonShape};
use shiftwork_sql::quoted;

/// COPY runs ANALYZE from this number of rows; smaller tables need no statistics for a good plan.
const WORTH_STATISTICS: u64 = 1_000;

/// Approximate size of the pieces of rows that are sent to PostgreSQL, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

const COLUMNS: &str = "select a.attname::text, coalesce(b.typname, t.typname)::text, a.atttypmod, \
    a.attidentity <> '' as identity \
    from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_type b on b.oid = nullif(t.typbasetype, 0) \
    where a.attrelid = $1::text::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' \
    order by a.attnum";

/// A manifest file of COPY.
#[derive(Deserialize)]
struct Manifest {
    entries: Vec<ManifestEntry>,
}

#[derive(Deserialize)]
struct ManifestEntry {
    url: String,
    #[serde(default)]
    mandatory: bool,
    #[serde(default)]
    meta: Option<ManifestMeta>,
}

#[derive(Deserialize)]
struct ManifestMeta {
    #[serde(default)]
    content_length: Option<u64>,
}

/// A file to load.
#[derive(Clone)]
struct Wanted {
    place: Place,
    /// True if the load must fail when the file does not exist.
    mandatory: bool,
    /// Size in bytes according to the manifest.
    content_length: Option<u64>,
}

/// An error in a file, for the system tables.
#[derive(Debug, Clone)]
pub(crate) struct LoadError {
    file: String,
    /// Line number in the file; header lines count.
    line: i64,
    column: String,
    reason: String,
    code: i32,
}

/// `error_code` of a field that does not fit its column (Redshift docs, "Load error reference").
const BAD_FIELD: i32 = 1204;

impl LoadError {
    /// Writes the error to the tables behind `sys_load_error_detail` and `stl_load_errors`. Both store at most 256
    /// bytes of the file name.
    pub(crate) async fn record(
        &self,
        client: &tokio_postgres::Client,
        query_id: i64,
    ) -> Result<(), tokio_postgres::Error> {
        const INSERT: &str = "insert into redshift.load_errors \
            (query_id, start_time, file_name, line_number, column_name, error_code, error_message) \
            values ($1, clock_timestamp()::timestamp, $2, $3, $4, $6, $5)";
        let file = &self.file[..self.file.floor_char_boundary(256)];
        client.execute(INSERT, &[&query_id, &file, &self.line, &self.column, &self.reason, &self.code]).await.map(drop)
    }
}

/// Loads the files that `spec` names.
///
/// # Errors
/// Returns Redshift's "Load into table … failed", with the file, the record and the reason in the detail.
pub(crate) async fn copy(connection: &Connection, s3: &S3, spec: &CopySpec) -> Result<Output, Stop> {
    refuse_unknown(spec)?;
    let client = &connection.client;
    let table = quoted_name(&spec.table);
    let columns: Arc<[TargetColumn]> = target_columns(connection, &table, spec).await?.into();
    if let CopyFormat::Parquet { serialize_to_json } = spec.format {
        columnar::check_columns(&columns, serialize_to_json)?;
    }
    let files = files(s3, spec).await?;
    if !spec.no_load {
        let loaded = load(connection, s3, spec, &columns, &files).await.map_err(|bad| bad.stop(connection, spec))?;
        // Redshift analyzes the table after COPY too; the following statements of the transaction are planned with
        // these statistics.
        if loaded >= WORTH_STATISTICS {
            client.batch_execute(&format!("analyze {table}")).await?;
        }
        return Ok(Output::affected(loaded));
    }
    // NOLOAD keeps no rows, so each file is checked separately, including the files after an invalid one.
    let mut bad = 0;
    for file in &files {
        client.batch_execute("savepoint before_noload").await?;
        let tried = load(connection, s3, spec, &columns, std::slice::from_ref(file)).await;
        client.batch_execute("rollback to savepoint before_noload").await?;
        if let Err(trouble) = tried {
            bad += 1;
            let stop = trouble.stop(connection, spec);
            if bad >= spec.max_error.max(1) {
                return Err(stop);
            }
        }
    }
    Ok(Output::affected(0))
}

/// The reason why files were not loaded.
enum LoadFailure {
    /// A file is invalid.
    File(LoadError),
    /// Any other error.
    Other(Stop),
}

impl<E: Into<Stop>> From<E> for LoadFailure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

impl LoadFailure {
    /// The error of the statement. The error of a file is recorded for the system tables.
    fn stop(self, connection: &Connection, spec: &CopySpec) -> Stop {
        let error = match self {
            Self::Other(stop) => return stop,
            Self::File(error) => error,
        };
        if let CopyFormat::Parquet { .. } = spec.format {
            let message = columnar::message("Spectrum Scan Error", error.code, &error.reason);
            crate::lock(&connection.load_errors).push(error);
            return Stop::Failed(message);
        }
        let header = spec.ignore_header;
        let record = error.line - i64::try_from(header).unwrap_or(0);
        let detail = match (error.line, error.column.as_str()) {
            (0, _) => format!("{} {}", error.file, error.reason),
            (_, "") => format!("{}, record {record}: {}", error.file, error.reason),
            (_, column) => {
                format!(
                    "{}, record {record} (after {header} header lines), column {column}: {}",
                    error.file, error.reason
                )
            }
        };
        let table = spec.table.join(".");
        let message = format!(
            "ERROR: Load into table '{table}' failed. Check 'sys_load_error_detail' system table for details.\n  \
             Detail: {detail}"
        );
        crate::lock(&connection.load_errors).push(error);
        Stop::Failed(message)
    }
}

/// Streams the files into the table and returns the number of rows.
async fn load(
    connection: &Connection,
    s3: &S3,
    spec: &CopySpec,
    columns: &Arc<[TargetColumn]>,
    files: &[Wanted],
) -> Result<u64, LoadFailure> {
    let table = quoted_name(&spec.table);
    let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
    let tolerant = match spec.max_error {
        _ if spec.no_load => String::new(),
        0 | 1 => String::new(),
        n => format!(", on_error ignore, reject_limit {}", n - 1),
    };
    let command = format!("copy {table} ({}) from stdin with (format text{tolerant})", names.join(", "));
    let sink = connection.client.copy_in::<_, Bytes>(&command).await?;
    let mut sink = pin!(sink);
    let header = i64::try_from(spec.ignore_header).unwrap_or(0);
    let mut sent: Vec<(Place, u64)> = Vec::new();
    for file in files {
        let place = &file.place;
        let pieces = match spec.format {
            CopyFormat::Parquet { .. } => columnar::pieces(s3, spec, columns, file).await?,
            CopyFormat::Text(_) | CopyFormat::Csv(_) | CopyFormat::Json(_) => {
                s3.open(place).await?.map(|reader| convert(reader, spec, columns))
            }
        };
        let Some(mut pieces) = pieces else {
            if file.mandatory {
                return Err(LoadFailure::File(absent(s3, spec, place)));
            }
            continue;
        };
        let mut records = 0;
        while let Some(piece) = pieces.recv().await {
            match piece {
                Ok(Piece { rows, bytes }) => {
                    records += rows;
                    if let Err(error) = sink.send(bytes).await {
                        sent.push((place.clone(), records));
                        return Err(located(&error, &sent, header));
                    }
                }
                Err(FileError::Record { record, reason }) => {
                    let line = i64::try_from(record).unwrap_or(i64::MAX).saturating_add(header);
                    let (file, column) = (place.to_string(), String::new());
                    return Err(LoadFailure::File(LoadError { file, line, column, reason, code: BAD_FIELD }));
                }
                Err(FileError::File(error)) => return Err(LoadFailure::File(error)),
                Err(FileError::Unsupported(words)) => {
                    return Err(LoadFailure::Other(Stop::Failed(format!("ERROR: {words}"))));
                }
            }
        }
        sent.push((place.clone(), records));
    }
    sink.finish().await.map_err(|error| located(&error, &sent, header))
}

/// The error of a file that does not exist.
fn absent(s3: &S3, spec: &CopySpec, place: &Place) -> LoadError {
    match spec.format {
        CopyFormat::Parquet { .. } => columnar::error(s3, place, format!("File not found: {}", s3.https(place))),
        CopyFormat::Text(_) | CopyFormat::Csv(_) | CopyFormat::Json(_) => {
            let reason = "is in the manifest as mandatory, but does not exist".to_owned();
            LoadError { file: place.to_string(), line: 0, column: String::new(), reason, code: BAD_FIELD }
        }
    }
}

fn refuse_unknown(spec: &CopySpec) -> Result<(), Stop> {
    let iso = |format: &Option<String>, known: &[&str]| {
        format.as_deref().is_none_or(|format| known.iter().any(|known| known.eq_ignore_ascii_case(format)))
    };
    let reason = if spec.iam_role.is_none() {
        "COPY needs an authorization: add IAM_ROLE DEFAULT or IAM_ROLE 'arn:aws:iam::…'".to_owned()
    } else if !iso(&spec.date_format, &["auto", "YYYY-MM-DD"]) {
        format!(
            "COPY with DATEFORMAT '{}' is not supported by this server; use 'auto'",
            spec.date_format.as_deref().unwrap_or_default()
        )
    } else if !iso(
        &spec.time_format,
        &["auto", "epochsecs", "epochmillisecs", "YYYY-MM-DD HH:MI:SS", "YYYY-MM-DD HH24:MI:SS"],
    ) {
        format!(
            "COPY with TIMEFORMAT '{}' is not supported by this server; use 'auto'",
            spec.time_format.as_deref().unwrap_or_default()
        )
    } else if spec.accept_any_date {
        "COPY with ACCEPTANYDATE is not supported by this server".to_owned()
    } else if let CopyFormat::Json(JsonShape::Paths(paths)) = &spec.format {
        format!("COPY with the JSONPaths file '{paths}' is not supported by this server; use JSON 'auto'")
    } else {
        return Ok(());
    };
    Err(Stop::Failed(format!("ERROR: {reason}")))
}

/// The target columns of the fields: the column list, or all columns except IDENTITY columns.
async fn target_columns(connection: &Connection, table: &str, spec: &CopySpec) -> Result<Vec<TargetColumn>, Stop> {
    let rows = connection.client.query(COLUMNS, &[&table]).await?;
    let all: Vec<(TargetColumn, bool)> = rows
        .iter()
        .map(|row| {
            let (type_name, modifier): (String, i32) = (row.get(1), row.get(2));
            let text = matches!(type_name.as_str(), "varchar" | "bpchar");
            let of_modifier = |n: i32| usize::try_from(n).ok();
            let column = TargetColumn {
                name: row.get(0),
                max_length: if text { of_modifier(modifier - 4) } else { None },
                precision: if type_name == "numeric" && modifier >= 4 {
                    of_modifier((modifier - 4) >> 16)
                } else {
                    None
                },
                scale: if type_name == "numeric" && modifier >= 4 { of_modifier((modifier - 4) & 0x7FF) } else { None },
                type_name,
            };
            (column, row.get(3))
        })
        .collect();
    if spec.columns.is_empty() {
        let wanted = all.into_iter().filter(|(_, identity)| spec.explicit_ids || !identity);
        return Ok(wanted.map(|(column, _)| column).collect());
    }
    spec.columns
        .iter()
        .map(|name| {
            let found = all.iter().find(|(column, _)| column.name == *name);
            found
                .map(|(column, _)| column.clone())
                .ok_or_else(|| Stop::Failed(format!("ERROR: column \"{name}\" of relation {table} does not exist")))
        })
        .collect()
}

/// The files to load.
async fn files(s3: &S3, spec: &CopySpec) -> Result<Vec<Wanted>, Stop> {
    let from = Place::parse(&spec.from)?;
    if spec.manifest {
        let manifest: Manifest = serde_json::from_slice(&s3.read(&from).await?)
            .map_err(|error| Stop::Failed(format!("ERROR: {from} is not a manifest: {error}")))?;
        if let CopyFormat::Parquet { .. } = spec.format {
            columnar::check_manifest(&manifest)?;
        }
        let wanted = |entry: ManifestEntry| {
            let content_length = entry.meta.and_then(|meta| meta.content_length);
            Ok(Wanted { place: Place::parse(&entry.url)?, mandatory: entry.mandatory, content_length })
        };
        return manifest.entries.into_iter().map(wanted).collect();
    }
    let found = s3.list(&from).await?;
    if found.is_empty() {
        return Err(Stop::Failed(format!("ERROR: The specified S3 prefix '{}' does not exist", from.key)));
    }
    Ok(found.into_iter().map(|place| Wanted { place, mandatory: true, content_length: None }).collect())
}

struct Piece {
    rows: u64,
    bytes: Bytes,
}

/// The reason why a file was not read to its end.
enum FileError {
    Record {
        /// Number of the record, counted from 1 without header lines.
        record: u64,
        reason: String,
    },
    File(LoadError),
    /// Redshift may support the file; this server does not.
    Unsupported(String),
}

/// Reads a file on a blocking thread. The small capacity of the channel limits the memory.
fn convert(
    reader: impl AsyncRead + Send + Unpin + 'static,
    spec: &CopySpec,
    columns: &Arc<[TargetColumn]>,
) -> mpsc::Receiver<Result<Piece, FileError>> {
    let (sender, receiver) = mpsc::channel(4);
    let (spec, columns) = (spec.clone(), Arc::clone(columns));
    let reader = SyncIoBridge::new(reader);
    tokio::task::spawn_blocking(move || {
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let (mut out, mut rows, mut record) = (Vec::with_capacity(2 * PIECE_BYTES), 0, 0);
        let read = records::read(reader, &spec, &names, |fields| {
            record += 1;
            encode(fields, &spec, &columns, &mut out)?;
            rows += 1;
            if out.len() >= PIECE_BYTES {
                let piece = Piece { rows: std::mem::take(&mut rows), bytes: std::mem::take(&mut out).into() };
                sender.blocking_send(Ok(piece)).map_err(|_| "the load was stopped".to_owned())?;
            }
            Ok(())
        });
        let last = match read {
            Ok(()) => Ok(Piece { rows, bytes: out.into() }),
            Err(reason) => Err(FileError::Record { record, reason }),
        };
        // If the load was stopped, the receiver is closed and the error is dropped.
        let _ = sender.blocking_send(last);
    });
    receiver
}

/// PostgreSQL's error, with the file and the record that correspond to its line number.
fn located(error: &tokio_postgres::Error, sent: &[(Place, u64)], header: i64) -> LoadFailure {
    let reason = describe(error, false);
    let reason = reason.strip_prefix("ERROR: ").unwrap_or(&reason).to_owned();
    let context = error.as_db_error().and_then(|db| db.where_()).unwrap_or_default();
    let line = context.split("line ").nth(1).and_then(|rest| rest.split([',', ':']).next()?.parse::<u64>().ok());
    let column = context.split("column ").nth(1).and_then(|rest| rest.split(':').next()).unwrap_or_default();
    let mut before = 0;
    for (place, records) in sent {
        if let Some(line) = line.filter(|line| *line <= before + records) {
            let line = i64::try_from(line - before).unwrap_or(i64::MAX).saturating_add(header);
            let (file, column) = (place.to_string(), column.to_owned());
            return LoadFailure::File(LoadError { file, line, column, reason, code: BAD_FIELD });
        }
        before += records;
    }
    LoadFailure::Other(Stop::Failed(format!("ERROR: {reason}")))
}
