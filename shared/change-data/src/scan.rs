//! Finds the tokens of JSON, 32 bytes at a time: one AVX2 register, or two of SSE2 or NEON.
//!
//! The bytes must be valid UTF-8. Every function returns `None` for invalid JSON and for rare forms of JSON; the full decoder decides
//! which it is.

use std::num::NonZeroUsize;

use wide::{u8x16, u8x32};

/// The kind of a value, by its bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Kind {
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
    pub(super) fn is_string(self) -> bool {
        matches!(self, Self::Plain | Self::Comma | Self::Escaped)
    }
}

/// The place of a value in the record. For a string, the place of the text between the quotes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) kind: Kind,
}

impl Span {
    /// The bytes of the value.
    #[inline]
    pub(super) fn of(self, record: &[u8]) -> &[u8] {
        record.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// The JSON of the value, including the quotes of a string.
    pub(super) fn json(self, record: &str) -> Option<&str> {
        let quotes = usize::from(self.is_string());
        record.get((self.start as usize).checked_sub(quotes)?..self.end as usize + quotes)
    }

    /// Length in bytes.
    #[inline]
    pub(super) fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    #[inline]
    pub(super) fn is_string(self) -> bool {
        self.kind.is_string()
    }

    /// The span moved by `by` bytes.
    #[inline]
    pub(super) fn moved(self, bytes: usize) -> Self {
        span(self.start as usize + bytes, self.end as usize + bytes, self.kind)
    }

    /// Whether the value is neither absent nor null.
    #[inline]
    pub(super) fn is_some(self) -> bool {
        !matches!(self.kind, Kind::Absent | Kind::Null)
    }
}

/// Bytes of the longest record that the fast path reads. A shorter record cannot exceed a limit of Redshift that depends on more than one
/// value, and its places fit a span.
pub(super) const LONGEST: usize = 1 << 20;
/// Most levels of arrays and objects in a value.
const DEEPEST: usize = 16;

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "records are at most LONGEST bytes")]
pub(super) fn span(start: usize, end: usize, kind: Kind) -> Span {
    Span { start: start as u32, end: end as u32, kind }
}

#[inline]
pub(super) fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<&[u8; N]> {
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
pub(super) fn value(record: &[u8], at: usize, span: &mut Span) -> Option<End> {
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
pub(super) fn escape(record: &[u8], at: usize) -> Option<(char, usize)> {
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
pub(super) fn digits(record: &[u8], at: usize) -> usize {
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
