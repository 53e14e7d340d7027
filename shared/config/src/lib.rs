//! What people write, YAML or JSON: read with the place of each part, held against the schema of its type, and every
//! mistake said at once, with its file, line and how to mend it.
//!
//! ```
//! let doc = shiftwork_config::read_file("feeds/orders.yaml", "feed: orders\n").unwrap();
//! let schema = serde_json::json!({ "type": "object", "properties": { "feed": { "type": "integer" } } });
//! let mismatches = shiftwork_config::shape::check(&doc, &schema);
//! assert_eq!(mismatches.problems[0].to_string(), "feeds/orders.yaml:1:1 ($.feed): expected a whole number, found the text `orders`");
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

/// Reads a whole document as a type, once it fits the schema that was generated from it.
///
/// # Errors
/// Every mismatch, in the order of its lines.
pub fn read<T: DeserializeOwned>(doc: &Located, schema: &Value) -> Result<T, Vec<Problem>> {
    read_checked(doc, schema, |_, _| ())
}

/// The same, held against `check` too: what the schema cannot say. Members that do not fit the schema are left out of what is
/// checked, so that all problems come at once.
///
/// # Errors
/// Every problem, in the order of its lines.
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
            // The schema is generated from the type; serde reports only what the schema cannot say.
            if problems.is_empty() {
                problems.push(doc.problem(&JsonPath::root(), error.to_string()));
            }
            Err(in_order(problems))
        }
    }
}
