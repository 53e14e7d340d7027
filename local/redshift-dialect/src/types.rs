//! Data types: translates Redshift's names, defaults and limits to PostgreSQL.

use crate::refusal::Refusal;
use crate::tree::{Cursor, Group, Node, split_commas};

/// The position of a type; Redshift's default length depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// A column of a table: `VARCHAR` is `VARCHAR(256)`.
    Column,
    /// A cast or a variable: `VARCHAR` is as long as its value.
    Expression,
    /// An argument of a procedure or function: lengths are dropped, as PostgreSQL does.
    Argument,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Type {
    /// The type for PostgreSQL.
    pub(crate) sql: String,
    /// The maximum length of `VARCHAR` and `CHAR`, which Redshift counts in bytes.
    pub(crate) bytes: Option<u32>,
    pub(crate) integer: bool,
    pub(crate) is_super: bool,
    pub(crate) varchar: bool,
}

impl Type {
    fn plain(sql: &str) -> Self {
        Self { sql: sql.to_owned(), bytes: None, integer: false, is_super: false, varchar: false }
    }

    fn integer(sql: &str) -> Self {
        Self { integer: true, ..Self::plain(sql) }
    }
}

/// Maximum length of a `VARCHAR`, in bytes.
pub(crate) const VARCHAR_MAX: u32 = 65_535;
const CHAR_MAX: u32 = 4_096;
const VARBYTE_MAX: u32 = 1_024_000;

/// Parses a type; returns `None` and consumes nothing if the next word is not a known type.
pub(crate) fn parse(c: &mut Cursor<'_>, place: Use) -> Result<Option<Type>, Refusal> {
    let at = c.at();
    let Some(word) = c.peek().and_then(Node::word) else { return Ok(None) };
    let second = c.peek_at(1).and_then(Node::word).unwrap_or_default();
    let two = |c: &mut Cursor<'_>, n| c.skip(n);
    let mut found = match word.as_str() {
        "smallint" | "int2" => take(c, Type::integer("smallint")),
        "integer" | "int" | "int4" => take(c, Type::integer("integer")),
        "bigint" | "int8" => take(c, Type::integer("bigint")),
        "real" | "float4" => take(c, Type::plain("real")),
        "float8" => take(c, Type::plain("double precision")),
        "double" if second == "precision" => {
            two(c, 2);
            Type::plain("double precision")
        }
        "float" => float(c)?,
        "boolean" | "bool" => take(c, Type::plain("boolean")),
        "date" => take(c, Type::plain("date")),
        "timestamp" | "time" => time(c, &word),
        "timestamptz" => take(c, Type::plain("timestamp with time zone")),
        "timetz" => take(c, Type::plain("time with time zone")),
        "decimal" | "numeric" => numeric(c, place)?,
        "varchar" | "nvarchar" | "text" | "bpchar" | "char" | "character" | "nchar" => text(c, &word, &second, place)?,
        "varbyte" | "varbinary" => varbyte(c)?,
        "binary" if second == "varying" => {
            c.bump();
            varbyte(c)?
        }
        "super" => take(c, Type { is_super: true, ..Type::plain("super") }),
        "interval" => interval(c)?,
        "geometry" | "geography" | "hllsketch" => {
            return Err(Refusal::not_translated(at, word.to_uppercase(), "this data type has no local counterpart"));
        }
        "refcursor" | "record" if place != Use::Column => take(c, Type::plain(&word)),
        "serial" | "bigserial" | "smallserial" | "serial4" | "serial8" => {
            return Err(Refusal::not_redshift(at, word.to_uppercase(), "unsupported data type")
                .instead("BIGINT IDENTITY(1, 1)"));
        }
        "json" | "jsonb" => {
            return Err(Refusal::not_redshift(at, word.to_uppercase(), "unsupported data type").instead("SUPER"));
        }
        "bytea" => return Err(Refusal::not_redshift(at, "BYTEA", "unsupported data type").instead("VARBYTE")),
        "uuid" | "money" | "xml" | "inet" | "cidr" | "macaddr" | "bit" | "point" | "line" | "lseg" | "box" | "path"
        | "polygon" | "circle" | "tsvector" | "tsquery" | "int4range" | "int8range" | "numrange" | "tsrange"
        | "daterange" | "tstzrange" | "citext" | "hstore" | "ltree" | "vector" | "name" | "oid" | "xid" | "cid"
        | "tid" | "regclass" | "regproc" | "regtype" | "pg_lsn" | "jsonpath" => {
            return Err(Refusal::not_redshift(at, word.to_uppercase(), "unsupported data type"));
        }
        _ => return Ok(None),
    };
    if let Some(array) = c.peek().filter(|n| n.brackets().is_some() || n.is_word("array"))
        && (array.is_word("array") || array.brackets().is_some_and(|g| g.body.is_empty()))
    {
        return Err(
            Refusal::not_redshift(array.at(), format!("{word}[]"), "arrays are not a data type").instead("SUPER")
        );
    }
    if place == Use::Argument && !found.is_super {
        found.bytes = None;
    }
    Ok(Some(found))
}

/// Like [`parse`], but a type is required.
pub(crate) fn expect(c: &mut Cursor<'_>, place: Use) -> Result<Type, Refusal> {
    let node = c.peek();
    match parse(c, place)? {
        Some(found) => Ok(found),
        None => Err(match node.filter(|n| n.is_name()) {
            Some(n) => Refusal::not_redshift(n.at(), format!("the type {}", n.shown()), "unknown data type"),
            None => c.unexpected("a data type"),
        }),
    }
}

fn take(c: &mut Cursor<'_>, found: Type) -> Type {
    c.bump();
    found
}

/// Parses numbers in parentheses, if parentheses follow.
fn numbers(c: &mut Cursor<'_>) -> Result<Option<(usize, Vec<u32>)>, Refusal> {
    let Some(group) = c.peek().and_then(Node::parens) else { return Ok(None) };
    let values = split_commas(&group.body).into_iter().map(|part| number(part, group)).collect::<Result<_, _>>()?;
    c.bump();
    Ok(Some((group.open.at, values)))
}

fn number(part: &[Node], group: &Group) -> Result<u32, Refusal> {
    match part {
        [n] if n.is_word("max") => Ok(u32::MAX),
        [n] if n.is_number() => n
            .token()
            .and_then(|t| t.text.parse().ok())
            .ok_or_else(|| Refusal::syntax(n.at(), n.shown(), "expected a length")),
        _ => Err(Refusal::syntax(group.open.at, "\"(\"", "expected numbers in the parentheses of a type")),
    }
}

fn float(c: &mut Cursor<'_>) -> Result<Type, Refusal> {
    c.bump();
    match numbers(c)? {
        Some((_, n)) if n.len() == 1 && (1..=24).contains(&n[0]) => Ok(Type::plain("real")),
        Some((_, n)) if n.len() == 1 && (25..=53).contains(&n[0]) => Ok(Type::plain("double precision")),
        Some((at, _)) => Err(Refusal::syntax(at, "FLOAT precision", "expected 1 to 53")),
        None => Ok(Type::plain("double precision")),
    }
}

fn time(c: &mut Cursor<'_>, word: &str) -> Type {
    c.bump();
    // Redshift accepts a precision, but always keeps microseconds.
    if c.peek().is_some_and(|n| n.parens().is_some()) {
        c.bump();
    }
    if c.eat(&["with", "time", "zone"]) {
        return Type::plain(&format!("{word} with time zone"));
    }
    c.eat(&["without", "time", "zone"]);
    Type::plain(&format!("{word} without time zone"))
}

fn numeric(c: &mut Cursor<'_>, place: Use) -> Result<Type, Refusal> {
    c.bump();
    let (at, precision, scale) = match numbers(c)? {
        None => (0, 18, 0),
        Some((at, n)) if n.len() == 1 => (at, n[0], 0),
        Some((at, n)) if n.len() == 2 => (at, n[0], n[1]),
        Some((at, _)) => return Err(Refusal::syntax(at, "DECIMAL", "expected (precision, scale)")),
    };
    if precision == 0 || precision > 38 {
        return Err(Refusal::not_redshift(at, format!("DECIMAL precision {precision}"), "it must be between 1 and 38"));
    }
    if scale > precision || scale > 37 {
        return Err(Refusal::not_redshift(
            at,
            format!("DECIMAL scale {scale}"),
            format!("it must be between 0 and the precision {precision}, and at most 37"),
        ));
    }
    Ok(Type::plain(&if place == Use::Argument {
        "numeric".to_owned()
    } else {
        format!("numeric({precision}, {scale})")
    }))
}

fn text(c: &mut Cursor<'_>, word: &str, second: &str, place: Use) -> Result<Type, Refusal> {
    let at = c.at();
    let varying = second == "varying";
    c.skip(if varying { 2 } else { 1 });
    let fixed = !varying && matches!(word, "char" | "character" | "nchar" | "bpchar");
    let (max, default) = match word {
        "text" | "bpchar" => (256, 256),
        _ if fixed => (CHAR_MAX, 1),
        _ => (VARCHAR_MAX, 256),
    };
    let given = numbers(c)?;
    if matches!(word, "text" | "bpchar") && given.is_some() {
        return Err(Refusal::syntax(at, word.to_uppercase(), "this type has no length").instead("VARCHAR(n)"));
    }
    let length = match given {
        None => None,
        Some((_, n)) if n == [u32::MAX] => Some(max),
        Some((_, n)) if n.len() == 1 && n[0] >= 1 && n[0] <= max => Some(n[0]),
        Some((at, _)) => {
            return Err(Refusal::not_redshift(
                at,
                format!("{} length", word.to_uppercase()),
                format!("it must be between 1 and {max} bytes"),
            ));
        }
    };
    let name = if fixed { "char" } else { "varchar" };
    let bytes = length.or((place == Use::Column).then_some(default));
    let sql = match bytes {
        Some(n) if place != Use::Argument => format!("{name}({n})"),
        // PostgreSQL's `char` is `char(1)`; `bpchar` has no limit.
        _ if fixed => "bpchar".to_owned(),
        _ => "varchar".to_owned(),
    };
    Ok(Type { bytes, varchar: !fixed, ..Type::plain(&sql) })
}

fn varbyte(c: &mut Cursor<'_>) -> Result<Type, Refusal> {
    c.bump();
    match numbers(c)? {
        Some((at, n)) if n != [u32::MAX] && (n.len() != 1 || n[0] == 0 || n[0] > VARBYTE_MAX) => {
            Err(Refusal::not_redshift(at, "VARBYTE length", format!("it must be between 1 and {VARBYTE_MAX} bytes")))
        }
        _ => Ok(Type::plain("bytea")),
    }
}

fn interval(c: &mut Cursor<'_>) -> Result<Type, Refusal> {
    let at = c.at();
    c.bump();
    if c.eat(&["year", "to", "month"]) {
        return Ok(Type::plain("interval year to month"));
    }
    if c.eat(&["day", "to", "second"]) {
        numbers(c)?;
        return Ok(Type::plain("interval day to second"));
    }
    Err(Refusal::not_redshift(at, "INTERVAL", "an interval type must specify its fields")
        .instead("INTERVAL YEAR TO MONTH or INTERVAL DAY TO SECOND"))
}
