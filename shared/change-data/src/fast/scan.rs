//! Tokens of JSON, found 32 bytes at a time: one AVX2 register, or two of SSE2 or NEON.
//!
//! Every function takes bytes of which the caller knows that they are UTF-8, and answers `None` for what is broken *and* for what is
//! rare: the full decoder tells the one from the other.

use std::num::NonZeroUsize;

use wide::{u8x16, u8x32};

/// What a value is, as far as its bytes tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// The event does not have the field.
    #[default]
    Absent,
    Null,
    True,
    False,
    /// Digits, perhaps after a minus.
    Integer,
    /// An integer, a point, digits.
    Fraction,
    /// A string that a CSV takes as it is.
    Plain,
    /// A string with a comma: it needs quotes in a CSV.
    Comma,
    /// A string with escapes, none of which is a surrogate or a NUL.
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

/// Where a value is: of strings, what is between the quotes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) kind: Kind,
}

impl Span {
    /// Its bytes in the record.
    #[inline]
    pub(super) fn of(self, record: &[u8]) -> &[u8] {
        record.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// The value as JSON, the quotes of a string included.
    pub(super) fn json(self, record: &str) -> Option<&str> {
        let quotes = usize::from(self.is_string());
        record.get((self.start as usize).checked_sub(quotes)?..self.end as usize + quotes)
    }

    /// Its length in bytes.
    #[inline]
    pub(super) fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    #[inline]
    pub(super) fn is_string(self) -> bool {
        self.kind.is_string()
    }

    /// The same, so many bytes behind it.
    #[inline]
    pub(super) fn moved(self, bytes: usize) -> Self {
        span(self.start as usize + bytes, self.end as usize + bytes, self.kind)
    }

    /// Neither absent nor null.
    #[inline]
    pub(super) fn is_some(self) -> bool {
        !matches!(self.kind, Kind::Absent | Kind::Null)
    }
}

/// Longest record that is read here. In one of this length there is nothing that is too large for Redshift in a way that depends on more
/// than one value, and spans can point everywhere.
pub(super) const LONGEST: usize = 1 << 20;
/// Levels of arrays and objects in a value.
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

/// What ends the plain part of a string: a quote, a backslash, a control character. And the commas beside them.
#[inline]
fn stops(bytes: u8x32) -> (u32, u32) {
    let control = bytes.min(u8x32::splat(0x1f)).simd_eq(bytes);
    let stop = bytes.simd_eq(u8x32::splat(b'"')) | bytes.simd_eq(u8x32::splat(b'\\')) | control;
    (stop.to_bitmask(), bytes.simd_eq(u8x32::splat(b',')).to_bitmask())
}

/// Where a value ends: never at the first byte of a record.
type End = NonZeroUsize;

/// Finds the value at `at`, and answers where it ends.
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

/// Where the array or object at `at` ends.
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

/// Behind the quote at `at`.
fn opened(record: &[u8], at: usize) -> Option<usize> {
    (record.get(at)? == &b'"').then_some(at + 1)
}

/// The string whose first byte behind the quote is at `start`.
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
        // Only what is below the lowest stop.
        commas |= comma & (stop.wrapping_sub(1) & !stop);
        at += stop.trailing_zeros() as usize;
        return ended(record, start, at, commas != 0, span);
    }
    // The last bytes of a record.
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

/// A string whose first backslash is at `at`.
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

/// The character of the escape at `at`, and the escape's length. Surrogates and NUL are the full decoder's.
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

/// How many digits there are from `at` on.
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

/// The number at `at`. One with an exponent is the full decoder's.
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
