//! SELECT: nested queries and their scopes, FROM clauses, and clauses with a different syntax in Redshift.

use crate::Translated;
use crate::expression::{self, word_node};
use crate::names::printed as name_sql;
use crate::refusal::Refusal;
use crate::scope::{Relation, Scope};
use crate::translator::{Translator, printed};
use crate::tree::{Cursor, Group, Node, print, quoted};

pub(crate) fn select(nodes: &[Node], t: &mut Translator<'_>) -> Result<Translated, Refusal> {
    if let Some(into) = select_into(nodes) {
        return into_table(nodes, into, t);
    }
    let rewritten = embedded(nodes, t, &Scope::default())?;
    Ok(Translated::sql("SELECT", printed(&rewritten)).rows())
}

/// The position of INTO in `SELECT … INTO [TEMP] [TABLE] name FROM …`, at this level.
fn select_into(nodes: &[Node]) -> Option<usize> {
    let into = nodes.iter().position(|n| n.is_word("into"))?;
    (!nodes[..into].iter().any(|n| n.is_word("from") || n.is_word("insert"))).then_some(into)
}

fn into_table(nodes: &[Node], into: usize, t: &mut Translator<'_>) -> Result<Translated, Refusal> {
    let mut c = Cursor::new(&nodes[into + 1..]);
    let temp = c.eat(&["temp"]) || c.eat(&["temporary"]);
    c.eat(&["table"]);
    let name = c.qualified("a table name")?;
    let temp = if temp || name.last().is_some_and(|n| n.starts_with('#')) { "TEMPORARY " } else { "" };
    let mut rest = nodes[..into].to_vec();
    rest.extend_from_slice(c.rest());
    let query = embedded(&rest, t, &Scope::default())?;
    Ok(Translated::sql("SELECT INTO", format!("CREATE {temp}TABLE {} AS {}", name_sql(&name), printed(&query))))
}

/// Rewrites a query that is a part of another statement.
pub(crate) fn embedded(nodes: &[Node], t: &mut Translator<'_>, outer: &Scope<'_>) -> Result<Vec<Node>, Refusal> {
    match nodes.first() {
        Some(first) if first.is_any_word(&["select", "with"]) => level(nodes, t, outer),
        Some(first) if first.parens().is_some() => level(nodes, t, outer),
        Some(first) => Err(Refusal::syntax(first.at(), format!("\"{}\"", first.shown()), "expected a query")),
        None => Err(Refusal::syntax(0, "end of input", "expected a query")),
    }
}

const SET_OPERATORS: [&str; 4] = ["union", "intersect", "except", "minus"];

/// Rewrites one level of a query: an optional `WITH`, then SELECTs with set operators between them.
pub(crate) fn level(nodes: &[Node], t: &mut Translator<'_>, outer: &Scope<'_>) -> Result<Vec<Node>, Refusal> {
    let mut out = Vec::new();
    let mut rest = nodes;
    if rest.first().is_some_and(|n| n.is_word("with")) {
        let end = with_clause(rest, t, outer, &mut out)?;
        rest = &rest[end..];
        if let Some(node) = rest.first().filter(|n| n.is_any_word(&["update", "delete"])) {
            let construct = format!("WITH … {}", node.shown().to_uppercase());
            return Err(Refusal::not_translated(node.at(), construct, "it is not supported")
                .instead("the query in the statement itself"));
        }
        if let Some(node) = rest.first().filter(|n| n.is_any_word(&["insert", "merge"])) {
            return Err(Refusal::not_redshift(
                node.at(),
                format!("WITH … {}", node.shown().to_uppercase()),
                "WITH must precede a SELECT",
            )
            .instead("INSERT INTO … WITH … SELECT"));
        }
    }
    let mut start = 0;
    for i in 0..=rest.len() {
        let boundary = rest.get(i).is_none_or(|n| n.is_any_word(&SET_OPERATORS));
        if !boundary {
            continue;
        }
        out.extend(segment(&rest[start..i], t, outer)?);
        if let Some(operator) = rest.get(i) {
            let word = operator.word().unwrap_or_default();
            if word != "union" && rest.get(i + 1).is_some_and(|n| n.is_word("all")) {
                return Err(Refusal::not_redshift(
                    operator.at(),
                    format!("{} ALL", word.to_uppercase()),
                    "only UNION supports ALL",
                ));
            }
            let mut node = if word == "minus" { word_node("EXCEPT", operator.at()) } else { operator.clone() };
            node.lead_mut().clone_from(&operator.token().map(|t| t.lead.clone()).unwrap_or_default());
            out.push(node);
        }
        start = i + 1;
        if rest.get(start).is_some_and(|n| n.is_any_word(&["all", "distinct"])) && start > 0 && i < rest.len() {
            out.push(rest[start].clone());
            start += 1;
        }
    }
    Ok(out)
}

/// Rewrites `WITH [RECURSIVE] name [(columns)] AS (query), …`; returns the index after it.
fn with_clause(
    nodes: &[Node],
    t: &mut Translator<'_>,
    outer: &Scope<'_>,
    out: &mut Vec<Node>,
) -> Result<usize, Refusal> {
    for (i, node) in nodes.iter().enumerate() {
        if i > 0 && node.is_any_word(&["select", "insert", "update", "delete", "merge"]) {
            return Ok(i);
        }
        if node.is_word("materialized") {
            return Err(Refusal::not_redshift(node.at(), "MATERIALIZED", "a WITH query has no such option"));
        }
        let is_query = node.parens().filter(|_| i > 0 && nodes[i - 1].is_word("as"));
        match is_query {
            Some(group) => {
                if let Some(first) =
                    group.body.first().filter(|n| n.is_any_word(&["insert", "update", "delete", "values"]))
                {
                    return Err(Refusal::not_redshift(
                        first.at(),
                        format!("{} in WITH", first.shown().to_uppercase()),
                        "a WITH query must be a SELECT",
                    ));
                }
                let body = embedded(&group.body, t, outer)?;
                out.push(Node::Group(Group { body, ..group.clone() }));
            }
            None => out.push(expression::name_or_self(node)?),
        }
    }
    // In `WITH x AS (…) (SELECT …)` the last group is the main query.
    Ok(nodes.len())
}

const AFTER_FROM: [&str; 11] =
    ["where", "group", "having", "qualify", "order", "limit", "offset", "window", "fetch", "for", "start"];

/// Rewrites a SELECT without set operators, or a parenthesised query with its trailing clauses.
fn segment(nodes: &[Node], t: &mut Translator<'_>, outer: &Scope<'_>) -> Result<Vec<Node>, Refusal> {
    for (i, node) in nodes.iter().enumerate() {
        refuse_clause(node, nodes.get(i + 1), i.checked_sub(1).and_then(|p| nodes.get(p)))?;
    }
    if let Some(i) = nodes.iter().position(|n| n.is_word("qualify")) {
        return crate::qualify::segment(nodes, i, t, outer);
    }
    let mut nodes = std::borrow::Cow::Borrowed(nodes);
    if nodes.first().is_some_and(|n| n.is_word("select")) && nodes.get(1).is_some_and(|n| n.is_word("top")) {
        nodes = std::borrow::Cow::Owned(top(&nodes)?);
    }
    let from = nodes.iter().position(|n| n.is_word("from"));
    let Some(from) = from else { return expression::rewrite(&nodes, t, outer) };
    let end = (from + 1..nodes.len()).find(|&i| nodes[i].is_any_word(&AFTER_FROM)).unwrap_or(nodes.len());
    let mut relations = Vec::new();
    let clause = from_clause(&nodes[from + 1..end], t, outer, &mut relations)?;
    let scope = Scope { relations: &relations, outer: Some(outer) };
    let mut out = expression::rewrite(&nodes[..from], t, &scope)?;
    out.push(nodes[from].clone());
    out.extend(clause);
    out.extend(expression::rewrite(&nodes[end..], t, &scope)?);
    Ok(out)
}

/// Rejects PostgreSQL clauses that Redshift does not have, and Redshift clauses that are not supported.
fn refuse_clause(node: &Node, next: Option<&Node>, previous: Option<&Node>) -> Result<(), Refusal> {
    let Some(word) = node.word() else { return Ok(()) };
    let at = node.at();
    let follows = |w: &str| next.is_some_and(|n| n.is_word(w));
    if previous.is_some_and(|n| n.is_op(".") || n.is_word("as")) {
        return Ok(());
    }
    match word.as_str() {
        "lateral" => {
            Err(Refusal::not_redshift(at, "LATERAL", "subqueries in FROM cannot reference other items of FROM")
                .instead("a join, or FROM t, t.array for SUPER"))
        }
        "returning" => Err(Refusal::not_redshift(at, "RETURNING", "syntax error at or near \"returning\"")),
        "fetch" => {
            Err(Refusal::not_redshift(at, "FETCH FIRST", "syntax error at or near \"fetch\"").instead("LIMIT n"))
        }
        "tablesample" => Err(Refusal::not_redshift(at, "TABLESAMPLE", "syntax error at or near \"tablesample\"")),
        "window" if next.is_some_and(Node::is_name) => {
            Err(Refusal::not_redshift(at, "WINDOW", "named windows are not supported")
                .instead("OVER (…) at each function"))
        }
        "distinct" if previous.is_some_and(|n| n.is_any_word(&["is", "not"])) => {
            Err(Refusal::not_redshift(at, "IS [NOT] DISTINCT FROM", "syntax error at or near \"distinct\"")
                .instead("a = b OR (a IS NULL AND b IS NULL)"))
        }
        "distinct" if follows("on") => Err(Refusal::not_redshift(at, "DISTINCT ON", "syntax error at or near \"on\"")
            .instead("QUALIFY ROW_NUMBER() OVER (…) = 1")),
        "for" if follows("update") || follows("share") || follows("no") || follows("key") => {
            Err(Refusal::not_redshift(at, "FOR UPDATE | SHARE", "rows cannot be locked").instead("LOCK table"))
        }
        // `FROM t, UNPIVOT t.document AS value AT key` is different from `FROM t UNPIVOT (…)`.
        "unpivot" if previous.is_some_and(|n| n.is_op(",")) => Ok(()),
        "pivot" | "unpivot" => Err(Refusal::not_translated(at, word.to_uppercase(), "this clause is not supported")
            .instead("CASE with GROUP BY")),
        "start" if follows("with") => {
            Err(Refusal::not_translated(at, "START WITH", "hierarchical queries are not supported")
                .instead("WITH RECURSIVE"))
        }
        "connect" if follows("by") => {
            Err(Refusal::not_translated(at, "CONNECT BY", "hierarchical queries are not supported")
                .instead("WITH RECURSIVE"))
        }
        "ordinality" => Err(Refusal::not_redshift(at, "WITH ORDINALITY", "syntax error at or near \"ordinality\"")),
        "exclude" if previous.is_some_and(|n| n.is_op("*")) => Err(Refusal::not_translated(
            at,
            "EXCLUDE",
            "it needs the columns of the table, which the translation does not know",
        )
        .instead("the columns by name")),
        _ => Ok(()),
    }
}

/// Rewrites `SELECT TOP n …` to `SELECT … LIMIT n`.
fn top(nodes: &[Node]) -> Result<Vec<Node>, Refusal> {
    let at = nodes[1].at();
    if nodes.iter().any(|n| n.is_word("limit")) {
        return Err(Refusal::not_redshift(at, "TOP with LIMIT", "only one of them can be given"));
    }
    let Some(count) = nodes.get(2).filter(|n| n.is_number() || n.parens().is_some()) else {
        return Err(Refusal::syntax(at, "TOP", "expected a number after it"));
    };
    let mut out = vec![nodes[0].clone()];
    out.extend_from_slice(&nodes[3..]);
    out.push(spaced("LIMIT", at));
    let mut count = count.clone();
    " ".clone_into(count.lead_mut());
    out.push(count);
    Ok(out)
}

fn spaced(word: &str, at: usize) -> Node {
    let mut node = word_node(word, at);
    " ".clone_into(node.lead_mut());
    node
}

const JOIN_WORDS: [&str; 8] = ["join", "inner", "left", "right", "full", "cross", "natural", "outer"];

/// Rewrites the items of a FROM clause; each relation is visible to the following items.
pub(crate) fn from_clause(
    nodes: &[Node],
    t: &mut Translator<'_>,
    outer: &Scope<'_>,
    relations: &mut Vec<Relation>,
) -> Result<Vec<Node>, Refusal> {
    let mut out = Vec::new();
    let mut c = Cursor::new(nodes);
    while let Some(node) = c.peek() {
        if node.is_op(",") || node.is_any_word(&JOIN_WORDS) {
            out.push(node.clone());
            c.bump();
        } else if c.eat(&["on"]) {
            out.push(node.clone());
            let end =
                c.rest().iter().position(|n| n.is_op(",") || n.is_any_word(&JOIN_WORDS)).unwrap_or(c.rest().len());
            // `left(x, 1)` and `right(x, 1)` are functions, not joins.
            let end = (end..=c.rest().len())
                .find(|&i| {
                    let is_end = c.rest().get(i).is_none_or(|n| n.is_op(",") || n.is_any_word(&JOIN_WORDS));
                    is_end
                        && c.rest().get(i + 1).is_none_or(|n| {
                            n.parens().is_none() || c.rest()[i].is_op(",") || c.rest()[i].is_word("join")
                        })
                })
                .unwrap_or(c.rest().len());
            let scope = Scope { relations, outer: Some(outer) };
            out.extend(expression::rewrite(&c.rest()[..end], t, &scope)?);
            c.skip(end);
        } else if node.is_word("using") && c.peek_at(1).is_some_and(|n| n.parens().is_some()) {
            c.skip(2);
            out.push(node.clone());
            out.extend(expression::rewrite(
                &nodes[nodes.len() - c.rest().len() - 1..nodes.len() - c.rest().len()],
                t,
                &Scope::default(),
            )?);
        } else {
            item(&mut c, t, outer, relations, &mut out)?;
        }
    }
    Ok(out)
}

/// Rewrites a table, a subquery or a SUPER array, with its alias.
pub(crate) fn item(
    c: &mut Cursor<'_>,
    t: &mut Translator<'_>,
    outer: &Scope<'_>,
    relations: &mut Vec<Relation>,
    out: &mut Vec<Node>,
) -> Result<(), Refusal> {
    let Some(node) = c.peek() else { return Err(c.unexpected("a table")) };
    if let Some(group) = node.parens() {
        c.bump();
        let first = group.body.first();
        let body = if first
            .is_some_and(|n| n.is_any_word(&["select", "with"]) || n.parens().is_some_and(|g| query_inside(&g.body)))
        {
            level(&group.body, t, outer)?
        } else if first.is_some_and(|n| n.is_word("values")) {
            return Err(Refusal::not_redshift(group.open.at, "VALUES in FROM", "VALUES list used in FROM clause")
                .instead("SELECT … UNION ALL SELECT …"));
        } else {
            from_clause(&group.body, t, outer, relations)?
        };
        out.push(Node::Group(Group { body, ..group.clone() }));
        return alias(c, None, relations, out);
    }
    if !node.is_name() {
        return Err(c.unexpected("a table"));
    }
    let first = node.name().unwrap_or_default();
    let dotted = c.peek_at(1).is_some_and(|n| n.is_op(".") || n.brackets().is_some());
    let scope = Scope { relations, outer: Some(outer) };
    if dotted && scope.find(|r| r.alias == first).is_some() {
        return unnest(c, t, outer, relations, out);
    }
    if node.is_word("unnest") || node.is_word("table") {
        return Err(Refusal::not_translated(
            node.at(),
            format!("{} in FROM", node.shown().to_uppercase()),
            "this form is not supported",
        )
        .instead("FROM t, t.array AS element"));
    }
    if node.is_word("unpivot") {
        return unpivot(c, t, outer, relations, out);
    }
    let mut head = node.clone();
    let lead = std::mem::take(head.lead_mut());
    let parts = c.qualified("a table name")?;
    let (name, schema) = match &parts[..] {
        [schema, name] => (name.clone(), Some(schema.clone())),
        [name] => (name.clone(), None),
        _ => return Err(c.unexpected("a table name")),
    };
    if let Some(group) = c.peek().and_then(Node::parens) {
        return Err(Refusal::not_redshift(
            group.open.at,
            format!("the function {name} in FROM"),
            "functions do not return tables",
        ));
    }
    let mut printed = word_node(&expression::relation_sql(&parts), node.at());
    *printed.lead_mut() = lead;
    out.push(printed);
    alias(c, Some((name, schema)), relations, out)
}

pub(crate) fn query_inside(body: &[Node]) -> bool {
    body.first()
        .is_some_and(|n| n.is_any_word(&["select", "with"]) || n.parens().is_some_and(|g| query_inside(&g.body)))
}

/// `FROM t, t.items AS i [AT n]`: one row per element of the array.
fn unnest(
    c: &mut Cursor<'_>,
    t: &mut Translator<'_>,
    outer: &Scope<'_>,
    relations: &mut Vec<Relation>,
    out: &mut Vec<Node>,
) -> Result<(), Refusal> {
    let at = c.at();
    let rest = c.rest();
    let mut end = 1;
    while rest.get(end).is_some_and(|n| n.brackets().is_some() || n.is_op(".")) {
        end += if rest[end].is_op(".") { 2 } else { 1 };
    }
    let end = end.min(rest.len());
    let path = {
        let scope = Scope { relations, outer: Some(outer) };
        expression::rewrite(&rest[..end], t, &scope)?
    };
    c.skip(end);
    c.eat(&["as"]);
    let Some(name) = c
        .peek()
        .filter(|n| n.is_name() && !n.is_any_word(&JOIN_WORDS) && !n.is_word("on"))
        .map(crate::names::checked)
        .transpose()?
    else {
        return Err(c.unexpected("an alias for the elements of the array"));
    };
    c.bump();
    let (function, columns) = if c.eat(&["at"]) {
        ("elements_at", format!("{}, {}", quoted(&name), quoted(&c.name("a name for the position")?)))
    } else {
        ("elements", quoted(&name))
    };
    let text = format!("LATERAL redshift.{function}({}) AS {}({columns})", print(&path).trim(), quoted(&name));
    out.push(spaced(&text, at));
    relations.push(Relation { alias: name, schema: None, element: true });
    Ok(())
}

/// `FROM t, UNPIVOT t.document AS value [AT key]`: one row per attribute of the object.
fn unpivot(
    c: &mut Cursor<'_>,
    t: &mut Translator<'_>,
    outer: &Scope<'_>,
    relations: &mut Vec<Relation>,
    out: &mut Vec<Node>,
) -> Result<(), Refusal> {
    let at = c.at();
    c.expect(&["unpivot"])?;
    let end = c.rest().iter().position(|n| n.is_word("as") || n.is_op(",")).unwrap_or(c.rest().len());
    let object = {
        let scope = Scope { relations, outer: Some(outer) };
        expression::rewrite(&c.rest()[..end], t, &scope)?
    };
    c.skip(end);
    c.expect(&["as"])?;
    let value = c.name("an alias for the values")?;
    let key = if c.eat(&["at"]) { Some(c.name("an alias for the names of the attributes")?) } else { None };
    let columns = key.iter().fold(quoted(&value), |columns, key| format!("{columns}, {}", quoted(key)));
    let text = format!("LATERAL redshift.attributes({}) AS {}({columns})", print(&object).trim(), quoted(&value));
    out.push(spaced(&text, at));
    relations.push(Relation { alias: value, schema: None, element: true });
    Ok(())
}

const NOT_ALIAS: [&str; 13] =
    ["on", "using", "where", "set", "join", "inner", "left", "right", "full", "cross", "natural", "when", "values"];

/// Parses `[AS] alias [(columns)]`, and adds the relation to the scope.
fn alias(
    c: &mut Cursor<'_>,
    table: Option<(String, Option<String>)>,
    relations: &mut Vec<Relation>,
    out: &mut Vec<Node>,
) -> Result<(), Refusal> {
    let explicit = c.peek().filter(|n| n.is_word("as")).cloned();
    c.eat(&["as"]);
    let found = c.peek().filter(|n| n.is_name() && (explicit.is_some() || !n.is_any_word(&NOT_ALIAS)));
    match found {
        Some(node) => {
            let name = crate::names::checked(node)?;
            out.extend(explicit);
            let mut text = word_node(&quoted(&name), node.at());
            " ".clone_into(text.lead_mut());
            out.push(text);
            c.bump();
            if let Some(group) = c.peek().filter(|n| n.parens().is_some()) {
                out.push(group.clone());
                c.bump();
            }
            relations.push(Relation { alias: name, schema: None, element: false });
        }
        None => {
            if let Some((name, schema)) = table {
                relations.push(Relation { alias: name, schema, element: false });
            }
        }
    }
    Ok(())
}
