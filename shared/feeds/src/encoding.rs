//! The encodings of CSV files that COPY converts to UTF-8, and the same conversion for inspections.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Encoding of a CSV file (Redshift, `ENCODING` of COPY).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// UTF-8.
    #[default]
    Utf8,
    /// UTF-16 with a byte order mark.
    Utf16,
    /// UTF-16 in little-endian order, with or without a byte order mark.
    Utf16le,
    /// UTF-16 in big-endian order, with or without a byte order mark.
    Utf16be,
    /// ISO 8859-1 (Latin-1).
    Iso88591,
}

impl Encoding {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde requires this signature")]
    pub(crate) const fn is_utf8(&self) -> bool {
        matches!(self, Self::Utf8)
    }

    /// The value of `ENCODING` in a COPY; `None` for its default.
    pub const fn of_copy(self) -> Option<&'static str> {
        match self {
            Self::Utf8 => None,
            Self::Utf16 => Some("UTF16"),
            Self::Utf16le => Some("UTF16LE"),
            Self::Utf16be => Some("UTF16BE"),
            Self::Iso88591 => Some("ISO88591"),
        }
    }
}

/// Converts bytes to UTF-8, and writes them to `to`.
pub(crate) struct Decoder<W> {
    encoding: Encoding,
    to: W,
    /// The first byte of a code unit of UTF-16.
    half: Option<u8>,
    /// The first code unit of a surrogate pair.
    high: Option<u16>,
    /// Order of the bytes of UTF-16, once it is known.
    big_endian: Option<bool>,
    is_first: bool,
}

impl<W: Write> Decoder<W> {
    pub(crate) fn new(encoding: Encoding, to: W) -> Self {
        let big_endian = match encoding {
            Encoding::Utf16le => Some(false),
            Encoding::Utf16be => Some(true),
            Encoding::Utf8 | Encoding::Utf16 | Encoding::Iso88591 => None,
        };
        Self { encoding, to, half: None, high: None, big_endian, is_first: true }
    }

    pub(crate) fn get_ref(&self) -> &W {
        &self.to
    }

    /// Ends the file, which must not end within a character.
    pub(crate) fn finish(self) -> io::Result<W> {
        if self.half.is_some() || self.high.is_some() {
            return Err(wrong("the file ends within a character of UTF-16"));
        }
        Ok(self.to)
    }

    fn unit(&mut self, bytes: [u8; 2], text: &mut String) -> io::Result<()> {
        if std::mem::take(&mut self.is_first) {
            match (bytes, self.big_endian) {
                ([0xFE, 0xFF], None | Some(true)) => {
                    self.big_endian = Some(true);
                    return Ok(());
                }
                ([0xFF, 0xFE], None | Some(false)) => {
                    self.big_endian = Some(false);
                    return Ok(());
                }
                (_, None) => {
                    return Err(wrong("the file has no byte order mark: set `encoding` to utf16le or utf16be"));
                }
                (_, Some(_)) => {}
            }
        }
        let unit = if self.big_endian == Some(true) { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
        let high = self.high.take();
        if high.is_none() && (0xD800..0xDC00).contains(&unit) {
            self.high = Some(unit);
            return Ok(());
        }
        let units = high.into_iter().chain([unit]);
        for read in char::decode_utf16(units) {
            text.push(read.map_err(|_| wrong("the file is not valid UTF-16"))?);
        }
        Ok(())
    }
}

fn wrong(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

impl<W: Write> Write for Decoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.encoding {
            Encoding::Utf8 => self.to.write_all(bytes)?,
            // The characters of ISO 8859-1 are the first 256 of Unicode.
            Encoding::Iso88591 => {
                let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
                self.to.write_all(text.as_bytes())?;
            }
            Encoding::Utf16 | Encoding::Utf16le | Encoding::Utf16be => {
                let mut text = String::new();
                for byte in bytes {
                    match self.half.take() {
                        None => self.half = Some(*byte),
                        Some(first) => self.unit([first, *byte], &mut text)?,
                    }
                }
                self.to.write_all(text.as_bytes())?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(encoding: Encoding, bytes: &[u8]) -> io::Result<String> {
        // Every byte is written on its own, as the parts of a stream can end within a character.
        let mut decoder = Decoder::new(encoding, Vec::new());
        for byte in bytes {
            decoder.write_all(&[*byte])?;
        }
        decoder.finish().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn every_encoding_is_read() {
        let text = "id,Größe\n1,😀\n";
        let units = |unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect::<Vec<_>>();
        let (le, be) = (units(u16::to_le_bytes), units(u16::to_be_bytes));
        let marked = |mark: [u8; 2], bytes: &[u8]| [&mark[..], bytes].concat();
        for (encoding, bytes) in [
            (Encoding::Utf8, text.as_bytes().to_vec()),
            (Encoding::Utf16, marked([0xFF, 0xFE], &le)),
            (Encoding::Utf16, marked([0xFE, 0xFF], &be)),
            (Encoding::Utf16le, le.clone()),
            (Encoding::Utf16le, marked([0xFF, 0xFE], &le)),
            (Encoding::Utf16be, be.clone()),
            (Encoding::Utf16be, marked([0xFE, 0xFF], &be)),
        ] {
            assert_eq!(decoded(encoding, &bytes).unwrap(), text, "{encoding:?}");
        }
        assert_eq!(decoded(Encoding::Iso88591, b"Gr\xF6\xDFe").unwrap(), "Größe");
    }

    #[test]
    fn a_file_in_another_encoding_is_an_error() {
        for (bytes, words) in [
            (&b"id,name\n"[..], "no byte order mark"),
            (&[0xFF, 0xFE, 0x00, 0xDC, 0x20, 0x00], "not valid"),
            (&[0xFF, 0xFE, 0x3D, 0xD8, 0x20, 0x00], "not valid"),
            (&[0xFF, 0xFE, 0x3D, 0xD8, 0x3D, 0xD8, 0x00, 0xDE], "not valid"),
            (&[0xFF, 0xFE, 0x20], "ends within"),
            (&[0xFF, 0xFE, 0x3D, 0xD8], "ends within"),
        ] {
            let error = decoded(Encoding::Utf16, bytes).unwrap_err().to_string();
            assert!(error.contains(words), "{bytes:x?}: {error}");
        }
    }
}
