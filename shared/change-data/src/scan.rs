//! Finds the tokens of JSON, 32 bytes at a time: one AVX2 register, or two of SSE2 or NEON.
//!
//! [`value`] validates what it finds. The bytes must be valid UTF-8. It returns `None` for invalid JSON and for rare forms of JSON; the full
//! decoder decides which it is. [`is_valid`] validates a text that may have these forms. [`string_end`] and [`container_end`] skip values
//! of JSON that is known to be valid.

mod container;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;

use wide::{u8x16, u8x32};

pub(crate) use self::container::{container_end, only_string};

/// The kind of a value, by its bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The event does not have the field.
    #[default]
    Absent,
    Null,
    True,
    False,
    /// Digits, possibly after a minus sign.
    Integer,
    /// An integer, a decimal point, and digits.
    Fraction,
    /// A string without escapes that does not need CSV quotes.
    Plain,
    /// A string without escapes but with a comma, which needs CSV quotes.
    Comma,
    /// A string with escapes other than surrogates and NUL.
    Escaped,
    /// An array or an object.
    Nested,
}

impl Kind {
    #[inline]
    pub(crate) fn is_string(self) -> bool {
        matches!(self, Self::Plain | Self::Comma | Self::Escaped)
    }
}

/// The place of a value in the record. For a string, the place of the text between the quotes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) kind: Kind,
}

impl Span {
    /// The bytes of the value.
    #[inline]
    pub(crate) fn of(self, record: &[u8]) -> &[u8] {
        record.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// The JSON of the value, including the quotes of a string.
    pub(crate) fn json(self, record: &str) -> Option<&str> {
        let quotes = usize::from(self.is_string());
        record.get((self.start as usize).checked_sub(quotes)?..self.end as usize + quotes)
    }

    /// Length in bytes.
    #[inline]
    pub(crate) fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    #[inline]
    pub(crate) fn is_string(self) -> bool {
        self.kind.is_string()
    }

    /// The span moved by `by` bytes.
    #[inline]
    pub(crate) fn moved(self, bytes: usize) -> Self {
        span(self.start as usize + bytes, self.end as usize + bytes, self.kind)
    }

    /// Whether the value is neither absent nor null.
    #[inline]
    pub(crate) fn is_some(self) -> bool {
        !matches!(self.kind, Kind::Absent | Kind::Null)
    }
}

/// Bytes of the longest record that the fast path reads. A shorter record cannot exceed a limit of Redshift that depends on more than one
/// value, and its places fit a span.
pub(crate) const LONGEST: usize = 1 << 20;
/// Most levels of arrays and objects in a value.
const DEEPEST: usize = 16;

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "records are at most LONGEST bytes")]
pub(crate) fn span(start: usize, end: usize, kind: Kind) -> Span {
    Span { start: start as u32, end: end as u32, kind }
}

#[inline]
pub(crate) fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<&[u8; N]> {
    bytes.get(at..)?.first_chunk()
}

/// Bit masks of the bytes that end the plain part of a string (a quote, a backslash, a control character), and of commas.
#[inline]
fn stops(bytes: u8x32) -> (u32, u32) {
    let control = bytes.min(u8x32::splat(0x1f)).simd_eq(bytes);
    let stop = bytes.simd_eq(u8x32::splat(b'"')) | bytes.simd_eq(u8x32::splat(b'\\')) | control;
    (stop.to_bitmask(), bytes.simd_eq(u8x32::splat(b',')).to_bitmask())
}

/// The end of a value, which is never the first byte of a record.
type End = NonZeroUsize;

/// Finds the value at `at` and returns its end.
#[inline]
pub(crate) fn value(record: &[u8], at: usize, span: &mut Span) -> Option<End> {
    match *record.get(at)? {
        b'"' => string(record, at + 1, span),
        b'-' | b'0'..=b'9' => number(record, at, span),
        b'n' => word(record, at, at, *b"null", Kind::Null, span),
        b't' => word(record, at, at, *b"true", Kind::True, span),
        b'f' => word(record, at, at + 1, *b"alse", Kind::False, span),
        b'[' | b'{' => {
            let end = nested(record, at, DEEPEST)?;
            found(span, at, end.get(), Kind::Nested, end.get())
        }
        _ => None,
    }
}

#[inline]
fn found(there: &mut Span, start: usize, end: usize, kind: Kind, behind: usize) -> Option<End> {
    *there = span(start, end, kind);
    End::new(behind)
}

#[inline]
fn word(record: &[u8], start: usize, at: usize, word: [u8; 4], kind: Kind, span: &mut Span) -> Option<End> {
    if *chunk::<4>(record, at)? == word { found(span, start, at + 4, kind, at + 4) } else { None }
}

/// The end of the array or object at `at`.
fn nested(record: &[u8], at: usize, levels: usize) -> Option<End> {
    let is_object = record.get(at)? == &b'{';
    let close = if is_object { b'}' } else { b']' };
    if levels == 0 {
        return None;
    }
    let mut at = at + 1;
    if record.get(at)? == &close {
        return End::new(at + 1);
    }
    let mut inner = Span::default();
    loop {
        if is_object {
            at = string(record, opened(record, at)?, &mut inner)?.get();
            at = (record.get(at)? == &b':').then_some(at + 1)?;
        }
        at = match record.get(at)? {
            b'[' | b'{' => nested(record, at, levels - 1)?.get(),
            _ => value(record, at, &mut inner)?.get(),
        };
        match *record.get(at)? {
            b',' => at += 1,
            byte if byte == close => return End::new(at + 1),
            _ => return None,
        }
    }
}

/// The place after the quote at `at`.
fn opened(record: &[u8], at: usize) -> Option<usize> {
    (record.get(at)? == &b'"').then_some(at + 1)
}

/// Finds the string whose first byte after the quote is at `start`.
#[inline]
fn string(record: &[u8], start: usize, span: &mut Span) -> Option<End> {
    let mut at = start;
    let mut commas = 0;
    while let Some(&bytes) = chunk::<32>(record, at) {
        let (stop, comma) = stops(u8x32::new(bytes));
        if stop == 0 {
            commas |= comma;
            at += 32;
            continue;
        }
        // Only the commas before the first stop.
        commas |= comma & (stop.wrapping_sub(1) & !stop);
        at += stop.trailing_zeros() as usize;
        return ended(record, start, at, commas != 0, span);
    }
    // The last bytes of a record, fewer than 32.
    while let Some(&byte) = record.get(at) {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            return ended(record, start, at, commas != 0, span);
        }
        commas |= u32::from(byte == b',');
        at += 1;
    }
    None
}

#[inline]
fn ended(record: &[u8], start: usize, at: usize, comma: bool, span: &mut Span) -> Option<End> {
    match record.get(at)? {
        b'"' => found(span, start, at, if comma { Kind::Comma } else { Kind::Plain }, at + 1),
        b'\\' => escaped(record, start, at, span),
        _ => None,
    }
}

/// Finds the rest of a string whose first backslash is at `at`.
#[inline(never)]
fn escaped(record: &[u8], start: usize, mut at: usize, span: &mut Span) -> Option<End> {
    loop {
        match *record.get(at)? {
            b'"' => return found(span, start, at, Kind::Escaped, at + 1),
            b'\\' => at += escape(record, at)?.1,
            0..0x20 => return None,
            _ => at += 1,
        }
    }
}

/// The character of the escape at `at`, and the length of the escape. `None` for surrogates and NUL.
#[inline]
pub(crate) fn escape(record: &[u8], at: usize) -> Option<(char, usize)> {
    let simple = |character| Some((character, 2));
    match *record.get(at + 1)? {
        b'"' => simple('"'),
        b'\\' => simple('\\'),
        b'/' => simple('/'),
        b'b' => simple('\u{8}'),
        b'f' => simple('\u{c}'),
        b'n' => simple('\n'),
        b'r' => simple('\r'),
        b't' => simple('\t'),
        b'u' => {
            let digits = chunk::<4>(record, at + 2)?;
            let code = digits.iter().try_fold(0, |code, &digit| Some(code << 4 | char::from(digit).to_digit(16)?))?;
            Some((char::from_u32(code).filter(|&character| character != '\0')?, 6))
        }
        _ => None,
    }
}

/// The number of digits from `at` on.
#[inline]
pub(crate) fn digits(record: &[u8], at: usize) -> usize {
    let mut end = at;
    while let Some(&bytes) = chunk::<16>(record, end) {
        let value = u8x16::new(bytes) - u8x16::splat(b'0');
        let digit = value.min(u8x16::splat(9)).simd_eq(value).to_bitmask();
        let count = (!digit).trailing_zeros().min(16);
        end += count as usize;
        if count < 16 {
            return end - at;
        }
    }
    while record.get(end).is_some_and(u8::is_ascii_digit) {
        end += 1;
    }
    end - at
}

/// Finds the number at `at`. `None` for a number with an exponent.
#[inline]
fn number(record: &[u8], start: usize, span: &mut Span) -> Option<End> {
    let first = start + usize::from(record.get(start) == Some(&b'-'));
    let whole = digits(record, first);
    if whole == 0 || (whole > 1 && record.get(first) == Some(&b'0')) {
        return None;
    }
    let end = first + whole;
    match record.get(end) {
        Some(b'.') => {
            let fraction = digits(record, end + 1);
            let end = end + 1 + fraction;
            if fraction == 0 || matches!(record.get(end), Some(b'e' | b'E')) {
                return None;
            }
            found(span, start, end, Kind::Fraction, end)
        }
        Some(b'e' | b'E') => None,
        _ => found(span, start, end, Kind::Integer, end),
    }
}

/// Whether a text is one JSON value, with or without white space. A text that is not may still be valid if it has more than [`DEEPEST`]
/// levels.
pub(crate) fn is_valid(text: &[u8]) -> bool {
    valid_value(text, space(text, 0), DEEPEST).is_some_and(|end| space(text, end) == text.len())
}

/// The place of the first byte from `at` on that is not white space.
#[inline]
fn space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = text.get(at) {
        at += 1;
    }
    at
}

/// The end of the valid value at `at`.
fn valid_value(text: &[u8], at: usize, levels: usize) -> Option<usize> {
    match *text.get(at)? {
        b'"' => valid_string(text, at + 1),
        b'-' | b'0'..=b'9' => number_end(text, at),
        b'n' => (*chunk::<4>(text, at)? == *b"null").then_some(at + 4),
        b't' => (*chunk::<4>(text, at)? == *b"true").then_some(at + 4),
        b'f' => (*chunk::<5>(text, at)? == *b"false").then_some(at + 5),
        b'{' => valid_container::<true>(text, at + 1, levels.checked_sub(1)?),
        b'[' => valid_container::<false>(text, at + 1, levels.checked_sub(1)?),
        _ => None,
    }
}

fn valid_container<const IS_OBJECT: bool>(text: &[u8], at: usize, levels: usize) -> Option<usize> {
    let close = if IS_OBJECT { b'}' } else { b']' };
    let mut at = space(text, at);
    if *text.get(at)? == close {
        return Some(at + 1);
    }
    loop {
        if IS_OBJECT {
            at = space(text, valid_string(text, opened(text, at)?)?);
            at = space(text, (*text.get(at)? == b':').then_some(at + 1)?);
        }
        at = space(text, valid_value(text, at, levels)?);
        match *text.get(at)? {
            b',' => at = space(text, at + 1),
            byte if byte == close => return Some(at + 1),
            _ => return None,
        }
    }
}

/// The end of the valid string whose first byte after the quote is at `at`.
#[inline]
fn valid_string(text: &[u8], mut at: usize) -> Option<usize> {
    while let Some(&bytes) = chunk::<32>(text, at) {
        let mut stops = stops(u8x32::new(bytes)).0;
        // The place in the chunk from which on the next escape or quote is looked for.
        let mut next = 32;
        while stops != 0 {
            let stop = stops.trailing_zeros() as usize;
            match text[at + stop] {
                b'"' => return Some(at + stop + 1),
                b'\\' => next = stop + valid_escape(text, at + stop)?,
                _ => return None,
            }
            if next >= 32 {
                break;
            }
            stops &= u32::MAX << next;
            next = 32;
        }
        at += next;
    }
    loop {
        match *text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += valid_escape(text, at)?,
            0..0x20 => return None,
            _ => at += 1,
        }
    }
}

/// The length of the valid escape at `at`.
#[inline]
fn valid_escape(text: &[u8], at: usize) -> Option<usize> {
    match *text.get(at + 1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' if chunk::<4>(text, at + 2)?.iter().all(u8::is_ascii_hexdigit) => Some(6),
        _ => None,
    }
}

/// The end of the valid number at `start`.
#[inline]
pub(crate) fn number_end(text: &[u8], start: usize) -> Option<usize> {
    let first = start + usize::from(text.get(start) == Some(&b'-'));
    let whole = digits(text, first);
    if whole == 0 || (whole > 1 && text.get(first) == Some(&b'0')) {
        return None;
    }
    let mut end = first + whole;
    if text.get(end) == Some(&b'.') {
        let fraction = digits(text, end + 1);
        end += 1 + (fraction > 0).then_some(fraction)?;
    }
    if let Some(b'e' | b'E') = text.get(end) {
        let first = end + 1 + usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(text, first);
        end = first + (exponent > 0).then_some(exponent)?;
    }
    Some(end)
}

/// The place of the closing quote of the valid string whose first byte after the quote is at `at`, and whether the string has escapes.
#[inline]
pub(crate) fn string_end(text: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut has_escapes = false;
    while let Some(&bytes) = chunk::<32>(text, at) {
        let bytes = u8x32::new(bytes);
        let mut stops = (bytes.simd_eq(u8x32::splat(b'"')) | bytes.simd_eq(u8x32::splat(b'\\'))).to_bitmask();
        let mut next = 32;
        while stops != 0 {
            let stop = stops.trailing_zeros() as usize;
            if text[at + stop] == b'"' {
                return Some((at + stop, has_escapes));
            }
            has_escapes = true;
            if stop >= 30 {
                next = stop + 2;
                break;
            }
            stops &= u32::MAX << (stop + 2);
        }
        at += next;
    }
    loop {
        match *text.get(at)? {
            b'"' => return Some((at, has_escapes)),
            b'\\' => {
                has_escapes = true;
                at += 2;
            }
            _ => at += 1,
        }
    }
}

/// Bytes that are read at once. [`copy_plain`] does not enlarge `out` if it has this room behind the text.
pub(crate) const BLOCK: usize = 32;

/// Appends the bytes from `at` to the first backslash, or to the end of the text, and returns that place.
///
/// Whole blocks are copied and the excess is removed. The parts between the escapes of a MongoDB document have about ten bytes, for which
/// a search and a copy of the right length take three times as many instructions.
#[inline]
pub(crate) fn copy_plain(text: &[u8], mut at: usize, out: &mut Vec<u8>) -> usize {
    while let Some(bytes) = chunk::<BLOCK>(text, at) {
        out.extend_from_slice(bytes);
        match u8x32::new(*bytes).simd_eq(u8x32::splat(b'\\')).to_bitmask() {
            0 => at += BLOCK,
            stop => {
                let plain = stop.trailing_zeros() as usize;
                out.truncate(out.len() - BLOCK + plain);
                return at + plain;
            }
        }
    }
    while let Some(&byte) = text.get(at).filter(|byte| **byte != b'\\') {
        out.push(byte);
        at += 1;
    }
    at
}

/// The end of the valid number or word at `at`.
#[inline]
pub(crate) fn scalar_end(text: &[u8], mut at: usize) -> usize {
    while let Some(&bytes) = chunk::<16>(text, at) {
        let bytes = u8x16::new(bytes);
        let space = bytes.min(u8x16::splat(b' ')).simd_eq(bytes);
        // `]` and `}` differ in one bit.
        let close = (bytes | u8x16::splat(0x20)).simd_eq(u8x16::splat(b'}'));
        match (space | close | bytes.simd_eq(u8x16::splat(b','))).to_bitmask() {
            0 => at += 16,
            stop => return at + stop.trailing_zeros() as usize,
        }
    }
    let is_part = |byte: &&u8| !matches!(**byte, b',' | b'}' | b']' | 0..=b' ');
    at + text.get(at..).unwrap_or_default().iter().take_while(is_part).count()
}

/// Whether a text has one of these bytes, which do not include a space. Most texts are shorter than a block, which is then filled with
/// spaces: that takes half as many instructions as comparing byte by byte.
#[inline]
pub(crate) fn has<const N: usize>(text: &[u8], wanted: [u8; N]) -> bool {
    text.chunks(BLOCK).any(|chunk| {
        let mut block = [b' '; BLOCK];
        block[..chunk.len()].copy_from_slice(chunk);
        let block = u8x32::new(block);
        wanted.into_iter().any(|byte| block.simd_eq(u8x32::splat(byte)).to_bitmask() != 0)
    })
}
