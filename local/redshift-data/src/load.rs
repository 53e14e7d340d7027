//! `COPY … FROM 's3://…'`: files stream from S3 into the table, within the statement's transaction.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::SinkExt;
use serde::Deserialize;
use tokio::io::AsyncRead;
use tokio::sync::mpsc;
use tokio_util::io::SyncIoBridge;

use crate::append::{quoted, quoted_name};
use crate::connection::{Connection, describe};
use crate::execute::{Output, Stop};
use crate::fields::{TargetColumn, encode};
use crate::records;
use crate::s3::{Place, S3};
use redshift_dialect::{CopyFormat, CopySpec, JsonShape};

/// Rows go to PostgreSQL in pieces of about this size.
const PIECE_BYTES: usize = 64 * 1024;

const COLUMNS: &str = "select a.attname::text, coalesce(b.typname, t.typname)::text, a.atttypmod, \
    a.attidentity <> '' as identity \
    from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_type b on b.oid = nullif(t.typbasetype, 0) \
    where a.attrelid = $1::text::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' \
    order by a.attnum";

/// A manifest of COPY.
#[derive(Deserialize)]
struct Manifest {
    entries: Vec<ManifestEntry>,
}

#[derive(Deserialize)]
struct ManifestEntry {
    url: String,
    #[serde(default)]
    mandatory: bool,
}

/// Loads the files that `spec` names.
///
/// # Errors
/// Redshift's "Load into table … failed", with the file, the record and the reason as detail.
pub(crate) async fn copy(connection: &Connection, s3: &S3, spec: &CopySpec) -> Result<Output, Stop> {
    refuse_unknown(spec)?;
    let client = &connection.client;
    let table = quoted_name(&spec.table);
    let columns = target_columns(connection, &table, spec).await?;
    let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
    let tolerant = match spec.max_error {
        0 | 1 => String::new(),
        n => format!(", on_error ignore, reject_limit {}", n - 1),
    };
    let files = files(s3, spec).await?;
    if spec.no_load {
        client.batch_execute("savepoint before_noload").await?;
    }
    let command = format!("copy {table} ({}) from stdin with (format text{tolerant})", names.join(", "));
    let sink = client.copy_in::<_, Bytes>(&command).await?;
    let mut sink = pin!(sink);
    let failed = |detail: String| {
        let table = spec.table.join(".");
        Stop::Failed(format!(
            "ERROR: Load into table '{table}' failed. Check 'sys_load_error_detail' system table for details.\n  \
             Detail: {detail}"
        ))
    };
    let mut sent: Vec<(Place, u64)> = Vec::new();
    for (place, mandatory) in files {
        let Some(reader) = s3.open(&place).await? else {
            if mandatory {
                return Err(failed(format!("{place} is in the manifest as mandatory, but does not exist")));
            }
            continue;
        };
        let mut pieces = convert(reader, spec, &columns);
        let mut records = 0;
        while let Some(piece) = pieces.recv().await {
            match piece {
                Ok(Piece { rows, bytes }) => {
                    records += rows;
                    if let Err(error) = sink.send(bytes).await {
                        sent.push((place.clone(), records));
                        return Err(failed(located(&error, &sent, spec.ignore_header)));
                    }
                }
                Err(BadRecord { record, reason }) => {
                    return Err(failed(format!("{place}, record {record}: {reason}")));
                }
            }
        }
        sent.push((place, records));
    }
    let loaded = sink.finish().await.map_err(|error| failed(located(&error, &sent, spec.ignore_header)))?;
    if spec.no_load {
        client.batch_execute("rollback to savepoint before_noload").await?;
        return Ok(Output::affected(0));
    }
    Ok(Output::affected(loaded))
}

fn refuse_unknown(spec: &CopySpec) -> Result<(), Stop> {
    let iso = |format: &Option<String>, known: &[&str]| {
        format.as_deref().is_none_or(|format| known.iter().any(|known| known.eq_ignore_ascii_case(format)))
    };
    let reason = if spec.iam_role.is_none() {
        "COPY needs an authorization: add IAM_ROLE DEFAULT or IAM_ROLE 'arn:aws:iam::…'".to_owned()
    } else if !iso(&spec.date_format, &["auto", "YYYY-MM-DD"]) {
        format!(
            "COPY with DATEFORMAT '{}' is not known here; 'auto' is",
            spec.date_format.as_deref().unwrap_or_default()
        )
    } else if !iso(
        &spec.time_format,
        &["auto", "epochsecs", "epochmillisecs", "YYYY-MM-DD HH:MI:SS", "YYYY-MM-DD HH24:MI:SS"],
    ) {
        format!(
            "COPY with TIMEFORMAT '{}' is not known here; 'auto' is",
            spec.time_format.as_deref().unwrap_or_default()
        )
    } else if spec.accept_any_date {
        "COPY with ACCEPTANYDATE is not known here".to_owned()
    } else if let CopyFormat::Json(JsonShape::Paths(paths)) = &spec.format {
        format!("COPY with the JSONPaths file '{paths}' is not known here; JSON 'auto' is")
    } else {
        return Ok(());
    };
    Err(Stop::Failed(format!("ERROR: {reason}")))
}

/// The columns that the files' fields go to: the column list, or all but IDENTITY columns.
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

/// The files to load, each with whether it must exist.
async fn files(s3: &S3, spec: &CopySpec) -> Result<Vec<(Place, bool)>, Stop> {
    let from = Place::parse(&spec.from)?;
    if spec.manifest {
        let manifest: Manifest = serde_json::from_slice(&s3.read(&from).await?)
            .map_err(|error| Stop::Failed(format!("ERROR: {from} is not a manifest: {error}")))?;
        let entries = manifest.entries.into_iter().map(|entry| Ok((Place::parse(&entry.url)?, entry.mandatory)));
        return entries.collect();
    }
    let found = s3.list(&from).await?;
    if found.is_empty() {
        return Err(Stop::Failed(format!("ERROR: The specified S3 prefix '{}' does not exist", from.key)));
    }
    Ok(found.into_iter().map(|place| (place, true)).collect())
}

struct Piece {
    rows: u64,
    bytes: Bytes,
}

struct BadRecord {
    /// Counted from 1, the header left out.
    record: u64,
    reason: String,
}

/// Reads a file on a blocking thread; the channel's small bound is what keeps memory flat.
fn convert(
    reader: impl AsyncRead + Send + Unpin + 'static,
    spec: &CopySpec,
    columns: &[TargetColumn],
) -> mpsc::Receiver<Result<Piece, BadRecord>> {
    let (sender, receiver) = mpsc::channel(4);
    let (spec, columns): (Arc<CopySpec>, Arc<[TargetColumn]>) = (Arc::new(spec.clone()), columns.into());
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
            Err(reason) => Err(BadRecord { record, reason }),
        };
        // Nobody listens any more once the load was stopped.
        let _ = sender.blocking_send(last);
    });
    receiver
}

/// PostgreSQL's error with the file and record that its line number means.
fn located(error: &tokio_postgres::Error, sent: &[(Place, u64)], header: u64) -> String {
    let reason = describe(error, false);
    let reason = reason.strip_prefix("ERROR: ").unwrap_or(&reason);
    let context = error.as_db_error().and_then(|db| db.where_()).unwrap_or_default();
    let Some(line) = context.split("line ").nth(1).and_then(|rest| rest.split([',', ':']).next()?.parse::<u64>().ok())
    else {
        return reason.to_owned();
    };
    let column = context.split("column ").nth(1).and_then(|rest| rest.split(':').next());
    let mut before = 0;
    for (place, records) in sent {
        if line <= before + records {
            let column = column.map(|column| format!(", column {column}")).unwrap_or_default();
            return format!("{place}, record {} (after {header} header lines){column}: {reason}", line - before);
        }
        before += records;
    }
    reason.to_owned()
}
