//! Writes JSON for SUPER within Redshift's limits, from any form of the source's JSON.
//!
//! Limits (Redshift docs, "SUPER type", "Limitations"): 1,000 levels; 16 MB; strings of 65,535 bytes, the length of the longest VARCHAR,
//! so that every string can be cast to VARCHAR; decimals of 38 digits. A warehouse with `enable_large_strings_opt_in` takes strings of
//! 16,000,000 bytes, so that only the size of the document limits them.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    column_type::LONGEST_STRING,
    contract::Oversized,
    json::{Cursor, RawJson, Text, unescaped, write_string},
    logical::Logical,
    mongodb,
    number::{Number, is_short},
    scan,
    value::{Form, Temporal, TemporalKind, Value, bit_string},
};

/// Most levels of a document.
pub(crate) const DEEPEST: usize = 1000;
/// Most bytes of a document.
pub(crate) const LARGEST: usize = 16_000_000;

/// Counts how a value was changed so that Redshift can hold it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Flaws {
    cut: usize,
    nulled: usize,
    nul: usize,
    repaired: usize,
    as_text: usize,
    nanos: bool,
}

impl Flaws {
    /// A note for `dw_md_changes`; `None` if the value was not changed.
    pub(crate) fn describe(&self) -> Option<String> {
        if *self == Self::default() {
            return None;
        }
        let mut all = Vec::new();
        let mut say = |count: usize, what: &str| match count {
            0 => {}
            1 => all.push(what.to_owned()),
            more => all.push(format!("{what} ({more} times)")),
        };
        say(self.cut, "string cut to 65535 bytes");
        say(self.nulled, "string of more than 65535 bytes nulled");
        say(self.nul, "NUL removed");
        say(self.repaired, "half a surrogate replaced");
        say(self.as_text, "number that no DECIMAL or DOUBLE holds kept as text");
        say(usize::from(self.nanos), "cut to microseconds");
        (!all.is_empty()).then(|| all.join("; "))
    }

    pub(crate) fn cut_to_micros(&mut self) {
        self.nanos = true;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.cut += other.cut;
        self.nulled += other.nulled;
        self.nul += other.nul;
        self.repaired += other.repaired;
        self.as_text += other.as_text;
        self.nanos |= other.nanos;
    }
}

/// A limit of Redshift that a value exceeds, and the effect of the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LimitExceeded {
    /// The policy makes the value NULL.
    Null(&'static str),
    /// The policy refuses the row.
    Refuse(&'static str),
}

/// The string that Redshift can hold in `longest` bytes; `None` if the policy makes it NULL.
pub(crate) fn fitted<'t>(
    text: &Text<'t>,
    longest: usize,
    policy: Oversized,
    flaws: &mut Flaws,
) -> Result<Option<Cow<'t, str>>, LimitExceeded> {
    flaws.repaired += usize::from(text.repaired);
    let mut fitted = text.text.clone();
    if scan::has(fitted.as_bytes(), [0]) {
        flaws.nul += fitted.matches('\0').count();
        fitted = Cow::Owned(fitted.replace('\0', ""));
    }
    if fitted.len() <= longest {
        return Ok(Some(fitted));
    }
    match policy {
        Oversized::Cut => {
            flaws.cut += 1;
            let end = fitted.floor_char_boundary(longest);
            Ok(Some(Cow::Owned(fitted[..end].to_owned())))
        }
        Oversized::Null => {
            flaws.nulled += 1;
            Ok(None)
        }
        Oversized::Refuse => Err(LimitExceeded::Refuse("a string of more than 65535 bytes")),
    }
}

/// Writes a value as JSON.
pub(crate) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    policy: Oversized,
    flaws: &'o mut Flaws,
    /// Number of levels that are left.
    levels: usize,
    /// Most bytes of a string.
    longest: usize,
}

type WriteResult = Result<(), LimitExceeded>;

impl<'o> Writer<'o> {
    /// `around` is the number of levels around the value.
    pub(crate) fn new(out: &'o mut Vec<u8>, policy: Oversized, flaws: &'o mut Flaws, around: usize) -> Self {
        Self { out, policy, flaws, levels: DEEPEST - around, longest: LONGEST_STRING }
    }

    /// Takes strings of any length, if the warehouse does: [`LARGEST`] limits the document.
    pub(crate) fn large_strings(self, takes: bool) -> Self {
        Self { longest: if takes { usize::MAX } else { self.longest }, ..self }
    }

    /// Writes a value. On an error nothing is written.
    pub(crate) fn value(mut self, value: &Value<'_>) -> WriteResult {
        let start = self.out.len();
        let mut written = self.any(value, 0);
        if written.is_ok() && self.out.len() - start > LARGEST {
            written = self.too_much("a document of more than 16 MB");
        }
        if written.is_err() {
            self.out.truncate(start);
        }
        written
    }

    /// Writes the name of a member and its colon.
    pub(crate) fn name(mut self, name: &str) -> WriteResult {
        self.key(&Text { text: Cow::Borrowed(name), repaired: false })
    }

    fn too_much(&self, what: &'static str) -> WriteResult {
        Err(match self.policy {
            Oversized::Cut | Oversized::Null => LimitExceeded::Null(what),
            Oversized::Refuse => LimitExceeded::Refuse(what),
        })
    }

    fn any(&mut self, value: &Value<'_>, level: usize) -> WriteResult {
        match value {
            Value::Null => self.out.extend_from_slice(b"null"),
            Value::Bool(true) => self.out.extend_from_slice(b"true"),
            Value::Bool(false) => self.out.extend_from_slice(b"false"),
            Value::Number(number) => self.number(number),
            Value::NotFinite(name) => write_string(self.out, name),
            Value::Text(text) => return self.text(text),
            // Redshift cannot store a duration's text as another type, so the count is written as a number.
            Value::Temporal(Temporal { kind: TemporalKind::Duration, raw, .. }) => self.number(raw),
            Value::Temporal(temporal) => {
                self.flaws.nanos |= temporal.cut;
                self.out.push(b'"');
                temporal.write(self.out);
                self.out.push(b'"');
            }
            Value::Bytes { bytes, .. } => return self.string(&STANDARD.encode(bytes)),
            Value::Bits { bytes, length } => return self.string(&bit_string(bytes, *length)),
            Value::Shape { ewkb, .. } => return self.string(ewkb),
            Value::Embedded(json) => {
                let Ok(raw) = crate::json::validated(json.as_bytes()) else { return self.string(json) };
                return self.json(raw, level);
            }
            Value::Document(raw, Form::Json) => return self.json(*raw, level),
            Value::Document(raw, Form::Connect(logical)) => {
                return self.connect(&mut Cursor::new(*raw), logical, level).unwrap_or(Ok(()));
            }
            Value::Document(raw, Form::Extended) => {
                return self.extended(&mut Cursor::new(*raw), level).unwrap_or(Ok(()));
            }
            Value::Document(raw, Form::Typed) => return self.typed(&mut Cursor::new(*raw), level).unwrap_or(Ok(())),
        }
        Ok(())
    }

    fn string(&mut self, text: &str) -> WriteResult {
        self.text(&Text { text: Cow::Borrowed(text), repaired: false })
    }

    fn text(&mut self, text: &Text<'_>) -> WriteResult {
        match fitted(text, self.longest, self.policy, self.flaws)? {
            Some(text) => write_string(self.out, &text),
            None => self.out.extend_from_slice(b"null"),
        }
        Ok(())
    }

    /// Writes a number. A number that Redshift would round or refuse is written as a text.
    fn number(&mut self, number: &str) {
        // A DECIMAL holds any number of 38 digits.
        let is_held = is_short(number, 38)
            || Number::parse(number).is_some_and(|read| {
                let is_double = || {
                    let double: f64 = number.parse().unwrap_or(f64::NAN);
                    read.significant() <= 17 && double.is_finite() && double != 0.0
                };
                read.is_decimal() || is_double()
            });
        if is_held {
            self.out.extend_from_slice(number.as_bytes());
        } else {
            self.flaws.as_text += 1;
            write_string(self.out, number);
        }
    }

    /// Writes a key. A key that is too long is an error, because it cannot be replaced by NULL.
    fn key(&mut self, key: &Text<'_>) -> WriteResult {
        let clean = fitted(key, LONGEST_STRING, Oversized::Cut, self.flaws)?.unwrap_or_default();
        if key.text.len() > LONGEST_STRING {
            return self.too_much("a document with a key of more than 65535 bytes");
        }
        write_string(self.out, &clean);
        self.out.push(b':');
        Ok(())
    }

    /// Writes JSON without its white space, in one pass and without recursion.
    fn json(&mut self, raw: RawJson<'_>, around: usize) -> WriteResult {
        let mut cursor = Cursor::new(raw);
        let mut level = around;
        while let Some(byte) = cursor.peek() {
            match byte {
                b'{' | b'[' => {
                    level += 1;
                    if level > self.levels {
                        return self.too_much("a document of more than 1000 levels");
                    }
                    self.out.push(byte);
                    cursor.bump();
                }
                b'}' | b']' => {
                    level -= 1;
                    self.out.push(byte);
                    cursor.bump();
                }
                b',' | b':' => {
                    self.out.push(byte);
                    cursor.bump();
                }
                b'"' => {
                    let Some(escaped) = cursor.string() else { break };
                    let is_key = cursor.peek() == Some(b':');
                    self.escaped(escaped, is_key)?;
                    if is_key {
                        cursor.bump();
                    }
                }
                _ => {
                    let Some(scalar) = cursor.skip() else { break };
                    self.any(&Value::of_json(scalar), level)?;
                }
            }
        }
        Ok(())
    }

    fn escaped(&mut self, escaped: &str, is_key: bool) -> WriteResult {
        if is_key {
            return self.key(&unescaped(escaped));
        }
        if escaped.len() > self.longest || scan::has(escaped.as_bytes(), [b'\\']) {
            return self.text(&unescaped(escaped));
        }
        self.out.push(b'"');
        self.out.extend_from_slice(escaped.as_bytes());
        self.out.push(b'"');
        Ok(())
    }

    fn deeper(&self, level: usize) -> Result<usize, LimitExceeded> {
        if level >= self.levels {
            self.too_much("a document of more than 1000 levels")?;
        }
        Ok(level + 1)
    }

    /// Writes an object or an array; `member` writes the value at the cursor. `None` only for invalid JSON, which does not occur here.
    fn container(
        &mut self,
        cursor: &mut Cursor<'_>,
        mut member: impl FnMut(&mut Self, &mut Cursor<'_>, Option<&str>) -> Option<WriteResult>,
    ) -> Option<WriteResult> {
        let is_object = cursor.peek()? == b'{';
        cursor.bump();
        self.out.push(if is_object { b'{' } else { b'[' });
        let mut is_first = true;
        loop {
            let key = if is_object { cursor.key() } else { None };
            if key.is_none() && (is_object || cursor.element().is_none()) {
                break;
            }
            if !std::mem::take(&mut is_first) {
                self.out.push(b',');
            }
            if let Some(key) = &key
                && let Err(error) = self.key(key)
            {
                return Some(Err(error));
            }
            if let Err(error) = member(self, cursor, key.as_ref().map(|key| &*key.text))? {
                return Some(Err(error));
            }
        }
        self.out.push(if is_object { b'}' } else { b']' });
        Some(Ok(()))
    }

    fn connect(&mut self, cursor: &mut Cursor<'_>, logical: &Logical, level: usize) -> Option<WriteResult> {
        let is_container = matches!(cursor.peek()?, b'{' | b'[');
        let is_typed = matches!(logical, Logical::Array(_) | Logical::Map(_) | Logical::Struct(_));
        if !is_container || !is_typed {
            let value = Value::of_json(cursor.skip()?).decoded(logical);
            return Some(self.any(&value, level));
        }
        let level = match self.deeper(level) {
            Ok(level) => level,
            Err(error) => return Some(Err(error)),
        };
        self.container(cursor, |writer, cursor, key| {
            let inner = key.map_or_else(|| logical.of_element(), |key| logical.of_member(key));
            writer.connect(cursor, inner, level)
        })
    }

    /// Writes MongoDB's extended JSON without its wrappers.
    fn extended(&mut self, cursor: &mut Cursor<'_>, level: usize) -> Option<WriteResult> {
        if !matches!(cursor.peek()?, b'{' | b'[') || mongodb::is_wrapper(cursor) {
            let raw = cursor.skip()?;
            return Some(match mongodb::value(raw) {
                // A key with a dollar sign that is not a wrapper.
                Value::Document(raw, _) => self.json(raw, level),
                value => self.any(&value, level),
            });
        }
        let level = match self.deeper(level) {
            Ok(level) => level,
            Err(error) => return Some(Err(error)),
        };
        self.container(cursor, |writer, cursor, _| writer.extended(cursor, level))
    }

    /// Writes DynamoDB's typed JSON without its types.
    fn typed(&mut self, cursor: &mut Cursor<'_>, level: usize) -> Option<WriteResult> {
        let mut inside = cursor.clone();
        let kind = (inside.peek()? == b'{').then(|| {
            inside.bump();
            inside.key()
        });
        let Some(kind @ ("M" | "L")) = kind.as_ref().and_then(|kind| Some(&*kind.as_ref()?.text)) else {
            let value = crate::dynamodb::value(cursor.skip()?);
            return Some(match value {
                // A set, or JSON that is not typed.
                Value::Document(raw, _) => self.set(raw, level),
                value => self.any(&value, level),
            });
        };
        if inside.peek()? != if kind == "M" { b'{' } else { b'[' } {
            let raw = cursor.skip()?;
            return Some(self.json(raw, level));
        }
        let level = match self.deeper(level) {
            Ok(level) => level,
            Err(error) => return Some(Err(error)),
        };
        let written = self.container(&mut inside, |writer, cursor, _| writer.typed(cursor, level))?;
        // After it comes the brace of the type, or members that a typed value does not have.
        while inside.key().is_some() {
            inside.skip()?;
        }
        *cursor = inside;
        Some(written)
    }

    fn set(&mut self, raw: RawJson<'_>, level: usize) -> WriteResult {
        let mut members = raw.members();
        let (Some((kind, elements)), None) = (members.next(), members.next()) else { return self.json(raw, level) };
        let is_numbers = kind == "NS";
        if !matches!(&*kind, "SS" | "BS") && !is_numbers {
            return self.json(raw, level);
        }
        self.deeper(level)?;
        self.out.push(b'[');
        for (index, element) in elements.elements().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            let value = match element.string() {
                Some(digits) if is_numbers && Number::parse(&digits).is_some() => Value::Number(digits),
                Some(_) | None => Value::of_json(element),
            };
            self.any(&value, level + 1)?;
        }
        self.out.push(b']');
        Ok(())
    }
}
