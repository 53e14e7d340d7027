//! Amazon Redshift SQL, one statement at a time, as PostgreSQL 18 can run it: exactly, or not at all.
//!
//! [`translate`] rewrites what the two dialects spell differently and refuses, by name and position, what it does not
//! know, and what PostgreSQL would take although Redshift does not (`ON CONFLICT`, `RETURNING`, arrays …).
//! The rewritten SQL leans on [`PRELUDE`], a schema `redshift` of functions, types and views.
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

/// Idempotent SQL, run once a database by a superuser before anything else: the type `super`, the schema `redshift` of
/// functions and system views that translated SQL calls. Its objects are found by qualified name, so the
/// `search_path` stays the user's.
pub const PRELUDE: &str = concat!(
    include_str!("prelude/super.sql"),
    include_str!("prelude/scalar.sql"),
    include_str!("prelude/dates.sql"),
    include_str!("prelude/aggregates.sql"),
    include_str!("prelude/system.sql"),
);

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// PostgreSQL text. Parameters are `$1`, `$2` …, see [`Translated::params`].
    Sql(String),
    /// Load files into a table.
    Copy(Box<CopySpec>),
    /// Write the rows of a query to files.
    Unload(Box<UnloadSpec>),
    /// Move all rows of one table into another.
    AppendFrom(AppendSpec),
}

/// A statement that PostgreSQL can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translated {
    /// What to do, in order, in one transaction unless [`Self::commits`]. Empty when there is nothing to do locally:
    /// Redshift's `VACUUM`, `ALTER DISTKEY` and the like change only how data is stored.
    pub steps: Vec<Step>,
    /// Parameter name of `$1`, `$2` …; a name used twice stands once. Only statements of one step have parameters.
    pub params: Vec<String>,
    /// The last step gives rows. For `CALL` it is true although only procedures with `INOUT` or `OUT` arguments do.
    pub returns_rows: bool,
    /// What the statement is, in upper case, as Redshift tags it: `SELECT`, `INSERT`, `CREATE TABLE`, `CALL` …
    pub command: &'static str,
    /// Redshift commits the running transaction with this statement (`TRUNCATE`, `ALTER TABLE … APPEND`).
    pub commits: bool,
    /// Whether it can or must be inside a transaction block.
    pub in_transaction: InTransaction,
}

/// How a statement goes with a transaction block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InTransaction {
    /// Inside or outside.
    Taken,
    /// Redshift refuses it inside (`VACUUM`, `ALTER TABLE … APPEND` …), so also in a batch that runs as one transaction.
    Refused,
    /// PostgreSQL takes it only inside (`LOCK`); Redshift anywhere.
    Needed,
}

/// Translates one statement; a `;` at its end is taken.
///
/// `params` are the names for which the caller has values; `:name` of any other name is refused.
///
/// # Errors
/// [`Refusal`] names the construct, its line and column, and what to write instead where that is known.
pub fn translate(sql: &str, params: &[&str]) -> Result<Translated, Refusal> {
    translator::statement(sql, params).map_err(|refusal| refusal.located_in(sql))
}
