//! Reads JSON as it was written: with the digits of numbers, the order of keys, and repeated keys.
//!
//! [`validated`] checks a text once; all other functions expect valid JSON. A value is a slice of the record. Only strings with escapes
//! are copied.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::scan;

/// One JSON value, as valid text without surrounding white space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawJson<'a>(&'a str);

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Number,
    String,
    Array,
    Object,
}

/// A string without its escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text<'a> {
    pub(crate) text: Cow<'a, str>,
    /// Whether a surrogate without its other half was replaced by U+FFFD.
    pub(crate) repaired: bool,
}

/// Checks that the bytes are exactly one JSON value.
///
/// # Errors
/// A message with the problem and its place.
pub(crate) fn validated(bytes: &[u8]) -> Result<RawJson<'_>, String> {
    let text = simdutf8::compat::from_utf8(bytes)
        .map_err(|error| format!("not UTF-8: byte {} does not begin a character", error.valid_up_to()))?;
    if scan::is_valid(bytes) {
        return Ok(RawJson(text.trim_matches([' ', '\t', '\n', '\r'])));
    }
    // A raw value is read without recursion, so the depth of a document does not use stack.
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    Ok(RawJson(raw.get()))
}

impl<'a> RawJson<'a> {
    /// A value from text that is already known to be valid.
    pub(crate) fn known(text: &'a str) -> Self {
        Self(text)
    }

    pub(crate) fn get(self) -> &'a str {
        self.0
    }

    pub(crate) fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't') => Kind::Bool(true),
            Some(b'f') => Kind::Bool(false),
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    pub(crate) fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// The value, if it is not null.
    pub(crate) fn some(self) -> Option<Self> {
        (!self.is_null()).then_some(self)
    }

    /// The text of a string; `None` for any other value.
    pub(crate) fn text(self) -> Option<Text<'a>> {
        (self.kind() == Kind::String).then(|| unescaped(&self.0[1..self.0.len() - 1]))
    }

    /// The text of a string, without the information whether it was repaired.
    pub(crate) fn string(self) -> Option<Cow<'a, str>> {
        self.text().map(|text| text.text)
    }

    /// The notation of a number, or the text of a string (large numbers are written as strings).
    pub(crate) fn digits(self) -> Option<Cow<'a, str>> {
        match self.kind() {
            Kind::Number => Some(Cow::Borrowed(self.0)),
            Kind::String => self.string(),
            Kind::Null | Kind::Bool(_) | Kind::Array | Kind::Object => None,
        }
    }

    pub(crate) fn u64(self) -> Option<u64> {
        self.digits()?.parse().ok()
    }

    pub(crate) fn i64(self) -> Option<i64> {
        self.digits()?.parse().ok()
    }

    /// The keys and values of an object, in their order. Empty for any other value.
    pub(crate) fn members(self) -> Members<'a> {
        Members(Cursor::inside(self, Kind::Object))
    }

    /// The elements of an array. Empty for any other value.
    pub(crate) fn elements(self) -> Elements<'a> {
        Elements(Cursor::inside(self, Kind::Array))
    }

    /// The key and the value of an object whose only member is a string, in a common notation: `{"S":"text"}`, `{"$numberLong": "7"}`.
    /// `None` for any other value, and for an object with other white space or an escape in the key.
    #[inline]
    pub(crate) fn only_string(self) -> Option<(&'a str, RawJson<'a>)> {
        let place = scan::only_string(self.0.as_bytes(), 0)?;
        Some((self.0.get(2..place.key_end)?, RawJson(self.0.get(place.start..place.end)?)))
    }

    /// The last member with this name.
    pub(crate) fn member(self, name: &str) -> Option<RawJson<'a>> {
        self.members().filter(|(key, _)| key == name).map(|(_, value)| value).last()
    }
}

/// Keys and values of an object.
#[derive(Debug, Clone)]
pub(crate) struct Members<'a>(Cursor<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, RawJson<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let key = self.0.key()?;
        Some((key.text, self.0.skip()?))
    }
}

impl<'a> Members<'a> {
    /// The next member, if its key and colon are written as these bytes: `"name":`.
    #[inline]
    pub(crate) fn next_expected(&mut self, key: &str) -> Option<(Cow<'a, str>, RawJson<'a>)> {
        let name = self.0.expected_key(key)?;
        Some((Cow::Borrowed(name), self.0.skip()?))
    }
}

/// Elements of an array.
#[derive(Debug, Clone)]
pub(crate) struct Elements<'a>(Cursor<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = RawJson<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.element()?;
        self.0.skip()
    }
}

/// A place in valid JSON. Its methods move it forward, and return `None` at the end of the object or array.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(raw: RawJson<'a>) -> Self {
        Self { text: raw.0, at: 0 }
    }

    fn inside(raw: RawJson<'a>, kind: Kind) -> Self {
        let mut cursor = Self::new(raw);
        // A value of another kind has no content.
        cursor.at = if raw.kind() == kind { 1 } else { raw.0.len() };
        cursor
    }

    /// The next byte that is not white space.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                byte => return byte.copied(),
            }
        }
    }

    /// Moves past the byte that [`Self::peek`] returned.
    pub(crate) fn bump(&mut self) {
        self.at += 1;
    }

    /// In an object: returns the next key and moves to its value. After the last member, returns `None` and moves past the brace.
    #[inline]
    pub(crate) fn key(&mut self) -> Option<Text<'a>> {
        self.element()?;
        let (key, has_escapes) = self.escaped()?;
        self.peek().filter(|byte| *byte == b':')?;
        self.bump();
        Some(if has_escapes { unescaped(key) } else { Text { text: Cow::Borrowed(key), repaired: false } })
    }

    /// In an object: moves to the value of the next member and returns its key, if the key and colon are written as these bytes: `"name":`.
    /// Comparing them takes a quarter of the instructions of finding the end of a key.
    #[inline]
    fn expected_key(&mut self, key: &str) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let start = self.at + usize::from(bytes.get(self.at) == Some(&b','));
        let end = start + key.len();
        if bytes.get(start..end)? != key.as_bytes() {
            return None;
        }
        self.at = end;
        self.text.get(start + 1..end - 2)
    }

    /// In an array: moves to the next element. After the last one, returns `None` and moves past the bracket.
    #[inline]
    pub(crate) fn element(&mut self) -> Option<()> {
        let mut byte = self.peek()?;
        if byte == b',' {
            self.bump();
            byte = self.peek()?;
        }
        if matches!(byte, b'}' | b']') {
            self.bump();
            return None;
        }
        Some(())
    }

    /// Moves past a string and returns the text between its quotes.
    pub(crate) fn string(&mut self) -> Option<&'a str> {
        self.escaped().map(|(text, _)| text)
    }

    /// Moves past a string and returns the text between its quotes, and whether it has escapes.
    #[inline]
    fn escaped(&mut self) -> Option<(&'a str, bool)> {
        self.peek().filter(|byte| *byte == b'"')?;
        let start = self.at + 1;
        let (end, has_escapes) = scan::string_end(self.text.as_bytes(), start)?;
        self.at = end + 1;
        Some((self.text.get(start..end)?, has_escapes))
    }

    /// Moves past a value and returns it.
    #[inline]
    pub(crate) fn skip(&mut self) -> Option<RawJson<'a>> {
        let first = self.peek()?;
        let (bytes, start) = (self.text.as_bytes(), self.at);
        let end = match first {
            b'"' => scan::string_end(bytes, start + 1)?.0 + 1,
            b'{' => match scan::only_string(bytes, start) {
                Some(place) => place.end + 1,
                None => scan::container_end(bytes, start)?,
            },
            b'[' => scan::container_end(bytes, start)?,
            _ => scan::scalar_end(bytes, start),
        };
        self.at = end;
        self.text.get(start..end).map(RawJson)
    }
}

/// Replaces the escapes of a string. `escaped` is the text between its quotes, which must be valid.
pub(crate) fn unescaped(escaped: &str) -> Text<'_> {
    if !scan::has(escaped.as_bytes(), [b'\\']) {
        return Text { text: Cow::Borrowed(escaped), repaired: false };
    }
    let bytes = escaped.as_bytes();
    let mut out = Vec::with_capacity(escaped.len() + scan::BLOCK);
    let (mut repaired, mut at) = (false, 0);
    loop {
        at = scan::copy_plain(bytes, at, &mut out);
        let Some(&kind) = bytes.get(at + 1) else { break };
        at += 2;
        out.push(match kind {
            b'u' => {
                let behind = escaped.get(at..).unwrap_or_default();
                let (character, rest) = code_point(behind);
                repaired |= character.is_none();
                let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                at += behind.len() - rest.len();
                continue;
            }
            b'b' => 0x8,
            b'f' => 0xc,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            itself => itself,
        });
    }
    // The parts between escapes are copied as bytes, because checking for each part that it begins and ends between characters takes
    // longer than checking the whole.
    let text = String::from_utf8(out).unwrap_or_default();
    Text { text: Cow::Owned(text), repaired }
}

/// The character of the digits after `\u`, and the rest of the text. A character outside the basic plane has two escapes. `None` for one
/// half of such a pair.
fn code_point(text: &str) -> (Option<char>, &str) {
    let Some((unit, rest)) = unit(text) else { return (None, "") };
    if !(0xd800..0xdc00).contains(&unit) {
        return (char::from_u32(unit), rest);
    }
    match rest.strip_prefix("\\u").and_then(self::unit) {
        Some((low @ 0xdc00..0xe000, behind)) => {
            (char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)), behind)
        }
        Some(_) | None => (None, rest),
    }
}

fn unit(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    Some((u32::from_str_radix(digits, 16).ok()?, rest))
}

/// Writes a string with its quotes. Only the characters are escaped that JSON requires.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || matches!(byte, b'"' | b'\\')) {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
        }
        // The byte is ASCII, so a character begins after it.
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::{Kind, unescaped, validated, write_string};

    #[test]
    fn the_only_string_of_an_object_is_its_only_member() {
        let only = |json| validated(str::as_bytes(json)).unwrap().only_string().map(|(key, value)| (key, value.get()));
        for (json, key, value) in [
            (r#"{"S":""}"#, "S", r#""""#),
            (r#"{"S":"a\"}b"}"#, "S", r#""a\"}b""#),
            (r#"{"S":"a\\"}"#, "S", r#""a\\""#),
            (r#"{"$numberLong": "-7"}"#, "$numberLong", r#""-7""#),
        ] {
            assert_eq!(only(json), Some((key, value)), "{json}");
        }
        for json in [
            r#"{ "S":"a"}"#,
            r#"{"S":"a" }"#,
            r#"{"S" :"a"}"#,
            r#"{"\u0053":"a"}"#,
            r#"{"S":"a","N":"1"}"#,
            r#"{"S":["a"]}"#,
            r#"{"S":1}"#,
            r#"["S"]"#,
            r#""S""#,
            "{}",
        ] {
            assert_eq!(only(json), None, "{json}");
        }
    }

    #[test]
    fn an_object_keeps_its_order_its_digits_and_repeated_keys() {
        let text = r#" { "b" : 1.50e+3 , "a\n" : [ 1 , {"x":"]}"} ], "b":"\u00e9\ud83d\ude00" } "#;
        let raw = validated(text.as_bytes()).unwrap();
        let members: Vec<_> = raw.members().map(|(key, value)| (key.into_owned(), value.get())).collect();
        let wanted = [("b", "1.50e+3"), ("a\n", r#"[ 1 , {"x":"]}"} ]"#), ("b", r#""\u00e9\ud83d\ude00""#)];
        assert_eq!(members, wanted.map(|(key, value)| (key.to_owned(), value)));
        assert_eq!(raw.member("b").unwrap().string().unwrap(), "é😀");
        assert_eq!(raw.members().nth(1).unwrap().1.elements().count(), 2);
        assert_eq!(validated(b"[]").unwrap().elements().count(), 0);
        assert_eq!(validated(b"3").unwrap().members().count(), 0);
        assert_eq!(validated(b" null ").unwrap().kind(), Kind::Null);
    }

    #[test]
    fn half_a_surrogate_is_replaced_and_reported() {
        for broken in [r"\ud800", r"\ud800x", r"\udc00", r"\ud800\ud800"] {
            let text = unescaped(broken);
            assert!(text.repaired && text.text.contains('\u{fffd}'), "{broken}");
        }
        assert!(!unescaped(r"\ud83d\ude00").repaired);
    }

    #[test]
    fn depth_does_not_use_stack() {
        let deep = "[".repeat(300_000) + &"]".repeat(300_000);
        assert_eq!(validated(deep.as_bytes()).unwrap().elements().count(), 1);
    }

    proptest! {
        #[test]
        fn any_string_is_written_and_read_back(text in "(?s:.{0,40})") {
            let mut out = Vec::new();
            write_string(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), Value::from(text.clone()));
            prop_assert_eq!(validated(&out).unwrap().string().unwrap(), text);
        }

        #[test]
        fn any_bytes_are_validated_as_serde_json_does(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let elsewhere = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok();
            prop_assert_eq!(validated(&bytes).is_ok(), elsewhere && std::str::from_utf8(&bytes).is_ok());
        }
    }
}
