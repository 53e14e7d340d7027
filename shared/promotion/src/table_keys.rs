//! Widens a column that is a sort or distribution key.
//!
//! Redshift refuses to widen such a column ("found unexpected dependency for column"). Where the contract names no keys, Automatic
//! Table Optimization chooses them, so a column can become a key at any time. The keys of the table are released, the column is
//! widened, and the keys are set again.

use shiftwork_sql::identifier;

use crate::Promotion;
use crate::names::Table;

/// The statements around the one that widens a column. Each is run in its own transaction, and may be run again
/// ([`is_done_already`](crate::is_done_already)). Without `restore` the table is correct, but Redshift does not choose its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRelease {
    /// To be run before the column is widened.
    pub release: Vec<String>,
    /// To be run after it.
    pub restore: Vec<String>,
}

/// Whether Redshift refused to widen a column because it is a sort or distribution key.
pub fn is_refused_for_key(error: &str) -> bool {
    error.contains("unexpected dependency for column")
}

impl Promotion<'_> {
    /// The statements around one of [`prepare`](Self::prepare) or [`Migration::before`](crate::Migration::before) that widens a
    /// column. `None` for any other statement.
    pub fn key_release(&self, statement: &str) -> Option<KeyRelease> {
        let widens = |table: &&Table| statement.starts_with(&format!("ALTER TABLE {table} ALTER COLUMN "));
        let table = self.tables_with_columns().into_iter().find(widens)?;
        let distkey = self.contract.target().distkey.as_deref();
        let distkey = distkey.filter(|name| *table != self.tables.tombstones || self.contract.is_key(name));
        let sortkey = if *table == self.tables.production { &self.contract.target().sortkey[..] } else { &[] };
        let alter = |what: String| format!("ALTER TABLE {table} ALTER {what}");
        let names = |names: &[String]| names.iter().map(|name| identifier(name)).collect::<Vec<_>>().join(", ");
        Some(KeyRelease {
            release: vec![alter("SORTKEY NONE".into()), alter("DISTSTYLE EVEN".into())],
            restore: vec![
                alter(
                    distkey
                        .map_or("DISTSTYLE AUTO".into(), |name| format!("DISTSTYLE KEY DISTKEY {}", identifier(name))),
                ),
                alter(if sortkey.is_empty() { "SORTKEY AUTO".into() } else { format!("SORTKEY ({})", names(sortkey)) }),
            ],
        })
    }
}
