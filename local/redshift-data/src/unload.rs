//! `UNLOAD ('query') TO 's3://…'`: writes the rows of a query to files.
//!
//! Files are written to temporary files and uploaded after the query has ended, so a failed query leaves no objects.

use std::io::{BufWriter, Write};
use std::pin::pin;

use bytes::BytesMut;
use flate2::write::GzEncoder;
use futures::TryStreamExt;
use serde_json::json;
use tempfile::NamedTempFile;

use crate::cell::{compact_json, is_super};
use crate::connection::Connection;
use crate::execute::{Output, Stop};
use crate::fields::decode_row;
use crate::s3::{Place, S3};
use redshift_dialect::{Compression, UnloadFormat, UnloadSpec};
use shiftwork_sql::quoted;

/// Number of slices of a parallel UNLOAD. It is more than one, so that callers do not depend on a single file.
const SLICES: usize = 2;

/// Runs the query and writes the files.
///
/// # Errors
/// Returns Redshift's error if the destination is not empty, an error for each unsupported option, and errors of S3 and
/// PostgreSQL.
pub(crate) async fn unload(connection: &Connection, s3: &S3, spec: &UnloadSpec) -> Result<Output, Stop> {
    refuse_unknown(spec)?;
    let to = Place::parse(&spec.to)?;
    let existing = s3.list(&to).await?;
    if !existing.is_empty() && !spec.allow_overwrite && !spec.clean_path {
        return Err(Stop::Failed(
            "ERROR: Specified unload destination on S3 is not empty. Consider using a different bucket / prefix, \
             manually removing the target files in S3, or using the ALLOWOVERWRITE option."
                .into(),
        ));
    }
    let client = &connection.client;
    let query = spec.query.trim().trim_end_matches(';');
    let columns = client.prepare(query).await?;
    let columns = columns.columns();
    let names: Vec<&str> = columns.iter().map(tokio_postgres::Column::name).collect();
    let command = match spec.format {
        UnloadFormat::Json => {
            // `row_to_json` would write SUPER as a string, so SUPER is cast to jsonb.
            let members = columns.iter().map(|column| {
                let name = quoted(column.name());
                if is_super(column.type_()) { format!("q.{name}::jsonb as {name}") } else { format!("q.{name}") }
            });
            let members = members.collect::<Vec<_>>().join(", ");
            format!("copy (select row_to_json(r)::text from (select {members} from ({query}\n) q) r) to stdout")
        }
        UnloadFormat::Text { .. } | UnloadFormat::Csv { .. } | UnloadFormat::Parquet => {
            format!("copy ({query}\n) to stdout")
        }
    };
    let header = spec.header.then(|| {
        let fields: Vec<Option<String>> = names.iter().map(|name| Some((*name).to_owned())).collect();
        line(&fields, spec)
    });
    let mut writers: Vec<Writer> = (0..if spec.parallel { SLICES } else { 1 }).map(|_| Writer::default()).collect();
    let rows = client.copy_out(&command).await?;
    let mut rows = pin!(rows);
    let (mut pending, mut count) = (BytesMut::new(), 0_u64);
    while let Some(piece) = rows.try_next().await? {
        pending.extend_from_slice(&piece);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let row = pending.split_to(end + 1);
            let text = line(&decode_row(&row[..end]), spec);
            let slice = usize::try_from(count).unwrap_or(0) % writers.len();
            writers[slice].row(&text, header.as_deref(), spec)?;
            count += 1;
        }
    }
    // Without rows, one file is written: with the header line, or empty.
    writers[0].open(header.as_deref(), spec)?;
    if spec.clean_path {
        for place in &existing {
            s3.delete(place).await?;
        }
    }
    let mut entries = Vec::new();
    for (slice, writer) in writers.into_iter().enumerate() {
        for (part, file) in writer.finish()?.into_iter().enumerate() {
            let place = to.at(format!("{}{}", to.key, file_name(spec, slice, part)));
            s3.write_file(&place, file.path()).await?;
            entries.push(json!({ "url": place.to_string() }));
        }
    }
    if spec.manifest {
        let manifest = json!({ "entries": entries });
        s3.write(&to.at(format!("{}manifest", to.key)), manifest.to_string().into_bytes()).await?;
    }
    Ok(Output::affected(count))
}

fn refuse_unknown(spec: &UnloadSpec) -> Result<(), Stop> {
    let reason = if spec.iam_role.is_none() {
        "UNLOAD needs an authorization: add IAM_ROLE DEFAULT or IAM_ROLE 'arn:aws:iam::…'"
    } else if spec.format == UnloadFormat::Parquet {
        "UNLOAD with FORMAT PARQUET is not supported by this server; use CSV, JSON or delimited text"
    } else if spec.compression == Compression::Zstd {
        "UNLOAD with ZSTD is not supported by this server; use GZIP"
    } else if !spec.partition_by.is_empty() {
        "UNLOAD with PARTITION BY is not supported by this server"
    } else if spec.manifest_verbose {
        "UNLOAD with MANIFEST VERBOSE is not supported by this server; use MANIFEST"
    } else {
        return Ok(());
    };
    Err(Stop::Failed(format!("ERROR: {reason}")))
}

/// The file name: `0000_part_00` with slices, `000` without, followed by the extension.
fn file_name(spec: &UnloadSpec, slice: usize, part: usize) -> String {
    let name = if spec.parallel { format!("{slice:04}_part_{part:02}") } else { format!("{part:03}") };
    match (&spec.extension, spec.compression) {
        (Some(extension), _) => format!("{name}.{extension}"),
        (None, Compression::Gzip) => format!("{name}.gz"),
        (None, Compression::Zstd) => format!("{name}.zst"),
        (None, Compression::None) => name,
    }
}

/// The files of one slice.
#[derive(Default)]
struct Writer {
    files: Vec<Target>,
    /// Uncompressed size of the last file in bytes.
    bytes: u64,
}

enum Target {
    Plain(BufWriter<NamedTempFile>),
    Gzip(GzEncoder<BufWriter<NamedTempFile>>),
}

impl Writer {
    fn open(&mut self, header: Option<&str>, spec: &UnloadSpec) -> std::io::Result<()> {
        if self.files.is_empty() { self.next_file(header, spec) } else { Ok(()) }
    }

    fn next_file(&mut self, header: Option<&str>, spec: &UnloadSpec) -> std::io::Result<()> {
        let file = BufWriter::new(NamedTempFile::new()?);
        self.files.push(match spec.compression {
            Compression::Gzip => Target::Gzip(GzEncoder::new(file, flate2::Compression::default())),
            Compression::None | Compression::Zstd => Target::Plain(file),
        });
        self.bytes = 0;
        header.map_or(Ok(()), |header| self.write(header))
    }

    fn row(&mut self, text: &str, header: Option<&str>, spec: &UnloadSpec) -> std::io::Result<()> {
        if self.files.is_empty() || self.bytes + text.len() as u64 > spec.max_file_size {
            self.next_file(header, spec)?;
        }
        self.write(text)
    }

    fn write(&mut self, text: &str) -> std::io::Result<()> {
        self.bytes += text.len() as u64;
        match self.files.last_mut() {
            Some(Target::Plain(file)) => file.write_all(text.as_bytes()),
            Some(Target::Gzip(file)) => file.write_all(text.as_bytes()),
            None => Ok(()),
        }
    }

    fn finish(self) -> std::io::Result<Vec<NamedTempFile>> {
        let finished = self.files.into_iter().map(|file| {
            let file = match file {
                Target::Plain(file) => file,
                Target::Gzip(file) => file.finish()?,
            };
            file.into_inner().map_err(std::io::IntoInnerError::into_error)
        });
        finished.collect()
    }
}

/// One line of a file, including its line end.
fn line(fields: &[Option<String>], spec: &UnloadSpec) -> String {
    let shown = |field: &Option<String>| field.clone().unwrap_or_else(|| spec.null_as.clone());
    let mut text = match &spec.format {
        UnloadFormat::Json | UnloadFormat::Parquet => {
            fields.iter().flatten().map(|object| compact_json(object)).collect::<String>()
        }
        UnloadFormat::Csv { delimiter } => {
            let quoted = fields.iter().map(|field| {
                let text = shown(field);
                if text.contains([*delimiter, '"', '\n', '\r']) {
                    format!("\"{}\"", text.replace('"', "\"\""))
                } else {
                    text
                }
            });
            quoted.collect::<Vec<_>>().join(&delimiter.to_string())
        }
        UnloadFormat::Text { delimiter, add_quotes, escape } => {
            let written = fields.iter().map(|field| {
                let mut text = shown(field);
                if *escape && field.is_some() {
                    text = text.replace('\\', "\\\\");
                    for special in ["\n", "\r", "\"", "'", &delimiter.to_string()] {
                        text = text.replace(special, &format!("\\{special}"));
                    }
                }
                if *add_quotes && field.is_some() { format!("\"{text}\"") } else { text }
            });
            written.collect::<Vec<_>>().join(&delimiter.to_string())
        }
    };
    text.push('\n');
    text
}
