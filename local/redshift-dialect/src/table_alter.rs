//! `ALTER TABLE`, `ALTER TABLE … APPEND`, `ALTER SCHEMA`.

use crate::names::printed as name_sql;
use crate::refusal::Refusal;
use crate::translator::Translator;
use crate::tree::{Cursor, Node, literal, quoted};
use crate::types::{self, Use};
use crate::{Step, Translated};

/// `ALTER TABLE target APPEND FROM source`: moves all rows of the source table to the target table and commits.
///
/// Redshift's rules, which the executor has to check: both tables are permanent and have the same columns (names and
/// types, in any order). With `fill_target`, the target may have additional columns, which get their default or NULL.
/// With `ignore_extra`, the source may have additional columns, whose values are discarded. The two options exclude
/// each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendSpec {
    /// Schema (optional) and name of the target table.
    pub target: Vec<String>,
    /// Schema (optional) and name of the source table, which is empty afterwards.
    pub source: Vec<String>,
    /// `IGNOREEXTRA`.
    pub ignore_extra: bool,
    /// `FILLTARGET`.
    pub fill_target: bool,
}

pub(crate) fn alter(mut c: Cursor<'_>, t: &mut Translator<'_>) -> Result<Translated, Refusal> {
    c.bump();
    let at = c.at();
    if c.eat(&["table"]) {
        return table(c, t);
    }
    if c.eat(&["schema"]) {
        return schema(c);
    }
    match c.peek().and_then(Node::word).unwrap_or_default().as_str() {
        "user" | "group" | "role" => crate::access::alter(c),
        "procedure" | "function" => crate::procedure::alter(c),
        "index" | "sequence" | "type" | "domain" | "view" | "trigger" | "extension" => {
            Err(Refusal::not_redshift(at, "ALTER", "this kind of object cannot be altered"))
        }
        "database" | "datashare" | "default" | "external" | "identity" | "masking" | "rls" | "materialized"
        | "system" => Err(Refusal::not_translated(
            at,
            format!("ALTER {}", c.peek().map_or_else(String::new, Node::shown).to_uppercase()),
            "it is not supported",
        )),
        _ => Err(c.unexpected("TABLE, SCHEMA, USER, GROUP, ROLE, PROCEDURE or FUNCTION")),
    }
}

fn schema(mut c: Cursor<'_>) -> Result<Translated, Refusal> {
    let name = quoted(&c.name("a schema name")?);
    let sql = if c.eat(&["rename", "to"]) {
        format!("ALTER SCHEMA {name} RENAME TO {}", quoted(&c.name("a schema name")?))
    } else if c.eat(&["owner", "to"]) {
        format!("ALTER SCHEMA {name} OWNER TO {}", crate::access::grantee(&mut c)?)
    } else if c.sees(&["quota"]) {
        return Ok(Translated::nothing("ALTER SCHEMA"));
    } else {
        return Err(c.unexpected("RENAME TO, OWNER TO or QUOTA"));
    };
    c.expect_done()?;
    Ok(Translated::sql("ALTER SCHEMA", sql))
}

fn table(mut c: Cursor<'_>, t: &mut Translator<'_>) -> Result<Translated, Refusal> {
    if c.sees(&["if"]) || c.sees(&["only"]) {
        return Err(Refusal::not_redshift(c.at(), "ALTER TABLE IF EXISTS | ONLY", "ALTER TABLE has no such option"));
    }
    let parts = c.qualified("a table name")?;
    let name = name_sql(&parts);
    let at = c.at();
    if c.eat(&["append", "from"]) {
        return append(c, parts);
    }
    if c.eat(&["add"]) {
        return add(c, &name, t);
    }
    if c.eat(&["drop"]) {
        return drop(c, &name);
    }
    if c.eat(&["rename"]) {
        let sql = if c.eat(&["to"]) {
            format!("ALTER TABLE {name} RENAME TO {}", quoted(&c.name("a table name")?))
        } else {
            c.eat(&["column"]);
            let old = quoted(&c.name("a column name")?);
            c.expect(&["to"])?;
            format!("ALTER TABLE {name} RENAME COLUMN {old} TO {}", quoted(&c.name("a column name")?))
        };
        c.expect_done()?;
        return Ok(Translated::sql("ALTER TABLE", sql));
    }
    if c.eat(&["owner", "to"]) {
        let sql = format!("ALTER TABLE {name} OWNER TO {}", crate::access::grantee(&mut c)?);
        c.expect_done()?;
        return Ok(Translated::sql("ALTER TABLE", sql));
    }
    if c.eat(&["alter"]) {
        return alter_column(c, &name);
    }
    if c.sees(&["set", "schema"]) {
        return Err(Refusal::not_redshift(at, "ALTER TABLE SET SCHEMA", "a table cannot be moved to another schema")
            .instead("CREATE TABLE and ALTER TABLE … APPEND FROM"));
    }
    if c.peek().is_some_and(|n| n.is_any_word(&["row", "set", "enable", "disable", "inherit", "attach", "detach"])) {
        return Err(Refusal::not_translated(
            at,
            format!("ALTER TABLE {}", c.peek().map_or_else(String::new, Node::shown).to_uppercase()),
            "it is not supported",
        ));
    }
    Err(c.unexpected("ADD, DROP, ALTER, RENAME, OWNER TO or APPEND FROM"))
}

fn append(mut c: Cursor<'_>, target: Vec<String>) -> Result<Translated, Refusal> {
    let source = c.qualified("a table name")?;
    let at = c.at();
    let (mut ignore_extra, mut fill_target) = (false, false);
    loop {
        if c.eat(&["ignoreextra"]) {
            ignore_extra = true;
        } else if c.eat(&["filltarget"]) {
            fill_target = true;
        } else {
            break;
        }
    }
    c.expect_done()?;
    if ignore_extra && fill_target {
        return Err(Refusal::not_redshift(at, "IGNOREEXTRA with FILLTARGET", "only one of them can be given"));
    }
    if target.iter().chain(&source).any(|n| n.starts_with('#')) {
        return Err(Refusal::not_redshift(at, "ALTER TABLE APPEND", "both tables must be permanent"));
    }
    let step = Step::AppendFrom(AppendSpec { target, source, ignore_extra, fill_target });
    Ok(Translated::steps("ALTER TABLE APPEND", vec![step]).committing().outside_transactions())
}

fn add(mut c: Cursor<'_>, name: &str, t: &mut Translator<'_>) -> Result<Translated, Refusal> {
    if c.peek().is_some_and(|n| n.is_any_word(&["constraint", "primary", "unique", "foreign"])) {
        // Keys are not enforced. A primary key that is added later requires columns that are already NOT NULL.
        return Ok(Translated::nothing("ALTER TABLE"));
    }
    if c.sees(&["if", "not", "exists", "partition"])
        || (c.sees(&["partition"]) && c.peek_at(1).is_some_and(|n| n.parens().is_some()))
    {
        return Err(Refusal::not_translated(c.at(), "ADD PARTITION", "external tables have no local counterpart"));
    }
    c.eat(&["column"]);
    if c.sees(&["if"]) {
        return Err(Refusal::not_redshift(c.at(), "ADD COLUMN IF NOT EXISTS", "syntax error at or near \"if\""));
    }
    let column = c.name("a column name")?;
    let ty = types::expect(&mut c, Use::Column)?;
    let mut sql = format!("ALTER TABLE {name} ADD COLUMN {} {}", quoted(&column), ty.sql);
    let mut has_default = false;
    let mut not_null = None;
    while let Some(node) = c.peek() {
        let at = node.at();
        if c.eat(&["default"]) {
            sql.push_str(&crate::table::default(&mut c, t)?);
            has_default = true;
        } else if c.eat(&["encode"]) {
            crate::table::encoding(&mut c)?;
        } else if c.eat(&["not", "null"]) {
            not_null = Some(at);
        } else if c.eat(&["null"]) || c.eat(&["collate", "case_sensitive"]) {
        } else if node.is_op(",") {
            return Err(Refusal::not_redshift(at, "\",\"", "ALTER TABLE adds one column at a time"));
        } else if node.is_any_word(&["identity", "generated", "primary", "unique", "distkey", "sortkey", "references"])
        {
            return Err(Refusal::not_redshift(
                at,
                node.shown().to_uppercase(),
                "an added column cannot have this attribute",
            ));
        } else {
            return Err(c.unexpected("DEFAULT, ENCODE, NULL or NOT NULL"));
        }
    }
    if let Some(at) = not_null {
        if !has_default {
            return Err(Refusal::not_redshift(
                at,
                "NOT NULL",
                "ALTER TABLE ADD COLUMN defined as NOT NULL must have a non-null default",
            ));
        }
        sql.push_str(" NOT NULL");
    }
    if let Some(check) = crate::table::byte_check(&column, &ty) {
        sql.push_str(&check);
    }
    Ok(Translated::sql("ALTER TABLE", sql))
}

fn drop(mut c: Cursor<'_>, name: &str) -> Result<Translated, Refusal> {
    if c.eat(&["constraint"]) {
        return Ok(Translated::nothing("ALTER TABLE"));
    }
    if c.sees(&["if", "not", "exists", "partition"])
        || (c.sees(&["partition"]) && c.peek_at(1).is_some_and(|n| n.parens().is_some()))
    {
        return Err(Refusal::not_translated(c.at(), "ADD PARTITION", "external tables have no local counterpart"));
    }
    c.eat(&["column"]);
    if c.sees(&["if"]) {
        return Err(Refusal::not_redshift(c.at(), "DROP COLUMN IF EXISTS", "syntax error at or near \"if\""));
    }
    let column = quoted(&c.name("a column name")?);
    let how = if c.eat(&["cascade"]) { " CASCADE" } else { "" };
    c.eat(&["restrict"]);
    c.expect_done()?;
    Ok(Translated::sql("ALTER TABLE", format!("ALTER TABLE {name} DROP COLUMN {column}{how}")))
}

fn alter_column(mut c: Cursor<'_>, name: &str) -> Result<Translated, Refusal> {
    let at = c.at();
    if c.sees(&["diststyle"])
        || c.sees(&["distkey"])
        || c.sees(&["sortkey"])
        || c.sees(&["compound"])
        || c.sees(&["encode"])
    {
        // Redshift rewrites the storage in the background; the rows do not change.
        return Ok(Translated::nothing("ALTER TABLE").outside_transactions());
    }
    c.eat(&["column"]);
    let column = c.name("a column name")?;
    if c.eat(&["encode"]) {
        crate::table::encoding(&mut c)?;
        while c.eat_op(",") {
            c.expect(&["alter"])?;
            c.eat(&["column"]);
            c.name("a column name")?;
            c.expect(&["encode"])?;
            crate::table::encoding(&mut c)?;
        }
        c.expect_done()?;
        return Ok(Translated::nothing("ALTER TABLE").outside_transactions());
    }
    if c.sees(&["set"]) || c.sees(&["drop"]) {
        return Err(Refusal::not_redshift(
            at,
            "ALTER COLUMN SET | DROP",
            "only the size of a VARCHAR column and the encoding can be changed",
        ));
    }
    c.expect(&["type"])?;
    let here = c.at();
    let ty = types::expect(&mut c, Use::Column)?;
    if c.sees(&["using"]) {
        return Err(Refusal::not_redshift(c.at(), "USING", "ALTER COLUMN TYPE only changes the size of a VARCHAR"));
    }
    c.expect_done()?;
    let Some(bytes) = ty.bytes.filter(|_| ty.varchar) else {
        return Err(Refusal::not_redshift(
            here,
            "ALTER COLUMN TYPE",
            "only the size of a VARCHAR column can be changed",
        ));
    };
    let call = format!("redshift.alter_varchar({}::regclass, {}, {bytes})", literal(name), literal(&column));
    Ok(Translated::sql("ALTER TABLE", format!("DO $redshift$ BEGIN PERFORM {call}; END $redshift$"))
        .outside_transactions())
}
