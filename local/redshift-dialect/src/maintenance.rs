//! TRUNCATE, ANALYZE, VACUUM, LOCK, COMMENT.

use crate::Translated;
use crate::names::printed as name_sql;
use crate::refusal::Refusal;
use crate::tree::{Cursor, Node, literal, quoted};

/// Redshift commits with TRUNCATE; it cannot be rolled back.
pub(crate) fn truncate(mut c: Cursor<'_>) -> Result<Translated, Refusal> {
    c.expect(&["truncate"])?;
    c.eat(&["table"]);
    let name = c.qualified("a table name")?;
    if let Some(node) = c.peek() {
        return Err(Refusal::not_redshift(
            node.at(),
            node.shown().to_uppercase(),
            "TRUNCATE takes one table and no options",
        ));
    }
    Ok(Translated::sql("TRUNCATE", format!("TRUNCATE TABLE {}", name_sql(&name))).committing())
}

pub(crate) fn analyze(mut c: Cursor<'_>) -> Result<Translated, Refusal> {
    c.bump();
    if c.sees(&["compression"]) {
        return Err(Refusal::not_translated(c.at(), "ANALYZE COMPRESSION", "PostgreSQL has no column encodings"));
    }
    c.eat(&["verbose"]);
    if c.done() {
        return Ok(Translated::sql("ANALYZE", "ANALYZE"));
    }
    let mut sql = format!("ANALYZE {}", name_sql(&c.qualified("a table name")?));
    if let Some(group) = c.peek().and_then(Node::parens) {
        c.bump();
        let mut inner = Cursor::new(&group.body);
        let mut names = vec![quoted(&inner.name("a column name")?)];
        while inner.eat_op(",") {
            names.push(quoted(&inner.name("a column name")?));
        }
        inner.expect_done()?;
        sql.push_str(&format!(" ({})", names.join(", ")));
    }
    if !c.eat(&["predicate", "columns"]) {
        c.eat(&["all", "columns"]);
    }
    c.expect_done()?;
    Ok(Translated::sql("ANALYZE", sql))
}

/// `VACUUM [FULL | SORT ONLY | DELETE ONLY | REINDEX | RECLUSTER] [table [TO n PERCENT] [BOOST]]`. PostgreSQL's VACUUM
/// reclaims space; sorting is dropped, because PostgreSQL's tables have no sort key.
pub(crate) fn vacuum(mut c: Cursor<'_>) -> Result<Translated, Refusal> {
    c.expect(&["vacuum"])?;
    let sorts = c.eat(&["sort", "only"]) || c.eat(&["reindex"]) || c.eat(&["recluster"]);
    if !sorts && !c.eat(&["delete", "only"]) {
        c.eat(&["full"]);
    }
    let mut sql = "VACUUM".to_owned();
    if !c.done() && !c.sees(&["to"]) && !c.sees(&["boost"]) {
        let name = c.qualified("a table name")?;
        sql = format!("VACUUM {}", name_sql(&name));
        if c.eat(&["to"]) {
            let percent = c
                .peek()
                .filter(|n| n.is_number())
                .and_then(|n| n.token()?.text.parse::<u32>().ok())
                .filter(|n| *n <= 100);
            if percent.is_none() {
                return Err(c.unexpected("a percentage between 0 and 100"));
            }
            c.bump();
            c.expect(&["percent"])?;
        }
    }
    c.eat(&["boost"]);
    c.expect_done()?;
    let translated = if sorts { Translated::nothing("VACUUM") } else { Translated::sql("VACUUM", sql) };
    Ok(translated.outside_transactions())
}

/// `LOCK`, which PostgreSQL allows only in a transaction block (Redshift also without one):
/// [`crate::InTransaction::Needed`]. It must not be wrapped in a DO block: the snapshot would be taken before the wait
/// for the lock, and the transaction would not see the changes of the previous lock holder.
pub(crate) fn lock(mut c: Cursor<'_>) -> Result<Translated, Refusal> {
    c.expect(&["lock"])?;
    c.eat(&["table"]);
    let mut names = vec![name_sql(&c.qualified("a table name")?)];
    while c.eat_op(",") {
        names.push(name_sql(&c.qualified("a table name")?));
    }
    if let Some(node) = c.peek() {
        return Err(Refusal::not_redshift(
            node.at(),
            node.shown().to_uppercase(),
            "LOCK has no lock mode: it is always exclusive",
        ));
    }
    let sql = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", names.join(", "));
    Ok(Translated::sql("LOCK", sql).inside_a_transaction())
}

pub(crate) fn comment(mut c: Cursor<'_>, _nodes: &[Node]) -> Result<Translated, Refusal> {
    c.expect(&["comment", "on"])?;
    let at = c.at();
    let what = c.peek().and_then(Node::word).unwrap_or_default();
    c.bump();
    let target = match what.as_str() {
        "table" | "view" | "schema" | "database" => {
            format!("{} {}", what.to_uppercase(), name_sql(&c.qualified("a name")?))
        }
        "column" => {
            let mut parts = vec![c.name("a name")?];
            while c.eat_op(".") {
                parts.push(c.name("a name")?);
            }
            format!("COLUMN {}", name_sql(&parts))
        }
        // Constraints are not enforced and not stored.
        "constraint" => return Ok(Translated::nothing("COMMENT")),
        _ => {
            return Err(Refusal::not_redshift(
                at,
                format!("COMMENT ON {}", what.to_uppercase()),
                "this kind of object cannot have a comment",
            ));
        }
    };
    c.expect(&["is"])?;
    let text = match c.peek() {
        Some(n) if n.is_word("null") => "NULL".to_owned(),
        Some(n) => crate::copy::text_of(n).map(|t| literal(&t)).ok_or_else(|| c.unexpected("a string or NULL"))?,
        None => return Err(c.unexpected("a string or NULL")),
    };
    c.bump();
    c.expect_done()?;
    Ok(Translated::sql("COMMENT", format!("COMMENT ON {target} IS {text}")))
}
