//! Creates what must exist before a load: the schemas, and in existing tables every column of the contract, as wide as the contract
//! says.

use shiftwork_change_data::column_type::ColumnType;
use shiftwork_change_data::contract::PromoteKind;
use shiftwork_sql::{identifier, quote_literal};

use crate::backfill::Backfill;
use crate::layout::{lines, list, sql};
use crate::names::Table;
use crate::retype::Retyped;
use crate::{Column, Promotion, PromotionError};

/// A column of an existing table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingColumn {
    schema: String,
    table: String,
    column: String,
    /// `None` for a type that a contract cannot have.
    kind: Option<ColumnType>,
    is_not_null: bool,
}

impl ExistingColumn {
    /// Reads a row of [`columns_query`](Promotion::columns_query). `None` if the row does not have its columns.
    pub fn read(row: &[Option<String>]) -> Option<Self> {
        let [Some(schema), Some(table), Some(column), Some(data_type), length, precision, scale, is_nullable] = row
        else {
            return None;
        };
        let size = match (data_type.as_str(), length, precision, scale) {
            ("character varying" | "character", Some(length), _, _) => format!("({length})"),
            ("numeric", _, Some(precision), Some(scale)) => format!("({precision},{scale})"),
            _ => String::new(),
        };
        let kind = ColumnType::parse(&format!("{data_type}{size}")).ok();
        let is_not_null = is_nullable.as_deref() == Some("NO");
        Some(Self { schema: schema.clone(), table: table.clone(), column: column.clone(), kind, is_not_null })
    }

    fn is_of(&self, table: &Table) -> bool {
        self.schema == table.schema && self.table == table.name
    }
}

impl Promotion<'_> {
    /// A query for the contract's schemas that exist. Its only column is the name.
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

    /// Name and CREATE statement of each schema that is not in `found`. The statement needs the privilege CREATE on the database even if
    /// IF NOT EXISTS would find the schema, so there is no statement for a schema that exists.
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
    /// `character_maximum_length`, `numeric_precision`, `numeric_scale`, `is_nullable`.
    pub fn columns_query(&self) -> String {
        let tables = self.tables_with_columns().into_iter().map(|table| {
            format!("(table_schema = {} AND table_name = {})", quote_literal(&table.schema), quote_literal(&table.name))
        });
        let tables = lines(tables, " OR");
        sql(&format!(
            "
            SELECT table_schema, table_name, column_name, data_type, character_maximum_length, numeric_precision, numeric_scale,
                   is_nullable
            FROM svv_columns
            WHERE {tables}
            "
        ))
    }

    /// Statements that change existing tables to match a contract to which a user added a column or a longer VARCHAR by hand. Run each in
    /// its own transaction; one that was run before fails with an error that [`is_done_already`](crate::is_done_already) recognizes.
    /// Run [`ddl`](Self::ddl) after them: it creates the view of type 7 again.
    ///
    /// Values of the new columns stay in `dw_md_missing_data` until a [`migration`](Self::migration) moves them. Rows that left out the
    /// field of a new column because it did not change are marked in `dw_md_unchanged`.
    ///
    /// # Errors
    /// A column has another type in the contract than in a table, and cannot be changed to it; or it is NOT NULL in a table although rows
    /// can lack its value.
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
                let found = there.iter().find(|found| identifier(&found.column) == column.name);
                if found.is_some_and(|found| found.is_not_null) && !self.is_not_null(table, column) {
                    return Err(self.error(not_null(table, column, self.contract.name())));
                }
                match found {
                    None => missing.push(column),
                    Some(found) if self.is_narrower(table, column, found)? => narrow.push(column),
                    Some(_) => {}
                }
            }
            // The rows are marked before the column exists, so that every row is marked once the column is found.
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
            // Redshift replaces a view only by one with the same columns, and does not widen a column that a view uses.
            statements.insert(0, format!("DROP VIEW IF EXISTS {}", self.tables.current));
        }
        Ok(statements)
    }

    fn left_out(&self, table: &Table, missing: &[&Column]) -> Option<String> {
        let tables_with_missing_data = self.tables_with_missing_data();
        let (table, row) = tables_with_missing_data.iter().find(|(found, _)| *found == table)?;
        let comment = "Mark the column as unchanged in rows that left its field out.";
        Backfill { promotion: self, comment, table, row, absent: self.absent_field() }.left_out(missing)
    }

    /// Whether a column must be widened. A column whose type holds all values of the contract's type is left unchanged.
    fn is_narrower(&self, table: &Table, column: &Column, found: &ExistingColumn) -> Result<bool, PromotionError> {
        let Some(there) = found.kind else { return Ok(false) };
        let differs = |why: &str| {
            let (name, wanted) = (&column.name, column.kind);
            Err(self.error(format!("column `{name}` of {table} is {there}, but the contract says {wanted}: {why}")))
        };
        let is_primary = column.is_key && self.kind() == PromoteKind::Type1 && *table == self.tables.production;
        match (there, column.kind) {
            (ColumnType::Varchar(there), ColumnType::Varchar(wanted)) if there >= wanted => Ok(false),
            (ColumnType::Varchar(_), ColumnType::Varchar(_)) if !is_primary => Ok(true),
            // The catalog does not have the length of a VARBYTE.
            (ColumnType::Varbyte(_), ColumnType::Varbyte(_)) => Ok(false),
            // A migration has replaced the column, and this run was planned with the contract from before.
            (there, wanted) if there.replaces(wanted) => Ok(false),
            (_, _) => differs(&self.change_of(there, column)?),
        }
    }

    /// How a user changes a column of the tables to the type of the contract.
    fn change_of(&self, there: ColumnType, column: &Column) -> Result<String, PromotionError> {
        let old = Column { kind: there, ..column.clone() };
        let retyped = Retyped { old: &old, new: column };
        Ok(match self.refuses_type(&retyped) {
            None => {
                let statements = self.replace_columns(&[retyped])?.join(";\n");
                format!(
                    "a load does not change the type. Run these statements in one transaction:\nBEGIN;\n{statements};\nCOMMIT;"
                )
            }
            Some(reason) => format!(
                "{reason}. Or drop the tables of the contract, which the next load creates again, and let the source send its rows again"
            ),
        })
    }

    /// Whether every row of the table has a value in the column.
    fn is_not_null(&self, table: &Table, column: &Column) -> bool {
        let has_key =
            *table == self.tables.older || (*table == self.tables.production && self.kind() != PromoteKind::Append);
        has_key && column.is_key && !column.is_nullable_key
    }

    /// The tables that have columns of the contract.
    pub(crate) fn tables_with_columns(&self) -> Vec<&Table> {
        let mut tables = self.tables_of_events();
        tables.extend((self.kind() != PromoteKind::Append).then_some(&self.tables.tombstones));
        tables
    }
}

/// What is wrong with a column of a table that a user made, and how to fix it: Redshift does not drop the constraint of a column.
fn not_null(table: &Table, column: &Column, contract: &str) -> String {
    let name = &column.name;
    format!(
        "column `{name}` of {table} is NOT NULL, but a row can have no value in it, and the load of such a row would fail. Rename the \
         table, create it with the statement that `shiftwork contract sql {contract}` prints, and copy the rows; or drop the table if it is \
         empty, and the load creates it"
    )
}
