//! Reads files of COPY as records of text fields.

use std::io::{BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use serde_json::value::RawValue;

use redshift_dialect::{Compression, CopyFormat, CopySpec, CsvOptions, JsonShape, TextOptions};

/// Fields of one record; `None` is a JSON null or a missing key.
pub(crate) type Record = Vec<Option<Vec<u8>>>;

/// Calls `take` for each record of `file`; stops at the first error.
///
/// `columns` are the names of the target columns. JSON fields are matched by name, fields of other formats by position.
///
/// # Errors
/// Returns a description of the problem, without the file name.
pub(crate) fn read(
    file: impl Read,
    spec: &CopySpec,
    columns: &[String],
    mut take: impl FnMut(Record) -> Result<(), String>,
) -> Result<(), String> {
    let mut lines = decompressed(file, spec.compression);
    for _ in 0..spec.ignore_header {
        skip_line(&mut lines)?;
    }
    match &spec.format {
        CopyFormat::Csv(options) => read_csv(lines, options, &mut take),
        CopyFormat::Text(options) => read_text(lines, options, spec.ignore_blank_lines, &mut take),
        CopyFormat::Json(shape) => read_json(lines, shape, columns, &mut take),
        CopyFormat::Parquet { .. } => Err("Parquet files are not read as text records".into()),
    }
}

fn decompressed<'a>(file: impl Read + 'a, compression: Compression) -> Box<dyn BufRead + 'a> {
    let file = BufReader::with_capacity(64 * 1024, file);
    match compression {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(BufReader::new(MultiGzDecoder::new(file))),
        Compression::Zstd => Box::new(BufReader::new(ZstdFrames { state: ZstdState::Between(file) })),
    }
}

/// Reads all frames of a zstd file in sequence; the decoder reads a single frame.
struct ZstdFrames<R: BufRead> {
    state: ZstdState<R>,
}

enum ZstdState<R: BufRead> {
    Between(R),
    Inside(Box<ruzstd::decoding::StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>),
    Ended,
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match std::mem::replace(&mut self.state, ZstdState::Ended) {
                ZstdState::Ended => return Ok(0),
                ZstdState::Between(mut file) => {
                    if file.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    let decoder = ruzstd::decoding::StreamingDecoder::new(file).map_err(std::io::Error::other)?;
                    self.state = ZstdState::Inside(Box::new(decoder));
                }
                ZstdState::Inside(mut decoder) => match decoder.read(out)? {
                    0 if !out.is_empty() => self.state = ZstdState::Between(decoder.into_inner()),
                    n => {
                        self.state = ZstdState::Inside(decoder);
                        return Ok(n);
                    }
                },
            }
        }
    }
}

fn skip_line(lines: &mut dyn BufRead) -> Result<(), String> {
    let mut line = Vec::new();
    lines.read_until(b'\n', &mut line).map(|_| ()).map_err(|error| error.to_string())
}

fn ascii(character: char, what: &str) -> Result<u8, String> {
    u8::try_from(character).ok().filter(u8::is_ascii).ok_or_else(|| format!("{what} '{character}' is not ASCII"))
}

fn read_csv(
    lines: impl BufRead,
    options: &CsvOptions,
    take: &mut impl FnMut(Record) -> Result<(), String>,
) -> Result<(), String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(ascii(options.delimiter, "DELIMITER")?)
        .quote(ascii(options.quote, "QUOTE")?)
        .from_reader(lines);
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|error| error.to_string())? {
        take(record.iter().map(|field| Some(field.to_vec())).collect())?;
    }
    Ok(())
}

fn read_text(
    mut lines: impl BufRead,
    options: &TextOptions,
    ignore_blank_lines: bool,
    take: &mut impl FnMut(Record) -> Result<(), String>,
) -> Result<(), String> {
    let delimiter = ascii(options.delimiter, "DELIMITER")?;
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut read = lines.read_until(b'\n', &mut line).map_err(|error| error.to_string())?;
        // With ESCAPE, a backslash before a line end continues the record.
        while read > 0 && options.escape && ends_escaped(&line) {
            read = lines.read_until(b'\n', &mut line).map_err(|error| error.to_string())?;
        }
        if line.is_empty() {
            return Ok(());
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() && ignore_blank_lines {
            continue;
        }
        take(split(text, delimiter, options))?;
    }
}

fn ends_escaped(line: &[u8]) -> bool {
    line.strip_suffix(b"\n").is_some_and(|text| text.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1)
}

fn split(text: &[u8], delimiter: u8, options: &TextOptions) -> Record {
    let mut fields = Vec::new();
    let mut field = Vec::new();
    let (mut bytes, mut quote) = (text.iter().copied().peekable(), None);
    while let Some(byte) = bytes.next() {
        match byte {
            // `\N` is kept, because it is the default representation of NULL.
            b'\\' if options.escape && bytes.peek() != Some(&b'N') => field.extend(bytes.next()),
            b'"' | b'\'' if options.remove_quotes && quote.is_none() && field.is_empty() => quote = Some(byte),
            _ if Some(byte) == quote && bytes.peek().is_none_or(|next| *next == delimiter) => quote = None,
            _ if byte == delimiter && quote.is_none() => fields.push(Some(std::mem::take(&mut field))),
            _ => field.push(byte),
        }
    }
    fields.push(Some(field));
    fields
}

fn read_json(
    lines: impl BufRead,
    shape: &JsonShape,
    columns: &[String],
    take: &mut impl FnMut(Record) -> Result<(), String>,
) -> Result<(), String> {
    let objects = serde_json::Deserializer::from_reader(lines).into_iter::<Box<RawValue>>();
    for object in objects {
        let object = object.map_err(|error| format!("invalid JSON: {error}"))?;
        if *shape == JsonShape::NoShred {
            take(vec![Some(object.get().as_bytes().to_vec())])?;
            continue;
        }
        let members: Vec<(String, Box<RawValue>)> = members(object.get())?;
        let found = columns.iter().map(|column| {
            let value = members.iter().rev().find(|(key, _)| {
                if *shape == JsonShape::AutoIgnoreCase { key.eq_ignore_ascii_case(column) } else { key == column }
            });
            value.map_or(Ok(None), |(_, value)| scalar(value.get()))
        });
        take(found.collect::<Result<Record, String>>()?)?;
    }
    Ok(())
}

fn members(object: &str) -> Result<Vec<(String, Box<RawValue>)>, String> {
    let members: std::collections::BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(object).map_err(|error| format!("expected a JSON object: {error}"))?;
    Ok(members.into_iter().collect())
}

/// The text of a value: a string without quotes, null as NULL, any other value as written.
fn scalar(json: &str) -> Result<Option<Vec<u8>>, String> {
    if json == "null" {
        return Ok(None);
    }
    if json.starts_with('"') {
        let text: String = serde_json::from_str(json).map_err(|error| error.to_string())?;
        return Ok(Some(text.into_bytes()));
    }
    Ok(Some(json.as_bytes().to_vec()))
}
