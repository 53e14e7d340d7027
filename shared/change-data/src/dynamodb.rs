//! Reads DynamoDB's typed JSON: `{"S": "text"}`, `{"N": "12"}`, `{"B": "base64"}`, `{"M": {…}}`, `{"L": […]}` …

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
    let mut members = raw.members();
    let (kind, inner) = members.next()?;
    if members.next().is_some() {
        return None;
    }
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
