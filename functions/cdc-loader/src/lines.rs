//! Reads the lines of a file, plain or gzip, piece by piece. Only the pieces of one line are in memory at a time.

use std::io::{self, Write as _};

use flate2::write::MultiGzDecoder;

/// Bytes of the longest line that is read. Records of Kafka and Kinesis have at most 6 MB; a value of SUPER has at most 16 MB.
const LONGEST: usize = 32 * 1024 * 1024;
/// Compressed bytes that are decompressed at a time. Gzip expands a byte to at most 1,032 bytes.
const PIECE: usize = 16 * 1024;

/// A line of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Number of the line, from 1.
    pub(crate) number: u64,
    /// Text of the line, without its end and surrounding white space. `None` if it is longer than 32 MiB.
    pub(crate) text: Option<&'a [u8]>,
}

/// Splits the bytes of a file into lines.
pub(crate) struct LineReader {
    encoding: Encoding,
    /// Decompressed bytes. Those before `from` have been returned, and there is no end of a line between `from` and `searched`.
    buffer: Vec<u8>,
    from: usize,
    searched: usize,
    number: u64,
    /// The current line is too long, and its bytes are dropped.
    overlong: bool,
    longest: usize,
}

enum Encoding {
    Unknown,
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl LineReader {
    pub(crate) fn new() -> Self {
        Self {
            encoding: Encoding::Unknown,
            buffer: Vec::new(),
            from: 0,
            searched: 0,
            number: 0,
            overlong: false,
            longest: LONGEST,
        }
    }

    /// Splits the next bytes of the file into pieces that are small enough for [`LineReader::feed`].
    pub(crate) fn pieces(chunk: &[u8]) -> impl Iterator<Item = &[u8]> {
        chunk.chunks(PIECE)
    }

    /// Adds a piece. Lines that have not been returned yet are kept.
    ///
    /// # Errors
    /// The gzip data is not valid.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> io::Result<()> {
        self.buffer.drain(..self.from);
        self.searched -= self.from;
        self.from = 0;
        match &mut self.encoding {
            Encoding::Unknown => {
                self.buffer.extend_from_slice(piece);
                self.detect_encoding(2)?;
            }
            Encoding::Plain => self.buffer.extend_from_slice(piece),
            Encoding::Gzip(decoder) => {
                decoder.write_all(piece)?;
                self.buffer.append(decoder.get_mut());
            }
        }
        Ok(())
    }

    /// Ends the file. Its last line may lack a line break.
    ///
    /// # Errors
    /// The gzip data is not valid, or incomplete.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        self.detect_encoding(0)?;
        if let Encoding::Gzip(decoder) = &mut self.encoding {
            decoder.try_finish()?;
            self.buffer.append(decoder.get_mut());
        }
        if self.overlong || self.buffer.len() > self.from {
            self.buffer.push(b'\n');
        }
        Ok(())
    }

    /// Detects gzip by its first two bytes, with which no JSON text begins.
    fn detect_encoding(&mut self, least: usize) -> io::Result<()> {
        if !matches!(self.encoding, Encoding::Unknown) || self.buffer.len() < least {
            return Ok(());
        }
        if self.buffer.starts_with(&[0x1f, 0x8b]) {
            let mut decoder = Box::new(MultiGzDecoder::new(Vec::new()));
            decoder.write_all(&std::mem::take(&mut self.buffer))?;
            self.buffer.append(decoder.get_mut());
            self.encoding = Encoding::Gzip(decoder);
        } else {
            self.encoding = Encoding::Plain;
        }
        Ok(())
    }

    /// The next complete line. Blank lines are skipped, but counted.
    pub(crate) fn next(&mut self) -> Option<Line<'_>> {
        if matches!(self.encoding, Encoding::Unknown) {
            return None;
        }
        loop {
            let Some(length) = memchr::memchr(b'\n', &self.buffer[self.searched..]) else {
                self.searched = self.buffer.len();
                if self.overlong || self.buffer.len() - self.from > self.longest {
                    self.overlong = true;
                    self.from = self.searched;
                }
                return None;
            };
            let (from, end) = (self.from, self.searched + length);
            (self.from, self.searched) = (end + 1, end + 1);
            self.number += 1;
            if std::mem::take(&mut self.overlong) || end - from > self.longest {
                return Some(Line { number: self.number, text: None });
            }
            if !self.buffer[from..end].trim_ascii().is_empty() {
                return Some(Line { number: self.number, text: Some(self.buffer[from..end].trim_ascii()) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::LineReader;

    fn read(bytes: &[u8], piece: usize, longest: usize) -> std::io::Result<Vec<(u64, Option<Vec<u8>>)>> {
        let (mut lines, mut read) = (LineReader { longest, ..LineReader::new() }, Vec::new());
        for piece in bytes.chunks(piece) {
            lines.feed(piece)?;
            while let Some(line) = lines.next() {
                read.push((line.number, line.text.map(<[u8]>::to_vec)));
            }
            assert!(lines.buffer.len() - lines.from <= longest, "the bytes of a line that is too long are not dropped");
        }
        lines.end()?;
        while let Some(line) = lines.next() {
            read.push((line.number, line.text.map(<[u8]>::to_vec)));
        }
        Ok(read)
    }

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn blank_lines_are_counted_and_not_read() {
        let lines = read(b"\n{\"a\":1}\r\n  \n{}", 3, 100).unwrap();
        assert_eq!(lines, [(2, Some(b"{\"a\":1}".to_vec())), (4, Some(b"{}".to_vec()))]);
        assert!(read(b"", 3, 100).unwrap().is_empty());
        assert_eq!(read(b"1", 3, 100).unwrap(), [(1, Some(b"1".to_vec()))]);
    }

    #[test]
    fn incomplete_gzip_data_is_an_error() {
        let all = compressed(b"{}\n{}\n");
        assert!(read(&all[..all.len() - 3], 4, 100).is_err());
        assert!(read(b"\x1f\x8bgarbage", 4, 100).is_err());
        let two_members = [compressed(b"1\n2"), compressed(b"3\n")].concat();
        assert_eq!(read(&two_members, 5, 100).unwrap().len(), 2, "all gzip members of a file are read");
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_pieces_or_compression(
            text in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b' '), b'a'..b'd'], 0..200),
            piece in 1..40_usize, longest in 1..20_usize,
        ) {
            let wanted: Vec<_> = text
                .split(|byte| *byte == b'\n')
                .zip(1..)
                .filter(|(line, _)| line.len() > longest || !line.trim_ascii().is_empty())
                .map(|(line, number)| (number, (line.len() <= longest).then(|| line.trim_ascii().to_vec())))
                .collect();
            prop_assert_eq!(&read(&text, piece, longest).unwrap(), &wanted);
            prop_assert_eq!(&read(&compressed(&text), piece, longest).unwrap(), &wanted);
        }
    }
}
