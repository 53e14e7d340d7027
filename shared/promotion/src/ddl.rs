//! CREATE statements of a contract's tables and view.

use shiftwork_change_data::contract::{OwnColumns, PromoteKind, own_columns};
use shiftwork_change_data::row::{EVENT_COLUMNS, METADATA_COLUMNS};
use shiftwork_sql::identifier;

use crate::Promotion;
use crate::layout::{LONGEST_STATEMENT, lines, list, sql};
use crate::names::Table;

/// `dw_end_date` of a version that has not ended. A range join then does not have to handle NULL.
pub(crate) const OPEN_END: &str = "9999-12-31";

impl Promotion<'_> {
    /// CREATE statements of all tables and views that a load uses, to be run before the first load, in one transaction or in several.
    /// A statement has no effect if its object exists. The schemas must exist.
    ///
    /// They are not part of [`load`](Self::load), whose first statement must be its LOCK: CREATE TABLE takes the snapshot that the
    /// transaction reads from, and a snapshot that is older than the lock would show the watermark as it was before the load that held
    /// the lock. [`migration`](Self::migration) and [`prepare`](Self::prepare) add columns to tables that exist.
    pub fn ddl(&self) -> Vec<String> {
        let keyed = self.kind() != PromoteKind::Append;
        let mut out = vec![self.create_staging(), self.create_watermarks(), self.create_production()];
        if keyed {
            out.push(self.create_tombstones());
        }
        if self.has_older() {
            out.push(self.create_older());
        }
        if self.kind() == PromoteKind::Type7 {
            out.push(self.create_current());
        }
        out
    }

    /// Whether the contract has a table of older events: type 1 keeps the events from which the current row still takes a column.
    pub(crate) fn has_older(&self) -> bool {
        self.kind() == PromoteKind::Type1 && self.has_gaps()
    }

    fn create_staging(&self) -> String {
        let mut columns = self.contract_columns(false);
        columns.extend(METADATA_COLUMNS.map(definition));
        columns.push(("dw_md_row".to_owned(), "BIGINT IDENTITY(1, 1)".to_owned()));
        let comment = format!(
            "Events to be promoted to {}. The columns are in the order of the staged files.",
            self.tables.production
        );
        create(&comment, &self.tables.staging, &columns, None, format!("BACKUP NO {}", self.distribution()).trim_end())
    }

    fn create_watermarks(&self) -> String {
        let columns = [
            ("dw_md_partition", "VARCHAR(1024) NOT NULL"),
            ("dw_md_offset", "VARCHAR(128) NOT NULL"),
            ("dw_md_moved_at", "TIMESTAMP NOT NULL"),
        ];
        let columns = columns.map(|(name, column_type)| (name.to_owned(), column_type.to_owned()));
        let comment = "The last offset that was loaded of each partition of the transport. Do not edit.";
        create(comment, &self.tables.watermarks, &columns, None, "")
    }

    fn create_tombstones(&self) -> String {
        let mut columns = self.contract_columns(false);
        columns.retain(|(name, _)| self.key().any(|key| key == name));
        let kept = ["dw_md_changed_at", "dw_md_operation", "dw_md_position"];
        columns.extend(EVENT_COLUMNS.into_iter().filter(|(name, _)| kept.contains(name)).map(definition));
        columns.push(("dw_md_loaded_at".to_owned(), "TIMESTAMP NOT NULL".to_owned()));
        let comment = format!(
            "Deletes and truncates (without a key) of {}: an older event that arrives later does not restore a row.",
            self.tables.production
        );
        create(&comment, &self.tables.tombstones, &columns, None, &self.distribution_by_key())
    }

    fn create_older(&self) -> String {
        let mut columns = self.contract_columns(true);
        columns.extend(EVENT_COLUMNS.map(definition));
        let comment =
            format!("Older events from which a current row of {} still takes a column.", self.tables.production);
        create(&comment, &self.tables.older, &columns, None, &self.distribution())
    }

    /// Name and definition of the production table's columns, in the order of CREATE TABLE.
    pub(crate) fn production_columns(&self) -> Vec<(String, String)> {
        let keyed = self.kind() != PromoteKind::Append;
        let OwnColumns { before, behind } = own_columns(self.kind(), self.deletes());
        let before = before.into_iter().map(definition);
        before.chain(self.contract_columns(keyed)).chain(behind.into_iter().map(definition)).collect()
    }

    fn create_production(&self) -> String {
        let (comment, key) = match self.kind() {
            PromoteKind::Type1 => ("One row for each key: the current one.", Some(self.unique_key())),
            PromoteKind::Type2 => ("One row for each version.", Some("PRIMARY KEY (dw_key)".to_owned())),
            PromoteKind::Type7 => (
                "One row for each version; dw_durable_key is the same in all versions of a key.",
                Some("PRIMARY KEY (dw_key)".to_owned()),
            ),
            PromoteKind::Append => ("One row for each event.", None),
        };
        let sortkey = match &self.contract.target().sortkey[..] {
            [] => "SORTKEY AUTO".to_owned(),
            names => format!("SORTKEY ({})", names.iter().map(|name| identifier(name)).collect::<Vec<_>>().join(", ")),
        };
        let attributes = format!("{} {sortkey}", self.distribution());
        create(comment, &self.tables.production, &self.production_columns(), key.as_deref(), attributes.trim())
    }

    /// The constraint of a key. Columns of a primary key cannot be NULL.
    fn unique_key(&self) -> String {
        let constraint =
            if self.columns.iter().any(|column| column.is_nullable_key) { "UNIQUE" } else { "PRIMARY KEY" };
        format!("{constraint} ({})", self.key_list())
    }

    pub(crate) fn create_current(&self) -> String {
        let (current, table) = (&self.tables.current, &self.tables.production);
        let hidden = ["dw_end_date", "dw_current", "dw_md_unchanged"];
        let columns = self.production_columns();
        let columns = list(columns.iter().map(|(name, _)| name).filter(|name| !hidden.contains(&name.as_str())));
        sql(&format!(
            "
            -- The current version of each key.
            CREATE OR REPLACE VIEW {current} AS
            SELECT {columns}
            FROM {table}
            WHERE dw_current
            "
        ))
    }

    fn contract_columns(&self, key_not_null: bool) -> Vec<(String, String)> {
        self.columns
            .iter()
            .map(|column| {
                let is_set = column.is_key && !column.is_nullable_key;
                let not_null = if key_not_null && is_set { " NOT NULL" } else { "" };
                (column.name.clone(), format!("{}{not_null}", column.sql_type()))
            })
            .collect()
    }

    /// The DISTKEY clause, the same for all tables that are joined by key. Empty if the contract has no distribution key.
    fn distribution(&self) -> String {
        match &self.contract.target().distkey {
            None => String::new(),
            Some(name) => format!("DISTKEY ({})", identifier(name)),
        }
    }

    /// The DISTKEY clause of a table that has only the key columns.
    fn distribution_by_key(&self) -> String {
        let of_key = self.contract.target().distkey.as_ref().filter(|name| self.contract.is_key(name));
        if of_key.is_some() { self.distribution() } else { String::new() }
    }
}

/// A column that shiftwork adds, as DDL writes it.
fn definition((name, column_type): (&str, &str)) -> (String, String) {
    (name.to_owned(), column_type.to_uppercase())
}

fn create(comment: &str, table: &Table, columns: &[(String, String)], key: Option<&str>, attributes: &str) -> String {
    let create = |width: usize| {
        let mut rows: Vec<String> =
            columns.iter().map(|(name, column_type)| format!("{name:<width$} {column_type}")).collect();
        rows.extend(key.map(str::to_owned));
        let rows = lines(rows, ",");
        sql(&format!(
            "
            -- {comment}
            CREATE TABLE IF NOT EXISTS {table} (
                {rows}
            ) {attributes}
            "
        ))
    };
    let aligned = create(columns.iter().map(|(name, _)| name.len()).max().unwrap_or(0));
    // For a wide table the padding alone can make the statement longer than the Data API accepts.
    if aligned.len() <= LONGEST_STATEMENT { aligned } else { create(0) }
}
