//! Procedures and SQL functions: their headers are translated here, the statements in a procedure body in
//! [`crate::plpgsql`].

use crate::Translated;
use crate::names::printed as name_sql;
use crate::plpgsql;
use crate::refusal::Refusal;
use crate::scope::Scope;
use crate::translator::Translator;
use crate::tree::{Cursor, Group, Node, nest, print, quoted, split_commas};
use crate::types::{self, Use};

/// Maximum number of arguments of a procedure.
const MAX_ARGUMENTS: usize = 32;

/// The argument list of `DROP`, `GRANT` and `ALTER`: types without names.
pub(crate) fn signature(group: &Group) -> Result<String, Refusal> {
    let mut out = Vec::new();
    for part in split_commas(&group.body) {
        let mut c = Cursor::new(part);
        out.push(argument(&mut c)?.sql);
        c.expect_done()?;
    }
    Ok(format!("({})", out.join(", ")))
}

struct Argument {
    name: Option<String>,
    sql: String,
}

/// `[name] [IN | OUT | INOUT] type`, in the order of Redshift.
fn argument(c: &mut Cursor<'_>) -> Result<Argument, Refusal> {
    let mode = |c: &mut Cursor<'_>| ["inout", "in", "out"].into_iter().find(|w| c.eat(&[w]));
    let mut found = mode(c);
    if c.sees(&["variadic"]) {
        return Err(Refusal::not_redshift(c.at(), "VARIADIC", "syntax error at or near \"variadic\""));
    }
    let mut name = None;
    let start = *c;
    // The first word is a name, unless the words form a type.
    let alone = {
        let mut probe = start;
        types::parse(&mut probe, Use::Argument).ok().flatten().is_some() && probe.done()
    };
    if !alone {
        name = Some(c.name("the name of an argument")?);
    }
    found = found.or_else(|| mode(c));
    let ty = types::expect(c, Use::Argument)?;
    if let Some(node) = c.peek().filter(|n| n.is_word("default") || n.is_op("=")) {
        return Err(Refusal::not_redshift(node.at(), "a default of an argument", "arguments have no defaults"));
    }
    let sql = match (&name, found) {
        (Some(name), Some(mode)) => format!("{} {} {}", mode.to_uppercase(), quoted(name), ty.sql),
        (Some(name), None) => format!("{} {}", quoted(name), ty.sql),
        (None, Some(mode)) => format!("{} {}", mode.to_uppercase(), ty.sql),
        (None, None) => ty.sql,
    };
    Ok(Argument { name, sql })
}

fn arguments(c: &mut Cursor<'_>) -> Result<(Vec<String>, String), Refusal> {
    let group = c.expect_parens("the arguments in parentheses")?;
    let (mut names, mut out) = (Vec::new(), Vec::new());
    for part in split_commas(&group.body) {
        let mut part = Cursor::new(part);
        let argument = argument(&mut part)?;
        part.expect_done()?;
        names.extend(argument.name);
        out.push(argument.sql);
    }
    if out.len() > MAX_ARGUMENTS {
        return Err(Refusal::not_redshift(
            group.open.at,
            "the arguments",
            format!("a procedure has at most {MAX_ARGUMENTS}"),
        ));
    }
    Ok((names, out.join(", ")))
}

/// The text between the dollar quotes or quotes, and its offset in the statement.
fn body(node: &Node) -> Result<(String, usize), Refusal> {
    let text = crate::copy::text_of(node)
        .ok_or_else(|| Refusal::syntax(node.at(), node.shown(), "expected the body between $$ and $$"))?;
    let start = node.token().map_or(0, |t| t.text.find(text.as_str()).unwrap_or(0));
    Ok((text, node.at() + start))
}

pub(crate) fn create(mut c: Cursor<'_>, or_replace: bool) -> Result<Translated, Refusal> {
    c.expect(&["procedure"])?;
    let name = c.qualified("a procedure name")?;
    let (names, list) = arguments(&mut c)?;
    let mut source = None;
    let mut security = "";
    while let Some(node) = c.peek() {
        let at = node.at();
        if c.eat(&["as"]) {
            let node = c.peek().ok_or_else(|| c.unexpected("the body"))?;
            source = Some(body(node)?);
            c.bump();
        } else if c.eat(&["language", "plpgsql"]) {
        } else if c.sees(&["language"]) {
            return Err(Refusal::not_redshift(at, "LANGUAGE", "the language of procedures is plpgsql"));
        } else if c.eat(&["security", "definer"]) {
            security = " SECURITY DEFINER";
        } else if c.eat(&["security", "invoker"]) {
        } else if c.eat(&["nonatomic"]) {
            return Err(Refusal::not_translated(
                at,
                "NONATOMIC",
                "PostgreSQL cannot commit each statement of the body separately",
            ));
        } else if c.sees(&["set"]) {
            return Err(Refusal::not_translated(at, "SET in CREATE PROCEDURE", "it is not supported"));
        } else {
            return Err(c.unexpected("AS, LANGUAGE or SECURITY"));
        }
    }
    let Some((text, offset)) = source else { return Err(c.unexpected("AS $$ … $$")) };
    let body = plpgsql::body(&text, names).map_err(|refusal| Refusal { offset: refusal.offset + offset, ..refusal })?;
    let replace = if or_replace { "OR REPLACE " } else { "" };
    let tag = tag_for(&body);
    let sql =
        format!("CREATE {replace}PROCEDURE {}({list}) LANGUAGE plpgsql{security} AS {tag}{body}{tag}", name_sql(&name));
    Ok(Translated::sql("CREATE PROCEDURE", sql))
}

/// A dollar quote that does not occur in the body.
fn tag_for(body: &str) -> String {
    let mut tag = "$redshift$".to_owned();
    while body.contains(&tag) {
        tag.insert(tag.len() - 1, '_');
    }
    tag
}

const VOLATILITIES: [&str; 3] = ["volatile", "stable", "immutable"];

pub(crate) fn create_function(mut c: Cursor<'_>, or_replace: bool) -> Result<Translated, Refusal> {
    c.expect(&["function"])?;
    let name = c.qualified("a function name")?;
    let at = c.at();
    let group = c.expect_parens("the types of the arguments")?;
    let list = signature(group)?;
    let is_sql = (0..).map_while(|n| c.peek_at(n)).zip((1..).map_while(|n| c.peek_at(n)));
    let is_sql = !is_sql.into_iter().any(|(node, next)| node.is_word("language") && next.is_word("plpythonu"));
    if list.contains('"') && is_sql {
        return Err(Refusal::not_redshift(
            at,
            "named arguments of a SQL function",
            "arguments have only types, and are referenced as $1, $2 …",
        ));
    }
    c.expect(&["returns"])?;
    if let Some(node) = c.peek().filter(|n| n.is_any_word(&["trigger", "setof", "table", "record", "void"])) {
        return Err(Refusal::not_redshift(
            node.at(),
            format!("RETURNS {}", node.shown().to_uppercase()),
            "a function returns one value",
        ));
    }
    let returns = types::expect(&mut c, Use::Argument)?;
    let volatility =
        VOLATILITIES.into_iter().find(|v| c.eat(&[v])).ok_or_else(|| c.unexpected("VOLATILE, STABLE or IMMUTABLE"))?;
    c.expect(&["as"])?;
    let node = c.peek().ok_or_else(|| c.unexpected("the body"))?;
    let (text, offset) = body(node)?;
    c.bump();
    c.expect(&["language"])?;
    if let Some(node) = c.peek().filter(|n| n.is_word("plpythonu")) {
        return Err(Refusal::not_translated(node.at(), "LANGUAGE plpythonu", "Python functions are not supported")
            .instead("a SQL function or a Lambda UDF"));
    }
    if !c.eat(&["sql"]) {
        return Err(Refusal::not_redshift(c.at(), "LANGUAGE", "the language of functions is sql"));
    }
    c.expect_done()?;
    let moved = |refusal: Refusal| Refusal { offset: refusal.offset + offset, ..refusal };
    let nodes = crate::translator::parse(&text).map_err(moved)?;
    if nodes.iter().any(|n| n.is_word("from")) || !nodes.first().is_some_and(|n| n.is_word("select")) {
        return Err(Refusal::not_redshift(offset, "the body of a SQL function", "it is one SELECT without FROM"));
    }
    let mut t = Translator::new(None);
    t.positional = true;
    let body = print(&crate::query::level(&nodes, &mut t, &Scope::default()).map_err(moved)?);
    let replace = if or_replace { "OR REPLACE " } else { "" };
    let tag = tag_for(&body);
    let sql = format!(
        "CREATE {replace}FUNCTION {}{list} RETURNS {} LANGUAGE sql {} AS {tag}{body}{tag}",
        name_sql(&name),
        returns.sql,
        volatility.to_uppercase()
    );
    Ok(Translated::sql("CREATE FUNCTION", sql))
}

pub(crate) fn alter(mut c: Cursor<'_>) -> Result<Translated, Refusal> {
    let procedure = c.sees(&["procedure"]);
    let (keyword, command) = if procedure { ("PROCEDURE", "ALTER PROCEDURE") } else { ("FUNCTION", "ALTER FUNCTION") };
    c.bump();
    let name = name_sql(&c.qualified("a name")?);
    let list = match c.peek().and_then(Node::parens) {
        Some(group) => {
            c.bump();
            signature(group)?
        }
        None => String::new(),
    };
    let change = if c.eat(&["rename", "to"]) {
        format!("RENAME TO {}", quoted(&c.name("a name")?))
    } else if c.eat(&["owner", "to"]) {
        format!("OWNER TO {}", crate::access::grantee(&mut c)?)
    } else {
        return Err(c.unexpected("RENAME TO or OWNER TO"));
    };
    c.expect_done()?;
    Ok(Translated::sql(command, format!("ALTER {keyword} {name}{list} {change}")))
}

/// The nodes of the text of a body.
pub(crate) fn body_nodes(text: &str) -> Result<(Vec<Node>, String), Refusal> {
    let (tokens, tail) = crate::lexer::tokens(text)?;
    Ok((nest(tokens)?, tail))
}
