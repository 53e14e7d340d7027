//! `MERGE INTO target USING source ON …` as Redshift supports it: the source is a table, and each row matches at most
//! once.

use crate::Translated;
use crate::dml::assignments;
use crate::names::printed as name_sql;
use crate::refusal::Refusal;
use crate::scope::{Relation, Scope};
use crate::translator::{Translator, printed};
use crate::tree::{Cursor, Node, print, quoted, split_commas};

pub(crate) fn merge(nodes: &[Node], t: &mut Translator<'_>) -> Result<Translated, Refusal> {
    let mut c = Cursor::new(nodes);
    c.expect(&["merge", "into"])?;
    let target = c.qualified("a table name")?;
    if !c.sees(&["using"]) {
        return Err(Refusal::not_redshift(
            c.at(),
            "an alias for the target of MERGE",
            "syntax error: the target has no alias",
        )
        .instead("the table name"));
    }
    c.bump();
    if let Some(group) = c.peek().and_then(Node::parens) {
        return Err(Refusal::not_redshift(
            group.open.at,
            "a subquery as the source of MERGE",
            "the source must be a table",
        )
        .instead("CREATE TEMP TABLE … AS SELECT …, then MERGE from it"));
    }
    let source = c.qualified("a table name")?;
    c.eat(&["as"]);
    let alias = if c.sees(&["on"]) { None } else { Some(c.name("an alias")?) };
    let relation = |parts: &[String]| Relation {
        alias: parts.last().cloned().unwrap_or_default(),
        schema: (parts.len() == 2).then(|| parts[0].clone()),
        element: false,
    };
    let source_name = alias.clone().or_else(|| source.last().cloned()).unwrap_or_default();
    let source_relation = match &alias {
        Some(alias) => Relation { alias: alias.clone(), schema: None, element: false },
        None => relation(&source),
    };
    let relations = [relation(&target), source_relation];
    let scope = Scope { relations: &relations, outer: None };
    c.expect(&["on"])?;
    let rest = c.rest();
    let end = rest.iter().position(|n| n.is_any_word(&["when", "remove"])).unwrap_or(rest.len());
    // A CASE in the condition would end the condition at its WHEN. Redshift's condition is a comparison of keys,
    // without CASE.
    let condition = crate::expression::rewrite(&rest[..end], t, &scope)?;
    c.skip(end);
    let as_alias = alias.as_ref().map(|a| format!(" AS {}", quoted(a))).unwrap_or_default();
    let head =
        format!("MERGE INTO {} USING {}{as_alias} ON {}", name_sql(&target), name_sql(&source), printed(&condition));
    if c.sees(&["remove"]) {
        return Err(Refusal::not_translated(
            c.at(),
            "REMOVE DUPLICATES",
            "it needs the columns of the table, which the translation does not know",
        )
        .instead("WHEN MATCHED THEN UPDATE … WHEN NOT MATCHED THEN INSERT …"));
    }
    let mut sql = head;
    let (mut matched, mut not_matched) = (false, false);
    while c.eat(&["when"]) {
        let at = c.at();
        let negative = c.eat(&["not"]);
        c.expect(&["matched"])?;
        if c.sees(&["and"]) || c.sees(&["by"]) {
            return Err(Refusal::not_redshift(
                c.at(),
                "a condition after MATCHED",
                "syntax error: WHEN [NOT] MATCHED has no condition",
            ));
        }
        if std::mem::replace(if negative { &mut not_matched } else { &mut matched }, true) {
            return Err(Refusal::not_redshift(
                at,
                "MERGE",
                "each of WHEN MATCHED and WHEN NOT MATCHED can occur only once",
            ));
        }
        c.expect(&["then"])?;
        let action = if negative { insert(&mut c, t, &scope)? } else { update_or_delete(&mut c, t, &scope)? };
        sql.push_str(&format!(" WHEN {}MATCHED THEN {action}", if negative { "NOT " } else { "" }));
    }
    c.expect_done()?;
    if !(matched && not_matched) {
        return Err(Refusal::not_redshift(c.at(), "MERGE", "it needs both WHEN MATCHED and WHEN NOT MATCHED"));
    }
    debug_assert!(!source_name.is_empty());
    Ok(Translated::sql("MERGE", sql))
}

fn action<'a>(c: &mut Cursor<'a>) -> &'a [Node] {
    let rest = c.rest();
    // The WHENs of a CASE do not end the action.
    let mut depth = 0_usize;
    let mut end = rest.len();
    for (i, node) in rest.iter().enumerate() {
        if node.is_word("case") {
            depth += 1;
        } else if node.is_word("end") {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && node.is_word("when") {
            end = i;
            break;
        }
    }
    c.skip(end);
    &rest[..end]
}

fn update_or_delete(c: &mut Cursor<'_>, t: &mut Translator<'_>, scope: &Scope<'_>) -> Result<String, Refusal> {
    if c.eat(&["delete"]) {
        return Ok("DELETE".to_owned());
    }
    c.expect(&["update", "set"])?;
    Ok(format!("UPDATE SET {}", assignments(action(c), t, scope)?))
}

fn insert(c: &mut Cursor<'_>, t: &mut Translator<'_>, scope: &Scope<'_>) -> Result<String, Refusal> {
    c.expect(&["insert"])?;
    let mut columns = String::new();
    if let Some(group) = c.peek().and_then(Node::parens) {
        c.bump();
        let mut names = Vec::new();
        for part in split_commas(&group.body) {
            let mut name = Cursor::new(part).qualified("a column name")?;
            names.push(quoted(&name.pop().unwrap_or_default()));
        }
        columns = format!(" ({})", names.join(", "));
    }
    c.expect(&["values"])?;
    let group = c.expect_parens("the values")?;
    let values = crate::expression::rewrite(&group.body, t, scope)?;
    Ok(format!("INSERT{columns} VALUES ({})", print(&values)))
}
