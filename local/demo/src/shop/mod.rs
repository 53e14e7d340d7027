//! A simulated shop's database: its changes in the format of Debezium, and the expected content of its tables.
//!
//! Three tables, one for each kind of promotion. The simulation is seeded, so that every demo has the same data.
//!
//! | table | target | changes |
//! | --- | --- | --- |
//! | `orders` | the current rows (type 1) | inserts, updates, deletes, a column is added, a column is widened, keys change |
//! | `customers` | the history (type 2) | customers are deleted and inserted again, some with the same values |
//! | `sessions` | the current rows (type 1) | a truncate in the middle |

mod debezium;
mod delivery;
mod history;
mod simulation;

pub(crate) use delivery::{Delivery, deliveries};
pub(crate) use history::{Table, Version};
pub(crate) use simulation::Shop;

use serde_json::{Map, Value};

/// A change of the source, as its producer sends it.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// The table.
    pub(crate) table: Table,
    /// Key of the message; `None` for a truncate.
    pub(crate) key: Option<Value>,
    /// The event; `None` for the tombstone after a delete.
    pub(crate) event: Option<Value>,
}

/// Column names and values, in the order of the table.
pub(crate) type Row = Map<String, Value>;
