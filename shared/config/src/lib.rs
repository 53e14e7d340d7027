//! What people write, YAML or JSON: read with the place of each part, held against the schema of its type, and every
//! mistake said at once, with its file, line and how to mend it.
//!
//! ```
//! let doc = shiftwork_config::read_file("feeds/orders.yaml", "feed: orders\n").unwrap();
//! let schema = serde_json::json!({ "type": "object", "properties": { "feed": { "type": "integer" } } });
//! let misfits = shiftwork_config::shape::check(&doc, &schema);
//! assert_eq!(misfits.problems[0].to_string(), "feeds/orders.yaml:1:1 ($.feed): expected a whole number, found the text `orders`");
//! ```

mod place;
mod reader;
pub mod shape;

pub use place::{JsonPath, Place, Problem, in_order, is_identifier, list, nearest};
pub use reader::{Located, read_file, read_item};

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads a whole document as a type, once it fits the schema that was generated from it.
///
/// # Errors
/// Every misfit, in the order of its lines.
pub fn read<T: DeserializeOwned>(doc: &Located, schema: &Value) -> Result<T, Vec<Problem>> {
    let misfits = shape::check(doc, schema);
    if !misfits.problems.is_empty() {
        return Err(in_order(misfits.problems));
    }
    // The schema is generated from the type; what it cannot say is serde's to say.
    serde_json::from_value(doc.value().clone()).map_err(|error| vec![doc.problem(&JsonPath::root(), error.to_string())])
}
