//! Configuration in YAML or JSON. A document is read with the position of each value and validated against the JSON Schema of its
//! type. All problems are returned together, each with its file, its line and a hint about how to fix it.
//!
//! ```
//! let doc = shiftwork_config::read_file("feeds/orders.yaml", "feed: orders\n").unwrap();
//! let schema = serde_json::json!({ "type": "object", "properties": { "feed": { "type": "integer" } } });
//! let mismatches = shiftwork_config::shape::check(&doc, &schema);
//! assert_eq!(mismatches.problems[0].to_string(), "feeds/orders.yaml:1:1 ($.feed): expected an integer, found the string `orders`");
//! ```

mod place;
mod quantity;
mod reader;
mod role;
pub mod shape;

pub use place::{JsonPath, Place, Problem, in_order, is_identifier, list, nearest};
pub use quantity::{ByteSize, Duration};
pub use reader::{Located, read_file, read_item};
pub use role::IamRole;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Validates a document against `schema`, which is generated from `T`, and deserializes it.
///
/// # Errors
/// Returns all mismatches, sorted by line.
pub fn read<T: DeserializeOwned>(doc: &Located, schema: &Value) -> Result<T, Vec<Problem>> {
    read_checked(doc, schema, |_, _| ())
}

/// Does the same as [`read`], and calls `check` for rules that a schema cannot express. Members that do not match the schema are removed
/// before `check` is called, so that the problems of both are returned together.
///
/// # Errors
/// Returns all problems, sorted by line.
pub fn read_checked<T: DeserializeOwned>(
    doc: &Located,
    schema: &Value,
    check: impl FnOnce(&T, &mut Vec<Problem>),
) -> Result<T, Vec<Problem>> {
    let mismatches = shape::check(doc, schema);
    let read = serde_json::from_value::<T>(mismatches.without(doc.value()));
    let mut problems = mismatches.problems;
    match read {
        Ok(read) => {
            check(&read, &mut problems);
            if problems.is_empty() { Ok(read) } else { Err(in_order(problems)) }
        }
        Err(error) => {
            // The schema is generated from the type, so serde only fails on rules that a schema cannot express.
            if problems.is_empty() {
                problems.push(doc.problem(&JsonPath::root(), error.to_string()));
            }
            Err(in_order(problems))
        }
    }
}
