//! `QUALIFY condition`: a filter over window functions, rewritten to a subquery that has the condition as a column.

use crate::expression::{rewrite, word_node};
use crate::refusal::Refusal;
use crate::scope::Scope;
use crate::translator::Translator;
use crate::tree::{Group, Node, made, print, quoted, split_commas};

/// Rewrites the SELECT `nodes`, whose `QUALIFY` is at index `at`.
pub(crate) fn segment(
    nodes: &[Node],
    at: usize,
    t: &mut Translator<'_>,
    outer: &Scope<'_>,
) -> Result<Vec<Node>, Refusal> {
    let offset = nodes[at].at();
    let end =
        (at + 1..nodes.len()).find(|&i| nodes[i].is_any_word(&["order", "limit", "offset"])).unwrap_or(nodes.len());
    let Some(from) = (1..at).find(|&i| nodes[i].is_word("from")) else {
        return Err(Refusal::syntax(offset, "QUALIFY", "it needs a FROM clause"));
    };
    if let Some(distinct) = nodes.get(1).filter(|n| n.is_any_word(&["distinct", "top"])) {
        return Err(Refusal::not_translated(
            distinct.at(),
            "DISTINCT or TOP with QUALIFY",
            "write the condition in an outer query",
        ));
    }
    let mut outputs = Vec::new();
    let mut aliases = Vec::new();
    for item in split_commas(&nodes[1..from]) {
        let (name, expression) = output(item, offset)?;
        if outputs.contains(&name) {
            return Err(Refusal::not_translated(offset, "QUALIFY", format!("two columns are named {name}")));
        }
        outputs.push(name.clone());
        aliases.push((name, expression));
    }
    let condition = substitute(&nodes[at + 1..end], &aliases);
    let mut inner = nodes[..from].to_vec();
    inner.push(made(crate::lexer::Kind::Op, ",", offset));
    inner.push(Node::Group(Group {
        open: crate::lexer::Token { lead: " ".into(), kind: crate::lexer::Kind::Open, text: "(".into(), at: offset },
        body: condition,
        close: crate::lexer::Token {
            lead: String::new(),
            kind: crate::lexer::Kind::Close,
            text: ")".into(),
            at: offset,
        },
    }));
    inner.push(word_node(" AS qualify__", offset));
    inner.extend_from_slice(&nodes[from..at]);
    let inner = crate::query::level(&inner, t, outer)?;
    let list: Vec<String> = outputs.iter().map(|name| format!("qualified.{}", quoted(name))).collect();
    let lead = nodes[0].token().map(|t| t.lead.clone()).unwrap_or_default();
    let head = format!(
        "{lead}SELECT {} FROM ({}) AS qualified WHERE qualified.qualify__",
        list.join(", "),
        print(&inner).trim()
    );
    let mut out = vec![word_node(&head, offset)];
    // The outer query can use only the selected columns; PostgreSQL reports other names as unknown.
    out.extend(rewrite(&nodes[end..], t, &Scope::default())?);
    Ok(out)
}

/// The name of a selected column, and its expression without the alias.
fn output(item: &[Node], at: usize) -> Result<(String, Vec<Node>), Refusal> {
    let unnamed = || {
        Refusal::not_translated(
            item.first().map_or(at, Node::at),
            "QUALIFY with a column that has no name",
            "its outer query must name every column",
        )
        .instead("the columns by name, with AS for expressions")
    };
    let last = item.last().ok_or_else(unnamed)?;
    let name = last.name().ok_or_else(unnamed)?;
    let value = match item {
        [value @ .., as_word, _] if as_word.is_word("as") => value,
        [value @ .., before, _] if !before.is_op(".") && !before.is_op("::") => &item[..=value.len()],
        [_] => item,
        _ if item.iter().all(|n| n.is_name() || n.is_op(".")) => item,
        _ => return Err(unnamed()),
    };
    Ok((name, value.to_vec()))
}

/// Replaces the aliases of selected columns in the condition with their expressions.
fn substitute(nodes: &[Node], aliases: &[(String, Vec<Node>)]) -> Vec<Node> {
    let mut out = Vec::new();
    for (i, node) in nodes.iter().enumerate() {
        let alone = (i == 0 || !nodes[i - 1].is_op("."))
            && nodes.get(i + 1).is_none_or(|n| !n.is_op(".") && n.parens().is_none());
        match node {
            Node::Group(g) => out.push(Node::Group(Group { body: substitute(&g.body, aliases), ..g.clone() })),
            Node::Token(token) => {
                match aliases.iter().find(|(name, e)| alone && node.name().as_ref() == Some(name) && e.len() > 1) {
                    Some((_, expression)) => out.push(Node::Group(Group {
                        open: crate::lexer::Token {
                            lead: token.lead.clone(),
                            kind: crate::lexer::Kind::Open,
                            text: "(".into(),
                            at: token.at,
                        },
                        body: expression.clone(),
                        close: crate::lexer::Token {
                            lead: String::new(),
                            kind: crate::lexer::Kind::Close,
                            text: ")".into(),
                            at: token.at,
                        },
                    })),
                    None => out.push(node.clone()),
                }
            }
        }
    }
    out
}
