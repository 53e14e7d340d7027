//! Checks a file against the expectations of its feed.

use std::io;

use jiff::{SignedDuration, Timestamp};
use shiftwork_ports::{ObjectStream, Objects, Result};
use shiftwork_protocol::{
    Failure, FailureKind,
    file::{FileRecord, Format},
};

use crate::{
    feed::{ColumnsBy, Compression, Expectations, Feed},
    header,
    parquet::{self, Tail},
    rows::RowReader,
};

/// Maximum number of bytes that are read of a control file, which contains one number.
const CONTROL_BYTES: usize = 4 * 1024;
/// UTF-8's byte order mark.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Number of bytes at the end of a Parquet file that are read first. Most footers are shorter.
const FOOTER_BYTES: u64 = 64 * 1024;
/// Time after which a file without its control file is quarantined.
const CONTROL_WAIT: SignedDuration = SignedDuration::from_hours(24);

/// The result of an inspection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inspection {
    /// The file meets the expectations.
    Passed {
        /// The checksum that S3 stores, as `<algorithm>:<base64>`, if the feed expects one.
        checksum: Option<String>,
        /// The columns of the fields in their order, if the feed assigns fields by the header.
        columns: Vec<String>,
    },
    /// The file does not meet the expectations, with the reason.
    Rejected(String),
    /// The control file of the file does not exist yet.
    AwaitsControlFile,
}

/// Inspects a file. Expectations that the record can decide need no request to S3.
pub async fn inspect(objects: &dyn Objects, feed: &Feed, file: &FileRecord, now: Timestamp) -> Result<Inspection> {
    let expect = &feed.expect;
    if expect.non_empty && file.size == 0 {
        return Ok(Inspection::Rejected("the file is empty".into()));
    }
    if let Some(max_age) = expect.max_age
        && now.duration_since(file.received_ts) > max_age.length()
    {
        let reason = format!("the file was received at {}, which is longer ago than {max_age}", file.received_ts);
        return Ok(Inspection::Rejected(reason));
    }
    // One damaged Parquet file fails the COPY of the whole batch, so every Parquet file is inspected.
    let columnar = feed.format == Format::Parquet;
    let wanted_rows = match &expect.rows_from {
        None => None,
        Some(control) => match rows_wanted(objects, file, control, now).await? {
            Ok(rows) => Some(rows),
            Err(inspection) => return Ok(inspection),
        },
    };
    let checksum = match checksum(objects, file, expect).await? {
        Ok(checksum) => checksum,
        Err(reason) => return Ok(Inspection::Rejected(reason)),
    };
    let by_header = feed.columns_by == ColumnsBy::Header;
    let needs_content = by_header || !expect.header.is_empty() || expect.columns.is_some() || wanted_rows.is_some();
    // COPY reads the bytes of a compressed file as text if its feed is not compressed, and can load them as rows.
    let is_loaded = feed.format.is_loadable() && feed.work_items.is_none();
    let is_plain_text = is_loaded && feed.compression == Compression::None && file.size > 0;
    let columns = match (columnar, needs_content, is_plain_text) {
        (true, _, _) => footer(objects, feed, file, wanted_rows).await?,
        (false, true, _) => content(objects, feed, file, wanted_rows).await?,
        (false, false, true) => compressed(objects, file).await?.map_or(Ok(Vec::new()), Err),
        (false, false, false) => Ok(Vec::new()),
    };
    Ok(match columns {
        Ok(columns) => Inspection::Passed { checksum, columns },
        Err(reason) => Inspection::Rejected(reason),
    })
}

/// The columns of the fields of a file, if its feed assigns fields by the header, or the reason to reject the file.
type Columns = std::result::Result<Vec<String>, String>;

/// Reads the number of rows from the control file. The inner error is the inspection's result if there is no such number.
async fn rows_wanted(
    objects: &dyn Objects,
    file: &FileRecord,
    control: &str,
    now: Timestamp,
) -> Result<std::result::Result<u64, Inspection>> {
    let key = control.replace("{key}", &file.key);
    let Some(mut object) = objects.open(&file.bucket, &key, None).await? else {
        return Ok(Err(if now.duration_since(file.registered_ts) > CONTROL_WAIT {
            Inspection::Rejected(format!("the control file {key} was not received within 24 hours"))
        } else {
            Inspection::AwaitsControlFile
        }));
    };
    let mut text = Vec::new();
    while text.len() < CONTROL_BYTES
        && let Some(bytes) = object.content.next().await?
    {
        text.extend(bytes);
    }
    // Editors on Windows write a byte order mark in front of the number.
    let text = String::from_utf8_lossy(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text));
    Ok(text.trim().parse().map_err(|_| {
        let shown: String = text.trim().chars().take(40).collect();
        Inspection::Rejected(format!("the control file {key} contains `{shown}`, expected a number of rows"))
    }))
}

/// Returns the checksum that S3 stores for the file. The inner error is the reason to reject the file.
async fn checksum(
    objects: &dyn Objects,
    file: &FileRecord,
    expect: &Expectations,
) -> Result<std::result::Result<Option<String>, String>> {
    let Some(kind) = expect.checksum else { return Ok(Ok(None)) };
    let Some(head) = objects.head(&file.bucket, &file.key).await? else { return Ok(Err(DELETED.into())) };
    Ok(match head.checksums.get(kind.as_str()) {
        Some(value) => Ok(Some(format!("{}:{value}", kind.as_str()))),
        None => {
            Err(format!("S3 has no {} checksum for the file: the sender must upload the file with one", kind.as_str()))
        }
    })
}

const DELETED: &str = "the file was deleted";

/// Inspects a Parquet file by its footer.
async fn footer(objects: &dyn Objects, feed: &Feed, file: &FileRecord, rows: Option<u64>) -> Result<Columns> {
    let mut bytes = FOOTER_BYTES;
    let footer = loop {
        let Some(tail) = objects.tail(&file.bucket, &file.key, bytes).await? else { return Ok(Err(DELETED.into())) };
        match parquet::read(&tail, file.size) {
            Ok(Tail::Footer(footer)) => break footer,
            // The object is shorter than the recorded size, so it was overwritten. The event of the new version reports that.
            Ok(Tail::NeedsBytes(needed)) if needed <= bytes => {
                return Ok(Err("the file is shorter than when it was received".into()));
            }
            Ok(Tail::NeedsBytes(needed)) => bytes = needed,
            Err(reason) => return Ok(Err(format!("the file {reason}"))),
        }
    };
    let columns = columns(feed, &footer.columns, "the columns are", "columns");
    Ok(columns.and_then(|columns| row_mismatch(rows, footer.rows).map_or(Ok(columns), Err)))
}

/// Compares the names and the number of fields with the expectations. `subject` and `noun` name the fields in the message.
fn columns(feed: &Feed, names: &[String], subject: &str, noun: &str) -> Columns {
    let expect = &feed.expect;
    let columns = match feed.columns_by {
        ColumnsBy::Position if !expect.header.is_empty() && names != expect.header => {
            return Err(format!("{subject} `{}`, expected `{}`", names.join(","), expect.header.join(",")));
        }
        ColumnsBy::Position => Vec::new(),
        ColumnsBy::Header => header::columns(feed, names)?,
    };
    match expect.columns.filter(|wanted| names.len() != *wanted as usize) {
        Some(wanted) => Err(format!("the file has {} {noun}, expected {wanted}", names.len())),
        None => Ok(columns),
    }
}

fn row_mismatch(wanted: Option<u64>, found: u64) -> Option<String> {
    let wanted = wanted.filter(|wanted| *wanted != found)?;
    Some(format!("the file has {found} rows, and its control file says {wanted}"))
}

/// Inspects a text file by its first line and its number of rows.
async fn content(objects: &dyn Objects, feed: &Feed, file: &FileRecord, rows: Option<u64>) -> Result<Columns> {
    let Some(mut object) = objects.open(&file.bucket, &file.key, None).await? else { return Ok(Err(DELETED.into())) };
    let (fields, found) = match read_rows(&mut *object.content, feed, rows.is_some()).await {
        Ok(read) => read,
        Err(ReadError::Content(reason)) => return Ok(Err(reason)),
        Err(ReadError::Request(failure)) => return Err(failure),
    };
    let names: Vec<_> = fields.iter().map(|name| name.trim().to_owned()).collect();
    let columns = columns(feed, &names, "the header is", "fields in the first line");
    let header = if feed.format == Format::Csv { u64::from(feed.header_lines) } else { 0 };
    let wrong_rows = found.and_then(|found| row_mismatch(rows, found.saturating_sub(header)));
    Ok(columns.and_then(|columns| wrong_rows.map_or(Ok(columns), Err)))
}

/// Reads the beginning of a text file. Returns the reason to reject it if it is compressed. A bucket that is not one of
/// `LandingBucketNames` may be readable only for COPY: its files are not inspected.
async fn compressed(objects: &dyn Objects, file: &FileRecord) -> Result<Option<String>> {
    let object = match objects.open(&file.bucket, &file.key, None).await {
        Err(failure) if failure.kind == FailureKind::AccessDenied => {
            tracing::warn!(file = file.url(), "the beginning of the file is not inspected: {failure}");
            return Ok(None);
        }
        object => object?,
    };
    let Some(mut object) = object else { return Ok(Some(DELETED.into())) };
    let mut beginning = Vec::new();
    while beginning.len() < Compression::SIGNATURE_BYTES
        && let Some(bytes) = object.content.next().await?
    {
        beginning.extend(bytes);
    }
    Ok(compression_of(&beginning))
}

/// Returns the reason to reject the file of a feed without compression if its first bytes are those of a compressed file.
fn compression_of(beginning: &[u8]) -> Option<String> {
    let found = Compression::of(beginning)?;
    Some(format!(
        "the file is compressed with {0}, and the feed is not: set `compression: {0}` in the feed",
        found.as_str()
    ))
}

enum ReadError {
    /// The content is not valid; the reason to reject the file.
    Content(String),
    /// A request to S3 failed.
    Request(Failure),
}

/// Reads the fields of the first row, and with `whole` also the number of rows. The file is streamed.
async fn read_rows(
    stream: &mut dyn ObjectStream,
    feed: &Feed,
    whole: bool,
) -> std::result::Result<(Vec<String>, Option<u64>), ReadError> {
    let unreadable = |error: io::Error| {
        let compression = match feed.compression {
            Compression::None => "plain",
            Compression::Gzip | Compression::Zstd | Compression::Bzip2 => feed.compression.as_str(),
        };
        ReadError::Content(format!("the file cannot be read as {compression} text: {error}"))
    };
    let mut reader = RowReader::new(feed).map_err(unreadable)?;
    let mut beginning = Vec::new();
    while let Some(bytes) = stream.next().await.map_err(ReadError::Request)? {
        if feed.compression == Compression::None && beginning.len() < Compression::SIGNATURE_BYTES {
            beginning.extend(bytes.iter().take(Compression::SIGNATURE_BYTES));
            if let Some(reason) = compression_of(&beginning) {
                return Err(ReadError::Content(reason));
            }
        }
        reader.feed(&bytes).map_err(unreadable)?;
        if !whole && reader.has_first() {
            return Ok((reader.into_first(), None));
        }
    }
    let (fields, rows) = reader.finish().map_err(unreadable)?;
    Ok((fields, Some(rows)))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use shiftwork_ports::fake::{MemoryBucket, MemoryObjects, a_file};

    use crate::{encoding::Encoding, sample};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    async fn inspected(feed: &Feed, content: &[u8], control: Option<&str>) -> Inspection {
        let objects = std::sync::Arc::new(MemoryObjects::default());
        let landing = MemoryBucket::of(objects.clone(), "landing");
        landing.put("orders/a.csv", content);
        if let Some(control) = control {
            landing.put("orders/a.csv.count", control);
        }
        let file = FileRecord { size: content.len() as u64, ..a_file("orders/a.csv", "1") };
        inspect(&*objects, feed, &file, NOW).await.unwrap()
    }

    fn expecting(expect: Expectations) -> Feed {
        Feed { header_lines: 1, expect, ..sample::feed() }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn passed() -> Inspection {
        Inspection::Passed { checksum: None, columns: Vec::new() }
    }

    fn rejection(inspection: Inspection) -> String {
        match inspection {
            Inspection::Rejected(reason) => reason,
            Inspection::Passed { .. } | Inspection::AwaitsControlFile => panic!("{inspection:?}"),
        }
    }

    #[tokio::test]
    async fn a_header_is_compared_in_every_compression() {
        let expect = Expectations { header: vec!["id".into(), "a,b".into()], columns: Some(2), ..Default::default() };
        let mut feed = expecting(expect);
        let text = b"\xef\xbb\xbfid,\"a,b\"\r\n1,2\r\n";
        let passed = passed();
        assert_eq!(inspected(&feed, text, None).await, passed);
        assert!(rejection(inspected(&feed, b"id,b\n1,2\n", None).await).contains("the header is `id,b`"));
        feed.compression = Compression::Gzip;
        assert_eq!(inspected(&feed, &gzip(text), None).await, passed);
        assert!(rejection(inspected(&feed, text, None).await).contains("cannot be read as gzip text"));
        feed.compression = Compression::Zstd;
        assert_eq!(inspected(&feed, &zstd::bulk::compress(text, 1).unwrap(), None).await, passed);
    }

    #[tokio::test]
    async fn a_header_and_rows_are_read_in_the_encoding_of_the_feed() {
        let expect = Expectations {
            header: vec!["id".into(), "Größe".into()],
            rows_from: Some("{key}.count".into()),
            ..Default::default()
        };
        let mut feed = expecting(expect);
        let text = "id,Größe\n1,\"ä\nb\"\n2,😀\n";
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let passed = passed();
        feed.encoding = Encoding::Utf16le;
        assert_eq!(inspected(&feed, &utf16, Some("2")).await, passed);
        assert!(
            rejection(inspected(&feed, &utf16[..utf16.len() - 1], Some("2")).await).contains("ends within a character")
        );
        feed.encoding = Encoding::Utf16;
        assert!(rejection(inspected(&feed, &utf16, Some("2")).await).contains("no byte order mark"));
        feed.compression = Compression::Gzip;
        assert_eq!(inspected(&feed, &gzip(&[&[0xFF, 0xFE], &utf16[..]].concat()), Some("2")).await, passed);
        feed.encoding = Encoding::Iso88591;
        assert_eq!(inspected(&feed, &gzip(b"id,Gr\xF6\xDFe\n1,2\n"), Some("1")).await, passed);
    }

    #[tokio::test]
    async fn a_header_assigns_fields_to_columns() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut feed = Feed {
            columns: names(&["id", "amount"]),
            columns_by: ColumnsBy::Header,
            ..expecting(Expectations { rows_from: Some("{key}.count".into()), ..Default::default() })
        };
        let text = b"\xef\xbb\xbf\"AMOUNT\", id\r\n1,2\r\n";
        let by_header = Inspection::Passed { checksum: None, columns: names(&["amount", "id"]) };
        assert_eq!(inspected(&feed, text, Some("1")).await, by_header);
        assert!(rejection(inspected(&feed, text, Some("2")).await).contains("has 1 rows"));
        feed.compression = Compression::Gzip;
        assert_eq!(inspected(&feed, &gzip(text), Some("1")).await, by_header);
        feed.compression = Compression::None;
        feed.expect = Expectations::default();
        for (text, reason) in [
            ("amount,id,note\n1,2,x\n", "the header has the field `note`"),
            ("amount\n1\n", "the header lacks `id`"),
            ("", "the file has no header"),
        ] {
            assert!(rejection(inspected(&feed, text.as_bytes(), None).await).contains(reason), "{text}");
        }
        feed.expect.columns = Some(3);
        assert!(rejection(inspected(&feed, text, None).await).contains("2 fields in the first line, expected 3"));
    }

    #[tokio::test]
    async fn a_compressed_file_in_a_feed_without_compression_is_rejected() {
        let plain = Feed { header_lines: 0, ..expecting(Expectations::default()) };
        let with_columns = expecting(Expectations { columns: Some(2), ..Default::default() });
        for feed in [&plain, &with_columns] {
            for (bytes, name) in [
                (gzip(b"1,2\n"), "gzip"),
                (zstd::bulk::compress(b"1,2\n", 1).unwrap(), "zstd"),
                (b"BZh91AY&SY".to_vec(), "bzip2"),
            ] {
                assert!(rejection(inspected(feed, &bytes, None).await).contains(&format!("compressed with {name}")));
            }
            let text = passed();
            assert_eq!(inspected(feed, b"BZh,x\n", None).await, text, "a text that begins like bzip2");
        }
        assert_eq!(inspected(&plain, b"", None).await, passed());
    }

    #[tokio::test]
    async fn rows_are_compared_with_the_control_file() {
        let feed = expecting(Expectations { rows_from: Some("{key}.count".into()), ..Default::default() });
        let text = b"id,note\n1,\"two\nlines\"\n2,x";
        for control in [" 2\n", "\u{feff}2", "\u{feff}2\r\n"] {
            assert_eq!(inspected(&feed, text, Some(control)).await, passed(), "{control:?}");
        }
        assert!(rejection(inspected(&feed, text, Some("3")).await).contains("has 2 rows, and its control file says 3"));
        assert!(rejection(inspected(&feed, text, Some("many")).await).contains("expected a number"));
        assert_eq!(inspected(&feed, text, None).await, Inspection::AwaitsControlFile);
        // A quote in a JSON string is not a quote of CSV.
        let feed = Feed { format: Format::JsonLines, header_lines: 0, ..feed };
        let text = b"{\"note\":\"6\\\" pipe\"}\r\n\n{\"note\":\"x\"}\n{}";
        assert_eq!(inspected(&feed, text, Some("3")).await, passed());
    }

    /// Only a quote at the beginning of a field opens a quoted field (RFC 4180).
    #[tokio::test]
    async fn a_quote_inside_an_unquoted_field_is_data() {
        let feed = expecting(Expectations { rows_from: Some("{key}.count".into()), ..Default::default() });
        for (text, rows) in [
            ("id,note\n1,6\" pipe\n2,x\n", "2"),
            ("id,note\n1,6\" pipe\n2,\"two\nlines\"\n3,12\"\n", "3"),
            ("id,note\r\n1,\"say \"\"no\"\"\"\r\n\r\n2,\"\"\r\n", "2"),
        ] {
            assert_eq!(inspected(&feed, text.as_bytes(), Some(rows)).await, passed(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_parquet_file_is_inspected_by_its_footer() {
        // A footer in Thrift's compact protocol with version, schema and rows: 2 columns, 3 rows.
        let footer = b"\x15\x02\x19\x3c\x48\x01m\x15\x04\x00\x15\x04\x25\x00\x18\x02id\x00\x15\x0c\x25\x00\x18\x04word\x00\x16\x06\x00";
        let length = u32::try_from(footer.len()).unwrap().to_le_bytes();
        let whole = [b"PAR1", &footer[..], &length, b"PAR1"].concat();
        let mut feed = Feed { format: Format::Parquet, ..expecting(Expectations::default()) };
        let passed = passed();
        assert_eq!(inspected(&feed, &whole, None).await, passed);
        assert!(
            rejection(inspected(&feed, &whole[..whole.len() - 3], None).await).contains("not a complete Parquet file")
        );
        assert!(rejection(inspected(&feed, b"", None).await).contains("not a Parquet file"));
        feed.expect.header = vec!["id".into(), "word".into()];
        feed.expect.rows_from = Some("{key}.count".into());
        assert_eq!(inspected(&feed, &whole, Some("3")).await, passed);
        assert!(
            rejection(inspected(&feed, &whole, Some("4")).await)
                .contains("the file has 3 rows, and its control file says 4")
        );
        feed.expect.header = vec!["word".into(), "id".into()];
        let swapped = rejection(inspected(&feed, &whole, Some("3")).await);
        assert_eq!(swapped, "the columns are `id,word`, expected `word,id`");
        let in_feed = Feed { columns: vec!["word".into(), "id".into()], columns_by: ColumnsBy::Header, ..feed.clone() };
        let by_header = Inspection::Passed { checksum: None, columns: vec!["id".into(), "word".into()] };
        assert_eq!(inspected(&in_feed, &whole, Some("3")).await, by_header);
        feed.expect = Expectations { columns: Some(3), ..Default::default() };
        assert_eq!(rejection(inspected(&feed, &whole, None).await), "the file has 2 columns, expected 3");
    }

    #[tokio::test]
    async fn size_and_age_are_checked_without_a_request() {
        let feed = expecting(Expectations { non_empty: true, ..Default::default() });
        assert!(rejection(inspected(&feed, b"", None).await).contains("empty"));
        let feed = expecting(Expectations { max_age: Some("1h".parse().unwrap()), ..Default::default() });
        let objects = MemoryObjects::default();
        let later = NOW + SignedDuration::from_hours(2);
        let inspection = inspect(&objects, &feed, &a_file("orders/a.csv", "1"), later).await.unwrap();
        assert!(rejection(inspection).contains("longer ago than 1h"));
    }

    #[tokio::test]
    async fn a_file_without_the_expected_checksum_is_rejected() {
        let feed = expecting(Expectations { checksum: Some(crate::feed::ChecksumKind::Sha256), ..Default::default() });
        assert!(rejection(inspected(&feed, b"x", None).await).contains("no sha256 checksum"));
    }
}
