//! Names of a contract's tables.

use std::fmt;

use shiftwork_change_data::contract::{OwnTable, TableContract};
use shiftwork_sql::identifier;

/// A table, by its schema and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Schema, as in the catalog (not quoted).
    pub schema: String,
    /// Name, as in the catalog (not quoted).
    pub name: String,
}

impl Table {
    fn new(schema: &str, name: &str) -> Self {
        Self { schema: schema.to_owned(), name: name.to_owned() }
    }

    /// `schema.table`, each quoted if necessary.
    pub fn qualified(&self) -> String {
        self.to_string()
    }

    /// `table`, quoted if necessary: how a statement that uses the table qualifies its columns.
    pub(crate) fn alias(&self) -> String {
        identifier(&self.name)
    }
}

/// Writes `schema.table`, each quoted if necessary.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", identifier(&self.schema), identifier(&self.name))
    }
}

/// The tables of a contract. The names of those in the staging schema are made from the contract's name, so that two tables of one name
/// in two schemas can share a staging schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// The table that users read.
    pub production: Table,
    /// The table that COPY loads files into. Between two loads it has the rows that the last load left.
    pub staging: Table,
    /// Deletes and truncates, so that an event that arrives late does not restore a deleted row.
    pub tombstones: Table,
    /// Older events from which a current row still takes a column (type 1).
    pub older: Table,
    /// The last offset that was loaded of each partition of the transport. Each contract has its own table, so that loads of two
    /// contracts cannot abort each other (Redshift error 1023, serializable isolation violation on a table).
    pub watermarks: Table,
    /// The view of the current rows (type 7).
    pub current: Table,
}

impl Tables {
    pub(crate) fn of(contract: &TableContract) -> Self {
        let target = contract.target();
        let own = |table: OwnTable| Table::new(target.staging_schema(), &table.name(contract.name()));
        Self {
            production: Table::new(&target.schema, &target.table),
            staging: own(OwnTable::Staging),
            tombstones: own(OwnTable::Tombstones),
            older: own(OwnTable::Older),
            watermarks: own(OwnTable::Watermarks),
            current: Table::new(&target.schema, &format!("{}_current", target.table)),
        }
    }
}
