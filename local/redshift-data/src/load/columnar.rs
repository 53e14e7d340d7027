//! `COPY … FORMAT PARQUET`. Redshift reads columnar files with the scan of external tables, and reports the errors of
//! that scan.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{FileError, LoadError, Manifest, PIECE_BYTES, Piece, Wanted};
use crate::execute::Stop;
use crate::fields::TargetColumn;
use crate::parquet::{self, Options, ReadError, Source};
use crate::s3::{Place, S3};
use redshift_dialect::CopySpec;

/// `error_code` of a file that cannot be scanned, or does not fit the table.
const SCAN: i32 = 15_007;
/// `error_code` of a manifest.
const MANIFEST: i32 = 15_003;
/// Maximum length of the error context that the client receives, in bytes; `sys_load_error_detail` contains the full
/// context.
const CONTEXT: usize = 256;

/// The error text of a statement, as the client receives it.
pub(super) fn message(error: &str, code: i32, context: &str) -> String {
    let context = &context[..context.floor_char_boundary(CONTEXT)];
    let rule = "-".repeat(47);
    format!(
        "ERROR: {error}\n  Detail: \n  {rule}\n  error:  {error}\n  code:      {code}\n  context:   {context}\n  {rule}"
    )
}

/// The error of a file, as the system tables store it.
pub(super) fn error(s3: &S3, place: &Place, context: String) -> LoadError {
    LoadError { file: s3.https(place), line: 0, column: String::new(), reason: context, code: SCAN }
}

/// Checks that the manifest contains the length of each file; a columnar file is read from its end.
pub(super) fn check_manifest(manifest: &Manifest) -> Result<(), Stop> {
    let refuse = |key: &str| {
        let error = format!("File entry does not have '{key}' key.");
        Err(Stop::Failed(message(&error, MANIFEST, "")))
    };
    for entry in &manifest.entries {
        match &entry.meta {
            None => return refuse("meta"),
            Some(meta) if meta.content_length.is_none() => return refuse("content_length"),
            Some(_) => {}
        }
    }
    Ok(())
}

/// Rejects columns of types that Parquet files cannot be loaded into.
pub(super) fn check_columns(columns: &[TargetColumn], serialize_to_json: bool) -> Result<(), Stop> {
    for column in columns {
        let reason = match column.type_name.as_str() {
            "bool" | "int2" | "int4" | "int8" | "float4" | "float8" | "numeric" | "varchar" | "bpchar" | "date"
            | "timestamp" => continue,
            "super" if serialize_to_json => continue,
            "super" => "SUPER column in COPY query requires SERIALIZETOJSON option".to_owned(),
            other => format!(
                "COPY of Parquet into column {} of type {} is not supported by this server: Redshift's documentation does not \
                 describe it",
                column.name,
                other.to_uppercase()
            ),
        };
        return Err(Stop::Failed(format!("ERROR: {reason}")));
    }
    Ok(())
}

/// Reads a file on a blocking thread; `None` if the file does not exist.
pub(super) async fn pieces(
    s3: &S3,
    spec: &CopySpec,
    columns: &Arc<[TargetColumn]>,
    wanted: &Wanted,
) -> Result<Option<mpsc::Receiver<Result<Piece, FileError>>>, Stop> {
    let place = wanted.place.clone();
    let Some(file) = s3.download(&place).await? else { return Ok(None) };
    let (sender, receiver) = mpsc::channel(4);
    let bad = |context: &str| FileError::File(error(s3, &place, context.to_owned()));
    // Redshift requests ranges according to the length in the manifest.
    let length = file.metadata().map(|metadata| metadata.len()).map_err(|error| Stop::Failed(error.to_string()))?;
    if wanted.content_length.is_some_and(|wanted| wanted > length) {
        let context = "HTTP response error code: 416 Message: InvalidRange The requested range is not satisfiable";
        // The channel is new, so it has capacity.
        let _ = sender.try_send(Err(bad(context)));
        return Ok(Some(receiver));
    }
    if let Some(wanted) = wanted.content_length.filter(|wanted| *wanted < length) {
        file.set_len(wanted).map_err(|error| Stop::Failed(error.to_string()))?;
    }
    let source = Source { file, url: s3.https(&place), place };
    let options =
        Options { columns: Arc::clone(columns), fill_record: spec.fill_record, replacement: spec.accept_inv_chars };
    tokio::task::spawn_blocking(move || {
        let mut piece = Piece { rows: 0, bytes: Vec::new().into() };
        let mut out = Vec::with_capacity(2 * PIECE_BYTES);
        let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            parquet::read(&source, &options, |rows, lines| {
                piece.rows += rows;
                out.extend(lines);
                if out.len() >= PIECE_BYTES {
                    let bytes = std::mem::take(&mut out).into();
                    let full = Piece { rows: std::mem::take(&mut piece.rows), bytes };
                    sender.blocking_send(Ok(full)).map_err(|_| ReadError::Stopped)?;
                }
                Ok(())
            })
        }));
        let context = |context| LoadError {
            file: source.url.clone(),
            line: 0,
            column: String::new(),
            reason: context,
            code: SCAN,
        };
        let last = match read {
            Ok(Ok(())) => Ok(Piece { rows: piece.rows, bytes: out.into() }),
            Ok(Err(ReadError::File(words))) => Err(FileError::File(context(words))),
            Ok(Err(ReadError::Unsupported(words))) => Err(FileError::Unsupported(words)),
            Ok(Err(ReadError::Stopped)) => return,
            // The Parquet reader can panic on damaged files.
            Err(_) => {
                Err(FileError::File(context(format!("File '{}' cannot be read: its pages are damaged", source.url))))
            }
        };
        // If the load was stopped, the receiver is closed and the error is dropped.
        let _ = sender.blocking_send(last);
    });
    Ok(Some(receiver))
}
