//! Parses YAML and JSON and records the position of each value.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use serde_json::{Map, Number, Value};

use crate::place::{JsonPath, Place, Problem};

/// A parsed document with the positions of its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    value: Value,
    file: Option<String>,
    /// JSON path to line and column, both from 1. The position of a member is that of its key; the position of an element is that of
    /// its first character.
    positions: BTreeMap<JsonPath, (u32, u32)>,
}

impl Located {
    /// The value of the whole document.
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// Path of the file; `None` for an item of the configuration table.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The place of the value at `path`.
    pub fn place(&self, path: &JsonPath) -> Place {
        let position = self.positions.get(path);
        Place {
            file: self.file.clone(),
            line: position.map(|(line, _)| *line),
            column: position.map(|(_, column)| *column),
            path: Some(path.to_string()),
        }
    }

    /// Creates a problem at the place of `path`.
    pub fn problem(&self, path: &JsonPath, message: impl Into<String>) -> Problem {
        Problem::new(self.place(path), message)
    }
}

/// Wraps an item of the configuration table. Its places have a JSON path only.
pub fn read_item(value: Value) -> Located {
    Located { value, file: None, positions: BTreeMap::new() }
}

/// Parses YAML 1.2, which includes JSON. Problems name the file as `file`.
///
/// Anchors and aliases, tags, several documents in one file, keys that are not strings, and duplicate keys are refused, each with its own
/// message.
pub fn read_file(file: &str, text: &str) -> Result<Located, Vec<Problem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader =
        Reader { parser: Parser::new_from_str(text), file, positions: BTreeMap::new(), problems: Vec::new() };
    let value = match reader.document() {
        Ok(value) => value,
        Err(fatal) => {
            reader.problems.push(*fatal);
            Value::Null
        }
    };
    if reader.problems.is_empty() {
        Ok(Located { value, file: Some(file.into()), positions: reader.positions })
    } else {
        Err(reader.problems)
    }
}

/// Maximum nesting depth. Functions that walk a document recursively would overflow their stack on a deeper one.
const DEPTH: usize = 64;

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    file: &'a str,
    positions: BTreeMap<JsonPath, (u32, u32)>,
    problems: Vec<Problem>,
}

/// A problem after which the parser cannot continue. Boxed because `Problem` is large.
type Fatal = Box<Problem>;

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Value, Fatal> {
        let path = JsonPath::root();
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
                // A file without a value is null; the schema decides whether null is allowed.
                Event::StreamEnd | Event::DocumentEnd => {
                    self.positions.insert(path, (1, 1));
                    return Ok(Value::Null);
                }
                Event::Alias(_)
                | Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..)
                | Event::MappingEnd => {
                    self.positions.insert(path.clone(), position(span));
                    let value = self.node(event, span, &path, 0)?;
                    return self.end(value);
                }
            }
        }
    }

    /// Reads to the end of the file and refuses a second document.
    fn end(&mut self, value: Value) -> Result<Value, Fatal> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::DocumentStart(_) => {
                    return Err(self
                        .problem(span, &JsonPath::root(), "a second document begins here")
                        .hint("write one document in each file")
                        .into());
                }
                Event::StreamEnd => return Ok(value),
                Event::Nothing
                | Event::StreamStart
                | Event::DocumentEnd
                | Event::Alias(_)
                | Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..)
                | Event::MappingEnd => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Fatal> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => {
                let at = *error.marker();
                let problem = self.problem(
                    Span::empty(at),
                    &JsonPath::root(),
                    &format!("this is not valid YAML: {}", error.info()),
                );
                Err(if error.info().contains("tab") { problem.hint("indent with spaces") } else { problem }.into())
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, path: &JsonPath, depth: usize) -> Result<Value, Fatal> {
        if depth > DEPTH {
            return Err(self
                .problem(span, path, &format!("the document is nested more than {DEPTH} levels deep"))
                .into());
        }
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag) | Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
                (*anchor, tag.as_ref().map(ToString::to_string))
            }
            Event::Alias(anchor) => (*anchor, None),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => (0, None),
        };
        if anchor != 0 {
            let problem = self.problem(span, path, "anchors (`&`) and aliases (`*`) are not supported");
            self.problems.push(problem.hint("repeat the value, or put it in quotes if it is a string"));
        }
        if let Some(tag) = tag {
            let problem = self.problem(span, path, &format!("tags such as `{tag}` are not supported"));
            self.problems.push(problem.hint("put the value in quotes if it is a string"));
        }
        match event {
            Event::Scalar(text, style, _, _) => Ok(scalar(&text, style)),
            Event::SequenceStart(..) => self.sequence(path, depth),
            Event::MappingStart(..) => self.mapping(path, depth),
            Event::Alias(_)
            | Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => Ok(Value::Null),
        }
    }

    fn sequence(&mut self, path: &JsonPath, depth: usize) -> Result<Value, Fatal> {
        let mut elements = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd | Event::StreamEnd) {
                return Ok(Value::Array(elements));
            }
            let path = path.index(elements.len());
            self.positions.insert(path.clone(), position(span));
            elements.push(self.node(event, span, &path, depth + 1)?);
        }
    }

    fn mapping(&mut self, path: &JsonPath, depth: usize) -> Result<Value, Fatal> {
        let mut members = Map::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd | Event::StreamEnd => return Ok(Value::Object(members)),
                Event::Scalar(text, _, 0, None) => text.into_owned(),
                Event::Alias(_)
                | Event::Nothing
                | Event::StreamStart
                | Event::DocumentStart(_)
                | Event::DocumentEnd
                | Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..) => {
                    return Err(self.problem(span, path, "a key must be a string").into());
                }
            };
            let path = path.key(&key);
            if let Some((line, _)) = self.positions.insert(path.clone(), position(span)) {
                let problem = self.problem(span, &path, &format!("the key `{key}` is a duplicate"));
                self.problems.push(problem.hint(format!("the first `{key}` is on line {line}: remove one of them")));
            }
            let (event, span) = self.next()?;
            let value = self.node(event, span, &path, depth + 1)?;
            members.insert(key, value);
        }
    }

    fn problem(&self, span: Span, path: &JsonPath, message: &str) -> Problem {
        let (line, column) = position(span);
        let path = Some(path.to_string()).filter(|path| path != "$");
        Problem::new(Place { file: Some(self.file.into()), line: Some(line), column: Some(column), path }, message)
    }
}

fn position(span: Span) -> (u32, u32) {
    let from_one = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    // The parser counts lines from 1 and columns from 0.
    (from_one(span.start.line().max(1)), from_one(span.start.col()).saturating_add(1))
}

/// Resolves a scalar by the core schema of YAML 1.2: `y`, `no` and `2026-03-01` are strings.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::from(text);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        // Numbers follow the grammar of JSON, so that 1_000, 0x10, 007 and .5 are strings.
        text => text.parse::<Number>().map_or_else(|_| Value::from(text), Value::Number),
    }
}
