//! Counts the rows of a text file and reads the fields of its first row, while the bytes are streamed: the file is never in memory as a
//! whole.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use csv_core::ReadRecordResult;

use shiftwork_protocol::file::Format;

use crate::{
    encoding::Decoder,
    feed::{Compression, Feed},
};

/// Maximum number of bytes of the first row that are kept, for its header.
const FIRST_ROW: usize = 64 * 1024;

/// Decompresses and decodes the bytes of a file, and counts its rows.
pub(crate) enum RowReader {
    Plain(Decoder<Rows>),
    Gzip(Box<flate2::write::MultiGzDecoder<Decoder<Rows>>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Decoder<Rows>>>),
}

impl RowReader {
    /// Creates a reader for a file of a feed.
    pub(crate) fn new(feed: &Feed) -> io::Result<Self> {
        let rows = Decoder::new(feed.encoding, Rows::new(feed));
        Ok(match feed.compression {
            Compression::None => Self::Plain(rows),
            Compression::Gzip => Self::Gzip(Box::new(flate2::write::MultiGzDecoder::new(rows))),
            Compression::Zstd => Self::Zstd(Box::new(zstd::stream::write::Decoder::new(rows)?)),
            Compression::Bzip2 => return Err(io::Error::other("bzip2 is not supported")),
        })
    }

    /// Reads the next bytes of the file.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(rows) => rows.write_all(bytes),
            Self::Gzip(decoder) => decoder.write_all(bytes).and_then(|()| decoder.flush()),
            Self::Zstd(decoder) => decoder.write_all(bytes).and_then(|()| decoder.flush()),
        }
    }

    /// Returns true if the first row is complete.
    pub(crate) fn has_first(&self) -> bool {
        match self {
            Self::Plain(rows) => rows.get_ref().has_first(),
            Self::Gzip(decoder) => decoder.get_ref().get_ref().has_first(),
            Self::Zstd(decoder) => decoder.get_ref().get_ref().has_first(),
        }
    }

    /// Returns the fields of the first row without reading the rest of the file.
    pub(crate) fn into_first(self) -> Vec<String> {
        match self {
            Self::Plain(rows) => rows.get_ref().fields(),
            Self::Gzip(decoder) => decoder.get_ref().get_ref().fields(),
            Self::Zstd(decoder) => decoder.get_ref().get_ref().fields(),
        }
    }

    /// Ends the file. Returns the fields of its first row and the number of its rows.
    pub(crate) fn finish(self) -> io::Result<(Vec<String>, u64)> {
        let rows = match self {
            Self::Plain(rows) => rows,
            Self::Gzip(decoder) => decoder.finish()?,
            Self::Zstd(mut decoder) => {
                decoder.flush()?;
                decoder.into_inner()
            }
        };
        Ok(rows.finish()?.finish())
    }
}

/// Counts rows by the format of the file.
pub(crate) enum Rows {
    Csv(Box<CsvRows>),
    Lines(LineRows),
}

impl Rows {
    fn new(feed: &Feed) -> Self {
        match feed.format {
            Format::Csv => {
                let mut builder = csv_core::ReaderBuilder::new();
                if let Some(delimiter) = feed.delimiter.as_ref().and_then(|text| text.bytes().next()) {
                    builder.delimiter(delimiter);
                }
                Self::Csv(Box::new(CsvRows { reader: builder.build(), first: Vec::new(), ends: Vec::new(), ended: 0 }))
            }
            Format::JsonLines | Format::Json | Format::Parquet | Format::Xml | Format::Custom => {
                Self::Lines(LineRows::default())
            }
        }
    }

    fn has_first(&self) -> bool {
        match self {
            Self::Csv(rows) => rows.ended > 0 || rows.first.len() >= FIRST_ROW,
            Self::Lines(rows) => rows.ended > 0,
        }
    }

    fn fields(&self) -> Vec<String> {
        match self {
            Self::Csv(rows) => rows.fields(),
            Self::Lines(_) => Vec::new(),
        }
    }

    fn finish(self) -> (Vec<String>, u64) {
        match self {
            Self::Csv(mut rows) => {
                rows.end();
                (rows.fields(), rows.ended)
            }
            Self::Lines(rows) => (Vec::new(), rows.ended + u64::from(rows.open)),
        }
    }
}

impl Write for Rows {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Csv(rows) => rows.read(bytes),
            Self::Lines(rows) => rows.read(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts records of CSV (RFC 4180). A quote opens a quoted field only at the beginning of the field; inside an unquoted field it is data,
/// and the next line break ends the row. Redshift's documentation does not say how COPY reads such a quote (some versions refuse the row);
/// it does say that line feeds and carriage returns are data only between quotes.
pub(crate) struct CsvRows {
    reader: csv_core::Reader,
    /// The concatenated fields of the first record.
    first: Vec<u8>,
    /// Offset of the end of each field in `first`.
    ends: Vec<usize>,
    /// Number of complete records.
    ended: u64,
}

impl CsvRows {
    fn read(&mut self, mut bytes: &[u8]) {
        // csv-core reads an empty slice as the end of the file.
        while !bytes.is_empty() {
            let read = self.step(bytes).0;
            bytes = &bytes[read..];
        }
    }

    fn end(&mut self) {
        while self.step(&[]).1 != ReadRecordResult::End {}
    }

    /// Parses bytes up to the end of a record or of a buffer. Returns the number of bytes that were read, and csv-core's result.
    fn step(&mut self, bytes: &[u8]) -> (usize, ReadRecordResult) {
        let (mut output, mut ends) = ([0; 1024], [0; 64]);
        let (result, read, written, ended) = self.reader.read_record(bytes, &mut output, &mut ends);
        if self.ended == 0 && self.first.len() < FIRST_ROW {
            self.first.extend_from_slice(&output[..written]);
            self.ends.extend_from_slice(&ends[..ended]);
        }
        match result {
            ReadRecordResult::Record => self.ended += 1,
            ReadRecordResult::InputEmpty
            | ReadRecordResult::OutputFull
            | ReadRecordResult::OutputEndsFull
            | ReadRecordResult::End => {}
        }
        (read, result)
    }

    fn fields(&self) -> Vec<String> {
        let begins = [0].into_iter().chain(self.ends.iter().copied());
        let field = |(begin, end): (usize, &usize)| self.first.get(begin..*end).map(String::from_utf8_lossy);
        begins.zip(&self.ends).filter_map(field).map(Cow::into_owned).collect()
    }
}

/// Counts lines that are not empty.
#[derive(Default)]
pub(crate) struct LineRows {
    /// Number of complete lines.
    ended: u64,
    /// True if the bytes after the last line break are not empty.
    open: bool,
}

impl LineRows {
    fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => {
                    self.ended += u64::from(self.open);
                    self.open = false;
                }
                b'\r' => {}
                _ => self.open = true,
            }
        }
    }
}
