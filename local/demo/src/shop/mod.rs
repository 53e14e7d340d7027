//! A shop's database that never was: what happened to it, as Debezium would tell it, and what is true of it at the end.
//!
//! Three tables, one for each way to keep them. Seeded, so that every demo sees the same shop.
//!
//! | table | becomes | what happens to it |
//! | --- | --- | --- |
//! | `orders` | the current rows (type 1) | inserts, updates, deletes, a column is added, a column is widened, keys change |
//! | `customers` | the history (type 2) | the same customers come and go, some return as they were |
//! | `sessions` | the current rows (type 1) | is truncated in the middle |

mod debezium;
mod delivery;
mod life;
mod truth;

pub(crate) use delivery::{Delivery, deliveries};
pub(crate) use life::Shop;
pub(crate) use truth::{Table, Version};

use serde_json::{Map, Value};

/// One change of the source, as its producer sends it.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// The table.
    pub(crate) table: Table,
    /// Key of the message; none for a truncate.
    pub(crate) key: Option<Value>,
    /// The event; none for the tombstone that follows a delete.
    pub(crate) event: Option<Value>,
}

/// Columns and their values, in the order of the table.
pub(crate) type Row = Map<String, Value>;
