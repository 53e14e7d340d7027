//! SQL inside a literal of a statement: the query of `UNLOAD`, and the statements in the body of a procedure.

use std::borrow::Cow;

use shiftwork_sql::{Lexer, Token, TokenKind};

/// SQL inside a literal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Inside<'s> {
    /// Byte offset of the text in the statement around it.
    pub(super) offset: usize,
    /// The text. Each character has the same distance from the start of the text as in the literal.
    pub(super) text: Cow<'s, str>,
}

/// Returns the SQL inside the literals of a statement.
pub(super) fn inside(statement: &str) -> Vec<Inside<'_>> {
    let tokens = tokens(statement);
    let word = |at: usize| tokens.get(at).map(|token| statement[token.start..token.end].to_ascii_uppercase());
    let is = |at: usize, wanted: &str| word(at).is_some_and(|word| word == wanted);
    if is(0, "UNLOAD") && is(1, "(") {
        return tokens
            .get(2)
            .filter(|token| token.kind == TokenKind::Literal)
            .and_then(|t| query(statement, *t))
            .into_iter()
            .collect();
    }
    let name = if is(1, "OR") && is(2, "REPLACE") { 3 } else { 1 };
    let is_language = |at: usize| is(at, "LANGUAGE") && (is(at + 1, "PLPGSQL") || is(at + 1, "SQL"));
    if !is(0, "CREATE") || !is(name, "PROCEDURE") && !is(name, "FUNCTION") || !(name..tokens.len()).any(is_language) {
        return Vec::new();
    }
    let body =
        tokens.iter().find(|token| token.kind == TokenKind::Literal && statement[token.start..].starts_with('$'));
    body.map(|body| statements(statement, *body)).unwrap_or_default()
}

/// The tokens without spaces and comments; none if the text cannot be read.
fn tokens(text: &str) -> Vec<Token> {
    let all: Result<Vec<_>, _> = Lexer::as_redshift(text).collect();
    let mut tokens = all.unwrap_or_default();
    tokens.retain(|token| !matches!(token.kind, TokenKind::Space | TokenKind::Comment));
    tokens
}

/// The query in a literal. `None` for a literal with escapes other than those of quotes.
fn query(statement: &str, literal: Token) -> Option<Inside<'_>> {
    let written = &statement[literal.start..literal.end];
    if let Some((start, end)) = dollar_quotes(written) {
        return Some(Inside { offset: literal.start + start, text: Cow::Borrowed(&written[start..end]) });
    }
    let text = written.strip_prefix('\'')?.strip_suffix('\'')?;
    let offset = literal.start + 1;
    if !text.contains(['\'', '\\']) {
        return Some(Inside { offset, text: Cow::Borrowed(text) });
    }
    // `n` escaped quotes become `n` quotes and as many spaces: the spaces are inside of a literal or after it.
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['\'', '\\']) {
        plain.push_str(&rest[..at]);
        let mut quotes = 0;
        let mut run = &rest[at..];
        while let Some(after) = run.strip_prefix("''").or_else(|| run.strip_prefix("\\'")) {
            (quotes, run) = (quotes + 1, after);
        }
        if quotes == 0 {
            return None;
        }
        plain.extend(std::iter::repeat_n('\'', quotes).chain(std::iter::repeat_n(' ', quotes)));
        rest = run;
    }
    plain.push_str(rest);
    Some(Inside { offset, text: Cow::Owned(plain) })
}

/// Start and end of the content of `$tag$…$tag$`.
fn dollar_quotes(literal: &str) -> Option<(usize, usize)> {
    let tag = literal.strip_prefix('$')?.find('$')? + 2;
    Some((tag, literal.len().checked_sub(tag)?))
}

/// The statements of a body that change data or read it. A query that assigns variables (`SELECT … INTO`) has forms of its own and is left
/// out.
fn statements(statement: &str, body: Token) -> Vec<Inside<'_>> {
    let written = &statement[body.start..body.end];
    let Some((start, end)) = dollar_quotes(written) else { return Vec::new() };
    let text = &written[start..end];
    let tokens = tokens(text);
    let word = |token: &Token| text[token.start..token.end].to_ascii_uppercase();
    let mut found = Vec::new();
    for piece in tokens.split(|token| token.kind == TokenKind::Semicolon) {
        let piece = without_control(piece, &word);
        let Some((first, last)) = piece.first().zip(piece.last()) else { continue };
        let begins = word(first);
        let is_assignment = begins == "SELECT" && piece.iter().any(|token| word(token) == "INTO");
        if ["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"].contains(&begins.as_str()) && !is_assignment {
            let text = Cow::Borrowed(&text[first.start..last.end]);
            found.push(Inside { offset: body.start + start + first.start, text });
        }
    }
    found
}

/// The tokens after the words with which PL/pgSQL begins a block: `BEGIN`, `IF … THEN`, `ELSE`, `FOR … LOOP`, `EXCEPTION WHEN … THEN`.
fn without_control<'t>(mut piece: &'t [Token], word: &impl Fn(&Token) -> String) -> &'t [Token] {
    while let Some(first) = piece.first() {
        let last = match word(first).as_str() {
            "BEGIN" | "ELSE" | "LOOP" | "EXCEPTION" => 0,
            "IF" | "ELSIF" | "ELSEIF" | "WHEN" => match piece.iter().position(|token| word(token) == "THEN") {
                Some(at) => at,
                None => return &[],
            },
            "FOR" | "WHILE" => match piece.iter().position(|token| word(token) == "LOOP") {
                Some(at) => at,
                None => return &[],
            },
            _ => return piece,
        };
        piece = &piece[last + 1..];
    }
    piece
}

#[cfg(test)]
mod tests {
    use super::inside;

    #[test]
    fn the_sql_in_literals_is_found_at_its_place() {
        let body = "create or replace procedure p() as $$\nbegin insert into t select 1;\n if a > 1 then delete from t; \
                    else update t set a = 1; end if;\n select into n count(*) from t; for r in select 1 loop merge into t using s on a = b; \
                    end loop; exception when others then select f(); raise info 'x'; end;$$ language plpgsql";
        for (statement, expected) in [
            ("unload ('select a from t') to 's3://b/x'", vec!["select a from t"]),
            ("unload ($$select 'a' from t$$) to 's3://b/x'", vec!["select 'a' from t"]),
            ("unload ('select ''a'' from t where b = ''''') to 's3://b/x'", vec!["select 'a' from t where b = ''"]),
            (r"unload ('select \'a\' from t') to 's3://b/x'", vec!["select 'a' from t"]),
            (r"unload ('select ''\\d'' from t') to 's3://b/x'", vec![]),
            ("copy t from 's3://b/x'", vec![]),
            (
                body,
                vec![
                    "insert into t select 1",
                    "delete from t",
                    "update t set a = 1",
                    "merge into t using s on a = b",
                    "select f()",
                ],
            ),
            ("create function f(int) returns int as $$ select $1 $$ language sql", vec!["select $1"]),
            ("create function f(int) returns int as $$\n select a, from t $$ language plpythonu", vec![]),
        ] {
            let found = inside(statement);
            // The spaces after escaped quotes do not matter.
            let plain = |text: &str| text.split_whitespace().collect::<String>();
            let texts: Vec<_> = found.iter().map(|found| plain(&found.text)).collect();
            let expected: Vec<_> = expected.into_iter().map(plain).collect();
            assert_eq!(texts, expected, "{statement}");
            let at = |found: &super::Inside<'_>| {
                statement[found.offset..].starts_with(found.text.split(['\'', '\\']).next().unwrap())
            };
            assert!(found.iter().all(at), "{statement}");
        }
    }
}
