//! Reads MongoDB's extended JSON: version 2 (canonical and relaxed), and the older version that Debezium's `strict` mode writes.

use std::borrow::Cow;

use crate::{
    event::in_range,
    json::{Cursor, Kind, RawJson, Text},
    logical::{Encoding, Logical, Unit},
    number::Number,
    time,
    value::{Form, Temporal, TemporalKind, Value},
};

/// Whether the value at the cursor is an object whose first key begins with a dollar sign, which may be a wrapper of a typed value.
pub(crate) fn is_wrapper(cursor: &Cursor<'_>) -> bool {
    let mut ahead = cursor.clone();
    if ahead.peek() != Some(b'{') {
        return false;
    }
    ahead.bump();
    ahead.key().is_some_and(|key| key.text.starts_with('$'))
}

/// A value without its wrapper. An object that is not a known wrapper is returned as a document.
pub(crate) fn value(raw: RawJson<'_>) -> Value<'_> {
    match raw.kind() {
        // Most wrappers can be recognized by their first bytes.
        Kind::Object if raw.get().starts_with("{\"$") || is_wrapper(&Cursor::new(raw)) => {
            unwrapped(raw).unwrap_or(Value::Document(raw, Form::Json))
        }
        Kind::Array | Kind::Object => Value::Document(raw, Form::Extended),
        Kind::Null | Kind::Bool(_) | Kind::Number | Kind::String => Value::of_json(raw),
    }
}

static MILLIS: Logical = Logical::Timestamp(Unit::Millis);
static BASE64: Logical = Logical::Bytes(Encoding::Base64);

fn unwrapped(raw: RawJson<'_>) -> Option<Value<'_>> {
    let mut members = raw.members();
    let (name, inner, second) = match raw.only_string() {
        Some((name, inner)) => (Cow::Borrowed(name), inner, None),
        None => {
            let (name, inner) = members.next()?;
            (name, inner, members.next())
        }
    };
    match (&*name, second) {
        ("$oid" | "$symbol" | "$code" | "$uuid", None) => Some(Value::text(inner.string()?)),
        ("$numberInt" | "$numberLong" | "$numberDouble" | "$numberDecimal", None) => number(inner.digits()?),
        ("$date", None) => date(inner),
        ("$undefined", None) => Some(Value::Null),
        // {"$binary": {"base64": …, "subType": "00"}}
        ("$binary", None) => binary(inner.member("base64")?, inner.member("subType")),
        // {"$binary": …, "$type": "00"}
        ("$binary", Some((kind, subtype))) if kind == "$type" && members.next().is_none() => {
            binary(inner, Some(subtype))
        }
        _ => None,
    }
}

fn number(digits: Cow<'_, str>) -> Option<Value<'_>> {
    match Value::not_finite(&digits) {
        Some(name) => Some(Value::NotFinite(name)),
        // `1E+3` and `-0` are valid numbers in JSON too.
        None => Number::is_valid(&digits).then_some(Value::Number(digits)),
    }
}

fn date(inner: RawJson<'_>) -> Option<Value<'_>> {
    let millis = match inner.kind() {
        Kind::Object => inner.member("$numberLong")?.digits()?,
        Kind::Number => Cow::Borrowed(inner.get()),
        Kind::String => {
            let text = inner.string()?;
            let time::Read { micros, cut } = time::read_instant(&text)?;
            let kind = TemporalKind::Timestamp;
            return Some(Value::Temporal(Temporal { kind, count: in_range(micros)?, cut, raw: text }));
        }
        Kind::Null | Kind::Bool(_) | Kind::Array => return None,
    };
    Some(Value::Number(millis).decoded(&MILLIS))
}

fn binary<'a>(text: RawJson<'a>, subtype: Option<RawJson<'a>>) -> Option<Value<'a>> {
    let text = text.string()?;
    let is_uuid = subtype.and_then(RawJson::string).is_some_and(|subtype| matches!(&*subtype, "04" | "4"));
    match Encoding::Base64.decode(&text) {
        Some(bytes) if is_uuid && bytes.len() == 16 => {
            let digits = hex::encode(bytes);
            let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
            Some(Value::text(parts.join("-")))
        }
        Some(_) => Some(Value::Text(Text { text, repaired: false }).decoded(&BASE64)),
        None => None,
    }
}
