//! Changes a column that is a sort or distribution key.
//!
//! Redshift refuses to widen such a column ("found unexpected dependency for column"), and to drop it ("cannot drop sortkey column").
//! Where the contract names no keys, Automatic Table Optimization chooses them, so a column can become a key at any time. The keys of
//! the table are released, the column is changed, and the keys are set again.

use shiftwork_sql::identifier;

use crate::Promotion;
use crate::names::Table;

/// The statements around those that change a column. Each is run in its own transaction, and may be run again
/// ([`is_done_already`](crate::is_done_already)). Without `restore` the table is correct, but Redshift does not choose its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRelease {
    /// To be run before the column is changed.
    pub release: Vec<String>,
    /// To be run after it.
    pub restore: Vec<String>,
}

/// Whether Redshift refused to widen or to drop a column because it is a sort or distribution key.
pub fn is_refused_for_key(error: &str) -> bool {
    ["unexpected dependency for column", "cannot drop sortkey column", "cannot drop distkey column"]
        .iter()
        .any(|refusal| error.contains(refusal))
}

impl Promotion<'_> {
    /// The statements around those of [`prepare`](Self::prepare) or of a [`Migration`](crate::Migration) that widen or drop a column.
    /// `None` if none of the statements does.
    pub fn key_release(&self, statements: &[String]) -> Option<KeyRelease> {
        let changes = |table: &&Table| {
            ["ALTER COLUMN", "DROP COLUMN"].iter().any(|what| {
                let begin = format!("ALTER TABLE {table} {what} ");
                statements.iter().any(|statement| statement.starts_with(&begin))
            })
        };
        let tables: Vec<&Table> = self.tables_with_columns().into_iter().filter(changes).collect();
        let release =
            |table: &&Table| ["SORTKEY NONE", "DISTSTYLE EVEN"].map(|what| format!("ALTER TABLE {table} ALTER {what}"));
        (!tables.is_empty()).then(|| KeyRelease {
            release: tables.iter().flat_map(release).collect(),
            restore: tables.iter().flat_map(|table| self.restore_keys(table)).collect(),
        })
    }

    fn restore_keys(&self, table: &Table) -> [String; 2] {
        let distkey = self.contract.target().distkey.as_deref();
        let distkey = distkey.filter(|name| *table != self.tables.tombstones || self.contract.is_key(name));
        let sortkey = if *table == self.tables.production { &self.contract.target().sortkey[..] } else { &[] };
        let distribution = match distkey {
            None => "DISTSTYLE AUTO".to_owned(),
            Some(name) => format!("DISTSTYLE KEY DISTKEY {}", identifier(name)),
        };
        let order = match sortkey {
            [] => "SORTKEY AUTO".to_owned(),
            names => format!("SORTKEY ({})", names.iter().map(|name| identifier(name)).collect::<Vec<_>>().join(", ")),
        };
        [distribution, order].map(|what| format!("ALTER TABLE {table} ALTER {what}"))
    }
}
