//! CloudFormation's YAML, with short forms such as `!Ref` written out.

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};
use serde_json::{Map, Number, Value, json};

/// Reads a template. CloudFormation does not support aliases, and neither does this reader.
///
/// # Errors
/// The message of the parser, with line and column, or the first construct that CloudFormation does not support.
pub fn read(text: &str) -> Result<Value, String> {
    let mut reader = Reader(Parser::new_from_str(text));
    loop {
        match reader.next()? {
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            first => return reader.node(first),
        }
    }
}

struct Reader<'a>(Parser<'a, StrInput<'a>>);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Event<'a>, String> {
        match self.0.next_event() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("the text ends within the document".into()),
        }
    }

    fn node(&mut self, first: Event<'a>) -> Result<Value, String> {
        match first {
            Event::Scalar(text, style, _, tag) => Ok(tagged(tag.as_deref(), scalar(&text, style))),
            Event::SequenceStart(_, tag) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => return Ok(tagged(tag.as_deref(), items.into())),
                        item => items.push(self.node(item)?),
                    }
                }
            }
            Event::MappingStart(_, tag) => {
                let mut members = Map::new();
                loop {
                    let key = match self.next()? {
                        Event::MappingEnd => return Ok(tagged(tag.as_deref(), members.into())),
                        Event::Scalar(key, ..) => key.into_owned(),
                        other => return Err(format!("a key must be a text, found {other:?}")),
                    };
                    let first = self.next()?;
                    let value = self.node(first)?;
                    if members.insert(key.clone(), value).is_some() {
                        return Err(format!("`{key}` is written twice in one place"));
                    }
                }
            }
            other => Err(format!("CloudFormation does not support {other:?}")),
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return text.into();
    }
    match text {
        "true" => true.into(),
        "false" => false.into(),
        "" | "~" | "null" => Value::Null,
        number => number.parse::<i64>().map_or_else(|_| text.into(), |number| Value::Number(Number::from(number))),
    }
}

fn tagged(tag: Option<&Tag>, value: Value) -> Value {
    let Some(tag) = tag.filter(|tag| tag.handle == "!") else { return value };
    match (tag.suffix.as_str(), value) {
        ("Ref", value) => json!({ "Ref": value }),
        ("Condition", value) => json!({ "Condition": value }),
        ("GetAtt", Value::String(path)) => {
            let (resource, attribute) = path.split_once('.').unwrap_or((&path, ""));
            json!({ "Fn::GetAtt": [resource, attribute] })
        }
        (function, value) => json!({ format!("Fn::{function}"): value }),
    }
}
