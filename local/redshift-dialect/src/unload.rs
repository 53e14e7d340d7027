//! Parses `UNLOAD ('query') TO 's3://…'` into an [`UnloadSpec`].

use crate::copy::{Compression, authorization, character, integer, string, switch, text_of};
use crate::refusal::Refusal;
use crate::tree::{Cursor, split_commas};
use crate::{Step, Translated};

/// A parsed `UNLOAD`. Options that the statement does not contain have Redshift's default values.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "one a switch of the statement")]
pub struct UnloadSpec {
    /// The query, translated to PostgreSQL.
    pub query: String,
    /// `s3://bucket/prefix`; file names are appended to it.
    pub to: String,
    /// The format of the files.
    pub format: UnloadFormat,
    /// Compression of every file.
    pub compression: Compression,
    /// `HEADER`: the first line of each file contains the column names.
    pub header: bool,
    /// `NULL AS 'text'`; default is the empty string.
    pub null_as: String,
    /// `PARALLEL`: `true` (the default) writes one or more files per slice; `false` writes files sequentially, in the
    /// order of the query.
    pub parallel: bool,
    /// `ALLOWOVERWRITE`: existing files may be overwritten.
    pub allow_overwrite: bool,
    /// `CLEANPATH`: existing files under the path are deleted first.
    pub clean_path: bool,
    /// `MANIFEST`.
    pub manifest: bool,
    /// `MANIFEST VERBOSE`: the manifest also contains columns, sizes and row counts.
    pub manifest_verbose: bool,
    /// `MAXFILESIZE` in bytes; default 6.2 GB.
    pub max_file_size: u64,
    /// `PARTITION BY (columns)`, in lower case.
    pub partition_by: Vec<String>,
    /// `PARTITION BY … INCLUDE`: the files contain the partition columns.
    pub partition_include: bool,
    /// `EXTENSION 'name'`: the extension of the file names.
    pub extension: Option<String>,
    /// `REGION [AS] 'name'`.
    pub region: Option<String>,
    /// `IAM_ROLE 'arn'` or `default`.
    pub iam_role: Option<String>,
}

/// The format of unloaded files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnloadFormat {
    /// Delimited text, the default.
    Text {
        /// `DELIMITER`, default `|`.
        delimiter: char,
        /// `ADDQUOTES`.
        add_quotes: bool,
        /// `ESCAPE`.
        escape: bool,
    },
    /// `CSV`.
    Csv {
        /// `DELIMITER`, default `,`.
        delimiter: char,
    },
    /// `JSON`: one object per line.
    Json,
    /// `PARQUET`.
    Parquet,
}

const MB: u64 = 1024 * 1024;
/// `MAXFILESIZE` must be between 5 MB and 6.2 GB.
const MIN_FILE: u64 = 5 * MB;
const MAX_FILE: u64 = 6_348 * MB;

#[derive(Default)]
struct FormatOptions {
    word: Option<&'static str>,
    delimiter: Option<char>,
    add_quotes: bool,
    escape: bool,
}

pub(crate) fn unload(mut c: Cursor<'_>) -> Result<Translated, Refusal> {
    c.expect(&["unload"])?;
    let group = c.expect_parens("('query')")?;
    let [quoted] = &group.body[..] else {
        return Err(Refusal::syntax(group.open.at, "UNLOAD", "expected one quoted query in the parentheses"));
    };
    let Some(text) = text_of(quoted) else {
        return Err(Refusal::syntax(quoted.at(), quoted.shown(), "expected the query as a quoted string"));
    };
    let query = inner(&text, quoted.at())?;
    c.expect(&["to"])?;
    let at = c.at();
    let to = string(&mut c, "'s3://bucket/prefix'")?;
    if !to.starts_with("s3://") {
        return Err(Refusal::syntax(at, format!("TO '{to}'"), "expected 's3://bucket/prefix'"));
    }
    let mut spec = UnloadSpec {
        query,
        to,
        format: UnloadFormat::Json,
        compression: Compression::None,
        header: false,
        null_as: String::new(),
        parallel: true,
        allow_overwrite: false,
        clean_path: false,
        manifest: false,
        manifest_verbose: false,
        max_file_size: MAX_FILE,
        partition_by: Vec::new(),
        partition_include: false,
        extension: None,
        region: None,
        iam_role: None,
    };
    let mut options = FormatOptions::default();
    while !c.done() {
        if !authorization(&mut c, &mut spec.iam_role)?
            && !layout(&mut c, &mut options, &mut spec)?
            && !target(&mut c, &mut spec)?
        {
            let Some(node) = c.peek() else { break };
            let option = format!("UNLOAD option {}", node.shown().to_uppercase());
            let known =
                ["bzip2", "fixedwidth", "encrypted", "kms_key_id", "master_symmetric_key", "rowgroupsize", "iceberg"];
            return Err(if node.is_any_word(&known) {
                Refusal::not_translated(node.at(), option, "this option is not supported")
            } else {
                Refusal::syntax(node.at(), option, "it is not an option of UNLOAD")
            });
        }
    }
    spec.format = options.format(at)?;
    check(&spec, at)?;
    Ok(Translated::steps("UNLOAD", vec![Step::Unload(Box::new(spec))]))
}

/// Translates the quoted query: a SELECT that Redshift allows in UNLOAD (without LIMIT in the outer query).
fn inner(text: &str, at: usize) -> Result<String, Refusal> {
    let in_unload = |refusal: Refusal| {
        let inside = refusal.located_in(text);
        Refusal {
            construct: format!("{} in the query of UNLOAD", inside.construct),
            offset: at,
            line: 0,
            column: 0,
            ..inside
        }
    };
    let nodes = crate::translator::parse(text).map_err(in_unload)?;
    if !nodes.first().is_some_and(|n| n.is_any_word(&["select", "with"])) {
        return Err(Refusal::syntax(at, "UNLOAD", "its query must be a SELECT"));
    }
    if let Some(limit) = nodes.iter().find(|n| n.is_word("limit")) {
        return Err(Refusal::not_redshift(
            at,
            limit.shown().to_uppercase(),
            "LIMIT is not supported in the outer SELECT of UNLOAD",
        )
        .instead("select * from (select … limit n)"));
    }
    let translated = crate::translator::dispatch(&nodes, None).map_err(in_unload)?;
    match &translated.steps[..] {
        [Step::Sql(sql)] if translated.returns_rows => Ok(sql.clone()),
        _ => Err(Refusal::syntax(at, "UNLOAD", "its query must be a SELECT")),
    }
}

fn layout(c: &mut Cursor<'_>, options: &mut FormatOptions, spec: &mut UnloadSpec) -> Result<bool, Refusal> {
    let at = c.at();
    if c.eat(&["format"]) {
        c.eat(&["as"]);
        return if c.sees(&["csv"]) || c.sees(&["json"]) || c.sees(&["parquet"]) {
            layout(c, options, spec)
        } else {
            Err(c.unexpected("CSV, JSON or PARQUET"))
        };
    }
    for word in ["csv", "json", "parquet"] {
        if c.eat(&[word]) {
            if options.word.is_some_and(|w| w != word) {
                return Err(Refusal::syntax(at, word.to_uppercase(), "conflicting formats"));
            }
            options.word = Some(word);
            return Ok(true);
        }
    }
    if c.eat(&["delimiter"]) {
        options.delimiter = Some(character(c, "DELIMITER")?);
    } else if c.eat(&["addquotes"]) {
        options.add_quotes = true;
    } else if c.eat(&["escape"]) {
        options.escape = true;
    } else if c.eat(&["header"]) {
        spec.header = true;
    } else if c.eat(&["gzip"]) {
        spec.compression = Compression::Gzip;
    } else if c.eat(&["zstd"]) {
        spec.compression = Compression::Zstd;
    } else if c.eat(&["null"]) {
        spec.null_as = string(c, "NULL AS")?;
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn target(c: &mut Cursor<'_>, spec: &mut UnloadSpec) -> Result<bool, Refusal> {
    if c.eat(&["parallel"]) {
        spec.parallel = switch(c, true);
    } else if c.eat(&["allowoverwrite"]) {
        spec.allow_overwrite = true;
    } else if c.eat(&["cleanpath"]) {
        spec.clean_path = true;
    } else if c.eat(&["manifest"]) {
        spec.manifest = true;
        spec.manifest_verbose = c.eat(&["verbose"]);
    } else if c.eat(&["maxfilesize"]) {
        spec.max_file_size = file_size(c)?;
    } else if c.eat(&["partition", "by"]) {
        let group = c.expect_parens("(columns)")?;
        for part in split_commas(&group.body) {
            spec.partition_by.push(Cursor::new(part).name("a column name")?);
        }
        spec.partition_include = c.eat(&["include"]);
    } else if c.eat(&["extension"]) {
        spec.extension = Some(string(c, "EXTENSION")?);
    } else if c.eat(&["region"]) {
        spec.region = Some(string(c, "REGION")?);
    } else {
        return Ok(false);
    }
    Ok(true)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // sizes below 6.2 GB
fn file_size(c: &mut Cursor<'_>) -> Result<u64, Refusal> {
    c.eat(&["as"]);
    let at = c.at();
    let number: f64 = match c.peek().filter(|n| n.is_number()).and_then(|n| n.token()?.text.parse().ok()) {
        Some(number) => {
            c.bump();
            number
        }
        None => integer(c, "MAXFILESIZE")? as f64,
    };
    let unit = if c.eat(&["gb"]) { 1024 * MB } else { MB };
    c.eat(&["mb"]);
    let bytes = (number * unit as f64) as u64;
    if (MIN_FILE..=MAX_FILE).contains(&bytes) {
        Ok(bytes)
    } else {
        Err(Refusal::not_redshift(at, "MAXFILESIZE", "it must be between 5 MB and 6.2 GB"))
    }
}

impl FormatOptions {
    fn format(self, at: usize) -> Result<UnloadFormat, Refusal> {
        let word = self.word.unwrap_or("text");
        if word != "text" && (self.add_quotes || self.escape) {
            return Err(Refusal::not_redshift(at, word.to_uppercase(), "it cannot be used with ADDQUOTES or ESCAPE"));
        }
        if matches!(word, "json" | "parquet") && self.delimiter.is_some() {
            return Err(Refusal::not_redshift(at, word.to_uppercase(), "it cannot be used with DELIMITER"));
        }
        Ok(match word {
            "csv" => UnloadFormat::Csv { delimiter: self.delimiter.unwrap_or(',') },
            "json" => UnloadFormat::Json,
            "parquet" => UnloadFormat::Parquet,
            _ => UnloadFormat::Text {
                delimiter: self.delimiter.unwrap_or('|'),
                add_quotes: self.add_quotes,
                escape: self.escape,
            },
        })
    }
}

fn check(spec: &UnloadSpec, at: usize) -> Result<(), Refusal> {
    let columnar = matches!(spec.format, UnloadFormat::Parquet);
    let refuse = |what: &str, why: &str| Err(Refusal::not_redshift(at, what, why));
    if spec.iam_role.is_none() {
        return refuse("UNLOAD without authorization", "it needs IAM_ROLE 'arn' or IAM_ROLE default");
    }
    if columnar && (spec.compression != Compression::None || spec.header || !spec.null_as.is_empty()) {
        return refuse("PARQUET", "it cannot be used with GZIP, ZSTD, HEADER or NULL AS");
    }
    if matches!(spec.format, UnloadFormat::Json) && (spec.header || !spec.null_as.is_empty()) {
        return refuse("JSON", "it cannot be used with HEADER or NULL AS");
    }
    if spec.allow_overwrite && spec.clean_path {
        return refuse("CLEANPATH", "it cannot be used with ALLOWOVERWRITE");
    }
    if spec.manifest && !spec.partition_by.is_empty() && spec.to.is_empty() {
        return refuse("MANIFEST", "it needs a path");
    }
    Ok(())
}
