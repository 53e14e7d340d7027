//! Views, schemas, and `DROP` for all kinds of objects.

use crate::Translated;
use crate::names::printed as name_sql;
use crate::refusal::Refusal;
use crate::scope::Scope;
use crate::translator::{Translator, printed};
use crate::tree::{Cursor, Node, quoted, split_commas};

fn column_names(c: &mut Cursor<'_>) -> Result<String, Refusal> {
    let Some(group) = c.peek().and_then(Node::parens) else { return Ok(String::new()) };
    c.bump();
    let mut names = Vec::new();
    for part in split_commas(&group.body) {
        let mut part = Cursor::new(part);
        names.push(quoted(&part.name("a column name")?));
        part.expect_done()?;
    }
    Ok(format!(" ({})", names.join(", ")))
}

pub(crate) fn create(mut c: Cursor<'_>, or_replace: bool, t: &mut Translator<'_>) -> Result<Translated, Refusal> {
    c.expect(&["view"])?;
    let name = c.qualified("a view name")?;
    let columns = column_names(&mut c)?;
    c.expect(&["as"])?;
    let body = c.rest();
    if let Some(i) = body
        .iter()
        .position(|n| n.is_word("with"))
        .filter(|&i| Cursor::new(&body[i..]).sees(&["with", "no", "schema", "binding"]))
    {
        return Err(Refusal::not_translated(
            body[i].at(),
            "WITH NO SCHEMA BINDING",
            "PostgreSQL binds a view when it is created, so a late-binding view would behave differently",
        )
        .instead("a view without this clause, created after its tables"));
    }
    let query = crate::query::embedded(body, t, &Scope::default())?;
    let replace = if or_replace { "OR REPLACE " } else { "" };
    Ok(Translated::sql(
        "CREATE VIEW",
        format!("CREATE {replace}VIEW {}{columns} AS {}", name_sql(&name), printed(&query)),
    ))
}

pub(crate) fn create_materialized(mut c: Cursor<'_>, t: &mut Translator<'_>) -> Result<Translated, Refusal> {
    c.expect(&["materialized", "view"])?;
    let name = c.qualified("a view name")?;
    let columns = column_names(&mut c)?;
    while !c.done() && !c.sees(&["as"]) {
        let at = c.at();
        if c.eat(&["backup"]) || c.eat(&["diststyle"]) {
            c.bump();
        } else if c.eat(&["distkey"]) || c.eat(&["sortkey"]) || c.eat(&["compound", "sortkey"]) {
            c.expect_parens("the columns of the key")?;
        } else if c.eat(&["auto", "refresh"]) {
            if c.eat(&["yes"]) {
                return Err(Refusal::not_translated(at, "AUTO REFRESH YES", "views are not refreshed automatically")
                    .instead("REFRESH MATERIALIZED VIEW"));
            }
            c.expect(&["no"])?;
        } else {
            return Err(c.unexpected("BACKUP, DISTSTYLE, DISTKEY, SORTKEY, AUTO REFRESH or AS"));
        }
    }
    c.expect(&["as"])?;
    let query = crate::query::embedded(c.rest(), t, &Scope::default())?;
    Ok(Translated::sql(
        "CREATE MATERIALIZED VIEW",
        format!("CREATE MATERIALIZED VIEW {}{columns} AS {}", name_sql(&name), printed(&query)),
    ))
}

pub(crate) fn refresh(mut c: Cursor<'_>) -> Result<Translated, Refusal> {
    c.expect(&["refresh", "materialized", "view"])?;
    let name = c.qualified("a view name")?;
    c.eat(&["restrict"]);
    if c.sees(&["cascade"]) {
        return Err(Refusal::not_translated(c.at(), "REFRESH … CASCADE", "PostgreSQL refreshes one view at a time")
            .instead("a separate REFRESH for each view"));
    }
    c.expect_done()?;
    Ok(Translated::sql("REFRESH MATERIALIZED VIEW", format!("REFRESH MATERIALIZED VIEW {}", name_sql(&name))))
}

pub(crate) fn create_schema(mut c: Cursor<'_>) -> Result<Translated, Refusal> {
    c.expect(&["schema"])?;
    let exists = if c.eat(&["if", "not", "exists"]) { "IF NOT EXISTS " } else { "" };
    let mut sql = String::from("CREATE SCHEMA ");
    sql.push_str(exists);
    if c.eat(&["authorization"]) {
        sql.push_str("AUTHORIZATION ");
        sql.push_str(&crate::access::grantee(&mut c)?);
    } else {
        sql.push_str(&quoted(&c.name("a schema name")?));
        if c.eat(&["authorization"]) {
            sql.push_str(" AUTHORIZATION ");
            sql.push_str(&crate::access::grantee(&mut c)?);
        }
    }
    let at = c.at();
    if c.eat(&["quota"]) && !c.eat(&["unlimited"]) {
        return Err(Refusal::not_translated(at, "QUOTA", "PostgreSQL does not limit the size of a schema")
            .instead("QUOTA UNLIMITED"));
    }
    if !c.done() {
        return Err(Refusal::not_redshift(
            c.at(),
            "objects inside CREATE SCHEMA",
            "create them with separate statements",
        ));
    }
    Ok(Translated::sql("CREATE SCHEMA", sql))
}

pub(crate) fn drop(mut c: Cursor<'_>) -> Result<Translated, Refusal> {
    c.expect(&["drop"])?;
    let at = c.at();
    let what = c.peek().and_then(Node::word).unwrap_or_default();
    c.bump();
    let (command, sql) = match what.as_str() {
        "table" => ("DROP TABLE", "TABLE"),
        "view" => ("DROP VIEW", "VIEW"),
        "materialized" => {
            c.expect(&["view"])?;
            ("DROP MATERIALIZED VIEW", "MATERIALIZED VIEW")
        }
        "schema" => ("DROP SCHEMA", "SCHEMA"),
        "procedure" | "function" => return drop_routine(c, &what),
        "user" | "group" | "role" => return crate::access::drop(c, &what),
        "database" | "datashare" | "library" | "model" | "masking" | "rls" | "identity" | "external" => {
            return Err(Refusal::not_translated(
                at,
                format!("DROP {}", what.to_uppercase()),
                "it has no local counterpart",
            ));
        }
        _ => {
            return Err(Refusal::not_redshift(
                at,
                format!("DROP {}", what.to_uppercase()),
                format!("syntax error at or near \"{what}\""),
            ));
        }
    };
    let exists = if c.eat(&["if", "exists"]) { "IF EXISTS " } else { "" };
    let mut names = vec![name_sql(&c.qualified("a name")?)];
    while c.eat_op(",") {
        names.push(name_sql(&c.qualified("a name")?));
    }
    if c.sees(&["drop", "external", "database"]) {
        return Err(Refusal::not_translated(c.at(), "DROP EXTERNAL DATABASE", "it has no local counterpart"));
    }
    let cascade = if c.eat(&["cascade"]) { " CASCADE" } else { "" };
    c.eat(&["restrict"]);
    c.expect_done()?;
    Ok(Translated::sql(command, format!("DROP {sql} {exists}{}{cascade}", names.join(", "))))
}

fn drop_routine(mut c: Cursor<'_>, what: &str) -> Result<Translated, Refusal> {
    let exists = if c.eat(&["if", "exists"]) { "IF EXISTS " } else { "" };
    let name = name_sql(&c.qualified("a name")?);
    let arguments = match c.peek().and_then(Node::parens) {
        Some(group) => {
            c.bump();
            crate::procedure::signature(group)?
        }
        None if what == "procedure" => String::new(),
        None => return Err(c.unexpected("the types of the arguments")),
    };
    let cascade = if c.eat(&["cascade"]) { " CASCADE" } else { "" };
    c.eat(&["restrict"]);
    c.expect_done()?;
    let command = if what == "procedure" { "DROP PROCEDURE" } else { "DROP FUNCTION" };
    Ok(Translated::sql(command, format!("{command} {exists}{name}{arguments}{cascade}")))
}
