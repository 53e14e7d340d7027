//! Compares every row of shiftwork's output with the row of a peer's output.
//!
//! Compared are the columns of the contract, the time and kind of the change, the fields without a column, and the line
//! number if the peer writes it. Different notations of the same value are equal: dlt's `True`, `+00:00` and empty
//! NULL, and `12:00:00.5` and `12:00:00.500000`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::GzDecoder;

/// The compared columns, starting with those of the contract.
const COLUMNS: [&str; 21] = [
    "id",
    "customer_id",
    "status",
    "currency",
    "total",
    "tax",
    "discount",
    "items",
    "weight",
    "gift",
    "email",
    "address",
    "note",
    "coupon",
    "ordered_on",
    "created_at",
    "updated_at",
    "dw_md_changed_at",
    "dw_md_operation",
    "dw_md_missing_data",
    "dw_md_offset",
];
const OFFSET: usize = 20;
const MISSING: usize = 19;

/// A row with one value per column; NULL is `None`.
type Row = [Option<String>; COLUMNS.len()];

/// The format of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// The columns of shiftwork.
    Ours,
    /// Like `Ours`, but the loader numbers lines from 1.
    Loaded,
    /// The compared columns in order, without the line number.
    Unnumbered,
    /// The compared columns in order.
    Numbered,
    /// dlt's format: a directory of files, each with a header line.
    Dlt,
}

/// Compares two outputs and returns the number of rows.
///
/// # Errors
/// Returns the first row that differs.
pub(crate) fn rows(ours: &Path, theirs: &Path, output: Output) -> Result<u64> {
    let (mut ours, mut theirs) = (read(ours, Output::Ours)?, read(theirs, output)?);
    let is_numbered = match output {
        Output::Ours | Output::Numbered | Output::Dlt => true,
        Output::Loaded | Output::Unnumbered => false,
    };
    let mut same = 0;
    loop {
        let (mut our, mut their) = match (ours.next().transpose()?, theirs.next().transpose()?) {
            (None, None) => return Ok(same),
            (Some(ours), Some(theirs)) => (ours, theirs),
            (Some(row), None) => bail!("the peer has only {same} rows; the next row of shiftwork is {row:?}"),
            (None, Some(row)) => bail!("shiftwork has only {same} rows; the next row of the peer is {row:?}"),
        };
        if !is_numbered {
            (our[OFFSET], their[OFFSET]) = (None, None);
        }
        ensure!(our == their, "row {same} differs:\n  shiftwork {our:?}\n  peer      {their:?}");
        same += 1;
    }
}

type Rows = Box<dyn Iterator<Item = Result<Row>>>;

fn read(path: &Path, output: Output) -> Result<Rows> {
    if output != Output::Dlt {
        return csv(Box::new(zstd::Decoder::new(open(path)?)?), output);
    }
    let mut rows = Vec::new();
    for file in dlt_files(&path.join("loaded/bench/orders"))? {
        for row in csv(Box::new(GzDecoder::new(open(&file)?)), output)? {
            rows.push(row?);
        }
    }
    // The order of dlt's files is not defined, so the rows are sorted.
    rows.sort_by_cached_key(|row| row[OFFSET].as_ref().and_then(|offset| offset.parse::<u64>().ok()));
    Ok(Box::new(rows.into_iter().map(Ok)))
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| path.display().to_string())
}

fn dlt_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        files.push(entry?.path());
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "gz"));
    Ok(files)
}

fn csv(bytes: Box<dyn Read>, output: Output) -> Result<Rows> {
    let mut reader = csv::ReaderBuilder::new().has_headers(output == Output::Dlt).flexible(true).from_reader(bytes);
    let header: BTreeMap<String, usize> = match output {
        Output::Dlt => reader.headers()?.iter().enumerate().map(|(at, name)| (name.to_owned(), at)).collect(),
        // Changes, unchanged columns, position and partition exist only in shiftwork's output; the offset follows them.
        Output::Ours | Output::Loaded => COLUMNS
            .iter()
            .enumerate()
            .map(|(at, &name)| (name.to_owned(), at + if at == OFFSET { 4 } else { 0 }))
            .collect(),
        Output::Unnumbered | Output::Numbered => {
            COLUMNS.iter().enumerate().map(|(at, &name)| (name.to_owned(), at)).collect()
        }
    };
    let null = if output == Output::Dlt { "" } else { r"\N" };
    Ok(Box::new(reader.into_records().map(move |record| {
        let record = record?;
        let field = |name: &str| {
            let text = record.get(*header.get(name)?)?;
            (text != null).then(|| text.to_owned())
        };
        let mut row: Row = COLUMNS.map(field);
        if output == Output::Dlt {
            row[MISSING] = field("channel").map(|channel| format!(r#"{{"channel":"{channel}"}}"#));
        }
        for (name, value) in COLUMNS.iter().zip(&mut row) {
            *value = value.take().map(|value| normal(name, value));
        }
        Ok(row)
    })))
}

fn normal(name: &str, value: String) -> String {
    match name {
        "created_at" | "updated_at" | "dw_md_changed_at" => {
            let value = value.strip_suffix("+00:00").unwrap_or(&value);
            if value.contains('.') { value.trim_end_matches('0').trim_end_matches('.') } else { value }.to_owned()
        }
        "total" | "tax" | "discount" if value.contains('.') => {
            value.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        "gift" => value.to_ascii_lowercase(),
        "dw_md_offset" => value.trim_start_matches('0').to_owned(),
        _ => value,
    }
}
