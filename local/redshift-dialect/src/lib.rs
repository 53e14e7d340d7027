//! Translates Amazon Redshift SQL to PostgreSQL 18, one statement at a time; a statement without an exact translation
//! is rejected.
//!
//! [`translate`] rewrites syntax and functions that differ between the dialects. It rejects, with name and position,
//! constructs that it does not support, and constructs that PostgreSQL accepts although Redshift does not (`ON
//! CONFLICT`, `RETURNING`, arrays …). The translated SQL requires [`PRELUDE`], a schema `redshift` with functions,
//! types and views.
//!
//! ```
//! let t = redshift_dialect::translate("select nvl(a, 0) from t where d = :day", &["day"])?;
//! let postgres = r#"select coalesce(a, 0) from "t" where d = $1"#;
//! assert_eq!(t.steps, [redshift_dialect::Step::Sql(postgres.to_owned())]);
//! assert_eq!(t.params, ["day"]);
//! # Ok::<(), redshift_dialect::Refusal>(())
//! ```

#![allow(clippy::format_push_string, reason = "SQL texts are short; `write!` would add an error that cannot happen")]

mod access;
mod copy;
mod dateparts;
mod dml;
mod expression;
mod functions;
mod lexer;
mod maintenance;
mod merge;
mod names;
mod plpgsql;
mod procedure;
mod qualify;
mod query;
mod refusal;
mod scope;
mod session;
mod table;
mod table_alter;
mod translator;
mod tree;
mod types;
mod unload;
mod view;

pub use copy::{Compression, CopyFormat, CopySpec, CsvOptions, JsonShape, TextOptions};
pub use refusal::{Refusal, RefusalKind};
pub use table_alter::AppendSpec;
pub use unload::{UnloadFormat, UnloadSpec};

/// Idempotent SQL that a superuser must run once per database: the type `super`, and the schema `redshift` with
/// functions and system views that translated SQL uses. Their names are qualified, so the `search_path` is left
/// unchanged.
pub const PRELUDE: &str = concat!(
    include_str!("prelude/super.sql"),
    include_str!("prelude/scalar.sql"),
    include_str!("prelude/dates.sql"),
    include_str!("prelude/aggregates.sql"),
    include_str!("prelude/system.sql"),
);

/// One step of a translated statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// SQL for PostgreSQL. Parameters are `$1`, `$2` …, see [`Translated::params`].
    Sql(String),
    /// Loads files into a table.
    Copy(Box<CopySpec>),
    /// Writes the rows of a query to files.
    Unload(Box<UnloadSpec>),
    /// Moves all rows of a table to another table.
    AppendFrom(AppendSpec),
}

/// A translated statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translated {
    /// The steps in order, in one transaction unless [`Self::commits`]. Empty for statements without a local effect:
    /// Redshift's `VACUUM`, `ALTER DISTKEY` and similar statements change only the storage of data.
    pub steps: Vec<Step>,
    /// Names of the parameters `$1`, `$2` …, without duplicates. Only statements with one step have parameters.
    pub params: Vec<String>,
    /// True if the last step returns rows. Always true for `CALL`, although only procedures with `INOUT` or `OUT`
    /// arguments return rows.
    pub returns_rows: bool,
    /// Command tag of Redshift in upper case: `SELECT`, `INSERT`, `CREATE TABLE`, `CALL` …
    pub command: &'static str,
    /// True if Redshift commits the current transaction with this statement (`TRUNCATE`, `ALTER TABLE … APPEND`).
    pub commits: bool,
    /// Whether the statement can or must run in a transaction block.
    pub in_transaction: InTransaction,
}

/// How a statement relates to transaction blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InTransaction {
    /// Allowed in a transaction block and without one.
    Taken,
    /// Rejected by Redshift in a transaction block (`VACUUM`, `ALTER TABLE … APPEND` …), and so in a batch that is one
    /// transaction.
    Refused,
    /// Required by PostgreSQL (`LOCK`), although Redshift also allows it without a transaction block.
    Needed,
}

/// Translates one statement; a trailing `;` is allowed.
///
/// `params` are the names of the parameters in the request; a `:name` that is not among them is rejected.
///
/// # Errors
/// Returns a [`Refusal`] with the construct, its line and column, and an alternative if there is one.
pub fn translate(sql: &str, params: &[&str]) -> Result<Translated, Refusal> {
    translator::statement(sql, params).map_err(|refusal| refusal.located_in(sql))
}
