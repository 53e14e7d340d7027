//! Writes a row in the format of [`crate::csv`]. A short value is copied as a whole chunk, and the next field overwrites the excess bytes.

use crate::{
    csv,
    scan::{Kind, Span, chunk, escape},
};

/// One row. Its buffer is initialized, so that a chunk can be written past the end of a field.
#[derive(Debug, Default)]
pub(super) struct Row {
    bytes: Vec<u8>,
    used: usize,
}

/// Number of bytes after a field that writing it may overwrite.
const SLACK: usize = 64;
/// Largest capacity in bytes that the buffer keeps, so that one large record does not slow down all later ones.
const KEPT: usize = 1 << 18;

/// Whether a text begins with a byte order mark. Such a text must be quoted, and is left to the full decoder.
#[inline]
fn is_marked(text: &[u8]) -> bool {
    matches!(text, [0xef, 0xbb, 0xbf, ..])
}

impl Row {
    /// Begins a row of at most this number of bytes.
    #[inline]
    pub(super) fn begin(&mut self, most: usize) {
        self.used = 0;
        if self.bytes.len() < most + SLACK || self.bytes.len() > KEPT.max(most + SLACK) {
            self.bytes.resize((most + SLACK).next_power_of_two(), 0);
            self.bytes.shrink_to_fit();
        }
    }

    /// The bytes that were written.
    #[inline]
    pub(super) fn written(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    #[inline]
    pub(super) fn byte(&mut self, byte: u8) {
        self.bytes[self.used] = byte;
        self.used += 1;
    }

    /// Writes the first bytes of a chunk.
    #[inline]
    pub(super) fn first<const N: usize>(&mut self, chunk: [u8; N], length: usize) {
        match self.bytes.get_mut(self.used..).and_then(<[u8]>::first_chunk_mut) {
            Some(there) => {
                *there = chunk;
                self.used += length;
            }
            None => self.bytes(&chunk[..length]),
        }
    }

    #[inline]
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.bytes[self.used..self.used + bytes.len()].copy_from_slice(bytes);
        self.used += bytes.len();
    }

    /// Writes a number with at most 20 digits, with leading zeros.
    #[inline]
    pub(super) fn padded(&mut self, digits: &[u8]) {
        self.first([b'0'; 20], 20 - digits.len());
        self.bytes(digits);
    }

    #[inline]
    pub(super) fn null(&mut self) {
        self.first([b'\\', b'N'], 2);
    }

    /// Writes the bytes of a value unchanged.
    #[inline]
    pub(super) fn raw(&mut self, record: &[u8], span: Span) {
        match chunk::<32>(record, span.start as usize) {
            Some(bytes) if span.len() <= 32 => self.first(*bytes, span.len()),
            _ => self.bytes(span.of(record)),
        }
    }

    /// Writes a string of at most this number of bytes. Returns false if the value is not a string, is longer, or would be read as NULL.
    #[inline]
    pub(super) fn string(&mut self, record: &[u8], span: Span, most: usize) -> bool {
        match span.kind {
            Kind::Plain if span.len() == 0 => self.bytes(b"\"\""),
            Kind::Plain if span.len() <= most && !is_marked(span.of(record)) => self.raw(record, span),
            Kind::Comma if span.len() <= most => {
                self.byte(b'"');
                self.raw(record, span);
                self.byte(b'"');
            }
            Kind::Escaped => return self.escaped(record, span, most),
            _ => return false,
        }
        true
    }

    #[inline(never)]
    fn escaped(&mut self, record: &[u8], span: Span, most: usize) -> bool {
        let begin = self.used;
        let (mut length, mut quoted) = (0, false);
        let mut at = span.start as usize;
        // The quotes are removed if the string turns out not to need them.
        self.byte(b'"');
        while at < span.end as usize {
            let byte = record[at];
            if byte == b'\\' {
                let Some((character, taken)) = escape(record, at) else { return false };
                quoted |= matches!(character, ',' | '"' | '\n' | '\r');
                if character == '"' {
                    self.byte(b'"');
                }
                let mut utf8 = [0; 4];
                let character = character.encode_utf8(&mut utf8);
                self.bytes(character.as_bytes());
                length += character.len();
                at += taken;
            } else {
                quoted |= byte == b',';
                self.byte(byte);
                length += 1;
                at += 1;
            }
        }
        if quoted {
            self.byte(b'"');
        } else {
            self.bytes.copy_within(begin + 1..self.used, begin);
            self.used -= 1;
        }
        let written = self.since(begin);
        length <= most && written != csv::NULL.as_bytes() && !is_marked(written)
    }

    /// Makes room for a field that is longer than its value in the record.
    pub(super) fn make_room(&mut self, length: usize) {
        self.bytes.resize(self.bytes.len() + length, 0);
    }

    /// The bytes that were written from a place on.
    pub(super) fn since(&self, begin: usize) -> &[u8] {
        &self.bytes[begin..self.used]
    }

    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// Removes the bytes that were written from a place on.
    pub(super) fn rewind(&mut self, begin: usize) {
        self.used = begin;
    }
}
