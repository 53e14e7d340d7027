//! Replaces a column by one of another type that holds its values.
//!
//! Redshift changes only the length of a VARCHAR in place (`ALTER COLUMN … TYPE`). For any other type, and for a column of a key, a new
//! column takes the values of the old one, and its name once the old one is dropped.

use shiftwork_change_data::column_type::ColumnType;
use shiftwork_change_data::contract::PromoteKind;

use crate::layout::{MOST_STATEMENTS, lines, sql};
use crate::{Column, Promotion, PromotionError, Table};

/// A column of the contract with its old and its new type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retyped<'c> {
    pub(crate) old: &'c Column,
    pub(crate) new: &'c Column,
}

impl Retyped<'_> {
    /// Whether Redshift changes the type in place. It does not in a primary key.
    pub(crate) fn is_in_place(&self) -> bool {
        matches!((self.old.kind, self.new.kind), (ColumnType::Varchar(_), ColumnType::Varchar(_))) && !self.old.is_key
    }

    /// Name of the new column until the old one is dropped. A contract cannot have a name that begins with `dw_`.
    fn temporary_name(&self) -> String {
        format!("dw_new_{}", self.new.number)
    }
}

impl Promotion<'_> {
    /// The statements of one transaction that replace columns of the contract. They lock readers out of the tables until the commit.
    /// Running them again has no effect: the values are converted to the type that they have.
    ///
    /// # Errors
    /// There are more statements than a batch can have.
    pub(crate) fn replace_columns(&self, columns: &[Retyped<'_>]) -> Result<Vec<String>, PromotionError> {
        if columns.is_empty() {
            return Ok(Vec::new());
        }
        let mut out = vec![self.lock()];
        for table in self.tables_with_columns() {
            let has = |column: &&Retyped<'_>| *table != self.tables.tombstones || column.old.is_key;
            let columns: Vec<&Retyped<'_>> = columns.iter().filter(has).collect();
            if !columns.is_empty() {
                out.extend(self.replace_columns_of(table, &columns));
            }
        }
        if out.len() > MOST_STATEMENTS {
            return Err(self.error(format!(
                "the replacement of {} columns needs {} statements, but the Data API accepts {MOST_STATEMENTS} in a batch: replace fewer \
                 columns at once (`shiftwork drift --only`)",
                columns.len(),
                out.len()
            )));
        }
        Ok(out)
    }

    fn replace_columns_of(&self, table: &Table, columns: &[&Retyped<'_>]) -> Vec<String> {
        let add = |column: &&Retyped<'_>| {
            format!("ALTER TABLE {table} ADD COLUMN {} {}", column.temporary_name(), column.new.sql_type())
        };
        let drop = |column: &&Retyped<'_>| format!("ALTER TABLE {table} DROP COLUMN {}", column.old.name);
        let rename = |column: &&Retyped<'_>| {
            format!("ALTER TABLE {table} RENAME COLUMN {} TO {}", column.temporary_name(), column.new.name)
        };
        let value = |column: &&Retyped<'_>| {
            format!("{} = {}::{}", column.temporary_name(), column.old.name, column.new.sql_type())
        };
        let values = lines(columns.iter().map(value), ",");
        let mut out: Vec<String> = columns.iter().map(add).collect();
        out.push(sql(&format!(
            "
            -- Convert the values to the new types.
            UPDATE {table}
            SET {values}
            "
        )));
        out.extend(columns.iter().map(drop).chain(columns.iter().map(rename)));
        let is_unique = *table == self.tables.production && self.kind() == PromoteKind::Type1;
        if is_unique && columns.iter().any(|column| column.old.is_key) {
            // The primary key was dropped with its column, and the new column can be NULL.
            out.push(format!("ALTER TABLE {table} ADD UNIQUE ({})", self.key_list()));
        }
        out
    }

    /// The reason why a column cannot have another type. `None` if it can.
    pub(crate) fn refuses_type(&self, retyped: &Retyped<'_>) -> Option<String> {
        let Retyped { old, new } = retyped;
        let reason = if !new.kind.replaces(old.kind) {
            "does not hold every value of it: choose a type that does, such as varchar"
        } else if old.is_key && old.kind != new.kind && self.kind() == PromoteKind::Type1 && self.key().count() > 1 {
            "Redshift does not drop a column of a primary key with several columns"
        } else if old.is_key && !new.kind.is_comparable() {
            "Redshift does not compare values of this type, as a key requires"
        } else if old.is_key && self.is_history() && !has_same_text(old.kind, new.kind) {
            "dw_key, which is made of the text of the key, would change in every version"
        } else {
            return None;
        };
        Some(format!(
            "column `{}` is {} and cannot become {}: {reason}. Or write a new contract with another target table and the new type, push \
             it, and let the source send its rows again",
            old.name, old.kind, new.kind
        ))
    }
}

/// Whether a value has the same text in a column of either type.
fn has_same_text(old: ColumnType, new: ColumnType) -> bool {
    let scale = |kind: ColumnType| kind.exact_digits().map(|(_, scale)| scale);
    match (old, new) {
        (ColumnType::Char(_) | ColumnType::Varchar(_), ColumnType::Varchar(_)) => true,
        (old, new) => old == new || scale(old).is_some_and(|old| scale(new) == Some(old)),
    }
}
