//! `COPY … FORMAT PARQUET`. Redshift reads columnar files as it scans external tables, and its errors are those of a scan.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Bad, LoadError, Manifest, PIECE_BYTES, Piece, Wanted};
use crate::execute::Stop;
use crate::fields::TargetColumn;
use crate::parquet::{self, Options, Source, Trouble};
use crate::s3::{Place, S3};
use redshift_dialect::CopySpec;

/// `error_code` of a file that cannot be scanned, or does not fit the table.
const SCAN: i32 = 15_007;
/// `error_code` of a manifest.
const MANIFEST: i32 = 15_003;
/// The client sees so many bytes of an error's context; `sys_load_error_detail` has all.
const CONTEXT: usize = 256;

/// The error of a statement, as the client sees it.
pub(super) fn message(error: &str, code: i32, context: &str) -> String {
    let context = &context[..context.floor_char_boundary(CONTEXT)];
    let rule = "-".repeat(47);
    format!(
        "ERROR: {error}\n  Detail: \n  {rule}\n  error:  {error}\n  code:      {code}\n  context:   {context}\n  {rule}"
    )
}

/// What is wrong with a file, as the system tables keep it.
pub(super) fn error(s3: &S3, place: &Place, context: String) -> LoadError {
    LoadError { file: s3.https(place), line: 0, column: String::new(), reason: context, code: SCAN }
}

/// A columnar file is read from its end, so its manifest must say how long it is.
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

/// Refuses columns that nothing of a Parquet file goes to.
pub(super) fn check_columns(columns: &[TargetColumn], serialize_to_json: bool) -> Result<(), Stop> {
    for column in columns {
        let reason = match column.type_name.as_str() {
            "bool" | "int2" | "int4" | "int8" | "float4" | "float8" | "numeric" | "varchar" | "bpchar" | "date"
            | "timestamp" => continue,
            "super" if serialize_to_json => continue,
            "super" => "SUPER column in COPY query requires SERIALIZETOJSON option".to_owned(),
            other => format!(
                "COPY of Parquet into column {} of type {} is not known here: Redshift's documentation does not say what \
                 becomes of it",
                column.name,
                other.to_uppercase()
            ),
        };
        return Err(Stop::Failed(format!("ERROR: {reason}")));
    }
    Ok(())
}

/// Reads a file on a blocking thread; `None` when it is not there.
pub(super) async fn pieces(
    s3: &S3,
    spec: &CopySpec,
    columns: &Arc<[TargetColumn]>,
    wanted: &Wanted,
) -> Result<Option<mpsc::Receiver<Result<Piece, Bad>>>, Stop> {
    let place = wanted.place.clone();
    let Some(file) = s3.download(&place).await? else { return Ok(None) };
    let (sender, receiver) = mpsc::channel(4);
    let bad = |context: &str| Bad::File(error(s3, &place, context.to_owned()));
    // Redshift asks for the ranges of a file that is as long as the manifest says.
    let length = file.metadata().map(|metadata| metadata.len()).map_err(|error| Stop::Failed(error.to_string()))?;
    if wanted.content_length.is_some_and(|wanted| wanted > length) {
        let context = "HTTP response error code: 416 Message: InvalidRange The requested range is not satisfiable";
        // The channel is new and has room.
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
                    sender.blocking_send(Ok(full)).map_err(|_| Trouble::Stopped)?;
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
            Ok(Err(Trouble::File(words))) => Err(Bad::File(context(words))),
            Ok(Err(Trouble::NotHere(words))) => Err(Bad::NotHere(words)),
            Ok(Err(Trouble::Stopped)) => return,
            // The reader of Parquet is not proof against every damage.
            Err(_) => Err(Bad::File(context(format!("File '{}' cannot be read: its pages are damaged", source.url)))),
        };
        // Nobody listens any more once the load was stopped.
        let _ = sender.blocking_send(last);
    });
    Ok(Some(receiver))
}
