//! The names of a contract's tables.

use std::fmt;

use shiftwork_change_data::contract::{OwnTable, TableContract};
use shiftwork_sql::identifier;

/// A table: its name where it is opened, and its name where a column of it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Schema, as the catalog has it.
    pub schema: String,
    /// Name, as the catalog has it.
    pub name: String,
}

impl Table {
    fn new(schema: &str, name: &str) -> Self {
        Self { schema: schema.to_owned(), name: name.to_owned() }
    }

    /// `schema.table`, quoted where it must be.
    pub fn qualified(&self) -> String {
        self.to_string()
    }

    /// `table`, as a statement names it that has opened it.
    pub(crate) fn alias(&self) -> String {
        identifier(&self.name)
    }
}

/// `schema.table`, quoted where it must be.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", identifier(&self.schema), identifier(&self.name))
    }
}

/// The tables of a contract. All but `production` are named after the contract, so that two tables of one name in two schemas
/// can share a staging schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// What users read.
    pub production: Table,
    /// Where files are loaded into; empty between two loads but for what the last one left.
    pub staging: Table,
    /// Deletes and truncates: what an event that comes late must not bring back.
    pub tombstones: Table,
    /// Events that a current row still takes a column from (type 1).
    pub older: Table,
    /// How far each partition of the transport has been loaded. One a contract: loads of two contracts never touch one table, and so
    /// cannot abort each other (1023) where the database isolates by table.
    pub watermarks: Table,
    /// The current rows (type 7).
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
