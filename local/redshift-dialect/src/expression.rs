//! Expressions: names, literals, casts, operators, and paths into SUPER values. Function calls are in
//! [`crate::functions`].

use crate::functions;
use crate::lexer::{Kind, Token};
use crate::names;
use crate::refusal::Refusal;
use crate::scope::Scope;
use crate::translator::Translator;
use crate::tree::{Cursor, Group, Node, literal, made, print, quoted};
use crate::types::{self, Use};

/// A word that the translation inserts.
pub(crate) fn word_node(text: &str, at: usize) -> Node {
    made(Kind::Word, text, at)
}

/// Replaces the text of `like` and keeps its white space and comments.
pub(crate) fn replaced(like: &Node, text: &str) -> Node {
    let mut node = made(Kind::Word, text, like.at());
    node.lead_mut().clone_from(match like {
        Node::Token(t) => &t.lead,
        Node::Group(g) => &g.open.lead,
    });
    node
}

/// The node with its name folded as in Redshift, or the node itself if it is not a name.
pub(crate) fn name_or_self(node: &Node) -> Result<Node, Refusal> {
    match node.token() {
        Some(t) if t.kind == Kind::Quoted => {
            let name = names::checked(node)?;
            Ok(replaced(node, &quoted(&name)))
        }
        Some(t) if t.kind == Kind::Word => {
            names::length(&t.text, t.at)?;
            if t.text.starts_with('#') { Ok(replaced(node, &quoted(&t.text.to_lowercase()))) } else { Ok(node.clone()) }
        }
        _ => Ok(node.clone()),
    }
}

/// A relation in a FROM clause. Names of Redshift's system views are mapped to the views of the prelude.
pub(crate) fn relation_sql(parts: &[String]) -> String {
    let (schema, name) = match parts {
        [schema, name] => (Some(schema.as_str()), name.as_str()),
        [name] => (None, name.as_str()),
        _ => return names::printed(parts),
    };
    if matches!(schema, None | Some("pg_catalog")) && SYSTEM_VIEWS.contains(&name) {
        return format!("redshift.{}", quoted(name));
    }
    names::printed(parts)
}

/// The system views of the prelude.
pub(crate) const SYSTEM_VIEWS: [&str; 10] = [
    "stl_load_errors",
    "sys_load_error_detail",
    "pg_table_def",
    "svv_all_columns",
    "svv_columns",
    "svv_tables",
    "svv_all_tables",
    "svv_all_schemas",
    "svv_redshift_columns",
    "stv_recents",
];

/// Rewrites nodes in which every name is a column, a function or a keyword.
pub(crate) fn rewrite(nodes: &[Node], t: &mut Translator<'_>, scope: &Scope<'_>) -> Result<Vec<Node>, Refusal> {
    let mut out: Vec<Node> = Vec::with_capacity(nodes.len());
    let mut i = 0;
    while i < nodes.len() {
        let node = &nodes[i];
        i += match node {
            Node::Group(g) => group(g, &nodes[..i], t, scope, &mut out)?,
            Node::Token(token) => match token.kind {
                Kind::Str => string(token, nodes, i, &mut out)?,
                Kind::Param => {
                    let text = t.parameter(&token.text[1..], token.at)?;
                    out.push(replaced(node, &text));
                    1
                }
                Kind::Positional if !t.positional => {
                    return Err(
                        Refusal::not_redshift(token.at, token.text.clone(), "parameters are named").instead(":name")
                    );
                }
                Kind::Op if token.text == "::" => cast(nodes, i, &mut out)?,
                Kind::Op => operator(token, nodes, i, &mut out)?,
                Kind::Word | Kind::Quoted => word(nodes, i, t, scope, &mut out)?,
                Kind::Number | Kind::Dollar | Kind::Positional | Kind::Open | Kind::Close => {
                    out.push(node.clone());
                    1
                }
            },
        };
    }
    Ok(out)
}

fn group(
    g: &Group,
    before: &[Node],
    t: &mut Translator<'_>,
    scope: &Scope<'_>,
    out: &mut Vec<Node>,
) -> Result<usize, Refusal> {
    if g.open.text == "[" {
        let base = out.pop().filter(|_| before.last().is_some_and(|n| n.parens().is_some()));
        let Some(base) = base else {
            return Err(
                Refusal::not_redshift(g.open.at, "[ ]", "arrays are not a data type").instead("SUPER and ARRAY(…)")
            );
        };
        // An index after a parenthesis or a call: the name of the call is already in the output, so it is removed from
        // there.
        let mut start = vec![base];
        if out.last().is_some_and(|n| n.is_name() && n.token().is_some_and(|t| t.text.contains("redshift."))) {
            start.insert(0, out.remove(out.len() - 1));
        } else if before.len() > 1 && before[before.len() - 2].is_name() {
            return Err(Refusal::not_translated(
                g.open.at,
                "[ ] after a function",
                "only paths of columns and SUPER functions are supported",
            ));
        }
        let index = rewrite(&g.body, t, scope)?;
        let text = format!("redshift.get({}, {})", print(&start).trim(), print(&index).trim());
        out.push(replaced(&start[0], &text));
        return Ok(1);
    }
    let body = if is_query(&g.body) { crate::query::level(&g.body, t, scope)? } else { rewrite(&g.body, t, scope)? };
    out.push(Node::Group(Group { body, ..g.clone() }));
    Ok(1)
}

pub(crate) fn is_query(body: &[Node]) -> bool {
    body.first().is_some_and(|n| n.is_any_word(&["select", "with"]) || n.parens().is_some_and(|g| is_query(&g.body)))
}

/// Translates a string: in Redshift a backslash is an escape in every string; PostgreSQL requires the prefix `E`.
fn string(token: &Token, nodes: &[Node], i: usize, out: &mut Vec<Node>) -> Result<usize, Refusal> {
    let text = &token.text;
    if text.starts_with(['b', 'B', 'x', 'X']) {
        return Err(Refusal::not_redshift(
            token.at,
            text[..1].to_uppercase() + "'…'",
            "bit strings are not a data type",
        ));
    }
    let mut node = nodes[i].clone();
    if let Node::Token(new) = &mut node {
        if text.starts_with(['n', 'N']) {
            new.text.remove(0);
        }
        if text.contains('\\') {
            if let Some(found) = ["\\u", "\\U", "\\x"].iter().find(|e| text.replace("\\\\", "").contains(*e)) {
                return Err(Refusal::not_translated(
                    token.at,
                    (*found).to_owned(),
                    "Redshift and PostgreSQL interpret this escape differently",
                )
                .instead(format!("\\{found} for a backslash")));
            }
            if new.text.starts_with('\'') {
                new.text.insert(0, 'E');
            }
        }
        // A string that is compared with a path into SUPER is text; without a cast, PostgreSQL would parse it as JSON.
        if out.last().is_some_and(compares) && out.len() > 1 && is_path(&out[out.len() - 2]) {
            new.text.push_str("::text");
        }
    }
    out.push(node);
    Ok(1)
}

fn compares(node: &Node) -> bool {
    ["=", "<>", "!=", "<", "<=", ">", ">="].iter().any(|op| node.is_op(op))
}

/// True if [`word`] generated this node from a path.
fn is_path(node: &Node) -> bool {
    node.token().is_some_and(|t| t.text.starts_with("redshift.get("))
}

fn cast(nodes: &[Node], i: usize, out: &mut Vec<Node>) -> Result<usize, Refusal> {
    let mut c = Cursor::new(&nodes[i + 1..]);
    let before = c.rest().len();
    let ty = types::expect(&mut c, Use::Expression)?;
    let taken = before - c.rest().len();
    if ty.is_super && i > 0 && nodes[i - 1].is_string() {
        // A string that is cast to SUPER is a SUPER string; PostgreSQL would parse the literal as JSON.
        let text = out.pop().map(|n| print(&[n])).unwrap_or_default();
        let lead: String = text.chars().take_while(|c| c.is_whitespace()).collect();
        let mut made = word_node(&format!("redshift.to_super({}::text)", text.trim()), nodes[i].at());
        *made.lead_mut() = lead;
        out.push(made);
        return Ok(1 + taken);
    }
    out.push(nodes[i].clone());
    out.push(word_node(&ty.sql, nodes[i].at()));
    Ok(1 + taken)
}

fn operator(token: &Token, nodes: &[Node], i: usize, out: &mut Vec<Node>) -> Result<usize, Refusal> {
    let op = token.text.as_str();
    match op {
        "," | "." | "+" | "-" | "*" | "/" | "%" | "^" | "=" | "<" | ">" | "<=" | ">=" | "<>" | "!=" | "||" | "~"
        | "!~" | "&" | "|" | "#" | "<<" | ">>" | "@" | "|/" | "||/" | ":=" | ".." | "~~" | "!~~" | "~~*" | "!~~*"
        | ";" => {
            out.push(nodes[i].clone());
            Ok(1)
        }
        "->" | "->>" | "#>" | "#>>" | "@>" | "<@" | "?" | "?|" | "?&" | "@?" | "@@" | "#-" => {
            Err(Refusal::not_redshift(token.at, op, "JSON and array operators do not exist")
                .instead("a path (column.attribute) into a SUPER"))
        }
        "~*" | "!~*" => {
            Err(Refusal::not_redshift(token.at, op, "operator does not exist")
                .instead("ILIKE, or LOWER(x) ~ 'pattern'"))
        }
        "=>" => Err(Refusal::not_redshift(token.at, op, "arguments are positional")),
        _ => Err(Refusal::syntax(token.at, op, "unknown operator")),
    }
}

/// Words before a parenthesis that do not make it a function call.
const BEFORE_PARENTHESIS: [&str; 50] = [
    "in",
    "values",
    "over",
    "as",
    "exists",
    "any",
    "some",
    "all",
    "using",
    "by",
    "and",
    "or",
    "not",
    "on",
    "where",
    "having",
    "when",
    "then",
    "else",
    "case",
    "select",
    "distinct",
    "between",
    "like",
    "ilike",
    "to",
    "from",
    "union",
    "except",
    "intersect",
    "minus",
    "limit",
    "offset",
    "partition",
    "order",
    "group",
    "with",
    "set",
    "rollup",
    "cube",
    "sets",
    "is",
    "join",
    "if",
    "elsif",
    "return",
    "escape",
    "while",
    "qualify",
    "loop",
];

/// Rewrites a word: a keyword, a function call, a column or a path.
fn word(
    nodes: &[Node],
    i: usize,
    t: &mut Translator<'_>,
    scope: &Scope<'_>,
    out: &mut Vec<Node>,
) -> Result<usize, Refusal> {
    let node = &nodes[i];
    let next = nodes.get(i + 1);
    let after_as = i > 0 && nodes[i - 1].is_word("as");
    let plain = node.word();
    if let Some(word) = plain.as_deref() {
        if let Some(taken) = keyword(word, nodes, i, out)? {
            return Ok(taken);
        }
        let keyword_before_group = BEFORE_PARENTHESIS.contains(&word) && next.is_some_and(|n| n.parens().is_some());
        if keyword_before_group && !after_as {
            out.push(node.clone());
            return Ok(1);
        }
        if names::left_unquoted(word) && !after_as && !t.variables.iter().any(|v| v == word) {
            return Err(Refusal::not_redshift(
                node.at(),
                format!("the name {word}"),
                format!("syntax error at or near \"{word}\": it is a reserved word"),
            )
            .instead(format!("{} in double quotes", quoted(word))));
        }
    }
    // The longest dotted name that starts here.
    let mut parts = vec![i];
    while nodes.get(parts[parts.len() - 1] + 1).is_some_and(|n| n.is_op(".")) {
        let last = parts[parts.len() - 1] + 2;
        match nodes.get(last) {
            Some(n) if n.is_name() => parts.push(last),
            _ => break,
        }
    }
    let end = parts[parts.len() - 1] + 1;
    let star = nodes.get(end).is_some_and(|n| n.is_op("."));
    if nodes.get(end).is_some_and(|n| n.parens().is_some()) && !after_as && parts.len() <= 2 {
        let names: Vec<String> = parts.iter().filter_map(|&p| nodes[p].name()).collect();
        return functions::call(&names, nodes, i, end, t, scope, out);
    }
    let indexed = nodes.get(end).is_some_and(|n| n.brackets().is_some());
    if star || (parts.len() == 1 && !indexed) {
        for n in &nodes[i..end] {
            out.push(name_or_self(n)?);
        }
        return Ok(end - i);
    }
    path(nodes, i, &parts, t, scope, out)
}

/// Rewrites keywords with a special translation; returns `None` if the word must be rewritten as a name.
fn keyword(word: &str, nodes: &[Node], i: usize, out: &mut Vec<Node>) -> Result<Option<usize>, Refusal> {
    let node = &nodes[i];
    let at = node.at();
    let next = nodes.get(i + 1);
    let dotted = next.is_some_and(|n| n.is_op("."));
    if i > 0 && (nodes[i - 1].is_op(".") || nodes[i - 1].is_word("as")) {
        return Ok(None);
    }
    match word {
        "sysdate" => {
            out.push(replaced(node, "redshift.sysdate()"));
            Ok(Some(1))
        }
        "approximate" if next.is_some_and(Node::is_name) => Ok(Some(1)),
        "array" if next.is_some_and(|n| n.brackets().is_some()) => {
            Err(Refusal::not_redshift(at, "ARRAY[…]", "syntax error at or near \"[\"")
                .instead("ARRAY(…), which is a SUPER"))
        }
        "distinct" if i > 0 && (nodes[i - 1].is_word("is") || nodes[i - 1].is_word("not")) => {
            Err(Refusal::not_redshift(at, "IS [NOT] DISTINCT FROM", "syntax error at or near \"distinct\"")
                .instead("a = b OR (a IS NULL AND b IS NULL)"))
        }
        "filter"
            if next.is_some_and(|n| n.parens().is_some_and(|g| g.body.first().is_some_and(|f| f.is_word("where")))) =>
        {
            Err(Refusal::not_redshift(at, "FILTER (WHERE …)", "syntax error at or near \"filter\"")
                .instead("an aggregate of CASE WHEN … END"))
        }
        "returning" | "lateral" | "tablesample" if !dotted => {
            Err(Refusal::not_redshift(at, word.to_uppercase(), format!("syntax error at or near \"{word}\"")))
        }
        "ignore" if next.is_some_and(|n| n.is_word("nulls")) => {
            Err(Refusal::not_translated(at, "IGNORE NULLS", "PostgreSQL 18 has no such window function"))
        }
        "respect" if next.is_some_and(|n| n.is_word("nulls")) => Ok(Some(2)),
        "range" | "groups" if next.is_some_and(|n| n.is_any_word(&["between", "unbounded", "current"])) => {
            Err(Refusal::not_redshift(
                at,
                format!("{} in a window frame", word.to_uppercase()),
                "only ROWS frames are supported",
            )
            .instead("ROWS"))
        }
        "collate" => Err(Refusal::not_translated(at, "COLLATE", "only the default collation, by bytes, is supported")),
        "current_user_id" | "localtime" | "current_time" => {
            Err(Refusal::not_translated(at, word.to_uppercase(), "this function is not supported"))
        }
        "date" | "timestamp" | "time" | "timestamptz" | "timetz" | "interval" if next.is_some_and(Node::is_string) => {
            out.push(node.clone());
            Ok(Some(1))
        }
        "current_date" | "current_timestamp" | "current_user" | "session_user" | "user" | "null" | "true" | "false"
        | "default" => {
            out.push(node.clone());
            Ok(Some(1))
        }
        _ => Ok(None),
    }
}

/// Rewrites `a.b`, `a.b.c`, `a[0]`, `a.b[0].c`: a column, or a column and a path into its SUPER value.
fn path(
    nodes: &[Node],
    i: usize,
    parts: &[usize],
    t: &mut Translator<'_>,
    scope: &Scope<'_>,
    out: &mut Vec<Node>,
) -> Result<usize, Refusal> {
    let names: Vec<String> = parts.iter().filter_map(|&p| nodes[p].name()).collect();
    let variable = t.variables.contains(&names[0]);
    let relation = scope.find(|r| r.alias == names[0]);
    // The number of parts that name the column; the other parts are the path.
    let column = if variable {
        names.len().min(2)
    } else if relation.is_some_and(|r| r.element) {
        1
    } else if relation.is_some() {
        2
    } else if names.len() >= 2
        && scope.find(|r| r.alias == names[1] && r.schema.as_deref() == Some(&names[0])).is_some()
    {
        3
    } else if scope.is_blind() && names.len() > 1 {
        names.len()
    } else {
        1
    };
    let column = column.min(names.len());
    let mut text = if relation.is_some_and(|r| r.element) {
        format!("{0}.{0}", quoted(&names[0]))
    } else {
        let mut own = Vec::new();
        for &p in &parts[..column] {
            own.push(print(&[name_or_self(&nodes[p])?]).trim().to_owned());
        }
        own.join(".")
    };
    for name in &names[column..] {
        text = format!("redshift.get({text}, {}::text)", literal(name));
    }
    let mut at = parts[parts.len() - 1] + 1;
    loop {
        if let Some(index) = nodes.get(at).and_then(Node::brackets) {
            let index = rewrite(&index.body, t, scope)?;
            let index = if index.len() == 1 && index[0].is_string() {
                format!("{}::text", print(&index).trim())
            } else {
                print(&index).trim().to_owned()
            };
            text = format!("redshift.get({text}, {index})");
            at += 1;
        } else if nodes.get(at).is_some_and(|n| n.is_op(".")) && nodes.get(at + 1).is_some_and(Node::is_name) {
            text = format!("redshift.get({text}, {}::text)", literal(&nodes[at + 1].name().unwrap_or_default()));
            at += 2;
        } else {
            break;
        }
    }
    out.push(replaced(&nodes[i], &text));
    Ok(at - i)
}
