//! Checks the syntax of queries and of changes of data with the parser of the crate sqlparser.
//!
//! The parser that the local stack uses reads clauses and expressions only as far as it has to translate them; sqlparser reads them
//! completely. It is used for `SELECT`, `INSERT`, `UPDATE`, `DELETE`, `MERGE`, and the queries in `CREATE TABLE … AS`, `CREATE VIEW`,
//! `DECLARE`, `PREPARE`, `EXPLAIN` and `UNLOAD`, and for these statements in the body of a procedure; the other parser reads all other
//! statements completely.
//!
//! sqlparser also knows the keywords of many other dialects, and not every form of Redshift. These rules keep statements that Redshift
//! accepts out of the findings:
//!
//! 1. Literals, comments and placeholders are replaced by plain literals and spaces of the same length ([`plain`]).
//! 2. Only the words of Redshift's grammar are keywords ([`with_keywords`]). Any other word is a name.
//! 3. Forms that only Redshift has are replaced by forms that the parser reads ([`rewrite`]).
//! 4. A statement with a form that has no such replacement is not checked ([`is_unread`]).

use sqlparser::{
    dialect::RedshiftSqlDialect,
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Token, TokenWithSpan, Tokenizer, Word},
};

use shiftwork_config::nearest;
use shiftwork_protocol::limits::STATEMENT_BYTES;
use shiftwork_sql::{Lexer, TokenKind};

use self::{
    forms::{is_unread, rewrite, with_keywords},
    inside::inside,
};

mod forms;
mod inside;

/// A syntax error that sqlparser found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// Byte offset in the statement.
    pub(super) offset: usize,
    /// The text at the offset, or `end of input`.
    pub(super) found: String,
    /// The text that is valid at the offset.
    pub(super) expected: String,
    /// The keyword that the name at the offset, or the name before it, is probably meant to be.
    pub(super) meant: Option<&'static str>,
}

/// The words that begin a clause or join two clauses, without those of two letters. A misspelt one is read as a name.
const CLAUSES: [&str; 22] = [
    "and", "between", "delete", "distinct", "exists", "from", "group", "having", "inner", "into", "join", "left",
    "limit", "not", "order", "over", "select", "set", "union", "using", "values", "where",
];

/// Size of the stack of the parser. The parser limits its own recursion, but a chain of operators is a tree as deep as the chain is long,
/// and dropping it recurses: a statement of 100 KB, the limit of the Data API, has up to 50,000 operators.
const STACK_BYTES: usize = 256 * 1024 * 1024;

/// Returns the first syntax error of a statement; `None` if there is none, or if the statement is not checked.
pub(super) fn check(statement: &str) -> Option<SyntaxError> {
    // The planner reports a longer statement.
    if statement.len() > STATEMENT_BYTES {
        return None;
    }
    check_one(statement).or_else(|| {
        inside(statement).into_iter().find_map(|inside| {
            let error = check_one(&inside.text)?;
            Some(SyntaxError { offset: inside.offset + error.offset, ..error })
        })
    })
}

fn check_one(statement: &str) -> Option<SyntaxError> {
    let text = plain(statement)?;
    let tokens = Tokenizer::new(&RedshiftSqlDialect {}, &text).tokenize_with_location().ok()?;
    let tokens = tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let tokens = query(tokens)?;
    if is_unread(&tokens) {
        return None;
    }
    let tokens = rewrite(&with_keywords(tokens));
    let parsed = tokens.clone();
    let parse = move || {
        let mut parser = Parser::new(&RedshiftSqlDialect {}).with_tokens_with_locations(parsed);
        parser.parse_statement()?;
        while parser.consume_token(&Token::SemiColon) {}
        parser.expect_token(&Token::EOF).map(drop)
    };
    // Without a thread, or after a defect of the parser, nothing is known about the statement.
    let result = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(parse).ok()?.join().ok()?;
    match result {
        Err(ParserError::ParserError(message)) => Some(located(statement, &text, &tokens, &message)),
        Ok(()) => {
            let (at, expected) = accepted(&tokens)?;
            let offset = tokens.get(at).and_then(|token| start(&text, token));
            Some(error(statement, &text, &tokens, offset, expected))
        }
        Err(ParserError::TokenizerError(_) | ParserError::RecursionLimitExceeded) => None,
    }
}

/// Replaces the content of literals, and placeholders, by plain literals, and comments by spaces. The offset, the line and the length of
/// everything stay the same. Returns `None` for a text that cannot be read.
fn plain(statement: &str) -> Option<String> {
    let mut text = String::with_capacity(statement.len());
    for token in Lexer::as_redshift(statement) {
        let token = token.ok()?;
        let written = &statement[token.start..token.end];
        match token.kind {
            TokenKind::Comment | TokenKind::Space => {
                text.extend(written.bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }));
            }
            TokenKind::Literal | TokenKind::Placeholder => {
                let last = written.len() - 1;
                text.extend(written.bytes().enumerate().map(|(at, b)| match b {
                    _ if at == 0 || at == last => '\'',
                    b'\n' => '\n',
                    _ => 'x',
                }));
            }
            TokenKind::Other if written == "#" && !begins_name(statement, token.start) => text.push('+'),
            TokenKind::Word
            | TokenKind::Number
            | TokenKind::QuotedIdentifier
            | TokenKind::Semicolon
            | TokenKind::Open
            | TokenKind::Close
            | TokenKind::Dot
            | TokenKind::Other => text.push_str(written),
        }
    }
    Some(text)
}

/// Returns true if the `#` at an offset begins the name of a temporary table. Otherwise it is an operator.
fn begins_name(statement: &str, at: usize) -> bool {
    let before = statement[..at].chars().next_back();
    let after = statement[at + 1..].chars().next();
    before.is_none_or(|c| c.is_whitespace() || "(,.".contains(c))
        && after.is_some_and(|c| c == '_' || c.is_alphabetic())
}

/// The word of a token in upper case, unless it is quoted.
fn word(token: &TokenWithSpan) -> Option<String> {
    match &token.token {
        Token::Word(Word { value, quote_style: None, .. }) => Some(value.to_ascii_uppercase()),
        _ => None,
    }
}

fn is_word(token: Option<&TokenWithSpan>, wanted: &str) -> bool {
    token.and_then(word).is_some_and(|word| word == wanted)
}

/// Returns true if the tokens begin with these words.
fn begins(tokens: &[TokenWithSpan], words: &[&str]) -> bool {
    words.iter().enumerate().all(|(at, word)| is_word(tokens.get(at), word))
}

fn is(token: Option<&TokenWithSpan>, wanted: &Token) -> bool {
    token.is_some_and(|token| token.token == *wanted)
}

/// Returns the part of a statement that is checked: the statement, or the query in it.
fn query(mut tokens: Vec<TokenWithSpan>) -> Option<Vec<TokenWithSpan>> {
    const NO_BINDING: [&str; 4] = ["WITH", "NO", "SCHEMA", "BINDING"];
    let first = tokens.first().and_then(word).unwrap_or_default();
    let before_query = match first.as_str() {
        "SELECT" | "WITH" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" => return Some(tokens),
        "" if is(tokens.first(), &Token::LParen) => return Some(tokens),
        "EXPLAIN" => {
            tokens.drain(..if begins(&tokens, &["EXPLAIN", "VERBOSE"]) { 2 } else { 1 });
            return query(tokens);
        }
        "CREATE" | "PREPARE" => "AS",
        "DECLARE" => "FOR",
        _ => return None,
    };
    let mut depth = 0_u32;
    let start = tokens.iter().position(|token| {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && is_word(Some(token), before_query)
    })?;
    tokens.drain(..=start);
    let inner = tokens.iter().find(|token| token.token != Token::LParen);
    if !is_word(inner, "SELECT") && !is_word(inner, "WITH") && first != "PREPARE" {
        return None;
    }
    if let Some(end) = tokens.len().checked_sub(NO_BINDING.len()).filter(|end| begins(&tokens[*end..], &NO_BINDING)) {
        tokens.truncate(end);
    }
    Some(tokens)
}

/// Finds what sqlparser accepts although Redshift does not. Returns the index of the token, which can be the end, and what is expected
/// there.
fn accepted(tokens: &[TokenWithSpan]) -> Option<(usize, &'static str)> {
    if !begins(tokens, &["INSERT", "INTO"]) && begins(tokens, &["INSERT"])
        || !begins(tokens, &["MERGE", "INTO"]) && begins(tokens, &["MERGE"])
    {
        return Some((1, "INTO"));
    }
    // A JOIN that has no condition yet, for each level of parentheses.
    let mut joins = vec![false];
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| tokens.get(at));
        // After a dot, a keyword is a name.
        let keyword = keyword(token).filter(|_| !is(before, &Token::Period));
        if is_operator(before) && keyword.is_some_and(begins_clause) {
            return Some((at, "an expression"));
        }
        if is(before, &Token::Mul) && begins_column(&tokens[..at - 1]) && keyword == Some(Keyword::NoKeyword) {
            return Some((at, "FROM"));
        }
        let is_open = joins.last().is_some_and(|is_open| *is_open);
        match (&token.token, keyword) {
            (Token::LParen, _) => joins.push(false),
            (Token::RParen, _) if !is_open => drop(joins.pop()),
            (_, Some(Keyword::JOIN)) => *joins.last_mut()? = needs_condition(&tokens[..at]),
            (_, Some(Keyword::ON | Keyword::USING)) => *joins.last_mut()? = false,
            (Token::RParen | Token::Comma | Token::SemiColon, _) if is_open => return Some((at, "ON or USING")),
            (_, Some(keyword)) if is_open && begins_clause(keyword) => return Some((at, "ON or USING")),
            _ => {}
        }
    }
    joins.contains(&true).then_some((tokens.len(), "ON or USING"))
}

fn keyword(token: &TokenWithSpan) -> Option<Keyword> {
    match &token.token {
        Token::Word(word) => Some(word.keyword),
        _ => None,
    }
}

/// Returns true if a `*` after the tokens means all columns.
fn begins_column(before: &[TokenWithSpan]) -> bool {
    let last = before.last();
    is(last, &Token::Comma)
        || is(last, &Token::Period)
        || matches!(last.and_then(keyword), Some(Keyword::SELECT | Keyword::ALL | Keyword::DISTINCT))
}

/// Returns true if a JOIN after the tokens has a condition: it is neither a CROSS JOIN nor a NATURAL JOIN.
fn needs_condition(before: &[TokenWithSpan]) -> bool {
    let kind = |token: &&TokenWithSpan| {
        !matches!(
            keyword(token),
            Some(Keyword::INNER | Keyword::LEFT | Keyword::RIGHT | Keyword::FULL | Keyword::OUTER)
        )
    };
    let first = before.iter().rev().find(kind).and_then(keyword);
    !matches!(first, Some(Keyword::CROSS | Keyword::NATURAL))
}

const fn begins_clause(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::FROM
            | Keyword::WHERE
            | Keyword::GROUP
            | Keyword::HAVING
            | Keyword::QUALIFY
            | Keyword::ORDER
            | Keyword::LIMIT
            | Keyword::UNION
            | Keyword::INTERSECT
            | Keyword::EXCEPT
            | Keyword::MINUS
    )
}

/// Returns true for an operator that an operand follows.
fn is_operator(token: Option<&TokenWithSpan>) -> bool {
    match token.map(|token| &token.token) {
        Some(Token::Word(word)) => matches!(word.keyword, Keyword::AND | Keyword::OR),
        Some(
            Token::Plus
            | Token::Minus
            | Token::Div
            | Token::Mod
            | Token::StringConcat
            | Token::Eq
            | Token::Neq
            | Token::Lt
            | Token::Gt
            | Token::LtEq
            | Token::GtEq,
        ) => true,
        Some(_) | None => false,
    }
}

/// Reads the message of the parser: `… Expected: a, found: b at Line: 1, Column: 5`. At the end of the text it has no place. The place of
/// some messages is that of the token after `b`.
fn located(statement: &str, text: &str, tokens: &[TokenWithSpan], message: &str) -> SyntaxError {
    let (message, place) = match message.rsplit_once(" at Line: ") {
        Some((message, place)) => (message, place.split_once(", Column: ")),
        None => (message, None),
    };
    let place = place.and_then(|(line, column)| offset(text, line.parse().ok()?, column.parse().ok()?));
    let (expected, found) = message.rsplit_once(", found: ").unwrap_or((message, ""));
    let expected = expected.strip_prefix("Expected").map_or(expected, |rest| rest.trim_start_matches([':', ' ']));
    let at = tokens.iter().position(|token| place.is_some() && start(text, token) == place);
    let previous = at.and_then(|at| at.checked_sub(1)).and_then(|at| tokens.get(at));
    let is_previous = |token: &&TokenWithSpan| {
        token.token.to_string() == found
            && at.and_then(|at| tokens.get(at)).is_some_and(|at| at.token.to_string() != found)
    };
    let place = match previous.filter(is_previous) {
        Some(token) => start(text, token),
        None => place,
    };
    error(statement, text, tokens, place, if expected == "EOF" { "the end of the statement" } else { expected })
}

/// Makes the error at an offset; `None` is the end of the statement.
fn error(statement: &str, text: &str, tokens: &[TokenWithSpan], place: Option<usize>, expected: &str) -> SyntaxError {
    let mut written = Lexer::as_redshift(statement).map_while(Result::ok);
    let found = written.find(|token| place == Some(token.start)).map(|token| &statement[token.start..token.end]);
    // What follows a misspelt keyword is unexpected, unless it is a keyword itself.
    let at = tokens.iter().position(|token| place.is_some() && start(text, token) == place);
    let near = at.filter(|at| keyword(&tokens[*at]).is_none_or(|keyword| keyword == Keyword::NoKeyword));
    let near = near.into_iter().flat_map(|at| tokens[at.saturating_sub(1)..=at].iter().rev());
    let mut meant = near.filter_map(|token| match &token.token {
        Token::Word(Word { value, quote_style: None, keyword: Keyword::NoKeyword }) => nearest(value, CLAUSES),
        _ => None,
    });
    SyntaxError {
        offset: place.unwrap_or_else(|| text.trim_end().len()),
        found: found.map_or_else(|| "end of input".to_owned(), |found| format!("\"{found}\"")),
        expected: expected.to_owned(),
        meant: meant.next(),
    }
}

/// The byte offset of a token.
fn start(text: &str, token: &TokenWithSpan) -> Option<usize> {
    offset(text, token.span.start.line, token.span.start.column)
}

/// The byte offset of a line and a column, both from 1, in characters.
fn offset(text: &str, line: u64, column: u64) -> Option<usize> {
    let line = usize::try_from(line).ok()?.checked_sub(1)?;
    let column = usize::try_from(column).ok()?.checked_sub(1)?;
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    Some(start + text[start..].chars().take(column).map(char::len_utf8).sum::<usize>())
}

#[cfg(test)]
mod tests;
