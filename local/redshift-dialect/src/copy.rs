//! Parses `COPY table FROM 's3://…'` into a [`CopySpec`].

use crate::lexer::Kind;
use crate::refusal::Refusal;
use crate::tree::{Cursor, Node, split_commas};
use crate::{Step, Translated};

/// A parsed `COPY … FROM`. Options that the statement does not contain have Redshift's default values.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "one a switch of the statement")]
pub struct CopySpec {
    /// Schema (optional) and name of the table, in lower case.
    pub table: Vec<String>,
    /// The column list, in lower case; empty for all columns.
    pub columns: Vec<String>,
    /// `s3://bucket/prefix`, or the URL of the manifest.
    pub from: String,
    /// File format and its options.
    pub format: CopyFormat,
    /// Compression of every file.
    pub compression: Compression,
    /// `MANIFEST`: `from` is the URL of a JSON manifest, not a key prefix.
    pub manifest: bool,
    /// `IGNOREHEADER n`: number of lines to skip at the start of each file.
    pub ignore_header: u64,
    /// `NULL AS 'text'`: fields with this text are NULL. Default `\N`.
    pub null_as: String,
    /// `EMPTYASNULL`: empty CHAR and VARCHAR fields are NULL.
    pub empty_as_null: bool,
    /// `BLANKSASNULL`: CHAR and VARCHAR fields that contain only white space are NULL.
    pub blanks_as_null: bool,
    /// `DATEFORMAT [AS] 'format'`; may be `auto`.
    pub date_format: Option<String>,
    /// `TIMEFORMAT [AS] 'format'`; may be `auto`, `epochsecs` or `epochmillisecs`.
    pub time_format: Option<String>,
    /// `ACCEPTINVCHARS [AS] 'c'`: the replacement for each byte of invalid UTF-8; default `?`.
    pub accept_inv_chars: Option<char>,
    /// `ACCEPTANYDATE`: a date that cannot be parsed is NULL.
    pub accept_any_date: bool,
    /// `TRUNCATECOLUMNS`: a VARCHAR that is too long is truncated instead of rejected.
    pub truncate_columns: bool,
    /// `FILLRECORD`: missing fields at the end of a record are NULL (empty text for VARCHAR in CSV and text).
    pub fill_record: bool,
    /// `TRIMBLANKS`: trailing white space of VARCHAR fields is removed.
    pub trim_blanks: bool,
    /// `IGNOREBLANKLINES`.
    pub ignore_blank_lines: bool,
    /// `ROUNDEC`: numbers are rounded to the scale of the column instead of truncated.
    pub round_decimals: bool,
    /// `EXPLICIT_IDS`: the file contains the values of the IDENTITY column.
    pub explicit_ids: bool,
    /// `MAXERROR [AS] n`: number of invalid records that the load tolerates. Default 0.
    pub max_error: u64,
    /// `NOLOAD`: check the files without loading them.
    pub no_load: bool,
    /// `REGION [AS] 'name'`.
    pub region: Option<String>,
    /// `IAM_ROLE 'arn'` or `default`.
    pub iam_role: Option<String>,
}

/// The format of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyFormat {
    /// Delimited text, the default.
    Text(TextOptions),
    /// `CSV`.
    Csv(CsvOptions),
    /// `JSON`.
    Json(JsonShape),
    /// `PARQUET`.
    Parquet {
        /// `SERIALIZETOJSON`: lists, maps and structs are loaded into SUPER columns.
        serialize_to_json: bool,
    },
}

/// Options that COPY supports with `PARQUET` (Redshift docs, "COPY from columnar data formats").
const WITH_PARQUET: [&str; 8] =
    ["ACCEPTINVCHARS", "EXPLICIT_IDS", "FILLRECORD", "FORMAT", "IAM_ROLE", "MANIFEST", "PARQUET", "STATUPDATE"];

/// Options of delimited text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextOptions {
    /// `DELIMITER`, default `|`.
    pub delimiter: char,
    /// `ESCAPE`: a backslash escapes the character after it.
    pub escape: bool,
    /// `REMOVEQUOTES`: quotes around a field are removed.
    pub remove_quotes: bool,
}

/// Options of CSV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// `DELIMITER`, default `,`.
    pub delimiter: char,
    /// `QUOTE`, default `"`; it is doubled inside a quoted field.
    pub quote: char,
}

/// The mapping of JSON objects to columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonShape {
    /// `'auto'`: keys are matched to column names.
    Auto,
    /// `'auto ignorecase'`.
    AutoIgnoreCase,
    /// `'noshred'`: the whole object is loaded into a single SUPER column.
    NoShred,
    /// `'s3://…'` of a JSONPaths file.
    Paths(String),
}

/// Compression of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not compressed.
    #[default]
    None,
    /// `GZIP`.
    Gzip,
    /// `ZSTD`.
    Zstd,
}

/// The value of a string literal, without escapes.
pub(crate) fn text_of(node: &Node) -> Option<String> {
    let token = node.token()?;
    match token.kind {
        Kind::Dollar => {
            let tag = token.text[1..].find('$')? + 2;
            Some(token.text[tag..token.text.len() - tag].to_owned())
        }
        Kind::Str => {
            let start = token.text.find('\'')? + 1;
            let mut out = String::new();
            let mut chars = token.text[start..token.text.len() - 1].chars();
            while let Some(c) = chars.next() {
                match c {
                    '\'' => out.extend(chars.next()),
                    '\\' => match chars.next() {
                        Some('n') => out.push('\n'),
                        Some('t') => out.push('\t'),
                        Some('r') => out.push('\r'),
                        Some('b') => out.push('\u{8}'),
                        Some('f') => out.push('\u{c}'),
                        Some(digit @ '0'..='7') => out.push(octal(digit, &mut chars)),
                        Some(other) => out.push(other),
                        None => {}
                    },
                    other => out.push(other),
                }
            }
            Some(out)
        }
        Kind::Word
        | Kind::Quoted
        | Kind::Number
        | Kind::Param
        | Kind::Positional
        | Kind::Op
        | Kind::Open
        | Kind::Close => None,
    }
}

/// The character of `\0` to `\377`: up to three octal digits.
fn octal(first: char, chars: &mut std::str::Chars<'_>) -> char {
    let mut value = first.to_digit(8).unwrap_or(0);
    for _ in 0..2 {
        let Some(digit) = chars.clone().next().and_then(|c| c.to_digit(8)) else { break };
        chars.next();
        value = value * 8 + digit;
    }
    char::from_u32(value & 0xff).unwrap_or('?')
}

pub(crate) fn string(c: &mut Cursor<'_>, what: &str) -> Result<String, Refusal> {
    c.eat(&["as"]);
    let text = c.peek().and_then(text_of).ok_or_else(|| c.unexpected(&format!("a string: {what}")))?;
    c.bump();
    Ok(text)
}

pub(crate) fn character(c: &mut Cursor<'_>, what: &str) -> Result<char, Refusal> {
    let at = c.at();
    let text = string(c, what)?;
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(Refusal::not_redshift(at, what, "it must be a single character")),
    }
}

pub(crate) fn integer(c: &mut Cursor<'_>, what: &str) -> Result<u64, Refusal> {
    c.eat(&["as"]);
    let value = c.peek().filter(|n| n.is_number()).and_then(|n| n.token()?.text.parse().ok());
    let value = value.ok_or_else(|| c.unexpected(&format!("a whole number: {what}")))?;
    c.bump();
    Ok(value)
}

/// Parses `ON`, `OFF`, `TRUE` or `FALSE`; returns `default` if none of them follows.
pub(crate) fn switch(c: &mut Cursor<'_>, default: bool) -> bool {
    if c.eat(&["on"]) || c.eat(&["true"]) {
        true
    } else if c.eat(&["off"]) || c.eat(&["false"]) {
        false
    } else {
        default
    }
}

/// Parses an authorization clause of COPY or UNLOAD; returns true if there was one, and stores its role.
pub(crate) fn authorization(c: &mut Cursor<'_>, role: &mut Option<String>) -> Result<bool, Refusal> {
    let at = c.at();
    if c.eat(&["iam_role"]) {
        *role = Some(if c.eat(&["default"]) { "default".to_owned() } else { string(c, "IAM_ROLE")? });
        return Ok(true);
    }
    for keyed in ["credentials", "access_key_id", "secret_access_key", "session_token"] {
        if c.sees(&[keyed]) || c.sees(&["with", keyed]) {
            return Err(Refusal::not_translated(at, keyed.to_uppercase(), "access keys in SQL are not supported")
                .instead("IAM_ROLE"));
        }
    }
    Ok(false)
}

#[derive(Default)]
struct FormatOptions {
    delimiter: Option<char>,
    quote: Option<char>,
    escape: bool,
    remove_quotes: bool,
    csv: bool,
    json: Option<JsonShape>,
    /// Some if the format is PARQUET; true with `SERIALIZETOJSON`.
    parquet: Option<bool>,
}

pub(crate) fn copy(mut c: Cursor<'_>) -> Result<Translated, Refusal> {
    c.expect(&["copy"])?;
    let start = c.at();
    if c.sees(&["job"]) && !c.sees(&["job", "from"]) && c.peek_at(1).is_some_and(Node::is_name) {
        return Err(Refusal::not_translated(start, "COPY JOB", "it has no local counterpart"));
    }
    let table = c.qualified("a table name")?;
    let mut columns = Vec::new();
    if let Some(group) = c.peek().and_then(Node::parens) {
        c.bump();
        for part in split_commas(&group.body) {
            let mut part = Cursor::new(part);
            columns.push(part.name("a column name")?);
            part.expect_done()?;
        }
    }
    c.expect(&["from"])?;
    let at = c.at();
    if c.sees(&["stdin"]) {
        return Err(
            Refusal::not_redshift(at, "COPY FROM STDIN", "files are loaded from Amazon S3").instead("FROM 's3://…'")
        );
    }
    let from = string(&mut c, "'s3://bucket/prefix'")?;
    if !from.starts_with("s3://") {
        return Err(Refusal::not_translated(
            at,
            format!("COPY FROM '{from}'"),
            "only s3:// is supported (not DynamoDB, EMR or SSH)",
        ));
    }
    let mut spec = CopySpec {
        table,
        columns,
        from,
        format: CopyFormat::Text(TextOptions { delimiter: '|', escape: false, remove_quotes: false }),
        compression: Compression::None,
        manifest: false,
        ignore_header: 0,
        null_as: "\\N".to_owned(),
        empty_as_null: false,
        blanks_as_null: false,
        date_format: None,
        time_format: None,
        accept_inv_chars: None,
        accept_any_date: false,
        truncate_columns: false,
        fill_record: false,
        trim_blanks: false,
        ignore_blank_lines: false,
        round_decimals: false,
        explicit_ids: false,
        max_error: 0,
        no_load: false,
        region: None,
        iam_role: None,
    };
    let mut options = FormatOptions::default();
    let mut given = Vec::new();
    while !c.done() {
        given.extend(c.peek().map(|node| (node.at(), node.shown().to_uppercase())));
        if !authorization(&mut c, &mut spec.iam_role)?
            && !layout(&mut c, &mut options, &mut spec)?
            && !conversion(&mut c, &mut spec)?
        {
            return Err(unknown(&c));
        }
    }
    spec.format = options.format(start)?;
    if let CopyFormat::Parquet { .. } = spec.format
        && let Some((at, option)) = given.iter().find(|(_, option)| !WITH_PARQUET.contains(&option.as_str()))
    {
        let reason = format!("{option} argument is not supported for PARQUET based COPY");
        return Err(Refusal::not_redshift(*at, format!("COPY option {option}"), reason));
    }
    if spec.iam_role.is_none() {
        return Err(Refusal::not_redshift(
            start,
            "COPY without authorization",
            "it needs IAM_ROLE 'arn' or IAM_ROLE default",
        ));
    }
    Ok(Translated::steps("COPY", vec![Step::Copy(Box::new(spec))]))
}

fn unknown(c: &Cursor<'_>) -> Refusal {
    let Some(node) = c.peek() else { return c.unexpected("an option") };
    let option = node.shown().to_uppercase();
    let known = [
        "bzip2",
        "lzop",
        "fixedwidth",
        "shapefile",
        "avro",
        "orc",
        "encrypted",
        "encoding",
        "ssh",
        "comprows",
        "readratio",
        "master_symmetric_key",
        "kms_key_id",
        "job",
        "simplify",
    ];
    if node.is_any_word(&known) {
        return Refusal::not_translated(node.at(), format!("COPY option {option}"), "this option is not supported");
    }
    Refusal::syntax(node.at(), format!("COPY option {option}"), "it is not an option of COPY")
}

/// Parses options of the file format.
fn layout(c: &mut Cursor<'_>, options: &mut FormatOptions, spec: &mut CopySpec) -> Result<bool, Refusal> {
    let at = c.at();
    if c.eat(&["format"]) {
        c.eat(&["as"]);
        return match c.peek().filter(|n| n.is_any_word(&["csv", "json", "parquet"])) {
            Some(_) => layout(c, options, spec),
            None => Err(unknown(c)),
        };
    }
    if c.eat(&["csv"]) {
        options.csv = true;
    } else if c.eat(&["json"]) {
        c.eat(&["as"]);
        options.json = Some(match c.peek().and_then(text_of) {
            None => JsonShape::Auto,
            Some(text) => {
                c.bump();
                json_shape(&text, at)?
            }
        });
    } else if c.eat(&["parquet"]) {
        options.parquet = Some(c.eat(&["serializetojson"]));
    } else if c.eat(&["delimiter"]) {
        options.delimiter = Some(character(c, "DELIMITER")?);
    } else if c.eat(&["quote"]) {
        options.quote = Some(character(c, "QUOTE")?);
    } else if c.eat(&["escape"]) {
        options.escape = true;
    } else if c.eat(&["removequotes"]) {
        options.remove_quotes = true;
    } else if c.eat(&["gzip"]) {
        spec.compression = Compression::Gzip;
    } else if c.eat(&["zstd"]) {
        spec.compression = Compression::Zstd;
    } else if c.eat(&["manifest"]) {
        spec.manifest = true;
    } else if c.eat(&["ignoreheader"]) {
        spec.ignore_header = integer(c, "IGNOREHEADER")?;
    } else if c.eat(&["ignoreblanklines"]) {
        spec.ignore_blank_lines = true;
    } else if c.eat(&["encoding"]) {
        c.eat(&["as"]);
        if !c.eat(&["utf8"]) && c.peek().and_then(text_of).is_none_or(|e| !e.eq_ignore_ascii_case("utf8")) {
            return Err(Refusal::not_translated(at, "COPY option ENCODING", "only UTF8 is supported"));
        } else if c.peek().is_some_and(Node::is_string) {
            c.bump();
        }
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// Parses options of the conversion of values and of the load.
fn conversion(c: &mut Cursor<'_>, spec: &mut CopySpec) -> Result<bool, Refusal> {
    if c.eat(&["null"]) {
        spec.null_as = string(c, "NULL AS")?;
    } else if c.eat(&["emptyasnull"]) {
        spec.empty_as_null = true;
    } else if c.eat(&["blanksasnull"]) {
        spec.blanks_as_null = true;
    } else if c.eat(&["dateformat"]) {
        spec.date_format = Some(string(c, "DATEFORMAT")?);
    } else if c.eat(&["timeformat"]) {
        spec.time_format = Some(string(c, "TIMEFORMAT")?);
    } else if c.eat(&["acceptinvchars"]) {
        let given = c.sees(&["as"]) || c.peek().is_some_and(Node::is_string);
        spec.accept_inv_chars = Some(if given { character(c, "ACCEPTINVCHARS")? } else { '?' });
    } else if c.eat(&["acceptanydate"]) {
        spec.accept_any_date = true;
    } else if c.eat(&["truncatecolumns"]) {
        spec.truncate_columns = true;
    } else if c.eat(&["fillrecord"]) {
        spec.fill_record = true;
    } else if c.eat(&["trimblanks"]) {
        spec.trim_blanks = true;
    } else if c.eat(&["roundec"]) {
        spec.round_decimals = true;
    } else if c.eat(&["explicit_ids"]) {
        spec.explicit_ids = true;
    } else if c.eat(&["maxerror"]) {
        spec.max_error = integer(c, "MAXERROR")?;
    } else if c.eat(&["noload"]) {
        spec.no_load = true;
    } else if c.eat(&["region"]) {
        spec.region = Some(string(c, "REGION")?);
    } else if c.eat(&["compupdate"]) {
        if !c.eat(&["preset"]) {
            switch(c, true);
        }
    } else if c.eat(&["statupdate"]) {
        switch(c, true);
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn json_shape(text: &str, at: usize) -> Result<JsonShape, Refusal> {
    match text.to_lowercase().as_str() {
        "auto" => Ok(JsonShape::Auto),
        "auto ignorecase" => Ok(JsonShape::AutoIgnoreCase),
        "noshred" => Ok(JsonShape::NoShred),
        path if path.starts_with("s3://") => Ok(JsonShape::Paths(text.to_owned())),
        _ => Err(Refusal::syntax(
            at,
            format!("JSON '{text}'"),
            "expected 'auto', 'auto ignorecase', 'noshred' or an s3:// JSONPaths file",
        )),
    }
}

impl FormatOptions {
    fn format(self, at: usize) -> Result<CopyFormat, Refusal> {
        let conflict =
            |what: &str, with: &str| Err(Refusal::not_redshift(at, what, format!("it cannot be used with {with}")));
        let text_only =
            self.csv || self.delimiter.is_some() || self.quote.is_some() || self.escape || self.remove_quotes;
        if let Some(serialize_to_json) = self.parquet {
            return if text_only || self.json.is_some() {
                conflict("PARQUET", "another format or its options")
            } else {
                Ok(CopyFormat::Parquet { serialize_to_json })
            };
        }
        if let Some(shape) = self.json {
            return if text_only {
                conflict("JSON", "CSV, DELIMITER, QUOTE, ESCAPE or REMOVEQUOTES")
            } else {
                Ok(CopyFormat::Json(shape))
            };
        }
        if self.csv {
            if self.escape || self.remove_quotes {
                return conflict("CSV", "ESCAPE or REMOVEQUOTES");
            }
            return Ok(CopyFormat::Csv(CsvOptions {
                delimiter: self.delimiter.unwrap_or(','),
                quote: self.quote.unwrap_or('"'),
            }));
        }
        if self.quote.is_some() {
            return conflict("QUOTE", "anything but CSV");
        }
        let delimiter = self.delimiter.unwrap_or('|');
        Ok(CopyFormat::Text(TextOptions { delimiter, escape: self.escape, remove_quotes: self.remove_quotes }))
    }
}
