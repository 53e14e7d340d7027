//! JSON Schemas that are generated from the types. Editors use them, and [`shiftwork_config::shape`] validates documents with them.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use shiftwork_protocol::{Connection, Workflow, workflow::FullJob};

use crate::kind;

/// Returns the JSON Schema (2020-12) of a workflow file. It has one definition for each kind of job, with the fields of that kind.
pub fn workflow_schema() -> Value {
    let mut generator = SchemaGenerator::default();
    let mut schema = generator.root_schema_for::<Workflow>().to_value();
    let common = object::<FullJob>(&mut generator);
    let kinds: Vec<(String, Value)> =
        kind::REGISTRY.iter().map(|entry| (definition(entry), job(&common, entry, &mut generator))).collect();
    // Definitions to which only the kinds refer.
    for (name, definition) in generator.take_definitions(true) {
        schema["$defs"][name] = definition;
    }
    let job = &mut schema["$defs"]["Job"];
    let mut any_of = vec![job["anyOf"][0].take()];
    any_of.extend(kinds.iter().map(|(name, _)| json!({ "$ref": format!("#/$defs/{name}") })));
    job["anyOf"] = any_of.into();
    for (name, kind) in kinds {
        schema["$defs"][name] = kind;
    }
    if let Some(definitions) = schema["$defs"].as_object_mut() {
        definitions.remove("FullJob");
        // schemars does not list the uppercase aliases.
        let flag = &mut definitions["ExecutionFlag"];
        *flag = json!({ "description": flag["description"], "enum": ["y", "n", "Y", "N"] });
    }
    schema
}

/// Returns the JSON Schema (2020-12) of `workflows/connections.yaml`.
pub fn connections_schema() -> Value {
    let mut schema =
        SchemaGenerator::default().into_root_schema_for::<std::collections::BTreeMap<String, Connection>>().to_value();
    schema["title"] = "Connections".into();
    schema["description"] = "Named connections: name to connection.".into();
    schema
}

/// Name of a kind's definition in the schema.
pub(crate) fn definition(entry: &kind::Entry) -> String {
    format!("{}_job", entry.kind.as_str().replace('-', "_"))
}

/// Returns the schema of a type inline, without a reference to a definition.
pub(crate) fn object<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    T::json_schema(generator)
}

fn job(common: &Schema, entry: &kind::Entry, generator: &mut SchemaGenerator) -> Value {
    let own = (entry.schema)(generator).to_value();
    let mut properties = common.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    properties.insert(
        "kind".into(),
        json!({ "description": properties["kind"]["description"], "const": entry.kind.as_str() }),
    );
    properties.extend(own["properties"].as_object().cloned().unwrap_or_default());
    // The suffix of a script determines the kind, so `kind` is optional for kinds that run scripts.
    let mut required = own["required"].as_array().cloned().unwrap_or_default();
    if entry.suffixes.is_empty() {
        required.extend(["job_name", "kind"].map(Value::from));
    }
    let mut schema = Map::new();
    schema.insert("description".into(), own["description"].clone());
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), properties.into());
    schema.insert("required".into(), required.into());
    schema.insert("additionalProperties".into(), false.into());
    schema.into()
}
