//! LineReader of a file that comes in pieces, plain or gzip: one is in memory at a time, whatever the file's size.

use std::io::{self, Write as _};

use flate2::write::MultiGzDecoder;

/// Bytes of the longest line that is read. Kafka and Kinesis bring 6 MB at most; files may bring more, and SUPER takes 16 MB.
const LONGEST: usize = 32 * 1024 * 1024;
/// Compressed bytes that are unpacked at once: gzip makes at most 1,032 bytes of one.
const PIECE: usize = 16 * 1024;

/// A line of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// Its text, without the end of the line; none where it is longer than any record may be.
    pub(crate) text: Option<&'a [u8]>,
}

/// Cuts bytes into lines.
pub(crate) struct LineReader {
    packing: Packing,
    /// Unpacked bytes; those before `from` were handed out, and up to `searched` there is no end of a line.
    buffer: Vec<u8>,
    from: usize,
    searched: usize,
    number: u64,
    /// The line at hand is too long: its bytes are dropped.
    overlong: bool,
    longest: usize,
}

enum Packing {
    Unknown,
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl LineReader {
    pub(crate) fn new() -> Self {
        Self {
            packing: Packing::Unknown,
            buffer: Vec::new(),
            from: 0,
            searched: 0,
            number: 0,
            overlong: false,
            longest: LONGEST,
        }
    }

    /// Cuts the next bytes of the file into pieces, each small enough for [`LineReader::feed`].
    pub(crate) fn pieces(chunk: &[u8]) -> impl Iterator<Item = &[u8]> {
        chunk.chunks(PIECE)
    }

    /// Takes a piece. LineReader that were not taken yet stay.
    ///
    /// # Errors
    /// The gzip is broken.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> io::Result<()> {
        self.buffer.drain(..self.from);
        self.searched -= self.from;
        self.from = 0;
        match &mut self.packing {
            Packing::Unknown => {
                self.buffer.extend_from_slice(piece);
                self.recognise(2)?;
            }
            Packing::Plain => self.buffer.extend_from_slice(piece),
            Packing::Gzip(decoder) => {
                decoder.write_all(piece)?;
                self.buffer.append(decoder.get_mut());
            }
        }
        Ok(())
    }

    /// The file ends. Its last line needs no end of its own.
    ///
    /// # Errors
    /// The gzip is broken, or ends early.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        self.recognise(0)?;
        if let Packing::Gzip(decoder) = &mut self.packing {
            decoder.try_finish()?;
            self.buffer.append(decoder.get_mut());
        }
        if self.overlong || self.buffer.len() > self.from {
            self.buffer.push(b'\n');
        }
        Ok(())
    }

    /// Gzip begins with two bytes that no JSON begins with.
    fn recognise(&mut self, least: usize) -> io::Result<()> {
        if !matches!(self.packing, Packing::Unknown) || self.buffer.len() < least {
            return Ok(());
        }
        if self.buffer.starts_with(&[0x1f, 0x8b]) {
            let mut decoder = Box::new(MultiGzDecoder::new(Vec::new()));
            decoder.write_all(&std::mem::take(&mut self.buffer))?;
            self.buffer.append(decoder.get_mut());
            self.packing = Packing::Gzip(decoder);
        } else {
            self.packing = Packing::Plain;
        }
        Ok(())
    }

    /// The next line that is there as a whole; blank ones are passed over, and counted.
    pub(crate) fn next(&mut self) -> Option<Line<'_>> {
        if matches!(self.packing, Packing::Unknown) {
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
            assert!(lines.buffer.len() - lines.from <= longest, "what is too long is kept");
        }
        lines.end()?;
        while let Some(line) = lines.next() {
            read.push((line.number, line.text.map(<[u8]>::to_vec)));
        }
        Ok(read)
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
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
    fn a_gzip_that_ends_early_is_an_error_behind_its_whole_lines() {
        let all = packed(b"{}\n{}\n");
        assert!(read(&all[..all.len() - 3], 4, 100).is_err());
        assert!(read(b"\x1f\x8bgarbage", 4, 100).is_err());
        let two_members = [packed(b"1\n2"), packed(b"3\n")].concat();
        assert_eq!(read(&two_members, 5, 100).unwrap().len(), 2, "the members of one file are one text");
    }

    proptest! {
        #[test]
        fn pieces_and_packing_make_no_difference(
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
            prop_assert_eq!(&read(&packed(&text), piece, longest).unwrap(), &wanted);
        }
    }
}
