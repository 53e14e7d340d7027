//! `shiftwork decode`: converts a file of change events to the rows that cdc-loader would stage, with the code of cdc-loader.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, IsTerminal as _, Read, Write},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::bufread::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressStyle};
use shiftwork_change_data::{
    compiled::Compiled,
    contract::{self, TableContract},
    refusal::Refusal,
    stage::{Counts, Outcome as RecordOutcome, Record, Stager, compressed},
    transport::{Offset, Partition},
};

use crate::{
    Outcome, args, diagnostics,
    table::{Column, Table},
    words,
};

/// Maximum length of a line, in bytes. A SUPER value has up to 16 MB, and JSON can encode a byte as six.
const MAX_LINE_BYTES: u64 = 128 * 1024 * 1024;
/// Maximum number of refusals that are printed; the summary has the number of all refusals.
const MAX_PRINTED: usize = 5;

/// Decodes a file, and prints a summary. The outcome is `Failed` if a record was refused.
pub fn decode(asked: &args::Decode) -> anyhow::Result<Outcome> {
    let Some(contract) = read_contract(&asked.contract)? else { return Ok(Outcome::Failed) };
    let compiled = Compiled::new(contract);
    let bar = bar(&asked.file);
    let mut refused = asked.refused.as_deref().map(create).transpose()?;
    let mut refusals = 0;
    let mut refuse = |line: u64, value: &[u8], refusal: &Refusal| -> io::Result<()> {
        if refusals < MAX_PRINTED {
            bar.suspend(|| eprintln!("{}:{line}: {refusal}", asked.file.display()));
        }
        refusals += 1;
        let Some(out) = &mut refused else { return Ok(()) };
        let record = serde_json::json!({
            "line": line, "kind": refusal.kind.as_str(), "reason": refusal.reason, "value_base64": STANDARD.encode(value),
        });
        writeln!(out, "{record}")
    };
    let began = Instant::now();
    let input = open(&asked.file, &bar)?;
    let partition = Partition::from_text(&format!("file/{}", asked.file.display()));
    let counts = match asked.out.as_deref() {
        Some(path) if path.extension().is_some_and(|extension| extension == "zst") => {
            let sink = compressed(create(path)?)?;
            let (sink, counts) = stage(input, &compiled, partition, sink, &mut refuse)?;
            sink.finish()?.flush()?;
            counts
        }
        Some(path) => {
            let (mut sink, counts) = stage(input, &compiled, partition, create(path)?, &mut refuse)?;
            sink.flush()?;
            counts
        }
        None => {
            let sink = BufWriter::new(io::stdout().lock());
            let (mut sink, counts) = stage(input, &compiled, partition, sink, &mut refuse)?;
            sink.flush()?;
            counts
        }
    };
    if let Some(refused) = &mut refused {
        refused.flush()?;
    }
    bar.finish_and_clear();
    eprintln!("{}", summary(&counts, began.elapsed()));
    Ok(if counts.refused.is_empty() { Outcome::Done } else { Outcome::Failed })
}

/// Reads a table contract. If it is not valid, prints its problems and returns `None`.
fn read_contract(path: &Path) -> anyhow::Result<Option<TableContract>> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    match contract::read(&name, &text) {
        Ok(contract) => Ok(Some(contract)),
        Err(problems) => {
            let texts = [(name, text)].into();
            eprint!("{}", diagnostics::render(&problems, &texts, console::colors_enabled_stderr()));
            Ok(None)
        }
    }
}

fn create(path: &Path) -> anyhow::Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(BufWriter::with_capacity(1 << 18, file))
}

/// Opens a file of lines, plain or compressed with gzip; `-` is the standard input.
pub(crate) fn open(path: &Path, bar: &ProgressBar) -> anyhow::Result<Box<dyn BufRead>> {
    let raw: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).with_context(|| format!("cannot read {}", path.display()))?)
    };
    let mut input = BufReader::with_capacity(1 << 18, bar.wrap_read(raw));
    // The first two bytes of a gzip file; no JSON text starts with them.
    let is_gzip = input.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if is_gzip { Box::new(BufReader::with_capacity(1 << 18, MultiGzDecoder::new(input))) } else { Box::new(input) })
}

/// Calls `each` for every line that is not blank, with its number from 1. Keeps one line in memory at a time.
pub(crate) fn each_line(
    mut input: impl BufRead,
    mut each: impl FnMut(u64, &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        number += 1;
        if (&mut input).take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.len() as u64 == MAX_LINE_BYTES {
            bail!("line {number} is longer than 128 MB: put each change event on a line of its own");
        }
        if !line.trim_ascii().is_empty() {
            each(number, line.trim_ascii())?;
        }
    }
}

/// Called for a refused record with its line number, its bytes and the reason.
type Refuse<'a> = dyn FnMut(u64, &[u8], &Refusal) -> io::Result<()> + 'a;

/// Writes the rows of all records of a file to a sink.
fn stage<W: Write>(
    input: impl BufRead,
    compiled: &Compiled,
    partition: Partition,
    sink: W,
    refuse: &mut Refuse<'_>,
) -> anyhow::Result<(W, Counts)> {
    let mut stager = Stager::new(compiled, partition, sink);
    each_line(input, |number, value| {
        let offset = Offset::number(number);
        match stager.record(Record { value, key: None, offset: &offset })? {
            RecordOutcome::Refused(refusal) => refuse(number, value, &refusal)?,
            RecordOutcome::Staged(_) | RecordOutcome::Skipped(_) | RecordOutcome::OtherTable(_) => {}
        }
        Ok(())
    })?;
    let finished = stager.finish();
    Ok((finished.sink, finished.counts))
}

/// The number of records per result, and the throughput: MB are 10^6 bytes.
pub fn summary(counts: &Counts, time: Duration) -> String {
    let table = table(counts);
    #[allow(clippy::cast_precision_loss, reason = "rounded for display")]
    let (read, written) = (counts.bytes as f64 / 1e6, counts.row_bytes as f64 / 1e6);
    let seconds = time.as_secs_f64().max(1e-9);
    format!("{table}\n{read:.1} MB of events, {written:.1} MB of rows, {seconds:.2} s, {:.0} MB/s", read / seconds)
}

/// The number of records per result.
fn table(counts: &Counts) -> Table {
    let count = |number: u64| words::count(i64::try_from(number).unwrap_or(i64::MAX));
    let mut table = Table::new([Column::number("records"), Column::text("result", usize::MAX)]);
    let mut row = |number: u64, what: String| {
        if number > 0 {
            table.row([count(number), what]);
        }
    };
    let of_rows =
        |number: u64, what: &str| if number == 0 { String::new() } else { format!(", {} {what}", count(number)) };
    let skipped: u64 = counts.skipped.values().sum();
    let refused: u64 = counts.refused.values().sum();
    row(
        counts.records - skipped - refused - counts.other_tables,
        format!(
            "{}{}{}",
            words::plural(usize::try_from(counts.rows).unwrap_or(usize::MAX), "row"),
            of_rows(counts.with_missing_data, "with dw_md_missing_data"),
            of_rows(counts.with_changes, "with dw_md_changes"),
        ),
    );
    for (reason, number) in &counts.skipped {
        row(*number, format!("skipped: {reason}"));
    }
    row(counts.other_tables, "for other tables".into());
    for (kind, number) in &counts.refused {
        row(*number, format!("refused: {kind}"));
    }
    table
}

fn bar(path: &Path) -> ProgressBar {
    let length = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|found| found.len());
    let (Some(length), true) = (length, io::stderr().is_terminal()) else { return ProgressBar::hidden() };
    let style =
        ProgressStyle::with_template("{wide_bar} {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests;
