//! `Fn::ForEach`, expanded as the transform `AWS::LanguageExtensions` expands it.
//!
//! The transform replaces the identifier of a loop in three places: in the keys of the loop's fragment, in the text of
//! `Fn::Sub`, and where `Ref` names it. In any other text the identifier stays as it is written, so this module leaves it too:
//! the check of the template then finds what AWS would not resolve. Values of `Fn::FindInMap` are looked up as well, since a
//! loop takes what differs between its resources from a mapping.

use serde_json::{Map, Value, json};

/// The template with every loop of `Resources` and `Outputs` expanded.
///
/// # Errors
/// A loop that is not `[identifier, [value, …], { key: value }]`, or two resources of the same logical ID.
pub fn expand(mut template: Value) -> Result<Value, String> {
    let mappings = template["Mappings"].clone();
    for section in ["Resources", "Outputs"] {
        let Some(members) = template[section].as_object() else { continue };
        let mut expanded = Map::new();
        for (key, value) in members {
            let Some(name) = key.strip_prefix("Fn::ForEach::") else {
                insert(&mut expanded, key, value.clone())?;
                continue;
            };
            let (identifier, items, fragment) =
                parts(value).ok_or_else(|| format!("{section}.{key}: expected [identifier, [value, …], fragment]"))?;
            for item in items {
                let item = item.as_str().ok_or_else(|| format!("{section}: loop {name}: `{item}` is not a text"))?;
                for (key, value) in fragment {
                    let scope = Scope { mappings: &mappings, identifier, item };
                    insert(&mut expanded, &scope.text(key), scope.value(value))?;
                }
            }
        }
        template[section] = expanded.into();
    }
    Ok(template)
}

fn parts(looped: &Value) -> Option<(&str, &Vec<Value>, &Map<String, Value>)> {
    match looped.as_array()?.as_slice() {
        [identifier, items, fragment] => Some((identifier.as_str()?, items.as_array()?, fragment.as_object()?)),
        _ => None,
    }
}

fn insert(members: &mut Map<String, Value>, key: &str, value: Value) -> Result<(), String> {
    match members.insert(key.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(format!("{key} is in the template twice")),
    }
}

struct Scope<'a> {
    mappings: &'a Value,
    identifier: &'a str,
    item: &'a str,
}

impl Scope<'_> {
    fn text(&self, text: &str) -> String {
        text.replace(&format!("${{{}}}", self.identifier), self.item)
    }

    fn value(&self, value: &Value) -> Value {
        match value {
            Value::Object(members) => match members.iter().next() {
                Some((function, name)) if function == "Ref" && name == self.identifier => self.item.into(),
                // `!Ref { "Fn::Sub": "${Function}Role" }` names a resource of the loop.
                Some((function, name)) if function == "Ref" && name["Fn::Sub"].is_string() => {
                    json!({ "Ref": self.value(name) })
                }
                Some((function, Value::String(text))) if function == "Fn::Sub" => substituted(&self.text(text)),
                Some((function, Value::Array(arguments))) if function == "Fn::FindInMap" => self.mapped(arguments),
                _ => {
                    members.iter().map(|(name, value)| (name.clone(), self.value(value))).collect::<Map<_, _>>().into()
                }
            },
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            other => other.clone(),
        }
    }

    fn mapped(&self, arguments: &[Value]) -> Value {
        let arguments: Vec<_> = arguments.iter().map(|argument| self.value(argument)).collect();
        let key = |at: usize| arguments.get(at).and_then(Value::as_str).unwrap_or_default();
        let found = &self.mappings[key(0)][key(1)][key(2)];
        if !found.is_null() {
            return found.clone();
        }
        arguments.get(3).map_or(Value::Null, |default| default["DefaultValue"].clone())
    }
}

/// An `Fn::Sub`, or its text where no variable is left.
fn substituted(text: &str) -> Value {
    if text.contains("${") { json!({ "Fn::Sub": text }) } else { text.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::expand;

    #[test]
    fn a_loop_becomes_its_resources() {
        let template = json!({
            "Mappings": { "Periods": { "B": { "Seconds": 60 } } },
            "Resources": {
                "Fn::ForEach::Things": ["Name", ["A", "B"], {
                    "${Name}Thing": {
                        "Of": { "Ref": { "Fn::Sub": "${Name}Function" } },
                        "Called": { "Ref": "Name" },
                        "Text": { "Fn::Sub": "${Name} in ${AWS::Region}" },
                        "Plain": "${Name}",
                        "Period": { "Fn::FindInMap": ["Periods", { "Ref": "Name" }, "Seconds", { "DefaultValue": 300 }] },
                    },
                }],
            },
        });
        let thing = |name: &str, period: u64| {
            json!({
                "Of": { "Ref": format!("{name}Function") },
                "Called": name,
                "Text": { "Fn::Sub": format!("{name} in ${{AWS::Region}}") },
                "Plain": "${Name}",
                "Period": period,
            })
        };
        let resources = expand(template).map(|template| template["Resources"].clone());
        assert_eq!(resources, Ok(json!({ "AThing": thing("A", 300), "BThing": thing("B", 60) })));
    }

    #[test]
    fn a_resource_that_a_loop_makes_again_is_refused() {
        let template = json!({ "Resources": {
            "AThing": {},
            "Fn::ForEach::Things": ["Name", ["A"], { "${Name}Thing": {} }],
        } });
        assert_eq!(expand(template), Err("AThing is in the template twice".into()));
    }
}
