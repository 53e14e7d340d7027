//! `CREATE TABLE` in its three forms: with columns, `AS` a query, and `LIKE` another table.

use crate::Translated;
use crate::names::printed as name_sql;
use crate::refusal::Refusal;
use crate::scope::Scope;
use crate::translator::{Translator, printed};
use crate::tree::{Cursor, Node, quoted, split_commas};
use crate::types::{self, Type, Use};

/// Maximum number of columns of a table.
const MAX_COLUMNS: usize = 1_600;
const MAX_COMPOUND_SORTKEY: usize = 400;
const MAX_INTERLEAVED_SORTKEY: usize = 8;

/// Redshift's storage attributes of a table; they are checked and then dropped.
#[derive(Debug, Default)]
struct Storage {
    style: Option<(String, usize)>,
    distkey: Option<(String, usize)>,
    sortkey: Option<(Vec<String>, usize)>,
    column_sortkey: bool,
}

#[derive(Debug)]
struct Column {
    name: String,
    ty: Type,
    sql: String,
}

pub(crate) fn create(mut c: Cursor<'_>, t: &mut Translator<'_>) -> Result<Translated, Refusal> {
    let global = c.at();
    if c.eat(&["global"]) {
        return Err(Refusal::not_redshift(global, "GLOBAL TEMPORARY", "a temporary table is local to its session")
            .instead("TEMP"));
    }
    c.eat(&["local"]);
    let mut temporary = c.eat(&["temp"]) || c.eat(&["temporary"]);
    c.expect(&["table"])?;
    let if_not_exists = c.eat(&["if", "not", "exists"]);
    let name = c.qualified("a table name")?;
    temporary |= name.last().is_some_and(|n| n.starts_with('#'));
    let head = format!(
        "CREATE {}TABLE {}{}",
        if temporary { "TEMPORARY " } else { "" },
        if if_not_exists { "IF NOT EXISTS " } else { "" },
        name_sql(&name)
    );

    let definition = c.peek().and_then(Node::parens).filter(|g| is_definition(&g.body));
    if let Some(group) = definition {
        c.bump();
        let mut storage = Storage::default();
        let body = columns(&group.body, &mut storage, t)?;
        attributes(&mut c, &mut storage)?;
        if c.sees(&["as"]) {
            return Err(Refusal::not_redshift(c.at(), "AS", "CREATE TABLE AS has column names without types"));
        }
        c.expect_done()?;
        storage.check(&body.1)?;
        return Ok(Translated::sql("CREATE TABLE", format!("{head} ({})", body.0)));
    }

    let mut names = String::new();
    if let Some(group) = c.peek().and_then(Node::parens) {
        c.bump();
        let mut list = Vec::new();
        for part in split_commas(&group.body) {
            let mut part = Cursor::new(part);
            list.push(quoted(&part.name("a column name")?));
            part.expect_done()?;
        }
        names = format!(" ({})", list.join(", "));
    }
    attributes(&mut c, &mut Storage::default())?;
    c.expect(&["as"])?;
    if let Some(with) = no_data(c.rest()) {
        return Err(Refusal::not_redshift(with, "WITH [NO] DATA", "CREATE TABLE AS has no such clause"));
    }
    let query = crate::query::embedded(c.rest(), t, &Scope::default())?;
    Ok(Translated::sql("CREATE TABLE AS", format!("{head}{names} AS {}", printed(&query))))
}

fn no_data(nodes: &[Node]) -> Option<usize> {
    let n = nodes.len();
    (n > 2 && nodes[n - 1].is_word("data")).then(|| nodes[n - 1].at())
}

/// True if the parentheses contain a definition (`name type` or `LIKE`); the column list of CREATE TABLE AS contains
/// only names.
fn is_definition(body: &[Node]) -> bool {
    split_commas(body).iter().any(|part| part.len() > 1)
}

/// The column list for PostgreSQL, and the parsed columns.
fn columns(body: &[Node], storage: &mut Storage, t: &mut Translator<'_>) -> Result<(String, Vec<Column>), Refusal> {
    let mut columns: Vec<Column> = Vec::new();
    let mut others = Vec::new();
    let mut keys = Vec::new();
    let mut like = false;
    for part in split_commas(body) {
        let mut c = Cursor::new(part);
        if c.eat(&["like"]) {
            others.push(like_clause(&mut c)?);
            like = true;
        } else if c.peek().is_some_and(|n| n.is_any_word(&["constraint", "primary", "unique", "foreign"])) {
            constraint(&mut c, &mut keys)?;
        } else if c.sees(&["check"]) || c.sees(&["exclude"]) {
            return Err(Refusal::not_redshift(
                c.at(),
                c.peek().map_or_else(String::new, Node::shown),
                "check constraints are not supported",
            ));
        } else {
            let column = column(&mut c, storage, t)?;
            if columns.iter().any(|other| other.name == column.name) {
                return Err(Refusal::syntax(part[0].at(), quoted(&column.name), "column specified more than once"));
            }
            columns.push(column);
        }
    }
    if columns.len() > MAX_COLUMNS {
        return Err(Refusal::not_redshift(
            body[0].at(),
            "the table",
            format!("a table has at most {MAX_COLUMNS} columns"),
        ));
    }
    for (key, at) in keys {
        let Some(column) = columns.iter_mut().find(|column| column.name == key) else {
            if like {
                continue;
            }
            return Err(Refusal::syntax(at, quoted(&key), "the column of the key does not exist"));
        };
        if !column.sql.contains(" NOT NULL") {
            column.sql.push_str(" NOT NULL");
        }
    }
    let text = columns.iter().map(|column| column.sql.clone()).chain(others).collect::<Vec<_>>().join(", ");
    Ok((text, if like { Vec::new() } else { columns }))
}

fn like_clause(c: &mut Cursor<'_>) -> Result<String, Refusal> {
    let parent = c.qualified("a table name")?;
    let defaults = if c.eat(&["including", "defaults"]) {
        " INCLUDING DEFAULTS"
    } else {
        c.eat(&["excluding", "defaults"]);
        ""
    };
    if let Some(node) = c.peek().filter(|n| n.is_any_word(&["including", "excluding"])) {
        return Err(Refusal::not_redshift(node.at(), "LIKE option", "only DEFAULTS can be included"));
    }
    c.expect_done()?;
    // In Redshift the byte limit of VARCHAR is a part of the type; the translation adds a check constraint.
    Ok(format!("LIKE {}{defaults} INCLUDING CONSTRAINTS", name_sql(&parent)))
}

/// Parses a table constraint. Redshift does not enforce keys, but the columns of a primary key are NOT NULL.
fn constraint(c: &mut Cursor<'_>, keys: &mut Vec<(String, usize)>) -> Result<(), Refusal> {
    if c.eat(&["constraint"]) {
        c.name("a constraint name")?;
    }
    if c.eat(&["primary", "key"]) {
        let group = c.expect_parens("the columns of the key")?;
        for part in split_commas(&group.body) {
            keys.push((Cursor::new(part).name("a column name")?, part.first().map_or(group.open.at, Node::at)));
        }
    } else if c.eat(&["unique"]) {
        c.expect_parens("the columns of the key")?;
    } else if c.eat(&["foreign", "key"]) {
        c.expect_parens("the columns of the key")?;
        references(c)?;
    } else {
        return Err(c.unexpected("PRIMARY KEY, UNIQUE or FOREIGN KEY"));
    }
    c.expect_done()
}

fn references(c: &mut Cursor<'_>) -> Result<(), Refusal> {
    c.expect(&["references"])?;
    c.qualified("a table name")?;
    if c.peek().is_some_and(|n| n.parens().is_some()) {
        c.bump();
    }
    match c.peek().filter(|n| n.is_any_word(&["on", "match", "deferrable", "initially"])) {
        Some(n) => Err(Refusal::not_redshift(
            n.at(),
            n.shown().to_uppercase(),
            "a foreign key is not enforced and cannot have actions",
        )),
        None => Ok(()),
    }
}

fn column(c: &mut Cursor<'_>, storage: &mut Storage, t: &mut Translator<'_>) -> Result<Column, Refusal> {
    let name = c.name("a column name")?;
    let at = c.at();
    let ty = types::expect(c, Use::Column)?;
    let mut sql = format!("{} {}", quoted(&name), ty.sql);
    let (mut null, mut not_null) = (false, false);
    while let Some(node) = c.peek() {
        let here = node.at();
        if c.eat(&["not", "null"]) {
            not_null = true;
        } else if c.eat(&["null"]) {
            null = true;
        } else if c.eat(&["primary", "key"]) {
            not_null = true;
        } else if c.eat(&["unique"]) {
        } else if c.sees(&["references"]) {
            references(c)?;
        } else if c.eat(&["distkey"]) {
            storage.set_distkey(name.clone(), here)?;
        } else if c.eat(&["sortkey"]) {
            storage.column_sortkey = true;
            storage.sortkey.get_or_insert_with(|| (Vec::new(), here)).0.push(name.clone());
        } else if c.eat(&["encode"]) {
            encoding(c)?;
        } else if c.eat(&["collate"]) {
            collation(c)?;
        } else if c.eat(&["default"]) {
            sql.push_str(&default(c, t)?);
        } else if c.eat(&["identity"]) {
            sql.push_str(&identity(c, &ty, "ALWAYS", here)?);
        } else if c.eat(&["generated", "by", "default", "as", "identity"]) {
            sql.push_str(&identity(c, &ty, "BY DEFAULT", here)?);
        } else if c.sees(&["generated"]) {
            return Err(Refusal::not_redshift(here, "GENERATED ALWAYS AS", "computed columns are not supported")
                .instead("IDENTITY(seed, step)"));
        } else if c.sees(&["check"]) {
            return Err(Refusal::not_redshift(here, "CHECK", "check constraints are not supported"));
        } else {
            return Err(c.unexpected("a column attribute"));
        }
    }
    if null && not_null {
        return Err(Refusal::syntax(at, quoted(&name), "conflicting NULL and NOT NULL"));
    }
    if not_null {
        sql.push_str(" NOT NULL");
    }
    if let Some(check) = byte_check(&name, &ty) {
        sql.push_str(&check);
    }
    Ok(Column { name, ty, sql })
}

/// The check constraint for `VARCHAR(n)`: Redshift's limit is in bytes, PostgreSQL's in characters.
pub(crate) fn byte_check(column: &str, ty: &Type) -> Option<String> {
    let bytes = ty.bytes?;
    Some(format!(" CHECK (octet_length({}) <= {bytes})", quoted(column)))
}

const ENCODINGS: [&str; 15] = [
    "auto",
    "az64",
    "bytedict",
    "delta",
    "delta32k",
    "lzo",
    "mostly8",
    "mostly16",
    "mostly32",
    "raw",
    "runlength",
    "text255",
    "text32k",
    "zstd",
    "none",
];

pub(crate) fn encoding(c: &mut Cursor<'_>) -> Result<(), Refusal> {
    match c.peek().filter(|n| n.is_any_word(&ENCODINGS)) {
        Some(_) => {
            c.bump();
            Ok(())
        }
        None => Err(c.unexpected("a compression encoding")),
    }
}

fn collation(c: &mut Cursor<'_>) -> Result<(), Refusal> {
    let at = c.at();
    if c.eat(&["case_sensitive"]) || c.eat(&["cs"]) {
        return Ok(());
    }
    if c.eat(&["case_insensitive"]) || c.eat(&["ci"]) {
        return Err(Refusal::not_translated(
            at,
            "COLLATE CASE_INSENSITIVE",
            "only case-sensitive comparison is supported",
        ));
    }
    Err(c.unexpected("CASE_SENSITIVE or CASE_INSENSITIVE"))
}

const AFTER_DEFAULT: [&str; 10] =
    ["identity", "generated", "encode", "distkey", "sortkey", "collate", "unique", "primary", "references", "check"];

/// Parses a default. It may call functions, but not reference columns or tables.
pub(crate) fn default(c: &mut Cursor<'_>, t: &mut Translator<'_>) -> Result<String, Refusal> {
    let rest = c.rest();
    let end = (1..rest.len())
        .find(|&i| {
            rest[i].is_any_word(&AFTER_DEFAULT)
                || (rest[i].is_word("not") && rest.get(i + 1).is_some_and(|n| n.is_word("null")))
                || rest[i].is_word("null")
        })
        .unwrap_or(rest.len());
    if end == 0 {
        return Err(c.unexpected("a default"));
    }
    c.skip(end);
    let value = crate::expression::rewrite(&rest[..end], t, &Scope::default())?;
    Ok(format!(" DEFAULT {}", printed(&value)))
}

fn identity(c: &mut Cursor<'_>, ty: &Type, always: &str, at: usize) -> Result<String, Refusal> {
    if !ty.integer || ty.sql == "smallint" {
        return Err(Refusal::not_redshift(at, "IDENTITY", "an identity column must be INT or BIGINT"));
    }
    let group = c.expect_parens("(seed, step)")?;
    let numbers: Vec<i64> = split_commas(&group.body)
        .iter()
        .map(|part| printed(part).replace(char::is_whitespace, "").parse().ok())
        .collect::<Option<_>>()
        .unwrap_or_default();
    let [seed, step] = numbers[..] else {
        return Err(Refusal::syntax(group.open.at, "IDENTITY", "expected IDENTITY(seed, step) with two integers"));
    };
    if step == 0 {
        return Err(Refusal::not_redshift(group.open.at, "IDENTITY", "the step must not be 0"));
    }
    let (low, high) =
        if ty.sql == "integer" { (i64::from(i32::MIN), i64::from(i32::MAX)) } else { (i64::MIN, i64::MAX) };
    // An identity column is always NOT NULL in PostgreSQL.
    Ok(format!(
        " GENERATED {always} AS IDENTITY (START WITH {seed} INCREMENT BY {step} MINVALUE {low} MAXVALUE {high})"
    ))
}

impl Storage {
    fn set_distkey(&mut self, column: String, at: usize) -> Result<(), Refusal> {
        if self.distkey.is_some() {
            return Err(Refusal::not_redshift(at, "DISTKEY", "a table can have only one distribution key"));
        }
        self.distkey = Some((column, at));
        Ok(())
    }

    fn check(&self, columns: &[Column]) -> Result<(), Refusal> {
        match (&self.style, &self.distkey) {
            (Some((style, at)), None) if style == "key" => {
                return Err(Refusal::not_redshift(*at, "DISTSTYLE KEY", "it requires a DISTKEY column"));
            }
            (Some((style, at)), Some(_)) if style == "all" || style == "even" => {
                return Err(Refusal::not_redshift(
                    *at,
                    format!("DISTSTYLE {}", style.to_uppercase()),
                    "cannot specify a DISTKEY column with it",
                ));
            }
            _ => {}
        }
        let sort = self.sortkey.iter().flat_map(|(names, at)| names.iter().map(move |n| (n, *at, "SORTKEY")));
        let dist = self.distkey.iter().map(|(name, at)| (name, *at, "DISTKEY"));
        for (name, at, what) in dist.chain(sort) {
            match columns.iter().find(|column| &column.name == name) {
                None if columns.is_empty() => {}
                None => return Err(Refusal::syntax(at, what, format!("column \"{name}\" does not exist"))),
                Some(column) if column.ty.is_super => {
                    return Err(Refusal::not_redshift(
                        at,
                        what,
                        format!("column \"{name}\" is SUPER and cannot be a key"),
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// Parses `BACKUP`, `DISTSTYLE`, `DISTKEY`, `SORTKEY` and `ENCODE AUTO` after the columns.
fn attributes(c: &mut Cursor<'_>, storage: &mut Storage) -> Result<(), Refusal> {
    while let Some(node) = c.peek() {
        let at = node.at();
        if c.eat(&["backup"]) {
            if !(c.eat(&["yes"]) || c.eat(&["no"])) {
                return Err(c.unexpected("YES or NO"));
            }
        } else if c.eat(&["diststyle"]) {
            let style = c.peek().and_then(Node::word).filter(|w| ["auto", "even", "key", "all"].contains(&w.as_str()));
            storage.style = Some((style.ok_or_else(|| c.unexpected("AUTO, EVEN, KEY or ALL"))?, at));
            c.bump();
        } else if c.eat(&["distkey"]) {
            let group = c.expect_parens("(column)")?;
            let mut inner = Cursor::new(&group.body);
            storage.set_distkey(inner.name("a column name")?, at)?;
            inner.expect_done()?;
        } else if c.sees(&["sortkey"]) || c.sees(&["compound"]) || c.sees(&["interleaved"]) {
            sortkey(c, storage, at)?;
        } else if c.eat(&["encode"]) {
            c.expect(&["auto"])?;
        } else if c.sees(&["as"]) {
            return Ok(());
        } else if c
            .peek()
            .is_some_and(|n| n.is_any_word(&["inherits", "on", "tablespace", "partition", "using", "with", "without"]))
        {
            return Err(Refusal::not_redshift(
                at,
                node.shown().to_uppercase(),
                format!("syntax error at or near \"{}\"", node.shown()),
            ));
        } else {
            return Err(c.unexpected("a table attribute or the end of the statement"));
        }
    }
    Ok(())
}

fn sortkey(c: &mut Cursor<'_>, storage: &mut Storage, at: usize) -> Result<(), Refusal> {
    let interleaved = c.eat(&["interleaved"]);
    c.eat(&["compound"]);
    c.expect(&["sortkey"])?;
    if !interleaved && c.eat(&["auto"]) {
        return Ok(());
    }
    let group = c.expect_parens("the columns of the sort key")?;
    let mut names = Vec::new();
    for part in split_commas(&group.body) {
        let mut part = Cursor::new(part);
        names.push(part.name("a column name")?);
        part.expect_done()?;
    }
    let limit = if interleaved { MAX_INTERLEAVED_SORTKEY } else { MAX_COMPOUND_SORTKEY };
    if names.is_empty() || names.len() > limit {
        return Err(Refusal::not_redshift(at, "SORTKEY", format!("it must have 1 to {limit} columns")));
    }
    if storage.sortkey.is_some() || storage.column_sortkey {
        return Err(Refusal::not_redshift(at, "SORTKEY", "a table can have only one sort key"));
    }
    storage.sortkey = Some((names, at));
    Ok(())
}
