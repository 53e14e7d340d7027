//! Identifiers and literals of Redshift, each quoted by one function, and the names of a contract's tables.

use std::fmt;

use shiftwork_change_data::contract::{OwnTable, TableContract};

/// Words that cannot name a thing unquoted, in Redshift ("Reserved words" of its SQL reference) or in PostgreSQL, which stands in for
/// it on a laptop. One too many costs two quotes.
const RESERVED: &str = " aes128 aes256 all allowoverwrite analyse analyze and any array as asc asymmetric authorization az64 \
    backup between binary blanksasnull both by bytedict bzip2 case cast char character check coalesce collate collation column \
    concurrently constraint create credentials cross cube current_catalog current_date current_role current_schema current_time \
    current_timestamp current_user current_user_id decimal decode default deferrable deflate defrag delta delta32k desc disable \
    distinct do else elsif emptyasnull enable encode encrypt encryption end escape except exclude exists explicit extract false \
    fetch filter for foreign freeze from full globaldict256 globaldict64k grant greatest group grouping groups gzip having identity \
    if ignore ilike in initially inner inout insert intersect interval into is isnull join lateral leading least left like limit \
    localtime localtimestamp loop lun luns lzo lzop merge minus mostly16 mostly32 mostly8 natural new not notnull null nullif nulls \
    of off offline offset oid old on only open or order out outer over overlaps overlay parallel partition percent permissions \
    pivot placing position precision primary qualify range raw readratio recover references rejectlog resort respect restore return \
    returning right rollup row rows select session_user set sets setof similar snapshot some start substring symmetric sysdate \
    system system_user table tablesample tag tdes text255 text32k then time timestamp to top trailing treat trim true \
    truncatecolumns union unique unnest unpivot update user using values varchar variadic verbose wallet when where while window \
    with within without xmltable ";

/// A name as SQL writes it: bare where it can be, in double quotes where it must.
pub(crate) fn identifier(name: &str) -> String {
    let mut bytes = name.bytes();
    let bare = bytes.next().is_some_and(|first| first.is_ascii_lowercase() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && !RESERVED.contains(&format!(" {name} "));
    if bare { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A text as SQL writes it. Redshift reads a backslash in a string as an escape.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

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

#[cfg(test)]
mod tests {
    use super::{identifier, literal};

    #[test]
    fn names_are_bare_only_where_that_is_safe() {
        assert_eq!(identifier("order_id"), "order_id");
        for name in ["order", "Id", "1st", "a-b", "größe", "", "a b"] {
            assert_eq!(identifier(name), format!("\"{name}\""));
        }
        assert_eq!(identifier("a\"; drop table t; --"), "\"a\"\"; drop table t; --\"");
    }

    #[test]
    fn nothing_leaves_a_literal() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("\\'; drop table t; --"), "'\\\\''; drop table t; --'");
    }
}
