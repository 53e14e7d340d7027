//! Kind `unload`: writes the result of a query to S3.
//!
//! UNLOAD does not support bound parameters. All values in its text come from the configuration and are quoted by [`quote_identifier`] or
//! [`quote_literal`], or are a date or a run id of shiftwork.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use shiftwork_config::{ByteSize, IamRole, list};
use shiftwork_protocol::{Kind, Work, limits};
use shiftwork_sql::{Lexer, TokenKind, quote_identifier, quote_literal, split};

use super::{Context, JobKind, unbound};
use crate::builtin;

/// Writes the result of a query to S3. The fields and their limits are those of Redshift's `UNLOAD`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "one field for each option of UNLOAD")]
pub(crate) struct Unload {
    /// The query. It cannot have `:placeholders`.
    select: String,
    /// Target of the files: `s3://bucket/prefix/`. `{run_date}` and `{workflow_execution_id}` are replaced by their values.
    to: String,
    /// IAM role with which UNLOAD writes the files: `default` for the default role of the warehouse, the ARN of a role, or the list of ARNs
    /// of a role chain.
    #[serde(default)]
    iam_role: IamRole,
    /// Format of the files.
    #[serde(default)]
    format: Format,
    /// Writes the names of the columns as the first line; `csv` and `text` only.
    #[serde(default)]
    header: bool,
    /// Character between fields; `text` and `csv` only.
    #[serde(default)]
    delimiter: Option<String>,
    /// String that represents NULL; `text` and `csv` only.
    #[serde(default)]
    null_as: Option<String>,
    /// Writes quotes around every field; `text` only.
    #[serde(default)]
    add_quotes: bool,
    /// Compression of the files; not for `parquet`, which is compressed internally.
    #[serde(default)]
    compression: Option<Compression>,
    /// Columns whose values become folders, `column=value/`.
    #[serde(default)]
    partition_by: Vec<String>,
    /// `false` writes the files one after another instead of in parallel.
    #[serde(default)]
    parallel: Option<bool>,
    /// Overwrites existing files.
    #[serde(default)]
    allow_overwrite: bool,
    /// Deletes existing files at the target first.
    #[serde(default)]
    clean_path: bool,
    /// Maximum size of a file: `5 MB` to `6.2 GB`.
    #[serde(default)]
    max_file_size: Option<ByteSize>,
    /// Writes a manifest of the files.
    #[serde(default)]
    manifest: bool,
    /// Region of the bucket. The default is the region of the warehouse.
    #[serde(default)]
    region: Option<String>,
    /// Id of the KMS key that encrypts the files.
    #[serde(default)]
    kms_key_id: Option<String>,
}

/// File formats of UNLOAD.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// Comma-separated values, quoted if needed.
    #[default]
    Csv,
    /// Apache Parquet.
    Parquet,
    /// One JSON object in each line.
    Json,
    /// Delimited text.
    Text,
}

/// Compressions of UNLOAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Compression {
    Gzip,
    Bzip2,
    Zstd,
}

impl JobKind for Unload {
    const KIND: Kind = Kind::Unload;

    fn work(self, context: &mut Context) -> Option<Work> {
        let connection = context.connection();
        let before = context.problems.len();
        self.check_select(context);
        self.check_options(context);
        let to = self.target(context);
        let columns = self.columns(context);
        self.check_file_size(context);
        if context.problems.len() > before {
            return None;
        }
        let sql = self.render(&to?, &columns);
        if sql.len() > limits::STATEMENT_BYTES {
            let message = format!(
                "the statement has {} bytes; the limit of the Data API is {}",
                sql.len(),
                limits::STATEMENT_BYTES
            );
            let problem = context.field("select", message).hint("put the query in a view");
            context.problems.push(problem);
            return None;
        }
        Some(Work::Unload { connection: connection?, sql })
    }
}

impl Unload {
    /// Checks that `select` is one query without placeholders.
    fn check_select(&self, context: &mut Context) {
        let mut placeholders = Vec::new();
        let mut words = 0;
        for token in Lexer::new(&self.select) {
            let token = match token {
                Ok(token) => token,
                Err(problem) => {
                    let mut found = context.field("select", problem.message);
                    found.hint = problem.hint;
                    return context.problems.push(found);
                }
            };
            match token.kind {
                TokenKind::Placeholder => placeholders.push(&self.select[token.start..token.end]),
                TokenKind::Semicolon => {
                    let problem =
                        context.field("select", "the query contains a `;`").hint("remove it: an unload runs one query");
                    return context.problems.push(problem);
                }
                TokenKind::Word | TokenKind::Number => words += 1,
                TokenKind::Space
                | TokenKind::Comment
                | TokenKind::QuotedIdentifier
                | TokenKind::Literal
                | TokenKind::Open
                | TokenKind::Close
                | TokenKind::Dot
                | TokenKind::Other => {}
            }
        }
        if words == 0 {
            let problem = context.field("select", "the query is empty");
            context.problems.push(problem);
        }
        // The problem below names the placeholders.
        if placeholders.is_empty() {
            let place = context.doc.place(&context.path.key("select"));
            let query = split(&self.select).unwrap_or_default();
            let warnings = unbound::in_unload_query(&query, &context.parameters(), &place);
            context.warnings.extend(warnings);
        }
        placeholders.sort_unstable();
        placeholders.dedup();
        if !placeholders.is_empty() {
            let problem = context
                .field(
                    "select",
                    format!("UNLOAD does not support parameters, and the query uses {}", list(placeholders)),
                )
                .hint("write the rows to a table in a sql job before this one, and unload that table");
            context.problems.push(problem);
        }
    }

    /// Reports combinations of options that Redshift refuses.
    fn check_options(&self, context: &mut Context) {
        let columnar = matches!(self.format, Format::Parquet | Format::Json);
        let text_only = [
            ("header", self.header && columnar),
            ("delimiter", self.delimiter.is_some() && columnar),
            ("null_as", self.null_as.is_some() && columnar),
            ("add_quotes", self.add_quotes && self.format != Format::Text),
            ("compression", self.compression.is_some() && self.format == Format::Parquet),
        ];
        for (field, _) in text_only.iter().filter(|(_, wrong)| *wrong) {
            let message = format!("format `{}` does not support `{field}`", self.format.as_str());
            let problem = context.field(field, message).hint("remove one of the two");
            context.problems.push(problem);
        }
        if self.allow_overwrite && self.clean_path {
            let problem = context.field("clean_path", "`clean_path` and `allow_overwrite` exclude each other").hint(
                "keep `clean_path` to delete all existing files, or `allow_overwrite` to keep files with other names",
            );
            context.problems.push(problem);
        }
        if let Some(delimiter) = &self.delimiter
            && (delimiter.chars().count() != 1 || !delimiter.is_ascii() || delimiter == "\\")
        {
            let problem = context.field("delimiter", "a delimiter must be one ASCII character other than a backslash");
            context.problems.push(problem);
        }
    }

    /// Returns the target with the values of the run, or `None` after it reported a problem.
    fn target(&self, context: &mut Context) -> Option<String> {
        let path = self.to.strip_prefix("s3://").unwrap_or_default();
        let bucket = path.split('/').next().unwrap_or_default();
        let is_bucket = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'));
        if !is_bucket {
            let problem =
                context.field("to", format!("`{}` is not a valid S3 URL", self.to)).hint("write `s3://bucket/prefix/`");
            context.problems.push(problem);
            return None;
        }
        match fill(&self.to, context.bindings) {
            Ok(to) => {
                let place = context.doc.place(&context.path.key("to"));
                let warnings = unbound::in_target(&self.to, &context.parameters(), &place);
                context.warnings.extend(warnings);
                Some(to)
            }
            Err(unknown) => {
                let problem = context.field("to", format!("`{unknown}` is not a known value"));
                context.problems.push(problem.one_of(&unknown, IN_TARGETS.map(|(braced, _)| braced)));
                None
            }
        }
    }

    fn columns(&self, context: &mut Context) -> Vec<String> {
        let path = context.path.key("partition_by");
        let mut columns = Vec::new();
        for (i, column) in self.partition_by.iter().enumerate() {
            match quote_identifier(column) {
                Ok(quoted) => columns.push(quoted),
                Err(wrong) => {
                    let problem = context.doc.problem(&path.index(i), wrong.to_string());
                    context.problems.push(problem);
                }
            }
        }
        columns
    }

    /// Checks the limits of Redshift: 5 MB to 6.2 GB.
    fn check_file_size(&self, context: &mut Context) {
        let Some(size) = self.max_file_size else { return };
        let (smallest, largest) = (5 << 20, 62 * (1 << 30) / 10);
        if !(smallest..=largest).contains(&size.bytes()) {
            let message = format!("`{size}` is not a size from 5 MB to 6.2 GB");
            let problem = context.field("max_file_size", message).hint("write `100 MB` or `1.5 GB`");
            context.problems.push(problem);
        }
    }

    fn render(&self, to: &str, columns: &[String]) -> String {
        let (select, target) = (quote_literal(self.select.trim()), quote_literal(to));
        let mut sql = format!("UNLOAD ({select})\nTO {target}\n{}", self.iam_role.clause());
        let mut option = |text: &str| {
            sql.push('\n');
            sql.push_str(text);
        };
        match self.format {
            Format::Csv => option("FORMAT AS CSV"),
            Format::Parquet => option("FORMAT AS PARQUET"),
            Format::Json => option("FORMAT AS JSON"),
            Format::Text => {}
        }
        if !columns.is_empty() {
            option(&format!("PARTITION BY ({})", columns.join(", ")));
        }
        if self.manifest {
            option("MANIFEST");
        }
        if self.header {
            option("HEADER");
        }
        if let Some(delimiter) = &self.delimiter {
            option(&format!("DELIMITER AS {}", quote_literal(delimiter)));
        }
        if let Some(null_as) = &self.null_as {
            option(&format!("NULL AS {}", quote_literal(null_as)));
        }
        if self.add_quotes {
            option("ADDQUOTES");
        }
        if let Some(key) = &self.kms_key_id {
            option(&format!("KMS_KEY_ID {} ENCRYPTED", quote_literal(key)));
        }
        match self.compression {
            Some(Compression::Gzip) => option("GZIP"),
            Some(Compression::Bzip2) => option("BZIP2"),
            Some(Compression::Zstd) => option("ZSTD"),
            None => {}
        }
        match self.parallel {
            Some(true) => option("PARALLEL ON"),
            Some(false) => option("PARALLEL OFF"),
            None => {}
        }
        if self.allow_overwrite {
            option("ALLOWOVERWRITE");
        }
        if self.clean_path {
            option("CLEANPATH");
        }
        if let Some(size) = self.max_file_size {
            option(&format!("MAXFILESIZE AS {size}"));
        }
        if let Some(region) = &self.region {
            option(&format!("REGION AS {}", quote_literal(region)));
        }
        sql
    }
}

impl Format {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}

/// The values that a target can contain. shiftwork creates them, so that the parameters of a request cannot change the target.
const IN_TARGETS: [(&str, &str); 2] =
    [("{run_date}", builtin::RUN_DATE), ("{workflow_execution_id}", builtin::WORKFLOW_EXECUTION_ID)];

/// Replaces the values in braces in a target. The error is the part in braces that is not a known value.
fn fill(to: &str, bindings: &BTreeMap<String, String>) -> Result<String, String> {
    let mut filled = String::with_capacity(to.len());
    let mut rest = to;
    while let Some((before, brace)) = rest.split_once(['{', '}']) {
        filled.push_str(before);
        let brace_at = rest.len() - brace.len() - 1;
        let from_brace = &rest[brace_at..];
        let known = IN_TARGETS.iter().find(|(braced, _)| from_brace.starts_with(braced));
        let Some((braced, text)) = known.and_then(|(braced, name)| Some((braced, bindings.get(*name)?))) else {
            let end = from_brace.find('}').map_or(from_brace.len(), |end| end + 1);
            return Err(from_brace[..end].to_owned());
        };
        filled.push_str(text);
        rest = &from_brace[braced.len()..];
    }
    filled.push_str(rest);
    Ok(filled)
}
