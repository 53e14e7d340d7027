//! INSERT, UPDATE, DELETE, CALL, EXPLAIN.

use crate::Translated;
use crate::expression;
use crate::names::printed as name_sql;
use crate::query::{embedded, from_clause, item, query_inside};
use crate::refusal::Refusal;
use crate::scope::{Relation, Scope};
use crate::translator::{Translator, printed};
use crate::tree::{Cursor, Node, print, quoted, split_commas};

pub(crate) fn insert(nodes: &[Node], t: &mut Translator<'_>) -> Result<Translated, Refusal> {
    let mut c = Cursor::new(nodes);
    c.expect(&["insert", "into"])?;
    let name = c.qualified("a table name")?;
    let mut sql = format!("INSERT INTO {}", name_sql(&name));
    if c.sees(&["as"]) {
        return Err(Refusal::not_redshift(c.at(), "INSERT INTO … AS", "the target has no alias"));
    }
    if let Some(group) = c.peek().and_then(Node::parens).filter(|g| !query_inside(&g.body)) {
        c.bump();
        let mut names = Vec::new();
        for part in split_commas(&group.body) {
            let mut part = Cursor::new(part);
            names.push(quoted(&part.name("a column name")?));
            part.expect_done()?;
        }
        sql = format!("{sql} ({})", names.join(", "));
    }
    if let Some(i) = c
        .rest()
        .iter()
        .position(|n| n.is_word("on"))
        .filter(|&i| c.rest().get(i + 1).is_some_and(|n| n.is_word("conflict")))
    {
        return Err(
            Refusal::not_redshift(c.rest()[i].at(), "ON CONFLICT", "syntax error at or near \"on\"").instead("MERGE")
        );
    }
    if let Some(node) = c.rest().iter().find(|n| n.is_word("returning") || n.is_word("overriding")) {
        let word = node.shown();
        return Err(Refusal::not_redshift(
            node.at(),
            word.to_uppercase(),
            format!("syntax error at or near \"{word}\""),
        ));
    }
    if c.eat(&["default", "values"]) {
        c.expect_done()?;
        return Ok(Translated::sql("INSERT", format!("{sql} DEFAULT VALUES")));
    }
    let body = c.rest();
    let tail = if c.sees(&["values"]) {
        expression::rewrite(body, t, &Scope::default())?
    } else {
        embedded(body, t, &Scope::default())?
    };
    Ok(Translated::sql("INSERT", format!("{sql} {}", printed(&tail))))
}

pub(crate) fn update(nodes: &[Node], t: &mut Translator<'_>) -> Result<Translated, Refusal> {
    if nodes.iter().any(|n| n.is_word("returning")) {
        return Err(Refusal::not_redshift(nodes[0].at(), "RETURNING", "syntax error at or near \"returning\""));
    }
    let mut c = Cursor::new(nodes);
    c.expect(&["update"])?;
    if c.sees(&["only"]) {
        return Err(Refusal::not_redshift(c.at(), "UPDATE ONLY", "syntax error at or near \"only\""));
    }
    let mut relations = Vec::new();
    let mut head = Vec::new();
    item(&mut c, t, &Scope::default(), &mut relations, &mut head)?;
    c.expect(&["set"])?;
    let rest = c.rest();
    let from = rest.iter().position(|n| n.is_word("from")).unwrap_or(rest.len());
    let end = rest.iter().position(|n| n.is_word("where")).unwrap_or(rest.len());
    let clause =
        if from < end { from_clause(&rest[from + 1..end], t, &Scope::default(), &mut relations)? } else { Vec::new() };
    let scope = Scope { relations: &relations, outer: None };
    let assignments = assignments(&rest[..from.min(end)], t, &scope)?;
    let condition = expression::rewrite(&rest[end..], t, &scope)?;
    let mut sql = format!("UPDATE {} SET {assignments}", print(&head).trim());
    if from < end {
        sql.push_str(" FROM ");
        sql.push_str(&printed(&clause));
    }
    if !condition.is_empty() {
        sql.push(' ');
        sql.push_str(&printed(&condition));
    }
    Ok(Translated::sql("UPDATE", sql))
}

/// `column = expression, …`.
pub(crate) fn assignments(nodes: &[Node], t: &mut Translator<'_>, scope: &Scope<'_>) -> Result<String, Refusal> {
    let mut out = Vec::new();
    for part in split_commas(nodes) {
        let mut c = Cursor::new(part);
        if let Some(group) = c.peek().and_then(Node::parens) {
            return Err(Refusal::not_redshift(
                group.open.at,
                "SET (columns) = (…)",
                "each column needs its own assignment",
            ));
        }
        let mut name = c.qualified("a column name")?;
        let column = name.pop().unwrap_or_default();
        if !c.eat_op("=") {
            return Err(c.unexpected("\"=\""));
        }
        let value = expression::rewrite(c.rest(), t, scope)?;
        out.push(format!("{} = {}", quoted(&column), printed(&value)));
    }
    Ok(out.join(", "))
}

pub(crate) fn delete(nodes: &[Node], t: &mut Translator<'_>) -> Result<Translated, Refusal> {
    if let Some(node) = nodes.iter().find(|n| n.is_word("returning")) {
        return Err(Refusal::not_redshift(node.at(), "RETURNING", "syntax error at or near \"returning\""));
    }
    let mut c = Cursor::new(nodes);
    c.expect(&["delete"])?;
    c.eat(&["from"]);
    let name = c.qualified("a table name")?;
    if c.sees(&["as"]) || c.peek().is_some_and(|n| n.is_name() && !n.is_any_word(&["using", "where"])) {
        return Err(Refusal::not_redshift(
            c.at(),
            "an alias in DELETE FROM",
            "syntax error: the target of DELETE has no alias",
        )
        .instead("the table name"));
    }
    let mut relations = vec![Relation {
        alias: name.last().cloned().unwrap_or_default(),
        schema: (name.len() == 2).then(|| name[0].clone()),
        element: false,
    }];
    let mut sql = format!("DELETE FROM {}", name_sql(&name));
    let rest = c.rest();
    let end = rest.iter().position(|n| n.is_word("where")).unwrap_or(rest.len());
    if c.eat(&["using"]) {
        let clause = from_clause(&rest[1..end], t, &Scope::default(), &mut relations)?;
        sql.push_str(" USING ");
        sql.push_str(&printed(&clause));
    } else if end > 0 {
        return Err(c.unexpected("USING or WHERE"));
    }
    let scope = Scope { relations: &relations, outer: None };
    let condition = expression::rewrite(&rest[end..], t, &scope)?;
    if !condition.is_empty() {
        sql.push(' ');
        sql.push_str(&printed(&condition));
    }
    Ok(Translated::sql("DELETE", sql))
}

pub(crate) fn call(nodes: &[Node], t: &mut Translator<'_>) -> Result<Translated, Refusal> {
    let mut c = Cursor::new(nodes);
    c.expect(&["call"])?;
    let name = c.qualified("a procedure name")?;
    let group = c.expect_parens("the arguments in parentheses")?;
    c.expect_done()?;
    if group.body.iter().any(|n| n.is_op("=>") || n.is_op(":=")) {
        return Err(Refusal::not_redshift(group.open.at, "named arguments", "arguments are positional"));
    }
    let arguments = expression::rewrite(&group.body, t, &Scope::default())?;
    Ok(Translated::sql("CALL", format!("CALL {}({})", name_sql(&name), print(&arguments))).rows())
}

pub(crate) fn explain(nodes: &[Node], t: &mut Translator<'_>) -> Result<Translated, Refusal> {
    let mut c = Cursor::new(nodes);
    c.expect(&["explain"])?;
    c.eat(&["verbose"]);
    if let Some(node) = c.peek().filter(|n| n.is_word("analyze") || n.parens().is_some_and(|g| !query_inside(&g.body)))
    {
        return Err(Refusal::not_redshift(node.at(), "EXPLAIN options", "only VERBOSE is an option"));
    }
    let inner = crate::translator::run(c.rest(), t)?;
    match &inner.steps[..] {
        [crate::Step::Sql(sql)] if !matches!(inner.command, "CALL" | "COMMENT" | "GRANT") => {
            Ok(Translated::sql("EXPLAIN", format!("EXPLAIN {sql}")).rows())
        }
        _ => Err(Refusal::not_redshift(
            c.at(),
            "EXPLAIN",
            "only SELECT, INSERT, UPDATE, DELETE and CREATE TABLE AS can be explained",
        )),
    }
}
