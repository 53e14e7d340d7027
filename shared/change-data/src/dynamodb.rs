//! Reads DynamoDB's typed JSON: `{"S": "text"}`, `{"N": "12"}`, `{"B": "base64"}`, `{"M": {…}}`, `{"L": […]}` …

use std::borrow::Cow;

use crate::{
    json::{Kind, RawJson, Text},
    logical::{Encoding, Logical},
    number::Number,
    value::{Form, Value},
};

static BASE64: Logical = Logical::Bytes(Encoding::Base64);

/// A value without its type. JSON that is not typed is returned as a document.
pub(crate) fn value(raw: RawJson<'_>) -> Value<'_> {
    typed(raw).unwrap_or(match raw.kind() {
        Kind::Object | Kind::Array => Value::Document(raw, Form::Typed),
        Kind::Null | Kind::Bool(_) | Kind::Number | Kind::String => Value::of_json(raw),
    })
}

fn typed(raw: RawJson<'_>) -> Option<Value<'_>> {
    let (kind, inner) = match raw.only_string() {
        Some((kind, inner)) => (Cow::Borrowed(kind), inner),
        None => only_member(raw)?,
    };
    match (&*kind, inner.kind()) {
        ("S", Kind::String) => inner.text().map(Value::Text),
        ("N", Kind::String) => {
            let digits = inner.string()?;
            Number::is_valid(&digits).then_some(Value::Number(digits))
        }
        ("B", Kind::String) => Some(Value::Text(Text { text: inner.string()?, repaired: false }).decoded(&BASE64)),
        ("BOOL", Kind::Bool(value)) => Some(Value::Bool(value)),
        ("NULL", Kind::Bool(_)) => Some(Value::Null),
        _ => None,
    }
}

fn only_member(raw: RawJson<'_>) -> Option<(Cow<'_, str>, RawJson<'_>)> {
    let mut members = raw.members();
    let member = members.next()?;
    members.next().is_none().then_some(member)
}
