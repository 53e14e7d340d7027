//! Whether a file is what its feed expects, as far as S3 and a look inside can tell.

use std::io;

use jiff::{SignedDuration, Timestamp};
use shiftwork_ports::{ObjectStream, Objects, Result};
use shiftwork_protocol::{
    Failure,
    file::{FileRecord, Format},
};

use crate::{
    feed::{Expectations, Feed},
    parquet::{self, Tail},
    rows::RowReader,
};

/// A control file is a number.
const CONTROL_BYTES: usize = 4 * 1024;
/// The end of a Parquet file that has the whole footer, nearly always.
const FOOTER_BYTES: u64 = 64 * 1024;
/// A file waits this long for its control file.
const CONTROL_WAIT: SignedDuration = SignedDuration::from_hours(24);

/// What a look at a file told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As expected; with S3's checksum where one was expected.
    Fine {
        /// `<kind>:<base64>`.
        checksum: Option<String>,
    },
    /// Not as expected, and why.
    Bad(String),
    /// Its control file is not there yet.
    Early,
}

/// Looks at a file. What the record tells is told without asking S3.
pub async fn inspect(objects: &dyn Objects, feed: &Feed, file: &FileRecord, now: Timestamp) -> Result<Verdict> {
    let expect = &feed.expect;
    if expect.non_empty && file.size == 0 {
        return Ok(Verdict::Bad("the file is empty".into()));
    }
    if let Some(max_age) = expect.max_age
        && now.duration_since(file.received_ts) > max_age.length()
    {
        let words = format!("the file is of {}, older than {max_age}", file.received_ts);
        return Ok(Verdict::Bad(words));
    }
    // One broken Parquet file fails the COPY of them all, and COPY finds no more than a few at a time.
    let columnar = feed.format == Format::Parquet;
    if !columnar && !expect.look_inside() {
        return Ok(Verdict::Fine { checksum: None });
    }
    let wanted_rows = match &expect.rows_from {
        None => None,
        Some(control) => match rows_wanted(objects, file, control, now).await? {
            Ok(rows) => Some(rows),
            Err(verdict) => return Ok(verdict),
        },
    };
    let checksum = match checksum(objects, file, expect).await? {
        Ok(checksum) => checksum,
        Err(reason) => return Ok(Verdict::Bad(reason)),
    };
    let look = !expect.header.is_empty() || expect.columns.is_some() || wanted_rows.is_some();
    let problem = match (columnar, look) {
        (true, _) => footer(objects, expect, file, wanted_rows).await?,
        (false, true) => content(objects, feed, file, wanted_rows).await?,
        (false, false) => None,
    };
    Ok(problem.map_or(Verdict::Fine { checksum }, Verdict::Bad))
}

/// What the control file says; the verdict on the file where it says nothing.
async fn rows_wanted(
    objects: &dyn Objects,
    file: &FileRecord,
    control: &str,
    now: Timestamp,
) -> Result<std::result::Result<u64, Verdict>> {
    let key = control.replace("{key}", &file.key);
    let Some(mut object) = objects.open(&file.bucket, &key, None).await? else {
        return Ok(Err(if now.duration_since(file.registered_ts) > CONTROL_WAIT {
            Verdict::Bad(format!("its control file {key} did not come within 24 hours"))
        } else {
            Verdict::Early
        }));
    };
    let mut text = Vec::new();
    while text.len() < CONTROL_BYTES
        && let Some(bytes) = object.content.next().await?
    {
        text.extend(bytes);
    }
    let text = String::from_utf8_lossy(&text);
    Ok(text.trim().parse().map_err(|_| {
        let shown: String = text.trim().chars().take(40).collect();
        Verdict::Bad(format!("its control file {key} holds `{shown}`, and not a number of rows"))
    }))
}

async fn checksum(
    objects: &dyn Objects,
    file: &FileRecord,
    expect: &Expectations,
) -> Result<std::result::Result<Option<String>, String>> {
    let Some(kind) = expect.checksum else { return Ok(Ok(None)) };
    let Some(head) = objects.head(&file.bucket, &file.key).await? else { return Ok(Err(GONE.into())) };
    Ok(match head.checksums.get(kind.as_str()) {
        Some(value) => Ok(Some(format!("{}:{value}", kind.as_str()))),
        None => Err(format!("S3 keeps no {} checksum of it: its sender made none", kind.as_str())),
    })
}

const GONE: &str = "the file is gone";

/// What is wrong with a Parquet file, as far as its footer tells.
async fn footer(
    objects: &dyn Objects,
    expect: &Expectations,
    file: &FileRecord,
    rows: Option<u64>,
) -> Result<Option<String>> {
    let mut bytes = FOOTER_BYTES;
    let footer = loop {
        let Some(tail) = objects.tail(&file.bucket, &file.key, bytes).await? else { return Ok(Some(GONE.into())) };
        match parquet::read(&tail, file.size) {
            Ok(Tail::Footer(footer)) => break footer,
            // The object is shorter than the record says: it was overwritten, and that is found out elsewhere.
            Ok(Tail::More(needed)) if needed <= bytes => return Ok(Some("the file is not as long as it was".into())),
            Ok(Tail::More(needed)) => bytes = needed,
            Err(reason) => return Ok(Some(format!("it {reason}"))),
        }
    };
    let names = unexpected(expect, &footer.columns, "its columns are", "columns");
    Ok(names.or_else(|| miscounted(rows, footer.rows)))
}

/// What is wrong with the names of the columns.
fn unexpected(expect: &Expectations, names: &[String], are: &str, what: &str) -> Option<String> {
    if !expect.header.is_empty() && names != expect.header {
        return Some(format!("{are} `{}`, expected `{}`", names.join(","), expect.header.join(",")));
    }
    let wanted = expect.columns.filter(|wanted| names.len() != *wanted as usize)?;
    Some(format!("it has {} {what}, expected {wanted}", names.len()))
}

fn miscounted(wanted: Option<u64>, found: u64) -> Option<String> {
    let wanted = wanted.filter(|wanted| *wanted != found)?;
    Some(format!("it has {found} rows, and its control file says {wanted}"))
}

/// What is wrong with the first line and the number of rows.
async fn content(objects: &dyn Objects, feed: &Feed, file: &FileRecord, rows: Option<u64>) -> Result<Option<String>> {
    let Some(mut object) = objects.open(&file.bucket, &file.key, None).await? else { return Ok(Some(GONE.into())) };
    let (fields, found) = match read_rows(&mut *object.content, feed, rows.is_some()).await {
        Ok(read) => read,
        Err(Trouble::Content(reason)) => return Ok(Some(reason)),
        Err(Trouble::Call(failure)) => return Err(failure),
    };
    let expect = &feed.expect;
    if !expect.header.is_empty() || expect.columns.is_some() {
        let names: Vec<_> = fields.iter().map(|name| name.trim().to_owned()).collect();
        if let Some(reason) = unexpected(expect, &names, "its header is", "fields in its first line") {
            return Ok(Some(reason));
        }
    }
    let header = if feed.format == Format::Csv { u64::from(feed.header_lines) } else { 0 };
    Ok(found.and_then(|found| miscounted(rows, found.saturating_sub(header))))
}

enum Trouble {
    Content(String),
    Call(Failure),
}

/// The fields of the first row, and the number of rows where the whole file is read. At most a piece of the file is in memory.
async fn read_rows(
    stream: &mut dyn ObjectStream,
    feed: &Feed,
    whole: bool,
) -> std::result::Result<(Vec<String>, Option<u64>), Trouble> {
    let unreadable = |error: io::Error| {
        Trouble::Content(format!("it cannot be read as {:?}: {error}", feed.compression).to_lowercase())
    };
    let mut reader = RowReader::new(feed).map_err(unreadable)?;
    while let Some(bytes) = stream.next().await.map_err(Trouble::Call)? {
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

    use crate::{feed::Compression, sample};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    async fn verdict(feed: &Feed, content: &[u8], control: Option<&str>) -> Verdict {
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

    fn bad(verdict: Verdict) -> String {
        match verdict {
            Verdict::Bad(reason) => reason,
            Verdict::Fine { .. } | Verdict::Early => panic!("{verdict:?}"),
        }
    }

    #[tokio::test]
    async fn a_header_is_compared_name_by_name_in_whatever_compression() {
        let expect = Expectations { header: vec!["id".into(), "a,b".into()], columns: Some(2), ..Default::default() };
        let mut feed = expecting(expect);
        let text = b"\xef\xbb\xbfid,\"a,b\"\r\n1,2\r\n";
        let fine = Verdict::Fine { checksum: None };
        assert_eq!(verdict(&feed, text, None).await, fine);
        assert!(bad(verdict(&feed, b"id,b\n1,2\n", None).await).contains("its header is `id,b`"));
        feed.compression = Compression::Gzip;
        assert_eq!(verdict(&feed, &gzip(text), None).await, fine);
        assert!(bad(verdict(&feed, text, None).await).contains("cannot be read as gzip"));
        feed.compression = Compression::Zstd;
        assert_eq!(verdict(&feed, &zstd::bulk::compress(text, 1).unwrap(), None).await, fine);
    }

    #[tokio::test]
    async fn rows_are_held_against_the_control_file() {
        let feed = expecting(Expectations { rows_from: Some("{key}.count".into()), ..Default::default() });
        let text = b"id,note\n1,\"two\nlines\"\n2,x";
        assert_eq!(verdict(&feed, text, Some(" 2\n")).await, Verdict::Fine { checksum: None });
        assert!(bad(verdict(&feed, text, Some("3")).await).contains("has 2 rows, and its control file says 3"));
        assert!(bad(verdict(&feed, text, Some("many")).await).contains("not a number"));
        assert_eq!(verdict(&feed, text, None).await, Verdict::Early);
        // A quote within a JSON text is no quote of CSV.
        let feed = Feed { format: Format::JsonLines, header_lines: 0, ..feed };
        let text = b"{\"note\":\"6\\\" pipe\"}\r\n\n{\"note\":\"x\"}\n{}";
        assert_eq!(verdict(&feed, text, Some("3")).await, Verdict::Fine { checksum: None });
    }

    /// Only a quote at the beginning of a field opens a quoted field (RFC 4180).
    #[tokio::test]
    async fn a_quote_within_an_unquoted_field_is_data() {
        let feed = expecting(Expectations { rows_from: Some("{key}.count".into()), ..Default::default() });
        for (text, rows) in [
            ("id,note\n1,6\" pipe\n2,x\n", "2"),
            ("id,note\n1,6\" pipe\n2,\"two\nlines\"\n3,12\"\n", "3"),
            ("id,note\r\n1,\"say \"\"no\"\"\"\r\n\r\n2,\"\"\r\n", "2"),
        ] {
            assert_eq!(verdict(&feed, text.as_bytes(), Some(rows)).await, Verdict::Fine { checksum: None }, "{text}");
        }
    }

    #[tokio::test]
    async fn a_parquet_file_is_looked_at_from_its_end() {
        // Two columns, 3 rows, in Thrift's compact protocol: version, schema, rows.
        let footer = b"\x15\x02\x19\x3c\x48\x01m\x15\x04\x00\x15\x04\x25\x00\x18\x02id\x00\x15\x0c\x25\x00\x18\x04word\x00\x16\x06\x00";
        let length = u32::try_from(footer.len()).unwrap().to_le_bytes();
        let whole = [b"PAR1", &footer[..], &length, b"PAR1"].concat();
        let mut feed = Feed { format: Format::Parquet, ..expecting(Expectations::default()) };
        let fine = Verdict::Fine { checksum: None };
        assert_eq!(verdict(&feed, &whole, None).await, fine);
        assert!(bad(verdict(&feed, &whole[..whole.len() - 3], None).await).contains("no whole Parquet file"));
        assert!(bad(verdict(&feed, b"", None).await).contains("no Parquet file"));
        feed.expect.header = vec!["id".into(), "word".into()];
        feed.expect.rows_from = Some("{key}.count".into());
        assert_eq!(verdict(&feed, &whole, Some("3")).await, fine);
        assert!(bad(verdict(&feed, &whole, Some("4")).await).contains("it has 3 rows, and its control file says 4"));
        feed.expect.header = vec!["word".into(), "id".into()];
        let swapped = bad(verdict(&feed, &whole, Some("3")).await);
        assert_eq!(swapped, "its columns are `id,word`, expected `word,id`");
        feed.expect = Expectations { columns: Some(3), ..Default::default() };
        assert_eq!(bad(verdict(&feed, &whole, None).await), "it has 2 columns, expected 3");
    }

    #[tokio::test]
    async fn what_the_record_tells_needs_no_look() {
        let feed = expecting(Expectations { non_empty: true, ..Default::default() });
        assert!(bad(verdict(&feed, b"", None).await).contains("empty"));
        let feed = expecting(Expectations { max_age: Some("1h".parse().unwrap()), ..Default::default() });
        let objects = MemoryObjects::default();
        let later = NOW + SignedDuration::from_hours(2);
        let seen = inspect(&objects, &feed, &a_file("orders/a.csv", "1"), later).await.unwrap();
        assert!(bad(seen).contains("older than 1h"));
    }

    #[tokio::test]
    async fn a_missing_checksum_is_told() {
        let feed = expecting(Expectations { checksum: Some(crate::feed::ChecksumKind::Sha256), ..Default::default() });
        assert!(bad(verdict(&feed, b"x", None).await).contains("no sha256 checksum"));
    }
}
