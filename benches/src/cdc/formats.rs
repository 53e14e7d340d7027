//! The formats of events beside DuckDB: gzip files, through the code of cdc-loader.

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum as _;
use comfy_table::{CellAlignment, Table, presets};

use crate::{Measured, Options, Subject, compare::Output, generate::Form, packed, size, speed, thousands, written};

/// The measured formats, with their names.
const FORMATS: [(&str, Form); 4] = [
    ("Debezium, PostgreSQL", Form::Plain),
    ("Debezium, MySQL", Form::Mysql),
    ("Debezium, MongoDB", Form::Mongodb),
    ("DynamoDB, over Kinesis", Form::Dynamodb),
];

/// A format, measured with shiftwork and with DuckDB.
pub(crate) struct Format {
    name: &'static str,
    pub(crate) ours: Measured,
    /// `None` if DuckDB is not installed.
    pub(crate) duckdb: Option<Measured>,
}

/// Writes the events of all formats.
pub(crate) fn all(options: &Options, folder: &Path, me: &Path, python: Option<&Path>) -> Result<Vec<Format>> {
    let one = |(name, form): (&'static str, Form)| {
        let label = form.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let events = written(options, folder, me, &label)?;
        let bytes = size(&events);
        let subject = Subject { me, folder, events: packed(&events)? };
        let ours =
            subject.ours(name, "load", &["--form", &label], (&format!("format-{label}.csv.zst"), Some(Output::Loaded)));
        let duckdb = python.map(|python| {
            let output = folder.join(format!("format-{label}-duckdb.csv.zst"));
            let script = match form {
                Form::Plain | Form::Enveloped => include_str!("peers/duckdb_copy.py"),
                Form::Mysql | Form::Mongodb | Form::Dynamodb => include_str!("peers/duckdb_formats.py"),
            };
            let mut arguments = vec!["-c".as_ref(), script.as_ref(), subject.events.as_os_str(), output.as_os_str()];
            if form != Form::Plain {
                arguments.push(label.as_ref());
            }
            let measured = subject.measured(name, python, &arguments, output.clone(), Some(Output::Unnumbered));
            Measured { bytes, ..measured }
        });
        Ok(Format { name, ours: Measured { bytes, ..ours }, duckdb })
    };
    FORMATS.into_iter().map(one).collect()
}

/// Runs all programs once.
pub(crate) fn run(formats: &mut [Format], core: u16) -> Result<()> {
    formats.iter_mut().try_for_each(|format| {
        format.ours.run(core)?;
        format.duckdb.as_mut().map_or(Ok(()), |duckdb| duckdb.run(core))
    })
}

/// The table of the formats.
pub(crate) fn table(formats: &[Format], events: u64) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header([
        "gzip file to staged file",
        "MB",
        "MB/s",
        "events/s",
        "DuckDB, MB/s",
        "x DuckDB",
    ]);
    for Format { name, ours, duckdb } in formats {
        let (took, theirs) = (ours.runs.took(), duckdb.as_ref().map(|duckdb| &duckdb.runs));
        table.add_row([
            (*name).to_owned(),
            (ours.bytes / 1_000_000).to_string(),
            format!("{:.0}", speed(ours.bytes, took)),
            thousands(events, took),
            theirs.map_or_else(String::new, |theirs| format!("{:.0}", speed(ours.bytes, theirs.took()))),
            theirs.map_or_else(String::new, |theirs| format!("{:.1}", ours.runs.times_as_fast_as(theirs))),
        ]);
    }
    for column in 1..6 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
