//! What must be there before a load: schemas, and in the tables every column of the contract, as wide as the contract says.

use shiftwork_change_data::column_type::ColumnType;
use shiftwork_change_data::contract::PromoteKind;
use shiftwork_sql::{identifier, quote_literal};

use crate::backfill::Backfill;
use crate::layout::{lines, list, sql};
use crate::names::Table;
use crate::{Column, Promotion, PromotionError};

/// A column of a table that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingColumn {
    schema: String,
    table: String,
    column: String,
    /// None of a type that no contract has.
    kind: Option<ColumnType>,
}

impl ExistingColumn {
    /// Of a row of [`columns_query`](Promotion::columns_query); none of a row of something else.
    pub fn read(row: &[Option<String>]) -> Option<Self> {
        let [Some(schema), Some(table), Some(column), Some(data_type), length, precision, scale] = row else {
            return None;
        };
        let size = match (data_type.as_str(), length, precision, scale) {
            ("character varying" | "character", Some(length), _, _) => format!("({length})"),
            ("numeric", _, Some(precision), Some(scale)) => format!("({precision},{scale})"),
            _ => String::new(),
        };
        let kind = ColumnType::parse(&format!("{data_type}{size}")).ok();
        Some(Self { schema: schema.clone(), table: table.clone(), column: column.clone(), kind })
    }

    fn is_of(&self, table: &Table) -> bool {
        self.schema == table.schema && self.table == table.name
    }
}

impl Promotion<'_> {
    /// A query for those of the contract's schemas that are there: its name.
    pub fn schemas_query(&self) -> String {
        let names = list(self.schemas().into_iter().map(quote_literal));
        sql(&format!(
            "
            SELECT nspname::VARCHAR(128)
            FROM pg_namespace
            WHERE nspname IN ({names})
            "
        ))
    }

    /// CREATE statements of the schemas that are not among those found, each with its schema. It takes the right CREATE on the database,
    /// which Redshift asks for even where IF NOT EXISTS would find the schema: so nothing is created that is there.
    pub fn create_schemas(&self, found: &[String]) -> Vec<(String, String)> {
        let is_missing = |name: &&str| !found.iter().any(|found| found == name);
        let create = |name: &str| (name.to_owned(), format!("CREATE SCHEMA IF NOT EXISTS {}", identifier(name)));
        self.schemas().into_iter().filter(is_missing).map(create).collect()
    }

    fn schemas(&self) -> Vec<&str> {
        let mut names = vec![self.tables.production.schema.as_str(), self.tables.staging.schema.as_str()];
        names.dedup();
        names
    }

    /// A query for the columns of the contract's tables: `table_schema`, `table_name`, `column_name`, `data_type`,
    /// `character_maximum_length`, `numeric_precision`, `numeric_scale`.
    pub fn columns_query(&self) -> String {
        let tables = self.tables_with_columns().into_iter().map(|table| {
            format!("(table_schema = {} AND table_name = {})", quote_literal(&table.schema), quote_literal(&table.name))
        });
        let tables = lines(tables, " OR");
        sql(&format!(
            "
            SELECT table_schema, table_name, column_name, data_type, character_maximum_length, numeric_precision, numeric_scale
            FROM svv_columns
            WHERE {tables}
            "
        ))
    }

    /// Statements that make of the tables that are there what the contract says that they are, where somebody wrote a further column into
    /// it, or a longer VARCHAR. Each is a transaction of its own, and may say that it [`is_done_already`](crate::is_done_already).
    /// [`ddl`](Self::ddl) comes after them: it makes a view of type 7 again.
    ///
    /// Values that wait for the columns go on waiting until a [`migration`](Self::migration) takes them in; rows that left a new column's
    /// field out because it did not change say so from then on.
    ///
    /// # Errors
    /// A column that is of another type in the contract than in a table, and cannot become of it.
    pub fn prepare(&self, found: &[ExistingColumn]) -> Result<Vec<String>, PromotionError> {
        let mut statements = Vec::new();
        for table in self.tables_with_columns() {
            let there: Vec<&ExistingColumn> = found.iter().filter(|found| found.is_of(table)).collect();
            if there.is_empty() {
                continue;
            }
            let (mut missing, mut narrow) = (Vec::new(), Vec::new());
            for column in &self.columns {
                if *table == self.tables.tombstones && !column.is_key {
                    continue;
                }
                match there.iter().find(|found| identifier(&found.column) == column.name) {
                    None => missing.push(column),
                    Some(found) if self.is_narrower(table, column, found)? => narrow.push(column),
                    Some(_) => {}
                }
            }
            // Before the column is there, so that who finds it can rely on it.
            if !missing.is_empty() {
                statements.extend(self.left_out(table, &missing));
            }
            let add =
                |column: &&Column| format!("ALTER TABLE {table} ADD COLUMN {} {}", column.name, column.sql_type());
            let widen = |column: &&Column| {
                format!("ALTER TABLE {table} ALTER COLUMN {} TYPE {}", column.name, column.sql_type())
            };
            statements.extend(missing.iter().map(add).chain(narrow.iter().map(widen)));
        }
        if !statements.is_empty() && self.kind() == PromoteKind::Type7 {
            // Redshift replaces a view only by one with the same columns, and widens no column that a view has.
            statements.insert(0, format!("DROP VIEW IF EXISTS {}", self.tables.current));
        }
        Ok(statements)
    }

    fn left_out(&self, table: &Table, missing: &[&Column]) -> Option<String> {
        let homes = self.homes();
        let (table, row) = homes.iter().find(|(home, _)| *home == table)?;
        let comment = "Rows that left a field out before it had a column: it did not change.";
        Backfill { comment, table, row, absent: self.absent_field() }.left_out(missing)
    }

    /// Whether a column has to become wider. One that is wider than the contract says takes all that the contract does.
    fn is_narrower(&self, table: &Table, column: &Column, found: &ExistingColumn) -> Result<bool, PromotionError> {
        let Some(there) = found.kind else { return Ok(false) };
        let differs = |why: &str| {
            let (name, wanted) = (&column.name, column.kind);
            Err(self.error(format!("column `{name}` of {table} is {there}, and the contract says {wanted}: {why}")))
        };
        match (there, column.kind) {
            (ColumnType::Varchar(there), ColumnType::Varchar(wanted)) if there >= wanted => Ok(false),
            (ColumnType::Varchar(_), ColumnType::Varchar(_)) => {
                let is_primary = column.is_key && self.kind() == PromoteKind::Type1 && *table == self.tables.production;
                if is_primary {
                    return differs(
                        "it is of the primary key, which Redshift does not widen. Write the type that it has, or drop the contract's tables \
                         and load them anew",
                    );
                }
                Ok(true)
            }
            // The catalog does not say how long these are.
            (ColumnType::Varbyte(_), ColumnType::Varbyte(_)) => Ok(false),
            (there, wanted) if there == wanted => Ok(false),
            _ => differs(
                "Redshift widens nothing but VARCHAR. Write the type that it has, and take the field into a new column",
            ),
        }
    }

    /// The tables that have columns of the contract.
    fn tables_with_columns(&self) -> Vec<&Table> {
        let mut tables = self.tables_of_events();
        tables.extend((self.kind() != PromoteKind::Append).then_some(&self.tables.tombstones));
        tables
    }
}
