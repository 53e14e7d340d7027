//! Validates a document against a JSON Schema and collects all mismatches. (serde stops at the first mismatch.) The schemas are generated
//! from types, so only the keywords that schemars writes are supported.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    place::{JsonPath, Problem, is_misspelling, list, nearest},
    quantity::{ByteSize, Duration},
    reader::Located,
    role::IamRole,
};

/// The mismatches of a document, and what to change so that the document can be deserialized in spite of them.
#[derive(Debug, Default)]
pub struct SchemaMismatches {
    /// One problem for each mismatch.
    pub problems: Vec<Problem>,
    /// The fields that the schema does not have.
    pub unknown: Vec<UnknownField>,
    droppable: Vec<JsonPath>,
    /// For each value that does not match, the value that replaces it; `None` for a field that can be left out.
    repairs: BTreeMap<JsonPath, Option<Value>>,
    /// For each object, its required fields that are missing, with a value.
    missing: BTreeMap<JsonPath, Vec<(String, Value)>>,
}

/// A field that the schema does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownField {
    /// Path of the field.
    pub path: JsonPath,
    /// True if the name is probably a misspelt name of a field that the object does not have.
    pub is_misspelt: bool,
}

impl SchemaMismatches {
    /// Returns `value` without the members that do not match. Checks that need a deserialized document can then run on the remaining
    /// members, so that their problems are reported together with the mismatches.
    pub fn without(&self, value: &Value) -> Value {
        prune(value, &JsonPath::root(), &self.droppable)
    }

    /// Replaces a value that does not match, so that [`SchemaMismatches::repaired`] has `with` at this path.
    pub fn repair(&mut self, path: &JsonPath, with: Value) {
        self.repairs.insert(path.clone(), Some(with));
    }

    /// Returns `value` in a form that matches the schema: optional fields that do not match are left out, and required fields and elements
    /// are replaced by a value of their type. Checks of the result find problems in all other parts of the document. A problem that
    /// [`SchemaMismatches::explains`] is a consequence of a replaced value.
    pub fn repaired(&self, value: &Value) -> Value {
        self.repaired_at(value, &JsonPath::root()).unwrap_or_default()
    }

    /// Returns true if the problem is about a value that does not match the schema.
    pub fn explains(&self, problem: &Problem) -> bool {
        problem.place.path.as_deref().is_some_and(|path| self.covers(path))
    }

    /// Returns true if a value at this path, or the value that contains it, does not match the schema or is missing.
    pub fn covers(&self, path: &str) -> bool {
        let is_at_or_below = |of: &str| {
            path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with('['))
        };
        let mut missing =
            self.missing.iter().flat_map(|(path, fields)| fields.iter().map(|(field, _)| path.key(field)));
        self.repairs.keys().any(|path| is_at_or_below(&path.to_string()))
            || missing.any(|path| is_at_or_below(&path.to_string()))
    }

    fn repaired_at(&self, value: &Value, path: &JsonPath) -> Option<Value> {
        if let Some(repair) = self.repairs.get(path) {
            return repair.clone();
        }
        Some(match value {
            Value::Object(members) => {
                let kept = members
                    .iter()
                    .filter_map(|(key, member)| Some((key.clone(), self.repaired_at(member, &path.key(key))?)));
                let missing = self.missing.get(path).into_iter().flatten().cloned();
                kept.chain(missing).collect::<Map<_, _>>().into()
            }
            Value::Array(elements) => {
                let elements = elements.iter().enumerate();
                elements.filter_map(|(i, element)| self.repaired_at(element, &path.index(i))).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        })
    }
}

fn prune(value: &Value, path: &JsonPath, droppable: &[JsonPath]) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().map(|(key, member)| (key, path.key(key), member));
            kept.filter(|(_, path, _)| !droppable.contains(path))
                .map(|(key, path, member)| (key.clone(), prune(member, &path, droppable)))
                .collect::<Map<_, _>>()
                .into()
        }
        Value::Array(elements) => {
            elements.iter().enumerate().map(|(i, element)| prune(element, &path.index(i), droppable)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// The result of [`ChooseDefinition`].
#[derive(Debug)]
pub enum DefinitionChoice {
    /// The value is valid; skip validation.
    Fits,
    /// Validate the value against the definition of this name.
    Definition(String),
    /// The value matches no definition.
    Problem(Box<Problem>),
}

/// Chooses how to validate a value that a `$ref` refers to, given the definition's name, the value and its path. `None` validates the value
/// against the named definition.
pub type ChooseDefinition<'a> = &'a dyn Fn(&str, &Value, &JsonPath) -> Option<DefinitionChoice>;

/// Validates a document.
pub fn check(doc: &Located, schema: &Value) -> SchemaMismatches {
    check_with_choices(doc, schema, &|_, _, _| None)
}

/// Validates a document in which a field selects the definition of an object: the fields of a job depend on its kind.
pub fn check_with_choices(doc: &Located, schema: &Value, choose: ChooseDefinition) -> SchemaMismatches {
    let mut check = Check { doc, root: schema, choose, mismatches: SchemaMismatches::default() };
    check.value(schema, doc.value(), &JsonPath::root());
    check.mismatches
}

struct Check<'a> {
    doc: &'a Located,
    root: &'a Value,
    choose: ChooseDefinition<'a>,
    mismatches: SchemaMismatches,
}

impl<'a> Check<'a> {
    fn mismatch(&mut self, schema: &Value, path: &JsonPath, problem: Problem) {
        let valid = self.any_value(schema);
        self.mismatches.problems.push(problem);
        self.mismatches.droppable.push(path.clone());
        self.mismatches.repairs.insert(path.clone(), Some(valid));
    }

    /// A value that matches the schema.
    fn any_value(&self, schema: &Value) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            return self.any_value(&self.root["$defs"][reference.trim_start_matches("#/$defs/")]);
        }
        if let Some(real) = schema["anyOf"].as_array().and_then(|of| of.iter().find(|one| one["type"] != "null")) {
            return self.any_value(real);
        }
        if let Some(word) = allowed_words(schema).first() {
            return (*word).into();
        }
        match (schema["format"].as_str(), first_type(schema)) {
            (Some(Duration::FORMAT), _) => "1s".into(),
            (Some(ByteSize::FORMAT), _) => "1 B".into(),
            (Some(IamRole::FORMAT), _) => "default".into(),
            (_, Some("string")) => "".into(),
            (_, Some("integer" | "number")) => schema["minimum"].as_i64().unwrap_or_default().into(),
            (_, Some("boolean")) => false.into(),
            (_, Some("array")) => Value::Array(Vec::new()),
            (_, Some("object")) => {
                let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let members = required.map(|name| (name.to_owned(), self.any_value(&schema["properties"][name])));
                members.collect::<Map<_, _>>().into()
            }
            (_, Some(_) | None) => Value::Null,
        }
    }

    fn value(&mut self, schema: &'a Value, value: &Value, path: &JsonPath) {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.trim_start_matches("#/$defs/");
            match (self.choose)(name, value, path) {
                None => self.value(&self.root["$defs"][name], value, path),
                Some(DefinitionChoice::Fits) => {}
                Some(DefinitionChoice::Definition(name)) => self.value(&self.root["$defs"][name], value, path),
                Some(DefinitionChoice::Problem(problem)) => {
                    let valid = self.any_value(&self.root["$defs"][name]);
                    self.mismatches.problems.push(*problem);
                    self.mismatches.repairs.insert(path.clone(), Some(valid));
                }
            }
            return;
        }
        if let Some(options) = schema["anyOf"].as_array() {
            // schemars writes `anyOf` for optional values; all other `anyOf` are in definitions for which `choose` returns a result.
            let real = options.iter().find(|option| option["type"] != "null");
            if !value.is_null()
                && let Some(real) = real
            {
                self.value(real, value, path);
            }
            return;
        }
        let words = allowed_words(schema);
        if !words.is_empty() {
            return self.word(schema, &words, value, path);
        }
        if !self.type_fits(schema, value, path) || !self.format_fits(schema, value, path) {
            return;
        }
        match value {
            Value::Object(members) => self.object(schema, members, path),
            Value::Array(elements) => {
                for (i, element) in elements.iter().enumerate() {
                    self.value(&schema["items"], element, &path.index(i));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn word(&mut self, schema: &Value, words: &[&str], value: &Value, path: &JsonPath) {
        let Some(text) = value.as_str() else {
            let problem = self
                .doc
                .problem(path, format!("expected one of {}, found {}", list(words.iter().copied()), found(value)));
            return self.mismatch(schema, path, problem);
        };
        if !words.contains(&text) {
            let problem =
                self.doc.problem(path, format!("expected one of {}, found `{text}`", list(words.iter().copied())));
            self.mismatch(schema, path, problem.did_you_mean(text, words.iter().copied()));
        }
    }

    fn type_fits(&mut self, schema: &Value, value: &Value, path: &JsonPath) -> bool {
        let types = types(schema);
        if types.is_empty() {
            return true;
        }
        let fits = types.iter().any(|name| match (*name, value) {
            ("null", Value::Null)
            | ("boolean", Value::Bool(_))
            | ("number", Value::Number(_))
            | ("string", Value::String(_))
            | ("array", Value::Array(_))
            | ("object", Value::Object(_)) => true,
            ("integer", Value::Number(n)) => n.is_u64() || n.is_i64(),
            _ => false,
        });
        let Some(expected) = types.first().filter(|_| !fits) else {
            return self.range_fits(schema, value, path);
        };
        let problem = self.doc.problem(path, format!("expected {}, found {}", type_name(expected), found(value)));
        let quotes = *expected == "string" && matches!(value, Value::Number(_) | Value::Bool(_));
        self.mismatch(schema, path, if quotes { problem.hint("put the value in quotes") } else { problem });
        false
    }

    fn range_fits(&mut self, schema: &Value, value: &Value, path: &JsonPath) -> bool {
        let (minimum, maximum) = (schema["minimum"].as_i64(), schema["maximum"].as_i64());
        // For an unsigned integer schemars writes `minimum: 0` and leaves the maximum to `format`.
        let maximum = maximum.or((schema["format"] == "uint32").then_some(i64::from(u32::MAX)));
        let (Some(minimum), Some(maximum), Value::Number(number)) = (minimum, maximum, value) else {
            return true;
        };
        let fits = number.as_i64().is_some_and(|n| (minimum..=maximum).contains(&n));
        if !fits {
            let problem =
                self.doc.problem(path, format!("expected a number from {minimum} to {maximum}, found {number}"));
            self.mismatch(schema, path, problem);
        }
        fits
    }

    /// Validates a value by its `format`. Formats that are not listed here are ignored.
    fn format_fits(&mut self, schema: &Value, value: &Value, path: &JsonPath) -> bool {
        let (problem, hint) = match (schema["format"].as_str(), value) {
            (Some(Duration::FORMAT), Value::String(text)) => (text.parse::<Duration>().err(), Duration::HINT),
            (Some(ByteSize::FORMAT), Value::String(text)) => (text.parse::<ByteSize>().err(), ByteSize::HINT),
            (Some(IamRole::FORMAT), Value::String(text)) => (text.parse::<IamRole>().err(), IamRole::HINT),
            (Some(IamRole::FORMAT), Value::Array(parts)) => {
                match parts.iter().map(Value::as_str).collect::<Option<Vec<_>>>() {
                    Some(parts) => (IamRole::read(&parts).err(), IamRole::HINT),
                    // The schema of the elements reports this mismatch.
                    None => return true,
                }
            }
            _ => return true,
        };
        let Some(problem) = problem else { return true };
        let problem = self.doc.problem(path, problem).hint(hint);
        self.mismatch(schema, path, problem);
        false
    }

    fn object(&mut self, schema: &'a Value, members: &Map<String, Value>, path: &JsonPath) {
        let known = schema["properties"].as_object();
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !members.contains_key(required) {
                let problem = self.doc.problem(path, format!("`{required}` is missing"));
                let about = known.and_then(|known| known[required]["description"].as_str());
                let problem = match about {
                    Some(about) => problem.hint(first_sentence(about)),
                    None => problem,
                };
                self.mismatches.problems.push(problem);
                let valid = self.any_value(known.map_or(&Value::Null, |known| &known[required]));
                self.mismatches.missing.entry(path.clone()).or_default().push((required.to_owned(), valid));
            }
        }
        let is_required =
            |key: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|name| name == key));
        let before = self.mismatches.droppable.len();
        // Features of `serde_json` decide the order of an object, so problems are reported in the order of the names.
        let in_order: BTreeMap<_, _> = members.iter().collect();
        for (key, member) in in_order {
            let path = path.key(key);
            if let Some(property) = known.and_then(|known| known.get(key)) {
                self.value(property, member, &path);
            } else if schema["additionalProperties"] == false {
                let names = known.into_iter().flatten().map(|(name, _)| name.as_str());
                // A field that the object has already is not the one that was meant.
                let absent = names.clone().filter(|name| !members.contains_key(*name));
                let is_misspelt = names.clone().any(|name| is_misspelling(key, name));
                let problem = self.doc.problem(&path, format!("unknown field `{key}`"));
                let problem = if nearest(key, absent.clone()).is_some() {
                    problem.did_you_mean(key, absent)
                } else {
                    problem.one_of(key, names)
                };
                self.mismatch(&Value::Null, &path, problem);
                self.mismatches.unknown.push(UnknownField { path, is_misspelt });
            } else {
                self.value(&schema["additionalProperties"], member, &path);
            }
        }
        // An optional field is left out. A member of a map is replaced, because its name can be used elsewhere.
        let is_map_member =
            |key: &str| !known.is_some_and(|known| known.contains_key(key)) && schema["additionalProperties"] != false;
        for key in members.keys().filter(|key| !is_required(key) && !is_map_member(key)) {
            if let Some(repair) = self.mismatches.repairs.get_mut(&path.key(key)) {
                *repair = None;
            }
        }
        // An object without a required member cannot be deserialized, so it is removed as a whole.
        let dropped = &self.mismatches.droppable[before..];
        if members.keys().any(|key| is_required(key) && dropped.contains(&path.key(key))) {
            self.mismatches.droppable.push(path.clone());
        }
    }
}

/// The strings that an `enum`, a `const` or a `oneOf` of both allows. schemars writes an enum with documented variants as a `oneOf`.
fn allowed_words(schema: &Value) -> Vec<&str> {
    let listed = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let one_of = schema["oneOf"].as_array().into_iter().flatten().flat_map(allowed_words);
    listed.chain(schema["const"].as_str()).chain(one_of).collect()
}

/// The types that a schema allows; empty if it allows all.
fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

fn first_type(schema: &Value) -> Option<&str> {
    types(schema).into_iter().find(|name| *name != "null")
}

fn first_sentence(text: &str) -> String {
    let line = text.split("\n\n").next().unwrap_or(text).replace('\n', " ");
    line.split(". ").next().unwrap_or(&line).trim_end_matches('.').to_owned()
}

fn type_name(json_type: &str) -> &str {
    match json_type {
        "string" => "a string",
        "integer" => "an integer",
        "number" => "a number",
        "boolean" => "`true` or `false`",
        "array" => "a list",
        "object" => "an object",
        other => other,
    }
}

/// Describes a value in a message: short scalars with their value, others by their type.
pub fn found(value: &Value) -> String {
    match value {
        Value::Null => "no value".into(),
        Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
        Value::String(text) if text.chars().count() <= 60 => format!("the string `{text}`"),
        Value::String(_) => "a string".into(),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{Duration, read_checked, read_file};

    #[derive(Debug, serde::Deserialize)]
    struct Outer {
        name: String,
        work: Option<Work>,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Work {
        #[allow(dead_code, reason = "the member decides whether the object can be read")]
        within: Duration,
    }

    #[test]
    fn a_repaired_document_matches_the_schema_and_keeps_what_matched() {
        let schema = json!({ "type": "object", "required": ["name", "kept", "works"], "properties": {
            "name": { "type": "string" },
            "kept": { "type": "integer" },
            "mode": { "enum": ["a", "b"] },
            "works": { "type": "array", "items": { "$ref": "#/$defs/Work" } } },
            "additionalProperties": false,
            "$defs": { "Work": { "type": "object", "required": ["within", "mode"], "properties": {
                "within": { "type": "string", "format": Duration::FORMAT },
                "mode": { "oneOf": [{ "const": "x" }, { "const": "y" }] } } } } });
        let text = "kept: 1\nmode: c\nother: 2\nworks: [3, { mode: z, within: 2h }, { within: soon }]\n";
        let doc = read_file("x.yaml", text).unwrap();
        let mismatches = super::check(&doc, &schema);
        let repaired = mismatches.repaired(doc.value());
        assert_eq!(
            repaired,
            json!({ "name": "", "kept": 1, "works": [
                { "within": "1s", "mode": "x" }, { "within": "2h", "mode": "x" }, { "within": "1s", "mode": "x" }] })
        );
        let again = crate::read_item(repaired);
        assert_eq!(super::check(&again, &schema).problems, []);
        assert_eq!(
            mismatches.unknown,
            [super::UnknownField { path: crate::JsonPath::root().key("other"), is_misspelt: false }]
        );
        for (path, covered) in [
            ("$.name", true),
            ("$.works[0].mode", true),
            ("$.works[1].mode", true),
            ("$.works[1]", false),
            ("$.works[1].within", false),
            ("$.works[2].mode", true),
            ("$.kept", false),
            ("$.names", false),
        ] {
            assert_eq!(mismatches.covers(path), covered, "{path}");
        }
    }

    #[test]
    fn an_object_whose_required_member_does_not_fit_is_left_out_of_the_check() {
        let schema = json!({ "type": "object", "required": ["name"], "properties": {
            "name": { "type": "string" },
            "work": { "type": "object", "required": ["within"], "properties": {
                "within": { "type": "string", "format": Duration::FORMAT } } } } });
        let doc = read_file("x.yaml", "name: Mine\nwork: { within: soon }\n").unwrap();
        let problems = read_checked(&doc, &schema, |outer: &Outer, problems| {
            assert!(outer.work.is_none());
            problems.push(crate::Problem::new(crate::Place::default(), format!("{} is checked", outer.name)));
        })
        .unwrap_err();
        let messages: Vec<String> = problems.iter().map(|problem| problem.message.clone()).collect();
        assert_eq!(messages, ["Mine is checked", "`soon` is not a valid duration"]);
    }
}
